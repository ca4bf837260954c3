/*-------------------------------------------------------------------------
 *
 * trade_events.c
 *	  The trigger that books trades and holds them to the limits
 *
 * It fires once a statement, with all rows that the statement wrote.  Accounts
 * of their users are locked first, in the order of their ids, so that no two
 * statements wait for each other.  Then the rows are judged and booked in the
 * order in which they were written, each as if it had been the only one: the
 * books of a row are those that the rows before it left.  Everything is
 * written at the end.
 *
 * An order that is pending is judged by what it would do, on a copy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "compat.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "trade_write.h"
#include "trades.h"

#define TRIGGER_NAME		"apply_trade_risk"

#define INITIAL_USERS		16

/* What a row does to the books */
typedef enum Effect
{
	EFFECT_NONE,
	EFFECT_ORDER,				/* nothing yet */
	EFFECT_EXECUTION,
	EFFECT_CHANGE,				/* of a trade that is in the books */
	EFFECT_REMOVAL				/* of one */
} Effect;

/* A pass over the rows of the statement */
typedef struct Pass
{
	Tuplestorestate *olds;		/* NULL for an insert */
	Tuplestorestate *news;		/* NULL for a delete */
	int			old_pointer;
	int			new_pointer;
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;
	FxTrade		old;
	FxTrade		new;
	int64		row;			/* of the one read last, from 1 */
} Pass;

/* Where a row that is not in the books yet comes in the statement */
typedef struct Ahead
{
	pg_uuid_t	id;				/* hash key, must be first */
	int64		row;
} Ahead;

typedef struct Statement
{
	FxTradeWork work;			/* must be first */
	TriggerData *trigdata;
	FxBooks    *books;			/* in the order of user ids */
	int			nbooks;
	Pass		pass;
	HTAB	   *ahead;			/* Ahead by id; NULL until it is asked for */
	bool		version_known;	/* of rows that the statement wrote */
	TransactionId xmin;
	CommandId	cmin;
} Statement;

PG_FUNCTION_INFO_V1(fx_apply_trade_risk);

static void apply_statement(TriggerData *trigdata);
static void begin_pass(const TriggerData *trigdata, Pass *pass);
static void rewind_pass(Pass *pass);
static bool next_row(Pass *pass, const FxTradeColumns *columns);
static void end_pass(Pass *pass);
static Effect effect_of(const Pass *pass);
static pg_uuid_t *find_users(Statement *statement, int *nusers);
static int	sort_users(pg_uuid_t *users, int nusers);
static int	compare_users(const void *a, const void *b);
static void rebuild_users(const pg_uuid_t *users, int nusers);
static void open_books(Statement *statement, const pg_uuid_t *users, int nusers);
static FxBooks *find_books(Statement *statement, const pg_uuid_t *user_id);
static void find_version(Statement *statement);
static void apply_row(Statement *statement, Effect effect);
static bool is_ahead(FxTradeWork *work, const FxTrade *trade, TupleTableSlot *slot);
static void find_ahead(Statement *statement);

/*
 * apply_trade_risk() returns trigger
 *
 * To be fired after insert, update or delete of fx.trades for each statement,
 * with the transition tables that there are, and after truncate.
 */
Datum
fx_apply_trade_risk(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext old_context;
	Oid			save_userid;
	int			save_sec_context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", TRIGGER_NAME));
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE FOR EACH STATEMENT",
					   TRIGGER_NAME));
	/* what it books is done with the rights of the owner of the books */
	if (RelationGetRelid(trigdata->tg_relation) != fx_require_table("trades"))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired by table \"fx.trades\"", TRIGGER_NAME));
	if (!TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event) &&
		((trigdata->tg_newtable == NULL && !TRIGGER_FIRED_BY_DELETE(trigdata->tg_event)) ||
		 (trigdata->tg_oldtable == NULL && !TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" needs the transition tables of the statement",
					   TRIGGER_NAME));

	if (fx_trade_write_is_engine())
		return PointerGetDatum(NULL);

	context = AllocSetContextCreate(CurrentMemoryContext, "risk of trades",
									ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	fx_act_as_owner(RelationGetRelid(trigdata->tg_relation), &save_userid, &save_sec_context);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		fx_rebuild_all();
	else
		apply_statement(trigdata);
	fx_act_as_before(save_userid, save_sec_context);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);

	return PointerGetDatum(NULL);
}

