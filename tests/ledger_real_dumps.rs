//! The ledger of dumps that the real pg_dump 15.18 wrote (tests/data/dumps,
//! made as its README.md says). The expected hashes are not kluis's
//! own: they come from `xxhsum -H2` over the rows, added up in Python.

use std::fs;
use std::path::{Path, PathBuf};

use kluis::ledger::{DumpReader, Ledger, LedgerError, TableLedger};

const EMPTY_ROW: &str = "99aa06d3014798d86001c324468d497f";
const NO_ROWS: &str = "00000000000000000000000000000000";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dumps")
}

fn dump(name: &str) -> Vec<u8> {
    let path = directory().join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn all_dumps() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory()).expect("tests/data/dumps is there");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .filter(|name| name.ends_with(".sql") && name != "make.sql")
        .collect();
    names.sort();
    assert!(names.len() >= 13, "dumps are missing: {names:?}");
    names
        .into_iter()
        .map(|name| (name.clone(), dump(&name)))
        .collect()
}

fn read_in<'a>(slices: impl Iterator<Item = &'a [u8]>) -> Result<Ledger, LedgerError> {
    let mut reader = DumpReader::new();
    slices.for_each(|slice| reader.feed(slice));
    reader.finish()
}

fn read(bytes: &[u8]) -> Result<Ledger, LedgerError> {
    read_in(std::iter::once(bytes))
}

