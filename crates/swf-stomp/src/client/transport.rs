//! One TCP or TLS connection, logged in.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::BytesMut;
use rustls::{
    ClientConfig as TlsConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::config::{ClientConfig, Tls, TlsIdentity};
use crate::{Codec, Error, Frame, Version, encode};

/// Both halves of a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that the broker has let in.
pub(super) struct Opened {
    pub stream: Box<dyn Stream>,
    pub codec: Codec,
    /// Bytes that came after the CONNECTED frame.
    pub input: BytesMut,
    pub version: Version,
    /// Send something at least this often; zero for never.
    pub send_every: Duration,
    /// Something comes at least this often; zero for no promise.
    pub receive_every: Duration,
}

/// Connects and logs in, within the configured time.
pub(super) async fn open(config: &ClientConfig) -> Result<Opened, Error> {
    let failed = |source| Error::Connect { address: config.address(), source };
    match tokio::time::timeout(config.connect_timeout, dial(config)).await {
        Ok(opened) => opened,
        Err(_) => Err(failed(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", config.connect_timeout.as_secs_f32()),
        ))),
    }
}

async fn dial(config: &ClientConfig) -> Result<Opened, Error> {
    let failed = |source| Error::Connect { address: config.address(), source };
    let socket = TcpStream::connect((config.host.as_str(), config.port)).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let stream: Box<dyn Stream> = match &config.tls {
        None => Box::new(socket),
        Some(tls) => {
            let name = tls.server_name.as_ref().unwrap_or(&config.host);
            let name = ServerName::try_from(name.clone())
                .map_err(|why| Error::Invalid { what: "TLS server name", why: format!("{name:?}: {why}") })?;
            let connector = TlsConnector::from(Arc::new(tls_config(tls, config.tls_identity.as_ref())?));
            Box::new(connector.connect(name, socket).await.map_err(failed)?)
        }
    };
    log_in(config, stream).await
}

fn tls_config(tls: &Tls, identity: Option<&TlsIdentity>) -> Result<TlsConfig, Error> {
    let roots = trusted(tls)?;
    // Named here because a process-wide default would be another crate's business.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let invalid = |error: rustls::Error| Error::Invalid { what: "TLS", why: error.to_string() };
    let config = TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_root_certificates(roots);
    match identity {
        None => Ok(config.with_no_client_auth()),
        Some(TlsIdentity { cert_file, key_file }) => {
            let chain = certificates(cert_file)?;
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unreadable(key_file, &error))?;
            config.with_client_auth_cert(chain, key).map_err(invalid)
        }
    }
}

/// The authorities to trust.
fn trusted(tls: &Tls) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| unreadable(path, &error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let why = "the system trusts nobody; name a PEM file with the broker's authority".into();
                return Err(Error::Invalid { what: "TLS authorities", why });
            }
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let list = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, &error))?;
    if list.is_empty() {
        return Err(unreadable(path, &"it holds no certificate, a PEM file with one is needed"));
    }
    Ok(list)
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Invalid { what: "TLS file", why: format!("{}: {why}", path.display()) }
}

async fn log_in(config: &ClientConfig, mut stream: Box<dyn Stream>) -> Result<Opened, Error> {
    let failed = |source| Error::Connect { address: config.address(), source };
    let beat = config.heart_beat.as_millis();
    let mut connect = Frame::new("CONNECT")
        .with("accept-version", "1.0,1.1,1.2")
        .with("host", config.host_header())
        .with("heart-beat", format!("{beat},{beat}"));
    if !config.login.is_empty() {
        connect = connect.with("login", &config.login).with("passcode", &config.passcode);
    }
    if let Some(client_id) = &config.client_id {
        connect = connect.with("client-id", client_id);
    }
    let mut output = BytesMut::new();
    encode(&connect, Version::V1_0, &mut output);
    stream.write_all(&output).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let mut codec = Codec::new(config.limits);
    let mut input = BytesMut::with_capacity(16 << 10);
    let answer = loop {
        if let Some(frame) = codec.decode(&mut input)? {
            break frame;
        }
        if stream.read_buf(&mut input).await.map_err(failed)? == 0 {
            let why = "closed by the broker before it let us in";
            return Err(failed(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
        }
    };
    if answer.command != "CONNECTED" {
        let operation = format!("let {:?} in at {}", config.login, config.address());
        return Err(Error::Refused { operation, reason: error_text(&answer) });
    }
    let version = answer.get("version").and_then(Version::best_of).unwrap_or_default();
    codec.set_version(version);
    let (send_every, receive_every) = agree(config.heart_beat, answer.get("heart-beat").unwrap_or("0,0"));
    Ok(Opened { stream, codec, input, version, send_every, receive_every })
}

/// The two intervals that follow from our wish and the broker's `sends,wants`; zero for none.
fn agree(ours: Duration, theirs: &str) -> (Duration, Duration) {
    let (sends, wants) = theirs.split_once(',').unwrap_or(("0", "0"));
    let interval = |text: &str| Duration::from_millis(text.trim().parse().unwrap_or(0));
    let both =
        |theirs: Duration| if ours.is_zero() || theirs.is_zero() { Duration::ZERO } else { ours.max(theirs) };
    (both(interval(wants)), both(interval(sends)))
}

/// What an ERROR frame says: its `message` header, and the first line of its body where that says more
/// (ActiveMQ sends a stack trace there).
pub(super) fn error_text(frame: &Frame) -> String {
    let message = frame.get("message").unwrap_or(&frame.command).trim();
    let body = String::from_utf8_lossy(&frame.body);
    let line: String = body.trim().lines().next().unwrap_or_default().chars().take(300).collect();
    match (line.contains(message), message.contains(&line)) {
        (true, _) => line,
        (_, true) => message.to_owned(),
        _ => format!("{message}: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heart_beats_are_the_slower_of_both_sides_wishes() {
        let seconds = Duration::from_secs;
        assert_eq!(agree(seconds(10), "5000,30000"), (seconds(30), seconds(10)));
        assert_eq!(agree(seconds(10), "0,20000"), (seconds(20), Duration::ZERO));
        assert_eq!(agree(Duration::ZERO, "5000,5000"), (Duration::ZERO, Duration::ZERO));
        assert_eq!(agree(seconds(10), "nonsense"), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn an_error_frame_is_told_in_one_line() {
        let frame = |message: &str, body: &str| {
            error_text(&Frame::new("ERROR").with("message", message).with_body(body.as_bytes().to_vec()))
        };
        assert_eq!(frame("no id!", "x.ProtocolException: no id!\n\tat x.y"), "x.ProtocolException: no id!");
        assert_eq!(
            frame("Bad CONNECT", "Access refused for user 'a'\n"),
            "Bad CONNECT: Access refused for user 'a'"
        );
        assert_eq!(frame("gone", ""), "gone");
    }

    #[test]
    fn a_missing_authority_file_is_named() {
        let tls = Tls { ca_file: Some("/nowhere/ca.pem".into()), server_name: None };
        assert!(tls_config(&tls, None).unwrap_err().to_string().contains("/nowhere/ca.pem"));
    }
}
