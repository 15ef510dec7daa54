//! Endpoints that are neither rows nor tools, and the refusals that all share. A test compares the paths here
//! with the routes.

use serde_json::{Map, Value, json};
use swf_tools::records::pcs;

use super::{Paths, answer, body, key, query, refusals};

const OBJECTS: fn() -> Value = || json!({"type": "array", "items": {"type": "object"}});

fn text() -> Value {
    json!({"type": "string"})
}

fn whole() -> Value {
    json!({"type": "integer"})
}

fn row(model: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{model}")})
}

/// An object that has exactly these as required properties.
fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

/// Schemas of refusals.
pub(super) fn schemas() -> Map<String, Value> {
    let refusal = json!({"type": "object", "description": "Why a request was refused: a text under `detail` or \
        `error`, or for each wrong field a list of texts.", "minProperties": 1});
    let problem = json!({"type": "object", "description": "RFC 9457.",
        "required": ["type", "title", "status", "detail", "kind"],
        "properties": {"type": text(), "title": text(), "status": whole(), "detail": text(), "kind": text(),
            "field": text(), "error_id": text()}});
    [("Refusal".to_owned(), refusal), ("Problem".to_owned(), problem)].into_iter().collect()
}

/// Refusals by status.
pub(super) fn responses() -> Value {
    let all = [
        (400, "Something in the request is wrong; the answer says what."),
        (401, "The credentials are missing or wrong."),
        (403, "The caller may not do this."),
        (404, "There is no such thing."),
        (405, "The path does not have this method."),
        (406, "The answer is JSON, which the request does not accept."),
        (409, "It contradicts what is stored."),
        (413, "The body is too large."),
        (415, "The body is neither JSON nor a form."),
        (429, "Too many requests; `Retry-After` says when to come back."),
        (500, "A fault of the server; the answer has an id that its log has too."),
        (503, "The database does not answer; try again."),
    ];
    let refusal = row("Refusal");
    all.into_iter()
        .map(|(status, why)| (format!("E{status}"), answer(why, &refusal)))
        .collect::<Map<_, _>>()
        .into()
}

struct Endpoint {
    path: String,
    verb: &'static str,
    id: String,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(u16, Value)>,
    refused: &'static [u16],
}

const READ: &[u16] = &[400, 401, 403, 404, 405, 406, 503];
const WRITE: &[u16] = &[400, 401, 403, 404, 405, 406, 409, 413, 415, 429, 503];

fn get(path: &str, id: &str, summary: &'static str, parameters: Vec<Value>, ok: Value) -> Endpoint {
    let (path, id) = (path.to_owned(), id.to_owned());
    let answers = vec![(200, answer("The answer.", &ok))];
    Endpoint { path, verb: "get", id, summary, parameters, body: None, answers, refused: READ }
}

fn post(path: &str, id: &str, summary: &'static str, sent: Option<Value>, ok: Value) -> Endpoint {
    let (path, id) = (path.to_owned(), id.to_owned());
    let answers = vec![(200, answer("Done.", &ok))];
    Endpoint { path, verb: "post", id, summary, parameters: Vec::new(), body: sent, answers, refused: WRITE }
}

/// Adds them all.
pub(super) fn describe(paths: &mut Paths) {
    let all = [agents(), batches(), looks(), memory(), stream(), pcs()];
    for endpoint in all.into_iter().flatten() {
        let mut responses: Map<String, Value> =
            endpoint.answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        responses.extend(refusals(endpoint.refused));
        let tag = if endpoint.path.starts_with("/pcs") { "pcs" } else { "special" };
        let mut operation = json!({"operationId": endpoint.id, "tags": [tag], "summary": endpoint.summary,
            "parameters": endpoint.parameters, "responses": responses});
        if let Some(sent) = &endpoint.body {
            operation["requestBody"] = body(sent, true);
        }
        paths.add(&endpoint.path, endpoint.verb, operation);
    }
}

