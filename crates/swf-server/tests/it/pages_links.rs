//! No link is dead: what tools and pages link to answers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::pages_app::on_each_with_panda;

#[tokio::test]
async fn every_link_of_every_tool_answers() {
    on_each_with_panda(async |site| {
        site.fill().await;
        let mut seen = BTreeSet::new();
        for tool in swf_tools::registry::all().filter(|t| t.hints.read_only) {
            for arguments in calls(tool) {
                let query = swf_tools::links::encode(&arguments.to_string());
                let asked: Vec<String> = arguments
                    .as_object()
                    .unwrap()
                    .iter()
                    .map(|(n, v)| {
                        format!("{n}={}", swf_tools::links::encode(v.as_str().unwrap_or(&v.to_string())))
                    })
                    .collect();
                let (status, answer) =
                    site.json(&format!("/api/v1/tools/{}/?{}", tool.name, asked.join("&"))).await;
                assert!(status < 500 || status == 503, "{} {query}: {answer}", tool.name);
                for link in answer["monitor_urls"].as_array().into_iter().flatten() {
                    let url = link["url"].as_str().unwrap();
                    if url.starts_with(&site.root) && seen.insert(url.to_owned()) {
                        let got = site.fetch(url, "text/html").await;
                        assert_eq!(got.status, 200, "{} links to {url}: {}", tool.name, got.text);
                    }
                }
            }
        }
        assert!(seen.len() >= 12, "{seen:?}");
    })
    .await;
}

/// The example of a tool, and a call that finds something in the records of these tests.
fn calls(tool: &swf_tools::ToolDef) -> Vec<Value> {
    let known = [
        ("name", json!("data-agent-torre-1")),
        ("namespace", json!("torre1")),
        ("execution_id", json!("stf_datataking-torre.x-0001")),
        ("run_number", json!(100010)),
        ("stf_filename", json!("swf.100010.000001.stf")),
        ("log_id", json!(1)),
    ];
    let schema = tool.input_schema();
    let properties: Map<String, Value> = schema["properties"].as_object().cloned().unwrap_or_default();
    let fitting: Map<String, Value> = known
        .into_iter()
        .filter(|(n, _)| properties.contains_key(*n))
        .map(|(n, v)| (n.to_owned(), v))
        .collect();
    vec![serde_json::from_str(tool.example).unwrap(), Value::Object(fitting)]
}

#[tokio::test]
async fn every_page_can_be_reached_from_home_and_none_links_to_nothing() {
    on_each_with_panda(async |site| {
        site.fill().await;
        let start = reqwest::Url::parse(&format!("{}/", site.root)).unwrap();
        let mut kinds = std::collections::BTreeMap::new();
        let (mut todo, mut seen) = (vec![start.clone()], BTreeSet::from([start.to_string()]));
        while let Some(url) = todo.pop() {
            let got = site.fetch(url.as_str(), "text/html").await;
            assert!(got.status == 200 || got.status == 302, "{url}: {} {}", got.status, got.text);
            if !got.headers.get("content-type").is_some_and(|t| t.as_bytes().starts_with(b"text/html")) {
                continue;
            }
            for link in got.text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let mut next = url.join(&unescaped(link)).unwrap();
                next.set_fragment(None);
                // Windows move with the clock: each page would be new for ever.
                let moving = ["start_time", "refresh", "format", "cursor"];
                if next.query_pairs().any(|(name, _)| moving.contains(&name.as_ref())) {
                    continue;
                }
                assert!(next.as_str().starts_with(&site.root), "{url} links to {next}");
                // Of the many jobs, tasks and filters of one kind a dozen tell as much as all.
                let names: Vec<String> = next.query_pairs().map(|(n, _)| n.into_owned()).collect();
                let parent = next.path().trim_end_matches('/').rsplit_once('/').map(|(up, _)| up.to_owned());
                let kind =
                    if names.is_empty() { (parent, names) } else { (Some(next.path().to_owned()), names) };
                let of_kind = kinds.entry(kind).or_insert(0);
                if *of_kind >= 12 && (next.query().is_some() || next.path().contains("/panda/")) {
                    continue;
                }
                *of_kind += u32::from(!seen.contains(next.as_str()));
                if seen.insert(next.to_string()) {
                    todo.push(next);
                }
            }
        }
        for path in [
            "/workflow/agents/",
            "/workflow/messages/",
            "/runs/100010/",
            "/tf-slices/",
            "/subscribers/",
            "/persistent-state/",
            "/tools/swf_list_agents/",
            "/logs/summary/",
        ] {
            assert!(seen.contains(&format!("{}{path}", site.root)), "{path} is not linked from anywhere");
        }
    })
    .await;
}

fn unescaped(text: &str) -> String {
    text.replace("&#x2f;", "/")
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[tokio::test]
async fn pages_of_the_production_show_jobs_tasks_errors_and_queues() {
    on_each_with_panda(async |site| {
        let (_, jobs) = site.json("/panda/jobs/?status=failed&limit=3").await;
        let job = &jobs["jobs"][0];
        let (pandaid, task) = (job["pandaid"].to_string(), job["jeditaskid"].to_string());
        let list = site.page("/panda/jobs/?status=failed&limit=3").await;
        assert!(
            list.contains(&format!("../../panda/jobs/{pandaid}/")) && list.contains("before_id="),
            "{list}"
        );
        assert!(site.page(&format!("/panda/jobs/{pandaid}/")).await.contains("failed"));
        assert!(
            site.page(&format!("/panda/tasks/{task}/"))
                .await
                .contains(&format!("../../panda/jobs/{pandaid}/"))
        );
        assert!(site.page("/panda/tasks/").await.contains("/panda/tasks/"));
        assert!(site.page("/panda/errors/").await.contains("error_component="));
        assert!(site.page("/panda/diagnostics/?error_source=pilot").await.contains("pilot"));
        assert!(site.page("/panda/activity/?days=3").await.contains("By site"));
        let queues = site.page("/panda/epic-queues/").await;
        let name = queues
            .split("/panda/epic-queues/")
            .filter_map(|r| r.split("/\"").next())
            .find(|n| !n.is_empty() && n.len() < 60);
        assert!(site.page(&format!("/panda/epic-queues/{}/", name.unwrap())).await.contains("Status"));
        for missing in ["/panda/jobs/1/", "/panda/jobs/x/", "/panda/tasks/1/", "/panda/epic-queues/nowhere/"]
        {
            assert_eq!(site.get(missing).await.status, 404, "{missing}");
        }
        assert_eq!(site.get("/panda/jobs/?dayz=1").await.status, 400);
    })
    .await;
}
