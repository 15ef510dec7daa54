//! Everything about one job.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use swf_db::{Row, Sql};

use super::list_tasks::meanings;
use crate::list::Link;
use crate::panda::answer::{self, Answer, AsOf, int, moment, row_json, text};
use crate::panda::archive::{self, Found};
use crate::panda::errors::{JobError, cause};
use crate::panda::filter::ALL;
use crate::panda::jobs::{self, ERROR_FIELDS, explained, is_final};
use crate::panda::logs::{self, Case};
use crate::panda::schema::SCHEMA;
use crate::panda::tasks::{self, TaskFilter};
use crate::panda::{self, Catalog, Panda};
use crate::{Cx, Error, Hints, Scope, Tool, Toolset};

/// Everything about one PanDA job: record, errors in words, files, log, pilot, further attempts, task.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct StudyJob {
    /// PanDA job id.
    pub pandaid: i64,
}

/// A job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Study {
    /// Its id.
    pub pandaid: i64,
    /// Its record without nulls, with `errors`.
    pub job: Map<String, Value>,
    /// Its files; kept for 30 days.
    pub files: Vec<Map<String, Value>>,
    /// Addresses of its logs; reading them may need a login.
    pub log_urls: Map<String, Value>,
    /// The log tarball.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_file: Option<Map<String, Value>>,
    /// The last pilot that had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harvester: Option<Map<String, Value>>,
    /// Its task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Map<String, Value>>,
    /// Its page.
    pub monitor_url: String,
    /// What its log says, for jobs that ended badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_analysis: Option<Value>,
    /// Why it ended as it did: the error that says most, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Value>,
    /// All attempts at the same work and whether one of them succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Map<String, Value>>,
    /// What the tags in the task's name mean.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub tags: Map<String, Value>,
    /// The table of the deep archive that holds it; files and pilots of such a job are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_in: Option<String>,
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

/// Fields of the record before the error columns.
const FIELDS: [&str; 37] = [
    "pandaid",
    "jeditaskid",
    "reqid",
    "jobname",
    "produsername",
    "jobstatus",
    "computingsite",
    "computingelement",
    "transformation",
    "processingtype",
    "creationtime",
    "starttime",
    "endtime",
    "modificationtime",
    "corecount",
    "actualcorecount",
    "nevents",
    "maxrss",
    "maxpss",
    "maxvmem",
    "maxswap",
    "maxwalltime",
    "cpuconsumptiontime",
    "cpuconsumptionunit",
    "inputfilebytes",
    "ninputfiles",
    "ninputdatafiles",
    "outputfilebytes",
    "noutputdatafiles",
    "destinationdblock",
    "destinationse",
    "pilotid",
    "pilottiming",
    "batchid",
    "container_name",
    "specialhandling",
    "commandtopilot",
];

/// Fields after the error columns.
const LAST: [&str; 9] = [
    "jobmetrics",
    "metadata",
    "jobsubstatus",
    "attemptnr",
    "maxattempt",
    "resource_type",
    "prodsourcelabel",
    "currentpriority",
    "statechangetime",
];

impl Tool for StudyJob {
    const NAME: &'static str = "panda_study_job";
    const TITLE: &'static str = "PanDA job in depth";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Panda;
    const EXAMPLE: &'static str = r#"{"pandaid": 500001}"#;
    const HINTS: Hints = Hints::READ;
    type Output = Answer<Study>;

    async fn run(self, cx: &Cx) -> Result<Answer<Study>, Error> {
        answer::shared(cx, Self::NAME, &self, self.answer(cx)).await
    }
}

/// What the steps after the first need of a job.
struct Job<'a> {
    panda: &'a Panda,
    catalog: &'a Catalog,
    id: i64,
    task: i64,
    created: Option<NaiveDateTime>,
    modified: Option<NaiveDateTime>,
    ended: bool,
}

