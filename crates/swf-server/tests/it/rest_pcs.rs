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
