/*-------------------------------------------------------------------------
 *
 * trade_close.c
 *	  Closing a trade by itself, whole or in part
 *
 * The profit is computed from the price of the closing and what the units had
 * cost, in the quote currency, and converted at the rate of that moment.  Swap
 * is due for each night on which the trade was open at 17:00 New York.
 *
 * The trade is read and updated with the rights of the caller, so that what he
 * may not see or change does not exist for him; the books with those of their
 * owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "fx_day.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "trade_write.h"
#include "trades.h"
#include "wide.h"

/* 2000-01-01, day 0 of DateADT, was a Saturday */
#define ISO_WEEKDAY_OF_DAY_0	6
#define DAYS_A_WEEK			7
#define FRIDAY				5

/* A point is a tenth of a pip */
#define POINTS_A_PIP		10

/* Nights between Wednesday and Thursday, say, stand for the weekend too */
#define TRIPLE				3

typedef struct Closing
{
	int128		quantity;
	int128		close_price;
	TimestampTz closed_at;
	int128		commission;
	bool		has_swap;
	int128		swap;
	int128		cost;
	int128		realized;
	int128		profit;
	FxRate		rate;
} Closing;

PG_FUNCTION_INFO_V1(fx_close_trade);

static void read_arguments(FunctionCallInfo fcinfo, Closing *closing);
static int128 number_argument(FunctionCallInfo fcinfo, int arg, const char *name, bool positive);
static bool find_owner(Datum trade_id, pg_uuid_t *user_id);
static bool lock_trade(FxTradeWork *work, Datum trade_id, FxTrade *trade);
pg_noreturn static void raise_missing(Datum trade_id);
static void check_trade(const FxTrade *trade);
static void check_closing(const FxTrade *trade, Closing *closing, bool whole);
static void compute(FxTradeWork *work, FxBooks *books, const FxTrade *trade, Closing *closing);
static int128 swap_of(const FxTrade *trade, const Closing *closing);
static int64 nights_held(TimestampTz since, TimestampTz until, int triple_weekday);
static void book(FxTradeWork *work, FxBooks *books, const FxTrade *trade, const Closing *closing);
static void update_trade(const FxTradeWork *work, const FxBooks *books, const FxTrade *trade,
						 const Closing *closing);

/*
 * close_trade(trade_id uuid, close_price numeric, closed_at timestamptz,
 *			   commission numeric, swap numeric, quantity numeric)
 *		returns numeric
 */
Datum
fx_close_trade(PG_FUNCTION_ARGS)
{
	Relation	trades;
	FxTradeWork work;
	FxBooks		books;
	FxTrade		trade;
	Closing		closing;
	pg_uuid_t	user_id;
	Oid			save_userid;
	int			save_sec_context;

	read_arguments(fcinfo, &closing);
	trades = table_open(fx_require_table("trades"), RowExclusiveLock);
	fx_work_begin(&work, trades);

	/* the account first: whoever has it waits for no trade of ours */
	if (!find_owner(PG_GETARG_DATUM(0), &user_id))
		raise_missing(PG_GETARG_DATUM(0));
	fx_act_as_owner(RelationGetRelid(trades), &save_userid, &save_sec_context);
	fx_books_open(&books, &user_id);
	fx_act_as_before(save_userid, save_sec_context);
	if (!lock_trade(&work, PG_GETARG_DATUM(0), &trade) ||
		memcmp(trade.user_id.data, user_id.data, UUID_LEN) != 0)
		raise_missing(PG_GETARG_DATUM(0));

	if (PG_ARGISNULL(2))
		closing.closed_at = books.account->now;
	if (PG_ARGISNULL(5))
		closing.quantity = trade.open;
	check_trade(&trade);
	check_closing(&trade, &closing, PG_ARGISNULL(5));

	fx_act_as_owner(RelationGetRelid(trades), &save_userid, &save_sec_context);
	if (books.risk->nlimits > 0 || books.account->state != FX_ACTIVE)
	{
		FxOrder		order;

		fx_make_order(books.account, &trade, &order);
		if (fx_risk_state(books.risk, &order) == FX_HALTED)
			fx_risk_refuse_closing(books.risk, &order);
	}
	compute(&work, &books, &trade, &closing);
	book(&work, &books, &trade, &closing);
	fx_work_write_books(&work, &books, 1);
	fx_work_write_trades(&work);
	fx_act_as_before(save_userid, save_sec_context);
	update_trade(&work, &books, &trade, &closing);
	fx_act_as_owner(RelationGetRelid(trades), &save_userid, &save_sec_context);
	fx_work_finish(&books, 1);
	fx_act_as_before(save_userid, save_sec_context);
	table_close(trades, NoLock);

	PG_RETURN_DATUM(fx_fixed_get_numeric(closing.profit));
}

