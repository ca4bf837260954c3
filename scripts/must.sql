-- must.sql
--	What the probes of a platform begin with (\ir): nothing is printed but errors,
--	and the first of them ends the script.
\set ON_ERROR_STOP on
\set QUIET on
\o /dev/null
SET search_path = pg_catalog;
SET TimeZone = 'UTC';
SET client_min_messages = warning;

CREATE FUNCTION pg_temp.must(what text, holds boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF holds IS NOT TRUE THEN
        RAISE EXCEPTION 'not so: %', what;
    END IF;
END
$$;
