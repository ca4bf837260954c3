/*-------------------------------------------------------------------------
 *
 * pnl_accessors.c
 *	  What can be read from a value of type pnl
 *
 * Money comes with eight decimals; averages are rounded half away from zero.
 * What is undefined (an average of nothing, a ratio to nothing) is null.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"

#include "compat.h"
#include "json_build.h"
#include "pnl.h"

#define SUMMARY_COLS		19

typedef enum PnlKind
{
	PNL_COUNT,
	PNL_MONEY,
	PNL_RATIO
} PnlKind;

typedef struct PnlValue
{
	PnlKind		kind;
	bool		isnull;
	int64		count;
	int128		money;
	double		ratio;
} PnlValue;

/* In the order of the columns of pnl_summary */
typedef enum PnlItem
{
	TRADE_COUNT,
	WIN_COUNT,
	LOSS_COUNT,
	BREAKEVEN_COUNT,
	GROSS_PROFIT,
	GROSS_LOSS,
	COMMISSION,
	SWAP,
	NET_PROFIT,
	AVERAGE_PROFIT,
	AVERAGE_WIN,
	AVERAGE_LOSS,
	LARGEST_WIN,
	LARGEST_LOSS,
	EXPECTANCY,
	WIN_RATE,
	PROFIT_FACTOR,
	PAYOFF_RATIO,
	STDDEV
} PnlItem;

static const char *const json_keys[SUMMARY_COLS] = {
	"tradeCount", "winCount", "lossCount", "breakevenCount", "grossProfit",
	"grossLoss", "commission", "swap", "netProfit", "averageProfit",
	"averageWin", "averageLoss", "largestWin", "largestLoss", "expectancy",
	"winRate", "profitFactor", "payoffRatio", "stddev"
};

PG_FUNCTION_INFO_V1(fx_pnl_summary);
PG_FUNCTION_INFO_V1(fx_pnl_to_jsonb);

static PnlValue get_item(const FxPnl *pnl, PnlItem item);
static PnlValue make_count(int64 count);
static PnlValue make_money(int128 sum, int64 count);
static PnlValue make_ratio(double num, double den, bool defined);
static Datum item_get_datum(PnlValue value);
static Datum return_item(FunctionCallInfo fcinfo, PnlItem item);

/* NAME(pnl) returns bigint, numeric or float8 */
#define PNL_ACCESSOR(name, item) \
	PG_FUNCTION_INFO_V1(fx_pnl_##name); \
	Datum \
	fx_pnl_##name(PG_FUNCTION_ARGS) \
	{ \
		return return_item(fcinfo, item); \
	} \
	extern int	no_such_variable

PNL_ACCESSOR(trade_count, TRADE_COUNT);
PNL_ACCESSOR(win_count, WIN_COUNT);
PNL_ACCESSOR(loss_count, LOSS_COUNT);
PNL_ACCESSOR(breakeven_count, BREAKEVEN_COUNT);
PNL_ACCESSOR(gross_profit, GROSS_PROFIT);
PNL_ACCESSOR(gross_loss, GROSS_LOSS);
PNL_ACCESSOR(commission, COMMISSION);
PNL_ACCESSOR(swap, SWAP);
PNL_ACCESSOR(net_profit, NET_PROFIT);
PNL_ACCESSOR(average_profit, AVERAGE_PROFIT);
PNL_ACCESSOR(average_win, AVERAGE_WIN);
PNL_ACCESSOR(average_loss, AVERAGE_LOSS);
PNL_ACCESSOR(largest_win, LARGEST_WIN);
PNL_ACCESSOR(largest_loss, LARGEST_LOSS);
PNL_ACCESSOR(expectancy, EXPECTANCY);
PNL_ACCESSOR(win_rate, WIN_RATE);
PNL_ACCESSOR(profit_factor, PROFIT_FACTOR);
PNL_ACCESSOR(payoff_ratio, PAYOFF_RATIO);
PNL_ACCESSOR(stddev, STDDEV);

/*
 * summary(pnl) returns pnl_summary
 */
Datum
fx_pnl_summary(PG_FUNCTION_ARGS)
{
	FxPnl	   *pnl = PG_GETARG_PNL_P(0);
	TupleDesc	tupdesc = (TupleDesc) fcinfo->flinfo->fn_extra;
	Datum		values[SUMMARY_COLS];
	bool		nulls[SUMMARY_COLS];

	if (tupdesc == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE ||
			tupdesc->natts != SUMMARY_COLS)
			elog(ERROR, "unexpected row type of function summary");
		tupdesc = BlessTupleDesc(CreateTupleDescCopy(tupdesc));
		fcinfo->flinfo->fn_extra = tupdesc;
		MemoryContextSwitchTo(old);
	}

	for (int i = 0; i < SUMMARY_COLS; i++)
	{
		PnlValue	value = get_item(pnl, (PnlItem) i);

		nulls[i] = value.isnull;
		values[i] = value.isnull ? (Datum) 0 : item_get_datum(value);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls)));
}

/*
 * pnl_to_jsonb(pnl) returns jsonb
 */
