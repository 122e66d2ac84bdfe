-- A database of 200 tables with everything that a dump has to carry, besides
-- every_type.sql, which is read before it: odd names in every place, every kind
-- of object, every way in which tables hang together. For psql, which leaves
-- out by \if what a server's major or build does not know. Some statements look
-- roundabout: they bring about what a plain CREATE would not leave behind
-- (dropped columns, grants of grants, cycles).
\set ON_ERROR_STOP on
SELECT current_setting('server_version_num')::int >= 150000 AS from_15,
       current_setting('server_version_num')::int >= 160000 AS from_16,
       current_setting('server_version_num')::int >= 170000 AS from_17,
       current_setting('server_version_num')::int >= 180000 AS from_18,
       EXISTS (SELECT FROM pg_collation WHERE collname = 'de-x-icu') AS with_icu \gset
SET client_min_messages = warning;

-- Extensions: one with a table that is dumped, one whose rights were changed.
CREATE SCHEMA "extra's";
CREATE EXTENSION hstore SCHEMA "extra's";
CREATE EXTENSION btree_gist;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION citext;
REVOKE ALL ON FUNCTION "extra's".hstore(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "extra's".hstore(text, text) TO kluis_reader;
COMMENT ON EXTENSION citext IS 'another comment than its own';
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) TO kluis_reader;

