-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION fxplatform CASCADE" to load this file. \quit

-- Nothing here is looked up anywhere but in pg_catalog and fx.
SET LOCAL search_path TO @extschema@, pg_temp;
