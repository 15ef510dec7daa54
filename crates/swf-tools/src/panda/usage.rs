//! Core-hours: one pass, added up here by queue, owner, kind of resource and time bucket.

use std::collections::{BTreeMap, HashMap};

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use serde_json::{Map, Value, json};
use swf_db::{Engine, Sql};

use super::answer::{int, real, round, share, text};
use super::counts::{day, hour, rows_of};
use super::filter::{ENDED, JobFilter, Window};
use super::hours::{Covered, Hour, Picks, Work};
use super::schema::{SCHEMA, Table};
use super::{Catalog, Panda};
use crate::Error;

/// Sums of a group of jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Jobs.
    pub jobs: i64,
    /// Core-seconds of the slots.
    pub allocated: f64,
    /// CPU seconds used.
    pub used: f64,
    /// Seconds from start to end.
    pub wall: f64,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        self.jobs += other.jobs;
        self.allocated += other.allocated;
        self.used += other.used;
        self.wall += other.wall;
    }
}

impl Sums {
    /// Hours with one decimal, as the original prints them.
    pub fn json(&self) -> Map<String, Value> {
        let hours = |seconds: f64| json!(round(seconds / 3600.0, 1));
        let mut out = Map::new();
        out.insert("job_count".into(), json!(self.jobs));
        out.insert("allocated_core_hours".into(), hours(self.allocated));
        out.insert("used_core_hours".into(), hours(self.used));
        out.insert("wall_hours".into(), hours(self.wall));
        out
    }

    /// Used over allocated; null when nothing was allocated.
    pub fn efficiency(&self) -> Value {
        json!(share(self.used, self.allocated, 3))
    }
}

/// Jobs with the same keys.
#[derive(Debug, Clone)]
pub struct Group {
    /// Finished, or failed, cancelled and closed.
    pub good: bool,
    /// Queue.
    pub site: Option<String>,
    /// Owner.
    pub user: Option<String>,
    /// Kind of resource.
    pub resource: Option<String>,
    /// Start of the time bucket; empty when none was asked for.
    pub bucket: String,
    /// The sums.
    pub sums: Sums,
}

/// Length of a time bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// One hour.
    Hour,
    /// One day, UTC.
    Day,
    /// Monday to Sunday, UTC.
    Week,
    /// A calendar month, UTC.
    Month,
}

impl Bucket {
    /// The bucket's start as text in SQL; weeks and months are made from days.
    pub fn expression(self, engine: Engine, column: &str) -> String {
        match self {
            Bucket::Hour => hour(engine, column),
            _ => day(engine, column),
        }
    }

    /// The start of the bucket that a text of [`Bucket::expression`] belongs to.
    pub fn start(self, text: &str) -> String {
        if self == Bucket::Hour {
            return format!("{text}:00:00");
        }
        let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") else { return text.to_owned() };
        let date = match self {
            Bucket::Week => date - TimeDelta::days(i64::from(date.weekday().num_days_from_monday())),
            Bucket::Month => date.with_day(1).unwrap_or(date),
            _ => date,
        };
        date.to_string()
    }

    /// As [`Bucket::all`]; an error when they are more than `most`.
    pub fn few(self, from: NaiveDateTime, to: NaiveDateTime, most: usize) -> Result<Vec<String>, Error> {
        let starts = self.all(from, to);
        if starts.len() <= most {
            return Ok(starts);
        }
        let why =
            format!("{} buckets are more than {most}: take longer ones or a shorter window", starts.len());
        Err(Error::invalid("bucket", why))
    }

    /// The starts of all buckets from one time to another, for series without holes.
    pub fn all(self, from: NaiveDateTime, to: NaiveDateTime) -> Vec<String> {
        let (mut at, mut out) = (from, Vec::new());
        let step = if self == Bucket::Hour { TimeDelta::hours(1) } else { TimeDelta::days(1) };
        let form = if self == Bucket::Hour { "%Y-%m-%dT%H" } else { "%Y-%m-%d" };
        let mut last = self.start(&to.format(form).to_string());
        while at < to {
            let start = self.start(&at.format(form).to_string());
            if out.last() != Some(&start) {
                out.push(start);
            }
            at += step;
        }
        if out.last() != Some(&last) && to > from {
            out.push(std::mem::take(&mut last));
        }
        out
    }
}

