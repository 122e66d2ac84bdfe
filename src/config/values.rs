//! How values are written: numbers, codecs, formats, time zones. Pure; the
//! error is the text that says what would have been right.

use jiff::tz::TimeZone;

use super::layers::wrong;
use super::settings::{ArchiveFormat, PgMode};
use super::{ConfigError, Sourced};
use crate::format::manifest::{Codec, Kind};
use crate::format::names::ArchiveFormat as DumpFormat;
use crate::retention::Age;
use crate::series::{LABEL_CHARS_MAX, is_label};

/// libdeflate's scale.
const GZIP_LEVEL_MAX: u32 = 12;
/// Above it zstd needs more memory than kluis wants to take.
const ZSTD_LEVEL_MAX: u32 = 19;

pub fn parse_count(text: &str) -> Result<u32, &'static str> {
    text.trim()
        .parse()
        .map_err(|_| "not a whole number from 0 to 4294967295")
}

/// A number of days, as Kanbu's BACKUP_RETENTION_DAYS has it; 0 is off there
/// and a mistake here.
pub fn parse_days(text: &str) -> Result<Age, &'static str> {
    let days = text.trim().parse().ok().and_then(Age::days);
    days.ok_or("not a number of days, 1 or more")
}

pub fn parse_label(text: &str) -> Result<String, String> {
    match is_label(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no label: it has 1 to {LABEL_CHARS_MAX} characters, without blanks and /"
        )),
    }
}

/// A label of a host or server.
pub fn checked_label(label: Sourced<String>) -> Result<Sourced<String>, ConfigError> {
    match parse_label(&label.value) {
        Ok(_) => Ok(label),
        Err(why) => Err(wrong(&label.origin, why)),
    }
}

pub fn parse_codec(text: &str) -> Result<Codec, &'static str> {
    match text {
        "gzip" => Ok(Codec::Gzip),
        "zstd" => Ok(Codec::Zstd),
        "none" => Ok(Codec::None),
        _ => Err("not a codec; known are gzip, zstd, none"),
    }
}

pub fn parse_mode(text: &str) -> Result<PgMode, &'static str> {
    match text {
        "auto" => Ok(PgMode::Auto),
        "direct" => Ok(PgMode::Direct),
        "docker" => Ok(PgMode::Docker),
        _ => Err("not a mode; known are auto, direct, docker"),
    }
}

pub fn parse_dump_format(text: &str) -> Result<DumpFormat, &'static str> {
    match text {
        "plain" => Ok(DumpFormat::Plain),
        "custom" => Ok(DumpFormat::Custom),
        "directory" => Ok(DumpFormat::Directory),
        _ => Err("not a dump's format; known are plain, custom, directory"),
    }
}

pub fn parse_kind(text: &str) -> Result<Kind, &'static str> {
    match text {
        "db" => Ok(Kind::Db),
        "source" => Ok(Kind::Source),
        _ => Err("not a kind; known are db, source"),
    }
}

pub fn parse_format(text: &str) -> Result<ArchiveFormat, &'static str> {
    match text {
        "kluis1" => Ok(ArchiveFormat::Kluis1),
        "kanbu" => Ok(ArchiveFormat::Kanbu),
        _ => Err("not an archive format; known are kluis1, kanbu"),
    }
}

pub fn parse_zone(name: &str) -> Result<TimeZone, &'static str> {
    TimeZone::get(name.trim())
        .map_err(|_| "not a time zone; write one such as Europe/Amsterdam or UTC")
}

/// Refuses a level that the codec does not know.
pub fn check_level(codec: Codec, level: &Sourced<u32>) -> Result<(), ConfigError> {
    let (name, max) = match codec {
        Codec::Gzip => ("gzip", GZIP_LEVEL_MAX),
        Codec::Zstd => ("zstd", ZSTD_LEVEL_MAX),
        Codec::None => {
            return Err(wrong(
                &level.origin,
                "without compression there is no level",
            ));
        }
    };
    if (1..=max).contains(&level.value) {
        return Ok(());
    }
    let what = format!("{name} has levels 1 to {max}, not {}", level.value);
    Err(wrong(&level.origin, what))
}
