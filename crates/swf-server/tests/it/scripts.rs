//! Runs the Python and Node programs that ci/setup installs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::rig::PATIENCE;

/// Where ci/setup puts them.
pub fn ci_dir() -> PathBuf {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ci");
    std::env::var_os("SWF_CI_DIR").map_or(usual, PathBuf::from)
}

/// A program below that folder; without it the test is skipped, or fails under `SWF_REQUIRE_ALL=1`.
pub fn program(path: &str) -> Option<PathBuf> {
    let found = ci_dir().join(path);
    if found.exists() {
        return Some(found);
    }
    let required = std::env::var("SWF_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "SWF_REQUIRE_ALL=1, but {} is not there; run ci/setup", found.display());
    println!("skipped: {} is not there; run ci/setup", found.display());
    None
}

/// A script of `tests/python`.
pub fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name).display().to_string()
}

/// Runs a program to its end; it must succeed. What it printed on standard output.
pub async fn run(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE * 5, output).await.expect("the program hangs").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed\n{said}\n{complaint}", program.display());
    said
}

/// The same for a program that may also end with a failure of its own.
pub async fn any_end(program: &Path, arguments: &[&str]) -> String {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("the program hangs").unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
