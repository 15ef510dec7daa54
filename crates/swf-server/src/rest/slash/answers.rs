//! What each `/panda` command says.

use serde_json::{Map, Value, json};
use swf_tools::{Error, Gate};

use super::markdown::{caveats, cell, counts, field, first, links, number, rows, shown};

/// Rows of a page of jobs.
const JOBS: i64 = 20;
/// Rows of a page of tasks.
const TASKS: i64 = 15;
/// Lines of a log that are shown.
const LOG: usize = 8;
/// Queues in the table of sites.
const QUEUES: i64 = 200;

const HELP: &str = "#### /panda \u{2014} PanDA Slash Commands\n\n\
| Command | Shows |\n|---|---|\n\
| `/panda status` | jobs and tasks of the last 24 hours |\n\
| `/panda errors [days]` | the most frequent errors, 7 days unless told otherwise |\n\
| `/panda jobs [status]` | jobs, newest first |\n\
| `/panda job <id>` | one job with its errors and log |\n\
| `/panda tasks [status]` | tasks, newest first |\n\
| `/panda task <id>` | one task |\n\
| `/panda sites` | queues with the jobs of the last 24 hours |\n\
| `/panda site <name>` | one queue |\n";

/// The answer to a command line.
pub(super) async fn answer(gate: &Gate, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let command = words.first().map(|w| w.to_lowercase()).unwrap_or_default();
    let rest = words.get(1..).unwrap_or_default();
    let said = match command.as_str() {
        "" | "help" => Ok(HELP.to_owned()),
        "status" => status(gate).await,
        "errors" => errors(gate, rest).await,
        "jobs" => jobs(gate, rest).await,
        "job" => job(gate, rest).await,
        "tasks" => tasks(gate, rest).await,
        "task" => task(gate, rest).await,
        "sites" => sites(gate).await,
        "site" => site(gate, rest).await,
        other => {
            Ok(format!("Unknown subcommand `{}`. Try `/panda help`", first(&other.replace('`', "'"), 40)))
        }
    };
    said.unwrap_or_else(|e| format!("Error: {e}"))
}

async fn status(gate: &Gate) -> Result<String, Error> {
    let activity = gate.call("panda_get_activity", json!({"days": 1})).await?;
    let mut out = "#### PanDA Activity (last 24h)\n".to_owned();
    for (label, what) in [("Jobs", "jobs"), ("Tasks", "tasks")] {
        out.push_str(&format!("**{label}:** {}\n", number(&activity, &format!("/{what}/total"))));
        for line in counts(&activity, &format!("/{what}/by_status")) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out.push_str("**By site:**\n");
    for row in rows(&activity, "/jobs/by_site") {
        out.push_str(&format!("  {}: {}\n", shown(row.get("site")), shown(row.get("total"))));
    }
    Ok(out + &caveats(&activity))
}

async fn errors(gate: &Gate, words: &[&str]) -> Result<String, Error> {
    let days: i64 = words.first().and_then(|w| w.parse().ok()).filter(|d| *d > 0).unwrap_or(7);
    let summary = gate.call("panda_error_summary", json!({"days": days, "limit": 10})).await?;
    let all = number(&summary, "/total_errors");
    let mut out = format!("#### Top Errors (last {days} days)\nTotal error occurrences: {all}\n");
    for row in rows(&summary, "/errors") {
        let text = |name: &str| shown(row.get(name));
        out.push_str(&format!(
            "- **{}:{}** \u{d7} {} ({} tasks) \u{2014} {}\n",
            text("error_source"),
            text("error_code"),
            text("count"),
            text("task_count"),
            cell(row, "error_diag", 80)
        ));
    }
    Ok(out + &caveats(&summary))
}

/// `[status] [after=<id>] [page=<n>]`
struct Paging<'a> {
    status: Option<&'a str>,
    after: Option<i64>,
    page: i64,
}

