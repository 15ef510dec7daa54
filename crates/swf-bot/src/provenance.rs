//! Where the numbers of a reply come from: ids stamped on tool results, and the check of a reply against them.
//!
//! Pure functions. An id proves that a call was made; the figures of the reply are compared with what the calls gave.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

/// Marks an uncited live call.
pub const UNCITED: &str =
    ":warning: *Tool was called live but the Data Provenance ID was not cited in the reply.*";
/// Marks a reply without any call.
pub const NOT_LIVE: &str = ":warning: *This response was not based on a live data query.*";
/// Begins the list of figures without source.
pub const UNKNOWN: &str =
    ":warning: *These values occur in no tool result of this exchange (computed, remembered or wrong):";
/// Figures named at most.
const NAMED: usize = 12;

/// A fresh id: eight random hex digits, upper case.
pub fn fresh() -> String {
    format!("{:08X}", rand::random::<u32>())
}

/// A result with its id in front.
pub fn stamped(id: &str, result: &str) -> String {
    format!("[DPID:{id}]\n{result}")
}

static ID: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)\b[0-9a-f]{8}\b").ok());
static CITATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)[*_`(\[]*\b(?:data\s+provenance(?:\s+ids?)?|provenance(?:\s+ids?)?|dpids?)\b[*_`\])]*\s*[:=#]?\s*(?:[*_`(\[]*\b[0-9a-f]{8}\b[*_`\])]*(?:\s*(?:,|;|and|&)\s*)?)+").ok()
});
static OLD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\s*(?:\*?\(tools (?:used|suggested):.*\)\*?|:warning: \*.*)\s*$").ok());

fn cites(line: &str) -> bool {
    let lower = line.to_lowercase();
    lower.contains("dpid") || lower.contains("provenance")
}

fn ids_of(line: &str) -> impl Iterator<Item = String> + '_ {
    ID.iter().flat_map(|r| r.find_iter(line)).map(|m| m.as_str().to_uppercase())
}

/// Whether the reply cites an id that was given out in this exchange.
pub fn verified(reply: &str, given: &BTreeSet<String>) -> bool {
    reply.lines().filter(|l| cites(l)).any(|l| ids_of(l).any(|id| given.contains(&id)))
}

/// The reply without citations, and without footers and warnings that the model has copied from earlier replies.
/// What stands on a line beside a citation stays.
pub fn stripped(reply: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in reply.lines() {
        if OLD.as_ref().is_some_and(|r| r.is_match(line)) {
            continue;
        }
        if !cites(line) || ids_of(line).next().is_none() {
            out.push(line.to_owned());
            continue;
        }
        let rest = CITATION.as_ref().map_or(line.into(), |r| r.replace_all(line, ""));
        let rest = rest.trim_end().trim_end_matches(['(', '[', '|', '-', '–', '—', ',', ';', ':']).trim_end();
        let speaks = rest.split(|c: char| !c.is_alphanumeric()).any(|w| {
            !w.is_empty()
                && !matches!(
                    w.to_lowercase().as_str(),
                    "source" | "sources" | "data" | "id" | "ids" | "from" | "live"
                )
        });
        if speaks {
            out.push(rest.to_owned());
        }
    }
    out.join("\n").trim().to_owned()
}

/// A figure of a text.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    text: String,
    value: f64,
    decimals: usize,
    percent: bool,
}

static FIGURE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)*").ok());
/// Moments, durations and the numbers of a list say nothing about production.
static TIMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?im)\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?|\b\d{1,2}:\d{2}(?::\d{2})?\b|\b\d+(?:\.\d+)?[ -]?(?:h|hrs?|hours?|d|days?|min|minutes?|s|sec|seconds?|weeks?|months?)\b|^\s*\d{1,3}[.)]\s").ok()
});

/// The figures of a text: whole words of digits, with their percent sign.
fn figures(text: &str) -> Vec<Figure> {
    let text = TIMES.as_ref().map_or(text.into(), |r| r.replace_all(text, " "));
    let found = FIGURE.iter().flat_map(|r| r.find_iter(&text));
    found
        .filter_map(|m| {
            let before = text.get(..m.start())?.chars().next_back();
            let rest = text.get(m.end()..)?;
            let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphabetic() || c == '_');
            let word = m.as_str();
            // Parts of names (`BNL_2`, `pid4`), hashes and versions (`1.2.3`) are no figures.
            if inside(before) || inside(rest.chars().next()) || word.matches('.').count() > 1 {
                return None;
            }
            let plain: String = word.chars().filter(|c| *c != ',').collect();
            Some(Figure {
                value: plain.parse().ok()?,
                decimals: plain.split_once('.').map_or(0, |(_, d)| d.len()),
                percent: rest.trim_start().starts_with('%'),
                text: if rest.trim_start().starts_with('%') { format!("{word}%") } else { word.to_owned() },
            })
        })
        .collect()
}

