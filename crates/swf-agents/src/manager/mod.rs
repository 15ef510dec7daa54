//! The agent manager of one user: starts and stops the testbed on command and watches over it.
//!
//! It listens on `/queue/agent_control.<user>` for `start_testbed`, `stop_testbed`, `restart`,
//! `status`, `ping` and `kill_agent`, and answers each that names a `reply_to`. Work on the
//! testbed is done one command at a time beside the receiver, so `status` and `ping` are answered
//! and heartbeats go on while agents start or stop.
//!
//! What should be running is kept in `<data>/agent-manager/<user>.json`: a manager that was killed
//! brings its testbed up again. `<user>.pid` beside it lets only one manager run.
//!
//! *Invariant:* a heartbeat never says more than is so: the broker is "connected" only while it has
//! let us in, and agents run only while their supervision says RUNNING.

mod backend;
mod command;
mod desired;
mod health;
mod orphans;
mod plan;
mod receive;
mod supervisord;
mod xmlrpc;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::Utc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use backend::{BackendConfig, NativeConfig};
pub use supervisord::SupervisordConfig;

use crate::supervise::{Lock, Supervisor};
use crate::trust::Trust;
use backend::{Backend, Driven};
use desired::{Desired, Wanted};
use plan::Plan;
use receive::Job;

/// A killed predecessor's guard needs up to 2 s to end what it left.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// One try of a heartbeat; the next one comes soon anyway.
const BEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// What an agent manager needs to know.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    /// Login name: names the control queue and the manager (`agent-manager-<user>`).
    pub user: String,
    /// Host name, for heartbeats.
    pub host: String,
    /// Data folder of swf; the manager writes to `agent-manager/` in it.
    pub data_dir: PathBuf,
    /// Folder of `testbed.toml` and other configurations; the shipped ones only when `None`.
    pub config_dir: Option<PathBuf>,
    /// Configuration used when a command names none: a name in `config_dir`, or a path with a
    /// slash. `testbed.toml` when `None`.
    pub testbed_config: Option<String>,
    /// Slices are worked on elsewhere (PanDA), so no worker is started for fast processing.
    /// A section `[agents.worker]` decides otherwise.
    pub external_workers: bool,
    /// The message broker. The client id is set by the manager.
    pub broker: swf_stomp::ClientConfig,
    /// The monitor, for heartbeats.
    pub monitor: swf_client::ClientConfig,
    /// How agents are run.
    pub backend: BackendConfig,
    /// Time between heartbeats when nothing changes; 30 s by contract.
    pub heartbeat: Duration,
    /// Which commands are obeyed.
    pub trust: Trust,
    /// Process id of the supervisor that started this manager, if one did.
    pub supervisor: Option<u32>,
}

/// The parts that receiver, worker and heartbeats share.
#[derive(Debug)]
struct Manager {
    config: ManagerConfig,
    backend: Backend,
    desired: Desired,
    bus: swf_stomp::Client,
    monitor: swf_client::Client,
    /// The testbed that should be up.
    wanted: Mutex<Option<Wanted>>,
    /// Namespace of the testbed that is or was up last, else of the default configuration.
    namespace: Mutex<String>,
    /// Whether the last heartbeat reached the monitor.
    beats_arrive: AtomicBool,
    shutdown: CancellationToken,
}

/// Runs the agent manager of a user until `shutdown` is cancelled; then the testbed is stopped,
/// and nothing of it is left.
///
/// # Errors
/// A configuration that cannot work, another manager of the same user, a data folder that cannot
/// be written. Broker and monitor out of reach are no errors: they are tried for ever.
pub async fn run_manager(config: ManagerConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    check_user(&config.user)?;
    let folder = config.data_dir.join("agent-manager");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let lock = Lock::acquire(&folder.join(format!("{}.pid", config.user)), LOCK_PATIENCE)
        .await
        .with_context(|| format!("an agent manager of {} runs already", config.user))?;
    let desired = Desired::new(folder.join(format!("{}.json", config.user)));
    let backend = match &config.backend {
        BackendConfig::Native(native) => Backend::Native {
            config: native.clone(),
            supervisor: Supervisor::with_lock(&native.log_dir, &lock)?,
        },
        BackendConfig::Supervisord(supervisord) => Backend::Supervisord(Driven::new(supervisord.clone())),
    };
    let namespace = Mutex::new(plan_of(&config, None)?.namespace);
    let monitor = swf_client::Client::new(&swf_client::ClientConfig {
        timeout: BEAT_TIMEOUT,
        patience: Duration::ZERO,
        ..config.monitor.clone()
    })?;
    let client_id = Some(format!("swf-agent-manager-{}", config.user));
    let bus = swf_stomp::Client::start(swf_stomp::ClientConfig { client_id, ..config.broker.clone() });
    let wanted = Mutex::new(None);
    let beats_arrive = AtomicBool::new(true);
    let manager =
        Manager { config, backend, desired, bus, monitor, wanted, namespace, beats_arrive, shutdown };
    Arc::new(manager).run().await?;
    drop(lock);
    Ok(())
}