static void
apply_statement(TriggerData *trigdata)
{
	Statement	statement;
	pg_uuid_t  *users;
	int			nusers;

	memset(&statement, 0, sizeof(statement));
	fx_work_begin(&statement.work, trigdata->tg_relation);
	statement.work.is_update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	statement.work.is_ahead = is_ahead;
	statement.trigdata = trigdata;
	begin_pass(trigdata, &statement.pass);

	users = find_users(&statement, &nusers);
	if (nusers > 0 && TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		rebuild_users(users, nusers);
	else if (nusers > 0)
	{
		open_books(&statement, users, nusers);
		statement.work.row_context = AllocSetContextCreate(CurrentMemoryContext, "risk of a trade",
														   ALLOCSET_DEFAULT_SIZES);
		rewind_pass(&statement.pass);
		while (next_row(&statement.pass, &statement.work.columns))
		{
			CHECK_FOR_INTERRUPTS();
			apply_row(&statement, effect_of(&statement.pass));
		}
		fx_work_write_books(&statement.work, statement.books, statement.nbooks);
		fx_work_write_trades(&statement.work);
		fx_work_finish(statement.books, statement.nbooks);

		for (int i = 0; i < statement.nbooks; i++)
		{
			if (statement.books[i].rebuild)
				fx_rebuild_user(&statement.books[i].user_id);
		}
	}
	end_pass(&statement.pass);
}

/*
 * Each pass has read pointers of its own: others may be reading the same
 * transition tables.
 */
static void
begin_pass(const TriggerData *trigdata, Pass *pass)
{
	TupleDesc	tupdesc = RelationGetDescr(trigdata->tg_relation);

	memset(pass, 0, sizeof(*pass));
	if (!TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		pass->olds = trigdata->tg_oldtable;
		pass->old_pointer = tuplestore_alloc_read_pointer(pass->olds, EXEC_FLAG_REWIND);
		pass->old_slot = MakeSingleTupleTableSlot(tupdesc, &TTSOpsMinimalTuple);
	}
	if (!TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
	{
		pass->news = trigdata->tg_newtable;
		pass->new_pointer = tuplestore_alloc_read_pointer(pass->news, EXEC_FLAG_REWIND);
		pass->new_slot = MakeSingleTupleTableSlot(tupdesc, &TTSOpsMinimalTuple);
	}
	rewind_pass(pass);
}

static void
rewind_pass(Pass *pass)
{
	if (pass->olds != NULL)
	{
		tuplestore_select_read_pointer(pass->olds, pass->old_pointer);
		tuplestore_rescan(pass->olds);
	}
	if (pass->news != NULL)
	{
		tuplestore_select_read_pointer(pass->news, pass->new_pointer);
		tuplestore_rescan(pass->news);
	}
	pass->row = 0;
}

/*
 * Old and new rows of an update come in the same order.
 */
static bool
next_row(Pass *pass, const FxTradeColumns *columns)
{
	if (pass->olds != NULL)
	{
		tuplestore_select_read_pointer(pass->olds, pass->old_pointer);
		if (!tuplestore_gettupleslot(pass->olds, true, false, pass->old_slot))
			return false;
		fx_trade_read(pass->old_slot, columns, &pass->old);
	}
	if (pass->news != NULL)
	{
		tuplestore_select_read_pointer(pass->news, pass->new_pointer);
		if (!tuplestore_gettupleslot(pass->news, true, false, pass->new_slot))
			return false;
		fx_trade_read(pass->new_slot, columns, &pass->new);
	}
	pass->row++;
	return true;
}

static void
end_pass(Pass *pass)
{
	if (pass->old_slot != NULL)
		ExecDropSingleTupleTableSlot(pass->old_slot);
	if (pass->new_slot != NULL)
		ExecDropSingleTupleTableSlot(pass->new_slot);
}

/*
 * What a row that the guard of the table let pass does.  Where the guard was
 * disabled, changes that it would have refused make the books out of date.
 */
static Effect
effect_of(const Pass *pass)
{
	const FxTrade *old = &pass->old;
	const FxTrade *new = &pass->new;

	if (pass->news == NULL)
		return fx_trade_is_live(old) ? EFFECT_REMOVAL : EFFECT_NONE;
	if (pass->olds == NULL || !fx_trade_is_live(old))
	{
		if (fx_trade_is_live(new))
			return EFFECT_EXECUTION;
		if (pass->olds == NULL && new->status == FX_TRADE_PENDING && !new->is_backtest)
			return EFFECT_ORDER;
		return EFFECT_NONE;
	}

	if (!fx_trade_is_live(new) ||
		memcmp(old->user_id.data, new->user_id.data, UUID_LEN) != 0 ||
		strcmp(old->symbol, new->symbol) != 0 || old->side != new->side ||
		old->quantity != new->quantity || old->was_opened_up != new->was_opened_up ||
		(old->has_price && (!new->has_price || old->price != new->price)) ||
		old->executed_at != new->executed_at ||
		(old->is_closed && (!new->is_closed || old->closed_at != new->closed_at)) ||
		(!new->is_closed && old->open != new->open))
		return EFFECT_REMOVAL;
	if (old->profit != new->profit || old->commission != new->commission ||
		old->swap != new->swap || old->is_closed != new->is_closed ||
		old->has_price != new->has_price)
		return EFFECT_CHANGE;
	return EFFECT_NONE;
}

/*
 * Users whose books the statement changes, in the order of their ids.
 */
static pg_uuid_t *
find_users(Statement *statement, int *nusers)
{
	Pass	   *pass = &statement->pass;
	int			size = INITIAL_USERS;
	int			n = 0;
	pg_uuid_t  *users = (pg_uuid_t *) palloc(size * sizeof(pg_uuid_t));

	while (next_row(pass, &statement->work.columns))
	{
		Effect		effect = effect_of(pass);
		const FxTrade *last = NULL;

		if (effect == EFFECT_NONE)
			continue;
		for (int i = 0; i < 2; i++)
		{
			const FxTrade *trade = i == 0 ? &pass->new : &pass->old;

			/* the user whom a trade was taken from, too */
			if (i == 0 ? pass->news == NULL : effect != EFFECT_REMOVAL)
				continue;
			if (last != NULL && memcmp(last->user_id.data, trade->user_id.data, UUID_LEN) == 0)
				continue;
			last = trade;
			if (n > 0 && memcmp(users[n - 1].data, trade->user_id.data, UUID_LEN) == 0)
				continue;
			if (n == size)
			{
				n = sort_users(users, n);
				if (n > size / 2)
				{
					size *= 2;
					users = (pg_uuid_t *) repalloc_huge(users, size * sizeof(pg_uuid_t));
				}
			}
			users[n++] = trade->user_id;
		}
	}
	*nusers = sort_users(users, n);
	return users;
}

/*
 * Sort, leaving out duplicates.  Returns how many there are.
 */
static int
sort_users(pg_uuid_t *users, int nusers)
{
	qsort(users, nusers, sizeof(pg_uuid_t), compare_users);
	return qunique(users, nusers, sizeof(pg_uuid_t), compare_users);
}

static int
compare_users(const void *a, const void *b)
{
	return memcmp(((const pg_uuid_t *) a)->data, ((const pg_uuid_t *) b)->data, UUID_LEN);
}

static void
rebuild_users(const pg_uuid_t *users, int nusers)
{
	for (int i = 0; i < nusers; i++)
		fx_rebuild_user(&users[i]);
}

/*
 * Lock the accounts, in the order of the ids.
 */
static void
open_books(Statement *statement, const pg_uuid_t *users, int nusers)
{
	/* the statement may have written accounts itself */
	CommandCounterIncrement();

	statement->books = (FxBooks *) MemoryContextAllocHuge(CurrentMemoryContext,
														  nusers * sizeof(FxBooks));
	for (int i = 0; i < nusers; i++)
		fx_books_open(&statement->books[i], &users[i]);
	statement->nbooks = nusers;
}

static FxBooks *
find_books(Statement *statement, const pg_uuid_t *user_id)
{
	FxBooks    *books;

	/* pg_uuid_t is the first field of the books */
	books = (FxBooks *) bsearch(user_id, statement->books, statement->nbooks, sizeof(FxBooks),
								compare_users);
	Assert(books != NULL);
	return books;
}

/*
 * Find out who wrote the rows of the statement: their transaction and command.
 */
static void
find_version(Statement *statement)
{
	FxTradeWork *work = &statement->work;
	FxTrade		trade;
	bool		isnull;

	if (statement->version_known || !fx_trade_fetch(work, &statement->pass.new.id, &trade))
		return;
	statement->version_known = true;
	statement->xmin = DatumGetTransactionId(slot_getsysattr(work->slot, MinTransactionIdAttributeNumber,
															&isnull));
	statement->cmin = DatumGetCommandId(slot_getsysattr(work->slot, MinCommandIdAttributeNumber,
														&isnull));
}

static void
apply_row(Statement *statement, Effect effect)
{
	const FxTrade *old = &statement->pass.old;
	const FxTrade *new = &statement->pass.new;
	FxBooks    *books;

	if (effect == EFFECT_NONE)
		return;

	books = find_books(statement, &new->user_id);
	if (unlikely(fx_any_rebuilt()))
	{
		/* books made again from the trades have the rows of the statement already */
		find_version(statement);
		if (statement->version_known && fx_rebuilt_since(&new->user_id, statement->cmin))
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("a statement cannot both remove and write executed trades of a user"),
					errhint("Use two statements."));
	}

	switch (effect)
	{
		case EFFECT_NONE:
			break;
		case EFFECT_ORDER:
			fx_apply_order(&statement->work, books, new);
			break;
		case EFFECT_EXECUTION:
			fx_apply_execution(&statement->work, books, new);
			break;
		case EFFECT_CHANGE:
			fx_apply_change(&statement->work, books, old, new);
			break;
		case EFFECT_REMOVAL:
			books->rebuild = true;
			find_books(statement, &old->user_id)->rebuild = true;
			break;
	}
	MemoryContextReset(statement->work.row_context);
}

/*
 * Rows whose turn comes later are no trades yet that could be closed, and
 * neither are those that the same statement has inserted when it updates.
 */
static bool
is_ahead(FxTradeWork *work, const FxTrade *trade, TupleTableSlot *slot)
{
	Statement  *statement = (Statement *) work;
	const Ahead *ahead;
	bool		isnull;

	if (statement->ahead == NULL)
		find_ahead(statement);
	ahead = (const Ahead *) hash_search(statement->ahead, &trade->id, HASH_FIND, NULL);
	if (ahead != NULL)
		return ahead->row >= statement->pass.row;
	if (statement->pass.olds == NULL)
		return false;

	find_version(statement);
	return statement->version_known &&
		DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber,
											  &isnull)) == statement->xmin &&
		DatumGetCommandId(slot_getsysattr(slot, MinCommandIdAttributeNumber,
										  &isnull)) == statement->cmin;
}

/*
 * Note the row numbers of executions and of trades whose price becomes known.
 * All other rows of an update are in the books as they are, by number 0.
 */
static void
find_ahead(Statement *statement)
{
	MemoryContext old_context = MemoryContextSwitchTo(statement->work.context);
	HASHCTL		ctl = {0};
	Pass		pass;

	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(Ahead);
	ctl.hcxt = CurrentMemoryContext;
	statement->ahead = hash_create("rows of a statement", 32, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	begin_pass(statement->trigdata, &pass);
	while (next_row(&pass, &statement->work.columns))
	{
		Effect		effect = effect_of(&pass);
		bool		opens = effect == EFFECT_EXECUTION ||
			(effect == EFFECT_CHANGE && pass.old.has_price != pass.new.has_price);
		Ahead	   *ahead;
		bool		found;

		if (!opens && pass.olds == NULL)
			continue;
		ahead = (Ahead *) hash_search(statement->ahead, &pass.new.id, HASH_ENTER, &found);
		ahead->row = opens ? pass.row : 0;
	}
	end_pass(&pass);
	MemoryContextSwitchTo(old_context);
}
