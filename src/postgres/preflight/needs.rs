//! What is known of a dump that is to be restored, and of how.

use crate::checked::{SqlName, listed};
use crate::dump::Needs;
use crate::format::manifest::DatabaseContent;
use crate::postgres::SessionOptions;

/// What is known of the dump.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreNeeds<'a> {
    /// The manifest's; without it little can be checked.
    pub content: Option<&'a DatabaseContent>,
    /// What the chosen part of it names, where it is a part that comes back.
    pub chosen: Option<&'a Needs>,
    /// The dump's length.
    pub raw_bytes: Option<u64>,
    /// The newest backup of the server's roles, as BACKUP.
    pub globals: Option<&'a str>,
    /// How its session differs from what the dump says.
    pub session: Option<&'a SessionOptions>,
    /// Nobody vouches for what the manifest says of owners: whoever wrote it could lend
    /// the dump any role's rights.
    pub unvouched: bool,
    /// Whose code runs with a superuser's rights is no question.
    pub as_superuser: bool,
}

impl<'a> RestoreNeeds<'a> {
    /// The role that the session becomes.
    pub(super) fn role(self) -> Option<&'a str> {
        self.session?.role.as_deref()
    }

    /// Who owns something in the dump, where somebody knows that.
    pub(super) fn owners(self) -> Option<&'a [SqlName]> {
        let known = self.content.filter(|_| !self.unvouched);
        known?.owners.as_deref()
    }

    /// Why they are not known.
    pub(super) fn not_known(self) -> String {
        let why = match self.content {
            Some(_) if self.unvouched => "its manifest is sealed by no key of ours",
            Some(_) => "its manifest does not tell whom it belongs to",
            None => "there is no manifest that tells whom it belongs to",
        };
        let named = self
            .content
            .map(|it| it.owners.as_ref().unwrap_or(&it.roles));
        match named.filter(|roles| !roles.is_empty()) {
            Some(roles) => format!("{why}, though it names the roles {}", listed(roles)),
            None => why.to_owned(),
        }
    }

    /// The roles that must be there. Without owners and grants few statements name any (a
    /// policy does), and tell it themselves.
    pub(super) fn roles(self, all: &'a [SqlName], owners: Option<&'a [SqlName]>) -> &'a [SqlName] {
        let left_out = self.session.map(|it| (it.no_owner, it.no_privileges));
        match (left_out, owners) {
            (Some((true, true)), _) => &[],
            (Some((false, true)), Some(owners)) => owners,
            _ => all,
        }
    }
}

impl<'a> From<Option<&'a DatabaseContent>> for RestoreNeeds<'a> {
    fn from(content: Option<&'a DatabaseContent>) -> Self {
        Self {
            content,
            ..Self::default()
        }
    }
}
