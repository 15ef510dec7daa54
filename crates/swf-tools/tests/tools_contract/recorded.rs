//! Answers of the original, recorded on made-up rows at a set time: swf gives the same values on the same rows.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;
use swf_db::testing::{TestDb, on_each_db};
use swf_stomp::{Broker, BrokerConfig};
use swf_tools::Settings;
use swf_tools::tables::SCHEMA;

use crate::rows::Rows;
use crate::support::{World, now};

const ROWS: &str = include_str!("../fixtures/original/testbed_rows.json");
const ANSWERS: &str = include_str!("../fixtures/original/testbed_answers.json");

/// One call of the original: its answer, or `{"refused": true}` where it reported an error.
#[derive(Deserialize)]
struct Recorded {
    tool: String,
    arguments: Value,
    answer: Value,
}

/// A place where swf differs and is meant to: tool, arguments (`""` for any), path of the value, and the row of
/// docs/COMPATIBILITY.md, or the head of the paragraph below its rows, that says why. A place that no longer
/// differs fails the test.
const INTENDED: &[(&str, &str, &str, &str)] = &[
    // Agents that said good-bye in one of the two fields only.
    ("swf_list_agents", "", "items", "40"),
    ("swf_list_agents", "", "total_count", "40"),
    ("swf_get_system_state", "", "agents.active", "40"),
    ("swf_get_system_state", "", "agents.exited", "40"),
    ("swf_get_system_state", "", "agents.unhealthy", "40"),
    ("swf_get_testbed_status", r#"{"username":"torre"}"#, "agents", "40"),
    ("swf_get_testbed_status", r#"{"username":"torre"}"#, "summary.stopped", "40"),
    ("swf_get_testbed_status", r#"{"username":"silent"}"#, "agents", "40"),
    ("swf_get_testbed_status", r#"{"username":"silent"}"#, "summary.stopped", "40"),
    // An agent silent for longer than two minutes and shorter than the one limit.
    ("swf_get_testbed_status", r#"{"username":"wenauseic"}"#, "agents[].status", "39"),
    ("swf_get_testbed_status", r#"{"username":"wenauseic"}"#, "summary.running", "39"),
    ("swf_get_testbed_status", r#"{"username":"wenauseic"}"#, "summary.stopped", "39"),
    ("swf_get_testbed_status", r#"{"username":"gone"}"#, "agents[].status", "39"),
    ("swf_get_testbed_status", r#"{"username":"gone"}"#, "summary.running", "39"),
    ("swf_get_testbed_status", r#"{"username":"gone"}"#, "summary.stopped", "39"),
    // Executions whose messages do not tell their end, or their run.
    ("swf_get_workflow_monitor", "", "phase", "97"),
    ("swf_get_workflow_monitor", "", "run_id", "97"),
    ("swf_get_workflow_monitor", "", "errors[].error", "JSON stays JSON"),
    ("swf_list_runs", r#"{"end_time":"2099-11-21T12:00:00Z"}"#, "items", "An end without a start"),
    ("swf_list_runs", r#"{"end_time":"2099-11-21T12:00:00Z"}"#, "total_count", "An end without a start"),
    (
        "swf_list_logs",
        r#"{"end_time":"2099-11-22T10:30:00Z","level":"ERROR"}"#,
        "items",
        "An end without a start",
    ),
    (
        "swf_list_logs",
        r#"{"end_time":"2099-11-22T10:30:00Z","level":"ERROR"}"#,
        "total_count",
        "An end without a start",
    ),
    (
        "swf_get_namespace",
        r#"{"namespace":"torre1","end_time":"2099-11-22T11:00:00+02:00"}"#,
        "execution_count",
        "An end without a start",
    ),
    (
        "swf_get_namespace",
        r#"{"namespace":"torre1","end_time":"2099-11-22T11:00:00+02:00"}"#,
        "time_range.start",
        "An end without a start",
    ),
    (
        "swf_get_namespace",
        r#"{"namespace":"torre1","start_time":"2099-11-22T05:00:00"}"#,
        "time_range.start",
        "Naive times",
    ),
    ("swf_get_namespace", "", "active_users", "Each user once"),
    ("swf_get_namespace", r#"{"namespace":"nosuch"}"#, "answered", "Refusals are errors"),
    (
        "swf_list_workflow_executions",
        r#"{"currently_running":true,"status":"failed"}"#,
        "answered",
        "Lenient form, strict meaning",
    ),
    ("swf_list_workflow_executions", "", "monitor_urls[].url", "Links show the same rows"),
    ("swf_start_workflow", "{}", "answered", "52"),
    ("swf_get_stf_file", "", "answered", "Lenient form, strict meaning"),
    ("pcs_list_tags", r#"{"tag_type":"e","category":"DIS"}"#, "answered", "Lenient form, strict meaning"),
    ("pcs_search_tags", r#"{"query":"none"}"#, "count", "JSON stays JSON"),
    ("pcs_search_tags", r#"{"query":"none"}"#, "tags", "JSON stays JSON"),
    ("pcs_search_tags", r#"{"query":"['a'"}"#, "count", "JSON stays JSON"),
    ("pcs_search_tags", r#"{"query":"['a'"}"#, "tags", "JSON stays JSON"),
];

/// Tools that change rows; the next call finds them as they were.
const CHANGING: [&str; 3] = ["swf_end_execution", "swf_kill_agent", "swf_record_ai_memory"];

/// Texts that need only be there: sentences for people, and content that the original writes as Python does
/// ("JSON stays JSON").
const SENTENCES: [&str; 5] = ["note", "how_to_start", "message", "error", "items[].payload_summary"];

/// Values that mean the same: numbers by value, moments by time, links by what they decode to.
fn same(theirs: &Value, ours: &Value, path: &str) -> bool {
    let moment = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    match (theirs, ours) {
        (Value::Number(theirs), Value::Number(ours)) => theirs.as_f64() == ours.as_f64(),
        (Value::String(_), Value::String(_)) if SENTENCES.contains(&path) => true,
        (Value::String(theirs), Value::String(ours)) if path.ends_with(".url") => {
            percent_encoding::percent_decode_str(ours).decode_utf8().unwrap() == theirs.as_str()
        }
        (Value::String(theirs), Value::String(ours)) => {
            theirs == ours || moment(theirs).is_some_and(|t| moment(ours) == Some(t))
        }
        _ => theirs == ours,
    }
}

/// Where two answers differ: keys of the original that are absent, and values that are others.
fn differences(theirs: &Value, ours: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in theirs {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match ours.get(key) {
                    Some(other) => differences(value, other, &path, found),
                    None => found.push((path, format!("absent, was {value}"))),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (theirs, ours) in theirs.iter().zip(ours) {
                differences(theirs, ours, &format!("{path}[]"), found);
            }
        }
        _ if same(theirs, ours, path) => {}
        _ => found.push((path.to_owned(), format!("{theirs} is here {ours}"))),
    }
}

/// The original puts agents that were never heard first, swf last.
fn never_heard_last(mut answer: Value) -> Value {
    for key in ["items", "agents"] {
        if let Some(Value::Array(rows)) = answer.get_mut(key) {
            rows.sort_by_key(|row| row.get("last_heartbeat").is_some_and(Value::is_null));
        }
    }
    answer
}

/// One call, compared.
async fn compare(world: &World, recorded: &Recorded) -> Vec<(String, String)> {
    let refused = recorded.answer.get("refused").is_some();
    let mut found = Vec::new();
    match (world.call(&recorded.tool, recorded.arguments.clone()).await, refused) {
        (Ok(answer), false) => {
            differences(&never_heard_last(recorded.answer.clone()), &answer, "", &mut found)
        }
        (Ok(answer), true) => found.push(("refused".into(), answer.to_string())),
        (Err(error @ swf_tools::Error::Internal(_)), _) => found.push(("fault".into(), format!("{error:?}"))),
        (Err(_), true) => {}
        (Err(error), false) => found.push(("answered".into(), error.to_string())),
    }
    found
}

#[tokio::test]
async fn every_recorded_answer_of_the_original_is_ours_too() {
    let recorded: Vec<Recorded> = serde_json::from_str(ANSWERS).unwrap();
    let rows = Rows::parse(ROWS);
    assert_eq!(rows.now, now());
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        rows.load(&db).await;
        let broker = Broker::start(BrokerConfig::new(([127, 0, 0, 1], 0).into())).await.unwrap();
        let world = World::on(&db, Some(broker), Settings::default()).await;
        let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
        for call in &recorded {
            let arguments = call.arguments.to_string();
            for (path, text) in compare(&world, call).await {
                let intended = INTENDED.iter().position(|(tool, args, place, _)| {
                    *tool == call.tool && (args.is_empty() || *args == arguments) && *place == path
                });
                match intended {
                    Some(at) => drop(seen.insert(at)),
                    None => wrong.push(format!("{} {arguments}: {path}: {text:.300}", call.tool)),
                }
            }
            if CHANGING.contains(&call.tool.as_str()) {
                rows.load(&db).await;
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
        let unseen: Vec<_> = INTENDED.iter().enumerate().filter(|(at, _)| !seen.contains(at)).collect();
        assert!(unseen.is_empty(), "no longer differ: {unseen:?}");
    })
    .await;
}
