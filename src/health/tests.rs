use super::*;
use crate::format::manifest::Kind;

const NOW: i64 = 1_800_000_000;

fn ago(hours: i64) -> Timestamp {
    Timestamp::from_second(NOW - hours * 3600).unwrap()
}

fn backup(hours: i64) -> BackupFact {
    BackupFact {
        series: Series::called(Kind::Db, "shop"),
        title: "shop".to_owned(),
        created_at: ago(hours),
        stored_bytes: 1 << 20,
        raw_bytes: 10 << 20,
        id: format!("{hours:016}"),
        standing: Standing::Good(ProofLevel::Verified),
        proven_at: Some(ago(hours)),
        lacks: 0,
        encrypted: true,
        tables: BTreeMap::from([("public.orders".to_owned(), 10_000)]),
    }
}

/// Nightly, the newest 2 hours old.
fn nights(number: i64) -> Vec<BackupFact> {
    (0..number).map(|night| backup(2 + 24 * night)).collect()
}

fn thresholds() -> Thresholds {
    Thresholds {
        max_age: "26h".parse().ok(),
        max_age_of: BTreeMap::new(),
        size_drift_percent: Some(50),
        table_drift_percent: Some(50),
        table_drift_rows: 1000,
        failures: Some(0),
        proof_age: "8d".parse().ok(),
        run_limit: Some(Duration::from_secs(48 * 3600)),
        free_percent: Some(10),
        days_until_full: Some(14),
        unverified: Some(2),
        plain_is_meant: false,
    }
}

fn judged(facts: &Facts) -> Vec<Finding> {
    judge(facts, &thresholds(), ago(0), &TimeZone::UTC)
}

/// The level of one check.
fn level(facts: &Facts, check: &str) -> Level {
    let findings = judged(facts);
    let of_check = findings.iter().filter(|finding| finding.check == check);
    of_check.map(|finding| finding.level).max().unwrap()
}

fn of(backups: Vec<BackupFact>) -> Facts {
    Facts {
        backups,
        ..Facts::default()
    }
}

#[test]
fn nightly_proven_backups_of_one_size_are_healthy() {
    let facts = Facts {
        room: Some(Room {
            free_bytes: 1 << 40,
            total_bytes: 1 << 41,
        }),
        uncovered: Some(Vec::new()),
        ..of(nights(10))
    };
    let findings = judged(&facts);
    assert_eq!(worst(&findings), Level::Ok, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.remedy.is_empty()));
}

#[test]
fn nothing_at_all_is_critical() {
    assert_eq!(worst(&judged(&Facts::default())), Level::Critical);
}

#[test]
fn a_missed_night_is_a_warning_and_two_are_critical() {
    assert_eq!(level(&of(vec![backup(25)]), "age"), Level::Ok);
    assert_eq!(level(&of(vec![backup(27)]), "age"), Level::Warning);
    assert_eq!(level(&of(vec![backup(53)]), "age"), Level::Critical);
}

#[test]
fn a_backup_from_the_future_hides_nothing() {
    assert_eq!(
        level(&of(vec![backup(-24), backup(900)]), "age"),
        Level::Warning
    );
    assert_eq!(level(&of(vec![backup(0)]), "age"), Level::Ok);
}

#[test]
fn a_name_may_have_an_age_of_its_own() {
    let mut thresholds = thresholds();
    let weekly = "8d".parse().unwrap();
    thresholds.max_age_of.insert("shop".to_owned(), weekly);
    let findings = judge(&of(vec![backup(100)]), &thresholds, ago(0), &TimeZone::UTC);
    assert_eq!(findings[0].level, Level::Ok, "{findings:?}");
}

#[test]
fn a_database_that_became_empty_is_critical_and_one_that_grew_a_warning() {
    for (raw_bytes, expected) in [
        (10 << 20, Level::Ok),
        (14 << 20, Level::Ok),
        (16 << 20, Level::Warning),
        (4 << 20, Level::Warning),
        (1 << 19, Level::Critical),
    ] {
        let mut backups = nights(8);
        backups[0].raw_bytes = raw_bytes;
        assert_eq!(level(&of(backups), "size"), expected, "{raw_bytes}");
    }
}

#[test]
fn one_outlier_among_the_seven_before_moves_no_median() {
    let mut backups = nights(8);
    backups[3].raw_bytes = 1;
    assert_eq!(level(&of(backups), "size"), Level::Ok);
}

#[test]
fn a_table_that_lost_its_rows_is_found_behind_an_unchanged_size() {
    let mut backups = nights(8);
    backups[0].tables.clear();
    backups[0].tables.insert("public.other".to_owned(), 9_000);
    let findings = judged(&of(backups));
    let table = findings.iter().find(|it| it.check == "table").unwrap();
    assert_eq!(table.level, Level::Warning);
    assert!(table.text.contains("public.orders -100%"), "{}", table.text);
}

#[test]
fn a_small_table_may_do_as_it_likes() {
    let mut backups = nights(8);
    for backup in &mut backups {
        backup.tables.insert("public.jobs".to_owned(), 900);
    }
    backups[0].tables.insert("public.jobs".to_owned(), 1);
    assert_eq!(level(&of(backups), "table"), Level::Ok);
}

#[test]
fn an_old_proof_and_unverified_ones_are_told() {
    let mut backups = nights(10);
    for backup in &mut backups[..9] {
        (backup.standing, backup.proven_at) = (Standing::Good(ProofLevel::Stored), None);
    }
    let facts = of(backups);
    assert_eq!(level(&facts, "proof"), Level::Warning);
    assert_eq!(level(&facts, "unverified"), Level::Warning);
}

