/*-------------------------------------------------------------------------
 *
 * account_rows.c
 *	  Rows of fx.accounts and fx.positions and what they are in memory
 *
 * Columns are looked up by name once, until the server says that something of
 * the table has changed: others may add columns, and leave gaps.  As writes go
 * past the constraints of the tables, ranges are checked here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "account_rows.h"
#include "fxplatform.h"
#include "relcache.h"
#include "wide.h"

/* Digits before the point that the columns hold: NUMERIC(28,8) and so on */
#define MONEY_DIGITS		20
#define COST_DIGITS			30
#define PRICE_DIGITS		10

typedef struct BookColumn
{
	const char *name;
	Oid			type;
} BookColumn;

/* In the order of the enums */
static const BookColumn account_columns[FX_ACC_COLUMNS] = {
	{"user_id", UUIDOID},
	{"currency", VARCHAROID},
	{"initial_balance", NUMERICOID},
	{"balance", NUMERICOID},
	{"net_deposits", NUMERICOID},
	{"position_method", VARCHAROID},
	{"trading_state", VARCHAROID},
	{"state_reason", TEXTOID},
	{"time_zone", VARCHAROID},
	{"day_cutoff", TIMEOID},
	{"high_water_mark", NUMERICOID},
	{"eod_high_water_mark", NUMERICOID},
	{"day_started_at", TIMESTAMPTZOID},
	{"day_balance", NUMERICOID},
	{"day_equity", NUMERICOID},
	{"day_deposits", NUMERICOID},
	{"week_started_at", TIMESTAMPTZOID},
	{"week_balance", NUMERICOID},
	{"week_equity", NUMERICOID},
	{"week_deposits", NUMERICOID},
	{"month_started_at", TIMESTAMPTZOID},
	{"month_balance", NUMERICOID},
	{"month_equity", NUMERICOID},
	{"month_deposits", NUMERICOID},
	{"day_ends_at", TIMESTAMPTZOID},
	{"open_trades", INT4OID},
	{"day_trades", INT4OID},
	{"consecutive_losses", INT4OID},
	{"losing_since", TIMESTAMPTZOID},
	{"last_closed_at", TIMESTAMPTZOID}
};

static const BookColumn position_columns[FX_POS_COLUMNS] = {
	{"user_id", UUIDOID},
	{"symbol", VARCHAROID},
	{"long_quantity", NUMERICOID},
	{"short_quantity", NUMERICOID},
	{"long_cost", NUMERICOID},
	{"short_cost", NUMERICOID},
	{"average_price", NUMERICOID},
	{"realized_pnl", NUMERICOID},
	{"open_trades", INT4OID},
	{"unpriced_trades", INT4OID},
	{"last_price", NUMERICOID},
	{"last_price_at", TIMESTAMPTZOID}
};

static const char *const method_names[] = {"netting", "fifo", "hedging"};
static const char *const state_names[] = {"active", "reduce_only", "halted"};

static const struct
{
	const char *table;
	const BookColumn *columns;
	int			ncolumns;
	int			nkeys;			/* the first columns are those of the primary key */
}			books[FX_BOOKS] = {
	{"accounts", account_columns, FX_ACC_COLUMNS, 1},
	{"positions", position_columns, FX_POS_COLUMNS, 2}
};

/* What was looked up.  The rest stays as it is when relid is reset: whoever
 * uses it has a lock that lets nobody change the table. */
typedef struct BookFacts
{
	Oid			relid;
	Oid			primary_key;
	AttrNumber	attnums[FX_BOOK_COLUMNS];
} BookFacts;

static BookFacts facts[FX_BOOKS];

static void find_facts(FxBook book, Relation rel);
static void forget_facts(Oid relid);
static int128 get_money(FxBook book, int column, TupleTableSlot *slot, bool *isnull);
static int	get_name(FxBook book, int column, TupleTableSlot *slot, const char *const *names,
					 int nnames);
