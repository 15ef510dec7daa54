//! Tags, datasets, configurations and tasks.

use serde_json::{Value, json};
use swf_tools::{Clock, Scope, accounts};

use crate::harness::{TestApp, on_each};

async fn as_bob(app: &TestApp, method: &str, path: &str, body: Value) -> crate::harness::Answer {
    let token = accounts::create_token(&app.db, Clock::System.now(), "bob", Scope::Write).await.unwrap();
    app.send(app.request(method, path).header("authorization", format!("Token {token}")).json(&body)).await
}

fn physics() -> Value {
    json!({"process": "DIS_NC", "beam_energy_electron": "10", "beam_energy_hadron": "100"})
}

/// A locked tag of each kind; their ids.
async fn locked_tags(app: &TestApp) -> [Value; 4] {
    app.make("/pcs/api/physics-categories/", json!({"digit": 1, "name": "DIS"})).await;
    let mut ids = Vec::new();
    for (path, body) in [
        ("physics-tags", json!({"category": 1, "parameters": physics()})),
        (
            "evgen-tags",
            json!({"parameters": {"generator": "pythia8", "generator_version": "8.310", "signal_freq": "5", "bg_files": "a b"}}),
        ),
        ("simu-tags", json!({"parameters": {"detector_sim": "npsim", "sim_version": "26.02.0"}})),
        ("reco-tags", json!({"parameters": {"reco_version": "26.02.0", "reco_config": "standard"}})),
    ] {
        let tag = app.make(&format!("/pcs/api/{path}/"), body).await;
        let locked = app.post(&format!("/pcs/api/{path}/{}/lock/", tag["tag_number"]), json!(null)).await;
        assert_eq!((locked.status, &locked.body["status"]), (200, &json!("locked")));
        ids.push(tag["id"].clone());
    }
    ids.try_into().unwrap()
}

fn dataset([p, e, s, r]: &[Value; 4]) -> Value {
    json!({"detector_version": "26.02.0", "detector_config": "epic_craterlake", "physics_tag": p, "evgen_tag": e, "simu_tag": s, "reco_tag": r})
}

#[tokio::test]
async fn tags_are_numbered_by_category_and_a_refused_one_uses_no_number() {
    on_each(async |app| {
        assert_eq!(app.get("/pcs/api/").await.body.as_object().unwrap().len(), 8);
        let category = app.make("/pcs/api/physics-categories/", json!({"digit": 1, "name": "DIS"})).await;
        assert_eq!((&category["tag_count"], &category["created_by"]), (&json!(0), &json!("alice")));
        app.make("/pcs/api/physics-categories/", json!({"digit": 2, "name": "DVCS"})).await;
        let refused = async |body: Value| {
            let answer = app.post("/pcs/api/physics-tags/", body).await;
            assert_eq!(answer.status, 400, "{}", answer.body);
            answer.body
        };
        assert_eq!(
            refused(json!({"parameters": physics()})).await,
            json!({"category": ["This field is required."]})
        );
        assert_eq!(
            refused(json!({"category": 0, "parameters": physics()})).await,
            json!({"category": ["This field is required."]})
        );
        assert_eq!(
            refused(json!({"category": 7, "parameters": physics()})).await,
            json!({"category": ["Category 7 does not exist."]})
        );
        assert_eq!(
            refused(json!({"category": 1, "parameters": {"process": "", "beam_energy_electron": "5"}})).await,
            json!({"parameters": ["Missing required parameters: process, beam_energy_hadron"]})
        );
        assert_eq!(
            refused(json!({"category": 1, "parameters": [1]})).await["parameters"][0],
            "Must be an object of names and values."
        );
        assert_eq!(
            app.post("/pcs/api/physics-categories/", json!({"digit": 10, "name": "X"})).await.body,
            json!({"digit": ["Ensure this value is less than or equal to 9."]})
        );
        let first = app.make("/pcs/api/physics-tags/", json!({"category": 1, "parameters": physics()})).await;
        let second =
            app.make("/pcs/api/physics-tags/", json!({"category": "2", "parameters": physics()})).await;
        assert_eq!(
            (&first["tag_number"], &first["tag_label"], &first["category_name"]),
            (&json!(1001), &json!("p1001"), &json!("DIS"))
        );
        assert_eq!(second["tag_label"], "p2002");
        assert_eq!(app.get("/pcs/api/physics-categories/1/").await.body["tag_count"], 1);
        assert_eq!(app.get("/pcs/api/physics-tags/1001").await.body, first);
        assert_eq!(app.call("DELETE", "/pcs/api/physics-tags/1001/", json!(null)).await.status, 405);
    })
    .await;
}

