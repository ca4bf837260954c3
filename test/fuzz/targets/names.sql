-- Texts that are looked up, decoded, escaped
-- flags: -max_len=400
SELECT base32 = $1 AS base32_round_trip,
       html !~ '[<>"]' AS html_is_escaped,
       (html::xml) IS NOT NULL AS html_is_xml,
       url ~ '^([A-Za-z0-9._~-]|%[0-9A-F]{2})*$' AS url_is_encoded,
       url <> '' OR t = '' AS url_has_all,
       fx.instrument_symbol(t) IS NULL OR fx.resolve_symbol(t) IS NOT NULL AS symbols,
       fx.timeframe_named(t) IS NULL OR fx.timeframe_rank(fx.timeframe_named(t)) IS NOT NULL AS timeframes,
       coalesce(fx.encryption_version(t), 1) > 0 AS versions,
       fx.hash_is_weak(t) IS NOT NULL AS hashes,
       fx.html_clip(t, 20) IS NOT NULL AS clip
  FROM (SELECT t, fx.base32_decode(fx.base32_encode($1)) AS base32, fx.html_escape(t) AS html, fx.url_encode(t) AS url
          FROM (SELECT convert_from($1, 'UTF8') AS t OFFSET 0) AS s OFFSET 0) AS s
