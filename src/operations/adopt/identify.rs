//! What a file to adopt is: by its content first, then by its header, its name,
//! and last by what the operator says. Refuses where two of them disagree.

use jiff::Timestamp;

use super::{OperationError, Told};
use crate::format::manifest::{GLOBALS_NAME, Kind};
use crate::format::names::{ArchiveFormat, ArchiveName, of_any_file};
use crate::format::sniff::{Content, sniff};
use crate::pipeline::ArchiveMeta;
use crate::storage::StoredObject;

/// What there is beside the content.
pub(super) struct Clues<'a> {
    pub object: &'a StoredObject,
    /// The archive's own header.
    pub meta: Option<&'a ArchiveMeta>,
    pub told: &'a Told,
    /// What a manifest says that is not believed so far: only where nothing else
    /// tells a tree from a dump.
    pub was: Option<Kind>,
}

#[derive(Debug)]
pub(super) struct Found {
    pub format: ArchiveFormat,
    /// pg_dumpall's roles and tablespaces.
    pub is_globals: bool,
    pub name: String,
    pub created_at: Timestamp,
}

/// `head`: the content's first bytes.
pub(super) fn identify(clues: &Clues<'_>, head: &[u8]) -> Result<Found, OperationError> {
    let file = &clues.object.key;
    let named = ArchiveName::parse(file);
    let (format, is_globals) = clues.format(named.as_ref(), head)?;
    let witness = clues.meta.map(|meta| ("header", meta.kind));
    let named_kind = named.as_ref().map(|named| named.format.kind());
    let witness = witness.or(named_kind.map(|kind| ("name", kind)));
    let witness = witness.or(clues.told.kind.map(|kind| ("--kind", kind)));
    if let Some((witness, kind)) = witness.filter(|(_, kind)| *kind != format.kind()) {
        let says = kind_words(kind);
        return Err(usage(format!(
            "{file}: it holds {}, and its {witness} says {says}",
            kind_words(format.kind())
        )));
    }
    let (loose_name, stamped) = of_any_file(file);
    let created_at = match (clues.meta, &named) {
        (Some(meta), _) => meta.created,
        (None, Some(named)) => named.created,
        (None, None) => stamped.unwrap_or(clues.object.modified),
    };
    let known = clues.meta.map(|meta| meta.name.clone());
    let known = known.or(named.map(|named| named.name));
    let name = match (known, &clues.told.name) {
        (Some(known), Some(told)) if known != *told => {
            return Err(usage(format!(
                "{file}: it is the backup of {known:?} by its own word, not of {told:?}; leave \
                 --name out"
            )));
        }
        (Some(known), _) => known,
        (None, Some(told)) => told.clone(),
        (None, None) if is_globals => GLOBALS_NAME.to_owned(),
        (None, None) => loose_name,
    };
    Ok(Found {
        format,
        is_globals,
        name,
        created_at,
    })
}

impl Clues<'_> {
    /// The format, and whether it is pg_dumpall's.
    fn format(
        &self,
        named: Option<&ArchiveName>,
        head: &[u8],
    ) -> Result<(ArchiveFormat, bool), OperationError> {
        let told = self.meta.map(|meta| meta.kind);
        let told = told.or(named.map(|named| named.format.kind()));
        let told = told.or(self.told.kind).or(self.was);
        Ok(match sniff(head) {
            Content::PlainDump => (ArchiveFormat::Plain, false),
            Content::ClusterDump => (ArchiveFormat::Plain, true),
            Content::CustomDump => (ArchiveFormat::Custom, false),
            Content::DirectoryDump if told != Some(Kind::Source) => {
                (ArchiveFormat::Directory, false)
            }
            Content::Tar if told == Some(Kind::Db) || self.is_named_directory() => {
                (ArchiveFormat::Directory, false)
            }
            Content::Tar | Content::DirectoryDump => (ArchiveFormat::Tree, false),
            Content::Other(what) => {
                return Err(usage(format!(
                    "{}: it cannot be a backup: {what}; kluis adopts dumps of pg_dump and tars",
                    self.object.key
                )));
            }
        })
    }

    fn is_named_directory(&self) -> bool {
        self.object.key.contains(".dir.tar")
    }
}

