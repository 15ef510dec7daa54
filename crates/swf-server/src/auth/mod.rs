//! Who calls: tokens of accounts, access tokens of an authorization server, a trusted proxy, a process of the
//! server's own account, or nobody.
//!
//! *Invariant:* a header alone never makes anybody somebody else: a proxy must prove itself with its secret,
//! accounts are neither made nor raised here, and closed accounts stay out.

mod layer;
mod local;
mod metadata;
pub mod oidc;
mod tokens;

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use swf_db::Db;
use swf_tools::accounts::{self, TokenOwner};
use swf_tools::{Caller, Scope};

pub use layer::identify;
pub use metadata::router as metadata_router;
use oidc::{Oidc, OidcError};

/// How callers are known.
#[derive(Debug, Clone)]
pub struct Config {
    /// What a caller without credentials may do; `None` for nothing. Over REST it is reading at most.
    pub anonymous: Option<Scope>,
    /// Whose name processes of the server's own account on this machine bear over MCP and on pages when they
    /// show no credentials; they may do everything. `None`: they are anonymous like others.
    pub local_user: Option<String>,
    /// Every token may control workflows and agents. Without it only staff accounts and [`Config::controllers`].
    pub any_token_controls: bool,
    /// Accounts that may control workflows and agents.
    pub controllers: Vec<String>,
    /// The proxy that logs people in, if there is one.
    pub proxy: Option<Proxy>,
    /// The authorization server whose access tokens are taken, if there is one.
    pub oidc: Option<oidc::Config>,
}

/// The surface a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The REST interface and the event stream: programs with a token of their own.
    Rest,
    /// MCP and pages: people and their assistants.
    People,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            anonymous: Some(Scope::Read),
            local_user: None,
            any_token_controls: true,
            controllers: Vec::new(),
            proxy: None,
            oidc: None,
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
const INVALID_ACCESS: &str = "Invalid or expired token";

/// Finds out who calls.
pub struct Auth {
    db: Db,
    config: Config,
    tokens: tokens::Cache,
    oidc: Option<Oidc>,
}

impl Auth {
    /// Knows the accounts of a database.
    pub fn new(db: Db, config: Config) -> Auth {
        let oidc = config.oidc.clone().map(Oidc::new);
        Auth { db, config, tokens: tokens::Cache::default(), oidc }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The caller of a request: by token, else as the proxy says, else as the machine says, else nobody. `peer`
    /// is the other end of the connection, when it is known.
    pub async fn caller(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
        door: Door,
    ) -> Result<Caller, AuthError> {
        if let Some(credentials) = credentials(headers)? {
            return match &self.oidc {
                Some(oidc) if Oidc::is_token(credentials) => self.signed(oidc, credentials).await,
                _ => self.key(credentials).await,
            };
        }
        if let Some(name) = self.proxied(headers) {
            return self.named(name, peer).await;
        }
        if door == Door::Rest {
            return Ok(Caller::anonymous(self.config.anonymous.map(|scope| scope.min(Scope::Read))));
        }
        match &self.config.local_user {
            Some(user) if local::is_own(headers, peer).await => Ok(Caller::user(user, Scope::Admin)),
            _ => Ok(Caller::anonymous(self.config.anonymous)),
        }
    }

    /// The key of an account.
    async fn key(&self, key: &str) -> Result<Caller, AuthError> {
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

    /// An access token. An account that was configured for its subject bounds what it may do, and so do scopes
    /// that it names. A subject without account never bears the name of one.
    async fn signed(&self, oidc: &Oidc, token: &str) -> Result<Caller, AuthError> {
        let bearer = oidc.verify(token).await.map_err(|e| match e {
            OidcError::Refused(why) => {
                tracing::info!("an access token was refused: {why}");
                AuthError::Refused(INVALID_ACCESS)
            }
            OidcError::Unavailable(what) => AuthError::Unavailable(swf_tools::Error::Unavailable { what }),
        })?;
        let Some(account) = bearer.account else {
            let scope = bearer.granted.or(oidc.config().default_scope);
            return Ok(Caller { user: Some(format!("oauth:{}", bearer.subject)), scope });
        };
        let Some(owner) = accounts::named(&self.db, &account).await? else {
            tracing::warn!(
                "oauth.users names the account {account}, which does not exist; make it with `swf token`"
            );
            return Err(AuthError::Refused(INACTIVE));
        };
        let mut caller = self.caller_of(owner)?;
        caller.scope = caller.scope.map(|has| bearer.granted.map_or(has, |granted| granted.min(has)));
        Ok(caller)
    }

    async fn named(&self, name: &str, peer: Option<SocketAddr>) -> Result<Caller, AuthError> {
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
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0u8, |seen, (x, y)| seen | (x ^ y));
    a.len() == b.len() && difference == 0
}
