/*-------------------------------------------------------------------------
 *
 * candlestick.c
 *	  Aggregates of candles and of ticks, and the accessors of the result
 *
 * The state of candlestick_agg() is the value that it returns, as with pnl: no
 * final function, and partial results are ordinary values.  A row costs the
 * decoding of its numerics into integers and some comparisons; nothing is
 * allocated for it.
 *
 * The first row opens and the last one closes, by time, and of rows of the same
 * time by arrival.  All else does not depend on the order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "candlestick.h"
#include "compat.h"
#include "iso8601.h"
#include "json_build.h"

PG_FUNCTION_INFO_V1(fx_candlestick_make_one);
PG_FUNCTION_INFO_V1(fx_candlestick_accum);
PG_FUNCTION_INFO_V1(fx_candlestick_accum_tick);
PG_FUNCTION_INFO_V1(fx_candlestick_combine);
PG_FUNCTION_INFO_V1(fx_candlestick_open);
PG_FUNCTION_INFO_V1(fx_candlestick_high);
PG_FUNCTION_INFO_V1(fx_candlestick_low);
PG_FUNCTION_INFO_V1(fx_candlestick_close);
PG_FUNCTION_INFO_V1(fx_candlestick_volume);
PG_FUNCTION_INFO_V1(fx_candlestick_first_at);
PG_FUNCTION_INFO_V1(fx_candlestick_last_at);
PG_FUNCTION_INFO_V1(fx_candlestick_to_jsonb);

static void candle_init(FxCandlestick *candle);
static bool get_candle(FunctionCallInfo fcinfo, int arg, FxCandlestick *candle);
static TimestampTz get_time(Datum ts);
static int64 get_price(Datum price, const char *name);
pg_noreturn static void raise_inconsistent(const FxCandlestick *candle);
static Datum return_state(FunctionCallInfo fcinfo);
static Datum add_candle(FunctionCallInfo fcinfo, const FxCandlestick *candle);
static FxCandlestick *get_state(FunctionCallInfo fcinfo);

/*
 * candlestick(ts timestamptz, open numeric, high numeric, low numeric,
 *		close numeric, volume bigint) returns candlestick
 */
Datum
fx_candlestick_make_one(PG_FUNCTION_ARGS)
{
	FxCandlestick *candle = fx_candlestick_make();

	if (!get_candle(fcinfo, 0, candle))
		PG_RETURN_NULL();
	PG_RETURN_POINTER(candle);
}

/*
 * candlestick_accum(state candlestick, ts timestamptz, open numeric,
 *		high numeric, low numeric, close numeric, volume bigint)
 *		returns candlestick
 *
 * Not strict, because the first call has no state.  A row without time or
 * without one of its prices is skipped.
 */
Datum
fx_candlestick_accum(PG_FUNCTION_ARGS)
{
	FxCandlestick candle;

	candle_init(&candle);
	if (!get_candle(fcinfo, 1, &candle))
		return return_state(fcinfo);
	return add_candle(fcinfo, &candle);
}

/*
 * candlestick_accum(state candlestick, ts timestamptz, price numeric)
 *		returns candlestick
 */
Datum
fx_candlestick_accum_tick(PG_FUNCTION_ARGS)
{
	FxCandlestick candle;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return return_state(fcinfo);

	candle_init(&candle);
	candle.first_at = candle.last_at = get_time(PG_GETARG_DATUM(1));
	candle.open = get_price(PG_GETARG_DATUM(2), "price");
	candle.high = candle.low = candle.close = candle.open;
	return add_candle(fcinfo, &candle);
}

/*
 * candlestick_combine(candlestick, candlestick) returns candlestick
 *
 * Also the transition function of rollup().  The second argument is another
 * aggregate's, or a row's, and is not touched.
 */
Datum
fx_candlestick_combine(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1))
		return return_state(fcinfo);
	return add_candle(fcinfo, PG_GETARG_CANDLESTICK_P(1));
}

