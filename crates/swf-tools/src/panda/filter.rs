//! Windows and filters that the tools share, and the statements made from them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use swf_db::{Engine, Sql, Value};

use super::errors::COMPONENTS;
use super::hours::Used;
use super::schema::{SCHEMA, Table};
use super::{Catalog, Panda};
use crate::Error;

/// Jobs that wait or run.
pub const LIVE: [&str; 2] = ["jobsdefined4", "jobsactive4"];
/// All jobs that production keeps at hand.
pub const ALL: [&str; 3] = ["jobsdefined4", "jobsactive4", "jobsarchived4"];
/// Jobs that may have ended.
pub const ENDED: [&str; 2] = ["jobsactive4", "jobsarchived4"];
/// Ends that are not success.
pub const FAULTY: [&str; 3] = ["failed", "cancelled", "closed"];

/// The furthest that a window reaches back: production archives after a year.
const DAYS_MAX: f64 = 400.0;

/// A time window in PanDA's naive UTC: start included, end excluded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Earliest time.
    pub start: NaiveDateTime,
    /// First time that is too late; `None` for up to now.
    pub end: Option<NaiveDateTime>,
    /// The call named its own window.
    pub given: bool,
}

impl Window {
    /// `start_time` and `end_time` if given, else `days` back from now (or from the end).
    pub fn read(
        now: DateTime<Utc>,
        days: Option<f64>,
        default: f64,
        start: Option<&str>,
        end: Option<&str>,
    ) -> Result<Window, Error> {
        let given = days.is_some() || start.is_some() || end.is_some();
        let days = days.unwrap_or(default);
        if !(0.0..=DAYS_MAX).contains(&days) {
            return Err(Error::invalid("days", format!("{days} is not between 0 and {DAYS_MAX}")));
        }
        let end = end.map(|t| time("end_time", t)).transpose()?;
        let back = TimeDelta::milliseconds((days * 86_400_000.0) as i64);
        let start = match start {
            Some(text) => time("start_time", text)?,
            None => end.unwrap_or(now.naive_utc()) - back,
        };
        if let Some(end) = end.filter(|end| start >= *end) {
            return Err(Error::invalid("start_time", format!("{start} is not before end_time {end}")));
        }
        if now.naive_utc() - start > TimeDelta::days(DAYS_MAX as i64 + 366) {
            return Err(Error::invalid(
                "start_time",
                format!("{start} is further back than PanDA keeps jobs at hand"),
            ));
        }
        Ok(Window { start, end, given })
    }

    /// Hours from start to end or `now`.
    pub fn hours(&self, now: DateTime<Utc>) -> f64 {
        (self.end.unwrap_or(now.naive_utc()) - self.start).num_seconds() as f64 / 3600.0
    }

    /// Limits a time column.
    pub fn limit(&self, sql: &mut Sql, column: &str) {
        sql.and(&format!("{column} >= ?"), [self.start.into()]);
        if let Some(end) = self.end {
            sql.and(&format!("{column} < ?"), [end.into()]);
        }
    }
}

/// An ISO 8601 time; without offset it is UTC, as PanDA's times are.
pub fn time(field: &str, text: &str) -> Result<NaiveDateTime, Error> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.naive_utc());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0)))
        .ok_or_else(|| {
            Error::invalid(field, format!("'{text}' is not an ISO 8601 time such as 2026-07-01T00:00:00Z"))
        })
}

/// Absent and empty mean the same.
pub fn given(text: Option<&String>) -> Option<&str> {
    text.map(|t| t.trim()).filter(|t| !t.is_empty())
}

/// Absent and zero mean the same, as ids start at one.
pub fn given_id(id: Option<i64>) -> Option<i64> {
    id.filter(|id| *id != 0)
}

/// The rows asked for, within bounds.
pub fn limit(asked: Option<i64>, default: i64, maximum: i64) -> Result<i64, Error> {
    match asked {
        None => Ok(default),
        Some(n) if (1..=maximum).contains(&n) => Ok(n),
        Some(n) => Err(Error::invalid("limit", format!("{n} is not between 1 and {maximum}"))),
    }
}

