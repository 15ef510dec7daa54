//! A synthetic production in a PanDA schema, so that every question can be tried without a PanDA.
//!
//! *Invariant:* everything made here says so: task names start with `synthetic.`, users with `synthetic-`,
//! and the marker table makes every answer carry `synthetic: true`.

mod jobs;
mod places;
mod production;
mod rows;

use std::path::Path;
use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use swf_db::{Db, Engine, Options, Sql, Value};

use crate::panda::schema::{self, MARKER, SCHEMA};
use rows::{Batch, insert};

pub use production::Production;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Ended jobs, about.
    pub jobs: u32,
    /// Days of history they spread over, ending at `now`.
    pub days: u32,
    /// The moment that counts as now (UTC).
    pub now: NaiveDateTime,
    /// Same seed, same production.
    pub seed: u64,
    /// Copies of each job (with further ids) made by the database itself: the way to millions.
    pub copies: u32,
    /// Partitions for a year of jobs and three months of workers as in production, not only where rows are.
    pub all_partitions: bool,
}

impl Plan {
    /// A production of a newcomer's size that ends at `now`.
    pub fn demo(now: NaiveDateTime) -> Plan {
        Plan { jobs: 6000, days: 35, now, seed: 1, copies: 1, all_partitions: false }
    }
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Jobs in all tables.
    pub jobs: u64,
    /// Tasks.
    pub tasks: u64,
    /// File rows.
    pub files: u64,
}

/// Opens a database for writing, without a time limit: `postgres://…`, or `sqlite:PATH` as the embedded one.
pub async fn open(url: &str) -> Result<Db, swf_db::Error> {
    match url.strip_prefix("sqlite:") {
        Some(path) => open_file(Path::new(path.trim_start_matches("//"))).await,
        None => {
            let acquire_timeout = Duration::from_secs(15);
            let options = Options {
                statement_timeout: None,
                max_connections: 2,
                acquire_timeout,
                settings: vec![
                    ("maintenance_work_mem".into(), "512MB".into()),
                    ("synchronous_commit".into(), "off".into()),
                ],
                ..Options::default()
            };
            Db::open(url, &options).await
        }
    }
}

/// Opens a SQLite file for writing as the embedded PanDA database.
pub async fn open_file(path: &Path) -> Result<Db, swf_db::Error> {
    let attach = vec![(SCHEMA.to_owned(), path.display().to_string())];
    // The main database is a private temporary one; one in memory would make the attached file so too.
    Db::open("sqlite:", &Options { attach, max_connections: 1, ..Options::default() }).await
}

/// Makes tables and rows in an empty database. Refuses one that has PanDA tables already.
pub async fn seed(db: &Db, plan: &Plan) -> Result<Made, swf_db::Error> {
    let production = Production::new(plan);
    let back = i64::from(plan.days) + 2;
    let from = plan.now - TimeDelta::days(if plan.all_partitions { back.max(365) } else { back });
    let largest = production.largest_id() * i64::from(plan.copies.max(1));
    let statements = schema::create(db.engine(), from, plan.now + TimeDelta::days(3), largest);
    db.script(statements.join(";\n")).await?;
    for mut batch in production.batches() {
        batch.spread(IDS, i64::from(plan.copies.max(1)));
        insert(db, &batch).await?;
    }
    if plan.copies > 1 {
        multiply(db, plan.copies).await?;
    }
    for index in schema::indexes(db.engine()) {
        db.script(index).await?;
    }
    mark(db, plan).await?;
    db.script(match db.engine() {
        Engine::Postgres => "VACUUM ANALYZE".to_owned(),
        Engine::Sqlite => format!("ANALYZE {SCHEMA}; PRAGMA {SCHEMA}.journal_mode = WAL"),
    })
    .await?;
    count(db).await
}

async fn mark(db: &Db, plan: &Plan) -> Result<(), swf_db::Error> {
    let note = "synthetic production made by swf; no row describes a real job";
    let values: Vec<Value> = vec![plan.now.into(), note.into()];
    let sql =
        Sql::new(format!("INSERT INTO {SCHEMA}.{MARKER} (made_at, note) VALUES")).with("(?, ?)", values);
    db.execute(&sql).await.map(drop)
}

async fn count(db: &Db) -> Result<Made, swf_db::Error> {
    let sql = Sql::new(format!(
        "SELECT (SELECT count(*) FROM {SCHEMA}.jobsdefined4) + (SELECT count(*) FROM {SCHEMA}.jobsactive4) + \
         (SELECT count(*) FROM {SCHEMA}.jobsarchived4), (SELECT count(*) FROM {SCHEMA}.jedi_tasks), \
         (SELECT count(*) FROM {SCHEMA}.filestable4)"
    ));
    let (jobs, tasks, files) = db.fetch_one(&sql).await?;
    Ok(Made { jobs, tasks, files })
}

/// Columns that hold a job's, file's or worker's id: copies get ids of their own.
const IDS: &[&str] = &[
    "pandaid",
    "row_id",
    "workerid",
    "oldpandaid",
    "newpandaid",
    "originpandaid",
    "jobsetid",
    "jobdefinitionid",
];

/// Live jobs get at most so many copies: a production of millions of ended jobs runs tens of thousands.
const LIVE_COPIES: u32 = 12;

/// Adds to each row, whose ids are multiples of `copies`, the copies with the ids that follow.
async fn multiply(db: &Db, copies: u32) -> Result<(), swf_db::Error> {
    let tables = [
        "jobsdefined4",
        "jobsactive4",
        "jobsarchived4",
        "filestable4",
        "harvester_workers",
        "harvester_rel_jobs_workers",
        "jedi_job_retry_history",
    ];
    for name in tables {
        let Some(table) = schema::table(name) else { continue };
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let values = names
            .iter()
            .map(|n| if IDS.contains(n) { format!("{n} + k.k") } else { (*n).to_owned() })
            .collect::<Vec<_>>()
            .join(", ");
        let names = names.join(", ");
        db.script(format!(
            "INSERT INTO {SCHEMA}.{name} ({names}) WITH RECURSIVE k(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM k \
             WHERE k < {last}) SELECT {values} FROM {SCHEMA}.{name} CROSS JOIN k",
            last = if matches!(name, "jobsdefined4" | "jobsactive4") { copies.min(LIVE_COPIES) } else { copies } - 1
        ))
        .await?;
    }
    Ok(())
}

/// Rows of one table, all with the same columns.
type Rows = Batch;
