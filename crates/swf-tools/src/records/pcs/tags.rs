//! Tags: numbered when they are made, locked once and for ever.

use serde_json::{Map, Value as JsonValue};
use swf_db::{Sql, Tx, Value};

use super::{parameters, resources as r};
use crate::Caller;
use crate::counters::{self, Counter};
use crate::records::error::Problems;
use crate::records::fields::{self, insert, insert_values};
use crate::records::store::lookup_value;
use crate::records::write::{cascade, document, existing};
use crate::records::{Change, Error, Input, Resource, Store};

/// A kind of tag.
#[derive(Debug, Clone, Copy)]
pub struct TagKind {
    /// First letter of its labels.
    pub letter: char,
    /// The resource.
    pub resource: &'static Resource,
    counter: Counter,
}

/// The four kinds.
pub const KINDS: &[TagKind] = &[
    TagKind { letter: 'p', resource: &r::PHYSICS, counter: Counter::PcsPhysics },
    TagKind { letter: 'e', resource: &r::EVGEN, counter: Counter::PcsEvgen },
    TagKind { letter: 's', resource: &r::SIMU, counter: Counter::PcsSimu },
    TagKind { letter: 'r', resource: &r::RECO, counter: Counter::PcsReco },
];

/// The kind of a resource, if it is one of tags.
pub fn kind_of(resource: &Resource) -> Option<&'static TagKind> {
    KINDS.iter().find(|k| k.resource.path == resource.path)
}

