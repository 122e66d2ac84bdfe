//! The names of archives and manifests in a storage. Owns how a database's or a
//! tree's name, its time and its format become a file name and come back out of
//! it. Invariant: a built name is one safe file name of every common file
//! system, short enough that its manifest's name fits too, and parses back.
//!
//! `<name>_backup_<UTC>[-N].sql[.gz|.zst][.enc]` and so on; UTC is
//! `2026-01-18T10-30-00`. These are also the names of Kanbu's own archives.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use sha2::{Digest, Sha256};

use super::manifest::{Codec, Kind};

mod loose;
mod stamp;

pub use loose::of_any_file;

/// The storage's own marker, which is no manifest.
pub const MARKER_KEY: &str = "kluis.json";

const MANIFEST_SUFFIX: &str = ".json";
const ENCRYPTED_SUFFIX: &str = ".enc";
const UTC_FORMAT: &str = "%Y-%m-%dT%H-%M-%S";
const UTC_BYTES: usize = "2026-01-18T10-30-00".len();
/// Of an escaped name. With the longest rest (`_backup_`, time, `-4294967295`,
/// `.dir.tar.zst.enc`, `.json`) a file name has at most 250 of 255 bytes.
const NAME_BYTES_MAX: usize = 190;
/// Stands before the hash of a shortened name; escaping never makes it.
const SHORTENED: &str = "%~";
/// Of SHA-256 over the whole name: no two long names of a storage meet.
const SHORTENED_HASH_BYTES: usize = 8;

/// What the stream inside is, apart from its codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArchiveFormat {
    /// `pg_dump`'s plain SQL.
    Plain,
    /// `pg_dump --format=custom`.
    Custom,
    /// `pg_dump --format=directory`, as a tar.
    Directory,
    /// A source tree, as a tar.
    Tree,
}

impl ArchiveFormat {
    const ALL: [Self; 4] = [Self::Plain, Self::Custom, Self::Directory, Self::Tree];

    pub fn kind(self) -> Kind {
        match self {
            Self::Plain | Self::Custom | Self::Directory => Kind::Db,
            Self::Tree => Kind::Source,
        }
    }

    /// By the word that a manifest's `database.format` says; what all databases
    /// share comes as plain text, too.
    pub fn of_database(word: &str) -> Option<Self> {
        match word {
            "plain" | "globals" => Some(Self::Plain),
            "custom" => Some(Self::Custom),
            "directory" => Some(Self::Directory),
            _ => None,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Plain => ".sql",
            Self::Custom => ".dump",
            Self::Directory => ".dir.tar",
            Self::Tree => ".tar",
        }
    }

    /// Between the name and the time.
    fn infix(self) -> &'static str {
        match self.kind() {
            Kind::Db => "_backup_",
            Kind::Source => "_source_",
        }
    }
}

/// What an archive's file name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveName {
    /// The database's name, or the tree's. One that was too long for a file
    /// name comes back shortened, with its hash: the whole one is the manifest's.
    pub name: String,
    /// To the second; what is finer is cut off.
    pub created: Timestamp,
    pub format: ArchiveFormat,
    pub codec: Codec,
    pub encrypted: bool,
    /// 1, or 2 and more where the name was taken in the same second.
    pub copy: u32,
}

impl ArchiveName {
    /// The next name to try when this one is taken.
    pub fn next_copy(&self) -> Self {
        Self {
            copy: self.copy.saturating_add(1),
            ..self.clone()
        }
    }

    /// The storage key, a plain file name.
    pub fn to_key(&self) -> String {
        let copy = match self.copy {
            0 | 1 => String::new(),
            n => format!("-{n}"),
        };
        let encrypted = if self.encrypted { ENCRYPTED_SUFFIX } else { "" };
        format!(
            "{}{}{}{copy}{}{}{encrypted}",
            escape(&self.name),
            self.format.infix(),
            utc_in_name(self.created),
            self.format.suffix(),
            codec_suffix(self.codec),
        )
    }

    /// What any archive's file name seems to say; `None` where it looks like none.
    /// `modified`: of the file, for names without a time.
    pub fn guess(key: &str, modified: Timestamp) -> Option<Self> {
        let guessed = || Some(loose::LooseName::parse(key)?.dated(modified));
        Self::parse(key).or_else(guessed)
    }