-- The rest of the built-in types, and their corners.
CREATE TABLE more_types (
    c_serial serial, c_smallserial smallserial, c_bigserial bigserial,
    c_quoted_char "char", c_bpchar bpchar, c_numeric_negative numeric(10, 0),
    c_regproc regproc, c_regprocedure regprocedure, c_regoper regoper, c_regoperator regoperator,
    c_regtype regtype, c_regrole regrole, c_regnamespace regnamespace, c_regconfig regconfig,
    c_regdictionary regdictionary, c_regcollation regcollation,
    c_xid xid, c_xid8 xid8, c_cid cid, c_tid tid, c_oidvector oidvector, c_int2vector int2vector,
    c_txid_snapshot txid_snapshot, c_aclitem aclitem, c_refcursor refcursor,
    c_int8multirange int8multirange, c_nummultirange nummultirange,
    c_tsmultirange tsmultirange, c_tstzmultirange tstzmultirange,
    c_interval_day interval day to second(2), c_interval_year interval year,
    c_time_0 time(0), c_timetz_3 timetz(3), c_timestamp_2 timestamp(2), c_timestamptz_4 timestamptz(4),
    c_hstore "extra's".hstore, c_citext citext,
    a_uuid uuid[], a_bytea bytea[], a_jsonb jsonb[], a_numeric numeric(6, 2)[], a_mood mood[],
    a_range daterange[], a_timestamptz timestamptz[3], a_interval interval[][], a_inet inet[],
    a_point point[], a_box box[], a_bit bit(3)[], a_positive positive[], a_xml xml[], a_tsvector tsvector[]
);
INSERT INTO more_types DEFAULT VALUES;
INSERT INTO more_types VALUES (DEFAULT, DEFAULT, 9223372036854775807,
    'x', 'blank ', -1234567890,
    'now', 'lower(text)', '||/', '+(integer,integer)',
    'timestamp with time zone', 'kluis_reader', 'büro', 'english', 'simple', '"C"',
    '4294967295', '18446744073709551615', '7', '(0,1)', '1 2 3', '-1 0 32767',
    '10:20:10,14,15', 'kluis_reader=r/postgres', 'a cursor',
    '{[-9223372036854775808,0),[1,)}', '{(,1.5],[2.5,3)}',
    '{["2026-01-01 00:00","2026-01-02 00:00"]}', '{}',
    '3 days 04:05:06.78', '7 years', '23:59:60', '01:02:03.004+14', '1999-12-31 23:59:59.99', '2026-10-25 02:30:00.1234+01',
    '"a key"=>"x => \"y\"", b=>NULL', 'CaSe',
    '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}', ARRAY['\x'::bytea, '\x5c78'], ARRAY['{"a": "b,c"}'::jsonb, 'null'],
    '{1.5,NaN,-0.01}', '{sad,"it''s ok","a\"b"}', '{"[2026-01-01,)",empty}',
    '{"infinity","-infinity","0044-03-15 12:00:00+00 BC"}', '{{"1 mon","-1 day"},{"178000000 years","-00:00:00.000001"}}',
    '{::ffff:1.2.3.4,10.1.2.3/8}', '{"(1,2)","(-0,1e308)"}', '{(1,1),(0,0);(3,3),(2,2)}', ARRAY[B'101'], '{1,2}',
    ARRAY['<a>,</a>'::xml, '<!-- "c" --><b/>'], ARRAY['''a'':1 ''b c'':2A'::tsvector]);

CREATE TABLE floats (id integer PRIMARY KEY, r real, d double precision, n numeric);
INSERT INTO floats VALUES (1, 'NaN', 'NaN', 'NaN'), (2, 'Infinity', 'Infinity', 'Infinity'),
    (3, '-Infinity', '-Infinity', '-Infinity'), (4, '-0', '-0', '-0.00'),
    (5, 1.17549435e-38, 2.2250738585072014e-308, repeat('9', 1000)::numeric),
    (6, 3.4028235e38, 1.7976931348623157e308, ('0.' || repeat('0', 999) || '1')::numeric),
    (7, 0.1, 0.1, 0.10), (8, 1e-45, 5e-324, 1e100), (9, 16777217, 9007199254740993, 1.50);
CREATE TABLE moments (d date, t timestamp, z timestamptz, i interval);
INSERT INTO moments VALUES ('infinity', 'infinity', 'infinity', '178000000 years'),
    ('-infinity', '-infinity', '-infinity', '-178000000 years'),
    ('4713-01-01 BC', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC', '-2147483648 months -2147483648 days'),
    ('5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '2147483647 days'),
    ('2026-10-25', '2026-10-25 02:30', '2026-10-25 00:30+00', 'P1Y2M3DT4H5M6.789S'),
    ('0001-01-01', '0001-01-01 00:00 BC', '1883-11-18 12:03:58-04:56:02', '-1 day +00:00:00.000001');
\if :from_17
INSERT INTO moments (i) VALUES ('infinity'), ('-infinity');
\endif
CREATE TABLE bytes (id integer, b bytea, t text);
INSERT INTO bytes SELECT g, set_byte('\x00', 0, g), CASE WHEN g > 0 THEN chr(g) END FROM generate_series(0, 255) g;
INSERT INTO bytes SELECT 1000, string_agg(set_byte('\x00', 0, g % 256), '' ORDER BY g), repeat(E'\\N\t\n', 1000)
    FROM generate_series(0, 66000) g;
CREATE TABLE toasted (id integer, plain text, external text, main text, extended text);
ALTER TABLE toasted ALTER plain SET STORAGE PLAIN, ALTER external SET STORAGE EXTERNAL, ALTER main SET STORAGE MAIN;
ALTER TABLE toasted SET (toast.autovacuum_enabled = false, toast_tuple_target = 512, fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.05, parallel_workers = 2);
INSERT INTO toasted SELECT g, 'p', string_agg(md5(x::text), ''), string_agg(md5(x::text), ' '), repeat('x', 100000)
    FROM generate_series(1, 3) g, generate_series(1, 500 * g) x GROUP BY g;

-- Names: what quoting, comments and COPY could trip over.
DO $names$
DECLARE
    name text;
    number integer := 0;
BEGIN
    FOREACH name IN ARRAY ARRAY['select', 'TABLE', 'user', 'Upper Case', ' leading', 'trailing ', '"', '''', '''''', '""',
        '.', 'a.b', '..', E'line\nbreak', E'tab\there', E'cr\rhere', E'\\', E'back\\nslash', E'\\.', '--', '-- Name: x; Type: TABLE',
        '/*', '*/', ';', '$$', '$body$', '%s', '%', '*', '?', '[a-z]', '(a, b) FROM stdin;', 'ü', 'ÜBER', '日本語', '🙂', 'é',
        'stdin', 'null', '0', '1e5', '-', '@', '#', E'\u00a0', E'\u200b', repeat('x', 63), repeat('ü', 31), 'COPY', E'\\restrict',
        E'x\n\\! true', 'public', 'pg_dump', ':name', ':''name''', ':"name"', '{}', '&', '|', '`', '~', '^', '!', '=', ',', '<>']
    LOOP
        number := number + 1;
        EXECUTE format('CREATE TABLE "odd ""schema"".with'
            || E'\n' || 'newline".%1$I (%1$I integer CONSTRAINT %2$I PRIMARY KEY, "%%%%" text DEFAULT %1$L)', name, left('key; ' || name, 30));
        EXECUTE format('INSERT INTO "odd ""schema"".with'
            || E'\n' || 'newline".%1$I SELECT g, repeat(%1$L, g) FROM generate_series(1, %2$s) g', name, number % 5);
        EXECUTE format('COMMENT ON TABLE "odd ""schema"".with' || E'\n' || 'newline".%1$I IS %1$L', name);
    END LOOP;
END
$names$;
CREATE SCHEMA "select" AUTHORIZATION "kluis ""odd"" rôle";
CREATE TABLE "select"."from" ("where" integer, "a""b" text, "c.d" text, E text);
ALTER TABLE "select"."from" OWNER TO "kluis ""odd"" rôle";

-- Dropped columns, in tables, types and heirs.
CREATE TABLE had_more (a integer, gone text DEFAULT 'x', b integer, gone_too integer GENERATED ALWAYS AS (a + 1) STORED, c text NOT NULL);
INSERT INTO had_more (a, b, c) VALUES (1, 2, 'three'), (NULL, NULL, '');
ALTER TABLE had_more DROP gone, DROP gone_too, ADD d integer DEFAULT 4;
UPDATE had_more SET b = 7 WHERE a = 1;
CREATE TABLE heir_of_more (e integer) INHERITS (had_more);
INSERT INTO heir_of_more VALUES (1, 2, 'x', 4, 5);
ALTER TABLE heir_of_more ALTER d SET DEFAULT 40, ALTER c DROP DEFAULT;
CREATE TYPE had_attributes AS (a integer, gone text, b mood);
ALTER TYPE had_attributes DROP ATTRIBUTE gone;
ALTER TYPE mood ADD VALUE 'between' BEFORE 'sad';
CREATE TABLE typed OF had_attributes (a WITH OPTIONS DEFAULT 7 NOT NULL, PRIMARY KEY (a));
INSERT INTO typed VALUES (DEFAULT, 'sad');
CREATE TABLE grandparent (x integer CHECK (x > 0) NO INHERIT, y integer CONSTRAINT y_small CHECK (y < 100));
CREATE TABLE second_parent (y integer CONSTRAINT y_small CHECK (y < 100), z integer DEFAULT 9);
CREATE TABLE child_of_two (own text) INHERITS (grandparent, second_parent);
INSERT INTO child_of_two VALUES (0, 1, 2, 'x');
CREATE TABLE became_heir (x integer, y integer CONSTRAINT y_small CHECK (y < 100), own integer);
ALTER TABLE became_heir INHERIT grandparent;

-- Columns: generated, identity, collated, compressed, counted.
CREATE TABLE columns (
    always bigint GENERATED ALWAYS AS IDENTITY (START -5 INCREMENT -2 MINVALUE -1000 MAXVALUE -5 CYCLE CACHE 3),
    by_default smallint GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME "odd identity's seq" START 7),
    base text COLLATE "C", lowered text GENERATED ALWAYS AS (lower(base COLLATE "C")) STORED,
    length integer GENERATED ALWAYS AS (length(base)) STORED,
    compressed text COMPRESSION lz4,
    listed text[] DEFAULT ARRAY['a', 'it''s', E'\\']::text[],
    at timestamptz DEFAULT (now() AT TIME ZONE 'UTC') + interval '1 day',
    fixed timestamptz DEFAULT '2026-07-01 12:00:00+00');
