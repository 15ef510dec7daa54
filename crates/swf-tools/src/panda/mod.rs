//! The PanDA production database: opened so that it cannot be written to, asked in few bounded statements.
//!
//! *Invariant:* nothing here writes; every statement has a time limit of the server and one of ours; the only
//! outside addresses asked are those of [`Settings`].

pub mod answer;
pub mod archive;
pub mod bench;
mod catalog;
pub mod classify;
pub mod counts;
pub mod errors;
pub mod excerpt;
pub mod fetch;
pub mod filter;
pub mod hours;
pub mod jobs;
pub mod logs;
pub mod normalise;
pub mod once;
pub mod patterns;
pub mod queues;
pub mod record;
pub mod schema;
pub mod seed;
pub mod tags;
pub mod tasks;
pub mod usage;
pub mod workers;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use serde::de::DeserializeOwned;
use swf_db::{Db, Dialect, Engine, Options, Row, Sql};
use tracing::warn;

use crate::{Clock, Cx, Error};
pub use catalog::{Catalog, Role};

/// How PanDA is reached and what may be asked of whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server cancels a statement after this time.
    pub statement_timeout: Duration,
    /// The server gives up waiting for a lock after this time.
    pub lock_timeout: Duration,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// Connections at most.
    pub connections: u32,
    /// Answers are shared for this long.
    pub kept: Duration,
    /// Closed hours of so many days are remembered; 0 for none.
    pub remembered_days: u32,
    /// Base address of the PanDA monitor for links; without it links lead to our own pages only.
    pub monitor_url: Option<String>,
    /// Base address of the PanDA monitor's API (worker statistics, log browser); not asked when absent.
    pub api_url: Option<String>,
    /// Base address of the NERSC portal's job folders; not asked when absent.
    pub nersc_url: Option<String>,
    /// Hosts from which logs may be fetched besides those of the addresses above.
    pub log_hosts: Vec<String>,
    /// Hosts that may have private addresses and plain http (tests, an installation's own mirror).
    pub private_hosts: Vec<String>,
    /// An outside answer takes at most this long.
    pub fetch_timeout: Duration,
    /// An outside answer is read up to this many bytes; of a log the end is kept.
    pub fetch_bytes: usize,
    /// Virtual organisation whose queues are shown unless asked otherwise.
    pub vo: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(4),
            connections: 6,
            kept: Duration::from_secs(60),
            remembered_days: 0,
            monitor_url: None,
            api_url: None,
            nersc_url: None,
            log_hosts: Vec::new(),
            private_hosts: Vec::new(),
            fetch_timeout: Duration::from_secs(10),
            fetch_bytes: 4_000_000,
            vo: "eic".into(),
        }
    }
}

/// An open PanDA database with what is remembered of it. Cloning is cheap.
#[derive(Clone)]
pub struct Panda {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    settings: Settings,
    once: once::Once,
    hours: hours::Hours,
    shared: OnceLock<Shared>,
    catalog: Mutex<Option<(Instant, Arc<Catalog>)>>,
    fetcher: fetch::Fetcher,
    spent: Spent,
}

struct Shared {
    record: record::Record,
    clock: Clock,
}

/// Statements sent and the time they took, one after the other.
#[derive(Debug, Default)]
struct Spent {
    statements: AtomicU64,
    microseconds: AtomicU64,
}

/// The catalogue is looked up again after this long.
const CATALOG_KEPT: Duration = Duration::from_secs(120);

