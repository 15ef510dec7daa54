//! The answers have the original's keys, nesting and order; what is ours comes after or between.

use serde_json::{Value, json};

use crate::common::{Plant, calls, plan, settings, sqlite};

/// Keys of the original's recorded answers: of an object its keys in order, of a list the keys of its rows.
/// Keys that depend on data (states, names) are left out.
const ORIGINAL: &[(&str, &str, Objects)] = &[
    (
        "panda_get_activity",
        r#"{"days": 7}"#,
        &[
            ("", &["jobs", "tasks", "filters"]),
            ("/jobs", &["total", "by_status", "by_user", "by_site"]),
            ("/jobs/by_user/0", &["user", "total", "finished"]),
            ("/jobs/by_site/0", &["site", "total", "finished"]),
            ("/tasks", &["total", "by_status", "by_user"]),
            ("/tasks/by_user/0", &["user", "total"]),
            ("/filters", &["days", "username", "site", "workinggroup"]),
        ],
    ),
    (
        "panda_list_jobs",
        r#"{"limit": 20}"#,
        &[
            ("", &["summary", "total_in_window", "jobs", "count", "pagination", "filters"]),
            (
                "/jobs/0",
                &[
                    "pandaid",
                    "jeditaskid",
                    "reqid",
                    "produsername",
                    "jobstatus",
                    "computingsite",
                    "transformation",
                    "processingtype",
                    "creationtime",
                    "starttime",
                    "endtime",
                    "modificationtime",
                    "corecount",
                    "nevents",
                    "noutputdatafiles",
                    "outputfilebytes",
                    "destinationse",
                ],
            ),
            ("/pagination", &["before_id", "has_more", "next_before_id", "limit"]),
            ("/filters", &["days", "status", "username", "site", "taskid", "reqid"]),
        ],
    ),
    (
        "panda_diagnose_jobs",
        r#"{"limit": 50}"#,
        &[
            ("", &["error_summary", "jobs", "count", "pagination", "filters"]),
            ("/error_summary", &["total_faulty_jobs", "by_component", "top_error_codes"]),
            ("/error_summary/top_error_codes/0", &["component", "code", "count", "sample_diag"]),
            (
                "/jobs/0",
                &[
                    "pandaid",
                    "jeditaskid",
                    "reqid",
                    "produsername",
                    "jobstatus",
                    "computingsite",
                    "transformation",
                    "processingtype",
                    "creationtime",
                    "starttime",
                    "endtime",
                    "modificationtime",
                    "corecount",
                    "nevents",
                    "noutputdatafiles",
                    "outputfilebytes",
                    "brokerageerrorcode",
                    "brokerageerrordiag",
                    "ddmerrorcode",
                    "ddmerrordiag",
                    "exeerrorcode",
                    "exeerrordiag",
                    "jobdispatchererrorcode",
                    "jobdispatchererrordiag",
                    "piloterrorcode",
                    "piloterrordiag",
                    "superrorcode",
                    "superrordiag",
                    "taskbuffererrorcode",
                    "taskbuffererrordiag",
                    "transexitcode",
                    "jobname",
                    "pilotid",
                    "computingelement",
                    "jobmetrics",
                    "specialhandling",
                    "commandtopilot",
                    "maxrss",
                    "maxpss",
                    "errors",
                    "destinationse",
                ],
            ),
            ("/jobs/0/errors/0", &["component", "code", "diag"]),
            ("/filters", &["days", "username", "site", "taskid", "reqid", "error_component"]),
        ],
    ),
    (
        "panda_list_tasks",
        r#"{"days": 30}"#,
        &[
            ("", &["summary", "total_in_window", "tasks", "count", "pagination", "filters"]),
            (
                "/tasks/0",
                &[
                    "jeditaskid",
                    "taskname",
                    "status",
                    "username",
                    "creationdate",
                    "starttime",
                    "endtime",
                    "modificationtime",
                    "reqid",
                    "processingtype",
                    "transpath",
                    "progress",
                    "failurerate",
                    "errordialog",
                    "site",
                    "corecount",
                    "taskpriority",
                    "currentpriority",
                    "gshare",
                    "attemptnr",
                    "parent_tid",
                    "workinggroup",
                ],
            ),
            ("/filters", &["days", "status", "username", "taskname", "reqid", "workinggroup", "taskid"]),
        ],
    ),
    (
        "panda_error_summary",
        r#"{"days": 7}"#,
        &[
            ("", &["total_errors", "errors", "count", "filters"]),
            (
                "/errors/0",
                &[
                    "error_source",
                    "error_code",
                    "error_diag",
                    "count",
                    "task_count",
                    "users",
                    "sites",
                    "destination_sites",
                ],
            ),
            ("/filters", &["days", "username", "site", "taskid", "error_source"]),
        ],
    ),
    (
        "panda_study_job",
        r#"{"pandaid": 0}"#,
        &[
            ("", &["pandaid", "job", "files", "log_urls", "log_file", "harvester", "task", "monitor_url"]),
            (
                "/job",
                &[
                    "pandaid",
                    "jeditaskid",
                    "reqid",
                    "jobname",
                    "produsername",
                    "jobstatus",
                    "computingsite",
                    "computingelement",
                    "transformation",
                    "processingtype",
                    "creationtime",
                    "modificationtime",
                    "corecount",
                    "nevents",
                    "cpuconsumptiontime",
                    "brokerageerrorcode",
                    "ddmerrorcode",
                    "exeerrorcode",
                    "jobdispatchererrorcode",
                    "piloterrorcode",
                    "superrorcode",
                    "taskbuffererrorcode",
                    "errors",
                ],
            ),
            ("/files/0", &["lfn", "type", "scope", "fsize", "status", "dataset", "destinationdblock"]),
            ("/log_urls", &["pilot_stdout", "pilot_stderr", "batch_log"]),
            (
                "/harvester",
                &["workerid", "harvesterid", "stdout", "stderr", "batchlog", "errorcode", "status"],
            ),
            ("/task", &["jeditaskid", "taskname", "status", "username", "workinggroup"]),
        ],
    ),
    (
        "panda_list_queues",
        "{}",
        &[
            ("", &["queues", "count", "filters"]),
            (
                "/queues/0",
                &[
                    "panda_queue",
                    "status",
                    "state",
                    "vo_name",
                    "resource_type",
                    "type",
                    "capability",
                    "corepower",
                    "atlas_site",
                    "region",
                    "country",
                    "tier",
                    "cloud",
                    "container_type",
                    "pilot_version",
                    "maxrss",
                    "maxtime",
                    "maxwdir",
                    "last_update",
                ],
            ),
            ("/filters", &["vo", "status", "state", "search"]),
        ],
    ),
    (
        "panda_get_queue",
        r#"{"panda_queue": "E1_BNL"}"#,
        &[("", &["queue"]), ("/queue", &["status", "panda_queue", "last_update"])],
    ),
    (
        "panda_resource_usage",
        "{}",
        &[
            ("", &["totals", "by_site", "by_user", "filters"]),
            ("/totals", &["job_count", "allocated_core_hours", "used_core_hours", "wall_hours"]),
            ("/by_site/0", &["job_count", "allocated_core_hours", "used_core_hours", "wall_hours", "site"]),
            ("/by_user/0", &["job_count", "allocated_core_hours", "used_core_hours", "wall_hours", "user"]),
            ("/filters", &["days", "site", "username", "taskid"]),
        ],
    ),
    (
        "panda_harvester_workers",
        "{}",
        &[
            ("", &["summary", "by_status", "by_site", "by_resourcetype", "time_window"]),
            ("/time_window", &["from", "to"]),
        ],
    ),
];

