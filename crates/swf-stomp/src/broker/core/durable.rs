//! Durable subscriptions: lines of a topic that stay when their subscriber goes.

use super::{Change, Core, DurableRow, Kind, Selector};

impl Core {
    /// Ends a durable subscription for good, with its messages. False when there is none of that name.
    pub fn forget_durable(&mut self, client_id: &str, name: &str) -> Result<bool, String> {
        let suffix = durable_suffix(client_id, name);
        let found = self
            .queues
            .iter()
            .find(|(_, queue)| matches!(queue.kind, Kind::Durable { .. }) && queue.key.ends_with(&suffix))
            .map(|(id, queue)| (*id, queue.consumers.is_empty()));
        match found {
            None => Ok(false),
            Some((_, false)) => Err(format!("durable subscription {name:?} of {client_id:?} is in use")),
            Some((id, true)) => {
                self.remove_queue(id);
                Ok(true)
            }
        }
    }

    pub(super) fn add_durable(
        &mut self,
        key: &str,
        topic: &str,
        selector_text: Option<String>,
    ) -> Result<u64, String> {
        let selector = selector_text.as_deref().map(Selector::parse).transpose()?;
        let id = self.add_queue(key, Kind::Durable { topic: topic.to_owned(), selector, selector_text });
        self.topics.entry(topic.to_owned()).or_default().queues.push(id);
        Ok(id)
    }

    /// Finds or makes a durable subscription. With another topic or selector it starts anew, as JMS has it.
    pub(super) fn open_durable(
        &mut self,
        topic: &str,
        owner: (&str, &str),
        selector: Option<String>,
    ) -> Result<u64, String> {
        let suffix = durable_suffix(owner.0, owner.1);
        let key = format!("{topic}{suffix}");
        let known: Vec<u64> = self
            .queues
            .iter()
            .filter(|(_, queue)| matches!(queue.kind, Kind::Durable { .. }) && queue.key.ends_with(&suffix))
            .map(|(id, _)| *id)
            .collect();
        for id in known {
            let Some(queue) = self.queues.get(&id) else { continue };
            if !queue.consumers.is_empty() {
                return Err(format!(
                    "durable subscription {:?} of client id {:?} is in use by another connection",
                    owner.1, owner.0
                ));
            }
            match &queue.kind {
                Kind::Durable { selector_text, .. } if *queue.key == key && *selector_text == selector => {
                    return Ok(id);
                }
                _ => self.remove_queue(id),
            }
        }
        self.check_destinations()?;
        let id = self.add_durable(&key, topic, selector.clone())?;
        self.tell(Change::PutDurable(DurableRow { key, topic: topic.to_owned(), selector }));
        Ok(id)
    }
}

/// The end of a durable subscription's key. Its two names cannot run into each other, whatever they hold.
fn durable_suffix(client_id: &str, name: &str) -> String {
    let escape = |text: &str| text.replace('%', "%25").replace('#', "%23");
    format!("#{}#{}", escape(client_id), escape(name))
}