Datum
fx_pnl_to_jsonb(PG_FUNCTION_ARGS)
{
	FxPnl	   *pnl = PG_GETARG_PNL_P(0);
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < SUMMARY_COLS; i++)
	{
		PnlValue	item = get_item(pnl, (PnlItem) i);

		if (item.isnull)
			fx_json_put_null(&state, json_keys[i]);
		else if (item.kind == PNL_COUNT)
			fx_json_put_count(&state, json_keys[i], item.count);
		else if (item.kind == PNL_MONEY)
			fx_json_put_money(&state, json_keys[i], item.money);
		else
			fx_json_put_double(&state, json_keys[i], item.ratio);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/*
 * Sample variance of the nets at scale 16, from exact integers:
 * (n * squares - sum^2) / (n * (n - 1)).  Below zero for a value that no trades
 * can have; zero for fewer than two trades.
 */
double
fx_pnl_variance(const FxPnl *pnl)
{
	int128		sum = pnl->gross_profit + pnl->gross_loss;
	uint64		n = (uint64) pnl->trades;
	uint64		squared[FX_WIDE_WORDS];
	uint64		difference[FX_WIDE_WORDS + 1];
	uint64		carry = 0;
	bool		borrow = false;
	double		result = 0;

	if (pnl->trades < 2)
		return 0;

	fx_wide_square(sum < 0 ? -(uint128) sum : (uint128) sum, squared);
	for (int i = 0; i <= FX_WIDE_WORDS; i++)
	{
		uint128		product = carry;
		uint64		word;
		uint64		minus = i < FX_WIDE_WORDS ? squared[i] : 0;

		if (i < FX_WIDE_WORDS)
			product += (uint128) pnl->squares.word[i] * n;
		word = (uint64) product;
		carry = (uint64) (product >> 64);
		difference[i] = word - minus - borrow;
		borrow = word < minus || (word == minus && borrow);
	}
	if (borrow)
		return -1;

	for (int i = FX_WIDE_WORDS; i >= 0; i--)
		result = result * 18446744073709551616.0 + (double) difference[i];
	return result / ((double) n * (double) (n - 1));
}

static PnlValue
get_item(const FxPnl *pnl, PnlItem item)
{
	/* one is at least zero and the other at most, so the sum does not overflow */
	int128		net = pnl->gross_profit + pnl->gross_loss;
	double		losses = -(double) pnl->gross_loss;

	switch (item)
	{
		case TRADE_COUNT:
			return make_count(pnl->trades);
		case WIN_COUNT:
			return make_count(pnl->wins);
		case LOSS_COUNT:
			return make_count(pnl->losses);
		case BREAKEVEN_COUNT:
			return make_count(pnl->trades - pnl->wins - pnl->losses);
		case GROSS_PROFIT:
			return make_money(pnl->gross_profit, 1);
		case GROSS_LOSS:
			return make_money(pnl->gross_loss, 1);
		case COMMISSION:
			return make_money(pnl->commission, 1);
		case SWAP:
			return make_money(pnl->swap, 1);
		case NET_PROFIT:
			return make_money(net, 1);
		case AVERAGE_PROFIT:
		case EXPECTANCY:
			return make_money(net, pnl->trades);
		case AVERAGE_WIN:
			return make_money(pnl->gross_profit, pnl->wins);
		case AVERAGE_LOSS:
			return make_money(pnl->gross_loss, pnl->losses);
		case LARGEST_WIN:
			return make_money(pnl->largest_win, pnl->wins > 0);
		case LARGEST_LOSS:
			return make_money(pnl->largest_loss, pnl->losses > 0);
		case WIN_RATE:
			return make_ratio(pnl->wins, pnl->trades, pnl->trades > 0);
		case PROFIT_FACTOR:
			return make_ratio(pnl->gross_profit, losses, pnl->losses > 0);
		case PAYOFF_RATIO:
			return make_ratio((double) pnl->gross_profit / pnl->wins, losses / pnl->losses,
							  pnl->wins > 0 && pnl->losses > 0);
		case STDDEV:
			return make_ratio(sqrt(fx_pnl_variance(pnl)), FX_FIXED_ONE, pnl->trades > 1);
	}
	pg_unreachable();
}

static PnlValue
make_count(int64 count)
{
	PnlValue	value = {.kind = PNL_COUNT, .count = count};

	return value;
}

/*
 * A share of a sum; undefined for a count of zero.
 */
static PnlValue
make_money(int128 sum, int64 count)
{
	PnlValue	value = {.kind = PNL_MONEY, .isnull = count == 0};

	if (count == 1)
		value.money = sum;
	else if (count > 1)
		value.money = fx_fixed_div(sum, count);
	return value;
}

static PnlValue
make_ratio(double num, double den, bool defined)
{
	PnlValue	value = {.kind = PNL_RATIO, .isnull = !defined};

	if (defined)
		value.ratio = num / den;
	return value;
}

static Datum
item_get_datum(PnlValue value)
{
	switch (value.kind)
	{
		case PNL_COUNT:
			return Int64GetDatum(value.count);
		case PNL_MONEY:
			return fx_fixed_get_numeric(value.money);
		case PNL_RATIO:
			return Float8GetDatum(value.ratio);
	}
	pg_unreachable();
}

static Datum
return_item(FunctionCallInfo fcinfo, PnlItem item)
{
	PnlValue	value = get_item(PG_GETARG_PNL_P(0), item);

	if (value.isnull)
		PG_RETURN_NULL();
	return item_get_datum(value);
}
