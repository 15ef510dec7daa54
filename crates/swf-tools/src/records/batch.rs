//! Many rows in one request and one transaction.

use std::collections::HashMap;

use serde_json::{Value as JsonValue, json};
use swf_db::{Json, Sql, Value};

use super::describe::{Resource, Source};
use super::error::Problems;
use super::fields::{self, NewRow, Written};
use super::resources::{fastmon_files, logs, system_state_events};
use super::validate::Input;
use super::{Error, Store};

/// Items of one request at most.
pub const MOST_ITEMS: usize = 20_000;
/// Rows of one INSERT: well below the 32,766 parameters that SQLite takes.
pub(super) const CHUNK: usize = 500;
/// Refusals listed in an answer; the rest is counted.
const MOST_REFUSALS: usize = 50;

/// What a batch did.
#[derive(Debug, serde::Serialize)]
pub struct Outcome {
    /// New rows.
    pub created: u64,
    /// Rows that were there already.
    pub existing: u64,
}

/// The items of a body that is a list, or an object with the list under `name`.
pub fn items(body: JsonValue, name: &str) -> Result<Vec<JsonValue>, Error> {
    let list = match body {
        JsonValue::Array(list) => list,
        JsonValue::Object(mut object) => match object.remove(name) {
            Some(JsonValue::Array(list)) => list,
            _ => return Err(Error::field(name, "This field is required and must be a list.")),
        },
        other => {
            let kind = super::validate::type_name(&other);
            return Err(Error::general(format!("Expected a list of items but got type \"{kind}\".")));
        }
    };
    if list.len() > MOST_ITEMS {
        return Err(Error::general(format!("{} items are too many: {MOST_ITEMS} at most.", list.len())));
    }
    Ok(list)
}

/// The refusal of a batch: which items are wrong and why. Nothing of the batch is stored.
pub(super) fn refuse(rejected: Vec<JsonValue>) -> Result<(), Error> {
    if rejected.is_empty() {
        return Ok(());
    }
    let total = rejected.len();
    let shown: Vec<JsonValue> = rejected.into_iter().take(MOST_REFUSALS).collect();
    Err(Error::Invalid(
        json!({"non_field_errors": [format!("{total} item(s) are wrong; nothing was stored.")], "rejected": shown}),
    ))
}

