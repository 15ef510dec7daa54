//! How many log records a peer without token may send.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Limits for log records that come without token.
#[derive(Debug, Clone, Copy)]
pub struct LogIntake {
    /// Records per second and peer, in the long run.
    pub per_second: f64,
    /// Records that a peer may send at once.
    pub burst: f64,
    /// Bytes of one request.
    pub most_bytes: usize,
}

impl Default for LogIntake {
    /// A testbed of a dozen agents on one host, all of them chatty.
    fn default() -> LogIntake {
        LogIntake { per_second: 100.0, burst: 2000.0, most_bytes: 64 << 10 }
    }
}

/// Peers remembered at most; the ones that have been quiet longest are forgotten first.
const MOST: usize = 4096;

/// What each peer has left.
#[derive(Default)]
pub(super) struct Peers(Mutex<HashMap<IpAddr, (f64, Instant)>>);

impl Peers {
    /// Takes `records` from what the peer has left; otherwise says how many seconds to wait.
    pub fn take(&self, peer: Option<IpAddr>, records: usize, limits: &LogIntake) -> Result<(), u64> {
        // Peers whose address is not known share one allowance.
        let peer = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let now = Instant::now();
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MOST && !peers.contains_key(&peer) {
            forget_full(&mut peers, limits, now);
        }
        let (left, at) = peers.entry(peer).or_insert((limits.burst, now));
        let earned = now.duration_since(*at).as_secs_f64() * limits.per_second;
        *left = (*left + earned).min(limits.burst);
        *at = now;
        let wanted = records as f64;
        if *left >= wanted {
            *left -= wanted;
            return Ok(());
        }
        let seconds = (wanted - *left) / limits.per_second.max(0.001);
        Err(seconds.ceil().clamp(1.0, 3600.0) as u64)
    }
}

/// Forgets peers that have earned everything back; if there are none, all: better generous than forgetful
/// of memory.
fn forget_full(peers: &mut HashMap<IpAddr, (f64, Instant)>, limits: &LogIntake, now: Instant) {
    peers.retain(|_, (left, at)| {
        *left + now.duration_since(*at).as_secs_f64() * limits.per_second < limits.burst
    });
    if peers.len() >= MOST {
        peers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_has_used_its_allowance_is_told_how_long_to_wait() {
        let limits = LogIntake { per_second: 1.0, burst: 3.0, most_bytes: 10 };
        let peers = Peers::default();
        let (one, other) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(peers.take(one, 3, &limits), Ok(()));
        assert_eq!(peers.take(one, 2, &limits), Err(2));
        assert_eq!(peers.take(other, 1, &limits), Ok(()));
    }
}
