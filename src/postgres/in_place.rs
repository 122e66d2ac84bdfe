//! SQL for a database that is filled where it stands, in the dump's own
//! transaction: emptying it before, counting it behind. Pure text; who runs it is
//! the target's business.
//!
//! What this cannot do is compare rows: nobody else sees them before the commit.

use super::default_privileges;
use super::emptiness::emptiness_but_extensions;
use super::psql::OUR_SETTINGS;
use super::sql::{Sql, identifier, literal, literal_of, sql};
use crate::ledger::Ledger;

/// The SQLSTATE that the counts raise; no server raises it by itself.
pub const DIFFERS: &str = "KL001";

/// What comes before the dump. With `replace` everything goes that the role may drop; fails
/// unless the database is empty then, so that nobody's table is added to.
///
/// The dump finds the names then that the database gives it, as ever.
pub fn before_sql(replace: bool) -> Sql {
    sql!(
        "{settings}{aside}{drops}DO $kluis$ BEGIN IF NOT ({empty}) THEN RAISE EXCEPTION 'the \
         database holds things that this dump does not bring'; END IF; END $kluis$;\n\
         SET LOCAL lock_timeout = 0;\n{guard}SET LOCAL search_path TO DEFAULT;\n",
        settings = OUR_SETTINGS,
        aside = default_privileges::put_aside_sql(),
        drops = match replace {
            true => include_str!("in_place.sql"),
            false => "",
        },
        empty = emptiness_but_extensions(),
        guard = GUARD
    )
}

/// A COMMIT that stands in the dump would end the transaction halfway. With this
/// it fails instead: a deferred trigger lets only the commit through that says
/// [`MAY_COMMIT`] before.
const GUARD: &str = "\
CREATE TEMPORARY TABLE kluis_guard ();
CREATE FUNCTION pg_temp.kluis_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $kluis$ BEGIN
IF current_setting('kluis.may_commit', true) IS DISTINCT FROM 'yes' THEN
RAISE EXCEPTION 'the dump ends its transaction by itself'; END IF; RETURN NULL; END $kluis$;
CREATE CONSTRAINT TRIGGER kluis_guard AFTER INSERT ON pg_temp.kluis_guard DEFERRABLE
INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.kluis_guard();
INSERT INTO pg_temp.kluis_guard DEFAULT VALUES;
";

const MAY_COMMIT: &str = "SET LOCAL kluis.may_commit = 'yes';\n";

/// What comes behind the dump. Allows the commit, but for this: counts the rows of each
/// table and looks at each sequence of `dumped`; fails with [`DIFFERS`] at the first that
/// is not so. Left out is what the role does not see whole (row-level security), and what
/// extensions fill themselves.
pub fn behind_sql(dumped: &Ledger) -> Sql {
    let mut sql = sql!(
        "{settings}{may_commit}{back}",
        settings = OUR_SETTINGS,
        may_commit = MAY_COMMIT,
        back = default_privileges::put_back_sql()
    );
    let tables: Vec<Sql> = dumped
        .tables
        .iter()
        .filter(|table| is_as_spelt(&table.schema) && is_as_spelt(&table.name))
        .map(|table| {
            let name = [&table.schema, &table.name].map(|name| identifier(name));
            sql!(
                "({name}, {rows}::bigint)",
                name = literal_of(&Sql::joined(&name, ".")),
                rows = table.rows
            )
        })
        .collect();
    if !tables.is_empty() {
        sql += counting(
            "t record; found bigint;",
            "v(name, rows)",
            &tables,
            "CONTINUE WHEN row_security_active(t.name) OR EXISTS (SELECT FROM pg_depend WHERE \
             classid = 'pg_class'::regclass AND objid = t.name::regclass AND deptype = 'e');\n\
             EXECUTE 'SELECT count(*) FROM ONLY ' || t.name INTO found;\n\
             IF found <> t.rows THEN RAISE EXCEPTION '% has % rows instead of %', t.name, found, \
             t.rows USING ERRCODE = 'KL001'; END IF;",
        );
    }
    let sequences = dumped.sequences.iter();
    let sequences = sequences.filter(|(name, _)| is_as_spelt(name));
    let sequences = sequences.map(|(name, at)| {
        sql!(
            "({name}::regclass, {value}::bigint, {called})",
            // The dump's words: what is no name of a relation comes no further.
            name = literal(name),
            value = at.last_value,
            called = at.is_called
        )
    });
    let sequences: Vec<Sql> = sequences.collect();
    if !sequences.is_empty() {
        sql += counting(
            "t record; at bigint; called boolean;",
            "v(name, value, called)",
            &sequences,
            "EXECUTE format('SELECT last_value, is_called FROM %s', t.name) INTO at, called;\n\
             IF (at, called) <> (t.value, t.called) THEN RAISE EXCEPTION 'the sequence % is at % \
             instead of %', t.name, at, t.value USING ERRCODE = 'KL001'; END IF;",
        );
    }
    sql
}

/// A name that is not UTF-8 in the dump is not known as the server spells it.
fn is_as_spelt(name: &str) -> bool {
    !name.contains("\\x")
}

/// A name may hold any tag of a dollar quote, so the body is a plain literal.
fn counting(
    declared: &'static str,
    columns: &'static str,
    rows: &[Sql],
    each: &'static str,
) -> Sql {
    let body = sql!(
        "DECLARE {declared}\nBEGIN FOR t IN SELECT * FROM (VALUES {rows}) AS {columns} LOOP\n\
         {each}\nEND LOOP; END",
        declared = declared,
        rows = Sql::joined(rows, ",\n"),
        columns = columns,
        each = each
    );
    sql!("DO {body};\n", body = literal_of(&body))
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
        let sql = behind_sql(&dumped);
        let sql = sql.text().unwrap();
        assert!(
            sql.contains("''\"a''''b\".\"c\"\"d$kluis$\"'', 3::bigint"),
            "{sql}"
        );
        assert!(
            sql.contains("''public.\"s''''s\"''::regclass, -1::bigint, true"),
            "{sql}"
        );
        let nothing = behind_sql(&Ledger::default());
        assert!(!nothing.text().unwrap().contains("VALUES"));
    }
}
