//! What waits for one client.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::{Config, Event, frame};

/// A queue that keeps more room than this gives it back when it is empty.
const ROOM: usize = 32;
/// A message reaches the queue within this time of being readable in the database.
const OVERLAP: Duration = Duration::from_secs(60);

/// Messages and control events that wait for one client, and who is to be told.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Fell out since the client was last told.
    dropped: u64,
    beat: Option<Bytes>,
    /// Heartbeats that found the one before still waiting.
    missed_beats: u32,
    /// Messages are taken; not so while stored ones are sent again.
    live: bool,
    /// Messages that were sent from the database, and when that was.
    sent: Option<(Instant, HashSet<Uuid>)>,
    closed: bool,
    waker: Option<Waker>,
}

/// What comes next for a client.
pub(super) enum Next {
    /// A message.
    Event(Arc<Event>),
    /// An event of the stream itself.
    Control(Bytes),
    /// Nothing now.
    Wait,
    /// Nothing any more.
    End,
}

impl Queue {
    /// An empty queue that takes messages at once, or when told.
    pub fn new(live: bool) -> Queue {
        Queue { live, ..Queue::default() }
    }

    /// From now on messages are taken.
    pub fn go_live(&mut self) {
        self.live = true;
    }

    /// These messages were sent otherwise: they are taken out, and not taken again.
    pub fn already_sent(&mut self, ids: &[Uuid]) {
        let ids: HashSet<Uuid> = ids.iter().copied().collect();
        self.events.retain(|e| !ids.contains(&e.id));
        self.bytes = self.events.iter().map(|e| e.bytes.len()).sum();
        self.sent = Some((Instant::now(), ids));
    }

    /// Whether a message was sent from the database.
    fn repeats(&mut self, id: Uuid) -> bool {
        let Some((at, ids)) = &self.sent else { return false };
        if at.elapsed() > OVERLAP {
            self.sent = None;
            return false;
        }
        ids.contains(&id)
    }

    /// Adds a message; what falls out is counted, and the number returned.
    pub fn offer(&mut self, event: &Arc<Event>, config: &Config) -> u32 {
        if !self.live || self.closed || self.repeats(event.id) {
            return 0;
        }
        self.events.push_back(event.clone());
        self.bytes += event.bytes.len();
        let mut dropped = 0;
        while self.events.len() > config.queue.max(1)
            || (self.bytes > config.queue_bytes && self.events.len() > 1)
        {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            dropped += 1;
        }
        self.dropped += u64::from(dropped);
        self.wake();
        dropped
    }

    /// Messages that never reached this process's queues were lost for the client.
    pub fn lose(&mut self, messages: u64) {
        if self.live {
            self.dropped += messages;
            self.wake();
        }
    }

    /// Adds a heartbeat; false when so many of them waited that nobody can be listening.
    pub fn beat(&mut self, beat: Bytes, most_missed: u32) -> bool {
        if self.beat.replace(beat).is_some() {
            self.missed_beats += 1;
        }
        self.wake();
        self.missed_beats < most_missed
    }

    /// Ends the stream after what waits.
    pub fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Takes what comes next, or remembers whom to wake.
    pub fn next(&mut self, waker: &Waker) -> Next {
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            return Next::Control(frame::control("dropped", &json!({ "dropped": dropped })));
        }
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.bytes.len();
            if self.events.is_empty() && self.events.capacity() > ROOM {
                self.events = VecDeque::new();
            }
            return Next::Event(event);
        }
        if let Some(beat) = self.beat.take() {
            self.missed_beats = 0;
            return Next::Control(beat);
        }
        if self.closed {
            return Next::End;
        }
        match &mut self.waker {
            Some(kept) => kept.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Next::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Facts;
    use super::*;

    fn event(n: u128) -> Arc<Event> {
        Arc::new(Event {
            id: uuid::Uuid::from_u128(n),
            facts: Facts::default(),
            bytes: Bytes::from_static(b"x"),
        })
    }

    fn taken(queue: &mut Queue) -> String {
        match queue.next(Waker::noop()) {
            Next::Event(event) => event.id.as_u128().to_string(),
            Next::Control(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Next::Wait => "wait".into(),
            Next::End => "end".into(),
        }
    }

    #[test]
    fn the_oldest_fall_out_and_the_client_is_told_how_many() {
        let config = Config { queue: 2, ..Config::default() };
        let mut queue = Queue::new(true);
        let dropped: Vec<u32> = (1..=5).map(|n| queue.offer(&event(n), &config)).collect();
        assert_eq!(dropped, [0, 0, 1, 1, 1]);
        assert_eq!(taken(&mut queue), "event: dropped\ndata: {\"dropped\":3}\n\n");
        assert_eq!([taken(&mut queue), taken(&mut queue), taken(&mut queue)], ["4", "5", "wait"]);
        queue.close();
        assert_eq!(taken(&mut queue), "end");
    }

    #[test]
    fn heartbeats_replace_each_other_and_end_a_client_that_takes_none() {
        let mut queue = Queue::new(true);
        let beat = || Bytes::from_static(b"beat");
        assert!(queue.beat(beat(), 2) && queue.beat(beat(), 2) && !queue.beat(beat(), 2));
        assert_eq!([taken(&mut queue), taken(&mut queue)], ["beat", "wait"]);
        assert!(queue.beat(beat(), 2));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let config = Config { queue_bytes: 3, ..Config::default() };
        let mut queue = Queue::new(true);
        let dropped: u32 = (1..=5).map(|n| queue.offer(&event(n), &config)).sum();
        assert_eq!(dropped, 2);
        assert!(taken(&mut queue).contains("\"dropped\":2"));
        assert_eq!(taken(&mut queue), "3");
    }
}
