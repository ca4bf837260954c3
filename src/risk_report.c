/*-------------------------------------------------------------------------
 *
 * risk_report.c
 *	  How far limits are used up, and what an order would do to them
 *
 * Nothing here writes or locks.  Whether the caller may see an account is
 * settled first, by row security or by his rights to the tables; then what
 * belongs to it is read with the rights of the owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rls.h"
#include "utils/uuid.h"

#include "compat.h"
#include "kept_plan.h"
#include "risk_internal.h"
#include "risk_report.h"

#define UTILIZATION_COLUMNS	8
#define CHECK_COLUMNS		8

/* What the columns of fx.trades hold: DECIMAL(18,8) */
#define TRADE_VALUE_END		((int128) 10000000000 * FX_FIXED_ONE)

/* A limit and how far it is used up */
typedef struct UsedLimit
{
	const FxLimit *limit;
	FxMeasure	current;
	FxMeasure	utilization;
	bool		breached;
} UsedLimit;

PG_FUNCTION_INFO_V1(fx_risk_utilization);
PG_FUNCTION_INFO_V1(fx_check_risk);

static void check_rights(const char *table);
static int	compare_used(const void *a, const void *b);
static const char *status_of(const UsedLimit *used);
static int128 get_positive(FunctionCallInfo fcinfo, int arg, const char *name);
static void put_verdict(ReturnSetInfo *rsinfo, const FxVerdict *verdict);
static void put_state(ReturnSetInfo *rsinfo, const FxDecision *decision);

/*
 * risk_utilization(user_id uuid)
 *		returns table (limit_id uuid, name text, type text, limit_type text,
 *					   limit_value numeric, current_value numeric,
 *					   utilization_percentage numeric, status text)
 */
Datum
fx_risk_utilization(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FxReader	reader;
	FxRisk	   *risk;
	FxView		view;
	UsedLimit  *used;

	InitMaterializedSRF(fcinfo, 0);
	if (!fx_reader_begin(&reader, PG_GETARG_UUID_P(0)))
		return (Datum) 0;

	risk = reader.risk;
	used = (UsedLimit *) palloc((risk->nlimits + 1) * sizeof(UsedLimit));
	fx_view_begin(&view, reader.account, NULL, NULL, NULL);
	for (int i = 0; i < risk->nlimits; i++)
	{
		FxLimit    *limit = &risk->limits[i];
		FxReading	reading;

		fx_risk_read(risk, limit, &view, &reading);
		used[i].limit = limit;
		used[i].breached = reading.breached || limit->breached_at != 0;
		fx_reading_in_units_of_limit(limit, &reading, &used[i].current);
		fx_reading_utilization(&reading, &used[i].utilization);
	}
	qsort(used, risk->nlimits, sizeof(UsedLimit), compare_used);

	for (int i = 0; i < risk->nlimits; i++)
	{
		const FxLimit *limit = used[i].limit;
		Datum		values[UTILIZATION_COLUMNS];
		bool		nulls[UTILIZATION_COLUMNS] = {0};

		values[0] = UUIDPGetDatum(&limit->id);
		values[1] = CStringGetTextDatum(limit->name);
		values[2] = CStringGetTextDatum(fx_risk_type_names[limit->type]);
		values[3] = CStringGetTextDatum(limit->percentage ? "percentage" : "absolute");
		values[4] = fx_fixed_get_numeric(limit->value);
		values[5] = fx_risk_get_numeric(&used[i].current, &nulls[5]);
		values[6] = fx_risk_get_numeric(&used[i].utilization, &nulls[6]);
		values[7] = CStringGetTextDatum(status_of(&used[i]));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	fx_reader_end(&reader);
	return (Datum) 0;
}

/*
 * check_risk(user_id uuid, symbol text, type text, quantity numeric,
 *			  price numeric)
 *		returns setof risk_check
 */
Datum
fx_check_risk(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"user_id", "symbol", "type", "quantity"};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FxOrder		order = {0};
	FxReader	reader;
	FxAccount  *after;
	FxDecision *decision;
	const FxVerdict **verdicts;

	for (int i = 1; i < lengthof(names); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("argument \"%s\" must not be null", names[i]));
	}
	if (!fx_order_side(VARDATA_ANY(PG_GETARG_TEXT_PP(2)), VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(2)),
					   &order.side))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be \"buy\" or \"sell\"", "type"));
	order.quantity = get_positive(fcinfo, 3, "quantity");
	order.price = PG_ARGISNULL(4) ? 0 : get_positive(fcinfo, 4, "price");
	fx_normalize_symbol(VARDATA_ANY(PG_GETARG_TEXT_PP(1)),
						VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(1)), order.symbol);

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || !fx_reader_begin(&reader, PG_GETARG_UUID_P(0)))
		return (Datum) 0;

	order.at = reader.account->now;
	after = fx_account_copy(reader.account);
	fx_order_apply(after, &order);
	decision = fx_risk_decide(reader.risk, reader.account, after, &order);

	if (decision->halted && decision->state_limit == NULL)
		put_state(rsinfo, decision);
	verdicts = fx_risk_sort(decision, false);
	for (int i = 0; i < decision->nverdicts; i++)
		put_verdict(rsinfo, verdicts[i]);
	fx_reader_end(&reader);
	return (Datum) 0;
}

