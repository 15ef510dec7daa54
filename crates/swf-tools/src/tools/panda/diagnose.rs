//! Lists failed jobs with every error in words.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use swf_db::Row;

use super::activity::filters;
use super::list_jobs::{COUNTS, Pagination, links, paginate};
use crate::list::{Link, Truncated, arguments};
use crate::panda::answer::{self, Answer, AsOf, text};
use crate::panda::counts::{self, Key, by_status};
use crate::panda::errors::{COMPONENTS, JobError, cause};
use crate::panda::filter::{ENDED, FAULTY, JobFilter, Window, component, given, given_id, limit};
use crate::panda::jobs::{self, ERROR_FIELDS, FIELDS, PageOf, error_json};
use crate::panda::patterns::{self, Frequency};
use crate::panda::{self, Catalog, Panda};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Failed, cancelled and closed PanDA jobs with all error codes in words. Start with panda_error_summary.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiagnoseJobs {
    /// Days back by last change, default 7.
    pub days: Option<f64>,
    /// Owner; `%` is a wildcard.
    pub username: Option<String>,
    /// Queue; `%` is a wildcard.
    pub site: Option<String>,
    /// JEDI task id.
    pub taskid: Option<i64>,
    /// Request id.
    pub reqid: Option<i64>,
    /// brokerage, ddm, executor, dispatcher, pilot, supervisor or taskbuffer.
    pub error_component: Option<String>,
    /// Rows, default 500, at most 1000.
    pub limit: Option<i64>,
    /// `next_before_id` of the page before.
    pub before_id: Option<i64>,
    /// failed, cancelled or closed; default all three.
    pub status: Option<String>,
    /// Only this error code.
    pub error_code: Option<i64>,
    /// Only this payload exit code.
    pub exit_code: Option<String>,
    /// Leave out failures that a retry made good.
    pub exclude_retried: Option<bool>,
    /// ISO 8601, UTC; replaces days.
    pub start_time: Option<String>,
    /// ISO 8601, excluded.
    pub end_time: Option<String>,
}

/// A page of failed jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// Errors of this page.
    pub error_summary: Summary,
    /// The page.
    pub jobs: Vec<Map<String, Value>>,
    /// Rows of the page.
    pub count: usize,
    /// How to go on.
    pub pagination: Pagination,
    /// Arguments in force.
    pub filters: Map<String, Value>,
    /// Errors of the whole window: jobs by status and component, the most frequent codes.
    pub window: Map<String, Value>,
    /// Whether failures that a retry made good were left out.
    pub retried_excluded: bool,
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

/// Errors of a page, as clients of the original know them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// Jobs of the page.
    pub total_faulty_jobs: usize,
    /// Errors by component.
    pub by_component: Map<String, Value>,
    /// The most frequent codes, with meaning and advice.
    pub top_error_codes: Vec<Value>,
}

/// Further fields of a diagnosed job, after the errors.
const MORE: [&str; 8] = [
    "jobname",
    "pilotid",
    "computingelement",
    "jobmetrics",
    "specialhandling",
    "commandtopilot",
    "maxrss",
    "maxpss",
];

impl Tool for DiagnoseJobs {
    const NAME: &'static str = "panda_diagnose_jobs";
    const TITLE: &'static str = "PanDA job failures";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"days": 7, "error_component": "pilot", "limit": 20}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Diagnosis>;

    async fn run(self, cx: &Cx) -> Result<Answer<Diagnosis>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

impl DiagnoseJobs {
    async fn answer(&self, cx: &Cx) -> Result<Diagnosis, Error> {
        let panda = panda::of(cx)?;
        let limit = limit(self.limit, 500, 1000)?;
        let window =
            Window::read(cx.now, self.days, 7.0, self.start_time.as_deref(), self.end_time.as_deref())?;
        let filter = self.filter(window)?;
        let catalog = panda.catalog().await?;
        let of = PageOf { before_id: given_id(self.before_id), oldest_first: false, limit };
        let columns: Vec<&str> = FIELDS.into_iter().chain(ERROR_FIELDS).chain(MORE).collect();
        let listed = async {
            let page = jobs::page(panda, &catalog, &filter, &ENDED, &columns, of).await?;
            let storage = jobs::destinations(panda, &catalog, &page.rows).await;
            Ok::<_, Error>((page, storage))
        };
        let (listed, totals) = tokio::join!(listed, of_window(panda, &catalog, &filter));
        let (page, storage) = listed?;
        let mut dark = page.dark;
        let storage = storage.unwrap_or_else(|why| {
            dark.push(why);
            HashMap::new()
        });
        let window_errors = totals.unwrap_or_else(|e| {
            dark.push(format!("errors of the window: {e}"));
            Map::new()
        });
        let errors: Vec<Vec<JobError>> = page.rows.iter().map(jobs::errors).collect();
        let error_summary = of_page(&errors, &catalog);
        let rows = page.rows.iter().zip(&errors);
        let mut rows: Vec<_> =
            rows.map(|(row, errors)| diagnosed(row, errors, &storage, &columns, (cx, &catalog))).collect();
        let around = COUNTS + serde_json::to_string(&(&error_summary, &window_errors)).map_or(0, |t| t.len());
        let (pagination, truncated) =
            paginate(cx, &mut rows, &page.rows, page.has_more, (self.before_id, limit), around);
        Ok(Diagnosis {
            error_summary,
            count: rows.len(),
            jobs: rows,
            pagination,
            filters: self.filters(),
            window: window_errors,
            retried_excluded: filter.exclude_retried,
            truncated,
            monitor_urls: links(cx, panda, "/panda/diagnostics/", &arguments(self)),
            as_of: AsOf::new(cx, panda, Some(window)).with(&filter.used),
            synthetic: answer::synthetic(&catalog),
            dark,
        })
    }

