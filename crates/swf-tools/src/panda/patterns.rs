//! Errors of many jobs as few patterns: component, code, text without ids, times and hosts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDateTime;
use swf_db::{Engine, Sql, Value};

use super::answer::{int, moment, text};
use super::errors::{COMPONENTS, Explanation, explain};
use super::filter::{ENDED, JobFilter};
use super::normalise::{DIAG_LENGTH, pattern};
use super::schema::{SCHEMA, Table};
use super::{Catalog, Panda};
use crate::Error;

/// Jobs that failed in the same way.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Component.
    pub source: &'static str,
    /// Code.
    pub code: i64,
    /// The most frequent text as it stands in the database, up to 256 characters.
    pub diag: String,
    /// The text without what differs from job to job.
    pub pattern: String,
    /// Jobs.
    pub jobs: i64,
    /// Jobs whose payload never started.
    pub never_started: i64,
    /// Different texts that became this pattern.
    pub texts: usize,
    /// Tasks.
    pub tasks: HashSet<i64>,
    /// Owners; null is possible.
    pub users: BTreeSet<Option<String>>,
    /// Jobs by queue.
    pub sites: BTreeMap<Option<String>, i64>,
    /// Some of the jobs, one or two of each task and queue.
    pub ids: Vec<i64>,
    /// Last change of the first and last job.
    pub first: Option<NaiveDateTime>,
    /// See `first`.
    pub last: Option<NaiveDateTime>,
    /// In words.
    pub explanation: Explanation,
}

/// Representative jobs kept of one pattern.
const IDS: usize = 400;

/// The patterns of the jobs that a filter selects, most frequent first; one scan of each table.
pub async fn patterns(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
    normalise: bool,
) -> Result<Vec<Pattern>, Error> {
    filter.check(catalog)?;
    let (tables, _) = catalog.usable(&ENDED)?;
    let engine = panda.db().engine();
    let sql = filter.union(panda, &tables, |table, conditions| {
        let mut sql = Sql::new(format!(
            "SELECT {}, j.computingsite AS site, j.produsername AS owner, j.jeditaskid AS task, count(*) AS n, \
             sum(CASE WHEN j.starttime IS NULL THEN 1 ELSE 0 END) AS unstarted, min(j.pandaid) AS low, \
             max(j.pandaid) AS high, min(j.modificationtime) AS first_time, max(j.modificationtime) AS last_time \
             FROM (SELECT {} FROM {SCHEMA}.{}",
            columns(engine),
            faulty(catalog, table, panda.is_postgres()),
            table.name
        ));
        sql.push(conditions.text(), conditions.values().to_vec());
        sql.push(&format!(") AS j {}", expand(engine)), []);
        wanted(&mut sql, engine, filter);
        sql.push("GROUP BY 1, 2, 3, 4, 5, 6", []);
        sql
    });
    let rows = panda.rows(&sql).await?;
    let mut folded: HashMap<String, String> = HashMap::new();
    let mut groups: HashMap<(usize, i64, String), Gathered> = HashMap::new();
    for row in &rows {
        let diag = text(row, "diag").unwrap_or_default();
        let key = match normalise {
            true => folded.entry(diag.clone()).or_insert_with(|| pattern(&diag)).clone(),
            false => diag.clone(),
        };
        let source = usize::try_from(int(row, "source")).unwrap_or_default();
        groups.entry((source, int(row, "code"), key)).or_default().add(row, diag);
    }
    let mut out: Vec<Pattern> =
        groups.into_iter().filter_map(|((source, code, key), g)| g.pattern(source, code, key)).collect();
    out.sort_by(|a, b| {
        let order = |p: &Pattern| (std::cmp::Reverse(p.jobs), p.source, p.code);
        order(a).cmp(&order(b)).then_with(|| a.pattern.cmp(&b.pattern))
    });
    Ok(out)
}

/// Columns of the inner select.
fn faulty(catalog: &Catalog, table: &Table, postgres: bool) -> String {
    let codes = COMPONENTS.iter().map(|(_, p)| format!("{p}errorcode"));
    let diags = COMPONENTS.iter().map(|(_, p)| format!("{p}errordiag"));
    let rest = ["pandaid", "jeditaskid", "computingsite", "produsername", "starttime", "modificationtime"];
    codes
        .chain(diags)
        .chain(rest.map(str::to_owned))
        .map(|c| catalog.column(table, &c, postgres))
        .collect::<Vec<_>>()
        .join(", ")
}

