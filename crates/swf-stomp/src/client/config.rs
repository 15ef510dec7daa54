//! What the client is told: where the broker is, what kind it is, what to subscribe to and send.

use std::{path::PathBuf, str::FromStr, time::Duration};

use bytes::Bytes;

use crate::{Error, Headers, Limits};

/// The kind of broker at the other end. The kinds differ in how a durable subscription is asked for, in the
/// `host` header they accept and in the name of the prefetch header.
///
/// | | durable subscription | `host` when none is configured | prefetch |
/// |---|---|---|---|
/// | `Embedded` | `durable-subscription-name` and the connection's `client-id` | the host name | `prefetch-count` |
/// | `ActiveMq` | `activemq.subscriptionName` and `client-id` | the host name | `activemq.prefetchSize` |
/// | `Artemis` | `durable-subscription-name` and `client-id` | the host name | not sent: counted in bytes there |
/// | `RabbitMq` | `durable:true`, `auto-delete:false`, `id` fixed to `<client-id>.<name>` | `/` | `prefetch-count` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// This crate's own [`Broker`](crate::Broker).
    #[default]
    Embedded,
    /// ActiveMQ Classic.
    ActiveMq,
    /// ActiveMQ Artemis.
    Artemis,
    /// RabbitMQ with its STOMP plugin.
    RabbitMq,
}

impl FromStr for Flavour {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.to_ascii_lowercase().as_str() {
            "embedded" => Ok(Self::Embedded),
            "activemq" => Ok(Self::ActiveMq),
            "artemis" => Ok(Self::Artemis),
            "rabbitmq" => Ok(Self::RabbitMq),
            _ => Err(Error::Invalid {
                what: "broker flavour",
                why: format!("{text:?} is not one of embedded, activemq, artemis, rabbitmq"),
            }),
        }
    }
}

impl Flavour {
    /// Headers that make a SUBSCRIBE durable. The `id` header is the caller's.
    pub(super) fn durable_headers(self, name: &str) -> Vec<(String, String)> {
        let header = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        match self {
            Self::ActiveMq => vec![header("activemq.subscriptionName", name)],
            Self::Embedded | Self::Artemis => vec![header("durable-subscription-name", name)],
            Self::RabbitMq => vec![header("durable", "true"), header("auto-delete", "false")],
        }
    }

    pub(super) fn prefetch_header(self) -> Option<&'static str> {
        match self {
            Self::ActiveMq => Some("activemq.prefetchSize"),
            Self::Embedded | Self::RabbitMq => Some("prefetch-count"),
            Self::Artemis => None,
        }
    }
}

/// TLS towards the broker. The broker's certificate is always checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the authorities to trust; the operating system's when left out.
    pub ca_file: Option<PathBuf>,
    /// Name that must stand in the certificate; the host when left out.
    pub server_name: Option<String>,
}

/// A certificate to show to a broker that asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// PEM file with the certificate and those that lead to its authority.
    pub cert_file: PathBuf,
    /// PEM file with its private key.
    pub key_file: PathBuf,
}

/// Where the broker is and how to keep the connection. Start from [`ClientConfig::new`].
#[derive(Clone)]
pub struct ClientConfig {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Login; empty sends neither login nor passcode.
    pub login: String,
    /// Passcode.
    pub passcode: String,
    /// Names this client towards the broker; needed for durable subscriptions. Two connections of one id at
    /// a time are refused by ActiveMQ.
    pub client_id: Option<String>,
    /// The `host` header of the connection; see [`Flavour`] for what is sent when left out.
    pub vhost: Option<String>,
    /// TLS; plain TCP when left out.
    pub tls: Option<Tls>,
    /// Our own certificate, for brokers that ask for one; used with TLS only.
    pub tls_identity: Option<TlsIdentity>,
    /// Heart-beats asked for in both directions. A broker silent for twice the agreed time is dead and the
    /// connection is made anew. Zero switches them off.
    pub heart_beat: Duration,
    /// The kind of broker.
    pub flavour: Flavour,
    /// How long one attempt to connect may take, TLS and log-in included.
    pub connect_timeout: Duration,
    /// Longest pause between two attempts; pauses start at 0.1 s, double, and are shortened at random by up
    /// to half so that a herd of clients does not return at one moment.
    pub backoff_max: Duration,
    /// How long [`Client::send`](crate::Client::send) waits for its receipt, reconnects included.
    pub send_timeout: Duration,
    /// Bytes of messages that wait for [`Subscription::next`](crate::Subscription::next). Beyond it nothing
    /// more is read from the broker (receipts and heart-beats neither) until some are taken.
    pub receive_buffer: usize,
    /// Limits on frames from the broker.
    pub limits: Limits,
}

