//! What all list tools share: time windows, keyset pages, the byte ceiling, and the frame of the answer.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use swf_db::{Engine, Row, Sql};

use crate::time::{iso, parse_time};
use crate::{Cx, Error};

/// A link to a web page.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq)]
pub struct Link {
    /// What the page shows.
    pub title: String,
    /// Its address.
    pub url: String,
}

/// The answer of every list tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Rows that match, also those not returned.
    pub total_count: i64,
    /// True when there are rows after the last one returned.
    pub has_more: bool,
    /// Pages for people.
    pub monitor_urls: Vec<Link>,
    /// When and over what the answer was true.
    pub as_of: AsOf,
    /// Set when rows were left out to keep the answer within its byte ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
    /// Arguments that fetch the following rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Map<String, Value>>,
}

/// When and over what an answer was true.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AsOf {
    /// The moment of the answer.
    pub time: String,
    /// Start of the time window, null when unbounded.
    pub start_time: Option<String>,
    /// End of the time window, null when open.
    pub end_time: Option<String>,
    /// Filters in force.
    pub filters: Map<String, Value>,
    /// How fresh the sources are.
    pub sources: crate::sources::Sources,
}

/// What the byte ceiling cut off.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Truncated {
    /// Rows of this page that were left out.
    pub rows: usize,
    /// The ceiling in bytes.
    pub limit_bytes: usize,
}

/// A time window; both ends inclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    /// Earliest time.
    pub start: Option<DateTime<Utc>>,
    /// Latest time.
    pub end: Option<DateTime<Utc>>,
}

/// The window that a call asks for, or the default one reaching back from now.
pub fn window(
    cx: &Cx,
    start: Option<&str>,
    end: Option<&str>,
    default: Option<TimeDelta>,
) -> Result<Window, Error> {
    let zone = cx.settings().time_zone;
    let start = start.map(|t| parse_time("start_time", t, zone)).transpose()?;
    let end = end.map(|t| parse_time("end_time", t, zone)).transpose()?;
    if let (Some(s), Some(e)) = (start, end)
        && s > e
    {
        return Err(Error::invalid("start_time", format!("{} is after end_time {}", iso(s), iso(e))));
    }
    let start = match (start, end, default) {
        (None, None, Some(back)) => Some(cx.now - back),
        // An end without a start reaches the same distance back from that end.
        (None, Some(e), Some(back)) => Some(e - back),
        (given, _, _) => given,
    };
    Ok(Window { start, end })
}

/// One expression to sort by.
pub struct Order {
    expression: Cow<'static, str>,
    descending: bool,
}

impl Order {
    /// Smallest first.
    pub fn ascending(expression: impl Into<Cow<'static, str>>) -> Order {
        Order { expression: expression.into(), descending: false }
    }

    /// Largest first.
    pub fn descending(expression: impl Into<Cow<'static, str>>) -> Order {
        Order { expression: expression.into(), descending: true }
    }

    fn direction(&self) -> &'static str {
        if self.descending { "DESC" } else { "ASC" }
    }

    /// The comparison that holds for what comes later.
    fn later(&self) -> &'static str {
        if self.descending { "<" } else { ">" }
    }
}

/// A list query: the parts that differ between list tools.
pub struct Listing<'a> {
    /// Context of the call.
    pub cx: &'a Cx,
    /// The tool's input, from which `next` is made.
    pub input: Map<String, Value>,
    /// Columns, named like the item's fields.
    pub select: String,
    /// Tables with joins.
    pub from: String,
    /// Conditions without the cursor, as `WHERE …` or empty, with their values.
    pub conditions: Sql,
    /// The sort key; rows without one come last.
    pub key: Order,
    /// A unique expression, never null, that breaks ties.
    pub tie: Order,
    /// Rows at most when the call names no `limit`.
    pub maximum: i64,
    /// The window in force.
    pub window: Window,
    /// Link to the page with the same filters.
    pub link: Link,
}

