//! Which commands are obeyed: all, or only those signed with the shared key.

use std::time::Duration;

use swf_stomp::{Delivery, Message, Signer};

/// A signed command older than this is refused: whoever sent it has given up.
const OLDEST: Duration = Duration::from_secs(120);

/// What an agent or manager knows about signatures. By default everything is obeyed.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The shared key.
    pub signer: Option<Signer>,
    /// Commands without a good signature are refused.
    pub required: bool,
}

impl Trust {
    /// Whether a command is to be obeyed; the error is the reason to refuse it.
    pub(crate) fn check(&self, delivery: &Delivery) -> Result<(), String> {
        if !self.required {
            return Ok(());
        }
        self.verified(delivery).map_err(|why| format!("refused, because broker.require_signed is set: {why}"))
    }

    fn verified(&self, delivery: &Delivery) -> Result<(), String> {
        let Some(signer) = &self.signer else {
            return Err("no broker.command_key is configured here".into());
        };
        signer.check(delivery.destination(), &delivery.headers, &delivery.body, OLDEST)
    }

    /// A command on its way to another destination keeps the trust it came with.
    pub(crate) fn passed_on(&self, delivery: &Delivery, message: Message) -> Message {
        match &self.signer {
            Some(signer) if self.verified(delivery).is_ok() => signer.sign(message),
            _ => message,
        }
    }
}
