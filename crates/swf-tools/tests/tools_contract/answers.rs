//! What single tools promise beyond the rules for all.

use serde_json::{Value, json};
use swf_db::Sql;
use swf_db::testing::{TestDb, on_each_db, on_sqlite};
use swf_tools::tables::SCHEMA;
use swf_tools::{Caller, Error, Scope, Surface};

use crate::support::{World, now, rows};

#[tokio::test]
async fn a_namespace_without_a_record_has_null_for_owner_and_an_unknown_one_is_refused() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let torre = world.get("swf_get_namespace", json!({"namespace": "torre1"})).await;
        assert_eq!(torre["owner"], "torre");
        assert_eq!(torre["agent_count"], 6);
        assert_eq!(torre["execution_count"], 6, "started in the last 24 hours");
        assert_eq!(torre["active_users"], json!(["torre", "wenauseic"]), "each user once");
        assert_eq!(torre["time_range"]["start"], "2099-11-21T12:00:00+00:00");

        db.execute(&Sql::new("DELETE FROM swf_namespace WHERE name = 'torre1'")).await.unwrap();
        let torre = world.get("swf_get_namespace", json!({"namespace": "torre1"})).await;
        assert_eq!((&torre["owner"], &torre["description"]), (&Value::Null, &Value::Null));

        let refusal = world.refusal("swf_get_namespace", json!({"namespace": "epic-dak"})).await;
        assert!(
            refusal.contains("'epic-dak' not found") && refusal.contains("did you mean 'epic-daq'?"),
            "{refusal}"
        );
    })
    .await;
}

#[tokio::test]
async fn definitions_come_by_name_with_the_newest_version_first() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let list = world.get("swf_list_workflow_definitions", json!({})).await;
        let names: Vec<String> = rows(&list)
            .iter()
            .map(|r| format!("{} {}", r["workflow_name"].as_str().unwrap(), r["version"].as_str().unwrap()))
            .collect();
        assert_eq!(
            names,
            ["fast_processing 1.1", "fast_processing 1.0", "stf_datataking 1.1", "stf_datataking 1.0"]
        );
        assert_eq!(rows(&list)[0]["description"], "Fast processing of time frame slices by remote workers");
        let counts: Vec<&Value> = rows(&list).iter().map(|r| &r["execution_count"]).collect();
        assert_eq!(counts, [&json!(4), &json!(0), &json!(10), &json!(0)]);
    })
    .await;
}

#[tokio::test]
async fn a_run_counts_its_files_by_status_and_an_open_one_has_no_duration() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let open = world.get("swf_get_run", json!({"run_number": 100_010})).await;
        assert_eq!((&open["end_time"], &open["duration_seconds"]), (&Value::Null, &Value::Null));
        assert_eq!(
            open["file_stats"],
            json!({"registered": 2, "processing": 0, "processed": 4, "failed": 0, "done": 0})
        );
        let closed = world.get("swf_get_run", json!({"run_number": "100008"})).await;
        assert_eq!((&closed["duration_seconds"], &closed["total_stf_files"]), (&json!(1315.0), &json!(6)));
        let refusal = world.refusal("swf_get_run", json!({"run_number": 1})).await;
        assert_eq!(refusal, "Run '1' not found; swf_list_runs lists the run numbers");
    })
    .await;
}

#[tokio::test]
async fn a_file_is_found_by_id_or_name_and_both_must_fit() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let file = world.get("swf_get_stf_file", json!({"stf_filename": "swf.100010.000003.stf"})).await;
        assert_eq!((&file["run_number"], &file["tf_file_count"]), (&json!(100_010), &json!(2)));
        let by_id = world.get("swf_get_stf_file", json!({"file_id": file["file_id"]})).await;
        assert_eq!(file, by_id);
        let both = json!({"file_id": file["file_id"], "stf_filename": "swf.100010.000004.stf"});
        assert!(world.refusal("swf_get_stf_file", both).await.contains("not found"));
        assert!(
            world
                .refusal("swf_get_stf_file", json!({}))
                .await
                .contains("Provide either file_id or stf_filename")
        );
        assert!(
            world
                .refusal("swf_get_stf_file", json!({"file_id": "swf.1.stf"}))
                .await
                .contains("is not a UUID")
        );
    })
    .await;
}

#[tokio::test]
async fn a_run_or_file_lifts_the_default_window_and_percent_signs_are_plain_text() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let old = world.get("swf_list_stf_files", json!({"run_number": 99_997})).await;
        assert_eq!(old["total_count"], 6, "taken a week ago");
        assert_eq!(old["as_of"]["start_time"], Value::Null);
        let recent = world.get("swf_list_stf_files", json!({})).await;
        assert_eq!(recent["as_of"]["start_time"], "2099-11-21T12:00:00+00:00");
        let any = world.get("swf_list_logs", json!({"search": "%"})).await;
        assert_eq!(any["total_count"], 0);
        let found = world.get("swf_list_logs", json!({"search": "BROKER connection"})).await;
        assert!(found["total_count"].as_i64().unwrap() > 0);
        let slices =
            world.get("swf_list_tf_slices", json!({"run_number": 100_010, "status": "QUEUED"})).await;
        assert_eq!(slices["total_count"], 6);
        assert!(
            slices["monitor_urls"][0]["url"]
                .as_str()
                .unwrap()
                .ends_with("/tf-slices/?run_number=100010&status=QUEUED")
        );
    })
    .await;
}

