
-- P&L

CREATE TYPE pnl;

CREATE FUNCTION pnl_in(cstring)
RETURNS pnl
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_in';

COMMENT ON FUNCTION pnl_in(cstring) IS 'text input of type pnl; errors: 22P02 malformed or impossible, 0A000 version of a newer fxplatform';

CREATE FUNCTION pnl_out(pnl)
RETURNS cstring
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_out';

COMMENT ON FUNCTION pnl_out(pnl) IS 'text output of type pnl';

CREATE FUNCTION pnl_recv(internal)
RETURNS pnl
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_recv';

COMMENT ON FUNCTION pnl_recv(internal) IS 'binary input of type pnl; errors: 22P03 impossible, 08P01 malformed, 0A000 version of a newer fxplatform';

CREATE FUNCTION pnl_send(pnl)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_send';

COMMENT ON FUNCTION pnl_send(pnl) IS 'binary output of type pnl';

CREATE TYPE pnl (
    INPUT = pnl_in,
    OUTPUT = pnl_out,
    RECEIVE = pnl_recv,
    SEND = pnl_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = plain
);

COMMENT ON TYPE pnl
    IS 'what a set of trades earned: counts, sums and extremes of net profits in account currency, exact; made by fx.pnl_agg, merged by fx.rollup, read by accessors, fx.summary or a cast to jsonb';

-- comparison: by value, and the same trades give the same bytes

CREATE FUNCTION pnl_eq(pnl, pnl)
RETURNS boolean
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_eq';

COMMENT ON FUNCTION pnl_eq(pnl, pnl) IS 'whether two values of type pnl are equal';

CREATE FUNCTION pnl_ne(pnl, pnl)
RETURNS boolean
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_ne';

COMMENT ON FUNCTION pnl_ne(pnl, pnl) IS 'whether two values of type pnl differ';

CREATE FUNCTION pnl_hash(pnl)
RETURNS integer
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_hash';

COMMENT ON FUNCTION pnl_hash(pnl) IS 'hash of a value of type pnl';

CREATE FUNCTION pnl_hash_extended(pnl, bigint)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_hash_extended';

COMMENT ON FUNCTION pnl_hash_extended(pnl, bigint) IS 'seeded hash of a value of type pnl';

CREATE OPERATOR = (
    LEFTARG = pnl,
    RIGHTARG = pnl,
    FUNCTION = pnl_eq,
    COMMUTATOR = =,
    NEGATOR = <>,
    RESTRICT = eqsel,
    JOIN = eqjoinsel,
    HASHES
);

CREATE OPERATOR <> (
    LEFTARG = pnl,
    RIGHTARG = pnl,
    FUNCTION = pnl_ne,
    COMMUTATOR = <>,
    NEGATOR = =,
    RESTRICT = neqsel,
    JOIN = neqjoinsel
);

CREATE OPERATOR CLASS pnl_hash_ops
    DEFAULT FOR TYPE pnl USING hash AS
        OPERATOR 1 =,
        FUNCTION 1 pnl_hash(pnl),
        FUNCTION 2 pnl_hash_extended(pnl, bigint);

-- aggregates: the state is the value, so there is no final function

CREATE FUNCTION pnl_accum(pnl, profit numeric)
RETURNS pnl
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_accum';

COMMENT ON FUNCTION pnl_accum(pnl, numeric)
    IS 'adds a trade; NULL profit adds none; errors: 22003 NaN, infinite or out of range';

CREATE FUNCTION pnl_accum(pnl, profit numeric, commission numeric, swap numeric)
RETURNS pnl
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_accum_costs';

COMMENT ON FUNCTION pnl_accum(pnl, numeric, numeric, numeric)
    IS 'adds a trade with its costs; NULL profit adds none, NULL costs are zero; errors: 22003 NaN, infinite or out of range';

CREATE FUNCTION pnl_combine(pnl, pnl)
RETURNS pnl
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_combine';

