//! One execution from its rows in the monitor to its final status.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value, json};
use swf_client::{Execution, NewDefinition, RunState};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::closing::{LAST_STATUS, PAUSE, close};
use super::command::RunWorkflow;
use crate::agent::{Link, Outgoing, is_transient, wait_for_monitor};
use crate::config::WorkflowConfig;
use crate::workflow::{Action, DEFAULT_DESTINATION, Engine, Identity};

/// Columns of the monitor: version has 50 characters.
const VERSION_LENGTH: usize = 50;

/// A request to stop, with its reason; the first reason counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Stop {
    /// Stop at once, in the middle of any wait.
    pub fn now(&self, reason: &str) {
        // A second reason changes nothing.
        let _ = self.reason.set(reason.to_owned());
        self.token.cancel();
    }

    fn reason(&self) -> String {
        self.reason.get().cloned().unwrap_or_else(|| "stopped".into())
    }
}

/// How far an execution is.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub run_id: Option<String>,
    /// `state/substate` of the machine.
    pub phase: Option<String>,
    pub stf_files: i64,
    /// Only the final status is still to be written.
    pub ending: bool,
}

/// How an execution ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub status: &'static str,
    pub reason: Option<String>,
    pub stf_files: i64,
}

/// An execution whose row is open.
#[derive(Debug)]
pub(super) struct Prepared {
    pub execution_id: String,
    workflow: WorkflowConfig,
    realtime: bool,
    /// Simulated microseconds, 0 for no limit.
    limit: u64,
    metrics: Map<String, Value>,
}

impl Prepared {
    pub fn workflow_name(&self) -> &str {
        &self.workflow.definition.name
    }
}

/// Validate a command and open its execution: calls 1 to 6 of the contract.
pub(super) async fn prepare(link: &Link, command: RunWorkflow) -> anyhow::Result<Prepared> {
    let config = &link.config;
    let workflow = WorkflowConfig::load(
        &config.testbed,
        &command.workflow_name,
        command.config.as_deref(),
        &command.params,
        &config.variables,
    )?;
    let engine =
        Engine::new(Arc::clone(&workflow.definition), Identity::default(), workflow.effective.clone());
    if engine.is_endless()? && !command.realtime && command.duration == 0.0 {
        anyhow::bail!(
            "an endless workflow in discrete time would flood the broker; give a duration, a count other than 0, or realtime"
        );
    }
    let execution_id = match command.execution_id.clone() {
        Some(execution_id) => execution_id,
        None => {
            let sequence = link.monitor.next_execution_sequence(&command.workflow_name).await?;
            format!("{}-{}-{sequence:04}", command.workflow_name, config.user)
        }
    };
    let definition = register_definition(link, &workflow).await?;
    if let Err(error) = link.monitor.ensure_namespace(&config.namespace, &config.user).await {
        tracing::warn!(%error, "the namespace could not be registered; the execution goes on");
    }
    let mut parameter_values = workflow.parameter_values();
    if let Some(values) = parameter_values.as_object_mut() {
        let run = json!({
            "config": workflow.config, "realtime": command.realtime, "duration": command.duration,
            "params": command.params, "definition_sha256": workflow.definition.sha256,
        });
        values.insert("run".into(), run);
    }
    let mut metrics = Map::new();
    metrics.insert("runner".into(), link.name.clone().into());
    metrics.insert("host".into(), config.hostname.clone().into());
    metrics.insert("pid".into(), std::process::id().into());
    let execution = Execution {
        execution_id: execution_id.clone(),
        workflow_definition: definition.into(),
        namespace: Some(config.namespace.clone()),
        status: "running".into(),
        executed_by: config.user.clone(),
        start_time: Some(crate::now()),
        end_time: None,
        parameter_values,
        performance_metrics: Value::Object(metrics.clone()),
    };
    link.monitor.create_execution(&execution).await?;
    let limit = (command.duration * 1e6).round() as u64;
    Ok(Prepared { execution_id, workflow, realtime: command.realtime, limit, metrics })
}

/// The REST interface strips texts, as the original's did.
fn same_text(row: &swf_client::Definition, definition: &crate::workflow::Definition) -> bool {
    row.definition.trim() == definition.source.trim()
}

