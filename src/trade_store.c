/*-------------------------------------------------------------------------
 *
 * trade_store.c
 *	  Books of a statement that writes trades: opened, and written at its end
 *
 * Rows of fx.trades that the engine has something to note on are updated by
 * one statement, so that triggers of the table see all of it, and closures are
 * inserted by another; both run as the owner of the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "kept_plan.h"
#include "trade_write.h"
#include "trades.h"

#define INITIAL_CLOSURES	8

/* Rows of one statement, so that its arrays fit */
#define CHUNK_ROWS			100000

/* A parameter of a statement: an array with an item for each row */
typedef struct Column
{
	Oid			type;			/* of the items */
	Datum	   *values;
	bool	   *nulls;
} Column;

/* Parameters of the update of trades, in order */
enum
{
	UPDATE_ID,
	UPDATE_OPEN_QUANTITY,
	UPDATE_CLOSED_AT,
	UPDATE_CLOSE_PRICE,
	UPDATE_PROFIT,
	UPDATE_PROFIT_SOURCE,
	UPDATE_POSITION_METHOD,
	UPDATE_CONVERSION_RATE,
	UPDATE_CONVERSION_PAIR,
	UPDATE_CONVERSION_AT,
	UPDATE_COLUMNS
};

static const Oid update_types[UPDATE_COLUMNS] = {
	UUIDOID, NUMERICOID, TIMESTAMPTZOID, NUMERICOID, NUMERICOID, TEXTOID, TEXTOID, NUMERICOID,
	TEXTOID, TIMESTAMPTZOID
};

static const char update_query[] =
"UPDATE fx.trades t"
" SET open_quantity = c.open_quantity,"
" closed_at = COALESCE(c.closed_at, t.closed_at),"
" close_price = COALESCE(c.close_price, t.close_price),"
" profit = COALESCE(c.profit, t.profit),"
" profit_source = COALESCE(c.profit_source, t.profit_source),"
" position_method = COALESCE(c.position_method, t.position_method),"
" conversion_rate = COALESCE(c.conversion_rate, t.conversion_rate),"
" conversion_pair = COALESCE(c.conversion_pair, t.conversion_pair),"
" conversion_at = COALESCE(c.conversion_at, t.conversion_at)"
" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
" pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
" pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10))"
" AS c(id, open_quantity, closed_at, close_price, profit, profit_source, position_method,"
" conversion_rate, conversion_pair, conversion_at)"
" WHERE t.id OPERATOR(pg_catalog.=) c.id";

#define MAX_COLUMNS			16

/* Parameters of the insertion of closures, in order */
enum
{
	INSERT_USER_ID,
	INSERT_TRADE_ID,
	INSERT_CLOSING_TRADE_ID,
	INSERT_SYMBOL,
	INSERT_TYPE,
	INSERT_QUANTITY,
	INSERT_COST,
	INSERT_CLOSE_PRICE,
	INSERT_REALIZED,
	INSERT_PROFIT,
	INSERT_PROFIT_SOURCE,
	INSERT_POSITION_METHOD,
	INSERT_CONVERSION_RATE,
	INSERT_CONVERSION_PAIR,
	INSERT_CONVERSION_AT,
	INSERT_CLOSED_AT,
	INSERT_COLUMNS
};

StaticAssertDecl((int) INSERT_COLUMNS <= MAX_COLUMNS && (int) UPDATE_COLUMNS <= MAX_COLUMNS,
				 "parameters of a statement");

static const Oid insert_types[INSERT_COLUMNS] = {
	UUIDOID, UUIDOID, UUIDOID, TEXTOID, TEXTOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID,
	NUMERICOID, TEXTOID, TEXTOID, NUMERICOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID
};

static const char insert_query[] =
"INSERT INTO fx.closures (user_id, trade_id, closing_trade_id, symbol, type, quantity, cost,"
" close_price, realized, profit, profit_source, position_method, conversion_rate,"
" conversion_pair, conversion_at, closed_at)"
" SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
" pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
" pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11),"
" pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14),"
" pg_catalog.unnest($15), pg_catalog.unnest($16))";

/* In the order of FxPositionMethod, FxSide and of what is computed */
static const char *const method_names[] = {"netting", "fifo", "hedging"};
static const char *const type_names[] = {"buy", "sell"};
static const char *const source_names[] = {"application", "computed"};

