//! Errors of many jobs as few patterns: component, code, text without ids, times and hosts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{NaiveDateTime, TimeDelta};
use swf_db::{Engine, Row, Sql, Value};

use super::answer::{int, moment, text};
use super::counts::rows_of;
use super::errors::{COMPONENTS, Dictionary, Explanation};
use super::filter::{ENDED, FAULTY, JobFilter, Window};
use super::hours::cell::{Words, time};
use super::hours::{Covered, Fault, Hour, Picks};
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
    /// Storage elements of the jobs' files, when they were asked for.
    pub storage: BTreeSet<String>,
    /// Some of the jobs, newest first.
    pub ids: Vec<i64>,
    /// Last change of the first and last job.
    pub first: Option<NaiveDateTime>,
    /// See `first`.
    pub last: Option<NaiveDateTime>,
    /// In words.
    pub explanation: Explanation,
}

/// Representative jobs kept of one pattern.
const IDS: usize = 3;
/// Stands between the storage elements of one job.
pub const BETWEEN: char = '\u{1f}';
/// The payload's exit code comes after the components.
const EXIT: usize = COMPONENTS.len();

/// What a statement about errors tells apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Detail {
    /// The hour, by this expression.
    pub hour: Option<&'static str>,
    /// The storage elements of the jobs' files.
    pub storage: bool,
    /// Exit codes of the payload too.
    pub exits: bool,
    /// Of a job's errors only those that the filter names.
    pub wanted: bool,
}

/// Jobs with the same error, owner, queue and task. Texts are numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: usize,
    code: i64,
    diag: u32,
    user: u32,
    site: u32,
    task: i64,
}

struct Sums {
    jobs: i64,
    never_started: i64,
    ids: (i64, i64),
    first: Option<NaiveDateTime>,
    last: Option<NaiveDateTime>,
    storage: BTreeSet<u32>,
}

#[derive(Default)]
struct Gathered {
    words: Words,
    /// Patterns of texts that closed hours know.
    folded: HashMap<u32, u32>,
    sums: HashMap<Key, Sums>,
}

/// The patterns of the jobs that a filter selects, most frequent first; one scan of what is not remembered.
pub async fn patterns(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
    normalise: bool,
    storage: bool,
) -> Result<Vec<Pattern>, Error> {
    let detail = Detail { storage, wanted: true, ..Detail::default() };
    let mut all = gather(panda, catalog, filter, detail).await?;
    let mut groups: HashMap<(usize, i64, u32), Group> = HashMap::new();
    for (key, sums) in std::mem::take(&mut all.sums) {
        let text = if normalise { all.fold(key.diag) } else { key.diag };
        groups.entry((key.source, key.code, text)).or_default().add(&key, sums);
    }
    let words = &all.words;
    let mut out: Vec<Pattern> = groups
        .into_iter()
        .filter_map(|((source, code, text), g)| {
            g.pattern((source, code), words.text(text), words, catalog.words())
        })
        .collect();
    out.sort_by(|a, b| {
        let order = |p: &Pattern| (std::cmp::Reverse(p.jobs), p.source, p.code);
        order(a).cmp(&order(b)).then_with(|| a.pattern.cmp(&b.pattern))
    });
    Ok(out)
}

/// A code and how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frequency {
    /// Component, or `transformation` for exit codes.
    pub source: &'static str,
    /// Code; an exit code is a text.
    pub code: String,
    /// Jobs.
    pub jobs: i64,
    /// The most frequent text.
    pub diag: String,
}

/// How often each code was seen in the jobs that a filter selects, most frequent first: all errors of these jobs.
pub async fn frequencies(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
) -> Result<Vec<Frequency>, Error> {
    let all = gather(panda, catalog, filter, Detail { exits: true, ..Detail::default() }).await?;
    let mut texts: HashMap<(usize, String), HashMap<u32, i64>> = HashMap::new();
    for (key, sums) in &all.sums {
        let code = if key.source == EXIT { all.words.text(key.diag) } else { key.code.to_string() };
        *texts.entry((key.source, code)).or_default().entry(key.diag).or_default() += sums.jobs;
    }
    let mut out: Vec<Frequency> = texts
        .into_iter()
        .map(|((source, code), texts)| {
            let component = COMPONENTS.get(source).map(|(name, _)| *name);
            Frequency {
                source: component.unwrap_or("transformation"),
                code,
                jobs: texts.values().sum(),
                diag: component.map_or(String::new(), |_| most_frequent(texts, &all.words)),
            }
        })
        .collect();
    out.sort_by(|a, b| {
        let order = |f: &Frequency| (std::cmp::Reverse(f.jobs), f.source, f.code.clone());
        order(a).cmp(&order(b))
    });
    Ok(out)
}

