//! Connections: a pool of PostgreSQL, or a SQLite file with one writer and several readers.
//!
//! *Invariant:* SQLite writes go through one connection, so "database is locked" never reaches a caller
//! of this process; `AssertSqlSafe` is used in this file only.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, PgConnection, SqlSafeStr};

use crate::value::{NAIVE_TEXT, TIME_TEXT};
use crate::{Dialect, Error, Row, Sql, Value};

/// Which engine a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL 13 and later.
    Postgres,
    /// SQLite, bundled.
    Sqlite,
}

/// How to open a database.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at most (readers, for SQLite).
    pub max_connections: u32,
    /// Statements that run longer are cancelled by PostgreSQL; `None` for no limit.
    pub statement_timeout: Option<Duration>,
    /// How long to wait for a free or new connection.
    pub acquire_timeout: Duration,
    /// Refuse every write: `default_transaction_read_only` on PostgreSQL, `query_only` on SQLite.
    pub read_only: bool,
    /// Further PostgreSQL settings, sent at connect (`jit` = `off`, …). Unless `search_path` is among them
    /// it becomes `public,swf`: the shared tables, then swf's own.
    pub settings: Vec<(String, String)>,
    /// SQLite files to attach: schema name and path.
    pub attach: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_connections: 8,
            statement_timeout: Some(Duration::from_secs(30)),
            acquire_timeout: Duration::from_secs(5),
            read_only: false,
            settings: Vec::new(),
            attach: Vec::new(),
        }
    }
}

/// An open database. Cloning is cheap and shares the pool.
#[derive(Debug, Clone)]
pub struct Db {
    pool: Pool,
    statements: Arc<AtomicU64>,
    url: Arc<str>,
}

#[derive(Debug, Clone)]
enum Pool {
    Postgres(PgPool),
    Sqlite { read: SqlitePool, write: SqlitePool },
}

/// A transaction; dropped without [`Tx::commit`] it is rolled back.
pub struct Tx<'a> {
    inner: TxInner,
    statements: &'a AtomicU64,
}

enum TxInner {
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
}

impl Db {
    /// Opens `postgres://…` or `sqlite:PATH` (`sqlite::memory:` for a private one in memory).
    /// SQLite files are created when absent; PostgreSQL connects lazily, so a database that is down is
    /// reported by the first statement, not here.
    pub async fn open(url: &str, options: &Options) -> Result<Db, Error> {
        let pool = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => open_postgres(url, options)?,
            Some("sqlite") => open_sqlite(url, options).await?,
            _ => {
                let why = "it must start with postgres:// or sqlite:".to_owned();
                return Err(Error::Url { url: without_password(url), why });
            }
        };
        Ok(Db { pool, statements: Arc::default(), url: without_password(url).into() })
    }

    /// Opens a SQLite file by path.
    pub async fn open_file(path: &Path, options: &Options) -> Result<Db, Error> {
        Db::open(&format!("sqlite:{}", path.display()), options).await
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        match self.pool {
            Pool::Postgres(_) => Engine::Postgres,
            Pool::Sqlite { .. } => Engine::Sqlite,
        }
    }

    /// SQL fragments of this engine.
    pub fn dialect(&self) -> Dialect {
        Dialect(self.engine())
    }

    /// The URL it was opened with, password left out.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Statements sent so far through this handle and its clones; tests compare it.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// All rows of a statement.
    pub async fn rows(&self, sql: &Sql) -> Result<Vec<Row>, Error> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = AssertSqlSafe(sql.render(self.engine())).into_sql_str();
        match &self.pool {
            Pool::Postgres(pool) => {
                let rows = sqlx::query_with(text, postgres_arguments(sql)?).fetch_all(pool).await;
                postgres_rows(rows)
            }
            Pool::Sqlite { read, write } => {
                let pool = if sql.writes() { write } else { read };
                let rows = sqlx::query_with(text, sqlite_arguments(sql)?).fetch_all(pool).await;
                sqlite_rows(rows)
            }
        }
    }

    /// All rows, read into structs.
    pub async fn fetch_all<T: DeserializeOwned>(&self, sql: &Sql) -> Result<Vec<T>, Error> {
        self.rows(sql).await?.into_iter().map(Row::read).collect()
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<T: DeserializeOwned>(&self, sql: &Sql) -> Result<Option<T>, Error> {
        self.rows(sql).await?.into_iter().next().map(Row::read).transpose()
    }

    /// The first row; an error when there is none.
    pub async fn fetch_one<T: DeserializeOwned>(&self, sql: &Sql) -> Result<T, Error> {
        let row = self.fetch_optional(sql).await?;
        row.ok_or_else(|| Error::Row("the statement returned no row".into()))
    }

    /// Runs a statement; returns the number of rows it changed.
    pub async fn execute(&self, sql: &Sql) -> Result<u64, Error> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = AssertSqlSafe(sql.render(self.engine())).into_sql_str();
        match &self.pool {
            Pool::Postgres(pool) => {
                let done = sqlx::query_with(text, postgres_arguments(sql)?).execute(pool).await;
                done.map(|d| d.rows_affected()).map_err(Error::from_statement)
            }
            Pool::Sqlite { write, .. } => {
                let done = sqlx::query_with(text, sqlite_arguments(sql)?).execute(write).await;
                done.map(|d| d.rows_affected()).map_err(Error::from_statement)
            }
        }
    }

    /// Runs several statements of plain text without parameters (migrations).
    pub async fn script(&self, text: String) -> Result<(), Error> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = AssertSqlSafe(text).into_sql_str();
        let done = match &self.pool {
            Pool::Postgres(pool) => sqlx::raw_sql(text).execute(pool).await.map(|_| ()),
            Pool::Sqlite { write, .. } => sqlx::raw_sql(text).execute(write).await.map(|_| ()),
        };
        done.map_err(Error::from_statement)
    }

    /// Begins a transaction (`BEGIN IMMEDIATE` on SQLite: it holds the write lock from the start).
    pub async fn begin(&self) -> Result<Tx<'_>, Error> {
        let inner = match &self.pool {
            Pool::Postgres(pool) => TxInner::Postgres(pool.begin().await.map_err(Error::from_statement)?),
            Pool::Sqlite { write, .. } => {
                TxInner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await.map_err(Error::from_statement)?)
            }
        };
        Ok(Tx { inner, statements: &self.statements })
    }

    /// Closes all connections; waits for those in use.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Postgres(pool) => pool.close().await,
            Pool::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

