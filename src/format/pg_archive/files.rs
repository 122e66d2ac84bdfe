//! Names of the files of an archive in directory format.

use memchr::memchr;

/// Its table of contents.
pub const CONTENTS_FILE: &str = "toc.dat";
/// The list of large objects of archives before 1.16, which name it nowhere.
pub const ONE_LIST: &str = "blobs.toc";

const NAME_BYTES_MAX: usize = 255;

/// As pg_dump names files: nothing in it leads anywhere.
pub fn is_file_name(name: &[u8]) -> bool {
    let is_of_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.iter().all(is_of_one)
        && !name.starts_with(b".")
}

/// What a line of a list of large objects has for a file's name, behind a number and a
/// blank. `None`: it is no such line.
pub fn listed_file(line: &[u8]) -> Option<&[u8]> {
    let (number, rest) = line.split_at(memchr(b' ', line)?);
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    is_number.then_some(&rest[1..])
}