#[tokio::test]
async fn monitors_count_the_files_of_the_runs_that_messages_name() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let list = world.get("swf_list_workflow_monitors", json!({})).await;
        for row in rows(&list) {
            let one =
                world.get("swf_get_workflow_monitor", json!({"execution_id": row["execution_id"]})).await;
            assert_eq!(row["stf_count"], one["stf_count"], "{row}");
            assert_eq!(row["stf_count"], 6);
        }
    })
    .await;
}

#[tokio::test]
async fn tags_are_listed_found_and_read_with_their_category() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let dis =
            world.get("pcs_list_tags", json!({"tag_type": "p", "category": "dis", "status": "LOCKED"})).await;
        let labels = |answer: &Value| -> Vec<String> {
            rows(answer).iter().map(|r| r["tag_label"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            (labels(&dis), &dis["label"]),
            (vec!["p1004".into(), "p1003".into(), "p1001".into()], &json!("Physics"))
        );
        assert_eq!(rows(&dis)[0]["category"], "DIS");

        let events = world
            .get("pcs_list_tags", json!({"tag_type": "e", "creator": "srahman1", "search": "NO back"}))
            .await;
        assert_eq!((&events["count"], rows(&events)[0].get("category")), (&json!(5), None));
        let refusal = world.refusal("pcs_list_tags", json!({"tag_type": "e", "category": "DIS"})).await;
        assert!(refusal.contains("only physics tags"), "{refusal}");

        // A value of a parameter, two values across their blank, and a name of a parameter, which does not count.
        for (query, found) in
            [("UPSILON", 1), ("npsim", 1), ("pythia8 8.3", 2), ("beam_species", 0), ("", 17)]
        {
            let answer = world.get("pcs_search_tags", json!({"query": query})).await;
            assert_eq!(answer["count"], found, "{query:?}");
        }
        let all = world.get("pcs_search_tags", json!({"query": ""})).await;
        assert_eq!(
            labels(&all)[9..12],
            ["p1001", "e5", "e4"],
            "types in order, each by number, highest first"
        );

        let tag = world.get("pcs_get_tag", json!({"tag_label": " P4009 "})).await;
        assert_eq!(
            (&tag["category"], &tag["category_digit"], &tag["tag_number"]),
            (&json!("EXCLUSIVE"), &json!(4), &json!(4009))
        );
        assert_eq!(
            world.refusal("pcs_get_tag", json!({"tag_label": "p9999"})).await.split(';').next(),
            Some("Tag 'p9999' not found")
        );
    })
    .await;
}

#[tokio::test]
async fn memory_is_the_caller_s_own_newest_turns_oldest_first() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let torre = world.as_caller(Caller::user("torre", Scope::Control));
        let record = |who: &str, text: &str| {
            json!({"username": who, "session_id": "s", "role": "user", "content": text, "namespace": ""})
        };
        let said = torre.call("swf_record_ai_memory", record("torre", "hello — «x»")).await.unwrap();
        assert_eq!((&said["success"], &said["content_length"]), (&json!(true), &json!(11)));
        let memory = torre.call("swf_get_ai_memory", json!({"username": "torre", "turns": 1})).await.unwrap();
        assert_eq!((&memory["count"], &memory["items"][1]["content"]), (&json!(2), &json!("hello — «x»")));
        assert!(memory["items"][0]["created_at"].as_str() < memory["items"][1]["created_at"].as_str());

        let spying = torre.call("swf_get_ai_memory", json!({"username": "wenauseic"})).await;
        assert!(matches!(spying, Err(Error::Forbidden(Scope::Admin))), "{spying:?}");
        let forging = torre.call("swf_record_ai_memory", record("wenauseic", "x")).await;
        assert!(matches!(forging, Err(Error::Forbidden(Scope::Admin))), "{forging:?}");
        // Where the installation lets callers without account write, they name the user, as the original's do.
        let nobody = world.as_caller(Caller::anonymous(Some(Scope::Write)));
        nobody.call("swf_record_ai_memory", record("pandabot", "x")).await.unwrap();
        assert!(nobody.call("swf_record_ai_memory", record("pandabot", " ")).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn what_changes_something_leaves_an_audit_row_and_what_only_looks_leaves_none() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        world.get("swf_list_runs", json!({})).await;
        world.refusal("swf_end_execution", json!({"execution_id": "no-such"})).await;
        let rows: Vec<(String, String, String, String)> =
            db.fetch_all(&Sql::new("SELECT tool, caller, surface, outcome FROM swfx_audit")).await.unwrap();
        let row = (
            "swf_end_execution".into(),
            "torre".into(),
            Surface::Internal.as_str().into(),
            "not_found".into(),
        );
        assert_eq!(rows, [row]);
        assert_eq!(
            db.fetch_all::<chrono::DateTime<chrono::Utc>>(&Sql::new("SELECT at FROM swfx_audit"))
                .await
                .unwrap(),
            [now()]
        );
    })
    .await;
}