impl Manager {
    async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        tracing::info!(
            manager = %self.instance_name(),
            backend = self.backend.name(),
            "{} listens on {}",
            self.instance_name(),
            self.queue()
        );
        let (jobs, inbox) = mpsc::unbounded_channel();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(Arc::clone(&self).receive(jobs));
        tasks.spawn(Arc::clone(&self).work(inbox));
        tasks.spawn(Arc::clone(&self).heartbeats());
        tasks.spawn(Arc::clone(&self).observe());
        let mut failed = Ok(());
        while let Some(ended) = tasks.join_next().await {
            // Tasks end at shutdown only; one that fails ends the manager, whose supervisor starts another.
            if let Err(error) = ended {
                self.shutdown.cancel();
                failed = Err(error).context("a task of the agent manager failed");
            }
        }
        let manager = Arc::into_inner(self).context("a task of the agent manager is still at work")?;
        manager.finish().await.and(failed)
    }

    /// Stops everything in order. The testbed is not wanted any more, because who ended the manager ended it;
    /// unless the manager ends because its supervisor was killed: then the next one resumes it.
    async fn finish(self) -> anyhow::Result<()> {
        if self.config.supervisor.is_some_and(crate::supervise::parent_is_gone) {
            tracing::warn!(
                "{} lost its supervisor and stops its testbed; the next start resumes it",
                self.instance_name()
            );
        } else {
            tracing::info!("{} ends and stops its testbed", self.instance_name());
            self.want(None);
        }
        let stopped = self.backend.stop().await;
        self.beat(true).await;
        self.bus.shutdown().await;
        let closed = self.backend.shutdown().await;
        if let Err(error) = stopped.and(closed) {
            bail!("the testbed was not stopped in order: {error}");
        }
        Ok(())
    }

    /// Does the work of commands, one at a time; first of all resumes what ran before.
    async fn work(self: Arc<Self>, mut inbox: mpsc::UnboundedReceiver<Job>) {
        self.unless_ending(self.resume()).await;
        let mut answered = receive::Answered::default();
        loop {
            let job = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                job = inbox.recv() => job,
            };
            let Some(job) = job else { return };
            self.serve(job, &mut answered).await;
        }
    }

    /// `None` when the manager was told to end before `work` was done.
    async fn unless_ending<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => None,
            done = work => Some(done),
        }
    }

    /// Brings up the testbed that a killed predecessor ran.
    async fn resume(&self) {
        let wanted = match self.desired.read() {
            Ok(Some(wanted)) => wanted,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "cannot read {}; no testbed is resumed", self.desired.path().display());
                return;
            }
        };
        tracing::info!(config = %wanted.config, "resuming the testbed that ran since {}", wanted.since);
        let plan = match plan_of(&self.config, Some(&wanted.config)) {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!("the testbed cannot be resumed: {error}");
                return;
            }
        };
        plan.namespace.clone_into(&mut self.namespace());
        *self.wanted() = Some(wanted);
        match self.backend.start(&plan, true).await {
            // What failed stays failed and shows in the heartbeat; the others go on with their work.
            Ok(states) => tracing::info!("resumed: {}", command::listing(&states)),
            Err(error) => tracing::error!("the testbed was not resumed: {error}"),
        }
    }

    /// Notes what should be up, here and on disk.
    fn want(&self, wanted: Option<Wanted>) {
        let written = match &wanted {
            Some(wanted) => self.desired.write(wanted),
            None => self.desired.clear(),
        };
        if let Err(error) = written {
            let path = self.desired.path().display();
            tracing::error!(%error, "cannot write {path}; a restarted manager will not know what to resume");
        }
        *self.wanted() = wanted;
    }

    fn wanted(&self) -> MutexGuard<'_, Option<Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn namespace(&self) -> MutexGuard<'_, String> {
        self.namespace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance_name(&self) -> String {
        format!("agent-manager-{}", self.config.user)
    }

    fn queue(&self) -> String {
        format!("/queue/agent_control.{}", self.config.user)
    }
}

fn plan_of(config: &ManagerConfig, name: Option<&str>) -> Result<Plan, plan::Error> {
    // The workers of a Python testbed under supervisord are PanDA's.
    let external = config.external_workers || matches!(config.backend, BackendConfig::Supervisord(_));
    let name = name.or(config.testbed_config.as_deref());
    Plan::load(config.config_dir.as_deref(), name, external)
}

fn wanted(plan: &Plan, asked_by: &str) -> Wanted {
    Wanted {
        config: plan.config.clone(),
        namespace: plan.namespace.clone(),
        programs: plan.programs(),
        asked_by: Some(asked_by.to_owned()),
        since: Utc::now(),
    }
}

/// The name becomes part of a queue name and of file names.
fn check_user(user: &str) -> anyhow::Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if user.is_empty() || user.starts_with('.') || !user.chars().all(fine) {
        bail!("user name {user:?} cannot name a queue: use letters, digits, '_', '-' and '.'");
    }
    Ok(())
}
