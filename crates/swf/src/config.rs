//! The whole configuration: defaults, then `swf.toml`, then the environment, then flags.
//!
//! *Invariant:* an unknown key or an impossible value ends with one line that names it and what to change.

mod bot;
mod environment;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use bot::{Bot, BotServer};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub server: Server,
    /// The database of record.
    pub database: Database,
    /// The PanDA database, read only.
    pub panda: Panda,
    /// The message broker.
    pub broker: Broker,
    /// Who may do what.
    pub auth: Auth,
    /// Access tokens of an authorization server.
    pub oauth: OAuth,
    /// The user's testbed.
    pub testbed: Testbed,
    /// The agent manager.
    pub manager: Manager,
    /// MCP.
    pub mcp: Mcp,
    /// How long rows are kept.
    pub retention: Retention,
    /// The chat bot.
    pub bot: Bot,
}

/// `[server]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: String,
    /// Path under which everything is served; may be empty.
    pub prefix: String,
    /// Address under which people and agents reach the server, with the prefix; links in answers start with it. Empty: `http://<listen><prefix>`.
    pub public_url: String,
    /// Zone in which times without an offset are read and REST times are written.
    pub time_zone: String,
    /// An agent without a heartbeat for so many seconds is not alive.
    pub stale_after_seconds: u64,
    /// Running executions of the Python testbed are closed when neither their runner nor a message of theirs was heard for so many minutes (10 at least); 0 leaves them open.
    pub lost_after_minutes: u64,
    /// No tool answer is longer than this many bytes.
    pub answer_ceiling_bytes: usize,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: "127.0.0.1:8000".into(),
            prefix: "/swf-monitor".into(),
            public_url: String::new(),
            time_zone: "America/New_York".into(),
            stale_after_seconds: 300,
            lost_after_minutes: 30,
            answer_ceiling_bytes: 100_000,
        }
    }
}

/// `[database]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://user:password@host:port/name`, or `sqlite:<path>`. Empty: a SQLite file in the data folder.
    pub url: String,
    /// Connections at most.
    pub max_connections: u32,
    /// Statements that run longer are cancelled, seconds.
    pub statement_timeout_seconds: u64,
}

impl Default for Database {
    fn default() -> Database {
        Database { url: String::new(), max_connections: 8, statement_timeout_seconds: 30 }
    }
}

/// `[panda]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Panda {
    /// `postgres://…` of a read-only role. Empty: `panda.sqlite3` in the data folder, when `swf db seed panda` made one.
    pub url: String,
    /// Base address of the PanDA monitor for links; empty: links lead to our own pages only.
    pub monitor_url: String,
    /// Base address of the PanDA monitor's API for worker statistics and job logs; empty: not asked.
    pub api_url: String,
    /// Base address of the NERSC portal's job folders; empty: not asked.
    pub nersc_url: String,
    /// Further hosts from which job logs may be fetched.
    pub log_hosts: Vec<String>,
    /// Statements that run longer are cancelled, seconds.
    pub statement_timeout_seconds: u64,
    /// Answers are shared for this long, seconds.
    pub kept_seconds: u64,
    /// Closed hours of the archive are remembered for so many days, in memory and in the database of record; 0 for none. PostgreSQL only.
    pub remembered_days: u32,
}

impl Default for Panda {
    fn default() -> Panda {
        Panda {
            url: String::new(),
            monitor_url: String::new(),
            api_url: String::new(),
            nersc_url: String::new(),
            log_hosts: Vec::new(),
            statement_timeout_seconds: 15,
            kept_seconds: 60,
            remembered_days: 35,
        }
    }
}

