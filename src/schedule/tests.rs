//! Times of schedules: zones, both days of a clock change, leap days, and what
//! becomes of missed runs.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{Agenda, CronTextError, Due, Planned, Recurrence};

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn cron(text: &str, zone_name: &str) -> Recurrence {
    Recurrence::parse(text, zone(zone_name)).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next times after `from`, as the zone's wall clock with its offset shows them.
fn times(text: &str, zone_name: &str, from: &str, count: usize) -> Vec<String> {
    let recurrence = cron(text, zone_name);
    let mut then = at(from);
    let mut times = Vec::new();
    for _ in 0..count {
        then = recurrence.next_after(then).unwrap();
        let shown = then.to_zoned(zone(zone_name));
        times.push(shown.strftime("%m-%d %H:%M%:z").to_string());
    }
    times
}

#[test]
fn times_follow_the_zones_wall_clock() {
    for (text, zone, from, expected) in [
        (
            "17 3 * * *",
            "UTC",
            "2026-01-18T03:16:59Z",
            ["01-18 03:17+00:00", "01-19 03:17+00:00"],
        ),
        (
            "17 3 * * *",
            "UTC",
            "2026-01-18T03:17:00Z",
            ["01-19 03:17+00:00", "01-20 03:17+00:00"],
        ),
        (
            "0 3 * * *",
            "Asia/Kolkata",
            "2026-01-18T00:00:00Z",
            ["01-19 03:00+05:30", "01-20 03:00+05:30"],
        ),
        (
            "*/15 * * * *",
            "UTC",
            "2026-01-18T23:40:00Z",
            ["01-18 23:45+00:00", "01-19 00:00+00:00"],
        ),
        (
            "0 0 29 2 *",
            "UTC",
            "2025-03-01T00:00:00Z",
            ["02-29 00:00+00:00", "02-29 00:00+00:00"],
        ),
        (
            "0 4 L * *",
            "UTC",
            "2026-02-01T00:00:00Z",
            ["02-28 04:00+00:00", "03-31 04:00+00:00"],
        ),
        (
            "0 4 * * 5L",
            "UTC",
            "2026-01-01T00:00:00Z",
            ["01-30 04:00+00:00", "02-27 04:00+00:00"],
        ),
        (
            "0 4 * * MON#1",
            "UTC",
            "2026-01-01T00:00:00Z",
            ["01-05 04:00+00:00", "02-02 04:00+00:00"],
        ),
        (
            "0 4 15W * *",
            "UTC",
            "2026-02-01T00:00:00Z",
            ["02-16 04:00+00:00", "03-16 04:00+00:00"],
        ),
        // Either day fits, as in every cron.
        (
            "0 4 13 * FRI",
            "UTC",
            "2026-01-08T00:00:00Z",
            ["01-09 04:00+00:00", "01-13 04:00+00:00"],
        ),
        (
            "0 12 * * 0",
            "UTC",
            "2026-01-12T00:00:00Z",
            ["01-18 12:00+00:00", "01-25 12:00+00:00"],
        ),
        (
            "0 12 * * 7",
            "UTC",
            "2026-01-12T00:00:00Z",
            ["01-18 12:00+00:00", "01-25 12:00+00:00"],
        ),
    ] {
        assert_eq!(times(text, zone, from, 2), expected, "{text} in {zone}");
    }
}

#[test]
fn a_time_that_the_clock_skips_comes_once_right_after() {
    // 2026-03-29: 02:00 is 03:00 in Amsterdam.
    let spring = "2026-03-28T22:00:00Z";
    for (text, expected) in [
        ("30 2 * * *", ["03-29 03:00+02:00", "03-30 02:30+02:00"]),
        ("0 2,14 * * *", ["03-29 03:00+02:00", "03-29 14:00+02:00"]),
        ("*/15 2 * * *", ["03-29 03:00+02:00", "03-30 02:00+02:00"]),
        ("30 1-3 * * *", ["03-29 01:30+01:00", "03-29 03:00+02:00"]),
        ("59 1 * * *", ["03-29 01:59+01:00", "03-30 01:59+02:00"]),
        ("0 3 * * *", ["03-29 03:00+02:00", "03-30 03:00+02:00"]),
    ] {
        assert_eq!(
            times(text, "Europe/Amsterdam", spring, 2),
            expected,
            "{text}"
        );
    }
    // At midnight (Beirut), and of half an hour only (Lord Howe).
    assert_eq!(
        times("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00:00Z", 2),
        ["03-29 01:00+03:00", "03-30 00:00+03:00"]
    );
    assert_eq!(
        times(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            2
        ),
        ["10-04 02:30+11:00", "10-05 02:15+11:00"]
    );
}

#[test]
fn a_day_that_a_zone_skips_has_its_run_after_it() {
    // Samoa had no 2011-12-30.
    assert_eq!(
        times("0 3 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z", 3),
        [
            "12-31 00:00+14:00",
            "12-31 03:00+14:00",
            "01-01 03:00+14:00"
        ]
    );
}

#[test]
fn a_time_that_comes_twice_counts_once() {
    // 2026-10-25: 03:00 is 02:00 again in Amsterdam.
    let autumn = "2026-10-24T13:00:00Z";
    for (text, expected) in [
        ("30 2 * * *", ["10-25 02:30+02:00", "10-26 02:30+01:00"]),
        ("0 2,14 * * *", ["10-25 02:00+02:00", "10-25 14:00+01:00"]),
    ] {
        assert_eq!(
            times(text, "Europe/Amsterdam", autumn, 2),
            expected,
            "{text}"
        );
    }
    // Asked between the two: it has been.
    assert_eq!(
        times("30 2 * * *", "Europe/Amsterdam", "2026-10-25T00:45:00Z", 1),
        ["10-26 02:30+01:00"]
    );
}

#[test]
fn what_runs_every_hour_does_so_in_both_of_the_doubled_ones() {
    assert_eq!(
        times("30 * * * *", "Europe/Amsterdam", "2026-10-24T23:40:00Z", 3),
        [
            "10-25 02:30+02:00",
            "10-25 02:30+01:00",
            "10-25 03:30+01:00"
        ]
    );
    assert_eq!(
        times(
            "*/30 * * * *",
            "Europe/Amsterdam",
            "2026-03-29T00:20:00Z",
            3
        ),
        [
            "03-29 01:30+01:00",
            "03-29 03:00+02:00",
            "03-29 03:30+02:00"
        ]
    );
}

#[test]
fn nonsense_is_refused() {
    let refused = |text: &str| Recurrence::parse(text, TimeZone::UTC).unwrap_err();
    for (text, fields) in [("", 0), ("@daily", 1), ("* * * *", 4), ("0 0 3 * * *", 6)] {
        assert_eq!(refused(text), CronTextError::Fields(fields), "{text:?}");
    }
    for text in [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "a b c d e",
        "*/0 * * * *",
        "5-1 * * * *",
        "1,,2 * * * *",
        "1, * * * *",
        "1- * * * *",
        "*/ * * * *",
        "1--2 * * * *",
        "*5 * * * *",
        "-1 * * * *",
        "* * * * FOO",
    ] {
        let refused = refused(text);
        assert!(
            matches!(
                refused,
                CronTextError::Wrong(_) | CronTextError::Field { .. }
            ),
            "{text}: {refused}"
        );
    }
    let said = |text| refused(text).to_string();
    assert!(said("0 24 * * *").starts_with("\"24\" is no hour: 0 to 23, each"));
    assert!(said("0 3 * * MON-FOO").starts_with("\"MON-FOO\" is no day of week: 0 to 7"));
    assert!(said("@daily").ends_with("here is 1"));
}

/// Vixie cron's rule: a star with steps behind it is a star.
#[test]
fn two_days_are_either_unless_one_of_them_begins_with_a_star() {
    for (text, expected) in [
        ("0 3 13 * 5", ["02-06 03:00+00:00", "02-13 03:00+00:00"]),
        ("0 3 14 * 5", ["02-06 03:00+00:00", "02-13 03:00+00:00"]),
        ("0 3 */2 * 1", ["02-09 03:00+00:00", "02-23 03:00+00:00"]),
        ("0 3 1-7 * */2", ["02-01 03:00+00:00", "02-03 03:00+00:00"]),
        ("0 3 * * 1", ["02-02 03:00+00:00", "02-09 03:00+00:00"]),
    ] {
        let from = "2026-02-01T00:00:00Z";
        assert_eq!(times(text, "UTC", from, 2), expected, "{text}");
    }
}

#[test]
fn what_never_comes_is_refused() {
    for text in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 *"] {
        let refused = Recurrence::parse(text, TimeZone::UTC).unwrap_err();
        assert_eq!(refused, CronTextError::Never, "{text}");
    }
}

