//! Bad configuration ends with one line that says what to change.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::host::swf;

fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it should have failed: {errors}");
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 1, "one line, not: {errors}");
    assert!(!errors.contains("panicked"));
    lines[0].to_owned()
}

fn up(folder: &Path) -> Command {
    let mut command = swf();
    command.arg("--data-dir").arg(folder).arg("up");
    command
}

#[test]
fn a_missing_configuration_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let line = refusal(up(folder.path()).args(["--config", "/nowhere/swf.toml"]));
    assert!(line.contains("/nowhere/swf.toml cannot be read"), "{line}");
}

#[test]
fn wrong_toml_and_unknown_keys_name_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("swf.toml"), "[server\nlisten = 1").unwrap();
    let line = refusal(&mut up(folder.path()));
    assert!(line.contains("swf.toml line 1") && line.contains("correct the TOML"), "{line}");
    std::fs::write(folder.path().join("swf.toml"), "[server]\nlistne = 'x'").unwrap();
    let line = refusal(&mut up(folder.path()));
    assert!(line.contains("server.listne is not a key, did you mean 'listen'?"), "{line}");
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let line = refusal(up(folder.path()).env("SWF__SERVER__LISTEN", address.to_string()));
    assert!(line.contains(&format!("port {} of 127.0.0.1 is taken", address.port())), "{line}");
    let line = refusal(up(folder.path()).env("ACTIVEMQ_PORT", address.port().to_string()));
    assert!(line.contains("ACTIVEMQ_PORT"), "{line}");
}

#[test]
fn an_unusable_data_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let line = refusal(&mut up(&file.join("data")));
    assert!(line.contains("choose another with --data-dir"), "{line}");
}

#[test]
fn a_broken_testbed_file_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("workflows")).unwrap();
    let file = folder.path().join("workflows/testbed.toml");
    std::fs::write(&file, "[testbed]\n").unwrap();
    let line = refusal(&mut up(folder.path()));
    assert!(line.contains("testbed.toml") && line.contains("namespace"), "{line}");
}

#[test]
fn a_second_up_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("up.pid");
    let mut first = up(folder.path()).spawn().unwrap();
    let started = std::time::Instant::now();
    while !lock.exists() || std::fs::read_to_string(&lock).unwrap_or_default().trim().is_empty() {
        assert!(started.elapsed().as_secs() < 20, "the first did not start");
        std::thread::yield_now();
    }
    let line = refusal(&mut up(folder.path()));
    assert!(line.contains("a testbed runs already"), "{line}");
    let pid = rustix::process::Pid::from_child(&first);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    first.wait().unwrap();
}

#[test]
fn a_tool_call_without_a_server_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = swf();
    command.env("SWF__SERVER__LISTEN", "127.0.0.1:9");
    let line = refusal(command.arg("--data-dir").arg(folder.path()).args(["call", "swf_list_agents"]));
    assert!(line.contains("swf up"), "{line}");
}

#[test]
fn signatures_without_a_key_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager = swf();
    manager.arg("--data-dir").arg(folder.path()).args(["--log-level", "off", "agent-manager"]);
    let line = refusal(manager.env("SWF__BROKER__REQUIRE_SIGNED", "true"));
    assert!(line.contains("broker.require_signed is set without broker.command_key"), "{line}");
}

#[test]
fn init_makes_what_is_missing_and_prune_says_what_would_go() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let output = swf().arg("--data-dir").arg(folder.path()).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run(&["init"]).contains("testbed.toml, namespace "));
    assert!(folder.path().join("logs").is_dir() && folder.path().join("workflows/testbed.toml").is_file());
    std::fs::write(folder.path().join("workflows/testbed.toml"), "[testbed]\nnamespace = \"mine\"\n")
        .unwrap();
    assert!(run(&["init"]).contains("namespace mine"), "what is there stays");
    std::fs::write(folder.path().join("swf.toml"), "[retention]\naudit_days = 0\n").unwrap();
    run(&["db", "seed", "demo"]);
    let plan = run(&["db", "prune", "--dry-run"]);
    assert!(plan.contains("swfx_audit: kept for ever, its setting is 0"), "{plan}");
    assert!(plan.contains("swf_applog: 0 row(s) from before "), "{plan}");
    assert_eq!(run(&["db", "prune"]).lines().last(), Some("nothing was old enough"));
}