INSERT INTO columns (base, compressed) SELECT 'Row ' || g, repeat(g::text, 1000) FROM generate_series(1, 40) g;
INSERT INTO columns (always, base) OVERRIDING SYSTEM VALUE VALUES (1000, 'outside');
UPDATE columns SET at = '2026-01-01 00:00+00', fixed = '2026-07-01 12:00:00+00';
ALTER TABLE columns ALTER base SET STATISTICS 0, ALTER length SET (n_distinct = -0.5, n_distinct_inherited = 3);
DO $wide$
BEGIN
    EXECUTE 'CREATE TABLE wide (' || (SELECT string_agg(format('"column %s" integer DEFAULT %s', g, g), ', ')
        FROM generate_series(1, 300) g) || ')';
END
$wide$;
INSERT INTO wide DEFAULT VALUES;

-- Partitions: range, list, hash, below each other, attached, detached.
CREATE TABLE events (id bigint GENERATED BY DEFAULT AS IDENTITY, at timestamptz NOT NULL, kind text NOT NULL, body text,
    PRIMARY KEY (at, kind, id)) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:00+00');
CREATE TABLE events_now PARTITION OF events FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2026-01-01 00:00+00') PARTITION BY LIST (kind);
CREATE TABLE events_now_ab PARTITION OF events_now FOR VALUES IN ('a', 'b''s');
CREATE TABLE events_now_hash PARTITION OF events_now DEFAULT PARTITION BY HASH (id);
DO $hash$
BEGIN
    FOR part IN 0..19 LOOP
        EXECUTE format('CREATE TABLE "events now hash %1$s" PARTITION OF events_now_hash FOR VALUES WITH (MODULUS 20, REMAINDER %1$s)', part);
    END LOOP;
END
$hash$;
CREATE TABLE events_rest (body text DEFAULT 'another default', kind text NOT NULL, gone integer, id bigint NOT NULL, at timestamptz NOT NULL);
ALTER TABLE events_rest DROP gone;
ALTER TABLE events_rest ADD CONSTRAINT only_here CHECK (body <> 'never');
ALTER TABLE events ATTACH PARTITION events_rest DEFAULT;
CREATE TABLE events_apart PARTITION OF events FOR VALUES FROM ('2030-01-01 00:00+00') TO ('2031-01-01 00:00+00');
INSERT INTO events (at, kind, body) SELECT timestamptz '2024-06-01 00:00+00' + g * interval '11 hours', chr(97 + g % 6), 'event ' || g
    FROM generate_series(0, 1999) g;
