//! Durable subscriptions whose subscriber never comes back end, and harm nobody until then.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Row};
use swf_stomp::{Broker, BrokerConfig, BrokerLimits, Client, ClientConfig, Message, Subscribe, Subscription};

use crate::support::*;

async fn subscriber(broker: &Broker, client_id: &str) -> (Client, Subscription) {
    let config = ClientConfig { client_id: Some(client_id.into()), ..client_config(broker.addr()) };
    let client = Client::start(config);
    let wanted = Subscribe { durable: Some("line".into()), ..acknowledging("/topic/x") };
    let subscription = within(client.subscribe(wanted)).await.unwrap();
    (client, subscription)
}

fn durables(broker: &Broker) -> Vec<String> {
    broker.stats().destinations.into_keys().filter(|name| name.contains('#')).collect()
}

#[tokio::test]
async fn a_subscriber_away_too_long_loses_its_subscription_and_others_do_not() {
    let limits = BrokerLimits { durable_idle: Some(Duration::from_millis(200)), ..BrokerLimits::default() };
    let kept_clients = ["monitor".to_owned()].into();
    let broker = Broker::start(BrokerConfig { limits, kept_clients, ..config() }).await.unwrap();
    let (here, mut lines) = subscriber(&broker, "here").await;
    for client_id in ["gone", "monitor"] {
        let (client, subscription) = subscriber(&broker, client_id).await;
        drop(subscription);
        client.shutdown().await;
    }
    here.send(Message::new("/topic/x", "one")).await.unwrap();
    until("the abandoned one ended", || broker.stats().expired_subscriptions == 1).await;
    assert_eq!(durables(&broker), ["/topic/x#here#line", "/topic/x#monitor#line"]);
    here.send(Message::new("/topic/x", "two")).await.unwrap();
    for expected in ["one", "two"] {
        let delivery = next(&mut lines).await;
        assert_eq!(text(&delivery), expected);
        delivery.ack().await.unwrap();
    }
    assert_eq!(broker.stats().destinations["/topic/x#monitor#line"].depth, 2);
    // Whoever comes back later after all starts anew.
    let (back, mut again) = subscriber(&broker, "gone").await;
    back.send(Message::new("/topic/x", "three")).await.unwrap();
    assert_eq!(text(&next(&mut again).await), "three");
}

#[tokio::test]
async fn a_backlog_that_nobody_fetches_ends_before_senders_are_refused() {
    let limits =
        BrokerLimits { backlog_messages: 10, durable_grace: Duration::ZERO, ..BrokerLimits::default() };
    let broker = Broker::start(BrokerConfig { limits, ..config() }).await.unwrap();
    let (here, mut lines) = subscriber(&broker, "here").await;
    let (gone, subscription) = subscriber(&broker, "gone").await;
    drop(subscription);
    gone.shutdown().await;
    until("it is away", || broker.stats().destinations["/topic/x#gone#line"].subscribers == 0).await;
    for number in 0..30 {
        here.send(Message::new("/topic/x", number.to_string())).await.unwrap();
        let delivery = next(&mut lines).await;
        assert_eq!(text(&delivery), number.to_string());
        delivery.ack().await.unwrap();
    }
    until("it ended", || durables(&broker) == ["/topic/x#here#line"]).await;
    let stats = broker.stats();
    assert_eq!(stats.expired_subscriptions, 1);
    assert!((8..=10).contains(&stats.expired_messages), "{stats:?}");
}

#[tokio::test]
async fn within_the_grace_time_and_for_kept_clients_senders_are_refused_instead() {
    for (grace, kept) in [(Duration::from_secs(3600), "other"), (Duration::ZERO, "gone")] {
        let limits = BrokerLimits { backlog_messages: 5, durable_grace: grace, ..BrokerLimits::default() };
        let kept_clients = [kept.to_owned()].into();
        let broker = Broker::start(BrokerConfig { limits, kept_clients, ..config() }).await.unwrap();
        let (gone, subscription) = subscriber(&broker, "gone").await;
        drop(subscription);
        gone.shutdown().await;
        let sender = client(broker.addr()).await;
        for number in 0..5 {
            sender.send(Message::new("/topic/x", number.to_string())).await.unwrap();
        }
        let refused = sender.send(Message::new("/topic/x", "5")).await.unwrap_err().to_string();
        assert!(refused.contains("/topic/x#gone#line is full"), "{refused}");
        assert_eq!(broker.stats().destinations["/topic/x#gone#line"].depth, 5);
    }
}

#[tokio::test]
async fn the_time_away_goes_on_over_a_restart_of_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.sqlite");
    let stored = BrokerConfig { data_file: Some(file.clone()), ..config() };
    let broker = Broker::start(stored.clone()).await.unwrap();
    for client_id in ["long", "short"] {
        let (client, subscription) = subscriber(&broker, client_id).await;
        drop(subscription);
        client.shutdown().await;
    }
    until("both are away", || broker.stats().destinations.values().all(|d| d.subscribers == 0)).await;
    broker.shutdown().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut rows = options.connect().await.unwrap();
    let day = 24 * 3600 * 1000;
    for (client_id, days) in [("long", 8), ("short", 6)] {
        let key = format!("/topic/x#{client_id}#line");
        let away: Option<i64> = sqlx::query("SELECT away FROM stomp_durable WHERE key = $1")
            .bind(&key)
            .fetch_one(&mut rows)
            .await
            .unwrap()
            .get(0);
        sqlx::query("UPDATE stomp_durable SET away = $1 WHERE key = $2")
            .bind(away.expect("it is noted that nobody is there") - days * day)
            .bind(&key)
            .execute(&mut rows)
            .await
            .unwrap();
    }
    rows.close().await.unwrap();
    let broker = Broker::start(stored).await.unwrap();
    until("the one away for 8 days ended", || broker.stats().expired_subscriptions == 1).await;
    assert_eq!(durables(&broker), ["/topic/x#short#line"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_file_of_the_first_version_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut rows = options.connect().await.unwrap();
    for text in [
        "CREATE TABLE stomp_durable (key TEXT PRIMARY KEY, topic TEXT NOT NULL, selector TEXT)",
        "INSERT INTO stomp_durable VALUES ('/topic/x#old#line', '/topic/x', NULL)",
    ] {
        sqlx::query(text).execute(&mut rows).await.unwrap();
    }
    rows.close().await.unwrap();
    let broker = Broker::start(BrokerConfig { data_file: Some(file), ..config() }).await.unwrap();
    assert_eq!(durables(&broker), ["/topic/x#old#line"]);
    let (old, mut lines) = subscriber(&broker, "old").await;
    old.send(Message::new("/topic/x", "one")).await.unwrap();
    assert_eq!(text(&next(&mut lines).await), "one");
    broker.shutdown().await;
}
