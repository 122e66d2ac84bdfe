//! With whose rights a database is filled: what stands in a dump (checks, defaults,
//! indexes, triggers) runs in the session that fills it.

use super::{Destination, Looking, RestoreNeeds};
use crate::checked::{SqlName, listed};
use crate::format::manifest::DatabaseContent;
use crate::postgres::public_schema::OWNERS_PUBLIC_MAJOR;
use crate::postgres::{FillRole, Filler};

/// Stands among the owners beside the database's own where it owns something.
const WHOEVER_OWNS_IT: &str = "pg_database_owner";

impl Looking<'_> {
    /// A superuser's session would run what the dump's owners have written with all
    /// rights, and SET ROLE would be no wall, as their code could take it back. Where
    /// one role owns all, a login with no more rights than its own fills the database.
    pub(super) fn at_owners(
        &mut self,
        needs: RestoreNeeds<'_>,
        destination: Destination<'_>,
        ask_in: &str,
    ) {
        let role = &self.facts.role;
        if !self.facts.can_do_everything {
            return;
        }
        let known = needs.owners();
        let others = known.map(|_| needs.content.map_or(Vec::new(), |it| self.untrusted(it)));
        if others.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let filler = self.filler(needs, destination);
        let why = match (filler, others) {
            (Ok(filler), _) => match FillRole::try_login(self.server, ask_in, &filler) {
                Ok(()) => {
                    self.preflight.fill_as = Some(filler);
                    return;
                }
                // Whose code it is may have made it fail.
                Err(error) => {
                    let owner = &filler.owner;
                    format!("no role with the rights of {owner:?} fills it: {error}")
                }
            },
            (Err(why), None) => why,
            (Err(why), Some(others)) => {
                self.preflight.warnings.push(format!(
                    "{role:?} is a superuser or can become one, and code that stands in the dump \
                     (checks, defaults, indexes, triggers) runs with its rights: things in it are \
                     of the roles {others}; it is not filled with its owner's rights, as {why}; \
                     unless these roles are trusted, restore as the role that owns it",
                    others = listed(&others)
                ));
                return;
            }
        };
        self.in_the_way(
            format!(
                "{role:?} is a superuser or can become one, and code that stands in the dump \
                 (checks, defaults, indexes, triggers) would run with its rights: {why}"
            ),
            "restore as the role that owns it, or name with --role the one whose rights fill it; \
             or, if whoever wrote the dump may be superuser here, --as-superuser",
        );
    }

    /// What is restored into a database belongs to whoever owns that, with all that role
    /// has granted and set there: it must be ours, or the role's that owns the dump.
    pub(super) fn at_stranger(&mut self, name: &str, content: Option<&DatabaseContent>) {
        let facts = self.facts;
        let Some(standing) = &facts.database else {
            return;
        };
        let owner = &standing.owner;
        let may_act_for_it = standing.owned && !facts.can_do_everything;
        let is_superuser = facts.superusers.iter().any(|superuser| superuser == owner);
        if *owner == facts.role || may_act_for_it || is_superuser {
            return;
        }
        let others = content.map_or(Vec::new(), |content| self.untrusted(content));
        let what = match &others[..] {
            [only] if *only == owner && standing.has_settings => "it has settings".to_owned(),
            [only] if *only == owner && standing.given_to.is_empty() => return,
            [only] if *only == owner => {
                format!("there are grants on it to {}", listed(&standing.given_to))
            }
            _ => "what is restored into it would be that role's".to_owned(),
        };
        self.in_the_way(
            format!("the database {name:?} is there already and belongs to {owner:?}: {what}"),
            "restore --into another name; or, if that one is meant, look at it (\\l+ and \\drds in \
             psql) and --replace it",
        );
    }

    /// Roles whose code stands in the dump and that were not superusers, or are not here.
    fn untrusted<'c>(&self, content: &'c DatabaseContent) -> Vec<&'c str> {
        let owners = owners(content).iter();
        owners
            .filter(|owner| !self.is_trusted(content, owner))
            .map(SqlName::as_str)
            .filter(|owner| *owner != WHOEVER_OWNS_IT)
            .collect()
    }

    /// Whose code may run with a superuser's rights: who had them already. A name alone
    /// tells nothing: the superuser `postgres` of this server may have been nobody there.
    fn is_trusted(&self, content: &DatabaseContent, owner: &SqlName) -> bool {
        self.facts.superusers.contains(owner) && content.superusers.contains(owner)
    }

    /// The role that the operator names, or the one that owns everything in the dump, as
    /// far as its manifest tells; or why its rights are not taken. A manifest that is wrong
    /// makes a restore fail.
    fn filler(
        &self,
        needs: RestoreNeeds<'_>,
        destination: Destination<'_>,
    ) -> Result<Filler, String> {
        let content = needs.content;
        if let Some(role) = needs.role() {
            let owner = SqlName::new(role).map_err(|error| error.to_string())?;
            let unknown = DatabaseContent::default();
            let content = content.unwrap_or(&unknown);
            return self.may_fill(content, destination, &owner, false);
        }
        if needs.session.is_some_and(|session| session.no_owner) {
            return Err("its owners are left out (name another with --role)".to_owned());
        }
        let Some(owners) = needs.owners() else {
            return Err(needs.not_known());
        };
        let (whoever, named): (Vec<_>, Vec<_>) =
            owners.iter().partition(|owner| **owner == WHOEVER_OWNS_IT);
        let (Some(content), [owner]) = (content, &named[..]) else {
            return Err("it belongs to more than one role".to_owned());
        };
        self.may_fill(content, destination, owner, !whoever.is_empty())
    }

    fn may_fill(
        &self,
        content: &DatabaseContent,
        destination: Destination<'_>,
        owner: &SqlName,
        owns_database: bool,
    ) -> Result<Filler, String> {
        let facts = self.facts;
        let untrusted = |name: &&SqlName| !facts.trusted.contains(name);
        let not = match destination {
            Destination::InPlace { .. } => Some("a database is filled in place".to_owned()),
            _ if !facts.superuser => Some("only a superuser can make a role for that".to_owned()),
            _ if self.server.version().major() < OWNERS_PUBLIC_MAJOR => {
                Some("the owner has no right on the schema public before PostgreSQL 15".to_owned())
            }
            _ if !content.selection.is_everything() => {
                Some("the backup holds a part of a database".to_owned())
            }
            _ if content.superusers.contains(owner) => Some(format!("{owner:?} was a superuser")),
            _ if facts.superusers.contains(owner) => Some(format!("{owner:?} is a superuser here")),
            _ => content
                .extensions
                .keys()
                .find(untrusted)
                .map(|name| format!("only a superuser can make the extension {name:?}")),
        };
        let filler = Filler {
            owner: owner.as_str().to_owned(),
            owns_database,
        };
        not.map_or(Ok(filler), Err)
    }
}

/// Whose code stands in a dump. Manifests of earlier versions do not tell owners from
/// roles that were granted something.
fn owners(content: &DatabaseContent) -> &[SqlName] {
    content.owners.as_deref().unwrap_or(&content.roles)
}
