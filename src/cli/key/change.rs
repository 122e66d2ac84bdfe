//! The commands that change which keys open archives.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::format::age::AgeRecipient;
use crate::format::keys::KeyId;

/// Let one more key open backups
///
/// Each archive gets a slot for the key: 8 KiB are written into it, whatever its
/// size. One that the key opens already is passed over.
#[derive(Args)]
#[command(
    override_usage = "kluis key add [OPTIONS] --key-file F|--recipient R <BACKUP..|--all>",
    group = ArgGroup::new("which").required(true).args(["backups", "all"]),
    group = ArgGroup::new("keys").required(true).multiple(true).args(["key_files", "recipients"]),
    after_help = "\
Examples:
  kluis key add --recipient age1... --all
  kluis key add --key-file recovery.key latest:shop

An archive has room for 8 keys. New backups open with the configured keys only.")]
pub struct KeyAdd {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    #[arg(value_name = "BACKUP")]
    pub backups: Vec<String>,

    /// All of them
    #[arg(long)]
    pub all: bool,

    /// A file that holds a key, a passphrase or an age identity
    #[arg(long = "key-file", value_name = "FILE")]
    pub key_files: Vec<PathBuf>,

    /// An age recipient
    #[arg(long = "recipient", value_name = "AGE1", value_parser = recipient)]
    pub recipients: Vec<AgeRecipient>,

    /// Also what opens by a recipient alone, which anybody who can write to the
    /// storage may have made: only where you know where all of it is from
    #[arg(long)]
    pub accept_unsealed: bool,
}

/// Take a key off backups
///
/// The key no longer opens the archive. Whoever had it and a copy of the archive
/// may still open that copy: if a key leaked, use rotate --reencrypt.
#[derive(Args)]
#[command(
    override_usage = "kluis key drop --key-file F|--id I|--recipient R <BACKUP..|--all>",
    group = ArgGroup::new("which").required(true).args(["backups", "all"]),
    group = ArgGroup::new("key").required(true).args(["key_file", "id", "recipient"]),
    after_help = "\
Examples:
  kluis key drop --key-file /root/old.key --all
  kluis key drop --id 00112233aabbccdd latest:shop

The last key of an archive is never dropped.")]
pub struct KeyDrop {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    #[arg(value_name = "BACKUP")]
    pub backups: Vec<String>,

    /// All of them
    #[arg(long)]
    pub all: bool,

    /// A file that holds the key, the passphrase or the age identity
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// A key by its id: 16 hex digits
    #[arg(long, value_name = "KEYID", value_parser = key_id)]
    pub id: Option<KeyId>,

    /// An age recipient
    #[arg(long, value_name = "AGE1", value_parser = recipient)]
    pub recipient: Option<AgeRecipient>,

    /// Also where no configured key opens the archive afterwards
    #[arg(long)]
    pub force: bool,
}

/// Exchange a key for the configured ones
///
/// Every archive that the old key opens opens with the configured keys
/// afterwards, and no longer with the old one; other keys stay. 8 KiB are
/// written into each, whatever its size. A rotation that was stopped is taken up
/// by the next one.
#[derive(Args)]
#[command(
    group = ArgGroup::new("how").required(true).multiple(true).args(["from", "reencrypt"]),
    after_help = "\
Examples:
  kluis key rotate --from /root/old.key --dry-run
  kluis key rotate --from /root/old.key
  kluis key rotate --from /root/leaked.key --reencrypt
  kluis key rotate --reencrypt           all legacy archives become KLUIS1

Rotation is not revocation: whoever had the old key and a copy of an archive
still opens that copy, and may have kept its data key. --reencrypt writes each
archive anew under a new data key, reads it back, and removes the old one; it
needs room for the largest of them.

What opens by a recipient alone, or is not signed where hosts sign, may be
anybody's: it gets no key that would make it ours, and is listed. See
kluis-security(7).

Exit code 3: some could not be written, or are not ours so far. 4: some are
damaged, or want a key that is not here.")]
pub struct KeyRotate {
    /// Only these backups, instead of the whole storage
    #[arg(value_name = "BACKUP")]
    pub backups: Vec<String>,

    /// A file that holds the old key, passphrase or age identity
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,

    /// Write the archives anew, under new data keys
    ///
    /// Without --from: the named backups, unencrypted ones too, or all legacy
    /// ones.
    #[arg(long)]
    pub reencrypt: bool,

    /// Also what opens by a recipient alone, which anybody who can write to the
    /// storage may have made: only where you know where all of it is from
    #[arg(long)]
    pub accept_unsealed: bool,

    /// Print what would be done; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Write the headers of backups anew
///
/// An archive has two copies of its header. Where one is damaged, this makes it
/// whole again from the other; the keys stay as they are.
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true).args(["backups", "all"]),
    after_help = "\
Examples:
  kluis key repair latest:shop
  kluis key repair --all")]
pub struct KeyRepair {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    #[arg(value_name = "BACKUP")]
    pub backups: Vec<String>,

    /// All of them
    #[arg(long)]
    pub all: bool,
}

fn recipient(text: &str) -> Result<AgeRecipient, String> {
    text.parse().map_err(str::to_owned)
}

fn key_id(text: &str) -> Result<KeyId, String> {
    let mut id = [0; 8];
    match hex::decode_to_slice(text, &mut id) {
        Ok(()) => Ok(KeyId(id)),
        Err(_) => Err("a key's id has 16 hex digits, as `kluis show` prints it".to_owned()),
    }
}
