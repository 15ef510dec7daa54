//! Makes the tables of a new database, and the additions of later versions in an old one.
//!
//! *Invariant:* on a database that Django made (it has `django_migrations`) nothing outside
//! [`crate::ddl::OWN_SCHEMA`] is touched. Everything happens in one transaction under one lock, so of
//! several replicas that start together one does the work and the others find it done.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::ddl::{Ddl, OWN_SCHEMA};
use crate::schema::{Change, Column, Default, Key, Kind, Schema, Table};
use crate::{Db, Engine, Error, Json, Sql, Tx, Value, catalog};

/// The table by which Django's databases are known.
pub const DJANGO_LEDGER: &str = "django_migrations";

/// Which versions of the schema were reached, and when.
pub const LEDGER: Table = Table {
    name: "swfx_migration",
    columns: &[
        Column::new("version", Kind::BigInt),
        Column::new("name", Kind::Text),
        Column::new("applied_at", Kind::Time).with(Default::Now),
    ],
    primary_key: Key { name: "swfx_migration_pkey", columns: &["version"] },
    uniques: &[],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};

/// Any number, the same in every swf: who holds this advisory lock migrates.
const LOCK: i64 = 0x0073_7766_6462;

/// Who made the shared tables of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// swf itself.
    Swf,
    /// Django; swf leaves them alone.
    Django,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who made the shared tables.
    pub owner: Owner,
    /// Tables made now.
    pub tables: Vec<String>,
    /// Columns and indexes added now, `table.name`.
    pub added: Vec<String>,
    /// Version before; `None` for a database new to swf.
    pub from: Option<i64>,
    /// Version now. Higher than this program's when a newer swf was here: that does no harm, because
    /// versions only add.
    pub version: i64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = match self.owner {
            Owner::Swf => "swf's own database",
            Owner::Django => "a database made by Django, its tables left as they are",
        };
        write!(f, "{owner}: schema version {}", self.version)?;
        if self.tables.is_empty() && self.added.is_empty() {
            return f.write_str(", nothing to do");
        }
        if !self.tables.is_empty() {
            write!(f, ", made {} tables", self.tables.len())?;
        }
        if !self.added.is_empty() {
            write!(f, ", added {}", self.added.join(", "))?;
        }
        Ok(())
    }
}

/// Who made the shared tables of a database.
pub async fn owner(db: &Db) -> Result<Owner, Error> {
    let found: Vec<String> = db.fetch_all(&catalog::existing(db.engine(), &[DJANGO_LEDGER])).await?;
    Ok(if found.is_empty() { Owner::Swf } else { Owner::Django })
}

/// Brings a database to the newest version of the schema. Does nothing to one that is there already.
pub async fn migrate(db: &Db, schema: &Schema) -> Result<Report, Error> {
    let engine = db.engine();
    let mut tx = db.begin().await?;
    if engine == Engine::Postgres {
        // Building an index may outlast the statement limit of everyday work; waiting for others may not.
        tx.execute(&Sql::new("SET LOCAL statement_timeout = 0")).await?;
        tx.execute(&Sql::new("SET LOCAL lock_timeout = '60s'")).await?;
        tx.execute(&Sql::new("SELECT pg_advisory_xact_lock(?)").with("", [LOCK.into()])).await?;
    }
    let mut migration = Migration::look(&mut tx, schema).await?;
    migration.run(&mut tx).await?;
    tx.commit().await?;
    Ok(migration.report)
}

struct Migration<'a> {
    schema: &'a Schema,
    ddl: Ddl<'a>,
    engine: Engine,
    existing: BTreeSet<String>,
    report: Report,
    now: DateTime<Utc>,
}

