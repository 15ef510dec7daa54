//! What agents do all day: heartbeats, numbers, slices, logs.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{TestApp, on_each};
use swf_db::Sql;

#[tokio::test]
async fn a_heartbeat_changes_only_what_it_says() {
    on_each(async |app| {
        let beat = async |body: Value| app.post("/api/systemagents/heartbeat/", body).await;
        let first = beat(json!({"instance_name": "DATA-agent-x-1", "agent_type": "DATA", "status": "OK", "namespace": "n1",
            "agent_url": "anything", "pid": "123", "metadata": {"a": 1, "deep": {"x": 1}}, "current_stf_count": 3,
            "mq_connected": true}))
        .await;
        assert_eq!(first.status, 201);
        let agent = first.body;
        assert_eq!((&agent["agent_type"], &agent["pid"], &agent["current_stf_count"]), (&json!("DATA"), &json!(123), &json!(3)));
        assert_eq!((&agent["operational_state"], &agent["workflow_enabled"]), (&json!("STARTING"), &json!(true)));
        let second = beat(json!({"instance_name": "DATA-agent-x-1", "operational_state": "READY", "metadata": {"b": 2}})).await;
        assert_eq!(second.status, 200);
        for kept in ["id", "agent_type", "namespace", "pid", "current_stf_count", "status", "created_at", "agent_url"] {
            assert_eq!(second.body[kept], agent[kept], "{kept}");
        }
        assert_eq!(second.body["metadata"], json!({"a": 1, "deep": {"x": 1}, "b": 2}));
        assert_eq!(second.body["operational_state"], "READY");
        let plain = beat(json!({"instance_name": "b"})).await.body;
        assert_eq!((&plain["agent_type"], &plain["description"], &plain["status"]), (&json!("other"), &json!(""), &json!("OK")));
        for (body, field, text) in [
            (json!({}), "instance_name", "This field is required."),
            (json!({"instance_name": ""}), "instance_name", "This field is required."),
            (json!({"instance_name": "b", "agent_type": "x".repeat(21)}), "agent_type", "Ensure this field has no more than 20 characters."),
            (json!({"instance_name": "b", "pid": "x"}), "pid", "A valid integer is required."),
            (json!({"instance_name": "b", "pid": -1}), "pid", "Ensure this value is greater than or equal to 1."),
        ] {
            let refused = beat(body).await;
            assert_eq!((refused.status, refused.body), (400, json!({field: [text]})));
        }
    })
    .await;
}

#[tokio::test]
async fn fifty_callers_at_once_never_get_the_same_number() {
    on_each(async |app| {
        for (path, name, first) in [
            ("next-run-number", "run_number", 100_010),
            ("next-agent-id", "agent_id", 1),
            ("next-workflow-execution-id", "sequence", 1),
        ] {
            let path = format!("/api/state/{path}/");
            let calls = (0..50).map(|_| app.post(&path, Value::Null));
            let numbers: HashSet<i64> = futures_util::future::join_all(calls)
                .await
                .into_iter()
                .map(|a| {
                    assert_eq!((a.status, &a.body["status"]), (200, &json!("success")));
                    a.body[name].as_i64().unwrap()
                })
                .collect();
            assert_eq!(numbers, (first..first + 50).collect());
        }
    })
    .await;
}

#[tokio::test]
async fn a_namespace_belongs_to_whoever_named_it_first() {
    on_each(async |app| {
        let ensure = async |body: Value| app.post("/api/namespaces/ensure/", body).await;
        let made = ensure(json!({"name": "torre1", "owner": "alice", "description": "d"})).await;
        assert_eq!(made.body, json!({"name": "torre1", "owner": "alice", "description": "d", "created": true, "status": "success"}));
        let again = ensure(json!({"name": "torre1", "owner": "bob"})).await;
        assert_eq!(again.body, json!({"name": "torre1", "owner": "alice", "description": "d", "created": false, "status": "success"}));
        assert_eq!(ensure(json!({"owner": "x"})).await.body, json!({"error": "name is required", "status": "error"}));
        assert_eq!(ensure(json!({"name": "x"})).await.body, json!({"error": "owner is required", "status": "error"}));
        for name in ["a/b", &"x".repeat(101), "a b"] {
            assert_eq!(ensure(json!({"name": name, "owner": "x"})).await.status, 400);
        }
    })
    .await;
}

