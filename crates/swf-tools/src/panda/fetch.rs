//! The only door to the outside: GET from hosts that were configured, with limits on time, size and redirects.
//!
//! *Invariant:* an address out of a database row is fetched only when its host is in the settings and does not
//! lead to a private address; TLS is always verified.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, header, redirect};

use super::Settings;

/// Redirects followed at most; each target is checked like the first address.
const REDIRECTS: usize = 3;
/// What is kept of an answer is its end, and this many times as much is read to get there.
const READ_AHEAD: usize = 10;

/// Fetches from configured hosts.
pub struct Fetcher {
    allowed: HashSet<String>,
    private: Arc<HashSet<String>>,
    timeout: Duration,
    bytes: usize,
    client: OnceLock<Result<Client, String>>,
}

/// What came back.
pub struct Fetched {
    /// HTTP status.
    pub status: u16,
    /// Where it came from in the end.
    pub url: String,
    /// The body, or its end.
    pub body: Vec<u8>,
    /// The body was longer than allowed.
    pub cut: bool,
    /// `Content-Type`.
    pub content_type: String,
}

impl Fetched {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Fetcher {
    /// A fetcher for the hosts of the settings.
    pub fn new(settings: &Settings) -> Fetcher {
        let bases = [&settings.api_url, &settings.nersc_url].into_iter().flatten();
        let hosts = bases.filter_map(|base| Url::parse(base).ok()?.host_str().map(str::to_owned));
        let private: HashSet<String> = settings.private_hosts.iter().map(|h| h.to_lowercase()).collect();
        Fetcher {
            allowed: hosts.chain(settings.log_hosts.iter().cloned()).map(|h| h.to_lowercase()).collect(),
            private: Arc::new(private),
            timeout: settings.fetch_timeout,
            bytes: settings.fetch_bytes,
            client: OnceLock::new(),
        }
    }

    /// True when at least one host may be asked.
    pub fn has_hosts(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// Gets an address. The text says why not.
    pub async fn get(&self, url: &str, accept: &str) -> Result<Fetched, String> {
        let work = self.follow(url, accept);
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(format!("{} did not answer within {} s", host_of(url), self.timeout.as_secs())),
        }
    }

    async fn follow(&self, url: &str, accept: &str) -> Result<Fetched, String> {
        let client = self.client()?;
        let mut url = self.check(url)?;
        for _ in 0..=REDIRECTS {
            let asked = client
                .get(url.clone())
                .header(header::ACCEPT, accept)
                .header(header::USER_AGENT, concat!("swf/", env!("CARGO_PKG_VERSION")));
            let host = url.host_str().unwrap_or_default().to_owned();
            let answer =
                asked.send().await.map_err(|e| format!("{host} is out of reach ({})", reason(&e)))?;
            let status = answer.status();
            let target =
                answer.headers().get(header::LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
            if let (true, Some(target)) = (status.is_redirection(), target) {
                let target =
                    url.join(&target).map_err(|_| format!("{host} redirects to an address that is none"))?;
                url = self.check(target.as_str())?;
                continue;
            }
            return self.read(answer, url, status.as_u16()).await;
        }
        Err(format!("{} redirects more than {REDIRECTS} times", host_of(url.as_str())))
    }

    async fn read(&self, mut answer: reqwest::Response, url: Url, status: u16) -> Result<Fetched, String> {
        let content_type = answer.headers().get(header::CONTENT_TYPE).and_then(|t| t.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let (mut body, mut seen, mut cut) = (Vec::new(), 0usize, false);
        let host = url.host_str().unwrap_or_default().to_owned();
        while let Some(chunk) =
            answer.chunk().await.map_err(|e| format!("{host} broke off ({})", reason(&e)))?
        {
            seen += chunk.len();
            body.extend_from_slice(&chunk);
            if body.len() > 2 * self.bytes {
                body.drain(..body.len() - self.bytes);
                cut = true;
            }
            if seen > READ_AHEAD * self.bytes {
                cut = true;
                break;
            }
        }
        if body.len() > self.bytes {
            body.drain(..body.len() - self.bytes);
            cut = true;
        }
        Ok(Fetched { status, url: url.to_string(), body, cut, content_type })
    }

    fn check(&self, url: &str) -> Result<Url, String> {
        let parsed = Url::parse(url).map_err(|_| "the recorded log address is not a URL".to_owned())?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("addresses with {}: are not fetched", parsed.scheme()));
        }
        let host = parsed.host_str().unwrap_or_default().to_lowercase();
        if !self.allowed.contains(&host) {
            return Err(format!("{host} is not among the configured log hosts"));
        }
        // Literal addresses never pass the resolver, so they are judged here.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(is_private) && !self.private.contains(&host) {
            return Err(format!("{host} is a private address"));
        }
        Ok(parsed)
    }

