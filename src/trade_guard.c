/*-------------------------------------------------------------------------
 *
 * trade_guard.c
 *	  The trigger that keeps the lifecycle of trades
 *
 * A trade is pending, executed, closed, or ends as cancelled or rejected.  What
 * the books were written by does not change any more, and what the engine
 * notes on a trade only the engine writes.  Trades of backtests are free.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fxplatform.h"
#include "trade_write.h"
#include "trades.h"

#define GUARD_NAME			"guard_trade"

/* No more of a value than this is shown in an error */
#define ECHO_BYTES			64

typedef struct GuardedRow
{
	Relation	rel;
	const FxTradeColumns *columns;
	TupleTableSlot *oldslot;	/* NULL for an insert */
	TupleTableSlot *newslot;
} GuardedRow;

/* Written by the engine only; the first is set to its default by an insert */
static const FxTradeColumn managed[] = {
	FX_TRADE_PROFIT_SOURCE, FX_TRADE_OPEN_QUANTITY, FX_TRADE_POSITION_METHOD,
	FX_TRADE_CONVERSION_RATE, FX_TRADE_CONVERSION_PAIR, FX_TRADE_CONVERSION_AT
};

/* Of what was executed; the price may be missing at first */
static const FxTradeColumn immutable[] = {
	FX_TRADE_USER_ID, FX_TRADE_SYMBOL, FX_TRADE_TYPE, FX_TRADE_QUANTITY, FX_TRADE_PRICE,
	FX_TRADE_EXECUTED_AT
};

PG_FUNCTION_INFO_V1(fx_guard_trade);

static void guard_insert(const GuardedRow *row);
static bool guard_update(const GuardedRow *row);
static void guard_status(const GuardedRow *row, FxTradeStatus old_status, FxTradeStatus new_status);
static void guard_times(const GuardedRow *row);
static FxTradeStatus status_of(TupleTableSlot *slot, const FxTradeColumns *columns);
static bool is_true(TupleTableSlot *slot, AttrNumber attnum);
static bool is_default_source(TupleTableSlot *slot, AttrNumber attnum);
static bool changed(const GuardedRow *row, FxTradeColumn column);
static char *show(const GuardedRow *row, TupleTableSlot *slot, FxTradeColumn column);
static char *show_id(const GuardedRow *row);
pg_noreturn static void refuse_change(const GuardedRow *row, FxTradeColumn column, const char *hint);
pg_noreturn static void refuse_value(const GuardedRow *row, FxTradeColumn column, const char *hint);
static HeapTuple take_over_profit(const GuardedRow *row, HeapTuple tuple);

/*
 * guard_trade() returns trigger
 *
 * To be fired before insert or update for each row of fx.trades.
 */
Datum
fx_guard_trade(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	GuardedRow	row;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", GUARD_NAME));
	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired BEFORE INSERT OR UPDATE FOR EACH ROW",
					   GUARD_NAME));

	row.rel = trigdata->tg_relation;
	row.columns = fx_trade_columns(row.rel);
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		row.oldslot = NULL;
		row.newslot = trigdata->tg_trigslot;
		if (!is_true(row.newslot, row.columns->attnum[FX_TRADE_IS_BACKTEST]))
			guard_insert(&row);
		return PointerGetDatum(trigdata->tg_trigtuple);
	}

	row.oldslot = trigdata->tg_trigslot;
	row.newslot = trigdata->tg_newslot;
	if (!fx_trade_write_is_engine() &&
		!is_true(row.newslot, row.columns->attnum[FX_TRADE_IS_BACKTEST]) &&
		guard_update(&row))
		return PointerGetDatum(take_over_profit(&row, trigdata->tg_newtuple));
	return PointerGetDatum(trigdata->tg_newtuple);
}

static void
guard_insert(const GuardedRow *row)
{
	const AttrNumber *attnum = row->columns->attnum;

	for (int i = 0; i < lengthof(managed); i++)
	{
		if (!slot_attisnull(row->newslot, attnum[managed[i]]) &&
			!(managed[i] == FX_TRADE_PROFIT_SOURCE &&
			  is_default_source(row->newslot, attnum[FX_TRADE_PROFIT_SOURCE])))
			refuse_value(row, managed[i], "The platform writes this column.");
	}
	if (!slot_attisnull(row->newslot, attnum[FX_TRADE_CLOSE_PRICE]) &&
		slot_attisnull(row->newslot, attnum[FX_TRADE_CLOSED_AT]))
		refuse_value(row, FX_TRADE_CLOSE_PRICE, "It is written together with \"closed_at\".");
	if (!slot_attisnull(row->newslot, attnum[FX_TRADE_CLOSED_AT]) &&
		status_of(row->newslot, row->columns) == FX_TRADE_PENDING)
		refuse_value(row, FX_TRADE_CLOSED_AT, "A pending trade is not open yet.");
	guard_times(row);
}

