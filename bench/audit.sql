--
-- What auditing costs.  Called by bench.sql.
--
\echo '==> what auditing adds to a bulk UPDATE of 100,000 strategies, and to single inserts'
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
-- the specification's, word for word but for the names
CREATE TABLE spec_audit_log (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID REFERENCES fx.users(id) ON DELETE SET NULL,
    action VARCHAR(100) NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id VARCHAR(100),
    old_values JSONB,
    new_values JSONB,
    ip_address INET,
    user_agent TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);
CREATE INDEX ON spec_audit_log(user_id);
CREATE INDEX ON spec_audit_log(action);
CREATE INDEX ON spec_audit_log(resource_type);
CREATE INDEX ON spec_audit_log(created_at);
CREATE INDEX ON spec_audit_log(resource_type, resource_id);
CREATE FUNCTION spec_audit_trigger_function() RETURNS TRIGGER AS $$
BEGIN
    INSERT INTO spec_audit_log (user_id, action, resource_type, resource_id, old_values, new_values)
    VALUES (
        COALESCE(current_setting('app.current_user_id', true)::UUID, NULL),
        TG_OP,
        TG_TABLE_NAME,
        COALESCE(NEW.id, OLD.id)::TEXT,
        CASE WHEN TG_OP = 'DELETE' THEN row_to_json(OLD) ELSE NULL END,
        CASE WHEN TG_OP IN ('INSERT', 'UPDATE') THEN row_to_json(NEW) ELSE NULL END
    );
    RETURN COALESCE(NEW, OLD);
END;
$$ LANGUAGE plpgsql;

-- the shape of supa_audit: both images, and each row known by a uuid of its table and key
CREATE TABLE record_version (
    id bigserial PRIMARY KEY,
    record_id uuid,
    old_record_id uuid,
    op varchar(8) NOT NULL,
    ts timestamptz NOT NULL DEFAULT now(),
    table_oid oid NOT NULL,
    table_schema name NOT NULL,
    table_name name NOT NULL,
    record jsonb,
    old_record jsonb,
    CHECK (coalesce(record_id, old_record_id) IS NOT NULL OR op = 'TRUNCATE'),
    CHECK (op IN ('INSERT', 'UPDATE') = (record_id IS NOT NULL)),
    CHECK (op IN ('INSERT', 'UPDATE') = (record IS NOT NULL)),
    CHECK (op IN ('UPDATE', 'DELETE') = (old_record_id IS NOT NULL)),
    CHECK (op IN ('UPDATE', 'DELETE') = (old_record IS NOT NULL))
);
CREATE INDEX ON record_version (record_id) WHERE record_id IS NOT NULL;
CREATE INDEX ON record_version (old_record_id) WHERE old_record_id IS NOT NULL;
CREATE INDEX ON record_version USING brin (ts);
CREATE INDEX ON record_version (table_oid);
CREATE FUNCTION key_columns(entity oid) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(array_agg(a.attname::text ORDER BY a.attname), array[]::text[])
      FROM pg_index i JOIN pg_attribute a ON i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey)
     WHERE i.indrelid = $1 AND i.indisprimary
$$;
CREATE FUNCTION record_uuid(entity oid, keys text[], record jsonb) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN record IS NULL THEN NULL
        WHEN keys = array[]::text[] THEN public.uuid_generate_v4()
        ELSE (SELECT public.uuid_generate_v5('fd62bc3d-8d6e-43c2-919c-802ba3762271',
                     (jsonb_build_array(to_jsonb($1)) || jsonb_agg($3 ->> k))::text) FROM unnest($2) AS x (k))
    END
$$;
CREATE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    keys text[] = key_columns(TG_RELID);
    record jsonb = to_jsonb(NEW);
    record_id uuid = record_uuid(TG_RELID, keys, record);
    old_record jsonb = to_jsonb(OLD);
    old_record_id uuid = record_uuid(TG_RELID, keys, old_record);
BEGIN
    INSERT INTO record_version (record_id, old_record_id, op, table_oid, table_schema, table_name, record, old_record)
    SELECT record_id, old_record_id, TG_OP, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, record, old_record;
    RETURN coalesce(NEW, OLD);
END;
$$;

CREATE TABLE audited (what text, part text, turn integer, ms numeric);
CREATE PROCEDURE audit_by(what text, tab text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE fx.%I %s TRIGGER audit_%1$s_trigger', tab,
                   CASE WHEN what LIKE 'fx%' THEN 'ENABLE' ELSE 'DISABLE' END);
    EXECUTE format('DROP TRIGGER IF EXISTS audit_by_another ON fx.%I', tab);
    IF what LIKE 'spec%' OR what LIKE 'supa%' THEN
        EXECUTE format('CREATE TRIGGER audit_by_another AFTER INSERT OR UPDATE OR DELETE ON fx.%I FOR EACH ROW EXECUTE FUNCTION %I()',
                       tab, CASE WHEN what LIKE 'spec%' THEN 'spec_audit_trigger_function' ELSE 'record_change' END);
    END IF;
