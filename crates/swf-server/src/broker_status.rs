//! Figures of the embedded broker, which is a process without HTTP: it tells them on a topic, and they become
//! gauges of `/metrics` here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use swf_tools::Service;
use tokio_util::sync::CancellationToken;

/// Where the embedded broker tells its figures.
pub const TOPIC: &str = "/topic/swf.broker.status";
/// Destinations told at most: those with the longest backlog.
const MOST: usize = 100;

/// What is told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// Clients connected.
    pub connections: usize,
    /// Messages taken since the start of the broker.
    pub received: u64,
    /// Durable subscriptions ended since then because nobody came back for them.
    pub expired_subscriptions: u64,
    /// Messages dropped with them.
    pub expired_messages: u64,
    /// Messages and bytes waiting, by queue and durable subscription.
    pub waiting: BTreeMap<String, (usize, usize)>,
}

impl Status {
    /// From what the broker says of itself.
    pub fn of(stats: &swf_stomp::Stats) -> Status {
        let mut waiting: Vec<(&String, (usize, usize))> = stats
            .destinations
            .iter()
            .filter(|(name, _)| name.contains('#') || name.starts_with("/queue/"))
            .map(|(name, d)| (name, (d.depth, d.bytes)))
            .collect();
        waiting.sort_by_key(|(_, (depth, _))| std::cmp::Reverse(*depth));
        Status {
            connections: stats.connections,
            received: stats.received,
            expired_subscriptions: stats.expired_subscriptions,
            expired_messages: stats.expired_messages,
            waiting: waiting.into_iter().take(MOST).map(|(name, d)| (name.clone(), d)).collect(),
        }
    }
}

/// Takes figures until `shutdown`.
pub async fn run(service: Arc<Service>, shutdown: CancellationToken) {
    let Some(bus) = &service.bus else { return };
    let subscribed = tokio::select! {
        () = shutdown.cancelled() => return,
        subscribed = bus.listen_to(TOPIC) => subscribed,
    };
    let mut told = match subscribed {
        Ok(told) => told,
        Err(e) => return tracing::info!("the broker tells no figures: {e}"),
    };
    let mut shown = BTreeSet::new();
    loop {
        let delivery = tokio::select! {
            () = shutdown.cancelled() => return,
            delivery = told.next() => delivery,
        };
        let Some(delivery) = delivery else { return };
        match serde_json::from_slice::<Status>(&delivery.body) {
            Ok(status) => show(&status, &mut shown),
            Err(e) => tracing::debug!("figures of the broker cannot be read: {e}"),
        }
    }
}

fn show(status: &Status, shown: &mut BTreeSet<String>) {
    metrics::gauge!("swf_broker_connections").set(status.connections as f64);
    metrics::counter!("swf_broker_received_total").absolute(status.received);
    metrics::counter!("swf_broker_expired_subscriptions_total").absolute(status.expired_subscriptions);
    metrics::counter!("swf_broker_expired_subscription_messages_total").absolute(status.expired_messages);
    let gauges = |name: &str, messages: usize, bytes: usize| {
        let name = name.to_owned();
        metrics::gauge!("swf_broker_waiting_messages", "destination" => name.clone()).set(messages as f64);
        metrics::gauge!("swf_broker_waiting_bytes", "destination" => name).set(bytes as f64);
    };
    // What is not told any more is empty or gone.
    shown.iter().filter(|name| !status.waiting.contains_key(*name)).for_each(|name| gauges(name, 0, 0));
    for (name, (messages, bytes)) in &status.waiting {
        gauges(name, *messages, *bytes);
    }
    *shown = status.waiting.keys().cloned().collect();
}
