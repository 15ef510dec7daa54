//! How agents are run: by our own supervisor, or by a real supervisord.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::orphans;
use super::plan::Plan;
use super::supervisord::{Supervisord, SupervisordConfig};
use crate::supervise::{Program, ProgramStatus, State, Supervisor, clear_leftovers};

/// Up for this long counts as started: an agent that misses its configuration ends before.
const START_SECS: Duration = Duration::from_secs(2);
/// Agents may finish the message at hand before they are killed.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Log lines told with each agent that did not start.
const REASON_LINES: usize = 5;
/// How long supervisord's programs may take to settle.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
/// How often supervisord is asked while something changes.
const POLL: Duration = Duration::from_millis(200);

/// Which supervision the manager uses.
#[derive(Debug, Clone)]
pub enum BackendConfig {
    /// Agents are children of the manager.
    Native(NativeConfig),
    /// Agents are programs of a supervisord.
    Supervisord(SupervisordConfig),
}

/// How our own agents are started: `<command> <args…> agent <kind> --testbed-config <file>`, and
/// `--instance <n>` for the second and further processes of a kind.
#[derive(Debug, Clone)]
pub struct NativeConfig {
    /// The swf binary.
    pub command: PathBuf,
    /// Options before the role, such as `--data-dir <folder>`.
    pub args: Vec<String>,
    /// Variables added to their environment besides `SWF_TESTBED_CONFIG`.
    pub env: Vec<(String, String)>,
    /// Folder of their log files.
    pub log_dir: PathBuf,
}

/// What is known about the agents right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    /// The supervision itself works.
    pub(super) healthy: bool,
    /// One line: `idle`, `4 of 5 agents RUNNING`, or what is wrong.
    pub(super) text: String,
    pub(super) agents: Vec<ProgramStatus>,
}

/// The supervision in use.
#[derive(Debug)]
pub(super) enum Backend {
    Native { config: NativeConfig, supervisor: Supervisor },
    Supervisord(Driven),
}

/// A supervisord with what was last seen of its programs.
#[derive(Debug)]
pub(super) struct Driven {
    daemon: Supervisord,
    seen: watch::Sender<Vec<ProgramStatus>>,
    processes: Mutex<Vec<Process>>,
}

/// What supervisord does not keep about a program.
#[derive(Debug)]
struct Process {
    program: String,
    /// The process, which leads its group (supervisord leaves the rest of a group behind); 0 when
    /// it has ended.
    pid: u32,
    /// How often a process followed another.
    restarts: u32,
}

impl Driven {
    pub(super) fn new(config: SupervisordConfig) -> Self {
        Self {
            daemon: Supervisord::new(config),
            seen: watch::Sender::new(Vec::new()),
            processes: Mutex::default(),
        }
    }
}

impl Backend {
    /// `native` or `supervisord`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Native { .. } => "native",
            Self::Supervisord(_) => "supervisord",
        }
    }

    /// Told at each change of an agent that is noticed.
    pub(super) fn changes(&self) -> watch::Receiver<Vec<ProgramStatus>> {
        match self {
            Self::Native { supervisor, .. } => supervisor.changes(),
            Self::Supervisord(driven) => driven.seen.subscribe(),
        }
    }

    /// States of the agents; an error when the supervision does not answer.
    pub(super) async fn states(&self) -> Result<Vec<ProgramStatus>, String> {
        match self {
            Self::Native { supervisor, .. } => Ok(supervisor.states()),
            Self::Supervisord(driven) => driven.states().await.map_err(|error| error.to_string()),
        }
    }

    /// How things stand. `wanted`: a testbed should be up.
    pub(super) async fn health(&self, wanted: bool) -> Health {
        match self.states().await {
            Err(text) => Health { healthy: false, text, agents: Vec::new() },
            Ok(agents) if agents.is_empty() && wanted => {
                Health { healthy: false, text: format!("{} does not run", self.name()), agents }
            }
            Ok(agents) => {
                let running = agents.iter().filter(|agent| agent.state == State::Running).count();
                let down = agents.iter().all(|agent| !agent.state.has_process());
                let text = match wanted || !down {
                    true => format!("running, {running} of {} agents RUNNING", agents.len()),
                    false => "idle".to_owned(),
                };
                Health { healthy: true, text, agents }
            }
        }
    }

    /// Starts all programs of the plan and waits until each is RUNNING or has failed. With
    /// `adopt`, what is up already stays as it is.
    pub(super) async fn start(&self, plan: &Plan, adopt: bool) -> Result<Vec<ProgramStatus>, String> {
        match self {
            Self::Native { config, supervisor } => start_native(config, supervisor, plan).await,
            Self::Supervisord(driven) => driven.start(plan, adopt).await,
        }
    }

    /// Stops all agents; nothing of them is left.
    pub(super) async fn stop(&self) -> Result<(), String> {
        match self {
            Self::Native { supervisor, .. } => {
                supervisor.stop_all().await;
                Ok(())
            }
            Self::Supervisord(driven) => driven.stop().await.map_err(|error| error.to_string()),
        }
    }

    /// Kills one agent so that it stays down.
    pub(super) async fn kill(&self, program: &str) -> Result<(), String> {
        match self {
            Self::Native { supervisor, .. } => {
                supervisor.kill(program).await.map_err(|error| error.to_string())
            }
            Self::Supervisord(driven) => driven.daemon.kill(program).await.map_err(|error| error.to_string()),
        }
    }

    /// Stops all agents and the supervision itself.
    pub(super) async fn shutdown(self) -> Result<(), String> {
        match self {
            Self::Native { supervisor, .. } => {
                supervisor.shutdown().await;
                Ok(())
            }
            Self::Supervisord(driven) => {
                driven.stop().await.map_err(|error| error.to_string())?;
                driven.daemon.shutdown().await.map_err(|error| error.to_string())
            }
        }
    }
}

