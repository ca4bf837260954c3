/*-------------------------------------------------------------------------
 *
 * metrics.c
 *	  Performance metrics of backtests
 *
 * Money is exact.  A ratio is a double, computed from exact sums and rounded as
 * late as possible.  What is undefined is null, never a stand-in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/memutils.h"

#include "compat.h"
#include "equity_agg.h"
#include "fx_day.h"
#include "json_build.h"
#include "metrics.h"

/* Raised when a definition changes, so that a stored number can be explained */
#define DEFINITIONS			"1"

#define DAYS_PER_CALENDAR_YEAR 365.25

/* Days that a period may begin and end on: years 1 to 9999 */
#define PERIOD_MIN			(date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE)
#define PERIOD_MAX			(date2j(9999, 12, 31) - POSTGRES_EPOCH_JDATE)

PG_FUNCTION_INFO_V1(fx_backtest_metrics);
PG_FUNCTION_INFO_V1(fx_backtest_metrics_of_equity);
PG_FUNCTION_INFO_V1(fx_backtest_metrics_of_text);

static Datum make_metrics(FunctionCallInfo fcinfo, FxTradesSource read);
static double get_rate(double value, double above, const char *name);
static void get_period(FunctionCallInfo fcinfo, const FxTrades *trades,
					   DateADT *first, DateADT *last);
static DateADT get_period_day(FunctionCallInfo fcinfo, int argno, const char *name);
static void trade_metrics(const FxTrades *trades, TradeMetrics *metrics);
static FxRatio system_quality(const FxTrades *trades, int128 total);
static FxRatio growth_rate(int128 final, int128 balance, int64 days);
static FxRatio holding_seconds(const FxTrades *trades);
static FxRatio exposure(const FxTrades *trades, TimestampTz begin, TimestampTz end);
static int	compare_opened(const void *a, const void *b);
static FxRatio divide(int128 num, int128 den);
static void put_average(JsonbParseState **state, const char *key, int128 sum, int64 count);
static void put_ratio(JsonbParseState **state, const char *key, FxRatio ratio);
static void put_time(JsonbParseState **state, const char *key, bool known, TimestampTz at);

/*
 * backtest_metrics(trades jsonb, initial_balance numeric, risk_free_rate float8,
 *					periods_per_year float8, period_start date, period_end date)
 *		returns jsonb
 *
 * Not strict, because the period may be null.
 */
Datum
fx_backtest_metrics(PG_FUNCTION_ARGS)
{
	return make_metrics(fcinfo, fx_trades_read_jsonb);
}

/*
 * backtest_metrics(equity, ...) returns jsonb, with the same arguments
 */
Datum
fx_backtest_metrics_of_equity(PG_FUNCTION_ARGS)
{
	return make_metrics(fcinfo, fx_equity_read);
}

/*
 * backtest_metrics(trades text, ...), with the same arguments and result
 */
Datum
fx_backtest_metrics_of_text(PG_FUNCTION_ARGS)
{
	return make_metrics(fcinfo, fx_trades_read_text);
}

