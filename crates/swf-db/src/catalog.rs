//! What a database really has, read from the catalogue of its engine into one shape.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Db, Engine, Error, Sql, Value};

/// Tables by name.
pub(crate) type Catalog = BTreeMap<String, Facts>;

/// One table.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Columns in their order.
    pub columns: Vec<ColumnFact>,
    /// Keys, unique constraints and unique indexes, foreign keys, checks.
    pub constraints: Vec<Fact>,
    /// Other indexes; the definition is the list of key parts.
    pub indexes: Vec<Fact>,
    /// What the role may not do with it.
    pub denied: Vec<&'static str>,
}

/// One column.
#[derive(Debug, Deserialize)]
pub(crate) struct ColumnFact {
    table_name: String,
    pub name: String,
    pub type_name: String,
    pub not_null: bool,
    /// The database itself can fill it: identity or default.
    pub filled: bool,
}

/// A constraint or index: its name where the engine knows one, and its definition in PostgreSQL's words
/// without quotes (`UNIQUE (a, b)`).
#[derive(Debug)]
pub(crate) struct Fact {
    pub name: Option<String>,
    pub definition: String,
}

/// Reads the named tables, as far as they exist.
pub(crate) async fn read(db: &Db, tables: &[&str]) -> Result<Catalog, Error> {
    let mut catalog = Catalog::new();
    for column in db.fetch_all::<ColumnFact>(&columns(db.engine(), tables)).await? {
        catalog.entry(column.table_name.clone()).or_default().columns.push(column);
    }
    match db.engine() {
        Engine::Postgres => read_postgres(db, tables, &mut catalog).await?,
        Engine::Sqlite => read_sqlite(db, &mut catalog).await?,
    }
    Ok(catalog)
}

/// Columns of the named tables: `table_name`, `name`, `type_name`, `not_null`, `filled`.
pub(crate) fn columns(engine: Engine, tables: &[&str]) -> Sql {
    let names = tables.iter().map(|&t| Value::from(t));
    match engine {
        Engine::Postgres => {
            let mut sql = Sql::new(
                "SELECT c.relname AS table_name, a.attname AS name, \
                 format_type(a.atttypid, a.atttypmod) AS type_name, a.attnotnull AS not_null, \
                 (a.attidentity <> '' OR a.atthasdef) AS filled \
                 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid",
            );
            sql.and("c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)", []);
            sql.and("a.attnum > 0 AND NOT a.attisdropped", []);
            sql.and_in("CAST(c.relname AS text)", names);
            sql.with("ORDER BY c.relname, a.attnum", [])
        }
        Engine::Sqlite => {
            let mut sql = Sql::new(
                "SELECT m.name AS table_name, p.name AS name, p.type AS type_name, \
                 p.\"notnull\" AS not_null, \
                 (p.dflt_value IS NOT NULL OR (p.pk = 1 AND p.type = 'INTEGER')) AS filled \
                 FROM sqlite_master m, pragma_table_info(m.name) p",
            );
            sql.and("m.type = 'table'", []).and_in("m.name", names);
            sql.with("ORDER BY m.name, p.cid", [])
        }
    }
}

/// Which of the named tables exist.
pub(crate) fn existing(engine: Engine, tables: &[&str]) -> Sql {
    let names = tables.iter().map(|&t| Value::from(t));
    let mut sql = match engine {
        Engine::Postgres => Sql::new("SELECT CAST(relname AS text) AS name FROM pg_class"),
        Engine::Sqlite => Sql::new("SELECT name FROM sqlite_master"),
    };
    match engine {
        Engine::Postgres => {
            sql.and("relkind IN ('r', 'p', 'v') AND pg_table_is_visible(oid)", []);
            sql.and_in("CAST(relname AS text)", names);
        }
        Engine::Sqlite => {
            sql.and("type IN ('table', 'view')", []).and_in("name", names);
        }
    }
    sql
}

