/*-------------------------------------------------------------------------
 *
 * pnl.h
 *	  The type pnl: what a set of trades earned
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_PNL_H
#define FX_PNL_H

#include "fmgr.h"

#include "fixed.h"
#include "wide.h"

#define FX_PNL_VERSION		1

/*
 * A varlena, and the transition state of its aggregates as well.  All of it is
 * exact, so that any order of the trades and any split of them gives the same
 * bytes.  Money is at scale 8 and net: profit - commission + swap.
 */
typedef struct FxPnl
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	uint8		version;		/* FX_PNL_VERSION */
	uint8		unused[3];		/* zero */
	int64		trades;
	int64		wins;
	int64		losses;
	int128		gross_profit;	/* sum of wins */
	int128		gross_loss;		/* sum of losses, not above zero */
	int128		commission;
	int128		swap;
	int128		largest_win;	/* zero without wins */
	int128		largest_loss;	/* zero without losses */
	FxWide		squares;		/* sum of the squares of all nets */
} FxPnl;

#define DatumGetPnlP(X)		((FxPnl *) PG_DETOAST_DATUM(X))
#define PG_GETARG_PNL_P(n)	DatumGetPnlP(PG_GETARG_DATUM(n))

extern FxPnl *fx_pnl_make(void);
extern void fx_pnl_init(FxPnl *pnl);
extern bool fx_pnl_get_trade(FunctionCallInfo fcinfo, FxPnl *trade);
extern void fx_pnl_merge(FxPnl *into, const FxPnl *from);
extern void fx_pnl_unmerge(FxPnl *from, const FxPnl *part);
extern double fx_pnl_variance(const FxPnl *pnl);

#endif							/* FX_PNL_H */
