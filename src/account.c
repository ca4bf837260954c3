/*-------------------------------------------------------------------------
 *
 * account.c
 *	  The books of a user: lock, read, write
 *
 * The lock of a user's row in fx.accounts orders all that happens to his
 * trades.  It is FOR NO KEY UPDATE, so that foreign keys to the user's row do
 * not wait for it.  What is read after it is read by a snapshot of that moment,
 * not by that of the statement, which may have waited.
 *
 * Under REPEATABLE READ and SERIALIZABLE an account that has changed since the
 * snapshot gives 40001, as an UPDATE would.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "account.h"
#include "account_rows.h"
#include "compat.h"
#include "kept_plan.h"

#define INITIAL_POSITIONS	8

/* An account may be deleted whenever it was opened, but not so often */
#define OPENINGS			10

static bool lock_recent(Relation accounts, const pg_uuid_t *user_id, TupleTableSlot *slot);
static bool lock_row(Relation accounts, const pg_uuid_t *user_id, TupleTableSlot *slot);
static bool find_row(Relation accounts, const pg_uuid_t *user_id, Snapshot snapshot,
					 TupleTableSlot *slot);
static bool read_recent(FxAccount *account, Relation positions, Snapshot snapshot);
static void read_positions(FxAccount *account, Relation positions, Snapshot snapshot);
static FxPosition *add_position(FxAccount *account);
static void write_account(FxAccount *account);
static void update_position(Relation positions, FxPosition *position);
static void insert_position(const FxAccount *account, Relation positions, FxPosition *position);
static void raise_changed(void);

/*
 * Lock the account of a user to the end of the transaction and read it.  It is
 * opened where it is missing; a user that does not exist is an error.
 */
