/*-------------------------------------------------------------------------
 *
 * session_failures.c
 *	  How long must the next attempt to sign in wait?
 *
 * The rows of fx.sign_in_failures go with the transaction that wrote them: who
 * rolls back every attempt, or makes many at once, would never be slowed down.
 * So attempts are counted in shared memory, before the password is looked at;
 * a success takes the count back.  The memory is a dynamic segment, because the
 * module need not be preloaded.  Its handle is the value of the sequence
 * fx.sign_in_memory, which no rollback undoes either.  After a restart there is
 * no such segment, or another one: a new one is made, and counts start from the
 * rows that the table has.
 *
 * The segment is a table of sets of entries.  A set that is full loses an entry
 * with the fewest attempts, of those the one used longest ago, and one whose
 * delay is running only where all are.  A random key decides about the set of an
 * entry: nobody can pick logins whose attempts push out another's.  One spinlock
 * guards all: it is held for one set.
 *
 * After "free" attempts the delay is a second, and doubles with each further
 * one up to fxplatform.sign_in_max_delay; that long without an attempt takes
 * one back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/lock.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fxplatform.h"
#include "identity.h"

#define MEMORY_SEQUENCE		"sign_in_memory"
#define MEMORY_MAGIC		UINT64CONST(0x66786661696c7332)

#define SETS				1024
#define SET_ENTRIES			8

/* Beyond it the delay would not fit a shift; every cap is far below */
#define MAX_DOUBLINGS		30

typedef struct Entry
{
	uint64		key;			/* 0: free */
	TimestampTz last_at;		/* of the last attempt */
	int64		attempts;
	int64		free;			/* attempts without delay */
} Entry;

typedef struct Memory
{
	uint64		magic;
	Oid			database;
	uint64		seed;			/* secret, of the keys of entries */
	slock_t		lock;			/* guards all entries */
	Entry		entries[SETS][SET_ENTRIES];
} Memory;

static int	sign_in_failures = 5;
static int	sign_in_max_delay = 15 * SECS_PER_MINUTE;

/* Attached for the life of the process */
static dsm_segment *segment = NULL;

PG_FUNCTION_INFO_V1(fx_charge_sign_in);
PG_FUNCTION_INFO_V1(fx_forgive_sign_in);

static Memory *attach_memory(void);
static Memory *attach_segment(dsm_handle handle);
static int64 sequence_value(Oid sequence);
static void check_charge(FunctionCallInfo fcinfo);
static void check_key(bytea *key);
static uint64 entry_key(const Memory *memory, bytea *key);
static Entry *find_entry(Memory *memory, uint64 key, TimestampTz now);
static bool goes_before(const Entry *a, const Entry *b, TimestampTz now);
static int64 wait_of(const Entry *entry, TimestampTz now);
static int64 attempts_left(const Entry *entry, TimestampTz now);
static int64 delay_after(int64 attempts, int64 free);

/*
 * charge_sign_in(key bytea, factor integer, attempts bigint,
 *				  last_at timestamptz) returns interval
 *
 * Count an attempt and return NULL, or return how long it has to wait.  The
 * number of free attempts is the setting's times factor.  Attempts and the
 * time of the last one are what the table knows.  Not strict for last_at.
 */
