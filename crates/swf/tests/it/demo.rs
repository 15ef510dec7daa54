//! The README's first command.

use serde_json::Value;

use crate::host::{processes, swf};

#[test]
fn the_demo_runs_a_workflow_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=2 {
        let output = swf()
            .arg("--data-dir")
            .arg(folder.path())
            .args(["demo", "--stf-count", "3", "--json"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "round {round}: {text}\n{errors}");
        let summary: Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(summary["ok"], true);
        assert_eq!((&summary["stf_files"], &summary["stf_processed"]), (&3.into(), &3.into()));
        assert_eq!(summary["tf_files"], 21);
        assert!(summary["slices"]["completed"].as_i64().unwrap() > 100, "{summary}");
        assert_eq!(summary["run_id"], (100_009 + round).to_string());
        assert_eq!(processes(folder.path(), &[]), Vec::<i32>::new());
    }
}
