//! Logs fetched from a real HTTP server on this machine.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use swf_tools::panda::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::{Plant, plan, plant, sqlite};

/// Serves fixed answers by path (without query): status, content type, body, or `Location` for 3xx.
async fn server(pages: Vec<(&'static str, u16, &'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages: HashMap<String, (u16, &str, String)> =
        pages.into_iter().map(|(path, status, kind, body)| (path.to_owned(), (status, kind, body))).collect();
    tokio::spawn(async move {
        loop {
            let Ok((mut socket, _)) = listener.accept().await else { return };
            let pages = pages.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let n = socket.read(&mut request).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&request[..n]).into_owned();
                let target = text.split_whitespace().nth(1).unwrap_or("/").to_owned();
                let path = target.split('?').next().unwrap_or("/").to_owned();
                let (status, kind, body) =
                    pages.get(&path).cloned().unwrap_or((404, "text/plain", "no".into()));
                if status == 599 {
                    // Says nothing, and holds the line until the other side gives up.
                    let _ = socket.read(&mut request).await;
                    return;
                }
                let location = if (300..400).contains(&status) {
                    format!("Location: {body}\r\n")
                } else {
                    String::new()
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = socket.write_all(head.as_bytes()).await;
                let _ = socket.write_all(body.as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

fn local(settings: Settings) -> Settings {
    Settings {
        private_hosts: vec!["127.0.0.1".into()],
        fetch_timeout: Duration::from_millis(1500),
        fetch_bytes: 20_000,
        connections: 3,
        ..settings
    }
}

/// A production and one of its jobs that failed with a pilot code (and exit code).
async fn failed(code: i64, exit: Option<&str>) -> (Plant, i64) {
    let plant = sqlite(&plan(), Settings::default()).await;
    let found = plant
        .call("panda_diagnose_jobs", json!({"days": 20, "error_code": code, "exit_code": exit, "error_component": "pilot", "limit": 1}))
        .await;
    let id = found["jobs"][0]["pandaid"].as_i64().unwrap();
    (plant, id)
}

async fn analysis(base: &Plant, settings: Settings, id: i64) -> (Value, Value) {
    let plant = plant(&base.url, local(settings)).await;
    let mut study = plant.call("panda_study_job", json!({"pandaid": id})).await;
    (study["log_analysis"].take(), study["log_urls"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_browser_gives_the_payload_log_of_a_payload_failure() {
    let (base, id) = failed(1305, Some("127")).await;
    let log = "setup done\nFinished processing.\n".to_owned()
        + &"x\n".repeat(400)
        + "/bin/bash: line 1: eicrecon: command not found\n";
    let url = server(vec![("/filebrowser/", 200, "text/plain", log)]).await;
    let (a, _) = analysis(&base, Settings { api_url: Some(url), ..Settings::default() }, id).await;
    assert_eq!((&a["log_source"], &a["log_filename"]), (&json!("filebrowser"), &json!("payload.stdout")));
    assert_eq!((&a["failure_type"], &a["layer"]), (&json!("payload_error"), &json!("payload")));
    assert!(a["log_excerpt"].as_str().unwrap().trim_end().ends_with("command not found"));
    assert_eq!(a["phases"]["reconstruction_complete"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_browser_refuses_is_said_and_a_login_page_is_no_log() {
    let (base, id) = failed(1137, None).await;
    for (status, kind, body, expected) in [
        (404, "application/json", r#"{"error": "No such log file found in tarball"}"#, "No such log file"),
        (200, "text/html", "<!DOCTYPE html><title>sign in</title>", "asks for a login"),
        (302, "text/plain", "https://login.example.org/", "login.example.org is not among the configured"),
        (500, "text/plain", "oops", "answered 500"),
        (599, "text/plain", "", "did not answer within"),
    ] {
        let url = server(vec![("/filebrowser/", status, kind, body.to_owned())]).await;
        let (a, _) = analysis(&base, Settings { api_url: Some(url), ..Settings::default() }, id).await;
        assert_eq!(a["log_available"], json!(false), "{a}");
        assert!(a["reason"].as_str().unwrap().contains(expected), "{expected}: {}", a["reason"]);
        assert_eq!(a["failure_type"], json!("stageout_failed"), "the code still tells");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pilot_log_comes_from_where_harvester_says_when_that_host_is_configured() {
    let (base, id) = failed(1099, None).await;
    let mut log = "start\n".repeat(9000);
    log.push_str("ERROR Failed to stage-in file: evgen.1.root\nlater line\n");
    let url = server(vec![("/logs/a.out", 200, "text/plain", log)]).await;
    base.script(&format!(
        "UPDATE doma_panda.harvester_workers SET stdout = '{url}/logs/a.out' WHERE workerid = {}",
        id + 1000
    ))
    .await;
    let hosts = Settings { log_hosts: vec!["127.0.0.1".into()], ..Settings::default() };
    let (a, urls) = analysis(&base, hosts, id).await;
    assert_eq!(urls["pilot_stdout"], json!(format!("{url}/logs/a.out")));
    assert_eq!((&a["log_source"], &a["failure_type"]), (&json!("harvester"), &json!("stagein_failed")));
    assert!(a["log_excerpt"].as_str().unwrap().ends_with("Failed to stage-in file: evgen.1.root"));
    // The same address is not fetched when its host is private and was not declared so.
    let undeclared = Settings { log_hosts: vec!["127.0.0.1".into()], ..Settings::default() };
    let plant = plant(&base.url, undeclared).await;
    let study = plant.call("panda_study_job", json!({"pandaid": id})).await;
    assert!(
        study["log_analysis"]["reason"].as_str().unwrap().contains("private address"),
        "{}",
        study["log_analysis"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn perlmutter_logs_come_from_the_portal_and_harvester_does_not_override_them() {
    let base = sqlite(&plan(), Settings::default()).await;
    let found = base
        .call("panda_diagnose_jobs", json!({"days": 20, "site": "NERSC_Perlmutter_epic", "error_component": "pilot", "status": "failed", "limit": 1}))
        .await;
    let id = found["jobs"][0]["pandaid"].as_i64().unwrap();
    let folder: &'static str = Box::leak(format!("/jobs/NERSC_Perlmutter_epic/{id}/").into_boxed_str());
    let file: &'static str = Box::leak(format!("{folder}pilotlog.txt").into_boxed_str());
    let page = format!(r#"<a href="pilotlog.txt">p</a> <a href="slurm-123-task4-panda{id}.out">s</a>"#);
    let url = server(vec![
        (folder, 200, "text/html", page),
        (file, 200, "text/plain", "pilot ran\nout of memory\n".into()),
    ])
    .await;
    let settings = Settings { nersc_url: Some(format!("{url}/jobs")), ..Settings::default() };
    let (a, urls) = analysis(&base, settings, id).await;
    assert_eq!(urls["pilot_stdout"], json!(format!("{url}{file}")));
    assert_eq!(urls["slurm_task_stdout"], json!(format!("{url}{folder}slurm-123-task4-panda{id}.out")));
    assert!(urls.get("batch_log").is_none() && urls.get("pilot_stderr").is_none());
    assert_eq!(a["log_source"], json!("nersc_portal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pilots_come_from_the_monitors_api_when_it_answers_and_else_from_the_table() {
    let base = sqlite(&plan(), Settings::default()).await;
    let rows = json!([
        {"harvesterid": "h", "computingsite": "E1_BNL", "resourcetype": "SCORE", "status": "running", "nworkers": 7, "lastupdate": "2026-07-15T11:50:00", "jobtype": "managed"},
        {"harvesterid": "h", "computingsite": "E1_BNL", "resourcetype": null, "status": "failed", "nworkers": 2, "lastupdate": "2026-07-15T11:50:00"},
        {"harvesterid": "h", "computingsite": "E1_BNL", "status": "failed", "nworkers": "many"},
        {"harvesterid": "h", "computingsite": "OTHER_VO_CLUSTER_1", "resourcetype": "MCORE", "status": "running", "nworkers": 900}
    ]);
    let url = server(vec![("/harvester/getworkerstats/", 200, "application/json", rows.to_string())]).await;
    let with = plant(&base.url, local(Settings { api_url: Some(url), ..Settings::default() })).await;
    let w = with.call("panda_harvester_workers", json!({})).await;
    assert_eq!(
        (&w["nworkers_total"], &w["by_resourcetype"]),
        (&json!(9), &json!({"SCORE": 7, "unknown": 2}))
    );
    assert!(w["source"].as_str().unwrap().starts_with("bigpanda"));
    let broken = server(vec![("/harvester/getworkerstats/", 400, "text/plain", "bad times".into())]).await;
    let with = plant(&base.url, local(Settings { api_url: Some(broken), ..Settings::default() })).await;
    let w = with.call("panda_harvester_workers", json!({})).await;
    assert!(w["source"].as_str().unwrap().contains("answered 400"), "{}", w["source"]);
    assert!(w["nworkers_total"].as_i64().unwrap() > 9);
}
