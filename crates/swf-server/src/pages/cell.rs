//! Values of answers as people read them: times with zone and age, badges, links to the record they name.

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Map, Value};
use swf_tools::links::encode;

use super::visit::link;

/// Characters of a text that a table shows before it must be opened.
const SHORT: usize = 200;

/// A value, ready to be shown.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cell {
    /// `text`, `number`, `badge`, `time`, `long`, `json` or `none`.
    pub kind: &'static str,
    /// What is shown.
    pub text: String,
    /// Where it leads; empty for nowhere.
    pub href: String,
    /// Colour of a badge: `ok`, `warn`, `bad` or empty.
    pub class: &'static str,
    /// The value in full or in another form; empty when there is none.
    pub title: String,
    /// Age of a time.
    pub age: String,
}

/// How values are shown: from where links start, what time it is, and in which zone.
#[derive(Debug, Clone)]
pub struct Look {
    /// Start of every link.
    pub root: String,
    /// Now.
    pub now: DateTime<Utc>,
    /// Zone of times.
    pub zone: Tz,
}

/// Which page a field's value names; `{}` stands for the value.
const PAGES_OF: &[(&[&str], &str)] = &[
    (&["namespace"], "/workflow/namespaces/{}/"),
    (&["execution_id"], "/workflow-executions/{}/"),
    (&["run_number", "run_id"], "/runs/{}/"),
    (
        &["sender_agent", "recipient_agent", "instance_name", "assigned_worker", "agent_name", "runner"],
        "/workflow/agents/{}/",
    ),
    (&["stf_filename", "stf_file"], "/stf-files/{}/"),
    (&["tf_filename", "current_tf"], "/tf-slices/?tf_filename={}"),
    (&["message_id"], "/workflow/messages/{}/"),
    (&["workflow_name"], "/workflow-definitions/?workflow_name={}"),
    (&["pandaid", "representative_pandaids"], "/panda/jobs/{}/"),
    (&["jeditaskid"], "/panda/tasks/{}/"),
    (&["computingsite", "panda_queue"], "/panda/epic-queues/{}/"),
    (&["produsername"], "/panda/jobs/?username={}"),
];

const STATES: &[&str] = &[
    "status",
    "state",
    "level",
    "levelname",
    "operational_state",
    "jobstatus",
    "phase",
    "current_status",
    "old_status",
    "new_status",
    "old_state",
    "new_state",
    "severity",
];

const GOOD: &[&str] = &[
    "ok",
    "running",
    "ready",
    "completed",
    "finished",
    "done",
    "processed",
    "online",
    "active",
    "healthy",
    "success",
    "locked",
    "good",
    "yes",
];
const DOUBTFUL: &[&str] = &[
    "warning",
    "warn",
    "pending",
    "queued",
    "processing",
    "paused",
    "terminated",
    "holding",
    "starting",
    "unknown",
    "stale",
    "degraded",
    "exited",
    "cancelled",
    "closed",
    "brokeroff",
    "test",
    "draft",
    "throttled",
];
const BAD: &[&str] = &[
    "error",
    "critical",
    "failed",
    "broken",
    "aborted",
    "fatal",
    "offline",
    "unhealthy",
    "bad",
    "missing",
    "dead",
];

impl Look {
    /// A field of a record.
    pub fn field(&self, key: &str, value: &Value) -> Cell {
        let href = rule(key).map(|to| self.filled(to, |_| Some(value))).unwrap_or_default();
        self.value(key, value, href)
    }

    /// A field whose link is made from a template such as `/runs/{run_number}/`.
    pub fn linked(&self, key: &str, value: &Value, to: &str, row: &Map<String, Value>) -> Cell {
        let href = self.filled(to, |name| row.get(name));
        self.value(key, value, href)
    }

    fn value(&self, key: &str, value: &Value, href: String) -> Cell {
        let cell = match value {
            Value::Null => Cell { kind: "none", text: "–".into(), ..Cell::default() },
            Value::Bool(b) => boolean(key, *b),
            Value::Number(n) => number(key, n),
            Value::String(s) if s.is_empty() => Cell { kind: "none", text: "–".into(), ..Cell::default() },
            Value::String(s) => match moment(s).filter(|_| href.is_empty() || tells_time(key)) {
                Some(time) => self.time(time),
                None if STATES.contains(&key) => badge(s),
                None => text(s),
            },
            Value::Array(items) if items.is_empty() => {
                Cell { kind: "none", text: "–".into(), ..Cell::default() }
            }
            Value::Array(items) if items.iter().all(|i| !i.is_object() && !i.is_array()) => {
                let words: Vec<String> = items.iter().map(plain).collect();
                text(&words.join(", "))
            }
            Value::Object(map) if map.is_empty() => {
                Cell { kind: "none", text: "–".into(), ..Cell::default() }
            }
            Value::Object(map) => self.next_call(map).unwrap_or_else(|| json(value)),
            Value::Array(_) => json(value),
        };
        let leads = !href.is_empty() && matches!(cell.kind, "text" | "number" | "badge" | "time");
        if leads && cell.href.is_empty() { Cell { href, ..cell } } else { cell }
    }

