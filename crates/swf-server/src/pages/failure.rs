//! Pages for what went wrong: what it was, what is accepted, what still works.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use swf_tools::Error;

use super::body::{Anchor, Block, Body, guarded, html};
use super::catalog::{self, View};
use super::visit::{Failure, Visit};
use crate::problem::Problem;

/// Seconds after which a page that could not be made is tried again.
const RETRY: u32 = 10;

/// The answer for a failure.
pub fn answer(visit: &Visit, failure: Failure) -> Response {
    match failure {
        Failure::Tool(error) => refused(visit, &error),
        Failure::Refused(why) => unauthorized(visit, why),
    }
}

fn refused(visit: &Visit, error: &Error) -> Response {
    let problem = Problem::new(error, &visit.gate.caller);
    if visit.json {
        return guarded(problem.into_response());
    }
    let (status, detail) = (problem.status(), problem.detail());
    let mut body = Body { title: heading(status).into(), ..Body::default() };
    body.blocks.push(Block::Text { title: String::new(), lines: vec![sentence(&detail)] });
    let found = catalog::find(&visit.segments);
    let mut ways = Vec::new();
    match error {
        Error::Invalid { .. } => {
            body.blocks.extend(found.as_ref().and_then(|(page, _)| accepted(page)));
            ways.push(Anchor::new("this page without filters", "?"));
        }
        Error::NotFound { .. } => ways.extend(found.as_ref().and_then(|(page, _)| list_of(visit, page))),
        Error::Unavailable { .. } => {
            body.blocks.push(works());
            body.retry = Some(RETRY);
            ways.push(Anchor::new("what is ready", visit.link("/readyz")));
            ways.push(Anchor::new("figures", visit.link("/metrics")));
        }
        Error::Forbidden(_) => body.blocks.push(Block::Text {
            title: String::new(),
            lines: vec!["Pages show what the tools show: a caller needs the same rights for both.".into()],
        }),
        Error::Conflict { .. } | Error::Internal(_) => {}
    }
    ways.push(Anchor::new("home", visit.link("/")));
    ways.push(Anchor::new("all tools", visit.link("/tools/")));
    body.also = ways;
    let mut response = html(visit, status, &body);
    copy_headers(&problem.into_response(), &mut response);
    response
}

fn copy_headers(from: &Response, to: &mut Response) {
    for name in [header::WWW_AUTHENTICATE, header::RETRY_AFTER] {
        if let Some(value) = from.headers().get(&name) {
            to.headers_mut().insert(name, value.clone());
        }
    }
}

fn unauthorized(visit: &Visit, why: &str) -> Response {
    let status = StatusCode::UNAUTHORIZED;
    let mut response = if visit.json {
        guarded((status, axum::Json(json!({"error": "unauthorized", "message": why}))).into_response())
    } else {
        let lines = vec![sentence(why), "Send another token, or none: most pages are open to read.".into()];
        let blocks = vec![Block::Text { title: String::new(), lines }];
        let also = vec![Anchor::new("home", visit.link("/"))];
        html(visit, status, &Body { title: heading(status).into(), blocks, also, ..Body::default() })
    };
    let challenge = HeaderValue::from_static("Bearer realm=\"swf\", error=\"invalid_token\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn heading(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "This cannot be asked",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::CONFLICT => "Not now",
        StatusCode::SERVICE_UNAVAILABLE => "Not available",
        _ => "Something broke",
    }
}

/// Error texts are made to stand within others; here they stand alone. They may begin with the name of an
/// argument, so their first letter stays.
fn sentence(text: &str) -> String {
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{stop}")
}

fn accepted(page: &catalog::Page) -> Option<Block> {
    let filters = match &page.view {
        View::List(list) => list.filters(),
        View::Answer(tools) => {
            tools.first().map(|tool| super::source::arguments_of(tool)).unwrap_or_default()
        }
        _ => return None,
    };
    let rows = filters.into_iter().map(|f| (f.name, super::cell::text(&f.help))).collect();
    Some(Block::Fields { title: "Filters of this page".into(), rows })
}

fn list_of(visit: &Visit, page: &catalog::Page) -> Option<Anchor> {
    let View::Record(record) = &page.view else { return None };
    let list = catalog::at(record.list)?;
    Some(Anchor::new(format!("list: {}", list.title), visit.link(list.path)))
}

fn works() -> Block {
    Block::Text {
        title: "What still works".into(),
        lines: vec![
            "The broker carries messages and the agents go on working; durable subscriptions keep what they send."
                .into(),
            "/healthz and /metrics answer, /tools/ and /about/ are served; whatever needs the same source is not."
                .into(),
            format!("This page asks again every {RETRY} s."),
        ],
    }
}
