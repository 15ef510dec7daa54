//! How long each tool takes on a production of a stated size, against the queries of the original.

mod naive;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::Utc;
use serde_json::{Value, json};
use swf_db::{Db, Engine, Options, Sql};

use super::schema::{MARKER, SCHEMA};
use super::seed::{self, Plan};
use super::{Panda, Settings};
use crate::{Caller, Clock, Gate, Scope, Service, Surface, registry};

/// Jobs that the generator makes itself; more are copies made by the database.
const BASE: u32 = 40_000;
/// The jobs spread over so many days: three million then give the rate of a campaign's peak.
const DAYS: u32 = 45;
/// Days whose closed hours are remembered, as by default.
const REMEMBERED: u32 = 35;
/// The original's queries are stopped after this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plans {
    /// An empty database to fill, or one filled by an earlier run: `postgres://…` or `sqlite:PATH`.
    pub url: String,
    /// Ended jobs, about.
    pub jobs: u32,
    /// Measure the original's queries too (PostgreSQL only; they may take minutes).
    pub naive: bool,
}

/// One measurement; times in milliseconds.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Line {
    /// What was asked.
    pub question: String,
    /// The first call of the first process ever: nothing is remembered anywhere, all is asked of PanDA.
    pub first: f64,
    /// The first call of a new process, which finds closed hours written down by an earlier one.
    pub cold: f64,
    /// A later call that is not answered from an earlier answer; the better of two.
    pub warm: f64,
    /// Answered from what was just answered.
    pub cached: f64,
    /// Sum of the times of the warm run's statements to PanDA.
    pub sql: f64,
    /// Statements of the warm run.
    pub statements: u64,
    /// The original's queries; `None` where it has none or they were not asked for.
    pub naive: Option<f64>,
    /// They were stopped: the ratio is at least this.
    pub naive_stopped: bool,
    /// Bytes of the answer.
    pub bytes: usize,
}

impl Line {
    /// Naive over warm.
    pub fn ratio(&self) -> Option<f64> {
        self.naive.map(|n| n / self.warm.max(0.001))
    }

    /// Naive over first: what the plan alone gains, without memory.
    pub fn plan_ratio(&self) -> Option<f64> {
        self.naive.map(|n| n / self.first.max(0.001))
    }
}

/// Fills the database if need be, asks every question, and tells `say` what happens, line by line.
pub async fn run(plans: &Plans, mut say: impl FnMut(String)) -> anyhow::Result<Vec<Line>> {
    let writer = seed::open(&plans.url).await.context("open the database")?;
    fill(&writer, plans, &mut say).await?;
    let now = made_at(&writer).await?;
    writer.close().await;
    let panda = super::open(&plans.url, Settings::default()).await?;
    let postgres = panda.is_postgres();
    let reader = (plans.naive && postgres).then(|| naive::open(&plans.url, PATIENCE));
    let reader = match reader {
        Some(opening) => Some(opening.await?),
        None => None,
    };
    let folder = tempfile()?;
    let record = Db::open(&format!("sqlite:{}", folder.file.display()), &Options::default()).await?;
    swf_db::migrate(&record, &crate::tables::SCHEMA).await?;
    let clock = Clock::fixed(now);
    let bench = Bench { url: plans.url.clone(), record, clock };
    bench.remember(&mut say).await?;
    say(format!(
        "{:<42} {:>8} {:>8} {:>8} {:>9} {:>8} {:>2} {:>10} {:>7} {:>7}",
        "question (times in ms)", "first", "cold", "warm", "cached", "sql", "n", "naive", "/first", "/warm"
    ));
    let mut lines = Vec::new();
    let newest = newest(&panda).await?;
    for (tool, arguments) in questions(newest) {
        let mut line = bench.measure(tool, &arguments).await?;
        if let Some(reader) = &reader {
            (line.naive, line.naive_stopped) = naive::time(reader, tool, &arguments, now, newest).await?;
        }
        say(shown(&line));
        lines.push(line);
    }
    bench.record.close().await;
    Ok(lines)
}

