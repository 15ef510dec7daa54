//! A STOMP broker to embed.
//!
//! Connections share one core (`core.rs`) under a short lock; each has a task that reads and one that writes;
//! one more task commits to the store. Policies for those who cannot keep up are stated at [`BrokerLimits`].

mod address;
mod config;
mod core;
mod message;
mod outbox;
mod queue;
mod selector;
mod session;
mod store;
mod writer;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use config::{BareNames, BrokerConfig, BrokerLimits, DestinationStats, Stats};

use self::{
    core::Core,
    store::{Loaded, Store},
};
use crate::{Error, Frame};

/// How often expired messages and unused destinations are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// What all connections share.
struct Shared {
    config: Arc<BrokerConfig>,
    core: Mutex<Core>,
    store: Option<Store>,
    /// Unique to this start of the broker, so that message ids never repeat.
    node: String,
    last_message: AtomicU64,
    connections: AtomicUsize,
    cancel: CancellationToken,
}

impl Shared {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_message_id(&self) -> String {
        format!("swf-{}-{}", self.node, self.last_message.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A running broker. Dropping it ends it without waiting; [`Broker::shutdown`] waits.
///
/// `/topic/x` goes to every subscriber of that moment and to every durable subscription, `/queue/x` to one
/// consumer, in turn. Unacknowledged messages of a lost consumer go to another, with `redelivered:true` and a
/// `delivery-count`; after [`BrokerLimits::deliveries`] attempts to `/queue/DLQ.x`. A durable subscription is
/// asked for in the words of ActiveMQ, Artemis or RabbitMQ; see [`Flavour`](crate::Flavour). Queue messages
/// and messages for durable subscriptions are stored unless sent with `persistent:false`, and a RECEIPT comes
/// only after the commit. `expires` ends a message's life.
pub struct Broker {
    shared: Arc<Shared>,
    addr: SocketAddr,
    tasks: TaskTracker,
    _end: DropGuard,
}

impl Broker {
    /// Opens the data file, listens, and serves until shut down. Must be called within a Tokio runtime.
    pub async fn start(config: BrokerConfig) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: config.listen.to_string(), source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let config = Arc::new(config);
        let (store, loaded) = match &config.data_file {
            None => (None, Loaded::default()),
            Some(path) => {
                let (store, loaded) = Store::open(path, config.sync).await?;
                (Some(store), loaded)
            }
        };
        let core = Core::new(config.clone(), store.clone(), loaded)
            .map_err(|why| Error::Store { path: config.data_file.clone().unwrap_or_default(), why })?;
        let mut node = uuid::Uuid::new_v4().simple().to_string();
        node.truncate(12);
        let cancel = CancellationToken::new();
        let shared = Arc::new(Shared {
            config,
            core: Mutex::new(core),
            store,
            node,
            last_message: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            cancel: cancel.clone(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(accept(shared.clone(), listener, tasks.clone()));
        tasks.spawn(sweep(shared.clone()));
        tracing::info!(address = %addr, "message broker listens on {addr}");
        Ok(Self { shared, addr, tasks, _end: cancel.drop_guard() })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it is doing now.
    pub fn stats(&self) -> Stats {
        let connections = self.shared.connections.load(Ordering::Relaxed);
        Stats { connections, ..self.shared.core().stats() }
    }

    /// Sends a message of the broker's own, as if a client had; it is kept in memory only. Returns before a
    /// subscriber has it.
    pub fn send(&self, destination: &str, body: impl Into<bytes::Bytes>) -> Result<(), Error> {
        let refused = |reason| Error::Refused { operation: format!("send to {destination}"), reason };
        let address = address::parse(destination, 0).map_err(refused)?;
        let frame = Frame::new("SEND")
            .with("destination", destination)
            .with("persistent", "false")
            .with("content-type", "application/json")
            .with_body(body);
        let message = message::Message::from_send(self.shared.next_message_id(), frame).map_err(refused)?;
        self.shared.core().send(&address, message).map(|_| ()).map_err(refused)
    }

    /// Closes every connection, writes what is not yet on the disk and closes the file.
    pub async fn shutdown(self) {
        self.shared.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(store) = &self.shared.store {
            store.close().await;
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, tasks: TaskTracker) {
    let mut last_session = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.cancel.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                last_session += 1;
                let open = shared.connections.fetch_add(1, Ordering::AcqRel);
                let full = open >= shared.config.limits.connections;
                let shared = shared.clone();
                tasks.spawn(async move {
                    session::run(shared.clone(), socket, last_session, full).await;
                    shared.connections.fetch_sub(1, Ordering::AcqRel);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: a moment may help, a busy loop would not.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = ticks.tick() => shared.core().sweep(),
            () = shared.cancel.cancelled() => return,
        }
    }
}
