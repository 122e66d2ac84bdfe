//! The commands over keys: make them, see what they open, exchange them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

mod change;
mod look;

pub use change::{KeyAdd, KeyDrop, KeyRepair, KeyRotate};
pub use look::{KeyDrill, KeyList};

/// Make keys, see what they open, add, drop and exchange them
#[derive(Subcommand)]
pub enum KeyCommand {
    Generate(KeyGenerate),
    List(KeyList),
    Drill(KeyDrill),
    Add(KeyAdd),
    Drop(KeyDrop),
    Rotate(KeyRotate),
    Repair(KeyRepair),
}

/// Write a new key into a file
///
/// The file is readable by its owner only, and an existing one is never
/// overwritten. The key is shown nowhere.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis key generate -o /etc/kluis/key
  kluis key generate --age -o recovery.txt   its age1... line goes into
                                             recipients of kluis.toml
  kluis key generate --signing -o /etc/kluis/signing.key")]
pub struct KeyGenerate {
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// An age identity: hosts that know its recipient write backups that only
    /// this file opens
    #[arg(long)]
    pub age: bool,

    /// A key that signs what a host makes: hosts that know its public half take
    /// nothing else for a backup of theirs
    #[arg(long, conflicts_with = "age")]
    pub signing: bool,
}
