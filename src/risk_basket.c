/*-------------------------------------------------------------------------
 *
 * risk_basket.c
 *	  What limits would say to a list of orders, one after the other
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "compat.h"
#include "risk_internal.h"
#include "risk_report.h"

#define MAX_TRADES			10000
#define WHAT_IF_COLUMNS		8

/* Characters of a symbol, which is longer than any that has an instrument */
#define MAX_SYMBOL			64

/* No more of an argument than this is shown in an error */
#define ECHO_BYTES			64

PG_FUNCTION_INFO_V1(fx_what_if);

static void read_order(int index, JsonbValue *element, FxOrder *order, char **symbol);
static bool find_key(int index, JsonbContainer *object, const char *key, bool required,
					 JsonbValue *value);
static int128 get_number(int index, const char *key, const JsonbValue *value);
static void raise_wanted(int index, const char *key, const char *wanted);
static void put_trade(ReturnSetInfo *rsinfo, int index, const char *symbol, const FxOrder *order,
					  const FxDecision *decision);

/*
 * what_if(user_id uuid, trades jsonb)
 *		returns table (trade int, symbol text, type text, quantity numeric,
 *					   price numeric, allowed boolean, state text,
 *					   limits jsonb)
 */
Datum
fx_what_if(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Jsonb	   *trades = PG_GETARG_JSONB_P(1);
	int			count;
	FxOrder    *orders;
	char	  **symbols;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;
	FxReader	reader;
	MemoryContext row_context;
	MemoryContext old_context;

	if (!JB_ROOT_IS_ARRAY(trades) || JB_ROOT_IS_SCALAR(trades))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be a JSON array", "trades"));
	count = JB_ROOT_COUNT(trades);
	if (count > MAX_TRADES)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("argument \"%s\" has more than %d elements", "trades", MAX_TRADES));

	orders = (FxOrder *) palloc0((count + 1) * sizeof(FxOrder));
	symbols = (char **) palloc((count + 1) * sizeof(char *));
	it = JsonbIteratorInit(&trades->root);
	(void) JsonbIteratorNext(&it, &element, false);
	for (int i = 0; (token = JsonbIteratorNext(&it, &element, true)) == WJB_ELEM; i++)
		read_order(i, &element, &orders[i], &symbols[i]);

	InitMaterializedSRF(fcinfo, 0);
	if (!fx_reader_begin(&reader, PG_GETARG_UUID_P(0)))
		return (Datum) 0;

	row_context = AllocSetContextCreate(CurrentMemoryContext, "order", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < count; i++)
	{
		FxDecision *decision;
		FxAccount  *after;

		CHECK_FOR_INTERRUPTS();
		orders[i].at = reader.account->now;

		old_context = MemoryContextSwitchTo(row_context);
		after = fx_account_copy(reader.account);
		fx_order_apply(after, &orders[i]);
		decision = fx_risk_decide(reader.risk, reader.account, after, &orders[i]);
		put_trade(rsinfo, i, symbols[i], &orders[i], decision);
		MemoryContextSwitchTo(old_context);

		if (!decision->refused)
		{
			decision->tried = false;
			fx_risk_accept(reader.risk, decision, &orders[i]);
			fx_order_apply(reader.account, &orders[i]);
		}
		MemoryContextReset(row_context);
	}
	MemoryContextDelete(row_context);
	fx_reader_end(&reader);
	return (Datum) 0;
}

static void
read_order(int index, JsonbValue *element, FxOrder *order, char **symbol)
{
	JsonbValue	value;
	JsonbContainer *object;

	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trades[%d] must be a JSON object", index));
	object = element->val.binary.data;

	find_key(index, object, "symbol", true, &value);
	if (value.type != jbvString || value.val.string.len == 0)
		raise_wanted(index, "symbol", "a string that is not empty");
	if (pg_mbstrlen_with_len(value.val.string.val, value.val.string.len) > MAX_SYMBOL)
		raise_wanted(index, "symbol", "at most 64 characters long");
	*symbol = pnstrdup(value.val.string.val, value.val.string.len);
	fx_normalize_symbol(value.val.string.val, value.val.string.len, order->symbol);

	find_key(index, object, "type", true, &value);
	if (value.type != jbvString ||
		!fx_order_side(value.val.string.val, value.val.string.len, &order->side))
		raise_wanted(index, "type", "\"buy\" or \"sell\"");

	find_key(index, object, "quantity", true, &value);
	order->quantity = get_number(index, "quantity", &value);
	if (find_key(index, object, "price", false, &value))
		order->price = get_number(index, "price", &value);
}

static bool
find_key(int index, JsonbContainer *object, const char *key, bool required, JsonbValue *value)
{
	if (getKeyJsonValueFromContainer(object, key, strlen(key), value) != NULL)
	{
		if (value->type == jbvNull)
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("trades[%d]: \"%s\" must not be null", index, key),
					errhint("Leave the key out where there is no value."));
		return true;
	}
	if (required)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trades[%d] has no \"%s\"", index, key));
	return false;
}

/*
 * A number, or a string that is one.
 */
static int128
get_number(int index, const char *key, const JsonbValue *value)
{
	FxFixedStatus status = FX_FIXED_SYNTAX;
	int128		number = 0;

	if (value->type == jbvNumeric)
		status = fx_fixed_from_numeric((struct varlena *) value->val.numeric, &number);
	else if (value->type == jbvString)
		status = fx_fixed_from_text(value->val.string.val, value->val.string.len, &number);
	else
		raise_wanted(index, key, "a number");

	if (status == FX_FIXED_SYNTAX)
	{
		int			len = pg_mbcliplen(value->val.string.val, value->val.string.len, ECHO_BYTES);

		ereport(ERROR,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("trades[%d]: \"%s\" is not a number", index, key),
				errdetail("The value is \"%.*s\".", len, value->val.string.val));
	}
	if (status == FX_FIXED_OVERFLOW || (status == FX_FIXED_OK && number > 0 &&
										!fx_order_value_fits(number)))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("trades[%d]: \"%s\" is out of range", index, key));
	if (status != FX_FIXED_OK || number <= 0)
		raise_wanted(index, key, "a finite number greater than zero");
	return number;
}

static void
raise_wanted(int index, const char *key, const char *wanted)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("trades[%d]: \"%s\" must be %s", index, key, wanted));
}

static void
put_trade(ReturnSetInfo *rsinfo, int index, const char *symbol, const FxOrder *order,
		  const FxDecision *decision)
{
	Datum		values[WHAT_IF_COLUMNS];
	bool		nulls[WHAT_IF_COLUMNS] = {0};
	StringInfoData limits;

	initStringInfo(&limits);
	fx_risk_put_verdicts(&limits, decision, true);

	values[0] = Int32GetDatum(index);
	values[1] = CStringGetTextDatum(symbol);
	values[2] = CStringGetTextDatum(order->side == FX_LONG ? "buy" : "sell");
	values[3] = fx_fixed_get_numeric(order->quantity);
	nulls[4] = order->price == 0;
	values[4] = nulls[4] ? (Datum) 0 : fx_fixed_get_numeric(order->price);
	values[5] = BoolGetDatum(!decision->refused);
	values[6] = CStringGetTextDatum(fx_risk_state_name(decision->state));
	values[7] = DirectFunctionCall1(jsonb_in, CStringGetDatum(limits.data));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}
