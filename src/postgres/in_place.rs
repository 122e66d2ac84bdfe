//! SQL for a database that is filled where it stands, in the dump's own
//! transaction: emptying it before, counting it after. Pure text; who runs it is
//! the target's business.
//!
//! What this cannot do is compare rows: nobody else sees them before the commit.

use super::catalogue::emptiness;
use super::quote::quote_literal;
use super::quote_identifier;
use crate::ledger::Ledger;

/// The SQLSTATE that the counts raise; no server raises it by itself.
pub const DIFFERS: &str = "KL001";

/// Drops everything that the role may drop, and fails where something is left.
pub fn empty_sql() -> String {
    let drops = include_str!("in_place.sql");
    format!("{drops}{}", refuse_unless_empty())
}

/// Fails unless the database is empty, so that nobody's table is added to.
pub fn refuse_unless_empty() -> String {
    let empty = emptiness();
    format!(
        "DO $kluis$ BEGIN IF NOT ({empty}) THEN RAISE EXCEPTION 'the database holds things that \
         this dump does not bring'; END IF; END $kluis$;\n\
         DO $kluis$ BEGIN IF EXISTS (SELECT FROM pg_default_acl) THEN RAISE EXCEPTION 'the \
         database holds default privileges' USING HINT = 'Remove them with ALTER DEFAULT \
         PRIVILEGES ... REVOKE.'; END IF; END $kluis$;\n\
         SET LOCAL lock_timeout = 0;\n{GUARD}"
    )
}

/// A COMMIT that stands in the dump would end the transaction halfway. With this
/// it fails instead: a deferred trigger lets only the commit through that says
/// [`MAY_COMMIT`] before.
const GUARD: &str = "\
CREATE TEMPORARY TABLE kluis_guard ();
CREATE FUNCTION pg_temp.kluis_guard() RETURNS trigger LANGUAGE plpgsql AS $kluis$ BEGIN
IF current_setting('kluis.may_commit', true) IS DISTINCT FROM 'yes' THEN
RAISE EXCEPTION 'the dump ends its transaction by itself'; END IF; RETURN NULL; END $kluis$;
CREATE CONSTRAINT TRIGGER kluis_guard AFTER INSERT ON pg_temp.kluis_guard DEFERRABLE
INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.kluis_guard();
INSERT INTO pg_temp.kluis_guard DEFAULT VALUES;
";

const MAY_COMMIT: &str = "SET LOCAL kluis.may_commit = 'yes';\n";

/// Allows the commit, but for this: counts the rows of each table and looks at each sequence of `dumped`; fails
/// with [`DIFFERS`] at the first that is not so. Left out is what the role does
/// not see whole (row-level security), and what extensions fill themselves.
pub fn count_sql(dumped: &Ledger) -> String {
    let tables = dumped.tables.iter().filter(|table| {
        // A name that is not UTF-8 is not known as the server spells it.
        !table.schema.contains("\\x") && !table.name.contains("\\x")
    });
    let tables = tables.map(|table| {
        let name = [&table.schema, &table.name].map(|name| quote_identifier(name));
        format!(
            "({}, {}::bigint)",
            quote_literal(&name.join(".")),
            table.rows
        )
    });
    let sequences = dumped.sequences.iter().map(|(name, at)| {
        let (value, called) = (at.last_value, at.is_called);
        format!("({}, {value}::bigint, {called})", quote_literal(name))
    });
    let mut sql = MAY_COMMIT.to_owned();
    let tables: Vec<String> = tables.collect();
    if !tables.is_empty() {
        sql += &counting(
            "t record; found bigint;",
            &format!("(VALUES {}) AS v(name, rows)", tables.join(",\n")),
            "CONTINUE WHEN row_security_active(t.name) OR EXISTS (SELECT FROM pg_depend WHERE \
             classid = 'pg_class'::regclass AND objid = t.name::regclass AND deptype = 'e');\n\
             EXECUTE 'SELECT count(*) FROM ONLY ' || t.name INTO found;\n\
             IF found <> t.rows THEN RAISE EXCEPTION '% has % rows instead of %', t.name, found, \
             t.rows USING ERRCODE = 'KL001'; END IF;",
        );
    }
    let sequences: Vec<String> = sequences.collect();
    if !sequences.is_empty() {
        sql += &counting(
            "t record; at bigint; called boolean;",
            &format!(
                "(VALUES {}) AS v(name, value, called)",
                sequences.join(",\n")
            ),
            "EXECUTE 'SELECT last_value, is_called FROM ' || t.name INTO at, called;\n\
             IF (at, called) <> (t.value, t.called) THEN RAISE EXCEPTION 'the sequence % is at % \
             instead of %', t.name, at, t.value USING ERRCODE = 'KL001'; END IF;",
        );
    }
    sql
}

/// A name may hold any tag of a dollar quote, so the body is a plain literal.
fn counting(declared: &str, rows: &str, each: &str) -> String {
    let body = format!(
        "DECLARE {declared}\nBEGIN FOR t IN SELECT * FROM {rows} LOOP\n{each}\nEND LOOP; END"
    );
    format!("DO {};\n", quote_literal(&body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{SequenceLedger, TableLedger};

    #[test]
    fn odd_names_stay_inside_their_quotes() {
        let mut dumped = Ledger::default();
        dumped.tables.push(TableLedger {
            schema: "a'b".to_owned(),
            name: "c\"d$kluis$".to_owned(),
            rows: 3,
            bytes: 3,
            hash: String::new(),
        });
        let at = SequenceLedger {
            last_value: -1,
            is_called: true,
        };
        dumped.sequences.insert("public.\"s's\"".to_owned(), at);
        let sql = count_sql(&dumped);
        assert!(
            sql.contains("''\"a''''b\".\"c\"\"d$kluis$\"'', 3::bigint"),
            "{sql}"
        );
        assert!(
            sql.contains("''public.\"s''''s\"'', -1::bigint, true"),
            "{sql}"
        );
        assert_eq!(count_sql(&Ledger::default()), MAY_COMMIT);
    }
}
