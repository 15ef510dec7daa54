//! Production tasks: their state, and the commands that submit them.
//!
//! *Invariant:* what a submitted task was made of is kept with it; later edits of tags, dataset or configuration
//! change neither its commands nor its documents.

use serde_json::{Map, Value as JsonValue};
use swf_db::{Json, Row, Sql, Tx, Value};

use super::commands::{self, Parts};
use super::resources::{CONFIGS, DATASETS, EVGEN, PHYSICS, RECO, SIMU, TASKS};
use crate::Caller;
use crate::records::fields::Written;
use crate::records::store::lookup_value;
use crate::records::write::{existing, may_change};
use crate::records::{Error, Resource, Store};
use crate::tables::pcs_prod_task::STATUSES;

/// Which state may follow which.
const FOLLOWS: &[(&str, &[&str])] = &[
    ("draft", &["ready"]),
    ("ready", &["draft", "submitted"]),
    ("submitted", &["completed", "failed"]),
    ("completed", &[]),
    ("failed", &["draft", "ready"]),
];
/// States in which a task may be made.
const FIRST: [&str; 2] = ["draft", "ready"];
/// States in which what the commands are made from stays as it was submitted.
const FIXED: [&str; 3] = ["submitted", "completed", "failed"];
/// Columns of a task that its commands are made from.
const MADE_FROM: [&str; 5] = ["name", "dataset_id", "prod_config_id", "csv_file", "overrides"];

/// The texts of a task's commands.
#[derive(Debug, serde::Serialize)]
pub struct Commands {
    /// For HTCondor.
    pub condor_command: String,
    /// For PanDA's `prun`.
    pub panda_command: String,
}

/// Why a state may not follow another, if it may not.
fn forbidden(name: &str, from: &str, to: &str) -> Option<String> {
    // What another program wrote there restricts nothing.
    let next = FOLLOWS.iter().find(|(state, _)| *state == from).map(|(_, next)| *next)?;
    if from == to || next.contains(&to) {
        return None;
    }
    let accepted = if next.is_empty() { "none; make a new task".to_owned() } else { next.join(", ") };
    Some(format!("Task {name} is {from} and cannot become {to}. What may follow: {accepted}."))
}

