//! One file per command: settings -> operation -> render. Decides nothing that
//! an operation could decide, and prints through `render` only.

use std::io;

use jiff::Timestamp;

use crate::cancel::Cancel;
use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::{self, Environment, Flags};
use crate::exit::Exit;
use crate::operations::Reporter;
use crate::render::Console;

pub mod completions;
pub mod config_show;
pub mod man;

/// Runs the command that was asked for.
pub fn run(mut cli: Cli, console: &Console, cancel: &Cancel) -> anyhow::Result<Exit> {
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
    let flags = Flags::take_from(&mut cli);
    let settings = config::load(flags, Environment::of_process())?;
    for warning in &settings.warnings {
        console.warn(warning);
    }
    let view = console.view(Timestamp::now(), settings.time_zone.value.clone());
    match cli.command {
        Command::Config(ConfigCommand::Show) => {
            console.print(&config_show::report(&settings), &view)?;
            Ok(Exit::Done)
        }
        _ => {
            cancel.check()?;
            anyhow::bail!("not wired yet")
        }
    }
}