#[tokio::test]
async fn when_the_common_suffix_has_outgrown_the_thousand_free_numbers_are_used() {
    on_each(async |app| {
        app.make("/pcs/api/physics-categories/", json!({"digit": 1, "name": "DIS"})).await;
        let body = json!({"category": 1, "parameters": physics()});
        app.make("/pcs/api/physics-tags/", body.clone()).await;
        let grown = swf_db::Sql::new("UPDATE swf_persistent_state SET state_data = ? WHERE id = 1")
            .with("", [json!({"pcs_next_physics": 1000}).into()]);
        app.db.execute(&grown).await.unwrap();
        assert_eq!(app.make("/pcs/api/physics-tags/", body).await["tag_number"], 1002);
    })
    .await;
}

#[tokio::test]
async fn a_locked_tag_is_final_and_only_its_author_may_lock_or_delete_it() {
    on_each(async |app| {
        let parameters = json!({"generator": "g", "generator_version": "1"});
        let tag = app.make("/pcs/api/evgen-tags/", json!({"parameters": parameters})).await;
        let place = format!("/pcs/api/evgen-tags/{}/", tag["tag_number"]);
        let detail = |answer: crate::harness::Answer| {
            (answer.status, answer.body["detail"].as_str().unwrap_or_default().to_owned())
        };
        let who = "Only the creator (alice) can lock this tag.";
        assert_eq!(
            detail(as_bob(&app, "POST", &format!("{place}lock/"), json!({})).await),
            (403, who.into())
        );
        assert_eq!(as_bob(&app, "PATCH", &place, json!({"description": "x"})).await.status, 403);
        assert_eq!(
            detail(as_bob(&app, "POST", &format!("{place}delete/"), json!({})).await),
            (403, "Only the creator (alice) can delete this tag.".into())
        );
        assert_eq!(app.call("PATCH", &place, json!({"description": "x"})).await.body["description"], "x");
        assert_eq!(
            detail(app.call("PATCH", &place, json!({"status": "locked"})).await),
            (400, "Use the /lock/ endpoint to change status.".into())
        );
        assert_eq!(
            app.call("PATCH", &place, json!({"parameters": {"generator": "g"}})).await.body,
            json!({"parameters": ["Missing required parameters: generator_version"]})
        );
        assert_eq!(app.post(&format!("{place}lock"), json!(null)).await.status, 200);
        assert_eq!(
            detail(app.post(&format!("{place}lock/"), json!(null)).await),
            (400, "Tag e1 is already locked.".into())
        );
        assert_eq!(
            detail(app.call("PATCH", &place, json!({"description": "y"})).await),
            (400, "Tag e1 is locked and cannot be modified.".into())
        );
        assert_eq!(
            detail(app.post(&format!("{place}delete/"), json!(null)).await),
            (400, "Tag e1 is locked and cannot be deleted.".into())
        );
        let other = app.make("/pcs/api/evgen-tags/", json!({"parameters": parameters})).await;
        let deleted =
            app.post(&format!("/pcs/api/evgen-tags/{}/delete/", other["tag_number"]), json!(null)).await;
        assert_eq!(deleted.body, json!({"detail": "Tag e2 deleted."}));
    })
    .await;
}

#[tokio::test]
async fn datasets_are_named_after_their_locked_tags_and_grow_by_blocks() {
    on_each(async |app| {
        let ids = locked_tags(&app).await;
        let draft = app
            .make("/pcs/api/reco-tags/", json!({"parameters": {"reco_version": "1", "reco_config": "c"}}))
            .await;
        let mut body = dataset(&ids);
        body["reco_tag"] = draft["id"].clone();
        let refused = app.post("/pcs/api/datasets/", body).await;
        assert_eq!(
            (refused.status, refused.body),
            (400, json!({"reco_tag": ["Tag r2 must be locked before use in a dataset."]}))
        );
        let made = app.make("/pcs/api/datasets/", dataset(&ids)).await;
        let name = "group.EIC.26.02.0.epic_craterlake.p1001.e1.s1.r1";
        assert_eq!(
            (&made["dataset_name"], &made["did"]),
            (&json!(name), &json!(format!("group.EIC:{name}.b1")))
        );
        assert_eq!((&made["physics_tag_label"], &made["blocks"]), (&json!("p1001"), &json!(1)));
        let again = app.post("/pcs/api/datasets/", dataset(&ids)).await;
        assert_eq!(again.status, 400);
        assert!(
            again.body["non_field_errors"][0].as_str().unwrap().contains(&format!("(id {})", made["id"]))
        );
        let place = format!("/pcs/api/datasets/{}/", made["id"]);
        assert_eq!(as_bob(&app, "POST", &format!("{place}add-block/"), json!({})).await.status, 403);
        let path = format!("{place}add-block/");
        let blocks = futures_util::future::join_all((0..3).map(|_| app.post(&path, json!(null)))).await;
        let made = blocks.iter().filter(|b| b.status == 201).count() as i64;
        assert!(made >= 1 && blocks.iter().all(|b| matches!(b.status, 201 | 409)));
        let all = app.get("/pcs/api/datasets/").await.body;
        let rows = all.as_array().unwrap();
        assert_eq!(rows.len() as i64, 1 + made);
        assert!(rows.iter().all(|r| r["blocks"] == json!(1 + made)), "{all}");
        assert_eq!(app.call("DELETE", &place, json!(null)).await.status, 405);
    })
    .await;
}