impl<'a> Migration<'a> {
    /// Finds out what kind of database it is.
    async fn look(tx: &mut Tx<'_>, schema: &'a Schema) -> Result<Migration<'a>, Error> {
        let engine = tx.engine();
        let mut names: Vec<&str> = schema.tables.iter().chain(schema.own).map(|t| t.name).collect();
        names.extend([LEDGER.name, DJANGO_LEDGER]);
        let existing: BTreeSet<String> =
            tx.fetch_all(&catalog::existing(engine, &names)).await?.into_iter().collect();
        let from = if existing.contains(LEDGER.name) {
            let newest = Sql::new("SELECT max(version) FROM swfx_migration");
            tx.fetch_optional::<Option<i64>>(&newest).await?.flatten()
        } else {
            None
        };
        let owner = if existing.contains(DJANGO_LEDGER) { Owner::Django } else { Owner::Swf };
        if owner == Owner::Swf && from.is_none() {
            let foreign = schema.tables.iter().find(|t| existing.contains(t.name));
            if let Some(table) = foreign {
                return Err(Error::Foreign { table: table.name.to_owned() });
            }
        }
        let version = from.unwrap_or(0);
        let report = Report { owner, tables: Vec::new(), added: Vec::new(), from, version };
        let ddl = Ddl::new(engine, schema);
        Ok(Migration { schema, ddl, engine, existing, report, now: Utc::now() })
    }

    async fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        self.make_ledger(tx).await?;
        match self.report.from {
            None => self.make_all(tx).await?,
            Some(from) => {
                for step in self.schema.steps.iter().filter(|s| s.version > from) {
                    for change in step.changes {
                        self.apply(tx, change).await?;
                    }
                    self.record(tx, step.version, step.name).await?;
                }
            }
        }
        if self.report.owner == Owner::Swf {
            for later in self.schema.later {
                self.add_column(tx, later.table, &later.column).await?;
            }
        }
        Ok(())
    }

    async fn make_ledger(&mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        if self.existing.contains(LEDGER.name) {
            return Ok(());
        }
        if self.engine == Engine::Postgres {
            // Asked first, because IF NOT EXISTS demands the right to create even when there is nothing to do.
            let sql =
                Sql::new("SELECT count(*) FROM pg_namespace WHERE").with("nspname = ?", [OWN_SCHEMA.into()]);
            if tx.fetch_optional::<i64>(&sql).await? == Some(0) {
                tx.execute(&Sql::new(format!("CREATE SCHEMA \"{OWN_SCHEMA}\""))).await?;
            }
        }
        let ledger = Schema { own: &[&LEDGER], ..*self.schema };
        for text in Ddl::new(self.engine, &ledger).table(&LEDGER) {
            tx.execute(&Sql::new(text)).await?;
        }
        Ok(())
    }

    /// A database new to swf: everything in its newest form, all versions recorded.
    async fn make_all(&mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        if self.report.owner == Owner::Swf {
            for table in self.schema.tables {
                self.make_table(tx, table).await?;
            }
            for (name, key) in self.schema.first_rows {
                if let Some(table) = self.schema.table(name) {
                    self.first_row(tx, table, *key).await?;
                }
            }
        }
        for table in self.schema.own {
            self.make_table(tx, table).await?;
        }
        self.record(tx, 1, "first state").await?;
        for step in self.schema.steps {
            self.record(tx, step.version, step.name).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, tx: &mut Tx<'_>, change: &Change) -> Result<(), Error> {
        let table = match change {
            Change::Table(table) => table.name,
            Change::Column(table, _) | Change::Index(table, _) => table,
        };
        if self.report.owner == Owner::Django && !self.schema.is_own(table) {
            return Ok(());
        }
        match change {
            Change::Table(table) => self.make_table(tx, table).await,
            Change::Column(table, column) => self.add_column(tx, table, column).await,
            Change::Index(table, index) => {
                if let Some(text) = self.ddl.index(table, index) {
                    tx.execute(&Sql::new(text)).await?;
                    self.report.added.push(format!("{table}.{}", index.name));
                }
                Ok(())
            }
        }
    }

    async fn make_table(&mut self, tx: &mut Tx<'_>, table: &Table) -> Result<(), Error> {
        if !self.existing.insert(table.name.to_owned()) {
            return Ok(());
        }
        for text in self.ddl.table(table) {
            tx.execute(&Sql::new(text)).await?;
        }
        self.report.tables.push(table.name.to_owned());
        Ok(())
    }

    async fn add_column(&mut self, tx: &mut Tx<'_>, table: &str, column: &Column) -> Result<(), Error> {
        let rows = tx.rows(&catalog::columns(self.engine, &[table])).await?;
        let name = Value::from(column.name);
        if rows.is_empty() || rows.iter().any(|r| r.get("name") == Some(&name)) {
            return Ok(());
        }
        tx.execute(&Sql::new(self.ddl.add_column(table, column))).await?;
        self.report.added.push(format!("{table}.{}", column.name));
        Ok(())
    }

    async fn record(&mut self, tx: &mut Tx<'_>, version: i64, name: &str) -> Result<(), Error> {
        let sql = Sql::new("INSERT INTO swfx_migration (version, name, applied_at) VALUES")
            .with("(?, ?, ?)", [version.into(), name.into(), self.now.into()]);
        tx.execute(&sql).await?;
        self.report.version = self.report.version.max(version);
        Ok(())
    }

    async fn first_row(&self, tx: &mut Tx<'_>, table: &Table, key: i64) -> Result<(), Error> {
        let mut names = Vec::new();
        let mut values = Vec::new();
        for column in table.columns {
            names.push(format!("\"{}\"", column.name));
            values.push(match column.default {
                Default::Identity => key.into(),
                Default::Int(v) => v.into(),
                Default::Bool(v) => v.into(),
                Default::Text(v) => v.into(),
                Default::EmptyObject => Json(serde_json::json!({})).into(),
                Default::Now | Default::Created | Default::Updated => self.now.into(),
                Default::RandomUuid => uuid::Uuid::new_v4().into(),
                Default::None => Value::Null,
            });
        }
        let marks = vec!["?"; values.len()].join(", ");
        let mut sql = Sql::new(format!("INSERT INTO {} ({})", self.ddl.name(table.name), names.join(", ")));
        sql.push(&format!("VALUES ({marks})"), values);
        tx.execute(&sql).await.map(|_| ())
    }
}
