-- Empties the database of everything that a dump brings back, as template0 has
-- it. Part of a transaction: what cannot be dropped undoes all of it.
SET LOCAL lock_timeout = '60s';
SET LOCAL client_min_messages = error;
DO $kluis$
DECLARE
  steps text[];
  step text;
  first_user_oid CONSTANT oid := 16384;
  public_owner name;
BEGIN
  -- Event triggers first, or they would see the rest go. What belongs to an
  -- extension goes with it.
  -- What belongs to another role's extension stays with it.
  WITH kept AS (SELECT m.classid, m.objid FROM pg_depend m JOIN pg_extension e
      ON e.oid = m.refobjid AND m.refclassid = 'pg_extension'::regclass
     WHERE m.deptype = 'e' AND NOT pg_has_role(e.extowner, 'USAGE'))
  SELECT array_agg(sql ORDER BY turn) INTO steps FROM (
    SELECT 1 AS turn, format('DROP EVENT TRIGGER IF EXISTS %I', evtname) AS sql
      FROM pg_event_trigger t WHERE NOT EXISTS (SELECT FROM pg_depend
        WHERE classid = 'pg_event_trigger'::regclass AND objid = t.oid AND deptype = 'e')
    UNION ALL SELECT 2, format('DROP PUBLICATION IF EXISTS %I', pubname) FROM pg_publication
    UNION ALL SELECT 3, format('DROP EXTENSION IF EXISTS %I CASCADE', extname)
      FROM pg_extension WHERE oid >= first_user_oid AND pg_has_role(extowner, 'USAGE')
    UNION ALL SELECT 4, format('DROP SCHEMA IF EXISTS %I CASCADE', nspname)
      FROM pg_namespace WHERE oid >= first_user_oid
        AND nspname <> 'public' AND nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT 5, format('DROP %s IF EXISTS %s CASCADE', CASE i.type
          WHEN 'composite type' THEN 'TYPE' WHEN 'statistics object' THEN 'STATISTICS'
          ELSE i.type END, i.identity)
      FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) AS i
      WHERE d.refclassid = 'pg_namespace'::regclass
        AND d.refobjid = (SELECT oid FROM pg_namespace WHERE nspname = 'public')
        AND d.deptype = 'n' AND i.type NOT IN ('default acl', 'extension', 'index')
        AND (d.classid, d.objid) NOT IN (SELECT * FROM kept)
        AND NOT EXISTS (SELECT FROM pg_type m WHERE d.classid = 'pg_type'::regclass
          AND m.oid = d.objid AND m.typtype = 'm')
    UNION ALL SELECT 6, format('DROP CAST IF EXISTS (%s AS %s)',
        format_type(castsource, NULL), format_type(casttarget, NULL))
      FROM pg_cast WHERE oid >= first_user_oid
        AND ('pg_cast'::regclass, oid) NOT IN (SELECT * FROM kept)
    UNION ALL SELECT 7, format('DROP FOREIGN DATA WRAPPER IF EXISTS %I CASCADE', fdwname)
      FROM pg_foreign_data_wrapper WHERE oid >= first_user_oid
        AND ('pg_foreign_data_wrapper'::regclass, oid) NOT IN (SELECT * FROM kept)
    UNION ALL SELECT 8, format('DROP ACCESS METHOD IF EXISTS %I CASCADE', amname)
      FROM pg_am WHERE oid >= first_user_oid
        AND ('pg_am'::regclass, oid) NOT IN (SELECT * FROM kept)
    UNION ALL SELECT 9, format('DROP LANGUAGE IF EXISTS %I CASCADE', lanname)
      FROM pg_language WHERE oid >= first_user_oid
        AND ('pg_language'::regclass, oid) NOT IN (SELECT * FROM kept)
    UNION ALL SELECT 10, format('SELECT lo_unlink(%s)', oid) FROM pg_largeobject_metadata
  ) AS everything;
  FOREACH step IN ARRAY coalesce(steps, '{}') LOOP
    EXECUTE step;
  END LOOP;
  -- The schema public stays, with the rights that a new database gives it.
  SELECT pg_get_userbyid(nspowner) INTO public_owner FROM pg_namespace
   WHERE nspname = 'public' AND pg_has_role(nspowner, 'USAGE');
  IF public_owner IS NOT NULL THEN
    FOR step IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
          ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_namespace n, aclexplode(n.nspacl) AS a WHERE n.nspname = 'public' LOOP
      EXECUTE format('REVOKE ALL ON SCHEMA public FROM %s CASCADE', step);
    END LOOP;
    EXECUTE format('GRANT ALL ON SCHEMA public TO %I', public_owner);
    EXECUTE CASE WHEN current_setting('server_version_num')::int >= 150000
      THEN 'GRANT USAGE ON SCHEMA public TO PUBLIC'
      ELSE 'GRANT ALL ON SCHEMA public TO PUBLIC' END;
    COMMENT ON SCHEMA public IS 'standard public schema';
  END IF;
END
$kluis$;
