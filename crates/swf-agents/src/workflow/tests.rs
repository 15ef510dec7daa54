//! Ticks and messages of the shipped workflows, in simulated time.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Action, Engine, Identity};
use crate::config::{Sources, Testbed, WorkflowConfig};

fn load(workflow: &str, config: &str, params: Value) -> WorkflowConfig {
    let testbed = Testbed::load(None, None).unwrap();
    let Value::Object(params) = params else { panic!("params") };
    let variables = BTreeMap::from([("HOME".to_owned(), "/home/u".to_owned())]);
    WorkflowConfig::load(&testbed, workflow, Some(config), &params, &variables).unwrap()
}

fn engine(config: &WorkflowConfig) -> Engine {
    let identity =
        Identity { namespace: "ns".into(), execution_id: "w-u-0001".into(), run_id: "100010".into() };
    Engine::new(config.definition.clone(), identity, config.effective.clone())
}

type Ran = (Vec<(f64, String)>, Vec<Map<String, Value>>, Option<f64>);

/// Ticks and types of the first messages, and the tick at the end if it is reached.
fn run(engine: &mut Engine, most: usize) -> Ran {
    let (mut ticks, mut bodies) = (Vec::new(), Vec::new());
    while let Some(action) = engine.next_action().unwrap() {
        if let Action::Send { msg_type, body, .. } = action {
            ticks.push((engine.tick_seconds(), msg_type));
            bodies.push(body);
            if ticks.len() == most {
                return (ticks, bodies, None);
            }
        }
    }
    (ticks, bodies, Some(engine.tick_seconds()))
}

fn named(list: &[(f64, &str)]) -> Vec<(f64, String)> {
    list.iter().map(|(tick, name)| (*tick, (*name).to_owned())).collect()
}

#[test]
fn data_taking_with_the_machine_defaults_has_the_ticks_of_the_contract() {
    let config = load("stf_processing", "stf_processing_default", json!({}));
    let (ticks, _, _) = run(&mut engine(&config), 4);
    assert_eq!(
        ticks,
        named(&[(5.0, "run_imminent"), (13.1, "start_run"), (14.2, "stf_gen"), (16.4, "stf_gen")])
    );
}

#[test]
fn a_period_without_count_is_filled_and_standby_comes_between_periods_only() {
    let config = load("stf_processing", "stf_processing_default", json!({}));
    let (ticks, bodies, end) = run(&mut engine(&config), 1000);
    let types: Vec<&str> = ticks.iter().map(|(_, name)| name.as_str()).collect();
    let period = ["stf_gen"; 5];
    let expected: Vec<&str> = ["run_imminent", "start_run"]
        .into_iter()
        .chain(period)
        .chain(["pause_run", "resume_run"])
        .chain(period)
        .chain(["end_run"])
        .collect();
    assert_eq!(types, expected);
    // 14.2 + 5 files of 2.2 s = 25.2; standby 0.1 + 1 + 2, resume 0.1 + 1; second period; end 0.1 + 1 + 5.
    assert_eq!(ticks[7], (25.2, "pause_run".into()));
    assert_eq!(ticks[8], (28.3, "resume_run".into()));
    assert_eq!(ticks[9], (29.4, "stf_gen".into()));
    assert_eq!(ticks.last().unwrap(), &(40.4, "end_run".into()));
    assert_eq!(end, Some(46.5));
    assert_eq!(bodies.last().unwrap()["total_stf_files"], json!(10));
    assert_eq!(bodies[13]["sequence"], json!(10), "sequence numbers run on across periods");
}

#[test]
fn a_count_gives_exactly_so_many_files_in_each_period_and_no_wait_after_the_last() {
    let config = load("stf_datataking", "stf_datataking_default", json!({ "physics_period_count": 2 }));
    let (ticks, _, _) = run(&mut engine(&config), 1000);
    let files: Vec<f64> = ticks.iter().filter(|(_, name)| name == "stf_gen").map(|(tick, _)| *tick).collect();
    assert_eq!(files.len(), 10);
    assert_eq!(&files[..3], [14.2, 16.6, 19.0], "stf_interval of [simulation] wins over the machine's");
    let pause = ticks.iter().find(|(_, name)| name == "pause_run").unwrap().0;
    assert_eq!(pause, 24.0, "the last file of the period is at 23.8 and takes 0.2");
}

