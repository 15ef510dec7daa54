//! Lists jobs.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::activity::filters;
use crate::list::{Link, Truncated, arguments};
use crate::panda::answer::{self, Answer, AsOf, fit, int};
use crate::panda::counts::{self, Key, by_status};
use crate::panda::filter::{ALL, JobFilter, Window, given, given_id, limit};
use crate::panda::jobs::{self, FIELDS, PageOf};
use crate::panda::{self, Panda};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// List PanDA jobs, newest id first, with counts by status; queued jobs are included.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListJobs {
    /// Days back by last change, default 7.
    pub days: Option<f64>,
    /// Job status, e.g. running, activated, failed.
    pub status: Option<String>,
    /// Owner; `%` is a wildcard.
    pub username: Option<String>,
    /// Queue; `%` is a wildcard.
    pub site: Option<String>,
    /// JEDI task id.
    pub taskid: Option<i64>,
    /// Request id.
    pub reqid: Option<i64>,
    /// Rows, default 200, at most 1000.
    pub limit: Option<i64>,
    /// `next_before_id` of the page before.
    pub before_id: Option<i64>,
    /// `oldest` for smallest ids first: what is stuck?
    pub order: Option<String>,
    /// false: skip counts, faster.
    pub counts: Option<bool>,
    /// ISO 8601, UTC; replaces days.
    pub start_time: Option<String>,
    /// ISO 8601, excluded.
    pub end_time: Option<String>,
}

/// A page of jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobList {
    /// Jobs of the window by status.
    pub summary: Map<String, Value>,
    /// Jobs of the window; null when counts were not asked for.
    pub total_in_window: Option<i64>,
    /// The page.
    pub jobs: Vec<Map<String, Value>>,
    /// Rows of the page.
    pub count: usize,
    /// How to go on.
    pub pagination: Pagination,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// Jobs not ended, whatever the window: number and age of the oldest by status.
    pub in_flight: Map<String, Value>,
    /// Rows left out to keep the answer short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
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

/// How to go on.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Pagination {
    /// Where this page began.
    pub before_id: Option<i64>,
    /// There are more.
    pub has_more: bool,
    /// `before_id` of the next page.
    pub next_before_id: Option<i64>,
    /// Rows asked for.
    pub limit: i64,
}

impl Tool for ListJobs {
    const NAME: &'static str = "panda_list_jobs";
    const TITLE: &'static str = "PanDA jobs";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"days": 7, "status": "failed", "limit": 20}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<JobList>;

