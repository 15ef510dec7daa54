//! Pages in a real browser: they render, and what they load comes from here.

use std::path::Path;
use std::process::Stdio;

use swf_db::testing::on_sqlite;
use swf_tools::tables::SCHEMA;
use tokio::process::Command;

use crate::pages_app::Site;

fn browser() -> Option<&'static str> {
    let known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let found = known.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        let all = std::env::var("SWF_REQUIRE_ALL").is_ok_and(|v| v == "1");
        assert!(!all, "no Chromium on this machine (Debian: apt-get install chromium)");
        println!("skipped: no Chromium on this machine (Debian: apt-get install chromium)");
    }
    found
}

async fn run(browser: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            "--virtual-time-budget=3000",
        ])
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_rows_and_keeps_their_ages() {
    let Some(browser) = browser() else { return };
    on_sqlite(Some(&SCHEMA), async |db| {
        let site = Site::start(&db, "/swf-monitor").await;
        site.fill().await;
        for (path, words) in [
            ("/workflow/agents/", "data-agent-torre-1"),
            ("/runs/100010/", "swf.100010.000001.stf"),
            ("/logs/", "all is well"),
        ] {
            let dom = run(browser, &["--dump-dom", &format!("{}{path}", site.root)]).await;
            assert!(dom.contains(words) && dom.contains("<tbody>"), "{path}: {dom}");
            // Virtual time has passed, so the script has counted on.
            let age = dom.split("class=\"age\"").nth(1).unwrap().split('>').nth(1).unwrap();
            assert!(age.contains(" ago"), "{path}: {age}");
        }
        // For people who want to see: SWF_SCREENSHOTS=<folder>.
        if let Ok(folder) = std::env::var("SWF_SCREENSHOTS") {
            for (name, path, size) in [
                ("home", "/", "1280,1000"),
                ("agents", "/workflow/agents/", "1280,700"),
                ("run", "/runs/100010/", "1280,1000"),
                ("execution", "/workflow-executions/stf_datataking-torre.x-0001/", "1280,1600"),
                ("logs", "/logs/?level=ERROR", "1280,700"),
                ("phone", "/workflow/agents/", "420,900"),
                ("tool", "/tools/swf_list_agents/?run=1", "1280,1200"),
                ("refused", "/workflow/agents/?stauts=OK", "1280,700"),
                ("testbed", "/testbed/", "1280,800"),
            ] {
                let file = format!("--screenshot={folder}/{name}.png");
                run(browser, &[&file, &format!("--window-size={size}"), &format!("{}{path}", site.root)])
                    .await;
            }
            run(
                browser,
                &[
                    &format!("--screenshot={folder}/dark.png"),
                    "--window-size=1280,900",
                    "--force-dark-mode",
                    "--blink-settings=preferredColorScheme=0",
                    &format!("{}/workflow/messages/", site.root),
                ],
            )
            .await;
        }
    })
    .await;
}
