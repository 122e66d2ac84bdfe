//! What a stream is, by its first bytes: for files that nothing else tells of.

use super::pg_archive::{CONTENTS_FILE, MAGIC};

/// How many of a stream's first bytes are looked at.
pub const SNIFFED_BYTES: usize = 4096;

const TAR_BLOCK: usize = 512;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Archives and compressed files that are not read here.
const PACKED: [(&[u8], &str); 5] = [
    (b"PK\x03\x04", "it is a zip archive: unpack it first"),
    (
        b"BZh",
        "it is compressed by bzip2: give it to bunzip2 first",
    ),
    (
        b"\xfd7zXZ\0",
        "it is compressed by xz: give it to unxz first",
    ),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it first"),
    (b"Rar!\x1a\x07", "it is a rar archive: unpack it first"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// pg_dump's plain SQL.
    PlainDump,
    /// pg_dumpall's SQL.
    ClusterDump,
    /// `pg_dump --format=custom`.
    CustomDump,
    /// A tar whose first entry is a file of `pg_dump --format=directory`. That of
    /// `--format=tar` is one, too.
    DirectoryDump,
    /// Any other tar.
    Tar,
    Other(&'static str),
}

/// `head`: the first [`SNIFFED_BYTES`] of the stream, or all of a shorter one.
pub fn sniff(head: &[u8]) -> Content {
    if head.is_empty() {
        return Content::Other("it is empty");
    }
    if head.starts_with(MAGIC) {
        return Content::CustomDump;
    }
    if head.get(257..262) == Some(b"ustar") {
        return tar(head);
    }
    if head.starts_with(BYTE_ORDER_MARK) {
        return Content::Other(
            "it begins with a byte order mark, which pg_dump does not write: `tail -c +4 FILE` \
             is the dump without it",
        );
    }
    for line in head.split(|&byte| byte == b'\n') {
        if line.starts_with(b"-- PostgreSQL database ") && line.ends_with(b"\r") {
            return Content::Other(
                "its lines end as Windows' do, so nobody can tell which carriage returns are \
                 its rows' own: where none is, `sed 's/\\r$//' FILE` is the dump again",
            );
        }
        match line.trim_ascii() {
            b"-- PostgreSQL database dump" => return Content::PlainDump,
            b"-- PostgreSQL database cluster dump" => return Content::ClusterDump,
            _ => {}
        }
    }
    Content::Other(other(head))
}

fn tar(head: &[u8]) -> Content {
    let name = head.get(..100).unwrap_or_default();
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let is_data = |name: &[u8]| {
        let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && name.get(digits..digits + 4) == Some(b".dat")
    };
    let data = head.get(TAR_BLOCK..).unwrap_or_default();
    let is_toc = name == CONTENTS_FILE.as_bytes() && data.starts_with(MAGIC);
    match is_toc || is_data(name) {
        true => Content::DirectoryDump,
        false => Content::Tar,
    }
}

fn other(head: &[u8]) -> &'static str {
    if let Some((_, what)) = PACKED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return what;
    }
    let is_of_text = |&byte: &u8| byte >= b' ' || byte.is_ascii_whitespace();
    let is_text = head.iter().all(is_of_text);
    match is_text {
        true => "it is text without pg_dump's header",
        false => "it is neither a dump of pg_dump nor a tar",
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, sniff};

    fn tar_of(name: &str, data: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[257..262].copy_from_slice(b"ustar");
        head.extend_from_slice(data);
        head
    }

    #[test]
    fn each_kind_of_backup_is_known_by_its_first_bytes() {
        let cases: [(Vec<u8>, Content); 7] = [
            (
                b"--\n-- PostgreSQL database dump\n--\n".to_vec(),
                Content::PlainDump,
            ),
            (
                b"--\n-- PostgreSQL database cluster dump\n--\n".to_vec(),
                Content::ClusterDump,
            ),
            (b"PGDMP\x01\x0e\x00".to_vec(), Content::CustomDump),
            (tar_of("3057.dat.gz", b""), Content::DirectoryDump),
            (
                tar_of("./toc.dat", b"PGDMP\x01\x0e\x00\x04\x08\x05"),
                Content::DirectoryDump,
            ),
            (tar_of("toc.dat", b"not pg_dump's"), Content::Tar),
            (tar_of("2024.txt", b""), Content::Tar),
        ];
        for (head, expected) in cases {
            assert_eq!(sniff(&head), expected, "{head:?}");
        }
    }

    #[test]
    fn what_is_no_backup_is_named() {
        for (head, word) in [
            (b"".to_vec(), "empty"),
            (b"-- MySQL dump 10.13\n".to_vec(), "text"),
            (b"PK\x03\x04....".to_vec(), "zip"),
            (vec![0x7f, b'E', 0, 1], "neither"),
        ] {
            match sniff(&head) {
                Content::Other(what) => assert!(what.contains(word), "{what}"),
                known => panic!("{known:?}"),
            }
        }
    }

    #[test]
    fn what_is_nearly_a_dump_is_told_with_what_to_do() {
        for (head, told) in [
            (
                &b"\xef\xbb\xbf--\n-- PostgreSQL database dump\n--\n"[..],
                "tail -c +4",
            ),
            (
                b"--\r\n-- PostgreSQL database dump\r\n--\r\n",
                "sed 's/\\r$//'",
            ),
            (
                b"--\r\n-- PostgreSQL database cluster dump\r\n",
                "sed 's/\\r$//'",
            ),
            (b"BZh91AY&SY", "bunzip2"),
            (b"\xfd7zXZ\0\0", "unxz"),
            (b"PK\x03\x04", "zip"),
        ] {
            let Content::Other(what) = sniff(head) else {
                panic!("{told}");
            };
            assert!(what.contains(told), "{what}");
        }
    }
}