static TimestampTz get_time(FxBook book, int column, TupleTableSlot *slot);
static void put_money(FxBook book, int column, int128 value, int digits, FxBookRow *row);
static void put_count(FxBook book, int column, int32 count, FxBookRow *row);
static void put_time(int column, TimestampTz at, FxBookRow *row);
static void put_optional_time(int column, TimestampTz at, FxBookRow *row);
static void put_null(int column, FxBookRow *row);

/*
 * Open a table of the books, and know its columns.
 */
Relation
fx_book_open(FxBook book, LOCKMODE lockmode)
{
	Relation	rel = table_open(fx_book_oid(book), lockmode);

	if (unlikely(facts[book].relid != RelationGetRelid(rel)))
		find_facts(book, rel);
	return rel;
}

Oid
fx_book_oid(FxBook book)
{
	if (likely(OidIsValid(facts[book].relid)))
		return facts[book].relid;
	return fx_require_table(books[book].table);
}

Oid
fx_book_primary_key(FxBook book)
{
	return facts[book].primary_key;
}

const AttrNumber *
fx_book_columns(FxBook book)
{
	return facts[book].attnums;
}

const char *
fx_book_column_name(FxBook book, int column)
{
	return books[book].columns[column].name;
}

static void
find_facts(FxBook book, Relation rel)
{
	static bool registered = false;
	BookFacts  *found = &facts[book];
	TupleDesc	tupdesc = RelationGetDescr(rel);
	Relation	index;
	bool		usable;

	if (!registered)
	{
		fx_relcache_register(forget_facts);
		registered = true;
	}

	found->relid = InvalidOid;
	for (int i = 0; i < books[book].ncolumns; i++)
	{
		const BookColumn *column = &books[book].columns[i];
		int			attnum = SPI_fnumber(tupdesc, column->name);

		if (attnum <= 0 || TupleDescAttr(tupdesc, attnum - 1)->atttypid != column->type)
			fx_raise_no_column(rel, column->name, column->type);
		found->attnums[i] = attnum;
	}

	found->primary_key = fx_primary_key_index(rel, false);
	usable = OidIsValid(found->primary_key);
	if (usable)
	{
		index = relation_open(found->primary_key, AccessShareLock);
		usable = index->rd_rel->relam == BTREE_AM_OID &&
			index->rd_index->indnkeyatts >= books[book].nkeys;
		for (int i = 0; usable && i < books[book].nkeys; i++)
			usable = index->rd_index->indkey.values[i] == found->attnums[i];
		relation_close(index, NoLock);
	}
	if (!usable)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" has no primary key that begins with \"%s\"",
					   RelationGetRelationName(rel), books[book].columns[0].name),
				errtable(rel));

	found->relid = RelationGetRelid(rel);
}

static void
forget_facts(Oid relid)
{
	for (int book = 0; book < FX_BOOKS; book++)
	{
		if (relid == InvalidOid || relid == facts[book].relid)
			facts[book].relid = InvalidOid;
	}
}

/*
 * Replace the columns of a locked row.
 */
void
fx_book_write(FxBook book, Relation rel, TupleTableSlot *slot, const FxBookRow *row)
{
	int			natts = RelationGetNumberOfAttributes(rel);
	Datum	   *values = (Datum *) palloc(natts * sizeof(Datum));
	bool	   *nulls = (bool *) palloc(natts * sizeof(bool));
	bool	   *replace = (bool *) palloc0(natts * sizeof(bool));

	for (int column = 0; column < books[book].ncolumns; column++)
	{
		int			i = facts[book].attnums[column] - 1;

		/* others were never set */
		if (!row->replace[column])
			continue;
		values[i] = row->values[column];
		nulls[i] = row->nulls[column];
		replace[i] = true;
	}
	fx_row_update(rel, slot, values, nulls, replace);

	pfree(values);
	pfree(nulls);
	pfree(replace);
}

