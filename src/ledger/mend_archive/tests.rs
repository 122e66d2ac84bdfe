//! Archives as pg_dump writes them, with every gap, and with what somebody put into a
//! large object so that it may be taken for a table's rows.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use super::*;
use crate::format::mended::pieces::{Pieces, made};
use crate::format::pg_archive::Form;
use crate::format::tar::{self, Attributes, Entry, EntryKind, encode, end_of_archive, padding};

const TABLES: [&str; 4] = ["a", "b", "c", "d"];
/// Stands between the second table and the third.
const LARGE: u32 = 250;

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn int(&mut self, number: u32) {
        self.0.push(0);
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.int(text.len() as u32);
        self.0.extend(text.bytes());
    }

    fn no_text(&mut self) {
        self.0.extend([1, 1, 0, 0, 0]);
    }

    fn head(&mut self, form: Form, minor: u8) {
        let format = if form == Form::Custom { 1 } else { 3 };
        self.0.extend(b"PGDMP");
        self.0.extend([1, minor, 0, 4, 8, format]);
        match minor {
            ..15 => self.int(0),
            _ => self.0.push(0),
        }
        (0..7).for_each(|number| self.int(number));
        ["shop", "15.18", "15.18"]
            .iter()
            .for_each(|text| self.text(text));
    }

    fn entry(&mut self, form: Form, minor: u8, id: u32, name: &str, what: &str) {
        let has_data = what == "TABLE DATA" || what == "BLOBS";
        self.int(id);
        self.int(has_data.into());
        self.text("1259");
        self.text("16400");
        self.text(name);
        self.text(what);
        self.int(3);
        self.text(if has_data { "" } else { "CREATE TABLE x ();" });
        self.no_text();
        match what {
            "TABLE DATA" => self.text(&format!("COPY public.{name} (n) FROM stdin;\n")),
            _ => self.no_text(),
        }
        self.text("public");
        self.no_text();
        if minor >= 14 {
            self.text("heap");
        }
        if minor >= 16 {
            self.int(114);
        }
        self.text("owner");
        self.text("false");
        self.text("200");
        self.no_text();
        match form {
            Form::Custom => {
                self.0.push(if has_data { 1 } else { 3 });
                self.0.extend([0; 8]);
            }
            Form::Directory if what == "BLOBS" => self.text("blobs.toc"),
            Form::Directory if has_data => self.text(&format!("{id}.dat")),
            Form::Directory => self.text(""),
        }
    }

    fn toc(form: Form, minor: u8) -> Self {
        let mut writer = Self::default();
        writer.head(form, minor);
        writer.int(2 * TABLES.len() as u32 + 1);
        for (at, table) in (0..).zip(TABLES) {
            writer.entry(form, minor, 100 + at, table, "TABLE");
        }
        for (id, table) in [(300, "a"), (301, "b")] {
            writer.entry(form, minor, id, table, "TABLE DATA");
        }
        writer.entry(form, minor, LARGE, "BLOBS", "BLOBS");
        for (id, table) in [(302, "c"), (303, "d")] {
            writer.entry(form, minor, id, table, "TABLE DATA");
        }
        writer
    }

    fn pieces(&mut self, data: &[u8]) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.int(piece.len() as u32);
            self.0.extend(piece);
        }
        self.int(0);
    }

    fn block(&mut self, kind: u8, id: u32) {
        self.0.push(kind);
        self.int(id);
    }
}

fn rows(table: &str) -> String {
    let mut text: String = (0..20).map(|row| format!("{table} {row}\n")).collect();
    text += "\\.\n\n\n";
    text
}

fn ledger() -> Ledger {
    let table = |name: &&str| {
        let mut totals = Totals::default();
        let text = rows(name);
        text.lines()
            .take(20)
            .for_each(|row| totals.row(row.as_bytes()));
        TableLedger {
            schema: "public".to_owned(),
            name: (*name).to_owned(),
            rows: totals.rows,
            bytes: totals.bytes,
            hash: hex_hash(totals.hash()),
        }
    };
    Ledger {
        tables: TABLES.iter().map(table).collect(),
        ..Ledger::default()
    }
}

