//! The names of archives that kluis did not give: of other programs, of scripts, of
//! Kanbu's first version. They tell less, and nothing for sure.

use jiff::Timestamp;

use super::stamp::find_stamp;
use super::{ArchiveFormat, ArchiveName, ENCRYPTED_SUFFIX, codec_suffix};
use crate::format::manifest::{Codec, Kind};

/// Around what is inside: other programs' encryption and compression. What kluis
/// cannot read is an archive all the same, and adopting it says why not.
const WRAPPED: [&str; 11] = [
    ENCRYPTED_SUFFIX,
    ".gpg",
    ".age",
    ".gz",
    ".zst",
    ".bz2",
    ".xz",
    ".lz4",
    ".zip",
    ".7z",
    ".br",
];

/// Endings that say what is inside. `.dir.tar` stands before `.tar`.
const INSIDE: [(&str, ArchiveFormat); 12] = [
    (".sql", ArchiveFormat::Plain),
    (".psql", ArchiveFormat::Plain),
    (".pgsql", ArchiveFormat::Plain),
    (".dump", ArchiveFormat::Custom),
    (".pgdump", ArchiveFormat::Custom),
    (".backup", ArchiveFormat::Custom),
    (".custom", ArchiveFormat::Custom),
    (".dir.tar", ArchiveFormat::Directory),
    (".tar", ArchiveFormat::Tree),
    (".tgz", ArchiveFormat::Tree),
    (".tbz2", ArchiveFormat::Tree),
    (".txz", ArchiveFormat::Tree),
];

/// What stands in old names between the name and the time.
const INFIXES: [(&str, Kind); 2] = [("_backup", Kind::Db), ("_source", Kind::Source)];

/// What a file's name seems to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LooseName {
    pub name: String,
    pub created: Option<Timestamp>,
    format: ArchiveFormat,
    codec: Codec,
    encrypted: bool,
}

impl LooseName {
    /// `None` where no ending is an archive's.
    pub fn parse(file: &str) -> Option<Self> {
        let (stem, inside) = unwrapped(file);
        // Nothing but a compressed or encrypted something, such as `shop.gz`.
        if stem == file || stem.is_empty() {
            return None;
        }
        let (name, created, kind) = name_and_time(stem);
        let of_kind = match kind {
            Some(Kind::Source) => ArchiveFormat::Tree,
            _ => ArchiveFormat::Plain,
        };
        let format = match (inside, kind) {
            (Some(ArchiveFormat::Tree), Some(Kind::Db)) => ArchiveFormat::Directory,
            (inside, _) => inside.unwrap_or(of_kind),
        };
        let has = |ending: &str| {
            file.strip_suffix(ENCRYPTED_SUFFIX)
                .unwrap_or(file)
                .ends_with(ending)
        };
        let codec = match () {
            () if has(codec_suffix(Codec::Gzip)) || has(".tgz") => Codec::Gzip,
            () if has(codec_suffix(Codec::Zstd)) => Codec::Zstd,
            () => Codec::None,
        };
        Some(Self {
            name,
            created,
            format,
            codec,
            encrypted: [ENCRYPTED_SUFFIX, ".gpg", ".age"]
                .iter()
                .any(|it| file.ends_with(it)),
        })
    }

    /// `modified` counts where the name has no time.
    pub(super) fn dated(self, modified: Timestamp) -> ArchiveName {
        ArchiveName {
            name: self.name,
            created: self.created.unwrap_or(modified),
            format: self.format,
            codec: self.codec,
            encrypted: self.encrypted,
            copy: 1,
        }
    }
}

/// The name and the time of any file, whatever its ending.
pub fn of_any_file(file: &str) -> (String, Option<Timestamp>) {
    let (name, created, _) = name_and_time(unwrapped(file).0);
    (name, created)
}

