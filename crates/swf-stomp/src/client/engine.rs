//! The task behind a client: connects, serves handles and broker at once, and starts over when the
//! connection breaks.

use std::{
    collections::BTreeMap,
    future::{Future, pending},
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use bytes::{BufMut, BytesMut};
use rand::RngExt;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot, watch},
    time::MissedTickBehavior,
};

use super::{
    Acknowledge, Buffered, Command, Raw, Status,
    config::{AckMode, ClientConfig, Message},
    subscriptions::{Remembered, Subscriptions, subscribe_frame, unsubscribe_frames},
    transport::{self, Opened, error_text},
    weight,
};
use crate::{Codec, Error, Frame, Headers, Version, encode};

/// Handles are not served while this much waits to be written: the broker is slower than they are.
const OUTPUT_LIMIT: usize = 1 << 20;
/// How long a good-bye waits for its receipt.
const GOOD_BYE: Duration = Duration::from_secs(5);
/// A connection that lasted this long was a good one: the next pause is the shortest again.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// A receipt that will come.
enum Awaited {
    Send { frame: Frame, operation: String, reply: oneshot::Sender<Result<(), Error>> },
    Subscribe(u64),
    Unsubscribe(Option<oneshot::Sender<()>>),
    GoodBye,
}

/// One live connection.
struct Link {
    number: u64,
    codec: Codec,
    version: Version,
    input: BytesMut,
    output: BytesMut,
    send_every: Duration,
    receive_every: Duration,
    last_read: Instant,
    last_write: Instant,
}

impl Link {
    fn put(&mut self, frame: &Frame) {
        encode(frame, self.version, &mut self.output);
    }
}

/// How a connection ended.
enum End {
    Lost(Error),
    Finished,
}

struct Engine {
    config: Arc<ClientConfig>,
    report: watch::Sender<Status>,
    buffered: Arc<Buffered>,
    subscriptions: Subscriptions,
    awaited: BTreeMap<u64, Awaited>,
    last_receipt: u64,
    connections: u64,
    /// Whether the broker did something useful on the current connection.
    useful: bool,
    closing: Option<oneshot::Sender<()>>,
}

/// Runs until shut down or until every handle is gone.
pub(super) async fn run(
    config: ClientConfig,
    mut inbox: mpsc::Receiver<Command>,
    report: watch::Sender<Status>,
    buffered: Arc<Buffered>,
) {
    let config = Arc::new(config);
    let mut engine = Engine {
        config: config.clone(),
        report,
        buffered,
        subscriptions: Subscriptions::default(),
        awaited: BTreeMap::new(),
        last_receipt: 0,
        connections: 0,
        useful: false,
        closing: None,
    };
    let mut pause = SHORTEST_PAUSE;
    loop {
        let Some(opened) = engine.offline(&mut inbox, transport::open(&config)).await else { break };
        let error = match opened {
            Err(error) => error,
            Ok(opened) => {
                let since = Instant::now();
                match engine.serve(opened, &mut inbox).await {
                    End::Finished => break,
                    End::Lost(error) => {
                        if engine.useful || since.elapsed() > GOOD_CONNECTION {
                            pause = SHORTEST_PAUSE;
                        }
                        error
                    }
                }
            }
        };
        engine.lost(error);
        let shortened = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        if engine.offline(&mut inbox, tokio::time::sleep(shortened)).await.is_none() {
            break;
        }
        pause = (pause * 2).min(config.backoff_max.max(SHORTEST_PAUSE));
    }
    engine.say(false, None);
    if let Some(reply) = engine.closing.take() {
        // Whoever asked for the end may have gone away meanwhile.
        let _ = reply.send(());
    }
}