/*
 * Read the account of a user, if the caller may see it, and its limits.  False
 * when there is none for him.
 */
bool
fx_reader_begin(FxReader *reader, const pg_uuid_t *user_id)
{
	Oid			accounts = fx_require_table("accounts");

	check_rights("risk_limits");
	if (check_enable_rls(accounts, InvalidOid, true) != RLS_ENABLED)
		check_rights("accounts");
	else
	{
		static SPIPlanPtr plan = NULL;
		Datum		arg = UUIDPGetDatum(user_id);
		bool		found;

		SPI_connect();
		if (plan == NULL)
		{
			Oid			type = UUIDOID;

			plan = fx_kept_plan("SELECT FROM fx.accounts a"
								" WHERE a.user_id OPERATOR(pg_catalog.=) $1", 1, &type);
		}
		if (SPI_execute_plan(plan, &arg, NULL, true, 1) != SPI_OK_SELECT)
			elog(ERROR, "SPI_execute_plan failed");
		found = SPI_processed > 0;
		SPI_finish();
		if (!found)
			return false;
	}

	fx_act_as_owner(accounts, &reader->save_userid, &reader->save_sec_context);
	reader->account = fx_account_read(user_id);
	if (reader->account == NULL)
	{
		fx_reader_end(reader);
		return false;
	}
	reader->risk = fx_risk_load(reader->account);
	return true;
}

void
fx_reader_end(FxReader *reader)
{
	fx_act_as_before(reader->save_userid, reader->save_sec_context);
}

/*
 * Is it "buy" or "sell"?
 */
bool
fx_order_side(const char *str, int len, FxSide *side)
{
	*side = len == 3 ? FX_LONG : FX_SHORT;
	return (len == 3 && memcmp(str, "buy", 3) == 0) || (len == 4 && memcmp(str, "sell", 4) == 0);
}

/*
 * Is it something that a trade can have?  A number of more decimals counts as
 * it would be stored.
 */
bool
fx_order_value_fits(int128 value)
{
	return value > 0 && value < TRADE_VALUE_END;
}

/*
 * Execute an order on an account in memory.  Without a price it is taken to be
 * executed at the market's.
 */
void
fx_order_apply(FxAccount *account, const FxOrder *order)
{
	FxPosition *position = fx_account_position(account, order->symbol);
	FxOrder		execution = *order;
	int32		open_trades = position->open_trades;
	int32		unpriced_trades = position->unpriced_trades;
	int128		net = -order->costs;
	FxFill		fill;

	fx_position_value(account, position);
	if (execution.price == 0 && position->has_mark)
		execution.price = position->mark;
	fx_position_fill(account, &execution, NULL, &fill);

	/* which trades it closes is known only when it closes all of them */
	if (fill.closed > 0 && position->quantity[FX_OTHER_SIDE(order->side)] == 0)
	{
		position->open_trades -= open_trades;
		position->unpriced_trades -= unpriced_trades;
		account->open_trades -= open_trades;
	}
	if (fill.opened > 0)
		account->open_trades++;

	if (fill.has_profit)
		fx_fixed_add_to(&net, fill.profit, "net profit");
	fx_account_add_net(account, net, order->at);
	fx_account_count_execution(account, 1, order->at);
}

