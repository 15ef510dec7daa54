//! Heartbeats: at start, on every change, every 20 s and at exit.
//!
//! *Invariant:* a heartbeat says OK only while the broker connection stands and the agent knows of no trouble.

use std::time::Duration;

use serde_json::{Map, Value};
use swf_client::Heartbeat;
use tokio::sync::watch;

use super::Link;

/// Changes are collected for so long before they are sent.
const SETTLE: Duration = Duration::from_millis(300);
/// The exit heartbeat must not hold up the end of the process.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// `operational_state` of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operational {
    /// Not ready yet.
    Starting,
    /// Waits for work.
    Ready,
    /// Works on a run.
    Processing,
    /// Ended.
    Exited,
}

impl Operational {
    fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Ready => "READY",
            Self::Processing => "PROCESSING",
            Self::Exited => "EXITED",
        }
    }
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Where it is in its life.
    pub operational: Operational,
    /// Trouble that someone should look at; none is well.
    pub trouble: Option<String>,
    /// What it does, one line.
    pub note: String,
    /// Work at hand.
    pub active: i64,
    /// Work done.
    pub done: i64,
    /// Messages that were handled.
    pub handled: u64,
    /// Messages that could not be handled.
    pub failed: u64,
    /// Anything else.
    pub metadata: Map<String, Value>,
}

/// The agent's own health, shared by handlers and the heartbeat task.
#[derive(Debug, Clone)]
pub struct Pulse {
    health: watch::Sender<Health>,
}

impl Pulse {
    pub fn new() -> Self {
        let health = Health {
            operational: Operational::Starting,
            trouble: None,
            note: String::new(),
            active: 0,
            done: 0,
            handled: 0,
            failed: 0,
            metadata: Map::new(),
        };
        Self { health: watch::channel(health).0 }
    }

    /// Change the health. A heartbeat follows soon, unless only counters moved: those wait for the next one.
    pub fn change(&self, change: impl FnOnce(&mut Health)) {
        self.health.send_if_modified(|health| {
            let before = health.clone();
            change(health);
            let counters = Health {
                active: health.active,
                done: health.done,
                handled: health.handled,
                failed: health.failed,
                ..before
            };
            *health != counters
        });
    }

    /// The health as it is now.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Say which state of life and why.
    pub fn set(&self, operational: Operational, note: impl Into<String>) {
        let note = note.into();
        self.change(|health| {
            health.operational = operational;
            health.note = note;
        });
    }
}

fn body(link: &Link) -> Heartbeat {
    let health = link.pulse.health();
    let connected = link.broker_connected();
    let status = match (health.operational, &health.trouble, connected) {
        (Operational::Exited, _, _) => "EXITED",
        (_, Some(_), _) => "ERROR",
        (_, None, true) => "OK",
        (_, None, false) => "WARNING",
    };
    let kind = link.kind.agent_type();
    let mut description = if health.operational == Operational::Exited {
        format!("{kind} agent. Agent shutdown")
    } else {
        format!("{kind} agent. MQ: {}", if connected { "connected" } else { "disconnected" })
    };
    if !health.note.is_empty() && health.operational != Operational::Exited {
        description.push_str(". ");
        description.push_str(&health.note);
    }
    if let Some(trouble) = &health.trouble {
        description.push_str(". Error: ");
        description.push_str(trouble);
    }
    let mut metadata = health.metadata;
    metadata.insert("active_tasks".into(), health.active.into());
    metadata.insert("completed_tasks".into(), health.done.into());
    metadata.insert("messages_handled".into(), health.handled.into());
    metadata.insert("messages_failed".into(), health.failed.into());
    if let Some(logs) = &link.config.logs {
        metadata.insert("log_records_dropped".into(), logs.dropped().into());
    }
    Heartbeat {
        instance_name: link.name.clone(),
        agent_type: kind.to_owned(),
        status: status.to_owned(),
        description,
        mq_connected: connected,
        operational_state: health.operational.as_str().to_owned(),
        pid: std::process::id(),
        hostname: link.config.hostname.clone(),
        namespace: Some(link.config.namespace.clone()),
        workflow_enabled: true,
        current_stf_count: health.active,
        total_stf_processed: health.done,
        metadata: Some(metadata),
    }
}

/// Send one heartbeat.
pub(super) async fn beat(link: &Link, patience: Duration) -> Result<(), swf_client::Error> {
    link.monitor.patient(patience).heartbeat(&body(link)).await.map(drop)
}

/// The last heartbeat of a life.
pub(super) async fn last_beat(link: &Link) {
    link.pulse.set(Operational::Exited, "");
    match tokio::time::timeout(EXIT_PATIENCE, beat(link, EXIT_PATIENCE)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the exit heartbeat did not reach the monitor"),
        Err(_) => tracing::warn!("the exit heartbeat did not reach the monitor in time"),
    }
}

/// Beat until the agent ends. A monitor that is away is logged once, and once more when it is back.
pub(super) async fn run(link: &Link) {
    let mut health = link.pulse.health.subscribe();
    let mut broker = link.broker.status();
    let mut lost = false;
    loop {
        match beat(link, Duration::ZERO).await {
            Ok(()) if lost => {
                lost = false;
                tracing::info!("heartbeats reach the monitor again");
            }
            Err(error) if !lost => {
                lost = true;
                tracing::warn!(%error, "a heartbeat did not reach the monitor; work goes on");
            }
            _ => {}
        }
        tokio::select! {
            () = tokio::time::sleep(link.config.heartbeat) => {}
            _ = health.changed() => tokio::time::sleep(SETTLE).await,
            changed = broker.changed() => {
                if changed.is_err() {
                    tokio::time::sleep(link.config.heartbeat).await;
                } else {
                    let status = broker.borrow_and_update().clone();
                    if status.connected {
                        tracing::info!(reconnects = status.reconnects, "connected to the message broker");
                    } else {
                        tracing::warn!(
                            cause = status.last_error.unwrap_or_default(),
                            "lost the message broker; connecting again until it is back"
                        );
                    }
                }
            }
        }
        health.mark_unchanged();
    }
}