async fn start_native(
    config: &NativeConfig,
    supervisor: &Supervisor,
    plan: &Plan,
) -> Result<Vec<ProgramStatus>, String> {
    for status in supervisor.states() {
        supervisor.remove(&status.name).await.map_err(|error| error.to_string())?;
    }
    for member in &plan.members {
        let mut args = config.args.clone();
        args.extend(["agent", member.kind.as_str(), "--testbed-config", &plan.config].map(str::to_owned));
        if member.number > 1 {
            args.extend(["--instance".to_owned(), member.number.to_string()]);
        }
        let mut program = Program::new(member.program.clone(), config.command.clone())
            .args(args)
            .env("SWF_TESTBED_CONFIG", plan.config.clone());
        program.env.extend(config.env.iter().cloned());
        program.start_secs = START_SECS;
        program.stop_wait = STOP_WAIT;
        supervisor.add(program).map_err(|error| error.to_string())?;
    }
    let names = plan.programs();
    for name in &names {
        if let Err(error) = supervisor.start(name).await {
            // The state of the program tells it too, and the others go on.
            tracing::error!("{error}");
        }
    }
    Ok(supervisor.settled(&names).await)
}

impl Driven {
    /// An empty list when the daemon is not there.
    async fn states(&self) -> Result<Vec<ProgramStatus>, super::supervisord::Error> {
        let mut states = if self.daemon.is_up().await? { self.daemon.states().await? } else { Vec::new() };
        self.follow(&mut states);
        self.seen.send_if_modified(|seen| {
            let changed = *seen != states;
            seen.clone_from(&states);
            changed
        });
        Ok(states)
    }

    /// Counts restarts and clears up after processes that ended.
    fn follow(&self, states: &mut [ProgramStatus]) {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        for status in states {
            let known = processes.iter_mut().find(|process| process.program == status.name);
            match (known, status.pid) {
                (Some(process), now) => {
                    if now != Some(process.pid) {
                        clear_leftovers(process.pid);
                        process.restarts += u32::from(now.is_some());
                        // Cleared once only: its number may be given to others.
                        process.pid = now.unwrap_or(0);
                    }
                    status.restarts = process.restarts;
                }
                (None, Some(pid)) => {
                    processes.push(Process { program: status.name.clone(), pid, restarts: 0 })
                }
                (None, None) => {}
            }
        }
    }

    async fn start(&self, plan: &Plan, adopt: bool) -> Result<Vec<ProgramStatus>, String> {
        let words = |error: super::supervisord::Error| error.to_string();
        let up = self.states().await.map_err(words)?;
        if !(adopt && up.iter().any(|status| status.state.has_process())) {
            // A fresh daemon: only its environment tells the agents which configuration to use.
            self.daemon.shutdown().await.map_err(words)?;
            orphans::end(self.daemon.socket()).await;
            self.daemon.launch(&plan.config).await.map_err(words)?;
            self.processes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let known = self.states().await.map_err(words)?;
        let names = plan.programs();
        let missing: Vec<&str> = names
            .iter()
            .filter(|name| known.iter().all(|status| status.name != **name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let known: Vec<&str> = known.iter().map(|status| status.name.as_str()).collect();
            return Err(format!(
                "{} has no program {}; add a section for it, or use one of {}",
                self.daemon.conf().display(),
                missing.join(", "),
                known.join(", ")
            ));
        }
        for name in &names {
            self.daemon.start(name).await.map_err(words)?;
        }
        self.settled(&names).await.map_err(words)
    }

    async fn settled(&self, names: &[String]) -> Result<Vec<ProgramStatus>, super::supervisord::Error> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        let mut states = loop {
            let mut states = self.states().await?;
            states.retain(|status| names.contains(&status.name));
            let moving = |status: &ProgramStatus| {
                matches!(status.state, State::Starting | State::Backoff | State::Stopping)
            };
            if !states.iter().any(moving) || Instant::now() >= deadline {
                break states;
            }
            sleep(POLL).await;
        };
        for status in states.iter_mut().filter(|status| status.state != State::Running) {
            let lines = self.daemon.tail(&status.name, REASON_LINES).await;
            if !lines.is_empty() {
                let how = status.reason.take().unwrap_or_else(|| "it ended too quickly".to_owned());
                status.reason = Some(format!("{how}; last log lines: {}", lines.join(" | ")));
            }
        }
        Ok(states)
    }

    async fn stop(&self) -> Result<(), super::supervisord::Error> {
        if self.daemon.is_up().await? {
            self.daemon.stop_all().await?;
            self.states().await?;
        } else {
            orphans::end(self.daemon.socket()).await;
        }
        Ok(())
    }
}
