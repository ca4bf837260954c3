/*-------------------------------------------------------------------------
 *
 * trade_reader.c
 *	  The trades of a backtest, read from JSONB
 *
 * The binary form is walked directly: an iterator or a key lookup a value
 * would cost more than everything that is computed from them.  Offsets run
 * along with the walk, and since the objects of an array nearly always have
 * the same keys, the keys of an object are compared with those of the one
 * before as a whole, and only looked at one by one when they differ.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "iso8601.h"
#include "trade_reader.h"

/* No more of the input than this is shown in an error */
#define ECHO_BYTES			64

typedef enum TradeField
{
	FIELD_PROFIT,
	FIELD_COMMISSION,
	FIELD_SWAP,
	FIELD_CLOSED_AT_CAMEL,
	FIELD_CLOSED_AT,
	FIELD_EXECUTED_AT_CAMEL,
	FIELD_EXECUTED_AT,
	FIELD_COUNT
} TradeField;

static const char *const field_names[FIELD_COUNT] = {
	"profit", "commission", "swap", "closedAt", "closed_at", "executedAt", "executed_at"
};

/* Where the fields stand among the values of an object, in their order */
typedef struct TradeLayout
{
	const JsonbContainer *model;	/* an object that has it, NULL at first */
	uint32		pairs;
	uint32		key_bytes;
	int			nfields;
	struct
	{
		uint32		index;		/* among the values */
		TradeField	field;
	}			fields[FIELD_COUNT];
} TradeLayout;

static bool same_keys(const TradeLayout *layout, const JsonbContainer *object);
static void learn_layout(TradeLayout *layout, const JsonbContainer *object);
static int	identify_field(const char *key, uint32 len);
static void read_trade(const TradeLayout *layout, const JsonbContainer *object,
					   uint32 position, FxTrades *trades, bool *timed, bool *held);
static int128 read_money(JEntry entry, const char *data, uint32 offset, uint32 end,
						 uint32 position, TradeField field);
static TimestampTz read_time(JEntry entry, const char *data, uint32 len,
							 uint32 position, TradeField field);
static void sort_trades(FxTrades *trades);
static int	compare_trades(const void *a, const void *b);
pg_noreturn static void raise_wrong_type(JEntry entry, uint32 position, TradeField field,
										 const char *wanted);
static int	errdetail_echo(const char *data, uint32 len);

/*
 * Read and sort the trades.  What is palloc'd is in the current context.
 */
void
fx_trades_read(Jsonb *json, FxTrades *trades)
{
	const JsonbContainer *array = &json->root;
	uint32		count = JsonContainerSize(array);
	const char *data = (const char *) &array->children[count];
	uint32		offset = 0;
	uint32		ntimed = 0;
	uint32		first_untimed = 0;
	TradeLayout layout = {0};

	if (!JsonContainerIsArray(array) || JsonContainerIsScalar(array))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be a JSON array", "trades"));

	memset(trades, 0, sizeof(FxTrades));
	trades->count = count;
	trades->held = count > 0;
	trades->items = MemoryContextAllocHuge(CurrentMemoryContext,
										   Max(count, 1) * sizeof(FxTrade));

	for (uint32 i = 0; i < count; i++)
	{
		JEntry		entry = array->children[i];
		const JsonbContainer *object;
		bool		timed;
		bool		held;

		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();

		object = (const JsonbContainer *) (data + INTALIGN(offset));
		if (!JBE_ISCONTAINER(entry) || !JsonContainerIsObject(object))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("trades[%u] must be a JSON object", i));

		if (!same_keys(&layout, object))
			learn_layout(&layout, object);
		read_trade(&layout, object, i, trades, &timed, &held);

		if (timed)
			ntimed++;
		else if (i == ntimed)
			first_untimed = i;
		trades->held &= held;

		JBE_ADVANCE_OFFSET(offset, entry);
	}

	if (ntimed != 0 && ntimed != count)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trades[%u] has no time, but others have", first_untimed),
				errhint("Give \"closedAt\" or \"executedAt\" for all trades or for none."));

	trades->timed = ntimed > 0;
	if (trades->timed)
		sort_trades(trades);
}

/*
 * The same for a datum of type jsonb.
 */
