//! A real supervisord, driven over its unix socket.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::xmlrpc::{self, Answer, Value};
use crate::supervise::{ProgramStatus, State};

/// Answers are small; more than this is not supervisord.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;
/// How long one call may take; none waits for a process.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long supervisord may take to come up or to end.
const DAEMON_LIMIT: Duration = Duration::from_secs(20);
/// How often supervisord is asked while something changes.
const POLL: Duration = Duration::from_millis(100);
/// `supervisor.getState` code of a daemon that serves.
const SERVING: i64 = 1;
/// Fault codes that mean "it is as you want it already".
const ALREADY_STARTED: i64 = 60;
const NOT_RUNNING: i64 = 70;

/// Where supervisord is and how to start it.
#[derive(Debug, Clone)]
pub struct SupervisordConfig {
    /// `supervisord`, or its path.
    pub command: PathBuf,
    /// Its configuration file, such as `agents.supervisord.conf`.
    pub conf: PathBuf,
    /// Its unix socket, as the configuration file names it; see [`SupervisordConfig::socket_of`].
    pub socket: PathBuf,
    /// Variables added to its environment besides `SWF_TESTBED_CONFIG` (such as `SWF_HOME`).
    pub env: Vec<(String, String)>,
}

impl SupervisordConfig {
    /// The socket that the shipped configuration uses for a user.
    pub fn socket_of(user: &str) -> PathBuf {
        PathBuf::from(format!("/tmp/swf-agents-supervisor-{user}.sock"))
    }
}

/// What can go wrong with supervisord.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("supervisord does not answer on {}: {source}", .socket.display())]
    Down { socket: PathBuf, source: std::io::Error },
    #[error("supervisord does not answer on {} within {} s", .socket.display(), CALL_LIMIT.as_secs())]
    Slow { socket: PathBuf },
    #[error("cannot read what supervisord answered to {method}: {why}")]
    Answer { method: String, why: String },
    #[error("supervisord refused {method}({subject}): {text} (code {code})")]
    Fault { method: String, subject: String, code: i64, text: String },
    #[error("cannot start supervisord ({} -c {}): {why}", .command.display(), .conf.display())]
    Launch { command: PathBuf, conf: PathBuf, why: String },
    #[error("supervisord does not end within {} s of its shutdown", DAEMON_LIMIT.as_secs())]
    Lingers,
}

/// Client of one supervisord.
#[derive(Debug)]
pub(super) struct Supervisord {
    config: SupervisordConfig,
}

impl Supervisord {
    pub(super) fn new(config: SupervisordConfig) -> Self {
        Self { config }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.config.socket
    }

    pub(super) fn conf(&self) -> &Path {
        &self.config.conf
    }

