//! PanDA's tables as data: what the tools read, with production's types, keys, partitions and indexes.
//! The embedded default and the benchmark are made from it; on production it says which columns to expect.

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use swf_db::Engine;

/// Schema that holds the live tables; on SQLite the name of the attached file.
pub const SCHEMA: &str = "doma_panda";

/// Table whose presence says that a database was made by [`super::seed`]: every answer then says `synthetic`.
pub const MARKER: &str = "swf_synthetic";

/// A table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Name without schema.
    pub name: &'static str,
    /// Columns: name and PostgreSQL type, with `NOT NULL DEFAULT …` where production has it.
    pub columns: &'static [(&'static str, &'static str)],
    /// Primary key.
    pub key: &'static [&'static str],
    /// How production splits it.
    pub split: Split,
    /// Further indexes.
    pub indexes: &'static [&'static str],
}

/// How a table is partitioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Not at all.
    Whole,
    /// By month of a time column.
    Month(&'static str),
    /// By day of a time column.
    Day(&'static str),
    /// By millions of an id column.
    Million(&'static str),
}

const CODE: &str = "integer NOT NULL DEFAULT 0";

/// Columns of the four job tables.
pub const JOB_COLUMNS: &[(&str, &str)] = &[
    ("pandaid", "bigint NOT NULL"),
    ("jobdefinitionid", "bigint"),
    ("jeditaskid", "bigint"),
    ("reqid", "integer"),
    ("jobsetid", "bigint"),
    ("parentid", "bigint"),
    ("jobname", "varchar(256)"),
    ("produsername", "varchar(60)"),
    ("produserid", "varchar(250)"),
    ("workinggroup", "varchar(20)"),
    ("vo", "varchar(32)"),
    ("prodsourcelabel", "varchar(20)"),
    ("processingtype", "varchar(64)"),
    ("jobstatus", "varchar(15) NOT NULL"),
    ("jobsubstatus", "varchar(80)"),
    ("attemptnr", "smallint"),
    ("maxattempt", "smallint"),
    ("currentpriority", "integer"),
    ("commandtopilot", "varchar(250)"),
    ("specialhandling", "varchar(80)"),
    ("computingsite", "varchar(128)"),
    ("computingelement", "varchar(128)"),
    ("cloud", "varchar(50)"),
    ("destinationse", "varchar(250)"),
    ("destinationdblock", "varchar(255)"),
    ("batchid", "varchar(80)"),
    ("pilotid", "varchar(200)"),
    ("creationtime", "timestamp"),
    ("starttime", "timestamp"),
    ("endtime", "timestamp"),
    ("modificationtime", "timestamp NOT NULL"),
    ("statechangetime", "timestamp"),
    ("corecount", "smallint"),
    ("actualcorecount", "integer"),
    ("meancorecount", "numeric(8,2)"),
    ("cpuconsumptiontime", "numeric(20) NOT NULL DEFAULT 0"),
    ("cpuconsumptionunit", "varchar(128)"),
    ("maxrss", "bigint"),
    ("maxpss", "bigint"),
    ("maxvmem", "bigint"),
    ("maxswap", "bigint"),
    ("maxwalltime", "bigint"),
    ("hs06", "bigint"),
    ("hs06sec", "bigint"),
    ("resource_type", "varchar(56)"),
    ("gshare", "varchar(32)"),
    ("nevents", "bigint"),
    ("ninputfiles", "integer"),
    ("ninputdatafiles", "integer"),
    ("inputfilebytes", "bigint"),
    ("noutputdatafiles", "integer"),
    ("outputfilebytes", "bigint"),
    ("transformation", "varchar(250)"),
    ("container_name", "varchar(200)"),
    ("pilottiming", "varchar(100)"),
    ("jobmetrics", "varchar(500)"),
    ("jobparameters", "text"),
    ("metadata", "text"),
    ("piloterrorcode", CODE),
    ("piloterrordiag", "varchar(500)"),
    ("exeerrorcode", CODE),
    ("exeerrordiag", "varchar(500)"),
    ("superrorcode", CODE),
    ("superrordiag", "varchar(250)"),
    ("ddmerrorcode", CODE),
    ("ddmerrordiag", "varchar(700)"),
    ("brokerageerrorcode", CODE),
    ("brokerageerrordiag", "varchar(250)"),
    ("jobdispatchererrorcode", CODE),
    ("jobdispatchererrordiag", "varchar(250)"),
    ("taskbuffererrorcode", CODE),
    ("taskbuffererrordiag", "varchar(300)"),
    ("transexitcode", "varchar(128)"),
];

const DEFINED: Table = Table {
    name: "jobsdefined4",
    columns: JOB_COLUMNS,
    key: &["pandaid"],
    split: Split::Whole,
    indexes: &[
        "jeditaskid, pandaid",
        "jobname",
        "jobsetid",
        "prodsourcelabel, computingsite, jobstatus",
        "produsername",
        "reqid",
        "statechangetime",
    ],
};

const ACTIVE: Table = Table {
    name: "jobsactive4",
    columns: JOB_COLUMNS,
    key: &["pandaid"],
    split: Split::Whole,
    indexes: &[
        "modificationtime",
        "computingsite, jobstatus",
        "jeditaskid, jobstatus",
        "jeditaskid, pandaid",
        "produsername, jobstatus",
        "reqid",
        "jobname",
        "jobstatus, prodsourcelabel, workinggroup",
        "statechangetime",
        "currentpriority, pandaid",
    ],
};

const ARCHIVED: Table = Table {
    name: "jobsarchived4",
    columns: JOB_COLUMNS,
    key: &["pandaid", "modificationtime"],
    split: Split::Month("modificationtime"),
    indexes: &[
        "modificationtime, prodsourcelabel",
        "computingsite, cloud, jobstatus, prodsourcelabel, processingtype, modificationtime",
        "jeditaskid, jobstatus, prodsourcelabel, pandaid",
        "produsername, jobstatus",
        "reqid",
        "jobname",
        "jobsetid",
        "batchid",
        "workinggroup, jobstatus",
        "statechangetime",
        "piloterrorcode",
        "destinationdblock",
    ],
};

const FILES: Table = Table {
    name: "filestable4",
    columns: &[
        ("row_id", "bigint NOT NULL"),
        ("pandaid", "bigint NOT NULL"),
        ("modificationtime", "timestamp NOT NULL"),
        ("guid", "varchar(64)"),
        ("lfn", "varchar(4000)"),
        ("type", "varchar(20)"),
        ("dataset", "varchar(255)"),
        ("status", "varchar(64)"),
        ("proddblock", "varchar(255)"),
        ("dispatchdblock", "varchar(255)"),
        ("destinationdblock", "varchar(255)"),
        ("destinationse", "varchar(250)"),
        ("fsize", "bigint"),
        ("checksum", "varchar(36)"),
        ("scope", "varchar(30)"),
        ("jeditaskid", "bigint"),
        ("datasetid", "bigint"),
        ("fileid", "bigint"),
        ("attemptnr", "smallint"),
    ],
    key: &["row_id", "modificationtime"],
    split: Split::Day("modificationtime"),
    indexes: &[
        "pandaid",
        "lfn",
        "destinationdblock",
        "dataset, type, destinationdblock, status, pandaid",
        "jeditaskid, datasetid, fileid",
    ],
};

const TASKS: Table = Table {
    name: "jedi_tasks",
    columns: &[
        ("jeditaskid", "bigint NOT NULL"),
        ("taskname", "varchar(256)"),
        ("status", "varchar(64) NOT NULL"),
        ("username", "varchar(128)"),
        ("creationdate", "timestamp"),
        ("starttime", "timestamp"),
        ("endtime", "timestamp"),
        ("modificationtime", "timestamp"),
        ("realmodificationtime", "timestamp"),
        ("statechangetime", "timestamp"),
        ("reqid", "integer"),
        ("processingtype", "varchar(64)"),
        ("transpath", "varchar(128)"),
        ("progress", "smallint"),
        ("failurerate", "smallint"),
        ("errordialog", "varchar(510)"),
        ("site", "varchar(60)"),
        ("corecount", "integer"),
        ("taskpriority", "integer"),
        ("currentpriority", "integer"),
        ("gshare", "varchar(32)"),
        ("attemptnr", "smallint"),
        ("parent_tid", "bigint"),
        ("workinggroup", "varchar(32)"),
        ("prodsourcelabel", "varchar(20)"),
        ("vo", "varchar(16)"),
        ("superstatus", "varchar(64)"),
        ("campaign", "varchar(32)"),
    ],
    key: &["jeditaskid"],
    split: Split::Million("jeditaskid"),
    indexes: &[
        "modificationtime",
        "realmodificationtime",
        "creationdate",
        "reqid, username",
        "taskname, jeditaskid",
        "parent_tid",
        "status, prodsourcelabel, jeditaskid",
    ],
};

const DATASETS: Table = Table {
    name: "jedi_datasets",
    columns: &[
        ("jeditaskid", "bigint NOT NULL"),
        ("datasetid", "bigint NOT NULL"),
        ("datasetname", "varchar(255)"),
        ("type", "varchar(20)"),
        ("masterid", "bigint"),
        ("status", "varchar(20)"),
        ("nfiles", "integer"),
        ("nfilestobeused", "integer"),
        ("nfilesused", "integer"),
        ("nfilesfinished", "integer"),
        ("nfilesfailed", "integer"),
        ("nfilesonhold", "integer"),
        ("nevents", "bigint"),
        ("site", "varchar(60)"),
        ("destination", "varchar(60)"),
    ],
    key: &["jeditaskid", "datasetid"],
    split: Split::Million("jeditaskid"),
    indexes: &["jeditaskid, type", "datasetid", "datasetname, type, jeditaskid"],
};

const QUEUES: Table = Table {
    name: "schedconfig_json",
    columns: &[("panda_queue", "varchar(50) NOT NULL"), ("data", "json"), ("last_update", "timestamp")],
    key: &["panda_queue"],
    split: Split::Whole,
    indexes: &[],
};

const WORKERS: Table = Table {
    name: "harvester_workers",
    columns: &[
        ("harvesterid", "varchar(50) NOT NULL"),
        ("workerid", "bigint NOT NULL"),
        ("lastupdate", "timestamp NOT NULL"),
        ("status", "varchar(80)"),
        ("batchid", "varchar(80)"),
        ("nodeid", "varchar(80)"),
        ("computingsite", "varchar(128)"),
        ("submittime", "timestamp"),
        ("starttime", "timestamp"),
        ("endtime", "timestamp"),
        ("ncore", "integer"),
        ("errorcode", "integer"),
        ("stdout", "varchar(250)"),
        ("stderr", "varchar(250)"),
        ("batchlog", "varchar(250)"),
        ("resourcetype", "varchar(56)"),
        ("nativeexitcode", "integer"),
        ("nativestatus", "varchar(80)"),
        ("diagmessage", "varchar(500)"),
        ("jobtype", "varchar(52)"),
    ],
    key: &["harvesterid", "workerid", "lastupdate"],
    split: Split::Day("lastupdate"),
    indexes: &["computingsite", "status", "harvesterid, submittime", "lastupdate", "submittime"],
};

const RELATIONS: Table = Table {
    name: "harvester_rel_jobs_workers",
    columns: &[
        ("harvesterid", "varchar(50) NOT NULL"),
        ("workerid", "bigint NOT NULL"),
        ("pandaid", "bigint NOT NULL"),
        ("lastupdate", "timestamp"),
    ],
    key: &["harvesterid", "workerid", "pandaid"],
    split: Split::Million("pandaid"),
    indexes: &["pandaid", "lastupdate"],
};

const WORKER_STATS: Table = Table {
    name: "harvester_worker_stats",
    columns: &[
        ("harvester_id", "varchar(50) NOT NULL"),
        ("computingsite", "varchar(128) NOT NULL"),
        ("resourcetype", "varchar(56) NOT NULL"),
        ("status", "varchar(80) NOT NULL"),
        ("jobtype", "varchar(52) NOT NULL"),
        ("n_workers", "integer"),
        ("lastupdate", "timestamp NOT NULL"),
    ],
    key: &["harvester_id", "computingsite", "resourcetype", "status", "jobtype"],
    split: Split::Whole,
    indexes: &[],
};

const RETRIES: Table = Table {
    name: "jedi_job_retry_history",
    columns: &[
        ("jeditaskid", "bigint NOT NULL"),
        ("oldpandaid", "bigint NOT NULL"),
        ("newpandaid", "bigint NOT NULL"),
        ("originpandaid", "bigint"),
        ("ins_utc_tstamp", "timestamp NOT NULL"),
        ("relationtype", "varchar(32)"),
    ],
    key: &["jeditaskid", "newpandaid", "oldpandaid", "ins_utc_tstamp"],
    split: Split::Day("ins_utc_tstamp"),
    indexes: &["oldpandaid", "originpandaid"],
};

/// Every table the tools read.
pub const TABLES: &[Table] =
    &[DEFINED, ACTIVE, ARCHIVED, FILES, TASKS, DATASETS, QUEUES, WORKERS, RELATIONS, WORKER_STATS, RETRIES];

/// A table by name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|t| t.name == name)
}

/// The PostgreSQL type of a job column without its constraints; `text` when unknown.
pub fn kind(table: &Table, column: &str) -> &'static str {
    let kind = table.columns.iter().find(|(name, _)| *name == column).map_or("text", |(_, kind)| kind);
    kind.split(" NOT NULL").next().unwrap_or(kind)
}

