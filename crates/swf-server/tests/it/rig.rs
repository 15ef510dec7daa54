//! A whole monitor for one test: broker and server on sockets of their own, a database, accounts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use swf_db::testing::TestDb;
use swf_server::app::App;
use swf_server::auth::{self, Auth};
use swf_server::{Server, ingest, mcp, rest, sse};
use swf_stomp::{Broker, BrokerConfig, Client, ClientConfig, Message};
use swf_tools::panda::{self, seed};
use swf_tools::{Bus, Clock, Scope, Service, Settings, accounts};
use tokio_util::sync::CancellationToken;

/// Everything in a test that waits for something ends after this.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "/topic/epictopic";

/// What a test wants otherwise than usual.
#[derive(Default)]
pub struct Wishes {
    pub auth: auth::Config,
    pub streams: sse::Config,
    pub mcp: mcp::Config,
    pub rest: rest::Config,
    pub panda: Option<panda::Panda>,
}

/// A small synthetic production that ends now.
pub async fn production(folder: &std::path::Path) -> panda::Panda {
    let url = format!("sqlite:{}", folder.join("panda.sqlite3").display());
    let made = seed::open(&url).await.unwrap();
    let plan = seed::Plan { jobs: 200, days: 10, ..seed::Plan::demo(Clock::System.now().naive_utc()) };
    seed::seed(&made, &plan).await.unwrap();
    made.close().await;
    panda::open(&url, panda::Settings::default()).await.unwrap()
}

pub struct Rig {
    /// Of the server, with the prefix.
    pub url: String,
    pub db: swf_db::Db,
    /// Of account `alice`, who may control.
    pub token: String,
    pub http: reqwest::Client,
    pub broker: Broker,
    pub bus: Client,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// Starts a server that captures, on an address of its own; its URL, its end, and what it ended with.
async fn serve(
    app: Arc<App>,
    mcp: mcp::Config,
    connection: ClientConfig,
) -> (String, CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let capture = ClientConfig { client_id: Some("monitor".into()), ..connection };
    let capture_config = ingest::Config { destination: TOPIC.into(), durable: "monitor".into() };
    let server = Server {
        app,
        prefix: "/swf-monitor".into(),
        mcp,
        capture: Some((Client::start(capture), capture_config)),
        retention: Default::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/swf-monitor", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.run(listener, stop.clone()));
    (url, stop, task)
}

impl Rig {
    pub async fn start(db: &TestDb) -> Rig {
        Rig::with(db, Wishes::default()).await
    }

    pub async fn with(db: &TestDb, wishes: Wishes) -> Rig {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = BrokerConfig::new(([127, 0, 0, 1], 0).into());
        config.multicast.insert("epictopic".into());
        let broker = Broker::start(config).await.unwrap();
        let connection = ClientConfig::new("127.0.0.1", broker.addr().port());
        let bus = Client::start(connection.clone());
        let db = db.db.clone();
        let token = accounts::create_token(&db, Clock::System.now(), "alice", Scope::Write).await.unwrap();
        let service = Arc::new(Service {
            db: db.clone(),
            panda: wishes.panda,
            bus: Some(Bus::new(bus.clone())),
            clock: Clock::System,
            settings: Settings { reply_timeout: Duration::from_millis(200), ..Settings::default() },
            sources: Default::default(),
        });
        let auth = Auth::new(db.clone(), wishes.auth);
        let app = Arc::new(App::new(service, auth, wishes.rest, wishes.streams));
        let (url, stop, server) = serve(app, wishes.mcp, connection).await;
        bus.connected(PATIENCE).await.unwrap();
        let rig = Rig { url, db, token, http: reqwest::Client::new(), broker, bus, stop, server };
        rig.until("the capture has subscribed", async || {
            rig.broker
                .stats()
                .destinations
                .iter()
                .any(|(name, d)| name.contains("#monitor") && d.subscribers > 0)
        })
        .await;
        rig
    }

    /// A second server on the same database and broker, with an address of its own; it ends with the token.
    pub async fn replica(&self) -> (String, CancellationToken) {
        let connection = ClientConfig::new("127.0.0.1", self.broker.addr().port());
        let service = Arc::new(Service {
            db: self.db.clone(),
            panda: None,
            bus: Some(Bus::new(Client::start(connection.clone()))),
            clock: Clock::System,
            settings: Settings::default(),
            sources: Default::default(),
        });
        let auth = Auth::new(self.db.clone(), auth::Config::default());
        let app = Arc::new(App::new(service, auth, rest::Config::default(), sse::Config::default()));
        let (url, stop, _) = serve(app, mcp::Config::default(), connection).await;
        (url, stop)
    }

    /// Ends the server and leaves the broker to others.
    pub fn end_server(&self) {
        self.stop.cancel();
    }

    /// Looks again and again until something is so.
    pub async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        let looked = async {
            while !so().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, looked).await.is_ok(), "never happened: {what}");
    }

    /// Sends a message to the topic; the broker has it afterwards.
    pub async fn publish(&self, body: &Value) {
        let message = Message::new(TOPIC, body.to_string()).with("persistent", "true");
        self.bus.send(message).await.unwrap();
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).header("authorization", format!("Token {}", self.token))
    }

    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Ends the server in an orderly way; the broker stays.
    pub async fn stop(self) -> swf_db::Db {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.server).await.expect("the server ends").unwrap().unwrap();
        self.broker.shutdown().await;
        self.db
    }
}
