//! Everything on one machine: broker, monitor and agent manager as supervised children of this process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use swf_agents::supervise::{Lock, Program, State, Supervisor};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::config::Loaded;
use crate::files::Running;
use crate::roles::Role;

/// A started testbed host.
pub struct Up {
    /// The role with the effective configuration.
    pub role: Role,
    supervisor: Supervisor,
    _lock: Lock,
}

/// Children must answer within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a starting child is asked.
const LOOK: Duration = Duration::from_millis(20);

/// What to do when a default port is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Fail and say so.
    AsConfigured,
    /// Take a free one instead.
    FreeIfTaken,
}

impl Up {
    /// Starts broker, monitor and manager, each after the one before answers.
    pub async fn start(loaded: Loaded, ports: Ports) -> anyhow::Result<Up> {
        let mut role = Role::new(loaded)?;
        let lock_file = role.files.path("up.pid");
        let lock = Lock::acquire(&lock_file, Duration::from_secs(2)).await.with_context(|| {
            format!("a testbed runs already on {}; use `swf call`, end it with `swf down`, or choose another --data-dir", role.files.root().display())
        })?;
        settle_ports(&mut role, ports).await?;
        let config_file = role.write_effective()?;
        let supervisor = Supervisor::with_lock(&role.files.path("logs"), &lock)?;
        let up = Up { role, supervisor, _lock: lock };
        match up.bring_up(&config_file).await {
            Ok(()) => Ok(up),
            Err(e) => {
                up.down().await;
                Err(e)
            }
        }
    }

    async fn bring_up(&self, config_file: &std::path::Path) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("find this program's file")?;
        let root = self.role.files.root().display().to_string();
        let child = |name: &str, role: &[&str]| {
            let mut args = vec![
                "--effective".to_owned(),
                config_file.display().to_string(),
                "--data-dir".into(),
                root.clone(),
            ];
            args.extend(role.iter().map(|r| (*r).to_owned()));
            let mut child = Program::new(name, program.clone()).args(args);
            child.backoff_min = Duration::from_millis(200);
            child.backoff_max = Duration::from_secs(5);
            child
        };
        self.role.first_testbed()?;
        self.role.testbed()?;
        let broker = &self.role.loaded.config.broker;
        let address = format!("{}:{}", broker.host, broker.port);
        self.supervisor.add(child("broker", &["broker"]))?;
        self.supervisor.start("broker").await?;
        self.answers("broker", || async { tokio::net::TcpStream::connect(&address).await.is_ok() }).await?;
        self.supervisor.add(child("monitor", &["serve"]))?;
        self.supervisor.start("monitor").await?;
        let url = self.role.url()?;
        let ready = format!("{url}/readyz");
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        self.answers("monitor", || async {
            http.get(&ready).send().await.is_ok_and(|r| r.status().is_success())
        })
        .await?;
        self.role.files.set_running(&Running { pid: std::process::id(), url, broker: address })?;
        self.supervisor.add(child("agent-manager", &["agent-manager"]))?;
        self.supervisor.start("agent-manager").await?;
        Ok(())
    }

    /// Waits until `look` is true; a child that died for good ends the wait with its last words.
    async fn answers<F: Future<Output = bool>>(
        &self,
        name: &str,
        look: impl Fn() -> F,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            if look().await {
                return Ok(());
            }
            let state = self.supervisor.state(name)?;
            if state.state == State::Fatal || state.restarts > 0 {
                bail!("{}", self.last_words(name, state.reason.as_deref()));
            }
            if Instant::now() > deadline {
                bail!(
                    "the {name} did not answer within {} s; see {}",
                    PATIENCE.as_secs(),
                    self.log(name).display()
                );
            }
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.role.files.path("logs").join(format!("{name}.log"))
    }

    /// The line with which a child ended, without its log prefix.
    fn last_words(&self, name: &str, reason: Option<&str>) -> String {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let line = text.lines().rev().find_map(|l| l.strip_prefix("swf: "));
        match line {
            Some(line) => line.to_owned(),
            None => format!(
                "the {name} ended ({}); see {}",
                reason.unwrap_or("no reason"),
                self.log(name).display()
            ),
        }
    }

    /// Ends agents and manager, then the monitor, then the broker; nothing is left.
    pub async fn down(self) {
        self.supervisor.shutdown_in_reverse().await;
        self.role.files.clear_running();
    }
}

async fn free(address: SocketAddr) -> bool {
    TcpListener::bind(address).await.is_ok()
}

/// Sees that the two ports can be had, before anything is started.
async fn settle_ports(role: &mut Role, ports: Ports) -> anyhow::Result<()> {
    let listen = role.listen()?;
    let server = settle(listen, "server.listen", "SWF__SERVER__LISTEN", ports).await?;
    let broker = &role.loaded.config.broker;
    let address = format!("{}:{}", broker.host, broker.port);
    let address = tokio::net::lookup_host(&address)
        .await
        .ok()
        .and_then(|mut a| a.next())
        .with_context(|| format!("broker.host = {:?} is not an address of this machine", broker.host))?;
    let broker = settle(address, "broker.port", "ACTIVEMQ_PORT", ports).await?;
    role.loaded.config.server.listen = server.to_string();
    role.loaded.config.broker.host = broker.ip().to_string();
    role.loaded.config.broker.port = broker.port();
    role.loaded.config.broker.flavour = "embedded".into();
    role.loaded.config.broker.tls = false;
    Ok(())
}

async fn settle(wanted: SocketAddr, key: &str, variable: &str, ports: Ports) -> anyhow::Result<SocketAddr> {
    if wanted.port() != 0 && free(wanted).await {
        return Ok(wanted);
    }
    if wanted.port() != 0 && ports == Ports::AsConfigured {
        bail!(
            "port {} of {} is taken; free it, or set {key} ({variable}) to another",
            wanted.port(),
            wanted.ip()
        );
    }
    let probe = TcpListener::bind(SocketAddr::new(wanted.ip(), 0))
        .await
        .with_context(|| format!("{} is not an address of this machine; change {key}", wanted.ip()))?;
    Ok(probe.local_addr()?)
}