/// Of equally frequent texts the first by name, so that the same data gives the same answer.
fn most_frequent(texts: HashMap<u32, i64>, words: &Words) -> String {
    let texts = texts.into_iter().map(|(diag, jobs)| (words.text(diag), jobs));
    let most = texts.max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
    most.map(|(diag, _)| diag).unwrap_or_default()
}

async fn gather(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
    detail: Detail,
) -> Result<Gathered, Error> {
    filter.check(catalog)?;
    let (tables, _) = catalog.usable(&ENDED)?;
    let whole = !detail.wanted && (filter.component.is_some() || filter.error_code.is_some());
    let faulty = !filter.statuses.is_empty() && filter.statuses.iter().all(|s| FAULTY.contains(&s.as_str()));
    // A closed hour does not know which errors were a job's together.
    let covered = match filter.remembered().filter(|_| faulty && !whole) {
        Some(window) => panda.hours().faults.cover(panda, catalog, window, &filter.used).await,
        None => Covered::direct(filter.window),
    };
    let sql = filter.union_over(&tables, &covered.live, |table, window| {
        part(panda, catalog, filter, table, window, detail)
    });
    let mut out = Gathered::default();
    for row in &rows_of(panda, &sql).await? {
        out.add(row);
    }
    let picks = Picks::new(filter);
    let at = filter.component.and_then(|p| COMPONENTS.iter().position(|(_, prefix)| *prefix == p));
    let fits = |fault: &Fault| {
        let source = usize::from(fault.source);
        (detail.exits || source < EXIT)
            && at.is_none_or(|at| at == source)
            && filter.error_code.is_none_or(|code| code == fault.code && source < EXIT)
    };
    for hour in &covered.hours {
        out.add_hour(hour, &picks, &fits, detail.storage);
    }
    Ok(out)
}

impl Gathered {
    fn add(&mut self, row: &Row) {
        let storage = text(row, "storage").unwrap_or_default();
        let storage = storage.split(BETWEEN).filter(|s| !s.is_empty());
        let sums = Sums {
            jobs: int(row, "n"),
            never_started: int(row, "unstarted"),
            ids: (int(row, "low"), int(row, "high")),
            first: row.get("first_time").and_then(moment),
            last: row.get("last_time").and_then(moment),
            storage: storage.map(|s| self.words.number(Some(s.to_owned()))).collect(),
        };
        let key = Key {
            source: usize::try_from(int(row, "source")).unwrap_or_default(),
            code: int(row, "code"),
            diag: self.words.number(Some(text(row, "diag").unwrap_or_default())),
            user: self.words.number(text(row, "produsername")),
            site: self.words.number(text(row, "computingsite")),
            task: int(row, "jeditaskid"),
        };
        self.put(key, sums);
    }

    fn add_hour(&mut self, hour: &Hour<Fault>, picks: &Picks, fits: &impl Fn(&Fault) -> bool, storage: bool) {
        let mut numbers: Vec<Option<u32>> = vec![None; hour.words.len() + 1];
        let mut places = picks.of(hour);
        for cell in &hour.cells {
            if !fits(cell) || !places.wants(&cell.place) || !places.wants_storage(cell.storage) {
                continue;
            }
            let mut number = |of: u32| {
                let words = &mut self.words;
                let mut made = || words.number(hour.word(of).map(str::to_owned));
                match numbers.get_mut(usize::try_from(of).unwrap_or_default()) {
                    Some(known) => *known.get_or_insert_with(made),
                    None => made(),
                }
            };
            let key = Key {
                source: cell.source.into(),
                code: cell.code,
                diag: number(cell.diag),
                user: number(cell.place.user),
                site: number(cell.place.site),
                task: cell.place.task.unwrap_or_default(),
            };
            let pattern = number(cell.pattern);
            self.folded.insert(key.diag, pattern);
            let names = hour.word(cell.storage).filter(|_| storage).unwrap_or_default();
            let names = names.split(BETWEEN).filter(|s| !s.is_empty());
            let sums = Sums {
                jobs: cell.jobs.0,
                never_started: cell.jobs.1,
                ids: cell.ids,
                first: time(cell.times.0),
                last: time(cell.times.1),
                storage: names.map(|s| self.words.number(Some(s.to_owned()))).collect(),
            };
            self.put(key, sums);
        }
    }

