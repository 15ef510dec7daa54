//! What the replicas of swf share about PanDA through the database of record: who asks which question just now,
//! and the answers.
//!
//! *Invariant:* a claim has a lease, so that one who dies does not make others wait for long; when the database of
//! record is dark every process answers alone.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use swf_db::{Db, Error, Sql};
use tracing::{debug, warn};

use crate::Clock;

/// A claim that is not renewed ends after this time.
pub const LEASE: Duration = Duration::from_secs(6);
/// The database of record has this long for a word; afterwards it is dark.
const PATIENCE: Duration = Duration::from_secs(2);
/// It is then left alone for this long.
const DARK: Duration = Duration::from_secs(20);
/// Answers are removed this long after they ended.
const REMAINS: TimeDelta = TimeDelta::minutes(10);

/// The database of record, as far as PanDA's answers go.
pub struct Record {
    db: Db,
    dark_until: Mutex<Option<Instant>>,
    purged: Mutex<Option<Instant>>,
}

/// A claim's name: who does not know it cannot end it.
pub struct Lease(String);

/// What became of a question.
pub enum Claim {
    /// It is ours to answer.
    Ours(Lease),
    /// Somebody else is at it.
    Theirs,
    /// It was answered: the text, and when it was made.
    Answered(String, DateTime<Utc>),
    /// It failed a moment ago.
    Failed(String),
    /// The database of record does not answer.
    Dark,
}

#[derive(Deserialize)]
struct Found {
    made_at: Option<DateTime<Utc>>,
    answer: Option<String>,
    failure: Option<String>,
    until: DateTime<Utc>,
}

/// Leases count real time, whatever the clock of the tools.
fn now() -> DateTime<Utc> {
    Clock::System.now()
}

fn after(by: Duration) -> DateTime<Utc> {
    now() + TimeDelta::from_std(by).unwrap_or_else(|_| TimeDelta::zero())
}

impl Record {
    /// On a migrated database.
    pub fn new(db: Db) -> Record {
        Record { db, dark_until: Mutex::default(), purged: Mutex::default() }
    }

    /// Rows of a statement, within the time limit.
    pub async fn fetch_all<T: DeserializeOwned>(&self, sql: &Sql) -> Result<Vec<T>, Error> {
        let asked = tokio::time::timeout(PATIENCE, self.db.fetch_all(sql)).await;
        asked.unwrap_or_else(|_| Err(Error::Row("the database of record is silent".into())))
    }

    /// Runs a statement, within the time limit.
    pub async fn execute(&self, sql: &Sql) -> Result<u64, Error> {
        let asked = tokio::time::timeout(PATIENCE, self.db.execute(sql)).await;
        asked.unwrap_or_else(|_| Err(Error::Row("the database of record is silent".into())))
    }

    /// Tries to become the one who answers a question.
    pub async fn claim(&self, question: &str, lease: Duration) -> Claim {
        let until = *self.dark_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|until| Instant::now() < until) {
            return Claim::Dark;
        }
        self.try_claim(question, lease).await.unwrap_or_else(|e| {
            warn!("PanDA's answers are not shared for {} s: {e}", DARK.as_secs());
            *self.dark_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + DARK);
            Claim::Dark
        })
    }

    async fn try_claim(&self, question: &str, lease: Duration) -> Result<Claim, Error> {
        let holder = uuid::Uuid::new_v4().to_string();
        let values = vec![question.into(), holder.as_str().into(), after(lease).into(), now().into()];
        let take = Sql::new("INSERT INTO swfx_panda_answer (question, holder, until) VALUES").with(
            "(?, ?, ?) ON CONFLICT (question) DO UPDATE SET holder = excluded.holder, until = excluded.until, \
             made_at = NULL, answer = NULL, failure = NULL WHERE swfx_panda_answer.until <= ? RETURNING holder",
            values,
        );
        let taken: Vec<String> = self.fetch_all(&take).await?;
        if !taken.is_empty() {
            return Ok(Claim::Ours(Lease(holder)));
        }
        let mut look = Sql::new("SELECT made_at, answer, failure, until FROM swfx_panda_answer");
        look.and("question = ?", [question.into()]);
        let found: Vec<Found> = self.fetch_all(&look).await?;
        Ok(match found.into_iter().next().filter(|f| f.until > now()) {
            Some(Found { answer: Some(answer), made_at: Some(made_at), .. }) => {
                Claim::Answered(answer, made_at)
            }
            Some(Found { failure: Some(failure), .. }) => Claim::Failed(failure),
            // Under way, or it ended between the two statements: ask again.
            _ => Claim::Theirs,
        })
    }

    /// Makes a lease last longer.
    pub async fn renew(&self, question: &str, lease: &Lease, by: Duration) {
        let mut sql = Sql::new("UPDATE swfx_panda_answer SET until = ?").with("", [after(by).into()]);
        sql.and("question = ?", [question.into()]).and("holder = ?", [lease.0.as_str().into()]);
        self.told(&sql, "renew a claim").await;
    }

    /// Tells the others the answer, or why there is none; it counts for the time given.
    pub async fn publish(&self, question: &str, lease: &Lease, answer: Result<&str, &str>, kept: Duration) {
        let (answer, failure) = (answer.ok(), answer.err());
        let values = vec![now().into(), answer.into(), failure.into(), after(kept).into()];
        let mut sql = Sql::new("UPDATE swfx_panda_answer SET")
            .with("made_at = ?, answer = ?, failure = ?, until = ?", values);
        sql.and("question = ?", [question.into()]).and("holder = ?", [lease.0.as_str().into()]);
        self.told(&sql, "publish an answer").await;
        if self.purge_is_due() {
            let mut sql = Sql::new("DELETE FROM swfx_panda_answer");
            sql.and("until < ?", [(now() - REMAINS).into()]);
            self.told(&sql, "remove old answers").await;
        }
    }

    fn purge_is_due(&self) -> bool {
        let mut purged = self.purged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = purged.is_none_or(|at| at.elapsed() > Duration::from_secs(60));
        if due {
            *purged = Some(Instant::now());
        }
        due
    }

    /// Gives a claim back without an answer.
    pub async fn free(&self, question: &str, lease: &Lease) {
        self.renew(question, lease, Duration::ZERO).await;
    }

    /// A claim on work that has no answer; none when somebody else has it or nobody can say.
    pub async fn lease(&self, question: &str, lease: Duration) -> Option<Lease> {
        match self.claim(question, lease).await {
            Claim::Ours(lease) => Some(lease),
            _ => None,
        }
    }

    /// Forgets all answers.
    pub async fn forget_answers(&self) {
        self.told(&Sql::new("DELETE FROM swfx_panda_answer"), "forget answers").await;
    }

    async fn told(&self, sql: &Sql, what: &str) {
        if let Err(e) = self.execute(sql).await {
            debug!("could not {what}: {e}");
        }
    }
}