/// `[broker]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Host of the broker.
    pub host: String,
    /// STOMP port of the broker.
    pub port: u16,
    /// Login.
    pub user: String,
    /// Passcode.
    pub password: String,
    /// Talk TLS.
    pub tls: bool,
    /// PEM file of the authority that signed the broker's certificate; empty: the system's.
    pub ca_file: String,
    /// embedded, activemq, artemis or rabbitmq: decides how durable subscriptions are asked for.
    pub flavour: String,
    /// Virtual host; empty: the flavour's usual.
    pub vhost: String,
    /// Topic that is captured and on which agents talk.
    pub topic: String,
    /// Name of the monitor's durable subscription.
    pub durable_name: String,
    /// Key shared by monitor, runners and agent managers: commands are signed with it. Empty: they are not signed.
    pub command_key: String,
    /// Runners and agent managers refuse commands without a good signature. Senders of the Python testbed cannot sign.
    pub require_signed: bool,
    /// Embedded broker: days after which a durable subscription without its subscriber ends; 0 keeps it for ever. The monitor's own never ends.
    pub durable_days: u32,
    /// Embedded broker: such a subscription ends sooner when its backlog reaches this share of the broker's limits, percent; 0 refuses senders instead.
    pub durable_backlog_percent: u32,
}

impl Default for Broker {
    fn default() -> Broker {
        Broker {
            host: "127.0.0.1".into(),
            port: 61613,
            user: "admin".into(),
            password: "admin".into(),
            tls: false,
            ca_file: String::new(),
            flavour: "embedded".into(),
            vhost: String::new(),
            topic: "/topic/epictopic".into(),
            durable_name: "swf-monitor".into(),
            command_key: String::new(),
            require_signed: false,
            durable_days: 7,
            durable_backlog_percent: 80,
        }
    }
}

/// `[auth]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// What callers without credentials may do over MCP: none, read, write or control. Over REST they read at most, and send logs.
    pub anonymous: String,
    /// On a server that listens on loopback only, processes of its own account need no credentials over MCP and on pages: they act as the testbed's user.
    pub local_user: bool,
    /// Every token may control workflows and agents; otherwise staff accounts and `controllers` only.
    pub any_token_controls: bool,
    /// Accounts that may control workflows and agents.
    pub controllers: Vec<String>,
    /// What a proxy that logs people in sends in `proxy_secret_header`; empty: no proxy is trusted.
    pub proxy_secret: String,
    /// Header in which the proxy proves itself. The proxy must take it out of requests that it forwards.
    pub proxy_secret_header: String,
    /// Header in which the proxy names the account.
    pub proxy_user_header: String,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            anonymous: "read".into(),
            local_user: true,
            any_token_controls: true,
            controllers: Vec::new(),
            proxy_secret: String::new(),
            proxy_secret_header: "X-Proxy-Secret".into(),
            proxy_user_header: "X-Remote-User".into(),
        }
    }
}

/// `[oauth]`: access tokens of an authorization server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuth {
    /// The server's identifier as its tokens name it, e.g. `https://tenant.us.auth0.com/`. Empty: no such tokens are taken.
    pub issuer: String,
    /// What tokens for this server name as their audience. Empty: the public address of the MCP endpoint.
    pub audience: String,
    /// Address of the issuer's keys; empty: as the issuer's OpenID configuration says.
    pub jwks_url: String,
    /// What a token may do that names no `swf:` scope and whose subject has no account here: none, read, write or control.
    pub default_scope: String,
    /// Accounts here by subject or verified e-mail address there.
    pub users: BTreeMap<String, String>,
}

impl Default for OAuth {
    fn default() -> OAuth {
        OAuth {
            issuer: String::new(),
            audience: String::new(),
            jwks_url: String::new(),
            default_scope: "read".into(),
            users: BTreeMap::new(),
        }
    }
}

/// `[testbed]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Testbed {
    /// User of the testbed; empty: the login user.
    pub user: String,
    /// Testbed file: a name in the folder, or a path. Empty: `testbed.toml`.
    pub config: String,
    /// Folder of `testbed.toml` and workflow files; empty: `$SWF_HOME/swf-testbed/workflows`, else `workflows` in the data folder.
    pub folder: String,
}

/// `[manager]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manager {
    /// native, or supervisord to drive a real one over its socket.
    pub backend: String,
    /// Slices are worked on elsewhere (PanDA): start no slice worker.
    pub external_workers: bool,
    /// supervisord's configuration file.
    pub supervisord_config: String,
    /// supervisord's socket; empty: `/tmp/swf-agents-supervisor-<user>.sock`.
    pub supervisord_socket: String,
}

impl Default for Manager {
    fn default() -> Manager {
        Manager {
            backend: "native".into(),
            external_workers: false,
            supervisord_config: "agents.supervisord.conf".into(),
            supervisord_socket: String::new(),
        }
    }
}