static void
read_arguments(FunctionCallInfo fcinfo, Closing *closing)
{
	static const char *const required[] = {"trade_id", "close_price"};

	for (int i = 0; i < lengthof(required); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("argument \"%s\" must not be null", required[i]));
	}

	memset(closing, 0, sizeof(*closing));
	closing->close_price = number_argument(fcinfo, 1, "close_price", true);
	if (!PG_ARGISNULL(2))
	{
		closing->closed_at = PG_GETARG_TIMESTAMPTZ(2);
		if (TIMESTAMP_NOT_FINITE(closing->closed_at))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("argument \"%s\" must be finite", "closed_at"));
	}
	if (!PG_ARGISNULL(3))
		closing->commission = number_argument(fcinfo, 3, "commission", false);
	if (closing->commission < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must not be negative", "commission"));
	closing->has_swap = !PG_ARGISNULL(4);
	if (closing->has_swap)
		closing->swap = number_argument(fcinfo, 4, "swap", false);
	if (!PG_ARGISNULL(5))
		closing->quantity = number_argument(fcinfo, 5, "quantity", true);
}

/*
 * A number as a column of fx.trades holds it.
 */
static int128
number_argument(FunctionCallInfo fcinfo, int arg, const char *name, bool positive)
{
	int128		number = fx_fixed_get_argument(PG_GETARG_DATUM(arg), name);

	if (positive && number <= 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be positive", name));
	return number;
}

static bool
find_owner(Datum trade_id, pg_uuid_t *user_id)
{
	static SPIPlanPtr plan = NULL;
	bool		found;

	SPI_connect();
	if (plan == NULL)
	{
		Oid			type = UUIDOID;

		plan = fx_kept_plan("SELECT t.user_id FROM fx.trades t"
							" WHERE t.id OPERATOR(pg_catalog.=) $1", 1, &type);
	}
	if (SPI_execute_plan(plan, &trade_id, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	found = SPI_processed > 0;
	if (found)
	{
		bool		isnull;

		*user_id = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
												&isnull));
	}
	SPI_finish();
	return found;
}

/*
 * Lock the row, which takes the right to update it, and read it.
 */
static bool
lock_trade(FxTradeWork *work, Datum trade_id, FxTrade *trade)
{
	static SPIPlanPtr plan = NULL;
	bool		found;

	SPI_connect();
	if (plan == NULL)
	{
		Oid			type = UUIDOID;

		plan = fx_kept_plan("SELECT FROM fx.trades t"
							" WHERE t.id OPERATOR(pg_catalog.=) $1"
							" FOR NO KEY UPDATE", 1, &type);
	}
	if (SPI_execute_plan(plan, &trade_id, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	found = SPI_processed > 0;
	SPI_finish();
	return found && fx_trade_fetch(work, DatumGetUUIDP(trade_id), trade);
}

static void
raise_missing(Datum trade_id)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("trade \"%s\" does not exist", fx_uuid_text(DatumGetUUIDP(trade_id))));
}

static void
check_trade(const FxTrade *trade)
{
	if (trade->is_backtest)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trade \"%s\" belongs to a backtest", fx_uuid_text(&trade->id)));
	if (trade->status != FX_TRADE_EXECUTED)
		ereport(ERROR,
				errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
				errmsg("trade \"%s\" cannot be closed", fx_uuid_text(&trade->id)),
				errdetail("It is not executed."));
	if (trade->is_closed)
		ereport(ERROR,
				errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
				errmsg("trade \"%s\" cannot be closed", fx_uuid_text(&trade->id)),
				errdetail("It is closed already."));
}

