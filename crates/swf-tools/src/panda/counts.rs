//! Counts of jobs in one pass per table: grouped in the database, added up here.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value, json};
use swf_db::{Engine, Sql};

use super::answer::{int, moment, round, text};
use super::filter::{ALL, JobFilter, LIVE};
use super::hours::{Covered, Hour, Picks, Work, cell};
use super::schema::SCHEMA;
use super::{Catalog, Panda};
use crate::Error;

/// What to group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `jobstatus`
    Status,
    /// `produsername`
    User,
    /// `computingsite`
    Site,
    /// `jeditaskid`, as text
    Task,
    /// `resource_type`
    Resource,
    /// Hour of the last change, `YYYY-MM-DDTHH`
    Hour,
    /// Day of the last change, `YYYY-MM-DD`
    Day,
}

impl Key {
    fn expression(self, engine: Engine) -> String {
        match self {
            Key::Status => "jobstatus".into(),
            Key::User => "produsername".into(),
            Key::Site => "computingsite".into(),
            Key::Task => "CAST(jeditaskid AS text)".into(),
            Key::Resource => "resource_type".into(),
            Key::Hour => hour(engine, "modificationtime"),
            Key::Day => day(engine, "modificationtime"),
        }
    }
}

/// The hour of a time column, `YYYY-MM-DDTHH`.
pub fn hour(engine: Engine, column: &str) -> String {
    match engine {
        Engine::Postgres => format!("to_char({column}, 'YYYY-MM-DD\"T\"HH24')"),
        Engine::Sqlite => format!("substr({column}, 1, 13)"),
    }
}

/// The day of a time column, `YYYY-MM-DD`.
pub fn day(engine: Engine, column: &str) -> String {
    match engine {
        Engine::Postgres => format!("to_char({column}, 'YYYY-MM-DD')"),
        Engine::Sqlite => format!("substr({column}, 1, 10)"),
    }
}

impl Key {
    /// The same of a remembered cell.
    fn value(self, hour: &Hour<Work>, cell: &Work) -> Option<String> {
        let word = |number| hour.word(number).map(str::to_owned);
        match self {
            Key::Status => word(cell.place.status),
            Key::User => word(cell.place.user),
            Key::Site => word(cell.place.site),
            Key::Task => cell.place.task.map(|t| t.to_string()),
            Key::Resource => word(cell.resource),
            Key::Hour => Some(hour.start.format("%Y-%m-%dT%H").to_string()),
            Key::Day => Some(hour.start.format("%Y-%m-%d").to_string()),
        }
    }
}

/// Jobs with the same keys.
#[derive(Debug, Clone)]
pub struct Count {
    /// Values of the keys asked for, in order.
    pub keys: Vec<Option<String>>,
    /// Jobs.
    pub jobs: i64,
    /// Latest change of a job; of ended jobs, when PanDA saw the end. (`endtime` would cost the scan of an
    /// index its reading of the rows.)
    pub last_change: Option<NaiveDateTime>,
}

impl Count {
    /// One of the keys.
    pub fn key(&self, at: usize) -> Option<&str> {
        self.keys.get(at).and_then(|k| k.as_deref())
    }
}

/// Counts jobs of all tables by some keys; one statement. Also says which tables were left out and why.
pub async fn counts(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
    keys: &[Key],
) -> Result<(Vec<Count>, Vec<String>), Error> {
    filter.check(catalog)?;
    let (tables, dark) = catalog.usable(&ALL)?;
    let engine = panda.db().engine();
    let select: Vec<String> =
        keys.iter().enumerate().map(|(n, k)| format!("{} AS k{n}", k.expression(engine))).collect();
    let group: Vec<String> = (1..=keys.len()).map(|n| n.to_string()).collect();
    let covered = match filter.remembered_counts() {
        Some(window) => panda.hours().work.cover(panda, catalog, window, &filter.used).await,
        None => Covered::direct(filter.window),
    };
    let sql = filter.union_over(&tables, &covered.live, |table, window| {
        let conditions = filter.conditions(engine, window);
        let head = format!(
            "SELECT {}, count(*) AS n, max(modificationtime) AS last_time FROM {SCHEMA}.{}",
            select.join(", "),
            table.name
        );
        let mut sql = Sql::new(head);
        sql.push(conditions.text(), conditions.values().to_vec());
        sql.push(&format!("GROUP BY {}", group.join(", ")), []);
        sql
    });
    let rows = rows_of(panda, &sql).await?;
    let mut sums: HashMap<Vec<Option<String>>, (i64, Option<NaiveDateTime>)> = HashMap::new();
    for row in rows {
        let values: Vec<Option<String>> = (0..keys.len()).map(|n| text(&row, &format!("k{n}"))).collect();
        let sum = sums.entry(values).or_default();
        sum.0 += int(&row, "n");
        sum.1 = sum.1.max(row.get("last_time").and_then(moment));
    }
    let picks = Picks::new(filter);
    for hour in &covered.hours {
        let mut places = picks.of(hour);
        // Few kinds of cells make many cells: texts are made once for each.
        let mut found: HashMap<Vec<Option<String>>, (i64, Option<i64>)> = HashMap::new();
        for cell in hour.cells.iter().filter(|c| places.wants(&c.place)) {
            let values: Vec<Option<String>> = keys.iter().map(|k| k.value(hour, cell)).collect();
            let sum = found.entry(values).or_default();
            sum.0 += cell.jobs;
            sum.1 = sum.1.max(cell.last);
        }
        for (values, (jobs, last)) in found {
            let sum = sums.entry(values).or_default();
            sum.0 += jobs;
            sum.1 = sum.1.max(cell::time(last));
        }
    }
    let counts =
        sums.into_iter().map(|(keys, (jobs, last_change))| Count { keys, jobs, last_change }).collect();
    Ok((counts, dark))
}

