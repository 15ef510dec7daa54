//! Connections to servers of tools: kept up by one task each, so that a question only looks at what is there.
//!
//! *Invariant:* a server that fails is logged and tried again; it never keeps the others from working.
//! *Invariant:* a program gets exactly the variables that its configuration names.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rmcp::ClientHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation, Tool,
};
use rmcp::service::{NotificationContext, RoleClient, RunningService, ServiceError, ServiceExt};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::{ServerSpec, Way};
use crate::error::{Error, deepest, shorten};

/// A server must be connected and listed within this time.
const CONNECT: Duration = Duration::from_secs(30);
/// First wait after a failure; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a connection is looked at whose end nobody reports.
const LOOK: Duration = Duration::from_secs(1);

/// What a tool gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its text parts, joined.
    pub text: String,
    /// The server says that this is an error.
    pub failed: bool,
    /// The structured result, if there was one.
    pub structured: Option<Value>,
}

/// A connected server with its tools.
pub struct Connection {
    client: Arc<RunningService<RoleClient, Handler>>,
    /// Its tools, unfiltered.
    pub tools: Vec<Tool>,
    /// What it says about its use.
    pub instructions: Option<String>,
    /// Its own name and version.
    pub version: Option<String>,
}

/// State of a server.
#[derive(Clone)]
pub enum Link {
    /// The first try is under way.
    Starting,
    /// It can be used.
    Up(Arc<Connection>),
    /// It cannot be used, and why.
    Down(String),
}

struct Server {
    spec: Arc<ServerSpec>,
    link: watch::Receiver<Link>,
    lost: Arc<Notify>,
}

/// All configured servers.
pub struct Servers {
    servers: Vec<Server>,
    timeout: Duration,
    _end: DropGuard,
}

/// The client's side: hears when a server's tools change.
struct Handler {
    changed: Arc<Notify>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let me = Implementation::new("swf-bot", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), me)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

impl Servers {
    /// Starts to connect to all of them.
    pub fn start(specs: Vec<ServerSpec>, timeout: Duration) -> Servers {
        let end = CancellationToken::new();
        let servers = specs
            .into_iter()
            .map(|spec| {
                let (send, link) = watch::channel(Link::Starting);
                let (spec, lost) = (Arc::new(spec), Arc::new(Notify::new()));
                let keeper = keep(spec.clone(), send, lost.clone());
                let ended = end.clone();
                tokio::spawn(async move { ended.run_until_cancelled(keeper).await });
                Server { spec, link, lost }
            })
            .collect();
        Servers { servers, timeout, _end: end.drop_guard() }
    }

    /// Waits until every server was reached or has failed once.
    pub async fn settled(&self) {
        for server in &self.servers {
            let mut link = server.link.clone();
            // An error means that the keeper is gone, which is as settled as it gets.
            drop(link.wait_for(|l| !matches!(l, Link::Starting)).await.map(drop));
        }
    }

    /// Waits until that server is up, or the time is over.
    pub async fn wait_for(&self, name: &str, most: Duration) -> bool {
        let Some(server) = self.servers.iter().find(|s| s.spec.name == name) else { return false };
        let mut link = server.link.clone();
        let up = link.wait_for(|l| matches!(l, Link::Up(_)));
        matches!(tokio::time::timeout(most, up).await, Ok(Ok(_)))
    }

    /// Every server with its present state.
    pub fn all(&self) -> Vec<(Arc<ServerSpec>, Link)> {
        self.servers.iter().map(|s| (s.spec.clone(), s.link.borrow().clone())).collect()
    }

    /// Calls a tool by the name that the server has for it. A lost connection is made again, and the call repeated
    /// when it may be.
    ///
    /// # Errors
    /// Server unknown or down, no answer in time, connection lost, or a refusal by the protocol.
    pub async fn call(
        &self,
        server: &str,
        tool: &str,
        arguments: Map<String, Value>,
        repeatable: bool,
    ) -> Result<Outcome, Error> {
        let down = |why: &str| Error::Server { server: server.to_owned(), why: why.to_owned() };
        let Some(server) = self.servers.iter().find(|s| s.spec.name == server) else {
            return Err(down("it is not configured"));
        };
        let mut tried = false;
        loop {
            let link = server.link.borrow().clone();
            let connection = match link {
                Link::Up(connection) => connection,
                Link::Starting => return Err(down("it is still starting; ask again in a moment")),
                Link::Down(why) => return Err(down(&why)),
            };
            let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
            let call = connection.client.call_tool(request);
            let error = match tokio::time::timeout(self.timeout, call).await {
                Err(_) => return Err(Error::ToolTimeout { tool: tool.to_owned(), after: self.timeout }),
                Ok(Ok(result)) => return Ok(outcome(result)),
                Ok(Err(ServiceError::McpError(e))) => {
                    return Ok(Outcome { text: e.message.to_string(), failed: true, structured: None });
                }
                Ok(Err(e)) => e,
            };
            let why = deepest(&error);
            tracing::warn!("server {}: a call of {tool} failed: {why}", server.spec.name);
            self.renew(server, &connection).await;
            if tried || !repeatable {
                let server = server.spec.name.clone();
                return Err(Error::ToolLost { tool: tool.to_owned(), server, why });
            }
            tried = true;
        }
    }

