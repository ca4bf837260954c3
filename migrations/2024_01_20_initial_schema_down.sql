-- Children before their parents; partitions, indexes and triggers go along.
DROP TABLE schema_migrations;
DROP TABLE audit_log;
DROP TABLE market_data;
DROP TABLE risk_limits;
DROP TABLE trades;
DROP TABLE backtests;
DROP TABLE strategies;
DROP TABLE users;
