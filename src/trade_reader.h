/*-------------------------------------------------------------------------
 *
 * trade_reader.h
 *	  The trades of a backtest, read from JSONB
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_TRADE_READER_H
#define FX_TRADE_READER_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "fixed.h"

typedef struct FxTrade
{
	int128		net;			/* profit - commission + swap, at scale 8 */
	TimestampTz opened_at;		/* executed_at, or closed_at without it */
	TimestampTz closed_at;		/* closed_at, or executed_at without it */
	uint32		position;		/* in the array, from 0 */
} FxTrade;

typedef struct FxTrades
{
	FxTrade    *items;			/* by closing time, then position */
	uint32		count;
	bool		timed;			/* do all trades have a time?  Else none has */
	bool		held;			/* do all trades have both times? */
	int128		commission;		/* total, at scale 8 */
	int128		swap;			/* total, at scale 8 */
} FxTrades;

/* Reads a datum of one type or another */
typedef void (*FxTradesSource) (Datum datum, FxTrades *trades);

extern void fx_trades_read(Jsonb *json, FxTrades *trades);
extern void fx_trades_read_jsonb(Datum datum, FxTrades *trades);
extern void fx_trades_read_text(Datum datum, FxTrades *trades);
extern int128 fx_initial_balance(Datum numeric);

#endif							/* FX_TRADE_READER_H */
