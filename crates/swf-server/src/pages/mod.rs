//! Web pages: each is the answer of a tool or a list of records, as a table or as names and values, with the
//! same facts as JSON for programs.
//!
//! *Invariant:* no page asks the database; what a caller may see is decided by the [`Gate`](swf_tools::Gate).

mod assets;
mod body;
mod catalog;
mod cell;
mod failure;
mod hub;
mod list;
mod nav;
mod own;
mod production;
mod record;
mod source;
mod table;
mod testbed;
mod tools;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{OriginalUri, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use swf_tools::Error;
use swf_tools::records::Store;

use crate::app::App;
use body::Body;
use catalog::{Own, Page, Params, View};
use cell::Look;
use visit::{Failure, Visit};

/// What all visits share.
pub struct Pages {
    app: Arc<App>,
    store: Store,
    templates: minijinja::Environment<'static>,
}

/// A page that was made, or the same facts for programs.
enum Answered {
    Page(Box<Body>),
    Json(Value),
    Moved(&'static str),
}

/// All pages, at the root of the paths that the router is mounted at.
pub fn router(app: Arc<App>) -> Router {
    Router::new().route("/", get(visit)).route("/{*path}", get(visit)).with_state(shared(app))
}

/// The way to pages that are mounted below `prefix`: `/` leads there, and `<prefix>/` is their first page.
pub fn entrance(app: Arc<App>, prefix: &str) -> Router {
    let to = format!("{prefix}/");
    let moved = get(async move || moved(&to));
    let first = get(async |State(pages): State<Arc<Pages>>, request: Request| {
        let mut parts = request.into_parts().0;
        let query = parts.uri.query().map(|q| format!("/?{q}"));
        if let Ok(uri) = query.as_deref().unwrap_or("/").parse() {
            parts.uri = uri;
        }
        answer(pages, parts).await
    });
    let router = Router::new().route(&format!("{prefix}/"), first).with_state(shared(app));
    router.route("/", moved)
}

fn shared(app: Arc<App>) -> Arc<Pages> {
    let service = &app.service;
    let store = Store::new(service.db.clone(), service.clock.clone(), service.settings.time_zone);
    // The templates are part of the program; a test renders each page.
    let templates = body::environment().unwrap_or_else(|e| {
        tracing::error!("the page templates are broken, no page can be shown: {e:#}");
        minijinja::Environment::new()
    });
    Arc::new(Pages { app, store, templates })
}

async fn visit(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    // Without its slash the prefix alone would make every relative link lead beside it.
    let original = request.extensions().get::<OriginalUri>().map(|o| o.0.path().to_owned());
    if request.uri().path() == "/"
        && let Some(path) = original.filter(|p| !p.ends_with('/'))
    {
        return moved(&format!("{path}/"));
    }
    answer(pages, request.into_parts().0).await
}

async fn answer(pages: Arc<Pages>, request: Parts) -> Response {
    let (visit, read) = Visit::new(pages, &request).await;
    let made = match (read, visit.segments.as_slice()) {
        (_, [folder, name]) if folder == "static" => match assets::file(name) {
            Some(response) => return response,
            None => Err(Error::not_found("file", name, "").into()),
        },
        (Err(failure), _) => Err(failure),
        (Ok(()), segments) => match catalog::find(segments) {
            Some((page, params)) => made(&visit, page, &params).await.map_err(Failure::from),
            None => {
                let path = format!("/{}/", segments.join("/"));
                Err(Error::not_found("page", path, "the links above lead to all pages").into())
            }
        },
    };
    match made {
        Ok(Answered::Page(body)) => body::html(&visit, StatusCode::OK, &body),
        Ok(Answered::Json(value)) => body::guarded((StatusCode::OK, axum::Json(value)).into_response()),
        Ok(Answered::Moved(path)) => moved(&visit.link(path)),
        Err(failure) => failure::answer(&visit, failure),
    }
}

async fn made(visit: &Visit, page: &Page, params: &Params) -> Result<Answered, Error> {
    match &page.view {
        View::List(list) => list::show(visit, page, list, params).await,
        View::Record(record) => record::show(visit, page, record, params).await,
        View::Answer(tools) => list::answer(visit, page, tools).await,
        View::Hub(groups) => hub::show(visit, page, groups).await,
        View::Own(own) => match own {
            Own::Home => hub::home(visit, page).await,
            Own::About => Ok(own::about(visit, page)),
            Own::LogSummary => own::log_summary(visit, page).await,
            Own::Tools => Ok(tools::index(visit, page)),
            Own::Tool => tools::one(visit, page, params).await,
            Own::Pcs => own::pcs(visit, page).await,
            Own::Moved(path) => Ok(Answered::Moved(path)),
        },
    }
}

fn moved(to: &str) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    body::guarded(response)
}

impl Visit {
    fn look(&self) -> Look {
        let service = &self.pages.app.service;
        Look { root: self.root.clone(), now: service.clock.now(), zone: service.settings.time_zone }
    }
}
