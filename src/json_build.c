/*-------------------------------------------------------------------------
 *
 * json_build.c
 *	  Members of a JSON object of figures
 *
 * For objects of some dozen members, where pushJsonbValue() serves well.  The
 * caller has begun the object and ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "compat.h"
#include "iso8601.h"
#include "json_build.h"

static void put(JsonbParseState **state, const char *key, JsonbValue *value);

void
fx_json_put_null(JsonbParseState **state, const char *key)
{
	JsonbValue	value;

	value.type = jbvNull;
	put(state, key, &value);
}

void
fx_json_put_count(JsonbParseState **state, const char *key, int64 count)
{
	JsonbValue	value;

	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(count);
	put(state, key, &value);
}

/*
 * An amount at scale 8, without trailing zeros.
 */
void
fx_json_put_money(JsonbParseState **state, const char *key, int128 amount)
{
	JsonbValue	value;
	char	   *buf = palloc(FX_FIXED_NUMERIC_SIZE);

	fx_fixed_write_numeric(amount, true, buf);
	value.type = jbvNumeric;
	value.val.numeric = (Numeric) buf;
	put(state, key, &value);
}

/*
 * A finite double in its shortest form that reads back as the same, whatever
 * extra_float_digits is.
 */
void
fx_json_put_double(JsonbParseState **state, const char *key, double number)
{
	JsonbValue	value;
	char		text[DOUBLE_SHORTEST_DECIMAL_LEN];

	/* minus zero is zero */
	double_to_shortest_decimal_buf(number + 0.0, text);
	value.type = jbvNumeric;
	value.val.numeric =
		DatumGetNumeric(DirectFunctionCall3(numeric_in,
											CStringGetDatum(text),
											ObjectIdGetDatum(InvalidOid),
											Int32GetDatum(-1)));
	put(state, key, &value);
}

void
fx_json_put_text(JsonbParseState **state, const char *key, const char *text, int len)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = pnstrdup(text, len);
	value.val.string.len = len;
	put(state, key, &value);
}

void
fx_json_put_time(JsonbParseState **state, const char *key, TimestampTz at)
{
	char		buf[FX_ISO8601_SIZE];

	fx_json_put_text(state, key, buf, fx_iso8601_write(at, buf));
}

static void
put(JsonbParseState **state, const char *key, JsonbValue *value)
{
	JsonbValue	name;

	name.type = jbvString;
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, value);
}
