//! What holds for every tool, derived from the registry: nobody can add a tool that breaks these promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::support::{World, example, now, properties, rows, tools};
use serde_json::{Map, Value, json};
use swf_db::testing::{TestDb, on_each_db, on_sqlite};
use swf_tools::tables::{self, SCHEMA};
use swf_tools::{Caller, Error, Scope, Settings, Toolset, registry};

/// Statements at most for one call. Lists: count, page, and how fresh the sources are.
fn most_statements(tool: &str) -> u64 {
    match tool {
        "swf_get_system_state" => 14,
        "swf_triage" => 9,
        "swf_diff" => 7,
        "swf_get_workflow_monitor" => 7,
        // Look-ups, the change itself, and the audit row.
        "swf_end_execution" => 9,
        "swf_kill_agent" | "swf_start_user_testbed" | "swf_start_workflow" | "swf_stop_workflow" => 5,
        _ => 3,
    }
}

#[tokio::test]
async fn every_example_works_alike_on_both_engines_fits_its_schema_and_asks_little_of_the_database() {
    let answers: Mutex<BTreeMap<&str, Vec<Value>>> = Mutex::default();
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::busy(&db).await;
        for tool in tools() {
            let before = db.statements();
            let answer = world.get(tool.name, example(tool)).await;
            let statements = db.statements() - before;
            assert!(statements <= most_statements(tool.name), "{} sends {statements} statements", tool.name);
            let schema = jsonschema::validator_for(&tool.output_schema()).unwrap();
            let faults: Vec<String> =
                schema.iter_errors(&answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(faults.is_empty(), "{} does not fit its output schema: {faults:?}\n{answer}", tool.name);
            let bytes = answer.to_string().len();
            assert!(bytes <= Settings::default().answer_ceiling, "{} answers {bytes} bytes", tool.name);
            answers.lock().unwrap().entry(tool.name).or_default().push(answer);
        }
    })
    .await;
    for (tool, answers) in answers.into_inner().unwrap() {
        if let [sqlite, postgres] = answers.as_slice() {
            assert_eq!(sqlite.to_string(), postgres.to_string(), "{tool} differs between the engines");
        }
    }
}

#[tokio::test]
async fn an_argument_nobody_knows_is_refused_with_the_nearest_name() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        for tool in tools() {
            let known = properties(tool);
            let Some(name) = known.keys().next() else {
                let refusal = world.refusal(tool.name, json!({"no_such": 1})).await;
                assert!(refusal.ends_with("it takes none"), "{}: {refusal}", tool.name);
                continue;
            };
            let mut arguments = example(tool);
            arguments[format!("{name}x")] = json!("a");
            let refusal = world.refusal(tool.name, arguments).await;
            assert!(refusal.contains(&format!("did you mean '{name}'?")), "{}: {refusal}", tool.name);
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_done_without_its_scope() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        for tool in tools() {
            let mut weaker = vec![Caller::anonymous(None)];
            weaker.extend(
                [Scope::Read, Scope::Write]
                    .into_iter()
                    .filter(|s| *s < tool.scope)
                    .map(|s| Caller::user("torre", s)),
            );
            for caller in weaker {
                let result = world.as_caller(caller.clone()).call(tool.name, example(tool)).await;
                assert!(
                    matches!(result, Err(Error::Forbidden(s)) if s == tool.scope),
                    "{} {caller:?}: {result:?}",
                    tool.name
                );
            }
            assert_eq!(tool.hints.read_only, tool.scope == Scope::Read, "{} and its scope", tool.name);
        }
    })
    .await;
}

