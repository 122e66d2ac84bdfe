//! Days of 23 and 25 hours, days that never were, weeks over the turn of a year,
//! and two years of nights.

use jiff::{Span, ToSpan};

use super::*;

fn amsterdam() -> TimeZone {
    TimeZone::get("Europe/Amsterdam").unwrap()
}

#[test]
fn the_day_of_23_hours_and_the_day_of_25_hours_are_one_day_each() {
    for times in [
        // 2026-03-29: from 02:00 to 03:00 the clocks go forward.
        [
            "2026-03-29T00:00:00+01:00",
            "2026-03-29T01:59:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T23:59:59+02:00",
            "2026-03-30T00:00:00+02:00",
        ],
        // 2026-10-25: from 03:00 to 02:00 they go back.
        [
            "2026-10-25T00:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T23:59:59+01:00",
            "2026-10-26T00:00:00+01:00",
        ],
    ] {
        let rules = KeepRules {
            daily: Some(9),
            ..only(1)
        };
        let now = at("2026-12-01T00:00:00Z");
        let daily = plan(&backups(&times), &rules.clone().into(), now, &amsterdam());
        assert_eq!(kept(&daily), [3, 4]);
    }
}

#[test]
fn a_clock_turned_back_over_midnight_makes_no_third_day() {
    // St. John's, 2010-11-07: at one minute past midnight it is 23:01 again.
    let all = backups(&[
        "2010-11-06T23:59:00-02:30",
        "2010-11-07T00:00:30-02:30",
        "2010-11-06T23:30:00-03:30",
        "2010-11-07T00:30:00-03:30",
    ]);
    let rules = KeepRules {
        daily: Some(9),
        ..only(1)
    };
    let zone = TimeZone::get("America/St_Johns").unwrap();
    let plan = plan(&all, &rules.clone().into(), at(NOW), &zone);
    assert_eq!(kept(&plan), [2, 3]);
}

#[test]
fn the_hour_that_comes_twice_is_two_hours() {
    let all = backups(&[
        "2026-10-25T02:10:00+02:00",
        "2026-10-25T02:50:00+02:00",
        "2026-10-25T02:10:00+01:00",
        "2026-10-25T02:50:00+01:00",
    ]);
    let rules = KeepRules {
        hourly: Some(24),
        ..only(1)
    };
    let plan = plan(
        &all,
        &rules.clone().into(),
        at("2026-12-01T00:00:00Z"),
        &amsterdam(),
    );
    assert_eq!(kept(&plan), [1, 3]);
    assert_eq!(
        said(&plan, 1),
        "kept: newest of 2026-10-25T02+02:00 (hourly 2/24)"
    );
}

#[test]
fn the_week_of_new_year_is_one_week_of_the_iso_year() {
    // Monday 2025-12-29 to Sunday 2026-01-04 is the first week of 2026.
    let all = backups(&[
        "2025-12-28T12:00:00Z",
        "2025-12-29T12:00:00Z",
        "2026-01-04T12:00:00Z",
        "2026-01-05T12:00:00Z",
    ]);
    let rules = KeepRules {
        weekly: Some(9),
        ..only(1)
    };
    let plan = plan_utc(&all, &rules, NOW);
    assert_eq!(kept(&plan), [0, 2, 3]);
    assert_eq!(said(&plan, 2), "kept: newest of 2026-W01 (weekly 2/9)");
    assert_eq!(said(&plan, 0), "kept: newest of 2025-W52 (weekly 3/9)");
}

/// What stays of `times` by one rule, in a zone of this name.
fn kept_by(rules: KeepRules, times: &[&str], zone: &str) -> Vec<usize> {
    let zone = TimeZone::get(zone).unwrap();
    let now = at("2030-01-01T00:00:00Z");
    kept(&plan(&backups(times), &rules.into(), now, &zone))
}

fn daily() -> KeepRules {
    KeepRules {
        daily: Some(99),
        ..only(1)
    }
}

fn weekly() -> KeepRules {
    KeepRules {
        weekly: Some(99),
        ..only(1)
    }
}

