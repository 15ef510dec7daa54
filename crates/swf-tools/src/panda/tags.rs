//! The production tags that a task's name holds: physics, generator, simulation, reconstruction.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use swf_db::{Json, Sql};

use crate::Cx;

static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:^|[._])(p\d+)\.(e\d+)\.(s\d+)\.(r\d+)(?:$|[._])").ok());

/// The four tags in a task or dataset name; empty when it holds none.
pub fn in_name(name: &str) -> Vec<String> {
    let Some(found) = NAME.as_ref().and_then(|n| n.captures(name)) else { return Vec::new() };
    found.iter().skip(1).flatten().map(|m| m.as_str().to_owned()).collect()
}

#[derive(Deserialize)]
struct Tag {
    kind: String,
    label: String,
    status: String,
    description: Option<String>,
    parameters: Option<Json>,
}

/// What the tags mean, from the catalogue of production tags; one statement. The text is why it is dark.
pub async fn meanings(cx: &Cx, labels: &BTreeSet<String>) -> Result<Map<String, Value>, String> {
    if labels.is_empty() {
        return Ok(Map::new());
    }
    let mut sql = Sql::new("");
    for (n, kind) in ["physics", "evgen", "simu", "reco"].into_iter().enumerate() {
        let mut part = Sql::new(format!(
            "SELECT '{kind}' AS kind, tag_label AS label, status, description, parameters FROM pcs_{kind}_tag"
        ));
        part.and_in("tag_label", labels.iter().map(|l| l.as_str().into()));
        sql.push(if n > 0 { "UNION ALL" } else { "" }, []);
        sql.push(part.text(), part.values().to_vec());
    }
    let tags: Vec<Tag> =
        cx.db.fetch_all(&sql).await.map_err(|e| format!("production tags could not be read: {e}"))?;
    let mut out = Map::new();
    for tag in tags {
        let words = json!({
            "type": tag.kind, "status": tag.status, "description": tag.description,
            "parameters": tag.parameters.map(|p| p.0),
        });
        out.insert(tag.label, words);
    }
    for label in labels {
        out.entry(label.clone()).or_insert(Value::Null);
    }
    out.sort_keys();
    Ok(out)
}

/// Who asked for the tasks, from the production catalogue: production runs under a shared account. By task.
pub async fn requesters(cx: &Cx, tasks: &[i64]) -> Result<HashMap<i64, String>, String> {
    if tasks.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new("SELECT panda_task_id, created_by FROM pcs_prod_task");
    sql.and_in("panda_task_id", tasks.iter().map(|id| (*id).into())).and("created_by IS NOT NULL", []);
    let rows: Vec<(i64, String)> =
        cx.db.fetch_all(&sql).await.map_err(|e| format!("production tasks could not be read: {e}"))?;
    Ok(rows.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_in_the_name() {
        assert_eq!(
            in_name("group.EIC.26.02.0.epic_craterlake.p1080.e20.s1.r1_25000"),
            ["p1080", "e20", "s1", "r1"]
        );
        assert_eq!(in_name("epic.26.02.0.c.p1.e2.s3.r4"), ["p1", "e2", "s3", "r4"]);
        assert!(in_name("user.somebody.test").is_empty());
    }
}
