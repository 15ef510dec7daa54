//! Killing a process of this machine, but only the very one that sent an agent's heartbeats.
//!
//! *Invariant:* a number from the database is never signalled: the process is opened first, then host, owner,
//! start time and command line are compared through `/proc`, and the signal goes to the opened process, so
//! an id that changes hands in between cannot be hit.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::liveness::AgentRow;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was killed and is gone.
    Killed,
    /// There is no such process (any more).
    Gone(String),
    /// A process has the id but is not the agent: the agent itself is gone.
    Other(String),
    /// It lives and could not be ended.
    Alive(String),
}

/// Facts about a process, read from `/proc`.
#[derive(Debug)]
struct Facts {
    owner: u32,
    started: DateTime<Utc>,
    command: String,
}

/// User-space clock ticks of Linux, in which `/proc` counts.
const TICKS_PER_SECOND: i64 = 100;

/// Start times are known to the tick, boot time to the second.
const CLOCK_SLACK: TimeDelta = TimeDelta::seconds(2);

/// How long a killed process may take to vanish.
const DEATH_LIMIT: Duration = Duration::from_secs(3);

/// Kills the process `pid` if it is the one of `agent`; `user` is the account that the agent's name tells.
pub async fn kill(agent: &AgentRow, pid: Pid, user: Option<&str>) -> Outcome {
    let number = pid.as_raw_nonzero().get();
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Outcome::Gone(format!("no process {number} on this host")),
        Err(e) => return Outcome::Alive(format!("process {number} cannot be opened: {e}")),
    };
    let facts = match facts(number) {
        Ok(facts) => facts,
        Err(e) => return Outcome::Gone(format!("process {number} has just ended ({e})")),
    };
    if let Some(why) = not_this(agent, &facts, user) {
        return Outcome::Other(format!("process {number} is not this agent: {why}; it was left alone"));
    }
    match pidfd_send_signal(&handle, Signal::KILL) {
        Ok(()) => {}
        Err(rustix::io::Errno::SRCH) => return Outcome::Gone(format!("process {number} has just ended")),
        Err(e) => return Outcome::Alive(format!("process {number} could not be killed: {e}")),
    }
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let deadline = tokio::time::Instant::now() + DEATH_LIMIT;
    while tokio::time::Instant::now() < deadline {
        look.tick().await;
        if ended(number) {
            return Outcome::Killed;
        }
    }
    Outcome::Alive(format!("process {number} was sent SIGKILL but is still there"))
}

/// Why a process cannot be the one that sent an agent's heartbeats.
fn not_this(agent: &AgentRow, facts: &Facts, user: Option<&str>) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    let named = user.and_then(uid_of);
    if facts.owner != own && named != Some(facts.owner) {
        return Some(format!("it belongs to user id {}", facts.owner));
    }
    let Some(heard) = agent.last_heartbeat else {
        return Some("the agent never sent a heartbeat to compare it with".into());
    };
    if facts.started > heard + CLOCK_SLACK {
        let started = crate::time::iso(facts.started);
        return Some(format!("it started at {started}, after the agent's last heartbeat"));
    }
    let command = facts.command.to_lowercase();
    let words = words(&agent.agent_type.to_lowercase());
    if !words.iter().any(|w| command.contains(w.as_str())) {
        let shown: String = facts.command.chars().take(80).collect();
        return Some(format!("it runs '{shown}'"));
    }
    None
}

/// What the command line of an agent of a kind contains, in one of these spellings.
fn words(kind: &str) -> Vec<String> {
    let of = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    match kind {
        "daq_simulator" | "workflow_runner" | "daqsim" => {
            of(&["workflow_runner", "workflow-runner", "daq", "agent runner"])
        }
        "data" => of(&["data_agent", "data-agent", "agent data"]),
        "processing" | "stf_processing" => of(&["processing_agent", "processing-agent", "agent processing"]),
        "fast_processing" => of(&["fast_processing", "fast-processing"]),
        "slice_worker" => of(&["slice_worker", "slice-worker", "agent worker"]),
        "agent_manager" => of(&["agent_manager", "agent-manager"]),
        other => vec![other.to_owned(), other.replace('_', "-")],
    }
}

fn facts(pid: i32) -> std::io::Result<Facts> {
    let bad = |what: &str| std::io::Error::other(format!("{what} cannot be read"));
    let folder = format!("/proc/{pid}");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&folder)?);
    let command = std::fs::read(format!("{folder}/cmdline"))?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
    let stat = std::fs::read_to_string(format!("{folder}/stat"))?;
    // The name in brackets may itself hold blanks and brackets; after it the 20th field is the start.
    let ticks =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse::<i64>().ok());
    let boot = std::fs::read_to_string("/proc/stat")?;
    let boot = boot.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    let (Some(ticks), Some(boot)) = (ticks, boot) else { return Err(bad("its start time")) };
    let started = DateTime::from_timestamp(boot + ticks / TICKS_PER_SECOND, 0);
    Ok(Facts { owner, command, started: started.ok_or_else(|| bad("its start time"))? })
}

/// True when the process is gone or only waits for its parent to notice.
fn ended(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(')').is_some_and(|(_, rest)| matches!(rest.split_whitespace().next(), Some("Z" | "X")))
}

/// User id of a local account.
fn uid_of(user: &str) -> Option<u32> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(1)?.parse().ok())?
    })
}
