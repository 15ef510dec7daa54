//! Pages: what they show, refuse and escape.

use serde_json::json;
use swf_db::testing::on_sqlite;
use swf_server::auth;
use swf_tools::links::encode;
use swf_tools::tables::SCHEMA;

use crate::pages_app::{ODD, Site, on_each};

#[tokio::test]
async fn lists_show_rows_that_lead_to_their_records() {
    on_each(async |site| {
        let made = site.fill().await;
        let agents = site.page("/workflow/agents/").await;
        assert!(
            agents.contains(r#"<a href="../../workflow/agents/data-agent-torre-1/">data-agent-torre-1</a>"#),
            "{agents}"
        );
        assert!(agents.contains(r#"<span class="badge ok">OK</span>"#));
        assert!(agents.contains("2 of 2 rows"));
        let files = site.page("/stf-files/?run_number=100010").await;
        assert!(files.contains("2.5 GB") && files.contains(r#"href="../runs/100010/""#), "{files}");
        let id = made["stf"]["file_id"].as_str().unwrap();
        for key in [id, "swf.100010.000001.stf"] {
            let file = site.page(&format!("/stf-files/{key}/")).await;
            assert!(file.contains("swf.100010.000001.000001.tf"), "{file}");
        }
        let run = site.page("/runs/100010/").await;
        assert!(run.contains("STF files") && run.contains("all 3") && run.contains("10–19"), "{run}");
        let execution = site.page("/workflow-executions/stf_datataking-torre.x-0001/").await;
        assert!(
            execution.contains("Progress")
                && execution.contains("stf_gen")
                && execution.contains("all is well"),
            "{execution}"
        );
        assert!(site.page("/workflow-definitions/stf_datataking/1.0%2Fa/").await.contains("executions"));
        let message = made["message"]["message_id"].as_str().unwrap();
        assert!(site.page(&format!("/workflow/messages/{message}/")).await.contains("filename"));
        assert!(site.page(&format!("/logs/{}/", made["log"]["id"])).await.contains("Traceback"));
        assert!(
            site.page(&format!("/subscribers/{}/", made["subscriber"]["subscriber_id"]))
                .await
                .contains("0.05")
        );
        assert!(site.page("/logs/summary/").await.contains("levelname=ERROR"));
    })
    .await;
}

#[tokio::test]
async fn nothing_that_anybody_wrote_becomes_markup() {
    on_each(async |site| {
        site.fill().await;
        let paths = [
            "/",
            "/workflow/agents/",
            "/workflow/messages/",
            "/logs/",
            "/logs/summary/",
            "/namespaces/",
            "/runs/100010/",
            "/workflow-definitions/stf_datataking/1.0%2Fa/",
            "/workflow/messages/?namespace=%3Cscript%3Ealert(9)%3C/script%3E",
            "/workflow/agents/?%3Cscript%3E=1",
            "/nothing/%3Cscript%3E/",
            "/logs/?search=%22%3E%3Cscript%3E",
            "/runs/?refresh=%3Cscript%3E",
            "/tools/swf_list_logs/?search=%3Cscript%3E",
        ];
        for path in paths {
            let got = site.get(path).await;
            let text = got.text.to_lowercase();
            assert!(
                !text.contains("<script>") && !text.contains("<img") && !text.contains("<b>mine"),
                "{path}: {text}"
            );
            assert_eq!(text.matches("<script ").count(), 1, "{path}");
        }
        let agent = site.page(&format!("/workflow/agents/{}/", encode(ODD))).await;
        assert!(agent.contains("a/b c.d%2F&lt;script&gt;"), "{agent}");
    })
    .await;
}

#[tokio::test]
async fn names_of_every_kind_are_linked_and_reached() {
    on_each(async |site| {
        site.fill().await;
        let odd = encode(ODD);
        for list in ["/workflow/agents/", "/workflow/messages/"] {
            let page = site.page(list).await;
            assert!(page.contains(&format!("../../workflow/agents/{odd}/")), "{list}: {page}");
        }
        let (status, agent) = site.json(&format!("/workflow/agents/{odd}/")).await;
        assert_eq!((status, &agent["name"]), (200, &json!(ODD)));
        let (_, found) = site.json(&format!("/workflow/messages/?sender_agent={odd}")).await;
        assert_eq!(found["total_count"], 1);
        assert!(site.page(&format!("/workflow/namespaces/{odd}/")).await.contains("Agents"));
    })
    .await;
}

#[tokio::test]
async fn filters_of_a_page_are_those_of_its_tool_and_others_are_refused_by_name() {
    on_each(async |site| {
        site.fill().await;
        let total = async |path: &str| {
            let (status, found) = site.json(path).await;
            assert_eq!(status, 200, "{path}: {found}");
            found["total_count"].as_i64().or(found["count"].as_i64()).unwrap()
        };
        assert_eq!(total("/workflow/agents/?namespace=torre1").await, 1);
        assert_eq!(total("/workflow/agents/?namespace=&status=").await, 2);
        assert_eq!(total("/logs/?level=ERROR").await, 1);
        assert_eq!(
            total("/logs/?instance_name=data-agent-torre-1&execution_id=stf_datataking-torre.x-0001").await,
            2
        );
        // Filters that only the records have.
        assert_eq!(total("/logs/?levelname=INFO").await, 1);
        assert_eq!(total("/workflow/messages/?recipient_agent=nobody").await, 0);
        assert_eq!(total("/tf-slices/?tf_filename=swf.100010.000001.000001.tf").await, 3);
        assert_eq!(total("/fastmon-files/?stf_filename=swf.100010.000001.stf").await, 1);
        assert_eq!(total("/workflow-executions/?executed_by=torre&status=running").await, 1);
        assert_eq!(total("/workflow-executions/?workflow=stf_datataking").await, 1);
        assert_eq!(total("/workflow-definitions/?workflow_name=stf_datataking").await, 1);

        for (path, words) in [
            ("/workflow/agents/?namspace=x", "did you mean &#x27;namespace&#x27;?"),
            ("/workflow/agents/?status=GREAT", "accepted: OK, WARNING"),
            ("/logs/?level=LOUD", "accepted: DEBUG, INFO"),
            ("/logs/?start_time=yesterday", "is not an ISO 8601 time"),
            ("/fastmon-files/?status=x", "must be one of"),
            ("/fastmon-files/?run_number=seven", "must be an integer"),
            ("/runs/?limit=0", "0"),
            ("/runs/?refresh=1", "between 5 and 3600"),
            ("/runs/?limit=5&limit=6", "more than once"),
            ("/runs/100010/?x=1", "has no filters"),
            ("/logs/summary/?level=x", "accepted: app_name, instance_name"),
        ] {
            let got = site.get(path).await;
            assert_eq!(got.status, 400, "{path}: {}", got.text);
            assert!(got.text.contains(words), "{path}: {}", got.text);
            assert_eq!(site.json(path).await.0, 400, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn long_lists_go_on_without_gap_or_repetition() {
    on_each(async |site| {
        site.fill().await;
        for n in 0..25 {
            let body = json!({"app_name": "bulk", "instance_name": "i", "timestamp": "2026-01-01T00:00:00Z",
                "level": 20, "levelname": "INFO", "message": format!("entry-{n:03}"), "module": "m", "funcname": "f",
                "lineno": 1, "process": 1, "thread": 1});
            site.make("logs", body).await;
            site.make("fastmon-files", json!({"stf_file": "swf.100010.000001.stf", "tf_filename": format!("entry-{n:03}"), "status": "done"})).await;
        }
        for start in ["/logs/?app_name=bulk&limit=10&start_time=2026-01-01T00:00:00Z", "/fastmon-files/?status=done&limit=10", "/logs/?app_name=bulk&levelname=INFO&limit=10"] {
            let path = start.split('?').next().unwrap();
            let (mut at, mut seen, mut pages) = (start.to_owned(), Vec::new(), 0);
            loop {
                let page = site.page(&at).await;
                let names = page.split("entry-").skip(1).map(|rest| rest[..3].to_owned());
                for name in names {
                    if seen.last() != Some(&name) {
                        seen.push(name);
                    }
                }
                pages += 1;
                let Some(next) = page.split(r#"rel="next" href=""#).nth(1) else { break };
                at = format!("{path}{}", next.split('"').next().unwrap().replace("&amp;", "&"));
            }
            let newest_first: Vec<String> = (0..25).rev().map(|n| format!("{n:03}")).collect();
            assert_eq!((pages, seen), (3, newest_first), "{start}");
        }
    })
    .await;
}

#[tokio::test]
async fn missing_things_say_where_to_look() {
    on_each(async |site| {
        for (path, words) in [
            ("/runs/7/", "list: Runs"),
            ("/runs/abc/", "is not a whole number"),
            ("/workflow/agents/nobody/", "list: Agents"),
            ("/workflow/messages/nothing/", "list: Messages"),
            ("/workflow-definitions/a/b/", "list: Workflow definitions"),
            ("/pcs/tags/x/", "list: Physics configuration"),
            ("/tools/nothing/", "swf_list_agents"),
            ("/no/such/page/", "all tools"),
            ("/static/nothing.css", "not found"),
        ] {
            let got = site.get(path).await;
            assert_eq!(got.status, 404, "{path}: {}", got.text);
            assert!(got.text.contains(words), "{path}: {}", got.text);
        }
        let (status, problem) = site.json("/runs/7/").await;
        assert_eq!((status, &problem["status"]), (404, &json!(404)));
    })
    .await;
}

#[tokio::test]
async fn the_same_page_is_json_for_programs() {
    on_each(async |site| {
        site.fill().await;
        let page = format!("{}/workflow/agents/", site.root);
        for (url, accept) in
            [(page.clone(), "application/json"), (format!("{page}?format=json"), "text/html")]
        {
            let got = site.fetch(&url, accept).await;
            assert_eq!(got.headers["content-type"], "application/json");
            let body: serde_json::Value = serde_json::from_str(&got.text).unwrap();
            assert_eq!(body["items"].as_array().unwrap().len(), 2);
        }
        for path in [
            "/",
            "/testbed/",
            "/prod/",
            "/about/",
            "/logs/summary/",
            "/tools/",
            "/tools/swf_list_runs/",
            "/tools/swf_list_runs/?limit=1",
            "/persistent-state/",
        ] {
            assert_eq!(site.json(path).await.0, 200, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_bear_strict_headers_and_no_inline_script_or_style() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let site = Site::start(&db, "/swf-monitor").await;
        for path in ["/", "/workflow/agents/", "/nothing/", "/static/style.css"] {
            let got = site.get(path).await;
            let policy = got.headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{policy}"
            );
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(got.headers["x-content-type-options"], "nosniff");
            assert!(!got.text.contains("style=\"") && !got.text.contains("onclick"), "{path}");
            for outside in ["https://", "http://", "src=\"//"] {
                let own = got.text.replace(&site.root, "").replace("http://www.w3.org/2000/svg", "");
                assert!(!own.contains(outside), "{path} names {outside}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn pages_work_under_any_prefix_with_and_without_slash() {
    for prefix in ["", "/swf-monitor", "/a/b"] {
        on_sqlite(Some(&SCHEMA), async |db| {
            let site = Site::start(&db, prefix).await;
            let origin = site.root.strip_suffix(prefix).unwrap().to_owned();
            for path in ["/", "/testbed/", "/workflow/agents/", "/workflow/agents", "/runs/?limit=5"] {
                let page = site.page(path).await;
                let base = reqwest::Url::parse(&format!("{}{path}", site.root)).unwrap();
                for link in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                    let url = base.join(&link.replace("&amp;", "&")).unwrap();
                    assert!(
                        url.as_str().starts_with(&format!("{}/", site.root)),
                        "{path} at {prefix:?} links to {url}"
                    );
                }
                assert!(page.contains("static/style.css"));
            }
            if !prefix.is_empty() {
                for (from, to) in [("/", format!("{prefix}/")), (prefix, format!("{prefix}/"))] {
                    let got = site.fetch(&format!("{origin}{from}"), "text/html").await;
                    assert_eq!(
                        (got.status, got.headers["location"].to_str().unwrap()),
                        (302, to.as_str()),
                        "{from}"
                    );
                }
            }
            let home = site.get("/home/").await;
            assert_eq!((home.status, home.headers["location"].to_str().unwrap()), (302, "../prod/"));
        })
        .await;
    }
}

#[tokio::test]
async fn callers_see_on_pages_what_the_tools_show_them() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let closed = auth::Config { anonymous: None, ..auth::Config::default() };
        let site = Site::with(&db, "", closed).await;
        for path in [
            "/",
            "/workflow/agents/",
            "/fastmon-files/",
            "/subscribers/",
            "/testbed/",
            "/logs/summary/",
            "/runs/1/",
        ] {
            let got = site.get(path).await;
            assert_eq!(got.status, 401, "{path}: {}", got.text);
            assert!(got.headers.contains_key("www-authenticate"), "{path}");
        }
        // What the service can do is no secret.
        assert_eq!(site.get("/tools/").await.status, 200);
        assert_eq!(site.get("/about/").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn without_its_database_a_page_says_what_still_works() {
    on_each(async |site| {
        site.db.close().await;
        for path in ["/workflow/agents/", "/fastmon-files/", "/testbed/", "/runs/1/", "/logs/summary/"] {
            let got = site.get(path).await;
            assert_eq!(got.status, 503, "{path}: {}", got.text);
            assert!(
                got.text.contains("What still works") && got.text.contains(r#"http-equiv="refresh""#),
                "{path}"
            );
            assert!(got.headers.contains_key("retry-after"));
            assert_eq!(site.json(path).await.0, 503);
        }
        assert!(site.page("/").await.contains("does not answer"));
        assert!(site.page("/about/").await.contains("swf"));
    })
    .await;
}

#[tokio::test]
async fn tools_that_look_can_be_tried_and_others_cannot() {
    on_each(async |site| {
        site.fill().await;
        let tools = site.page("/tools/").await;
        for tool in swf_tools::registry::all() {
            assert!(tools.contains(&format!("../tools/{}/", tool.name)), "{}", tool.name);
            let page = site.page(&format!("/tools/{}/", tool.name)).await;
            assert_eq!(
                page.contains("<form"),
                tool.hints.read_only && page.contains("<input name") || page.contains("<select"),
                "{}",
                tool.name
            );
        }
        let tried = site.page("/tools/swf_list_agents/?run=1&namespace=torre1").await;
        assert!(tried.contains("Answer as JSON") && tried.contains("data-agent-torre-1"), "{tried}");
        let wrong = site.page("/tools/swf_list_agents/?run=1&status=GREAT").await;
        assert!(wrong.contains("is not a status"), "{wrong}");
        assert_eq!(site.get("/tools/swf_stop_workflow/?execution_id=x").await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn refreshing_is_asked_for_and_kept_while_paging() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let site = Site::start(&db, "").await;
        site.fill().await;
        let page = site.page("/tf-slices/?limit=1&refresh=10").await;
        assert!(page.contains(r#"<meta http-equiv="refresh" content="10">"#), "{page}");
        let next = page.split(r#"rel="next" href=""#).nth(1).unwrap().split('"').next().unwrap();
        assert!(next.contains("refresh=10"), "{next}");
        assert!(!site.page("/tf-slices/").await.contains("http-equiv=\"refresh\""));
    })
    .await;
}
