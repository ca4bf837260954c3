/*-------------------------------------------------------------------------
 *
 * updated_at.c
 *	  The trigger that keeps updated_at
 *
 * The column takes the clock's time, not the transaction's, so that two
 * updates of one transaction can be told apart; an update that changes nothing
 * leaves it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fxplatform.h"

PG_FUNCTION_INFO_V1(fx_update_updated_at_column);

static bool row_changed(TupleDesc tupdesc, HeapTuple oldtup, HeapTuple newtup);

/*
 * update_updated_at_column() returns trigger
 *
 * To be fired before update for each row, on a table with a column
 * "updated_at" of type timestamp with time zone.
 */
Datum
fx_update_updated_at_column(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	rel;
	HeapTuple	newtup;
	int			attnum;
	Datum		now;
	bool		isnull = false;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager",
					   "update_updated_at_column"));

	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired BEFORE UPDATE FOR EACH ROW",
					   "update_updated_at_column"));

	rel = trigdata->tg_relation;
	newtup = trigdata->tg_newtuple;

	attnum = SPI_fnumber(RelationGetDescr(rel), "updated_at");
	if (attnum <= 0 ||
		TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid != TIMESTAMPTZOID)
		fx_raise_no_column(rel, "updated_at", TIMESTAMPTZOID);

	if (!row_changed(RelationGetDescr(rel), trigdata->tg_trigtuple, newtup))
		return PointerGetDatum(newtup);

	now = TimestampTzGetDatum(GetCurrentTimestamp());
	newtup = heap_modify_tuple_by_cols(newtup, RelationGetDescr(rel), 1, &attnum,
									   &now, &isnull);
	return PointerGetDatum(newtup);
}

/*
 * Does any column differ?  A column that the statement did not touch has the
 * bytes it had, a pointer to toasted data included, so that the values
 * themselves are read only where the bytes differ.
 */
static bool
row_changed(TupleDesc tupdesc, HeapTuple oldtup, HeapTuple newtup)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		Datum		oldval;
		Datum		newval;
		bool		oldnull;
		bool		newnull;

		if (att->attisdropped)
			continue;
		oldval = heap_getattr(oldtup, i + 1, tupdesc, &oldnull);
		newval = heap_getattr(newtup, i + 1, tupdesc, &newnull);
		if (oldnull != newnull)
			return true;
		if (!oldnull &&
			!datumIsEqual(oldval, newval, att->attbyval, att->attlen) &&
			!datum_image_eq(oldval, newval, att->attbyval, att->attlen))
			return true;
	}
	return false;
}
