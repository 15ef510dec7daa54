//! Values that clients send, read as the type of their column or refused in the words clients know.

use std::net::IpAddr;

use chrono_tz::Tz;
use serde_json::{Map, Value as JsonValue};
use swf_db::Value;
use swf_db::schema::Kind;
use uuid::Uuid;

use super::describe::{Facts, Field};
use super::times;

/// What a client sent to write a row.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Field names and values; names nobody knows are ignored.
    pub fields: Map<String, JsonValue>,
    /// It came as a form: everything is text, and an empty text means "nothing given".
    pub form: bool,
}

impl Input {
    /// From a JSON object.
    pub fn json(fields: Map<String, JsonValue>) -> Input {
        Input { fields, form: false }
    }

    /// From any JSON value; only objects can be written.
    pub fn from_value(value: JsonValue) -> Result<Input, super::Error> {
        match value {
            JsonValue::Object(fields) => Ok(Input::json(fields)),
            JsonValue::Null => Err(super::Error::general("No data provided")),
            other => {
                let kind = type_name(&other);
                Err(super::Error::general(format!("Invalid data. Expected a dictionary, but got {kind}.")))
            }
        }
    }

    /// The value of a field as it is to be read; `None` when nothing was given.
    pub fn value(&self, field: &Field, facts: &Facts) -> Option<JsonValue> {
        let value = self.fields.get(field.name)?;
        let JsonValue::String(text) = value else { return Some(value.clone()) };
        if !self.form {
            return Some(value.clone());
        }
        let is_text = matches!(facts.kind, Kind::Varchar(_) | Kind::Text);
        match facts.kind {
            _ if text.is_empty() && !is_text && facts.null => Some(JsonValue::Null),
            _ if text.is_empty() && !is_text && !facts.required() => None,
            // A form holds a document as its text; what does not parse is refused like any wrong value.
            Kind::Json => Some(serde_json::from_str(text).unwrap_or_else(|_| value.clone())),
            _ => Some(value.clone()),
        }
    }
}

/// The name that texts give to the type of a JSON value.
pub fn type_name(value: &JsonValue) -> &'static str {
    match value {
        JsonValue::Null => "NoneType",
        JsonValue::Bool(_) => "bool",
        JsonValue::Number(n) if n.is_f64() => "float",
        JsonValue::Number(_) => "int",
        JsonValue::String(_) => "str",
        JsonValue::Array(_) => "list",
        JsonValue::Object(_) => "dict",
    }
}

/// Reads a value for a column; the texts say what is wrong.
pub fn read(value: &JsonValue, field: &Field, facts: &Facts, zone: Tz) -> Result<Value, Vec<String>> {
    if value.is_null() {
        return if facts.null { Ok(Value::Null) } else { one("This field may not be null.") };
    }
    if !facts.choices.is_empty() {
        return choice(value, facts);
    }
    match facts.kind {
        Kind::SmallInt => integer(value, field.range.unwrap_or((i16::MIN.into(), i16::MAX.into()))),
        Kind::Integer => integer(value, field.range.unwrap_or((i32::MIN.into(), i32::MAX.into()))),
        Kind::BigInt => integer(value, field.range.unwrap_or((i64::MIN, i64::MAX))),
        Kind::Double => {
            number(value).map(Value::Float).ok_or_else(|| vec!["A valid number is required.".into()])
        }
        Kind::Numeric(digits, places) => decimal(value, digits.into(), places.into()),
        Kind::Boolean => boolean(value, facts.null),
        Kind::Varchar(length) => text(value, facts, Some(length.into()), field.url),
        Kind::Text => text(value, facts, None, field.url),
        Kind::Time => moment(value, zone),
        Kind::Uuid => uuid(value).map(Value::Uuid).ok_or_else(|| vec!["Must be a valid UUID.".into()]),
        Kind::Inet => address(value),
        Kind::Json => Ok(Value::Json(value.clone())),
    }
}

fn one<T>(text: &str) -> Result<T, Vec<String>> {
    Err(vec![text.to_owned()])
}

/// A text as clients' languages would write the value.
fn shown(value: &JsonValue) -> String {
    match value {
        JsonValue::String(s) => s.clone(),
        JsonValue::Bool(true) => "True".into(),
        JsonValue::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}

fn choice(value: &JsonValue, facts: &Facts) -> Result<Value, Vec<String>> {
    let given = shown(value);
    let text_column = matches!(facts.kind, Kind::Varchar(_) | Kind::Text);
    if given.is_empty() && facts.blank && text_column {
        return Ok(Value::Text(given));
    }
    match facts.choices.iter().find(|c| **c == given) {
        Some(c) if text_column => Ok(Value::Text((*c).to_owned())),
        Some(c) => Ok(c.parse().map_or(Value::Null, Value::Int)),
        None => Err(vec![format!("\"{given}\" is not a valid choice.")]),
    }
}

/// A whole number, also as text or with zeros after the point.
pub fn whole(value: &JsonValue) -> Option<i128> {
    let text = match value {
        JsonValue::Number(n) => n.to_string(),
        JsonValue::String(s) => s.trim().to_owned(),
        _ => return None,
    };
    let text = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return None,
        None => &text,
    };
    text.parse().ok()
}

