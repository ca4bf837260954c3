/*-------------------------------------------------------------------------
 *
 * audit_table.c
 *	  What the audit trigger knows of a table
 *
 * Kept for the session, by trigger, because its arguments count.  When the
 * table changes, what is known is built anew for the next row; rows that were
 * collected before keep what they refer to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_index.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit.h"
#include "compat.h"
#include "relcache.h"

#define REDACT_PREFIX		"redact:"
#define IGNORE_PREFIX		"ignore:"

/* In every table */
static const char *const always_redacted[] = {"password_hash", "two_factor_secret", "api_key_hash"};
static const char *const always_ignored[] = {"updated_at"};

typedef struct TableEntry
{
	Oid			trigger;		/* hash key, must be first */
	AuditTable *table;
} TableEntry;

static HTAB *tables = NULL;

/* The one found last */
static AuditTable *last_table = NULL;

static AuditTable *build_table(TriggerData *trigdata);
static void build_columns(AuditTable *table, Relation rel, Trigger *trigger);
static void find_kind(AuditTable *table, AuditColumn *column, Oid type);
static bool text_is_constant(Oid type);
static void build_order(AuditTable *table);
static int	compare_keys(const void *a, const void *b, void *arg);
static void build_ids(AuditTable *table, Relation rel);
static AuditColumn *find_column(AuditTable *table, const char *name);
static Oid	find_whole(Relation rel, Trigger *trigger);
static void relcache_callback(Oid relid);

/*
 * The table of a trigger; good until the next call, or longer when "users" is
 * counted up.
 */
AuditTable *
fx_audit_table(TriggerData *trigdata)
{
	Oid			trigger = trigdata->tg_trigger->tgoid;
	TableEntry *entry;
	bool		found;
	AuditTable *table;

	if (likely(last_table != NULL && last_table->trigger == trigger && last_table->valid))
		return last_table;

	if (tables == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(TableEntry);
		tables = hash_create("audited tables", 32, &ctl, HASH_ELEM | HASH_BLOBS);
		fx_relcache_register(relcache_callback);
	}

	entry = hash_search(tables, &trigger, HASH_FIND, NULL);
	if (entry == NULL || !entry->table->valid)
	{
		table = build_table(trigdata);
		entry = hash_search(tables, &trigger, HASH_ENTER, &found);
		if (found && entry->table->users == 0)
			MemoryContextDelete(entry->table->context);
		entry->table = table;
	}
	last_table = entry->table;
	return last_table;
}

/*
 * A row that referred to the table is done with.
 */
void
fx_audit_table_release(AuditTable *table)
{
	TableEntry *entry;

	if (--table->users > 0 || table->valid)
		return;

	/* what is in the hash table goes when it is replaced */
	entry = hash_search(tables, &table->trigger, HASH_FIND, NULL);
	if (entry->table != table)
		MemoryContextDelete(table->context);
}

/*
 * An error leaves nothing behind: the memory moves to where it stays when all
 * is done.
 */
static AuditTable *
build_table(TriggerData *trigdata)
{
	Relation	rel = trigdata->tg_relation;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "audited table",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AuditTable *table = palloc0(sizeof(AuditTable));

	table->trigger = trigdata->tg_trigger->tgoid;
	table->relid = RelationGetRelid(rel);
	table->context = context;
	table->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	table->whole = find_whole(rel, trigdata->tg_trigger);
	table->resource_type = fx_audit_resource_type_of(table->whole);
	build_columns(table, rel, trigdata->tg_trigger);
	build_order(table);
	build_ids(table, rel);
	table->valid = true;

	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, CacheMemoryContext);
	return table;
}

static void
build_columns(AuditTable *table, Relation rel, Trigger *trigger)
{
	table->columns = palloc0(table->tupdesc->natts * sizeof(AuditColumn));
	for (int i = 0; i < table->tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(table->tupdesc, i);
		AuditColumn *column = &table->columns[table->ncolumns];
		StringInfoData key;

		if (att->attisdropped || fx_is_virtual(att))
			continue;
		column->attnum = att->attnum;
		column->attlen = att->attlen;
		column->attbyval = att->attbyval;
		column->name = pstrdup(NameStr(att->attname));
		column->name_len = strlen(column->name);
		initStringInfo(&key);
		escape_json(&key, column->name);
		appendStringInfoString(&key, ": ");
		column->key = key.data;
		column->key_len = key.len;
		find_kind(table, column, getBaseType(att->atttypid));
		table->ncolumns++;
	}

	for (int i = 0; i < lengthof(always_redacted); i++)
	{
		AuditColumn *column = find_column(table, always_redacted[i]);

		if (column != NULL)
			column->redacted = true;
	}
	for (int i = 0; i < lengthof(always_ignored); i++)
	{
		AuditColumn *column = find_column(table, always_ignored[i]);

		if (column != NULL)
			column->ignored = true;
	}

	for (int i = 0; i < trigger->tgnargs; i++)
	{
		const char *arg = trigger->tgargs[i];
		AuditColumn *column;

		if (strncmp(arg, REDACT_PREFIX, strlen(REDACT_PREFIX)) == 0)
		{
			/* a secret that was renamed must not begin to show */
			column = find_column(table, arg + strlen(REDACT_PREFIX));
			if (column == NULL)
				ereport(ERROR,
						errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist",
							   arg + strlen(REDACT_PREFIX), RelationGetRelationName(rel)),
						errdetail("It is to be redacted in the audit log."),
						errhint("Call fx.enable_audit() with the columns that there are now."),
						errtable(rel));
			column->redacted = true;
		}
		else if (strncmp(arg, IGNORE_PREFIX, strlen(IGNORE_PREFIX)) == 0)
		{
			column = find_column(table, arg + strlen(IGNORE_PREFIX));
			if (column != NULL)
				column->ignored = true;
		}
		else
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("function \"%s\" takes arguments \"redact:column\" and \"ignore:column\"",
						   FX_AUDIT_FUNCTION));
	}

	for (int i = 0; i < table->ncolumns; i++)
		table->has_redacted |= table->columns[i].redacted;
}

