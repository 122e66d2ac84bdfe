--
-- PostgreSQL database dump
--

\restrict XpJcGFObTQI3Lcn73jIhzVuBr40a6Lhv2JuFjI6bXm3uXM0egVZCRarLDn8DBVd

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

-- Started on 2026-11-21 11:28:22 UTC

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
-- TOC entry 219 (class 1259 OID 16531)
-- Name: parent; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.parent (
    a integer
);


ALTER TABLE public.parent OWNER TO postgres;

--
-- TOC entry 220 (class 1259 OID 16534)
-- Name: child; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.child (
    b text
)
INHERITS (public.parent);


ALTER TABLE public.child OWNER TO postgres;

--
-- TOC entry 215 (class 1259 OID 16515)
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
-- TOC entry 216 (class 1259 OID 16519)
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
-- TOC entry 217 (class 1259 OID 16523)
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
-- TOC entry 214 (class 1259 OID 16514)
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
-- TOC entry 218 (class 1259 OID 16527)
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
-- TOC entry 222 (class 1259 OID 16543)
-- Name: mv; Type: MATERIALIZED VIEW; Schema: public; Owner: postgres
--

CREATE MATERIALIZED VIEW public.mv AS
 SELECT count(*) AS count
   FROM public.events
  WITH NO DATA;


ALTER TABLE public.mv OWNER TO postgres;

--
-- TOC entry 221 (class 1259 OID 16539)
-- Name: onlygen; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.onlygen (
    a integer GENERATED ALWAYS AS (1) STORED
);


ALTER TABLE public.onlygen OWNER TO postgres;

--
-- TOC entry 3225 (class 0 OID 0)
-- Name: events_2024; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');


--
-- TOC entry 3226 (class 0 OID 0)
-- Name: events_2025; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');


--
-- TOC entry 3227 (class 0 OID 0)
-- Name: events_rest; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_rest DEFAULT;


--
-- TOC entry 3381 (class 0 OID 16534)
-- Dependencies: 220
-- Data for Name: child; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.child (a, b) FROM stdin;
2	x
3	it's (ok); "fine"
\.


--
-- TOC entry 3377 (class 0 OID 16519)
-- Dependencies: 216
-- Data for Name: events_2024; Type: TABLE DATA; Schema: public; Owner: postgres
--

-- load via partition root public.events

COPY public.events (id, at, v) FROM stdin;
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
-- TOC entry 3378 (class 0 OID 16523)
-- Dependencies: 217
-- Data for Name: events_2025; Type: TABLE DATA; Schema: public; Owner: postgres
--

-- load via partition root public.events

COPY public.events (id, at, v) FROM stdin;
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
-- TOC entry 3379 (class 0 OID 16527)
-- Dependencies: 218
-- Data for Name: events_rest; Type: TABLE DATA; Schema: public; Owner: postgres
--

-- load via partition root public.events

COPY public.events (id, at, v) FROM stdin;
21	2026-01-22	-20
\.


--
-- TOC entry 3382 (class 0 OID 16539)
-- Dependencies: 221
-- Data for Name: onlygen; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.onlygen  FROM stdin;

\.


--
-- TOC entry 3380 (class 0 OID 16531)
-- Dependencies: 219
-- Data for Name: parent; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.parent (a) FROM stdin;
1
\.


--
-- TOC entry 3389 (class 0 OID 0)
-- Dependencies: 214
-- Name: events_id_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.events_id_seq', 21, true);


--
-- TOC entry 3383 (class 0 OID 16543)
-- Dependencies: 222 3385
-- Name: mv; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: postgres
--

REFRESH MATERIALIZED VIEW public.mv;


-- Completed on 2026-11-21 11:28:22 UTC

--
-- PostgreSQL database dump complete
--

\unrestrict XpJcGFObTQI3Lcn73jIhzVuBr40a6Lhv2JuFjI6bXm3uXM0egVZCRarLDn8DBVd

