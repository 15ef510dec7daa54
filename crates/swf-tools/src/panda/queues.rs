//! PanDA's queues: a hundred rows, read once a minute and filtered here.

use chrono::NaiveDateTime;
use serde_json::{Map, Value, json};
use swf_db::{Json, Sql};

use super::answer::{moment, naive};
use super::filter::like;
use super::schema::SCHEMA;
use super::{Catalog, Panda};
use crate::Error;

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub data: Map<String, Value>,
    /// When the settings were written.
    pub last_update: Option<NaiveDateTime>,
}

impl Queue {
    /// A setting as text; numbers and booleans too.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.data.get(key)? {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        }
    }

    /// A setting as a number, also when it is written as text.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.data.get(key)? {
            Value::Number(n) => n.as_f64(),
            Value::String(s) => s.trim().parse().ok(),
            _ => None,
        }
    }

    /// Whether one of the names that people call the site by matches.
    pub fn is_at(&self, site: &str) -> bool {
        let names = ["site", "atlas_site", "panda_site"];
        like(site, &self.name) || names.iter().any(|n| self.text(n).is_some_and(|t| like(site, &t)))
    }

    /// Written time as the original prints it.
    pub fn updated(&self) -> Value {
        json!(self.last_update.map(naive))
    }
}

/// All queues, by name.
pub async fn queues(panda: &Panda, catalog: &Catalog) -> Result<Vec<Queue>, Error> {
    catalog.need("schedconfig_json")?;
    let sql = Sql::new(format!(
        "SELECT panda_queue, data, last_update FROM {SCHEMA}.schedconfig_json ORDER BY panda_queue"
    ));
    let mut out = Vec::new();
    for row in panda.rows(&sql).await? {
        let last_update = row.get("last_update").and_then(moment);
        let (name, data): (String, Option<Json>) = {
            #[derive(serde::Deserialize)]
            struct Named {
                panda_queue: String,
                data: Option<Json>,
            }
            let named: Named = row.read()?;
            (named.panda_queue, named.data)
        };
        let data = match data.map(|d| d.0) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        out.push(Queue { name, data, last_update });
    }
    // Engines sort text by different rules.
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}