fn slices(run: i64, file: &str, n: i64) -> Vec<Value> {
    (0..n)
        .map(|i| json!({"slice_id": i, "tf_first": i * 10, "tf_last": i * 10 + 9, "tf_count": 10,
            "tf_filename": format!("{file}_{i}"), "stf_filename": "s", "run_number": run, "metadata": {"i": i}}))
        .collect()
}

fn results(run: i64, file: &str, n: i64, status: &str) -> Vec<Value> {
    (0..n)
        .map(|i| json!({"slice_id": i, "tf_filename": format!("{file}_{i}"), "run_number": run, "status": status,
            "assigned_worker": format!("w{}", i % 3), "metadata": {status: true}, "timestamp": "2026-11-22T10:00:00Z"}))
        .collect()
}

async fn counts(app: &TestApp, run: i64) -> [i64; 6] {
    let state = app.get(&format!("/api/run-states/{run}/")).await.body;
    [
        "stf_samples_received",
        "slices_created",
        "slices_queued",
        "slices_processing",
        "slices_completed",
        "slices_failed",
    ]
    .map(|name| state[name].as_i64().unwrap())
}

#[tokio::test]
async fn slices_are_made_once_and_counted_once() {
    on_each(async |app| {
        app.make_run(1).await;
        let batch = json!({"slices": slices(1, "t", 1200), "tf_file": "t.tf"});
        let first = app.post("/api/tf-slices/batch/", batch.clone()).await;
        assert_eq!((first.status, first.body), (200, json!({"created": 1200, "existing": 0})));
        let again = app.post("/api/tf-slices/batch/", batch).await.body;
        assert_eq!(again, json!({"created": 0, "existing": 1200}));
        assert_eq!(counts(&app, 1).await, [1, 1200, 1200, 0, 0, 0]);
        let one = app.get("/api/tf-slices/?run_number=1&slice_id=7").await.body;
        assert_eq!(one[0]["metadata"], json!({"i": 7, "tf_file": "t.tf"}));
        let mut wrong = slices(1, "u", 3);
        wrong[1]["slice_id"] = json!("x");
        let refused = app.post("/api/tf-slices/batch/", Value::from(wrong)).await;
        assert_eq!(refused.status, 400);
        assert_eq!(
            refused.body["rejected"],
            json!([{"index": 1, "error": {"slice_id": ["A valid integer is required."]}}])
        );
        assert_eq!(counts(&app, 1).await[1], 1200);
    })
    .await;
}

#[tokio::test]
async fn samples_are_the_super_time_frame_files_that_were_cut_not_the_batches() {
    on_each(async |app| {
        app.make_run(3).await;
        let batch = |stf: &str, tf: &str| {
            let mut slices = slices(3, tf, 5);
            slices.iter_mut().for_each(|s| s["stf_filename"] = json!(stf));
            app.post("/api/tf-slices/batch/", Value::from(slices))
        };
        for (stf, tf, samples) in [("s1", "a", 1), ("s1", "b", 1), ("s2", "c", 2), ("s1", "a", 2)] {
            assert_eq!(batch(stf, tf).await.status, 200);
            assert_eq!(counts(&app, 3).await[0], samples, "after {tf} of {stf}");
        }
        // Several at once, two of them of one file.
        let at_once = ["d", "e", "f", "g"].map(|tf| batch(if tf < "f" { "s3" } else { "s4" }, tf));
        futures_util::future::join_all(at_once).await;
        assert_eq!(counts(&app, 3).await[..2], [4, 35]);
    })
    .await;
}

