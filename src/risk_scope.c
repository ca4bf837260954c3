/*-------------------------------------------------------------------------
 *
 * risk_scope.c
 *	  What limits count that is not in the books
 *
 * The books know an account and its symbols.  Trades of a strategy, those of a
 * symbol in a day, and losses in a row since a limit was cleared are counted
 * from fx.trades, by queries, and only for limits that ask for it.
 *
 * While a statement that writes trades is judged, its rows are in the table
 * already.  What is counted then is the state before the statement, by a
 * snapshot of now that leaves out the command at hand; the orders that are
 * accepted are added as they come.  At the end everything is counted again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "kept_plan.h"
#include "risk_internal.h"

/* Rows of a run of losses that are read at once */
#define LOSSES_AT_ONCE		32

#define EQ					" OPERATOR(pg_catalog.=) "
#define LIVE_TRADES \
	" FROM fx.trades t" \
	" WHERE t.user_id" EQ "$1 AND t.status" EQ "'executed' AND NOT t.is_backtest"
/* as fx_normalize_symbol() writes it, in any locale */
#define NORMAL_SYMBOL \
	"pg_catalog.translate(pg_catalog.upper(pg_catalog.translate(" \
	"t.symbol::pg_catalog.text, 'i', 'I')), '/_-. ', '')"
#define OF_SCOPE \
	" AND ($3 IS NULL OR t.strategy_id" EQ "$3)" \
	" AND ($4 IS NULL OR " NORMAL_SYMBOL EQ "$4)"
#define IS_LOSS \
	"((COALESCE(t.profit, 0) OPERATOR(pg_catalog.-) COALESCE(t.commission, 0))" \
	" OPERATOR(pg_catalog.+) COALESCE(t.swap, 0)) OPERATOR(pg_catalog.<) 0"

typedef enum ScopeQuery
{
	QUERY_OPEN,
	QUERY_DAY,
	QUERY_LOSSES,
	QUERY_EXCLUDED,
	SCOPE_QUERIES
} ScopeQuery;

/* $1 user, $2 and $5 times, $3 strategy, $4 symbol */
static const char *const queries[SCOPE_QUERIES] = {
	"SELECT " NORMAL_SYMBOL ", t.type" EQ "'buy',"
	" pg_catalog.sum(COALESCE(t.open_quantity, t.quantity))::pg_catalog.numeric,"
	" pg_catalog.count(*)"
	LIVE_TRADES " AND t.closed_at IS NULL" OF_SCOPE
	" GROUP BY 1, 2",

	"SELECT pg_catalog.count(*)"
	LIVE_TRADES " AND t.executed_at OPERATOR(pg_catalog.>=) $2" OF_SCOPE,

	"SELECT " IS_LOSS
	LIVE_TRADES " AND t.closed_at OPERATOR(pg_catalog.>) $2" OF_SCOPE
	" ORDER BY t.closed_at DESC, t.id DESC",

	"SELECT pg_catalog.count(*)"
	LIVE_TRADES " AND t.closed_at OPERATOR(pg_catalog.>=) $2"
	" AND t.closed_at OPERATOR(pg_catalog.<=) $5 AND " IS_LOSS OF_SCOPE
};

#define QUERY_ARGS			5

static bool needs_scope(const FxRisk *risk, FxLimit *limit);
static void load_scope(FxRisk *risk, FxLimit *limit);
static SPIPlanPtr get_plan(ScopeQuery query);
static void get_args(const FxRisk *risk, const FxLimit *limit, TimestampTz since,
					 TimestampTz until, Datum *args, char *nulls);
static int64 count_rows(ScopeQuery query, const FxRisk *risk, const FxLimit *limit,
						TimestampTz since, TimestampTz until);
static int64 count_run_of_losses(const FxRisk *risk, const FxLimit *limit);
static void load_positions(const FxRisk *risk, FxLimit *limit);

/*
 * Count for all limits that need it: as it is now, or as it was before the
 * statement under way.
 */
void
fx_scope_load_all(FxRisk *risk, bool before_statement)
{
	bool		is_pushed = false;

	for (int i = 0; i < risk->nlimits; i++)
	{
		FxLimit    *limit = &risk->limits[i];

		if (!needs_scope(risk, limit))
			continue;

		/* without a lock the reader's snapshot is what everything else is read by */
		if (risk->account->locked && !is_pushed)
		{
			CommandId	command = GetActiveSnapshot()->curcid;

			PushCopiedSnapshot(GetLatestSnapshot());
			if (before_statement)
				GetActiveSnapshot()->curcid = command;
			is_pushed = true;
		}
		load_scope(risk, limit);
	}
	if (is_pushed)
		PopActiveSnapshot();
}

/*
 * What the trades that a limit counts have open of a symbol; NULL when nothing,
 * unless it is made.
 */
FxScopeSymbol *
fx_scope_symbol(FxScope *scope, const char *symbol, bool make)
{
	for (int i = 0; i < scope->nsymbols; i++)
	{
		if (strcmp(scope->symbols[i].symbol, symbol) == 0)
			return &scope->symbols[i];
	}
	if (!make)
		return NULL;

	if (scope->nsymbols == scope->symbols_size)
	{
		Size		size;

		scope->symbols_size = Max(4, 2 * scope->symbols_size);
		size = scope->symbols_size * sizeof(FxScopeSymbol);
		scope->symbols = scope->symbols == NULL ?
			(FxScopeSymbol *) MemoryContextAlloc(GetMemoryChunkContext(scope), size) :
			(FxScopeSymbol *) repalloc(scope->symbols, size);
	}
	memset(&scope->symbols[scope->nsymbols], 0, sizeof(FxScopeSymbol));
	strlcpy(scope->symbols[scope->nsymbols].symbol, symbol, FX_SYMBOL_SIZE);
	return &scope->symbols[scope->nsymbols++];
}

