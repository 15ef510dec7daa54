//! One connection: reads frames and does what they say.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, tcp::OwnedReadHalf},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    address::{self, Address},
    core::Wanted,
    message::Message,
    outbox::Outbox,
    queue::Which,
    store::Change,
    writer::{self, LINGER},
};
use crate::{AckMode, Codec, Frame, FrameError, Version};

/// The shortest heart-beat interval that we promise.
const SHORTEST_BEAT: Duration = Duration::from_millis(1000);
/// Open transactions of one connection.
const TRANSACTIONS: usize = 1000;

/// Why a connection ends with an ERROR.
struct Refusal {
    why: String,
    receipt: Option<String>,
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        Self { why: error.to_string(), receipt: None }
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { why, receipt: None }
    }
}

/// What a transaction holds until its COMMIT.
enum Step {
    Send(Address, Box<Message>),
    Acknowledge { consumers: Vec<u64>, by: By, positive: bool },
}

/// How a client names the delivery that it acknowledges.
enum By {
    Number(u64),
    MessageId(String),
}

impl By {
    fn which(&self) -> Which<'_> {
        match self {
            Self::Number(number) => Which::Number(*number),
            Self::MessageId(id) => Which::MessageId(id),
        }
    }
}

struct Session {
    id: u64,
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    codec: Codec,
    /// Set when the client has logged in.
    version: Option<Version>,
    client_id: Option<String>,
    /// A client silent for longer is dead.
    silence: Option<Duration>,
    /// Consumers by the client's id of the subscription.
    subscriptions: HashMap<String, u64>,
    transactions: HashMap<String, Vec<Step>>,
    transaction_bytes: usize,
}

/// Serves a connection until it ends.
pub(super) async fn run(shared: Arc<Shared>, socket: TcpStream, id: u64, full: bool) {
    let outbox = Arc::new(Outbox::default());
    let ended: CancellationToken = shared.cancel.child_token();
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "connection without TCP_NODELAY");
    }
    let (mut reader, write_half) = socket.into_split();
    let mut writing = tokio::spawn(writer::run(shared.clone(), outbox.clone(), write_half, ended.clone()));
    let codec = Codec::new(shared.config.limits.frame);
    let mut session = Session {
        id,
        shared,
        outbox,
        codec,
        version: None,
        client_id: None,
        silence: None,
        subscriptions: HashMap::new(),
        transactions: HashMap::new(),
        transaction_bytes: 0,
    };
    let outcome = if full {
        let limit = session.shared.config.limits.connections;
        Err(format!("there are {limit} connections already, the limit of this broker").into())
    } else {
        tokio::select! {
            outcome = session.read(&mut reader) => outcome,
            () = ended.cancelled() => Ok(()),
        }
    };
    if let (Err(_), Some(store)) = (&outcome, &session.shared.store) {
        // Receipts of what was taken come before the ERROR, or the client would send it all again.
        store.flushed().await;
    }
    session.end(outcome);
    if timeout(LINGER * 2, &mut writing).await.is_err() {
        writing.abort();
    }
    if !session.shared.cancel.is_cancelled() {
        discard(reader).await;
    }
}

/// Reads away what the peer still sends: closing with unread input would reset the connection and might
/// cost the peer our last frame.
async fn discard(mut reader: OwnedReadHalf) {
    let mut waste = vec![0_u8; 16 << 10];
    let reading = async { while matches!(reader.read(&mut waste).await, Ok(count) if count > 0) {} };
    // A peer that neither closes nor falls silent is left to itself.
    let _ = timeout(LINGER, reading).await;
}

impl Session {
    async fn read(&mut self, reader: &mut OwnedReadHalf) -> Result<(), Refusal> {
        let mut buffer = BytesMut::with_capacity(16 << 10);
        let log_in_until = tokio::time::Instant::now() + self.shared.config.limits.log_in;
        loop {
            while let Some(frame) = self.codec.decode(&mut buffer)? {
                self.outbox.room().await;
                if let (Some(store), "SEND" | "COMMIT") = (&self.shared.store, frame.command.as_str()) {
                    store.room().await;
                }
                let receipt = frame.get("receipt").map(str::to_owned);
                let bye = frame.command == "DISCONNECT";
                let done = self.handle(frame).map_err(|why| Refusal { why, receipt: receipt.clone() })?;
                self.confirm(receipt, done, bye).await;
                if bye {
                    return Ok(());
                }
            }
            buffer.reserve(8 << 10);
            let silence = match self.version {
                None => Some(log_in_until.saturating_duration_since(tokio::time::Instant::now())),
                Some(_) => self.silence,
            };
            let read = match silence {
                None => reader.read_buf(&mut buffer).await,
                Some(silence) => match timeout(silence, reader.read_buf(&mut buffer)).await {
                    Ok(read) => read,
                    Err(_) if self.version.is_none() => {
                        return Err(
                            format!("no CONNECT within {:?}", self.shared.config.limits.log_in).into()
                        );
                    }
                    Err(_) => return Err(format!("no heart-beat from the client within {silence:?}").into()),
                },
            };
            // A broken connection ends the session like a closed one.
            if read.unwrap_or(0) == 0 {
                return Ok(());
            }
        }
    }

