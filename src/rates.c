/*-------------------------------------------------------------------------
 *
 * rates.c
 *	  Rates between currencies by the stored candles
 *
 * A rate is that of the pair itself, else one over that of the opposite pair,
 * else that of two legs through USD, else through EUR.  The price of a pair is
 * the close of its newest stored candle that had opened, of the finest
 * timeframe that is fresh.  A candle is as old as the market was open since it
 * ended, and fresh up to fxplatform.max_rate_age.  Where nothing is fresh
 * there is no rate: no caller may mistake that for 1 or 0.
 *
 * A rate is kept as its prices, so that an amount is multiplied and divided
 * by them exactly and rounded once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "candle_lookup.h"
#include "compat.h"
#include "fixed.h"
#include "fx_day.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "market_hours.h"
#include "rates.h"

/* No more of an argument than this is shown in an error */
#define ECHO_BYTES			64

#define DETAIL_COLUMNS		5

/* Of all the days back to the oldest fresh price, no more than this are closed */
#define CLOSED_DAYS			400

/* No candle is longer: of 4h and more one is by what the clock is set back, or a month is long */
static const int64 longest[FX_TIMEFRAMES] = {
	USECS_PER_MINUTE, 5 * USECS_PER_MINUTE, 15 * USECS_PER_MINUTE, 30 * USECS_PER_MINUTE,
	USECS_PER_HOUR, 5 * USECS_PER_HOUR, 25 * USECS_PER_HOUR, 7 * USECS_PER_DAY + USECS_PER_HOUR,
	31 * USECS_PER_DAY + USECS_PER_HOUR
};

static const char *const pivots[] = {"USD", "EUR"};

static const char *const method_names[] = {"same", "direct", "inverse", "cross"};

typedef struct CurrencyCode
{
	char		str[FX_CURRENCY_MAX + 1];
} CurrencyCode;

/* An instrument whose symbol is not made of its currencies */
typedef struct NamedPair
{
	CurrencyCode base;
	CurrencyCode quote;
	char		symbol[FX_SYMBOL_SIZE];
} NamedPair;

typedef struct RateSearch
{
	FxLookup   *lookup;
	TimestampTz as_of;
	TimestampTz oldest;			/* end of a candle that may be fresh */
	FxHolidays	holidays;
	int			npairs;
	NamedPair  *pairs;
} RateSearch;

PG_FUNCTION_INFO_V1(fx_rate);
PG_FUNCTION_INFO_V1(fx_convert);
PG_FUNCTION_INFO_V1(fx_rate_details);

static bool get_rate(FunctionCallInfo fcinfo, int first_arg, FxRate *rate);
static void read_code(const char *str, CurrencyCode *code);
static void begin_search(RateSearch *search, TimestampTz as_of);
static void read_named_pairs(RateSearch *search);
static bool find_leg(RateSearch *search, const char *from, const char *to, FxRateLeg *leg);
static bool find_pair(RateSearch *search, const char *base, const char *quote, FxRateLeg *leg);
static bool find_price(RateSearch *search, const char *symbol, FxRateLeg *leg);
static Datum multiply_exactly(const FxRate *rate, Datum amount);

/*
 * rate(from_currency text, to_currency text, as_of timestamptz)
 *		returns numeric
 */
Datum
fx_rate(PG_FUNCTION_ARGS)
{
	FxRate		rate;

	if (!get_rate(fcinfo, 0, &rate))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(fx_rate_get_numeric(&rate));
}

/*
 * convert(amount numeric, from_currency text, to_currency text,
 *		   as_of timestamptz)
 *		returns numeric
 *
 * The amount counts with all of its decimals.
 */
Datum
fx_convert(PG_FUNCTION_ARGS)
{
	struct varlena *amount = pg_detoast_datum_packed((struct varlena *) PG_GETARG_POINTER(0));
	int128		fixed;
	int128		product;
	int128		num;
	int128		den;
	FxFixedStatus status = fx_fixed_from_numeric(amount, &fixed);
	FxRate		rate;

	if (status == FX_FIXED_NAN || status == FX_FIXED_INFINITE)
		fx_fixed_raise(status, "argument \"amount\"");
	if (!get_rate(fcinfo, 1, &rate))
		PG_RETURN_NULL();

	fx_rate_fraction(&rate, &num, &den);
	if (status == FX_FIXED_OK &&
		DatumGetInt32(DirectFunctionCall1(numeric_scale, PG_GETARG_DATUM(0))) <= FX_FIXED_SCALE &&
		!__builtin_mul_overflow(fixed, num, &product))
		PG_RETURN_DATUM(fx_fixed_get_numeric(fx_fixed_div(product, den)));

	PG_RETURN_DATUM(multiply_exactly(&rate, PG_GETARG_DATUM(0)));
}