#[test]
fn days_of_23_and_25_hours_have_their_hours() {
    let hourly = KeepRules {
        hourly: Some(99),
        ..only(1)
    };
    for (zone, midnight, hours) in [
        ("Europe/Amsterdam", "2026-03-29T00:00:00+01:00", 23),
        ("Europe/Amsterdam", "2026-10-25T00:00:00+02:00", 25),
        ("America/New_York", "2026-03-08T00:00:00-05:00", 23),
        ("America/New_York", "2026-11-01T00:00:00-04:00", 25),
    ] {
        let times: Vec<String> = (0..hours)
            .map(|hour| (at(midnight) + (hour * 60 + 30).minutes()).to_string())
            .collect();
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        assert_eq!(kept_by(daily(), &times, zone), [hours as usize - 1]);
        let all = kept_by(hourly.clone(), &times, zone);
        assert_eq!(all.len(), hours as usize, "{zone} {midnight}");
    }
}

#[test]
fn a_zone_that_turns_its_clock_by_half_an_hour_has_its_days() {
    // Lord Howe: 2026-04-05 has 24.5 hours, 2026-10-04 has 23.5.
    for times in [
        [
            "2026-04-05T00:00:00+11:00",
            "2026-04-05T23:59:59+10:30",
            "2026-04-06T00:00:00+10:30",
        ],
        [
            "2026-10-04T00:00:00+10:30",
            "2026-10-04T23:59:59+11:00",
            "2026-10-05T00:00:00+11:00",
        ],
    ] {
        assert_eq!(kept_by(daily(), &times, "Australia/Lord_Howe"), [1, 2]);
    }
}

#[test]
fn days_begin_at_the_midnight_of_a_zone_with_a_part_of_an_hour() {
    let times = [
        "2026-01-18T23:59:59+05:45",
        "2026-01-19T00:00:00+05:45",
        "2026-01-19T23:59:59+05:45",
    ];
    assert_eq!(kept_by(daily(), &times, "Asia/Kathmandu"), [0, 2]);
    // There they are three hours of the same UTC day but for the last.
    assert_eq!(kept_by(daily(), &times, "UTC"), [1, 2]);
}

#[test]
fn a_day_that_never_was_is_no_day() {
    // Samoa went from 2011-12-29 straight to 2011-12-31.
    let times = [
        "2011-12-29T12:00:00-10:00",
        "2011-12-29T23:59:59-10:00",
        "2011-12-31T00:00:00+14:00",
        "2011-12-31T23:59:59+14:00",
        "2012-01-01T00:00:00+14:00",
    ];
    assert_eq!(kept_by(daily(), &times, "Pacific/Apia"), [1, 3, 4]);
    let day: Age = "1d".parse().unwrap();
    let zone = TimeZone::get("Pacific/Apia").unwrap();
    let before = day.before(at("2012-01-01T12:00:00+14:00"), &zone);
    assert_eq!(before, at("2011-12-31T12:00:00+14:00"));
    // The 30th's place is taken by the instant at which it would have been.
    let before = day.before(at("2011-12-31T12:00:00+14:00"), &zone);
    assert!(before <= at("2011-12-31T12:00:00+14:00"));
    assert!(before >= at("2011-12-29T12:00:00-10:00"));
}

#[test]
fn weeks_over_the_turn_of_each_year_are_those_of_iso_8601() {
    for (last_of_a_week, first_of_the_next) in [
        // Week 53 of 2020 ends on Sunday, 2021-01-03.
        ("2021-01-03T12:00:00Z", "2021-01-04T12:00:00Z"),
        // Week 52 of 2021 ends on 2022-01-02, week 52 of 2022 on 2023-01-01.
        ("2022-01-02T12:00:00Z", "2022-01-03T12:00:00Z"),
        ("2023-01-01T12:00:00Z", "2023-01-02T12:00:00Z"),
        // Week 1 of 2025 begins on 2024-12-30.
        ("2024-12-29T12:00:00Z", "2024-12-30T12:00:00Z"),
        // Week 53 of 2026 ends on 2027-01-03.
        ("2027-01-03T12:00:00Z", "2027-01-04T12:00:00Z"),
    ] {
        let monday = at(last_of_a_week) - (6 * 24).hours();
        let monday = monday.to_string();
        let times = [&monday, last_of_a_week, first_of_the_next];
        assert_eq!(kept_by(weekly(), &times, "UTC"), [1, 2], "{times:?}");
    }
}