fn ledger(name: &str) -> Ledger {
    read(&dump(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn table(schema: &str, name: &str, rows: u64, bytes: u64, hash: &str) -> TableLedger {
    TableLedger {
        schema: schema.to_owned(),
        name: name.to_owned(),
        rows,
        bytes,
        hash: hash.to_owned(),
    }
}

fn objects(ledger: &Ledger) -> Vec<(&str, u64)> {
    let counts = ledger.objects.iter();
    counts
        .map(|(name, count)| (name.as_str(), *count))
        .collect()
}

fn sequences(ledger: &Ledger) -> Vec<(&str, i64, bool)> {
    let standings = ledger.sequences.iter();
    standings
        .map(|(name, s)| (name.as_str(), s.last_value, s.is_called))
        .collect()
}

#[test]
fn an_empty_database_is_a_whole_dump_without_anything() {
    assert_eq!(ledger("empty.sql"), Ledger::default());
}

#[test]
fn odd_names_are_read_unquoted_and_tables_without_rows_or_columns_are_there() {
    let ledger = ledger("odd_names.sql");
    let fake = "fake; Type: FAKE; Schema: public; Owner: x";
    assert_eq!(
        ledger.tables,
        [
            table("public", fake, 0, 0, NO_ROWS),
            table(
                "public",
                "has \"quotes\"",
                10,
                11,
                "844772089db61622b12dc7ac997a9e98"
            ),
            table(
                "public",
                "new\nline",
                4,
                37,
                "b9bde29f7143cc82eb1c8888b0b73426"
            ),
            table("public", "nocols", 2, 0, "33540da6028f31b0c00386488d1a92fe"),
            table("public", "norows", 0, 0, NO_ROWS),
            table(
                "public",
                "x (a) FROM stdin;",
                2,
                54,
                "ce86be6042cbfbd8119abf49b39ca330"
            ),
            table(
                "public",
                "日本語",
                2,
                18,
                "16b57640a77f77c5a16eb7ac4eccb838"
            ),
            table(
                "Ünïcode.schema",
                "with.dot",
                3,
                18,
                "c08a31263b9117e158b0575a21a12fea"
            ),
        ]
    );
    assert_eq!(
        sequences(&ledger),
        [
            (r#"public."back\slash""#, 1, false),
            ("public.\"seq's \"\"odd\"\"\nname\"", 77, true),
            ("public.fresh", 5, false),
        ]
    );
    assert_eq!(
        objects(&ledger),
        [
            ("SCHEMA", 1),
            ("SEQUENCE", 3),
            ("SEQUENCE SET", 3),
            ("TABLE", 8),
            ("TABLE DATA", 8),
        ]
    );
}

#[test]
fn partitions_inheritance_identity_and_generated_columns_come_as_their_rows() {
    let ledger = ledger("partitions.sql");
    assert_eq!(
        ledger.tables,
        [
            table("public", "child", 2, 22, "e3fe364d4bbf6acab2e6e34d1d2c0c41"),
            table(
                "public",
                "events_2024",
                8,
                113,
                "25c2ffcd914ccee231052a9b5f30bd20"
            ),
            table(
                "public",
                "events_2025",
                12,
                191,
                "3efb346688cd8b6db202ac511cf21101"
            ),
            table(
                "public",
                "events_rest",
                1,
                17,
                "d1d8942484e12b9836ca5ee7fd300f42"
            ),
            table("public", "onlygen", 1, 0, EMPTY_ROW),
            table("public", "parent", 1, 1, "df3ce784d856334d65cd25028f98f158"),
        ]
    );
    assert_eq!(sequences(&ledger), [("public.events_id_seq", 21, true)]);
    assert_eq!(ledger.objects["TABLE ATTACH"], 3);
}

#[test]
fn partitions_loaded_through_their_root_add_up_to_one_table() {
    let ledger = ledger("partitions.root_verbose.sql");
    let events = table(
        "public",
        "events",
        21,
        321,
        "3696c8589efb85e819d235d47952dd63",
    );
    assert_eq!(ledger.tables[1], events);
    assert_eq!(ledger.tables.len(), 4);
    assert_eq!(ledger.objects, self::ledger("partitions.sql").objects);
}

#[test]
fn a_dump_that_creates_its_database_leaves_and_enters_restricted_mode_in_between() {
    let mut ledger = ledger("partitions.create.sql");
    assert_eq!(ledger.objects.remove("DATABASE"), Some(1));
    assert_eq!(ledger, self::ledger("partitions.sql"));
}

#[test]
fn text_that_looks_like_a_dump_inside_of_one_starts_and_ends_nothing() {
    let expected = [
        table("public", "t", 2, 117, "62b086a9520467bed8c021c37231c73a"),
        table("public", "types", 1, 86, "daca231262cb24b76131fa240199efde"),
    ];
    for name in [
        "hostile.sql",
        "hostile.no_dollar.sql",
        "hostile.std_off.sql",
    ] {
        let ledger = ledger(name);
        assert_eq!(ledger.tables, expected, "{name}");
        assert_eq!(
            objects(&ledger),
            [
                ("COMMENT", 1),
                ("FUNCTION", 3),
                ("RULE", 1),
                ("TABLE", 2),
                ("TABLE DATA", 2),
                ("TRIGGER", 1),
                ("TYPE", 1),
                ("VIEW", 1),
            ],
            "{name}"
        );
    }
}

#[test]
fn insert_dumps_count_value_lists_whether_one_or_several_to_a_statement() {
    assert_eq!(
        ledger("hostile.column_inserts.sql").tables,
        [
            table("public", "t", 2, 118, "32cc7157a393167d47723079d021f767"),
            table(
                "public",
                "types",
                1,
                113,
                "2e5477acc1087be21c354fdaeb1b7e9b"
            ),
        ]
    );
    let partitions = ledger("partitions.inserts.sql").tables;
    let child = table("public", "child", 2, 29, "92fb09acea018deecf26e0a5c4692596");
    assert_eq!(partitions[0], child);
    let rows: Vec<u64> = partitions.iter().map(|table| table.rows).collect();
    assert_eq!(rows, [2, 8, 12, 1, 1, 1]);
    let odd = ledger("odd_names.inserts.sql").tables;
    let nocols = "33540da6028f31b0c00386488d1a92fe";
    assert!(
        odd.contains(&table("public", "nocols", 2, 0, nocols)),
        "{odd:?}"
    );
}

#[test]
fn large_objects_are_counted_and_hashed_with_their_oids_empty_ones_too() {
    for name in ["blobs.sql", "blobs.std_off.sql"] {
        let found = ledger(name).large_objects;
        assert_eq!((found.count, found.bytes), (3, 20_003), "{name}");
        assert_eq!(found.hash, "d6e8582490578bfec691ecdc9cafee3b", "{name}");
    }
}

#[test]
fn every_cut_into_two_slices_gives_the_same_ledger() {
    for (name, bytes) in all_dumps() {
        let whole = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        // The large objects' dump is long and alike: a prime step is enough.
        let step = if bytes.len() > 8192 { 61 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            let (one, other) = bytes.split_at(at);
            let cut = read_in([one, other].into_iter());
            assert_eq!(cut.as_ref(), Ok(&whole), "{name} cut at {at}");
        }
    }
}

#[test]
fn slices_of_any_length_give_the_same_ledger() {
    for (name, bytes) in all_dumps() {
        let whole = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        for length in (1..70).chain([127, 1000, 4096]) {
            let cut = read_in(bytes.chunks(length));
            assert_eq!(cut.as_ref(), Ok(&whole), "{name} in slices of {length}");
        }
    }
}

#[test]
fn a_dump_that_is_cut_anywhere_is_refused() {
    for (name, bytes) in all_dumps() {
        let needed = bytes.trim_ascii_end().len();
        let step = if bytes.len() > 8192 { 61 } else { 1 };
        for at in (0..needed).step_by(step) {
            match read(&bytes[..at]) {
                Err(LedgerError::HeaderMissing) if at < 40 => {}
                Err(LedgerError::TrailerMissing | LedgerError::CopyUnfinished { .. }) => {}
                other => panic!("{name} cut at {at}: {other:?}"),
            }
        }
        assert!(
            read(&bytes[..needed]).is_ok(),
            "{name} without its last newline"
        );
    }
}

#[test]
fn rows_in_another_order_are_the_same_and_a_changed_byte_is_not() {
    let dumped = ledger("odd_names.sql");
    let text = String::from_utf8(dump("odd_names.sql")).expect("UTF-8");
    let shuffled = text.replace("1\ta\n2\ttab\\there\n", "2\ttab\\there\n1\ta\n");
    assert_ne!(shuffled, text);
    let shuffled = read(shuffled.as_bytes()).expect("whole");
    assert_eq!(dumped.differences(&shuffled), []);
    let changed = read(text.replace("1\ta\n", "1\tb\n").as_bytes()).expect("whole");
    let told: Vec<String> = dumped
        .differences(&changed)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        ["table Ünïcode.schema.with.dot has 3 rows as it should, but not the same ones"]
    );
}