fn agents() -> Vec<Endpoint> {
    let said = json!({"type": "object", "required": ["instance_name"], "properties": {
        "instance_name": {"type": "string", "minLength": 1, "maxLength": 100},
        "agent_type": {"type": "string", "maxLength": 20}, "description": text(),
        "status": {"type": "string", "maxLength": 10}, "agent_url": {"type": ["string", "null"], "maxLength": 200},
        "namespace": {"type": ["string", "null"], "maxLength": 100}, "workflow_enabled": {"type": "boolean"},
        "operational_state": {"type": "string", "maxLength": 20}, "pid": {"type": ["integer", "null"]},
        "hostname": {"type": ["string", "null"], "maxLength": 100}, "metadata": {"type": ["object", "null"]},
        "current_stf_count": whole(), "total_stf_processed": whole()}});
    let summary = "Say that an agent lives; what is not said stays";
    let mut beat = post("/api/systemagents/heartbeat/", "heartbeat", summary, Some(said), row("SystemAgent"));
    beat.answers.push((201, answer("The agent is new.", &row("SystemAgent"))));
    let number = |path: &str, id: &str, name: &str, summary: &'static str| {
        let ok = object(json!({name: whole(), "status": {"const": "success"}}));
        post(path, id, summary, None, ok)
    };
    let named = json!({"type": "object", "required": ["name", "owner"], "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "owner": {"type": "string", "minLength": 1, "maxLength": 100}, "description": text()}});
    let ensured = object(json!({"name": text(), "owner": text(), "description": text(),
        "created": {"type": "boolean"}, "status": text()}));
    vec![
        beat,
        number("/api/state/next-run-number/", "next_run_number", "run_number", "Take the next run number"),
        number("/api/state/next-agent-id/", "next_agent_id", "agent_id", "Take the next agent id"),
        number(
            "/api/state/next-workflow-execution-id/",
            "next_workflow_execution_id",
            "sequence",
            "Take the next number of an execution",
        ),
        post(
            "/api/namespaces/ensure/",
            "ensure_namespace",
            "Make a namespace unless it exists",
            Some(named),
            ensured,
        ),
    ]
}

fn batches() -> Vec<Endpoint> {
    let listed = |name: &str| {
        let wrapped = json!({"type": "object", "required": [name], "properties": {name: OBJECTS()}});
        Some(json!({"anyOf": [OBJECTS(), wrapped]}))
    };
    let outcome = object(json!({"created": whole(), "existing": whole()}));
    let results = object(json!({"updated": whole(), "unchanged": whole(), "unknown": OBJECTS()}));
    let files = object(json!({"created": whole(), "existing": whole(),
        "items": {"type": "array", "items": row("FastMonFile")}}));
    let events = object(json!({"created": whole()}));
    let logs = object(json!({"created": whole(), "rejected": OBJECTS()}));
    vec![
        post(
            "/api/tf-slices/batch/",
            "add_slices",
            "Add slices that are not there yet",
            listed("slices"),
            outcome,
        ),
        post(
            "/api/tf-slices/results/",
            "slice_results",
            "Report what became of slices",
            listed("results"),
            results,
        ),
        post(
            "/api/fastmon-files/batch/",
            "add_fastmon_files",
            "Add TF files that are not there yet",
            listed("files"),
            files,
        ),
        post("/api/system-state-events/batch/", "add_events", "Add state events", listed("events"), events),
        post(
            "/api/logs/batch/",
            "add_logs",
            "Add log records; wrong ones are listed, the others kept",
            listed("logs"),
            logs,
        ),
    ]
}

fn looks() -> Vec<Endpoint> {
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let counts = json!({"type": "object", "additionalProperties": {"type": "object"}});
    let tools = object(json!({"count": whole(), "tools": OBJECTS()}));
    let users = object(json!({"users": OBJECTS()}));
    let dpid = query("dpid", "Id of one answer.", &text());
    let verified = json!({"type": "object"});
    let call = json!({"type": "object", "required": ["dpid", "tool_name"], "properties": {
        "dpid": {"type": "string", "pattern": "^[0-9A-Za-z]{1,12}$"},
        "tool_name": {"type": "string", "minLength": 1, "maxLength": 100}, "tool_args": {}}});
    let kept = object(json!({"dpid": text(), "status": {"const": "success"}}));
    let summary = "Keep which call of a tool a data provenance id was given to";
    let mut provenance = post("/api/dpid/", "record_provenance", summary, Some(call), kept.clone());
    provenance.answers = vec![(201, answer("Kept.", &kept))];
    let words = json!({"type": "object", "required": ["token", "text"], "properties": {
        "token": text(), "command": text(), "text": text(), "user_name": text(), "channel_id": text(),
        "response_url": text()}});
    let said = object(json!({"text": text()}));
    let summary = "The /panda command of Mattermost";
    let mut slash = post("/api/slash/panda/", "slash_panda", summary, Some(words), said.clone());
    slash.answers.push((401, answer("The shared secret is wrong, or none is configured.", &said)));
    slash.refused = &[400, 405, 406, 413, 415];
    vec![
        provenance,
        slash,
        get("/api/", "root", "Names and addresses of the lists", vec![], map.clone()),
        get("/pcs/api/", "pcs_root", "Names and addresses of the lists", vec![], map),
        get(
            "/api/logs/summary/",
            "log_summary",
            "Counts and newest errors by application and instance",
            vec![],
            counts,
        ),
        get("/api/users/", "users", "Accounts, for administrators", vec![], users),
        get("/api/v1/tools/", "tools", "The tools and their arguments", vec![], tools),
        get(
            "/api/dpid/verify/",
            "verify_provenance",
            "What a data provenance id stands for",
            vec![dpid],
            verified,
        ),
    ]
}

fn memory() -> Vec<Endpoint> {
    let filled = json!({"type": "string", "minLength": 1});
    let remark = json!({"type": "object", "required": ["username", "session_id", "role", "content"], "properties": {
        "username": filled, "session_id": filled, "role": {"enum": ["user", "assistant"]}, "content": filled,
        "namespace": {"type": ["string", "null"]}, "project_path": {"type": ["string", "null"]}}});
    let recorded = object(json!({"id": whole(), "status": text()}));
    let mut username = query("username", "Whose dialogue.", &json!({"type": "string", "minLength": 1}));
    username["required"] = true.into();
    let parameters = vec![
        username,
        query(
            "turns",
            "Questions with their answers.",
            &json!({"type": "integer", "minimum": 0, "default": 20}),
        ),
        query("namespace", "Only this namespace.", &text()),
    ];
    let items = object(json!({"items": OBJECTS(), "count": whole()}));
    vec![
        post(
            "/api/ai-memory/record/",
            "record_memory",
            "Keep a remark of a dialogue",
            Some(remark),
            recorded,
        ),
        get("/api/ai-memory/", "memory", "The last remarks of a dialogue, oldest first", parameters, items),
    ]
}

fn stream() -> Vec<Endpoint> {
    let list = |name: &str, what: &str| query(name, what, &text());
    let parameters = vec![
        list("msg_types", "Only these types of messages, with commas between them."),
        list("agents", "Only messages sent or processed by these agents."),
        list("run_ids", "Only messages of these runs."),
        list("namespaces", "Only messages of these namespaces."),
        list("last_event_id", "Id of the last message received; later ones are sent again first."),
    ];
    let events = json!({"description": "Server-Sent Events: `connected`, then each message under its type, \
        `heartbeat`, `dropped` with the number of messages missed, `replay` at the end of what is sent again.",
        "content": {"text/event-stream": {"schema": {"type": "object", "properties":
            {"id": text(), "event": text(), "data": text()}}}}});
    let mut stream =
        get("/api/messages/stream/", "message_stream", "Captured messages as they come", parameters, text());
    stream.answers = vec![(200, events)];
    let status =
        object(json!({"connected_clients": whole(), "client_ids": {"type": "array", "items": text()},
        "client_filters": {"type": "object"}}));
    vec![stream, get("/api/messages/stream/status/", "message_stream_status", "Who listens", vec![], status)]
}

fn pcs() -> Vec<Endpoint> {
    let number = || vec![key("key", "Key of the row.", &whole())];
    let mut all = Vec::new();
    for kind in pcs::tags::KINDS {
        let (path, name) = (kind.resource.path, kind.resource.path.replace('-', "_"));
        let base = format!("/pcs/api/{path}/{{key}}");
        let model = row(kind.resource.model);
        let mut lock =
            post(&format!("{base}/lock/"), &format!("pcs_{name}_lock"), "Lock a tag for good", None, model);
        let detail = object(json!({"detail": text()}));
        let mut delete =
            post(&format!("{base}/delete/"), &format!("pcs_{name}_drop"), "Delete a draft tag", None, detail);
        (lock.parameters, delete.parameters) = (number(), number());
        all.extend([lock, delete]);
    }
    let mut block = post(
        "/pcs/api/datasets/{key}/add-block/",
        "pcs_add_block",
        "Add the next block",
        None,
        row("Dataset"),
    );
    block.answers = vec![(201, answer("The new row.", &row("Dataset")))];
    let made = object(json!({"condor_command": text(), "panda_command": text()}));
    let task = "/pcs/api/prod-tasks/{key}";
    let commands = post(
        &format!("{task}/generate-commands/"),
        "pcs_generate_commands",
        "Make and keep the commands",
        None,
        made,
    );
    let wanted = json!({"type": "object", "required": ["status"], "properties": {"status": text()}});
    let status = post(
        &format!("{task}/set-status/"),
        "pcs_set_status",
        "Set the state of a task",
        Some(wanted),
        row("ProdTask"),
    );
    for mut endpoint in [block, commands, status] {
        endpoint.parameters = number();
        all.push(endpoint);
    }
    let mut name = query("name", "Name of the task.", &text());
    let mut form = query("fmt", "Which command.", &json!({"enum": ["condor", "panda", "jedi", "dump"]}));
    name["required"] = true.into();
    form["required"] = true.into();
    let mut command = get(
        "/pcs/api/prod-tasks/command/",
        "pcs_command",
        "Compose a command, keep nothing",
        vec![name, form],
        json!({}),
    );
    command.answers = vec![(
        200,
        json!({"description": "The command.",
        "content": {"application/json": {"schema": {}}, "text/plain": {"schema": text()}}}),
    )];
    all.push(command);
    all
}
