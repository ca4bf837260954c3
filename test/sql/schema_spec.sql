--
-- The schema is the specification's, by name
--
-- columns: what the specification says and is not there in that form
WITH spec (t, columns) AS (VALUES
    ('users', 'id uuid!,email varchar(255)!,username varchar(100)!,password_hash varchar(255)!,first_name varchar(100),last_name varchar(100),role varchar(50)=''user'',status varchar(20)=''active'',email_verified boolean=false,two_factor_enabled boolean=false,two_factor_secret varchar(32),api_key_hash varchar(255),preferences jsonb=''{}'',created_at timestamptz=now(),updated_at timestamptz=now(),last_login timestamptz,deleted_at timestamptz'),
    ('strategies', 'id uuid!,user_id uuid!,name varchar(255)!,description text,type varchar(50)!,status varchar(20)=''draft'',config jsonb!=''{}'',performance_metrics jsonb=''{}'',tags text[],version integer=1,parent_strategy_id uuid,is_public boolean=false,created_at timestamptz=now(),updated_at timestamptz=now(),deleted_at timestamptz'),
    ('backtests', 'id uuid!,strategy_id uuid!,user_id uuid!,name varchar(255)!,status varchar(20)=''pending'',progress integer=0,config jsonb!=''{}'',results jsonb=''{}'',performance_metrics jsonb=''{}'',trades jsonb=''[]'',equity_curve jsonb=''[]'',error_message text,started_at timestamptz,completed_at timestamptz,created_at timestamptz=now(),updated_at timestamptz=now()'),
    ('trades', 'id uuid!,user_id uuid!,strategy_id uuid,backtest_id uuid,broker_id varchar(50),symbol varchar(20)!,type varchar(10)!,order_type varchar(20)!,quantity numeric(18,8)!,price numeric(18,8),stop_loss numeric(18,8),take_profit numeric(18,8),commission numeric(18,8)=0,swap numeric(18,8)=0,profit numeric(18,8)=0,status varchar(20)=''pending'',executed_at timestamptz,expires_at timestamptz,closed_at timestamptz,reason_code varchar(50),external_id varchar(100),metadata jsonb=''{}'',created_at timestamptz=now(),updated_at timestamptz=now()'),
    ('risk_limits', 'id uuid!,user_id uuid!,name varchar(255)!,type varchar(50)!,limit_type varchar(20)!,limit_value numeric(18,8)!,current_value numeric(18,8)=0,is_active boolean=true,created_at timestamptz=now(),updated_at timestamptz=now()'),
    ('market_data', 'id bigint!,symbol varchar(20)!,timeframe varchar(10)!,timestamp timestamptz!,open_price numeric(18,8)!,high_price numeric(18,8)!,low_price numeric(18,8)!,close_price numeric(18,8)!,volume bigint=0,created_at timestamptz=now()'),
    ('audit_log', 'id uuid!,user_id uuid,action varchar(100)!,resource_type varchar(50)!,resource_id varchar(100),old_values jsonb,new_values jsonb,ip_address inet,user_agent text,created_at timestamptz=clock_timestamp()'),
    ('schema_migrations', 'version varchar(255)!,applied_at timestamptz=now()')
), wanted AS (
    SELECT t, n, c FROM spec, regexp_split_to_table(columns, ',(?=[a-z])') WITH ORDINALITY AS s (c, n)
), present AS (
    SELECT c.relname::text AS t, a.attname || ' '
           || replace(replace(format_type(a.atttypid, a.atttypmod), 'character varying', 'varchar'), 'timestamp with time zone', 'timestamptz')
           || CASE WHEN a.attnotnull THEN '!' ELSE '' END
           || coalesce('=' || regexp_replace(nullif(CASE WHEN pg_get_expr(d.adbin, d.adrelid) ~ 'gen_random_uuid|nextval' THEN NULL
                                                    ELSE pg_get_expr(d.adbin, d.adrelid) END, ''), '::[a-z ]+$', ''), '') AS c,
           row_number() OVER (PARTITION BY c.relname ORDER BY a.attnum) AS n
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
     WHERE c.relnamespace = 'fx'::regnamespace
)
SELECT w.t, w.c AS wanted, p.c AS present
  FROM wanted w FULL JOIN present p USING (t, n)
 WHERE w.c IS DISTINCT FROM p.c AND coalesce(w.t, p.t) IN (SELECT t FROM spec)
 ORDER BY 1, 2, 3;

