//! A small testbed with a past: the data on which every tool's example works, made the same each time.
//!
//! *Invariant:* nothing is random and every moment is an offset from `now`, so two databases filled at the
//! same `now` answer alike, whatever their engine.

mod tags;
mod talk;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as JsonValue, json};
use swf_db::schema::{Default, Kind, Table};
use swf_db::{Db, Error, Sql, Tx, Value};
use uuid::Uuid;

use crate::tables;

/// Fills an empty database of record.
pub async fn fill(db: &Db, now: DateTime<Utc>) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    let mut sample = Sample { tx: &mut tx, now };
    sample.namespaces().await?;
    sample.agents().await?;
    let definitions = sample.definitions().await?;
    sample.executions(&definitions).await?;
    sample.runs().await?;
    sample.messages().await?;
    sample.logs().await?;
    sample.memory().await?;
    sample.tags().await?;
    tx.commit().await
}

/// One row: its table, and the columns that differ from their defaults. Returns the primary key.
pub async fn insert(
    tx: &mut Tx<'_>,
    now: DateTime<Utc>,
    table: &Table,
    row: &[(&str, Value)],
) -> Result<Value, Error> {
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for column in table.columns {
        let given = row.iter().find(|(name, _)| *name == column.name).map(|(_, value)| value.clone());
        let value = match (given, column.default) {
            (Some(value), _) => value,
            (None, Default::Identity) => continue,
            (None, Default::None) if column.blank => "".into(),
            (None, Default::None | Default::RandomUuid) => Value::Null,
            (None, Default::Int(n)) => n.into(),
            (None, Default::Bool(b)) => b.into(),
            (None, Default::Text(t)) => t.into(),
            (None, Default::EmptyObject) => json!({}).into(),
            (None, Default::Now | Default::Created | Default::Updated) => now.into(),
        };
        columns.push(column.name);
        values.push(match (column.kind, value) {
            (Kind::Json, Value::Text(text)) => Value::Json(JsonValue::String(text)),
            (_, value) => value,
        });
    }
    let key = table.primary_key.columns.first().copied().unwrap_or("id");
    let marks = vec!["?"; values.len()].join(", ");
    let sql = Sql::new(format!("INSERT INTO {} ({})", table.name, columns.join(", ")))
        .with(&format!("VALUES ({marks}) RETURNING {key} AS key"), values);
    let rows = tx.rows(&sql).await?;
    Ok(rows.first().and_then(|r| r.get("key")).cloned().unwrap_or(Value::Null))
}

/// Executions of the sample: workflow, user, namespace, status, age at start and length in minutes.
const EXECUTIONS: [(&str, &str, &str, &str, i64, i64); 14] = [
    ("stf_datataking", "torre", "torre1", "running", 12, 0),
    ("fast_processing", "wenauseic", "wenauseic", "running", 400, 0),
    ("stf_datataking", "torre", "torre1", "completed", 95, 22),
    ("stf_datataking", "wenauseic", "torre1", "failed", 150, 4),
    ("fast_processing", "torre", "torre1", "completed", 240, 31),
    ("stf_datataking", "torre", "epic-daq", "terminated", 330, 9),
    ("stf_datataking", "torre", "torre1", "completed", 600, 25),
    ("fast_processing", "torre", "torre1", "completed", 1_000, 28),
    ("stf_datataking", "rahmans", "epic-daq", "completed", 1_300, 24),
    ("stf_datataking", "torre", "torre1", "failed", 1_500, 2),
    ("fast_processing", "torre", "torre1", "completed", 2_900, 33),
    ("stf_datataking", "wenauseic", "torre1", "completed", 4_400, 26),
    ("stf_datataking", "torre", "epic-daq", "completed", 7_300, 25),
    ("stf_datataking", "torre", "torre1", "completed", 11_000, 21),
];

/// STF files of each run.
const FILES: i64 = 6;
/// TF files of each STF file, and slices of each TF file.
const TF_FILES: i64 = 2;
const SLICES: i64 = 3;
/// Number of the newest run; the older ones count down from it.
const NEWEST_RUN: i64 = 100_010;

struct Sample<'a, 'b> {
    tx: &'a mut Tx<'b>,
    now: DateTime<Utc>,
}

/// Id of the execution at a place of [`EXECUTIONS`]: `stf_datataking-torre-0001` is the newest.
fn execution_id(at: i64) -> String {
    let (workflow, user, ..) = of(at);
    format!("{workflow}-{user}-{:04}", at + 1)
}

fn of(at: i64) -> (&'static str, &'static str, &'static str, &'static str, i64, i64) {
    let at = usize::try_from(at).unwrap_or_default();
    EXECUTIONS.get(at).copied().unwrap_or(("", "", "", "", 0, 0))
}

