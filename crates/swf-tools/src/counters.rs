//! The counters that all parts of a testbed share: row 1 of `swf_persistent_state`.
//!
//! *Invariant:* a number is handed out once, whoever asks and however many ask at the same time: reading
//! and writing happen in one transaction that locks the row first. Keys of others in the same row stay.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as JsonValue};
use swf_db::{Db, Error, Json, Sql, Tx};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Numbers of runs, from 100010.
    RunNumber,
    /// Ids in the names of agents, from 1.
    AgentId,
    /// Sequence numbers in the ids of workflow executions, from 1.
    WorkflowExecutionId,
    /// Suffixes of physics tags, one sequence for all categories, from 1.
    PcsPhysics,
    /// Numbers of event generation tags, from 1.
    PcsEvgen,
    /// Numbers of simulation tags, from 1.
    PcsSimu,
    /// Numbers of reconstruction tags, from 1.
    PcsReco,
}

/// Where a counter is kept: key of the next number, first number, keys of the last number and its time.
struct Keys {
    next: &'static str,
    first: i64,
    last: Option<(&'static str, &'static str)>,
}

impl Counter {
    /// All counters.
    pub const ALL: [Counter; 7] = [
        Counter::RunNumber,
        Counter::AgentId,
        Counter::WorkflowExecutionId,
        Counter::PcsPhysics,
        Counter::PcsEvgen,
        Counter::PcsSimu,
        Counter::PcsReco,
    ];

    fn keys(self) -> Keys {
        let (next, first, last) = match self {
            Counter::RunNumber => {
                ("next_run_number", 100_010, Some(("last_run_number", "last_run_start_time")))
            }
            Counter::AgentId => ("next_agent_id", 1, Some(("last_agent_id", "last_agent_registration_time"))),
            Counter::WorkflowExecutionId => (
                "next_workflow_execution_id",
                1,
                Some(("last_workflow_execution_id", "last_workflow_execution_time")),
            ),
            Counter::PcsPhysics => ("pcs_next_physics", 1, None),
            Counter::PcsEvgen => ("pcs_next_evgen", 1, None),
            Counter::PcsSimu => ("pcs_next_simu", 1, None),
            Counter::PcsReco => ("pcs_next_reco", 1, None),
        };
        Keys { next, first, last }
    }
}

/// Hands out the next number.
pub async fn next(db: &Db, now: DateTime<Utc>, counter: Counter) -> Result<i64, Error> {
    let mut tx = db.begin().await?;
    let number = next_in(&mut tx, now, counter).await?;
    tx.commit().await?;
    Ok(number)
}

/// Hands out the next number within a transaction: rolled back, it was never handed out. Others wait until
/// the transaction ends, so it should end soon.
pub async fn next_in(tx: &mut Tx<'_>, now: DateTime<Utc>, counter: Counter) -> Result<i64, Error> {
    let keys = counter.keys();
    let mut state = locked(tx, now).await?;
    let number = match state.get(keys.next) {
        None => keys.first,
        Some(stored) => stored.as_i64().ok_or_else(|| {
            let key = keys.next;
            Error::Row(format!("{key} in swf_persistent_state is {stored}, should be a whole number"))
        })?,
    };
    state.insert(keys.next.to_owned(), (number + 1).into());
    if let Some((last, time)) = keys.last {
        state.insert(last.to_owned(), number.into());
        state.insert(time.to_owned(), iso(now).into());
    }
    let state = Json(JsonValue::Object(state));
    let sql = Sql::new("UPDATE swf_persistent_state SET state_data = ?, updated_at = ? WHERE id = 1")
        .with("", [state.into(), now.into()]);
    tx.execute(&sql).await?;
    Ok(number)
}

/// The state with its row locked; the row is made when it is not there.
async fn locked(tx: &mut Tx<'_>, now: DateTime<Utc>) -> Result<Map<String, JsonValue>, Error> {
    let read = Sql::new("SELECT state_data FROM swf_persistent_state WHERE id = 1")
        .with(tx.dialect().for_update(), []);
    let mut state: Option<Json> = tx.fetch_optional(&read).await?;
    if state.is_none() {
        let empty = Json(JsonValue::Object(Map::new()));
        let make = Sql::new("INSERT INTO swf_persistent_state (id, state_data, updated_at) VALUES (1, ?, ?)")
            .with("ON CONFLICT (id) DO NOTHING", [empty.into(), now.into()]);
        tx.execute(&make).await?;
        state = tx.fetch_optional(&read).await?;
    }
    match state {
        Some(Json(JsonValue::Object(state))) => Ok(state),
        _ => Err(Error::Row("state_data in swf_persistent_state is not a JSON object".to_owned())),
    }
}

/// A moment as Python's `isoformat` writes it: microseconds only when there are any.
fn iso(now: DateTime<Utc>) -> String {
    let format = if now.timestamp_subsec_micros() == 0 {
        "%Y-%m-%dT%H:%M:%S+00:00"
    } else {
        "%Y-%m-%dT%H:%M:%S%.6f+00:00"
    };
    now.format(format).to_string()
}
