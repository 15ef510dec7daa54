//! Signatures of messages: who has the shared key can tell that a message comes from another who has it, was meant
//! for this destination, and is not old.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Headers, Message};

/// Header with the signature, in hexadecimal digits.
pub const SIGNATURE: &str = "swf-signature";
/// Header with the moment of signing, milliseconds of Unix time.
pub const SIGNED_AT: &str = "swf-signed-at";
/// A signature from the future is taken up to this difference of two clocks.
const AHEAD: Duration = Duration::from_secs(60);

/// Signs and checks with one key.
#[derive(Clone)]
pub struct Signer {
    key: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// With the key that all parties share; `None` for an empty one.
    pub fn new(key: &str) -> Option<Signer> {
        (!key.is_empty()).then(|| Signer { key: key.to_owned() })
    }

    /// The message with its signature over destination, time and body.
    #[must_use]
    pub fn sign(&self, message: Message) -> Message {
        let at = now_ms().to_string();
        let Some(mac) = self.mac(&message.destination, &at, &message.body) else { return message };
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        message.with(SIGNED_AT, at).with(SIGNATURE, digits)
    }

    /// Checks a message that came; the error says what is wrong with it.
    pub fn check(
        &self,
        destination: &str,
        headers: &Headers,
        body: &[u8],
        oldest: Duration,
    ) -> Result<(), String> {
        let (Some(at), Some(digits)) = (headers.get(SIGNED_AT), headers.get(SIGNATURE)) else {
            return Err("it is not signed; configure broker.command_key at its sender".into());
        };
        let given = bytes_of(digits).ok_or("its signature is not readable")?;
        let verified = self.mac(destination, at, body).is_some_and(|mac| mac.verify_slice(&given).is_ok());
        if !verified {
            return Err("its signature does not fit: another key, or not what was signed".into());
        }
        let at: u64 = at.parse().map_err(|_| "the time of its signature is not readable".to_owned())?;
        let now = now_ms();
        let age = Duration::from_millis(now.saturating_sub(at));
        if age > oldest {
            return Err(format!("it was signed {} s ago, more than {} s", age.as_secs(), oldest.as_secs()));
        }
        let ahead = Duration::from_millis(at.saturating_sub(now));
        if ahead > AHEAD {
            return Err(format!("it was signed {} s in the future; set the clocks", ahead.as_secs()));
        }
        Ok(())
    }

    fn mac(&self, destination: &str, at: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).ok()?;
        for part in [bare(destination).as_bytes(), b"\n", at.as_bytes(), b"\n", body] {
            mac.update(part);
        }
        Some(mac)
    }
}

/// Brokers write one destination in different ways.
fn bare(destination: &str) -> &str {
    let name = destination.trim();
    ["/queue/", "/topic/", "queue://", "topic://"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name)
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(120);

    fn signed() -> (Message, Headers) {
        let message = Signer::new("secret").unwrap().sign(Message::new("/queue/a", "body"));
        let headers = message.headers.iter().cloned().collect();
        (message, headers)
    }

    #[test]
    fn what_was_signed_is_accepted_and_nothing_else() {
        let (message, headers) = signed();
        let signer = Signer::new("secret").unwrap();
        assert_eq!(signer.check("/queue/a", &headers, &message.body, LONG), Ok(()));
        assert_eq!(signer.check("a", &headers, &message.body, LONG), Ok(()), "another spelling");
        let fails = |destination: &str, headers: &Headers, body: &[u8], key: &str| {
            Signer::new(key).unwrap().check(destination, headers, body, LONG).unwrap_err()
        };
        assert!(fails("/queue/b", &headers, b"body", "secret").contains("does not fit"));
        assert!(fails("/queue/a", &headers, b"bodY", "secret").contains("does not fit"));
        assert!(fails("/queue/a", &headers, b"body", "other").contains("does not fit"));
        assert!(fails("/queue/a", &Headers::new(), b"body", "secret").contains("not signed"));
        let mut later = headers.clone();
        later.set(SIGNED_AT, (now_ms() + 1).to_string());
        assert!(fails("/queue/a", &later, b"body", "secret").contains("does not fit"));
        assert!(Signer::new("").is_none());
    }

    #[test]
    fn an_old_signature_is_refused() {
        let (message, headers) = signed();
        let signer = Signer::new("secret").unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let why = signer.check("/queue/a", &headers, &message.body, Duration::from_millis(1)).unwrap_err();
        assert!(why.contains("ago"), "{why}");
    }
}
