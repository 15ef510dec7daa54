//! A `swf up` of its own: temporary data folder, free ports, and proof that nothing is left of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The binary under test.
pub fn swf() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swf"));
    for (name, _) in std::env::vars() {
        let ours = ["SWF_", "ACTIVEMQ_", "DB_", "PANDA_", "DISPLAY_"].iter().any(|p| name.starts_with(p));
        if ours {
            command.env_remove(name);
        }
    }
    command.env("SWF__SERVER__LISTEN", "127.0.0.1:0").env("ACTIVEMQ_PORT", "0").stdin(Stdio::null());
    command
}

/// Waits for something, never for a time; the text says what did not happen.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {limit:?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// A running `swf up`.
pub struct Host {
    folder: tempfile::TempDir,
    child: Child,
    /// Address of the monitor with prefix.
    pub url: String,
    /// Broker host and port.
    pub broker: String,
    token: String,
}

/// Delays that make a run of 20 files last about two seconds in real time.
const QUICK: &str = r#"
[workflow]
name = "fast_processing"
version = "1.0"

[daq_state_machine]
no_beam_not_ready_delay = 0.1
broadcast_delay = 0.05
beam_not_ready_delay = 0.1
beam_ready_delay = 0.1
stf_generation_time = 0.02
stf_interval = 0.1
physics_period_duration = 10
physics_period_count = 1
standby_duration = 0.1
beam_not_ready_end_delay = 0.1

[fast_processing]
stf_count = 20
physics_period_count = 1
target_worker_count = 4
stf_sampling_rate = 1.0
slices_per_sample = 15
slice_processing_time = 0.02
worker_rampup_time = 0
worker_rampdown_time = 0
"#;

impl Host {
    /// Starts it and waits until the agent manager is alive.
    pub async fn start() -> Host {
        Host::with(&[]).await
    }

    /// With variables in its environment.
    pub async fn with(variables: &[(&str, &str)]) -> Host {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("workflows")).unwrap();
        std::fs::write(folder.path().join("workflows/quick_default.toml"), QUICK).unwrap();
        Host::at(folder, variables).await
    }

    /// `swf up` killed with -9 and, when nothing of it is left, started again.
    pub async fn killed_and_started_again(mut self) -> Host {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let path = self.folder.path().to_owned();
        until("end of all processes", Duration::from_secs(10), || async {
            processes(&path, &[]).is_empty().then_some(())
        })
        .await;
        std::fs::remove_file(path.join("running.json")).unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Host::at(folder, &[]).await
    }

    async fn at(folder: tempfile::TempDir, variables: &[(&str, &str)]) -> Host {
        let log = std::fs::File::create(folder.path().join("up.log")).unwrap();
        let child = swf()
            .arg("--data-dir")
            .arg(folder.path())
            .arg("up")
            .envs(variables.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let file = folder.path().join("running.json");
        let running = until("start of the monitor", Duration::from_secs(30), || async {
            serde_json::from_slice::<Value>(&std::fs::read(&file).ok()?).ok()
        })
        .await;
        let text = |key: &str| running[key].as_str().unwrap().to_owned();
        let token = std::fs::read_to_string(folder.path().join("token")).unwrap();
        let host = Host { url: text("url"), broker: text("broker"), token, folder, child };
        until("registration of the agent manager", Duration::from_secs(30), || async {
            let manager = host.call("swf_check_agent_manager", json!({})).await;
            (manager["alive"] == true).then_some(())
        })
        .await;
        host
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client of the monitor; `patience` is how long it tries again.
    fn client(&self, patience: Duration) -> swf_client::Client {
        let config = swf_client::ClientConfig {
            base_url: self.url.clone(),
            token: Some(self.token.clone()),
            patience,
            ..Default::default()
        };
        swf_client::Client::new(&config).unwrap()
    }

    /// Calls a tool; waits through a restart of the monitor.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let answer = self.client(Duration::from_secs(20)).call_tool(tool, arguments.clone()).await;
        answer.unwrap_or_else(|e| panic!("{tool} {arguments}: {e}\n{}", self.logs()))
    }

    /// Calls a tool that is expected to refuse; returns its words.
    pub async fn refused(&self, tool: &str, arguments: Value) -> String {
        match self.client(Duration::ZERO).call_tool(tool, arguments).await {
            Ok(answer) => panic!("{tool} was not refused: {answer}"),
            Err(e) => e.to_string(),
        }
    }

    /// Starts the agents and waits until each that the manager keeps has registered.
    pub async fn start_testbed(&self) {
        self.call("swf_start_user_testbed", json!({})).await;
        self.testbed_ready().await;
    }

    /// Waits until six agents live and a workflow can be started.
    pub async fn testbed_ready(&self) {
        until("readiness of the testbed", Duration::from_secs(60), || async {
            let status = self.call("swf_get_testbed_status", json!({})).await;
            (status["ready"] == true && status["summary"]["running"] == 6).then_some(())
        })
        .await;
    }

    /// Starts the quick workflow; returns its execution id.
    pub async fn start_run(&self, stf_count: u32) -> String {
        let arguments = json!({"workflow_name": "fast_processing", "config": "quick_default", "realtime": true, "stf_count": stf_count});
        let started = self.call("swf_start_workflow", arguments).await;
        started["execution_id"].as_str().unwrap().to_owned()
    }

    /// The monitor's view of an execution.
    pub async fn monitor(&self, execution: &str) -> Value {
        self.call("swf_get_workflow_monitor", json!({"execution_id": execution})).await
    }

    /// Pids of this host's processes whose arguments contain all `words`.
    pub fn pids(&self, words: &[&str]) -> Vec<i32> {
        processes(self.folder.path(), words)
    }

    /// kill -9 of the one process with these words among its arguments.
    pub fn kill(&self, words: &[&str]) {
        let pids = self.pids(words);
        assert_eq!(pids.len(), 1, "{words:?} should be one process, not {pids:?}\n{}", self.logs());
        let pid = rustix::process::Pid::from_raw(pids[0]).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// The ends of all log files, for the text of a failed test.
    pub fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = vec![self.folder.path().join("up.log")];
        if let Ok(found) = std::fs::read_dir(self.folder.path().join("logs")) {
            files.extend(found.flatten().map(|f| f.path()));
        }
        let mut out = String::new();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(12)..];
            out.push_str(&format!("--- {}\n{}\n", file.display(), tail.join("\n")));
        }
        out
    }

    /// Ends it with SIGTERM and proves that no process of it is left.
    pub async fn down(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let child = std::cell::RefCell::new(&mut self.child);
        until("end of swf up", Duration::from_secs(40), || async { child.borrow_mut().try_wait().unwrap() })
            .await;
        let folder = self.folder.path().to_owned();
        until("end of all processes", Duration::from_secs(5), || async {
            processes(&folder, &[]).is_empty().then_some(())
        })
        .await;
        assert!(!folder.join("running.json").exists());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Only a failed test comes here with a live child.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Live processes that name `folder` and all `words` in their arguments.
pub fn processes(folder: &Path, words: &[&str]) -> Vec<i32> {
    let folder = folder.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let raw = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<String> =
            raw.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        let ours = arguments.iter().any(|a| a.contains(&folder));
        let named = words.iter().all(|w| arguments.iter().any(|a| a == w));
        if ours && named && !arguments[0].ends_with("sh") {
            found.push(pid);
        }
    }
    found
}
