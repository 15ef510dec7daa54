//! The frame of every answer: as of when, how fresh, links, what is dark.

use std::future::Future;
use std::marker::PhantomData;

use chrono::NaiveDateTime;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use swf_db::Row;

use super::filter::Window;
use super::hours::{ClosedHours, Used};
use super::{Catalog, Panda};
use crate::links::encode;
use crate::list::Link;
use crate::time::iso;
use crate::{Cx, Error};

/// When and over what an answer was true.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AsOf {
    /// When the database was asked.
    pub time: String,
    /// Start of the window (included), UTC.
    pub start_time: Option<String>,
    /// End of the window (excluded), UTC; null for up to now.
    pub end_time: Option<String>,
    /// Seconds since the database was asked.
    pub age_seconds: u64,
    /// True when somebody else's question was answered together with this one.
    pub shared: bool,
    /// Answers are shared for this many seconds.
    pub kept_seconds: u64,
    /// Set when ended jobs of closed hours were not asked for again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_hours: Option<ClosedHours>,
}

impl AsOf {
    /// Made now, over a window.
    pub fn new(cx: &Cx, panda: &Panda, window: Option<Window>) -> AsOf {
        AsOf {
            time: iso(cx.now),
            start_time: window.map(|w| iso(w.start.and_utc())),
            end_time: window.and_then(|w| w.end).map(|t| iso(t.and_utc())),
            age_seconds: 0,
            shared: false,
            kept_seconds: panda.settings().kept.as_secs(),
            closed_hours: None,
        }
    }

    /// Says what the statements made from a filter took from memory.
    #[must_use]
    pub fn with(mut self, used: &Used) -> AsOf {
        self.closed_hours = used.closed_hours();
        self
    }
}

/// An answer that may be shared: JSON outside, `T` in its schema.
pub struct Answer<T> {
    value: Value,
    of: PhantomData<fn() -> T>,
}

impl<T> Answer<T> {
    /// The answer as JSON.
    pub fn into_value(self) -> Value {
        self.value
    }
}

impl<T> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Answer<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// Answers a question once for all who ask it at about the same time.
pub async fn shared<T, F>(cx: &Cx, tool: &str, input: &impl Serialize, make: F) -> Result<Answer<T>, Error>
where
    T: Serialize,
    F: Future<Output = Result<T, Error>>,
{
    let panda = super::of(cx)?;
    let question = format!("{} {tool} {}", panda.db().url(), Value::Object(crate::list::arguments(input)));
    // On the heap: it stands in several futures around it.
    let make = Box::pin(async { serde_json::to_value(make.await?).map_err(Error::internal) });
    let shared = panda.once().get(panda.record(), question, panda.settings().kept, make).await?;
    let mut value = (*shared.value).clone();
    if let Some(as_of) = value.get_mut("as_of").and_then(Value::as_object_mut) {
        as_of.insert("age_seconds".into(), shared.age.as_secs().into());
        as_of.insert("shared".into(), shared.shared.into());
    }
    Ok(Answer { value, of: PhantomData })
}

/// `Some(true)` when the database is a synthetic one.
pub fn synthetic(catalog: &Catalog) -> Option<bool> {
    catalog.synthetic.then_some(true)
}

/// A link to one of our pages with the filters in force.
pub fn page(cx: &Cx, title: &str, path: &str, filters: &Map<String, Value>) -> Link {
    let query: Vec<String> = filters
        .iter()
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some(format!("{name}={}", encode(text))),
            Value::Number(_) | Value::Bool(_) => Some(format!("{name}={value}")),
            _ => None,
        })
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    Link { title: title.into(), url: format!("{}{path}{mark}{}", cx.settings().base_url, query.join("&")) }
}

/// A link to the PanDA monitor, when one is configured.
pub fn monitor(panda: &Panda, title: &str, path: &str) -> Option<Link> {
    let base = panda.settings().monitor_url.as_deref()?.trim_end_matches('/');
    Some(Link { title: title.into(), url: format!("{base}{path}") })
}

