//! Random rows and random filters: both engines answer alike, byte for byte.

use serde_json::{Map, Value, json};
use swf_db::testing::{TestDb, on_postgres, on_sqlite};
use swf_tools::tables::{self, SCHEMA};
use swf_tools::{Settings, ToolDef};

use crate::support::{World, now, properties, tools};

/// A small generator: the seed is printed, and `SWF_TEST_SEED` repeats a run.
struct Dice(u64);

impl Dice {
    fn seeded() -> Dice {
        let clock = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        let seed = std::env::var("SWF_TEST_SEED").map_or(u64::from(clock), |s| s.parse().unwrap());
        println!("SWF_TEST_SEED={seed}");
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A moment of the last three days; few of them, so that many rows share one.
    fn moment(&mut self) -> swf_db::Value {
        let ago = chrono::TimeDelta::microseconds(i64::try_from(self.below(40)).unwrap() * 6_480_000_123);
        (now() - ago).into()
    }

    fn moment_or_null(&mut self) -> swf_db::Value {
        if self.below(4) == 0 { swf_db::Value::Null } else { self.moment() }
    }

    fn text(&mut self) -> &'static str {
        self.pick(&TEXTS)
    }

    fn text_or_null(&mut self) -> swf_db::Value {
        if self.below(4) == 0 { swf_db::Value::Null } else { self.text().into() }
    }

    fn json(&mut self) -> swf_db::Value {
        let documents = [
            Value::Null,
            json!({}),
            json!({"execution_id": self.text(), "run_number": self.below(4)}),
            json!({"workflow": {"description": self.text()}, "b": [1, 2.5, null, true], "aa": {"z": 1, "y": "ü"}}),
            json!({"runner": self.text(), "long": "é\"\\\n".repeat(self.below(30))}),
            json!([1, "two"]),
            json!("text"),
        ];
        self.pick(&documents).into()
    }
}

/// Values of texts and of the filters on them: some are like others, some hold what LIKE and JSON treat specially.
const TEXTS: [&str; 12] = [
    "torre1",
    "Torre1",
    "epic_daq",
    "epicXdaq",
    "100%",
    "!",
    "é",
    "É",
    "a b",
    "x'y\"z",
    "data-agent-torre-1",
    "",
];

async fn fill(db: &TestDb, seed: u64) {
    let dice = &mut Dice(seed);
    let mut tx = db.begin().await.unwrap();
    macro_rules! add {
        ($table:ident, $($column:literal: $value:expr),* $(,)?) => {{
            let row = [$(($column, swf_db::Value::from($value))),*];
            swf_tools::sample::insert(&mut tx, now(), &tables::$table::TABLE, &row).await.unwrap()
        }};
    }
    let (mut definitions, mut runs) = (Vec::new(), Vec::new());
    for n in 0i64..40 {
        let uuid = |kind: u128| uuid::Uuid::from_u128((kind << 100) | u128::from((n * 7_919) as u64));
        if n < 8 {
            add!(swf_namespace, "name": format!("{}{n}", dice.text()), "owner": dice.text(), "description": dice.text());
            let definition = add!(swf_workflow_definitions, "workflow_name": dice.text(), "version": format!("{}.{n}", dice.below(2)),
                "workflow_type": dice.text(), "definition": "", "parameter_values": dice.json(), "created_by": dice.text(),
                "created_at": dice.moment());
            definitions.push(definition);
            runs.push(add!(swf_runs, "run_number": n, "start_time": dice.moment(), "end_time": dice.moment_or_null(),
                "run_conditions": dice.json()));
        }
        add!(swf_systemagent, "instance_name": format!("{}{n}", dice.text()), "agent_type": dice.text(),
            "status": dice.pick(&["OK", "EXITED", "ERROR", "WARNING", "UNKNOWN"]),
            "operational_state": dice.pick(&["READY", "EXITED", "PROCESSING"]), "last_heartbeat": dice.moment_or_null(),
            "namespace": dice.text_or_null(), "metadata": dice.json(), "created_at": dice.moment());
        add!(swf_workflow_executions, "execution_id": format!("{}{n}", dice.text()),
            "workflow_definition_id": dice.pick(&definitions), "namespace": dice.text_or_null(),
            "status": dice.pick(&["running", "failed", "completed", "Pending", "terminated", "odd"]),
            "executed_by": dice.text(), "start_time": dice.moment(), "end_time": dice.moment_or_null(),
            "parameter_values": dice.json(), "performance_metrics": dice.json());
        add!(swf_workflow_messages, "message_id": uuid(1), "message_type": dice.text(), "sender_agent": dice.text_or_null(),
            "namespace": dice.text_or_null(), "execution_id": dice.text_or_null(), "run_id": dice.pick(&["1", "2", "test-run", "007"]),
            "message_content": dice.json(), "sent_at": dice.moment());
        let file = uuid(2);
        add!(swf_stf_files, "file_id": file, "stf_filename": format!("{}{n}", dice.text()), "run_id": dice.pick(&runs),
            "status": dice.pick(&["registered", "failed", "done"]), "machine_state": dice.pick(&["physics", "Cosmics"]),
            "created_at": dice.moment(), "metadata": dice.json(), "checksum": dice.text_or_null());
        add!(swf_fastmon_files, "tf_file_id": uuid(3), "tf_filename": format!("t{n}"), "stf_file_id": file);
        add!(swf_tf_slices, "slice_id": n, "tf_first": 0, "tf_last": 1, "tf_count": 2, "tf_filename": dice.text(),
            "stf_filename": dice.text(), "run_number": i64::try_from(dice.below(4)).unwrap(),
            "status": dice.pick(&["queued", "failed", "completed", "Processing"]), "assigned_worker": dice.text_or_null(),
            "created_at": dice.moment(), "completed_at": dice.moment_or_null(), "metadata": dice.json());
        let (name, level) =
            dice.pick(&[("DEBUG", 10), ("INFO", 20), ("WARNING", 30), ("ERROR", 40), ("CRITICAL", 50)]);
        add!(swf_applog, "app_name": dice.text(), "instance_name": dice.text(), "timestamp": dice.moment(), "levelname": name,
            "level": level, "message": format!("{} {}", dice.text(), dice.text()), "module": "m", "funcname": "f",
            "lineno": n, "process": 1, "thread": 1, "extra_data": dice.json());
        add!(swf_ai_memory, "username": "torre", "session_id": "s", "role": dice.pick(&["user", "assistant"]),
            "content": dice.text(), "created_at": dice.moment(), "namespace": dice.text_or_null());
        if n == 0 {
            for digit in 1i64..5 {
                add!(pcs_physics_category, "digit": digit, "name": format!("C{digit}"), "created_by": "x");
            }
        }
        add!(pcs_physics_tag, "tag_number": n, "tag_label": format!("p{n}"), "status": dice.pick(&["draft", "locked"]),
            "description": dice.text(), "parameters": dice.json(), "created_by": dice.text(),
            "category_id": i64::try_from(1 + dice.below(4)).unwrap());
        add!(pcs_evgen_tag, "tag_number": n, "tag_label": format!("e{n}"), "description": dice.text(),
            "parameters": dice.json(), "created_by": dice.text());
    }
    tx.commit().await.unwrap();
}

