//! What a database's owner, who is no superuser, makes of types of his own: their
//! casts, operators and aggregates, and functions and aggregates of the server's
//! names that fit our arguments better than those of "any". None is called with the
//! rights of the superuser who runs kluis, on any major.
//!
//! A base type, whose output function pg_dump calls for each value, and a class of
//! operators, which decides what is equal where nobody names an operator, can be
//! made by a superuser only; that is checked here, too.

use std::fs;
use std::path::Path;

use crate::support;
use crate::support::Cluster;
use crate::support::house::House;
use crate::support::majors;
use crate::support::soak::is_soak;

/// `FILE`: what a superuser's call is told to. Others cannot write there, and go on.
const PLANTED: &str = r#"
SET ROLE mallory;
CREATE SCHEMA evil;
CREATE FUNCTION evil.called(what text) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN
  EXECUTE pg_catalog.format('COPY (SELECT %L) TO PROGRAM %L', what, 'cat >> FILE');
  EXCEPTION WHEN OTHERS THEN END $f$;
CREATE TYPE public.pair AS (a int, b text);
CREATE TYPE public.mood AS ENUM ('sad', 'well');
CREATE DOMAIN public.line AS text;
CREATE FUNCTION evil.difference(text, text) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS
  $f$ BEGIN PERFORM evil.called('subtype_diff'); RETURN 1; END $f$;
CREATE TYPE public.span AS RANGE (SUBTYPE = text, SUBTYPE_DIFF = evil.difference);
CREATE TABLE public.t (i serial, p public.pair, m public.mood, l public.line, s public.span);
INSERT INTO public.t (p, m, l, s) SELECT (n, 'x')::public.pair, 'well', 'y', '[a,b)'
  FROM generate_series(1, 3) AS n;
SET search_path = pg_catalog, pg_temp;
DO $do$ DECLARE own text; other text; name text; n int; BEGIN
  FOREACH own IN ARRAY ARRAY['public.pair', 'public.mood', 'public.span', 'public.t'] LOOP
    FOREACH other IN ARRAY ARRAY['text', 'json', 'name', 'oid', 'int8', 'bool', 'regclass'] LOOP
      name := 'evil.' || quote_ident(own || ' as ' || other);
      EXECUTE format('CREATE FUNCTION %s(%s) RETURNS %s LANGUAGE plpgsql AS %L', name, own, other,
        'BEGIN PERFORM evil.called(''cast from own''); RETURN NULL; END');
      EXECUTE format('CREATE CAST (%s AS %s) WITH FUNCTION %s(%s) AS IMPLICIT', own, other, name, own);
      name := 'evil.' || quote_ident(other || ' as ' || own);
      EXECUTE format('CREATE FUNCTION %s(%s) RETURNS %s LANGUAGE plpgsql AS %L', name, other, own,
        'BEGIN PERFORM evil.called(''cast to own''); RETURN NULL; END');
      EXECUTE format('CREATE CAST (%s AS %s) WITH FUNCTION %s(%s) AS IMPLICIT', other, own, name, other);
    END LOOP;
    FOREACH other IN ARRAY ARRAY['=', '<>', '<', '>', '~', '||'] LOOP
      name := 'evil.' || quote_ident(own || other);
      EXECUTE format('CREATE FUNCTION %s(%s, %s) RETURNS boolean LANGUAGE plpgsql AS %L', name, own, own,
        'BEGIN PERFORM evil.called(''operator''); RETURN true; END');
      EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %s)',
        other, own, own, name);
    END LOOP;
  END LOOP;
  -- Of "any" in pg_catalog: these fit better.
  FOREACH own IN ARRAY ARRAY['text', 'name', 'json', 'int8', 'bool'] LOOP
    FOREACH name IN ARRAY ARRAY['to_json', 'format', 'json_build_object', 'quote_ident', 'coalesce',
        'count', 'row_security_active', 'has_table_privilege'] LOOP
      FOR n IN 1..4 LOOP
        EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', name,
          array_to_string(array_fill(own, ARRAY[n]), ', '), CASE name WHEN 'format' THEN 'text' ELSE 'json' END,
          format('BEGIN PERFORM evil.called(%L); RETURN NULL; END', name));
      END LOOP;
    END LOOP;
  END LOOP;
  -- Aggregates: the state tells of each row.
  CREATE FUNCTION evil.state(int8) RETURNS int8 LANGUAGE plpgsql AS
    $f$ BEGIN PERFORM evil.called('count(*)'); RETURN $1 + 1; END $f$;
  CREATE AGGREGATE evil.count(*) (SFUNC = evil.state, STYPE = int8, INITCOND = '0');
  FOREACH own IN ARRAY ARRAY['text', 'name', 'json', 'int8', 'bool'] LOOP
    EXECUTE format('CREATE FUNCTION evil.state(json, %s) RETURNS json LANGUAGE plpgsql AS %L', own,
      'BEGIN PERFORM evil.called(''aggregate''); RETURN $1; END');
    FOREACH name IN ARRAY ARRAY['json_agg', 'bool_and', 'string_agg', 'array_agg', 'max', 'min'] LOOP
      EXECUTE format('CREATE AGGREGATE public.%I(%s) (SFUNC = evil.state, STYPE = json, INITCOND = ''[]'')',
        name, own);
    END LOOP;
  END LOOP;
