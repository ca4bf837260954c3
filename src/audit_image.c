/*-------------------------------------------------------------------------
 *
 * audit_image.c
 *	  A row as jsonb
 *
 * The value of each column is what to_jsonb() makes of it under fixed settings,
 * but it is written into the binary form at once: the keys are sorted once for
 * a table, and a jsonb inside is copied as it is.  The text of the whole, which
 * is hashed, is written alongside.
 *
 * utils/jsonb.h describes the form: a header with the number of pairs, an entry
 * for each key and then for each value with its type and length, the keys, the
 * values.  Each JB_OFFSET_STRIDE-th entry has the offset of its end in place of
 * the length.  Numbers and containers are aligned to four bytes, and what fills
 * the gap counts as theirs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "audit.h"
#include "compat.h"

/* Width of audit_log.resource_id, in characters */
#define RESOURCE_ID_CHARS	100

/* An object while it is written */
typedef struct ObjectWriter
{
	AuditImage *image;
	int			npairs;
	int			entries;		/* where the entries begin, in image->jsonb */
	int			nkeys;			/* keys so far */
	int			nvalues;		/* values so far */
	uint32		total;			/* length of keys and values so far */
} ObjectWriter;

static bool is_included(const AuditTable *table, int which, const bool *nulls,
						const bool *included, const AuditKey *key);
static void begin_object(ObjectWriter *writer, AuditImage *image, int npairs);
static void put_key(ObjectWriter *writer, const char *name, int len);
static void put_entry(ObjectWriter *writer, int which, JEntry type, uint32 len);
static void set_entry(JEntry *entries, int which, JEntry type, uint32 len, uint32 *total);
static JEntry put_column(AuditImage *image, const AuditColumn *column, Datum value, bool isnull);
static JEntry put_value(AuditImage *image, const AuditColumn *column, Datum value);
static JEntry put_string(AuditImage *image, const char *str, int len);
static JEntry put_integer(AuditImage *image, int64 value);
static JEntry put_numeric(AuditImage *image, Numeric number);
static JEntry put_jsonb(AuditImage *image, Jsonb *jb);
static JEntry put_text_array(AuditImage *image, ArrayType *array);
static void put_hashes(AuditImage *image, const AuditTable *table, const Datum *values,
					   const bool *nulls, const bool *included, const AuditKey *key);
static void align_jsonb(AuditImage *image);

void
fx_audit_image_init(AuditImage *image)
{
	initStringInfo(&image->jsonb);
	initStringInfo(&image->text);
}

/*
 * The image of a row, or of some columns of it ("included", by subscript of
 * table->columns).
 */
void
fx_audit_image_of(AuditImage *image, const AuditTable *table, const Datum *values,
				  const bool *nulls, const bool *included, const AuditKey *key)
{
	ObjectWriter writer;
	int		   *members = palloc(table->norder * sizeof(int));
	int			npairs = 0;

	for (int i = 0; i < table->norder; i++)
	{
		if (is_included(table, table->order[i], nulls, included, key))
			members[npairs++] = table->order[i];
	}

	resetStringInfo(&image->jsonb);
	resetStringInfo(&image->text);
	appendStringInfoSpaces(&image->jsonb, VARHDRSZ);
	begin_object(&writer, image, npairs);
	for (int i = 0; i < npairs; i++)
	{
		if (members[i] == AUDIT_HASHES)
			put_key(&writer, FX_AUDIT_HASHES_KEY, strlen(FX_AUDIT_HASHES_KEY));
		else
			put_key(&writer, table->columns[members[i]].name, table->columns[members[i]].name_len);
	}

	appendStringInfoChar(&image->text, '{');
	for (int i = 0; i < npairs; i++)
	{
		int			begin = image->jsonb.len;
		JEntry		type;

		if (i > 0)
			appendStringInfoString(&image->text, ", ");
		if (members[i] == AUDIT_HASHES)
		{
			appendStringInfoString(&image->text, "\"" FX_AUDIT_HASHES_KEY "\": ");
			put_hashes(image, table, values, nulls, included, key);
			type = JENTRY_ISCONTAINER;
		}
		else
		{
			const AuditColumn *column = &table->columns[members[i]];

			appendBinaryStringInfo(&image->text, column->key, column->key_len);
			type = put_column(image, column, values[column->attnum - 1], nulls[column->attnum - 1]);
		}
		put_entry(&writer, npairs + writer.nvalues++, type, image->jsonb.len - begin);
	}
	appendStringInfoChar(&image->text, '}');
	SET_VARSIZE(image->jsonb.data, image->jsonb.len);
	pfree(members);
}

