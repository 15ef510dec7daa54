//! TLS with an authority of our own, made on the spot.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use swf_stomp::{Client, ClientConfig, Message, Subscribe, Tls, TlsIdentity};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::*;

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority and a certificate for `broker.test`.
fn certificates(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("names"), "subjectAltName=DNS:broker.test\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=swf-test-authority",
    );
    openssl(folder, "req -newkey rsa:2048 -nodes -keyout broker.key -out broker.csr -subj /CN=broker.test");
    openssl(
        folder,
        "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out broker.pem",
    );
    folder.join("ca.pem")
}

/// Ends TLS in front of a plain broker; asks clients for a certificate of the same authority if wished.
async fn tls_front(folder: &Path, target: SocketAddr, ask: bool) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_file(folder.join("broker.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("broker.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if ask {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(socket).await else { return };
                let mut far = TcpStream::connect(target).await.unwrap();
                // A test ends by dropping its connections.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_broker_with_a_certificate_of_a_given_authority_is_trusted_and_no_other() {
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("the openssl command is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let ca_file = certificates(folder.path());
    let broker = broker().await;
    let front = tls_front(folder.path(), broker.addr(), false).await;
    let config = |ca_file: Option<PathBuf>, name: &str| ClientConfig {
        tls: Some(Tls { ca_file, server_name: Some(name.into()) }),
        ..client_config(front)
    };
    let client = Client::start(config(Some(ca_file.clone()), "broker.test"));
    let mut subscription = client.subscribe(Subscribe::to("/topic/x")).await.unwrap();
    let large = "x".repeat(300_000);
    client.send(Message::new("/topic/x", large.clone())).await.unwrap();
    assert_eq!(text(&next(&mut subscription).await), large);
    client.shutdown().await;

    let other = tempfile::tempdir().unwrap();
    let foreign = certificates(other.path());
    for (wrong, expected) in [
        (config(Some(ca_file), "elsewhere.test"), "NotValidForName"),
        (config(Some(foreign), "broker.test"), "certificate"),
    ] {
        let client = Client::start(wrong);
        let mut status = client.status();
        let refused = within(status.wait_for(|status| status.last_error.is_some())).await.unwrap().clone();
        let text = refused.last_error.unwrap();
        assert!(text.contains(expected) || text.contains("not valid for name"), "{text}");
        assert!(!refused.connected);
    }
}

#[tokio::test]
async fn a_certificate_is_shown_to_a_broker_that_asks_for_one() {
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("the openssl command is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let ca_file = certificates(folder.path());
    let broker = broker().await;
    let front = tls_front(folder.path(), broker.addr(), true).await;
    let nameless = ClientConfig {
        tls: Some(Tls { ca_file: Some(ca_file), server_name: Some("broker.test".into()) }),
        ..client_config(front)
    };
    let refused = Client::start(nameless.clone());
    let mut status = refused.status();
    assert!(!within(status.wait_for(|status| status.last_error.is_some())).await.unwrap().connected);
    let identity = TlsIdentity {
        cert_file: folder.path().join("broker.pem"),
        key_file: folder.path().join("broker.key"),
    };
    let client = Client::start(ClientConfig { tls_identity: Some(identity), ..nameless });
    client.connected(PATIENCE).await.unwrap();
    client.send(Message::new("/queue/x", "hello")).await.unwrap();
    client.shutdown().await;
}
