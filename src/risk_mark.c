/*-------------------------------------------------------------------------
 *
 * risk_mark.c
 *	  Limits measured without a trade: by the market, by a change of the limits,
 *	  and cleared
 *
 * All of it locks the account first, as trades do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "compat.h"
#include "kept_plan.h"
#include "risk_internal.h"

#define TRIGGER_NAME		"refresh_risk_limits"

PG_FUNCTION_INFO_V1(fx_mark_account);
PG_FUNCTION_INFO_V1(fx_refresh_risk_limits);
PG_FUNCTION_INFO_V1(fx_clear_breach);

static pg_uuid_t *read_users(TriggerData *trigdata, Tuplestorestate *rows, int *count);
static pg_uuid_t *read_restarted(TriggerData *trigdata, int *count);
static int	compare_ids(const void *a, const void *b);
static void refresh(const pg_uuid_t *user_id, const pg_uuid_t *restarted, int nrestarted);
static bool find_user(const pg_uuid_t *limit_id, pg_uuid_t *user_id);
static bool is_breached(FxRisk *risk, const FxLimit *limit);
static void restart_mark(FxAccount *account, const FxLimit *limit);

/*
 * mark_account(user_id uuid)
 *		returns numeric
 */
Datum
fx_mark_account(PG_FUNCTION_ARGS)
{
	FxAccount  *account;
	FxRisk	   *risk;
	FxView		view;
	FxMeasure	equity;
	Oid			save_userid;
	int			save_sec_context;
	bool		isnull;
	Datum		result;

	fx_act_as_owner(fx_require_table("accounts"), &save_userid, &save_sec_context);
	account = fx_account_lock(PG_GETARG_UUID_P(0));
	risk = fx_risk_load(account);
	fx_account_observe(account);
	fx_risk_finish(risk);
	fx_account_flush(account);
	fx_act_as_before(save_userid, save_sec_context);

	fx_view_begin(&view, account, NULL, NULL, NULL);
	equity = *fx_view_equity(&view);
	result = fx_risk_get_numeric(&equity, &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/*
 * refresh_risk_limits() returns trigger
 *
 * To be fired after insert, update, delete and truncate for each statement on
 * fx.risk_limits, with transition tables of the old rows and the new ones.
 */
Datum
fx_refresh_risk_limits(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	bool		has_new;
	bool		has_old;
	pg_uuid_t  *users;
	int			count;
	pg_uuid_t  *restarted = NULL;
	int			nrestarted = 0;
	Oid			save_userid;
	int			save_sec_context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", TRIGGER_NAME));
	has_new = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	has_old = TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) ||
		(has_new && trigdata->tg_newtable == NULL) || (has_old && trigdata->tg_oldtable == NULL))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired AFTER each statement, with tables of the old and new rows",
					   TRIGGER_NAME));
	if (RelationGetRelid(trigdata->tg_relation) != fx_require_table("risk_limits"))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" is for table \"%s\" only", TRIGGER_NAME, "fx.risk_limits"));

	/* has the columns that it should have, or raises the error */
	table_close(fx_limit_open(RowExclusiveLock), NoLock);

	if (!has_new && !has_old)
	{
		fx_state_delete_all();
		return PointerGetDatum(NULL);
	}

	users = read_users(trigdata, has_new ? trigdata->tg_newtable : trigdata->tg_oldtable, &count);
	if (count == 0)
		return PointerGetDatum(NULL);
	if (has_new && has_old)
		restarted = read_restarted(trigdata, &nrestarted);

	/* locks of several accounts are taken in the order of the users */
	qsort(users, count, sizeof(pg_uuid_t), compare_ids);
	fx_act_as_owner(fx_require_table("accounts"), &save_userid, &save_sec_context);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0 && compare_ids(&users[i - 1], &users[i]) == 0)
			continue;
		if (has_new)
			refresh(&users[i], restarted, nrestarted);
		else
			fx_state_delete_orphans(&users[i]);
	}
	fx_act_as_before(save_userid, save_sec_context);
	return PointerGetDatum(NULL);
}

