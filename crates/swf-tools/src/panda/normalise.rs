//! Error texts without what differs from job to job, so that one cause is one pattern.

use std::sync::LazyLock;

use regex::Regex;

/// Texts are compared by this many characters, as the original does.
pub const DIAG_LENGTH: usize = 256;

struct Fold {
    find: Regex,
    put: &'static str,
}

/// Order matters: long shapes first, plain numbers last.
static FOLDS: LazyLock<Vec<Fold>> = LazyLock::new(|| {
    let shapes = [
        (r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\x22,;)]+", "<url>"),
        (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<uuid>"),
        (r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?", "<time>"),
        (r"\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?\b", "<time>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<host>"),
        (
            r"\b[A-Za-z0-9_-]+\.(?:[A-Za-z0-9_-]+\.)*(?:edu|gov|org|com|net|ch|de|fr|uk|it|ca|local|invalid|internal)\b(?::\d+)?",
            "<host>",
        ),
        (r"(?:/[A-Za-z0-9_.+:@=-]+){2,}/?", "<path>"),
        (r"\b0x[0-9a-fA-F]+\b", "<hex>"),
        (r"\b[0-9a-fA-F]{12,}\b", "<hex>"),
        (
            r"\b[A-Za-z0-9_.+-]*\d[A-Za-z0-9_.+-]*\.(?:root|tgz|tar|gz|log|txt|json|hepmc3?|hepmc3\.tree\.root|edm4\w+\.root)\b",
            "<file>",
        ),
        (r"\b(?:nid|node|wn|worker|slot)[-_]?\d+\b", "<node>"),
        (r"\d+(?:\.\d+)?", "<n>"),
        (r"<n>(?:[._-]<n>)+", "<n>"),
    ];
    shapes.into_iter().filter_map(|(find, put)| Some(Fold { find: Regex::new(find).ok()?, put })).collect()
});

/// The pattern of an error text.
pub fn pattern(diag: &str) -> String {
    let mut text: String = diag.chars().take(DIAG_LENGTH).collect();
    for fold in FOLDS.iter() {
        let folded = fold.find.replace_all(&text, fold.put);
        if let std::borrow::Cow::Owned(folded) = folded {
            text = folded;
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hosts_and_times_are_folded() {
        assert_eq!(FOLDS.len(), 13, "every shape compiles");
        assert_eq!(pattern("lost heartbeat : 2026-11-20 11:58:58"), "lost heartbeat : <time>");
        assert_eq!(
            pattern(
                "Failed to stage-out file: evgen.24770.476999.hepmc3.tree.root: rucio.common.exception.NoDistance"
            ),
            pattern(
                "Failed to stage-out file: evgen.24770.476994.hepmc3.tree.root: rucio.common.exception.NoDistance"
            ),
        );
        assert_eq!(
            pattern("timed out: root://storage7.site.edu:1094//a/b.root after 12 s"),
            "timed out: <url> after <n> s"
        );
        assert_eq!(
            pattern("worker 12.0 on node nid00123 (10.1.2.3) died"),
            "worker <n> on node <node> (<host>) died"
        );
    }

    #[test]
    fn texts_that_differ_in_words_stay_apart() {
        assert_ne!(pattern("reassigned by JEDI"), pattern("killed by retry"));
        assert_eq!(pattern("  a\n b "), "a b");
    }
}
