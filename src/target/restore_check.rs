//! Proves a dump: restores it into a database that is thrown away, and dumps
//! that again.
//!
//! Owns the copy and everything made for it; all of it is gone when this is
//! dropped. Refuses what cannot be told here (a missing extension, no room):
//! only a dump that fails by itself is said not to restore.

use std::io::{BufRead, ErrorKind};

use super::postgres::locale;
use super::psql::{Around, PsqlFeed};
use super::redump::dumped_again;
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::checked::listed;
use crate::format::manifest::DatabaseContent;
use crate::ledger::Columns;
use crate::postgres::{
    DumpOptions, Locale, PostgresError, Server, SessionOptions, StagedDatabase, StubRoles,
    ThrowawayCluster, ThrowawayOptions, preloads,
};
use crate::reached::Reached;

/// Where the copy is made.
pub enum ProofPlace {
    /// On a server of its own.
    Throwaway(ThrowawayOptions),
    /// In a database of its own on a server that stays.
    Server(Box<Server>),
}

/// The target of `verify --restore` for a database.
pub struct RestoreCheck {
    place: ProofPlace,
    /// The database's own name: the copy's is made of it.
    name: String,
    /// The manifest's, or empty where there is none.
    content: DatabaseContent,
    cancel: Cancel,
    copy: Option<Restored>,
    /// Of the dump that is in the copy.
    columns: Columns,
    /// Why the dump does not restore. Told when the whole archive has been
    /// checked: a damaged one fails here too, and then that is the reason.
    refusal: Option<TargetError>,
}

/// The restored database. Its fields are dropped in their order: the roles can
/// go when the database is gone, and the server at last.
struct Restored {
    database: StagedDatabase,
    _stubs: Option<StubRoles>,
    server: Server,
    cluster: Option<ThrowawayCluster>,
    /// Libraries that the dump's server had loaded, and this one has not.
    not_preloaded: Vec<String>,
    warnings: Vec<String>,
}

impl Restored {
    /// A server that was stopped for want of room fails in many ways; that is the
    /// reason then, and says nothing of the dump.
    fn ran_out(&self) -> Option<TargetError> {
        let ran_out = self.cluster.as_ref()?.ran_out()?;
        Some(ran_out.into())
    }
}

impl RestoreCheck {
    /// Does nothing yet; `content` is the manifest's.
    pub fn new(
        place: ProofPlace,
        name: &str,
        content: Option<&DatabaseContent>,
        cancel: Cancel,
    ) -> Self {
        Self {
            place,
            name: name.to_owned(),
            content: content.cloned().unwrap_or_default(),
            cancel,
            copy: None,
            columns: Columns::default(),
            refusal: None,
        }
    }

    /// An empty database with everything around it that the dump names.
    fn prepare(&self) -> Result<Restored, PostgresError> {
        // What could not be dumped again could not be compared.
        DumpOptions::again(&self.content)?;
        let copy = match &self.place {
            ProofPlace::Throwaway(options) => self.on_throwaway(options)?,
            ProofPlace::Server(server) => self.in_server(server)?,
        };
        let settings = &self.content.output_settings;
        let mut warnings = copy.database.set_output(settings)?;
        warnings.extend(copy.database.make_context(&self.content)?);
        warnings.extend(copy.warnings);
        Ok(Restored { warnings, ..copy })
    }

    fn on_throwaway(&self, options: &ThrowawayOptions) -> Result<Restored, PostgresError> {
        let cluster = ThrowawayCluster::start(options)?;
        let server = cluster.server().clone();
        let ask_in = server.maintenance_database(&self.name)?;
        self.check_extensions(&server, &ask_in)?;
        server.stand_in(&ask_in, &self.content)?;
        let mut warnings = cluster.warnings().to_vec();
        let database = match self.stage(&server, self.locale().as_ref()) {
            Err(error) if self.locale().is_some() && !error.is_of_the_place() => {
                let (database, warning) = self.stage_in_c(&server, &error)?;
                warnings.push(warning);
                database
            }
            staged => staged?,
        };
        server.stand_in_raw(database.staging_name(), &self.content)?;
        Ok(Restored {
            database,
            _stubs: None,
            server,
            not_preloaded: cluster.not_preloaded().to_vec(),
            cluster: Some(cluster),
            warnings,
        })
    }

    fn in_server(&self, server: &Server) -> Result<Restored, PostgresError> {
        let ask_in = server.maintenance_database(&self.name)?;
        // The copies of proofs that died go first: their stand-in roles are theirs.
        server.sweep_staging(&ask_in)?;
        server.sweep_stubs(&ask_in)?;
        self.check_major(server)?;
        self.check_extensions(server, &ask_in)?;
        let missing = server.missing_tablespaces(&ask_in, &self.content.tablespaces)?;
        if !missing.is_empty() {
            return Err(PostgresError::NotProvable {
                what: format!("the server lacks the tablespaces {}", listed(&missing)),
                remedy: "create them, or leave --in-server out".to_owned(),
            });
        }
        let missing = server.missing_raw(&ask_in, &self.content)?;
        if !missing.is_empty() {
            return Err(PostgresError::NotProvable {
                what: format!(
                    "the server lacks the roles {}, whose names are in no encoding",
                    listed(&missing)
                ),
                remedy: "create them, or leave --in-server out".to_owned(),
            });
        }
        let database = self.stage(server, self.locale().as_ref())?;
        let name = database.staging_name();
        let stubs = StubRoles::make(server, &ask_in, &self.content.roles, name)?;
        Ok(Restored {
            database,
            _stubs: Some(stubs),
            server: server.clone(),
            cluster: None,
            not_preloaded: server.not_preloaded(&ask_in, &preloads::wanted(&self.content))?,
            warnings: Vec::new(),
        })
    }

