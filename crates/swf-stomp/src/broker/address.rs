//! Destinations as clients write them.

/// A destination, in the one form the broker keeps it by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Address {
    /// Each message goes to every subscriber.
    Topic(String),
    /// Each message goes to one subscriber.
    Queue(String),
    /// A name without a prefix: which of the two depends on the configuration and on who subscribes.
    Bare(String),
}

/// Reads a destination. `/temp-queue/x` and `/temp-topic/x` belong to the connection and become
/// `/remote-temp-…/<connection>.x`, the form in which others answer to them.
pub(super) fn parse(text: &str, session: u64) -> Result<Address, String> {
    let text = text.trim();
    let (prefix, name) = match text.strip_prefix('/') {
        None => ("", text),
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
    };
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(format!(
            "destination {text:?} must be /topic/NAME, /queue/NAME or NAME, with a name of 1 to 255 characters"
        ));
    }
    match prefix {
        "" => Ok(Address::Bare(name.to_owned())),
        "topic" | "remote-temp-topic" => Ok(Address::Topic(text.to_owned())),
        "queue" | "remote-temp-queue" => Ok(Address::Queue(text.to_owned())),
        "temp-topic" => Ok(Address::Topic(format!("/remote-temp-topic/{session}.{name}"))),
        "temp-queue" => Ok(Address::Queue(format!("/remote-temp-queue/{session}.{name}"))),
        _ => Err(format!(
            "destination {text:?}: /{prefix}/ is not one of /topic/, /queue/, /temp-topic/, /temp-queue/"
        )),
    }
}

/// A `reply-to` as others must write it.
pub(super) fn reply_to(text: &str, session: u64) -> Option<String> {
    if !text.starts_with("/temp-") {
        return None;
    }
    match parse(text, session) {
        Ok(Address::Topic(key) | Address::Queue(key)) => Some(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_told_apart_by_their_prefix() {
        assert_eq!(parse("/topic/a/b", 1).unwrap(), Address::Topic("/topic/a/b".into()));
        assert_eq!(parse("/queue/a", 1).unwrap(), Address::Queue("/queue/a".into()));
        assert_eq!(parse("a", 1).unwrap(), Address::Bare("a".into()));
        assert_eq!(parse("/temp-queue/a", 7).unwrap(), Address::Queue("/remote-temp-queue/7.a".into()));
        assert_eq!(reply_to("/temp-queue/a", 7).as_deref(), Some("/remote-temp-queue/7.a"));
        assert_eq!(reply_to("/queue/a", 7), None);
    }

    #[test]
    fn an_unknown_prefix_is_refused_with_the_known_ones() {
        assert!(parse("/exchange/a", 1).unwrap_err().contains("/topic/, /queue/"));
        assert!(parse("/queue/", 1).is_err());
        assert!(parse("", 1).is_err());
    }
}
