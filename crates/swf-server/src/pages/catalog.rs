//! What kinds of pages there are and how a path finds its page.
//!
//! *Invariant:* a page is a tool's answer or records; nothing here or below knows SQL.

use super::{production, testbed};

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Path below the prefix; `{name}` stands for one part, `{*name}` at the end for all that is left.
    pub path: &'static str,
    /// Title; `{name}` is filled from the path.
    pub title: &'static str,
    /// What one sees here.
    pub lead: &'static str,
    /// What it is made from.
    pub view: View,
}

/// What a page is made from.
#[derive(Debug)]
pub enum View {
    /// Rows.
    List(List),
    /// One thing.
    Record(Record),
    /// Links to pages.
    Hub(&'static [Group]),
    /// The answer of one tool, with its arguments as filters: of the first that knows all that are given.
    Answer(&'static [&'static str]),
    /// A page with code of its own.
    Own(Own),
}

/// Pages with code of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// The state of everything, and where to go.
    Home,
    /// What this is.
    About,
    /// Counts of log entries.
    LogSummary,
    /// All tools.
    Tools,
    /// One tool.
    Tool,
    /// Tags by type, and the search for them.
    Pcs,
    /// Moved to another path.
    Moved(&'static str),
}

/// A list of rows.
#[derive(Debug)]
pub struct List {
    /// The tool that lists them.
    pub tool: Option<&'static str>,
    /// Where its answer has the rows.
    pub rows: &'static str,
    /// Where its answer has their number.
    pub total: &'static str,
    /// The records that list them when the tool is absent, or knows less filters.
    pub records: Option<Records>,
    /// Columns.
    pub columns: &'static [Column],
    /// Arguments that come from the path: argument, name in the path.
    pub from_path: &'static [(&'static str, &'static str)],
    /// Other names of filters: the page's, the tool's.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Arguments unless the query has others.
    pub defaults: &'static [(&'static str, &'static str)],
    /// How far back it looks when the query does not say so.
    pub reach: Reach,
    /// Values to choose from.
    pub choices: &'static [(&'static str, &'static [&'static str])],
    /// Other parts of the answer to show above the rows.
    pub summary: &'static [&'static str],
}

/// Records of one resource.
#[derive(Debug, Clone, Copy)]
pub struct Records {
    /// The resource's path.
    pub path: &'static str,
    /// They are listed oldest first, and the page turns them round.
    pub turned: bool,
}

/// How far back a list looks when the query does not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As far as the tool does.
    Tool,
    /// For ever when one of these filters is set, else as far as the tool does.
    Narrowed(&'static [&'static str]),
    /// For ever.
    All,
}

impl List {
    /// A list made from a tool.
    pub const fn tool(tool: &'static str, columns: &'static [Column]) -> List {
        List {
            tool: Some(tool),
            rows: "items",
            total: "total_count",
            records: None,
            columns,
            from_path: &[],
            aliases: &[],
            defaults: &[],
            reach: Reach::Tool,
            choices: &[],
            summary: &[],
        }
    }

    /// A list made from records.
    pub const fn records(path: &'static str, columns: &'static [Column]) -> List {
        List { tool: None, records: Some(Records { path, turned: false }), ..List::tool("", columns) }
    }
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Title.
    pub label: &'static str,
    /// Fields that may hold its value; the first that a row has is shown.
    pub keys: &'static [&'static str],
    /// Where it leads, with `{field}`s of the row; empty for what the field says by itself.
    pub to: &'static str,
    /// How it is made.
    pub show: Show,
}

/// How a column's value is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// The field itself.
    Field,
    /// The time between two fields.
    Duration,
    /// Two numbers, first and last.
    Range,
    /// Function and line.
    Place,
}

