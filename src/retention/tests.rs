use std::collections::BTreeSet;

use super::*;
use crate::format::manifest::Kind;

mod calendar;
mod laws;

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
        series: Series::called(Kind::Db, "app"),
        created_at: at(time),
        pinned: false,
        verified: false,
        complete: true,
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
    // Another series' newest backup tells it as well.
    all[2].series.label = "other".to_owned();
    let rules = KeepRules {
        max_age: Age::days(1),
        ..only(1)
    };
    let plan = plan_utc(&all, &rules, NOW);
    assert_eq!(kept(&plan), [0, 1, 2]);
    assert!(said(&plan, 0).starts_with("kept: the clock is behind the newest backup (2026-01-20"));
}

#[test]
fn each_series_has_its_own_floor() {
    let mut all = backups(&[NOW; 6]);
    all[1].series.kind = Kind::Source;
    all[2].series.label = "other".to_owned();
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

/// What lies there once the plan was carried out.
fn after(candidates: &[Candidate], plan: &PrunePlan) -> Vec<Candidate> {
    let gone: BTreeSet<&BackupId> = plan.removed().map(|decision| &decision.id).collect();
    let stays = |candidate: &&Candidate| !gone.contains(&candidate.id);
    candidates.iter().filter(stays).cloned().collect()
}
