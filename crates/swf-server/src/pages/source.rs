//! Rows of a list page: from its tool, or from records; filters and pages are those that these know.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use swf_tools::records::{self, Resource, query};
use swf_tools::{Error, args, registry};

use super::catalog::{List, Params, Reach, Records};
use super::cell::plain;
use super::visit::{Pairs, Visit};

/// The beginning of time, for lists that shall not be cut off anywhere.
const EVER: &str = "1970-01-01T00:00:00+00:00";
/// Rows of a page of records when the query does not say.
const PAGE: usize = 100;
/// Rows of a page of records at most.
const PAGE_MAX: usize = 1000;
/// Names of the query that choose a part of the rows and are no filters.
const PAGING: [&str; 6] = ["limit", "offset", "cursor", "before_id", "detail", "format"];

/// A part of the rows.
#[derive(Debug, Default)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Map<String, Value>>,
    /// Rows that match in all, if known.
    pub total: Option<i64>,
    /// The query of the following rows.
    pub next: Option<Pairs>,
    /// The answer they came in, as programs get it.
    pub answer: Value,
}

/// A filter that a page understands.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Name in the query.
    pub name: String,
    /// What may be given.
    pub help: String,
    /// JSON type of the value.
    pub kind: String,
    /// The list cannot be without it.
    pub required: bool,
}