impl Tx<'_> {
    /// SQL fragments of this engine.
    pub fn dialect(&self) -> Dialect {
        Dialect(self.engine())
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        match self.inner {
            TxInner::Postgres(_) => Engine::Postgres,
            TxInner::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// All rows of a statement.
    pub async fn rows(&mut self, sql: &Sql) -> Result<Vec<Row>, Error> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = AssertSqlSafe(sql.render(self.engine())).into_sql_str();
        match &mut self.inner {
            TxInner::Postgres(tx) => {
                let connection: &mut PgConnection = tx;
                postgres_rows(sqlx::query_with(text, postgres_arguments(sql)?).fetch_all(connection).await)
            }
            TxInner::Sqlite(tx) => {
                let connection: &mut SqliteConnection = tx;
                sqlite_rows(sqlx::query_with(text, sqlite_arguments(sql)?).fetch_all(connection).await)
            }
        }
    }

    /// All rows, read into structs.
    pub async fn fetch_all<T: DeserializeOwned>(&mut self, sql: &Sql) -> Result<Vec<T>, Error> {
        self.rows(sql).await?.into_iter().map(Row::read).collect()
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<T: DeserializeOwned>(&mut self, sql: &Sql) -> Result<Option<T>, Error> {
        self.rows(sql).await?.into_iter().next().map(Row::read).transpose()
    }

    /// Runs a statement; returns the number of rows it changed.
    pub async fn execute(&mut self, sql: &Sql) -> Result<u64, Error> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = AssertSqlSafe(sql.render(self.engine())).into_sql_str();
        let done = match &mut self.inner {
            TxInner::Postgres(tx) => {
                let connection: &mut PgConnection = tx;
                let done = sqlx::query_with(text, postgres_arguments(sql)?).execute(connection).await;
                done.map(|d| d.rows_affected())
            }
            TxInner::Sqlite(tx) => {
                let connection: &mut SqliteConnection = tx;
                let done = sqlx::query_with(text, sqlite_arguments(sql)?).execute(connection).await;
                done.map(|d| d.rows_affected())
            }
        };
        done.map_err(Error::from_statement)
    }

    /// Makes the changes last.
    pub async fn commit(self) -> Result<(), Error> {
        let done = match self.inner {
            TxInner::Postgres(tx) => tx.commit().await,
            TxInner::Sqlite(tx) => tx.commit().await,
        };
        done.map_err(Error::from_statement)
    }
}

fn open_postgres(url: &str, options: &Options) -> Result<Pool, Error> {
    let bad = |e: sqlx::Error| Error::Url { url: without_password(url), why: e.to_string() };
    let mut settings = options.settings.clone();
    settings.push(("timezone".into(), "UTC".into()));
    if settings.iter().all(|(name, _)| name != "search_path") {
        settings.push(("search_path".into(), format!("public,{}", crate::ddl::OWN_SCHEMA)));
    }
    if let Some(limit) = options.statement_timeout {
        settings.push(("statement_timeout".into(), limit.as_millis().to_string()));
    }
    if options.read_only {
        settings.push(("default_transaction_read_only".into(), "on".into()));
    }
    let connect = PgConnectOptions::from_str(url)
        .map_err(bad)?
        .application_name("swf")
        .options(settings)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(true)
        .connect_lazy_with(connect);
    Ok(Pool::Postgres(pool))
}

