//! The tables against the facts of the contract (`fixtures/contract_schema.json`), as data and as really made,
//! and against a database made the way Django makes it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use swf_db::check::{Check, Severity};
use swf_db::ddl::Ddl;
use swf_db::migrate::Owner;
use swf_db::schema::{self, Kind};
use swf_db::testing::{TestDb, on_each_db, on_postgres};
use swf_db::{Engine, Sql, check, migrate};
use swf_tools::tables::{LATER_COLUMNS, SCHEMA, TABLES};

/// What the contract says of a table, in its words.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Facts {
    /// Name, type, may be NULL.
    columns: Vec<(String, String, bool)>,
    /// Constraint name, then the columns.
    primary_key: Vec<String>,
    uniques: BTreeMap<String, Vec<String>>,
    indexes: BTreeMap<String, Vec<String>>,
    /// Column, table and column referred to.
    foreign_keys: BTreeMap<String, Vec<String>>,
    checks: BTreeMap<String, String>,
}

fn contract() -> BTreeMap<String, Facts> {
    serde_json::from_str(include_str!("fixtures/contract_schema.json")).unwrap()
}

fn contract_type(kind: Kind) -> String {
    match kind {
        Kind::Varchar(n) => format!("varchar({n})"),
        Kind::Numeric(p, s) => format!("numeric({p},{s})"),
        Kind::Boolean => "boolean".into(),
        Kind::SmallInt => "smallint".into(),
        Kind::Integer => "integer".into(),
        Kind::BigInt => "bigint".into(),
        Kind::Double => "float8".into(),
        Kind::Text => "text".into(),
        Kind::Time => "timestamptz".into(),
        Kind::Uuid => "uuid".into(),
        Kind::Json => "jsonb".into(),
        Kind::Inet => "inet".into(),
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

#[test]
fn the_tables_as_data_say_what_the_contract_says() {
    let mut contract = contract();
    for table in TABLES {
        let facts = Facts {
            columns: table
                .columns
                .iter()
                .map(|c| (c.name.to_owned(), contract_type(c.kind), c.null))
                .collect(),
            primary_key: [&[table.primary_key.name], table.primary_key.columns]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            uniques: table.uniques.iter().map(|k| (k.name.to_owned(), owned(k.columns))).collect(),
            indexes: table.indexes.iter().map(|i| (i.name.to_owned(), owned(i.columns))).collect(),
            foreign_keys: table
                .foreign_keys
                .iter()
                .map(|k| (k.name.to_owned(), owned(&[k.column, k.table, k.to])))
                .collect(),
            checks: table.checks.iter().map(|(n, r)| ((*n).to_owned(), (*r).to_owned())).collect(),
        };
        let expected =
            contract.remove(table.name).unwrap_or_else(|| panic!("{} is not in the contract", table.name));
        assert_eq!(facts, expected, "{}", table.name);
    }
    assert!(contract.is_empty(), "tables without description: {:?}", contract.keys());
}

#[test]
fn each_table_stands_after_those_it_refers_to() {
    let mut seen = BTreeSet::new();
    for table in TABLES {
        for key in table.foreign_keys {
            assert!(seen.contains(key.table), "{} before {}", table.name, key.table);
        }
        assert!(seen.insert(table.name), "{} stands twice", table.name);
    }
}

#[test]
fn only_values_a_column_can_hold_are_its_defaults_and_choices() {
    for (table, column) in TABLES.iter().flat_map(|t| t.columns.iter().map(move |c| (t, c))) {
        let fits = match column.default {
            schema::Default::None => true,
            schema::Default::Identity | schema::Default::Int(_) => {
                matches!(column.kind, Kind::SmallInt | Kind::Integer | Kind::BigInt)
            }
            schema::Default::Bool(_) => column.kind == Kind::Boolean,
            schema::Default::Text(text) => {
                (column.blank || !text.is_empty())
                    && (column.choices.is_empty() || column.choices.contains(&text))
                    && matches!(column.kind, Kind::Varchar(_) | Kind::Text)
            }
            schema::Default::EmptyObject => column.kind == Kind::Json,
            schema::Default::Now | schema::Default::Created | schema::Default::Updated => {
                column.kind == Kind::Time
            }
            schema::Default::RandomUuid => column.kind == Kind::Uuid,
        };
        assert!(fits, "{}.{}: {:?}", table.name, column.name, column.default);
        if let Kind::Varchar(n) = column.kind {
            assert!(
                column.choices.iter().all(|c| c.len() <= usize::from(n)),
                "{}.{}",
                table.name,
                column.name
            );
        }
    }
}

/// What PostgreSQL really has, by the standard's views, not by the queries of the check.
async fn really(db: &TestDb) -> BTreeMap<String, Facts> {
    let mut out: BTreeMap<String, Facts> = BTreeMap::new();
    let sql = Sql::new(
        "SELECT CAST(table_name AS text), CAST(column_name AS text), CAST(udt_name AS text), \
         CAST(character_maximum_length AS bigint), CAST(numeric_precision AS bigint), \
         CAST(numeric_scale AS bigint), is_nullable = 'YES' \
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
    );
    type Row = (String, String, String, Option<i64>, Option<i64>, Option<i64>, bool);
    for (table, column, udt, length, precision, scale, null) in db.fetch_all::<Row>(&sql).await.unwrap() {
        let kind = match (udt.as_str(), length, precision, scale) {
            ("varchar", Some(n), _, _) => format!("varchar({n})"),
            ("numeric", _, Some(p), Some(s)) => format!("numeric({p},{s})"),
            ("bool", ..) => "boolean".into(),
            ("int2", ..) => "smallint".into(),
            ("int4", ..) => "integer".into(),
            ("int8", ..) => "bigint".into(),
            (other, ..) => other.to_owned(),
        };
        out.entry(table).or_default().columns.push((column, kind, null));
    }
    let sql = Sql::new(
        "SELECT CAST(t.table_name AS text), CAST(t.constraint_name AS text), CAST(t.constraint_type AS text), \
         CAST(k.column_name AS text), CAST(c.table_name AS text), CAST(c.column_name AS text), \
         t.is_deferrable = 'YES' AND t.initially_deferred = 'YES' \
         FROM information_schema.table_constraints t JOIN information_schema.key_column_usage k \
         ON k.constraint_name = t.constraint_name AND k.constraint_schema = t.constraint_schema \
         JOIN information_schema.constraint_column_usage c \
         ON c.constraint_name = t.constraint_name AND c.constraint_schema = t.constraint_schema \
         AND (t.constraint_type = 'FOREIGN KEY' OR c.column_name = k.column_name) \
         WHERE t.constraint_schema = 'public' ORDER BY t.constraint_name, k.ordinal_position",
    );
    type Key = (String, String, String, String, String, String, bool);
    for (table, name, kind, column, to_table, to, deferred) in db.fetch_all::<Key>(&sql).await.unwrap() {
        let facts = out.entry(table).or_default();
        match kind.as_str() {
            "PRIMARY KEY" if facts.primary_key.is_empty() => facts.primary_key = vec![name, column],
            "PRIMARY KEY" => facts.primary_key.push(column),
            "UNIQUE" => facts.uniques.entry(name).or_default().push(column),
            _ => {
                assert!(deferred, "{name} is not deferred");
                facts.foreign_keys.insert(name, vec![column, to_table, to]);
            }
        }
    }
    let sql = Sql::new(
        "SELECT CAST(t.relname AS text), CAST(c.conname AS text), pg_get_constraintdef(c.oid) \
         FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid WHERE c.contype = 'c'",
    );
    for (table, name, rule) in db.fetch_all::<(String, String, String)>(&sql).await.unwrap() {
        let rule = rule.trim_start_matches("CHECK ((").trim_end_matches("))").to_owned();
        out.entry(table).or_default().checks.insert(name, rule);
    }
    let sql = Sql::new(
        "SELECT CAST(tablename AS text), CAST(indexname AS text), indexdef FROM pg_indexes \
         WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)",
    );
    for (table, name, text) in db.fetch_all::<(String, String, String)>(&sql).await.unwrap() {
        let parts = text.split_once(" USING btree (").unwrap().1.trim_end_matches(')').replace('"', "");
        let parts = parts.split(", ").map(str::to_owned).collect();
        out.entry(table).or_default().indexes.insert(name, parts);
    }
    out
}

#[tokio::test]
async fn what_is_made_on_postgres_is_what_the_contract_states_column_by_column() {
    on_postgres(Some(&SCHEMA), async |db: TestDb| {
        let mut expected = contract();
        for later in LATER_COLUMNS {
            let column = (later.column.name.to_owned(), contract_type(later.column.kind), true);
            expected.get_mut(later.table).unwrap().columns.push(column);
        }
        let mut really = really(&db).await;
        for (table, facts) in &expected {
            assert_eq!(really.remove(table).as_ref(), Some(facts), "{table}");
        }
        assert!(really.is_empty(), "more tables in public: {:?}", really.keys());
        let sql =
            Sql::new("SELECT CAST(tablename AS text) FROM pg_tables WHERE schemaname = 'swf' ORDER BY 1");
        let own: Vec<String> = db.fetch_all(&sql).await.unwrap();
        assert_eq!(
            own,
            [
                "swfx_audit",
                "swfx_dead_letter",
                "swfx_lease",
                "swfx_mcp_session",
                "swfx_message_uid",
                "swfx_migration",
                "swfx_panda_answer",
                "swfx_panda_hour",
                "swfx_task_snapshot"
            ]
        );
        for (table, column, sequence) in [
            ("swf_systemagent", "id", "monitor_app_systemagent_id_seq"),
            ("swf_applog", "id", "monitor_app_applog_id_seq"),
            ("swf_runs", "run_id", "swf_runs_run_id_seq"),
            ("swf_subscribers", "subscriber_id", "swf_subscribers_subscriber_id_seq"),
            ("swf_system_state_events", "event_id", "swf_system_state_events_event_id_seq"),
            ("pcs_prod_task", "id", "pcs_prod_task_id_seq"),
        ] {
            let sql = Sql::new("SELECT pg_get_serial_sequence").with("(?, ?)", [table.into(), column.into()]);
            let found: String = db.fetch_one(&sql).await.unwrap();
            assert_eq!(found, format!("public.{sequence}"));
        }
    })
    .await;
}

#[tokio::test]
async fn both_engines_have_the_same_tables_columns_and_nullability() {
    let seen: RefCell<Vec<BTreeSet<(String, String, bool)>>> = RefCell::default();
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let text = match db.engine() {
            Engine::Postgres => {
                "SELECT CAST(table_name AS text), CAST(column_name AS text), is_nullable = 'YES' \
                 FROM information_schema.columns WHERE table_schema IN ('public', 'swf')"
            }
            Engine::Sqlite => {
                "SELECT m.name, p.name, p.\"notnull\" = 0 FROM sqlite_master m, pragma_table_info(m.name) p \
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
            }
        };
        let columns: Vec<(String, String, bool)> = db.fetch_all(&Sql::new(text)).await.unwrap();
        assert!(columns.len() > 300);
        seen.borrow_mut().push(columns.into_iter().collect());
        let check = check(&db, &SCHEMA).await.unwrap();
        assert!(check.findings.is_empty(), "{check}");
    })
    .await;
    let seen = seen.into_inner();
    if let [sqlite, postgres] = seen.as_slice() {
        assert_eq!(sqlite, postgres);
    }
}

