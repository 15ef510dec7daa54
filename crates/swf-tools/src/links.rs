//! Links from answers to the web pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::list::Link;
use crate::{Cx, Settings};

/// What needs no encoding in a path segment or a query value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A value as it may stand in a path segment or a query.
pub fn encode(value: &str) -> String {
    utf8_percent_encode(value, PLAIN).to_string()
}

impl Settings {
    /// The full address of a page path such as `/runs/`.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

impl Cx {
    /// A link to a page, with the filters that are set.
    pub fn link(&self, title: &str, path: &str, filters: &[(&str, Option<&str>)]) -> Link {
        let query: Vec<String> = filters
            .iter()
            .filter_map(|(name, value)| value.map(|v| format!("{name}={}", encode(v))))
            .collect();
        let mut url = self.settings().page(path);
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query.join("&"));
        }
        Link { title: title.to_owned(), url }
    }

    /// A link to the page of one record: `path` ends in `/`, the key becomes its last segment.
    pub fn link_to(&self, title: &str, path: &str, key: &str) -> Link {
        Link { title: title.to_owned(), url: self.settings().page(&format!("{path}{}/", encode(key))) }
    }
}
