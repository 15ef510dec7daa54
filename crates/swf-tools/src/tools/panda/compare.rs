//! Two windows, queues or tasks side by side.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::list_jobs::links;
use crate::list::{Link, arguments};
use crate::panda::answer::{self, Answer, AsOf, round, share};
use crate::panda::counts::{self, Key, by_status};
use crate::panda::filter::{FAULTY, JobFilter, Window, given, given_id, time};
use crate::panda::hours::Used;
use crate::panda::patterns::{self, Pattern};
use crate::panda::usage::{self, total};
use crate::panda::{self, Catalog, Panda};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Compare PanDA jobs: this window with the one before (default), two sites, or two tasks. Rates, failure share, efficiency, new and gone errors.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Compare {
    /// Days of each window, default 1.
    pub days: Option<f64>,
    /// Queue of both sides, or of the first; `%` is a wildcard.
    pub site: Option<String>,
    /// Queue of the second side.
    pub other_site: Option<String>,
    /// Task of both sides, or of the first.
    pub taskid: Option<i64>,
    /// Task of the second side.
    pub other_taskid: Option<i64>,
    /// Owner; `%` is a wildcard.
    pub username: Option<String>,
    /// First window, ISO 8601, UTC; replaces days.
    pub start_time: Option<String>,
    /// ISO 8601, excluded.
    pub end_time: Option<String>,
    /// Start of the second window, of the same length.
    pub other_start_time: Option<String>,
}

/// Two sides.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Comparison {
    /// In a sentence.
    pub summary: String,
    /// The first side.
    pub a: Side,
    /// The second side.
    pub b: Side,
    /// First minus second; null where one side has no value.
    pub change: Map<String, Value>,
    /// Faults of the first side that the second does not have.
    pub new_errors: Vec<Value>,
    /// Faults of the second side that the first does not have.
    pub gone_errors: Vec<Value>,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// Pages for people.
    pub monitor_urls: Vec<Link>,
    /// When it was true.
    pub as_of: AsOf,
    /// Set when the production is a made-up one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<bool>,
}

/// One side.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Side {
    /// What it is.
    pub label: String,
    /// Start, UTC.
    pub start_time: String,
    /// End, UTC.
    pub end_time: String,
    /// Jobs by status.
    pub by_status: Map<String, Value>,
    /// Finished jobs an hour.
    pub finished_per_hour: f64,
    /// Failed over finished and failed.
    pub failed_share: Option<f64>,
    /// CPU time over allocated core time of finished jobs.
    pub efficiency: Option<f64>,
    /// Core-hours of finished jobs.
    pub core_hours: f64,
    /// Core-hours of jobs that ended badly.
    pub lost_core_hours: f64,
    /// The most frequent faults.
    pub top_errors: Vec<Value>,
}

impl Tool for Compare {
    const NAME: &'static str = "panda_compare";
    const TITLE: &'static str = "PanDA compared";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"days": 1}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Comparison>;

    async fn run(self, cx: &Cx) -> Result<Answer<Comparison>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

struct Asked {
    label: String,
    window: Window,
    filter: JobFilter,
}

impl Compare {
    async fn answer(&self, cx: &Cx) -> Result<Comparison, Error> {
        let panda = panda::of(cx)?;
        let (first, second) = self.sides(cx)?;
        let catalog = panda.catalog().await?;
        let (a, b) = tokio::join!(side(panda, &catalog, &first), side(panda, &catalog, &second));
        let ((a, a_faults), (b, b_faults)) = (a?, b?);
        let only = |mine: &[Pattern], others: &[Pattern]| -> Vec<Value> {
            let known: BTreeSet<_> = others.iter().map(key).collect();
            mine.iter().filter(|p| !known.contains(&key(p))).take(10).map(brief).collect()
        };
        let difference = |x: Option<f64>, y: Option<f64>| json!(x.zip(y).map(|(x, y)| round(x - y, 4)));
        let change = [
            ("finished_per_hour", difference(Some(a.finished_per_hour), Some(b.finished_per_hour))),
            ("failed_share", difference(a.failed_share, b.failed_share)),
            ("efficiency", difference(a.efficiency, b.efficiency)),
            ("core_hours", difference(Some(a.core_hours), Some(b.core_hours))),
            ("lost_core_hours", difference(Some(a.lost_core_hours), Some(b.lost_core_hours))),
        ];
        Ok(Comparison {
            summary: sentence(&a, &b),
            new_errors: only(&a_faults, &b_faults),
            gone_errors: only(&b_faults, &a_faults),
            a,
            b,
            change: change.map(|(k, v)| (k.to_owned(), v)).into_iter().collect(),
            filters: arguments(self),
            monitor_urls: links(cx, panda, "/panda/activity/", &arguments(self)),
            as_of: AsOf::new(cx, panda, Some(first.window)).with(&first.filter.used),
            synthetic: answer::synthetic(&catalog),
        })
    }

