-- When autovacuum looks after the tables that change most.  Its defaults wait
-- for a fifth of a table to change: minutes of a small one, months of a large.
-- What somebody has set himself stays.

DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT c.oid::regclass AS relation,
               (SELECT string_agg(o.option, ', ' ORDER BY o.place)
                  FROM unnest(s.options) WITH ORDINALITY o (option, place)
                 WHERE split_part(o.option, '=', 1) <> ALL (ARRAY(
                           SELECT p.option_name FROM pg_options_to_table(c.reloptions) p
                            UNION ALL
                           SELECT 'toast.' || p.option_name
                             FROM pg_class toast, pg_options_to_table(toast.reloptions) p
                            WHERE toast.oid = c.reltoastrelid))) AS options
          FROM (VALUES
                   -- Months of candles and ticks, which are added and, but for
                   -- candles that are being formed, stay.  Vacuum after a
                   -- twentieth keeps index-only scans from the table, and
                   -- freezes at once: rows that nobody touches again need no
                   -- vacuum against wraparound, which would come for all months
                   -- in the same days.  Statistics after a fiftieth, because
                   -- queries ask for the newest times, beyond the histogram.
                   ('market_data', '{autovacuum_vacuum_scale_factor=0.05,autovacuum_vacuum_insert_scale_factor=0.05,autovacuum_analyze_scale_factor=0.02,autovacuum_freeze_min_age=0}'::text[]),
                   ('quotes', '{autovacuum_vacuum_scale_factor=0.05,autovacuum_vacuum_insert_scale_factor=0.05,autovacuum_analyze_scale_factor=0.02,autovacuum_freeze_min_age=0}'),

                   -- Rows that are written once, read by their time or user, and
                   -- never changed: the same.
                   ('audit_log', '{autovacuum_vacuum_insert_scale_factor=0.05,autovacuum_analyze_scale_factor=0.05,autovacuum_freeze_min_age=0}'),
                   ('audit_seals', '{autovacuum_vacuum_insert_scale_factor=0.05,autovacuum_analyze_scale_factor=0.05,autovacuum_freeze_min_age=0}'),
                   ('market_data_revisions', '{autovacuum_vacuum_insert_scale_factor=0.05,autovacuum_analyze_scale_factor=0.05,autovacuum_freeze_min_age=0}'),
                   ('closures', '{autovacuum_vacuum_insert_scale_factor=0.05,autovacuum_analyze_scale_factor=0.05,autovacuum_freeze_min_age=0}'),
                   ('risk_events', '{autovacuum_vacuum_insert_scale_factor=0.05,autovacuum_analyze_scale_factor=0.05,autovacuum_freeze_min_age=0}'),

                   -- Trades are added, executed and closed, each an update that
                   -- writes all indexes.  The P&L of a user is an index-only
                   -- scan as long as the pages of his trades are all-visible.
                   ('trades', '{autovacuum_vacuum_scale_factor=0.02,autovacuum_vacuum_insert_scale_factor=0.02,autovacuum_analyze_scale_factor=0.02}'),

                   -- Few rows, some of which every trade updates in place.  A
                   -- fifth of 200,000 accounts would be 40,000 versions that
                   -- everybody skips; pages are few, so it need not rest in
                   -- between.
                   ('accounts', '{autovacuum_vacuum_threshold=200,autovacuum_vacuum_scale_factor=0.02,autovacuum_vacuum_cost_delay=0}'),
                   ('positions', '{autovacuum_vacuum_threshold=200,autovacuum_vacuum_scale_factor=0.02,autovacuum_vacuum_cost_delay=0}'),
                   ('risk_limit_state', '{autovacuum_vacuum_threshold=200,autovacuum_vacuum_scale_factor=0.02,autovacuum_vacuum_cost_delay=0}'),
                   ('sessions', '{autovacuum_vacuum_threshold=200,autovacuum_vacuum_scale_factor=0.02,autovacuum_vacuum_cost_delay=0}'),

                   -- A queue: however long it was last, what has been taken out
                   -- lies in front of what comes next.
                   ('candle_changes', '{autovacuum_vacuum_threshold=1000,autovacuum_vacuum_scale_factor=0,autovacuum_vacuum_cost_delay=0}'),

                   -- Whole days are made again: as many dead rows as new ones.
                   ('candle_rollups', '{autovacuum_vacuum_scale_factor=0.05,autovacuum_analyze_scale_factor=0.05}'),

                   -- The trades and the curve of a run are written once more
                   -- when it completes, up to megabytes a row and out of line.
                   ('backtests', '{autovacuum_vacuum_scale_factor=0.05,toast.autovacuum_vacuum_scale_factor=0.05}')
               ) s (name, options)
          JOIN pg_class t ON t.relnamespace = 'fx'::regnamespace AND t.relname = s.name
          -- partitions that there are; new ones take over those of the newest
          JOIN pg_class c ON c.relkind = 'r' AND coalesce(pg_partition_root(c.oid), c.oid) = t.oid
         ORDER BY c.relname COLLATE "C"
    LOOP
        IF item.options IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %s SET (%s)', item.relation, item.options);
        END IF;
    END LOOP;
END
$$;
