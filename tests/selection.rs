//! One table or schema out of a dump: what comes, what stays, and that psql
//! makes of it what was there before.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::support::Cluster;
use crate::support::home::{Home, text};
use kluis::cancel::Cancel;
use kluis::dump::{Choice, ChoiceError, Contents, Pattern};
use kluis::ledger::DumpReader;
use kluis::reached::Reached;
use kluis::target::{ContentsCheck, Received, Selected, Target, TargetError};

/// Keeps what it receives, and reads it as a dump.
struct Keep(Arc<Mutex<Vec<u8>>>);

impl Target for Keep {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut kept = self.0.lock().unwrap();
        stream.read_to_end(&mut kept).map_err(TargetError::Stream)?;
        let mut reader = DumpReader::new();
        reader.feed(&kept);
        let database = kluis::format::manifest::DatabaseContent {
            ledger: reader.finish()?,
            ..Default::default()
        };
        Ok(Received {
            database: Some(database),
            ..Received::default()
        })
    }

    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}

fn contents(dump: &[u8]) -> Contents {
    let mut check = ContentsCheck::new(Cancel::default());
    let received = check.receive(&mut BufReader::with_capacity(57, dump));
    received.expect("a whole dump").contents.expect("asked for")
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    let parse = |text: &&str| {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    texts.iter().map(parse).collect()
}

fn choose(dump: &[u8], tables: &[&str], schemas: &[&str]) -> Result<Choice, ChoiceError> {
    Choice::resolve(&contents(dump), &patterns(tables), &patterns(schemas))
}

/// What is let through when it comes in blocks of so many bytes.
fn select(dump: &[u8], choice: &Choice, block: usize) -> Result<Vec<u8>, TargetError> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let inner = Box::new(Keep(Arc::clone(&kept)));
    let mut selected = Selected::new(inner, choice.clone(), Cancel::default());
    let received = selected.receive(&mut BufReader::with_capacity(block, dump))?;
    assert_eq!(received.part.as_ref(), Some(&choice.part));
    assert_eq!(received.warnings, choice.warnings());
    let kept = kept.lock().unwrap();
    Ok(kept.clone())
}

fn chosen(dump: &[u8], tables: &[&str], schemas: &[&str]) -> (String, Choice) {
    let choice = choose(dump, tables, schemas).unwrap_or_else(|error| panic!("{error}"));
    let whole = select(dump, &choice, 1 << 20).expect("whole");
    for block in [1, 7, 64, 4096] {
        assert_eq!(
            select(dump, &choice, block).expect("whole"),
            whole,
            "blocks of {block}"
        );
    }
    (String::from_utf8(whole).expect("UTF-8"), choice)
}

const HEADER: &str = "--\n-- PostgreSQL database dump\n--\n\nSET row_security = off;\n\n";
const TRAILER: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";

/// A dump of entries: title's name, type and schema, then SQL.
fn dump(entries: &[(&str, &str, &str, &str)]) -> Vec<u8> {
    let mut text = HEADER.to_owned();
    for (name, object_type, schema, sql) in entries {
        let data = if object_type.ends_with("DATA") {
            "Data for "
        } else {
            ""
        };
        text.push_str(&format!(
            "--\n-- {data}Name: {name}; Type: {object_type}; Schema: {schema}; Owner: o\n--\n\n{sql}\n\n\n"
        ));
    }
    text.push_str(TRAILER);
    text.into_bytes()
}

fn table(name: &str, columns: &str) -> String {
    format!("CREATE TABLE {name} (\n    {columns}\n);")
}

#[test]
fn settings_between_entries_come_whoever_is_chosen() {
    let mut text = String::from_utf8(dump(&[
        ("a", "TABLE", "public", &table("public.a", "x integer")),
        ("b", "TABLE", "public", &table("public.b", "x integer")),
    ]))
    .expect("UTF-8");
    let setting = "SET default_tablespace = fast;\n\n";
    let at = text.find("--\n-- Name: b").expect("there");
    text.insert_str(at, setting);
    let (only, _) = chosen(text.as_bytes(), &["b"], &[]);
    let expected_start = format!("{HEADER}{setting}--\n-- Name: b");
    assert!(only.starts_with(&expected_start), "{only}");
}

