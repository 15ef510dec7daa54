//! Commands of the control queues and the answers to them.

use std::time::Duration;

use chrono::{DateTime, Local, NaiveDateTime, Utc};
use serde_json::{Map, Value, json};
use swf_stomp::Delivery;

use crate::agent::{Incoming, Link, Outgoing, derived_uid};

/// A command older than this is refused: whoever sent it has given up.
const OLDEST: Duration = Duration::from_secs(120);
/// Answers and forwarded commands are of no use after this time.
const LIFETIME: Duration = Duration::from_secs(60);

/// `run_workflow`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunWorkflow {
    /// Which workflow.
    pub workflow_name: String,
    /// Its configuration; the workflow's usual one when left out.
    pub config: Option<String>,
    /// One simulated second takes a second.
    pub realtime: bool,
    /// Simulated seconds, 0 for no limit.
    pub duration: f64,
    /// Parameters, `key` or `section.key`.
    pub params: Map<String, Value>,
    /// Reserved by the sender.
    pub execution_id: Option<String>,
}

impl RunWorkflow {
    /// Read the command; the error is the reason for the refusal.
    pub(super) fn read(message: &Incoming) -> Result<Self, String> {
        let body = &message.body;
        let field = |key: &str| body.get(key).filter(|value| !value.is_null());
        let text = |key: &str| match field(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(format!("{key}: {other} is not a text")),
        };
        let realtime = match field("realtime") {
            None => true,
            Some(Value::Bool(truth)) => *truth,
            Some(other) => return Err(format!("realtime: {other} is not true or false")),
        };
        let duration = match field("duration") {
            None => 0.0,
            Some(value) => value
                .as_f64()
                .filter(|seconds| *seconds >= 0.0 && seconds.is_finite())
                .ok_or_else(|| format!("duration: {value} is not a number of seconds from 0"))?,
        };
        let params = match field("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params.clone(),
            Some(other) => return Err(format!("params: {other} is not an object of parameters")),
        };
        let execution_id = text("execution_id")?;
        if let Some(id) = execution_id.as_ref().filter(|id| id.len() > 100 || id.contains('/')) {
            return Err(format!("execution_id: {id:?} is longer than 100 characters or has a slash"));
        }
        Ok(Self {
            workflow_name: text("workflow_name")?
                .ok_or("workflow_name is missing; say which workflow to run")?,
            config: text("config")?,
            realtime,
            duration,
            params,
            execution_id,
        })
    }
}

/// Why a command comes too late, if it does. Times without offset are this machine's local time.
pub(super) fn too_old(message: &Incoming) -> Option<String> {
    let text = message.text("timestamp")?;
    let sent =
        DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).ok().or_else(|| {
            let naive: NaiveDateTime = text.parse().ok()?;
            naive.and_local_timezone(Local).earliest().map(|time| time.with_timezone(&Utc))
        })?;
    let age = Utc::now().signed_duration_since(sent).to_std().ok()?;
    (age > OLDEST).then(|| {
        format!("the command is {} s old, more than {} s; send it again", age.as_secs(), OLDEST.as_secs())
    })
}

/// Answer a command, if its sender wants an answer. `fields` follow `msg_type` and `correlation_id`.
pub(super) async fn reply(link: &Link, message: &Incoming, msg_type: &str, fields: Value) {
    let Some(reply_to) = message.text("reply_to").or_else(|| message.delivery.headers.get("reply-to")) else {
        return;
    };
    let correlation_id = message.value("correlation_id");
    let mut body = json!({ "msg_type": msg_type, "correlation_id": correlation_id });
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
    let uid = derived_uid(&message.uid, msg_type, &crate::now());
    let mut outgoing = Outgoing::new(reply_to, uid, body).transient().for_at_most(LIFETIME);
    let header = correlation_id.as_str().or_else(|| message.delivery.headers.get("correlation-id"));
    if let Some(correlation_id) = header {
        outgoing = outgoing.with("correlation-id", correlation_id);
    }
    if let Err(error) = link.send(outgoing).await {
        tracing::warn!(reply_to, "the answer to a {} could not be sent: {error}", message.msg_type);
    }
}

/// Give a command of another namespace to that namespace's own queue.
pub(super) async fn forward(
    link: &Link,
    delivery: &Delivery,
    namespace: &str,
) -> Result<(), swf_stomp::Error> {
    let uid = delivery.headers.get("message-uid").unwrap_or(delivery.message_id());
    let destination = format!("/queue/workflow_control.{namespace}");
    let end = Utc::now().timestamp_millis() + LIFETIME.as_millis() as i64;
    let message = swf_stomp::Message::new(&destination, delivery.body.to_vec())
        .with("message-uid", uid)
        .with("namespace", namespace)
        .with("content-type", "application/json")
        .with("expires", end.to_string());
    link.broker.send(link.config.trust.passed_on(delivery, message)).await?;
    tracing::info!(namespace, "forwarded a command of namespace {namespace} to {destination}");
    Ok(())
}
