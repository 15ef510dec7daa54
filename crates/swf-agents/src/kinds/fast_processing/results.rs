//! What workers report, written in batches.

use serde_json::{Value, json};
use swf_client::SliceResult;

use super::FastProcessing;
use crate::agent::{Incoming, Link, as_number};

impl FastProcessing {
    /// Write a group of results in one call.
    pub(super) async fn results(&mut self, link: &Link, group: &[Incoming]) -> anyhow::Result<()> {
        let mut results = Vec::with_capacity(group.len());
        for message in group {
            self.run(link, message).await?;
            results.push(parse(message)?);
        }
        let answer = link.monitor.report_slices(&results).await?;
        if let Some(unknown) = answer.unknown.first() {
            tracing::warn!(
                count = answer.unknown.len(),
                "workers reported slices that the monitor does not know, the first is {unknown}"
            );
        }
        let mut events = Vec::with_capacity(results.len());
        for result in &results {
            let Some(run) = self.runs.get_mut(&result.run_number) else { continue };
            if result.status == "processing" {
                continue;
            }
            run.received += 1;
            if result.status == "completed" {
                run.done += 1;
            } else {
                run.failed += 1;
            }
            run.open.remove(&(result.tf_filename.clone(), result.slice_id));
            events.push(run.event(
                result.run_number,
                "slice_result",
                json!({
                    "message": { "tf_filename": result.tf_filename, "slice_id": result.slice_id },
                    "state": result.status,
                    "results_received": run.received,
                    "results_done": run.done,
                    "results_failed": run.failed,
                }),
            ));
        }
        if !events.is_empty() {
            link.monitor.record_events(&events).await?;
        }
        Ok(())
    }
}

/// Read a result: `content.result.result` names the slice, `content.state` (or `processed`) says how it went.
fn parse(message: &Incoming) -> anyhow::Result<SliceResult> {
    let content = message.body.get("content").ok_or_else(|| anyhow::anyhow!("the result has no content"))?;
    let inner = content.pointer("/result/result").unwrap_or(&Value::Null);
    let named = |key: &str| inner.get(key).or_else(|| content.get(key));
    let slice_id = named("slice_id").and_then(as_number);
    let slice_id =
        slice_id.ok_or_else(|| anyhow::anyhow!("the result has no content.result.result.slice_id"))?;
    let tf_filename = named("tf_filename").and_then(Value::as_str);
    let tf_filename =
        tf_filename.ok_or_else(|| anyhow::anyhow!("the result of slice {slice_id} names no tf_filename"))?;
    let text = |key: &str| content.get(key).and_then(Value::as_str);
    let processed = inner.get("processed").is_some_and(is_truthy);
    let status = match text("state") {
        Some("processing") => "processing",
        Some("done") => "completed",
        _ if processed => "completed",
        _ => "failed",
    };
    let worker = text("hostname").map(str::to_owned);
    Ok(SliceResult {
        run_number: message.run_number()?,
        tf_filename: tf_filename.to_owned(),
        slice_id,
        status: status.to_owned(),
        assigned_worker: text("worker").map(str::to_owned).or(worker),
        metadata: json!({
            "worker_hostname": content.get("hostname"),
            "panda_task_id": content.get("panda_task_id"),
            "panda_id": content.get("panda_id"),
            "harvester_id": content.get("harvester_id"),
            "processing_start_at": content.get("processing_start_at"),
            "result": inner,
        }),
        timestamp: text("processed_at").map_or_else(crate::now, str::to_owned),
    })
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}
