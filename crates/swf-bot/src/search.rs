//! Which tools fit a question: BM25 over name parts, description and parameter names. Pure functions, no model.

use std::collections::{HashMap, HashSet};

/// What is looked at of a tool.
pub struct Document<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its description.
    pub description: &'a str,
    /// Names of its parameters.
    pub parameters: Vec<&'a str>,
}

/// Characters of the description that count: examples and caveats further down only blur.
const DESCRIPTION: usize = 800;
/// The usual saturation of repeated words.
const K1: f64 = 1.2;
/// The usual correction for length.
const B: f64 = 0.75;
/// Tools that are loaded unasked at most.
pub const MOST: usize = 8;
/// A cliff leaves at least so many.
const LEAST: usize = 3;

/// Words without a meaning of their own in a question about production.
const STOP: &[&str] = &[
    "a", "all", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "could", "do", "does",
    "for", "from", "get", "give", "had", "has", "have", "hello", "hi", "how", "i", "if", "in", "is", "it",
    "its", "me", "my", "of", "on", "or", "our", "please", "show", "tell", "thank", "thanks", "that", "the",
    "their", "them", "there", "these", "they", "this", "those", "to", "us", "was", "we", "were", "what",
    "when", "where", "which", "who", "will", "with", "would", "you", "your",
];

/// Lower-case words, split at everything that is neither letter nor digit, without plural endings.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(|w| w.to_lowercase())
        .filter(|w| !STOP.contains(&w.as_str()))
        .map(|w| stem(&w))
        .collect()
}

/// `queries`, `statuses`, `jobs` and `failing`, `failed` as `query`, `status`, `job`, `fail`.
fn stem(word: &str) -> String {
    if word.len() < 4 || !word.is_ascii() {
        return word.to_owned();
    }
    let cut = |n: usize| word.get(..word.len() - n).unwrap_or(word).to_owned();
    match word {
        w if w.ends_with("ies") && w.len() > 4 => cut(3) + "y",
        w if w.ends_with("sses") || w.ends_with("uses") || w.ends_with("xes") => cut(2),
        w if w.ends_with("ss") || w.ends_with("us") || w.ends_with("is") => w.to_owned(),
        w if w.ends_with('s') => cut(1),
        w if w.ends_with("ing") && w.len() > 6 => cut(3),
        w if w.ends_with("ed") && w.len() > 5 => cut(2),
        w => w.to_owned(),
    }
}

/// Positions and scores of the documents that share a word with the question, best first.
pub fn rank(question: &str, documents: &[Document<'_>]) -> Vec<(usize, f64)> {
    let asked: HashSet<String> = words(question).into_iter().collect();
    let texts: Vec<Vec<String>> = documents.iter().map(text_of).collect();
    let average = texts.iter().map(Vec::len).sum::<usize>() as f64 / texts.len().max(1) as f64;
    let mut holding: HashMap<&str, f64> = HashMap::new();
    for text in &texts {
        for word in text.iter().map(String::as_str).collect::<HashSet<_>>() {
            *holding.entry(word).or_default() += 1.0;
        }
    }
    let all = texts.len() as f64;
    let mut scored: Vec<(usize, f64)> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let score = asked
                .iter()
                .map(|word| {
                    let times = text.iter().filter(|w| *w == word).count() as f64;
                    let with = holding.get(word.as_str()).copied().unwrap_or(0.0);
                    let rarity = ((all - with + 0.5) / (with + 0.5) + 1.0).ln();
                    let length = 1.0 - B + B * text.len() as f64 / average.max(1.0);
                    rarity * times * (K1 + 1.0) / (times + K1 * length)
                })
                .sum();
            (at, score)
        })
        .filter(|(_, score)| *score > 0.0)
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored
}

/// The name counts twice: it is what its author thought to be the matter.
fn text_of(document: &Document<'_>) -> Vec<String> {
    let description: String = document.description.chars().take(DESCRIPTION).collect();
    let name = words(document.name);
    let mut text = name.clone();
    text.extend(name);
    text.extend(words(&description));
    text.extend(document.parameters.iter().flat_map(|p| words(p)));
    text
}

