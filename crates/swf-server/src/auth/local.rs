//! Processes of the same account on the same machine.
//!
//! Who can start a process as the server's own account can read its database and its configuration anyway, so
//! such a caller is not a stranger. The kernel says whose socket the other end of a loopback connection is; a
//! request that something forwarded says nothing about where it began, and does not count.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

/// Headers that proxies add.
const FORWARDED: &[&str] = &["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];
/// State of an established connection in the kernel's tables.
const ESTABLISHED: &str = "01";

/// True when the other end of a connection belongs to the account of this process.
pub(super) async fn is_own(headers: &HeaderMap, peer: Option<SocketAddr>) -> bool {
    let Some(peer) = peer else { return false };
    if !peer.ip().to_canonical().is_loopback() || FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    let own = rustix::process::geteuid().as_raw();
    owner(peer).await == Some(own)
}

/// The account of a loopback socket; `None` when it cannot be told for sure.
async fn owner(socket: SocketAddr) -> Option<u32> {
    let mut found = Vec::new();
    for (table, address) in [("/proc/net/tcp", v4(socket)), ("/proc/net/tcp6", Some(v6(socket)))] {
        let Some(address) = address else { continue };
        // Without the table (another system than Linux) nobody is recognised.
        let text = tokio::fs::read_to_string(table).await.unwrap_or_default();
        found.extend(owners(&text, &address));
    }
    let first = *found.first()?;
    found.iter().all(|uid| *uid == first).then_some(first)
}

/// Accounts of the established sockets with this local address.
fn owners(table: &str, address: &str) -> Vec<u32> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let uid = fields.nth(3)?.parse().ok()?;
        (local.eq_ignore_ascii_case(address) && state == ESTABLISHED).then_some(uid)
    });
    rows.collect()
}

/// The kernel writes addresses as words in the order of the machine.
fn v4(socket: SocketAddr) -> Option<String> {
    match socket.ip().to_canonical() {
        IpAddr::V4(ip) => Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), socket.port())),
        IpAddr::V6(_) => None,
    }
}

fn v6(socket: SocketAddr) -> String {
    let octets = match socket.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let (words, _) = octets.as_chunks::<4>();
    let words: String = words.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect();
    format!("{words}:{:04X}", socket.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn the_account_of_a_loopback_connection_is_found_on_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address).await else { continue };
            let port = listener.local_addr().unwrap().port();
            let target = if address.starts_with("[::1]") { "[::1]" } else { "127.0.0.1" };
            let client = TcpStream::connect(format!("{target}:{port}")).await.unwrap();
            let (_server, peer) = listener.accept().await.unwrap();
            assert_eq!(owner(peer).await, Some(rustix::process::geteuid().as_raw()), "{address} {peer}");
            assert!(is_own(&HeaderMap::new(), Some(peer)).await);
            let mut forwarded = HeaderMap::new();
            forwarded.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
            assert!(!is_own(&forwarded, Some(peer)).await);
            drop(client);
        }
        assert!(!is_own(&HeaderMap::new(), Some("192.0.2.1:4000".parse().unwrap())).await);
        assert!(!is_own(&HeaderMap::new(), None).await);
    }

    #[test]
    fn only_established_sockets_with_that_address_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1\n\
            1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 2\n\
            2: 0100007F:C351 0100007F:1F90 06 00000000:00000000 00:00000000 00000000  1002        0 3\n\
            3: broken\n";
        assert_eq!(owners(table, "0100007F:C350"), [1001]);
        assert!(owners(table, "0100007F:C351").is_empty());
        assert!(owners(table, "0100007F:1F90").is_empty());
    }
}
