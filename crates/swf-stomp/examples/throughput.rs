//! Messages per second through the embedded broker: `throughput [MESSAGES]`, one run of each case.
//!
//! The sender is a raw connection that writes frames without waiting, as stomp.py does; the time runs until
//! every subscriber has every message. Bodies are 200 bytes.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use swf_stomp::{
    AckMode, Broker, BrokerConfig, Client, ClientConfig, Frame, Message, Subscribe, Version, encode,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Case {
    name: &'static str,
    destination: &'static str,
    ack: AckMode,
    subscribers: usize,
    stored: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "topic, 1 subscriber",
        destination: "/topic/t",
        ack: AckMode::Auto,
        subscribers: 1,
        stored: false,
    },
    Case {
        name: "topic, 4 subscribers",
        destination: "/topic/t",
        ack: AckMode::Auto,
        subscribers: 4,
        stored: false,
    },
    Case {
        name: "queue, auto ack",
        destination: "/queue/q",
        ack: AckMode::Auto,
        subscribers: 1,
        stored: false,
    },
    Case {
        name: "queue, 4 consumers, ack each",
        destination: "/queue/q",
        ack: AckMode::ClientIndividual,
        subscribers: 4,
        stored: false,
    },
    Case {
        name: "queue, stored, auto ack",
        destination: "/queue/q",
        ack: AckMode::Auto,
        subscribers: 1,
        stored: true,
    },
    Case {
        name: "queue, stored, ack each",
        destination: "/queue/q",
        ack: AckMode::ClientIndividual,
        subscribers: 1,
        stored: true,
    },
];

#[tokio::main]
async fn main() -> Result<()> {
    let messages: usize = std::env::args().nth(1).map_or(Ok(50_000), |text| text.parse())?;
    println!("{messages} messages of 200 bytes, one run");
    let mut first = None;
    for case in CASES {
        let rate = measure(&case, messages).await?;
        let first = *first.get_or_insert(rate);
        println!(
            "{:<32} {rate:>9.0} sent/s {:>9.0} delivered/s   {:.2} x the first",
            case.name,
            if case.destination.starts_with("/topic") { rate * case.subscribers as f64 } else { rate },
            rate / first
        );
    }
    println!("{:<32} {:>9.0} sent/s", "client, each with its receipt", receipts(messages / 10).await?);
    Ok(())
}

async fn broker(stored: bool) -> Result<(Broker, ClientConfig, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let mut config = BrokerConfig::new("127.0.0.1:0".parse()?);
    config.data_file = stored.then(|| folder.path().join("messages.sqlite"));
    let broker = Broker::start(config).await?;
    let client = ClientConfig::new("127.0.0.1", broker.addr().port());
    Ok((broker, client, folder))
}

async fn measure(case: &Case, messages: usize) -> Result<f64> {
    let (broker, config, _folder) = broker(case.stored).await?;
    let mut consumers: JoinSet<Result<()>> = JoinSet::new();
    let (report, mut received) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..case.subscribers {
        let client = Client::start(config.clone());
        let subscribe = Subscribe { ack: case.ack, ..Subscribe::to(case.destination) };
        let mut subscription = client.subscribe(subscribe).await?;
        let report = report.clone();
        consumers.spawn(async move {
            while let Some(delivery) = subscription.next().await {
                delivery.ack().await?;
                report.send(())?;
            }
            Ok(())
        });
    }
    let expected =
        if case.destination.starts_with("/topic") { messages * case.subscribers } else { messages };
    let mut sender = TcpStream::connect(broker.addr()).await?;
    let started = Instant::now();
    sender.write_all(&frames(case.destination, messages)).await?;
    for _ in 0..expected {
        received.recv().await;
    }
    let rate = messages as f64 / started.elapsed().as_secs_f64();
    consumers.abort_all();
    broker.shutdown().await;
    Ok(rate)
}

fn frames(destination: &str, messages: usize) -> Bytes {
    let mut bytes = BytesMut::new();
    encode(&Frame::new("CONNECT").with("accept-version", "1.2"), Version::V1_2, &mut bytes);
    let frame = Frame::new("SEND").with("destination", destination).with_body(vec![b'x'; 200]);
    for _ in 0..messages {
        encode(&frame, Version::V1_2, &mut bytes);
    }
    bytes.freeze()
}

/// Sends with a receipt for each message, 100 at a time, to a queue on disk that nobody reads.
async fn receipts(messages: usize) -> Result<f64> {
    let (broker, config, _folder) = broker(true).await?;
    let client = Client::start(config);
    let started = Instant::now();
    let mut under_way: JoinSet<std::result::Result<(), swf_stomp::Error>> = JoinSet::new();
    for _ in 0..messages {
        if under_way.len() >= 100
            && let Some(done) = under_way.join_next().await
        {
            done??;
        }
        let client = client.clone();
        under_way.spawn(async move { client.send(Message::new("/queue/q", vec![b'x'; 200])).await });
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    let rate = messages as f64 / started.elapsed().as_secs_f64();
    client.shutdown().await;
    broker.shutdown().await;
    Ok(rate)
}
