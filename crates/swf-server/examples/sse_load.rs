//! Load on the event stream: `cargo run --release -p swf-server --example sse_load [clients] [messages]`.
//!
//! One process is broker and monitor on a fresh SQLite file, a second one is all the clients. Printed are the
//! time to connect, what a client costs in memory, the processor time of the idle server, and how long a
//! message takes to reach everybody.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that cannot be set up must fail at once"
)]

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use swf_server::app::App;
use swf_server::auth::{self, Auth};
use swf_server::{Server, ingest, mcp};
use swf_stomp::{Broker, BrokerConfig, Client, ClientConfig, Message};
use swf_tools::tables::SCHEMA;
use swf_tools::{Clock, Service, Settings};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Connections that are being opened at one time.
const OPENING: usize = 64;
/// How long the idle server is watched.
const IDLE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual: usize| arguments.get(at).and_then(|a| a.parse().ok()).unwrap_or(usual);
    match arguments.first().map(String::as_str) {
        Some("listen") => listen(arguments.get(1).expect("an address"), number(2, 0)).await,
        _ => serve(number(0, 10_000), number(1, 20)).await,
    }
}

async fn serve(clients: usize, messages: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = swf_db::Db::open_file(&folder.path().join("swf.sqlite"), &Default::default())
        .await
        .expect("a database");
    swf_db::migrate(&db, &SCHEMA).await.expect("the schema");
    let broker = Broker::start(BrokerConfig::new(([127, 0, 0, 1], 0).into())).await.expect("a broker");
    let connection = ClientConfig::new("127.0.0.1", broker.addr().port());
    let publisher = Client::start(connection.clone());
    let service = Arc::new(Service {
        db: db.clone(),
        panda: None,
        bus: None,
        clock: Clock::System,
        settings: Settings::default(),
        sources: Default::default(),
    });
    let auth = Auth::new(db, auth::Config::default());
    let app = Arc::new(App::new(service, auth, Default::default(), Default::default()));
    let capture = Client::start(ClientConfig { client_id: Some("load".into()), ..connection });
    let capture_config = ingest::Config { destination: "/topic/load".into(), durable: "load".into() };
    let server = Server {
        app: app.clone(),
        prefix: String::new(),
        mcp: mcp::Config::default(),
        capture: Some((capture, capture_config)),
        retention: Default::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let stop = CancellationToken::new();
    let server = tokio::spawn(server.run(listener, stop.clone()));
    publisher.connected(Duration::from_secs(10)).await.expect("the broker answers");

    let before = resident();
    let started = Instant::now();
    let mut child = tokio::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["listen", &address, &clients.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the clients start");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut line = async || lines.next_line().await.expect("a line").expect("the clients live");
    assert_eq!(line().await, "connected");
    let kib = (resident() - before) / clients as f64;
    println!(
        "{clients} clients connected in {:.1} s; {kib:.1} KiB each, {:.0} MiB in all",
        started.elapsed().as_secs_f64(),
        resident() / 1024.0
    );

    let (busy, idle) = (processor(), Instant::now());
    tokio::time::sleep(IDLE).await;
    let share = (processor() - busy) / idle.elapsed().as_secs_f64() * 100.0;
    println!("idle for {} s with a heartbeat each: {share:.1} % of one processor", IDLE.as_secs());

    let mut slowest = 0.0_f64;
    let all = Instant::now();
    for n in 0..messages {
        let body =
            serde_json::json!({"msg_type": "load", "n": n, "namespace": "load", "filler": "x".repeat(400)});
        let sent = Instant::now();
        publisher.send(Message::new("/topic/load", body.to_string())).await.expect("the broker takes it");
        assert_eq!(line().await, "all have it");
        slowest = slowest.max(sent.elapsed().as_secs_f64());
    }
    let each = all.elapsed().as_secs_f64() / messages as f64;
    println!(
        "a message reaches all in {:.0} ms on average, {:.0} ms at worst; {:.0} MiB in all",
        each * 1e3,
        slowest * 1e3,
        resident() / 1024.0
    );

    let ending = Instant::now();
    drop(child);
    while !app.streams.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("all gone after {:.1} s; {:.0} MiB", ending.elapsed().as_secs_f64(), resident() / 1024.0);
    stop.cancel();
    server.await.expect("the server ends").expect("in order");
    broker.shutdown().await;
}

/// Opens `clients` streams and says when each message has reached them all.
async fn listen(address: &str, clients: usize) {
    let (events, mut heard) = mpsc::channel::<bool>(1024);
    let gate = Arc::new(tokio::sync::Semaphore::new(OPENING));
    for _ in 0..clients {
        let turn = gate.clone().acquire_owned().await.expect("the gate is open");
        let (address, events) = (address.to_owned(), events.clone());
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(&address).await.expect("a connection");
            let request = format!("GET /api/messages/stream/ HTTP/1.1\r\nHost: {address}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("the request is sent");
            let mut buffer = [0; 4096];
            let mut turn = Some(turn);
            loop {
                let n = stream.read(&mut buffer).await.expect("the stream goes on");
                let text = String::from_utf8_lossy(buffer.get(..n).unwrap_or_default());
                assert!(n > 0, "the server ended a stream");
                for name in text.lines().filter_map(|l| l.strip_prefix("event: ")) {
                    assert!(name != "dropped", "a message was dropped");
                    if name == "connected" {
                        drop(turn.take());
                    }
                    if name != "heartbeat" {
                        events.send(name == "connected").await.expect("the counter lives");
                    }
                }
            }
        });
    }
    let (mut connected, mut received) = (0, 0);
    while let Some(joined) = heard.recv().await {
        if joined {
            connected += 1;
        } else {
            received += 1;
        }
        if joined && connected == clients {
            println!("connected");
        }
        if !joined && received % clients == 0 {
            println!("all have it");
        }
    }
}

/// KiB of this process in memory.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

/// Seconds of processor time of this process.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>();
    ticks / 100.0
}
