//! JEDI tasks: lists, counts, and what is computed for them from jobs and input files.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use swf_db::{Row, Sql};

use super::answer::{int, moment, round, row_json, share, text};
use super::filter::{ALL, Window, matches};
use super::schema::SCHEMA;
use super::{Catalog, Panda};
use crate::Error;

/// Fields of a listed task.
pub const FIELDS: [&str; 22] = [
    "jeditaskid",
    "taskname",
    "status",
    "username",
    "creationdate",
    "starttime",
    "endtime",
    "modificationtime",
    "reqid",
    "processingtype",
    "transpath",
    "progress",
    "failurerate",
    "errordialog",
    "site",
    "corecount",
    "taskpriority",
    "currentpriority",
    "gshare",
    "attemptnr",
    "parent_tid",
    "workinggroup",
];

/// Every state of a task.
pub const STATES: [&str; 30] = [
    "registered",
    "topreprocess",
    "preprocessing",
    "defined",
    "assigning",
    "ready",
    "pending",
    "scouting",
    "scouted",
    "running",
    "prepared",
    "throttled",
    "paused",
    "exhausted",
    "merging",
    "staging",
    "passed",
    "tobroken",
    "broken",
    "toabort",
    "aborting",
    "aborted",
    "finishing",
    "finished",
    "done",
    "failed",
    "toretry",
    "toincexec",
    "rerefine",
    "waiting",
];

/// Tasks that have not ended and are older than this are forgotten ones.
pub const STALE: TimeDelta = TimeDelta::days(60);

/// Which tasks a question is about.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Time of last change; `None` for any time.
    pub window: Option<Window>,
    /// Leave out tasks created before this that have not ended.
    pub stale_before: Option<NaiveDateTime>,
    /// State.
    pub status: Option<String>,
    /// Owner.
    pub username: Option<String>,
    /// Name.
    pub taskname: Option<String>,
    /// Request.
    pub reqid: Option<i64>,
    /// Working group.
    pub workinggroup: Option<String>,
    /// Id.
    pub taskid: Option<i64>,
    /// Kind of processing.
    pub processingtype: Option<String>,
}

/// The time before which an unfinished task is stale.
pub fn stale_before(now: DateTime<Utc>) -> NaiveDateTime {
    now.naive_utc() - STALE
}

impl TaskFilter {
    fn conditions(&self, panda: &Panda) -> Sql {
        let engine = panda.db().engine();
        let mut sql = Sql::new("");
        if let Some(window) = &self.window {
            window.limit(&mut sql, "modificationtime");
        }
        if let Some(stale) = self.stale_before {
            sql.and(
                "(status IN ('done', 'failed', 'aborted', 'broken', 'finished') OR creationdate >= ?)",
                [stale.into()],
            );
        }
        let texts = [
            ("username", &self.username),
            ("taskname", &self.taskname),
            ("processingtype", &self.processingtype),
        ];
        for (column, value) in texts {
            if let Some(value) = value {
                let (condition, value) = matches(engine, column, value);
                sql.and(&condition, [value]);
            }
        }
        sql.filter("status = ?", self.status.as_deref()).filter("reqid = ?", self.reqid);
        sql.filter("workinggroup = ?", self.workinggroup.as_deref()).filter("jeditaskid = ?", self.taskid);
        sql
    }
}

/// Tasks by state and owner: `(status, owner, tasks)`.
pub async fn counts(
    panda: &Panda,
    catalog: &Catalog,
    filter: &TaskFilter,
) -> Result<Vec<(Option<String>, Option<String>, i64)>, Error> {
    catalog.need("jedi_tasks")?;
    let conditions = filter.conditions(panda);
    let mut sql = Sql::new(format!("SELECT status, username, count(*) AS n FROM {SCHEMA}.jedi_tasks"));
    sql.push(conditions.text(), conditions.values().to_vec()).push("GROUP BY status, username", []);
    let rows = panda.rows(&sql).await?;
    Ok(rows.iter().map(|r| (text(r, "status"), text(r, "username"), int(r, "n"))).collect())
}

/// Rows of tasks, newest id first.
pub async fn rows(
    panda: &Panda,
    catalog: &Catalog,
    filter: &TaskFilter,
    before_id: Option<i64>,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    catalog.need("jedi_tasks")?;
    let Some(table) = super::schema::table("jedi_tasks") else { return Ok(Vec::new()) };
    let columns = catalog.columns(table, &FIELDS, panda.is_postgres());
    let mut conditions = filter.conditions(panda);
    conditions.filter("jeditaskid < ?", before_id);
    let mut sql = Sql::new(format!("SELECT {columns} FROM {SCHEMA}.jedi_tasks"));
    sql.push(conditions.text(), conditions.values().to_vec());
    sql.push("ORDER BY jeditaskid DESC LIMIT ?", [limit.into()]);
    panda.rows(&sql).await
}

/// Input files of a task: what counts for final failures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs {
    /// To be processed.
    pub wanted: i64,
    /// Done.
    pub finished: i64,
    /// Given up.
    pub failed: i64,
}

/// What is known about tasks beyond their rows.
#[derive(Debug, Default)]
pub struct Facts {
    jobs: HashMap<i64, HashMap<String, i64>>,
    inputs: HashMap<i64, Inputs>,
    /// What could not be looked at.
    pub dark: Vec<String>,
}