/// A text filter: equal, or `LIKE` when the value has a `%` (case-sensitive on both engines).
pub fn matches(engine: Engine, column: &str, value: &str) -> (String, Value) {
    if !value.contains('%') {
        return (format!("{column} = ?"), value.into());
    }
    match engine {
        Engine::Postgres => (format!("{column} LIKE ?"), sound(value).into()),
        Engine::Sqlite => (format!("{column} GLOB ?"), glob(value).into()),
    }
}

/// A `LIKE` pattern that does not end in a lone backslash, which PostgreSQL refuses.
fn sound(pattern: &str) -> String {
    let trailing = pattern.chars().rev().take_while(|c| *c == '\\').count();
    if trailing % 2 == 1 { format!("{pattern}\\") } else { pattern.to_owned() }
}

/// The same pattern for SQLite's case-sensitive `GLOB`.
fn glob(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    let literal = |c: char, out: &mut String| match c {
        '*' | '?' | '[' => {
            out.push('[');
            out.push(c);
            out.push(']');
        }
        c => out.push(c),
    };
    while let Some(c) = chars.next() {
        match c {
            '%' => out.push('*'),
            '_' => out.push('?'),
            '\\' => literal(chars.next().unwrap_or('\\'), &mut out),
            c => literal(c, &mut out),
        }
    }
    out
}

/// Whether a text matches a filter, for what is filtered here and not in the database.
pub fn like(value: &str, text: &str) -> bool {
    Matcher::new(value).fits(text)
}

/// A text filter for what is filtered here and not in the database.
pub enum Matcher {
    /// The same text.
    Equal(String),
    /// A pattern.
    Like(regex::Regex),
    /// A pattern too large to be one: matches nothing.
    Nothing,
}

impl Matcher {
    /// Equal, or like when the value has a `%`.
    pub fn new(value: &str) -> Matcher {
        match value.contains('%') {
            true => pattern(value).map_or(Matcher::Nothing, Matcher::Like),
            false => Matcher::equal(value),
        }
    }

    /// Equal.
    pub fn equal(value: &str) -> Matcher {
        Matcher::Equal(value.to_owned())
    }

    /// Whether a text fits.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Matcher::Equal(value) => value == text,
            Matcher::Like(pattern) => pattern.is_match(text),
            Matcher::Nothing => false,
        }
    }
}

fn pattern(value: &str) -> Option<regex::Regex> {
    let (mut pattern, mut chars) = (String::from("(?s)^"), value.chars());
    while let Some(c) = chars.next() {
        match c {
            '%' => pattern.push_str(".*"),
            '_' => pattern.push('.'),
            '\\' => pattern.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            c => pattern.push_str(&regex::escape(&c.to_string())),
        }
    }
    pattern.push('$');
    regex::Regex::new(&pattern).ok()
}

/// Which jobs a question is about.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Time of last change; `None` for any time.
    pub window: Option<Window>,
    /// Only these states; empty for all.
    pub statuses: Vec<String>,
    /// Owner.
    pub username: Option<String>,
    /// Queue.
    pub site: Option<String>,
    /// Task.
    pub taskid: Option<i64>,
    /// Request.
    pub reqid: Option<i64>,
    /// Working group.
    pub workinggroup: Option<String>,
    /// Storage element that one of the job's files goes to.
    pub destinationse: Option<String>,
    /// Prefix of the error columns whose code must not be zero.
    pub component: Option<&'static str>,
    /// A code that one component (or the component above) must have.
    pub error_code: Option<i64>,
    /// Exit code of the payload, as executor code or as text.
    pub exit_code: Option<String>,
    /// Leave out failures whose work was done by a later attempt.
    pub exclude_retried: bool,
    /// What the answer took from memory.
    pub used: Used,
}

