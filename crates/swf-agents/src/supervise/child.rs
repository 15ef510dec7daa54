//! One process with its group: start, signal, clear.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Error;
use super::guard::Guard;
use super::log::LogFile;
use super::processes::group_is_gone;
use super::program::Program;

/// The child waits for one line before it becomes the program: it gets it when the guard knows
/// the group. If the supervisor dies first, the line never comes and the child ends.
const GATE: &str = r#"read -r go || exit 125; exec "$@" </dev/null"#;
/// How often a process group without a leader is looked at; it has no handle to wait on.
const POLL: Duration = Duration::from_millis(10);
/// What members of a group may take to end after their leader ended, before `SIGKILL`.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// What the kernel may take to remove killed processes.
const REMOVAL: Duration = Duration::from_secs(2);

/// A running program: its process, which leads its group.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// Process id and group.
    pub(super) group: Pid,
    /// When it was started.
    pub(super) started: Instant,
    /// Length of the log before its first line.
    pub(super) log_from: u64,
}

impl Running {
    /// Starts `program`; its group is known to `guard` before it runs.
    pub(super) async fn start(program: &Program, log: &LogFile, guard: &Guard) -> Result<Self, Error> {
        let failed =
            |why: String| Error::Start { name: program.name.clone(), command: program.command.clone(), why };
        check_executable(&program.command).map_err(failed)?;
        let (output, log_from) = log.open()?;
        let errors = output.try_clone().map_err(|error| failed(error.to_string()))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GATE]).arg(&program.name).arg(&program.command).args(&program.args);
        command.envs(program.env.iter().map(|(key, value)| (key, value)));
        command.env(super::PARENT_VARIABLE, std::process::id().to_string());
        command.stdin(Stdio::piped()).stdout(output).stderr(errors).process_group(0);
        if let Some(dir) = &program.dir {
            if !dir.is_dir() {
                return Err(failed(format!("its working folder {} does not exist", dir.display())));
            }
            command.current_dir(dir);
        }
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let group = group_of(&child).ok_or_else(|| failed("it ended at once".to_owned()))?;
        guard.watch(group).await?;
        if let Some(mut gate) = child.stdin.take() {
            // A child killed meanwhile is noticed by whoever waits for it.
            drop(gate.write_all(b"go\n").await);
        }
        Ok(Self { child, group, started: Instant::now(), log_from })
    }

    /// Process id.
    pub(super) fn pid(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for the process to end by itself. Cancel safe. Words for how it ended.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => format!("cannot be waited for: {error}"),
        }
    }

    /// Ends the whole group in order: `signal`, up to `wait`, `SIGKILL`. Words for how it went.
    pub(super) async fn stop(&mut self, signal: Signal, wait: Duration, guard: &Guard) -> String {
        let deadline = Instant::now() + wait;
        send(self.group, signal);
        let how = match timeout_at(deadline, self.ended()).await {
            Ok(how) => {
                // Members got the signal too; a leader that is gone does not mean they are.
                let left = deadline.saturating_duration_since(Instant::now()).min(LEFTOVER_GRACE);
                gone(self.group, left).await;
                how
            }
            Err(_) => format!(
                "did not end within {} s of {} and was killed",
                wait.as_secs_f64(),
                signal_name(signal.as_raw())
            ),
        };
        self.clear(guard).await;
        how
    }

    /// Ends the whole group at once and waits until nothing is left of it.
    pub(super) async fn clear(&mut self, guard: &Guard) {
        send(self.group, Signal::KILL);
        if timeout(REMOVAL, self.ended()).await.is_err() || !gone(self.group, REMOVAL).await {
            tracing::error!(group = self.pid(), "processes of group {} do not end after SIGKILL", self.pid());
        }
        guard.forget(self.group);
    }
}

fn group_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

/// A bare name is left to the shell, which looks it up in `PATH` and says so when it fails.
fn check_executable(command: &Path) -> Result<(), String> {
    if !command.as_os_str().as_encoded_bytes().contains(&b'/') {
        return Ok(());
    }
    if !command.is_file() {
        return Err("there is no such file".to_owned());
    }
    rustix::fs::access(command, rustix::fs::Access::EXEC_OK)
        .map_err(|_| "the file is not executable".to_owned())
}

fn send(group: Pid, signal: Signal) {
    match kill_process_group(group, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => {
            tracing::error!(%error, "cannot send signal {} to process group {group:?}", signal.as_raw())
        }
    }
}

/// Whether the group had no process within `patience`.
async fn gone(group: Pid, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if group_is_gone(group) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(127), _) => "exited with code 127 (command not found)".to_owned(),
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("ended by {}", signal_name(signal)),
        (None, None) => status.to_string(),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn an_exit_is_told_in_words() {
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "exited with code 3");
        assert_eq!(describe(ExitStatus::from_raw(9)), "ended by SIGKILL");
        assert_eq!(describe(ExitStatus::from_raw(40)), "ended by signal 40");
    }

    #[test]
    fn a_command_that_cannot_run_is_told_before_it_is_tried() {
        assert_eq!(check_executable(Path::new("/no/such")), Err("there is no such file".to_owned()));
        assert_eq!(check_executable(Path::new("/etc/passwd")), Err("the file is not executable".to_owned()));
        assert_eq!(check_executable(Path::new("/bin/sh")), Ok(()));
        assert_eq!(check_executable(Path::new("sh")), Ok(()));
    }
}
