//! The client's promises: endless reconnect, remembered subscriptions, receipts, dead peers noticed.

use std::time::Duration;

use swf_stomp::{Broker, Client, Error, Frame, Message, Subscribe};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::support::*;

#[tokio::test]
async fn a_message_goes_to_every_subscriber_of_a_topic() {
    let broker = broker().await;
    let (one, two) = (client(broker.addr()).await, client(broker.addr()).await);
    let mut first = one.subscribe(Subscribe::to("/topic/epic")).await.unwrap();
    let mut second = two.subscribe(Subscribe::to("/topic/epic")).await.unwrap();
    let message = Message::new("/topic/epic", "{\"a\": \"ü\"}").with("msg_type", "stf:gen\nx");
    one.send(message).await.unwrap();
    for subscription in [&mut first, &mut second] {
        let delivery = next(subscription).await;
        assert_eq!(text(&delivery), "{\"a\": \"ü\"}");
        assert_eq!(delivery.destination(), "/topic/epic");
        assert_eq!(delivery.headers.get("msg_type"), Some("stf:gen\nx"));
        assert!(delivery.headers.get("timestamp").is_some());
        assert!(!delivery.redelivered());
    }
    one.shutdown().await;
    two.shutdown().await;
    broker.shutdown().await;
}

#[tokio::test]
async fn the_client_starts_before_its_broker_and_connects_when_there_is_one() {
    let port = free_port();
    let addr = ([127, 0, 0, 1], port).into();
    let client = Client::start(client_config(addr));
    let early = client.connected(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(early, Error::Timeout { .. }), "{early}");
    let sending = tokio::spawn({
        let client = client.clone();
        async move { client.send(Message::new("/queue/early", "kept")).await }
    });
    let mut status = client.status();
    within(status.wait_for(|status| status.last_error.is_some())).await.unwrap();
    let broker = Broker::start(swf_stomp::BrokerConfig::new(addr)).await.unwrap();
    within(sending).await.unwrap().unwrap();
    let mut subscription = client.subscribe(Subscribe::to("/queue/early")).await.unwrap();
    assert_eq!(text(&next(&mut subscription).await), "kept");
    broker.shutdown().await;
}

#[tokio::test]
async fn subscriptions_and_sends_survive_a_cut_connection() {
    let broker = broker().await;
    let proxy = Proxy::start(broker.addr()).await;
    let (near, far) = (client(broker.addr()).await, client(proxy.addr).await);
    let mut subscription = far.subscribe(acknowledging("/queue/work")).await.unwrap();
    for number in 0..40 {
        near.send(Message::new("/queue/work", number.to_string())).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 40 {
        if seen.len() == 20 && far.status().borrow().reconnects == 0 {
            proxy.cut();
            let mut status = far.status();
            within(status.wait_for(|status| status.connected && status.reconnects == 1)).await.unwrap();
        }
        let delivery = next(&mut subscription).await;
        // An acknowledgement of the earlier connection is no error, and the message comes again.
        delivery.ack().await.unwrap();
        let number: u32 = text(&delivery).parse().unwrap();
        if !seen.contains(&number) {
            seen.push(number);
        }
    }
    while broker.stats().destinations["/queue/work"].depth > 0 {
        // Acknowledgements that the cut took with it: their messages come again.
        if let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_millis(50), subscription.next()).await
        {
            delivery.ack().await.unwrap();
        }
    }
    far.send(Message::new("/queue/other", "still here")).await.unwrap();
    assert_eq!(broker.stats().destinations["/queue/other"].depth, 1);
}

#[tokio::test]
async fn a_send_waits_through_a_reconnect() {
    let broker = broker().await;
    let proxy = Proxy::start(broker.addr()).await;
    let client = client(proxy.addr).await;
    proxy.block(true);
    let mut status = client.status();
    within(status.wait_for(|status| !status.connected)).await.unwrap();
    let sending = tokio::spawn({
        let client = client.clone();
        async move { client.send(Message::new("/queue/patient", "x")).await }
    });
    within(status.wait_for(|status| status.last_error.is_some())).await.unwrap();
    assert!(!sending.is_finished());
    proxy.block(false);
    within(sending).await.unwrap().unwrap();
    assert_eq!(broker.stats().destinations["/queue/patient"].depth, 1);
}

#[tokio::test]
async fn a_send_without_a_broker_ends_with_the_reason() {
    let mut config = client_config(([127, 0, 0, 1], free_port()).into());
    config.send_timeout = Duration::from_millis(300);
    let client = Client::start(config);
    let error = client.send(Message::new("/queue/x", "y")).await.unwrap_err().to_string();
    assert!(error.contains("send to /queue/x") && error.contains("connect to the message broker"), "{error}");
    // A subscription is remembered all the same.
    client.subscribe(Subscribe::to("/queue/x")).await.unwrap();
    client.shutdown().await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = client_config(listener.local_addr().unwrap());
    config.heart_beat = Duration::from_millis(100);
    let client = Client::start(config);
    let (mut socket, _) = within(listener.accept()).await.unwrap();
    socket.write_all(b"CONNECTED\nversion:1.2\nheart-beat:100,100\n\n\0").await.unwrap();
    let mut status = client.status();
    let lost = within(status.wait_for(|status| !status.connected && status.last_error.is_some()))
        .await
        .unwrap()
        .clone();
    assert!(lost.last_error.unwrap().contains("no heart-beat"));
    // And it connects anew.
    within(listener.accept()).await.unwrap();
}

