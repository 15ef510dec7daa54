//! Access tokens of an OAuth 2.1 authorization server (Auth0 in production): signature, issuer, audience, time,
//! and what the bearer may do here.
//!
//! *Invariant:* a token that was not made for this server is refused, whoever signed it; the token is never
//! passed on to anybody.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use swf_tools::Scope;
use tokio::sync::Mutex;

/// The authorization server whose tokens are taken.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its identifier as tokens name it, e.g. `https://tenant.us.auth0.com/`.
    pub issuer: String,
    /// Audiences that mean this server; the first is announced as the resource.
    pub audiences: Vec<String>,
    /// Where its keys are; `None` asks the issuer's `/.well-known/openid-configuration`.
    pub jwks_url: Option<String>,
    /// What a token may do that names no scope of ours and belongs to no account here.
    pub default_scope: Option<Scope>,
    /// Accounts here by subject or verified e-mail address there.
    pub users: BTreeMap<String, String>,
    /// Address of the document that tells clients how to sign in.
    pub metadata_url: String,
}

/// A token that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Who the issuer says it is.
    pub subject: String,
    /// The account here that stands for the subject, if one was configured.
    pub account: Option<String>,
    /// The most that the token's own scopes allow, when it names any of ours.
    pub granted: Option<Scope>,
}

/// Why a token is refused or cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The token is wrong; the reason is for the log.
    #[error("{0}")]
    Refused(String),
    /// The issuer's keys cannot be had.
    #[error("{0}")]
    Unavailable(String),
}

/// Keys older than this are fetched again.
const FRESH: Duration = Duration::from_secs(3600);
/// After a fetch, wanted or failed, the issuer is left alone for this long.
const PAUSE: Duration = Duration::from_secs(30);
/// No issuer takes longer to answer.
const FETCH: Duration = Duration::from_secs(5);
/// Key sets and configuration documents are small.
const MOST_BYTES: usize = 256 * 1024;
/// Clocks differ by this much at most, seconds.
const LEEWAY: u64 = 60;
/// Signatures that are taken; never the symmetric ones, for which a public key would be the secret.
const ALGORITHMS: &[Algorithm] = &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256];

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    /// Blank-separated, as RFC 9068 says.
    #[serde(default)]
    scope: String,
    /// Auth0's list of rights.
    #[serde(default)]
    permissions: Vec<String>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The issuer's keys as last seen.
#[derive(Default)]
struct Keys {
    set: Option<JwkSet>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

/// Checks tokens of one issuer.
pub struct Oidc {
    config: Config,
    client: OnceLock<Option<reqwest::Client>>,
    keys: Mutex<Keys>,
}

impl Oidc {
    /// Asks nobody yet.
    pub fn new(config: Config) -> Oidc {
        Oidc { config, client: OnceLock::new(), keys: Mutex::default() }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// True for texts in the form of a signed token; keys of accounts have no dots.
    pub fn is_token(text: &str) -> bool {
        text.split('.').count() == 3
    }

    /// Checks a token and says whose it is.
    pub async fn verify(&self, token: &str) -> Result<Bearer, OidcError> {
        let refused = |e: jsonwebtoken::errors::Error| OidcError::Refused(e.to_string());
        let header = jsonwebtoken::decode_header(token).map_err(refused)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(OidcError::Refused(format!("signed with {:?}, which is not taken", header.alg)));
        }
        let jwk = self.key(header.kid.as_deref()).await?;
        let key = DecodingKey::from_jwk(&jwk).map_err(refused)?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&self.config.audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(refused)?.claims;
        Ok(self.bearer(claims))
    }

    fn bearer(&self, claims: Claims) -> Bearer {
        let email = claims.email.filter(|_| claims.email_verified);
        let known = |name: &String| self.config.users.get(name).cloned();
        let account = known(&claims.sub).or_else(|| email.as_ref().and_then(known));
        let named =
            claims.scope.split_ascii_whitespace().chain(claims.permissions.iter().map(String::as_str));
        let granted = named.filter_map(|s| s.strip_prefix("swf:")?.parse().ok()).max();
        Bearer { subject: claims.sub, account, granted }
    }

    /// The key a token was signed with. One that is not known may be new: the issuer is asked again, but not
    /// by every token that somebody makes up.
    async fn key(&self, kid: Option<&str>) -> Result<Jwk, OidcError> {
        let mut keys = self.keys.lock().await;
        let stale = keys.fetched.is_none_or(|at| at.elapsed() > FRESH);
        let found = keys.find(kid);
        if let (Some(jwk), false) = (&found, stale) {
            return Ok(jwk.clone());
        }
        if keys.tried.is_none_or(|at| at.elapsed() > PAUSE) {
            keys.tried = Some(Instant::now());
            match self.fetch().await {
                Ok(set) => {
                    keys.set = Some(set);
                    keys.fetched = Some(Instant::now());
                }
                // The keys of before stay good while the issuer is away.
                Err(e) => tracing::warn!("keys of {} could not be fetched: {e}", self.config.issuer),
            }
        }
        let known = keys.set.is_some();
        match keys.find(kid).or(found) {
            Some(jwk) => Ok(jwk),
            None if known => Err(OidcError::Refused(format!(
                "signed with key {:?}, which {} does not have",
                kid.unwrap_or(""),
                self.config.issuer
            ))),
            None => {
                Err(OidcError::Unavailable(format!("keys of {} are not to be had now", self.config.issuer)))
            }
        }
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let url = match &self.config.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        self.get(&url).await
    }

    async fn discover(&self) -> Result<String, String> {
        let url = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let found: Discovery = self.get(&url).await?;
        if found.issuer != self.config.issuer {
            return Err(format!("{url} is the document of {:?}; correct oauth.issuer", found.issuer));
        }
        Ok(found.jwks_uri)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let client = self.client.get_or_init(|| reqwest::Client::builder().timeout(FETCH).build().ok());
        let client = client.as_ref().ok_or("the HTTP client could not be made")?;
        let mut answer = client
            .get(url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|e| format!("{url}: {e}"))?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| format!("{url}: {e}"))? {
            body.extend_from_slice(&part);
            if body.len() > MOST_BYTES {
                return Err(format!("{url}: more than {MOST_BYTES} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|e| format!("{url}: {e}"))
    }
}

impl Keys {
    /// By id; a token without id is taken when there is one key only.
    fn find(&self, kid: Option<&str>) -> Option<Jwk> {
        let set = self.set.as_ref()?;
        match (kid, set.keys.as_slice()) {
            (Some(kid), _) => set.find(kid).cloned(),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }
}