    fn put(&mut self, key: Key, more: Sums) {
        match self.sums.get_mut(&key) {
            Some(sums) => sums.add(more),
            None => {
                self.sums.insert(key, more);
            }
        }
    }

    /// The pattern of a text.
    fn fold(&mut self, diag: u32) -> u32 {
        if let Some(known) = self.folded.get(&diag) {
            return *known;
        }
        let folded = self.words.number(Some(pattern(&self.words.text(diag))));
        self.folded.insert(diag, folded);
        folded
    }
}

impl Sums {
    fn add(&mut self, more: Sums) {
        self.jobs += more.jobs;
        self.never_started += more.never_started;
        self.ids = (self.ids.0.min(more.ids.0), self.ids.1.max(more.ids.1));
        self.first = earlier(self.first, more.first);
        self.last = self.last.max(more.last);
        self.storage.extend(more.storage);
    }
}

fn earlier(a: Option<NaiveDateTime>, b: Option<NaiveDateTime>) -> Option<NaiveDateTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[derive(Default)]
struct Group {
    texts: HashMap<u32, i64>,
    jobs: i64,
    never_started: i64,
    tasks: HashSet<i64>,
    users: HashSet<u32>,
    sites: HashMap<u32, i64>,
    storage: BTreeSet<u32>,
    ids: BTreeSet<i64>,
    first: Option<NaiveDateTime>,
    last: Option<NaiveDateTime>,
}

impl Group {
    fn add(&mut self, key: &Key, sums: Sums) {
        self.jobs += sums.jobs;
        self.never_started += sums.never_started;
        *self.texts.entry(key.diag).or_default() += sums.jobs;
        self.tasks.insert(key.task);
        self.users.insert(key.user);
        *self.sites.entry(key.site).or_default() += sums.jobs;
        self.storage.extend(sums.storage);
        self.ids.extend([sums.ids.0, sums.ids.1]);
        while self.ids.len() > IDS {
            self.ids.pop_first();
        }
        self.first = earlier(self.first, sums.first);
        self.last = self.last.max(sums.last);
    }

    fn pattern(
        self,
        (source, code): (usize, i64),
        pattern: String,
        words: &Words,
        dictionary: &Dictionary,
    ) -> Option<Pattern> {
        let (source, _) = COMPONENTS.get(source)?;
        let texts = self.texts.len();
        let diag = most_frequent(self.texts, words);
        let name = |number: u32| words.get(number).map(str::to_owned);
        Some(Pattern {
            explanation: dictionary.explain(source, code, &diag),
            source,
            code,
            diag,
            pattern,
            jobs: self.jobs,
            never_started: self.never_started,
            texts,
            tasks: self.tasks,
            users: self.users.into_iter().map(name).collect(),
            sites: self.sites.into_iter().map(|(site, jobs)| (name(site), jobs)).collect(),
            storage: self.storage.into_iter().filter_map(name).collect(),
            ids: self.ids.into_iter().rev().collect(),
            first: self.first,
            last: self.last,
        })
    }
}

/// One table's errors, grouped, within a part of the window.
pub fn part(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
    table: &Table,
    window: Option<Window>,
    detail: Detail,
) -> Sql {
    let engine = panda.db().engine();
    let hour = detail.hour.map_or("'' AS hour".to_owned(), |h| format!("{h} AS hour"));
    let mut sql = Sql::new(format!(
        "SELECT j.hour, {}, j.jobstatus, j.produsername, j.computingsite, j.workinggroup, j.jeditaskid, j.reqid, j.storage, \
         count(*) AS n, sum(CASE WHEN j.starttime IS NULL THEN 1 ELSE 0 END) AS unstarted, min(j.pandaid) AS low, \
         max(j.pandaid) AS high, min(j.modificationtime) AS first_time, max(j.modificationtime) AS last_time \
         FROM (SELECT {hour}, {},",
        columns(engine, detail.exits),
        faulty(catalog, table, panda.is_postgres()),
    ));
    let storage = match detail.storage && catalog.trouble("filestable4").is_none() {
        true => stored(engine, table, window),
        false => Sql::new(if engine == Engine::Postgres { "CAST(NULL AS text)" } else { "NULL" }),
    };
    sql.push(storage.text(), storage.values().to_vec());
    sql.push(&format!("AS storage FROM {SCHEMA}.{} AS t", table.name), []);
    let conditions = filter.conditions(engine, window);
    sql.push(conditions.text(), conditions.values().to_vec());
    sql.push(&format!(") AS j {}", expand(engine, detail.exits)), []);
    if detail.wanted {
        wanted(&mut sql, engine, filter);
    }
    sql.push("GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11", []);
    sql
}

