//! For tests: the same test on a fresh SQLite file and on a fresh PostgreSQL database.
//!
//! PostgreSQL is the server of `SWF_TEST_POSTGRES_URL` if that is set (`ci/postgres` starts one for a whole
//! test run), else one of this process, started from the binaries found on the machine and gone with the
//! test. Without either the PostgreSQL half is skipped with a message, or fails under `SWF_REQUIRE_ALL=1`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up must fail at once")]

mod server;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::time::Duration;

use crate::ddl::Ddl;
use crate::schema::Schema;
use crate::{Db, Engine, Options, Sql, migrate};

pub use server::Server;

/// A fresh database of one test.
#[derive(Debug, Clone)]
pub struct TestDb {
    /// The database, open.
    pub db: Db,
    /// Its URL, for further handles.
    pub url: String,
}

impl Deref for TestDb {
    type Target = Db;
    fn deref(&self) -> &Db {
        &self.db
    }
}

impl TestDb {
    /// Another handle on the same database, with its own connections.
    pub async fn again(&self, options: &Options) -> Db {
        Db::open(&self.url, options).await.expect("the database opens again")
    }
}

/// Runs a test on each engine, with the tables of `schema` made, or empty for `None`.
pub async fn on_each_db<F: AsyncFn(TestDb)>(schema: Option<&Schema>, test: F) {
    on_sqlite(schema, &test).await;
    on_postgres(schema, &test).await;
}

/// Runs a test on a fresh SQLite file.
pub async fn on_sqlite<F: AsyncFn(TestDb)>(schema: Option<&Schema>, test: F) {
    println!("on SQLite");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:{}", folder.path().join("swf.sqlite").display());
    let db = Db::open(&url, &options()).await.expect("SQLite opens");
    if let Some(schema) = schema {
        migrate::migrate(&db, schema).await.expect("the schema is made");
    }
    test(TestDb { db: db.clone(), url }).await;
    db.close().await;
}

/// Runs a test on a fresh PostgreSQL database.
pub async fn on_postgres<F: AsyncFn(TestDb)>(schema: Option<&Schema>, test: F) {
    println!("on PostgreSQL");
    let Some(server) = Server::get() else { return };
    let admin = admin(server.url()).await;
    let name = format!("swf_test_{}", uuid::Uuid::new_v4().simple());
    let create = match schema {
        Some(schema) => {
            let template = template(&admin, server.url(), schema).await;
            format!("CREATE DATABASE {name} TEMPLATE {template}")
        }
        None => format!("CREATE DATABASE {name} TEMPLATE template0"),
    };
    run(&admin, create).await;
    let url = with_database(server.url(), &name);
    let db = Db::open(&url, &options()).await.expect("PostgreSQL opens");
    test(TestDb { db: db.clone(), url }).await;
    db.close().await;
    run(&admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    admin.close().await;
}

fn options() -> Options {
    Options { acquire_timeout: Duration::from_secs(30), ..Options::default() }
}

/// One connection only, so that a lock of its session lasts from statement to statement.
async fn admin(url: &str) -> Db {
    let options = Options { max_connections: 1, statement_timeout: None, ..options() };
    Db::open(url, &options).await.expect("the PostgreSQL server is reached")
}

async fn run(db: &Db, text: String) {
    db.script(text).await.expect("the server does as told");
}

/// The database with this schema that others are cloned from; made by the first test that asks.
async fn template(admin: &Db, server: &str, schema: &Schema) -> String {
    let ddl = Ddl::new(Engine::Postgres, schema);
    let mut hash = DefaultHasher::new();
    for table in schema.tables.iter().chain(schema.own) {
        ddl.table(table).hash(&mut hash);
    }
    format!("{:?}{:?}{:?}", schema.later, schema.first_rows, schema.steps).hash(&mut hash);
    let name = format!("swf_template_{:016x}", hash.finish());
    let lock = Sql::new("SELECT pg_advisory_lock(?)").with("", [0x0073_7766.into()]);
    admin.execute(&lock).await.expect("the lock is granted");
    let known =
        Sql::new("SELECT count(*) FROM pg_database WHERE").with("datname = ?", [name.as_str().into()]);
    if admin.fetch_one::<i64>(&known).await.expect("the catalogue is read") == 0 {
        let making = format!("{name}_making");
        run(admin, format!("DROP DATABASE IF EXISTS {making} WITH (FORCE)")).await;
        run(admin, format!("CREATE DATABASE {making} TEMPLATE template0")).await;
        let db = Db::open(&with_database(server, &making), &options()).await.expect("the template opens");
        migrate::migrate(&db, schema).await.expect("the schema is made");
        db.close().await;
        // Connections end on the server a moment after they are closed here.
        let others = Sql::new("SELECT count(*) FROM pg_stat_activity WHERE")
            .with("datname = ?", [making.as_str().into()]);
        while admin.fetch_one::<i64>(&others).await.expect("the catalogue is read") > 0 {
            tokio::task::yield_now().await;
        }
        run(admin, format!("ALTER DATABASE {making} RENAME TO {name}")).await;
    }
    let unlock = Sql::new("SELECT pg_advisory_unlock_all()");
    admin.execute(&unlock).await.expect("the lock is given back");
    name
}

/// The URL with another database name.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(b, q)| (b, Some(q)));
    let start = base.find("://").map_or(0, |at| at + 3);
    let host_end = base.get(start..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| start + at);
    let host = base.get(..host_end).unwrap_or_default();
    match query {
        Some(query) => format!("{host}/{name}?{query}"),
        None => format!("{host}/{name}"),
    }
}