-- keys and checks
SELECT conrelid::regclass::text COLLATE "C" AS "table", conname COLLATE "C" AS name, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint
 WHERE connamespace = 'fx'::regnamespace AND contype IN ('p', 'u', 'f') AND conparentid = 0
   AND conrelid IN (SELECT oid FROM pg_class WHERE NOT relispartition) AND conrelid <> 'fx.migration'::regclass
 ORDER BY 1, 2;
SELECT conname COLLATE "C" AS name, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint WHERE conname IN ('chk_strategies_version', 'chk_trades_quantity', 'chk_trades_prices')
 ORDER BY 1;

-- the first migration makes every index of the specification, by its name
BEGIN;
CREATE FUNCTION pg_temp.spec_indexes() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT 'idx_' || t || '_' || i
      FROM (VALUES ('users', 'email username role status created_at deleted_at'),
                   ('strategies', 'user_id status type created_at deleted_at tags config user_status_created active'),
                   ('backtests', 'strategy_id user_id status created_at completed_at config user_status_created completed'),
                   ('trades', 'user_id strategy_id backtest_id symbol status type executed_at created_at user_symbol_executed executed'),
                   ('risk_limits', 'user_id type is_active'),
                   ('market_data', 'unique symbol_timeframe timestamp symbol_timestamp symbol_timeframe_timestamp'),
                   ('audit_log', 'user_id action resource_type created_at resource')) AS v (t, names),
           regexp_split_to_table(names, ' ') AS i
$$;
CREATE VIEW pg_temp.covered AS
SELECT a.indexrelid::regclass::text COLLATE "C" AS covered, min(b.indexrelid::regclass::text COLLATE "C") AS by
  FROM pg_index a JOIN pg_index b ON a.indrelid = b.indrelid AND a.indexrelid <> b.indexrelid
  JOIN pg_class ca ON ca.oid = a.indexrelid JOIN pg_class cb ON cb.oid = b.indexrelid
 WHERE ca.relnamespace = 'fx'::regnamespace AND NOT ca.relispartition AND ca.relam = cb.relam
   AND a.indexprs IS NULL AND b.indexprs IS NULL AND a.indpred IS NULL AND b.indpred IS NULL AND NOT a.indisunique
   AND starts_with(b.indkey::text || ' ', a.indkey::text || ' ')
 GROUP BY 1 ORDER BY 1;
SELECT * FROM fx.migrate('2024_01_20_initial_schema');
SELECT count(*) AS specified, count(to_regclass('fx.' || i)) AS present FROM pg_temp.spec_indexes() AS i;
SELECT indexname COLLATE "C" AS partial_or_not_plain, regexp_replace(indexdef, '.* USING ', '') AS definition
  FROM pg_indexes WHERE schemaname = 'fx' AND indexname IN (SELECT * FROM pg_temp.spec_indexes())
   AND (indexdef LIKE '%WHERE%' OR indexdef LIKE '%DESC%' OR indexdef LIKE '%gin%' OR indexdef LIKE '%UNIQUE%')
 ORDER BY 1;
SELECT * FROM pg_temp.covered;
-- the newest state has none that another one covers
SELECT * FROM fx.migrate();
SELECT i AS gone FROM pg_temp.spec_indexes() AS i WHERE to_regclass('fx.' || i) IS NULL ORDER BY i COLLATE "C";
-- no index is the leading part of another with the same method
SELECT * FROM pg_temp.covered;
ROLLBACK;

-- every table that has updated_at keeps it; every table of business data is audited
SELECT c.relname COLLATE "C" AS "table", string_agg(t.tgname, ' ' ORDER BY t.tgname COLLATE "C") AS triggers
  FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
 WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
 GROUP BY 1 ORDER BY 1;
