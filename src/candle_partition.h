/*-------------------------------------------------------------------------
 *
 * candle_partition.h
 *	  One partition of fx.market_data, for candle_lookup.c
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_CANDLE_PARTITION_H
#define FX_CANDLE_PARTITION_H

#include "access/attnum.h"
#include "access/genam.h"
#include "access/nbtree.h"
#include "executor/tuptable.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "candle_lookup.h"

/* The columns of the index come first */
typedef enum FxCandleColumn
{
	FX_CANDLE_SYMBOL,
	FX_CANDLE_TIMEFRAME,
	FX_CANDLE_TIMESTAMP,
	FX_CANDLE_OPEN,
	FX_CANDLE_HIGH,
	FX_CANDLE_LOW,
	FX_CANDLE_CLOSE,
	FX_CANDLE_VOLUME
} FxCandleColumn;

#define FX_CANDLE_COLUMNS	8
#define FX_CANDLE_KEYS		3

/* What is asked for, with its names as values of type text */
typedef struct FxCandleRequest
{
	Datum		symbol;
	Datum		timeframe;		/* unused where any will do */
	TimestampTz at;
	TimestampTz oldest;
} FxCandleRequest;

/* A partition within a lookup; zeroes at first */
typedef struct FxCandlePartition
{
	bool		opened;
	bool		empty;
	bool		by_query;		/* has no index to walk */
	AttrNumber	attnums[FX_CANDLE_COLUMNS];
	Relation	heap;
	Relation	index;
	BTScanInsert key;
	struct IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	IndexScanDesc scan;			/* NULL until it is needed */
} FxCandlePartition;

extern void fx_partition_open(FxCandlePartition *partition, Oid relid);
extern void fx_partition_close(FxCandlePartition *partition);
extern bool fx_partition_ask(FxCandlePartition *partition, Snapshot snapshot,
							 const FxCandleRequest *request, bool symbol_only,
							 FxCandle *candle);
extern void fx_read_candle(TupleTableSlot *slot, const AttrNumber *attnums, FxCandle *candle);

#endif							/* FX_CANDLE_PARTITION_H */
