/*-------------------------------------------------------------------------
 *
 * fault.c
 *	  Faults made on purpose, one of each kind that the tools are to report
 *
 * Values pass through volatile variables, so that no compiler sees the fault
 * and removes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/syscache.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fault_assertion);
PG_FUNCTION_INFO_V1(fault_chunk);
PG_FUNCTION_INFO_V1(fault_freed);
PG_FUNCTION_INFO_V1(fault_malloc);
PG_FUNCTION_INFO_V1(fault_overflow);
PG_FUNCTION_INFO_V1(fault_reached);
PG_FUNCTION_INFO_V1(fault_stack);
PG_FUNCTION_INFO_V1(fault_stale);
PG_FUNCTION_INFO_V1(fault_uninitialised);
PG_FUNCTION_INFO_V1(fault_unwritten);

Datum
fault_assertion(PG_FUNCTION_ARGS)
{
	Assert(PG_GETARG_INT32(0) == 0);
	PG_RETURN_INT32(0);
}

/* Reads behind the end of what was allocated. */
Datum
fault_chunk(PG_FUNCTION_ARGS)
{
	volatile int32 *values = palloc(sizeof(int32) * 10);

	values[9] = 0;
	PG_RETURN_INT32(values[9 + PG_GETARG_INT32(0)] != 0);
}

Datum
fault_freed(PG_FUNCTION_ARGS)
{
	volatile int32 *value = palloc(sizeof(int32));

	*value = PG_GETARG_INT32(0);
	pfree((void *) value);
	PG_RETURN_INT32(*value != 0);
}

Datum
fault_malloc(PG_FUNCTION_ARGS)
{
	volatile char *bytes = calloc(1, 16);
	int32		result;

	if (bytes == NULL)
		PG_RETURN_NULL();
	result = bytes[15 + PG_GETARG_INT32(0)];
	free((void *) bytes);
	PG_RETURN_INT32(result);
}

Datum
fault_overflow(PG_FUNCTION_ARGS)
{
	volatile int32 most = PG_INT32_MAX;

	PG_RETURN_INT32(most + PG_GETARG_INT32(0));
}

/* For coverage: a line that is reached, and one that is not. */
Datum
fault_reached(PG_FUNCTION_ARGS)
{
	if (PG_GETARG_INT32(0) == 0)
		PG_RETURN_INT32(-1);
	PG_RETURN_INT32(1);
}

Datum
fault_stack(PG_FUNCTION_ARGS)
{
	volatile int32 values[10];
	volatile int32 beyond = 9 + PG_GETARG_INT32(0);

	for (int i = 0; i < 10; i++)
		values[i] = i;
	values[beyond] = 1;
	PG_RETURN_INT32(values[0]);
}

/*
 * Keeps a tuple of a catalog cache that it has released over a moment where
 * invalidations are accepted: 1 when it still says the same.
 */
Datum
fault_stale(PG_FUNCTION_ARGS)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(TypeRelationId));
	volatile FormData_pg_class *form;

	if (!HeapTupleIsValid(tuple))
		PG_RETURN_NULL();
	form = (FormData_pg_class *) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	AcceptInvalidationMessages();
	PG_RETURN_INT32(form->oid == TypeRelationId);
}

/* Decides by what was never written. */
Datum
fault_uninitialised(PG_FUNCTION_ARGS)
{
	volatile int32 *values = palloc(sizeof(int32) * 10);

	/* with a call in it, or a compiler computes both and jumps nowhere */
	if (values[5] == PG_GETARG_INT32(0))
		elog(DEBUG5, "equal");
	PG_RETURN_INT32(0);
}

/* Leaves it to the caller. */
Datum
fault_unwritten(PG_FUNCTION_ARGS)
{
	volatile int32 *values = palloc(sizeof(int32) * 10);

	PG_RETURN_INT32(values[5]);
}