/*
 * clear_breach(limit_id uuid, reason text)
 *		returns boolean
 */
Datum
fx_clear_breach(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"limit_id", "reason"};
	pg_uuid_t  *limit_id;
	pg_uuid_t	user_id;
	FxAccount  *account;
	FxRisk	   *risk;
	FxLimit    *limit = NULL;
	Oid			save_userid;
	int			save_sec_context;
	bool		cleared;

	for (int i = 0; i < lengthof(names); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("argument \"%s\" must not be null", names[i]));
	}
	limit_id = PG_GETARG_UUID_P(0);

	if (find_user(limit_id, &user_id))
	{
		fx_act_as_owner(fx_require_table("accounts"), &save_userid, &save_sec_context);
		account = fx_account_lock(&user_id);
		risk = fx_risk_load_all(account, true);
		for (int i = 0; i < risk->nlimits; i++)
		{
			if (memcmp(&risk->limits[i].id, limit_id, sizeof(pg_uuid_t)) == 0)
				limit = &risk->limits[i];
		}
	}
	if (limit == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("risk limit \"%s\" does not exist",
					   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(limit_id)))));

	cleared = limit->breached_at != 0 || (fx_risk_latches(limit->type) && is_breached(risk, limit));
	if (cleared)
	{
		FxMeasure	value = {.known = limit->breached_at != 0, .value = limit->breach_value};

		restart_mark(account, limit);
		fx_risk_add_event(account, "cleared", limit, NULL, &value, NULL, NULL,
						  text_to_cstring(PG_GETARG_TEXT_PP(1)));
		limit->breached_at = 0;
		limit->cleared_at = account->now;
		limit->dirty = true;
	}
	fx_risk_write(risk);
	fx_account_flush(account);
	fx_act_as_before(save_userid, save_sec_context);
	PG_RETURN_BOOL(cleared);
}

/*
 * The users of the rows of a statement, some of them more than once.
 */
static pg_uuid_t *
read_users(TriggerData *trigdata, Tuplestorestate *rows, int *count)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			attnum = SPI_fnumber(desc, "user_id");
	int			size = 64;
	pg_uuid_t  *users = (pg_uuid_t *) palloc(size * sizeof(pg_uuid_t));
	int			pointer;
	TupleTableSlot *slot;

	/* other triggers read the same rows */
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(rows, pointer);
	tuplestore_rescan(rows);
	*count = 0;
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		bool		isnull;
		Datum		user_id = slot_getattr(slot, attnum, &isnull);

		if (isnull)
			continue;
		if (*count > 0 && memcmp(&users[*count - 1], DatumGetUUIDP(user_id), sizeof(pg_uuid_t)) == 0)
			continue;
		if (*count == size)
		{
			size *= 2;
			users = (pg_uuid_t *) repalloc_huge(users, size * sizeof(pg_uuid_t));
		}
		users[(*count)++] = *DatumGetUUIDP(user_id);
	}
	ExecDropSingleTupleTableSlot(slot);
	return users;
}

/*
 * Limits that measure something else than before, in the order of their ids.
 */
