//! One file per command: settings -> operation -> render. Decides nothing that
//! an operation could decide, and prints through `render` only.

use std::io;

use jiff::Timestamp;

use crate::cancel::Cancel;
use crate::cli::{BackupCommand, Cli, Command, ConfigCommand, NotifyCommand};
use crate::config::{self, Environment, Flags, Settings};
use crate::event::EventKind;
use crate::exit::Exit;
use crate::format::manifest::Kind;
use crate::operations::Reporter;
use crate::process;
use crate::render::Console;
use crate::secrets::StateDir;
use crate::signals;

mod adopt;
mod around;
mod backup;
mod check;
pub mod completions;
pub mod config_show;
mod decrypt;
mod doctor;
mod history;
mod key;
mod list;
pub mod man;
mod messages;
mod notify;
mod remove;
mod report;
mod restore;
mod series;
mod serve;
mod session;
mod verify;

pub use check::plugin_failed;

use around::{Around, Happened, around};
use session::{GivenFlags, Keys, Session};

/// Runs the command that was asked for. `heard`: whether signals are; a run that nobody
/// could stop does not begin, and leaves its record all the same.
pub fn run(
    mut cli: Cli,
    console: &Console,
    cancel: &Cancel,
    heard: io::Result<()>,
) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Completions(wanted) => {
            let script = completions::script(wanted.shell);
            console.print_text(&String::from_utf8(script).map_err(io::Error::other)?)?;
            return Ok(Exit::Done);
        }
        Command::Man(wanted) => {
            man::write(&wanted.directory)?;
            return Ok(Exit::Done);
        }
        _ => {}
    }
    let given = GivenFlags::of(&cli.global);
    let flags = Flags::take_from(&mut cli);
    let environment = Environment::of_process();
    let path = environment.text("PATH")?.map(str::to_owned);
    let sudo_user = environment.text("SUDO_USER")?.map(str::to_owned);
    let keys = Keys::remembered_in(StateDir::of(|name| environment.get(name)));
    let settings = config::load(flags, environment)?;
    for warning in &settings.warnings {
        console.warn(warning);
    }
    // It runs for years, and its jobs are runs themselves.
    let heard = match cli.command {
        Command::Serve(_) => heard,
        _ => heard.and_then(|()| keep_limits(&settings, cancel)),
    };
    let unheard = match heard {
        Err(error) if !has_surroundings(&cli.command) => return Err(error.into()),
        heard => heard.err(),
    };
    let now = Timestamp::now();
    let view = console.view(now, settings.time_zone.value.clone());
    let session = Session {
        given,
        settings,
        console,
        cancel,
        unheard,
        view,
        now,
        path,
        user: process::effective_user(),
        sudo_user,
        schedule: schedule_of(&cli.command),
        happened: Happened::default(),
        keys,
        told_of_clear_way: Default::default(),
    };
    let ended = dispatch(&session, cli.command);
    session.keys.remember();
    ended
}

/// The run's own limits of time.
fn keep_limits(settings: &Settings, cancel: &Cancel) -> io::Result<()> {
    signals::stop_after(settings.run_limit.value, cancel.clone(), || {
        process::terminate_all(process::GRACE);
    })?;
    signals::stop_stalled(settings.stall_limit.value, cancel.clone(), |first| {
        process::terminate_from(first, process::GRACE);
    })
}

/// Whether it is carried out by [`around`].
fn has_surroundings(command: &Command) -> bool {
    matches!(
        command,
        Command::Backup(_) | Command::Check(_) | Command::Verify(_) | Command::Restore(_)
    )
}

/// The schedule that a run belongs to, if it says so.
fn schedule_of(command: &Command) -> Option<String> {
    match command {
        Command::Backup(BackupCommand::Db(wanted)) => wanted.record.schedule.clone(),
        Command::Backup(BackupCommand::Source(wanted)) => wanted.record.schedule.clone(),
        Command::Verify(wanted) => wanted.run.schedule.clone(),
        Command::Prune(wanted) => wanted.run.schedule.clone(),
        Command::Check(wanted) => wanted.run.schedule.clone(),
        _ => None,
    }
}

fn dispatch(session: &Session<'_>, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Backup(BackupCommand::Db(wanted)) => {
            let run = Around::backup("backup db", Kind::Db, &wanted.record);
            around(session, &run, || backup::db(session, &wanted))
        }
        Command::Backup(BackupCommand::Source(wanted)) => {
            let run = Around::backup("backup source", Kind::Source, &wanted.record);
            around(session, &run, || backup::source(session, &wanted.record))
        }
        Command::List(wanted) => list::list(session, &wanted),
        Command::Show(wanted) => list::show(session, &wanted),
        Command::Status(_) => check::status(session),
        Command::Check(wanted) => {
            let run = Around::run("check", EventKind::CheckUnhealthy, &wanted.run);
            around(session, &run, || check::check(session, &wanted))
        }
        Command::History(wanted) => history::run(session, &wanted),
        Command::Report(wanted) => report::run(session, &wanted),
        Command::Verify(wanted) => {
            let run = Around::run("verify", EventKind::VerifyFailed, &wanted.run);
            around(session, &run, || verify::run(session, &wanted))
        }
        Command::Restore(wanted) => {
            let run = Around::by_hand("restore", EventKind::RestoreFailed);
            around(session, &run, || restore::run(session, &wanted))
        }
        Command::Prune(wanted) => remove::prune(session, &wanted),
        Command::Delete(wanted) => remove::delete(session, &wanted),
        Command::Keep(wanted) => remove::keep(session, &wanted),
        Command::Decrypt(wanted) => decrypt::run(session, &wanted),
        Command::Adopt(wanted) => adopt::run(session, &wanted),
        Command::Series(wanted) => series::run(session, &wanted),
        Command::Key(wanted) => key::run(session, &wanted),
        Command::Doctor(wanted) => doctor::run(session, &wanted),
        Command::Notify(NotifyCommand::Test(wanted)) => notify::test(session, &wanted),
        Command::Serve(wanted) => serve::run(session, &wanted),
        Command::Config(ConfigCommand::Show) => {
            session.print(&config_show::report(&session.settings))?;
            Ok(Exit::Done)
        }
        // Carried out before the settings were read.
        Command::Completions(_) | Command::Man(_) => Ok(Exit::Done),
    }
}