fn expressions() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("* * * * *"),
        Just("*/15 * * * *"),
        Just("30 * * * *"),
        Just("0 */6 * * *"),
        Just("30 2 * * *"),
        Just("0 0 * * *"),
        Just("*/20 1-3 * * *"),
        Just("0 3 29 2 *"),
        Just("15 2 L * *"),
        Just("45 1 * * SUN#2,SUN#4"),
    ]
}

fn zones() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("UTC"),
        Just("Europe/Amsterdam"),
        Just("America/New_York"),
        Just("Asia/Beirut"),
        Just("Australia/Lord_Howe"),
        Just("Pacific/Apia"),
        Just("Asia/Kathmandu"),
    ]
}

proptest! {
    #[test]
    fn the_next_time_is_later_and_the_last_until_it_is_itself(
        text in expressions(), zone in zones(), seconds in 0_i64..2_500_000_000,
    ) {
        let recurrence = cron(text, zone);
        let then = Timestamp::from_second(seconds).unwrap();
        let next = recurrence.next_after(then).unwrap();
        prop_assert!(next > then);
        prop_assert_eq!(recurrence.last_until(next), Some(next));
        // Nothing lies between: what was last at `then` is last until just before.
        let before = next - 1.nanosecond();
        prop_assert_eq!(recurrence.last_until(before), recurrence.last_until(then));
    }

    #[test]
    fn around_clock_changes_both_directions_tell_the_same_times(
        text in expressions(), zone in zones(), year in 2020_i16..2030, minutes in -4000_i64..4000,
    ) {
        let recurrence = cron(text, zone);
        let new_year = jiff::civil::date(year, 1, 1).to_zoned(recurrence.zone().clone()).unwrap();
        let changes = recurrence.zone().following(new_year.timestamp()).take(2);
        for change in changes.collect::<Vec<_>>() {
            let then = change.timestamp() + SignedDuration::from_mins(minutes);
            let next = recurrence.next_after(then).unwrap();
            prop_assert!(next > then);
            prop_assert_eq!(recurrence.last_until(next), Some(next));
            prop_assert_eq!(
                recurrence.last_until(next - 1.nanosecond()),
                recurrence.last_until(then)
            );
        }
    }

    /// Whenever it is asked, a nightly run comes once for each night.
    #[test]
    fn no_night_is_lost_and_none_comes_twice(
        zone in zones(), pauses in proptest::collection::vec(1_i64..5000, 1..200),
    ) {
        let start = at("2026-03-20T12:00:00Z");
        let mut agenda = nightly("30 2 * * *", zone, start, true);
        let recurrence = cron("30 2 * * *", zone);
        let mut now = start;
        for pause in pauses {
            let before = now;
            now += SignedDuration::from_secs(pause * 10);
            let passed = recurrence.next_after(before).is_some_and(|next| next <= now);
            prop_assert_eq!(agenda.take_due(now).len(), usize::from(passed));
            prop_assert_eq!(agenda.take_due(now), vec![]);
        }
    }
}

