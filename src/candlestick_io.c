/*-------------------------------------------------------------------------
 *
 * candlestick_io.c
 *	  Input, output and comparison of the type candlestick
 *
 * As text a value is "1:" (the version) and seven fields with commas between:
 * first and last time as ISO 8601, open, high, low, close, and volume, which
 * is empty for null.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"

#include "candlestick.h"
#include "compat.h"
#include "fxplatform.h"
#include "iso8601.h"

#define CANDLESTICK_FIELDS	7

/* No more of the input than this is shown in an error */
#define ECHO_BYTES			64

PG_FUNCTION_INFO_V1(fx_candlestick_in);
PG_FUNCTION_INFO_V1(fx_candlestick_out);
PG_FUNCTION_INFO_V1(fx_candlestick_recv);
PG_FUNCTION_INFO_V1(fx_candlestick_send);
PG_FUNCTION_INFO_V1(fx_candlestick_eq);
PG_FUNCTION_INFO_V1(fx_candlestick_ne);
PG_FUNCTION_INFO_V1(fx_candlestick_hash);
PG_FUNCTION_INFO_V1(fx_candlestick_hash_extended);

static bool parse_candlestick(const char *str, FxCandlestick *candle);
static bool parse_price(const char *str, int len, int64 *price);
static bool parse_volume(const char *str, int len, FxCandlestick *candle);
static bool is_possible(const FxCandlestick *candle);

/*
 * candlestick_in(cstring) returns candlestick
 */
Datum
fx_candlestick_in(PG_FUNCTION_ARGS)
{
	char	   *str = PG_GETARG_CSTRING(0);
	FxCandlestick *candle = fx_candlestick_make();
	char	   *rest;
	long		version = strtol(str, &rest, 10);

	if (rest != str && *rest == ':' && version != FX_CANDLESTICK_VERSION)
		fx_raise_version("candlestick", version);
	if (rest == str || *rest != ':' || !parse_candlestick(rest + 1, candle) ||
		!is_possible(candle))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type %s: \"%.*s\"", "candlestick",
					   pg_mbcliplen(str, strlen(str), ECHO_BYTES), str));

	PG_RETURN_POINTER(candle);
}

/*
 * candlestick_out(candlestick) returns cstring
 */
Datum
fx_candlestick_out(PG_FUNCTION_ARGS)
{
	FxCandlestick *candle = PG_GETARG_CANDLESTICK_P(0);
	const int64 prices[] = {candle->open, candle->high, candle->low, candle->close};
	char		first[FX_ISO8601_SIZE];
	char		last[FX_ISO8601_SIZE];
	StringInfoData buf;

	fx_iso8601_write(candle->first_at, first);
	fx_iso8601_write(candle->last_at, last);
	initStringInfo(&buf);
	appendStringInfo(&buf, "%d:%s,%s", candle->version, first, last);
	for (int i = 0; i < lengthof(prices); i++)
	{
		char		text[FX_FIXED_TEXT_SIZE];

		fx_fixed_write_text(prices[i], text);
		appendStringInfo(&buf, ",%s", text);
	}
	appendStringInfoChar(&buf, ',');
	if (candle->flags & FX_CANDLESTICK_HAS_VOLUME)
		appendStringInfo(&buf, INT64_FORMAT, candle->volume);

	PG_RETURN_CSTRING(buf.data);
}

/*
 * candlestick_recv(internal) returns candlestick
 */
Datum
fx_candlestick_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	FxCandlestick *candle = fx_candlestick_make();
	int			version = pq_getmsgbyte(buf);

	if (version != FX_CANDLESTICK_VERSION)
		fx_raise_version("candlestick", version);
	candle->flags = pq_getmsgbyte(buf);
	candle->first_at = pq_getmsgint64(buf);
	candle->last_at = pq_getmsgint64(buf);
	candle->open = pq_getmsgint64(buf);
	candle->high = pq_getmsgint64(buf);
	candle->low = pq_getmsgint64(buf);
	candle->close = pq_getmsgint64(buf);
	candle->volume = pq_getmsgint64(buf);

	if (!is_possible(candle))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("invalid external value of type %s", "candlestick"));
	PG_RETURN_POINTER(candle);
}

