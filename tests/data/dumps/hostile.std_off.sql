--
-- PostgreSQL database dump
--

\restrict OCxUsG6vRep386tY2eb5KsgFtpD0NVDj27tDviuuWqhCFm0eNtiI2Lfc7jlz7Ec

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = off;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET escape_string_warning = off;
SET row_security = off;

--
-- Name: mood; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.mood AS ENUM (
    'sad',
    'o''k',
    '\\'
);


ALTER TYPE public.mood OWNER TO postgres;

--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f() RETURNS text
    LANGUAGE plpgsql
    AS $_X$
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
$_X$;


ALTER FUNCTION public.f() OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: t; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.t (
    a integer,
    b text DEFAULT '
COPY public.fake (a) FROM stdin;
1
\\.
'::text,
    c text
);


ALTER TABLE public.t OWNER TO postgres;

--
-- Name: TABLE t; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TABLE public.t IS '
--
-- PostgreSQL database dump complete
--
COPY public.t (a) FROM stdin;
INSERT INTO public.t VALUES (1);
\\! echo owned
';


--
-- Name: g(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.g(x integer) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.t (a)
   VALUES (1);
 INSERT INTO public.t (a, b)  SELECT
                 CASE
                     WHEN true THEN g.x
                     ELSE 2
                 END AS "case",
             ';';
END;


ALTER FUNCTION public.g(x integer) OWNER TO postgres;

--
-- Name: tr(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.tr() RETURNS trigger
    LANGUAGE plpgsql
    AS $$begin return new; end$$;


ALTER FUNCTION public.tr() OWNER TO postgres;

--
-- Name: types; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.types (
    a integer[],
    b jsonb,
    c bytea,
    d numeric,
    e timestamp with time zone,
    f boolean,
    g public.mood,
    h bit(3),
    i text[]
);


ALTER TABLE public.types OWNER TO postgres;

--
-- Name: v; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.v AS
 SELECT '
COPY public.t (a) FROM stdin;
'::text AS "q
COPY public.t (a) FROM stdin;
",
    'esc \\'' \\'::text AS e,
    '$$'::text AS d,
    (t.a - '-1'::integer) AS m
   FROM public.t;


ALTER TABLE public.v OWNER TO postgres;

--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.t (a, b, c) FROM stdin;
1	x\n\\.\n	--\n-- Name: f; Type: TABLE; Schema: s; Owner: o\n--\n
2	\nCOPY public.fake (a) FROM stdin;\n1\n\\.\n	a'b\\
\.


--
-- Data for Name: types; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.types (a, b, c, d, e, f, g, h, i) FROM stdin;
{1,2}	{"a": "(b)"}	\\xdeadbeef	NaN	2024-01-01 00:00:00+00	t	sad	101	{a'b,"c\\"d",NULL}
\.


--
-- Name: v r; Type: RULE; Schema: public; Owner: postgres
--

CREATE RULE r AS
    ON INSERT TO public.v DO INSTEAD ( INSERT INTO public.t (a)
  VALUES (new.m);
 INSERT INTO public.t (a)
  VALUES (2);
);


--
-- Name: t trg COPY x FROM stdin;; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER "trg
COPY x FROM stdin;" BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.tr();


--
-- PostgreSQL database dump complete
--

\unrestrict OCxUsG6vRep386tY2eb5KsgFtpD0NVDj27tDviuuWqhCFm0eNtiI2Lfc7jlz7Ec

