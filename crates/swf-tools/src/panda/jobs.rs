//! Pages of jobs, read newest or oldest first without sorting the window.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use swf_db::{Row, Sql};

use super::answer::{int, moment, round, row_json, text};
use super::errors::{COMPONENTS, JobError};
use super::filter::JobFilter;
use super::schema::SCHEMA;
use super::{Catalog, Panda};
use crate::Error;

/// Fields of a listed job.
pub const FIELDS: [&str; 16] = [
    "pandaid",
    "jeditaskid",
    "reqid",
    "produsername",
    "jobstatus",
    "computingsite",
    "transformation",
    "processingtype",
    "creationtime",
    "starttime",
    "endtime",
    "modificationtime",
    "corecount",
    "nevents",
    "noutputdatafiles",
    "outputfilebytes",
];

/// Error columns in the order of every answer.
pub const ERROR_FIELDS: [&str; 15] = [
    "brokerageerrorcode",
    "brokerageerrordiag",
    "ddmerrorcode",
    "ddmerrordiag",
    "exeerrorcode",
    "exeerrordiag",
    "jobdispatchererrorcode",
    "jobdispatchererrordiag",
    "piloterrorcode",
    "piloterrordiag",
    "superrorcode",
    "superrordiag",
    "taskbuffererrorcode",
    "taskbuffererrordiag",
    "transexitcode",
];

/// Which page.
#[derive(Debug, Clone, Copy)]
pub struct PageOf {
    /// Continue after this id.
    pub before_id: Option<i64>,
    /// Smallest ids first.
    pub oldest_first: bool,
    /// Rows.
    pub limit: i64,
}

/// A page of jobs.
pub struct Page {
    /// The rows, at most as many as asked for.
    pub rows: Vec<Row>,
    /// There are more.
    pub has_more: bool,
    /// What could not be looked at.
    pub dark: Vec<String>,
}

/// Walking the key stops being the better plan after this time.
const WALK: Duration = Duration::from_millis(700);