static void write_closures(FxTradeWork *work);
static void write_trades(FxTradeWork *work);
static void put_closure(Column *columns, int row, const FxClosure *closure);
static void put_ticket(Column *columns, int row, const FxTicket *ticket);
static int	execute(SPIPlanPtr plan, Column *columns, int ncolumns, int nrows);
static SPIPlanPtr prepare(const char *query, const Oid *types, int ntypes);
static void plan_by_index(SPIPlanPtr plan);
static Column *make_columns(const Oid *types, int ncolumns, int nrows);
static Datum array_of(const Column *column, int nrows);
static void put_uuid(Column *column, int row, const pg_uuid_t *id);
static void put_number(Column *column, int row, int128 number);
static void put_text(Column *column, int row, const char *text);
static void put_time(Column *column, int row, TimestampTz time);
static void put_conversion(Column *rate, Column *pair, Column *at, int row,
						   const FxConversion *conversion);

/*
 * Begin a statement.  The memory context that is current keeps all of it.
 */
void
fx_work_begin(FxTradeWork *work, Relation trades)
{
	memset(work, 0, sizeof(*work));
	work->trades = trades;
	work->columns = *fx_trade_columns(trades);
	work->context = CurrentMemoryContext;
}

/*
 * Lock and load the books of a user.
 */
void
fx_books_open(FxBooks *books, const pg_uuid_t *user_id)
{
	memset(books, 0, sizeof(*books));
	books->user_id = *user_id;
	books->account = fx_account_lock(user_id);
	books->risk = fx_risk_load(books->account);
}

/*
 * A new closure, zeroed.
 */
FxClosure *
fx_work_add_closure(FxTradeWork *work)
{
	FxClosure  *closure;

	if (work->nclosures == work->closures_size)
	{
		work->closures_size = Max(work->closures_size * 2, INITIAL_CLOSURES);
		if (work->closures == NULL)
			work->closures = (FxClosure *)
				MemoryContextAllocHuge(work->context, work->closures_size * sizeof(FxClosure));
		else
			work->closures = (FxClosure *)
				repalloc_huge(work->closures, work->closures_size * sizeof(FxClosure));
	}
	closure = &work->closures[work->nclosures++];
	memset(closure, 0, sizeof(*closure));
	return closure;
}

/*
 * A ticket is to be written.
 */
void
fx_work_change(FxTradeWork *work, FxTicket *ticket)
{
	MemoryContext old_context;

	if (ticket->changed)
		return;
	ticket->changed = true;
	old_context = MemoryContextSwitchTo(work->context);
	work->changed = lappend(work->changed, ticket);
	MemoryContextSwitchTo(old_context);
}

/*
 * A rate as it is noted.
 */
void
fx_work_conversion(const FxRate *rate, FxConversion *conversion)
{
	conversion->rate = fx_rate_get_numeric(rate);
	conversion->pair = NULL;
	conversion->at = 0;
	if (rate->nlegs == 0)
		return;
	conversion->pair = rate->nlegs == 1 ? pstrdup(rate->legs[0].symbol) :
		psprintf("%s*%s", rate->legs[0].symbol, rate->legs[1].symbol);
	conversion->at = rate->observed_at;
}

/*
 * Write the books.  They come before the trades: a trigger of fx.trades that
 * writes other trades finds them as they are by now.
 */
void
fx_work_write_books(FxTradeWork *work, FxBooks *books, int nbooks)
{
	for (int i = 0; i < nbooks; i++)
		fx_queue_end_all(&books[i]);
	if (work->snapshot != NULL)
	{
		UnregisterSnapshot(work->snapshot);
		work->snapshot = NULL;
		ExecDropSingleTupleTableSlot(work->slot);
	}

	for (int i = 0; i < nbooks; i++)
	{
		if (books[i].streak_stale)
			fx_streak_count(work, &books[i]);
		fx_account_observe(books[i].account);
		if (!fx_risk_reads_trades(books[i].risk))
			fx_risk_finish(books[i].risk);
		fx_account_flush(books[i].account);
	}
}

/*
 * Write closures and trades.
 */
void
fx_work_write_trades(FxTradeWork *work)
{
	if (work->nclosures > 0)
		write_closures(work);
	if (work->changed != NIL)
		write_trades(work);
}

/*
 * What limits count from the trades is counted when these are written.
 */
void
fx_work_finish(FxBooks *books, int nbooks)
{
	for (int i = 0; i < nbooks; i++)
	{
		if (!fx_risk_reads_trades(books[i].risk))
			continue;
		CommandCounterIncrement();
		fx_risk_finish(books[i].risk);
		fx_account_flush(books[i].account);
	}
}

/*
 * The price of a trade became known after units of it were closed: each of
 * these closings takes their cost.  open is what is open still.
 */