/*
 * What to_jsonb() would do, and whether settings have a part in it
 */
static void
find_kind(AuditTable *table, AuditColumn *column, Oid type)
{
	switch (type)
	{
		case BOOLOID:
			column->kind = AUDIT_BOOLEAN;
			break;
		case INT2OID:
			column->kind = AUDIT_INT16;
			break;
		case INT4OID:
			column->kind = AUDIT_INT32;
			break;
		case INT8OID:
			column->kind = AUDIT_INT64;
			break;
		case NUMERICOID:
			column->kind = AUDIT_NUMERIC;
			break;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			column->kind = AUDIT_TEXT;
			break;
		case UUIDOID:
			column->kind = AUDIT_UUID;
			break;
		case DATEOID:
			column->kind = AUDIT_DATE;
			break;
		case TIMESTAMPOID:
			column->kind = AUDIT_TIMESTAMP;
			break;
		case TIMESTAMPTZOID:
			column->kind = AUDIT_TIMESTAMPTZ;
			break;
		case JSONBOID:
			column->kind = AUDIT_JSONB;
			break;
		default:
			{
				Param	   *param = makeNode(Param);

				/* to_jsonb() asks its call for the type of its argument */
				param->paramkind = PARAM_EXTERN;
				param->paramid = 1;
				param->paramtype = type;
				param->paramtypmod = -1;
				column->kind = type == TEXTARRAYOID ? AUDIT_TEXT_ARRAY : AUDIT_OTHER;
				fmgr_info_cxt(F_TO_JSONB, &column->to_jsonb, table->context);
				fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(param),
														 InvalidOid, InvalidOid,
														 COERCE_EXPLICIT_CALL),
								   &column->to_jsonb);
				if (!text_is_constant(type))
					table->needs_settings = true;
			}
	}
}

static bool
text_is_constant(Oid type)
{
	Oid			element = get_element_type(type);

	switch (OidIsValid(element) ? element : type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UUIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case JSONOID:
		case JSONBOID:
		case INETOID:
		case CIDROID:
			return true;
		default:
			return false;
	}
}

/*
 * jsonb sorts keys by length and then by bytes.
 */
static void
build_order(AuditTable *table)
{
	table->order = palloc((table->ncolumns + 1) * sizeof(int));
	for (int i = 0; i < table->ncolumns; i++)
		table->order[table->norder++] = i;

	/* a column of that name comes before the hashes */
	if (table->has_redacted && find_column(table, FX_AUDIT_HASHES_KEY) == NULL)
		table->order[table->norder++] = AUDIT_HASHES;
	qsort_arg(table->order, table->norder, sizeof(int), compare_keys, table);
}

static int
compare_keys(const void *a, const void *b, void *arg)
{
	const AuditTable *table = arg;
	const char *names[2];
	int			lens[2];

	for (int i = 0; i < 2; i++)
	{
		int			which = *(const int *) (i == 0 ? a : b);

		names[i] = which == AUDIT_HASHES ? FX_AUDIT_HASHES_KEY : table->columns[which].name;
		lens[i] = strlen(names[i]);
	}
	if (lens[0] != lens[1])
		return lens[0] - lens[1];
	return memcmp(names[0], names[1], lens[0]);
}

/*
 * A row is named by its primary key; where there is none, by the column "id"
 * if there is one.
 */
static void
build_ids(AuditTable *table, Relation rel)
{
	Oid			primary_key = fx_primary_key_index(rel, true);
	AuditColumn *id;

	table->ids = palloc(INDEX_MAX_KEYS * sizeof(int));
	if (OidIsValid(primary_key))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(primary_key));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", primary_key);
		index = (Form_pg_index) GETSTRUCT(tuple);
		for (int i = 0; i < index->indnkeyatts; i++)
		{
			for (int j = 0; j < table->ncolumns; j++)
				if (table->columns[j].attnum == index->indkey.values[i])
					table->ids[table->nids++] = j;
		}
		ReleaseSysCache(tuple);
	}
	else if ((id = find_column(table, "id")) != NULL)
		table->ids[table->nids++] = id - table->columns;
}

static AuditColumn *
find_column(AuditTable *table, const char *name)
{
	for (int i = 0; i < table->ncolumns; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return &table->columns[i];
	return NULL;
}

/*
 * A partition's trigger is a copy of that of a partitioned table, under whose
 * name its rows are recorded wherever they lie.
 */
static Oid
find_whole(Relation rel, Trigger *trigger)
{
	Relation	triggers;
	Oid			whole = RelationGetRelid(rel);
	Oid			current = trigger->tgoid;

	if (!trigger->tgisclone)
		return whole;

	triggers = table_open(TriggerRelationId, AccessShareLock);
	while (OidIsValid(current))
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(current));
		scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
		tuple = systable_getnext(scan);
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "could not find tuple for trigger %u", current);
		whole = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		current = ((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid;
		systable_endscan(scan);
	}
	table_close(triggers, AccessShareLock);
	return whole;
}

static void
relcache_callback(Oid relid)
{
	HASH_SEQ_STATUS status;
	TableEntry *entry;

	hash_seq_init(&status, tables);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (!OidIsValid(relid) || entry->table->relid == relid || entry->table->whole == relid)
			entry->table->valid = false;
	}
}