/// Serialises a tool's input back into arguments, absent ones left out.
pub fn arguments(input: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(input) {
        Ok(Value::Object(map)) => map.into_iter().filter(|(_, v)| !v.is_null()).collect(),
        _ => Map::new(),
    }
}

/// Rows at most in one answer, whatever `limit` asks for.
pub const LIMIT_MAX: i64 = 1000;

impl Listing<'_> {
    /// Runs the count and the page.
    pub async fn fetch<T: DeserializeOwned + Serialize>(self) -> Result<List<T>, Error> {
        self.fetch_with(|row: T| row).await
    }

    /// Runs the count and the page, and makes each item from its row.
    pub async fn fetch_with<R: DeserializeOwned, T: Serialize>(
        self,
        item: impl Fn(R) -> T,
    ) -> Result<List<T>, Error> {
        let limit = match self.input.get("limit").and_then(Value::as_i64) {
            None => self.maximum,
            Some(n @ 1..=LIMIT_MAX) => n,
            Some(n) => {
                return Err(Error::invalid("limit", format!("{n} is not between 1 and {LIMIT_MAX}")));
            }
        };
        let mut count = Sql::new(format!("SELECT count(*) FROM {}", self.from));
        count.push(self.conditions.text(), self.conditions.values().to_vec());
        let total_count: i64 = self.cx.db.fetch_one(&count).await?;
        let rows = self.cx.db.rows(&self.page(limit)?).await?;
        self.answer(rows, limit, total_count, item).await
    }

    fn page(&self, limit: i64) -> Result<Sql, Error> {
        let (key, tie) = (&self.key.expression, &self.tie.expression);
        let mut sql = Sql::new(format!(
            "SELECT {}, {key} AS page_key, {tie} AS page_tie FROM {}",
            self.select, self.from
        ));
        sql.push(self.conditions.text(), self.conditions.values().to_vec());
        let word = if self.conditions.text().trim().is_empty() { "WHERE" } else { "AND" };
        if let Some(cursor) = self.input.get("cursor").and_then(Value::as_str) {
            let (later, tie_later) = (self.key.later(), self.tie.later());
            let Cursor { key: at, tie: tie_at } = Cursor::decode(cursor)?;
            match at {
                swf_db::Value::Null => {
                    sql.push(&format!("{word} ({key} IS NULL AND {tie} {tie_later} ?)"), [tie_at])
                }
                at => sql.push(
                    &format!(
                        "{word} ({key} {later} ? OR ({key} = ? AND {tie} {tie_later} ?) OR {key} IS NULL)"
                    ),
                    [at.clone(), at, tie_at],
                ),
            };
        }
        let (direction, tie_direction) = (self.key.direction(), self.tie.direction());
        sql.push(
            &format!("ORDER BY {key} {direction} NULLS LAST, {tie} {tie_direction} LIMIT ?"),
            [(limit + 1).into()],
        );
        Ok(sql)
    }

    async fn answer<R: DeserializeOwned, T: Serialize>(
        self,
        rows: Vec<Row>,
        limit: i64,
        total_count: i64,
        make: impl Fn(R) -> T,
    ) -> Result<List<T>, Error> {
        let ceiling = self.cx.settings().answer_ceiling;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut has_more = rows.len() > limit;
        let page = rows.len().min(limit);
        let (mut items, mut bytes, mut last, mut truncated) = (Vec::new(), 2000, None, None);
        for row in rows.into_iter().take(limit) {
            let at = Cursor::after(&row, self.cx.db.engine());
            let item = make(row.read()?);
            bytes += serde_json::to_string(&item).map_err(Error::internal)?.len() + 1;
            if bytes > ceiling && !items.is_empty() {
                truncated = Some(Truncated { rows: page - items.len(), limit_bytes: ceiling });
                has_more = true;
                break;
            }
            last = at;
            items.push(item);
        }
        let next = has_more.then(|| {
            let mut next = self.input.clone();
            next.insert("cursor".into(), last.unwrap_or_default().into());
            // A default window moves with the clock; the next page must see the same one.
            for (name, time) in [("start_time", self.window.start), ("end_time", self.window.end)] {
                if let Some(time) = time {
                    next.insert(name.into(), iso(time).into());
                }
            }
            next
        });
        let mut filters = self.input.clone();
        for paging in ["limit", "cursor", "start_time", "end_time", "detail"] {
            filters.remove(paging);
        }
        Ok(List {
            items,
            total_count,
            has_more,
            monitor_urls: vec![self.link],
            as_of: AsOf {
                time: iso(self.cx.now),
                start_time: self.window.start.map(iso),
                end_time: self.window.end.map(iso),
                filters,
                sources: crate::sources::sources(self.cx).await,
            },
            truncated,
            next,
        })
    }
}

