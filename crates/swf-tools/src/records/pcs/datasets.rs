//! Datasets: named after their tags, grown block by block.

use serde_json::{Map, Value as JsonValue};
use swf_db::{Error as DbError, Sql, Tx, Value};

use super::resources::{self as r, DATASETS};
use crate::Caller;
use crate::records::error::Problems;
use crate::records::fields::{self, Written, insert, insert_values};
use crate::records::store::lookup_value;
use crate::records::write::{existing, may_change};
use crate::records::{Error, Input, Resource, Source, Store};

/// The tags of a dataset: field, and where the tag is.
const TAGS: [(&str, &Resource); 4] =
    [("physics_tag", &r::PHYSICS), ("evgen_tag", &r::EVGEN), ("simu_tag", &r::SIMU), ("reco_tag", &r::RECO)];

impl Store {
    /// Makes the first block of a dataset; its tags must be locked.
    pub async fn create_dataset(
        &self,
        caller: &Caller,
        input: Input,
    ) -> Result<Map<String, JsonValue>, Error> {
        let later = self.later().await?;
        let mut tx = self.db.begin().await?;
        let mut problems = Problems::default();
        let mut written = fields::read(&DATASETS, &input, false, self.zone, &mut problems);
        fields::resolve(&mut tx, &DATASETS, &mut written, &mut problems).await?;
        let labels = self.labels(&mut tx, &written, &mut problems).await?;
        problems.into_result()?;
        let text =
            |name: &str, usual: &str| match written.iter().find(|w| w.field.name == name).map(|w| &w.value) {
                Some(Value::Text(text)) => text.clone(),
                _ => usual.to_owned(),
            };
        let scope = text("scope", "group.EIC");
        let parts = [scope.clone(), text("detector_version", ""), text("detector_config", "")];
        let name = parts.into_iter().chain(labels).collect::<Vec<_>>().join(".");
        if name.chars().count() > 255 {
            return Err(Error::general(format!(
                "The dataset's name would be longer than 255 characters: {name}"
            )));
        }
        let server = [
            ("dataset_name", name.as_str().into()),
            ("did", format!("{scope}:{name}.b1").into()),
            ("created_by", caller.name().into()),
        ];
        let row = insert_values(&DATASETS, &written, &server, self.clock.now(), later);
        let sql = insert(DATASETS.table, &[row], self.db.dialect()).with("RETURNING id", []);
        let made = match tx.fetch_optional::<i64>(&sql).await {
            Ok(id) => id.unwrap_or_default(),
            Err(e @ DbError::Unique { .. }) => {
                drop(tx);
                return Err(self.same_dataset(&name, e).await);
            }
            Err(e) => return Err(e.into()),
        };
        let out = self.get_in(&mut tx, &DATASETS, "id", made.into()).await?;
        tx.commit().await?;
        Ok(out)
    }

    async fn same_dataset(&self, name: &str, cause: DbError) -> Error {
        let sql = Sql::new("SELECT id FROM pcs_dataset WHERE dataset_name = ? ORDER BY block_num LIMIT 1")
            .with("", [name.into()]);
        match self.db.fetch_optional::<i64>(&sql).await {
            Ok(Some(id)) => {
                Error::general(format!("dataset {name} already exists (id {id}); add a block to it instead."))
            }
            Ok(None) => cause.into(),
            Err(e) => e.into(),
        }
    }

    /// Labels of the tags that the input names; all must be locked.
    async fn labels(
        &self,
        tx: &mut Tx<'_>,
        written: &[Written],
        problems: &mut Problems,
    ) -> Result<Vec<String>, Error> {
        let mut labels = Vec::new();
        for (name, resource) in TAGS {
            let Some(id) = written.iter().find(|w| w.field.name == name).map(|w| w.value.clone()) else {
                continue;
            };
            debug_assert!(matches!(DATASETS.field(name).map(|f| f.source), Some(Source::Key { .. })));
            let tag = match self.get_in(tx, resource, "id", id).await {
                Ok(tag) => tag,
                // Said already when it was looked up.
                Err(Error::NotFound(_)) => continue,
                Err(e) => return Err(e),
            };
            let label = tag.get("tag_label").and_then(JsonValue::as_str).unwrap_or_default().to_owned();
            if !r::is_locked(tag.get("status")) {
                problems.add(name, [format!("Tag {label} must be locked before use in a dataset.")]);
            }
            labels.push(label);
        }
        Ok(labels)
    }

    /// Adds a block to a dataset; the rows of all its blocks know how many there are.
    pub async fn add_block(&self, caller: &Caller, key: &str) -> Result<Map<String, JsonValue>, Error> {
        self.later().await?;
        let wanted = lookup_value(&DATASETS, key)?;
        let mut tx = self.db.begin().await?;
        let old = existing(&mut tx, &DATASETS, wanted).await?;
        may_change(&DATASETS, caller, &old)?;
        let text = |name: &str| match old.get(name) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let (name, scope) = (text("dataset_name"), text("scope"));
        // All blocks are locked, so two callers get one number each.
        let blocks = Sql::new("SELECT block_num FROM pcs_dataset WHERE dataset_name = ? ORDER BY block_num")
            .with("", [name.as_str().into()])
            .with(tx.dialect().for_update(), []);
        let numbers: Vec<i64> = tx.fetch_all(&blocks).await?;
        let next = numbers.last().copied().unwrap_or(0) + 1;
        let row = DATASETS.table.columns.iter().filter(|c| c.name != "id").map(|c| {
            let value = match c.name {
                "block_num" | "blocks" => next.into(),
                "did" => format!("{scope}:{name}.b{next}").into(),
                "file_count" | "data_size" => 0i64.into(),
                "created_by" => caller.name().into(),
                "created_at" => self.clock.now().into(),
                other => old.get(other).cloned().unwrap_or(Value::Null),
            };
            (c.name, c.kind, value)
        });
        let sql = insert(DATASETS.table, &[row.collect()], self.db.dialect()).with("RETURNING id", []);
        let id = match tx.fetch_optional::<i64>(&sql).await {
            Ok(id) => id.unwrap_or_default(),
            Err(DbError::Unique { .. }) => {
                let why = "Somebody else added a block in this moment; look, then try again.";
                return Err(Error::Conflict(why.into()));
            }
            Err(e) => return Err(e.into()),
        };
        let count = Sql::new("UPDATE pcs_dataset SET blocks = ? WHERE dataset_name = ?")
            .with("", [next.into(), name.into()]);
        tx.execute(&count).await?;
        let out = self.get_in(&mut tx, &DATASETS, "id", id.into()).await?;
        tx.commit().await?;
        Ok(out)
    }
}
