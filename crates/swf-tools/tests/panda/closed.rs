//! Closed hours are remembered without changing an answer.

use chrono::TimeDelta;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use swf_db::testing::on_postgres;
use swf_db::{Db, Options};
use swf_tools::panda::Settings;
use swf_tools::{Clock, Gate};

use crate::common::{Plant, now, plan, plant, postgres, settings, sqlite};
use crate::engines::{arguments, difference, filters};

/// The tools that use them.
const TOOLS: [&str; 8] = [
    "panda_get_activity",
    "panda_list_jobs",
    "panda_diagnose_jobs",
    "panda_error_summary",
    "panda_resource_usage",
    "panda_compare",
    "panda_site_health",
    "panda_trend",
];

async fn record() -> Db {
    let db = Db::open("sqlite::memory:", &Options::default()).await.unwrap();
    swf_db::migrate(&db, &swf_tools::tables::SCHEMA).await.unwrap();
    db
}

/// Another process on the same PanDA that remembers.
async fn remembering(url: &str, days: u32, record: &Db, clock: &Clock) -> Plant {
    let plant = plant(url, Settings { remembered_days: days, ..settings() }).await;
    plant.panda.share(record.clone(), clock.clone());
    plant
}

/// The answer without what says how it came about.
async fn answer(gate: &Gate, tool: &str, arguments: &Value) -> Value {
    let mut answer = match gate.call(tool, arguments.clone()).await {
        Ok(answer) => answer,
        Err(e) => json!({"error": e.to_string()}),
    };
    if let Some(answer) = answer.as_object_mut() {
        answer.remove("as_of");
    }
    answer
}

