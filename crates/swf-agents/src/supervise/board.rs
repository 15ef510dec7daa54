//! The one place where the states of all programs stand, with notice of changes.

use chrono::Utc;
use tokio::sync::watch;

use super::{ProgramStatus, State};

/// Shared states in the order programs were added.
#[derive(Debug)]
pub(super) struct Board(watch::Sender<Vec<ProgramStatus>>);

impl Board {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    pub(super) fn add(&self, name: &str) {
        self.0.send_modify(|all| all.push(ProgramStatus::stopped(name)));
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.send_modify(|all| all.retain(|status| status.name != name));
    }

    /// Writes a new state; `since` becomes now.
    pub(super) fn set(
        &self,
        name: &str,
        state: State,
        pid: Option<u32>,
        restarts: u32,
        reason: Option<String>,
    ) {
        tracing::info!(program = %name, state = %state, pid, reason = reason.as_deref(), "{name} is {state}");
        self.0.send_modify(|all| {
            if let Some(status) = all.iter_mut().find(|status| status.name == name) {
                *status =
                    ProgramStatus { name: name.to_owned(), state, pid, since: Utc::now(), restarts, reason };
            }
        });
    }

    pub(super) fn all(&self) -> Vec<ProgramStatus> {
        self.0.borrow().clone()
    }

    pub(super) fn get(&self, name: &str) -> Option<ProgramStatus> {
        self.0.borrow().iter().find(|status| status.name == name).cloned()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Vec<ProgramStatus>> {
        self.0.subscribe()
    }
}
