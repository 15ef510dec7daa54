//! Workflow runner, the simulated machine: takes commands, runs one workflow at a time.
//!
//! *Invariant:* a command is answered or forwarded, never dropped in silence.
//! *Invariant:* every execution this runner opened ends with one final status, if need be at its next start.

mod closing;
mod command;
mod execution;
mod outbox;

use std::time::Duration;

use serde_json::{Value, json};
use swf_stomp::{Delivery, Subscription};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::agent::{Config, Incoming, Kind, Link, Operational, Refused, acknowledge, read, start, turn_down};
use command::{forward, reply, too_old};

pub use command::RunWorkflow;
use execution::{Outcome, Progress, Stop};

/// Shared by the runners of all namespaces; Python senders use it.
const SHARED_QUEUE: &str = "/queue/workflow_control";
/// Commands are looked at one by one.
const PREFETCH: u32 = 1;
/// At shutdown a running workflow may take so long to close its run.
const LAST_WORK: Duration = Duration::from_secs(8);

/// A final status that takes longer to write means that the monitor is away.
const ENDING: Duration = Duration::from_secs(3);

/// The workflow that runs now.
struct Active {
    execution_id: String,
    workflow_name: String,
    stop: Stop,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<Outcome>,
}

struct Runner {
    link: Link,
    control_queue: String,
    active: Option<Active>,
}

pub(crate) async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let control_queue = format!("{SHARED_QUEUE}.{}", config.namespace);
    let destinations = [control_queue.clone(), SHARED_QUEUE.to_owned()];
    let Some(started) = start(Kind::Runner, config, &destinations, PREFETCH, shutdown).await? else {
        return Ok(());
    };
    started.link.pulse.change(|health| {
        health.metadata.insert("control_queue".into(), control_queue.clone().into());
    });
    started
        .live(async |link, subscriptions| {
            // What could not be sent before is sent as soon as it can be, beside everything else.
            let outbox = AbortOnDropHandle::new(tokio::spawn(outbox::deliver(link.clone())));
            closing::close_earlier_life(&link).await;
            let mut runner = Runner { link, control_queue, active: None };
            let outcome = runner.take_commands(subscriptions).await;
            runner.wind_up().await;
            drop(outbox);
            outcome
        })
        .await
}

/// Runs one workflow without waiting for commands, and ends. An execution that does not complete is an error.
///
/// # Errors
/// What cannot be started or did not complete, with the reason.
pub async fn run_once(
    mut config: Config,
    command: RunWorkflow,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.testbed.set_namespace(&config.namespace);
    let Some(started) = start(Kind::Runner, config, &[], PREFETCH, shutdown).await? else { return Ok(()) };
    started
        .live(async |link, _| {
            let _outbox = AbortOnDropHandle::new(tokio::spawn(outbox::deliver(link.clone())));
            closing::close_earlier_life(&link).await;
            let prepared = execution::prepare(&link, command).await?;
            let execution_id = prepared.execution_id.clone();
            link.log_context(Some(&execution_id), None);
            tracing::info!(execution_id, "execution {execution_id} starts");
            link.pulse.set(Operational::Processing, format!("runs {execution_id} and ends"));
            let stop = Stop::default();
            let work =
                execution::drive(link.clone(), prepared, watch::channel(Progress::default()).0, stop.clone());
            tokio::pin!(work);
            let outcome = tokio::select! {
                outcome = &mut work => outcome,
                () = link.shutdown.cancelled() => {
                    stop.now("the runner was told to end");
                    work.await
                }
            };
            let reason = outcome.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            if outcome.status != "completed" {
                anyhow::bail!("execution {execution_id} is {}{reason}", outcome.status);
            }
            tracing::info!("execution {execution_id} is completed{reason}");
            Ok(())
        })
        .await
}

