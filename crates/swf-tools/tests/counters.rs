//! The shared counters on both engines.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail")]

use std::collections::BTreeSet;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::json;
use swf_db::testing::{TestDb, on_each_db};
use swf_db::{Json, Options, Sql};
use swf_tools::counters::{self, Counter};
use swf_tools::tables::SCHEMA;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 4, 21, 12, 0, 0).unwrap()
}

async fn state(db: &TestDb) -> serde_json::Value {
    let sql = Sql::new("SELECT state_data FROM swf_persistent_state WHERE id = 1");
    db.fetch_one::<Json>(&sql).await.unwrap().0
}

#[tokio::test]
async fn a_hundred_callers_at_once_get_a_hundred_different_numbers_without_gap() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let other = db.again(&Options::default()).await;
        let calls: Vec<_> = (0..100)
            .map(|n| {
                let db = if n % 2 == 0 { db.db.clone() } else { other.clone() };
                tokio::spawn(async move { counters::next(&db, now(), Counter::RunNumber).await })
            })
            .collect();
        let mut numbers = BTreeSet::new();
        for call in calls {
            numbers.insert(call.await.unwrap().unwrap());
        }
        assert_eq!(numbers.into_iter().collect::<Vec<_>>(), (100_010..100_110).collect::<Vec<_>>());
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn callers_that_find_no_row_make_it_once() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        db.execute(&Sql::new("DELETE FROM swf_persistent_state")).await.unwrap();
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let db = db.db.clone();
                tokio::spawn(async move { counters::next(&db, now(), Counter::AgentId).await })
            })
            .collect();
        let mut numbers = BTreeSet::new();
        for call in calls {
            numbers.insert(call.await.unwrap().unwrap());
        }
        assert_eq!(numbers.into_iter().collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn each_counter_starts_where_the_contract_says_and_writes_its_companions() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        for counter in Counter::ALL {
            let first = if counter == Counter::RunNumber { 100_010 } else { 1 };
            assert_eq!(counters::next(&db, now(), counter).await.unwrap(), first, "{counter:?}");
        }
        let time = "2026-04-21T12:00:00+00:00";
        let expected = json!({
            "next_run_number": 100_011, "last_run_number": 100_010, "last_run_start_time": time,
            "next_agent_id": 2, "last_agent_id": 1, "last_agent_registration_time": time,
            "next_workflow_execution_id": 2, "last_workflow_execution_id": 1,
            "last_workflow_execution_time": time,
            "pcs_next_physics": 2, "pcs_next_evgen": 2, "pcs_next_simu": 2, "pcs_next_reco": 2,
        });
        assert_eq!(state(&db).await, expected);
    })
    .await;
}

#[tokio::test]
async fn a_stored_counter_goes_on_and_foreign_keys_of_the_row_stay() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let stored = json!({"next_agent_id": 813, "pcs_param_defs_p": [{"name": "beam"}], "other": "é"});
        let sql = Sql::new("UPDATE swf_persistent_state SET state_data =").with("?", [Json(stored).into()]);
        db.execute(&sql).await.unwrap();
        assert_eq!(counters::next(&db, now(), Counter::AgentId).await.unwrap(), 813);
        let state = state(&db).await;
        assert_eq!(state["next_agent_id"], 814);
        assert_eq!(state["pcs_param_defs_p"], json!([{"name": "beam"}]));
        assert_eq!(state["other"], "é");
    })
    .await;
}

#[tokio::test]
async fn a_number_of_a_transaction_that_is_rolled_back_is_handed_out_again() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let mut tx = db.begin().await.unwrap();
        assert_eq!(counters::next_in(&mut tx, now(), Counter::PcsReco).await.unwrap(), 1);
        drop(tx);
        assert_eq!(counters::next(&db, now(), Counter::PcsReco).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_counter_that_is_not_a_number_is_an_error_that_names_it_and_changes_nothing() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let stored = json!({"next_run_number": "many"});
        let sql =
            Sql::new("UPDATE swf_persistent_state SET state_data =").with("?", [Json(stored.clone()).into()]);
        db.execute(&sql).await.unwrap();
        let error = counters::next(&db, now(), Counter::RunNumber).await.unwrap_err();
        assert!(error.to_string().contains("next_run_number"), "{error}");
        assert_eq!(state(&db).await, stored);
    })
    .await;
}
