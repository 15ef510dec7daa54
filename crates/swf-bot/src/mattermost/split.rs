//! Long texts in several posts instead of cut off.

/// Room for closing and opening a code block over a seam.
const FENCE: usize = 40;

/// Parts of at most `most` characters, split at blank lines, else at lines, else at words, else anywhere. A code
/// block that crosses a seam is closed before it and opened after it.
pub fn split(text: &str, most: usize) -> Vec<String> {
    let room = most.saturating_sub(FENCE).max(1);
    let mut out = Vec::new();
    let mut rest = text.trim_end();
    let mut open: Option<String> = None;
    while !rest.is_empty() {
        let head = open.as_ref().map(|fence| format!("{fence}\n")).unwrap_or_default();
        let (part, later) =
            if rest.chars().count() + head.chars().count() <= most { (rest, "") } else { seam(rest, room) };
        open = fence_after(part, open);
        let foot = if open.is_some() && !later.is_empty() { "\n```" } else { "" };
        out.push(format!("{head}{}{foot}", part.trim_end()));
        rest = later;
    }
    out
}

/// The largest beginning that fits, and what follows.
fn seam(text: &str, room: usize) -> (&str, &str) {
    let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
    let window = text.get(..end).unwrap_or(text);
    // A seam in the first half would make many small posts.
    let late = |at: &usize| *at > window.len() / 2;
    let at = window
        .rfind("\n\n")
        .filter(late)
        .or_else(|| window.rfind('\n').filter(late))
        .or_else(|| window.rfind(' ').filter(late))
        .unwrap_or(window.len());
    let (part, later) = text.split_at(at);
    let later = if at < window.len() { later.trim_start_matches(['\n', ' ']) } else { later };
    (part, later)
}

/// The line that opened the code block in which the text ends, if it ends in one.
fn fence_after(text: &str, before: Option<String>) -> Option<String> {
    text.lines().filter(|l| l.trim_start().starts_with("```")).fold(before, |open, line| match open {
        Some(_) => None,
        None => Some(line.trim().chars().take(FENCE / 2).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_every_part_fits() {
        let lines: Vec<String> = (0..400).map(|n| format!("line {n} with some words")).collect();
        let text = lines.join("\n");
        let parts = split(&text, 500);
        assert!(parts.len() > 10 && parts.iter().all(|p| p.chars().count() <= 500));
        assert_eq!(parts.join("\n"), text);
        let wall = "ä".repeat(1200);
        let parts = split(&wall, 500);
        assert_eq!((parts.len(), parts.concat()), (3, wall));
        assert_eq!(split("short", 500), ["short"]);
        assert!(split("", 500).is_empty());
    }

    #[test]
    fn a_code_block_is_closed_and_opened_again() {
        let text = format!("Log:\n```text\n{}\n```\nEnd", vec!["a line of the log"; 40].join("\n"));
        let parts = split(&text, 300);
        assert!(parts.len() > 2);
        for part in &parts {
            assert_eq!(part.matches("```").count() % 2, 0, "{part}");
            assert!(part.chars().count() <= 300);
        }
        assert!(parts[1].starts_with("```text\n"));
    }
}