INSERT INTO events VALUES (DEFAULT, '2030-05-05 00:00+00', 'x', NULL);
ALTER TABLE events DETACH PARTITION events_apart;
CREATE INDEX events_body ON ONLY events (body);
CREATE INDEX events_old_body ON events_old (body);
ALTER INDEX events_body ATTACH PARTITION events_old_body;
CREATE TABLE numbers (a integer, b integer, c text) PARTITION BY RANGE (a, (b + 1));
CREATE TABLE numbers_1 PARTITION OF numbers FOR VALUES FROM (MINVALUE, MINVALUE) TO (10, MAXVALUE);
CREATE TABLE numbers_2 PARTITION OF numbers FOR VALUES FROM (10, MAXVALUE) TO (20, 5) WITH (fillfactor = 50);
CREATE TABLE numbers_rest PARTITION OF numbers DEFAULT;
INSERT INTO numbers SELECT g % 30, g % 7, g::text FROM generate_series(1, 200) g;
CREATE TABLE moods (m mood, by_day boolean) PARTITION BY LIST (m);
CREATE TABLE moods_bad PARTITION OF moods FOR VALUES IN ('sad', NULL) PARTITION BY LIST (by_day);
CREATE TABLE moods_bad_day PARTITION OF moods_bad FOR VALUES IN (true, NULL);
CREATE TABLE moods_empty PARTITION OF moods FOR VALUES IN ('between');
INSERT INTO moods VALUES ('sad', true), (NULL, NULL);

