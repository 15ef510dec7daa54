//! What the PanDA database at hand really has: tables, columns, permissions.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use swf_db::Sql;

use super::Panda;
use super::errors::{Dictionary, TABLES as DICTIONARY_TABLES};
use super::schema::{self, MARKER, SCHEMA, Table};
use crate::Error;

/// What a database has of what the tools read.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: HashMap<String, Seen>,
    /// Made by us; no row describes a real job.
    pub synthetic: bool,
    /// What our role may do.
    pub role: Role,
    words: Dictionary,
}

#[derive(Debug, Default)]
struct Seen {
    columns: HashSet<String>,
    readable: bool,
}

/// What our role may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Only look.
    #[default]
    ReadOnly,
    /// Also write; only the session's settings keep it from that.
    MayWrite,
}

#[derive(Deserialize)]
struct Line {
    table: String,
    column: String,
    readable: bool,
    writable: bool,
}

impl Catalog {
    pub(super) async fn load(panda: &Panda) -> Result<Catalog, Error> {
        let names = schema::TABLES.iter().map(|t| t.name).chain([MARKER]).chain(DICTIONARY_TABLES);
        let mut sql = if panda.is_postgres() {
            let mut sql = Sql::new(
                "SELECT CAST(c.relname AS text) AS \"table\", CAST(a.attname AS text) AS \"column\", \
                 has_table_privilege(c.oid, 'SELECT') AS readable, \
                 has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writable \
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 JOIN pg_attribute a ON a.attrelid = c.oid",
            );
            sql.and("n.nspname = ?", [SCHEMA.into()]).and("a.attnum > 0 AND NOT a.attisdropped", []);
            sql
        } else {
            Sql::new(format!(
                "SELECT c.name AS \"table\", p.name AS \"column\", 1 AS readable, 0 AS writable \
                 FROM {SCHEMA}.sqlite_master c JOIN pragma_table_info(c.name, '{SCHEMA}') p"
            ))
        };
        let name = if panda.is_postgres() { "c.relname" } else { "c.name" };
        sql.and_in(name, names.map(Into::into));
        let lines: Vec<Line> = panda.fetch_all(&sql).await?;
        let mut out = Catalog::default();
        for line in lines {
            if line.writable {
                out.role = Role::MayWrite;
            }
            if line.table == MARKER {
                out.synthetic = true;
            }
            let seen = out.tables.entry(line.table).or_default();
            seen.readable = line.readable;
            seen.columns.insert(line.column);
        }
        if out.role == Role::MayWrite {
            tracing::warn!(
                "the PanDA role may write; swf never does (its sessions are read-only), but a role with SELECT only is safer"
            );
        }
        out.words = Dictionary::load(panda, &out).await;
        Ok(out)
    }

    /// What error codes mean here.
    pub fn words(&self) -> &Dictionary {
        &self.words
    }

    /// Why a table cannot be read; `None` when it can.
    pub fn trouble(&self, table: &str) -> Option<String> {
        match self.tables.get(table) {
            None => Some(format!("table {SCHEMA}.{table} does not exist in this database")),
            Some(seen) if !seen.readable => Some(format!("our role may not read {SCHEMA}.{table}")),
            Some(_) => None,
        }
    }

    /// Refuses when a table that the question is about cannot be read.
    pub fn need(&self, table: &str) -> Result<(), Error> {
        match self.trouble(table) {
            None => Ok(()),
            Some(why) => Err(super::unavailable(&format!("cannot answer this: {why}"))),
        }
    }

    /// Those of the tables that can be read, and why the others cannot. Refuses when none can.
    pub fn usable(&self, tables: &[&'static str]) -> Result<(Vec<&'static Table>, Vec<String>), Error> {
        let (mut usable, mut dark) = (Vec::new(), Vec::new());
        for name in tables {
            match (self.trouble(name), schema::table(name)) {
                (None, Some(table)) => usable.push(table),
                (Some(why), _) => dark.push(why),
                (None, None) => {}
            }
        }
        match (usable.is_empty(), dark.first()) {
            (true, Some(why)) => Err(super::unavailable(&format!("cannot answer this: {why}"))),
            _ => Ok((usable, dark)),
        }
    }

    /// Whether a table has a column.
    pub fn has(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|t| t.columns.contains(column))
    }

    /// A column to select, or a typed NULL under its name when the table lacks it.
    pub fn column(&self, table: &Table, column: &str, postgres: bool) -> String {
        if self.has(table.name, column) {
            return column.to_owned();
        }
        if postgres {
            return format!("CAST(NULL AS {}) AS {column}", schema::kind(table, column));
        }
        format!("NULL AS {column}")
    }

    /// Columns of a select list, missing ones as NULL.
    pub fn columns(&self, table: &Table, columns: &[&str], postgres: bool) -> String {
        columns.iter().map(|c| self.column(table, c, postgres)).collect::<Vec<_>>().join(", ")
    }

    /// The columns that a table lacks, in words.
    pub fn missing(&self, table: &str, columns: &[&str]) -> Option<String> {
        let missing: Vec<&str> = columns.iter().copied().filter(|c| !self.has(table, c)).collect();
        (!missing.is_empty() && self.trouble(table).is_none())
            .then(|| format!("{SCHEMA}.{table} has no column {}", missing.join(", ")))
    }
}