#[tokio::test]
async fn heart_beats_keep_an_idle_connection() {
    let broker =
        Broker::start(swf_stomp::BrokerConfig { heart_beat: Duration::from_millis(200), ..config() })
            .await
            .unwrap();
    let mut config = client_config(broker.addr());
    config.heart_beat = Duration::from_millis(200);
    let client = Client::start(config);
    client.connected(PATIENCE).await.unwrap();
    // A raw client that promised heart-beats and sends none marks the time by which ours would be gone too.
    let mut raw = Raw::open(broker.addr()).await;
    raw.send(Frame::new("CONNECT").with("accept-version", "1.2").with("heart-beat", "200,0")).await;
    assert_eq!(raw.frame().await.command, "CONNECTED");
    assert!(raw.error().await.contains("no heart-beat"));
    assert_eq!(client.status().borrow().reconnects, 0);
    assert!(client.status().borrow().connected);
}

#[tokio::test]
async fn a_wrong_passcode_is_named_and_tried_again() {
    let logins = [("agent".to_owned(), "secret".to_owned())].into_iter().collect();
    let broker = Broker::start(swf_stomp::BrokerConfig { logins: Some(logins), ..config() }).await.unwrap();
    let mut wrong = client_config(broker.addr());
    (wrong.login, wrong.passcode) = ("agent".into(), "guess".into());
    let refused = Client::start(wrong.clone());
    let mut status = refused.status();
    within(
        status.wait_for(|status| {
            status.last_error.as_deref().is_some_and(|text| text.contains("login refused"))
        }),
    )
    .await
    .unwrap();
    assert!(!format!("{wrong:?}").contains("guess"));
    wrong.passcode = "secret".into();
    Client::start(wrong).connected(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_refused_subscription_is_an_error_and_the_others_go_on() {
    let broker = broker().await;
    let client = client(broker.addr()).await;
    let mut good = client.subscribe(Subscribe::to("/topic/x")).await.unwrap();
    let bad = Subscribe { selector: Some("a LIKE 'b'".into()), ..Subscribe::to("/topic/x") };
    let error = client.subscribe(bad).await.unwrap_err().to_string();
    assert!(error.contains("subscribe to /topic/x") && error.contains("joined by AND"), "{error}");
    until("subscribed again", || {
        broker.stats().destinations.get("/topic/x").is_some_and(|x| x.subscribers == 1)
    })
    .await;
    client.send(Message::new("/topic/x", "on")).await.unwrap();
    assert_eq!(text(&next(&mut good).await), "on");
    let error = client.send(Message::new("/nowhere/x", "")).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[tokio::test]
async fn unsubscribing_and_dropping_end_a_subscription() {
    let broker = broker().await;
    let client = client(broker.addr()).await;
    let subscribers = || broker.stats().destinations.get("/topic/x").map_or(0, |x| x.subscribers);
    let first = client.subscribe(Subscribe::to("/topic/x")).await.unwrap();
    let second = client.subscribe(Subscribe::to("/topic/x")).await.unwrap();
    assert_eq!(subscribers(), 2);
    first.unsubscribe().await;
    assert_eq!(subscribers(), 1);
    drop(second);
    until("dropped", || subscribers() == 0).await;
}

#[tokio::test]
async fn shutting_down_confirms_what_was_sent_and_ends_everything() {
    let broker = broker().await;
    let client = client(broker.addr()).await;
    let mut subscription = client.subscribe(acknowledging("/queue/x")).await.unwrap();
    client.send(Message::new("/queue/x", "1")).await.unwrap();
    next(&mut subscription).await.ack().await.unwrap();
    client.clone().shutdown().await;
    assert!(within(subscription.next()).await.is_none());
    assert!(matches!(client.send(Message::new("/queue/x", "2")).await, Err(Error::Closed)));
    until("no connection", || broker.stats().connections == 0).await;
    assert_eq!(broker.stats().destinations["/queue/x"].depth, 0);
}

#[tokio::test]
async fn a_full_receive_buffer_stops_reading_and_loses_nothing() {
    let broker = broker().await;
    let mut config = client_config(broker.addr());
    config.receive_buffer = 20_000;
    let slow = Client::start(config);
    let mut subscription = slow.subscribe(Subscribe::to("/queue/x")).await.unwrap();
    let sender = client(broker.addr()).await;
    for number in 0..200 {
        sender.send(Message::new("/queue/x", format!("{number:0>1000}"))).await.unwrap();
    }
    for number in 0..200 {
        assert_eq!(text(&next(&mut subscription).await), format!("{number:0>1000}"));
    }
}
