//! Run states follow the run's messages, so that they are right whoever sent them.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use swf_db::{Error, Sql, Tx};

/// Where a message moves its run.
struct Step {
    phase: &'static str,
    state: String,
    substate: Option<String>,
}

/// Moves the run state that a lifecycle message names. A finished run stays finished: a message that
/// arrives late or twice changes nothing.
pub async fn advance(tx: &mut Tx<'_>, now: DateTime<Utc>, body: &Map<String, Value>) -> Result<(), Error> {
    let Some(step) = step(body) else { return Ok(()) };
    let Some(run) = run_number(body) else { return Ok(()) };
    let execution = body.get("execution_id").and_then(Value::as_str);
    let metadata = execution.map_or_else(|| json!({}), |id| json!({"execution_id": id}));
    // A runner may have made the row without saying which execution it belongs to.
    let dialect = tx.dialect();
    let known = dialect.json_text("swf_run_state.metadata", "execution_id");
    let filled = dialect.json_merged("swf_run_state.metadata", "excluded.metadata");
    let sql = Sql::new(
        "INSERT INTO swf_run_state (run_number, phase, state, substate, target_worker_count, active_worker_count, \
         stf_samples_received, slices_created, slices_queued, slices_processing, slices_completed, slices_failed, \
         state_changed_at, updated_at, metadata) VALUES",
    )
    .with(
        &format!(
            "(?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, ?, ?, ?) ON CONFLICT (run_number) DO UPDATE SET \
             phase = excluded.phase, state = excluded.state, substate = excluded.substate, \
             state_changed_at = excluded.state_changed_at, updated_at = excluded.updated_at, \
             metadata = CASE WHEN {known} IS NULL THEN {filled} ELSE swf_run_state.metadata END \
             WHERE swf_run_state.phase <> 'completed'"
        ),
        [
            run.into(),
            step.phase.into(),
            step.state.into(),
            step.substate.into(),
            now.into(),
            now.into(),
            metadata.into(),
        ],
    );
    tx.execute(&sql).await.map(|_| ())
}

fn step(body: &Map<String, Value>) -> Option<Step> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(|s| s.chars().take(20).collect());
    let (phase, state, substate) = match body.get("msg_type")?.as_str()? {
        "run_imminent" => ("imminent", "beam", Some("not_ready")),
        "start_run" | "resume_run" => ("physics", "run", Some("physics")),
        "pause_run" => ("physics", "run", Some("standby")),
        "end_run" => return Some(Step { phase: "completed", state: "ended".into(), substate: None }),
        _ => return None,
    };
    Some(Step {
        phase,
        state: text("state").unwrap_or_else(|| state.to_owned()),
        substate: text("substate").or_else(|| substate.map(str::to_owned)),
    })
}

/// A run number is sent as a number or as digits; test traffic sends other texts.
fn run_number(body: &Map<String, Value>) -> Option<i64> {
    let number = match body.get("run_id")? {
        Value::Number(n) => n.as_i64()?,
        Value::String(s) => s.trim().parse().ok()?,
        _ => return None,
    };
    (0..=i64::from(i32::MAX)).contains(&number).then_some(number)
}