    /// Whether it serves. `Ok(false)`: it is not there at all.
    pub(super) async fn is_up(&self) -> Result<bool, Error> {
        match self.call("supervisor.getState", &[]).await {
            Ok(state) => Ok(state.int("statecode") == Some(SERVING)),
            Err(Error::Down { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts the daemon with `testbed_config` in its environment and waits until it serves.
    pub(super) async fn launch(&self, testbed_config: &str) -> Result<(), Error> {
        let failed = |why: String| Error::Launch {
            command: self.config.command.clone(),
            conf: self.config.conf.clone(),
            why,
        };
        let folder = self.config.conf.parent().unwrap_or(Path::new("."));
        // Logs of the shipped configuration go to a folder beside it, which supervisord does not make.
        std::fs::create_dir_all(folder.join("logs")).map_err(|error| failed(error.to_string()))?;
        let output = tokio::process::Command::new(&self.config.command)
            .arg("-c")
            .arg(&self.config.conf)
            .current_dir(folder)
            .env("SWF_TESTBED_CONFIG", testbed_config)
            .envs(self.config.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .process_group(0)
            .output();
        let output = match timeout(DAEMON_LIMIT, output).await {
            Ok(output) => output.map_err(|error| failed(error.to_string()))?,
            Err(_) => {
                return Err(failed("it does not go to the background (nodaemon must be false)".to_owned()));
            }
        };
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(failed(words.lines().last().unwrap_or("it gave no reason").trim().to_owned()));
        }
        let deadline = Instant::now() + DAEMON_LIMIT;
        while !self.is_up().await? {
            if Instant::now() >= deadline {
                let socket = self.config.socket.display();
                return Err(failed(format!("it does not serve {socket}; is that the socket in its file?")));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Ends the daemon and its programs; waits until its socket is dead.
    pub(super) async fn shutdown(&self) -> Result<(), Error> {
        match self.call("supervisor.shutdown", &[]).await {
            Ok(_) => {}
            Err(Error::Down { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let deadline = Instant::now() + DAEMON_LIMIT;
        while UnixStream::connect(&self.config.socket).await.is_ok() {
            if Instant::now() >= deadline {
                return Err(Error::Lingers);
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// States of all programs in its configuration; `restarts` is not known to it and 0.
    pub(super) async fn states(&self) -> Result<Vec<ProgramStatus>, Error> {
        let method = "supervisor.getAllProcessInfo";
        match self.call(method, &[]).await? {
            Value::Array(items) => Ok(items.iter().filter_map(status).collect()),
            other => Err(Error::Answer { method: method.to_owned(), why: format!("{other:?} is no list") }),
        }
    }

    /// Starts a program without waiting; one that is up is fine.
    pub(super) async fn start(&self, name: &str) -> Result<(), Error> {
        self.subject("supervisor.startProcess", name, Value::Bool(false), ALREADY_STARTED).await
    }

    /// Stops a program; `wait` until it is gone. One that is down is fine.
    pub(super) async fn stop(&self, name: &str, wait: bool) -> Result<(), Error> {
        self.subject("supervisor.stopProcess", name, Value::Bool(wait), NOT_RUNNING).await
    }

    /// Kills a program so that it stays down: it is put into STOPPING first, where no restart follows.
    pub(super) async fn kill(&self, name: &str) -> Result<(), Error> {
        self.stop(name, false).await?;
        self.subject("supervisor.signalProcess", name, Value::Text("KILL".to_owned()), NOT_RUNNING).await?;
        self.until_down(&[name.to_owned()]).await
    }

    /// Asks all programs to stop and waits until none has a process.
    pub(super) async fn stop_all(&self) -> Result<(), Error> {
        self.call("supervisor.stopAllProcesses", &[Value::Bool(false)]).await?;
        let names: Vec<String> = self.states().await?.into_iter().map(|status| status.name).collect();
        self.until_down(&names).await
    }

    async fn until_down(&self, names: &[String]) -> Result<(), Error> {
        let up = |status: &ProgramStatus| names.contains(&status.name) && status.state.has_process();
        // supervisord itself kills after the stop time of its file, so this ends.
        while self.states().await?.iter().any(up) {
            sleep(POLL).await;
        }
        Ok(())
    }

    /// The last log lines of a program: of its stderr, or of stdout when that is empty.
    pub(super) async fn tail(&self, name: &str, count: usize) -> Vec<String> {
        for method in ["supervisor.tailProcessStderrLog", "supervisor.tailProcessStdoutLog"] {
            let arguments = [Value::Text(name.to_owned()), Value::Int(0), Value::Int(2000)];
            let Ok(Value::Array(parts)) = self.call(method, &arguments).await else { continue };
            let text = parts.first().and_then(Value::as_text).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
            if !lines.is_empty() {
                return lines
                    .iter()
                    .skip(lines.len().saturating_sub(count))
                    .map(|&line| line.to_owned())
                    .collect();
            }
        }
        Vec::new()
    }

    async fn subject(&self, method: &str, name: &str, option: Value, fine: i64) -> Result<(), Error> {
        match self.call(method, &[Value::Text(name.to_owned()), option]).await {
            Ok(_) => Ok(()),
            Err(Error::Fault { code, .. }) if code == fine => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call(&self, method: &str, arguments: &[Value]) -> Result<Value, Error> {
        let body = xmlrpc::call(method, arguments);
        let bytes = match timeout(CALL_LIMIT, self.exchange(&body)).await {
            Ok(bytes) => {
                bytes.map_err(|source| Error::Down { socket: self.config.socket.clone(), source })?
            }
            Err(_) => return Err(Error::Slow { socket: self.config.socket.clone() }),
        };
        let unreadable = |why: String| Error::Answer { method: method.to_owned(), why };
        let text = String::from_utf8_lossy(&bytes);
        let (head, xml) =
            text.split_once("\r\n\r\n").ok_or_else(|| unreadable("it is no HTTP".to_owned()))?;
        let line = head.lines().next().unwrap_or_default();
        if line.split_whitespace().nth(1) != Some("200") {
            return Err(unreadable(format!("{line:?} is not the answer 200")));
        }
        match xmlrpc::answer(xml).map_err(unreadable)? {
            Answer::Value(value) => Ok(value),
            Answer::Fault(code, text) => {
                let subject = arguments.first().and_then(Value::as_text).unwrap_or_default().to_owned();
                Err(Error::Fault { method: method.to_owned(), subject, code, text })
            }
        }
    }

    /// HTTP 1.0: the end of the stream is the end of the answer.
    async fn exchange(&self, body: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.config.socket).await?;
        let length = body.len();
        let head = format!(
            "POST /RPC2 HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }
}

fn status(info: &Value) -> Option<ProgramStatus> {
    let state = match info.int("state")? {
        10 => State::Starting,
        20 => State::Running,
        30 => State::Backoff,
        40 => State::Stopping,
        100 => State::Exited,
        200 | 1000 => State::Fatal,
        _ => State::Stopped,
    };
    let time = |key: &str| info.int(key).filter(|seconds| *seconds > 0);
    let since = if state.has_process() { time("start") } else { time("stop") };
    let reason = match state {
        State::Backoff | State::Fatal => {
            info.text("spawnerr").filter(|text| !text.is_empty()).map(str::to_owned)
        }
        State::Exited => info.int("exitstatus").map(|code| format!("exited with code {code}")),
        _ => None,
    };
    Some(ProgramStatus {
        name: info.text("name")?.to_owned(),
        state,
        pid: info.int("pid").and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
        since: since.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_else(Utc::now),
        restarts: 0,
        reason,
    })
}
