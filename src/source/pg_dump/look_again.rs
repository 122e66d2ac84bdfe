//! What is asked a second time when the dump is there: its snapshot is younger than
//! the first answers, and who owns the database may have changed it between them.

use std::collections::BTreeSet;

use crate::checked::{RecordedOption, SqlName};
use crate::format::manifest::{DatabaseContent, LeftOut};
use crate::postgres::{PostgresError, Server};

/// The database that is dumped.
pub(in crate::source) struct Dumped {
    pub database: String,
    pub owner: SqlName,
    /// Those that it had and that belong into the dump.
    pub subscriptions: Vec<String>,
}

impl Dumped {
    /// Adds what is left out and who owns something: `seen` are the owners that the
    /// dump itself names, whatever the catalogues said before or say now.
    pub fn look_again(
        &self,
        server: &Server,
        content: &mut DatabaseContent,
        seen: Option<BTreeSet<String>>,
    ) -> Result<(), PostgresError> {
        add_left_out(&mut content.left_out, server.left_out(&self.database)?);
        self.look_for_subscriptions(server, content)?;
        if content.options.contains(&RecordedOption::new("--no-owner")) {
            content.owners = None;
        }
        let Some(before) = content.owners.take() else {
            return Ok(());
        };
        let Some(seen) = seen else {
            return Ok(());
        };
        let now = server.facts(&self.database)?.owners;
        // Whoever owns the database owns what is that role's.
        let of_owner = seen.contains("pg_database_owner");
        let of_owner = of_owner.then(|| Ok(self.owner.clone()));
        let seen = seen.into_iter().map(SqlName::new).chain(of_owner);
        // What is no name leaves it unknown whose things there are.
        let Ok(seen) = seen.collect::<Result<BTreeSet<_>, _>>() else {
            return Ok(());
        };
        let all: BTreeSet<SqlName> = seen.into_iter().chain(before).chain(now).collect();
        content.owners = Some(all.into_iter().collect());
        Ok(())
    }

    /// pg_dump has all of them or, where its role is no superuser, none. What came or
    /// went meanwhile is not counted.
    fn look_for_subscriptions(
        &self,
        server: &Server,
        content: &mut DatabaseContent,
    ) -> Result<(), PostgresError> {
        if self.subscriptions.is_empty() || content.ledger.objects.contains_key("SUBSCRIPTION") {
            return Ok(());
        }
        let now = server.subscriptions(&self.database)?;
        let stayed = now.into_iter().filter(|it| self.subscriptions.contains(it));
        let left = &mut content.left_out;
        left.subscriptions = stayed.collect();
        left.count += left.subscriptions.len() as u64;
        Ok(())
    }
}

fn add_left_out(before: &mut LeftOut, now: LeftOut) {
    let unknown = now
        .objects
        .iter()
        .filter(|object| !before.objects.contains(object));
    let unknown: Vec<_> = unknown.cloned().collect();
    before.count = now.count.max(before.count + unknown.len() as u64);
    before.objects.extend(unknown);
}
