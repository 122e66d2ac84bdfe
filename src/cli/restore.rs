//! `kluis restore` and `kluis decrypt`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::ServerFlags;
use crate::postgres::{SessionOptions, SessionSetting};

/// Bring a backup back
///
/// The archive is read and checked to its end before anything becomes visible
/// at the destination. A source tree goes into a new or empty directory; a
/// database into a new one, or in place of one that exists.
#[derive(Args, Clone)]
#[command(
    // The generated one is wider than 80 columns.
    override_usage = "kluis restore [OPTIONS] [BACKUP] [--to DIR|--into DB|--replace|--list]",
    after_help = "\
Examples:
  kluis restore latest:source --to /srv/app-restored
  kluis restore latest:shop --into shop_copy
  kluis restore 3f9a --replace --keep-old
  kluis restore latest:shop --into shop_copy --dry-run
  kluis restore latest:shop --list
  kluis restore latest:shop -t sales.orders --into shop_orders
  kluis restore latest:shop --into shop --no-owner --no-privileges --role app
  kluis restore latest:source --list --path '*.conf'
  kluis restore latest:source --path etc/nginx --to /tmp/back
  kluis restore 3f9a --to /srv/app-left --keep-going

BACKUP is an id, a unique prefix of one, a file name, a path to a file,
latest, latest:db, latest:source or latest:NAME. After a failure what was
there before is as it was.

TABLE is a table, view or sequence, as orders or sales.orders; SCHEMA is a
schema. * stands for any text, ? for one character, double quotes make a name
exact. A table without a schema is looked for in every schema. What belongs to
it comes along; what would need something that is not chosen is left out and
named. With -t or -n the destination is --into.

Exit code 3: restored, but something was left out or could not be set,
differences were accepted, or with --keep-going something is not whole.
Exit code 4: the archive is damaged, or the key is not its key."
)]
pub struct Restore {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    ///
    /// Asked for on a terminal where it is left out, and so is the destination.
    #[arg(value_name = "BACKUP")]
    pub backup: Option<String>,

    #[command(flatten)]
    pub destination: Destination,

    // Conflicts and not `requires`: clap waives a requirement that conflicts
    // with a flag that is given, which is just the case to be refused.
    /// With --replace: the backup is a part, or adopted and may be one, and what is
    /// not in it may go
    #[arg(long, conflicts_with_all = ["to", "into"])]
    pub part: bool,

    /// With --replace: keep the replaced database under another name
    #[arg(long, conflicts_with_all = ["to", "into"])]
    pub keep_old: bool,

    /// Database: fill the existing one in one transaction, instead of building
    /// a new one and swapping it in; for roles without CREATEDB
    #[arg(long, conflicts_with_all = ["to", "keep_old"])]
    pub in_place: bool,

    /// Database: do not back up first what is replaced
    #[arg(long, conflicts_with_all = ["to"])]
    pub no_pre_restore_backup: bool,

