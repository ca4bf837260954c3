/*-------------------------------------------------------------------------
 *
 * account.h
 *	  The books of a user in memory: rows of fx.accounts and fx.positions
 *
 * All of this runs with the rights of the tables' owner (fx_act_as_owner), and
 * in the memory context that is current when an account is loaded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_ACCOUNT_H
#define FX_ACCOUNT_H

#include "compat.h"
#include "fixed.h"
#include "fxplatform.h"
#include "pgtime.h"
#include "prices.h"
#include "storage/itemptr.h"
#include "utils/uuid.h"

typedef enum FxPositionMethod
{
	FX_NETTING,					/* cost leaves at the average */
	FX_FIFO,					/* at the price of the oldest trades */
	FX_HEDGING					/* trades are closed one by one, both sides may be open */
} FxPositionMethod;

/* In order of strictness */
typedef enum FxTradingState
{
	FX_ACTIVE,
	FX_REDUCE_ONLY,
	FX_HALTED
} FxTradingState;

typedef enum FxSide
{
	FX_LONG,					/* bought */
	FX_SHORT					/* sold */
} FxSide;

#define FX_SIDES			2
#define FX_OTHER_SIDE(side) ((side) == FX_LONG ? FX_SHORT : FX_LONG)

typedef enum FxPeriodKind
{
	FX_DAY,
	FX_WEEK,
	FX_MONTH
} FxPeriodKind;

#define FX_PERIODS			3

/* A trading day, week or month, and what the account was worth at its start */
typedef struct FxPeriod
{
	TimestampTz started_at;
	int128		balance;
	bool		equity_known;
	int128		equity;
	int128		deposits;		/* net, since the start */
} FxPeriod;

typedef struct FxPosition
{
	char		symbol[FX_SYMBOL_SIZE]; /* normal form (fx_normalize_symbol) */
	int128		quantity[FX_SIDES]; /* units of the base currency, >= 0 */
	int128		cost[FX_SIDES]; /* in the quote currency, of the trades with a price */
	int128		realized;		/* profit of the user's trades in it, account currency */
	int32		open_trades;
	int32		unpriced_trades;	/* open ones without a price */
	int64		last_price;		/* of the newest execution; 0 for none */
	TimestampTz last_price_at;

	/* not stored */
	ItemPointerData tid;		/* invalid when the row is to be inserted */
	bool		dirty;
	bool		valued;			/* the rest is set */
	FxQuote		quote;
	bool		has_mark;
	int64		mark;
	TimestampTz marked_at;		/* last_price_at when the mark was found */
	const char *currency;		/* of the account */
} FxPosition;

typedef struct FxAccount
{
	pg_uuid_t	user_id;
	char		currency[FX_CURRENCY_MAX + 1];
	int128		initial_balance;
	int128		balance;		/* initial + net deposits + net profit of executed trades */
	int128		net_deposits;
	FxPositionMethod method;
	FxTradingState state;
	char	   *state_reason;	/* or NULL */
	pg_tz	   *zone;
	int64		cutoff;			/* microseconds after midnight */
	int128		high_water_mark;	/* of equity, moved by deposits */
	int128		eod_high_water_mark;	/* of the balance at the ends of days, likewise */
	FxPeriod	periods[FX_PERIODS];
	TimestampTz day_ends_at;
	int32		open_trades;
	int32		day_trades;		/* executed since the day started */
	int32		consecutive_losses;
	TimestampTz losing_since;	/* close of the first of them; 0 for none */
	TimestampTz last_closed_at; /* 0 for none */

	/* not stored */
	TimestampTz now;			/* read after the lock was taken */
	ItemPointerData tid;
	bool		locked;
	bool		dirty;
	FxPosition **positions;
	int			npositions;
	int			positions_size;
	Oid			accounts_file;	/* of a locked account: where it was read from */
	Oid			positions_file;
} FxAccount;

/* An order, or the execution of one */
typedef struct FxOrder
{
	char		symbol[FX_SYMBOL_SIZE]; /* normal form */
	FxSide		side;
	int128		quantity;
	int128		price;			/* 0 when it has none */
	int128		costs;			/* commission - swap that it brings, account currency */
	TimestampTz at;				/* of the execution, or now */
	bool		closed;			/* recorded with its result, which is a fact by now */
	bool		has_strategy;
	pg_uuid_t	strategy_id;
	bool		has_id;			/* false for one that is only asked about */
	pg_uuid_t	id;				/* of the trade */
} FxOrder;

