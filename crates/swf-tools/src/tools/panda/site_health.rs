//! How each queue does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{NaiveDateTime, TimeDelta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::list_jobs::links;
use crate::list::{Link, arguments};
use crate::panda::answer::{self, Answer, AsOf, naive, share};
use crate::panda::counts::{self, Count, Key};
use crate::panda::filter::{FAULTY, JobFilter, LIVE, Window, given, like};
use crate::panda::hours::Used;
use crate::panda::patterns::{self, Pattern};
use crate::panda::queues::{self, Queue};
use crate::panda::workers::{self, WorkerFilter, Workers};
use crate::panda::{self, Catalog, Panda};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Health of each PanDA queue: verdict, jobs now, failure share, top cause, pilots, last finished job, since when it looks wrong.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SiteHealth {
    /// Queue; `%` is a wildcard.
    pub site: Option<String>,
    /// Days back, default 1.
    pub days: Option<f64>,
    /// Only queues that look wrong.
    pub only_wrong: Option<bool>,
}

/// The queues.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// Queues, worst first.
    pub sites: Vec<Site>,
    /// Queues returned.
    pub count: usize,
    /// Queues by verdict.
    pub by_verdict: BTreeMap<String, usize>,
    /// How the verdict comes about.
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

/// One queue.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Site {
    /// Its name.
    pub site: String,
    /// `ok`, `idle`, `failing`, `no pilots` or `stuck`.
    pub verdict: String,
    /// In words.
    pub why: String,
    /// Start of the hour since which it looks wrong, UTC; null when it does not.
    pub wrong_since: Option<String>,
    /// The queue's own status.
    pub queue_status: Option<String>,
    /// Jobs running now.
    pub running: i64,
    /// Jobs waiting for a pilot now.
    pub activated: i64,
    /// Jobs of the window that finished.
    pub finished: i64,
    /// Jobs of the window that failed.
    pub failed: i64,
    /// Failed over finished and failed.
    pub failed_share: Option<f64>,
    /// The most frequent fault.
    pub top_cause: Option<Value>,
    /// Pilots by status; null when Harvester has not reported for four hours.
    pub pilots: Option<Map<String, Value>>,
    /// Last report about pilots, UTC.
    pub pilots_reported: Option<String>,
    /// When PanDA saw the last job of the last week finish, UTC.
    pub last_finished: Option<String>,
}

impl Tool for SiteHealth {
    const NAME: &'static str = "panda_site_health";
    const TITLE: &'static str = "PanDA queue health";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"site": "NERSC%"}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Health>;

    async fn run(self, cx: &Cx) -> Result<Answer<Health>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

/// A queue with a larger share of failures looks wrong.
const SHARE: f64 = 0.5;
/// Fewer ended jobs say nothing.
const ENOUGH: i64 = 5;
/// Harvester's reports count for this long, as in PanDA itself.
const REPORT: TimeDelta = TimeDelta::hours(4);

struct Facts {
    live: Vec<Count>,
    hourly: Vec<Count>,
    last: Vec<Count>,
    faults: Vec<Pattern>,
    queues: Vec<Queue>,
    pilots: Option<Vec<Workers>>,
}

impl SiteHealth {
    async fn answer(&self, cx: &Cx) -> Result<Health, Error> {
        let panda = panda::of(cx)?;
        let window = Window::read(cx.now, self.days, 1.0, None, None)?;
        let catalog = panda.catalog().await?;
        let mut dark = Vec::new();
        let used = Used::default();
        let facts = self.facts(cx, panda, &catalog, window, (&used, &mut dark)).await?;
        let names = self.names(panda, &facts);
        let mut sites: Vec<Site> = names.iter().map(|name| judge(name, &facts, cx.now.naive_utc())).collect();
        sites.sort_by(|a, b| {
            let order = |s: &Site| (rank(&s.verdict), std::cmp::Reverse(s.failed), s.site.clone());
            order(a).cmp(&order(b))
        });
        let mut by_verdict: BTreeMap<String, usize> = BTreeMap::new();
        for site in &sites {
            *by_verdict.entry(site.verdict.clone()).or_default() += 1;
        }
        if self.only_wrong.unwrap_or(false) {
            sites.retain(|s| !matches!(s.verdict.as_str(), "ok" | "idle"));
        }
        Ok(Health {
            count: sites.len(),
            sites,
            by_verdict,
            note: format!(
                "failing: at least {ENOUGH} ended and {:.0} % of them failed; no pilots: jobs wait and Harvester reports none; \
                 stuck: jobs run or wait and none has finished in the window. Where a job ran is not proof of the cause",
                SHARE * 100.0
            ),
            filters: arguments(self),
            monitor_urls: links(cx, panda, "/panda/epic-queues/", &Map::new()),
            as_of: AsOf::new(cx, panda, Some(window)).with(&used),
            synthetic: answer::synthetic(&catalog),
            dark,
        })
    }

