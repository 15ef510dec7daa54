//! What production operators ask.

use serde_json::{Value, json};

use crate::common::{Plant, now, plan, settings, sqlite};

async fn plant() -> Plant {
    sqlite(&plan(), settings()).await
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_counts_queued_jobs_and_says_how_long_they_wait() {
    let a = plant().await.call("panda_get_activity", json!({"days": 7})).await;
    assert!(a["jobs"]["by_status"]["assigned"].as_i64().unwrap() > 0);
    assert!(a["jobs"]["in_flight"]["assigned"]["oldest_hours"].as_f64().unwrap() > 0.0);
    let sum: i64 = a["jobs"]["by_status"].as_object().unwrap().values().map(|v| v.as_i64().unwrap()).sum();
    assert_eq!(json!(sum), a["jobs"]["total"]);
    assert_eq!(a["synthetic"], json!(true));
    assert_eq!(a["as_of"]["time"], json!("2026-07-15T12:00:00+00:00"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_show_final_failures_and_are_ranked_by_them() {
    let plant = plant().await;
    let worst = plant.call("panda_list_tasks", json!({"days": 20, "order": "failures", "limit": 5})).await;
    let rates: Vec<f64> = array(&worst["tasks"])
        .iter()
        .map(|t| t["computed_finalfailurerate"].as_f64().unwrap_or(-1.0))
        .collect();
    assert!(rates.windows(2).all(|w| w[0] >= w[1]) && rates[0] > 0.0, "{rates:?}");
    let task = &worst["tasks"][0];
    let (failed, done) = (task["nfinalfailed"].as_f64().unwrap(), task["nfilesfinished"].as_f64().unwrap());
    assert!((rates[0] - failed / (failed + done)).abs() < 1e-4);
    assert!(task["nfailed"].as_f64().unwrap() >= failed - task["nfinalfailed"].as_f64().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_running_task_is_stale_in_lists_but_found_by_its_id() {
    let plant = plant().await;
    let list = plant.call("panda_list_tasks", json!({"days": 400, "limit": 500})).await;
    assert!(array(&list["tasks"]).iter().all(|t| t["jeditaskid"] != json!(36001)));
    let one = plant.call("panda_list_tasks", json!({"taskid": 36001})).await;
    assert_eq!(one["tasks"][0]["status"], json!("running"));
}

#[tokio::test(flavor = "multi_thread")]
async fn error_patterns_are_explained_and_kills_are_told_apart() {
    let plant = plant().await;
    let all = plant.call("panda_error_summary", json!({"days": 20, "limit": 100})).await;
    let patterns = array(&all["errors"]);
    let find = |source: &str, code: i64| {
        let hits: Vec<_> = patterns
            .iter()
            .filter(|p| p["error_source"] == source && p["error_code"] == json!(code))
            .collect();
        hits
    };
    let heartbeat = find("dispatcher", 100);
    assert_eq!(heartbeat.len(), 1, "times in the text do not make patterns");
    assert!(heartbeat[0]["texts"].as_i64().unwrap() > 1);
    assert_eq!(heartbeat[0]["pattern"], json!("lost heartbeat : <time>"));
    assert_eq!(heartbeat[0]["name"], json!("EC_Watcher"));
    assert_eq!(find("pilot", 1137).len(), 1);
    assert_eq!(find("pilot", 1305).len(), 2, "two causes stay two patterns");
    assert!(find("taskbuffer", 100).iter().all(|p| p["benign"] == json!(true)));
    assert!(all["fault_errors"].as_i64().unwrap() > 0 && all["benign_errors"].as_i64().unwrap() > 0);
    let faults =
        plant.call("panda_error_summary", json!({"days": 20, "limit": 100, "exclude_benign": true})).await;
    assert!(array(&faults["errors"]).iter().all(|p| p["benign"] == json!(false)));
    assert_eq!(faults["total_errors"], all["fault_errors"]);
    let exact =
        plant.call("panda_error_summary", json!({"days": 20, "limit": 500, "normalise": false})).await;
    assert!(exact["count"].as_i64() > all["count"].as_i64());
    assert_eq!(exact["total_errors"], all["total_errors"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_a_retry_made_good_can_be_left_out() {
    let plant = plant().await;
    let all = plant.call("panda_diagnose_jobs", json!({"days": 20, "status": "failed", "limit": 1000})).await;
    let left = plant
        .call(
            "panda_diagnose_jobs",
            json!({"days": 20, "status": "failed", "limit": 1000, "exclude_retried": true}),
        )
        .await;
    let total = |a: &Value| a["window"]["total_faulty_jobs"].as_i64().unwrap();
    assert!(0 < total(&left) && total(&left) < total(&all));
    assert_eq!((&all["retried_excluded"], &left["retried_excluded"]), (&json!(false), &json!(true)));
    // Each one left out has an attempt that finished; each one kept has none.
    let ids = |a: &Value| -> Vec<i64> {
        array(&a["jobs"]).iter().map(|j| j["pandaid"].as_i64().unwrap()).collect()
    };
    let kept = ids(&left);
    for id in ids(&all).into_iter().take(25) {
        let study = plant.call("panda_study_job", json!({"pandaid": id})).await;
        let done = study["attempts"]["done"] == json!(true);
        assert_eq!(done, !kept.contains(&id), "job {id}: {}", study["attempts"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_explained_in_words() {
    let plant = plant().await;
    let failed = plant
        .call("panda_diagnose_jobs", json!({"days": 20, "error_code": 1305, "exit_code": "139", "limit": 3}))
        .await;
    let job = &failed["jobs"][0];
    assert!(job["cause"].as_str().unwrap().starts_with("pilot 1305 PAYLOADEXECUTIONFAILURE"));
    let study = plant.call("panda_study_job", json!({"pandaid": job["pandaid"]})).await;
    assert_eq!(study["cause"]["name"], json!("PAYLOADEXECUTIONFAILURE"));
    assert_eq!(study["log_analysis"]["failure_type"], json!("segfault"));
    assert_eq!(study["log_analysis"]["log_available"], json!(false));
    assert!(study["log_analysis"]["reason"].as_str().unwrap().contains("no log host is configured"));
    assert_eq!(study["task"]["tags"].as_array().unwrap().len(), 4);
    assert!(study["job"].get("metadata").is_none(), "nulls are left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_found_by_what_they_can_run() {
    let plant = plant().await;
    let names = async |arguments: Value| -> Vec<String> {
        let found = plant.call("panda_list_queues", arguments).await;
        array(&found["queues"]).iter().map(|q| q["panda_queue"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        names(json!({"status": "online", "min_cores": 8, "min_memory_mb": 16000, "min_hours": 40})).await,
        ["BNL_PanDA_1"]
    );
    assert_eq!(names(json!({"resource_type": "gpu"})).await, ["NERSC_Perlmutter_epic_gpu_test"]);
    assert_eq!(names(json!({"site": "JLAB"})).await, ["E1_JLAB"]);
    assert_eq!(names(json!({"search": "osg"})).await, ["BNL_OSG_PanDA_1"]);
    assert!(names(json!({})).await.iter().all(|n| !n.starts_with("OTHER")));
    assert!(names(json!({"vo": "all"})).await.iter().any(|n| n.starts_with("OTHER")));
    let missing = plant.try_call("panda_get_queue", json!({"panda_queue": "E1_JLAP"})).await.unwrap_err();
    assert!(missing.to_string().contains("did you mean 'E1_JLAB'"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn core_hours_add_up_and_lost_ones_are_shown() {
    let plant = plant().await;
    let u = plant.call("panda_resource_usage", json!({"days": 20, "bucket": "day"})).await;
    let sum = |rows: &Value, key: &str| -> f64 { array(rows).iter().map(|r| r[key].as_f64().unwrap()).sum() };
    let total = u["totals"]["allocated_core_hours"].as_f64().unwrap();
    assert!((sum(&u["by_site"], "allocated_core_hours") - total).abs() < 1.0);
    assert!((sum(&u["series"], "allocated_core_hours") - total).abs() < 2.0);
    assert!(u["lost"]["allocated_core_hours"].as_f64().unwrap() > 0.0);
    let efficiency = u["totals"]["efficiency"].as_f64().unwrap();
    assert!(efficiency > 0.5 && efficiency < 1.0);
    assert_eq!(u["series"].as_array().unwrap().len(), 21);
    // Two halves of an exact window make the whole.
    let of = async |start: &str, end: &str| {
        let u = plant.call("panda_resource_usage", json!({"start_time": start, "end_time": end})).await;
        u["totals"]["job_count"].as_i64().unwrap()
    };
    let (a, b) = (of("2026-07-01", "2026-07-08").await, of("2026-07-08", "2026-07-15").await);
    assert_eq!(a + b, of("2026-07-01", "2026-07-15").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn pilots_come_from_the_table_and_silent_sites_are_left_out() {
    let plant = plant().await;
    let hour = plant.call("panda_harvester_workers", json!({})).await;
    assert!(hour["source"].as_str().unwrap().starts_with("database"));
    assert!(hour["by_site"].get("E1_JLAB").is_none() && hour["by_site"].get("OTHER_VO_CLUSTER_1").is_none());
    let day = plant.call("panda_harvester_workers", json!({"days": 1, "status": "running"})).await;
    assert!(day["by_site"].get("E1_JLAB").is_some());
    assert_eq!(day["by_status"].as_object().unwrap().len(), 1);
    assert!(hour["summary"].as_str().unwrap().ends_with("pilots total across all EIC sites (last 1h)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn today_is_compared_with_yesterday_and_one_site_with_another() {
    let plant = plant().await;
    let days = plant.call("panda_compare", json!({})).await;
    assert_eq!(days["a"]["start_time"], days["b"]["end_time"]);
    assert_eq!(days["a"]["end_time"], json!("2026-07-15T12:00:00"));
    let sites = plant.call("panda_compare", json!({"days": 20, "site": "E1%", "other_site": "NERSC%"})).await;
    assert_eq!(sites["a"]["start_time"], sites["b"]["start_time"]);
    let (a, b) = (sites["a"]["failed_share"].as_f64().unwrap(), sites["b"]["failed_share"].as_f64().unwrap());
    assert!((sites["change"]["failed_share"].as_f64().unwrap() - (a - b)).abs() < 1e-3);
    let same = plant
        .try_call("panda_compare", json!({"start_time": "2026-07-01", "other_start_time": "2026-07-01"}))
        .await;
    assert!(same.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_without_pilots_or_with_failures_only_looks_wrong() {
    let plant = plant().await;
    let cutoff = (now() - chrono::TimeDelta::hours(5)).format("%Y-%m-%dT%H:%M:%S");
    plant
        .script(&format!(
            "UPDATE doma_panda.jobsarchived4 SET jobstatus = 'failed' WHERE computingsite = 'E1_BNL' AND modificationtime >= '{cutoff}'"
        ))
        .await;
    let h = plant.call("panda_site_health", json!({"days": 2})).await;
    let site = |name: &str| array(&h["sites"]).iter().find(|s| s["site"] == name).cloned().unwrap();
    assert_eq!(site("E1_JLAB")["verdict"], json!("no pilots"));
    assert!(site("NERSC_Perlmutter_epic")["running"].as_i64().unwrap() > 0);
    let verdicts: i64 = h["by_verdict"].as_object().unwrap().values().map(|v| v.as_i64().unwrap()).sum();
    assert_eq!(json!(verdicts), h["count"]);
    let wrong = plant.call("panda_site_health", json!({"days": 2, "only_wrong": true})).await;
    assert!(
        array(&wrong["sites"])
            .iter()
            .all(|s| s["verdict"] != "ok" && s["wrong_since"] != Value::Null || s["last_finished"].is_null())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trends_have_a_point_for_every_bucket() {
    let plant = plant().await;
    let t = plant.call("panda_trend", json!({"days": 3, "bucket": "hour", "by": "site"})).await;
    let points = t["starts"].as_array().unwrap().len();
    assert!((72..=73).contains(&points), "{points}");
    for line in array(&t["series"]).iter().chain([&t["all"]]) {
        assert_eq!(line["finished"].as_array().unwrap().len(), points);
    }
    let sum = |line: &Value| -> i64 { array(&line["failed"]).iter().map(|n| n.as_i64().unwrap()).sum() };
    assert_eq!(array(&t["series"]).iter().map(sum).sum::<i64>(), sum(&t["all"]));
    let many = plant.try_call("panda_trend", json!({"days": 300, "bucket": "hour"})).await.unwrap_err();
    assert!(many.to_string().contains("take longer ones"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_refused_with_the_right_ones() {
    let plant = plant().await;
    let why =
        async |tool: &str, arguments: Value| plant.try_call(tool, arguments).await.unwrap_err().to_string();
    assert!(
        why("panda_error_summary", json!({"error_source": "bogus"}))
            .await
            .contains("accepted: brokerage, ddm")
    );
    assert!(why("panda_list_jobs", json!({"limit": 100_000})).await.contains("between 1 and 1000"));
    assert!(why("panda_list_jobs", json!({"limit": -1})).await.contains("between 1 and 1000"));
    assert!(why("panda_list_jobs", json!({"day": 3})).await.contains("did you mean 'days'"));
    assert!(why("panda_list_jobs", json!({"status": "runing"})).await.contains("did you mean 'running'"));
    assert!(why("panda_list_tasks", json!({"status": "closed"})).await.contains("is not a status"));
    assert!(why("panda_list_jobs", json!({"order": "age"})).await.contains("newest, oldest"));
    assert!(why("panda_study_job", json!({"pandaid": 1})).await.contains("job '1' not found"));
    assert!(why("panda_resource_usage", json!({"start_time": "yesterday"})).await.contains("ISO 8601"));
    assert!(
        why("panda_diagnose_jobs", json!({"status": "finished"})).await.contains("failed, cancelled, closed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_errors_of_the_whole_window_stand_beside_those_of_the_page() {
    let plant = plant().await;
    let small = plant.call("panda_diagnose_jobs", json!({"days": 20, "limit": 1})).await;
    let mut jobs: Vec<Value> = Vec::new();
    let mut arguments = json!({"days": 20, "limit": 1000});
    loop {
        let page = plant.call("panda_diagnose_jobs", arguments.clone()).await;
        assert_eq!(page["window"], small["window"]);
        jobs.extend(array(&page["jobs"]).iter().cloned());
        if page["pagination"]["has_more"] == json!(false) {
            break;
        }
        arguments["before_id"] = page["pagination"]["next_before_id"].clone();
    }
    assert_eq!(small["error_summary"]["total_faulty_jobs"], 1);
    assert_eq!(small["window"]["total_faulty_jobs"], json!(jobs.len()));
    // Counted by hand from the jobs themselves.
    let with = |component: &str| {
        jobs.iter().filter(|j| array(&j["errors"]).iter().any(|e| e["component"] == component)).count()
    };
    for component in ["pilot", "taskbuffer", "transformation", "supervisor"] {
        assert_eq!(small["window"]["by_component"][component], json!(with(component)), "{component}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destination_sites_are_those_of_all_jobs_of_a_pattern() {
    let plant = plant().await;
    let all = plant.call("panda_error_summary", json!({"days": 20, "limit": 3})).await;
    for pattern in array(&all["errors"]) {
        let mut seen = std::collections::BTreeSet::new();
        let jobs = plant
            .call(
                "panda_diagnose_jobs",
                json!({"days": 20, "limit": 1000, "error_component": pattern["error_source"], "error_code": pattern["error_code"]}),
            )
            .await;
        for job in array(&jobs["jobs"]) {
            seen.extend(job["destinationse"].as_str().map(str::to_owned));
        }
        // Other patterns may have the same code, so theirs are more.
        let told: Vec<&str> = array(&pattern["destination_sites"]).iter().filter_map(Value::as_str).collect();
        assert!(!told.is_empty() && told.iter().all(|t| seen.contains(*t)), "{told:?} against {seen:?}");
    }
}

#[tokio::test]
async fn a_series_too_long_for_an_answer_is_refused() {
    let plant = sqlite(&plan(), settings()).await;
    let refused =
        plant.try_call("panda_resource_usage", json!({"bucket": "hour"})).await.unwrap_err().to_string();
    assert!(refused.contains("buckets are more than 400"), "{refused}");
    let week = plant.call("panda_resource_usage", json!({"bucket": "hour", "days": 7})).await;
    assert_eq!(week["series"].as_array().unwrap().len(), 169);
    plant.close().await;
}
