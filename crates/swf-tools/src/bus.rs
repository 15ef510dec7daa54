//! The broker as tools see it: send a message, or ask and wait for the answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use swf_stomp::{AckMode, Client, Message, Signer, Subscribe};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::Error;

/// A connection to the broker with a reply queue of its own.
#[derive(Clone)]
pub struct Bus {
    client: Client,
    reply_to: Arc<str>,
    waiting: Arc<Mutex<HashMap<String, oneshot::Sender<Value>>>>,
    signer: Option<Signer>,
}

impl Bus {
    /// Uses `client`; answers to requests come to a queue whose name is unique to this process.
    pub fn new(client: Client) -> Bus {
        let reply_to: Arc<str> = format!("/queue/swf.replies.{}", Uuid::new_v4().simple()).into();
        let bus = Bus { client, reply_to, waiting: Arc::default(), signer: None };
        tokio::spawn(bus.clone().listen());
        bus
    }

    /// Signs what goes to queues, that is commands.
    #[must_use]
    pub fn signing(self, signer: Option<Signer>) -> Bus {
        Bus { signer, ..self }
    }

    /// Whether the broker is connected now, and what it last said when not.
    pub fn status(&self) -> swf_stomp::Status {
        self.client.status().borrow().clone()
    }

    /// Messages of a destination, as long as the result is kept.
    pub async fn listen_to(&self, destination: &str) -> Result<swf_stomp::Subscription, swf_stomp::Error> {
        let subscribe = Subscribe { ack: AckMode::Auto, ..Subscribe::to(destination) };
        self.client.subscribe(subscribe).await
    }

    /// Sends a JSON object; returns when the broker has confirmed it.
    pub async fn send(
        &self,
        destination: &str,
        headers: &[(&str, String)],
        body: &Map<String, Value>,
    ) -> Result<(), Error> {
        if !self.status().connected {
            return Err(self.down());
        }
        let text = serde_json::to_vec(body).map_err(Error::internal)?;
        let mut message = Message::new(destination, text)
            .with("persistent", "true")
            .with("content-type", "application/json")
            .with("message-uid", Uuid::new_v4().to_string());
        for field in ["msg_type", "namespace", "run_id", "execution_id"] {
            if let Some(Value::String(value)) = body.get(field) {
                message = message.with(field, value.clone());
            }
        }
        for (name, value) in headers {
            message = message.with(*name, value.clone());
        }
        if let Some(signer) = self.signer.as_ref().filter(|_| destination.starts_with("/queue/")) {
            message = signer.sign(message);
        }
        self.client.send(message).await.map_err(|e| Error::Unavailable {
            what: format!("the broker did not confirm the message to {destination}: {e}; try again"),
        })
    }

    /// Sends a command that is worthless after `expires` and waits for its answer; `None` when none came in time.
    pub async fn ask(
        &self,
        destination: &str,
        mut body: Map<String, Value>,
        expires: DateTime<Utc>,
        wait: Duration,
    ) -> Result<Option<Value>, Error> {
        let correlation = Uuid::new_v4().to_string();
        body.insert("reply_to".into(), self.reply_to.as_ref().into());
        body.insert("correlation_id".into(), correlation.clone().into());
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(correlation.clone(), sender);
        let headers = [
            ("expires", expires.timestamp_millis().to_string()),
            ("reply-to", self.reply_to.to_string()),
            ("correlation-id", correlation.clone()),
        ];
        let sent = self.send(destination, &headers, &body).await;
        let answer = match sent {
            Ok(()) => Ok(tokio::time::timeout(wait, answer).await.ok().and_then(Result::ok)),
            Err(e) => Err(e),
        };
        self.waiting().remove(&correlation);
        answer
    }

    /// The error for a broker that is not connected.
    fn down(&self) -> Error {
        let why = self.status().last_error.unwrap_or_else(|| "not connected yet".into());
        Error::Unavailable {
            what: format!(
                "the message broker is not connected ({why}); nothing was sent. Reads still work; \
                 check the broker, then try again"
            ),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Value>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self) {
        let subscribe = Subscribe { ack: AckMode::Auto, ..Subscribe::to(self.reply_to.as_ref()) };
        let mut answers = match self.client.subscribe(subscribe).await {
            Ok(answers) => answers,
            Err(e) => {
                tracing::warn!("answers to commands cannot be received: {e}");
                return;
            }
        };
        while let Some(delivery) = answers.next().await {
            let Ok(body) = serde_json::from_slice::<Value>(&delivery.body) else {
                tracing::warn!("dropped an answer that is not JSON on {}", self.reply_to);
                continue;
            };
            let correlation = body
                .get("correlation_id")
                .and_then(Value::as_str)
                .or_else(|| delivery.headers.get("correlation-id"))
                .unwrap_or_default()
                .to_owned();
            match self.waiting().remove(&correlation) {
                // The asker may have given up in this very moment.
                Some(asker) => drop(asker.send(body)),
                None => tracing::debug!("an answer came after its asker had given up"),
            }
        }
    }
}