void
fx_trades_read_jsonb(Datum datum, FxTrades *trades)
{
	fx_trades_read(DatumGetJsonbP(datum), trades);
}

/*
 * The same for JSON as text.
 */
void
fx_trades_read_text(Datum datum, FxTrades *trades)
{
	char	   *json = text_to_cstring(DatumGetTextPP(datum));

	fx_trades_read(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json))), trades);
}

/*
 * The argument initial_balance at scale 8.
 */
int128
fx_initial_balance(Datum numeric)
{
	int128		balance = fx_fixed_get_argument(numeric, "initial_balance");

	if (balance <= 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be greater than zero", "initial_balance"));
	return balance;
}

/*
 * Has the object just the keys of the layout's model?  The entries of the keys
 * tell their lengths, and the keys come first in the data.
 */
static bool
same_keys(const TradeLayout *layout, const JsonbContainer *object)
{
	uint32		pairs = JsonContainerSize(object);

	if (layout->model == NULL || pairs != layout->pairs)
		return false;
	return memcmp(object->children, layout->model->children, pairs * sizeof(JEntry)) == 0 &&
		memcmp(&object->children[2 * pairs], &layout->model->children[2 * pairs],
			   layout->key_bytes) == 0;
}

static void
learn_layout(TradeLayout *layout, const JsonbContainer *object)
{
	const char *data;
	uint32		offset = 0;

	layout->model = object;
	layout->pairs = JsonContainerSize(object);
	layout->nfields = 0;

	data = (const char *) &object->children[2 * layout->pairs];
	for (uint32 i = 0; i < layout->pairs; i++)
	{
		uint32		start = offset;
		int			field;

		JBE_ADVANCE_OFFSET(offset, object->children[i]);
		field = identify_field(data + start, offset - start);
		if (field >= 0)
		{
			layout->fields[layout->nfields].index = i;
			layout->fields[layout->nfields].field = (TradeField) field;
			layout->nfields++;
		}
	}
	layout->key_bytes = offset;
}

/*
 * Which field a key names, or -1.
 */
static int
identify_field(const char *key, uint32 len)
{
	for (int field = 0; field < FIELD_COUNT; field++)
	{
		if (strlen(field_names[field]) == len && memcmp(field_names[field], key, len) == 0)
			return field;
	}
	return -1;
}

/*
 * Read one trade into its place, and say whether it has a time, and both.
 */
static void
read_trade(const TradeLayout *layout, const JsonbContainer *object,
		   uint32 position, FxTrades *trades, bool *timed, bool *held)
{
	FxTrade    *trade = &trades->items[position];
	const JEntry *entries = &object->children[layout->pairs];
	const char *data = (const char *) &object->children[2 * layout->pairs];
	uint32		offset = layout->key_bytes;
	uint32		index = 0;
	bool		present[FIELD_COUNT] = {0};
	int128		money[FIELD_SWAP + 1] = {0};
	TimestampTz times[FIELD_COUNT];
	int			closed;
	int			executed;
	char		what[32];

	for (int i = 0; i < layout->nfields; i++)
	{
		TradeField	field = layout->fields[i].field;
		JEntry		entry;
		uint32		start;

		for (; index < layout->fields[i].index; index++)
			JBE_ADVANCE_OFFSET(offset, entries[index]);
		start = offset;
		entry = entries[index++];
		JBE_ADVANCE_OFFSET(offset, entry);

		present[field] = true;
		if (field <= FIELD_SWAP)
			money[field] = read_money(entry, data, start, offset, position, field);
		else
			times[field] = read_time(entry, data + start, offset - start, position, field);
	}

	if (!present[FIELD_PROFIT])
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trades[%u] has no \"%s\"", position, field_names[FIELD_PROFIT]));

	if (fx_fixed_sub_overflow(money[FIELD_PROFIT], money[FIELD_COMMISSION], &trade->net) ||
		fx_fixed_add_overflow(trade->net, money[FIELD_SWAP], &trade->net))
	{
		snprintf(what, sizeof(what), "net profit of trades[%u]", position);
		fx_fixed_raise(FX_FIXED_OVERFLOW, what);
	}
	if (fx_fixed_add_overflow(trades->commission, money[FIELD_COMMISSION], &trades->commission))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "sum of commissions");
	if (fx_fixed_add_overflow(trades->swap, money[FIELD_SWAP], &trades->swap))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "sum of swaps");

	/* the spelling of the table wins over the other */
	closed = present[FIELD_CLOSED_AT] ? FIELD_CLOSED_AT :
		present[FIELD_CLOSED_AT_CAMEL] ? FIELD_CLOSED_AT_CAMEL : -1;
	executed = present[FIELD_EXECUTED_AT] ? FIELD_EXECUTED_AT :
		present[FIELD_EXECUTED_AT_CAMEL] ? FIELD_EXECUTED_AT_CAMEL : -1;

	*timed = closed >= 0 || executed >= 0;
	*held = closed >= 0 && executed >= 0;
	trade->closed_at = closed >= 0 ? times[closed] : executed >= 0 ? times[executed] : 0;
	trade->opened_at = executed >= 0 ? times[executed] : trade->closed_at;
	trade->position = position;

	if (trade->opened_at > trade->closed_at)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trades[%u]: \"%s\" is before \"%s\"", position,
					   field_names[closed], field_names[executed]));
}

