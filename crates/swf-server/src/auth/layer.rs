//! A layer that puts the caller into the request, for surfaces that take it from there.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::AuthError;
use crate::app::App;

/// Puts a [`swf_tools::Caller`] into the request's extensions. Wrong credentials are answered 401, missing
/// ones leave the decision to what comes next.
pub async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip());
    match app.auth.caller(request.headers(), peer).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(AuthError::Refused(why)) => {
            let body = json!({"error": "unauthorized", "message": why});
            let mut response = (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response();
            let challenge = HeaderValue::from_static("Bearer realm=\"swf\", error=\"invalid_token\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
        Err(e @ AuthError::Unavailable(_)) => {
            tracing::warn!("{e}");
            let body =
                json!({"error": "unavailable", "message": "credentials could not be checked; try again"});
            let mut response = (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            response
        }
    }
}