impl<'a> Paging<'a> {
    fn read(words: &[&'a str]) -> Paging<'a> {
        let mut out = Paging { status: None, after: None, page: 1 };
        for word in words {
            match word.split_once('=') {
                Some(("after", id)) => out.after = id.parse().ok(),
                Some(("page", n)) => out.page = n.parse().ok().filter(|n| *n > 0).unwrap_or(1),
                _ => out.status = Some(word),
            }
        }
        out
    }

    fn title(&self, what: &str) -> String {
        let status = self.status.map(|s| format!(" ({s})")).unwrap_or_default();
        format!("#### Recent {what}{status} (page {})\n", self.page)
    }

    /// The command for the next page, with everything that it needs.
    fn next(&self, command: &str, answer: &Value) -> String {
        let next = answer.pointer("/pagination/next_before_id").and_then(Value::as_i64);
        match next.filter(|_| answer.pointer("/pagination/has_more") == Some(&Value::Bool(true))) {
            None => "\n_End of results_".into(),
            Some(after) => {
                let status = self.status.map(|s| format!(" {s}")).unwrap_or_default();
                format!("\n_Next page:_ `/panda {command}{status} after={after} page={}`", self.page + 1)
            }
        }
    }
}

async fn jobs(gate: &Gate, words: &[&str]) -> Result<String, Error> {
    let paging = Paging::read(words);
    let asked = json!({"status": paging.status, "before_id": paging.after, "limit": JOBS});
    let list = gate.call("panda_list_jobs", asked).await?;
    let mut out = paging.title("Jobs");
    out.push_str(&format!(
        "{}\n\n| Job | Status | Site | Modified |\n|---|---|---|---|\n",
        counts(&list, "/summary").join(" \\| ")
    ));
    for row in rows(&list, "/jobs") {
        let [id, status] = ["pandaid", "jobstatus"].map(|n| cell(row, n, 30));
        let (site, at) = (cell(row, "computingsite", 30), cell(row, "modificationtime", 16));
        out.push_str(&format!("| {id} | {status} | {site} | {at} |\n"));
    }
    Ok(out + &paging.next("jobs", &list) + &caveats(&list))
}

async fn tasks(gate: &Gate, words: &[&str]) -> Result<String, Error> {
    let paging = Paging::read(words);
    let asked = json!({"status": paging.status, "before_id": paging.after, "limit": TASKS});
    let list = gate.call("panda_list_tasks", asked).await?;
    let mut out = paging.title("Tasks");
    out.push_str(&format!(
        "{}\n\n| Task | Status | Name | Modified |\n|---|---|---|---|\n",
        counts(&list, "/summary").join(" \\| ")
    ));
    for row in rows(&list, "/tasks") {
        let [id, status] = ["jeditaskid", "status"].map(|n| cell(row, n, 30));
        let (name, at) = (cell(row, "taskname", 40), cell(row, "modificationtime", 16));
        out.push_str(&format!("| {id} | {status} | {name} | {at} |\n"));
    }
    Ok(out + &paging.next("tasks", &list) + &caveats(&list))
}

/// The id of `job <id>` and `task <id>`, or how to write it.
fn id(words: &[&str], command: &str) -> Result<i64, String> {
    let given = words.first().and_then(|w| w.parse().ok()).filter(|id| *id > 0);
    given.ok_or_else(|| format!("Usage: `/panda {command} <id>`"))
}

async fn job(gate: &Gate, words: &[&str]) -> Result<String, Error> {
    let id = match id(words, "job") {
        Ok(id) => id,
        Err(usage) => return Ok(usage),
    };
    let study = match gate.call("panda_study_job", json!({"pandaid": id})).await {
        Ok(study) => study,
        Err(Error::NotFound { .. }) => return Ok(format!("Error: Job {id} not found")),
        Err(e) => return Err(e),
    };
    let none = Map::new();
    let job = study.get("job").and_then(Value::as_object).unwrap_or(&none);
    let mut out = format!("#### Job {id}\n");
    for (label, name, most) in [
        ("Status", "jobstatus", 30),
        ("Site", "computingsite", 60),
        ("Owner", "produsername", 60),
        ("Task", "jeditaskid", 30),
        ("Container", "container_name", 200),
        ("Transformation", "transformation", 200),
        ("Cores", "actualcorecount", 10),
        ("CPU time", "cpuconsumptiontime", 20),
        ("Created", "creationtime", 16),
        ("Started", "starttime", 16),
        ("Modified", "modificationtime", 16),
    ] {
        field(&mut out, label, &cell(job, name, most));
    }
    for error in rows(&study, "/job/errors") {
        let [component, code] = ["component", "code"].map(|n| shown(error.get(n)));
        out.push_str(&format!("- `{component}:{code}` \u{2014} {}\n", cell(error, "diag", 120)));
    }
    field(&mut out, "Files", &files(&study));
    log(&mut out, &study);
    field(&mut out, "Pages", &links(&study));
    Ok(out + &caveats(&study))
}

/// `input: 2, output: 1`
fn files(study: &Value) -> String {
    let mut counted: std::collections::BTreeMap<String, usize> = Default::default();
    for file in rows(study, "/files") {
        *counted.entry(shown(file.get("type"))).or_default() += 1;
    }
    counted.iter().map(|(kind, n)| format!("{kind}: {n}")).collect::<Vec<_>>().join(", ")
}

fn log(out: &mut String, study: &Value) {
    let text = |name: &str| shown(study.pointer(&format!("/log_analysis/{name}")));
    field(out, "Failure type", &text("failure_type"));
    field(out, "No log", &text("reason"));
    let excerpt = text("log_excerpt");
    let lines: Vec<&str> = excerpt.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LOG)..).unwrap_or_default();
    if !last.is_empty() {
        // A fence inside the log must not end the block.
        let body = last.iter().map(|l| first(l, 300)).collect::<Vec<_>>().join("\n").replace("```", "'''");
        out.push_str(&format!("{}:\n```\n{body}\n```\n", text("log_filename")));
    }
}

