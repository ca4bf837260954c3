/*-------------------------------------------------------------------------
 *
 * account_open.c
 *	  Accounts are opened with their users, and follow their preferences
 *
 * Currency and initial balance of an account come from users.preferences.  An
 * account that is missing, since the triggers were off when its user came, is
 * opened by the first that wants to lock it.
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
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "account.h"
#include "account_rows.h"
#include "compat.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "risk.h"

/* What an account is opened with, as the table's defaults have it */
#define OPENING_ZONE		"America/New_York"
#define OPENING_CUTOFF		(17 * USECS_PER_HOUR)

/* Settings of an account before and after a change of preferences */
typedef struct Settings
{
	char		currency[FX_CURRENCY_MAX + 1];
	int128		initial_balance;
} Settings;

PG_FUNCTION_INFO_V1(fx_open_account);
PG_FUNCTION_INFO_V1(fx_follow_preferences);
PG_FUNCTION_INFO_V1(fx_lock_account);

static void check_trigger(FunctionCallInfo fcinfo, const char *name, bool update);
static Datum get_column(TriggerData *trigdata, HeapTuple tuple, const char *name, Oid type,
						bool *isnull);
static void read_settings(Datum old_preferences, bool old_isnull, Datum new_preferences,
						  bool new_isnull, Settings *old_settings, Settings *new_settings);
static void read_setting(int column, Settings *settings);
static bool has_history(const pg_uuid_t *user_id);

/*
 * open_account() returns trigger
 *
 * To be fired after insert for each row on fx.users.
 */
Datum
fx_open_account(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Datum		id;
	bool		isnull;

	check_trigger(fcinfo, "open_account", false);
	id = get_column(trigdata, trigdata->tg_trigtuple, "id", UUIDOID, &isnull);
	fx_account_create(DatumGetUUIDP(id));
	return PointerGetDatum(NULL);
}

/*
 * follow_preferences() returns trigger
 *
 * To be fired after update for each row on fx.users.  An account is touched
 * only by a change of what it takes from the preferences.
 */
Datum
fx_follow_preferences(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Datum		id;
	Datum		old_preferences;
	Datum		new_preferences;
	bool		isnull;
	bool		old_isnull;
	bool		new_isnull;
	Settings	old_settings;
	Settings	new_settings;
	FxAccount  *account;
	FxRisk	   *risk;
	Oid			save_userid;
	int			save_sec_context;

	check_trigger(fcinfo, "follow_preferences", true);
	id = get_column(trigdata, trigdata->tg_newtuple, "id", UUIDOID, &isnull);
	old_preferences = get_column(trigdata, trigdata->tg_trigtuple, "preferences", JSONBOID,
								 &old_isnull);
	new_preferences = get_column(trigdata, trigdata->tg_newtuple, "preferences", JSONBOID,
								 &new_isnull);

	fx_act_as_owner(fx_book_oid(FX_ACCOUNTS), &save_userid, &save_sec_context);
	read_settings(old_preferences, old_isnull, new_preferences, new_isnull,
				  &old_settings, &new_settings);
	if (strcmp(old_settings.currency, new_settings.currency) != 0 ||
		old_settings.initial_balance != new_settings.initial_balance)
	{
		account = fx_account_lock(DatumGetUUIDP(id));
		if (strcmp(old_settings.currency, new_settings.currency) != 0)
			fx_account_set_currency(account, new_settings.currency);
		risk = fx_risk_load(account);
		if (old_settings.initial_balance != new_settings.initial_balance)
			fx_account_set_initial(account, new_settings.initial_balance);
		fx_account_observe(account);
		fx_risk_finish(risk);
		fx_account_flush(account);
	}
	fx_act_as_before(save_userid, save_sec_context);
	return PointerGetDatum(NULL);
}

/*
 * lock_account(user_id uuid) returns void
 */
Datum
fx_lock_account(PG_FUNCTION_ARGS)
{
	FxAccount  *account;
	Oid			save_userid;
	int			save_sec_context;

	fx_act_as_owner(fx_book_oid(FX_ACCOUNTS), &save_userid, &save_sec_context);
	account = fx_account_lock(PG_GETARG_UUID_P(0));
	fx_account_flush(account);
	fx_act_as_before(save_userid, save_sec_context);
	PG_RETURN_VOID();
}

/*
 * Open the account of a user, unless somebody else has done so meanwhile.
 */