/*
 * A JSON number, or a string that holds one.  The numeric of a number stands
 * at the next multiple of four.
 */
static int128
read_money(JEntry entry, const char *data, uint32 offset, uint32 end,
		   uint32 position, TradeField field)
{
	int128		value;
	FxFixedStatus status;
	char		what[48];

	if (likely(JBE_ISNUMERIC(entry)))
		status = fx_fixed_from_numeric((const struct varlena *) (data + INTALIGN(offset)), &value);
	else if (JBE_ISSTRING(entry))
		status = fx_fixed_from_text(data + offset, end - offset, &value);
	else
		raise_wrong_type(entry, position, field, "a number or a numeric string");

	if (unlikely(status != FX_FIXED_OK))
	{
		if (status == FX_FIXED_SYNTAX)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					errmsg("trades[%u]: \"%s\" is not a number", position, field_names[field]),
					errdetail_echo(data + offset, end - offset));
		snprintf(what, sizeof(what), "trades[%u]: \"%s\"", position, field_names[field]);
		fx_fixed_raise(status, what);
	}
	return value;
}

static TimestampTz
read_time(JEntry entry, const char *data, uint32 len, uint32 position, TradeField field)
{
	TimestampTz result;

	if (!JBE_ISSTRING(entry))
		raise_wrong_type(entry, position, field, "a string with an ISO-8601 time");
	if (!fx_iso8601_parse(data, len, &result))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				errmsg("trades[%u]: \"%s\" is not an ISO-8601 time", position, field_names[field]),
				errdetail_echo(data, len),
				errhint("Write it as YYYY-MM-DDTHH:MM:SS, with Z or an offset such as +02:00 where it is not UTC."));
	return result;
}

/*
 * Most backtests write their trades in the order of closing, so look before
 * sorting.
 */
static void
sort_trades(FxTrades *trades)
{
	for (uint32 i = 1; i < trades->count; i++)
	{
		if (trades->items[i - 1].closed_at > trades->items[i].closed_at)
		{
			qsort(trades->items, trades->count, sizeof(FxTrade), compare_trades);
			break;
		}
	}
}

static int
compare_trades(const void *a, const void *b)
{
	const FxTrade *x = a;
	const FxTrade *y = b;

	if (x->closed_at != y->closed_at)
		return x->closed_at < y->closed_at ? -1 : 1;
	return x->position < y->position ? -1 : 1;
}

static void
raise_wrong_type(JEntry entry, uint32 position, TradeField field, const char *wanted)
{
	if (JBE_ISNULL(entry))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("trades[%u]: \"%s\" must not be null", position, field_names[field]),
				errhint("Leave the key out where there is no value."));
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("trades[%u]: \"%s\" must be %s", position, field_names[field], wanted));
}

/*
 * Detail that shows how a string begins.
 */
static int
errdetail_echo(const char *data, uint32 len)
{
	int			shown = pg_mbcliplen(data, (int) len, ECHO_BYTES);

	if (shown < (int) len)
		return errdetail("It begins with \"%.*s\".", shown, data);
	return errdetail("It is \"%.*s\".", shown, data);
}