/*
 * The name of a row as text: that of a key's only column, or a JSON array.
 */
text *
fx_audit_resource_id_of(AuditImage *scratch, const AuditTable *table, const Datum *values,
						const bool *nulls)
{
	const AuditColumn *column;
	JEntry		type = JENTRY_ISNULL;

	if (table->nids == 0)
		return NULL;

	resetStringInfo(&scratch->jsonb);
	resetStringInfo(&scratch->text);
	if (table->nids > 1)
		appendStringInfoChar(&scratch->text, '[');
	for (int i = 0; i < table->nids; i++)
	{
		column = &table->columns[table->ids[i]];
		if (i > 0)
			appendStringInfoString(&scratch->text, ", ");
		type = put_column(scratch, column, values[column->attnum - 1], nulls[column->attnum - 1]);
	}
	if (table->nids > 1)
		appendStringInfoChar(&scratch->text, ']');
	else if (type == JENTRY_ISNULL)
		return NULL;
	else if (type == JENTRY_ISSTRING)
		return fx_audit_shorten(scratch->jsonb.data, scratch->jsonb.len, RESOURCE_ID_CHARS);
	return fx_audit_shorten(scratch->text.data, scratch->text.len, RESOURCE_ID_CHARS);
}

/*
 * Hashes are a member when there is something to hash.
 */
static bool
is_included(const AuditTable *table, int which, const bool *nulls, const bool *included,
			const AuditKey *key)
{
	if (which != AUDIT_HASHES)
		return included == NULL || included[which];

	if (key->data == NULL)
		return false;
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (table->columns[i].redacted && !nulls[table->columns[i].attnum - 1] &&
			(included == NULL || included[i]))
			return true;
	}
	return false;
}

static void
begin_object(ObjectWriter *writer, AuditImage *image, int npairs)
{
	uint32		header = npairs | JB_FOBJECT;

	writer->image = image;
	writer->npairs = npairs;
	writer->nkeys = 0;
	writer->nvalues = 0;
	writer->total = 0;
	appendBinaryStringInfo(&image->jsonb, (char *) &header, sizeof(header));
	writer->entries = image->jsonb.len;
	enlargeStringInfo(&image->jsonb, 2 * npairs * sizeof(JEntry));
	image->jsonb.len += 2 * npairs * sizeof(JEntry);
}

static void
put_key(ObjectWriter *writer, const char *name, int len)
{
	appendBinaryStringInfo(&writer->image->jsonb, name, len);
	put_entry(writer, writer->nkeys++, JENTRY_ISSTRING, len);
}

static void
put_entry(ObjectWriter *writer, int which, JEntry type, uint32 len)
{
	set_entry((JEntry *) (writer->image->jsonb.data + writer->entries), which, type, len,
			  &writer->total);
}

/*
 * The bound is that of convertJsonbObject().
 */
static void
set_entry(JEntry *entries, int which, JEntry type, uint32 len, uint32 *total)
{
	*total += len;
	if (len > JENTRY_OFFLENMASK || *total > JENTRY_OFFLENMASK)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("total size of jsonb object elements exceeds the maximum of %u bytes",
					   JENTRY_OFFLENMASK));
	if (which % JB_OFFSET_STRIDE == 0)
		entries[which] = type | *total | JENTRY_HAS_OFF;
	else
		entries[which] = type | len;
}

static JEntry
put_column(AuditImage *image, const AuditColumn *column, Datum value, bool isnull)
{
	if (isnull)
	{
		appendStringInfoString(&image->text, "null");
		return JENTRY_ISNULL;
	}
	if (column->redacted)
		return put_string(image, FX_AUDIT_REDACTED, strlen(FX_AUDIT_REDACTED));
	return put_value(image, column, value);
}

/*
 * Append a value in both forms, and return the type of its entry.
 */
