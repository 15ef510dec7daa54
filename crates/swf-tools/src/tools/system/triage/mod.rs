//! `swf_triage`

mod checks;

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// What is wrong right now, worst first, with evidence and the next call for each. Start here. Works also when broker or database is down.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Triage {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// How far to look back; 24 when left out.
    #[schemars(range(min = 1, max = 168))]
    pub hours: Option<i64>,
}

/// What is wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Findings {
    time: Iso,
    /// ok, degraded or broken.
    state: &'static str,
    problems: Vec<Problem>,
    /// Lesser problems that were left out.
    more: usize,
    /// Sources that did not answer, so nothing is known of them.
    dark: Vec<Dark>,
    /// What was looked at and found in order.
    fine: Vec<&'static str>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing works without it.
    Critical,
    /// Something failed.
    Error,
    /// May become an error.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem {
    severity: Severity,
    what: String,
    since: Option<Iso>,
    count: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Next>,
}

/// The call that shows more, or helps.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Next {
    tool: &'static str,
    arguments: Map<String, Value>,
}

/// A source that did not answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dark {
    source: &'static str,
    why: String,
}

/// Problems shown; with their evidence they stay below 1,500 tokens.
const SHOWN: usize = 7;
/// Lines of evidence for each problem, and characters of each line.
const LINES: usize = 3;
const LINE: usize = 110;
/// Where agents, executions, files and logs are.
const RECORD: &str = "database of record";
/// No check may hold up the answer for longer.
const PATIENCE: Duration = Duration::from_secs(8);

impl Problem {
    fn new(severity: Severity, count: i64, what: impl Into<String>) -> Problem {
        Problem { severity, what: what.into(), since: None, count, evidence: Vec::new(), next: None }
    }

    fn since(mut self, time: Option<DateTime<Utc>>) -> Problem {
        self.since = time.map(Iso);
        self
    }

    fn evidence(mut self, lines: impl IntoIterator<Item = String>) -> Problem {
        self.evidence = lines.into_iter().take(LINES).map(|l| shorten(&l)).collect();
        self
    }

    fn next(mut self, tool: &'static str, arguments: &[(&str, Value)]) -> Problem {
        let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.next = Some(Next { tool, arguments });
        self
    }
}

fn shorten(line: &str) -> String {
    line.chars().take(LINE).collect()
}

/// What one look is limited to.
struct Look<'a> {
    cx: &'a Cx,
    namespace: Option<&'a str>,
    since: DateTime<Utc>,
}

impl Tool for Triage {
    const NAME: &'static str = "swf_triage";
    const TITLE: &'static str = "Triage";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = "{}";
    type Output = Findings;

    async fn run(self, cx: &Cx) -> Result<Findings, Error> {
        let look = Look {
            cx,
            namespace: self.namespace.as_deref(),
            since: cx.now - TimeDelta::hours(self.hours.unwrap_or(24)),
        };
        let (agents, executions, failed, errors, files, letters, panda) = tokio::join!(
            patient(checks::agents(&look)),
            patient(checks::executions(&look)),
            patient(checks::failed(&look)),
            patient(checks::errors(&look)),
            patient(checks::files(&look)),
            patient(checks::letters(&look)),
            patient(checks::panda(&look)),
        );
        let results = [
            ("broker", Ok(checks::broker(cx))),
            ("running executions", executions),
            ("agents", agents),
            ("failed executions", failed),
            ("error logs", errors),
            ("files and slices", files),
            ("dead letters", letters),
            ("PanDA database", panda),
        ];
        Ok(findings(cx, results))
    }
}

async fn patient<T>(check: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || Error::Unavailable { what: format!("no answer within {} s", PATIENCE.as_secs()) };
    tokio::time::timeout(PATIENCE, check).await.unwrap_or_else(|_| Err(late()))
}

fn findings<const N: usize>(cx: &Cx, results: [(&'static str, Result<Vec<Problem>, Error>); N]) -> Findings {
    let (mut problems, mut dark, mut fine) = (Vec::new(), checks::unconfigured(cx), Vec::new());
    for (source, result) in results {
        match result {
            Ok(none) if none.is_empty() && !dark.iter().any(|d| d.source == source) => fine.push(source),
            Ok(some) => problems.extend(some),
            Err(e) => {
                let why = shorten(&e.to_string());
                // A database that is down is one fact, not seven.
                let source = if source == "running executions" { RECORD } else { source };
                if !dark.iter().any(|d| d.why == why) {
                    dark.push(Dark { source, why });
                }
            }
        }
    }
    if dark.iter().any(|d| d.source == RECORD) {
        let what = "the database of record cannot be read: agents, executions, files and logs are dark";
        problems.push(Problem::new(Severity::Critical, 1, what));
    }
    // Stable: within one severity what stops the work comes before what it leaves behind.
    problems.sort_by_key(|p| p.severity);
    let state = match problems.first().map(|p| p.severity) {
        Some(Severity::Critical) => "broken",
        Some(_) => "degraded",
        None => "ok",
    };
    let more = problems.len().saturating_sub(SHOWN);
    problems.truncate(SHOWN);
    Findings { time: Iso(cx.now), state, problems, more, dark, fine }
}