void
fx_closures_set_price(const pg_uuid_t *trade_id, int128 open, int128 price)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[3];

	args[0] = UUIDPGetDatum(trade_id);
	args[1] = fx_fixed_get_numeric(open);
	args[2] = fx_fixed_get_numeric(price);

	SPI_connect();
	if (plan == NULL)
	{
		Oid			argtypes[] = {UUIDOID, NUMERICOID, NUMERICOID};

		/* rest: units open after the closing */
		plan = fx_kept_plan("UPDATE fx.closures c"
							" SET cost = c.cost"
							" OPERATOR(pg_catalog.+) pg_catalog.round((k.rest"
							" OPERATOR(pg_catalog.+) c.quantity) OPERATOR(pg_catalog.*) $3, 8)"
							" OPERATOR(pg_catalog.-) pg_catalog.round(k.rest"
							" OPERATOR(pg_catalog.*) $3, 8)"
							" FROM (SELECT d.id, $2 OPERATOR(pg_catalog.+) COALESCE("
							"pg_catalog.sum(d.quantity) OVER (ORDER BY d.id DESC"
							" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS rest"
							" FROM fx.closures d WHERE d.trade_id OPERATOR(pg_catalog.=) $1) AS k"
							" WHERE c.id OPERATOR(pg_catalog.=) k.id",
							lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(plan, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update closures");
	SPI_finish();
}

static void
write_closures(FxTradeWork *work)
{
	static SPIPlanPtr plan = NULL;

	SPI_connect();
	if (plan == NULL)
		plan = prepare(insert_query, insert_types, INSERT_COLUMNS);
	for (int first = 0; first < work->nclosures; first += CHUNK_ROWS)
	{
		int			nrows = Min(work->nclosures - first, CHUNK_ROWS);
		Column	   *columns = make_columns(insert_types, INSERT_COLUMNS, nrows);

		for (int row = 0; row < nrows; row++)
			put_closure(columns, row, &work->closures[first + row]);
		if (execute(plan, columns, INSERT_COLUMNS, nrows) != SPI_OK_INSERT)
			elog(ERROR, "could not insert closures");
		if (SPI_processed != nrows)
			fx_raise_suppressed("closures", "an insertion");
	}
	SPI_finish();
	work->nclosures = 0;
}

static void
put_closure(Column *columns, int row, const FxClosure *closure)
{
	put_uuid(&columns[INSERT_USER_ID], row, &closure->user_id);
	put_uuid(&columns[INSERT_TRADE_ID], row, &closure->trade_id);
	if (closure->by_trade)
		put_uuid(&columns[INSERT_CLOSING_TRADE_ID], row, &closure->closing_trade_id);
	put_text(&columns[INSERT_SYMBOL], row, closure->symbol);
	put_text(&columns[INSERT_TYPE], row, type_names[closure->side]);
	put_number(&columns[INSERT_QUANTITY], row, closure->quantity);
	put_number(&columns[INSERT_COST], row, closure->cost);
	if (closure->close_price != 0)
		put_number(&columns[INSERT_CLOSE_PRICE], row, closure->close_price);
	if (closure->has_realized)
		put_number(&columns[INSERT_REALIZED], row, closure->realized);
	if (closure->has_profit)
		put_number(&columns[INSERT_PROFIT], row, closure->profit);
	put_text(&columns[INSERT_PROFIT_SOURCE], row, source_names[closure->computed]);
	put_text(&columns[INSERT_POSITION_METHOD], row, method_names[closure->method]);
	put_conversion(&columns[INSERT_CONVERSION_RATE], &columns[INSERT_CONVERSION_PAIR],
				   &columns[INSERT_CONVERSION_AT], row, &closure->conversion);
	put_time(&columns[INSERT_CLOSED_AT], row, closure->closed_at);
}

static void
write_trades(FxTradeWork *work)
{
	static SPIPlanPtr plan = NULL;
	int			nchanged = list_length(work->changed);

	SPI_connect();
	if (plan == NULL)
		plan = prepare(update_query, update_types, UPDATE_COLUMNS);
	for (int first = 0; first < nchanged; first += CHUNK_ROWS)
	{
		int			nrows = Min(nchanged - first, CHUNK_ROWS);
		Column	   *columns = make_columns(update_types, UPDATE_COLUMNS, nrows);

		for (int row = 0; row < nrows; row++)
			put_ticket(columns, row, (const FxTicket *) list_nth(work->changed, first + row));
		plan_by_index(plan);
		fx_trade_write_begin();
		if (execute(plan, columns, UPDATE_COLUMNS, nrows) != SPI_OK_UPDATE)
			elog(ERROR, "could not update trades");
		fx_trade_write_end();
		if (SPI_processed != nrows)
			fx_raise_suppressed(RelationGetRelationName(work->trades), "an update");
	}
	SPI_finish();
}

static void
put_ticket(Column *columns, int row, const FxTicket *ticket)
{
	const FxTradeResult *result = ticket->result;

	put_uuid(&columns[UPDATE_ID], row, &ticket->id);
	put_number(&columns[UPDATE_OPEN_QUANTITY], row, ticket->open);
	if (ticket->is_closed)
		put_time(&columns[UPDATE_CLOSED_AT], row, ticket->closed_at);
	if (ticket->close_price != 0)
		put_number(&columns[UPDATE_CLOSE_PRICE], row, ticket->close_price);
	if (result == NULL)
		return;
	put_text(&columns[UPDATE_POSITION_METHOD], row, method_names[result->method]);
	if (!result->computed)
		return;
	put_number(&columns[UPDATE_PROFIT], row, result->profit);
	put_text(&columns[UPDATE_PROFIT_SOURCE], row, source_names[true]);
	put_conversion(&columns[UPDATE_CONVERSION_RATE], &columns[UPDATE_CONVERSION_PAIR],
				   &columns[UPDATE_CONVERSION_AT], row, &result->conversion);
}

static int
execute(SPIPlanPtr plan, Column *columns, int ncolumns, int nrows)
{
	Datum		args[MAX_COLUMNS];

	for (int column = 0; column < ncolumns; column++)
		args[column] = array_of(&columns[column], nrows);
	return SPI_execute_plan(plan, args, NULL, false, 0);
}

static SPIPlanPtr
prepare(const char *query, const Oid *types, int ntypes)
{
	Oid			argtypes[MAX_COLUMNS];
	SPIPlanPtr	plan;

	for (int i = 0; i < ntypes; i++)
		argtypes[i] = get_array_type(types[i]);
	plan = SPI_prepare_cursor(query, ntypes, argtypes, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

/*
 * Have the plan made, where there is none, so that each trade is found by its
 * primary key.  It is kept for all numbers of trades and while the table grows:
 * what is best for an empty table must not be taken.
 */
static void
plan_by_index(SPIPlanPtr plan)
{
	static const char *const settings[] = {
		"enable_seqscan", "enable_hashjoin", "enable_mergejoin"
	};
	int			nest_level = NewGUCNestLevel();
	CachedPlan *cached;

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	cached = SPI_plan_get_cached_plan(plan);
	if (cached != NULL)
		ReleaseCachedPlan(cached, CurrentResourceOwner);
	AtEOXact_GUC(true, nest_level);
}

static Column *
make_columns(const Oid *types, int ncolumns, int nrows)
{
	Column	   *columns = (Column *) palloc(ncolumns * sizeof(Column));

	for (int i = 0; i < ncolumns; i++)
	{
		columns[i].type = types[i];
		columns[i].values = (Datum *) palloc_extended(nrows * sizeof(Datum), MCXT_ALLOC_HUGE);
		columns[i].nulls = (bool *) palloc_extended(nrows * sizeof(bool), MCXT_ALLOC_HUGE);
		memset(columns[i].nulls, true, nrows * sizeof(bool));
	}
	return columns;
}

static Datum
array_of(const Column *column, int nrows)
{
	int			lower = 1;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(column->type, &typlen, &typbyval, &typalign);
	return PointerGetDatum(construct_md_array(column->values, column->nulls, 1, &nrows, &lower,
											  column->type, typlen, typbyval, typalign));
}

static void
put_uuid(Column *column, int row, const pg_uuid_t *id)
{
	column->values[row] = UUIDPGetDatum(id);
	column->nulls[row] = false;
}

static void
put_number(Column *column, int row, int128 number)
{
	column->values[row] = fx_fixed_get_numeric(number);
	column->nulls[row] = false;
}

static void
put_text(Column *column, int row, const char *text)
{
	column->values[row] = CStringGetTextDatum(text);
	column->nulls[row] = false;
}

static void
put_time(Column *column, int row, TimestampTz time)
{
	column->values[row] = TimestampTzGetDatum(time);
	column->nulls[row] = false;
}

static void
put_conversion(Column *rate, Column *pair, Column *at, int row, const FxConversion *conversion)
{
	if (conversion->rate == (Datum) 0)
		return;
	rate->values[row] = conversion->rate;
	rate->nulls[row] = false;
	if (conversion->pair == NULL)
		return;
	put_text(pair, row, conversion->pair);
	put_time(at, row, conversion->at);
}