#define CANDLESTICK_PRICE(name) \
Datum \
fx_candlestick_##name(PG_FUNCTION_ARGS) \
{ \
	PG_RETURN_DATUM(fx_fixed_get_numeric(PG_GETARG_CANDLESTICK_P(0)->name)); \
}

#define CANDLESTICK_TIME(name) \
Datum \
fx_candlestick_##name(PG_FUNCTION_ARGS) \
{ \
	PG_RETURN_TIMESTAMPTZ(PG_GETARG_CANDLESTICK_P(0)->name); \
}

CANDLESTICK_PRICE(open)
CANDLESTICK_PRICE(high)
CANDLESTICK_PRICE(low)
CANDLESTICK_PRICE(close)
CANDLESTICK_TIME(first_at)
CANDLESTICK_TIME(last_at)

/*
 * volume(candlestick) returns bigint
 */
Datum
fx_candlestick_volume(PG_FUNCTION_ARGS)
{
	FxCandlestick *candle = PG_GETARG_CANDLESTICK_P(0);

	if ((candle->flags & FX_CANDLESTICK_HAS_VOLUME) == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(candle->volume);
}

/*
 * candlestick_to_jsonb(candlestick) returns jsonb
 */
Datum
fx_candlestick_to_jsonb(PG_FUNCTION_ARGS)
{
	FxCandlestick *candle = PG_GETARG_CANDLESTICK_P(0);
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	fx_json_put_time(&state, "firstAt", candle->first_at);
	fx_json_put_time(&state, "lastAt", candle->last_at);
	fx_json_put_money(&state, "open", candle->open);
	fx_json_put_money(&state, "high", candle->high);
	fx_json_put_money(&state, "low", candle->low);
	fx_json_put_money(&state, "close", candle->close);
	if (candle->flags & FX_CANDLESTICK_HAS_VOLUME)
		fx_json_put_count(&state, "volume", candle->volume);
	else
		fx_json_put_null(&state, "volume");
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/*
 * A palloc'd value, to be filled.
 */
FxCandlestick *
fx_candlestick_make(void)
{
	FxCandlestick *candle = palloc(sizeof(FxCandlestick));

	candle_init(candle);
	return candle;
}

/*
 * Add the rows of another value, which arrived later.
 */
void
fx_candlestick_merge(FxCandlestick *into, const FxCandlestick *from)
{
	if (from->first_at < into->first_at)
	{
		into->first_at = from->first_at;
		into->open = from->open;
	}
	if (from->last_at >= into->last_at)
	{
		into->last_at = from->last_at;
		into->close = from->close;
	}
	into->high = Max(into->high, from->high);
	into->low = Min(into->low, from->low);

	if (from->flags & FX_CANDLESTICK_HAS_VOLUME)
	{
		if (unlikely(__builtin_add_overflow(into->volume, from->volume, &into->volume)))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "sum of volumes");
		into->flags |= FX_CANDLESTICK_HAS_VOLUME;
	}
}

static inline void
candle_init(FxCandlestick *candle)
{
	memset(candle, 0, sizeof(FxCandlestick));
	SET_VARSIZE(candle, sizeof(FxCandlestick));
	candle->version = FX_CANDLESTICK_VERSION;
}

/*
 * The candle in the arguments from arg on: ts, open, high, low, close, volume.
 * False where the time or a price is null.
 */
static inline bool
get_candle(FunctionCallInfo fcinfo, int arg, FxCandlestick *candle)
{
	if (PG_ARGISNULL(arg) || PG_ARGISNULL(arg + 1) || PG_ARGISNULL(arg + 2) ||
		PG_ARGISNULL(arg + 3) || PG_ARGISNULL(arg + 4))
		return false;

	candle->first_at = candle->last_at = get_time(PG_GETARG_DATUM(arg));
	candle->open = get_price(PG_GETARG_DATUM(arg + 1), "open");
	candle->high = get_price(PG_GETARG_DATUM(arg + 2), "high");
	candle->low = get_price(PG_GETARG_DATUM(arg + 3), "low");
	candle->close = get_price(PG_GETARG_DATUM(arg + 4), "close");
	if (unlikely(candle->low > candle->open || candle->low > candle->close ||
				 candle->high < candle->open || candle->high < candle->close))
		raise_inconsistent(candle);

	if (!PG_ARGISNULL(arg + 5))
	{
		candle->volume = PG_GETARG_INT64(arg + 5);
		candle->flags = FX_CANDLESTICK_HAS_VOLUME;
		if (unlikely(candle->volume < 0))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("argument \"%s\" must not be negative", "volume"));
	}
	return true;
}

