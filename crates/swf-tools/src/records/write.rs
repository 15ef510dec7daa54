//! Creating, changing and deleting rows of any resource.
//!
//! *Invariant:* keys never change, and uniqueness is decided by the database's constraints alone; the
//! look-ups here only put the refusal into words.

use serde_json::{Map, Value as JsonValue};
use swf_db::schema::{Default, OnDelete, Table};
use swf_db::{Error as DbError, Row, Sql, Tx, Value};

use super::describe::{Field, Resource, Source};
use super::error::Problems;
use super::fields::{Written, insert, insert_values, placeholder};
use super::pcs::resources::TASKS;
use super::pcs::tasks;
use super::store::{absent, lookup_value};
use super::validate::Input;
use super::{Error, Store, present};
use crate::tables::TABLES;
use crate::{Caller, Scope};

/// How a row is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// All required fields must be given.
    Put,
    /// Only what is given changes; documents are replaced.
    Patch,
    /// Only what is given changes; objects in JSON columns are merged key by key.
    Merge,
}

impl Store {
    /// Makes a row.
    pub async fn create(
        &self,
        resource: &Resource,
        caller: &Caller,
        mut input: Input,
    ) -> Result<Map<String, JsonValue>, Error> {
        let later = self.later().await?;
        if resource.path == super::resources::tf_slices::RESOURCE.path {
            self.name_files(&mut input).await?;
        }
        let mut tx = self.db.begin().await?;
        let written = self.checked(&mut tx, resource, &input, None).await?;
        if resource.path == TASKS.path {
            tasks::check_first(&written)?;
        }
        let author = resource.author.map(|column| (column, Value::from(caller.name())));
        let row = insert_values(resource, &written, author.as_slice(), self.clock.now(), later);
        let key = resource.key();
        let sql = insert(resource.table, &[row], self.db.dialect()).with(&format!("RETURNING \"{key}\""), []);
        let made = match tx.rows(&sql).await {
            Ok(rows) => rows,
            Err(e @ DbError::Unique { .. }) => {
                drop(tx);
                return Err(self.taken(resource, &written, None, e).await);
            }
            Err(e) => return Err(e.into()),
        };
        let id = made.into_iter().next().and_then(|r| r.into_values().into_iter().next());
        let out = self.get_in(&mut tx, resource, key, id.unwrap_or(Value::Null)).await?;
        tx.commit().await?;
        Ok(out)
    }

    /// Changes a row.
    pub async fn update(
        &self,
        resource: &Resource,
        caller: &Caller,
        key: &str,
        input: Input,
        change: Change,
    ) -> Result<Map<String, JsonValue>, Error> {
        let later = self.later().await?;
        let wanted = lookup_value(resource, key)?;
        let mut tx = self.db.begin().await?;
        let mut old = existing(&mut tx, resource, wanted).await?;
        if resource.path == super::resources::tf_slices::RESOURCE.path {
            old = super::slices::meant(&mut tx, old, &input).await?;
        }
        may_change(resource, caller, &old)?;
        if let Some(guard) = resource.guard {
            guard(&old, &input)?;
        }
        let mut written = self.checked(&mut tx, resource, &input, Some((&old, change))).await?;
        if change == Change::Merge {
            merge(&mut written, &old);
        }
        if !later {
            keep_in_metadata(&mut written, &old);
        }
        let id = old.get(resource.key()).cloned().unwrap_or(Value::Null);
        let submitted = resource.path == TASKS.path && tasks::check_change(&old, &written)?;
        if let Some(sql) = self.update_sql(resource, &written, id.clone()) {
            match tx.execute(&sql).await {
                Ok(_) => {}
                Err(e @ DbError::Unique { .. }) => {
                    drop(tx);
                    return Err(self.taken(resource, &written, Some(id), e).await);
                }
                Err(e) => return Err(e.into()),
            }
        }
        if submitted {
            let task = self.get_in(&mut tx, resource, resource.key(), id.clone()).await?;
            self.keep_submitted(&mut tx, caller, task).await?;
        }
        let out = self.get_in(&mut tx, resource, resource.key(), id).await?;
        tx.commit().await?;
        Ok(out)
    }

