//! The errors of many jobs as few patterns, in words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::activity::filters;
use super::diagnose::statuses;
use super::list_jobs::links;
use crate::list::{Link, arguments};
use crate::panda::answer::{self, Answer, AsOf};
use crate::panda::counts::{self, Key, by_status};
use crate::panda::errors::Class;
use crate::panda::filter::{JobFilter, Window, component, given, given_id, limit};
use crate::panda::patterns::{self, Pattern};
use crate::panda::{self};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Errors of PanDA jobs ranked by frequency, as patterns with meaning and advice. benign marks decisions (kills, reassignments), not faults. The site where a job ran is not proof of the cause.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ErrorSummary {
    /// Days back by last change, default 10.
    pub days: Option<f64>,
    /// Owner; `%` is a wildcard.
    pub username: Option<String>,
    /// Queue; `%` is a wildcard.
    pub site: Option<String>,
    /// Destination storage; `%` is a wildcard.
    pub destinationse: Option<String>,
    /// JEDI task id.
    pub taskid: Option<i64>,
    /// One component, as in panda_diagnose_jobs.
    pub error_source: Option<String>,
    /// Patterns, default 20, at most 500.
    pub limit: Option<i64>,
    /// failed, cancelled or closed; default all.
    pub status: Option<String>,
    /// Only this code.
    pub error_code: Option<i64>,
    /// Leave out decisions.
    pub exclude_benign: Option<bool>,
    /// Leave out failures that a retry made good.
    pub exclude_retried: Option<bool>,
    /// false: keep texts apart that differ in numbers or hosts only.
    pub normalise: Option<bool>,
    /// ISO 8601, UTC; replaces days.
    pub start_time: Option<String>,
    /// ISO 8601, excluded.
    pub end_time: Option<String>,
}

/// The patterns.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Errors {
    /// Errors in the patterns returned; a job with two errors counts in two.
    pub total_errors: i64,
    /// The patterns.
    pub errors: Vec<ErrorPattern>,
    /// Patterns returned.
    pub count: usize,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// Jobs of the window by status.
    pub jobs: Map<String, Value>,
    /// Patterns in the window.
    pub patterns_in_window: usize,
    /// Errors in the window that are faults.
    pub fault_errors: i64,
    /// Errors in the window that are decisions.
    pub benign_errors: i64,
    /// Whether failures that a retry made good were left out.
    pub retried_excluded: bool,
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

/// Jobs that failed in the same way.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorPattern {
    /// Component.
    pub error_source: String,
    /// Code.
    pub error_code: i64,
    /// The most frequent text.
    pub error_diag: String,
    /// Jobs.
    pub count: i64,
    /// Tasks.
    pub task_count: usize,
    /// Owners.
    pub users: Vec<Option<String>>,
    /// Queues.
    pub sites: Vec<Option<String>>,
    /// Destination storage; files are kept for 30 days.
    pub destination_sites: Vec<String>,
    /// The text without ids, times and hosts.
    pub pattern: String,
    /// Texts that became this pattern.
    pub texts: usize,
    /// Name of the code.
    pub name: String,
    /// What happened.
    pub meaning: String,
    /// What a person does.
    pub action: String,
    /// Kind of fault.
    pub class: Class,
    /// A decision, not a fault.
    pub benign: bool,
    /// `system` or `user`, where PanDA's own table classifies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responsible: Option<String>,
    /// Jobs by queue, the ten largest.
    pub site_counts: Map<String, Value>,
    /// Jobs whose payload never started.
    pub never_started_count: i64,
    /// Seen at more than one queue.
    pub multi_site: bool,
    /// First and last seen, UTC.
    pub first_seen: Option<String>,
    /// See `first_seen`.
    pub last_seen: Option<String>,
    /// Some of the jobs, newest first.
    pub representative_pandaids: Vec<i64>,
}

impl Tool for ErrorSummary {
    const NAME: &'static str = "panda_error_summary";
    const TITLE: &'static str = "PanDA errors";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"days": 7, "exclude_benign": true}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Errors>;

