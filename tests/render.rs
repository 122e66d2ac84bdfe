//! What reports look like, each as a snapshot, and that they fit 80 columns.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kluis::format::manifest::{Codec, Kind, Manifest, ProofLevel, State};
use kluis::health::Uncounted;
use kluis::render::{
    BackupDone, BackupReport, Compared, ComparedTable, DatabaseSummary, Problem, PruneReport,
    PruneRow, Report, RestoreReport, ShowReport, TreeSummary, VerifyFinding, VerifyReport,
    VerifyRow, View,
};
use snapbox::{assert_data_eq, str};

const CREATED: Timestamp = Timestamp::constant(1_768_732_200, 0);
const ID: &str = "3f9a7c0112345678";

/// The text as it stands on a terminal of 80 columns, without its styles.
fn text(report: &impl Report) -> String {
    let view = View {
        now: Timestamp::constant(1_768_743_000, 0),
        zone: TimeZone::UTC,
        columns: Some(80),
    };
    anstream::adapter::strip_str(&report.text(&view)).to_string()
}

fn backup(kind: Kind) -> BackupDone {
    BackupDone {
        is_first: false,
        id: ID.to_owned(),
        kind,
        name: "shop".to_owned(),
        created_at: CREATED,
        location: "/b/shop_backup_2026-01-18T10-30-00.sql.gz.enc".to_owned(),
        file: "shop_backup_2026-01-18T10-30-00.sql.gz.enc".to_owned(),
        stored_bytes: 210 << 20,
        raw_bytes: 1500 << 20,
        codec: Codec::Gzip,
        encrypted: true,
        duration_ms: 12_340,
        database: None,
        source: None,
        complete: true,
        problems: Vec::new(),
        problem_count: 0,
        problem: None,
        warnings: Vec::new(),
        pruned: None,
    }
}