/// Reads a page: each table gives its first rows along its key, and the first of those are the page. Where
/// few recent jobs match, that walk would see the whole table: it is cut off after [`WALK`] and the time
/// window drives instead.
pub async fn page(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
    tables: &[&'static str],
    columns: &[&str],
    of: PageOf,
) -> Result<Page, Error> {
    filter.check(catalog)?;
    let (tables, mut dark) = catalog.usable(tables)?;
    dark.extend(tables.iter().filter_map(|t| catalog.missing(t.name, columns)));
    let direction = if of.oldest_first { "ASC" } else { "DESC" };
    // Where closed hours know that few match, only the hours that have some are looked at.
    let (archived, few) = match panda.hours().work.matching(panda, filter) {
        Some(stretches) => (stretches, true),
        None => (vec![filter.window], false),
    };
    let statement = |key: &str| {
        let mut sql = Sql::new("SELECT * FROM (");
        let parts = filter.union_over(&tables, &archived, |table, window| {
            let mut conditions = filter.conditions(panda.db().engine(), window);
            if let Some(id) = of.before_id {
                conditions.and(if of.oldest_first { "pandaid > ?" } else { "pandaid < ?" }, [id.into()]);
            }
            let columns = catalog.columns(table, columns, panda.is_postgres());
            let mut sql = Sql::new(format!("SELECT * FROM (SELECT {columns} FROM {SCHEMA}.{}", table.name));
            sql.push(conditions.text(), conditions.values().to_vec());
            let last = format!("ORDER BY {key} {direction} LIMIT ?) AS {}_part", table.name);
            sql.push(&last, [(of.limit + 1).into()]);
            sql
        });
        sql.push(parts.text(), parts.values().to_vec());
        sql.push(&format!(") AS page ORDER BY pandaid {direction} LIMIT ?"), [(of.limit + 1).into()]);
        sql
    };
    let walked = match few {
        false => panda.rows_within(&statement("pandaid"), WALK).await?,
        true => None,
    };
    let mut rows = match walked {
        Some(rows) => rows,
        // An expression has no index: the time window drives, the sort sees only what matches.
        None => panda.rows(&statement("(pandaid + 0)")).await?,
    };
    let limit = usize::try_from(of.limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Ok(Page { rows, has_more, dark })
}

/// Storage elements of a page's jobs. Files are kept for 30 days; a job with several destinations shows the
/// alphabetically first.
pub async fn destinations(
    panda: &Panda,
    catalog: &Catalog,
    rows: &[Row],
) -> Result<HashMap<i64, String>, String> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    if let Some(why) = catalog.trouble("filestable4") {
        return Err(format!("{why}: destinationse is null"));
    }
    // Files of ended jobs carry the job's last change, others the time of its creation: that bound keeps the
    // look-up out of most daily partitions.
    let oldest = rows
        .iter()
        .filter_map(|row| {
            let ended = text(row, "jobstatus").is_some_and(|s| is_final(&s));
            row.get(if ended { "modificationtime" } else { "creationtime" }).and_then(moment)
        })
        .min();
    let mut sql = Sql::new(format!("SELECT DISTINCT pandaid, destinationse FROM {SCHEMA}.filestable4"));
    sql.and_in("pandaid", rows.iter().map(|r| int(r, "pandaid").into())).and("destinationse IS NOT NULL", []);
    if let Some(oldest) = oldest {
        sql.and("modificationtime >= ?", [(oldest - TimeDelta::hours(1)).into()]);
    }
    match panda.rows(&sql).await {
        Ok(rows) => {
            // The engines order text by different rules: the smallest is taken here.
            let mut out: HashMap<i64, String> = HashMap::new();
            for row in &rows {
                let Some(storage) = text(row, "destinationse") else { continue };
                let known = out.entry(int(row, "pandaid")).or_insert_with(|| storage.clone());
                if storage < *known {
                    *known = storage;
                }
            }
            Ok(out)
        }
        Err(e) => Err(format!("filestable4 could not be read, so destinationse is null: {e}")),
    }
}

/// Every state of a job, in the order in which it passes them.
pub const STATES: [&str; 16] = [
    "pending",
    "defined",
    "assigned",
    "waiting",
    "throttled",
    "activated",
    "sent",
    "starting",
    "running",
    "holding",
    "merging",
    "transferring",
    "finished",
    "failed",
    "cancelled",
    "closed",
];

/// Refuses a state that PanDA does not have, with those it has.
pub fn state(status: Option<&str>, states: &[&str]) -> Result<(), Error> {
    match status {
        Some(s) if !states.contains(&s) => {
            Err(Error::invalid("status", format!("'{s}' is not a status{}", crate::args::choices(s, states))))
        }
        _ => Ok(()),
    }
}

/// True for states that a job does not leave.
pub fn is_final(status: &str) -> bool {
    matches!(status, "finished" | "failed" | "cancelled" | "closed")
}

/// A job's row as JSON with its destination and, while it has not ended, the hours since its last change.
pub fn listed(
    row: &Row,
    fields: &[&str],
    destinations: &HashMap<i64, String>,
    now: DateTime<Utc>,
) -> Map<String, Value> {
    let all = row_json(row);
    let mut out: Map<String, Value> =
        fields.iter().map(|f| ((*f).to_owned(), all.get(*f).cloned().unwrap_or(Value::Null))).collect();
    out.insert("destinationse".into(), json!(destinations.get(&int(row, "pandaid"))));
    let status = text(row, "jobstatus").unwrap_or_default();
    if !is_final(&status) {
        let since = row
            .get("statechangetime")
            .and_then(moment)
            .or_else(|| row.get("modificationtime").and_then(moment));
        let hours = since.map(|t| round((now.naive_utc() - t).num_seconds() as f64 / 3600.0, 1));
        out.insert("hours_in_state".into(), json!(hours));
    }
    out
}

/// A job's errors: each component with a code that is not zero, then the transformation's exit code.
pub fn errors(row: &Row) -> Vec<JobError> {
    let mut out = Vec::new();
    for (component, prefix) in COMPONENTS {
        let code = int(row, &format!("{prefix}errorcode"));
        if code != 0 {
            let diag = text(row, &format!("{prefix}errordiag"));
            out.push(JobError { component, code: code.to_string(), diag });
        }
    }
    if let Some(code) = text(row, "transexitcode").filter(|c| !c.is_empty() && c != "0") {
        out.push(JobError { component: "transformation", code, diag: Some(String::new()) });
    }
    out
}

/// An error as the original shows it: numbers as numbers, the transformation's code as text.
pub fn error_json(error: &JobError) -> Value {
    match error.component {
        "transformation" => json!({"component": "transformation", "code": error.code, "diag": ""}),
        component => json!({"component": component, "code": error.number(), "diag": error.diag}),
    }
}

/// An error with its name, meaning and advice.
pub fn explained(catalog: &Catalog, error: &JobError) -> Value {
    let mut out = error_json(error);
    let words = serde_json::to_value(catalog.words().error(error)).unwrap_or_default();
    if let (Some(out), Value::Object(words)) = (out.as_object_mut(), words) {
        out.extend(words);
    }
    out
}
