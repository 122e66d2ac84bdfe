//! `kluis completions SHELL`: a script made from the command line's types.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::cli::Cli;

/// The shell's completion script.
pub fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "kluis", &mut script);
    script
}
