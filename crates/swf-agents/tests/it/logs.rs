//! Log shipping.

use serde_json::json;
use swf_agents::logs::log_shipping;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;

use crate::double::TOKEN;
use crate::rig::Rig;

fn client(rig: &Rig) -> swf_client::Client {
    let config = swf_client::ClientConfig {
        base_url: rig.double.url.clone(),
        token: Some(TOKEN.into()),
        ..swf_client::ClientConfig::default()
    };
    swf_client::Client::new(&config).unwrap()
}

#[tokio::test]
async fn records_reach_the_monitor_with_level_fields_and_context() {
    let rig = Rig::start().await;
    let (layer, queue) = log_shipping(tracing::Level::INFO);
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    queue.set_context("ns", "u", Some("e-1"), Some("100010"));
    tracing::debug!("too fine");
    tracing::warn!(files = 3, name = "x", "something odd");
    queue.ship(client(&rig), "base_agent", "data-agent-u-1", CancellationToken::new());
    queue.flush().await;
    let rows = rig.double.table("logs");
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    assert_eq!((&row["level"], &row["levelname"]), (&json!(30), &json!("WARNING")));
    assert_eq!(row["message"], json!("something odd files=3 name=x"));
    assert_eq!((&row["app_name"], &row["instance_name"]), (&json!("base_agent"), &json!("data-agent-u-1")));
    assert_eq!(
        row["extra_data"],
        json!({ "namespace": "ns", "username": "u", "execution_id": "e-1", "run_id": "100010" })
    );
    assert!(row["timestamp"].as_str().unwrap().ends_with("+00:00"));
}

#[tokio::test]
async fn a_full_queue_drops_counts_and_says_so() {
    let rig = Rig::start().await;
    let (layer, queue) = log_shipping(tracing::Level::INFO);
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    for n in 0..5000 {
        tracing::info!("record {n}");
    }
    let dropped = queue.dropped();
    assert_eq!(dropped, 5000 - 4096);
    queue.ship(client(&rig), "base_agent", "a", CancellationToken::new());
    rig.double
        .until("all kept records and one warning arrive", |rows| rows.of("logs").len() == 4096 + 1)
        .await;
    let told = rig.double.table("logs").into_iter().find(|row| row["levelname"] == "WARNING").unwrap();
    assert!(
        told["message"].as_str().unwrap().starts_with(&format!("{dropped} log records were dropped")),
        "{told:?}"
    );
}