/// `[mcp]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mcp {
    /// Host names under which clients reach the server, besides loopback and the host of `public_url`.
    pub allowed_hosts: Vec<String>,
    /// Browser origins that may call, e.g. `https://claude.ai`, besides loopback.
    pub allowed_origins: Vec<String>,
    /// Tool sets that are shown: monitor, control, panda, pcs, memory.
    pub toolsets: Vec<String>,
    /// Hide every tool that changes something.
    pub read_only: bool,
    /// Sessions open at a time.
    pub max_sessions: usize,
}

impl Default for Mcp {
    fn default() -> Mcp {
        let sets = ["monitor", "control", "panda", "pcs", "memory"];
        Mcp {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            toolsets: sets.map(str::to_owned).to_vec(),
            read_only: false,
            max_sessions: 1000,
        }
    }
}

/// `[retention]`: days that rows are kept; 0 keeps them for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Log records.
    pub log_days: u32,
    /// Captured messages.
    pub message_days: u32,
    /// Events of runs.
    pub state_event_days: u32,
    /// Identities of captured messages, by which repeated deliveries are known.
    pub message_uid_days: u32,
    /// Calls of tools that change something.
    pub audit_days: u32,
    /// Messages that could not be stored.
    pub dead_letter_days: u32,
    /// In a database that Django made, its log records, messages and events expire too; otherwise only swf's own tables.
    pub django_tables: bool,
}

impl Default for Retention {
    fn default() -> Retention {
        let usual = swf_tools::retention::Policy::default();
        Retention {
            log_days: usual.logs,
            message_days: usual.messages,
            state_event_days: usual.state_events,
            message_uid_days: usual.message_uids,
            audit_days: usual.audit,
            dead_letter_days: usual.dead_letters,
            django_tables: usual.django_tables,
        }
    }
}

impl Retention {
    /// As the database's side reads it.
    pub fn policy(&self) -> swf_tools::retention::Policy {
        swf_tools::retention::Policy {
            logs: self.log_days,
            messages: self.message_days,
            state_events: self.state_event_days,
            message_uids: self.message_uid_days,
            audit: self.audit_days,
            dead_letters: self.dead_letter_days,
            django_tables: self.django_tables,
        }
    }
}

/// What is in force, and where each value came from (`section.key` → source).
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Sources of the values that are not defaults.
    pub sources: BTreeMap<String, String>,
    /// The data folder.
    pub data_dir: PathBuf,
}

/// Which file is read.
pub enum Source<'a> {
    /// `swf.toml` in the data folder when it is there, then the environment.
    Usual,
    /// This file, then the environment.
    Named(&'a Path),
    /// This file and nothing else: a supervising swf has settled everything.
    Only(&'a Path),
}

/// Reads file and environment.
pub fn load(data_dir: Option<&Path>, source: &Source<'_>) -> anyhow::Result<Loaded> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let data_dir = match data_dir {
        Some(dir) => absolute(dir)?,
        None => default_data_dir(&variables)?,
    };
    let mut table = Table::new();
    let mut sources = BTreeMap::new();
    let beside = data_dir.join("swf.toml");
    let file = match source {
        Source::Named(file) | Source::Only(file) => Some(file.to_path_buf()),
        Source::Usual => beside.is_file().then_some(beside),
    };
    if let Some(file) = file {
        let read = read_file(&file)?;
        merge(&mut table, &mut sources, read, &file.display().to_string());
    }
    if !matches!(source, Source::Only(_)) {
        for (key, value, source) in environment::overrides(&variables)? {
            set(&mut table, &mut sources, &key, value, &source);
        }
        check_keys(&table, "the environment")?;
    }
    let config: Config = Value::Table(table).try_into().map_err(|e: toml::de::Error| {
        anyhow::anyhow!("configuration: {}; `swf config show` lists keys and values", e.message())
    })?;
    Ok(Loaded { config, sources, data_dir })
}

fn read_file(file: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("configuration file {} cannot be read", file.display()))?;
    let read: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |s| text.get(..s.start).map_or(1, |t| t.matches('\n').count() + 1));
        anyhow::anyhow!("{} line {line}: {}; correct the TOML", file.display(), e.message())
    })?;
    check_keys(&read, &file.display().to_string())?;
    Ok(read)
}

