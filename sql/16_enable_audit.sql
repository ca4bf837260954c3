
-- auditing of other tables
--
-- Whoever owns a table and may execute these functions and the trigger
-- function has it audited; nobody but the owner of the extension may, unless
-- he grants it.

-- The name of a trigger of the table that fits into a name: that of the
-- platform's own tables, with the table's cut where it is too long.
CREATE FUNCTION audit_trigger_name("table" regclass, suffix text)
RETURNS name
LANGUAGE sql
STABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ('audit_' || left(c.relname, n) || suffix)::name
      FROM pg_class c, generate_series(63, 1, -1) AS n
     WHERE c.oid = $1 AND octet_length('audit_' || left(c.relname, n) || suffix) <= 63
     ORDER BY n DESC
     LIMIT 1
$$;

REVOKE ALL ON FUNCTION audit_trigger_name(regclass, text) FROM PUBLIC;

COMMENT ON FUNCTION audit_trigger_name(regclass, text)
    IS 'audit_<table><suffix>, cut to the length of a name';

CREATE FUNCTION enable_audit("table" regclass, redact text[] DEFAULT '{}', ignore text[] DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target pg_class;
    argument text;
    missing text;
    arguments text;
BEGIN
    IF "table" IS NULL OR redact IS NULL OR ignore IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN "table" IS NULL THEN 'table' WHEN redact IS NULL THEN 'redact' ELSE 'ignore' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT c.* INTO target FROM pg_class c WHERE c.oid = "table";
    IF NOT FOUND OR target.relkind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '"%" is not a table', coalesce(target.relname, "table"::text)
            USING ERRCODE = 'wrong_object_type';
    END IF;
    IF "table" IN (to_regclass('fx.audit_log'), to_regclass('fx.audit_key')) THEN
        RAISE EXCEPTION 'table "%" cannot be audited', target.relname
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    FOREACH argument IN ARRAY ARRAY['redact', 'ignore'] LOOP
        SELECT n INTO missing
          FROM unnest(CASE argument WHEN 'redact' THEN redact ELSE ignore END) WITH ORDINALITY AS u (n, place)
         WHERE NOT EXISTS (SELECT FROM pg_attribute a
                            WHERE a.attrelid = "table" AND a.attname = n
                              AND a.attnum > 0 AND NOT a.attisdropped)
         ORDER BY place
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'column "%" of table "%" in argument "%" does not exist',
                    missing, target.relname, argument
                USING ERRCODE = 'undefined_column';
        END IF;
    END LOOP;

    SELECT string_agg(quote_literal(a), ', ' ORDER BY place)
      INTO arguments
      FROM (SELECT 'redact:' || n, place FROM unnest(redact) WITH ORDINALITY AS u (n, place)
            UNION ALL
            SELECT 'ignore:' || n, cardinality(redact) + place FROM unnest(ignore) WITH ORDINALITY AS u (n, place))
           AS u (a, place);

    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s
                        FOR EACH ROW EXECUTE FUNCTION fx.audit_trigger_function(%s)',
                   fx.audit_trigger_name("table", '_trigger'), "table", arguments);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER TRUNCATE ON %s
                        FOR EACH STATEMENT EXECUTE FUNCTION fx.audit_trigger_function()',
                   fx.audit_trigger_name("table", '_truncate_trigger'), "table");
END
$$;

REVOKE ALL ON FUNCTION enable_audit(regclass, text[], text[]) FROM PUBLIC;

COMMENT ON FUNCTION enable_audit(regclass, text[], text[])
    IS 'records the changes of a table in fx.audit_log from now on, also of one that is partitioned or has no primary key; redact: columns whose values are not shown, besides password_hash, two_factor_secret and api_key_hash; ignore: columns whose change alone is not recorded, besides updated_at; called again, it replaces both lists; needs the privilege TRIGGER on the table; errors: 22004 null, 42809 not a table, 22023 the log itself, 42703 a column that is not there';

CREATE FUNCTION disable_audit("table" regclass)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
BEGIN
    IF "table" IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'table'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF "table" = to_regclass('fx.audit_log') THEN
        RAISE EXCEPTION 'table "%" is not audited', 'audit_log'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    FOR item IN
        SELECT t.tgname FROM pg_trigger t
         WHERE t.tgrelid = "table" AND NOT t.tgisinternal AND t.tgparentid = 0
           AND t.tgfoid = 'fx.audit_trigger_function()'::regprocedure
         ORDER BY t.tgname
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', item.tgname, "table");
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION disable_audit(regclass) FROM PUBLIC;

COMMENT ON FUNCTION disable_audit(regclass)
    IS 'records changes of a table no longer, of one of the platform until its migrations are attached again; entries stay; does nothing where a table is not audited; needs the table''s ownership; errors: 22004 null, 22023 the log itself';
