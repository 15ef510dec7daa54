//! The event stream: `GET /api/messages/stream/` and `/status/`. Every captured message goes to every client
//! whose filters it passes, as Server-Sent Events with ids, so that a client that comes back misses nothing.
//!
//! *Invariant:* a client's row is written before it joins, and it leaves exactly when its connection ends.
//! *Invariant:* no client can hold up another: queues are bounded, and what falls out is counted and told.

mod books;
mod filter;
mod frame;
mod hub;
mod queue;
mod replay;
mod tail;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use swf_tools::Scope;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::auth::{AuthError, Door, NOT_PROVIDED};
use filter::Asked;
pub use hub::Hub;

/// Settings of the event stream.
#[derive(Debug, Clone)]
pub struct Config {
    /// Clients at one time; further ones are answered 503.
    pub most_clients: usize,
    /// Messages that may wait for one client; beyond it the oldest are dropped and the client is told.
    pub queue: usize,
    /// Bytes that may wait for one client; the same policy.
    pub queue_bytes: usize,
    /// Messages that a returning client is sent again at most; beyond it the oldest are left out and the
    /// client is told.
    pub replay: usize,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// How long the rows of clients that have gone are kept.
    pub keep_rows: TimeDelta,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            most_clients: 20_000,
            // Twice what one transaction of the capture hands on at once.
            queue: 1000,
            queue_bytes: 8 << 20,
            replay: 10_000,
            heartbeat: Duration::from_secs(30),
            keep_rows: TimeDelta::days(7),
        }
    }
}

/// The routes, below the prefix.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/messages/stream", any(stream_messages))
        .route("/api/messages/stream/", any(stream_messages))
        .route("/api/messages/stream/status", any(status))
        .route("/api/messages/stream/status/", any(status))
        .with_state(app)
}

/// Hands captured messages to the clients, beats, and keeps the books, until `shutdown`.
pub async fn run(app: Arc<App>, shutdown: CancellationToken) {
    let hub = app.streams.clone();
    let messages = app.feed.subscribe();
    tokio::join!(
        hub.relay(messages, shutdown.clone()),
        hub.beat(shutdown.clone()),
        tail::follow(&hub, &app.service, shutdown.clone()),
        books::keep(&hub, &app.service, shutdown)
    );
}

/// A refusal with the text that REST clients know.
fn refuse(status: StatusCode, body: &Value) -> Response {
    (status, axum::Json(body)).into_response()
}

/// Who may read messages may watch them; `unknown` is the status for callers who are nobody.
async fn admit(
    app: &App,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    unknown: StatusCode,
) -> Result<(), Box<Response>> {
    let challenge = |why: &str| {
        let mut response = refuse(unknown, &json!({ "detail": why }));
        if unknown == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Token"));
        }
        response
    };
    match app.auth.caller(headers, peer, Door::Rest).await {
        Ok(caller) if caller.may(Scope::Read) => Ok(()),
        Ok(_) => Err(challenge(NOT_PROVIDED).into()),
        Err(AuthError::Refused(why)) => Err(challenge(why).into()),
        Err(e @ AuthError::Unavailable(_)) => {
            tracing::warn!("{e}");
            Err(unavailable("credentials could not be checked; try again").into())
        }
    }
}

fn unavailable(why: &str) -> Response {
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, &json!({ "detail": why }));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

fn peer(request: &Parts) -> Option<SocketAddr> {
    request.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0)
}

fn only_get(method: &Method) -> Result<(), Box<Response>> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let detail = format!("Method \"{method}\" not allowed.");
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, &json!({ "detail": detail }));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    Err(response.into())
}

async fn stream_messages(State(app): State<Arc<App>>, request: Request) -> Response {
    opened(&app, &request.into_parts().0).await.unwrap_or_else(|refusal| *refusal)
}