/// Key of the definition's row. A text that changed under the same version gets the version `<v>+<hash8>`, so that
/// what is stored is always what ran.
async fn register_definition(link: &Link, workflow: &WorkflowConfig) -> anyhow::Result<i64> {
    let definition = &workflow.definition;
    let hash = definition.sha256.get(..8).unwrap_or_default();
    let room = VERSION_LENGTH - hash.len() - 1;
    let plain: String = definition.version.chars().take(VERSION_LENGTH).collect();
    let hashed = format!("{}+{hash}", definition.version.chars().take(room).collect::<String>());
    for version in [plain, hashed] {
        let known = link.monitor.definitions(&definition.name, &version).await?;
        if let Some(same) = known.iter().find(|row| same_text(row, definition)) {
            return Ok(same.id);
        }
        if !known.is_empty() {
            tracing::info!(
                workflow = definition.name,
                version,
                "the text of workflow {} changed under version {version}; it is registered with its hash",
                definition.name
            );
            continue;
        }
        let new = NewDefinition {
            workflow_name: definition.name.clone(),
            version: version.clone(),
            workflow_type: definition.workflow_type.clone(),
            definition: definition.source.clone(),
            parameter_values: workflow.definition_values(),
            created_by: link.config.user.clone(),
            created_at: crate::now(),
        };
        match link.monitor.create_definition(&new).await {
            Ok(row) if row.id != 0 => return Ok(row.id),
            Ok(_) => {}
            // Another runner was faster.
            Err(error) if error.is_already_there() => {}
            Err(error) => return Err(error.into()),
        }
        let rows = link.monitor.definitions(&definition.name, &version).await?;
        if let Some(row) = rows.iter().find(|row| same_text(row, definition)) {
            return Ok(row.id);
        }
    }
    anyhow::bail!("workflow {} could not be registered under its version or hash", definition.name)
}

/// Where simulated time comes from.
enum Clock {
    /// One simulated second is one second.
    Real(Instant),
    /// As fast as possible.
    Discrete,
}

impl Clock {
    /// Wait until a simulated time; false when stopped before.
    async fn reach(&self, tick: u64, stop: &CancellationToken) -> bool {
        match self {
            Self::Real(start) => tokio::select! {
                biased;
                () = stop.cancelled() => false,
                () = tokio::time::sleep_until(*start + Duration::from_micros(tick)) => true,
            },
            Self::Discrete => {
                tokio::task::yield_now().await;
                !stop.is_cancelled()
            }
        }
    }

    /// Simulated time when a wait was cut short.
    fn reached(&self, planned: u64, before: u64) -> u64 {
        match self {
            Self::Real(start) => u64::try_from(start.elapsed().as_micros()).unwrap_or(planned).min(planned),
            Self::Discrete => before,
        }
    }
}

