//! The one error that callers see; surfaces turn it into HTTP or MCP in one function each.

use crate::Scope;

/// Why a call failed. The text names the value that was wrong and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument is impossible: unknown name, wrong form, out of range.
    #[error("{field}: {why}")]
    Invalid { field: String, why: String },
    /// The thing asked for does not exist; `hint` says where to look.
    #[error("{what} '{id}' not found{}", hint_text(.hint))]
    NotFound { what: &'static str, id: String, hint: String },
    /// The caller lacks a scope.
    #[error(
        "this needs the '{0}' scope: authenticate with a token that has it (`Authorization: Bearer …` or `Token …`)"
    )]
    Forbidden(Scope),
    /// The state of things does not allow it now; `fix` says what to do.
    #[error("{why}{}", hint_text(.fix))]
    Conflict { why: String, fix: String },
    /// Something this depends on does not answer; `what` names it and what still works.
    #[error("{what}")]
    Unavailable { what: String },
    /// A fault of ours. Clients see an id, the log has the cause.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

fn hint_text(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

impl Error {
    /// An impossible argument.
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Invalid { field: field.into(), why: why.into() }
    }

    /// Something that does not exist.
    pub fn not_found(what: &'static str, id: impl std::fmt::Display, hint: impl Into<String>) -> Error {
        Error::NotFound { what, id: id.to_string(), hint: hint.into() }
    }

    /// A state that does not allow the operation.
    pub fn conflict(why: impl Into<String>, fix: impl Into<String>) -> Error {
        Error::Conflict { why: why.into(), fix: fix.into() }
    }

    /// A fault of ours.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Error {
        Error::Internal(cause.into())
    }

    /// A word for metrics and audit rows.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid",
            Error::NotFound { .. } => "not_found",
            Error::Forbidden(_) => "forbidden",
            Error::Conflict { .. } => "conflict",
            Error::Unavailable { .. } => "unavailable",
            Error::Internal(_) => "internal",
        }
    }
}

impl From<swf_db::Error> for Error {
    fn from(e: swf_db::Error) -> Error {
        use swf_db::Error as Db;
        match &e {
            Db::Unavailable(_) | Db::Open { .. } => Error::Unavailable {
                what: "the database does not answer; broker, agents and /healthz are not affected: \
                       try again in a few seconds, then see /readyz"
                    .into(),
            },
            Db::Timeout(_) => Error::Unavailable {
                what: "the database took longer than allowed; narrow the time window or the filters and try again"
                    .into(),
            },
            Db::Denied(_) => Error::Unavailable {
                what: "the database role lacks a permission for this; an operator must grant it (see the server log)"
                    .into(),
            },
            Db::Schema(_) => Error::Unavailable {
                what: "the database has another shape than this needs; `swf db check` names what differs".into(),
            },
            Db::Unique { constraint, .. } => Error::conflict(
                format!("a row with this key already exists ({constraint})"),
                "use another key, or change the existing row",
            ),
            _ => Error::Internal(e.into()),
        }
    }
}