/*
 * candlestick_send(candlestick) returns bytea
 */
Datum
fx_candlestick_send(PG_FUNCTION_ARGS)
{
	FxCandlestick *candle = PG_GETARG_CANDLESTICK_P(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbyte(&buf, candle->version);
	pq_sendbyte(&buf, candle->flags);
	pq_sendint64(&buf, candle->first_at);
	pq_sendint64(&buf, candle->last_at);
	pq_sendint64(&buf, candle->open);
	pq_sendint64(&buf, candle->high);
	pq_sendint64(&buf, candle->low);
	pq_sendint64(&buf, candle->close);
	pq_sendint64(&buf, candle->volume);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * The same content has the same bytes, so values are compared as bytes.
 */
Datum
fx_candlestick_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(memcmp(PG_GETARG_CANDLESTICK_P(0), PG_GETARG_CANDLESTICK_P(1),
						  sizeof(FxCandlestick)) == 0);
}

Datum
fx_candlestick_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(memcmp(PG_GETARG_CANDLESTICK_P(0), PG_GETARG_CANDLESTICK_P(1),
						  sizeof(FxCandlestick)) != 0);
}

Datum
fx_candlestick_hash(PG_FUNCTION_ARGS)
{
	return hash_any((unsigned char *) PG_GETARG_CANDLESTICK_P(0), sizeof(FxCandlestick));
}

Datum
fx_candlestick_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_any_extended((unsigned char *) PG_GETARG_CANDLESTICK_P(0),
							 sizeof(FxCandlestick), PG_GETARG_INT64(1));
}

/*
 * Read what follows the version.
 */
static bool
parse_candlestick(const char *str, FxCandlestick *candle)
{
	const char *field[CANDLESTICK_FIELDS];
	int			len[CANDLESTICK_FIELDS];

	for (int i = 0; i < CANDLESTICK_FIELDS; i++)
	{
		field[i] = str;
		len[i] = strcspn(str, ",");
		str += len[i];
		/* a comma after each but the last */
		if (*str != (i < CANDLESTICK_FIELDS - 1 ? ',' : '\0'))
			return false;
		str++;
	}
	return fx_iso8601_parse(field[0], len[0], &candle->first_at) &&
		fx_iso8601_parse(field[1], len[1], &candle->last_at) &&
		parse_price(field[2], len[2], &candle->open) &&
		parse_price(field[3], len[3], &candle->high) &&
		parse_price(field[4], len[4], &candle->low) &&
		parse_price(field[5], len[5], &candle->close) &&
		parse_volume(field[6], len[6], candle);
}

static bool
parse_price(const char *str, int len, int64 *price)
{
	int128		value;

	if (fx_fixed_from_text(str, len, &value) != FX_FIXED_OK)
		return false;
	*price = (int64) value;
	return *price == value;
}

static bool
parse_volume(const char *str, int len, FxCandlestick *candle)
{
	int128		value;

	if (len == 0)
		return true;
	if (fx_fixed_from_text(str, len, &value) != FX_FIXED_OK || value % FX_FIXED_ONE != 0)
		return false;
	value /= FX_FIXED_ONE;
	candle->volume = (int64) value;
	candle->flags = FX_CANDLESTICK_HAS_VOLUME;
	return candle->volume == value;
}

/*
 * Could rows have this value?
 */
static bool
is_possible(const FxCandlestick *candle)
{
	if ((candle->flags & ~FX_CANDLESTICK_HAS_VOLUME) != 0 || candle->volume < 0 ||
		((candle->flags & FX_CANDLESTICK_HAS_VOLUME) == 0 && candle->volume != 0))
		return false;
	if (candle->first_at < FX_CANDLESTICK_MIN_TIME || candle->last_at < candle->first_at ||
		candle->last_at >= FX_CANDLESTICK_END_TIME)
		return false;
	return candle->low >= -FX_CANDLESTICK_MAX_PRICE &&
		candle->high <= FX_CANDLESTICK_MAX_PRICE &&
		candle->low <= Min(candle->open, candle->close) &&
		candle->high >= Max(candle->open, candle->close);
}
