/*-------------------------------------------------------------------------
 *
 * risk_internal.h
 *	  What the files of the limits share
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_RISK_INTERNAL_H
#define FX_RISK_INTERNAL_H

#include "access/attnum.h"
#include "access/transam.h"
#include "risk.h"

/* Percent of something: amount * FX_PER_CENT / basis is at scale 8 */
#define FX_PER_CENT			(100 * FX_FIXED_ONE)

/* What the trades of one symbol have open, of those that a limit counts */
typedef struct FxScopeSymbol
{
	char		symbol[FX_SYMBOL_SIZE];
	int128		quantity[FX_SIDES];
} FxScopeSymbol;

/*
 * What a limit counts that is not in the books: of a strategy, of a symbol, or
 * since the limit was cleared.
 */
typedef struct FxScope
{
	bool		has_positions;	/* what is counted: the symbols and open_trades, */
	bool		has_day;		/* day_trades, */
	bool		has_losses;		/* losses, */
	bool		has_excluded;	/* losses_excluded */
	int			nsymbols;
	int			symbols_size;
	FxScopeSymbol *symbols;
	int64		open_trades;
	int64		day_trades;
	int64		losses;
	int64		losses_excluded;	/* of the account's run of losses, before the clearing */
} FxScope;

/* One currency of the positions */
typedef struct FxLeg
{
	char		currency[FX_CURRENCY_MAX + 1];
	FxMeasure	sum;			/* account currency, short is negative */
} FxLeg;

/*
 * An account as it is measured, before an order, after it, or without one.
 * What several limits need is worked out once.
 */
typedef struct FxView
{
	FxAccount  *account;
	const FxOrder *order;		/* or NULL */
	struct FxView *before;		/* the view before the order, in the one after it */
	FxPosition *position;		/* of the order's symbol, or NULL */
	const FxQuote *quote;		/* of it; NULL without an order */
	const char *currency;		/* which of the order's two is measured, when that is settled */
	bool		has_equity;
	bool		has_gross;
	bool		has_legs;
	FxMeasure	equity;
	FxMeasure	gross;			/* sum of the notionals of all positions */
	FxLeg	   *legs;
	int			nlegs;
} FxView;

/*
 * The measure of a limit against its bound.  All of it is exact in whole
 * numbers: it is breached where amount * factor passes value * basis.
 */
typedef struct FxReading
{
	FxMeasure	measure;
	FxMeasure	bound;
	int128		amount;
	int128		factor;
	int128		value;
	int128		basis;
	bool		is_ratio;		/* the measure is amount / basis, not amount */
	bool		breached;
} FxReading;

/* Limits of a user that are remembered; the rows of more are looked for */
#define FX_RECENT_LIMITS	32

/* Where this transaction has left the active limits of a user */
typedef struct FxRecentLimits
{
	pg_uuid_t	user_id;
	FullTransactionId xid;
	uint64		rollbacks;
	Oid			limits_file;
	Oid			states_file;	/* invalid when no limit keeps a state */
	int			nlimits;
	ItemPointerData limits[FX_RECENT_LIMITS];
	ItemPointerData states[FX_RECENT_LIMITS];	/* invalid where there is none */
} FxRecentLimits;

/* risk_view.c */
extern void fx_view_begin(FxView *view, FxAccount *account, const FxOrder *order,
						  FxView *before, const FxQuote *quote);
extern void fx_view_end(FxView *view);
extern FxPosition *fx_view_find_position(const FxAccount *account, const char *symbol);
extern bool fx_view_is_executed(const FxView *view);
extern bool fx_view_covers(const FxLimit *limit, FxAccount *account, FxPosition *position);
extern const FxMeasure *fx_view_equity(FxView *view);
extern const FxMeasure *fx_view_gross(FxView *view);
extern void fx_view_exposure(const FxLimit *limit, FxView *view, FxMeasure *sum);
extern void fx_view_notional(FxView *view, FxPosition *position, int128 units,
							 FxMeasure *result);
extern void fx_view_order_notional(FxView *view, FxMeasure *result);
extern void fx_view_legs(FxView *view);
extern void fx_view_leg(FxView *view, const char *currency, FxMeasure *sum);
extern int128 fx_net_units(const FxPosition *position);
extern void fx_measure_miss(FxMeasure *measure, const char *format,...) pg_attribute_printf(2, 3);

/* risk_reading.c */
extern void fx_reading_set_amount(const FxLimit *limit, FxReading *reading,
								  const FxMeasure *amount, const FxMeasure *basis);
