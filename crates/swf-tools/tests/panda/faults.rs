//! What the tools say when the database is down, slow, locked, incomplete or refuses.

use std::time::{Duration, Instant};

use serde_json::json;
use swf_db::testing::on_postgres;
use swf_db::{Db, Options, Sql};
use swf_tools::panda::{self, Role, Settings};

use crate::common::{calls, gate, plan, plant, postgres, settings, sqlite};

fn quick() -> Settings {
    Settings {
        statement_timeout: Duration::from_millis(1500),
        lock_timeout: Duration::from_millis(400),
        acquire_timeout: Duration::from_millis(1200),
        connections: 3,
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_panda_each_tool_says_how_to_get_one() {
    let gate = gate(None).await;
    for (tool, arguments) in calls() {
        let e = gate.call(tool, arguments).await.unwrap_err();
        assert_eq!(e.kind(), "unavailable", "{tool}");
        assert!(
            e.to_string().contains("swf db seed panda") && e.to_string().contains("swf_*"),
            "{tool}: {e}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_or_frozen_is_reported_within_the_time_limit() {
    // Nobody listens on the first port; on the second somebody does and never says a word.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [closed, frozen.local_addr().unwrap()] {
        let plant = plant(&format!("postgres://reader@{address}/panda_db"), quick()).await;
        for (tool, arguments) in calls().into_iter().take(3) {
            let started = Instant::now();
            let e = plant.try_call(tool, arguments).await.unwrap_err();
            assert!(started.elapsed() < Duration::from_secs(5), "{tool} took {:?}", started.elapsed());
            assert!(
                e.to_string().contains("does not answer") || e.to_string().contains("is silent"),
                "{tool}: {e}"
            );
            assert!(e.to_string().contains("swf_*"), "{tool} does not say what still works: {e}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_tables_and_columns_are_named_and_the_rest_still_answers() {
    on_postgres(None, async |db| {
        let p = postgres(&db.url, &plan(), settings()).await;
        p.script(
            "DROP TABLE doma_panda.filestable4; DROP TABLE doma_panda.jobsdefined4; DROP TABLE doma_panda.jedi_job_retry_history; \
             ALTER TABLE doma_panda.jobsactive4 DROP COLUMN actualcorecount; ALTER TABLE doma_panda.jobsactive4 DROP COLUMN superrordiag; \
             ALTER TABLE doma_panda.jedi_tasks DROP COLUMN gshare",
        )
        .await;
        let jobs = p.call("panda_list_jobs", json!({"limit": 2})).await;
        let dark = jobs["dark"].to_string();
        assert!(dark.contains("doma_panda.jobsdefined4 does not exist") && dark.contains("filestable4"), "{dark}");
        let study = p.call("panda_study_job", json!({"pandaid": 500001})).await;
        assert!(study["dark"].to_string().contains("actualcorecount"), "{}", study["dark"]);
        for (tool, arguments) in calls() {
            p.call(tool, arguments).await;
        }
        let e = p.try_call("panda_diagnose_jobs", json!({"exclude_retried": true})).await.unwrap_err();
        assert!(e.to_string().contains("doma_panda.jedi_job_retry_history does not exist"), "{e}");
        p.close().await;
        // Gone without notice, after the catalogue was read.
        let p = plant(&db.url, settings()).await;
        p.call("panda_list_queues", json!({})).await;
        p.script("ALTER TABLE doma_panda.jedi_datasets RENAME TO elsewhere").await;
        p.script("ALTER TABLE doma_panda.schedconfig_json DROP COLUMN data").await;
        let e = p.try_call("panda_get_queue", json!({"panda_queue": "E1_BNL"})).await.unwrap_err();
        assert!(e.to_string().contains("column data"), "{e}");
        let tasks = p.call("panda_list_tasks", json!({})).await;
        assert!(tasks["dark"].to_string().contains("jedi_datasets"), "{}", tasks["dark"]);
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_pandas_is_said_to_be_so() {
    on_postgres(None, async |db| {
        let p = plant(&db.url, settings()).await;
        let e = p.try_call("panda_get_activity", json!({})).await.unwrap_err();
        assert!(e.to_string().contains("does not exist in this database"), "{e}");
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_select_only_is_enough_and_what_it_may_not_read_is_named() {
    on_postgres(None, async |db| {
        let admin = postgres(&db.url, &plan(), settings()).await;
        assert_eq!(admin.panda.catalog().await.unwrap().role, Role::MayWrite);
        let refused = admin.panda.db().execute(&Sql::new("DELETE FROM doma_panda.jedi_tasks")).await;
        assert!(matches!(refused, Err(swf_db::Error::Denied(_))), "the session is read-only: {refused:?}");
        let role = format!("reader_{}", std::process::id());
        admin
            .script(&format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA doma_panda TO {role}; \
                 GRANT SELECT ON ALL TABLES IN SCHEMA doma_panda TO {role}; REVOKE SELECT ON doma_panda.jedi_tasks FROM {role}"
            ))
            .await;
        let url = as_role(&db.url, &role);
        let reader = plant(&url, settings()).await;
        assert_eq!(reader.panda.catalog().await.unwrap().role, Role::ReadOnly);
        reader.call("panda_list_jobs", json!({"limit": 5})).await;
        let e = reader.try_call("panda_list_tasks", json!({})).await.unwrap_err();
        assert!(e.to_string().contains("our role may not read doma_panda.jedi_tasks"), "{e}");
        let activity = reader.call("panda_get_activity", json!({})).await;
        assert!(activity["dark"].to_string().contains("jedi_tasks") && activity["jobs"]["total"].as_i64() > Some(0));
        // Taken away after the catalogue was read.
        admin.script(&format!("REVOKE SELECT ON doma_panda.schedconfig_json FROM {role}")).await;
        let e = reader.try_call("panda_list_queues", json!({})).await.unwrap_err();
        assert!(e.to_string().contains("refuses our role (table schedconfig_json)"), "{e}");
        reader.close().await;
        admin.script(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
        admin.close().await;
    })
    .await;
}

fn as_role(url: &str, role: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
    if url.contains("user=") {
        let (base, query) = rest.split_once('?').unwrap();
        let kept: Vec<&str> =
            query.split('&').filter(|p| !p.starts_with("user=") && !p.starts_with("password=")).collect();
        return format!("{scheme}://{base}?{}&user={role}&password=secret", kept.join("&"));
    }
    format!("{scheme}://{role}:secret@{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_and_a_slow_query_end_at_their_limits() {
    on_postgres(None, async |db| {
        let p = postgres(&db.url, &plan(), quick()).await;
        p.panda.catalog().await.unwrap();
        let writer = Db::open(&db.url, &Options::default()).await.unwrap();
        let mut tx = writer.begin().await.unwrap();
        tx.execute(&Sql::new("LOCK TABLE doma_panda.jobsarchived4 IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        let started = Instant::now();
        let e = p.try_call("panda_get_activity", json!({})).await.unwrap_err();
        assert!(e.to_string().contains("locked by somebody else"), "{e}");
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        // Tables that are not locked still answer.
        p.call("panda_list_tasks", json!({"limit": 1, "days": 3})).await;
        p.call("panda_list_queues", json!({})).await;
        drop(tx);
        let slow = Sql::new("SELECT pg_sleep(30)");
        let started = Instant::now();
        assert!(
            p.panda.rows_within(&slow, Duration::from_millis(200)).await.unwrap().is_none(),
            "the walk is cut off"
        );
        let e = p.panda.rows(&Sql::new("SELECT CAST(pg_sleep(30) AS text)")).await.unwrap_err();
        assert!(e.to_string().contains("narrow the time window"), "{e}");
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        p.panda.once().clear();
        p.call("panda_get_activity", json!({})).await;
        writer.close().await;
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_reported_and_found_again() {
    on_postgres(None, async |db| {
        let p = postgres(&db.url, &plan(), quick()).await;
        p.call("panda_list_queues", json!({})).await;
        let admin = Db::open(&db.url, &Options::default()).await.unwrap();
        let kill = Sql::new(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        admin.fetch_one::<i64>(&kill).await.unwrap();
        // The pool notices dead connections before it hands them out.
        p.call("panda_get_activity", json!({})).await;
        admin.close().await;
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_half_a_minute_costs_a_few_seconds_and_names_what_is_dark() {
    on_postgres(None, async |db| {
        let p = postgres(&db.url, &plan(), settings()).await;
        p.panda.catalog().await.unwrap();
        let writer = Db::open(&db.url, &Options::default()).await.unwrap();
        let mut tx = writer.begin().await.unwrap();
        tx.execute(&Sql::new("LOCK TABLE doma_panda.jobsarchived4 IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        // The lock stays for as long as the calls take; they give up before it does.
        let started = Instant::now();
        let calls = ["panda_get_activity", "panda_error_summary", "panda_resource_usage", "panda_trend"];
        let asked = calls.map(|tool| p.try_call(tool, json!({"days": 2})));
        let said = futures_util::future::join_all(asked).await;
        let said: Vec<String> = said.into_iter().map(|s| s.unwrap_err().to_string()).collect();
        // Those that came late found all connections waiting.
        let locked = said.iter().filter(|s| s.contains("locked by somebody else for more than 5 s")).count();
        let waiting = said.iter().filter(|s| s.contains("all of ours wait for a lock")).count();
        assert!(locked > 0 && locked + waiting == said.len(), "{said:?}");
        assert!(said.iter().all(|s| s.contains("swf_*")), "{said:?}");
        assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
        p.call("panda_list_queues", json!({})).await;
        let page = p.call("panda_list_tasks", json!({"days": 3})).await;
        assert!(page["dark"].to_string().contains("jobs per task"), "{}", page["dark"]);
        drop(tx);
        writer.close().await;
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_under_a_question_is_reported_at_once() {
    on_postgres(None, async |db| {
        let p = postgres(&db.url, &plan(), settings()).await;
        p.panda.catalog().await.unwrap();
        let admin = Db::open(&db.url, &Options::default()).await.unwrap();
        let mut tx = admin.begin().await.unwrap();
        tx.execute(&Sql::new("LOCK TABLE doma_panda.jobsarchived4 IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        let started = Instant::now();
        let killer = async {
            let kill = Sql::new(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock'",
            );
            // The question waits for the lock: from then on there is somebody to kill.
            while admin.fetch_one::<i64>(&kill).await.unwrap() == 0 {
                tokio::task::yield_now().await;
            }
        };
        let (said, ()) = tokio::join!(p.try_call("panda_trend", json!({"days": 2})), killer);
        let text = said.unwrap_err().to_string();
        assert!(text.contains("does not answer") && text.contains("swf_*"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        drop(tx);
        p.panda.once().clear();
        p.call("panda_trend", json!({"days": 2})).await;
        admin.close().await;
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_finds_nothing_is_cut_off_and_the_other_plan_answers() {
    on_postgres(None, async |db| {
        let p = postgres(&db.url, &plan(), settings()).await;
        p.script(
            "ALTER TABLE doma_panda.jobsactive4 RENAME TO slow_jobs; CREATE VIEW doma_panda.jobsactive4 AS \
             SELECT * FROM doma_panda.slow_jobs WHERE pg_sleep(0.03) IS NOT NULL",
        )
        .await;
        p.panda.catalog().await.unwrap();
        let asked = json!({"username": "%no such person%", "counts": false});
        let (before, _) = p.panda.spent();
        let page = p.call("panda_list_jobs", asked.clone()).await;
        assert_eq!(page["count"], json!(0));
        assert_eq!(p.panda.spent().0 - before, 2, "the walk, and the plan after it");
        p.close().await;
        // With a limit that the second plan overruns too, the answer says what to do.
        let hasty = Settings { statement_timeout: Duration::from_millis(900), ..settings() };
        let p = plant(&db.url, hasty).await;
        let started = Instant::now();
        let text = p.try_call("panda_list_jobs", asked).await.unwrap_err().to_string();
        assert!(text.contains("narrow the time window or the filters"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_long_ago_is_found_in_the_deep_archive() {
    on_postgres(None, async |db| {
        let p = postgres(&db.url, &plan(), settings()).await;
        let e = p.try_call("panda_study_job", json!({"pandaid": 77})).await.unwrap_err();
        assert!(e.to_string().contains("doma_pandaarch (the deep archive) does not exist"), "{e}");
        let role = format!("archive_reader_{}", std::process::id());
        p.script(&format!(
            "CREATE SCHEMA doma_pandaarch; CREATE TABLE doma_pandaarch.jobsarchived4_p2025_01 (LIKE doma_panda.jobsarchived4 INCLUDING DEFAULTS); \
             CREATE TABLE doma_pandaarch.jobsarchived4_p2025_02 (LIKE doma_panda.jobsarchived4 INCLUDING DEFAULTS); \
             ALTER TABLE doma_pandaarch.jobsarchived4_p2025_01 DROP COLUMN gshare, DROP COLUMN resource_type; \
             INSERT INTO doma_pandaarch.jobsarchived4_p2025_01 (pandaid, jobstatus, modificationtime, piloterrorcode) \
             VALUES (77, 'failed', '2025-01-03', 1305); \
             CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA doma_panda TO {role}; \
             GRANT SELECT ON ALL TABLES IN SCHEMA doma_panda TO {role}"
        ))
        .await;
        let found = p.call("panda_study_job", json!({"pandaid": 77})).await;
        assert_eq!(found["found_in"], json!("doma_pandaarch.jobsarchived4_p2025_01"));
        assert_eq!(found["cause"]["name"], json!("PAYLOADEXECUTIONFAILURE"));
        let e = p.try_call("panda_study_job", json!({"pandaid": 78})).await.unwrap_err();
        assert!(e.to_string().contains("2 tables of doma_pandaarch"), "{e}");
        let reader = plant(&as_role(&db.url, &role), settings()).await;
        let e = reader.try_call("panda_study_job", json!({"pandaid": 77})).await.unwrap_err();
        assert!(e.to_string().contains("our role may not look into schema doma_pandaarch"), "{e}");
        p.script(&format!("GRANT USAGE ON SCHEMA doma_pandaarch TO {role}")).await;
        reader.panda.once().clear();
        let e = reader.try_call("panda_study_job", json!({"pandaid": 77})).await.unwrap_err();
        assert!(e.to_string().contains("our role may not read the tables of schema doma_pandaarch"), "{e}");
        reader.close().await;
        p.script(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pandas_own_error_texts_come_before_ours() {
    let p = sqlite(&plan(), settings()).await;
    p.script(
        "CREATE TABLE doma_panda.error_descriptions (component TEXT, code INTEGER, acronym TEXT, diagnostics TEXT, \
         description TEXT, category INTEGER); \
         INSERT INTO doma_panda.error_descriptions VALUES ('pilot', 1305, 'OURPAYLOAD', 'd', 'the payload of this site', 5); \
         CREATE TABLE doma_panda.error_classification (error_source TEXT, error_code INTEGER, error_diag TEXT, \
         description TEXT, error_class TEXT, active TEXT); \
         INSERT INTO doma_panda.error_classification VALUES ('jobdispatcherErrorCode', 100, 'lost heart.*', NULL, 'system', 'Y'), \
         ('pilot', 1305, '(', NULL, 'user', 'Y'), ('pilot', 1305, '.*', NULL, 'user', 'N')",
    )
    .await;
    let all = p.call("panda_error_summary", json!({"days": 20, "limit": 100})).await;
    let find = |source: &str, code: i64| {
        let all = all["errors"].as_array().unwrap();
        all.iter().find(|e| e["error_source"] == source && e["error_code"] == json!(code)).cloned().unwrap()
    };
    assert_eq!(find("pilot", 1305)["name"], json!("OURPAYLOAD"));
    assert_eq!(find("pilot", 1305)["meaning"], json!("the payload of this site"));
    assert_eq!(find("pilot", 1305).get("responsible"), None);
    assert_eq!(find("dispatcher", 100)["responsible"], json!("system"));
    p.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_matches_nothing_recent_gives_an_empty_page() {
    on_postgres(None, async |db| {
        let p = postgres(&db.url, &plan(), settings()).await;
        let page = p.call("panda_list_jobs", json!({"username": "%no such person%"})).await;
        assert_eq!((&page["count"], &page["total_in_window"]), (&json!(0), &json!(0)));
        assert_eq!(page["pagination"]["next_before_id"], json!(null));
        p.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_production_cannot_be_written_through_the_tools() {
    let p = sqlite(&plan(), settings()).await;
    let refused = p.panda.db().execute(&Sql::new("DELETE FROM doma_panda.jedi_tasks")).await;
    assert!(refused.is_err(), "the handle is read-only");
    let missing = panda::open("sqlite:/nowhere/panda.sqlite", settings()).await.err().unwrap();
    assert!(missing.to_string().contains("swf db seed panda"), "{missing}");
}
