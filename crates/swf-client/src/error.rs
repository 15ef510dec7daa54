//! What can go wrong with a call to the monitor, always with the method, the path and the server's own words.

use std::time::Duration;

/// A failed call. Every variant that reached the wire names the method and the path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be built from its settings.
    #[error("set up the HTTP client for {base_url:?}: {why}")]
    Setup {
        /// The base address that was configured.
        base_url: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// Nobody answered: connection refused, reset, name unknown, TLS refused.
    #[error("{method} {url}: no connection to the monitor ({why}); is `swf serve` running there?")]
    Connect {
        /// HTTP method.
        method: &'static str,
        /// Whole address without query.
        url: String,
        /// The transport's words.
        why: String,
    },
    /// The monitor took longer than one try may take.
    #[error("{method} {url}: no answer within {seconds:.1} s", seconds = .after.as_secs_f64())]
    Timeout {
        /// HTTP method.
        method: &'static str,
        /// Whole address without query.
        url: String,
        /// The limit of one try.
        after: Duration,
    },
    /// The monitor answered with something other than 2xx.
    #[error("{method} {path}: the monitor answered {status}: {words}")]
    Status {
        /// HTTP method.
        method: &'static str,
        /// Path below the base address.
        path: String,
        /// HTTP status code.
        status: u16,
        /// The body, shortened to 500 characters.
        words: String,
    },
    /// The answer was 2xx but is not what this call returns.
    #[error("{method} {path}: cannot read the monitor's answer: {why}")]
    Answer {
        /// HTTP method.
        method: &'static str,
        /// Path below the base address.
        path: String,
        /// What does not fit.
        why: String,
    },
    /// The request body could not be written as JSON.
    #[error("{method} {path}: cannot write the request: {why}")]
    Request {
        /// HTTP method.
        method: &'static str,
        /// Path below the base address.
        path: String,
        /// What does not fit.
        why: String,
    },
}

impl Error {
    /// The HTTP status, when the monitor answered at all.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same call may succeed a moment later. Never true for a 4xx: asking again changes nothing there.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } => true,
            Self::Status { status, .. } => matches!(status, 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether the monitor says that the row is there already: the work was done before, look the row up.
    pub fn is_already_there(&self) -> bool {
        match self {
            Self::Status { status: 409, .. } => true,
            Self::Status { status: 400, words, .. } => {
                let words = words.to_lowercase();
                words.contains("already exists") || words.contains("must make a unique set")
            }
            _ => false,
        }
    }

    /// Whether the path or row does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.status(), Some(404 | 405))
    }
}