extern void fx_reading_set_ratio(const FxLimit *limit, FxReading *reading,
								 const FxMeasure *amount, const FxMeasure *basis);
extern void fx_reading_set_count(const FxLimit *limit, FxReading *reading, int64 count);
extern int	fx_reading_compare(const FxReading *reading);
extern bool fx_reading_increases(const FxReading *before, const FxReading *after);
extern void fx_reading_in_units_of_limit(const FxLimit *limit, const FxReading *reading,
										 FxMeasure *result);
extern void fx_reading_utilization(const FxReading *reading, FxMeasure *result);

/* risk_measure.c */
extern void fx_risk_read(const FxRisk *risk, const FxLimit *limit, FxView *view,
						 FxReading *reading);

/* risk_scope.c */
extern void fx_scope_load_all(FxRisk *risk, bool before_statement);
extern FxScopeSymbol *fx_scope_symbol(FxScope *scope, const char *symbol, bool make);

/* risk_rows.c */
struct RelationData;
struct TupleTableSlot;

typedef struct FxLimitColumn
{
	const char *name;
	Oid			type;
} FxLimitColumn;

extern struct RelationData *fx_limit_open(int lockmode);
extern void fx_limit_read_all(FxRisk *risk);
extern void fx_limit_write(struct RelationData *rel, struct TupleTableSlot *slot, FxLimit *limit);
extern void fx_limit_find_columns(struct RelationData *rel, const FxLimitColumn *wanted,
								  AttrNumber *attnums, int count);
extern bool fx_limit_can_use_index(struct RelationData *rel, Oid index, AttrNumber user_id);

/* risk_states.c */
struct SnapshotData;
extern struct RelationData *fx_state_open(int lockmode);
extern void fx_state_read_all(FxRisk *risk, struct RelationData *rel,
							  struct SnapshotData *snapshot);
extern bool fx_state_fetch(FxLimit *limit, struct RelationData *rel, ItemPointer tid,
						   struct SnapshotData *snapshot, struct TupleTableSlot *slot);
extern void fx_state_write_all(FxRisk *risk);
extern void fx_state_delete_orphans(const pg_uuid_t *user_id);
extern void fx_state_delete_all(void);

/* risk_recent.c */
extern const FxRecentLimits *fx_recent_limits_get(const pg_uuid_t *user_id);
extern void fx_recent_limits_put(const FxRisk *risk);
extern void fx_recent_limits_forget(const pg_uuid_t *user_id);

/* risk_limits.c */
extern FxRisk *fx_risk_load_all(FxAccount *account, bool inactive_too);
extern bool fx_risk_is_latched(const FxLimit *limit, TimestampTz now);
extern void fx_risk_write(FxRisk *risk);

/* risk_events.c */
extern void fx_risk_add_event(const FxAccount *account, const char *event, const FxLimit *limit,
							  const pg_uuid_t *trade_id, const FxMeasure *current,
							  const FxMeasure *projected, const FxMeasure *bound,
							  const char *reason);
extern Datum fx_risk_get_numeric(const FxMeasure *measure, bool *isnull);

/* risk_explain.c */
extern const char *fx_risk_state_name(FxTradingState state);
extern char *fx_risk_explain(const FxAccount *account, const FxLimit *limit, const FxOrder *order,
							 const FxReading *before, const FxReading *after);
extern const FxVerdict **fx_risk_sort(const FxDecision *decision, bool refused_first);
extern void fx_risk_put_verdicts(StringInfo buf, const FxDecision *decision, bool counting);
extern char *fx_risk_detail(const FxDecision *decision);

static inline void
fx_measure_set(FxMeasure *measure, int128 value)
{
	measure->known = true;
	measure->infinite = false;
	measure->value = value;
	measure->missing[0] = '\0';
}

/* Types whose breach holds on, and whose measure an order does not reserve */
static inline bool
fx_risk_latches(FxRiskType type)
{
	return type <= FX_TRAILING_DRAWDOWN_EOD || type == FX_MAX_CONSECUTIVE_LOSSES ||
		type == FX_MIN_EQUITY;
}

/* Types with a row in fx.risk_limit_state */
static inline bool
fx_risk_keeps_state(FxRiskType type)
{
	return fx_risk_latches(type) || type == FX_MAX_ORDER_RATE;
}

/* Types that measure nothing but an order */
static inline bool
fx_risk_is_per_order(FxRiskType type)
{
	return type == FX_MAX_ORDER_SIZE || type == FX_MAX_ORDER_VALUE || type == FX_PRICE_COLLAR;
}

#endif							/* FX_RISK_INTERNAL_H */
