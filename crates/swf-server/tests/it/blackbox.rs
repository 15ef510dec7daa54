//! Agents of the original make find everything as they know it.

use swf_db::testing::on_each_db;
use swf_tools::tables::SCHEMA;

use crate::rig::Rig;
use crate::scripts;

#[tokio::test]
async fn agents_of_the_original_library_work_unchanged() {
    let Some(python) = scripts::program("py/bin/python") else { return };
    on_each_db(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let port = rig.broker.addr().port().to_string();
        let said =
            scripts::run(&python, &[&scripts::script("agent.py"), &rig.url, &rig.token, &port], &[]).await;
        assert!(said.contains("all checks passed"), "{said}");
        rig.stop().await;
    })
    .await;
}
