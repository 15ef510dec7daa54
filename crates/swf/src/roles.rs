//! What each role needs, built from the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use swf_agents::Testbed;
use swf_agents::manager::{BackendConfig, ManagerConfig, NativeConfig, SupervisordConfig};
use swf_server::app::App;
use swf_server::{Server, ingest, mcp};
use swf_tools::{Bus, Clock, Scope, Service, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Loaded;
use crate::files::{Files, login_user};

/// Configuration and data folder of this process.
pub struct Role {
    /// The configuration.
    pub loaded: Loaded,
    /// The data folder.
    pub files: Files,
}

impl Role {
    /// Opens the data folder.
    pub fn new(loaded: Loaded) -> anyhow::Result<Role> {
        let files = Files::open(&loaded.data_dir)?;
        Ok(Role { loaded, files })
    }

    /// User of the testbed.
    pub fn user(&self) -> String {
        match self.loaded.config.testbed.user.as_str() {
            "" => login_user(),
            user => user.to_owned(),
        }
    }

    /// Address to listen on.
    pub fn listen(&self) -> anyhow::Result<SocketAddr> {
        let text = &self.loaded.config.server.listen;
        text.parse().with_context(|| {
            format!("server.listen = {text:?} is not an address with port; write it like 127.0.0.1:8000")
        })
    }

    /// Prefix with a slash in front and none behind, or nothing.
    pub fn prefix(&self) -> String {
        match self.loaded.config.server.prefix.trim_matches('/') {
            "" => String::new(),
            inner => format!("/{inner}"),
        }
    }

    /// Address of the server as others reach it.
    pub fn url(&self) -> anyhow::Result<String> {
        let public = self.loaded.config.server.public_url.trim_end_matches('/');
        if !public.is_empty() {
            return Ok(public.to_owned());
        }
        Ok(format!("http://{}{}", self.listen()?, self.prefix()))
    }

    /// The broker's connection.
    pub fn broker(&self) -> anyhow::Result<swf_stomp::ClientConfig> {
        let broker = &self.loaded.config.broker;
        let mut config = swf_stomp::ClientConfig::new(broker.host.clone(), broker.port);
        config.login = broker.user.clone();
        config.passcode = broker.password.clone();
        config.flavour = broker.flavour.parse().map_err(|e| anyhow::anyhow!("broker.flavour: {e}"))?;
        config.vhost = Some(broker.vhost.clone()).filter(|v| !v.is_empty());
        let ca_file = Some(PathBuf::from(&broker.ca_file)).filter(|p| !p.as_os_str().is_empty());
        if let Some(ca) = ca_file.as_ref().filter(|p| !p.is_file()) {
            bail!(
                "broker.ca_file: {} is not a file; name the PEM file of the broker's authority",
                ca.display()
            );
        }
        config.tls = broker.tls.then_some(swf_stomp::Tls { ca_file, server_name: None });
        Ok(config)
    }

    fn signer(&self) -> Option<swf_stomp::Signer> {
        swf_stomp::Signer::new(&self.loaded.config.broker.command_key)
    }

    /// Which commands runners and agent managers obey.
    fn trust(&self) -> anyhow::Result<swf_agents::Trust> {
        let trust =
            swf_agents::Trust { signer: self.signer(), required: self.loaded.config.broker.require_signed };
        if trust.required && trust.signer.is_none() {
            bail!(
                "broker.require_signed is set without broker.command_key; set the key that all parties share"
            );
        }
        Ok(trust)
    }

    /// The monitor's address and the local token, for agents and commands.
    pub fn monitor(&self) -> anyhow::Result<swf_client::ClientConfig> {
        let token = match std::env::var("SWF_API_TOKEN") {
            Ok(token) if !token.is_empty() => Some(token),
            _ => self.files.token(),
        };
        let base_url = match std::env::var("SWF_MONITOR_URL") {
            Ok(url) if !url.is_empty() => url.trim_end_matches('/').to_owned(),
            _ => match self.files.running() {
                Some(running) => running.url,
                None => self.url()?,
            },
        };
        Ok(swf_client::ClientConfig { base_url, token, ..Default::default() })
    }

    /// Folder of testbed.toml and workflow files.
    pub fn testbed_folder(&self) -> PathBuf {
        let configured = &self.loaded.config.testbed.folder;
        if !configured.is_empty() {
            return PathBuf::from(configured);
        }
        match std::env::var_os("SWF_HOME") {
            Some(home) if !home.is_empty() => PathBuf::from(home).join("swf-testbed/workflows"),
            _ => self.files.path("workflows"),
        }
    }

    /// Testbed file as it was named, if it was.
    fn testbed_name(&self) -> Option<String> {
        Some(self.loaded.config.testbed.config.clone()).filter(|c| !c.is_empty())
    }

    /// Writes a first testbed.toml for this user, if there is none.
    pub fn first_testbed(&self) -> anyhow::Result<()> {
        let folder = self.testbed_folder();
        let file = folder.join("testbed.toml");
        if file.exists() || self.testbed_name().is_some() {
            return Ok(());
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let namespace: String =
            self.user().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let text = FIRST_TESTBED.replace("{namespace}", &namespace);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The testbed file, read.
    pub fn testbed(&self) -> anyhow::Result<Testbed> {
        Ok(Testbed::load(Some(&self.testbed_folder()), self.testbed_name().as_deref())?)
    }

    /// URL of the database of record.
    pub fn database_url(&self) -> String {
        match self.loaded.config.database.url.as_str() {
            "" => format!("sqlite:{}", self.files.path("swf.sqlite3").display()),
            url => url.to_owned(),
        }
    }

    /// Opens the database of record.
    pub async fn database(&self) -> anyhow::Result<swf_db::Db> {
        let section = &self.loaded.config.database;
        let options = swf_db::Options {
            max_connections: section.max_connections.max(1),
            statement_timeout: Some(Duration::from_secs(section.statement_timeout_seconds.max(1))),
            ..Default::default()
        };
        Ok(swf_db::Db::open(&self.database_url(), &options).await?)
    }

    /// URL of the PanDA database, if there is one.
    pub fn panda_url(&self) -> Option<String> {
        let file = self.files.path("panda.sqlite3");
        match self.loaded.config.panda.url.as_str() {
            "" => file.is_file().then(|| format!("sqlite:{}", file.display())),
            url => Some(url.to_owned()),
        }
    }

    /// Opens the PanDA database for reading.
    async fn panda(&self) -> anyhow::Result<Option<swf_tools::panda::Panda>> {
        let Some(url) = self.panda_url() else { return Ok(None) };
        let section = &self.loaded.config.panda;
        let given = |text: &str| Some(text.trim_end_matches('/').to_owned()).filter(|t| !t.is_empty());
        let settings = swf_tools::panda::Settings {
            statement_timeout: Duration::from_secs(section.statement_timeout_seconds.max(1)),
            kept: Duration::from_secs(section.kept_seconds),
            // A file is read in milliseconds.
            remembered_days: if url.starts_with("sqlite:") { 0 } else { section.remembered_days.min(400) },
            monitor_url: given(&section.monitor_url),
            api_url: given(&section.api_url),
            nersc_url: given(&section.nersc_url),
            log_hosts: section.log_hosts.clone(),
            ..Default::default()
        };
        Ok(Some(swf_tools::panda::open(&url, settings).await.context("open the PanDA database")?))
    }

    /// Settings of the tools.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let server = &self.loaded.config.server;
        let time_zone = server.time_zone.parse().map_err(|_| {
            anyhow::anyhow!(
                "server.time_zone = {:?} is not a zone; write it like America/New_York or UTC",
                server.time_zone
            )
        })?;
        let folder = self.testbed_folder();
        let testbed_config = match self.testbed_name() {
            Some(name) if name.contains('/') => (PathBuf::from(name), "SWF_TESTBED_CONFIG"),
            Some(name) => (folder.join(name), "SWF_TESTBED_CONFIG"),
            None => (folder.join("testbed.toml"), "default"),
        };
        Ok(Settings {
            base_url: self.url()?,
            time_zone,
            default_user: self.user(),
            swf_home: std::env::var_os("SWF_HOME").filter(|h| !h.is_empty()).map(PathBuf::from),
            testbed_config: Some(testbed_config),
            stale_after: Duration::from_secs(server.stale_after_seconds.max(30)),
            lost_after: match server.lost_after_minutes {
                0 => None,
                // Shorter than the limit for heartbeats would call the living lost.
                minutes => Some(Duration::from_secs(minutes * 60).max(Duration::from_secs(600))),
            },
            answer_ceiling: server.answer_ceiling_bytes.max(4_000),
            topic: self.loaded.config.broker.topic.clone(),
            reply_timeout: Duration::from_secs(10),
        })
    }

    /// The tools with database and broker. `name` tells connections of one process from another's.
    pub async fn service(&self, broker: &swf_stomp::Client) -> anyhow::Result<Arc<Service>> {
        let service = Service {
            db: self.database().await?,
            panda: self.panda().await?,
            bus: Some(Bus::new(broker.clone()).signing(self.signer())),
            clock: Clock::System,
            settings: self.settings()?,
            sources: Default::default(),
        };
        let report =
            swf_db::migrate(&service.db, &swf_tools::tables::SCHEMA).await.context("prepare the database")?;
        tracing::info!("database: {report}");
        if let Some(panda) = &service.panda {
            panda.share(service.db.clone(), service.clock.clone());
        }
        if report.owner == swf_db::migrate::Owner::Django {
            Self::fit(&service.db).await?;
        }
        // A database that Django made has its own accounts.
        if report.owner == swf_db::migrate::Owner::Swf {
            let now = service.clock.now();
            let token =
                swf_tools::accounts::create_token(&service.db, now, &self.user(), Scope::Admin).await?;
            self.files.set_token(&token)?;
        }
        Ok(Arc::new(service))
    }

    /// Fails on a database whose shape leaves nothing working, and says of another what will not work.
    async fn fit(db: &swf_db::Db) -> anyhow::Result<()> {
        use swf_db::check::Severity::{Broken, Closed};
        let check = swf_db::check(db, &swf_tools::tables::SCHEMA).await.context("look at the database")?;
        anyhow::ensure!(check.can_run(), "{}; `swf db check` says why", check.verdict());
        if !check.tables(Broken).is_empty() || !check.tables(Closed).is_empty() {
            tracing::warn!("{}; `swf db check` says why", check.verdict());
        }
        Ok(())
    }

    /// Which tools MCP clients see.
    pub fn view(&self) -> anyhow::Result<mcp::View> {
        let section = &self.loaded.config.mcp;
        let toolsets =
            section.toolsets.iter().map(|t| t.parse().map_err(|e| anyhow::anyhow!("mcp.toolsets: {e}")));
        Ok(mcp::View { toolsets: toolsets.collect::<anyhow::Result<_>>()?, read_only: section.read_only })
    }

    /// Runs the monitor.
    pub async fn serve(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let address = self.listen()?;
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; free the port or set server.listen (SWF__SERVER__LISTEN)")
        })?;
        let broker = swf_stomp::Client::start(self.broker()?);
        let service = self.service(&broker).await?;
        let section = &self.loaded.config.broker;
        let durable = section.durable_name.clone();
        let capture = swf_stomp::ClientConfig { client_id: Some(durable.clone()), ..self.broker()? };
        let capture = swf_stomp::Client::start(capture);
        let auth = swf_server::auth::Auth::new(service.db.clone(), self.auth_config()?);
        let server = Server {
            app: Arc::new(App::new(service.clone(), auth, self.rest_config(&service), Default::default())),
            prefix: self.prefix(),
            mcp: mcp::Config {
                allowed_hosts: self.allowed_hosts()?,
                allowed_origins: self.loaded.config.mcp.allowed_origins.clone(),
                max_sessions: self.loaded.config.mcp.max_sessions,
                view: self.view()?,
            },
            capture: Some((capture, ingest::Config { destination: section.topic.clone(), durable })),
            retention: self.loaded.config.retention.policy(),
        };
        tracing::info!("serving {} on {}", self.url()?, listener.local_addr()?);
        server.run(listener, shutdown).await
    }

    fn rest_config(&self, service: &Service) -> swf_server::rest::Config {
        swf_server::rest::Config {
            zone: service.settings.time_zone,
            slash_token: self.loaded.config.bot.slash_token.clone(),
            ..Default::default()
        }
    }

    /// The host of the public address counts as ours.
    fn allowed_hosts(&self) -> anyhow::Result<Vec<String>> {
        let mut hosts = self.loaded.config.mcp.allowed_hosts.clone();
        let url = self.url()?;
        let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).split('/').next();
        hosts.extend(host.map(str::to_owned));
        Ok(hosts)
    }

    /// Runs the embedded broker.
    pub async fn broker_role(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let section = &self.loaded.config.broker;
        let text = format!("{}:{}", section.host, section.port);
        let listen: SocketAddr =
            tokio::net::lookup_host(&text).await.ok().and_then(|mut found| found.next()).with_context(
                || format!("broker.host and broker.port = {text:?} is no address of this machine"),
            )?;
        let mut config = swf_stomp::BrokerConfig::new(listen);
        config.data_file = Some(self.files.path("broker.sqlite3"));
        let bare = section.topic.trim_start_matches("/topic/").to_owned();
        config.multicast.insert(bare);
        config.kept_clients.insert(section.durable_name.clone());
        let days = u64::from(section.durable_days);
        config.limits.durable_idle = (days > 0).then(|| Duration::from_secs(days * 24 * 3600));
        config.limits.durable_share = match section.durable_backlog_percent {
            0 => usize::MAX,
            percent => usize::try_from(percent).unwrap_or(usize::MAX),
        };
        let broker = swf_stomp::Broker::start(config).await.with_context(|| {
            format!("cannot run the broker on {listen}; free the port or set broker.port (ACTIVEMQ_PORT)")
        })?;
        tracing::info!("message broker on {}", broker.addr());
        tell_status(&broker, shutdown).await;
        broker.shutdown().await;
        Ok(())
    }

    /// Runs the user's agent manager.
    pub async fn manager(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.first_testbed()?;
        let effective = self.write_effective()?;
        let section = &self.loaded.config.manager;
        let user = self.user();
        let backend = match section.backend.as_str() {
            "native" => BackendConfig::Native(NativeConfig {
                command: std::env::current_exe().context("find this program's file")?,
                args: vec![
                    "--effective".into(),
                    effective.display().to_string(),
                    "--data-dir".into(),
                    self.files.root().display().to_string(),
                ],
                env: Vec::new(),
                log_dir: self.files.path("logs"),
            }),
            "supervisord" => BackendConfig::Supervisord(SupervisordConfig {
                command: "supervisord".into(),
                conf: section.supervisord_config.clone().into(),
                socket: match section.supervisord_socket.as_str() {
                    "" => SupervisordConfig::socket_of(&user),
                    path => path.into(),
                },
                env: Vec::new(),
            }),
            other => bail!("manager.backend = {other:?} is neither native nor supervisord"),
        };
        let config = ManagerConfig {
            host: swf_tools::liveness::local_host(),
            data_dir: self.files.root().to_owned(),
            config_dir: Some(self.testbed_folder()),
            testbed_config: self.testbed_name(),
            external_workers: section.external_workers,
            broker: self.broker()?,
            monitor: self.monitor()?,
            backend,
            heartbeat: Duration::from_secs(30),
            trust: self.trust()?,
            supervisor: std::env::var(swf_agents::supervise::PARENT_VARIABLE)
                .ok()
                .and_then(|p| p.parse().ok()),
            user,
        };
        swf_agents::manager::run_manager(config, shutdown).await
    }

    /// The configuration as children shall read it, in a file of the data folder.
    pub fn write_effective(&self) -> anyhow::Result<PathBuf> {
        let path = self.files.path("effective.toml");
        let mut config = self.loaded.config.clone();
        // No child is the bot; its keys stay here.
        for key in
            [&mut config.bot.anthropic_api_key, &mut config.bot.mattermost_token, &mut config.bot.mcp_token]
        {
            key.clear();
        }
        let table = toml::Table::try_from(config).context("write the effective configuration")?;
        std::fs::write(&path, toml::to_string(&table)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// What one agent needs to know.
    pub fn agent_config(
        &self,
        testbed: Option<&str>,
        instance: Option<u32>,
        logs: Option<swf_agents::logs::LogQueue>,
    ) -> anyhow::Result<swf_agents::Config> {
        let name = testbed.map(str::to_owned).or_else(|| self.testbed_name());
        let testbed = Testbed::load(Some(&self.testbed_folder()), name.as_deref())?;
        let mut config = swf_agents::Config::new(testbed, self.user(), self.files.root());
        config.instance = instance;
        config.monitor = self.monitor()?;
        config.broker = self.broker()?;
        config.topic = self.loaded.config.broker.topic.clone();
        config.variables = std::env::vars().collect();
        config.logs = logs;
        config.trust = self.trust()?;
        Ok(config)
    }
}

/// How often the embedded broker tells its figures.
const TELL: Duration = Duration::from_secs(10);

/// Tells the broker's figures from time to time, until `shutdown`.
async fn tell_status(broker: &swf_stomp::Broker, shutdown: CancellationToken) {
    use swf_server::broker_status::{Status, TOPIC};
    let mut ticks = tokio::time::interval(TELL);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let told = serde_json::to_vec(&Status::of(&broker.stats()));
        if let Err(e) = told.map_err(anyhow::Error::from).and_then(|text| Ok(broker.send(TOPIC, text)?)) {
            tracing::debug!("the broker's figures could not be told: {e}");
        }
    }
}

/// The testbed.toml that a new user gets.
const FIRST_TESTBED: &str = r#"# Your testbed: the namespace it works in, the agents it starts, the workflow it runs by default.
# Drop <name>.workflow.toml and <name>_default.toml beside this file to add workflows (docs/WORKFLOWS.md).
[testbed]
namespace = "{namespace}"

[agents.data]
enabled = true

[agents.processing]
enabled = true

[agents.fastmon]
enabled = true

[agents.fast_processing]
enabled = true

[agents.worker]
enabled = true

[workflow]
name = "fast_processing"
config = "fast_processing_default"
realtime = true
"#;

impl Role {
    /// Serves MCP on standard input and output, with this database and broker.
    pub async fn stdio(&self, read_only: bool) -> anyhow::Result<()> {
        let broker = swf_stomp::Client::start(self.broker()?);
        let service = self.service(&broker).await?;
        let mut view = self.view()?;
        view.read_only |= read_only;
        let caller = swf_tools::Caller::user(self.user(), Scope::Control);
        mcp::Mcp::fixed(service, caller, view).stdio().await
    }
}
