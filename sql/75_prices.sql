
-- prices for the risk engine

CREATE FUNCTION forget_prices()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_forget_prices';

REVOKE ALL ON FUNCTION forget_prices() FROM PUBLIC;

COMMENT ON FUNCTION forget_prices()
    IS 'trigger, AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE on fx.instruments: the session reads prices and instruments anew for its next risk check (other sessions within fxplatform.price_cache)';