/// What a job cost, in SQL.
pub(super) struct Expressions {
    /// Seconds from start to end.
    pub wall: String,
    /// Cores of the slot.
    pub cores: String,
    /// CPU seconds.
    pub cpu: &'static str,
}

pub(super) fn expressions(panda: &Panda, catalog: &Catalog, table: &Table) -> Expressions {
    let seconds = match panda.db().engine() {
        Engine::Postgres => "date_part('epoch', endtime - starttime)",
        Engine::Sqlite => "(unixepoch(endtime, 'subsec') - unixepoch(starttime, 'subsec'))",
    };
    let actual =
        if catalog.has(table.name, "actualcorecount") { "NULLIF(actualcorecount, 0)" } else { "NULL" };
    Expressions {
        // A clock that ran backwards gives a job no negative time.
        wall: format!("CASE WHEN endtime > starttime THEN {seconds} ELSE 0 END"),
        cores: format!("COALESCE({actual}, NULLIF(corecount, 0), 1)"),
        cpu: "CAST(cpuconsumptiontime AS double precision)",
    }
}

/// Sums over jobs that ran and ended. With a window of its own (`by_end`) a job counts when it ended in the
/// window; else when it was last changed in it, as the original counts.
pub async fn usage(
    panda: &Panda,
    catalog: &Catalog,
    filter: &JobFilter,
    window: Window,
    by_end: bool,
    bucket: Option<Bucket>,
) -> Result<Vec<Group>, Error> {
    // A job's last change is not before its end, so its start prunes partitions in both cases.
    let limits = if by_end { Window { end: None, ..window } } else { window };
    let filter = JobFilter { window: Some(limits), ..filter.clone() };
    filter.check(catalog)?;
    let (tables, _) = catalog.usable(&ENDED)?;
    // Closed hours go by the last change.
    let covered = match filter.remembered_counts().filter(|_| !by_end) {
        Some(window) => panda.hours().work.cover(panda, catalog, window, &filter.used).await,
        None => Covered::direct(filter.window),
    };
    let time = if by_end { "endtime" } else { "modificationtime" };
    let sql = filter.union_over(&tables, &covered.live, |table, part| {
        let mut conditions = filter.conditions(panda.db().engine(), part);
        conditions.and("jobstatus IN ('finished', 'failed', 'cancelled', 'closed')", []);
        conditions.and("starttime >= '1971-01-01' AND endtime IS NOT NULL", []);
        if by_end {
            window.limit(&mut conditions, "endtime");
        }
        let mut sql = select(panda, catalog, table, bucket.map(|b| (b, time)));
        sql.push(conditions.text(), conditions.values().to_vec());
        sql.push("GROUP BY 1, 2, 3, 4, 5", []);
        sql
    });
    let rows = rows_of(panda, &sql).await?;
    let group = |row: swf_db::Row| Group {
        good: int(&row, "good") == 1,
        site: text(&row, "computingsite"),
        user: text(&row, "produsername"),
        resource: text(&row, "resource_type"),
        bucket: bucket.map_or(String::new(), |b| b.start(&text(&row, "bucket").unwrap_or_default())),
        sums: Sums {
            jobs: int(&row, "n"),
            allocated: real(&row, "allocated"),
            used: real(&row, "used"),
            wall: real(&row, "wall"),
        },
    };
    let mut groups: Vec<Group> = rows.into_iter().map(group).collect();
    let picks = Picks::new(&filter);
    for hour in &covered.hours {
        remembered(hour, &picks, bucket, &mut groups);
    }
    Ok(groups)
}

