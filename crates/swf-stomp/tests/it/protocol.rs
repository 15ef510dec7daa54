//! The broker, frame by frame.

use std::time::Duration;

use swf_stomp::{Broker, BrokerConfig, BrokerLimits, Frame, Version};
use tokio::io::AsyncWriteExt;

use crate::support::*;

#[tokio::test]
async fn the_best_common_version_is_negotiated() {
    let broker = broker().await;
    for (accepted, version) in [("1.0,1.1,1.2", "1.2"), ("1.1", "1.1"), ("1.0", "1.0"), ("1.1,2.0", "1.1")] {
        let mut raw = Raw::open(broker.addr()).await;
        raw.send(Frame::new("STOMP").with("accept-version", accepted).with("host", "any")).await;
        let connected = raw.frame().await;
        assert_eq!(connected.get("version"), Some(version));
        assert!(connected.get("session").is_some() && connected.get("server").is_some());
    }
    let mut raw = Raw::open(broker.addr()).await;
    raw.send(Frame::new("CONNECT")).await;
    assert_eq!(raw.frame().await.get("version"), Some("1.0"));
    let mut raw = Raw::open(broker.addr()).await;
    raw.send(Frame::new("CONNECT").with("accept-version", "3.0")).await;
    let error = raw.frame().await;
    assert_eq!((error.command.as_str(), error.get("version")), ("ERROR", Some("1.0,1.1,1.2")));
}

#[tokio::test]
async fn each_version_acknowledges_in_its_own_way() {
    let broker = broker().await;
    for version in Version::ALL {
        let mut raw = Raw::connect(broker.addr(), version).await;
        raw.subscribe("s1", "/queue/acks", "client-individual").await;
        raw.confirmed(Frame::new("SEND").with("destination", "/queue/acks")).await;
        let message = raw.frame().await;
        let message_id = message.get("message-id").unwrap();
        let ack = match version {
            Version::V1_2 => Frame::new("ACK").with("id", message.get("ack").unwrap()),
            Version::V1_1 => Frame::new("ACK").with("message-id", message_id).with("subscription", "s1"),
            Version::V1_0 => Frame::new("ACK").with("message-id", message_id),
        };
        raw.confirmed(ack).await;
        assert_eq!(broker.stats().destinations["/queue/acks"].depth, 0, "{version}");
    }
}

#[tokio::test]
async fn one_acknowledgement_covers_the_earlier_messages_in_client_mode() {
    let broker = broker().await;
    let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
    raw.subscribe("s1", "/queue/acks", "client").await;
    let mut acks = Vec::new();
    for _ in 0..3 {
        raw.confirmed(Frame::new("SEND").with("destination", "/queue/acks")).await;
        acks.push(raw.frame().await.get("ack").unwrap().to_owned());
    }
    raw.confirmed(Frame::new("ACK").with("id", &acks[1])).await;
    assert_eq!(broker.stats().destinations["/queue/acks"].depth, 1);
    // One from an earlier connection, or twice the same, is left alone.
    raw.confirmed(Frame::new("ACK").with("id", "999-999")).await;
    raw.confirmed(Frame::new("ACK").with("id", &acks[0])).await;
    assert_eq!(broker.stats().destinations["/queue/acks"].depth, 1);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let broker = broker().await;
    let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
    let send = |transaction: &str| {
        Frame::new("SEND").with("destination", "/queue/t").with("transaction", transaction).with_body("x")
    };
    let depth = || broker.stats().destinations.get("/queue/t").map_or(0, |queue| queue.depth);
    raw.confirmed(Frame::new("BEGIN").with("transaction", "a")).await;
    raw.confirmed(Frame::new("BEGIN").with("transaction", "b")).await;
    raw.confirmed(send("a")).await;
    raw.confirmed(send("a")).await;
    raw.confirmed(send("b")).await;
    assert_eq!(depth(), 0);
    raw.confirmed(Frame::new("COMMIT").with("transaction", "a")).await;
    assert_eq!(depth(), 2);
    raw.confirmed(Frame::new("ABORT").with("transaction", "b")).await;
    assert_eq!(depth(), 2);
    raw.subscribe("s", "/queue/t", "client-individual").await;
    let (first, second) = (raw.frame().await, raw.frame().await);
    for (transaction, message, end, left) in [("c", first, "ABORT", 2), ("d", second, "COMMIT", 1)] {
        raw.confirmed(Frame::new("BEGIN").with("transaction", transaction)).await;
        let ack = Frame::new("ACK").with("id", message.get("ack").unwrap()).with("transaction", transaction);
        raw.confirmed(ack).await;
        raw.confirmed(Frame::new(end).with("transaction", transaction)).await;
        assert_eq!(depth(), left, "{end}");
    }
    raw.send(Frame::new("COMMIT").with("transaction", "never")).await;
    assert!(raw.error().await.contains("\"never\" was not begun"));
}