#[tokio::test]
async fn impossible_values_are_refused_and_the_refusal_names_them() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let wrong = [
            ("limit", json!(-1), "-1"),
            ("limit", json!(100_000), "100000"),
            ("limit", json!("many"), "many"),
            ("cursor", json!("nonsense"), "'nonsense' is not a cursor"),
            ("start_time", json!("yesterday"), "'yesterday' is not an ISO 8601 time"),
            ("end_time", json!("2026-03-08T02:30:00"), "does not exist"),
            ("status", json!("lockd"), "'lockd' is not "),
            ("detail", json!("breif"), "did you mean 'brief'?"),
            ("level", json!("LOUD"), "'LOUD' is not a level"),
            ("run_number", json!("first"), "not a whole number"),
            ("turns", json!(-1), "too small"),
            ("hours", json!(0), "0 is "),
            ("role", json!("system"), "Must be 'user' or 'assistant'"),
            ("tag_type", json!("x"), "Use: p, e, s, r"),
        ];
        for tool in tools() {
            let known = properties(tool);
            for (name, value, expected) in wrong.iter().filter(|(name, ..)| known.contains_key(*name)) {
                // PanDA's times are UTC, where no hour is skipped.
                if tool.toolset == Toolset::Panda && *expected == "does not exist" {
                    continue;
                }
                let mut arguments = example(tool);
                arguments[*name] = value.clone();
                let refusal = world.refusal(tool.name, arguments).await;
                assert!(refusal.contains(expected), "{} {name}={value}: {refusal}", tool.name);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn arguments_of_one_name_mean_the_same_in_every_tool() {
    let mut seen: BTreeMap<String, (Value, &str)> = BTreeMap::new();
    for tool in tools() {
        for (name, property) in properties(tool) {
            let first = seen.entry(name.clone()).or_insert((property["type"].clone(), tool.name));
            // A whole number is a number; some tools take nothing finer.
            let kinds = [&first.0, &property["type"]]
                .map(|kind| if kind == "integer" { "number".into() } else { kind.clone() });
            assert_eq!(kinds[0], kinds[1], "{name} in {} and in {}", first.1, tool.name);
            assert!(property["description"].is_string(), "{name} of {} has no text", tool.name);
        }
        assert!(tool.description().len() > 10, "{} has no text", tool.name);
    }
}

/// Arguments that make a list tool list everything it has.
fn everything(tool: &swf_tools::ToolDef) -> Map<String, Value> {
    let known = properties(tool);
    let mut arguments = Map::new();
    for (name, value) in
        [("start_time", json!("2000-01-01T00:00:00Z")), ("tag_type", json!("p")), ("query", json!(""))]
    {
        if known.contains_key(name) && !(tool.name == "pcs_search_tags" && name == "tag_type") {
            arguments.insert(name.into(), value);
        }
    }
    arguments
}

fn lists() -> Vec<&'static swf_tools::ToolDef> {
    tools().into_iter().filter(|t| properties(t).contains_key("cursor")).collect()
}

#[tokio::test]
async fn following_next_visits_every_row_once_while_others_insert() {
    on_each_db(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        assert!(lists().len() >= 12);
        for (place, tool) in lists().into_iter().enumerate() {
            let mut arguments = everything(tool);
            if properties(tool).contains_key("detail") {
                arguments.insert("detail".into(), json!("full"));
            }
            let whole = world.get(tool.name, Value::Object(arguments.clone())).await;
            let wanted: BTreeSet<String> = rows(&whole).iter().map(stable).collect();
            let mut visited = Vec::new();
            arguments.insert("limit".into(), json!(7));
            let mut page = 0;
            loop {
                let answer = world.get(tool.name, Value::Object(arguments)).await;
                assert!(rows(&answer).len() <= 7, "{}", tool.name);
                visited.extend(rows(&answer).iter().map(stable));
                page += 1;
                if page < 4 {
                    insert_everywhere(&db, i64::try_from(place).unwrap() * 10 + page).await;
                }
                assert_eq!(answer["has_more"], json!(answer.get("next").is_some()), "{}", tool.name);
                match answer.get("next").and_then(Value::as_object) {
                    Some(next) => arguments = next.clone(),
                    None => break,
                }
            }
            let unique: BTreeSet<String> = visited.iter().cloned().collect();
            assert_eq!(unique.len(), visited.len(), "{} shows a row twice", tool.name);
            let missed: Vec<&String> = wanted.difference(&unique).collect();
            assert!(missed.is_empty(), "{} misses {missed:?}", tool.name);
        }
    })
    .await;
}

