//! A file that somebody names and that has no manifest: whatever it is called, its
//! content says what it is.

use std::io::Read;

use super::trust::read_start;
use super::{Backup, Catalog, CatalogError, Trust};
use crate::format::manifest::{Codec, GLOBALS_NAME, Kind};
use crate::format::names::{ArchiveFormat, ArchiveName, manifest_key, of_any_file};
use crate::format::sniff::{Content, SNIFFED_BYTES, sniff};
use crate::storage::{Storage, StoredObject};

/// Of a compressed file: enough for the first [`SNIFFED_BYTES`] of what is in it.
const HEAD_BYTES: u64 = 64 << 10;

impl Catalog {
    /// Takes the file `key` in, if it is there and no backup. One that is encrypted, or
    /// compressed in another way than kluis reads, is what its name says.
    pub fn look_into(
        &mut self,
        storage: &dyn Storage,
        trust: Trust<'_>,
        key: &str,
    ) -> Result<(), CatalogError> {
        let mut all = storage.list(key)?.into_iter();
        let stored = all.find(|object| object.key == key);
        let is_known = |it: &Backup| it.archive == key && !it.is_loose();
        let Some(stored) = stored.filter(|_| !self.all().any(is_known)) else {
            return Ok(());
        };
        let is_broken = |key: &str| self.unreadable.iter().any(|it| it.key == key);
        if is_broken(&manifest_key(key)) {
            return Ok(());
        }
        let head = read_start(storage, key, HEAD_BYTES)?;
        let Some(named) = named(&stored, &head) else {
            return Ok(());
        };
        self.backups.retain(|ours| ours.archive != key);
        self.foreign.retain(|it| it.described().archive != key);
        let judged = trust.judge_alone();
        let backup = Backup {
            archive: key.to_owned(),
            stored: Some(stored),
            file: None,
            named: Some(named),
            series: None,
            vouched_only: false,
            is_foreign: judged.is_err(),
        };
        self.push_judged(backup, judged);
        Ok(())
    }
}

/// `None`: neither its name nor its content is an archive's.
fn named(stored: &StoredObject, head: &[u8]) -> Option<ArchiveName> {
    let guessed = ArchiveName::guess(&stored.key, stored.modified);
    let kind = guessed.as_ref().map(|named| named.format.kind());
    let format = match content(head) {
        Content::PlainDump | Content::ClusterDump => ArchiveFormat::Plain,
        Content::CustomDump => ArchiveFormat::Custom,
        Content::DirectoryDump => ArchiveFormat::Directory,
        Content::Tar if kind == Some(Kind::Db) => ArchiveFormat::Directory,
        Content::Tar => ArchiveFormat::Tree,
        Content::Other(_) => return guessed,
    };
    let (name, created) = of_any_file(&stored.key);
    let mut named = guessed.unwrap_or(ArchiveName {
        name,
        created: created.unwrap_or(stored.modified),
        format,
        codec: Codec::None,
        encrypted: false,
        copy: 1,
    });
    named.format = format;
    if content(head) == Content::ClusterDump {
        GLOBALS_NAME.clone_into(&mut named.name);
    }
    Some(named)
}

fn content(head: &[u8]) -> Content {
    let inside = |reader: &mut dyn Read| {
        let mut inside = Vec::with_capacity(SNIFFED_BYTES);
        // It is cut off in the middle: what came before that is what there is.
        let _ = reader.take(SNIFFED_BYTES as u64).read_to_end(&mut inside);
        sniff(&inside)
    };
    match head {
        [0x1f, 0x8b, ..] => inside(&mut flate2::bufread::MultiGzDecoder::new(head)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => match zstd::Decoder::with_buffer(head) {
            Ok(mut reader) => inside(&mut reader),
            Err(_) => Content::Other("it is no zstd"),
        },
        _ => sniff(&head[..head.len().min(SNIFFED_BYTES)]),
    }
}