#[tokio::test]
async fn mistakes_are_answered_with_an_error_that_names_them() {
    let broker = broker().await;
    let cases = [
        (Frame::new("SEND"), "needs a destination"),
        (Frame::new("SEND").with("destination", "/exchange/x"), "/topic/, /queue/"),
        (Frame::new("SUBSCRIBE").with("destination", "/queue/x"), "needs an id"),
        (
            Frame::new("SUBSCRIBE").with("destination", "/queue/x").with("id", "1").with("ack", "maybe"),
            "\"maybe\"",
        ),
        (
            Frame::new("SUBSCRIBE")
                .with("destination", "/queue/x")
                .with("id", "1")
                .with("prefetch-count", "many"),
            "\"many\"",
        ),
        (
            Frame::new("SUBSCRIBE")
                .with("destination", "/topic/x")
                .with("id", "1")
                .with("selector", "a OR b"),
            "joined by AND",
        ),
        (Frame::new("UNSUBSCRIBE").with("id", "never"), "\"never\""),
        (Frame::new("SEND").with("destination", "/queue/x").with("expires", "soon"), "\"soon\""),
        (Frame::new("FLY"), "\"FLY\""),
        (Frame::new("ACK"), "needs an id"),
    ];
    for (frame, expected) in cases {
        let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
        let sent = format!("{frame:?}");
        raw.send(frame.with("receipt", "r1")).await;
        let error = raw.frame().await;
        assert_eq!((error.command.as_str(), error.get("receipt-id")), ("ERROR", Some("r1")), "{sent}");
        let text = String::from_utf8(error.body.to_vec()).unwrap();
        assert!(text.contains(expected), "{sent}: {text}");
        assert!(raw.maybe_frame().await.is_none());
    }
    let mut raw = Raw::open(broker.addr()).await;
    raw.send(Frame::new("SEND").with("destination", "/queue/x")).await;
    assert!(raw.error().await.contains("before CONNECT"));
    let mut raw = Raw::open(broker.addr()).await;
    raw.socket.write_all(b"GET / HTTP/1.1\r\nhost x\r\n\r\n").await.unwrap();
    assert!(raw.error().await.contains("colon"));
}

#[tokio::test]
async fn who_does_not_log_in_is_sent_away() {
    let limits = BrokerLimits { log_in: Duration::from_millis(50), ..BrokerLimits::default() };
    let broker = Broker::start(BrokerConfig { limits, ..config() }).await.unwrap();
    let mut raw = Raw::open(broker.addr()).await;
    assert!(raw.error().await.contains("no CONNECT within 50ms"));
}

#[tokio::test]
async fn a_disconnect_is_confirmed_after_everything_before_it() {
    let broker = broker().await;
    let mut raw = Raw::connect(broker.addr(), Version::V1_1).await;
    for _ in 0..100 {
        raw.send(Frame::new("SEND").with("destination", "/queue/x")).await;
    }
    raw.confirmed(Frame::new("DISCONNECT")).await;
    assert_eq!(broker.stats().destinations["/queue/x"].depth, 100);
    assert!(raw.maybe_frame().await.is_none());
}

#[tokio::test]
async fn a_reply_to_a_temporary_queue_comes_back() {
    let broker = broker().await;
    let mut asker = Raw::connect(broker.addr(), Version::V1_2).await;
    let mut answerer = Raw::connect(broker.addr(), Version::V1_2).await;
    asker.subscribe("t", "/temp-queue/replies", "auto").await;
    answerer.subscribe("q", "/queue/questions", "auto").await;
    let question =
        Frame::new("SEND").with("destination", "/queue/questions").with("reply-to", "/temp-queue/replies");
    asker.confirmed(question).await;
    let question = answerer.frame().await;
    let reply_to = question.get("reply-to").unwrap().to_owned();
    answerer.confirmed(Frame::new("SEND").with("destination", &reply_to).with_body("yes")).await;
    assert_eq!(asker.frame().await.body, "yes");
    asker.confirmed(Frame::new("DISCONNECT")).await;
    until("gone with its connection", || !broker.stats().destinations.contains_key(&reply_to)).await;
}

#[tokio::test]
async fn a_bare_name_is_the_topic_while_it_has_subscribers_and_else_the_queue() {
    let broker = broker().await;
    let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
    let send = || Frame::new("SEND").with("destination", "epictopic").with_body("x");
    raw.confirmed(send()).await;
    assert_eq!(broker.stats().destinations["/queue/epictopic"].depth, 1);
    let mut listener = Raw::connect(broker.addr(), Version::V1_2).await;
    listener.subscribe("1", "/topic/epictopic", "auto").await;
    let mut bare = Raw::connect(broker.addr(), Version::V1_2).await;
    bare.subscribe("1", "epictopic", "auto").await;
    raw.confirmed(send()).await;
    for subscriber in [&mut listener, &mut bare] {
        assert_eq!(subscriber.frame().await.get("destination"), Some("/topic/epictopic"));
    }
    assert_eq!(broker.stats().destinations["/queue/epictopic"].depth, 1);
}

#[tokio::test]
async fn a_name_can_be_fixed_as_a_topic() {
    let multicast = ["epictopic".to_owned()].into_iter().collect();
    let broker = Broker::start(BrokerConfig { multicast, ..config() }).await.unwrap();
    let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
    raw.confirmed(Frame::new("SEND").with("destination", "epictopic")).await;
    raw.subscribe("1", "epictopic", "auto").await;
    let stats = broker.stats();
    assert!(!stats.destinations.contains_key("/queue/epictopic"));
    assert_eq!(stats.destinations["/topic/epictopic"].subscribers, 1);
}

#[tokio::test]
async fn shutting_down_closes_every_socket_and_frees_the_port() {
    let broker = broker().await;
    let addr = broker.addr();
    let mut raw = Raw::connect(addr, Version::V1_2).await;
    within(broker.shutdown()).await;
    assert!(raw.maybe_frame().await.is_none());
    let again = Broker::start(BrokerConfig::new(addr)).await.unwrap();
    let error = Broker::start(BrokerConfig::new(addr)).await.err().unwrap().to_string();
    assert!(error.contains(&addr.to_string()) && error.contains("choose a free address"), "{error}");
    again.shutdown().await;
}