static Datum
make_metrics(FunctionCallInfo fcinfo, FxTradesSource read)
{
	int128		balance;
	double		risk_free_rate;
	double		periods_per_year;
	DateADT		first = 0;
	DateADT		last = 0;
	TimestampTz begin = 0;
	TimestampTz end = 0;
	FxTrades	trades;
	TradeMetrics per_trade;
	CurveMetrics curve;
	DailyMetrics daily = {0};
	FxRatio		undefined = {0};
	FxRatio		cagr = {0};
	FxRatio		payoff;
	FxRatio		kelly = {0};
	int128		net;
	uint32		n;
	bool		traded;
	bool		fell;
	JsonbParseState *state = NULL;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();

	balance = fx_initial_balance(PG_GETARG_DATUM(1));
	risk_free_rate = get_rate(PG_GETARG_FLOAT8(2), -1, "risk_free_rate");
	periods_per_year = get_rate(PG_GETARG_FLOAT8(3), 0, "periods_per_year");

	read(PG_GETARG_DATUM(0), &trades);
	n = trades.count;
	traded = n > 0;

	if (trades.timed)
	{
		begin = trades.items[0].opened_at;
		for (uint32 i = 1; i < n; i++)
			begin = Min(begin, trades.items[i].opened_at);
		end = trades.items[n - 1].closed_at;
	}
	get_period(fcinfo, &trades, &first, &last);

	trade_metrics(&trades, &per_trade);
	fx_curve_metrics(&trades, balance, begin, &curve);
	net = curve.final_balance - balance;
	fell = curve.max_drawdown > 0;
	if (trades.timed)
	{
		fx_daily_metrics(&trades, balance, first, last, risk_free_rate, periods_per_year, &daily);
		cagr = growth_rate(curve.final_balance, balance, (int64) last - first + 1);
	}

	payoff = per_trade.wins > 0 && per_trade.losses > 0 ?
		fx_ratio(((double) per_trade.gross_profit / per_trade.wins) /
				 ((double) -per_trade.gross_loss / per_trade.losses)) : undefined;
	if (payoff.defined)
	{
		double		win_rate = (double) per_trade.wins / n;

		kelly = fx_ratio(win_rate - (1 - win_rate) / payoff.value);
	}

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	fx_json_put_count(&state, "totalTrades", n);
	fx_json_put_count(&state, "winningTrades", per_trade.wins);
	fx_json_put_count(&state, "losingTrades", per_trade.losses);
	fx_json_put_count(&state, "breakevenTrades", (int64) n - per_trade.wins - per_trade.losses);
	fx_json_put_money(&state, "netProfit", net);
	fx_json_put_money(&state, "grossProfit", per_trade.gross_profit);
	fx_json_put_money(&state, "grossLoss", per_trade.gross_loss);
	fx_json_put_money(&state, "totalCommission", trades.commission);
	fx_json_put_money(&state, "totalSwap", trades.swap);
	fx_json_put_money(&state, "initialBalance", balance);
	fx_json_put_money(&state, "finalBalance", curve.final_balance);
	put_ratio(&state, "totalReturn", traded ? divide(net, balance) : undefined);
	put_ratio(&state, "cagr", cagr);
	put_ratio(&state, "volatility", daily.volatility);
	put_ratio(&state, "sharpeRatio", daily.sharpe);
	put_ratio(&state, "sortinoRatio", daily.sortino);
	put_ratio(&state, "calmarRatio", cagr.defined && curve.max_fraction > 0 ?
			  fx_ratio(cagr.value / curve.max_fraction) : undefined);
	fx_json_put_money(&state, "maxDrawdown", curve.max_drawdown);
	put_ratio(&state, "maxDrawdownFraction", traded ? fx_ratio(curve.max_fraction) : undefined);
	put_time(&state, "maxDrawdownPeakAt", trades.timed && fell && curve.peak >= 0,
			 curve.peak >= 0 ? trades.items[curve.peak].closed_at : 0);
	put_time(&state, "maxDrawdownTroughAt", trades.timed && fell,
			 fell ? trades.items[curve.trough].closed_at : 0);
	put_time(&state, "maxDrawdownRecoveredAt", trades.timed && fell && curve.recovered >= 0,
			 curve.recovered >= 0 ? trades.items[curve.recovered].closed_at : 0);
	put_ratio(&state, "longestDrawdownSeconds", trades.timed && fell ?
			  fx_ratio((double) curve.longest_usecs / USECS_PER_SEC) : undefined);
	put_ratio(&state, "averageDrawdownFraction", fell ? fx_ratio(curve.average_fraction) : undefined);
	put_ratio(&state, "recoveryFactor", divide(net, curve.max_drawdown));
	put_ratio(&state, "ulcerIndex", daily.ulcer);
	put_ratio(&state, "winRate", divide(per_trade.wins, n));
	put_ratio(&state, "profitFactor", divide(per_trade.gross_profit, -per_trade.gross_loss));
	put_ratio(&state, "payoffRatio", payoff);
	put_average(&state, "expectancy", net, n);
	put_ratio(&state, "expectancyRatio", per_trade.losses > 0 ?
			  fx_ratio(((double) net / n) / ((double) -per_trade.gross_loss / per_trade.losses)) :
			  undefined);
	put_average(&state, "averageTrade", net, n);
	put_average(&state, "averageWin", per_trade.gross_profit, per_trade.wins);
	put_average(&state, "averageLoss", per_trade.gross_loss, per_trade.losses);
	put_average(&state, "largestWin", per_trade.largest_win, per_trade.wins > 0);
	put_average(&state, "largestLoss", per_trade.largest_loss, per_trade.losses > 0);
	fx_json_put_count(&state, "maxConsecutiveWins", per_trade.max_consecutive_wins);
	fx_json_put_count(&state, "maxConsecutiveLosses", per_trade.max_consecutive_losses);
	put_ratio(&state, "sqn", per_trade.sqn);
	put_ratio(&state, "kellyFraction", kelly);
	put_ratio(&state, "omegaRatio", daily.omega);
	put_ratio(&state, "tailRatio", daily.tail);
	put_ratio(&state, "valueAtRisk95", daily.value_at_risk);
	put_ratio(&state, "conditionalValueAtRisk95", daily.conditional_value_at_risk);
	put_ratio(&state, "skewness", daily.skewness);
	put_ratio(&state, "excessKurtosis", daily.excess_kurtosis);
	put_ratio(&state, "averageHoldingSeconds", trades.held ? holding_seconds(&trades) : undefined);
	put_ratio(&state, "exposureFraction", trades.held ? exposure(&trades, begin, end) : undefined);
	put_time(&state, "firstTradeAt", trades.timed, begin);
	put_time(&state, "lastTradeAt", trades.timed, end);
	put_ratio(&state, "periodsPerYear", fx_ratio(periods_per_year));
	fx_json_put_text(&state, "definitions", DEFINITIONS, strlen(DEFINITIONS));

	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static double
get_rate(double value, double above, const char *name)
{
	if (!isfinite(value))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be finite", name));
	if (value <= above)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be greater than %g", name, above));
	return value;
}

/*
 * The FX days of the first opening and the last closing, unless given.  A
 * trade outside a given period is refused: its profit would be in the balance
 * and not in the returns.
 */
static void
get_period(FunctionCallInfo fcinfo, const FxTrades *trades, DateADT *first, DateADT *last)
{
	bool		first_given = !PG_ARGISNULL(4);
	bool		last_given = !PG_ARGISNULL(5);

	if (first_given)
		*first = get_period_day(fcinfo, 4, "period_start");
	if (last_given)
		*last = get_period_day(fcinfo, 5, "period_end");
	if (first_given && last_given && *first > *last)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must not be after \"%s\"", "period_start", "period_end"));
	if (!trades->timed)
		return;

	for (uint32 i = 0; i < trades->count; i++)
	{
		DateADT		opened = fx_day_of(trades->items[i].opened_at);

		if (!first_given)
			*first = i == 0 ? opened : Min(*first, opened);
		else if (opened < *first)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("trades[%u] is before the period", trades->items[i].position));
	}
	for (uint32 i = trades->count; i > 0; i--)
	{
		DateADT		closed = fx_day_of(trades->items[i - 1].closed_at);

		if (!last_given)
		{
			*last = closed;
			break;
		}
		if (closed <= *last)
			break;
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trades[%u] is after the period", trades->items[i - 1].position));
	}
}