#[test]
fn a_database_backup_tells_size_speed_and_content() {
    let mut done = backup(Kind::Db);
    done.database = Some(DatabaseSummary {
        server_version: "15.18".to_owned(),
        tables: 1,
        rows: 2_000_000,
        roles: None,
    });
    assert_data_eq!(
        text(&BackupReport {
            backups: vec![done],
            failed: Vec::new(),
            storage: None,
        }),
        str![[r#"
db shop: backed up
  id           3f9a7c0112345678
  file         shop_backup_2026-01-18T10-30-00.sql.gz.enc
  in           /b
  size         210.0 MiB of 1.5 GiB (14.0%), gzip, encrypted
  time         12.3 s, 121.6 MiB/s
  holds        1 table, 2,000,000 rows
  server       PostgreSQL 15.18
  proof        stored; kluis verify 3f9a7c01 reads it back

"#]]
    );
}

#[test]
fn an_incomplete_tree_names_its_problems_and_no_control_characters() {
    let mut done = backup(Kind::Source);
    done.complete = false;
    done.encrypted = false;
    done.source = Some(TreeSummary {
        root: "/srv/app".to_owned(),
        files: 50_000,
        directories: 12,
        special: 0,
        specials: Vec::new(),
        caches: 0,
    });
    done.problem_count = 12;
    done.problems = (0..11)
        .map(|number| Problem {
            path: format!("a\x1b[2J\n{number}"),
            problem: "unreadable".to_owned(),
            detail: "Permission denied".to_owned(),
        })
        .collect();
    assert_data_eq!(
        text(&BackupReport {
            backups: vec![done],
            failed: Vec::new(),
            storage: None,
        }),
        str![[r#"
source shop: backed up, incomplete
  id           3f9a7c0112345678
  file         shop_backup_2026-01-18T10-30-00.sql.gz.enc
  in           /b
  size         210.0 MiB of 1.5 GiB (14.0%), gzip, not encrypted
  time         12.3 s, 121.6 MiB/s
  holds        50,000 files, 12 directories of /srv/app
  proof        stored; kluis verify 3f9a7c01 reads it back
  12 problems; the archive is valid and holds everything but these:
    unreadable: a/u{1b}[2J/n0 (Permission denied)
    unreadable: a/u{1b}[2J/n1 (Permission denied)
    unreadable: a/u{1b}[2J/n2 (Permission denied)
    unreadable: a/u{1b}[2J/n3 (Permission denied)
    unreadable: a/u{1b}[2J/n4 (Permission denied)
    unreadable: a/u{1b}[2J/n5 (Permission denied)
    unreadable: a/u{1b}[2J/n6 (Permission denied)
    unreadable: a/u{1b}[2J/n7 (Permission denied)
    unreadable: a/u{1b}[2J/n8 (Permission denied)
    unreadable: a/u{1b}[2J/n9 (Permission denied)
    and 2 more: kluis show 3f9a7c0112345678

"#]]
    );
}

#[test]
fn an_empty_backup_divides_by_nothing() {
    let mut done = backup(Kind::Db);
    (done.raw_bytes, done.stored_bytes, done.duration_ms) = (0, u64::MAX, 0);
    assert!(
        !text(&BackupReport {
            backups: vec![done],
            failed: Vec::new(),
            storage: None,
        })
        .is_empty()
    );
}

fn verified(ok: bool) -> VerifyRow {
    VerifyRow {
        id: ID.to_owned(),
        kind: Kind::Db,
        name: "shop".to_owned(),
        created_at: CREATED,
        file: "shop.sql.gz.enc".to_owned(),
        ok,
        restorable: ok,
        unknown: false,
        finding: (!ok).then_some(VerifyFinding::Damaged),
        level: ProofLevel::Verified,
        read_bytes: 210 << 20,
        duration_ms: 2_000,
        problems: Vec::new(),
        hint: None,
        warnings: Vec::new(),
    }
}

#[test]
fn a_broken_backup_is_named_below_the_table() {
    let mut broken = verified(false);
    broken.problems = vec!["the chunk at byte 70000 is not authentic".to_owned()];
    broken.hint = Some("make a new one".to_owned());
    let mut warned = verified(true);
    warned.warnings = vec!["header copy B is damaged".to_owned()];
    let mut damaged = verified(false);
    damaged.restorable = true;
    damaged.problems = vec!["header copy A is damaged".to_owned()];
    damaged.hint = Some("repair it".to_owned());
    let report = VerifyReport {
        ok: false,
        backups: vec![warned, broken, damaged],
        unreadable: 0,
        passed_over: 0,
        unsealed: 0,
    };
    assert_data_eq!(
        text(&report),
        str![[r#"
WHEN              KIND  NAME       READ   TIME  PROOF              ID
2026-01-18 10:30  db    shop  210.0 MiB  2.0 s  verified           3f9a7c01
2026-01-18 10:30  db    shop  210.0 MiB  2.0 s  DAMAGED            3f9a7c01
2026-01-18 10:30  db    shop  210.0 MiB  2.0 s  verified, DAMAGED  3f9a7c01

note: shop.sql.gz.enc: header copy B is damaged
wrong: shop.sql.gz.enc: the chunk at byte 70000 is not authentic
hint: make a new one
wrong: shop.sql.gz.enc: header copy A is damaged
hint: repair it
NOT RIGHT: 2 of 3 backups, of which 1 still restores; 630.0 MiB read in 6.0 s, 105.0 MiB/s

"#]]
    );
}

#[test]
fn what_could_not_be_checked_is_not_called_damaged() {
    let mut undone = verified(false);
    undone.unknown = true;
    undone.finding = Some(VerifyFinding::NotProvable);
    undone.problems = vec!["the extension postgis is not installed here".to_owned()];
    let report = |unreadable| VerifyReport {
        ok: false,
        backups: vec![verified(true), undone],
        unreadable,
        passed_over: 1,
        unsealed: 0,
    };
    assert_data_eq!(
        text(&report(1)),
        str![[r#"
WHEN              KIND  NAME       READ   TIME  PROOF              ID
2026-01-18 10:30  db    shop  210.0 MiB  2.0 s  verified           3f9a7c01
2026-01-18 10:30  db    shop  210.0 MiB  2.0 s  NOT PROVABLE HERE  3f9a7c01

not done: shop.sql.gz.enc: the extension postgis is not installed here
NOT RIGHT: 1 of 3 backups, and 1 could not be checked; 420.0 MiB read in 4.0 s, 105.0 MiB/s; 1 archive of globals or without a manifest passed over: kluis list; kluis adopt --all makes backups of what has no manifest

"#]]
    );
}

#[test]
fn nothing_to_verify_says_so() {
    let report = VerifyReport {
        ok: true,
        backups: Vec::new(),
        unreadable: 0,
        passed_over: 0,
        unsealed: 0,
    };
    assert_data_eq!(
        text(&report),
        str![[r#"
Nothing to verify: there is no backup, or all were verified before.

"#]]
    );
}

fn restored() -> RestoreReport {
    RestoreReport {
        id: ID.to_owned(),
        kind: Kind::Db,
        name: "shop".to_owned(),
        destination: "database shop_copy".to_owned(),
        dry_run: false,
        restored: true,
        has_manifest: true,
        raw_bytes: 1500 << 20,
        duration_ms: 61_000,
        content_ok: true,
        differences: Vec::new(),
        compared: None,
        tables: 4,
        rows: 2_000_000,
        files: 0,
        chosen: None,
        left_out: 0,
        not_set: 0,
        kept_old: None,
        pre_restore_backup: None,
        not_whole: Vec::new(),
        warnings: Vec::new(),
    }
}

#[test]
fn a_restored_database_tells_that_it_is_what_the_manifest_says() {
    assert_data_eq!(
        text(&restored()),
        str![[r#"
db shop: restored
  to           database shop_copy
  size         1.5 GiB in 1 min 01 s, 24.6 MiB/s
  holds        4 tables, 2,000,000 rows, as the manifest says

"#]]
    );
}

fn compared(table: &str, expected: Option<u64>, found: Option<u64>) -> ComparedTable {
    ComparedTable {
        table: table.to_owned(),
        expected_rows: expected,
        found_rows: found,
        same: expected == found,
    }
}

fn comparison(tables: Vec<ComparedTable>, other_differences: &[&str]) -> Option<Compared> {
    Some(Compared {
        tables,
        sequences: 2,
        large_objects: 0,
        objects: Some(57),
        other_differences: other_differences
            .iter()
            .map(|&text| text.to_owned())
            .collect(),
    })
}

#[test]
fn a_restored_database_shows_each_table_beside_its_dump() {
    let mut report = restored();
    let tables = vec![
        compared("public.orders", Some(1_000), Some(1_000)),
        compared("public.gone", Some(0), Some(0)),
    ];
    report.compared = comparison(tables, &[]);
    report.pre_restore_backup = Some("shop_backup_2026-01-18T10-30-00.sql.gz.enc".to_owned());
    assert_data_eq!(
        text(&report),
        str![[r#"
db shop: restored
  to           database shop_copy
  size         1.5 GiB in 1 min 01 s, 24.6 MiB/s
  holds        4 tables, 2,000,000 rows, as the manifest says
  backed up    shop_backup_2026-01-18T10-30-00.sql.gz.enc
  compared     2 tables, 2 sequences, 57 objects by type, all the same

TABLE          EXPECTED ROWS  FOUND
public.orders          1,000  1,000  same
public.gone                0      0  same

"#]]
    );
}

#[test]
fn a_restored_database_without_a_manifest_says_so() {
    let mut report = restored();
    report.has_manifest = false;
    assert!(!text(&report).contains("as the manifest says"));
}

#[test]
fn a_copy_that_differs_shows_what_does() {
    let mut report = restored();
    (report.content_ok, report.restored, report.raw_bytes) = (false, false, 0);
    let same = |number: u64| compared(&format!("public.t{number}"), Some(number), Some(number));
    let mut tables: Vec<_> = (0..40).map(same).collect();
    tables.push(compared("public.orders", Some(1_000), Some(999)));
    tables.push(compared("public.gone", Some(1), None));
    let others = ["sequence public.s is at 7 instead of at 8"];
    report.compared = comparison(tables, &others);
    assert_data_eq!(
        text(&report),
        str![[r#"
db shop: not restored: the copy differs from its dump
  to           database shop_copy
  holds        4 tables, 2,000,000 rows
  compared     42 tables, 2 sequences, 57 objects by type

TABLE          EXPECTED ROWS  FOUND
public.orders          1,000    999  DIFFERS
public.gone                1   none  DIFFERS
40 other tables are the same
differs: sequence public.s is at 7 instead of at 8

"#]]
    );
    report.restored = true;
    assert!(text(&report).contains("restored, AND DIFFERS from its dump"));
}

#[test]
fn a_restored_tree_with_links_left_out_says_so_and_names_ten() {
    let mut report = restored();
    (report.kind, report.files, report.left_out) = (Kind::Source, 50_000, 11);
    report.destination = "/srv/restored".to_owned();
    report.warnings = (0..11)
        .map(|number| format!("symlink \"{number}\" left out: it points outside the tree"))
        .collect();
    assert_data_eq!(
        text(&report),
        str![[r#"
source shop: restored, incomplete
  to           /srv/restored
  size         1.5 GiB in 1 min 01 s, 24.6 MiB/s
  holds        50,000 files, as the manifest says
note: symlink "0" left out: it points outside the tree
note: symlink "1" left out: it points outside the tree
note: symlink "2" left out: it points outside the tree
note: symlink "3" left out: it points outside the tree
note: symlink "4" left out: it points outside the tree
note: symlink "5" left out: it points outside the tree
note: symlink "6" left out: it points outside the tree
note: symlink "7" left out: it points outside the tree
note: symlink "8" left out: it points outside the tree
note: symlink "9" left out: it points outside the tree
note: and 1 more; --json names them all
note: 11 entries were left out, everything else is there

"#]]
    );
}

#[test]
fn a_dry_run_says_that_nothing_was_changed() {
    let mut report = restored();
    report.dry_run = true;
    assert!(text(&report).contains("nothing was changed"));
}

fn pruned(dry_run: bool) -> PruneReport {
    let row = |keep, reason: &str| PruneRow {
        file: "shop_backup_2026-01-18T10-30-00.sql.gz.enc".into(),
        stays: false,
        id: ID.to_owned(),
        kind: Kind::Db,
        name: "shop".to_owned(),
        series: "shop".to_owned(),
        created_at: CREATED,
        stored_bytes: 1 << 20,
        keep,
        reasons: vec![reason.to_owned()],
    };
    PruneReport {
        dry_run,
        backups: vec![
            row(true, "newest of 2026-W03 (weekly 2/4)"),
            row(false, "no rule keeps it"),
        ],
        freed_bytes: 1 << 20,
        uncounted: Uncounted::default(),
    }
}

#[test]
fn a_dry_prune_shows_every_backup_with_its_reason() {
    assert_data_eq!(
        text(&pruned(true)),
        str![[r#"
db shop
WHEN              ID        DECISION  WHY
2026-01-18 10:30  3f9a7c01  keep      newest of 2026-W03 (weekly 2/4)
2026-01-18 10:30  3f9a7c01  remove    no rule keeps it

1 backup kept, 1 would be removed, 1.0 MiB would be freed

"#]]
    );
}

#[test]
fn a_real_prune_shows_what_has_gone() {
    assert_data_eq!(
        text(&pruned(false)),
        str![[r#"
db shop
WHEN              ID        DECISION  WHY
2026-01-18 10:30  3f9a7c01  remove    no rule keeps it

1 backup kept, 1 removed, 1.0 MiB freed

"#]]
    );
}

fn manifest() -> Manifest {
    let document = serde_json::json!({
        "version": 1, "id": ID, "kind": "db", "name": "sh\nop", "created_at": "2026-01-18T10:30:00Z",
        "host": "db1", "trigger": "SCHEDULED", "note": "before the migration", "tool_version": "0.1.0",
        "stored": {"file": "shop.sql.gz.enc", "bytes": 220_200_960, "sha256": "ab".repeat(32)},
        "content": {"codec": "gzip", "bytes": 220_000_000, "sha256": "cd".repeat(32), "raw_bytes": 1_572_864_000},
        "encryption": {"format": "KLUIS1", "key_id": "0011223344556677"},
        "database": {
            "server_version": "15.18", "client_version": "15.18", "mode": "direct", "format": "plain",
            "encoding": "UTF8", "locale": "C.UTF-8", "extensions": {"citext": "1.6"}, "roles": ["app", "postgres"],
            "tables": [
                {"schema": "public", "name": "small", "rows": 1, "bytes": 10, "hash": "00"},
                {"schema": "public", "name": "large", "rows": 2_000_000, "bytes": 100_000_000, "hash": "01"},
            ],
            "objects": {"TABLE": 2, "INDEX": 1},
        },
    });
    serde_json::from_value(document).unwrap()
}

fn shown() -> ShowReport {
    ShowReport {
        sealed: true,
        foreign: None,
        manifest: manifest(),
        series: "db1:5432/sh/nop".to_owned(),
        complete: true,
        state: State::default(),
        location: "/b/shop.sql.gz.enc".to_owned(),
        seal_ok: Some(true),
        opens_with: Vec::new(),
        keys_changed: false,
    }
}

#[test]
fn show_tells_everything_largest_tables_first() {
    assert_data_eq!(
        text(&shown()),
        str![[r#"
db sh/nop
  id           3f9a7c0112345678
  created      2026-01-18 10:30 (3 h ago)
  by           schedule on db1, kluis 0.1.0
  note         before the migration
  series       db1:5432/sh/nop
  file         /b/shop.sql.gz.enc
  size         210.0 MiB stored, 1.5 GiB raw, gzip
  encryption   KLUIS1, key 0011223344556677
  sha256       abababababababababababababababababababababababababababababababab
  manifest     as it was written (its seal holds)
  proof        stored
  server       15.18
  client       15.18
  dump         direct, plain format
  encoding     UTF8, C.UTF-8
  extensions   citext 1.6
  roles        app, postgres
  objects      1 INDEX, 2 TABLE

TABLE              ROWS      DATA
public.large  2,000,000  95.4 MiB
public.small          1      10 B

"#]]
    );
}

#[test]
fn many_tables_are_cut_and_counted() {
    let mut report = shown();
    let tables = &mut report.manifest.database.as_mut().unwrap().ledger.tables;
    let one = tables[0].clone();
    tables.extend(vec![one; 30]);
    assert!(text(&report).contains("and 12 smaller tables; --json has them all"));
}