    /// Deletes a row, and before it the rows that cannot be without it.
    pub async fn delete(&self, resource: &Resource, caller: &Caller, key: &str) -> Result<(), Error> {
        let wanted = lookup_value(resource, key)?;
        let mut tx = self.db.begin().await?;
        let old = existing(&mut tx, resource, wanted).await?;
        may_change(resource, caller, &old)?;
        let id = old.get(resource.key()).cloned().unwrap_or(Value::Null);
        if resource.path == TASKS.path {
            tasks::forget_snapshot(&mut tx, id.clone()).await?;
        }
        cascade(&mut tx, resource.table, format!("\"{}\" = ?", resource.key()), id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What the input says, with keys of other rows looked up; all refusals together.
    async fn checked(
        &self,
        tx: &mut Tx<'_>,
        resource: &Resource,
        input: &Input,
        old: Option<(&Row, Change)>,
    ) -> Result<Vec<Written>, Error> {
        let mut problems = Problems::default();
        let partial = old.is_some_and(|(_, change)| change != Change::Put);
        let mut written = super::fields::read(resource, input, partial, self.zone, &mut problems);
        super::fields::resolve(tx, resource, &mut written, &mut problems).await?;
        if let Some((old, _)) = old {
            self.key_stays(resource, &mut written, old, &mut problems)?;
        }
        if !problems.is_empty() {
            let id = old.and_then(|(row, _)| row.get(resource.key()).cloned());
            for (name, text) in unique_fields(tx, resource, &written, id).await? {
                problems.add(name, [text]);
            }
        }
        problems.into_result()?;
        Ok(written)
    }

    /// A key given again is fine, another one is refused.
    fn key_stays(
        &self,
        resource: &Resource,
        written: &mut Vec<Written>,
        old: &Row,
        problems: &mut Problems,
    ) -> Result<(), Error> {
        let Some(at) = written.iter().position(|w| w.field.column == resource.key()) else { return Ok(()) };
        let given = written.remove(at);
        let kind = resource.shown_kind(given.field);
        let show = |v: Value| present::show(kind, v, self.zone).map_err(DbError::Row);
        let stored = show(old.get(resource.key()).cloned().unwrap_or(Value::Null))?;
        if show(given.value)? != stored {
            let why = format!("This field is the key of the row and cannot be changed (it is {stored}).");
            problems.add(given.field.name, [why]);
        }
        Ok(())
    }

    fn update_sql(&self, resource: &Resource, written: &[Written], id: Value) -> Option<Sql> {
        let mut sets = Vec::new();
        let mut values = Vec::new();
        for w in written {
            sets.push(format!("\"{}\" = {}", w.field.column, placeholder(w.kind, self.db.dialect())));
            values.push(w.value.clone());
        }
        for column in resource.table.columns.iter().filter(|c| c.default == Default::Updated) {
            sets.push(format!("\"{}\" = ?", column.name));
            values.push(self.clock.now().into());
        }
        if sets.is_empty() {
            return None;
        }
        values.push(id);
        let (table, key) = (resource.table.name, resource.key());
        Some(
            Sql::new(format!("UPDATE {table} SET"))
                .with(&sets.join(", "), [])
                .with(&format!("WHERE \"{key}\" = ?"), values),
        )
    }

    /// The refusal for a key that another row has, in words.
    async fn taken(
        &self,
        resource: &Resource,
        written: &[Written],
        id: Option<Value>,
        cause: DbError,
    ) -> Error {
        let mut problems = Problems::default();
        let found = async {
            let mut tx = self.db.begin().await?;
            let mut found = unique_fields(&mut tx, resource, written, id).await?;
            if found.is_empty() {
                found.extend(unique_sets(resource, written));
            }
            Ok::<_, DbError>(found)
        };
        match found.await {
            Ok(found) => found.into_iter().for_each(|(name, text)| problems.add(name, [text])),
            Err(e) => return e.into(),
        }
        match problems.into_result() {
            Err(refused) => refused,
            // The other row was there a moment ago and is gone again.
            Ok(()) => cause.into(),
        }
    }
}

/// The row with a key, locked until the transaction ends.
pub(super) async fn existing(tx: &mut Tx<'_>, resource: &Resource, key: Value) -> Result<Row, Error> {
    let mut sql = Sql::new(format!("SELECT * FROM {}", resource.table.name));
    sql.and(&format!("\"{}\" = ?", resource.lookup), [key]).push(tx.dialect().for_update(), []);
    tx.rows(&sql).await?.into_iter().next().ok_or_else(|| absent(resource))
}

pub(super) fn may_change(resource: &Resource, caller: &Caller, old: &Row) -> Result<(), Error> {
    let Some(column) = resource.author.filter(|_| resource.owned) else { return Ok(()) };
    let own = matches!(old.get(column), Some(Value::Text(author)) if caller.user.as_ref() == Some(author));
    if own || caller.may(Scope::Admin) {
        return Ok(());
    }
    Err(Error::Forbidden("You do not have permission to perform this action.".into()))
}

/// Which single fields another row already has.
async fn unique_fields(
    tx: &mut Tx<'_>,
    resource: &Resource,
    written: &[Written],
    id: Option<Value>,
) -> Result<Vec<(&'static str, String)>, DbError> {
    let mut out = Vec::new();
    let keys = resource.table.uniques.iter().chain([&resource.table.primary_key]);
    for column in keys.filter_map(|k| if let [one] = k.columns { Some(*one) } else { None }) {
        let Some(w) = written.iter().find(|w| w.field.column == column && !w.value.is_null()) else {
            continue;
        };
        let mut sql = Sql::new(format!("SELECT 1 FROM {}", resource.table.name));
        sql.and(&format!("\"{column}\" = ?"), [w.value.clone()]);
        sql.filter(&format!("\"{}\" <> ?", resource.key()), id.clone());
        if !tx.rows(&sql).await?.is_empty() {
            let text = format!("{} with this {} already exists.", resource.verbose, w.field.verbose());
            out.push((w.field.name, text));
        }
    }
    Ok(out)
}

/// Which sets of fields must be unique together; asked only when the database has refused one.
fn unique_sets(resource: &Resource, written: &[Written]) -> Vec<(&'static str, String)> {
    let names = |columns: &[&str]| -> Option<String> {
        let fields: Option<Vec<&Field>> = columns.iter().map(|c| resource.field_of(c)).collect();
        Some(fields?.iter().map(|f| f.name).collect::<Vec<_>>().join(", "))
    };
    resource
        .table
        .uniques
        .iter()
        .filter(|k| {
            k.columns.len() > 1 && k.columns.iter().any(|c| written.iter().any(|w| w.field.column == *c))
        })
        .filter_map(|k| names(k.columns))
        .map(|names| ("non_field_errors", format!("The fields {names} must make a unique set.")))
        .collect()
}

/// Objects in JSON columns get the stored keys that the client did not give.
fn merge(written: &mut [Written], old: &Row) {
    for w in written {
        if let Value::Json(JsonValue::Object(given)) = &mut w.value
            && let Some(JsonValue::Object(mut stored)) = old.get(w.field.column).and_then(document)
        {
            stored.append(given);
            *given = stored;
        }
    }
}

/// A stored document.
pub(super) fn document(value: &Value) -> Option<JsonValue> {
    match value {
        Value::Json(json) => Some(json.clone()),
        Value::Text(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// On a database without the later columns their values go into `metadata`, beside what is there.
fn keep_in_metadata(written: &mut Vec<Written>, old: &Row) {
    if written.iter().all(|w| w.field.source != Source::Later)
        || written.iter().any(|w| w.field.name == "metadata")
    {
        super::fields::fold_later(written);
        return;
    }
    let stored = old.get("metadata").and_then(document).filter(JsonValue::is_object);
    super::fields::fold_later_into(written, stored);
}

/// Deletes the rows of a condition; rows that refer to them go first or forbid it.
pub(super) async fn cascade(
    tx: &mut Tx<'_>,
    table: &Table,
    condition: String,
    value: Value,
) -> Result<(), Error> {
    for child in TABLES {
        for key in child.foreign_keys.iter().filter(|k| k.table == table.name) {
            let inner = format!(
                "\"{}\" IN (SELECT \"{}\" FROM {} WHERE {condition})",
                key.column, key.to, table.name
            );
            match key.on_delete {
                OnDelete::Cascade => Box::pin(cascade(tx, child, inner, value.clone())).await?,
                OnDelete::Protect => {
                    let sql = Sql::new(format!("SELECT count(*) FROM {} WHERE {inner}", child.name))
                        .with("", [value.clone()]);
                    let users: i64 = tx.fetch_optional(&sql).await?.unwrap_or(0);
                    if users > 0 {
                        return Err(Error::Conflict(format!(
                            "Cannot delete this row: {users} row(s) of {} refer to it; delete those first.",
                            child.name
                        )));
                    }
                }
            }
        }
    }
    let sql = Sql::new(format!("DELETE FROM {} WHERE {condition}", table.name)).with("", [value]);
    tx.execute(&sql).await?;
    Ok(())
}
