//! Times as tools read and write them.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::Error;

/// A moment in an answer: ISO 8601, UTC written as `+00:00`, six digits of a second or none.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize, JsonSchema)]
pub struct Iso(pub DateTime<Utc>);

impl Serialize for Iso {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&iso(self.0))
    }
}

/// ISO 8601 in UTC with `+00:00`, as every answer has it.
pub fn iso(time: DateTime<Utc>) -> String {
    let form = if time.nanosecond() == 0 { "%Y-%m-%dT%H:%M:%S+00:00" } else { "%Y-%m-%dT%H:%M:%S%.6f+00:00" };
    time.format(form).to_string()
}

/// Seconds between two warnings about times without offset.
const WARN_EVERY: i64 = 60;

/// Counts a time without offset (`swf_naive_times_total`) and warns of it, once a minute at most: its sender
/// may mean another zone.
pub(crate) fn naive_seen(text: &str, zone: Tz) {
    static LAST: AtomicI64 = AtomicI64::new(0);
    metrics::counter!("swf_naive_times_total").increment(1);
    let now = Utc::now().timestamp();
    let last = LAST.load(Ordering::Relaxed);
    if now - last >= WARN_EVERY
        && LAST.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        tracing::warn!(
            "a time without offset, {text:?}, is read as a time of {zone}; senders should write the offset \
             (further ones are counted in swf_naive_times_total)"
        );
    }
}

/// Reads an ISO 8601 time. Without an offset it is taken in `zone`; a time that the zone's clock change
/// skips or repeats is refused.
pub fn parse_time(field: &str, text: &str, zone: Tz) -> Result<DateTime<Utc>, Error> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z") {
        return Ok(time.with_timezone(&Utc));
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let naive = forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0)));
    let Some(naive) = naive else {
        return Err(Error::invalid(
            field,
            format!("'{text}' is not an ISO 8601 time such as 2026-01-13T11:00:00Z"),
        ));
    };
    naive_seen(text, zone);
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(time) => Ok(time.with_timezone(&Utc)),
        LocalResult::Ambiguous(a, b) => Err(Error::invalid(
            field,
            format!(
                "'{text}' happens twice in {zone} (clock change): write {} or {}",
                iso(a.with_timezone(&Utc)),
                iso(b.with_timezone(&Utc))
            ),
        )),
        LocalResult::None => Err(Error::invalid(
            field,
            format!("'{text}' does not exist in {zone} (clock change): give an offset, for example {text}Z"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_offset_is_read_in_the_zone_and_impossible_ones_are_refused() {
        let zone = chrono_tz::America::New_York;
        let at = |text: &str| parse_time("start_time", text, zone).map(iso).map_err(|e| e.to_string());
        assert_eq!(at("2026-01-13T11:00:00").unwrap(), "2026-01-13T16:00:00+00:00");
        assert_eq!(at("2026-01-13T11:00:00Z").unwrap(), "2026-01-13T11:00:00+00:00");
        assert_eq!(at("2026-01-13").unwrap(), "2026-01-13T05:00:00+00:00");
        assert!(at("2026-11-01T01:30:00").unwrap_err().contains("happens twice"));
        assert!(at("2026-03-08T02:30:00").unwrap_err().contains("does not exist"));
        assert!(at("yesterday").unwrap_err().contains("'yesterday' is not an ISO 8601 time"));
    }
}
