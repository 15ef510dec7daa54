//! The SQLite file behind the queues and durable subscriptions.
//!
//! One task writes; it takes all changes that wait and commits them together. A message that was
//! acknowledged before its turn came is never written at all.
//!
//! *Invariant:* a receipt is sent only after the commit of everything that was told before it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous},
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{message::Message, outbox::Outbox};
use crate::Error;

/// Changes that may wait before senders are held up.
const WAITING_LIMIT: usize = 20_000;
/// Changes in one transaction at most.
const BATCH: usize = 5_000;
/// Rows in one INSERT; a fixed number so that the statement is prepared once.
const ROWS: usize = 64;

/// A message in the file.
pub(super) struct Row {
    pub seq: u64,
    /// The key of its queue or durable subscription.
    pub place: Arc<str>,
    pub message: Arc<Message>,
}

/// A durable subscription in the file.
pub(super) struct DurableRow {
    pub key: String,
    pub topic: String,
    pub selector: Option<String>,
    /// Since when its subscriber is away, in milliseconds of Unix time; `None` while it is there.
    pub away: Option<u64>,
}

/// What the file held at the start, in order.
#[derive(Default)]
pub(super) struct Loaded {
    pub durables: Vec<DurableRow>,
    pub rows: Vec<Row>,
}

/// Something to write, or to do once all before it is written.
pub(super) enum Change {
    Insert(Row),
    Delete(u64),
    PutDurable(DurableRow),
    DropDurable(String),
    /// The subscriber of a durable subscription came or went.
    Away(String, Option<u64>),
    /// Changes to be committed together or not at all.
    Group(Vec<Change>),
    Receipt(Arc<Outbox>, String),
    /// Answered when everything before it is written.
    Flushed(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// The way to the writing task; clones share it.
#[derive(Clone)]
pub(super) struct Store {
    changes: mpsc::UnboundedSender<Change>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    count: AtomicUsize,
    fewer: Notify,
}

impl Store {
    /// Opens or makes the file, reads it, and starts the writing task.
    pub async fn open(path: &Path, sync: bool) -> Result<(Self, Loaded), Error> {
        let wrong = |why: String| Error::Store { path: path.to_owned(), why };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(if sync { SqliteSynchronous::Full } else { SqliteSynchronous::Normal })
            .locking_mode(SqliteLockingMode::Exclusive)
            .busy_timeout(Duration::from_secs(3))
            .disable_statement_logging();
        let explain = |error: sqlx::Error| {
            let text = error.to_string();
            wrong(if text.contains("locked") {
                "another broker is using it; end that one or choose another file".into()
            } else {
                format!("{text}; the file must be a SQLite database in a folder that can be written to")
            })
        };
        let mut connection = options.connect().await.map_err(explain)?;
        let loaded = load(&mut connection).await.map_err(explain)?;
        let loaded = loaded.map_err(|why| wrong(format!("{why}; move the file away to start empty")))?;
        let (changes, inbox) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting::default());
        tokio::spawn(write(connection, inbox, waiting.clone(), path.to_owned()));
        Ok((Self { changes, waiting }, loaded))
    }

    pub fn tell(&self, change: Change) {
        self.waiting.count.fetch_add(1, Ordering::AcqRel);
        if self.changes.send(change).is_err() {
            self.waiting.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits until the disk has caught up enough to take more.
    pub async fn room(&self) {
        loop {
            let fewer = self.waiting.fewer.notified();
            if self.waiting.count.load(Ordering::Acquire) < WAITING_LIMIT {
                return;
            }
            fewer.await;
        }
    }

    /// Waits until everything told before is written.
    pub async fn flushed(&self) {
        let (done, written) = oneshot::channel();
        self.tell(Change::Flushed(done));
        // An error means that the task has ended, which it does only after writing everything.
        let _ = written.await;
    }

    /// Waits until everything is written and the file is closed.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.tell(Change::Close(done));
        // An error means that the task has ended before.
        let _ = closed.await;
    }
}

async fn load(connection: &mut SqliteConnection) -> Result<Result<Loaded, String>, sqlx::Error> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS stomp_message (seq INTEGER PRIMARY KEY, place TEXT NOT NULL, frame BLOB NOT NULL)",
        "CREATE TABLE IF NOT EXISTS stomp_durable (key TEXT PRIMARY KEY, topic TEXT NOT NULL, selector TEXT, \
         away INTEGER)",
        // Takes the lock of the file now rather than with the first message.
        "DELETE FROM stomp_message WHERE seq < 0",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    // Files of the first version do not say since when a subscriber is away.
    let columns = sqlx::query("SELECT name FROM pragma_table_info('stomp_durable')")
        .fetch_all(&mut *connection)
        .await?;
    let mut known = false;
    for column in columns {
        known |= column.try_get::<String, _>(0)? == "away";
    }
    if !known {
        sqlx::query("ALTER TABLE stomp_durable ADD COLUMN away INTEGER").execute(&mut *connection).await?;
    }
    let mut loaded = Loaded::default();
    for row in sqlx::query("SELECT key, topic, selector, away FROM stomp_durable ORDER BY key")
        .fetch_all(&mut *connection)
        .await?
    {
        loaded.durables.push(DurableRow {
            key: row.try_get(0)?,
            topic: row.try_get(1)?,
            selector: row.try_get(2)?,
            away: row.try_get::<Option<i64>, _>(3)?.map(i64::unsigned_abs),
        });
    }
    let mut places: BTreeMap<String, Arc<str>> = BTreeMap::new();
    for row in sqlx::query("SELECT seq, place, frame FROM stomp_message ORDER BY seq")
        .fetch_all(&mut *connection)
        .await?
    {
        let (seq, place): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let frame: &[u8] = row.try_get(2)?;
        let message = match Message::from_bytes(frame) {
            Ok(message) => Arc::new(message),
            Err(why) => return Ok(Err(format!("message {seq} cannot be read: {why}"))),
        };
        let place = places.entry(place.clone()).or_insert_with(|| place.into()).clone();
        loaded.rows.push(Row { seq: seq.unsigned_abs(), place, message });
    }
    Ok(Ok(loaded))
}

/// The changes of one transaction, what cancels out left away.
#[derive(Default)]
struct Batch {
    inserts: BTreeMap<u64, Row>,
    deletes: Vec<u64>,
    durables: Vec<Change>,
    receipts: Vec<(Arc<Outbox>, String)>,
    flushed: Vec<oneshot::Sender<()>>,
    close: Option<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, change: Change) {
        match change {
            Change::Insert(row) => {
                self.inserts.insert(row.seq, row);
            }
            Change::Delete(seq) => {
                if self.inserts.remove(&seq).is_none() {
                    self.deletes.push(seq);
                }
            }
            Change::DropDurable(key) => {
                self.inserts.retain(|_, row| *row.place != *key);
                self.durables.push(Change::DropDurable(key));
            }
            change @ (Change::PutDurable(_) | Change::Away(..)) => self.durables.push(change),
            Change::Receipt(outbox, id) => self.receipts.push((outbox, id)),
            Change::Group(changes) => changes.into_iter().for_each(|change| self.add(change)),
            Change::Flushed(done) => self.flushed.push(done),
            Change::Close(done) => self.close = Some(done),
        }
    }
}