fn column(row: &Row, name: &str) -> String {
    match row.get(name) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

/// A new task starts at the beginning.
pub(in crate::records) fn check_first(written: &[Written]) -> Result<(), Error> {
    match written.iter().find(|w| w.field.name == "status").map(|w| &w.value) {
        Some(Value::Text(status)) if !FIRST.contains(&status.as_str()) => {
            let why = format!("A new task is {}; it becomes {status} later.", FIRST.join(" or "));
            Err(Error::field("status", why))
        }
        _ => Ok(()),
    }
}

/// Checks a change of a task's row; true when it submits the task.
pub(in crate::records) fn check_change(old: &Row, written: &[Written]) -> Result<bool, Error> {
    let (name, from) = (column(old, "name"), column(old, "status"));
    let to = written.iter().find(|w| w.field.name == "status").map(|w| &w.value);
    let to = match to {
        Some(Value::Text(to)) => to.as_str(),
        _ => from.as_str(),
    };
    if let Some(why) = forbidden(&name, &from, to) {
        return Err(Error::field("status", why));
    }
    if FIXED.contains(&from.as_str()) && FIXED.contains(&to) {
        for w in written.iter().filter(|w| MADE_FROM.contains(&w.field.column)) {
            let stored = old.get(w.field.column).cloned().unwrap_or(Value::Null);
            let same = match &w.value {
                Value::Json(given) => crate::records::write::document(&stored).as_ref() == Some(given),
                given => *given == stored,
            };
            if !same {
                let why = format!("Task {name} is {from}: this field stays as it was submitted.");
                return Err(Error::field(w.field.name, why));
            }
        }
    }
    Ok(to == "submitted" && from != "submitted")
}

/// Ends what is known of a task's submission.
pub(in crate::records) async fn forget_snapshot(tx: &mut Tx<'_>, id: Value) -> Result<(), Error> {
    tx.execute(&Sql::new("DELETE FROM swfx_task_snapshot WHERE task_id =").with("?", [id])).await?;
    Ok(())
}

impl Store {
    /// Keeps the parts of a task that is submitted now, and its commands if it has none yet.
    pub(in crate::records) async fn keep_submitted(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        task: Map<String, JsonValue>,
    ) -> Result<(), Error> {
        let id = task.get("id").and_then(JsonValue::as_i64).unwrap_or(0);
        let parts = self.parts(tx, task).await?;
        let document = serde_json::to_value(&parts).map_err(|e| swf_db::Error::Row(e.to_string()))?;
        let sql = Sql::new("INSERT INTO swfx_task_snapshot (task_id, taken_at, taken_by, parts) VALUES")
            .with(
                "(?, ?, ?, ?) ON CONFLICT (task_id) DO UPDATE SET taken_at = excluded.taken_at, \
             taken_by = excluded.taken_by, parts = excluded.parts",
                [id.into(), self.clock.now().into(), caller.name().into(), document.into()],
            );
        tx.execute(&sql).await?;
        for (name, text) in
            [("condor_command", commands::condor(&parts)), ("panda_command", commands::panda(&parts))]
        {
            // A command that is there already is the one that was used.
            let sql = Sql::new(format!("UPDATE pcs_prod_task SET {name} ="))
                .with(&format!("? WHERE id = ? AND {name} = ''"), [text.into(), id.into()]);
            tx.execute(&sql).await?;
        }
        Ok(())
    }

    /// Sets the state of a task, as far as it may follow the one that it has.
    pub async fn set_task_status(
        &self,
        caller: &Caller,
        key: &str,
        status: &str,
    ) -> Result<Map<String, JsonValue>, Error> {
        if !STATUSES.contains(&status) {
            return Err(Error::detail(format!("Invalid status. Choose from: {}", STATUSES.join(", "))));
        }
        self.later().await?;
        let mut tx = self.db.begin().await?;
        let old = existing(&mut tx, &TASKS, lookup_value(&TASKS, key)?).await?;
        may_change(&TASKS, caller, &old)?;
        let from = column(&old, "status");
        if let Some(why) = forbidden(&column(&old, "name"), &from, status) {
            return Err(Error::detail(why));
        }
        let id = old.get("id").cloned().unwrap_or(Value::Null);
        if status == "submitted" && from != "submitted" {
            let task = self.get_in(&mut tx, &TASKS, "id", id.clone()).await?;
            self.keep_submitted(&mut tx, caller, task).await?;
        }
        let row = self.set_task(&mut tx, id, &[("status", status.into())]).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Makes the commands of a task and keeps them with it. Those of a submitted task stay.
    pub async fn generate_commands(&self, caller: &Caller, key: &str) -> Result<Commands, Error> {
        self.later().await?;
        let mut tx = self.db.begin().await?;
        let old = existing(&mut tx, &TASKS, lookup_value(&TASKS, key)?).await?;
        may_change(&TASKS, caller, &old)?;
        let id = old.get("id").cloned().unwrap_or(Value::Null);
        let task = self.get_in(&mut tx, &TASKS, "id", id.clone()).await?;
        let parts = self.parts_then_or_now(&mut tx, task).await?;
        let made =
            Commands { condor_command: commands::condor(&parts), panda_command: commands::panda(&parts) };
        let set = [
            ("condor_command", made.condor_command.as_str().into()),
            ("panda_command", made.panda_command.as_str().into()),
        ];
        self.set_task(&mut tx, id, &set).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// A task by name with all that belongs to it: as submitted, or as it is now.
    pub async fn task_parts(&self, name: &str) -> Result<Option<Parts>, Error> {
        self.later().await?;
        let mut tx = self.db.begin().await?;
        match self.get_in(&mut tx, &TASKS, "name", name.into()).await {
            Ok(task) => Ok(Some(self.parts_then_or_now(&mut tx, task).await?)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn set_task(
        &self,
        tx: &mut Tx<'_>,
        id: Value,
        set: &[(&str, Value)],
    ) -> Result<Map<String, JsonValue>, Error> {
        let mut sql = Sql::new("UPDATE pcs_prod_task SET updated_at = ?").with("", [self.clock.now().into()]);
        for (column, value) in set {
            sql.push(&format!(", {column} = ?"), [value.clone()]);
        }
        tx.execute(&sql.with("WHERE id = ?", [id.clone()])).await?;
        self.get_in(tx, &TASKS, "id", id).await
    }

    /// What a submitted task was submitted with; anything else as it is stored now.
    async fn parts_then_or_now(&self, tx: &mut Tx<'_>, task: Map<String, JsonValue>) -> Result<Parts, Error> {
        let status = task.get("status").and_then(JsonValue::as_str).unwrap_or_default();
        if FIXED.contains(&status) {
            let id = task.get("id").and_then(JsonValue::as_i64).unwrap_or(0);
            let sql = Sql::new("SELECT parts FROM swfx_task_snapshot WHERE task_id =").with("?", [id.into()]);
            let kept = tx.fetch_optional::<Json>(&sql).await?;
            let kept = kept.and_then(|kept| serde_json::from_value::<Parts>(kept.0).ok());
            // Another program may have changed and submitted the task since.
            if let Some(parts) = kept.and_then(|parts| parts.for_task(task.clone())) {
                return Ok(parts);
            }
        }
        self.parts(tx, task).await
    }

    async fn parts(&self, tx: &mut Tx<'_>, task: Map<String, JsonValue>) -> Result<Parts, Error> {
        let dataset = self.referred(tx, &DATASETS, &task, "dataset").await?;
        let config = self.referred(tx, &CONFIGS, &task, "prod_config").await?;
        let physics = self.referred(tx, &PHYSICS, &dataset, "physics_tag").await?;
        let evgen = self.referred(tx, &EVGEN, &dataset, "evgen_tag").await?;
        let simu = self.referred(tx, &SIMU, &dataset, "simu_tag").await?;
        let reco = self.referred(tx, &RECO, &dataset, "reco_tag").await?;
        Ok(Parts::new(task, dataset, config, [physics, evgen, simu, reco]))
    }

    async fn referred(
        &self,
        tx: &mut Tx<'_>,
        resource: &Resource,
        row: &Map<String, JsonValue>,
        name: &str,
    ) -> Result<Map<String, JsonValue>, Error> {
        let id = row.get(name).and_then(JsonValue::as_i64).unwrap_or(0);
        self.get_in(tx, resource, "id", id.into()).await
    }
}
