//! The supervisor with real processes.

use std::path::Path;
use std::time::Duration;

use swf_agents::supervise::{Error, Lock, Program, ProgramStatus, State, Supervisor, die_with_parent};

use crate::helpers::{alive, members, pid_in, role, role_folder, signal, wait_for};

const LIMIT: Duration = Duration::from_secs(15);

/// A shell program that restarts fast, so that tests are short.
fn shell(name: &str, script: &str) -> Program {
    let mut program = Program::new(name, "/bin/sh").args(["-c", script]);
    program.start_secs = Duration::from_millis(100);
    program.backoff_min = Duration::from_millis(20);
    program
}

async fn until(supervisor: &Supervisor, name: &str, want: impl Fn(&ProgramStatus) -> bool) -> ProgramStatus {
    let mut changes = supervisor.changes();
    let found = tokio::time::timeout(
        LIMIT,
        changes.wait_for(|all| all.iter().any(|status| status.name == name && want(status))),
    );
    let states = found.await.unwrap_or_else(|_| panic!("states: {:?}", supervisor.states())).unwrap();
    states.iter().find(|status| status.name == name).unwrap().clone()
}

async fn running(supervisor: &Supervisor, name: &str) -> u32 {
    supervisor.start(name).await.unwrap();
    until(supervisor, name, |status| status.state == State::Running).await.pid.unwrap()
}

#[tokio::test]
async fn a_killed_program_is_restarted_after_a_back_off_that_grows() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    let mut program = shell("sleeper", "echo up; exec sleep 1000");
    program.backoff_min = Duration::from_millis(200);
    supervisor.add(program).unwrap();
    let mut pid = running(&supervisor, "sleeper").await;
    for round in 0..3_u32 {
        signal("KILL", pid);
        let killed = std::time::Instant::now();
        let back = until(&supervisor, "sleeper", |status| status.state == State::Backoff).await;
        assert!(back.reason.unwrap().starts_with("ended by SIGKILL after"));
        let status =
            until(&supervisor, "sleeper", |status| status.state == State::Running && status.pid != Some(pid))
                .await;
        assert!(killed.elapsed() >= Duration::from_millis(200) * 2_u32.pow(round));
        assert_eq!(status.restarts, round + 1);
        assert!(status.reason.unwrap().contains("SIGKILL"), "a restarted program says why");
        pid = status.pid.unwrap();
    }
    let log = std::fs::read_to_string(folder.path().join("sleeper.log")).unwrap();
    assert_eq!(log, "up\nup\nup\nup\n");
    supervisor.shutdown().await;
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_stop_leaves_no_process_of_the_group() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    // A child, and a grandchild that ignores SIGTERM.
    supervisor
        .add(shell("tree", "sleep 1000 & sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' & wait"))
        .unwrap();
    let group = running(&supervisor, "tree").await;
    wait_for("the whole tree", LIMIT, || (members(group).len() == 4).then_some(())).await;
    supervisor.stop("tree").await.unwrap();
    assert_eq!(members(group), [0; 0]);
    assert_eq!(supervisor.state("tree").unwrap().state, State::Stopped);
}

#[tokio::test]
async fn children_of_a_crashed_program_are_cleared_before_it_is_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    supervisor.add(shell("tree", "sleep 1000 & wait")).unwrap();
    let group = running(&supervisor, "tree").await;
    wait_for("the child", LIMIT, || (members(group).len() == 2).then_some(())).await;
    signal("KILL", group);
    until(&supervisor, "tree", |status| status.pid.is_some_and(|pid| pid != group)).await;
    assert_eq!(members(group), [0; 0]);
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed_after_its_grace() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    let mut program = shell("deaf", "trap '' TERM; while :; do sleep 0.05; done");
    program.stop_wait = Duration::from_millis(300);
    supervisor.add(program).unwrap();
    let group = running(&supervisor, "deaf").await;
    supervisor.stop("deaf").await.unwrap();
    assert_eq!(members(group), [0; 0]);
    let reason = supervisor.state("deaf").unwrap().reason.unwrap();
    assert_eq!(reason, "stopped on request; did not end within 0.3 s of SIGTERM and was killed");
}

#[tokio::test]
async fn the_stop_signal_is_that_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    let mut program = shell("quitter", "trap 'echo quit; exit 7' QUIT; while :; do sleep 0.05; done");
    program.stop_signal = swf_agents::supervise::Signal::QUIT;
    supervisor.add(program).unwrap();
    running(&supervisor, "quitter").await;
    supervisor.stop("quitter").await.unwrap();
    assert_eq!(
        supervisor.state("quitter").unwrap().reason.unwrap(),
        "stopped on request; exited with code 7"
    );
}

