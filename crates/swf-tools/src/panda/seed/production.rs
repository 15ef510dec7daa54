//! The synthetic production as a whole: tasks, chains of attempts, queued and running jobs.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta};
use swf_db::Value;

use super::jobs::{ACTIVE, FAULTS, FINISHED, Job, QUEUED};
use super::places::{self, USERS};
use super::rows::Dice;
use super::{Plan, Rows};

const FIRST_TASK: i64 = 36_001;
const FIRST_JOB: i64 = 500_001;
/// Jobs of a task, about.
const PER_TASK: u32 = 60;

/// Everything, ready to be written.
pub struct Production {
    batches: Vec<Rows>,
    largest: i64,
}

struct Task {
    id: i64,
    status: &'static str,
    user: &'static str,
    processing: &'static str,
    created: NaiveDateTime,
    request: i64,
    done: i64,
    failed: i64,
    inputs: i64,
    last: NaiveDateTime,
}

/// Task states by weight.
const STATES: &[(i64, &str)] = &[
    (45, "done"),
    (18, "finished"),
    (14, "running"),
    (6, "failed"),
    (4, "exhausted"),
    (4, "aborted"),
    (3, "broken"),
    (3, "ready"),
    (2, "pending"),
    (1, "scouting"),
];

struct Maker {
    dice: Dice,
    now: NaiveDateTime,
    next: i64,
    archived: Rows,
    active: Rows,
    defined: Rows,
    files: Rows,
    workers: Rows,
    relations: Rows,
    retries: Rows,
}

impl Production {
    /// Throws the dice.
    pub fn new(plan: &Plan) -> Production {
        let mut maker = Maker {
            dice: Dice(plan.seed),
            now: plan.now,
            next: FIRST_JOB,
            archived: Rows::new("jobsarchived4"),
            active: Rows::new("jobsactive4"),
            defined: Rows::new("jobsdefined4"),
            files: Rows::new("filestable4"),
            workers: Rows::new("harvester_workers"),
            relations: Rows::new("harvester_rel_jobs_workers"),
            retries: Rows::new("jedi_job_retry_history"),
        };
        let mut tasks = maker.tasks(plan);
        maker.chains(&mut tasks, plan);
        maker.unfinished(&mut tasks, plan);
        let (tasks, datasets) = maker.task_rows(&tasks);
        let queues = places::queues(plan.now, &mut maker.dice);
        let stats = places::worker_stats(plan.now, &mut maker.dice);
        let largest = maker.next + 2000;
        let Maker { archived, active, defined, files, workers, relations, retries, .. } = maker;
        let batches = vec![
            queues, tasks, datasets, defined, active, archived, files, workers, relations, retries, stats,
        ];
        Production { batches, largest }
    }

    /// Ids stay below this.
    pub fn largest_id(&self) -> i64 {
        self.largest
    }

    pub(super) fn batches(self) -> Vec<Rows> {
        self.batches
    }
}

impl Maker {
    fn tasks(&mut self, plan: &Plan) -> Vec<Task> {
        let count = i64::from((plan.jobs / PER_TASK).max(14));
        let span = i64::from(plan.days) * 86_400;
        let mut out = Vec::new();
        for n in 0..count {
            // Ids grow with time, as in production. The first one is older than the stale rule allows.
            let age = if n == 0 { 75 * 86_400 } else { span * (count - n) / count };
            let created = self.now - TimeDelta::seconds(age);
            let drawn = self.dice.weighted(STATES).copied().unwrap_or("done");
            let status = match n {
                0 => "running",
                n if n + 4 > count => "running",
                _ => drawn,
            };
            out.push(Task {
                id: FIRST_TASK + n,
                status,
                user: self.dice.weighted(USERS).copied().unwrap_or("synthetic-epicprod"),
                processing: if self.dice.chance(70) {
                    "epicproduction"
                } else {
                    "panda-client-1.5.80-jedi-run"
                },
                created,
                request: 1000 + n / 5,
                done: 0,
                failed: 0,
                inputs: 0,
                last: created,
            });
        }
        out
    }