    fn client(&self) -> Result<Client, String> {
        let made = self.client.get_or_init(|| {
            // The process may have chosen a provider already; then that one stays.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Client::builder()
                .redirect(redirect::Policy::none())
                .no_proxy()
                .connect_timeout(self.timeout)
                .dns_resolver(Arc::new(PublicOnly(self.private.clone())))
                .build()
                .map_err(|e| format!("the HTTP client could not be made ({e})"))
        });
        made.clone()
    }
}

/// Resolves names, and refuses those that lead to private addresses unless they are configured to.
struct PublicOnly(Arc<HashSet<String>>);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let may = private.contains(&host.to_lowercase());
            if !may && found.iter().any(|a| is_private(a.ip())) {
                return Err(format!("{host} leads to a private address").into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => is_private_v4(a),
        IpAddr::V6(a) => match a.to_ipv4_mapped() {
            Some(mapped) => is_private_v4(mapped),
            None => {
                a.is_loopback()
                    || a.is_unspecified()
                    || a.is_multicast()
                    || a.is_unique_local()
                    || a.is_unicast_link_local()
            }
        },
    }
}

fn is_private_v4(a: Ipv4Addr) -> bool {
    let [first, second, ..] = a.octets();
    a.is_private()
        || a.is_loopback()
        || a.is_link_local()
        || a.is_unspecified()
        || a.is_broadcast()
        || a.is_multicast()
        || first == 0
        // Shared address space of carriers.
        || (first == 100 && (64..128).contains(&second))
}

fn host_of(url: &str) -> String {
    Url::parse(url).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_else(|| "the host".into())
}

/// The innermost cause: reqwest's own text repeats the address.
fn reason(e: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetcher(log_hosts: &[&str], private_hosts: &[&str]) -> Fetcher {
        let owned = |hosts: &[&str]| hosts.iter().map(|h| (*h).to_owned()).collect();
        Fetcher::new(&Settings {
            log_hosts: owned(log_hosts),
            private_hosts: owned(private_hosts),
            ..Settings::default()
        })
    }

    #[test]
    fn only_configured_hosts_and_no_private_addresses_are_asked() {
        let f = fetcher(&["logs.example.org", "10.0.0.7", "127.0.0.1", "[::1]"], &["127.0.0.1"]);
        assert!(f.check("https://logs.example.org/a.out").is_ok());
        assert!(f.check("http://127.0.0.1:8080/a").is_ok());
        let why = |url: &str| f.check(url).unwrap_err();
        assert!(why("https://evil.example.org/").contains("not among the configured"));
        assert!(why("http://10.0.0.7/").contains("private"));
        assert!(why("http://[::1]/").contains("private"));
        assert!(why("file:///etc/passwd").contains("file:"));
        assert!(why("https://logs.example.org@evil.org/").contains("evil.org"));
        assert!(why("unknown").contains("not a URL"));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_refused() {
        let f = fetcher(&["localhost"], &[]);
        let why = f.get("http://localhost:9/", "*/*").await.err().unwrap();
        assert!(why.contains("private address"), "{why}");
    }
}
