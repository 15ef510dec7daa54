//! What the embedded broker is told, and what it tells about itself.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use crate::Limits;

/// What a destination without `/topic/` or `/queue/` in front means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BareNames {
    /// The topic of that name while it has subscribers (durable ones count when away), else the queue; much
    /// like an Artemis address. A durable subscription is always one to the topic.
    #[default]
    Follow,
    /// Always the queue, as in ActiveMQ Classic and RabbitMQ.
    Queue,
    /// Always the topic.
    Topic,
}

/// Ceilings, so that no client can make the broker grow without bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerLimits {
    /// Size of one frame; a larger one is answered with an ERROR that names the limit.
    pub frame: Limits,
    /// Connections at one time; 1000. Further ones get an ERROR.
    pub connections: usize,
    /// Queues, topics and subscriptions to topics together; 10,000. Beyond it SEND and SUBSCRIBE get an ERROR.
    pub destinations: usize,
    /// Messages waiting in one queue or durable subscription, unacknowledged ones included; 1,000,000. Beyond
    /// it SEND gets an ERROR.
    pub backlog_messages: usize,
    /// Bytes waiting in one queue or durable subscription; 256 MiB. Beyond it SEND gets an ERROR.
    pub backlog_bytes: usize,
    /// Messages waiting for one non-durable subscriber of a topic; 100,000. Beyond it that subscriber is
    /// disconnected with an ERROR; senders and other subscribers are not held up.
    pub subscriber_messages: usize,
    /// Bytes waiting for one non-durable subscriber of a topic; 64 MiB; same policy.
    pub subscriber_bytes: usize,
    /// Messages sent ahead of their acknowledgement when SUBSCRIBE says nothing of it
    /// (`prefetch-count` or `activemq.prefetchSize`); 100.
    pub prefetch: usize,
    /// How often a message is tried before it goes to `/queue/DLQ.<name>`; 10.
    pub deliveries: u32,
    /// Bytes held by the open transactions of one connection; 64 MiB.
    pub transaction_bytes: usize,
    /// Time for a new connection to log in; 10 s.
    pub log_in: Duration,
    /// A durable subscription whose subscriber has been away for so long ends, with its messages; 7 days.
    /// `None`: never.
    pub durable_idle: Option<Duration>,
    /// One whose backlog has reached this share, in percent, of the limits above, while its subscriber has
    /// been away for [`BrokerLimits::durable_grace`], ends too, before senders are refused; 80. Above 100:
    /// never.
    pub durable_share: usize,
    /// Time a subscriber may be away before the share counts; 60 s.
    pub durable_grace: Duration,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            frame: Limits::default(),
            connections: 1000,
            destinations: 10_000,
            backlog_messages: 1_000_000,
            backlog_bytes: 256 << 20,
            subscriber_messages: 100_000,
            subscriber_bytes: 64 << 20,
            prefetch: 100,
            deliveries: 10,
            transaction_bytes: 64 << 20,
            log_in: Duration::from_secs(10),
            durable_idle: Some(Duration::from_secs(7 * 24 * 3600)),
            durable_share: 80,
            durable_grace: Duration::from_secs(60),
        }
    }
}

/// How to run the embedded broker. Start from [`BrokerConfig::new`].
#[derive(Clone)]
pub struct BrokerConfig {
    /// Address to listen on; port 0 takes a free one, see [`Broker::addr`](crate::Broker::addr).
    pub listen: SocketAddr,
    /// SQLite file for messages that must survive; made if absent. Without one everything is in memory.
    pub data_file: Option<PathBuf>,
    /// Waits for the disk at each commit, so that messages survive a power failure too. Without it (the
    /// default) they survive the death of the process, and a power failure may cost the last moments.
    pub sync: bool,
    /// Passcodes by login; nobody is asked for one when left out.
    pub logins: Option<HashMap<String, String>>,
    /// What a destination without a prefix means.
    pub bare_names: BareNames,
    /// Bare names that always mean the topic, whatever [`BrokerConfig::bare_names`] says.
    pub multicast: HashSet<String>,
    /// Client ids whose durable subscriptions never end by themselves: what they miss would be lost, so
    /// senders are refused instead when their backlog is full.
    pub kept_clients: HashSet<String>,
    /// Heart-beat interval wished for from clients that offer one; those silent for twice the agreed time
    /// are disconnected.
    pub heart_beat: Duration,
    /// Ceilings.
    pub limits: BrokerLimits,
}

impl BrokerConfig {
    /// In memory, without logins, heart-beats of 10 s.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            data_file: None,
            sync: false,
            logins: None,
            bare_names: BareNames::default(),
            multicast: HashSet::new(),
            kept_clients: HashSet::new(),
            heart_beat: Duration::from_secs(10),
            limits: BrokerLimits::default(),
        }
    }
}

impl Default for BrokerConfig {
    /// [`BrokerConfig::new`] on 127.0.0.1, port 61613.
    fn default() -> Self {
        Self::new((Ipv4Addr::LOCALHOST, 61613).into())
    }
}

impl std::fmt::Debug for BrokerConfig {
    /// Leaves the passcodes out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("listen", &self.listen)
            .field("data_file", &self.data_file)
            .field("logins", &self.logins.as_ref().map(|logins| logins.keys().collect::<Vec<_>>()))
            .field("bare_names", &self.bare_names)
            .field("multicast", &self.multicast)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// One queue, topic or durable subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DestinationStats {
    /// Messages waiting or unacknowledged.
    pub depth: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Subscriptions in force now.
    pub subscribers: usize,
    /// Messages dealt with: acknowledged, or written to a subscriber that acknowledges automatically.
    pub delivered: u64,
    /// Messages given up: expired, or waiting for a subscriber that fell too far behind.
    pub dropped: u64,
}

/// What the broker is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Clients connected now.
    pub connections: usize,
    /// Messages taken from senders since the start.
    pub received: u64,
    /// Durable subscriptions ended since the start because their subscriber did not come back.
    pub expired_subscriptions: u64,
    /// Messages that were dropped with them.
    pub expired_messages: u64,
    /// By destination: `/queue/x`, `/topic/x` (all non-durable subscribers together) and
    /// `/topic/x#<client-id>#<name>` for a durable subscription. One without messages and subscribers is
    /// forgotten after a minute.
    pub destinations: BTreeMap<String, DestinationStats>,
}