    /// What an older server does not understand is no fault of the backup.
    fn check_major(&self, server: &Server) -> Result<(), PostgresError> {
        let digits = self
            .content
            .client_version
            .split(|c: char| !c.is_ascii_digit());
        let dumped = digits
            .into_iter()
            .next()
            .and_then(|major| major.parse().ok());
        let major = server.version().major();
        if dumped.is_none_or(|dumped: u32| dumped <= major) {
            return Ok(());
        }
        Err(PostgresError::NotProvable {
            what: format!(
                "the dump is by pg_dump {}, the server is PostgreSQL {major}",
                self.content.client_version
            ),
            remedy: "prove it on a server of that major or newer, or leave --in-server out"
                .to_owned(),
        })
    }

    /// A part may need none of them.
    fn check_extensions(&self, server: &Server, ask_in: &str) -> Result<(), PostgresError> {
        if !self.content.selection.is_everything() {
            return Ok(());
        }
        let missing = server.missing_extensions(ask_in, &self.content.extensions)?;
        if missing.is_empty() {
            return Ok(());
        }
        let major = server.version().major();
        Err(PostgresError::NotProvable {
            what: format!(
                "the extensions {} are not installed for PostgreSQL {major} at {}",
                listed(&missing),
                server.place()
            ),
            remedy: format!(
                "install their packages (such as postgresql-{major}-{}), or prove it where they \
                 are, with --in-server",
                missing[0].replace('_', "-")
            ),
        })
    }

    fn stage(
        &self,
        server: &Server,
        locale: Option<&Locale>,
    ) -> Result<StagedDatabase, PostgresError> {
        StagedDatabase::create(server, &self.name, locale)
    }

    /// `None` where no manifest tells it.
    fn locale(&self) -> Option<Locale> {
        (!self.content.encoding.is_empty()).then(|| locale(&self.content))
    }

    /// What the operating system does not know cannot be had; the bytes are the
    /// same in C, only their order is another.
    fn stage_in_c(
        &self,
        server: &Server,
        why: &PostgresError,
    ) -> Result<(StagedDatabase, String), PostgresError> {
        let wanted = &self.content.locale;
        let plain = Locale {
            encoding: self.content.encoding.clone(),
            collate: "C".to_owned(),
            ctype: "C".to_owned(),
            ..Locale::default()
        };
        let warning = format!(
            "restored in the locale C, for want of {wanted} on this machine: text is ordered \
             otherwise ({why})"
        );
        Ok((self.stage(server, Some(&plain))?, warning))
    }

    /// What the server's refusal of a statement says of the dump; other errors
    /// are as they are.
    fn judged(&self, error: TargetError, not_preloaded: &[String]) -> TargetError {
        let TargetError::Postgres(error @ PostgresError::Statement { .. }) = error else {
            return error;
        };
        if error.is_of_the_place() {
            return error.into();
        }
        if !not_preloaded.is_empty() {
            return PostgresError::NotProvable {
                what: format!(
                    "the server that was backed up had preloaded {}, this one has not ({error})",
                    listed(not_preloaded)
                ),
                remedy: "install the packages that bring these libraries, or prove it where they \
                         are, with --in-server"
                    .to_owned(),
            }
            .into();
        }
        if self.is_partial() && error.is_undefined_object() {
            return PostgresError::NotProvable {
                what: format!("it holds a part of a database, and needs another ({error})"),
                remedy: "restore it beside what it refers to, or back up more".to_owned(),
            }
            .into();
        }
        TargetError::DoesNotRestore(error)
    }

    fn is_partial(&self) -> bool {
        !self.content.selection.is_everything() || !self.content.options.is_empty()
    }

    fn drain(&self, stream: &mut dyn BufRead) -> Result<(), TargetError> {
        loop {
            self.cancel.check()?;
            let piece_bytes = match stream.fill_buf() {
                Ok(piece) => piece.len(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(TargetError::Stream(error)),
            };
            if piece_bytes == 0 {
                return Ok(());
            }
            stream.consume(piece_bytes);
        }
    }
}

impl Target for RestoreCheck {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        self.cancel.check()?;
        let copy = self.copy.insert(self.prepare()?);
        let session = SessionOptions::default();
        let feed = PsqlFeed {
            server: &copy.server,
            asked: &copy.server,
            database: copy.database.staging_name(),
            session: &session,
            cancel: &self.cancel,
        };
        let filled = feed.fill(Around::default(), stream);
        let warnings = copy.warnings.clone();
        let ran_out = copy.ran_out();
        let not_preloaded = copy.not_preloaded.clone();
        match filled.map_err(|error| ran_out.unwrap_or_else(|| self.judged(error, &not_preloaded)))
        {
            Ok(mut received) => {
                self.columns = received.columns();
                received.warnings.extend(warnings);
                Ok(received)
            }
            Err(refusal @ TargetError::DoesNotRestore(_)) => {
                self.drain(stream)?;
                self.refusal = Some(refusal);
                Ok(Received::default())
            }
            Err(error) => Err(error),
        }
    }

    fn read_back(&mut self, advance: &dyn Fn(u64)) -> Result<Option<Received>, TargetError> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        let Some(copy) = &self.copy else {
            return Ok(None);
        };
        let database = copy.database.staging_name();
        let content = Some(&self.content);
        let (like, cancel) = (&self.columns, &self.cancel);
        let read = dumped_again(&copy.server, database, content, like, cancel, advance);
        match copy.ran_out() {
            Some(ran_out) => Err(ran_out),
            None => read.map(Some),
        }
    }

    /// What was proven is thrown away.
    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}
