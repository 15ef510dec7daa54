//! The embedded broker's figures reach `/metrics`.

use std::time::Duration;

use swf_db::testing::on_sqlite;
use swf_server::broker_status::{Status, TOPIC};
use swf_stomp::{AckMode, Client, ClientConfig, Subscribe};
use swf_tools::tables::SCHEMA;

use crate::rig::Rig;

#[tokio::test]
async fn waiting_messages_and_ended_subscriptions_are_figures() {
    on_sqlite(Some(&SCHEMA), &async |db: swf_db::testing::TestDb| {
        let rig = Rig::start(&db).await;
        let config = ClientConfig {
            client_id: Some("gone".into()),
            ..ClientConfig::new("127.0.0.1", rig.broker.addr().port())
        };
        let gone = Client::start(config);
        let line = Subscribe {
            ack: AckMode::ClientIndividual,
            durable: Some("line".into()),
            ..Subscribe::to("/topic/other")
        };
        drop(gone.subscribe(line).await.unwrap());
        gone.shutdown().await;
        rig.bus.send(swf_stomp::Message::new("/topic/other", "waits")).await.unwrap();
        rig.until("the figure is shown", async || {
            // The broker's own process does this from time to time.
            let status = serde_json::to_vec(&Status::of(&rig.broker.stats())).unwrap();
            rig.broker.send(TOPIC, status).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            let text = rig.get("/metrics").send().await.unwrap().text().await.unwrap();
            text.contains("swf_broker_waiting_messages{destination=\"/topic/other#gone#line\"} 1")
                && text.contains("swf_broker_expired_subscriptions_total 0")
        })
        .await;
        rig.stop().await;
    })
    .await;
}
