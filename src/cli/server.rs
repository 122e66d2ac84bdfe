//! How a server is reached: the flags that every command has that talks to one.

use clap::{Args, ValueEnum};

#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Server")]
pub struct ServerFlags {
    /// Connect to this server: postgres://user@host:port/database
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Reach the server directly, or inside its container
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<ModeArg>,

    /// The server's container; implies --mode docker
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub container: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Directly where a URL is given and answers, else in a container
    Auto,
    /// By the client programs of this machine
    Direct,
    /// By the programs inside the server's container
    Docker,
}
