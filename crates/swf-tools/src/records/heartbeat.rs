//! Heartbeats: an agent's row is made or brought up to date; what a heartbeat does not say stays.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as JsonValue};
use swf_db::schema::{Column, Kind};
use swf_db::{Sql, Value};

use super::describe::{Facts, Field};
use super::error::Problems;
use super::resources::systemagents::RESOURCE;
use super::validate::{self, Input};
use super::{Error, Store, write};

/// What a heartbeat may say. Types and lengths are checked, values are free: agents have always sent types
/// and states of their own.
const SAID: &[&str] = &[
    "agent_type",
    "description",
    "status",
    "agent_url",
    "namespace",
    "workflow_enabled",
    "operational_state",
    "pid",
    "hostname",
    "current_stf_count",
    "total_stf_processed",
    "metadata",
];

/// What a new agent's row says when its first heartbeat does not.
const AT_FIRST: &[(&str, &str)] =
    &[("agent_type", "other"), ("description", ""), ("status", "OK"), ("operational_state", "STARTING")];

/// Columns that a heartbeat speaks of, with their values.
type Said = Vec<(&'static str, Value)>;

/// What a heartbeat did.
#[derive(Debug)]
pub struct Beat {
    /// The agent's row.
    pub agent: Map<String, JsonValue>,
    /// True when the agent was not known before.
    pub created: bool,
}

impl Store {
    /// Takes a heartbeat.
    pub async fn heartbeat(&self, input: &Input) -> Result<Beat, Error> {
        let now = self.clock.now();
        let (name, mut said) = self.said(input)?;
        self.later().await?;
        let mut tx = self.db.begin().await?;
        let mut created = false;
        let find = Sql::new("SELECT metadata FROM swf_systemagent WHERE instance_name = ?")
            .with("", [name.as_str().into()])
            .with(tx.dialect().for_update(), []);
        let mut stored = tx.rows(&find).await?.into_iter().next();
        if stored.is_none() {
            created = tx.execute(&insert(&name, &said, now)).await? == 1;
            // Somebody else may have inserted it in this very moment.
            stored = tx.rows(&find).await?.into_iter().next();
        }
        if !created {
            let old = stored.as_ref().and_then(|row| row.get("metadata")).and_then(write::document);
            merge_metadata(&mut said, old);
            tx.execute(&update(&name, &said, now)).await?;
        }
        let agent = self.get_in(&mut tx, &RESOURCE, "instance_name", name.into()).await?;
        tx.commit().await?;
        Ok(Beat { agent, created })
    }

    /// The name, and the columns that the heartbeat speaks of.
    fn said(&self, input: &Input) -> Result<(String, Said), Error> {
        let mut problems = Problems::default();
        let mut said = Vec::new();
        let mut name = String::new();
        let fields = RESOURCE.fields.iter().filter(|f| f.name == "instance_name" || SAID.contains(&f.name));
        for field in fields {
            let facts = Facts { choices: &[], ..RESOURCE.facts(field) };
            let required = field.name == "instance_name";
            let value = input
                .value(field, &facts)
                .filter(|v| !(required && v.as_str().is_some_and(|s| s.trim().is_empty())));
            match value {
                None if required => problems.add(field.name, ["This field is required.".to_owned()]),
                None => {}
                // Metadata are merged, so "no metadata" changes nothing.
                Some(JsonValue::Null) if field.name == "metadata" || (!facts.null && !required) => {}
                Some(value) => match validate::read(&value, &tightened(field), &facts, self.zone) {
                    Ok(Value::Text(text)) if required => name = text,
                    Ok(value) => said.push((field.column, value)),
                    Err(texts) => problems.add(field.name, texts),
                },
            }
        }
        problems.into_result()?;
        Ok((name, said))
    }
}

/// A process id below 1 addresses groups of processes, never an agent; addresses are free text here.
fn tightened(field: &Field) -> Field {
    let field = Field { url: false, ..*field };
    if field.name == "pid" { field.within(1, i32::MAX.into()) } else { field }
}

fn merge_metadata(said: &mut [(&'static str, Value)], old: Option<JsonValue>) {
    let given = said.iter_mut().find(|(column, _)| *column == "metadata").map(|(_, v)| v);
    if let (Some(Value::Json(JsonValue::Object(given))), Some(JsonValue::Object(mut old))) = (given, old) {
        old.append(given);
        *given = old;
    }
}

fn insert(name: &str, said: &[(&'static str, Value)], now: DateTime<Utc>) -> Sql {
    let columns = RESOURCE.table.columns.iter().filter(|c| c.name != "id");
    let value = |c: &Column| match c.name {
        "instance_name" => Value::from(name),
        "last_heartbeat" | "created_at" | "updated_at" => Value::Time(now),
        other => {
            let first = AT_FIRST.iter().find(|(n, _)| *n == other).map(|(_, text)| Value::from(*text));
            let said = said.iter().find(|(n, _)| *n == other).map(|(_, v)| v.clone());
            said.or(first).unwrap_or(match c.kind {
                Kind::Boolean => Value::Bool(true),
                Kind::Integer if !c.null => Value::Int(0),
                _ => Value::Null,
            })
        }
    };
    let (names, values): (Vec<&str>, Vec<Value>) = columns.map(|c| (c.name, value(c))).unzip();
    let marks = vec!["?"; names.len()].join(", ");
    Sql::new(format!("INSERT INTO swf_systemagent ({}) VALUES ({marks})", names.join(", ")))
        .with("ON CONFLICT (instance_name) DO NOTHING", values)
}

fn update(name: &str, said: &[(&'static str, Value)], now: DateTime<Utc>) -> Sql {
    let mut sql = Sql::new("UPDATE swf_systemagent SET last_heartbeat = ?, updated_at = ?")
        .with("", [now.into(), now.into()]);
    for (column, value) in said {
        sql.push(&format!(", {column} = ?"), [value.clone()]);
    }
    sql.with("WHERE instance_name = ?", [name.into()])
}
