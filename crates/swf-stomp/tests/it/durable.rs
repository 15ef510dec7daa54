//! Durable subscriptions of the embedded broker, in the words of each kind of broker.

use swf_stomp::{Client, ClientConfig, Flavour, Frame, Message, Subscribe, Version};

use crate::support::*;

fn durable(destination: &str) -> Subscribe {
    Subscribe { durable: Some("capture".into()), ..acknowledging(destination) }
}

async fn named(config: ClientConfig) -> Client {
    let client = Client::start(ClientConfig { client_id: Some("monitor".into()), ..config });
    client.connected(PATIENCE).await.unwrap();
    client
}

#[tokio::test]
async fn every_flavour_keeps_messages_for_an_absent_subscriber() {
    for flavour in [Flavour::Embedded, Flavour::ActiveMq, Flavour::Artemis, Flavour::RabbitMq] {
        let broker = broker().await;
        let config = ClientConfig { flavour, ..client_config(broker.addr()) };
        let monitor = named(config.clone()).await;
        drop(monitor.subscribe(durable("/topic/epic")).await.unwrap());
        monitor.shutdown().await;
        let sender = client(broker.addr()).await;
        for number in 0..3 {
            sender.send(Message::new("/topic/epic", number.to_string())).await.unwrap();
        }
        let monitor = named(config).await;
        let mut subscription = monitor.subscribe(durable("/topic/epic")).await.unwrap();
        for number in 0..3 {
            let delivery = next(&mut subscription).await;
            assert_eq!(text(&delivery), number.to_string(), "{flavour:?}");
            delivery.ack().await.unwrap();
        }
        subscription.unsubscribe().await;
        let left =
            broker.stats().destinations.into_keys().filter(|name| name.contains('#')).collect::<Vec<_>>();
        assert!(left.is_empty(), "{flavour:?}: {left:?}");
    }
}

#[tokio::test]
async fn a_durable_subscription_without_a_client_id_is_refused() {
    let broker = broker().await;
    let error = client(broker.addr()).await.subscribe(durable("/topic/x")).await.unwrap_err().to_string();
    assert!(error.contains("client id"), "{error}");
    let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
    let frame = Frame::new("SUBSCRIBE").with("id", "1").with("destination", "/topic/x");
    raw.send(frame.with("activemq.subscriptionName", "capture")).await;
    assert!(raw.error().await.contains("client-id"));
}

#[tokio::test]
async fn a_second_connection_cannot_take_a_durable_subscription_over() {
    let broker = broker().await;
    let (one, two) = (named(client_config(broker.addr())).await, named(client_config(broker.addr())).await);
    let _held = one.subscribe(durable("/topic/x")).await.unwrap();
    let error = two.subscribe(durable("/topic/x")).await.unwrap_err().to_string();
    assert!(error.contains("\"capture\"") && error.contains("in use"), "{error}");
    one.shutdown().await;
    two.connected(PATIENCE).await.unwrap();
    two.subscribe(durable("/topic/x")).await.unwrap();
}

#[tokio::test]
async fn a_bare_name_is_a_topic_for_a_durable_subscription() {
    let broker = broker().await;
    let monitor = named(client_config(broker.addr())).await;
    let mut subscription = monitor.subscribe(durable("epictopic")).await.unwrap();
    monitor.send(Message::new("epictopic", "bare")).await.unwrap();
    monitor.send(Message::new("/topic/epictopic", "prefixed")).await.unwrap();
    assert_eq!(text(&next(&mut subscription).await), "bare");
    assert_eq!(text(&next(&mut subscription).await), "prefixed");
}

#[tokio::test]
async fn another_selector_starts_a_durable_subscription_anew() {
    let broker = broker().await;
    let monitor = named(client_config(broker.addr())).await;
    drop(monitor.subscribe(durable("/topic/x")).await.unwrap());
    let depth = || {
        broker
            .stats()
            .destinations
            .iter()
            .filter(|(name, _)| name.contains('#'))
            .map(|(_, stats)| stats.depth)
            .sum::<usize>()
    };
    until("not in use", || broker.stats().destinations["/topic/x#monitor#capture"].subscribers == 0).await;
    monitor.send(Message::new("/topic/x", "old")).await.unwrap();
    assert_eq!(depth(), 1);
    let selecting = Subscribe { selector: Some("run = 7".into()), ..durable("/topic/x") };
    let mut subscription = monitor.subscribe(selecting).await.unwrap();
    assert_eq!(depth(), 0);
    monitor.send(Message::new("/topic/x", "other").with("run", "8")).await.unwrap();
    monitor.send(Message::new("/topic/x", "ours").with("run", "7")).await.unwrap();
    assert_eq!(text(&next(&mut subscription).await), "ours");
}

#[tokio::test]
async fn names_with_dots_are_not_mixed_up() {
    let broker = broker().await;
    for (client_id, name) in [("a.b", "c"), ("a", "b.c"), ("a#b", "c"), ("a", "b#c")] {
        let client =
            Client::start(ClientConfig { client_id: Some(client_id.into()), ..client_config(broker.addr()) });
        drop(
            client.subscribe(Subscribe { durable: Some(name.into()), ..durable("/topic/x") }).await.unwrap(),
        );
        client.shutdown().await;
    }
    assert_eq!(broker.stats().destinations.keys().filter(|name| name.contains('#')).count(), 4);
}
