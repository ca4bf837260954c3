/*-------------------------------------------------------------------------
 *
 * account_rows.h
 *	  Rows of fx.accounts and fx.positions and what they are in memory
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_ACCOUNT_ROWS_H
#define FX_ACCOUNT_ROWS_H

#include "access/transam.h"
#include "account.h"
#include "executor/tuptable.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

typedef enum FxBook
{
	FX_ACCOUNTS,
	FX_POSITIONS
} FxBook;

#define FX_BOOKS			2

typedef enum FxAccountColumn
{
	FX_ACC_USER_ID,
	FX_ACC_CURRENCY,
	FX_ACC_INITIAL_BALANCE,
	FX_ACC_BALANCE,
	FX_ACC_NET_DEPOSITS,
	FX_ACC_POSITION_METHOD,
	FX_ACC_TRADING_STATE,
	FX_ACC_STATE_REASON,
	FX_ACC_TIME_ZONE,
	FX_ACC_DAY_CUTOFF,
	FX_ACC_HIGH_WATER_MARK,
	FX_ACC_EOD_HIGH_WATER_MARK,
	FX_ACC_DAY_STARTED_AT,		/* four of each period, in the order of FxPeriodKind */
	FX_ACC_DAY_BALANCE,
	FX_ACC_DAY_EQUITY,
	FX_ACC_DAY_DEPOSITS,
	FX_ACC_WEEK_STARTED_AT,
	FX_ACC_WEEK_BALANCE,
	FX_ACC_WEEK_EQUITY,
	FX_ACC_WEEK_DEPOSITS,
	FX_ACC_MONTH_STARTED_AT,
	FX_ACC_MONTH_BALANCE,
	FX_ACC_MONTH_EQUITY,
	FX_ACC_MONTH_DEPOSITS,
	FX_ACC_DAY_ENDS_AT,
	FX_ACC_OPEN_TRADES,
	FX_ACC_DAY_TRADES,
	FX_ACC_CONSECUTIVE_LOSSES,
	FX_ACC_LOSING_SINCE,
	FX_ACC_LAST_CLOSED_AT,
	FX_ACC_COLUMNS
} FxAccountColumn;

/* Columns of a period, from its first */
#define FX_PERIOD_STARTED_AT	0
#define FX_PERIOD_BALANCE		1
#define FX_PERIOD_EQUITY		2
#define FX_PERIOD_DEPOSITS		3
#define FX_PERIOD_COLUMNS		4

typedef enum FxPositionColumn
{
	FX_POS_USER_ID,
	FX_POS_SYMBOL,
	FX_POS_LONG_QUANTITY,
	FX_POS_SHORT_QUANTITY,
	FX_POS_LONG_COST,
	FX_POS_SHORT_COST,
	FX_POS_AVERAGE_PRICE,
	FX_POS_REALIZED_PNL,
	FX_POS_OPEN_TRADES,
	FX_POS_UNPRICED_TRADES,
	FX_POS_LAST_PRICE,
	FX_POS_LAST_PRICE_AT,
	FX_POS_COLUMNS
} FxPositionColumn;

/* Money that NUMERIC(28,8) holds is less, at scale 8 */
#define FX_MONEY_LIMIT		((int128) INT64CONST(100000000000000) * INT64CONST(100000000000000))

#define FX_BOOK_COLUMNS		FX_ACC_COLUMNS	/* of the longer */

/* A numeric without an allocation */
typedef union FxNumericBuffer
{
	int64		align;
	char		data[FX_FIXED_NUMERIC_SIZE];
} FxNumericBuffer;

/* Values of a row, in the order of the columns above */
typedef struct FxBookRow
{
	Datum		values[FX_BOOK_COLUMNS];
	bool		nulls[FX_BOOK_COLUMNS];
	bool		replace[FX_BOOK_COLUMNS];
	FxNumericBuffer numerics[FX_BOOK_COLUMNS];
} FxBookRow;

/* Positions of a user that are remembered; the rows of more are looked for */
#define FX_RECENT_POSITIONS	32

/* Where this transaction has written the books of a user last */
typedef struct FxRecent
{
	pg_uuid_t	user_id;
	FullTransactionId xid;
	uint64		rollbacks;
	Oid			accounts_file;
	ItemPointerData account;
	Oid			positions_file;
	int			npositions;		/* -1 when they are not known */
	ItemPointerData positions[FX_RECENT_POSITIONS];
} FxRecent;

extern Relation fx_book_open(FxBook book, LOCKMODE lockmode);
extern Oid	fx_book_oid(FxBook book);
extern Oid	fx_book_primary_key(FxBook book);
extern const AttrNumber *fx_book_columns(FxBook book);
extern const char *fx_book_column_name(FxBook book, int column);
extern void fx_book_write(FxBook book, Relation rel, TupleTableSlot *slot, const FxBookRow *row);
extern HeapTuple fx_book_modify(FxBook book, Relation rel, HeapTuple tuple, const FxBookRow *row);
extern void fx_account_from_slot(TupleTableSlot *slot, FxAccount *account);
extern void fx_account_to_row(const FxAccount *account, FxBookRow *row);
extern void fx_position_from_slot(TupleTableSlot *slot, FxPosition *position);
extern void fx_position_to_row(const FxPosition *position, FxBookRow *row);
extern FxAccount *fx_account_from_locked(Relation accounts, TupleTableSlot *slot);
extern FxPositionMethod fx_position_method_get(const struct varlena *name);
extern pg_tz *fx_zone_get(const char *name);

/* account_recent.c */
extern const FxRecent *fx_recent_get(const pg_uuid_t *user_id);
extern void fx_recent_put(const FxAccount *account);
extern void fx_recent_forget(const pg_uuid_t *user_id);
extern uint64 fx_recent_rollbacks(void);

#endif							/* FX_ACCOUNT_ROWS_H */