/// Every number of the sources, also those inside words: what is known is read generously.
fn known(sources: &[String]) -> Vec<f64> {
    let all = sources.iter().flat_map(|s| FIGURE.iter().flat_map(move |r| r.find_iter(s)));
    all.flat_map(|m| {
        // `1,234` may be one number or two in a row of JSON.
        let word = m.as_str();
        let joined: String = word.chars().filter(|c| *c != ',').collect();
        let mut values = vec![joined];
        values.extend(word.split(',').map(str::to_owned));
        values
    })
    .filter_map(|n| n.parse().ok())
    .collect()
}

/// The figures of the reply that occur in none of the sources (results, arguments, the question): ids of four and
/// more digits, percentages, and counts from 10 on. A figure may be rounded; a percentage may be a fraction there,
/// or the ratio of two figures that the reply itself names and the sources know.
pub fn unknown(reply: &str, sources: &[String]) -> Vec<String> {
    let known = known(sources);
    let asked = figures(reply);
    let rounded = |value: f64, decimals: usize| {
        let scale = 10f64.powi(i32::try_from(decimals).unwrap_or(0));
        (value * scale).round()
    };
    let same = |a: f64, f: &Figure| rounded(a, f.decimals) == rounded(f.value, f.decimals);
    let direct = |f: &Figure| known.iter().any(|k| same(*k, f) || (f.percent && same(*k * 100.0, f)));
    let named: Vec<f64> = asked.iter().filter(|f| !f.percent && direct(f)).map(|f| f.value).collect();
    let ratio = |f: &Figure| {
        f.percent && named.iter().any(|a| named.iter().any(|b| *b > 0.0 && same(a / b * 100.0, f)))
    };
    let mut out: Vec<String> = Vec::new();
    for figure in &asked {
        let small = !figure.percent && figure.value < 10.0;
        if !small && !direct(figure) && !ratio(figure) && !out.contains(&figure.text) {
            out.push(figure.text.clone());
        }
    }
    out
}

/// The warning about figures without source.
pub fn unknown_warning(figures: &[String]) -> String {
    let named: Vec<&str> = figures.iter().take(NAMED).map(String::as_str).collect();
    let more = figures.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{UNKNOWN} {}{more}.*", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str) -> BTreeSet<String> {
        BTreeSet::from([id.to_owned()])
    }

    #[test]
    fn ids_are_random_and_have_eight_digits() {
        let ids: BTreeSet<String> = (0..1000).map(|_| fresh()).collect();
        assert!(ids.len() > 990);
        assert!(ids.iter().all(|id| id.len() == 8 && id.chars().all(|c| c.is_ascii_hexdigit())));
    }

    #[test]
    fn only_ids_of_this_exchange_count() {
        let ids = given("0A1B2C3D");
        assert!(verified("42 jobs.\nDPID: 0a1b2c3d", &ids));
        assert!(verified("*Data provenance:* `0A1B2C3D`", &ids));
        assert!(!verified("DPID: FFFFFFFF", &ids));
        assert!(!verified("0A1B2C3D", &ids), "a bare word is no citation");
    }

    #[test]
    fn citations_go_and_data_beside_them_stay() {
        assert_eq!(stripped("42 jobs failed.\n\n[DPID:0A1B2C3D]"), "42 jobs failed.");
        assert_eq!(stripped("42 jobs failed (DPID: 0A1B2C3D)"), "42 jobs failed");
        assert_eq!(stripped("*Sources: DPIDs 0A1B2C3D, 11112222*\nEnd"), "End");
        assert_eq!(stripped("The dpid endpoint works."), "The dpid endpoint works.");
        let copied = format!("Fine.\n\n{NOT_LIVE}\n*(tools suggested: a:0.53)*\n*(tools used: a)*");
        assert_eq!(stripped(&copied), "Fine.");
    }

    #[test]
    fn figures_without_source_are_named() {
        let sources =
            vec![r#"{"pandaid":40001234,"failed":17,"finished":183,"rate":0.915,"site":"BNL_7"}"#.to_owned()];
        assert_eq!(unknown("Job 40001234: 17 failed of 183", &sources), Vec::<String>::new());
        assert_eq!(unknown("91.5% good, that is 92%", &sources), Vec::<String>::new());
        assert_eq!(unknown("17 of 183 is 9.3%", &sources), Vec::<String>::new());
        assert_eq!(unknown("Job 40009999: 18 failed, 55%", &sources), ["40009999", "18", "55%"]);
    }

    #[test]
    fn times_names_versions_and_small_counts_are_not_figures() {
        let text = "1. On 2026-11-22 at 14:30 in the last 24 hours 3 of BNL_1234 with v1.22.333\n12) next";
        assert_eq!(unknown(text, &[]), Vec::<String>::new());
    }

    #[test]
    fn thousands_separators_make_no_difference() {
        let sources = vec!["{\"jobs\":1234567,\"list\":[12,345]}".to_owned()];
        assert_eq!(unknown("1,234,567 jobs, 12 and 345", &sources), Vec::<String>::new());
    }
}