async fn fill(db: &Db, plans: &Plans, say: &mut impl FnMut(String)) -> anyhow::Result<()> {
    let known = match db.engine() {
        Engine::Postgres => Sql::new("SELECT count(*) FROM pg_tables WHERE")
            .with("schemaname = ? AND tablename = ?", [SCHEMA.into(), MARKER.into()]),
        Engine::Sqlite => Sql::new(format!("SELECT count(*) FROM {SCHEMA}.sqlite_master WHERE"))
            .with("name = ?", [MARKER.into()]),
    };
    if db.fetch_one::<i64>(&known).await? > 0 {
        say("the database was filled by an earlier run".into());
        return Ok(());
    }
    let started = Instant::now();
    let jobs = plans.jobs.clamp(1000, BASE);
    let copies = (plans.jobs / jobs).max(1);
    let now = Clock::System.now().naive_utc();
    let plan = Plan { jobs, days: DAYS, now, seed: 7, copies, all_partitions: true };
    let made = seed::seed(db, &plan).await.context("fill the database")?;
    let seconds = started.elapsed().as_secs();
    say(format!("made {} jobs, {} files, {} tasks in {seconds} s", made.jobs, made.files, made.tasks));
    Ok(())
}

/// The moment that the synthetic production ends at: windows count from there.
async fn made_at(db: &Db) -> anyhow::Result<chrono::DateTime<Utc>> {
    let row = db.rows(&Sql::new(format!("SELECT made_at FROM {SCHEMA}.{MARKER}"))).await?.into_iter().next();
    let time = row.as_ref().and_then(|r| r.get("made_at")).and_then(super::answer::moment);
    Ok(time.context("the database is not one that `swf` filled")?.and_utc())
}

/// A job that ended lately.
async fn newest(panda: &Panda) -> anyhow::Result<(i64, i64)> {
    let sql = Sql::new(format!(
        "SELECT pandaid, jeditaskid FROM {SCHEMA}.jobsarchived4 WHERE jobstatus = 'failed' ORDER BY pandaid DESC LIMIT 1"
    ));
    let found: Vec<(i64, i64)> = panda.fetch_all(&sql).await?;
    found.first().copied().context("the database has no failed job")
}

/// What is asked: each tool at its defaults, then what operators ask most.
fn questions((job, task): (i64, i64)) -> Vec<(&'static str, Value)> {
    vec![
        ("panda_get_activity", json!({})),
        ("panda_list_jobs", json!({})),
        ("panda_list_jobs", json!({"counts": false})),
        ("panda_list_jobs", json!({"username": "%nobody-of-this-name%"})),
        ("panda_list_jobs", json!({"taskid": task})),
        ("panda_diagnose_jobs", json!({})),
        ("panda_list_tasks", json!({})),
        ("panda_error_summary", json!({})),
        ("panda_error_summary", json!({"days": 7})),
        ("panda_error_summary", json!({"days": 7, "exclude_retried": true})),
        ("panda_study_job", json!({"pandaid": job})),
        ("panda_list_queues", json!({})),
        ("panda_get_queue", json!({"panda_queue": "NERSC_Perlmutter_epic"})),
        ("panda_resource_usage", json!({})),
        ("panda_harvester_workers", json!({})),
        ("panda_compare", json!({})),
        ("panda_site_health", json!({})),
        ("panda_trend", json!({})),
    ]
}

/// What the measured processes have in common.
struct Bench {
    url: String,
    record: Db,
    clock: Clock,
}

/// A file that goes with its name.
struct Scratch {
    file: PathBuf,
}

fn tempfile() -> anyhow::Result<Scratch> {
    let name = format!("swf-bench-{}.sqlite3", uuid::Uuid::new_v4().simple());
    Ok(Scratch { file: std::env::temp_dir().join(name) })
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            let mut name = self.file.clone().into_os_string();
            name.push(ending);
            if let Err(e) = std::fs::remove_file(&name)
                && e.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!("{}: {e}", name.display());
            }
        }
    }
}