#[tokio::test]
async fn results_move_slices_forward_only_and_the_counts_with_them() {
    on_each(async |app| {
        app.make_run(1).await;
        app.post("/api/tf-slices/batch/", Value::from(slices(1, "t", 10))).await;
        let send = async |list: Vec<Value>| app.post("/api/tf-slices/results/", Value::from(list)).await.body;
        assert_eq!(
            send(results(1, "t", 4, "processing")).await,
            json!({"updated": 4, "unchanged": 0, "unknown": []})
        );
        assert_eq!(counts(&app, 1).await, [1, 10, 6, 4, 0, 0]);
        assert_eq!(send(results(1, "t", 6, "completed")).await["updated"], 6);
        assert_eq!(
            send(results(1, "t", 6, "failed")).await,
            json!({"updated": 0, "unchanged": 6, "unknown": []})
        );
        assert_eq!(send(results(1, "t", 6, "processing")).await["unchanged"], 6);
        let mut both = results(1, "t", 8, "processing").split_off(6);
        both.extend(results(1, "t", 8, "failed").split_off(6));
        assert_eq!(send(both).await["updated"], 4);
        assert_eq!(counts(&app, 1).await, [1, 10, 2, 0, 6, 2]);
        let slice = app.get("/api/tf-slices/?tf_filename=t_1").await.body[0].clone();
        assert_eq!(slice["status"], "completed");
        assert_eq!(slice["assigned_worker"], "w1");
        assert_eq!(slice["completed_at"], "2026-11-22T05:00:00-05:00");
        assert_eq!(slice["metadata"], json!({"i": 1, "processing": true, "completed": true}));
        let unknown = send(results(2, "t", 1, "completed")).await;
        assert_eq!(unknown["unknown"], json!([{"run_number": 2, "tf_filename": "t_0", "slice_id": 0}]));
        let refused = app
            .post(
                "/api/tf-slices/results/",
                json!([{"run_number": 1, "tf_filename": "t", "slice_id": 1, "status": "queued"}]),
            )
            .await;
        assert_eq!(refused.status, 400);
    })
    .await;
}

#[tokio::test]
async fn a_result_reaches_the_slice_it_names_though_the_client_took_the_first_of_that_number() {
    on_each(async |app| {
        app.make_run(1).await;
        for file in ["a", "b"] {
            let slice = json!({
                "slice_id": 0, "tf_first": 1, "tf_last": 2, "tf_count": 2, "tf_filename": file,
                "stf_filename": "s", "run_number": 1,
            });
            assert_eq!(app.post("/api/tf-slices/", slice).await.status, 201);
        }
        let first = app.get("/api/tf-slices/?run_number=1&slice_id=0").await.body[0].clone();
        assert_eq!(first["tf_filename"], "a");
        let result = json!({"result": {"slice_id": 0, "tf_filename": "b", "processed": true}});
        let change = json!({"status": "completed", "metadata": {"result": result}});
        let answer = app.call("PATCH", &format!("/api/tf-slices/{}/", first["id"]), change).await;
        assert_eq!((answer.status, &answer.body["tf_filename"]), (200, &json!("b")));
        let status = async |file| {
            app.get(&format!("/api/tf-slices/?tf_filename={file}")).await.body[0]["status"].clone()
        };
        assert_eq!((status("a").await, status("b").await), (json!("queued"), json!("completed")));
    })
    .await;
}

