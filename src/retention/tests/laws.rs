//! What holds for every history, policy, clock and time zone.

use jiff::Zoned;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::format::manifest::Kind;
use crate::series::{Series, Variant};

const HISTORY_END: i64 = 1_800_000_000;

const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Amsterdam",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
];

/// Where calendars are odd: a day of 23 hours and one of 25 in three zones, days
/// of 23.5 and 24.5 hours, a day that never was, turns of years.
const ODD_DAYS: [&str; 12] = [
    "2026-03-29T01:00:00Z",
    "2026-10-25T01:00:00Z",
    "2026-03-08T07:00:00Z",
    "2026-11-01T06:00:00Z",
    "2010-03-14T03:31:00Z",
    "2010-11-07T02:31:00Z",
    "2026-04-04T15:00:00Z",
    "2026-10-03T15:30:00Z",
    "2011-12-30T10:00:00Z",
    "2021-01-03T12:00:00Z",
    "2024-12-30T00:00:00Z",
    "2027-01-01T00:00:00Z",
];

/// Seconds from the first to the last, in which the backups of a history lie.
fn any_span() -> impl Strategy<Value = Vec<i64>> {
    let year = 365 * 24 * 3600;
    // Hours, so that buckets are shared; some in the same second.
    let wide = prop_oneof![
        (0_i64..3 * year).prop_map(|back| HISTORY_END - back),
        (0_i64..20 * 24).prop_map(|hours| HISTORY_END - hours * 3600),
    ];
    let around = |day: &str| {
        let day = at(day).as_second();
        (-144_i64..144).prop_map(move |halves| day + halves * 1800)
    };
    let odd = prop::sample::select(ODD_DAYS.to_vec())
        .prop_flat_map(move |day| prop::collection::vec(around(day), 0..60));
    prop_oneof![prop::collection::vec(wide, 0..60), odd]
}

/// Two hosts, three roots of one name; two servers with a database of one name,
/// which is the trees' too, and what was replaced there.
const ALL_SERIES: [(Kind, &str, Option<&str>, Variant); 7] = [
    (Kind::Source, "alpha", Some("/a/app"), Variant::Whole),
    (Kind::Source, "alpha", Some("/b/app"), Variant::Whole),
    (Kind::Source, "alpha", Some("/c/app"), Variant::Whole),
    (Kind::Source, "beta", Some("/a/app"), Variant::Whole),
    (Kind::Db, "one.example:5432", None, Variant::Whole),
    (Kind::Db, "two.example:5432", None, Variant::Whole),
    (Kind::Db, "two.example:5432", None, Variant::Replaced),
];

fn series(number: usize) -> Series {
    let (kind, label, root, variant) = &ALL_SERIES[number];
    Series {
        label: (*label).to_owned(),
        root: root.map(str::to_owned),
        variant: variant.clone(),
        ..Series::called(*kind, "app")
    }
}

