/*-------------------------------------------------------------------------
 *
 * candle_input.c
 *	  Candles as they come from outside, and what is wrong with them
 *
 * A candle is read field by field, from values or from JSON, and never fails:
 * what is wrong with it is gathered as text, and a candle with no faults is one
 * that the checks of fx.market_data accept.  They are the same rules, after
 * the same rounding to eight decimals, so that they must be changed together.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "candle_input.h"
#include "compat.h"
#include "fixed.h"
#include "iso8601.h"

/* VARCHAR(20) */
#define SYMBOL_MAX_CHARS	20

/* DECIMAL(18,8) ends below 10^10 */
#define PRICE_LIMIT			(INT64CONST(10000000000) * FX_FIXED_ONE)

/* 1970-01-01 */
#define EARLIEST			((TimestampTz) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/* Longest of the other platforms' names, "MN1" */
#define OTHER_NAME_LEN		3

/* Names of the columns; faults use them, however a key was spelled */
static const char *const field_names[FX_CANDLE_FIELDS] = {
	"symbol", "timeframe", "timestamp", "open_price", "high_price", "low_price", "close_price", "volume"
};

/* Keys of JSON, the first one that is there counts */
static const char *const json_keys[FX_CANDLE_FIELDS][4] = {
	{"symbol", "s"},
	{"timeframe", "timeFrame", "tf"},
	{"timestamp", "time", "t"},
	{"open_price", "openPrice", "open", "o"},
	{"high_price", "highPrice", "high", "h"},
	{"low_price", "lowPrice", "low", "l"},
	{"close_price", "closePrice", "close", "c"},
	{"volume", "v"}
};

static const struct
{
	const char *name;
	FxTimeframe timeframe;
}			other_names[] = {
	{"M1", FX_TF_1M}, {"M5", FX_TF_5M}, {"M15", FX_TF_15M}, {"M30", FX_TF_30M},
	{"H1", FX_TF_1H}, {"H4", FX_TF_4H}, {"D1", FX_TF_1D}, {"W1", FX_TF_1W}, {"MN1", FX_TF_1MN}
};

/* A candle is checked as a whole when all its fields could be read */
typedef struct Reading
{
	FxCandle   *candle;
	StringInfo	faults;
	bool		timeframe_read;
	bool		prices_read;
} Reading;

PG_FUNCTION_INFO_V1(fx_candle_fault);
PG_FUNCTION_INFO_V1(fx_timeframe_named);
PG_FUNCTION_INFO_V1(fx_number_or_nan);
PG_FUNCTION_INFO_V1(fx_time_or_infinity);

static void add_fault(Reading *reading, FxCandleField field, const char *fault);
static void take_symbol(Reading *reading, const char *str, int len);
static void take_timeframe(Reading *reading, const char *str, int len);
static void take_time(Reading *reading, TimestampTz at, TimestampTz latest);
static void take_number(Reading *reading, FxCandleField field, FxFixedStatus status, int128 value);
static void take_price(Reading *reading, FxCandleField field, int128 value);
static void take_volume(Reading *reading, int128 value);
static void check_whole(Reading *reading);
static JsonbValue *find_json_field(JsonbContainer *object, FxCandleField field, JsonbValue *buf);
static void take_json_field(Reading *reading, FxCandleField field, const JsonbValue *value,
							TimestampTz latest);

/*
 * candle_fault(symbol text, timeframe text, "timestamp" timestamptz,
 *				open_price numeric, high_price numeric, low_price numeric,
 *				close_price numeric, volume numeric, latest timestamptz) returns text
 *
 * Not strict: a null is a fault.
 */
Datum
fx_candle_fault(PG_FUNCTION_ARGS)
{
	Datum		values[FX_CANDLE_FIELDS];
	bool		nulls[FX_CANDLE_FIELDS];
	TimestampTz latest = PG_ARGISNULL(FX_CANDLE_FIELDS) ? DT_NOEND :
		PG_GETARG_TIMESTAMPTZ(FX_CANDLE_FIELDS);
	FxCandle	candle;
	StringInfoData faults;

	for (int i = 0; i < FX_CANDLE_FIELDS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i);
	}

	/* filled only by a fault */
	memset(&faults, 0, sizeof(faults));
	fx_candle_from_values(values, nulls, latest, &candle, &faults);
	if (faults.len == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(faults.data, faults.len));
}

/*
 * timeframe_named(name text) returns text
 */
Datum
fx_timeframe_named(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	FxTimeframe timeframe;

	if (!fx_candle_spelled_timeframe(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), &timeframe))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(fx_timeframe_name(timeframe)));
}

/*
 * number_or_nan(value text) returns numeric
 */
