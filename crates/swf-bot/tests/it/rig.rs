//! A monitor with a synthetic production, a scripted model, and the bot between them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use swf_bot::{Bot, Config, HOME, ModelConfig, ServerSpec, Way};
use swf_db::testing::TestDb;
use swf_server::app::App;
use swf_server::auth::{self, Auth};
use swf_server::{Server, mcp, rest, sse};
use swf_tools::panda::{self, seed};
use swf_tools::{Clock, Scope, Service, Settings, accounts};
use tokio_util::sync::CancellationToken;

use crate::model::FakeModel;

/// Everything in a test that waits for something ends after this.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Whose memory it is.
pub const USER: &str = "pandabot";

pub struct Rig {
    /// Of the server, with the prefix.
    pub url: String,
    pub db: swf_db::Db,
    pub token: String,
    pub model: FakeModel,
    pub folder: tempfile::TempDir,
    pub http: reqwest::Client,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    server: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

/// A small synthetic production that ends now.
async fn production(folder: &std::path::Path) -> panda::Panda {
    let url = format!("sqlite:{}", folder.join("panda.sqlite3").display());
    if !folder.join("panda.sqlite3").exists() {
        let made = seed::open(&url).await.unwrap();
        let plan = seed::Plan { jobs: 200, days: 10, ..seed::Plan::demo(Clock::System.now().naive_utc()) };
        seed::seed(&made, &plan).await.unwrap();
        made.close().await;
    }
    panda::open(&url, panda::Settings::default()).await.unwrap()
}

impl Rig {
    pub async fn start(db: &TestDb) -> Rig {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let db = db.db.clone();
        let token = accounts::create_token(&db, Clock::System.now(), USER, Scope::Write).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut rig = Rig {
            url: format!("http://{address}/swf-monitor"),
            db,
            token,
            model: FakeModel::start().await,
            folder: tempfile::tempdir().unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            address,
            stop: CancellationToken::new(),
            server: None,
        };
        rig.serve(listener).await;
        rig
    }

    async fn serve(&mut self, listener: tokio::net::TcpListener) {
        let service = Arc::new(Service {
            db: self.db.clone(),
            panda: Some(production(self.folder.path()).await),
            bus: None,
            clock: Clock::System,
            settings: Settings::default(),
            sources: Default::default(),
        });
        let auth = Auth::new(self.db.clone(), auth::Config::default());
        let app = Arc::new(App::new(service, auth, rest::Config::default(), sse::Config::default()));
        let server = Server {
            app,
            prefix: "/swf-monitor".into(),
            mcp: mcp::Config::default(),
            capture: None,
            retention: Default::default(),
        };
        self.stop = CancellationToken::new();
        self.server = Some(tokio::spawn(server.run(listener, self.stop.clone())));
    }

    /// Ends the monitor; the database stays.
    pub async fn monitor_ends(&mut self) {
        self.stop.cancel();
        let server = self.server.take().unwrap();
        tokio::time::timeout(PATIENCE, server).await.expect("the server ends").unwrap().unwrap();
    }

    /// Starts it again at the same address.
    pub async fn monitor_returns(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.serve(socket.listen(64).unwrap()).await;
    }

    pub fn config(&self) -> Config {
        Config {
            servers: vec![ServerSpec {
                name: HOME.into(),
                way: Way::Http { url: format!("{}/mcp/", self.url), token: Some(self.token.clone()) },
                prefix: String::new(),
                keywords: Vec::new(),
                allow: vec!["panda_*".into(), "pcs_*".into()],
            }],
            model: ModelConfig {
                url: self.model.url.clone(),
                key: "key".into(),
                model: "scripted".into(),
                max_tokens: 1000,
                timeout: Duration::from_secs(10),
                first_wait: Duration::from_millis(1),
            },
            monitor: swf_client::ClientConfig {
                base_url: self.url.clone(),
                token: Some(self.token.clone()),
                ..Default::default()
            },
            system_prompt: None,
            tool_timeout: Duration::from_secs(20),
            turn_timeout: PATIENCE,
            memory_user: USER.into(),
            memory_turns: 30,
            threads_file: Some(self.threads_file()),
        }
    }

    pub fn threads_file(&self) -> PathBuf {
        self.folder.path().join("threads.json")
    }

    pub async fn bot(&self) -> Bot {
        let bot = Bot::start(self.config()).unwrap();
        bot.settled().await;
        bot
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

    pub async fn json(&self, path: &str) -> serde_json::Value {
        let request = self.http.get(format!("{}{path}", self.url));
        let request = request.header("authorization", format!("Token {}", self.token));
        request.send().await.unwrap().json().await.unwrap()
    }
}
