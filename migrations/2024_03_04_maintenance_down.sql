DROP VIEW IF EXISTS partition_health;
DROP TABLE maintenance_runs, retention_policies;