    /// Jobs that ended, each with its further attempts.
    fn chains(&mut self, tasks: &mut [Task], plan: &Plan) {
        let target = usize::try_from(plan.jobs).unwrap_or(usize::MAX);
        let first = self.now - TimeDelta::days(i64::from(plan.days));
        let mut made: i64 = 0;
        while self.archived.rows.len() < target {
            let share = i64::try_from(self.archived.rows.len()).unwrap_or_default() * 1000
                / i64::from(plan.jobs.max(1));
            made += 1;
            let count = tasks.len();
            let position = count * usize::try_from(share).unwrap_or_default() / 1000
                + usize::try_from(self.dice.range(0, 3)).unwrap_or_default();
            let Some(task) = tasks.get_mut(position.min(count.saturating_sub(1))) else { return };
            let begin = task.created.max(first);
            let room = (self.now - begin).num_seconds().max(3600);
            let mut created =
                begin + TimeDelta::seconds(self.dice.range(0, (room - 1800).clamp(1, 2 * 86_400)));
            let (mut origin, mut attempt, mut previous) = (self.next, 1, None);
            task.inputs += 1;
            loop {
                let fault = made % 5 == 0 && attempt < 4 && self.dice.chance(75);
                let end = if fault { self.dice.weighted(FAULTS).unwrap_or(&FINISHED) } else { &FINISHED };
                let Some(job) = self.ended(task, created, attempt, &mut origin, end) else { break };
                task.last = task.last.max(job.modified);
                if let Some(old) = previous {
                    self.retry(&job, old);
                }
                let (id, modified) = (job.id, job.modified);
                self.archive(&job);
                if end.status == "finished" {
                    task.done += 1;
                    break;
                }
                if !end.retried || attempt == 3 || self.dice.chance(12) {
                    task.failed += 1;
                    break;
                }
                previous = Some(id);
                attempt += 1;
                created = modified + TimeDelta::seconds(self.dice.range(30, 900));
            }
        }
    }

    /// A job that ended; none when it would end after now.
    fn ended(
        &mut self,
        task: &Task,
        created: NaiveDateTime,
        attempt: i64,
        origin: &mut i64,
        end: &'static super::jobs::End,
    ) -> Option<Job> {
        let place = places::draw(&mut self.dice)?;
        let begins = created + TimeDelta::seconds(self.dice.range(300, 7200));
        let ends = begins + TimeDelta::seconds(self.dice.range(600, 21_600));
        let modified = ends + TimeDelta::seconds(self.dice.range(30, 900));
        if modified >= self.now {
            return None;
        }
        let id = self.next;
        self.next += 1;
        if attempt == 1 {
            *origin = id;
        }
        Some(Job {
            id,
            origin: *origin,
            attempt,
            task: task.id,
            request: task.request,
            user: task.user,
            processing: task.processing,
            place,
            status: end.status,
            end: Some(end),
            created,
            started: end.started.then_some(begins),
            ended: Some(ends),
            modified,
        })
    }

    fn retry(&mut self, job: &Job, old: i64) {
        self.retries.add(vec![
            ("jeditaskid", job.task.into()),
            ("oldpandaid", old.into()),
            ("newpandaid", job.id.into()),
            ("originpandaid", job.origin.into()),
            ("ins_utc_tstamp", job.created.into()),
            ("relationtype", "retry".into()),
        ]);
    }

    fn archive(&mut self, job: &Job) {
        let row = job.row(&mut self.dice);
        self.archived.add(row);
        self.surroundings(job);
    }

    /// Files and workers, as long as production keeps them.
    fn surroundings(&mut self, job: &Job) {
        if job.modified > self.now - TimeDelta::days(30) {
            for file in job.files(&mut self.dice) {
                self.files.add(file);
            }
        }
        if let Some([worker, relation]) = job.worker() {
            self.workers.add(worker);
            self.relations.add(relation);
        }
    }