    /// A call that an answer proposes: the page of the tool, with the arguments filled in if it only looks.
    fn next_call(&self, map: &Map<String, Value>) -> Option<Cell> {
        let tool = swf_tools::registry::find(map.get("tool")?.as_str()?)?;
        let arguments = map.get("arguments")?.as_object()?;
        let given = arguments.iter().map(|(n, v)| (n.clone(), plain(v)));
        let words: Vec<String> = given.clone().map(|(n, v)| format!("{n}={v}")).collect();
        let query =
            if tool.hints.read_only { format!("?{}", super::visit::joined(given)) } else { String::new() };
        let href = link(&self.root, &format!("/tools/{}/{query}", tool.name));
        Some(Cell {
            kind: "text",
            text: format!("{} {}", tool.name, words.join(" ")),
            href,
            ..Cell::default()
        })
    }

    /// A time in the display zone, with its age.
    pub fn time(&self, time: DateTime<Utc>) -> Cell {
        Cell {
            kind: "time",
            text: self.clock(time),
            title: time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            age: age(self.now, time),
            ..Cell::default()
        }
    }

    /// `2026-01-13 06:00:00 EST`
    pub fn clock(&self, time: DateTime<Utc>) -> String {
        time.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// A link template with its `{name}`s filled; empty when one of them has no value.
    pub fn filled<'v>(&self, template: &str, value: impl Fn(&str) -> Option<&'v Value>) -> String {
        let mut path = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, tail)) = after.split_once('}') else { break };
            let Some(value) = value(name).map(plain).filter(|v| names(v)) else { return String::new() };
            path.push_str(before);
            path.push_str(&encode(&value));
            rest = tail;
        }
        path.push_str(rest);
        link(&self.root, &path)
    }
}

/// Browsers take these for steps in the path however they are written, so no link can carry them.
fn names(value: &str) -> bool {
    !matches!(value, "" | "." | ".." | "N/A")
}

/// A name may look like a time; a field that is called one is one.
fn tells_time(key: &str) -> bool {
    key.ends_with("_at") || key.ends_with("time") || key == "timestamp"
}

fn rule(key: &str) -> Option<&'static str> {
    PAGES_OF.iter().find(|(keys, _)| keys.contains(&key)).map(|(_, to)| *to)
}

/// A scalar as it stands in a query or path.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A time as the answers write it; without offset it is UTC.
pub fn moment(text: &str) -> Option<DateTime<Utc>> {
    let form = (19..=35).contains(&text.len()) && text.as_bytes().get(4) == Some(&b'-');
    if !form {
        return None;
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc));
    }
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f");
    naive.or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")).ok().map(|t| t.and_utc())
}

/// `5 s ago`, `2 h 10 min ago`, `in 3 d`.
fn age(now: DateTime<Utc>, time: DateTime<Utc>) -> String {
    let seconds = (now - time).num_seconds();
    let span = span(seconds.unsigned_abs());
    if seconds < 0 { format!("in {span}") } else { format!("{span} ago") }
}

/// The two largest units of a number of seconds.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) if d < 10 => format!("{d} d {h} h"),
        (d, _, _) => format!("{d} d"),
    }
}

/// `HH:MM:SS`, with days in front when there are any.
pub fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}d {clock}") } else { clock }
}

/// A coloured word.
pub fn badge(word: &str) -> Cell {
    let lower = word.to_lowercase();
    let class = match lower.as_str() {
        w if GOOD.contains(&w) => "ok",
        w if DOUBTFUL.contains(&w) => "warn",
        w if BAD.contains(&w) => "bad",
        _ => "",
    };
    Cell { kind: "badge", text: word.to_owned(), class, ..Cell::default() }
}

