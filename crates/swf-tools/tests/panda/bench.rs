//! The benchmark runs on a small production.

use swf_db::testing::on_postgres;
use swf_tools::panda::bench::{Plans, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_benchmark_measures_every_tool_and_the_originals_queries() {
    on_postgres(None, async |db| {
        let plans = Plans { url: db.url.clone(), jobs: 2500, naive: true };
        let mut said = Vec::new();
        let lines = run(&plans, |line| said.push(line)).await.unwrap();
        assert!(said.first().is_some_and(|s| s.starts_with("made ")), "{said:?}");
        for tool in swf_tools::tools::panda::TOOLS {
            let name = tool.name.trim_start_matches("panda_");
            assert!(lines.iter().any(|l| l.question.starts_with(name)), "{name} is not measured");
        }
        let compared = lines.iter().filter(|l| l.ratio().is_some_and(|r| r > 0.0)).count();
        assert!(compared >= 10, "{compared} questions have a query of the original");
        assert!(lines.iter().all(|l| l.cached < l.cold && l.bytes > 0));
        let again = run(&Plans { naive: false, ..plans }, |_| {}).await.unwrap();
        assert!(again.iter().all(|l| l.naive.is_none()));
    })
    .await;
}
