//! What every kind of broker must do for the client.

use std::net::SocketAddr;

use swf_stomp::{Client, ClientConfig, Message, Subscribe};

use crate::support::*;

/// How to reach a broker.
pub struct Target {
    pub addr: SocketAddr,
    pub base: ClientConfig,
}

impl Target {
    fn config(&self, client_id: Option<&str>, addr: SocketAddr) -> ClientConfig {
        ClientConfig {
            host: addr.ip().to_string(),
            port: addr.port(),
            client_id: client_id.map(str::to_owned),
            ..self.base.clone()
        }
    }

    async fn client(&self, client_id: Option<&str>) -> Client {
        let client = Client::start(self.config(client_id, self.addr));
        client.connected(PATIENCE).await.unwrap();
        client
    }
}

pub async fn run(target: &Target) {
    queue_and_acknowledgement(target).await;
    topic(target).await;
    durable_subscription(target).await;
    cut_connection(target).await;
}

async fn queue_and_acknowledgement(target: &Target) {
    let sender = target.client(None).await;
    for number in 0..5 {
        sender
            .send(Message::new("/queue/swf.work", format!("{number} ü")).with("note", "a:b"))
            .await
            .unwrap();
    }
    let consumer = target.client(None).await;
    let mut subscription = consumer.subscribe(acknowledging("/queue/swf.work")).await.unwrap();
    for number in 0..5 {
        let delivery = next(&mut subscription).await;
        assert_eq!(text(&delivery), format!("{number} ü"));
        assert_eq!(delivery.headers.get("note"), Some("a:b"));
        if number < 3 {
            delivery.ack().await.unwrap();
        }
    }
    consumer.shutdown().await;
    let consumer = target.client(None).await;
    let mut subscription = consumer.subscribe(acknowledging("/queue/swf.work")).await.unwrap();
    for number in 3..5 {
        let delivery = next(&mut subscription).await;
        assert_eq!(text(&delivery), format!("{number} ü"), "acknowledged ones must not come back");
        assert!(delivery.redelivered());
        delivery.ack().await.unwrap();
    }
    consumer.shutdown().await;
    sender.shutdown().await;
}

async fn topic(target: &Target) {
    let (one, two) = (target.client(None).await, target.client(None).await);
    let mut first = one.subscribe(Subscribe::to("/topic/swf.news")).await.unwrap();
    let mut second = two.subscribe(Subscribe::to("/topic/swf.news")).await.unwrap();
    one.send(Message::new("/topic/swf.news", &b"bin\0ary"[..])).await.unwrap();
    assert_eq!(next(&mut first).await.body, &b"bin\0ary"[..]);
    assert_eq!(next(&mut second).await.body, &b"bin\0ary"[..]);
    first.unsubscribe().await;
    one.shutdown().await;
    two.shutdown().await;
}

fn durable() -> Subscribe {
    Subscribe { durable: Some("capture".into()), prefetch: Some(50), ..acknowledging("/topic/swf.epic") }
}

async fn durable_subscription(target: &Target) {
    let sender = target.client(None).await;
    let monitor = target.client(Some("swf-monitor")).await;
    let mut subscription = monitor.subscribe(durable()).await.unwrap();
    sender.send(Message::new("/topic/swf.epic", "0")).await.unwrap();
    next(&mut subscription).await.ack().await.unwrap();
    monitor.shutdown().await;
    for number in 1..4 {
        sender.send(Message::new("/topic/swf.epic", number.to_string())).await.unwrap();
    }
    let monitor = target.client(Some("swf-monitor")).await;
    let mut subscription = monitor.subscribe(durable()).await.unwrap();
    for number in 1..4 {
        let delivery = next(&mut subscription).await;
        assert_eq!(text(&delivery), number.to_string());
        delivery.ack().await.unwrap();
    }
    subscription.unsubscribe().await;
    sender.send(Message::new("/topic/swf.epic", "for nobody")).await.unwrap();
    let mut subscription = monitor.subscribe(durable()).await.unwrap();
    sender.send(Message::new("/topic/swf.epic", "anew")).await.unwrap();
    assert_eq!(text(&next(&mut subscription).await), "anew", "a forgotten subscription kept messages");
    subscription.unsubscribe().await;
    monitor.shutdown().await;
    sender.shutdown().await;
}

/// A durable subscriber whose connection is cut gets everything, some of it twice at most.
async fn cut_connection(target: &Target) {
    let proxy = Proxy::start(target.addr).await;
    let sender = target.client(None).await;
    let monitor = Client::start(target.config(Some("swf-cut"), proxy.addr));
    let mut subscription = monitor.subscribe(durable()).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..30 {
        if number == 10 || number == 20 {
            proxy.cut();
        }
        sender.send(Message::new("/topic/swf.epic", number.to_string())).await.unwrap();
    }
    while seen.len() < 30 {
        let delivery = next(&mut subscription).await;
        seen.insert(text(&delivery));
        delivery.ack().await.unwrap();
    }
    assert!(monitor.status().borrow().reconnects >= 1);
    subscription.unsubscribe().await;
    monitor.shutdown().await;
    sender.shutdown().await;
}