static inline TimestampTz
get_time(Datum datum)
{
	TimestampTz ts = DatumGetTimestampTz(datum);

	if (unlikely(ts < FX_CANDLESTICK_MIN_TIME || ts >= FX_CANDLESTICK_END_TIME))
	{
		if (TIMESTAMP_NOT_FINITE(ts))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("argument \"%s\" must be finite", "ts"));
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("argument \"%s\" is out of range", "ts"));
	}
	return ts;
}

/*
 * A price of an argument, decoded where it is.
 */
static inline int64
get_price(Datum datum, const char *name)
{
	int128		price = fx_fixed_get_argument(datum, name);

	if (unlikely(price > FX_CANDLESTICK_MAX_PRICE || price < -FX_CANDLESTICK_MAX_PRICE))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("argument \"%s\" is out of range", name));
	return (int64) price;
}

/*
 * Raise the error of a low that is not the lowest of the prices, or a high that
 * is not the highest.
 */
static void
raise_inconsistent(const FxCandlestick *candle)
{
	bool		is_low = candle->low > candle->high || candle->low > candle->open ||
		candle->low > candle->close;
	int64		extreme = is_low ? candle->low : candle->high;
	const char *other;
	char		at[FX_ISO8601_SIZE];
	char		open[FX_FIXED_TEXT_SIZE];
	char		high[FX_FIXED_TEXT_SIZE];
	char		low[FX_FIXED_TEXT_SIZE];
	char		close[FX_FIXED_TEXT_SIZE];

	if (candle->low > candle->high)
		other = "high";
	else if (is_low ? extreme > candle->open : extreme < candle->open)
		other = "open";
	else
		other = "close";

	fx_iso8601_write(candle->first_at, at);
	fx_fixed_write_text(candle->open, open);
	fx_fixed_write_text(candle->high, high);
	fx_fixed_write_text(candle->low, low);
	fx_fixed_write_text(candle->close, close);
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			is_low ? errmsg("argument \"%s\" must not be above \"%s\"", "low", other) :
			errmsg("argument \"%s\" must not be below \"%s\"", "high", other),
			errdetail("The candle of %s has open %s, high %s, low %s and close %s.",
					  at, open, high, low, close));
}

/*
 * The state as it is, after a row that adds nothing.
 */
static Datum
return_state(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_POINTER(get_state(fcinfo));
}

/*
 * The state with a candle more.
 */
static inline Datum
add_candle(FunctionCallInfo fcinfo, const FxCandlestick *candle)
{
	MemoryContext aggcontext;
	FxCandlestick *state;

	if (likely(!PG_ARGISNULL(0)))
	{
		state = get_state(fcinfo);
		fx_candlestick_merge(state, candle);
	}
	else
	{
		if (!AggCheckCallContext(fcinfo, &aggcontext))
			aggcontext = CurrentMemoryContext;
		state = MemoryContextAlloc(aggcontext, sizeof(FxCandlestick));
		memcpy(state, candle, sizeof(FxCandlestick));
	}
	PG_RETURN_POINTER(state);
}

/*
 * The state to go on with.  As an aggregate's it is ours to change; a caller
 * that runs the function by hand keeps his value.
 */
static inline FxCandlestick *
get_state(FunctionCallInfo fcinfo)
{
	if (likely(AggCheckCallContext(fcinfo, NULL)))
		return PG_GETARG_CANDLESTICK_P(0);
	return (FxCandlestick *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0));
}
