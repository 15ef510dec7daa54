//! What must survive survives the end of the process, orderly or not.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use swf_stomp::{Broker, BrokerConfig, Client, ClientConfig, Frame, Message, Subscribe, Version};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::support::*;

/// A broker in a process of its own.
struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    async fn start(listen: &str, file: &Path) -> Self {
        let mut child = Command::new(example())
            .args([listen.as_ref(), file.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr =
            within(lines.next_line()).await.unwrap().expect("the broker did not start").parse().unwrap();
        Self { child, addr }
    }

    /// Ends it with SIGKILL.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn example() -> PathBuf {
    let path = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/broker");
    assert!(path.exists(), "{} is not built; run cargo build --examples -p swf-stomp", path.display());
    path
}

fn monitor(addr: SocketAddr) -> Client {
    Client::start(ClientConfig { client_id: Some("monitor".into()), ..client_config(addr) })
}

fn durable() -> Subscribe {
    Subscribe { durable: Some("capture".into()), ..acknowledging("/topic/epic") }
}

#[tokio::test]
async fn confirmed_messages_and_acknowledgements_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.sqlite");
    let process = Process::start("127.0.0.1:0", &file).await;
    let addr = process.addr;
    let client = client(addr).await;
    drop(monitor(addr).subscribe(durable()).await.unwrap());
    let odd = Message::new("/queue/work", &b"\0\xff"[..]).with("a:b", "c\nd\\e");
    client.send(odd).await.unwrap();
    for number in 1..100 {
        client.send(Message::new("/queue/work", number.to_string())).await.unwrap();
        client.send(Message::new("/topic/epic", number.to_string())).await.unwrap();
    }
    client.send(Message::new("/queue/work", "fleeting").with("persistent", "false")).await.unwrap();
    let mut raw = Raw::connect(addr, Version::V1_2).await;
    raw.subscribe("1", "/queue/work", "client-individual").await;
    let mut ids = Vec::new();
    for number in 0..50 {
        let message = raw.frame().await;
        ids.push(message.get("message-id").unwrap().to_owned());
        if number >= 1 {
            let ack = Frame::new("ACK").with("id", message.get("ack").unwrap());
            raw.send(if number == 49 { ack.with("receipt", "last") } else { ack }).await;
        }
    }
    // Its receipt says that all acknowledgements are on the disk.
    let mut receipt = raw.frame().await;
    while receipt.command == "MESSAGE" {
        receipt = raw.frame().await;
    }
    assert_eq!(receipt.get("receipt-id"), Some("last"));
    process.kill().await;

    let process = Process::start(&addr.to_string(), &file).await;
    client.connected(PATIENCE).await.unwrap();
    let mut subscription = client.subscribe(Subscribe::to("/queue/work")).await.unwrap();
    let first = next(&mut subscription).await;
    assert_eq!((&first.body[..], first.headers.get("a:b")), (&b"\0\xff"[..], Some("c\nd\\e")));
    assert_eq!(first.message_id(), ids[0], "the id changed over the restart");
    for number in 50..100 {
        assert_eq!(text(&next(&mut subscription).await), number.to_string());
    }
    let monitor = monitor(addr);
    let mut subscription = monitor.subscribe(durable()).await.unwrap();
    for number in 1..100 {
        assert_eq!(text(&next(&mut subscription).await), number.to_string());
    }
    process.kill().await;
}

#[tokio::test]
async fn nothing_confirmed_is_lost_and_nothing_is_made_up_while_brokers_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.sqlite");
    let mut process = Process::start("127.0.0.1:0", &file).await;
    let addr = process.addr;
    let sender = client(addr).await;
    let sending = tokio::spawn(async move {
        for number in 0..600 {
            sender.send(Message::new("/queue/work", number.to_string())).await.unwrap();
        }
    });
    let receiver = client(addr).await;
    let mut subscription = receiver.subscribe(acknowledging("/queue/work")).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut kills = 0;
    while seen.len() < 600 {
        let delivery = next(&mut subscription).await;
        seen.insert(text(&delivery).parse::<u32>().unwrap());
        delivery.ack().await.unwrap();
        if kills < 3 && seen.len() > (kills + 1) * 120 {
            kills += 1;
            process.kill().await;
            process = Process::start(&addr.to_string(), &file).await;
        }
    }
    within(sending).await.unwrap();
    assert_eq!((kills, seen.last()), (3, Some(&599)));
    process.kill().await;
}

