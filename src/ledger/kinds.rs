//! Of which type an object is whose title can be read in more than one way: names hold
//! the title's own marks where their owner wants it. Its statement tells, in which names
//! stand in quotes. Pure.

use super::comments::ObjectTitle;

/// A title that waits for its object's statement, with where its section begins.
#[derive(Debug, Default)]
pub(super) struct Waiting(Option<(u64, ObjectTitle)>);

impl Waiting {
    /// Gives the title back if it is clear.
    pub fn hold(&mut self, start: u64, title: ObjectTitle) -> Option<(u64, ObjectTitle)> {
        match title.other_types.is_empty() {
            true => Some((start, title)),
            false => {
                self.0 = Some((start, title));
                None
            }
        }
    }

    /// The one that waits, read as this statement tells; `None`: nothing was there that
    /// could tell.
    pub fn settled(&mut self, statement: Option<&[u8]>) -> Option<(u64, ObjectTitle)> {
        let (start, mut title) = self.0.take()?;
        let others = std::mem::take(&mut title.other_types);
        let fitting = |object_type: &&String| statement.is_some_and(|it| makes(it, object_type));
        let readings = others.iter().chain([&title.object_type]);
        // `CREATE OPERATOR CLASS` begins as an operator does.
        let meant = readings.filter(fitting).max_by_key(|it| it.len()).cloned();
        title.object_type = meant.unwrap_or(title.object_type);
        Some((start, title))
    }
}

/// Whether pg_dump writes such a statement for an object of this type.
fn makes(statement: &[u8], object_type: &str) -> bool {
    let starts = |with: &[&str]| with.iter().any(|it| statement.starts_with(it.as_bytes()));
    match object_type {
        "TABLE DATA" => starts(&["COPY ", "INSERT INTO "]),
        "MATERIALIZED VIEW DATA" => starts(&["REFRESH "]),
        "SEQUENCE SET" => starts(&["SELECT pg_catalog.setval("]),
        "STATISTICS DATA" => starts(&["SELECT * FROM pg_catalog.pg_restore_"]),
        "BLOB" | "BLOB METADATA" => starts(&["SELECT pg_catalog.lo_create("]),
        "BLOBS" => starts(&["BEGIN", "SELECT pg_catalog.lo_open("]),
        "ACL" => starts(&["GRANT ", "REVOKE ", "SET SESSION AUTHORIZATION "]),
        "DEFAULT ACL" => starts(&["ALTER DEFAULT PRIVILEGES "]),
        "COMMENT" => starts(&["COMMENT ON "]),
        "SECURITY LABEL" => starts(&["SECURITY LABEL "]),
        "DEFAULT" | "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT" | "ROW SECURITY"
        | "TABLE ATTACH" => starts(&["ALTER TABLE ", "ALTER FOREIGN TABLE ", "ALTER DOMAIN "]),
        "INDEX ATTACH" => starts(&["ALTER INDEX "]),
        "SEQUENCE OWNED BY" => starts(&["ALTER SEQUENCE "]),
        "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA" => starts(&["ALTER PUBLICATION "]),
        "SEQUENCE" if starts(&["ALTER TABLE "]) => true,
        "RULE" if starts(&["CREATE OR REPLACE VIEW "]) => true,
        "SHELL TYPE" => creates(statement, "TYPE"),
        _ => creates(statement, object_type),
    }
}

/// What `CREATE` and its modifiers are followed by.
fn creates(statement: &[u8], object_type: &str) -> bool {
    const MODIFIERS: [&[u8]; 8] = [
        b"OR",
        b"REPLACE",
        b"UNIQUE",
        b"UNLOGGED",
        b"TRUSTED",
        b"CONSTRAINT",
        b"DEFAULT",
        b"RECURSIVE",
    ];
    let Some(mut rest) = statement.strip_prefix(b"CREATE ") else {
        return false;
    };
    loop {
        if let Some(after) = rest.strip_prefix(object_type.as_bytes()) {
            return after.first() == Some(&b' ');
        }
        let end = rest.iter().position(|byte| *byte == b' ');
        match end.map(|end| rest.split_at(end)) {
            Some((word, after)) if MODIFIERS.contains(&word) => rest = &after[1..],
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(others: &[&str], last: &str, statement: &str) -> String {
        let title = ObjectTitle {
            object_type: last.to_owned(),
            other_types: others.iter().map(|&it| it.to_owned()).collect(),
            ..ObjectTitle::default()
        };
        let mut waiting = Waiting::default();
        assert!(waiting.hold(7, title).is_none());
        let (start, title) = waiting.settled(Some(statement.as_bytes())).unwrap();
        assert_eq!(start, 7);
        title.object_type
    }

    #[test]
    fn the_statement_tells_which_reading_is_meant() {
        for (statement, meant) in [
            ("CREATE TABLE \"x; Type: VIEW\".t (i int)", "TABLE"),
            ("CREATE UNLOGGED TABLE s.t (i int)", "TABLE"),
            ("COPY s.t (i) FROM stdin", "TABLE DATA"),
            ("CREATE SUBSCRIPTION s CONNECTION ''", "SUBSCRIPTION"),
            ("CREATE OPERATOR CLASS s.o FOR TYPE int", "OPERATOR CLASS"),
            ("CREATE OPERATOR s.+ (FUNCTION = f)", "OPERATOR"),
            ("CREATE UNIQUE INDEX i ON s.t USING btree (i)", "INDEX"),
            ("CREATE OR REPLACE FUNCTION s.f() RETURNS int", "FUNCTION"),
            (
                "ALTER TABLE ONLY s.t ADD CONSTRAINT c CHECK (true)",
                "CONSTRAINT",
            ),
            ("GRANT SELECT ON TABLE s.t TO r", "ACL"),
        ] {
            for forged in ["SUBSCRIPTION", "BLOBS", "OPERATOR", "FAKE"] {
                if !makes(statement.as_bytes(), forged) {
                    assert_eq!(read(&[meant], forged, statement), meant, "{forged}");
                    assert_eq!(read(&[forged], meant, statement), meant, "{forged}");
                }
            }
        }
        assert_eq!(read(&["TABLE"], "VIEW", "SELECT 1"), "VIEW");
    }
}
