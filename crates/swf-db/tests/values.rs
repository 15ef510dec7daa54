//! Values, errors and transactions on both engines.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail")]

mod common;

use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use serde::Deserialize;
use swf_db::testing::{TestDb, on_each_db, on_postgres, on_sqlite};
use swf_db::{Error, Json, Options, Sql, Value};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Probe {
    truth: Option<bool>,
    small: Option<i16>,
    whole: Option<i32>,
    big: Option<i64>,
    real_number: Option<f64>,
    amount: Option<f64>,
    short: Option<String>,
    long: Option<String>,
    moment: Option<DateTime<Utc>>,
    uid: Option<Uuid>,
    document: Option<Json>,
    address: Option<String>,
}

async fn write(db: &TestDb, p: &Probe) -> Result<u64, Error> {
    let marks = format!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {})", db.dialect().inet_parameter());
    let sql = Sql::new(
        "INSERT INTO probe_values (truth, small, whole, big, real_number, amount, short, long, moment, uid, \
         document, address) VALUES",
    )
    .with(
        &marks,
        [
            p.truth.into(),
            p.small.into(),
            p.whole.into(),
            p.big.into(),
            p.real_number.into(),
            p.amount.into(),
            p.short.clone().into(),
            p.long.clone().into(),
            p.moment.into(),
            p.uid.into(),
            p.document.clone().into(),
            p.address.clone().into(),
        ],
    );
    db.execute(&sql).await
}

fn full() -> Probe {
    Probe {
        truth: Some(true),
        small: Some(-32768),
        whole: Some(i32::MAX),
        big: Some(i64::MAX),
        real_number: Some(0.1 + 0.2),
        amount: Some(9999.99),
        short: Some("Ünïcödé✓".into()),
        long: Some("line\nμ 漢字 🦀 'quoted' \"twice\" ?".into()),
        moment: Utc.timestamp_opt(1_776_000_000, 123_456_000).single(),
        uid: Some(Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0)),
        document: Some(Json(serde_json::json!({"a": [1, 2.5, null, true], "é": {"n": "🦀"}}))),
        address: Some("192.168.7.9".into()),
    }
}

fn nothing() -> Probe {
    Probe {
        truth: None,
        small: None,
        whole: None,
        big: None,
        real_number: None,
        amount: None,
        short: None,
        long: None,
        moment: None,
        uid: None,
        document: None,
        address: None,
    }
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_it_was_written_on_both_engines() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        let mut probes = vec![full(), nothing()];
        probes.push(Probe { document: Some(Json(serde_json::Value::Null)), ..nothing() });
        probes.push(Probe { document: Some(Json(serde_json::json!("text"))), ..nothing() });
        probes.push(Probe { address: Some("fe80::1".into()), truth: Some(false), ..nothing() });
        probes.extend(
            [0.0, -0.01, 0.1, 1.0, 12.34, -6.2, 1000.5].map(|a| Probe { amount: Some(a), ..nothing() }),
        );
        probes.push(Probe { short: Some(String::new()), big: Some(0), ..nothing() });
        for probe in &probes {
            assert_eq!(write(&db, probe).await.unwrap(), 1);
        }
        let sql = Sql::new("SELECT * FROM probe_values ORDER BY id");
        let read: Vec<Probe> = db.fetch_all(&sql).await.unwrap();
        assert_eq!(read, probes);
    })
    .await;
}

#[tokio::test]
async fn a_nul_character_is_kept_visible_in_text_and_json() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        let document = serde_json::json!({"k\0": ["\0", {"deep": "a\0b"}]});
        let probe = Probe { long: Some("a\0b".into()), document: Some(Json(document)), ..nothing() };
        write(&db, &probe).await.unwrap();
        let read: Probe = db.fetch_one(&Sql::new("SELECT * FROM probe_values")).await.unwrap();
        assert_eq!(read.long.as_deref(), Some("a\u{fffd}b"));
        let visible = serde_json::json!({"k\u{fffd}": ["\u{fffd}", {"deep": "a\u{fffd}b"}]});
        assert_eq!(read.document, Some(Json(visible)));
    })
    .await;
}

#[tokio::test]
async fn the_same_statement_takes_a_value_and_then_null() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        let sql = |v: Option<i64>| Sql::new("SELECT count(*) WHERE 1 =").with("?", [v.into()]);
        assert_eq!(db.fetch_one::<i64>(&sql(Some(1))).await.unwrap(), 1);
        assert_eq!(db.fetch_one::<i64>(&sql(None)).await.unwrap(), 0);
        assert_eq!(db.fetch_one::<i64>(&sql(Some(1))).await.unwrap(), 1);
    })
    .await;
}

async fn owner(db: &TestDb, name: &str) -> Result<u64, Error> {
    let sql = Sql::new("INSERT INTO probe_owner (name, counted) VALUES").with("(?, 0)", [name.into()]);
    db.execute(&sql).await
}

