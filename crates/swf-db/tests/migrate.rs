//! Making, upgrading and checking a small schema on both engines.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail")]

mod common;

use common::{OWN, OWNER, SCHEMA, VALUES};
use swf_db::check::Severity;
use swf_db::migrate::Owner;
use swf_db::schema::{Change, Column, Default, Index, Key, Kind, Later, Schema, Step, Table};
use swf_db::testing::{TestDb, on_each_db, on_postgres, on_sqlite};
use swf_db::{Engine, Error, Options, Sql, check, migrate};

const EXTRA: Table = Table {
    name: "swfx_probe_extra",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("what", Kind::Varchar(9)),
    ],
    primary_key: Key { name: "swfx_probe_extra_pkey", columns: &["id"] },
    uniques: &[Key { name: "swfx_probe_extra_what_key", columns: &["what"] }],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};
const NICKNAME: Column = Column::new("nickname", Kind::Varchar(20)).or_null();
const BY_NICKNAME: Index = Index { name: "probe_owner_nickname_idx", columns: &["nickname"] };

const NEW_OWNER: Table = Table {
    columns: &[OWNER.columns[0], OWNER.columns[1], OWNER.columns[2], NICKNAME],
    indexes: &[OWNER.indexes[0], BY_NICKNAME],
    ..OWNER
};

/// The schema two versions later.
const NEWER: Schema = Schema {
    tables: &[&NEW_OWNER, &VALUES],
    later: &[Later {
        table: "probe_values",
        column: Column::new("remark", Kind::Text).or_null(),
        absent: "not kept",
    }],
    own: &[&OWN, &EXTRA],
    optional: &[],
    first_rows: &[],
    steps: &[
        Step { version: 2, name: "extra table", changes: &[Change::Table(&EXTRA)] },
        Step {
            version: 3,
            name: "nicknames",
            changes: &[Change::Column("probe_owner", NICKNAME), Change::Index("probe_owner", BY_NICKNAME)],
        },
    ],
};

async fn versions(db: &TestDb) -> Vec<i64> {
    db.fetch_all(&Sql::new("SELECT version FROM swfx_migration ORDER BY version")).await.unwrap()
}

#[tokio::test]
async fn a_new_database_is_made_once_and_is_clean_after() {
    on_each_db(None, async |db: TestDb| {
        let first = migrate(&db, &NEWER).await.unwrap();
        assert_eq!((first.owner, first.from, first.version), (Owner::Swf, None, 3));
        assert_eq!(first.tables, ["probe_owner", "probe_values", "swfx_probe", "swfx_probe_extra"]);
        assert_eq!(first.added, ["probe_values.remark"]);
        let second = migrate(&db, &NEWER).await.unwrap();
        assert_eq!((second.from, second.version), (Some(3), 3));
        assert!(second.tables.is_empty() && second.added.is_empty(), "{second}");
        assert_eq!(versions(&db).await, [1, 2, 3]);
        let check = check(&db, &NEWER).await.unwrap();
        assert!(check.findings.is_empty(), "{check}");
    })
    .await;
}

#[tokio::test]
async fn an_old_database_with_rows_gets_the_additions_of_later_versions() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let row = Sql::new("INSERT INTO probe_owner (name, counted) VALUES ('anna', 7)");
        db.execute(&row).await.unwrap();
        db.execute(&Sql::new("INSERT INTO swfx_probe (id) VALUES ('kept')")).await.unwrap();
        let report = migrate(&db, &NEWER).await.unwrap();
        assert_eq!((report.from, report.version), (Some(1), 3));
        assert_eq!(report.tables, ["swfx_probe_extra"]);
        let added = ["probe_owner.nickname", "probe_owner.probe_owner_nickname_idx", "probe_values.remark"];
        assert_eq!(report.added, added);
        let read = Sql::new("SELECT name, counted, nickname FROM probe_owner");
        let rows: Vec<(String, i64, Option<String>)> = db.fetch_all(&read).await.unwrap();
        assert_eq!(rows, [("anna".to_owned(), 7, None)]);
        assert_eq!(versions(&db).await, [1, 2, 3]);
        let check = check(&db, &NEWER).await.unwrap();
        assert!(check.findings.is_empty(), "{check}");
    })
    .await;
}

#[tokio::test]
async fn an_older_swf_runs_on_a_newer_database() {
    on_each_db(Some(&NEWER), async |db: TestDb| {
        let report = migrate(&db, &SCHEMA).await.unwrap();
        assert_eq!(report.version, 3);
        assert!(report.tables.is_empty() && report.added.is_empty(), "{report}");
        let check = check(&db, &SCHEMA).await.unwrap();
        assert!(check.is_clean() && check.can_run(), "{check}");
    })
    .await;
}

#[tokio::test]
async fn replicas_that_start_together_make_the_tables_once() {
    on_each_db(None, async |db: TestDb| {
        let starts: Vec<_> = (0..6)
            .map(|_| {
                let url = db.url.clone();
                tokio::spawn(async move {
                    let replica = swf_db::Db::open(&url, &Options::default()).await?;
                    let report = migrate(&replica, &NEWER).await?;
                    replica.close().await;
                    Ok::<_, Error>(report)
                })
            })
            .collect();
        let mut makers = 0;
        for start in starts {
            let report = start.await.unwrap().unwrap();
            makers += usize::from(report.from.is_none());
            assert_eq!(report.version, 3);
        }
        assert_eq!(makers, 1);
    })
    .await;
}