async fn opened(app: &Arc<App>, request: &Parts) -> Result<Response, Box<Response>> {
    only_get(&request.method)?;
    let peer = peer(request);
    let headers = &request.headers;
    admit(app, headers, peer, StatusCode::UNAUTHORIZED).await?;
    let asked = Asked::read(request.uri.query().unwrap_or_default(), headers)
        .map_err(|(name, why)| Box::new(refuse(StatusCode::BAD_REQUEST, &json!({ name: [why] }))))?;
    if request.method == Method::HEAD {
        return Ok(event_stream(Body::empty()));
    }
    let hub = &app.streams;
    if hub.len() >= hub.config().most_clients {
        return Err(unavailable("too many clients listen; try again later").into());
    }
    let ip = client_ip(headers, peer.map(|p| p.ip()));
    let place = location(headers, ip);
    let row = books::open(&app.service, &asked.filter, ip, &place).await.map_err(|e| {
        tracing::warn!("the row of an event stream client could not be written: {e}");
        Box::new(unavailable("the client could not be registered; try again"))
    })?;
    let client = hub.join(row, asked.filter, asked.after.is_none());
    let hello = json!({"client_id": client.id().to_string(), "status": "connected"});
    let hello = stream::iter([Ok(frame::control("connected", &hello))]);
    let body = match asked.after {
        None => Body::from_stream(hello.chain(client)),
        Some(after) => {
            let again = replay::stream(app.service.clone(), client.entry(), hub.config().replay, after);
            Body::from_stream(hello.chain(again.map(Ok)).chain(client))
        }
    };
    Ok(event_stream(body))
}

fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // Proxies that buffer would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// The peer, or behind a proxy on this machine the address that the proxy saw. Addresses further left in the
/// header are the client's own words.
fn client_ip(headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    let last = forwarded.and_then(|v| v.to_str().ok()).and_then(|v| v.rsplit(',').next());
    match peer {
        Some(peer) if peer.is_loopback() => last.and_then(|ip| ip.trim().parse().ok()).or(Some(peer)),
        peer => peer,
    }
}

fn location(headers: &HeaderMap, ip: Option<IpAddr>) -> String {
    let given = headers.get("x-client-location").and_then(|v| v.to_str().ok()).map(str::trim);
    if let Some(given) = given.filter(|g| !g.is_empty()) {
        return given.chars().take(255).collect();
    }
    match ip {
        Some(IpAddr::V4(ip)) if ip.octets().starts_with(&[192, 168]) || ip.is_loopback() => "Local",
        Some(IpAddr::V6(ip)) if ip.is_loopback() => "Local",
        Some(IpAddr::V4(ip)) if ip.octets().starts_with(&[10]) => "Internal",
        _ => "Remote",
    }
    .to_owned()
}

/// `GET /api/messages/stream/status/`: who listens to this process.
async fn status(State(app): State<Arc<App>>, request: Request) -> Response {
    let request = request.into_parts().0;
    let answered = async {
        only_get(&request.method)?;
        admit(&app, &request.headers, peer(&request), StatusCode::FORBIDDEN).await?;
        let filters: serde_json::Map<String, Value> =
            app.streams.clients().iter().map(|c| (c.id.to_string(), c.filter.json())).collect();
        let ids: Vec<&String> = filters.keys().collect();
        let body = json!({"connected_clients": filters.len(), "client_ids": ids, "client_filters": filters});
        Ok::<Response, Box<Response>>(axum::Json(body).into_response())
    };
    answered.await.unwrap_or_else(|refusal| *refusal)
}

/// What one message looks like to the stream: the facts that filters ask for, and the finished bytes that
/// all clients share.
#[derive(Debug)]
pub(crate) struct Event {
    id: uuid::Uuid,
    facts: filter::Facts,
    bytes: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_counts_only_from_a_proxy_on_this_machine() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("1.2.3.4, 10.0.0.7"));
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(client_ip(&headers, ip("127.0.0.1")), ip("10.0.0.7"));
        assert_eq!(client_ip(&headers, ip("8.8.8.8")), ip("8.8.8.8"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("not an address"));
        assert_eq!(client_ip(&headers, ip("127.0.0.1")), ip("127.0.0.1"));
        assert_eq!(location(&headers, ip("10.1.1.1")), "Internal");
        headers.insert("x-client-location", HeaderValue::from_static("BNL"));
        assert_eq!(location(&headers, ip("10.1.1.1")), "BNL");
    }
}
