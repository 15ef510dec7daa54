//! Server-Sent Events as bytes.

use bytes::Bytes;
use serde_json::{Map, Value};
use uuid::Uuid;

/// A message with its id. The name of the event is the message's type, if it can stand on one line.
pub(super) fn message(id: Uuid, payload: &Map<String, Value>) -> Bytes {
    let kind = payload.get("msg_type").and_then(Value::as_str).unwrap_or_default();
    let fits = !kind.is_empty() && !kind.chars().any(char::is_control);
    let kind = if fits { kind } else { "message" };
    let data = Value::Object(payload.clone());
    Bytes::from(format!("id: {id}\nevent: {kind}\ndata: {data}\n\n"))
}

/// An event of the stream itself; without id, so the client's last id stays that of a message.
pub(super) fn control(kind: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {kind}\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_message_can_break_out_of_its_event() {
        let payload = json!({"msg_type": "a\nevent: evil", "text": "one\ntwo\r\n\n"});
        let bytes = message(Uuid::nil(), payload.as_object().unwrap());
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.starts_with("id: 00000000-0000-0000-0000-000000000000\nevent: message\ndata: {"),
            "{text}"
        );
        assert!(text.ends_with("}\n\n") && !text.contains('\r'), "{text}");
    }
}
