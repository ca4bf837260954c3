/*-------------------------------------------------------------------------
 *
 * risk.h
 *	  Limits of a user, what they measure, and what they allow
 *
 * An order is judged by what it does to each limit: the measure before and
 * after.  A statement that writes trades loads the limits once, judges its rows
 * in order and finishes once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_RISK_H
#define FX_RISK_H

#include "account.h"

/* In the order of the names in risk_rows.c */
typedef enum FxRiskType
{
	FX_DAILY_LOSS,
	FX_WEEKLY_LOSS,
	FX_MONTHLY_LOSS,
	FX_MAX_DRAWDOWN,
	FX_TRAILING_DRAWDOWN,
	FX_TRAILING_DRAWDOWN_EOD,
	FX_MAX_POSITION,
	FX_MAX_ORDER_SIZE,
	FX_MAX_ORDER_VALUE,
	FX_MAX_EXPOSURE,
	FX_MAX_SYMBOL_EXPOSURE,
	FX_MAX_CURRENCY_EXPOSURE,
	FX_MAX_LEVERAGE,
	FX_CONCENTRATION,
	FX_MAX_OPEN_TRADES,
	FX_MAX_DAILY_TRADES,
	FX_MAX_ORDER_RATE,
	FX_MAX_CONSECUTIVE_LOSSES,
	FX_PRICE_COLLAR,
	FX_MIN_EQUITY,
	FX_KILL_SWITCH
} FxRiskType;

#define FX_RISK_TYPES		21

typedef enum FxRiskAction
{
	FX_ACTION_WARN,
	FX_ACTION_BLOCK,
	FX_ACTION_REDUCE_ONLY,
	FX_ACTION_HALT
} FxRiskAction;

typedef enum FxAnchor
{
	FX_ANCHOR_BALANCE,
	FX_ANCHOR_EQUITY,
	FX_ANCHOR_MAX
} FxAnchor;

typedef enum FxBasis
{
	FX_BASIS_INITIAL,
	FX_BASIS_ANCHOR,
	FX_BASIS_EQUITY,
	FX_BASIS_GROSS
} FxBasis;

/* A number that may not be known, and then names what is missing */
typedef struct FxMeasure
{
	bool		known;
	bool		infinite;		/* e.g. leverage without equity */
	int128		value;
	char		missing[96];
} FxMeasure;

/* A row of fx.risk_limits, and what is kept of it in fx.risk_limit_state */
typedef struct FxLimit
{
	ItemPointerData tid;
	ItemPointerData state_tid;	/* invalid when there is no row */
	pg_uuid_t	id;
	char	   *name;
	bool		active;
	FxRiskType	type;
	bool		percentage;
	int128		value;
	bool		has_current;
	int128		current;		/* as stored */
	char		symbol[FX_SYMBOL_SIZE]; /* normal form; empty for all */
	char		currency[FX_CURRENCY_MAX + 1];	/* empty for all */
	bool		has_strategy;
	pg_uuid_t	strategy_id;
	FxRiskAction action;
	int128		warning_level;
	FxAnchor	anchor;
	FxBasis		basis;
	bool		reach;			/* breached when the bound is reached, not only exceeded */
	bool		has_lock_at;
	int128		lock_at;
	int			window_seconds;
	int			cooldown_seconds;	/* 0 for none */
	TimestampTz breached_at;	/* 0 when not latched */
	TimestampTz breached_until; /* DT_NOEND until it is cleared */
	int128		breach_value;
	TimestampTz cleared_at;		/* 0 for never */
	int			norder_times;
	TimestampTz *order_times;	/* ascending */
	bool		dirty;			/* the state has changed */

	/* not stored */
	struct FxScope *scope;		/* what is counted from the trades, or NULL */
	char	   *warning;		/* what an order that was allowed would have been refused for */
	FxMeasure	warning_before;
	FxMeasure	warning_after;
	FxMeasure	warning_bound;
	bool		has_warning_trade;
	pg_uuid_t	warning_trade;
} FxLimit;

/* The limits of an account that a statement works with */
typedef struct FxRisk
{
	FxAccount  *account;
	FxLimit    *limits;
	int			nlimits;
	bool		inactive_too;
	Oid			limits_file;	/* what the rows were read from */
	Oid			states_file;	/* invalid when no limit keeps a state */

	/*
	 * Set by the caller while the orders that come were placed earlier and are
	 * executed now: they were counted as orders then.
	 */
	bool		placed_before;

	MemoryContext context;		/* of all this */
	struct FxDecision *decision;	/* the one that fx_risk_decide() returns, used again */
} FxRisk;

/* What an order does to a limit */
typedef struct FxVerdict
{
	const FxLimit *limit;
	FxMeasure	before;
	FxMeasure	after;
	FxMeasure	bound;			/* in the units of the measure */
	bool		breached;		/* after the order, or latched */
	bool		refused;		/* by this limit */
	char	   *reason;			/* for people; NULL when it is not refused */
	FxMeasure	utilization;	/* percent of the bound after the order */
	struct FxReading *readings; /* before and after, with all that was compared */
	char	   *warning;		/* why it would be refused, were the action not to warn */
} FxVerdict;

typedef struct FxDecision
{
	FxTradingState state;		/* of the account and of limits whose action is a state */
	const char *state_reason;
	bool		refused;
	bool		halted;			/* by the state: XF002 */
	bool		executed;		/* the order changes the position */
	bool		tried;			/* on a copy of the account: it is not executed yet */
	const FxLimit *state_limit; /* which demands the state; NULL when the account is in it */
	int			nverdicts;
	FxVerdict  *verdicts;
} FxDecision;

/* risk_rows.c */
extern const char *const fx_risk_type_names[FX_RISK_TYPES];

/* risk_limits.c */
extern FxRisk *fx_risk_load(FxAccount *account);
extern void fx_risk_finish(FxRisk *risk);

/*
 * Does fx_risk_finish() count rows of fx.trades?  What the statement changes in
 * them is written before it then.
 */
extern bool fx_risk_reads_trades(const FxRisk *risk);

/* risk_decide.c */
extern FxDecision *fx_risk_decide(FxRisk *risk, FxAccount *before, FxAccount *after,
								  const FxOrder *order);
extern void fx_risk_accept(FxRisk *risk, const FxDecision *decision, const FxOrder *order);
pg_noreturn extern void fx_risk_refuse(const FxRisk *risk, const FxDecision *decision,
									   const FxOrder *order);

/*
 * The state that the account and the limits of a trade are in now: for its
 * closing, which only FX_HALTED forbids, and what fx_risk_refuse_closing()
 * raises for it.  Of the trade its symbol and its strategy matter.
 */
extern FxTradingState fx_risk_state(FxRisk *risk, const FxOrder *trade);
pg_noreturn extern void fx_risk_refuse_closing(FxRisk *risk, const FxOrder *trade);

#endif							/* FX_RISK_H */
