//! `pg_restore` as a converter: an archive in custom or directory format goes
//! in, the SQL text of a plain dump comes out. No server is needed.
//!
//! Invariant: what it leaves out of the text is what pg_dump would have left
//! out of a plain dump with the same options.

use std::path::Path;

use super::dump_options::COUNT_AT_CONVERSION;
use super::{ClientSearch, Container, PostgresError};
use crate::checked::RecordedOption;
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
        options: &[RecordedOption],
    ) -> Result<Self, PostgresError> {
        let client = match major {
            Some(major) => clients.find("pg_restore", major)?,
            None => clients.newest("pg_restore")?,
        };
        let tool = Tool::new(&client.path)
            .install_hint(format!(
                "install the package postgresql-client-{}",
                client.major
            ))
            .env("LC_ALL", "C");
        Ok(Self::with_options(tool, options))
    }

    /// The one of a container: its directories are the container's. `major`: 0
    /// where it is not known.
    pub fn of_container(
        container: &Container,
        major: u32,
        options: &[RecordedOption],
    ) -> Result<Self, PostgresError> {
        let client = container.client("pg_restore", major)?;
        Ok(Self::with_options(container.program(&client.path), options))
    }

    fn with_options(tool: Tool, options: &[RecordedOption]) -> Self {
        let counts = |option: &&&str| options.iter().any(|given| given == *option);
        Self {
            tool: tool
                .arg("--file=-")
                .args(COUNT_AT_CONVERSION.iter().filter(counts)),
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
