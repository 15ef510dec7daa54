//! Queues: exactly one consumer, in turn, redelivery, dead letters, selectors, expiry.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use swf_stomp::{Broker, BrokerConfig, BrokerLimits, Frame, Message, Subscribe, Version};

use crate::support::*;

#[tokio::test]
async fn competing_consumers_get_every_message_exactly_once() {
    let broker = broker().await;
    let (report, mut received) = tokio::sync::mpsc::unbounded_channel();
    for consumer in 0..4 {
        let client = client(broker.addr()).await;
        let mut subscription = client.subscribe(acknowledging("/queue/work")).await.unwrap();
        let report = report.clone();
        tokio::spawn(async move {
            while let Some(delivery) = subscription.next().await {
                delivery.ack().await.unwrap();
                report.send((consumer, text(&delivery))).unwrap();
            }
        });
    }
    let sender = client(broker.addr()).await;
    for number in 0..200 {
        sender.send(Message::new("/queue/work", number.to_string())).await.unwrap();
    }
    let mut shares: BTreeMap<i32, usize> = BTreeMap::new();
    let mut numbers = BTreeSet::new();
    for _ in 0..200 {
        let (consumer, number) = within(received.recv()).await.unwrap();
        *shares.entry(consumer).or_default() += 1;
        assert!(numbers.insert(number), "delivered twice");
    }
    // In turn, so all have about the same.
    assert_eq!(shares.len(), 4);
    assert!(shares.values().all(|share| (40..=60).contains(share)), "{shares:?}");
    until("all acknowledged", || broker.stats().destinations["/queue/work"].depth == 0).await;
    assert_eq!(broker.stats().destinations["/queue/work"].delivered, 200);
}

#[tokio::test]
async fn a_small_window_leaves_work_for_others() {
    let broker = broker().await;
    let sender = client(broker.addr()).await;
    for number in 0..6 {
        sender.send(Message::new("/queue/work", number.to_string())).await.unwrap();
    }
    let one_ahead = || Subscribe { prefetch: Some(1), ..acknowledging("/queue/work") };
    let (busy, free) = (client(broker.addr()).await, client(broker.addr()).await);
    let mut busy_subscription = busy.subscribe(one_ahead()).await.unwrap();
    let held = next(&mut busy_subscription).await;
    let mut free_subscription = free.subscribe(one_ahead()).await.unwrap();
    for _ in 0..5 {
        next(&mut free_subscription).await.ack().await.unwrap();
    }
    assert_eq!(text(&held), "0");
    until("one left", || broker.stats().destinations["/queue/work"].depth == 1).await;
}

#[tokio::test]
async fn what_a_dead_consumer_had_goes_to_another_in_the_old_order() {
    let broker = broker().await;
    let mut dying = Raw::connect(broker.addr(), Version::V1_2).await;
    dying.subscribe("1", "/queue/work", "client-individual").await;
    let sender = client(broker.addr()).await;
    for number in 0..3 {
        sender.send(Message::new("/queue/work", number.to_string())).await.unwrap();
    }
    let first_id = dying.frame().await.get("message-id").unwrap().to_owned();
    let mut subscription = sender.subscribe(acknowledging("/queue/work")).await.unwrap();
    drop(dying);
    for number in 0..3 {
        let delivery = next(&mut subscription).await;
        assert_eq!(text(&delivery), number.to_string());
        assert!(delivery.redelivered());
        assert_eq!(delivery.headers.get("delivery-count"), Some("2"));
        if number == 0 {
            assert_eq!(delivery.message_id(), first_id);
        }
    }
}

