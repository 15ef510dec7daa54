//! Keys and nesting of the original's answers, as recorded from it; only keys are kept, no texts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use swf_db::testing::{TestDb, on_sqlite};
use swf_tools::tables::SCHEMA;

use crate::support::{World, example, now, tools};

/// Fields that hold what users stored, as they stored it: below them every key may stand.
const STORED: [&str; 8] = [
    "metadata",
    "parameter_values",
    "run_conditions",
    "extra_data",
    "persistent_state",
    "params",
    "parameters",
    "performance_metrics",
];

fn walk(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                if !STORED.contains(&key.as_str()) {
                    walk(field, &path, keys);
                }
                keys.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), keys)),
        _ => {}
    }
}

#[tokio::test]
async fn every_key_of_the_original_s_answers_is_there_at_its_place() {
    let recorded: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_str(include_str!("../fixtures/recorded_keys.json")).unwrap();
    assert_eq!(recorded.len(), 34);
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::busy(&db).await;
        // Something to report, so that the lists of events and errors are not empty.
        let mut tx = db.begin().await.unwrap();
        let row = [
            ("app_name", "a".into()),
            ("instance_name", "i".into()),
            ("timestamp", now().into()),
            ("levelname", "ERROR".into()),
            ("level", 40.into()),
            ("message", "lost".into()),
            ("module", "m".into()),
            ("funcname", "f".into()),
            ("lineno", 1.into()),
            ("process", 1.into()),
            ("thread", 1.into()),
            ("extra_data", json!({"execution_id": "stf_datataking-torre-0001"}).into()),
        ];
        swf_tools::sample::insert(&mut tx, now(), &swf_tools::tables::swf_applog::TABLE, &row).await.unwrap();
        tx.commit().await.unwrap();
        for tool in tools() {
            let Some(wanted) = recorded.get(tool.name) else { continue };
            let mut keys = BTreeSet::new();
            walk(&world.get(tool.name, example(tool)).await, "", &mut keys);
            // Keys that only other arguments bring: an error in place of the note, a category.
            let more = match tool.name {
                "swf_get_testbed_status" => Some(json!({"username": "nobody"})),
                "pcs_search_tags" => Some(json!({"query": "dis"})),
                _ => None,
            };
            if let Some(arguments) = more {
                walk(&world.get(tool.name, arguments).await, "", &mut keys);
            }
            let missing: Vec<&String> = wanted.difference(&keys).collect();
            assert!(missing.is_empty(), "{} lacks {missing:?}", tool.name);
        }
    })
    .await;
}
