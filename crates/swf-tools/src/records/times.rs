//! Moments as REST clients read and write them: out in the zone of the installation, in with or without offset.

use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, SubsecRound, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

/// What is said about a text that is no moment.
pub const WRONG: &str = "Datetime has wrong format. Use one of these formats instead: \
                         YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].";

/// ISO 8601 with the zone's offset, `Z` for UTC; microseconds only when there are any.
pub fn show(time: DateTime<Utc>, zone: Tz) -> String {
    let local = time.with_timezone(&zone);
    let offset = local.offset().fix().local_minus_utc();
    let digits = if time.timestamp_subsec_micros() == 0 { "" } else { "%.6f" };
    let zone_text = if offset == 0 { "Z" } else { "%:z" };
    local.format(&format!("%Y-%m-%dT%H:%M:%S{digits}{zone_text}")).to_string()
}

/// Reads ISO 8601. Without an offset it is a time of `zone`; an hour that the clock change repeats is the
/// first of the two, one that it skips is refused.
pub fn read(text: &str, zone: Tz) -> Result<DateTime<Utc>, String> {
    let wrong = || WRONG.to_owned();
    let (naive, offset) = split(text.trim()).ok_or_else(wrong)?;
    let naive = naive.trunc_subsecs(6);
    let time = match offset {
        Some(seconds) => naive.checked_sub_signed(TimeDelta::seconds(seconds)).map(|t| t.and_utc()),
        None => {
            crate::time::naive_seen(text, zone);
            let local = zone.from_local_datetime(&naive).earliest();
            let local = local.ok_or_else(|| format!("Invalid datetime for the timezone \"{zone}\"."))?;
            Some(local.with_timezone(&Utc))
        }
    };
    // Beyond these years the texts that SQLite keeps would no longer sort like the moments.
    time.filter(|t| (1..=9999).contains(&t.year())).ok_or_else(|| "Datetime value out of range.".to_owned())
}

/// Date and time, and the offset in seconds.
fn split(text: &str) -> Option<(NaiveDateTime, Option<i64>)> {
    let date_text = text.get(..10)?;
    let plain = date_text
        .bytes()
        .enumerate()
        .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    if !plain {
        return None;
    }
    let date = NaiveDate::parse_from_str(date_text, "%Y-%m-%d").ok()?;
    let Some(rest) = text.get(10..).filter(|r| !r.is_empty()) else {
        return Some((date.and_time(NaiveTime::MIN), None));
    };
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let at = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(at);
    let time = ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|f| NaiveTime::parse_from_str(clock, f).ok())?;
    let zone = zone.trim();
    let offset = if zone.is_empty() { None } else { Some(seconds(zone)?) };
    Some((date.and_time(time), offset))
}

fn seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest.replace(':', "")),
        ("-", rest) => (-1, rest.replace(':', "")),
        _ => return None,
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..).filter(|m| !m.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Tz = chrono_tz::America::New_York;

    #[test]
    fn moments_are_shown_in_the_zone_and_without_empty_microseconds() {
        let time = DateTime::parse_from_rfc3339("2026-11-22T12:52:53.746980Z").unwrap().to_utc();
        assert_eq!(show(time, HERE), "2026-11-22T07:52:53.746980-05:00");
        assert_eq!(show(time.trunc_subsecs(0), HERE), "2026-11-22T07:52:53-05:00");
        assert_eq!(show(time.trunc_subsecs(0), Tz::UTC), "2026-11-22T12:52:53Z");
    }

    #[test]
    fn times_without_offset_are_times_of_the_zone() {
        let utc = |text: &str| crate::time::iso(read(text, HERE).unwrap());
        assert_eq!(utc("2026-07-01T10:00:00"), "2026-07-01T14:00:00+00:00");
        assert_eq!(utc("2026-07-01 10:00"), "2026-07-01T14:00:00+00:00");
        assert_eq!(utc("2026-07-01T10:00:00.5+02:00"), "2026-07-01T08:00:00.500000+00:00");
        assert_eq!(utc("2026-07-01T10:00:00Z"), "2026-07-01T10:00:00+00:00");
        assert_eq!(utc("2026-07-01T10:00:00.1234567-0230"), "2026-07-01T12:30:00.123456+00:00");
        assert_eq!(utc("2026-11-01T01:30:00"), "2026-11-01T05:30:00+00:00");
        assert!(read("2026-03-08T02:30:00", HERE).unwrap_err().starts_with("Invalid datetime"));
        for wrong in
            ["", "yesterday", "2026-13-01T00:00:00", "2026-01-01T25:00", "2026-01-01T10:00+99", "é026-01-01"]
        {
            assert_eq!(read(wrong, HERE).unwrap_err(), WRONG, "{wrong}");
        }
    }
}
