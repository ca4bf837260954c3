/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Starts the maintenance of databases, one short-lived worker a round
 *
 * One launcher a server, when the library is in shared_preload_libraries.  It
 * is connected to no database and reads shared catalogs only.  A worker ends
 * with its round: between rounds nobody is connected to a database, so that it
 * can be dropped, renamed or used as a template without any force.  A worker
 * that failed is started again when the next round is due, and no sooner.
 *
 * Both start when recovery has finished: nothing happens on a standby, until it
 * is promoted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "compat.h"
#include "worker.h"

#define FX_LAUNCHER_RESTART_S	10

/* A database of fxplatform.databases */
typedef struct ListedDatabase
{
	char	   *name;
	BackgroundWorkerHandle *handle; /* its worker, NULL when none runs */
	TimestampTz due;			/* when the next round begins */
	bool		started;		/* there was a round */
	bool		complained;		/* the log says why there is none */
} ListedDatabase;

static char *fx_databases = NULL;
static int	fx_maintenance_interval = 60;

static List *databases = NIL;	/* of ListedDatabase, in TopMemoryContext */

static bool check_databases(char **newval, void **extra, GucSource source);
static void read_databases(void);
static long start_rounds(void);
static void start_round(ListedDatabase *database);
static Oid	find_database(const char *name, const char **why);

/*
 * Settings of the workers, and the launcher itself when the server is starting.
 */
void
fx_define_worker_settings(void)
{
	BackgroundWorker worker;

	DefineCustomStringVariable("fxplatform.databases",
							   "Databases that are maintained in the background.",
							   "Names separated by commas, in double quotes where they contain a comma or a space.",
							   &fx_databases,
							   "",
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   check_databases, NULL, NULL);
	DefineCustomIntVariable("fxplatform.maintenance_interval",
							"Time between two rounds of maintenance of a database.",
							NULL,
							&fx_maintenance_interval,
							60, 1, 86400,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	if (!process_shared_preload_libraries_in_progress)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = FX_LAUNCHER_RESTART_S;
	strlcpy(worker.bgw_library_name, "fxplatform", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "fx_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "fxplatform launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "fxplatform launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names;
	bool		valid = SplitGUCList(copy, ',', &names);

	list_free(names);
	pfree(copy);
	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	return valid;
}

/*
 * Main function of the launcher
 */
void
fx_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	read_databases();

	for (;;)
	{
		long		timeout = start_rounds();

		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0),
						 timeout,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			read_databases();
		}
	}
}

/*
 * Take over the setting.  Databases that stay keep their worker and their turn,
 * but wait no longer than the interval of now; workers of others are stopped.
 */
static void
read_databases(void)
{
	MemoryContext caller_context = MemoryContextSwitchTo(TopMemoryContext);
	TimestampTz latest = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													 fx_maintenance_interval * INT64CONST(1000));
	char	   *copy = pstrdup(fx_databases);
	List	   *before = databases;
	List	   *names;
	ListCell   *cell;

	databases = NIL;
	if (!SplitGUCList(copy, ',', &names))
		names = NIL;			/* the check hook has refused it */

	foreach(cell, names)
	{
		const char *name = lfirst(cell);
		ListedDatabase *database = NULL;
		ListCell   *other;

		foreach(other, databases)
		{
			if (strcmp(((ListedDatabase *) lfirst(other))->name, name) == 0)
				break;
		}
		if (other != NULL)
			continue;			/* listed twice */

		foreach(other, before)
		{
			if (strcmp(((ListedDatabase *) lfirst(other))->name, name) == 0)
			{
				database = lfirst(other);
				before = foreach_delete_current(before, other);
				break;
			}
		}
		if (database == NULL)
		{
			database = palloc0(sizeof(ListedDatabase));
			database->name = pstrdup(name);
			database->due = GetCurrentTimestamp();
		}
		database->due = Min(database->due, latest);
		databases = lappend(databases, database);
	}

	foreach(cell, before)
	{
		ListedDatabase *database = lfirst(cell);

		if (database->handle != NULL)
		{
			TerminateBackgroundWorker(database->handle);
			pfree(database->handle);
		}
		pfree(database->name);
		pfree(database);
	}
	list_free(before);
	list_free(names);
	pfree(copy);
	MemoryContextSwitchTo(caller_context);
}

/*
 * Start what is due; return the milliseconds until the next is, or -1 when only
 * a signal can bring anything.  The end of a worker is such a signal.
 */
static long
start_rounds(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		timeout = -1;
	ListCell   *cell;

	foreach(cell, databases)
	{
		ListedDatabase *database = lfirst(cell);
		long		wait;

		if (database->handle != NULL)
		{
			pid_t		pid;

			if (GetBackgroundWorkerPid(database->handle, &pid) != BGWH_STOPPED)
				continue;
			pfree(database->handle);
			database->handle = NULL;
		}

		if (database->due <= now)
		{
			database->due = TimestampTzPlusMilliseconds(now, fx_maintenance_interval * INT64CONST(1000));
			start_round(database);
			if (database->handle != NULL)
				continue;
		}
		wait = TimestampDifferenceMilliseconds(now, database->due);
		if (timeout < 0 || wait < timeout)
			timeout = wait;
	}

	return timeout;
}

/*
 * Start a worker, or say in the log why there is none, once until it succeeds.
 */
static void
start_round(ListedDatabase *database)
{
	BackgroundWorker worker;
	bool		first = !database->started;
	MemoryContext caller_context;
	const char *why;
	Oid			oid = find_database(database->name, &why);

	if (!OidIsValid(oid))
	{
		ereport(database->complained ? DEBUG1 : LOG,
				errmsg("database \"%s\" cannot be maintained", database->name),
				errdetail_internal("%s", why));
		database->complained = true;
		database->started = false;	/* what is new under this name is new */
		return;
	}

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = ObjectIdGetDatum(oid);
	memcpy(worker.bgw_extra, &first, sizeof(first));
	strlcpy(worker.bgw_library_name, "fxplatform", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "fx_maintenance_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, "fxplatform maintenance", sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "fxplatform maintenance of %s", database->name);

	caller_context = MemoryContextSwitchTo(TopMemoryContext);
	if (!RegisterDynamicBackgroundWorker(&worker, &database->handle))
	{
		database->handle = NULL;
		ereport(database->complained ? DEBUG1 : LOG,
				errmsg("database \"%s\" cannot be maintained", database->name),
				errdetail("There is no free slot for a background worker."),
				errhint("Consider increasing \"max_worker_processes\"."));
		database->complained = true;
	}
	else
	{
		database->complained = false;
		database->started = true;
	}
	MemoryContextSwitchTo(caller_context);
}

/*
 * Look up a database in the shared catalogs; a worker that could not connect
 * would say so in the log with every round.  It is a scan, because without a
 * database there are no caches of the indexes.
 */
static Oid
find_database(const char *name, const char **why)
{
	Oid			oid = InvalidOid;
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	tuple;

	*why = "It does not exist.";

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (strcmp(NameStr(form->datname), name) != 0)
			continue;
		if (!form->datallowconn)
			*why = "It does not allow connections.";
		else if (form->datconnlimit < -1)
			*why = "It was left behind by an interrupted DROP DATABASE.";
		else
			oid = form->oid;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();

	return oid;
}