/// Paths of objects and their keys.
type Objects = &'static [(&'static str, &'static [&'static str])];

async fn check(plant: &Plant, tool: &str, arguments: &str, objects: &[(&str, &[&str])]) {
    let mut arguments: Value = serde_json::from_str(arguments).unwrap();
    if arguments.get("pandaid").is_some() {
        // A job that ran and has files.
        let ran = plant.call("panda_diagnose_jobs", json!({"error_component": "pilot", "limit": 1})).await;
        arguments["pandaid"] = ran["jobs"][0]["pandaid"].clone();
    }
    let answer = plant.call(tool, arguments).await;
    for (path, keys) in objects {
        let object = answer
            .pointer(path)
            .and_then(Value::as_object)
            .unwrap_or_else(|| panic!("{tool}{path} is no object: {answer}"));
        let ours: Vec<&str> = object.keys().map(String::as_str).filter(|k| keys.contains(k)).collect();
        assert_eq!(ours, *keys, "{tool}{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_nesting_and_order_are_the_originals() {
    let plant = sqlite(&plan(), settings()).await;
    for (tool, arguments, objects) in ORIGINAL {
        check(&plant, tool, arguments, objects).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_have_the_originals_form() {
    let plant = sqlite(&plan(), settings()).await;
    let study = plant.call("panda_study_job", json!({"pandaid": 500001})).await;
    assert!(study["job"]["cpuconsumptiontime"].is_i64(), "a number, not text");
    assert!(
        study["job"]["modificationtime"].as_str().unwrap().len() == 19,
        "naive, no microseconds when there are none"
    );
    let jobs = plant.call("panda_list_jobs", json!({"limit": 3})).await;
    assert_eq!(jobs["filters"]["days"], json!(7));
    assert!(jobs["jobs"][0].get("noutputdatafiles").is_some(), "nulls stay in rows");
    let ids: Vec<i64> =
        jobs["jobs"].as_array().unwrap().iter().map(|j| j["pandaid"].as_i64().unwrap()).collect();
    assert!(ids.windows(2).all(|w| w[0] > w[1]));
    let u = plant.call("panda_resource_usage", json!({})).await;
    let hours = u["totals"]["wall_hours"].as_f64().unwrap();
    assert!((hours * 10.0 - (hours * 10.0).round()).abs() < 1e-6, "one decimal");
}

/// Checks an answer against the keywords that our schemas use.
fn fits(value: &Value, schema: &Value, path: &str) {
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        assert!(!options.is_empty(), "{path}");
        return;
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let ok = kinds.iter().any(|kind| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    });
    assert!(ok, "{path} is {value}, not {kinds:?}");
    let properties = schema.get("properties").and_then(Value::as_object);
    if let (Some(object), Some(properties)) = (value.as_object(), properties) {
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            assert!(object.contains_key(required.as_str().unwrap()), "{path} lacks {required}");
        }
        for (name, inner) in object {
            let inner_schema =
                properties.get(name).unwrap_or_else(|| panic!("{path}/{name} is not in the schema"));
            fits(inner, inner_schema, &format!("{path}/{name}"));
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        items.iter().for_each(|item| fits(item, schema, path));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_fits_its_schema_and_links_and_says_as_of_when() {
    let plant = sqlite(&plan(), settings()).await;
    for (tool, arguments) in calls() {
        let answer = plant.call(tool, arguments).await;
        let definition = swf_tools::registry::find(tool).unwrap();
        fits(&answer, &definition.output_schema(), tool);
        assert_eq!(answer["synthetic"], json!(true), "{tool}");
        assert!(answer["as_of"]["time"].is_string() && answer["as_of"]["kept_seconds"].is_number(), "{tool}");
        let links = answer["monitor_urls"].as_array().unwrap();
        assert!(
            links.iter().all(|l| l["url"].as_str().unwrap().starts_with("http")) && !links.is_empty(),
            "{tool}"
        );
        assert!(answer.get("dark").is_none(), "{tool}: {}", answer["dark"]);
        assert!(answer.to_string().len() < 100_000, "{tool}");
    }
}

#[test]
fn the_tools_texts_are_short() {
    let tools = swf_tools::tools::panda::TOOLS;
    assert_eq!(tools.len(), 13);
    let mut characters = 0;
    for tool in tools {
        let schema = tool.input_schema();
        characters += tool.name.len() + tool.description().len() + schema.to_string().len();
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property.get("description").is_some(), "{} {name} has no text", tool.name);
        }
    }
    // About four characters are a token; the budget of this set is 3,600 of them.
    assert!(characters / 4 < 3600, "{} tokens", characters / 4);
}