    fn filter(&self, window: Window) -> Result<JobFilter, Error> {
        let owned = |text: &Option<String>| given(text.as_ref()).map(str::to_owned);
        let component = component("error_component", given(self.error_component.as_ref()))?;
        Ok(JobFilter {
            window: Some(window),
            statuses: statuses(given(self.status.as_ref()))?,
            username: owned(&self.username),
            site: owned(&self.site),
            taskid: given_id(self.taskid),
            reqid: given_id(self.reqid),
            component: component.map(|(_, prefix)| prefix),
            error_code: self.error_code,
            exit_code: owned(&self.exit_code),
            exclude_retried: self.exclude_retried.unwrap_or(false),
            ..JobFilter::default()
        })
    }

    fn filters(&self) -> Map<String, Value> {
        filters(
            json!({
                "days": self.days.unwrap_or(7.0), "username": self.username, "site": self.site,
                "taskid": self.taskid, "reqid": self.reqid, "error_component": self.error_component,
            }),
            &[
                ("status", json!(self.status)),
                ("error_code", json!(self.error_code)),
                ("exit_code", json!(self.exit_code)),
                ("exclude_retried", json!(self.exclude_retried)),
                ("start_time", json!(self.start_time)),
                ("end_time", json!(self.end_time)),
            ],
        )
    }
}

/// One of the bad ends, or all of them.
pub(super) fn statuses(status: Option<&str>) -> Result<Vec<String>, Error> {
    match status {
        None => Ok(FAULTY.map(str::to_owned).to_vec()),
        Some(one) if FAULTY.contains(&one) => Ok(vec![one.to_owned()]),
        Some(other) => {
            Err(Error::invalid("status", format!("'{other}' is not one of failed, cancelled, closed")))
        }
    }
}

fn diagnosed(
    row: &Row,
    errors: &[JobError],
    storage: &HashMap<i64, String>,
    columns: &[&str],
    (cx, catalog): (&Cx, &Catalog),
) -> Map<String, Value> {
    let mut out = jobs::listed(row, columns, storage, cx.now);
    let destination = out.remove("destinationse").unwrap_or_default();
    out.insert("errors".into(), errors.iter().map(error_json).collect());
    out.insert("destinationse".into(), destination);
    let status = text(row, "jobstatus").unwrap_or_default();
    if let Some(cause) = cause(errors, &status) {
        let words = catalog.words().error(cause);
        let text = format!("{} {} {}: {}", cause.component, cause.code, words.name, words.meaning);
        out.insert("cause".into(), text.into());
        out.insert("benign".into(), words.benign.into());
    }
    out
}

fn of_page(jobs: &[Vec<JobError>], catalog: &Catalog) -> Summary {
    let mut components: Vec<(&str, i64)> = Vec::new();
    let mut codes: Vec<(&JobError, i64)> = Vec::new();
    for error in jobs.iter().flatten() {
        match components.iter_mut().find(|(c, _)| *c == error.component) {
            Some((_, n)) => *n += 1,
            None => components.push((error.component, 1)),
        }
        match codes.iter_mut().find(|(e, _)| e.component == error.component && e.code == error.code) {
            Some((_, n)) => *n += 1,
            None => codes.push((error, 1)),
        }
    }
    // Equal ones stay in the order of their first appearance, as in the original.
    codes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    Summary {
        total_faulty_jobs: jobs.len(),
        top_error_codes: codes.into_iter().take(20).map(|(error, n)| top(catalog, error, n)).collect(),
        by_component: components.into_iter().map(|(c, n)| (c.to_owned(), json!(n))).collect(),
    }
}

/// Errors of the whole window: one pass over what is not remembered.
async fn of_window(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
) -> Result<Map<String, Value>, Error> {
    let (counted, seen) = tokio::join!(
        counts::counts(panda, catalog, filter, &[Key::Status]),
        patterns::frequencies(panda, catalog, filter),
    );
    let (counted, seen) = (counted?.0, seen?);
    let mut sums: Vec<(&str, i64)> = COMPONENTS.map(|(name, _)| (name, 0)).to_vec();
    for one in &seen {
        match sums.iter_mut().find(|(source, _)| *source == one.source) {
            Some((_, jobs)) => *jobs += one.jobs,
            None => sums.push((one.source, one.jobs)),
        }
    }
    let by_component: Map<String, Value> =
        sums.into_iter().map(|(source, jobs)| (source.to_owned(), json!(jobs))).collect();
    let codes: Vec<Value> = seen.iter().take(20).map(|s| of_window_code(catalog, s)).collect();
    let mut window = Map::new();
    window.insert("total_faulty_jobs".into(), counted.iter().map(|c| c.jobs).sum::<i64>().into());
    window.insert("by_status".into(), Value::Object(by_status(counted.iter().map(|c| (c.key(0), c.jobs)))));
    window.insert("by_component".into(), Value::Object(by_component));
    window.insert("top_error_codes".into(), codes.into());
    Ok(window)
}

fn of_window_code(catalog: &Catalog, seen: &Frequency) -> Value {
    let error = JobError { component: seen.source, code: seen.code.clone(), diag: Some(seen.diag.clone()) };
    top(catalog, &error, seen.jobs)
}

/// An error with its number, its meaning and advice.
fn top(catalog: &Catalog, error: &JobError, count: i64) -> Value {
    let mut out = error_json(error);
    if let Some(out) = out.as_object_mut() {
        let diag = out.remove("diag").unwrap_or_default();
        out.insert("count".into(), count.into());
        out.insert("sample_diag".into(), diag);
        if let Ok(Value::Object(words)) = serde_json::to_value(catalog.words().error(error)) {
            out.extend(words);
        }
    }
    out
}
