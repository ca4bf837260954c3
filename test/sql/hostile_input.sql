--
-- What fuzzing found in parsers and in binary input
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';

-- a number that 128 bits cannot hold is infinite and keeps its sign, and is not taken for the largest one
SELECT value, fx.number_or_nan(value)
  FROM unnest(ARRAY['1E400', E' \t-1e400', '-2e30', '1.6e30', '+9e99', 'inf', '1e-400', '-']) AS value ORDER BY value COLLATE "C";
SELECT fx.candle_fault('EURUSD', '1m', '2024-01-02', 1, fx.number_or_nan('1e40'), 1, 1, fx.number_or_nan('-1e40'), NULL);

-- the flag of a binary equity is 0 or 1, so that what was received is what is sent
CREATE TEMPORARY TABLE received (value fx.equity);
CREATE FUNCTION pg_temp.receive(value bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('data_directory') || '/hostile_input.bin';
BEGIN
    EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', value, file);
    EXECUTE format('COPY received FROM %L (FORMAT binary)', file);
    RETURN 'received';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT flag, pg_temp.receive(set_byte(fx.equity_send(fx.equity_agg('2024-01-02', 1)), 1, flag))
  FROM unnest('{0,1,2,255}'::integer[]) AS flag GROUP BY flag ORDER BY flag;
SELECT value FROM received ORDER BY value::text COLLATE "C";
