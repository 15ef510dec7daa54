//! Message intake: parse, namespace rule, batches, acknowledgement after the work.
//!
//! *Invariant:* no message ends an agent. One that cannot be handled is counted, logged with the start of its body
//! and acknowledged; one that fails for a cause that passes (monitor or broker away) is tried until it works.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_all;
use serde_json::{Map, Value};
use swf_stomp::{Delivery, Subscription};

use super::Link;

/// So many waiting messages are handled together.
const BATCH: usize = 200;
/// At shutdown the messages at hand may take so long; then they go back to the broker.
const LAST_WORK: Duration = Duration::from_secs(5);
/// Longest pause before a batch is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So many characters of a bad body are logged.
const EXCERPT: usize = 200;

/// A message that was read and concerns this agent.
#[derive(Debug)]
pub struct Incoming {
    pub msg_type: String,
    pub body: Map<String, Value>,
    /// `run_id` as text; whole numbers are accepted.
    pub run_id: Option<String>,
    pub execution_id: Option<String>,
    /// Same for repetitions of the same message.
    pub uid: String,
    pub delivery: Delivery,
}

impl Incoming {
    /// A text field; empty counts as absent.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A number field, also when it is given as text.
    pub fn number(&self, key: &str) -> Option<i64> {
        as_number(self.body.get(key)?)
    }

    /// A field as it is, null when absent.
    pub fn value(&self, key: &str) -> Value {
        self.body.get(key).cloned().unwrap_or(Value::Null)
    }

    /// The run number, for messages that need one.
    pub fn run_number(&self) -> anyhow::Result<i64> {
        let run_id = self.run_id.as_deref().ok_or_else(|| anyhow::anyhow!("the message has no run_id"))?;
        run_id.parse().map_err(|_| anyhow::anyhow!("run_id {run_id:?} is not a run number"))
    }

    /// A text field the message cannot do without.
    pub fn required(&self, key: &str) -> anyhow::Result<&str> {
        self.text(key).ok_or_else(|| anyhow::anyhow!("the message has no {key}"))
    }
}

/// Whole number or text of one.
pub(crate) fn as_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// Why a delivery is not handled.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// For another namespace.
    Foreign(String),
    /// Not a message at all.
    Bad(String),
}

/// Read a delivery. Messages without namespace concern everybody.
pub fn read(delivery: Delivery, namespace: &str) -> Result<Incoming, (Delivery, Refused)> {
    let body: Map<String, Value> = match serde_json::from_slice(&delivery.body) {
        Ok(Value::Object(body)) => body,
        Ok(other) => {
            let why =
                format!("the body is not a JSON object but starts with {}", excerpt(&other.to_string()));
            return Err((delivery, Refused::Bad(why)));
        }
        Err(error) => {
            let why = format!("the body is not JSON ({error})");
            return Err((delivery, Refused::Bad(why)));
        }
    };
    let theirs = body.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if !theirs.is_empty() && theirs != namespace {
        let theirs = theirs.to_owned();
        return Err((delivery, Refused::Foreign(theirs)));
    }
    let text = |key: &str| match body.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let uid = match delivery.headers.get("message-uid") {
        Some(uid) => uid.to_owned(),
        None => delivery.message_id().to_owned(),
    };
    let msg_type = text("msg_type").unwrap_or_default();
    let (run_id, execution_id) = (text("run_id"), text("execution_id"));
    Ok(Incoming { msg_type, run_id, execution_id, uid, body, delivery })
}

/// What an agent does with messages.
pub(crate) trait Work {
    /// Handle messages in order. May be called again with messages that were handled already, whole or in part.
    async fn handle(&mut self, link: &Link, batch: &[Incoming]) -> anyhow::Result<()>;
}

