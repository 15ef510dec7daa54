//! Which applications log what: counts by level and the newest errors.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value as JsonValue, json};
use swf_db::Sql;

use super::users::utc_z;
use super::{Error, Store};

#[derive(Deserialize)]
struct Counted {
    app_name: String,
    instance_name: String,
    levelname: String,
    n: i64,
}

#[derive(Deserialize)]
struct Record {
    app_name: String,
    instance_name: String,
    timestamp: DateTime<Utc>,
    levelname: String,
    message: String,
    module: String,
    funcname: String,
    lineno: i64,
}

impl Store {
    /// By application and instance: records per level, and the five newest errors. Two statements, however
    /// many applications there are.
    pub async fn log_summary(&self) -> Result<JsonValue, Error> {
        let counts = Sql::new(
            "SELECT app_name, instance_name, levelname, count(*) AS n FROM swf_applog \
             GROUP BY app_name, instance_name, levelname ORDER BY app_name, instance_name, levelname",
        );
        let errors = Sql::new(
            "SELECT app_name, instance_name, timestamp, levelname, message, module, funcname, lineno FROM \
             (SELECT l.*, row_number() OVER (PARTITION BY app_name, instance_name ORDER BY timestamp DESC, id DESC) \
             AS place FROM swf_applog AS l WHERE levelname IN ('ERROR', 'CRITICAL')) AS ranked \
             WHERE place <= 5 ORDER BY app_name, instance_name, place",
        );
        let mut out = Map::new();
        for c in self.db.fetch_all::<Counted>(&counts).await? {
            let levels = entry(&mut out, &c.app_name, &c.instance_name, "error_counts");
            if let Some(levels) = levels.and_then(JsonValue::as_object_mut) {
                levels.insert(c.levelname, c.n.into());
            }
        }
        for r in self.db.fetch_all::<Record>(&errors).await? {
            let recent = entry(&mut out, &r.app_name, &r.instance_name, "recent_errors");
            if let Some(JsonValue::Array(recent)) = recent {
                recent.push(json!({
                    "timestamp": utc_z(r.timestamp),
                    "levelname": r.levelname,
                    "message": r.message,
                    "module": r.module,
                    "funcname": r.funcname,
                    "lineno": r.lineno,
                }));
            }
        }
        Ok(JsonValue::Object(out))
    }
}

fn entry<'a>(
    out: &'a mut Map<String, JsonValue>,
    app: &str,
    instance: &str,
    part: &str,
) -> Option<&'a mut JsonValue> {
    let instances = out.entry(app).or_insert_with(|| json!({}));
    let one = instances
        .as_object_mut()?
        .entry(instance)
        .or_insert_with(|| json!({"error_counts": {}, "recent_errors": []}));
    one.as_object_mut()?.get_mut(part)
}
