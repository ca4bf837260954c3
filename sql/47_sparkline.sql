
-- sparklines

CREATE FUNCTION sparkline(series double precision[])
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low float8;
    high float8;
    bad bigint;
    scaled float8[] := series;
BEGIN
    IF array_ndims(series) > 1 THEN
        RAISE EXCEPTION 'argument "series" must have one dimension'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It has %s.', array_ndims(series));
    END IF;

    SELECT min(s.value), max(s.value),
           min(s.n) FILTER (WHERE s.value IN ('NaN', 'Infinity', '-Infinity'))
      INTO low, high, bad
      FROM unnest(series) WITH ORDINALITY AS s (value, n);
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'argument "series" must hold finite numbers'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Its element number %s is not.', bad);
    END IF;

    -- width_bucket() multiplies the span, which must stay within a double; then
    -- what is below one is nothing, and must not underflow
    IF greatest(high, -low) > 1e307 THEN
        scaled := ARRAY(SELECT CASE WHEN abs(s.value) < 1 THEN 0 ELSE s.value / 32 END
                          FROM unnest(series) WITH ORDINALITY AS s (value, n) ORDER BY s.n);
        low := CASE WHEN abs(low) < 1 THEN 0 ELSE low / 32 END;
        high := CASE WHEN abs(high) < 1 THEN 0 ELSE high / 32 END;
    END IF;

    RETURN (SELECT coalesce(string_agg(
                       CASE WHEN s.value IS NULL THEN ' '
                            WHEN low = high THEN chr(9604)
                            ELSE chr(9600 + least(8, width_bucket(s.value, low, high, 8))) END, '' ORDER BY s.n), '')
              FROM unnest(scaled) WITH ORDINALITY AS s (value, n));
END
$$;

COMMENT ON FUNCTION sparkline(double precision[])
    IS 'a line of block characters, U+2581 for the lowest to U+2588 for the highest of a series, one an element; a space for a NULL element; U+2584 for all of a constant series; empty for an empty array; NULL for NULL; errors: 22023 NaN, infinity or more than one dimension, 54000 in a database whose encoding lacks the characters';
