/*-------------------------------------------------------------------------
 *
 * risk_recent.c
 *	  Where this transaction has left the limits of a user
 *
 * As account_recent.c does for accounts: every trade leaves a version of the
 * rows, and an index would lead to all of them.
 *
 * Whoever adds or changes limits of the user waits for the account in the
 * trigger of fx.risk_limits before he can commit, so that those remembered are
 * all there are.  A row that is not as it was remembered is noticed when it is
 * fetched.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"

#include "account_rows.h"
#include "risk_internal.h"

/* A user takes the place of another with the same number */
#define RECENT_USERS		64

static FxRecentLimits recent_users[RECENT_USERS];

static FxRecentLimits *place_of(const pg_uuid_t *user_id);

/*
 * What is remembered of a user, or NULL.
 */
const FxRecentLimits *
fx_recent_limits_get(const pg_uuid_t *user_id)
{
	const FxRecentLimits *recent = place_of(user_id);

	if (!FullTransactionIdIsValid(recent->xid) ||
		!FullTransactionIdEquals(recent->xid, GetTopFullTransactionIdIfAny()) ||
		recent->rollbacks != fx_recent_rollbacks() ||
		memcmp(&recent->user_id, user_id, sizeof(pg_uuid_t)) != 0)
		return NULL;
	return recent;
}

/*
 * Remember the limits, all that are active of a user whose account is locked.
 */
void
fx_recent_limits_put(const FxRisk *risk)
{
	FxRecentLimits *recent = place_of(&risk->account->user_id);

	recent->xid = InvalidFullTransactionId;
	if (!risk->account->locked || risk->inactive_too || risk->nlimits > FX_RECENT_LIMITS)
		return;
	recent->user_id = risk->account->user_id;
	recent->rollbacks = fx_recent_rollbacks();
	recent->limits_file = risk->limits_file;
	recent->states_file = risk->states_file;
	recent->nlimits = risk->nlimits;
	for (int i = 0; i < risk->nlimits; i++)
	{
		recent->limits[i] = risk->limits[i].tid;
		recent->states[i] = risk->limits[i].state_tid;
	}
	recent->xid = GetTopFullTransactionId();
}

/*
 * Forget a user whose limits are written by SQL.
 */
void
fx_recent_limits_forget(const pg_uuid_t *user_id)
{
	place_of(user_id)->xid = InvalidFullTransactionId;
}

static FxRecentLimits *
place_of(const pg_uuid_t *user_id)
{
	return &recent_users[hash_bytes(user_id->data, UUID_LEN) % RECENT_USERS];
}
