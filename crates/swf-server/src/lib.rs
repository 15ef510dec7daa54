//! The surfaces: MCP, REST, event stream, pages; capture from the broker; upkeep; health.
//!
//! *Invariant:* only this crate knows HTTP status codes; every surface reaches data through the tools and records.

pub mod app;
pub mod auth;
pub mod broker_status;
pub mod ingest;
pub mod mcp;
pub mod observe;
pub mod openapi;
pub mod pages;
pub mod problem;
pub mod rest;
pub mod retention;
pub mod sse;
pub mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;

/// What a server is made of.
pub struct Server {
    /// The tools' side.
    pub app: Arc<App>,
    /// Path under which everything is served, e.g. `/swf-monitor`; may be empty.
    pub prefix: String,
    /// The MCP endpoint.
    pub mcp: mcp::Config,
    /// The connection on which messages are captured, and what is captured.
    pub capture: Option<(swf_stomp::Client, ingest::Config)>,
    /// How long rows are kept.
    pub retention: swf_tools::retention::Policy,
}

/// Connections that are still busy this long after shutdown are cut.
const DRAIN: Duration = Duration::from_secs(5);

impl Server {
    /// Serves until `shutdown`; returns when everything has ended.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
        let service = self.app.service.clone();
        let metrics = observe::recorder();
        let (mcp, sessions) = mcp::router(service.clone(), self.mcp, shutdown.clone());
        let mcp = mcp.layer(axum::middleware::from_fn_with_state(self.app.clone(), auth::identify));
        let inner = Router::new()
            .merge(mcp)
            .merge(rest::router(self.app.clone()))
            .merge(pages::router(self.app.clone()))
            .merge(sse::router(self.app.clone()))
            .merge(openapi::router())
            .merge(auth::metadata_router(self.app.clone()))
            .merge(observe::router(service.clone(), metrics.clone()));
        let router = match self.prefix.as_str() {
            "" => inner,
            prefix => Router::new()
                .nest(prefix, inner)
                .merge(auth::metadata_router(self.app.clone()))
                .merge(pages::entrance(self.app.clone(), prefix))
                .merge(observe::router(service.clone(), metrics)),
        };
        let router = router.layer(CatchPanicLayer::custom(panicked));
        let mut tasks = tokio::task::JoinSet::new();
        if let Some((client, config)) = self.capture {
            tasks.spawn(ingest::run(
                service.clone(),
                client,
                config,
                self.app.feed.clone(),
                shutdown.clone(),
            ));
        }
        tasks.spawn(sse::run(self.app.clone(), shutdown.clone()));
        tasks.spawn(broker_status::run(service.clone(), shutdown.clone()));
        tasks.spawn(retention::run(service.clone(), self.retention, shutdown.clone()));
        tasks.spawn(upkeep::closed_hours(service.clone(), shutdown.clone()));
        tasks.spawn(upkeep::run(service, sessions, shutdown.clone()));
        serve_http(listener, router, shutdown.clone()).await?;
        shutdown.cancel();
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

async fn serve_http(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // Without this, small event-stream frames wait for the peer's delayed acknowledgement.
    let listener = listener.tap_io(|stream| {
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!("TCP_NODELAY could not be set: {e}");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let ended = shutdown.clone();
    let serving =
        axum::serve(listener, service).with_graceful_shutdown(async move { ended.cancelled().await });
    let cut = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        done = serving => done.context("serve HTTP"),
        () = cut => Ok(()),
    }
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    let id = uuid::Uuid::new_v4().simple().to_string();
    tracing::error!(error.id = %id, "a request handler panicked; error id {id}");
    let body = serde_json::json!({"detail": format!("internal error {id}")});
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
}
