--
-- What no candle can be is refused, as numbers, text and bytes
--
\set VERBOSITY terse
SET search_path = fx, public;
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    detail text;
BEGIN
    EXECUTE statement INTO result;
    RETURN 'accepted ' || coalesce(result, 'NULL');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''));
END
$$;
-- arguments
SELECT arguments, pg_temp.refusal('SELECT fx.candlestick_agg(' || arguments || ')') AS answer
  FROM unnest(ARRAY[
    -- low and high against each other and against open and close
    '''2024-01-01'', 2, 1, 2, 2, 0', '''2024-01-01'', 1, 3, 2, 3, 0', '''2024-01-01'', 3, 3, 2, 1, 0', '''2024-01-01'', 3, 2, 1, 2, 0', '''2024-01-01'', 1, 2, 1, 3, 0',
    '''2024-01-01'', 1, 1, 1.00000001, 1, 0', '''2024-01-01'', 1, 1, 1.000000004, 1, 0', '''2024-01-01'', -2, -1, -3, -2, 0',
    '''2024-01-01'', 1, 1, 1, 1, -1', '''2024-01-01'', 1, 1, 1, 1, (-9223372036854775808)',
    -- prices
    '''2024-01-01'', ''NaN'', 1, 1, 1, 0', '''2024-01-01'', 1, ''NaN'', 1, 1, 0', '''2024-01-01'', 1, 1, ''NaN'', 1, 0', '''2024-01-01'', 1, 1, 1, ''NaN'', 0',
    '''2024-01-01'', ''Infinity'', 1, 1, 1, 0', '''2024-01-01'', 1, ''Infinity'', 1, 1, 0', '''2024-01-01'', 1, 1, ''-Infinity'', 1, 0', '''2024-01-01'', 1, 1, 1, ''Infinity'', 0',
    '''2024-01-01'', 1e10, 1e10, 1, 1, 0', '''2024-01-01'', 1, 1e10, 1, 1, 0', '''2024-01-01'', 1, 1, -1e10, 1, 0', '''2024-01-01'', 1, 1, 1, 1e40, 0',
    '''2024-01-01'', 1, 9999999999.999999995, 1, 1, 0', '''2024-01-01'', 1, 1, -9999999999.999999995, 1, 0', '''2024-01-01'', 1e131071, 1, 1, 1, 0',
    '''2024-01-01'', 184467440737.09551617, 1e12, 1, 1, 0',
    -- times
    '''infinity'', 1, 1, 1, 1, 0', '''-infinity'', 1, 1, 1, 1, 0', '''10000-01-01 00:00+00'', 1, 1, 1, 1, 0', '''0001-12-31 23:59:59+00 BC'', 1, 1, 1, 1, 0',
    -- ticks
    '''infinity'', 1', '''10000-01-01 00:00+00'', 1', '''2024-01-01'', ''NaN''', '''2024-01-01'', ''-Infinity''', '''2024-01-01'', 1e10']) WITH ORDINALITY AS v (arguments, n)
 ORDER BY n;
-- the constructor does the same
SELECT arguments, pg_temp.refusal('SELECT fx.candlestick(' || arguments || ')') AS answer
  FROM unnest(ARRAY['''2024-01-01'', 1, 3, 2, 3, 0', '''2024-01-01'', ''NaN'', 1, 1, 1, 0', '''infinity'', 1, 1, 1, 1, 0', '''2024-01-01'', 1, 1, 1, 1, -1']) WITH ORDINALITY AS v (arguments, n)
 ORDER BY n;
-- sums of volumes
SELECT pg_temp.refusal($$SELECT fx.candlestick_agg('2024-01-01', 1, 1, 1, 1, v) FROM (VALUES (9223372036854775807), (1)) AS t (v)$$);
SELECT pg_temp.refusal($$SELECT fx.rollup(fx.candlestick('2024-01-01', 1, 1, 1, 1, v)) FROM (VALUES (9223372036854775807), (1)) AS t (v)$$);

-- text
SELECT left(value, 72) AS value, pg_temp.refusal(format('SELECT %L::fx.candlestick', value)) AS answer
  FROM unnest(ARRAY[
    '', '1', '1:', ':', 'x:1', '1:2024-01-01,2024-01-01,1,1,1,1', '1:2024-01-01,2024-01-01,1,1,1,1,,', '1:2024-01-01,2024-01-01,1,1,1,1,1,', ' 1:2024-01-01,2024-01-01,1,1,1,1,1',
    '1:2024-01-01,2024-01-01,1,1,1,1,1.5', '1:2024-01-01,2024-01-01,1,1,1,1,x', '1:2024-01-01,2024-01-01,1,1,1,1,-1', '1:2024-01-01,2024-01-01,1,1,1,1,9223372036854775808',
    '1:2024-01-01,2024-01-01,,1,1,1,1', '1:2024-01-01,2024-01-01,NaN,1,1,1,1', '1:2024-01-01,2024-01-01,1,Infinity,1,1,1', '1:2024-01-01,2024-01-01,1,10000000000,1,1,1',
    '1:2024-01-01,2024-01-01,1,1,-10000000000,1,1', '1:2024-01-01,2024-01-01,1,184467440738,1,1,1',
    '1:2024-01-01,2024-01-01,0,1,1,1,1', '1:2024-01-01,2024-01-01,2,1,1,1,1', '1:2024-01-01,2024-01-01,1,1,1,0,1', '1:2024-01-01,2024-01-01,1,1,1,2,1', '1:2024-01-01,2024-01-01,1,0,2,1,1',
    '1:2024-01-02,2024-01-01,1,1,1,1,1', '1:,2024-01-01,1,1,1,1,1', '1:now,2024-01-01,1,1,1,1,1', '1:infinity,infinity,1,1,1,1,1', '1:2024-02-30,2024-03-01,1,1,1,1,1', '1:2024-01-01,10000-01-01,1,1,1,1,1',
    '1:0001-01-01T00:00:00+01:00,2024-01-01,1,1,1,1,1', '1:2024-01-01,9999-12-31T24:00:00,1,1,1,1,1',
    -- a value of a later version
    '2:2024-01-01,2024-01-01,1,1,1,1,1', '2:whatever', '-1:1', repeat('1', 1000), repeat('€', 1000)]) WITH ORDINALITY AS v (value, n)
 ORDER BY n;

-- bytes, through COPY: what is sent comes back, what is cut or changed does not
SELECT current_setting('data_directory') || '/candlestick_test.bin' AS file \gset
CREATE TEMPORARY TABLE kept (k fx.candlestick);
INSERT INTO kept VALUES ('1:2024-01-01,2024-01-02,1,2.5,0.00000001,1.5,7'), ('1:2024-01-01,2024-01-02,1,2,0.5,1.5,'), (NULL),
       ('1:0001-01-01,9999-12-31T23:59:59.999999,-9999999999.99999999,9999999999.99999999,-9999999999.99999999,0,9223372036854775807');
COPY kept TO :'file' (FORMAT binary);
CREATE TEMPORARY TABLE back (k fx.candlestick);
COPY back FROM :'file' (FORMAT binary);
SELECT count(*) AS rows, (SELECT count(*) FROM back b JOIN kept k USING (k)) AS equal FROM back;
-- the same with bytes of ours: PGCOPY signature, one field
CREATE FUNCTION pg_temp.copy_refusal(file text, value bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message bytea := '\x5047434f50590aff0d0a00' || '\x0000000000000000'::bytea || '\x0001' || int4send(octet_length(value)) || value || '\xffff';
    large oid := lo_from_bytea(0, message);
    result text;
BEGIN
    PERFORM lo_export(large, file);
    PERFORM lo_unlink(large);
    TRUNCATE back;
    EXECUTE format('COPY back FROM %L (FORMAT binary)', file);
    SELECT k INTO result FROM back;
    RETURN 'accepted ' || result;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT what, pg_temp.copy_refusal(:'file', value) AS answer
  FROM (SELECT fx.candlestick_send('1:2024-01-01,2024-01-02,1,2,0.5,1.5,7') AS b, int8send(0) AS zero) AS v,
       LATERAL (VALUES
           (1, 'as sent', b), (2, 'version 2', set_byte(b, 0, 2)), (3, 'version 0', set_byte(b, 0, 0)), (4, 'unknown flag', set_byte(b, 1, 3)), (5, 'volume and no flag', set_byte(b, 1, 0)),
           (6, 'no volume', overlay(set_byte(b, 1, 0) PLACING zero FROM 51)), (7, 'last before first', overlay(b PLACING int8send(0) FROM 11)),
           (8, 'first minus infinity', overlay(b PLACING int8send((-9223372036854775808)::bigint) FROM 3)), (9, 'last infinity', overlay(b PLACING int8send(9223372036854775807) FROM 11)),
           (10, 'open below low', overlay(b PLACING int8send(49999999) FROM 19)), (11, 'open above high', overlay(b PLACING int8send(200000001) FROM 19)),
           (12, 'high out of range', overlay(b PLACING int8send(1000000000000000000) FROM 27)), (13, 'low out of range', overlay(b PLACING int8send(-1000000000000000000) FROM 35)),
           (14, 'low just in range', overlay(b PLACING int8send(-999999999999999999) FROM 35)),
           (15, 'close below low', overlay(b PLACING int8send(0) FROM 43)), (16, 'close above high', overlay(b PLACING int8send(300000000) FROM 43)),
           (17, 'negative volume', overlay(b PLACING int8send(-1) FROM 51)), (18, 'cut', substr(b, 1, 57)), (19, 'empty', ''::bytea), (20, 'longer', b || '\x00'::bytea)) AS w (n, what, value)
 ORDER BY n;