fn integer(value: &JsonValue, (low, high): (i64, i64)) -> Result<Value, Vec<String>> {
    if matches!(value, JsonValue::String(s) if s.len() > 1000) {
        return one("String value too large.");
    }
    let digits_only = |s: &String| {
        !s.trim().is_empty() && s.trim().trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit())
    };
    let Some(number) = whole(value) else {
        // Numbers beyond what can be held are out of range, not malformed.
        return match value {
            JsonValue::String(s) if digits_only(s) => Err(vec![too_large(high)]),
            JsonValue::Number(n) if n.as_f64().is_some_and(|f| f.abs() >= 1e30) => Err(vec![too_large(high)]),
            _ => one("A valid integer is required."),
        };
    };
    if number > i128::from(high) {
        return Err(vec![too_large(high)]);
    }
    if number < i128::from(low) {
        return Err(vec![format!("Ensure this value is greater than or equal to {low}.")]);
    }
    Ok(i64::try_from(number).map_or(Value::Null, Value::Int))
}

fn too_large(high: i64) -> String {
    format!("Ensure this value is less than or equal to {high}.")
}

fn number(value: &JsonValue) -> Option<f64> {
    let number = match value {
        JsonValue::Number(n) => n.as_f64(),
        JsonValue::String(s) => s.trim().parse().ok(),
        JsonValue::Bool(b) => Some(f64::from(u8::from(*b))),
        _ => None,
    };
    number.filter(|n| n.is_finite())
}

fn decimal(value: &JsonValue, digits: usize, places: usize) -> Result<Value, Vec<String>> {
    let text = match value {
        JsonValue::Number(n) => n.to_string(),
        JsonValue::String(s) => s.trim().to_owned(),
        _ => return one("A valid number is required."),
    };
    let Some(number) = text.parse::<f64>().ok().filter(|n| n.is_finite()) else {
        return one("A valid number is required.");
    };
    let plain = text.trim_start_matches(['+', '-']);
    let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
    let whole = whole.trim_start_matches('0');
    if whole.len() + part.len() > digits {
        return Err(vec![format!("Ensure that there are no more than {digits} digits in total.")]);
    }
    if part.len() > places {
        return Err(vec![format!("Ensure that there are no more than {places} decimal places.")]);
    }
    if whole.len() > digits - places {
        let before = digits - places;
        return Err(vec![format!(
            "Ensure that there are no more than {before} digits before the decimal point."
        )]);
    }
    Ok(Value::Float(number))
}

fn boolean(value: &JsonValue, null: bool) -> Result<Value, Vec<String>> {
    let given = shown(value).to_ascii_lowercase();
    match given.as_str() {
        "t" | "y" | "yes" | "true" | "on" | "1" => Ok(Value::Bool(true)),
        "f" | "n" | "no" | "false" | "off" | "0" => Ok(Value::Bool(false)),
        "null" | "" if null => Ok(Value::Null),
        _ => one("Must be a valid boolean."),
    }
}

fn text(value: &JsonValue, facts: &Facts, longest: Option<usize>, url: bool) -> Result<Value, Vec<String>> {
    let given = match value {
        JsonValue::String(s) => s.trim().to_owned(),
        JsonValue::Number(n) => n.to_string(),
        _ => return one("Not a valid string."),
    };
    if given.is_empty() {
        return if facts.blank { Ok(Value::Text(given)) } else { one("This field may not be blank.") };
    }
    let mut wrong = Vec::new();
    if given.contains('\0') {
        wrong.push("Null characters are not allowed.".to_owned());
    }
    if let Some(longest) = longest
        && given.chars().count() > longest
    {
        wrong.push(format!("Ensure this field has no more than {longest} characters."));
    }
    if url && !is_url(&given) {
        wrong.push("Enter a valid URL.".to_owned());
    }
    if wrong.is_empty() { Ok(Value::Text(given)) } else { Err(wrong) }
}

/// True for an absolute address with a host; a name without dots must be `localhost`.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https" | "ftp" | "ftps") {
        return false;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_port = authority.rsplit('@').next().unwrap_or_default();
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return false;
    }
    if let Some(six) = host_port.strip_prefix('[') {
        let Some((address, port)) = six.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(port);
    }
    let (host, port) = host_port.find(':').map_or((host_port, ""), |at| host_port.split_at(at));
    let labels = host.split('.').collect::<Vec<_>>();
    let label_fits = |l: &&str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    is_port(port) && labels.iter().all(label_fits) && (labels.len() > 1 || host == "localhost")
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok())
}

fn moment(value: &JsonValue, zone: Tz) -> Result<Value, Vec<String>> {
    match value {
        JsonValue::String(s) => times::read(s, zone).map(Value::Time).map_err(|why| vec![why]),
        _ => one(times::WRONG),
    }
}

/// A UUID in any of its usual spellings.
pub fn uuid(value: &JsonValue) -> Option<Uuid> {
    match value {
        JsonValue::String(s) => Uuid::try_parse(s.trim()).ok(),
        _ => None,
    }
}

fn address(value: &JsonValue) -> Result<Value, Vec<String>> {
    match value {
        JsonValue::String(s) if s.trim().parse::<IpAddr>().is_ok() => Ok(Value::Text(s.trim().to_owned())),
        _ => one("Enter a valid IPv4 or IPv6 address."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_scheme_and_host() {
        for good in
            ["http://localhost:8000/x", "https://a.b-c.org", "http://[::1]:80/", "http://u:p@h.org?x=1"]
        {
            assert!(is_url(good), "{good}");
        }
        for wrong in
            ["a.org", "http://", "http://a b.org", "gopher://a.org", "http://host", "http://a.org:99999"]
        {
            assert!(!is_url(wrong), "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_come_in_several_spellings() {
        for (given, read) in [
            ("5", Some(5)),
            ("\"5\"", Some(5)),
            ("5.0", Some(5)),
            ("\" 7.00 \"", Some(7)),
            ("5.5", None),
            ("true", None),
            ("\"\"", None),
        ] {
            assert_eq!(whole(&serde_json::from_str(given).unwrap()), read, "{given}");
        }
    }
}