#[tokio::test]
async fn tasks_belong_to_their_author_and_give_commands() {
    on_each(async |app| {
        let ids = locked_tags(&app).await;
        let data = app.make("/pcs/api/datasets/", dataset(&ids)).await;
        let config = app
            .make("/pcs/api/prod-configs/", json!({"name": "c1", "jug_xl_tag": "26.02.0-stable", "bg_mixing": true,
                "target_hours_per_job": "1.5", "events_per_task": 1000, "data": {"exec_command": "./go \"$X\"; ls", "n_jobs": 5}}))
            .await;
        assert_eq!((&config["target_hours_per_job"], &config["copy_reco"]), (&json!("1.50"), &json!(true)));
        let wrong = app.post("/pcs/api/prod-configs/", json!({"name": "c2", "target_hours_per_job": "12345.6", "events_per_task": -1})).await.body;
        assert_eq!(wrong["target_hours_per_job"], json!(["Ensure that there are no more than 4 digits before the decimal point."]));
        assert_eq!(wrong["events_per_task"], json!(["Ensure this value is greater than or equal to 0."]));
        let place = format!("/pcs/api/prod-configs/{}/", config["id"]);
        assert_eq!(as_bob(&app, "PATCH", &place, json!({"description": "x"})).await.body["detail"], "You do not have permission to perform this action.");
        let task = app
            .make("/pcs/api/prod-tasks/", json!({"name": "t 1", "dataset": data["id"], "prod_config": config["id"], "overrides": {"panda_site": "S;rm", "data": {"n_jobs": 7}}}))
            .await;
        assert_eq!((&task["dataset_name"], &task["prod_config_name"]), (&data["dataset_name"], &json!("c1")));
        assert_eq!(app.call("DELETE", &place, json!(null)).await.status, 409);
        let place = format!("/pcs/api/prod-tasks/{}/", task["id"]);
        assert_eq!(as_bob(&app, "POST", &format!("{place}generate-commands/"), json!({})).await.status, 403);
        let commands = app.post(&format!("{place}generate-commands/"), json!(null)).await.body;
        let condor = "EBEAM=10 \\\n  PBEAM=100 \\\n  DETECTOR_VERSION=26.02.0 \\\n  DETECTOR_CONFIG=epic_craterlake \\\n  \
            JUG_XL_TAG=26.02.0-stable \\\n  COPYRECO=true \\\n  COPYFULL=false \\\n  COPYLOG=true \\\n  USERUCIO=true \\\n  \
            X509_USER_PROXY=secrets/x509_user_proxy \\\n  SIGNAL_FREQ=5 \\\n  SIGNAL_STATUS=0 \\\n  BG_FILES='a b' \\\n  \
            scripts/submit_csv.sh osg_csv hepmc3 <csv_file> 1.50";
        assert_eq!(commands["condor_command"], condor);
        let panda = commands["panda_command"].as_str().unwrap();
        assert!(panda.starts_with("prun \\\n  --exec \"./go \\\"\\$X\\\"; ls\" \\\n  --outDS group.EIC:"), "{panda}");
        assert!(panda.contains("--site 'S;rm' \\\n  --prodSourceLabel test \\\n  --vo wlcg \\\n  --nJobs 7"), "{panda}");
        assert_eq!(app.get(&place).await.body["panda_command"], panda);
        let bad = app.post(&format!("{place}set-status/"), json!({"status": "x"})).await;
        assert_eq!(bad.body["detail"], "Invalid status. Choose from: draft, ready, submitted, completed, failed");
        assert_eq!(app.post(&format!("{place}set-status/"), json!({"status": "ready"})).await.body["status"], "ready");
        let command = async |query: &str| app.get(&format!("/pcs/api/prod-tasks/command/{query}")).await;
        assert_eq!(command("").await.body["detail"], "Missing ?name=");
        assert_eq!(command("?name=t%201&fmt=x").await.body["detail"], "fmt must be one of: condor, panda, jedi, dump");
        assert_eq!(command("?name=zz&fmt=dump").await.body["detail"], "No task named 'zz'");
        let jedi = command("?name=t%201&fmt=jedi").await.body;
        assert_eq!((&jedi["nFiles"], &jedi["walltime"], &jedi["nEvents"], &jedi["site"]), (&json!(7), &json!(5400), &json!(1000), &json!("S;rm")));
        let dump = command("?name=t+1&fmt=dump").await.body;
        assert_eq!((&dump["tags"]["evgen"]["tag_label"], &dump["effective_config"]["data"]["n_jobs"]), (&json!("e1"), &json!(7)));
        assert!(dump["task"]["created_at"].as_str().unwrap().ends_with("+00:00"));
        let text = app.request("GET", "/pcs/api/prod-tasks/command/?name=t%201&fmt=condor").send().await.unwrap();
        assert_eq!(text.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(text.text().await.unwrap(), condor);
    })
    .await;
}

/// A dataset with a configuration and a task; the task.
async fn task(app: &TestApp) -> Value {
    let ids = locked_tags(app).await;
    let data = app.make("/pcs/api/datasets/", dataset(&ids)).await;
    let config = app.make("/pcs/api/prod-configs/", json!({"name": "c", "panda_site": "A"})).await;
    let body = json!({"name": "t", "dataset": data["id"], "prod_config": config["id"]});
    app.make("/pcs/api/prod-tasks/", body).await
}

#[tokio::test]
async fn a_task_changes_its_state_step_by_step_only() {
    on_each(async |app| {
        let task = task(&app).await;
        let place = format!("/pcs/api/prod-tasks/{}/", task["id"]);
        let first = json!({"name": "t2", "dataset": task["dataset"], "prod_config": task["prod_config"], "status": "completed"});
        let refused = app.post("/pcs/api/prod-tasks/", first).await;
        assert_eq!(refused.body, json!({"status": ["A new task is draft or ready; it becomes completed later."]}));
        let steps = [
            ("submitted", 400),
            ("completed", 400),
            ("draft", 200),
            ("ready", 200),
            ("completed", 400),
            ("draft", 200),
            ("ready", 200),
            ("submitted", 200),
            ("submitted", 200),
            ("ready", 400),
            ("draft", 400),
            ("failed", 200),
            ("submitted", 400),
            ("ready", 200),
            ("submitted", 200),
            ("completed", 200),
            ("failed", 400),
            ("ready", 400),
        ];
        for (number, (status, expected)) in steps.into_iter().enumerate() {
            // Both ways obey the same rule.
            let answer = if number % 2 == 0 {
                app.post(&format!("{place}set-status/"), json!({"status": status})).await
            } else {
                app.call("PATCH", &place, json!({"status": status})).await
            };
            assert_eq!(answer.status, expected, "step {number} to {status}: {}", answer.body);
        }
        let refused = app.post(&format!("{place}set-status/"), json!({"status": "ready"})).await;
        assert_eq!(
            refused.body["detail"],
            "Task t is completed and cannot become ready. What may follow: none; make a new task."
        );
    })
    .await;
}

#[tokio::test]
async fn later_edits_change_neither_commands_nor_documents_of_a_submitted_task() {
    on_each(async |app| {
        let task = task(&app).await;
        let place = format!("/pcs/api/prod-tasks/{}/", task["id"]);
        let config = format!("/pcs/api/prod-configs/{}/", task["prod_config"]);
        let text = async |format: &str| {
            let path = format!("/pcs/api/prod-tasks/command/?name=t&fmt={format}");
            app.request("GET", &path).send().await.unwrap().text().await.unwrap()
        };
        app.call("PATCH", &place, json!({"status": "ready"})).await;
        app.call("PATCH", &config, json!({"panda_site": "B"})).await;
        assert!(text("panda").await.contains("--site B"), "a draft follows its configuration");
        let submitted = app.call("PATCH", &place, json!({"status": "submitted"})).await;
        assert_eq!(submitted.status, 200, "{}", submitted.body);
        assert!(submitted.body["panda_command"].as_str().unwrap().contains("--site B"), "{}", submitted.body);
        let before = [text("condor").await, text("panda").await, text("jedi").await];
        app.call("PATCH", &config, json!({"panda_site": "C", "jug_xl_tag": "later"})).await;
        let locked = swf_db::Sql::new("UPDATE pcs_physics_tag SET parameters =")
            .with("?", [json!({"beam_energy_electron": "99"}).into()]);
        app.db.execute(&locked).await.unwrap();
        assert_eq!([text("condor").await, text("panda").await, text("jedi").await], before);
        let again = app.post(&format!("{place}generate-commands/"), json!(null)).await.body;
        assert_eq!(again["panda_command"], before[1].as_str());
        let dump: Value = serde_json::from_str(&text("dump").await).unwrap();
        assert_eq!(
            (&dump["prod_config"]["panda_site"], &dump["task"]["status"]),
            (&json!("B"), &json!("submitted"))
        );
        for (field, value) in
            [("overrides", json!({"panda_site": "D"})), ("csv_file", json!("x")), ("name", json!("u"))]
        {
            let refused = app.call("PATCH", &place, json!({field: value})).await;
            assert_eq!(refused.status, 400);
            assert_eq!(
                refused.body[field],
                json!(["Task t is submitted: this field stays as it was submitted."])
            );
        }
        let noted =
            app.call("PATCH", &place, json!({"panda_task_id": 7, "description": "d", "csv_file": ""})).await;
        assert_eq!((noted.status, &noted.body["panda_task_id"]), (200, &json!(7)));
        assert_eq!(text("panda").await, before[1]);
        // After a failure it may be changed and submitted anew, with what is stored then.
        app.call("PATCH", &place, json!({"status": "failed"})).await;
        assert_eq!(text("panda").await, before[1]);
        app.call("PATCH", &place, json!({"status": "ready"})).await;
        assert!(text("panda").await.contains("--site C"));
        app.call("PATCH", &place, json!({"status": "submitted"})).await;
        assert!(text("panda").await.contains("--site C"));
        // Another program that submits a changed task is believed.
        let foreign = swf_db::Sql::new("UPDATE pcs_prod_task SET csv_file = 'new.csv'");
        app.db.execute(&foreign).await.unwrap();
        app.call("PATCH", &config, json!({"panda_site": "E"})).await;
        assert!(text("panda").await.contains("--site E"));
        assert_eq!(app.call("DELETE", &place, json!(null)).await.status, 204);
        let left = swf_db::Sql::new("SELECT count(*) FROM swfx_task_snapshot");
        assert_eq!(app.db.fetch_one::<i64>(&left).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn parameters_of_a_tag_follow_their_definitions() {
    on_each(async |app| {
        let refused = async |body: Value| {
            let answer = app.post("/pcs/api/evgen-tags/", json!({"parameters": body})).await;
            assert_eq!(answer.status, 400, "{}", answer.body);
            answer.body["parameters"].clone()
        };
        assert_eq!(
            refused(json!({"generator": 5, "generator_version": ["1"], "notes": null})).await,
            json!(["generator: 5 is not a text.", "generator_version: [\"1\"] is not a text."])
        );
        let definitions = json!({"pcs_param_defs_e": [
            {"name": "generator", "type": "string", "required": true, "choices": ["pythia8", "EpIC"], "allow_other": false},
            {"name": "model", "type": "string", "choices": ["a"], "allow_other": true},
            {"name": "events", "type": "integer", "required": false, "choices": [1, 2], "allow_other": false},
        ]});
        let own = swf_db::Sql::new("UPDATE swf_persistent_state SET state_data = ? WHERE id = 1")
            .with("", [definitions.into()]);
        app.db.execute(&own).await.unwrap();
        assert_eq!(
            refused(json!({"generator": "pythia", "events": "2"})).await,
            json!(["generator: \"pythia\" is not one of: pythia8, EpIC.", "events: \"2\" is not a whole number."])
        );
        assert_eq!(refused(json!({"generator": "EpIC", "events": 3})).await, json!(["events: 3 is not one of: 1, 2."]));
        assert_eq!(refused(json!({"events": 1})).await, json!(["Missing required parameters: generator"]));
        let fine = json!({"generator": "EpIC", "model": "other", "events": 2, "unknown": [1]});
        let tag = app.make("/pcs/api/evgen-tags/", json!({"parameters": fine})).await;
        let place = format!("/pcs/api/evgen-tags/{}/", tag["tag_number"]);
        let patch = async |query: &str, body: Value| {
            app.call("PATCH", &format!("{place}{query}"), json!({"parameters": body})).await
        };
        assert_eq!(patch("", json!({"events": 1})).await.status, 400, "a replacement lacks the generator");
        assert_eq!(patch("?merge=true", json!({"events": 1})).await.status, 200);
        assert_eq!(patch("?merge=true", json!({"events": 9})).await.status, 400);
        assert_eq!(app.get(&place).await.body["parameters"]["events"], 1);
    })
    .await;
}
