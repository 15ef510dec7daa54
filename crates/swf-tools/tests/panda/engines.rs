//! Both engines give the same answers.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use swf_db::testing::on_postgres;

use crate::common::{Plant, calls, plan, postgres, settings, sqlite};

fn choice(values: &'static [Value]) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![2 => Just(None), 1 => prop::sample::select(values).prop_map(Some)]
}

/// A value of each argument that the tools share; which of them a tool takes is looked up in its schema.
pub fn filters() -> impl Strategy<Value = Map<String, Value>> {
    let lists: Vec<(&'static str, Vec<Value>)> = vec![
        ("days", vec![json!(1), json!(0.5), json!(7), json!(20)]),
        (
            "username",
            vec![json!("synthetic-epicprod"), json!("%Example"), json!("SYNTHETIC%"), json!("nobody")],
        ),
        ("site", vec![json!("NERSC%"), json!("E1_BNL"), json!("%PanDA_1"), json!("e1%"), json!(r"E1\_%")]),
        ("taskid", vec![json!(36001), json!(36010), json!(1)]),
        ("reqid", vec![json!(1000), json!(1002)]),
        ("workinggroup", vec![json!("EIC"), json!("other")]),
        ("processingtype", vec![json!("epicproduction"), json!("panda-client%")]),
        ("taskname", vec![json!("%p1001%"), json!("%26.02.0%")]),
        ("status", vec![json!("failed"), json!("closed"), json!("cancelled")]),
        ("error_component", vec![json!("pilot"), json!("taskbuffer"), json!("supervisor")]),
        ("error_source", vec![json!("pilot"), json!("executor"), json!("dispatcher")]),
        ("error_code", vec![json!(1305), json!(100)]),
        ("exit_code", vec![json!("139"), json!("127")]),
        ("destinationse", vec![json!("BNL_PROD_DISK_1"), json!("E1%")]),
        ("exclude_retried", vec![json!(true)]),
        ("exclude_benign", vec![json!(true)]),
        ("normalise", vec![json!(false)]),
        ("limit", vec![json!(1), json!(7), json!(60)]),
        ("before_id", vec![json!(500_400), json!(36_008)]),
        ("order", vec![json!("oldest"), json!("failures")]),
        ("start_time", vec![json!("2026-07-05T00:00:00Z"), json!("2026-06-28")]),
        ("end_time", vec![json!("2026-07-12T13:30:00"), json!("2026-07-15T12:00:00Z")]),
        ("bucket", vec![json!("day"), json!("week"), json!("hour")]),
        ("by", vec![json!("site"), json!("user"), json!("resource_type")]),
        ("hours", vec![json!(1), json!(12)]),
        ("pandaid", vec![json!(500_001), json!(500_100), json!(500_333), json!(500_712), json!(9)]),
    ];
    let strategies: Vec<_> = lists
        .into_iter()
        .map(|(name, values)| {
            let values: &'static [Value] = Box::leak(values.into_boxed_slice());
            choice(values).prop_map(move |v| (name, v))
        })
        .collect();
    strategies.prop_map(|all| all.into_iter().filter_map(|(n, v)| Some((n.to_owned(), v?))).collect())
}

/// What a tool takes of the filters; required arguments are always there.
pub fn arguments(tool: &swf_tools::ToolDef, filters: &Map<String, Value>) -> Map<String, Value> {
    let schema = tool.input_schema();
    let takes = |name: &str| schema.get("properties").is_some_and(|p| p.get(name).is_some());
    let mut out: Map<String, Value> =
        filters.iter().filter(|(n, _)| takes(n)).map(|(n, v)| (n.clone(), v.clone())).collect();
    if takes("order") {
        let word = if tool.name == "panda_list_tasks" { "failures" } else { "oldest" };
        out.entry("order").and_modify(|v| *v = json!(word));
    }
    for (name, value) in [("pandaid", json!(500_200)), ("panda_queue", json!("E1_BNL"))] {
        if takes(name) {
            out.entry(name).or_insert(value);
        }
    }
    out
}