/// The archive, its blocks by their names, and where the first one begins.
fn custom(minor: u8, large: &[u8]) -> (Vec<u8>, BTreeMap<String, Range<usize>>, usize) {
    let mut writer = Writer::toc(Form::Custom, minor);
    let contents = writer.0.len();
    let mut places = BTreeMap::new();
    for (id, name) in [(300, "a"), (301, "b"), (LARGE, ""), (302, "c"), (303, "d")] {
        let start = writer.0.len();
        match id {
            LARGE => {
                writer.block(3, id);
                writer.int(16_500);
                writer.pieces(large);
                writer.int(0);
            }
            _ => {
                writer.block(1, id);
                writer.pieces(rows(name).as_bytes());
            }
        }
        places.insert(name.to_owned(), start..writer.0.len());
    }
    (writer.0, places, contents)
}

/// The mended archive, which has to be whole, with what was told of it; and the tables
/// that have data in it.
fn mended_custom(
    whole: &[u8],
    lost: Range<usize>,
    known: Option<&Ledger>,
) -> Result<(MendedArchive, Vec<String>), MendArchiveError> {
    let mended = mend_custom(&mut Pieces::without(whole, lost.clone()), known)?;
    let left = [&whole[..lost.start], &whole[lost.end..]].concat();
    let out = made(mended.plan.clone(), &left);
    let toc = Toc::read(&mut Pieces::new(vec![(&out, None)]), Form::Custom).unwrap();
    let again = mend_custom(&mut Pieces::new(vec![(&out, None)]), None).unwrap();
    assert!(
        again.lost_tables.is_empty() && !again.lost_large_objects,
        "{lost:?}"
    );
    assert_eq!(made(again.plan, &out), out, "{lost:?}");
    let names = toc.data.iter().filter(|it| it.kind == DataKind::Rows);
    let names = names.map(|it| String::from_utf8(it.name.clone()).unwrap());
    Ok((mended, names.collect()))
}

/// Wherever the gap is: what it does not meet comes, what it meets is named.
#[test]
fn every_gap_costs_what_it_meets_and_no_more() {
    let known = ledger();
    for minor in 12..=16 {
        let (whole, places, contents) = custom(minor, b"\x01\x00\x2f\x01binary\x00\n");
        let step = if minor == 14 { 3 } else { 29 };
        for start in (0..whole.len()).step_by(step) {
            for len in [1, 33, 700] {
                let lost = start..(start + len).min(whole.len());
                let is_hit =
                    |place: &Range<usize>| lost.start < place.end && place.start < lost.end;
                let done = mended_custom(&whole, lost.clone(), Some(&known));
                if lost.start < contents {
                    assert!(
                        matches!(done, Err(MendArchiveError::NoContents(_))),
                        "{lost:?}"
                    );
                    continue;
                }
                let (mended, there) = done.unwrap();
                let hit = |name: &&&str| is_hit(&places[**name]);
                let expected: Vec<String> = TABLES
                    .iter()
                    .filter(hit)
                    .map(|it| format!("public.{it}"))
                    .collect();
                assert_eq!(mended.lost_tables, expected, "{minor} {lost:?}");
                let expected: Vec<&str> = TABLES.iter().filter(|it| !hit(it)).copied().collect();
                assert_eq!(there, expected, "{minor} {lost:?}");
                assert_eq!(mended.lost_large_objects, is_hit(&places[""]), "{lost:?}");
                assert!(!mended.is_doubtful, "{lost:?}");
            }
        }
    }
}

#[test]
fn a_whole_archive_stays_as_it_is() {
    for minor in 12..=16 {
        let (whole, _, _) = custom(minor, b"large\n");
        let end = whole.len();
        let (mended, there) = mended_custom(&whole, end..end, None).unwrap();
        assert_eq!(made(mended.plan, &whole), whole, "{minor}");
        assert_eq!(there, TABLES, "{minor}");
    }
}

