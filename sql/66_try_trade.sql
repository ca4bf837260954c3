
-- trades that may be refused
--
-- The two functions of C know what was refused in this transaction; they take
-- nobody's word for it.

CREATE FUNCTION refusal_reason()
RETURNS text
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_refusal_reason';

COMMENT ON FUNCTION refusal_reason()
    IS 'why the last trade that was refused in this transaction was: the type of the first limit that refused it, or halted or reduce_only, the state of the account; NULL when none was, or fx.record_refusal has recorded it';

CREATE FUNCTION record_refusal(trade_id uuid)
RETURNS void
LANGUAGE C
STRICT
AS 'MODULE_PATHNAME', 'fx_record_refusal';

COMMENT ON FUNCTION record_refusal(uuid)
    IS 'records the last refusal of this transaction, once, in fx.risk_events: a row for each limit that refused, and one for the state of the account; trade_id is a rejected trade of the same user, which the caller can see; does nothing for NULL; errors: 55000 no trade was refused, 22023 no such trade';

CREATE FUNCTION try_trade(
    OUT trade_id uuid,
    user_id uuid,
    symbol text,
    type text,
    quantity numeric,
    price numeric DEFAULT NULL,
    order_type text DEFAULT 'market',
    strategy_id uuid DEFAULT NULL,
    INOUT status text DEFAULT 'executed',
    executed_at timestamptz DEFAULT now(),
    stop_loss numeric DEFAULT NULL,
    take_profit numeric DEFAULT NULL,
    commission numeric DEFAULT 0,
    broker_id text DEFAULT NULL,
    external_id text DEFAULT NULL,
    metadata jsonb DEFAULT '{}',
    OUT reason_code text,
    OUT detail jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    why text;
BEGIN
    IF status IS NULL OR status NOT IN ('executed', 'pending') THEN
        RAISE EXCEPTION 'argument "status" must be "executed" or "pending"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    BEGIN
        INSERT INTO fx.trades AS t (user_id, strategy_id, broker_id, symbol, type, order_type,
                                    quantity, price, stop_loss, take_profit, commission, status,
                                    executed_at, external_id, metadata)
        VALUES (try_trade.user_id, try_trade.strategy_id, try_trade.broker_id, try_trade.symbol,
                try_trade.type, try_trade.order_type, try_trade.quantity, try_trade.price,
                try_trade.stop_loss, try_trade.take_profit, try_trade.commission, try_trade.status,
                CASE try_trade.status WHEN 'executed' THEN try_trade.executed_at END,
                try_trade.external_id, try_trade.metadata)
        RETURNING t.id INTO try_trade.trade_id;
        RETURN;
    EXCEPTION WHEN SQLSTATE 'XF001' OR SQLSTATE 'XF002' THEN
        GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
    END;

    status := 'rejected';
    reason_code := fx.refusal_reason();
    detail := why::jsonb;
    INSERT INTO fx.trades AS t (user_id, strategy_id, broker_id, symbol, type, order_type,
                                quantity, price, stop_loss, take_profit, commission, status,
                                reason_code, external_id, metadata)
    VALUES (try_trade.user_id, try_trade.strategy_id, try_trade.broker_id, try_trade.symbol,
            try_trade.type, try_trade.order_type, try_trade.quantity, try_trade.price,
            try_trade.stop_loss, try_trade.take_profit, try_trade.commission, try_trade.status,
            try_trade.reason_code, try_trade.external_id, try_trade.metadata)
    RETURNING t.id INTO try_trade.trade_id;
    PERFORM fx.record_refusal(try_trade.trade_id);
END
$$;

COMMENT ON FUNCTION try_trade(uuid, text, text, numeric, numeric, text, uuid, text, timestamptz, numeric, numeric, numeric, text, text, jsonb)
    IS 'inserts a trade, executed (at executed_at) or pending, with the rights of the caller; where limits or the state of the account refuse it (XF001, XF002) it is inserted as rejected instead, with reason_code (the type of the first limit that refused, or halted or reduce_only), and the refusals are recorded in fx.risk_events; returns its id and status, and of a refusal the reason and the JSON that the error would have as its detail; other errors are those of an insert, and 22023 for another status';

REVOKE ALL ON FUNCTION refusal_reason() FROM PUBLIC;
REVOKE ALL ON FUNCTION record_refusal(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION try_trade(uuid, text, text, numeric, numeric, text, uuid, text, timestamptz, numeric, numeric, numeric, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION refusal_reason() TO fx_app, fx_user;
GRANT EXECUTE ON FUNCTION record_refusal(uuid) TO fx_app, fx_user;
GRANT EXECUTE ON FUNCTION try_trade(uuid, text, text, numeric, numeric, text, uuid, text, timestamptz, numeric, numeric, numeric, text, text, jsonb) TO fx_app, fx_user;