/// Statements that make the tables (without indexes) with partitions for the times and ids given.
pub fn create(engine: Engine, from: NaiveDateTime, to: NaiveDateTime, largest_id: i64) -> Vec<String> {
    let mut out = Vec::new();
    if engine == Engine::Postgres {
        out.push(format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}"));
    }
    for table in TABLES {
        out.push(table.ddl(engine));
        if engine == Engine::Postgres {
            out.extend(table.partitions(from, to, largest_id));
        }
    }
    out.push(format!("CREATE TABLE {SCHEMA}.{MARKER} (made_at timestamp, note text)"));
    out
}

/// Statements that make the indexes.
pub fn indexes(engine: Engine) -> Vec<String> {
    let mut out = Vec::new();
    for table in TABLES {
        for (n, columns) in table.indexes.iter().enumerate() {
            let name = format!("{}_{}_idx", table.name, n + 1);
            out.push(match engine {
                Engine::Postgres => format!("CREATE INDEX {name} ON {SCHEMA}.{} ({columns})", table.name),
                Engine::Sqlite => format!("CREATE INDEX {SCHEMA}.{name} ON {} ({columns})", table.name),
            });
        }
    }
    out
}

impl Table {
    fn ddl(&self, engine: Engine) -> String {
        let columns = self.columns.iter().map(|(name, kind)| match engine {
            Engine::Postgres => format!("{name} {kind}"),
            Engine::Sqlite => format!("{name} {}", sqlite_type(kind)),
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let split = match (engine, self.split) {
            (Engine::Sqlite, _) | (_, Split::Whole) => String::new(),
            (_, Split::Month(c) | Split::Day(c) | Split::Million(c)) => format!(" PARTITION BY RANGE ({c})"),
        };
        format!(
            "CREATE TABLE {SCHEMA}.{} ({columns}, PRIMARY KEY ({})){split}",
            self.name,
            self.key.join(", ")
        )
    }

    fn partitions(&self, from: NaiveDateTime, to: NaiveDateTime, largest_id: i64) -> Vec<String> {
        let mut out = Vec::new();
        let mut add = |suffix: String, low: String, high: String| {
            let name = self.name;
            out.push(format!(
                "CREATE TABLE {SCHEMA}.{name}_{suffix} PARTITION OF {SCHEMA}.{name} FOR VALUES FROM ('{low}') TO ('{high}')"
            ));
        };
        match self.split {
            Split::Whole => return out,
            Split::Month(_) => {
                let mut first = month_start(from.date());
                while first <= to.date() {
                    let next = month_start(first + TimeDelta::days(32));
                    add(first.format("p%Y_%m").to_string(), first.to_string(), next.to_string());
                    first = next;
                }
            }
            Split::Day(_) => {
                // Production keeps files for 30 days and workers and retries for three months.
                let kept = if self.name == "filestable4" { 30 } else { 90 };
                let mut day = from.date().max(to.date() - TimeDelta::days(kept));
                while day <= to.date() {
                    let next = day + TimeDelta::days(1);
                    add(day.format("p%Y%m%d").to_string(), day.to_string(), next.to_string());
                    day = next;
                }
            }
            Split::Million(_) => {
                for million in 0..=largest_id / 1_000_000 {
                    let low = million * 1_000_000;
                    add(format!("p{million}"), low.to_string(), (low + 1_000_000).to_string());
                }
            }
        }
        out.push(format!(
            "CREATE TABLE {SCHEMA}.{name}_default PARTITION OF {SCHEMA}.{name} DEFAULT",
            name = self.name
        ));
        out
    }
}

fn month_start(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

fn sqlite_type(kind: &str) -> String {
    let (word, rest) = kind.split_once(' ').unwrap_or((kind, ""));
    let class = match word.split('(').next().unwrap_or(word) {
        "bigint" | "integer" | "smallint" => "INTEGER",
        "numeric" => "NUMERIC",
        _ => "TEXT",
    };
    format!("{class} {rest}")
}