void
fx_account_create(const pg_uuid_t *user_id)
{
	static SPIPlanPtr plan = NULL;
	FxAccount	account = {0};
	TimestampTz now = fx_now();
	TimestampTz starts[FX_PERIODS];
	TimestampTz ends[FX_PERIODS];
	Datum		args[7];
	int			result;
	Oid			save_userid;
	int			save_sec_context;

	account.zone = fx_zone_get(OPENING_ZONE);
	account.cutoff = OPENING_CUTOFF;
	if (account.zone == NULL)
		ereport(ERROR,
				errcode(ERRCODE_CONFIG_FILE_ERROR),
				errmsg("time zone \"%s\" is not known to this server", OPENING_ZONE));
	for (FxPeriodKind kind = FX_DAY; kind < FX_PERIODS; kind++)
		fx_period_bounds(&account, now, kind, &starts[kind], &ends[kind]);

	args[0] = UUIDPGetDatum(user_id);
	args[1] = CStringGetTextDatum(OPENING_ZONE);
	args[2] = TimeADTGetDatum(account.cutoff);
	args[3] = TimestampTzGetDatum(starts[FX_DAY]);
	args[4] = TimestampTzGetDatum(starts[FX_WEEK]);
	args[5] = TimestampTzGetDatum(starts[FX_MONTH]);
	args[6] = TimestampTzGetDatum(ends[FX_DAY]);

	fx_act_as_owner(fx_book_oid(FX_ACCOUNTS), &save_userid, &save_sec_context);
	SPI_connect();
	if (plan == NULL)
	{
		Oid			argtypes[] = {UUIDOID, TEXTOID, TIMEOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID};

		plan = fx_kept_plan("WITH opened AS ("
							" INSERT INTO fx.accounts (user_id, currency, initial_balance, balance,"
							" time_zone, day_cutoff, high_water_mark, eod_high_water_mark,"
							" day_started_at, day_balance, day_equity,"
							" week_started_at, week_balance, week_equity,"
							" month_started_at, month_balance, month_equity, day_ends_at)"
							" SELECT u.id, fx.account_currency(u.preferences), b.initial, b.initial,"
							" $2, $3, b.initial, b.initial, $4, b.initial, b.initial,"
							" $5, b.initial, b.initial, $6, b.initial, b.initial, $7"
							" FROM fx.users u"
							" CROSS JOIN LATERAL fx.account_initial_balance(u.preferences) AS b (initial)"
							" WHERE u.id OPERATOR(pg_catalog.=) $1"
							" ON CONFLICT DO NOTHING)"
							" SELECT FROM fx.users u WHERE u.id OPERATOR(pg_catalog.=) $1",
							lengthof(argtypes), argtypes);
	}
	result = SPI_execute_plan(plan, args, NULL, false, 1);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not open an account: %s", SPI_result_code_string(result));
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				errmsg("user \"%s\" does not exist",
					   DatumGetCString(DirectFunctionCall1(uuid_out, args[0]))));
	SPI_finish();
	fx_act_as_before(save_userid, save_sec_context);
}

/*
 * Money that is booked is in the currency that the account has.
 */
void
fx_account_set_currency(FxAccount *account, const char *currency)
{
	if (strcmp(account->currency, currency) == 0)
		return;
	if (has_history(&account->user_id))
		ereport(ERROR,
				errcode(ERRCODE_FX_ILLEGAL_TRANSITION),
				errmsg("currency of an account with trades or cash flows cannot change from %s to %s",
					   account->currency, currency));
	strlcpy(account->currency, currency, sizeof(account->currency));
	account->dirty = true;
}

static void
check_trigger(FunctionCallInfo fcinfo, const char *name, bool update)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", name));
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!(update ? TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) :
		  TRIGGER_FIRED_BY_INSERT(trigdata->tg_event)) ||
		RelationGetRelid(trigdata->tg_relation) != fx_require_table("users"))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired AFTER %s FOR EACH ROW of fx.users", name,
					   update ? "UPDATE" : "INSERT"));
}

static Datum
get_column(TriggerData *trigdata, HeapTuple tuple, const char *name, Oid type, bool *isnull)
{
	TupleDesc	tupdesc = RelationGetDescr(trigdata->tg_relation);
	int			attnum = SPI_fnumber(tupdesc, name);

	if (attnum <= 0 || TupleDescAttr(tupdesc, attnum - 1)->atttypid != type)
		fx_raise_no_column(trigdata->tg_relation, name, type);
	return heap_getattr(tuple, attnum, tupdesc, isnull);
}

static void
read_settings(Datum old_preferences, bool old_isnull, Datum new_preferences, bool new_isnull,
			  Settings *old_settings, Settings *new_settings)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[] = {old_preferences, new_preferences};
	char		nulls[] = {old_isnull ? 'n' : ' ', new_isnull ? 'n' : ' '};

	SPI_connect();
	if (plan == NULL)
	{
		Oid			argtypes[] = {JSONBOID, JSONBOID};

		plan = fx_kept_plan("SELECT fx.account_currency($1), fx.account_initial_balance($1),"
							" fx.account_currency($2), fx.account_initial_balance($2)",
							lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(plan, args, nulls, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "SPI_execute_plan failed");
	read_setting(1, old_settings);
	read_setting(3, new_settings);
	SPI_finish();
}

/*
 * Two columns of the row that was read.
 */
static void
read_setting(int column, Settings *settings)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	TupleDesc	tupdesc = SPI_tuptable->tupdesc;
	bool		isnull;

	strlcpy(settings->currency, SPI_getvalue(row, tupdesc, column), sizeof(settings->currency));
	settings->initial_balance = fx_fixed_get_argument(SPI_getbinval(row, tupdesc, column + 1,
																	&isnull), "initialBalance");
}

static bool
has_history(const pg_uuid_t *user_id)
{
	static SPIPlanPtr plan = NULL;
	Datum		arg = UUIDPGetDatum(user_id);
	bool		found;
	bool		isnull;
	Oid			save_userid;
	int			save_sec_context;

	fx_act_as_owner(fx_book_oid(FX_ACCOUNTS), &save_userid, &save_sec_context);
	SPI_connect();
	if (plan == NULL)
	{
		Oid			type = UUIDOID;

		plan = fx_kept_plan("SELECT EXISTS (SELECT FROM fx.trades t"
							" WHERE t.user_id OPERATOR(pg_catalog.=) $1"
							" AND t.status::pg_catalog.text OPERATOR(pg_catalog.=) 'executed'"
							" AND NOT t.is_backtest)"
							" OR EXISTS (SELECT FROM fx.cash_flows f"
							" WHERE f.user_id OPERATOR(pg_catalog.=) $1)", 1, &type);
	}

	/* not read-only: it sees what was committed before the account was locked */
	if (SPI_execute_plan(plan, &arg, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "SPI_execute_plan failed");
	found = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	fx_act_as_before(save_userid, save_sec_context);
	return found;
}
