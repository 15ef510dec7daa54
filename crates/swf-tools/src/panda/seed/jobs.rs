//! Jobs of the synthetic production: how they end, and the rows that describe them.

use chrono::{NaiveDateTime, TimeDelta};
use swf_db::Value;

use super::places::Place;
use super::rows::Dice;

/// How a job ends; texts have `{id}`, `{n}` and `{time}` where production's have ids, numbers and times.
pub struct End {
    /// Final status.
    pub status: &'static str,
    /// Substatus.
    pub substatus: &'static str,
    /// Component column prefix, code, diagnostic.
    pub errors: &'static [(&'static str, i64, &'static str)],
    /// Exit code of the payload as text.
    pub exit: &'static str,
    /// Whether the payload ever started.
    pub started: bool,
    /// Whether PanDA tries again.
    pub retried: bool,
}

/// A good end.
pub const FINISHED: End =
    End { status: "finished", substatus: "", errors: &[], exit: "0", started: true, retried: false };

/// Bad ends by weight.
pub const FAULTS: &[(i64, End)] = &[
    (
        22,
        End {
            status: "failed",
            substatus: "pilot_failed",
            errors: &[
                ("pilot", 1305, "Failed to execute payload:/bin/bash: line 1: eicrecon: command not found"),
                ("exe", 127, "Non-zero return code from payload (127)"),
            ],
            exit: "127",
            started: true,
            retried: true,
        },
    ),
    (
        14,
        End {
            status: "failed",
            substatus: "pilot_failed",
            errors: &[
                ("pilot", 1305, "Failed to execute payload: segmentation violation in event {n}"),
                ("exe", 139, "Non-zero return code from payload (139)"),
            ],
            exit: "139",
            started: true,
            retried: true,
        },
    ),
    (
        16,
        End {
            status: "failed",
            substatus: "",
            errors: &[
                ("jobdispatcher", 100, "lost heartbeat : {time}"),
                ("sup", 5520, "worker {n}.0 on node nid{n} exceeded the allowed duration"),
            ],
            exit: "",
            started: true,
            retried: true,
        },
    ),
    (
        12,
        End {
            status: "failed",
            substatus: "pilot_failed",
            errors: &[(
                "pilot",
                1137,
                "Failed to stage-out file: reco.{id}.edm4eic.root: rucio.common.exception.NoDistance",
            )],
            exit: "0",
            started: true,
            retried: true,
        },
    ),
    (
        8,
        End {
            status: "failed",
            substatus: "pilot_failed",
            errors: &[(
                "pilot",
                1152,
                "File transfer timed out during stage-out: root://storage{n}.synthetic.invalid:1094//epic/{id}.root after {n} s",
            )],
            exit: "0",
            started: true,
            retried: true,
        },
    ),
    (
        6,
        End {
            status: "failed",
            substatus: "pilot_failed",
            errors: &[("pilot", 1099, "Failed to stage-in file: evgen.{id}.hepmc3.tree.root")],
            exit: "",
            started: true,
            retried: true,
        },
    ),
    (
        5,
        End {
            status: "failed",
            substatus: "",
            errors: &[("ddm", 200, "could not add file {id}.root to dataset: DataIdentifierAlreadyExists")],
            exit: "0",
            started: true,
            retried: true,
        },
    ),
    (
        4,
        End {
            status: "failed",
            substatus: "",
            errors: &[("jobdispatcher", 102, "Sent job didn't receive reply from pilot within 30 min")],
            exit: "",
            started: false,
            retried: true,
        },
    ),
    (
        3,
        End {
            status: "failed",
            substatus: "pilot_failed",
            errors: &[
                ("pilot", 1212, "Payload ran out of memory: {n} kB"),
                ("exe", 137, "Non-zero return code from payload (137)"),
            ],
            exit: "137",
            started: true,
            retried: true,
        },
    ),
    (
        14,
        End {
            status: "closed",
            substatus: "toreassign",
            errors: &[("taskbuffer", 100, "reassigned by JEDI")],
            exit: "",
            started: false,
            retried: true,
        },
    ),
    (
        8,
        End {
            status: "closed",
            substatus: "taskdone",
            errors: &[("taskbuffer", 100, "killed since task is (almost) done")],
            exit: "",
            started: false,
            retried: false,
        },
    ),
    (
        5,
        End {
            status: "closed",
            substatus: "toreassign",
            errors: &[("taskbuffer", 102, "expired in the queue after {n} hours")],
            exit: "",
            started: false,
            retried: true,
        },
    ),
    (
        7,
        End {
            status: "cancelled",
            substatus: "",
            errors: &[
                ("taskbuffer", 100, "killed by synthetic-Ada Example"),
                ("pilot", 1144, "Job was killed by panda server"),
            ],
            exit: "",
            started: true,
            retried: false,
        },
    ),
];

/// States of jobs that have not ended.
pub const ACTIVE: &[(i64, &str)] =
    &[(45, "running"), (25, "activated"), (10, "transferring"), (8, "holding"), (7, "starting"), (5, "sent")];
/// States of jobs not yet given to pilots.
pub const QUEUED: &[(i64, &str)] = &[(60, "assigned"), (25, "defined"), (15, "pending")];