Datum
fx_number_or_nan(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	const char *str = VARDATA_ANY(value);
	const char *word = "NaN";
	int128		number;

	switch (fx_fixed_from_text(str, VARSIZE_ANY_EXHDR(value), &number))
	{
		case FX_FIXED_OK:
			PG_RETURN_DATUM(fx_fixed_get_numeric(number));
		case FX_FIXED_OVERFLOW:
			/* there is a digit, so the blanks and the sign before it end */
			while (*str == ' ' || *str == '\t' || *str == '\n' || *str == '\r')
				str++;
			word = *str == '-' ? "-Infinity" : "Infinity";
			break;
		default:
			break;
	}
	PG_RETURN_DATUM(DirectFunctionCall3(numeric_in, CStringGetDatum(word),
										ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * time_or_infinity(value text) returns timestamptz
 */
Datum
fx_time_or_infinity(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	TimestampTz at;

	if (!fx_iso8601_parse(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &at))
		at = DT_NOEND;
	PG_RETURN_TIMESTAMPTZ(at);
}

/*
 * The name of a time frame, or what other platforms call it: M1, H4, MN1 in
 * any case.  Ours are exact, because 1M means a month elsewhere.
 */
bool
fx_candle_spelled_timeframe(const char *str, int len, FxTimeframe *timeframe)
{
	if (fx_timeframe_parse(str, len, timeframe))
		return true;
	if (len > OTHER_NAME_LEN)
		return false;
	for (int i = 0; i < lengthof(other_names); i++)
	{
		if (strlen(other_names[i].name) == len && pg_strncasecmp(other_names[i].name, str, len) == 0)
		{
			*timeframe = other_names[i].timeframe;
			return true;
		}
	}
	return false;
}

/*
 * Read a candle from the eight values of fx.candle.  A volume that is null is
 * zero: such a row cannot leave it out.
 */
void
fx_candle_from_values(const Datum *values, const bool *nulls, TimestampTz latest,
					  FxCandle *candle, StringInfo faults)
{
	Reading		reading = {candle, faults, true, true};
	struct varlena *value;
	int128		number = 0;
	FxFixedStatus status;

	candle->volume = 0;
	for (int field = 0; field < FX_CANDLE_FIELDS; field++)
	{
		if (unlikely(nulls[field]))
		{
			if (field != FX_CANDLE_VOLUME)
				add_fault(&reading, field, "is null");
			continue;
		}
		if (field == FX_CANDLE_TIMESTAMP)
		{
			take_time(&reading, DatumGetTimestampTz(values[field]), latest);
			continue;
		}

		value = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(values[field]));
		switch (field)
		{
			case FX_CANDLE_SYMBOL:
				take_symbol(&reading, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
				break;
			case FX_CANDLE_TIMEFRAME:
				take_timeframe(&reading, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
				break;
			default:
				status = fx_fixed_from_numeric(value, &number);
				take_number(&reading, field, status, number);
				break;
		}
	}
	check_whole(&reading);
}

/*
 * Read a candle from an element of a JSON array.  A volume may be absent, not
 * null.
 */
void
fx_candle_from_json(const JsonbValue *element, TimestampTz latest, FxCandle *candle,
					StringInfo faults)
{
	Reading		reading = {candle, faults, true, true};

	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
	{
		if (faults->data == NULL)
			initStringInfo(faults);
		appendStringInfoString(faults, "candle is not a JSON object");
		return;
	}

	candle->volume = 0;
	for (int field = 0; field < FX_CANDLE_FIELDS; field++)
	{
		JsonbValue	buf;
		JsonbValue *value = find_json_field(element->val.binary.data, field, &buf);

		if (value != NULL)
			take_json_field(&reading, field, value, latest);
		else if (field != FX_CANDLE_VOLUME)
			add_fault(&reading, field, "is missing");
	}
	check_whole(&reading);
}

static JsonbValue *
find_json_field(JsonbContainer *object, FxCandleField field, JsonbValue *buf)
{
	for (int i = 0; i < lengthof(json_keys[field]) && json_keys[field][i] != NULL; i++)
	{
		const char *key = json_keys[field][i];
		JsonbValue *value = getKeyJsonValueFromContainer(object, key, strlen(key), buf);

		if (value != NULL)
			return value;
	}
	return NULL;
}

static void
take_json_field(Reading *reading, FxCandleField field, const JsonbValue *value, TimestampTz latest)
{
	const char *str = value->type == jbvString ? value->val.string.val : NULL;
	int			len = value->type == jbvString ? value->val.string.len : 0;
	int128		number = 0;
	FxFixedStatus status;
	TimestampTz at;

	if (value->type == jbvNull)
	{
		add_fault(reading, field, "is null");
		return;
	}

	switch (field)
	{
		case FX_CANDLE_SYMBOL:
		case FX_CANDLE_TIMEFRAME:
			if (str == NULL)
				add_fault(reading, field, "is not a string");
			else if (field == FX_CANDLE_SYMBOL)
				take_symbol(reading, str, len);
			else
				take_timeframe(reading, str, len);
			break;
		case FX_CANDLE_TIMESTAMP:
			if (str == NULL || !fx_iso8601_parse(str, len, &at))
				add_fault(reading, field, "is not an ISO-8601 time");
			else
				take_time(reading, at, latest);
			break;
		default:
			if (value->type == jbvNumeric)
				status = fx_fixed_from_numeric((struct varlena *) value->val.numeric, &number);
			else if (str != NULL)
				status = fx_fixed_from_text(str, len, &number);
			else
				status = FX_FIXED_SYNTAX;
			take_number(reading, field, status, number);
			break;
	}
}

static void
add_fault(Reading *reading, FxCandleField field, const char *fault)
{
	StringInfo	faults = reading->faults;

	if (faults->data == NULL)
		initStringInfo(faults);
	appendStringInfo(faults, "%s%s %s", faults->len > 0 ? "; " : "", field_names[field], fault);
	if (field == FX_CANDLE_TIMEFRAME || field == FX_CANDLE_TIMESTAMP)
		reading->timeframe_read = false;
	else if (field >= FX_CANDLE_OPEN && field <= FX_CANDLE_CLOSE)
		reading->prices_read = false;
}

static void
take_symbol(Reading *reading, const char *str, int len)
{
	reading->candle->symbol = str;
	reading->candle->symbol_len = len;
	if (len == 0)
		add_fault(reading, FX_CANDLE_SYMBOL, "is empty");
	else if (len > SYMBOL_MAX_CHARS && pg_mbstrlen_with_len(str, len) > SYMBOL_MAX_CHARS)
		add_fault(reading, FX_CANDLE_SYMBOL, "is longer than 20 characters");
}

static void
take_timeframe(Reading *reading, const char *str, int len)
{
	if (!fx_candle_spelled_timeframe(str, len, &reading->candle->timeframe))
		add_fault(reading, FX_CANDLE_TIMEFRAME, "is not one of 1m 5m 15m 30m 1h 4h 1d 1w 1mn");
}

static void
take_time(Reading *reading, TimestampTz at, TimestampTz latest)
{
	reading->candle->at = at;
	if (TIMESTAMP_NOT_FINITE(at))
		add_fault(reading, FX_CANDLE_TIMESTAMP, "is not a time");
	else if (at < EARLIEST)
		add_fault(reading, FX_CANDLE_TIMESTAMP, "is before 1970");
	else if (at > latest)
		add_fault(reading, FX_CANDLE_TIMESTAMP, "is more than a day in the future");
}

static void
take_number(Reading *reading, FxCandleField field, FxFixedStatus status, int128 value)
{
	if (unlikely(status != FX_FIXED_OK))
		add_fault(reading, field, status == FX_FIXED_NAN || status == FX_FIXED_SYNTAX ?
				  "is not a number" : "is out of range");
	else if (field == FX_CANDLE_VOLUME)
		take_volume(reading, value);
	else
		take_price(reading, field, value);
}

static void
take_price(Reading *reading, FxCandleField field, int128 value)
{
	if (value >= PRICE_LIMIT || value <= -PRICE_LIMIT)
		add_fault(reading, field, "is out of range");
	else if (value <= 0)
		add_fault(reading, field, "is not greater than zero");
	else
		reading->candle->prices[field - FX_CANDLE_OPEN] = (int64) value;
}

/*
 * The column is a bigint.  A fraction is refused, not rounded: 0.4 lots would
 * become none.
 */
static void
take_volume(Reading *reading, int128 value)
{
	if (value < 0)
		add_fault(reading, FX_CANDLE_VOLUME, "is less than zero");
	else if (value % FX_FIXED_ONE != 0)
		add_fault(reading, FX_CANDLE_VOLUME, "is not a whole number");
	else if (value / FX_FIXED_ONE > PG_INT64_MAX)
		add_fault(reading, FX_CANDLE_VOLUME, "is out of range");
	else
		reading->candle->volume = (int64) (value / FX_FIXED_ONE);
}

/*
 * What fields say together.
 */
static void
check_whole(Reading *reading)
{
	static const int64 steps[] = {
		USECS_PER_MINUTE, 5 * USECS_PER_MINUTE, 15 * USECS_PER_MINUTE, 30 * USECS_PER_MINUTE
	};
	const FxCandle *candle = reading->candle;

	if (likely(reading->timeframe_read))
	{
		int64		step = candle->timeframe < FX_TF_1H ? steps[candle->timeframe] : USECS_PER_HOUR;

		if (unlikely(candle->at % step != 0))
			add_fault(reading, FX_CANDLE_TIMESTAMP, candle->timeframe < FX_TF_1H ?
					  "is no multiple of the timeframe" : "is not on the hour");
	}

	if (likely(reading->prices_read))
	{
		int64		open = candle->prices[0];
		int64		high = candle->prices[1];
		int64		low = candle->prices[2];
		int64		close = candle->prices[3];

		if (unlikely(high < low))
			add_fault(reading, FX_CANDLE_HIGH, "is below low_price");
		if (unlikely(high < open))
			add_fault(reading, FX_CANDLE_HIGH, "is below open_price");
		if (unlikely(high < close))
			add_fault(reading, FX_CANDLE_HIGH, "is below close_price");
		if (unlikely(low > open))
			add_fault(reading, FX_CANDLE_LOW, "is above open_price");
		if (unlikely(low > close))
			add_fault(reading, FX_CANDLE_LOW, "is above close_price");
	}
}