    /// Sends the receipt that was asked for, after the store has what the frame changed.
    async fn confirm(&self, receipt: Option<String>, stored: bool, bye: bool) {
        let Some(receipt) = receipt else { return };
        match &self.shared.store {
            Some(store) if bye => {
                store.flushed().await;
                self.outbox.receipt(&receipt);
            }
            Some(store) if stored => store.tell(Change::Receipt(self.outbox.clone(), receipt)),
            _ => self.outbox.receipt(&receipt),
        }
    }

    fn end(&mut self, outcome: Result<(), Refusal>) {
        let consumers: Vec<u64> = self.subscriptions.values().copied().collect();
        self.shared.core().end_session(self.id, &consumers);
        match outcome {
            Ok(()) => self.outbox.close(),
            Err(Refusal { why, receipt }) => {
                tracing::info!(session = self.id, client.id = self.client_id, "client refused: {why}");
                self.outbox.fail(&why, receipt.as_deref());
            }
        }
    }

    /// Does what a frame says. True when its receipt must wait for the store.
    fn handle(&mut self, frame: Frame) -> Result<bool, String> {
        match (frame.command.as_str(), self.version) {
            ("CONNECT" | "STOMP", None) => self.connect(&frame).map(|()| false),
            (other, None) => Err(format!("{other:?} before CONNECT; log in first")),
            ("SEND", _) => self.send(frame),
            ("SUBSCRIBE", _) => self.subscribe(&frame),
            ("UNSUBSCRIBE", _) => self.unsubscribe(&frame),
            ("ACK", _) => self.acknowledge(&frame, true),
            ("NACK", _) => self.acknowledge(&frame, false),
            ("BEGIN", _) => self.begin(&frame),
            ("COMMIT", _) => self.commit(&frame),
            ("ABORT", _) => self.take_transaction(&frame).map(|_| false),
            ("DISCONNECT", _) => Ok(false),
            ("CONNECT" | "STOMP", Some(_)) => Err("already connected".into()),
            (other, _) => Err(format!(
                "{other:?} is not one of SEND, SUBSCRIBE, UNSUBSCRIBE, ACK, NACK, BEGIN, COMMIT, ABORT, DISCONNECT"
            )),
        }
    }

    fn connect(&mut self, frame: &Frame) -> Result<(), String> {
        let version = match frame.get("accept-version") {
            None => Version::V1_0,
            Some(list) => Version::best_of(list)
                .ok_or_else(|| format!("accept-version: {list:?} has none of 1.0, 1.1, 1.2"))?,
        };
        self.check_login(frame)?;
        self.codec.set_version(version);
        self.outbox.set_version(version);
        self.version = Some(version);
        self.client_id = frame.get("client-id").filter(|id| !id.is_empty()).map(str::to_owned);
        let (sends, wants) =
            frame.get("heart-beat").and_then(|text| text.split_once(',')).unwrap_or(("0", "0"));
        let interval = |text: &str| Duration::from_millis(text.trim().parse().unwrap_or(0));
        let (sends, wants, ours) = (interval(sends), interval(wants), self.shared.config.heart_beat);
        if !sends.is_zero() && !ours.is_zero() {
            self.silence = Some(sends.max(ours) * 2 + SHORTEST_BEAT);
        }
        if !wants.is_zero() {
            self.outbox.set_beat(wants.max(SHORTEST_BEAT));
        }
        let answer = Frame::new("CONNECTED")
            .with("version", version.as_str())
            .with("server", concat!("swf-stomp/", env!("CARGO_PKG_VERSION")))
            .with("session", format!("{}-{}", self.shared.node, self.id))
            .with("heart-beat", format!("{},{}", SHORTEST_BEAT.as_millis(), ours.as_millis()));
        self.outbox.answer(&answer);
        tracing::debug!(session = self.id, client.id = self.client_id, %version, "client connected");
        Ok(())
    }

