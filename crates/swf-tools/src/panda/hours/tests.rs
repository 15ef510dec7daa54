//! Which hours are closed, and how windows are split.

use super::*;

fn at(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

fn window(start: &str, end: Option<&str>) -> Window {
    Window { start: at(start), end: end.map(at), given: true }
}

#[test]
fn only_full_hours_that_have_been_over_for_an_hour_are_closed() {
    let now = at("2026-07-15T12:30:00").and_utc();
    let of = |start, end| closed(window(start, end), now, 35);
    let day = of("2026-07-14T12:30:00", None);
    assert_eq!(day, Some((at("2026-07-14T13:00:00"), at("2026-07-15T11:00:00"))));
    let exact = of("2026-07-01T00:00:00", Some("2026-07-02T00:00:00"));
    assert_eq!(exact, Some((at("2026-07-01T00:00:00"), at("2026-07-02T00:00:00"))));
    let long_ago = of("2026-01-01T00:00:00", Some("2026-07-02T00:10:00"));
    assert_eq!(long_ago, Some((at("2026-06-10T12:00:00"), at("2026-07-02T00:00:00"))));
    assert_eq!(of("2026-07-15T11:10:00", None), None);
    assert_eq!(of("2026-07-14T10:10:00", Some("2026-07-14T10:50:00")), None);
    assert_eq!(closed(window("2026-07-14T00:00:00", None), now, 0), None, "turned off");
}

#[test]
fn what_is_not_remembered_is_asked_for_in_one_piece_where_it_touches() {
    let parts = [
        Some(window("2026-07-14T10:00:00", Some("2026-07-14T11:00:00"))),
        Some(window("2026-07-14T12:30:00", None)),
        Some(window("2026-07-14T09:20:00", Some("2026-07-14T10:00:00"))),
    ];
    let wanted = [
        Some(window("2026-07-14T09:20:00", Some("2026-07-14T11:00:00"))),
        Some(window("2026-07-14T12:30:00", None)),
    ];
    assert_eq!(joined(parts.to_vec()), wanted);
}

#[test]
fn hours_are_read_by_the_day_newest_first() {
    let hours: Vec<NaiveDateTime> = each_hour(at("2026-07-10T00:00:00"), at("2026-07-11T03:00:00"))
        .filter(|h| *h != at("2026-07-10T05:00:00"))
        .rev()
        .collect();
    let runs: Vec<usize> = runs(&hours).iter().map(Vec::len).collect();
    assert_eq!(runs, [21, 5]);
    let whole: Vec<NaiveDateTime> =
        each_hour(at("2026-07-10T00:00:00"), at("2026-07-12T00:00:00")).rev().collect();
    assert_eq!(super::runs(&whole).len(), 2);
}

#[test]
fn the_oldest_hours_make_room_for_newer_ones_and_do_not_come_back() {
    let memory = Memory::<Work>::default();
    let cell = || Work {
        place: cell::Place { status: 0, user: 0, site: 0, group: 0, task: None, request: None },
        resource: 0,
        jobs: 1,
        last: None,
        ran: (0, 0.0, 0.0, 0.0),
    };
    let now = at("2026-07-15T12:30:00").and_utc();
    let (first, last) = (at("2026-07-14T00:00:00"), at("2026-07-14T03:00:00"));
    let cells = CELLS / 2;
    memory.keep(each_hour(first, last).rev().map(|start| Hour {
        start,
        made_at: now,
        words: Vec::new(),
        cells: (0..cells).map(|_| cell()).collect(),
    }));
    assert_eq!(lock(&memory.kept).hours.len(), 2);
    assert!(
        memory.missing(first, last, now, 1).is_empty(),
        "the one that did not fit is not asked for again"
    );
    let covered = memory.assemble(window("2026-07-14T00:00:00", None), first, last, now, &Used::default());
    assert_eq!(covered.hours.len(), 2);
    assert_eq!(covered.live.len(), 2);
}