impl StudyJob {
    async fn answer(&self, cx: &Cx) -> Result<Study, Error> {
        let panda = panda::of(cx)?;
        let catalog = panda.catalog().await?;
        let mut dark = Vec::new();
        let (row, found_in) = find(panda, &catalog, self.pandaid, &mut dark).await?;
        let status = text(&row, "jobstatus").unwrap_or_default();
        let site = text(&row, "computingsite").unwrap_or_default();
        let job = Job {
            panda,
            catalog: &catalog,
            id: self.pandaid,
            task: int(&row, "jeditaskid"),
            created: row.get("creationtime").and_then(moment),
            modified: row.get("modificationtime").and_then(moment),
            ended: is_final(&status),
        };
        let (files, harvester, task, attempts, portal) = tokio::join!(
            job.files(),
            job.harvester(),
            job.task(),
            job.attempts(),
            logs::portal(panda, &site, self.pandaid),
        );
        let mut step = |name: &str, e: Error| dark.push(format!("{name}: {e}"));
        let files = files.map_err(|e| step("files", e)).unwrap_or_default();
        let harvester = harvester.map_err(|e| step("harvester", e)).unwrap_or_default();
        let task = task.map_err(|e| step("task", e)).unwrap_or_default();
        let attempts = attempts.map_err(|e| step("attempts", e)).unwrap_or_default();
        let errors = jobs::errors(&row);
        let (record, urls) = record(&row, &errors, harvester.as_ref(), portal);
        let log_analysis = match status.as_str() {
            "failed" | "holding" | "cancelled" | "closed" => {
                let substatus = text(&row, "jobsubstatus").unwrap_or_default();
                let command = text(&row, "commandtopilot").unwrap_or_default();
                let case = Case {
                    pandaid: self.pandaid,
                    errors: &errors,
                    substatus: &substatus,
                    command: &command,
                    urls: &urls,
                };
                Some(logs::analysis(panda, case).await)
            }
            _ => None,
        };
        let tasks: Vec<_> = task.iter().cloned().collect();
        let tags = meanings(cx, &tasks, &mut dark).await;
        let page = answer::page(cx, "this job", &format!("/panda/jobs/{}/", self.pandaid), &Map::new());
        let monitor = answer::monitor(panda, "PanDA monitor: job", &format!("/job?pandaid={}", self.pandaid));
        Ok(Study {
            pandaid: self.pandaid,
            job: record,
            log_file: files.iter().rfind(|f| f.get("type").is_some_and(|t| t == "log")).cloned(),
            files,
            log_urls: urls,
            harvester,
            task,
            monitor_url: monitor.as_ref().map_or_else(|| page.url.clone(), |m| m.url.clone()),
            log_analysis,
            cause: cause(&errors, &status).map(|e| explained(&catalog, e)),
            attempts,
            tags,
            found_in,
            monitor_urls: [Some(page), monitor].into_iter().flatten().collect(),
            as_of: AsOf::new(cx, panda, None),
            synthetic: answer::synthetic(&catalog),
            dark,
        })
    }
}

/// The job's row, wherever production keeps it, and the table when that is in the deep archive.
async fn find(
    panda: &Panda,
    catalog: &Catalog,
    id: i64,
    dark: &mut Vec<String>,
) -> Result<(Row, Option<String>), Error> {
    let (tables, missing) = catalog.usable(&ALL)?;
    dark.extend(missing);
    let columns: Vec<&str> = FIELDS.into_iter().chain(ERROR_FIELDS).chain(LAST).collect();
    dark.extend(tables.iter().filter_map(|t| catalog.missing(t.name, &columns)));
    let mut sql = Sql::new("");
    for (n, table) in tables.iter().enumerate() {
        let columns = catalog.columns(table, &columns, panda.is_postgres());
        let part = format!("SELECT {columns} FROM {SCHEMA}.{} WHERE pandaid = ?", table.name);
        sql.push(if n > 0 { "UNION ALL" } else { "" }, []).push(&part, [id.into()]);
    }
    if let Some(row) = panda.rows(&sql).await?.into_iter().next() {
        return Ok((row, None));
    }
    let looked = tables.iter().map(|t| t.name).collect::<Vec<_>>().join(", ");
    let archive = match archive::job(panda, id, &columns).await {
        Found::Job(row, table) => return Ok((*row, Some(table))),
        Found::Nowhere(tables) => format!("and in {tables} tables of {}", archive::ARCHIVE),
        Found::Dark(why) => format!("jobs older than a year would be in the deep archive, but {why}"),
    };
    Err(Error::not_found("job", id, format!("looked in {looked}; {archive}")))
}

/// The record without nulls, and the addresses of the logs. What Harvester reports replaces what the pilot
/// said, but not what the NERSC portal was seen to have.
fn record(
    row: &Row,
    errors: &[JobError],
    harvester: Option<&Map<String, Value>>,
    portal: Option<Map<String, Value>>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut all = row_json(row);
    let extra: Vec<(String, Value)> =
        LAST.iter().skip(2).filter_map(|name| Some(((*name).to_owned(), all.shift_remove(*name)?))).collect();
    all.insert("errors".into(), errors.iter().map(jobs::error_json).collect());
    all.extend(extra);
    let pilot = logs::pilot(text(row, "pilotid").as_deref());
    all.insert("pilot_type".into(), json!(pilot.kind));
    all.insert("pilot_version".into(), json!(pilot.version));
    all.retain(|_, v| !v.is_null());
    let mut urls = pilot.urls;
    for (log, column) in [("pilot_stdout", "stdout"), ("pilot_stderr", "stderr"), ("batch_log", "batchlog")] {
        if let Some(url) = harvester.and_then(|h| h.get(column)) {
            urls.insert(log.into(), url.clone());
        }
    }
    if let Some(portal) = portal {
        urls.retain(|name, _| name != "pilot_stderr" && name != "batch_log");
        urls.extend(portal);
    }
    (all, urls)
}

