//! Refusals and failures of the REST interface: always JSON, in the shapes that clients know.

use std::any::Any;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use swf_tools::records;

use crate::auth::AuthError;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// The status and the text under `detail`.
    Plain(StatusCode, String),
    /// 405; the methods that are allowed.
    Method(String, String),
    /// 401 with a challenge.
    Challenge(String),
    /// 429; seconds until the next try is worth it.
    Throttled(u64),
    /// Refused by the records.
    Records(records::Error),
    /// Failed in the tools' layer.
    Tools(swf_tools::Error),
}

impl From<records::Error> for Fault {
    fn from(e: records::Error) -> Fault {
        Fault::Records(e)
    }
}

impl From<swf_db::Error> for Fault {
    fn from(e: swf_db::Error) -> Fault {
        Fault::Tools(e.into())
    }
}

impl Fault {
    /// 404 for a path or key that means nothing.
    pub fn not_found() -> Fault {
        Fault::Plain(StatusCode::NOT_FOUND, "Not found.".into())
    }

    /// Refused credentials, with the status of the endpoint's class.
    pub fn refused(error: AuthError, status: StatusCode) -> Fault {
        match error {
            AuthError::Refused(why) if status == StatusCode::UNAUTHORIZED => Fault::Challenge(why.into()),
            AuthError::Refused(why) => Fault::Plain(status, why.into()),
            AuthError::Unavailable(e) => Fault::Tools(e),
        }
    }

    /// For endpoints whose refusals have the text under `error` instead of `detail`.
    pub fn under_error(self, with_status: bool) -> Fault {
        let Fault::Records(records::Error::Invalid(body)) = &self else { return self };
        let Some(text) = body.get("detail").cloned() else { return self };
        let body =
            if with_status { json!({"error": text, "status": "error"}) } else { json!({"error": text}) };
        Fault::Records(records::Error::Invalid(body))
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Fault::Plain(status, detail) => detailed(status, &detail),
            Fault::Method(method, allowed) => {
                let detail = format!("Method \"{method}\" not allowed.");
                with(detailed(StatusCode::METHOD_NOT_ALLOWED, &detail), header::ALLOW, &allowed)
            }
            Fault::Challenge(detail) => {
                with(detailed(StatusCode::UNAUTHORIZED, &detail), header::WWW_AUTHENTICATE, "Token")
            }
            Fault::Throttled(seconds) => {
                let detail = format!("Request was throttled. Expected available in {seconds} seconds.");
                let response = detailed(StatusCode::TOO_MANY_REQUESTS, &detail);
                with(response, header::RETRY_AFTER, &seconds.to_string())
            }
            Fault::Records(error) => from_records(error),
            Fault::Tools(error) => from_tools(error),
        }
    }
}

fn from_records(error: records::Error) -> Response {
    match error {
        records::Error::Invalid(body) => answer(StatusCode::BAD_REQUEST, &body),
        records::Error::NotFound(detail) => detailed(StatusCode::NOT_FOUND, &detail),
        records::Error::Forbidden(detail) => detailed(StatusCode::FORBIDDEN, &detail),
        records::Error::Conflict(detail) => detailed(StatusCode::CONFLICT, &detail),
        // What validation lets through but the column does not take is still the client's mistake.
        records::Error::Db(swf_db::Error::BadValue(cause)) => {
            tracing::warn!("a value did not fit its column: {cause}");
            answer(
                StatusCode::BAD_REQUEST,
                &json!({"non_field_errors": ["A value does not fit its column."]}),
            )
        }
        records::Error::Db(swf_db::Error::ForeignKey(_)) => {
            detailed(StatusCode::CONFLICT, "A row that this one refers to was deleted meanwhile; try again.")
        }
        records::Error::Db(e) => from_tools(e.into()),
    }
}

fn from_tools(error: swf_tools::Error) -> Response {
    use swf_tools::Error as E;
    match &error {
        E::Unavailable { what } => {
            tracing::warn!("request could not be served: {what}");
            with(detailed(StatusCode::SERVICE_UNAVAILABLE, what), header::RETRY_AFTER, "5")
        }
        E::Conflict { .. } => detailed(StatusCode::CONFLICT, &error.to_string()),
        E::Invalid { .. } => detailed(StatusCode::BAD_REQUEST, &error.to_string()),
        E::NotFound { .. } => detailed(StatusCode::NOT_FOUND, &error.to_string()),
        E::Forbidden(_) => detailed(StatusCode::FORBIDDEN, &error.to_string()),
        E::Internal(cause) => failed(&format!("{cause:#}")),
    }
}

/// 500 with an id under which the log has the cause.
fn failed(cause: &str) -> Response {
    let id = uuid::Uuid::new_v4().to_string();
    tracing::error!(error_id = id, "internal error {id}: {cause}");
    let body = json!({"detail": "A server error occurred.", "error_id": id});
    answer(StatusCode::INTERNAL_SERVER_ERROR, &body)
}

/// The answer for a handler that panicked.
pub(super) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    failed(text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("a handler panicked"))
}

fn detailed(status: StatusCode, detail: &str) -> Response {
    answer(status, &json!({ "detail": detail }))
}

/// A JSON answer.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    (status, axum::Json(body)).into_response()
}

/// Adds a header.
pub(super) fn with(mut response: Response, name: header::HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
