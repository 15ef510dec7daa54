//! `swf_triage` and `swf_diff`.

use std::time::Duration;

use serde_json::{Value, json};
use swf_db::testing::{TestDb, on_each_db, on_sqlite};
use swf_db::{Db, Options, Sql};
use swf_stomp::{Client, ClientConfig};
use swf_tools::tables::{self, SCHEMA};
use swf_tools::{Bus, Settings};

use crate::support::{World, now};

fn found<'a>(triage: &'a Value, what: &str) -> &'a Value {
    let problems = triage["problems"].as_array().unwrap();
    problems
        .iter()
        .find(|p| p["what"].as_str().unwrap().contains(what))
        .unwrap_or_else(|| panic!("no {what:?} in {triage:#}"))
}

#[tokio::test]
async fn triage_ranks_what_is_wrong_with_evidence_and_a_call_that_works() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::busy(&db).await;
        let triage = world.get("swf_triage", json!({})).await;
        assert_eq!(triage["state"], "degraded");
        let lost = found(&triage, "is gone");
        assert_eq!(&triage["problems"][0], lost, "what stops the work comes first");
        assert!(lost["evidence"][0].as_str().unwrap().starts_with("fast_processing-wenauseic-0002 (daq_simulator-agent-wenauseic-3)"));
        assert_eq!(lost["next"], json!({"tool": "swf_end_execution", "arguments": {"execution_id": "fast_processing-wenauseic-0002"}}));
        let silent = found(&triage, "silent");
        assert_eq!((&silent["count"], &silent["since"]), (&json!(2), &json!("2099-11-22T05:36:40+00:00")));
        assert_eq!(found(&triage, "executions failed")["count"], 1);
        assert!(found(&triage, "errors of one kind")["evidence"][0].as_str().unwrap().contains("Broker connection failed"));
        assert!(triage["fine"].as_array().unwrap().contains(&json!("broker")));
        assert_eq!(triage["dark"], json!([]));
        for problem in triage["problems"].as_array().unwrap() {
            if let (Some(tool), Some(arguments)) = (problem["next"]["tool"].as_str(), problem["next"].get("arguments")) {
                world.get(tool, arguments.clone()).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_testbed_without_faults_is_ok_and_a_namespace_hides_the_faults_of_others() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::on(&db, None, Settings::default()).await;
        let empty = world.get("swf_triage", json!({})).await;
        assert_eq!((&empty["state"], &empty["problems"]), (&json!("ok"), &json!([])));
        swf_tools::sample::fill(&db, now()).await.unwrap();
        let epic = world.get("swf_triage", json!({"namespace": "epic-daq"})).await;
        assert!(!epic.to_string().contains("wenauseic-0002"), "{epic}");
        let other = world.get("swf_triage", json!({"namespace": "wenauseic"})).await;
        assert!(found(&other, "is gone").is_object());
    })
    .await;
}

#[tokio::test]
async fn triage_answers_when_database_and_broker_are_down_and_says_what_is_dark() {
    // Nobody listens on port 1.
    let options = Options { acquire_timeout: Duration::from_secs(1), ..Options::default() };
    let url = "postgres://nobody@127.0.0.1:1/none";
    let down = TestDb { db: Db::open(url, &options).await.unwrap(), url: url.into() };
    let world = World::on(&down, None, Settings::default()).await;
    let mut service =
        std::sync::Arc::try_unwrap(world.service).unwrap_or_else(|_| panic!("nobody else has it"));
    service.bus = Some(Bus::new(Client::start(ClientConfig::new("127.0.0.1", 1))));
    let gate = swf_tools::Gate {
        service: service.into(),
        caller: swf_tools::Caller::user("torre", swf_tools::Scope::Read),
        surface: swf_tools::Surface::Internal,
    };
    let triage = gate.call("swf_triage", json!({})).await.unwrap();
    assert_eq!(triage["state"], "broken");
    assert_eq!(found(&triage, "broker")["severity"], "critical");
    assert_eq!(found(&triage, "database of record")["severity"], "critical");
    let dark: Vec<&str> =
        triage["dark"].as_array().unwrap().iter().map(|d| d["source"].as_str().unwrap()).collect();
    assert_eq!(dark, ["database of record"], "one line for one fact: {triage}");
}

