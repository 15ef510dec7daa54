//! Closing runs: the message that ends one, and what an earlier life left open.

use std::time::Duration;

use serde_json::{Map, Value, json};
use swf_client::Execution;
use tokio::time::Instant;

use super::outbox;
use crate::agent::{Link, Outgoing, derived_uid, wait_for_monitor};

/// When the ending itself meets a broker that is away, it waits so long for it; then the message is kept and sent
/// when the broker is back.
const CLOSING: Duration = Duration::from_secs(10);
/// After the runner was told to end, the last message and the final status may take so long each.
pub(super) const LAST_STATUS: Duration = Duration::from_secs(5);
/// Pause before a message is sent again.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// Send a closing message with some patience; its uid follows from the execution.
pub(super) async fn close(link: &Link, destination: String, body: Map<String, Value>, execution_id: &str) {
    let uid = derived_uid(execution_id, "end_run", "closing");
    let outgoing = Outgoing::new(destination, uid, Value::Object(body));
    let until = Instant::now() + if link.shutdown.is_cancelled() { LAST_STATUS } else { CLOSING };
    loop {
        let sent = tokio::time::timeout_at(until, link.send(outgoing.clone())).await;
        match sent {
            Ok(Ok(())) => return,
            Ok(Err(error)) if Instant::now() < until => {
                tracing::debug!(%error, "the closing message is sent again");
                tokio::time::sleep(PAUSE).await;
            }
            _ => break,
        }
    }
    match outbox::keep(&link.config, &outgoing) {
        Ok(()) => tracing::warn!(
            "the closing message of execution {execution_id} is kept and sent when the broker is back"
        ),
        Err(error) => {
            tracing::error!("the closing message of execution {execution_id} is lost: {error:#}");
        }
    }
}

/// Close what an earlier process of this runner left running when it was killed.
pub(super) async fn close_earlier_life(link: &Link) {
    let running = wait_for_monitor(|| link.monitor.executions("running", &link.config.namespace));
    let left = tokio::select! {
        biased;
        () = link.shutdown.cancelled() => return,
        running = running => running,
    };
    let left = match left {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!("executions of an earlier life could not be looked up: {error:#}");
            return;
        }
    };
    for execution in left {
        let runner = execution.performance_metrics.get("runner").and_then(Value::as_str);
        if execution.status == "running"
            && runner == Some(&link.name)
            && let Err(error) = close_lost(link, &execution).await
        {
            tracing::error!("execution {} could not be closed: {error:#}", execution.execution_id);
        }
    }
}

async fn close_lost(link: &Link, execution: &Execution) -> anyhow::Result<()> {
    const REASON: &str = "the runner was killed or lost";
    let id = &execution.execution_id;
    let states = link.monitor.run_states().await?;
    let state = states.iter().find(|state| {
        state.metadata.as_ref().and_then(|m| m.get("execution_id")).and_then(Value::as_str) == Some(id)
    });
    let run_number = state.and_then(|state| state.run_number);
    let mut stf_files = 0;
    if let Some(number) = run_number {
        stf_files = link.monitor.stf_files_of_run(number).await?.len();
        let body = json!({
            "msg_type": "end_run", "namespace": link.config.namespace, "execution_id": id,
            "run_id": number.to_string(), "timestamp": crate::now(), "simulation_tick": null,
            "total_stf_files": stf_files, "reason": REASON,
        });
        let body = body.as_object().cloned().unwrap_or_default();
        close(link, link.config.topic.clone(), body, id).await;
    }
    let mut metrics = execution.performance_metrics.as_object().cloned().unwrap_or_default();
    metrics.insert("stf_files".into(), stf_files.into());
    metrics.insert("run_number".into(), run_number.map_or(Value::Null, Value::from));
    metrics.insert("reason".into(), REASON.into());
    let body = json!({ "status": "failed", "end_time": crate::now(), "performance_metrics": metrics });
    link.monitor.patch_execution(id, &body).await?;
    tracing::warn!(execution_id = id, "execution {id} of an earlier life is closed as failed: {REASON}");
    Ok(())
}
