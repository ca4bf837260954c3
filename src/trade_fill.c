/*-------------------------------------------------------------------------
 *
 * trade_fill.c
 *	  What an execution does to the trades that it closes
 *
 * An execution first closes what is open on the other side, trade by trade,
 * the oldest first, and opens the rest.  What it brought is noted on its own
 * row; each trade that it took units of is noted as a row of fx.closures.  Cost,
 * result and profit are divided among these so that they add up to the whole,
 * whatever is rounded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "compat.h"
#include "trades.h"
#include "wide.h"

/* A trade that an execution ended */
typedef struct Ended
{
	TimestampTz closed_at;
	pg_uuid_t	id;
	bool		has_result;
	int128		net;
} Ended;

static int128 take_units(FxTradeWork *work, FxBooks *books, const FxTrade *trade,
						 const FxOrder *order, int128 quantity);
static void divide_result(FxTradeWork *work, int first, const FxFill *fill, const FxOrder *order,
						  bool computed, FxPositionMethod method);
static void count_ended(FxTradeWork *work, FxBooks *books, FxPosition *position, int first,
						const FxTicket *own);
static int	compare_ended(const void *a, const void *b);
static int128 part_of(int128 amount, int128 quantity, int128 whole, const char *what);

/*
 * Execute a trade that stays open, as far as it opens anything.  Returns its
 * profit: as the application wrote it, or else what it made by closing.  Balance
 * and executions are for the caller to count.
 */
void
fx_trade_fill(FxTradeWork *work, FxBooks *books, const FxTrade *trade, const FxOrder *order,
			  int128 *profit)
{
	FxAccount  *account = books->account;
	FxPosition *position = fx_account_position(account, trade->symbol);
	FxSide		other = FX_OTHER_SIDE(trade->side);
	int			first = work->nclosures;
	bool		computed = trade->profit == 0;
	int128		fifo_cost = 0;
	FxFill		fill;
	FxTicket   *own;

	*profit = trade->profit;
	if (account->method != FX_HEDGING && position->quantity[other] > 0)
		fifo_cost = take_units(work, books, trade, order,
							   Min(trade->quantity, position->quantity[other]));
	fx_position_fill(account, order, &fifo_cost, &fill);

	account->dirty = true;
	if (fill.opened > 0)
		account->open_trades++;
	if (fill.closed == 0)
	{
		fx_queue_opened(work, books, trade, fill.opened);
		return;
	}

	if (computed)
	{
		if (!fill.has_realized)
			fx_raise_cost_unknown(order->price == 0 ? NULL : trade->symbol);
		if (!fill.has_profit)
			fx_raise_rate_unknown(account, trade->symbol);
		*profit = fill.profit;
	}

	own = fx_trade_ticket(work, trade);
	own->open = fill.opened;
	own->net = fx_fixed_net(*profit, trade->commission, trade->swap);
	own->has_result = true;
	own->locked = true;
	fx_work_change(work, own);
	if (fill.opened == 0)
	{
		own->is_closed = true;
		own->closed_at = trade->executed_at;
	}
	own->result = (FxTradeResult *) MemoryContextAllocZero(work->context, sizeof(FxTradeResult));
	own->result->method = account->method;
	own->result->computed = computed;
	own->result->profit = *profit;
	if (computed)
		fx_work_conversion(&fill.rate, &own->result->conversion);

	divide_result(work, first, &fill, order, computed, account->method);
	count_ended(work, books, position, first, own);
	if (fill.opened > 0)
		fx_queue_opened(work, books, trade, fill.opened);
}

/*
 * What a quantity of one trade cost, when it leaves the position by itself.
 */
int128
fx_single_cost(const FxAccount *account, const FxPosition *position, FxSide side,
			   int128 quantity, int128 open, int128 price)
{
	if (account->method == FX_NETTING)
		return fx_position_average_cost(position, side, quantity);
	return fx_cost_of(open, price) - fx_cost_of(open - quantity, price);
}

/*
 * A trade has nothing open any more.
 */
void
fx_leave_position(FxAccount *account, FxPosition *position, bool priced)
{
	account->open_trades--;
	account->dirty = true;
	position->open_trades--;
	if (!priced)
		position->unpriced_trades--;
	position->dirty = true;
}

void
fx_raise_rate_unknown(const FxAccount *account, const char *symbol)
{
	FxContract	contract;

	if (!fx_contract_get(symbol, &contract))
		ereport(ERROR,
				errcode(ERRCODE_FX_RATE_UNKNOWN),
				errmsg("no rate from the quote currency of \"%s\" to %s is known", symbol,
					   account->currency),
				errhint("Insert the instrument into fx.instruments, or write the profit of the trade yourself."));
	ereport(ERROR,
			errcode(ERRCODE_FX_RATE_UNKNOWN),
			errmsg("no rate from %s to %s is known", contract.quote, account->currency),
			errhint("Store a candle no older than fxplatform.max_rate_age, or write the profit of the trade yourself."));
}

/*
 * Of the position in a symbol; NULL when it is the trade itself that has no
 * price.
 */
void
fx_raise_cost_unknown(const char *symbol)
{
	ereport(ERROR,
			errcode(ERRCODE_FX_RATE_UNKNOWN),
			symbol != NULL ?
			errmsg("cost of the position is not known") :
			errmsg("price of the trade is not known"),
			symbol != NULL ?
			errdetail("An open trade of \"%s\" has no price.", symbol) : 0,
			errhint("Set the price, or write the profit of the trade yourself."));
}