#[tokio::test]
async fn tables_of_unknown_origin_are_left_alone_and_named() {
    on_each_db(None, async |db: TestDb| {
        db.script("CREATE TABLE probe_values (id integer)".into()).await.unwrap();
        let error = migrate(&db, &SCHEMA).await.unwrap_err();
        assert!(error.to_string().contains("probe_values"), "{error}");
        let read = Sql::new("SELECT count(*) FROM swfx_migration");
        assert!(matches!(db.rows(&read).await, Err(Error::Schema(_))), "nothing was made");
    })
    .await;
}

#[tokio::test]
async fn a_failing_step_leaves_the_database_as_it_was() {
    const BROKEN: Schema = Schema {
        steps: &[Step {
            version: 2,
            name: "broken",
            changes: &[Change::Table(&EXTRA), Change::Index("no_such_table", BY_NICKNAME)],
        }],
        own: &[&OWN, &EXTRA],
        ..SCHEMA
    };
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let error = migrate(&db, &BROKEN).await.unwrap_err();
        assert!(matches!(error, Error::Schema(_)), "{error:?}");
        assert_eq!(versions(&db).await, [1]);
        assert!(db.rows(&Sql::new("SELECT * FROM swfx_probe_extra")).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn on_a_database_of_django_only_own_tables_are_made_and_upgraded() {
    on_postgres(None, async |db: TestDb| {
        db.script("CREATE TABLE django_migrations (id bigint, app text, name text)".into()).await.unwrap();
        let report = migrate(&db, &SCHEMA).await.unwrap();
        assert_eq!((report.owner, report.tables.as_slice()), (Owner::Django, &["swfx_probe".to_owned()][..]));
        let report = migrate(&db, &NEWER).await.unwrap();
        assert_eq!(report.tables, ["swfx_probe_extra"]);
        assert!(report.added.is_empty(), "{report}");
        let sql = Sql::new("SELECT CAST(tablename AS text) FROM pg_tables WHERE schemaname = 'public'");
        assert_eq!(db.fetch_all::<String>(&sql).await.unwrap(), ["django_migrations"]);
    })
    .await;
}

#[tokio::test]
async fn a_role_that_may_not_make_the_schema_is_told_what_to_do() {
    on_postgres(None, async |db: TestDb| {
        let role = format!("swf_guest_{}", uuid::Uuid::new_v4().simple());
        db.script(format!("CREATE ROLE {role} LOGIN")).await.unwrap();
        db.script("CREATE TABLE django_migrations (id bigint)".into()).await.unwrap();
        let guest_url = db.url.replacen("postgres://postgres@", &format!("postgres://{role}@"), 1);
        let guest = swf_db::Db::open(&guest_url, &Options::default()).await.unwrap();
        let found = check(&guest, &SCHEMA).await.unwrap();
        assert!(found.to_string().contains("CREATE SCHEMA swf AUTHORIZATION"), "{found}");
        assert!(matches!(migrate(&guest, &SCHEMA).await, Err(Error::Denied(_))));
        guest.close().await;
        db.script(format!("CREATE SCHEMA swf AUTHORIZATION {role}")).await.unwrap();
        let guest = swf_db::Db::open(&guest_url, &Options::default()).await.unwrap();
        assert_eq!(migrate(&guest, &SCHEMA).await.unwrap().tables, ["swfx_probe"]);
        guest.close().await;
        db.script(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_check_of_sqlite_names_what_is_missing_or_different() {
    on_sqlite(None, async |db: TestDb| {
        db.script(
            "CREATE TABLE probe_owner (id INTEGER NOT NULL PRIMARY KEY, name TEXT, counted TEXT NOT NULL, \
             must TEXT NOT NULL)"
                .into(),
        )
        .await
        .unwrap();
        assert_eq!(db.engine(), Engine::Sqlite);
        let found = check(&db, &SCHEMA).await.unwrap();
        assert!(!found.can_run(), "{found}");
        let has = |table: &str, item: Option<&str>, severity, text: &str| {
            found.findings.iter().any(|f| {
                f.table == table
                    && f.item.as_deref() == item
                    && f.severity == severity
                    && f.text.contains(text)
            })
        };
        assert!(has("probe_values", None, Severity::Fatal, "missing"), "{found}");
        assert!(has("probe_owner", Some("name"), Severity::Degraded, "NULL"), "{found}");
        assert!(has("probe_owner", Some("counted"), Severity::Fatal, "type is TEXT"), "{found}");
        assert!(has("probe_owner", Some("must"), Severity::Fatal, "unknown"), "{found}");
        assert!(has("probe_owner", Some("probe_owner_name_key"), Severity::Fatal, "missing"), "{found}");
        assert!(has("swfx_probe", None, Severity::Note, "migrate"), "{found}");
    })
    .await;
}
