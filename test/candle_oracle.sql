-- A slow and simple account of what fx.candles must return, in plain SQL over
-- fx.market_data alone: no roll-up, no note of a change, no function of the
-- extension.

CREATE SCHEMA candle_oracle;

CREATE FUNCTION candle_oracle.rank(tf text) RETURNS integer IMMUTABLE LANGUAGE sql AS $$
    SELECT array_position('{1m,5m,15m,30m,1h,4h,1d,1w,1mn}'::text[], tf)
$$;

CREATE FUNCTION candle_oracle.starts(at timestamptz, tf text, alignment text) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE
        WHEN candle_oracle.rank(tf) <= 5 THEN
            date_bin(CASE tf WHEN '1m' THEN '1 minute' WHEN '5m' THEN '5 minutes' WHEN '15m' THEN '15 minutes'
                             WHEN '30m' THEN '30 minutes' ELSE '1 hour' END::interval, at, '2000-01-01 00:00+00')
        ELSE (CASE tf WHEN '4h' THEN date_bin('4 hours', wall, '2000-01-01 00:00')
                      WHEN '1d' THEN date_trunc('day', wall)
                      WHEN '1w' THEN date_trunc('week', wall)
                      ELSE date_trunc('month', wall) END - shift) AT TIME ZONE zone
    END
      FROM (SELECT CASE alignment WHEN 'utc' THEN 'UTC' ELSE 'America/New_York' END AS zone,
                   CASE alignment WHEN 'utc' THEN interval '0' ELSE interval '7 hours' END AS shift) AS z,
           LATERAL (SELECT (at AT TIME ZONE zone) + shift AS wall) AS w
$$;

CREATE TYPE candle_oracle.candle AS (at timestamptz, o numeric, h numeric, l numeric, c numeric, v bigint);

CREATE FUNCTION candle_oracle.fold(candles candle_oracle.candle[], starts timestamptz) RETURNS candle_oracle.candle IMMUTABLE LANGUAGE sql AS $$
    SELECT (starts, (array_agg(o ORDER BY at))[1], max(h), min(l), (array_agg(c ORDER BY at DESC))[1], sum(v)::bigint)::candle_oracle.candle
      FROM unnest(candles)
$$;

CREATE FUNCTION candle_oracle.stored(sym text, tf text) RETURNS SETOF candle_oracle.candle STABLE LANGUAGE sql AS $$
    SELECT m.timestamp, m.open_price, m.high_price, m.low_price, m.close_price, m.volume
      FROM fx.market_data m WHERE m.symbol = sym AND m.timeframe = tf
$$;

-- up to one hour: the finest timeframe that has a row in the candle
CREATE FUNCTION candle_oracle.short(sym text, tf text) RETURNS SETOF candle_oracle.candle STABLE LANGUAGE sql AS $$
    SELECT DISTINCT ON (g.at) (candle_oracle.fold(g.candles, g.at)).*
      FROM (SELECT candle_oracle.starts(m.timestamp, tf, 'utc') AS at, m.timeframe AS frame,
                   array_agg((m.timestamp, m.open_price, m.high_price, m.low_price, m.close_price, m.volume)::candle_oracle.candle) AS candles
              FROM fx.market_data m WHERE m.symbol = sym AND candle_oracle.rank(m.timeframe) <= candle_oracle.rank(tf)
             GROUP BY 1, 2) AS g
     ORDER BY g.at, candle_oracle.rank(g.frame)
$$;

-- longer: from the next shorter ones, else as stored
CREATE FUNCTION candle_oracle.candles(sym text, tf text, alignment text DEFAULT 'new_york') RETURNS SETOF candle_oracle.candle STABLE LANGUAGE plpgsql AS $$
BEGIN
    IF candle_oracle.rank(tf) <= 5 THEN
        RETURN QUERY SELECT * FROM candle_oracle.short(sym, tf);
        RETURN;
    END IF;
    RETURN QUERY
        WITH part AS (
            SELECT p.* FROM candle_oracle.short(sym, '1h') p WHERE tf IN ('4h', '1d')
            UNION ALL
            SELECT p.* FROM candle_oracle.candles(sym, CASE WHEN tf IN ('1w', '1mn') THEN '1d' END, alignment) p WHERE tf IN ('1w', '1mn')
        ), built AS (
            SELECT candle_oracle.starts(p.at, tf, alignment) AS at, array_agg(p::candle_oracle.candle) AS candles FROM part p GROUP BY 1
        ), four AS (
            SELECT candle_oracle.starts(s.at, tf, alignment) AS at, array_agg(s::candle_oracle.candle) AS candles FROM candle_oracle.stored(sym, '4h') s WHERE tf = '1d'
               AND candle_oracle.starts(s.at, tf, alignment) NOT IN (SELECT b.at FROM built b) GROUP BY 1
        )
        SELECT (candle_oracle.fold(b.candles, b.at)).* FROM built b
        UNION ALL SELECT (candle_oracle.fold(f.candles, f.at)).* FROM four f
        UNION ALL SELECT s.* FROM candle_oracle.stored(sym, tf) s
         WHERE candle_oracle.starts(s.at, tf, alignment) NOT IN (SELECT b.at FROM built b UNION ALL SELECT f.at FROM four f);
END
$$;

-- candles on which fx.candles and the oracle differ, of one symbol and every timeframe
CREATE FUNCTION candle_oracle.differences(sym text, alignments text[] DEFAULT '{new_york,utc}')
RETURNS TABLE (tf text, alignment text, side text, candle candle_oracle.candle) STABLE LANGUAGE plpgsql AS $$
BEGIN
    FOR tf, alignment IN SELECT t, a FROM unnest('{1m,5m,15m,30m,1h,4h,1d,1w,1mn}'::text[]) AS t, unnest(alignments) AS a LOOP
        RETURN QUERY
            WITH ours AS (
                SELECT f.timestamp, f.open_price, f.high_price, f.low_price, f.close_price, f.volume
                  FROM fx.candles(sym, tf, alignment => differences.alignment) f
            ), oracle AS (
                SELECT * FROM candle_oracle.candles(sym, tf, differences.alignment)
            )
            SELECT tf, differences.alignment, 'only ours', d::candle_oracle.candle FROM (SELECT * FROM ours EXCEPT ALL SELECT * FROM oracle) AS d
            UNION ALL
            SELECT tf, differences.alignment, 'only oracle', d::candle_oracle.candle FROM (SELECT * FROM oracle EXCEPT ALL SELECT * FROM ours) AS d;
    END LOOP;
END
$$;