/*
 * rate_details(from_currency text, to_currency text, as_of timestamptz)
 *		returns table (rate numeric, path text[], method text,
 *					   observed_at timestamptz, age interval)
 */
Datum
fx_rate_details(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FxRate		rate;
	Datum		values[DETAIL_COLUMNS];
	bool		nulls[DETAIL_COLUMNS] = {0};
	Datum		symbols[lengthof(rate.legs)];
	Interval	age = {0};

	InitMaterializedSRF(fcinfo, 0);
	if (!get_rate(fcinfo, 0, &rate))
		return (Datum) 0;

	for (int i = 0; i < rate.nlegs; i++)
		symbols[i] = CStringGetTextDatum(rate.legs[i].symbol);
	age.time = rate.age;

	values[0] = fx_rate_get_numeric(&rate);
	values[1] = PointerGetDatum(construct_array(symbols, rate.nlegs, TEXTOID, -1, false,
												TYPALIGN_INT));
	values[2] = CStringGetTextDatum(method_names[rate.method]);
	values[3] = TimestampTzGetDatum(rate.observed_at);
	values[4] = IntervalPGetDatum(&age);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/*
 * Find the rate by which an amount in one currency becomes one in another, by
 * what was known at a time, which must be finite.  False when there is none.
 * Codes may be of either case.
 */
bool
fx_currency_rate(const char *from, const char *to, TimestampTz as_of, FxRate *rate)
{
	CurrencyCode source;
	CurrencyCode target;
	RateSearch	search;
	FxRateLeg  *legs = rate->legs;

	read_code(from, &source);
	read_code(to, &target);
	fx_check_market_time(as_of, "as_of");

	rate->nlegs = 0;
	rate->method = FX_RATE_SAME;
	rate->observed_at = as_of;
	rate->age = 0;
	if (strcmp(source.str, target.str) == 0)
		return true;

	begin_search(&search, as_of);
	if (find_leg(&search, source.str, target.str, &legs[0]))
	{
		rate->nlegs = 1;
		rate->method = legs[0].inverse ? FX_RATE_INVERSE : FX_RATE_DIRECT;
	}
	for (int i = 0; rate->nlegs == 0 && i < lengthof(pivots); i++)
	{
		if (strcmp(source.str, pivots[i]) != 0 && strcmp(target.str, pivots[i]) != 0 &&
			find_leg(&search, source.str, pivots[i], &legs[0]) &&
			find_leg(&search, pivots[i], target.str, &legs[1]))
		{
			rate->nlegs = 2;
			rate->method = FX_RATE_CROSS;
		}
	}
	fx_lookup_end(search.lookup);

	for (int i = 0; i < rate->nlegs; i++)
	{
		rate->observed_at = Min(rate->observed_at, legs[i].observed_at);
		rate->age = Max(rate->age, legs[i].age);
	}
	return rate->nlegs > 0;
}

/*
 * Find the price of a symbol, as its candles are stored, by what was known at
 * a time, which must be finite.  False when there is no fresh one.
 */
bool
fx_symbol_price(const char *symbol, TimestampTz as_of, FxRateLeg *leg)
{
	RateSearch	search;
	bool		found;

	fx_check_market_time(as_of, "as_of");
	begin_search(&search, as_of);
	leg->inverse = false;
	found = find_price(&search, symbol, leg);
	fx_lookup_end(search.lookup);
	return found;
}

/*
 * Convert an amount at scale 8, rounding half away from zero.
 */
int128
fx_rate_apply(const FxRate *rate, int128 amount)
{
	int128		num;
	int128		den;
	int128		product;

	fx_rate_fraction(rate, &num, &den);
	if (unlikely(__builtin_mul_overflow(amount, num, &product)))
		return fx_fixed_get_argument(multiply_exactly(rate, fx_fixed_get_numeric(amount)),
									 "amount");
	return fx_fixed_div(product, den);
}

/*
 * The rate as a number: the product of the prices of direct legs, exactly,
 * divided by that of the inverse ones as numerics divide, to at least 16
 * significant digits.
 */
Datum
fx_rate_get_numeric(const FxRate *rate)
{
	Datum		num = (Datum) 0;
	Datum		den = (Datum) 0;

	for (int i = 0; i < rate->nlegs; i++)
	{
		Datum	   *side = rate->legs[i].inverse ? &den : &num;
		Datum		price = fx_fixed_get_numeric(rate->legs[i].price);

		*side = *side == (Datum) 0 ? price : DirectFunctionCall2(numeric_mul, *side, price);
	}
	if (num == (Datum) 0)
		num = NumericGetDatum(int64_to_numeric(1));
	if (den == (Datum) 0)
		return num;
	return DirectFunctionCall2(numeric_div, num, den);
}

/*
 * The rate for the arguments from, to and as_of of a strict function.
 */
static bool
get_rate(FunctionCallInfo fcinfo, int first_arg, FxRate *rate)
{
	return fx_currency_rate(text_to_cstring(PG_GETARG_TEXT_PP(first_arg)),
							text_to_cstring(PG_GETARG_TEXT_PP(first_arg + 1)),
							PG_GETARG_TIMESTAMPTZ(first_arg + 2), rate);
}

/*
 * A currency code in upper case: letters and digits of ASCII.
 */
static void
read_code(const char *str, CurrencyCode *code)
{
	int			len = strlen(str);
	bool		valid = len >= FX_CURRENCY_MIN && len <= FX_CURRENCY_MAX;

	for (int i = 0; valid && i < len; i++)
	{
		char		c = str[i];

		if (c >= 'a' && c <= 'z')
			c += 'A' - 'a';
		valid = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		code->str[i] = c;
	}
	if (!valid)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("\"%.*s\" is not a currency code", pg_mbcliplen(str, len, ECHO_BYTES), str),
				errhint("A code has three to ten letters and digits."));
	code->str[len] = '\0';
}

