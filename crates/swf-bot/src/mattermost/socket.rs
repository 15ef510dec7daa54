//! The event socket: authenticates, answers pings, comes back after a loss where it left off.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::error::{deepest, shorten};
use crate::mattermost::Api;

/// How often a ping is sent.
const PING: Duration = Duration::from_secs(30);
/// Without any sign for this long the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(70);
/// A connection must be made and accepted within this time.
const CONNECT: Duration = Duration::from_secs(20);
/// First wait before a new try; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What comes out of the socket.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A connection stands.
    Connected {
        /// Nothing was missed since the last one: Mattermost sends what was said meanwhile.
        resumed: bool,
    },
    /// An event of Mattermost: its name and its data.
    Told(String, Value),
}

/// The socket of one account.
pub struct Socket {
    api: Arc<Api>,
    stream: Option<Stream>,
    /// Mattermost's name of the connection, and the number of the event that comes next.
    connection: String,
    next: i64,
    wait: Duration,
    tried: bool,
    heard: Instant,
    pinged: Instant,
}

impl Socket {
    /// Not connected yet.
    pub fn new(api: Arc<Api>) -> Socket {
        let now = Instant::now();
        Socket {
            api,
            stream: None,
            connection: String::new(),
            next: 0,
            wait: FIRST_WAIT,
            tried: false,
            heard: now,
            pinged: now,
        }
    }

    /// The next event. Connects and comes back as often as it takes; may be cancelled between events.
    pub async fn next(&mut self) -> Event {
        loop {
            if self.stream.is_none() {
                if let Some(event) = self.reconnect().await {
                    return event;
                }
                continue;
            }
            match self.hear().await {
                Ok(Some(event)) => return event,
                Ok(None) => {}
                Err(why) => {
                    tracing::warn!("the event socket was lost: {why}");
                    self.stream = None;
                }
            }
        }
    }

    /// Says goodbye.
    pub async fn close(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            // Gone is gone, with or without goodbye.
            drop(tokio::time::timeout(Duration::from_secs(2), stream.close(None)).await);
        }
    }

    async fn reconnect(&mut self) -> Option<Event> {
        if self.tried {
            // Up to a quarter more or less, so that clients do not come back in step.
            tokio::time::sleep(self.wait.mul_f64(0.75 + rand::random::<f64>() * 0.5)).await;
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
        self.tried = true;
        match tokio::time::timeout(CONNECT, self.connect()).await {
            Ok(Ok(event)) => return Some(event),
            Ok(Err(why)) => tracing::warn!("the event socket cannot be opened: {why}"),
            Err(_) => tracing::warn!("the event socket was not accepted within {} s", CONNECT.as_secs()),
        }
        self.stream = None;
        None
    }

    /// Opens and authenticates. A first connection waits for the greeting. One that comes back gets no greeting when
    /// nothing was missed, only what was said meanwhile; a greeting that comes all the same says that events are lost.
    async fn connect(&mut self) -> Result<Event, String> {
        let mut address = self.api.socket_address();
        let resuming = !self.connection.is_empty();
        if resuming {
            address.push_str(&format!("?connection_id={}&sequence_number={}", self.connection, self.next));
        }
        let mut request = address.into_client_request().map_err(|e| deepest(&e))?;
        // Mattermost takes a connection up again only when it knows whose it is before the challenge.
        let bearer =
            HeaderValue::from_str(&format!("Bearer {}", self.api.token())).map_err(|e| deepest(&e))?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let (mut stream, _) = tokio_tungstenite::connect_async(request).await.map_err(|e| deepest(&e))?;
        let challenge =
            json!({"seq": 1, "action": "authentication_challenge", "data": {"token": self.api.token()}});
        stream.send(Message::text(challenge.to_string())).await.map_err(|e| deepest(&e))?;
        let now = Instant::now();
        (self.heard, self.pinged, self.stream) = (now, now, Some(stream));
        if resuming {
            return Ok(Event::Connected { resumed: true });
        }
        loop {
            if let Some(event @ Event::Connected { .. }) = self.hear().await? {
                return Ok(event);
            }
        }
    }

    /// One frame, or the time for a ping.
    async fn hear(&mut self) -> Result<Option<Event>, String> {
        let Some(stream) = self.stream.as_mut() else { return Ok(None) };
        let frame = match tokio::time::timeout_at(self.pinged + PING, stream.next()).await {
            Err(_) if self.heard.elapsed() > SILENCE => {
                return Err(format!("nothing heard for {} s", SILENCE.as_secs()));
            }
            Err(_) => {
                self.pinged = Instant::now();
                let ping = Message::Ping(Default::default());
                return stream.send(ping).await.map(|()| None).map_err(|e| deepest(&e));
            }
            Ok(None) => return Err("closed".into()),
            Ok(Some(frame)) => frame.map_err(|e| deepest(&e))?,
        };
        self.heard = Instant::now();
        let text = match frame {
            Message::Text(text) => text,
            Message::Close(_) => return Err("closed by Mattermost".into()),
            _ => return Ok(None),
        };
        let Ok(told) = serde_json::from_str::<Value>(&text) else {
            tracing::warn!("an event is no JSON and was left out: {}", shorten(&text, 200));
            return Ok(None);
        };
        self.wait = FIRST_WAIT;
        if told.get("status").and_then(Value::as_str) == Some("FAIL") {
            return Err(format!("the token was refused: {}", shorten(&told.to_string(), 200)));
        }
        let Some(name) = told.get("event").and_then(Value::as_str) else { return Ok(None) };
        let number = told.get("seq").and_then(Value::as_i64);
        if name == "hello" {
            let connection = told.pointer("/data/connection_id").and_then(Value::as_str).unwrap_or_default();
            let resumed = !connection.is_empty() && connection == self.connection;
            self.connection = connection.to_owned();
            self.next = number.unwrap_or(0) + 1;
            tracing::info!("listening to Mattermost");
            return Ok(Some(Event::Connected { resumed }));
        }
        if let Some(number) = number {
            if number > self.next {
                // A hole: Mattermost sends the missing events when we come back under the same name.
                return Err(format!("event {} is missing", self.next));
            }
            self.next = self.next.max(number + 1);
        }
        Ok(Some(Event::Told(name.to_owned(), told.get("data").cloned().unwrap_or_default())))
    }
}