impl JobFilter {
    /// ` WHERE …` for one job table, within a part of the window.
    pub fn conditions(&self, engine: Engine, window: Option<Window>) -> Sql {
        let mut sql = Sql::new("");
        if let Some(window) = &window {
            window.limit(&mut sql, "modificationtime");
        }
        match self.statuses.as_slice() {
            [] => {}
            [one] => {
                sql.and("jobstatus = ?", [one.as_str().into()]);
            }
            many => {
                sql.and_in("jobstatus", many.iter().map(|s| s.as_str().into()));
            }
        }
        for (column, value) in [("produsername", &self.username), ("computingsite", &self.site)] {
            if let Some(value) = value {
                let (condition, value) = matches(engine, column, value);
                sql.and(&condition, [value]);
            }
        }
        sql.filter("jeditaskid = ?", self.taskid).filter("reqid = ?", self.reqid);
        sql.filter("workinggroup = ?", self.workinggroup.as_deref());
        self.error_conditions(&mut sql);
        if let Some(storage) = &self.destinationse {
            let (condition, value) = matches(engine, "f.destinationse", storage);
            let mut files =
                format!("pandaid IN (SELECT f.pandaid FROM {SCHEMA}.filestable4 f WHERE {condition}");
            let mut values = vec![value];
            // Rows of ended jobs carry the job's own last change, so the window prunes their partitions.
            if let Some(window) = &self.window {
                files.push_str(" AND f.modificationtime >= ?");
                values.push(window.start.into());
            }
            files.push(')');
            sql.and(&files, values);
        }
        if self.exclude_retried {
            let since = self.window.map(|w| w.start - TimeDelta::hours(1));
            let (condition, values) = retried(since);
            sql.and(&format!("pandaid NOT IN ({condition})"), values);
        }
        sql
    }

    fn error_conditions(&self, sql: &mut Sql) {
        match (self.component, self.error_code) {
            (Some(prefix), None) => {
                sql.and(&format!("{prefix}errorcode <> 0"), []);
            }
            (Some(prefix), Some(code)) => {
                sql.and(&format!("{prefix}errorcode = ?"), [code.into()]);
            }
            (None, Some(code)) => {
                let any: Vec<String> = COMPONENTS.iter().map(|(_, p)| format!("{p}errorcode = ?")).collect();
                sql.and(&format!("({})", any.join(" OR ")), COMPONENTS.map(|_| code.into()));
            }
            (None, None) => {}
        }
        if let Some(exit) = &self.exit_code {
            let number: i64 = exit.parse().unwrap_or(i64::MIN);
            sql.and("(transexitcode = ? OR exeerrorcode = ?)", [exit.as_str().into(), number.into()]);
        }
    }