static DateADT
get_period_day(FunctionCallInfo fcinfo, int argno, const char *name)
{
	DateADT		day = PG_GETARG_DATEADT(argno);

	if (DATE_NOT_FINITE(day) || day < PERIOD_MIN || day > PERIOD_MAX)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" is out of range", name),
				errdetail("It must be from 0001-01-01 to 9999-12-31."));
	return day;
}

static void
trade_metrics(const FxTrades *trades, TradeMetrics *metrics)
{
	uint32		wins_in_row = 0;
	uint32		losses_in_row = 0;

	memset(metrics, 0, sizeof(TradeMetrics));
	for (uint32 i = 0; i < trades->count; i++)
	{
		int128		net = trades->items[i].net;

		if (net > 0)
		{
			metrics->wins++;
			metrics->largest_win = Max(metrics->largest_win, net);
			if (fx_fixed_add_overflow(metrics->gross_profit, net, &metrics->gross_profit))
				fx_fixed_raise(FX_FIXED_OVERFLOW, "sum of winning trades");
		}
		else if (net < 0)
		{
			metrics->losses++;
			metrics->largest_loss = Min(metrics->largest_loss, net);
			/* one below FX_FIXED_MIN could not be negated */
			if (fx_fixed_add_overflow(metrics->gross_loss, net, &metrics->gross_loss) ||
				metrics->gross_loss == FX_FIXED_MIN)
				fx_fixed_raise(FX_FIXED_OVERFLOW, "sum of losing trades");
		}
		wins_in_row = net > 0 ? wins_in_row + 1 : 0;
		losses_in_row = net < 0 ? losses_in_row + 1 : 0;
		metrics->max_consecutive_wins = Max(metrics->max_consecutive_wins, wins_in_row);
		metrics->max_consecutive_losses = Max(metrics->max_consecutive_losses, losses_in_row);
	}
	if (trades->count >= 2)
		metrics->sqn = system_quality(trades, metrics->gross_profit + metrics->gross_loss);
}

