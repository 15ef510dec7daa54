//! Where clients learn how to sign in (RFC 9728).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::app::App;

/// The document below `/.well-known`, also under the path of the MCP endpoint, as strict clients ask for it.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/.well-known/oauth-protected-resource", get(document))
        .route("/.well-known/oauth-protected-resource/{*path}", get(document))
        .with_state(app)
}

async fn document(State(app): State<Arc<App>>) -> Response {
    let Some(oidc) = &app.auth.config().oidc else {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "OAuth not configured"})))
            .into_response();
    };
    let body = json!({
        "resource": oidc.audiences.first(),
        "authorization_servers": [oidc.issuer],
        "scopes_supported": ["openid", "profile", "email"],
        "bearer_methods_supported": ["header"],
        "resource_name": "swf monitor",
    });
    // Clients in browsers ask from their own origin; the document is public.
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(body)).into_response()
}
