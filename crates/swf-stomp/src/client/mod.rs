//! A client that keeps one connection alive for ever.
//!
//! *Invariant:* no answer of the broker and no loss of the connection ends the client; only
//! [`Client::shutdown`] (or dropping every handle) does.
//! *Invariant:* a message is sent again after a reconnect until its receipt has come, so it arrives at least
//! once; receivers tell repetitions by a header of the sender's own.

mod config;
mod engine;
mod subscriptions;
mod transport;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use config::{AckMode, ClientConfig, Flavour, Message, Subscribe, Tls, TlsIdentity};

use crate::{Error, Headers};

/// The state of the connection, as it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether the broker has let us in.
    pub connected: bool,
    /// Since when that is so.
    pub since: SystemTime,
    /// How often a connection was made after the first.
    pub reconnects: u64,
    /// Why the last attempt failed or the last connection was lost.
    pub last_error: Option<String>,
}

/// What handles ask of the task that owns the connection.
#[derive(Debug)]
enum Command {
    Send {
        message: Message,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Subscribe {
        number: u64,
        subscribe: Box<Subscribe>,
        deliveries: mpsc::UnboundedSender<Raw>,
        reply: Subscribed,
    },
    Unsubscribe {
        subscription: u64,
        forget: bool,
        reply: Option<oneshot::Sender<()>>,
    },
    Acknowledge(Acknowledge),
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}

type Subscribed = oneshot::Sender<Result<(), Error>>;

/// What a MESSAGE frame must be acknowledged with.
#[derive(Debug, Clone)]
struct Acknowledge {
    /// The connection it came over; on a later one its acknowledgement means nothing.
    connection: u64,
    positive: bool,
    headers: Arc<Headers>,
}

/// A delivery on its way from the task to the subscription.
#[derive(Debug)]
struct Raw {
    headers: Headers,
    body: Bytes,
    /// Left out when the subscription acknowledges automatically.
    acknowledge: Option<Acknowledge>,
}

/// Rough memory of a delivery, counted against [`ClientConfig::receive_buffer`].
fn weight(headers: &Headers, body: &Bytes) -> usize {
    headers.iter().map(|(key, value)| key.len() + value.len() + 48).sum::<usize>() + body.len() + 128
}

/// The deliveries that wait in all subscriptions together.
#[derive(Debug, Default)]
struct Buffered {
    /// The connection in use; what came over an earlier one and waits for its consumer comes again.
    connection: AtomicU64,
    bytes: AtomicUsize,
    taken: Notify,
}

/// A handle to the connection; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    buffered: Arc<Buffered>,
    last_subscription: Arc<AtomicU64>,
    send_timeout: Duration,
}

impl Client {
    /// Returns at once; a task connects, and connects again for as long as the client lives. Must be called
    /// within a Tokio runtime.
    pub fn start(config: ClientConfig) -> Self {
        let (commands, inbox) = mpsc::channel(1024);
        let initial = Status { connected: false, since: SystemTime::now(), reconnects: 0, last_error: None };
        let (report, status) = watch::channel(initial);
        let buffered = Arc::new(Buffered::default());
        let send_timeout = config.send_timeout;
        tokio::spawn(engine::run(config, inbox, report, buffered.clone()));
        Self { commands, status, buffered, last_subscription: Arc::default(), send_timeout }
    }

    /// Waits until the broker has let us in.
    pub async fn connected(&self, timeout: Duration) -> Result<(), Error> {
        let mut status = self.status.clone();
        match tokio::time::timeout(timeout, status.wait_for(|status| status.connected)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(self.timed_out("the connection".into(), timeout)),
        }
    }

    /// The state of the connection, to read or to wait on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Subscribes, and again after each reconnect. Resolves when the broker has confirmed; with the broker
    /// out of reach it resolves all the same after [`ClientConfig::send_timeout`], and the subscription is
    /// made as soon as there is a connection. A broker that refuses is an error and nothing is remembered.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<Subscription, Error> {
        let operation = format!("subscribe to {}", subscribe.destination);
        let number = self.last_subscription.fetch_add(1, Ordering::Relaxed) + 1;
        let (deliveries, inbox) = mpsc::unbounded_channel();
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Subscribe { number, subscribe: Box::new(subscribe), deliveries, reply }).await?;
        let (commands, buffered) = (self.commands.clone(), self.buffered.clone());
        let subscription = Subscription { number, inbox, commands, buffered, ended: false };
        match tokio::time::timeout(self.send_timeout, answer).await {
            Ok(Ok(confirmed)) => confirmed.map(|()| subscription),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) if self.status.borrow().connected => Err(self.timed_out(operation, self.send_timeout)),
            Err(_) => Ok(subscription),
        }
    }

    /// Sends and waits for the broker's receipt. If the connection breaks meanwhile the message is sent again
    /// on the next one, up to [`ClientConfig::send_timeout`] in all. After a timeout the message may or may
    /// not have arrived.
    pub async fn send(&self, message: Message) -> Result<(), Error> {
        let operation = format!("send to {}", message.destination);
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.ask(Command::Send { message, reply }).await?;
            answer.await.map_err(|_| Error::Closed)?
        };
        match tokio::time::timeout(self.send_timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(self.timed_out(operation, self.send_timeout)),
        }
    }

    /// Says good-bye: what was sent before is confirmed first, up to 5 s. Every other handle is closed too:
    /// subscriptions end and their operations fail with [`Error::Closed`].
    pub async fn shutdown(self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Shutdown { reply }).await.is_ok() {
            // An error means that the task has ended already, which is what we want.
            let _ = done.await;
        }
    }

    async fn ask(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| Error::Closed)
    }

    fn timed_out(&self, operation: String, after: Duration) -> Error {
        Error::Timeout { operation, after, last_error: self.status.borrow().last_error.clone() }
    }
}

