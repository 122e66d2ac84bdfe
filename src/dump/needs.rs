//! What must be on a server before a dump's text can run there: the roles,
//! tablespaces and extensions that it names.
//!
//! Owns the statements in which pg_dump names a role or a tablespace. Names that a
//! function's body holds are looked up when it runs, and are none.

use std::collections::BTreeSet;

use super::Contents;
use super::tokens::{Token, tokens};
use crate::ledger::{ObjectTitle, Watch, name_text};

/// Beginnings of the statements that may name one: rows are not looked at.
const NAMING: [&[u8]; 7] = [
    b"ALTER ",
    b"CREATE POLICY ",
    b"CREATE USER MAPPING ",
    b"GRANT ",
    b"REVOKE ",
    b"SET SESSION AUTHORIZATION ",
    b"SET default_tablespace = ",
];

/// Names, unquoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub roles: BTreeSet<String>,
    pub tablespaces: BTreeSet<String>,
    pub extensions: BTreeSet<String>,
}

impl Needs {
    /// Of the chosen entries.
    pub(super) fn of(contents: &Contents, is_chosen: impl Fn(usize) -> bool) -> Self {
        // The settings between the sections come in any case.
        let mut needs = contents.needs.clone();
        let entries = contents.entries.iter().enumerate();
        for (_, entry) in entries.filter(|(at, _)| is_chosen(*at)) {
            needs.roles.extend(entry.needs.roles.iter().cloned());
            let tablespaces = entry.needs.tablespaces.iter().cloned();
            needs.tablespaces.extend(tablespaces);
            if entry.object_type == "EXTENSION" {
                needs.extensions.insert(entry.name.clone());
            }
        }
        needs
    }

    /// What a statement names.
    pub(super) fn read(&mut self, text: &[u8], backslashes: bool) {
        if NAMING.iter().any(|start| text.starts_with(start)) {
            let tokens = tokens(text, backslashes);
            self.tablespaces.extend(tablespace(&tokens));
            self.roles.extend(roles(&tokens));
        }
    }
}

/// Extensions are not looked for: they have titles.
impl Watch for Needs {
    fn object(&mut self, _: u64, _: ObjectTitle) {}

    fn trailer(&mut self, _: u64) {}

    fn statement(&mut self, text: &[u8], backslashes: bool, _: u64) {
        self.read(text, backslashes);
    }
}

/// `ALTER .. OWNER TO ..`, whole.
pub(crate) fn gives_owner(text: &[u8], backslashes: bool) -> bool {
    if !text.starts_with(b"ALTER ") {
        return false;
    }
    match &tokens(text, backslashes)[..] {
        [_, .., owner, to, Token::Path(role)] => {
            owner.is("OWNER") && to.is("TO") && role.len() == 1
        }
        _ => false,
    }
}

fn tablespace(tokens: &[Token]) -> Option<String> {
    let [set, Token::Path(setting), Token::Mark(b'='), value] = tokens else {
        return None;
    };
    let is_meant = set.is("SET") && setting.as_slice() == ["default_tablespace"];
    let name = only_name(value).filter(|name| !name.is_empty())?;
    is_meant.then_some(name)
}

fn roles(tokens: &[Token]) -> Vec<String> {
    let at = |words: &[&str]| {
        let is_there = |window: &[Token]| window.iter().zip(words).all(|(it, word)| it.is(word));
        let place = tokens.windows(words.len()).position(is_there);
        place.map(|place| place + words.len())
    };
    let Some(Token::Keyword(verb)) = tokens.first() else {
        return Vec::new();
    };
    let last = |words: [&str; 2]| {
        let is_one = |token: &Token| words.iter().any(|word| token.is(word));
        tokens.iter().rposition(is_one).map(|place| place + 1)
    };
    let places = match verb.as_str() {
        "GRANT" | "REVOKE" => vec![last(["TO", "FROM"])],
        "ALTER" if at(&["DEFAULT", "PRIVILEGES"]) == Some(3) => {
            vec![at(&["FOR", "ROLE"]), last(["TO", "FROM"])]
        }
        "ALTER" => vec![at(&["OWNER", "TO"])],
        "SET" => vec![at(&["SESSION", "AUTHORIZATION"])],
        "CREATE" if tokens.get(1).is_some_and(|token| token.is("POLICY")) => vec![at(&["TO"])],
        "CREATE" => vec![at(&["MAPPING", "FOR"])],
        _ => Vec::new(),
    };
    let places = places.into_iter().flatten();
    places.flat_map(|place| names(&tokens[place..])).collect()
}