#[test]
fn a_week_with_a_clock_change_begins_on_monday_at_midnight() {
    let times = [
        "2026-03-29T23:59:59+02:00",
        "2026-03-30T00:00:00+02:00",
        "2026-10-25T23:59:59+01:00",
        "2026-10-26T00:00:00+01:00",
    ];
    assert_eq!(kept_by(weekly(), &times, "Europe/Amsterdam"), [0, 1, 2, 3]);
}

/// Nightly at the local time of `from`.
fn nightly(from: &str, nights: i64) -> Vec<Candidate> {
    let first = at(from).to_zoned(amsterdam());
    let night = |n: i64| Candidate {
        id: id_of(n as usize),
        series: Series::called(Kind::Db, "app"),
        created_at: first.checked_add(Span::new().days(n)).unwrap().timestamp(),
        pinned: false,
        verified: false,
        complete: true,
        bytes: 1,
    };
    (0..nights).map(night).collect()
}

/// What two years of nights leave when each is followed by a prune.
const AFTER_TWO_YEARS: &str = "\
2025-12-31 kept: one of the 3 newest; newest of 2025-12-31 (daily 1/7); newest of 2026-W01 (weekly 1/4); newest of 2025-12 (monthly 1/12)
2025-12-30 kept: one of the 3 newest; newest of 2025-12-30 (daily 2/7)
2025-12-29 kept: one of the 3 newest; newest of 2025-12-29 (daily 3/7)
2025-12-28 kept: newest of 2025-12-28 (daily 4/7); newest of 2025-W52 (weekly 2/4)
2025-12-27 kept: newest of 2025-12-27 (daily 5/7)
2025-12-26 kept: newest of 2025-12-26 (daily 6/7)
2025-12-25 kept: newest of 2025-12-25 (daily 7/7)
2025-12-21 kept: newest of 2025-W51 (weekly 3/4)
2025-12-14 kept: newest of 2025-W50 (weekly 4/4)
2025-11-30 kept: newest of 2025-11 (monthly 2/12)
2025-10-31 kept: newest of 2025-10 (monthly 3/12)
2025-09-30 kept: newest of 2025-09 (monthly 4/12)
2025-08-31 kept: newest of 2025-08 (monthly 5/12)
2025-07-31 kept: newest of 2025-07 (monthly 6/12)
2025-06-30 kept: newest of 2025-06 (monthly 7/12)
2025-05-31 kept: newest of 2025-05 (monthly 8/12)
2025-04-30 kept: newest of 2025-04 (monthly 9/12)
2025-03-31 kept: newest of 2025-03 (monthly 10/12)
2025-02-28 kept: newest of 2025-02 (monthly 11/12)
2025-01-31 kept: newest of 2025-01 (monthly 12/12)";

#[test]
fn two_years_of_nights_leave_what_the_table_says() {
    let zone = amsterdam();
    let mut lying: Vec<Candidate> = Vec::new();
    for tonight in nightly("2024-01-01T01:30:00Z", 731) {
        let now = tonight.created_at;
        lying.push(tonight);
        lying = after(
            &lying,
            &plan(&lying, &KeepRules::default().into(), now, &zone),
        );
    }
    let now = at("2025-12-31T12:00:00Z");
    let last = plan(&lying, &KeepRules::default().into(), now, &zone);
    let lines: Vec<String> = last
        .decisions
        .iter()
        .map(|decision| {
            let backup = lying
                .iter()
                .find(|backup| backup.id == decision.id)
                .unwrap();
            let night = backup.created_at.to_zoned(zone.clone());
            format!("{} {decision}", night.date())
        })
        .collect();
    assert_eq!(lines.join("\n"), AFTER_TWO_YEARS);
}

#[test]
fn pruning_every_night_leaves_what_one_prune_leaves() {
    let zone = amsterdam();
    let rules = KeepRules {
        yearly: Some(3),
        ..KeepRules::default()
    };
    let all = nightly("2024-01-01T01:30:00Z", 731);
    let mut lying: Vec<Candidate> = Vec::new();
    for tonight in &all {
        lying.push(tonight.clone());
        lying = after(
            &lying,
            &plan(&lying, &rules.clone().into(), tonight.created_at, &zone),
        );
    }
    let now = all
        .last()
        .unwrap()
        .created_at
        .checked_add(1.hour())
        .unwrap();
    let once = after(&all, &plan(&all, &rules.clone().into(), now, &zone));
    assert_eq!(lying, once);
}
