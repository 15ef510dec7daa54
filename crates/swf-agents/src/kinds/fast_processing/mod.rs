//! Fast-processing agent: cuts TF files into slices, gives them to workers, takes the results.
//!
//! *Invariant:* everything is keyed by the run a message names, so files and results that come after `end_run`
//! count for their run.
//! *Invariant:* a slice is registered before it is sent; a slice that is registered but still queued is sent again
//! at the next start (outbox), and the monitor completes every slice once, however often it is reported.

mod results;
mod slices;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};
use swf_client::{Execution, RunState, StateEvent};
use tokio_util::sync::CancellationToken;

use super::by_type;
use crate::agent::{
    Config, Incoming, Kind, Link, Operational, Outgoing, PREFETCH, Work, derived_uid, start, work_loop,
};
use crate::config::flatten;
use slices::{LIFETIME, Origin, Waiting};

/// TF files cut at a time.
const AT_ONCE: usize = 8;
/// Runs that are through are remembered up to this many.
const REMEMBERED: usize = 64;

/// What the execution says about slices and workers.
#[derive(Debug, Clone, PartialEq)]
struct Params {
    frames_per_slice: i64,
    slices_per_sample: Option<i64>,
    sampling_rate: f64,
    realtime: bool,
    /// Flat parameter set of the execution.
    flat: Map<String, Value>,
}

/// A run at hand.
#[derive(Debug)]
struct Run {
    execution_id: Option<String>,
    params: Arc<Params>,
    /// State and substate of the machine, from the last message that had them.
    state: String,
    substate: Option<String>,
    ended: bool,
    /// Slices without a final result, as far as this process knows.
    open: HashSet<(String, i64)>,
    tf_files: i64,
    slices_created: i64,
    slices_sent: i64,
    received: i64,
    done: i64,
    failed: i64,
}

#[derive(Default)]
struct FastProcessing {
    runs: BTreeMap<i64, Run>,
    /// Executions that were asked for, by id.
    executions: HashMap<String, Option<Execution>>,
}

pub(crate) async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let destinations = [config.topic.clone(), config.place(&config.results_destination)];
    let started = start(Kind::FastProcessing, config, &destinations, PREFETCH, shutdown).await?;
    let Some(started) = started else { return Ok(()) };
    started
        .live(async |link, subscriptions| {
            let mut work = FastProcessing::default();
            work.send_again(&link).await;
            work_loop(&link, &mut work, subscriptions).await
        })
        .await
}

impl Params {
    fn of(execution: Option<&Execution>) -> Self {
        let empty = Map::new();
        let sections = execution.and_then(|e| e.parameter_values.as_object()).unwrap_or(&empty);
        let flat = match sections.get("effective") {
            Some(Value::Object(effective)) => effective.clone(),
            _ => flatten(sections),
        };
        let whole = |key: &str| flat.get(key).and_then(Value::as_i64).filter(|n| *n >= 1);
        let realtime = sections.get("run").and_then(|run| run.get("realtime")).and_then(Value::as_bool);
        Self {
            frames_per_slice: whole("num_tf_per_slice").unwrap_or(2),
            slices_per_sample: whole("slices_per_sample"),
            sampling_rate: flat.get("stf_sampling_rate").and_then(Value::as_f64).unwrap_or(1.0),
            realtime: realtime.unwrap_or(true),
            flat,
        }
    }

    fn number(&self, key: &str) -> Value {
        self.flat.get(key).filter(|value| value.is_number()).cloned().unwrap_or_else(|| 1.into())
    }

    /// Seconds a worker spends on a slice; none of them in discrete time.
    fn slice_seconds(&self) -> f64 {
        let seconds = self.flat.get("slice_processing_time").and_then(Value::as_f64).unwrap_or(0.0);
        if self.realtime { seconds.max(0.0) } else { 0.0 }
    }
}

impl Run {
    fn new(execution_id: Option<String>, params: Params, ended: bool) -> Self {
        Self {
            execution_id,
            params: Arc::new(params),
            state: "unknown".into(),
            substate: None,
            ended,
            open: HashSet::new(),
            tf_files: 0,
            slices_created: 0,
            slices_sent: 0,
            received: 0,
            done: 0,
            failed: 0,
        }
    }

    fn event(&self, number: i64, event_type: &str, event_data: Value) -> StateEvent {
        StateEvent {
            timestamp: crate::now(),
            run_number: number,
            event_type: event_type.to_owned(),
            state: self.state.clone(),
            substate: self.substate.clone(),
            event_data,
        }
    }
}

impl Work for FastProcessing {
    async fn handle(&mut self, link: &Link, batch: &[Incoming]) -> anyhow::Result<()> {
        for group in by_type(batch) {
            let Some(first) = group.first() else { continue };
            match first.msg_type.as_str() {
                "tf_file_registered" => self.tf_files(link, group).await?,
                "slice_result" | "" => self.results(link, group).await?,
                "run_imminent" | "start_run" | "pause_run" | "resume_run" | "end_run" => {
                    for message in group {
                        self.lifecycle(link, message).await?;
                    }
                }
                _ => {}
            }
        }
        self.report(link);
        Ok(())
    }
}

