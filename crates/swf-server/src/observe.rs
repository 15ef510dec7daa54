//! `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use swf_db::Sql;
use swf_tools::Service;

/// A database that needs longer than this for the smallest statement is not ready.
const READY: Duration = Duration::from_secs(2);

struct Observed {
    service: Arc<Service>,
    metrics: PrometheusHandle,
}

/// The three routes.
pub fn router(service: Arc<Service>, metrics: PrometheusHandle) -> Router {
    let observed = Arc::new(Observed { service, metrics });
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .with_state(observed)
}

/// The one recorder of this process; a second server in one process (tests) shares it.
pub fn recorder() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("metrics are recorded elsewhere; /metrics will be empty");
            }
            handle
        })
        .clone()
}

async fn ready(State(observed): State<Arc<Observed>>) -> Response {
    let sql = Sql::new("SELECT count(*) FROM swf_persistent_state");
    let database = match tokio::time::timeout(READY, observed.service.db.fetch_one::<i64>(&sql)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("no answer within {} s", READY.as_secs())),
    };
    let broker = match &observed.service.bus {
        None => Err("not configured".to_owned()),
        Some(bus) => {
            let status = bus.status();
            if status.connected {
                Ok(())
            } else {
                Err(status.last_error.unwrap_or_else(|| "not connected yet".into()))
            }
        }
    };
    let word = |r: &Result<(), String>| r.clone().map_or_else(|e| e, |()| "ok".to_owned());
    // Without a broker reads still work; without the database nothing does.
    let status = if database.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"ready": database.is_ok(), "database": word(&database), "broker": word(&broker)});
    (status, axum::Json(body)).into_response()
}

async fn figures(State(observed): State<Arc<Observed>>) -> Response {
    let broker = observed.service.bus.as_ref().is_some_and(|b| b.status().connected);
    metrics::gauge!("swf_broker_up").set(if broker { 1.0 } else { 0.0 });
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, observed.metrics.render()).into_response()
}
