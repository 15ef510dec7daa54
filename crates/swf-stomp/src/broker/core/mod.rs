//! Who gets which message: topics, queues, subscriptions and their ceilings.
//!
//! *Invariant:* everything here is quick and synchronous; the core's lock is never held across an await.
//! *Invariant:* the store is told of changes under the lock, so it sees them in the order they happened.

mod durable;
mod upkeep;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::{
    address::Address,
    config::{BareNames, BrokerConfig},
    message::{Message, now_ms},
    outbox::Outbox,
    queue::{Consumer, Entry, Kind, Queue, Which},
    selector::Selector,
    store::{Change, DurableRow, Loaded, Row, Store},
};
use crate::AckMode;

/// Deliveries under way for a subscription that acknowledges automatically: enough to keep its writer busy.
const AUTO_WINDOW: usize = 1000;

/// A subscription as the session read it from the frame.
pub(super) struct Wanted {
    pub session: u64,
    pub outbox: Arc<Outbox>,
    pub subscription: String,
    pub address: Address,
    pub ack: AckMode,
    pub selector: Option<String>,
    /// Client id and name of a durable subscription.
    pub durable: Option<(String, String)>,
    pub window: Option<usize>,
}

#[derive(Default)]
struct Topic {
    queues: Vec<u64>,
    /// Counts of subscriptions that have ended.
    delivered: u64,
    dropped: u64,
    used: Option<Instant>,
}

/// All state that connections share.
pub(super) struct Core {
    config: Arc<BrokerConfig>,
    store: Option<Store>,
    /// Changes of the transaction that is being applied.
    group: Option<Vec<Change>>,
    queues: HashMap<u64, Queue>,
    /// Queues and durable subscriptions by key.
    by_key: HashMap<Arc<str>, u64>,
    topics: HashMap<String, Topic>,
    consumers: HashMap<u64, Consumer>,
    last_id: u64,
    last_seq: u64,
    last_delivery: u64,
    received: u64,
    expired_subscriptions: u64,
    expired_messages: u64,
}

impl Core {
    /// The core with what the store had kept.
    pub fn new(config: Arc<BrokerConfig>, store: Option<Store>, loaded: Loaded) -> Result<Self, String> {
        let mut core = Self {
            config,
            store,
            group: None,
            queues: HashMap::new(),
            by_key: HashMap::new(),
            topics: HashMap::new(),
            consumers: HashMap::new(),
            last_id: 0,
            last_seq: 0,
            last_delivery: 0,
            received: 0,
            expired_subscriptions: 0,
            expired_messages: 0,
        };
        for durable in loaded.durables {
            let id = core.add_durable(&durable.key, &durable.topic, durable.selector)?;
            if let Some(queue) = core.queues.get_mut(&id) {
                // A subscriber that was there when the broker died is away from now on.
                queue.away = Some(durable.away.unwrap_or_else(now_ms));
            }
        }
        for Row { seq, place, message } in loaded.rows {
            core.last_seq = core.last_seq.max(seq);
            let id = core.shared_queue(&place);
            if let Some(queue) = core.queues.get_mut(&id) {
                queue.add(Entry { seq, message, attempts: 0, stored: true });
            }
        }
        Ok(core)
    }

    /// Puts a message where its destination says. True when the store has something to commit for it. An
    /// error is the ceiling that was reached, and then the message is nowhere.
    pub fn send(&mut self, address: &Address, mut message: Message) -> Result<bool, String> {
        let address = self.resolve(address, false);
        self.make_room(&address, 1, message.size())?;
        self.received += 1;
        match &address {
            Address::Topic(key) => {
                message.destination.clone_from(key);
                let message = Arc::new(message);
                let Some(topic) = self.topics.get_mut(key) else { return Ok(false) };
                topic.used = Some(Instant::now());
                let mut stored = false;
                for id in topic.queues.clone() {
                    if self.queues.get(&id).is_some_and(|queue| queue.wants(&message)) {
                        stored |= self.add(id, message.clone());
                    }
                }
                Ok(stored)
            }
            Address::Queue(key) | Address::Bare(key) => {
                message.destination.clone_from(key);
                let id = self.shared_queue(key);
                Ok(self.add(id, Arc::new(message)))
            }
        }
    }

