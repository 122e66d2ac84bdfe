//! `pg_restore` as a converter: an archive in custom or directory format goes
//! in, the SQL text of a plain dump comes out. No server is needed.
//!
//! Invariant: what it leaves out of the text is what pg_dump would have left
//! out of a plain dump with the same options.

use std::path::Path;

use super::dump_options::COUNT_AT_CONVERSION;
use super::server::NOT_INHERITED;
use super::{ClientSearch, Container, PostgresError};
use crate::process::Tool;

/// A `pg_restore` that was found, with what it has to leave out.
#[derive(Clone, Debug)]
pub struct Converter {
    tool: Tool,
}

impl Converter {
    /// `major`: of the pg_dump that made the archive; its pg_restore or a newer
    /// one reads it. `options`: what that pg_dump was asked besides.
    pub fn find(
        clients: &ClientSearch,
        major: Option<u32>,
        options: &[String],
    ) -> Result<Self, PostgresError> {
        let client = match major {
            Some(major) => clients.find("pg_restore", major)?,
            None => clients.newest("pg_restore")?,
        };
        let mut tool = Tool::new(&client.path)
            .install_hint(format!(
                "install the package postgresql-client-{}",
                client.major
            ))
            .env("LC_ALL", "C");
        for name in NOT_INHERITED {
            tool = tool.env_remove(*name);
        }
        Ok(Self::with_options(tool, options))
    }

    /// The one of a container: its directories are the container's. `major`: 0
    /// where it is not known.
    pub fn of_container(
        container: &Container,
        major: u32,
        options: &[String],
    ) -> Result<Self, PostgresError> {
        let client = container.client("pg_restore", major)?;
        Ok(Self::with_options(container.program(&client.path), options))
    }

    fn with_options(tool: Tool, options: &[String]) -> Self {
        let counts = |option: &&String| COUNT_AT_CONVERSION.contains(&option.as_str());
        Self {
            tool: tool
                .arg("--file=-")
                .args(options.iter().filter(counts).cloned()),
        }
    }

    /// Reads an archive in custom format from its stdin.
    pub fn of_stream(&self) -> Tool {
        self.tool.clone().arg("--format=custom")
    }

    /// Reads an archive in directory format.
    pub fn of_directory(&self, directory: &Path) -> Tool {
        self.tool
            .clone()
            .args(["--format=directory", "--"])
            .arg(directory)
    }
}