    /// What is compared: another site or task if one is named, else another window.
    fn sides(&self, cx: &Cx) -> Result<(Asked, Asked), Error> {
        let owned = |text: &Option<String>| given(text.as_ref()).map(str::to_owned);
        let mut first =
            Window::read(cx.now, self.days, 1.0, self.start_time.as_deref(), self.end_time.as_deref())?;
        first.end = Some(first.end.unwrap_or(cx.now.naive_utc()));
        let length = first.end.map_or(TimeDelta::zero(), |end| end - first.start);
        let (other_site, other_task) = (owned(&self.other_site), given_id(self.other_taskid));
        let mut second = first;
        let others = other_site.is_some() || other_task.is_some();
        match (self.other_start_time.as_deref(), others) {
            (Some(text), _) => second.start = time("other_start_time", text)?,
            (None, false) => second.start = first.start - length,
            (None, true) => {}
        }
        second.end = Some(second.start + length);
        if second.start == first.start && !others {
            return Err(Error::invalid("other_start_time", "both sides are the same"));
        }
        let (site, task) = (owned(&self.site), given_id(self.taskid));
        let used = Used::default();
        let filter = |window, site: Option<String>, taskid| JobFilter {
            window: Some(window),
            used: used.clone(),
            username: owned(&self.username),
            site,
            taskid,
            ..JobFilter::default()
        };
        let a = filter(first, site.clone(), task);
        let b = filter(second, other_site.or(site), other_task.or(task));
        let asked =
            |window: Window, filter: JobFilter| Asked { label: label(&window, &filter), window, filter };
        Ok((asked(first, a), asked(second, b)))
    }
}

fn label(window: &Window, filter: &JobFilter) -> String {
    let mut parts = Vec::new();
    parts.extend(filter.site.clone());
    parts.extend(filter.taskid.map(|t| format!("task {t}")));
    let end = window.end.unwrap_or(window.start);
    parts.push(format!("{} to {}", window.start.format("%Y-%m-%d %H:%M"), end.format("%Y-%m-%d %H:%M")));
    parts.join(", ")
}

async fn side(panda: &Panda, catalog: &Catalog, asked: &Asked) -> Result<(Side, Vec<Pattern>), Error> {
    let faulty = JobFilter { statuses: FAULTY.map(str::to_owned).to_vec(), ..asked.filter.clone() };
    let plain = JobFilter { window: None, ..asked.filter.clone() };
    let (counted, used, patterns) = tokio::join!(
        counts::counts(panda, catalog, &asked.filter, &[Key::Status]),
        usage::usage(panda, catalog, &plain, asked.window, false, None),
        patterns::patterns(panda, catalog, &faulty, true, false),
    );
    let (counted, _) = counted?;
    let (used, mut patterns) = (used?, patterns?);
    patterns.retain(|p| !p.explanation.benign);
    let jobs =
        |status: &str| -> i64 { counted.iter().filter(|c| c.key(0) == Some(status)).map(|c| c.jobs).sum() };
    let (finished, failed) = (jobs("finished") as f64, jobs("failed") as f64);
    let good = total(used.iter().filter(|g| g.good));
    let bad = total(used.iter().filter(|g| !g.good));
    let end = asked.window.end.unwrap_or(asked.window.start);
    let hours = (end - asked.window.start).num_seconds() as f64 / 3600.0;
    let side = Side {
        label: asked.label.clone(),
        start_time: answer::naive(asked.window.start),
        end_time: answer::naive(end),
        by_status: by_status(counted.iter().map(|c| (c.key(0), c.jobs))),
        finished_per_hour: if hours > 0.0 { round(finished / hours, 2) } else { 0.0 },
        failed_share: share(failed, finished + failed, 4),
        efficiency: share(good.used, good.allocated, 4),
        core_hours: round(good.allocated / 3600.0, 1),
        lost_core_hours: round(bad.allocated / 3600.0, 1),
        top_errors: patterns.iter().take(5).map(brief).collect(),
    };
    Ok((side, patterns))
}

fn key(p: &Pattern) -> (&'static str, i64, &str) {
    (p.source, p.code, p.pattern.as_str())
}

/// A pattern in a few words.
pub(super) fn brief(p: &Pattern) -> Value {
    let sites: BTreeMap<_, _> =
        p.sites.iter().map(|(s, n)| (s.clone().unwrap_or_else(|| "unknown".into()), *n)).collect();
    json!({
        "error_source": p.source, "error_code": p.code, "name": p.explanation.name, "pattern": p.pattern,
        "count": p.jobs, "meaning": p.explanation.meaning, "action": p.explanation.action, "site_counts": sites,
    })
}

fn sentence(a: &Side, b: &Side) -> String {
    let percent =
        |s: Option<f64>| s.map_or("none ended".to_owned(), |s| format!("{:.1} % failed", s * 100.0));
    let verdict = match (a.failed_share, b.failed_share) {
        (Some(x), Some(y)) if x > y + 0.02 => "worse",
        (Some(x), Some(y)) if x + 0.02 < y => "better",
        (Some(_), Some(_)) => "about the same",
        _ => "not comparable",
    };
    format!(
        "{}: {} and {} finished an hour, against {} and {}; the failure share is {verdict}",
        a.label,
        percent(a.failed_share),
        a.finished_per_hour,
        percent(b.failed_share),
        b.finished_per_hour
    )
}