impl Store {
    /// Makes a tag. Its number is taken in the transaction of the insert: a refused tag uses none up.
    pub async fn create_tag(
        &self,
        kind: &TagKind,
        caller: &Caller,
        input: Input,
    ) -> Result<Map<String, JsonValue>, Error> {
        let later = self.later().await?;
        let definitions = parameters::definitions(&self.db, kind.letter).await?;
        let mut problems = Problems::default();
        let written = fields::read(kind.resource, &input, false, self.zone, &mut problems);
        let given = written.iter().find(|w| w.field.name == "parameters").and_then(|w| match &w.value {
            Value::Json(json) => Some(json),
            _ => None,
        });
        let wrong = parameters::wrong(given, &definitions);
        if !wrong.is_empty() {
            problems.add("parameters", wrong);
        }
        let category = written.iter().find(|w| w.field.name == "category").map(|w| w.value.clone());
        let mut tx = self.db.begin().await?;
        match &category {
            Some(Value::Int(0)) => problems.add("category", ["This field is required.".to_owned()]),
            Some(Value::Int(digit)) if !category_exists(&mut tx, *digit).await? => {
                problems.add("category", [format!("Category {digit} does not exist.")]);
            }
            _ => {}
        }
        problems.into_result()?;
        let number = self.take_number(&mut tx, kind, category).await?;
        let server = [
            ("tag_number", number.into()),
            ("tag_label", format!("{}{number}", kind.letter).into()),
            ("created_by", caller.name().into()),
        ];
        let row = insert_values(kind.resource, &written, &server, self.clock.now(), later);
        tx.execute(&insert(kind.resource.table, &[row], self.db.dialect())).await?;
        let made = self.get_in(&mut tx, kind.resource, "tag_number", number.into()).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// A physics tag's number is its category's thousand and a suffix; when the common suffix has outgrown
    /// the thousand, the category's lowest free one is taken.
    async fn take_number(
        &self,
        tx: &mut Tx<'_>,
        kind: &TagKind,
        category: Option<Value>,
    ) -> Result<i64, Error> {
        let now = self.clock.now();
        loop {
            let next = counters::next_in(tx, now, kind.counter).await?;
            let number = match &category {
                Some(Value::Int(digit)) if next <= 999 => digit * 1000 + next,
                Some(Value::Int(digit)) => return free_suffix(tx, *digit).await,
                _ => next,
            };
            let sql = Sql::new(format!("SELECT 1 FROM {} WHERE tag_number = ?", kind.resource.table.name))
                .with("", [number.into()]);
            if tx.rows(&sql).await?.is_empty() {
                return Ok(number);
            }
        }
    }

    /// Changes the description or the parameters of a draft.
    pub async fn update_tag(
        &self,
        kind: &TagKind,
        caller: &Caller,
        key: &str,
        input: Input,
        change: Change,
    ) -> Result<Map<String, JsonValue>, Error> {
        if let Some(given) = input.fields.get("parameters") {
            let parsed =
                input.form.then(|| given.as_str().and_then(|t| serde_json::from_str(t).ok())).flatten();
            let mut given = parsed.unwrap_or_else(|| given.clone());
            let definitions = parameters::definitions(&self.db, kind.letter).await?;
            // What the tag's state forbids is said first.
            let mut tx = self.db.begin().await?;
            let old = existing(&mut tx, kind.resource, lookup_value(kind.resource, key)?).await?;
            if let Some(guard) = kind.resource.guard {
                guard(&old, &input)?;
            }
            if let (Change::Merge, JsonValue::Object(given)) = (change, &mut given)
                && let Some(JsonValue::Object(mut stored)) = old.get("parameters").and_then(document)
            {
                stored.append(given);
                *given = stored;
            }
            let wrong = parameters::wrong(Some(&given), &definitions);
            if !wrong.is_empty() {
                return Err(Error::Invalid(serde_json::json!({ "parameters": wrong })));
            }
        }
        self.update(kind.resource, caller, key, input, change).await
    }

    /// Locks a tag.
    pub async fn lock_tag(
        &self,
        kind: &TagKind,
        caller: &Caller,
        key: &str,
    ) -> Result<Map<String, JsonValue>, Error> {
        self.later().await?;
        let mut tx = self.db.begin().await?;
        let (label, number) = self.draft(&mut tx, kind, caller, key, "lock", "is already locked").await?;
        tracing::info!("{} locks tag {label}", caller.name());
        let sql =
            Sql::new(format!("UPDATE {} SET status = 'locked', updated_at = ?", kind.resource.table.name))
                .with("WHERE tag_number = ?", [self.clock.now().into(), number.clone()]);
        tx.execute(&sql).await?;
        let row = self.get_in(&mut tx, kind.resource, "tag_number", number).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes a draft; returns its label.
    pub async fn delete_tag(&self, kind: &TagKind, caller: &Caller, key: &str) -> Result<String, Error> {
        let mut tx = self.db.begin().await?;
        let (label, number) =
            self.draft(&mut tx, kind, caller, key, "delete", "is locked and cannot be deleted").await?;
        cascade(&mut tx, kind.resource.table, "\"tag_number\" = ?".into(), number).await?;
        tx.commit().await?;
        Ok(label)
    }

    /// Label and number of a draft that the caller made, locked in the database.
    async fn draft(
        &self,
        tx: &mut Tx<'_>,
        kind: &TagKind,
        caller: &Caller,
        key: &str,
        what: &str,
        locked: &str,
    ) -> Result<(String, Value), Error> {
        let number = lookup_value(kind.resource, key)?;
        let old = existing(tx, kind.resource, number.clone()).await?;
        let text = |name: &str| match old.get(name) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let (label, author) = (text("tag_label"), text("created_by"));
        if text("status") == "locked" {
            return Err(Error::detail(format!("Tag {label} {locked}.")));
        }
        if caller.user.as_deref() != Some(author.as_str()) && !caller.may(crate::Scope::Admin) {
            return Err(Error::Forbidden(format!("Only the creator ({author}) can {what} this tag.")));
        }
        Ok((label, number))
    }
}

async fn category_exists(tx: &mut Tx<'_>, digit: i64) -> Result<bool, Error> {
    let sql = Sql::new("SELECT 1 FROM pcs_physics_category WHERE digit = ?").with("", [digit.into()]);
    Ok(!tx.rows(&sql).await?.is_empty())
}

async fn free_suffix(tx: &mut Tx<'_>, digit: i64) -> Result<i64, Error> {
    let first = digit * 1000 + 1;
    let sql = Sql::new("SELECT tag_number FROM pcs_physics_tag WHERE tag_number BETWEEN")
        .with("? AND ? ORDER BY tag_number", [first.into(), (digit * 1000 + 999).into()]);
    let used: Vec<i64> = tx.fetch_all(&sql).await?;
    let free =
        (first..first + 999).zip(used.iter().copied().chain(std::iter::repeat(0))).find(|(n, u)| n != u);
    match free {
        Some((number, _)) => Ok(number),
        None => Err(Error::Conflict(format!("All 999 numbers of category {digit} are used."))),
    }
}
