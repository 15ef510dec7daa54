//! The deep archive: months of jobs that PanDA has moved out of the schema at hand.

use std::collections::BTreeMap;

use serde::Deserialize;
use swf_db::{Row, Sql};

use super::{Panda, schema};
use crate::Error;

/// Schema to which months are moved when they are a year old.
pub const ARCHIVE: &str = "doma_pandaarch";
/// Months looked through at most, latest first.
const MONTHS: usize = 120;

#[derive(Deserialize)]
struct Column {
    table: String,
    column: String,
    readable: bool,
}

/// What the deep archive says about a job.
pub enum Found {
    /// Its row and the table that holds it.
    Job(Box<Row>, String),
    /// It is not there; in how many tables was looked.
    Nowhere(usize),
    /// It could not be looked at, and why.
    Dark(String),
}

/// Looks a job up by its id: each month has an index of ids.
pub async fn job(panda: &Panda, id: i64, columns: &[&str]) -> Found {
    match look(panda, id, columns).await {
        Ok(found) => found,
        Err(e) => Found::Dark(format!("the deep archive could not be looked at: {e}")),
    }
}

async fn look(panda: &Panda, id: i64, columns: &[&str]) -> Result<Found, Error> {
    if !panda.is_postgres() {
        return Ok(Found::Dark("the embedded PanDA database has no deep archive".into()));
    }
    let mut sql = Sql::new("SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace");
    sql.and("nspname = ?", [ARCHIVE.into()]);
    match panda.fetch_all::<bool>(&sql).await?.first() {
        None => {
            return Ok(Found::Dark(format!(
                "schema {ARCHIVE} (the deep archive) does not exist in this database"
            )));
        }
        Some(false) => {
            return Ok(Found::Dark(format!(
                "our role may not look into schema {ARCHIVE} (the deep archive)"
            )));
        }
        Some(true) => {}
    }
    let mut months = months(panda).await?;
    let refused: Vec<String> = months.iter().filter(|(_, m)| m.is_none()).map(|(t, _)| t.clone()).collect();
    months.retain(|_, m| m.is_some());
    if months.is_empty() && !refused.is_empty() {
        return Ok(Found::Dark(format!(
            "our role may not read the tables of schema {ARCHIVE} (the deep archive)"
        )));
    }
    let Some(table) = schema::table("jobsarchived4") else { return Ok(Found::Nowhere(0)) };
    let mut sql = Sql::new("");
    let latest: Vec<_> = months.iter().rev().take(MONTHS).collect();
    for (name, known) in &latest {
        let columns = columns.iter().map(|c| match known {
            Some(known) if known.iter().any(|k| k == c) => (*c).to_owned(),
            _ => format!("CAST(NULL AS {}) AS {c}", schema::kind(table, c)),
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        sql.push(if sql.text().is_empty() { "" } else { "UNION ALL" }, []);
        let text =
            format!("SELECT '{name}' AS found_in, {columns} FROM {ARCHIVE}.\"{name}\" WHERE pandaid = ?");
        sql.push(&text, [id.into()]);
    }
    if latest.is_empty() {
        return Ok(Found::Nowhere(0));
    }
    let row = panda.rows(&sql).await?.into_iter().next();
    Ok(match row {
        Some(row) => {
            let name = super::answer::text(&row, "found_in").unwrap_or_default();
            Found::Job(Box::new(row), format!("{ARCHIVE}.{name}"))
        }
        None => Found::Nowhere(latest.len()),
    })
}

/// The archive's job tables by name with their columns; none for those that our role may not read.
async fn months(panda: &Panda) -> Result<BTreeMap<String, Option<Vec<String>>>, Error> {
    let mut sql = Sql::new(
        "SELECT CAST(c.relname AS text) AS \"table\", CAST(a.attname AS text) AS \"column\", \
         has_table_privilege(c.oid, 'SELECT') AS readable \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid",
    );
    sql.and("n.nspname = ?", [ARCHIVE.into()]).and("c.relname LIKE 'jobsarchived%'", []);
    sql.and("c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition", []);
    sql.and("a.attnum > 0 AND NOT a.attisdropped", []);
    let mut out: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    for line in panda.fetch_all::<Column>(&sql).await? {
        // A name that needs more than quotes is none of PanDA's.
        if line.table.contains(['"', '\'']) {
            continue;
        }
        let columns = out.entry(line.table).or_insert_with(|| line.readable.then(Vec::new));
        if let Some(columns) = columns {
            columns.push(line.column);
        }
    }
    out.retain(|_, columns| columns.as_ref().is_none_or(|c| c.iter().any(|c| c == "pandaid")));
    Ok(out)
}