#[test]
fn fast_processing_makes_ten_files_in_one_period() {
    let config = load("fast_processing", "fast_processing_default", json!({}));
    let (ticks, _, end) = run(&mut engine(&config), 1000);
    assert_eq!(ticks.iter().filter(|(_, name)| name == "stf_gen").count(), 10);
    assert_eq!(ticks.iter().filter(|(_, name)| name == "pause_run").count(), 0);
    assert!(end.is_some());
    assert_eq!(config.effective["target_worker_count"], json!(30));
}

#[test]
fn messages_have_the_fields_of_the_contract_in_its_order() {
    let config = load("prompt_processing", "prompt_processing", json!({ "container": "~/out" }));
    let mut engine = engine(&config);
    assert_eq!(engine.folders(), [std::path::PathBuf::from("/home/u/out/swf.100010.run")]);
    let mut seen = BTreeMap::new();
    while let Some(action) = engine.next_action().unwrap() {
        if let Action::Send { msg_type, body, file, destination } = action {
            assert_eq!(destination, "/topic/epictopic");
            let keys: Vec<String> = body.keys().cloned().collect();
            seen.insert(msg_type, (keys.join(" "), body, file));
        }
    }
    let common = "msg_type namespace execution_id run_id timestamp simulation_tick";
    let (keys, body, _) = &seen["run_imminent"];
    assert_eq!(*keys, format!("{common} state substate dataset container"));
    assert_eq!(body["dataset"], json!("swf.100010.run"));
    assert_eq!(body["container"], json!("/home/u/out"));
    assert_eq!((&body["state"], &body["substate"]), (&json!("beam"), &json!("not_ready")));
    assert_eq!(seen["start_run"].0, format!("{common} state substate"));
    assert_eq!(
        (&seen["start_run"].1["state"], &seen["start_run"].1["substate"]),
        (&json!("run"), &json!("physics"))
    );
    assert_eq!(seen["end_run"].0, format!("{common} total_stf_files"));
    let (keys, body, file) = &seen["stf_gen"];
    assert_eq!(
        keys,
        "msg_type namespace execution_id run_id filename sequence timestamp simulation_tick state substate"
    );
    assert_eq!(body["filename"], json!("swf.100010.000003.stf"));
    assert_eq!(body["run_id"], json!("100010"), "a text of digits");
    assert_eq!(file.as_ref().unwrap().to_str().unwrap(), "/home/u/out/swf.100010.run/swf.100010.000003.stf");
}

#[test]
fn an_endless_workflow_has_a_standby_after_every_period_and_is_known_as_endless() {
    let config = load("stf_datataking", "stf_datataking_default", json!({ "physics_period_count": 0 }));
    let mut engine = engine(&config);
    assert!(engine.is_endless().unwrap());
    let (ticks, _, end) = run(&mut engine, 50);
    assert_eq!(end, None);
    assert!(ticks.iter().filter(|(_, name)| name == "pause_run").count() >= 5);
}

#[test]
fn a_loop_that_lets_no_time_pass_is_an_error_and_not_a_hang() {
    let params =
        json!({ "stf_count": 0, "stf_interval": 0, "stf_generation_time": 0, "physics_period_duration": 5 });
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        [workflow]
        name = "stuck"
        version = "1"
        [messages.ping]
        [[steps]]
        repeat = { steps = [{ send = "ping" }] }
    "#;
    std::fs::write(folder.path().join("stuck.workflow.toml"), text).unwrap();
    let definition = super::Definition::load(&Sources::new(Some(folder.path().into())), "stuck").unwrap();
    let mut engine = Engine::new(definition.into(), Identity::default(), params.as_object().unwrap().clone());
    assert!(matches!(engine.next_action(), Ok(Some(Action::Send { .. }))));
    assert_eq!(engine.next_action(), Err(super::EngineError::Stuck("stuck".into())));
}

