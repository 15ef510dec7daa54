//! What waits to be written to one connection.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::message::Message;
use crate::{Frame, Version, encode};

/// Answers that may wait before the connection is not read any further.
const ANSWERS_LIMIT: usize = 1 << 20;

/// One thing to write.
pub(super) enum Out {
    /// RECEIPT, ERROR, CONNECTED.
    Answer(Bytes),
    Delivery(Delivery),
}

/// One message for one subscription.
pub(super) struct Delivery {
    pub consumer: u64,
    pub number: u64,
    pub subscription: Arc<str>,
    /// Whether the client acknowledges it.
    pub acknowledged: bool,
    pub attempts: u32,
    pub message: Arc<Message>,
}

#[derive(Default)]
struct Inner {
    list: VecDeque<Out>,
    answer_bytes: usize,
    version: Version,
    closing: bool,
    beat: Option<Duration>,
}

/// Filled under the core's lock and by the connection's reader, emptied by its writer. The number of
/// deliveries is bounded by the prefetch windows of the subscriptions, the answers by not reading on.
#[derive(Default)]
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    filled: Notify,
    emptied: Notify,
    /// Told when the connection is to end: the writer then has little time left.
    pub ending: Notify,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_version(&self, version: Version) {
        self.lock().version = version;
    }

    pub fn deliver(&self, delivery: Delivery) {
        let mut inner = self.lock();
        if !inner.closing {
            inner.list.push_back(Out::Delivery(delivery));
            drop(inner);
            self.filled.notify_one();
        }
    }

    pub fn answer(&self, frame: &Frame) {
        let mut inner = self.lock();
        if !inner.closing {
            inner.push_answer(frame);
            drop(inner);
            self.filled.notify_one();
        }
    }

    /// Write something at least this often.
    pub fn set_beat(&self, beat: Duration) {
        self.lock().beat = Some(beat);
    }

    pub fn beat(&self) -> Option<Duration> {
        self.lock().beat
    }

    /// Whether the connection is to end.
    pub fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Answers a frame that asked for a receipt.
    pub fn receipt(&self, id: &str) {
        self.answer(&Frame::new("RECEIPT").with("receipt-id", id));
    }

    /// Ends the connection after what is waiting.
    pub fn close(&self) {
        self.end(None);
    }

    /// Ends the connection with an ERROR that says why.
    pub fn fail(&self, why: &str, receipt: Option<&str>) {
        let mut frame = Frame::new("ERROR").with("message", why.lines().next().unwrap_or_default());
        if let Some(receipt) = receipt {
            frame = frame.with("receipt-id", receipt);
        }
        frame = frame.with("version", "1.0,1.1,1.2").with("content-type", "text/plain");
        self.end(Some(&frame.with_body(why.as_bytes().to_vec())));
    }

    fn end(&self, last: Option<&Frame>) {
        let mut inner = self.lock();
        if inner.closing {
            return;
        }
        if let Some(frame) = last {
            inner.push_answer(frame);
        }
        inner.closing = true;
        drop(inner);
        self.filled.notify_one();
        self.ending.notify_one();
    }

    /// Takes back the deliveries that were not begun to be written; their numbers.
    pub fn take_back(&self, consumer: Option<u64>) -> HashSet<u64> {
        let mut taken = HashSet::new();
        self.lock().list.retain(|out| match out {
            Out::Delivery(delivery) if consumer.is_none_or(|consumer| consumer == delivery.consumer) => {
                taken.insert(delivery.number);
                false
            }
            _ => true,
        });
        taken
    }

    /// Waits for something to write; `None` when the connection is to end and all is written.
    pub async fn next(&self, most: usize, batch: &mut Vec<Out>) -> Option<Version> {
        loop {
            {
                let mut inner = self.lock();
                let count = inner.list.len().min(most);
                if count > 0 {
                    batch.extend(inner.list.drain(..count));
                    inner.answer_bytes = inner.answer_bytes.saturating_sub(
                        batch
                            .iter()
                            .map(|out| if let Out::Answer(bytes) = out { bytes.len() } else { 0 })
                            .sum(),
                    );
                    let version = inner.version;
                    drop(inner);
                    self.emptied.notify_one();
                    return Some(version);
                }
                if inner.closing {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Waits until the client has taken enough of its answers.
    pub async fn room(&self) {
        loop {
            {
                let inner = self.lock();
                if inner.closing || inner.answer_bytes < ANSWERS_LIMIT {
                    return;
                }
            }
            self.emptied.notified().await;
        }
    }
}

impl Inner {
    fn push_answer(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        encode(frame, self.version, &mut bytes);
        self.answer_bytes += bytes.len();
        self.list.push_back(Out::Answer(bytes.freeze()));
    }
}