fn places() -> std::ops::Range<i64> {
    0..i64::try_from(EXECUTIONS.len()).unwrap_or_default()
}

/// A fixed UUID; `kind` keeps those of different tables apart.
fn uuid(kind: u128, at: i64) -> Value {
    Uuid::from_u128((kind << 96) | (0x4000_8000 << 60) | u128::from(at.unsigned_abs())).into()
}

impl Sample<'_, '_> {
    fn ago(&self, minutes: i64) -> DateTime<Utc> {
        self.now - TimeDelta::minutes(minutes)
    }

    async fn add(&mut self, table: &Table, row: &[(&str, Value)]) -> Result<Value, Error> {
        insert(self.tx, self.now, table, row).await
    }

    async fn namespaces(&mut self) -> Result<(), Error> {
        for (name, owner, description) in [
            ("torre1", "torre", "Primary development testbed"),
            ("epic-daq", "torre", "DAQ simulator integration"),
            ("wenauseic", "wenauseic", ""),
        ] {
            let row = [("name", name.into()), ("owner", owner.into()), ("description", description.into())];
            self.add(&tables::swf_namespace::TABLE, &row).await?;
        }
        Ok(())
    }

    async fn agents(&mut self) -> Result<(), Error> {
        let manager = json!({"supervisord_healthy": true, "agents_running": true, "backend": "native"});
        let torre = json!({"control_queue": "/queue/workflow_control.torre1"});
        let epic = json!({"control_queue": "/queue/workflow_control.epic-daq"});
        let none = JsonValue::Null;
        // Name, kind, namespace, status, state, seconds since the last heartbeat, files done, metadata.
        let agents = [
            ("agent-manager-torre", "agent_manager", "torre1", "OK", "READY", 20, 0, &manager),
            ("agent-manager-wenauseic", "agent_manager", "wenauseic", "OK", "READY", 35, 0, &manager),
            ("daq_simulator-agent-torre-1", "DAQ_Simulator", "torre1", "OK", "PROCESSING", 5, 0, &torre),
            ("daq_simulator-agent-torre-7", "DAQ_Simulator", "epic-daq", "OK", "READY", 12, 0, &epic),
            ("data-agent-torre-1", "DATA", "torre1", "OK", "PROCESSING", 8, 1_204, &none),
            ("stf_processing-agent-torre-2", "STF_Processing", "torre1", "OK", "READY", 14, 1_190, &none),
            (
                "fast_processing-agent-torre-4",
                "Fast_Processing",
                "torre1",
                "WARNING",
                "READY",
                25,
                310,
                &none,
            ),
            ("fastmon-agent-torre-9", "fastmon", "torre1", "OK", "PROCESSING", 2_700, 655, &none),
            (
                "daq_simulator-agent-wenauseic-3",
                "DAQ_Simulator",
                "wenauseic",
                "OK",
                "PROCESSING",
                23_000,
                0,
                &none,
            ),
            ("data-agent-rahmans-5", "DATA", "epic-daq", "EXITED", "EXITED", 80_000, 47, &none),
        ];
        for (at, (name, kind, namespace, status, state, silent, done, metadata)) in (1i64..).zip(agents) {
            let heard = self.now - TimeDelta::seconds(silent);
            let row = [
                ("instance_name", name.into()),
                ("agent_type", kind.into()),
                ("description", format!("{kind} agent of {namespace}").into()),
                ("status", status.into()),
                ("operational_state", state.into()),
                ("namespace", namespace.into()),
                ("last_heartbeat", heard.into()),
                ("created_at", self.ago(600 + 200 * at).into()),
                ("updated_at", heard.into()),
                ("total_stf_processed", done.into()),
                ("last_stf_processed", (done > 0).then_some(heard).into()),
                ("hostname", "testbed.example.org".into()),
                ("pid", (20_000 + at).into()),
                ("metadata", if metadata.is_null() { Value::Null } else { metadata.clone().into() }),
            ];
            self.add(&tables::swf_systemagent::TABLE, &row).await?;
        }
        Ok(())
    }