static void
check_closing(const FxTrade *trade, Closing *closing, bool whole)
{
	if (closing->closed_at < trade->executed_at)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must not be before the trade was executed", "closed_at"),
				errdetail("Trade \"%s\" was executed at %s.", fx_uuid_text(&trade->id),
						  timestamptz_to_str(trade->executed_at)));
	if (!whole && closing->quantity > trade->open)
	{
		char		open[FX_FIXED_TEXT_SIZE];

		fx_fixed_write_text(trade->open, open);
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must not be larger than what is open", "quantity"),
				errdetail("Of trade \"%s\" %s is open.", fx_uuid_text(&trade->id), open));
	}
}

/*
 * Work out cost, profit and swap.
 */
static void
compute(FxTradeWork *work, FxBooks *books, const FxTrade *trade, Closing *closing)
{
	FxAccount  *account = books->account;
	FxPosition *position = fx_account_position(account, trade->symbol);
	int128		value;
	bool		wrapped;

	if (account->method == FX_FIFO)
	{
		const FxTicket *oldest = fx_queue_peek(work, books, trade->symbol, trade->side);

		if (oldest == NULL || memcmp(oldest->id.data, trade->id.data, UUID_LEN) != 0)
			ereport(ERROR,
					errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
					errmsg("trade \"%s\" cannot be closed", fx_uuid_text(&trade->id)),
					errdetail("An older trade of the same side is open, and the account closes the oldest first."),
					oldest != NULL ?
					errhint("Close trade \"%s\" first.", fx_uuid_text(&oldest->id)) : 0);
	}
	if (account->method == FX_NETTING ? position->unpriced_trades > 0 : !trade->has_price)
		fx_raise_cost_unknown(trade->symbol);

	closing->cost = fx_single_cost(account, position, trade->side, closing->quantity,
								   trade->open, trade->price);
	value = fx_cost_of(closing->quantity, closing->close_price);
	wrapped = trade->side == FX_LONG ?
		fx_fixed_sub_overflow(value, closing->cost, &closing->realized) :
		fx_fixed_sub_overflow(closing->cost, value, &closing->realized);
	if (wrapped)
		fx_fixed_raise(FX_FIXED_OVERFLOW, "profit");
	if (!fx_profit_rate(trade->symbol, account->currency, closing->close_price,
						closing->closed_at, &closing->rate))
		fx_raise_rate_unknown(account, trade->symbol);
	closing->profit = fx_rate_apply(&closing->rate, closing->realized);
	if (!closing->has_swap)
		closing->swap = swap_of(trade, closing);
}

/*
 * Swap for the nights that the units were held, where the instrument has
 * points for the side.
 */
static int128
swap_of(const FxTrade *trade, const Closing *closing)
{
	FxContract	contract;
	int128		points;
	int128		a_unit;
	int128		swap;

	if (!fx_contract_get(trade->symbol, &contract) || !contract.is_stored ||
		!(trade->side == FX_LONG ? contract.has_swap_long : contract.has_swap_short))
		return 0;

	points = trade->side == FX_LONG ? contract.swap_long : contract.swap_short;

	/* a unit's, at scale 17: points, pips and the tenth */
	if (__builtin_mul_overflow(points, (int128) nights_held(trade->executed_at,
															closing->closed_at,
															contract.triple_swap_weekday),
							   &points) ||
		__builtin_mul_overflow(points, contract.pip_size, &a_unit) ||
		!fx_wide_mul_div(a_unit, closing->quantity,
						 (int128) FX_FIXED_ONE * FX_FIXED_ONE * POINTS_A_PIP, &swap))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "swap");
	return fx_rate_apply(&closing->rate, swap);
}

/*
 * Nights on which a trade was open when the FX day ended, Monday to Friday,
 * that of one weekday three times.
 */
static int64
nights_held(TimestampTz since, TimestampTz until, int triple_weekday)
{
	DateADT		last = fx_day_of(until);
	int64		nights = 0;

	for (DateADT day = fx_day_of(since); day < last; day++)
	{
		int			weekday = ((int64) day + ISO_WEEKDAY_OF_DAY_0 - 1) % DAYS_A_WEEK;

		if (weekday < 0)
			weekday += DAYS_A_WEEK;
		weekday++;
		if (weekday <= FRIDAY)
			nights += weekday == triple_weekday ? TRIPLE : 1;
	}
	return nights;
}

/*
 * Take the units out of the books.
 */
