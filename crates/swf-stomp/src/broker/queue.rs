//! One line of waiting messages and the consumers that share it.
//!
//! A queue has one, and so has each subscription to a topic: a topic is a set of lines.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::{
    message::Message,
    outbox::{Delivery, Outbox},
    selector::Selector,
};
use crate::AckMode;

/// Whose line it is.
#[derive(Debug)]
pub(super) enum Kind {
    /// `/queue/x`.
    Shared,
    /// A queue that ends with its connection.
    Temporary { session: u64 },
    /// A durable subscription: lives on without its subscriber.
    Durable { topic: String, selector: Option<Selector>, selector_text: Option<String> },
    /// A subscription to a topic that ends with its connection.
    Private { topic: String, selector: Option<Selector> },
}

/// A message in a line.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Orders entries; the store's key too.
    pub seq: u64,
    pub message: Arc<Message>,
    /// Deliveries that were begun and not acknowledged.
    pub attempts: u32,
    pub stored: bool,
}

/// One subscription in force.
pub(super) struct Consumer {
    pub session: u64,
    pub outbox: Arc<Outbox>,
    pub subscription: Arc<str>,
    pub queue: u64,
    pub ack: AckMode,
    pub selector: Option<Selector>,
    /// Deliveries under way at most.
    pub window: usize,
    /// Deliveries under way by their number. Those of an automatic subscription end when they are written.
    pub unsettled: BTreeMap<u64, Entry>,
    /// Entries before this one were looked at and did not match the selector.
    cursor: u64,
}

impl Consumer {
    pub fn new(session: u64, outbox: Arc<Outbox>, subscription: &str, queue: u64, ack: AckMode) -> Self {
        Self {
            session,
            outbox,
            subscription: subscription.into(),
            queue,
            ack,
            selector: None,
            window: 1,
            unsettled: BTreeMap::new(),
            cursor: 0,
        }
    }

    fn deliver(&mut self, id: u64, number: u64, entry: Entry) {
        self.outbox.deliver(Delivery {
            consumer: id,
            number,
            subscription: self.subscription.clone(),
            acknowledged: self.ack != AckMode::Auto,
            attempts: entry.attempts,
            message: entry.message.clone(),
        });
        self.unsettled.insert(number, entry);
    }
}

/// A line.
pub(super) struct Queue {
    /// `/queue/x`, or the topic and what tells its subscriptions apart.
    pub key: Arc<str>,
    pub kind: Kind,
    ready: BTreeMap<u64, Entry>,
    /// Ready and unsettled entries.
    pub count: usize,
    /// Their bytes.
    pub bytes: usize,
    pub consumers: Vec<u64>,
    turn: usize,
    /// Ready entries that will expire.
    expiring: usize,
    pub delivered: u64,
    pub dropped: u64,
    pub used: Instant,
    /// Since when the subscriber of a durable subscription is away, in milliseconds of Unix time.
    pub away: Option<u64>,
}

impl Queue {
    pub fn new(key: &str, kind: Kind) -> Self {
        Self {
            key: key.into(),
            kind,
            ready: BTreeMap::new(),
            count: 0,
            bytes: 0,
            consumers: Vec::new(),
            turn: 0,
            expiring: 0,
            delivered: 0,
            dropped: 0,
            used: Instant::now(),
            away: None,
        }
    }

    /// Whether its persistent messages go to the store.
    pub fn is_kept(&self) -> bool {
        matches!(self.kind, Kind::Shared | Kind::Durable { .. })
    }

    /// Whether a message on its topic concerns it.
    pub fn wants(&self, message: &Message) -> bool {
        match &self.kind {
            Kind::Durable { selector: Some(selector), .. }
            | Kind::Private { selector: Some(selector), .. } => selector.matches(&message.headers),
            _ => true,
        }
    }

    pub fn add(&mut self, entry: Entry) {
        self.count += 1;
        self.bytes += entry.message.size();
        self.make_ready(entry);
    }

    /// Puts an entry that was under way back into its old place.
    pub fn put_back(&mut self, entry: Entry, consumers: &mut std::collections::HashMap<u64, Consumer>) {
        for id in &self.consumers {
            if let Some(consumer) = consumers.get_mut(id) {
                consumer.cursor = consumer.cursor.min(entry.seq);
            }
        }
        self.make_ready(entry);
    }