END $do$;
RESET ROLE;
ALTER DATABASE shop SET search_path = evil, public, pg_catalog;
"#;

/// What the owner cannot make.
const REFUSED: &[&str] = &[
    "CREATE TYPE public.base; CREATE FUNCTION public.out(public.base) RETURNS cstring
       LANGUAGE internal AS 'textout'",
    "CREATE TYPE public.base (INPUT = textin, OUTPUT = textout)",
    "CREATE OPERATOR CLASS public.class DEFAULT FOR TYPE public.pair USING btree AS
       OPERATOR 3 public.= (public.pair, public.pair)",
    "CREATE CAST (text AS int4) WITH INOUT AS IMPLICIT",
    "CREATE FUNCTION pg_catalog.count(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
];

fn called(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn nothing_is_called(major: u32) {
    let Some(cluster) = Cluster::of_major(major) else {
        return;
    };
    let open = support::open_directory(0o777);
    let file = open.path().join("calls");
    cluster.psql("postgres", "CREATE ROLE mallory LOGIN");
    cluster.psql("postgres", "CREATE DATABASE shop OWNER mallory");
    cluster.psql("shop", "ALTER SCHEMA public OWNER TO mallory");
    cluster.psql(
        "shop",
        &PLANTED.replace("FILE", &file.display().to_string()),
    );
    for sql in REFUSED {
        let wrapped = format!(
            "SET ROLE mallory; DO $do$ BEGIN EXECUTE $x${sql}$x$; RAISE EXCEPTION 'KL999'; EXCEPTION
             WHEN insufficient_privilege OR invalid_object_definition THEN END $do$"
        );
        cluster.psql("shop", &wrapped);
    }
    // They are called where a superuser takes the path that he is given.
    cluster.psql("shop", "SELECT count(*) FROM pg_class WHERE relname = 't'");
    cluster.psql("shop", "SELECT json_agg(relname) FROM pg_class");
    let told = called(&file);
    assert!(told.contains("count(*)"), "{major}: {told}");
    assert!(told.contains("aggregate"), "{major}: {told}");
    fs::remove_file(&file).unwrap();
    let mut house = House::new();
    house.set("DATABASE_URL", &cluster.url("shop"));
    let bin = majors::programs(major).unwrap();
    let config = format!("[database]\nclient_bin_dir = \"{}\"\n", bin.display());
    fs::write(house.path("kluis.toml"), config).unwrap();
    for arguments in [
        &["backup", "db", "shop", "--format", "custom"][..],
        &["backup", "db", "--all", "--globals"],
        &["restore", "latest:shop", "--into", "copy"],
        &["restore", "latest:shop", "--into", "part", "-t", "public.t"],
        &["restore", "latest:shop", "--replace", "--yes"],
        &["restore", "latest:shop", "--replace", "--in-place", "--yes"],
    ] {
        let output = house.kluis().args(arguments).output().unwrap();
        let told = called(&file);
        assert_eq!(told, "", "{major}: {arguments:?}: {output:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    }
}

#[test]
fn no_code_of_an_owners_types_runs_with_our_rights() {
    let majors = match is_soak() {
        true => &[14, 15, 16, 17, 18][..],
        false => &[14, 18],
    };
    for major in majors.iter().copied() {
        nothing_is_called(major);
    }
}
