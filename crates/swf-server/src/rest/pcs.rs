//! What `/pcs/api/` does beyond rows: locking tags, adding blocks, making commands.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use swf_tools::Scope;
use swf_tools::records::pcs::commands;
use swf_tools::records::pcs::tags::{KINDS, TagKind};

use super::call::{Call, Guard, ok, only};
use super::fault::{Fault, answer};
use super::special::text;
use super::{Key, Rest, Shared, both};

const WRITE: Guard = Guard::needs(Scope::Write);

/// Adds the routes.
pub(super) fn routes(mut router: Router<Arc<Rest>>) -> Router<Arc<Rest>> {
    for kind in KINDS {
        let base = format!("/pcs/api/{}/{{key}}", kind.resource.path);
        let lock = move |State(rest): Shared, key: Key, request: Request| lock(rest, kind, key, request);
        let delete = move |State(rest): Shared, key: Key, request: Request| delete(rest, kind, key, request);
        router = both(router, &format!("{base}/lock"), lock);
        router = both(router, &format!("{base}/delete"), delete);
    }
    router = both(router, "/pcs/api/datasets/{key}/add-block", add_block);
    router = both(router, "/pcs/api/prod-tasks/{key}/generate-commands", generate_commands);
    router = both(router, "/pcs/api/prod-tasks/{key}/set-status", set_status);
    both(router, "/pcs/api/prod-tasks/command", command)
}

fn known(key: Key) -> Result<String, Fault> {
    key.map(|path| path.0).map_err(|_| Fault::not_found())
}

async fn lock(rest: Arc<Rest>, kind: &TagKind, key: Key, request: Request) -> Response {
    only(Method::POST, rest, WRITE, request, async |call: Call| {
        Ok(ok(&Value::Object(call.store().lock_tag(kind, &call.caller, &known(key)?).await?)))
    })
    .await
}

async fn delete(rest: Arc<Rest>, kind: &TagKind, key: Key, request: Request) -> Response {
    only(Method::POST, rest, WRITE, request, async |call: Call| {
        let label = call.store().delete_tag(kind, &call.caller, &known(key)?).await?;
        Ok(ok(&json!({"detail": format!("Tag {label} deleted.")})))
    })
    .await
}

async fn add_block(State(rest): Shared, key: Key, request: Request) -> Response {
    only(Method::POST, rest, WRITE, request, async |call: Call| {
        let row = call.store().add_block(&call.caller, &known(key)?).await?;
        Ok(answer(StatusCode::CREATED, &Value::Object(row)))
    })
    .await
}

async fn generate_commands(State(rest): Shared, key: Key, request: Request) -> Response {
    only(Method::POST, rest, WRITE, request, async |call: Call| {
        Ok(ok(&json!(call.store().generate_commands(&call.caller, &known(key)?).await?)))
    })
    .await
}

async fn set_status(State(rest): Shared, key: Key, request: Request) -> Response {
    only(Method::POST, rest, WRITE, request, async |mut call: Call| {
        let status = text(&call.body().await?.json(), "status");
        let row = call.store().set_task_status(&call.caller, &known(key)?, &status).await?;
        Ok(ok(&Value::Object(row)))
    })
    .await
}

/// `GET /pcs/api/prod-tasks/command/?name=&fmt=`: composes, stores nothing.
async fn command(State(rest): Shared, request: Request) -> Response {
    only(Method::GET, rest, Guard::OPEN, request, async |call: Call| {
        let refuse = |why: &str| Fault::Plain(StatusCode::BAD_REQUEST, why.to_owned());
        let name = call.asked("name").filter(|n| !n.is_empty()).ok_or_else(|| refuse("Missing ?name="))?;
        let format = call.asked("fmt").unwrap_or_default();
        if !matches!(format, "condor" | "panda" | "jedi" | "dump") {
            return Err(refuse("fmt must be one of: condor, panda, jedi, dump"));
        }
        let Some(parts) = call.store().task_parts(name).await? else {
            return Err(Fault::Plain(StatusCode::NOT_FOUND, format!("No task named '{name}'")));
        };
        Ok(match format {
            "condor" => plain(commands::condor(&parts)),
            "panda" => plain(commands::panda(&parts)),
            "jedi" => document(&commands::jedi(&parts)),
            _ => document(&commands::dump(&parts)),
        })
    })
    .await
}

fn plain(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// JSON for people, indented.
fn document(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], format!("{body:#}")).into_response()
}