/// Opens `postgres://…` (the server need not be up yet) or `sqlite:PATH` for reading.
pub async fn open(url: &str, settings: Settings) -> Result<Panda, swf_db::Error> {
    let milliseconds = |d: Duration| d.as_millis().to_string();
    let mut options = Options {
        max_connections: settings.connections,
        statement_timeout: Some(settings.statement_timeout),
        acquire_timeout: settings.acquire_timeout,
        read_only: true,
        settings: vec![
            ("jit".into(), "off".into()),
            ("lock_timeout".into(), milliseconds(settings.lock_timeout)),
            ("work_mem".into(), "64MB".into()),
        ],
        attach: Vec::new(),
    };
    let db = match url.strip_prefix("sqlite:") {
        Some(path) => {
            let path = path.trim_start_matches("//");
            if !std::path::Path::new(path).exists() {
                let why = "the file does not exist: make it with `swf db seed panda`".to_owned();
                return Err(swf_db::Error::Url { url: url.to_owned(), why });
            }
            options.attach = vec![(schema::SCHEMA.to_owned(), path.to_owned())];
            // The main database is a private empty one: the tables live in the attached file, under the
            // schema name they have in production.
            Db::open("sqlite:", &options).await?
        }
        None => Db::open(url, &options).await?,
    };
    Ok(Panda::new(db, settings))
}

/// The configured PanDA, or an error that says how to get one.
pub fn of(cx: &Cx) -> Result<&Panda, Error> {
    cx.service().panda.as_ref().ok_or_else(|| Error::Unavailable {
        what: "no PanDA database is configured: set its URL or the PANDA_DB_* variables, or make a synthetic one \
               with `swf db seed panda`; all swf_* and pcs_* tools work without it"
            .into(),
    })
}

impl Panda {
    /// A PanDA on a handle opened by other means.
    pub fn new(db: Db, settings: Settings) -> Panda {
        let fetcher = fetch::Fetcher::new(&settings);
        let inner = Inner {
            db,
            settings,
            once: once::Once::default(),
            hours: hours::Hours::default(),
            shared: OnceLock::new(),
            catalog: Mutex::default(),
            fetcher,
            spent: Spent::default(),
        };
        Panda { inner: Arc::new(inner) }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The database handle.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// Answers shared among callers.
    pub fn once(&self) -> &once::Once {
        &self.inner.once
    }

    /// Shares answers and closed hours with other processes through a migrated database of record. `clock` says
    /// which hours are over.
    pub fn share(&self, record: Db, clock: Clock) {
        let shared = Shared { record: record::Record::new(record), clock };
        if self.inner.shared.set(shared).is_err() {
            warn!("this PanDA is shared already: the first database of record stays");
        }
    }

    /// What is shared with other processes.
    pub fn record(&self) -> Option<&record::Record> {
        self.inner.shared.get().map(|s| &s.record)
    }

    /// What is remembered of closed hours.
    pub fn hours(&self) -> &hours::Hours {
        &self.inner.hours
    }

    /// The time by which hours close.
    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.inner.shared.get().map_or_else(|| Clock::System.now(), |s| s.clock.now())
    }

    /// The door to the outside.
    pub(crate) fn fetcher(&self) -> &fetch::Fetcher {
        &self.inner.fetcher
    }

    /// Statements sent so far, and the sum of their times as seen from here.
    pub fn spent(&self) -> (u64, Duration) {
        let Spent { statements, microseconds } = &self.inner.spent;
        (statements.load(Relaxed), Duration::from_micros(microseconds.load(Relaxed)))
    }

    /// SQL fragments of the engine.
    pub fn dialect(&self) -> Dialect {
        self.inner.db.dialect()
    }