END
$$;

SET app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'actor@example.com', 'actor', 'x');
CALL audit_by('none', 'strategies');
-- room for the new version of a row on the page of the old: what the table's own
-- indexes cost would hide the difference
ALTER TABLE fx.strategies SET (fillfactor = 40);
INSERT INTO fx.strategies (user_id, name, type, description, config, tags)
SELECT '00000000-0000-4000-8000-0000000000a1', 'strategy ' || n, 'manual', 'follows the trend',
       jsonb_build_object('fast', n % 50, 'slow', n % 200, 'symbols', '["EURUSD", "GBPUSD"]'::jsonb, 'risk', 0.01), '{trend,fx}'
  FROM generate_series(1, 100000) AS n;
CREATE PROCEDURE measure_bulk(what text, turn integer) LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz;
BEGIN
    CALL audit_by(what, 'strategies');
    TRUNCATE fx.audit_log, spec_audit_log, record_version;
    COMMIT;
    CHECKPOINT;
    begun := clock_timestamp();
    UPDATE fx.strategies SET version = version + 1;
    COMMIT;
    INSERT INTO audited VALUES (what, 'bulk', turn, 1000 * extract(epoch FROM clock_timestamp() - begun));
END
$$;
-- four rounds in turn, so that none has the warmer machine; the first warms up
SELECT format('VACUUM fx.strategies'), format('CALL measure_bulk(%L, %s)', what, turn)
  FROM generate_series(0, 4) AS turn, (VALUES ('none'), ('fx.audit_trigger_function'), ('spec''s trigger'), ('supa_audit''s shape')) AS v (what)
 ORDER BY turn \gexec

-- Statements of a client, each a transaction that is durable, as in production;
-- many short blocks in turn, because one statement is short against what else a
-- machine does.
ALTER SYSTEM SET fsync = on;
SELECT pg_reload_conf() \g /dev/null
SELECT pg_sleep(1) \g /dev/null
SELECT unnest(ARRAY[format('CALL audit_by(%L, %L)', what, tab), format('INSERT INTO audited VALUES (%L, %L, %s, extract(epoch FROM clock_timestamp()))', what, tab, turn)]
              || array_fill(CASE tab
                     WHEN 'strategies' THEN $$INSERT INTO fx.strategies (user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000a1', 's', 'manual')$$
                     ELSE $$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 1000, 1.1)$$
                 END, ARRAY[500])
              || format('UPDATE audited SET ms = 1000 * (extract(epoch FROM clock_timestamp()) - ms) WHERE (what, part, turn) = (%L, %L, %s)', what, tab, turn))
  FROM (VALUES ('strategies'), ('trades')) AS t (tab), generate_series(0, 20) AS turn,
       (VALUES ('none'), ('fx.audit_trigger_function'), ('spec''s trigger'), ('supa_audit''s shape')) AS v (what)
 ORDER BY tab, turn \gexec
ALTER SYSTEM RESET fsync;
SELECT pg_reload_conf() \g /dev/null
CALL audit_by('fx', 'strategies');
CALL audit_by('fx', 'trades');

\echo '==> added to each row of the UPDATE; of_spec and of_supa are ratios of the time added'
WITH best AS (
    SELECT what, min(ms) AS ms FROM audited WHERE part = 'bulk' AND turn > 0 GROUP BY what
), added AS (
    SELECT what, ms, ms - (SELECT ms FROM best WHERE what = 'none') AS added FROM best
)
SELECT what, round(ms) AS ms, round(added / 100, 2) AS us_a_row_added,
       round(added / (SELECT added FROM added WHERE what LIKE 'spec%'), 3) AS of_spec,
       round(added / (SELECT added FROM added WHERE what LIKE 'supa%'), 3) AS of_supa
  FROM added ORDER BY ms;
\echo '==> single inserts a second, each a durable transaction; of_none is the ratio of rates'
WITH median AS (
    SELECT part, what, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric AS ms FROM audited WHERE part <> 'bulk' AND turn > 0 GROUP BY part, what
)
SELECT part AS "table", what, round(500 / ms * 1000) AS inserts_per_s,
       round((SELECT n.ms FROM median n WHERE n.part = m.part AND n.what = 'none') / ms, 2) AS of_none
  FROM median m ORDER BY 1, ms;
DROP TABLE spec_audit_log, record_version, audited;
ALTER TABLE fx.strategies RESET (fillfactor);
TRUNCATE fx.strategies, fx.trades, fx.audit_log CASCADE;
DELETE FROM fx.users;
TRUNCATE fx.audit_log;
RESET app.current_user_id;