/// A database as Django's migrations leave it in April 2026: without the later columns, with its ledger.
async fn made_by_django(db: &TestDb) {
    let mut text = String::new();
    for table in TABLES {
        text.push_str(&Ddl::new(Engine::Postgres, &SCHEMA).table(table).join(";\n"));
        text.push_str(";\n");
    }
    text.push_str(
        "CREATE TABLE django_migrations (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, \
         app varchar(255) NOT NULL, name varchar(255) NOT NULL, applied timestamptz NOT NULL);\n",
    );
    for (app, name) in [
        ("monitor_app", "0001_initial"),
        ("monitor_app", "0005_rename_tables"),
        ("monitor_app", "0034_dpid"),
        ("pcs", "0005_prodtask"),
    ] {
        text.push_str(&format!(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('{app}', '{name}', '2026-04-21Z');\n"
        ));
    }
    text.push_str(
        "INSERT INTO swf_runs (run_number, start_time) VALUES (100010, '2026-04-21Z');\n\
         INSERT INTO swf_persistent_state (id, state_data, updated_at) \
         VALUES (1, '{\"next_run_number\": 100011}', '2026-04-21Z');\n",
    );
    db.script(text).await.unwrap();
}

/// Everything of `public` that a migration could touch, as text.
async fn dump(db: &TestDb) -> Vec<String> {
    let sql = Sql::new(
        "SELECT concat_ws(' ', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), \
         a.attnotnull, a.attidentity, c.relkind, c.relacl, pg_get_userbyid(c.relowner)) FROM pg_class c \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         WHERE c.relnamespace = 'public'::regnamespace \
         UNION ALL SELECT concat_ws(' ', conname, pg_get_constraintdef(oid)) FROM pg_constraint \
         WHERE connamespace = 'public'::regnamespace \
         UNION ALL SELECT concat_ws(' ', indexname, indexdef) FROM pg_indexes WHERE schemaname = 'public' \
         UNION ALL SELECT concat_ws(' ', sequencename, last_value) FROM pg_sequences \
         WHERE schemaname = 'public' \
         UNION ALL SELECT concat_ws(' ', id, app, name, applied) FROM django_migrations \
         UNION ALL SELECT concat_ws(' ', run_id, run_number, start_time) FROM swf_runs \
         UNION ALL SELECT concat_ws(' ', id, state_data, updated_at) FROM swf_persistent_state ORDER BY 1",
    );
    db.fetch_all(&sql).await.unwrap()
}

