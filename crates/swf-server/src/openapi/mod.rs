//! The OpenAPI 3.1 document of the REST interface, derived from the records and the tools, and a page that shows
//! it without needing anything from elsewhere.
//!
//! *Invariant:* resources, their fields and filters, and tools are never listed here; only endpoints that are
//! neither stand in [`special`].
#![expect(clippy::indexing_slicing, reason = "members of JSON objects that are made right here")]

mod records;
mod special;
mod tools;
mod yaml;

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Map, Value, json};

use crate::rest::pairs;

const PAGE: &str = include_str!("viewer.html");
const SCRIPT: &str = include_str!("viewer.js");
const STYLE: &str = include_str!("viewer.css");
/// The page loads only its own two files and calls only this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes; open to anybody.
pub fn router() -> Router {
    let mut router = Router::new().route("/api/schema", any(schema)).route("/api/schema/", any(schema));
    for viewer in ["/api/schema/swagger-ui", "/api/schema/redoc"] {
        router = router
            .route(viewer, any(slash))
            .route(&format!("{viewer}/"), any(|r: Request| file(r, "text/html; charset=utf-8", PAGE)))
            .route(&format!("{viewer}/viewer.js"), any(|r: Request| file(r, "text/javascript", SCRIPT)))
            .route(&format!("{viewer}/viewer.css"), any(|r: Request| file(r, "text/css", STYLE)));
    }
    router
}

/// The document; `server` is the path below which the interface is mounted.
pub fn document(server: &str) -> Value {
    let mut paths = Paths::default();
    let mut schemas = special::schemas();
    records::describe(&mut paths, &mut schemas);
    special::describe(&mut paths);
    tools::describe(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "swf monitor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "REST interface of the streaming-workflow testbed monitor. Each path works with and \
                without the slash at its end. Unless a path says otherwise reading is open to callers that may \
                read, and writing needs a token.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": if server.is_empty() { "/" } else { server }}],
        "security": [{"token": []}, {"bearer": []}, {}],
        "paths": paths.0,
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "The word `Token`, a blank and the account's key."},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The account's key."},
            },
            "schemas": schemas,
            "responses": special::responses(),
        },
    })
}

/// Paths with their operations, in the order in which they are added.
#[derive(Default)]
struct Paths(Map<String, Value>);

impl Paths {
    fn add(&mut self, path: &str, verb: &str, operation: Value) {
        let item = self.0.entry(path.to_owned()).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(verb.to_owned(), operation);
        }
    }
}

/// References to the refusals with these statuses, in the shapes of the records.
fn refusals(statuses: &[u16]) -> Map<String, Value> {
    statuses
        .iter()
        .map(|status| (status.to_string(), json!({"$ref": format!("#/components/responses/E{status}")})))
        .collect()
}

/// An answer in JSON.
fn answer(text: &str, schema: &Value) -> Value {
    json!({"description": text, "content": {"application/json": {"schema": schema}}})
}

/// A body in JSON or as a form.
fn body(schema: &Value, required: bool) -> Value {
    json!({"required": required, "content": {"application/json": {"schema": schema}}})
}

/// A parameter of the query.
fn query(name: &str, text: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "description": text, "schema": schema})
}

/// A parameter of the path.
fn key(name: &str, text: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": text, "schema": schema})
}

fn refuse(request: &Request) -> Option<Response> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let detail = json!({"detail": format!("Method \"{}\" not allowed.", request.method())});
    Some((StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], axum::Json(detail)).into_response())
}

async fn schema(OriginalUri(uri): OriginalUri, request: Request) -> Response {
    if let Some(refusal) = refuse(&request) {
        return refusal;
    }
    let server = uri.path().trim_end_matches('/').strip_suffix("/api/schema").unwrap_or_default();
    let document = document(server);
    let asked = pairs(request.uri().query().unwrap_or_default());
    let format = asked.iter().find(|(name, _)| name == "format").map(|(_, value)| value.as_str());
    match format {
        Some("yaml") => as_yaml(&document),
        Some("json") => axum::Json(document).into_response(),
        Some(_) => (StatusCode::NOT_FOUND, axum::Json(json!({"detail": "Not found."}))).into_response(),
        None if wants_yaml(request.headers()) => as_yaml(&document),
        None => axum::Json(document).into_response(),
    }
}

fn wants_yaml(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    accept.contains("yaml") || accept.contains("application/vnd.oai.openapi") && !accept.contains("json")
}

fn as_yaml(document: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/yaml")], yaml::write(document)).into_response()
}

async fn file(request: Request, kind: &'static str, text: &'static str) -> Response {
    if let Some(refusal) = refuse(&request) {
        return refusal;
    }
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

/// The page finds its files beside it.
async fn slash(OriginalUri(uri): OriginalUri) -> Response {
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("{last}/"))]).into_response()
}
