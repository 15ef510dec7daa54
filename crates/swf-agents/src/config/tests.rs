//! Override order, addressed parameters, and one-line errors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{ConfigError, Testbed, WorkflowConfig};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load(folder: &Path, workflow: &str, params: Value) -> Result<WorkflowConfig, ConfigError> {
    let testbed = Testbed::load(Some(folder), None)?;
    let params = params.as_object().cloned().unwrap_or_else(Map::new);
    WorkflowConfig::load(&testbed, workflow, None, &params, &BTreeMap::new())
}

#[test]
fn file_include_testbed_and_parameters_override_in_this_order() {
    let config = "[workflow]\nname = \"stf_datataking\"\nincludes = [\"daq_state_machine.toml\"]\n[simulation]\nstf_count = 5\n";
    let testbed = "[testbed]\nnamespace = \"ns\"\n";
    let cases = [
        ("the include fills what the file does not have", "", json!({}), "standby_duration", json!(2.0)),
        ("the testbed changes a key", "[simulation]\nstf_count = 6\n", json!({}), "stf_count", json!(6)),
        ("the testbed adds a key", "[simulation]\nstf_interval = 9\n", json!({}), "stf_interval", json!(9.0)),
        (
            "[parameters] comes last of the files",
            "[parameters]\nstf_count = 7\n",
            json!({}),
            "stf_count",
            json!(7),
        ),
        (
            "a parameter wins",
            "[parameters]\nstf_count = 7\n",
            json!({ "stf_count": 8 }),
            "stf_count",
            json!(8),
        ),
        ("a parameter can be addressed", "", json!({ "simulation.stf_count": 9 }), "stf_count", json!(9)),
        (
            "a declared parameter needs no section",
            "",
            json!({ "broadcast_delay": 3 }),
            "broadcast_delay",
            json!(3.0),
        ),
        ("null leaves the value", "", json!({ "stf_count": null }), "stf_count", json!(5)),
        ("the runner's own namespace is fine", "", json!({ "namespace": "ns" }), "stf_count", json!(5)),
    ];
    for (what, more, params, key, expected) in cases {
        let folder =
            folder(&[("stf_datataking_default.toml", config), ("testbed.toml", &format!("{testbed}{more}"))]);
        let loaded = load(folder.path(), "stf_datataking", params).unwrap();
        assert_eq!(loaded.effective[key], expected, "{what}");
    }
}

#[test]
fn the_testbed_file_does_not_rename_the_chosen_workflow() {
    let folder = folder(&[(
        "testbed.toml",
        "[testbed]\nnamespace = \"ns\"\n[workflow]\nname = \"stf_datataking\"\nversion = \"9\"\n",
    )]);
    let loaded = load(folder.path(), "fast_processing", json!({})).unwrap();
    assert_eq!(
        (loaded.definition.name.as_str(), loaded.definition.version.as_str()),
        ("fast_processing", "1.0")
    );
    assert_eq!(loaded.sections["workflow"]["name"], json!("fast_processing"));
}

#[test]
fn parameters_do_not_reach_into_testbed_and_agents() {
    let folder =
        folder(&[("testbed.toml", "[testbed]\nnamespace = \"ns\"\n[agents.data]\nenabled = true\n")]);
    for params in
        [json!({ "enabled": false }), json!({ "testbed.namespace": "x" }), json!({ "agents.data": 1 })]
    {
        let error = load(folder.path(), "stf_datataking", params).unwrap_err().to_string();
        assert!(error.starts_with("params: ") && error.contains("unknown parameter"), "{error}");
    }
}

#[test]
fn a_bare_parameter_changes_the_section_in_force_and_no_other() {
    let folder = folder(&[("testbed.toml", "[testbed]\nnamespace = \"ns\"\n")]);
    let loaded = |params: Value| load(folder.path(), "stf_datataking", params).unwrap().sections;
    let both = |sections: &Map<String, Value>| {
        ["daq_state_machine", "simulation"].map(|name| sections[name]["physics_period_count"].clone())
    };
    assert_eq!(both(&loaded(json!({}))), [json!(2), json!(1)]);
    assert_eq!(both(&loaded(json!({ "physics_period_count": 7 }))), [json!(2), json!(7)]);
    assert_eq!(both(&loaded(json!({ "daq_state_machine.physics_period_count": 8 }))), [json!(8), json!(1)]);
}

