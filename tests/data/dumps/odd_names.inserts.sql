--
-- PostgreSQL database dump
--

\restrict 0mqckrcOQHnsryVySpXkBryjfqV3lr2ap3rSFhNz4MgWxrbLrlOpT6cSQT6ecsQ

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: Ünïcode.schema; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "Ünïcode.schema";


ALTER SCHEMA "Ünïcode.schema" OWNER TO postgres;

--
-- Name: back\slash; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public."back\slash"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public."back\slash" OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: fake; Type: FAKE; Schema: public; Owner: x; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."fake; Type: FAKE; Schema: public; Owner: x" (
    a integer
);


ALTER TABLE public."fake; Type: FAKE; Schema: public; Owner: x" OWNER TO postgres;

--
-- Name: fresh; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public.fresh
    START WITH 5
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.fresh OWNER TO postgres;

--
-- Name: has "quotes"; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."has ""quotes""" (
    a integer
);


ALTER TABLE public."has ""quotes""" OWNER TO postgres;

--
-- Name: new line; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."new
line" (
    "col
FROM stdin;
x" integer,
    b text
);


ALTER TABLE public."new
line" OWNER TO postgres;

--
-- Name: nocols; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.nocols (
);


ALTER TABLE public.nocols OWNER TO postgres;

--
-- Name: norows; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.norows (
    a integer,
    b text
);


ALTER TABLE public.norows OWNER TO postgres;

--
-- Name: seq's "odd" name; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public."seq's ""odd""
name"
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public."seq's ""odd""
name" OWNER TO postgres;

--
-- Name: x (a) FROM stdin;; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."x (a) FROM stdin;" (
    a text
);


ALTER TABLE public."x (a) FROM stdin;" OWNER TO postgres;

--
-- Name: 日本語; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."日本語" (
    a text
);


ALTER TABLE public."日本語" OWNER TO postgres;

--
-- Name: with.dot; Type: TABLE; Schema: Ünïcode.schema; Owner: postgres
--

CREATE TABLE "Ünïcode.schema"."with.dot" (
    id integer,
    "col "" quote" text
);


ALTER TABLE "Ünïcode.schema"."with.dot" OWNER TO postgres;

--
-- Data for Name: fake; Type: FAKE; Schema: public; Owner: x; Type: TABLE DATA; Schema: public; Owner: postgres
--



--
-- Data for Name: has "quotes"; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public."has ""quotes""" VALUES (1);
INSERT INTO public."has ""quotes""" VALUES (2);
INSERT INTO public."has ""quotes""" VALUES (3);
INSERT INTO public."has ""quotes""" VALUES (4);
INSERT INTO public."has ""quotes""" VALUES (5);
INSERT INTO public."has ""quotes""" VALUES (6);
INSERT INTO public."has ""quotes""" VALUES (7);
INSERT INTO public."has ""quotes""" VALUES (8);
INSERT INTO public."has ""quotes""" VALUES (9);
INSERT INTO public."has ""quotes""" VALUES (10);


--
-- Data for Name: new line; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public."new
line" VALUES (1, 'back\slash');
INSERT INTO public."new
line" VALUES (2, '\.');
INSERT INTO public."new
line" VALUES (3, 'multi
line
');
INSERT INTO public."new
line" VALUES (4, '');


--
-- Data for Name: nocols; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.nocols DEFAULT VALUES;
INSERT INTO public.nocols DEFAULT VALUES;


--
-- Data for Name: norows; Type: TABLE DATA; Schema: public; Owner: postgres
--



--
-- Data for Name: x (a) FROM stdin;; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public."x (a) FROM stdin;" VALUES ('-- PostgreSQL database dump complete');
INSERT INTO public."x (a) FROM stdin;" VALUES ('COPY a FROM stdin;');


--
-- Data for Name: 日本語; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public."日本語" VALUES ('さくら');
INSERT INTO public."日本語" VALUES ('さくら');


--
-- Data for Name: with.dot; Type: TABLE DATA; Schema: Ünïcode.schema; Owner: postgres
--

INSERT INTO "Ünïcode.schema"."with.dot" VALUES (1, 'a');
INSERT INTO "Ünïcode.schema"."with.dot" VALUES (2, 'tab	here');
INSERT INTO "Ünïcode.schema"."with.dot" VALUES (3, NULL);


--
-- Name: back\slash; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public."back\slash"', 1, false);


--
-- Name: fresh; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.fresh', 5, false);


--
-- Name: seq's "odd" name; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public."seq''s ""odd""
name"', 77, true);


--
-- PostgreSQL database dump complete
--

\unrestrict 0mqckrcOQHnsryVySpXkBryjfqV3lr2ap3rSFhNz4MgWxrbLrlOpT6cSQT6ecsQ