/*
 * Van Tharp's system quality number: sqrt(n) * mean / standard deviation.
 *
 * Deviations are taken from the mean's whole part, which is exact, so that
 * large amounts with a small spread keep their digits.
 */
static FxRatio
system_quality(const FxTrades *trades, int128 total)
{
	double		n = trades->count;
	int128		whole = total / trades->count;
	double		rest = (double) (total - whole * trades->count) / n;
	FxSum		squares = {0};
	FxRatio		undefined = {0};
	bool		equal = true;

	for (uint32 i = 0; i < trades->count; i++)
	{
		/* fits: it is at most the sum of wins or that of losses */
		double		d = (double) (trades->items[i].net - whole) - rest;

		equal &= trades->items[i].net == trades->items[0].net;
		fx_sum_add(&squares, d * d);
	}
	if (equal)
		return undefined;
	return fx_ratio(sqrt(n) * ((double) whole + rest) / sqrt(fx_sum_get(&squares) / (n - 1)));
}

/*
 * Compound annual growth by calendar days.
 */
static FxRatio
growth_rate(int128 final, int128 balance, int64 days)
{
	if (final <= 0)
		return fx_ratio(-1);
	return fx_ratio(expm1(log1p((double) (final - balance) / (double) balance) *
						  (DAYS_PER_CALENDAR_YEAR / days)));
}

static FxRatio
holding_seconds(const FxTrades *trades)
{
	int128		usecs = 0;

	for (uint32 i = 0; i < trades->count; i++)
		usecs += trades->items[i].closed_at - trades->items[i].opened_at;
	return fx_ratio((double) usecs / trades->count / USECS_PER_SEC);
}

/*
 * Share of the time from first opening to last closing in which at least one
 * trade was open.
 */
static FxRatio
exposure(const FxTrades *trades, TimestampTz begin, TimestampTz end)
{
	FxTrade    *by_opening;
	TimestampTz until = begin;
	int64		open = 0;
	FxRatio		undefined = {0};

	if (end <= begin)
		return undefined;

	by_opening = MemoryContextAllocHuge(CurrentMemoryContext, trades->count * sizeof(FxTrade));
	memcpy(by_opening, trades->items, trades->count * sizeof(FxTrade));
	for (uint32 i = 1; i < trades->count; i++)
	{
		if (by_opening[i - 1].opened_at > by_opening[i].opened_at)
		{
			qsort(by_opening, trades->count, sizeof(FxTrade), compare_opened);
			break;
		}
	}
	for (uint32 i = 0; i < trades->count; i++)
	{
		if (by_opening[i].closed_at > until)
		{
			open += by_opening[i].closed_at - Max(by_opening[i].opened_at, until);
			until = by_opening[i].closed_at;
		}
	}
	pfree(by_opening);
	return fx_ratio((double) open / (double) (end - begin));
}

static int
compare_opened(const void *a, const void *b)
{
	TimestampTz x = ((const FxTrade *) a)->opened_at;
	TimestampTz y = ((const FxTrade *) b)->opened_at;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * A quotient of two amounts; undefined where den is zero.
 */
static FxRatio
divide(int128 num, int128 den)
{
	FxRatio		undefined = {0};

	return den != 0 ? fx_ratio((double) num / (double) den) : undefined;
}

static void
put_average(JsonbParseState **state, const char *key, int128 sum, int64 count)
{
	if (count == 0)
		fx_json_put_null(state, key);
	else
		fx_json_put_money(state, key, fx_fixed_div(sum, count));
}

static void
put_ratio(JsonbParseState **state, const char *key, FxRatio ratio)
{
	if (ratio.defined)
		fx_json_put_double(state, key, ratio.value);
	else
		fx_json_put_null(state, key);
}

static void
put_time(JsonbParseState **state, const char *key, bool known, TimestampTz at)
{
	if (known)
		fx_json_put_time(state, key, at);
	else
		fx_json_put_null(state, key);
}