/// Take messages until shutdown.
pub(crate) async fn work_loop(
    link: &Link,
    work: &mut impl Work,
    mut subscriptions: Vec<Subscription>,
) -> anyhow::Result<()> {
    loop {
        let deliveries = tokio::select! {
            biased;
            () = link.shutdown.cancelled() => return Ok(()),
            deliveries = next_batch(&mut subscriptions) => deliveries,
        };
        if deliveries.is_empty() {
            // Only a client that was shut down ends its subscriptions.
            return Ok(());
        }
        let mut batch = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match read(delivery, &link.config.namespace) {
                Ok(incoming) => batch.push(incoming),
                Err((delivery, refused)) => turn_down(link, &delivery, &refused).await,
            }
        }
        if batch.is_empty() {
            continue;
        }
        let last_call = async {
            link.shutdown.cancelled().await;
            tokio::time::sleep(LAST_WORK).await;
        };
        tokio::select! {
            () = handle_all(link, work, &batch) => {}
            () = last_call => {
                tracing::warn!(messages = batch.len(), "shutdown: unfinished messages go back to the broker");
                return Ok(());
            }
        }
    }
}

async fn next_batch(subscriptions: &mut [Subscription]) -> Vec<Delivery> {
    if subscriptions.is_empty() {
        return Vec::new();
    }
    let first =
        select_all(subscriptions.iter_mut().map(|subscription| Box::pin(subscription.next()))).await.0;
    let mut batch: Vec<Delivery> = first.into_iter().collect();
    if batch.is_empty() {
        return batch;
    }
    for subscription in subscriptions {
        while batch.len() < BATCH {
            match subscription.next().now_or_never() {
                Some(Some(delivery)) => batch.push(delivery),
                _ => break,
            }
        }
    }
    batch
}

pub(crate) async fn turn_down(link: &Link, delivery: &Delivery, refused: &Refused) {
    if let Refused::Bad(why) = refused {
        link.pulse.change(|health| health.failed += 1);
        let body = excerpt(&String::from_utf8_lossy(&delivery.body));
        tracing::error!(destination = delivery.destination(), body, "left out a message: {why}");
    }
    acknowledge(delivery).await;
}

pub(crate) async fn acknowledge(delivery: &Delivery) {
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "a message could not be acknowledged and will come again");
    }
}

async fn handle_all(link: &Link, work: &mut impl Work, batch: &[Incoming]) {
    match attempt(link, work, batch).await {
        Ok(()) => settle(link, batch).await,
        Err(_) if batch.len() > 1 => {
            // One of them is bad: find out which, and do the others.
            for message in batch {
                let single = std::slice::from_ref(message);
                match attempt(link, work, single).await {
                    Ok(()) => settle(link, single).await,
                    Err(error) => give_up(link, message, &error).await,
                }
            }
        }
        Err(error) => {
            for message in batch {
                give_up(link, message, &error).await;
            }
        }
    }
}

/// Handle, again and again while the cause is one that passes.
async fn attempt(link: &Link, work: &mut impl Work, batch: &[Incoming]) -> anyhow::Result<()> {
    let mut pause = Duration::from_millis(250);
    let mut reported = false;
    loop {
        match work.handle(link, batch).await {
            Ok(()) => {
                if reported {
                    link.pulse.change(|health| health.trouble = None);
                    tracing::info!("the work goes on");
                }
                return Ok(());
            }
            Err(error) if is_transient(&error) => {
                if !reported {
                    reported = true;
                    link.pulse.change(|health| health.trouble = Some(format!("{error:#}")));
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the work waits and is tried again until it works"
                    );
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => {
                if reported {
                    link.pulse.change(|health| health.trouble = None);
                }
                return Err(error);
            }
        }
    }
}

async fn settle(link: &Link, batch: &[Incoming]) {
    for message in batch {
        acknowledge(&message.delivery).await;
    }
    link.pulse.change(|health| health.handled += batch.len() as u64);
}

async fn give_up(link: &Link, message: &Incoming, error: &anyhow::Error) {
    link.pulse.change(|health| health.failed += 1);
    let body = excerpt(&String::from_utf8_lossy(&message.delivery.body));
    tracing::error!(msg_type = message.msg_type, body, "could not handle a message: {error:#}");
    acknowledge(&message.delivery).await;
}

/// Whether trying again later may help.
pub(crate) fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(error) = cause.downcast_ref::<swf_client::Error>() {
            return error.is_transient();
        }
        matches!(
            cause.downcast_ref::<swf_stomp::Error>(),
            Some(
                swf_stomp::Error::Timeout { .. }
                    | swf_stomp::Error::Connect { .. }
                    | swf_stomp::Error::Closed
            )
        )
    })
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