fn absolute(dir: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(dir).with_context(|| format!("data folder {} is not a path", dir.display()))
}

/// `$SWF_DATA_DIR`, else `$XDG_DATA_HOME/swf`, else `~/.local/share/swf`.
fn default_data_dir(variables: &BTreeMap<String, String>) -> anyhow::Result<PathBuf> {
    let variable = |name: &str| variables.get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = variable("SWF_DATA_DIR") {
        return absolute(&dir);
    }
    let base = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
    match base {
        Some(base) => absolute(&base.join("swf")),
        None => bail!("no data folder: HOME is not set; give one with --data-dir"),
    }
}

/// Section names and keys must be known; the text names the nearest.
fn check_keys(table: &Table, origin: &str) -> anyhow::Result<()> {
    let known = known_keys()?;
    let sections: Vec<&str> = known.keys().map(String::as_str).collect();
    for (section, value) in table {
        let Some(keys) = known.get(section) else {
            bail!("{origin}: [{section}] is not a section{}", swf_tools::args::choices(section, &sections));
        };
        let Value::Table(values) = value else {
            bail!("{origin}: {section} must be a section, written as [{section}]");
        };
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        if let Some(key) = values.keys().find(|k| !keys.contains(&k.as_str())) {
            bail!("{origin}: {section}.{key} is not a key{}", swf_tools::args::choices(key, &keys));
        }
    }
    Ok(())
}

/// Sections and their keys, from the defaults.
pub fn known_keys() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let defaults = Table::try_from(Config::default()).context("write the default configuration")?;
    let keys = |value: Value| match value {
        Value::Table(table) => table.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    };
    Ok(defaults.into_iter().map(|(section, value)| (section, keys(value))).collect())
}

fn merge(table: &mut Table, sources: &mut BTreeMap<String, String>, from: Table, source: &str) {
    for (section, value) in from {
        if let Value::Table(values) = value {
            for (key, value) in values {
                set(table, sources, &format!("{section}.{key}"), value, source);
            }
        }
    }
}

fn set(table: &mut Table, sources: &mut BTreeMap<String, String>, path: &str, value: Value, source: &str) {
    let Some((section, key)) = path.split_once('.') else { return };
    let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(values) = entry {
        values.insert(key.to_owned(), value);
        sources.insert(path.to_owned(), source.to_owned());
    }
}

impl Loaded {
    /// The configuration as text with the source of each value; secrets are not shown.
    pub fn show(&self) -> anyhow::Result<String> {
        let table = Table::try_from(self.config.clone()).context("write the configuration")?;
        let mut out = format!("# data folder: {}\n", self.data_dir.display());
        for (section, value) in table {
            let Value::Table(values) = value else { continue };
            out.push_str(&format!("\n[{section}]\n"));
            for (key, value) in values {
                let path = format!("{section}.{key}");
                let source = self.sources.get(&path).map_or("default", String::as_str);
                out.push_str(&format!("{key} = {}  # {source}\n", shown(&path, &value)));
            }
        }
        Ok(out)
    }
}

fn shown(path: &str, value: &Value) -> String {
    match (path, value) {
        (_, Value::String(s)) if s.is_empty() => "\"\"".into(),
        (secret, _) if bot::SECRETS.contains(&secret) => "\"(hidden)\"".into(),
        ("broker.password" | "broker.command_key" | "auth.proxy_secret", _) => "\"(hidden)\"".into(),
        ("database.url" | "panda.url", Value::String(url)) => format!("{:?}", swf_db::without_password(url)),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let table: Table = "[broker]\nhots = 'x'".parse().unwrap();
        let text = check_keys(&table, "swf.toml").unwrap_err().to_string();
        assert!(
            text.starts_with(
                "swf.toml: broker.hots is not a key, did you mean 'host'?; accepted: host, port"
            ),
            "{text}"
        );
        let table: Table = "[brokr]".parse().unwrap();
        assert!(check_keys(&table, "f").unwrap_err().to_string().contains("did you mean 'broker'?"));
    }
}