/* What an order did to a position */
typedef struct FxFill
{
	int128		closed;			/* quantity taken from the other side */
	int128		opened;			/* quantity added to its own */
	int128		removed;		/* cost taken out with what was closed */
	bool		has_realized;	/* false where the cost or the price is not known */
	int128		realized;		/* in the quote currency */
	bool		has_profit;
	int128		profit;			/* in the account's, rounded once */
	bool		has_rate;		/* false also where nothing was closed */
	FxRate		rate;
} FxFill;

/*
 * account.c
 *
 * A locked account is written by fx_account_flush() where it is dirty, and may
 * be changed and flushed again.  No other statement may write the same account
 * between the lock, or the last flush, and the next flush.
 */
extern FxAccount *fx_account_lock(const pg_uuid_t *user_id);
extern FxAccount *fx_account_read(const pg_uuid_t *user_id);
extern FxAccount *fx_account_copy(const FxAccount *account);
extern void fx_account_flush(FxAccount *account);
extern FxPosition *fx_account_position(FxAccount *account, const char *symbol);

/* account_open.c */
extern void fx_account_create(const pg_uuid_t *user_id);
extern void fx_account_set_currency(FxAccount *account, const char *currency);

/* account_events.c: changes of the balance, at the time they belong to */
extern void fx_account_add_net(FxAccount *account, int128 net, TimestampTz at);
extern void fx_account_add_deposit(FxAccount *account, int128 amount);
extern void fx_account_set_initial(FxAccount *account, int128 initial_balance);
extern void fx_account_count_execution(FxAccount *account, int count, TimestampTz executed_at);
extern void fx_account_observe(FxAccount *account);

/* trading_day.c */
extern void fx_period_bounds(const FxAccount *account, TimestampTz at, FxPeriodKind kind,
							 TimestampTz *start, TimestampTz *end);
extern void fx_account_roll(FxAccount *account);

/* valuation.c */
extern void fx_position_value(FxAccount *account, FxPosition *position);
extern bool fx_position_unrealized(const FxPosition *position, int128 *unrealized,
								   char *missing, Size missing_size);
extern bool fx_account_equity(FxAccount *account, int128 *equity,
							  char *missing, Size missing_size);
extern bool fx_account_equity_at(const FxAccount *account, TimestampTz as_of, int128 *equity);

/*
 * position.c: changes of a position only, never of the account's numbers
 *
 * fx_position_open() adds one trade: quantity, cost, open_trades, unpriced_trades
 * (price 0) and the last price.  fx_position_close() takes out quantity and cost;
 * which trades that ends is known to the caller, who lowers the counts.
 * fx_position_fill() does what an order does: the closing, as before without the
 * counts, and the opening.  It changes nothing for an order that is recorded
 * closed.
 */
extern int128 fx_cost_of(int128 quantity, int128 price);
extern int128 fx_position_average_cost(const FxPosition *position, FxSide side, int128 quantity);
extern void fx_position_open(FxPosition *position, FxSide side, int128 quantity, int128 price,
							 TimestampTz at);
extern void fx_position_close(FxPosition *position, FxSide side, int128 quantity, int128 cost);
extern void fx_position_note_price(FxPosition *position, int128 price, TimestampTz at);
extern void fx_position_fill(FxAccount *account, const FxOrder *order, const int128 *fifo_cost,
							 FxFill *fill);

/*
 * row_update.c: writes that fire no trigger and need nobody's right.  They
 * become visible by a CommandCounterIncrement(), which is the caller's.  The
 * slot is of the table's kind and has the row as it was locked; then the new one.
 */
struct RelationData;
struct TupleTableSlot;
extern bool fx_row_lock(struct RelationData *rel, ItemPointer tid, struct TupleTableSlot *slot,
						bool wait);
extern void fx_row_fetch(struct RelationData *rel, ItemPointer tid, struct TupleTableSlot *slot);
extern void fx_row_update(struct RelationData *rel, struct TupleTableSlot *slot,
						  const Datum *values, const bool *nulls, const bool *replace);
pg_noreturn extern void fx_raise_suppressed(const char *table, const char *what);

#endif							/* FX_ACCOUNT_H */