async fn read_postgres(db: &Db, tables: &[&str], catalog: &mut Catalog) -> Result<(), Error> {
    let visible = "pg_table_is_visible(t.oid)";
    let names = || tables.iter().map(|&t| Value::from(t));
    let mut constraints = Sql::new(
        "SELECT CAST(t.relname AS text), CAST(c.conname AS text), pg_get_constraintdef(c.oid) \
         FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid",
    );
    constraints.and(visible, []).and_in("CAST(t.relname AS text)", names());
    constraints.push("ORDER BY c.conname", []);
    for (table, name, definition) in db.fetch_all::<(String, String, String)>(&constraints).await? {
        let fact = Fact { name: Some(name), definition: plain(&definition) };
        catalog.entry(table).or_default().constraints.push(fact);
    }
    let mut indexes = Sql::new(
        "SELECT CAST(t.relname AS text), CAST(i.relname AS text), pg_get_indexdef(x.indexrelid), \
         x.indisunique FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid \
         JOIN pg_class i ON i.oid = x.indexrelid",
    );
    indexes.and(visible, []).and("x.indisvalid AND x.indpred IS NULL", []);
    indexes.and("NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = x.indexrelid)", []);
    indexes.and_in("CAST(t.relname AS text)", names());
    indexes.push("ORDER BY i.relname", []);
    for (table, name, text, unique) in db.fetch_all::<(String, String, String, bool)>(&indexes).await? {
        let text = plain(&text);
        let parts = text.split_once(" USING btree (").map_or(text.as_str(), |(_, rest)| rest);
        let parts = parts.trim_end_matches(')').to_owned();
        add_index(catalog, table, name, parts, unique);
    }
    let mut rights = Sql::new(
        "SELECT CAST(t.relname AS text), has_table_privilege(t.oid, 'SELECT'), \
         has_table_privilege(t.oid, 'INSERT'), has_table_privilege(t.oid, 'UPDATE'), \
         has_table_privilege(t.oid, 'DELETE') FROM pg_class t",
    );
    rights.and(visible, []).and("t.relkind IN ('r', 'p')", []);
    rights.and_in("CAST(t.relname AS text)", names());
    for (table, select, insert, update, delete) in
        db.fetch_all::<(String, bool, bool, bool, bool)>(&rights).await?
    {
        let all = [(select, "SELECT"), (insert, "INSERT"), (update, "UPDATE"), (delete, "DELETE")];
        let denied = all.iter().filter(|(may, _)| !may).map(|(_, word)| *word).collect();
        catalog.entry(table).or_default().denied = denied;
    }
    Ok(())
}

fn add_index(catalog: &mut Catalog, table: String, name: String, parts: String, unique: bool) {
    let facts = catalog.entry(table).or_default();
    if unique {
        facts.constraints.push(Fact { name: Some(name), definition: format!("UNIQUE ({parts})") });
    } else {
        facts.indexes.push(Fact { name: Some(name), definition: parts });
    }
}

/// PostgreSQL quotes names only where it must; here they are never quoted.
fn plain(text: &str) -> String {
    text.replace('"', "").replace(" public.", " ").replace("REFERENCES public.", "REFERENCES ")
}

#[derive(Deserialize)]
struct SqliteIndexPart {
    table_name: String,
    index_name: String,
    is_unique: bool,
    origin: String,
    column_name: Option<String>,
    descending: bool,
}

async fn read_sqlite(db: &Db, catalog: &mut Catalog) -> Result<(), Error> {
    for (table, facts) in catalog.iter_mut() {
        let sql = Sql::new("SELECT name FROM").with("pragma_table_info(?)", [table.as_str().into()]);
        let key: Vec<String> = db.fetch_all(&sql.with("WHERE pk > 0 ORDER BY pk", [])).await?;
        let definition = format!("PRIMARY KEY ({})", key.join(", "));
        facts.constraints.push(Fact { name: None, definition });
        let sql = Sql::new("SELECT \"from\", \"table\", coalesce(\"to\", '') FROM")
            .with("pragma_foreign_key_list(?)", [table.as_str().into()]);
        for (from, to_table, to) in db.fetch_all::<(String, String, String)>(&sql).await? {
            let definition = format!("FOREIGN KEY ({from}) REFERENCES {to_table}({to})");
            facts.constraints.push(Fact { name: None, definition });
        }
    }
    let sql = Sql::new(
        "SELECT m.name AS table_name, l.name AS index_name, l.\"unique\" AS is_unique, l.origin AS origin, \
         x.name AS column_name, x.\"desc\" AS descending \
         FROM sqlite_master m, pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x \
         WHERE m.type = 'table' AND x.key = 1 AND l.partial = 0 ORDER BY m.name, l.name, x.seqno",
    );
    let mut indexes: BTreeMap<(String, String), (Vec<String>, bool)> = BTreeMap::new();
    for part in db.fetch_all::<SqliteIndexPart>(&sql).await? {
        if part.origin == "pk" || !catalog.contains_key(&part.table_name) {
            continue;
        }
        let entry = indexes.entry((part.table_name, part.index_name)).or_default();
        let direction = if part.descending { " DESC" } else { "" };
        entry.0.push(format!("{}{direction}", part.column_name.unwrap_or_default()));
        entry.1 = part.is_unique;
    }
    for ((table, name), (parts, unique)) in indexes {
        add_index(catalog, table, name, parts.join(", "), unique);
    }
    Ok(())
}