/// The file's name without the endings that archives have, and what the innermost
/// says.
fn unwrapped(file: &str) -> (&str, Option<ArchiveFormat>) {
    let mut rest = file;
    let cut = |rest: &'_ str, ending: &str| -> Option<usize> {
        let stem = rest.strip_suffix(ending)?;
        (!stem.is_empty()).then_some(stem.len())
    };
    while let Some(end) = WRAPPED.iter().find_map(|ending| cut(rest, ending)) {
        rest = &rest[..end];
    }
    let inside = INSIDE
        .iter()
        .find_map(|(ending, format)| Some((cut(rest, ending)?, *format)));
    match inside {
        Some((end, format)) => (&rest[..end], Some(format)),
        None => (rest, None),
    }
}

fn name_and_time(stem: &str) -> (String, Option<Timestamp>, Option<Kind>) {
    let (before, created) = match find_stamp(stem) {
        Some((range, at)) => (&stem[..range.start], Some(at)),
        None => (stem, None),
    };
    let name = before.trim_end_matches(['_', '-', '.', ' ']);
    let infix = |(infix, kind): &(&str, Kind)| Some((name.strip_suffix(infix)?, *kind));
    let infix = INFIXES
        .iter()
        .find_map(infix)
        .filter(|(name, _)| !name.is_empty());
    let (name, kind) = match (infix, name) {
        (Some((name, kind)), _) => (name, Some(kind)),
        (None, "") => (stem, None),
        (None, name) => (name, None),
    };
    (name.to_owned(), created, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(file: &str) -> ArchiveName {
        let loose = LooseName::parse(file).unwrap_or_else(|| panic!("{file}"));
        loose.dated("2020-02-02T02:02:02Z".parse().unwrap())
    }

    #[test]
    fn the_old_services_first_names_and_loose_dumps_tell_name_kind_and_time() {
        let (plain, tree) = (ArchiveFormat::Plain, ArchiveFormat::Tree);
        for (file, name, format, created) in [
            (
                "kanbu_backup_2026-01-06T10-30-00-123Z.sql",
                "kanbu",
                plain,
                "2026-01-06T10:30:00Z",
            ),
            (
                "kanbu_backup_2026-01-18.sql",
                "kanbu",
                plain,
                "2026-01-18T00:00:00Z",
            ),
            (
                "kanbu_source_2026-01-18.tar.gz",
                "kanbu",
                tree,
                "2026-01-18T00:00:00Z",
            ),
            (
                "backup_20260118_103000.dump",
                "backup",
                ArchiveFormat::Custom,
                "2026-01-18T10:30:00Z",
            ),
            (
                "shop-20261121-021500.sql.gz.enc",
                "shop",
                plain,
                "2026-11-21T02:15:00Z",
            ),
            (
                "shop.backup",
                "shop",
                ArchiveFormat::Custom,
                "2020-02-02T02:02:02Z",
            ),
            (
                "shop_backup.tar",
                "shop",
                ArchiveFormat::Directory,
                "2020-02-02T02:02:02Z",
            ),
            ("www.tgz", "www", tree, "2020-02-02T02:02:02Z"),
            (
                "2026-01-18.sql.bz2",
                "2026-01-18",
                plain,
                "2026-01-18T00:00:00Z",
            ),
            ("shop.enc", "shop", plain, "2020-02-02T02:02:02Z"),
            ("shop.v2.sql", "shop.v2", plain, "2020-02-02T02:02:02Z"),
            ("_backup.sql", "_backup", plain, "2020-02-02T02:02:02Z"),
        ] {
            let parsed = parsed(file);
            assert_eq!((&*parsed.name, parsed.format), (name, format), "{file}");
            assert_eq!(parsed.created, created.parse().unwrap(), "{file}");
        }
    }

    #[test]
    fn what_surrounds_it_is_told() {
        let told = |file| (parsed(file).codec, parsed(file).encrypted);
        assert_eq!(told("a.sql.gz.enc"), (Codec::Gzip, true));
        assert_eq!(told("a.dump.zst"), (Codec::Zstd, false));
        assert_eq!(told("a.tgz"), (Codec::Gzip, false));
        assert_eq!(told("a.sql.gpg"), (Codec::None, true));
    }

    #[test]
    fn other_files_are_no_archives() {
        for file in [
            "",
            "notes.txt",
            "kluis.json",
            "README",
            ".sql",
            ".enc",
            "sql",
            "a.sql.json",
        ] {
            assert_eq!(LooseName::parse(file), None, "{file}");
        }
    }
}
