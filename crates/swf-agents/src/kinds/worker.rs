//! Slice worker: takes slices, spends their time, returns results. In production PanDA's workers do this.
//!
//! *Invariant:* a slice is acknowledged after the broker has its result, so the slices of a killed worker go to
//! another one.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use swf_stomp::{Delivery, Subscription};
use tokio_util::sync::CancellationToken;

use crate::agent::{
    Config, Incoming, Kind, Link, Operational, Outgoing, acknowledge, derived_uid, is_transient, read, start,
    turn_down,
};

/// Slices at hand at a time when nobody says otherwise; the original asks PanDA for 30 workers.
const CONCURRENCY: usize = 30;
/// Runs whose slice time is remembered.
const REMEMBERED: usize = 64;
/// Slices done that are remembered, to answer a slice sent twice without doing it twice.
const DONE: usize = 50_000;
/// Longest pause before a result is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(crate) async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let destinations = [config.place(&config.slices_destination), config.workers_destination.clone()];
    let table = config.testbed.agent_settings("worker");
    let in_file = table.get("concurrency").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let concurrency = config.concurrency.or(in_file).unwrap_or(CONCURRENCY).clamp(1, 10_000);
    // Slices that wait here could be with another worker.
    let prefetch = u32::try_from(concurrency * 2).unwrap_or(u32::MAX);
    let started = start(Kind::Worker, config, &destinations, prefetch, shutdown).await?;
    let Some(started) = started else { return Ok(()) };
    started.live(async |link, subscriptions| work(link, subscriptions, concurrency).await).await
}

async fn work(link: Link, subscriptions: Vec<Subscription>, concurrency: usize) -> anyhow::Result<()> {
    let mut subscriptions = subscriptions.into_iter();
    let (Some(mut slices), Some(mut runs)) = (subscriptions.next(), subscriptions.next()) else {
        anyhow::bail!("the worker's subscriptions were not made");
    };
    let mut seconds_of_run = HashMap::new();
    let done = RefCell::new(Done::default());
    let mut jobs = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = link.shutdown.cancelled() => return Ok(()),
            Some(()) = jobs.next(), if !jobs.is_empty() => {
                if jobs.is_empty() {
                    link.pulse.set(Operational::Ready, "");
                }
            }
            delivery = runs.next() => {
                let Some(delivery) = delivery else { return Ok(()) };
                if let Some(message) = accept(&link, delivery).await {
                    learn(&message, &mut seconds_of_run);
                    acknowledge(&message.delivery).await;
                }
            }
            delivery = slices.next(), if jobs.len() < concurrency => {
                let Some(delivery) = delivery else { return Ok(()) };
                if let Some(message) = accept(&link, delivery).await {
                    if jobs.is_empty() {
                        link.log_context(message.execution_id.as_deref(), message.run_id.as_deref());
                        link.pulse.set(Operational::Processing, "");
                    }
                    let known = done.borrow().contains(&message.uid);
                    let seconds = if known { 0.0 } else { slice_seconds(&message, &seconds_of_run) };
                    jobs.push(slice(&link, message, seconds, &done));
                }
            }
        }
    }
}

async fn accept(link: &Link, delivery: Delivery) -> Option<Incoming> {
    match read(delivery, &link.config.namespace) {
        Ok(message) => Some(message),
        Err((delivery, refused)) => {
            turn_down(link, &delivery, &refused).await;
            None
        }
    }
}

/// A run announces how long its slices take.
fn learn(message: &Incoming, seconds_of_run: &mut HashMap<String, f64>) {
    let Some(run_id) = message.run_id.clone() else { return };
    match message.msg_type.as_str() {
        "run_imminent_worker" => {
            if seconds_of_run.len() >= REMEMBERED {
                seconds_of_run.clear();
            }
            let content = message.body.get("content").unwrap_or(&Value::Null);
            let realtime = content.get("realtime").and_then(Value::as_bool).unwrap_or(true);
            let seconds = content.get("slice_processing_time").and_then(Value::as_f64).unwrap_or(0.0);
            seconds_of_run.insert(run_id, if realtime { seconds } else { 0.0 });
        }
        "end_run" => {
            tracing::info!(run = run_id, "run {run_id} ended; slices that are still queued are processed");
        }
        _ => {}
    }
}

/// The slice's own header, because topic and queue have no common order; else what the run announced.
fn slice_seconds(message: &Incoming, seconds_of_run: &HashMap<String, f64>) -> f64 {
    let own = message.delivery.headers.get("slice-seconds").and_then(|text| text.parse::<f64>().ok());
    let announced = message.run_id.as_ref().and_then(|run_id| seconds_of_run.get(run_id).copied());
    own.or(announced).filter(|seconds| seconds.is_finite()).unwrap_or(0.0).clamp(0.0, 86_400.0)
}

/// Uids of slices this worker has done, the oldest forgotten first.
#[derive(Default)]
struct Done {
    uids: HashSet<String>,
    order: VecDeque<String>,
}

impl Done {
    fn contains(&self, uid: &str) -> bool {
        self.uids.contains(uid)
    }

    fn add(&mut self, uid: &str) {
        if !uid.is_empty() && self.uids.insert(uid.to_owned()) {
            self.order.push_back(uid.to_owned());
            if self.order.len() > DONE
                && let Some(oldest) = self.order.pop_front()
            {
                self.uids.remove(&oldest);
            }
        }
    }
}

async fn slice(link: &Link, message: Incoming, seconds: f64, done: &RefCell<Done>) {
    let content = message.body.get("content").unwrap_or(&Value::Null);
    if message.run_id.is_none() || content.get("slice_id").is_none() || content.get("tf_filename").is_none() {
        link.pulse.change(|health| health.failed += 1);
        tracing::error!(body = %content, "left out a slice without run_id, slice_id or tf_filename");
        return acknowledge(&message.delivery).await;
    }
    let started = crate::now();
    if seconds > 0.0 {
        report(link, &message, content, "processing", &started).await;
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
    report(link, &message, content, "done", &started).await;
    done.borrow_mut().add(&message.uid);
    acknowledge(&message.delivery).await;
    link.pulse.change(|health| {
        health.handled += 1;
        health.done += 1;
    });
}

/// Send a result until the broker has it.
async fn report(link: &Link, message: &Incoming, content: &Value, state: &str, started: &str) {
    let done = state == "done";
    let body = json!({
        "msg_type": "slice_result",
        "run_id": message.value("run_id"),
        "content": {
            "state": state,
            "result": { "result": {
                "slice_id": content.get("slice_id"), "tf_filename": content.get("tf_filename"),
                "processed": done, "state": state,
            } },
            "hostname": link.config.hostname,
            "worker": link.name,
            "panda_task_id": null,
            "panda_id": null,
            "harvester_id": null,
            "processing_start_at": started,
            "processed_at": if done { Value::from(crate::now()) } else { Value::Null },
        },
    });
    let execution_id = content.get("execution_id").and_then(Value::as_str).unwrap_or_default();
    let outgoing = Outgoing::new(
        link.config.place(&link.config.results_destination),
        derived_uid(&message.uid, "slice_result", state),
        body,
    )
    .with("vo", "eic")
    .with("execution_id", execution_id);
    let mut pause = Duration::from_millis(250);
    loop {
        match link.send(outgoing.clone()).await {
            Ok(()) => return,
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::warn!("a slice result is not with the broker yet: {error:#}");
                if !is_transient(&error) {
                    // The broker refused the message itself; the next worker would fare no better.
                    return;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