    /// Database: only this table, with what belongs to it (may be repeated)
    #[arg(
        short = 't',
        long = "table",
        value_name = "TABLE",
        conflicts_with = "to"
    )]
    pub tables: Vec<String>,

    /// Database: only this schema, with everything in it (may be repeated)
    #[arg(
        short = 'n',
        long = "schema",
        value_name = "SCHEMA",
        conflicts_with = "to"
    )]
    pub schemas: Vec<String>,

    /// Source: only what matches, with all below it and the directories above it
    /// (may be repeated); a name at any depth, or a path with a slash
    ///
    /// Globs as for the excludes of a backup. Also with --list.
    #[arg(long = "path", value_name = "GLOB", conflicts_with_all = ["into", "replace"])]
    pub paths: Vec<String>,

    /// Database: where the login is a superuser's, also run with its rights what
    /// stands in the dump, instead of with those of the role that owns it
    #[arg(long, conflicts_with = "to")]
    pub as_superuser: bool,

    /// Database: leave out whose everything is; all of it is the restoring role's
    #[arg(short = 'O', long, conflicts_with = "to")]
    pub no_owner: bool,

    /// Database: leave out what is granted and revoked
    #[arg(short = 'x', long, conflicts_with = "to")]
    pub no_privileges: bool,

    /// Database: become this role before anything is made
    #[arg(long, value_name = "NAME", conflicts_with = "to", value_parser = NonEmptyStringValueParser::new())]
    pub role: Option<String>,

    /// Database: this setting while it is filled, whatever the dump sets, such as
    /// search_path=public (may be repeated)
    #[arg(long = "set", value_name = "NAME=VALUE", conflicts_with = "to")]
    pub settings: Vec<SessionSetting>,

    /// Database: take it also where it differs from its dump, as where a trigger of its
    /// own writes while it is filled; each difference is named (exit code 3)
    #[arg(long, conflicts_with = "to")]
    pub accept_differences: bool,

    #[command(flatten)]
    pub server: ServerFlags,

    /// Source: leave out symlinks that lead outside the restored tree
    ///
    /// For archives of strangers: kluis writes through no link, but other programs
    /// would. What is left out is named, and the exit code is 3.
    #[arg(long, conflicts_with_all = ["into", "replace"])]
    pub no_links_outside: bool,

    /// Source: make symlinks that lead outside, which is what happens anyway
    #[arg(long, hide = true, conflicts_with_all = ["into", "replace", "no_links_outside"])]
    pub links_outside: bool,

    /// Also a backup that no key of ours sealed, which may be anybody's work
    ///
    /// A tree then comes without setuid and setgid bits, devices, and attributes
    /// that give rights, such as capabilities. Only where a key is configured:
    /// without one nothing can be told apart.
    #[arg(long)]
    pub accept_unsealed: bool,

    /// Bring back all that can be brought back, and list the rest
    ///
    /// Also of a damaged archive: files with zeros in place of their lost bytes, tables
    /// of a plain dump with the rows that are left, of a dump in custom or directory
    /// format all tables that are whole, everything but the statements that fail. Each
    /// that is not whole is named. Only beside what is there, with --to or --into.
    #[arg(long, conflicts_with_all = ["replace", "in_place", "as_superuser", "accept_differences", "tables", "schemas", "paths", "list", "dry_run"])]
    pub keep_going: bool,

    /// Do not ask; for scripts
    #[arg(long)]
    pub yes: bool,

    /// Check the archive and the destination, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl Restore {
    /// How the session that fills a database is to be.
    pub fn session(&self) -> SessionOptions {
        SessionOptions {
            no_owner: self.no_owner,
            no_privileges: self.no_privileges,
            role: self.role.clone(),
            settings: self.settings.clone(),
            ..SessionOptions::default()
        }
    }
}

/// Where it goes: at most one. None for roles, which go in place, and none on a
/// terminal, where it is asked for.
#[derive(Args, Clone, Default)]
#[group(required = false, multiple = false)]
pub struct Destination {
    /// Source: into this directory, new or empty
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "mode", "container"])]
    pub to: Option<PathBuf>,

    /// Database: into this one, new or empty
    #[arg(long, value_name = "DB", value_parser = NonEmptyStringValueParser::new())]
    pub into: Option<String>,

    /// Database: in place of the one it was made of, swapped in at once
    #[arg(long)]
    pub replace: bool,

    /// Nowhere; print what is in the backup
    #[arg(long, conflicts_with_all = ["tables", "schemas", "in_place", "keep_old", "dry_run"])]
    pub list: bool,
}

/// Decrypt an archive file
///
/// Gives the compressed file that any gunzip, zstd or tar reads. Needs the file
/// and the key only: no storage, no manifest. Reads KLUIS1 and Kanbu's own
/// .enc files.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis decrypt shop_backup_2026-01-18T10-30-00.sql.gz.enc
  kluis decrypt old.tar.gz.enc -o - | tar tzf -
  kluis decrypt shop.sql.gz.enc -o - | gunzip | psql shop_copy

The key comes from BACKUP_ENCRYPTION_KEY, BACKUP_ENCRYPTION_KEY_FILE,
[encryption] key_file, or the systemd credential kluis.key.")]
pub struct Decrypt {
    /// The encrypted file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Write here, or to stdout with -; by default FILE without .enc
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
}
