//! Answers of the original on a small production with odd rows, recorded at a set time: swf's are the same.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use serde_json::{Map, Value as Json};
use swf_db::testing::{TestDb, on_postgres};
use swf_db::{Db, Sql, Value};
use swf_tools::panda::schema::SCHEMA;
use swf_tools::panda::seed::{self, Plan};

use crate::common::{self, Plant};
use crate::original::{Intended, Judge, Recorded};

const ROWS: &str = include_str!("../fixtures/original/panda_rows.json");
const ANSWERS: &str = include_str!("../fixtures/original/panda_answers.json");

const INTENDED: &[Intended] = &[
    ("panda_list_jobs", r#"{"taskid":777}"#, "pagination.limit", "One task"),
    ("panda_list_jobs", r#"{"taskid":777,"limit":1}"#, "jobs", "One task"),
    ("panda_list_jobs", r#"{"taskid":777,"limit":1}"#, "count", "One task"),
    ("panda_list_jobs", r#"{"taskid":777,"limit":1}"#, "pagination.has_more", "One task"),
    ("panda_list_jobs", r#"{"taskid":777,"limit":1}"#, "pagination.next_before_id", "One task"),
    ("panda_list_jobs", r#"{"taskid":777,"limit":1}"#, "pagination.limit", "One task"),
    ("panda_diagnose_jobs", r#"{"taskid":777}"#, "pagination.limit", "One task"),
    ("panda_list_tasks", r#"{"taskid":778}"#, "total_in_window", "One task"),
    ("panda_list_tasks", r#"{"taskid":778}"#, "tasks", "One task"),
    ("panda_list_tasks", r#"{"taskid":778}"#, "count", "One task"),
    ("panda_list_jobs", r#"{"status":"nosuch"}"#, "answered", "Lenient form, strict meaning"),
    ("panda_list_tasks", r#"{"status":"nosuch"}"#, "answered", "Lenient form, strict meaning"),
    ("panda_error_summary", "", "errors", "Error patterns"),
    ("panda_error_summary", "", "count", "Error patterns"),
    ("panda_error_summary", "", "errors[].destination_sites", "Error patterns"),
    ("panda_list_queues", "{}", "queues", "EIC queues"),
    ("panda_list_queues", "{}", "count", "EIC queues"),
    ("panda_list_queues", r#"{"status":"online"}"#, "queues", "EIC queues"),
    ("panda_list_queues", r#"{"status":"online"}"#, "count", "EIC queues"),
    ("panda_resource_usage", r#"{"username":"odd"}"#, "totals.allocated_core_hours", "Hours"),
    ("panda_resource_usage", r#"{"username":"odd"}"#, "totals.wall_hours", "Hours"),
    ("panda_resource_usage", r#"{"username":"odd"}"#, "by_site[].allocated_core_hours", "Hours"),
    ("panda_resource_usage", r#"{"username":"odd"}"#, "by_site[].wall_hours", "Hours"),
    ("panda_resource_usage", r#"{"username":"odd"}"#, "by_user[].allocated_core_hours", "Hours"),
    ("panda_resource_usage", r#"{"username":"odd"}"#, "by_user[].wall_hours", "Hours"),
    ("panda_study_job", "", "monitor_url", "Links of jobs"),
];

/// Empty tables of the right shape, then the rows; columns that a row lacks have their defaults.
async fn fill(url: &str) {
    let db = seed::open(url).await.unwrap();
    let plan = Plan { jobs: 1, days: 90, ..common::plan() };
    seed::seed(&db, &plan).await.unwrap();
    let tables: BTreeMap<String, Vec<Map<String, Json>>> = serde_json::from_str(ROWS).unwrap();
    for table in ["harvester_worker_stats", "jedi_datasets", "jedi_job_retry_history"] {
        db.script(format!("DELETE FROM {SCHEMA}.{table}")).await.unwrap();
    }
    for (table, rows) in &tables {
        db.script(format!("DELETE FROM {SCHEMA}.{table}")).await.unwrap();
        for row in rows {
            insert(&db, table, row).await;
        }
    }
    db.close().await;
}

async fn insert(db: &Db, table: &str, row: &Map<String, Json>) {
    let names: Vec<&str> = row.keys().map(String::as_str).collect();
    let values: Vec<Value> = row.values().map(typed).collect();
    let marks = vec!["?"; values.len()].join(", ");
    let sql = Sql::new(format!("INSERT INTO {SCHEMA}.{table} ({}) VALUES", names.join(", ")))
        .with(&format!("({marks})"), values);
    db.execute(&sql).await.unwrap_or_else(|e| panic!("{table} {row:?}: {e:?}"));
}

fn typed(value: &Json) -> Value {
    match value {
        Json::String(text) => match NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
            Ok(time) => time.into(),
            Err(_) => text.as_str().into(),
        },
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap().into(),
        },
        other => other.clone().into(),
    }
}

/// Ranked lists with rows of the same rank in an order of ours: the original leaves it to the database.
fn ranked(value: &mut Json) {
    let rank = |row: &Json| ["total", "count", "allocated_core_hours"].iter().find_map(|k| row[*k].as_f64());
    let name = |row: &Json| {
        ["user", "site", "error_source", "component", "error_code", "code", "error_diag", "sample_diag"]
            .map(|k| row[k].to_string())
    };
    match value {
        Json::Object(fields) => fields.values_mut().for_each(ranked),
        Json::Array(rows) => {
            rows.iter_mut().for_each(ranked);
            if rows.iter().all(|row| rank(row).is_some()) {
                rows.sort_by_key(name);
                rows.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap());
            }
        }
        _ => {}
    }
}

async fn compare(plant: Plant) {
    let mut judge = Judge::new(INTENDED);
    for call in Recorded::parse(ANSWERS) {
        let mut ours = plant.try_call(&call.tool, call.arguments.clone()).await;
        let mut theirs = call.answer.clone();
        ranked(&mut theirs);
        ours.iter_mut().for_each(ranked);
        judge.compare(&call, &theirs, ours);
    }
    judge.finish();
    plant.close().await;
}

#[tokio::test]
async fn every_recorded_answer_of_the_original_is_ours_too_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("panda.sqlite").display());
    fill(&url).await;
    compare(common::plant(&url, common::settings()).await).await;
}

#[tokio::test]
async fn every_recorded_answer_of_the_original_is_ours_too_on_postgresql() {
    on_postgres(None, async |db: TestDb| {
        fill(&db.url).await;
        compare(common::plant(&db.url, common::settings()).await).await;
    })
    .await;
}
