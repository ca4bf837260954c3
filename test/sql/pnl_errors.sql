--
-- What no trades can have is refused, as numbers, text and bytes
--
\set VERBOSITY terse
SET search_path = fx, public;
-- arguments
SELECT fx.pnl_agg('NaN'::numeric);
SELECT fx.pnl_agg('Infinity'::numeric);
SELECT fx.pnl_agg(1, '-Infinity', 0);
SELECT fx.pnl_agg(1, 0, 'NaN');
SELECT fx.pnl_agg(1e31);
SELECT fx.pnl_agg(1e131071);
SELECT fx.pnl_agg(-1234567890123456789012345678901234567890.5);
-- sums
SELECT fx.pnl_agg(1.7e30, -1.7e30, 0);
SELECT fx.pnl_agg(x) FROM (VALUES (1.7e30), (1.7e30)) AS v (x);
SELECT fx.pnl_agg(x) FROM (VALUES (-1.7e30), (-1.7e30)) AS v (x);
SELECT fx.pnl_agg(x, x, 0) FROM (VALUES (1.7e30), (1.7e30)) AS v (x);
SELECT fx.pnl_agg(x, 0, -x) FROM (VALUES (1.7e30), (1.7e30)) AS v (x);
SELECT fx.rollup(p) FROM (SELECT fx.pnl_agg(1.7e30) AS p FROM generate_series(1, 2) AS g GROUP BY g) AS v;
SELECT fx.rollup(p) FROM (VALUES ('1:9223372036854775807,0,0,0,0,0,0,0,0,0'::fx.pnl), ('1:1,0,0,0,0,0,0,0,0,0')) AS v (p);
-- the squares of what just fits fit
SELECT fx.net_profit(p), fx.stddev(p) FROM (SELECT fx.pnl_agg(x) AS p FROM (VALUES (1.7e30), (-1.7e30)) AS v (x)) AS w;

-- text
CREATE FUNCTION pg_temp.refusal(value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'accepted ' || value::fx.pnl::text;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT pg_temp.refusal(value)
  FROM unnest(ARRAY[
    '1:0,0,0,0,0,0,0,0,0,0', '1:1,0,0,0,0,1.5,-2,0,0,0', '1:1,1,0,2,0,0,0,2,0,8e1bc9bf040000',
    '', '1', '1:', ':', 'x:1', '1:1,1,0,2,0,0,0,2,0', '1:1,1,0,2,0,0,0,2,0,8e1bc9bf040000,0', '1:1,1,0,2,0,0,0,2,0,8E1BC9BF040000',
    '1:1,1,0,2,0,0,0,2,0,', '1:1,1,0,2,0,0,0,2,0,-1', '1:1.5,1,0,2,0,0,0,2,0,8e1bc9bf040000', '1:,1,0,2,0,0,0,2,0,8e1bc9bf040000',
    '1:99999999999999999999,1,0,2,0,0,0,2,0,8e1bc9bf040000', '1:1,1,0,NaN,0,0,0,2,0,8e1bc9bf040000',
    '1:1,1,0,2,0,0,0,2,0,10000000000000000000000000000000000000000000000000000000000000000',
    -- counts, signs and sums that contradict each other
    '1:-1,0,0,0,0,0,0,0,0,0', '1:1,2,0,2,0,0,0,2,0,8e1bc9bf040000', '1:1,1,1,2,-1,0,0,2,-1,ffffffffffffff',
    '1:1,0,0,2,0,0,0,2,0,8e1bc9bf040000', '1:1,1,0,-2,0,0,0,2,0,8e1bc9bf040000', '1:1,1,0,2,0,0,0,3,0,ffffffffffffffff',
    '1:1,1,0,2,0,0,0,1,0,8e1bc9bf040000', '1:2,1,1,2,2,0,0,2,-2,ffffffffffffffff', '1:0,0,0,0,0,1,0,0,0,0', '1:1,0,0,0,0,0,0,0,0,1',
    '1:1,1,0,2,0,0,0,2,0,8e1bc9bf03ffff', '1:2,2,0,4,0,0,0,2,0,8e1bc9bf040000', '1:2,0,2,0,-4,0,0,0,-2,8e1bc9bf040000', '1:2,2,0,4,0,0,0,2,0,ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    -- a value of a later version
    '2:1,1,0,2,0,0,0,2,0,8e1bc9bf040000', '2:whatever', '-1:1', repeat('1', 1000), repeat('€', 1000)]) WITH ORDINALITY AS v (value, n)
 ORDER BY n;

-- bytes, through COPY: what is sent comes back, what is cut or changed does not
SELECT current_setting('data_directory') || '/pnl_test.bin' AS file \gset
CREATE TEMPORARY TABLE kept (p fx.pnl);
INSERT INTO kept SELECT fx.pnl_agg(x, 1, -0.5) FROM (VALUES (10), (-4), (1.5), (9999999999.99999999)) AS v (x);
INSERT INTO kept VALUES ('1:0,0,0,0,0,0,0,0,0,0'), (NULL);
COPY kept TO :'file' (FORMAT binary);
CREATE TEMPORARY TABLE back (p fx.pnl);
COPY back FROM :'file' (FORMAT binary);
SELECT count(*) AS rows, (SELECT count(*) FROM back b JOIN kept k USING (p)) AS equal FROM back;
-- the same with bytes of ours: PGCOPY signature, one field of 153 bytes
CREATE FUNCTION pg_temp.copy_refusal(file text, value bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', value, file);
    EXECUTE format('COPY back FROM %L (FORMAT binary)', file);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT what, pg_temp.copy_refusal(:'file', value)
  FROM (SELECT fx.pnl_send('1:1,1,0,2,0,0,0,2,0,8e1bc9bf040000') AS good) AS v,
       LATERAL (VALUES (1, 'whole', good), (2, 'cut', substr(good, 1, 100)), (3, 'empty', ''), (4, 'longer', good || '\x00'),
                       (5, 'version', set_byte(good, 0, 9)), (6, 'negative count', set_byte(good, 1, 255)),
                       (7, 'wins above trades', set_byte(good, 16, 9)), (8, 'largest win', set_byte(good, 104, 200)),
                       (9, 'sum of squares', set_byte(good, 152, 1))) AS w (n, what, value)
 ORDER BY n;
\set remove 'cat > /dev/null; rm ' :file
COPY (SELECT) TO PROGRAM :'remove';
