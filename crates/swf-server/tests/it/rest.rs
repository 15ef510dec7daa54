//! The frame of the REST interface: paths, methods, content types, pages.

use serde_json::json;

use crate::harness::{TestApp, on_each};
use swf_db::testing::on_sqlite;
use swf_server::{auth, rest};
use swf_tools::tables::SCHEMA;

#[tokio::test]
async fn paths_work_with_and_without_slash_and_below_a_prefix() {
    on_each(async |app| {
        for (path, number) in [("/api/runs/", 1), ("/api/runs", 2), ("/swf-monitor/api/runs/", 3)] {
            let run =
                app.make(path, json!({"run_number": number, "start_time": "2026-11-22T10:00:00Z"})).await;
            for form in ["", "/"] {
                let one = app.get(&format!("{path}/{}{form}", run["run_id"]).replace("//", "/")).await;
                assert_eq!(one.body, run);
            }
        }
        let root = app.get("/swf-monitor/api/").await.body;
        assert_eq!(root["runs"], format!("{}/swf-monitor/api/runs/", app.url));
        assert_eq!(app.get("/api").await.body.as_object().unwrap().len(), 15);
    })
    .await;
}

#[tokio::test]
async fn refusals_are_json_in_the_known_words() {
    on_each(async |app| {
        let detail = async |method: &str, path: &str| {
            let answer = app.call(method, path, serde_json::Value::Null).await;
            (answer.status, answer.body["detail"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(detail("GET", "/api/nothing/here/").await, (404, "Not found.".into()));
        assert_eq!(detail("GET", "/api/runs/abc/").await, (404, "Not found.".into()));
        assert_eq!(detail("GET", "/api/runs/999/").await, (404, "No Run matches the given query.".into()));
        assert_eq!(
            detail("GET", "/api/tf-slices/99999999999999999999/").await,
            (404, "No TFSlice matches the given query.".into())
        );
        assert_eq!(detail("GET", "/api/stf-files/x/").await, (404, "Not found.".into()));
        assert_eq!(detail("POST", "/api/runs/1/").await, (405, "Method \"POST\" not allowed.".into()));
        assert_eq!(detail("DELETE", "/api/logs/1/").await, (405, "Method \"DELETE\" not allowed.".into()));
        assert_eq!(
            detail("GET", "/api/state/next-run-number/").await,
            (405, "Method \"GET\" not allowed.".into())
        );
        assert_eq!(detail("GET", "/api/runs/?format=xml").await, (404, "Not found.".into()));

        let bearer = format!("Bearer {}", app.token);
        let post = || app.request("POST", "/api/runs/").header("authorization", &bearer);
        let answer = app.send(post().header("content-type", "application/json").body("{\"a\":")).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body["detail"].as_str().unwrap().starts_with("JSON parse error - "));
        let answer = app.send(post().header("content-type", "text/plain").body("x")).await;
        assert_eq!(answer.status, 415);
        assert_eq!(answer.body["detail"], "Unsupported media type \"text/plain\" in request.");
        let answer = app.send(post().header("accept", "application/xml")).await;
        assert_eq!(answer.status, 406);
        let answer = app.send(post().json(&json!([]))).await;
        assert_eq!(
            answer.body,
            json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]})
        );
        let answer = app
            .send(post().form(&[
                ("run_number", "7"),
                ("start_time", "2026-11-22T10:00:00Z"),
                ("end_time", ""),
            ]))
            .await;
        assert_eq!((answer.status, &answer.body["end_time"]), (201, &json!(null)));
        let options = app.call("OPTIONS", "/api/runs/", json!(null)).await;
        assert_eq!(options.body["actions"]["POST"]["run_number"]["required"], true);
    })
    .await;
}

#[tokio::test]
async fn lists_are_bare_unless_a_page_is_asked_for_and_say_when_they_are_cut() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let config = rest::Config { most_rows: 4, ..rest::Config::default() };
        let app = TestApp::with(&db, auth::Config::default(), config).await;
        for number in 0..6 {
            app.make("/api/runs/", json!({"run_number": number, "start_time": "2026-11-22T10:00:00Z"})).await;
        }
        let cut = app.get("/api/runs/").await;
        assert_eq!(cut.body.as_array().unwrap().len(), 4);
        assert_eq!(cut.headers["x-total-count"], "6");
        let next = format!("<{}/api/runs/?limit=4&offset=4>; rel=\"next\"", app.url);
        assert_eq!(cut.headers["link"], next.as_str());
        let page = app.get("/api/runs/?limit=2&offset=2").await.body;
        assert_eq!(page["count"], 6);
        assert_eq!(page["results"][0]["run_number"], 2);
        assert_eq!(page["next"], format!("{}/api/runs/?limit=2&offset=4", app.url));
        assert_eq!(page["previous"], format!("{}/api/runs/?limit=2", app.url));
        for (query, field) in
            [("limit=0", "limit"), ("limit=5", "limit"), ("offset=-1", "offset"), ("nonsense=1", "nonsense")]
        {
            let answer = app.get(&format!("/api/runs/?{query}")).await;
            assert_eq!(answer.status, 400, "{query}");
            assert!(answer.body[field][0].is_string(), "{}", answer.body);
        }
        let answer = app.get("/api/runs/?run_number=1&run_number=2").await;
        assert_eq!(answer.status, 400);
    })
    .await;
}

#[tokio::test]
async fn naive_times_are_counted() {
    on_sqlite(Some(&SCHEMA), &async |db: swf_db::testing::TestDb| {
        let rig = crate::rig::Rig::start(&db).await;
        let counted = async || {
            let text = rig.get("/metrics").send().await.unwrap().text().await.unwrap();
            let line = text.lines().find_map(|l| l.strip_prefix("swf_naive_times_total ").map(str::to_owned));
            line.map_or(0, |n| n.parse::<u64>().unwrap())
        };
        let run = async |number: i64, start: &str| {
            let body = json!({"run_number": number, "start_time": start});
            let request = rig.http.post(format!("{}/api/runs/", rig.url)).json(&body);
            let answer =
                request.header("authorization", format!("Token {}", rig.token)).send().await.unwrap();
            assert_eq!(answer.status(), 201);
        };
        let before = counted().await;
        run(1, "2026-11-22T10:00:00Z").await;
        assert_eq!(counted().await, before);
        run(2, "2026-11-22T10:00:00").await;
        assert_eq!(counted().await, before + 1);
        rig.stop().await;
    })
    .await;
}