#[tokio::test]
async fn a_message_refused_too_often_becomes_a_dead_letter() {
    let limits = BrokerLimits { deliveries: 3, ..BrokerLimits::default() };
    let broker = Broker::start(BrokerConfig { limits, ..config() }).await.unwrap();
    let client = client(broker.addr()).await;
    let mut subscription = client.subscribe(acknowledging("/queue/work")).await.unwrap();
    client.send(Message::new("/queue/work", "poison").with("kind", "bad")).await.unwrap();
    for attempt in 1..=3 {
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.redelivered(), attempt > 1);
        delivery.nack().await.unwrap();
    }
    let mut dead = client.subscribe(Subscribe::to("/queue/DLQ.work")).await.unwrap();
    let letter = next(&mut dead).await;
    assert_eq!(text(&letter), "poison");
    assert_eq!(letter.headers.get("kind"), Some("bad"));
    assert_eq!(letter.headers.get("original-destination"), Some("/queue/work"));
    assert!(letter.headers.get("dead-letter-reason").unwrap().contains("3 deliveries"));
    assert_eq!(broker.stats().destinations["/queue/work"].depth, 0);
}

#[tokio::test]
async fn selectors_share_a_queue_out() {
    let broker = broker().await;
    let client = client(broker.addr()).await;
    let select =
        |selector: &str| Subscribe { selector: Some(selector.into()), ..acknowledging("/queue/work") };
    for number in 0..6 {
        let message = Message::new("/queue/work", number.to_string());
        let namespace = if number % 2 == 0 { "even" } else { "odd" };
        client.send(message.with("namespace", namespace).with("number", number.to_string())).await.unwrap();
    }
    let mut odd = client.subscribe(select("namespace = 'odd'")).await.unwrap();
    for number in [1, 3, 5] {
        let delivery = next(&mut odd).await;
        assert_eq!(text(&delivery), number.to_string());
        // Refused ones come back to the same selector.
        if delivery.redelivered() {
            delivery.ack().await.unwrap()
        } else {
            delivery.nack().await.unwrap()
        }
        if number == 1 {
            let again = next(&mut odd).await;
            assert!(again.redelivered() || text(&again) == "3");
            again.ack().await.unwrap();
            break;
        }
    }
    let mut even = client.subscribe(select("namespace IN ('even') AND number >= 2")).await.unwrap();
    assert_eq!(text(&next(&mut even).await), "2");
    assert_eq!(text(&next(&mut even).await), "4");
    let mut topic = client
        .subscribe(Subscribe { selector: Some("a <> '1'".into()), ..Subscribe::to("/topic/x") })
        .await
        .unwrap();
    for a in ["1", "2"] {
        client.send(Message::new("/topic/x", a).with("a", a)).await.unwrap();
    }
    assert_eq!(text(&next(&mut topic).await), "2");
}

#[tokio::test]
async fn expired_messages_are_dropped() {
    let broker = broker().await;
    let client = client(broker.addr()).await;
    let in_ms = |ms: i64| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        (i64::try_from(now).unwrap() + ms).to_string()
    };
    client.send(Message::new("/queue/x", "over").with("expires", in_ms(-1000))).await.unwrap();
    client.send(Message::new("/queue/x", "soon over").with("expires", in_ms(300))).await.unwrap();
    client.send(Message::new("/queue/x", "fresh").with("expires", in_ms(600_000))).await.unwrap();
    client.send(Message::new("/queue/x", "for ever").with("expires", "0")).await.unwrap();
    until("swept", || broker.stats().destinations["/queue/x"].dropped == 2).await;
    let mut subscription = client.subscribe(Subscribe::to("/queue/x")).await.unwrap();
    assert_eq!(text(&next(&mut subscription).await), "fresh");
    assert_eq!(text(&next(&mut subscription).await), "for ever");
}

#[tokio::test]
async fn a_queue_keeps_messages_until_somebody_comes() {
    let broker = broker().await;
    let mut raw = Raw::connect(broker.addr(), Version::V1_1).await;
    raw.confirmed(
        Frame::new("SEND").with("destination", "/queue/x").with("persistent", "false").with_body("kept"),
    )
    .await;
    raw.confirmed(Frame::new("DISCONNECT")).await;
    let client = client(broker.addr()).await;
    let mut subscription = client.subscribe(Subscribe::to("/queue/x")).await.unwrap();
    assert_eq!(text(&next(&mut subscription).await), "kept");
    let mut idle = client.subscribe(Subscribe::to("/queue/x")).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(50), idle.next()).await;
    assert!(nothing.is_err(), "a queue message went to two consumers");
}
