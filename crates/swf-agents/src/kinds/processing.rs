//! Processing agent: answers every STF file that is ready with the names of its outputs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::by_type;
use crate::agent::{
    Config, Incoming, Kind, Link, Operational, Outgoing, PREFETCH, Work, derived_uid, start, work_loop,
};

/// Nobody of ours takes these messages; they must not pile up in the broker.
const LIFETIME: Duration = Duration::from_secs(600);

/// Files processed, by run.
#[derive(Default)]
struct Processing {
    runs: HashMap<String, i64>,
}

pub(crate) async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let topic = config.topic.clone();
    let Some(started) = start(Kind::Processing, config, &[topic], PREFETCH, shutdown).await? else {
        return Ok(());
    };
    started
        .live(async |link, subscriptions| work_loop(&link, &mut Processing::default(), subscriptions).await)
        .await
}

impl Work for Processing {
    async fn handle(&mut self, link: &Link, batch: &[Incoming]) -> anyhow::Result<()> {
        for group in by_type(batch) {
            let Some(first) = group.first() else { continue };
            if first.msg_type == "stf_ready" {
                try_join_all(group.iter().map(|message| process(link, message))).await?;
                for message in group {
                    *self.runs.entry(message.run_id.clone().unwrap_or_default()).or_default() += 1;
                }
                link.pulse.change(|health| health.done += group.len() as i64);
                continue;
            }
            for message in group {
                self.lifecycle(link, message);
            }
        }
        Ok(())
    }
}

impl Processing {
    fn lifecycle(&mut self, link: &Link, message: &Incoming) {
        let run = message.run_id.clone().unwrap_or_default();
        match message.msg_type.as_str() {
            "run_imminent" => {
                link.log_context(message.execution_id.as_deref(), message.run_id.as_deref());
                link.pulse.set(Operational::Ready, format!("Preparing for run {run}"));
            }
            "start_run" => link.pulse.set(Operational::Processing, format!("processes run {run}")),
            "end_run" => {
                let files = self.runs.remove(&run).unwrap_or(0);
                tracing::info!(run, files, "run {run} ended with {files} files processed so far");
                link.pulse.set(Operational::Ready, format!("Run {run} processing completed successfully"));
            }
            _ => {}
        }
    }
}

/// `.dst` and `.hist.root` beside the input, whatever its extension.
fn outputs(filename: &str) -> [String; 2] {
    let base = filename.strip_suffix(".stf").or_else(|| filename.strip_suffix(".dat")).unwrap_or(filename);
    [format!("{base}.dst"), format!("{base}.hist.root")]
}

async fn process(link: &Link, message: &Incoming) -> anyhow::Result<()> {
    let started = Instant::now();
    let filename = message.required("filename")?;
    let output_files = outputs(filename);
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let body = json!({
        "msg_type": "processing_complete",
        "namespace": link.config.namespace,
        "filename": filename,
        "run_id": message.value("run_id"),
        "input_file_url": message.value("file_url"),
        "input_checksum": message.value("checksum"),
        "input_size_bytes": message.value("size_bytes"),
        "output_files": output_files,
        "processing_time_ms": elapsed,
        "simulation_tick": message.value("simulation_tick"),
        "processed_by": link.name,
        "execution_id": message.value("execution_id"),
    });
    let uid = derived_uid(&message.uid, "processing_complete", filename);
    let outgoing =
        Outgoing::new(&link.config.processed_destination, uid, body).transient().for_at_most(LIFETIME);
    Ok(link.send(outgoing).await?)
}

#[cfg(test)]
mod tests {
    use super::outputs;

    #[test]
    fn outputs_differ_from_the_input_whatever_its_extension() {
        assert_eq!(outputs("swf.1.000001.stf"), ["swf.1.000001.dst", "swf.1.000001.hist.root"]);
        assert_eq!(outputs("a.dat"), ["a.dst", "a.hist.root"]);
        assert_eq!(outputs("plain"), ["plain.dst", "plain.hist.root"]);
    }
}