/// Which of its two sources a list is read from.
#[derive(Clone, Copy)]
enum Way {
    Tool(&'static str),
    Records(Records, &'static Resource),
}

/// The arguments of a tool as filters.
pub fn arguments_of(tool: &str) -> Vec<Filter> {
    let Some(tool) = registry::find(tool) else { return Vec::new() };
    let schema = tool.input_schema();
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let filter = |(name, property): (&String, &Value)| {
        let text =
            |key: &str| property.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        Filter {
            name: name.clone(),
            help: text("description"),
            kind: text("type"),
            required: required.contains(&name.as_str()),
        }
    };
    properties.into_iter().flatten().map(filter).collect()
}

impl List {
    fn resource(&self) -> Option<(Records, &'static Resource)> {
        let from = self.records?;
        Some((from, records::find(from.path)?))
    }

    fn registered(&self) -> Option<&'static str> {
        self.tool.filter(|tool| registry::find(tool).is_some())
    }

    /// Filters of the page's form, without those that come from the path.
    pub fn filters(&self) -> Vec<Filter> {
        let mut out = match (self.registered(), self.resource()) {
            (Some(tool), _) => arguments_of(tool),
            (None, Some((_, resource))) => {
                let text = |name: &&str| Filter {
                    name: (*name).to_owned(),
                    help: String::new(),
                    kind: "string".into(),
                    required: false,
                };
                self.shown(resource).iter().map(text).collect()
            }
            (None, None) => Vec::new(),
        };
        out.retain(|f| !PAGING.contains(&f.name.as_str()) && !self.settled(&f.name));
        out
    }

    /// Of the many fields of a record those that the page has columns for, and the special filters.
    fn shown(&self, resource: &'static Resource) -> Vec<&'static str> {
        let special = resource.filters.iter().map(|f| f.name);
        let columns = self.columns.iter().flat_map(|c| c.keys.iter().copied());
        let known = query::names(resource);
        columns.filter(|k| known.contains(k)).chain(special).collect()
    }

    /// The argument belongs to the page itself.
    fn settled(&self, name: &str) -> bool {
        let fixed = |(n, _): &(&str, &str)| *n == name;
        self.from_path.iter().any(fixed) || (name == "tag_type" && self.defaults.iter().any(fixed))
    }

    fn way(&self, visit: &Visit, asked: &Pairs) -> Result<Way, Error> {
        let records = self.resource();
        let by_records = |name: &str| records.is_some_and(|(_, r)| query::names(r).contains(&name));
        let arguments: Vec<String> = self
            .registered()
            .map(|tool| arguments_of(tool).into_iter().map(|f| f.name).filter(|n| !self.settled(n)).collect())
            .unwrap_or_default();
        let aliased = |name: &str| self.aliases.iter().any(|(alias, _)| *alias == name);
        let by_tool = |name: &str| arguments.iter().any(|a| a == name) || aliased(name);
        match (self.registered(), records) {
            (Some(tool), _) if asked.iter().all(|(n, _)| by_tool(n)) => return Ok(Way::Tool(tool)),
            (_, Some((from, resource))) if asked.iter().all(|(n, _)| by_records(n)) => {
                return Ok(Way::Records(from, resource));
            }
            (None, None) => return Err(visit.without(self.tool.unwrap_or_default())),
            _ => {}
        }
        let mut known: Vec<&str> = arguments.iter().map(String::as_str).collect();
        known.extend(self.aliases.iter().map(|(alias, _)| *alias));
        if let Some((_, resource)) = records {
            known.extend(query::names(resource).into_iter().filter(|n| !by_tool(n)));
        }
        let foreign = asked.iter().find(|(n, _)| !known.contains(&n.as_str()));
        Err(match foreign {
            Some((name, _)) => {
                Error::invalid(name, format!("is not a filter of this page{}", args::choices(name, &known)))
            }
            None => {
                let names: Vec<&str> = asked.iter().map(|(n, _)| n.as_str()).collect();
                let alone: Vec<&str> = names.iter().copied().filter(|n| !by_tool(n)).collect();
                let why = format!(
                    "cannot be combined with {}",
                    names.iter().filter(|n| !alone.contains(n)).copied().collect::<Vec<_>>().join(", ")
                );
                Error::invalid(alone.join(", "), why)
            }
        })
    }

    /// The rows that a query asks for. `asked` has filters and paging, `params` the values of the path.
    pub async fn load(&self, visit: &Visit, params: &Params, asked: &Pairs) -> Result<Rows, Error> {
        match self.way(visit, asked)? {
            Way::Tool(tool) => self.by_tool(visit, tool, params, asked).await,
            Way::Records(from, resource) => by_records(visit, from, resource, asked).await,
        }
    }

    async fn by_tool(
        &self,
        visit: &Visit,
        tool: &str,
        params: &Params,
        asked: &Pairs,
    ) -> Result<Rows, Error> {
        let arguments = self.arguments(tool, params, asked)?;
        let answer = visit.call(tool, arguments).await?;
        if let Some(why) = answer.get("error").and_then(Value::as_str) {
            return Err(Error::invalid(tool, why));
        }
        let rows = answer.get(self.rows).and_then(Value::as_array);
        let rows: Vec<_> = rows.into_iter().flatten().filter_map(|r| r.as_object().cloned()).collect();
        let total = answer.get(self.total).and_then(Value::as_i64);
        Ok(Rows { total, next: self.next(&answer, asked), rows, answer })
    }

    fn arguments(&self, tool: &str, params: &Params, asked: &Pairs) -> Result<Map<String, Value>, Error> {
        let mut out = Map::new();
        for (name, value) in asked {
            let real =
                self.aliases.iter().find(|(alias, _)| alias == name).map_or(name.as_str(), |(_, real)| real);
            if out.insert(real.to_owned(), value.as_str().into()).is_some() {
                return Err(Error::invalid(name, format!("is another name of {real}; give one of them")));
            }
        }
        let known = arguments_of(tool);
        let takes = |name: &str| known.iter().any(|f| f.name == name);
        let set = |out: &Map<String, Value>, names: &[&str]| names.iter().any(|n| out.contains_key(*n));
        let wide = match self.reach {
            Reach::Tool => false,
            Reach::All => true,
            Reach::Narrowed(by) => set(&out, by),
        };
        if wide && takes("start_time") && !set(&out, &["start_time", "end_time", "cursor"]) {
            out.insert("start_time".into(), EVER.into());
        }
        for (name, value) in self.defaults.iter().filter(|(name, _)| takes(name)) {
            out.entry(*name).or_insert_with(|| (*value).into());
        }
        for (argument, name) in self.from_path {
            if let Some((_, value)) = params.iter().find(|(n, _)| n == name) {
                out.insert((*argument).to_owned(), value.as_str().into());
            }
        }
        Ok(out)
    }

    /// The query of the rows that follow: what the answer says, without what the page itself adds.
    fn next(&self, answer: &Value, asked: &Pairs) -> Option<Pairs> {
        if let Some(next) = answer.get("next").and_then(Value::as_object) {
            let own = |n: &str| {
                self.settled(n)
                    || self.defaults.iter().any(|(d, _)| *d == n && !asked.iter().any(|(a, _)| a == n))
            };
            return Some(next.iter().filter(|(n, _)| !own(n)).map(|(n, v)| (n.clone(), plain(v))).collect());
        }
        let before = answer.pointer("/pagination/next_before_id").filter(|v| !v.is_null())?;
        let kept = asked.iter().filter(|(n, _)| n != "before_id").cloned();
        Some(kept.chain([("before_id".to_owned(), plain(before))]).collect())
    }
}

/// What records say went wrong, as the tools say it.
pub fn refused(error: records::Error, what: &'static str, key: &str) -> Error {
    match error {
        records::Error::Invalid(fields) => {
            let first = fields.as_object().and_then(|f| f.iter().next());
            let (name, texts) = first.map_or(("query", &Value::Null), |(n, t)| (n.as_str(), t));
            let text = texts.get(0).map_or_else(|| plain(texts), plain);
            Error::invalid(name, text)
        }
        records::Error::NotFound(_) => Error::not_found(what, key, ""),
        records::Error::Forbidden(_) => Error::Forbidden(swf_tools::Scope::Read),
        records::Error::Conflict(why) => Error::conflict(why, ""),
        records::Error::Db(e) => e.into(),
    }
}

async fn by_records(
    visit: &Visit,
    from: Records,
    resource: &'static Resource,
    asked: &Pairs,
) -> Result<Rows, Error> {
    visit.reads()?;
    let number = |name: &str, usual: usize, low: usize, high: usize| match asked
        .iter()
        .find(|(n, _)| n == name)
    {
        None => Ok(usual),
        Some((_, text)) => text.parse::<usize>().ok().filter(|n| (low..=high).contains(n)).ok_or_else(|| {
            Error::invalid(name, format!("'{text}' is not a whole number from {low} to {high}"))
        }),
    };
    let limit = number("limit", PAGE, 1, PAGE_MAX)?;
    let offset = number("offset", 0, 0, 1_000_000_000)?;
    let filters: Pairs = asked.iter().filter(|(n, _)| n != "limit" && n != "offset").cloned().collect();
    let store = &visit.pages.store;
    let part = async |limit: usize, offset: usize| {
        let mut query = filters.clone();
        query.push(("limit".into(), limit.to_string()));
        query.push(("offset".into(), offset.to_string()));
        store.list(resource, &query).await.map_err(|e| refused(e, resource.path, ""))
    };
    let (mut rows, total) = if from.turned {
        let total = part(1, 0).await?.total.unwrap_or(0);
        let end = usize::try_from(total).unwrap_or(0).saturating_sub(offset);
        let start = end.saturating_sub(limit);
        let rows = if end > start { part(end - start, start).await?.rows } else { Vec::new() };
        (rows.into_iter().rev().collect(), total)
    } else {
        let list = part(limit, offset).await?;
        (list.rows, list.total.unwrap_or(0))
    };
    let more = i64::try_from(offset + rows.len()).is_ok_and(|seen| seen < total) && !rows.is_empty();
    let next = more.then(|| {
        let kept = asked.iter().filter(|(n, _)| n != "offset").cloned();
        kept.chain([("offset".to_owned(), (offset + rows.len()).to_string())]).collect()
    });
    let answer = serde_json::json!({"count": total, "results": rows});
    let rows = rows.iter_mut().filter_map(|r| r.as_object_mut().map(std::mem::take)).collect();
    Ok(Rows { rows, total: Some(total), next, answer })
}

/// Spans of time that can be chosen, for lists with a window: text, filters.
pub fn windows(now: DateTime<Utc>, filters: &[Filter]) -> Vec<(&'static str, &'static str, String)> {
    let has = |name: &str| filters.iter().any(|f| f.name == name);
    let days = [("1 day", 1), ("3 days", 3), ("7 days", 7), ("14 days", 14), ("30 days", 30)];
    if has("days") {
        return days.iter().map(|(text, n)| (*text, "days", n.to_string())).collect();
    }
    if !has("start_time") {
        return Vec::new();
    }
    let hours = [("1 hour", 1), ("24 hours", 24), ("7 days", 168), ("30 days", 720)];
    let from = |h: i64| (now - chrono::TimeDelta::hours(h)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let spans = hours.iter().map(|(text, h)| (*text, "start_time", from(*h)));
    spans.chain([("all", "start_time", "1970-01-01T00:00:00Z".to_owned())]).collect()
}
