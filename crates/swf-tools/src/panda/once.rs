//! One query for many who ask the same, in this process and in the others: single flight and a short memory.
//!
//! *Invariant:* an answer out of memory says how old it is; failures are kept for a few seconds only, so that
//! those who waited for the failed query are not made to wait for their own.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::record::{Claim, LEASE, Lease, Record};
use crate::{Clock, Error};

/// How long a failure is shared.
const FAILURE_KEPT: Duration = Duration::from_secs(3);
/// How often a process looks whether another one has answered: first, and at longest.
const POLL: Duration = Duration::from_millis(15);
/// See [`POLL`].
const POLL_LONGEST: Duration = Duration::from_millis(250);
/// After this time a question is answered alone, whoever else is at it.
const WAIT: Duration = Duration::from_secs(40);
/// Questions remembered at most.
const REMEMBERED: usize = 512;

/// Answers by question.
#[derive(Default)]
pub struct Once {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    answer: tokio::sync::Mutex<Option<Kept>>,
}

#[derive(Clone)]
struct Kept {
    at: Instant,
    answer: Result<Arc<Value>, String>,
}

struct Made {
    value: Value,
    age: Duration,
    shared: bool,
}

async fn alone(make: impl Future<Output = Result<Value, Error>>) -> Result<Made, Error> {
    Ok(Made { value: make.await?, age: Duration::ZERO, shared: false })
}

/// Waits for another process that is at the same question, or answers it for all.
async fn among_processes<F>(record: &Record, question: &str, kept: Duration, make: F) -> Result<Made, Error>
where
    F: Future<Output = Result<Value, Error>>,
{
    let (started, mut pause) = (Instant::now(), POLL);
    loop {
        match record.claim(question, LEASE).await {
            Claim::Ours(lease) => return answer_for_all(record, question, &lease, kept, make).await,
            Claim::Answered(text, made_at) => {
                let Ok(value) = serde_json::from_str(&text) else { return alone(make).await };
                let age = (Clock::System.now() - made_at).to_std().unwrap_or_default();
                return Ok(Made { value, age, shared: true });
            }
            Claim::Failed(what) => return Err(Error::Unavailable { what }),
            Claim::Theirs if started.elapsed() < WAIT => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(POLL_LONGEST);
            }
            Claim::Theirs | Claim::Dark => return alone(make).await,
        }
    }
}

async fn answer_for_all<F>(
    record: &Record,
    question: &str,
    lease: &Lease,
    kept: Duration,
    make: F,
) -> Result<Made, Error>
where
    F: Future<Output = Result<Value, Error>>,
{
    let mut make = std::pin::pin!(make);
    let made = loop {
        tokio::select! {
            made = &mut make => break made,
            () = tokio::time::sleep(LEASE / 3) => record.renew(question, lease, LEASE).await,
        }
    };
    match &made {
        Ok(value) => record.publish(question, lease, Ok(&value.to_string()), kept).await,
        Err(Error::Unavailable { what }) => record.publish(question, lease, Err(what), FAILURE_KEPT).await,
        Err(_) => record.free(question, lease).await,
    }
    made.map(|value| Made { value, age: Duration::ZERO, shared: false })
}

/// A shared answer.
pub struct Shared {
    /// The answer.
    pub value: Arc<Value>,
    /// Its age; zero when it was made for this call.
    pub age: Duration,
    /// True when somebody else's query made it.
    pub shared: bool,
}

impl Once {
    /// The answer to `question`: kept, under way here or in another process, or made now. Without a record only
    /// this process shares.
    pub async fn get<F>(
        &self,
        record: Option<&Record>,
        question: String,
        kept: Duration,
        make: F,
    ) -> Result<Shared, Error>
    where
        F: Future<Output = Result<Value, Error>>,
    {
        let slot = self.slot(question.clone(), kept);
        let mut answer = slot.answer.lock().await;
        if let Some(Kept { at, answer }) = answer.as_ref() {
            match answer {
                Ok(value) if at.elapsed() < kept => {
                    return Ok(Shared { value: value.clone(), age: at.elapsed(), shared: true });
                }
                Err(what) if at.elapsed() < FAILURE_KEPT => {
                    return Err(Error::Unavailable { what: what.clone() });
                }
                _ => {}
            }
        }
        let made = match record {
            Some(record) => among_processes(record, &question, kept, make).await,
            None => alone(make).await,
        };
        let now = Instant::now();
        match made {
            Ok(Made { value, age, shared }) => {
                let value = Arc::new(value);
                let at = now.checked_sub(age).unwrap_or(now);
                *answer = Some(Kept { at, answer: Ok(value.clone()) });
                Ok(Shared { value, age, shared })
            }
            Err(Error::Unavailable { what }) => {
                *answer = Some(Kept { at: now, answer: Err(what.clone()) });
                Err(Error::Unavailable { what })
            }
            Err(other) => Err(other),
        }
    }

    fn slot(&self, question: String, kept: Duration) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= REMEMBERED {
            // Slots in use are held by others too; the rest that is stale goes.
            slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1
                    || slot.answer.try_lock().is_ok_and(|a| a.as_ref().is_some_and(|k| k.at.elapsed() < kept))
            });
        }
        slots.entry(question).or_default().clone()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn ten_who_ask_the_same_cost_one_query() {
        let (once, made) = (Once::default(), AtomicU32::new(0));
        let ask = || {
            once.get(None, "q".into(), Duration::from_secs(60), async {
                tokio::task::yield_now().await;
                Ok(json!(made.fetch_add(1, Ordering::SeqCst)))
            })
        };
        let answers = futures_util::future::join_all((0..10).map(|_| ask())).await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(answers.iter().filter(|a| a.as_ref().is_ok_and(|a| !a.shared)).count(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_shared_only_shortly_and_a_refusal_never() {
        let once = Once::default();
        let down = once.get(None, "q".into(), Duration::from_secs(60), async {
            Err(Error::Unavailable { what: "down".into() })
        });
        assert!(down.await.is_err());
        let again = once.get(None, "q".into(), Duration::from_secs(60), async { Ok(json!(1)) }).await;
        assert_eq!(again.err().map(|e| e.to_string()).as_deref(), Some("down"));
        let refused = once
            .get(None, "r".into(), Duration::from_secs(60), async { Err(Error::invalid("a", "b")) })
            .await;
        assert!(refused.is_err());
        assert!(once.get(None, "r".into(), Duration::from_secs(60), async { Ok(json!(1)) }).await.is_ok());
    }
}