#[test]
fn what_was_not_found_is_told_with_the_nearest_names() {
    let text = dump(&[
        ("sales", "SCHEMA", "-", "CREATE SCHEMA sales;"),
        (
            "orders",
            "TABLE",
            "sales",
            &table("sales.orders", "x integer"),
        ),
        (
            "Order",
            "TABLE",
            "public",
            &table("public.\"Order\"", "x integer"),
        ),
    ]);
    let error = |tables: &[&str], schemas: &[&str]| {
        choose(&text, tables, schemas)
            .expect_err("not there")
            .to_string()
    };
    assert_eq!(
        error(&["ordrs"], &[]),
        "the dump holds no table ordrs; nearly so called: sales.orders, public.\"Order\"; \
         `restore BACKUP --list` shows what is in it"
    );
    assert_eq!(
        error(&["zzz"], &[]),
        "the dump holds no table zzz; `restore BACKUP --list` shows what is in it"
    );
    assert_eq!(
        error(&[], &["sale"]),
        "the dump holds no schema sale; nearly so called: sales; \
         `restore BACKUP --list` shows what is in it"
    );
    assert!(error(&[], &["sales.orders"]).contains("choose tables with -t"));
}

#[test]
fn a_table_that_needs_another_is_refused_and_a_view_too_if_it_was_named() {
    let text = dump(&[
        ("par", "TABLE", "a", &table("a.par", "x integer")),
        (
            "inh",
            "TABLE",
            "b",
            "CREATE TABLE b.inh (\n)\nINHERITS (a.par);",
        ),
        (
            "v",
            "VIEW",
            "c",
            "CREATE VIEW c.v AS\n SELECT 1 FROM a.par;",
        ),
        ("w", "VIEW", "c", "CREATE VIEW c.w AS\n SELECT 1 FROM c.v;"),
        ("VIEW w", "COMMENT", "c", "COMMENT ON VIEW c.w IS 'x';"),
        ("t", "TABLE", "c", &table("c.t", "x integer")),
    ]);
    let needs = |tables: &[&str]| choose(&text, tables, &[]).expect_err("lacks").to_string();
    assert!(needs(&["inh"]).starts_with("TABLE b.inh cannot come without a.par"));
    assert!(needs(&["v"]).starts_with("VIEW c.v cannot come without a.par"));
    assert!(choose(&text, &["inh", "par"], &[]).is_ok());
    let (only, choice) = chosen(&text, &[], &["c"]);
    assert!(only.contains("c.t") && !only.contains("VIEW"), "{only}");
    assert_eq!(
        choice.warnings(),
        [
            "left out: VIEW c.v, because a.par is not chosen",
            "left out: VIEW c.w, because c.v is not chosen",
        ]
    );
}

#[test]
fn another_dump_in_the_second_reading_is_refused() {
    let rows = |rows: &str| {
        dump(&[
            ("a", "TABLE", "public", &table("public.a", "x integer")),
            (
                "a",
                "TABLE DATA",
                "public",
                &format!("COPY public.a (x) FROM stdin;\n{rows}\\."),
            ),
        ])
    };
    let first = rows("1\n2\n");
    let choice = choose(&first, &["a"], &[]).expect("there");
    for other in [rows("1\n3\n"), rows("1\n2\n3\n"), rows("1\n")] {
        let error = select(&other, &choice, 100)
            .expect_err("another")
            .to_string();
        assert!(
            error.contains("second reading") || error.contains("dump"),
            "{error}"
        );
    }
    let short = &first[..first.len() - 1];
    assert!(select(short, &choice, 100).is_err());
}