#[test]
fn the_first_proof_is_not_late_before_it_is_due() {
    let unproven = |hours| BackupFact {
        standing: Standing::Good(ProofLevel::Stored),
        proven_at: None,
        ..backup(hours)
    };
    assert_eq!(level(&of(vec![unproven(2)]), "proof"), Level::Ok);
    let facts = of(vec![unproven(2), unproven(24 * 9)]);
    assert_eq!(level(&facts, "proof"), Level::Warning);
}

#[test]
fn a_damaged_newest_backup_is_critical_and_an_older_one_a_warning() {
    let mut backups = nights(3);
    backups[1].standing = Standing::Damaged;
    assert_eq!(level(&of(backups.clone()), "damaged"), Level::Warning);
    backups[0].standing = Standing::Damaged;
    assert_eq!(level(&of(backups), "damaged"), Level::Critical);
}

#[test]
fn a_series_that_turned_from_encrypted_to_plain_is_found() {
    let mut backups = nights(3);
    let found = |backups: &[BackupFact], plain_is_meant| {
        let thresholds = Thresholds {
            plain_is_meant,
            ..thresholds()
        };
        let findings = judge(&of(backups.to_vec()), &thresholds, ago(0), &TimeZone::UTC);
        findings
            .iter()
            .any(|it| it.check == "encrypted" && it.level == Level::Warning)
    };
    assert!(!found(&backups, false));
    backups[0].encrypted = false;
    assert!(found(&backups, false));
    assert!(!found(&backups, true));
    // Encrypted again.
    (backups[0].encrypted, backups[1].encrypted) = (true, false);
    assert!(!found(&backups, false));
    backups.iter_mut().for_each(|it| it.encrypted = false);
    assert!(!found(&backups, false));
}

#[test]
fn one_that_does_not_restore_is_no_damaged_one() {
    let mut backups = nights(3);
    backups[0].standing = Standing::DoesNotRestore;
    let facts = of(backups);
    assert_eq!(level(&facts, "damaged"), Level::Ok);
    assert_eq!(level(&facts, "restores"), Level::Critical);
}

#[test]
fn few_inodes_are_told_as_little_room_is() {
    let left = |free| Facts {
        inodes: Some(Inodes { free, total: 1000 }),
        ..of(nights(1))
    };
    assert_eq!(level(&left(99), "inodes"), Level::Warning);
    assert_eq!(level(&left(40), "inodes"), Level::Critical);
    let enough = judged(&left(100));
    assert!(enough.iter().all(|it| it.check != "inodes"));
}

#[test]
fn failures_count_for_seven_days() {
    let failed = |hours| Facts {
        failures: vec![ago(hours)],
        ..of(nights(1))
    };
    assert_eq!(level(&failed(24 * 6), "failures"), Level::Warning);
    assert_eq!(level(&failed(24 * 8), "failures"), Level::Ok);
}

#[test]
fn a_run_beyond_its_limit_is_found() {
    let since = |hours| Facts {
        running: vec![RunningFact {
            command: "backup db".to_owned(),
            started: ago(hours),
            host: "web1".to_owned(),
        }],
        ..of(nights(1))
    };
    assert_eq!(level(&since(47), "running"), Level::Ok);
    assert_eq!(level(&since(49), "running"), Level::Warning);
    assert_eq!(level(&of(nights(1)), "running"), Level::Ok);
}

#[test]
fn a_message_that_reached_nobody_is_told_for_two_days() {
    let unsent = |hours| Facts {
        unsent: vec![ago(hours)],
        ..of(nights(1))
    };
    assert_eq!(level(&unsent(47), "messages"), Level::Warning);
    assert_eq!(level(&unsent(49), "messages"), Level::Ok);
}

#[test]
fn a_full_disk_is_seen_before_it_is_full() {
    // A MiB a night: 30 days of room, then 10, then 2.
    for (free_bytes, expected) in [
        (40 << 20, Level::Ok),
        (10 << 20, Level::Warning),
        (2 << 20, Level::Critical),
    ] {
        let facts = Facts {
            room: Some(Room {
                free_bytes,
                total_bytes: 1 << 30,
            }),
            ..of(nights(30))
        };
        assert_eq!(level(&facts, "growth"), expected, "{free_bytes}");
    }
    let room = Room {
        free_bytes: 1,
        total_bytes: 100,
    };
    assert_eq!(days_until_full(&nights(1), room, ago(0)), None);
}

#[test]
fn little_free_room_is_a_warning_and_half_of_that_critical() {
    for (free_bytes, expected) in [
        (11, Level::Ok),
        (9, Level::Warning),
        (4, Level::Critical),
        (0, Level::Critical),
    ] {
        let room = Some(Room {
            free_bytes,
            total_bytes: 100,
        });
        let facts = Facts {
            room,
            ..of(nights(1))
        };
        assert_eq!(level(&facts, "free"), expected, "{free_bytes}");
    }
}

#[test]
fn a_database_without_a_backup_is_named() {
    let facts = Facts {
        uncovered: Some(vec!["forgotten".to_owned()]),
        ..of(nights(1))
    };
    let findings = judged(&facts);
    let covered = findings.iter().find(|it| it.check == "covered").unwrap();
    assert!(covered.text.contains("forgotten") && covered.level == Level::Warning);
}