    fn check_login(&self, frame: &Frame) -> Result<(), String> {
        let Some(logins) = &self.shared.config.logins else { return Ok(()) };
        let login = frame.get("login").unwrap_or_default();
        let passcode = frame.get("passcode").unwrap_or_default();
        match logins.get(login) {
            Some(expected) if same(expected, passcode) => Ok(()),
            _ => Err(format!("login refused: no such login and passcode as {login:?} gave")),
        }
    }

    fn send(&mut self, frame: Frame) -> Result<bool, String> {
        let address = address::parse(required(&frame, "destination")?, self.id)?;
        let transaction = frame.get("transaction").map(str::to_owned);
        let mut frame = frame;
        if let Some(reply_to) = frame.get("reply-to").and_then(|text| address::reply_to(text, self.id)) {
            frame.headers.set("reply-to", reply_to);
        }
        let message = Message::from_send(self.shared.next_message_id(), frame)?;
        match transaction {
            None => self.shared.core().send(&address, message),
            Some(name) => {
                self.transaction_bytes += message.size();
                let limit = self.shared.config.limits.transaction_bytes;
                if self.transaction_bytes > limit {
                    return Err(format!(
                        "open transactions hold more than {limit} bytes, the limit of a connection"
                    ));
                }
                self.open_transaction(&name)?.push(Step::Send(address, Box::new(message)));
                Ok(false)
            }
        }
    }

    fn subscribe(&mut self, frame: &Frame) -> Result<bool, String> {
        let destination = required(frame, "destination")?;
        let id = match frame.get("id") {
            Some(id) => id,
            // In 1.0 the destination may stand for the subscription.
            None if self.version == Some(Version::V1_0) => destination,
            None => return Err("SUBSCRIBE needs an id header".into()),
        };
        if self.subscriptions.contains_key(id) {
            return Err(format!("subscription id {id:?} is in use on this connection"));
        }
        let ack: AckMode =
            frame.get("ack").unwrap_or("auto").parse().map_err(|error: crate::Error| error.to_string())?;
        let window = match ["prefetch-count", "activemq.prefetchSize"].iter().find_map(|name| frame.get(name))
        {
            // Zero has a meaning of its own in each broker; here it is "no wish".
            None | Some("0") => None,
            Some(text) => {
                let window = text.trim().parse::<u16>().ok().filter(|window| *window > 0);
                let wrong = || format!("prefetch: {text:?} is not a number of messages from 0 to 65535");
                Some(window.ok_or_else(wrong)?.into())
            }
        };
        let consumer = self.shared.core().subscribe(Wanted {
            session: self.id,
            outbox: self.outbox.clone(),
            subscription: id.to_owned(),
            address: address::parse(destination, self.id)?,
            ack,
            selector: frame.get("selector").filter(|text| !text.trim().is_empty()).map(str::to_owned),
            durable: self.durable(frame, id)?,
            window,
        })?;
        self.subscriptions.insert(id.to_owned(), consumer);
        // A new durable subscription is confirmed when it is on the disk.
        Ok(self.shared.store.is_some())
    }

    /// Client id and name, if the frame speaks of a durable subscription in any broker's words.
    fn durable(&self, frame: &Frame, id: &str) -> Result<Option<(String, String)>, String> {
        let names = ["durable-subscriber-name", "durable-subscription-name", "activemq.subscriptionName"];
        let client_id = frame.get("client-id").map(str::to_owned).or_else(|| self.client_id.clone());
        match names.iter().find_map(|name| frame.get(name)) {
            Some(name) => {
                let client_id =
                    client_id.ok_or("a durable subscription needs a client-id header in CONNECT")?;
                Ok(Some((client_id, name.to_owned())))
            }
            // RabbitMQ knows the subscription by its id alone.
            None if frame.get("durable") == Some("true") => {
                Ok(Some((client_id.unwrap_or_default(), id.to_owned())))
            }
            None => Ok(None),
        }
    }

