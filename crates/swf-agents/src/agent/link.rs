//! What a handler works with: monitor, broker, name, health.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use swf_stomp::Message;
use tokio_util::sync::CancellationToken;

use super::{Config, Kind, Pulse};

/// An agent's connections and identity; cheap to clone.
#[derive(Debug, Clone)]
pub struct Link {
    pub kind: Kind,
    /// Instance name.
    pub name: String,
    pub config: Arc<Config>,
    pub monitor: swf_client::Client,
    pub broker: swf_stomp::Client,
    pub pulse: Pulse,
    pub shutdown: CancellationToken,
}

/// A message to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub destination: String,
    /// Fields in order; `sender` and `namespace` are filled in.
    pub body: Map<String, Value>,
    /// Same value for the same message, however often it is sent.
    pub uid: String,
    /// Whether the broker keeps it over a restart.
    pub persistent: bool,
    /// How long it is of use.
    pub lifetime: Option<Duration>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Outgoing {
    /// A persistent message without limit. `body` must be an object.
    pub fn new(destination: impl Into<String>, uid: impl Into<String>, body: Value) -> Self {
        Self {
            destination: destination.into(),
            body: match body {
                Value::Object(body) => body,
                _ => Map::new(),
            },
            uid: uid.into(),
            persistent: true,
            lifetime: None,
            headers: Vec::new(),
        }
    }

    /// The message is of no use after this time.
    pub fn for_at_most(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// The message need not survive a restart of the broker.
    pub fn transient(mut self) -> Self {
        self.persistent = false;
        self
    }

    /// One more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A uid that follows from the message that caused it: a repeated handler sends the same uid again, so receivers
/// can tell.
pub fn derived_uid(cause: &str, msg_type: &str, part: &str) -> String {
    let digest = Sha256::new().chain_update(cause).chain_update("\n").chain_update(msg_type);
    let digest = digest.chain_update("\n").chain_update(part).finalize();
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = from;
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// A value as header text: strings as they are.
fn header_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Link {
    /// Whether the broker connection stands.
    pub fn broker_connected(&self) -> bool {
        self.broker.status().borrow().connected
    }

    /// Send and wait for the broker's receipt.
    pub async fn send(&self, outgoing: Outgoing) -> Result<(), swf_stomp::Error> {
        self.broker.send(self.message(outgoing)).await
    }

    fn message(&self, mut outgoing: Outgoing) -> Message {
        let body = &mut outgoing.body;
        body.insert("namespace".into(), self.config.namespace.clone().into());
        body.insert("sender".into(), self.name.clone().into());
        let mut message = Message::new(outgoing.destination, Vec::new())
            .with("message-uid", outgoing.uid)
            .with("namespace", self.config.namespace.clone())
            .with("persistent", if outgoing.persistent { "true" } else { "false" })
            .with("content-type", "application/json");
        for key in ["msg_type", "run_id", "execution_id"] {
            if let Some(value) = body.get(key).and_then(header_text) {
                message = message.with(key, value);
            }
        }
        if let Some(lifetime) = outgoing.lifetime {
            let end = chrono::Utc::now().timestamp_millis()
                + i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX / 2);
            message = message.with("expires", end.to_string());
        }
        for (name, value) in outgoing.headers {
            message = message.with(name, value);
        }
        message.body = Value::Object(outgoing.body).to_string().into();
        message
    }

    /// Run and execution that following log records belong to.
    pub fn log_context(&self, execution_id: Option<&str>, run_id: Option<&str>) {
        if let Some(logs) = &self.config.logs {
            logs.set_context(&self.config.namespace, &self.config.user, execution_id, run_id);
        }
    }
}