async fn write(
    mut connection: SqliteConnection,
    mut inbox: mpsc::UnboundedReceiver<Change>,
    waiting: Arc<Waiting>,
    path: PathBuf,
) {
    let mut changes = Vec::with_capacity(BATCH);
    loop {
        let count = inbox.recv_many(&mut changes, BATCH).await;
        if count == 0 {
            break;
        }
        let mut batch = Batch::default();
        changes.drain(..).for_each(|change| batch.add(change));
        let committed = commit(&mut connection, &batch).await;
        if let Err(error) = &committed {
            tracing::error!(file = %path.display(), %error, "messages were not stored");
        }
        for (outbox, receipt) in batch.receipts {
            match &committed {
                Ok(()) => outbox.receipt(&receipt),
                Err(error) => outbox.fail(&format!("message was not stored: {error}"), Some(&receipt)),
            }
        }
        for done in batch.flushed {
            // The connection that asked may be gone.
            let _ = done.send(());
        }
        waiting.count.fetch_sub(count, Ordering::AcqRel);
        waiting.fewer.notify_waiters();
        if let Some(done) = batch.close {
            if let Err(error) = connection.close().await {
                tracing::error!(file = %path.display(), %error, "message store was not closed properly");
            }
            // The broker may have been dropped while it waited.
            let _ = done.send(());
            return;
        }
    }
    if let Err(error) = connection.close().await {
        tracing::error!(file = %path.display(), %error, "message store was not closed properly");
    }
}

async fn commit(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.inserts.is_empty() && batch.deletes.is_empty() && batch.durables.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    for change in &batch.durables {
        write_durable(&mut transaction, change).await?;
    }
    if !batch.deletes.is_empty() {
        let list: Vec<String> = batch.deletes.iter().map(u64::to_string).collect();
        sqlx::query("DELETE FROM stomp_message WHERE seq IN (SELECT value FROM json_each($1))")
            .bind(format!("[{}]", list.join(",")))
            .execute(&mut *transaction)
            .await?;
    }
    let rows: Vec<&Row> = batch.inserts.values().collect();
    for chunk in rows.chunks(ROWS) {
        if chunk.len() == ROWS {
            insert(&mut transaction, chunk).await?;
        } else {
            for row in chunk {
                insert(&mut transaction, std::slice::from_ref(row)).await?;
            }
        }
    }
    transaction.commit().await
}

async fn write_durable(connection: &mut SqliteConnection, change: &Change) -> Result<(), sqlx::Error> {
    match change {
        Change::PutDurable(row) => {
            sqlx::query(
                "INSERT OR REPLACE INTO stomp_durable (key, topic, selector, away) VALUES ($1, $2, $3, $4)",
            )
            .bind(&row.key)
            .bind(&row.topic)
            .bind(&row.selector)
            .bind(row.away.map(milliseconds))
            .execute(connection)
            .await?;
        }
        Change::Away(key, since) => {
            sqlx::query("UPDATE stomp_durable SET away = $1 WHERE key = $2")
                .bind(since.map(milliseconds))
                .bind(key)
                .execute(connection)
                .await?;
        }
        Change::DropDurable(key) => {
            for statement in
                ["DELETE FROM stomp_durable WHERE key = $1", "DELETE FROM stomp_message WHERE place = $1"]
            {
                sqlx::query(statement).bind(key).execute(&mut *connection).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn milliseconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

async fn insert(connection: &mut SqliteConnection, rows: &[&Row]) -> Result<(), sqlx::Error> {
    let places = vec!["(?, ?, ?)"; rows.len()].join(", ");
    let mut query =
        sqlx::query(AssertSqlSafe(format!("INSERT INTO stomp_message (seq, place, frame) VALUES {places}")));
    for row in rows {
        let seq = i64::try_from(row.seq).unwrap_or(i64::MAX);
        query = query.bind(seq).bind(row.place.to_string()).bind(row.message.to_bytes());
    }
    query.execute(connection).await?;
    Ok(())
}
