//! Who calls, and what they may do.

use serde::{Deserialize, Serialize};

/// What an operation needs, or a caller has. Later scopes include the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything that is not personal.
    Read,
    /// Write what agents write (heartbeats, files, slices, logs) and own records.
    Write,
    /// Start, stop and end workflows and agents.
    Control,
    /// See accounts, change other people's records.
    Admin,
}

impl Scope {
    /// The name used in tokens, challenges and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Control => "control",
            Scope::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Scope {
    type Err = String;
    fn from_str(s: &str) -> Result<Scope, String> {
        [Scope::Read, Scope::Write, Scope::Control, Scope::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == s)
            .ok_or_else(|| format!("scope {s:?} is not one of read, write, control, admin"))
    }
}

/// An authenticated or anonymous caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account's name; `None` for an anonymous caller.
    pub user: Option<String>,
    /// The most the caller may do; `None` means nothing at all.
    pub scope: Option<Scope>,
}

impl Caller {
    /// A caller without credentials.
    pub fn anonymous(scope: Option<Scope>) -> Caller {
        Caller { user: None, scope }
    }

    /// A known account.
    pub fn user(name: impl Into<String>, scope: Scope) -> Caller {
        Caller { user: Some(name.into()), scope: Some(scope) }
    }

    /// True when the caller may do what needs `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scope.is_some_and(|has| has >= scope)
    }

    /// The name for logs and audit rows.
    pub fn name(&self) -> &str {
        self.user.as_deref().unwrap_or("anonymous")
    }
}