/*
 * The same for a row that the executor is about to write.
 */
HeapTuple
fx_book_modify(FxBook book, Relation rel, HeapTuple tuple, const FxBookRow *row)
{
	int			attnums[FX_BOOK_COLUMNS];
	Datum		values[FX_BOOK_COLUMNS];
	bool		nulls[FX_BOOK_COLUMNS];
	int			n = 0;

	for (int column = 0; column < books[book].ncolumns; column++)
	{
		if (!row->replace[column])
			continue;
		attnums[n] = facts[book].attnums[column];
		values[n] = row->values[column];
		nulls[n] = row->nulls[column];
		n++;
	}
	return heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), n, attnums, values, nulls);
}

void
fx_account_from_slot(TupleTableSlot *slot, FxAccount *account)
{
	const AttrNumber *attnums = facts[FX_ACCOUNTS].attnums;
	bool		isnull;
	Datum		value;
	char	   *zone;

	slot_getallattrs(slot);

	value = slot_getattr(slot, attnums[FX_ACC_USER_ID], &isnull);
	account->user_id = *DatumGetUUIDP(value);
	value = slot_getattr(slot, attnums[FX_ACC_CURRENCY], &isnull);
	text_to_cstring_buffer((text *) DatumGetPointer(value), account->currency,
						   sizeof(account->currency));
	account->initial_balance = get_money(FX_ACCOUNTS, FX_ACC_INITIAL_BALANCE, slot, NULL);
	account->balance = get_money(FX_ACCOUNTS, FX_ACC_BALANCE, slot, NULL);
	account->net_deposits = get_money(FX_ACCOUNTS, FX_ACC_NET_DEPOSITS, slot, NULL);
	account->method = (FxPositionMethod) get_name(FX_ACCOUNTS, FX_ACC_POSITION_METHOD, slot,
												  method_names, lengthof(method_names));
	account->state = (FxTradingState) get_name(FX_ACCOUNTS, FX_ACC_TRADING_STATE, slot,
											   state_names, lengthof(state_names));
	value = slot_getattr(slot, attnums[FX_ACC_STATE_REASON], &isnull);
	account->state_reason = isnull ? NULL : TextDatumGetCString(value);
	value = slot_getattr(slot, attnums[FX_ACC_TIME_ZONE], &isnull);
	zone = TextDatumGetCString(value);
	account->zone = fx_zone_get(zone);
	if (account->zone == NULL)
		ereport(ERROR,
				errcode(ERRCODE_CONFIG_FILE_ERROR),
				errmsg("time zone \"%s\" is not known to this server", zone));
	pfree(zone);
	account->cutoff = DatumGetTimeADT(slot_getattr(slot, attnums[FX_ACC_DAY_CUTOFF], &isnull));
	account->high_water_mark = get_money(FX_ACCOUNTS, FX_ACC_HIGH_WATER_MARK, slot, NULL);
	account->eod_high_water_mark = get_money(FX_ACCOUNTS, FX_ACC_EOD_HIGH_WATER_MARK, slot, NULL);

	for (int kind = 0; kind < FX_PERIODS; kind++)
	{
		FxPeriod   *period = &account->periods[kind];
		int			first = FX_ACC_DAY_STARTED_AT + kind * FX_PERIOD_COLUMNS;

		period->started_at = get_time(FX_ACCOUNTS, first + FX_PERIOD_STARTED_AT, slot);
		period->balance = get_money(FX_ACCOUNTS, first + FX_PERIOD_BALANCE, slot, NULL);
		period->equity = get_money(FX_ACCOUNTS, first + FX_PERIOD_EQUITY, slot, &isnull);
		period->equity_known = !isnull;
		period->deposits = get_money(FX_ACCOUNTS, first + FX_PERIOD_DEPOSITS, slot, NULL);
	}

	account->day_ends_at = get_time(FX_ACCOUNTS, FX_ACC_DAY_ENDS_AT, slot);
	account->open_trades = DatumGetInt32(slot_getattr(slot, attnums[FX_ACC_OPEN_TRADES], &isnull));
	account->day_trades = DatumGetInt32(slot_getattr(slot, attnums[FX_ACC_DAY_TRADES], &isnull));
	account->consecutive_losses = DatumGetInt32(slot_getattr(slot,
															 attnums[FX_ACC_CONSECUTIVE_LOSSES],
															 &isnull));
	account->losing_since = get_time(FX_ACCOUNTS, FX_ACC_LOSING_SINCE, slot);
	account->last_closed_at = get_time(FX_ACCOUNTS, FX_ACC_LAST_CLOSED_AT, slot);
	account->tid = slot->tts_tid;
}

