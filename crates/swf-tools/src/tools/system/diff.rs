//! `swf_diff`

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Sql, Value};

use super::errors::patterns;
use crate::list::{Window, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// What changed between two times: agents new or gone, executions started and ended, new kinds of errors, and rates against the equally long time before.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// Start; 24 hours before the end when left out.
    pub start_time: Option<String>,
    /// End; now when left out.
    pub end_time: Option<String>,
    /// Only this namespace.
    pub namespace: Option<String>,
}

/// What changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changes {
    start_time: Iso,
    end_time: Iso,
    agents: Agents,
    executions: Executions,
    errors: Errors,
    rates: Vec<Rate>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Agents {
    new_count: i64,
    new: Vec<String>,
    gone_count: i64,
    /// Heard in this time, silent or exited at its end.
    gone: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Executions {
    started: i64,
    completed: i64,
    failed: i64,
    terminated: i64,
    /// Started in this time and not ended.
    still_running: i64,
    failed_ids: Vec<String>,
    running_ids: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Errors {
    before: i64,
    now: i64,
    /// Kinds that the time before did not have.
    new: Vec<NewError>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NewError {
    count: i64,
    first: Iso,
    log_id: i64,
    line: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Rate {
    what: &'static str,
    before_per_hour: f64,
    now_per_hour: f64,
}

/// Names and ids shown of each kind.
const SHOWN: usize = 10;

/// Two spans of equal length, one after the other.
struct Spans<'a> {
    cx: &'a Cx,
    namespace: Option<&'a str>,
    before: DateTime<Utc>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Tool for Diff {
    const NAME: &'static str = "swf_diff";
    const TITLE: &'static str = "What changed";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = "{}";
    type Output = Changes;

    async fn run(self, cx: &Cx) -> Result<Changes, Error> {
        let day = TimeDelta::hours(24);
        let given = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), Some(day))?;
        let (end, start) = (given.end.unwrap_or(cx.now), given.start.unwrap_or(cx.now - day));
        if start >= end {
            let why = format!("{} is not before the end {}", crate::time::iso(start), crate::time::iso(end));
            return Err(Error::invalid("start_time", why));
        }
        let before = start.checked_sub_signed(end - start).unwrap_or(start);
        let spans = Spans { cx, namespace: self.namespace.as_deref(), before, start, end };
        let (agents, executions, errors, rates) =
            tokio::try_join!(agents(&spans), executions(&spans), errors(&spans), rates(&spans))?;
        Ok(Changes { start_time: Iso(start), end_time: Iso(end), agents, executions, errors, rates })
    }
}

async fn agents(spans: &Spans<'_>) -> Result<Agents, Error> {
    let named = async |condition: &str, values: Vec<Value>| -> Result<(i64, Vec<String>), Error> {
        let mut sql = Sql::new("SELECT count(*) OVER () AS total, instance_name FROM swf_systemagent");
        sql.and(condition, values).filter("namespace = ?", spans.namespace);
        sql.push("ORDER BY created_at DESC, id DESC LIMIT ?", [(SHOWN as i64).into()]);
        let rows: Vec<(i64, String)> = spans.cx.db.fetch_all(&sql).await?;
        let total = rows.first().map_or(0, |r| r.0);
        Ok((total, rows.into_iter().map(|r| r.1).collect()))
    };
    let silent = spans.end - spans.cx.settings().stale_after;
    let gone = "last_heartbeat >= ? AND last_heartbeat <= ? AND \
                (last_heartbeat < ? OR status = 'EXITED' OR operational_state = 'EXITED')";
    let ((new_count, new), (gone_count, gone)) = tokio::try_join!(
        named("created_at >= ? AND created_at <= ?", vec![spans.start.into(), spans.end.into()]),
        named(gone, vec![spans.start.into(), spans.end.into(), silent.into()]),
    )?;
    Ok(Agents { new_count, new, gone_count, gone })
}

async fn executions(spans: &Spans<'_>) -> Result<Executions, Error> {
    #[derive(Deserialize)]
    struct Row {
        what: String,
        total: i64,
        execution_id: Option<String>,
    }
    let (start, end): (Value, Value) = (spans.start.into(), spans.end.into());
    let of_time = |time: &str| format!("{time} >= ? AND {time} <= ?");
    let mut sql = Sql::new("");
    let kinds = [
        ("started", of_time("start_time")),
        ("completed", format!("status = 'completed' AND {}", of_time("end_time"))),
        ("terminated", format!("status = 'terminated' AND {}", of_time("end_time"))),
        ("failed", format!("status = 'failed' AND {}", of_time("coalesce(end_time, start_time)"))),
        ("running", format!("status = 'running' AND {}", of_time("start_time"))),
    ];
    for (at, (what, condition)) in kinds.into_iter().enumerate() {
        let word = if at == 0 { "" } else { "UNION ALL" };
        let mut part = Sql::new("");
        part.and(&condition, [start.clone(), end.clone()]).filter("namespace = ?", spans.namespace);
        sql.push(
            &format!(
                "{word} SELECT * FROM (SELECT '{what}' AS what, count(*) OVER () AS total, execution_id \
                 FROM swf_workflow_executions {} ORDER BY start_time DESC, execution_id DESC LIMIT ?) {what}",
                part.text()
            ),
            part.values().iter().cloned().chain([(SHOWN as i64).into()]),
        );
    }
    let rows: Vec<Row> = spans.cx.db.fetch_all(&sql).await?;
    let total = |what: &str| rows.iter().find(|r| r.what == what).map_or(0, |r| r.total);
    let ids = |what: &str| {
        rows.iter().filter(|r| r.what == what).filter_map(|r| r.execution_id.clone()).collect::<Vec<_>>()
    };
    Ok(Executions {
        started: total("started"),
        completed: total("completed"),
        failed: total("failed"),
        terminated: total("terminated"),
        still_running: total("running"),
        failed_ids: ids("failed"),
        running_ids: ids("running"),
    })
}

async fn errors(spans: &Spans<'_>) -> Result<Errors, Error> {
    let span = |start, end| Window { start: Some(start), end: Some(end) };
    // The end of one span is the start of the other; a row of that very moment belongs to the later one.
    let until = spans.start - TimeDelta::microseconds(1);
    let ((before, known), (now, found)) = tokio::try_join!(
        patterns(spans.cx, span(spans.before, until), spans.namespace),
        patterns(spans.cx, span(spans.start, spans.end), spans.namespace),
    )?;
    let new =
        found.into_iter().filter(|p| known.iter().all(|k| k.text != p.text)).take(5).map(|p| NewError {
            count: p.count,
            first: Iso(p.first),
            log_id: p.log_id,
            line: format!("{}: {}", p.instance, p.line),
        });
    Ok(Errors { before, now, new: new.collect() })
}

async fn rates(spans: &Spans<'_>) -> Result<Vec<Rate>, Error> {
    let cx = spans.cx;
    let sources = [
        ("messages", "swf_workflow_messages", "sent_at", "1 = 1"),
        ("executions", "swf_workflow_executions", "start_time", "1 = 1"),
        ("stf_files", "swf_stf_files f JOIN swf_runs r ON r.run_id = f.run_id", "f.created_at", "1 = 1"),
        ("slices_completed", "swf_tf_slices", "completed_at", "status = 'completed'"),
        ("slices_failed", "swf_tf_slices", "created_at", "status = 'failed'"),
        ("error_logs", "swf_applog", "timestamp", "level >= 40"),
    ];
    let mut sql = Sql::new("SELECT");
    for (at, (what, table, time, condition)) in sources.into_iter().enumerate() {
        let mut part = Sql::new("");
        part.and(condition, []);
        part.and(&format!("{time} >= ? AND {time} <= ?"), [spans.before.into(), spans.end.into()]);
        match what {
            "messages" | "executions" => drop(part.filter("namespace = ?", spans.namespace)),
            "error_logs" => super::logs_of(cx, &mut part, spans.namespace),
            "stf_files" => super::runs_of(cx, &mut part, "r.run_number", spans.namespace),
            _ => super::runs_of(cx, &mut part, "run_number", spans.namespace),
        }
        let comma = if at == 0 { "" } else { "," };
        for (half, comma) in [("<", comma), (">=", ",")] {
            sql.push(
                &format!("{comma} (SELECT count(*) FROM {table} {} AND {time} {half} ?)", part.text()),
                [],
            )
            .push("", part.values().iter().cloned().chain([spans.start.into()]));
        }
    }
    let counts: Vec<i64> = match cx.db.rows(&sql).await?.into_iter().next() {
        Some(row) => {
            row.into_values().into_iter().map(|v| if let Value::Int(n) = v { n } else { 0 }).collect()
        }
        None => Vec::new(),
    };
    let hours = super::super::workflows::monitor::seconds(spans.end - spans.start) / 3600.0;
    let per_hour = |n: Option<&i64>| (n.map_or(0.0, |n| *n as f64) / hours * 100.0).round() / 100.0;
    Ok(sources
        .iter()
        .zip(counts.chunks(2))
        .map(|((what, ..), pair)| Rate {
            what,
            before_per_hour: per_hour(pair.first()),
            now_per_hour: per_hour(pair.get(1)),
        })
        .collect())
}