/// A column that shows a field.
pub const fn col(label: &'static str, keys: &'static [&'static str]) -> Column {
    Column { label, keys, to: "", show: Show::Field }
}

impl Column {
    /// Leads to a page.
    pub const fn to(self, to: &'static str) -> Column {
        Column { to, ..self }
    }

    /// Is made in another way.
    pub const fn show(self, show: Show) -> Column {
        Column { show, ..self }
    }
}

/// One thing.
#[derive(Debug)]
pub struct Record {
    /// Where it comes from.
    pub from: From,
    /// The part of the answer that is shown; empty for all.
    pub pick: &'static str,
    /// The page that lists such things.
    pub list: &'static str,
    /// What belongs to it.
    pub sections: &'static [Section],
}

/// Where one thing comes from.
#[derive(Debug)]
pub enum From {
    /// A tool; argument and name in the path. A tool that can be asked by several keys has several entries,
    /// of which the first that fits the value's form is used.
    Tool(&'static str, &'static [(&'static str, Key)]),
    /// The first row of a list tool: where the rows are, argument and value.
    Row(&'static str, &'static str, &'static [(&'static str, Key)]),
    /// A record by its key.
    Record(&'static str),
    /// The first record that fits: filter and name in the path.
    Found(&'static str, &'static [(&'static str, &'static str)]),
}

/// Where an argument comes from.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// A part of the path.
    Path(&'static str),
    /// Two parts of the path in one word.
    Joined(&'static str, &'static str),
    /// A part of the path, if it is a UUID.
    Uuid(&'static str),
    /// A part of the path, unless it is a UUID.
    NotUuid(&'static str),
    /// Always the same.
    Fixed(&'static str),
}

/// What belongs to a thing.
#[derive(Debug)]
pub struct Section {
    /// Title.
    pub title: &'static str,
    /// The list page that shows all of it, or the tool that answers it.
    pub of: Of,
    /// Filter or argument, and the part of the path or field of the answer that has its value.
    pub by: &'static [(&'static str, &'static str)],
}

/// Where a section comes from.
#[derive(Debug)]
pub enum Of {
    /// A list page.
    Page(&'static str),
    /// A tool.
    Tool(&'static str),
}

/// Cards with a title.
#[derive(Debug)]
pub struct Group {
    /// Title.
    pub title: &'static str,
    /// Paths of pages, with the text of their card; the title comes from the page.
    pub cards: &'static [&'static str],
}

/// Values of the `{name}`s of a path.
pub type Params = Vec<(&'static str, String)>;

/// All pages.
pub fn all() -> impl Iterator<Item = &'static Page> {
    testbed::PAGES.iter().chain(production::PAGES)
}

/// A page by its path as it is written here.
pub fn at(path: &str) -> Option<&'static Page> {
    all().find(|p| p.path == path)
}

/// The page of a path and the values in it. Exact paths come before those that take all that is left.
pub fn find(segments: &[String]) -> Option<(&'static Page, Params)> {
    let exact = all().find_map(|page| Some((page, matched(page.path, segments, false)?)));
    exact.or_else(|| all().find_map(|page| Some((page, matched(page.path, segments, true)?))))
}

fn matched(path: &'static str, segments: &[String], greedy: bool) -> Option<Params> {
    let mut given = segments.iter();
    let mut params = Params::new();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let here = given.next()?;
        let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
            if part != here {
                return None;
            }
            continue;
        };
        let mut value = here.clone();
        if let Some(name) = name.strip_prefix('*') {
            if greedy {
                for more in given.by_ref() {
                    value.push('/');
                    value.push_str(more);
                }
            }
            params.push((name, value));
        } else {
            params.push((name, value));
        }
    }
    (given.next().is_none() && params.iter().all(|(_, v)| !v.is_empty())).then_some(params)
}

impl Page {
    /// The tools without which this page cannot be.
    pub fn tool(&self) -> Option<&'static str> {
        match &self.view {
            View::List(list) if list.records.is_some() => None,
            View::List(list) => list.tool,
            View::Answer(tools) => tools.first().copied(),
            View::Record(Record { from: From::Tool(tool, _) | From::Row(tool, ..), .. }) => Some(tool),
            View::Own(Own::Pcs) => Some("pcs_list_tags"),
            View::Record(_) | View::Hub(_) | View::Own(_) => None,
        }
    }

    /// True when this server can show it.
    pub fn exists(&self) -> bool {
        self.tool().is_none_or(|tool| swf_tools::registry::find(tool).is_some())
    }

    /// The title with the values of the path.
    pub fn titled(&self, params: &Params) -> String {
        let mut title = self.title.to_owned();
        for (name, value) in params {
            title = title.replace(&format!("{{{name}}}"), value);
        }
        title
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(&'static str, Params)> {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        find(&segments).map(|(page, params)| (page.path, params))
    }

    #[test]
    fn exact_paths_come_before_names_and_names_may_have_slashes() {
        assert_eq!(found("logs/summary").unwrap().0, "/logs/summary/");
        assert_eq!(found("logs/17").unwrap(), ("/logs/{*id}/", vec![("id", "17".into())]));
        let (path, params) = found("workflow/agents/a/b").unwrap();
        assert_eq!((path, params), ("/workflow/agents/{*name}/", vec![("name", "a/b".into())]));
        assert_eq!(found("nothing/here"), None);
    }

    #[test]
    fn every_path_stands_once_and_every_card_section_and_crumb_is_a_page() {
        let paths: Vec<&str> = all().map(|p| p.path).collect();
        for path in &paths {
            assert_eq!(paths.iter().filter(|p| p == &path).count(), 1, "{path}");
        }
        for page in all() {
            match &page.view {
                View::Hub(groups) => {
                    for card in groups.iter().flat_map(|g| g.cards) {
                        assert!(found(card.trim_matches('/')).is_some(), "{card}");
                    }
                }
                View::Record(record) => {
                    assert!(found(record.list.trim_matches('/')).is_some(), "{}", record.list);
                    for section in record.sections {
                        if let Of::Page(path) = section.of {
                            assert!(matches!(at(path).unwrap().view, View::List(_)), "{path}");
                        }
                    }
                }
                _ => {}
            }
        }
    }
}
