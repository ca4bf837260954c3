CREATE OR REPLACE VIEW partition_health AS
    SELECT "table", partitions, oldest, newest, next_missing, months_ahead,
           rows_outside_policy, last_run, last_outcome, last_error
      FROM partition_states();

GRANT SELECT ON partition_health TO fx_app, fx_user, fx_reporting;

COMMENT ON VIEW partition_health IS 'Each partitioned table of time series: its months, the next month that is missing, rows that a retention policy no longer keeps, and how maintenance went last';
COMMENT ON COLUMN partition_health.oldest IS 'Lower bound of the oldest partition; NULL when it has none';
COMMENT ON COLUMN partition_health.newest IS 'Upper bound of the newest partition, excluded';
COMMENT ON COLUMN partition_health.next_missing IS 'The first month from the current one on that has no partition';
COMMENT ON COLUMN partition_health.months_ahead IS 'Months with a partition after the current one, up to next_missing; -1 when the current one has none';
COMMENT ON COLUMN partition_health.rows_outside_policy IS 'Estimate of the rows that fx.apply_retention would remove now';
COMMENT ON COLUMN partition_health.last_run IS 'End of the last step of maintenance, NULL before the first';
COMMENT ON COLUMN partition_health.last_outcome IS 'failed when the last run of any step failed, then skipped, then ok';
COMMENT ON COLUMN partition_health.last_error IS 'Detail of the last step that failed, as long as fx.maintenance_runs keeps it';
