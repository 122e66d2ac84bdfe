//! Gives a plain dump back to a server: `psql` fills a staging database in one
//! transaction, and only then the staging database takes its place.
//!
//! Owns which database that is and what must hold before; how a dump is fed is
//! the business of `psql`. Refuses a destination that holds something, and a
//! server that lacks the dump's roles.

use std::io::BufRead;

use super::psql::PsqlFeed;
use super::redump::dumped_again;
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::postgres::{
    Destination, Locale, PostgresError, Preflight, RestoreNeeds, Server, StagedDatabase,
};

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
    staged: Option<StagedDatabase>,
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
            server,
            placement,
            preflight,
            staged: None,
            cancel,
        })
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
        if let Some(content) = &self.content {
            warnings.extend(staged.set_output(&content.output_settings)?);
            staged.make_context(content)?;
        }
        Ok((staged, warnings))
    }

    /// The content tells its encoding alone: that of an adopted dump does.
    fn has_no_locale(&self) -> bool {
        let content = self.content.as_ref();
        content.is_some_and(|content| content.locale.is_empty() && !content.encoding.is_empty())
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
        // From here on dropping the target drops the staging database.
        self.staged = Some(staged);
        let feed = PsqlFeed {
            server: &self.server,
            database: &database,
            meant: self.placement.name(),
            cancel: &self.cancel,
        };
        let mut received = feed.fill(stream)?;
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
        dumped_again(&self.server, database, content, &self.cancel, advance).map(Some)
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