#[test]
fn a_stop_is_heard_while_rows_are_passed_over() {
    let text = dump(&[
        ("a", "TABLE", "public", &table("public.a", "x integer")),
        ("b", "TABLE", "public", &table("public.b", "x integer")),
    ]);
    let choice = choose(&text, &["b"], &[]).expect("there");
    let cancel = Cancel::default();
    let inner = Box::new(Keep(Arc::default()));
    let mut selected = Selected::new(inner, choice, cancel.clone());
    cancel.request(15);
    assert!(selected.receive(&mut &text[..]).is_err());
}

const REAL: &str = r#"
CREATE ROLE helper_of_t;
CREATE SCHEMA s; CREATE SCHEMA "Odd.S"; CREATE SCHEMA ext;
CREATE EXTENSION citext WITH SCHEMA ext;
CREATE TYPE public.mood AS ENUM ('sad', 'o''k'); COMMENT ON TYPE public.mood IS 'of people';
CREATE TYPE public.unused AS ENUM ('x');
CREATE DOMAIN s.positive AS integer CHECK (VALUE > 0);
CREATE COLLATION s.plain (locale = 'C');
CREATE FUNCTION s.next_number() RETURNS integer LANGUAGE sql AS 'SELECT 7';
CREATE FUNCTION s.fixed(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT $1 || '
--
-- Name: fake; Type: TABLE; Schema: public; Owner: x
--
CREATE TABLE public.fake (a integer);
'$$;
CREATE SEQUENCE s.shared START 5;
CREATE TABLE public.t (
  id serial PRIMARY KEY, n integer GENERATED BY DEFAULT AS IDENTITY (START 10), m public.mood DEFAULT 'sad',
  p s.positive CHECK (p < 100), c ext.citext, l text COLLATE s.plain, x integer DEFAULT s.next_number(),
  y integer DEFAULT nextval('s.shared'), g text GENERATED ALWAYS AS (s.fixed('é')) STORED,
  EXCLUDE USING btree (n WITH =)
);
CREATE INDEX t_low ON public.t (lower(l)) WHERE p > 1; CREATE UNIQUE INDEX t_c ON public.t (c, m);
ALTER INDEX public.t_low ALTER COLUMN 1 SET STATISTICS 100;
ALTER TABLE public.t CLUSTER ON t_c; ALTER TABLE public.t REPLICA IDENTITY USING INDEX t_pkey;
CREATE STATISTICS public.t_st (ndistinct) ON n, p FROM public.t; ALTER TABLE public.t ALTER COLUMN p SET STATISTICS 7;
ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON public.t FOR SELECT TO helper_of_t USING (x = 7);
CREATE RULE quiet AS ON DELETE TO public.t WHERE false DO INSTEAD NOTHING;
COMMENT ON TABLE public.t IS E'it''s\n--\n-- Name: fake; Type: TABLE; Schema: public; Owner: x\n--\n';
COMMENT ON COLUMN public.t.id IS 'c'; COMMENT ON INDEX public.t_low IS 'i'; COMMENT ON POLICY mine ON public.t IS 'p';
COMMENT ON CONSTRAINT t_pkey ON public.t IS 'k'; COMMENT ON RULE quiet ON public.t IS 'r'; COMMENT ON STATISTICS public.t_st IS 's';
GRANT SELECT, UPDATE (m) ON public.t TO helper_of_t; GRANT USAGE ON SEQUENCE public.t_id_seq TO helper_of_t;
CREATE TRIGGER own BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
INSERT INTO public.t (m, p, c, l) SELECT 'sad', i, i, E'tab\t\\.' || i FROM generate_series(1, 50) i;
SELECT setval('public.t_id_seq', 1000);

CREATE TABLE public.child (id integer REFERENCES public.t, note text, CONSTRAINT positive CHECK (id > 0));
CREATE FUNCTION public.noisy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER loud AFTER INSERT OR UPDATE OF note ON public.child FOR EACH ROW EXECUTE FUNCTION public.noisy();
COMMENT ON TRIGGER loud ON public.child IS 'goes with it';
CREATE POLICY theirs ON public.child USING (EXISTS (SELECT 1 FROM public.t WHERE t.id = child.id));
COMMENT ON POLICY theirs ON public.child IS 'goes with it';
CREATE PUBLICATION news FOR TABLE public.child;
INSERT INTO public.child VALUES (1, 'one'), (2, NULL);

CREATE TABLE public.ev (id bigserial, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE s.ev_2024 PARTITION OF public.ev FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE s.ev_2024_0 PARTITION OF s.ev_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE s.ev_2024_1 PARTITION OF s.ev_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE public.ev_rest PARTITION OF public.ev DEFAULT;
CREATE INDEX ev_day ON public.ev (day);
INSERT INTO public.ev (day) SELECT date '2024-01-01' + i * 20 FROM generate_series(1, 40) i;

CREATE TABLE "Odd.S"."a ""q"" b
c" ("Ä" integer PRIMARY KEY, "b; Type: TABLE" text);
INSERT INTO "Odd.S"."a ""q"" b
c" VALUES (1, 'x'), (2, E'y\nz');
CREATE VIEW public.v AS SELECT t.id, child.note FROM public.t JOIN public.child USING (id);
CREATE MATERIALIZED VIEW public.mv AS SELECT * FROM public.v; CREATE INDEX mv_id ON public.mv (id);
SELECT lo_from_bytea(0, 'x');
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO helper_of_t;
GRANT USAGE ON SCHEMA s TO helper_of_t;
"#;

struct Real {
    cluster: Cluster,
    dump: Vec<u8>,
}

impl Real {
    fn start() -> Option<Self> {
        let cluster = Cluster::start()?;
        cluster.create_db("before");
        cluster.psql("before", REAL);
        let dump = pg_dump(&cluster, "before", &[]);
        Some(Self { cluster, dump })
    }

    /// The chosen part in a database of its own.
    fn restore(&self, database: &str, tables: &[&str], schemas: &[&str]) -> Choice {
        let (text, choice) = chosen(&self.dump, tables, schemas);
        self.cluster.create_db(database);
        let text = text
            .replace("\\restrict", "--")
            .replace("\\unrestrict", "--");
        self.cluster.psql(database, &text);
        choice
    }

    /// `pg_dump` with this selection gives the same before and after.
    #[track_caller]
    fn same(&self, database: &str, selection: &[&str]) {
        let before = text_of(pg_dump(&self.cluster, "before", selection));
        let after = text_of(pg_dump(&self.cluster, database, selection));
        assert_eq!(before, after);
    }
}

fn pg_dump(cluster: &Cluster, database: &str, arguments: &[&str]) -> Vec<u8> {
    let output = cluster
        .client("pg_dump", database)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Without the lines that every run of pg_dump writes anew.
fn text_of(dump: Vec<u8>) -> String {
    let text = String::from_utf8(dump).expect("UTF-8");
    let is_kept =
        |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines().filter(is_kept).collect::<Vec<_>>().join("\n")
}

#[test]
fn parts_of_a_real_dump_come_back_as_they_were() {
    let Some(real) = Real::start() else { return };

    // One table, with types, routines, a collation and an extension it names.
    let choice = real.restore("one", &["public.t"], &[]);
    real.same("one", &["-t", "public.t", "-t", "s.shared"]);
    let types = "SELECT string_agg(typname, ' ' ORDER BY typname) FROM pg_type \
                 WHERE typtype IN ('e', 'd') AND typnamespace NOT IN (11, 'information_schema'::regnamespace)";
    assert_eq!(real.cluster.psql("one", types), "mood positive");
    assert_eq!(
        choice.warnings(),
        ["left out: the dump's large objects, because it does not say which table they belong to"]
    );
    let standing = "SELECT last_value, is_called FROM t_id_seq; \
                    SELECT last_value, is_called FROM t_n_seq; \
                    SELECT last_value, is_called FROM s.shared";
    assert_eq!(
        real.cluster.psql("one", standing),
        real.cluster.psql("before", standing)
    );

    // What hangs on what is not chosen stays, and is named.
    let choice = real.restore("child", &["child"], &[]);
    let warnings = choice.warnings();
    assert_eq!(
        warnings[..4],
        [
            "left out: TRIGGER loud on public.child, because public.noisy is not chosen",
            "left out: FK CONSTRAINT child_id_fkey on public.child, because public.t is not chosen",
            "left out: POLICY theirs on public.child, because public.t is not chosen",
            "left out: public.child as a member of a publication, because publications are the \
             whole database's",
        ]
    );
    assert_eq!(
        real.cluster.psql("child", "SELECT * FROM child ORDER BY 1"),
        "1|one\n2|"
    );

    // A partitioned table brings its partitions, in whatever schema; a partition
    // alone is a table.
    real.restore("root", &["EV"], &[]);
    real.same("root", &["-t", "public.ev*", "-t", "s.ev*"]);
    let choice = real.restore("leaf", &["s.ev_2024_0"], &[]);
    assert!(choice.warnings()[0].starts_with(
        "left out: s.ev_2024_0 as a partition of s.ev_2024, because that is not chosen"
    ));
    let rows = "SELECT count(*) FROM s.ev_2024_0";
    assert_eq!(
        real.cluster.psql("leaf", rows),
        real.cluster.psql("before", rows)
    );

    // Odd names, exact in quotes and by wildcard.
    real.restore("odd", &["\"Odd.S\".\"a \"\"q\"\" b\nc\""], &[]);
    real.same("odd", &["-t", "\"Odd.S\".*"]);
    real.restore("odd2", &["a*q*c"], &[]);
    real.same("odd2", &["-t", "\"Odd.S\".*"]);

    // Views with what they show, in the dump's order.
    real.restore("views", &["v", "mv", "child", "t"], &[]);
    real.same("views", &["-t", "public.v", "-t", "public.mv"]);
    assert_eq!(real.cluster.psql("views", "SELECT count(*) FROM mv"), "2");

    // A schema with all that lies in it, but not as a part of another.
    let choice = real.restore("schema", &[], &["s"]);
    assert!(choice.warnings()[0].starts_with("left out: s.ev_2024 as a partition of public.ev"));
    real.same("schema", &["-t", "s.ev_2024_*", "-t", "s.shared"]);
    real.restore("both", &[], &["s", "PUBLIC"]);
    real.same("both", &["-n", "s", "-n", "public"]);
    real.restore("everything", &[], &["*"]);
    real.same(
        "everything",
        &["-n", "s", "-n", "public", "-n", "\"Odd.S\"", "-n", "ext"],
    );
}

#[test]
fn contents_tell_what_belongs_to_what() {
    let Some(real) = Real::start() else { return };
    let contents = contents(&real.dump);
    let of_t = contents.entries.iter().filter(|entry| {
        let of = entry.belongs_to.as_ref();
        of.is_some_and(|name| name.to_string() == "public.t")
    });
    let mut of_t: Vec<String> = of_t
        .map(|entry| {
            format!("{} {}", entry.object_type, entry.name)
                .trim_end()
                .to_owned()
        })
        .filter(|what| !what.starts_with("ACL") && !what.starts_with("COMMENT"))
        .collect();
    of_t.sort();
    assert_eq!(
        of_t,
        [
            "CONSTRAINT t_n_excl",
            "CONSTRAINT t_pkey",
            "DEFAULT id",
            "INDEX t_c",
            "INDEX t_low",
            "POLICY mine",
            "ROW SECURITY",
            "RULE quiet",
            "SEQUENCE OWNED BY t_id_seq",
            "SEQUENCE t_n_seq",
            "STATISTICS t_st",
            "TABLE DATA",
            "TRIGGER own",
        ]
    );
    // Nothing in the dump whose SQL was not understood.
    for entry in &contents.entries {
        let hangs = !matches!(
            entry.object_type.as_str(),
            "SCHEMA"
                | "EXTENSION"
                | "TYPE"
                | "DOMAIN"
                | "COLLATION"
                | "FUNCTION"
                | "TABLE"
                | "VIEW"
                | "MATERIALIZED VIEW"
                | "SEQUENCE"
                | "PUBLICATION"
                | "DEFAULT ACL"
        ) && !entry.object_type.starts_with("BLOB");
        assert!(!hangs || entry.belongs_to.is_some(), "{entry:?}");
    }
}

#[test]
fn a_part_of_an_insert_dump_comes_too() {
    let Some(real) = Real::start() else { return };
    let inserts = pg_dump(&real.cluster, "before", &["--inserts"]);
    let (text, choice) = chosen(&inserts, &["child"], &[]);
    assert_eq!(text.matches("INSERT INTO").count(), 2);
    assert_eq!(choice.part.tables.len(), 1);
}

#[test]
fn the_command_lists_what_is_in_a_backup_and_restores_a_table_of_it() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE SCHEMA sales; CREATE TABLE sales.orders (id serial PRIMARY KEY, note text);
         CREATE TABLE public.other (id integer REFERENCES sales.orders);
         INSERT INTO sales.orders (note) SELECT 'n' || i FROM generate_series(1, 1000) i;
         INSERT INTO public.other VALUES (7);",
    );
    let home = Home::new().set("DATABASE_URL", &cluster.url("shop"));
    home.run(&["backup", "db"]);

    let report = home.json(&["restore", "latest", "--list"]);
    let entries = report["entries"].as_array().unwrap();
    let table = entries
        .iter()
        .find(|entry| entry["type"] == "TABLE" && entry["qualified"] == "sales.orders");
    assert_eq!(table.unwrap()["rows"], 1000);
    let listed = home.run(&["restore", "latest", "--list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let line = listed.lines().find(|line| line.contains("sales.orders "));
    assert!(
        line.is_some_and(|line| line.contains(" 1,000 ")),
        "{listed}"
    );

    home.run(&["restore", "latest", "-t", "orders", "--into", "part"]);
    let rows = "SELECT count(*), max(note), nextval('sales.orders_id_seq') FROM sales.orders";
    assert_eq!(cluster.psql("part", rows), "1000|n999|1001");
    assert_eq!(
        cluster.psql("part", "SELECT to_regclass('public.other')"),
        ""
    );
    let part = home.json(&["restore", "latest", "-t", "OTHER", "--into", "other"]);
    assert_eq!((&part["tables"], &part["rows"]), (&1.into(), &1.into()));
    let warning = part["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("FK CONSTRAINT other_id_fkey on public.other"),
        "{warning}"
    );
    home.run(&["restore", "latest", "-n", "sales", "--into", "schema"]);
    for format in ["custom", "directory"] {
        home.run(&["backup", "db", "--format", format]);
        home.run(&["restore", "latest", "-t", "orders", "--into", format]);
        assert_eq!(cluster.psql(format, rows), "1000|n999|1001", "{format}");
        let other = "SELECT to_regclass('public.other')";
        assert_eq!(cluster.psql(format, other), "", "{format}");
    }

    for (refused, said) in [
        (
            &["-t", "order", "--into", "no"][..],
            "nearly so called: sales.orders",
        ),
        (&["-n", "sale", "--into", "no"], "nearly so called: sales"),
        (&["-t", "a.b.c.d", "--into", "no"], "too many dots"),
        (&["-t", "orders", "--replace", "--yes"], "--into NAME"),
        (&["-t", "orders", "--into", "part"], "part"),
    ] {
        let arguments = [&["restore", "latest"], refused].concat();
        let output = home.kluis(&arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(said),
            "{refused:?}: {stderr}"
        );
    }
    let database =
        "SELECT count(*) FROM pg_database WHERE datname = 'no' OR datname LIKE '%kluis%'";
    assert_eq!(cluster.psql("postgres", database), "0");

    fs::create_dir(home.path("tree")).unwrap();
    fs::write(home.path("tree/file"), "x").unwrap();
    home.run(&["backup", "source", text(&home.path("tree"))]);
    home.ends(
        2,
        &["restore", "latest:source", "-t", "orders", "--into", "no"],
    );
}
