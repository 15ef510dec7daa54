//! Rows on their way into a table, and the generator's dice.

use swf_db::{Db, Engine, Sql, Value};

use crate::panda::schema::SCHEMA;

/// Rows of one table, all with the same columns.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Table without schema.
    pub table: &'static str,
    /// Columns of each row.
    pub columns: Vec<&'static str>,
    /// Values in column order.
    pub rows: Vec<Vec<Value>>,
}

impl Batch {
    /// No rows yet.
    pub fn new(table: &'static str) -> Batch {
        Batch { table, columns: Vec::new(), rows: Vec::new() }
    }

    /// Multiplies ids, so that there is room for copies between them.
    pub fn spread(&mut self, ids: &[&str], factor: i64) {
        let at: Vec<bool> = self.columns.iter().map(|c| ids.contains(c)).collect();
        for row in &mut self.rows {
            for (value, _) in row.iter_mut().zip(&at).filter(|(_, is_id)| **is_id) {
                if let Value::Int(id) = value {
                    *id *= factor;
                }
            }
        }
    }

    /// Adds a row; the first one fixes the columns.
    pub fn add(&mut self, row: Vec<(&'static str, Value)>) {
        if self.columns.is_empty() {
            self.columns = row.iter().map(|(name, _)| *name).collect();
        }
        self.rows.push(row.into_iter().map(|(_, value)| value).collect());
    }
}

/// Writes the rows, some hundred at a time.
pub async fn insert(db: &Db, batch: &Batch) -> Result<(), swf_db::Error> {
    if batch.rows.is_empty() {
        return Ok(());
    }
    // SQLite looks each `$n` up among all names before it, so its statements have to be short.
    let parameters = if db.engine() == Engine::Sqlite { 700 } else { 20_000 };
    let at_once = (parameters / batch.columns.len().max(1)).clamp(1, 400);
    let marks = format!("({})", vec!["?"; batch.columns.len()].join(", "));
    let mut tx = db.begin().await?;
    for rows in batch.rows.chunks(at_once) {
        let mut sql =
            Sql::new(format!("INSERT INTO {SCHEMA}.{} ({}) VALUES", batch.table, batch.columns.join(", ")));
        let all = vec![marks.as_str(); rows.len()].join(", ");
        sql.push(&all, rows.iter().flatten().cloned());
        tx.execute(&sql).await?;
    }
    tx.commit().await
}

/// Repeatable dice (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).unwrap_or(1).max(1);
        low + i64::try_from(self.next() % span).unwrap_or_default()
    }

    /// True in `percent` of a hundred throws.
    pub fn chance(&mut self, percent: i64) -> bool {
        self.range(0, 99) < percent
    }

    /// One of several things by weight.
    pub fn weighted<'a, T>(&mut self, things: &'a [(i64, T)]) -> Option<&'a T> {
        let total: i64 = things.iter().map(|(weight, _)| weight).sum();
        let mut left = self.range(0, total.max(1) - 1);
        for (weight, thing) in things {
            if left < *weight {
                return Some(thing);
            }
            left -= weight;
        }
        None
    }
}
