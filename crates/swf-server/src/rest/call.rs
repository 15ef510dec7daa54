//! One request on its way to an endpoint: what it accepts, who sends it, what it carries.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, OriginalUri, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use swf_tools::records::Store;
use swf_tools::{Caller, Scope};

use super::body::{self, Content};
use super::fault::{Fault, answer};
use super::{Config, Rest};
use crate::auth::{Door, NOT_ALLOWED, NOT_PROVIDED};

/// Who may call an endpoint, and how others are refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    scope: Option<Scope>,
    refusal: StatusCode,
    strict: bool,
}

impl Guard {
    /// Anybody; credentials are looked at but never refused.
    pub const OPEN: Guard = Guard { scope: None, refusal: StatusCode::FORBIDDEN, strict: false };

    /// Callers with a scope; others get 403, as most endpoints always answered.
    pub const fn needs(scope: Scope) -> Guard {
        Guard { scope: Some(scope), refusal: StatusCode::FORBIDDEN, strict: true }
    }

    /// Callers with a scope; others get 401.
    pub const fn token(scope: Scope) -> Guard {
        Guard { scope: Some(scope), refusal: StatusCode::UNAUTHORIZED, strict: true }
    }

    /// Anybody, but wrong credentials get 401.
    pub const fn any_valid() -> Guard {
        Guard { scope: None, refusal: StatusCode::UNAUTHORIZED, strict: true }
    }
}

/// A request that was let in.
pub(super) struct Call {
    pub rest: Arc<Rest>,
    pub caller: Caller,
    pub peer: Option<IpAddr>,
    pub method: Method,
    pub headers: HeaderMap,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// Scheme, host and path of the request, as the client sees them.
    pub address: String,
    body: Body,
}

impl Call {
    /// Records.
    pub fn store(&self) -> &Store {
        &self.rest.store
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.rest.app.rest
    }

    /// The body, up to the general limit.
    pub async fn body(&mut self) -> Result<Content, Fault> {
        let most = self.config().most_bytes;
        self.body_of(most).await
    }

    /// The body, up to a limit.
    pub async fn body_of(&mut self, most: usize) -> Result<Content, Fault> {
        body::read(&self.headers, std::mem::take(&mut self.body), most).await
    }

    /// A query value.
    pub fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The error for a method that the endpoint does not have.
    pub fn no_method(&self, allowed: &str) -> Fault {
        Fault::Method(self.method.to_string(), allowed.to_owned())
    }

    /// An error unless it is the one method that the endpoint has.
    pub fn only(&self, method: Method) -> Result<(), Fault> {
        let fits = self.method == method || (method == Method::GET && self.method == Method::HEAD);
        if fits { Ok(()) } else { Err(self.no_method(&format!("{method}, OPTIONS"))) }
    }
}

/// Lets a request in and answers it. `guard` may depend on the method.
pub(super) async fn serve<F, R>(
    rest: Arc<Rest>,
    guard: impl Fn(&Method) -> Guard,
    request: Request,
    run: F,
) -> Response
where
    F: FnOnce(Call) -> R,
    R: Future<Output = Result<Response, Fault>>,
{
    let answered = async {
        let call = admit(rest, guard(request.method()), request).await?;
        run(call).await
    };
    answered.await.unwrap_or_else(IntoResponse::into_response)
}

/// The same for an endpoint with one method.
pub(super) async fn only<F, R>(
    method: Method,
    rest: Arc<Rest>,
    guard: Guard,
    request: Request,
    run: F,
) -> Response
where
    F: FnOnce(Call) -> R,
    R: Future<Output = Result<Response, Fault>>,
{
    serve(
        rest,
        |_| guard,
        request,
        async |call: Call| {
            call.only(method)?;
            run(call).await
        },
    )
    .await
}

async fn admit(rest: Arc<Rest>, guard: Guard, request: Request) -> Result<Call, Fault> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| c.0);
    let uri =
        request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().clone(), |o| o.0.clone());
    let (parts, body) = request.into_parts();
    let query = body::pairs(parts.uri.query().unwrap_or_default());
    negotiate(&parts.headers, &query)?;
    let caller = match rest.app.auth.caller(&parts.headers, peer, Door::Rest).await {
        Ok(caller) => caller,
        Err(e) if guard.strict => return Err(Fault::refused(e, guard.refusal)),
        Err(_) => Caller::anonymous(None),
    };
    if let Some(scope) = guard.scope
        && !caller.may(scope)
    {
        return Err(match (&caller.user, guard.refusal) {
            (Some(_), _) => Fault::Plain(StatusCode::FORBIDDEN, NOT_ALLOWED.into()),
            (None, StatusCode::UNAUTHORIZED) => Fault::Challenge(NOT_PROVIDED.into()),
            (None, status) => Fault::Plain(status, NOT_PROVIDED.into()),
        });
    }
    let text = |name: header::HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok());
    let host = text(header::HOST).or_else(|| uri.authority().map(|a| a.as_str())).unwrap_or("localhost");
    let scheme = match parts.headers.get("x-forwarded-proto").and_then(|v| v.to_str().ok()) {
        Some("https") => "https",
        _ => "http",
    };
    let address = format!("{scheme}://{host}{}", uri.path());
    let peer = peer.map(|p| p.ip());
    Ok(Call { rest, caller, peer, method: parts.method, headers: parts.headers, query, address, body })
}

/// Answers are JSON; who wants nothing that JSON could stand for is told so.
fn negotiate(headers: &HeaderMap, query: &[(String, String)]) -> Result<(), Fault> {
    if let Some((_, format)) = query.iter().find(|(name, _)| name == "format") {
        return if matches!(format.as_str(), "json" | "api") { Ok(()) } else { Err(Fault::not_found()) };
    }
    let Some(accept) = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()) else { return Ok(()) };
    let fits = accept.split(',').any(|part| {
        let kind = part.split(';').next().unwrap_or_default().trim();
        matches!(kind, "" | "*/*" | "application/*" | "application/json" | "text/html" | "text/*")
            || kind == "application/problem+json"
    });
    if fits {
        return Ok(());
    }
    Err(Fault::Plain(StatusCode::NOT_ACCEPTABLE, "Could not satisfy the request Accept header.".into()))
}

/// 200 with JSON.
pub(super) fn ok(body: &Value) -> Response {
    answer(StatusCode::OK, body)
}