fn any_history() -> impl Strategy<Value = Vec<Candidate>> {
    let marks = (0..ALL_SERIES.len(), 0..12_u8, 0..5_u8, 0..4_u8);
    let marks = prop::collection::vec(marks, 60);
    (any_span(), marks).prop_map(|(seconds, marks)| {
        let candidate = |(number, (second, (number_of_series, pin, proof, lack)))| Candidate {
            id: id_of(number),
            series: series(number_of_series),
            created_at: Timestamp::from_second(second).unwrap(),
            pinned: pin == 0,
            verified: proof == 0,
            complete: lack > 0,
            bytes: 1,
        };
        let all = seconds.into_iter().zip(marks).enumerate();
        all.map(candidate).collect()
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

/// Seconds from the newest backup to now: mostly some time after it, sometimes
/// the clock is behind it.
fn any_delay() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => 0_i64..100_000_000,
        2 => (0_i64..480).prop_map(|halves| halves * 1800),
        1 => -50_000_000_i64..0,
    ]
}

fn clock(history: &[Candidate], delay: i64) -> Timestamp {
    let newest = history.iter().map(|candidate| candidate.created_at).max();
    let newest = newest.unwrap_or(at("2026-01-01T00:00:00Z"));
    newest + jiff::SignedDuration::from_secs(delay)
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    prop::sample::select(ZONES.to_vec()).prop_map(|name| TimeZone::get(name).unwrap())
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

/// The backups of each series, the newest first; the incomplete ones apart, where
/// there are others.
fn groups(history: &[Candidate]) -> BTreeMap<(&Series, bool), Vec<&Candidate>> {
    let complete = history.iter().filter(|candidate| candidate.complete);
    let with_complete: BTreeSet<&Series> = complete.map(|candidate| &candidate.series).collect();
    let mut groups: BTreeMap<(&Series, bool), Vec<&Candidate>> = BTreeMap::new();
    for candidate in history {
        let counts = candidate.complete || !with_complete.contains(&candidate.series);
        let group = groups.entry((&candidate.series, counts)).or_default();
        group.push(candidate);
    }
    for group in groups.values_mut() {
        group.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    }
    groups
}

/// The numbers of a piece of the calendar.
type Bucket = (i64, i64, i64);

/// What tells one hour, day, ISO week, month and year from another, read off the
/// calendar and not off a text.
const BUCKETS: [fn(&Zoned) -> Bucket; 5] = [
    |it| {
        let offset = it.offset().seconds();
        let local = it.timestamp().as_second() + i64::from(offset);
        (local.div_euclid(3600), offset.into(), 0)
    },
    |it| (it.year().into(), it.day_of_year().into(), 0),
    |it| {
        let week = it.date().iso_week_date();
        (week.year().into(), week.week().into(), 0)
    },
    |it| (it.year().into(), it.month().into(), 0),
    |it| (it.year().into(), 0, 0),
];

/// The rule of one of [`BUCKETS`] alone.
fn periodic(number: usize, of: usize) -> KeepRules {
    let mut counts = [None; BUCKETS.len()];
    counts[number] = Some(of as u32);
    let [hourly, daily, weekly, monthly, yearly] = counts;
    KeepRules {
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
        ..KeepRules::none()
    }
}

fn is_undo(candidate: &Candidate, now: Timestamp) -> bool {
    let is_recent =
        now.duration_since(candidate.created_at) <= jiff::SignedDuration::from_hours(168);
    candidate.series.variant == Variant::Replaced && is_recent
}

fn is_protected(rules: &KeepRules, group: &[&Candidate], rank: usize, counts: bool) -> bool {
    let newer = &group[..rank];
    let newest_proof = group[rank].verified && !newer.iter().any(|newer| newer.verified);
    let floor = if counts {
        rules.floor.max(1) as usize
    } else {
        1
    };
    group[rank].pinned || rank < floor || counts && newest_proof
}

fn is_older(candidate: &Candidate, age: Option<Age>, now: Timestamp, zone: &TimeZone) -> bool {
    age.is_some_and(|age| candidate.created_at < age.before(now, zone))
}

fn is_wanted(
    rules: &KeepRules,
    group: &[&Candidate],
    rank: usize,
    now: Timestamp,
    zone: &TimeZone,
) -> bool {
    let counts = [
        rules.hourly,
        rules.daily,
        rules.weekly,
        rules.monthly,
        rules.yearly,
    ];
    let is_set = |count: Option<u32>| count.is_some_and(|count| count > 0);
    let one_is_set = counts.into_iter().any(is_set) || is_set(rules.last);
    if !one_is_set && rules.within.is_none() {
        return true;
    }
    let is_newest_of_few = |(bucket, count): (fn(&Zoned) -> _, Option<u32>)| {
        let bucket_of = |it: &&Candidate| bucket(&it.created_at.to_zoned(zone.clone()));
        let newer: BTreeSet<_> = group[..rank].iter().map(bucket_of).collect();
        let is_newest = !newer.contains(&bucket_of(&group[rank]));
        is_newest && newer.len() < count.unwrap_or(0) as usize
    };
    rank < rules.last.unwrap_or(0) as usize
        || rules.within.is_some() && !is_older(group[rank], rules.within, now, zone)
        || BUCKETS.into_iter().zip(counts).any(is_newest_of_few)
}

/// Backups on both sides of a moment at which the clock was turned in `zone`.
fn spans_a_clock_change(history: &[Candidate], zone: &TimeZone) -> bool {
    let offset = |candidate: &Candidate| zone.to_offset(candidate.created_at);
    let day = jiff::SignedDuration::from_hours(24);
    let pairs = history
        .iter()
        .flat_map(|a| history.iter().map(move |b| (a, b)));
    let mut pairs = pairs.filter(|(a, b)| {
        a.created_at < b.created_at && b.created_at.duration_since(a.created_at) < day
    });
    pairs.any(|(a, b)| offset(a) != offset(b))
}

#[test]
fn the_histories_meet_the_clock_changes_of_each_zone_that_has_some() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..2_000 {
        let history = any_history().new_tree(&mut runner).unwrap().current();
        for name in ZONES {
            let zone = TimeZone::get(name).unwrap();
            *met.entry(name).or_default() += u32::from(spans_a_clock_change(&history, &zone));
        }
    }
    for (name, count) in &met {
        let never_turns = ["UTC", "Asia/Kathmandu"].contains(name);
        assert!(
            never_turns == (*count == 0) && (never_turns || *count > 50),
            "{met:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_backup_gets_one_decision_with_a_reason(
        history in any_history(), rules in any_rules(), delay in any_delay(), zone in any_zone()
    ) {
        let now = clock(&history, delay);
        let plan = plan(&history, &rules.clone().into(), now, &zone);
        let ids: BTreeSet<_> = plan.decisions.iter().map(|d| d.id.clone()).collect();
        prop_assert_eq!(ids.len(), history.len());
        prop_assert_eq!(plan.decisions.len(), history.len());
        prop_assert!(plan.decisions.iter().all(|d| !d.reasons.is_empty()));
        prop_assert_eq!(plan.kept_bytes + plan.removed_bytes, history.len() as u64);
    }

    #[test]
    fn floor_pins_and_newest_proof_stay_under_every_policy(
        history in any_history(), rules in any_rules(), delay in any_delay(), zone in any_zone()
    ) {
        let now = clock(&history, delay);
        let kept = kept_ids(&plan(&history, &rules.clone().into(), now, &zone));
        for ((_, counts), group) in &groups(&history) {
            let floor = if *counts { rules.floor.max(1) as usize } else { 1 };
            let pinned = group.iter().filter(|candidate| candidate.pinned);
            let proven = group.iter().find(|candidate| candidate.verified && *counts);
            for candidate in group.iter().take(floor).chain(pinned).chain(proven) {
                prop_assert!(kept.contains(&candidate.id), "{candidate:?}");
            }
        }
    }

    #[test]
    fn a_clock_behind_the_newest_backup_removes_nothing(
        history in any_history(), rules in any_rules(), delay in any_delay(), zone in any_zone()
    ) {
        let now = clock(&history, delay);
        let is_behind = history.iter().any(|candidate| candidate.created_at > now);
        let plan = plan(&history, &rules.clone().into(), now, &zone);
        prop_assert!(!is_behind || plan.removed().count() == 0);
    }

    #[test]
    fn the_newest_of_each_of_the_newest_buckets_stays(
        history in any_history(), of in 1_usize..40, delay in any_delay(), zone in any_zone()
    ) {
        let now = clock(&history, delay);
        for (number, bucket) in BUCKETS.into_iter().enumerate() {
            let kept = kept_ids(&plan(&history, &periodic(number, of).into(), now, &zone));
            for group in groups(&history).values() {
                let mut seen = BTreeSet::new();
                for candidate in group {
                    let bucket = bucket(&candidate.created_at.to_zoned(zone.clone()));
                    if seen.insert(bucket) && seen.len() <= of {
                        prop_assert!(kept.contains(&candidate.id));
                    }
                }
            }
        }
    }

    #[test]
    fn what_stays_is_what_the_rules_say_and_nothing_else(
        history in any_history(), rules in any_rules(), delay in any_delay(), zone in any_zone()
    ) {
        let now = clock(&history, delay);
        let kept = kept_ids(&plan(&history, &rules.clone().into(), now, &zone));
        let is_behind = history.iter().any(|candidate| candidate.created_at > now);
        for ((_, counts), group) in &groups(&history) {
            for (rank, candidate) in group.iter().enumerate() {
                let stays = is_behind
                    || is_protected(&rules, group, rank, *counts)
                    || is_undo(candidate, now)
                    || !is_older(candidate, rules.max_age, now, &zone)
                        && is_wanted(&rules, group, rank, now, &zone);
                prop_assert_eq!(kept.contains(&candidate.id), stays, "{:?}", candidate);
            }
        }
    }

    #[test]
    fn a_prune_on_the_way_changes_nothing_at_the_end(
        history in any_history(), rules in any_rules(), zone in any_zone(),
        delay in any_delay(), days in 0_i64..900
    ) {
        let earlier = clock(&history, delay);
        let policy = rules.into();
        let now = earlier + jiff::SignedDuration::from_hours(24 * days);
        let on_the_way = after(&history, &plan(&history, &policy, earlier, &zone));
        let twice = after(&on_the_way, &plan(&on_the_way, &policy, now, &zone));
        let once = after(&history, &plan(&history, &policy, now, &zone));
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn what_other_series_have_changes_nothing(
        history in any_history(), rules in any_rules(), delay in any_delay(), zone in any_zone()
    ) {
        // A clock that is behind is behind for all.
        let now = clock(&history, delay.abs());
        let policy = rules.into();
        let all = kept_ids(&plan(&history, &policy, now, &zone));
        for number in 0..ALL_SERIES.len() {
            let of_series = history.iter().filter(|candidate| candidate.series == series(number));
            let alone: Vec<Candidate> = of_series.cloned().collect();
            let kept = kept_ids(&plan(&alone, &policy, now, &zone));
            for candidate in &alone {
                let id = &candidate.id;
                prop_assert_eq!(kept.contains(id), all.contains(id));
            }
        }
    }

    #[test]
    fn incomplete_ones_change_nothing_for_complete_ones(
        history in any_history(), rules in any_rules(), delay in any_delay(), zone in any_zone()
    ) {
        let now = clock(&history, delay.abs());
        let policy = rules.into();
        let all = kept_ids(&plan(&history, &policy, now, &zone));
        let complete = history.iter().filter(|candidate| candidate.complete);
        let alone: Vec<Candidate> = complete.cloned().collect();
        let kept = kept_ids(&plan(&alone, &policy, now, &zone));
        for candidate in &alone {
            prop_assert_eq!(kept.contains(&candidate.id), all.contains(&candidate.id));
        }
    }

    #[test]
    fn more_policy_never_keeps_less(
        history in any_history(), rules in any_rules(), delay in any_delay(), zone in any_zone()
    ) {
        let now = clock(&history, delay);
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
        history in any_history(), rules in any_rules(), delay in any_delay(), zone in any_zone()
    ) {
        let now = clock(&history, delay);
        let left = after(&history, &plan(&history, &rules.clone().into(), now, &zone));
        prop_assert_eq!(plan(&left, &rules.clone().into(), now, &zone).removed().count(), 0);
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter(
        history in any_history(), rules in any_rules(), delay in any_delay()
    ) {
        let now = clock(&history, delay);
        let turned: Vec<_> = history.iter().rev().cloned().collect();
        prop_assert_eq!(
            plan(&history, &rules.clone().into(), now, &TimeZone::UTC),
            plan(&turned, &rules.clone().into(), now, &TimeZone::UTC)
        );
    }
}