Datum
fx_charge_sign_in(PG_FUNCTION_ARGS)
{
	bytea	   *login;
	int64		free;
	int64		known_attempts = 0;
	TimestampTz known_at = 0;
	Memory	   *memory;
	TimestampTz now;
	uint64		key;
	int64		wait;
	Entry	   *entry;
	Interval   *result;

	check_charge(fcinfo);
	login = PG_GETARG_BYTEA_PP(0);
	free = (int64) sign_in_failures * PG_GETARG_INT32(1);
	if (!PG_ARGISNULL(3))
	{
		/* more than this cost no more */
		known_attempts = Min(PG_GETARG_INT64(2), PG_INT32_MAX);
		known_at = PG_GETARG_TIMESTAMPTZ(3);
	}
	check_key(login);
	memory = attach_memory();
	key = entry_key(memory, login);
	now = GetCurrentTimestamp();

	SpinLockAcquire(&memory->lock);
	entry = find_entry(memory, key, now);
	if (entry->key != key)
	{
		entry->key = key;
		entry->attempts = known_attempts;
		entry->last_at = known_at;
	}
	entry->free = free;
	wait = wait_of(entry, now);
	if (wait <= 0)
	{
		entry->attempts = attempts_left(entry, now) + 1;
		entry->last_at = now;
	}
	SpinLockRelease(&memory->lock);

	if (wait <= 0)
		PG_RETURN_NULL();
	result = palloc0(sizeof(Interval));
	result->time = wait;
	PG_RETURN_INTERVAL_P(result);
}

/*
 * forgive_sign_in(key bytea, whole boolean) returns void
 *
 * Take back one attempt, or all of them.
 */
Datum
fx_forgive_sign_in(PG_FUNCTION_ARGS)
{
	bytea	   *login = PG_GETARG_BYTEA_PP(0);
	bool		whole = PG_GETARG_BOOL(1);
	Memory	   *memory;
	TimestampTz now;
	uint64		key;
	Entry	   *entry;

	check_key(login);
	memory = attach_memory();
	key = entry_key(memory, login);
	now = GetCurrentTimestamp();

	SpinLockAcquire(&memory->lock);
	entry = find_entry(memory, key, now);
	if (entry->key == key)
		entry->attempts = whole ? 0 : Max(entry->attempts - 1, 0);
	SpinLockRelease(&memory->lock);
	PG_RETURN_VOID();
}

/*
 * The segment of this database, made when there is none.  Runs with the rights
 * of the sequence's owner.
 */
static Memory *
attach_memory(void)
{
	Oid			sequence;
	Memory	   *memory;
	LOCKTAG		tag;

	/* before the password is looked at: a failure could not be recorded */
	if (XactReadOnly)
		ereport(ERROR,
				errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				errmsg("attempts to sign in cannot be counted in a read-only transaction"),
				RecoveryInProgress() ? errhint("Sign in on the primary server.") : 0);

	if (segment != NULL)
		return dsm_segment_address(segment);

	sequence = fx_require_table(MEMORY_SEQUENCE);

	/* one at a time looks for it, or makes it */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, sequence, 1);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);

	memory = attach_segment((dsm_handle) sequence_value(sequence));
	if (memory == NULL)
	{
		dsm_segment *made = dsm_create(sizeof(Memory), 0);

		memory = dsm_segment_address(made);
		memset(memory, 0, sizeof(Memory));
		memory->magic = MEMORY_MAGIC;
		memory->database = MyDatabaseId;
		if (!pg_strong_random(&memory->seed, sizeof(memory->seed)))
			ereport(ERROR,
					errcode(ERRCODE_INTERNAL_ERROR),
					errmsg("could not generate random values"));
		SpinLockInit(&memory->lock);

		/* it must be known to all before it counts */
		(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence),
								   Int64GetDatum((int64) dsm_segment_handle(made)));
		dsm_pin_segment(made);
		dsm_pin_mapping(made);
		segment = made;
	}

	LockRelease(&tag, ExclusiveLock, false);
	return memory;
}

/*
 * Attach to the segment, unless it is not there or somebody else's.
 */
static Memory *
attach_segment(dsm_handle handle)
{
	dsm_segment *found;
	Memory	   *memory;

	if (handle == 0 || dsm_find_mapping(handle) != NULL)
		return NULL;
	found = dsm_attach(handle);
	if (found == NULL)
		return NULL;

	memory = dsm_segment_address(found);
	if (dsm_segment_map_length(found) < sizeof(Memory) ||
		memory->magic != MEMORY_MAGIC || memory->database != MyDatabaseId)
	{
		dsm_detach(found);
		return NULL;
	}
	dsm_pin_mapping(found);
	segment = found;
	return memory;
}