/// Looks up jobs by state and input files of some tasks: two statements, at the same time.
pub async fn facts(panda: &Panda, catalog: &Catalog, rows: &[Row]) -> Facts {
    let (jobs, inputs) = tokio::join!(jobs(panda, catalog, rows), inputs(panda, catalog, rows));
    let mut out = Facts::default();
    match jobs {
        Ok(jobs) => out.jobs = jobs,
        Err(e) => out.dark.push(format!("jobs per task: {e}")),
    }
    match inputs {
        Ok(inputs) => out.inputs = inputs,
        Err(e) => out.dark.push(format!("input files per task: {e}")),
    }
    out
}

fn ids(rows: &[Row]) -> Vec<swf_db::Value> {
    rows.iter().map(|r| int(r, "jeditaskid").into()).collect()
}

async fn jobs(
    panda: &Panda,
    catalog: &Catalog,
    rows: &[Row],
) -> Result<HashMap<i64, HashMap<String, i64>>, Error> {
    let mut out: HashMap<i64, HashMap<String, i64>> = HashMap::new();
    if rows.is_empty() {
        return Ok(out);
    }
    // A job is never older than its task: that keeps the look-up out of earlier months.
    let oldest = rows.iter().map(|r| r.get("creationdate").and_then(moment)).min().flatten();
    let (tables, _) = catalog.usable(&ALL)?;
    let mut sql = Sql::new("");
    for (n, table) in tables.iter().enumerate() {
        let mut part =
            Sql::new(format!("SELECT jeditaskid, jobstatus, count(*) AS n FROM {SCHEMA}.{}", table.name));
        part.and_in("jeditaskid", ids(rows));
        part.filter("modificationtime >= ?", oldest);
        part.push("GROUP BY jeditaskid, jobstatus", []);
        sql.push(if n > 0 { "UNION ALL" } else { "" }, []).push(part.text(), part.values().to_vec());
    }
    for row in panda.rows(&sql).await? {
        let states = out.entry(int(&row, "jeditaskid")).or_default();
        *states.entry(text(&row, "jobstatus").unwrap_or_default()).or_default() += int(&row, "n");
    }
    Ok(out)
}

async fn inputs(panda: &Panda, catalog: &Catalog, rows: &[Row]) -> Result<HashMap<i64, Inputs>, Error> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    catalog.need("jedi_datasets")?;
    let mut sql = Sql::new(format!(
        "SELECT jeditaskid, sum(COALESCE(nfilestobeused, nfiles, 0)) AS wanted, \
         sum(COALESCE(nfilesfinished, 0)) AS finished, sum(COALESCE(nfilesfailed, 0)) AS failed \
         FROM {SCHEMA}.jedi_datasets"
    ));
    sql.and_in("jeditaskid", ids(rows)).and("masterid IS NULL AND type IN ('input', 'pseudo_input')", []);
    sql.push("GROUP BY jeditaskid", []);
    let rows = panda.rows(&sql).await?;
    Ok(rows
        .iter()
        .map(|r| {
            let inputs =
                Inputs { wanted: int(r, "wanted"), finished: int(r, "finished"), failed: int(r, "failed") };
            (int(r, "jeditaskid"), inputs)
        })
        .collect())
}

impl Facts {
    /// A task's row with what is computed for it.
    pub fn task(&self, row: &Row) -> Map<String, Value> {
        let mut out = row_json(row);
        let id = int(row, "jeditaskid");
        let jobs = self.jobs.get(&id);
        let count =
            |states: &[&str]| -> i64 { jobs.map_or(0, |j| states.iter().filter_map(|s| j.get(*s)).sum()) };
        let (finished, failed) = (count(&["finished"]), count(&["failed"]));
        let queued = count(&["pending", "defined", "assigned", "waiting", "throttled", "activated"]);
        let active = count(&["sent", "starting", "running", "holding", "transferring", "merging"]);
        let inputs = self.inputs.get(&id).copied().unwrap_or_default();
        let rate = |part: i64, whole: i64| json!(share(part as f64, whole as f64, 4));
        let progress = share(100.0 * (inputs.finished + inputs.failed) as f64, inputs.wanted as f64, 1);
        let computed = [
            ("nqueued", json!(queued)),
            ("nactive", json!(active)),
            ("nrunning", json!(count(&["running"]))),
            ("nfinished", json!(finished)),
            ("nfailed", json!(failed)),
            ("nfilesfinished", json!(inputs.finished)),
            ("nfinalfailed", json!(inputs.failed)),
            ("computed_failurerate", rate(failed, failed + finished)),
            ("computed_finalfailurerate", rate(inputs.failed, inputs.failed + inputs.finished)),
            ("computed_progress", json!(progress.map(|p| round(p, 0) as i64))),
            ("tags", json!(super::tags::in_name(&text(row, "taskname").unwrap_or_default()))),
        ];
        out.extend(computed.map(|(name, value)| (name.to_owned(), value)));
        out
    }
}

/// What a task's state means, for states that a person may have to act on.
pub fn meaning(status: &str) -> Option<&'static str> {
    Some(match status {
        "done" => "all inputs were processed",
        "finished" => "part of the inputs was processed, the rest was given up",
        "failed" => "no input was processed",
        "exhausted" => {
            "stopped by its scout jobs or by too many failures; waits for a person to retry or abort it"
        }
        "broken" => "its definition or its inputs were wrong from the start; submit it anew",
        "aborted" => "killed by a person",
        "pending" => "waits for something outside, often for inputs or for its parent task",
        "throttled" => "held back because too many of its jobs wait or fail",
        "paused" => "stopped by a person until it is resumed",
        "scouting" => "a few first jobs measure what the others will need",
        _ => return None,
    })
}
