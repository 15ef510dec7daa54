//! Typed asynchronous client of the monitor's REST API: what agents, command line and bot call.
//!
//! *Invariant:* only transient causes (no connection, timeout, 500, 502, 503, 504) are tried again, and only
//! until the patience of the client at hand has run out; a 4xx comes back at once.
//! *Invariant:* redirects are never followed, so a POST never turns into a GET.

mod calls;
mod error;
mod rows;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::Error;
pub use rows::*;

/// First wait before a repeated call; each further wait doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// So many characters of an error answer are kept.
const WORDS: usize = 500;

/// How to reach the monitor.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Address including the deployment prefix, without `/api`: `http://127.0.0.1:8000/swf-monitor`.
    pub base_url: String,
    /// DRF token, sent as `Authorization: Token …`.
    pub token: Option<String>,
    /// PEM file of the authority that signed the monitor's certificate, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Limit of one try.
    pub timeout: Duration,
    /// How long transient failures are tried again. Zero: never.
    pub patience: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            base_url: "http://127.0.0.1:8000/swf-monitor".into(),
            token: None,
            ca_file: None,
            timeout: Duration::from_secs(10),
            patience: Duration::from_secs(60),
        }
    }
}

/// A handle on the monitor; clones share one connection pool.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
    patience: Duration,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    base: String,
    authorization: Option<String>,
    timeout: Duration,
}

impl Client {
    /// Build a client. Opens no connection yet. A rustls crypto provider must be installed before.
    ///
    /// # Errors
    /// A base address that is not http(s), an unreadable CA file.
    pub fn new(config: &ClientConfig) -> Result<Self, Error> {
        let setup = |why: String| Error::Setup { base_url: config.base_url.clone(), why };
        let base = config.base_url.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&base)
            .map_err(|error| setup(format!("{error}; give http://host:port/prefix")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(setup(format!("scheme {:?} is not http or https", url.scheme())));
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(config.timeout.min(Duration::from_secs(5)))
            .tcp_nodelay(true)
            .user_agent(concat!("swf/", env!("CARGO_PKG_VERSION")));
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path)
                .map_err(|error| setup(format!("read CA file {}: {error}", path.display())))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| setup(format!("CA file {}: {error}", path.display())))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| setup(error.to_string()))?;
        let authorization = config.token.as_ref().map(|token| format!("Token {token}"));
        let inner = Arc::new(Inner { http, base, authorization, timeout: config.timeout });
        Ok(Self { inner, patience: config.patience })
    }

    /// The same client with another patience: how long transient failures are tried again.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { inner: Arc::clone(&self.inner), patience }
    }

    /// Base address without the closing slash.
    pub fn base_url(&self) -> &str {
        &self.inner.base
    }

    /// Call a tool by its wire name with a JSON object of arguments; answers the tool's JSON result.
    ///
    /// # Errors
    /// Any [`Error`]; a refusal of the tool is [`Error::Status`] with the problem's text.
    pub async fn call_tool(&self, name: &str, arguments: Value) -> Result<Value, Error> {
        self.post(&format!("api/v1/tools/{name}"), &arguments).await
    }

    /// GET a path below the base address with query pairs.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Error> {
        self.request("GET", path, query, None).await
    }

    /// POST a JSON body to a path below the base address.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let body = encode("POST", path, body)?;
        self.request("POST", path, &[], Some(body)).await
    }

    /// PATCH a row with a JSON body. `merge` asks the monitor to merge JSON columns key by key instead of
    /// replacing them.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        merge: bool,
    ) -> Result<T, Error> {
        let body = encode("PATCH", path, body)?;
        let query: &[(&str, &str)] = if merge { &[("merge", "true")] } else { &[] };
        self.request("PATCH", path, query, Some(body)).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.once(method, path, query, body.clone()).await {
                Ok(bytes) => {
                    return serde_json::from_slice(&bytes).map_err(|error| Error::Answer {
                        method,
                        path: path.to_owned(),
                        why: format!("{error} in {:?}", shorten(&String::from_utf8_lossy(&bytes), 200)),
                    });
                }
                Err(error) => error,
            };
            let pause = jittered(wait);
            if !error.is_transient() || started.elapsed().saturating_add(pause) > self.patience {
                return Err(error);
            }
            tracing::debug!(%error, wait_seconds = pause.as_secs_f64(), "call to the monitor is tried again");
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn once(
        &self,
        method: &'static str,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Error> {
        let url = format!("{}/{}", self.inner.base, path.trim_start_matches('/'));
        let verb = match method {
            "POST" => Method::POST,
            "PATCH" => Method::PATCH,
            _ => Method::GET,
        };
        let mut request = self.inner.http.request(verb, &url).timeout(self.inner.timeout);
        request = request.header("accept", "application/json");
        if !query.is_empty() {
            request = request.query(query);
        }
        if let Some(authorization) = &self.inner.authorization {
            request = request.header("authorization", authorization);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let transport = |error: reqwest::Error| {
            if error.is_timeout() {
                Error::Timeout { method, url: url.clone(), after: self.inner.timeout }
            } else {
                Error::Connect { method, url: url.clone(), why: deepest(&error) }
            }
        };
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(transport)?;
        if status.is_success() {
            return Ok(bytes.to_vec());
        }
        let words = shorten(&String::from_utf8_lossy(&bytes), WORDS);
        Err(Error::Status { method, path: path.to_owned(), status: status.as_u16(), words })
    }
}

fn encode(method: &'static str, path: &str, body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|error| Error::Request {
        method,
        path: path.to_owned(),
        why: error.to_string(),
    })
}

/// Up to a quarter more or less, so that many agents do not come back in step.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.75 + rand::random::<f64>() * 0.5)
}

/// reqwest's own text hides the cause; the last link of the chain says what the socket said.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
