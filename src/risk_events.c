/*-------------------------------------------------------------------------
 *
 * risk_events.c
 *	  The record of what limits did
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "compat.h"
#include "kept_plan.h"
#include "risk_internal.h"

#define EVENT_COLUMNS		9

static void put_measure(const FxMeasure *measure, Datum *arg, char *null);

/*
 * Insert a row into fx.risk_events.  The trade, measures and the reason may be
 * NULL.
 */
void
fx_risk_add_event(const FxAccount *account, const char *event, const FxLimit *limit,
				  const pg_uuid_t *trade_id, const FxMeasure *current,
				  const FxMeasure *projected, const FxMeasure *bound, const char *reason)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[EVENT_COLUMNS];
	char		nulls[EVENT_COLUMNS];

	SPI_connect();
	if (plan == NULL)
	{
		Oid			types[EVENT_COLUMNS] = {
			UUIDOID, TEXTOID, UUIDOID, TEXTOID, NUMERICOID, NUMERICOID, NUMERICOID, TEXTOID,
			UUIDOID
		};

		plan = fx_kept_plan("INSERT INTO fx.risk_events (user_id, event, limit_id, type,"
							" current_value, projected_value, bound, reason, trade_id)"
							" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
							EVENT_COLUMNS, types);
	}

	memset(nulls, ' ', sizeof(nulls));
	args[0] = UUIDPGetDatum(&account->user_id);
	args[1] = CStringGetTextDatum(event);
	args[2] = UUIDPGetDatum(&limit->id);
	args[3] = CStringGetTextDatum(fx_risk_type_names[limit->type]);
	put_measure(current, &args[4], &nulls[4]);
	put_measure(projected, &args[5], &nulls[5]);
	put_measure(bound, &args[6], &nulls[6]);
	args[7] = reason != NULL ? CStringGetTextDatum(reason) : (Datum) 0;
	nulls[7] = reason != NULL ? ' ' : 'n';
	args[8] = trade_id != NULL ? UUIDPGetDatum(trade_id) : (Datum) 0;
	nulls[8] = trade_id != NULL ? ' ' : 'n';

	if (SPI_execute_plan(plan, args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not record an event of a risk limit");
	SPI_finish();
}

static void
put_measure(const FxMeasure *measure, Datum *arg, char *null)
{
	bool		isnull = true;

	*arg = measure != NULL ? fx_risk_get_numeric(measure, &isnull) : (Datum) 0;
	*null = isnull ? 'n' : ' ';
}

/*
 * A measure as a numeric, which knows infinity; NULL when it is not known.
 */
Datum
fx_risk_get_numeric(const FxMeasure *measure, bool *isnull)
{
	*isnull = !measure->known;
	if (!measure->known)
		return (Datum) 0;
	if (measure->infinite)
		return DirectFunctionCall3(numeric_in, CStringGetDatum("Infinity"),
								   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return fx_fixed_get_numeric(measure->value);
}
