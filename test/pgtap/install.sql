-- What the extension owns, what it says of itself, and with which path it runs

BEGIN;

SELECT plan(14);

CREATE TEMPORARY VIEW member AS
    SELECT d.classid, d.objid
      FROM pg_depend d
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
       AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fxplatform');

CREATE TEMPORARY VIEW func AS
    SELECT p.*, p.oid::regprocedure::text AS name
      FROM pg_proc p WHERE p.pronamespace = 'fx'::regnamespace;

SELECT results_eq(
    $$SELECT objid::regclass::text FROM member WHERE classid = 'pg_class'::regclass ORDER BY 1$$,
    $$VALUES ('fx.cache_hit_ratio'), ('fx.index_usage'), ('fx.last_backup'), ('fx.long_transactions'), ('fx.migration'),
             ('fx.migration_status'), ('fx.partition_sizes'), ('fx.redundant_indexes'), ('fx.replication_lag'), ('fx.slow_queries'),
             ('fx.table_bloat'), ('fx.table_sizes'), ('fx.unused_indexes')$$,
    'no table of data, no sequence and no partition is a member of the extension');

SELECT is_empty(
    $$SELECT name FROM func f WHERE NOT EXISTS (SELECT FROM member m WHERE m.objid = f.oid)$$,
    'every function in fx is a member');

SELECT is_empty(
    $$SELECT objoid::regclass FROM pg_init_privs
       WHERE classoid = 'pg_class'::regclass
         AND objoid IN (SELECT oid FROM pg_class WHERE relnamespace = 'fx'::regnamespace)
         AND objoid NOT IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass)$$,
    'grants on tables are no initial privileges: a dump has them');

-- comments
SELECT is_empty(
    $$SELECT name FROM func WHERE obj_description(oid, 'pg_proc') IS NULL ORDER BY 1$$,
    'every function and aggregate has a comment');
SELECT is_empty(
    $$SELECT typname FROM pg_type t
       WHERE typnamespace = 'fx'::regnamespace AND obj_description(t.oid, 'pg_type') IS NULL
         AND typelem = 0 AND (typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = typrelid AND relkind = 'c'))$$,
    'every type has a comment');
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
       WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition
         AND obj_description(oid, 'pg_class') IS NULL$$,
    'every table and view has a comment');
SELECT isnt(obj_description(oid, 'pg_extension'), NULL, 'the extension has a comment')
  FROM pg_extension WHERE extname = 'fxplatform';

-- paths and rights
SELECT is_empty(
    $$SELECT name FROM func
       WHERE prosecdef AND NOT coalesce(proconfig, '{}') && ARRAY['search_path=pg_catalog, pg_temp']$$,
    'a function that runs with the rights of its owner has a fixed search_path');
SELECT is_empty(
    $$SELECT name FROM func JOIN pg_language l ON l.oid = prolang
       WHERE lanname IN ('plpgsql', 'sql')
         AND proname NOT IN ('risk_bound', 'candles', 'latest_candle', 'latest_candles', 'maintain',
                             'rotate_encryption_keys', 'seal_audit')
         AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c LIKE 'search_path=%pg_temp')$$,
    'so has every function in SQL or PL/pgSQL, but those that can be inlined and name no object, and procedures that commit and set it themselves');
SELECT is_empty(
    $$SELECT name FROM func WHERE prosecdef AND has_function_privilege('public', oid, 'EXECUTE')$$,
    'PUBLIC may not execute a function that runs with the rights of its owner');
