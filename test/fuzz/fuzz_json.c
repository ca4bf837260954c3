/*-------------------------------------------------------------------------
 *
 * fuzz_json.c
 *	  JSON made of bytes
 *
 * Nearly all random texts are no JSON, so that a fuzzer of texts seldom gets
 * past the parser.  Here every string of bytes is an array of objects whose
 * keys are mostly given ones and whose values are mostly numbers and times, in
 * all the ways in which JSON can have them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#define MAX_PAIRS		12
#define MAX_NESTING		3

/* The bytes that are left */
typedef struct Source
{
	const uint8 *next;
	const uint8 *end;
} Source;

PG_FUNCTION_INFO_V1(fx_fuzz_json);

static JsonbValue *build_object(Source *source, JsonbParseState **state, Datum *keys, int nkeys,
								int depth);
static void push_scalar(JsonbValue *value, JsonbParseState **state, JsonbIteratorToken token);
static void build_value(Source *source, JsonbParseState **state, Datum *keys, int nkeys,
						JsonbIteratorToken token, int depth);
static void take_string(Source *source, JsonbValue *value);
static void make_string(JsonbValue *value, char *text);
static char *number_text(Source *source);
static char *time_text(Source *source);

static uint8
take_byte(Source *source)
{
	return source->next < source->end ? *source->next++ : 0;
}

static int64
take_int64(Source *source)
{
	uint64		value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | take_byte(source);
	return (int64) value;
}

/*
 * fuzz.json(data bytea, keys text[]) returns jsonb
 */
Datum
fx_fuzz_json(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);
	Source		source = {(uint8 *) VARDATA_ANY(data), (uint8 *) VARDATA_ANY(data) + VARSIZE_ANY_EXHDR(data)};
	JsonbParseState *state = NULL;
	Datum	   *keys;
	int			nkeys;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL, &nkeys);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	while (source.next < source.end)
	{
		/* most elements are objects */
		if (*source.next < 0xF8)
			build_object(&source, &state, keys, nkeys, 0);
		else
			build_value(&source, &state, keys, nkeys, WJB_ELEM, 0);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
}

static JsonbValue *
build_object(Source *source, JsonbParseState **state, Datum *keys, int nkeys, int depth)
{
	int			pairs = take_byte(source) % MAX_PAIRS;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < pairs && source->next < source->end; i++)
	{
		JsonbValue	key;
		uint8		choice = take_byte(source);

		if (choice == 0xFF)
			take_string(source, &key);
		else
			make_string(&key, TextDatumGetCString(keys[choice % nkeys]));
		pushJsonbValue(state, WJB_KEY, &key);
		build_value(source, state, keys, nkeys, WJB_VALUE, depth + 1);
	}
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
build_value(Source *source, JsonbParseState **state, Datum *keys, int nkeys,
			JsonbIteratorToken token, int depth)
{
	JsonbValue	value;

	switch (take_byte(source) % 10)
	{
		case 0:
			value.type = jbvNull;
			break;
		case 1:
			value.type = jbvBool;
			value.val.boolean = take_byte(source) & 1;
			break;
		case 2:
			take_string(source, &value);
			break;
		case 3:
			make_string(&value, number_text(source));
			break;
		case 4:
		case 5:
		case 6:
			make_string(&value, time_text(source));
			break;
		case 7:
			if (depth < MAX_NESTING)
			{
				/* an object pushes itself as the value that is due */
				build_object(source, state, keys, nkeys, depth + 1);
				return;
			}
			/* FALLTHROUGH */
		default:
			value.type = jbvNumeric;
			value.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in,
																	CStringGetDatum(number_text(source)),
																	ObjectIdGetDatum(InvalidOid),
																	Int32GetDatum(-1)));
			break;
	}
	push_scalar(&value, state, token);
}

static void
push_scalar(JsonbValue *value, JsonbParseState **state, JsonbIteratorToken token)
{
	pushJsonbValue(state, token, value);
}

static void
take_string(Source *source, JsonbValue *value)
{
	int			len = Min(take_byte(source), source->end - source->next);
	char	   *text = palloc(len + 1);

	memcpy(text, source->next, len);
	source->next += len;
	text[len] = '\0';
	/* what is not valid is left out */
	len = pg_encoding_verifymbstr(GetDatabaseEncoding(), text, len);
	text[len] = '\0';
	make_string(value, text);
}

static void
make_string(JsonbValue *value, char *text)
{
	value->type = jbvString;
	value->val.string.val = text;
	value->val.string.len = strlen(text);
}

/*
 * A number: small, or of 64 bits, times a power of ten.
 */
static char *
number_text(Source *source)
{
	uint8		shape = take_byte(source);
	int64		digits = shape & 1 ? take_int64(source) : (int8) take_byte(source);
	int			exponent = shape & 2 ? (int8) take_byte(source) : -(shape >> 2) % 10;

	return psprintf(INT64_FORMAT "e%d", digits, exponent);
}

/*
 * A time in one of the ways in which they are written, near 2024 or anywhere.
 */
static char *
time_text(Source *source)
{
	static const char *const suffixes[] = {
		"Z", "", "+00:00", "-05:00", "+0530", ".5Z", ".123456789+14", "-15:59:59"
	};
	uint8		shape = take_byte(source);
	uint8		year = take_byte(source);
	uint8		month = take_byte(source);
	uint8		day = take_byte(source);
	uint8		hour = take_byte(source);
	uint8		minute = take_byte(source);
	uint8		second = take_byte(source);

	if (shape & 1)
		return psprintf("%04d-%02d-%02dT%02d:%02d:%02d%s", 2020 + year % 8, 1 + month % 12, 1 + day % 28,
						hour % 24, minute % 60, second % 60, suffixes[shape >> 1 & 7]);
	return psprintf("%04d-%02d-%02d%c%02d:%02d:%02d%s", year * 40 % 10000, month % 14, day % 33,
					shape & 0x10 ? ' ' : 'T', hour % 26, minute % 61, second % 62,
					suffixes[shape >> 1 & 7]);
}