#[tokio::test]
async fn an_orderly_end_keeps_messages_and_forgets_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let data_file = Some(folder.path().join("messages.sqlite"));
    let start = || Broker::start(BrokerConfig { data_file: data_file.clone(), ..config() });
    let broker = start().await.unwrap();
    let error = start().await.err().unwrap().to_string();
    assert!(error.contains("another broker is using it"), "{error}");
    let sender = client(broker.addr()).await;
    for number in 0..1000 {
        sender.send(Message::new("/queue/x", number.to_string())).await.unwrap();
        if number == 9 {
            let mut subscription = sender.subscribe(acknowledging("/queue/x")).await.unwrap();
            for _ in 0..10 {
                next(&mut subscription).await.ack().await.unwrap();
            }
            subscription.unsubscribe().await;
        }
    }
    broker.shutdown().await;
    let broker = start().await.unwrap();
    assert_eq!(broker.stats().destinations["/queue/x"].depth, 990);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_transaction_is_on_the_disk_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages.sqlite");
    let process = Process::start("127.0.0.1:0", &file).await;
    let addr = process.addr;
    let mut raw = Raw::connect(addr, Version::V1_2).await;
    raw.confirmed(Frame::new("SEND").with("destination", "/queue/in").with_body("in")).await;
    raw.subscribe("1", "/queue/in", "client-individual").await;
    let message = raw.frame().await;
    raw.confirmed(Frame::new("BEGIN").with("transaction", "t")).await;
    raw.send(Frame::new("SEND").with("destination", "/queue/out").with("transaction", "t").with_body("out"))
        .await;
    raw.send(Frame::new("ACK").with("id", message.get("ack").unwrap()).with("transaction", "t")).await;
    raw.confirmed(Frame::new("COMMIT").with("transaction", "t")).await;
    process.kill().await;
    let broker = Broker::start(BrokerConfig { data_file: Some(file), ..config() }).await.unwrap();
    let depths: Vec<_> =
        broker.stats().destinations.into_iter().map(|(name, stats)| (name, stats.depth)).collect();
    assert_eq!(depths, [("/queue/out".to_owned(), 1)]);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not-sqlite");
    std::fs::write(&file, "x".repeat(5000)).unwrap();
    for path in [file, folder.path().join("absent/messages.sqlite")] {
        let config = BrokerConfig { data_file: Some(path.clone()), ..config() };
        let error = tokio::time::timeout(Duration::from_secs(20), Broker::start(config))
            .await
            .unwrap()
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()) && text.contains("must be a SQLite"), "{text}");
    }
}

#[tokio::test]
async fn receipts_of_stored_messages_come_before_the_error_that_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let data_file = Some(folder.path().join("messages.sqlite"));
    let broker = Broker::start(BrokerConfig { data_file, sync: true, ..config() }).await.unwrap();
    let mut raw = Raw::connect(broker.addr(), Version::V1_2).await;
    for number in 0..50 {
        raw.send(Frame::new("SEND").with("destination", "/queue/x").with("receipt", number.to_string()))
            .await;
    }
    raw.send(Frame::new("SEND").with("destination", "/nowhere/x")).await;
    for number in 0..50 {
        assert_eq!(raw.frame().await.get("receipt-id"), Some(number.to_string().as_str()));
    }
    assert!(raw.error().await.contains("/nowhere/"));
    broker.shutdown().await;
}
