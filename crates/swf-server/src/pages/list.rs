//! List pages and pages of one answer: filters, time windows, rows, the way to the next rows.

use serde_json::{Map, Value};
use swf_tools::Error;

use super::Answered;
use super::body::{Anchor, Block, Body, Form, Input, Notice, Pager};
use super::catalog::{List, Page, Params};
use super::cell::{Look, label, moment, plain, span};
use super::source::{self, Filter, Rows};
use super::table::{blocks, links, table};
use super::visit::{Pairs, Visit};

/// Names of the query that say where a list goes on, not what it shows.
const PLACES: [&str; 3] = ["cursor", "offset", "before_id"];

/// A list page.
pub async fn show(visit: &Visit, page: &Page, list: &List, params: &Params) -> Result<Answered, Error> {
    let rows = list.load(visit, params, &visit.query).await?;
    if visit.json {
        return Ok(Answered::Json(rows.answer));
    }
    let look = visit.look();
    let filters = list.filters();
    let mut body = frame(visit, page, params, &rows.answer);
    body.windows = windows(visit, &look, &filters);
    body.form = Some(form(visit, &filters, list.choices));
    body.pager = Some(pager(visit, &rows));
    for part in list.summary {
        if let Some(summary) = rows.answer.get(*part).filter(|v| v.as_object().is_some_and(|m| !m.is_empty()))
        {
            body.blocks.extend(blocks(&look, &label(part), summary));
        }
    }
    let (columns, cells) = table(&look, list.columns, &rows.rows);
    let empty = if body.windows.is_empty() {
        "Nothing matches.".to_owned()
    } else {
        "Nothing matches in this time window; choose a longer one above.".to_owned()
    };
    body.blocks.push(Block::Table { title: String::new(), more: None, columns, rows: cells, empty });
    Ok(Answered::Page(body.into()))
}