/// Where a page ended: sort key and tie breaker of its last row.
struct Cursor {
    key: swf_db::Value,
    tie: swf_db::Value,
}

impl Cursor {
    /// The cursor after a row: type letter and text of each part, the same on both engines.
    fn after(row: &Row, engine: Engine) -> Option<String> {
        let part = |name: &str| Some(part(row.get(name)?, engine));
        Some(json!([part("page_key")?, part("page_tie")?]).to_string())
    }

    fn decode(text: &str) -> Result<Cursor, Error> {
        let bad = || {
            Error::invalid(
                "cursor",
                format!("'{text}' is not a cursor; use the one in `next` of the earlier answer as it is"),
            )
        };
        let [key, tie]: [Value; 2] = serde_json::from_str(text).map_err(|_| bad())?;
        Ok(Cursor { key: unpart(&key).ok_or_else(bad)?, tie: unpart(&tie).ok_or_else(bad)? })
    }
}

fn part(value: &swf_db::Value, engine: Engine) -> Value {
    use swf_db::Value as V;
    match value {
        V::Int(i) => json!(i),
        V::Text(t) if engine == Engine::Sqlite && is_moment(t) => json!(format!("t{t}")),
        V::Text(t) => json!(format!("s{t}")),
        V::Time(t) => json!(format!("t{}", t.format(MOMENT))),
        V::Naive(t) => json!(format!("n{}", t.format("%Y-%m-%dT%H:%M:%S%.6f"))),
        V::Uuid(u) => json!(format!("u{u}")),
        V::Float(f) => json!(format!("f{f}")),
        V::Bool(b) => json!(b),
        V::Null | V::Json(_) => Value::Null,
    }
}

/// How cursors write a moment: as SQLite keeps it.
const MOMENT: &str = "%Y-%m-%dT%H:%M:%S%.6f+00:00";

/// SQLite has moments as text; they are told from other texts by being written just so.
fn is_moment(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok_and(|t| t.format(MOMENT).to_string() == text)
}

fn unpart(value: &Value) -> Option<swf_db::Value> {
    use swf_db::Value as V;
    match value {
        Value::Null => Some(V::Null),
        Value::Bool(b) => Some(V::Bool(*b)),
        Value::Number(n) => n.as_i64().map(V::Int),
        Value::String(s) => {
            let mut chars = s.chars();
            let kind = chars.next()?;
            let rest = chars.as_str();
            match kind {
                's' => Some(V::Text(rest.to_owned())),
                't' => DateTime::parse_from_rfc3339(rest).ok().map(|t| V::Time(t.with_timezone(&Utc))),
                'n' => NaiveDateTime::parse_from_str(rest, "%Y-%m-%dT%H:%M:%S%.f").ok().map(V::Naive),
                'u' => rest.parse().ok().map(V::Uuid),
                'f' => rest.parse().ok().map(V::Float),
                _ => None,
            }
        }
        _ => None,
    }
}