FxAccount *
fx_account_lock(const pg_uuid_t *user_id)
{
	Relation	accounts;
	TupleTableSlot *slot;
	FxAccount  *account;

	PreventCommandIfReadOnly("SELECT FOR NO KEY UPDATE");

	accounts = fx_book_open(FX_ACCOUNTS, RowExclusiveLock);
	slot = table_slot_create(accounts, NULL);
	if (!lock_recent(accounts, user_id, slot))
	{
		for (int i = 0; !lock_row(accounts, user_id, slot); i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (i == OPENINGS)
				fx_raise_suppressed(RelationGetRelationName(accounts), "an insertion");
			fx_account_create(user_id);
		}
	}
	account = fx_account_from_locked(accounts, slot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(accounts, NoLock);
	return account;
}

/*
 * The account of a row that is locked, as of now.
 */
FxAccount *
fx_account_from_locked(Relation accounts, TupleTableSlot *slot)
{
	FxAccount  *account = (FxAccount *) palloc0(sizeof(FxAccount));
	Relation	positions = fx_book_open(FX_POSITIONS, RowExclusiveLock);
	Snapshot	snapshot;

	fx_account_from_slot(slot, account);
	account->locked = true;
	account->now = fx_now();
	account->accounts_file = accounts->rd_rel->relfilenode;
	account->positions_file = positions->rd_rel->relfilenode;

	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (!read_recent(account, positions, snapshot))
		read_positions(account, positions, snapshot);
	UnregisterSnapshot(snapshot);
	table_close(positions, NoLock);

	fx_account_roll(account);
	return account;
}

/*
 * The account of a user as the active snapshot sees it; NULL when there is
 * none.  Periods that have ended are rolled in memory only.
 */
FxAccount *
fx_account_read(const pg_uuid_t *user_id)
{
	FxAccount  *account = NULL;
	Relation	accounts = fx_book_open(FX_ACCOUNTS, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(accounts, NULL);

	if (find_row(accounts, user_id, GetActiveSnapshot(), slot))
	{
		Relation	positions = fx_book_open(FX_POSITIONS, AccessShareLock);

		account = (FxAccount *) palloc0(sizeof(FxAccount));
		fx_account_from_slot(slot, account);
		account->now = fx_now();
		read_positions(account, positions, GetActiveSnapshot());
		table_close(positions, NoLock);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(accounts, NoLock);

	if (account != NULL)
		fx_account_roll(account);
	return account;
}

/*
 * A copy to try something on.
 */
FxAccount *
fx_account_copy(const FxAccount *account)
{
	FxAccount  *copy = (FxAccount *) palloc(sizeof(FxAccount));

	*copy = *account;
	copy->positions_size = Max(account->npositions, INITIAL_POSITIONS);
	copy->positions = (FxPosition **) palloc(copy->positions_size * sizeof(FxPosition *));
	for (int i = 0; i < account->npositions; i++)
	{
		copy->positions[i] = (FxPosition *) palloc(sizeof(FxPosition));
		*copy->positions[i] = *account->positions[i];
	}
	return copy;
}

/*
 * The position in a symbol, an empty one where there is none yet.
 */
FxPosition *
fx_account_position(FxAccount *account, const char *symbol)
{
	FxPosition *position;

	for (int i = 0; i < account->npositions; i++)
	{
		if (strcmp(account->positions[i]->symbol, symbol) == 0)
			return account->positions[i];
	}

	position = add_position(account);
	strlcpy(position->symbol, symbol, sizeof(position->symbol));
	return position;
}

/*
 * Write what has changed of a locked account, and make it visible to the
 * commands that follow.
 */
void
fx_account_flush(FxAccount *account)
{
	Relation	positions = NULL;
	bool		updated = false;
	bool		inserted = false;

	Assert(account->locked);

	if (account->dirty)
	{
		write_account(account);
		updated = true;
	}
	for (int i = 0; i < account->npositions; i++)
	{
		FxPosition *position = account->positions[i];

		if (!position->dirty)
			continue;
		if (positions == NULL)
			positions = fx_book_open(FX_POSITIONS, RowExclusiveLock);
		if (ItemPointerIsValid(&position->tid))
		{
			update_position(positions, position);
			updated = true;
		}
		else
		{
			insert_position(account, positions, position);
			inserted = true;
		}
		position->dirty = false;
	}
	if (positions != NULL)
		table_close(positions, NoLock);
	if (updated)
		CommandCounterIncrement();
	if (updated || inserted)
		fx_recent_put(account);
}

/*
 * The same where this transaction has written the account, or positions of it,
 * and so has it locked already; false when it has not.
 */
static bool
lock_recent(Relation accounts, const pg_uuid_t *user_id, TupleTableSlot *slot)
{
	const FxRecent *recent = fx_recent_get(user_id);
	ItemPointerData tid;
	Snapshot	snapshot;
	Datum		id;
	bool		isnull;
	bool		found;

	if (recent == NULL || recent->accounts_file != accounts->rd_rel->relfilenode)
		return false;

	tid = recent->account;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	found = table_tuple_fetch_row_version(accounts, &tid, snapshot, slot);
	UnregisterSnapshot(snapshot);
	if (found)
	{
		id = slot_getattr(slot, fx_book_columns(FX_ACCOUNTS)[FX_ACC_USER_ID], &isnull);
		found = !isnull && memcmp(DatumGetUUIDP(id), user_id, sizeof(pg_uuid_t)) == 0;
	}
	if (!found)
	{
		ExecClearTuple(slot);
		fx_recent_forget(user_id);
	}
	return found;
}

/*
 * Lock the row of an account and fetch its newest version; false when there is
 * none.
 */
static bool
lock_row(Relation accounts, const pg_uuid_t *user_id, TupleTableSlot *slot)
{
	bool		repeatable = IsolationUsesXactSnapshot();

	for (;;)
	{
		Snapshot	snapshot;
		ItemPointerData tid;
		TM_FailureData failure;
		TM_Result	result;

		snapshot = RegisterSnapshot(repeatable ? GetTransactionSnapshot() : GetLatestSnapshot());
		if (!find_row(accounts, user_id, snapshot, slot))
		{
			UnregisterSnapshot(snapshot);
			return false;
		}
		tid = slot->tts_tid;
		result = table_tuple_lock(accounts, &tid, snapshot, slot, GetCurrentCommandId(false),
								  LockTupleNoKeyExclusive, LockWaitBlock,
								  repeatable ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
		UnregisterSnapshot(snapshot);

		switch (result)
		{
			case TM_Ok:
				return true;

			case TM_Updated:
				raise_changed();
				break;

			case TM_Deleted:
				if (repeatable)
					raise_changed();
				return false;

			case TM_SelfModified:
				/* by the command whose trigger we are */
				CommandCounterIncrement();
				break;

			default:
				elog(ERROR, "unexpected result of locking an account: %u", result);
		}
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Nobody can change the key of the row under our eyes, so that the primary key
 * finds it whatever the snapshot.
 */
static bool
find_row(Relation accounts, const pg_uuid_t *user_id, Snapshot snapshot, TupleTableSlot *slot)
{
	Relation	index = index_open(fx_book_primary_key(FX_ACCOUNTS), AccessShareLock);
	IndexScanDesc scan = fx_index_beginscan(accounts, index, snapshot, 1, 0);
	ScanKeyData key;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(user_id));
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);

	/* the slot keeps its page */
	index_endscan(scan);
	index_close(index, NoLock);
	return found;
}

/*
 * The positions that this transaction has written with the account.
 */
static bool
read_recent(FxAccount *account, Relation positions, Snapshot snapshot)
{
	const FxRecent *recent = fx_recent_get(&account->user_id);
	TupleTableSlot *slot;
	bool		found = true;

	if (recent == NULL || recent->npositions < 0 ||
		recent->positions_file != account->positions_file ||
		!ItemPointerEquals(&account->tid, unconstify(ItemPointerData *, &recent->account)))
		return false;

	slot = table_slot_create(positions, NULL);
	for (int i = 0; found && i < recent->npositions; i++)
	{
		ItemPointerData tid = recent->positions[i];

		found = table_tuple_fetch_row_version(positions, &tid, snapshot, slot);
		if (found)
			fx_position_from_slot(slot, add_position(account));
	}
	ExecDropSingleTupleTableSlot(slot);
	if (!found)
		account->npositions = 0;
	return found;
}

static void
read_positions(FxAccount *account, Relation positions, Snapshot snapshot)
{
	TupleTableSlot *slot = table_slot_create(positions, NULL);
	Relation	index = index_open(fx_book_primary_key(FX_POSITIONS), AccessShareLock);
	IndexScanDesc scan = fx_index_beginscan(positions, index, snapshot, 1, 0);
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&account->user_id));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
		fx_position_from_slot(slot, add_position(account));

	index_endscan(scan);
	index_close(index, NoLock);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * An account grows in the context that is current; the structs stay where
 * they are.
 */
static FxPosition *
add_position(FxAccount *account)
{
	FxPosition *position = (FxPosition *) palloc0(sizeof(FxPosition));

	if (account->npositions == account->positions_size)
	{
		if (account->positions == NULL)
		{
			account->positions_size = INITIAL_POSITIONS;
			account->positions = (FxPosition **) palloc(INITIAL_POSITIONS * sizeof(FxPosition *));
		}
		else
		{
			account->positions_size *= 2;
			account->positions = (FxPosition **)
				repalloc(account->positions, account->positions_size * sizeof(FxPosition *));
		}
	}
	ItemPointerSetInvalid(&position->tid);
	account->positions[account->npositions++] = position;
	return position;
}

static void
write_account(FxAccount *account)
{
	Relation	accounts = fx_book_open(FX_ACCOUNTS, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(accounts, NULL);
	FxBookRow	row;

	fx_account_to_row(account, &row);
	fx_row_fetch(accounts, &account->tid, slot);
	fx_book_write(FX_ACCOUNTS, accounts, slot, &row);
	account->tid = slot->tts_tid;
	account->dirty = false;

	ExecDropSingleTupleTableSlot(slot);
	table_close(accounts, NoLock);
}

static void
update_position(Relation positions, FxPosition *position)
{
	TupleTableSlot *slot = table_slot_create(positions, NULL);
	FxBookRow	row;

	fx_position_to_row(position, &row);
	fx_row_fetch(positions, &position->tid, slot);
	fx_book_write(FX_POSITIONS, positions, slot, &row);
	position->tid = slot->tts_tid;
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * The first time a user trades a symbol.  A statement gives other columns
 * their defaults; the lock of the account keeps others from doing the same.
 */
static void
insert_position(const FxAccount *account, Relation positions, FxPosition *position)
{
	static SPIPlanPtr plan = NULL;
	Oid			save_userid;
	int			save_sec_context;
	FxBookRow	row;
	char		nulls[FX_POS_COLUMNS];
	bool		isnull;

	fx_position_to_row(position, &row);
	row.values[FX_POS_USER_ID] = UUIDPGetDatum(&account->user_id);
	row.nulls[FX_POS_USER_ID] = false;
	row.values[FX_POS_SYMBOL] = CStringGetTextDatum(position->symbol);
	row.nulls[FX_POS_SYMBOL] = false;
	for (int column = 0; column < FX_POS_COLUMNS; column++)
		nulls[column] = row.nulls[column] ? 'n' : ' ';

	fx_act_as_owner(fx_book_oid(FX_POSITIONS), &save_userid, &save_sec_context);
	SPI_connect();
	if (plan == NULL)
	{
		/* in the order of FxPositionColumn */
		Oid			argtypes[FX_POS_COLUMNS] = {
			UUIDOID, TEXTOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID,
			NUMERICOID, INT4OID, INT4OID, NUMERICOID, TIMESTAMPTZOID
		};

		plan = fx_kept_plan("INSERT INTO fx.positions (user_id, symbol, long_quantity,"
							" short_quantity, long_cost, short_cost, average_price,"
							" realized_pnl, open_trades, unpriced_trades, last_price,"
							" last_price_at)"
							" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
							" RETURNING ctid", lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(plan, row.values, nulls, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not insert a position");
	if (SPI_processed != 1)
		fx_raise_suppressed(RelationGetRelationName(positions), "an insertion");
	position->tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(SPI_tuptable->vals[0],
																 SPI_tuptable->tupdesc, 1,
																 &isnull));
	SPI_finish();
	fx_act_as_before(save_userid, save_sec_context);
}

static void
raise_changed(void)
{
	ereport(ERROR,
			errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			errmsg("could not serialize access due to concurrent update"));
}