static pg_uuid_t *
read_restarted(TriggerData *trigdata, int *count)
{
	MemoryContext context = CurrentMemoryContext;
	StringInfoData query;
	pg_uuid_t  *restarted;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "SELECT n.id FROM %s o JOIN %s n ON n.id OPERATOR(pg_catalog.=) o.id"
					 " WHERE NOT (o.type::pg_catalog.text"
					 " OPERATOR(pg_catalog.=) n.type::pg_catalog.text"
					 " AND COALESCE(o.symbol::pg_catalog.text, '')"
					 " OPERATOR(pg_catalog.=) COALESCE(n.symbol::pg_catalog.text, '')"
					 " AND COALESCE(o.currency::pg_catalog.text, '')"
					 " OPERATOR(pg_catalog.=) COALESCE(n.currency::pg_catalog.text, '')"
					 " AND COALESCE(o.strategy_id::pg_catalog.text, '')"
					 " OPERATOR(pg_catalog.=) COALESCE(n.strategy_id::pg_catalog.text, ''))",
					 quote_identifier(trigdata->tg_trigger->tgoldtable),
					 quote_identifier(trigdata->tg_trigger->tgnewtable));

	SPI_connect();
	if (SPI_register_trigger_data(trigdata) != SPI_OK_TD_REGISTER ||
		SPI_execute(query.data, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not compare risk limits");
	*count = (int) SPI_processed;
	restarted = (pg_uuid_t *)
		MemoryContextAllocHuge(context, (SPI_processed + 1) * sizeof(pg_uuid_t));
	for (int i = 0; i < *count; i++)
	{
		bool		isnull;

		restarted[i] = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
													1, &isnull));
	}
	SPI_finish();
	qsort(restarted, *count, sizeof(pg_uuid_t), compare_ids);
	return restarted;
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(pg_uuid_t));
}

/*
 * Measure the limits of a user.  Those that are restarted forget what they have
 * come to; those that are new get a place to keep it.
 */
static void
refresh(const pg_uuid_t *user_id, const pg_uuid_t *restarted, int nrestarted)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "limits of a user",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	FxAccount  *account = fx_account_lock(user_id);
	FxRisk	   *risk;

	fx_account_observe(account);
	fx_recent_limits_forget(user_id);
	risk = fx_risk_load_all(account, nrestarted > 0);
	for (int i = 0; i < risk->nlimits; i++)
	{
		FxLimit    *limit = &risk->limits[i];

		if (nrestarted > 0 &&
			bsearch(&limit->id, restarted, nrestarted, sizeof(pg_uuid_t), compare_ids) != NULL)
		{
			limit->breached_at = 0;
			limit->cleared_at = 0;
			limit->norder_times = 0;
			limit->dirty = true;
		}
		if (limit->active && !ItemPointerIsValid(&limit->state_tid))
			limit->dirty = true;
	}
	fx_risk_finish(risk);
	fx_account_flush(account);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}

/*
 * Whose limit is it?  False when there is none that the caller can see.
 */
static bool
find_user(const pg_uuid_t *limit_id, pg_uuid_t *user_id)
{
	static SPIPlanPtr plan = NULL;
	Datum		arg = UUIDPGetDatum(limit_id);
	bool		found;
	bool		isnull;

	SPI_connect();
	if (plan == NULL)
	{
		Oid			type = UUIDOID;

		plan = fx_kept_plan("SELECT l.user_id FROM fx.risk_limits l"
							" WHERE l.id OPERATOR(pg_catalog.=) $1", 1, &type);
	}
	if (SPI_execute_plan(plan, &arg, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	found = SPI_processed > 0;
	if (found)
		*user_id = *DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
												&isnull));
	SPI_finish();
	return found;
}

static bool
is_breached(FxRisk *risk, const FxLimit *limit)
{
	FxView		view;
	FxReading	reading;

	fx_view_begin(&view, risk->account, NULL, NULL, NULL);
	fx_risk_read(risk, limit, &view, &reading);
	return reading.breached;
}

/*
 * A trailing drawdown begins again at what the account is worth now; otherwise
 * it would be breached as much as before.
 */
static void
restart_mark(FxAccount *account, const FxLimit *limit)
{
	int128		equity;
	char		missing[sizeof(((FxMeasure *) NULL)->missing)];

	if (limit->type != FX_TRAILING_DRAWDOWN && limit->type != FX_TRAILING_DRAWDOWN_EOD)
		return;
	if (!fx_account_equity(account, &equity, missing, sizeof(missing)))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("risk limit \"%s\" cannot be cleared while the equity of the account is not known",
					   limit->name),
				errdetail("Missing: %s.", missing));
	if (limit->type == FX_TRAILING_DRAWDOWN)
		account->high_water_mark = equity;
	else
		account->eod_high_water_mark = equity;
	account->dirty = true;
}
