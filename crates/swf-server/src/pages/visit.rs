//! One request for a page: who asks, for what, in which form, and where links start from.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use swf_tools::links::encode;
use swf_tools::{Caller, Error, Gate, Scope, Surface};

use super::Pages;
use crate::auth::{AuthError, Door};

/// Names and values of a query.
pub type Pairs = Vec<(String, String)>;

/// Seconds between refreshes that may be asked for.
const REFRESH: std::ops::RangeInclusive<u32> = 5..=3600;

/// A request that is being answered.
pub struct Visit {
    /// What all visits share.
    pub pages: Arc<Pages>,
    /// The caller in front of the tools.
    pub gate: Gate,
    /// The path below the prefix, decoded, cut at its slashes.
    pub segments: Vec<String>,
    /// What stands before a path without leading slash to make it a link: `../../`.
    pub root: String,
    /// The query without what concerns only the form of the answer and without empty values.
    pub query: Pairs,
    /// Seconds after which a browser shall ask again.
    pub refresh: Option<u32>,
    /// JSON was asked for.
    pub json: bool,
}

/// Why there is no page.
#[derive(Debug)]
pub enum Failure {
    /// A tool or record refused or failed.
    Tool(Error),
    /// The credentials are wrong.
    Refused(&'static str),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Tool(e)
    }
}

impl Visit {
    /// Reads a request; the visit comes back in any case, so that a failure has its frame.
    pub async fn new(pages: Arc<Pages>, request: &Parts) -> (Visit, Result<(), Failure>) {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0);
        let (caller, known) = match pages.app.auth.caller(&request.headers, peer, Door::People).await {
            Ok(caller) => (caller, Ok(())),
            Err(AuthError::Refused(why)) => (Caller::anonymous(None), Err(Failure::Refused(why))),
            Err(AuthError::Unavailable(e)) => (Caller::anonymous(None), Err(e.into())),
        };
        let raw = request.uri.path();
        let gate = Gate { service: pages.app.service.clone(), caller, surface: Surface::Page };
        let mut visit = Visit {
            pages,
            gate,
            segments: segments(raw),
            root: root(raw),
            query: Vec::new(),
            refresh: None,
            json: wants_json(&request.headers),
        };
        let read = visit.read(request.uri.query().unwrap_or_default());
        (visit, known.and(read.map_err(Failure::from)))
    }

    fn read(&mut self, query: &str) -> Result<(), Error> {
        let mut first_wrong = Ok(());
        for (name, value) in pairs(query) {
            let done = self.take(&name, value);
            if first_wrong.is_ok() {
                first_wrong = done;
            }
        }
        first_wrong
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), Error> {
        let value = value.trim();
        match (name, value) {
            (_, "") => {}
            ("format", "json") => self.json = true,
            ("format", "html") => self.json = false,
            ("format", other) => {
                return Err(Error::invalid(
                    "format",
                    format!("'{other}' is not a format; accepted: html, json"),
                ));
            }
            ("refresh", seconds) => match seconds.parse() {
                Ok(n) if REFRESH.contains(&n) => self.refresh = Some(n),
                _ => {
                    let (low, high) = (REFRESH.start(), REFRESH.end());
                    let why = format!("'{seconds}' is not a number of seconds between {low} and {high}");
                    return Err(Error::invalid("refresh", why));
                }
            },
            _ if self.asked(name).is_some() => {
                return Err(Error::invalid(name, "is given more than once; give one value"));
            }
            _ => self.query.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// A value of the query.
    pub fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A link to a page of ours; `path` starts with a slash.
    pub fn link(&self, path: &str) -> String {
        link(&self.root, path)
    }

    /// A link to this page with another query; the refresh stays.
    pub fn here<'a>(&self, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let kept = self.refresh.map(|n| ("refresh".to_owned(), n.to_string()));
        let query = query.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
        format!("?{}", joined(query.chain(kept)))
    }

    /// The answer of a tool; tools that this server does not have are said to be missing.
    pub async fn call(&self, tool: &str, arguments: Map<String, Value>) -> Result<Value, Error> {
        if swf_tools::registry::find(tool).is_none() {
            return Err(self.without(tool));
        }
        self.gate.call(tool, Value::Object(arguments)).await
    }

    /// The error for a page whose tool is not registered.
    pub fn without(&self, tool: &str) -> Error {
        let hint = format!(
            "it is made from the tool {tool}, which this server does not have; /tools/ lists those it has"
        );
        Error::not_found("page", format!("/{}/", self.segments.join("/")), hint)
    }

    /// Refuses callers who may not read.
    pub fn reads(&self) -> Result<(), Error> {
        if self.gate.caller.may(Scope::Read) { Ok(()) } else { Err(Error::Forbidden(Scope::Read)) }
    }
}

/// A path below the root as a link.
pub fn link(root: &str, path: &str) -> String {
    format!("{root}{}", path.strip_prefix('/').unwrap_or(path))
}

/// A query from its parts, encoded.
pub fn joined(query: impl IntoIterator<Item = (String, String)>) -> String {
    let parts: Vec<String> =
        query.into_iter().map(|(n, v)| format!("{}={}", encode(&n), encode(&v))).collect();
    parts.join("&")
}

/// Relative, so that it holds under every prefix and behind every proxy that adds or strips one.
fn root(raw: &str) -> String {
    match raw.matches('/').count() {
        0 | 1 => "./".to_owned(),
        n => "../".repeat(n - 1),
    }
}

/// The parts of a path: an encoded slash belongs to a part.
fn segments(raw: &str) -> Vec<String> {
    let inner = raw.strip_prefix('/').unwrap_or(raw);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        return Vec::new();
    }
    inner.split('/').map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect()
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query.split('&').filter(|part| !part.is_empty()).map(move |part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(name), decode(value))
    })
}

/// Browsers name HTML, programs that want JSON do not.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let named =
        |kind: &str| accept.split(',').any(|part| part.split(';').next().unwrap_or_default().trim() == kind);
    !named("text/html") && (named("application/json") || named("application/problem+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_slash_stays_in_its_part_and_links_climb_to_the_root() {
        assert_eq!(segments("/workflow/agents/a%2Fb%20c.%C3%A9/"), ["workflow", "agents", "a/b c.é"]);
        assert_eq!(segments("/"), Vec::<String>::new());
        let cases = [("/", "./"), ("/runs", "./"), ("/runs/", "../"), ("/runs/7/", "../../")];
        for (path, climbs) in cases {
            assert_eq!(root(path), climbs, "{path}");
        }
    }

    #[test]
    fn only_those_who_do_not_name_html_get_json() {
        let asks = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, header::HeaderValue::from_static(accept));
            wants_json(&headers)
        };
        assert!(asks("application/json"));
        assert!(asks("application/json;q=1, text/plain"));
        assert!(!asks("text/html,application/xhtml+xml,application/json;q=0.9"));
        assert!(!asks("*/*"));
    }
}
