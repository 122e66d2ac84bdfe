use super::*;
use crate::format::manifest::{ProofLevel, Standing, Trigger};
use crate::render::View;

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_768_000_000 + day * 86_400).unwrap()
}

fn fact(name: &str, day: i64, tables: &[(&str, u64)]) -> BackupFact {
    BackupFact {
        series: Series::called(Kind::Db, name),
        title: name.to_owned(),
        created_at: at(day),
        stored_bytes: 100 + day.unsigned_abs(),
        raw_bytes: 1_000,
        id: "0".repeat(16),
        standing: Standing::Good(ProofLevel::Stored),
        proven_at: None,
        lacks: 0,
        encrypted: true,
        tables: tables
            .iter()
            .map(|(name, rows)| ((*name).to_owned(), *rows))
            .collect(),
    }
}

fn run(day: i64, file: &str, result: &'static str) -> HistoryRow {
    HistoryRow {
        id: "1".to_owned(),
        command: "backup db".to_owned(),
        trigger: Trigger::Manual,
        result,
        not_sealed: false,
        backup: Some(file.to_owned()),
        bytes: None,
        removed: Vec::new(),
        error: None,
        schedule: None,
        detail: None,
        warnings: Vec::new(),
        started: at(day),
        completed: None,
        duration_ms: Some(5),
        user: "u".to_owned(),
        sudo_user: None,
        host: "h".to_owned(),
    }
}

fn listed(name: &str, file: &str) -> ListRow {
    ListRow {
        id: None,
        kind: Kind::Db,
        name: name.to_owned(),
        title: name.to_owned(),
        series: Some(Series::called(Kind::Db, name).to_string()),
        created_at: at(0),
        file: file.to_owned(),
        stored_bytes: 1,
        raw_bytes: None,
        proof: Proof::Stored,
        proven_at: None,
        encrypted: true,
        kept: false,
        sealed: true,
        before_restore_of: None,
        partial: false,
        adopted: false,
        complete: true,
        note: None,
    }
}

#[test]
fn a_table_that_came_or_went_has_gaps_and_the_largest_ever_are_followed() {
    let facts = [
        fact("shop", 2, &[("new", 7), ("stays", 30)]),
        fact("shop", 1, &[("stays", 20), ("gone", 900)]),
    ];
    let group: Vec<&BackupFact> = facts.iter().collect();
    let report = tables_report(&group).unwrap();
    assert_eq!((report.tables, report.rows), (2, 37));
    assert_eq!(report.at, [at(1), at(2)]);
    let rows = |table: &str| {
        let found = report.largest.iter().find(|it| it.table == table);
        found.unwrap().rows.clone()
    };
    assert_eq!(report.largest[0].table, "gone");
    assert_eq!(rows("gone"), [Some(900), None]);
    assert_eq!(rows("new"), [None, Some(7)]);
    let change = |rows: &[Option<u64>]| {
        let rows = rows.to_vec();
        let table = String::new();
        TableGrowth { table, rows }.change_percent()
    };
    assert_eq!(change(&[Some(20), Some(30)]), Some(50.0));
    assert_eq!(change(&[Some(900), None]), Some(-100.0));
    assert_eq!(change(&[Some(0), Some(5)]), None);
}

#[test]
fn a_tree_has_no_tables() {
    assert_eq!(tables_report(&[&fact("app", 1, &[])]), None);
}

#[test]
fn a_run_whose_backup_is_gone_is_told_by_its_archives_name() {
    let kept = "anything.sql.gz";
    let gone = "shop_backup_2026-01-18T10-30-00.sql.gz";
    let backups = [listed("shop", kept)];
    let other = "wiki_backup_2026-01-18T10-30-00.sql.gz";
    let runs = [
        run(3, kept, "completed"),
        run(2, gone, "failed"),
        run(1, other, "completed"),
    ];
    let points = runs_by_series(&backups, &runs);
    let results = points[&(Kind::Db, "here/shop".to_owned())]
        .iter()
        .map(|run| run.result);
    assert_eq!(results.collect::<Vec<_>>(), ["completed", "failed"]);
    assert_eq!(points.len(), 1, "a name without a backup has no chart");
}

fn page(name: &str) -> String {
    let facts = Facts {
        backups: vec![fact(name, 1, &[(name, 5)]), fact(name, 2, &[(name, 6)])],
        ..Facts::default()
    };
    let page = ReportPage::new(ReportParts {
        storage: name.to_owned(),
        now: at(3),
        facts: &facts,
        findings: Vec::new(),
        backups: vec![listed(name, name)],
        runs: vec![run(1, name, "completed")],
        totals: HistoryTotals {
            runs: 1,
            completed: 1,
            failed: 0,
            interrupted: 0,
            running: 0,
            unsent_messages: 0,
            not_sealed: 0,
            success_percent: Some(100.0),
            median_duration_ms: None,
            longest_duration_ms: None,
        },
        records: 1,
    });
    html(&page, &View::for_tests())
}

#[test]
fn no_name_opens_or_ends_an_element() {
    let tags = |text: &str| text.matches('<').count();
    let hostile = "</script><!--<b onclick=\"x\">'&";
    assert_eq!(tags(&page(hostile)), tags(&page("shop")));
    assert!(!page("a\u{202e}b\u{61c}c\u{7}").contains(['\u{202e}', '\u{61c}', '\u{7}']));
}

#[test]
fn the_page_names_no_other_place() {
    let page = page("shop");
    for word in [
        "http://", "https://", "url(", "@import", "src=", " style=", "onclick",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'; script-src 'sha256-"));
}
