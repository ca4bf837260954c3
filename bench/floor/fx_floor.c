/*-------------------------------------------------------------------------
 *
 * fx_floor.c
 *	  What reading a backtest's trades costs at least
 *
 * fx_floor_walk() goes once over a JSONB array of objects and touches, in each,
 * the value of the key "profit" and that of "closed_at", without decoding,
 * sorting or writing anything.  bench/ divides by its time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fx_floor_walk);

static uint64 walk_object(const JsonbContainer *object);

/*
 * fx_floor_walk(trades jsonb) returns bigint
 */
Datum
fx_floor_walk(PG_FUNCTION_ARGS)
{
	Jsonb	   *trades = PG_GETARG_JSONB_P(0);
	const JsonbContainer *array = &trades->root;
	uint32		count = JsonContainerSize(array);
	const char *base = (const char *) &array->children[count];
	uint32		offset = 0;
	uint64		touched = 0;

	for (uint32 i = 0; i < count; i++)
	{
		JEntry		entry = array->children[i];

		if (JBE_ISCONTAINER(entry))
			touched += walk_object((const JsonbContainer *) (base + INTALIGN(offset)));
		JBE_ADVANCE_OFFSET(offset, entry);
	}
	PG_RETURN_INT64((int64) touched);
}

static uint64
walk_object(const JsonbContainer *object)
{
	uint32		pairs = JsonContainerSize(object);
	const char *base = (const char *) &object->children[2 * pairs];
	uint32		offset = 0;
	uint64		wanted = 0;
	uint64		touched = 0;

	for (uint32 i = 0; i < pairs; i++)
	{
		JEntry		entry = object->children[i];
		uint32		start = offset;

		JBE_ADVANCE_OFFSET(offset, entry);
		if ((offset - start == 6 && memcmp(base + start, "profit", 6) == 0) ||
			(offset - start == 9 && memcmp(base + start, "closed_at", 9) == 0))
			wanted |= UINT64CONST(1) << (i & 63);
	}
	for (uint32 i = 0; i < pairs; i++)
	{
		JEntry		entry = object->children[pairs + i];

		if (wanted & (UINT64CONST(1) << (i & 63)))
			touched += (unsigned char) base[INTALIGN(offset)];
		JBE_ADVANCE_OFFSET(offset, entry);
	}
	return touched;
}