    /// Reads a built name back; `None` if it is none.
    pub fn parse(key: &str) -> Option<Self> {
        let (rest, encrypted) = strip(key, ENCRYPTED_SUFFIX);
        let (rest, codec) = [Codec::Gzip, Codec::Zstd]
            .into_iter()
            .find_map(|codec| Some((rest.strip_suffix(codec_suffix(codec))?, codec)))
            .unwrap_or((rest, Codec::None));
        // `.dir.tar` ends in `.tar` too: the kind in the middle decides.
        ArchiveFormat::ALL.into_iter().find_map(|format| {
            let (name, created, copy) = parse_stem(rest.strip_suffix(format.suffix())?, format)?;
            Some(Self {
                name,
                created,
                format,
                codec,
                encrypted,
                copy,
            })
        })
    }
}

/// `<name>_backup_<UTC>[-N]`, read from its end, since the name may hold
/// anything.
fn parse_stem(stem: &str, format: ArchiveFormat) -> Option<(String, Timestamp, u32)> {
    let (name, time) = stem.rsplit_once(format.infix())?;
    let (utc, copy) = time.split_at_checked(UTC_BYTES)?;
    let copy = match copy.strip_prefix('-') {
        None if copy.is_empty() => 1,
        None => return None,
        Some(digits) => {
            let copy = digits.parse::<u32>().ok().filter(|&n| n >= 2)?;
            // "+2" and "02" read as numbers, too: nobody wrote them.
            (copy.to_string() == digits).then_some(copy)?
        }
    };
    Some((unescape(name), parse_utc(utc)?, copy))
}

