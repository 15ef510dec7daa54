//! STOMP 1.0, 1.1 and 1.2: frames and their codec, a client that never gives up, and a broker to embed.
//!
//! * [`Frame`], [`Codec`] and [`encode`] turn bytes into frames and back, within stated [`Limits`].
//! * [`Client`] keeps one connection to a broker alive (ActiveMQ, Artemis, RabbitMQ or ours), subscribes
//!   again after each reconnect and confirms every message it sends with a receipt.
//! * [`Broker`] serves topics and queues to any STOMP client, with persistence in one SQLite file.
//!
//! *Invariant:* this crate knows nothing of the messages' meaning; bodies are bytes.
//! *Invariant:* nothing here grows without bound: every buffer has a limit that its documentation names.
#![warn(missing_docs)]

mod broker;
mod client;
mod codec;
mod error;
mod frame;
mod signature;

pub use broker::{BareNames, Broker, BrokerConfig, BrokerLimits, DestinationStats, Stats};
pub use client::{
    AckMode, Client, ClientConfig, Delivery, Flavour, Message, Status, Subscribe, Subscription, Tls,
    TlsIdentity,
};
pub use codec::{Codec, FrameError, Limits, encode};
pub use error::Error;
pub use frame::{Frame, Headers, Version};
pub use signature::{SIGNATURE, SIGNED_AT, Signer};
