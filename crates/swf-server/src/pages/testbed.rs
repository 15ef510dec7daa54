//! Pages of the testbed.

use super::catalog::{
    Column, From, Group, Key, List, Of, Own, Page, Reach, Record, Records, Section, Show, View, col,
};

const AGENTS: &[Column] = &[
    col("Agent", &["name", "instance_name"]).to("/workflow/agents/{name}/"),
    col("Type", &["agent_type"]).to("/workflow/agents/?agent_type={agent_type}"),
    col("Status", &["status"]),
    col("State", &["operational_state"]),
    col("Alive", &["alive"]),
    col("Namespace", &["namespace"]),
    col("Last heartbeat", &["last_heartbeat"]),
    col("STFs processed", &["total_stf_processed"]),
];

const MESSAGES: &[Column] = &[
    col("Sent", &["sent_at"]).to("/workflow/messages/{message_id}/"),
    col("Namespace", &["namespace"]),
    col("Type", &["message_type"]).to("/workflow/messages/?message_type={message_type}"),
    col("Sender", &["sender_agent"]),
    col("Execution", &["execution_id"]),
    col("Run", &["run_id"]),
    col("Content", &["payload_summary", "message_content"]),
];

const LOGS: &[Column] = &[
    col("Time", &["timestamp"]).to("/logs/{id}/"),
    col("Level", &["levelname", "level"]),
    col("Application", &["app_name"]).to("/logs/?app_name={app_name}"),
    col("Instance", &["instance_name"]).to("/logs/?instance_name={instance_name}"),
    col("Message", &["message"]),
    col("Module", &["module"]),
    col("Function", &["funcname", "lineno"]).show(Show::Place),
];

const EXECUTIONS: &[Column] = &[
    col("Execution", &["execution_id"]),
    col("Workflow", &["workflow_name"]),
    col("Namespace", &["namespace"]),
    col("Status", &["status"]),
    col("By", &["executed_by"]).to("/workflow-executions/?executed_by={executed_by}"),
    col("Started", &["start_time"]),
    col("Duration", &["start_time", "end_time"]).show(Show::Duration),
];

const DEFINITIONS: &[Column] = &[
    col("Workflow", &["workflow_name"]).to("/workflow-definitions/{workflow_name}/{version}/"),
    col("Version", &["version"]),
    col("Type", &["workflow_type"]).to("/workflow-definitions/?workflow_type={workflow_type}"),
    col("By", &["created_by"]).to("/workflow-definitions/?created_by={created_by}"),
    col("Created", &["created_at"]),
    col("Executions", &["execution_count"]).to("/workflow-executions/?workflow_name={workflow_name}"),
];

const NAMESPACES: &[Column] = &[
    col("Namespace", &["name"]).to("/workflow/namespaces/{name}/"),
    col("Owner", &["owner"]),
    col("Description", &["description"]),
];

const RUNS: &[Column] = &[
    col("Run", &["run_number"]),
    col("Start", &["start_time"]),
    col("End", &["end_time"]),
    col("Duration", &["start_time", "end_time"]).show(Show::Duration),
    col("STF files", &["stf_file_count"]).to("/stf-files/?run_number={run_number}"),
];

const STF_FILES: &[Column] = &[
    col("STF file", &["stf_filename"]),
    col("Run", &["run_number"]),
    col("TF files", &["tf_file_count"]).to("/fastmon-files/?stf_filename={stf_filename}"),
    col("State", &["machine_state"]),
    col("Status", &["status"]),
    col("Size", &["file_size_bytes"]),
    col("Created", &["created_at"]),
];

const FASTMON: &[Column] = &[
    col("TF file", &["tf_filename"]),
    col("Parent STF", &["stf_file"]),
    col("Frames", &["tf_first", "tf_last"]).show(Show::Range),
    col("Size", &["file_size_bytes"]),
    col("Status", &["status"]),
    col("Created", &["created_at"]),
];

