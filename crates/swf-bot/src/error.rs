//! What can go wrong, each with what was tried and what to do about it.

use std::time::Duration;

/// A failure of the bot or of something it needs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing or makes no sense.
    #[error("{setting}: {why}")]
    Setting {
        /// The key in the configuration.
        setting: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A server of tools cannot be used.
    #[error("server {server}: {why}")]
    Server {
        /// Its name.
        server: String,
        /// What happened.
        why: String,
    },
    /// A tool gave no answer in time.
    #[error("tool {tool}: no answer within {seconds} s; ask for less", seconds = .after.as_secs())]
    ToolTimeout {
        /// Its name.
        tool: String,
        /// The limit.
        after: Duration,
    },
    /// The connection was lost during a call that may have changed something.
    #[error(
        "tool {tool}: the connection to {server} was lost ({why}); whether the call was carried out is not known"
    )]
    ToolLost {
        /// Its name.
        tool: String,
        /// Its server.
        server: String,
        /// What happened.
        why: String,
    },
    /// The model endpoint refused, or did not answer after several tries.
    #[error("the model endpoint {what}")]
    Model {
        /// Status and words, or the transport's text.
        what: String,
    },
    /// Mattermost refused or did not answer.
    #[error("Mattermost {what}")]
    Chat {
        /// Method, path, status and words, or the transport's text.
        what: String,
    },
    /// The monitor's REST interface failed.
    #[error(transparent)]
    Monitor(#[from] swf_client::Error),
    /// A file of the bot's own.
    #[error("{path}: {why}")]
    File {
        /// Its path.
        path: String,
        /// What happened.
        why: String,
    },
}

impl Error {
    /// A setting that cannot be used.
    pub fn setting(setting: &str, why: impl Into<String>) -> Error {
        Error::Setting { setting: setting.to_owned(), why: why.into() }
    }
}

/// The last link of a chain of causes says what the socket said.
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The first `most` characters, with an ellipsis when there were more.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
