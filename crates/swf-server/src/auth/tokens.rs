//! Tokens seen lately, so that not every heartbeat asks the database who sends it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use swf_tools::Caller;

/// A revoked token works at most this much longer.
const KEPT: Duration = Duration::from_secs(30);
/// More callers than any installation has; beyond it the memory is cleared.
const MOST: usize = 10_000;

/// Callers by the digest of their token; the tokens themselves are not kept.
#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<[u8; 32], (Instant, Caller)>>);

impl Cache {
    /// The caller, if the token was seen lately.
    pub fn get(&self, digest: &[u8; 32]) -> Option<Caller> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(digest) {
            Some((at, caller)) if at.elapsed() < KEPT => Some(caller.clone()),
            Some(_) => {
                kept.remove(digest);
                None
            }
            None => None,
        }
    }

    /// Remembers a token that was found good.
    pub fn keep(&self, digest: [u8; 32], caller: Caller) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(digest, (Instant::now(), caller));
    }
}
