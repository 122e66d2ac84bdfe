//! `kluis key`: makes keys, tells what they open, exchanges them.

use crate::cli::KeyCommand;
use crate::exit::Exit;

use super::session::Session;

mod change;
mod drill;
mod generate;
mod list;

pub fn run(session: &Session<'_>, wanted: &KeyCommand) -> anyhow::Result<Exit> {
    match wanted {
        KeyCommand::Generate(wanted) => generate::generate(session, wanted),
        KeyCommand::Add(wanted) => change::add(session, wanted),
        KeyCommand::Drop(wanted) => change::drop(session, wanted),
        KeyCommand::Rotate(wanted) => change::rotate(session, wanted),
        KeyCommand::Repair(wanted) => change::repair(session, wanted),
        KeyCommand::List(wanted) => list::list(session, wanted),
        KeyCommand::Drill(wanted) => drill::drill(session, wanted),
    }
}
