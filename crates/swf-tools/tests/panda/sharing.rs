//! Several replicas share PanDA's answers through the database of record.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use swf_db::testing::on_postgres;
use swf_db::{Db, Options, Sql};
use swf_tools::Clock;

use crate::common::{Plant, now, plan, plant, settings, sqlite};

async fn migrated(url: &str) -> Db {
    let db = Db::open(url, &Options::default()).await.unwrap();
    swf_db::migrate(&db, &swf_tools::tables::SCHEMA).await.unwrap();
    db
}

/// A replica: its own connections to PanDA and to the database of record.
async fn replica(panda: &str, record: &str) -> Plant {
    let plant = plant(panda, settings()).await;
    plant.panda.share(migrated(record).await, Clock::fixed(now()));
    plant.panda.catalog().await.unwrap();
    plant
}

async fn ten_calls_of_two_replicas(panda: &str, record: &str) {
    let (a, b) = (replica(panda, record).await, replica(panda, record).await);
    let before = a.panda.spent().0 + b.panda.spent().0;
    let asked = (0..10).map(|n| if n % 2 == 0 { &a } else { &b });
    let asked = asked.map(|p| p.call("panda_get_activity", json!({"days": 7})));
    let answers: Vec<Value> = futures_util::future::join_all(asked).await;
    let spent = a.panda.spent().0 + b.panda.spent().0 - before;
    assert_eq!(spent, 3, "the statements of one call");
    let made = answers.iter().filter(|a| a["as_of"]["shared"] == json!(false)).count();
    assert_eq!(made, 1);
    assert!(answers.iter().all(|x| x["jobs"] == answers[0]["jobs"]));
    a.close().await;
    b.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_on_one_sqlite_record_cost_one_question() {
    let panda = sqlite(&plan(), settings()).await;
    let folder = tempfile::tempdir().unwrap();
    let record = format!("sqlite:{}", folder.path().join("swf.sqlite3").display());
    ten_calls_of_two_replicas(&panda.url, &record).await;
    panda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_on_one_postgres_record_cost_one_question() {
    on_postgres(None, async |db| {
        let panda = sqlite(&plan(), settings()).await;
        ten_calls_of_two_replicas(&panda.url, &db.url).await;
        panda.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claim_of_one_who_died_ends() {
    let panda = sqlite(&plan(), settings()).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("swf.sqlite3").display());
    let p = replica(&panda.url, &url).await;
    p.call("panda_list_queues", json!({})).await;
    p.panda.once().clear();
    // Somebody claims the question and is never heard of again.
    let record = migrated(&url).await;
    let until = chrono::Utc::now() + chrono::TimeDelta::milliseconds(900);
    let dead =
        Sql::new("UPDATE swfx_panda_answer SET answer = NULL, made_at = NULL, holder = 'dead', until =")
            .with("?", [until.into()]);
    assert_eq!(record.execute(&dead).await.unwrap(), 1);
    let started = Instant::now();
    let answer = p.call("panda_list_queues", json!({})).await;
    assert_eq!(answer["as_of"]["shared"], json!(false));
    let took = started.elapsed();
    assert!(took > Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
    p.close().await;
    panda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_record_a_process_answers_alone() {
    let panda = sqlite(&plan(), settings()).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("swf.sqlite3").display());
    let p = replica(&panda.url, &url).await;
    migrated(&url).await.script("DROP TABLE swfx_panda_answer".into()).await.unwrap();
    let answer = p.call("panda_get_activity", json!({"days": 7})).await;
    assert!(answer["jobs"]["total"].as_i64() > Some(0));
    let again = p.call("panda_get_activity", json!({"days": 7})).await;
    assert_eq!(again["as_of"]["shared"], json!(true), "it still remembers its own");
    p.close().await;
    panda.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_shared_shortly_and_a_refusal_never() {
    let panda = sqlite(&plan(), settings()).await;
    let folder = tempfile::tempdir().unwrap();
    let record = format!("sqlite:{}", folder.path().join("swf.sqlite3").display());
    let (a, b) = (replica(&panda.url, &record).await, replica(&panda.url, &record).await);
    panda.script("ALTER TABLE doma_panda.schedconfig_json RENAME TO elsewhere").await;
    let first = a.try_call("panda_list_queues", json!({})).await.unwrap_err().to_string();
    let (before, _) = b.panda.spent();
    let second = b.try_call("panda_list_queues", json!({})).await.unwrap_err().to_string();
    assert_eq!((first, b.panda.spent().0), (second, before), "the second did not ask");
    for p in [&a, &b] {
        let refused = p.try_call("panda_list_jobs", json!({"status": "runing"})).await.unwrap_err();
        assert!(refused.to_string().contains("did you mean 'running'"), "{refused}");
    }
    a.close().await;
    b.close().await;
    panda.close().await;
}
