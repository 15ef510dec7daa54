//! Brokers on free ports, raw connections, and a proxy that can cut them.

use std::{
    collections::VecDeque,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use swf_stomp::{
    AckMode, Broker, BrokerConfig, Client, ClientConfig, Codec, Delivery, Frame, Limits, Subscribe,
    Subscription, Version, encode,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn config() -> BrokerConfig {
    BrokerConfig::new("127.0.0.1:0".parse().unwrap())
}

pub async fn broker() -> Broker {
    Broker::start(config()).await.unwrap()
}

pub fn client_config(addr: SocketAddr) -> ClientConfig {
    ClientConfig {
        backoff_max: Duration::from_millis(300),
        send_timeout: PATIENCE,
        ..ClientConfig::new(addr.ip().to_string(), addr.port())
    }
}

pub async fn client(addr: SocketAddr) -> Client {
    let client = Client::start(client_config(addr));
    client.connected(PATIENCE).await.unwrap();
    client
}

pub fn acknowledging(destination: &str) -> Subscribe {
    Subscribe { ack: AckMode::ClientIndividual, ..Subscribe::to(destination) }
}

/// The next message, or a failed test.
pub async fn next(subscription: &mut Subscription) -> Delivery {
    within(subscription.next()).await.expect("subscription ended")
}

pub fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).unwrap()
}

pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

/// Waits until it is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A connection without a client library.
pub struct Raw {
    pub socket: TcpStream,
    codec: Codec,
    buffer: BytesMut,
    /// Frames that came while a receipt was waited for.
    earlier: VecDeque<Frame>,
    version: Version,
}

impl Raw {
    pub async fn open(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).await.unwrap();
        Self {
            socket,
            codec: Codec::new(Limits::default()),
            buffer: BytesMut::new(),
            earlier: VecDeque::new(),
            version: Version::V1_0,
        }
    }

    /// Connects and logs in with a version.
    pub async fn connect(addr: SocketAddr, version: Version) -> Self {
        let mut raw = Self::open(addr).await;
        raw.send(Frame::new("CONNECT").with("accept-version", version.as_str()).with("host", "x")).await;
        let connected = raw.frame().await;
        assert_eq!(
            (connected.command.as_str(), connected.get("version")),
            ("CONNECTED", Some(version.as_str()))
        );
        raw.version = version;
        raw.codec.set_version(version);
        raw
    }

    pub async fn send(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        encode(&frame, self.version, &mut bytes);
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Sends with a receipt and waits for it; messages that come meanwhile are kept.
    pub async fn confirmed(&mut self, frame: Frame) {
        self.send(frame.with("receipt", "raw")).await;
        let mut earlier = VecDeque::new();
        loop {
            let frame = self.read().await.expect("the broker closed the connection");
            match frame.command.as_str() {
                "RECEIPT" => break assert_eq!(frame.get("receipt-id"), Some("raw")),
                "MESSAGE" => earlier.push_back(frame),
                _ => panic!("no receipt but {frame:?}"),
            }
        }
        self.earlier.append(&mut earlier);
    }

    pub async fn subscribe(&mut self, id: &str, destination: &str, ack: &str) {
        let frame = Frame::new("SUBSCRIBE").with("id", id).with("destination", destination).with("ack", ack);
        self.confirmed(frame).await;
    }

    pub async fn frame(&mut self) -> Frame {
        self.maybe_frame().await.expect("the broker closed the connection")
    }

    /// The next frame; `None` when the broker has closed the connection.
    pub async fn maybe_frame(&mut self) -> Option<Frame> {
        match self.earlier.pop_front() {
            Some(frame) => Some(frame),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            let count = within(self.socket.read_buf(&mut self.buffer)).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
        }
    }

    /// The text of the ERROR that must come next, and the end of the connection that must follow.
    pub async fn error(&mut self) -> String {
        let frame = self.frame().await;
        assert_eq!(frame.command, "ERROR", "{frame:?}");
        assert!(self.maybe_frame().await.is_none(), "the connection stayed open after an ERROR");
        String::from_utf8(frame.body.to_vec()).unwrap()
    }
}

/// Passes bytes on until it is told to cut every connection.
pub struct Proxy {
    pub addr: SocketAddr,
    cut: broadcast::Sender<()>,
    blocked: Arc<AtomicBool>,
}

impl Proxy {
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (cut, _) = broadcast::channel(4);
        let blocked = Arc::new(AtomicBool::new(false));
        let (cuts, refuse) = (cut.clone(), blocked.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if refuse.load(Ordering::SeqCst) {
                    continue;
                }
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { addr, cut, blocked }
    }

    /// Cuts every connection; new ones are taken.
    pub fn cut(&self) {
        // Nobody listens when there is no connection.
        let _ = self.cut.send(());
    }

    /// Cuts every connection and, while set, every new one at once.
    pub fn block(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::SeqCst);
        if blocked {
            self.cut();
        }
    }
}

pub fn required() -> bool {
    std::env::var("SWF_REQUIRE_ALL").is_ok_and(|value| value == "1")
}

/// Says that a test has nothing to run on, which is a failure where everything must be there.
pub fn skip(why: &str) {
    assert!(!required(), "SWF_REQUIRE_ALL=1, but {why}; run ci/setup");
    println!("skipped: {why}");
}

/// The folder that `ci/setup` fills.
pub fn ci_dir() -> PathBuf {
    match std::env::var_os("SWF_CI_DIR") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/ci"),
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
