/*-------------------------------------------------------------------------
 *
 * account_guard.c
 *	  The trigger that keeps the books from being written by hand
 *
 * What the engine writes fires no trigger.  An UPDATE by SQL may change the
 * settings of an account, and what follows from them is worked out here; the
 * executor has locked the row by then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "account.h"
#include "account_rows.h"
#include "compat.h"
#include "kept_plan.h"

#define TRIGGER_NAME		"guard_account"

/* On while fx.rebuild_risk_state() writes */
#define REBUILD_SETTING		"fx.rebuilding_risk_state"

PG_FUNCTION_INFO_V1(fx_guard_account);

static bool is_rebuild(Relation accounts);
static bool column_changed(Relation accounts, HeapTuple oldtup, HeapTuple newtup,
						   FxAccountColumn column);
static Datum get_column(Relation accounts, HeapTuple tuple, FxAccountColumn column, bool *isnull);
static Datum get_setting(Relation accounts, HeapTuple tuple, FxAccountColumn column);
static FxAccount *load_account(Relation accounts, HeapTuple tuple);
static void set_method(FxAccount *account, FxPositionMethod method);
static void set_zone(FxAccount *account, const char *name, TimeADT cutoff);
static void note_state(Relation accounts, HeapTuple oldtup, HeapTuple newtup);

/*
 * guard_account() returns trigger
 *
 * To be fired before update for each row on fx.accounts.
 */
Datum
fx_guard_account(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	HeapTuple	oldtup;
	HeapTuple	newtup;
	Relation	accounts;
	FxAccount  *account;
	bool		changed[FX_ACC_COLUMNS];
	bool		isnull;
	FxBookRow	row;
	int128		initial;
	Oid			save_userid;
	int			save_sec_context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", TRIGGER_NAME));
	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ||
		RelationGetRelid(trigdata->tg_relation) != fx_book_oid(FX_ACCOUNTS))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired BEFORE UPDATE FOR EACH ROW of fx.accounts",
					   TRIGGER_NAME));

	oldtup = trigdata->tg_trigtuple;
	newtup = trigdata->tg_newtuple;
	accounts = fx_book_open(FX_ACCOUNTS, RowExclusiveLock);
	table_close(accounts, NoLock);
	fx_recent_forget(DatumGetUUIDP(get_setting(accounts, oldtup, FX_ACC_USER_ID)));
	if (is_rebuild(accounts))
		return PointerGetDatum(newtup);

	for (int column = 0; column < FX_ACC_COLUMNS; column++)
	{
		changed[column] = column_changed(accounts, oldtup, newtup, column);
		if (!changed[column])
			continue;
		switch (column)
		{
			case FX_ACC_CURRENCY:
			case FX_ACC_INITIAL_BALANCE:
			case FX_ACC_POSITION_METHOD:
			case FX_ACC_TRADING_STATE:
			case FX_ACC_TIME_ZONE:
			case FX_ACC_DAY_CUTOFF:
				/* the constraint of the column says so itself */
				get_column(accounts, newtup, column, &isnull);
				if (isnull)
					return PointerGetDatum(newtup);
				break;

			case FX_ACC_STATE_REASON:
				break;

			default:
				ereport(ERROR,
						errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
						errmsg("column \"%s\" of an account cannot be changed",
							   fx_book_column_name(FX_ACCOUNTS, column)),
						errdetail("The risk engine keeps it."),
						errtablecol(accounts, fx_book_columns(FX_ACCOUNTS)[column]));
		}
	}
	if (changed[FX_ACC_TRADING_STATE] || changed[FX_ACC_STATE_REASON])
		note_state(accounts, oldtup, newtup);
	if (!changed[FX_ACC_CURRENCY] && !changed[FX_ACC_INITIAL_BALANCE] &&
		!changed[FX_ACC_POSITION_METHOD] && !changed[FX_ACC_TIME_ZONE] &&
		!changed[FX_ACC_DAY_CUTOFF])
		return PointerGetDatum(newtup);

	fx_act_as_owner(RelationGetRelid(accounts), &save_userid, &save_sec_context);
	account = load_account(accounts, oldtup);
	if (changed[FX_ACC_CURRENCY])
		fx_account_set_currency(account,
								TextDatumGetCString(get_setting(accounts, newtup, FX_ACC_CURRENCY)));
	if (changed[FX_ACC_INITIAL_BALANCE])
	{
		initial = fx_fixed_get_argument(get_setting(accounts, newtup, FX_ACC_INITIAL_BALANCE),
										"initial_balance");
		fx_account_set_initial(account, initial);
	}
	if (changed[FX_ACC_POSITION_METHOD])
		set_method(account, fx_position_method_get((struct varlena *) DatumGetPointer(
											get_setting(accounts, newtup, FX_ACC_POSITION_METHOD))));
	if (changed[FX_ACC_TIME_ZONE] || changed[FX_ACC_DAY_CUTOFF])
		set_zone(account,
				 TextDatumGetCString(get_setting(accounts, newtup, FX_ACC_TIME_ZONE)),
				 DatumGetTimeADT(get_setting(accounts, newtup, FX_ACC_DAY_CUTOFF)));
	fx_act_as_before(save_userid, save_sec_context);

	fx_account_to_row(account, &row);
	return PointerGetDatum(fx_book_modify(FX_ACCOUNTS, accounts, newtup, &row));
}