#[test]
fn bad_parameters_are_refused_with_the_known_and_the_nearest() {
    let folder = folder(&[("testbed.toml", "[testbed]\nnamespace = \"ns\"\n")]);
    let cases = [
        (
            json!({ "stf_cuont": 3 }),
            "params: stf_cuont: unknown parameter; did you mean \"stf_count\"? known: ",
        ),
        (json!({ "stf_count": "many" }), "params: stf_count: \"many\" is not a whole number"),
        (json!({ "stf_count": 2.5 }), "params: stf_count: 2.5 is not a whole number"),
        (json!({ "stf_count": -1 }), "params: stf_count: -1 is less than 0"),
        (json!({ "standby_duration": -1 }), "params: standby_duration: -1 is less than 0 (s)"),
        (json!({ "duration": 5 }), "params: duration: unknown parameter"),
        (json!({ "workflow_name": "x" }), "params: workflow_name: unknown parameter"),
        (json!({ "namespace": "other" }), "params: namespace: \"other\" is not the namespace \"ns\""),
    ];
    for (params, expected) in cases {
        let error = load(folder.path(), "stf_datataking", params).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn broken_files_end_with_one_line_that_names_file_and_key() {
    let fine = "[testbed]\nnamespace = \"ns\"\n";
    let cases = [
        ("testbed.toml", "[testbed\n", "testbed.toml:1: "),
        (
            "testbed.toml",
            "[agents.data]\nenabled = true\n",
            "testbed.namespace: missing; add a section [testbed]",
        ),
        ("testbed.toml", "[testbed]\n", "testbed.namespace: missing; add namespace"),
        ("testbed.toml", "[testbed]\nnamespace = \" \"\n", "testbed.namespace: is empty"),
        ("testbed.toml", "[testbed]\nnamespace = \"a/b\"\n", "testbed.namespace: may hold"),
        (
            "testbed.toml",
            "[testbed]\nnamespce = \"x\"\n",
            "testbed.namespce: unknown key; did you mean \"namespace\"?",
        ),
        ("testbed.toml", "namespace = \"x\"\n", "namespace: stands outside of a section"),
        (
            "testbed.toml",
            "[testbed]\nnamespace = \"n\"\n[parameters]\nstf_intervall = 2\n",
            "parameters.stf_intervall: unknown key; did you mean \"stf_interval\"?",
        ),
        (
            "testbed.toml",
            "[testbed]\nnamespace = \"n\"\n[agents.data]\nenabeld = true\n",
            "agents.data.enabeld: unknown key; did you mean \"enabled\"?",
        ),
        (
            "stf_datataking_default.toml",
            "[workflow]\nincludes = [\"nowhere.toml\"]\n",
            "workflow.includes: no file \"nowhere.toml\" beside testbed.toml",
        ),
        (
            "stf_datataking_default.toml",
            "[workflow]\nincludes = [\"../x.toml\"]\n",
            "included configuration name \"../x\" may hold",
        ),
        (
            "stf_datataking_default.toml",
            "[simulation]\nstf_count = \"x\"\n",
            "stf_count: \"x\" is not a whole number",
        ),
    ];
    for (file, text, expected) in cases {
        let folder = folder(&[("testbed.toml", fine), (file, text)]);
        let error = load(folder.path(), "stf_datataking", json!({})).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn names_that_would_leave_the_folder_are_refused() {
    let folder = folder(&[("testbed.toml", "[testbed]\nnamespace = \"ns\"\n")]);
    let error = load(folder.path(), "../../etc/passwd", json!({})).unwrap_err().to_string();
    assert!(error.contains("may hold letters"), "{error}");
    let error = load(folder.path(), "nothing", json!({})).unwrap_err().to_string();
    assert!(error.contains("known workflows: fast_processing, "), "{error}");
}

#[test]
fn a_run_request_follows_the_named_configuration_and_refuses_another_namespace() {
    let folder = folder(&[
        ("testbed.toml", "[testbed]\nnamespace = \"ns\"\n[parameters]\nstf_count = 3\n"),
        ("other.toml", "[testbed]\nnamespace = \"torre2\"\n[workflow]\nname = \"fast_processing\"\n"),
    ]);
    let testbed = Testbed::load(Some(folder.path()), None).unwrap();
    let request = testbed.run_request(Some("fast_processing")).unwrap();
    assert_eq!(request.workflow_name, "fast_processing");
    assert_eq!(request.config.as_deref(), Some("fast_processing_default"));
    assert_eq!((request.namespace.as_str(), request.realtime), ("ns", true));
    assert_eq!(Value::Object(request.params), json!({ "stf_count": 3 }));
    let error = testbed.run_request(Some("other")).unwrap_err().to_string();
    assert!(error.contains("\"torre2\" is not \"ns\""), "{error}");
    let error = testbed.run_request(None).unwrap_err().to_string();
    assert!(error.contains("workflow.name: missing"), "{error}");
}

#[test]
fn a_testbed_is_found_by_name_by_path_and_by_default() {
    let folder = folder(&[
        ("testbed.toml", "[testbed]\nnamespace = \"one\"\n"),
        ("mine.toml", "[testbed]\nnamespace = \"two\"\n"),
        (
            "part_default.toml",
            "[workflow]\nname = \"stf_datataking\"\n[agents.worker]\nenabled = true\ncount = 2\n",
        ),
    ]);
    let namespace =
        |name: Option<&str>| Testbed::load(Some(folder.path()), name).map(|testbed| testbed.namespace);
    assert_eq!(namespace(None).unwrap(), "one");
    assert_eq!(namespace(Some("mine")).unwrap(), "two");
    assert_eq!(namespace(Some("mine.toml")).unwrap(), "two");
    assert_eq!(namespace(Some(folder.path().join("mine.toml").to_str().unwrap())).unwrap(), "two");
    let part = Testbed::load(Some(folder.path()), Some("part")).unwrap();
    assert_eq!(part.namespace, "one", "the rest comes from testbed.toml");
    assert_eq!((part.agents[0].name.as_str(), part.agents[0].count), ("worker", 2));
    assert!(namespace(Some("/nowhere/x.toml")).unwrap_err().to_string().contains("no testbed file"));
    assert_eq!(Testbed::load(None, None).unwrap().namespace, "torre1", "shipped");
}