#[tokio::test]
async fn agents_that_report_the_same_results_at_once_are_counted_once() {
    on_each(async |app| {
        app.make_run(1).await;
        app.make_run(2).await;
        let batches = (0..8).map(|i| {
            app.post("/api/tf-slices/batch/", Value::from(slices(1 + i % 2, &format!("t{}", i % 2), 300)))
        });
        let made: i64 = futures_util::future::join_all(batches)
            .await
            .iter()
            .map(|a| a.body["created"].as_i64().unwrap())
            .sum();
        assert_eq!(made, 600);
        let reports = (0..8).map(|i| {
            let mut list = results(
                1 + i % 2,
                &format!("t{}", i % 2),
                300,
                if i < 4 { "processing" } else { "completed" },
            );
            if i % 3 == 0 {
                list.reverse();
            }
            app.post("/api/tf-slices/results/", Value::from(list))
        });
        for answer in futures_util::future::join_all(reports).await {
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        assert_eq!(counts(&app, 1).await, [1, 300, 0, 0, 300, 0]);
        assert_eq!(counts(&app, 2).await, [1, 300, 0, 0, 300, 0]);
    })
    .await;
}

#[tokio::test]
async fn time_frame_files_keep_their_frame_numbers_on_old_databases_too() {
    on_each(async |app| {
        let run = app.make_run(1).await;
        app.make("/api/stf-files/", json!({"stf_filename": "s", "run": run["run_id"]})).await;
        let file = |name: &str| json!({"stf_file": "s", "tf_filename": name, "tf_first": 1, "tf_last": 5, "tf_count": "5", "metadata": {"a": 1}});
        let row = app.make("/api/fastmon-files/", file("t1")).await;
        assert_eq!((&row["tf_first"], &row["tf_count"]), (&json!(1), &json!(5)));
        for column in ["tf_first", "tf_last", "tf_count"] {
            app.db.script(format!("ALTER TABLE swf_fastmon_files DROP COLUMN {column}")).await.unwrap();
        }
        let old = TestApp::start(&swf_db::testing::TestDb { db: app.db.clone(), url: String::new() }).await;
        let row = old.make("/api/fastmon-files/", file("t2")).await;
        assert_eq!((&row["tf_first"], &row["tf_last"], &row["tf_count"]), (&json!(1), &json!(5), &json!(5)));
        let place = format!("/api/fastmon-files/{}/", row["tf_file_id"].as_str().unwrap());
        let row = old.call("PATCH", &place, json!({"tf_last": 9})).await.body;
        assert_eq!((&row["tf_first"], &row["tf_last"], &row["metadata"]["a"]), (&json!(1), &json!(9), &json!(1)));
    })
    .await;
}

#[tokio::test]
async fn time_frame_files_come_in_batches_that_can_be_repeated() {
    on_each(async |app| {
        let run = app.make_run(1).await;
        app.make("/api/stf-files/", json!({"stf_filename": "s", "run": run["run_id"]})).await;
        let file = |n: usize| json!({"stf_file": "s", "tf_filename": format!("t{n}"), "tf_first": n, "file_size_bytes": 10});
        app.make("/api/fastmon-files/", file(1)).await;
        let batch = json!([file(2), file(0), file(1)]);
        let answer = app.post("/api/fastmon-files/batch/", batch.clone()).await.body;
        assert_eq!((&answer["created"], &answer["existing"]), (&json!(2), &json!(1)));
        let names: Vec<&Value> = answer["items"].as_array().unwrap().iter().map(|i| &i["tf_filename"]).collect();
        assert_eq!(names, [&json!("t2"), &json!("t0"), &json!("t1")]);
        assert_eq!(app.post("/api/fastmon-files/batch/", batch).await.body["created"], 0);
        let wrong = app.post("/api/fastmon-files/batch/", json!([{"stf_file": "zz", "tf_filename": "x"}])).await;
        assert_eq!((wrong.status, &wrong.body["rejected"][0]["error"]["stf_file"][0]), (400, &json!("Object with stf_filename=zz does not exist.")));
    })
    .await;
}

#[tokio::test]
async fn newer_clients_may_name_the_time_frame_file_of_a_slice() {
    on_each(async |app| {
        let run = app.make_run(1).await;
        app.make("/api/stf-files/", json!({"stf_filename": "s", "run": run["run_id"]})).await;
        app.make("/api/fastmon-files/", json!({"stf_file": "s", "tf_filename": "t"})).await;
        let slice = |file: &str| json!({"slice_id": 1, "tf_first": 1, "tf_last": 2, "tf_count": 2, "run_number": 1, "fastmon_file": file});
        let row = app.make("/api/tf-slices/", slice("t")).await;
        assert_eq!((&row["tf_filename"], &row["stf_filename"]), (&json!("t"), &json!("s")));
        let refused = app.post("/api/tf-slices/", slice("zz")).await.body;
        assert_eq!(refused, json!({"fastmon_file": ["Object with tf_filename=zz does not exist."]}));
        let found = app.get("/api/tf-slices/?fastmon_file__tf_filename=t").await.body;
        assert_eq!(found.as_array().unwrap().len(), 1);
    })
    .await;
}

fn record(instance: &str, level: i64, name: &str, message: &str) -> Value {
    json!({"app_name": "swf", "instance_name": instance, "timestamp": "2026-11-22T10:00:00Z", "level": level,
        "levelname": name, "message": message, "module": "m", "funcname": "f", "lineno": 1, "process": 1, "thread": 140737353983808u64})
}

#[tokio::test]
async fn log_batches_keep_the_good_records_and_name_the_bad_ones() {
    on_each(async |app| {
        let batch = json!([
            record("a", 40, "ERROR", "one"),
            record("a", 35, "ODD", "two"),
            record("b", 20, "INFO", "three"),
            7
        ]);
        let answer = app.post("/api/logs/batch/", batch).await.body;
        assert_eq!(answer["created"], 2);
        assert_eq!(
            answer["rejected"][0],
            json!({"index": 1, "error": {"level": ["\"35\" is not a valid choice."]}})
        );
        assert_eq!(answer["rejected"][1]["index"], 3);
        for n in 0..7 {
            app.make("/api/logs/", record("a", 50, "CRITICAL", &format!("c{n}"))).await;
        }
        let summary = app.get("/api/logs/summary/").await.body;
        assert_eq!(summary["swf"]["a"]["error_counts"], json!({"CRITICAL": 7, "ERROR": 1}));
        assert_eq!(summary["swf"]["a"]["recent_errors"].as_array().unwrap().len(), 5);
        assert_eq!(summary["swf"]["a"]["recent_errors"][0]["message"], "c6");
        assert_eq!(summary["swf"]["a"]["recent_errors"][0]["timestamp"], "2026-11-22T10:00:00Z");
        assert_eq!(summary["swf"]["b"]["recent_errors"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn events_come_in_batches_all_or_none() {
    on_each(async |app| {
        let event = |kind: &str| json!({"timestamp": "2026-11-22T10:00:00Z", "run_number": 1, "event_type": kind, "state": "run", "event_data": {}});
        assert_eq!(app.post("/api/system-state-events/batch/", json!([event("a"), event("b")])).await.body, json!({"created": 2}));
        assert_eq!(app.post("/api/system-state-events/batch/", json!([event("c"), {}])).await.status, 400);
        assert_eq!(app.get("/api/system-state-events/?run_number=1").await.body.as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn provenance_ids_can_be_verified() {
    on_each(async |app| {
        let sql = Sql::new(
            "INSERT INTO swf_data_provenance (dpid, tool_name, tool_args, created_at) VALUES (?, ?, ?, ?)",
        )
        .with("", ["abc".into(), "t".into(), json!({"x": 1}).into(), swf_tools::Clock::System.now().into()]);
        app.db.execute(&sql).await.unwrap();
        let found = app.get("/api/dpid/verify/?dpid=abc").await.body;
        assert_eq!((&found["verified"], &found["tool_args"]), (&json!(true), &json!({"x": 1})));
        let missing = app.get("/api/dpid/verify/?dpid=zzz").await;
        assert_eq!((missing.status, missing.body), (404, json!({"dpid": "zzz", "verified": false})));
        assert_eq!(app.get("/api/dpid/verify/").await.body["count"], 1);

        let call = json!({"dpid": "0A1B2C3D", "tool_name": "panda_list_jobs", "tool_args": {"days": 7}});
        for _ in 0..2 {
            assert_eq!(
                app.post("/api/dpid/", call.clone()).await.status,
                201,
                "the same call may come again"
            );
        }
        let found = app.get("/api/dpid/verify/?dpid=0A1B2C3D").await.body;
        assert_eq!((&found["tool_name"], &found["tool_args"]), (&call["tool_name"], &call["tool_args"]));
        let other = json!({"dpid": "0A1B2C3D", "tool_name": "another", "tool_args": {}});
        assert_eq!(app.post("/api/dpid/", other).await.status, 409);
        assert_eq!(app.post("/api/dpid/", json!({"dpid": "no id", "tool_name": "t"})).await.status, 400);
        let nobody =
            reqwest::Client::new().post(format!("{}/api/dpid/", app.url)).json(&call).send().await.unwrap();
        assert_eq!(nobody.status(), 403);
    })
    .await;
}
