//! Errors of tools as HTTP answers (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use swf_tools::{Caller, Error};

/// A tool's error on its way to an HTTP client.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    body: Map<String, Value>,
}

impl Problem {
    /// The answer for an error; a caller without credentials is asked for some, a known one is refused.
    pub fn new(error: &Error, caller: &Caller) -> Problem {
        let status = match error {
            Error::Invalid { .. } => StatusCode::BAD_REQUEST,
            Error::NotFound { .. } => StatusCode::NOT_FOUND,
            Error::Forbidden(_) if caller.user.is_none() => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::Conflict { .. } => StatusCode::CONFLICT,
            Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut body = Map::new();
        body.insert("type".into(), "about:blank".into());
        body.insert("title".into(), status.canonical_reason().unwrap_or_default().into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), error.to_string().into());
        body.insert("kind".into(), error.kind().into());
        if let Error::Invalid { field, .. } = error {
            body.insert("field".into(), field.as_str().into());
        }
        if let Error::Internal(cause) = error {
            let id = uuid::Uuid::new_v4().to_string();
            tracing::error!(error_id = id, "internal error {id}: {cause:#}");
            body.insert("error_id".into(), id.into());
        }
        Problem { status, body }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is told to the caller; faults of ours have an id that the log has too.
    pub fn detail(&self) -> String {
        let detail = self.body.get("detail").and_then(Value::as_str).unwrap_or_default();
        match self.body.get("error_id").and_then(Value::as_str) {
            Some(id) => format!("{detail} {id}"),
            None => detail.to_owned(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"swf\""));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
