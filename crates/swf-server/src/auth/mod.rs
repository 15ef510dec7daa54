//! Who calls: tokens of accounts, a trusted proxy, or nobody.
//!
//! *Invariant:* a header alone never makes anybody somebody else: a proxy must prove itself with its secret,
//! accounts are neither made nor raised here, and closed accounts stay out.

mod layer;
mod tokens;

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use swf_db::Db;
use swf_tools::accounts::{self, TokenOwner};
use swf_tools::{Caller, Scope};

pub use layer::identify;

/// How callers are known.
#[derive(Debug, Clone)]
pub struct Config {
    /// What a caller without credentials may do; `None` for nothing.
    pub anonymous: Option<Scope>,
    /// Every token may control workflows and agents. Without it only staff accounts and [`Config::controllers`].
    pub any_token_controls: bool,
    /// Accounts that may control workflows and agents.
    pub controllers: Vec<String>,
    /// The proxy that logs people in, if there is one.
    pub proxy: Option<Proxy>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            anonymous: Some(Scope::Read),
            any_token_controls: true,
            controllers: Vec::new(),
            proxy: None,
        }
    }
}

/// A proxy that authenticates people and names them in a header.
#[derive(Clone)]
pub struct Proxy {
    /// Header in which the proxy proves itself.
    pub secret_header: String,
    /// What must stand there.
    pub secret: String,
    /// Header that names the account.
    pub user_header: String,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("user_header", &self.user_header).finish_non_exhaustive()
    }
}

/// Why credentials were refused. The texts are those that clients know.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The credentials are wrong, or the account is closed.
    #[error("{0}")]
    Refused(&'static str),
    /// They could not be checked.
    #[error("credentials could not be checked: {0}")]
    Unavailable(#[from] swf_tools::Error),
}

/// Text for a caller without credentials where some are needed.
pub const NOT_PROVIDED: &str = "Authentication credentials were not provided.";
/// Text for a caller whose rights do not suffice.
pub const NOT_ALLOWED: &str = "You do not have permission to perform this action.";
const INVALID: &str = "Invalid token.";
const INACTIVE: &str = "User inactive or deleted.";

/// Finds out who calls.
pub struct Auth {
    db: Db,
    config: Config,
    tokens: tokens::Cache,
}

impl Auth {
    /// Knows the accounts of a database.
    pub fn new(db: Db, config: Config) -> Auth {
        Auth { db, config, tokens: tokens::Cache::default() }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The caller of a request: by token, else as the proxy says, else nobody. `peer` is the address at the
    /// other end of the connection, when it is known.
    pub async fn caller(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, AuthError> {
        if let Some(credentials) = credentials(headers)? {
            return self.bearer(credentials).await;
        }
        if let Some(name) = self.proxied(headers) {
            return self.named(name, peer).await;
        }
        Ok(Caller::anonymous(self.config.anonymous))
    }

    /// What stands behind `Token` or `Bearer`: the key of an account. Other kinds of bearer tokens are told
    /// apart by their form and would branch off here.
    async fn bearer(&self, key: &str) -> Result<Caller, AuthError> {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        if let Some(caller) = self.tokens.get(&digest) {
            return Ok(caller);
        }
        let owner = accounts::owner_of(&self.db, key).await?;
        let owner =
            owner.filter(|o| same(o.key.as_bytes(), key.as_bytes())).ok_or(AuthError::Refused(INVALID))?;
        let caller = self.caller_of(owner)?;
        self.tokens.keep(digest, caller.clone());
        Ok(caller)
    }

    async fn named(&self, name: &str, peer: Option<IpAddr>) -> Result<Caller, AuthError> {
        let Some(owner) = accounts::named(&self.db, name).await? else {
            tracing::warn!("the proxy at {peer:?} named an account that does not exist");
            return Err(AuthError::Refused(INACTIVE));
        };
        self.caller_of(owner)
    }

    fn caller_of(&self, owner: TokenOwner) -> Result<Caller, AuthError> {
        if !owner.is_active {
            return Err(AuthError::Refused(INACTIVE));
        }
        let controls = self.config.any_token_controls
            || owner.is_staff
            || self.config.controllers.contains(&owner.username);
        let scope = match (owner.is_superuser, controls) {
            (true, _) => Scope::Admin,
            (false, true) => Scope::Control,
            (false, false) => Scope::Write,
        };
        Ok(Caller::user(owner.username, scope))
    }

    /// The account that a proxy with the right secret names.
    fn proxied<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let proxy = self.config.proxy.as_ref()?;
        let secret = headers.get(proxy.secret_header.as_str())?;
        if proxy.secret.is_empty() || !same(secret.as_bytes(), proxy.secret.as_bytes()) {
            return None;
        }
        headers.get(proxy.user_header.as_str())?.to_str().ok().filter(|name| !name.is_empty())
    }
}

/// The key of an `Authorization: Token …` or `Bearer …` header; other schemes are not ours.
fn credentials(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| {
        AuthError::Refused("Invalid token header. Token string should not contain invalid characters.")
    })?;
    let mut words = text.split_whitespace();
    let scheme = words.next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("token") && !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    match (words.next(), words.next()) {
        (Some(key), None) => Ok(Some(key)),
        (None, _) => Err(AuthError::Refused("Invalid token header. No credentials provided.")),
        (Some(_), Some(_)) => {
            Err(AuthError::Refused("Invalid token header. Token string should not contain spaces."))
        }
    }
}

/// Compares in a time that does not depend on where the texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0u8, |seen, (x, y)| seen | (x ^ y));
    a.len() == b.len() && difference == 0
}