/*
 * All that the engine keeps.  What users set is left out: method, state, time
 * zone and cut-off.
 */
void
fx_account_to_row(const FxAccount *account, FxBookRow *row)
{
	memset(row->replace, 0, sizeof(row->replace));

	row->values[FX_ACC_CURRENCY] = CStringGetTextDatum(account->currency);
	row->nulls[FX_ACC_CURRENCY] = false;
	row->replace[FX_ACC_CURRENCY] = true;
	put_money(FX_ACCOUNTS, FX_ACC_INITIAL_BALANCE, account->initial_balance, MONEY_DIGITS, row);
	put_money(FX_ACCOUNTS, FX_ACC_BALANCE, account->balance, MONEY_DIGITS, row);
	put_money(FX_ACCOUNTS, FX_ACC_NET_DEPOSITS, account->net_deposits, MONEY_DIGITS, row);
	put_money(FX_ACCOUNTS, FX_ACC_HIGH_WATER_MARK, account->high_water_mark, MONEY_DIGITS, row);
	put_money(FX_ACCOUNTS, FX_ACC_EOD_HIGH_WATER_MARK, account->eod_high_water_mark, MONEY_DIGITS,
			  row);

	for (int kind = 0; kind < FX_PERIODS; kind++)
	{
		const FxPeriod *period = &account->periods[kind];
		int			first = FX_ACC_DAY_STARTED_AT + kind * FX_PERIOD_COLUMNS;

		put_time(first + FX_PERIOD_STARTED_AT, period->started_at, row);
		put_money(FX_ACCOUNTS, first + FX_PERIOD_BALANCE, period->balance, MONEY_DIGITS, row);
		if (period->equity_known)
			put_money(FX_ACCOUNTS, first + FX_PERIOD_EQUITY, period->equity, MONEY_DIGITS, row);
		else
			put_null(first + FX_PERIOD_EQUITY, row);
		put_money(FX_ACCOUNTS, first + FX_PERIOD_DEPOSITS, period->deposits, MONEY_DIGITS, row);
	}

	put_time(FX_ACC_DAY_ENDS_AT, account->day_ends_at, row);
	put_count(FX_ACCOUNTS, FX_ACC_OPEN_TRADES, account->open_trades, row);
	put_count(FX_ACCOUNTS, FX_ACC_DAY_TRADES, account->day_trades, row);
	put_count(FX_ACCOUNTS, FX_ACC_CONSECUTIVE_LOSSES, account->consecutive_losses, row);
	put_optional_time(FX_ACC_LOSING_SINCE, account->losing_since, row);
	put_optional_time(FX_ACC_LAST_CLOSED_AT, account->last_closed_at, row);
}