/// A row without what others may change while we page.
fn stable(row: &Value) -> String {
    let mut row = row.clone();
    for count in ["execution_count", "stf_file_count", "tf_file_count", "stf_count"] {
        row.as_object_mut().unwrap().remove(count);
    }
    row.to_string()
}

/// New rows in every listed table, newer than all others.
async fn insert_everywhere(db: &TestDb, n: i64) {
    let name = |what: &str| swf_db::Value::from(format!("{what}-{n:04}"));
    let uuid =
        |kind: u128| swf_db::Value::from(uuid::Uuid::from_u128(kind << 64 | u128::from(n.unsigned_abs())));
    let at = now();
    let mut tx = db.begin().await.unwrap();
    macro_rules! add {
        ($table:ident, $($column:literal: $value:expr),* $(,)?) => {
            swf_tools::sample::insert(&mut tx, at, &tables::$table::TABLE, &[$(($column, $value.into())),*]).await.unwrap()
        };
    }
    add!(swf_namespace, "name": name("aaa"), "owner": "x");
    add!(swf_systemagent, "instance_name": name("new"), "agent_type": "DATA", "last_heartbeat": at, "namespace": "torre1");
    let definition = add!(swf_workflow_definitions, "workflow_name": name("a"), "version": "1", "workflow_type": "simulation",
        "definition": "", "created_by": "x");
    add!(swf_workflow_executions, "execution_id": name("a"), "workflow_definition_id": definition, "status": "running",
        "parameter_values": json!({}), "start_time": at, "executed_by": "x");
    let run = add!(swf_runs, "run_number": 200_000 + n, "start_time": at);
    add!(swf_stf_files, "file_id": uuid(8), "stf_filename": name("f"), "run_id": run);
    add!(swf_tf_slices, "slice_id": n, "tf_first": 0, "tf_last": 1, "tf_count": 2, "tf_filename": name("t"),
        "stf_filename": name("f"), "run_number": 200_000 + n);
    add!(swf_workflow_messages, "message_id": uuid(9), "message_type": "note", "message_content": json!({}));
    add!(swf_applog, "app_name": "a", "instance_name": "i", "timestamp": at, "levelname": "INFO", "level": 20, "message": "new",
        "module": "m", "funcname": "f", "lineno": n, "process": 1, "thread": 1);
    add!(pcs_physics_tag, "tag_number": 9_000 + n, "tag_label": format!("p{}", 9_000 + n), "category_id": 1, "created_by": "x");
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn brief_rows_are_at_most_a_third_of_normal_ones_and_full_ones_have_every_field() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        for tool in tools().into_iter().filter(|t| properties(t).contains_key("detail")) {
            let mut size = BTreeMap::new();
            let mut fields = BTreeMap::new();
            for detail in ["brief", "normal", "full"] {
                let mut arguments = everything(tool);
                arguments.insert("detail".into(), detail.into());
                arguments.insert("limit".into(), json!(20));
                let answer = world.get(tool.name, Value::Object(arguments)).await;
                size.insert(detail, answer["items"].to_string().len());
                fields.insert(detail, rows(&answer)[0].as_object().unwrap().len());
            }
            assert!(3 * size["brief"] <= size["normal"], "{}: {size:?}", tool.name);
            assert!(fields["normal"] < fields["full"], "{}: {fields:?}", tool.name);
        }
    })
    .await;
}

