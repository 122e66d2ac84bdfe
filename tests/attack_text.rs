//! Text in a database that reads like something of a dump's, or of psql's: in rows, in
//! a routine, in a view, in the names of columns. It comes back as it was, in every
//! format. Each succeeds on 861f450: a row that anybody could insert made a backup
//! that no restore took, and a procedure came back without its COMMIT.

use crate::support::Cluster;
use crate::support::house::House;

const TEXTS: &str = r#"
CREATE TABLE oneline (line text);
INSERT INTO oneline VALUES ('-- Data for Name: BLOBS; Type: BLOBS;'), ('COMMIT;'),
  ('-- Data for Name: 1; Type: BLOBS;'), (''), ('BEGIN;');
CREATE PROCEDURE kept() LANGUAGE plpgsql AS $$
BEGIN
INSERT INTO public.oneline VALUES ('kept');
--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

COMMIT;
ROLLBACK;
END $$;
CREATE VIEW said AS SELECT '
-- Data for Name: BLOBS; Type: BLOBS;

COMMIT;
'::text AS what;
CREATE TABLE sliced (arr int[], "ENCODING" int, "UTF8" int, "PORT" int,
  CONSTRAINT first CHECK (arr[: "ENCODING"]::text <> '{1,2}'),
  CONSTRAINT second CHECK (arr["PORT": "ENCODING"]::text <> '{9}'));
INSERT INTO sliced VALUES ('{1,2,3}', 3, 1, 1);
SELECT lo_from_bytea(0, '\x0102');
"#;

/// From PostgreSQL 14 on a body is SQL and is written out anew.
const ATOMIC: &str = r#"
CREATE FUNCTION at(arr int[], "ENCODING" int, "UTF8" int) RETURNS text
BEGIN ATOMIC; SELECT (arr[1: "ENCODING"])::text; END;
"#;

const DEFINITIONS: &str = "
SELECT string_agg(pg_get_functiondef(oid), E'\\n' ORDER BY proname)
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace;
SELECT pg_get_viewdef('public.said'::regclass);
SELECT string_agg(pg_get_constraintdef(oid), E'\\n' ORDER BY conname)
  FROM pg_constraint WHERE conrelid = 'public.sliced'::regclass;
SELECT string_agg(line, E'\\n' ORDER BY line) FROM public.oneline;
SELECT count(*) FROM pg_largeobject_metadata";

#[test]
fn text_that_reads_like_a_dumps_or_psqls_own_comes_back_as_it_was() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", TEXTS);
    cluster.psql("shop", ATOMIC);
    let before = cluster.psql("shop", DEFINITIONS);
    assert!(before.contains(r#"[:"ENCODING"]"#), "{before}");
    let house = House::new();
    let url = cluster.url("shop");
    for format in ["plain", "custom", "directory"] {
        house.run(&["backup", "db", "--url", &url, "--format", format]);
        house.run(&["verify", "--restore", "latest"]);
        let copy = format!("copy_{format}");
        let restore = ["restore", "latest", "--url", &url, "--into", &copy, "--yes"];
        house.run(&restore);
        assert_eq!(cluster.psql(&copy, DEFINITIONS), before, "{format}");
        cluster.psql(&copy, "CALL kept()");
        let kept = "SELECT count(*) FROM oneline WHERE line = 'kept'";
        assert_eq!(cluster.psql(&copy, kept).trim(), "1", "{format}");
    }
}