/// What is cut out of the front of a large object that holds a block of table c.
fn forged(data: &str, known: Option<&Ledger>) -> (MendedArchive, String) {
    let mut block = Writer::default();
    block.block(1, 302);
    block.int(data.len() as u32);
    block.0.extend(data.bytes());
    block.int(0);
    let (whole, places, _) = custom(15, &block.0);
    let start = places[""].start;
    let lost = start..start + 8;
    let (mended, _) = mended_custom(&whole, lost.clone(), known).unwrap();
    let left = [&whole[..lost.start], &whole[lost.end..]].concat();
    let out = made(mended.plan.clone(), &left);
    (mended, String::from_utf8_lossy(&out).into_owned())
}

/// Whoever stores bytes cannot have them run, nor take a table's place.
#[test]
fn a_large_object_is_no_block() {
    let known = ledger();
    for data in [
        "c 7\n\\.\n\n\n",
        "c 7\n\\.\nDROP TABLE a;\n\n",
        "DROP TABLE a;\n",
    ] {
        let (mended, out) = forged(data, Some(&known));
        assert!(
            !out.contains("DROP TABLE") && out.contains("c 19\n"),
            "{data}: {out}"
        );
        assert!(
            mended.lost_tables.is_empty() && !mended.is_doubtful,
            "{data}"
        );
    }
    // Where nothing is known of the rows, that is told.
    let (mended, _) = forged("c 7\n\\.\n\n\n", None);
    assert!(mended.is_doubtful);
    let (_, out) = forged("c 7\n\\.\nDROP TABLE a;\n\n", None);
    assert!(!out.contains("DROP TABLE"), "{out}");
}

type Files = Vec<(String, Vec<u8>)>;

/// As pg_dump writes them, the table of contents first.
fn files() -> Files {
    let toc = Writer::toc(Form::Directory, 15).0;
    let mut files = vec![("toc.dat".to_owned(), toc)];
    for (id, table) in (300..).zip(TABLES) {
        files.push((format!("{id}.dat"), rows(table).into_bytes()));
    }
    for oid in [16_500, 16_501] {
        files.push((format!("blob_{oid}.dat"), oid.to_string().into_bytes()));
    }
    let list = b"16500 blob_16500.dat\n16501 blob_16501.dat\n".to_vec();
    files.push(("blobs.toc".to_owned(), list));
    files
}

/// Their tar, and where in it each stands.
fn packed(files: &Files) -> (Vec<u8>, BTreeMap<String, Range<usize>>) {
    let mut tar = Vec::new();
    let mut places = BTreeMap::new();
    for (name, data) in files {
        let start = tar.len();
        let bytes = data.len() as u64;
        let entry = Entry {
            path: name.clone().into_bytes(),
            kind: EntryKind::File { bytes },
            attributes: Attributes::default(),
        };
        encode(&entry, &mut tar).unwrap();
        tar.extend(data);
        tar.extend(padding(bytes));
        places.insert(name.clone(), start..tar.len());
    }
    tar.extend(end_of_archive());
    (tar, places)
}

