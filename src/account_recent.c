/*-------------------------------------------------------------------------
 *
 * account_recent.c
 *	  Where this transaction wrote the books of a user last
 *
 * A transaction of many statements leaves a version of the rows with each of
 * them, and none can be cleared away before it ends.  An index would lead to
 * all of them every time, which takes time by the square of their number.  So
 * the newest ones are remembered: what this transaction has locked nobody else
 * can replace.
 *
 * A memory is good for its transaction, as long as no subtransaction is rolled
 * back, and is checked when it is used.  A table that the transaction rewrites
 * has its rows in other places.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"

#include "account_rows.h"

/* A user takes the place of another with the same number */
#define RECENT_USERS		64

static FxRecent recent_users[RECENT_USERS];

/* Subtransactions that were rolled back in this session */
static uint64 rollbacks = 0;

static FxRecent *place_of(const pg_uuid_t *user_id);
static void subxact_callback(SubXactEvent event, SubTransactionId subid,
							 SubTransactionId parent_subid, void *arg);

/*
 * What is remembered of a user, or NULL.
 */
const FxRecent *
fx_recent_get(const pg_uuid_t *user_id)
{
	const FxRecent *recent = place_of(user_id);

	if (!FullTransactionIdIsValid(recent->xid) ||
		!FullTransactionIdEquals(recent->xid, GetTopFullTransactionIdIfAny()) ||
		recent->rollbacks != rollbacks ||
		memcmp(&recent->user_id, user_id, sizeof(pg_uuid_t)) != 0)
		return NULL;
	return recent;
}

/*
 * Remember an account that was written.
 */
void
fx_recent_put(const FxAccount *account)
{
	FxRecent   *recent = place_of(&account->user_id);

	recent->user_id = account->user_id;
	recent->xid = GetTopFullTransactionId();
	recent->rollbacks = fx_recent_rollbacks();
	recent->accounts_file = account->accounts_file;
	recent->account = account->tid;
	recent->positions_file = account->positions_file;
	recent->npositions = -1;
	if (account->npositions > FX_RECENT_POSITIONS)
		return;
	for (int i = 0; i < account->npositions; i++)
	{
		/* one that was only looked for has no row */
		if (!ItemPointerIsValid(&account->positions[i]->tid))
			return;
		recent->positions[i] = account->positions[i]->tid;
	}
	recent->npositions = account->npositions;
}

/*
 * Forget a user whose books are written by SQL.
 */
void
fx_recent_forget(const pg_uuid_t *user_id)
{
	place_of(user_id)->xid = InvalidFullTransactionId;
}

/*
 * How many subtransactions were rolled back so far.  What is remembered with
 * another number is not good any more.
 */
uint64
fx_recent_rollbacks(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}
	return rollbacks;
}

static FxRecent *
place_of(const pg_uuid_t *user_id)
{
	return &recent_users[hash_bytes(user_id->data, UUID_LEN) % RECENT_USERS];
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent_subid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		rollbacks++;
}
