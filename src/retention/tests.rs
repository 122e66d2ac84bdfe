use std::collections::BTreeSet;

use jiff::{Span, ToSpan};
use proptest::prelude::*;

use super::*;

fn amsterdam() -> TimeZone {
    TimeZone::get("Europe/Amsterdam").unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn id_of(number: usize) -> BackupId {
    BackupId::from_random((number as u64).to_be_bytes())
}

/// A plain backup of the database "app", numbered in the order of the list.
fn backups(times: &[&str]) -> Vec<Candidate> {
    let backup = |(number, time): (usize, &&str)| Candidate {
        id: id_of(number),
        kind: Kind::Db,
        name: "app".to_owned(),
        group: "app".to_owned(),
        created_at: at(time),
        pinned: false,
        verified: false,
        bytes: 10,
    };
    times.iter().enumerate().map(backup).collect()
}

fn only(floor: u32) -> KeepRules {
    KeepRules {
        floor,
        ..KeepRules::none()
    }
}

/// The numbers of those that stay.
fn kept(plan: &PrunePlan) -> Vec<usize> {
    let kept: BTreeSet<&BackupId> = plan
        .decisions
        .iter()
        .filter(|decision| decision.keep)
        .map(|decision| &decision.id)
        .collect();
    (0..1000).filter(|&n| kept.contains(&id_of(n))).collect()
}

fn said(plan: &PrunePlan, number: usize) -> String {
    let decision = plan.decisions.iter().find(|d| d.id == id_of(number));
    decision.unwrap().to_string()
}

fn plan_utc(candidates: &[Candidate], rules: &KeepRules, now: &str) -> PrunePlan {
    plan(candidates, &rules.clone().into(), at(now), &TimeZone::UTC)
}

const NOW: &str = "2026-01-20T12:00:00Z";

#[test]
fn without_any_rule_everything_stays() {
    let all = backups(&["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]);
    let rules = KeepRules {
        daily: Some(0),
        ..only(1)
    };
    let plan = plan_utc(&all, &rules, NOW);
    assert_eq!(kept(&plan), [0, 1]);
    assert_eq!(said(&plan, 0), "kept: no keep rule is set");
}

#[test]
fn max_age_alone_removes_what_is_older_and_keeps_the_rest() {
    let all = backups(&[
        "2025-12-21T12:00:00Z",
        "2025-12-21T11:59:59Z",
        "2026-01-19T00:00:00Z",
        "2026-01-18T00:00:00Z",
    ]);
    let rules = KeepRules {
        max_age: Age::days(30),
        ..only(1)
    };
    let plan = plan_utc(&all, &rules, NOW);
    assert_eq!(kept(&plan), [0, 2, 3]);
    assert_eq!(said(&plan, 1), "removed: older than 30 days");
}

#[test]
fn max_age_beats_the_keep_rules_but_not_the_protections() {
    let mut all = backups(&[
        "2025-01-01T00:00:00Z",
        "2025-02-01T00:00:00Z",
        "2025-03-01T00:00:00Z",
        "2025-04-01T00:00:00Z",
    ]);
    all[0].pinned = true;
    all[1].verified = true;
    let rules = KeepRules {
        monthly: Some(12),
        max_age: Age::days(30),
        ..only(1)
    };
    let plan = plan_utc(&all, &rules, NOW);
    assert_eq!(kept(&plan), [0, 1, 3]);
    assert_eq!(said(&plan, 0), "kept: kept by hand");
    assert_eq!(said(&plan, 1), "kept: newest verified");
    assert_eq!(said(&plan, 3), "kept: the newest");
}

#[test]
fn every_reason_to_keep_is_told() {
    let mut all = backups(&["2026-01-18T03:00:00Z", "2026-01-11T03:00:00Z"]);
    all[0].pinned = true;
    let rules = KeepRules {
        last: Some(1),
        weekly: Some(4),
        within: Age::days(3),
        ..only(1)
    };
    let plan = plan_utc(&all, &rules, NOW);
    assert_eq!(
        said(&plan, 0),
        "kept: kept by hand; the newest; last 1/1; within 3 days; newest of 2026-W03 (weekly 1/4)"
    );
    assert_eq!(said(&plan, 1), "kept: newest of 2026-W02 (weekly 2/4)");
}

#[test]
fn what_no_rule_wants_goes_and_says_so() {
    let all = backups(&["2026-01-18T03:00:00Z", "2026-01-18T04:00:00Z"]);
    let rules = KeepRules {
        daily: Some(7),
        ..only(1)
    };
    let plan = plan_utc(&all, &rules, NOW);
    assert_eq!(said(&plan, 0), "removed: no rule keeps it");
    assert_eq!((plan.kept_bytes, plan.removed_bytes), (10, 10));
    assert_eq!(plan.removed().count(), 1);
}

#[test]
fn while_the_clock_is_behind_nothing_is_removed() {
    let mut all = backups(&[
        "2019-01-01T00:00:00Z",
        "2019-01-01T01:00:00Z",
        "2026-01-20T12:00:01Z",
    ]);
    // Another name's newest backup tells it as well.
    all[2].group = "other".to_owned();
    let rules = KeepRules {
        max_age: Age::days(1),
        ..only(1)
    };
    let plan = plan_utc(&all, &rules, NOW);
    assert_eq!(kept(&plan), [0, 1, 2]);
    assert!(said(&plan, 0).starts_with("kept: the clock is behind the newest backup (2026-01-20"));
}

#[test]
fn kinds_and_names_have_their_own_floors() {
    let mut all = backups(&[NOW; 6]);
    all[1].kind = Kind::Source;
    all[2].group = "other".to_owned();
    let rules = KeepRules {
        last: Some(1),
        ..only(1)
    };
    // Of the four that remain in one group the greatest id is the newest.
    assert_eq!(kept(&plan_utc(&all, &rules, NOW)), [1, 2, 5]);
}

#[test]
fn a_floor_of_0_still_keeps_the_newest() {
    let all = backups(&["2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z"]);
    let rules = KeepRules {
        max_age: Age::days(1),
        ..only(0)
    };
    assert_eq!(kept(&plan_utc(&all, &rules, NOW)), [1]);
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
fn within_keeps_what_is_exactly_that_old() {
    let all = backups(&[
        "2026-01-17T11:59:59Z",
        "2026-01-17T12:00:00Z",
        "2026-01-20T12:00:00Z",
    ]);
    let rules = KeepRules {
        within: Age::days(3),
        ..only(1)
    };
    assert_eq!(kept(&plan_utc(&all, &rules, NOW)), [1, 2]);
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

/// Nightly at the local time of `from`.
fn nightly(from: &str, nights: i64) -> Vec<Candidate> {
    let first = at(from).to_zoned(amsterdam());
    let night = |n: i64| Candidate {
        id: id_of(n as usize),
        kind: Kind::Db,
        name: "app".to_owned(),
        group: "app".to_owned(),
        created_at: first.checked_add(Span::new().days(n)).unwrap().timestamp(),
        pinned: false,
        verified: false,
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

/// What lies there once the plan was carried out.
fn after(candidates: &[Candidate], plan: &PrunePlan) -> Vec<Candidate> {
    let gone: BTreeSet<&BackupId> = plan.removed().map(|decision| &decision.id).collect();
    let stays = |candidate: &&Candidate| !gone.contains(&candidate.id);
    candidates.iter().filter(stays).cloned().collect()
}

const HISTORY_END: i64 = 1_800_000_000;

fn any_history() -> impl Strategy<Value = Vec<Candidate>> {
    let year = 365 * 24 * 3600;
    // Hours, so that buckets are shared; some in the same second.
    let created = prop_oneof![
        (0_i64..3 * year).prop_map(|back| HISTORY_END - back),
        (0_i64..20 * 24).prop_map(|hours| HISTORY_END - hours * 3600),
    ];
    let one = (created, any::<bool>(), 0..2_u8, 0..12_u8, 0..5_u8);
    prop::collection::vec(one, 0..60).prop_map(|all| {
        let candidate = |(number, (second, db, name, pin, proof)): (usize, _)| {
            let second: i64 = second;
            let name: u8 = name;
            Candidate {
                id: id_of(number),
                kind: if db { Kind::Db } else { Kind::Source },
                name: format!("name{name}"),
                group: format!("name{name}"),
                created_at: Timestamp::from_second(second).unwrap(),
                pinned: pin == 0,
                verified: proof == 0,
                bytes: 1,
            }
        };
        all.into_iter().enumerate().map(candidate).collect()
    })
}

fn any_rules() -> impl Strategy<Value = KeepRules> {
    let count = || prop::option::of(0_u32..15);
    let age =
        || prop::option::weighted(0.3, (1_u32..900).prop_map(|days| Age::days(days).unwrap()));
    let counts = (count(), count(), count(), count(), count(), count());
    (counts, age(), age(), 0_u32..6).prop_map(|(counts, within, max_age, floor)| {
        let (last, hourly, daily, weekly, monthly, yearly) = counts;
        KeepRules {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within,
            max_age,
            floor,
        }
    })
}

/// Mostly after the history, sometimes in the middle of it.
fn any_clock() -> impl Strategy<Value = Timestamp> {
    let second = prop_oneof![
        4 => 0_i64..100_000_000,
        1 => -50_000_000_i64..0,
    ];
    second.prop_map(|after| Timestamp::from_second(HISTORY_END + after).unwrap())
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    let names = [
        "UTC",
        "Europe/Amsterdam",
        "Pacific/Apia",
        "America/St_Johns",
    ];
    prop::sample::select(names.to_vec()).prop_map(|name| TimeZone::get(name).unwrap())
}

/// Each rule raised or newly set, the others as they were.
fn generous(rules: &KeepRules) -> Vec<KeepRules> {
    let more = |count: Option<u32>| Some(count.unwrap_or(0) + 1);
    let longer = |age: Option<Age>| age.and_then(|_| Age::days(2000));
    vec![
        KeepRules {
            last: more(rules.last),
            ..rules.clone()
        },
        KeepRules {
            hourly: more(rules.hourly),
            ..rules.clone()
        },
        KeepRules {
            daily: more(rules.daily),
            ..rules.clone()
        },
        KeepRules {
            weekly: more(rules.weekly),
            ..rules.clone()
        },
        KeepRules {
            monthly: more(rules.monthly),
            ..rules.clone()
        },
        KeepRules {
            yearly: more(rules.yearly),
            ..rules.clone()
        },
        KeepRules {
            within: Age::days(2000),
            ..rules.clone()
        },
        KeepRules {
            max_age: longer(rules.max_age),
            ..rules.clone()
        },
        KeepRules {
            max_age: None,
            ..rules.clone()
        },
        KeepRules {
            floor: rules.floor + 1,
            ..rules.clone()
        },
    ]
}

fn kept_ids(plan: &PrunePlan) -> BTreeSet<BackupId> {
    let kept = plan.decisions.iter().filter(|decision| decision.keep);
    kept.map(|decision| decision.id.clone()).collect()
}

/// The backups of each kind and name, the newest first.
fn groups(history: &[Candidate]) -> BTreeMap<(Kind, &str), Vec<&Candidate>> {
    let mut groups: BTreeMap<(Kind, &str), Vec<&Candidate>> = BTreeMap::new();
    for candidate in history {
        let group = groups
            .entry((candidate.kind, &candidate.group))
            .or_default();
        group.push(candidate);
    }
    for group in groups.values_mut() {
        group.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    }
    groups
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2500))]

    #[test]
    fn every_backup_gets_one_decision_with_a_reason(
        history in any_history(), rules in any_rules(), now in any_clock(), zone in any_zone()
    ) {
        let plan = plan(&history, &rules.clone().into(), now, &zone);
        let ids: BTreeSet<_> = plan.decisions.iter().map(|d| d.id.clone()).collect();
        prop_assert_eq!(ids.len(), history.len());
        prop_assert_eq!(plan.decisions.len(), history.len());
        prop_assert!(plan.decisions.iter().all(|d| !d.reasons.is_empty()));
        prop_assert_eq!(plan.kept_bytes + plan.removed_bytes, history.len() as u64);
    }

    #[test]
    fn floor_pins_and_newest_proof_stay_under_every_policy(
        history in any_history(), rules in any_rules(), now in any_clock(), zone in any_zone()
    ) {
        let kept = kept_ids(&plan(&history, &rules.clone().into(), now, &zone));
        for group in groups(&history).values() {
            let floor = rules.floor.max(1) as usize;
            let pinned = group.iter().filter(|candidate| candidate.pinned);
            let proven = group.iter().find(|candidate| candidate.verified);
            for candidate in group.iter().take(floor).chain(pinned).chain(proven) {
                prop_assert!(kept.contains(&candidate.id), "{candidate:?}");
            }
        }
    }

    #[test]
    fn a_clock_behind_the_newest_backup_removes_nothing(
        history in any_history(), rules in any_rules(), now in any_clock(), zone in any_zone()
    ) {
        let is_behind = history.iter().any(|candidate| candidate.created_at > now);
        let plan = plan(&history, &rules.clone().into(), now, &zone);
        prop_assert!(!is_behind || plan.removed().count() == 0);
    }

    #[test]
    fn the_newest_of_each_of_the_newest_buckets_stays(
        history in any_history(), days in 1_u32..40, now in any_clock(), zone in any_zone()
    ) {
        let rules = KeepRules { daily: Some(days), ..KeepRules::none() };
        let kept = kept_ids(&plan(&history, &rules.clone().into(), now, &zone));
        for group in groups(&history).values() {
            let mut seen = BTreeSet::new();
            for candidate in group {
                let date = candidate.created_at.to_zoned(zone.clone()).date();
                if seen.insert(date) && seen.len() <= days as usize {
                    prop_assert!(kept.contains(&candidate.id));
                }
            }
        }
    }

    #[test]
    fn more_policy_never_keeps_less(
        history in any_history(), rules in any_rules(), now in any_clock(), zone in any_zone()
    ) {
        // From "no rule keeps everything" every rule is a step down.
        prop_assume!(rules.has_keep_rule());
        let kept = kept_ids(&plan(&history, &rules.clone().into(), now, &zone));
        for more in generous(&rules) {
            let more_kept = kept_ids(&plan(&history, &more.clone().into(), now, &zone));
            prop_assert!(kept.is_subset(&more_kept), "{more:?}");
        }
    }

    #[test]
    fn pruning_twice_is_pruning_once(
        history in any_history(), rules in any_rules(), now in any_clock(), zone in any_zone()
    ) {
        let left = after(&history, &plan(&history, &rules.clone().into(), now, &zone));
        prop_assert_eq!(plan(&left, &rules.clone().into(), now, &zone).removed().count(), 0);
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter(
        history in any_history(), rules in any_rules(), now in any_clock()
    ) {
        let turned: Vec<_> = history.iter().rev().cloned().collect();
        prop_assert_eq!(
            plan(&history, &rules.clone().into(), now, &TimeZone::UTC),
            plan(&turned, &rules.clone().into(), now, &TimeZone::UTC)
        );
    }
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
