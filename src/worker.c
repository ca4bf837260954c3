/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  One round of maintenance of one database
 *
 * The round is the procedure fx.maintain(), which commits step by step, and
 * then what no procedure can run: ALTER TABLE ... DETACH PARTITION ...
 * CONCURRENTLY of the partitions that it marked as expired.  Statements are run
 * as a client's would be, at top level, each in transactions of its own; an
 * error ends the statement, is recorded and not the end of the round.
 *
 * What is to be done next with a marked partition follows from the catalogs
 * (fx.detach_statements), so a round that is killed at any point is continued
 * by the next one: a detach that is pending is finalised, a table that is
 * detached is dropped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "work_lock.h"
#include "worker.h"

/* Detach, finalise where that was interrupted, drop */
#define FX_DETACH_PASSES	3

/*
 * Nothing to do, or the reason why nothing can be done.  A superuser does not
 * run triggers and defaults of tables that belong to somebody else.
 */
#define FX_OBSTACLE_QUERY \
	"SELECT CASE" \
	" WHEN NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'fxplatform')" \
	" THEN 'Extension \"fxplatform\" is not installed.'" \
	" WHEN to_regprocedure('fx.maintain(boolean)') IS NULL OR to_regclass('fx.maintenance_runs') IS NULL" \
	" THEN 'Its extension \"fxplatform\" is older than maintenance, or its tables are.'" \
	" WHEN (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user)" \
	" AND EXISTS (SELECT FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner" \
	" WHERE c.relnamespace = to_regnamespace('fx') AND c.relkind IN ('r', 'p') AND NOT r.rolsuper)" \
	" THEN 'Tables of schema \"fx\" belong to a role that is no superuser.'" \
	" END"

#define FX_STATEMENTS_QUERY \
	"SELECT s.statement FROM fx.detach_statements(false) s"

static void set_session(void);
static List *query_texts(const char *sql, MemoryContext context);
static bool run_and_record(const char *sql, MemoryContext context);
static bool run_statement(const char *sql, MemoryContext context, char **error);
static void run_top_level(const char *sql, MemoryContext context);
static char *recover(MemoryContext context);
static void record_run(const char *step, TimestampTz started_at, const char *outcome,
					   const char *detail, int rows);

/*
 * Main function of the worker of one database
 */
void
fx_maintenance_main(Datum arg)
{
	bool		first;			/* since the launcher knows the database */
	MemoryContext context;
	List	   *texts;
	char	   *error;

	memcpy(&first, MyBgworkerEntry->bgw_extra, sizeof(first));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	set_session();
	context = AllocSetContextCreate(TopMemoryContext, "fxplatform maintenance",
									ALLOCSET_DEFAULT_SIZES);

	texts = query_texts(FX_OBSTACLE_QUERY, context);
	if (linitial(texts) != NULL)
	{
		ereport(first ? LOG : DEBUG1,
				errmsg("database \"%s\" cannot be maintained", MyBgworkerEntry->bgw_name +
					   strlen("fxplatform maintenance of ")),
				errdetail_internal("%s", (char *) linitial(texts)));
		proc_exit(0);
	}

	/* held until the process ends; fx.maintain() takes it again itself */
	if (!fx_lock_work(FX_MAINTENANCE_WORK, strlen(FX_MAINTENANCE_WORK), true, false))
	{
		record_run("maintenance", GetCurrentTimestamp(), "skipped",
				   "maintenance of this database is running already", -1);
		proc_exit(0);
	}

	if (!run_statement("CALL fx.maintain(by_worker => true)", context, &error))
		record_run("maintenance", GetCurrentTimestamp(), "failed", error, -1);

	for (int pass = 0; pass < FX_DETACH_PASSES; pass++)
	{
		bool		all_done = true;
		ListCell   *cell;

		MemoryContextReset(context);
		texts = query_texts(FX_STATEMENTS_QUERY, context);
		foreach(cell, texts)
		{
			MemoryContext statement_context = AllocSetContextCreate(context, "fxplatform statement",
																	ALLOCSET_DEFAULT_SIZES);

			all_done &= run_and_record(lfirst(cell), statement_context);
			/* an error leaves it the current one */
			MemoryContextSwitchTo(context);
			MemoryContextDelete(statement_context);
		}

		/* what a lock was in the way of has the next round */
		if (texts == NIL || !all_done)
			break;
	}

	proc_exit(0);
}

/*
 * Settings that a database or a role may have otherwise.
 */