static void
begin_search(RateSearch *search, TimestampTz as_of)
{
	int64		max_age = (int64) fx_max_rate_age * USECS_PER_SEC;
	DateADT		day = fx_day_of(as_of);
	DateADT		earliest;

	/* five days of seven are open */
	earliest = day - 2 * (int) (max_age / USECS_PER_DAY + 1) - CLOSED_DAYS;

	search->as_of = as_of;
	fx_read_holidays(&search->holidays, earliest, day);
	search->oldest = fx_open_since(as_of, max_age, &search->holidays, earliest);
	read_named_pairs(search);
	search->lookup = fx_lookup_begin();
}

/*
 * Instruments whose candles are not found by the codes of their currencies.
 */
static void
read_named_pairs(RateSearch *search)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext caller = CurrentMemoryContext;

	fx_require_table("instruments");
	SPI_connect();
	if (plan == NULL)
	{
		plan = fx_kept_plan("SELECT i.base_currency, i.quote_currency, i.symbol"
							" FROM fx.instruments i"
							" WHERE i.symbol OPERATOR(pg_catalog.<>)"
							" (i.base_currency OPERATOR(pg_catalog.||) i.quote_currency)"
							" ORDER BY i.symbol", 0, NULL);
	}
	if (SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");

	search->npairs = (int) SPI_processed;
	search->pairs = NULL;
	if (search->npairs > 0)
		search->pairs = (NamedPair *) MemoryContextAlloc(caller, search->npairs * sizeof(NamedPair));
	for (int i = 0; i < search->npairs; i++)
	{
		NamedPair  *pair = &search->pairs[i];
		HeapTuple	row = SPI_tuptable->vals[i];

		strlcpy(pair->base.str, SPI_getvalue(row, SPI_tuptable->tupdesc, 1), sizeof(pair->base.str));
		strlcpy(pair->quote.str, SPI_getvalue(row, SPI_tuptable->tupdesc, 2), sizeof(pair->quote.str));
		strlcpy(pair->symbol, SPI_getvalue(row, SPI_tuptable->tupdesc, 3), sizeof(pair->symbol));
	}
	SPI_finish();
}