/// A union without parts has no rows.
pub(super) async fn rows_of(panda: &Panda, sql: &Sql) -> Result<Vec<swf_db::Row>, Error> {
    if sql.text().is_empty() { Ok(Vec::new()) } else { panda.rows(sql).await }
}

/// Names with their numbers, largest first, equal ones by name.
pub fn ranked<K: Ord + Clone + Hash>(sums: HashMap<K, i64>) -> Vec<(K, i64)> {
    let mut out: Vec<(K, i64)> = sums.into_iter().collect();
    out.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    out
}

/// `{status: jobs}`, largest first.
pub fn by_status<'a>(counts: impl Iterator<Item = (Option<&'a str>, i64)>) -> Map<String, Value> {
    let mut sums: HashMap<String, i64> = HashMap::new();
    for (status, jobs) in counts {
        *sums.entry(status.unwrap_or("unknown").to_owned()).or_default() += jobs;
    }
    ranked(sums).into_iter().map(|(status, jobs)| (status, json!(jobs))).collect()
}

/// `[{<name>: …, total, <status>: n, …}]`, largest total first. The triples are name, status, number.
pub fn by_name<'a>(
    name: &str,
    counts: impl Iterator<Item = (Option<&'a str>, Option<&'a str>, i64)>,
) -> Vec<Map<String, Value>> {
    let mut groups: BTreeMap<Option<&str>, Vec<(Option<&str>, i64)>> = BTreeMap::new();
    for (who, status, jobs) in counts {
        groups.entry(who).or_default().push((status, jobs));
    }
    let mut out: Vec<(i64, Map<String, Value>)> = groups
        .into_iter()
        .map(|(who, counts)| {
            let total = counts.iter().map(|(_, n)| n).sum();
            let mut row = Map::new();
            row.insert(name.to_owned(), json!(who));
            row.insert("total".into(), json!(total));
            row.extend(by_status(counts.into_iter()));
            (total, row)
        })
        .collect();
    out.sort_by_key(|(total, _)| std::cmp::Reverse(*total));
    out.into_iter().map(|(_, row)| row).collect()
}

/// Jobs that wait or run now, whatever the window, by state: how many and for how long the oldest.
pub async fn in_flight(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
    now: DateTime<Utc>,
) -> Result<Map<String, Value>, Error> {
    let filter = JobFilter { window: None, exclude_retried: false, ..filter.clone() };
    let (tables, _) = catalog.usable(&LIVE)?;
    let sql = filter.union(panda, &tables, |table, mut sql| {
        let since = match catalog.has(table.name, "statechangetime") {
            true => "COALESCE(statechangetime, modificationtime)",
            false => "modificationtime",
        };
        sql.and("jobstatus NOT IN ('finished', 'failed', 'cancelled', 'closed')", []);
        let mut out = Sql::new(format!(
            "SELECT jobstatus, count(*) AS n, min({since}) AS since FROM {SCHEMA}.{}",
            table.name
        ));
        out.push(sql.text(), sql.values().to_vec());
        out.push("GROUP BY jobstatus", []);
        out
    });
    let rows = panda.rows(&sql).await?;
    let mut states: HashMap<String, (i64, Option<NaiveDateTime>)> = HashMap::new();
    for row in rows {
        let state = states.entry(text(&row, "jobstatus").unwrap_or_default()).or_default();
        state.0 += int(&row, "n");
        let since = row.get("since").and_then(moment);
        state.1 = match (state.1, since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    let order = ranked(states.iter().map(|(s, (n, _))| (s.clone(), *n)).collect());
    let row = |(state, jobs): (String, i64)| {
        let since = states.get(&state).and_then(|s| s.1);
        let hours = since.map(|t| round((now.naive_utc() - t).num_seconds() as f64 / 3600.0, 1));
        let oldest = since.map(super::answer::naive);
        (state, json!({"jobs": jobs, "oldest_since": oldest, "oldest_hours": hours}))
    };
    Ok(order.into_iter().map(row).collect())
}