#[tokio::test]
async fn no_answer_exceeds_the_ceiling_and_the_rest_is_fetched_with_next() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let ceiling = 6_000;
        let world = World::make(&db, None, Settings { answer_ceiling: ceiling, ..Settings::default() }).await;
        for tool in lists() {
            let (mut arguments, mut seen, mut cut) = (everything(tool), 0, false);
            let total = loop {
                let answer = world.get(tool.name, Value::Object(arguments)).await;
                assert!(answer.to_string().len() <= ceiling, "{}", tool.name);
                seen += rows(&answer).len();
                cut |= answer.get("truncated").is_some();
                match answer.get("next").and_then(Value::as_object) {
                    Some(next) => arguments = next.clone(),
                    None => break ["total_count", "count"].iter().find_map(|k| answer[*k].as_u64()).unwrap(),
                }
            };
            assert_eq!(seen as u64, total, "{}", tool.name);
            assert!(cut || total < 25, "{} was never cut, with {total} rows", tool.name);
        }
    })
    .await;
}

#[tokio::test]
async fn a_log_entry_of_a_megabyte_is_shortened_in_lists_and_alone() {
    on_sqlite(Some(&SCHEMA), async |db: TestDb| {
        let world = World::quiet(&db).await;
        let mut tx = db.begin().await.unwrap();
        let row = [
            ("app_name", "a".into()),
            ("instance_name", "flood".into()),
            ("timestamp", now().into()),
            ("levelname", "ERROR".into()),
            ("level", 40.into()),
            ("message", "x".repeat(1 << 20).into()),
            ("module", "m".into()),
            ("funcname", "f".into()),
            ("lineno", 1.into()),
            ("process", 1.into()),
            ("thread", 1.into()),
            ("extra_data", json!({"trace": "y".repeat(1 << 20)}).into()),
        ];
        let id = swf_tools::sample::insert(&mut tx, now(), &tables::swf_applog::TABLE, &row).await.unwrap();
        tx.commit().await.unwrap();
        let swf_db::Value::Int(id) = id else { panic!("{id:?}") };
        for (tool, arguments) in [
            ("swf_get_log_entry", json!({"log_id": id})),
            ("swf_list_logs", json!({"instance_name": "flood"})),
        ] {
            let answer = world.get(tool, arguments).await;
            assert!(answer.to_string().len() <= Settings::default().answer_ceiling, "{tool}");
            assert!(answer.to_string().contains("characters more)"), "{tool}");
        }
    })
    .await;
}

/// What a client puts before the model, by the words of the public o200k tokenizer.
#[test]
fn the_tool_list_and_the_instructions_stay_within_their_tokens() {
    let words = tiktoken_rs::o200k_base().unwrap();
    let tokens = |text: &str| words.encode_ordinary(text).len();
    let mut sizes = Vec::new();
    for tool in registry::all() {
        let mut input = tool.input_schema();
        input.as_object_mut().unwrap().remove("description");
        let entry = json!({
            "name": tool.name, "title": tool.title, "description": tool.description(), "inputSchema": input,
            "annotations": {
                "title": tool.title, "readOnlyHint": tool.hints.read_only,
                "destructiveHint": tool.hints.destructive, "idempotentHint": tool.hints.idempotent,
                "openWorldHint": false,
            },
        });
        sizes.push((tokens(&entry.to_string()), tool.name, tool.toolset));
    }
    sizes.sort_unstable();
    let all: usize = sizes.iter().map(|s| s.0).sum();
    let ours: usize = sizes.iter().filter(|s| s.2 != Toolset::Panda).map(|s| s.0).sum();
    let instructions = tokens(&registry::instructions(&Toolset::ALL, false));
    println!("{} tools: {all} tokens, {ours} without PanDA; instructions: {instructions}", sizes.len());
    println!("{sizes:?}");
    assert!(all < 12_000, "tools/list has {all} tokens: {sizes:?}");
    assert!(ours <= 8_000, "the tools without PanDA's have {ours} tokens: {sizes:?}");
    assert!(instructions < 1_200, "the instructions have {instructions} tokens");
}
