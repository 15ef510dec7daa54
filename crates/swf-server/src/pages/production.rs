//! Pages of the production: PanDA and the physics configuration.

use super::catalog::{Column, From, Group, Key, List, Of, Own, Page, Record, Section, View, col};

const JOBS: &[Column] = &[
    col("PanDA ID", &["pandaid"]),
    col("Task", &["jeditaskid"]),
    col("User", &["produsername"]),
    col("Status", &["jobstatus"]),
    col("Site", &["computingsite"]),
    col("Transformation", &["transformation"]),
    col("Created", &["creationtime"]),
    col("Ended", &["endtime"]),
    col("Cores", &["corecount"]),
];

const TASKS: &[Column] = &[
    col("Task", &["jeditaskid"]),
    col("Name", &["taskname"]),
    col("Status", &["status"]),
    col("User", &["username"]).to("/panda/tasks/?username={username}"),
    col("Working group", &["workinggroup"]),
    col("Created", &["creationdate"]),
    col("Modified", &["modificationtime"]),
    col("Progress %", &["computed_progress", "progress"]),
    col("Failure rate", &["computed_failurerate", "failurerate"]),
];

const ERRORS: &[Column] = &[
    col("Component", &["error_source"]).to("/panda/diagnostics/?error_component={error_source}"),
    col("Code", &["error_code"]),
    col("Diagnostic", &["error_diag"]),
    col("Count", &["count"]),
    col("Tasks", &["task_count"]),
    col("Users", &["users"]),
    col("Sites", &["sites"]),
    col("Meaning", &["meaning"]),
    col("Last seen", &["last_seen"]),
];

const DIAGNOSTICS: &[Column] = &[
    col("PanDA ID", &["pandaid"]),
    col("Task", &["jeditaskid"]),
    col("User", &["produsername"]),
    col("Status", &["jobstatus"]),
    col("Site", &["computingsite"]),
    col("Errors", &["errors"]),
    col("Ended", &["endtime"]),
];

const QUEUES: &[Column] = &[
    col("Queue", &["panda_queue"]),
    col("Status", &["status"]),
    col("State", &["state"]),
    col("Site", &["site", "atlas_site"]),
    col("Resource", &["resource_type", "type"]),
    col("Cores", &["corecount"]),
    col("Core power", &["corepower"]),
    col("Jobs", &["panda_queue"]).to("/panda/jobs/?site={panda_queue}"),
    col("Updated", &["last_update"]),
];

const TAGS: &[Column] = &[
    col("Tag", &["tag_label"]).to("/pcs/tags/{tag_label}/"),
    col("Category", &["category"]),
    col("Description", &["description"]),
    col("Status", &["status"]),
    col("By", &["created_by"]),
    col("Parameters", &["parameters"]),
];

const PANDA: Group = Group {
    title: "PanDA",
    cards: &[
        "/panda/activity/",
        "/panda/jobs/",
        "/panda/tasks/",
        "/panda/errors/",
        "/panda/diagnostics/",
        "/panda/epic-queues/",
    ],
};
const PCS: Group = Group {
    title: "Physics configuration",
    cards: &["/pcs/", "/pcs/tags/p/", "/pcs/tags/e/", "/pcs/tags/s/", "/pcs/tags/r/"],
};

/// A list of PanDA: rows under a name of their own, counts beside them.
const fn panda(tool: &'static str, rows: &'static str, columns: &'static [Column]) -> List {
    List { rows, total: "total_in_window", summary: &["summary"], ..List::tool(tool, columns) }
}

const fn tags(path: &'static str, title: &'static str, letter: &'static str) -> Page {
    Page {
        path,
        title,
        lead: "Tags name the settings of a production; locked ones never change.",
        view: View::List(List {
            rows: "tags",
            total: "count",
            defaults: match letter.as_bytes() {
                b"p" => &[("tag_type", "p")],
                b"e" => &[("tag_type", "e")],
                b"s" => &[("tag_type", "s")],
                _ => &[("tag_type", "r")],
            },
            aliases: &[("created_by", "creator")],
            choices: &[("status", &["draft", "locked"])],
            ..List::tool("pcs_list_tags", TAGS)
        }),
    }
}

