-- What is traded, and when the market is closed besides the weekends.

CREATE TABLE instruments (
    symbol VARCHAR(20) PRIMARY KEY,
    base_currency VARCHAR(10) NOT NULL,
    quote_currency VARCHAR(10) NOT NULL,
    pip_size DECIMAL(18, 8) NOT NULL,
    contract_size DECIMAL(18, 8) NOT NULL,
    swap_long DECIMAL(18, 8),
    swap_short DECIMAL(18, 8),
    triple_swap_weekday SMALLINT NOT NULL DEFAULT 3,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    CONSTRAINT chk_instruments_symbol CHECK (symbol ~ '[A-Za-z0-9]'),
    CONSTRAINT chk_instruments_currencies CHECK (
        base_currency ~ '^[A-Z0-9]{3,10}$' AND quote_currency ~ '^[A-Z0-9]{3,10}$'
        AND base_currency::text <> quote_currency::text),
    -- NaN sorts above every number
    CONSTRAINT chk_instruments_sizes CHECK (
        pip_size > 0 AND pip_size <> 'NaN' AND contract_size > 0 AND contract_size <> 'NaN'),
    CONSTRAINT chk_instruments_swap CHECK (swap_long <> 'NaN' AND swap_short <> 'NaN'),
    CONSTRAINT chk_instruments_triple_swap_weekday CHECK (triple_swap_weekday BETWEEN 1 AND 7)
);

-- EUR/USD, EUR_USD and eurusd are one instrument; fx.instrument_symbol uses it.
CREATE UNIQUE INDEX idx_instruments_normal_symbol
    ON instruments (translate(upper(symbol::text), '/_-. ', ''));

COMMENT ON TABLE instruments IS 'What is traded: currency pairs and metals';
COMMENT ON COLUMN instruments.symbol IS 'Name under which candles and trades are stored, EURUSD; EUR/USD, EUR_USD and eurusd mean the same';
COMMENT ON COLUMN instruments.base_currency IS 'What a unit of quantity is';
COMMENT ON COLUMN instruments.quote_currency IS 'In what its price is';
COMMENT ON COLUMN instruments.pip_size IS 'A pip, in the quote currency: 0.0001, 0.01 where that is JPY, 0.01 for metals';
COMMENT ON COLUMN instruments.contract_size IS 'Units of the base currency in a lot: 100000 of a currency, ounces of a metal';
COMMENT ON COLUMN instruments.swap_long IS 'Swap of a bought lot held over a night, in points (a tenth of a pip), negative when paid; NULL where it is not known';
COMMENT ON COLUMN instruments.swap_short IS 'The same for a sold lot';
COMMENT ON COLUMN instruments.triple_swap_weekday IS 'Day whose close in New York carries the swap of the weekend: 1 Monday to 7 Sunday, 3 for pairs settled after two days, 4 after one';

CREATE TABLE holidays (
    day DATE PRIMARY KEY,
    name TEXT NOT NULL,
    CONSTRAINT chk_holidays_day CHECK (isfinite(day))
);

COMMENT ON TABLE holidays IS 'FX days, from 17:00 in New York on the day before, on which the market is closed';

-- The crosses of eight currencies in the order of the market.  Fixed times:
-- going down, a row that nobody changed is no loss.
INSERT INTO instruments (symbol, base_currency, quote_currency, pip_size, contract_size,
                         triple_swap_weekday, created_at, updated_at)
SELECT b.code || q.code, b.code, q.code,
       CASE q.code WHEN 'JPY' THEN 0.01 ELSE 0.0001 END, 100000,
       -- settled after one day
       CASE b.code || q.code WHEN 'USDCAD' THEN 4 ELSE 3 END,
       '2024-03-01 00:00:00+00', '2024-03-01 00:00:00+00'
  FROM unnest(ARRAY['EUR', 'GBP', 'AUD', 'NZD', 'USD', 'CAD', 'CHF', 'JPY'])
           WITH ORDINALITY AS b (code, place)
  JOIN unnest(ARRAY['EUR', 'GBP', 'AUD', 'NZD', 'USD', 'CAD', 'CHF', 'JPY'])
           WITH ORDINALITY AS q (code, place) ON b.place < q.place;

INSERT INTO instruments (symbol, base_currency, quote_currency, pip_size, contract_size,
                         created_at, updated_at)
SELECT m.code || 'USD', m.code, 'USD', 0.01, m.ounces,
       '2024-03-01 00:00:00+00', '2024-03-01 00:00:00+00'
  FROM (VALUES ('XAU', 100), ('XAG', 5000), ('XPT', 100), ('XPD', 100)) AS m (code, ounces);

GRANT SELECT, INSERT, UPDATE, DELETE ON instruments, holidays TO fx_app;
GRANT SELECT ON instruments, holidays TO fx_user, fx_reporting;