    fn unsubscribe(&mut self, frame: &Frame) -> Result<bool, String> {
        let id = frame.get("id").or_else(|| frame.get("destination")).unwrap_or_default();
        let durable = self.durable(frame, id)?;
        let found = self.subscriptions.remove(id);
        if let Some(consumer) = found {
            self.shared.core().unsubscribe(consumer);
        }
        match durable {
            Some((client_id, name)) => {
                self.shared.core().forget_durable(&client_id, &name)?;
                Ok(true)
            }
            None if found.is_none() => {
                Err(format!("there is no subscription with id {id:?} on this connection"))
            }
            None => Ok(false),
        }
    }

    fn acknowledge(&mut self, frame: &Frame, positive: bool) -> Result<bool, String> {
        let id = frame.get("id");
        let (consumers, by) = match id.and_then(|id| id.split_once('-')) {
            Some((consumer, number)) if consumer.parse::<u64>().is_ok() && number.parse::<u64>().is_ok() => {
                (vec![consumer.parse().unwrap_or(0)], By::Number(number.parse().unwrap_or(0)))
            }
            _ => {
                let message_id = frame.get("message-id").or(id);
                let message_id = message_id.ok_or_else(|| {
                    format!("{} needs an id header (1.2) or a message-id header", frame.command)
                })?;
                let consumers = match frame.get("subscription") {
                    Some(subscription) => self.subscriptions.get(subscription).copied().into_iter().collect(),
                    None => self.subscriptions.values().copied().collect(),
                };
                (consumers, By::MessageId(message_id.to_owned()))
            }
        };
        let step = Step::Acknowledge { consumers, by, positive };
        if let Some(name) = frame.get("transaction") {
            self.open_transaction(name)?.push(step);
            return Ok(false);
        }
        let id = self.id;
        self.shared.core().together(|core| apply(core, id, step))
    }

    fn begin(&mut self, frame: &Frame) -> Result<bool, String> {
        let name = required(frame, "transaction")?;
        if self.transactions.len() >= TRANSACTIONS {
            return Err(format!("{TRANSACTIONS} transactions are open, the limit of a connection"));
        }
        match self.transactions.insert(name.to_owned(), Vec::new()) {
            None => Ok(false),
            Some(_) => Err(format!("transaction {name:?} was begun already")),
        }
    }

    fn commit(&mut self, frame: &Frame) -> Result<bool, String> {
        let steps = self.take_transaction(frame)?;
        let id = self.id;
        let mut core = self.shared.core();
        let mut totals: HashMap<&Address, (usize, usize)> = HashMap::new();
        for step in &steps {
            if let Step::Send(address, message) = step {
                let total = totals.entry(address).or_default();
                *total = (total.0 + 1, total.1 + message.size());
            }
        }
        // All or nothing: room for every message is made sure of first.
        for (address, (messages, bytes)) in totals {
            core.make_room(address, messages, bytes)?;
        }
        core.together(|core| {
            let mut stored = false;
            for step in steps {
                stored |= apply(core, id, step)?;
            }
            Ok(stored)
        })
    }

    fn open_transaction(&mut self, name: &str) -> Result<&mut Vec<Step>, String> {
        let limit = self.shared.config.limits.transaction_bytes / 256;
        let steps =
            self.transactions.get_mut(name).ok_or_else(|| format!("transaction {name:?} was not begun"))?;
        if steps.len() >= limit {
            return Err(format!("transaction {name:?} has {limit} steps, the limit of a transaction"));
        }
        Ok(steps)
    }

    fn take_transaction(&mut self, frame: &Frame) -> Result<Vec<Step>, String> {
        let name = required(frame, "transaction")?;
        let steps =
            self.transactions.remove(name).ok_or_else(|| format!("transaction {name:?} was not begun"))?;
        for step in &steps {
            if let Step::Send(_, message) = step {
                self.transaction_bytes = self.transaction_bytes.saturating_sub(message.size());
            }
        }
        Ok(steps)
    }
}

fn apply(core: &mut super::core::Core, session: u64, step: Step) -> Result<bool, String> {
    match step {
        Step::Send(address, message) => core.send(&address, *message),
        Step::Acknowledge { consumers, by, positive } => {
            let mut tried = HashSet::new();
            let found = consumers
                .into_iter()
                .filter(|consumer| tried.insert(*consumer))
                .find_map(|consumer| core.acknowledge(consumer, session, &by.which(), positive));
            Ok(found.unwrap_or(false))
        }
    }
}

fn required<'a>(frame: &'a Frame, name: &str) -> Result<&'a str, String> {
    frame.get(name).ok_or_else(|| format!("{} needs a {name} header", frame.command))
}

/// Compares in a time that does not depend on where the texts differ.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