async fn open_sqlite(url: &str, options: &Options) -> Result<Pool, Error> {
    let failed = |source: sqlx::Error| Error::Open { url: url.to_owned(), source };
    let memory = url.contains(":memory:");
    let mut connect = SqliteConnectOptions::from_str(url)
        .map_err(failed)?
        .create_if_missing(!options.read_only)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(30))
        .synchronous(SqliteSynchronous::Normal)
        .pragma("cache_size", "-16000")
        .disable_statement_logging();
    if !memory {
        connect = connect.journal_mode(SqliteJournalMode::Wal);
    }
    let attach = options.attach.clone();
    let read_only = options.read_only;
    let pool = |max: u32, query_only: bool| {
        let attach = attach.clone();
        SqlitePoolOptions::new()
            .max_connections(max)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(Duration::from_secs(60))
            .after_connect(move |connection, _| {
                let attach = attach.clone();
                Box::pin(async move {
                    for (schema, path) in attach {
                        let path = path.replace('\'', "''");
                        let text = format!("ATTACH DATABASE '{path}' AS \"{schema}\"");
                        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await?;
                    }
                    if query_only {
                        sqlx::raw_sql("PRAGMA query_only = on").execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
    };
    let write = pool(1, read_only).connect_with(connect.clone()).await.map_err(failed)?;
    // A database in memory belongs to one connection.
    let read = if memory {
        write.clone()
    } else {
        pool(options.max_connections, true).connect_with(connect).await.map_err(failed)?
    };
    Ok(Pool::Sqlite { read, write })
}

/// A database URL as it may be shown: without its password.
pub fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(start), Some(at)) if at > start => {
            let credentials = url.get(start + 3..at).unwrap_or_default();
            let user = credentials.split(':').next().unwrap_or_default();
            let scheme = url.get(..start + 3).unwrap_or_default();
            format!("{scheme}{user}{}", url.get(at..).unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

fn postgres_rows(rows: Result<Vec<sqlx::postgres::PgRow>, sqlx::Error>) -> Result<Vec<Row>, Error> {
    use sqlx::Row as _;
    let rows = rows.map_err(Error::from_statement)?;
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let names = Row::names_of(first.columns());
    rows.iter().map(|r| Row::from_postgres(names.clone(), r).map_err(|e| Error::Row(e.to_string()))).collect()
}

fn sqlite_rows(rows: Result<Vec<sqlx::sqlite::SqliteRow>, sqlx::Error>) -> Result<Vec<Row>, Error> {
    use sqlx::Row as _;
    let rows = rows.map_err(Error::from_statement)?;
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let names = Row::names_of(first.columns());
    rows.iter().map(|r| Row::from_sqlite(names.clone(), r).map_err(|e| Error::Row(e.to_string()))).collect()
}

fn postgres_arguments(sql: &Sql) -> Result<PgArguments, Error> {
    let mut out = PgArguments::default();
    for value in sql.values().iter().filter(|v| !v.is_null()) {
        let added = match value.clone().without_nul() {
            Value::Null => Ok(()),
            Value::Bool(v) => out.add(v),
            Value::Int(v) => out.add(v),
            Value::Float(v) => out.add(v),
            Value::Text(v) => out.add(v),
            Value::Time(v) => out.add(v),
            Value::Naive(v) => out.add(v),
            Value::Uuid(v) => out.add(v),
            Value::Json(v) => out.add(v),
        };
        added.map_err(|e| Error::Row(e.to_string()))?;
    }
    Ok(out)
}

fn sqlite_arguments(sql: &Sql) -> Result<SqliteArguments, Error> {
    let mut out = SqliteArguments::default();
    for value in sql.values().iter().filter(|v| !v.is_null()) {
        let added = match value.clone().without_nul() {
            Value::Null => Ok(()),
            Value::Bool(v) => out.add(v),
            Value::Int(v) => out.add(v),
            Value::Float(v) => out.add(v),
            Value::Text(v) => out.add(v),
            Value::Time(v) => out.add(v.format(TIME_TEXT).to_string()),
            Value::Naive(v) => out.add(v.format(NAIVE_TEXT).to_string()),
            Value::Uuid(v) => out.add(v.to_string()),
            Value::Json(v) => out.add(crate::value::jsonb_order(v).to_string()),
        };
        added.map_err(|e| Error::Row(e.to_string()))?;
    }
    Ok(out)
}