static bool
needs_scope(const FxRisk *risk, FxLimit *limit)
{
	bool		is_scoped = limit->has_strategy || limit->symbol[0] != '\0';
	FxScope		scope = {0};

	switch (limit->type)
	{
		case FX_MAX_POSITION:
		case FX_MAX_OPEN_TRADES:
			scope.has_positions = limit->has_strategy;
			break;
		case FX_MAX_DAILY_TRADES:
			scope.has_day = is_scoped;
			break;
		case FX_MAX_CONSECUTIVE_LOSSES:
			scope.has_losses = is_scoped;
			scope.has_excluded = !is_scoped && limit->cleared_at != 0 &&
				risk->account->losing_since != 0 &&
				risk->account->losing_since <= limit->cleared_at;
			break;
		default:
			break;
	}
	if (!scope.has_positions && !scope.has_day && !scope.has_losses && !scope.has_excluded)
	{
		limit->scope = NULL;
		return false;
	}

	limit->scope = (FxScope *) MemoryContextAlloc(risk->context, sizeof(FxScope));
	*limit->scope = scope;
	return true;
}

static void
load_scope(FxRisk *risk, FxLimit *limit)
{
	FxScope    *scope = limit->scope;
	FxAccount  *account = risk->account;

	SPI_connect();
	if (scope->has_positions)
		load_positions(risk, limit);
	if (scope->has_day)
		scope->day_trades = count_rows(QUERY_DAY, risk, limit,
									   account->periods[FX_DAY].started_at, 0);
	if (scope->has_losses)
		scope->losses = count_run_of_losses(risk, limit);
	if (scope->has_excluded)
		scope->losses_excluded = count_rows(QUERY_EXCLUDED, risk, limit,
											account->losing_since, limit->cleared_at);
	SPI_finish();
}

static SPIPlanPtr
get_plan(ScopeQuery query)
{
	static SPIPlanPtr plans[SCOPE_QUERIES];

	if (plans[query] == NULL)
	{
		Oid			types[QUERY_ARGS] = {UUIDOID, TIMESTAMPTZOID, UUIDOID, TEXTOID, TIMESTAMPTZOID};

		plans[query] = fx_kept_plan(queries[query], QUERY_ARGS, types);
	}
	return plans[query];
}

static void
get_args(const FxRisk *risk, const FxLimit *limit, TimestampTz since, TimestampTz until,
		 Datum *args, char *nulls)
{
	args[0] = UUIDPGetDatum(&risk->account->user_id);
	nulls[0] = ' ';
	args[1] = TimestampTzGetDatum(since);
	nulls[1] = since == 0 ? 'n' : ' ';
	args[2] = UUIDPGetDatum(&limit->strategy_id);
	nulls[2] = limit->has_strategy ? ' ' : 'n';
	args[3] = CStringGetTextDatum(limit->symbol);
	nulls[3] = limit->symbol[0] != '\0' ? ' ' : 'n';
	args[4] = TimestampTzGetDatum(until);
	nulls[4] = until == 0 ? 'n' : ' ';
}

static int64
count_rows(ScopeQuery query, const FxRisk *risk, const FxLimit *limit, TimestampTz since,
		   TimestampTz until)
{
	Datum		args[QUERY_ARGS];
	char		nulls[QUERY_ARGS];
	bool		isnull;
	int64		count;

	get_args(risk, limit, since, until, args, nulls);
	if (SPI_execute_plan(get_plan(query), args, nulls, true, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not count trades");
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/*
 * Losses in a row, the newest closing first, since the limit was cleared.
 */
static int64
count_run_of_losses(const FxRisk *risk, const FxLimit *limit)
{
	Datum		args[QUERY_ARGS];
	char		nulls[QUERY_ARGS];
	Portal		portal;
	int64		count = 0;
	bool		ended = false;

	get_args(risk, limit, limit->cleared_at != 0 ? limit->cleared_at : DT_NOBEGIN, 0, args, nulls);
	portal = SPI_cursor_open(NULL, get_plan(QUERY_LOSSES), args, nulls, true);
	while (!ended)
	{
		SPI_cursor_fetch(portal, true, LOSSES_AT_ONCE);
		ended = SPI_processed < LOSSES_AT_ONCE;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;

			if (!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)))
			{
				ended = true;
				break;
			}
			count++;
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	return count;
}

/*
 * Open trades of the strategy of a limit, in all symbols or that of its scope.
 */
static void
load_positions(const FxRisk *risk, FxLimit *limit)
{
	Datum		args[QUERY_ARGS];
	char		nulls[QUERY_ARGS];

	get_args(risk, limit, 0, 0, args, nulls);
	if (SPI_execute_plan(get_plan(QUERY_OPEN), args, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not count open trades");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		FxScopeSymbol *symbol = fx_scope_symbol(limit->scope, SPI_getvalue(row, desc, 1), true);
		FxSide		side = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull)) ? FX_LONG : FX_SHORT;

		symbol->quantity[side] = fx_fixed_get_argument(SPI_getbinval(row, desc, 3, &isnull),
													   "quantity");
		limit->scope->open_trades += DatumGetInt64(SPI_getbinval(row, desc, 4, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
}