/*
 * 0 before the first value
 */
static int64
sequence_value(Oid sequence)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	flinfo;
	Datum		value;

	fmgr_info(F_PG_SEQUENCE_LAST_VALUE, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(sequence);
	fcinfo->args[0].isnull = false;
	value = FunctionCallInvoke(fcinfo);
	return fcinfo->isnull ? 0 : DatumGetInt64(value);
}

static void
check_charge(FunctionCallInfo fcinfo)
{
	for (int i = 0; i < 3; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("argument \"%s\" must not be null",
						   i == 0 ? "key" : i == 1 ? "factor" : "attempts"));
	}
	if (PG_GETARG_INT32(1) < 1 || PG_GETARG_INT64(2) < 0 ||
		(!PG_ARGISNULL(3) && TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(3))))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("arguments are not those of failures that were counted"));
}

static void
check_key(bytea *key)
{
	if (VARSIZE_ANY_EXHDR(key) < sizeof(uint64))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("key must have at least %d bytes", (int) sizeof(uint64)));
}

static uint64
entry_key(const Memory *memory, bytea *key)
{
	uint64		result = hash_bytes_extended((unsigned char *) VARDATA_ANY(key),
											 VARSIZE_ANY_EXHDR(key), memory->seed);

	return Max(result, 1);
}

/*
 * The entry of the key, or that in its set which may be taken for it.
 */
static Entry *
find_entry(Memory *memory, uint64 key, TimestampTz now)
{
	Entry	   *set = memory->entries[key % SETS];
	Entry	   *first = &set[0];

	for (int i = 0; i < SET_ENTRIES; i++)
	{
		if (set[i].key == key)
			return &set[i];
		if (goes_before(&set[i], first, now))
			first = &set[i];
	}
	return first;
}

/*
 * Is a rather to be lost than b?
 */
static bool
goes_before(const Entry *a, const Entry *b, TimestampTz now)
{
	bool		a_waits;
	bool		b_waits;
	int64		a_left;
	int64		b_left;

	if (a->key == 0 || b->key == 0)
		return b->key != 0;

	a_waits = wait_of(a, now) > 0;
	b_waits = wait_of(b, now) > 0;
	if (a_waits != b_waits)
		return b_waits;

	a_left = attempts_left(a, now);
	b_left = attempts_left(b, now);
	return a_left != b_left ? a_left < b_left : a->last_at < b->last_at;
}

/*
 * Microseconds until the next attempt, not above zero when it may be made
 */
static int64
wait_of(const Entry *entry, TimestampTz now)
{
	return delay_after(attempts_left(entry, now), entry->free) - (now - entry->last_at);
}

static int64
attempts_left(const Entry *entry, TimestampTz now)
{
	if (sign_in_max_delay == 0 || entry->attempts == 0)
		return 0;
	return Max(entry->attempts - (now - entry->last_at) / (sign_in_max_delay * USECS_PER_SEC), 0);
}

/*
 * Microseconds between an attempt and the next
 */
static int64
delay_after(int64 attempts, int64 free)
{
	if (attempts < free)
		return 0;
	return Min(INT64CONST(1) << Min(attempts - free, MAX_DOUBLINGS), sign_in_max_delay) *
		USECS_PER_SEC;
}

void
fx_define_failure_settings(void)
{
	DefineCustomIntVariable("fxplatform.sign_in_failures",
							"Sets how many failed attempts to sign in have no delay.",
							"For one login; for one address it is ten times as many.",
							&sign_in_failures,
							5,
							1, 1000,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fxplatform.sign_in_max_delay",
							"Sets the longest delay between failed attempts to sign in.",
							"Zero turns the delays off.",
							&sign_in_max_delay,
							15 * SECS_PER_MINUTE,
							0, SECS_PER_DAY,
							PGC_SUSET,
							GUC_UNIT_S,
							NULL, NULL, NULL);
}