    async fn facts(
        &self,
        cx: &Cx,
        panda: &Panda,
        catalog: &Catalog,
        window: Window,
        (used, dark): (&Used, &mut Vec<String>),
    ) -> Result<Facts, Error> {
        let site = given(self.site.as_ref()).map(str::to_owned);
        let of = |statuses: &[&str], window: Option<Window>| JobFilter {
            window,
            statuses: statuses.iter().map(|s| (*s).to_owned()).collect(),
            site: site.clone(),
            used: used.clone(),
            ..JobFilter::default()
        };
        let ended = of(&["finished", "failed"], Some(window));
        let week = Window { start: window.start.min(cx.now.naive_utc() - TimeDelta::days(7)), ..window };
        let good = of(&["finished"], Some(week));
        let bad = of(&FAULTY, Some(window));
        let workers = WorkerFilter {
            site: site.clone(),
            since: (cx.now - REPORT).naive_utc(),
            until: cx.now.naive_utc(),
            ..WorkerFilter::default()
        };
        let (live, hourly, last, faults, queues, pilots) = tokio::join!(
            live(panda, catalog, site.clone()),
            counts::counts(panda, catalog, &ended, &[Key::Site, Key::Status, Key::Hour]),
            counts::counts(panda, catalog, &good, &[Key::Site]),
            patterns::patterns(panda, catalog, &bad, true, false),
            queues::queues(panda, catalog),
            workers::from_database(panda, catalog, &workers),
        );
        let mut note = |name: &str, e: Error| dark.push(format!("{name}: {e}"));
        let mut faults = faults.map_err(|e| note("causes", e)).unwrap_or_default();
        faults.retain(|p| !p.explanation.benign);
        Ok(Facts {
            live: live?,
            hourly: hourly?.0,
            last: last.map_err(|e| note("last finished", e)).map(|l| l.0).unwrap_or_default(),
            faults,
            queues: queues.map_err(|e| note("queues", e)).unwrap_or_default(),
            pilots: pilots.map_err(|e| note("pilots", e)).ok(),
        })
    }

