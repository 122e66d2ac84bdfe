//! Gives a plain dump back to a server: `psql` fills a staging database in one
//! transaction, and only then the staging database takes its place.
//!
//! The dump is untrusted: psql runs restricted, so that no meta-command of it
//! is obeyed. Its SQL runs with the rights of the role that restores.

use std::io::{self, BufRead, Write};

use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::ledger::DumpReader;
use crate::postgres::{Locale, PostgresError, RestrictFilter, Server, StagedDatabase};
use crate::process::{ChildWriter, ProcessError};

/// Where the dump goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A new database, or one that is there and empty.
    Into(String),
    /// In the place of a database, which is dropped after the swap, or kept
    /// under another name. Where there is none, it is made.
    Replace { name: String, keep_old: bool },
}

impl Placement {
    fn name(&self) -> &str {
        match self {
            Self::Into(name) | Self::Replace { name, .. } => name,
        }
    }
}

/// A database that comes back.
#[derive(Debug)]
pub struct DatabaseTarget {
    server: Server,
    placement: Placement,
    locale: Option<Locale>,
    staged: Option<StagedDatabase>,
    cancel: Cancel,
}

impl DatabaseTarget {
    /// Looks before anything changes: the name, what stands there, the roles
    /// that `content` (the manifest's, if there is one) says it needs.
    pub fn new(
        server: Server,
        placement: Placement,
        content: Option<&DatabaseContent>,
        cancel: Cancel,
    ) -> Result<Self, PostgresError> {
        let name = placement.name();
        let maintenance = server.maintenance_database(name)?;
        if let Placement::Into(name) = &placement
            && server.database_exists(&maintenance, name)?
            && !server.database_is_empty(name)?
        {
            let name = name.clone();
            return Err(PostgresError::DatabaseExists { name });
        }
        let needed = content.map_or(&[][..], |content| &content.roles);
        let roles = server.missing_roles(&maintenance, needed)?;
        if !roles.is_empty() {
            return Err(PostgresError::MissingRoles { roles });
        }
        Ok(Self {
            locale: content.map(locale),
            server,
            placement,
            staged: None,
            cancel,
        })
    }

    /// The whole stream into psql; `COMMIT` only after the stream's clean end
    /// and the dump's own trailer.
    fn feed(
        &self,
        psql: &mut ChildWriter,
        stream: &mut dyn BufRead,
    ) -> Result<DatabaseContent, TargetError> {
        let mut reader = DumpReader::new();
        let mut filter = RestrictFilter::default();
        loop {
            self.cancel.check()?;
            let piece = stream.fill_buf().map_err(TargetError::Stream)?;
            if piece.is_empty() {
                break;
            }
            filter.push(piece, psql).map_err(|e| self.refusal(e))?;
            reader.feed(piece);
            let piece_bytes = piece.len();
            stream.consume(piece_bytes);
        }
        let ledger = reader.finish().map_err(|error| TargetError::Hostile {
            what: error.to_string(),
        })?;
        filter.finish(psql).map_err(|e| self.refusal(e))?;
        psql.write_all(b"\nCOMMIT;\n")
            .map_err(|e| self.refusal(e))?;
        Ok(DatabaseContent {
            ledger,
            ..DatabaseContent::default()
        })
    }

    /// What psql said as it went away while we wrote.
    fn refusal(&self, error: io::Error) -> TargetError {
        match ProcessError::from_io(error) {
            Ok(error) => self.failure(error),
            Err(source) => TargetError::Place {
                action: "write to",
                place: "psql".to_owned(),
                source,
            },
        }
    }

    /// A stop ends psql, and then the stop is the reason.
    fn failure(&self, error: ProcessError) -> TargetError {
        if let Err(cancelled) = self.cancel.check() {
            return cancelled.into();
        }
        if let ProcessError::Failed(failure) = &error
            && let Some((line, detail)) = statement(&failure.stderr)
        {
            return PostgresError::Statement { line, detail }.into();
        }
        let error = self
            .server
            .explain(error, "restore the dump", self.placement.name());
        error.into()
    }
}

impl Target for DatabaseTarget {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        self.cancel.check()?;
        let name = self.placement.name();
        let staged = StagedDatabase::create(&self.server, name, self.locale.as_ref())?;
        let mut warnings = Vec::new();
        let mut kept_old = None;
        if let (Placement::Replace { keep_old: true, .. }, Some(old)) =
            (&self.placement, staged.old_name())
        {
            kept_old = Some(old.to_owned());
        }
        let restricted = self.server.psql().knows_restrict();
        if !restricted {
            warnings.push(unrestricted(&self.server));
        }
        let tool = psql_tool(&self.server, staged.staging_name());
        // From here on dropping the target drops the staging database.
        self.staged = Some(staged);
        let mut psql = ChildWriter::spawn(&tool).map_err(PostgresError::from)?;
        let preamble = preamble(restricted)?;
        psql.write_all(preamble.as_bytes())
            .map_err(|e| self.refusal(e))?;
        let content = self.feed(&mut psql, stream)?;
        psql.finish().map_err(|error| self.failure(error))?;
        Ok(Received {
            database: Some(content),
            kept_old,
            warnings,
            ..Received::default()
        })
    }

    fn commit(mut self: Box<Self>) -> Result<(), TargetError> {
        self.cancel.check()?;
        let Some(staged) = self.staged.take() else {
            return Err(TargetError::Hostile {
                what: "nothing was received, so nothing can take its place".to_owned(),
            });
        };
        match &self.placement {
            Placement::Into(_) => staged.take_place(true, false)?,
            Placement::Replace { keep_old, .. } => staged.take_place(false, *keep_old)?,
        }
        Ok(())
    }
}

fn psql_tool(server: &Server, database: &str) -> crate::process::Tool {
    server.tool(server.psql(), database).args([
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--file=-",
    ])
}

/// Lines that we send before the dump's first: the restriction, one
/// transaction, room for index builds. The commit need not wait for the disk:
/// the swap's own commit comes later in the WAL and waits for all before it.
fn preamble(restricted: bool) -> Result<String, PostgresError> {
    let restrict = if restricted {
        format!("\\restrict {}", crate::postgres::random_hex::<16>()?)
    } else {
        String::new()
    };
    Ok(format!(
        "{restrict}\nSET synchronous_commit = off; SET maintenance_work_mem = '256MB';\nBEGIN;\n"
    ))
}

/// How many lines [`preamble`] has.
const PREAMBLE_LINES: u64 = 3;

fn unrestricted(server: &Server) -> String {
    format!(
        "psql {} cannot be kept from running commands that stand in a dump (CVE-2025-8714); \
         restore only dumps you trust, and install the current postgresql-client-{}",
        server.psql().version,
        server.version().major()
    )
}

/// Line of the dump and reason, out of `psql:<stdin>:12: ERROR:  ...`.
fn statement(stderr: &str) -> Option<(u64, String)> {
    let (_, after) = stderr.split_once("psql:<stdin>:")?;
    let (line, detail) = after.split_once(": ")?;
    let line: u64 = line.parse().ok()?;
    Some((
        line.saturating_sub(PREAMBLE_LINES),
        detail.trim().to_owned(),
    ))
}

fn locale(content: &DatabaseContent) -> Locale {
    let ctype = content.ctype.as_ref().unwrap_or(&content.locale);
    Locale {
        encoding: content.encoding.clone(),
        collate: content.locale.clone(),
        ctype: ctype.clone(),
        provider: content.locale_provider.clone().unwrap_or_default(),
        provider_locale: content.provider_locale.clone(),
    }
}
