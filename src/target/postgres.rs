//! Gives a plain dump back to a server: `psql` fills a staging database in one
//! transaction, and only then the staging database takes its place.
//!
//! Owns which database that is and what must hold before; how a dump is fed is
//! the business of `psql`. Refuses a destination that holds something, and a
//! server that lacks the dump's roles.

use std::io::BufRead;

use super::psql::{Around, PsqlFeed};
use super::redump::dumped_again;
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::ledger::Columns;
use crate::postgres::{
    Destination, FillRole, Filler, Locale, PostgresError, Preflight, RestoreNeeds, Server,
    SessionOptions, StagedDatabase,
};
use crate::reached::{Reached, ended_before};

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

    fn destination(&self) -> Destination<'_> {
        match self {
            Self::Into(name) => Destination::Into(name),
            Self::Replace { name, .. } => Destination::Replace(name),
        }
    }
}

/// A database that comes back.
#[derive(Debug)]
pub struct DatabaseTarget {
    server: Server,
    placement: Placement,
    /// The manifest's, if there is one.
    content: Option<DatabaseContent>,
    preflight: Preflight,
    session: SessionOptions,
    staged: Option<StagedDatabase>,
    /// Of the dump that is in it.
    columns: Columns,
    /// That has not left yet.
    fill_role: Option<FillRole>,
    /// Passes over statements that fail.
    keeps_going: bool,
    cancel: Cancel,
}

impl DatabaseTarget {
    /// Looks before anything changes: everything that can be known to stand in
    /// the way is told at once.
    pub fn new<'a>(
        server: Server,
        placement: Placement,
        needs: impl Into<RestoreNeeds<'a>>,
        cancel: Cancel,
    ) -> Result<Self, PostgresError> {
        let needs = needs.into();
        let preflight = server.preflight(placement.destination(), needs)?;
        Ok(Self {
            content: needs.content.cloned(),
            session: needs.session.cloned().unwrap_or_default(),
            server,
            placement,
            preflight,
            staged: None,
            columns: Columns::default(),
            fill_role: None,
            keeps_going: false,
            cancel,
        })
    }

    /// Passes over statements that fail, and tells them.
    pub fn keeping_going(self) -> Self {
        Self {
            keeps_going: true,
            ..self
        }
    }

    /// What was found beforehand and should be known.
    pub fn preflight(&self) -> &Preflight {
        &self.preflight
    }

    /// The staging database, with everything around it that the dump builds on.
    fn stage(&self) -> Result<(StagedDatabase, Vec<String>), PostgresError> {
        let locale = self.content.as_ref().map(locale);
        let name = self.placement.name();
        let mut warnings = Vec::new();
        let staged = match StagedDatabase::create(&self.server, name, locale.as_ref()) {
            Err(error) if self.has_no_locale() && !error.is_of_the_place() => {
                warnings.push(format!(
                    "made in the locale C, as the dump tells no locale and the server's own does \
                     not fit its encoding: text is ordered by its bytes ({error})"
                ));
                let plain = locale.map(in_c);
                StagedDatabase::create(&self.server, name, plain.as_ref())?
            }
            staged => staged?,
        };
        staged.replaces_only(self.preflight.standing)?;
        if let Some(content) = &self.content {
            warnings.extend(staged.set_output(&content.output_settings)?);
            warnings.extend(staged.make_context(content)?);
        }
        Ok((staged, warnings))
    }

    fn fill(
        &self,
        server: &Server,
        database: &str,
        around: Around<'_>,
        stream: &mut dyn BufRead,
    ) -> Result<Received, TargetError> {
        let feed = PsqlFeed {
            server,
            asked: &self.server,
            database,
            session: &self.session,
            cancel: &self.cancel,
        };
        feed.fill(around, stream)
    }

    /// With our own rights, or as the role that the operator names.
    fn fill_as_asked(
        &self,
        database: &str,
        stream: &mut dyn BufRead,
    ) -> Result<Received, TargetError> {
        if let (Some(staged), Some(role)) = (&self.staged, &self.session.role) {
            staged.open_to(role)?;
        }
        let around = Around {
            goes_on: self.keeps_going,
            ..Around::default()
        };
        let received = self.fill(&self.server, database, around, stream)?;
        if let (Some(staged), Some(_)) = (&self.staged, &self.session.role) {
            staged.set_public(&received.public)?;
        }
        Ok(received)
    }

    /// With no more rights than those of the role that owns all of it.
    fn fill_as(
        &mut self,
        filler: &Filler,
        database: &str,
        stream: &mut dyn BufRead,
    ) -> Result<Received, TargetError> {
        let role = FillRole::enter(&self.server, database, filler)?;
        let around = Around {
            before: Some(&role.become_owner()),
            every_grant: true,
            goes_on: self.keeps_going,
            ..Around::default()
        };
        let filled = self
            .fill(role.login(), database, around, stream)
            .map_err(|error| owner_may_not(error, role.owner()));
        // Also after a failure: the database is dropped as ours.
        let left = self.fill_role.insert(role).leave();
        if left.is_ok() {
            self.fill_role = None;
        }
        let mut received = filled?;
        received.warnings.extend(left?);
        if let Some(staged) = &self.staged {
            staged.set_public(&received.public)?;
        }
        Ok(received)
    }

    /// The content tells its encoding alone: that of an adopted dump does.
    fn has_no_locale(&self) -> bool {
        let content = self.content.as_ref();
        content.is_some_and(|content| content.locale.is_empty() && !content.encoding.is_empty())
    }
}