async fn compare(direct: &Plant) {
    let clock = Clock::fixed(now());
    let (all, few) = (record().await, record().await);
    let full = remembering(&direct.url, 35, &all, &clock).await;
    full.panda.renew_closed_hours().await.unwrap();
    let partly = remembering(&direct.url, 3, &few, &clock).await;
    partly.panda.renew_closed_hours().await.unwrap();
    let lazy = remembering(&direct.url, 35, &record().await, &clock).await;
    let restarted = remembering(&direct.url, 35, &all, &clock).await;
    let mut runner = TestRunner::deterministic();
    let mut remembered = 0;
    for round in 0..10 {
        for name in TOOLS {
            let tool = swf_tools::registry::find(name).unwrap();
            let drawn = filters().new_tree(&mut runner).unwrap().current();
            let arguments = Value::Object(arguments(tool, &drawn));
            let expected = answer(&direct.gate, name, &arguments).await;
            for (who, plant) in
                [("full", &full), ("partly", &partly), ("lazy", &lazy), ("restarted", &restarted)]
            {
                let told = answer(&plant.gate, name, &arguments).await;
                let different = difference(&expected, &told, "");
                assert_eq!(different, None, "round {round}, {who}: {name} {arguments}");
            }
            if let Ok(said) = full.gate.call(name, arguments).await {
                remembered += i32::from(said["as_of"]["closed_hours"].is_object());
            }
        }
    }
    assert!(remembered >= 25, "only {remembered} answers used memory");
    for plant in [full, partly, lazy, restarted] {
        plant.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remembered_or_not_the_answer_is_the_same_on_sqlite() {
    let direct = sqlite(&plan(), settings()).await;
    compare(&direct).await;
    direct.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn remembered_or_not_the_answer_is_the_same_on_postgres() {
    on_postgres(None, async |db| {
        let direct = postgres(&db.url, &plan(), settings()).await;
        compare(&direct).await;
        direct.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_finds_the_hours_of_an_earlier_one() {
    let direct = sqlite(&plan(), settings()).await;
    let (record, clock) = (record().await, Clock::fixed(now()));
    let first = remembering(&direct.url, 35, &record, &clock).await;
    first.panda.renew_closed_hours().await.unwrap();
    let (read, _) = first.panda.spent();
    assert!(read > 40, "{read} statements read 35 days of two kinds");
    first.panda.renew_closed_hours().await.unwrap();
    assert_eq!(first.panda.spent().0, read, "all is fresh");
    let second = remembering(&direct.url, 35, &record, &clock).await;
    second.panda.renew_closed_hours().await.unwrap();
    assert!(second.panda.spent().0 <= 1, "it read the catalogue and no job");
    let said = second.call("panda_error_summary", json!({"days": 10})).await;
    assert_eq!(said["as_of"]["closed_hours"]["until"], json!("2026-07-15T11:00:00"));
    first.close().await;
    second.close().await;
    direct.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_correction_shows_after_the_stated_time() {
    let direct = sqlite(&plan(), settings()).await;
    let (record, clock) = (record().await, Clock::fixed(now()));
    let p = remembering(&direct.url, 35, &record, &clock).await;
    p.panda.renew_closed_hours().await.unwrap();
    let window = json!({"start_time": "2026-07-05T00:00:00", "end_time": "2026-07-10T00:00:00"});
    let failed = async || -> i64 {
        p.panda.forget_answers().await;
        p.call("panda_get_activity", window.clone()).await["jobs"]["by_status"]["failed"]
            .as_i64()
            .unwrap_or(0)
    };
    let before = failed().await;
    direct
        .script(
            "UPDATE doma_panda.jobsarchived4 SET jobstatus = 'failed' \
             WHERE modificationtime >= '2026-07-05' AND modificationtime < '2026-07-10'",
        )
        .await;
    assert_eq!(failed().await, before, "closed hours are remembered");
    clock.advance(TimeDelta::hours(13));
    p.panda.renew_closed_hours().await.unwrap();
    let after = failed().await;
    assert!(after > before, "{after} after the correction, {before} before");
    p.close().await;
    direct.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_a_filter_that_matches_nothing_from_walking() {
    let direct = sqlite(&plan(), settings()).await;
    let p = remembering(&direct.url, 35, &record().await, &Clock::fixed(now())).await;
    p.panda.renew_closed_hours().await.unwrap();
    for (username, oldest) in [("%nobody%", "newest"), ("synthetic-%", "oldest"), ("%Ada%", "newest")] {
        let asked =
            json!({"username": username, "status": "cancelled", "days": 20, "order": oldest, "limit": 500});
        let (a, b) = (
            answer(&direct.gate, "panda_list_jobs", &asked).await,
            answer(&p.gate, "panda_list_jobs", &asked).await,
        );
        assert_eq!(difference(&a, &b, ""), None, "{asked}");
    }
    p.close().await;
    direct.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_archive_is_reported_in_time_also_when_hours_are_missing_and_served_when_they_are_not() {
    on_postgres(None, async |db| {
        let direct = postgres(&db.url, &plan(), settings()).await;
        let quick = Settings {
            remembered_days: 35,
            lock_timeout: std::time::Duration::from_millis(500),
            ..settings()
        };
        let p = plant(&db.url, quick).await;
        p.panda.share(record().await, Clock::fixed(now()));
        p.panda.catalog().await.unwrap();
        let lock = swf_db::Sql::new("LOCK TABLE doma_panda.jobsarchived4 IN ACCESS EXCLUSIVE MODE");
        let exact = json!({"start_time": "2026-07-12T00:00:00", "end_time": "2026-07-13T00:00:00"});
        let writer = Db::open(&db.url, &Options::default()).await.unwrap();
        let mut tx = writer.begin().await.unwrap();
        tx.execute(&lock).await.unwrap();
        let started = std::time::Instant::now();
        let text = p.try_call("panda_resource_usage", exact.clone()).await.unwrap_err().to_string();
        assert!(text.contains("locked by somebody else"), "{text}");
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
        drop(tx);
        p.panda.renew_closed_hours().await.unwrap();
        p.panda.forget_answers().await;
        // The window is remembered from end to end: nobody needs the archive.
        let mut tx = writer.begin().await.unwrap();
        tx.execute(&lock).await.unwrap();
        let answer = p.call("panda_trend", exact).await;
        assert!(answer["all"]["finished"].as_array().unwrap().iter().any(|n| n.as_i64() > Some(0)));
        drop(tx);
        writer.close().await;
        p.close().await;
        direct.close().await;
    })
    .await;
}
