//! What a page consists of, and how it becomes HTML.
//!
//! *Invariant:* templates escape every value; no value is marked as safe anywhere.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::cell::Cell;
use super::visit::Visit;
use super::{assets, nav};

/// A link with its text; `on` marks the one that is in force.
#[derive(Debug, Clone, Serialize)]
pub struct Anchor {
    /// Text.
    pub text: String,
    /// Address, relative.
    pub href: String,
    /// This one is chosen.
    pub on: bool,
}

impl Anchor {
    /// A link.
    pub fn new(text: impl Into<String>, href: impl Into<String>) -> Anchor {
        Anchor { text: text.into(), href: href.into(), on: false }
    }
}

/// Something the reader must know first.
#[derive(Debug, Serialize)]
pub struct Notice {
    /// `info`, `warn` or `bad`.
    pub class: &'static str,
    /// Text.
    pub text: String,
}

/// One input of a form.
#[derive(Debug, Serialize)]
pub struct Input {
    /// Name in the query.
    pub name: String,
    /// Label.
    pub label: String,
    /// What may be given.
    pub help: String,
    /// What is given.
    pub value: String,
    /// `text`, `number` or `select`.
    pub kind: &'static str,
    /// Values to choose from; suggestions for a text.
    pub choices: Vec<String>,
    /// Must be given.
    pub required: bool,
}

/// A form that asks this page again.
#[derive(Debug, Serialize)]
pub struct Form {
    /// Inputs.
    pub inputs: Vec<Input>,
    /// Text of its button.
    pub button: &'static str,
    /// Names and values that are sent along.
    pub hidden: Vec<(String, String)>,
    /// Some input is set.
    pub set: bool,
}

/// A card of a hub.
#[derive(Debug, Serialize)]
pub struct Card {
    /// Title.
    pub title: String,
    /// Address.
    pub href: String,
    /// What one finds there.
    pub text: String,
    /// How many, if that is known.
    pub count: Option<String>,
}

/// A part of a page.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Block {
    /// Rows with the same columns.
    Table {
        /// Title; may be empty.
        title: String,
        /// Where all of it is.
        more: Option<Anchor>,
        /// Column titles.
        columns: Vec<String>,
        /// Cells.
        rows: Vec<Vec<Cell>>,
        /// What to say when there are no rows.
        empty: String,
    },
    /// Names and values.
    Fields {
        /// Title; may be empty.
        title: String,
        /// Names and values.
        rows: Vec<(String, Cell)>,
    },
    /// Links to pages.
    Cards {
        /// Title.
        title: String,
        /// The cards.
        cards: Vec<Card>,
    },
    /// Running text.
    Text {
        /// Title; may be empty.
        title: String,
        /// Paragraphs.
        lines: Vec<String>,
    },
    /// Something to copy.
    Code {
        /// Title.
        title: String,
        /// The text.
        text: String,
    },
}

/// Where a list goes on.
#[derive(Debug, Serialize)]
pub struct Pager {
    /// `100 of 2345 rows`.
    pub text: String,
    /// The first page, when this is another.
    pub first: Option<String>,
    /// The following page.
    pub next: Option<String>,
}

/// A page.
#[derive(Debug, Default, Serialize)]
pub struct Body {
    /// Title.
    pub title: String,
    /// What one sees here.
    pub lead: String,
    /// Where this page hangs.
    pub crumbs: Vec<Anchor>,
    /// What the reader must know first.
    pub notices: Vec<Notice>,
    /// Filters.
    pub form: Option<Form>,
    /// Time windows to choose from.
    pub windows: Vec<Anchor>,
    /// Parts.
    pub blocks: Vec<Block>,
    /// Where a list goes on.
    pub pager: Option<Pager>,
    /// When and over what it was true.
    pub as_of: String,
    /// Other addresses of the same facts.
    pub also: Vec<Anchor>,
    /// The page is worth asking again.
    pub live: bool,
    /// Ask again after so many seconds, whether or not the reader asked for it.
    pub retry: Option<u32>,
}

#[derive(Serialize)]
struct Frame<'a> {
    body: &'a Body,
    root: &'a str,
    nav: nav::Nav,
    refresh: Option<u32>,
    refreshes: Vec<Anchor>,
    json: String,
    caller: &'a str,
    version: &'static str,
    style: String,
    script: String,
}

/// The templates.
pub fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if !value.is_safe() => escape(out, text),
        _ => minijinja::escape_formatter(out, state, value),
    });
    env.add_template("page.html", include_str!("templates/page.html"))?;
    env.add_template("parts.html", include_str!("templates/parts.html"))?;
    Ok(env)
}

/// All that HTML needs, in texts and in quoted attributes; slashes stay, so that addresses can be read.
fn escape(out: &mut minijinja::Output<'_>, text: &str) -> Result<(), minijinja::Error> {
    for part in text.split_inclusive(['&', '<', '>', '"', '\'']) {
        let Some(last) = part.chars().next_back() else { continue };
        let entity = match last {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#x27;",
            _ => {
                out.write_str(part)?;
                continue;
            }
        };
        out.write_str(part.get(..part.len() - 1).unwrap_or_default())?;
        out.write_str(entity)?;
    }
    Ok(())
}

/// A page as HTML.
pub fn html(visit: &Visit, status: StatusCode, body: &Body) -> Response {
    let asked: Vec<(&str, &str)> = visit.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let choice = |seconds: Option<u32>| {
        let text = seconds.map_or("off".to_owned(), |s| format!("{s} s"));
        let query = asked.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let query = query.chain(seconds.map(|s| ("refresh".to_owned(), s.to_string())));
        Anchor { text, href: format!("?{}", super::visit::joined(query)), on: visit.refresh == seconds }
    };
    let frame = Frame {
        body,
        root: &visit.root,
        nav: nav::of(visit),
        refresh: body.retry.or(visit.refresh),
        refreshes: [None, Some(10), Some(60)].into_iter().map(choice).collect(),
        json: visit.here(asked.iter().copied().chain([("format", "json")])),
        caller: visit.gate.caller.name(),
        version: env!("CARGO_PKG_VERSION"),
        style: visit.link(&assets::address("style.css")),
        script: visit.link(&assets::address("page.js")),
    };
    let rendered = visit
        .pages
        .templates
        .get_template("page.html")
        .and_then(|template| template.render(minijinja::Value::from(Serde(&frame))));
    match rendered {
        Ok(text) => {
            guarded((status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
        }
        Err(e) => {
            let id = uuid::Uuid::new_v4().simple().to_string();
            tracing::error!(error.id = %id, "page {} could not be written: {e:#}", body.title);
            let text = format!("internal error {id}\n");
            guarded((StatusCode::INTERNAL_SERVER_ERROR, text).into_response())
        }
    }
}

/// Nothing of a page comes from elsewhere, runs from within it, or is shown inside another site.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Adds the headers that every answer of the pages has.
pub fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::VARY, "Accept"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