async fn task(gate: &Gate, words: &[&str]) -> Result<String, Error> {
    let id = match id(words, "task") {
        Ok(id) => id,
        Err(usage) => return Ok(usage),
    };
    let list = gate.call("panda_list_tasks", json!({"taskid": id, "limit": 1})).await?;
    let found = rows(&list, "/tasks");
    let Some(task) = found.first() else { return Ok(format!("Error: Task {id} not found")) };
    let mut out = format!("#### Task {id}\n");
    for (label, name, most) in [
        ("Name", "taskname", 200),
        ("Status", "status", 30),
        ("Owner", "username", 60),
        ("Working group", "workinggroup", 60),
        ("Created", "creationdate", 16),
        ("Modified", "modificationtime", 16),
        ("Error", "errordialog", 200),
    ] {
        field(&mut out, label, &cell(task, name, most));
    }
    Ok(out + &caveats(&list))
}

async fn sites(gate: &Gate) -> Result<String, Error> {
    let (queues, activity) = tokio::join!(
        gate.call("panda_list_queues", json!({"vo": "eic", "limit": QUEUES})),
        gate.call("panda_get_activity", json!({"days": 1})),
    );
    let (queues, activity) = (queues?, activity?);
    let by_site = rows(&activity, "/jobs/by_site");
    let mut out =
        "| Site | Status | Running | Finished | Failed | Total |\n|---|---|---|---|---|---|\n".to_owned();
    for queue in rows(&queues, "/queues") {
        let name = shown(queue.get("panda_queue"));
        let jobs = by_site.iter().find(|s| s.get("site").and_then(Value::as_str) == Some(name.as_str()));
        let count = |of: &str| jobs.and_then(|j| j.get(of)).and_then(Value::as_i64).unwrap_or(0);
        let [running, finished, failed, total] = ["running", "finished", "failed", "total"].map(count);
        let status = cell(queue, "status", 30);
        out.push_str(&format!("| {name} | {status} | {running} | {finished} | {failed} | {total} |\n"));
    }
    if queues.get("has_more") == Some(&Value::Bool(true)) {
        out.push_str(&format!("\n_The first {QUEUES} of {} queues_", shown(queues.get("total"))));
    }
    Ok(out + &caveats(&activity))
}

async fn site(gate: &Gate, words: &[&str]) -> Result<String, Error> {
    let Some(name) = words.first() else { return Ok("Usage: `/panda site <name>`".into()) };
    let detail = gate.call("panda_get_queue", json!({"panda_queue": name})).await?;
    let activity = gate.call("panda_get_activity", json!({"days": 1, "site": name})).await?;
    let none = Map::new();
    let queue = detail.get("queue").and_then(Value::as_object).unwrap_or(&none);
    let mut out = format!("#### Site: {name}\n");
    for key in ["status", "state", "corecount", "maxrss", "maxtime", "container_options"] {
        field(&mut out, key, &cell(queue, key, 200));
    }
    out.push_str(&format!("**Jobs (24h):** {}\n", number(&activity, "/jobs/total")));
    out.push_str(&counts(&activity, "/jobs/by_status").join(" \\| "));
    Ok(out + &caveats(&activity))
}
