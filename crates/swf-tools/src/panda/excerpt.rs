//! The telling lines of a log.

use regex::{Regex, RegexBuilder};

/// An excerpt is at most this long; its end is kept, because the cause stands there.
pub const LENGTH: usize = 6000;
/// Lines of a payload log.
const PAYLOAD_LINES: usize = 300;
/// Lines of a pilot log, the telling one last.
const PILOT_LINES: usize = 40;

/// What the pilot writes when it sets a code.
fn telling(code: i64, diag: &str) -> Option<Regex> {
    let pattern = match code {
        1099 => "Failed to stage-in file".to_owned(),
        1104 => "work directory .* is too large".to_owned(),
        1150 => "pilot has decided to kill looping job".to_owned(),
        1151 | 1152 => "File transfer timed out".to_owned(),
        1201 => "caught signal".to_owned(),
        1235 => "job has exceeded the memory limit".to_owned(),
        1310 => "caught an exception".to_owned(),
        1324 => "Service not available".to_owned(),
        1354 => "getpwuid".to_owned(),
        _ => regex::escape(diag.chars().take(40).collect::<String>().trim()),
    };
    if pattern.is_empty() {
        return None;
    }
    RegexBuilder::new(&pattern).case_insensitive(true).build().ok()
}

/// The end of a payload log, or the lines of a pilot log up to the first that tells the code.
pub fn excerpt(log: &str, payload: bool, code: i64, diag: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let (count, end) = if payload || code == 1305 {
        (PAYLOAD_LINES, lines.len())
    } else {
        let hit = telling(code, diag).and_then(|r| lines.iter().position(|l| r.is_match(l)));
        (PILOT_LINES, hit.map_or(lines.len(), |at| at + 1))
    };
    let start = end.saturating_sub(count);
    let text = lines.get(start..end).unwrap_or_default().join("\n");
    last(&text, LENGTH)
}

/// The last characters of a text.
fn last(text: &str, length: usize) -> String {
    let skip = text.chars().count().saturating_sub(length);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_line_stands_last_and_is_never_cut_off() {
        let mut lines: Vec<String> = (0..200).map(|n| format!("{n} {}", "x".repeat(400))).collect();
        lines.insert(150, "ERROR: failed to stage-in file abc".into());
        let text = excerpt(&lines.join("\n"), false, 1099, "");
        assert!(text.ends_with("failed to stage-in file abc"));
        assert_eq!(text.chars().count(), LENGTH);
    }

    #[test]
    fn without_a_telling_line_the_end_is_shown() {
        let log: String = (0..500).map(|n| format!("line {n}\n")).collect();
        assert_eq!(excerpt(&log, false, 1137, "no such text").lines().count(), 40);
        let payload = excerpt(&log, true, 1305, "");
        assert!(payload.ends_with("line 499") && payload.lines().count() == 300);
        assert_eq!(excerpt("", false, 0, ""), "");
    }
}
