//! `kluis notify`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// Look after the messages about runs
#[derive(Subcommand)]
pub enum NotifyCommand {
    Test(NotifyTest),
}

/// Send a test message to the configured receivers
///
/// Says of each what was sent, what it answered and how long that took. A ping
/// goes to URL/log, which changes nothing there; one with URLs of its own goes
/// to the first of its start, success and fail URL. Nothing is recorded.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis notify test
  kluis notify test --to email
  kluis notify test --to slack --to webhook --json

Receivers stand under [notify] in kluis.toml; BACKUP_WEBHOOK_URL makes one too.
Exit code 0: all have taken it. 1: one has not. 2: there is none.")]
pub struct NotifyTest {
    /// Only this receiver (may be repeated); config show tells the names
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub to: Vec<String>,
}
