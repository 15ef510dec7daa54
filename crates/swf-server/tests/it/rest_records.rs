//! Every resource, driven by its description.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use swf_db::schema::Kind;
use swf_tools::records::{Field, Method, RECORDS, Resource, Source};

use crate::harness::{TestApp, on_each};

/// A value that fits a field.
fn sample(app: &HashMap<&str, Value>, resource: &Resource, field: &Field, n: usize) -> Value {
    let facts = resource.facts(field);
    if let Some(choice) = facts.choices.get(n % facts.choices.len().max(1)) {
        return choice.parse::<i64>().map_or(json!(choice), Value::from);
    }
    match (field.source, facts.kind) {
        (Source::Key { table, .. } | Source::Slug { table, .. }, _) => app[table].clone(),
        (_, Kind::SmallInt | Kind::Integer | Kind::BigInt) => json!(100 + n),
        (_, Kind::Double) => json!(n as f64 + 0.5),
        (_, Kind::Numeric(..)) => json!(format!("{n}.25")),
        (_, Kind::Boolean) => json!(n.is_multiple_of(2)),
        (_, Kind::Time) => json!(format!("2026-11-22T10:00:{:02}.123456-05:00", n % 60)),
        (_, Kind::Uuid) => json!(uuid::Uuid::new_v4().to_string()),
        (_, Kind::Inet) => json!(format!("10.0.0.{}", n % 250)),
        (_, Kind::Json) => json!({"a": n, "b": {"c": [null, "é", 1.5]}}),
        (_, Kind::Varchar(_) | Kind::Text) if field.url => json!(format!("https://example.org/{n}")),
        (_, Kind::Varchar(_) | Kind::Text) => json!(format!("text.{n}")),
    }
}

fn filled(refs: &HashMap<&str, Value>, resource: &Resource, n: usize) -> Map<String, Value> {
    let writable = resource.fields.iter().filter(|f| !f.read_only);
    writable.map(|f| (f.name.to_owned(), sample(refs, resource, f, n))).collect()
}

/// Rows that others refer to, by table.
async fn parents(app: &TestApp) -> HashMap<&'static str, Value> {
    let run = app.make_run(1).await;
    let stf = app.make("/api/stf-files/", json!({"stf_filename": "parent.stf", "run": run["run_id"]})).await;
    let definition = app
        .make(
            "/api/workflow-definitions/",
            json!({"workflow_name": "w", "version": "1", "workflow_type": "simulation",
            "definition": "pass", "created_by": "alice"}),
        )
        .await;
    let time = "2026-11-22T10:00:00Z";
    let workflow = app
        .make(
            "/api/workflows/",
            json!({"filename": "f", "daq_state": "run", "daq_substate": "physics",
            "generated_time": time, "stf_start_time": time, "stf_end_time": time}),
        )
        .await;
    let stage = app
        .make(
            "/api/workflow-stages/",
            json!({"agent_name": "a", "agent_type": "data", "workflow": workflow["workflow_id"]}),
        )
        .await;
    HashMap::from([
        ("swf_runs", run["run_id"].clone()),
        ("swf_stf_files", stf["stf_filename"].clone()),
        ("swf_workflow_definitions", definition["id"].clone()),
        ("swf_stf_workflows", workflow["workflow_id"].clone()),
        ("swf_agent_workflow_stages", stage["stage_id"].clone()),
    ])
}

