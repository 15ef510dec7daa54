//! What a supervised program is and how it stands.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// One program to keep running. [`Program::new`] gives sound defaults; change what differs.
#[derive(Debug, Clone)]
pub struct Program {
    /// Unique name; also the name of its log file.
    pub name: String,
    /// Executable: a path, or a bare name looked up in `PATH`.
    pub command: PathBuf,
    /// Arguments after the command.
    pub args: Vec<String>,
    /// Variables added to the environment of the supervisor.
    pub env: Vec<(String, String)>,
    /// Working folder; that of the supervisor when `None`.
    pub dir: Option<PathBuf>,
    /// Start it again when it ends without having been asked to. Default true.
    pub autorestart: bool,
    /// Sent to the process group to stop it. Default `SIGTERM`.
    pub stop_signal: Signal,
    /// Time between the stop signal and `SIGKILL`. Default 10 s.
    pub stop_wait: Duration,
    /// Up for this long counts as RUNNING; ending earlier is a quick exit. Default 1 s.
    pub start_secs: Duration,
    /// Quick exits in a row that are retried before the program is FATAL. Default 3.
    pub start_retries: u32,
    /// First wait before a restart; doubles with each restart. Default 0.5 s.
    pub backoff_min: Duration,
    /// Longest wait before a restart. Default 30 s.
    pub backoff_max: Duration,
    /// Up for this long makes the next restart wait `backoff_min` again. Default 60 s.
    pub stable_after: Duration,
}

impl Program {
    /// A program with the defaults named at the fields.
    pub fn new(name: impl Into<String>, command: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            command: command.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            autorestart: true,
            stop_signal: Signal::TERM,
            stop_wait: Duration::from_secs(10),
            start_secs: Duration::from_secs(1),
            start_retries: 3,
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            stable_after: Duration::from_secs(60),
        }
    }

    /// The same program with these arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// The same program with one more environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Wait before restart number `attempt` (from 0).
    pub(super) fn backoff(&self, attempt: u32) -> Duration {
        self.backoff_min.saturating_mul(2_u32.saturating_pow(attempt)).min(self.backoff_max)
    }
}

/// State of a program, with the names supervisord uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Not started, or stopped on request.
    Stopped,
    /// Process made; not yet up for `start_secs`.
    Starting,
    /// Up for at least `start_secs`.
    Running,
    /// Ended by itself; waits for its restart.
    Backoff,
    /// Asked to stop; not gone yet.
    Stopping,
    /// Ended by itself and is not restarted.
    Exited,
    /// Ended too quickly too often; not restarted until asked.
    Fatal,
}

impl State {
    /// Whether a process exists in this state.
    pub fn has_process(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }

    /// Whether the program is meant to be up (a restart counts).
    pub fn is_wanted(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Backoff)
    }

    /// Upper-case name, as supervisord writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Backoff => "BACKOFF",
            Self::Stopping => "STOPPING",
            Self::Exited => "EXITED",
            Self::Fatal => "FATAL",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a program stands. JSON: `{name, state, pid, since, restarts, reason}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramStatus {
    /// Program name.
    pub name: String,
    /// State now.
    pub state: State,
    /// Process id while there is a process; also its process group.
    pub pid: Option<u32>,
    /// When this state began.
    pub since: DateTime<Utc>,
    /// How often it was restarted without being asked, since it was last started on request.
    pub restarts: u32,
    /// Why it is not up, or why it was last restarted, in words.
    pub reason: Option<String>,
}

impl ProgramStatus {
    pub(super) fn stopped(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: State::Stopped,
            pid: None,
            since: Utc::now(),
            restarts: 0,
            reason: None,
        }
    }
}

impl fmt::Display for ProgramStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.state)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_its_limit() {
        let program = Program::new("p", "true");
        let waits: Vec<u64> = [0, 1, 2, 5, 6, 40].map(|n| program.backoff(n).as_millis() as u64).to_vec();
        assert_eq!(waits, [500, 1000, 2000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn a_status_is_written_with_upper_case_state() {
        let json = serde_json::to_value(ProgramStatus::stopped("p")).unwrap();
        assert_eq!(json["state"], "STOPPED");
        assert_eq!(json["pid"], serde_json::Value::Null);
    }
}
