//! The command line as types: commands, flags, help texts. Owns what can be
//! said and which flags refuse each other; decides nothing and reads nothing.
//! Man pages and completions are made from these same types.
//!
//! A flag that does nothing yet does not stand here.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::duration::parse_wait;

mod adopt;
mod backup;
mod check;
mod doctor;
mod history;
mod key;
mod notify;
mod report;
mod restore;
mod series;
mod serve;
mod server;
mod stored;

pub use adopt::Adopt;
pub use backup::{
    BackupCommand, BackupDb, BackupSource, CodecArg, DatabaseFlags, FormatArg, RecordFlags,
    SealingFlags, TriggerArg,
};
pub use check::{Check, Status};
pub use doctor::Doctor;
pub use history::{History, ResultArg};
pub use key::{KeyAdd, KeyCommand, KeyDrill, KeyDrop, KeyGenerate, KeyList, KeyRepair, KeyRotate};
pub use notify::{NotifyCommand, NotifyTest};
pub use report::Report;
pub use restore::{Decrypt, Destination, Restore};
pub use series::{SeriesCommand, SeriesList, SeriesMove};
pub use serve::{RunFlags, Serve};
pub use server::{ModeArg, ServerFlags};
pub use stored::{Delete, Keep, KindArg, List, Prune, RetentionFlags, Show, SortArg, Verify};

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default());

/// Back up PostgreSQL databases and source trees, and prove that they restore
///
/// A backup is one compressed, encrypted file and a manifest beside it, in a
/// storage directory. Settings come from flags, then the environment, then
/// kluis.toml, then defaults; `kluis config show` tells which one won.
#[derive(Parser)]
#[command(
    name = "kluis",
    version,
    max_term_width = 80,
    styles = STYLES,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  kluis -s /var/backups/kluis backup db shop   back up the database shop
  kluis list                                   what is there, and how proven
  kluis verify --all                           read every backup to its end
  kluis restore latest:shop --into shop_copy   bring the newest one back

Exit codes:
  0    done
  1    failed; nothing was changed
  2    usage or configuration
  3    done but incomplete, such as unreadable source files
  4    integrity: corrupt, wrong key, or content differs
  5    unhealthy (check)
  6    another run holds the lock
  130  interrupted (143 after SIGTERM, 142 at a limit)"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalFlags,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes, before or after its name.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalFlags {
    /// Read settings from this file, instead of looking for kluis.toml
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Read environment variables from KEY=VALUE lines; real ones win
    #[arg(long, value_name = "FILE", global = true)]
    pub env_file: Option<PathBuf>,

    /// The directory that holds the backups
    #[arg(short, long, value_name = "DIR", global = true)]
    pub storage: Option<PathBuf>,

    /// Say more about what is done and why; -vv each step of it too
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Say nothing but results, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Print the result as one JSON document
    #[arg(long, global = true)]
    pub json: bool,

    /// Show no progress bar
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// When to use colour
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        value_enum,
        default_value_t = ColorWhen::Auto,
        hide_possible_values = false
    )]
    pub color: ColorWhen,

    /// Wait this long for another run to end, such as 30s or 10m
    #[arg(long, value_name = "DURATION", global = true, value_parser = parse_wait)]
    pub lock_wait: Option<Duration>,

    /// Stop the run after this long, such as 12h; 0 is never
    #[arg(long, value_name = "DURATION", global = true, value_parser = parse_wait)]
    pub run_limit: Option<Duration>,

    /// Stop a backup of which no byte moves for so long, such as 30m; 0 is never
    #[arg(long, value_name = "DURATION", global = true, value_parser = parse_wait)]
    pub stall_limit: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Subcommand)]
pub enum Command {
    #[command(subcommand)]
    Backup(BackupCommand),
    List(List),
    Show(Show),
    Status(Status),
    Check(Check),
    History(History),
    Report(Report),
    Verify(Verify),
    Restore(Restore),
    Prune(Prune),
    Delete(Delete),
    Keep(Keep),
    Decrypt(Decrypt),
    Adopt(Adopt),
    #[command(subcommand)]
    Series(SeriesCommand),
    #[command(subcommand)]
    Key(KeyCommand),
    Doctor(Doctor),
    Serve(Serve),
    #[command(subcommand)]
    Notify(NotifyCommand),
    #[command(subcommand)]
    Config(ConfigCommand),
    Completions(Completions),
    Man(Man),
}

/// Look at the settings
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Print every setting and where it came from
    ///
    /// Secrets are masked. Nothing is connected to or written.
    #[command(after_help = "\
Examples:
  kluis config show
  kluis -c ./kluis.toml config show --json")]
    Show,
}

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis completions bash > /etc/bash_completion.d/kluis
  kluis completions zsh > ~/.zfunc/_kluis
  kluis completions fish > ~/.config/fish/completions/kluis.fish")]
pub struct Completions {
    /// The shell to print it for
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Write the man pages into a directory
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis man /usr/local/share/man/man1")]
pub struct Man {
    /// The directory to write kluis.1 and a page per command to; kluis-archive.5,
    /// kluis-migrating.7 and kluis-security.7 go to the man5 and man7 beside it if
    /// it is a man1
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