SELECT results_eq(
    $$SELECT proname::text COLLATE "default" FROM func WHERE NOT has_function_privilege('public', oid, 'EXECUTE') ORDER BY 1$$,
    $$VALUES ('accept_totp'), ('active_user_id'), ('analyze_table'), ('apply_cash_flow'), ('apply_retention'),
             ('apply_risk_preset'), ('apply_trade_risk'), ('attach_migrations'), ('audit_seal_problems'),
             ('audit_trigger_function'), ('audit_trigger_name'), ('audit_unsealed'), ('backup_state'),
             ('begin_maintenance'), ('bind_session'), ('bloat_estimates'), ('cancel_backtest'),
             ('charge_attempt'), ('charge_sign_in'), ('check_second_factor'), ('clear_breach'), ('close_trade'),
             ('complete_backtest'), ('compute_losing_streak'), ('compute_positions'),
             ('create_market_data_partitions'), ('create_monthly_partitions'), ('create_quote_partitions'),
             ('create_user'), ('decrypt'), ('decrypt_value'), ('delete_user'), ('deleted_user_ids'),
             ('deposit'), ('detach_statements'), ('disable_audit'), ('disable_two_factor'), ('drop_detached_partition'),
             ('drop_expired_partition'), ('enable_audit'), ('enable_two_factor'), ('encrypt'),
             ('encrypt_value'), ('end_access'), ('erase_user'), ('estimated_rows'), ('expire_batch'),
             ('export_audit'), ('fail_backtest'), ('find_login'), ('follow_preferences'),
             ('forget_noted_changes'), ('forget_partitions'), ('forget_prices'), ('forgive_attempts'), ('forgive_sign_in'),
             ('guard_account'), ('guard_trade'), ('hash_is_weak'), ('hash_password'), ('health'),
             ('health_notes'), ('health_report'), ('ingest_candles'), ('ingest_candles'), ('ingest_candles'),
             ('is_maintained_database'), ('issue_api_key'), ('keep_candle_revision'), ('know_empty_partitions'),
             ('limit_lock_timeout'), ('load_candles'), ('lock_account'), ('lock_actor'), ('lock_backtest'), ('lock_work'),
             ('maintain'), ('make_candle_months'), ('mark_account'), ('mark_account_batch'), ('mark_accounts'),
             ('mark_partition'), ('measure_platform'), ('measure_server'), ('migrate'), ('migrate_in_script'),
             ('migration_losses'), ('newest_key_version'), ('note_candle_change'), ('note_changed_partitions'),
             ('note_encryption_rotation'), ('open_account'), ('partition_expired'), ('partition_states'), ('password_matches'),
             ('prepare_retention'), ('random_token'), ('rebuild_risk_state'), ('record_failure'),
             ('record_maintenance'), ('record_refusal'), ('refresh_candles'), ('refresh_risk_limits'),
             ('refresh_rollups'), ('refusal_reason'), ('register_encrypted_column'), ('remove_exported_audit'),
             ('report_progress'), ('request_email_verification'), ('retention_plan'), ('revoke_api_key'),
             ('rotate_encryption_keys'), ('rotate_encryption_pages'), ('run_analyze_batch'),
             ('run_expire_batch'), ('run_maintenance_step'), ('run_mark_batch'), ('run_migration_script'),
             ('seal_audit'), ('seal_audit_batch'), ('set_password'), ('set_trading_state'), ('sign_in'),
             ('sign_out'), ('sign_out_everywhere'), ('silent_triggers'), ('start_backtest'),
             ('start_retention'), ('statement_source'), ('statement_statistics'), ('timeframe_spans'), ('try_lock_work'),
             ('try_trade'), ('unsealed_audit'), ('use_session'), ('user_is_active'), ('verify_api_key'),
             ('verify_audit'), ('verify_email'), ('verify_password'), ('verify_positions'), ('verify_totp'),
             ('withdraw')$$,
    'nor what changes tables, or stores results');
SELECT is_empty(
    $$SELECT name FROM func WHERE provolatile = 'v' AND proparallel <> 'u'$$,
    'a volatile function is not parallel safe');
SELECT is_empty(
    $$SELECT name FROM func WHERE provolatile <> 'v' AND proparallel <> 's'
         AND proname NOT IN ('audit_snapshot_through', 'audit_unsealed', 'export_audit', 'verify_audit')$$,
    'one that reads only is, but those that ask for transactions under way');
SELECT is_empty(
    $$SELECT c.oid::regclass, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
       WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p')
         AND (t.typnamespace = 'fx'::regnamespace OR t.typname IN ('float4', 'float8', 'money'))$$,
    'no column has a type of the extension, nor a float for money');

SELECT * FROM finish();

ROLLBACK;
