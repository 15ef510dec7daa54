//! Capture: every message of the topic becomes a row, exactly once, and moves agents, runs and run states.
//!
//! *Invariant:* a message is acknowledged only after its transaction is committed.
//! *Invariant:* a bad message becomes a dead letter with its reason; it never stops the intake.

mod lifecycle;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use swf_db::{Error as DbError, Sql, Tx};
use swf_stomp::{AckMode, Client, Delivery, Subscribe, Subscription};
use swf_tools::Service;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Settings of the capture.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is captured, e.g. `/topic/epictopic`.
    pub destination: String,
    /// Name of the durable subscription; replicas that share it share the messages.
    pub durable: String,
}

/// Messages in one transaction at most.
const BATCH: usize = 500;
/// Wait before a batch is tried again while the database does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// A captured message as the event stream hands it on.
#[derive(Debug, Clone)]
pub struct Captured {
    /// Row id.
    pub id: Uuid,
    /// The body, with sender, namespace, destination and time added where absent.
    pub payload: Arc<Map<String, Value>>,
}

/// What is captured is also handed to live listeners here; slow ones miss, the database has all.
pub type Feed = broadcast::Sender<Captured>;

/// Runs until `shutdown`; survives every outage of broker and database.
pub async fn run(
    service: Arc<Service>,
    client: Client,
    config: Config,
    feed: Feed,
    shutdown: CancellationToken,
) {
    let Some(mut subscription) = subscribed(&client, &config, &shutdown).await else { return };
    let when = if client.status().borrow().connected { "" } else { " as soon as the broker answers" };
    tracing::info!("capturing {} as durable subscription {}{when}", config.destination, config.durable);
    loop {
        let first = tokio::select! {
            () = shutdown.cancelled() => return,
            first = subscription.next() => first,
        };
        let Some(first) = first else { return };
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(Some(more)) = tokio::time::timeout(Duration::ZERO, subscription.next()).await
        {
            batch.push(more);
        }
        if !keep(&service, &batch, &feed, &shutdown).await {
            return;
        }
        for delivery in &batch {
            if let Err(e) = delivery.ack().await {
                tracing::debug!(
                    "an acknowledgement was lost: {e}; the message will be recognised when it comes again"
                );
                break;
            }
        }
    }
}

