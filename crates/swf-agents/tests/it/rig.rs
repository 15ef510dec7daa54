//! Broker, monitor double, agents and a client that listens and sends.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use swf_agents::{Config, Kind, Testbed, run_agent};
use swf_stomp::{
    AckMode, Broker, BrokerConfig, Client, ClientConfig, Delivery, Message, Subscribe, Subscription,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::double::{Double, TOKEN};

pub const NAMESPACE: &str = "ns-test";

pub struct Rig {
    pub double: Double,
    pub folder: tempfile::TempDir,
    pub client: Client,
    broker: Option<Broker>,
    port: u16,
}

/// An agent on a thread and a runtime of its own, as in a process of its own.
pub struct Agent {
    shutdown: CancellationToken,
    kill: CancellationToken,
    done: oneshot::Receiver<Option<anyhow::Result<()>>>,
}

impl Agent {
    /// Orderly end, as after SIGTERM.
    pub async fn end(self) {
        self.shutdown.cancel();
        self.outcome().await.unwrap();
    }

    /// As kill -9: everything of the agent is gone in the middle of whatever it did.
    pub async fn kill(self) {
        self.kill.cancel();
        assert!(self.done.await.unwrap().is_none(), "it ended by itself");
    }

    pub async fn outcome(self) -> anyhow::Result<()> {
        self.done.await.unwrap().expect("not killed")
    }
}

impl Rig {
    pub async fn start() -> Self {
        // A second test in this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let broker = Broker::start(BrokerConfig::new((Ipv4Addr::LOCALHOST, 0).into())).await.unwrap();
        let port = broker.addr().port();
        let client = Client::start(Self::broker_config(port));
        client.connected(Duration::from_secs(10)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let testbed = format!("[testbed]\nnamespace = \"{NAMESPACE}\"\n");
        std::fs::write(folder.path().join("testbed.toml"), testbed).unwrap();
        Self { double: Double::start().await, folder, client, broker: Some(broker), port }
    }

    fn broker_config(port: u16) -> ClientConfig {
        ClientConfig { backoff_max: Duration::from_millis(500), ..ClientConfig::new("127.0.0.1", port) }
    }

    /// The broker goes away.
    pub async fn lose_broker(&mut self) {
        self.broker.take().unwrap().shutdown().await;
    }

    /// A broker is there again, at the same address.
    pub async fn bring_broker_back(&mut self) {
        let config = BrokerConfig::new((Ipv4Addr::LOCALHOST, self.port).into());
        self.broker = Some(Broker::start(config).await.unwrap());
    }

    pub fn config(&self) -> Config {
        let testbed = Testbed::load(Some(self.folder.path()), None).unwrap();
        let mut config = Config::new(testbed, "tester", self.folder.path().join("data"));
        config.monitor.base_url = self.double.url.clone();
        config.monitor.token = Some(TOKEN.into());
        config.broker = Self::broker_config(self.port);
        config
    }

    /// Start an agent and wait until it is ready.
    pub async fn agent(&self, kind: Kind) -> Agent {
        let agent = self.agent_with(kind, self.config());
        self.double
            .until(&format!("{kind} is ready"), |rows| {
                rows.of("systemagents").iter().any(|row| {
                    row["agent_type"] == kind.agent_type()
                        && row["operational_state"] == "READY"
                        && row["status"] == "OK"
                })
            })
            .await;
        agent
    }

    pub fn agent_with(&self, kind: Kind, config: Config) -> Agent {
        let (shutdown, kill) = (CancellationToken::new(), CancellationToken::new());
        let (report, done) = oneshot::channel();
        let agent = Agent { shutdown: shutdown.clone(), kill: kill.clone(), done };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(kill.run_until_cancelled(run_agent(kind, config, shutdown)));
            // Ends every task of the agent before the test hears of it.
            drop(runtime);
            let _ = report.send(outcome);
        });
        agent
    }

    pub async fn listen(&self, destination: &str) -> Subscription {
        let subscribe = Subscribe { ack: AckMode::Auto, ..Subscribe::to(destination) };
        self.client.subscribe(subscribe).await.unwrap()
    }

    pub async fn send(&self, destination: &str, body: Value) {
        self.send_as(destination, body, "").await;
    }

    /// Send with a message-uid.
    pub async fn send_as(&self, destination: &str, body: Value, uid: &str) {
        let mut message = Message::new(destination, body.to_string().into_bytes());
        if !uid.is_empty() {
            message = message.with("message-uid", uid);
        }
        self.client.send(message).await.unwrap();
    }

    /// Send a command and return the answer.
    pub async fn command(&self, queue: &str, mut body: Value) -> Map<String, Value> {
        let reply_to = format!("/queue/replies.{}", uuid::Uuid::new_v4());
        let mut replies = self.listen(&reply_to).await;
        let command = body.as_object_mut().unwrap();
        command.insert("reply_to".into(), reply_to.into());
        command.insert("correlation_id".into(), "c-1".into());
        self.send(queue, body).await;
        let (answer, delivery) = next(&mut replies).await;
        assert_eq!(delivery.headers.get("correlation-id"), Some("c-1"));
        assert_eq!(answer["correlation_id"], json!("c-1"));
        answer
    }

    pub fn control_queue() -> String {
        format!("/queue/workflow_control.{NAMESPACE}")
    }
}

/// The next message, within a time after which something is broken.
pub async fn next(subscription: &mut Subscription) -> (Map<String, Value>, Delivery) {
    let delivery = tokio::time::timeout(Duration::from_secs(30), subscription.next())
        .await
        .expect("a message in time")
        .unwrap();
    // Tests send bad bodies on purpose: those count as messages without fields.
    let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
    (body.as_object().cloned().unwrap_or_default(), delivery)
}

/// The next message of a type.
pub async fn next_of(subscription: &mut Subscription, msg_type: &str) -> (Map<String, Value>, Delivery) {
    loop {
        let (body, delivery) = next(subscription).await;
        if body.get("msg_type").is_some_and(|value| value == msg_type) {
            return (body, delivery);
        }
    }
}