/// A page that is the answer of one tool. Links come with arguments of several; without one that knows them
/// all, the first says what is wrong.
pub async fn answer(visit: &Visit, page: &Page, tools: &[&'static str]) -> Result<Answered, Error> {
    let knows = |tool: &&&str| {
        let known = source::arguments_of(tool);
        visit.query.iter().all(|(name, _)| known.iter().any(|f| f.name == *name))
    };
    let Some(tool) = tools.iter().find(knows).or(tools.first()).copied() else {
        return Err(visit.without(""));
    };
    let answer = visit.call(tool, arguments(&visit.query)).await?;
    if visit.json {
        return Ok(Answered::Json(answer));
    }
    let look = visit.look();
    let filters = source::arguments_of(tool);
    let mut body = frame(visit, page, &Vec::new(), &answer);
    body.windows = windows(visit, &look, &filters);
    body.form = Some(form(visit, &filters, &[]));
    body.blocks = blocks(&look, "", &answer);
    Ok(Answered::Page(body.into()))
}

/// A query as the arguments of a tool.
pub fn arguments(query: &Pairs) -> Map<String, Value> {
    query.iter().map(|(n, v)| (n.clone(), v.as_str().into())).collect()
}

/// What every page has that comes from an answer: title, warnings, links, and when it was true.
pub fn frame(visit: &Visit, page: &Page, params: &Params, answer: &Value) -> Body {
    let look = visit.look();
    Body {
        title: page.titled(params),
        lead: page.lead.to_owned(),
        notices: notices(&look, answer),
        also: others(visit, answer),
        as_of: as_of(&look, answer),
        live: true,
        ..Body::default()
    }
}

/// The links of an answer, without those to the page itself.
fn others(visit: &Visit, answer: &Value) -> Vec<Anchor> {
    let parts: Vec<String> = visit.segments.iter().map(|s| swf_tools::links::encode(s)).collect();
    let own = visit.link(&format!("/{}/", parts.join("/")));
    let mut all = links(&visit.root, &visit.gate.service.settings.base_url, answer);
    all.retain(|a| a.href.split('?').next() != Some(own.as_str()));
    all
}

/// What an answer says about its own limits.
pub fn notices(look: &Look, answer: &Value) -> Vec<Notice> {
    let mut out = Vec::new();
    let mut say = |class, text: String| out.push(Notice { class, text });
    if answer.pointer("/as_of/sources/broker_connected") == Some(&Value::Bool(false)) {
        say("warn", "The broker is not connected: what agents send now arrives here later.".into());
    }
    let dark = answer.get("dark").and_then(Value::as_array).into_iter().flatten();
    for source in dark.filter_map(Value::as_str) {
        say("warn", format!("Not looked at: {source}"));
    }
    if answer.get("synthetic") == Some(&Value::Bool(true)) {
        say("info", "This production is made up: it is sample data.".into());
    }
    if let Some(rows) = answer.pointer("/truncated/rows").and_then(Value::as_i64) {
        say("info", format!("{rows} rows were left out to keep the answer short; “next” goes on with them."));
    }
    if let Some(time) = answer.pointer("/as_of/time").and_then(Value::as_str).and_then(moment)
        && (look.now - time).num_seconds() > 60
    {
        say("info", format!("These facts are {} old.", span((look.now - time).num_seconds().unsigned_abs())));
    }
    out
}

fn as_of(look: &Look, answer: &Value) -> String {
    let time = |path: &str| answer.pointer(path).and_then(Value::as_str).and_then(moment);
    let mut parts = vec![format!("as of {}", look.clock(time("/as_of/time").unwrap_or(look.now)))];
    match (time("/as_of/start_time"), time("/as_of/end_time")) {
        (Some(start), _) if start.timestamp() == 0 => parts.push("all times".into()),
        (Some(start), None) => parts.push(format!("since {}", look.clock(start))),
        (Some(start), Some(end)) => parts.push(format!("from {} to {}", look.clock(start), look.clock(end))),
        (None, Some(end)) => parts.push(format!("until {}", look.clock(end))),
        (None, None) => {}
    }
    let age = answer.pointer("/as_of/sources/newest_message_age_seconds").and_then(Value::as_u64);
    parts.extend(age.map(|seconds| format!("newest message {} ago", span(seconds))));
    parts.join(" · ")
}

/// The filters as a form; what is set stays, the place in the list does not.
pub fn form(visit: &Visit, filters: &[Filter], choices: &[(&str, &[&str])]) -> Form {
    let limit = visit.asked("limit").map(|v| ("limit".to_owned(), v.to_owned()));
    let refresh = visit.refresh.map(|s| ("refresh".to_owned(), s.to_string()));
    let inputs: Vec<Input> = filters.iter().map(|f| input(visit, f, choices)).collect();
    let set = inputs.iter().any(|i| !i.value.is_empty());
    Form { inputs, button: "Filter", hidden: limit.into_iter().chain(refresh).collect(), set }
}

/// One filter or argument as an input.
pub fn input(visit: &Visit, filter: &Filter, choices: &[(&str, &[&str])]) -> Input {
    let own = choices.iter().find(|(name, _)| *name == filter.name).map(|(_, values)| *values);
    let (kind, choices) = match filter.kind.as_str() {
        "boolean" => ("select", vec!["true".to_owned(), "false".to_owned()]),
        "integer" => ("number", Vec::new()),
        _ => ("text", own.unwrap_or_default().iter().map(|v| (*v).to_owned()).collect()),
    };
    Input {
        name: filter.name.clone(),
        label: label(&filter.name),
        help: filter.help.clone(),
        value: visit.asked(&filter.name).unwrap_or_default().to_owned(),
        kind,
        choices,
        required: filter.required,
    }
}

fn windows(visit: &Visit, look: &Look, filters: &[Filter]) -> Vec<Anchor> {
    let times = ["days", "start_time", "end_time"];
    let kept: Vec<(&str, &str)> = visit
        .query
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .filter(|(n, _)| !times.contains(n) && !PLACES.contains(n))
        .collect();
    let anchor = |(text, name, value): (&str, &str, String)| {
        let on = match visit.asked(name) {
            Some(given) => given == value || near(given, &value),
            None => false,
        };
        let href = visit.here(kept.iter().copied().chain([(name, value.as_str())]));
        Anchor { text: text.to_owned(), href, on }
    };
    source::windows(look.now, filters).into_iter().map(anchor).collect()
}

/// The same choice, some refreshes later.
fn near(given: &str, value: &str) -> bool {
    let apart = moment(given).zip(moment(value)).map(|(a, b)| (a - b).num_seconds().abs());
    apart.is_some_and(|s| s < 900)
}

fn pager(visit: &Visit, rows: &Rows) -> Pager {
    let count = rows.rows.len();
    let text = match rows.total {
        Some(total) => format!("{count} of {total} rows"),
        None => format!("{count} rows"),
    };
    let pairs = |query: &Pairs| visit.here(query.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let later = visit.query.iter().any(|(n, _)| PLACES.contains(&n.as_str()));
    let start: Pairs = visit.query.iter().filter(|(n, _)| !PLACES.contains(&n.as_str())).cloned().collect();
    Pager { text, first: later.then(|| pairs(&start)), next: rows.next.as_ref().map(pairs) }
}

/// The first rows of a list page, as a part of another page.
pub async fn part(
    visit: &Visit,
    title: &str,
    page: &Page,
    list: &List,
    query: Pairs,
) -> Result<Block, Error> {
    const ROWS: &str = "10";
    let asked: Pairs = query.iter().cloned().chain([("limit".to_owned(), ROWS.to_owned())]).collect();
    let rows = list.load(visit, &Vec::new(), &asked).await?;
    let (columns, cells) = table(&visit.look(), list.columns, &rows.rows);
    let href = format!("{}?{}", visit.link(page.path), super::visit::joined(query));
    let all = rows.total.map_or("all".to_owned(), |n| format!("all {n}"));
    Ok(Block::Table {
        title: title.to_owned(),
        more: Some(Anchor::new(all, href)),
        columns,
        rows: cells,
        empty: "None.".into(),
    })
}

/// A field of an answer as text, wherever the answer keeps its record.
pub fn field_of(answer: &Value, name: &str) -> Option<String> {
    answer.get(name).map(plain).filter(|v| !v.is_empty())
}
