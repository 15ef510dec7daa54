//! Data agent: registers runs and STF files and announces each file as ready.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use swf_client::NewStfFile;
use tokio_util::sync::CancellationToken;

use super::by_type;
use crate::agent::{
    Config, Incoming, Kind, Link, Operational, Outgoing, PREFETCH, Work, derived_uid, start, work_loop,
};

/// STF files registered at a time.
const AT_ONCE: usize = 8;

/// Runs by run number.
#[derive(Default)]
struct Data {
    runs: HashMap<i64, Run>,
}

struct Run {
    /// Key of the run's row.
    key: i64,
    files: i64,
}

pub(crate) async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let topic = config.topic.clone();
    let Some(started) = start(Kind::Data, config, &[topic], PREFETCH, shutdown).await? else { return Ok(()) };
    started
        .live(async |link, subscriptions| work_loop(&link, &mut Data::default(), subscriptions).await)
        .await
}

impl Work for Data {
    async fn handle(&mut self, link: &Link, batch: &[Incoming]) -> anyhow::Result<()> {
        for group in by_type(batch) {
            let Some(first) = group.first() else { continue };
            match first.msg_type.as_str() {
                "stf_gen" => self.stf_files(link, group).await?,
                "run_imminent" | "start_run" | "end_run" => {
                    for message in group {
                        link.log_context(message.execution_id.as_deref(), message.run_id.as_deref());
                        match message.msg_type.as_str() {
                            "run_imminent" => self.open(link, message).await?,
                            "end_run" => self.close(link, message).await?,
                            _ => self.report(link, Operational::Processing, "takes STF files"),
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Data {
    async fn open(&mut self, link: &Link, message: &Incoming) -> anyhow::Result<()> {
        let number = message.run_number()?;
        let conditions = message.body.get("run_conditions").cloned().unwrap_or_else(|| json!({}));
        let row = link.monitor.ensure_run(number, &crate::now(), &conditions).await?;
        self.runs.entry(number).or_insert(Run { key: row.run_id, files: 0 });
        tracing::info!(run = number, "run {number} is registered");
        self.report(link, Operational::Processing, format!("Preparing for run {number}"));
        Ok(())
    }

    async fn close(&mut self, link: &Link, message: &Incoming) -> anyhow::Result<()> {
        let number = message.run_number()?;
        if let Some(key) = self.key(link, number).await? {
            link.monitor.end_run(key, &crate::now()).await?;
        }
        let files = self.runs.remove(&number).map_or(0, |run| run.files);
        let said = message.number("total_stf_files").or_else(|| message.number("total_files"));
        tracing::info!(
            run = number,
            files,
            announced = said,
            "run {number} is closed with {files} STF files"
        );
        let state = if self.runs.is_empty() { Operational::Ready } else { Operational::Processing };
        let note = said.map(|said| format!("Run {number} closed with {files} of {said} STF files"));
        self.report(link, state, note.unwrap_or_default());
        Ok(())
    }

    /// Key of the run's row; an agent that was restarted asks the monitor.
    async fn key(&mut self, link: &Link, number: i64) -> anyhow::Result<Option<i64>> {
        if let Some(run) = self.runs.get(&number) {
            return Ok(Some(run.key));
        }
        let Some(row) = link.monitor.run(number).await? else { return Ok(None) };
        self.runs.insert(number, Run { key: row.run_id, files: 0 });
        Ok(Some(row.run_id))
    }

    async fn stf_files(&mut self, link: &Link, group: &[Incoming]) -> anyhow::Result<()> {
        let mut files = Vec::with_capacity(group.len());
        for message in group {
            let number = message.run_number()?;
            let key = self.key(link, number).await?;
            let key = key.ok_or_else(|| {
                anyhow::anyhow!("run {number} is not registered; its run_imminent is missing")
            })?;
            files.push((message, number, key));
        }
        stream::iter(files.iter().map(|(message, _, key)| stf_file(link, message, *key)))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        for (_, number, _) in &files {
            if let Some(run) = self.runs.get_mut(number) {
                run.files += 1;
            }
        }
        link.pulse.change(|health| health.done += files.len() as i64);
        Ok(())
    }

    fn report(&self, link: &Link, state: Operational, note: impl Into<String>) {
        link.pulse.set(state, note);
        let (runs, files) = (self.runs.len(), self.runs.values().map(|run| run.files).sum::<i64>());
        link.pulse.change(|health| {
            health.metadata.insert("active_runs".into(), runs.into());
            health.metadata.insert("active_files".into(), files.into());
            health.active = files;
        });
    }
}

/// Register one file, say that it is ready, mark it processed.
async fn stf_file(link: &Link, message: &Incoming, run: i64) -> anyhow::Result<()> {
    let filename = message.required("filename")?;
    let state = message.text("state").unwrap_or("unknown");
    let new = NewStfFile {
        run,
        stf_filename: filename.to_owned(),
        file_size_bytes: message.number("size_bytes").or_else(|| message.number("size")),
        machine_state: state.to_owned(),
        status: "registered".into(),
        metadata: json!({
            "created_by": link.name, "substate": message.value("substate"), "start": message.value("start"),
            "end": message.value("end"), "sequence": message.value("sequence"),
        }),
    };
    let row = link.monitor.ensure_stf_file(&new).await?;
    link.send(Outgoing::new(
        &link.config.topic,
        derived_uid(&message.uid, "stf_ready", filename),
        ready(link, message),
    ))
    .await?;
    if row.status != "processed" {
        let body = json!({
            "status": "processed", "metadata": { "processed_by": link.name, "updated_at": crate::now() },
        });
        link.monitor.patch_stf_file(&row.file_id, &body).await?;
    }
    tracing::debug!(file = filename, "STF file {filename} is registered");
    Ok(())
}

fn ready(link: &Link, message: &Incoming) -> Value {
    json!({
        "msg_type": "stf_ready",
        "namespace": link.config.namespace,
        "filename": message.value("filename"),
        "run_id": message.value("run_id"),
        "file_url": message.value("file_url"),
        "checksum": message.value("checksum"),
        "size_bytes": message.value("size_bytes"),
        "start": message.value("start"),
        "end": message.value("end"),
        "state": message.value("state"),
        "substate": message.value("substate"),
        "sequence": message.value("sequence"),
        "simulation_tick": message.value("simulation_tick"),
        "processed_by": link.name,
        "execution_id": message.value("execution_id"),
    })
}