/// A job before it becomes rows.
pub struct Job {
    /// Its id.
    pub id: i64,
    /// The first job of its chain of attempts.
    pub origin: i64,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// Its task.
    pub task: i64,
    /// The task's request.
    pub request: i64,
    /// Its owner.
    pub user: &'static str,
    /// Kind of processing.
    pub processing: &'static str,
    /// Its queue.
    pub place: &'static Place,
    /// Status.
    pub status: &'static str,
    /// How it ended, if it did.
    pub end: Option<&'static End>,
    /// Times.
    pub created: NaiveDateTime,
    /// When the payload started.
    pub started: Option<NaiveDateTime>,
    /// When it ended.
    pub ended: Option<NaiveDateTime>,
    /// Last change.
    pub modified: NaiveDateTime,
}

const LOGS: &str = "http://127.0.0.1:9/synthetic_logs";

impl Job {
    /// Text with its ids and numbers filled in.
    fn fill(&self, text: &str, dice: &mut Dice) -> String {
        let time = (self.modified - TimeDelta::hours(2)).format("%Y-%m-%d %H:%M:%S").to_string();
        let id = format!("{}.{}", self.task, self.id);
        text.replace("{id}", &id)
            .replace("{time}", &time)
            .replace("{n}", &dice.range(1000, 99999).to_string())
    }

    /// The log address that the pilot reports.
    fn stdout(&self) -> String {
        format!("{LOGS}/{}/grid.{}.0.out", self.created.format("%Y%m%d"), self.id)
    }

    /// The row of a job table.
    pub fn row(&self, dice: &mut Dice) -> Vec<(&'static str, Value)> {
        let good = self.status == "finished";
        let seconds = match (self.started, self.ended) {
            (Some(start), Some(end)) => (end - start).num_seconds().max(0),
            _ => 0,
        };
        let cores = self.place.cores;
        let events = if good { dice.range(500, 5000) } else { 0 };
        let efficiency = dice.range(60, 98);
        let perlmutter = self.place.queue.starts_with("NERSC");
        let gtag = if perlmutter { format!("{LOGS}/None") } else { self.stdout() };
        let pilotid = self.started.map(|_| format!("{gtag}|HTCONDOR|PR|3.10.1.20"));
        let resource = match (cores > 1, self.place.maxrss / cores.max(1) > 3000) {
            (true, false) => "MCORE",
            (true, true) => "MCORE_HIMEM",
            (false, false) => "SCORE",
            (false, true) => "SCORE_HIMEM",
        };
        let mut row: Vec<(&'static str, Value)> = vec![
            ("pandaid", self.id.into()),
            ("jobdefinitionid", (self.id / 10).into()),
            ("jeditaskid", self.task.into()),
            ("reqid", self.request.into()),
            ("jobsetid", (self.id / 5).into()),
            ("jobname", format!("synthetic.{}._{:06}.job", self.task, self.id).into()),
            ("produsername", self.user.into()),
            ("workinggroup", "EIC".into()),
            ("vo", "epic".into()),
            ("prodsourcelabel", "test".into()),
            ("processingtype", self.processing.into()),
            ("jobstatus", self.status.into()),
            ("jobsubstatus", self.end.map(|e| e.substatus).filter(|s| !s.is_empty()).into()),
            ("attemptnr", self.attempt.into()),
            ("maxattempt", self.attempt.into()),
            ("currentpriority", 900.into()),
            ("commandtopilot", (self.status == "cancelled").then_some("tobekilled").into()),
            ("computingsite", self.place.queue.into()),
            ("computingelement", format!("ce.{}.invalid", self.place.site.to_lowercase()).into()),
            ("cloud", "US".into()),
            ("destinationse", self.place.storage.into()),
            ("destinationdblock", format!("epic:synthetic.RECO.{}", self.task).into()),
            ("batchid", self.started.map(|_| format!("{}.0", self.id)).into()),
            ("pilotid", pilotid.into()),
            ("creationtime", self.created.into()),
            ("starttime", self.started.into()),
            ("endtime", self.ended.into()),
            ("modificationtime", self.modified.into()),
            ("statechangetime", self.modified.into()),
            ("corecount", cores.into()),
            ("actualcorecount", self.started.map(|_| cores).into()),
            ("cpuconsumptiontime", (seconds * cores * efficiency / 100).into()),
            ("cpuconsumptionunit", "synthetic CPU 64-Core".into()),
            ("maxrss", self.started.map(|_| dice.range(800_000, 4_000_000)).into()),
            ("maxpss", self.started.map(|_| dice.range(800_000, 4_000_000)).into()),
            ("maxwalltime", 86400.into()),
            ("resource_type", resource.into()),
            ("gshare", "EIC".into()),
            ("nevents", events.into()),
            ("ninputfiles", 1.into()),
            ("ninputdatafiles", 1.into()),
            ("inputfilebytes", dice.range(100_000_000, 900_000_000).into()),
            ("noutputdatafiles", good.then_some(2).into()),
            ("outputfilebytes", good.then(|| dice.range(500_000_000, 3_000_000_000)).into()),
            ("transformation", "runGen-00-00-02".into()),
            ("container_name", "docker://synthetic/eic_xl:26.02.0-stable".into()),
            ("pilottiming", self.ended.and(self.started).map(|_| "20|30|3600|12|90|5").into()),
            ("jobmetrics", good.then(|| format!("nEvents={events} dbTime=0.97")).into()),
        ];
        self.errors(&mut row, dice);
        row
    }