fn nightly(text: &str, zone: &str, since: Timestamp, catch_up: bool) -> Agenda {
    Agenda::new(vec![planned("nightly", text, zone, since, catch_up)])
}

fn planned(name: &str, text: &str, zone: &str, since: Timestamp, catch_up: bool) -> Planned {
    Planned {
        name: name.to_owned(),
        recurrence: cron(text, zone),
        catch_up,
        since,
    }
}

fn due(name: &str, time: &str, missed: bool) -> Due {
    Due {
        name: name.to_owned(),
        at: at(time),
        missed,
    }
}

#[test]
fn nights_that_were_missed_are_made_up_for_once() {
    let mut agenda = nightly("0 3 * * *", "UTC", at("2026-01-10T03:00:02Z"), true);
    let now = at("2026-01-18T09:00:00Z");
    assert_eq!(
        agenda.take_due(now),
        [due("nightly", "2026-01-18T03:00:00Z", true)]
    );
    assert_eq!(agenda.take_due(now), []);
    assert_eq!(agenda.next(), Some(("nightly", at("2026-01-19T03:00:00Z"))));
}

#[test]
fn what_is_not_to_be_made_up_for_waits_for_its_next_time() {
    let mut agenda = nightly("0 3 * * *", "UTC", at("2026-01-10T03:00:02Z"), false);
    assert_eq!(agenda.take_due(at("2026-01-18T09:00:00Z")), []);
    assert_eq!(agenda.next(), Some(("nightly", at("2026-01-19T03:00:00Z"))));
    assert_eq!(
        agenda.take_due(at("2026-01-19T03:00:30Z")),
        [due("nightly", "2026-01-19T03:00:00Z", false)]
    );
}