/// Why the steps ended before their end.
enum Early {
    Stopped,
    TimeIsUp,
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Early {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Drive {
    link: Link,
    prepared: Prepared,
    progress: watch::Sender<Progress>,
    stop: Stop,
    /// Whether the run's closing message is out.
    closed: bool,
}

/// Run an execution to its end and write its final status.
pub(super) async fn drive(
    link: Link,
    prepared: Prepared,
    progress: watch::Sender<Progress>,
    stop: Stop,
) -> Outcome {
    let mut drive = Drive { link, prepared, progress, stop, closed: false };
    let run_number = match drive.open_run().await {
        Ok(run_number) => run_number,
        Err(early) => {
            let (status, reason) = drive.verdict(Some(early));
            return drive.finish(status, reason, None, 0).await;
        }
    };
    let identity = Identity {
        namespace: drive.link.config.namespace.clone(),
        execution_id: drive.prepared.execution_id.clone(),
        run_id: run_number.to_string(),
    };
    let workflow = &drive.prepared.workflow;
    let mut engine = Engine::new(Arc::clone(&workflow.definition), identity, workflow.effective.clone());
    let early = drive.steps(&mut engine).await.err();
    let (status, reason) = drive.verdict(early);
    let stf_files = drive.progress.borrow().stf_files;
    if !drive.closed {
        drive.close_run(&engine, reason.as_deref()).await;
    }
    drive.finish(status, reason, Some(run_number), stf_files).await
}

impl Drive {
    fn verdict(&self, early: Option<Early>) -> (&'static str, Option<String>) {
        match early {
            None => ("completed", None),
            Some(Early::TimeIsUp) => ("completed", Some("duration limit reached".into())),
            Some(Early::Stopped) => ("terminated", Some(self.stop.reason())),
            Some(Early::Failed(error)) => {
                let reason = format!("{error:#}");
                tracing::error!("execution {} failed: {reason}", self.prepared.execution_id);
                ("failed", Some(reason))
            }
        }
    }

    /// Calls 7 and 8 of the contract: run number and run state.
    async fn open_run(&self) -> Result<i64, Early> {
        let monitor = &self.link.monitor;
        let number = tokio::select! {
            biased;
            () = self.stop.token.cancelled() => return Err(Early::Stopped),
            number = wait_for_monitor(|| monitor.next_run_number()) => number?,
        };
        let run_id = number.to_string();
        self.link.log_context(Some(&self.prepared.execution_id), Some(&run_id));
        self.progress.send_modify(|progress| progress.run_id = Some(run_id));
        let effective = &self.prepared.workflow.effective;
        let state = RunState {
            run_number: Some(number),
            phase: Some("initializing".into()),
            state: Some("imminent".into()),
            substate: Some("preparing".into()),
            target_worker_count: Some(
                effective.get("target_worker_count").and_then(Value::as_i64).unwrap_or(0),
            ),
            state_changed_at: Some(crate::now()),
            metadata: Some(json!({
                "execution_id": self.prepared.execution_id,
                "stf_sampling_rate": effective.get("stf_sampling_rate"),
                "slices_per_sample": effective.get("slices_per_sample"),
            })),
        };
        if let Err(error) = monitor.create_run_state(&state).await {
            tracing::warn!(run = number, %error, "the state of run {number} could not be opened");
        }
        Ok(number)
    }

    async fn steps(&mut self, engine: &mut Engine) -> Result<(), Early> {
        for folder in engine.folders() {
            tokio::fs::create_dir_all(&folder).await.with_context(|| {
                format!("make folder {}; correct the container parameter", folder.display())
            })?;
        }
        let clock = if self.prepared.realtime { Clock::Real(Instant::now()) } else { Clock::Discrete };
        let limit = self.prepared.limit;
        loop {
            let before = engine.tick();
            let Some(action) = engine.next_action()? else { return Ok(()) };
            if self.stop.token.is_cancelled() {
                return Err(Early::Stopped);
            }
            match action {
                Action::WaitUntil(tick) => {
                    self.show_phase(engine);
                    let until = if limit > 0 { tick.min(limit) } else { tick };
                    if !clock.reach(until, &self.stop.token).await {
                        engine.interrupted_at(clock.reached(until, before));
                        return Err(Early::Stopped);
                    }
                    if limit > 0 && tick >= limit {
                        engine.interrupted_at(limit);
                        return Err(Early::TimeIsUp);
                    }
                }
                Action::Send { msg_type, destination, body, file } => {
                    self.send(&msg_type, destination, body, file.as_deref()).await?;
                }
            }
        }
    }

    fn show_phase(&self, engine: &Engine) {
        let (state, substate) = engine.state();
        let phase = format!("{state}/{substate}");
        self.progress.send_if_modified(|progress| {
            let changed = progress.phase.as_deref() != Some(&phase);
            progress.phase = Some(phase);
            changed
        });
    }

    async fn send(
        &mut self,
        msg_type: &str,
        destination: String,
        body: Map<String, Value>,
        file: Option<&Path>,
    ) -> Result<(), Early> {
        if let Some(file) = file {
            write_file(file, &body).await?;
        }
        let destination = self.place(destination);
        let outgoing = Outgoing::new(destination, Uuid::new_v4().to_string(), Value::Object(body));
        let mut told = false;
        loop {
            match self.link.send(outgoing.clone()).await {
                Ok(()) => break,
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    if !is_transient(&error) {
                        return Err(Early::Failed(error));
                    }
                    if !told {
                        told = true;
                        tracing::warn!("the workflow waits for the message broker: {error:#}");
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.stop.token.cancelled() => return Err(Early::Stopped),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        if self.prepared.workflow.definition.closing.as_deref() == Some(msg_type) {
            self.closed = true;
        }
        if msg_type == "stf_gen" {
            self.progress.send_modify(|progress| progress.stf_files += 1);
        }
        tracing::debug!(msg_type, "sent {msg_type}");
        Ok(())
    }

    /// What a definition sends to the usual topic goes to the configured one.
    fn place(&self, destination: String) -> String {
        if destination == DEFAULT_DESTINATION { self.link.config.topic.clone() } else { destination }
    }

    /// The closing message of a run that ends before its steps do, or whose steps do not close it.
    async fn close_run(&self, engine: &Engine, reason: Option<&str>) {
        let Ok(Some(Action::Send { destination, body, .. })) = engine.closing(reason) else { return };
        close(&self.link, self.place(destination), body, &self.prepared.execution_id).await;
    }

    /// Call 9 of the contract: one final status.
    async fn finish(
        &mut self,
        status: &'static str,
        reason: Option<String>,
        run_number: Option<i64>,
        stf_files: i64,
    ) -> Outcome {
        self.progress.send_modify(|progress| progress.ending = true);
        let mut metrics = self.prepared.metrics.clone();
        metrics.insert("stf_files".into(), stf_files.into());
        metrics.insert("run_number".into(), run_number.map_or(Value::Null, Value::from));
        if let Some(reason) = &reason {
            metrics.insert("reason".into(), reason.clone().into());
        }
        let body = json!({ "status": status, "end_time": crate::now(), "performance_metrics": metrics });
        let id = &self.prepared.execution_id;
        let last_call = async {
            self.link.shutdown.cancelled().await;
            tokio::time::sleep(LAST_STATUS).await;
        };
        let written = tokio::select! {
            written = wait_for_monitor(|| self.link.monitor.patch_execution(id, &body)) => written.map(drop),
            () = last_call => Err(anyhow::anyhow!("the monitor was away when the runner ended")),
        };
        if let Err(error) = written {
            tracing::error!("the final status {status} of execution {id} could not be written: {error:#}");
        }
        Outcome { status, reason, stf_files }
    }
}

async fn write_file(file: &Path, body: &Map<String, Value>) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder)
            .await
            .with_context(|| format!("make folder {}", folder.display()))?;
    }
    let text = serde_json::to_vec(body)?;
    tokio::fs::write(file, text).await.with_context(|| format!("write {}", file.display()))
}