static JEntry
put_value(AuditImage *image, const AuditColumn *column, Datum value)
{
	static const int utc = 0;	/* offset in seconds */
	char		buf[MAXDATELEN + 1];

	switch (column->kind)
	{
		case AUDIT_BOOLEAN:
			appendStringInfoString(&image->text, DatumGetBool(value) ? "true" : "false");
			return DatumGetBool(value) ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
		case AUDIT_INT16:
			return put_integer(image, DatumGetInt16(value));
		case AUDIT_INT32:
			return put_integer(image, DatumGetInt32(value));
		case AUDIT_INT64:
			return put_integer(image, DatumGetInt64(value));
		case AUDIT_NUMERIC:
			return put_numeric(image, DatumGetNumeric(value));
		case AUDIT_TEXT:
			{
				text	   *string = DatumGetTextPP(value);

				return put_string(image, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
			}
		case AUDIT_UUID:
			{
				static const char digits[] = "0123456789abcdef";
				const pg_uuid_t *uuid = DatumGetUUIDP(value);
				char	   *pos = buf;

				for (int i = 0; i < UUID_LEN; i++)
				{
					if (i == 4 || i == 6 || i == 8 || i == 10)
						*pos++ = '-';
					*pos++ = digits[uuid->data[i] >> 4];
					*pos++ = digits[uuid->data[i] & 0x0F];
				}
				return put_string(image, buf, pos - buf);
			}
		case AUDIT_DATE:
			JsonEncodeDateTime(buf, value, DATEOID, NULL);
			return put_string(image, buf, strlen(buf));
		case AUDIT_TIMESTAMP:
			JsonEncodeDateTime(buf, value, TIMESTAMPOID, NULL);
			return put_string(image, buf, strlen(buf));
		case AUDIT_TIMESTAMPTZ:
			JsonEncodeDateTime(buf, value, TIMESTAMPTZOID, &utc);
			return put_string(image, buf, strlen(buf));
		case AUDIT_JSONB:
			return put_jsonb(image, DatumGetJsonbP(value));
		case AUDIT_TEXT_ARRAY:
			{
				ArrayType  *array = DatumGetArrayTypeP(value);

				if (ARR_NDIM(array) == 1)
					return put_text_array(image, array);
			}
			pg_fallthrough;
		case AUDIT_OTHER:
			return put_jsonb(image,
							 DatumGetJsonbP(FunctionCall1(unconstify(FmgrInfo *, &column->to_jsonb),
														  value)));
	}
	pg_unreachable();
}

static JEntry
put_string(AuditImage *image, const char *str, int len)
{
	bool		plain = true;

	for (int i = 0; i < len && plain; i++)
		plain = (unsigned char) str[i] >= ' ' && str[i] != '"' && str[i] != '\\';
	if (plain)
	{
		appendStringInfoChar(&image->text, '"');
		appendBinaryStringInfo(&image->text, str, len);
		appendStringInfoChar(&image->text, '"');
	}
	else
	{
		char	   *copy = pnstrdup(str, len);

		escape_json(&image->text, copy);
		pfree(copy);
	}
	appendBinaryStringInfo(&image->jsonb, str, len);
	return JENTRY_ISSTRING;
}

static JEntry
put_integer(AuditImage *image, int64 value)
{
	char		buf[MAXINT8LEN + 1];
	Numeric		number = int64_to_numeric(value);

	appendBinaryStringInfo(&image->text, buf, pg_lltoa(value, buf));
	align_jsonb(image);
	appendBinaryStringInfo(&image->jsonb, (char *) number, VARSIZE(number));
	return JENTRY_ISNUMERIC;
}

/*
 * What is no JSON number is a string, as to_jsonb() has it.
 */
static JEntry
put_numeric(AuditImage *image, Numeric number)
{
	char	   *string = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));

	if (numeric_is_nan(number) || numeric_is_inf(number))
		return put_string(image, string, strlen(string));

	appendStringInfoString(&image->text, string);
	pfree(string);
	align_jsonb(image);
	appendBinaryStringInfo(&image->jsonb, (char *) number, VARSIZE(number));
	return JENTRY_ISNUMERIC;
}

