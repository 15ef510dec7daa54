//! Nothing grows without bound, and whoever meets a limit is told which.

use swf_stomp::{Broker, BrokerConfig, BrokerLimits, Error, Frame, Limits, Message, Version};

use crate::support::*;

async fn limited(limits: BrokerLimits) -> Broker {
    Broker::start(BrokerConfig { limits, ..config() }).await.unwrap()
}

#[tokio::test]
async fn a_frame_too_large_is_refused_with_the_limit() {
    let frame = Limits { header_count: 20, header_bytes: 1000, body_bytes: 5000 };
    let broker = limited(BrokerLimits { frame, ..BrokerLimits::default() }).await;
    let send = || Frame::new("SEND").with("destination", "/queue/x");
    let many = (0..30).fold(send(), |frame, number| frame.with(format!("h{number}"), "x"));
    let cases = [
        (send().with_body(vec![b'x'; 5001]), "5000 bytes"),
        (send().with_body(vec![0; 5001]), "5000 bytes"),
        (send().with("long", "x".repeat(1000)), "1000 bytes of headers"),
        (many, "20 header lines"),
    ];
    for (frame, limit) in cases {
        let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
        raw.send(frame).await;
        let error = raw.error().await;
        assert!(error.contains(limit), "{error}");
    }
    assert!(broker.stats().destinations.is_empty());
}

#[tokio::test]
async fn a_full_queue_refuses_senders_until_it_is_consumed() {
    let broker = limited(BrokerLimits { backlog_messages: 3, ..BrokerLimits::default() }).await;
    let client = client(broker.addr()).await;
    for number in 0..3 {
        client.send(Message::new("/queue/x", number.to_string())).await.unwrap();
    }
    let error = client.send(Message::new("/queue/x", "3")).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }));
    assert!(
        error.to_string().contains("/queue/x is full") && error.to_string().contains("3 messages"),
        "{error}"
    );
    let mut subscription = client.subscribe(acknowledging("/queue/x")).await.unwrap();
    // Delivered ones count until they are acknowledged.
    let first = next(&mut subscription).await;
    assert_eq!(broker.stats().destinations["/queue/x"].depth, 3);
    first.ack().await.unwrap();
    client.send(Message::new("/queue/x", "3")).await.unwrap();

    let broker = limited(BrokerLimits { backlog_bytes: 5000, ..BrokerLimits::default() }).await;
    let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
    raw.confirmed(Frame::new("SEND").with("destination", "/queue/x").with_body(vec![b'x'; 4000])).await;
    raw.send(Frame::new("SEND").with("destination", "/queue/x").with_body(vec![b'x'; 4000])).await;
    assert!(raw.error().await.contains("5000 bytes"));
}

#[tokio::test]
async fn a_slow_subscriber_is_disconnected_and_holds_nobody_up() {
    let limits = BrokerLimits { subscriber_messages: 50, prefetch: 10, ..BrokerLimits::default() };
    let broker = limited(limits).await;
    let mut slow = Raw::connect(broker.addr(), Version::V1_2).await;
    // It acknowledges nothing, so what is over its window waits in the broker.
    slow.subscribe("s", "/topic/x", "client-individual").await;
    let quick = client(broker.addr()).await;
    let mut subscription = quick.subscribe(swf_stomp::Subscribe::to("/topic/x")).await.unwrap();
    for number in 0..60 {
        quick.send(Message::new("/topic/x", number.to_string())).await.unwrap();
        assert_eq!(text(&next(&mut subscription).await), number.to_string());
    }
    let mut last = slow.frame().await;
    while last.command == "MESSAGE" {
        last = slow.frame().await;
    }
    assert_eq!(last.command, "ERROR");
    assert!(String::from_utf8_lossy(&last.body).contains("more than 50 messages"));
    assert!(slow.maybe_frame().await.is_none());
    let stats = broker.stats().destinations["/topic/x"].clone();
    assert_eq!(stats.subscribers, 1);
    assert!(stats.dropped >= 50, "{stats:?}");
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_bounded_too() {
    let limits = BrokerLimits { subscriber_bytes: 1 << 20, ..BrokerLimits::default() };
    let broker = limited(limits).await;
    let mut deaf = Raw::connect(broker.addr(), Version::V1_2).await;
    deaf.subscribe("s", "/topic/x", "auto").await;
    let sender = client(broker.addr()).await;
    let body = vec![b'x'; 100_000];
    let connected = || broker.stats().destinations["/topic/x"].subscribers;
    for _ in 0..400 {
        sender.send(Message::new("/topic/x", body.clone())).await.unwrap();
        let stats = broker.stats().destinations["/topic/x"].clone();
        assert!(stats.bytes <= (1 << 20) + 200_000, "{stats:?}");
        if connected() == 0 {
            break;
        }
    }
    assert_eq!(connected(), 0);
    // Its connection ends although it never reads.
    until("connection closed", || broker.stats().connections == 1).await;
}

#[tokio::test]
async fn connections_destinations_and_transactions_are_limited() {
    let limits =
        BrokerLimits { connections: 2, destinations: 3, transaction_bytes: 2000, ..BrokerLimits::default() };
    let broker = limited(limits).await;
    let mut one = Raw::connect(broker.addr(), Version::V1_2).await;
    let mut two = Raw::connect(broker.addr(), Version::V1_2).await;
    assert!(Raw::open(broker.addr()).await.error().await.contains("2 connections"));
    for name in ["a", "b", "c"] {
        one.confirmed(Frame::new("SEND").with("destination", format!("/queue/{name}"))).await;
    }
    one.send(Frame::new("SEND").with("destination", "/queue/d")).await;
    assert!(one.error().await.contains("3 queues, topics and subscriptions"));
    two.confirmed(Frame::new("BEGIN").with("transaction", "t")).await;
    let send = || {
        Frame::new("SEND")
            .with("destination", "/queue/a")
            .with("transaction", "t")
            .with_body(vec![b'x'; 1000])
    };
    two.confirmed(send()).await;
    two.send(send()).await;
    assert!(two.error().await.contains("2000 bytes"));
}