void
fx_position_from_slot(TupleTableSlot *slot, FxPosition *position)
{
	const AttrNumber *attnums = facts[FX_POSITIONS].attnums;
	bool		isnull;
	Datum		symbol;

	slot_getallattrs(slot);

	symbol = slot_getattr(slot, attnums[FX_POS_SYMBOL], &isnull);
	text_to_cstring_buffer((text *) DatumGetPointer(symbol), position->symbol,
						   sizeof(position->symbol));
	position->quantity[FX_LONG] = get_money(FX_POSITIONS, FX_POS_LONG_QUANTITY, slot, NULL);
	position->quantity[FX_SHORT] = get_money(FX_POSITIONS, FX_POS_SHORT_QUANTITY, slot, NULL);
	position->cost[FX_LONG] = get_money(FX_POSITIONS, FX_POS_LONG_COST, slot, NULL);
	position->cost[FX_SHORT] = get_money(FX_POSITIONS, FX_POS_SHORT_COST, slot, NULL);
	position->realized = get_money(FX_POSITIONS, FX_POS_REALIZED_PNL, slot, NULL);
	position->open_trades = DatumGetInt32(slot_getattr(slot, attnums[FX_POS_OPEN_TRADES],
													   &isnull));
	position->unpriced_trades = DatumGetInt32(slot_getattr(slot, attnums[FX_POS_UNPRICED_TRADES],
														   &isnull));
	position->last_price = (int64) get_money(FX_POSITIONS, FX_POS_LAST_PRICE, slot, &isnull);
	position->last_price_at = get_time(FX_POSITIONS, FX_POS_LAST_PRICE_AT, slot);
	position->tid = slot->tts_tid;
}

/*
 * All but the user and the symbol.
 */
void
fx_position_to_row(const FxPosition *position, FxBookRow *row)
{
	int128		net_quantity = position->quantity[FX_LONG] - position->quantity[FX_SHORT];
	int128		net_cost = position->cost[FX_LONG] - position->cost[FX_SHORT];
	int128		average;

	memset(row->replace, 0, sizeof(row->replace));

	put_money(FX_POSITIONS, FX_POS_LONG_QUANTITY, position->quantity[FX_LONG], MONEY_DIGITS, row);
	put_money(FX_POSITIONS, FX_POS_SHORT_QUANTITY, position->quantity[FX_SHORT], MONEY_DIGITS, row);
	put_money(FX_POSITIONS, FX_POS_LONG_COST, position->cost[FX_LONG], COST_DIGITS, row);
	put_money(FX_POSITIONS, FX_POS_SHORT_COST, position->cost[FX_SHORT], COST_DIGITS, row);
	if (net_quantity == 0)
		put_null(FX_POS_AVERAGE_PRICE, row);
	else
	{
		if (!fx_wide_mul_div(net_cost, FX_FIXED_ONE, net_quantity, &average))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "average_price");
		put_money(FX_POSITIONS, FX_POS_AVERAGE_PRICE, average, MONEY_DIGITS, row);
	}
	put_money(FX_POSITIONS, FX_POS_REALIZED_PNL, position->realized, MONEY_DIGITS, row);
	put_count(FX_POSITIONS, FX_POS_OPEN_TRADES, position->open_trades, row);
	put_count(FX_POSITIONS, FX_POS_UNPRICED_TRADES, position->unpriced_trades, row);
	if (position->last_price == 0)
		put_null(FX_POS_LAST_PRICE, row);
	else
		put_money(FX_POSITIONS, FX_POS_LAST_PRICE, position->last_price, PRICE_DIGITS, row);
	put_optional_time(FX_POS_LAST_PRICE_AT, position->last_price_at, row);
}

/*
 * A method by its name, which the table's constraint has checked, or will.
 */
FxPositionMethod
fx_position_method_get(const struct varlena *name)
{
	for (int i = 0; i < lengthof(method_names); i++)
	{
		if (VARSIZE_ANY_EXHDR(name) == strlen(method_names[i]) &&
			memcmp(VARDATA_ANY(name), method_names[i], VARSIZE_ANY_EXHDR(name)) == 0)
			return (FxPositionMethod) i;
	}
	return FX_NETTING;
}

/*
 * A time zone by its name, or NULL.  What the server gives stays valid.
 */
