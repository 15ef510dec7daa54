//! A layer that puts the caller into the request, for surfaces that take it from there.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use swf_tools::{Caller, Scope, registry};

use super::{AuthError, Door, NOT_PROVIDED, oidc};
use crate::app::App;

/// Requests to the MCP endpoint are not longer.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Puts a [`swf_tools::Caller`] into the request's extensions. Wrong credentials are answered 401, missing
/// ones leave the decision to what comes next, unless there is an authorization server to which the client can
/// be sent: then a stream that nobody signed for, and a tool that the caller may not call, are answered with
/// the challenge that starts signing in.
pub async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| c.0);
    let caller = match app.auth.caller(request.headers(), peer, Door::People).await {
        Ok(caller) => caller,
        Err(AuthError::Refused(why)) => {
            return challenge(&app, StatusCode::UNAUTHORIZED, "invalid_token", why, None);
        }
        Err(e @ AuthError::Unavailable(_)) => {
            tracing::warn!("{e}");
            let body =
                json!({"error": "unavailable", "message": "credentials could not be checked; try again"});
            let mut response = (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return response;
        }
    };
    if app.auth.config().oidc.is_some() && !caller.may(Scope::Admin) {
        request = match step_up(&app, &caller, request).await {
            Ok(request) => request,
            Err(response) => return response,
        };
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

#[derive(Deserialize)]
struct Message {
    method: String,
    #[serde(default)]
    params: Params,
}

#[derive(Deserialize, Default)]
struct Params {
    #[serde(default)]
    name: String,
}

/// The request again, or the challenge for what it wants.
async fn step_up(app: &App, caller: &Caller, request: Request) -> Result<Request, Response> {
    if request.method() == Method::GET && caller.user.is_none() {
        return Err(challenge(app, StatusCode::UNAUTHORIZED, "", NOT_PROVIDED, None));
    }
    if request.method() != Method::POST {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MOST_BYTES).await else {
        let body =
            json!({"error": "too_large", "message": format!("a message has {MOST_BYTES} bytes at most")});
        return Err((StatusCode::PAYLOAD_TOO_LARGE, axum::Json(body)).into_response());
    };
    if let Some(scope) = wanted(&bytes)
        && !caller.may(scope)
    {
        return Err(match caller.user {
            None => challenge(app, StatusCode::UNAUTHORIZED, "", NOT_PROVIDED, Some(scope)),
            Some(_) => {
                let why = format!("this tool needs the right '{scope}', which your sign-in does not give");
                challenge(app, StatusCode::FORBIDDEN, "insufficient_scope", &why, Some(scope))
            }
        });
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// What the called tool needs; nothing for other messages, which are judged where they are read.
fn wanted(bytes: &Bytes) -> Option<Scope> {
    let message: Message = serde_json::from_slice(bytes).ok()?;
    let tool = (message.method == "tools/call").then(|| registry::find(&message.params.name)).flatten()?;
    Some(tool.scope)
}

/// A refusal that says how to sign in. `error` is the code of RFC 6750, empty when no credentials were shown.
fn challenge(app: &App, status: StatusCode, error: &str, why: &str, scope: Option<Scope>) -> Response {
    let word = if status == StatusCode::FORBIDDEN { "forbidden" } else { "unauthorized" };
    let mut response = (status, axum::Json(json!({"error": word, "message": why}))).into_response();
    let oidc = app.auth.config().oidc.as_ref();
    if let Ok(value) = HeaderValue::from_str(&challenge_text(oidc, error, scope)) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

fn challenge_text(oidc: Option<&oidc::Config>, error: &str, scope: Option<Scope>) -> String {
    let realm = oidc.and_then(|o| o.audiences.first()).map_or("swf", String::as_str);
    let mut text = format!("Bearer realm=\"{realm}\"");
    if !error.is_empty() {
        text.push_str(&format!(", error=\"{error}\""));
    }
    if let Some(oidc) = oidc {
        if let Some(scope) = scope {
            text.push_str(&format!(", scope=\"swf:{scope}\""));
        }
        text.push_str(&format!(", resource_metadata=\"{}\"", oidc.metadata_url));
    }
    text
}