impl Job<'_> {
    /// Rows of ended jobs carry the job's own last change: one partition instead of all.
    async fn files(&self) -> Result<Vec<Map<String, Value>>, Error> {
        self.catalog.need("filestable4")?;
        let mut sql = Sql::new(format!(
            "SELECT lfn, type, guid, scope, fsize, status, dataset, destinationdblock, checksum, destinationse \
             FROM {SCHEMA}.filestable4"
        ));
        sql.and("pandaid = ?", [self.id.into()]);
        let since = if self.ended { self.modified } else { self.created };
        sql.filter("modificationtime >= ?", since.map(|t| t - TimeDelta::hours(1)));
        let mut rows = self.panda.rows(&sql).await?;
        // The engines order text by different rules.
        rows.sort_by_cached_key(|r| (text(r, "type"), text(r, "lfn")));
        Ok(rows.iter().map(stripped).collect())
    }

    /// The pilot that reported last.
    async fn harvester(&self) -> Result<Option<Map<String, Value>>, Error> {
        self.catalog.need("harvester_rel_jobs_workers")?;
        self.catalog.need("harvester_workers")?;
        let mut sql = Sql::new(format!(
            "SELECT w.workerid, w.harvesterid, w.stdout, w.stderr, w.batchlog, w.errorcode, w.diagmessage, w.status, \
             w.lastupdate AS last_report_time, w.endtime AS worker_endtime \
             FROM {SCHEMA}.harvester_rel_jobs_workers r JOIN {SCHEMA}.harvester_workers w \
             ON w.harvesterid = r.harvesterid AND w.workerid = r.workerid"
        ));
        sql.and("r.pandaid = ?", [self.id.into()]);
        sql.filter("w.lastupdate >= ?", self.created);
        sql.push("ORDER BY w.lastupdate DESC LIMIT 1", []);
        Ok(self.panda.rows(&sql).await?.first().map(stripped))
    }

    async fn task(&self) -> Result<Option<Map<String, Value>>, Error> {
        let filter = TaskFilter { taskid: Some(self.task), ..TaskFilter::default() };
        let rows = tasks::rows(self.panda, self.catalog, &filter, None, 1).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let facts = tasks::facts(self.panda, self.catalog, &rows).await;
        let all = facts.task(row);
        let shown = [
            "jeditaskid",
            "taskname",
            "status",
            "username",
            "errordialog",
            "failurerate",
            "workinggroup",
            "computed_finalfailurerate",
            "computed_progress",
            "nfinished",
            "nfailed",
            "tags",
        ];
        let mut out: Map<String, Value> = shown
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), all.get(name).filter(|v| !v.is_null())?.clone())))
            .collect();
        if let Some(meaning) = text(row, "status").and_then(|s| tasks::meaning(&s)) {
            out.insert("status_meaning".into(), meaning.into());
        }
        Ok(Some(out))
    }

    /// All attempts at the same work, oldest first. Every attempt is a job of its own.
    async fn attempts(&self) -> Result<Option<Map<String, Value>>, Error> {
        self.catalog.need("jedi_job_retry_history")?;
        let table = format!("{SCHEMA}.jedi_job_retry_history");
        let mut sql =
            Sql::new(format!("SELECT oldpandaid, newpandaid FROM {table} WHERE relationtype = 'retry'"));
        sql.push("AND jeditaskid = ?", [self.task.into()]);
        sql.push(
            &format!(
                "AND originpandaid = COALESCE((SELECT max(h.originpandaid) FROM {table} h WHERE h.jeditaskid = ? \
                 AND h.newpandaid = ? AND h.relationtype = 'retry'), ?) LIMIT 200"
            ),
            [self.task.into(), self.id.into(), self.id.into()],
        );
        let links: Vec<(i64, i64)> = self.panda.fetch_all(&sql).await?;
        if links.is_empty() {
            return Ok(None);
        }
        let ids: BTreeMap<i64, ()> = links.iter().flat_map(|(a, b)| [(*a, ()), (*b, ())]).collect();
        let (tables, _) = self.catalog.usable(&ALL)?;
        let mut sql = Sql::new("");
        for (n, table) in tables.iter().enumerate() {
            let mut part = Sql::new(format!(
                "SELECT pandaid, jobstatus, computingsite, creationtime, endtime FROM {SCHEMA}.{}",
                table.name
            ));
            part.and_in("pandaid", ids.keys().map(|id| (*id).into()))
                .and("jeditaskid = ?", [self.task.into()]);
            sql.push(if n > 0 { "UNION ALL" } else { "" }, []).push(part.text(), part.values().to_vec());
        }
        let mut rows = self.panda.rows(&sql).await?;
        rows.sort_by_key(|r| int(r, "pandaid"));
        let done = rows.iter().find(|r| text(r, "jobstatus").as_deref() == Some("finished"));
        let mut out = Map::new();
        out.insert("count".into(), rows.len().into());
        out.insert("done".into(), done.is_some().into());
        out.insert("finished_pandaid".into(), json!(done.map(|r| int(r, "pandaid"))));
        out.insert("jobs".into(), rows.iter().map(|r| Value::Object(row_json(r))).collect());
        Ok(Some(out))
    }
}

/// A row without its nulls.
fn stripped(row: &Row) -> Map<String, Value> {
    let mut out = row_json(row);
    out.retain(|_, v| !v.is_null());
    out
}