#[tokio::test]
async fn quick_exits_end_in_fatal_with_the_last_log_lines() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    let mut program = shell("broken", "echo reading testbed.toml; echo 'no namespace in it' >&2; exit 3");
    program.start_retries = 2;
    supervisor.add(program).unwrap();
    supervisor.start("broken").await.unwrap();
    let states = supervisor.settled(&["broken".to_owned()]).await;
    assert_eq!(states[0].state, State::Fatal);
    assert_eq!(states[0].restarts, 2);
    let reason = states[0].reason.clone().unwrap();
    assert!(reason.starts_with("exited with code 3 after"), "{reason}");
    assert!(
        reason.ends_with("gave up after 3 starts; last log lines: reading testbed.toml | no namespace in it"),
        "{reason}"
    );
    // A fatal program can be started again on request.
    supervisor.start("broken").await.unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    supervisor.add(Program::new("ghost", "/no/such/agent")).unwrap();
    let error = supervisor.start("ghost").await.unwrap_err().to_string();
    assert_eq!(error, "cannot start ghost (/no/such/agent): there is no such file");
    assert_eq!(supervisor.state("ghost").unwrap().state, State::Fatal);
}

#[tokio::test]
async fn a_kill_on_request_is_not_followed_by_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    supervisor.add(shell("one", "sleep 1000 & wait")).unwrap();
    let group = running(&supervisor, "one").await;
    supervisor.kill("one").await.unwrap();
    assert_eq!(members(group), [0; 0]);
    let status = supervisor.state("one").unwrap();
    assert_eq!(
        (status.state, status.pid, status.reason.as_deref()),
        (State::Stopped, None, Some("killed on request"))
    );
    running(&supervisor, "one").await;
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_program_without_autorestart_stays_exited() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    let mut program = shell("once", "exit 0");
    program.autorestart = false;
    supervisor.add(program).unwrap();
    supervisor.start("once").await.unwrap();
    let status = until(&supervisor, "once", |status| status.state == State::Exited).await;
    assert!(status.reason.unwrap().starts_with("exited with code 0"));
}

#[tokio::test]
async fn names_are_unique_known_and_started_once() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    supervisor.add(shell("one", "exec sleep 1000")).unwrap();
    assert!(matches!(supervisor.add(shell("one", "exit")), Err(Error::Duplicate(_))));
    let error = supervisor.start("two").await.unwrap_err().to_string();
    assert_eq!(error, "no program is named \"two\"; known: one");
    let pid = running(&supervisor, "one").await;
    let error = supervisor.start("one").await.unwrap_err().to_string();
    assert_eq!(error, format!("one is RUNNING already (pid {pid}); stop it first"));
    supervisor.remove("one").await.unwrap();
    assert!(!alive(pid));
    assert!(supervisor.states().is_empty());
}

#[tokio::test]
async fn programs_stop_in_reverse_order_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    let order = folder.path().join("order");
    for name in ["server", "broker", "manager"] {
        let script =
            format!("trap 'echo {name} >> {}; exit' TERM; while :; do sleep 0.02; done", order.display());
        supervisor.add(shell(name, &script)).unwrap();
    }
    supervisor.start_all().await.unwrap();
    supervisor.settled(&["server", "broker", "manager"].map(str::to_owned)).await;
    supervisor.shutdown_in_reverse().await;
    assert_eq!(std::fs::read_to_string(order).unwrap(), "manager\nbroker\nserver\n");
}

/// Role of the next tests: a supervisor that is killed from outside.
#[tokio::test]
async fn role_supervisor() {
    let Some(folder) = role_folder() else { return };
    let lock = Lock::acquire(&folder.join("lock"), Duration::from_secs(10)).await.unwrap();
    let supervisor = Supervisor::with_lock(&folder, &lock).unwrap();
    let tree = format!("sleep 1000 & echo $! > {}; wait", folder.join("child").display());
    supervisor.add(shell("tree", &tree)).unwrap();
    supervisor.add(shell("deaf", "trap '' TERM; while :; do sleep 0.05; done")).unwrap();
    for name in ["tree", "deaf"] {
        let pid = running(&supervisor, name).await;
        let path = folder.join(name);
        std::fs::write(path.with_extension("new"), pid.to_string()).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }
    std::future::pending::<()>().await;
}

