//! What a dump says of the database that it was made of: for dumps that no
//! manifest tells of.
//!
//! Owns which statements tell it. Refuses dumps that are not whole, as the ledger
//! does; what a dump does not tell stays empty.

use std::collections::BTreeSet;

use super::tokens::{Token, tokens};
use crate::checked::{RecordedOption, SqlName};
use crate::format::manifest::DatabaseContent;
use crate::ledger::{DumpReader, LedgerError, ObjectTitle, Watch};

/// The comments with the versions stand in the dump's first lines.
const HEAD_BYTES: usize = 4096;

/// The ledger's reader with an ear for facts.
pub struct FactsReader {
    reader: DumpReader<Facts>,
    head: Vec<u8>,
}

impl Default for FactsReader {
    fn default() -> Self {
        Self {
            reader: DumpReader::watched(Facts::default()),
            head: Vec::with_capacity(HEAD_BYTES),
        }
    }
}

impl FactsReader {
    /// Reads on, in slices cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        let missing = HEAD_BYTES - self.head.len();
        self.head
            .extend_from_slice(&bytes[..missing.min(bytes.len())]);
        self.reader.feed(bytes);
    }

    /// What the dump held and told, if it was whole.
    pub fn finish(self) -> Result<DatabaseContent, LedgerError> {
        let (ledger, facts, _) = self.reader.finish_watched()?;
        let mut options = Vec::new();
        if facts.has_inserts {
            options.push(RecordedOption::new("--inserts"));
        }
        let has_tables = ledger.objects.contains_key("TABLE");
        let has_data = !ledger.tables.is_empty()
            || !ledger.sequences.is_empty()
            || !ledger.large_objects.is_empty();
        // A dump to compare with must leave the empty tables' data out, too.
        if has_tables && !has_data {
            options.push(RecordedOption::new("--schema-only"));
        }
        Ok(DatabaseContent {
            server_version: told(&self.head, b"-- Dumped from database version "),
            client_version: told(&self.head, b"-- Dumped by pg_dump version "),
            encoding: facts.encoding,
            // The dump has no versions of them.
            extensions: facts
                .extensions
                .into_iter()
                .filter_map(|name| Some((SqlName::new(name).ok()?, String::new())))
                .collect(),
            roles: names(facts.roles),
            tablespaces: names(facts.tablespaces),
            options,
            ledger,
            ..DatabaseContent::default()
        })
    }
}

/// What is no name is not told.
fn names(found: BTreeSet<String>) -> Vec<SqlName> {
    let names = found.into_iter().map(SqlName::new);
    names.filter_map(Result::ok).collect()
}

/// The rest of the line that begins so; empty where there is none.
fn told(head: &[u8], start: &[u8]) -> String {
    let mut lines = head.split(|&byte| byte == b'\n');
    let told = lines.find_map(|line| line.strip_prefix(start));
    String::from_utf8_lossy(told.unwrap_or_default().trim_ascii()).into_owned()
}

#[derive(Default)]
struct Facts {
    encoding: String,
    extensions: BTreeSet<String>,
    roles: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
    has_inserts: bool,
}

impl Watch for Facts {
    fn object(&mut self, _: u64, _: ObjectTitle) {}

    fn trailer(&mut self, _: u64) {}

    fn statement(&mut self, text: &[u8], backslashes: bool, _: u64) {
        // Of an INSERT there may be millions, and no other has anything to tell.
        if text.starts_with(b"INSERT INTO ") {
            self.has_inserts = true;
            return;
        }
        let telling: [&[u8]; 6] = [
            b"SET ",
            b"ALTER ",
            b"GRANT ",
            b"CREATE EXTENSION ",
            b"CREATE POLICY ",
            b"CREATE USER MAPPING ",
        ];
        if telling.iter().any(|start| text.starts_with(start)) {
            self.take_in(&tokens(text, backslashes));
        }
    }
}

impl Facts {
    fn take_in(&mut self, tokens: &[Token]) {
        match tokens {
            [set, Token::Path(name), Token::Mark(b'='), value, ..] if set.is("SET") => {
                self.setting(name, value);
            }
            [set, session, word, role, ..]
                if set.is("SET") && session.is("SESSION") && word.is("AUTHORIZATION") =>
            {
                self.role(role);
            }
            [create, extension, rest @ ..] if create.is("CREATE") && extension.is("EXTENSION") => {
                let name = rest.iter().find_map(Token::name);
                self.extensions.extend(name.map(|name| name.name));
            }
            [create, policy, rest @ ..] if create.is("CREATE") && policy.is("POLICY") => {
                self.roles_after(rest, "TO");
            }
            [create, user, mapping, rest @ ..]
                if create.is("CREATE") && user.is("USER") && mapping.is("MAPPING") =>
            {
                self.roles_after(rest, "FOR");
            }
            [grant, ..] if grant.is("GRANT") => self.granted(tokens),
            [alter, default, ..] if alter.is("ALTER") && default.is("DEFAULT") => {
                self.roles_after(tokens, "ROLE");
                self.granted(tokens);
            }
            _ => {
                let mut pairs = tokens.windows(2);
                let owner = pairs.rposition(|pair| pair[0].is("OWNER") && pair[1].is("TO"));
                if let Some(role) = owner.and_then(|at| tokens.get(at + 2)) {
                    self.role(role);
                }
            }
        }
    }

