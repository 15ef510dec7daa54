//! The clients of this process, and what all of them are sent.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::Stream;
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::filter::{Facts, Filter};
use super::queue::{Next, Queue};
use super::{Config, Event, books, frame};
use crate::ingest::Captured;

/// Heartbeats that a client may leave untaken before it counts as gone: ten minutes at the usual rate.
const MOST_MISSED: u32 = 20;
/// A message is known for so long: longer than the database is read back for.
const REMEMBERED: Duration = Duration::from_secs(120);
/// How finely heartbeats of different clients are spread over their interval.
const SLOTS: u64 = 30;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clients of this process.
#[derive(Debug)]
pub struct Hub {
    config: Config,
    clients: Mutex<HashMap<Uuid, Arc<Entry>>>,
    gone: Mutex<Vec<Arc<Entry>>>,
    joined: AtomicU64,
    known: Mutex<Known>,
    started: DateTime<Utc>,
}

/// Messages handed on lately: each can come from the capture and from the database.
#[derive(Debug, Default)]
struct Known {
    ids: HashSet<Uuid>,
    order: VecDeque<(Instant, Uuid)>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its id.
    pub id: Uuid,
    /// Key of its row.
    pub row: i64,
    /// What it wants.
    pub filter: Filter,
    /// Messages sent since the books were last written.
    pub sent: AtomicU32,
    /// Messages dropped since the books were last written.
    pub dropped: AtomicU32,
    queue: Mutex<Queue>,
    slot: u64,
}

impl Entry {
    /// From now on messages are queued for it.
    pub fn go_live(&self) {
        lock(&self.queue).go_live();
    }

    /// These messages were sent otherwise and are not queued again.
    pub fn already_sent(&self, ids: &[Uuid]) {
        lock(&self.queue).already_sent(ids);
    }

    /// Ends its stream.
    pub fn end(&self) {
        lock(&self.queue).close();
    }
}

impl Hub {
    /// Without clients.
    pub fn new(config: Config) -> Hub {
        Hub {
            config,
            clients: Mutex::default(),
            gone: Mutex::default(),
            joined: AtomicU64::new(0),
            known: Mutex::default(),
            started: Utc::now(),
        }
    }

    /// When it was made.
    pub(super) fn started(&self) -> DateTime<Utc> {
        self.started
    }

    /// Whether a message was handed on lately.
    pub(super) fn knows(&self, id: Uuid) -> bool {
        lock(&self.known).ids.contains(&id)
    }

    /// Notes a message as handed on; false when it was already.
    pub(super) fn first_time(&self, id: Uuid) -> bool {
        let mut known = lock(&self.known);
        while let Some((at, old)) = known.order.front().copied()
            && at.elapsed() > REMEMBERED
        {
            known.order.pop_front();
            known.ids.remove(&old);
        }
        let first = known.ids.insert(id);
        if first {
            known.order.push_back((Instant::now(), id));
        }
        first
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Clients at the moment.
    pub fn len(&self) -> usize {
        lock(&self.clients).len()
    }

    /// True without clients.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn clients(&self) -> Vec<Arc<Entry>> {
        lock(&self.clients).values().cloned().collect()
    }

    /// Clients that have left since the last call.
    pub(super) fn take_gone(&self) -> Vec<Arc<Entry>> {
        std::mem::take(&mut *lock(&self.gone))
    }

    /// Clients whose leaving could not be written yet.
    pub(super) fn put_back(&self, gone: Vec<Arc<Entry>>) {
        lock(&self.gone).extend(gone);
    }

    /// Takes in a client whose row is written; it gets messages at once, or when told.
    pub(super) fn join(self: &Arc<Hub>, row: books::Row, filter: Filter, live: bool) -> Client {
        let slot = self.joined.fetch_add(1, Ordering::Relaxed) % SLOTS;
        let entry = Arc::new(Entry {
            id: row.client,
            row: row.key,
            filter,
            sent: AtomicU32::new(0),
            dropped: AtomicU32::new(0),
            queue: Mutex::new(Queue::new(live)),
            slot,
        });
        lock(&self.clients).insert(entry.id, entry.clone());
        metrics::gauge!("swf_sse_clients").increment(1.0);
        Client { hub: self.clone(), entry }
    }

    fn leave(&self, id: Uuid) {
        if let Some(entry) = lock(&self.clients).remove(&id) {
            metrics::gauge!("swf_sse_clients").decrement(1.0);
            lock(&self.gone).push(entry);
        }
    }

    /// Hands captured messages on until `shutdown`, then ends all streams.
    pub(super) async fn relay(
        &self,
        mut messages: broadcast::Receiver<Captured>,
        shutdown: CancellationToken,
    ) {
        loop {
            let message = tokio::select! {
                () = shutdown.cancelled() => break,
                message = messages.recv() => message,
            };
            match message {
                Ok(message) => self.publish(&message),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!("{missed} messages were captured faster than the event stream takes them");
                    lock(&self.clients).values().for_each(|c| lock(&c.queue).lose(missed));
                }
                Err(RecvError::Closed) => break,
            }
        }
        lock(&self.clients).values().for_each(|c| lock(&c.queue).close());
    }

    /// Hands a message to the clients, once.
    pub(super) fn publish(&self, message: &Captured) {
        // The lock is held over both, so that who finds a message known finds it in the queues too.
        let clients = lock(&self.clients);
        if !self.first_time(message.id) || clients.is_empty() {
            return;
        }
        let event = Arc::new(Event {
            id: message.id,
            facts: Facts::of(&message.payload),
            bytes: frame::message(message.id, &message.payload),
        });
        for client in clients.values().filter(|c| c.filter.wants(&event.facts)) {
            let dropped = lock(&client.queue).offer(&event, &self.config);
            if dropped > 0 {
                client.dropped.fetch_add(dropped, Ordering::Relaxed);
                metrics::counter!("swf_sse_dropped_total").increment(dropped.into());
            }
        }
    }

    /// Sends each client a heartbeat per interval: one timer for all, and not all at one moment.
    pub(super) async fn beat(&self, shutdown: CancellationToken) {
        let step = self.config.heartbeat.div_f64(SLOTS as f64).max(Duration::from_millis(1));
        let mut steps = tokio::time::interval(step);
        steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut turn = 0;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = steps.tick() => {}
            }
            turn += 1;
            let now = Utc::now().timestamp_micros() as f64 / 1e6;
            let beat = frame::control("heartbeat", &json!({ "timestamp": now }));
            for client in lock(&self.clients).values().filter(|c| c.slot == turn % SLOTS) {
                let mut queue = lock(&client.queue);
                if !queue.beat(beat.clone(), MOST_MISSED) {
                    queue.close();
                }
            }
        }
    }
}

/// The stream of one client; dropped, the client has left.
#[derive(Debug)]
pub(super) struct Client {
    hub: Arc<Hub>,
    entry: Arc<Entry>,
}

impl Client {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.entry.id
    }

    /// Its entry.
    pub fn entry(&self) -> Arc<Entry> {
        self.entry.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.hub.leave(self.entry.id);
    }
}

impl Stream for Client {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = lock(&self.entry.queue).next(cx.waker());
        match next {
            Next::Event(event) => {
                self.entry.sent.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Ok(event.bytes.clone())))
            }
            Next::Control(bytes) => Poll::Ready(Some(Ok(bytes))),
            Next::Wait => Poll::Pending,
            Next::End => Poll::Ready(None),
        }
    }
}
