/*-------------------------------------------------------------------------
 *
 * trades.h
 *	  What a statement that writes trades does to them and to the books
 *
 * The books of each user are locked and loaded once a statement, the rows are
 * applied in their order, and everything is written at its end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_TRADES_H
#define FX_TRADES_H

#include "executor/tuptable.h"
#include "lib/pairingheap.h"
#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "risk.h"

typedef enum FxTradeStatus
{
	FX_TRADE_PENDING,
	FX_TRADE_EXECUTED,
	FX_TRADE_ENDED				/* cancelled or rejected */
} FxTradeStatus;

/* Columns of fx.trades that matter here */
typedef enum FxTradeColumn
{
	FX_TRADE_ID,
	FX_TRADE_USER_ID,
	FX_TRADE_STRATEGY_ID,
	FX_TRADE_SYMBOL,
	FX_TRADE_TYPE,
	FX_TRADE_QUANTITY,
	FX_TRADE_PRICE,
	FX_TRADE_COMMISSION,
	FX_TRADE_SWAP,
	FX_TRADE_PROFIT,
	FX_TRADE_STATUS,
	FX_TRADE_EXECUTED_AT,
	FX_TRADE_CLOSED_AT,
	FX_TRADE_IS_BACKTEST,
	FX_TRADE_CLOSE_PRICE,
	FX_TRADE_OPEN_QUANTITY,
	FX_TRADE_PROFIT_SOURCE,
	FX_TRADE_POSITION_METHOD,
	FX_TRADE_CONVERSION_RATE,
	FX_TRADE_CONVERSION_PAIR,
	FX_TRADE_CONVERSION_AT
} FxTradeColumn;

#define FX_TRADE_COLUMNS	21

typedef struct FxTradeColumns
{
	AttrNumber	attnum[FX_TRADE_COLUMNS];
	AttrNumber	last;			/* the largest */
} FxTradeColumns;

/* A row of fx.trades; numbers that are NULL are 0, times likewise */
typedef struct FxTrade
{
	pg_uuid_t	id;
	pg_uuid_t	user_id;
	bool		has_strategy;
	pg_uuid_t	strategy_id;
	FxTradeStatus status;
	bool		is_backtest;
	char		symbol[FX_SYMBOL_SIZE]; /* normal form */
	FxSide		side;
	int128		quantity;
	int128		open;			/* units; 0 when it is closed */
	bool		was_opened_up;	/* the engine closed part of it, or all */
	bool		has_method;		/* and noted what by closing it, or by it, was made */
	bool		is_consumed;	/* closed by opposite trades, which have the result */
	bool		has_price;
	int128		price;
	int128		close_price;
	int128		profit;
	int128		commission;
	int128		swap;
	TimestampTz executed_at;
	bool		is_closed;
	TimestampTz closed_at;
} FxTrade;

/* A rate as it is noted with what it was used for */
typedef struct FxConversion
{
	Datum		rate;			/* numeric; 0 for none */
	char	   *pair;			/* NULL between the same currencies, or without a rate */
	TimestampTz at;				/* 0 likewise */
} FxConversion;

/* What a fill that closes, or fx.close_trade(), notes on its row */
typedef struct FxTradeResult
{
	FxPositionMethod method;
	bool		computed;		/* the rest is set */
	int128		profit;
	FxConversion conversion;
} FxTradeResult;

/* A trade that the statement took units of, or may */
typedef struct FxTicket
{
	pg_uuid_t	id;				/* hash key, must be first */
	pg_uuid_t	user_id;
	FxSide		side;
	TimestampTz executed_at;
	int128		open;			/* units, by now */
	int128		price;			/* 0 for none */
	int128		net;			/* of the row */
	bool		has_result;		/* or is to have one, by itself */
	ItemPointerData tid;
	bool		locked;
	bool		queued;			/* in the heap of its queue */
	bool		changed;		/* to be written, with the rest */
	bool		is_closed;		/* by the statement */
	TimestampTz closed_at;
	int128		close_price;	/* 0 for none */
	FxTradeResult *result;		/* or NULL */
	pairingheap_node node;
} FxTicket;

/* A row of fx.closures */
typedef struct FxClosure
{
	pg_uuid_t	user_id;
	pg_uuid_t	trade_id;
	bool		by_trade;
	pg_uuid_t	closing_trade_id;
	char	   *symbol;
	FxSide		side;			/* of the trade closed */
	int128		quantity;
	int128		cost;
	int128		close_price;	/* 0 for none */
	bool		has_realized;
	int128		realized;
	bool		has_profit;
	int128		profit;
	bool		computed;
	FxPositionMethod method;
	FxConversion conversion;
	TimestampTz closed_at;
} FxClosure;

typedef struct FxTradeQueue FxTradeQueue;
typedef struct FxTradeWork FxTradeWork;

