--
-- Accounts whose day has ended are marked, by the clock that C goes by
--
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL fxplatform.clock = '2024-03-05 12:00:00';
INSERT INTO users (id, email, username, password_hash, preferences) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '{"initialBalance": 1000}');
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES ('00000000-0000-4000-8000-0000000000a1', 'l', 'daily_loss', 'percentage', 5);
SELECT day_ends_at AT TIME ZONE 'UTC' AS day_ends_at, mark_accounts() AS marked FROM accounts;
-- no offset: UTC, wherever the session is
SET LOCAL timezone = 'Asia/Tokyo';
SET LOCAL fxplatform.clock = '2024-03-05 22:30:00';
SELECT mark_accounts() AS marked;
SELECT day_ends_at AT TIME ZONE 'UTC' AS day_ends_at FROM accounts;
ROLLBACK;
