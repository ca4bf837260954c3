/*-------------------------------------------------------------------------
 *
 * references.c
 *	  The trigger that refuses references to another user's rows
 *
 * Foreign keys say that a row exists, not whose it is.  A row that the current
 * role cannot see is refused with the same words as one that does not exist, so
 * that the error tells nobody which ids are taken.
 *
 * The queries name every object with its schema, operators included: they are
 * planned under the search_path of whoever writes the row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "compat.h"
#include "fxplatform.h"
#include "kept_plan.h"

#define GUARD_NAME			"guard_references"

/* The first argument of the trigger names the column of a strategy, the second of a backtest */
#define STRATEGY_ARG		0

static const char *const queries[] = {
	"SELECT FROM fx.strategies s"
	" WHERE s.id OPERATOR(pg_catalog.=) $1"
	" AND (s.user_id OPERATOR(pg_catalog.=) $2 OR s.is_public)",
	"SELECT FROM fx.backtests b"
	" WHERE b.id OPERATOR(pg_catalog.=) $1"
	" AND b.user_id OPERATOR(pg_catalog.=) $2"
};

PG_FUNCTION_INFO_V1(fx_guard_references);

static int	find_column(Relation rel, const char *name);
static bool may_refer(int which, Datum id, Datum owner);

/*
 * guard_references(strategy_column [, backtest_column]) returns trigger
 *
 * To be fired before insert or update for each row, on a table with a column
 * "user_id" and the columns named, all uuid.
 */
Datum
fx_guard_references(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Trigger    *trigger;
	Relation	rel;
	TupleDesc	tupdesc;
	HeapTuple	tuple;
	Datum		owner;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", GUARD_NAME));

	trigger = trigdata->tg_trigger;
	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired BEFORE INSERT OR UPDATE FOR EACH ROW",
					   GUARD_NAME));
	if (trigger->tgnargs < 1 || trigger->tgnargs > lengthof(queries))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("function \"%s\" takes the names of one or two columns", GUARD_NAME));

	rel = trigdata->tg_relation;
	tupdesc = RelationGetDescr(rel);
	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;

	/* without an owner the row has an error of its own */
	owner = heap_getattr(tuple, find_column(rel, "user_id"), tupdesc, &isnull);
	if (isnull)
		return PointerGetDatum(tuple);

	for (int i = 0; i < trigger->tgnargs; i++)
	{
		int			attnum = find_column(rel, trigger->tgargs[i]);
		Datum		id = heap_getattr(tuple, attnum, tupdesc, &isnull);

		if (isnull || may_refer(i, id, owner))
			continue;
		ereport(ERROR,
				errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				i == STRATEGY_ARG ?
				errmsg("%s \"%s\" is neither a strategy of the user nor public", trigger->tgargs[i],
					   DatumGetCString(DirectFunctionCall1(uuid_out, id))) :
				errmsg("%s \"%s\" is not a backtest of the user", trigger->tgargs[i],
					   DatumGetCString(DirectFunctionCall1(uuid_out, id))),
				errtablecol(rel, attnum));
	}

	return PointerGetDatum(tuple);
}

static int
find_column(Relation rel, const char *name)
{
	int			attnum = SPI_fnumber(RelationGetDescr(rel), name);

	if (attnum <= 0 || TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid != UUIDOID)
		fx_raise_no_column(rel, name, UUIDOID);
	return attnum;
}

/*
 * Is there such a row of this owner?  The plan is kept for the session; it is
 * made anew by itself when the tables or the row security that applies change.
 */
static bool
may_refer(int which, Datum id, Datum owner)
{
	static SPIPlanPtr plans[lengthof(queries)];
	Datum		args[] = {id, owner};
	bool		found;

	SPI_connect();
	if (plans[which] == NULL)
	{
		Oid			argtypes[] = {UUIDOID, UUIDOID};

		plans[which] = fx_kept_plan(queries[which], lengthof(argtypes), argtypes);
	}

	/* not read-only: it sees what the writing command waited for */
	if (SPI_execute_plan(plans[which], args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}