impl Engine {
    /// Does what handles ask while there is no connection and the future runs; `None` when it is time to end.
    async fn offline<F: Future>(
        &mut self,
        inbox: &mut mpsc::Receiver<Command>,
        future: F,
    ) -> Option<F::Output> {
        tokio::pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Some(output),
                command = inbox.recv() => match command {
                    None => return None,
                    Some(Command::Shutdown { reply }) => {
                        self.closing = Some(reply);
                        return None;
                    }
                    Some(command) => self.obey(command, None),
                },
            }
        }
    }

    /// Serves one connection until it breaks or the client ends.
    async fn serve(&mut self, opened: Opened, inbox: &mut mpsc::Receiver<Command>) -> End {
        let (stream, mut link) = self.start_link(opened);
        let (mut reader, mut writer) = tokio::io::split(stream);
        if let Err(error) = self.take_frames(&mut link) {
            return End::Lost(error);
        }
        let mut ticks = tokio::time::interval(tick_of(&link));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unflushed = false;
        let mut good_bye: Option<tokio::time::Instant> = None;
        loop {
            let full = self.buffered.bytes.load(Ordering::Acquire) >= self.config.receive_buffer;
            tokio::select! {
                read = reader.read_buf(&mut link.input), if !full => {
                    let taken = self.on_read(read, &mut link);
                    match taken {
                        Ok(false) => {}
                        Ok(true) => {
                            // The good-bye was confirmed; the broker may not close by itself.
                            let _ = writer.shutdown().await;
                            return End::Finished;
                        }
                        Err(_) if good_bye.is_some() => return End::Finished,
                        Err(error) => return End::Lost(error),
                    }
                }
                () = self.buffered.taken.notified(), if full => link.last_read = Instant::now(),
                written = write_some(&mut writer, &mut link.output), if unflushed || !link.output.is_empty() => {
                    match written {
                        Ok(bytes) => {
                            unflushed = bytes > 0;
                            link.last_write = Instant::now();
                        }
                        Err(source) => return End::Lost(self.broken(source)),
                    }
                }
                command = inbox.recv(), if link.output.len() < OUTPUT_LIMIT && good_bye.is_none() => match command {
                    Some(Command::Shutdown { reply }) => {
                        self.closing = Some(reply);
                        good_bye = Some(self.say_good_bye(&mut link));
                    }
                    None => good_bye = Some(self.say_good_bye(&mut link)),
                    Some(command) => self.obey(command, Some(&mut link)),
                },
                () = until(good_bye) => return End::Finished,
                _ = ticks.tick() => if let Err(error) = self.tick(&mut link, full) {
                    return End::Lost(error);
                },
            }
        }
    }

    fn start_link(&mut self, opened: Opened) -> (Box<dyn transport::Stream>, Link) {
        let Opened { stream, codec, input, version, send_every, receive_every } = opened;
        self.connections += 1;
        self.buffered.connection.store(self.connections, Ordering::Release);
        self.useful = false;
        let now = Instant::now();
        let mut link = Link {
            number: self.connections,
            codec,
            version,
            input,
            output: BytesMut::with_capacity(16 << 10),
            send_every,
            receive_every,
            last_read: now,
            last_write: now,
        };
        for number in self.subscriptions.numbers() {
            self.put_subscribe(number, &mut link);
        }
        self.awaited.retain(|_, awaited| match awaited {
            Awaited::Send { frame, reply, .. } if !reply.is_closed() => {
                link.put(frame);
                true
            }
            Awaited::Subscribe(_) => true,
            _ => false,
        });
        self.say(true, None);
        tracing::info!(broker = %self.config.address(), version = %version, "connected to the message broker");
        (stream, link)
    }

    fn on_read(&mut self, read: io::Result<usize>, link: &mut Link) -> Result<bool, Error> {
        match read {
            Ok(0) => Err(self.broken(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the broker"))),
            Ok(_) => {
                link.last_read = Instant::now();
                self.take_frames(link)
            }
            Err(source) => Err(self.broken(source)),
        }
    }

    /// Handles every whole frame of the input; true when the good-bye was confirmed.
    fn take_frames(&mut self, link: &mut Link) -> Result<bool, Error> {
        let mut finished = false;
        while let Some(frame) = link.codec.decode(&mut link.input)? {
            match frame.command.as_str() {
                "MESSAGE" => self.on_message(frame, link),
                "RECEIPT" => finished |= self.on_receipt(&frame),
                "ERROR" => return Err(self.on_error(&frame)),
                other => tracing::debug!(command = other, "frame of the message broker was ignored"),
            }
        }
        Ok(finished)
    }

    fn on_message(&mut self, frame: Frame, link: &mut Link) {
        self.useful = true;
        let wire_id = frame.get("subscription").unwrap_or_default().to_owned();
        let Some((number, remembered)) = self.subscriptions.find(&self.config, &wire_id) else {
            tracing::debug!(subscription = %wire_id, "message for an ended subscription was left to the broker");
            return;
        };
        let acknowledge = (remembered.subscribe.ack != AckMode::Auto).then(|| Acknowledge {
            connection: link.number,
            positive: true,
            headers: Arc::new(acknowledge_headers(&frame, link.version, &wire_id)),
        });
        let raw = Raw { headers: frame.headers, body: frame.body, acknowledge };
        let bytes = weight(&raw.headers, &raw.body);
        self.buffered.bytes.fetch_add(bytes, Ordering::AcqRel);
        if remembered.deliveries.send(raw).is_err() {
            self.buffered.bytes.fetch_sub(bytes, Ordering::AcqRel);
            let command = Command::Unsubscribe { subscription: number, forget: false, reply: None };
            self.obey(command, Some(link));
        }
    }

    fn on_receipt(&mut self, frame: &Frame) -> bool {
        self.useful = true;
        match self.take_awaited(frame) {
            Some(Awaited::Send { reply, .. }) => {
                // The sender may have given up waiting.
                let _ = reply.send(Ok(()));
            }
            Some(Awaited::Subscribe(number)) => {
                if let Some(reply) = self.subscriptions.get_mut(number).and_then(|found| found.reply.take()) {
                    let _ = reply.send(Ok(()));
                }
            }
            Some(Awaited::Unsubscribe(Some(reply))) => {
                let _ = reply.send(());
            }
            Some(Awaited::GoodBye) => return true,
            Some(Awaited::Unsubscribe(None)) | None => {}
        }
        false
    }

    /// Gives the error to whom it concerns and returns it as the reason for leaving this connection.
    fn on_error(&mut self, frame: &Frame) -> Error {
        let reason = error_text(frame);
        let refused =
            |operation: &str| Error::Refused { operation: operation.to_owned(), reason: reason.clone() };
        match self.take_awaited(frame) {
            Some(Awaited::Send { operation, reply, .. }) => {
                let _ = reply.send(Err(refused(&operation)));
                refused(&operation)
            }
            Some(Awaited::Subscribe(number)) => {
                let name =
                    self.subscriptions.get_mut(number).map(|found| found.subscribe.destination.clone());
                let operation = format!("subscribe to {}", name.unwrap_or_default());
                // Only the first refusal has someone to tell; later ones are tried again.
                if self.subscriptions.get_mut(number).is_some_and(|found| found.reply.is_some())
                    && let Some(reply) = self.subscriptions.remove(number).and_then(|found| found.reply)
                {
                    let _ = reply.send(Err(refused(&operation)));
                }
                refused(&operation)
            }
            _ => refused("keep the connection"),
        }
    }

    fn take_awaited(&mut self, frame: &Frame) -> Option<Awaited> {
        let number = frame.get("receipt-id")?.strip_prefix("r-")?.parse().ok()?;
        self.awaited.remove(&number)
    }

    fn await_receipt(&mut self, awaited: Awaited) -> String {
        self.last_receipt += 1;
        self.awaited.insert(self.last_receipt, awaited);
        format!("r-{}", self.last_receipt)
    }

    /// Does what a handle asks, now or, without a connection, when there is one.
    fn obey(&mut self, command: Command, link: Option<&mut Link>) {
        match command {
            Command::Send { message, reply } => self.obey_send(message, reply, link),
            Command::Subscribe { number, subscribe, deliveries, reply } => {
                let remembered = Remembered { subscribe: *subscribe, deliveries, reply: Some(reply) };
                if self.subscriptions.add(&self.config, number, remembered)
                    && let Some(link) = link
                {
                    self.put_subscribe(number, link);
                }
            }
            Command::Unsubscribe { subscription, forget, reply } => {
                if let (Some(removed), Some(link)) = (self.subscriptions.remove(subscription), link) {
                    let mut frames =
                        unsubscribe_frames(&self.config, subscription, &removed.subscribe, forget);
                    let receipt = self.await_receipt(Awaited::Unsubscribe(reply));
                    if let Some(last) = frames.last_mut() {
                        last.headers.push("receipt", receipt);
                    }
                    frames.iter().for_each(|frame| link.put(frame));
                }
            }
            Command::Acknowledge(acknowledge) => match link {
                Some(link) if link.number == acknowledge.connection => {
                    let mut frame = Frame::new(if acknowledge.positive { "ACK" } else { "NACK" });
                    frame.headers = acknowledge.headers.as_ref().clone();
                    link.put(&frame);
                }
                _ => tracing::debug!(
                    "acknowledgement after a reconnect: the broker delivers the message again"
                ),
            },
            // Both loops take this one themselves.
            Command::Shutdown { reply } => self.closing = Some(reply),
        }
    }

    fn obey_send(
        &mut self,
        message: Message,
        reply: oneshot::Sender<Result<(), Error>>,
        link: Option<&mut Link>,
    ) {
        if reply.is_closed() {
            return;
        }
        let operation = format!("send to {}", message.destination);
        self.last_receipt += 1;
        let (headers, body) = message.into_headers(&format!("r-{}", self.last_receipt));
        let frame = Frame { command: "SEND".into(), headers, body };
        if let Some(link) = link {
            link.put(&frame);
        }
        self.awaited.insert(self.last_receipt, Awaited::Send { frame, operation, reply });
    }

    fn put_subscribe(&mut self, number: u64, link: &mut Link) {
        let receipt = self.await_receipt(Awaited::Subscribe(number));
        if let Some(remembered) = self.subscriptions.get_mut(number) {
            let frame = subscribe_frame(&self.config, number, &remembered.subscribe, Some(&receipt));
            link.put(&frame);
        }
    }

    fn say_good_bye(&mut self, link: &mut Link) -> tokio::time::Instant {
        let receipt = self.await_receipt(Awaited::GoodBye);
        link.put(&Frame::new("DISCONNECT").with("receipt", receipt));
        tokio::time::Instant::now() + GOOD_BYE
    }

    /// Sends a heart-beat when due, notices a dead broker and forgets senders that gave up.
    fn tick(&mut self, link: &mut Link, paused: bool) -> Result<(), Error> {
        let now = Instant::now();
        let due =
            !link.send_every.is_zero() && now.duration_since(link.last_write) >= link.send_every.mul_f32(0.6);
        if due && link.output.is_empty() {
            link.output.put_u8(b'\n');
        }
        let silence = now.duration_since(link.last_read);
        if !paused && !link.receive_every.is_zero() && silence > link.receive_every * 2 {
            let why = format!(
                "no heart-beat for {:.1} s, {:?} were agreed",
                silence.as_secs_f32(),
                link.receive_every
            );
            return Err(self.broken(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        self.awaited
            .retain(|_, awaited| !matches!(awaited, Awaited::Send { reply, .. } if reply.is_closed()));
        Ok(())
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Connect { address: self.config.address(), source }
    }

    fn lost(&mut self, error: Error) {
        self.buffered.connection.store(self.connections + 1, Ordering::Release);
        // Only sends outlive a connection; subscriptions are asked for anew, and ended ones have ended.
        self.awaited.retain(|_, awaited| matches!(awaited, Awaited::Send { .. }));
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            source = inner.source();
        }
        let repeated = self.report.borrow().last_error.as_deref() == Some(text.as_str());
        if repeated {
            tracing::debug!(error = %text, "still no message broker");
        } else {
            tracing::warn!(error = %text, "message broker lost, connecting again");
        }
        self.say(false, Some(text));
    }

    fn say(&self, connected: bool, error: Option<String>) {
        let reconnects = self.connections.saturating_sub(1);
        self.report.send_modify(|status| {
            if status.connected != connected {
                status.since = SystemTime::now();
            }
            status.connected = connected;
            status.reconnects = reconnects;
            status.last_error = error.or(status.last_error.take());
        });
    }
}

/// What a broker of this version wants in ACK and NACK.
fn acknowledge_headers(frame: &Frame, version: Version, subscription: &str) -> Headers {
    let message_id = frame.get("message-id").unwrap_or_default();
    match version {
        Version::V1_2 => [("id", frame.get("ack").unwrap_or(message_id))].into_iter().collect(),
        _ => [("subscription", subscription), ("message-id", message_id)].into_iter().collect(),
    }
}

/// Often enough for the heart-beats of both directions.
fn tick_of(link: &Link) -> Duration {
    let shortest = [link.send_every, link.receive_every].into_iter().filter(|every| !every.is_zero()).min();
    shortest.map_or(GOOD_CONNECTION, |every| (every / 5).clamp(Duration::from_millis(20), GOOD_CONNECTION))
}

/// Writes what the connection takes at once, or flushes when nothing is left; the number of bytes written.
/// One operation at most, so that it can be cancelled without losing bytes.
async fn write_some<W: AsyncWrite + Unpin>(writer: &mut W, output: &mut BytesMut) -> io::Result<usize> {
    if output.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    writer.write_buf(output).await
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