    /// True on PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.inner.db.engine() == Engine::Postgres
    }

    /// Tables, columns and permissions, looked up at most every two minutes.
    pub async fn catalog(&self) -> Result<Arc<Catalog>, Error> {
        let kept = self.inner.catalog.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, catalog)) = kept
            && at.elapsed() < CATALOG_KEPT
        {
            return Ok(catalog);
        }
        let catalog = Arc::new(Catalog::load(self).await?);
        *self.inner.catalog.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), catalog.clone()));
        Ok(catalog)
    }

    /// All rows of a statement.
    pub async fn rows(&self, sql: &Sql) -> Result<Vec<Row>, Error> {
        self.bounded(self.inner.db.rows(sql)).await
    }

    /// All rows, read into structs.
    pub async fn fetch_all<T: DeserializeOwned>(&self, sql: &Sql) -> Result<Vec<T>, Error> {
        let rows = self.rows(sql).await?;
        rows.into_iter().map(|r| r.read().map_err(Error::from)).collect()
    }

    /// All rows, or `None` when the server needs longer than `limit`: there is another plan then.
    pub async fn rows_within(&self, sql: &Sql, limit: Duration) -> Result<Option<Vec<Row>>, Error> {
        if !self.is_postgres() {
            return self.rows(sql).await.map(Some);
        }
        let db = &self.inner.db;
        let asked = async {
            let mut tx = db.begin().await?;
            let setting = Sql::new(format!("SET LOCAL statement_timeout = {}", limit.as_millis()));
            tx.execute(&setting).await?;
            let rows = tx.rows(sql).await;
            match rows {
                Err(swf_db::Error::Timeout(e)) if !is_lock(&e) => Ok(None),
                other => other.map(Some),
            }
        };
        self.bounded(asked).await
    }

    /// Our own limit around the server's: a server that is frozen keeps no limit of its own.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, swf_db::Error>>) -> Result<T, Error> {
        let settings = &self.inner.settings;
        let limit = settings.statement_timeout + settings.acquire_timeout + Duration::from_secs(1);
        let started = Instant::now();
        let done = tokio::time::timeout(limit, work).await;
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.inner.spent.statements.fetch_add(1, Relaxed);
        self.inner.spent.microseconds.fetch_add(took, Relaxed);
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(e)) => Err(self.fault(e)),
            Err(_) => {
                warn!("the PanDA database was silent for {limit:?}");
                Err(unavailable(&format!("is silent: no answer within {} s", limit.as_secs())))
            }
        }
    }

    /// The database's error in words: what is dark, and what still works.
    fn fault(&self, e: swf_db::Error) -> Error {
        use swf_db::Error as E;
        let cause = text_of(&e);
        warn!("PanDA database: {cause}");
        if matches!(e, E::Schema(_) | E::Denied(_)) {
            *self.inner.catalog.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        match &e {
            E::Unavailable(_) | E::Open { .. } => unavailable(
                "does not answer (it is down or unreachable, or all of ours wait for a lock or a slow query)",
            ),
            E::Timeout(source) if is_lock(source) => unavailable(&format!(
                "has a table locked by somebody else for more than {} s; try again in a minute",
                self.inner.settings.lock_timeout.as_secs()
            )),
            E::Timeout(_) => unavailable(&format!(
                "needed more than {} s for this; narrow the time window or the filters",
                self.inner.settings.statement_timeout.as_secs()
            )),
            E::Denied(_) => unavailable(&format!(
                "refuses our role{}; an operator must grant SELECT on the tables of {} to it",
                named(&cause),
                schema::SCHEMA
            )),
            E::Schema(_) => unavailable(&format!(
                "lacks a table or column that this needs{}; its schema is older or another one",
                named(&cause)
            )),
            _ => Error::Internal(e.into()),
        }
    }
}

fn unavailable(what: &str) -> Error {
    Error::Unavailable {
        what: format!(
            "the PanDA database {what}. PanDA jobs, tasks, errors and queues are dark until then; the testbed's own \
             tools (swf_*, pcs_*) still work"
        ),
    }
}

fn is_lock(e: &impl std::fmt::Display) -> bool {
    let text = e.to_string();
    text.contains("lock timeout") || text.contains("database is locked") || text.contains("table is locked")
}

/// An error with its sources.
fn text_of(e: &(dyn std::error::Error + 'static)) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

static OBJECT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?:(relation|column|function|schema) "?([\w.]+)"? does not exist|permission denied for (\w+) (\w+)|no such (table|column): ([\w.]+))"#,
    )
    .ok()
});

/// The table or column that the server's message names, as ` (table x)`.
fn named(message: &str) -> String {
    let Some(found) = OBJECT.as_ref().and_then(|o| o.captures(message)) else { return String::new() };
    let words: Vec<&str> = found.iter().skip(1).flatten().map(|m| m.as_str()).collect();
    match words.as_slice() {
        ["relation", name] => format!(" (table {name})"),
        [kind, name] => format!(" ({kind} {name})"),
        _ => String::new(),
    }
}