impl FastProcessing {
    /// The run a message belongs to. Parameters are loaded once for each execution.
    async fn run(&mut self, link: &Link, message: &Incoming) -> anyhow::Result<(i64, &mut Run)> {
        let number = message.run_number()?;
        let known = self.runs.get(&number).map(|run| run.execution_id.clone());
        let execution_id = message.execution_id.clone();
        let load = match known {
            None => true,
            Some(known) => execution_id.is_some() && known != execution_id,
        };
        if load {
            let execution = match &execution_id {
                Some(id) => self.execution(link, id).await?,
                None => None,
            };
            let ended = execution.as_ref().is_some_and(|e| e.status != "running");
            let fresh = Run::new(execution_id, Params::of(execution.as_ref()), ended);
            match self.runs.get_mut(&number) {
                // A result may have come before the first message that names the execution.
                Some(run) if run.execution_id.is_none() => {
                    run.execution_id = fresh.execution_id;
                    run.params = fresh.params;
                }
                _ => {
                    self.runs.insert(number, fresh);
                }
            }
            self.forget();
        }
        let run = self.runs.get_mut(&number).ok_or_else(|| anyhow::anyhow!("run {number} is not at hand"))?;
        if let Some(state) = message.text("state").filter(|state| state.len() <= 20) {
            state.clone_into(&mut run.state);
            run.substate = message.text("substate").map(|substate| substate.chars().take(20).collect());
        }
        Ok((number, run))
    }