impl Bench {
    /// A process: connections and memory of its own.
    async fn process(&self, remembered_days: u32) -> anyhow::Result<(Panda, Gate)> {
        let settings = Settings { remembered_days, ..Settings::default() };
        let panda = super::open(&self.url, settings).await?;
        if remembered_days > 0 {
            panda.share(self.record.clone(), self.clock.clone());
        }
        let service = Service {
            db: self.record.clone(),
            panda: Some(panda.clone()),
            bus: None,
            clock: self.clock.clone(),
            settings: crate::Settings::default(),
            sources: Default::default(),
        };
        let caller = Caller::user("bench", Scope::Read);
        Ok((panda, Gate { service: Arc::new(service), caller, surface: Surface::Internal }))
    }

    /// What the first server does after its start.
    async fn remember(&self, say: &mut impl FnMut(String)) -> anyhow::Result<()> {
        let (panda, _) = self.process(REMEMBERED).await?;
        let started = Instant::now();
        panda.renew_closed_hours().await?;
        let (statements, spent) = panda.spent();
        say(format!(
            "read the closed hours of {REMEMBERED} days in {:.1} s: {statements} statements, the database was busy for {:.1} s",
            started.elapsed().as_secs_f64(),
            spent.as_secs_f64()
        ));
        panda.db().close().await;
        Ok(())
    }

    async fn measure(&self, tool: &'static str, arguments: &Value) -> anyhow::Result<Line> {
        anyhow::ensure!(registry::find(tool).is_some(), "there is no tool {tool}");
        let (panda, gate) = self.process(0).await?;
        let (first, _) = ask(&gate, tool, arguments).await?;
        panda.db().close().await;
        let (panda, gate) = self.process(REMEMBERED).await?;
        let (cold, answer) = ask(&gate, tool, arguments).await?;
        panda.forget_answers().await;
        let (warm, _) = ask(&gate, tool, arguments).await?;
        panda.forget_answers().await;
        let (before, spent_before) = panda.spent();
        let (again, _) = ask(&gate, tool, arguments).await?;
        let (after, spent_after) = panda.spent();
        let (cached, _) = ask(&gate, tool, arguments).await?;
        panda.forget_answers().await;
        panda.db().close().await;
        let shown = if arguments == &json!({}) { String::new() } else { arguments.to_string() };
        Ok(Line {
            question: format!("{} {shown}", tool.trim_start_matches("panda_")),
            first,
            cold,
            warm: warm.min(again),
            cached,
            sql: (spent_after - spent_before).as_secs_f64() * 1000.0,
            statements: after - before,
            naive: None,
            naive_stopped: false,
            bytes: answer.to_string().len(),
        })
    }
}

/// Milliseconds and the answer.
async fn ask(gate: &Gate, tool: &str, arguments: &Value) -> anyhow::Result<(f64, Value)> {
    let started = Instant::now();
    let answer = gate.call(tool, arguments.clone()).await.with_context(|| format!("{tool} {arguments}"))?;
    Ok((started.elapsed().as_secs_f64() * 1000.0, answer))
}

/// A line of the table.
pub fn shown(line: &Line) -> String {
    let mark = if line.naive_stopped { ">" } else { "" };
    let naive = line.naive.map_or("-".to_owned(), |n| format!("{mark}{n:.0}"));
    let ratio = |r: Option<f64>| r.map_or("-".to_owned(), |r| format!("{mark}{r:.1}"));
    let question: String = line.question.chars().take(42).collect();
    format!(
        "{question:<42} {:>8.1} {:>8.1} {:>8.1} {:>9.2} {:>8.1} {:>2} {naive:>10} {:>7} {:>7}",
        line.first,
        line.cold,
        line.warm,
        line.cached,
        line.sql,
        line.statements,
        ratio(line.plan_ratio()),
        ratio(line.ratio())
    )
}