    fn errors(&self, row: &mut Vec<(&'static str, Value)>, dice: &mut Dice) {
        let columns = [
            ("pilot", "piloterrorcode", "piloterrordiag"),
            ("exe", "exeerrorcode", "exeerrordiag"),
            ("sup", "superrorcode", "superrordiag"),
            ("ddm", "ddmerrorcode", "ddmerrordiag"),
            ("brokerage", "brokerageerrorcode", "brokerageerrordiag"),
            ("jobdispatcher", "jobdispatchererrorcode", "jobdispatchererrordiag"),
            ("taskbuffer", "taskbuffererrorcode", "taskbuffererrordiag"),
        ];
        let errors = self.end.map(|e| e.errors).unwrap_or_default();
        for (component, code, diag) in columns {
            let error = errors.iter().find(|(c, ..)| *c == component);
            row.push((code, error.map_or(0, |e| e.1).into()));
            row.push((diag, error.map(|e| self.fill(e.2, dice)).into()));
        }
        row.push(("transexitcode", self.end.map(|e| e.exit).filter(|e| !e.is_empty()).into()));
    }

    /// Rows of `filestable4`.
    pub fn files(&self, dice: &mut Dice) -> Vec<Vec<(&'static str, Value)>> {
        let good = self.status == "finished";
        let time = if self.ended.is_some() { self.modified } else { self.created };
        let kinds = [("input", "hepmc3.tree.root"), ("log", "log.tgz"), ("output", "eicrecon.edm4eic.root")];
        let file = |(n, (kind, ending)): (usize, (&'static str, &str))| {
            let n = i64::try_from(n).unwrap_or_default();
            vec![
                ("row_id", (self.id * 3 + n).into()),
                ("pandaid", self.id.into()),
                ("modificationtime", time.into()),
                ("guid", good.then(|| format!("{:016x}-{n}", dice.next())).into()),
                ("lfn", format!("synthetic.{}._{:06}.{ending}", self.task, self.id).into()),
                ("type", kind.into()),
                ("dataset", format!("epic:synthetic.{kind}.{}", self.task).into()),
                ("status", if good { "ready" } else { "unknown" }.into()),
                ("destinationdblock", format!("epic:synthetic.{kind}.{}_sub1", self.task).into()),
                ("destinationse", (kind == "output").then_some(self.place.storage).into()),
                ("fsize", if good { dice.range(1_000_000, 900_000_000) } else { 0 }.into()),
                ("checksum", good.then(|| format!("ad:{:08x}", dice.next() & 0xFFFF_FFFF)).into()),
                ("scope", "epic".into()),
                ("jeditaskid", self.task.into()),
                ("datasetid", (self.task * 10 + n).into()),
                ("fileid", (self.id * 3 + n).into()),
                ("attemptnr", self.attempt.into()),
            ]
        };
        kinds.into_iter().enumerate().map(file).collect()
    }

    /// Rows of `harvester_workers` and `harvester_rel_jobs_workers`; none for a job that no pilot had.
    pub fn worker(&self) -> Option<[Vec<(&'static str, Value)>; 2]> {
        let started = self.started?;
        let stdout = self.stdout();
        let lost = self.end.is_some_and(|e| e.errors.iter().any(|(c, ..)| *c == "sup"));
        let status = match (self.ended, lost) {
            (None, _) => "running",
            (_, true) => "failed",
            _ => "finished",
        };
        let last = self.ended.unwrap_or(self.modified);
        let harvester = "EIC_harvester_synthetic";
        let worker = vec![
            ("harvesterid", harvester.into()),
            ("workerid", (self.id + 1000).into()),
            ("lastupdate", last.into()),
            ("status", status.into()),
            ("batchid", format!("{}.0", self.id).into()),
            ("nodeid", format!("nid{:05}", self.id % 4000).into()),
            ("computingsite", self.place.queue.into()),
            ("submittime", self.created.into()),
            ("starttime", started.into()),
            ("endtime", self.ended.into()),
            ("ncore", self.place.cores.into()),
            ("errorcode", if lost { 5520 } else { 0 }.into()),
            ("stdout", stdout.clone().into()),
            ("stderr", stdout.replace(".out", ".err").into()),
            ("batchlog", stdout.replace(".out", ".log").into()),
            ("resourcetype", if self.place.cores > 1 { "MCORE" } else { "SCORE" }.into()),
            ("diagmessage", lost.then_some("allowed duration exceeded").into()),
            ("jobtype", "managed".into()),
        ];
        let relation = vec![
            ("harvesterid", harvester.into()),
            ("workerid", (self.id + 1000).into()),
            ("pandaid", self.id.into()),
            ("lastupdate", last.into()),
        ];
        Some([worker, relation])
    }
}
