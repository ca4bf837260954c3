/*-------------------------------------------------------------------------
 *
 * equity_agg.h
 *	  The type equity: the trades of a curve, gathered from rows
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_EQUITY_AGG_H
#define FX_EQUITY_AGG_H

#include "fmgr.h"
#include "utils/date.h"
#include "utils/expandeddatum.h"
#include "utils/memutils.h"

#include "trade_reader.h"

#define FX_EQUITY_VERSION	1

/* 24 bytes a trade: an amount of 64 bits holds 92 billion at scale 8 */
typedef struct FxEquityTrade
{
	TimestampTz closed_at;
	int64		net;			/* at scale 8 */
	TimestampTz opened_at;		/* closed_at where it is not known */
} FxEquityTrade;

/*
 * As stored.  The trades are ordered by all of their fields, so that the same
 * trades give the same bytes in whatever order they came.
 */
typedef struct FxEquity
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	uint8		version;		/* FX_EQUITY_VERSION */
	uint8		held;			/* are both times of all trades known? */
	uint8		unused[2];		/* zero */
	int128		commission;		/* total, at scale 8 */
	int128		swap;			/* total, at scale 8 */
	FxEquityTrade trades[FLEXIBLE_ARRAY_MEMBER];
} FxEquity;

#define FX_EQUITY_HEADER	offsetof(FxEquity, trades)
#define FX_EQUITY_MAX_TRADES \
	((MaxAllocSize - FX_EQUITY_HEADER) / sizeof(FxEquityTrade))

/*
 * In memory, while it grows: the transition state of the aggregates.
 */
typedef struct FxEquityBuilder
{
	ExpandedObjectHeader hdr;
	bool		held;
	bool		sorted;			/* are the trades in their order? */
	int128		commission;
	int128		swap;
	Size		count;
	Size		capacity;
	FxEquityTrade *trades;
} FxEquityBuilder;

/* Times that JSON and the calendar of FX days can carry: years 1 to 9999 */
#define FX_EQUITY_MIN_TIME \
	((int64) (date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define FX_EQUITY_END_TIME \
	((int64) (date2j(10000, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

extern FxEquityBuilder *fx_equity_make(MemoryContext parent);
extern void fx_equity_reserve(FxEquityBuilder *builder, Size more);
extern void fx_equity_add(FxEquityBuilder *builder, const FxEquityTrade *trade);
extern FxEquityBuilder *fx_equity_open(Datum datum);
extern void fx_equity_sort(FxEquityBuilder *builder);
extern void fx_equity_read(Datum datum, FxTrades *trades);

#endif							/* FX_EQUITY_AGG_H */
