//! Gives a plain dump back to a server: `psql` fills a staging database in one
//! transaction, and only then the staging database takes its place.
//!
//! Owns which database that is and what must hold before; how a dump is fed is
//! the business of `psql`. Refuses a destination that holds something, and a
//! server that lacks the dump's roles.

use std::io::BufRead;

use super::psql::PsqlFeed;
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::postgres::{Locale, PostgresError, Server, StagedDatabase};

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
}

impl Target for DatabaseTarget {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        self.cancel.check()?;
        let name = self.placement.name();
        let staged = StagedDatabase::create(&self.server, name, self.locale.as_ref())?;
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
        Ok(Received {
            kept_old,
            ..feed.fill(stream)?
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
