//! What the capture stores of messages that do not fit, and what it does when they cannot be stored.

use serde_json::{Value, json};
use swf_db::testing::{TestDb, on_each_db};
use swf_db::{Engine, Sql};
use swf_stomp::Message;
use swf_tools::tables::SCHEMA;

use crate::rig::Rig;

async fn count(rig: &Rig, table: &str) -> i64 {
    rig.db.fetch_one(&Sql::new(format!("SELECT count(*) FROM {table}"))).await.unwrap()
}

#[tokio::test]
async fn fields_longer_than_their_columns_are_cut_and_named() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let rig = Rig::start(&db).await;
        let long = "é".repeat(300);
        let message = json!({"msg_type": long, "sender": long, "recipient": "short", "namespace": long,
            "execution_id": long, "run_id": long, "text": long});
        rig.publish(&message).await;
        rig.until("it is stored", async || count(&rig, "swf_workflow_messages").await == 1).await;
        let row = &rig.json("/api/workflow-messages/").await[0];
        let length = |name: &str| row[name].as_str().unwrap().chars().count();
        let lengths =
            ["message_type", "sender_agent", "recipient_agent", "namespace", "execution_id", "run_id"];
        assert_eq!(lengths.map(length), [50, 100, 5, 100, 100, 50]);
        assert_eq!(
            row["message_metadata"]["truncated_fields"],
            json!(["msg_type", "sender", "namespace", "execution_id", "run_id"])
        );
        assert_eq!(row["message_content"], message, "the body is whole");
        // One that fits has no such mark.
        rig.publish(&json!({"msg_type": "fits"})).await;
        rig.until("it is stored", async || count(&rig, "swf_workflow_messages").await == 2).await;
        let rows = rig.json("/api/workflow-messages/").await;
        let fits = rows.as_array().unwrap().iter().find(|r| r["message_type"] == "fits").unwrap();
        assert_eq!(fits["message_metadata"].get("truncated_fields"), None);
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_stored_is_tried_again_until_it_is() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let rig = Rig::start(&db).await;
        let schema = if db.engine() == Engine::Postgres { "swf." } else { "" };
        let rename = |from: &str, to: &str| format!("ALTER TABLE {schema}{from} RENAME TO {to}");
        db.script(rename("swfx_dead_letter", "swfx_away")).await.unwrap();
        rig.bus.send(Message::new("/topic/epictopic", "no JSON")).await.unwrap();
        rig.publish(&json!({"msg_type": "after", "n": 1})).await;
        rig.until("it was tried and is not acknowledged", async || {
            let metrics = rig.get("/metrics").send().await.unwrap().text().await.unwrap();
            let failed = metrics.lines().any(|l| {
                l.starts_with("swf_broker_messages_total") && l.contains("retried") && !l.ends_with(" 0")
            });
            let depth: usize = rig
                .broker
                .stats()
                .destinations
                .iter()
                .filter(|(name, _)| name.contains("#monitor"))
                .map(|(_, d)| d.depth)
                .sum();
            failed && depth == 2
        })
        .await;
        db.script(rename("swfx_away", "swfx_dead_letter")).await.unwrap();
        rig.until("both are kept", async || {
            count(&rig, "swfx_dead_letter").await == 1 && count(&rig, "swf_workflow_messages").await == 1
        })
        .await;
        let letter = Sql::new("SELECT body, reason FROM swfx_dead_letter");
        let (body, reason): (String, String) = rig.db.fetch_one(&letter).await.unwrap();
        assert!(body == "no JSON" && reason.contains("not JSON"), "{reason}");
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn who_only_sends_subscribes_to_no_topic_and_what_is_sent_is_stored_once() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let rig = Rig::start(&db).await;
        let sent = rig
            .http
            .post(format!("{}/api/v1/tools/swf_send_message/", rig.url))
            .header("authorization", format!("Token {}", rig.token))
            .json(&json!({"message": "hello", "message_type": "test"}))
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 200, "{:?}", sent.text().await);
        rig.until("it is stored", async || count(&rig, "swf_workflow_messages").await == 1).await;
        // The broker hands the next one out after it, so a second copy would be there by now.
        rig.publish(&json!({"msg_type": "after"})).await;
        rig.until("the next is stored", async || count(&rig, "swf_workflow_messages").await >= 2).await;
        assert_eq!(count(&rig, "swf_workflow_messages").await, 2);
        let stats = rig.broker.stats();
        let durable: Vec<(&String, usize)> = stats
            .destinations
            .iter()
            .filter(|(name, _)| name.contains('#'))
            .map(|(name, d)| (name, d.subscribers))
            .collect();
        assert_eq!(durable, [(&"/topic/epictopic#monitor#monitor".to_owned(), 1)]);
        let plain = stats.destinations.get("/topic/epictopic").map_or(0, |d| d.subscribers);
        assert_eq!(plain, 0, "{stats:?}");
        let row: Value = rig.json("/api/workflow-messages/?message_type=test").await;
        assert_eq!(row.as_array().unwrap().len(), 1);
        rig.stop().await;
    })
    .await;
}
