CREATE DATABASE empty;
CREATE DATABASE odd_names;
CREATE DATABASE partitions;
CREATE DATABASE hostile;
CREATE DATABASE blobs;
\c odd_names
CREATE SCHEMA "Ünïcode.schema";
CREATE TABLE "Ünïcode.schema"."with.dot" (id int, "col "" quote" text);
INSERT INTO "Ünïcode.schema"."with.dot" VALUES (1,'a'),(2,E'tab\there'),(3,NULL);
CREATE TABLE "has ""quotes""" (a int); INSERT INTO "has ""quotes""" SELECT generate_series(1,10);
CREATE TABLE "new
line" ("col
FROM stdin;
x" int, b text); INSERT INTO "new
line" VALUES (1, E'back\\slash'), (2, E'\\.'), (3, E'multi\nline\r\n'), (4, '');
CREATE TABLE "x (a) FROM stdin;" (a text); INSERT INTO "x (a) FROM stdin;" VALUES ('-- PostgreSQL database dump complete'), ('COPY a FROM stdin;');
CREATE TABLE "fake; Type: FAKE; Schema: public; Owner: x" (a int);
CREATE TABLE nocols (); INSERT INTO nocols DEFAULT VALUES; INSERT INTO nocols DEFAULT VALUES;
CREATE TABLE norows (a int, b text);
CREATE TABLE "日本語" (a text); INSERT INTO "日本語" VALUES ('さくら'),('さくら');
CREATE SEQUENCE "seq's ""odd""
name"; SELECT setval('"seq''s ""odd""
name"', 77);
CREATE SEQUENCE "back\slash"; 
CREATE SEQUENCE fresh START 5;
\c partitions
CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, v int, dbl int GENERATED ALWAYS AS (v*2) STORED) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_rest PARTITION OF events DEFAULT;
INSERT INTO events(at,v) SELECT '2024-06-01'::date + i*30, CASE WHEN i%5=0 THEN -i ELSE i END FROM generate_series(0,20) i;
CREATE TABLE parent (a int); CREATE TABLE child (b text) INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2,'x'),(3,'it''s (ok); "fine"');
CREATE TABLE onlygen (a int GENERATED ALWAYS AS (1) STORED); INSERT INTO onlygen DEFAULT VALUES;
CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM events;
\c hostile
CREATE TABLE t (a int, b text DEFAULT E'\nCOPY public.fake (a) FROM stdin;\n1\n\\.\n', c text);
INSERT INTO t VALUES (1, E'x\n\\.\n', E'--\n-- Name: f; Type: TABLE; Schema: s; Owner: o\n--\n'), (2, default, E'a''b\\');
SET check_function_bodies = off;
CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
--
-- Name: fake; Type: FAKE; Schema: public; Owner: x
--
COPY public.t (a) FROM stdin;
1
\.
RETURN $$ nested $_$ ' " $_$ $$;
--
-- PostgreSQL database dump complete
--
END
$f$;
CREATE FUNCTION g(x int) RETURNS void LANGUAGE sql BEGIN ATOMIC
INSERT INTO t(a) VALUES (1);
INSERT INTO t(a,b) SELECT CASE WHEN true THEN x ELSE 2 END, ';';
END;
CREATE VIEW v AS SELECT E'\nCOPY public.t (a) FROM stdin;\n' AS "q
COPY public.t (a) FROM stdin;
", E'esc \\'' \\' AS e, '$$' AS d, a - -1 AS m FROM t;
CREATE RULE r AS ON INSERT TO v DO INSTEAD (INSERT INTO t(a) VALUES (NEW.m); INSERT INTO t(a) VALUES (2));
COMMENT ON TABLE t IS E'
--
-- PostgreSQL database dump complete
--
COPY public.t (a) FROM stdin;
INSERT INTO public.t VALUES (1);
\\! echo owned
';
CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end';
CREATE TRIGGER "trg
COPY x FROM stdin;" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tr();
CREATE TYPE mood AS ENUM ('sad', E'o''k', E'\\');
CREATE TABLE types (a int[], b jsonb, c bytea, d numeric, e timestamptz, f boolean, g mood, h bit(3), i text[]);
INSERT INTO types VALUES ('{1,2}', '{"a":"(b)"}', '\xdeadbeef', 'NaN', '2024-01-01 00:00Z', true, 'sad', B'101', ARRAY['a''b','c"d',NULL]);
\c blobs
SELECT lo_from_bytea(16500, '\x00ff10'), lo_from_bytea(16501, decode(repeat('ab', 20000),'hex')), lo_create(16502);
COMMENT ON LARGE OBJECT 16500 IS 'first';
CREATE TABLE refs (id serial primary key, lo oid); INSERT INTO refs(lo) VALUES (16500),(16501);