    async fn run(self, cx: &Cx) -> Result<Answer<JobList>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl ListJobs {
    async fn answer(&self, cx: &Cx) -> Result<JobList, Error> {
        let panda = panda::of(cx)?;
        let limit = limit(self.limit, 200, 1000)?;
        let oldest_first = oldest_first(self.order.as_deref())?;
        let window =
            Window::read(cx.now, self.days, 7.0, self.start_time.as_deref(), self.end_time.as_deref())?;
        jobs::state(given(self.status.as_ref()), &jobs::STATES)?;
        let filter = self.filter(window);
        let catalog = panda.catalog().await?;
        let of = PageOf { before_id: given_id(self.before_id), oldest_first, limit };
        let columns: Vec<&str> = FIELDS.iter().copied().chain(["statechangetime"]).collect();
        let count = async {
            match self.counts {
                Some(false) => Ok(None),
                _ => counts::counts(panda, &catalog, &filter, &[Key::Status]).await.map(Some),
            }
        };
        let listed = async {
            let page = jobs::page(panda, &catalog, &filter, &ALL, &columns, of).await?;
            let storage = jobs::destinations(panda, &catalog, &page.rows).await;
            Ok::<_, Error>((page, storage))
        };
        let flight = async {
            match self.counts {
                Some(false) => Ok(Map::new()),
                _ => counts::in_flight(panda, &catalog, &filter, cx.now).await,
            }
        };
        let (counted, listed, flight) = tokio::join!(count, listed, flight);
        let (page, storage) = listed?;
        let mut dark = page.dark;
        let storage = storage.unwrap_or_else(|why| {
            dark.push(why);
            HashMap::new()
        });
        let counted = counted.unwrap_or_else(|e| {
            dark.push(format!("counts: {e}"));
            None
        });
        let mut rows: Vec<_> = page.rows.iter().map(|r| jobs::listed(r, &FIELDS, &storage, cx.now)).collect();
        let (pagination, truncated) =
            paginate(cx, &mut rows, &page.rows, page.has_more, (self.before_id, limit), COUNTS);
        let counts = counted.map(|(c, _)| c);
        Ok(JobList {
            summary: by_status(counts.iter().flatten().map(|c| (c.key(0), c.jobs))),
            total_in_window: counts.as_ref().map(|c| c.iter().map(|c| c.jobs).sum()),
            count: rows.len(),
            jobs: rows,
            pagination,
            filters: self.filters(),
            in_flight: flight.unwrap_or_default(),
            truncated,
            monitor_urls: links(cx, panda, "/panda/jobs/", &arguments(self)),
            as_of: AsOf::new(cx, panda, Some(window)).with(&filter.used),
            synthetic: answer::synthetic(&catalog),
            dark,
        })
    }

    fn filter(&self, window: Window) -> JobFilter {
        let owned = |text: &Option<String>| given(text.as_ref()).map(str::to_owned);
        JobFilter {
            window: Some(window),
            statuses: owned(&self.status).into_iter().collect(),
            username: owned(&self.username),
            site: owned(&self.site),
            taskid: given_id(self.taskid),
            reqid: given_id(self.reqid),
            ..JobFilter::default()
        }
    }

    fn filters(&self) -> Map<String, Value> {
        filters(
            json!({
                "days": self.days.unwrap_or(7.0), "status": self.status, "username": self.username,
                "site": self.site, "taskid": self.taskid, "reqid": self.reqid,
            }),
            &[
                ("order", json!(self.order)),
                ("start_time", json!(self.start_time)),
                ("end_time", json!(self.end_time)),
            ],
        )
    }
}

fn oldest_first(order: Option<&str>) -> Result<bool, Error> {
    match order {
        None | Some("newest" | "") => Ok(false),
        Some("oldest") => Ok(true),
        Some(other) => Err(Error::invalid("order", format!("'{other}' is not one of newest, oldest"))),
    }
}

/// Bytes of an answer that its counts, links and filters may take.
pub(super) const COUNTS: usize = 6000;

/// Cuts the page to the answer's byte ceiling, with room for what stands `around` it, and says how to go on from
/// its last row.
pub(super) fn paginate(
    cx: &Cx,
    rows: &mut Vec<Map<String, Value>>,
    page: &[swf_db::Row],
    has_more: bool,
    (before_id, limit): (Option<i64>, i64),
    around: usize,
) -> (Pagination, Option<Truncated>) {
    let ceiling = cx.settings().answer_ceiling;
    let cut = fit(rows, ceiling.saturating_sub(around));
    let has_more = has_more || cut > 0;
    let last = rows.len().checked_sub(1).and_then(|at| page.get(at)).map(|r| int(r, "pandaid"));
    let next_before_id = last.filter(|_| has_more);
    let truncated = (cut > 0).then_some(Truncated { rows: cut, limit_bytes: ceiling });
    (Pagination { before_id, has_more, next_before_id, limit }, truncated)
}

/// Our page and the PanDA monitor's.
pub(super) fn links(cx: &Cx, panda: &Panda, path: &str, filters: &Map<String, Value>) -> Vec<Link> {
    let task = filters.get("taskid").and_then(Value::as_i64);
    let monitor = match task {
        Some(id) => answer::monitor(panda, "PanDA monitor: task", &format!("/task/{id}/")),
        None => answer::monitor(panda, "PanDA monitor: jobs", "/jobs/"),
    };
    [Some(answer::page(cx, "this list", path, filters)), monitor].into_iter().flatten().collect()
}
