//! The cells of an hour: jobs with the same status, owner, queue, task and so on, and what is summed over them.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use swf_db::{Engine, Row, Sql};

use crate::Error;
use crate::panda::answer::{int, moment, real, text};
use crate::panda::filter::{FAULTY, JobFilter, Window};
use crate::panda::patterns;
use crate::panda::schema::{SCHEMA, table};
use crate::panda::usage::{Sums, expressions};
use crate::panda::{Catalog, Panda, normalise};

/// What is remembered of one kind.
pub trait Cell: Serialize + DeserializeOwned + Send + Sync + Sized + 'static {
    /// Name in the database of record.
    const KIND: &'static str;
    /// Whether PanDA has what it is made of.
    fn possible(catalog: &Catalog) -> bool;
    /// All cells of the archive in a window, with their `hour`.
    fn statement(panda: &Panda, catalog: &Catalog, window: Window, limit: usize) -> Result<Sql, Error>;
    /// One row of that.
    fn read(row: &Row, words: &mut Words) -> Self;
}

/// Texts of an hour, each kept once; 0 stands for null.
#[derive(Default)]
pub struct Words {
    at: HashMap<String, u32>,
    all: Vec<String>,
}

impl Words {
    /// The number of a text.
    pub fn number(&mut self, text: Option<String>) -> u32 {
        let Some(text) = text else { return 0 };
        if let Some(known) = self.at.get(&text) {
            return *known;
        }
        self.all.push(text.clone());
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.at.insert(text, number);
        number
    }

    /// The text of a number.
    pub fn get(&self, number: u32) -> Option<&str> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.all.get(at).map(String::as_str)
    }

    /// The same; empty for null.
    pub fn text(&self, number: u32) -> String {
        self.get(number).unwrap_or_default().to_owned()
    }
}

/// A closed hour.
pub struct Hour<C> {
    /// Its start.
    pub start: NaiveDateTime,
    /// When it was read from PanDA.
    pub made_at: DateTime<Utc>,
    /// Its texts.
    pub words: Vec<String>,
    /// Its cells.
    pub cells: Vec<C>,
}

impl<C> Hour<C> {
    /// The text behind a number.
    pub fn word(&self, number: u32) -> Option<&str> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.words.get(at).map(String::as_str)
    }
}

/// An hour under way.
pub struct Builder<C> {
    words: Words,
    cells: Vec<C>,
}

impl<C> Default for Builder<C> {
    fn default() -> Builder<C> {
        Builder { words: Words::default(), cells: Vec::new() }
    }
}

impl<C: Cell> Builder<C> {
    /// Adds a row.
    pub fn add(&mut self, row: &Row) {
        let cell = C::read(row, &mut self.words);
        self.cells.push(cell);
    }

    /// The finished hour.
    pub fn hour(self, start: NaiveDateTime, made_at: DateTime<Utc>) -> Hour<C> {
        Hour { start, made_at, words: self.words.all, cells: self.cells }
    }
}

/// Where and whose a cell's jobs are; numbers of [`Hour::words`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Status.
    #[serde(rename = "s")]
    pub status: u32,
    /// Owner.
    #[serde(rename = "u")]
    pub user: u32,
    /// Queue.
    #[serde(rename = "q")]
    pub site: u32,
    /// Working group.
    #[serde(rename = "g")]
    pub group: u32,
    /// Task.
    #[serde(rename = "t")]
    pub task: Option<i64>,
    /// Request.
    #[serde(rename = "r")]
    pub request: Option<i64>,
}

impl Place {
    fn read(row: &Row, words: &mut Words) -> Place {
        Place {
            status: words.number(text(row, "jobstatus")),
            user: words.number(text(row, "produsername")),
            site: words.number(text(row, "computingsite")),
            group: words.number(text(row, "workinggroup")),
            task: id(row, "jeditaskid"),
            request: id(row, "reqid"),
        }
    }
}

fn id(row: &Row, name: &str) -> Option<i64> {
    row.get(name).filter(|v| !v.is_null()).map(|_| int(row, name))
}

/// Columns of [`Place`], in SQL.
pub const PLACE: &str = "jobstatus, produsername, computingsite, workinggroup, jeditaskid, reqid";

fn micros(row: &Row, name: &str) -> Option<i64> {
    row.get(name).and_then(moment).map(|t| t.and_utc().timestamp_micros())
}

/// The hour of a time column as one value of the group.
fn hour(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "date_trunc('hour', modificationtime)",
        Engine::Sqlite => "substr(modificationtime, 1, 13)",
    }
}

/// Counts and core-seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// Which jobs.
    #[serde(rename = "p")]
    pub place: Place,
    /// Kind of resource.
    #[serde(rename = "k")]
    pub resource: u32,
    /// Jobs.
    #[serde(rename = "n")]
    pub jobs: i64,
    /// Latest change, microseconds since 1970.
    #[serde(rename = "l")]
    pub last: Option<i64>,
    /// Jobs among them that started and ended: number, core-seconds, CPU seconds, seconds.
    #[serde(rename = "w")]
    pub ran: (i64, f64, f64, f64),
}

