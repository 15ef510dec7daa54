//! What the sample's agents said: messages, log rows, and a dialogue with an assistant.

use chrono::TimeDelta;
use serde_json::json;
use swf_db::Error;

use super::{FILES, NEWEST_RUN, Sample, execution_id, of, places, uuid};
use crate::tables;

impl Sample<'_, '_> {
    pub(super) async fn messages(&mut self) -> Result<(), Error> {
        for at in places() {
            let (_, _, namespace, status, age, length) = of(at);
            let run = (NEWEST_RUN - at).to_string();
            let start = self.ago(age);
            let sender = if namespace == "epic-daq" {
                "daq_simulator-agent-torre-7"
            } else {
                "daq_simulator-agent-torre-1"
            };
            let mut kinds = vec![("run_imminent", start), ("start_run", start + TimeDelta::seconds(5))];
            kinds.extend((1..=FILES).map(|f| ("stf_gen", start + TimeDelta::seconds(5 + 20 * f))));
            if status != "running" {
                kinds.push(("end_run", self.ago(age - length)));
            }
            for (place, (kind, sent)) in (0i64..).zip(kinds) {
                let content = json!({
                    "msg_type": kind, "namespace": namespace, "execution_id": execution_id(at), "run_id": run,
                    "timestamp": crate::time::iso(sent), "simulation_tick": 10 * place, "state": "run",
                    "substate": "physics", "filename": format!("swf.{run}.{:06}.stf", place - 1),
                });
                let row = [
                    ("message_id", uuid(3, at * 100 + place)),
                    ("message_type", kind.into()),
                    ("sender_agent", sender.into()),
                    ("queue_name", "epictopic".into()),
                    ("message_content", content.into()),
                    ("sent_at", sent.into()),
                    ("is_successful", true.into()),
                    ("namespace", namespace.into()),
                    ("execution_id", execution_id(at).into()),
                    ("run_id", run.clone().into()),
                ];
                self.add(&tables::swf_workflow_messages::TABLE, &row).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn logs(&mut self) -> Result<(), Error> {
        let said = [
            ("INFO", 20, "Received message stf_gen for run"),
            ("INFO", 20, "Registered STF file of run"),
            ("WARNING", 30, "Heartbeat took longer than 5 s in run"),
            ("ERROR", 40, "Broker connection failed, retrying; run"),
        ];
        for place in 0i64..48 {
            let at = place % 7;
            let (level, number, text) = match place % 8 {
                7 => said[3],
                3 => said[2],
                n if n % 2 == 0 => said[0],
                _ => said[1],
            };
            let (_, user, namespace, ..) = of(at);
            let run = NEWEST_RUN - at;
            let context = json!({
                "execution_id": execution_id(at), "run_id": run.to_string(), "username": user, "namespace": namespace,
            });
            let row = [
                ("app_name", "data_agent".into()),
                ("instance_name", "data-agent-torre-1".into()),
                ("timestamp", (self.now - TimeDelta::seconds(40 + 1_500 * place)).into()),
                ("levelname", level.into()),
                ("level", number.into()),
                ("message", format!("{text} {run}").into()),
                ("module", "example_data_agent".into()),
                ("funcname", "on_message".into()),
                ("lineno", (100 + place).into()),
                ("process", 20_005.into()),
                ("thread", 140_000_468_396_762i64.into()),
                ("extra_data", context.into()),
            ];
            self.add(&tables::swf_applog::TABLE, &row).await?;
        }
        Ok(())
    }

    pub(super) async fn memory(&mut self) -> Result<(), Error> {
        for turn in 0i64..6 {
            for (role, text) in [("user", "What is running?"), ("assistant", "One execution in torre1.")] {
                let row = [
                    ("username", "torre".into()),
                    ("session_id", "sample".into()),
                    ("role", role.into()),
                    ("content", format!("{text} ({turn})").into()),
                    (
                        "created_at",
                        (self.ago(120 - 10 * turn) + TimeDelta::seconds(i64::from(role != "user"))).into(),
                    ),
                    ("namespace", (turn % 2 == 0).then_some("torre1").into()),
                ];
                self.add(&tables::swf_ai_memory::TABLE, &row).await?;
            }
        }
        Ok(())
    }
}