async fn pid(folder: &Path, name: &str) -> u32 {
    wait_for(name, LIMIT, || pid_in(&folder.join(name))).await
}

#[tokio::test]
async fn a_killed_supervisor_leaves_no_orphan_and_its_lock_is_free_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut victim = role("supervise::role_supervisor", folder.path());
    let (tree, deaf) = (pid(folder.path(), "tree").await, pid(folder.path(), "deaf").await);
    let child = pid(folder.path(), "child").await;
    assert!(alive(tree) && alive(deaf) && alive(child));
    victim.kill().unwrap();
    victim.wait().unwrap();
    let killed = std::time::Instant::now();
    // The one that ignores SIGTERM lives for a moment: meanwhile the lock is held.
    assert!(matches!(
        Lock::acquire(&folder.path().join("lock"), Duration::ZERO).await,
        Err(Error::Locked { .. })
    ));
    let _lock = Lock::acquire(&folder.path().join("lock"), LIMIT).await.unwrap();
    assert!(killed.elapsed() < Duration::from_millis(2500), "took {:?}", killed.elapsed());
    for group in [tree, deaf] {
        wait_for("the kernel to remove killed processes", Duration::from_millis(500), || {
            members(group).is_empty().then_some(())
        })
        .await;
    }
    assert!(!alive(child));
}

#[tokio::test]
async fn a_killed_guard_is_replaced_and_still_ends_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut victim = role("supervise::role_supervisor", folder.path());
    let tree = pid(folder.path(), "tree").await;
    pid(folder.path(), "deaf").await;
    let guard = wait_for("the guard", LIMIT, || guard_of(victim.id())).await;
    signal("KILL", guard);
    wait_for("another guard", LIMIT, || guard_of(victim.id()).filter(|pid| *pid != guard)).await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_for("the group to end", Duration::from_secs(3), || members(tree).is_empty().then_some(())).await;
}

/// Role of the next test: a program that watches its parent by itself.
#[test]
fn role_child() {
    let Some(folder) = role_folder() else { return };
    let parent: u32 = std::env::var("SWF_PARENT_PID").unwrap().parse().unwrap();
    die_with_parent(parent).unwrap();
    std::fs::write(folder.join("watching"), std::process::id().to_string()).unwrap();
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_program_that_watches_its_parent_ends_with_it_without_any_guard() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "SWF_PARENT_PID=$$ SWF_TEST_ROLE_DIR={} {} --exact supervise::role_child --nocapture & wait",
        folder.path().display(),
        std::env::current_exe().unwrap().display()
    );
    let mut parent = std::process::Command::new("/bin/sh").args(["-c", &script]).spawn().unwrap();
    let child = pid(folder.path(), "watching").await;
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the end of the child", Duration::from_secs(2), || (!alive(child)).then_some(())).await;
}

#[test]
fn a_program_whose_parent_is_gone_already_says_so() {
    let error = die_with_parent(4_194_999).unwrap_err().to_string();
    assert!(error.starts_with("the parent process 4194999 is gone (parent is now "), "{error}");
}

#[tokio::test]
async fn a_program_is_told_who_its_supervisor_is() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path()).unwrap();
    let mut program = shell("teller", "echo $SWF_PARENT_PID $PPID");
    program.autorestart = false;
    supervisor.add(program).unwrap();
    supervisor.start("teller").await.unwrap();
    until(&supervisor, "teller", |status| status.state == State::Exited).await;
    let own = std::process::id();
    assert_eq!(std::fs::read_to_string(folder.path().join("teller.log")).unwrap(), format!("{own} {own}\n"));
}

/// The child of `parent` that runs the guard script.
fn guard_of(parent: u32) -> Option<u32> {
    let children =
        std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    let all: String = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .chain([children])
        .collect();
    all.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"swf-guard\0"))
            && alive(*pid)
    })
}

#[tokio::test]
async fn a_shutdown_leaves_no_guard_and_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let lock = Lock::acquire(&path, Duration::ZERO).await.unwrap();
    let supervisor = Supervisor::with_lock(folder.path(), &lock).unwrap();
    supervisor.add(shell("one", "exec sleep 1000")).unwrap();
    running(&supervisor, "one").await;
    supervisor.shutdown().await;
    drop(lock);
    assert!(!path.exists());
    Lock::acquire(&path, Duration::ZERO).await.unwrap();
}
