//! Lists and single rows of any resource.

use chrono_tz::Tz;
use serde_json::{Map, Value as JsonValue};
use swf_db::schema::Kind;
use swf_db::{Db, Error as DbError, Sql, Tx, Value};
use tokio::sync::OnceCell;

use super::describe::Resource;
use super::{Error, Page, present, query, validate};
use crate::Clock;

/// Rows of a list without a page at most.
pub const MOST_ROWS: usize = 10_000;

/// The records of one database.
#[derive(Debug)]
pub struct Store {
    /// The database of record.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Zone of the moments in answers, and of moments that come without offset.
    pub zone: Tz,
    /// Rows of a list at most.
    pub most_rows: usize,
    later: OnceCell<bool>,
}

/// A list, or a page of it.
#[derive(Debug)]
pub struct List {
    /// The rows.
    pub rows: Vec<JsonValue>,
    /// The page that was asked for; `None` for a plain list.
    pub page: Option<Page>,
    /// Rows in all: always for a page, and for a plain list that was cut.
    pub total: Option<i64>,
}

impl Store {
    /// Records of a database.
    pub fn new(db: Db, clock: Clock, zone: Tz) -> Store {
        Store { db, clock, zone, most_rows: MOST_ROWS, later: OnceCell::new() }
    }

    /// Whether the database has the columns that older Django versions lack; looked up once.
    pub(super) async fn later(&self) -> Result<bool, DbError> {
        let look = || async {
            let sql = Sql::new("SELECT tf_first, tf_last, tf_count FROM swf_fastmon_files WHERE 1 = 0");
            match self.db.rows(&sql).await {
                Ok(_) => Ok(true),
                Err(DbError::Schema(_)) => Ok(false),
                Err(e) => Err(e),
            }
        };
        self.later.get_or_try_init(look).await.copied()
    }

    /// The rows that a query asks for.
    pub async fn list(&self, resource: &Resource, query: &[(String, String)]) -> Result<List, Error> {
        let query = query::read(resource, query, self.zone, self.most_rows)?;
        let later = self.later().await?;
        let (limit, offset) = match query.page {
            Some(page) => (page.limit, page.offset),
            None => (self.most_rows + 1, 0),
        };
        let mut sql = Sql::new(present::select(resource, self.db.dialect(), later));
        query.apply(&mut sql);
        sql.push("ORDER BY", []).push(resource.order, []);
        sql.push("LIMIT ? OFFSET ?", [count(limit), count(offset)]);
        let found = self.db.rows(&sql).await?;
        let cut = query.page.is_none() && found.len() > self.most_rows;
        let mut rows = Vec::with_capacity(found.len());
        for row in found.into_iter().take(limit.min(self.most_rows)) {
            rows.push(JsonValue::Object(present::object(resource, row, self.zone, later)?));
        }
        let total = if cut || query.page.is_some() {
            let mut sql = Sql::new(format!("SELECT count(*) FROM {} AS t", resource.table.name));
            query.apply(&mut sql);
            Some(self.db.fetch_one::<i64>(&sql).await?)
        } else {
            None
        };
        Ok(List { rows, page: query.page, total })
    }

    /// One row by the key in its address.
    pub async fn get(&self, resource: &Resource, key: &str) -> Result<Map<String, JsonValue>, Error> {
        let later = self.later().await?;
        let sql = self.one(resource, key, later)?;
        let row = self.db.rows(&sql).await?.into_iter().next().ok_or_else(|| absent(resource))?;
        Ok(present::object(resource, row, self.zone, later)?)
    }

    /// One row within a transaction.
    pub(super) async fn get_in(
        &self,
        tx: &mut Tx<'_>,
        resource: &Resource,
        column: &str,
        key: Value,
    ) -> Result<Map<String, JsonValue>, Error> {
        let later = self.later().await?;
        let mut sql = Sql::new(present::select(resource, self.db.dialect(), later));
        sql.and(&format!("t.\"{column}\" = ?"), [key]);
        let row = tx.rows(&sql).await?.into_iter().next().ok_or_else(|| absent(resource))?;
        Ok(present::object(resource, row, self.zone, later)?)
    }

    fn one(&self, resource: &Resource, key: &str, later: bool) -> Result<Sql, Error> {
        let key = lookup_value(resource, key)?;
        let mut sql = Sql::new(present::select(resource, self.db.dialect(), later));
        sql.and(&format!("t.\"{}\" = ?", resource.lookup), [key]);
        Ok(sql)
    }
}

/// The key in an address as the value of its column; a key of the wrong type addresses nothing.
pub(super) fn lookup_value(resource: &Resource, key: &str) -> Result<Value, Error> {
    let wrong = || Error::NotFound("Not found.".into());
    match resource.table.column(resource.lookup).map(|c| c.kind) {
        Some(Kind::SmallInt | Kind::Integer | Kind::BigInt) => {
            // A number that no row can have is simply absent.
            match key.parse::<i64>() {
                Ok(n) => Ok(Value::Int(n)),
                Err(_) if !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) => Err(absent(resource)),
                Err(_) => Err(wrong()),
            }
        }
        Some(Kind::Uuid) => {
            validate::uuid(&JsonValue::String(key.to_owned())).map(Value::Uuid).ok_or_else(wrong)
        }
        _ if key.contains('\0') => Err(absent(resource)),
        _ => Ok(Value::Text(key.to_owned())),
    }
}

/// The error for a row that does not exist.
pub(super) fn absent(resource: &Resource) -> Error {
    Error::NotFound(format!("No {} matches the given query.", resource.model))
}

fn count(n: usize) -> Value {
    i64::try_from(n).map_or(Value::Int(i64::MAX), Value::Int)
}
