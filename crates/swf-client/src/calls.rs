//! One method for each call that agents make.

use serde_json::{Value, json};

use crate::rows::{
    Batch, Definition, Execution, FastmonFile, Heartbeat, LogRow, NewDefinition, NewFastmonFile, NewStfFile,
    NewSubscriber, ResultsAnswer, Run, RunState, Slice, SliceResult, StateEvent, StfFile,
};
use crate::{Client, Error};

impl Client {
    /// Tell the monitor that the agent lives.
    ///
    /// # Errors
    /// Any [`Error`], as for all calls below.
    pub async fn heartbeat(&self, beat: &Heartbeat) -> Result<Value, Error> {
        self.post("api/systemagents/heartbeat/", beat).await
    }

    /// A run number that nobody else gets.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn next_run_number(&self) -> Result<i64, Error> {
        self.counter("api/state/next-run-number/", "run_number").await
    }

    /// An agent id that nobody else gets.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn next_agent_id(&self) -> Result<i64, Error> {
        self.counter("api/state/next-agent-id/", "agent_id").await
    }

    /// A sequence number for an execution id that nobody else gets.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn next_execution_sequence(&self, workflow_name: &str) -> Result<i64, Error> {
        let path = "api/state/next-workflow-execution-id/";
        let answer: Value = self.post(path, &json!({ "workflow_name": workflow_name })).await?;
        number(path, &answer, "sequence")
    }

    async fn counter(&self, path: &str, key: &str) -> Result<i64, Error> {
        let answer: Value = self.post(path, &json!({})).await?;
        number(path, &answer, key)
    }

    /// Register the namespace unless it is known; an existing owner stays.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn ensure_namespace(&self, name: &str, owner: &str) -> Result<Value, Error> {
        self.post("api/namespaces/ensure/", &json!({ "name": name, "owner": owner })).await
    }

    /// Register a subscription; one that is registered already is fine.
    ///
    /// # Errors
    /// Any other [`Error`].
    pub async fn register_subscriber(&self, subscriber: &NewSubscriber) -> Result<(), Error> {
        match self.post::<Value>("api/subscribers/", subscriber).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_already_there() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Definitions of that name and version; the first counts.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn definitions(&self, name: &str, version: &str) -> Result<Vec<Definition>, Error> {
        self.get("api/workflow-definitions/", &[("workflow_name", name), ("version", version)]).await
    }

    /// Register a definition.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::is_already_there`] when somebody was faster.
    pub async fn create_definition(&self, definition: &NewDefinition) -> Result<Definition, Error> {
        self.post("api/workflow-definitions/", definition).await
    }

    /// Open an execution.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn create_execution(&self, execution: &Execution) -> Result<Execution, Error> {
        self.post("api/workflow-executions/", execution).await
    }

    /// One execution.
    ///
    /// # Errors
    /// Any [`Error`]; 404 when it does not exist.
    pub async fn execution(&self, execution_id: &str) -> Result<Execution, Error> {
        self.get(&format!("api/workflow-executions/{execution_id}/"), &[]).await
    }

    /// Executions with that status in that namespace.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn executions(&self, status: &str, namespace: &str) -> Result<Vec<Execution>, Error> {
        self.get("api/workflow-executions/", &[("status", status), ("namespace", namespace)]).await
    }

    /// Change an execution; JSON columns are merged.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn patch_execution(&self, execution_id: &str, body: &Value) -> Result<Value, Error> {
        self.patch(&format!("api/workflow-executions/{execution_id}/"), body, true).await
    }

    /// Open a run; when the run number is taken already, its row is returned.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn ensure_run(&self, number: i64, start_time: &str, conditions: &Value) -> Result<Run, Error> {
        let body = json!({ "run_number": number, "start_time": start_time, "run_conditions": conditions });
        match self.post("api/runs/", &body).await {
            Err(error) if error.is_already_there() => self.run(number).await?.ok_or(error),
            other => other,
        }
    }

    /// The row of a run number.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn run(&self, number: i64) -> Result<Option<Run>, Error> {
        let rows: Vec<Run> = self.get("api/runs/", &[("run_number", &number.to_string())]).await?;
        Ok(rows.into_iter().find(|row| row.run_number == number))
    }

    /// Close a run. `run_id` is the key of the row, not the run number.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn end_run(&self, run_id: i64, end_time: &str) -> Result<Value, Error> {
        self.patch(&format!("api/runs/{run_id}/"), &json!({ "end_time": end_time }), true).await
    }

    /// Register an STF file; when the name is taken already, its row is returned.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn ensure_stf_file(&self, file: &NewStfFile) -> Result<StfFile, Error> {
        match self.post("api/stf-files/", file).await {
            Err(error) if error.is_already_there() => self.stf_file(&file.stf_filename).await?.ok_or(error),
            other => other,
        }
    }

    /// The row of an STF file name.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn stf_file(&self, name: &str) -> Result<Option<StfFile>, Error> {
        let rows: Vec<StfFile> = self.get("api/stf-files/", &[("stf_filename", name)]).await?;
        Ok(rows.into_iter().find(|row| row.stf_filename == name))
    }

    /// STF files of a run.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn stf_files_of_run(&self, run_number: i64) -> Result<Vec<StfFile>, Error> {
        self.get("api/stf-files/", &[("run_number", &run_number.to_string())]).await
    }

    /// Change an STF file; metadata are merged.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn patch_stf_file(&self, file_id: &str, body: &Value) -> Result<Value, Error> {
        self.patch(&format!("api/stf-files/{file_id}/"), body, true).await
    }

    /// Register TF files; names that are known already come back with their rows.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn register_fastmon_files(
        &self,
        files: &[NewFastmonFile],
    ) -> Result<Batch<FastmonFile>, Error> {
        self.post("api/fastmon-files/batch/", &files).await
    }

    /// Register the slices of one TF file in one transaction; repeatable.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn register_slices(&self, tf_file: &str, slices: &[Slice]) -> Result<Batch, Error> {
        self.post("api/tf-slices/batch/", &json!({ "slices": slices, "tf_file": tf_file })).await
    }

    /// Report what became of slices; repeatable, final states never change.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn report_slices(&self, results: &[SliceResult]) -> Result<ResultsAnswer, Error> {
        self.post("api/tf-slices/results/", &results).await
    }

    /// Slices that match every filter, such as `("status", "queued")`, `("stf_filename", …)`.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn slices(&self, filters: &[(&str, &str)]) -> Result<Vec<Slice>, Error> {
        self.get("api/tf-slices/", filters).await
    }

    /// Open the state of a run.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn create_run_state(&self, state: &RunState) -> Result<Value, Error> {
        let mut body = json!({
            "active_worker_count": 0, "stf_samples_received": 0, "slices_created": 0, "slices_queued": 0,
            "slices_processing": 0, "slices_completed": 0, "slices_failed": 0,
        });
        if let (Some(body), Ok(Value::Object(given))) = (body.as_object_mut(), serde_json::to_value(state)) {
            body.extend(given);
        }
        self.post("api/run-states/", &body).await
    }

    /// Change the state of a run; metadata are merged.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn patch_run_state(&self, run_number: i64, state: &RunState) -> Result<Value, Error> {
        self.patch(&format!("api/run-states/{run_number}/"), state, true).await
    }

    /// States of all runs.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn run_states(&self) -> Result<Vec<RunState>, Error> {
        self.get("api/run-states/", &[]).await
    }

    /// Write state events.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn record_events(&self, events: &[StateEvent]) -> Result<Batch, Error> {
        self.post("api/system-state-events/batch/", &events).await
    }

    /// Write log rows.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn record_logs(&self, rows: &[LogRow]) -> Result<Value, Error> {
        self.post("api/logs/batch/", &rows).await
    }
}

fn number(path: &str, answer: &Value, key: &str) -> Result<i64, Error> {
    answer.get(key).and_then(Value::as_i64).ok_or_else(|| Error::Answer {
        method: "POST",
        path: path.to_owned(),
        why: format!("no whole number {key:?} in {answer}"),
    })
}
