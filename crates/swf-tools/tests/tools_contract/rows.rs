//! Rows of a database that the original filled, kept as JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value as Json;
use swf_db::schema::{Kind, Table};
use swf_db::{Db, Engine, Sql, Value};
use swf_tools::tables::SCHEMA;
use uuid::Uuid;

/// All rows, and the moment at which the answers on them were recorded.
#[derive(Deserialize)]
pub struct Rows {
    pub now: DateTime<Utc>,
    tables: BTreeMap<String, Filled>,
}

#[derive(Deserialize)]
struct Filled {
    columns: Vec<String>,
    rows: Vec<Vec<Json>>,
}

impl Rows {
    pub fn parse(text: &str) -> Rows {
        serde_json::from_str(text).unwrap()
    }

    /// Fills the tables, emptied before.
    pub async fn load(&self, db: &Db) {
        let mut tx = db.begin().await.unwrap();
        for table in SCHEMA.tables.iter().rev() {
            if self.tables.contains_key(table.name) {
                tx.execute(&Sql::new(format!("DELETE FROM {}", table.name))).await.unwrap();
            }
        }
        if db.engine() == Engine::Sqlite {
            tx.execute(&Sql::new("DELETE FROM sqlite_sequence")).await.unwrap();
        }
        for table in SCHEMA.tables {
            let Some(filled) = self.tables.get(table.name) else { continue };
            let marks: Vec<&str> = filled.columns.iter().map(|c| mark(db, table, c)).collect();
            for row in &filled.rows {
                let values =
                    filled.columns.iter().zip(row).map(|(c, v)| typed(table, c, v)).collect::<Vec<_>>();
                let sql = Sql::new(format!("INSERT INTO {} ({})", table.name, filled.columns.join(", ")))
                    .with(&format!("VALUES ({})", marks.join(", ")), values);
                tx.execute(&sql).await.unwrap_or_else(|e| panic!("{} {row:?}: {e}", table.name));
            }
            if db.engine() == Engine::Postgres
                && filled.columns.iter().any(|c| c == "id")
                && table.name != "swf_persistent_state"
            {
                let next = format!(
                    "SELECT setval(pg_get_serial_sequence('{0}', 'id'), max(id)) FROM {0}",
                    table.name
                );
                tx.rows(&Sql::new(next)).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
    }
}

fn mark(db: &Db, table: &Table, column: &str) -> &'static str {
    match table.column(column).map(|c| c.kind) {
        Some(Kind::Inet) => db.dialect().inet_parameter(),
        _ => "?",
    }
}

/// A JSON value as the column has it.
fn typed(table: &Table, column: &str, value: &Json) -> Value {
    let kind = table.column(column).unwrap_or_else(|| panic!("{} has no {column}", table.name)).kind;
    match (kind, value) {
        (_, Json::Null) => Value::Null,
        (Kind::Json, value) => Value::Json(value.clone()),
        (Kind::Time, Json::String(text)) => DateTime::parse_from_rfc3339(text).unwrap().to_utc().into(),
        (Kind::Uuid, Json::String(text)) => text.parse::<Uuid>().unwrap().into(),
        (Kind::Numeric(..), Json::String(text)) => text.parse::<f64>().unwrap().into(),
        (_, Json::String(text)) => text.as_str().into(),
        (_, Json::Bool(value)) => (*value).into(),
        (Kind::Double, Json::Number(number)) => number.as_f64().unwrap().into(),
        (_, Json::Number(number)) => number.as_i64().unwrap().into(),
        (kind, value) => panic!("{}.{column} of {kind:?} cannot be {value}", table.name),
    }
}