    fn setting(&mut self, name: &[String], value: &Token) {
        match (name, value) {
            ([name], Token::Literal(text)) if name == "client_encoding" => {
                self.encoding = String::from_utf8_lossy(text).into_owned();
            }
            ([name], Token::Path(tablespace)) if name == "default_tablespace" => {
                self.tablespaces.extend(tablespace.first().cloned());
            }
            _ => {}
        }
    }

    /// To whom: after the last TO, since a column may be called so, but quoted.
    fn granted(&mut self, tokens: &[Token]) {
        if let Some(at) = tokens.iter().rposition(|token| token.is("TO")) {
            self.roles_in(&tokens[at + 1..]);
        }
    }

    fn roles_after(&mut self, tokens: &[Token], keyword: &str) {
        if let Some(at) = tokens.iter().position(|token| token.is(keyword)) {
            self.roles_in(&tokens[at + 1..]);
        }
    }

    /// `a, b, c`, up to what is neither a name nor a comma.
    fn roles_in(&mut self, tokens: &[Token]) {
        let list = |token: &&Token| matches!(token, Token::Path(_) | Token::Mark(b','));
        for token in tokens.iter().take_while(list) {
            self.role(token);
        }
    }

    fn role(&mut self, token: &Token) {
        if let Token::Path(name) = token
            && let [name] = &name[..]
        {
            self.roles.insert(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> DatabaseContent {
        let dump = format!(
            "--\n-- PostgreSQL database dump\n--\n\n\
             -- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n\
             -- Dumped by pg_dump version 16.2\n\nSET client_encoding = 'UTF8';\n{body}\n\
             --\n-- PostgreSQL database dump complete\n--\n\n"
        );
        let mut reader = FactsReader::default();
        dump.as_bytes()
            .chunks(7)
            .for_each(|bytes| reader.feed(bytes));
        reader.finish().unwrap()
    }

    #[test]
    fn versions_and_encoding_are_told() {
        let content = read("");
        assert_eq!(content.server_version, "15.18 (Debian 15.18-0+deb12u1)");
        assert_eq!(content.client_version, "16.2");
        assert_eq!(content.encoding, "UTF8");
    }

    #[test]
    fn roles_are_owners_and_those_that_are_granted_something() {
        let content = read(
            "ALTER TABLE public.\"OWNER TO x\" OWNER TO \"Big Boss\";\n\
             ALTER TABLE ONLY public.a ADD CONSTRAINT c CHECK ((x > 1));\n\
             GRANT SELECT(a),UPDATE(b) ON TABLE public.t TO reader WITH GRANT OPTION;\n\
             REVOKE ALL ON TABLE public.t FROM nobody_new;\n\
             GRANT USAGE ON SCHEMA public TO PUBLIC;\n\
             ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA s GRANT SELECT ON TABLES  TO taker;\n\
             CREATE POLICY p ON public.t FOR SELECT TO one, two USING (true);\n\
             CREATE USER MAPPING FOR mapped SERVER away;\n\
             SET SESSION AUTHORIZATION grantor;\n",
        );
        let expected = [
            "Big Boss", "grantor", "maker", "mapped", "one", "reader", "taker", "two",
        ];
        assert_eq!(content.roles, expected);
    }

    #[test]
    fn extensions_and_tablespaces_are_named() {
        let content = read(
            "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public;\n\
             SET default_tablespace = '';\nSET default_tablespace = fast;\n",
        );
        let extensions: Vec<_> = content.extensions.keys().collect();
        assert_eq!(extensions, ["uuid-ossp"]);
        assert_eq!(content.tablespaces, ["fast"]);
    }

    #[test]
    fn a_dump_of_inserts_says_so_for_the_dump_to_compare_with() {
        assert_eq!(
            read("INSERT INTO public.t VALUES (1, 'a;b');\n").options,
            ["--inserts"]
        );
        assert_eq!(
            read("COPY public.t (a) FROM stdin;\n1\n\\.\n").options,
            [""; 0]
        );
    }
}
