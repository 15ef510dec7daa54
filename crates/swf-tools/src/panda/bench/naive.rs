//! The queries of the original in their shape (not their text): rows of both tables unioned and sorted, one pass
//! for each grouping, one branch for each component and table, no time limits on look-ups.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::Value;
use swf_db::{Db, Error, Options, Sql};

use crate::panda::errors::COMPONENTS;
use crate::panda::jobs::{ERROR_FIELDS, FIELDS};
use crate::panda::schema::SCHEMA;
use crate::panda::tasks;

/// A session with the server's own settings, as the original has it.
pub async fn open(url: &str, patience: Duration) -> Result<Db, Error> {
    let options = Options {
        statement_timeout: Some(patience),
        max_connections: 1,
        // A server that compiles a stopped query to machine code is busy with it for minutes.
        acquire_timeout: Duration::from_secs(900),
        read_only: true,
        ..Options::default()
    };
    Db::open(url, &options).await
}

/// Milliseconds of the original's queries for a question, and whether they were stopped.
pub async fn time(
    db: &Db,
    tool: &str,
    arguments: &Value,
    now: DateTime<Utc>,
    (job, _): (i64, i64),
) -> anyhow::Result<(Option<f64>, bool)> {
    let Some(statements) = statements(tool, arguments, now.naive_utc(), job) else {
        return Ok((None, false));
    };
    let started = Instant::now();
    for sql in statements {
        match db.rows(&sql).await {
            Ok(_) => {}
            Err(Error::Timeout(_)) => {
                let took = started.elapsed().as_secs_f64() * 1000.0;
                // The session is free again when the server has really stopped; until then it would disturb
                // what is measured next.
                db.rows(&Sql::new("SELECT 1 AS one")).await?;
                return Ok((Some(took), true));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok((Some(started.elapsed().as_secs_f64() * 1000.0), false))
}

fn statements(tool: &str, arguments: &Value, now: NaiveDateTime, job: i64) -> Option<Vec<Sql>> {
    let days = |default: i64| arguments.get("days").and_then(Value::as_i64).unwrap_or(default);
    let since = |default: i64| now - TimeDelta::days(days(default));
    if arguments.get("exclude_retried").is_some() {
        return None;
    }
    Some(match tool {
        "panda_get_activity" => activity(since(1)),
        "panda_list_jobs" => {
            let mut out = list(&FIELDS.join(", "), "", since(7), arguments);
            if arguments.get("counts").is_none() {
                out.push(both(
                    "jobstatus, count(*)",
                    "modificationtime",
                    since(7),
                    &extra("", arguments),
                    "GROUP BY jobstatus",
                ));
            }
            out
        }
        "panda_diagnose_jobs" => {
            let columns: Vec<&str> = FIELDS.into_iter().chain(ERROR_FIELDS).collect();
            list(
                &columns.join(", "),
                "AND jobstatus IN ('failed', 'cancelled', 'closed')",
                since(7),
                arguments,
            )
        }
        "panda_list_tasks" => {
            let page = format!("SELECT {} FROM {SCHEMA}.jedi_tasks WHERE", tasks::FIELDS.join(", "));
            let count = format!("SELECT status, count(*) FROM {SCHEMA}.jedi_tasks WHERE");
            vec![
                Sql::new(page)
                    .with("modificationtime >= ? ORDER BY jeditaskid DESC LIMIT 26", [since(7).into()]),
                Sql::new(count).with("modificationtime >= ? GROUP BY status", [since(7).into()]),
            ]
        }
        "panda_error_summary" => vec![errors(since(10))],
        "panda_study_job" => study(job),
        "panda_list_queues" | "panda_get_queue" => {
            vec![Sql::new(format!(
                "SELECT panda_queue, data, last_update FROM {SCHEMA}.schedconfig_json ORDER BY panda_queue"
            ))]
        }
        "panda_resource_usage" => usage(since(30)),
        _ => return None,
    })
}

/// Rows of active and archived jobs in one subquery.
fn both(select: &str, time: &str, since: NaiveDateTime, more: &str, last: &str) -> Sql {
    let columns = "*";
    let mut sql = Sql::new(format!("SELECT {select} FROM (SELECT {columns} FROM {SCHEMA}.jobsactive4 WHERE"));
    sql.push(&format!("{time} >= ? {more}"), [since.into()]);
    sql.push(
        &format!("UNION ALL SELECT {columns} FROM {SCHEMA}.jobsarchived4 WHERE {time} >= ? {more}"),
        [since.into()],
    );
    sql.push(&format!(") AS jobs {last}"), []);
    sql
}

/// The question's own filters as text: they are ours, not a caller's.
fn extra(more: &str, arguments: &Value) -> String {
    let mut out = more.to_owned();
    if let Some(task) = arguments.get("taskid").and_then(Value::as_i64) {
        out.push_str(&format!(" AND jeditaskid = {task}"));
    }
    if arguments.get("username").is_some() {
        out.push_str(" AND produsername LIKE '%nobody-of-this-name%'");
    }
    out
}

fn activity(since: NaiveDateTime) -> Vec<Sql> {
    let pass = |keys: &str| {
        both(&format!("{keys}, count(*)"), "modificationtime", since, "", &format!("GROUP BY {keys}"))
    };
    let tasks = |keys: &str| {
        Sql::new(format!("SELECT {keys}, count(*) FROM {SCHEMA}.jedi_tasks WHERE"))
            .with("modificationtime >= ?", [since.into()])
            .with(&format!("GROUP BY {keys}"), [])
    };
    vec![
        pass("jobstatus"),
        pass("produsername, jobstatus"),
        pass("computingsite, jobstatus"),
        tasks("status"),
        tasks("username, status"),
    ]
}

fn list(columns: &str, more: &str, since: NaiveDateTime, arguments: &Value) -> Vec<Sql> {
    let limit = if more.is_empty() { 201 } else { 501 };
    let more = extra(more, arguments);
    let page =
        both(columns, "modificationtime", since, &more, &format!("ORDER BY pandaid DESC LIMIT {limit}"));
    let ids =
        both("pandaid", "modificationtime", since, &more, &format!("ORDER BY pandaid DESC LIMIT {limit}"));
    let mut files =
        Sql::new(format!("SELECT pandaid, destinationse FROM {SCHEMA}.filestable4 WHERE pandaid IN ("));
    files.push(ids.text(), ids.values().to_vec()).push(") AND destinationse IS NOT NULL", []);
    vec![page, files]
}

fn errors(since: NaiveDateTime) -> Sql {
    let mut sql = Sql::new(
        "SELECT source, code, diag, count(*) AS n, count(DISTINCT jeditaskid), array_to_string(array_agg(DISTINCT produsername), ','), \
         array_to_string(array_agg(DISTINCT computingsite), ','), array_to_string(array_agg(DISTINCT destinationse), ',') FROM (",
    );
    let mut first = true;
    for (name, prefix) in COMPONENTS {
        for table in ["jobsactive4", "jobsarchived4"] {
            if !first {
                sql.push("UNION ALL", []);
            }
            first = false;
            sql.push(
                &format!(
                    "SELECT '{name}' AS source, j.{prefix}errorcode AS code, substr(j.{prefix}errordiag, 1, 256) AS diag, j.jeditaskid, \
                     j.produsername, j.computingsite, f.destinationse FROM {SCHEMA}.{table} j LEFT JOIN (SELECT DISTINCT pandaid, destinationse \
                     FROM {SCHEMA}.filestable4 WHERE destinationse IS NOT NULL) f ON f.pandaid = j.pandaid WHERE j.modificationtime >= ? \
                     AND j.jobstatus IN ('failed', 'cancelled', 'closed') AND j.{prefix}errorcode <> 0"
                ),
                [since.into()],
            );
        }
    }
    sql.push(") AS errors GROUP BY source, code, diag ORDER BY n DESC LIMIT 20", []);
    sql
}

fn study(job: i64) -> Vec<Sql> {
    let of = |table: &str, columns: &str| {
        Sql::new(format!("SELECT {columns} FROM {SCHEMA}.{table} WHERE")).with("pandaid = ?", [job.into()])
    };
    let mut record = of("jobsactive4", "*");
    record.push(&format!("UNION ALL SELECT * FROM {SCHEMA}.jobsarchived4 WHERE pandaid = ?"), [job.into()]);
    let worker = Sql::new(format!(
        "SELECT w.workerid, w.stdout, w.status FROM {SCHEMA}.harvester_rel_jobs_workers r JOIN {SCHEMA}.harvester_workers w \
         ON w.harvesterid = r.harvesterid AND w.workerid = r.workerid WHERE"
    ))
    .with("r.pandaid = ?", [job.into()]);
    let task = Sql::new(format!("SELECT jeditaskid, taskname, status FROM {SCHEMA}.jedi_tasks LIMIT 1"));
    vec![record, of("filestable4", "lfn, type, guid, scope, fsize, status"), worker, task]
}

fn usage(since: NaiveDateTime) -> Vec<Sql> {
    let seconds = "EXTRACT(EPOCH FROM (endtime - starttime))";
    let sums = format!(
        "count(*), sum({seconds} * COALESCE(actualcorecount, corecount, 1)) / 3600, sum(cpuconsumptiontime) / 3600, sum({seconds}) / 3600"
    );
    let more = "AND jobstatus = 'finished' AND starttime IS NOT NULL AND endtime IS NOT NULL";
    let pass = |keys: &str, last: &str| both(&format!("{keys}{sums}"), "modificationtime", since, more, last);
    vec![
        pass("", ""),
        pass("computingsite, ", "GROUP BY computingsite"),
        pass("produsername, ", "GROUP BY produsername"),
    ]
}
