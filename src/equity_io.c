/*-------------------------------------------------------------------------
 *
 * equity_io.c
 *	  Input and output of the type equity
 *
 * As text a value is "1:" (the version), then 1 or 0 for whether both times of
 * all trades are known, the commission and the swap in all, and for each trade a
 * semicolon and its closing time, net profit and opening time, with commas
 * between.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/datetime.h"

#include "compat.h"
#include "equity_agg.h"
#include "fxplatform.h"
#include "iso8601.h"

/* No more of the input than this is shown in an error */
#define ECHO_BYTES			64

PG_FUNCTION_INFO_V1(fx_equity_in);
PG_FUNCTION_INFO_V1(fx_equity_out);
PG_FUNCTION_INFO_V1(fx_equity_recv);
PG_FUNCTION_INFO_V1(fx_equity_send);

static bool parse_equity(const char *str, FxEquityBuilder *builder);
static bool parse_field(const char **p, char delimiter, const char **field, Size *len);
static bool parse_money(const char **p, char delimiter, int128 *money);
static bool parse_trade(const char **p, FxEquityTrade *trade);
static bool is_possible(const FxEquityTrade *trade);
pg_noreturn static void raise_impossible(void);

/*
 * equity_in(cstring) returns equity
 */
Datum
fx_equity_in(PG_FUNCTION_ARGS)
{
	char	   *str = PG_GETARG_CSTRING(0);
	FxEquityBuilder *builder = fx_equity_make(CurrentMemoryContext);
	char	   *rest;
	long		version = strtol(str, &rest, 10);

	if (rest != str && *rest == ':' && version != FX_EQUITY_VERSION)
		fx_raise_version("equity", version);
	if (rest == str || *rest != ':' || !parse_equity(rest + 1, builder))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type %s: \"%.*s\"", "equity",
					   pg_mbcliplen(str, strlen(str), ECHO_BYTES), str));
	PG_RETURN_DATUM(EOHPGetRWDatum(&builder->hdr));
}

/*
 * equity_out(equity) returns cstring
 */
Datum
fx_equity_out(PG_FUNCTION_ARGS)
{
	FxEquityBuilder *builder = fx_equity_open(PG_GETARG_DATUM(0));
	StringInfoData buf;
	char		money[FX_FIXED_TEXT_SIZE];

	fx_equity_sort(builder);
	initStringInfo(&buf);
	fx_fixed_write_text(builder->commission, money);
	appendStringInfo(&buf, "%d:%d,%s,", FX_EQUITY_VERSION, builder->held, money);
	fx_fixed_write_text(builder->swap, money);
	appendStringInfoString(&buf, money);
	for (Size i = 0; i < builder->count; i++)
	{
		const FxEquityTrade *trade = &builder->trades[i];
		char		closed[FX_ISO8601_SIZE];
		char		opened[FX_ISO8601_SIZE];

		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		fx_iso8601_write(trade->closed_at, closed);
		fx_iso8601_write(trade->opened_at, opened);
		fx_fixed_write_text(trade->net, money);
		appendStringInfo(&buf, ";%s,%s,%s", closed, money, opened);
	}
	PG_RETURN_CSTRING(buf.data);
}

/*
 * equity_recv(internal) returns equity
 */
Datum
fx_equity_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	FxEquityBuilder *builder = fx_equity_make(CurrentMemoryContext);
	int			version = pq_getmsgbyte(buf);
	int			held;

	if (version != FX_EQUITY_VERSION)
		fx_raise_version("equity", version);
	held = pq_getmsgbyte(buf);
	if (held > 1)
		raise_impossible();
	builder->held = held == 1;
	builder->commission = fx_fixed_recv(buf);
	builder->swap = fx_fixed_recv(buf);

	fx_equity_reserve(builder, (buf->len - buf->cursor) / sizeof(FxEquityTrade));
	while (buf->cursor < buf->len)
	{
		FxEquityTrade trade;

		trade.closed_at = pq_getmsgint64(buf);
		trade.net = pq_getmsgint64(buf);
		trade.opened_at = pq_getmsgint64(buf);
		if (!is_possible(&trade))
			raise_impossible();
		fx_equity_add(builder, &trade);
	}
	PG_RETURN_DATUM(EOHPGetRWDatum(&builder->hdr));
}

/*
 * equity_send(equity) returns bytea
 */
Datum
fx_equity_send(PG_FUNCTION_ARGS)
{
	FxEquityBuilder *builder = fx_equity_open(PG_GETARG_DATUM(0));
	StringInfoData buf;

	fx_equity_sort(builder);
	pq_begintypsend(&buf);
	pq_sendbyte(&buf, FX_EQUITY_VERSION);
	pq_sendbyte(&buf, builder->held);
	fx_fixed_send(&buf, builder->commission);
	fx_fixed_send(&buf, builder->swap);
	for (Size i = 0; i < builder->count; i++)
	{
		pq_sendint64(&buf, builder->trades[i].closed_at);
		pq_sendint64(&buf, builder->trades[i].net);
		pq_sendint64(&buf, builder->trades[i].opened_at);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * Read what follows the version.
 */
static bool
parse_equity(const char *str, FxEquityBuilder *builder)
{
	const char *p = str;

	if ((p[0] != '0' && p[0] != '1') || p[1] != ',')
		return false;
	builder->held = p[0] == '1';
	p += 2;
	if (!parse_money(&p, ',', &builder->commission) ||
		!parse_money(&p, ';', &builder->swap))
		return false;

	while (*p != '\0')
	{
		FxEquityTrade trade;

		if ((builder->count & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		if (!parse_trade(&p, &trade))
			return false;
		fx_equity_add(builder, &trade);
	}
	return true;
}

static bool
parse_trade(const char **p, FxEquityTrade *trade)
{
	const char *field;
	Size		len;
	int128		net;

	if (!parse_field(p, ',', &field, &len) || !fx_iso8601_parse(field, len, &trade->closed_at) ||
		!parse_money(p, ',', &net) ||
		!parse_field(p, ';', &field, &len) || !fx_iso8601_parse(field, len, &trade->opened_at))
		return false;
	trade->net = (int64) net;
	return trade->net == net && is_possible(trade);
}

static bool
parse_money(const char **p, char delimiter, int128 *money)
{
	const char *field;
	Size		len;

	return parse_field(p, delimiter, &field, &len) &&
		fx_fixed_from_text(field, len, money) == FX_FIXED_OK;
}

/*
 * What comes before the delimiter, which is skipped.  The last field of all is
 * one that could end with a semicolon, and ends with the string.
 */
static bool
parse_field(const char **p, char delimiter, const char **field, Size *len)
{
	const char *end = strchr(*p, delimiter);

	if (end == NULL && delimiter == ';')
		end = *p + strlen(*p);
	if (end == NULL)
		return false;
	*field = *p;
	*len = end - *p;
	*p = *end == '\0' ? end : end + 1;
	return true;
}

/*
 * Could the aggregate have this trade?
 */
static bool
is_possible(const FxEquityTrade *trade)
{
	return trade->opened_at >= FX_EQUITY_MIN_TIME && trade->opened_at <= trade->closed_at &&
		trade->closed_at < FX_EQUITY_END_TIME;
}

static void
raise_impossible(void)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			errmsg("invalid external value of type %s", "equity"));
}
