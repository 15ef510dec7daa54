//! The one error of configuration: always one line.

/// What is wrong with the configuration, where, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("{file}: cannot be read: {why}")]
    Read {
        /// The file.
        file: String,
        /// The system's words.
        why: String,
    },
    /// Text that is not TOML or not the expected shape.
    #[error("{file}:{line}: {why}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A key that is missing, unknown or has a wrong value.
    #[error("{file}: {key}: {why}")]
    Key {
        /// The file, or `params` for the parameters of a request.
        file: String,
        /// Section and key.
        key: String,
        /// What is wrong and what to change.
        why: String,
    },
    /// A workflow or configuration nobody knows.
    #[error("no {what} {name:?}; {help}")]
    Unknown {
        /// `workflow`, `configuration` or `testbed file`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// What there is, or what to do.
        help: String,
    },
    /// A name that cannot be a file name.
    #[error("{what} name {name:?} may hold letters, digits, _ and - only")]
    Name {
        /// `workflow` or `configuration`.
        what: &'static str,
        /// The name asked for.
        name: String,
    },
}

impl ConfigError {
    pub(crate) fn key(file: &str, key: &str, why: impl Into<String>) -> Self {
        Self::Key { file: file.to_owned(), key: key.to_owned(), why: why.into() }
    }
}
