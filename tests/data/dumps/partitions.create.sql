--
-- PostgreSQL database dump
--

\restrict 5gPX5PddivilhWlWY6bNsz0f7jwlnvdinE0GmoBJDroYdEQiayuVcFRGgi5mAMo

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
-- Name: partitions; Type: DATABASE; Schema: -; Owner: postgres
--

CREATE DATABASE partitions WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8';


ALTER DATABASE partitions OWNER TO postgres;

\unrestrict 5gPX5PddivilhWlWY6bNsz0f7jwlnvdinE0GmoBJDroYdEQiayuVcFRGgi5mAMo
\connect partitions
\restrict 5gPX5PddivilhWlWY6bNsz0f7jwlnvdinE0GmoBJDroYdEQiayuVcFRGgi5mAMo

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

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: parent; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.parent (
    a integer
);


ALTER TABLE public.parent OWNER TO postgres;

--
-- Name: child; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.child (
    b text
)
INHERITS (public.parent);


ALTER TABLE public.child OWNER TO postgres;

--
-- Name: events; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.events (
    id bigint NOT NULL,
    at date NOT NULL,
    v integer,
    dbl integer GENERATED ALWAYS AS ((v * 2)) STORED
)
PARTITION BY RANGE (at);


ALTER TABLE public.events OWNER TO postgres;

--
-- Name: events_2024; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.events_2024 (
    id bigint NOT NULL,
    at date NOT NULL,
    v integer,
    dbl integer GENERATED ALWAYS AS ((v * 2)) STORED
);


ALTER TABLE public.events_2024 OWNER TO postgres;

--
-- Name: events_2025; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.events_2025 (
    id bigint NOT NULL,
    at date NOT NULL,
    v integer,
    dbl integer GENERATED ALWAYS AS ((v * 2)) STORED
);


ALTER TABLE public.events_2025 OWNER TO postgres;

--
-- Name: events_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: events_rest; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.events_rest (
    id bigint NOT NULL,
    at date NOT NULL,
    v integer,
    dbl integer GENERATED ALWAYS AS ((v * 2)) STORED
);


ALTER TABLE public.events_rest OWNER TO postgres;

--
-- Name: mv; Type: MATERIALIZED VIEW; Schema: public; Owner: postgres
--

CREATE MATERIALIZED VIEW public.mv AS
 SELECT count(*) AS count
   FROM public.events
  WITH NO DATA;


ALTER TABLE public.mv OWNER TO postgres;

--
-- Name: onlygen; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.onlygen (
    a integer GENERATED ALWAYS AS (1) STORED
);


ALTER TABLE public.onlygen OWNER TO postgres;

--
-- Name: events_2024; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');


--
-- Name: events_2025; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');


--
-- Name: events_rest; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_rest DEFAULT;


--
-- Data for Name: child; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.child (a, b) FROM stdin;
2	x
3	it's (ok); "fine"
\.


--
-- Data for Name: events_2024; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.events_2024 (id, at, v) FROM stdin;
1	2024-06-01	0
2	2024-07-01	1
3	2024-07-31	2
4	2024-08-30	3
5	2024-09-29	4
6	2024-10-29	-5
7	2024-11-28	6
8	2024-12-28	7
\.


--
-- Data for Name: events_2025; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.events_2025 (id, at, v) FROM stdin;
9	2025-01-27	8
10	2025-02-26	9
11	2025-03-28	-10
12	2025-04-27	11
13	2025-05-27	12
14	2025-06-26	13
15	2025-07-26	14
16	2025-08-25	-15
17	2025-09-24	16
18	2025-10-24	17
19	2025-11-23	18
20	2025-12-23	19
\.


--
-- Data for Name: events_rest; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.events_rest (id, at, v) FROM stdin;
21	2026-01-22	-20
\.


--
-- Data for Name: onlygen; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.onlygen  FROM stdin;

\.


--
-- Data for Name: parent; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.parent (a) FROM stdin;
1
\.


--
-- Name: events_id_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.events_id_seq', 21, true);


--
-- Name: mv; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: postgres
--

REFRESH MATERIALIZED VIEW public.mv;


--
-- PostgreSQL database dump complete
--

\unrestrict 5gPX5PddivilhWlWY6bNsz0f7jwlnvdinE0GmoBJDroYdEQiayuVcFRGgi5mAMo

