//! Sends a client that comes back what it missed, from the stored messages, in the order of their capture.
//!
//! Until the last page is read nothing is queued for the client, so a long replay needs no memory; what is
//! captured around that moment is recognised by its id.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use swf_db::{Error, Json, Sql};
use swf_tools::Service;
use uuid::Uuid;

use super::frame;
use super::hub::Entry;
use crate::ingest;

/// Messages read at once.
const PAGE: usize = 500;

/// A place in the order of capture.
type Place = (DateTime<Utc>, Uuid);

#[derive(Deserialize)]
struct Row {
    received_at: DateTime<Utc>,
    message_id: Uuid,
    message_content: Json,
    queue_name: Option<String>,
}

struct Replay {
    service: Arc<Service>,
    entry: Arc<Entry>,
    most: usize,
    after: String,
    /// Messages sent.
    seen: Vec<Uuid>,
    /// Messages left out, because there were too many.
    omitted: i64,
    live: bool,
    step: Step,
}

enum Step {
    Start,
    From(Place),
    End,
}

/// The replay after the message with the id `after`; afterwards `entry` is live.
pub(super) fn stream(
    service: Arc<Service>,
    entry: Arc<Entry>,
    most: usize,
    after: String,
) -> BoxStream<'static, Bytes> {
    let replay =
        Replay { service, entry, most, after, seen: Vec::new(), omitted: 0, live: false, step: Step::Start };
    stream::unfold(replay, Replay::next).boxed()
}

impl Replay {
    async fn next(mut self) -> Option<(Bytes, Replay)> {
        let done = match self.step {
            Step::Start => self.start().await,
            Step::From(place) => self.page(place).await,
            Step::End => return None,
        };
        let bytes = done.unwrap_or_else(|e| {
            tracing::warn!("a client of the event stream could not be sent what it missed: {e}");
            // It comes back with the id of the last message that it has.
            self.entry.end();
            self.report(Some("the database did not answer; connect again"))
        });
        Some((bytes, self))
    }

    /// Finds where the client stopped, and what is too much.
    async fn start(&mut self) -> Result<Bytes, Error> {
        let Some(last) = self.last().await? else {
            self.entry.go_live();
            return Ok(self.report(Some("no captured message has this id")));
        };
        self.seen.push(last.1);
        let mut place = (last.0, Uuid::nil());
        let mut cut = self.stored(place, "u.received_at, u.message_id");
        let offset = i64::try_from(self.most).unwrap_or(i64::MAX);
        cut.push("ORDER BY u.received_at DESC, u.message_id DESC LIMIT 1 OFFSET ?", [offset.into()]);
        let Some(first_omitted) = self.service.db.fetch_optional::<Place>(&cut).await? else {
            self.step = Step::From(place);
            return Ok(Bytes::new());
        };
        let mut older = self.stored(place, "count(*)");
        older
            .and("(u.received_at, u.message_id) <= (?, ?)", [first_omitted.0.into(), first_omitted.1.into()]);
        self.omitted = self.service.db.fetch_one(&older).await?;
        place = first_omitted;
        self.step = Step::From(place);
        Ok(frame::control("dropped", &json!({ "dropped": self.omitted })))
    }

    async fn last(&self) -> Result<Option<Place>, Error> {
        let Ok(id) = Uuid::try_parse(&self.after) else { return Ok(None) };
        let sql = Sql::new("SELECT u.received_at, u.message_id FROM swfx_message_uid u JOIN swf_workflow_messages m ON m.message_id = u.message_id WHERE")
            .with("m.message_id = ?", [id.into()]);
        self.service.db.fetch_optional(&sql).await
    }

    /// Captured messages after a place that the client wants. The ledger of the capture has the order and an
    /// index for it.
    fn stored(&self, place: Place, columns: &str) -> Sql {
        let mut sql = Sql::new(format!(
            "SELECT {columns} FROM swfx_message_uid u JOIN swf_workflow_messages m ON m.message_id = u.message_id"
        ));
        sql.and("u.received_at >= ?", [place.0.into()]);
        sql.and("(u.received_at, u.message_id) > (?, ?)", [place.0.into(), place.1.into()]);
        if let [last] = self.seen.as_slice() {
            sql.and("u.message_id <> ?", [(*last).into()]);
        }
        self.entry.filter.conditions(&mut sql, self.service.db.dialect());
        sql
    }

    async fn page(&mut self, place: Place) -> Result<Bytes, Error> {
        let mut sql = self.stored(place, "u.received_at, u.message_id, m.message_content, m.queue_name");
        sql.push("ORDER BY u.received_at, u.message_id LIMIT ?", [(PAGE as i64).into()]);
        let rows: Vec<Row> = self.service.db.fetch_all(&sql).await?;
        let mut bytes = BytesMut::new();
        let mut place = place;
        for row in &rows {
            place = (row.received_at, row.message_id);
            self.seen.push(row.message_id);
            if let Value::Object(body) = &row.message_content.0 {
                let queue = row.queue_name.as_deref().unwrap_or_default();
                let payload = ingest::payload(queue, body.clone(), row.received_at);
                bytes.extend_from_slice(&frame::message(row.message_id, &payload));
                self.entry.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.step = Step::From(place);
        match (rows.len() < PAGE, self.live) {
            (false, _) => {}
            // What was captured while this page was read is either in the next one or queued by then.
            (true, false) => {
                self.entry.go_live();
                self.live = true;
            }
            (true, true) => {
                self.entry.already_sent(&self.seen);
                bytes.extend_from_slice(&self.report(None));
            }
        }
        Ok(bytes.freeze())
    }

    /// The last event of the replay: what the client got.
    fn report(&mut self, reason: Option<&str>) -> Bytes {
        self.step = Step::End;
        let events = self.seen.len().saturating_sub(1);
        let complete = reason.is_none() && self.omitted == 0;
        let mut report =
            json!({"after": self.after, "events": events, "omitted": self.omitted, "complete": complete});
        if let (Some(reason), Some(object)) = (reason, report.as_object_mut()) {
            object.insert("reason".into(), reason.into());
        }
        frame::control("replay", &report)
    }
}