#[test]
fn what_is_due_at_once_comes_in_order_of_its_time_then_of_the_file() {
    let since = at("2026-01-18T00:00:00Z");
    let mut agenda = Agenda::new(vec![
        planned("late", "0 4 * * *", "UTC", since, true),
        planned("b", "0 3 * * *", "UTC", since, true),
        planned("a", "0 3 * * *", "UTC", since, true),
    ]);
    let due = agenda.take_due(at("2026-01-18T05:00:00Z"));
    let names: Vec<&str> = due.iter().map(|due| due.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "late"]);
}

#[test]
fn a_clock_that_is_set_back_a_little_repeats_nothing() {
    let mut agenda = nightly("0 3 * * *", "UTC", at("2026-01-18T02:00:00Z"), true);
    assert_eq!(agenda.take_due(at("2026-01-18T03:00:01Z")).len(), 1);
    assert_eq!(agenda.take_due(at("2026-01-18T02:30:00Z")), []);
    assert_eq!(agenda.take_due(at("2026-01-18T03:00:00Z")), []);
    assert_eq!(agenda.take_due(at("2026-01-19T03:00:00Z")).len(), 1);
}

#[test]
fn a_clock_that_was_a_year_ahead_stops_nothing() {
    let mut agenda = nightly("0 3 * * *", "UTC", at("2027-01-18T03:00:00Z"), true);
    assert_eq!(agenda.take_due(at("2026-01-18T12:00:00Z")), []);
    assert_eq!(agenda.take_due(at("2026-01-19T03:00:10Z")).len(), 1);
}

#[test]
fn other_schedules_keep_what_was_seen_to_and_new_ones_begin_now() {
    let since = at("2026-01-18T02:00:00Z");
    let mut agenda = nightly("0 3 * * *", "UTC", since, true);
    let now = at("2026-01-18T12:00:00Z");
    agenda.replace(
        vec![
            planned("nightly", "0 3 * * *", "UTC", now, true),
            planned("new", "0 4 * * *", "UTC", since, true),
        ],
        now,
    );
    assert_eq!(
        agenda.take_due(now),
        [due("nightly", "2026-01-18T03:00:00Z", true)]
    );
    let mut moved = nightly("0 3 * * *", "UTC", since, true);
    moved.replace(
        vec![planned("nightly", "0 5 * * *", "UTC", since, true)],
        now,
    );
    assert_eq!(moved.take_due(now), []);
}
