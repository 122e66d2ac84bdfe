//! Who may do what in the schema `public`, as the dump itself tells. Every database has
//! that schema, so a dump only says what is other than in a new one.
//!
//! Owns those few statements as pg_dump writes them, and takes them apart. Keeps the
//! first that is not understood: whoever needs them must not go on without it.

use super::comments::ObjectTitle;
use super::statement::{Cursor, excerpt};
use super::watch::Watch;

const PUBLIC: &str = "public";

/// What the dump says of it, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicSchema {
    pub said: Vec<PublicRight>,
    /// The beginning of what could not be read.
    pub unread: Option<String>,
}

impl PublicSchema {
    /// Without its owner or without its rights, where a restore leaves them out.
    pub(crate) fn without(mut self, owner: bool, rights: bool) -> Self {
        self.said.retain(|said| match said {
            PublicRight::Owner(_) => !owner,
            PublicRight::Grant { .. } | PublicRight::Revoke { .. } => !rights,
        });
        self
    }
}

/// One statement. Names are unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicRight {
    Owner(String),
    Grant {
        rights: Vec<&'static str>,
        /// `None`: PUBLIC.
        to: Option<String>,
        /// It may be passed on.
        grantable: bool,
    },
    Revoke {
        rights: Vec<&'static str>,
        from: Option<String>,
        /// Only that it may be passed on.
        only_option: bool,
    },
}

impl Watch for PublicSchema {
    fn object(&mut self, _: u64, _: ObjectTitle) {}

    fn trailer(&mut self, _: u64) {}

    fn statement(&mut self, text: &[u8], backslashes: bool, _: u64) {
        let rest = text;
        let mut cursor = Cursor { rest, backslashes };
        match cursor.public_right() {
            Of::Nothing => {}
            Of::Public(Some(right)) => self.said.push(right),
            Of::Public(None) => {
                self.unread.get_or_insert_with(|| excerpt(text));
            }
        }
    }
}

/// What a statement is of.
enum Of {
    /// Another thing.
    Nothing,
    /// `None`: it is not understood.
    Public(Option<PublicRight>),
}

impl Cursor<'_> {
    fn public_right(&mut self) -> Of {
        if self.eat(b"ALTER SCHEMA ") {
            if self.identifier().as_deref() != Some(PUBLIC) {
                return Of::Nothing;
            }
            let owner = self.eat(b" OWNER TO ").then(|| self.identifier());
            return self.whole(owner.flatten().map(PublicRight::Owner));
        }
        let is_grant = self.eat(b"GRANT ");
        if !is_grant && !self.eat(b"REVOKE ") {
            return Of::Nothing;
        }
        let only_option = !is_grant && self.eat(b"GRANT OPTION FOR ");
        let Some(rights) = self.rights_on_schema() else {
            return Of::Nothing;
        };
        if self.identifier().as_deref() != Some(PUBLIC) {
            return Of::Nothing;
        }
        if !self.eat(if is_grant { b" TO " } else { b" FROM " }) {
            return Of::Public(None);
        }
        let role = match self.eat(b"PUBLIC") {
            true => Some(None),
            false => self.identifier().map(Some),
        };
        let grantable = is_grant && self.eat(b" WITH GRANT OPTION");
        let right = role.map(|role| match is_grant {
            true => PublicRight::Grant {
                rights,
                to: role,
                grantable,
            },
            false => PublicRight::Revoke {
                rights,
                from: role,
                only_option,
            },
        });
        self.whole(right)
    }

    /// `ALL ON SCHEMA `, `USAGE,CREATE ON SCHEMA `.
    fn rights_on_schema(&mut self) -> Option<Vec<&'static str>> {
        const RIGHTS: [&str; 3] = ["ALL", "CREATE", "USAGE"];
        let mut rights = Vec::new();
        loop {
            let right = RIGHTS.iter().find(|right| self.eat(right.as_bytes()))?;
            rights.push(*right);
            if self.eat(b" ON SCHEMA ") {
                return Some(rights);
            }
            let comma = self.eat(b",");
            self.eat(b" ");
            comma.then_some(())?;
        }
    }

    fn whole(&self, right: Option<PublicRight>) -> Of {
        Of::Public(right.filter(|_| self.rest.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PublicSchema {
        let mut public = PublicSchema::default();
        public.statement(text.as_bytes(), false, 0);
        public
    }

    fn says(text: &str, right: PublicRight) {
        assert_eq!(read(text).said, [right], "{text}");
    }

    #[test]
    fn what_pg_dump_writes_of_it_is_taken_apart() {
        let name = |text: &str| Some(text.to_owned());
        says(
            "ALTER SCHEMA public OWNER TO \"odd \"\"; one\"",
            PublicRight::Owner("odd \"; one".to_owned()),
        );
        for (text, rights, to, grantable) in [
            (
                "GRANT ALL ON SCHEMA public TO eve",
                vec!["ALL"],
                name("eve"),
                false,
            ),
            (
                "GRANT USAGE ON SCHEMA public TO PUBLIC",
                vec!["USAGE"],
                None,
                false,
            ),
            (
                "GRANT USAGE,CREATE ON SCHEMA \"public\" TO \"PUBLIC\" WITH GRANT OPTION",
                vec!["USAGE", "CREATE"],
                name("PUBLIC"),
                true,
            ),
        ] {
            let to = to.clone();
            says(
                text,
                PublicRight::Grant {
                    rights,
                    to,
                    grantable,
                },
            );
        }
        let from = None;
        let rights = vec!["USAGE"];
        says(
            "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
            PublicRight::Revoke {
                rights,
                from,
                only_option: false,
            },
        );
        let rights = vec!["CREATE"];
        says(
            "REVOKE GRANT OPTION FOR CREATE ON SCHEMA public FROM eve",
            PublicRight::Revoke {
                rights,
                from: name("eve"),
                only_option: true,
            },
        );
    }

    #[test]
    fn other_statements_say_nothing_of_it_and_odd_ones_are_kept() {
        for text in [
            "GRANT ALL ON SCHEMA other TO eve",
            "GRANT SELECT ON TABLE public.t TO eve",
            "GRANT ALL ON TABLE public.t TO eve",
            "COMMENT ON SCHEMA public IS 'GRANT ALL ON SCHEMA public TO eve'",
            "ALTER SCHEMA publicity OWNER TO eve",
            "SELECT 1",
        ] {
            assert_eq!(read(text), PublicSchema::default(), "{text}");
        }
        for text in [
            "GRANT ALL ON SCHEMA public TO eve, mallory",
            "GRANT ALL ON SCHEMA public",
            "GRANT ALL ON SCHEMA public TO eve GRANTED BY x",
            "ALTER SCHEMA public RENAME TO x",
            "REVOKE ALL ON SCHEMA public FROM eve CASCADE",
        ] {
            let told = read(text);
            assert!(told.said.is_empty() && told.unread.is_some(), "{text}");
        }
    }
}
