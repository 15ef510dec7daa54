//! Pilots now.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDateTime, TimeDelta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::list::{Link, arguments};
use crate::panda::answer::{self, Answer, AsOf, naive};
use crate::panda::filter::given;
use crate::panda::jobs;
use crate::panda::workers::{self, WorkerFilter, Workers, sums};
use crate::panda::{self, Catalog, Panda, queues};
use crate::time::iso;
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Pilots (Harvester workers) by status, queue and resource: a snapshot of reports not older than the window.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct HarvesterWorkers {
    /// running, submitted, ready, finished, failed, …
    pub status: Option<String>,
    /// Queue; `%` is a wildcard.
    pub site: Option<String>,
    /// SCORE, MCORE, …
    pub resourcetype: Option<String>,
    /// Window in days.
    pub days: Option<f64>,
    /// Window in hours, default 1; wins over days.
    pub hours: Option<f64>,
}

/// Pilots.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pilots {
    /// In a sentence.
    pub summary: String,
    /// By status.
    pub by_status: Map<String, Value>,
    /// By queue.
    pub by_site: Map<String, Value>,
    /// By kind of resource.
    pub by_resourcetype: Map<String, Value>,
    /// The window.
    pub time_window: Map<String, Value>,
    /// All.
    pub nworkers_total: i64,
    /// By status.
    pub nworkers_by_status: Map<String, Value>,
    /// By queue.
    pub nworkers_by_site: Map<String, Value>,
    /// By status, kind of jobs and resource, largest first.
    pub pivot: Vec<Map<String, Value>>,
    /// Last report of each queue, UTC.
    pub last_report: Map<String, Value>,
    /// `bigpanda` or `database`, and why.
    pub source: String,
    /// What the numbers are not.
    pub note: String,
    /// Arguments in force.
    pub filters: Map<String, Value>,
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

impl Tool for HarvesterWorkers {
    const NAME: &'static str = "panda_harvester_workers";
    const TITLE: &'static str = "PanDA pilots";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"site": "NERSC%", "hours": 4}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Pilots>;

    async fn run(self, cx: &Cx) -> Result<Answer<Pilots>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

/// Statuses that harvester gives its workers.
const STATUSES: [&str; 10] = [
    "missed",
    "to_submit",
    "submitted",
    "ready",
    "running",
    "idle",
    "finished",
    "failed",
    "cancelled",
    "pending",
];

impl HarvesterWorkers {
    async fn answer(&self, cx: &Cx) -> Result<Pilots, Error> {
        let panda = panda::of(cx)?;
        let hours = match (self.hours, self.days) {
            (Some(h), _) => h,
            (None, Some(d)) => d * 24.0,
            (None, None) => 1.0,
        };
        if !(hours > 0.0 && hours <= 24.0 * 90.0) {
            return Err(Error::invalid("hours", format!("{hours} is not above 0 and at most 2160")));
        }
        jobs::state(given(self.status.as_ref()), &STATUSES)?;
        let since = cx.now - TimeDelta::seconds((hours * 3600.0) as i64);
        let owned = |text: &Option<String>| given(text.as_ref()).map(str::to_owned);
        let mut filter = WorkerFilter {
            status: owned(&self.status),
            site: owned(&self.site),
            resource: owned(&self.resourcetype),
            since: since.naive_utc(),
            until: cx.now.naive_utc(),
            queues: None,
        };
        let mut dark = Vec::new();
        let catalog = panda.catalog().await;
        if let Ok(catalog) = &catalog {
            filter.queues = of_vo(panda, catalog, &mut dark).await;
        }
        let (found, source) = from_either(panda, catalog.as_deref(), &filter).await?;
        let total: i64 = found.iter().map(|w| w.workers).sum();
        let place = filter.site.as_deref().map_or(" across all EIC sites".to_owned(), |s| format!(" at {s}"));
        let synthetic = catalog.as_ref().ok().and_then(|c| answer::synthetic(c));
        let by_status = sums(&found, |w| &w.status);
        let by_site = sums(&found, |w| &w.site);
        Ok(Pilots {
            summary: format!("{total} pilots total{place} (last {hours}h)"),
            by_status: by_status.clone(),
            by_site: by_site.clone(),
            by_resourcetype: sums(&found, |w| &w.resource),
            time_window: [("from", iso(since)), ("to", iso(cx.now))].map(|(k, t)| (k.to_owned(), json!(t))).into_iter().collect(),
            nworkers_total: total,
            nworkers_by_status: by_status,
            nworkers_by_site: by_site,
            pivot: pivot(&found),
            last_report: last_reports(&found),
            source,
            note: "a snapshot of each queue's last report, not a history; finished pilots include those that failed inside".into(),
            filters: arguments(self),
            monitor_urls: answer::monitor(panda, "PanDA monitor: workers", "/harvester/workers/").into_iter().chain([answer::page(cx, "queues", "/panda/epic-queues/", &Map::new())]).collect(),
            as_of: AsOf::new(cx, panda, None),
            synthetic,
            dark,
        })
    }
}

/// Names of the queues of our VO; `None` when they cannot be read, and then nothing is left out.
async fn of_vo(panda: &Panda, catalog: &Catalog, dark: &mut Vec<String>) -> Option<BTreeSet<String>> {
    match queues::queues(panda, catalog).await {
        Ok(all) => {
            let ours = all.into_iter().filter(|q| q.text("vo_name").as_deref() == Some(&panda.settings().vo));
            Some(ours.map(|q| q.name).collect())
        }
        Err(e) => {
            dark.push(format!("queues, so pilots of other organisations are counted too: {e}"));
            None
        }
    }
}

/// The monitor's API if there is one that answers, else the table behind it.
async fn from_either(
    panda: &Panda,
    catalog: Result<&Catalog, &Error>,
    filter: &WorkerFilter,
) -> Result<(Vec<Workers>, String), Error> {
    let why = match workers::from_api(panda, filter).await {
        Ok(found) => return Ok((found, "bigpanda: the PanDA monitor's API".into())),
        Err(why) => why,
    };
    match catalog {
        Ok(catalog) => {
            let found = workers::from_database(panda, catalog, filter).await?;
            Ok((found, format!("database: harvester_worker_stats ({why})")))
        }
        Err(e) => Err(Error::Unavailable { what: format!("pilots are dark: {why}; {e}") }),
    }
}

fn pivot(found: &[Workers]) -> Vec<Map<String, Value>> {
    let mut groups: BTreeMap<(&str, &str, &str), i64> = BTreeMap::new();
    for w in found {
        *groups.entry((&w.status, &w.jobtype, &w.resource)).or_default() += w.workers;
    }
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let row = |((status, jobtype, resource), n): ((&str, &str, &str), i64)| {
        let cells = [
            ("status", json!(status)),
            ("jobtype", json!(jobtype)),
            ("resourcetype", json!(resource)),
            ("nworkers", json!(n)),
        ];
        cells.map(|(k, v)| (k.to_owned(), v)).into_iter().collect()
    };
    rows.into_iter().map(row).collect()
}

fn last_reports(found: &[Workers]) -> Map<String, Value> {
    let mut last: BTreeMap<&str, Option<NaiveDateTime>> = BTreeMap::new();
    for w in found {
        let at = last.entry(&w.site).or_default();
        *at = (*at).max(w.last_update);
    }
    last.into_iter().map(|(site, at)| (site.to_owned(), json!(at.map(naive)))).collect()
}
