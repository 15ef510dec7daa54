//! Jobs over time, for plotting.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::list_jobs::links;
use crate::list::{Link, arguments};
use crate::panda::answer::{self, Answer, AsOf, share};
use crate::panda::counts::{self, Key, ranked};
use crate::panda::filter::{JobFilter, Window, given, given_id};
use crate::panda::usage::{self, Bucket};
use crate::panda::{self};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Ended PanDA jobs, failure share and core-hours by time bucket, for plotting.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Trend {
    /// Days back, default 7.
    pub days: Option<f64>,
    /// hour, day, week or month; by default what fits.
    pub bucket: Option<Bucket>,
    /// One series each: site, user, task or resource_type; the 8 largest and the rest.
    pub by: Option<String>,
    /// Queue; `%` is a wildcard.
    pub site: Option<String>,
    /// Owner; `%` is a wildcard.
    pub username: Option<String>,
    /// JEDI task id.
    pub taskid: Option<i64>,
    /// ISO 8601, UTC; replaces days.
    pub start_time: Option<String>,
    /// ISO 8601, excluded.
    pub end_time: Option<String>,
}

/// Series.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Series {
    /// Length of a bucket.
    pub bucket: String,
    /// Starts of the buckets, UTC; the points of each series are in this order.
    pub starts: Vec<String>,
    /// All jobs together.
    pub all: Line,
    /// One for each value of `by`.
    pub series: Vec<Line>,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// What is counted.
    pub note: String,
    /// Pages for people.
    pub monitor_urls: Vec<Link>,
    /// When it was true.
    pub as_of: AsOf,
    /// Set when the production is a made-up one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<bool>,
    /// What could not be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dark: Vec<String>,
}

/// One series.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Line {
    /// What it is of.
    pub name: String,
    /// Jobs that finished.
    pub finished: Vec<i64>,
    /// Jobs that failed.
    pub failed: Vec<i64>,
    /// Jobs cancelled or closed.
    pub cancelled: Vec<i64>,
    /// Failed over finished and failed; null where nothing ended.
    pub failed_share: Vec<Option<f64>>,
    /// Core-hours of finished jobs; only for all jobs together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_hours: Option<Vec<f64>>,
}

/// Series besides the rest.
const SERIES: usize = 8;
/// Points of a series at most.
const POINTS: usize = 800;

impl Tool for Trend {
    const NAME: &'static str = "panda_trend";
    const TITLE: &'static str = "PanDA over time";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"days": 7, "bucket": "day", "by": "site"}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Series>;

