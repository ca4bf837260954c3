/*-------------------------------------------------------------------------
 *
 * cash_flow.c
 *	  Money that is paid into an account or out of it
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "account.h"
#include "account_rows.h"
#include "compat.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "risk.h"

#define TRIGGER_NAME		"apply_cash_flow"

PG_FUNCTION_INFO_V1(fx_apply_cash_flow);

static Datum get_column(TriggerData *trigdata, const char *name, Oid type);
static void check_withdrawal(const FxAccount *account, int128 amount);

/*
 * apply_cash_flow() returns trigger
 *
 * To be fired after insert for each row on fx.cash_flows.
 */
Datum
fx_apply_cash_flow(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Datum		user_id;
	int128		amount;
	FxAccount  *account;
	FxRisk	   *risk;
	Oid			save_userid;
	int			save_sec_context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", TRIGGER_NAME));
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ||
		RelationGetRelid(trigdata->tg_relation) != fx_require_table("cash_flows"))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired AFTER INSERT FOR EACH ROW of fx.cash_flows",
					   TRIGGER_NAME));

	user_id = get_column(trigdata, "user_id", UUIDOID);
	amount = fx_fixed_get_argument(get_column(trigdata, "amount", NUMERICOID), "amount");

	fx_act_as_owner(fx_book_oid(FX_ACCOUNTS), &save_userid, &save_sec_context);
	account = fx_account_lock(DatumGetUUIDP(user_id));
	check_withdrawal(account, amount);
	risk = fx_risk_load(account);
	fx_account_add_deposit(account, amount);
	fx_account_observe(account);
	fx_risk_finish(risk);
	fx_account_flush(account);
	fx_act_as_before(save_userid, save_sec_context);

	return PointerGetDatum(NULL);
}

/*
 * A column that cannot be null.
 */
static Datum
get_column(TriggerData *trigdata, const char *name, Oid type)
{
	TupleDesc	tupdesc = RelationGetDescr(trigdata->tg_relation);
	int			attnum = SPI_fnumber(tupdesc, name);
	Datum		value = (Datum) 0;
	bool		isnull = true;

	if (attnum > 0 && TupleDescAttr(tupdesc, attnum - 1)->atttypid == type)
		value = heap_getattr(trigdata->tg_trigtuple, attnum, tupdesc, &isnull);
	if (isnull)
		fx_raise_no_column(trigdata->tg_relation, name, type);
	return value;
}

/*
 * Only what is there can be paid out.
 */
static void
check_withdrawal(const FxAccount *account, int128 amount)
{
	char		balance[FX_FIXED_TEXT_SIZE];
	char		withdrawal[FX_FIXED_TEXT_SIZE];

	if (amount >= 0 || account->balance + amount >= 0)
		return;

	fx_fixed_write_text(account->balance, balance);
	fx_fixed_write_text(-amount, withdrawal);
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("withdrawal of %s exceeds the balance of %s", withdrawal, balance));
}