fn usage(what: String) -> OperationError {
    OperationError::Usage { what }
}

fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Db => "a database",
        Kind::Source => "a source tree",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::Codec;

    const PLAIN: &[u8] = b"--\n-- PostgreSQL database dump\n--\n";

    fn tar() -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..2].copy_from_slice(b"./");
        head[257..262].copy_from_slice(b"ustar");
        head
    }

    fn found(
        file: &str,
        head: &[u8],
        told: &Told,
        meta: Option<&ArchiveMeta>,
    ) -> Result<Found, String> {
        let object = StoredObject {
            key: file.to_owned(),
            bytes: 1,
            modified: "2020-02-02T02:02:02Z".parse().unwrap(),
        };
        let clues = Clues {
            object: &object,
            meta,
            told,
            was: None,
        };
        identify(&clues, head).map_err(|error| error.to_string())
    }

    #[test]
    fn name_and_time_come_from_the_files_name_where_it_has_them() {
        for (file, name, created) in [
            (
                "shop_backup_2026-01-18T10-30-00.sql.gz.enc",
                "shop",
                "2026-01-18T10:30:00Z",
            ),
            (
                "shop-2026-01-18T10-30-00.sql",
                "shop",
                "2026-01-18T10:30:00Z",
            ),
            (
                "2026-01-18T10-30-00.sql",
                "2026-01-18T10-30-00",
                "2026-01-18T10:30:00Z",
            ),
            ("shop.sql.gz.enc", "shop", "2020-02-02T02:02:02Z"),
            ("shop.v2.sql", "shop.v2", "2020-02-02T02:02:02Z"),
            ("ünï 2026.sql", "ünï 2026", "2020-02-02T02:02:02Z"),
            (".sql", ".sql", "2020-02-02T02:02:02Z"),
        ] {
            let found = found(file, PLAIN, &Told::default(), None).unwrap();
            assert_eq!(found.name, name, "{file}");
            assert_eq!(found.created_at, created.parse().unwrap(), "{file}");
        }
    }

    #[test]
    fn a_tar_is_a_tree_unless_something_says_that_it_is_a_dump() {
        let db = Told {
            kind: Some(Kind::Db),
            ..Told::default()
        };
        let format = |file: &str, told: &Told| found(file, &tar(), told, None).unwrap().format;
        assert_eq!(format("x.tar", &Told::default()), ArchiveFormat::Tree);
        assert_eq!(format("x.tar", &db), ArchiveFormat::Directory);
        assert_eq!(
            format("x.dir.tar.gz", &Told::default()),
            ArchiveFormat::Directory
        );
    }

    #[test]
    fn what_disagrees_is_refused() {
        let told = |name: Option<&str>, kind| Told {
            name: name.map(str::to_owned),
            kind,
        };
        let meta = ArchiveMeta {
            kind: Kind::Db,
            name: "shop".to_owned(),
            created: "2026-01-18T10:30:00Z".parse().unwrap(),
            codec: Codec::Gzip,
        };
        let source = told(None, Some(Kind::Source));
        for (file, told, meta, word) in [
            ("x.sql", &source, None, "--kind"),
            (
                "x_source_2026-01-18T10-30-00.tar",
                &Told::default(),
                None,
                "name says a source tree",
            ),
            (
                "x.sql",
                &told(Some("y"), None),
                Some(&meta),
                "leave --name out",
            ),
            (
                "x_backup_2026-01-18T10-30-00.sql",
                &told(Some("y"), None),
                None,
                "leave --name out",
            ),
        ] {
            let error = found(file, PLAIN, told, meta).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let same = found("x.sql", PLAIN, &told(Some("shop"), None), Some(&meta)).unwrap();
        assert_eq!(same.name, "shop");
        assert_eq!(same.created_at, meta.created);
    }

    #[test]
    fn what_is_no_backup_is_refused_with_what_it_is() {
        let error = found("x.sql", b"-- MySQL dump", &Told::default(), None).unwrap_err();
        assert!(error.contains("text without pg_dump's header"), "{error}");
    }
}