/// A subscription and the messages that came for it. Dropping it ends it at the broker; a durable one then
/// goes on collecting messages there.
#[derive(Debug)]
pub struct Subscription {
    number: u64,
    inbox: mpsc::UnboundedReceiver<Raw>,
    commands: mpsc::Sender<Command>,
    buffered: Arc<Buffered>,
    ended: bool,
}

impl Subscription {
    /// The next message; `None` when the client was shut down. Safe to cancel. Messages to be acknowledged
    /// that came over a connection which broke meanwhile are skipped: the broker delivers them again.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let Raw { headers, body, acknowledge } = self.inbox.recv().await?;
            self.buffered.bytes.fetch_sub(weight(&headers, &body), Ordering::AcqRel);
            self.buffered.taken.notify_one();
            let current = self.buffered.connection.load(Ordering::Acquire);
            if acknowledge.as_ref().is_none_or(|acknowledge| acknowledge.connection == current) {
                return Some(Delivery { headers, body, acknowledge, commands: self.commands.clone() });
            }
        }
    }

    /// Ends the subscription; a durable one is deleted at the broker with what waits in it. Messages that
    /// were delivered but not acknowledged go back to the queue. Without a connection at this moment a durable
    /// one stays at the broker and only this client forgets it.
    pub async fn unsubscribe(mut self) {
        self.ended = true;
        let (reply, done) = oneshot::channel();
        let command = Command::Unsubscribe { subscription: self.number, forget: true, reply: Some(reply) };
        if self.commands.send(command).await.is_ok() {
            // An error means that the task has ended, and the subscription with it.
            let _ = done.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.inbox.close();
        while let Ok(raw) = self.inbox.try_recv() {
            self.buffered.bytes.fetch_sub(weight(&raw.headers, &raw.body), Ordering::AcqRel);
        }
        self.buffered.taken.notify_one();
        if !self.ended {
            let command = Command::Unsubscribe { subscription: self.number, forget: false, reply: None };
            // When the channel is full the task notices at the next message that nobody listens.
            let _ = self.commands.try_send(command);
        }
    }
}

/// One message received.
#[derive(Debug)]
pub struct Delivery {
    /// Headers of the MESSAGE frame.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    acknowledge: Option<Acknowledge>,
    commands: mpsc::Sender<Command>,
}

impl Delivery {
    /// The destination it was sent to, as the broker names it; empty if it names none.
    pub fn destination(&self) -> &str {
        self.headers.get("destination").unwrap_or_default()
    }

    /// The broker's id of the message; empty if it gave none. Stays the same when the message is redelivered.
    pub fn message_id(&self) -> &str {
        self.headers.get("message-id").unwrap_or_default()
    }

    /// Whether the broker says that it delivered this message before.
    pub fn redelivered(&self) -> bool {
        self.headers.get("redelivered") == Some("true")
    }

    /// Tells the broker that the message was dealt with; resolves when that is on its way. On a subscription
    /// that acknowledges automatically, and after a reconnect (the broker then delivers the message again),
    /// it does nothing and is no error.
    pub async fn ack(&self) -> Result<(), Error> {
        self.answer(true).await
    }

    /// Tells the broker that the message was not dealt with. Our broker and RabbitMQ deliver it again,
    /// ActiveMQ moves it to its dead-letter queue.
    pub async fn nack(&self) -> Result<(), Error> {
        self.answer(false).await
    }

    async fn answer(&self, positive: bool) -> Result<(), Error> {
        let Some(acknowledge) = self.acknowledge.clone() else { return Ok(()) };
        let command = Command::Acknowledge(Acknowledge { positive, ..acknowledge });
        self.commands.send(command).await.map_err(|_| Error::Closed)
    }
}