    async fn run(self, cx: &Cx) -> Result<Answer<Series>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl Trend {
    async fn answer(&self, cx: &Cx) -> Result<Series, Error> {
        let panda = panda::of(cx)?;
        let window =
            Window::read(cx.now, self.days, 7.0, self.start_time.as_deref(), self.end_time.as_deref())?;
        let until = window.end.unwrap_or(cx.now.naive_utc());
        let bucket = self.bucket.unwrap_or(match window.hours(cx.now) {
            h if h <= 72.0 => Bucket::Hour,
            h if h <= 24.0 * 90.0 => Bucket::Day,
            _ => Bucket::Week,
        });
        let starts = bucket.few(window.start, until - TimeDelta::microseconds(1), POINTS)?;
        let by = by(self.by.as_deref())?;
        let owned = |text: &Option<String>| given(text.as_ref()).map(str::to_owned);
        let filter = JobFilter {
            window: Some(window),
            statuses: ["finished", "failed", "cancelled", "closed"].map(str::to_owned).to_vec(),
            username: owned(&self.username),
            site: owned(&self.site),
            taskid: given_id(self.taskid),
            ..JobFilter::default()
        };
        let catalog = panda.catalog().await?;
        let time = if bucket == Bucket::Hour { Key::Hour } else { Key::Day };
        let keys: Vec<Key> = [time, Key::Status].into_iter().chain(by).collect();
        let plain = JobFilter { window: None, statuses: Vec::new(), ..filter.clone() };
        let (counted, used) = tokio::join!(
            counts::counts(panda, &catalog, &filter, &keys),
            usage::usage(panda, &catalog, &plain, window, false, Some(bucket)),
        );
        let (counted, mut dark) = counted?;
        let mut hours: HashMap<String, f64> = HashMap::new();
        match used {
            Ok(groups) => groups.iter().filter(|g| g.good).for_each(|g| {
                *hours.entry(g.bucket.clone()).or_default() += g.sums.allocated / 3600.0;
            }),
            Err(e) => dark.push(format!("core-hours: {e}")),
        }
        let cells: Vec<Cell> = counted
            .iter()
            .map(|c| Cell {
                start: bucket.start(c.key(0).unwrap_or_default()),
                status: c.key(1).unwrap_or_default(),
                name: c.key(2).unwrap_or("unknown"),
                jobs: c.jobs,
            })
            .collect();
        let mut all = line("all", &starts, cells.iter());
        all.core_hours =
            Some(starts.iter().map(|s| answer::round(hours.get(s).copied().unwrap_or(0.0), 1)).collect());
        Ok(Series {
            bucket: serde_json::to_value(bucket)
                .ok()
                .and_then(|b| b.as_str().map(str::to_owned))
                .unwrap_or_default(),
            series: if by.is_some() { split(&starts, &cells) } else { Vec::new() },
            starts,
            all,
            filters: arguments(self),
            note: "jobs by the time of their last change, which for ended jobs is their end in PanDA; UTC"
                .into(),
            monitor_urls: links(cx, panda, "/panda/activity/", &arguments(self)),
            as_of: AsOf::new(cx, panda, Some(window)).with(&filter.used),
            synthetic: answer::synthetic(&catalog),
            dark,
        })
    }
}

fn by(name: Option<&str>) -> Result<Option<Key>, Error> {
    Ok(Some(match name {
        None | Some("") => return Ok(None),
        Some("site") => Key::Site,
        Some("user") => Key::User,
        Some("task") => Key::Task,
        Some("resource_type") => Key::Resource,
        Some(other) => {
            return Err(Error::invalid(
                "by",
                format!("'{other}' is not one of site, user, task, resource_type"),
            ));
        }
    }))
}

struct Cell<'a> {
    start: String,
    status: &'a str,
    name: &'a str,
    jobs: i64,
}

fn line<'a>(name: &str, starts: &[String], cells: impl Iterator<Item = &'a Cell<'a>>) -> Line {
    let mut points: BTreeMap<&str, (i64, i64, i64)> =
        starts.iter().map(|s| (s.as_str(), (0, 0, 0))).collect();
    for cell in cells {
        let Some(point) = points.get_mut(cell.start.as_str()) else { continue };
        match cell.status {
            "finished" => point.0 += cell.jobs,
            "failed" => point.1 += cell.jobs,
            _ => point.2 += cell.jobs,
        }
    }
    let mut out = Line { name: name.to_owned(), ..Line::default() };
    for (finished, failed, cancelled) in points.into_values() {
        out.finished.push(finished);
        out.failed.push(failed);
        out.cancelled.push(cancelled);
        out.failed_share.push(share(failed as f64, (finished + failed) as f64, 4));
    }
    out
}

/// The largest values of `by`, and the rest as one.
fn split(starts: &[String], cells: &[Cell<'_>]) -> Vec<Line> {
    let mut sizes: HashMap<&str, i64> = HashMap::new();
    for cell in cells {
        *sizes.entry(cell.name).or_default() += cell.jobs;
    }
    let names: Vec<&str> = ranked(sizes).into_iter().map(|(name, _)| name).collect();
    let (large, small) = names.split_at(names.len().min(SERIES));
    let mut out: Vec<Line> =
        large.iter().map(|name| line(name, starts, cells.iter().filter(|c| c.name == *name))).collect();
    if !small.is_empty() {
        out.push(line("rest", starts, cells.iter().filter(|c| small.contains(&c.name))));
    }
    out
}