/*
 * The pair of two currencies, or the opposite one.
 */
static bool
find_leg(RateSearch *search, const char *from, const char *to, FxRateLeg *leg)
{
	leg->inverse = false;
	if (find_pair(search, from, to, leg))
		return true;
	leg->inverse = true;
	return find_pair(search, to, from, leg);
}

/*
 * By the name of its instrument, where that is another, and by its currencies.
 */
static bool
find_pair(RateSearch *search, const char *base, const char *quote, FxRateLeg *leg)
{
	char		symbol[2 * FX_CURRENCY_MAX + 1];

	for (int i = 0; i < search->npairs; i++)
	{
		NamedPair  *pair = &search->pairs[i];

		if (strcmp(pair->base.str, base) == 0 && strcmp(pair->quote.str, quote) == 0 &&
			find_price(search, pair->symbol, leg))
			return true;
	}
	snprintf(symbol, sizeof(symbol), "%s%s", base, quote);
	return find_price(search, symbol, leg);
}

static bool
find_price(RateSearch *search, const char *symbol, FxRateLeg *leg)
{
	int			symbol_len = strlen(symbol);
	int64		max_age = (int64) fx_max_rate_age * USECS_PER_SEC;
	FxCandle	candle;

	/* most of the symbols that are tried do not exist in any timeframe */
	if (!fx_lookup_may_have(search->lookup, symbol, symbol_len, search->as_of,
							search->oldest - longest[FX_TIMEFRAMES - 1]))
		return false;

	for (FxTimeframe timeframe = FX_TF_1M; timeframe < FX_TIMEFRAMES; timeframe++)
	{
		TimestampTz end;
		bool		utc;

		if (!fx_lookup_next(search->lookup, symbol, symbol_len, timeframe, search->as_of,
							search->oldest - longest[timeframe], &candle) ||
			candle.close <= 0)
			continue;

		/* days of UTC are stored too */
		utc = fx_candle_start(timeframe, candle.at, false) != candle.at;
		end = Min(fx_candle_end(timeframe, candle.at, utc), search->as_of);
		leg->age = fx_open_usecs(end, search->as_of, &search->holidays);
		if (leg->age <= max_age)
		{
			strlcpy(leg->symbol, symbol, sizeof(leg->symbol));
			leg->price = candle.close;
			leg->observed_at = end;
			return true;
		}
	}
	return false;
}

/*
 * The rate as a fraction.  Two prices of 64 bits fit.
 */
void
fx_rate_fraction(const FxRate *rate, int128 *num, int128 *den)
{
	*num = 1;
	*den = 1;
	for (int i = 0; i < rate->nlegs; i++)
	{
		const FxRateLeg *leg = &rate->legs[i];

		*num *= leg->inverse ? FX_FIXED_ONE : leg->price;
		*den *= leg->inverse ? leg->price : FX_FIXED_ONE;
	}
}

/*
 * The same for an amount of any size and number of decimals: the whole part of
 * amount * num / den * 10^8 + 1/2, of the magnitude.
 */
static Datum
multiply_exactly(const FxRate *rate, Datum amount)
{
	int128		num;
	int128		den;
	Datum		num_numeric;
	Datum		den_numeric;
	Datum		magnitude;
	Datum		units;
	Datum		result;

	fx_rate_fraction(rate, &num, &den);
	/* both are a 10^8th of what they should be */
	num_numeric = fx_fixed_get_numeric(num);
	den_numeric = fx_fixed_get_numeric(den);

	magnitude = DirectFunctionCall2(numeric_mul, DirectFunctionCall1(numeric_abs, amount),
									num_numeric);
	magnitude = DirectFunctionCall2(numeric_mul, magnitude,
									NumericGetDatum(int64_to_numeric(2 * FX_FIXED_ONE)));
	units = DirectFunctionCall2(numeric_div_trunc,
								DirectFunctionCall2(numeric_add, magnitude, den_numeric),
								DirectFunctionCall2(numeric_add, den_numeric, den_numeric));
	result = DirectFunctionCall2(numeric_mul, units, fx_fixed_get_numeric(1));

	if (DatumGetBool(DirectFunctionCall2(numeric_lt, amount,
										 NumericGetDatum(int64_to_numeric(0)))))
		result = DirectFunctionCall1(numeric_uminus, result);
	return result;
}
