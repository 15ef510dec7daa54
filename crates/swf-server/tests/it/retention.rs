//! Old rows expire.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use swf_db::testing::{TestDb, on_each_db};
use swf_db::{Db, Sql};
use swf_server::retention;
use swf_tools::lease;
use swf_tools::retention::Policy;
use swf_tools::tables::SCHEMA;

use crate::harness::service_at;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 4, 21, 12, 0, 0).unwrap()
}

/// One row in each table that expires, this old.
async fn rows(db: &Db, days: i64, count: usize) {
    let at = now() - TimeDelta::days(days);
    for n in 0..count {
        let name = format!("{days}-{n}");
        let statements = [
            Sql::new("INSERT INTO swf_applog (app_name, instance_name, timestamp, levelname, message, module, funcname, lineno, process, thread, level) VALUES")
                .with("('a', 'a', ?, 'INFO', ?, '', '', 0, 0, 0, 20)", [at.into(), name.as_str().into()]),
            Sql::new("INSERT INTO swf_workflow_messages (message_id, message_type, message_content, sent_at) VALUES")
                .with("(?, 'x', ?, ?)", [uuid::Uuid::new_v4().into(), serde_json::json!({}).into(), at.into()]),
            Sql::new("INSERT INTO swf_system_state_events (timestamp, run_number, event_type, state, event_data) VALUES")
                .with("(?, 1, 'x', 'x', ?)", [at.into(), serde_json::json!({}).into()]),
            Sql::new("INSERT INTO swfx_message_uid (uid, received_at) VALUES").with("(?, ?)", [name.as_str().into(), at.into()]),
            Sql::new("INSERT INTO swfx_audit (at, caller, surface, tool, arguments, outcome, seconds) VALUES")
                .with("(?, 'a', 'a', 'a', ?, 'a', 0)", [at.into(), serde_json::json!({}).into()]),
            Sql::new("INSERT INTO swfx_dead_letter (received_at, destination, reason, headers, body) VALUES")
                .with("(?, 'a', 'a', ?, 'a')", [at.into(), serde_json::json!({}).into()]),
        ];
        for sql in statements {
            db.execute(&sql).await.unwrap();
        }
    }
}

const TABLES: [&str; 6] = [
    "swf_applog",
    "swf_workflow_messages",
    "swf_system_state_events",
    "swfx_message_uid",
    "swfx_audit",
    "swfx_dead_letter",
];

async fn counts(db: &Db) -> [i64; 6] {
    let mut out = [0; 6];
    for (at, table) in TABLES.iter().enumerate() {
        out[at] = db.fetch_one(&Sql::new(format!("SELECT count(*) FROM {table}"))).await.unwrap();
    }
    out
}

#[tokio::test]
async fn rows_go_when_their_age_is_reached_and_younger_ones_stay() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        for days in [1, 31, 91, 366] {
            rows(&db, days, 1).await;
        }
        let done = retention::round(&service_at(&db, now()), &Policy::default(), "a").await.unwrap().unwrap();
        assert_eq!(counts(&db).await, [1, 2, 2, 2, 3, 2]);
        assert_eq!(done.first(), Some(&("swf_applog", 3)));
        assert_eq!(
            retention::round(&service_at(&db, now()), &Policy::default(), "a").await.unwrap(),
            Some(vec![])
        );
    })
    .await;
}

#[tokio::test]
async fn zero_keeps_for_ever_and_more_than_a_batch_goes_in_several_statements() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        rows(&db, 400, 3).await;
        let many = Sql::new("INSERT INTO swfx_message_uid (uid, received_at)").with(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
             SELECT CAST(i AS TEXT), ? FROM n",
            [(now() - TimeDelta::days(400)).into()],
        );
        db.execute(&many).await.unwrap();
        let plan = swf_tools::retention::plan(&db, &Policy::default(), now()).await.unwrap().0;
        let ledger = plan.iter().find(|due| due.table == "swfx_message_uid").unwrap();
        assert_eq!(ledger.count(&db).await.unwrap(), 1203);
        assert_eq!(ledger.delete_some(&db).await.unwrap(), 500, "few at a time");
        let policy = Policy { logs: 0, ..Policy::default() };
        let done = retention::round(&service_at(&db, now()), &policy, "a").await.unwrap().unwrap();
        assert!(done.contains(&("swfx_message_uid", 703)), "{done:?}");
        assert_eq!(counts(&db).await, [3, 0, 0, 0, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn in_a_database_that_django_made_only_swf_s_own_rows_go_unless_asked() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let mark = match db.engine() {
            swf_db::Engine::Postgres => "CREATE TABLE django_migrations (id bigint)",
            swf_db::Engine::Sqlite => "CREATE TABLE django_migrations (id integer)",
        };
        db.script(mark.into()).await.unwrap();
        rows(&db, 400, 1).await;
        let policy = Policy::default();
        retention::round(&service_at(&db, now()), &policy, "a").await.unwrap();
        assert_eq!(counts(&db).await, [1, 1, 1, 0, 0, 0]);
        retention::round(&service_at(&db, now()), &Policy { django_tables: true, ..policy }, "a")
            .await
            .unwrap();
        assert_eq!(counts(&db).await, [0; 6]);
    })
    .await;
}

#[tokio::test]
async fn one_replica_at_a_time_deletes_and_a_dead_one_is_replaced() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        rows(&db, 400, 1).await;
        let service = service_at(&db, now());
        assert!(lease::take(&db, now(), "retention", "dead", TimeDelta::minutes(5)).await.unwrap());
        assert_eq!(retention::round(&service, &Policy::default(), "b").await.unwrap(), None);
        assert_eq!(counts(&db).await, [1; 6]);
        service.clock.advance(TimeDelta::minutes(6));
        assert!(retention::round(&service, &Policy::default(), "b").await.unwrap().is_some());
        assert_eq!(counts(&db).await, [0; 6]);
        // The lease was given back.
        assert!(lease::take(&db, now(), "retention", "c", TimeDelta::minutes(5)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_table_that_fails_holds_up_no_other() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        rows(&db, 400, 1).await;
        db.script("ALTER TABLE swf_workflow_messages RENAME TO swf_away".into()).await.unwrap();
        let done = retention::round(&service_at(&db, now()), &Policy::default(), "a").await.unwrap().unwrap();
        assert_eq!(done.len(), 5, "{done:?}");
        assert!(lease::take(&db, now(), "retention", "b", TimeDelta::minutes(5)).await.unwrap());
    })
    .await;
}