/// `a, b, PUBLIC`: those that are names.
fn names(tokens: &[Token]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = tokens;
    while let [first, after @ ..] = rest {
        names.extend(only_name(first));
        match after {
            [Token::Mark(b','), after @ ..] => rest = after,
            _ => break,
        }
    }
    names
}

fn only_name(token: &Token) -> Option<String> {
    match token {
        Token::Path(parts) => match &parts[..] {
            [name] => Some(name.clone()),
            _ => None,
        },
        Token::Literal(text) => Some(name_text(text.clone())),
        Token::Keyword(_) | Token::Mark(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_where_pg_dump_names_them() {
        for (text, roles) in [
            ("ALTER TABLE public.t OWNER TO clerk", &["clerk"][..]),
            (
                "ALTER LARGE OBJECT 16400 OWNER TO \"Odd \"\"TO\"\" role\"",
                &["Odd \"TO\" role"],
            ),
            (
                "ALTER FUNCTION s.f(a text, VARIADIC b integer[]) OWNER TO x",
                &["x"],
            ),
            (
                "GRANT SELECT(a),INSERT(b) ON TABLE public.t TO a WITH GRANT OPTION",
                &["a"],
            ),
            ("GRANT ALL ON SCHEMA \"TO\" TO PUBLIC", &[]),
            ("REVOKE ALL ON TABLE public.t FROM b", &["b"]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s GRANT SELECT ON TABLES TO b",
                &["a", "b"],
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE a REVOKE ALL ON FUNCTIONS FROM PUBLIC",
                &["a"],
            ),
            ("SET SESSION AUTHORIZATION 'x y'", &["x y"]),
            ("SET SESSION AUTHORIZATION DEFAULT", &[]),
            (
                "CREATE POLICY p ON public.t FOR SELECT TO a, \"B\" USING ((x = CURRENT_USER))",
                &["a", "B"],
            ),
            ("CREATE POLICY p ON public.t USING ((x = 'a'::text))", &[]),
            (
                "CREATE USER MAPPING FOR a SERVER s OPTIONS (\n    \"user\" 'b'\n)",
                &["a"],
            ),
            ("CREATE USER MAPPING FOR PUBLIC SERVER s", &[]),
            (
                "ALTER TABLE ONLY public.t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES s.t(b)",
                &[],
            ),
            (
                "INSERT INTO public.t VALUES ('ALTER TABLE t OWNER TO x')",
                &[],
            ),
        ] {
            let mut needs = Needs::default();
            needs.read(text.as_bytes(), false);
            let found: Vec<&str> = needs.roles.iter().map(String::as_str).collect();
            let mut roles = roles.to_vec();
            roles.sort_unstable();
            assert_eq!(found, roles, "{text}");
        }
    }

    #[test]
    fn tablespaces_are_those_that_become_the_default() {
        let mut needs = Needs::default();
        for text in [
            "SET default_tablespace = ''",
            "SET default_tablespace = \"Fast\"",
        ] {
            needs.read(text.as_bytes(), false);
        }
        assert_eq!(needs.tablespaces, BTreeSet::from(["Fast".to_owned()]));
        assert_eq!(needs.roles, BTreeSet::new());
    }
}