/// The storage elements of a job's files as one text. Files of archived jobs carry the job's last change, which
/// keeps each look-up in one partition of many; files of other jobs the time of their creation.
fn stored(engine: Engine, table: &Table, window: Option<Window>) -> Sql {
    let mut files = Sql::new(format!("FROM {SCHEMA}.filestable4 f"));
    files.and("f.pandaid = t.pandaid", []).and("f.destinationse IS NOT NULL", []);
    if table.name == "jobsarchived4" && engine == Engine::Postgres {
        // An hour to either side, for rows that were written one after the other. The window leaves few partitions
        // to the plan, the job's own time one of them to each look-up.
        let slack = TimeDelta::hours(1);
        if let Some(Window { start, end, given }) = window {
            let wider = Window { start: start - slack, end: end.map(|e| e + slack), given };
            wider.limit(&mut files, "f.modificationtime");
        }
        files.and("f.modificationtime >= t.modificationtime - interval '1 hour'", []);
        files.and("f.modificationtime <= t.modificationtime + interval '1 hour'", []);
    }
    let (before, after) = match engine {
        Engine::Postgres => ("(SELECT string_agg(DISTINCT f.destinationse, chr(31))", ")"),
        Engine::Sqlite => {
            ("(SELECT group_concat(x, char(31)) FROM (SELECT DISTINCT f.destinationse AS x", "))")
        }
    };
    Sql::new(before).with(files.text(), files.values().to_vec()).with(after, [])
}

/// Columns of the inner select.
fn faulty(catalog: &Catalog, table: &Table, postgres: bool) -> String {
    let codes = COMPONENTS.iter().map(|(_, p)| format!("{p}errorcode"));
    let diags = COMPONENTS.iter().map(|(_, p)| format!("{p}errordiag"));
    let rest = [
        "pandaid",
        "jobstatus",
        "jeditaskid",
        "reqid",
        "workinggroup",
        "computingsite",
        "produsername",
        "starttime",
        "modificationtime",
        "transexitcode",
    ];
    codes
        .chain(diags)
        .chain(rest.map(str::to_owned))
        .map(|c| catalog.column(table, &c, postgres))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether there is an exit code, as a code.
const EXITED: &str = "CASE WHEN j.transexitcode IS NULL OR j.transexitcode IN ('', '0') THEN 0 ELSE 1 END";

/// PostgreSQL turns a row into its components with LATERAL, SQLite by pairing it with their numbers.
fn expand(engine: Engine, exits: bool) -> String {
    match engine {
        Engine::Postgres => {
            let rows = COMPONENTS.iter().enumerate();
            let rows = rows.map(|(n, (_, p))| format!("({n}, j.{p}errorcode, j.{p}errordiag)"));
            let exit = exits.then(|| format!("({EXIT}, {EXITED}, j.transexitcode)"));
            let rows = rows.chain(exit).collect::<Vec<_>>().join(", ");
            format!("CROSS JOIN LATERAL (VALUES {rows}) AS v(source, code, diag) WHERE v.code <> 0")
        }
        Engine::Sqlite => {
            let numbers: Vec<String> =
                (0..EXIT + usize::from(exits)).map(|n| format!("SELECT {n} AS source")).collect();
            format!("CROSS JOIN ({}) AS v WHERE {} <> 0", numbers.join(" UNION ALL "), chosen("code"))
        }
    }
}

fn columns(engine: Engine, exits: bool) -> String {
    let (code, diag) = match engine {
        Engine::Postgres => ("v.code".to_owned(), "v.diag".to_owned()),
        Engine::Sqlite => (chosen("code"), chosen("diag")),
    };
    // All exit codes have the same number: their text tells them apart.
    let code = if exits { format!("CASE v.source WHEN {EXIT} THEN 0 ELSE {code} END") } else { code };
    format!("v.source AS source, {code} AS code, COALESCE(substr({diag}, 1, {DIAG_LENGTH}), '') AS diag")
}

fn chosen(what: &str) -> String {
    let arms = COMPONENTS.iter().enumerate();
    let arms =
        arms.map(|(n, (_, p))| format!("WHEN {n} THEN j.{p}error{what}")).collect::<Vec<_>>().join(" ");
    let exit = if what == "code" { EXITED } else { "j.transexitcode" };
    format!("CASE v.source {arms} ELSE {exit} END")
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