/// The pages.
pub const PAGES: &[Page] = &[
    Page {
        path: "/prod/",
        title: "ePIC production",
        lead: "Jobs and tasks in PanDA, and the physics configuration.",
        view: View::Hub(&[PANDA, PCS]),
    },
    Page { path: "/panda/", title: "PanDA", lead: "The production monitor.", view: View::Hub(&[PANDA]) },
    Page {
        path: "/panda/activity/",
        title: "PanDA activity",
        lead: "Jobs and tasks by status, user and site.",
        view: View::Answer(&["panda_get_activity", "panda_resource_usage", "panda_trend", "panda_compare"]),
    },
    Page {
        path: "/panda/jobs/",
        title: "PanDA jobs",
        lead: "Jobs by id, newest first.",
        view: View::List(panda("panda_list_jobs", "jobs", JOBS)),
    },
    Page {
        path: "/panda/jobs/{*id}/",
        title: "Job {id}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool("panda_study_job", &[("pandaid", Key::Path("id"))]),
            pick: "",
            list: "/panda/jobs/",
            sections: &[],
        }),
    },
    Page {
        path: "/panda/tasks/",
        title: "PanDA tasks",
        lead: "Tasks by id, newest first.",
        view: View::List(panda("panda_list_tasks", "tasks", TASKS)),
    },
    Page {
        path: "/panda/tasks/{*id}/",
        title: "Task {id}",
        lead: "",
        view: View::Record(Record {
            from: From::Row(
                "panda_list_tasks",
                "tasks",
                &[("taskid", Key::Path("id")), ("days", Key::Fixed("400"))],
            ),
            pick: "",
            list: "/panda/tasks/",
            sections: &[
                Section { title: "Jobs", of: Of::Page("/panda/jobs/"), by: &[("taskid", "id")] },
                Section { title: "Errors", of: Of::Page("/panda/errors/"), by: &[("taskid", "id")] },
            ],
        }),
    },
    Page {
        path: "/panda/errors/",
        title: "PanDA errors",
        lead: "Error patterns of failed jobs, most frequent first.",
        view: View::List(List {
            total: "patterns_in_window",
            summary: &[],
            ..panda("panda_error_summary", "errors", ERRORS)
        }),
    },
    Page {
        path: "/panda/diagnostics/",
        title: "PanDA diagnostics",
        lead: "Failed jobs with their errors.",
        view: View::List(List {
            aliases: &[("error_source", "error_component")],
            summary: &["window"],
            ..panda("panda_diagnose_jobs", "jobs", DIAGNOSTICS)
        }),
    },
    Page {
        path: "/panda/epic-queues/",
        title: "EIC PanDA queues",
        lead: "Queues that run jobs of the EIC.",
        view: View::List(List {
            total: "total",
            summary: &[],
            ..panda("panda_list_queues", "queues", QUEUES)
        }),
    },
    Page {
        path: "/panda/epic-queues/{*queue}/",
        title: "Queue {queue}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool("panda_get_queue", &[("panda_queue", Key::Path("queue"))]),
            pick: "queue",
            list: "/panda/epic-queues/",
            sections: &[Section { title: "Jobs", of: Of::Page("/panda/jobs/"), by: &[("site", "queue")] }],
        }),
    },
    Page { path: "/pcs/", title: "Physics configuration", lead: "Tags by type.", view: View::Own(Own::Pcs) },
    tags("/pcs/tags/p/", "Physics tags", "p"),
    tags("/pcs/tags/e/", "EvGen tags", "e"),
    tags("/pcs/tags/s/", "Simulation tags", "s"),
    tags("/pcs/tags/r/", "Reconstruction tags", "r"),
    Page {
        path: "/pcs/tags/{type}/{number}/",
        title: "Tag {type}{number}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool("pcs_get_tag", &[("tag_label", Key::Joined("type", "number"))]),
            pick: "",
            list: "/pcs/",
            sections: &[],
        }),
    },
    Page {
        path: "/pcs/tags/{*label}/",
        title: "Tag {label}",
        lead: "",
        view: View::Record(Record {
            from: From::Tool("pcs_get_tag", &[("tag_label", Key::Path("label"))]),
            pick: "",
            list: "/pcs/",
            sections: &[],
        }),
    },
];