pg_tz *
fx_zone_get(const char *name)
{
	static char last_name[TZ_STRLEN_MAX + 1];
	static pg_tz *last = NULL;
	pg_tz	   *zone;

	if (last != NULL && strcmp(name, last_name) == 0)
		return last;

	zone = pg_tzset(name);
	if (zone == NULL || !pg_tz_acceptable(zone))
		return NULL;
	strlcpy(last_name, name, sizeof(last_name));
	last = zone;
	return zone;
}

/*
 * An amount of money; without isnull the column is never null.
 */
static int128
get_money(FxBook book, int column, TupleTableSlot *slot, bool *isnull)
{
	int			i = facts[book].attnums[column] - 1;
	int128		amount;
	FxFixedStatus status;

	if (isnull != NULL)
	{
		*isnull = slot->tts_isnull[i];
		if (*isnull)
			return 0;
	}
	status = fx_fixed_from_numeric(pg_detoast_datum_packed((struct varlena *)
														   DatumGetPointer(slot->tts_values[i])),
								   &amount);
	if (unlikely(status != FX_FIXED_OK))
		fx_fixed_raise(status, books[book].columns[column].name);
	return amount;
}

static int
get_name(FxBook book, int column, TupleTableSlot *slot, const char *const *names, int nnames)
{
	int			i = facts[book].attnums[column] - 1;
	struct varlena *name = (struct varlena *) DatumGetPointer(slot->tts_values[i]);

	for (int n = 0; n < nnames; n++)
	{
		if (VARSIZE_ANY_EXHDR(name) == strlen(names[n]) &&
			memcmp(VARDATA_ANY(name), names[n], VARSIZE_ANY_EXHDR(name)) == 0)
			return n;
	}
	elog(ERROR, "unexpected value of column \"%s\"", books[book].columns[column].name);
	return 0;
}

/*
 * A time, 0 for null.
 */
static TimestampTz
get_time(FxBook book, int column, TupleTableSlot *slot)
{
	int			i = facts[book].attnums[column] - 1;

	return slot->tts_isnull[i] ? 0 : DatumGetTimestampTz(slot->tts_values[i]);
}

static void
put_money(FxBook book, int column, int128 value, int digits, FxBookRow *row)
{
	static int128 limits[COST_DIGITS + 1];
	char	   *buffer = row->numerics[column].data;

	if (unlikely(limits[digits] == 0))
	{
		int128		limit = FX_FIXED_ONE;

		for (int i = 0; i < digits; i++)
			limit *= 10;
		limits[digits] = limit;
	}
	if (unlikely(value >= limits[digits] || value <= -limits[digits]))
		fx_fixed_raise(FX_FIXED_OVERFLOW, books[book].columns[column].name);

	fx_fixed_write_numeric(value, false, buffer);
	row->values[column] = PointerGetDatum(buffer);
	row->nulls[column] = false;
	row->replace[column] = true;
}

static void
put_count(FxBook book, int column, int32 count, FxBookRow *row)
{
	if (unlikely(count < 0))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("%s of the %s does not agree with the trades",
					   books[book].columns[column].name,
					   book == FX_ACCOUNTS ? "account" : "position"),
				errhint("SELECT fx.rebuild_risk_state(user_id) mends the books of a user."));
	row->values[column] = Int32GetDatum(count);
	row->nulls[column] = false;
	row->replace[column] = true;
}

static void
put_time(int column, TimestampTz at, FxBookRow *row)
{
	row->values[column] = TimestampTzGetDatum(at);
	row->nulls[column] = false;
	row->replace[column] = true;
}

static void
put_optional_time(int column, TimestampTz at, FxBookRow *row)
{
	if (at == 0)
		put_null(column, row);
	else
		put_time(column, at, row);
}

static void
put_null(int column, FxBookRow *row)
{
	row->values[column] = (Datum) 0;
	row->nulls[column] = true;
	row->replace[column] = true;
}
