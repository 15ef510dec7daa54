//! The REST interface: `/api/…` and `/pcs/api/…`, each path with and without slash at the end, JSON in every case.

mod body;
mod call;
mod fault;
mod limits;
mod options;
mod pcs;
mod records;
mod slash;
mod special;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::handler::Handler;
use axum::routing::any;
use chrono_tz::Tz;
use swf_tools::records::{MOST_ROWS, RECORDS, Store, pcs as pcs_records};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
pub(crate) use body::pairs;
pub use limits::LogIntake;

/// Settings of the REST interface.
#[derive(Debug, Clone)]
pub struct Config {
    /// Zone of the moments in answers, and of moments that come without offset.
    pub zone: Tz,
    /// Rows of a list at most.
    pub most_rows: usize,
    /// Bytes of a request body at most.
    pub most_bytes: usize,
    /// Log records from callers without token; `None` refuses them.
    pub log_intake: Option<LogIntake>,
    /// What Mattermost sends with the `/panda` command; empty: the command is refused.
    pub slash_token: String,
    /// Anybody reads and writes the AI dialogue of anybody, as the original had it.
    pub open_ai_memory: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            zone: chrono_tz::America::New_York,
            most_rows: MOST_ROWS,
            most_bytes: 16 << 20,
            log_intake: Some(LogIntake::default()),
            slash_token: String::new(),
            open_ai_memory: false,
        }
    }
}

/// What the handlers share.
pub(crate) struct Rest {
    app: Arc<App>,
    store: Store,
    peers: limits::Peers,
}

type Shared = State<Arc<Rest>>;
type Key = Result<Path<String>, PathRejection>;

/// All routes below `/api` and `/pcs/api`. Mount it at the root or below a prefix; addresses in answers follow.
pub fn router(app: Arc<App>) -> Router {
    let mut store = Store::new(app.service.db.clone(), app.service.clock.clone(), app.rest.zone);
    store.most_rows = app.rest.most_rows;
    let rest = Arc::new(Rest { app, store, peers: limits::Peers::default() });
    let mut router = Router::new();
    for (base, records) in [("/api", RECORDS), ("/pcs/api", pcs_records::RECORDS)] {
        let root = move |State(rest): Shared, request: Request| special::root(rest, records, request);
        router = both(router, base, root);
        for resource in records {
            let many = move |State(rest): Shared, request: Request| records::many(rest, resource, request);
            let one = move |State(rest): Shared, key: Key, request: Request| {
                records::one(rest, resource, key, request)
            };
            router = both(router, &format!("{base}/{}", resource.path), many);
            router = both(router, &format!("{base}/{}/{{key}}", resource.path), one);
        }
        router = router.route(&format!("{base}/{{*path}}"), any(special::nowhere));
    }
    pcs::routes(special_routes(router)).layer(CatchPanicLayer::custom(fault::panicked)).with_state(rest)
}

/// Everything below `/api` that is more than rows of a table.
fn special_routes(mut router: Router<Arc<Rest>>) -> Router<Arc<Rest>> {
    router = both(router, "/api/systemagents/heartbeat", special::heartbeat);
    router = both(router, "/api/state/next-run-number", special::next_run_number);
    router = both(router, "/api/state/next-agent-id", special::next_agent_id);
    router = both(router, "/api/state/next-workflow-execution-id", special::next_execution_id);
    router = both(router, "/api/namespaces/ensure", special::ensure_namespace);
    router = both(router, "/api/tf-slices/batch", special::slices_batch);
    router = both(router, "/api/tf-slices/results", special::slice_results);
    router = both(router, "/api/fastmon-files/batch", special::fastmon_batch);
    router = both(router, "/api/system-state-events/batch", special::events_batch);
    router = both(router, "/api/logs/batch", special::logs_batch);
    router = both(router, "/api/logs/summary", special::log_summary);
    router = both(router, "/api/ai-memory", special::memory);
    router = both(router, "/api/ai-memory/record", special::record_memory);
    router = both(router, "/api/dpid", special::record_provenance);
    router = both(router, "/api/dpid/verify", special::provenance);
    router = both(router, "/api/slash/panda", slash::panda);
    router = both(router, "/api/users", special::users);
    router = both(router, "/api/v1/tools", tools::list);
    both(router, "/api/v1/tools/{name}", tools::call)
}

fn both<H, T>(router: Router<Arc<Rest>>, path: &str, handler: H) -> Router<Arc<Rest>>
where
    H: Handler<T, Arc<Rest>> + Clone,
    T: 'static,
{
    router.route(path, any(handler.clone())).route(&format!("{path}/"), any(handler))
}