    async fn execution(&mut self, link: &Link, id: &str) -> anyhow::Result<Option<Execution>> {
        if let Some(known) = self.executions.get(id) {
            return Ok(known.clone());
        }
        let execution = match link.monitor.execution(id).await {
            Ok(execution) => Some(execution),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(execution_id = id, %error, "execution {id} cannot be read; slices get default parameters");
                None
            }
        };
        if self.executions.len() >= REMEMBERED {
            self.executions.clear();
        }
        // The status is asked once only to tell a run that ended before this process began.
        self.executions.insert(id.to_owned(), execution.clone());
        Ok(execution)
    }

    fn forget(&mut self) {
        while self.runs.len() > REMEMBERED {
            let through = self.runs.iter().find(|(_, run)| run.ended && run.open.is_empty()).map(|(n, _)| *n);
            match through {
                Some(number) => self.runs.remove(&number),
                None => return,
            };
        }
    }

    fn report(&self, link: &Link) {
        let at_work = self.runs.values().any(|run| !run.ended || !run.open.is_empty());
        let open: usize = self.runs.values().map(|run| run.open.len()).sum();
        link.pulse.change(|health| {
            health.operational = if at_work { Operational::Processing } else { Operational::Ready };
            health.active = open as i64;
            health.done = self.runs.values().map(|run| run.done).sum();
        });
    }

    async fn lifecycle(&mut self, link: &Link, message: &Incoming) -> anyhow::Result<()> {
        let (number, run) = self.run(link, message).await?;
        link.log_context(message.execution_id.as_deref(), message.run_id.as_deref());
        let execution_id = run.execution_id.clone();
        let params = Arc::clone(&run.params);
        let (phase, state, substate) = match message.msg_type.as_str() {
            "start_run" => (Some("physics"), Some("running"), Some("physics")),
            "pause_run" => (None, None, Some("standby")),
            "resume_run" => (None, None, Some("physics")),
            "end_run" => (Some("completed"), Some("ended"), None),
            _ => (None, None, None),
        };
        let data = match message.msg_type.as_str() {
            "run_imminent" => json!({
                "execution_id": execution_id,
                "target_worker_count": params.flat.get("target_worker_count"),
                "stf_sampling_rate": params.flat.get("stf_sampling_rate"),
                "slices_per_sample": params.flat.get("slices_per_sample"),
            }),
            "end_run" => json!({
                "execution_id": execution_id,
                "total_tf_files_received": run.tf_files,
                "total_slices_created": run.slices_created,
                "total_slices_sent": run.slices_sent,
            }),
            _ => json!({ "execution_id": execution_id }),
        };
        let event = run.event(number, &message.msg_type, data);
        link.monitor.record_events(&[event]).await?;
        let change = RunState {
            phase: phase.map(str::to_owned),
            state: state.map(str::to_owned),
            substate: substate.map(str::to_owned),
            state_changed_at: Some(crate::now()),
            ..RunState::default()
        };
        if phase.is_some() || substate.is_some() {
            patch_run_state(link, number, &change).await?;
        }
        match message.msg_type.as_str() {
            "run_imminent" => self.tell_workers(link, message, "run_imminent_worker", &params).await?,
            "end_run" => {
                self.tell_workers(link, message, "end_run", &params).await?;
                if let Some(run) = self.runs.get_mut(&number) {
                    run.ended = true;
                    tracing::info!(run = number, slices = run.slices_created, "run {number} ended");
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn tell_workers(
        &self,
        link: &Link,
        message: &Incoming,
        msg_type: &str,
        params: &Params,
    ) -> anyhow::Result<()> {
        let mut content = message.body.clone();
        content.insert("execution_id".into(), message.value("execution_id"));
        if msg_type == "run_imminent_worker" {
            for key in [
                "core_count",
                "target_worker_count",
                "slice_processing_time",
                "worker_rampup_time",
                "worker_rampdown_time",
            ] {
                content.insert(key.into(), params.number(key));
            }
            content.insert("realtime".into(), params.realtime.into());
        }
        let body = json!({
            "msg_type": msg_type, "run_id": message.value("run_id"), "created_at": crate::now(), "content": content,
        });
        let uid = derived_uid(&message.uid, msg_type, "workers");
        let outgoing = Outgoing::new(&link.config.workers_destination, uid, body).with("vo", "eic");
        let execution_id = message.execution_id.clone().unwrap_or_default();
        Ok(link.send(outgoing.for_at_most(LIFETIME).with("execution_id", execution_id)).await?)
    }

    async fn tf_files(&mut self, link: &Link, group: &[Incoming]) -> anyhow::Result<()> {
        let mut work = Vec::with_capacity(group.len());
        for message in group {
            let (number, run) = self.run(link, message).await?;
            work.push((number, message, run.execution_id.clone(), Arc::clone(&run.params)));
        }
        let waiting = Waiting::of(group);
        let cut = stream::iter(work).map(async |(number, message, execution_id, params)| {
            let origin = Origin { run_number: number, run_id: message.value("run_id"), execution_id };
            let slices = slices::cut(link, message, &origin, &params, &waiting).await?;
            anyhow::Ok((number, message, slices))
        });
        let cut: Vec<_> = cut.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut events = Vec::new();
        for (number, message, slices) in cut {
            let Some(run) = self.runs.get_mut(&number) else { continue };
            run.tf_files += 1;
            let Some(slices) = slices else { continue };
            run.slices_created += slices.created;
            run.slices_sent += slices.sent.len() as i64;
            run.open.extend(slices.sent);
            events.push(run.event(
                number,
                "tf_file_processed",
                json!({
                    "tf_filename": message.value("tf_filename"), "stf_filename": message.value("stf_filename"),
                    "slices_created": slices.created,
                }),
            ));
        }
        if !events.is_empty() {
            link.monitor.record_events(&events).await?;
        }
        Ok(())
    }

    /// The outbox: slices that are registered but still queued may never have reached the broker.
    async fn send_again(&mut self, link: &Link) {
        if let Err(error) = self.try_send_again(link).await {
            tracing::error!("queued slices of an earlier life could not be sent again: {error:#}");
        }
    }

    async fn try_send_again(&mut self, link: &Link) -> anyhow::Result<()> {
        let queued = link.monitor.slices(&[("status", "queued")]).await?;
        let mut sent = 0;
        for slice in queued {
            let Some(id) = slice.metadata.get("execution_id").and_then(Value::as_str).map(str::to_owned)
            else {
                continue;
            };
            let execution = self.execution(link, &id).await?;
            let ours = execution.as_ref().is_some_and(|execution| {
                execution.namespace.as_deref() == Some(link.config.namespace.as_str()) && is_recent(execution)
            });
            if !ours {
                continue;
            }
            let number = slice.run_number;
            let ended = execution.as_ref().is_some_and(|e| e.status != "running");
            let run = self
                .runs
                .entry(number)
                .or_insert_with(|| Run::new(Some(id.clone()), Params::of(execution.as_ref()), ended));
            let origin =
                Origin { run_number: number, run_id: number.to_string().into(), execution_id: Some(id) };
            slices::send(link, &origin, &slice, &run.params).await?;
            run.open.insert((slice.tf_filename, slice.slice_id));
            run.slices_sent += 1;
            sent += 1;
        }
        if sent > 0 {
            tracing::info!(slices = sent, "sent {sent} slices again that were queued before this start");
        }
        self.report(link);
        Ok(())
    }
}

/// Slices live as long as their messages; older ones are left as they are.
fn is_recent(execution: &Execution) -> bool {
    let start = execution.start_time.as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    start.is_some_and(|start| {
        let age = Utc::now().signed_duration_since(start).to_std().unwrap_or(Duration::ZERO);
        age < LIFETIME
    })
}

/// A run state that does not exist is no reason to leave the message undone.
async fn patch_run_state(link: &Link, number: i64, change: &RunState) -> anyhow::Result<()> {
    match link.monitor.patch_run_state(number, change).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_transient() => Err(error.into()),
        Err(error) => {
            tracing::warn!(run = number, %error, "the state of run {number} could not be changed");
            Ok(())
        }
    }
}
