//! Error log rows, put together by what they say.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use swf_db::Sql;

use crate::list::Window;
use crate::{Cx, Error};

/// Rows of one look at most; a flood of errors repeats itself.
const ROWS: i64 = 300;

/// Characters of a message that are compared and shown.
const LINE: usize = 100;

/// Errors that say the same but for numbers.
#[derive(Debug)]
pub struct Pattern {
    /// First line, with `#` for each number.
    pub text: String,
    /// The first line of the oldest one, as it was logged.
    pub line: String,
    /// Who logged the oldest one.
    pub instance: String,
    /// Id of the oldest row.
    pub log_id: i64,
    /// When it was logged.
    pub first: DateTime<Utc>,
    /// Rows.
    pub count: i64,
}

#[derive(Deserialize)]
struct Row {
    id: i64,
    timestamp: DateTime<Utc>,
    instance_name: String,
    message: String,
    total: i64,
}

/// The patterns of the newest errors in a window, most frequent first, and how many errors there are in all.
pub async fn patterns(
    cx: &Cx,
    window: Window,
    namespace: Option<&str>,
) -> Result<(i64, Vec<Pattern>), Error> {
    let mut sql = Sql::new(
        "SELECT id, timestamp, instance_name, substr(message, 1, 300) AS message, count(*) OVER () AS total \
         FROM swf_applog",
    );
    sql.and("level >= 40", []);
    sql.filter("timestamp >= ?", window.start).filter("timestamp <= ?", window.end);
    super::logs_of(cx, &mut sql, namespace);
    sql.push("ORDER BY timestamp DESC, id DESC LIMIT ?", [ROWS.into()]);
    let rows: Vec<Row> = cx.db.fetch_all(&sql).await?;
    let total = rows.first().map_or(0, |r| r.total);
    let mut patterns: Vec<Pattern> = Vec::new();
    for row in rows {
        let line = gist(&row.message);
        let text = numbers_out(&line);
        match patterns.iter_mut().find(|p| p.text == text) {
            Some(pattern) => {
                pattern.count += 1;
                (pattern.first, pattern.log_id) = (row.timestamp, row.id);
                (pattern.line, pattern.instance) = (line, row.instance_name);
            }
            None => patterns.push(Pattern {
                text,
                line,
                instance: row.instance_name,
                log_id: row.id,
                first: row.timestamp,
                count: 1,
            }),
        }
    }
    patterns.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
    Ok((total, patterns))
}

/// The line that says what went wrong: the last one of a traceback, else the first.
fn gist(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = lines.next().unwrap_or_default();
    let line = if first.starts_with("Traceback") { lines.next_back().unwrap_or(first) } else { first };
    line.chars().take(LINE).collect()
}

/// Every word with a digit in it becomes `#`: ids, numbers, times.
fn numbers_out(line: &str) -> String {
    let words =
        line.split_whitespace().map(|w| if w.contains(|c: char| c.is_ascii_digit()) { "#" } else { w });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_in_numbers_are_one_pattern_and_a_traceback_is_its_last_line() {
        assert_eq!(numbers_out("run 100012 lost swf.1.stf twice"), "run # lost # twice");
        assert_eq!(
            gist("Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'run_id'"),
            "KeyError: 'run_id'"
        );
        assert_eq!(gist("\n  cannot connect \n later"), "cannot connect");
    }
}