/// What was told, and the files that are left.
fn mended_directory(
    whole: &[u8],
    lost: Range<usize>,
    known: Option<&Ledger>,
) -> Result<(MendedArchive, BTreeMap<String, Vec<u8>>), MendArchiveError> {
    let mended = tar::mend(&mut Pieces::without(whole, lost.clone()).by(512), None).unwrap();
    let left = [&whole[..lost.start], &whole[lost.end..]].concat();
    let tar = made(mended.plan.clone(), &left);
    let done = mend_directory(&mut Pieces::new(vec![(&tar, None)]), &mended, known)?;
    let out = made(done.plan.clone(), &tar);
    let mut files = BTreeMap::new();
    for entry in ::tar::Archive::new(&out[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let name = entry.path().unwrap().display().to_string();
        assert!(files.insert(name, content).is_none(), "{lost:?}");
    }
    Ok((done, files))
}

#[test]
fn every_gap_in_a_directory_costs_what_it_meets_and_no_more() {
    let known = ledger();
    let (whole, places) = packed(&files());
    // A gap is of whole chunks: nothing of a tar's block is left of it.
    for start in (0..whole.len()).step_by(512) {
        for len in [512, 1024, 2560] {
            let lost = start..(start + len).min(whole.len());
            let is_hit = |name: &str| {
                let place = &places[name];
                lost.start < place.end && place.start < lost.end
            };
            let done = mended_directory(&whole, lost.clone(), Some(&known));
            let (done, files) = match done {
                Ok(done) => done,
                Err(MendArchiveError::NoContents(_)) => {
                    assert!(is_hit("toc.dat"), "{lost:?}");
                    continue;
                }
                Err(error) => panic!("{lost:?}: {error}"),
            };
            assert!(!done.is_doubtful, "{lost:?}");
            let toc = &files["toc.dat"];
            let toc = Toc::read(&mut Pieces::new(vec![(toc, None)]), Form::Directory).unwrap();
            for (id, table) in (300..).zip(TABLES) {
                let file = format!("{id}.dat");
                let there = toc.data.iter().any(|entry| entry.id == id);
                assert_eq!(there, files.contains_key(&file), "{lost:?}");
                let is_named = done.lost_tables.contains(&format!("public.{table}"));
                assert_eq!(there, !is_named, "{lost:?}");
                assert!(there || is_hit(&file), "{lost:?}: {table}");
                assert!(
                    !there || files[&file] == rows(table).into_bytes(),
                    "{lost:?}"
                );
            }
            let large = toc
                .data
                .iter()
                .any(|entry| entry.kind == DataKind::LargeObjects);
            assert_eq!(large, files.contains_key("blobs.toc"), "{lost:?}");
            for oid in [16_500, 16_501].into_iter().filter(|_| large) {
                let name = format!("blob_{oid}.dat");
                let is_whole = files[&name] == oid.to_string().into_bytes();
                assert!(
                    is_whole || (files[&name].is_empty() && is_hit(&name)),
                    "{lost:?}"
                );
                assert!(is_whole || done.lost_large_objects, "{lost:?}");
            }
        }
    }
}

/// A large object that is itself a tar, of which the header is lost.
fn forged_directory(inner: &[(&str, &str)], toc_at: usize) -> (MendedArchive, String) {
    let mut files = files();
    let toc = files.remove(0);
    files.insert(toc_at, toc);
    let inner = inner
        .iter()
        .map(|(name, data)| ((*name).to_owned(), (*data).into()));
    let (inner, _) = packed(&inner.collect());
    let large = files.iter_mut().find(|it| it.0 == "blob_16500.dat");
    large.unwrap().1 = inner[..inner.len() - 1024].to_vec();
    let (whole, places) = packed(&files);
    let lost = places["303.dat"].start..places["blob_16500.dat"].start + 512;
    let (done, left) = mended_directory(&whole, lost, Some(&ledger())).unwrap();
    let left: Vec<u8> = left.into_values().flatten().collect();
    (done, String::from_utf8_lossy(&left).into_owned())
}

#[test]
fn a_large_object_is_no_file_of_the_dump() {
    let drop = "d 7\n\\.\nDROP TABLE a;\n";
    for inner in [
        &[("303.dat", drop)][..],
        &[("303.dat", "d 7\n\\.\n\n\n")],
        &[("302.dat", drop), ("toc.dat", "PGDMP")],
    ] {
        let (done, left) = forged_directory(inner, 0);
        assert_eq!(done.lost_tables, ["public.d"], "{inner:?}");
        assert!(
            !left.contains("DROP TABLE") && !left.contains("d 7\n"),
            "{left}"
        );
        assert!(!done.is_doubtful);
    }
    // As it was written once: what comes before it could pass for it.
    let (done, _) = forged_directory(&[("303.dat", drop)], 7);
    assert!(done.is_doubtful);
}
