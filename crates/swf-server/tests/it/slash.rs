//! The `/panda` command as Mattermost sends it.

use std::collections::BTreeSet;

use serde_json::Value;
use swf_db::testing::on_sqlite;
use swf_server::rest;
use swf_tools::tables::SCHEMA;

use crate::rig::{Rig, Wishes, production};

const TOKEN: &str = "shared-secret";

async fn with_command(token: &str, test: impl AsyncFn(&Rig)) {
    on_sqlite(Some(&SCHEMA), async |db| {
        let folder = tempfile::tempdir().unwrap();
        let panda = Some(production(folder.path()).await);
        let rest = rest::Config { slash_token: token.into(), ..rest::Config::default() };
        let rig = Rig::with(&db, Wishes { panda, rest, ..Wishes::default() }).await;
        test(&rig).await;
        rig.stop().await;
    })
    .await;
}

async fn send(rig: &Rig, token: &str, text: &str) -> (u16, String) {
    let form = [
        ("token", token),
        ("command", "/panda"),
        ("text", text),
        ("user_name", "alice"),
        ("channel_id", "c"),
    ];
    // Mattermost sends the secret in this header, too.
    let request = rig
        .http
        .post(format!("{}/api/slash/panda/", rig.url))
        .header("authorization", format!("Token {token}"));
    let response = request.form(&form).send().await.unwrap();
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    (status, body["text"].as_str().unwrap().to_owned())
}

async fn say(rig: &Rig, text: &str) -> String {
    let (status, text) = send(rig, TOKEN, text).await;
    assert_eq!(status, 200);
    text
}

#[tokio::test]
async fn only_who_knows_the_secret_is_answered_and_without_a_secret_nobody() {
    let refused = (401, "Unauthorized.".to_owned());
    with_command(TOKEN, async |rig| {
        assert_eq!(send(rig, "wrong", "help").await, refused);
        assert_eq!(send(rig, "", "help").await, refused);
        assert!(say(rig, "help").await.starts_with("#### /panda \u{2014} PanDA Slash Commands"));
        assert_eq!(say(rig, "").await, say(rig, "HELP").await);
        assert_eq!(say(rig, "dance").await, "Unknown subcommand `dance`. Try `/panda help`");
    })
    .await;
    with_command("", async |rig| {
        assert_eq!(send(rig, "", "help").await, refused);
        assert_eq!(send(rig, TOKEN, "help").await, refused);
    })
    .await;
}

#[tokio::test]
async fn its_figures_are_those_of_the_tools() {
    with_command(TOKEN, async |rig| {
        let activity: Value = rig.json("/api/v1/tools/panda_get_activity/?days=1").await;
        let status = say(rig, "status").await;
        assert!(status.starts_with("#### PanDA Activity (last 24h)\n**Jobs:** "), "{status}");
        assert!(status.contains(&format!("**Jobs:** {}\n", activity["jobs"]["total"])), "{status}");
        let site = activity["jobs"]["by_site"][0].clone();
        assert!(
            status.contains(&format!("  {}: {}\n", site["site"].as_str().unwrap(), site["total"])),
            "{status}"
        );
        assert!(status.ends_with("_Synthetic production_"), "{status}");

        let summary: Value = rig.json("/api/v1/tools/panda_error_summary/?days=5&limit=10").await;
        let errors = say(rig, "errors 5").await;
        let top = &summary["errors"][0];
        let line = format!(
            "- **{}:{}** \u{d7} {} (",
            top["error_source"].as_str().unwrap(),
            top["error_code"],
            top["count"]
        );
        assert!(errors.starts_with("#### Top Errors (last 5 days)\nTotal error occurrences: "), "{errors}");
        assert!(errors.contains(&line), "{errors}");
        assert!(say(rig, "errors many").await.starts_with("#### Top Errors (last 7 days)"));

        let sites = say(rig, "sites").await;
        let name = site["site"].as_str().unwrap();
        assert!(
            sites.contains(&format!("| {name} | ")) && sites.contains(&format!(" | {} |\n", site["total"])),
            "{sites}"
        );
        let one = say(rig, &format!("site {name}")).await;
        assert!(one.starts_with(&format!("#### Site: {name}\n**status:** ")), "{one}");
        assert!(one.contains(&format!("**Jobs (24h):** {}\n", site["total"])), "{one}");
        assert!(say(rig, "site NOWHERE").await.starts_with("Error: "));
    })
    .await;
}

#[tokio::test]
async fn one_job_and_one_task_are_told_and_missing_ones_named() {
    with_command(TOKEN, async |rig| {
        let failed: Value = rig.json("/api/v1/tools/panda_list_jobs/?status=failed&limit=1").await;
        let (id, task) = (&failed["jobs"][0]["pandaid"], &failed["jobs"][0]["jeditaskid"]);
        let job = say(rig, &format!("job {id}")).await;
        assert!(job.starts_with(&format!("#### Job {id}\n**Status:** failed\n**Site:** ")), "{job}");
        assert!(
            job.contains("\n- `") && job.contains("**Failure type:** ") && job.contains("**Pages:** ["),
            "{job}"
        );
        let task_text = say(rig, &format!("task {task}")).await;
        assert!(task_text.starts_with(&format!("#### Task {task}\n**Name:** synthetic")), "{task_text}");
        assert_eq!(say(rig, "job 1").await, "Error: Job 1 not found");
        assert_eq!(say(rig, "task 1").await, "Error: Task 1 not found");
        assert_eq!(say(rig, "job x").await, "Usage: `/panda job <id>`");
    })
    .await;
}

/// Two people page at the same time: each command says where it goes on.
#[tokio::test]
async fn the_next_page_stands_in_the_answer_and_visits_every_job_once() {
    with_command(TOKEN, async |rig| {
        let all: Value = rig.json("/api/v1/tools/panda_list_jobs/?limit=1").await;
        let expected = usize::try_from(all["total_in_window"].as_u64().unwrap()).unwrap();
        assert!(expected > 40, "several pages");
        let mut seen = Vec::new();
        let mut command = "jobs".to_owned();
        for page in 1.. {
            let text = say(rig, &command).await;
            assert!(text.starts_with(&format!("#### Recent Jobs (page {page})\n")), "{text}");
            assert!(say(rig, "jobs").await.contains("(page 1)"), "others do not move it");
            seen.extend(
                text.lines()
                    .filter_map(|l| l.strip_prefix("| ")?.split(' ').next().map(str::to_owned))
                    .filter(|w| w.parse::<u64>().is_ok()),
            );
            match text.split_once("_Next page:_ `/panda ") {
                Some((_, next)) => command = next.split('`').next().unwrap().to_owned(),
                None => {
                    assert!(text.contains("_End of results_"), "{text}");
                    break;
                }
            }
        }
        assert_eq!(seen.len(), expected, "every job");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), expected, "none twice");
        let tasks = say(rig, "tasks running").await;
        assert!(tasks.starts_with("#### Recent Tasks (running) (page 1)\nrunning: "), "{tasks}");
        assert_eq!(say(rig, "jobs imposible").await.split(':').next(), Some("Error"));
    })
    .await;
}
