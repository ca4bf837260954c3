/*-------------------------------------------------------------------------
 *
 * audit_write.c
 *	  Entries of the audit log
 *
 * Values become JSON with the rights of whoever wrote the rows, because output
 * functions may be anybody's; audit_store.c stores entries with the rights of
 * the log's owner.
 *
 * Columns of the log are found by name: it may be older than this code while
 * migrations run, or have columns of its owner's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/xid8.h"

#include "audit.h"
#include "audit_hash.h"
#include "compat.h"
#include "fxplatform.h"
#include "relcache.h"

#define UUID_RANDOM_LEN		8

/* Columns of the log, in the order of "log_columns" */
typedef enum LogColumn
{
	LOG_ID,
	LOG_USER_ID,
	LOG_ACTION,
	LOG_RESOURCE_TYPE,
	LOG_RESOURCE_ID,
	LOG_OLD_VALUES,
	LOG_NEW_VALUES,
	LOG_IP_ADDRESS,
	LOG_USER_AGENT,
	LOG_CREATED_AT,
	LOG_ACTOR_ID,
	LOG_CHANGED_COLUMNS,
	LOG_SESSION_USER_NAME,
	LOG_APPLICATION_NAME,
	LOG_TRANSACTION_ID,
	LOG_STATEMENT_AT,
	LOG_ROW_HASH
} LogColumn;

#define LOG_COLUMNS			(LOG_ROW_HASH + 1)

static const struct
{
	const char *name;
	Oid			type;			/* TEXTOID: or character varying */
}			log_columns[LOG_COLUMNS] = {
	{"id", UUIDOID},
	{"user_id", UUIDOID},
	{"action", TEXTOID},
	{"resource_type", TEXTOID},
	{"resource_id", TEXTOID},
	{"old_values", JSONBOID},
	{"new_values", JSONBOID},
	{"ip_address", INETOID},
	{"user_agent", TEXTOID},
	{"created_at", TIMESTAMPTZOID},
	{"actor_id", UUIDOID},
	{"changed_columns", TEXTARRAYOID},
	{"session_user_name", TEXTOID},
	{"application_name", TEXTOID},
	{"transaction_id", XID8OID},
	{"statement_at", TIMESTAMPTZOID},
	{"row_hash", BYTEAOID}
};

/* What text of values depends on, and what it shall be */
static const char *const settings[][2] = {
	{"TimeZone", "UTC"},
	{"DateStyle", "ISO"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"lc_monetary", "C"},
	{"quote_all_identifiers", "off"},
	{"search_path", "pg_catalog, pg_temp"}
};

/* Where the columns of the log are, as long as nobody changes it */
static Oid	known_log = InvalidOid;
static AttrNumber log_attnums[LOG_COLUMNS]; /* 0: it has no such column */

/* The storing of some entries */
typedef struct LogWriter
{
	AuditStore	store;
	const AuditActor *actor;
	bool		user_exists;	/* and is locked */
	AuditKey	key;
	Datum	   *values;			/* of an entry */
	bool	   *nulls;
	MemoryContext row_context;	/* for the making of one entry */
	AuditHasher hasher;
	const char *ip_text;		/* of actor->ip_address */
	AuditImage	old_image;
	AuditImage	new_image;
	AuditImage	scratch;
	ArrayType  *changed_columns;	/* of the row before */
	const AuditRow *changed_row;
} LogWriter;

static void set_settings(void);
static void begin_writer(LogWriter *writer, const AuditActor *actor);
static void find_log_columns(Relation log);
static void relcache_callback(Oid relid);
static void make_entry(LogWriter *writer, const AuditRow *row);
static void set_column(LogWriter *writer, LogColumn column, Datum value);
static void set_pointer(LogWriter *writer, LogColumn column, const void *pointer);
static ArrayType *changed_columns_of(LogWriter *writer, const AuditRow *row);
static void hash_entry(LogWriter *writer, const AuditRow *row, const pg_uuid_t *id,
					   const text *resource_id, uint8 *digest);
