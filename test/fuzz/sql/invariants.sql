-- What must hold however hostile the statements were: a row for each violation
\set ON_ERROR_STOP on
CREATE FUNCTION pg_temp.orphans() RETURNS TABLE (problem text) LANGUAGE plpgsql AS $$
DECLARE
    item record;
    n bigint;
BEGIN
    -- the engines write past foreign keys and checks
    FOR item IN
        SELECT c.conname, c.conrelid::regclass AS child, c.confrelid::regclass AS parent,
               string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ') AS same,
               string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ') AS given
          FROM pg_constraint c, unnest(c.conkey, c.confkey) AS k (child_column, parent_column), pg_attribute a, pg_attribute b
         WHERE c.contype = 'f' AND c.connamespace = 'fx'::regnamespace
           AND a.attrelid = c.conrelid AND a.attnum = child_column AND b.attrelid = c.confrelid AND b.attnum = parent_column
         GROUP BY 1, 2, 3
    LOOP
        EXECUTE format('SELECT count(*) FROM %s AS c WHERE %s AND NOT EXISTS (SELECT FROM %s AS p WHERE %s)', item.child, item.given, item.parent, item.same) INTO n;
        IF n > 0 THEN
            problem := format('%s rows of %s break %s', n, item.child, item.conname);
            RETURN NEXT;
        END IF;
    END LOOP;
    FOR item IN
        SELECT conname, conrelid::regclass AS relation, pg_get_expr(conbin, conrelid) AS condition
          FROM pg_constraint WHERE contype = 'c' AND connamespace = 'fx'::regnamespace AND conrelid <> 0
    LOOP
        EXECUTE format('SELECT count(*) FROM %s WHERE NOT (%s)', item.relation, item.condition) INTO n;
        IF n > 0 THEN
            problem := format('%s rows of %s break %s', n, item.relation, item.conname);
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
CREATE FUNCTION pg_temp.broken_indexes() RETURNS TABLE (problem text) LANGUAGE plpgsql AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT c.oid, c.oid::regclass AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
         WHERE c.relnamespace = 'fx'::regnamespace AND a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid
    LOOP
        BEGIN
            PERFORM public.bt_index_parent_check(item.oid, true);
        EXCEPTION WHEN OTHERS THEN
            problem := format('%s: %s', item.name, SQLERRM);
            RETURN NEXT;
        END;
    END LOOP;
END
$$;

SET search_path = pg_catalog;
CALL fx.seal_audit();
SELECT 'positions: ' || v::text FROM fx.verify_positions() AS v LIMIT 20;
SELECT 'audit: ' || v::text FROM fx.verify_audit() AS v WHERE v.kind <> 'unsealed' LIMIT 20;
SELECT 'constraints: ' || problem FROM pg_temp.orphans();
SELECT 'indexes: ' || problem FROM pg_temp.broken_indexes();
SELECT 'lock left: ' || l::text FROM pg_locks AS l WHERE pid <> pg_backend_pid() AND locktype IN ('advisory', 'relation') AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid AND backend_type ~ 'worker|autovacuum|walsender|launcher');
SELECT 'prepared transaction left: ' || gid FROM pg_prepared_xacts;
SELECT 'temporary file left: ' || name FROM pg_ls_tmpdir();
