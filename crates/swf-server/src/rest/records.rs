//! Lists and single rows of every resource.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method as Verb, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use swf_tools::records::pcs::resources::DATASETS;
use swf_tools::records::pcs::tags;
use swf_tools::records::resources::logs;
use swf_tools::records::{Change, Input, List, Method, Page, Resource, Store};
use swf_tools::{Caller, Scope};

use super::call::{Call, Guard, ok, serve};
use super::fault::{Fault, answer, with};
use super::{Key, Rest, body, options};

/// Reading is open to all who may read, writing to all who may write; log records come from anybody.
fn guard(resource: &Resource, verb: &Verb) -> Guard {
    match *verb {
        Verb::GET | Verb::HEAD | Verb::OPTIONS => Guard::needs(Scope::Read),
        Verb::POST if resource.path == logs::RESOURCE.path => Guard::OPEN,
        _ => Guard::needs(Scope::Write),
    }
}

/// `/api/<resource>/`, `/pcs/api/<resource>/`
pub(super) async fn many(rest: Arc<Rest>, resource: &'static Resource, request: Request) -> Response {
    serve(
        rest,
        |verb| guard(resource, verb),
        request,
        async |mut call: Call| {
            let allowed = options::verbs(resource, false);
            match call.method {
                Verb::GET | Verb::HEAD => {
                    let list = call.store().list(resource, &call.query).await?;
                    Ok(listed(&call, list))
                }
                Verb::POST if resource.allows(Method::Create) => {
                    let input = if resource.path == logs::RESOURCE.path {
                        super::special::log_body(&mut call).await?.input()?
                    } else {
                        call.body().await?.input()?
                    };
                    let row = create(call.store(), &call.caller, resource, input).await?;
                    Ok(answer(StatusCode::CREATED, &Value::Object(row)))
                }
                Verb::OPTIONS => Ok(options::describe(resource, false, call.caller.may(Scope::Write))),
                _ => Err(call.no_method(&allowed)),
            }
        },
    )
    .await
}

/// `/api/<resource>/<key>/`, `/pcs/api/<resource>/<key>/`
pub(super) async fn one(
    rest: Arc<Rest>,
    resource: &'static Resource,
    key: Key,
    request: Request,
) -> Response {
    serve(
        rest,
        |verb| guard(resource, verb),
        request,
        async |mut call: Call| {
            let key = key.map_err(|_| Fault::not_found())?.0;
            let allowed = options::verbs(resource, true);
            let change = match call.method {
                Verb::GET | Verb::HEAD => {
                    return Ok(ok(&Value::Object(call.store().get(resource, &key).await?)));
                }
                Verb::DELETE if resource.allows(Method::Delete) => {
                    call.store().delete(resource, &call.caller, &key).await?;
                    return Ok(StatusCode::NO_CONTENT.into_response());
                }
                Verb::OPTIONS => return Ok(options::describe(resource, true, call.caller.may(Scope::Write))),
                Verb::PUT if resource.allows(Method::Put) => Change::Put,
                Verb::PATCH if resource.allows(Method::Patch) => merging(&call)?,
                _ => return Err(call.no_method(&allowed)),
            };
            let input = call.body().await?.input()?;
            let row = match tags::kind_of(resource) {
                Some(kind) => call.store().update_tag(kind, &call.caller, &key, input, change).await?,
                None => call.store().update(resource, &call.caller, &key, input, change).await?,
            };
            Ok(ok(&Value::Object(row)))
        },
    )
    .await
}

/// Tags and datasets are made by rules of their own.
async fn create(
    store: &Store,
    caller: &Caller,
    resource: &Resource,
    input: Input,
) -> Result<Map<String, Value>, Fault> {
    let row = match tags::kind_of(resource) {
        Some(kind) => store.create_tag(kind, caller, input).await,
        None if resource.path == DATASETS.path => store.create_dataset(caller, input).await,
        None => store.create(resource, caller, input).await,
    };
    Ok(row?)
}

fn merging(call: &Call) -> Result<Change, Fault> {
    match call.asked("merge") {
        None | Some("false" | "0") => Ok(Change::Patch),
        Some("true" | "1") => Ok(Change::Merge),
        Some(_) => Err(swf_tools::records::Error::field("merge", "must be true or false").into()),
    }
}

/// A bare list, with a pointer to the rest when it was cut; or a page in its frame.
fn listed(call: &Call, list: List) -> Response {
    let total = list.total.unwrap_or(0);
    let rows = list.rows.len();
    let Some(page) = list.page else {
        let response = ok(&Value::Array(list.rows));
        if list.total.is_none() {
            return response;
        }
        let next = place(call, Page { limit: rows, offset: rows });
        let response = with(response, header::LINK, &format!("<{next}>; rel=\"next\""));
        return with(response, header::HeaderName::from_static("x-total-count"), &total.to_string());
    };
    let end = page.offset + page.limit;
    let more = i64::try_from(end).is_ok_and(|end| end < total);
    let next = more.then(|| place(call, Page { offset: end, ..page }));
    let previous = (page.offset > 0)
        .then(|| place(call, Page { offset: page.offset.saturating_sub(page.limit), ..page }));
    ok(&json!({"count": total, "next": next, "previous": previous, "results": list.rows}))
}

/// The address of another page of the same list.
fn place(call: &Call, page: Page) -> String {
    let kept = call.query.iter().filter(|(name, _)| name != "limit" && name != "offset");
    let kept = kept.map(|(name, value)| format!("{}={}", body::encode(name), body::encode(value)));
    let mut parts: Vec<String> = kept.collect();
    parts.push(format!("limit={}", page.limit));
    if page.offset > 0 {
        parts.push(format!("offset={}", page.offset));
    }
    format!("{}?{}", call.address, parts.join("&"))
}