#[tokio::test]
async fn on_a_database_of_django_nothing_of_its_own_changes_and_swf_can_run() {
    on_postgres(None, async |db: TestDb| {
        made_by_django(&db).await;
        let before = dump(&db).await;
        assert!(before.len() > 500, "the dump sees the tables: {}", before.len());
        let unmigrated = check(&db, &SCHEMA).await.unwrap();
        assert!(unmigrated.can_run() && unmigrated.is_clean(), "{unmigrated}");

        let report = migrate(&db, &SCHEMA).await.unwrap();
        assert_eq!(report.owner, Owner::Django);
        assert_eq!(
            report.tables,
            [
                "swfx_dead_letter",
                "swfx_message_uid",
                "swfx_audit",
                "swfx_mcp_session",
                "swfx_lease",
                "swfx_task_snapshot",
                "swfx_panda_answer",
                "swfx_panda_hour"
            ]
        );
        assert!(report.added.is_empty(), "{report}");
        migrate(&db, &SCHEMA).await.unwrap();
        assert_eq!(dump(&db).await, before);

        let check = check(&db, &SCHEMA).await.unwrap();
        assert_eq!(check.owner, Owner::Django);
        assert!(check.can_run(), "{check}");
        let absent: Vec<_> = LATER_COLUMNS.iter().map(|l| (l.table, l.column.name)).collect();
        let found: Vec<_> = check
            .findings
            .iter()
            .map(|f| (f.table.as_str(), f.item.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), absent.iter().collect::<BTreeSet<_>>());
        assert!(check.findings.iter().all(|f| f.text == "optional, absent: kept in metadata"), "{check}");

        let own = Sql::new("INSERT INTO swfx_message_uid (uid, received_at) VALUES ('a', '2026-04-21Z')");
        db.execute(&own).await.unwrap();
    })
    .await;
}

