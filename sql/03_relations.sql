
-- relations
--
-- A regclass may be a number that no relation has: it is checked by nobody, and
-- what is dropped meanwhile turns into one.  In a statement it would then stand
-- as a number, where a name is due.

CREATE FUNCTION relation_name(relation regclass)
RETURNS text
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    IF relation IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'relation'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT format('%I.%I', n.nspname, c.relname) INTO name
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relation with OID % does not exist', relation::oid
            USING ERRCODE = 'undefined_table';
    END IF;
    RETURN name;
END
$$;

COMMENT ON FUNCTION relation_name(regclass)
    IS 'a relation as it is named in a statement, with its schema and quoted, whatever search_path is; errors: 22004 NULL, 42P01 no such relation';
