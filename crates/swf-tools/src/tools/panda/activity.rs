//! What PanDA is doing, as counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::list::{Link, arguments};
use crate::panda::answer::{self, Answer, AsOf};
use crate::panda::counts::{self, Key, by_name, by_status};
use crate::panda::filter::{JobFilter, Window, given};
use crate::panda::tasks::{self, TaskFilter};
use crate::panda::{self};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Counts of PanDA jobs and tasks by status, user and site, without rows. Ask this first.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GetActivity {
    /// Days back, default 1.
    pub days: Option<f64>,
    /// Owner; `%` is a wildcard.
    pub username: Option<String>,
    /// Queue (jobs only); `%` is a wildcard.
    pub site: Option<String>,
    /// Working group (tasks only), e.g. EIC.
    pub workinggroup: Option<String>,
    /// ISO 8601, UTC; replaces days.
    pub start_time: Option<String>,
    /// ISO 8601, excluded.
    pub end_time: Option<String>,
}

/// The counts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Activity {
    /// Jobs changed in the window.
    pub jobs: Jobs,
    /// Tasks changed in the window.
    pub tasks: Tasks,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// What the filters do not cover.
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

/// Counts of jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Jobs {
    /// All.
    pub total: i64,
    /// By status.
    pub by_status: Map<String, Value>,
    /// By owner and status.
    pub by_user: Vec<Map<String, Value>>,
    /// By queue and status.
    pub by_site: Vec<Map<String, Value>>,
    /// Jobs not ended, whatever the window: number and age of the oldest by status.
    pub in_flight: Map<String, Value>,
}

/// Counts of tasks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tasks {
    /// All.
    pub total: i64,
    /// By status.
    pub by_status: Map<String, Value>,
    /// By owner and status.
    pub by_user: Vec<Map<String, Value>>,
}

impl Tool for GetActivity {
    const NAME: &'static str = "panda_get_activity";
    const TITLE: &'static str = "PanDA activity";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"days": 7}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Activity>;

    async fn run(self, cx: &Cx) -> Result<Answer<Activity>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl GetActivity {
    async fn answer(&self, cx: &Cx) -> Result<Activity, Error> {
        let panda = panda::of(cx)?;
        let window =
            Window::read(cx.now, self.days, 1.0, self.start_time.as_deref(), self.end_time.as_deref())?;
        let catalog = panda.catalog().await?;
        let jobs = JobFilter {
            window: Some(window),
            username: given(self.username.as_ref()).map(str::to_owned),
            site: given(self.site.as_ref()).map(str::to_owned),
            ..JobFilter::default()
        };
        let wanted = TaskFilter {
            window: Some(window),
            stale_before: Some(tasks::stale_before(cx.now)),
            username: jobs.username.clone(),
            workinggroup: given(self.workinggroup.as_ref()).map(str::to_owned),
            ..TaskFilter::default()
        };
        let keys = [Key::Status, Key::User, Key::Site];
        let (counted, in_flight, tasks) = tokio::join!(
            counts::counts(panda, &catalog, &jobs, &keys),
            counts::in_flight(panda, &catalog, &jobs, cx.now),
            tasks::counts(panda, &catalog, &wanted),
        );
        let (counted, mut dark) = counted?;
        let in_flight = in_flight.unwrap_or_else(|e| {
            dark.push(format!("jobs in flight: {e}"));
            Map::new()
        });
        let tasks = tasks.unwrap_or_else(|e| {
            dark.push(format!("tasks: {e}"));
            Vec::new()
        });
        let links = arguments(self);
        Ok(Activity {
            jobs: Jobs {
                total: counted.iter().map(|c| c.jobs).sum(),
                by_status: by_status(counted.iter().map(|c| (c.key(0), c.jobs))),
                by_user: by_name("user", counted.iter().map(|c| (c.key(1), c.key(0), c.jobs))),
                by_site: by_name("site", counted.iter().map(|c| (c.key(2), c.key(0), c.jobs))),
                in_flight,
            },
            tasks: Tasks {
                total: tasks.iter().map(|t| t.2).sum(),
                by_status: by_status(tasks.iter().map(|t| (t.0.as_deref(), t.2))),
                by_user: by_name("user", tasks.iter().map(|t| (t.1.as_deref(), t.0.as_deref(), t.2))),
            },
            filters: filters(
                json!({"days": self.days.unwrap_or(1.0), "username": self.username, "site": self.site, "workinggroup": self.workinggroup}),
                &[("start_time", json!(self.start_time)), ("end_time", json!(self.end_time))],
            ),
            note: "site limits jobs only, workinggroup tasks only; queued jobs (pending, defined, assigned) are counted".into(),
            monitor_urls: [Some(answer::page(cx, "PanDA activity", "/panda/activity/", &links)), answer::monitor(panda, "PanDA monitor: jobs", "/jobs/")].into_iter().flatten().collect(),
            as_of: AsOf::new(cx, panda, Some(window)).with(&jobs.used),
            synthetic: answer::synthetic(&catalog),
            dark,
        })
    }
}

/// The echo of the arguments: those of the original always, ours when given. Whole numbers stay whole.
pub(super) fn filters(original: Value, ours: &[(&str, Value)]) -> Map<String, Value> {
    let mut out = match original {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for (name, value) in ours {
        if !value.is_null() {
            out.insert((*name).to_owned(), value.clone());
        }
    }
    for value in out.values_mut() {
        if let Some(f) = value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e15 && !value.is_i64()) {
            *value = json!(f as i64);
        }
    }
    out
}