fn strip<'a>(text: &'a str, suffix: &str) -> (&'a str, bool) {
    match text.strip_suffix(suffix) {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

fn codec_suffix(codec: Codec) -> &'static str {
    match codec {
        Codec::Gzip => ".gz",
        Codec::Zstd => ".zst",
        Codec::None => "",
    }
}

/// The key of the manifest that belongs to `archive`.
pub fn manifest_key(archive: &str) -> String {
    format!("{archive}{MANIFEST_SUFFIX}")
}

/// The archive whose manifest would lie under `key`; `None` if `key` is not a
/// manifest's. Adopted archives have any name, so this says nothing more.
pub fn archive_of_manifest(key: &str) -> Option<&str> {
    let archive = key.strip_suffix(MANIFEST_SUFFIX)?;
    (key != MARKER_KEY && !archive.is_empty() && !archive.contains('/')).then_some(archive)
}

/// `2026-01-18T10-30-00`: no colons, which some file systems refuse, and sorted
/// as text it is sorted by time.
pub fn utc_in_name(at: Timestamp) -> String {
    TimeZone::UTC
        .to_datetime(at)
        .strftime(UTC_FORMAT)
        .to_string()
}

/// Reads [`utc_in_name`] back; nothing else.
pub fn parse_utc(text: &str) -> Option<Timestamp> {
    let at = DateTime::strptime(UTC_FORMAT, text).ok()?;
    let at = TimeZone::UTC.to_timestamp(at).ok()?;
    // Not every text that reads as a time is how a time is written.
    (utc_in_name(at) == text).then_some(at)
}

/// Cut down to the second, as a name can hold it.
pub fn whole_second(at: Timestamp) -> Timestamp {
    let down = jiff::TimestampRound::new()
        .smallest(Unit::Second)
        .mode(jiff::RoundMode::Floor);
    at.round(down).unwrap_or(at)
}

/// Percent-escapes what a file system, a shell or a listing could stumble over:
/// control and formatting characters, separators, quotes, what Windows shares
/// refuse, a leading dot or dash, and `%` itself.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    // How much of it stays if the whole turns out to be too long.
    let room = NAME_BYTES_MAX - SHORTENED.len() - 2 * SHORTENED_HASH_BYTES;
    let mut kept = 0;
    for (at, c) in name.char_indices() {
        let leading = at == 0 && matches!(c, '.' | '-');
        if leading || is_unsafe(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        } else {
            escaped.push(c);
        }
        if escaped.len() <= room {
            kept = escaped.len();
        }
    }
    if escaped.len() > NAME_BYTES_MAX {
        escaped.truncate(kept);
        let hash = Sha256::digest(name.as_bytes());
        escaped.push_str(SHORTENED);
        escaped.push_str(&hex::encode(&hash[..SHORTENED_HASH_BYTES]));
    }
    escaped
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '%' | '/' | '\\' | '"' | '\'' | '`' | '$' | '*' | '?' | '<' | '>' | '|' | ':')
        // Marks that turn the direction of a line or show nothing.
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text that no escaping made, such as a foreign archive's `100%`, stays as it is.
fn unescape(escaped: &str) -> String {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let mut byte = [0];
        let escaped_byte = first == b'%'
            && after
                .get(..2)
                .is_some_and(|digits| hex::decode_to_slice(digits, &mut byte).is_ok());
        bytes.push(if escaped_byte { byte[0] } else { first });
        rest = if escaped_byte { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| escaped.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn app() -> ArchiveName {
        ArchiveName {
            name: "app".to_owned(),
            created: "2026-01-18T10:30:00Z".parse().unwrap(),
            format: ArchiveFormat::Plain,
            codec: Codec::Gzip,
            encrypted: true,
            copy: 1,
        }
    }

    #[test]
    fn the_names_are_those_of_the_documentation() {
        let name = |format, codec, encrypted, copy| {
            let archive = ArchiveName {
                format,
                codec,
                encrypted,
                copy,
                ..app()
            };
            archive.to_key()
        };
        for (built, wanted) in [
            (
                name(ArchiveFormat::Plain, Codec::Gzip, true, 1),
                "app_backup_2026-01-18T10-30-00.sql.gz.enc",
            ),
            (
                name(ArchiveFormat::Plain, Codec::Zstd, false, 1),
                "app_backup_2026-01-18T10-30-00.sql.zst",
            ),
            (
                name(ArchiveFormat::Plain, Codec::None, false, 2),
                "app_backup_2026-01-18T10-30-00-2.sql",
            ),
            (
                name(ArchiveFormat::Custom, Codec::None, true, 1),
                "app_backup_2026-01-18T10-30-00.dump.enc",
            ),
            (
                name(ArchiveFormat::Directory, Codec::None, true, 1),
                "app_backup_2026-01-18T10-30-00.dir.tar.enc",
            ),
            (
                name(ArchiveFormat::Tree, Codec::Gzip, true, 1),
                "app_source_2026-01-18T10-30-00.tar.gz.enc",
            ),
        ] {
            assert_eq!(built, wanted);
        }
    }

    #[test]
    fn an_archive_of_kanbu_is_read() {
        let parsed = ArchiveName::parse("kanbu_backup_2026-01-18T10-30-00.sql.gz.enc").unwrap();
        assert_eq!(
            parsed,
            ArchiveName {
                name: "kanbu".to_owned(),
                ..app()
            }
        );
        let tree = ArchiveName::parse("kanbu_source_2026-01-18T10-30-00.tar.gz").unwrap();
        assert_eq!((tree.format, tree.encrypted), (ArchiveFormat::Tree, false));
    }

    #[test]
    fn a_foreign_percent_sign_stays() {
        let key = "100%_backup_2026-01-18T10-30-00.sql.gz.enc";
        assert_eq!(ArchiveName::parse(key).unwrap().name, "100%");
    }

    #[test]
    fn what_is_no_archive_is_not_read() {
        for key in [
            "",
            "kluis.json",
            "kluis.lock",
            "app.sql.gz",
            "app_backup_2026-01-18.sql.gz",
            "app_backup_2026-01-18T10:30:00.sql.gz",
            "app_backup_2026-13-18T10-30-00.sql.gz",
            "app_backup_2026-01-18T10-30-60.sql.gz",
            "app_backup_2026-01-18T10-30-00-1.sql.gz",
            "app_backup_2026-01-18T10-30-00-02.sql.gz",
            "app_backup_2026-01-18T10-30-00-+2.sql.gz",
            "app_backup_2026-01-18T10-30-00x.sql.gz",
            "app_backup_2026-01-18T10-30-0é.sql.gz",
            "app_backup_2026-01-18T10-30-00.tar.gz",
            "app_source_2026-01-18T10-30-00.sql.gz",
            "app_backup_2026-01-18T10-30-00.sql.gz.enc.json",
        ] {
            assert_eq!(ArchiveName::parse(key), None, "{key}");
        }
    }

    #[test]
    fn a_name_that_looks_like_an_archive_is_still_a_name() {
        let name = "x_backup_2025-01-01T00-00-00.sql.gz_source_".to_owned();
        let archive = ArchiveName { name, ..app() };
        assert_eq!(ArchiveName::parse(&archive.to_key()), Some(archive));
    }

    #[test]
    fn dangerous_characters_are_escaped_and_others_are_not() {
        for (name, wanted) in [
            (
                "../../etc/passwd",
                "%2E./..%2Fetc%2Fpasswd".replace('/', "%2F"),
            ),
            (".hidden", "%2Ehidden".to_owned()),
            ("-rf", "%2Drf".to_owned()),
            ("a\"b'c\n\u{202e}", "a%22b%27c%0A%E2%80%AE".to_owned()),
            ("données ü-1.0", "données ü-1.0".to_owned()),
        ] {
            assert_eq!(escape(name), wanted);
        }
    }

    #[test]
    fn two_long_names_that_begin_alike_differ() {
        let long = |last| ArchiveName {
            name: format!("{}{last}", "ü".repeat(200)),
            ..app()
        };
        assert_ne!(long('a').to_key(), long('b').to_key());
        assert!(manifest_key(&long('a').to_key()).len() <= 255);
        assert!(
            ArchiveName::parse(&long('a').to_key())
                .unwrap()
                .name
                .starts_with("üü")
        );
    }

    #[test]
    fn the_longest_name_that_a_server_takes_comes_back_whole() {
        for name in ["\u{1}".repeat(63), "a".repeat(190)] {
            let archive = ArchiveName { name, ..app() };
            assert_eq!(ArchiveName::parse(&archive.to_key()), Some(archive));
        }
    }

    #[test]
    fn a_manifest_lies_beside_its_archive_and_the_marker_is_none() {
        assert_eq!(
            archive_of_manifest(&manifest_key("a.sql.gz")),
            Some("a.sql.gz")
        );
        for key in ["kluis.json", ".json", "runs/x.json", "a.sql.gz"] {
            assert_eq!(archive_of_manifest(key), None, "{key}");
        }
    }

    #[test]
    fn a_time_is_cut_to_its_second_also_before_1970() {
        for (at, second) in [
            ("2026-01-18T10:30:00.999Z", "2026-01-18T10:30:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59Z"),
        ] {
            let at: Timestamp = at.parse().unwrap();
            assert_eq!(whole_second(at), second.parse().unwrap());
            assert_eq!(parse_utc(&utc_in_name(at)), Some(whole_second(at)));
        }
    }

    fn any_archive() -> impl Strategy<Value = ArchiveName> {
        let format = prop::sample::select(ArchiveFormat::ALL.to_vec());
        let codec = prop::sample::select(vec![Codec::Gzip, Codec::Zstd, Codec::None]);
        let name = prop::collection::vec(any::<char>(), 0..16).prop_map(String::from_iter);
        let created = 0_i64..253_402_300_799;
        (name, created, format, codec, any::<bool>(), 1_u32..).prop_map(
            |(name, second, format, codec, encrypted, copy)| ArchiveName {
                name,
                created: Timestamp::from_second(second).unwrap(),
                format,
                codec,
                encrypted,
                copy,
            },
        )
    }

    proptest! {
        #[test]
        fn every_archive_name_is_one_safe_file_name_and_comes_back(archive in any_archive()) {
            let key = archive.to_key();
            prop_assert!(manifest_key(&key).len() <= 255);
            prop_assert!(!key.starts_with('.') && !key.contains('/'));
            prop_assert!(!key.chars().any(char::is_control));
            // 16 characters of at most 4 bytes can be too long when escaped.
            if !key.contains(SHORTENED) {
                prop_assert_eq!(ArchiveName::parse(&key), Some(archive));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(key in any::<String>()) {
            let _ = ArchiveName::parse(&key);
            let _ = ArchiveName::parse(&format!("{key}_backup_2026-01-18T10-30-00{key}.sql"));
        }
    }
}
