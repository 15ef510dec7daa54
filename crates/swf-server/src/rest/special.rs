//! Endpoints that are more than rows of a table.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};
use swf_tools::Scope;
use swf_tools::counters::{self, Counter};
use swf_tools::records::memory::{MOST_TURNS, Remark, TURNS};
use swf_tools::records::{Error, Resource, Store, batch};

use super::body::Content;
use super::call::{Call, Guard, ok, only, serve};
use super::fault::{Fault, answer, with};
use super::{Rest, Shared};
use crate::auth::{NOT_ALLOWED, NOT_PROVIDED};

const WRITE: Guard = Guard::needs(Scope::Write);

/// `GET /api/`, `GET /pcs/api/`: names and addresses of the lists.
pub(super) async fn root(rest: Arc<Rest>, records: &[&Resource], request: Request) -> Response {
    only(Method::GET, rest, Guard::OPEN, request, async |call: Call| {
        let base = call.address.trim_end_matches('/');
        let lists = records.iter().map(|r| (r.path.to_owned(), format!("{base}/{}/", r.path).into()));
        Ok(ok(&Value::Object(lists.collect::<Map<_, _>>())))
    })
    .await
}

/// Any other path below `/api`.
pub(super) async fn nowhere(State(rest): Shared, request: Request) -> Response {
    serve(rest, |_| Guard::OPEN, request, async |_| Err(Fault::not_found())).await
}

/// `POST /api/systemagents/heartbeat/`
pub(super) async fn heartbeat(State(rest): Shared, request: Request) -> Response {
    only(Method::POST, rest, WRITE, request, async |mut call: Call| {
        let input = call.body().await?.input()?;
        let beat = call.store().heartbeat(&input).await?;
        let status = if beat.created { StatusCode::CREATED } else { StatusCode::OK };
        Ok(answer(status, &Value::Object(beat.agent)))
    })
    .await
}

/// `POST /api/state/next-run-number/`
pub(super) async fn next_run_number(State(rest): Shared, request: Request) -> Response {
    let guard = Guard::token(Scope::Write);
    serve(rest, |_| guard, request, async |c| count(c, Counter::RunNumber, "run_number").await).await
}

/// `POST /api/state/next-agent-id/`
pub(super) async fn next_agent_id(State(rest): Shared, request: Request) -> Response {
    let guard = Guard::token(Scope::Write);
    serve(rest, |_| guard, request, async |c| count(c, Counter::AgentId, "agent_id").await).await
}

/// `POST /api/state/next-workflow-execution-id/`
pub(super) async fn next_execution_id(State(rest): Shared, request: Request) -> Response {
    serve(rest, |_| WRITE, request, async |c| count(c, Counter::WorkflowExecutionId, "sequence").await).await
}

async fn count(call: Call, counter: Counter, name: &str) -> Result<Response, Fault> {
    call.only(Method::POST)?;
    let store = call.store();
    match counters::next(&store.db, store.clock.now(), counter).await {
        Ok(number) => Ok(ok(&json!({name: number, "status": "success"}))),
        Err(e) => {
            tracing::error!("the counter of {name} failed: {e}");
            let (status, why) = match swf_tools::Error::from(e) {
                swf_tools::Error::Unavailable { what } => (StatusCode::SERVICE_UNAVAILABLE, what),
                _ => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the counter could not be moved; see the server log".into(),
                ),
            };
            Ok(with(answer(status, &json!({"error": why, "status": "error"})), header::RETRY_AFTER, "5"))
        }
    }
}