static void hash_text(AuditHasher *hasher, const text *string);
static void make_uuid(pg_uuid_t *uuid, TimestampTz at);

/*
 * Make and store the entries of rows.
 */
void
fx_audit_write(const AuditActor *actor, AuditRow *rows, int nrows)
{
	MemoryContext context;
	MemoryContext old;
	LogWriter  *writer;
	int			save_nestlevel = 0;
	bool		has_redacted = false;
	bool		needs_settings = false;

	if (nrows == 0)
		return;

	context = AllocSetContextCreate(CurrentMemoryContext, "audit writer", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	writer = palloc0(sizeof(LogWriter));
	begin_writer(writer, actor);

	for (int i = 0; i < nrows; i++)
	{
		has_redacted |= rows[i].table->has_redacted;
		needs_settings |= rows[i].table->needs_settings;
	}
	if (has_redacted)
		fx_audit_read_key(&writer->key);
	if (needs_settings)
	{
		save_nestlevel = NewGUCNestLevel();
		set_settings();
	}

	for (int i = 0; i < nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		make_entry(writer, &rows[i]);
	}
	fx_audit_store_flush(&writer->store);

	if (needs_settings)
		AtEOXact_GUC(true, save_nestlevel);
	fx_audit_hasher_free(&writer->hasher);
	fx_audit_store_close(&writer->store);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static void
set_settings(void)
{
	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

static void
begin_writer(LogWriter *writer, const AuditActor *actor)
{
	int			natts;

	fx_audit_store_open(&writer->store);
	if (unlikely(known_log != RelationGetRelid(writer->store.log)))
		find_log_columns(writer->store.log);

	natts = RelationGetDescr(writer->store.log)->natts;
	writer->actor = actor;
	writer->values = palloc(natts * sizeof(Datum));
	writer->nulls = palloc(natts * sizeof(bool));
	writer->row_context = AllocSetContextCreate(CurrentMemoryContext, "audit row",
												ALLOCSET_DEFAULT_SIZES);
	fx_audit_image_init(&writer->old_image);
	fx_audit_image_init(&writer->new_image);
	fx_audit_image_init(&writer->scratch);
	if (actor->ip_address != NULL)
		writer->ip_text = DatumGetCString(DirectFunctionCall1(inet_out,
															  InetPGetDatum(actor->ip_address)));
	fx_audit_hasher_create(&writer->hasher);
}

static void
find_log_columns(Relation log)
{
	static bool registered = false;
	TupleDesc	tupdesc = RelationGetDescr(log);

	if (!registered)
		fx_relcache_register(relcache_callback);
	registered = true;

	memset(log_attnums, 0, sizeof(log_attnums));
	for (int i = 0; i < LOG_COLUMNS; i++)
	{
		for (int j = 0; j < tupdesc->natts; j++)
		{
			Form_pg_attribute att = TupleDescAttr(tupdesc, j);

			if (att->attisdropped || strcmp(NameStr(att->attname), log_columns[i].name) != 0)
				continue;
			if (att->atttypid != log_columns[i].type &&
				!(att->atttypid == VARCHAROID && log_columns[i].type == TEXTOID))
				ereport(ERROR,
						errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" is not of type %s",
							   log_columns[i].name, "fx.audit_log",
							   format_type_be(log_columns[i].type)));
			log_attnums[i] = att->attnum;
			break;
		}
	}
	known_log = RelationGetRelid(log);
}

static void
relcache_callback(Oid relid)
{
	if (!OidIsValid(relid) || relid == known_log)
		known_log = InvalidOid;
}

static void
make_entry(LogWriter *writer, const AuditRow *row)
{
	const AuditTable *table = row->table;
	const AuditActor *actor = writer->actor;
	MemoryContext old = MemoryContextSwitchTo(writer->row_context);
	Datum	   *values = palloc(table->tupdesc->natts * sizeof(Datum));
	bool	   *nulls = palloc(table->tupdesc->natts * sizeof(bool));
	text	   *resource_id = NULL;
	bytea	   *row_hash = palloc(VARHDRSZ + FX_AUDIT_HASH_LEN);
	pg_uuid_t	id;

	/* before each time that entries are stored */
	if (writer->store.nentries == 0)
		writer->user_exists = actor->actor_id != NULL && fx_audit_lock_user(actor->actor_id);

	memset(writer->nulls, true, RelationGetDescr(writer->store.log)->natts * sizeof(bool));
	if (row->oldtup != NULL)
	{
		heap_deform_tuple(row->oldtup, table->tupdesc, values, nulls);
		fx_audit_image_of(&writer->old_image, table, values, nulls, row->changed, &writer->key);
		set_pointer(writer, LOG_OLD_VALUES, writer->old_image.jsonb.data);
	}
	if (row->newtup != NULL)
	{
		heap_deform_tuple(row->newtup, table->tupdesc, values, nulls);
		fx_audit_image_of(&writer->new_image, table, values, nulls, NULL, &writer->key);
		set_pointer(writer, LOG_NEW_VALUES, writer->new_image.jsonb.data);
	}
	if (row->oldtup != NULL || row->newtup != NULL)
		resource_id = fx_audit_resource_id_of(&writer->scratch, table, values, nulls);

	make_uuid(&id, row->at);
	set_pointer(writer, LOG_ID, &id);
	set_pointer(writer, LOG_USER_ID, writer->user_exists ? actor->actor_id : NULL);
	set_pointer(writer, LOG_ACTION, cstring_to_text(row->action));
	set_pointer(writer, LOG_RESOURCE_TYPE, table->resource_type);
	set_pointer(writer, LOG_RESOURCE_ID, resource_id);
	set_pointer(writer, LOG_IP_ADDRESS, actor->ip_address);
	set_pointer(writer, LOG_USER_AGENT, actor->user_agent);
	set_column(writer, LOG_CREATED_AT, TimestampTzGetDatum(row->at));
	set_pointer(writer, LOG_ACTOR_ID, actor->actor_id);
	set_pointer(writer, LOG_CHANGED_COLUMNS, changed_columns_of(writer, row));
	set_pointer(writer, LOG_SESSION_USER_NAME, actor->session_user_name);
	set_pointer(writer, LOG_APPLICATION_NAME, actor->application_name);
	set_column(writer, LOG_TRANSACTION_ID, FullTransactionIdGetDatum(GetTopFullTransactionId()));
	set_column(writer, LOG_STATEMENT_AT, TimestampTzGetDatum(actor->statement_at));

	SET_VARSIZE(row_hash, VARHDRSZ + FX_AUDIT_HASH_LEN);
	hash_entry(writer, row, &id, resource_id, (uint8 *) VARDATA(row_hash));
	set_pointer(writer, LOG_ROW_HASH, row_hash);

	fx_audit_store_add(&writer->store, writer->values, writer->nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->row_context);
}

static void
set_column(LogWriter *writer, LogColumn column, Datum value)
{
	AttrNumber	attnum = log_attnums[column];

	if (attnum == 0)
		return;
	writer->values[attnum - 1] = value;
	writer->nulls[attnum - 1] = false;
}

/*
 * NULL is null.
 */
static void
set_pointer(LogWriter *writer, LogColumn column, const void *pointer)
{
	if (pointer != NULL)
		set_column(writer, column, PointerGetDatum(pointer));
}

/*
 * Rows of a statement often have the same columns changed.
 */
static ArrayType *
changed_columns_of(LogWriter *writer, const AuditRow *row)
{
	const AuditTable *table = row->table;
	const AuditRow *before = writer->changed_row;
	Datum	   *names;
	int			nnames = 0;
	MemoryContext old;

	if (row->changed == NULL)
		return NULL;
	if (before != NULL && before->table == table &&
		memcmp(before->changed, row->changed, table->ncolumns * sizeof(bool)) == 0)
		return writer->changed_columns;

	old = MemoryContextSwitchTo(GetMemoryChunkContext(writer));
	if (writer->changed_columns != NULL)
		pfree(writer->changed_columns);
	names = palloc(table->ncolumns * sizeof(Datum));
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (row->changed[i])
			names[nnames++] = CStringGetTextDatum(table->columns[i].name);
	}
	writer->changed_columns = construct_array(names, nnames, TEXTOID, -1, false, TYPALIGN_INT);
	writer->changed_row = row;
	for (int i = 0; i < nnames; i++)
		pfree(DatumGetPointer(names[i]));
	pfree(names);
	MemoryContextSwitchTo(old);
	return writer->changed_columns;
}

/*
 * The fields in the order of audit_row_hash()'s arguments.
 */
static void
hash_entry(LogWriter *writer, const AuditRow *row, const pg_uuid_t *id, const text *resource_id,
		   uint8 *digest)
{
	AuditHasher *hasher = &writer->hasher;
	const AuditTable *table = row->table;
	const AuditActor *actor = writer->actor;

	fx_audit_hash_begin(hasher);
	fx_audit_hash_put(hasher, id->data, UUID_LEN);
	if (actor->actor_id != NULL)
		fx_audit_hash_put(hasher, actor->actor_id->data, UUID_LEN);
	else
		fx_audit_hash_put_null(hasher);
	fx_audit_hash_put(hasher, row->action, strlen(row->action));
	hash_text(hasher, table->resource_type);
	hash_text(hasher, resource_id);
	if (row->oldtup != NULL)
		fx_audit_hash_put(hasher, writer->old_image.text.data, writer->old_image.text.len);
	else
		fx_audit_hash_put_null(hasher);
	if (row->newtup != NULL)
		fx_audit_hash_put(hasher, writer->new_image.text.data, writer->new_image.text.len);
	else
		fx_audit_hash_put_null(hasher);

	if (row->changed != NULL)
	{
		int			count = 0;

		for (int i = 0; i < table->ncolumns; i++)
			count += row->changed[i];
		fx_audit_hash_put_count(hasher, count);
		for (int i = 0; i < table->ncolumns; i++)
			if (row->changed[i])
				fx_audit_hash_put(hasher, table->columns[i].name, table->columns[i].name_len);
	}
	else
		fx_audit_hash_put_null(hasher);

	if (writer->ip_text != NULL)
		fx_audit_hash_put(hasher, writer->ip_text, strlen(writer->ip_text));
	else
		fx_audit_hash_put_null(hasher);
	hash_text(hasher, actor->user_agent);
	hash_text(hasher, actor->session_user_name);
	hash_text(hasher, actor->application_name);
	fx_audit_hash_put_time(hasher, actor->statement_at);
	fx_audit_hash_put_time(hasher, row->at);
	fx_audit_hash_end(hasher, digest);
}

static void
hash_text(AuditHasher *hasher, const text *string)
{
	if (string != NULL)
		fx_audit_hash_put(hasher, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
	else
		fx_audit_hash_put_null(hasher);
}

/*
 * A uuid of version 7 (RFC 9562): milliseconds since 1970 in 48 bits, the
 * fraction of the millisecond in 12, 62 random bits.  Entries that follow one
 * another go to the same page of the primary key.
 */
static void
make_uuid(pg_uuid_t *uuid, TimestampTz at)
{
	static uint8 randomness[64 * UUID_RANDOM_LEN];
	static int	used = sizeof(randomness);
	uint64		us = (uint64) (at + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
	uint64		high = ((us / 1000) << 16) | 0x7000 | ((us % 1000) * 4096 / 1000);

	if (used == sizeof(randomness))
	{
		if (!pg_strong_random(randomness, sizeof(randomness)))
			ereport(ERROR,
					errcode(ERRCODE_INTERNAL_ERROR),
					errmsg("could not generate random values"));
		used = 0;
	}
	high = pg_hton64(high);
	memcpy(uuid->data, &high, sizeof(high));
	memcpy(uuid->data + sizeof(high), randomness + used, UUID_RANDOM_LEN);
	uuid->data[8] = (uuid->data[8] & 0x3F) | 0x80;
	used += UUID_RANDOM_LEN;
}
