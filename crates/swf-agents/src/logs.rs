//! Log shipping: a tracing layer with a bounded queue, and a task that sends batches to the monitor.
//!
//! *Invariant:* writing a log record never waits. When the queue is full, records are dropped and counted, and the
//! next batch says how many were.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use serde_json::{Value, json};
use swf_client::{Client, LogRow};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// So many records wait at most.
const CAPACITY: usize = 4096;
/// So many records go in one call.
const BATCH: usize = 200;
/// Records are collected for so long.
const LINGER: Duration = Duration::from_millis(500);
/// A call is tried again for so long; then its records are dropped and counted.
const PATIENCE: Duration = Duration::from_secs(60);
/// At exit the last records may take so long.
const LAST_CALL: Duration = Duration::from_secs(2);
/// Targets whose records would make further records when they are shipped.
const OWN: [&str; 7] = ["swf_client", "swf_stomp", "swf_agents::logs", "reqwest", "hyper", "h2", "rustls"];

/// Add this layer to the process' subscriber.
#[derive(Debug, Clone)]
pub struct LogLayer {
    records: mpsc::Sender<LogRow>,
    shared: Arc<Shared>,
    level: Level,
}

/// Give this to [`crate::Config::logs`].
#[derive(Debug, Clone)]
pub struct LogQueue {
    records: Arc<Mutex<Option<mpsc::Receiver<LogRow>>>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    /// Not yet told to the monitor.
    untold: AtomicU64,
    context: RwLock<Option<Value>>,
    flush: Notify,
    flushed: Notify,
    shipping: std::sync::atomic::AtomicBool,
}

impl Shared {
    fn drop_records(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        self.untold.fetch_add(count, Ordering::Relaxed);
    }
}

/// A layer and the queue behind it. Records below `level` are left out.
pub fn log_shipping(level: Level) -> (LogLayer, LogQueue) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let shared = Arc::new(Shared::default());
    let layer = LogLayer { records: sender, shared: Arc::clone(&shared), level };
    (layer, LogQueue { records: Arc::new(Mutex::new(Some(receiver))), shared })
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let meta = event.metadata();
        if *meta.level() > self.level || OWN.iter().any(|own| meta.target().starts_with(own)) {
            return;
        }
        let (level, levelname) = match *meta.level() {
            Level::ERROR => (40, "ERROR"),
            Level::WARN => (30, "WARNING"),
            Level::INFO => (20, "INFO"),
            Level::DEBUG | Level::TRACE => (10, "DEBUG"),
        };
        let mut text = Text::default();
        event.record(&mut text);
        let row = LogRow {
            app_name: String::new(),
            instance_name: String::new(),
            timestamp: crate::now(),
            level,
            levelname: levelname.to_owned(),
            message: text.message + &text.fields,
            module: meta.module_path().unwrap_or_default().to_owned(),
            funcname: meta.target().rsplit("::").next().unwrap_or_default().to_owned(),
            lineno: meta.line().unwrap_or(0),
            process: std::process::id(),
            thread: thread_number(),
            extra_data: self.shared.context.read().map_or(None, |context| context.clone()),
        };
        if self.records.try_send(row).is_err() {
            self.shared.drop_records(1);
        }
    }
}

/// The standard library shows the number of a thread only in its debug text.
fn thread_number() -> u64 {
    let text = format!("{:?}", std::thread::current().id());
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

/// The message of an event, and its fields as ` key=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(self.fields, " {}={value}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

impl LogQueue {
    /// Records dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// What following records carry as `extra_data`.
    pub fn set_context(&self, namespace: &str, user: &str, execution_id: Option<&str>, run_id: Option<&str>) {
        let mut context = json!({ "namespace": namespace, "username": user });
        for (key, value) in [("execution_id", execution_id), ("run_id", run_id)] {
            if let (Some(value), Some(context)) = (value, context.as_object_mut()) {
                context.insert(key.to_owned(), value.into());
            }
        }
        if let Ok(mut shared) = self.shared.context.write() {
            *shared = Some(context);
        }
    }

    /// Start shipping under this name. Later calls do nothing.
    pub fn ship(
        &self,
        client: Client,
        app_name: &'static str,
        instance_name: &str,
        shutdown: CancellationToken,
    ) {
        let Some(records) = self.records.lock().ok().and_then(|mut records| records.take()) else { return };
        self.shared.shipping.store(true, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        let instance_name = instance_name.to_owned();
        tokio::spawn(async move {
            let mut shipper = Shipper { client, app_name, instance_name, records, shared, stopping: false };
            shipper.run(shutdown).await;
        });
    }

    /// Ship what waits, within a short time. For the end of the process.
    pub async fn flush(&self) {
        if self.shared.shipping.load(Ordering::Relaxed) {
            let flushed = self.shared.flushed.notified();
            self.shared.flush.notify_one();
            // A monitor that is away must not hold up the exit.
            let _ = tokio::time::timeout(LAST_CALL, flushed).await;
        }
    }
}

struct Shipper {
    client: Client,
    app_name: &'static str,
    instance_name: String,
    records: mpsc::Receiver<LogRow>,
    shared: Arc<Shared>,
    stopping: bool,
}

impl Shipper {
    async fn run(&mut self, shutdown: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                taken = self.records.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    if batch.len() < BATCH && !self.stopping {
                        tokio::select! {
                            () = tokio::time::sleep(LINGER) => {}
                            () = shared.flush.notified() => self.stopping = true,
                        }
                        while batch.len() < BATCH {
                            match self.records.try_recv() {
                                Ok(row) => batch.push(row),
                                Err(_) => break,
                            }
                        }
                    }
                }
                () = shared.flush.notified() => self.stopping = true,
            }
            if !batch.is_empty() {
                let patience = if shutdown.is_cancelled() || self.stopping { LAST_CALL } else { PATIENCE };
                self.send(batch, patience).await;
            }
            if self.stopping && self.records.is_empty() {
                self.shared.flushed.notify_one();
                self.stopping = false;
            }
        }
    }

    async fn send(&self, mut batch: Vec<LogRow>, patience: Duration) {
        for row in &mut batch {
            self.app_name.clone_into(&mut row.app_name);
            self.instance_name.clone_into(&mut row.instance_name);
        }
        let untold = self.shared.untold.swap(0, Ordering::Relaxed);
        if untold > 0
            && let Some(first) = batch.first().cloned()
        {
            let message =
                format!("{untold} log records were dropped because the monitor did not take them in time");
            batch.push(LogRow { level: 30, levelname: "WARNING".into(), message, ..first });
        }
        if let Err(error) = self.client.patient(patience).record_logs(&batch).await {
            self.shared.drop_records(batch.len() as u64 + untold);
            tracing::warn!(%error, records = batch.len(), "log records could not be shipped");
        }
    }
}
