//! Parses, runs, prints one error, and ends with its exit code.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use kluis::cancel::Cancel;
use kluis::cli::{Cli, Command};
use kluis::exit::{Exit, exit_of, hint_of, stopped};
use kluis::operations::Reporter;
use kluis::render::Console;
use kluis::{commands, config, process, signals};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return usage(&said),
    };
    let console = Console::new(&cli.global, config::journal_stream().as_deref());
    if let Err(error) = process::forbid_core_dumps() {
        console.warn(&format!("a crash could write keys to disk: {error}"));
    }
    let cancel = Cancel::default();
    let size_limit = signals::outlive_size_limit();
    let listening = match cli.command {
        // It hears signals itself: SIGHUP is something else to it.
        Command::Serve(_) => Ok(()),
        _ => signals::listen(
            cancel.clone(),
            || process::terminate_all(process::GRACE),
            Console::last_words,
        ),
    };
    // It always says one line, also where it comes to nothing.
    let plugin = matches!(&cli.command, Command::Check(wanted) if wanted.nagios);
    let run = size_limit
        .map_err(anyhow::Error::from)
        .and_then(|()| commands::run(cli, &console, &cancel, listening));
    let exit = run.unwrap_or_else(|error| {
        let (error, exit) = match cancel.check() {
            Ok(()) => {
                let exit = exit_of(&error);
                (error, exit)
            }
            Err(stop) => (stopped(error, stop), Exit::Signal(stop.signal)),
        };
        if plugin && !matches!(exit, Exit::Signal(_)) {
            return commands::plugin_failed(&console, &error);
        }
        // Done with an error: nobody reads stdout any more, so nothing is said.
        if exit != Exit::Done {
            console.error(&error, hint_of(&error).as_deref(), exit.code());
        }
        exit
    });
    ExitCode::from(exit.code())
}

/// Help and version are results; anything else is wrong usage.
fn usage(said: &clap::Error) -> ExitCode {
    let (exit, json) = match said.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => (Exit::Done, false),
        _ => (Exit::Usage, config::asks_for_json()),
    };
    Console::usage(said, json, exit.code());
    ExitCode::from(exit.code())
}