#[test]
fn a_closing_message_says_why_the_run_ends_early() {
    let config = load("stf_datataking", "stf_datataking_default", json!({}));
    let mut engine = engine(&config);
    let _ = run(&mut engine, 4);
    let Some(Action::Send { msg_type, body, .. }) = engine.closing(Some("stopped by command")).unwrap()
    else {
        panic!("no closing message")
    };
    assert_eq!(msg_type, "end_run");
    assert_eq!(body["reason"], json!("stopped by command"));
    assert_eq!(body["total_stf_files"], json!(2));
}

#[test]
fn a_new_workflow_is_a_file_beside_testbed_toml() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        [workflow]
        name = "calibration"
        version = "0.1"
        closing = "done"
        [parameters]
        shots = { type = "int", default = 3, min = 1 }
        pause = { type = "float", default = 0.5, unit = "s" }
        [destinations]
        shot = "/queue/laser"
        [messages.shot]
        number = "{n}"
        label = "shot {n:03} of run {run_id}"
        energy = 1.5
        [messages.done]
        [[steps]]
        repeat = { times = "shots", steps = [{ count = "n", send = "shot" }], between = [{ wait = "pause" }] }
        [[steps]]
        send = "done"
    "#;
    std::fs::write(folder.path().join("calibration.workflow.toml"), text).unwrap();
    std::fs::write(folder.path().join("calibration_default.toml"), "[workflow]\nname = \"calibration\"\n")
        .unwrap();
    let testbed = Testbed::load(Some(folder.path()), None).unwrap();
    let params = json!({ "shots": 2 }).as_object().unwrap().clone();
    let config = WorkflowConfig::load(&testbed, "calibration", None, &params, &BTreeMap::new()).unwrap();
    let (ticks, bodies, end) = run(&mut engine(&config), 100);
    assert_eq!(ticks, named(&[(0.0, "shot"), (0.5, "shot"), (0.5, "done")]));
    assert_eq!(end, Some(0.5));
    assert_eq!(
        Value::Object(bodies[1].clone()),
        json!({ "msg_type": "shot", "number": 2, "label": "shot 002 of run 100010", "energy": 1.5 })
    );
}

#[test]
fn mistakes_in_a_definition_are_named_with_file_key_and_way_out() {
    let cases = [
        ("[[steps]]\nwait = \"puase\"", "steps: no parameter \"puase\"; did you mean \"pause\"?"),
        ("[[steps]]\nsend = \"shoot\"", "steps: send = \"shoot\": no such message; did you mean \"shot\"?"),
        ("[[steps]]\nwiat = 3", "unknown field `wiat`"),
        ("[[steps]]\nstate = \"beam\"", "steps[0].state: \"beam\" must be state/substate"),
        ("[[steps]]\nwait = -1", "steps[0].wait: -1 must not be negative"),
        ("[values]\nx = \"{nobody}\"\n[[steps]]\nwait = 1", "values.x: {nobody} is not known"),
        ("", "steps: a workflow needs steps"),
        ("[[steps]]\nwait = [1", ".workflow.toml:"),
    ];
    for (rest, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let head = "[workflow]\nname = \"w\"\nversion = \"1\"\n[parameters]\npause = { type = \"float\", default = 1 }\n";
        let text = format!("{head}[messages.shot]\n{rest}\n");
        std::fs::write(folder.path().join("w.workflow.toml"), text).unwrap();
        let error =
            super::Definition::load(&Sources::new(Some(folder.path().into())), "w").unwrap_err().to_string();
        assert!(error.contains(expected), "{rest}: {error}");
        assert!(error.contains("w.workflow.toml") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn every_shipped_workflow_and_configuration_loads_and_ends() {
    let sources = Sources::new(None);
    let names: Vec<String> = sources.workflows().into_iter().map(|w| w.name).collect();
    assert_eq!(names, ["fast_processing", "prompt_processing", "stf_datataking", "stf_processing"]);
    assert!(sources.workflows().iter().all(|workflow| workflow.problem.is_none()));
    for config in sources.config_names() {
        for workflow in &names {
            let config = load(workflow, &config, json!({}));
            assert!(run(&mut engine(&config), 10_000).2.is_some(), "{workflow} with {}", config.config);
        }
    }
}
