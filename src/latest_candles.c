/*-------------------------------------------------------------------------
 *
 * latest_candles.c
 *	  The newest stored candle of one series, and of all of a timeframe
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "candle_lookup.h"
#include "compat.h"
#include "fixed.h"
#include "fxplatform.h"
#include "kept_plan.h"

#define CANDLE_COLUMNS		8

PG_FUNCTION_INFO_V1(fx_latest_stored_candle);
PG_FUNCTION_INFO_V1(fx_latest_stored_candles);

static void put_candle(ReturnSetInfo *rsinfo, Datum symbol, Datum timeframe,
					   const FxCandle *candle);
static Datum write_price(int64 price, char *buffer);
static Datum *read_symbols(Datum timeframe, uint64 *count);
static int	compare_symbols(const void *a, const void *b);

/*
 * latest_stored_candle(symbol text, timeframe text)
 *		returns table (symbol text, timeframe text, "timestamp" timestamptz,
 *					   open_price numeric, high_price numeric,
 *					   low_price numeric, close_price numeric, volume bigint)
 */
Datum
fx_latest_stored_candle(PG_FUNCTION_ARGS)
{
	text	   *symbol = PG_GETARG_TEXT_PP(0);
	text	   *timeframe = PG_GETARG_TEXT_PP(1);
	FxTimeframe frame = fx_timeframe_get(timeframe);
	FxLookup   *lookup;
	FxCandle	candle;

	InitMaterializedSRF(fcinfo, 0);

	lookup = fx_lookup_begin();
	if (fx_lookup_next(lookup, VARDATA_ANY(symbol), VARSIZE_ANY_EXHDR(symbol), frame,
					   DT_NOEND, DT_NOBEGIN, &candle))
		put_candle((ReturnSetInfo *) fcinfo->resultinfo, PointerGetDatum(symbol),
				   PointerGetDatum(timeframe), &candle);
	fx_lookup_end(lookup);
	return (Datum) 0;
}

/*
 * latest_stored_candles(timeframe text)
 *		returns table (as above), ordered by symbol
 */
Datum
fx_latest_stored_candles(PG_FUNCTION_ARGS)
{
	Datum		timeframe = PointerGetDatum(PG_GETARG_TEXT_PP(0));
	FxTimeframe frame = fx_timeframe_get((struct varlena *) DatumGetPointer(timeframe));
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum	   *symbols;
	uint64		count;
	FxLookup   *lookup;

	InitMaterializedSRF(fcinfo, 0);

	SPI_connect();
	symbols = read_symbols(timeframe, &count);
	lookup = fx_lookup_begin();
	for (uint64 i = 0; i < count; i++)
	{
		FxCandle	candle;

		CHECK_FOR_INTERRUPTS();
		if (i > 0 && compare_symbols(&symbols[i - 1], &symbols[i]) == 0)
			continue;
		if (fx_lookup_next(lookup, VARDATA_ANY(DatumGetPointer(symbols[i])),
						   VARSIZE_ANY_EXHDR(DatumGetPointer(symbols[i])), frame,
						   DT_NOEND, DT_NOBEGIN, &candle))
			put_candle(rsinfo, symbols[i], timeframe, &candle);
	}
	fx_lookup_end(lookup);
	SPI_finish();
	return (Datum) 0;
}

static void
put_candle(ReturnSetInfo *rsinfo, Datum symbol, Datum timeframe, const FxCandle *candle)
{
	Datum		values[CANDLE_COLUMNS];
	bool		nulls[CANDLE_COLUMNS] = {0};
	char		prices[4][FX_FIXED_NUMERIC_SIZE] pg_attribute_aligned(MAXIMUM_ALIGNOF);

	values[0] = symbol;
	values[1] = timeframe;
	values[2] = TimestampTzGetDatum(candle->at);
	values[3] = write_price(candle->open, prices[0]);
	values[4] = write_price(candle->high, prices[1]);
	values[5] = write_price(candle->low, prices[2]);
	values[6] = write_price(candle->close, prices[3]);
	values[7] = Int64GetDatum(candle->volume);
	nulls[7] = candle->volume_isnull;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static Datum
write_price(int64 price, char *buffer)
{
	fx_fixed_write_numeric(price, false, buffer);
	return PointerGetDatum(buffer);
}

/*
 * Every symbol that may have a candle of the timeframe, sorted, some of them
 * twice.  Sorting bytes here is faster than a sort of the query.
 */
static Datum *
read_symbols(Datum timeframe, uint64 *count)
{
	static SPIPlanPtr plan = NULL;
	Datum	   *symbols;

	if (plan == NULL)
	{
		Oid			argtypes[1] = {TEXTOID};

		plan = fx_kept_plan("SELECT s.symbol FROM fx.candle_series s"
							" WHERE s.timeframe OPERATOR(pg_catalog.=) $1"
							" UNION ALL"
							" SELECT DISTINCT c.symbol FROM fx.candle_changes c"
							" WHERE c.timeframe OPERATOR(pg_catalog.=) $1",
							lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(plan, &timeframe, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");

	*count = SPI_processed;
	symbols = (Datum *) palloc(Max(*count, 1) * sizeof(Datum));
	for (uint64 i = 0; i < *count; i++)
	{
		bool		isnull;

		symbols[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
	}
	qsort(symbols, *count, sizeof(Datum), compare_symbols);
	return symbols;
}

/*
 * By bytes, as the collation "C" has it.
 */
static int
compare_symbols(const void *a, const void *b)
{
	struct varlena *left = (struct varlena *) DatumGetPointer(*(const Datum *) a);
	struct varlena *right = (struct varlena *) DatumGetPointer(*(const Datum *) b);
	int			left_len = VARSIZE_ANY_EXHDR(left);
	int			right_len = VARSIZE_ANY_EXHDR(right);
	int			order = memcmp(VARDATA_ANY(left), VARDATA_ANY(right), Min(left_len, right_len));

	return order != 0 ? order : left_len - right_len;
}