/*
 * Returns whether the profit that the platform computed is replaced.
 */
static bool
guard_update(const GuardedRow *row)
{
	const AttrNumber *attnum = row->columns->attnum;
	FxTradeStatus old_status = status_of(row->oldslot, row->columns);
	FxTradeStatus new_status = status_of(row->newslot, row->columns);
	bool		was_closed = !slot_attisnull(row->oldslot, attnum[FX_TRADE_CLOSED_AT]);

	/* it was free until now, and cannot become live (mark_backtest_trade) */
	if (is_true(row->oldslot, attnum[FX_TRADE_IS_BACKTEST]))
		return false;

	if (old_status != FX_TRADE_PENDING || new_status != FX_TRADE_PENDING)
		guard_status(row, old_status, new_status);
	for (int i = 0; i < lengthof(managed); i++)
	{
		if (unlikely(changed(row, managed[i])))
			refuse_change(row, managed[i], "The platform writes this column.");
	}
	if (old_status == FX_TRADE_EXECUTED)
	{
		for (int i = 0; i < lengthof(immutable); i++)
		{
			if (unlikely(changed(row, immutable[i])) &&
				!(immutable[i] == FX_TRADE_PRICE &&
				  slot_attisnull(row->oldslot, attnum[FX_TRADE_PRICE])))
				refuse_change(row, immutable[i], NULL);
		}
		if (was_closed && unlikely(changed(row, FX_TRADE_CLOSED_AT)))
			refuse_change(row, FX_TRADE_CLOSED_AT, "A closed trade stays closed.");
	}
	if (new_status == FX_TRADE_PENDING && unlikely(changed(row, FX_TRADE_CLOSED_AT)) &&
		!slot_attisnull(row->newslot, attnum[FX_TRADE_CLOSED_AT]))
		refuse_change(row, FX_TRADE_CLOSED_AT, "A pending trade is not open yet.");
	if (unlikely(changed(row, FX_TRADE_CLOSE_PRICE)) &&
		(was_closed || slot_attisnull(row->newslot, attnum[FX_TRADE_CLOSED_AT])))
		refuse_change(row, FX_TRADE_CLOSE_PRICE, "It is written together with \"closed_at\".");
	guard_times(row);

	return changed(row, FX_TRADE_PROFIT) &&
		!is_default_source(row->oldslot, attnum[FX_TRADE_PROFIT_SOURCE]);
}

/*
 * What is no status at all is for the table's CHECK to refuse.
 */
static void
guard_status(const GuardedRow *row, FxTradeStatus old_status, FxTradeStatus new_status)
{
	char	   *new_text;

	if (old_status == FX_TRADE_PENDING || !changed(row, FX_TRADE_STATUS))
		return;
	new_text = show(row, row->newslot, FX_TRADE_STATUS);
	if (new_status == FX_TRADE_ENDED && strcmp(new_text, "cancelled") != 0 &&
		strcmp(new_text, "rejected") != 0)
		return;

	ereport(ERROR,
			errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
			errmsg("trade \"%s\" cannot go from status \"%s\" to \"%s\"", show_id(row),
				   show(row, row->oldslot, FX_TRADE_STATUS),
				   new_status == FX_TRADE_PENDING ? "pending" : new_text),
			errhint("A trade goes from pending to executed, cancelled or rejected."),
			errtablecol(row->rel, row->columns->attnum[FX_TRADE_STATUS]));
}

/*
 * Days and nights are counted between these times.
 */
static void
guard_times(const GuardedRow *row)
{
	static const FxTradeColumn times[] = {FX_TRADE_EXECUTED_AT, FX_TRADE_CLOSED_AT};

	for (int i = 0; i < lengthof(times); i++)
	{
		AttrNumber	attnum = row->columns->attnum[times[i]];
		bool		isnull;
		Datum		value = slot_getattr(row->newslot, attnum, &isnull);

		if (!isnull && unlikely(TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value))))
			ereport(ERROR,
					errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					errmsg("column \"%s\" of trade \"%s\" must be finite",
						   fx_trade_column_name(times[i]), show_id(row)),
					errtablecol(row->rel, attnum));
	}
}