/// PostgreSQL turns a row into its components with LATERAL, SQLite by pairing it with their numbers.
fn expand(engine: Engine) -> String {
    match engine {
        Engine::Postgres => {
            let rows = COMPONENTS.iter().enumerate();
            let rows = rows.map(|(n, (_, p))| format!("({n}, j.{p}errorcode, j.{p}errordiag)"));
            let rows = rows.collect::<Vec<_>>().join(", ");
            format!("CROSS JOIN LATERAL (VALUES {rows}) AS v(source, code, diag) WHERE v.code <> 0")
        }
        Engine::Sqlite => {
            let numbers: Vec<String> =
                (0..COMPONENTS.len()).map(|n| format!("SELECT {n} AS source")).collect();
            format!("CROSS JOIN ({}) AS v WHERE {} <> 0", numbers.join(" UNION ALL "), chosen("code"))
        }
    }
}

fn columns(engine: Engine) -> String {
    let (code, diag) = match engine {
        Engine::Postgres => ("v.code".to_owned(), "v.diag".to_owned()),
        Engine::Sqlite => (chosen("code"), chosen("diag")),
    };
    format!("v.source AS source, {code} AS code, COALESCE(substr({diag}, 1, {DIAG_LENGTH}), '') AS diag")
}

fn chosen(what: &str) -> String {
    let arms = COMPONENTS.iter().enumerate();
    let arms =
        arms.map(|(n, (_, p))| format!("WHEN {n} THEN j.{p}error{what}")).collect::<Vec<_>>().join(" ");
    format!("CASE v.source {arms} END")
}

/// Of a job's components only those asked for: its row may have others.
fn wanted(sql: &mut Sql, engine: Engine, filter: &JobFilter) {
    let at = filter.component.and_then(|p| COMPONENTS.iter().position(|(_, prefix)| *prefix == p));
    if let Some(at) = at {
        sql.push(&format!("AND v.source = {at}"), []);
    }
    if let Some(code) = filter.error_code {
        let column = if engine == Engine::Postgres { "v.code".to_owned() } else { chosen("code") };
        sql.push(&format!("AND {column} = ?"), [Value::Int(code)]);
    }
}

#[derive(Default)]
struct Gathered {
    texts: HashMap<String, i64>,
    jobs: i64,
    never_started: i64,
    tasks: HashSet<i64>,
    users: BTreeSet<Option<String>>,
    sites: BTreeMap<Option<String>, i64>,
    ids: BTreeSet<i64>,
    first: Option<NaiveDateTime>,
    last: Option<NaiveDateTime>,
}

impl Gathered {
    fn add(&mut self, row: &swf_db::Row, diag: String) {
        let jobs = int(row, "n");
        self.jobs += jobs;
        self.never_started += int(row, "unstarted");
        *self.texts.entry(diag).or_default() += jobs;
        self.tasks.insert(int(row, "task"));
        self.users.insert(text(row, "owner"));
        *self.sites.entry(text(row, "site")).or_default() += jobs;
        self.ids.extend([int(row, "low"), int(row, "high")]);
        let first = row.get("first_time").and_then(moment);
        self.first = match (self.first, first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.last = self.last.max(row.get("last_time").and_then(moment));
    }

    fn pattern(self, source: usize, code: i64, pattern: String) -> Option<Pattern> {
        let (source, _) = COMPONENTS.get(source)?;
        let texts = self.texts.len();
        // Of equally frequent texts the first by name, so that the same data gives the same answer.
        let most = self.texts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
        let diag = most.map(|(diag, _)| diag).unwrap_or_default();
        Some(Pattern {
            explanation: explain(source, code, &diag),
            source,
            code,
            diag,
            pattern,
            jobs: self.jobs,
            never_started: self.never_started,
            texts,
            tasks: self.tasks,
            users: self.users,
            sites: self.sites,
            ids: self.ids.into_iter().rev().take(IDS).collect(),
            first: self.first,
            last: self.last,
        })
    }
}

/// Storage elements of jobs, by job.
pub async fn destinations(
    panda: &Panda,
    catalog: &Catalog,
    ids: &BTreeSet<i64>,
    since: NaiveDateTime,
) -> Result<HashMap<i64, BTreeSet<String>>, String> {
    if let Some(why) = catalog.trouble("filestable4") {
        return Err(format!("{why}: destination_sites is empty"));
    }
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new(format!("SELECT DISTINCT pandaid, destinationse FROM {SCHEMA}.filestable4"));
    sql.and_in("pandaid", ids.iter().map(|id| Value::Int(*id)));
    sql.and("destinationse IS NOT NULL", []).and("modificationtime >= ?", [since.into()]);
    let rows = panda
        .rows(&sql)
        .await
        .map_err(|e| format!("filestable4 could not be read, so destination_sites is empty: {e}"))?;
    let mut out: HashMap<i64, BTreeSet<String>> = HashMap::new();
    for row in rows {
        if let Some(storage) = text(&row, "destinationse") {
            out.entry(int(&row, "pandaid")).or_default().insert(storage);
        }
    }
    Ok(out)
}