#[tokio::test]
async fn triage_stays_below_1500_tokens_in_the_worst_of_worlds() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let mut tx = db.begin().await.unwrap();
        for n in 0i64..200 {
            let word = "reconnecting-to-broker ".repeat(1 + usize::try_from(n).unwrap() % 30);
            let pad = "überlang/".repeat(9);
            let log = [
                ("app_name", "a".into()),
                ("instance_name", format!("{pad}{n}").into()),
                ("timestamp", now().into()),
                ("levelname", "ERROR".into()),
                ("level", 40.into()),
                ("message", word.into()),
                ("module", "m".into()),
                ("funcname", "f".into()),
                ("lineno", 1.into()),
                ("process", 1.into()),
                ("thread", 1.into()),
            ];
            swf_tools::sample::insert(&mut tx, now(), &tables::swf_applog::TABLE, &log).await.unwrap();
            let agent = [
                ("instance_name", format!("{pad}{n}").into()),
                ("agent_type", "DATA".into()),
                ("namespace", pad.clone().into()),
                ("status", ["OK", "ERROR", "WARNING"][usize::try_from(n).unwrap() % 3].into()),
                ("description", pad.repeat(9).into()),
                ("last_heartbeat", (now() - chrono::TimeDelta::seconds(10 * n)).into()),
            ];
            swf_tools::sample::insert(&mut tx, now(), &tables::swf_systemagent::TABLE, &agent).await.unwrap();
        }
        tx.execute(&Sql::new("UPDATE swf_tf_slices SET status = 'failed'")).await.unwrap();
        tx.execute(&Sql::new("UPDATE swf_stf_files SET status = 'failed'")).await.unwrap();
        tx.execute(&Sql::new(
            "UPDATE swf_workflow_executions SET status = 'failed' WHERE status = 'completed'",
        ))
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let triage = world.get("swf_triage", json!({})).await;
        assert!(triage["more"].as_i64().unwrap() > 0);
        let tokens = tiktoken_rs::o200k_base().unwrap().encode_ordinary(&triage.to_string()).len();
        assert!(tokens < 1_500, "{tokens} tokens: {triage}");
    })
    .await;
}

#[tokio::test]
async fn diff_tells_what_came_went_ended_and_how_rates_moved() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let span = json!({"start_time": "2099-11-22T04:00:00Z"});
        let diff = world.get("swf_diff", span.clone()).await;
        assert_eq!(diff["end_time"], "2099-11-22T12:00:00+00:00");
        let executions = &diff["executions"];
        assert_eq!(
            [
                &executions["started"],
                &executions["completed"],
                &executions["failed"],
                &executions["terminated"],
                &executions["still_running"]
            ],
            [&json!(6), &json!(2), &json!(1), &json!(1), &json!(2)]
        );
        assert_eq!(executions["failed_ids"], json!(["stf_datataking-wenauseic-0004"]));
        assert_eq!(
            diff["agents"]["gone"],
            json!(["fastmon-agent-torre-9", "daq_simulator-agent-wenauseic-3"])
        );
        assert_eq!(diff["errors"]["new"], json!([]), "the same errors came before");
        let rate = |what: &str| {
            let rates = diff["rates"].as_array().unwrap();
            rates.iter().find(|r| r["what"] == what).unwrap()["now_per_hour"].as_f64().unwrap()
        };
        assert!((rate("executions") - 0.75).abs() < 1e-9);

        let mut tx = db.begin().await.unwrap();
        let row = [
            ("app_name", "a".into()),
            ("instance_name", "data-agent-torre-1".into()),
            ("timestamp", now().into()),
            ("levelname", "ERROR".into()),
            ("level", 40.into()),
            ("message", "disk 3 is full".into()),
            ("module", "m".into()),
            ("funcname", "f".into()),
            ("lineno", 1.into()),
            ("process", 1.into()),
            ("thread", 1.into()),
        ];
        swf_tools::sample::insert(&mut tx, now(), &tables::swf_applog::TABLE, &row).await.unwrap();
        tx.commit().await.unwrap();
        let diff = world.get("swf_diff", span).await;
        assert_eq!(diff["errors"]["new"][0]["line"], "data-agent-torre-1: disk 3 is full");
        let refusal = world.refusal("swf_diff", json!({"start_time": "2099-11-23T00:00:00Z"})).await;
        assert!(refusal.contains("is not before the end"), "{refusal}");
    })
    .await;
}

#[tokio::test]
async fn errors_of_the_last_hour_are_counted_by_their_namespace_or_that_of_their_agent() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::make(&db, None, Settings::default()).await;
        let count = async || {
            world.get("swf_get_system_state", json!({"username": "torre"})).await["errors_last_hour"]
                .as_i64()
        };
        let before = count().await.expect("a number");
        let log = async |minutes: i64, level: i64, instance: &str, extra: Value| {
            let at = now() - chrono::TimeDelta::minutes(minutes);
            let sql = Sql::new("INSERT INTO swf_applog (app_name, instance_name, timestamp, levelname, message, module, funcname, lineno, process, thread, level, extra_data) VALUES")
                .with("('a', ?, ?, 'X', 'm', '', '', 0, 0, 0, ?, ?)", [instance.into(), at.into(), level.into(), extra.into()]);
            db.execute(&sql).await.unwrap();
        };
        let torre = Sql::new("SELECT instance_name FROM swf_systemagent WHERE namespace = 'torre1' LIMIT 1");
        let agent: String = db.fetch_one(&torre).await.unwrap();
        log(1, 40, "nobody", json!({"namespace": "torre1"})).await;
        log(59, 50, &agent, json!({})).await;
        log(61, 40, "nobody", json!({"namespace": "torre1"})).await;
        log(1, 30, "nobody", json!({"namespace": "torre1"})).await;
        log(1, 40, "nobody", json!({"namespace": "epic-daq"})).await;
        assert_eq!(count().await, Some(before + 2));
    })
    .await;
}