fn boolean(key: &str, value: bool) -> Cell {
    let class = match (key, value) {
        ("alive" | "is_successful" | "ready" | "ready_to_run" | "success" | "supervisord_healthy", false) => {
            "bad"
        }
        (_, true) => "ok",
        (_, false) => "",
    };
    Cell { kind: "badge", text: if value { "yes" } else { "no" }.into(), class, ..Cell::default() }
}

fn number(key: &str, n: &serde_json::Number) -> Cell {
    let plain = n.to_string();
    let number = |text: String, title: String| Cell { kind: "number", text, title, ..Cell::default() };
    if key.ends_with("_seconds")
        && let Some(seconds) = n.as_f64()
    {
        return number(duration(seconds.round() as i64), format!("{plain} s"));
    }
    if key.contains("bytes")
        && let Some(bytes) = n.as_f64().filter(|b| *b >= 1000.0)
    {
        return number(size(bytes), format!("{plain} bytes"));
    }
    number(plain, String::new())
}

fn size(mut bytes: f64) -> String {
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if bytes < 1000.0 {
            break;
        }
        bytes /= 1000.0;
        unit = larger;
    }
    format!("{bytes:.1} {unit}")
}

/// A text; a long one is shown in short and opens.
pub fn text(whole: &str) -> Cell {
    if whole.chars().count() <= SHORT && whole.lines().count() <= 3 {
        return Cell { kind: "text", text: whole.to_owned(), ..Cell::default() };
    }
    Cell { kind: "long", text: shortened(whole), title: whole.to_owned(), ..Cell::default() }
}

fn shortened(whole: &str) -> String {
    let line = whole.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    let short: String = line.chars().take(SHORT).collect();
    format!("{short} …")
}

fn json(value: &Value) -> Cell {
    let whole = serde_json::to_string_pretty(value).unwrap_or_default();
    let flat = value.to_string();
    let short: String = flat.chars().take(60).collect();
    let dots = if short.len() < flat.len() { " …" } else { "" };
    Cell { kind: "json", text: format!("{short}{dots}"), title: whole, ..Cell::default() }
}

/// A field's name as a label: `last_heartbeat` becomes `Last heartbeat`.
pub fn label(key: &str) -> String {
    let words = key.split('_').map(|word| match word {
        "id" | "stf" | "tf" | "pid" | "url" | "mq" => word.to_uppercase(),
        "stfs" => "STFs".to_owned(),
        _ => word.to_owned(),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look() -> Look {
        let now = moment("2026-01-13T12:00:00Z").unwrap();
        Look { root: "../".into(), now, zone: chrono_tz::America::New_York }
    }

    #[test]
    fn a_time_has_zone_and_age() {
        let cell = look().field("sent_at", &json!("2026-01-13T11:00:00+00:00"));
        assert_eq!(
            (cell.kind, cell.text.as_str(), cell.age.as_str()),
            ("time", "2026-01-13 06:00:00 EST", "1 h 0 min ago")
        );
        // Times of PanDA have no offset and are UTC.
        assert_eq!(look().field("starttime", &json!("2026-01-13T11:59:55")).age, "5 s ago");
        assert_eq!(look().field("starttime", &json!("2026-07-13T11:59:55")).text, "2026-07-13 07:59:55 EDT");
    }

    #[test]
    fn names_lead_to_their_record_whatever_characters_they_have() {
        let href = |name: &str| look().field("namespace", &json!(name)).href;
        assert_eq!(href("a/b c.%é"), "../workflow/namespaces/a%2Fb%20c.%25%C3%A9/");
        assert_eq!(href(".."), "");
        assert_eq!(href(""), "");
        let row = json!({"workflow_name": "x", "version": "1/2"});
        let row = row.as_object().unwrap();
        let cell = look().linked(
            "workflow_name",
            &json!("x"),
            "/workflow-definitions/{workflow_name}/{version}/",
            row,
        );
        assert_eq!(cell.href, "../workflow-definitions/x/1%2F2/");
        // A name that looks like a time is still a name.
        assert_eq!(look().field("namespace", &json!("2026-01-13T11:00:00+00:00")).kind, "text");
    }

    #[test]
    fn durations_and_ages_read_at_a_glance() {
        assert_eq!(duration(3_725), "01:02:05");
        assert_eq!(duration(90_000), "1d 01:00:00");
        assert_eq!(span(59), "59 s");
        assert_eq!(span(2 * 86_400 + 3600), "2 d 1 h");
        assert_eq!(look().field("duration_seconds", &json!(61.4)).text, "00:01:01");
        assert_eq!(look().field("file_size_bytes", &json!(1_234_567)).text, "1.2 MB");
    }
}