impl Work {
    /// Sums over the jobs that ran.
    pub fn sums(&self) -> Sums {
        let (jobs, allocated, used, wall) = self.ran;
        Sums { jobs, allocated, used, wall }
    }
}

impl Cell for Work {
    const KIND: &'static str = "work";

    fn possible(catalog: &Catalog) -> bool {
        catalog.trouble("jobsarchived4").is_none()
    }

    fn statement(panda: &Panda, catalog: &Catalog, window: Window, limit: usize) -> Result<Sql, Error> {
        catalog.need("jobsarchived4")?;
        let Some(archived) = table("jobsarchived4") else { return Ok(Sql::new("")) };
        let x = expressions(panda, catalog, archived);
        let resource = catalog.column(archived, "resource_type", panda.is_postgres());
        // 1970 stands for "not set".
        let ran = "starttime >= '1971-01-01' AND endtime IS NOT NULL";
        let sum = |what: &str| format!("sum(CASE WHEN {ran} THEN {what} ELSE 0 END)");
        let mut sql = Sql::new(format!(
            "SELECT {} AS hour, {PLACE}, {resource}, count(*) AS n, max(modificationtime) AS last_time, \
             {} AS ran, {} AS allocated, {} AS used, {} AS wall FROM {SCHEMA}.jobsarchived4",
            hour(panda.db().engine()),
            sum("1"),
            sum(&format!("{} * {}", x.wall, x.cores)),
            sum(x.cpu),
            sum(&x.wall),
        ));
        window.limit(&mut sql, "modificationtime");
        sql.push(
            "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 LIMIT ?",
            [i64::try_from(limit).unwrap_or(i64::MAX).into()],
        );
        Ok(sql)
    }

    fn read(row: &Row, words: &mut Words) -> Work {
        Work {
            place: Place::read(row, words),
            resource: words.number(text(row, "resource_type")),
            jobs: int(row, "n"),
            last: micros(row, "last_time"),
            ran: (int(row, "ran"), real(row, "allocated"), real(row, "used"), real(row, "wall")),
        }
    }
}

/// Errors: one cell for each component, code and text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// Which jobs.
    #[serde(rename = "p")]
    pub place: Place,
    /// Component, as its place in the list of components; the one after them is the payload's exit code.
    #[serde(rename = "c")]
    pub source: u8,
    /// Code; 0 for the exit code, which is a text.
    #[serde(rename = "e")]
    pub code: i64,
    /// The error's text, or the exit code.
    #[serde(rename = "d")]
    pub diag: u32,
    /// The text without ids, times and hosts.
    #[serde(rename = "f")]
    pub pattern: u32,
    /// Storage elements of a job's files, separated by [`patterns::BETWEEN`].
    #[serde(rename = "x")]
    pub storage: u32,
    /// Jobs, and those that never started.
    #[serde(rename = "n")]
    pub jobs: (i64, i64),
    /// Smallest and largest id.
    #[serde(rename = "i")]
    pub ids: (i64, i64),
    /// First and last change, microseconds since 1970.
    #[serde(rename = "l")]
    pub times: (Option<i64>, Option<i64>),
}

impl Cell for Fault {
    const KIND: &'static str = "faults";

    fn possible(catalog: &Catalog) -> bool {
        catalog.trouble("jobsarchived4").is_none()
    }

    fn statement(panda: &Panda, catalog: &Catalog, window: Window, limit: usize) -> Result<Sql, Error> {
        catalog.need("jobsarchived4")?;
        let Some(archived) = table("jobsarchived4") else { return Ok(Sql::new("")) };
        let filter = JobFilter {
            window: Some(window),
            statuses: FAULTY.map(str::to_owned).to_vec(),
            ..JobFilter::default()
        };
        let hour = hour(panda.db().engine());
        let detail = patterns::Detail { hour: Some(hour), storage: true, exits: true, wanted: false };
        let mut sql = patterns::part(panda, catalog, &filter, archived, Some(window), detail);
        sql.push("LIMIT ?", [i64::try_from(limit).unwrap_or(i64::MAX).into()]);
        Ok(sql)
    }

    fn read(row: &Row, words: &mut Words) -> Fault {
        let diag = text(row, "diag").unwrap_or_default();
        let source = u8::try_from(int(row, "source")).unwrap_or(u8::MAX);
        Fault {
            place: Place::read(row, words),
            source,
            code: int(row, "code"),
            pattern: words.number(Some(normalise::pattern(&diag))),
            diag: words.number(Some(diag)),
            storage: words.number(text(row, "storage")),
            jobs: (int(row, "n"), int(row, "unstarted")),
            ids: (int(row, "low"), int(row, "high")),
            times: (micros(row, "first_time"), micros(row, "last_time")),
        }
    }
}

/// A time kept as microseconds.
pub fn time(micros: Option<i64>) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros?).map(|t| t.naive_utc())
}