/// PanDA's naive UTC times as the original prints them: microseconds only when there are any.
pub fn naive(time: NaiveDateTime) -> String {
    use chrono::Timelike;
    let form = if time.nanosecond() == 0 { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S%.6f" };
    time.format(form).to_string()
}

/// A value of either engine as JSON; columns whose name ends in `time`, `date` or `update` are times.
pub fn value_json(name: &str, value: &swf_db::Value) -> Value {
    use swf_db::Value as V;
    match value {
        V::Null => Value::Null,
        V::Bool(b) => json!(b),
        V::Int(i) => json!(i),
        // Whole numerics are counts and seconds: print them as such.
        V::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => json!(*f as i64),
        V::Float(f) => json!(f),
        V::Naive(t) => json!(naive(*t)),
        V::Time(t) => json!(naive(t.naive_utc())),
        V::Uuid(u) => json!(u.to_string()),
        V::Json(j) => j.clone(),
        V::Text(t) if is_time(name) => moment(value).map_or_else(|| json!(t), |t| json!(naive(t))),
        V::Text(t) => json!(t),
    }
}

fn is_time(name: &str) -> bool {
    ["time", "date", "since", "tstamp"].iter().any(|ending| name.ends_with(ending))
}

/// A time of either engine; 1970 means "not set" in PanDA.
pub fn moment(value: &swf_db::Value) -> Option<NaiveDateTime> {
    use chrono::Datelike;
    let time = match value {
        swf_db::Value::Naive(t) => *t,
        swf_db::Value::Time(t) => t.naive_utc(),
        swf_db::Value::Text(t) => NaiveDateTime::parse_from_str(t, "%Y-%m-%dT%H:%M:%S%.f").ok()?,
        _ => return None,
    };
    (time.year() > 1970).then_some(time)
}

/// A row as a JSON object in column order.
pub fn row_json(row: &Row) -> Map<String, Value> {
    row.names()
        .iter()
        .zip(row.values())
        .map(|(name, value)| (name.clone(), value_json(name, value)))
        .collect()
}

/// A whole number of a row; zero when NULL or absent.
pub fn int(row: &Row, name: &str) -> i64 {
    match row.get(name) {
        Some(swf_db::Value::Int(i)) => *i,
        Some(swf_db::Value::Float(f)) => *f as i64,
        _ => 0,
    }
}

/// A real number of a row; zero when NULL or absent.
pub fn real(row: &Row, name: &str) -> f64 {
    match row.get(name) {
        Some(swf_db::Value::Int(i)) => *i as f64,
        Some(swf_db::Value::Float(f)) => *f,
        _ => 0.0,
    }
}

/// A text of a row; `None` when NULL or absent.
pub fn text(row: &Row, name: &str) -> Option<String> {
    match row.get(name) {
        Some(swf_db::Value::Text(t)) => Some(t.clone()),
        _ => None,
    }
}

/// Rounds to a number of decimals.
pub fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    let rounded = (value * scale).round() / scale;
    if rounded == 0.0 { 0.0 } else { rounded }
}

/// A share, null when there is nothing to share.
pub fn share(part: f64, whole: f64, decimals: i32) -> Option<f64> {
    (whole > 0.0).then(|| round(part / whole, decimals))
}

/// Keeps whole rows as long as they fit under a number of bytes; returns how many were cut.
pub fn fit(rows: &mut Vec<Map<String, Value>>, ceiling: usize) -> usize {
    let mut bytes = 0;
    let keep = rows
        .iter()
        .take_while(|row| {
            bytes += serde_json::to_string(row).map_or(0, |t| t.len() + 1);
            bytes <= ceiling
        })
        .count()
        .max(1)
        .min(rows.len());
    let cut = rows.len() - keep;
    rows.truncate(keep);
    cut
}