    /// The keys of the definitions, in the order stf_datataking, fast_processing.
    async fn definitions(&mut self) -> Result<[Value; 2], Error> {
        let mut keys = [Value::Null, Value::Null];
        for (at, (name, version, text)) in [
            ("fast_processing", "1.0", "Fast processing of time frame slices"),
            ("stf_datataking", "1.0", "Data taking with STF files, first edition"),
            ("fast_processing", "1.1", "Fast processing of time frame slices by remote workers"),
            ("stf_datataking", "1.1", "Simulated data taking that produces STF files"),
        ]
        .into_iter()
        .enumerate()
        {
            let row = [
                ("workflow_name", name.into()),
                ("version", version.into()),
                ("workflow_type", "simulation".into()),
                ("definition", format!("# {text}\n").into()),
                (
                    "parameter_values",
                    json!({"workflow": {"name": name, "version": version, "description": text}}).into(),
                ),
                ("created_by", "torre".into()),
                ("created_at", self.ago(50_000 - 1_000 * i64::try_from(at).unwrap_or_default()).into()),
            ];
            let key = self.add(&tables::swf_workflow_definitions::TABLE, &row).await?;
            let newest = if name == "stf_datataking" { &mut keys[0] } else { &mut keys[1] };
            *newest = key;
        }
        Ok(keys)
    }

    async fn executions(&mut self, [datataking, fast]: &[Value; 2]) -> Result<(), Error> {
        for at in places() {
            let (workflow, user, namespace, status, age, length) = of(at);
            let ended = (status != "running").then(|| self.ago(age - length));
            let runner = match namespace {
                "torre1" => "daq_simulator-agent-torre-1",
                "epic-daq" => "daq_simulator-agent-torre-7",
                _ => "daq_simulator-agent-wenauseic-3",
            };
            let mut metrics = json!({"runner": runner, "host": "testbed.example.org", "pid": 20_003});
            if let (Some(metrics), true) = (metrics.as_object_mut(), ended.is_some()) {
                metrics.insert("run_number".into(), (NEWEST_RUN - at).into());
                metrics.insert("stf_files".into(), FILES.into());
                if status == "failed" {
                    metrics.insert("reason".into(), "the broker refused stf_gen after 5 attempts".into());
                }
            }
            let row = [
                ("execution_id", execution_id(at).into()),
                (
                    "workflow_definition_id",
                    if workflow == "stf_datataking" { datataking } else { fast }.clone(),
                ),
                ("namespace", namespace.into()),
                ("status", status.into()),
                ("executed_by", user.into()),
                ("start_time", self.ago(age).into()),
                ("end_time", ended.into()),
                ("parameter_values", configuration(workflow, namespace).into()),
                ("performance_metrics", metrics.into()),
            ];
            self.add(&tables::swf_workflow_executions::TABLE, &row).await?;
        }
        Ok(())
    }

    /// Runs with their processing states, STF files, TF files and slices.
    async fn runs(&mut self) -> Result<(), Error> {
        for at in places() {
            let (workflow, _, namespace, status, age, length) = of(at);
            let number = NEWEST_RUN - at;
            let open = status == "running";
            let start = self.ago(age) + TimeDelta::seconds(5);
            let row = [
                ("run_number", number.into()),
                ("start_time", start.into()),
                ("end_time", (!open).then(|| self.ago(age - length)).into()),
                ("run_conditions", json!({"namespace": namespace, "execution_id": execution_id(at)}).into()),
            ];
            let run = self.add(&tables::swf_runs::TABLE, &row).await?;
            self.run_state(at, open).await?;
            for file in 1..=FILES {
                self.stf_file(at, file, &run, start + TimeDelta::seconds(20 * file)).await?;
            }
            let event = [
                ("timestamp", start.into()),
                ("run_number", number.into()),
                ("event_type", "start_run".into()),
                ("state", "run".into()),
                ("substate", "physics".into()),
                ("event_data", json!({"execution_id": execution_id(at), "workflow": workflow}).into()),
            ];
            self.add(&tables::swf_system_state_events::TABLE, &event).await?;
        }
        Ok(())
    }

    async fn run_state(&mut self, at: i64, open: bool) -> Result<(), Error> {
        let (.., age, length) = of(at);
        let (phase, state) = if open { ("physics", "run") } else { ("completed", "ended") };
        let made = FILES * TF_FILES * SLICES;
        let row = [
            ("run_number", (NEWEST_RUN - at).into()),
            ("phase", phase.into()),
            ("state", state.into()),
            ("substate", "physics".into()),
            ("target_worker_count", 4.into()),
            ("active_worker_count", i64::from(open).into()),
            ("stf_samples_received", FILES.into()),
            ("slices_created", made.into()),
            ("slices_completed", made.into()),
            ("state_changed_at", self.ago(age - length).into()),
            ("metadata", json!({"execution_id": execution_id(at)}).into()),
        ];
        self.add(&tables::swf_run_state::TABLE, &row).await.map(drop)
    }