/// Random arguments that the tool's schema allows; some are wrong on purpose.
fn arguments(dice: &mut Dice, tool: &ToolDef) -> Value {
    let mut arguments = Map::new();
    for (name, property) in properties(tool) {
        let required = ["tag_type", "query", "username", "namespace"].contains(&name.as_str())
            && tool.input_schema()["required"].to_string().contains(&format!("\"{name}\""));
        if !required && dice.below(100) >= 35 {
            continue;
        }
        let value = match name.as_str() {
            "cursor" => continue,
            "limit" => json!(1 + dice.below(30)),
            "hours" => json!(1 + dice.below(100)),
            "turns" => json!(1 + dice.below(30)),
            "start_time" => {
                json!(dice.pick(&["2099-11-19T12:00:00Z", "2099-11-21", "2099-11-22T06:00:00+01:00"]))
            }
            "end_time" => json!(dice.pick(&["2099-11-22T11:00:00Z", "2099-11-22 03:00"])),
            "status" => {
                json!(dice.pick(&["failed", "OK", "EXITED", "all", "running", "draft", "queued", "odd"]))
            }
            "level" => json!(dice.pick(&["DEBUG", "warning", "ERROR", "CRITICAL"])),
            "detail" => json!(dice.pick(&["brief", "normal", "full"])),
            "tag_type" => json!(dice.pick(&["p", "e", "s", "r"])),
            "machine_state" => json!(dice.pick(&["PHYSICS", "cosmics"])),
            "category" => json!(dice.pick(&["c1", "C2", "none"])),
            "username" => json!("torre"),
            _ if property["type"] == "integer" => json!(dice.below(5)),
            _ if property["type"] == "boolean" => json!(dice.below(2) == 0),
            _ => json!(dice.text()),
        };
        arguments.insert(name, value);
    }
    Value::Object(arguments)
}

#[tokio::test]
async fn random_filters_on_random_rows_give_the_same_json_on_both_engines() {
    on_sqlite(Some(&SCHEMA), async |lite: TestDb| {
        on_postgres(Some(&SCHEMA), async |pg: TestDb| {
            let dice = &mut Dice::seeded();
            let seed = dice.0;
            fill(&lite, seed).await;
            fill(&pg, seed).await;
            let lite = World::on(&lite, None, Settings::default()).await;
            let pg = World::on(&pg, None, Settings::default()).await;
            let (mut answered, mut with_rows) = (0, 0);
            for tool in tools() {
                let looks = tool.hints.read_only && !properties(tool).is_empty();
                for _ in 0..if looks { 30 } else { 0 } {
                    let mut arguments = arguments(dice, tool);
                    // A few pages of each.
                    for _ in 0..3 {
                        let one = lite.call(tool.name, arguments.clone()).await;
                        let other = pg.call(tool.name, arguments.clone()).await;
                        let shown = |r: &Result<Value, swf_tools::Error>| match r {
                            Ok(answer) => answer.to_string(),
                            Err(swf_tools::Error::Internal(e)) => panic!("{} {arguments}: {e:?}", tool.name),
                            Err(e) => format!("refused: {e}"),
                        };
                        assert_eq!(shown(&one), shown(&other), "{} {arguments}", tool.name);
                        let Ok(answer) = one else { break };
                        answered += 1;
                        let full = |key: &str| answer[key].as_array().is_some_and(|rows| !rows.is_empty());
                        with_rows += usize::from(full("items") || full("tags"));
                        match answer.get("next") {
                            Some(next) => arguments = next.clone(),
                            None => break,
                        }
                    }
                }
            }
            println!("{answered} answers alike, {with_rows} of them lists with rows");
            assert!(answered > 250 && with_rows > 100, "{answered} answers, {with_rows} with rows");
        })
        .await;
    })
    .await;
}
