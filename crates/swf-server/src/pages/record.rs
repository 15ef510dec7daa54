//! Pages of one thing, and of what belongs to it.

use futures_util::future::join_all;
use serde_json::{Map, Value};
use swf_tools::records;
use swf_tools::{Error, registry};
use uuid::Uuid;

use super::body::{Anchor, Block};
use super::catalog::{self, From, Key, Of, Page, Params, Record, Section, View};
use super::source::{arguments_of, refused};
use super::table::blocks;
use super::visit::Visit;
use super::{Answered, list};

/// The page of one thing.
pub async fn show(visit: &Visit, page: &Page, record: &Record, params: &Params) -> Result<Answered, Error> {
    let answer = fetch(visit, page, record, params).await?;
    let answer = match record.pick {
        "" => answer,
        part => answer.get(part).cloned().unwrap_or(answer),
    };
    if visit.json {
        return Ok(Answered::Json(answer));
    }
    let look = visit.look();
    let mut body = list::frame(visit, page, params, &answer);
    if let Some(up) = catalog::at(record.list) {
        body.crumbs.push(Anchor::new(up.title, visit.link(up.path)));
    }
    body.blocks = blocks(&look, "", &answer);
    let sections = record.sections.iter().filter_map(|s| section(visit, s, params, &answer));
    for part in join_all(sections).await {
        body.blocks.extend(part);
    }
    Ok(Answered::Page(body.into()))
}

/// A path that names nothing is not found, whether the name is unknown or cannot be one.
async fn fetch(visit: &Visit, page: &Page, record: &Record, params: &Params) -> Result<Value, Error> {
    let key = params.iter().map(|(_, v)| v.as_str()).collect::<Vec<_>>().join(" ");
    if let Some(name) = visit.query.first().map(|(n, _)| n) {
        return Err(Error::invalid(
            name,
            "is not understood here: this page shows one thing and has no filters",
        ));
    }
    let nothing = |hint: String| Error::not_found("page", &key, hint);
    match &record.from {
        From::Tool(tool, by) => {
            let answer =
                visit.call(tool, arguments(by, params)).await.map_err(|e| absent(e, by, params, &key))?;
            match answer.get("error").and_then(Value::as_str) {
                Some(why) if answer.as_object().is_some_and(|a| a.len() <= 2) => Err(nothing(why.to_owned())),
                _ => Ok(answer),
            }
        }
        From::Row(tool, rows, by) => {
            let answer =
                visit.call(tool, arguments(by, params)).await.map_err(|e| absent(e, by, params, &key))?;
            let found = answer.get(*rows).and_then(|r| r.get(0)).cloned();
            found.ok_or_else(|| nothing(format!("{} knows no such thing", page.path)))
        }
        From::Record(path) => {
            visit.reads()?;
            let resource = resource(path)?;
            let row = visit.pages.store.get(resource, &key).await;
            row.map(Value::Object).map_err(|e| refused(e, resource.verbose, &key))
        }
        From::Found(path, by) => {
            visit.reads()?;
            let resource = resource(path)?;
            let value = |name: &str| params.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
            let query: Vec<_> = by
                .iter()
                .filter_map(|(filter, name)| Some(((*filter).to_owned(), value(name)?)))
                .chain([("limit".to_owned(), "1".to_owned())])
                .collect();
            let found = visit.pages.store.list(resource, &query).await;
            let rows = found.map_err(|e| refused(e, resource.verbose, &key))?.rows;
            rows.into_iter().next().ok_or_else(|| Error::not_found(resource.verbose, &key, ""))
        }
    }
}

fn resource(path: &str) -> Result<&'static records::Resource, Error> {
    records::find(path).ok_or_else(|| Error::not_found("record type", path, ""))
}

fn absent(error: Error, by: &[(&str, Key)], params: &Params, key: &str) -> Error {
    match error {
        Error::Invalid { field, why } if !params.is_empty() && by.iter().any(|(n, _)| *n == field) => {
            Error::not_found("page", key, format!("{field}: {why}"))
        }
        other => other,
    }
}

fn arguments(by: &[(&str, Key)], params: &Params) -> Map<String, Value> {
    let param = |name: &str| params.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let is_uuid = |text: &String| Uuid::parse_str(text).is_ok();
    let value = |key: &Key| match key {
        Key::Path(name) => param(name),
        Key::Joined(a, b) => Some(format!("{}{}", param(a)?, param(b)?)),
        Key::Uuid(name) => param(name).filter(is_uuid),
        Key::NotUuid(name) => param(name).filter(|v| !is_uuid(v)),
        Key::Fixed(value) => Some((*value).to_owned()),
    };
    by.iter().filter_map(|(name, key)| Some(((*name).to_owned(), value(key)?.into()))).collect()
}

/// One part, or `None` when this server cannot make it. A part that fails says so in its place.
fn section<'a>(
    visit: &'a Visit,
    section: &'a Section,
    params: &Params,
    answer: &Value,
) -> Option<impl Future<Output = Vec<Block>> + use<'a>> {
    let by: Option<Vec<(String, String)>> = section
        .by
        .iter()
        .map(|(filter, name)| {
            // The record has the name as it is stored; the path may have another form of it.
            let stored = list::field_of(answer, name);
            let given = params.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            Some(((*filter).to_owned(), stored.or(given)?))
        })
        .collect();
    let by = by?;
    let possible = match section.of {
        Of::Page(path) => catalog::at(path).is_some_and(Page::exists),
        Of::Tool(tool) => registry::find(tool).is_some(),
    };
    possible.then_some(async move {
        let made = match section.of {
            Of::Page(path) => page_part(visit, section.title, path, by).await,
            Of::Tool(tool) => tool_part(visit, section.title, tool, by).await,
        };
        made.unwrap_or_else(|e| {
            let lines = vec![format!("This part could not be made: {e}.")];
            vec![Block::Text { title: section.title.to_owned(), lines }]
        })
    })
}

async fn page_part(
    visit: &Visit,
    title: &str,
    path: &str,
    by: Vec<(String, String)>,
) -> Result<Vec<Block>, Error> {
    let Some((page, View::List(list))) = catalog::at(path).map(|p| (p, &p.view)) else {
        return Ok(Vec::new());
    };
    Ok(vec![list::part(visit, title, page, list, by).await?])
}

async fn tool_part(
    visit: &Visit,
    title: &str,
    tool: &str,
    by: Vec<(String, String)>,
) -> Result<Vec<Block>, Error> {
    let known = arguments_of(tool);
    let arguments = by.into_iter().filter(|(n, _)| known.iter().any(|f| f.name == *n));
    let answer = visit.call(tool, arguments.map(|(n, v)| (n, v.into())).collect()).await?;
    Ok(blocks(&visit.look(), title, &answer))
}
