//! An archive whose directories carry more attributes than the memory holds.
//!
//! Succeeds on 861f450: all of them are kept to the end, and the restore dies for
//! want of memory.

use std::fs::{self, File};

use crate::support::house;
use crate::support::house::House;
use flate2::Compression;
use flate2::write::GzEncoder;

/// With as much address space as this, of which the program and its threads take
/// a part; the attributes together are twice as large.
const SPACE_KIB: usize = 1 << 20;
const DIRECTORIES: usize = 2_000;
const VALUE_BYTES: usize = (1 << 20) - 200;

/// A PAX record: its own length, a blank, key=value, a newline.
fn record() -> Vec<u8> {
    let field = b" SCHILY.xattr.user.large=";
    let bytes = field.len() + VALUE_BYTES + 1;
    // Seven digits, as the length stays above a million.
    let mut record = (bytes + 7).to_string().into_bytes();
    record.extend_from_slice(field);
    record.extend(std::iter::repeat_n(b'x', VALUE_BYTES));
    record.push(b'\n');
    record
}

fn archive(path: &std::path::Path) {
    let encoder = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    let mut tar = tar::Builder::new(encoder);
    let record = record();
    for number in 0..DIRECTORIES {
        let mut extended = tar::Header::new_ustar();
        extended.set_entry_type(tar::EntryType::XHeader);
        extended.set_size(record.len() as u64);
        tar.append_data(&mut extended, "x", &record[..]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, format!("d{number}"), &[][..])
            .unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

#[test]
fn the_memory_does_not_grow_with_the_directories_attributes() {
    // No key: a tar of another program counts.
    let house = House::keyless();
    fs::create_dir(house.storage()).unwrap();
    let name = "tree_source_2026-01-18T10-30-00.tar.gz";
    archive(&house.storage().join(name));
    let script = format!("ulimit -v {SPACE_KIB}; exec \"$@\"");
    let mut command = house.command("sh");
    let output = command
        .args(["-c", &script, "sh"])
        .arg(house::program())
        .args(["restore", name, "--to", "back", "--yes"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // No file system takes such a value, which is told.
    assert_eq!(output.status.code(), Some(3), "{:.2000}", said);
    assert_eq!(house::names(&house.path("back")).len(), DIRECTORIES);
}
