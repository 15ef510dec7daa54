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
