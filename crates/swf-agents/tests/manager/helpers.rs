//! Waiting for things, looking at processes, and processes of our own that can be killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Waits until `probe` gives a value; fails the test after `limit` naming `what`.
pub async fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process exists and is not a zombie.
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// State letter and process group.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.rsplit_once(')')?.1;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

/// Live processes of a group.
pub fn members(group: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(state, own)| own == group && state != 'Z')).collect()
}

/// `kill -<signal> <pid>`, negative for a group.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args(["-s", name, "--", &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {pid}");
}

/// Pid that a script wrote to a file.
pub fn pid_in(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Runs one test function of this binary as a process of its own, told its folder by a variable.
pub fn role(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SWF_TEST_ROLE_DIR", folder)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(folder.join("role.out")).unwrap())
        .stderr(std::fs::File::options().create(true).append(true).open(folder.join("role.err")).unwrap())
        .spawn()
        .unwrap()
}

/// The folder given by [`role`]; `None` when the test runs as an ordinary test.
pub fn role_folder() -> Option<std::path::PathBuf> {
    std::env::var_os("SWF_TEST_ROLE_DIR").map(Into::into)
}