fn key_of(resource: &Resource, row: &Value) -> String {
    match &row[resource.lookup] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn every_resource_gives_back_what_was_written() {
    on_each(async |app| {
        let refs = parents(&app).await;
        for resource in RECORDS {
            let path = format!("/api/{}/", resource.path);
            let body = filled(&refs, resource, 3);
            let row = app.make(&path, Value::Object(body.clone())).await;
            let order: Vec<&String> = row.as_object().unwrap().keys().collect();
            let expected: Vec<&str> = resource.fields.iter().map(|f| f.name).collect();
            assert_eq!(order, expected, "{}", resource.path);
            for (name, sent) in &body {
                assert_eq!(&row[name], sent, "{}.{name}", resource.path);
            }
            let place = format!("{path}{}/", key_of(resource, &row));
            assert_eq!(app.get(&place).await.body, row);
            let list = app.get(&path).await.body;
            assert!(list.as_array().unwrap().contains(&row), "{}", resource.path);
            if resource.allows(Method::Patch) {
                change(&app, resource, &refs, &place, &row).await;
            }
            if resource.allows(Method::Delete) {
                assert_eq!(app.call("DELETE", &place, Value::Null).await.status, 204);
                assert_eq!(app.get(&place).await.status, 404);
            }
        }
    })
    .await;
}

async fn change(app: &TestApp, resource: &Resource, refs: &HashMap<&str, Value>, place: &str, row: &Value) {
    for field in resource.fields.iter().filter(|f| !f.read_only && f.column != resource.key()) {
        let value = sample(refs, resource, field, 4);
        let patched = app.call("PATCH", place, json!({field.name: value})).await;
        assert_eq!(patched.status, 200, "{}.{}: {}", resource.path, field.name, patched.body);
        assert_eq!(patched.body[field.name], value);
    }
    let mut all = filled(refs, resource, 5);
    if let Some(field) = resource.field_of(resource.key()).filter(|f| !f.read_only) {
        all[field.name] = row[field.name].clone();
    }
    let put = app.call("PUT", place, Value::Object(all.clone())).await;
    assert_eq!(put.status, 200, "{}: {}", resource.path, put.body);
    for (name, sent) in &all {
        assert_eq!(&put.body[name], sent, "{}.{name}", resource.path);
    }
    let put = app.call("PUT", place, json!({})).await;
    assert_eq!(put.status, 400, "{}", resource.path);
    for field in resource.fields.iter().filter(|f| !f.read_only && resource.facts(f).required()) {
        assert_eq!(put.body[field.name], json!(["This field is required."]), "{}", resource.path);
    }
    if let Some(field) = resource.field_of(resource.key()).filter(|f| !f.read_only) {
        let refused = app.call("PATCH", place, json!({field.name: sample(refs, resource, field, 9)})).await;
        assert_eq!(refused.status, 400, "{}: {}", resource.path, refused.body);
        assert!(refused.body[field.name][0].as_str().unwrap().contains("cannot be changed"));
    }
}

#[tokio::test]
async fn every_scalar_field_is_a_filter() {
    on_each(async |app| {
        let refs = parents(&app).await;
        for resource in RECORDS {
            let path = format!("/api/{}/", resource.path);
            let row = app.make(&path, Value::Object(filled(&refs, resource, 7))).await;
            for name in swf_tools::records::query::names(resource) {
                let Some(value) = row.get(name).filter(|v| !v.is_null()) else { continue };
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let request = app.request("GET", &path).query(&[(name, &text)]);
                let found = app.send(request).await;
                assert_eq!(found.status, 200, "{path}?{name}={text}: {}", found.body);
                let rows = found.body.as_array().unwrap();
                assert!(rows.contains(&row), "{path}?{name}={text}");
                assert!(rows.iter().all(|r| &r[name] == value), "{path}?{name}={text}");
            }
        }
        let none = app.get("/api/runs/?run_number=424242").await.body;
        assert_eq!(none, json!([]));
        let refused = app.get("/api/stf-files/?run_number=x").await;
        assert_eq!(
            (refused.status, refused.body),
            (400, json!({"run_number": ["must be an integer run number"]}))
        );
        let found = app.get("/api/stf-files/?run_number=1").await.body;
        assert_eq!(found[0]["stf_filename"], "parent.stf");
    })
    .await;
}

#[tokio::test]
async fn wrong_values_are_refused_in_the_known_words() {
    on_each(async |app| {
        let refused = async |path: &str, body: Value| {
            let answer = app.post(path, body.clone()).await;
            assert_eq!(answer.status, 400, "{path} {body}: {}", answer.body);
            answer.body
        };
        let agent = |field: &str, value: Value| {
            let mut body = json!({"instance_name": "a", "agent_type": "data"});
            body[field] = value;
            body
        };
        let max = "Ensure this value is less than or equal to 2147483647.";
        let min = "Ensure this value is greater than or equal to -2147483648.";
        let time = "Datetime has wrong format. Use one of these formats instead: \
                    YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].";
        for (field, value, text) in [
            ("instance_name", json!(null), "This field may not be null."),
            ("instance_name", json!(" "), "This field may not be blank."),
            ("instance_name", json!({}), "Not a valid string."),
            ("instance_name", json!("x".repeat(101)), "Ensure this field has no more than 100 characters."),
            ("agent_type", json!("X"), "\"X\" is not a valid choice."),
            ("current_stf_count", json!("many"), "A valid integer is required."),
            ("current_stf_count", json!(2147483648u64), max),
            ("current_stf_count", json!(-2147483649i64), min),
            ("workflow_enabled", json!("perhaps"), "Must be a valid boolean."),
            ("agent_url", json!("nonsense"), "Enter a valid URL."),
            ("last_heartbeat", json!("yesterday"), time),
        ] {
            let body = refused("/api/systemagents/", agent(field, value.clone())).await;
            assert_eq!(body, json!({field: [text]}), "{field} {value}");
        }
        let body = refused("/api/subscribers/", json!({"fraction": "x", "client_ip": "300.1.1.1"})).await;
        assert_eq!(
            body,
            json!({"subscriber_name": ["This field is required."], "fraction": ["A valid number is required."],
                "client_ip": ["Enter a valid IPv4 or IPv6 address."]})
        );
        let run = app.make_run(5).await;
        let body = refused("/api/stf-files/", json!({"stf_filename": "s", "run": 999, "workflow_id": "x"})).await;
        assert_eq!(
            body,
            json!({"workflow_id": ["Must be a valid UUID."], "run": ["Invalid pk \"999\" - object does not exist."]})
        );
        let body = refused("/api/stf-files/", json!({"stf_filename": "s", "run": "x"})).await;
        assert_eq!(body, json!({"run": ["Incorrect type. Expected pk value, received str."]}));
        let body = refused("/api/fastmon-files/", json!({"stf_file": "NAME", "tf_filename": "t"})).await;
        assert_eq!(body, json!({"stf_file": ["Object with stf_filename=NAME does not exist."]}));
        // Numbers as texts and texts as numbers are taken.
        let row = app.make("/api/stf-files/", json!({"stf_filename": 77, "run": run["run_id"].to_string()})).await;
        assert_eq!((&row["stf_filename"], &row["run"]), (&json!("77"), &run["run_id"]));
    })
    .await;
}

#[tokio::test]
async fn a_second_row_with_the_same_key_is_refused_in_the_known_words() {
    on_each(async |app| {
        let run = app.make_run(5).await;
        let time = "2026-11-22T10:00:00Z";
        let definition = json!({"workflow_name": "w", "version": "1", "workflow_type": "t", "definition": "d", "created_by": "c"});
        let id = app.make("/api/workflow-definitions/", definition.clone()).await["id"].clone();
        let slice = json!({"slice_id": 1, "tf_first": 1, "tf_last": 2, "tf_count": 2, "tf_filename": "t", "stf_filename": "s", "run_number": 5});
        let execution = json!({"execution_id": "e-1", "parameter_values": {}, "start_time": time, "executed_by": "x", "workflow_definition": id});
        let worker = json!({"worker_id": "w1", "run_number": 5, "panda_job": "j", "location": "l", "status": "s", "started_at": time});
        let stf = json!({"stf_filename": "s", "run": run["run_id"]});
        let cases = [
            ("systemagents", json!({"instance_name": "a", "agent_type": "data"}), "instance_name", "system agent with this instance name already exists."),
            ("subscribers", json!({"subscriber_name": "s"}), "subscriber_name", "subscriber with this subscriber name already exists."),
            ("stf-files", stf, "stf_filename", "stf file with this stf filename already exists."),
            ("fastmon-files", json!({"stf_file": "s", "tf_filename": "t"}), "tf_filename", "fast mon file with this tf filename already exists."),
            ("workflow-executions", execution, "execution_id", "workflow execution with this execution id already exists."),
            ("workers", worker, "worker_id", "worker with this worker id already exists."),
            ("tf-slices", slice, "non_field_errors", "The fields tf_filename, slice_id must make a unique set."),
        ];
        for (path, body, field, text) in cases {
            let path = format!("/api/{path}/");
            app.make(&path, body.clone()).await;
            let again = app.post(&path, body).await;
            assert_eq!((again.status, again.body), (400, json!({field: [text]})));
        }
        let again = app.post("/api/workflow-definitions/", definition).await.body;
        assert_eq!(again, json!({"non_field_errors": ["The fields workflow_name, version must make a unique set."]}));
        let again = app.post("/api/runs/", json!({"run_number": 5, "start_time": time})).await.body;
        assert_eq!(again, json!({"run_number": ["run with this run number already exists."]}));
        // Together with other mistakes it is reported along.
        let again = app.post("/api/runs/", json!({"run_number": 5})).await.body;
        assert_eq!(
            again,
            json!({"run_number": ["run with this run number already exists."], "start_time": ["This field is required."]})
        );
        // A change that keeps the own name is none.
        let agents = app.get("/api/systemagents/").await.body;
        let place = format!("/api/systemagents/{}/", agents[0]["id"]);
        assert_eq!(app.call("PATCH", &place, json!({"instance_name": "a"})).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn moments_without_offset_are_eastern_and_answers_show_eastern_time() {
    on_each(async |app| {
        let row = app.make("/api/runs/", json!({"run_number": 1, "start_time": "2026-07-01T10:00:00"})).await;
        assert_eq!(row["start_time"], "2026-07-01T10:00:00-04:00");
        let row = app
            .make("/api/runs/", json!({"run_number": 2, "start_time": "2026-11-22T12:52:53.746980Z"}))
            .await;
        assert_eq!(row["start_time"], "2026-11-22T07:52:53.746980-05:00");
    })
    .await;
}

#[tokio::test]
async fn a_patch_replaces_documents_unless_it_asks_to_merge() {
    on_each(async |app| {
        let run = app.make("/api/runs/", json!({"run_number": 1, "start_time": "2026-07-01T10:00:00Z", "run_conditions": {"a": 1, "b": 2}})).await;
        let place = format!("/api/runs/{}/", run["run_id"]);
        let merged = app.call("PATCH", &format!("{place}?merge=true"), json!({"run_conditions": {"b": 3, "c": 4}})).await.body;
        assert_eq!(merged["run_conditions"], json!({"a": 1, "b": 3, "c": 4}));
        let replaced = app.call("PATCH", &place, json!({"run_conditions": {"d": 5}})).await.body;
        assert_eq!(replaced["run_conditions"], json!({"d": 5}));
        let cleared = app.call("PATCH", &format!("{place}?merge=true"), json!({"run_conditions": null})).await.body;
        assert_eq!(cleared["run_conditions"], json!(null));
        assert_eq!(app.call("PATCH", &format!("{place}?merge=x"), json!({})).await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn keys_with_dots_slashes_and_blanks_can_be_addressed() {
    on_each(async |app| {
        let refs = parents(&app).await;
        for id in ["first.last-0001", "a/b", "blank space", "é%"] {
            app.make("/api/workflow-executions/", json!({"execution_id": id, "parameter_values": {}, "executed_by": "x",
                "start_time": "2026-07-01T10:00:00Z", "workflow_definition": refs["swf_workflow_definitions"]}))
                .await;
            let encoded: String = id.bytes().map(|b| format!("%{b:02X}")).collect();
            let place = format!("/api/workflow-executions/{encoded}/");
            let changed = app.call("PATCH", &place, json!({"status": "completed"})).await;
            assert_eq!((changed.status, &changed.body["execution_id"]), (200, &json!(id)));
        }
        assert_eq!(app.get("/api/workflow-executions/first.last-0001/").await.status, 200);
        let running = app.get("/api/workflow-executions/?status=running").await.body;
        assert_eq!(running, json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_row_takes_what_hangs_on_it_along() {
    on_each(async |app| {
        let refs = parents(&app).await;
        app.make("/api/fastmon-files/", json!({"stf_file": "parent.stf", "tf_filename": "t"})).await;
        let place = format!("/api/runs/{}/", refs["swf_runs"]);
        assert_eq!(app.call("DELETE", &place, Value::Null).await.status, 204);
        for path in ["runs", "stf-files", "fastmon-files"] {
            assert_eq!(app.get(&format!("/api/{path}/")).await.body, json!([]), "{path}");
        }
    })
    .await;
}

/// Values that have broken services before.
fn nasty() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "\0",
        "a\0b",
        "'; DROP TABLE swf_runs; --",
        "%s?$1",
        "é😀\u{202e}",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-02-30T00:00:00Z",
        "2026-03-08T02:30:00",
        "2026-11-22",
        "nan",
        "1e400",
        "-0",
        "99999999999999999999",
        "::1/64",
        "{}",
        "null",
    ];
    let mut out: Vec<Value> = texts.iter().map(|t| json!(t)).collect();
    out.extend([
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(1e300),
        json!(i64::MIN),
        json!(u64::MAX),
        json!([]),
        json!([1, [2]]),
        json!({}),
        json!({"\0": "\0", "": [null]}),
        json!("x".repeat(70_000)),
    ]);
    out
}

#[tokio::test]
async fn no_value_of_any_field_makes_the_server_fail() {
    on_each(async |app| {
        let refs = parents(&app).await;
        for (base, records) in [("/api", RECORDS), ("/pcs/api", swf_tools::records::pcs::RECORDS)] {
            for resource in records {
                let path = format!("{base}/{}/", resource.path);
                for (at, field) in
                    resource.fields.iter().filter(|f| !f.read_only && base == "/api").enumerate()
                {
                    let posts = nasty().into_iter().enumerate().map(async |(n, value)| {
                        let mut body = filled(&refs, resource, 10 + at * 100 + n);
                        body.insert(field.name.to_owned(), value.clone());
                        let answer = app.post(&path, Value::Object(body)).await;
                        let shown: String = value.to_string().chars().take(60).collect();
                        assert!(
                            matches!(answer.status, 201 | 400),
                            "{path} {}={shown}: {answer:?}",
                            field.name
                        );
                    });
                    futures_util::future::join_all(posts).await;
                }
                for value in nasty().into_iter().step_by(3) {
                    let answer = app.post(&path, value.clone()).await;
                    assert!(matches!(answer.status, 201 | 400), "{path} {value}: {answer:?}");
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let text: String = text.chars().take(300).collect();
                    for name in swf_tools::records::query::names(resource).into_iter().chain(["unknown"]) {
                        let answer = app.send(app.request("GET", &path).query(&[(name, &text)])).await;
                        let fits =
                            matches!(answer.status, 200 | 400) || (name == "format" && answer.status == 404);
                        assert!(fits, "{path}?{name}={text}: {}", answer.status);
                    }
                    let key: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
                    let answer = app.get(&format!("{path}{key}/")).await;
                    assert!(matches!(answer.status, 200 | 404), "{path}{key}: {}", answer.status);
                }
                let list = app.get(&format!("{path}?limit=100")).await;
                assert_eq!(list.status, 200, "{path}: {}", list.body);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_sent_to_the_other_endpoints_makes_the_server_fail() {
    on_each(async |app| {
        app.make_run(1).await;
        for path in ["systemagents/heartbeat", "namespaces/ensure", "tf-slices/batch", "tf-slices/results", "fastmon-files/batch",
            "system-state-events/batch", "logs/batch", "ai-memory/record", "state/next-agent-id"]
        {
            for value in nasty() {
                for body in [value.clone(), json!([value]), json!({"instance_name": value, "metadata": value, "pid": value}),
                    json!({"name": value, "owner": value, "description": value}),
                    json!({"username": "alice", "session_id": value, "role": "user", "content": value}),
                    json!([{"run_number": value, "tf_filename": value, "slice_id": value, "status": value, "timestamp": value}]),
                    json!([{"run_number": 1, "tf_filename": "a\0b", "slice_id": 1, "status": "completed", "assigned_worker": value, "metadata": value}])]
                {
                    let answer = app.post(&format!("/api/{path}/"), body).await;
                    let shown: String = value.to_string().chars().take(60).collect();
                    assert!(matches!(answer.status, 200 | 201 | 400), "{path} {shown}: {answer:?}");
                }
            }
        }
    })
    .await;
}
