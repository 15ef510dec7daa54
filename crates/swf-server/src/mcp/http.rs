//! The HTTP endpoint of MCP: sessions with event streams for clients that can, plain JSON for those that ask
//! for it alone, and the stateless protocol of 2026-07-28.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use swf_tools::{Caller, Service, Toolset};

use super::sessions::Sessions;
use super::{Mcp, View};

/// Settings of the endpoint.
#[derive(Debug, Clone)]
pub struct Config {
    /// Host names (with or without port) under which clients reach this server; loopback always counts.
    pub allowed_hosts: Vec<String>,
    /// Browser origins that may call, e.g. `https://claude.ai`; loopback origins always may.
    pub allowed_origins: Vec<String>,
    /// Sessions open at a time; further `initialize` calls are answered 503.
    pub max_sessions: usize,
    /// What clients are shown when they choose nothing.
    pub view: View,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_sessions: 1000,
            view: View::default(),
        }
    }
}

type McpService = StreamableHttpService<Mcp, LocalSessionManager>;

/// What the endpoint keeps.
pub struct Endpoint {
    streaming: McpService,
    plain: McpService,
    /// Sessions in the database; the server's upkeep purges them.
    pub sessions: Arc<Sessions>,
    config: Config,
}

/// The endpoint below `/mcp`, with and without slash, and `/mcp/x/<toolsets>`. The caller must already
/// stand in the request's extensions.
pub fn router(
    service: Arc<Service>,
    config: Config,
    shutdown: tokio_util::sync::CancellationToken,
) -> (Router, Arc<Sessions>) {
    let sessions = Arc::new(Sessions::new(service.clone()));
    let endpoint = Arc::new(Endpoint {
        streaming: http_service(&service, &config, Some(sessions.clone()), &shutdown),
        plain: http_service(&service, &config, None, &shutdown),
        sessions: sessions.clone(),
        config,
    });
    let router = Router::new()
        .route("/mcp", any(whole))
        .route("/mcp/", any(whole))
        .route("/mcp/x/{toolsets}", any(chosen))
        .route("/mcp/x/{toolsets}/", any(chosen))
        .with_state(endpoint);
    (router, sessions)
}

fn http_service(
    service: &Arc<Service>,
    config: &Config,
    sessions: Option<Arc<Sessions>>,
    shutdown: &tokio_util::sync::CancellationToken,
) -> McpService {
    let loopback = ["localhost", "127.0.0.1", "[::1]", "::1"].map(str::to_owned);
    let hosts = loopback.into_iter().chain(config.allowed_hosts.iter().cloned());
    let origins = ["http://localhost:*", "http://127.0.0.1:*"].map(str::to_owned);
    let origins = origins.into_iter().chain(config.allowed_origins.iter().cloned());
    let mut http = StreamableHttpServerConfig::default()
        .with_allowed_hosts(hosts)
        .with_allowed_origins(origins)
        .with_legacy_session_mode(sessions.is_some())
        .with_json_response(sessions.is_none())
        .with_sse_keep_alive(Some(Duration::from_secs(15)))
        .with_cancellation_token(shutdown.child_token());
    http.session_store = sessions.map(|s| s as Arc<_>);
    let service = service.clone();
    StreamableHttpService::new(move || Ok(Mcp::per_request(service.clone())), Arc::default(), http)
}

async fn whole(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    let view = endpoint.config.view.clone();
    serve(&endpoint, view, request).await
}

async fn chosen(
    State(endpoint): State<Arc<Endpoint>>,
    Path(toolsets): Path<String>,
    request: Request,
) -> Response {
    match choose(&endpoint.config.view, &toolsets) {
        Ok(view) => serve(&endpoint, view, request).await,
        Err(why) => refuse(StatusCode::NOT_FOUND, &why),
    }
}

/// A choice can only narrow what the installation shows.
fn choose(allowed: &View, names: &str) -> Result<View, String> {
    let toolsets: Vec<Toolset> = names
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty() && *n != "readonly")
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let read_only = allowed.read_only || names.split(',').any(|n| n.trim() == "readonly");
    let toolsets = if toolsets.is_empty() { allowed.toolsets.clone() } else { toolsets };
    let toolsets = toolsets.into_iter().filter(|t| allowed.toolsets.contains(t)).collect();
    Ok(View { toolsets, read_only })
}

async fn serve(endpoint: &Endpoint, view: View, mut request: Request) -> Response {
    let mut view = view;
    if let Some(names) = header(&request, "x-mcp-toolsets") {
        match choose(&view, &names) {
            Ok(chosen) => view = chosen,
            Err(why) => return refuse(StatusCode::BAD_REQUEST, &format!("X-MCP-Toolsets: {why}")),
        }
    }
    if header(&request, "x-mcp-readonly").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
        view.read_only = true;
    }
    let subject = request.extensions().get::<Caller>().and_then(|c| c.user.clone());
    let session = header(&request, "mcp-session-id");
    if let Some(id) = &session
        && !endpoint.sessions.belongs_to(id, subject.as_deref()).await
    {
        return refuse(
            StatusCode::NOT_FOUND,
            "this session was opened by another caller; send initialize without Mcp-Session-Id",
        );
    }
    request.extensions_mut().insert(view);
    let streams = header(&request, "accept").is_some_and(|a| a.contains("text/event-stream"));
    if request.method() == Method::POST && !streams {
        return plain(endpoint, session, request).await;
    }
    if session.is_none() && endpoint.sessions.open() >= endpoint.config.max_sessions {
        let mut response = refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many MCP sessions are open; end one with DELETE, or send `Accept: application/json` only",
        );
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        return response;
    }
    let response = endpoint.streaming.handle(request).await.map(Body::new);
    if session.is_none()
        && let Some(id) = response.headers().get("mcp-session-id").and_then(|v| v.to_str().ok())
    {
        endpoint.sessions.bind(id, subject).await;
    }
    response
}

/// For clients that take JSON only (the bots in use): no stream, no server-side session. They still get a
/// session id, since some insist on one; it means nothing here.
async fn plain(endpoint: &Endpoint, session: Option<String>, mut request: Request) -> Response {
    let both = HeaderValue::from_static("application/json, text/event-stream");
    request.headers_mut().insert(header::ACCEPT, both);
    request.headers_mut().remove("mcp-session-id");
    let mut response = endpoint.plain.handle(request).await.map(Body::new);
    let id = session.unwrap_or_else(|| format!("plain-{}", uuid::Uuid::new_v4().simple()));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("mcp-session-id", id);
    }
    response
}

fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

fn refuse(status: StatusCode, why: &str) -> Response {
    let body = serde_json::json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": why}});
    (status, axum::Json(body)).into_response()
}
