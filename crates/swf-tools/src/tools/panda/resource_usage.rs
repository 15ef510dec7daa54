//! Core-hours: what jobs held, what they used, and what failed jobs wasted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::activity::filters;
use super::list_jobs::links;
use crate::list::{Link, arguments};
use crate::panda::answer::{self, Answer, AsOf, share};
use crate::panda::filter::{JobFilter, Window, given, given_id};
use crate::panda::usage::{self, Bucket, Group, by, total};
use crate::panda::{self};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Core-hours of finished PanDA jobs, allocated and used, by queue, user and resource; lost has those of failed jobs.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ResourceUsage {
    /// Days back, default 30.
    pub days: Option<f64>,
    /// Queue; `%` is a wildcard.
    pub site: Option<String>,
    /// Owner; `%` is a wildcard.
    pub username: Option<String>,
    /// JEDI task id.
    pub taskid: Option<i64>,
    /// Working group.
    pub workinggroup: Option<String>,
    /// Jobs that ended from here, ISO 8601, UTC; replaces days.
    pub start_time: Option<String>,
    /// ISO 8601, excluded.
    pub end_time: Option<String>,
    /// Adds a series by hour, day, week or month.
    pub bucket: Option<Bucket>,
}

/// Core-hours.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Usage {
    /// Finished jobs: hours with one decimal.
    pub totals: Map<String, Value>,
    /// By queue, most allocated first.
    pub by_site: Vec<Map<String, Value>>,
    /// By owner, most allocated first.
    pub by_user: Vec<Map<String, Value>>,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// By kind of resource.
    pub by_resource_type: Vec<Map<String, Value>>,
    /// Failed, cancelled and closed jobs that ran; with their share of all allocated core-hours.
    pub lost: Map<String, Value>,
    /// The same by queue.
    pub lost_by_site: Vec<Map<String, Value>>,
    /// By time bucket, finished jobs and lost hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<Map<String, Value>>>,
    /// Which time of a job has to be in the window.
    pub window_of: String,
    /// Pages for people.
    pub monitor_urls: Vec<Link>,
    /// When it was true.
    pub as_of: AsOf,
    /// Set when the production is a made-up one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<bool>,
}

/// A longer series would not fit into an answer beside the rest.
const POINTS: usize = 400;

impl Tool for ResourceUsage {
    const NAME: &'static str = "panda_resource_usage";
    const TITLE: &'static str = "PanDA core-hours";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"days": 30, "bucket": "week"}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Usage>;

    async fn run(self, cx: &Cx) -> Result<Answer<Usage>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl ResourceUsage {
    async fn answer(&self, cx: &Cx) -> Result<Usage, Error> {
        let panda = panda::of(cx)?;
        let window =
            Window::read(cx.now, self.days, 30.0, self.start_time.as_deref(), self.end_time.as_deref())?;
        let until = window.end.unwrap_or(cx.now.naive_utc());
        let starts = self.bucket.map(|b| b.few(window.start, until, POINTS)).transpose()?;
        let by_end = self.start_time.is_some() || self.end_time.is_some();
        let owned = |text: &Option<String>| given(text.as_ref()).map(str::to_owned);
        let filter = JobFilter {
            username: owned(&self.username),
            site: owned(&self.site),
            workinggroup: owned(&self.workinggroup),
            taskid: given_id(self.taskid),
            ..JobFilter::default()
        };
        let catalog = panda.catalog().await?;
        let groups = usage::usage(panda, &catalog, &filter, window, by_end, self.bucket).await?;
        let (good, bad): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(|g| g.good);
        let (used, wasted) = (total(good.iter()), total(bad.iter()));
        let mut totals = used.json();
        totals.insert("efficiency".into(), used.efficiency());
        let mut lost = wasted.json();
        lost.insert(
            "share_of_allocated".into(),
            json!(share(wasted.allocated, wasted.allocated + used.allocated, 4)),
        );
        Ok(Usage {
            totals,
            by_site: by("site", good.iter(), |g| g.site.clone()),
            by_user: by("user", good.iter(), |g| g.user.clone()),
            filters: filters(
                json!({
                    "days": self.days.unwrap_or(30.0), "site": self.site, "username": self.username,
                    "taskid": self.taskid,
                }),
                &[
                    ("workinggroup", json!(self.workinggroup)),
                    ("start_time", json!(self.start_time)),
                    ("end_time", json!(self.end_time)),
                    ("bucket", json!(self.bucket)),
                ],
            ),
            by_resource_type: by("resource_type", good.iter(), |g| g.resource.clone()),
            lost,
            lost_by_site: by("site", bad.iter(), |g| g.site.clone()),
            series: starts.map(|starts| series(starts, &good, &bad)),
            window_of: if by_end { "endtime" } else { "modificationtime" }.into(),
            monitor_urls: links(cx, panda, "/panda/activity/", &arguments(self)),
            as_of: AsOf::new(cx, panda, Some(window)).with(&filter.used),
            synthetic: answer::synthetic(&catalog),
        })
    }
}

/// One row a bucket, also where nothing ended.
fn series(starts: Vec<String>, good: &[Group], bad: &[Group]) -> Vec<Map<String, Value>> {
    let mut rows: BTreeMap<String, (usage::Sums, usage::Sums)> =
        starts.into_iter().map(|start| (start, Default::default())).collect();
    for group in good {
        rows.entry(group.bucket.clone()).or_default().0 += group.sums;
    }
    for group in bad {
        rows.entry(group.bucket.clone()).or_default().1 += group.sums;
    }
    rows.into_iter()
        .map(|(start, (good, bad))| {
            let mut row = Map::new();
            row.insert("start".into(), json!(start));
            row.extend(good.json());
            row.insert("efficiency".into(), good.efficiency());
            row.insert("lost_core_hours".into(), json!(answer::round(bad.allocated / 3600.0, 1)));
            row
        })
        .collect()
}