#[tokio::test]
async fn a_second_row_with_the_same_key_is_a_unique_error_that_names_it() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        owner(&db, "anna").await.unwrap();
        let error = owner(&db, "anna").await.unwrap_err();
        let Error::Unique { constraint, .. } = &error else { panic!("{error:?}") };
        assert!(constraint.contains("name"), "{constraint}");
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_a_column_is_a_bad_value_on_both_engines() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        let long = owner(&db, "beatrix").await.unwrap_err();
        assert!(matches!(long, Error::BadValue(_)), "{long:?}");
        owner(&db, "ünïcö").await.unwrap();
        for (column, value) in [
            ("small", Value::Int(32768)),
            ("whole", Value::Int(i64::from(i32::MAX) + 1)),
            ("amount", Value::Float(10000.0)),
            ("short", Value::Text("123456789".into())),
            ("big", Value::Int(-1)),
        ] {
            let sql = Sql::new(format!("INSERT INTO probe_values ({column}) VALUES")).with("(?)", [value]);
            let error = db.execute(&sql).await.unwrap_err();
            assert!(matches!(error, Error::BadValue(_)), "{column}: {error:?}");
        }
        let missing = Sql::new("INSERT INTO probe_owner (name) VALUES ('x')");
        let error = db.execute(&missing).await.unwrap_err();
        assert!(matches!(error, Error::Schema(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_key_that_points_nowhere_is_refused_at_commit_and_harms_nobody_after() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        let orphan = Sql::new("INSERT INTO probe_values (owner_id) VALUES (77)");
        let error = db.execute(&orphan).await.unwrap_err();
        assert!(matches!(error, Error::ForeignKey(_)), "{error:?}");

        let mut tx = db.begin().await.unwrap();
        tx.execute(&orphan).await.unwrap();
        let error = tx.commit().await.unwrap_err();
        assert!(matches!(error, Error::ForeignKey(_)), "{error:?}");

        let mut tx = db.begin().await.unwrap();
        tx.execute(&orphan).await.unwrap();
        let late = Sql::new("INSERT INTO probe_owner (id, name, counted) VALUES (77, 'late', 0)");
        tx.execute(&late).await.unwrap();
        tx.commit().await.unwrap();
        let rows = Sql::new("SELECT count(*) FROM probe_values");
        assert_eq!(db.fetch_one::<i64>(&rows).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_table_or_column_is_a_schema_error() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        for text in ["SELECT * FROM nowhere", "SELECT no_such_column FROM probe_owner"] {
            let error = db.rows(&Sql::new(text)).await.unwrap_err();
            assert!(matches!(error, Error::Schema(_)), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn postgres_cancels_what_runs_too_long() {
    on_postgres(None, async |db: TestDb| {
        let limit = Some(Duration::from_millis(100));
        let hasty = db.again(&Options { statement_timeout: limit, ..Options::default() }).await;
        let sql = Sql::new("SELECT count(*) FROM generate_series(1, 100000000000)");
        let error = hasty.rows(&sql).await.unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error:?}");
        hasty.close().await;
    })
    .await;
}

#[tokio::test]
async fn sqlite_that_waits_too_long_for_another_process_is_a_timeout() {
    on_sqlite(Some(&common::SCHEMA), async |db: TestDb| {
        let hasty = db.again(&Options::default()).await;
        hasty.script("PRAGMA busy_timeout = 50".into()).await.unwrap();
        let held = db.begin().await.unwrap();
        let error = hasty.begin().await.err().unwrap();
        assert!(matches!(error, Error::Timeout(_)), "{error:?}");
        drop(held);
        hasty.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_read_only_handle_refuses_to_write() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        let reader = db.again(&Options { read_only: true, ..Options::default() }).await;
        let sql = Sql::new("INSERT INTO probe_owner (name, counted) VALUES ('x', 0)");
        let error = reader.execute(&sql).await.unwrap_err();
        assert!(matches!(error, Error::Denied(_)), "{error:?}");
        reader.close().await;
    })
    .await;
}

#[tokio::test]
async fn fifty_tasks_that_count_the_same_row_up_in_transactions_all_succeed() {
    on_each_db(Some(&common::SCHEMA), async |db: TestDb| {
        owner(&db, "anna").await.unwrap();
        let other = db.again(&Options::default()).await;
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let db = if n % 2 == 0 { db.db.clone() } else { other.clone() };
                tokio::spawn(async move {
                    let mut tx = db.begin().await?;
                    let read = Sql::new("SELECT counted FROM probe_owner WHERE name = 'anna'")
                        .with(tx.dialect().for_update(), []);
                    let counted: i64 = tx.fetch_optional(&read).await?.unwrap_or_default();
                    let write =
                        Sql::new("UPDATE probe_owner SET counted =").with("?", [(counted + 1).into()]);
                    tx.execute(&write).await?;
                    tx.commit().await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let sql = Sql::new("SELECT counted FROM probe_owner");
        assert_eq!(db.fetch_one::<i64>(&sql).await.unwrap(), 50);
        other.close().await;
    })
    .await;
}
