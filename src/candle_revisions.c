/*-------------------------------------------------------------------------
 *
 * candle_revisions.c
 *	  The trigger that keeps the versions of corrected candles
 *
 * The version that an update replaced becomes a row of
 * fx.market_data_revisions.  It is inserted with the rights of that table's
 * owner, as foreign keys do it: whoever corrects candles need not be able to
 * write, and so to forge, what they were before.  An error on the way needs no
 * clean-up, because the abort restores the user.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "relcache.h"

#define TRIGGER_NAME		"keep_candle_revision"

/* The columns that are kept, in the order of the insertion's parameters */
static const struct
{
	const char *name;
	Oid			type;			/* as the parameter is declared */
	Oid			also;			/* what the column may be besides */
}			kept[] = {
	{"symbol", TEXTOID, VARCHAROID},
	{"timeframe", TEXTOID, VARCHAROID},
	{"timestamp", TIMESTAMPTZOID, TIMESTAMPTZOID},
	{"open_price", NUMERICOID, NUMERICOID},
	{"high_price", NUMERICOID, NUMERICOID},
	{"low_price", NUMERICOID, NUMERICOID},
	{"close_price", NUMERICOID, NUMERICOID},
	{"volume", INT8OID, INT8OID},
	{"created_at", TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* Where the columns are, for the relation seen last */
static struct
{
	Oid			relid;
	AttrNumber	attnums[lengthof(kept)];
}			columns;

PG_FUNCTION_INFO_V1(fx_keep_candle_revision);

static void find_columns(Relation rel);
static void insert_revision(Datum *values, const char *nulls);
static void relcache_callback(Oid relid);

/*
 * keep_candle_revision() returns trigger
 *
 * To be fired after update for each row, on a table with the columns of
 * fx.market_data.
 */
Datum
fx_keep_candle_revision(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Datum		values[lengthof(kept)];
	char		nulls[lengthof(kept)];
	Oid			save_userid;
	int			save_sec_context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", TRIGGER_NAME));

	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired AFTER UPDATE FOR EACH ROW", TRIGGER_NAME));

	if (unlikely(columns.relid != RelationGetRelid(trigdata->tg_relation)))
		find_columns(trigdata->tg_relation);

	for (int i = 0; i < lengthof(kept); i++)
	{
		bool		isnull;

		values[i] = slot_getattr(trigdata->tg_trigslot, columns.attnums[i], &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}

	fx_act_as_owner(fx_require_table("market_data_revisions"), &save_userid, &save_sec_context);
	insert_revision(values, nulls);
	fx_act_as_before(save_userid, save_sec_context);

	return PointerGetDatum(NULL);
}

/*
 * Look up the columns of a partition: their numbers may differ from those of
 * its parent.
 */
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

	columns.relid = InvalidOid;
	for (int i = 0; i < lengthof(kept); i++)
	{
		int			attnum = SPI_fnumber(tupdesc, kept[i].name);
		Oid			type = attnum > 0 ? TupleDescAttr(tupdesc, attnum - 1)->atttypid : InvalidOid;

		if (type != kept[i].type && type != kept[i].also)
			fx_raise_no_column(rel, kept[i].name,
							   kept[i].type == TEXTOID ? VARCHAROID : kept[i].type);
		columns.attnums[i] = attnum;
	}
	columns.relid = RelationGetRelid(rel);
}

static void
insert_revision(Datum *values, const char *nulls)
{
	static SPIPlanPtr insert_plan = NULL;

	SPI_connect();
	if (insert_plan == NULL)
	{
		Oid			types[lengthof(kept)];

		for (int i = 0; i < lengthof(kept); i++)
			types[i] = kept[i].type;
		insert_plan = fx_kept_plan("INSERT INTO fx.market_data_revisions"
								   " (symbol, timeframe, \"timestamp\", open_price, high_price,"
								   " low_price, close_price, volume, created_at, replaced_by)"
								   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, fx.current_user_id())",
								   lengthof(types), types);
	}

	if (SPI_execute_plan(insert_plan, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not keep a revision of a candle");
	SPI_finish();
}

static void
relcache_callback(Oid relid)
{
	if (relid == InvalidOid || relid == columns.relid)
		columns.relid = InvalidOid;
}