/// A text of a body; absent and null are "".
pub(super) fn text(body: &Value, name: &str) -> String {
    match body.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// `POST /api/namespaces/ensure/`
pub(super) async fn ensure_namespace(State(rest): Shared, request: Request) -> Response {
    only(Method::POST, rest, WRITE, request, async |mut call: Call| {
        let body = call.body().await?.json();
        let required = |name: &str| {
            let given = text(&body, name);
            let missing = || Fault::from(Error::detail(format!("{name} is required"))).under_error(true);
            if given.trim().is_empty() { Err(missing()) } else { Ok(given) }
        };
        let (name, owner) = (required("name")?, required("owner")?);
        let ensured = call.store().ensure_namespace(&name, &owner, &text(&body, "description")).await;
        let ensured = ensured.map_err(|e| Fault::from(e).under_error(true))?;
        Ok(ok(&json!(ensured)))
    })
    .await
}

/// A POST of many items, which stand in the body alone or under a name.
async fn many<T: serde::Serialize>(
    rest: Arc<Rest>,
    request: Request,
    name: &str,
    store: impl AsyncFnOnce(&Store, Vec<Value>) -> Result<T, Error>,
) -> Response {
    only(Method::POST, rest, WRITE, request, async |mut call: Call| {
        let items = batch::items(call.body().await?.json(), name)?;
        Ok(ok(&json!(store(call.store(), items).await?)))
    })
    .await
}

/// `POST /api/tf-slices/batch/`
pub(super) async fn slices_batch(State(rest): Shared, request: Request) -> Response {
    only(Method::POST, rest, WRITE, request, async |mut call: Call| {
        let body = call.body().await?.json();
        let parent = body.get("tf_file").and_then(Value::as_str).map(str::to_owned);
        let outcome = call.store().add_slices(batch::items(body, "slices")?, parent.as_deref()).await?;
        Ok(ok(&json!(outcome)))
    })
    .await
}

/// `POST /api/tf-slices/results/`
pub(super) async fn slice_results(State(rest): Shared, request: Request) -> Response {
    many(rest, request, "results", async |store, items| store.slice_results(items).await).await
}

/// `POST /api/fastmon-files/batch/`
pub(super) async fn fastmon_batch(State(rest): Shared, request: Request) -> Response {
    many(rest, request, "files", async |store, items| {
        let (outcome, rows) = store.add_fastmon_files(items).await?;
        Ok(json!({"created": outcome.created, "existing": outcome.existing, "items": rows}))
    })
    .await
}

/// `POST /api/system-state-events/batch/`
pub(super) async fn events_batch(State(rest): Shared, request: Request) -> Response {
    many(rest, request, "events", async |store, items| Ok(json!({"created": store.add_events(items).await?})))
        .await
}

/// The body of a log request; callers without token are held to the limits of the intake.
pub(super) async fn log_body(call: &mut Call) -> Result<Content, Fault> {
    if call.caller.may(Scope::Write) {
        return call.body().await;
    }
    let Some(limits) = call.config().log_intake else {
        return Err(Fault::Plain(StatusCode::FORBIDDEN, NOT_PROVIDED.into()));
    };
    let content = call.body_of(limits.most_bytes).await?;
    let records = match &content {
        Content::Json(Value::Array(list)) => list.len(),
        Content::Json(body) => body.get("logs").and_then(Value::as_array).map_or(1, Vec::len),
        _ => 1,
    };
    call.rest.peers.take(call.peer, records, &limits).map_err(Fault::Throttled)?;
    Ok(content)
}

/// `POST /api/logs/batch/`
pub(super) async fn logs_batch(State(rest): Shared, request: Request) -> Response {
    only(Method::POST, rest, Guard::OPEN, request, async |mut call: Call| {
        let items = batch::items(log_body(&mut call).await?.json(), "logs")?;
        let (created, rejected) = call.store().add_logs(items).await?;
        Ok(ok(&json!({"created": created, "rejected": rejected})))
    })
    .await
}

/// `GET /api/logs/summary/`
pub(super) async fn log_summary(State(rest): Shared, request: Request) -> Response {
    only(Method::GET, rest, Guard::needs(Scope::Read), request, async |call: Call| {
        Ok(ok(&call.store().log_summary().await?))
    })
    .await
}

/// A dialogue belongs to its user: others need to be administrators. Where callers without account may write
/// at all, the installation has no users to tell apart.
fn may_remember(call: &Call, username: &str) -> Result<(), Fault> {
    let own = match &call.caller.user {
        Some(user) => user == username,
        None => call.caller.may(Scope::Write),
    };
    if own || call.config().open_ai_memory || call.caller.may(Scope::Admin) {
        return Ok(());
    }
    let why = if call.caller.user.is_some() { NOT_ALLOWED } else { NOT_PROVIDED };
    Err(Fault::Plain(StatusCode::FORBIDDEN, why.into()))
}

/// `POST /api/ai-memory/record/`
pub(super) async fn record_memory(State(rest): Shared, request: Request) -> Response {
    only(Method::POST, rest, Guard::OPEN, request, async |mut call: Call| {
        let body = call.body().await?.json();
        let optional = |name: &str| Some(text(&body, name)).filter(|t| !t.is_empty());
        let remark = Remark {
            username: text(&body, "username"),
            session_id: text(&body, "session_id"),
            role: text(&body, "role"),
            content: text(&body, "content"),
            namespace: optional("namespace"),
            project_path: optional("project_path"),
        };
        // Without a name it is the record that is refused, not the caller.
        if !remark.username.is_empty() {
            may_remember(&call, &remark.username)?;
        }
        let id = call.store().record_memory(&remark).await.map_err(|e| Fault::from(e).under_error(false))?;
        Ok(ok(&json!({"id": id, "status": "success"})))
    })
    .await
}

/// `GET /api/ai-memory/?username=&turns=&namespace=`
pub(super) async fn memory(State(rest): Shared, request: Request) -> Response {
    only(Method::GET, rest, Guard::OPEN, request, async |call: Call| {
        let refuse = |why: String| Fault::from(Error::detail(why)).under_error(false);
        let username = call.asked("username").unwrap_or_default();
        if username.is_empty() {
            return Err(refuse("username query parameter is required".into()));
        }
        may_remember(&call, username)?;
        // What is no number has always meant the usual number; an impossible number is a mistake.
        let turns = call.asked("turns").and_then(|t| t.trim().parse::<i64>().ok()).unwrap_or(TURNS);
        if !(0..=MOST_TURNS).contains(&turns) {
            return Err(refuse(format!("turns must be 0 to {MOST_TURNS}")));
        }
        let namespace = call.asked("namespace").filter(|n| !n.is_empty());
        let items = call.store().memory(username, turns, namespace).await?;
        Ok(ok(&json!({"items": items, "count": items.len()})))
    })
    .await
}

/// `POST /api/dpid/`: which call of a tool an id was given to.
pub(super) async fn record_provenance(State(rest): Shared, request: Request) -> Response {
    serve(
        rest,
        |_| WRITE,
        request,
        async |mut call: Call| {
            call.only(Method::POST)?;
            let body = call.body().await?.json();
            let (dpid, tool) = (text(&body, "dpid"), text(&body, "tool_name"));
            let arguments = body.get("tool_args").filter(|a| !a.is_null()).cloned();
            let arguments = arguments.unwrap_or_else(|| json!({}));
            call.store().record_provenance(&dpid, &tool, &arguments).await?;
            Ok(answer(StatusCode::CREATED, &json!({"dpid": dpid, "status": "success"})))
        },
    )
    .await
}

/// `GET /api/dpid/verify/?dpid=`
pub(super) async fn provenance(State(rest): Shared, request: Request) -> Response {
    only(Method::GET, rest, Guard::OPEN, request, async |call: Call| {
        let Some(dpid) = call.asked("dpid").filter(|d| !d.is_empty()) else {
            let items = call.store().newest_provenance().await?;
            return Ok(ok(&json!({"items": items, "count": items.len()})));
        };
        match call.store().provenance(dpid).await? {
            Some(found) => Ok(ok(&found)),
            None => Ok(answer(StatusCode::NOT_FOUND, &json!({"dpid": dpid, "verified": false}))),
        }
    })
    .await
}

/// `GET /api/users/`: for administrators, without passwords.
pub(super) async fn users(State(rest): Shared, request: Request) -> Response {
    only(Method::GET, rest, Guard::needs(Scope::Admin), request, async |call: Call| {
        Ok(ok(&json!({"users": call.store().users().await?})))
    })
    .await
}