static JEntry
put_jsonb(AuditImage *image, Jsonb *jb)
{
	JsonbValue	scalar;

	if (!JB_ROOT_IS_SCALAR(jb))
	{
		if (JB_ROOT_COUNT(jb) == 0)
			appendStringInfoString(&image->text, JB_ROOT_IS_OBJECT(jb) ? "{}" : "[]");
		else
			JsonbToCString(&image->text, &jb->root, VARSIZE(jb));
		align_jsonb(image);
		appendBinaryStringInfo(&image->jsonb, (char *) &jb->root, VARSIZE(jb) - VARHDRSZ);
		return JENTRY_ISCONTAINER;
	}

	JsonbExtractScalar(&jb->root, &scalar);
	switch (scalar.type)
	{
		case jbvString:
			return put_string(image, scalar.val.string.val, scalar.val.string.len);
		case jbvNumeric:
			return put_numeric(image, scalar.val.numeric);
		case jbvBool:
			appendStringInfoString(&image->text, scalar.val.boolean ? "true" : "false");
			return scalar.val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
		default:
			appendStringInfoString(&image->text, "null");
			return JENTRY_ISNULL;
	}
}

static JEntry
put_text_array(AuditImage *image, ArrayType *array)
{
	uint32		header;
	uint32		total = 0;
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int			entries;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	header = count | JB_FARRAY;
	align_jsonb(image);
	appendBinaryStringInfo(&image->jsonb, (char *) &header, sizeof(header));
	entries = image->jsonb.len;
	enlargeStringInfo(&image->jsonb, count * sizeof(JEntry));
	image->jsonb.len += count * sizeof(JEntry);

	appendStringInfoChar(&image->text, '[');
	for (int i = 0; i < count; i++)
	{
		int			begin = image->jsonb.len;
		JEntry		type = JENTRY_ISNULL;

		if (i > 0)
			appendStringInfoString(&image->text, ", ");
		if (nulls[i])
			appendStringInfoString(&image->text, "null");
		else
		{
			text	   *string = DatumGetTextPP(elements[i]);

			type = put_string(image, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
		}
		set_entry((JEntry *) (image->jsonb.data + entries), i, type, image->jsonb.len - begin,
				  &total);
	}
	appendStringInfoChar(&image->text, ']');
	return JENTRY_ISCONTAINER;
}

/*
 * The member that has the hashes of redacted values, by column.
 */
static void
put_hashes(AuditImage *image, const AuditTable *table, const Datum *values, const bool *nulls,
		   const bool *included, const AuditKey *key)
{
	ObjectWriter writer;
	AuditImage	value;
	int		   *hashed = palloc(table->ncolumns * sizeof(int));
	int			nhashed = 0;

	fx_audit_image_init(&value);
	for (int i = 0; i < table->norder; i++)
	{
		int			which = table->order[i];

		if (which != AUDIT_HASHES && table->columns[which].redacted &&
			!nulls[table->columns[which].attnum - 1] &&
			(included == NULL || included[which]))
			hashed[nhashed++] = which;
	}

	align_jsonb(image);
	begin_object(&writer, image, nhashed);
	for (int i = 0; i < nhashed; i++)
		put_key(&writer, table->columns[hashed[i]].name, table->columns[hashed[i]].name_len);

	appendStringInfoChar(&image->text, '{');
	for (int i = 0; i < nhashed; i++)
	{
		const AuditColumn *column = &table->columns[hashed[i]];
		char		hex[2 * FX_AUDIT_REDACTED_HASH_LEN];

		if (i > 0)
			appendStringInfoString(&image->text, ", ");
		appendBinaryStringInfo(&image->text, column->key, column->key_len);
		resetStringInfo(&value.jsonb);
		resetStringInfo(&value.text);
		put_value(&value, column, values[column->attnum - 1]);
		fx_audit_hash_redacted(key, column, &value.text, hex);
		put_string(image, hex, sizeof(hex));
		put_entry(&writer, nhashed + writer.nvalues++, JENTRY_ISSTRING, sizeof(hex));
	}
	appendStringInfoChar(&image->text, '}');
}

/*
 * Fill up to four bytes.
 */
static void
align_jsonb(AuditImage *image)
{
	while (image->jsonb.len != INTALIGN(image->jsonb.len))
		appendStringInfoChar(&image->jsonb, '\0');
}
