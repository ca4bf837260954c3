/*-------------------------------------------------------------------------
 *
 * account_events.c
 *	  Changes of a user's balance, at the time they belong to
 *
 * What became known only after a day, week or month had ended, but happened
 * before that, moves what the account was worth at the start of the current
 * one, so that it is no gain or loss of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"

#include "account.h"

/*
 * A net profit, or a change of one.
 */
void
fx_account_add_net(FxAccount *account, int128 net, TimestampTz at)
{
	if (net == 0)
		return;

	fx_fixed_add_to(&account->balance, net, "balance");
	for (FxPeriodKind kind = FX_DAY; kind < FX_PERIODS; kind++)
	{
		FxPeriod   *period = &account->periods[kind];

		if (at >= period->started_at)
			continue;
		fx_fixed_add_to(&period->balance, net, "balance");
		if (period->equity_known)
			fx_fixed_add_to(&period->equity, net, "equity");
	}
	account->dirty = true;
}

/*
 * Money paid in, or out when it is negative.  It is neither gain nor loss: the
 * high-water marks move with it.
 */
void
fx_account_add_deposit(FxAccount *account, int128 amount)
{
	fx_fixed_add_to(&account->balance, amount, "balance");
	fx_fixed_add_to(&account->net_deposits, amount, "net_deposits");
	fx_fixed_add_to(&account->high_water_mark, amount, "high_water_mark");
	fx_fixed_add_to(&account->eod_high_water_mark, amount, "eod_high_water_mark");
	for (FxPeriodKind kind = FX_DAY; kind < FX_PERIODS; kind++)
		fx_fixed_add_to(&account->periods[kind].deposits, amount, "deposits");
	account->dirty = true;
}

/*
 * Another initial balance: the account was always worth the difference more.
 */
void
fx_account_set_initial(FxAccount *account, int128 initial_balance)
{
	int128		difference = initial_balance - account->initial_balance;

	if (difference == 0)
		return;

	account->initial_balance = initial_balance;
	fx_fixed_add_to(&account->balance, difference, "balance");
	fx_fixed_add_to(&account->high_water_mark, difference, "high_water_mark");
	fx_fixed_add_to(&account->eod_high_water_mark, difference, "eod_high_water_mark");
	for (FxPeriodKind kind = FX_DAY; kind < FX_PERIODS; kind++)
	{
		FxPeriod   *period = &account->periods[kind];

		fx_fixed_add_to(&period->balance, difference, "balance");
		if (period->equity_known)
			fx_fixed_add_to(&period->equity, difference, "equity");
	}
	account->dirty = true;
}

/*
 * Trades that were executed, of which those of the current day count.
 */
void
fx_account_count_execution(FxAccount *account, int count, TimestampTz executed_at)
{
	if (executed_at < account->periods[FX_DAY].started_at)
		return;
	if (pg_add_s32_overflow(account->day_trades, count, &account->day_trades))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("%s is out of range", "day_trades"));
	account->dirty = true;
}

/*
 * Raise the high-water mark to what the account is worth now, if that is known.
 */
void
fx_account_observe(FxAccount *account)
{
	int128		equity;

	if (fx_account_equity(account, &equity, NULL, 0) && equity > account->high_water_mark)
	{
		account->high_water_mark = equity;
		account->dirty = true;
	}
}
