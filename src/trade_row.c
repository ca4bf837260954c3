/*-------------------------------------------------------------------------
 *
 * trade_row.c
 *	  Rows of fx.trades
 *
 * Columns are found by name, once until the table changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fxplatform.h"
#include "relcache.h"
#include "trades.h"

/* In the order of FxTradeColumn */
static const struct
{
	const char *name;
	Oid			type;
}			trade_columns[FX_TRADE_COLUMNS] = {
	{"id", UUIDOID},
	{"user_id", UUIDOID},
	{"strategy_id", UUIDOID},
	{"symbol", VARCHAROID},
	{"type", VARCHAROID},
	{"quantity", NUMERICOID},
	{"price", NUMERICOID},
	{"commission", NUMERICOID},
	{"swap", NUMERICOID},
	{"profit", NUMERICOID},
	{"status", VARCHAROID},
	{"executed_at", TIMESTAMPTZOID},
	{"closed_at", TIMESTAMPTZOID},
	{"is_backtest", BOOLOID},
	{"close_price", NUMERICOID},
	{"open_quantity", NUMERICOID},
	{"profit_source", VARCHAROID},
	{"position_method", VARCHAROID},
	{"conversion_rate", NUMERICOID},
	{"conversion_pair", TEXTOID},
	{"conversion_at", TIMESTAMPTZOID}
};

/* Those of the table seen last */
static Oid	columns_of = InvalidOid;
static FxTradeColumns columns;

static void find_columns(Relation rel);
static void relcache_callback(Oid relid);
static pg_uuid_t get_uuid(TupleTableSlot *slot, AttrNumber attnum, bool *isnull);
static int128 get_number(TupleTableSlot *slot, AttrNumber attnum, bool *isnull);
static TimestampTz get_time(TupleTableSlot *slot, AttrNumber attnum);
static bool text_is(Datum text, const char *str);

const FxTradeColumns *
fx_trade_columns(Relation rel)
{
	if (unlikely(columns_of != RelationGetRelid(rel)))
		find_columns(rel);
	return &columns;
}

const char *
fx_trade_column_name(FxTradeColumn column)
{
	return trade_columns[column].name;
}

static void
find_columns(Relation rel)
{
	static bool registered = false;
	TupleDesc	tupdesc = RelationGetDescr(rel);

	if (!registered)
	{
		fx_relcache_register(relcache_callback);
		registered = true;
	}

	columns_of = InvalidOid;
	columns.last = 0;
	for (int i = 0; i < FX_TRADE_COLUMNS; i++)
	{
		int			attnum = SPI_fnumber(tupdesc, trade_columns[i].name);

		if (attnum <= 0 || TupleDescAttr(tupdesc, attnum - 1)->atttypid != trade_columns[i].type)
			fx_raise_no_column(rel, trade_columns[i].name, trade_columns[i].type);
		columns.attnum[i] = attnum;
		columns.last = Max(columns.last, attnum);
	}
	columns_of = RelationGetRelid(rel);
}

static void
relcache_callback(Oid relid)
{
	if (relid == InvalidOid || relid == columns_of)
		columns_of = InvalidOid;
}

/*
 * Read a row that the table accepted.
 */
void
fx_trade_read(TupleTableSlot *slot, const FxTradeColumns *cols, FxTrade *trade)
{
	const AttrNumber *attnum = cols->attnum;
	Datum		value;
	int128		open;
	bool		isnull;

	trade->id = get_uuid(slot, attnum[FX_TRADE_ID], &isnull);
	trade->user_id = get_uuid(slot, attnum[FX_TRADE_USER_ID], &isnull);
	trade->strategy_id = get_uuid(slot, attnum[FX_TRADE_STRATEGY_ID], &isnull);
	trade->has_strategy = !isnull;
	value = slot_getattr(slot, attnum[FX_TRADE_STATUS], &isnull);
	trade->status = fx_trade_status(value, isnull);
	trade->is_backtest = DatumGetBool(slot_getattr(slot, attnum[FX_TRADE_IS_BACKTEST], &isnull));

	trade->symbol[0] = '\0';
	value = slot_getattr(slot, attnum[FX_TRADE_SYMBOL], &isnull);
	if (!isnull)
	{
		struct varlena *symbol = PG_DETOAST_DATUM_PACKED(value);

		fx_normalize_symbol(VARDATA_ANY(symbol), VARSIZE_ANY_EXHDR(symbol), trade->symbol);
	}
	value = slot_getattr(slot, attnum[FX_TRADE_TYPE], &isnull);
	trade->side = !isnull && text_is(value, "buy") ? FX_LONG : FX_SHORT;

	trade->quantity = get_number(slot, attnum[FX_TRADE_QUANTITY], &isnull);
	trade->price = get_number(slot, attnum[FX_TRADE_PRICE], &isnull);
	trade->has_price = !isnull;
	trade->close_price = get_number(slot, attnum[FX_TRADE_CLOSE_PRICE], &isnull);
	trade->profit = get_number(slot, attnum[FX_TRADE_PROFIT], &isnull);
	trade->commission = get_number(slot, attnum[FX_TRADE_COMMISSION], &isnull);
	trade->swap = get_number(slot, attnum[FX_TRADE_SWAP], &isnull);

	trade->executed_at = get_time(slot, attnum[FX_TRADE_EXECUTED_AT]);
	trade->closed_at = get_time(slot, attnum[FX_TRADE_CLOSED_AT]);
	trade->is_closed = !slot_attisnull(slot, attnum[FX_TRADE_CLOSED_AT]);

	open = get_number(slot, attnum[FX_TRADE_OPEN_QUANTITY], &isnull);
	trade->was_opened_up = !isnull;
	trade->has_method = !slot_attisnull(slot, attnum[FX_TRADE_POSITION_METHOD]);
	trade->is_consumed = trade->is_closed && !isnull && open == 0 && trade->profit == 0 &&
		!trade->has_method;
	if (trade->is_closed)
		trade->open = 0;
	else
		trade->open = isnull ? trade->quantity : open;
}

/*
 * Without a status a row is pending, which is the column's default.  Others
 * than these the table does not accept.
 */
FxTradeStatus
fx_trade_status(Datum status, bool isnull)
{
	if (isnull || text_is(status, "pending"))
		return FX_TRADE_PENDING;
	if (text_is(status, "executed"))
		return FX_TRADE_EXECUTED;
	return FX_TRADE_ENDED;
}

int128
fx_trade_net(const FxTrade *trade)
{
	return fx_fixed_net(trade->profit, trade->commission, trade->swap);
}

char *
fx_uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

static pg_uuid_t
get_uuid(TupleTableSlot *slot, AttrNumber attnum, bool *isnull)
{
	Datum		value = slot_getattr(slot, attnum, isnull);
	pg_uuid_t	uuid;

	if (*isnull)
		memset(&uuid, 0, sizeof(uuid));
	else
		uuid = *DatumGetUUIDP(value);
	return uuid;
}

static int128
get_number(TupleTableSlot *slot, AttrNumber attnum, bool *isnull)
{
	Datum		value = slot_getattr(slot, attnum, isnull);

	return *isnull ? 0 : fx_fixed_get_argument(value, "trade");
}

static TimestampTz
get_time(TupleTableSlot *slot, AttrNumber attnum)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, attnum, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

static bool
text_is(Datum text, const char *str)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(text);
	Size		len = strlen(str);

	return VARSIZE_ANY_EXHDR(value) == len && memcmp(VARDATA_ANY(value), str, len) == 0;
}
