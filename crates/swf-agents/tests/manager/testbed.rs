//! A user's testbed around a manager: broker, monitor, configuration and agents that are scripts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use swf_agents::manager::{BackendConfig, ManagerConfig, NativeConfig, run_manager};
use swf_stomp::{Broker, BrokerConfig, Client, ClientConfig, Message, Subscribe, Subscription};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::helpers::wait_for;

pub const LIMIT: Duration = Duration::from_secs(20);

/// Every agent of these tests: writes who it is, and fails or stays.
const AGENT: &str = r#"#!/bin/sh
# Called as: <script> agent <kind> --testbed-config <file>
folder=$(dirname "$0")
echo "$2 with $4 and $SWF_TESTBED_CONFIG"
if [ -e "$folder/fail-$2" ]; then echo "no broker for $2" >&2; exit 3; fi
sleep 1000 &
wait
"#;

/// Configuration, agents, and addresses of one test.
pub struct Place {
    pub folder: PathBuf,
    pub broker: (String, u16),
    pub monitor: String,
}

impl Place {
    /// Writes configuration and agents into `folder`.
    pub fn new(folder: &Path, broker: u16, monitor: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let testbed = "[testbed]\nnamespace = 'nstest'\n[agents.data]\nenabled = true\n[agents.processing]\nenabled = false\n";
        std::fs::write(folder.join("testbed.toml"), testbed).unwrap();
        let other = "[testbed]\nnamespace = 'other'\n[agents.fastmon]\nenabled = true\n";
        std::fs::write(folder.join("other.toml"), other).unwrap();
        let script = folder.join("agent.sh");
        std::fs::write(&script, AGENT).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder: folder.into(), broker: ("127.0.0.1".into(), broker), monitor: monitor.into() }
    }

    pub fn broker_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.broker.0.clone(), self.broker.1);
        config.backoff_max = Duration::from_millis(200);
        config
    }

    /// A manager with native supervision.
    pub fn config(&self) -> ManagerConfig {
        ManagerConfig {
            user: "ann".into(),
            host: "testhost".into(),
            data_dir: self.folder.join("data"),
            config_dir: Some(self.folder.clone()),
            testbed_config: None,
            external_workers: false,
            broker: self.broker_config(),
            monitor: swf_client::ClientConfig { base_url: self.monitor.clone(), ..Default::default() },
            backend: BackendConfig::Native(NativeConfig {
                command: self.folder.join("agent.sh"),
                args: Vec::new(),
                env: Vec::new(),
                log_dir: self.folder.join("logs"),
            }),
            heartbeat: Duration::from_secs(30),
            trust: Default::default(),
            supervisor: None,
        }
    }
}

/// A manager running in this process.
pub struct Running {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub fn start(config: ManagerConfig) -> Self {
        crypto();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run_manager(config, shutdown.clone()));
        Self { shutdown, task }
    }

    /// Ends it in order.
    pub async fn end(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("the manager ends").unwrap().unwrap();
    }
}

/// The TLS provider that the binary installs.
pub fn crypto() {
    // A second call finds the first one's; both are the same.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Somebody who sends commands and reads answers.
pub struct Asker {
    client: Client,
    answers: Subscription,
    last: u64,
    /// Signs what is sent.
    pub signer: Option<swf_stomp::Signer>,
}

impl Asker {
    pub async fn new(place: &Place) -> Self {
        let client = Client::start(place.broker_config());
        client.connected(LIMIT).await.unwrap();
        let answers = client.subscribe(Subscribe::to("/queue/answers.test")).await.unwrap();
        Self { client, answers, last: 0, signer: None }
    }

    /// Sends a command without waiting; its correlation id.
    pub async fn send(&mut self, mut body: Value) -> String {
        self.last += 1;
        let id = format!("c{}", self.last);
        body["reply_to"] = json!("/queue/answers.test");
        body["correlation_id"] = json!(id);
        body["timestamp"] = body.get("timestamp").cloned().unwrap_or(json!(chrono::Utc::now().to_rfc3339()));
        self.post(body.to_string()).await;
        id
    }

    pub async fn post(&self, body: String) {
        self.post_as(None, body).await;
    }

    /// Sends a message with a `message-uid` of its own.
    pub async fn post_as(&self, uid: Option<&str>, body: String) {
        let message = Message::new("/queue/agent_control.ann", body);
        let message = uid.into_iter().fold(message, |message, uid| message.with("message-uid", uid));
        let message = match &self.signer {
            Some(signer) => signer.sign(message),
            None => message,
        };
        self.client.send(message).await.unwrap();
    }

    /// The next answer, whichever command it is for.
    pub async fn answer(&mut self) -> Value {
        let delivery = tokio::time::timeout(LIMIT, self.answers.next()).await.expect("an answer").unwrap();
        let body: Value = serde_json::from_slice(&delivery.body).unwrap();
        assert_eq!(delivery.headers.get("correlation-id"), body["correlation_id"].as_str());
        body
    }

    /// Sends a command and waits for its answer.
    pub async fn ask(&mut self, body: Value) -> Value {
        let id = self.send(body).await;
        loop {
            // A killed manager may have had no time to acknowledge: its successor answers once more.
            let answer = self.answer().await;
            if answer["correlation_id"] == json!(id) {
                return answer;
            }
            assert_eq!(answer["success"], true, "what was obeyed before is no failure: {answer}");
        }
    }

    pub async fn command(&mut self, name: &str) -> Value {
        self.ask(json!({ "command": name })).await
    }
}

/// State of each agent in an answer, `name STATE`.
pub fn states(answer: &Value) -> Vec<String> {
    let agents = answer["agents"].as_array().unwrap();
    agents
        .iter()
        .map(|a| format!("{} {}", a["name"].as_str().unwrap(), a["state"].as_str().unwrap()))
        .collect()
}

/// Pid of an agent in an answer.
pub fn pid(answer: &Value, name: &str) -> u32 {
    let agents = answer["agents"].as_array().unwrap();
    let agent = agents.iter().find(|a| a["name"] == name).unwrap();
    u32::try_from(agent["pid"].as_u64().unwrap()).unwrap()
}

/// The receiving end of heartbeats: the monitor itself is another crate's.
#[derive(Clone, Default)]
pub struct Beats(Arc<Mutex<Vec<Value>>>);

impl Beats {
    /// Listens on a free port; the base address for clients.
    pub async fn listen() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/swf-monitor", listener.local_addr().unwrap());
        let beats = Self::default();
        let kept = beats.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(kept.clone().serve(stream));
            }
        });
        (beats, base)
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let lower = head.to_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap()
                .parse()
                .unwrap();
            if body.len() < length {
                continue;
            }
            assert!(head.starts_with("POST /swf-monitor/api/systemagents/heartbeat/ "), "{head}");
            self.0.lock().unwrap().push(serde_json::from_str(body).unwrap());
            bytes.clear();
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.is_err() {
                return;
            }
        }
    }

    pub fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for a heartbeat that fulfils the condition.
    pub async fn until(&self, what: &str, want: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, LIMIT, || self.all().into_iter().rev().find(|beat| want(beat))).await
    }
}

/// A real broker on a free port, or on `port` when it is not 0.
pub async fn broker(port: u16) -> TestBroker {
    let broker = Broker::start(BrokerConfig::new(([127, 0, 0, 1], port).into())).await.unwrap();
    TestBroker { port: broker.addr().port(), broker }
}

/// A broker and where it is.
pub struct TestBroker {
    pub port: u16,
    broker: Broker,
}

impl TestBroker {
    /// Closes all its connections.
    pub async fn end(self) {
        self.broker.shutdown().await;
    }
}
