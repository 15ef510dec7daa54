//! Heartbeats to the monitor.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use swf_client::Heartbeat;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Manager;
use super::backend::{Backend, Health};
use crate::supervise::State;

/// Changes that come together go into one heartbeat.
const GATHER: Duration = Duration::from_millis(250);
/// How often a supervisord is looked at; our own supervision tells by itself.
const OBSERVE: Duration = Duration::from_secs(2);

impl Manager {
    /// Sends a heartbeat at start, every 30 s, at each change of agents or broker connection, and
    /// on `SIGUSR1`, until the manager ends.
    pub(super) async fn heartbeats(self: Arc<Self>) {
        let mut tick = interval(self.config.heartbeat);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut agents, mut bus) = (self.backend.changes(), self.bus.status());
        let mut connected = bus.borrow_and_update().connected;
        let mut asked = signal(SignalKind::user_defined1())
            .map_err(|error| tracing::warn!(%error, "SIGUSR1 will not be heard"))
            .ok();
        loop {
            let usr1 = async {
                match &mut asked {
                    Some(asked) => asked.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                _ = tick.tick() => {}
                _ = usr1 => {}
                // Both live as long as the manager, so neither ever fails.
                Ok(()) = agents.changed() => self.gather().await,
                Ok(()) = bus.changed() => {
                    // Attempts to reconnect are changes too, but nothing new for the monitor.
                    if bus.borrow_and_update().connected == connected {
                        continue;
                    }
                    self.gather().await;
                }
            }
            agents.mark_unchanged();
            connected = bus.borrow_and_update().connected;
            self.unless_ending(self.beat(false)).await;
        }
    }

    async fn gather(&self) {
        tokio::select! {
            () = sleep(GATHER) => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    /// Looks at a supervisord from time to time, so that its changes are noticed.
    pub(super) async fn observe(self: Arc<Self>) {
        if matches!(self.backend, Backend::Native { .. }) {
            return;
        }
        while self.unless_ending(sleep(OBSERVE)).await.is_some() {
            // Reading publishes the change; what is wrong is told by the heartbeat.
            drop(self.unless_ending(self.backend.states()).await);
        }
    }

    pub(super) async fn health(&self) -> Health {
        let wanted = self.wanted().is_some();
        self.backend.health(wanted).await
    }

    /// Sends one heartbeat; `exiting` says that it is the last.
    pub(super) async fn beat(&self, exiting: bool) {
        let health = self.health().await;
        let connected = self.bus.status().borrow().connected;
        let heartbeat = self.heartbeat(&health, connected, exiting);
        let result = self.monitor.heartbeat(&heartbeat).await;
        // Only a change is worth a log line.
        let arrived_before = self.beats_arrive.swap(result.is_ok(), Ordering::Relaxed);
        match (result, arrived_before) {
            (Err(error), true) => tracing::warn!("the monitor does not take heartbeats: {error}"),
            (Ok(_), false) => tracing::info!("the monitor takes heartbeats again"),
            _ => {}
        }
    }

    fn heartbeat(&self, health: &Health, connected: bool, exiting: bool) -> Heartbeat {
        let wanted = self.wanted().clone();
        let running = health.agents.iter().filter(|agent| agent.state == State::Running).count();
        let is_running = |name: &String| {
            health.agents.iter().any(|agent| agent.name == *name && agent.state == State::Running)
        };
        let degraded = wanted.as_ref().is_some_and(|wanted| !wanted.programs.iter().all(is_running));
        let status = match (exiting, connected && health.healthy, degraded) {
            (true, ..) => "EXITED",
            (_, false, _) => "ERROR",
            (.., true) => "WARNING",
            _ => "OK",
        };
        let namespace = self.namespace().clone();
        let link = if connected { "connected" } else { "disconnected" };
        let (user, text) = (&self.config.user, &health.text);
        let supervision = match self.backend {
            Backend::Native { .. } => "supervision",
            Backend::Supervisord(_) => "supervisord",
        };
        let mut metadata = Map::new();
        let mut put = |key: &str, value: Value| drop(metadata.insert(key.to_owned(), value));
        put("supervisord_healthy", json!(health.healthy));
        put("agents_running", json!(running > 0));
        put("agents", json!(health.agents));
        put("backend", json!(self.backend.name()));
        put("config", json!(wanted.map(|wanted| wanted.config)));
        Heartbeat {
            instance_name: self.instance_name(),
            agent_type: "agent_manager".to_owned(),
            status: status.to_owned(),
            description: format!(
                "Agent manager for {user}. namespace: {namespace}. MQ: {link}. {supervision}: {text}"
            ),
            mq_connected: connected,
            operational_state: if exiting { "EXITED" } else { "READY" }.to_owned(),
            pid: std::process::id(),
            hostname: self.config.host.clone(),
            namespace: Some(namespace),
            metadata: Some(metadata),
            ..Heartbeat::default()
        }
    }
}