fn has(check: &Check, table: &str, item: Option<&str>, severity: Severity, text: &str) {
    let found = check.findings.iter().any(|f| {
        f.table == table && f.item.as_deref() == item && f.severity == severity && f.text.contains(text)
    });
    assert!(found, "{severity} {table} {item:?} {text:?} not in:\n{check}");
}

#[tokio::test]
async fn the_check_names_each_damage_and_says_whether_swf_can_run() {
    on_postgres(None, async |db: TestDb| {
        made_by_django(&db).await;
        migrate(&db, &SCHEMA).await.unwrap();
        let harmless = "ALTER TABLE swf_runs ALTER COLUMN run_number TYPE bigint; \
             ALTER TABLE swf_applog ALTER COLUMN levelname TYPE varchar(80); \
             ALTER TABLE swf_namespace ADD COLUMN colour text; \
             DROP INDEX swf_applog_level_45df2d72; \
             ALTER INDEX swf_tf_slic_run_num_783be1_idx RENAME TO another_name; \
             ALTER TABLE swf_stf_files DROP CONSTRAINT swf_stf_files_run_id_9a2165d5_fk_swf_runs_run_id; \
             ALTER TABLE pcs_dataset DROP CONSTRAINT pcs_dataset_blocks_check";
        db.script(harmless.into()).await.unwrap();
        let found = check(&db, &SCHEMA).await.unwrap();
        assert!(found.can_run() && !found.is_clean(), "{found}");
        has(&found, "swf_runs", Some("run_number"), Severity::Note, "type is bigint");
        has(&found, "swf_applog", Some("levelname"), Severity::Note, "character varying(80)");
        has(&found, "swf_namespace", Some("colour"), Severity::Note, "unknown");
        has(&found, "swf_applog", Some("swf_applog_level_45df2d72"), Severity::Degraded, "index is missing");
        has(&found, "swf_tf_slices", Some("swf_tf_slic_run_num_783be1_idx"), Severity::Note, "another_name");
        let key = "swf_stf_files_run_id_9a2165d5_fk_swf_runs_run_id";
        has(&found, "swf_stf_files", Some(key), Severity::Degraded, "FOREIGN KEY (run_id)");
        has(&found, "pcs_dataset", Some("pcs_dataset_blocks_check"), Severity::Note, "missing");

        let damage = "ALTER TABLE swf_tf_slices DROP COLUMN retries; \
             ALTER TABLE swf_workers ALTER COLUMN metadata TYPE text; \
             ALTER TABLE swf_systemagent ALTER COLUMN hostname TYPE varchar(50); \
             ALTER TABLE swf_subscribers DROP CONSTRAINT swf_subscribers_subscriber_name_key; \
             ALTER TABLE swf_run_state ALTER COLUMN substate SET NOT NULL; \
             ALTER TABLE swf_run_state ALTER COLUMN phase DROP NOT NULL; \
             ALTER TABLE swf_panda_queues ADD COLUMN must integer NOT NULL; \
             ALTER TABLE swf_system_state_events ALTER COLUMN event_id DROP IDENTITY; \
             DROP TABLE swf_ai_memory";
        db.script(damage.into()).await.unwrap();
        let found = check(&db, &SCHEMA).await.unwrap();
        assert!(!found.can_run(), "{found}");
        has(&found, "swf_tf_slices", Some("retries"), Severity::Fatal, "column is missing");
        has(&found, "swf_workers", Some("metadata"), Severity::Fatal, "type is text, should be jsonb");
        has(&found, "swf_systemagent", Some("hostname"), Severity::Degraded, "character varying(50)");
        let unique = "swf_subscribers_subscriber_name_key";
        has(&found, "swf_subscribers", Some(unique), Severity::Fatal, "UNIQUE (subscriber_name)");
        has(&found, "swf_run_state", Some("substate"), Severity::Fatal, "NOT NULL");
        has(&found, "swf_run_state", Some("phase"), Severity::Degraded, "may be NULL");
        has(&found, "swf_panda_queues", Some("must"), Severity::Fatal, "refused");
        has(&found, "swf_system_state_events", Some("event_id"), Severity::Fatal, "identity");
        has(&found, "swf_ai_memory", None, Severity::Fatal, "table is missing");
        let text = found.to_string();
        assert!(text.lines().count() <= 40, "more than a screen:\n{text}");
        assert!(text.ends_with("swf cannot run on this database"), "{text}");
    })
    .await;
}
