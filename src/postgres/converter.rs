//! `pg_restore` as a converter: an archive in custom or directory format goes
//! in, the SQL text of a plain dump comes out. No server is needed.
//!
//! Invariant: what it leaves out of the text is what pg_dump would have left
//! out of a plain dump with the same options. On this machine it reads no file but
//! the archive's.

use std::path::Path;

use super::archive_walls::ArchiveWalls;
use super::dump_options::COUNT_AT_CONVERSION;
use super::{ClientSearch, Container, PostgresError};
use crate::checked::RecordedOption;
use crate::process::Tool;

/// A `pg_restore` that was found, with what it has to leave out.
#[derive(Clone, Debug)]
pub struct Converter {
    tool: Tool,
    /// `None` in a container, whose own walls hold.
    walls: Option<ArchiveWalls>,
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
        let walls = ArchiveWalls::around(&client.path);
        Ok(Self::with_options(tool, Some(walls), options))
    }

    /// The one of a container: its directories are the container's. `major`: 0
    /// where it is not known.
    pub fn of_container(
        container: &Container,
        major: u32,
        options: &[RecordedOption],
    ) -> Result<Self, PostgresError> {
        let client = container.client("pg_restore", major)?;
        let tool = container.program(&client.path);
        Ok(Self::with_options(tool, None, options))
    }

    fn with_options(tool: Tool, walls: Option<ArchiveWalls>, options: &[RecordedOption]) -> Self {
        let counts = |option: &&&str| options.iter().any(|given| given == *option);
        Self {
            tool: tool
                .arg("--file=-")
                .args(COUNT_AT_CONVERSION.iter().filter(counts)),
            walls,
        }
    }

    /// Reads an archive in custom format from its stdin.
    pub fn of_stream(&self) -> Tool {
        self.held(self.tool.clone().arg("--format=custom"), None)
    }

    /// Reads an archive in directory format.
    pub fn of_directory(&self, directory: &Path) -> Tool {
        let tool = self.tool.clone().args(["--format=directory", "--"]);
        self.held(tool.arg(directory), Some(directory))
    }

    /// Whether it reads nothing but the archive, whatever files that names.
    pub fn reads_archive_alone(&self) -> bool {
        self.walls.as_ref().is_some_and(ArchiveWalls::hold_files)
    }

    fn held(&self, tool: Tool, archive: Option<&Path>) -> Tool {
        match &self.walls {
            Some(walls) => walls.hold(tool, archive),
            None => tool,
        }
    }
}