    /// One statement over several job tables: `one` makes each table's part from its conditions.
    pub fn union(
        &self,
        panda: &Panda,
        tables: &[&'static Table],
        one: impl Fn(&'static Table, Sql) -> Sql,
    ) -> Sql {
        self.union_over(tables, &[self.window], |table, window| {
            one(table, self.conditions(panda.db().engine(), window))
        })
    }

    /// The same, of the archive only some stretches of the window: the rest is remembered. One statement sees
    /// one moment, so a job that is being archived is counted once.
    pub fn union_over(
        &self,
        tables: &[&'static Table],
        archived: &[Option<Window>],
        one: impl Fn(&'static Table, Option<Window>) -> Sql,
    ) -> Sql {
        let mut sql = Sql::new("");
        for table in tables {
            let whole = [self.window];
            let windows = if table.name == "jobsarchived4" { archived } else { &whole };
            for window in windows {
                let part = one(table, *window);
                sql.push(if sql.text().is_empty() { "" } else { "UNION ALL" }, []);
                sql.push(part.text(), part.values().to_vec());
            }
        }
        sql
    }

    /// The window, when closed hours know all that this filter asks for besides errors and storage.
    pub fn remembered(&self) -> Option<Window> {
        self.window.filter(|_| self.exit_code.is_none() && !self.exclude_retried)
    }

    /// The same for counts, which know nothing of errors.
    pub fn remembered_counts(&self) -> Option<Window> {
        let errors = self.component.is_some() || self.error_code.is_some() || self.destinationse.is_some();
        self.remembered().filter(|_| !errors)
    }

    /// Refuses when a table that a filter looks into cannot be read.
    pub fn check(&self, catalog: &Catalog) -> Result<(), Error> {
        if self.destinationse.is_some() {
            catalog.need("filestable4")?;
        }
        if self.exclude_retried {
            catalog.need("jedi_job_retry_history")?;
        }
        Ok(())
    }
}

/// Ids of failed jobs whose chain of attempts ended well. A retry is noted after the failure, so a failure of
/// the window has its retry in the window too.
fn retried(since: Option<NaiveDateTime>) -> (String, Vec<Value>) {
    let time = |alias: &str, column: &str| match since {
        Some(_) => format!(" AND {alias}.{column} >= ?"),
        None => String::new(),
    };
    let text = format!(
        "SELECT old.oldpandaid FROM {SCHEMA}.jedi_job_retry_history old WHERE old.relationtype = 'retry'{} \
         AND old.originpandaid IN (SELECT new.originpandaid FROM {SCHEMA}.jedi_job_retry_history new \
         JOIN {SCHEMA}.jobsarchived4 good ON good.pandaid = new.newpandaid AND good.jobstatus = 'finished'{} \
         WHERE new.relationtype = 'retry' AND new.originpandaid IS NOT NULL{})",
        time("old", "ins_utc_tstamp"),
        time("good", "modificationtime"),
        time("new", "ins_utc_tstamp"),
    );
    (text, since.map(|t| vec![t.into(); 3]).unwrap_or_default())
}

/// The component asked for by its tool name.
pub fn component(field: &str, name: Option<&str>) -> Result<Option<(&'static str, &'static str)>, Error> {
    let Some(name) = name else { return Ok(None) };
    let found = COMPONENTS.into_iter().find(|(tool, _)| *tool == name);
    if found.is_none() {
        let names = COMPONENTS.map(|(tool, _)| tool);
        return Err(Error::invalid(
            field,
            format!("'{name}' is not a component{}", crate::args::choices(name, &names)),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_makes_a_pattern_and_patterns_mean_the_same_everywhere() {
        assert_eq!(matches(Engine::Postgres, "a", "x_y").0, "a = ?");
        assert_eq!(matches(Engine::Sqlite, "a", "NERSC_P%").1, Value::Text("NERSC?P*".into()));
        assert_eq!(matches(Engine::Sqlite, "a", r"50\% [a]*%").1, Value::Text("50% [[]a][*]*".into()));
        assert_eq!(matches(Engine::Postgres, "a", r"a%\").1, Value::Text(r"a%\\".into()));
        assert!(like("NERSC%", "NERSC_Perlmutter") && !like("nersc%", "NERSC_Perlmutter"));
        assert!(like("a_c%", "abc") && !like("a_c%", "ac"));
        assert!(like("E1_BNL", "E1_BNL") && !like("E1", "E1_BNL"));
    }

    #[test]
    fn a_window_has_a_start_before_its_end() {
        let now: DateTime<Utc> = "2026-07-10T12:00:00Z".parse().unwrap();
        let w = Window::read(now, Some(0.5), 7.0, None, None).unwrap();
        assert_eq!((w.start.to_string().as_str(), w.end), ("2026-07-10 00:00:00", None));
        let w = Window::read(now, None, 7.0, Some("2026-06-01"), Some("2026-07-01T02:00:00+02:00")).unwrap();
        assert_eq!(w.end.map(|e| e.to_string()).as_deref(), Some("2026-07-01 00:00:00"));
        assert!(Window::read(now, None, 7.0, Some("2026-07-02"), Some("2026-07-01")).is_err());
        assert!(Window::read(now, Some(-1.0), 7.0, None, None).is_err());
        assert!(Window::read(now, Some(f64::NAN), 7.0, None, None).is_err());
        assert!(Window::read(now, Some(1e9), 7.0, None, None).is_err());
    }

    #[test]
    fn unknown_components_are_named_with_the_known_ones() {
        assert!(
            component("error_source", Some("pilto"))
                .unwrap_err()
                .to_string()
                .contains("did you mean 'pilot'")
        );
        assert_eq!(component("error_source", Some("executor")).unwrap(), Some(("executor", "exe")));
    }
}