    fn make_ready(&mut self, entry: Entry) {
        self.used = Instant::now();
        self.expiring += usize::from(entry.message.expires.is_some());
        self.ready.insert(entry.seq, entry);
    }

    /// An entry that left the line for good.
    pub fn forget(&mut self, entry: &Entry) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry.message.size());
    }

    /// Takes every ready entry out, for a line that ends.
    pub fn take_all(&mut self) -> Vec<Entry> {
        self.expiring = 0;
        std::mem::take(&mut self.ready).into_values().collect()
    }

    /// Takes out the ready entries whose time is over.
    pub fn take_expired(&mut self, now_ms: u64) -> Vec<Entry> {
        if self.expiring == 0 {
            return Vec::new();
        }
        let over: Vec<u64> = self
            .ready
            .values()
            .filter(|entry| entry.message.expired(now_ms))
            .map(|entry| entry.seq)
            .collect();
        let taken: Vec<Entry> = over.iter().filter_map(|seq| self.ready.remove(seq)).collect();
        self.expiring = self.expiring.saturating_sub(taken.len());
        taken
    }

    fn next_for(&mut self, consumer: &mut Consumer) -> Option<Entry> {
        let entry = match &consumer.selector {
            None => self.ready.pop_first()?.1,
            Some(selector) => {
                let found = self
                    .ready
                    .range(consumer.cursor..)
                    .find(|(_, entry)| selector.matches(&entry.message.headers))
                    .map(|(seq, _)| *seq);
                match found {
                    Some(seq) => {
                        consumer.cursor = seq + 1;
                        self.ready.remove(&seq)?
                    }
                    None => {
                        let last = self.ready.last_key_value().map_or(0, |(seq, _)| seq + 1);
                        consumer.cursor = consumer.cursor.max(last);
                        return None;
                    }
                }
            }
        };
        self.expiring = self.expiring.saturating_sub(usize::from(entry.message.expires.is_some()));
        Some(entry)
    }

    /// Hands ready entries to consumers in turn, one each, as far as their windows allow. The entries that
    /// had expired come back.
    pub fn dispatch(
        &mut self,
        consumers: &mut std::collections::HashMap<u64, Consumer>,
        last_delivery: &mut u64,
        now_ms: u64,
    ) -> Vec<Entry> {
        let mut expired = Vec::new();
        let mut idle = 0;
        while idle < self.consumers.len() && !self.ready.is_empty() {
            self.turn = (self.turn + 1) % self.consumers.len();
            let Some(id) = self.consumers.get(self.turn).copied() else { break };
            let Some(consumer) =
                consumers.get_mut(&id).filter(|consumer| consumer.unsettled.len() < consumer.window)
            else {
                idle += 1;
                continue;
            };
            match self.next_for(consumer) {
                None => idle += 1,
                Some(entry) if entry.message.expired(now_ms) => expired.push(entry),
                Some(entry) => {
                    *last_delivery += 1;
                    consumer.deliver(id, *last_delivery, entry);
                    idle = 0;
                }
            }
        }
        expired
    }
}

/// The deliveries that an acknowledgement is about.
pub(super) enum Which<'a> {
    /// By the number of the delivery (1.2).
    Number(u64),
    /// By the message's id (1.0 and 1.1).
    MessageId(&'a str),
}

impl Consumer {
    /// Takes out what an acknowledgement covers; nothing when it is about no delivery under way.
    pub fn settle(&mut self, which: &Which<'_>) -> Vec<Entry> {
        let number = match which {
            Which::Number(number) => Some(*number).filter(|number| self.unsettled.contains_key(number)),
            Which::MessageId(id) => {
                self.unsettled.iter().find(|(_, entry)| entry.message.id == *id).map(|(number, _)| *number)
            }
        };
        let Some(number) = number else { return Vec::new() };
        if self.ack == AckMode::Client {
            let later = self.unsettled.split_off(&(number + 1));
            return std::mem::replace(&mut self.unsettled, later).into_values().collect();
        }
        self.unsettled.remove(&number).into_iter().collect()
    }

    /// Takes out everything under way, with whether its writing was begun.
    pub fn take_all(&mut self, unbegun: &HashSet<u64>) -> Vec<(Entry, bool)> {
        std::mem::take(&mut self.unsettled)
            .into_iter()
            .map(|(number, entry)| (entry, !unbegun.contains(&number)))
            .collect()
    }
}