static FxTradeStatus
status_of(TupleTableSlot *slot, const FxTradeColumns *columns)
{
	bool		isnull;
	Datum		status = slot_getattr(slot, columns->attnum[FX_TRADE_STATUS], &isnull);

	return fx_trade_status(status, isnull);
}

static bool
is_true(TupleTableSlot *slot, AttrNumber attnum)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, attnum, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * Did the application write the profit?
 */
static bool
is_default_source(TupleTableSlot *slot, AttrNumber attnum)
{
	static const char source[] = "application";
	bool		isnull;
	Datum		value = slot_getattr(slot, attnum, &isnull);
	struct varlena *text;

	if (isnull)
		return true;
	text = PG_DETOAST_DATUM_PACKED(value);
	return VARSIZE_ANY_EXHDR(text) == sizeof(source) - 1 &&
		memcmp(VARDATA_ANY(text), source, sizeof(source) - 1) == 0;
}

static bool
changed(const GuardedRow *row, FxTradeColumn column)
{
	AttrNumber	attnum = row->columns->attnum[column];
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(row->rel), attnum - 1);
	bool		old_null;
	bool		new_null;
	Datum		old_value = slot_getattr(row->oldslot, attnum, &old_null);
	Datum		new_value = slot_getattr(row->newslot, attnum, &new_null);

	if (old_null != new_null)
		return true;
	return !old_null && old_value != new_value &&
		!datum_image_eq(old_value, new_value, att->attbyval, att->attlen);
}

static char *
show(const GuardedRow *row, TupleTableSlot *slot, FxTradeColumn column)
{
	AttrNumber	attnum = row->columns->attnum[column];
	bool		isnull;
	Datum		value = slot_getattr(slot, attnum, &isnull);
	Oid			output;
	bool		is_varlena;
	char	   *text;

	if (isnull)
		return pstrdup("null");
	getTypeOutputInfo(TupleDescAttr(RelationGetDescr(row->rel), attnum - 1)->atttypid,
					  &output, &is_varlena);
	text = OidOutputFunctionCall(output, value);
	if (strlen(text) > ECHO_BYTES)
		text[pg_mbcliplen(text, strlen(text), ECHO_BYTES)] = '\0';
	return text;
}

static char *
show_id(const GuardedRow *row)
{
	return show(row, row->oldslot != NULL ? row->oldslot : row->newslot, FX_TRADE_ID);
}

static void
refuse_change(const GuardedRow *row, FxTradeColumn column, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
			errmsg("column \"%s\" of trade \"%s\" cannot change from %s to %s",
				   fx_trade_column_name(column), show_id(row),
				   show(row, row->oldslot, column), show(row, row->newslot, column)),
			hint != NULL ? errhint("%s", hint) : 0,
			errtablecol(row->rel, row->columns->attnum[column]));
}

static void
refuse_value(const GuardedRow *row, FxTradeColumn column, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
			errmsg("column \"%s\" of trade \"%s\" cannot be %s",
				   fx_trade_column_name(column), show_id(row), show(row, row->newslot, column)),
			errhint("%s", hint),
			errtablecol(row->rel, row->columns->attnum[column]));
}

/*
 * A profit that the application writes over the computed one is its own.
 */
static HeapTuple
take_over_profit(const GuardedRow *row, HeapTuple tuple)
{
	static const FxTradeColumn noted[] = {
		FX_TRADE_PROFIT_SOURCE, FX_TRADE_CONVERSION_RATE, FX_TRADE_CONVERSION_PAIR,
		FX_TRADE_CONVERSION_AT
	};
	int			attnums[lengthof(noted)];
	Datum		values[lengthof(noted)] = {0};
	bool		nulls[lengthof(noted)] = {false, true, true, true};

	for (int i = 0; i < lengthof(noted); i++)
		attnums[i] = row->columns->attnum[noted[i]];
	values[0] = CStringGetTextDatum("application");
	return heap_modify_tuple_by_cols(tuple, RelationGetDescr(row->rel), lengthof(noted),
									 attnums, values, nulls);
}