impl Runner {
    async fn take_commands(&mut self, subscriptions: Vec<Subscription>) -> anyhow::Result<()> {
        let mut subscriptions = subscriptions.into_iter();
        let (Some(mut own), Some(mut shared)) = (subscriptions.next(), subscriptions.next()) else {
            anyhow::bail!("the runner's subscriptions were not made");
        };
        loop {
            let ended = async {
                match &mut self.active {
                    Some(active) => (&mut active.task).await,
                    None => std::future::pending().await,
                }
            };
            let delivery = tokio::select! {
                () = self.link.shutdown.cancelled() => return Ok(()),
                outcome = ended => {
                    self.ended(outcome);
                    continue;
                }
                delivery = own.next() => delivery,
                delivery = shared.next() => delivery,
            };
            let Some(delivery) = delivery else { return Ok(()) };
            self.take(delivery).await;
        }
    }

    fn ended(&mut self, outcome: Result<Outcome, tokio::task::JoinError>) {
        let Some(active) = self.active.take() else { return };
        match outcome {
            Ok(outcome) => tracing::info!(
                execution_id = active.execution_id,
                stf_files = outcome.stf_files,
                "execution {} is {}{}",
                active.execution_id,
                outcome.status,
                outcome.reason.map(|reason| format!(": {reason}")).unwrap_or_default()
            ),
            Err(error) => tracing::error!("execution {} broke off: {error}", active.execution_id),
        }
        self.link.log_context(None, None);
        self.link.pulse.change(|health| {
            health.operational = Operational::Ready;
            health.note.clear();
            health.done += 1;
            health.active = 0;
            for key in ["execution_id", "workflow_name"] {
                health.metadata.insert(key.into(), Value::Null);
            }
        });
    }

    /// At shutdown: stop what runs and let it close its run.
    async fn wind_up(&mut self) {
        let Some(active) = &mut self.active else { return };
        active.stop.now("the runner was told to end");
        let outcome = tokio::time::timeout(LAST_WORK, &mut active.task).await;
        match outcome {
            Ok(outcome) => self.ended(outcome),
            Err(_) => {
                tracing::warn!("the running workflow could not close in time; the next start closes it")
            }
        }
    }

    async fn take(&mut self, delivery: Delivery) {
        let trusted = self.link.config.trust.check(&delivery);
        match read(delivery, &self.link.config.namespace) {
            Ok(message) => {
                match trusted {
                    Ok(()) => self.command(&message).await,
                    Err(reason) => self.distrust(&message, &reason).await,
                }
                acknowledge(&message.delivery).await;
            }
            Err((delivery, Refused::Foreign(namespace))) => {
                if let Err(reason) = trusted {
                    tracing::warn!(
                        namespace,
                        "a command for namespace {namespace} is not passed on: {reason}"
                    );
                    return acknowledge(&delivery).await;
                }
                match forward(&self.link, &delivery, &namespace).await {
                    Ok(()) => acknowledge(&delivery).await,
                    Err(error) => {
                        tracing::warn!("a command of namespace {namespace} was not forwarded yet: {error}")
                    }
                }
            }
            Err((delivery, refused)) => turn_down(&self.link, &delivery, &refused).await,
        }
    }

    /// Refuses a command without a good signature.
    async fn distrust(&mut self, message: &Incoming, reason: &str) {
        self.link.pulse.change(|health| health.failed += 1);
        let kind = &message.msg_type;
        let sender = message.text("sender").or_else(|| message.text("requested_by")).unwrap_or("unknown");
        tracing::warn!(
            sender,
            destination = message.delivery.destination(),
            "{kind} of sender {sender:?} {reason}"
        );
        let answer = json!({ "accepted": false, "execution_id": message.execution_id, "reason": reason });
        reply(&self.link, message, &format!("{kind}_reply"), answer).await;
    }

    async fn command(&mut self, message: &Incoming) {
        self.link.pulse.change(|health| health.handled += 1);
        match message.msg_type.as_str() {
            "run_workflow" => self.run_workflow(message).await,
            "stop_workflow" => self.stop_workflow(message).await,
            "status_request" => {
                let status = self.status();
                tracing::info!("status asked: {status}");
                reply(&self.link, message, "status_reply", status).await;
            }
            other => {
                let reason =
                    format!("msg_type {other:?} is not one of run_workflow, stop_workflow, status_request");
                tracing::warn!("refused a command: {reason}");
                reply(&self.link, message, "error", json!({ "accepted": false, "reason": reason })).await;
            }
        }
    }