static void
check_rights(const char *table)
{
	if (pg_class_aclcheck(fx_require_table(table), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, table);
}

/*
 * The most used first, what is not known last.
 */
static int
compare_used(const void *a, const void *b)
{
	const UsedLimit *left = (const UsedLimit *) a;
	const UsedLimit *right = (const UsedLimit *) b;
	const FxMeasure *used_left = &left->utilization;
	const FxMeasure *used_right = &right->utilization;
	int			order;

	if (used_left->known != used_right->known)
		return used_left->known ? -1 : 1;
	if (used_left->known && used_left->infinite != used_right->infinite)
		return used_left->infinite ? -1 : 1;
	if (used_left->known && !used_left->infinite && used_left->value != used_right->value)
		return used_left->value > used_right->value ? -1 : 1;
	if (left->limit->type != right->limit->type)
		return strcmp(fx_risk_type_names[left->limit->type],
					  fx_risk_type_names[right->limit->type]);
	order = strcmp(left->limit->name, right->limit->name);
	return order != 0 ? order : memcmp(&left->limit->id, &right->limit->id, sizeof(pg_uuid_t));
}

static const char *
status_of(const UsedLimit *used)
{
	if (used->breached)
		return "breached";
	if (!used->utilization.known)
		return "unknown";
	if (used->utilization.infinite || used->utilization.value >= used->limit->warning_level)
		return "warning";
	return "ok";
}

/*
 * An argument that has to be a quantity or price.
 */
static int128
get_positive(FunctionCallInfo fcinfo, int arg, const char *name)
{
	struct varlena *num = pg_detoast_datum_packed((struct varlena *) PG_GETARG_POINTER(arg));
	int128		value = 0;
	FxFixedStatus status = fx_fixed_from_numeric(num, &value);

	if (status == FX_FIXED_NAN || status == FX_FIXED_INFINITE ||
		(status == FX_FIXED_OK && value <= 0))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be a finite number greater than zero", name));
	if (status != FX_FIXED_OK || !fx_order_value_fits(value))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("argument \"%s\" is out of range", name));
	return value;
}

static void
put_verdict(ReturnSetInfo *rsinfo, const FxVerdict *verdict)
{
	const FxLimit *limit = verdict->limit;
	FxMeasure	before;
	FxMeasure	after;
	Datum		values[CHECK_COLUMNS];
	bool		nulls[CHECK_COLUMNS] = {0};

	fx_reading_in_units_of_limit(limit, &verdict->readings[0], &before);
	fx_reading_in_units_of_limit(limit, &verdict->readings[1], &after);
	values[0] = UUIDPGetDatum(&limit->id);
	values[1] = CStringGetTextDatum(fx_risk_type_names[limit->type]);
	values[2] = fx_fixed_get_numeric(limit->value);
	values[3] = fx_risk_get_numeric(&before, &nulls[3]);
	values[4] = fx_risk_get_numeric(&after, &nulls[4]);
	values[5] = fx_risk_get_numeric(&verdict->utilization, &nulls[5]);
	values[6] = BoolGetDatum(!verdict->refused);
	nulls[7] = verdict->reason == NULL;
	values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(verdict->reason);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * What the state of the account refuses, no limit does.
 */
static void
put_state(ReturnSetInfo *rsinfo, const FxDecision *decision)
{
	Datum		values[CHECK_COLUMNS] = {0};
	bool		nulls[CHECK_COLUMNS];
	const char *reason = decision->state == FX_HALTED ? "trading is halted for the account" :
		"the account may only reduce positions";

	memset(nulls, true, sizeof(nulls));
	nulls[1] = nulls[6] = nulls[7] = false;
	values[1] = CStringGetTextDatum("trading_state");
	values[6] = BoolGetDatum(false);
	values[7] = CStringGetTextDatum(decision->state_reason == NULL ? reason :
									psprintf("%s: %s", reason, decision->state_reason));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}