    /// Whether so many messages of so many bytes fit where they are to go.
    pub fn check_room(&self, address: &Address, messages: usize, bytes: usize) -> Result<(), String> {
        let address = self.resolve(address, false);
        let limits = &self.config.limits;
        let full = |queue: &Queue| {
            queue.is_kept()
                && (queue.count + messages > limits.backlog_messages
                    || queue.bytes + bytes > limits.backlog_bytes)
        };
        let queues: Vec<&Queue> = match &address {
            Address::Topic(key) => self
                .topics
                .get(key)
                .map(|topic| topic.queues.iter().filter_map(|id| self.queues.get(id)).collect())
                .unwrap_or_default(),
            Address::Queue(key) | Address::Bare(key) => match self.by_key.get(key.as_str()) {
                Some(id) => self.queues.get(id).into_iter().collect(),
                None => return self.check_destinations(),
            },
        };
        match queues.into_iter().find(|queue| full(queue)) {
            None => Ok(()),
            Some(queue) => Err(format!(
                "{} is full: {} messages of {} bytes wait there, the limits are {} messages and {} bytes; \
                 consume them or raise the limits",
                queue.key, queue.count, queue.bytes, limits.backlog_messages, limits.backlog_bytes
            )),
        }
    }

    /// Adds a subscription; the number of its consumer.
    pub fn subscribe(&mut self, wanted: Wanted) -> Result<u64, String> {
        let selector = wanted.selector.as_deref().map(Selector::parse).transpose()?;
        let address = self.resolve(&wanted.address, wanted.durable.is_some());
        let mut consumer_selector = None;
        let queue = match (&address, &wanted.durable) {
            (Address::Topic(topic), Some((client_id, name))) => {
                self.open_durable(topic, (client_id, name), wanted.selector)?
            }
            (Address::Topic(topic), None) => {
                self.check_destinations()?;
                let key = format!("{topic}#{}/{}", wanted.session, wanted.subscription);
                let id = self.add_queue(&key, Kind::Private { topic: topic.clone(), selector });
                self.topics.entry(topic.clone()).or_default().queues.push(id);
                id
            }
            (Address::Queue(key) | Address::Bare(key), _) => {
                if !self.by_key.contains_key(key.as_str()) {
                    self.check_destinations()?;
                }
                consumer_selector = selector;
                self.shared_queue_of(key, wanted.session)
            }
        };
        self.last_id += 1;
        let id = self.last_id;
        let mut consumer =
            Consumer::new(wanted.session, wanted.outbox, &wanted.subscription, queue, wanted.ack);
        consumer.selector = consumer_selector;
        consumer.window = match (wanted.ack, wanted.window) {
            (AckMode::Auto, None) => AUTO_WINDOW,
            (_, window) => window.unwrap_or(self.config.limits.prefetch),
        };
        self.consumers.insert(id, consumer);
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.consumers.push(id);
            queue.used = Instant::now();
        }
        self.note_presence(queue);
        self.dispatch(queue);
        Ok(id)
    }

    /// Ends a subscription; what it had not acknowledged goes to others.
    pub fn unsubscribe(&mut self, consumer: u64) {
        self.remove_consumer(consumer, false);
    }

    /// Settles deliveries of a consumer: done, or to be delivered again. Unknown ones are left alone, for
    /// after a reconnect clients acknowledge what they got before: `None`. True when the store has work.
    pub fn acknowledge(&mut self, id: u64, session: u64, which: &Which<'_>, positive: bool) -> Option<bool> {
        let consumer = self.consumers.get_mut(&id).filter(|consumer| consumer.session == session)?;
        let queue = consumer.queue;
        let entries = consumer.settle(which);
        if entries.is_empty() {
            return None;
        }
        let stored = entries.iter().any(|entry| entry.stored);
        for entry in entries {
            if positive {
                self.done(queue, &entry);
            } else {
                self.again(queue, entry, true);
            }
        }
        self.dispatch(queue);
        Some(stored)
    }

    /// Deliveries to automatic subscriptions that were written to their connection.
    pub fn written(&mut self, deliveries: &[(u64, u64)]) {
        let mut queues = Vec::new();
        for (id, number) in deliveries {
            let Some(consumer) = self.consumers.get_mut(id) else { continue };
            let queue = consumer.queue;
            if let Some(entry) = consumer.unsettled.remove(number) {
                self.done(queue, &entry);
                if !queues.contains(&queue) {
                    queues.push(queue);
                }
            }
        }
        for queue in queues {
            self.dispatch(queue);
        }
    }

    /// Ends everything that belongs to a connection.
    pub fn end_session(&mut self, session: u64, consumers: &[u64]) {
        for consumer in consumers {
            self.remove_consumer(*consumer, true);
        }
        let temporary: Vec<u64> = self
            .queues
            .iter()
            .filter(|(_, queue)| matches!(queue.kind, Kind::Temporary { session: owner } if owner == session))
            .map(|(id, _)| *id)
            .collect();
        for id in temporary {
            self.remove_queue(id);
        }
    }

    /// Applies the steps of a transaction; the store commits what they change together.
    pub fn together<T>(&mut self, steps: impl FnOnce(&mut Self) -> T) -> T {
        self.group = Some(Vec::new());
        let result = steps(self);
        let changes = self.group.take().unwrap_or_default();
        if !changes.is_empty() {
            self.tell(Change::Group(changes));
        }
        result
    }

    /// What a bare name stands for now; everything else stands for itself.
    fn resolve(&self, address: &Address, durable: bool) -> Address {
        let Address::Bare(name) = address else { return address.clone() };
        let topic = format!("/topic/{name}");
        let is_topic = durable
            || self.config.multicast.contains(name)
            || match self.config.bare_names {
                BareNames::Topic => true,
                BareNames::Queue => false,
                BareNames::Follow => self.topics.get(&topic).is_some_and(|topic| !topic.queues.is_empty()),
            };
        if is_topic { Address::Topic(topic) } else { Address::Queue(format!("/queue/{name}")) }
    }

    fn check_destinations(&self) -> Result<(), String> {
        let limit = self.config.limits.destinations;
        if self.queues.len() + self.topics.len() < limit {
            return Ok(());
        }
        Err(format!("there are {limit} queues, topics and subscriptions already, the limit of this broker"))
    }

    fn add_queue(&mut self, key: &str, kind: Kind) -> u64 {
        self.last_id += 1;
        let queue = Queue::new(key, kind);
        if !matches!(queue.kind, Kind::Private { .. }) {
            self.by_key.insert(queue.key.clone(), self.last_id);
        }
        self.queues.insert(self.last_id, queue);
        self.last_id
    }

    fn shared_queue(&mut self, key: &str) -> u64 {
        self.shared_queue_of(key, 0)
    }

    fn shared_queue_of(&mut self, key: &str, session: u64) -> u64 {
        if let Some(id) = self.by_key.get(key) {
            return *id;
        }
        let own = key.strip_prefix("/remote-temp-queue/").and_then(|name| name.split_once('.'));
        let kind = match own {
            Some((owner, _)) => Kind::Temporary { session: owner.parse().unwrap_or(session) },
            None => Kind::Shared,
        };
        self.add_queue(key, kind)
    }

    /// Adds a message to one line and hands out what can be; true when it goes to the store.
    fn add(&mut self, id: u64, message: Arc<Message>) -> bool {
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        self.last_seq += 1;
        let stored = message.persistent && queue.is_kept() && self.store.is_some();
        let entry = Entry { seq: self.last_seq, message: message.clone(), attempts: 0, stored };
        queue.add(entry);
        let place = queue.key.clone();
        let limits = &self.config.limits;
        let overrun = matches!(queue.kind, Kind::Private { .. } | Kind::Temporary { .. })
            && (queue.count > limits.subscriber_messages || queue.bytes > limits.subscriber_bytes);
        if stored {
            self.tell(Change::Insert(Row { seq: self.last_seq, place, message }));
        }
        self.dispatch(id);
        if overrun {
            self.overrun(id);
        }
        stored
    }

    /// Disconnects the subscribers of a line that has grown too long and drops what waits there.
    fn overrun(&mut self, id: u64) {
        let limits = self.config.limits.clone();
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let key = queue.key.clone();
        let why = format!(
            "subscriber too slow: more than {} messages or {} bytes wait for {key}, the limits for subscribers \
             that are not durable",
            limits.subscriber_messages, limits.subscriber_bytes
        );
        tracing::warn!(destination = %key, "slow subscriber disconnected");
        let consumers = queue.consumers.clone();
        let entries = queue.take_all();
        self.drop_entries(id, &entries);
        for consumer in consumers {
            if let Some(consumer) = self.consumers.get(&consumer) {
                consumer.outbox.fail(&why, None);
            }
            self.remove_consumer(consumer, true);
        }
    }

    fn dispatch(&mut self, id: u64) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let expired = queue.dispatch(&mut self.consumers, &mut self.last_delivery, now_ms());
        self.drop_entries(id, &expired);
    }

    fn drop_entries(&mut self, id: u64, entries: &[Entry]) {
        for entry in entries {
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.forget(entry);
                queue.dropped += 1;
            }
            self.unstore(entry);
        }
    }

    fn done(&mut self, id: u64, entry: &Entry) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.forget(entry);
            queue.delivered += 1;
        }
        self.unstore(entry);
    }

    fn unstore(&mut self, entry: &Entry) {
        if entry.stored {
            self.tell(Change::Delete(entry.seq));
        }
    }

    fn tell(&mut self, change: Change) {
        match (&mut self.group, &self.store) {
            (Some(group), _) => group.push(change),
            (None, Some(store)) => store.tell(change),
            (None, None) => {}
        }
    }

    /// Puts an entry back, or among the dead letters when it was tried too often.
    fn again(&mut self, id: u64, mut entry: Entry, begun: bool) {
        entry.attempts += u32::from(begun);
        let limit = self.config.limits.deliveries;
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let name = match &queue.kind {
            Kind::Shared => queue.key.strip_prefix("/queue/").unwrap_or(&queue.key).to_owned(),
            Kind::Durable { topic, .. } => topic.strip_prefix("/topic/").unwrap_or(topic).to_owned(),
            _ => String::new(),
        };
        if entry.attempts < limit || name.is_empty() || name.starts_with("DLQ.") {
            queue.put_back(entry, &mut self.consumers);
            return;
        }
        let reason = format!("not acknowledged after {} deliveries from {}", entry.attempts, queue.key);
        tracing::warn!(message.id = %entry.message.id, "message moved to the dead letters: {reason}");
        queue.forget(&entry);
        let key = format!("/queue/DLQ.{name}");
        let dead = entry.message.dead(&key, &reason);
        let address = Address::Queue(key);
        if let Err(why) = self.check_room(&address, 1, dead.size()) {
            tracing::error!(message.id = %entry.message.id, "message was lost: {why}");
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.dropped += 1;
            }
        } else {
            let dead_letters = self.shared_queue(match &address {
                Address::Queue(key) | Address::Topic(key) | Address::Bare(key) => key,
            });
            self.add(dead_letters, Arc::new(dead));
        }
        self.unstore(&entry);
    }

    fn remove_consumer(&mut self, id: u64, connection_ended: bool) {
        let Some(mut consumer) = self.consumers.remove(&id) else { return };
        let unbegun: HashSet<u64> = consumer.outbox.take_back(Some(id));
        let queue_id = consumer.queue;
        let private = match self.queues.get_mut(&queue_id) {
            Some(queue) => {
                queue.consumers.retain(|other| *other != id);
                queue.used = Instant::now();
                matches!(queue.kind, Kind::Private { .. })
            }
            None => return,
        };
        self.note_presence(queue_id);
        for (entry, begun) in consumer.take_all(&unbegun) {
            if begun && consumer.ack == AckMode::Auto && (private || !connection_ended) {
                self.done(queue_id, &entry);
            } else if private {
                self.drop_entries(queue_id, std::slice::from_ref(&entry));
            } else {
                self.again(queue_id, entry, begun);
            }
        }
        if private {
            self.remove_queue(queue_id);
        } else {
            self.dispatch(queue_id);
        }
    }

    /// Removes a line that has no consumers, with what waits there.
    fn remove_queue(&mut self, id: u64) {
        let Some(mut queue) = self.queues.remove(&id) else { return };
        if self.by_key.get(&queue.key) == Some(&id) {
            self.by_key.remove(&queue.key);
        }
        let durable = matches!(queue.kind, Kind::Durable { .. });
        if durable {
            self.tell(Change::DropDurable(queue.key.to_string()));
        } else {
            for entry in queue.take_all() {
                self.unstore(&entry);
            }
        }
        if let Kind::Durable { topic, .. } | Kind::Private { topic, .. } = &queue.kind
            && let Some(topic) = self.topics.get_mut(topic)
        {
            topic.queues.retain(|other| *other != id);
            topic.delivered += queue.delivered;
            topic.dropped += queue.dropped;
            topic.used = Some(Instant::now());
        }
    }
}
