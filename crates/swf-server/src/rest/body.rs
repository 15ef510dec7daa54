//! Request bodies: JSON or form, of limited size.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde_json::{Map, Value};
use swf_tools::records::Input;

use super::fault::Fault;

/// A body that was read.
#[derive(Debug)]
pub(super) enum Content {
    /// There was none.
    Empty,
    /// JSON of any kind.
    Json(Value),
    /// The fields of a form.
    Form(Map<String, Value>),
}

impl Content {
    /// As the fields of a row; no body is an object without fields.
    pub fn input(self) -> Result<Input, Fault> {
        match self {
            Content::Empty => Ok(Input::default()),
            Content::Json(value) => Ok(Input::from_value(value)?),
            Content::Form(fields) => Ok(Input { fields, form: true }),
        }
    }

    /// As JSON; a form is an object of texts, no body an object without fields.
    pub fn json(self) -> Value {
        match self {
            Content::Empty => Value::Object(Map::new()),
            Content::Json(value) => value,
            Content::Form(fields) => Value::Object(fields),
        }
    }
}

/// Reads a body.
pub(super) async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Content, Fault> {
    let bytes = to_bytes(body, most).await.map_err(|e| {
        let limit = std::error::Error::source(&e).is_some_and(|s| s.is::<http_body_util::LengthLimitError>());
        if limit {
            let detail = format!("The request body is larger than {most} bytes.");
            Fault::Plain(StatusCode::PAYLOAD_TOO_LARGE, detail)
        } else {
            Fault::Plain(StatusCode::BAD_REQUEST, "The request body did not arrive whole.".into())
        }
    })?;
    if bytes.is_empty() {
        return Ok(Content::Empty);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => json(&bytes),
        "application/x-www-form-urlencoded" => Ok(Content::Form(form(&bytes))),
        _ => {
            let detail = format!("Unsupported media type \"{kind}\" in request.");
            Err(Fault::Plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

fn json(bytes: &Bytes) -> Result<Content, Fault> {
    serde_json::from_slice(bytes)
        .map(Content::Json)
        .map_err(|e| Fault::Plain(StatusCode::BAD_REQUEST, format!("JSON parse error - {e}")))
}

fn form(bytes: &Bytes) -> Map<String, Value> {
    let text = String::from_utf8_lossy(bytes);
    pairs(&text).into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}

/// The pairs of a query or form, decoded.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let rest = bytes.clone();
                let digits: Vec<u8> = rest.take(2).collect();
                let code = std::str::from_utf8(&digits).ok().filter(|d| d.len() == 2);
                match code.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                    Some(code) => {
                        out.push(code);
                        bytes.nth(1);
                    }
                    None => out.push(b'%'),
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A query value, encoded.
pub(super) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let pairs = pairs("a=1+2&b=%C3%A9%2F&c&&d=100%&e=%zz%2");
        let expected = [("a", "1 2"), ("b", "é/"), ("c", ""), ("d", "100%"), ("e", "%zz%2")];
        assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(encode("é/ b"), "%C3%A9%2F%20b");
    }
}
