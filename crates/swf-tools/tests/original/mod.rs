//! Comparing swf's answers with recorded ones of the original.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;
use swf_tools::Error;

/// One call of the original: its answer, or `{"refused": true}` where it reported an error.
#[derive(Deserialize)]
pub struct Recorded {
    pub tool: String,
    pub arguments: Value,
    pub answer: Value,
}

impl Recorded {
    pub fn parse(text: &str) -> Vec<Recorded> {
        serde_json::from_str(text).unwrap()
    }
}

/// A place where swf differs and is meant to: tool, arguments (`""` for any), path of the value, and the row of
/// docs/COMPATIBILITY.md, or the head of the paragraph below its rows, that says why. A place that no longer
/// differs fails the test.
pub type Intended = (&'static str, &'static str, &'static str, &'static str);

/// Collects what differs and is not meant to.
pub struct Judge {
    intended: &'static [Intended],
    wrong: Vec<String>,
    seen: BTreeSet<usize>,
}

impl Judge {
    pub fn new(intended: &'static [Intended]) -> Judge {
        Judge { intended, wrong: Vec::new(), seen: BTreeSet::new() }
    }

    /// One call; `theirs` is its recorded answer, put into the order that swf is meant to have.
    pub fn compare(&mut self, call: &Recorded, theirs: &Value, ours: Result<Value, Error>) {
        let refused = theirs.get("refused").is_some();
        let mut found = Vec::new();
        match (ours, refused) {
            (Ok(answer), false) => differences(theirs, &answer, "", &mut found),
            (Ok(answer), true) => found.push(("refused".into(), answer.to_string())),
            (Err(error @ Error::Internal(_)), _) => found.push(("fault".into(), format!("{error:?}"))),
            (Err(_), true) => {}
            (Err(error), false) => found.push(("answered".into(), error.to_string())),
        }
        let arguments = call.arguments.to_string();
        for (path, text) in found {
            let intended = self.intended.iter().position(|(tool, args, place, _)| {
                *tool == call.tool && (args.is_empty() || *args == arguments) && *place == path
            });
            match intended {
                Some(at) => drop(self.seen.insert(at)),
                None => self.wrong.push(format!("{} {arguments}: {path}: {text:.300}", call.tool)),
            }
        }
    }

    /// Fails when anything was wrong.
    pub fn finish(self) {
        assert!(self.wrong.is_empty(), "{} differ:\n{}", self.wrong.len(), self.wrong.join("\n"));
        let all = self.intended.iter().enumerate();
        let unseen: Vec<_> = all.filter(|(at, _)| !self.seen.contains(at)).collect();
        assert!(unseen.is_empty(), "no longer differ: {unseen:?}");
    }
}

/// Texts that need only be there: sentences for people, and content that the original writes as Python does
/// ("JSON stays JSON").
const SENTENCES: [&str; 5] = ["note", "how_to_start", "message", "error", "items[].payload_summary"];

/// Values that mean the same: numbers by value, moments by time, links by what they decode to.
fn same(theirs: &Value, ours: &Value, path: &str) -> bool {
    let moment = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    match (theirs, ours) {
        (Value::Number(theirs), Value::Number(ours)) => theirs.as_f64() == ours.as_f64(),
        (Value::String(_), Value::String(_)) if SENTENCES.contains(&path) => true,
        (Value::String(theirs), Value::String(ours)) if path.ends_with(".url") => {
            percent_encoding::percent_decode_str(ours).decode_utf8().unwrap() == theirs.as_str()
        }
        (Value::String(theirs), Value::String(ours)) => {
            theirs == ours || moment(theirs).is_some_and(|t| moment(ours) == Some(t))
        }
        _ => theirs == ours,
    }
}

/// Where two answers differ: keys of the original that are absent, and values that are others.
fn differences(theirs: &Value, ours: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in theirs {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match ours.get(key) {
                    Some(other) => differences(value, other, &path, found),
                    None => found.push((path, format!("absent, was {value}"))),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (theirs, ours) in theirs.iter().zip(ours) {
                differences(theirs, ours, &format!("{path}[]"), found);
            }
        }
        _ if same(theirs, ours, path) => {}
        _ => found.push((path.to_owned(), format!("{theirs} is here {ours}"))),
    }
}