static void
set_session(void)
{
	SetConfigOption("application_name", MyBgworkerEntry->bgw_type, PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "2s", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "false", PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * The texts that a query returns in its only column, NULL among them, in the
 * given context.  An error is the caller's, who has none to catch: it ends the
 * process.
 */
static List *
query_texts(const char *sql, MemoryContext context)
{
	List	   *texts = NIL;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, sql);
	SPI_connect();

	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of query: %s", sql);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *text = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext caller_context = MemoryContextSwitchTo(context);

		texts = lappend(texts, text ? pstrdup(text) : NULL);
		MemoryContextSwitchTo(caller_context);
	}

	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
	return texts;
}

/*
 * Run a statement that takes a partition one step further; a query is the last
 * of its steps, the one that drops it.
 */
static bool
run_and_record(const char *sql, MemoryContext context)
{
	TimestampTz started_at = GetCurrentTimestamp();
	char	   *error = NULL;
	bool		done = run_statement(sql, context, &error);

	record_run("retention", started_at, done ? "ok" : "failed",
			   done ? sql : psprintf("%s: %s", sql, error),
			   done ? strncmp(sql, "SELECT", 6) == 0 : -1);
	return done;
}

/*
 * Run a statement at top level; false, and the error as text, when it fails.
 */
static bool
run_statement(const char *sql, MemoryContext context, char **error)
{
	volatile bool done = false;

	PG_TRY();
	{
		run_top_level(sql, context);
		done = true;
	}
	PG_CATCH();
	{
		*error = recover(context);
	}
	PG_END_TRY();

	debug_query_string = NULL;
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	return done;
}

/*
 * What exec_simple_query() does with a query string, without a client.  The
 * trees have to outlive the transactions that the statement ends itself.
 */
static void
run_top_level(const char *sql, MemoryContext context)
{
	List	   *raw_trees;
	ListCell   *cell;

	SetCurrentStatementStartTimestamp();
	debug_query_string = sql;
	pgstat_report_activity(STATE_RUNNING, sql);
	StartTransactionCommand();

	MemoryContextSwitchTo(context);
	raw_trees = pg_parse_query(sql);
	foreach(cell, raw_trees)
	{
		RawStmt    *raw = lfirst_node(RawStmt, cell);
		bool		needs_snapshot = analyze_requires_snapshot(raw);
		List	   *trees;
		Portal		portal;

		if (needs_snapshot)
			PushActiveSnapshot(GetTransactionSnapshot());
		trees = pg_analyze_and_rewrite_fixedparams(raw, sql, NULL, 0, NULL);
		trees = pg_plan_queries(trees, sql, 0, NULL);
		if (needs_snapshot)
			PopActiveSnapshot();

		portal = CreatePortal("", true, true);
		portal->visible = false;
		PortalDefineQuery(portal, NULL, sql, CreateCommandTag(raw->stmt), trees, NULL);
		PortalStart(portal, NULL, 0, InvalidSnapshot);
		fx_portal_run(portal, FETCH_ALL, true, None_Receiver, None_Receiver, NULL);
		PortalDrop(portal, false);
	}

	CommitTransactionCommand();
}

/*
 * Clean up after an error as PostgresMain() does, and return it as text.  A
 * lock that was not to be had is nothing for the log: it is recorded.
 */
static char *
recover(MemoryContext context)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		EmitErrorReport();
	FlushErrorState();
	AbortCurrentTransaction();
	PortalErrorCleanup();
	jit_reset_after_error();
	MemoryContextSwitchTo(context);
	RESUME_INTERRUPTS();

	return psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message);
}

/*
 * Add a row to fx.maintenance_runs, with rows NULL when negative.  Where that
 * fails, the log has to do.
 */
static void
record_run(const char *step, TimestampTz started_at, const char *outcome,
		   const char *detail, int rows)
{
	MemoryContext caller_context = CurrentMemoryContext;
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID};
	Datum		values[] = {CStringGetTextDatum(step), TimestampTzGetDatum(started_at),
		CStringGetTextDatum(outcome), CStringGetTextDatum(detail), Int64GetDatum(rows)};
	char		nulls[] = {' ', ' ', ' ', ' ', rows >= 0 ? ' ' : 'n'};

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		SPI_connect();
		SPI_execute_with_args("SELECT fx.record_maintenance($1, $2, $3, $4, $5, true)",
							  lengthof(types), types, values, nulls, false, 0);
		SPI_finish();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		recover(caller_context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller_context);
}
