//! A STOMP frame, its ordered headers and the protocol's versions.

use std::{fmt, str::FromStr};

use bytes::Bytes;

/// A version of the protocol. They differ in how headers are escaped and how a message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// 1.0: no escapes, no heart-beats; a message is acknowledged by its `message-id`.
    #[default]
    V1_0,
    /// 1.1: escapes for colon, line feed and backslash; acknowledged by `message-id` and `subscription`.
    V1_1,
    /// 1.2: escapes for carriage return too; acknowledged by the value of the message's `ack` header.
    V1_2,
}

impl Version {
    /// All versions, the best first.
    pub const ALL: [Self; 3] = [Self::V1_2, Self::V1_1, Self::V1_0];

    /// The version as it stands in `accept-version` and `version` headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// The best version named in an `accept-version` list such as `1.0,1.1`, if we know any of them.
    pub fn best_of(list: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| list.split(',').any(|item| item.trim() == version.as_str()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::best_of(text).ok_or_else(|| format!("STOMP version {text:?} is not one of 1.0, 1.1, 1.2"))
    }
}

/// Headers in the order they were written. When a name is repeated its first value wins, as STOMP demands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of the name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Adds a header at the end. It is not seen by [`Headers::get`] when the name is there already.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Sets the name to this one value, in the place of its first occurrence if it has one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        let at = self.0.iter().position(|(key, _)| key == name);
        self.0.retain(|(key, _)| key != name);
        match at {
            Some(at) => self.0.insert(at, (name.to_owned(), value)),
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes every occurrence of the name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// Names and values in order, repetitions included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many header lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<(String, String)>> for Headers {
    fn from(list: Vec<(String, String)>) -> Self {
        Self(list)
    }
}

impl From<Headers> for Vec<(String, String)> {
    fn from(headers: Headers) -> Self {
        headers.0
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(list: I) -> Self {
        Self(list.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// One STOMP frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// `SEND`, `MESSAGE` and so on, in capitals.
    pub command: String,
    /// Headers, unescaped.
    pub headers: Headers,
    /// The body's bytes; empty when there is none.
    pub body: Bytes,
}

impl Frame {
    /// A frame with neither headers nor body.
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), headers: Headers::new(), body: Bytes::new() }
    }

    /// The frame with one more header.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The frame with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_repeated_header_wins() {
        let frame = Frame::new("MESSAGE").with("foo", "first").with("foo", "second");
        assert_eq!(frame.get("foo"), Some("first"));
        assert_eq!(frame.headers.len(), 2);
    }

    #[test]
    fn set_replaces_every_occurrence_in_the_place_of_the_first() {
        let mut headers: Headers = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        headers.set("a", "4");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", "4"), ("b", "2")]);
    }

    #[test]
    fn the_best_common_version_is_chosen() {
        assert_eq!(Version::best_of("1.0,1.1"), Some(Version::V1_1));
        assert_eq!(Version::best_of("1.2, 1.1"), Some(Version::V1_2));
        assert_eq!(Version::best_of("2.0"), None);
        assert!("7".parse::<Version>().unwrap_err().contains("1.0, 1.1, 1.2"));
    }
}