const SLICES: &[Column] = &[
    col("Slice", &["slice_id"]),
    col("TF sample", &["tf_filename"]),
    col("STF file", &["stf_filename"]),
    col("Run", &["run_number"]),
    col("Frames", &["tf_first", "tf_last"]).show(Show::Range),
    col("Count", &["tf_count"]),
    col("Status", &["status"]),
    col("Worker", &["assigned_worker"]),
    col("Created", &["created_at"]),
    col("Completed", &["completed_at"]),
];

const SUBSCRIBERS: &[Column] = &[
    col("Subscriber", &["subscriber_name"]).to("/subscribers/{subscriber_id}/"),
    col("Description", &["description"]),
    col("Fraction", &["fraction"]),
    col("Active", &["is_active"]),
    col("Delivery", &["delivery_type"]),
    col("Created", &["created_at"]),
    col("Updated", &["updated_at"]),
];

const AGENT_STATUSES: &[&str] = &["OK", "WARNING", "ERROR", "UNKNOWN", "EXITED", "all"];
const LEVELS: &[&str] = &["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
const EXECUTION_STATUSES: &[&str] = &["pending", "running", "completed", "failed", "terminated"];
const FILE_STATUSES: &[&str] = &["registered", "processing", "processed", "failed", "done"];
const SLICE_STATUSES: &[&str] = &["queued", "processing", "completed", "failed"];

const WORKFLOWS: Group = Group {
    title: "Workflows",
    cards: &["/workflow-definitions/", "/workflow-executions/", "/namespaces/", "/runs/"],
};
const FILES: Group =
    Group { title: "Time frame data", cards: &["/stf-files/", "/fastmon-files/", "/tf-slices/"] };
const SYSTEM: Group = Group {
    title: "System",
    cards: &[
        "/workflow/agents/",
        "/subscribers/",
        "/workflow/messages/",
        "/logs/",
        "/logs/summary/",
        "/persistent-state/",
        "/tools/",
    ],
};

/// Oldest first in the records, newest first on the page.
const fn turned(path: &'static str) -> Option<Records> {
    Some(Records { path, turned: true })
}

const fn newest_first(path: &'static str) -> Option<Records> {
    Some(Records { path, turned: false })
}

/// The pages.
pub const PAGES: &[Page] = &[
    Page { path: "/", title: "Home", lead: "", view: View::Own(Own::Home) },
    Page { path: "/home/", title: "Home", lead: "", view: View::Own(Own::Moved("/prod/")) },
    Page { path: "/about/", title: "About", lead: "", view: View::Own(Own::About) },
    Page {
        path: "/testbed/",
        title: "Testbed",
        lead: "Workflows, their data, and the agents that process them.",
        view: View::Hub(&[WORKFLOWS, FILES, SYSTEM, Group { title: "Production", cards: &["/panda/"] }]),
    },
    Page {
        path: "/workflows/",
        title: "Workflows",
        lead: "What can run, what ran, and where.",
        view: View::Hub(&[WORKFLOWS]),
    },
    Page {
        path: "/workflow/agents/",
        title: "Agents",
        lead: "Processes of the testbed by their newest heartbeat. Exited ones are left out unless status says otherwise.",
        view: View::List(List {
            choices: &[("status", AGENT_STATUSES)],
            ..List::tool("swf_list_agents", AGENTS)
        }),
    },
    Page {
        path: "/workflow/agents/{*name}/",
        title: "Agent {name}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool("swf_get_agent", &[("name", Key::Path("name"))]),
            pick: "",
            list: "/workflow/agents/",
            sections: &[
                Section { title: "Log", of: Of::Page("/logs/"), by: &[("instance_name", "name")] },
                Section {
                    title: "Messages sent",
                    of: Of::Page("/workflow/messages/"),
                    by: &[("sender_agent", "name")],
                },
            ],
        }),
    },
    Page {
        path: "/workflow/namespaces/{*name}/",
        title: "Namespace {name}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool("swf_get_namespace", &[("namespace", Key::Path("name"))]),
            pick: "",
            list: "/namespaces/",
            sections: &[
                Section { title: "Agents", of: Of::Page("/workflow/agents/"), by: &[("namespace", "name")] },
                Section {
                    title: "Executions",
                    of: Of::Page("/workflow-executions/"),
                    by: &[("namespace", "name")],
                },
                Section {
                    title: "Messages",
                    of: Of::Page("/workflow/messages/"),
                    by: &[("namespace", "name")],
                },
            ],
        }),
    },
    Page {
        path: "/namespaces/",
        title: "Namespaces",
        lead: "Namespaces keep testbeds of different people apart.",
        view: View::List(List::tool("swf_list_namespaces", NAMESPACES)),
    },
    Page {
        path: "/workflow/messages/",
        title: "Messages",
        lead: "What agents sent over the broker, newest first.",
        view: View::List(List {
            records: newest_first("workflow-messages"),
            aliases: &[("sender_agent", "agent")],
            defaults: &[("detail", "full"), ("limit", "100")],
            reach: Reach::Narrowed(&["execution_id", "agent"]),
            ..List::tool("swf_list_messages", MESSAGES)
        }),
    },
    Page {
        path: "/workflow/messages/{*id}/",
        title: "Message {id}",
        lead: "",
        view: View::Record(Record {
            from: From::Record("workflow-messages"),
            pick: "",
            list: "/workflow/messages/",
            sections: &[],
        }),
    },
    Page {
        path: "/workflow-definitions/",
        title: "Workflow definitions",
        lead: "Workflows that are known, by name and version.",
        view: View::List(List {
            records: newest_first("workflow-definitions"),
            ..List::tool("swf_list_workflow_definitions", DEFINITIONS)
        }),
    },
    Page {
        path: "/workflow-definitions/{name}/{version}/",
        title: "{name} {version}",
        lead: "",
        view: View::Record(Record {
            from: From::Found("workflow-definitions", &[("workflow_name", "name"), ("version", "version")]),
            pick: "",
            list: "/workflow-definitions/",
            sections: &[Section {
                title: "Executions of this workflow",
                of: Of::Page("/workflow-executions/"),
                by: &[("workflow_name", "name")],
            }],
        }),
    },
    Page {
        path: "/workflow-executions/",
        title: "Workflow executions",
        lead: "Workflows that ran or run, newest first.",
        view: View::List(List {
            records: newest_first("workflow-executions"),
            aliases: &[("workflow", "workflow_name")],
            reach: Reach::All,
            choices: &[("status", EXECUTION_STATUSES)],
            ..List::tool("swf_list_workflow_executions", EXECUTIONS)
        }),
    },
    Page {
        path: "/workflow-executions/{*id}/",
        title: "Execution {id}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool("swf_get_workflow_execution", &[("execution_id", Key::Path("id"))]),
            pick: "",
            list: "/workflow-executions/",
            sections: &[
                Section {
                    title: "Progress",
                    of: Of::Tool("swf_get_workflow_monitor"),
                    by: &[("execution_id", "id")],
                },
                Section {
                    title: "Messages",
                    of: Of::Page("/workflow/messages/"),
                    by: &[("execution_id", "id")],
                },
                Section { title: "Log", of: Of::Page("/logs/"), by: &[("execution_id", "id")] },
            ],
        }),
    },
    Page {
        path: "/runs/",
        title: "Runs",
        lead: "Periods of data taking, newest first.",
        view: View::List(List {
            records: turned("runs"),
            reach: Reach::All,
            ..List::tool("swf_list_runs", RUNS)
        }),
    },
    Page {
        path: "/runs/{*number}/",
        title: "Run {number}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool("swf_get_run", &[("run_number", Key::Path("number"))]),
            pick: "",
            list: "/runs/",
            sections: &[
                Section { title: "STF files", of: Of::Page("/stf-files/"), by: &[("run_number", "number")] },
                Section {
                    title: "TF files",
                    of: Of::Page("/fastmon-files/"),
                    by: &[("run_number", "number")],
                },
                Section { title: "TF slices", of: Of::Page("/tf-slices/"), by: &[("run_number", "number")] },
            ],
        }),
    },
    Page {
        path: "/stf-files/",
        title: "STF files",
        lead: "Super time frame files, newest first.",
        view: View::List(List {
            records: turned("stf-files"),
            reach: Reach::Narrowed(&["run_number"]),
            choices: &[("status", FILE_STATUSES)],
            ..List::tool("swf_list_stf_files", STF_FILES)
        }),
    },
    Page {
        path: "/stf-files/{*key}/",
        title: "STF file {key}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool(
                "swf_get_stf_file",
                &[("file_id", Key::Uuid("key")), ("stf_filename", Key::NotUuid("key"))],
            ),
            pick: "",
            list: "/stf-files/",
            sections: &[
                Section {
                    title: "TF files",
                    of: Of::Page("/fastmon-files/"),
                    by: &[("stf_filename", "stf_filename")],
                },
                Section {
                    title: "TF slices",
                    of: Of::Page("/tf-slices/"),
                    by: &[("stf_filename", "stf_filename")],
                },
            ],
        }),
    },
    Page {
        path: "/fastmon-files/",
        title: "STF samples",
        lead: "Time frame files sampled from STF files for fast monitoring.",
        view: View::List(List {
            records: turned("fastmon-files"),
            choices: &[("status", FILE_STATUSES)],
            ..List::records("fastmon-files", FASTMON)
        }),
    },
    Page {
        path: "/tf-slices/",
        title: "TF slices",
        lead: "Parts of TF files that workers process.",
        view: View::List(List {
            records: turned("tf-slices"),
            reach: Reach::Narrowed(&["run_number", "stf_filename", "tf_filename", "assigned_worker"]),
            choices: &[("status", SLICE_STATUSES)],
            ..List::tool("swf_list_tf_slices", SLICES)
        }),
    },
    Page {
        path: "/logs/",
        title: "Logs",
        lead: "Log entries of all agents, newest first; a level stands for itself and those above.",
        view: View::List(List {
            records: newest_first("logs"),
            reach: Reach::Narrowed(&["execution_id", "instance_name"]),
            choices: &[("level", LEVELS)],
            ..List::tool("swf_list_logs", LOGS)
        }),
    },
    Page {
        path: "/logs/summary/",
        title: "Log summary",
        lead: "Log entries by application and instance.",
        view: View::Own(Own::LogSummary),
    },
    Page {
        path: "/logs/{*id}/",
        title: "Log entry {id}",
        lead: "",
        view: View::Record(Record { from: From::Record("logs"), pick: "", list: "/logs/", sections: &[] }),
    },
    Page {
        path: "/subscribers/",
        title: "Subscribers",
        lead: "Who receives messages.",
        view: View::List(List::records("subscribers", SUBSCRIBERS)),
    },
    Page {
        path: "/subscribers/{*id}/",
        title: "Subscriber {id}",
        lead: "",
        view: View::Record(Record {
            from: From::Record("subscribers"),
            pick: "",
            list: "/subscribers/",
            sections: &[],
        }),
    },
    Page {
        path: "/persistent-state/",
        title: "Persistent state",
        lead: "Counters and settings that outlive the server.",
        view: View::Record(Record {
            from: From::Tool("swf_get_system_state", &[]),
            pick: "persistent_state",
            list: "/testbed/",
            sections: &[],
        }),
    },
    Page {
        path: "/tools/",
        title: "Tools",
        lead: "Everything this server can be asked, over MCP, REST and here.",
        view: View::Own(Own::Tools),
    },
    Page { path: "/tools/{*name}/", title: "{name}", lead: "", view: View::Own(Own::Tool) },
];
