//! Lists JEDI tasks with what is computed for them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::activity::filters;
use super::list_jobs::{Pagination, links};
use crate::list::{Link, Truncated, arguments};
use crate::panda::answer::{self, Answer, AsOf, fit};
use crate::panda::counts::by_status;
use crate::panda::filter::{Window, given, given_id, limit};
use crate::panda::tasks::{self, TaskFilter};
use crate::panda::{self, jobs, tags};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// List JEDI tasks, newest id first, with jobs, final failure rate, progress and the tags in their names. Unfinished tasks older than 60 days are left out unless asked for by taskid.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListTasks {
    /// Days back by last change, default 7.
    pub days: Option<f64>,
    /// done, failed, running, ready, broken, aborted, pending, finished, exhausted, …
    pub status: Option<String>,
    /// Owner; `%` is a wildcard.
    pub username: Option<String>,
    /// Name; `%` is a wildcard.
    pub taskname: Option<String>,
    /// Request id.
    pub reqid: Option<i64>,
    /// Working group, e.g. EIC.
    pub workinggroup: Option<String>,
    /// JEDI task id, any age.
    pub taskid: Option<i64>,
    /// Kind of processing; `%` is a wildcard.
    pub processingtype: Option<String>,
    /// Rows, default 25, at most 500.
    pub limit: Option<i64>,
    /// `next_before_id` of the page before.
    pub before_id: Option<i64>,
    /// `failures`: worst final failure rate first, among the 500 newest.
    pub order: Option<String>,
    /// ISO 8601, UTC; replaces days.
    pub start_time: Option<String>,
    /// ISO 8601, excluded.
    pub end_time: Option<String>,
}

/// A page of tasks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TaskList {
    /// Tasks of the window by status.
    pub summary: Map<String, Value>,
    /// Tasks of the window.
    pub total_in_window: i64,
    /// The page.
    pub tasks: Vec<Map<String, Value>>,
    /// Rows of the page.
    pub count: usize,
    /// How to go on.
    pub pagination: Pagination,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// What the states on this page mean.
    pub status_meanings: Map<String, Value>,
    /// What the tags in the names mean; null for tags that are not in the catalogue.
    pub tags: Map<String, Value>,
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

/// Tasks looked through for the worst ones.
const CANDIDATES: i64 = 500;

impl Tool for ListTasks {
    const NAME: &'static str = "panda_list_tasks";
    const TITLE: &'static str = "PanDA tasks";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"days": 14, "taskname": "%26.02.0%"}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<TaskList>;

