//! Rows that were kept long enough are deleted, few at a time.
//!
//! *Invariant:* no statement deletes more than [`BATCH`] rows, so nobody waits long for a lock.
//! *Invariant:* in a database that Django made, rows of its tables go only when that is asked for.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use swf_db::migrate::{self, Owner};
use swf_db::{Db, Error, Sql};

/// Rows deleted by one statement at most.
pub const BATCH: i64 = 500;

/// How many days rows are kept; 0 is for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Log records.
    pub logs: u32,
    /// Captured messages.
    pub messages: u32,
    /// Events of runs.
    pub state_events: u32,
    /// Identities of captured messages; a message delivered again after this time is stored again, and a
    /// client of the event stream cannot go on from an older one.
    pub message_uids: u32,
    /// Calls of tools that change something.
    pub audit: u32,
    /// Messages that could not be stored.
    pub dead_letters: u32,
    /// In a database that Django made: its own rows expire too.
    pub django_tables: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            logs: 30,
            messages: 90,
            state_events: 90,
            message_uids: 90,
            audit: 365,
            dead_letters: 90,
            django_tables: false,
        }
    }
}

/// One table whose rows expire.
struct Expiring {
    table: &'static str,
    key: &'static str,
    time: &'static str,
    days: fn(&Policy) -> u32,
    /// Nobody but swf writes it.
    own: bool,
}

const TABLES: &[Expiring] = &[
    Expiring { table: "swf_applog", key: "id", time: "timestamp", days: |p| p.logs, own: false },
    Expiring {
        table: "swf_workflow_messages",
        key: "message_id",
        time: "sent_at",
        days: |p| p.messages,
        own: false,
    },
    Expiring {
        table: "swf_system_state_events",
        key: "event_id",
        time: "timestamp",
        days: |p| p.state_events,
        own: false,
    },
    Expiring {
        table: "swfx_message_uid",
        key: "uid",
        time: "received_at",
        days: |p| p.message_uids,
        own: true,
    },
    Expiring { table: "swfx_audit", key: "id", time: "at", days: |p| p.audit, own: true },
    Expiring {
        table: "swfx_dead_letter",
        key: "id",
        time: "received_at",
        days: |p| p.dead_letters,
        own: true,
    },
];

/// A table whose rows from before a moment are to go.
pub struct Due {
    /// Name of the table.
    pub table: &'static str,
    /// Rows older than this go.
    pub before: DateTime<Utc>,
    key: &'static str,
    time: &'static str,
}

/// What is kept for ever, and why; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Name of the table.
    pub table: &'static str,
    /// The reason.
    pub why: &'static str,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: kept for ever, {}", self.table, self.why)
    }
}

/// What a policy means for a database at this moment.
pub async fn plan(db: &Db, policy: &Policy, now: DateTime<Utc>) -> Result<(Vec<Due>, Vec<Kept>), Error> {
    let foreign = migrate::owner(db).await? == Owner::Django && !policy.django_tables;
    let (mut due, mut kept) = (Vec::new(), Vec::new());
    for e in TABLES {
        let days = (e.days)(policy);
        if days == 0 {
            kept.push(Kept { table: e.table, why: "its setting is 0" });
        } else if foreign && !e.own {
            kept.push(Kept {
                table: e.table,
                why: "Django made this database and retention.django_tables is false",
            });
        } else {
            let before = now - TimeDelta::days(days.into());
            due.push(Due { table: e.table, before, key: e.key, time: e.time });
        }
    }
    Ok((due, kept))
}

impl Due {
    /// Rows that would go now.
    pub async fn count(&self, db: &Db) -> Result<i64, Error> {
        let sql = Sql::new(format!("SELECT count(*) FROM {} WHERE \"{}\" <", self.table, self.time))
            .with("?", [self.before.into()]);
        db.fetch_one(&sql).await
    }

    /// Deletes up to [`BATCH`] rows; returns how many went. Fewer than that: no more are left.
    pub async fn delete_some(&self, db: &Db) -> Result<u64, Error> {
        let (table, key, time) = (self.table, self.key, self.time);
        let sql = Sql::new(format!(
            "DELETE FROM {table} WHERE \"{key}\" IN (SELECT \"{key}\" FROM {table} WHERE \"{time}\" <"
        ))
        .with("? LIMIT ?)", [self.before.into(), BATCH.into()]);
        db.execute(&sql).await
    }
}