/*
 * The setting is no protection from those who own the table, and of no use to
 * others.
 */
static bool
is_rebuild(Relation accounts)
{
	const char *setting = GetConfigOption(REBUILD_SETTING, true, false);

	return setting != NULL && strcmp(setting, "on") == 0 &&
		fx_owns_table(RelationGetRelid(accounts), GetUserId());
}

static bool
column_changed(Relation accounts, HeapTuple oldtup, HeapTuple newtup, FxAccountColumn column)
{
	TupleDesc	tupdesc = RelationGetDescr(accounts);
	AttrNumber	attnum = fx_book_columns(FX_ACCOUNTS)[column];
	Form_pg_attribute att = TupleDescAttr(tupdesc, attnum - 1);
	bool		oldnull;
	bool		newnull;
	Datum		oldval = heap_getattr(oldtup, attnum, tupdesc, &oldnull);
	Datum		newval = heap_getattr(newtup, attnum, tupdesc, &newnull);

	if (oldnull || newnull)
		return oldnull != newnull;
	return !datum_image_eq(oldval, newval, att->attbyval, att->attlen);
}

static Datum
get_column(Relation accounts, HeapTuple tuple, FxAccountColumn column, bool *isnull)
{
	return heap_getattr(tuple, fx_book_columns(FX_ACCOUNTS)[column], RelationGetDescr(accounts),
						isnull);
}

/*
 * A column that is not null.
 */
static Datum
get_setting(Relation accounts, HeapTuple tuple, FxAccountColumn column)
{
	bool		isnull;

	return get_column(accounts, tuple, column, &isnull);
}

/*
 * The account as it is before the update, with its periods rolled.
 */
static FxAccount *
load_account(Relation accounts, HeapTuple tuple)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(accounts), &TTSOpsHeapTuple);
	FxAccount  *account;

	ExecStoreHeapTuple(tuple, slot, false);
	account = fx_account_from_locked(accounts, slot);
	ExecDropSingleTupleTableSlot(slot);
	return account;
}

/*
 * Another method is for positions to come.
 */
static void
set_method(FxAccount *account, FxPositionMethod method)
{
	bool		open = account->open_trades > 0;

	for (int i = 0; i < account->npositions; i++)
	{
		FxPosition *position = account->positions[i];

		open = open || position->open_trades > 0 ||
			position->quantity[FX_LONG] != 0 || position->quantity[FX_SHORT] != 0;
	}
	if (open)
		ereport(ERROR,
				errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
				errmsg("position_method of an account with open trades cannot be changed"));
	account->method = method;
}

/*
 * The day that is under way ends at the next cut of the new clock, so that what
 * was lost in it is not forgotten.  The week and the month are those that it
 * shows, with the values that they had at their start.
 */
static void
set_zone(FxAccount *account, const char *name, TimeADT cutoff)
{
	TimestampTz ignored;

	account->zone = fx_zone_get(name);
	if (account->zone == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("time zone \"%s\" is not known", name));
	/* the constraint refuses it */
	if (cutoff < 0 || cutoff >= USECS_PER_DAY)
		return;
	account->cutoff = cutoff;

	fx_period_bounds(account, account->now, FX_DAY, &ignored, &account->day_ends_at);
	fx_period_bounds(account, account->now, FX_WEEK, &account->periods[FX_WEEK].started_at,
					 &ignored);
	fx_period_bounds(account, account->now, FX_MONTH, &account->periods[FX_MONTH].started_at,
					 &ignored);
}

/*
 * Who halts an account, or lets it trade again, leaves a note.
 */
static void
note_state(Relation accounts, HeapTuple oldtup, HeapTuple newtup)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[4];
	char		nulls[] = {' ', ' ', ' ', ' '};
	bool		isnull;
	Oid			save_userid;
	int			save_sec_context;

	args[0] = get_setting(accounts, newtup, FX_ACC_USER_ID);
	args[1] = get_setting(accounts, oldtup, FX_ACC_TRADING_STATE);
	args[2] = get_setting(accounts, newtup, FX_ACC_TRADING_STATE);
	args[3] = get_column(accounts, newtup, FX_ACC_STATE_REASON, &isnull);
	if (isnull)
		nulls[3] = 'n';

	fx_act_as_owner(RelationGetRelid(accounts), &save_userid, &save_sec_context);
	SPI_connect();
	if (plan == NULL)
	{
		Oid			argtypes[] = {UUIDOID, TEXTOID, TEXTOID, TEXTOID};

		plan = fx_kept_plan("INSERT INTO fx.risk_events (user_id, event, reason, detail)"
							" VALUES ($1, 'state', $4,"
							" pg_catalog.jsonb_build_object('from', $2, 'to', $3))",
							lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(plan, args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not note a trading state");
	SPI_finish();
	fx_act_as_before(save_userid, save_sec_context);
}