    async fn stf_file(&mut self, at: i64, file: i64, run: &Value, made: DateTime<Utc>) -> Result<(), Error> {
        let number = NEWEST_RUN - at;
        let name = format!("swf.{number}.{file:06}.stf");
        let failed = of(at).3 == "failed" && file == FILES;
        let status = match () {
            () if failed => "failed",
            () if of(at).3 == "running" && file >= FILES - 1 => "registered",
            () => "processed",
        };
        let id = uuid(1, number * 100 + file);
        let row = [
            ("file_id", id.clone()),
            ("stf_filename", name.clone().into()),
            ("run_id", run.clone()),
            ("machine_state", "physics".into()),
            ("status", status.into()),
            ("file_size_bytes", (412_000_000 + 1_000 * file).into()),
            ("checksum", format!("ad:{:08x}", number * 7_919 + file).into()),
            ("created_at", made.into()),
            ("daq_state", "run".into()),
            ("daq_substate", "physics".into()),
            ("metadata", json!({"created_by": "data-agent-torre-1", "sequence": file}).into()),
        ];
        self.add(&tables::swf_stf_files::TABLE, &row).await?;
        for part in 1..=TF_FILES {
            self.tf_file(at, file, part, &id, made + TimeDelta::seconds(3 * part)).await?;
        }
        Ok(())
    }

    async fn tf_file(
        &mut self,
        at: i64,
        file: i64,
        part: i64,
        stf: &Value,
        made: DateTime<Utc>,
    ) -> Result<(), Error> {
        let number = NEWEST_RUN - at;
        let base = format!("swf.{number}.{file:06}_tf_{part:03}");
        let first = 100 * part;
        let row = [
            ("tf_file_id", uuid(2, (number * 100 + file) * 10 + part)),
            ("tf_filename", format!("{base}.tf").into()),
            ("stf_file_id", stf.clone()),
            ("file_size_bytes", 62_000.into()),
            ("status", "registered".into()),
            ("created_at", made.into()),
            ("updated_at", made.into()),
            ("metadata", json!({"tf_first": first, "tf_last": first + 5, "tf_count": 6}).into()),
        ];
        self.add(&tables::swf_fastmon_files::TABLE, &row).await?;
        if of(at).0 != "fast_processing" && at != 0 {
            return Ok(());
        }
        for slice in 0..SLICES {
            let status = match () {
                () if at == 0 && file == FILES => "queued",
                () if at == 0 && file == FILES - 1 => "processing",
                () if of(at).3 == "running" && slice == 2 => "failed",
                () => "completed",
            };
            let assigned = (status != "queued").then(|| made + TimeDelta::seconds(4));
            let row = [
                ("slice_id", slice.into()),
                ("tf_first", (first + 2 * slice).into()),
                ("tf_last", (first + 2 * slice + 1).into()),
                ("tf_count", 2.into()),
                ("tf_filename", format!("{base}_slice_{slice:03}.tf").into()),
                ("stf_filename", format!("swf.{number}.{file:06}.stf").into()),
                ("run_number", number.into()),
                ("status", status.into()),
                ("created_at", (made + TimeDelta::seconds(slice)).into()),
                ("assigned_worker", assigned.map(|_| format!("worker-{number}-{:02}", slice % 2)).into()),
                ("assigned_at", assigned.into()),
                ("completed_at", (status == "completed").then(|| made + TimeDelta::seconds(9)).into()),
                (
                    "metadata",
                    json!({"execution_id": execution_id(at), "created_by": "fast_processing-agent-torre-4"})
                        .into(),
                ),
            ];
            self.add(&tables::swf_tf_slices::TABLE, &row).await?;
        }
        Ok(())
    }

    async fn tags(&mut self) -> Result<(), Error> {
        tags::fill(self.tx, self.now).await
    }
}

/// A configuration as runners record it: all sections, merged.
fn configuration(workflow: &str, namespace: &str) -> JsonValue {
    json!({
        "testbed": {"namespace": namespace, "monitor_url": "http://localhost:8000/swf-monitor"},
        "workflow": {
            "name": workflow, "version": "1.1", "config": format!("{workflow}_default"), "realtime": true,
            "description": "Simulated data taking that produces STF files",
        },
        "daq_state_machine": {
            "no_beam_not_ready_delay": 5, "beam_not_ready_delay": 5, "beam_ready_delay": 2,
            "physics_period_count": 1, "physics_period_duration": 120, "standby_duration": 20,
            "beam_not_ready_end_delay": 5, "stf_interval": 20, "stf_count": FILES,
        },
        "fast_processing": {
            "target_worker_count": 4, "stf_sampling_rate": 0.1, "slices_per_sample": SLICES,
            "slice_processing_time": 30, "num_tf_per_slice": 2, "worker_rampup_time": 10,
        },
        "git_version": {"commit": "0123456789abcdef0123456789abcdef01234567", "branch": "main", "dirty": false},
    })
}
