//! The last word on the size of an answer: whatever a row holds, no answer is longer than the ceiling.
//!
//! Lists cut whole rows themselves ([`crate::list`]); this catches what is large within one row: a log entry of
//! a megabyte, a configuration with everything in it.

use serde_json::Value;

/// Lengths to which long texts are cut, one after the other until the answer fits.
const LENGTHS: [usize; 5] = [20_000, 5_000, 2_000, 1_000, 300];

/// Shortens what is long in an answer until it has at most `ceiling` bytes as JSON, and says so in place.
pub fn fit(mut answer: Value, ceiling: usize) -> Value {
    for length in LENGTHS {
        if bytes(&answer) <= ceiling {
            return answer;
        }
        cut_texts(&mut answer, length);
    }
    while bytes(&answer) > ceiling {
        let Some(largest) = largest_part(&mut answer) else { break };
        let note = format!("… (left out: {} bytes; the answer is limited to {ceiling})", bytes(largest));
        *largest = Value::String(note);
    }
    answer
}

/// Length as JSON.
fn bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
            self.0 += part.len();
            Ok(part.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

fn cut_texts(value: &mut Value, length: usize) {
    match value {
        Value::String(text) => {
            let all = text.chars().count();
            if all > length {
                let kept: String = text.chars().take(length).collect();
                *text = format!("{kept}… ({} characters more)", all - length);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| cut_texts(item, length)),
        Value::Object(fields) => fields.values_mut().for_each(|field| cut_texts(field, length)),
        _ => {}
    }
}

/// The largest object that is a field of the answer or of one of its rows: such objects hold what users
/// stored, as they stored it, so anything may stand in their place.
fn largest_part(answer: &mut Value) -> Option<&mut Value> {
    let fields = answer.as_object_mut()?.values_mut();
    let mut parts: Vec<&mut Value> = Vec::new();
    for field in fields {
        match field {
            Value::Array(rows) => {
                let rows = rows.iter_mut().filter_map(Value::as_object_mut);
                parts.extend(rows.flat_map(|row| row.values_mut()).filter(|v| v.is_object()));
            }
            field if field.is_object() => parts.push(field),
            _ => {}
        }
    }
    parts.into_iter().max_by_key(|part| bytes(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_texts_and_large_objects_give_way_and_small_answers_stay() {
        let small = json!({"message": "short"});
        assert_eq!(fit(small.clone(), 100), small);

        let log = fit(json!({"id": 7, "message": "é".repeat(90_000)}), 10_000);
        assert!(bytes(&log) <= 10_000);
        assert!(
            log["message"].as_str().unwrap().ends_with("(85000 characters more)") || bytes(&log) < 10_000
        );

        let numbers: serde_json::Map<String, Value> = (0..9_000).map(|n| (n.to_string(), n.into())).collect();
        let row = fit(json!({"items": [{"id": 1, "parameter_values": numbers}], "total_count": 1}), 5_000);
        assert!(bytes(&row) <= 5_000);
        assert_eq!((&row["items"][0]["id"], &row["total_count"]), (&json!(1), &json!(1)));
        assert!(row["items"][0]["parameter_values"].as_str().unwrap().contains("left out"));
    }
}
