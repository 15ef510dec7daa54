//! What is done to the core from time to time: sweeping and looking.

use std::{collections::BTreeMap, time::Duration};

use super::{Core, Kind, now_ms};
use crate::broker::config::{DestinationStats, Stats};

/// A destination without messages and subscribers is forgotten after this time.
const IDLE: Duration = Duration::from_secs(60);

impl Core {
    /// Drops what has expired and forgets destinations that nobody uses.
    pub fn sweep(&mut self) {
        let now = now_ms();
        let ids: Vec<u64> = self.queues.keys().copied().collect();
        for id in ids {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            let expired = queue.take_expired(now);
            let unused = matches!(queue.kind, Kind::Shared)
                && queue.count == 0
                && queue.consumers.is_empty()
                && queue.used.elapsed() > IDLE;
            self.drop_entries(id, &expired);
            if unused {
                self.remove_queue(id);
            }
        }
        self.end_abandoned();
        self.topics.retain(|_, topic| {
            !topic.queues.is_empty() || topic.used.is_some_and(|used| used.elapsed() < IDLE)
        });
    }

    /// A picture of every destination.
    pub fn stats(&self) -> Stats {
        let mut destinations: BTreeMap<String, DestinationStats> = BTreeMap::new();
        for (name, topic) in &self.topics {
            let stats = destinations.entry(name.clone()).or_default();
            (stats.delivered, stats.dropped) = (topic.delivered, topic.dropped);
        }
        for queue in self.queues.values() {
            let name = match &queue.kind {
                Kind::Private { topic, .. } => topic.clone(),
                _ => queue.key.to_string(),
            };
            let stats = destinations.entry(name).or_default();
            stats.depth += queue.count;
            stats.bytes += queue.bytes;
            stats.subscribers += queue.consumers.len();
            stats.delivered += queue.delivered;
            stats.dropped += queue.dropped;
        }
        Stats {
            connections: 0,
            received: self.received,
            expired_subscriptions: self.expired_subscriptions,
            expired_messages: self.expired_messages,
            destinations,
        }
    }
}