-- Foreign keys: cyclic, to itself, to partitions, deferred, not yet checked.
CREATE TABLE egg (id integer PRIMARY KEY, hen integer);
CREATE TABLE hen (id integer PRIMARY KEY, egg integer NOT NULL REFERENCES egg ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE);
INSERT INTO egg VALUES (1, 2), (2, 1);
INSERT INTO hen VALUES (1, 1), (2, 2);
ALTER TABLE egg ADD CONSTRAINT "which came first?" FOREIGN KEY (hen) REFERENCES hen DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE tree (id integer PRIMARY KEY, up integer REFERENCES tree ON DELETE CASCADE, a integer, b integer, UNIQUE (a, b), UNIQUE (b) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO tree SELECT g, nullif(g / 2, 0), g, -g FROM generate_series(100, 1, -1) g ORDER BY g;
CREATE TABLE leaf (a integer, b integer, FOREIGN KEY (a, b) REFERENCES tree (a, b) MATCH FULL);
INSERT INTO leaf VALUES (1, -1), (NULL, NULL);
CREATE TABLE to_partitions (at timestamptz, kind text, id bigint, FOREIGN KEY (at, kind, id) REFERENCES events);
INSERT INTO to_partitions SELECT at, kind, id FROM events ORDER BY id LIMIT 50;
CREATE TABLE unchecked (id integer, up integer);
INSERT INTO unchecked VALUES (-1, 999);
ALTER TABLE unchecked ADD CONSTRAINT "not yet" FOREIGN KEY (up) REFERENCES tree NOT VALID,
    ADD CONSTRAINT positive_later CHECK (id > 0) NOT VALID;

-- Constraints and indexes of every method.
CREATE TABLE rooms (room integer, during tstzrange, code citext UNIQUE, words tsvector, path text, place point, numbers integer[],
    CONSTRAINT one_at_a_time EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (room > 0) DEFERRABLE,
    CHECK (NOT isempty(during) AND lower(during) > '2000-01-01 00:00+00'));
INSERT INTO rooms SELECT g % 3, tstzrange(timestamptz '2026-01-01 00:00+00' + g * interval '1 hour', timestamptz '2026-01-01 00:00+00' + (g + 1) * interval '1 hour'),
    'Code' || g, to_tsvector('english', 'the quick brown foxes number ' || g), 'path/' || g, point(g, -g), ARRAY[g, g * 2] FROM generate_series(1, 100) g;
CREATE INDEX "it's gin" ON rooms USING gin (words) WITH (fastupdate = off);
CREATE INDEX rooms_trgm ON rooms USING gist (path gist_trgm_ops (siglen = 32));
CREATE INDEX rooms_place ON rooms USING spgist (place);
CREATE INDEX rooms_brin ON rooms USING brin (room) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX rooms_hash ON rooms USING hash (path);
CREATE INDEX rooms_array ON rooms USING gin (numbers);
CREATE UNIQUE INDEX rooms_including ON rooms (code text_pattern_ops DESC NULLS LAST) INCLUDE (room, place) WITH (fillfactor = 60) WHERE path IS NOT NULL;
CREATE INDEX rooms_expression ON rooms (upper(path), (room * 2), (numbers[1])) WHERE NOT isempty(during);
ALTER INDEX rooms_expression ALTER COLUMN 2 SET STATISTICS 50;
CREATE UNIQUE INDEX rooms_replica ON tree (id, a) WHERE false;
CREATE UNIQUE INDEX leaf_replica ON to_partitions (id);
ALTER TABLE to_partitions ALTER id SET NOT NULL, REPLICA IDENTITY USING INDEX leaf_replica;
ALTER TABLE leaf REPLICA IDENTITY FULL;
ALTER TABLE unchecked REPLICA IDENTITY NOTHING;
ALTER TABLE tree CLUSTER ON tree_pkey;
CREATE STATISTICS "s't" (ndistinct, dependencies, mcv) ON room, code, path FROM rooms;
ALTER STATISTICS "s't" SET STATISTICS 200;
CREATE STATISTICS on_expressions ON (room * 2), (lower(path)) FROM rooms;
COMMENT ON INDEX "it's gin" IS 'gin''s';
COMMENT ON CONSTRAINT one_at_a_time ON rooms IS 'no double booking';
COMMENT ON STATISTICS "s't" IS 'mcv';
\if :from_15
CREATE TABLE no_second_null (a integer, b integer, UNIQUE NULLS NOT DISTINCT (a, b));
INSERT INTO no_second_null VALUES (NULL, 1), (1, NULL);
ALTER TABLE leaf ADD c integer, ADD FOREIGN KEY (c) REFERENCES tree ON DELETE SET NULL (c);
\endif
\if :from_18
CREATE TABLE with_virtual (a integer CONSTRAINT a_there NOT NULL, b integer, doubled integer GENERATED ALWAYS AS (a * 2) VIRTUAL,
    CONSTRAINT b_hoped CHECK (b > 0) NOT ENFORCED);
INSERT INTO with_virtual VALUES (1, -1), (2, NULL);
ALTER TABLE with_virtual ADD CONSTRAINT b_there NOT NULL b NOT VALID;
CREATE TABLE valid_when (id integer, during daterange, CONSTRAINT valid_key PRIMARY KEY (id, during WITHOUT OVERLAPS));
INSERT INTO valid_when VALUES (1, '[2026-01-01,2026-02-01)'), (1, '[2026-02-01,)');
CREATE TABLE refers_when (id integer, during daterange, FOREIGN KEY (id, PERIOD during) REFERENCES valid_when (id, PERIOD during));
INSERT INTO refers_when VALUES (1, '[2026-01-10,2026-03-01)');
\endif

-- Functions whose text looks like a dump's.
CREATE FUNCTION "fn; --"(a integer DEFAULT 7, VARIADIC "b c" text[] DEFAULT ARRAY['x', 'it''s'], OUT result text, OUT more integer)
    RETURNS SETOF record LANGUAGE plpgsql IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 17 ROWS 3 SET search_path = public, "odd ""schema"".with
newline" SET "datestyle" = 'ISO, DMY' AS $function$
BEGIN
    -- Name: tricky; Type: TABLE; Schema: public; Owner: nobody
    RAISE NOTICE '%', $$COPY public.rooms (a) FROM stdin;
1
\.
$$;
    /* PostgreSQL database dump complete */
    RETURN QUERY SELECT E'\\unrestrict ''$body$'''::text, 1;
END;
$function$;
CREATE FUNCTION "fn; --"(text) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT $1 || ''SELECT pg_catalog.setval(''''x'''', 1);''';
CREATE FUNCTION standard(a integer, b integer = 2) RETURNS integer LANGUAGE sql IMMUTABLE RETURN a + b;
CREATE FUNCTION rows_of(t rooms) RETURNS TABLE (r integer, "p q" text) LANGUAGE sql STABLE AS $$ SELECT t.room, t.path $$;
CREATE PROCEDURE two_steps(INOUT a integer, "in" text DEFAULT NULL) LANGUAGE plpgsql AS $p$ BEGIN a := a + 1; COMMIT; END $p$;
CREATE FUNCTION support_me(anyelement, anyarray) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION add_state(state numeric[], value numeric) RETURNS numeric[] LANGUAGE sql IMMUTABLE AS 'SELECT state || value';
CREATE FUNCTION end_state(numeric[]) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1[1]';
CREATE AGGREGATE "at part"(double precision ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA, FINALFUNC_MODIFY = READ_WRITE);
CREATE AGGREGATE collected(numeric) (SFUNC = add_state, STYPE = numeric[], INITCOND = '{1.5}', FINALFUNC = end_state, MSFUNC = add_state, MINVFUNC = add_state, MSTYPE = numeric[], MFINALFUNC = end_state, PARALLEL = RESTRICTED);
CREATE OPERATOR <<<!>>> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = standard, COMMUTATOR = <<<!>>>);
CREATE OPERATOR !@# (RIGHTARG = integer, FUNCTION = int4abs);
CREATE OPERATOR FAMILY loose USING btree;
CREATE OPERATOR CLASS backwards FOR TYPE integer USING btree FAMILY loose AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(integer, integer);
ALTER OPERATOR FAMILY loose USING btree ADD OPERATOR 1 > (integer, bigint), FUNCTION 1 (integer, bigint) btint48cmp(integer, bigint);
CREATE OPERATOR FAMILY empty_family USING gin;
CREATE CAST (text AS mood) WITH INOUT;
CREATE CAST (pair AS text) WITH INOUT AS ASSIGNMENT;
CREATE TYPE shell_only;
CREATE TYPE whole;
CREATE FUNCTION whole_in(cstring) RETURNS whole LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION whole_out(whole) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE whole (INPUT = whole_in, OUTPUT = whole_out, INTERNALLENGTH = 4, PASSEDBYVALUE, ALIGNMENT = int4, DEFAULT = '42', CATEGORY = 'N', DELIMITER = ';');
CREATE CAST (integer AS whole) WITHOUT FUNCTION AS IMPLICIT;
CREATE TABLE wholes (w whole, ws whole[]);
INSERT INTO wholes VALUES (DEFAULT, NULL), ('-7', '{1;2;NULL}');
CREATE DOMAIN "Post code" AS text COLLATE "C" DEFAULT '1000 AA' NOT NULL CONSTRAINT "four, two" CHECK (VALUE ~ '^\d{4} ?[A-Z]{2}$') CHECK (VALUE <> E'\\');
CREATE DOMAIN later AS integer;
ALTER DOMAIN later ADD CONSTRAINT not_checked CHECK (VALUE > 0) NOT VALID;
CREATE DOMAIN pairs AS pair[] CHECK (array_length(VALUE, 1) < 5);
CREATE TYPE textrange AS RANGE (SUBTYPE = text, COLLATION = "C", MULTIRANGE_TYPE_NAME = "many text ranges");
CREATE TABLE of_user_types (p "Post code", l later, ps pairs, r textrange, m "many text ranges", pr positive[], e mood);
INSERT INTO of_user_types VALUES (DEFAULT, 1, ARRAY[ROW(1, E'a,"b\\')::pair], '[a,"b,")', '{["it''s",x),[y,z]}', '{3}', 'between');
CREATE COLLATION "nobody's c" FROM "C";
\if :with_icu
CREATE COLLATION "case blind" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE folded (t text COLLATE "case blind" PRIMARY KEY);
INSERT INTO folded VALUES ('Straße'), ('b');
\endif
\if :from_17
CREATE COLLATION built_in (provider = builtin, locale = 'C.UTF-8');
\endif
CREATE CONVERSION "my conversion" FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH PARSER words_only (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE as_it_is (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY "no 'stop'" (TEMPLATE = as_it_is, STOPWORDS = english, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION "my english" (PARSER = words_only);
ALTER TEXT SEARCH CONFIGURATION "my english" ADD MAPPING FOR asciiword, word WITH "no 'stop'", english_stem, simple;
CREATE FUNCTION another_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE another HANDLER another_handler;
CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));
CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE on_heap_too (a integer) USING heap_too;
INSERT INTO on_heap_too VALUES (1);

-- Sequences.
CREATE SEQUENCE "odd.seq ""x"" 'y'" AS smallint INCREMENT BY -7 MINVALUE -30000 MAXVALUE -1 START -8 CACHE 12 CYCLE;
SELECT nextval('"odd.seq ""x"" ''y''"'), nextval('"odd.seq ""x"" ''y''"');
CREATE SEQUENCE at_its_end MAXVALUE 3;
SELECT setval('at_its_end', 3, true);
CREATE SEQUENCE set_back MINVALUE -9223372036854775808 START -9223372036854775808;
SELECT setval('set_back', -9223372036854775808, false);
CREATE SEQUENCE furthest;
SELECT setval('furthest', 9223372036854775807, true);
CREATE SEQUENCE owned OWNED BY floats.id;
SELECT setval('owned', 41);
CREATE UNLOGGED TABLE unlogged (id serial, t text);
INSERT INTO unlogged (t) VALUES ('x'), ('y');

-- Views on views, cycles, materialized views on each other.
CREATE VIEW "a view" AS SELECT room, "p q" FROM rooms, LATERAL rows_of(rooms) WHERE room > 0;
CREATE VIEW on_it ("renamed col", n) AS SELECT "p q", count(*) FILTER (WHERE room = 1) OVER (PARTITION BY room) FROM "a view" WHERE "p q" LIKE E'path\\_%' OR "p q" = 'x;--';
CREATE VIEW grouped_by_key AS SELECT tree.id, tree.up, count(leaf.a) AS leaves FROM tree LEFT JOIN leaf USING (a) GROUP BY tree.id;
CREATE RECURSIVE VIEW downwards (id, depth) AS SELECT id, 0 FROM tree WHERE up IS NULL UNION ALL SELECT t.id, d.depth + 1 FROM tree t JOIN downwards d ON t.up = d.id;
ALTER VIEW on_it ALTER n SET DEFAULT 7;
CREATE VIEW for_owner_a AS SELECT 1 AS a;
CREATE VIEW for_owner_b AS SELECT a FROM for_owner_a;
CREATE OR REPLACE VIEW for_owner_a AS SELECT 2 AS a;
CREATE FUNCTION uses_view(for_owner_b) RETURNS integer LANGUAGE sql AS 'SELECT $1.a';
CREATE MATERIALIZED VIEW filled WITH (fillfactor = 80) AS SELECT kind, count(*) AS n FROM events GROUP BY kind ORDER BY kind;
CREATE MATERIALIZED VIEW on_filled AS SELECT sum(n) AS total FROM filled;
CREATE UNIQUE INDEX on_filled_total ON on_filled (total);
CREATE MATERIALIZED VIEW never_filled AS SELECT * FROM on_filled WITH NO DATA;
CREATE INDEX never_filled_index ON never_filled (total);
COMMENT ON MATERIALIZED VIEW filled IS 'filled';
COMMENT ON COLUMN filled.n IS 'how many';
COMMENT ON VIEW "a view" IS '';
\if :from_15
CREATE VIEW as_invoker WITH (security_invoker = true, security_barrier = true) AS SELECT * FROM tree;
\endif

-- Rules and triggers of every kind.
CREATE RULE "rule's" AS ON INSERT TO "a view" WHERE new.room > 5 DO INSTEAD (INSERT INTO leaf VALUES (NULL, NULL); DELETE FROM leaf WHERE a = new.room);
CREATE RULE told AS ON DELETE TO leaf DO ALSO NOTIFY "it's; told", 'x;y';
CREATE RULE otherwise AS ON INSERT TO "a view" DO INSTEAD NOTHING;
CREATE RULE also AS ON UPDATE TO leaf DO ALSO SELECT 1;
ALTER TABLE leaf DISABLE RULE also;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $t$ BEGIN RETURN coalesce(NEW, OLD); END $t$;
CREATE TRIGGER "a; -- trigger" BEFORE UPDATE OF room, path ON rooms FOR EACH ROW WHEN (OLD.path IS DISTINCT FROM NEW.path) EXECUTE FUNCTION noted('it''s', E'\\x', '');
CREATE TRIGGER after_statement AFTER INSERT ON rooms REFERENCING NEW TABLE AS "new rows" FOR EACH STATEMENT EXECUTE FUNCTION noted();
CREATE CONSTRAINT TRIGGER checked_late AFTER UPDATE ON tree DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION noted();
CREATE TRIGGER instead INSTEAD OF DELETE ON on_it FOR EACH ROW EXECUTE FUNCTION noted();
CREATE TRIGGER truncated AFTER TRUNCATE ON leaf FOR EACH STATEMENT EXECUTE FUNCTION noted();
CREATE TRIGGER cloned AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION noted();
ALTER TABLE events_old DISABLE TRIGGER cloned;
ALTER TABLE rooms ENABLE ALWAYS TRIGGER after_statement, ENABLE REPLICA TRIGGER "a; -- trigger";
COMMENT ON TRIGGER "a; -- trigger" ON rooms IS 'watch; out';
CREATE FUNCTION on_drop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1; END';
CREATE EVENT TRIGGER "on drop" ON sql_drop EXECUTE FUNCTION on_drop();
CREATE EVENT TRIGGER off ON ddl_command_start EXECUTE FUNCTION on_drop();
ALTER EVENT TRIGGER off DISABLE;
ALTER EVENT TRIGGER "on drop" ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER off IS 'off';

-- Row-level security, owners, rights, rights passed on.
ALTER TABLE rooms ENABLE ROW LEVEL SECURITY;
ALTER TABLE rooms FORCE ROW LEVEL SECURITY;
CREATE POLICY "own; only" ON rooms AS RESTRICTIVE FOR UPDATE TO kluis_reader, "kluis ""odd"" rôle" USING (room > 0) WITH CHECK (path <> E'\\');
CREATE POLICY readers ON rooms FOR SELECT USING (current_setting('app.tenant', true) = room::text);
COMMENT ON POLICY readers ON rooms IS 'by tenant';
ALTER TABLE toasted OWNER TO "kluis ""odd"" rôle";
ALTER FUNCTION standard(integer, integer) OWNER TO kluis_writer;
GRANT SELECT ON events TO kluis_writer;
ALTER MATERIALIZED VIEW filled OWNER TO kluis_writer;
ALTER TYPE textrange OWNER TO kluis_reader;
ALTER SEQUENCE furthest OWNER TO kluis_writer;
GRANT SELECT, INSERT (room, path), UPDATE (path), REFERENCES (code) ON rooms TO kluis_reader WITH GRANT OPTION;
GRANT ALL ON floats TO kluis_writer WITH GRANT OPTION;
SET ROLE kluis_writer;
GRANT SELECT ON floats TO kluis_reader;
GRANT UPDATE (r) ON floats TO PUBLIC;
RESET ROLE;
REVOKE ALL ON moments FROM postgres;
REVOKE EXECUTE ON FUNCTION whole_in(cstring) FROM PUBLIC;
GRANT USAGE, UPDATE ON SEQUENCE owned TO kluis_reader;
GRANT USAGE ON LANGUAGE another TO kluis_reader;
GRANT USAGE ON TYPE mood TO kluis_reader;
REVOKE USAGE ON TYPE "Post code" FROM PUBLIC;
GRANT CREATE, USAGE ON SCHEMA büro TO kluis_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE kluis_writer GRANT EXECUTE ON FUNCTIONS TO kluis_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE kluis_writer REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA "odd ""schema"".with
newline" GRANT ALL ON SEQUENCES TO "kluis ""odd"" rôle" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE kluis_reader GRANT USAGE ON SCHEMAS TO PUBLIC;
\if :from_15
ALTER SCHEMA public OWNER TO kluis_writer;
\endif
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO kluis_reader, kluis_writer;
COMMENT ON SCHEMA public IS 'not the standard one';

-- Foreign data, publications.
CREATE FOREIGN DATA WRAPPER nothing OPTIONS (debug 'true; --');
CREATE SERVER "far; away" TYPE 'odd' VERSION '1.0' FOREIGN DATA WRAPPER nothing OPTIONS (host '127.0.0.1', dbname 'it''s', port '1');
CREATE USER MAPPING FOR PUBLIC SERVER "far; away" OPTIONS (user 'x', password 'not; a "secret"');
CREATE USER MAPPING FOR "kluis ""odd"" rôle" SERVER "far; away" OPTIONS (user 'y');
CREATE FOREIGN TABLE far_table (a integer OPTIONS (column_name 'A "a"') NOT NULL, b text DEFAULT 'x') SERVER "far; away" OPTIONS (schema_name 'Far', table_name 'it''s');
GRANT USAGE ON FOREIGN SERVER "far; away" TO kluis_reader;
COMMENT ON SERVER "far; away" IS 'far';
CREATE TABLE partly_far (a integer, b text) PARTITION BY LIST (b);
CREATE TABLE partly_far_here PARTITION OF partly_far FOR VALUES IN ('here');
CREATE FOREIGN TABLE partly_far_there PARTITION OF partly_far FOR VALUES IN ('there') SERVER "far; away";
INSERT INTO partly_far VALUES (1, 'here');
CREATE PUBLICATION "all; of it" FOR ALL TABLES WITH (publish = 'insert, delete', publish_via_partition_root = true);
CREATE PUBLICATION of_some FOR TABLE ONLY had_more, events;
COMMENT ON PUBLICATION of_some IS 'some';
\if :from_15
CREATE PUBLICATION filtered FOR TABLE floats (id, r) WHERE (id > 3);
CREATE PUBLICATION by_schema FOR TABLES IN SCHEMA büro, "select", TABLE tree WHERE (id < 50);
\endif

-- Large objects.
SELECT lo_from_bytea(4300001, decode(repeat('00ff5c0a27220d', 700), 'hex')), lo_from_bytea(4300002, ''),
       lo_from_bytea(4300003, 'short'), lo_from_bytea(4294967294, decode(repeat('ab', 70000), 'hex'));
COMMENT ON LARGE OBJECT 4300001 IS E'it''s\nlarge';
COMMENT ON LARGE OBJECT 4300002 IS 'empty';
ALTER LARGE OBJECT 4300003 OWNER TO kluis_writer;
GRANT SELECT, UPDATE ON LARGE OBJECT 4300001 TO kluis_reader WITH GRANT OPTION;
REVOKE ALL ON LARGE OBJECT 4300003 FROM kluis_writer;

-- Comments on what has none yet.
COMMENT ON TYPE mood IS 'mood';
COMMENT ON DOMAIN "Post code" IS E'Post\ncode';
COMMENT ON CONSTRAINT "four, two" ON DOMAIN "Post code" IS 'four; two';
COMMENT ON FUNCTION "fn; --"(integer, text[]) IS E'-- Name: x\n\\.\n';
COMMENT ON PROCEDURE two_steps(integer, text) IS 'two';
COMMENT ON AGGREGATE collected(numeric) IS 'collected';
COMMENT ON OPERATOR <<<!>>> (integer, integer) IS 'odd';
COMMENT ON OPERATOR CLASS backwards USING btree IS 'backwards';
COMMENT ON OPERATOR FAMILY loose USING btree IS 'loose';
COMMENT ON CAST (text AS mood) IS 'cast';
COMMENT ON COLLATION "nobody's c" IS 'c';
COMMENT ON CONVERSION "my conversion" IS 'conversion';
COMMENT ON TEXT SEARCH CONFIGURATION "my english" IS 'configuration';
COMMENT ON TEXT SEARCH DICTIONARY "no 'stop'" IS 'dictionary';
COMMENT ON TEXT SEARCH PARSER words_only IS 'parser';
COMMENT ON TEXT SEARCH TEMPLATE as_it_is IS 'template';
COMMENT ON LANGUAGE another IS 'language';
COMMENT ON TRANSFORM FOR integer LANGUAGE sql IS 'transform';
COMMENT ON ACCESS METHOD heap_too IS 'method';
COMMENT ON SEQUENCE "odd.seq ""x"" 'y'" IS 'sequence';
COMMENT ON FOREIGN TABLE far_table IS 'table';
COMMENT ON FOREIGN DATA WRAPPER nothing IS 'wrapper';
COMMENT ON RULE "rule's" ON "a view" IS 'rule';
COMMENT ON COLUMN "odd ""schema"".with
newline"."--"."%%" IS 'column';

-- As many as are still missing to 200, each a little different.
DO $rest$
DECLARE
    number integer := 0;
BEGIN
    WHILE (SELECT count(*) < 200 FROM pg_class WHERE relkind IN ('r', 'p', 'f') AND oid >= 16384) LOOP
        number := number + 1;
        EXECUTE format('CREATE TABLE büro.%I (id integer PRIMARY KEY, up integer REFERENCES tree, t text DEFAULT %L, n numeric(%s, 2))',
            'rest ' || number, number, 5 + number % 10);
        EXECUTE format('INSERT INTO büro.%I SELECT g, g, repeat(%L, g), g / 7.0 FROM generate_series(1, %s) g',
            'rest ' || number, number, number % 20);
    END LOOP;
END
$rest$;
REFRESH MATERIALIZED VIEW filled;
REFRESH MATERIALIZED VIEW on_filled;
