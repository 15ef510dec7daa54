//! Commands that look after an installation: make its folders, end it, look at what is wrong, fill it.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::roles::Role;

impl Role {
    /// Makes the folders and the first testbed.toml.
    pub fn init(&self) -> anyhow::Result<()> {
        let logs = self.files.path("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        self.first_testbed()?;
        let testbed = self.testbed()?;
        println!(
            "data folder {}\ntestbed     {}, namespace {}\nnext        swf up, then swf run",
            self.files.root().display(),
            testbed.origin,
            testbed.namespace
        );
        Ok(())
    }

    /// Ends a running `swf up` of this data folder and waits until it is gone.
    pub async fn down(&self) -> anyhow::Result<()> {
        let Some(running) = self.files.running() else {
            bail!("nothing runs from {}", self.files.root().display());
        };
        let pid = i32::try_from(running.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .context("its process id is impossible")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .context("it cannot be signalled")?;
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while tokio::time::Instant::now() < deadline {
            ticks.tick().await;
            if rustix::process::test_kill_process(pid).is_err() {
                println!("ended");
                return Ok(());
            }
        }
        bail!("process {} has not ended within 60 s", running.pid)
    }

    /// Looks at everything a user can get wrong.
    pub async fn doctor(&self) -> anyhow::Result<()> {
        let mut bad = 0;
        let mut tell = |what: &str, result: Result<String, String>| match result {
            Ok(text) => println!("ok    {what}: {text}"),
            Err(text) => {
                bad += 1;
                println!("FAIL  {what}: {text}");
            }
        };
        tell("data folder", Ok(self.files.root().display().to_string()));
        self.first_testbed()?;
        let testbed = self.testbed().map(|t| format!("{}, namespace {}", t.origin, t.namespace));
        tell("testbed file", testbed.map_err(|e| e.to_string()));
        tell("settings", self.settings().map(|s| s.base_url).map_err(|e| format!("{e:#}")));
        let database = async {
            let db = self.database().await?;
            let check = swf_db::check(&db, &swf_tools::tables::SCHEMA).await?;
            anyhow::ensure!(check.can_run(), "{}; `swf db check` says why", check.verdict());
            anyhow::Ok(format!("{}: {}", db.url(), check.verdict()))
        };
        tell("database", database.await.map_err(|e| format!("{e:#}")));
        let broker = swf_stomp::Client::start(self.broker()?);
        let name = format!("{}:{}", self.loaded.config.broker.host, self.loaded.config.broker.port);
        let connected = broker.connected(Duration::from_secs(3)).await;
        tell(
            "broker",
            connected.map(|()| name.clone()).map_err(|e| format!("{name}: {e}; start it, or `swf up`")),
        );
        let url = self.monitor()?.base_url;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build()?;
        let ready = match http.get(format!("{url}/readyz")).send().await {
            Ok(answer) => {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                if status.is_success() { Ok(format!("{url} {text}")) } else { Err(format!("{url}: {text}")) }
            }
            Err(e) => Err(format!("{url} does not answer ({}); start it with `swf up`", e.without_url())),
        };
        tell("monitor", ready);
        if bad == 0 { Ok(()) } else { bail!("{bad} of 6 checks failed") }
    }

    /// Makes a synthetic production.
    pub async fn seed_panda(&self, jobs: u32) -> anyhow::Result<()> {
        use swf_tools::panda::seed;
        let url = match self.loaded.config.panda.url.as_str() {
            "" => format!("sqlite:{}", self.files.path("panda.sqlite3").display()),
            url => url.to_owned(),
        };
        let db = seed::open(&url).await.context("open the PanDA database for writing")?;
        let plan = seed::Plan { jobs, ..seed::Plan::demo(swf_tools::Clock::System.now().naive_utc()) };
        let made = seed::seed(&db, &plan).await.with_context(|| {
            format!("fill {} (it must not hold PanDA tables yet)", swf_db::without_password(&url))
        })?;
        println!(
            "{}: {} jobs, {} tasks, {} files, all synthetic; restart a running monitor to use them",
            swf_db::without_password(&url),
            made.jobs,
            made.tasks,
            made.files
        );
        Ok(())
    }
}
