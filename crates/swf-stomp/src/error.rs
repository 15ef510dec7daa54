//! The one error of the client and the broker; the codec's own is [`FrameError`].

use std::{io, path::PathBuf, time::Duration};

use crate::FrameError;

/// What can go wrong, with the operation and the value it happened to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer sent bytes that are no frame, or more than the limits allow.
    #[error("read a frame")]
    Frame(#[from] FrameError),
    /// A setting or an argument that cannot work.
    #[error("{what}: {why}")]
    Invalid {
        /// The setting or argument.
        what: &'static str,
        /// Why it cannot work, and what would.
        why: String,
    },
    /// No connection to the broker, or it broke.
    #[error("connect to the message broker at {address}: {source}")]
    Connect {
        /// `host:port` of the broker.
        address: String,
        /// What the operating system or TLS said.
        source: io::Error,
    },
    /// The broker answered an operation with an ERROR frame.
    #[error("the message broker refused to {operation}: {reason}")]
    Refused {
        /// What was asked of it, such as `send to /queue/x`.
        operation: String,
        /// The text of its ERROR frame.
        reason: String,
    },
    /// An operation had no answer in time.
    #[error("no answer to {operation} within {} s{}", .after.as_secs_f32(), because(.last_error))]
    Timeout {
        /// What was asked.
        operation: String,
        /// How long it was waited for.
        after: Duration,
        /// Why the connection was last lost, if it was.
        last_error: Option<String>,
    },
    /// The client was shut down.
    #[error("the message broker client was shut down")]
    Closed,
    /// The broker cannot listen where it was told to.
    #[error(
        "listen for messages on {address}: {source}; choose a free address or end the program that uses it"
    )]
    Listen {
        /// The address that was asked for.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The broker's data file cannot be used.
    #[error("use the message store {}: {why}", .path.display())]
    Store {
        /// The data file.
        path: PathBuf,
        /// What went wrong and what to do.
        why: String,
    },
}

fn because(last_error: &Option<String>) -> String {
    last_error.as_deref().map(|text| format!(" ({text})")).unwrap_or_default()
}
