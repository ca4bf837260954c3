--
-- A series as a line of block characters
--
\set VERBOSITY terse
SET search_path = fx, public;
SET client_encoding = 'UTF8';

SELECT sparkline('{1,2,3,4,5,6,7,8}') AS every_level, sparkline('{8,7,6,5,4,3,2,1}') AS falling, sparkline('{-5,0,5}') AS negative;
SELECT length(sparkline(array_agg(n))) = 1000 AS one_an_element,
       sparkline(array_agg(n)) ~ ('^' || (SELECT string_agg(chr(9600 + level) || '{125}', '' ORDER BY level) FROM generate_series(1, 8) AS level) || '$') AS even_levels
  FROM generate_series(1, 1000) AS n;
-- gaps, constants, nothing
SELECT sparkline('{1,NULL,2}') AS gap, sparkline('{NULL,NULL}') = '  ' AS gaps, sparkline('{3,3,NULL,3}') AS constant, sparkline('{0}') AS one,
       sparkline('{}') = '' AS empty, sparkline(NULL) IS NULL AS none;
-- the ends of the type: neither the span nor what is tiny beside it is an error
SELECT sparkline('{-1.7e308,0,5e-324,1.7e308}') AS wide, sparkline('{0,5e-324,1e-323}') AS narrow, sparkline('{1e308,1.1e308,NULL}') AS far, sparkline('{0,5e-324,1e308}') AS low_end;
-- the bounds of the array do not matter
SELECT sparkline('[-3:-1]={1,2,3}') AS bounds;

SELECT sparkline('{1,NaN}');
SELECT sparkline('{1,2,-Infinity}');
SELECT sparkline('{Infinity}');
SELECT sparkline('{{1,2},{3,4}}');
\set VERBOSITY sqlstate
SELECT sparkline('{1,NaN}');
SELECT sparkline('{{1}}');
SELECT provolatile, proisstrict, proparallel FROM pg_proc WHERE oid = 'sparkline(float8[])'::regprocedure;
