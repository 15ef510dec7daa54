//! Servers of tools that come, go and fail.

use serde_json::json;
use swf_bot::{Bot, ServerSpec, Way};
use swf_db::testing::on_sqlite;
use swf_tools::tables::SCHEMA;

use crate::model::results;
use crate::rig::Rig;

#[tokio::test]
async fn a_server_that_cannot_be_started_is_named_and_the_others_work() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let mut config = rig.config();
        config.servers.push(ServerSpec {
            name: "broken".into(),
            way: Way::Program { command: "/nonexistent/server".into(), args: Vec::new(), env: Vec::new() },
            prefix: "b_".into(),
            keywords: Vec::new(),
            allow: Vec::new(),
        });
        let bot = Bot::start(config).unwrap();
        rig.model.calls(&[("bot_list_servers", json!({}))]).then(|request| {
            let system = request["system"][0]["text"].as_str().unwrap().to_owned();
            assert!(
                system.contains("do not answer now, so that their tools are missing: broken"),
                "{system}"
            );
            let table = results(request).remove(0);
            crate::model::said(&table, "end_turn")
        });
        let answer = bot.ask("Which servers are there?").await;
        assert!(answer.body.contains("| swf | swf-testbed"), "{}", answer.body);
        assert!(
            answer.body.contains("| broken | down: /nonexistent/server cannot be started"),
            "{}",
            answer.body
        );
    })
    .await;
}

#[tokio::test]
async fn a_monitor_that_was_restarted_is_used_again_without_a_lost_question() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let mut rig = Rig::start(&db).await;
        let bot = rig.bot().await;
        let look = [("panda_list_queues", json!({}))];
        rig.model.calls(&look).cites("Queues there.");
        assert_eq!(bot.ask("list queues").await.body, "Queues there.");
        rig.monitor_ends().await;
        rig.monitor_returns().await;
        rig.model.calls(&look).cites("Queues again.");
        let answer = bot.ask("list queues").await;
        assert_eq!(answer.text(), format!("Queues again.\n\n{}", answer.notes));
        assert!(!answer.notes.contains(":warning:"), "{}", answer.notes);
    })
    .await;
}

#[tokio::test]
async fn without_the_monitor_a_question_still_gets_an_honest_answer() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let mut rig = Rig::start(&db).await;
        let bot = rig.bot().await;
        rig.monitor_ends().await;
        rig.model.calls(&[("panda_list_queues", json!({}))]).then(|request| {
            let result = &request["messages"].as_array().unwrap().last().unwrap()["content"][0];
            assert_eq!(result["is_error"], true, "{result}");
            crate::model::said("The monitor does not answer.", "end_turn")
        });
        let answer = bot.ask("list queues").await;
        assert_eq!(answer.body, "The monitor does not answer.");
        assert!(answer.notes.contains("was not cited"), "{}", answer.notes);
    })
    .await;
}