    /// Gives a broken connection up and waits a little for the next one.
    async fn renew(&self, server: &Server, broken: &Connection) {
        let still = |l: &Link| matches!(l, Link::Up(now) if Arc::ptr_eq(&now.client, &broken.client));
        if still(&server.link.borrow()) {
            server.lost.notify_one();
        }
        let mut link = server.link.clone();
        let other = link.wait_for(|l| matches!(l, Link::Up(_)) && !still(l));
        drop(tokio::time::timeout(Duration::from_secs(5), other).await.map(|r| r.map(drop)));
    }
}

fn outcome(result: CallToolResult) -> Outcome {
    let mut parts: Vec<String> =
        result.content.iter().filter_map(|c| c.as_text()).map(|t| t.text.clone()).collect();
    if parts.is_empty()
        && let Some(structured) = &result.structured_content
    {
        parts.push(structured.to_string());
    }
    let other = result.content.iter().filter(|c| c.as_text().is_none()).count();
    if other > 0 {
        parts.push(format!("({other} part(s) of the result are not text and were left out)"));
    }
    Outcome {
        text: parts.join("\n"),
        failed: result.is_error == Some(true),
        structured: result.structured_content,
    }
}

/// Keeps one server connected for ever.
async fn keep(spec: Arc<ServerSpec>, link: watch::Sender<Link>, lost: Arc<Notify>) {
    let mut wait = FIRST_WAIT;
    loop {
        let changed = Arc::new(Notify::new());
        let connected = tokio::time::timeout(CONNECT, connect(&spec, &changed)).await;
        let why = match connected {
            Ok(Ok(connection)) => {
                wait = FIRST_WAIT;
                tracing::info!("server {}: {} tools", spec.name, connection.tools.len());
                link.send_replace(Link::Up(Arc::new(connection)));
                watch_over(&link, &lost, &changed).await;
                "the connection was lost; it is being made again".to_owned()
            }
            Ok(Err(why)) => why,
            Err(_) => format!("no connection within {} s", CONNECT.as_secs()),
        };
        tracing::warn!("server {}: {why}", spec.name);
        link.send_replace(Link::Down(why));
        // Up to a quarter more or less, so that bots do not come back in step.
        tokio::time::sleep(wait.mul_f64(0.75 + rand::random::<f64>() * 0.5)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Returns when the connection is gone; lists the tools again when they have changed.
async fn watch_over(link: &watch::Sender<Link>, lost: &Notify, changed: &Notify) {
    let mut looks = tokio::time::interval(LOOK);
    // Several calls may have reported the end of the connection before this one.
    let _ = lost.notified().now_or_never();
    loop {
        let present = match &*link.borrow() {
            Link::Up(connection) => connection.clone(),
            Link::Starting | Link::Down(_) => return,
        };
        tokio::select! {
            () = lost.notified() => return,
            () = changed.notified() => match Connection::list(present.client.clone()).await {
                Ok(fresh) => drop(link.send_replace(Link::Up(Arc::new(fresh)))),
                Err(_) => return,
            },
            _ = looks.tick() => {
                if present.client.is_transport_closed() {
                    return;
                }
            }
        }
    }
}

impl Connection {
    async fn list(client: Arc<RunningService<RoleClient, Handler>>) -> Result<Connection, String> {
        let tools = client.list_all_tools().await;
        let tools = tools.map_err(|e| format!("its tools cannot be listed: {}", deepest(&e)))?;
        let info = client.peer_info();
        Ok(Connection {
            tools,
            instructions: info.as_ref().and_then(|i| i.instructions.clone()),
            version: info.and_then(|i| i.server_info.as_ref().map(|s| format!("{} {}", s.name, s.version))),
            client,
        })
    }
}

async fn connect(spec: &ServerSpec, changed: &Arc<Notify>) -> Result<Connection, String> {
    let handler = Handler { changed: changed.clone() };
    let client = match &spec.way {
        Way::Http { url, token } => {
            let mut config = StreamableHttpClientTransportConfig::with_uri(url.clone());
            if let Some(token) = token {
                config = config.auth_header(token.clone());
            }
            let transport = StreamableHttpClientTransport::with_client(http(url)?, config);
            handler.serve(transport).await.map_err(|e| format!("{url}: {}", deepest(&e)))?
        }
        Way::Program { command, args, env } => {
            let transport = program(&spec.name, command, args, env)?;
            handler.serve(transport).await.map_err(|e| format!("{command}: {}", deepest(&e)))?
        }
    };
    Connection::list(Arc::new(client)).await
}

/// Loopback is never reached through a proxy.
pub(crate) fn http(url: &str) -> Result<reqwest::Client, String> {
    let host = reqwest::Url::parse(url).map_err(|e| format!("{url:?} is no address: {e}"))?;
    let mut builder = reqwest::Client::builder().user_agent(concat!("swf-bot/", env!("CARGO_PKG_VERSION")));
    if matches!(host.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|e| format!("cannot make an HTTP client: {e}"))
}

/// Starts a program; what it says on standard error is logged, so that it never blocks on a full pipe.
fn program(
    name: &str,
    command: &str,
    args: &[String],
    env: &[(String, String)],
) -> Result<TokioChildProcess, String> {
    let mut child = tokio::process::Command::new(command);
    child.args(args).env_clear().envs(env.iter().map(|(k, v)| (k, v))).kill_on_drop(true);
    let started = TokioChildProcess::builder(child).stderr(std::process::Stdio::piped()).spawn();
    let (transport, stderr) = started.map_err(|e| format!("{command} cannot be started: {e}"))?;
    if let Some(stderr) = stderr {
        let name = name.to_owned();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!("server {name} says: {}", shorten(&line, 500));
            }
        });
    }
    Ok(transport)
}