static void
book(FxTradeWork *work, FxBooks *books, const FxTrade *trade, const Closing *closing)
{
	FxAccount  *account = books->account;
	FxPosition *position = fx_account_position(account, trade->symbol);
	int128		net = fx_fixed_net(closing->profit, closing->commission, closing->swap);
	FxClosure  *closure = fx_work_add_closure(work);

	closure->user_id = books->user_id;
	closure->trade_id = trade->id;
	closure->symbol = pstrdup(trade->symbol);
	closure->side = trade->side;
	closure->quantity = closing->quantity;
	closure->cost = closing->cost;
	closure->close_price = closing->close_price;
	closure->has_realized = true;
	closure->realized = closing->realized;
	closure->has_profit = true;
	closure->profit = closing->profit;
	closure->computed = true;
	closure->method = account->method;
	fx_work_conversion(&closing->rate, &closure->conversion);
	closure->closed_at = closing->closed_at;

	fx_position_close(position, trade->side, closing->quantity, closing->cost);
	fx_fixed_add_to(&position->realized, closing->profit, "realized_pnl");
	fx_account_add_net(account, net, closing->closed_at);
	if (closing->quantity == trade->open)
	{
		FxTicket   *ticket = fx_trade_ticket(work, trade);

		fx_leave_position(account, position, trade->has_price);
		fx_fixed_add_to(&ticket->net, net, "net profit");
		ticket->has_result = true;
		ticket->is_closed = true;
		ticket->closed_at = closing->closed_at;
		fx_streak_add(books, ticket->closed_at, &ticket->id, true, ticket->net);
	}
	account->dirty = true;
}

static void
update_trade(const FxTradeWork *work, const FxBooks *books, const FxTrade *trade,
			 const Closing *closing)
{
	static SPIPlanPtr plan = NULL;
	static const char *const method_names[] = {"netting", "fifo", "hedging"};
	bool		whole = closing->quantity == trade->open;
	FxConversion conversion;
	Datum		args[11];
	char		nulls[lengthof(args)];
	Oid			argtypes[lengthof(args)] = {
		UUIDOID, NUMERICOID, TIMESTAMPTZOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID,
		TEXTOID, NUMERICOID, TEXTOID, TIMESTAMPTZOID
	};

	fx_work_conversion(&closing->rate, &conversion);
	memset(nulls, ' ', sizeof(nulls));
	args[0] = UUIDPGetDatum(&trade->id);
	args[1] = fx_fixed_get_numeric(trade->open - closing->quantity);
	args[2] = TimestampTzGetDatum(closing->closed_at);
	args[3] = fx_fixed_get_numeric(closing->close_price);
	if (!whole)
		nulls[2] = nulls[3] = 'n';
	args[4] = fx_fixed_get_numeric(closing->profit);
	args[5] = fx_fixed_get_numeric(closing->commission);
	args[6] = fx_fixed_get_numeric(closing->swap);
	args[7] = CStringGetTextDatum(method_names[books->account->method]);
	args[8] = conversion.rate;
	args[9] = conversion.pair != NULL ? CStringGetTextDatum(conversion.pair) : (Datum) 0;
	args[10] = TimestampTzGetDatum(conversion.at);
	if (conversion.pair == NULL)
		nulls[9] = nulls[10] = 'n';

	SPI_connect();
	if (plan == NULL)
	{
		plan = fx_kept_plan("UPDATE fx.trades t"
							" SET open_quantity = $2, closed_at = $3, close_price = $4,"
							" profit = COALESCE(t.profit, 0) OPERATOR(pg_catalog.+) $5,"
							" commission = COALESCE(t.commission, 0) OPERATOR(pg_catalog.+) $6,"
							" swap = COALESCE(t.swap, 0) OPERATOR(pg_catalog.+) $7,"
							" profit_source = 'computed', position_method = $8,"
							" conversion_rate = $9, conversion_pair = $10, conversion_at = $11"
							" WHERE t.id OPERATOR(pg_catalog.=) $1",
							lengthof(args), argtypes);
	}
	fx_trade_write_begin();
	if (SPI_execute_plan(plan, args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update a trade");
	fx_trade_write_end();
	if (SPI_processed != 1)
		fx_raise_suppressed(RelationGetRelationName(work->trades), "an update");
	SPI_finish();
}