impl Store {
    /// Reads items as rows of a resource; wrong ones come back as `{index, error}`.
    pub(super) fn read_items(
        &self,
        resource: &Resource,
        items: Vec<JsonValue>,
    ) -> (Vec<Vec<Written>>, Vec<JsonValue>) {
        let mut good = Vec::with_capacity(items.len());
        let mut rejected = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let mut problems = Problems::default();
            let read = Input::from_value(item)
                .map(|input| fields::read(resource, &input, false, self.zone, &mut problems));
            match read.and_then(|row| problems.into_result().map(|()| row)) {
                Ok(row) => good.push(row),
                Err(Error::Invalid(error)) => rejected.push(json!({"index": index, "error": error})),
                Err(other) => rejected.push(json!({"index": index, "error": other.to_string()})),
            }
        }
        (good, rejected)
    }

    /// Stores log records; wrong ones are left out and named.
    pub async fn add_logs(&self, items: Vec<JsonValue>) -> Result<(u64, Vec<JsonValue>), Error> {
        let (good, rejected) = self.read_items(&logs::RESOURCE, items);
        Ok((self.add(&logs::RESOURCE, &good).await?, rejected))
    }

    /// Stores events, all or none.
    pub async fn add_events(&self, items: Vec<JsonValue>) -> Result<u64, Error> {
        let (good, rejected) = self.read_items(&system_state_events::RESOURCE, items);
        refuse(rejected)?;
        self.add(&system_state_events::RESOURCE, &good).await
    }

    async fn add(&self, resource: &Resource, rows: &[Vec<Written>]) -> Result<u64, Error> {
        let now = self.clock.now();
        let later = self.later().await?;
        let mut tx = self.db.begin().await?;
        let mut created = 0;
        for chunk in rows.chunks(CHUNK) {
            let rows: Vec<NewRow> =
                chunk.iter().map(|w| fields::insert_values(resource, w, &[], now, later)).collect();
            created += tx.execute(&fields::insert(resource.table, &rows, self.db.dialect())).await?;
        }
        tx.commit().await?;
        Ok(created)
    }

    /// Stores time frame files; those already known by name stay as they are. Gives back all rows in the
    /// order of the items.
    pub async fn add_fastmon_files(&self, items: Vec<JsonValue>) -> Result<(Outcome, Vec<JsonValue>), Error> {
        let resource = &fastmon_files::RESOURCE;
        let later = self.later().await?;
        let (mut good, rejected) = self.read_items(resource, items);
        refuse(rejected)?;
        let names: Vec<String> = good.iter().map(|row| text(row, "tf_filename")).collect();
        self.resolve_stf_files(&mut good).await?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut created = 0;
        let mut sorted: Vec<&Vec<Written>> = good.iter().collect();
        // Two batches that name the same files wait for each other in the same order.
        sorted.sort_by_key(|row| text(row, "tf_filename"));
        for chunk in sorted.chunks(CHUNK) {
            let rows: Vec<NewRow> =
                chunk.iter().map(|w| fields::insert_values(resource, w, &[], now, later)).collect();
            let sql = fields::insert(resource.table, &rows, self.db.dialect())
                .with("ON CONFLICT (tf_filename) DO NOTHING", []);
            created += tx.execute(&sql).await?;
        }
        let mut found = HashMap::new();
        for chunk in names.chunks(CHUNK) {
            for row in self.rows_in(&mut tx, resource, "tf_filename", chunk).await? {
                let name = row.get("tf_filename").and_then(JsonValue::as_str).unwrap_or_default().to_owned();
                found.insert(name, row);
            }
        }
        tx.commit().await?;
        let rows = names.iter().filter_map(|n| found.get(n).cloned()).collect();
        let existing = (good.len() as u64).saturating_sub(created);
        Ok((Outcome { created, existing }, rows))
    }

    /// Puts the keys of the super time frame files where their names are.
    async fn resolve_stf_files(&self, rows: &mut [Vec<Written>]) -> Result<(), Error> {
        let mut names: Vec<String> = rows.iter().map(|row| text(row, "stf_file")).collect();
        names.sort();
        names.dedup();
        let mut keys: HashMap<String, Value> = HashMap::new();
        for chunk in names.chunks(CHUNK) {
            let mut sql = Sql::new("SELECT stf_filename, file_id FROM swf_stf_files");
            sql.and_in("stf_filename", chunk.iter().map(Value::from));
            for (name, id) in self.db.fetch_all::<(String, uuid::Uuid)>(&sql).await? {
                keys.insert(name, id.into());
            }
        }
        let mut rejected = Vec::new();
        for (index, row) in rows.iter_mut().enumerate() {
            let name = text(row, "stf_file");
            let Some(w) = row.iter_mut().find(|w| matches!(w.field.source, Source::Slug { .. })) else {
                continue;
            };
            match keys.get(&name) {
                Some(key) => w.value = key.clone(),
                None => {
                    let why = format!("Object with stf_filename={name} does not exist.");
                    rejected.push(json!({"index": index, "error": {"stf_file": [why]}}));
                }
            }
        }
        refuse(rejected)
    }

    /// Rows whose column has one of the values, as JSON.
    async fn rows_in(
        &self,
        tx: &mut swf_db::Tx<'_>,
        resource: &Resource,
        column: &str,
        values: &[String],
    ) -> Result<Vec<JsonValue>, Error> {
        let later = self.later().await?;
        let mut sql = Sql::new(super::present::select(resource, self.db.dialect(), later));
        sql.and_in(&format!("t.\"{column}\""), values.iter().map(Value::from));
        let mut out = Vec::new();
        for row in tx.rows(&sql).await? {
            out.push(JsonValue::Object(super::present::object(resource, row, self.zone, later)?));
        }
        Ok(out)
    }
}

/// The text of a written field.
pub(super) fn text(row: &[Written], name: &str) -> String {
    match row.iter().find(|w| w.field.name == name).map(|w| &w.value) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The number of a written field.
pub(super) fn number(row: &[Written], name: &str) -> i64 {
    match row.iter().find(|w| w.field.name == name).map(|w| &w.value) {
        Some(Value::Int(n)) => *n,
        _ => 0,
    }
}

/// A stored document as JSON.
pub(super) fn stored(json: Option<Json>) -> Option<JsonValue> {
    json.map(|j| j.0).filter(|j| !j.is_null())
}
