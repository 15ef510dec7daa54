//! `swf agent runner --run-once`: one workflow without commands, with the options of the Python runner.

use serde_json::{Map, Value};
use swf_agents::RunWorkflow;

/// What to run, and how.
#[derive(Debug, clap::Args)]
pub struct Once {
    /// Run this workflow once, without waiting for commands, and end; exit code 1 unless it completes
    #[arg(long, value_name = "WORKFLOW")]
    run_once: Option<String>,
    /// Its configuration [default: <workflow>_default]
    #[arg(long, requires = "run_once")]
    workflow_config: Option<String>,
    /// Simulated seconds; 0 for no limit
    #[arg(long, requires = "run_once", default_value_t = 0.0)]
    duration: f64,
    /// STF files
    #[arg(long, requires = "run_once")]
    stf_count: Option<u64>,
    /// Physics periods; 0 is endless
    #[arg(long, requires = "run_once")]
    physics_period_count: Option<u64>,
    /// Length of a period in simulated seconds
    #[arg(long, requires = "run_once")]
    physics_period_duration: Option<f64>,
    /// Simulated seconds between two STF files
    #[arg(long, requires = "run_once")]
    stf_interval: Option<f64>,
    /// One simulated second takes a second (the default)
    #[arg(long, requires = "run_once", conflicts_with = "no_realtime")]
    realtime: bool,
    /// As fast as possible
    #[arg(long, requires = "run_once")]
    no_realtime: bool,
}

impl Once {
    /// The workflow to run once, if one was named.
    pub fn command(self) -> Option<RunWorkflow> {
        let mut params = Map::new();
        let given: [(&str, Option<Value>); 4] = [
            ("stf_count", self.stf_count.map(Value::from)),
            ("physics_period_count", self.physics_period_count.map(Value::from)),
            ("physics_period_duration", self.physics_period_duration.map(Value::from)),
            ("stf_interval", self.stf_interval.map(Value::from)),
        ];
        for (name, value) in given {
            params.extend(value.map(|value| (name.to_owned(), value)));
        }
        Some(RunWorkflow {
            workflow_name: self.run_once?,
            config: self.workflow_config,
            realtime: !self.no_realtime,
            duration: self.duration.max(0.0),
            params,
            execution_id: None,
        })
    }
}