/* A user of the statement */
typedef struct FxBooks
{
	pg_uuid_t	user_id;
	FxAccount  *account;
	FxRisk	   *risk;
	FxTradeQueue *queues;		/* of open trades, those used so far */
	bool		streak_known;	/* newest closing of the statement */
	TimestampTz newest_at;
	pg_uuid_t	newest_id;
	bool		streak_stale;	/* to be counted again from the trades */
	bool		rebuild;		/* all of it */
} FxBooks;

/* A statement */
struct FxTradeWork
{
	Relation	trades;
	FxTradeColumns columns;
	MemoryContext context;		/* until its end */
	MemoryContext row_context;	/* until the end of the row */
	bool		is_update;
	Snapshot	snapshot;		/* NULL until rows are looked up */
	TupleTableSlot *slot;		/* for rows of the table, likewise */
	HTAB	   *tickets;		/* FxTicket by id, NULL until there are any */
	List	   *changed;		/* those to be written, in order */
	int			nclosures;
	int			closures_size;
	FxClosure  *closures;

	/* Is a row of the table not in the books yet?  NULL: all of them are. */
	bool		(*is_ahead) (FxTradeWork *work, const FxTrade *trade, TupleTableSlot *slot);
};

/* trade_row.c */
extern const FxTradeColumns *fx_trade_columns(Relation rel);
extern const char *fx_trade_column_name(FxTradeColumn column);
extern void fx_trade_read(TupleTableSlot *slot, const FxTradeColumns *columns, FxTrade *trade);
extern FxTradeStatus fx_trade_status(Datum status, bool isnull);
extern int128 fx_trade_net(const FxTrade *trade);
extern char *fx_uuid_text(const pg_uuid_t *id);

static inline bool
fx_trade_is_live(const FxTrade *trade)
{
	return trade->status == FX_TRADE_EXECUTED && !trade->is_backtest;
}

/* trade_queue.c */
extern Snapshot fx_trade_snapshot(FxTradeWork *work);
extern bool fx_trade_fetch(FxTradeWork *work, const pg_uuid_t *id, FxTrade *trade);
extern FxTicket *fx_trade_ticket(FxTradeWork *work, const FxTrade *trade);
extern FxTicket *fx_queue_oldest(FxTradeWork *work, FxBooks *books, const char *symbol,
								 FxSide side);
extern const FxTicket *fx_queue_peek(FxTradeWork *work, FxBooks *books, const char *symbol,
									 FxSide side);
extern void fx_queue_opened(FxTradeWork *work, FxBooks *books, const FxTrade *trade, int128 open);
extern void fx_queue_end_all(FxBooks *books);

/* trade_streak.c */
extern void fx_streak_add(FxBooks *books, TimestampTz closed_at, const pg_uuid_t *id,
						  bool has_result, int128 net);
extern void fx_streak_count(FxTradeWork *work, FxBooks *books);

/* trade_fill.c */
extern void fx_trade_fill(FxTradeWork *work, FxBooks *books, const FxTrade *trade,
						  const FxOrder *order, int128 *profit);
extern int128 fx_single_cost(const FxAccount *account, const FxPosition *position, FxSide side,
							 int128 quantity, int128 open, int128 price);
extern void fx_leave_position(FxAccount *account, FxPosition *position, bool priced);
pg_noreturn extern void fx_raise_rate_unknown(const FxAccount *account, const char *symbol);
pg_noreturn extern void fx_raise_cost_unknown(const char *symbol);

/* trade_apply.c */
extern void fx_apply_order(FxTradeWork *work, FxBooks *books, const FxTrade *trade);
extern void fx_apply_execution(FxTradeWork *work, FxBooks *books, const FxTrade *trade);
extern void fx_apply_change(FxTradeWork *work, FxBooks *books, const FxTrade *old,
							const FxTrade *new);
extern void fx_make_order(const FxAccount *account, const FxTrade *trade, FxOrder *order);

/* trade_store.c */
extern void fx_work_begin(FxTradeWork *work, Relation trades);
extern void fx_books_open(FxBooks *books, const pg_uuid_t *user_id);
extern FxClosure *fx_work_add_closure(FxTradeWork *work);
extern void fx_work_change(FxTradeWork *work, FxTicket *ticket);
extern void fx_work_conversion(const FxRate *rate, FxConversion *conversion);
extern void fx_closures_set_price(const pg_uuid_t *trade_id, int128 open, int128 price);
extern void fx_work_write_books(FxTradeWork *work, FxBooks *books, int nbooks);
extern void fx_work_write_trades(FxTradeWork *work);
extern void fx_work_finish(FxBooks *books, int nbooks);

/* trade_rebuild.c */
extern void fx_rebuild_user(const pg_uuid_t *user_id);
extern void fx_rebuild_all(void);
extern bool fx_any_rebuilt(void);
extern bool fx_rebuilt_since(const pg_uuid_t *user_id, CommandId cid);

/* trade_refusal.c */
pg_noreturn extern void fx_refuse_order(const FxBooks *books, const FxDecision *decision,
										const FxOrder *order);

#endif							/* FX_TRADES_H */