/*
 * Take a quantity from the trades of the other side.  Returns what it cost by
 * the prices of these trades.
 */
static int128
take_units(FxTradeWork *work, FxBooks *books, const FxTrade *trade, const FxOrder *order,
		   int128 quantity)
{
	FxSide		other = FX_OTHER_SIDE(trade->side);
	char	   *symbol = MemoryContextStrdup(work->context, trade->symbol);
	int128		total = 0;

	while (quantity > 0)
	{
		FxTicket   *ticket = fx_queue_oldest(work, books, trade->symbol, other);
		FxClosure  *closure;
		int128		taken;
		int128		cost;

		if (ticket == NULL)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("open trades of \"%s\" do not add up to the position", trade->symbol),
					errhint("A statement that closes trades and executes others must not do both to a position; else SELECT fx.rebuild_risk_state('%s') makes it again from the trades.",
							fx_uuid_text(&books->user_id)));

		taken = Min(quantity, ticket->open);
		cost = fx_cost_of(ticket->open, ticket->price) -
			fx_cost_of(ticket->open - taken, ticket->price);
		fx_fixed_add_to(&total, cost, "cost of the position");

		ticket->open -= taken;
		fx_work_change(work, ticket);
		if (ticket->open == 0)
		{
			ticket->is_closed = true;
			ticket->closed_at = Max(ticket->executed_at, trade->executed_at);
			ticket->close_price = trade->price;
		}

		closure = fx_work_add_closure(work);
		closure->user_id = books->user_id;
		closure->trade_id = ticket->id;
		closure->by_trade = true;
		closure->closing_trade_id = trade->id;
		closure->symbol = symbol;
		closure->side = other;
		closure->quantity = taken;
		closure->cost = cost;
		closure->close_price = trade->price;
		closure->closed_at = order->at;
		quantity -= taken;
	}
	return total;
}

/*
 * Divide what an execution brought among the closures that it made.
 */
static void
divide_result(FxTradeWork *work, int first, const FxFill *fill, const FxOrder *order,
			  bool computed, FxPositionMethod method)
{
	FxConversion conversion = {0};
	int128		quantity = 0;
	int128		cost = 0;
	int128		value = 0;
	int128		realized = 0;
	int128		profit = 0;

	if (computed)
		fx_work_conversion(&fill->rate, &conversion);

	for (int i = first; i < work->nclosures; i++)
	{
		FxClosure  *closure = &work->closures[i];

		quantity += closure->quantity;
		if (method == FX_NETTING)
		{
			int128		cost_so_far = part_of(fill->removed, quantity, fill->closed,
											  "cost of the position");

			closure->cost = cost_so_far - cost;
			cost = cost_so_far;
		}
		closure->method = method;
		closure->computed = computed;
		if (!fill->has_realized)
			continue;

		{
			int128		value_so_far = fx_cost_of(quantity, order->price);
			int128		gain = value_so_far - value - closure->cost;

			value = value_so_far;
			closure->has_realized = true;
			closure->realized = closure->side == FX_LONG ? gain : -gain;
			realized += closure->realized;
		}
		if (computed)
		{
			int128		profit_so_far = fx_rate_apply(&fill->rate, realized);

			closure->has_profit = true;
			closure->profit = profit_so_far - profit;
			closure->conversion = conversion;
			profit = profit_so_far;
		}
	}
}

/*
 * Trades that have nothing open any more leave the position, and count as won
 * or lost in the order of their closing.
 */
static void
count_ended(FxTradeWork *work, FxBooks *books, FxPosition *position, int first,
			const FxTicket *own)
{
	Ended	   *ended = (Ended *) palloc((work->nclosures - first + 1) * sizeof(Ended));
	int			nended = 0;

	for (int i = first; i < work->nclosures; i++)
	{
		const FxTicket *ticket;

		ticket = (const FxTicket *) hash_search(work->tickets, &work->closures[i].trade_id,
												HASH_FIND, NULL);
		if (!ticket->is_closed)
			continue;
		fx_leave_position(books->account, position, ticket->price != 0);
		ended[nended].closed_at = ticket->closed_at;
		ended[nended].id = ticket->id;
		ended[nended].has_result = ticket->has_result;
		ended[nended++].net = ticket->net;
	}
	if (own->is_closed)
	{
		ended[nended].closed_at = own->closed_at;
		ended[nended].id = own->id;
		ended[nended].has_result = own->has_result;
		ended[nended++].net = own->net;
	}

	qsort(ended, nended, sizeof(Ended), compare_ended);
	for (int i = 0; i < nended; i++)
		fx_streak_add(books, ended[i].closed_at, &ended[i].id, ended[i].has_result, ended[i].net);
	pfree(ended);
}

static int
compare_ended(const void *a, const void *b)
{
	const Ended *x = (const Ended *) a;
	const Ended *y = (const Ended *) b;

	if (x->closed_at != y->closed_at)
		return x->closed_at < y->closed_at ? -1 : 1;
	return memcmp(x->id.data, y->id.data, UUID_LEN);
}

static int128
part_of(int128 amount, int128 quantity, int128 whole, const char *what)
{
	int128		part;

	if (quantity == whole)
		return amount;
	if (!fx_wide_mul_div(amount, quantity, whole, &part))
		fx_fixed_raise(FX_FIXED_OVERFLOW, what);
	return part;
}