COMMENT ON FUNCTION pnl_combine(pnl, pnl)
    IS 'trades of both; NULL is none; errors: 22003 out of range';

-- moving windows: what leaves the frame is subtracted, in the order in which it
-- came; the state is internal, because it never leaves the process

CREATE FUNCTION pnl_moving_accum(internal, profit numeric)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_accum';

COMMENT ON FUNCTION pnl_moving_accum(internal, numeric)
    IS 'adds a trade to a moving window, as fx.pnl_accum; only within an aggregate';

CREATE FUNCTION pnl_moving_accum(internal, profit numeric, commission numeric, swap numeric)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_accum';

COMMENT ON FUNCTION pnl_moving_accum(internal, numeric, numeric, numeric)
    IS 'adds a trade with its costs to a moving window, as fx.pnl_accum; only within an aggregate';

CREATE FUNCTION pnl_moving_remove(internal, profit numeric)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_remove';

COMMENT ON FUNCTION pnl_moving_remove(internal, numeric)
    IS 'removes the oldest trade of a moving window; only within an aggregate';

CREATE FUNCTION pnl_moving_remove(internal, profit numeric, commission numeric, swap numeric)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_remove';

COMMENT ON FUNCTION pnl_moving_remove(internal, numeric, numeric, numeric)
    IS 'removes the oldest trade of a moving window with its costs; only within an aggregate';

CREATE FUNCTION pnl_moving_merge(internal, pnl)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_merge';

COMMENT ON FUNCTION pnl_moving_merge(internal, pnl)
    IS 'adds a value to a moving window, as fx.pnl_combine; only within an aggregate';

CREATE FUNCTION pnl_moving_unmerge(internal, pnl)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_unmerge';

COMMENT ON FUNCTION pnl_moving_unmerge(internal, pnl)
    IS 'removes the oldest value of a moving window; only within an aggregate';

CREATE FUNCTION pnl_moving_final(internal)
RETURNS pnl
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_final';

COMMENT ON FUNCTION pnl_moving_final(internal)
    IS 'value of a moving window, NULL for one without trades; only within an aggregate';

CREATE AGGREGATE pnl_agg(profit numeric) (
    SFUNC = pnl_accum,
    STYPE = pnl,
    COMBINEFUNC = pnl_combine,
    MSFUNC = pnl_moving_accum,
    MINVFUNC = pnl_moving_remove,
    MSTYPE = internal,
    MFINALFUNC = pnl_moving_final,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE pnl_agg(numeric)
    IS 'P&L of trades whose net profit is given, in account currency; more than eight decimals are rounded half away from zero; NULL profits are skipped, NULL without any; errors: 22003 NaN, infinite or out of range';

CREATE AGGREGATE pnl_agg(profit numeric, commission numeric, swap numeric) (
    SFUNC = pnl_accum,
    STYPE = pnl,
    COMBINEFUNC = pnl_combine,
    MSFUNC = pnl_moving_accum,
    MINVFUNC = pnl_moving_remove,
    MSTYPE = internal,
    MFINALFUNC = pnl_moving_final,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE pnl_agg(numeric, numeric, numeric)
    IS 'P&L of trades by net profit = profit - commission + swap, in account currency; more than eight decimals are rounded half away from zero; trades with NULL profit are skipped, NULL costs are zero, NULL without any trade; errors: 22003 NaN, infinite or out of range';

-- a keyword of GROUP BY, so that CREATE AGGREGATE needs the quotes
CREATE AGGREGATE "rollup"(pnl) (
    SFUNC = pnl_combine,
    STYPE = pnl,
    COMBINEFUNC = pnl_combine,
    MSFUNC = pnl_moving_merge,
    MINVFUNC = pnl_moving_unmerge,
    MSTYPE = internal,
    MFINALFUNC = pnl_moving_final,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE "rollup"(pnl)
    IS 'P&L of the trades of all values together, the same as of the trades themselves; NULLs are skipped, NULL without any; errors: 22003 out of range';
