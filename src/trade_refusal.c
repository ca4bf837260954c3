/*-------------------------------------------------------------------------
 *
 * trade_refusal.c
 *	  Trades that were refused, on record
 *
 * A refusal is an error, with which everything goes that the statement wrote.
 * What was refused and why is remembered here until the transaction ends, so
 * that fx.try_trade() can record it.  It records what the engine has said, not
 * what its caller says: whoever may insert trades of his own can have refusals
 * recorded, but cannot invent any.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "compat.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "risk_internal.h"
#include "trades.h"

/* The last one of this transaction; detail is NULL when there is none */
static struct
{
	pg_uuid_t	user_id;
	char	   *message;
	char	   *detail;			/* JSON, as in the error */
	const char *reason;			/* what reason_code is to say */
	bool		by_state;		/* of the account itself */
}			refusal;

PG_FUNCTION_INFO_V1(fx_refusal_reason);
PG_FUNCTION_INFO_V1(fx_record_refusal);

static const char *reason_of(const FxDecision *decision, bool *by_state);
static void forget(void);
static void xact_callback(XactEvent event, void *arg);

/*
 * Refuse an order, and remember it.
 */
void
fx_refuse_order(const FxBooks *books, const FxDecision *decision, const FxOrder *order)
{
	static bool registered = false;
	MemoryContext context = CurrentMemoryContext;

	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		registered = true;
	}

	PG_TRY();
	{
		fx_risk_refuse(books->risk, decision, order);
	}
	PG_CATCH();
	{
		ErrorData  *error;
		MemoryContext old_context = MemoryContextSwitchTo(context);

		error = CopyErrorData();
		if (error->detail != NULL && (error->sqlerrcode == ERRCODE_FX_RISK_LIMIT_EXCEEDED ||
									  error->sqlerrcode == ERRCODE_FX_TRADING_HALTED))
		{
			forget();
			MemoryContextSwitchTo(TopTransactionContext);
			refusal.user_id = books->user_id;
			refusal.reason = reason_of(decision, &refusal.by_state);
			refusal.message = pstrdup(error->message);
			refusal.detail = pstrdup(error->detail);
		}
		MemoryContextSwitchTo(old_context);
		PG_RE_THROW();
	}
	PG_END_TRY();
	pg_unreachable();
}

/*
 * refusal_reason() returns text
 *
 * The reason code of the refusal that was last in this transaction; NULL when
 * there was none, or it is on record.
 */
Datum
fx_refusal_reason(PG_FUNCTION_ARGS)
{
	if (refusal.detail == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(refusal.reason));
}

/*
 * record_refusal(trade_id uuid) returns void
 *
 * Record that refusal, once, as that of a trade which the caller can see and
 * which is rejected, of the user whose trade was refused.
 */
Datum
fx_record_refusal(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr find_plan = NULL;
	static SPIPlanPtr insert_plan = NULL;
	Datum		args[6];
	Oid			save_userid;
	int			save_sec_context;

	if (refusal.detail == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("no trade was refused in this transaction"));

	args[0] = PG_GETARG_DATUM(0);
	args[1] = UUIDPGetDatum(&refusal.user_id);
	args[2] = CStringGetTextDatum(refusal.detail);
	args[3] = CStringGetTextDatum(refusal.reason);
	args[4] = CStringGetTextDatum(refusal.message);
	args[5] = BoolGetDatum(refusal.by_state);

	SPI_connect();
	if (find_plan == NULL)
	{
		Oid			argtypes[] = {UUIDOID, UUIDOID};

		find_plan = fx_kept_plan("SELECT FROM fx.trades t"
								 " WHERE t.id OPERATOR(pg_catalog.=) $1"
								 " AND t.user_id OPERATOR(pg_catalog.=) $2"
								 " AND t.status OPERATOR(pg_catalog.=) 'rejected'"
								 " AND NOT t.is_backtest", lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(find_plan, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trade \"%s\" is not a rejected trade of the user who was refused one",
					   fx_uuid_text(PG_GETARG_UUID_P(0))));

	fx_act_as_owner(fx_require_table("risk_events"), &save_userid, &save_sec_context);
	if (insert_plan == NULL)
	{
		Oid			argtypes[] = {UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID};

		insert_plan = fx_kept_plan("WITH refused AS ("
								   "SELECT l.value AS item"
								   " FROM pg_catalog.jsonb_array_elements("
								   "$3::pg_catalog.jsonb OPERATOR(pg_catalog.->) 'limits')"
								   " WITH ORDINALITY AS l (value, n)"
								   " WHERE (l.value OPERATOR(pg_catalog.->>) 'reason') IS NOT NULL"
								   " ORDER BY l.n"
								   ") INSERT INTO fx.risk_events (user_id, event, trade_id, limit_id, type,"
								   " current_value, projected_value, bound, reason, detail)"
								   " SELECT $2, 'refused', $1,"
								   " (r.item OPERATOR(pg_catalog.->>) 'id')::pg_catalog.uuid,"
								   " r.item OPERATOR(pg_catalog.->>) 'type',"
								   " (r.item OPERATOR(pg_catalog.->>) 'current')::pg_catalog.numeric,"
								   " (r.item OPERATOR(pg_catalog.->>) 'projected')::pg_catalog.numeric,"
								   " (r.item OPERATOR(pg_catalog.->>) 'bound')::pg_catalog.numeric,"
								   " r.item OPERATOR(pg_catalog.->>) 'reason', r.item"
								   " FROM refused r"
								   " UNION ALL"
								   " SELECT $2, 'refused', $1, NULL, $4, NULL, NULL, NULL, $5,"
								   " $3::pg_catalog.jsonb"
								   " WHERE $6",
								   lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(insert_plan, args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not record a refusal");
	fx_act_as_before(save_userid, save_sec_context);
	SPI_finish();

	forget();
	PG_RETURN_VOID();
}

/*
 * The limit that the error names, or the state of the account.
 */
static const char *
reason_of(const FxDecision *decision, bool *by_state)
{
	*by_state = decision->halted && decision->state_limit == NULL;
	if (*by_state)
		return fx_risk_state_name(decision->state);
	return fx_risk_type_names[fx_risk_sort(decision, true)[0]->limit->type];
}

static void
forget(void)
{
	if (refusal.detail != NULL)
	{
		pfree(refusal.message);
		pfree(refusal.detail);
	}
	refusal.detail = NULL;
}

/*
 * The memory goes with the transaction.
 */
static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		refusal.detail = NULL;
}
