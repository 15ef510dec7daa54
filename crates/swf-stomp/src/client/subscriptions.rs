//! The subscriptions to keep alive over every connection, and the frames that make and end them.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::{
    Raw, Subscribed,
    config::{AckMode, ClientConfig, Flavour, Subscribe},
};
use crate::{Error, Frame};

/// One remembered subscription.
pub(super) struct Remembered {
    pub subscribe: Subscribe,
    pub deliveries: mpsc::UnboundedSender<Raw>,
    /// Who waits for the first confirmation.
    pub reply: Option<Subscribed>,
}

/// All remembered subscriptions by their number.
#[derive(Default)]
pub(super) struct Subscriptions {
    list: BTreeMap<u64, Remembered>,
}

impl Subscriptions {
    /// Remembers a subscription, or refuses one that cannot work and says false.
    pub fn add(&mut self, config: &ClientConfig, number: u64, remembered: Remembered) -> bool {
        let missing = remembered.subscribe.durable.is_some() && config.client_id.is_none();
        if missing || remembered.subscribe.destination.is_empty() {
            let error = if missing {
                Error::Invalid {
                    what: "durable subscription",
                    why: "needs a client id in the client's configuration, to be known by after a reconnect"
                        .into(),
                }
            } else {
                Error::Invalid {
                    what: "destination",
                    why: "is empty; give /topic/NAME or /queue/NAME".into(),
                }
            };
            if let Some(reply) = remembered.reply {
                // Nobody waits any more: then nobody needs the error.
                let _ = reply.send(Err(error));
            }
            return false;
        }
        self.list.insert(number, remembered);
        true
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut Remembered> {
        self.list.get_mut(&number)
    }

    pub fn remove(&mut self, number: u64) -> Option<Remembered> {
        self.list.remove(&number)
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.list.keys().copied().collect()
    }

    /// The subscription that a MESSAGE names.
    pub fn find(&mut self, config: &ClientConfig, wire_id: &str) -> Option<(u64, &mut Remembered)> {
        if let Some(number) = wire_id.strip_prefix("sub-").and_then(|digits| digits.parse().ok()) {
            return self.list.get_mut(&number).map(|remembered| (number, remembered));
        }
        let mut all = self.list.iter_mut();
        all.find(|(number, remembered)| id(config, **number, &remembered.subscribe) == wire_id)
            .map(|(number, remembered)| (*number, remembered))
    }
}

/// The `id` header. RabbitMQ knows a durable subscription by it, so there it must never change.
pub(super) fn id(config: &ClientConfig, number: u64, subscribe: &Subscribe) -> String {
    match (&subscribe.durable, config.flavour) {
        (Some(name), Flavour::RabbitMq) => {
            format!("{}.{name}", config.client_id.as_deref().unwrap_or_default())
        }
        _ => format!("sub-{number}"),
    }
}

pub(super) fn subscribe_frame(
    config: &ClientConfig,
    number: u64,
    subscribe: &Subscribe,
    receipt: Option<&str>,
) -> Frame {
    let mut frame = Frame::new("SUBSCRIBE")
        .with("id", id(config, number, subscribe))
        .with("destination", &subscribe.destination)
        .with("ack", subscribe.ack.as_str());
    if let Some(name) = &subscribe.durable {
        if let Some(client_id) = &config.client_id {
            frame = frame.with("client-id", client_id);
        }
        for (key, value) in config.flavour.durable_headers(name) {
            frame = frame.with(key, value);
        }
    }
    if let Some(selector) = &subscribe.selector {
        frame = frame.with("selector", selector);
    }
    // RabbitMQ takes a prefetch only for subscriptions that acknowledge.
    let counted = subscribe.ack != AckMode::Auto || config.flavour != Flavour::RabbitMq;
    if let (Some(prefetch), Some(header), true) =
        (subscribe.prefetch, config.flavour.prefetch_header(), counted)
    {
        frame = frame.with(header, prefetch.to_string());
    }
    for (key, value) in &subscribe.headers {
        frame = frame.with(key, value);
    }
    if let Some(receipt) = receipt {
        frame = frame.with("receipt", receipt);
    }
    frame
}

/// The frames that end a subscription, and at the broker too when it is durable and to be forgotten.
pub(super) fn unsubscribe_frames(
    config: &ClientConfig,
    number: u64,
    subscribe: &Subscribe,
    forget: bool,
) -> Vec<Frame> {
    let plain = Frame::new("UNSUBSCRIBE").with("id", id(config, number, subscribe));
    let Some(name) = subscribe.durable.as_ref().filter(|_| forget) else { return vec![plain] };
    let with_names = |mut frame: Frame| {
        if let Some(client_id) = &config.client_id {
            frame = frame.with("client-id", client_id);
        }
        for (key, value) in config.flavour.durable_headers(name) {
            frame = frame.with(key, value);
        }
        frame
    };
    match config.flavour {
        // It answers "in use" to the second while the first has not been handled.
        Flavour::ActiveMq => vec![plain.clone(), with_names(plain)],
        _ => vec![with_names(plain)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flavour: Flavour) -> ClientConfig {
        ClientConfig { flavour, client_id: Some("monitor".into()), ..ClientConfig::default() }
    }

    fn durable() -> Subscribe {
        Subscribe { durable: Some("capture".into()), prefetch: Some(7), ..Subscribe::to("/topic/x") }
    }

    #[test]
    fn each_flavour_asks_for_durability_in_its_own_words() {
        let header = |flavour, key: &str| {
            subscribe_frame(&config(flavour), 3, &durable(), None).get(key).map(str::to_owned)
        };
        assert_eq!(header(Flavour::ActiveMq, "activemq.subscriptionName").as_deref(), Some("capture"));
        assert_eq!(header(Flavour::ActiveMq, "activemq.prefetchSize").as_deref(), Some("7"));
        assert_eq!(header(Flavour::Artemis, "durable-subscription-name").as_deref(), Some("capture"));
        assert_eq!(header(Flavour::Embedded, "durable-subscription-name").as_deref(), Some("capture"));
        assert_eq!(header(Flavour::RabbitMq, "durable").as_deref(), Some("true"));
        assert_eq!(header(Flavour::RabbitMq, "auto-delete").as_deref(), Some("false"));
        assert_eq!(header(Flavour::RabbitMq, "id").as_deref(), Some("monitor.capture"));
        assert_eq!(header(Flavour::Artemis, "id").as_deref(), Some("sub-3"));
    }

    #[test]
    fn activemq_is_left_before_it_is_told_to_forget() {
        let frames = unsubscribe_frames(&config(Flavour::ActiveMq), 3, &durable(), true);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].get("activemq.subscriptionName"), None);
        assert_eq!(frames[1].get("activemq.subscriptionName"), Some("capture"));
        assert_eq!(unsubscribe_frames(&config(Flavour::ActiveMq), 3, &durable(), false).len(), 1);
    }

    #[test]
    fn flavours_are_read_from_text_and_the_error_lists_them() {
        assert_eq!("RabbitMQ".parse::<Flavour>().unwrap(), Flavour::RabbitMq);
        assert!(
            "kafka"
                .parse::<Flavour>()
                .unwrap_err()
                .to_string()
                .contains("embedded, activemq, artemis, rabbitmq")
        );
    }
}