    fn status(&self) -> Value {
        let Some(active) = &self.active else {
            return json!({ "state": "idle", "execution_id": null, "run_id": null, "phase": null });
        };
        let progress = active.progress.borrow().clone();
        json!({
            "state": "running", "execution_id": active.execution_id, "run_id": progress.run_id,
            "phase": progress.phase, "workflow_name": active.workflow_name, "stf_files": progress.stf_files,
        })
    }

    async fn run_workflow(&mut self, message: &Incoming) {
        let answer = match self.try_run(message).await {
            Ok(execution_id) => json!({ "accepted": true, "execution_id": execution_id, "run_id": null }),
            Err(reason) => {
                tracing::warn!("refused run_workflow: {reason}");
                json!({ "accepted": false, "execution_id": message.execution_id, "reason": reason })
            }
        };
        reply(&self.link, message, "run_workflow_reply", answer).await;
    }

    /// Validate, open the execution, start it. The error is the reason for the refusal.
    async fn try_run(&mut self, message: &Incoming) -> Result<String, String> {
        if let Some(reason) = too_old(message) {
            return Err(reason);
        }
        self.let_end().await;
        if let Some(active) = &self.active {
            if message.execution_id.as_ref() == Some(&active.execution_id) {
                // The same command once more: its acknowledgement was lost.
                return Ok(active.execution_id.clone());
            }
            return Err(format!(
                "the runner is busy with execution {} of {}; stop it or wait for its end",
                active.execution_id, active.workflow_name
            ));
        }
        let command = RunWorkflow::read(message)?;
        let prepared = execution::prepare(&self.link, command).await.map_err(|error| format!("{error:#}"))?;
        let (execution_id, workflow_name) =
            (prepared.execution_id.clone(), prepared.workflow_name().to_owned());
        self.link.log_context(Some(&execution_id), None);
        tracing::info!(execution_id, "execution {execution_id} starts");
        self.link.pulse.change(|health| {
            health.operational = Operational::Processing;
            health.note = format!("runs {workflow_name} as {execution_id}");
            health.active = 1;
            health.metadata.insert("control_queue".into(), self.control_queue.clone().into());
            health.metadata.insert("execution_id".into(), execution_id.clone().into());
            health.metadata.insert("workflow_name".into(), workflow_name.clone().into());
        });
        let stop = Stop::default();
        let (report, progress) = watch::channel(Progress::default());
        let task = tokio::spawn(execution::drive(self.link.clone(), prepared, report, stop.clone()));
        self.active =
            Some(Active { execution_id: execution_id.clone(), workflow_name, stop, progress, task });
        Ok(execution_id)
    }

    /// Who has seen the final status of an execution may start the next at once: wait for what is left of it.
    async fn let_end(&mut self) {
        let Some(active) = &mut self.active else { return };
        if !active.progress.borrow().ending {
            return;
        }
        if let Ok(outcome) = tokio::time::timeout(ENDING, &mut active.task).await {
            self.ended(outcome);
        }
    }

    async fn stop_workflow(&mut self, message: &Incoming) {
        let wanted = message.execution_id.as_deref();
        let answer = match (&self.active, too_old(message)) {
            (_, Some(reason)) => json!({ "accepted": false, "execution_id": wanted, "reason": reason }),
            (None, None) => {
                json!({ "accepted": false, "execution_id": wanted, "reason": "no workflow runs here now" })
            }
            (Some(active), None) if wanted.is_some_and(|wanted| wanted != active.execution_id) => json!({
                "accepted": false, "execution_id": wanted,
                "reason": format!("the execution that runs here now is {}", active.execution_id),
            }),
            (Some(active), None) => {
                active.stop.now("stopped by command");
                json!({ "accepted": true, "execution_id": active.execution_id })
            }
        };
        tracing::info!("stop asked: {answer}");
        reply(&self.link, message, "stop_workflow_reply", answer).await;
    }
}