/// The first place where two answers differ, with both values.
pub fn difference(a: &Value, b: &Value, path: &str) -> Option<String> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) if x.keys().eq(y.keys()) => {
            x.iter().find_map(|(k, v)| difference(v, &y[k], &format!("{path}/{k}")))
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(n, (v, w))| difference(v, w, &format!("{path}/{n}")))
        }
        _ if a == b => None,
        _ => Some(format!("{path}: {a} against {b}")),
    }
}

/// The answer, or the refusal.
async fn answer(plant: &Plant, tool: &str, arguments: &Map<String, Value>) -> Value {
    // An answer out of memory says how old it is.
    plant.panda.once().clear();
    match plant.try_call(tool, Value::Object(arguments.clone())).await {
        Ok(answer) => answer,
        Err(e) => json!({"error": e.to_string()}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_filters_give_the_same_answers_on_both_engines() {
    on_postgres(None, async |db| {
        let lite = sqlite(&plan(), settings()).await;
        let post = postgres(&db.url, &plan(), settings()).await;
        let mut runner = TestRunner::deterministic();
        let (mut errors, mut answers) = (0, 0);
        for round in 0..14 {
            for tool in swf_tools::tools::panda::TOOLS {
                let drawn = filters().new_tree(&mut runner).unwrap().current();
                let arguments = arguments(tool, &drawn);
                let (a, b) =
                    (answer(&lite, tool.name, &arguments).await, answer(&post, tool.name, &arguments).await);
                let where_different = difference(&a, &b, "");
                assert_eq!(
                    where_different,
                    None,
                    "round {round}: {} {}",
                    tool.name,
                    Value::Object(arguments)
                );
                if a.get("error").is_some() { errors += 1 } else { answers += 1 }
            }
        }
        assert!(answers > 5 * errors, "{errors} of {} calls were refused", answers + errors);
        lite.close().await;
        post.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tool_sends_more_statements_than_it_needs() {
    let plant = sqlite(&plan(), settings()).await;
    plant.panda.catalog().await.unwrap();
    for (tool, arguments) in calls() {
        let bound = match tool {
            "panda_get_activity" | "panda_list_jobs" | "panda_list_tasks" => 4,
            "panda_diagnose_jobs" => 4,
            "panda_error_summary" => 2,
            "panda_study_job" => 8,
            "panda_compare" | "panda_site_health" => 6,
            "panda_trend" | "panda_harvester_workers" => 2,
            _ => 1,
        };
        let (before, _) = plant.panda.spent();
        plant.call(tool, arguments.clone()).await;
        let (after, _) = plant.panda.spent();
        assert!(after - before <= bound, "{tool} sent {} statements, {bound} are enough", after - before);
        plant.call(tool, arguments).await;
        assert_eq!(plant.panda.spent().0, after, "{tool}: the second call is answered from the first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let plant = sqlite(&plan(), settings()).await;
    for order in ["newest", "oldest"] {
        let mut seen: Vec<i64> = Vec::new();
        let mut arguments = json!({"days": 20, "status": "failed", "limit": 9, "order": order});
        loop {
            let page = plant.call("panda_list_jobs", arguments.clone()).await;
            seen.extend(page["jobs"].as_array().unwrap().iter().map(|j| j["pandaid"].as_i64().unwrap()));
            if page["pagination"]["has_more"] == json!(false) {
                assert_eq!(json!(seen.len()), page["total_in_window"]);
                break;
            }
            arguments["before_id"] = page["pagination"]["next_before_id"].clone();
        }
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if order == "newest" {
            sorted.reverse();
        }
        assert_eq!(seen, sorted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_who_ask_the_same_cost_one_question() {
    let plant = sqlite(&plan(), settings()).await;
    plant.panda.catalog().await.unwrap();
    let (before, _) = plant.panda.spent();
    let asked = (0..10).map(|_| plant.call("panda_get_activity", json!({})));
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(plant.panda.spent().0 - before, 3);
    let shared = answers.iter().filter(|a| a["as_of"]["shared"] == json!(true)).count();
    assert_eq!((answers.len(), shared), (10, 9));
    assert_eq!(answers[0]["as_of"]["kept_seconds"], json!(60));
}
