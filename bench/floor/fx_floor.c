/*-------------------------------------------------------------------------
 *
 * fx_floor.c
 *	  What reading a backtest's trades costs at least
 *
 * fx_floor_walk() goes once over a JSONB array of objects and touches, in each,
 * the value of the key "profit" and that of "closed_at", without decoding,
 * sorting or writing anything.  fx_floor_read() takes both values as well: the
 * digits of the number, and the digits of the time.  It checks nothing.  bench/
 * divides by their times.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fx_floor_walk);
PG_FUNCTION_INFO_V1(fx_floor_read);

static uint64 walk(Jsonb *trades, bool read);
static uint64 walk_object(const JsonbContainer *object, bool read);
static uint64 read_number(const char *numeric);
static uint64 read_digits(const char *text, uint32 len);

/*
 * fx_floor_walk(trades jsonb) returns bigint
 */
Datum
fx_floor_walk(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) walk(PG_GETARG_JSONB_P(0), false));
}

/*
 * fx_floor_read(trades jsonb) returns bigint
 */
Datum
fx_floor_read(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) walk(PG_GETARG_JSONB_P(0), true));
}

static uint64
walk(Jsonb *trades, bool read)
{
	const JsonbContainer *array = &trades->root;
	uint32		count = JsonContainerSize(array);
	const char *base = (const char *) &array->children[count];
	uint32		offset = 0;
	uint64		touched = 0;

	for (uint32 i = 0; i < count; i++)
	{
		JEntry		entry = array->children[i];

		if (JBE_ISCONTAINER(entry))
			touched += walk_object((const JsonbContainer *) (base + INTALIGN(offset)), read);
		JBE_ADVANCE_OFFSET(offset, entry);
	}
	return touched;
}

static uint64
walk_object(const JsonbContainer *object, bool read)
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

		uint32		start = offset;

		JBE_ADVANCE_OFFSET(offset, entry);
		if (!(wanted & (UINT64CONST(1) << (i & 63))))
			continue;
		if (!read)
			touched += (unsigned char) base[INTALIGN(start)];
		else if (JBE_ISNUMERIC(entry))
			touched += read_number(base + INTALIGN(start));
		else
			touched += read_digits(base + start, offset - start);
	}
	return touched;
}

/*
 * The digits of base 10000, as an integer.
 */
static uint64
read_number(const char *numeric)
{
	uint32		len = VARSIZE_ANY_EXHDR(numeric);
	const char *data = VARDATA_ANY(numeric);
	uint64		value = 0;

	for (uint32 i = sizeof(uint16); i + sizeof(int16) <= len; i += sizeof(int16))
	{
		int16		digit;

		memcpy(&digit, data + i, sizeof(digit));
		value = value * 10000 + digit;
	}
	return value;
}

/*
 * YYYY-MM-DDTHH:MM:SS, as the number that its digits write.
 */
static uint64
read_digits(const char *text, uint32 len)
{
	uint64		value = 0;

	for (uint32 i = 0; i < len && i < 19; i++)
	{
		if (text[i] >= '0' && text[i] <= '9')
			value = value * 10 + (text[i] - '0');
	}
	return value;
}