    /// Queues of our VO, and whatever else has jobs.
    fn names(&self, panda: &Panda, facts: &Facts) -> BTreeSet<String> {
        let ours = facts.queues.iter().filter(|q| q.text("vo_name").as_deref() == Some(&panda.settings().vo));
        let busy = facts.live.iter().chain(&facts.hourly).filter_map(|c| c.key(0));
        let all = ours.map(|q| q.name.as_str()).chain(busy);
        all.filter(|name| given(self.site.as_ref()).is_none_or(|s| like(s, name)))
            .map(str::to_owned)
            .collect()
    }
}

/// Jobs by queue and status now, whatever the window.
async fn live(panda: &Panda, catalog: &Catalog, site: Option<String>) -> Result<Vec<Count>, Error> {
    let (tables, _) = catalog.usable(&LIVE)?;
    let filter = JobFilter { site, ..JobFilter::default() };
    let sql = filter.union(panda, &tables, |table, conditions| {
        let mut sql = swf_db::Sql::new(format!(
            "SELECT computingsite, jobstatus, count(*) AS n FROM {}.{}",
            panda::schema::SCHEMA,
            table.name
        ));
        sql.push(conditions.text(), conditions.values().to_vec());
        sql.push("GROUP BY computingsite, jobstatus", []);
        sql
    });
    let rows = panda.rows(&sql).await?;
    let count = |row: &swf_db::Row| Count {
        keys: vec![answer::text(row, "computingsite"), answer::text(row, "jobstatus")],
        jobs: answer::int(row, "n"),
        last_change: None,
    };
    Ok(rows.iter().map(count).collect())
}

fn judge(name: &str, facts: &Facts, now: NaiveDateTime) -> Site {
    let live = |status: &str| -> i64 {
        facts.live.iter().filter(|c| c.key(0) == Some(name) && c.key(1) == Some(status)).map(|c| c.jobs).sum()
    };
    let ended = |status: &str| -> i64 {
        facts
            .hourly
            .iter()
            .filter(|c| c.key(0) == Some(name) && c.key(1) == Some(status))
            .map(|c| c.jobs)
            .sum()
    };
    let (running, activated) = (live("running"), live("activated"));
    let (finished, failed) = (ended("finished"), ended("failed"));
    let failed_share = share(failed as f64, (finished + failed) as f64, 4);
    let queue = facts.queues.iter().find(|q| q.name == name);
    let reports: Option<Vec<&Workers>> =
        facts.pilots.as_ref().map(|p| p.iter().filter(|w| w.site == name).collect());
    let reports = reports.filter(|r| !r.is_empty());
    let alive: i64 = reports
        .iter()
        .flatten()
        .filter(|w| matches!(w.status.as_str(), "running" | "submitted" | "ready"))
        .map(|w| w.workers)
        .sum();
    let last = facts.last.iter().find(|c| c.key(0) == Some(name)).and_then(|c| c.last_change);
    let cause = facts
        .faults
        .iter()
        .filter_map(|p| Some((p, *p.sites.get(&Some(name.to_owned()))?)))
        .max_by_key(|(_, n)| *n);
    let streak = bad_since(name, facts);
    let (verdict, why) = if finished + failed >= ENOUGH && failed_share.is_some_and(|s| s >= SHARE) {
        ("failing", format!("{failed} of {} ended jobs failed", finished + failed))
    } else if activated > 0 && alive == 0 && facts.pilots.is_some() {
        (
            "no pilots",
            format!("{activated} jobs wait, and Harvester reported no pilots in the last four hours"),
        )
    } else if running + activated > 0 && finished == 0 {
        ("stuck", format!("{running} jobs run and {activated} wait, but none finished in the window"))
    } else if running + activated + finished + failed == 0 {
        ("idle", "no jobs".to_owned())
    } else {
        ("ok", format!("{finished} jobs finished, {failed} failed"))
    };
    let wrong_since = match verdict {
        "ok" | "idle" => None,
        "failing" => streak,
        _ => last.map(naive),
    };
    let mut by_status: HashMap<&str, i64> = HashMap::new();
    for w in reports.iter().flatten() {
        *by_status.entry(&w.status).or_default() += w.workers;
    }
    let pilots = counts::ranked(by_status).into_iter().map(|(s, n)| (s.to_owned(), json!(n))).collect();
    Site {
        site: name.to_owned(),
        verdict: verdict.to_owned(),
        why,
        wrong_since,
        queue_status: queue.and_then(|q| q.text("status")),
        running,
        activated,
        finished,
        failed,
        failed_share,
        top_cause: cause.map(|(p, n)| {
            json!({
                "error_source": p.source, "error_code": p.code, "name": p.explanation.name, "pattern": p.pattern,
                "jobs_here": n, "meaning": p.explanation.meaning, "action": p.explanation.action,
            })
        }),
        pilots_reported: reports.as_ref().and_then(|r| r.iter().filter_map(|w| w.last_update).max()).filter(|t| *t <= now + TimeDelta::days(1)).map(naive),
        pilots: reports.is_some().then_some(pilots),
        last_finished: last.map(naive),
    }
}

/// The first hour of the unbroken run of bad hours that lasts until now; hours without ended jobs do not
/// break it.
fn bad_since(name: &str, facts: &Facts) -> Option<String> {
    let mut hours: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for c in facts.hourly.iter().filter(|c| c.key(0) == Some(name)) {
        let hour = hours.entry(c.key(2).unwrap_or_default()).or_default();
        if c.key(1) == Some("failed") { hour.1 += c.jobs } else { hour.0 += c.jobs }
    }
    let bad = hours.iter().rev().take_while(|(_, (good, bad))| *bad as f64 >= SHARE * (*good + *bad) as f64);
    bad.last().map(|(hour, _)| format!("{hour}:00:00"))
}

fn rank(verdict: &str) -> u8 {
    match verdict {
        "failing" => 0,
        "no pilots" => 1,
        "stuck" => 2,
        "ok" => 3,
        _ => 4,
    }
}