fn select(panda: &Panda, catalog: &Catalog, table: &Table, bucket: Option<(Bucket, &str)>) -> Sql {
    let engine = panda.db().engine();
    let bucket = bucket.map_or("''".to_owned(), |(b, time)| b.expression(engine, time));
    let x = expressions(panda, catalog, table);
    let resource = catalog.column(table, "resource_type", panda.is_postgres());
    Sql::new(format!(
        "SELECT CASE WHEN jobstatus = 'finished' THEN 1 ELSE 0 END AS good, computingsite, produsername, {resource}, \
         {bucket} AS bucket, count(*) AS n, sum({wall} * {cores}) AS allocated, sum({cpu}) AS used, sum({wall}) AS wall \
         FROM {SCHEMA}.{table}",
        wall = x.wall,
        cores = x.cores,
        cpu = x.cpu,
        table = table.name
    ))
}

/// Adds the groups of a closed hour.
fn remembered(hour: &Hour<Work>, picks: &Picks, bucket: Option<Bucket>, groups: &mut Vec<Group>) {
    let start = bucket.map_or(String::new(), |b| {
        let form = if b == Bucket::Hour { "%Y-%m-%dT%H" } else { "%Y-%m-%d" };
        b.start(&hour.start.format(form).to_string())
    });
    let mut places = picks.of(hour);
    let mut sums: HashMap<(bool, u32, u32, u32), Sums> = HashMap::new();
    for cell in hour.cells.iter().filter(|c| c.ran.0 > 0 && places.wants(&c.place)) {
        let good = match hour.word(cell.place.status) {
            Some("finished") => true,
            Some("failed" | "cancelled" | "closed") => false,
            _ => continue,
        };
        *sums.entry((good, cell.place.site, cell.place.user, cell.resource)).or_default() += cell.sums();
    }
    let word = |number| hour.word(number).map(str::to_owned);
    groups.extend(sums.into_iter().map(|((good, site, user, resource), sums)| Group {
        good,
        site: word(site),
        user: word(user),
        resource: word(resource),
        bucket: start.clone(),
        sums,
    }));
}

/// Adds up.
pub fn total<'a>(groups: impl Iterator<Item = &'a Group>) -> Sums {
    let mut out = Sums::default();
    for group in groups {
        out += group.sums;
    }
    out
}

/// Rows by one key, most allocated first; the key stands where the original has it, efficiency after it.
pub fn by<'a>(
    name: &str,
    groups: impl Iterator<Item = &'a Group>,
    key: impl Fn(&Group) -> Option<String>,
) -> Vec<Map<String, Value>> {
    let mut sums: BTreeMap<Option<String>, Sums> = BTreeMap::new();
    for group in groups {
        *sums.entry(key(group)).or_default() += group.sums;
    }
    let mut rows: Vec<(Option<String>, Sums)> = sums.into_iter().collect();
    rows.sort_by(|a, b| b.1.allocated.total_cmp(&a.1.allocated).then_with(|| a.0.cmp(&b.0)));
    rows.into_iter()
        .map(|(key, sums)| {
            let mut row = sums.json();
            row.insert(name.into(), json!(key));
            row.insert("efficiency".into(), sums.efficiency());
            row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_start_where_calendars_say() {
        assert_eq!(Bucket::Week.start("2026-07-05"), "2026-06-29");
        assert_eq!(Bucket::Month.start("2026-07-31"), "2026-07-01");
        assert_eq!(Bucket::Hour.start("2026-07-31T07"), "2026-07-31T07:00:00");
        let from = NaiveDate::from_ymd_opt(2026, 6, 29).unwrap().and_hms_opt(23, 30, 0).unwrap();
        let days = Bucket::Day.all(from, from + TimeDelta::hours(25));
        assert_eq!(days, ["2026-06-29", "2026-06-30", "2026-07-01"]);
        assert_eq!(Bucket::Hour.all(from, from + TimeDelta::hours(1)).len(), 2);
        assert_eq!(Bucket::Month.all(from, from + TimeDelta::days(2)), ["2026-06-01", "2026-07-01"]);
    }
}