/// How many of the best are kept: at most [`MOST`]; where the scores fall off a cliff (a gap of more than twice
/// the median gap), only those above it, but never less than three.
pub fn above_cliff(scores: &[f64]) -> usize {
    let scores = scores.get(..scores.len().min(MOST)).unwrap_or(scores);
    if scores.len() <= 2 {
        return scores.len();
    }
    let gaps: Vec<f64> = scores.iter().zip(scores.iter().skip(1)).map(|(a, b)| a - b).collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |i: usize| sorted.get(i).copied().unwrap_or(0.0);
    let median =
        if sorted.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 };
    let cliff = gaps.iter().position(|gap| *gap > 2.0 * median);
    cliff.map_or(scores.len(), |at| (at + 1).max(LEAST.min(scores.len())))
}

/// Whether one of the keywords occurs as a whole word or words; a beginning with a dot or a blank counts as it is.
pub fn mentions(question: &str, keywords: &[String]) -> bool {
    let text = question.to_lowercase();
    keywords.iter().any(|keyword| {
        let keyword = keyword.to_lowercase();
        if keyword.is_empty() {
            return false;
        }
        text.match_indices(&keyword).any(|(at, found)| {
            let before = text.get(..at).and_then(|t| t.chars().next_back());
            let after = text.get(at + found.len()..).and_then(|t| t.chars().next());
            let open = |side: Option<char>, edge: Option<char>| {
                !edge.is_some_and(char::is_alphanumeric) || !side.is_some_and(char::is_alphanumeric)
            };
            open(before, keyword.chars().next()) && open(after, keyword.chars().next_back())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<Document<'static>> {
        let of = |name, description, parameters: &[&'static str]| Document {
            name,
            description,
            parameters: parameters.to_vec(),
        };
        vec![
            of("panda_list_jobs", "Jobs, newest first.", &["status", "site", "days"]),
            of("panda_error_summary", "Errors of jobs ranked by frequency.", &["days", "site"]),
            of("panda_list_queues", "Queues and their state.", &["vo", "status"]),
            of("pcs_search_tags", "Search physics configuration tags.", &["query"]),
            of("epic_doc_search", "Search documents.", &["query"]),
        ]
    }

    fn best(question: &str) -> &'static str {
        let documents = documents();
        rank(question, &documents).first().map_or("", |(at, _)| documents[*at].name)
    }

    #[test]
    fn a_question_finds_the_tool_by_name_description_and_parameters() {
        assert_eq!(best("What are the top errors this week?"), "panda_error_summary");
        assert_eq!(best("list the queues"), "panda_list_queues");
        assert_eq!(best("show me the newest jobs"), "panda_list_jobs");
        assert_eq!(best("physics tag for DIS?"), "pcs_search_tags");
    }

    #[test]
    fn a_greeting_fits_nothing() {
        assert!(rank("Hello, how are you? Thanks!", &documents()).is_empty());
    }

    #[test]
    fn the_choice_ends_at_a_cliff_but_keeps_three() {
        assert_eq!(above_cliff(&[9.0, 8.9, 8.8, 8.7, 2.0, 1.9, 1.8]), 4);
        assert_eq!(above_cliff(&[9.0, 1.0, 0.9, 0.8, 0.7]), 3, "the cliff is after the first");
        assert_eq!(above_cliff(&[5.0, 4.0, 3.0, 2.0]), 4, "no cliff in an even slope");
        assert_eq!(above_cliff(&[9.0, 1.0]), 2);
        assert_eq!(above_cliff(&[]), 0);
        let many: Vec<f64> = (0..20).map(|i| f64::from(20 - i)).collect();
        assert_eq!(above_cliff(&many), 8);
    }

    #[test]
    fn keywords_are_whole_words() {
        let keywords = |list: &[&str]| list.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>();
        assert!(mentions("which DID is it?", &keywords(&["did"])));
        assert!(!mentions("the candidate", &keywords(&["did"])));
        assert!(mentions("open x.root now", &keywords(&[".root"])));
        assert!(mentions("see the pull request", &keywords(&["pull request"])));
        assert!(!mentions("anything", &[]));
    }
}