impl ClientConfig {
    /// `admin`/`admin`, heart-beats of 10 s, connect within 10 s, back-off up to 30 s, 30 s for a receipt,
    /// 64 MiB of waiting messages, the embedded flavour, no TLS.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            login: "admin".into(),
            passcode: "admin".into(),
            client_id: None,
            vhost: None,
            tls: None,
            tls_identity: None,
            heart_beat: Duration::from_secs(10),
            flavour: Flavour::Embedded,
            connect_timeout: Duration::from_secs(10),
            backoff_max: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            receive_buffer: 64 << 20,
            limits: Limits::default(),
        }
    }

    /// The `host` header that is sent.
    pub(super) fn host_header(&self) -> &str {
        match (&self.vhost, self.flavour) {
            (Some(vhost), _) => vhost,
            (None, Flavour::RabbitMq) => "/",
            (None, _) => &self.host,
        }
    }

    /// `host:port`, for messages to people.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Default for ClientConfig {
    /// [`ClientConfig::new`] for `localhost` and port 61613.
    fn default() -> Self {
        Self::new("localhost", 61613)
    }
}

impl std::fmt::Debug for ClientConfig {
    /// Leaves the passcode out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("login", &self.login)
            .field("client_id", &self.client_id)
            .field("vhost", &self.vhost)
            .field("tls", &self.tls)
            .field("flavour", &self.flavour)
            .finish_non_exhaustive()
    }
}

/// Who says that a message was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// Nobody: a message counts as dealt with once it was written to the connection.
    #[default]
    Auto,
    /// The consumer; one acknowledgement covers all earlier messages of the subscription.
    Client,
    /// The consumer, each message by itself.
    ClientIndividual,
}

impl AckMode {
    /// The value of the `ack` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }
}

impl FromStr for AckMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "client" => Ok(Self::Client),
            "client-individual" => Ok(Self::ClientIndividual),
            _ => Err(Error::Invalid {
                what: "ack",
                why: format!("{text:?} is not one of auto, client, client-individual"),
            }),
        }
    }
}

/// A subscription to ask for.
#[derive(Debug, Clone, Default)]
pub struct Subscribe {
    /// `/topic/name`, `/queue/name` or what else the broker knows.
    pub destination: String,
    /// Who acknowledges.
    pub ack: AckMode,
    /// Name of a durable subscription: messages sent while we are away wait for us. Needs
    /// [`ClientConfig::client_id`].
    pub durable: Option<String>,
    /// Condition on message headers; RabbitMQ ignores it.
    pub selector: Option<String>,
    /// How many unacknowledged messages the broker may send ahead; its own default when left out.
    pub prefetch: Option<u32>,
    /// Further headers of the SUBSCRIBE frame.
    pub headers: Vec<(String, String)>,
}

impl Subscribe {
    /// A plain subscription with automatic acknowledgement.
    pub fn to(destination: impl Into<String>) -> Self {
        Self { destination: destination.into(), ..Self::default() }
    }
}

/// A message to send.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Where to.
    pub destination: String,
    /// Headers in order. `persistent:true` is added unless `persistent` is among them; a lifetime is
    /// `expires`, the absolute end in milliseconds of Unix time.
    pub headers: Vec<(String, String)>,
    /// The body. Without NUL bytes it goes out as text, that is without a `content-length` header, which
    /// ActiveMQ would take for a binary message.
    pub body: Bytes,
}

impl Message {
    /// A message without further headers.
    pub fn new(destination: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { destination: destination.into(), headers: Vec::new(), body: body.into() }
    }

    /// The message with one more header.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn into_headers(self, receipt: &str) -> (Headers, Bytes) {
        let mut headers = Headers::new();
        headers.push("destination", self.destination);
        let mut has_persistence = false;
        for (key, value) in self.headers {
            has_persistence |= key == "persistent";
            if !matches!(key.as_str(), "destination" | "receipt") {
                headers.push(key, value);
            }
        }
        if !has_persistence {
            headers.push("persistent", "true");
        }
        headers.push("receipt", receipt);
        (headers, self.body)
    }
}