    async fn run(self, cx: &Cx) -> Result<Answer<TaskList>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl ListTasks {
    async fn answer(&self, cx: &Cx) -> Result<TaskList, Error> {
        let panda = panda::of(cx)?;
        let limit = limit(self.limit, 25, CANDIDATES)?;
        let worst = match self.order.as_deref() {
            None | Some("newest" | "") => false,
            Some("failures") => true,
            Some(other) => {
                return Err(Error::invalid("order", format!("'{other}' is not one of newest, failures")));
            }
        };
        let window =
            Window::read(cx.now, self.days, 7.0, self.start_time.as_deref(), self.end_time.as_deref())?;
        jobs::state(given(self.status.as_ref()), &tasks::STATES)?;
        let filter = self.filter(cx, window);
        let catalog = panda.catalog().await?;
        let fetched = if worst { CANDIDATES } else { limit + 1 };
        let (counts, rows) = tokio::join!(
            tasks::counts(panda, &catalog, &filter),
            tasks::rows(panda, &catalog, &filter, given_id(self.before_id), fetched),
        );
        let (counts, mut page) = (counts?, rows?);
        let keep = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut has_more = page.len() > keep;
        if !worst {
            page.truncate(keep);
        }
        let facts = tasks::facts(panda, &catalog, &page).await;
        let mut listed: Vec<_> = page.iter().map(|row| facts.task(row)).collect();
        if worst {
            rank(&mut listed);
            listed.truncate(keep);
            has_more = false;
        }
        let mut dark = facts.dark;
        let cut = fit(&mut listed, cx.settings().answer_ceiling.saturating_sub(8000));
        let tags = meanings(cx, &listed, &mut dark).await;
        requested(cx, &mut listed, &mut dark).await;
        let next_before_id = (!worst && (has_more || cut > 0)).then(|| last_id(&listed)).flatten();
        Ok(TaskList {
            summary: by_status(counts.iter().map(|c| (c.0.as_deref(), c.2))),
            total_in_window: counts.iter().map(|c| c.2).sum(),
            count: listed.len(),
            status_meanings: status_meanings(&listed),
            tasks: listed,
            pagination: Pagination {
                before_id: self.before_id,
                has_more: has_more || cut > 0,
                next_before_id,
                limit,
            },
            filters: self.filters(),
            tags,
            truncated: (cut > 0)
                .then_some(Truncated { rows: cut, limit_bytes: cx.settings().answer_ceiling }),
            monitor_urls: links(cx, panda, "/panda/tasks/", &arguments(self)),
            as_of: AsOf::new(cx, panda, filter.window),
            synthetic: answer::synthetic(&catalog),
            dark,
        })
    }

    /// A task asked for by its id is found whatever its age.
    fn filter(&self, cx: &Cx, window: Window) -> TaskFilter {
        let owned = |text: &Option<String>| given(text.as_ref()).map(str::to_owned);
        let taskid = given_id(self.taskid);
        TaskFilter {
            window: (taskid.is_none() || window.given).then_some(window),
            stale_before: taskid.is_none().then(|| tasks::stale_before(cx.now)),
            status: owned(&self.status),
            username: owned(&self.username),
            taskname: owned(&self.taskname),
            reqid: given_id(self.reqid),
            workinggroup: owned(&self.workinggroup),
            taskid,
            processingtype: owned(&self.processingtype),
        }
    }

    fn filters(&self) -> Map<String, Value> {
        filters(
            json!({
                "days": self.days.unwrap_or(7.0), "status": self.status, "username": self.username,
                "taskname": self.taskname, "reqid": self.reqid, "workinggroup": self.workinggroup,
                "taskid": self.taskid,
            }),
            &[
                ("processingtype", json!(self.processingtype)),
                ("order", json!(self.order)),
                ("start_time", json!(self.start_time)),
                ("end_time", json!(self.end_time)),
            ],
        )
    }
}

/// Worst final failure rate first; then most failed files; then newest.
fn rank(tasks: &mut [Map<String, Value>]) {
    let number = |task: &Map<String, Value>, key: &str| task.get(key).and_then(Value::as_f64).unwrap_or(-1.0);
    tasks.sort_by(|a, b| {
        ["computed_finalfailurerate", "nfinalfailed", "jeditaskid"]
            .iter()
            .map(|key| number(b, key).total_cmp(&number(a, key)))
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
}

fn last_id(tasks: &[Map<String, Value>]) -> Option<i64> {
    tasks.last()?.get("jeditaskid")?.as_i64()
}

fn status_meanings(tasks: &[Map<String, Value>]) -> Map<String, Value> {
    let states: BTreeSet<&str> = tasks.iter().filter_map(|t| t.get("status")?.as_str()).collect();
    states.into_iter().filter_map(|s| Some((s.to_owned(), json!(tasks::meaning(s)?)))).collect()
}

/// Adds who asked for a task, where the production catalogue knows it.
async fn requested(cx: &Cx, tasks: &mut [Map<String, Value>], dark: &mut Vec<String>) {
    let id = |task: &Map<String, Value>| task.get("jeditaskid").and_then(Value::as_i64);
    let ids: Vec<i64> = tasks.iter().filter_map(id).collect();
    match tags::requesters(cx, &ids).await {
        Ok(names) => {
            for task in tasks {
                let name = id(task).and_then(|id| names.get(&id));
                task.insert("requested_by".into(), json!(name));
            }
        }
        Err(why) => dark.push(why),
    }
}

pub(super) async fn meanings(
    cx: &Cx,
    tasks: &[Map<String, Value>],
    dark: &mut Vec<String>,
) -> Map<String, Value> {
    let labels: BTreeSet<String> =
        tasks.iter().filter_map(|t| t.get("taskname")?.as_str()).flat_map(tags::in_name).collect();
    tags::meanings(cx, &labels).await.unwrap_or_else(|why| {
        dark.push(why);
        Map::new()
    })
}