    async fn run(self, cx: &Cx) -> Result<Answer<Errors>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl ErrorSummary {
    async fn answer(&self, cx: &Cx) -> Result<Errors, Error> {
        let panda = panda::of(cx)?;
        let limit = usize::try_from(limit(self.limit, 20, 500)?).unwrap_or(20);
        let window =
            Window::read(cx.now, self.days, 10.0, self.start_time.as_deref(), self.end_time.as_deref())?;
        let filter = self.filter(window)?;
        let catalog = panda.catalog().await?;
        let (patterns, jobs) = tokio::join!(
            patterns::patterns(panda, &catalog, &filter, self.normalise.unwrap_or(true), true),
            counts::counts(panda, &catalog, &filter, &[Key::Status]),
        );
        let mut all = patterns?;
        let (jobs, mut dark) = jobs?;
        let errors =
            |benign: bool| all.iter().filter(|p| p.explanation.benign == benign).map(|p| p.jobs).sum();
        let (fault_errors, benign_errors) = (errors(false), errors(true));
        if self.exclude_benign.unwrap_or(false) {
            all.retain(|p| !p.explanation.benign);
        }
        let patterns_in_window = all.len();
        all.truncate(limit);
        dark.extend(catalog.trouble("filestable4").map(|why| format!("{why}: destination_sites is empty")));
        let errors: Vec<ErrorPattern> = all.into_iter().map(told).collect();
        Ok(Errors {
            total_errors: errors.iter().map(|e| e.count).sum(),
            count: errors.len(),
            errors,
            filters: self.filters(),
            jobs: by_status(jobs.iter().map(|c| (c.key(0), c.jobs))),
            patterns_in_window,
            fault_errors,
            benign_errors,
            retried_excluded: filter.exclude_retried,
            monitor_urls: links(cx, panda, "/panda/errors/", &arguments(self)),
            as_of: AsOf::new(cx, panda, Some(window)).with(&filter.used),
            synthetic: answer::synthetic(&catalog),
            dark,
        })
    }

    fn filter(&self, window: Window) -> Result<JobFilter, Error> {
        let owned = |text: &Option<String>| given(text.as_ref()).map(str::to_owned);
        let component = component("error_source", given(self.error_source.as_ref()))?;
        Ok(JobFilter {
            window: Some(window),
            statuses: statuses(given(self.status.as_ref()))?,
            username: owned(&self.username),
            site: owned(&self.site),
            taskid: given_id(self.taskid),
            destinationse: owned(&self.destinationse),
            component: component.map(|(_, prefix)| prefix),
            error_code: self.error_code,
            exclude_retried: self.exclude_retried.unwrap_or(false),
            ..JobFilter::default()
        })
    }

    fn filters(&self) -> Map<String, Value> {
        filters(
            json!({
                "days": self.days.unwrap_or(10.0), "username": self.username, "site": self.site,
                "taskid": self.taskid, "error_source": self.error_source,
            }),
            &[
                ("destinationse", json!(self.destinationse)),
                ("status", json!(self.status)),
                ("error_code", json!(self.error_code)),
                ("exclude_benign", json!(self.exclude_benign)),
                ("exclude_retried", json!(self.exclude_retried)),
                ("normalise", json!(self.normalise)),
                ("start_time", json!(self.start_time)),
                ("end_time", json!(self.end_time)),
            ],
        )
    }
}

fn told(p: Pattern) -> ErrorPattern {
    let mut sites: Vec<(&Option<String>, &i64)> = p.sites.iter().collect();
    sites.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let site_counts = sites
        .iter()
        .take(10)
        .map(|(s, n)| ((*s).clone().unwrap_or_else(|| "unknown".into()), json!(n)))
        .collect();
    ErrorPattern {
        error_source: p.source.into(),
        error_code: p.code,
        error_diag: p.diag,
        count: p.jobs,
        task_count: p.tasks.len(),
        users: p.users.into_iter().collect(),
        multi_site: p.sites.len() > 1,
        sites: p.sites.keys().cloned().collect(),
        destination_sites: p.storage.into_iter().collect(),
        pattern: p.pattern,
        texts: p.texts,
        name: p.explanation.name,
        meaning: p.explanation.meaning,
        action: p.explanation.action,
        class: p.explanation.class,
        benign: p.explanation.benign,
        responsible: p.explanation.responsible,
        site_counts,
        never_started_count: p.never_started,
        first_seen: p.first.map(answer::naive),
        last_seen: p.last.map(answer::naive),
        representative_pandaids: p.ids,
    }
}
