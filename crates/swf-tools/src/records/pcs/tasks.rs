//! Production tasks: their state, and the commands that submit them.

use serde_json::{Map, Value as JsonValue};
use swf_db::{Sql, Value};

use super::commands::{self, Parts};
use super::resources::{CONFIGS, DATASETS, EVGEN, PHYSICS, RECO, SIMU, TASKS};
use crate::Caller;
use crate::records::store::lookup_value;
use crate::records::write::{existing, may_change};
use crate::records::{Error, Resource, Store};
use crate::tables::pcs_prod_task::STATUSES;

/// The texts of a task's commands.
#[derive(Debug, serde::Serialize)]
pub struct Commands {
    /// For HTCondor.
    pub condor_command: String,
    /// For PanDA's `prun`.
    pub panda_command: String,
}

impl Store {
    /// Sets the state of a task; any state may follow any other.
    pub async fn set_task_status(
        &self,
        caller: &Caller,
        key: &str,
        status: &str,
    ) -> Result<Map<String, JsonValue>, Error> {
        if !STATUSES.contains(&status) {
            return Err(Error::detail(format!("Invalid status. Choose from: {}", STATUSES.join(", "))));
        }
        self.change_task(caller, key, &[("status", status.into())]).await
    }

    /// Makes the commands of a task and keeps them with it.
    pub async fn generate_commands(&self, caller: &Caller, key: &str) -> Result<Commands, Error> {
        let task = self.get(&TASKS, key).await?;
        let parts = self.parts(task).await?;
        let made =
            Commands { condor_command: commands::condor(&parts), panda_command: commands::panda(&parts) };
        let set = [
            ("condor_command", made.condor_command.as_str().into()),
            ("panda_command", made.panda_command.as_str().into()),
        ];
        self.change_task(caller, key, &set).await?;
        Ok(made)
    }

    /// A task by name with all that belongs to it.
    pub async fn task_parts(&self, name: &str) -> Result<Option<Parts>, Error> {
        match self.row_by(&TASKS, "name", name.into()).await {
            Ok(task) => Ok(Some(self.parts(task).await?)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn change_task(
        &self,
        caller: &Caller,
        key: &str,
        set: &[(&str, Value)],
    ) -> Result<Map<String, JsonValue>, Error> {
        self.later().await?;
        let id = lookup_value(&TASKS, key)?;
        let mut tx = self.db.begin().await?;
        let old = existing(&mut tx, &TASKS, id.clone()).await?;
        may_change(&TASKS, caller, &old)?;
        let mut sql = Sql::new("UPDATE pcs_prod_task SET updated_at = ?").with("", [self.clock.now().into()]);
        for (column, value) in set {
            sql.push(&format!(", {column} = ?"), [value.clone()]);
        }
        tx.execute(&sql.with("WHERE id = ?", [id.clone()])).await?;
        let row = self.get_in(&mut tx, &TASKS, "id", id).await?;
        tx.commit().await?;
        Ok(row)
    }

    async fn parts(&self, task: Map<String, JsonValue>) -> Result<Parts, Error> {
        let id = |row: &Map<String, JsonValue>, name: &str| {
            row.get(name).and_then(JsonValue::as_i64).unwrap_or(0).into()
        };
        let dataset = self.row_by(&DATASETS, "id", id(&task, "dataset")).await?;
        let config = self.row_by(&CONFIGS, "id", id(&task, "prod_config")).await?;
        let physics = self.row_by(&PHYSICS, "id", id(&dataset, "physics_tag")).await?;
        let evgen = self.row_by(&EVGEN, "id", id(&dataset, "evgen_tag")).await?;
        let simu = self.row_by(&SIMU, "id", id(&dataset, "simu_tag")).await?;
        let reco = self.row_by(&RECO, "id", id(&dataset, "reco_tag")).await?;
        Ok(Parts::new(task, dataset, config, [physics, evgen, simu, reco]))
    }

    async fn row_by(
        &self,
        resource: &Resource,
        column: &str,
        value: Value,
    ) -> Result<Map<String, JsonValue>, Error> {
        self.later().await?;
        let mut tx = self.db.begin().await?;
        self.get_in(&mut tx, resource, column, value).await
    }
}
