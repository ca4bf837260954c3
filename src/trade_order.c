/*-------------------------------------------------------------------------
 *
 * trade_order.c
 *	  The trades of a backtest in the order of their equity curve
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "trade_reader.h"

#define TRADE_ORDER_COLS	4

PG_FUNCTION_INFO_V1(fx_trade_order);

/*
 * trade_order(trades jsonb)
 *		returns table (seq integer, item integer, opened_at timestamptz,
 *					   closed_at timestamptz)
 */
Datum
fx_trade_order(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FxTrades	trades;

	fx_trades_read(PG_GETARG_JSONB_P(0), &trades);
	InitMaterializedSRF(fcinfo, 0);

	for (uint32 i = 0; i < trades.count; i++)
	{
		const FxTrade *trade = &trades.items[i];
		Datum		values[TRADE_ORDER_COLS];
		bool		nulls[TRADE_ORDER_COLS] = {0};

		CHECK_FOR_INTERRUPTS();

		values[0] = Int32GetDatum((int32) i + 1);
		values[1] = Int32GetDatum((int32) trade->position + 1);
		values[2] = TimestampTzGetDatum(trade->opened_at);
		values[3] = TimestampTzGetDatum(trade->closed_at);
		nulls[2] = nulls[3] = !trades.timed;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}

	return (Datum) 0;
}
