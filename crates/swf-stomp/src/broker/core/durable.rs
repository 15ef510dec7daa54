//! Durable subscriptions: lines of a topic that stay when their subscriber goes, though not for ever.

use std::time::Duration;

use super::{Address, Change, Core, DurableRow, Kind, Queue, Selector, now_ms};

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
        self.tell(Change::PutDurable(DurableRow { key, topic: topic.to_owned(), selector, away: None }));
        Ok(id)
    }

    /// Notes whether the subscriber of a durable subscription is there.
    pub(super) fn note_presence(&mut self, id: u64) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if !matches!(queue.kind, Kind::Durable { .. }) {
            return;
        }
        let away = queue.consumers.is_empty().then(now_ms);
        if away.is_some() != queue.away.is_some() {
            queue.away = away;
            let key = queue.key.to_string();
            self.tell(Change::Away(key, away));
        }
    }

    /// Sees that so many messages of so many bytes fit; durable subscriptions whose subscriber does not come
    /// back end for it. An error is the ceiling that was reached.
    pub fn make_room(&mut self, address: &Address, messages: usize, bytes: usize) -> Result<(), String> {
        let Err(why) = self.check_room(address, messages, bytes) else { return Ok(()) };
        if self.end_abandoned() == 0 {
            return Err(why);
        }
        self.check_room(address, messages, bytes)
    }

    /// Ends the durable subscriptions that nobody came back for; returns how many.
    pub(super) fn end_abandoned(&mut self) -> usize {
        let now = now_ms();
        let abandoned: Vec<(u64, String)> =
            self.queues.iter().filter_map(|(id, queue)| Some((*id, self.abandoned(queue, now)?))).collect();
        for (id, why) in &abandoned {
            let Some(queue) = self.queues.get(id) else { continue };
            let (client, name) = names(&queue.key);
            let topic = match &queue.kind {
                Kind::Durable { topic, .. } => topic.as_str(),
                _ => "",
            };
            tracing::warn!(
                client.id = client,
                destination = topic,
                messages = queue.count,
                bytes = queue.bytes,
                "durable subscription {name:?} of client id {client:?} to {topic} ended with {} messages of {} \
                 bytes: {why}",
                queue.count,
                queue.bytes
            );
            self.expired_subscriptions += 1;
            self.expired_messages += queue.count as u64;
            self.remove_queue(*id);
        }
        abandoned.len()
    }

    /// Why a durable subscription is to end, if it is.
    fn abandoned(&self, queue: &Queue, now: u64) -> Option<String> {
        let away = Duration::from_millis(now.saturating_sub(queue.away?));
        if !queue.consumers.is_empty() || self.config.kept_clients.contains(&names(&queue.key).0) {
            return None;
        }
        let limits = &self.config.limits;
        if limits.durable_idle.is_some_and(|limit| away >= limit) {
            return Some(format!("its subscriber has been away for {} s", away.as_secs()));
        }
        let share = limits.durable_share;
        let reached = |count: usize, limit: usize| {
            count > 0 && count.saturating_mul(100) >= limit.saturating_mul(share)
        };
        let full =
            reached(queue.count, limits.backlog_messages) || reached(queue.bytes, limits.backlog_bytes);
        (full && away >= limits.durable_grace).then(|| {
            format!(
                "its backlog reached {share} % of the limit and its subscriber has been away for {} s",
                away.as_secs()
            )
        })
    }
}

/// Client id and name in the key of a durable subscription.
fn names(key: &str) -> (String, String) {
    let plain = |text: &str| text.replace("%23", "#").replace("%25", "%");
    let mut parts = key.rsplit('#');
    let name = parts.next().map(plain).unwrap_or_default();
    (parts.next().map(plain).unwrap_or_default(), name)
}

/// The end of a durable subscription's key. Its two names cannot run into each other, whatever they hold.
fn durable_suffix(client_id: &str, name: &str) -> String {
    let escape = |text: &str| text.replace('%', "%25").replace('#', "%23");
    format!("#{}#{}", escape(client_id), escape(name))
}
