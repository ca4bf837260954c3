
-- tear-sheet: text, numbers and axes
--
-- Everything that goes into a page is ASCII but for the user's own text, so
-- that these functions work in a database of any encoding.

-- XML forbids these control characters, and HTML calls them errors.
CREATE FUNCTION html_escape(value text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(
               replace(replace(replace(replace(replace(value,
                   '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'),
               $re$[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]$re$, '&#65533;', 'g')
$$;

COMMENT ON FUNCTION html_escape(text)
    IS 'text as content or quoted attribute of HTML or XML; control characters become U+FFFD; NULL for NULL';

CREATE FUNCTION html_clip(value text, length integer)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '<bdi>' || fx.html_escape(left(value, length))
        || CASE WHEN char_length(value) > length THEN '&#8230;' ELSE '' END || '</bdi>'
$$;

COMMENT ON FUNCTION html_clip(text, integer)
    IS 'at most so many characters of a text as HTML, isolated from the direction of the text around it; NULL for NULL';

CREATE FUNCTION html_money(value numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN '&#8211;'
        WHEN abs(value) >= 1000000000000000 THEN fx.html_short(value)
        ELSE CASE WHEN value < 0 THEN '&#8722;' ELSE '' END
          || CASE WHEN abs(value) >= 0.095 OR value = 0
                  THEN to_char(abs(value), 'FM999,999,999,999,999,990.00')
                  ELSE rtrim(to_char(abs(value), 'FM0.00000000'), '0') END
    END
$$;

COMMENT ON FUNCTION html_money(numeric)
    IS 'an amount of money for a page: two decimals, up to eight for less than a tenth, thousands separated; short from 10^15 on; a dash for NULL';

CREATE FUNCTION html_percent(value numeric, decimals integer DEFAULT 2)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN '&#8211;'
        WHEN abs(value) >= 10000
        THEN CASE WHEN value < 0 THEN '&#8722;' ELSE '' END || fx.html_short(abs(value) * 100)
        ELSE CASE WHEN round(value * 100, decimals) < 0 THEN '&#8722;' ELSE '' END
          || to_char(abs(round(value * 100, decimals)), 'FM999,990.' || repeat('0', decimals))
    END
$$;

COMMENT ON FUNCTION html_percent(numeric, integer)
    IS 'a fraction as a percentage for a page, without the sign; short beyond a million percent; a dash for NULL';

CREATE FUNCTION html_number(value numeric, decimals integer DEFAULT 2)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN '&#8211;'
        WHEN abs(value) >= 1000000000 THEN fx.html_short(value)
        ELSE CASE WHEN round(value, decimals) < 0 THEN '&#8722;' ELSE '' END
          || rtrim(to_char(abs(round(value, decimals)), 'FM999,999,990.' || repeat('0', decimals)), '.')
    END
$$;

COMMENT ON FUNCTION html_number(numeric, integer)
    IS 'a number for a page with so many decimals, thousands separated; short beyond a thousand million; a dash for NULL';

-- Three significant digits say enough on a cell of a heat-map.
CREATE FUNCTION html_short(value numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN '&#8211;'
        WHEN value < 0 THEN '&#8722;' || fx.html_short(-value)
        WHEN value >= 999500000000000
        THEN replace(trim(to_char(value, '9.99EEEE')), 'e+', 'e')
        WHEN value >= 999500000000 THEN trim_scale(round(value / 1000000000000, 1)) || 'T'
        WHEN value >= 999500000 THEN trim_scale(round(value / 1000000000, 1)) || 'B'
        WHEN value >= 999500 THEN trim_scale(round(value / 1000000, 1)) || 'M'
        WHEN value >= 10000 THEN round(value / 1000) || 'k'
        WHEN value >= 999.5 THEN trim_scale(round(value / 1000, 1)) || 'k'
        WHEN value >= 10 THEN round(value)::text
        WHEN value >= 0.1 THEN trim_scale(round(value, 1))::text
        WHEN value = 0 THEN '0'
        WHEN value >= 0.001 THEN trim_scale(round(value, 3))::text
        ELSE trim(to_char(value, '9EEEE'))
    END
$$;

COMMENT ON FUNCTION html_short(numeric)
    IS 'a number in few characters, such as 950, 1.2k or 3.4M, for a cell or an axis of a page; a dash for NULL';

-- The exact value goes along with what is shown of it, for machines.
CREATE FUNCTION html_data(value numeric, shown text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('<data value="%s"%s>%s</data>', trim_scale(value),
                  CASE WHEN value < 0 THEN ' class="neg"' ELSE '' END, shown)
$$;

COMMENT ON FUNCTION html_data(numeric, text)
    IS 'HTML that shows a text for a number and carries the exact number; empty value for NULL';

CREATE FUNCTION nice_step(span numeric, parts integer)
RETURNS numeric
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    exponent integer;
BEGIN
    IF span IN ('NaN', 'Infinity', '-Infinity') THEN
        RAISE EXCEPTION 'argument "%" must be finite', 'span'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF parts < 1 THEN
        RAISE EXCEPTION 'argument "%" must be at least 1', 'parts'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    exponent := greatest(-8, floor(log(greatest(span, 0.00000001) / parts)));
    RETURN (SELECT trim_scale(s.step)
              FROM unnest(ARRAY[1, 2, 5, 10, 20]) AS digit,
                   LATERAL (SELECT digit * ('1e' || exponent)::numeric AS step) AS s
             WHERE s.step * parts >= span
             ORDER BY s.step
             LIMIT 1);
END
$$;

COMMENT ON FUNCTION nice_step(numeric, integer)
    IS 'the smallest of 1, 2, 5 times a power of ten, not below 0.00000001, of which so many parts cover a span; NULL for NULL; errors: 22023 span not finite or parts below 1, 22003 a step out of range of numeric';

CREATE FUNCTION time_ticks(since timestamptz, until timestamptz, OUT tick timestamptz, OUT label text)
RETURNS SETOF record
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 8
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH step AS (
        SELECT s.width::interval, s.start, s.shape
          FROM (VALUES
                   ('1 second', 'second', 'HH24:MI:SS'), ('10 seconds', 'minute', 'HH24:MI:SS'),
                   ('1 minute', 'minute', 'HH24:MI'), ('10 minutes', 'hour', 'HH24:MI'),
                   ('1 hour', 'hour', 'HH24:MI'), ('3 hours', 'day', 'HH24:MI'),
                   ('12 hours', 'day', 'DD Mon HH24:MI'), ('1 day', 'day', 'DD Mon'),
                   ('2 days', 'month', 'DD Mon'), ('7 days', 'week', 'DD Mon'),
                   ('14 days', 'week', 'DD Mon'), ('1 month', 'month', 'Mon YYYY'),
                   ('3 months', 'year', 'Mon YYYY'), ('6 months', 'year', 'Mon YYYY'),
                   ('1 year', 'year', 'YYYY'), ('2 years', 'decade', 'YYYY'),
                   ('5 years', 'decade', 'YYYY'), ('10 years', 'decade', 'YYYY'),
                   ('50 years', 'decade', 'YYYY'), ('200 years', 'decade', 'YYYY'),
                   ('1000 years', 'decade', 'YYYY'), ('2000 years', 'decade', 'YYYY')) AS s (width, start, shape)
         WHERE s.width::interval * 9 >= until - since
         ORDER BY s.width::interval
         LIMIT 1
    )
    SELECT at, to_char(at, step.shape)
      FROM step, generate_series(date_trunc(step.start, since), until, step.width) AS at
     WHERE at >= since
$$;

COMMENT ON FUNCTION time_ticks(timestamptz, timestamptz)
    IS 'up to ten round times, in UTC, between two times, with a label each, for the axis of a chart; none for NULL';

CREATE FUNCTION html_time(at timestamptz)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN at IS NULL THEN '&#8211;'
                ELSE format('<time datetime="%sZ">%s</time>',
                            to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS'),
                            to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) END
$$;

COMMENT ON FUNCTION html_time(timestamptz)
    IS 'a time in UTC for a page, to the minute; a dash for NULL';

CREATE FUNCTION html_duration(seconds numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN seconds IS NULL THEN '&#8211;'
        WHEN seconds >= 864000 THEN to_char(round(seconds / 86400), 'FM9,999,990') || ' d'
        WHEN seconds >= 86400
        THEN div(seconds, 86400) || ' d ' || div(seconds % 86400, 3600) || ' h'
        WHEN seconds >= 3600 THEN div(seconds, 3600) || ' h ' || div(seconds % 3600, 60) || ' min'
        WHEN seconds >= 60 THEN div(seconds, 60) || ' min'
        ELSE trim_scale(round(seconds, 1)) || ' s'
    END
$$;

COMMENT ON FUNCTION html_duration(numeric)
    IS 'a length of time, given in seconds, in its two largest units for a page; a dash for NULL';

CREATE FUNCTION html_row(cells text[])
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<tr><th scope="row">', cells[1], '</th><td>',
                  array_to_string(cells[2:], '</td><td>', ''), '</td></tr>')
$$;

COMMENT ON FUNCTION html_row(text[])
    IS 'a row of a table from cells in HTML, the first of which names it; a NULL cell is empty; NULL for NULL';

CREATE FUNCTION html_table(class text, headings text[], rows text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<div class="scroll"><table class="', class, E'">\n<thead><tr><th scope="col">',
                  array_to_string(headings, '</th><th scope="col">'),
                  E'</th></tr></thead><tbody>\n', rows, E'\n</tbody></table></div>')
$$;

COMMENT ON FUNCTION html_table(text, text[], text)
    IS 'a table that scrolls by itself where it is wider than the page, from headings and rows in HTML; NULL for NULL';

CREATE FUNCTION html_details(summary text, content text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(E'\n<details><summary>', summary, '</summary>', content, '</details>')
$$;

COMMENT ON FUNCTION html_details(text, text)
    IS 'HTML content that is closed at first under a line that names it; NULL for NULL';

CREATE FUNCTION html_section(id text, class text, heading text, content text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<section class="card ', class, '" id="', id, '"><h2>', heading, E'</h2>\n', content, E'</section>\n')
$$;

COMMENT ON FUNCTION html_section(text, text, text, text)
    IS 'a part of a page with a heading, all in HTML; class is empty or wide; NULL content is empty';