/// A right was missing that the owner does not have.
fn owner_may_not(error: TargetError, owner: &str) -> TargetError {
    match error {
        TargetError::Postgres(error)
            if error.sqlstate() == Some("42501")
                || matches!(
                    error,
                    PostgresError::PermissionDenied { .. } | PostgresError::Refused { .. }
                ) =>
        {
            PostgresError::Obstacle {
                what: format!("{error} (it was filled with the rights of {owner:?} alone)"),
                remedy: "if whoever could write to the backed up database may be superuser here, \
                         give it again with --as-superuser"
                    .to_owned(),
            }
            .into()
        }
        error => error,
    }
}

/// The locale that goes with every encoding.
fn in_c(locale: Locale) -> Locale {
    Locale {
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        ..locale
    }
}

impl Target for DatabaseTarget {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        self.cancel.check()?;
        let (staged, warnings) = self.stage()?;
        let mut kept_old = None;
        if let (Placement::Replace { keep_old: true, .. }, Some(old)) =
            (&self.placement, staged.old_name())
        {
            kept_old = Some(old.to_owned());
        }
        let database = staged.staging_name().to_owned();
        let left = format!("the database {database:?}");
        let words = ended_before(self.placement.name(), Some(&left));
        self.cancel.if_ended_at_once(Some(words));
        // From here on dropping the target drops the staging database.
        self.staged = Some(staged);
        let mut received = match self.preflight.fill_as.clone() {
            None => self.fill_as_asked(&database, stream)?,
            Some(filler) => self.fill_as(&filler, &database, stream)?,
        };
        self.columns = received.columns();
        received.kept_old = kept_old;
        received.warnings.extend(warnings);
        Ok(received)
    }

    fn read_back(&mut self, advance: &dyn Fn(u64)) -> Result<Option<Received>, TargetError> {
        let Some(staged) = &self.staged else {
            return Ok(None);
        };
        let database = staged.staging_name();
        let content = self.content.as_ref();
        let (like, cancel) = (&self.columns, &self.cancel);
        dumped_again(&self.server, database, content, like, cancel, advance).map(Some)
    }

    fn commit(&mut self, reached: &mut Reached) -> Result<Vec<String>, TargetError> {
        self.cancel.check()?;
        let Some(staged) = &mut self.staged else {
            return Err(TargetError::Hostile {
                what: "nothing was received, so nothing can take its place".to_owned(),
            });
        };
        Ok(match &self.placement {
            Placement::Into(_) => staged.take_place(true, false, reached)?,
            Placement::Replace { keep_old, .. } => staged.take_place(false, *keep_old, reached)?,
        })
    }

    fn abandon(&mut self) -> Vec<String> {
        let role = self.fill_role.as_mut().and_then(|role| {
            let stays = !matches!(role.leave(), Ok(None));
            stays.then(|| format!("the role {:?}", role.name()))
        });
        let database = self.staged.as_mut().and_then(StagedDatabase::abandon);
        let database = database.map(|name| format!("the database {name:?}"));
        role.into_iter().chain(database).collect()
    }
}

/// What the manifest says of a database's encoding and locale.
pub(super) fn locale(content: &DatabaseContent) -> Locale {
    let ctype = content.ctype.as_ref().unwrap_or(&content.locale);
    Locale {
        encoding: content.encoding.clone(),
        collate: content.locale.clone(),
        ctype: ctype.clone(),
        provider: content.locale_provider.clone().unwrap_or_default(),
        provider_locale: content.provider_locale.clone(),
    }
}