    /// Jobs that run, wait for a pilot, or wait for the server.
    fn unfinished(&mut self, tasks: &mut [Task], plan: &Plan) {
        let running = tasks.len().saturating_sub(3);
        let (active, queued) = (plan.jobs / 12, plan.jobs / 25);
        for n in 0..active + queued {
            let at = running + usize::try_from(self.dice.range(0, 2)).unwrap_or_default();
            // A few jobs belong to the old task that is still running.
            let at = if n % 40 == 0 { 0 } else { at };
            let Some(task) = tasks.get_mut(at.min(tasks.len().saturating_sub(1))) else { return };
            let Some(place) = places::draw(&mut self.dice) else { return };
            let states = if n < active { ACTIVE } else { QUEUED };
            let status = self.dice.weighted(states).copied().unwrap_or("activated");
            // One in thirty has been stuck for days.
            let age = if self.dice.chance(3) {
                self.dice.range(200_000, 900_000)
            } else {
                self.dice.range(60, 20_000)
            };
            let modified = self.now - TimeDelta::seconds(age);
            let created = modified - TimeDelta::seconds(self.dice.range(60, 7200));
            let started = matches!(status, "running" | "holding" | "transferring").then_some(modified);
            let id = self.next;
            self.next += 1;
            task.inputs += 1;
            let job = Job {
                id,
                origin: id,
                attempt: 1,
                task: task.id,
                request: task.request,
                user: task.user,
                processing: task.processing,
                place,
                status,
                end: None,
                created,
                started,
                ended: None,
                modified,
            };
            let row = job.row(&mut self.dice);
            if n < active {
                self.active.add(row)
            } else {
                self.defined.add(row)
            }
            self.surroundings(&job);
        }
    }

    fn task_rows(&mut self, tasks: &[Task]) -> (Rows, Rows) {
        let (mut rows, mut datasets) = (Rows::new("jedi_tasks"), Rows::new("jedi_datasets"));
        let dialogs: BTreeMap<&str, &str> = [
            ("broken", "synthetic: input dataset is unknown"),
            ("exhausted", "synthetic: too many failed jobs while scouting"),
            ("aborted", "synthetic: killed by its owner"),
        ]
        .into();
        for task in tasks {
            let n = task.id - FIRST_TASK;
            let name = format!(
                "synthetic.26.02.0.epic_craterlake.p{}.e{}.s1.r1_{}",
                1001 + n % 4,
                1 + n % 3,
                task.id
            );
            let terminal = matches!(task.status, "done" | "finished" | "failed" | "aborted" | "broken");
            let touched =
                if terminal { task.last } else { self.now - TimeDelta::seconds(self.dice.range(30, 3600)) };
            rows.add(vec![
                ("jeditaskid", task.id.into()),
                ("taskname", name.into()),
                ("status", task.status.into()),
                ("username", task.user.into()),
                ("creationdate", task.created.into()),
                ("starttime", (task.created + TimeDelta::seconds(1200)).into()),
                ("endtime", terminal.then_some(task.last).into()),
                ("modificationtime", touched.into()),
                ("realmodificationtime", task.last.into()),
                ("statechangetime", task.last.into()),
                ("reqid", task.request.into()),
                ("processingtype", task.processing.into()),
                ("transpath", "runGen-00-00-02".into()),
                ("progress", Value::Null),
                ("failurerate", Value::Null),
                ("errordialog", dialogs.get(task.status).copied().into()),
                ("site", Value::Null),
                ("corecount", 8.into()),
                ("taskpriority", 900.into()),
                ("currentpriority", 900.into()),
                ("gshare", "EIC".into()),
                ("attemptnr", 1.into()),
                ("parent_tid", task.id.into()),
                ("workinggroup", (task.user != "synthetic-pilot").then_some("EIC").into()),
                ("prodsourcelabel", "test".into()),
                ("vo", "epic".into()),
            ]);
            for (at, kind) in ["input", "log", "output"].into_iter().enumerate() {
                let at = i64::try_from(at).unwrap_or_default();
                let counted = i64::from(kind == "input");
                datasets.add(vec![
                    ("jeditaskid", task.id.into()),
                    ("datasetid", (task.id * 10 + at).into()),
                    ("datasetname", format!("epic:synthetic.{kind}.{}", task.id).into()),
                    ("type", kind.into()),
                    ("masterid", (kind != "input").then_some(task.id * 10).into()),
                    ("status", "ready".into()),
                    ("nfiles", task.inputs.into()),
                    ("nfilestobeused", task.inputs.into()),
                    ("nfilesused", task.inputs.into()),
                    ("nfilesfinished", (counted * task.done).into()),
                    ("nfilesfailed", (counted * task.failed).into()),
                    ("nfilesonhold", 0.into()),
                ]);
            }
        }
        (rows, datasets)
    }
}