/// Subscribes, for as long as it takes: a broker may hold the subscription of an earlier life for a while.
async fn subscribed(client: &Client, config: &Config, shutdown: &CancellationToken) -> Option<Subscription> {
    let mut told = String::new();
    loop {
        let subscribe = Subscribe {
            ack: AckMode::ClientIndividual,
            durable: Some(config.durable.clone()),
            prefetch: Some(2 * BATCH as u32),
            ..Subscribe::to(config.destination.clone())
        };
        let asked = tokio::select! {
            () = shutdown.cancelled() => return None,
            asked = client.subscribe(subscribe) => asked,
        };
        match asked {
            Ok(subscription) => return Some(subscription),
            Err(e) => {
                // Another replica may capture for days.
                let why = e.to_string();
                if why != told {
                    tracing::warn!("cannot capture {} yet: {why}; it is tried again", config.destination);
                    told = why;
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Stores a batch, for as long as it takes; false when shut down before it was stored.
async fn keep(service: &Service, batch: &[Delivery], feed: &Feed, shutdown: &CancellationToken) -> bool {
    loop {
        match store_batch(service, batch).await {
            Ok(captured) => {
                count("stored", captured.len());
                count("duplicate_or_dead", batch.len() - captured.len());
                for message in captured {
                    // No listener is no fault.
                    drop(feed.send(message));
                }
                return true;
            }
            Err(e) if transient(&e) => tracing::warn!("messages wait for the database: {e}"),
            // One message poisons the batch: each gets a transaction of its own.
            Err(e) if batch.len() > 1 => {
                tracing::warn!("a batch of {} messages failed ({e}); storing them one by one", batch.len());
                for delivery in batch {
                    if !Box::pin(keep(service, std::slice::from_ref(delivery), feed, shutdown)).await {
                        return false;
                    }
                }
                return true;
            }
            Err(e) => {
                let Some(delivery) = batch.first() else { return true };
                match bury(service, delivery, &describe(&e)).await {
                    Ok(()) => return true,
                    Err(e) => tracing::warn!("a dead letter could not be stored: {e}; it is tried again"),
                }
            }
        }
        count("retried", batch.len());
        tokio::select! {
            () = shutdown.cancelled() => return false,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

fn transient(e: &DbError) -> bool {
    matches!(e, DbError::Unavailable(_) | DbError::Timeout(_) | DbError::Open { .. })
}

fn describe(e: &DbError) -> String {
    let cause = std::error::Error::source(e).map(|s| format!(": {s}")).unwrap_or_default();
    format!("{e}{cause}")
}

fn count(outcome: &'static str, n: usize) {
    metrics::counter!("swf_broker_messages_total", "outcome" => outcome).increment(n as u64);
}

async fn store_batch(service: &Service, batch: &[Delivery]) -> Result<Vec<Captured>, DbError> {
    let mut tx = service.db.begin().await?;
    let mut captured = Vec::new();
    let start = service.clock.now();
    for (at, delivery) in (0..).zip(batch) {
        // No two messages have the same time, so that their order can be told later.
        let now = start + TimeDelta::microseconds(at);
        if let Some(message) = store(service, &mut tx, delivery, now).await? {
            captured.push(message);
        }
    }
    tx.commit().await?;
    Ok(captured)
}

/// What a body turned out to be.
enum Read {
    Message(Map<String, Value>),
    Heartbeat(Map<String, Value>),
    Bad(String),
}

fn read(body: &[u8]) -> Read {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(map)) if map.contains_key("msg_type") => match map.get("msg_type") {
            Some(Value::String(_)) => Read::Message(map),
            other => Read::Bad(format!("msg_type is not a text but {}", other.unwrap_or(&Value::Null))),
        },
        Ok(Value::Object(map)) if map.contains_key("agent_name") && map.contains_key("status") => {
            Read::Heartbeat(map)
        }
        Ok(Value::Object(_)) => Read::Bad("it has neither msg_type nor agent_name and status".into()),
        Ok(other) => Read::Bad(format!("the body is not a JSON object but {}", kind(&other))),
        Err(e) => Read::Bad(format!("the body is not JSON: {e}")),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

async fn store(
    service: &Service,
    tx: &mut Tx<'_>,
    delivery: &Delivery,
    now: DateTime<Utc>,
) -> Result<Option<Captured>, DbError> {
    let message_id = Uuid::new_v4();
    let ledger = Sql::new("INSERT INTO swfx_message_uid (uid, received_at, message_id) VALUES").with(
        "(?, ?, ?) ON CONFLICT (uid) DO NOTHING",
        [uid(delivery).into(), now.into(), message_id.into()],
    );
    if tx.execute(&ledger).await? == 0 {
        return Ok(None);
    }
    match read(&delivery.body) {
        Read::Message(body) => {
            insert(tx, delivery, message_id, &body, now).await?;
            lifecycle::advance(tx, now, &body).await?;
            Ok(Some(Captured {
                id: message_id,
                payload: Arc::new(payload(delivery.destination(), body, now)),
            }))
        }
        Read::Heartbeat(body) => {
            heartbeat(tx, now, &body).await?;
            Ok(None)
        }
        Read::Bad(reason) => {
            tracing::warn!("dead letter from {}: {reason}", delivery.destination());
            tx.execute(&dead_letter(service, delivery, &reason)).await?;
            Ok(None)
        }
    }
}

/// The sender's own id when it gave one, else the broker's.
fn uid(delivery: &Delivery) -> String {
    match delivery.headers.get("message-uid") {
        Some(uid) if !uid.is_empty() => format!("u:{uid}"),
        _ => format!("b:{}", delivery.message_id()),
    }
}

/// Text of a field, cut to its column; what was cut is noted.
fn field(body: &Map<String, Value>, name: &str, length: usize, cut: &mut Vec<String>) -> Option<String> {
    let text = match body.get(name)? {
        Value::Null => return None,
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= length {
        return Some(text);
    }
    cut.push(name.to_owned());
    Some(text.chars().take(length).collect())
}

async fn insert(
    tx: &mut Tx<'_>,
    delivery: &Delivery,
    id: Uuid,
    body: &Map<String, Value>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let mut cut = Vec::new();
    let mut text = |name: &str, length: usize| field(body, name, length, &mut cut);
    let (kind, sender, recipient) = (text("msg_type", 50), text("sender", 100), text("recipient", 100));
    let (namespace, execution, run) = (text("namespace", 100), text("execution_id", 100), text("run_id", 50));
    let host = swf_tools::liveness::local_host();
    let pid = std::process::id();
    let mut metadata = json!({
        "created_by": format!("swf@{host}:{pid}"),
        "process_pid": pid,
        "processed_at": swf_tools::time::iso(now),
        "django_instance": host,
        "sent": body.get("timestamp").cloned().unwrap_or(Value::Null),
    });
    if let (false, Some(object)) = (cut.is_empty(), metadata.as_object_mut()) {
        object.insert("truncated_fields".into(), json!(cut));
    }
    let destination: String = delivery.destination().chars().take(100).collect();
    let sql = Sql::new(
        "INSERT INTO swf_workflow_messages (message_id, message_type, sender_agent, recipient_agent, namespace, \
         execution_id, run_id, message_content, message_metadata, sent_at, queue_name, is_successful) VALUES",
    )
    .with(
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            id.into(),
            kind.unwrap_or_default().into(),
            sender.into(),
            recipient.into(),
            namespace.into(),
            execution.into(),
            run.into(),
            Value::Object(body.clone()).into(),
            metadata.into(),
            now.into(),
            destination.into(),
            true.into(),
        ],
    );
    tx.execute(&sql).await.map(|_| ())
}

/// The body with what listeners expect beside it.
pub(crate) fn payload(
    destination: &str,
    mut body: Map<String, Value>,
    now: DateTime<Utc>,
) -> Map<String, Value> {
    for (name, from) in
        [("sender_agent", "sender"), ("recipient_agent", "recipient"), ("namespace", "namespace")]
    {
        let value = body.get(from).cloned().unwrap_or(Value::Null);
        body.entry(name).or_insert(value);
    }
    body.entry("queue_name").or_insert_with(|| destination.into());
    body.entry("sent_at").or_insert_with(|| swf_tools::time::iso(now).into());
    body
}

/// A heartbeat that came over the broker: the agent's status and the time, nothing else.
async fn heartbeat(tx: &mut Tx<'_>, now: DateTime<Utc>, body: &Map<String, Value>) -> Result<(), DbError> {
    let mut cut = Vec::new();
    let name = field(body, "agent_name", 100, &mut cut).unwrap_or_default();
    let status = field(body, "status", 10, &mut cut).unwrap_or_else(|| "UNKNOWN".into());
    let sql = Sql::new(
        "INSERT INTO swf_systemagent (instance_name, agent_type, description, status, last_heartbeat, created_at, \
         updated_at, current_stf_count, total_stf_processed, workflow_enabled, operational_state) VALUES",
    )
    .with(
        "(?, 'Unknown', '', ?, ?, ?, ?, 0, 0, ?, 'STARTING') ON CONFLICT (instance_name) DO UPDATE SET \
         status = excluded.status, last_heartbeat = excluded.last_heartbeat, updated_at = excluded.updated_at",
        [name.into(), status.into(), now.into(), now.into(), now.into(), true.into()],
    );
    tx.execute(&sql).await.map(|_| ())
}

fn dead_letter(service: &Service, delivery: &Delivery, reason: &str) -> Sql {
    let headers: Map<String, Value> =
        delivery.headers.iter().map(|(k, v)| (k.to_owned(), v.to_owned().into())).collect();
    Sql::new("INSERT INTO swfx_dead_letter (received_at, destination, reason, headers, body) VALUES").with(
        "(?, ?, ?, ?, ?)",
        [
            service.clock.now().into(),
            delivery.destination().into(),
            reason.into(),
            Value::Object(headers).into(),
            String::from_utf8_lossy(&delivery.body).into_owned().into(),
        ],
    )
}

/// Keeps a message that the database refused as a dead letter.
async fn bury(service: &Service, delivery: &Delivery, reason: &str) -> Result<(), DbError> {
    tracing::warn!("dead letter from {}: {reason}", delivery.destination());
    service.db.execute(&dead_letter(service, delivery, reason)).await.map(|_| ())
}
