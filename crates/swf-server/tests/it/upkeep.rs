//! What the server does by the clock.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};
use swf_db::testing::{TestDb, on_each_db};
use swf_db::{Db, Json, Sql};
use swf_server::upkeep;
use swf_tools::tables::SCHEMA;

use crate::harness::service_at;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 4, 21, 12, 0, 0).unwrap()
}

fn ago(minutes: i64) -> DateTime<Utc> {
    now() - TimeDelta::minutes(minutes)
}

async fn agent(db: &Db, name: &str, kind: &str, namespace: &str, heard: i64) {
    let sql = Sql::new(
        "INSERT INTO swf_systemagent (instance_name, agent_type, description, status, last_heartbeat, created_at, \
         updated_at, current_stf_count, total_stf_processed, workflow_enabled, operational_state, namespace, metadata) \
         VALUES",
    )
    .with(
        "(?, ?, '', 'WARNING', ?, ?, ?, 0, 0, ?, 'PROCESSING', ?, ?)",
        [
            name.into(),
            kind.into(),
            ago(heard).into(),
            now().into(),
            now().into(),
            true.into(),
            namespace.into(),
            json!({"mine": 1}).into(),
        ],
    );
    db.execute(&sql).await.unwrap();
}

async fn execution(db: &Db, id: &str, namespace: &str, metrics: Value, started: i64) {
    let definition = "INSERT INTO swf_workflow_definitions (id, workflow_name, version, workflow_type, definition, \
                      parameter_values, created_by, created_at, updated_at) VALUES";
    let made = Sql::new(definition).with(
        "(1, 'w', '1', 't', '', ?, 'a', ?, ?) ON CONFLICT DO NOTHING",
        [json!({}).into(), now().into(), now().into()],
    );
    db.execute(&made).await.unwrap();
    let sql = Sql::new(
        "INSERT INTO swf_workflow_executions (execution_id, workflow_definition_id, namespace, status, executed_by, \
         start_time, parameter_values, performance_metrics) VALUES",
    )
    .with(
        "(?, 1, ?, 'running', 'a', ?, ?, ?)",
        [id.into(), namespace.into(), ago(started).into(), json!({}).into(), metrics.into()],
    );
    db.execute(&sql).await.unwrap();
}

async fn message(db: &Db, execution: &str, sender: &str, minutes: i64) {
    let sql = Sql::new(
        "INSERT INTO swf_workflow_messages (message_id, message_type, message_content, sent_at, execution_id, \
         sender_agent) VALUES",
    )
    .with(
        "(?, 'stf_gen', ?, ?, ?, ?)",
        [uuid::Uuid::new_v4().into(), json!({}).into(), ago(minutes).into(), execution.into(), sender.into()],
    );
    db.execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_silent_agent_is_shown_as_exited_and_its_last_state_is_kept() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        agent(&db, "gone", "DATA", "n", 6).await;
        agent(&db, "here", "DATA", "n", 4).await;
        let service = service_at(&db, now());
        assert_eq!(upkeep::mark_silent(&service).await.unwrap(), 1);
        assert_eq!(upkeep::mark_silent(&service).await.unwrap(), 0, "once only");
        let sql = Sql::new("SELECT instance_name, status, operational_state, metadata FROM swf_systemagent")
            .with("ORDER BY instance_name", []);
        let rows: Vec<(String, String, String, Json)> = db.fetch_all(&sql).await.unwrap();
        assert_eq!((rows[0].1.as_str(), rows[0].2.as_str()), ("EXITED", "EXITED"));
        let before = json!({"marked_at": "2026-04-21T12:00:00+00:00", "operational_state": "PROCESSING",
            "status": "WARNING"});
        assert_eq!(rows[0].3.0, json!({"mine": 1, "before_exit": before}));
        assert_eq!((rows[1].1.as_str(), &rows[1].3.0), ("WARNING", &json!({"mine": 1})));
    })
    .await;
}

#[tokio::test]
async fn executions_that_name_no_runner_are_closed_when_all_signs_of_life_are_old() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        for (name, heard) in [("runner-old", 31), ("runner-new", 29)] {
            agent(&db, name, "DAQ_Simulator", "busy", heard).await;
        }
        agent(&db, "only-old", "workflow_runner", "quiet", 45).await;
        agent(&db, "data", "DATA", "quiet", 0).await;
        let cases = [
            // Its sender is silent although another runner of the namespace lives.
            ("sender-gone", "busy", Some(("runner-old", 40)), 50, true),
            ("sender-lives", "busy", Some(("runner-new", 40)), 50, false),
            // Somebody still speaks of it.
            ("still-speaks", "busy", Some(("runner-old", 5)), 50, false),
            ("young", "quiet", None, 20, false),
            ("namespace-gone", "quiet", None, 50, true),
            ("namespace-lives", "busy", None, 50, false),
            ("nobody-known", "empty", None, 500, false),
        ];
        for (id, namespace, said, started, _) in cases {
            execution(&db, id, namespace, json!({}), started).await;
            if let Some((sender, minutes)) = said {
                message(&db, id, sender, minutes).await;
            }
        }
        // Messages of other agents do not make them runners.
        message(&db, "namespace-gone", "data", 40).await;
        let mut closed = upkeep::lost_executions(&service_at(&db, now())).await.unwrap();
        closed.sort();
        let mut expected: Vec<&str> = cases.iter().filter(|c| c.4).map(|c| c.0).collect();
        expected.sort();
        assert_eq!(closed, expected);
        let sql = Sql::new("SELECT status, performance_metrics FROM swf_workflow_executions WHERE")
            .with("execution_id = 'sender-gone'", []);
        let (status, metrics): (String, Json) = db.fetch_one(&sql).await.unwrap();
        assert_eq!(status, "failed");
        let reason = metrics.0["reason"].as_str().unwrap();
        assert!(reason.contains("runner-old") && reason.contains("30 minutes"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn with_the_limit_off_they_are_left_open() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        agent(&db, "only-old", "workflow_runner", "quiet", 4500).await;
        execution(&db, "left", "quiet", json!({}), 5000).await;
        let mut service = Arc::into_inner(service_at(&db, now())).unwrap();
        service.settings.lost_after = None;
        assert_eq!(upkeep::lost_executions(&service).await.unwrap(), Vec::<String>::new());
    })
    .await;
}
