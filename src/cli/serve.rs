//! The scheduler's command, and what scheduled runs say of themselves.

use clap::Args;

use super::TriggerArg;

/// Run the schedules of kluis.toml, and listen for triggers
///
/// Stays in the foreground and starts what each [[schedule]] says at its time,
/// never two runs at once. A run that was missed is made up for, once. SIGHUP
/// reads the configuration anew; SIGTERM stops the run in order, and then serve.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis serve
  kluis serve --next                   what will run when, without running it
  BACKUP_SCHEDULER_MODE=both BACKUP_TRIGGER_API_KEY_FILE=/etc/kluis/trigger.key \\
      kluis serve

BACKUP_SCHEDULER_MODE or [serve] mode: internal (the schedules), external (the
HTTP trigger), or both. The trigger takes POST /api/backup/trigger with
'Authorization: Bearer KEY' or 'X-Backup-Key: KEY' and the body
{\"type\":\"database\"} or {\"type\":\"source\"}, and answers when the backup is done.

Exit code 130 or 143 after SIGINT or SIGTERM.")]
pub struct Serve {
    /// Show when each schedule runs next, and its command line; run nothing
    #[arg(long)]
    pub next: bool,
}

/// What the run record says about who started the run.
#[derive(Args)]
pub struct RunFlags {
    /// What started the run, for the history
    #[arg(long, value_enum, value_name = "TRIGGER", default_value_t = TriggerArg::Manual)]
    pub trigger: TriggerArg,

    /// The [[schedule]] that this run belongs to, for the history
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
}
