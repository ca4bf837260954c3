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
 * The segment is a table of sets of entries; a set that is full loses the entry
 * used longest ago.  One spinlock guards it: it is held for one set.
 *
 * After "free" attempts the delay is a second, and doubles with each further
 * one up to fxplatform.sign_in_max_delay; that long without an attempt takes
 * one back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
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
#define MEMORY_MAGIC		UINT64CONST(0x66786661696c7331)

#define SETS				1024
#define SET_ENTRIES			8

/* Beyond it the delay would not fit a shift; every cap is far below */
#define MAX_DOUBLINGS		30

typedef struct Entry
{
	uint64		key;			/* 0: free */
	TimestampTz last_at;		/* of the last attempt */
	int64		attempts;
} Entry;

typedef struct Memory
{
	uint64		magic;
	Oid			database;
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
static uint64 entry_key(bytea *key);
static Entry *find_entry(Memory *memory, uint64 key);
static int64 attempts_left(int64 attempts, TimestampTz last_at, TimestampTz now);
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
	uint64		key = entry_key(PG_GETARG_BYTEA_PP(0));
	int64		free = (int64) sign_in_failures * PG_GETARG_INT32(1);
	int64		known_attempts = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(2);
	TimestampTz known_at = PG_ARGISNULL(3) ? 0 : PG_GETARG_TIMESTAMPTZ(3);
	Memory	   *memory = attach_memory();
	TimestampTz now = GetCurrentTimestamp();
	int64		attempts;
	int64		wait;
	Entry	   *entry;
	Interval   *result;

	SpinLockAcquire(&memory->lock);
	entry = find_entry(memory, key);
	if (entry->key != key)
	{
		entry->key = key;
		entry->attempts = known_attempts;
		entry->last_at = known_at;
	}
	attempts = attempts_left(entry->attempts, entry->last_at, now);
	wait = delay_after(attempts, free) - (now - entry->last_at);
	if (wait <= 0)
	{
		entry->attempts = attempts + 1;
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
	uint64		key = entry_key(PG_GETARG_BYTEA_PP(0));
	bool		whole = PG_GETARG_BOOL(1);
	Memory	   *memory = attach_memory();
	Entry	   *entry;

	SpinLockAcquire(&memory->lock);
	entry = find_entry(memory, key);
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
		SpinLockInit(&memory->lock);

		/* it must be known to all before it counts: this fails where nothing is written */
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

/*
 * The key is a hash already.
 */
static uint64
entry_key(bytea *key)
{
	uint64		result = 0;

	if (VARSIZE_ANY_EXHDR(key) < sizeof(uint64))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("key must have at least %d bytes", (int) sizeof(uint64)));
	memcpy(&result, VARDATA_ANY(key), sizeof(uint64));
	return Max(result, 1);
}

/*
 * The entry of the key, or that in its set which may be taken for it.
 */
static Entry *
find_entry(Memory *memory, uint64 key)
{
	Entry	   *set = memory->entries[key % SETS];
	Entry	   *oldest = &set[0];

	for (int i = 0; i < SET_ENTRIES; i++)
	{
		if (set[i].key == key)
			return &set[i];
		if (set[i].last_at < oldest->last_at || set[i].key == 0)
			oldest = &set[i];
		if (oldest->key == 0)
			break;
	}
	return oldest;
}

static int64
attempts_left(int64 attempts, TimestampTz last_at, TimestampTz now)
{
	if (sign_in_max_delay == 0 || attempts == 0)
		return 0;
	return Max(attempts - (now - last_at) / (sign_in_max_delay * USECS_PER_SEC), 0);
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
