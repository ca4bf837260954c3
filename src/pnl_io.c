/*-------------------------------------------------------------------------
 *
 * pnl_io.c
 *	  Input, output and comparison of the type pnl
 *
 * As text a value is "1:" (the version) and ten numbers with commas between:
 * trades, wins, losses, sum of wins, sum of losses, commission, swap, largest
 * win, largest loss, and the sum of squares in hexadecimal at scale 16.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"

#include "compat.h"
#include "fxplatform.h"
#include "pnl.h"

#define PNL_NUMBERS			10

/* No more of the input than this is shown in an error */
#define ECHO_BYTES			64
#define SQUARES_HEX_DIGITS	(FX_WIDE_WORDS * 16)

PG_FUNCTION_INFO_V1(fx_pnl_in);
PG_FUNCTION_INFO_V1(fx_pnl_out);
PG_FUNCTION_INFO_V1(fx_pnl_recv);
PG_FUNCTION_INFO_V1(fx_pnl_send);
PG_FUNCTION_INFO_V1(fx_pnl_eq);
PG_FUNCTION_INFO_V1(fx_pnl_ne);
PG_FUNCTION_INFO_V1(fx_pnl_hash);
PG_FUNCTION_INFO_V1(fx_pnl_hash_extended);

static bool parse_pnl(char *str, FxPnl *pnl);
static bool parse_count(const char *str, int64 *count);
static bool parse_money(const char *str, int128 *money);
static bool parse_squares(const char *str, FxWide *squares);
static bool is_possible(const FxPnl *pnl);

/*
 * pnl_in(cstring) returns pnl
 */
Datum
fx_pnl_in(PG_FUNCTION_ARGS)
{
	char	   *str = PG_GETARG_CSTRING(0);
	FxPnl	   *pnl = fx_pnl_make();
	char	   *rest;
	long		version = strtol(str, &rest, 10);

	if (rest != str && *rest == ':' && version != FX_PNL_VERSION)
		fx_raise_version("pnl", version);
	if (rest == str || *rest != ':' || !parse_pnl(pstrdup(rest + 1), pnl) || !is_possible(pnl))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type %s: \"%.*s\"", "pnl",
					   pg_mbcliplen(str, strlen(str), ECHO_BYTES), str));

	PG_RETURN_POINTER(pnl);
}

/*
 * pnl_out(pnl) returns cstring
 */
Datum
fx_pnl_out(PG_FUNCTION_ARGS)
{
	FxPnl	   *pnl = PG_GETARG_PNL_P(0);
	const int128 money[] = {pnl->gross_profit, pnl->gross_loss, pnl->commission,
	pnl->swap, pnl->largest_win, pnl->largest_loss};
	StringInfoData buf;
	bool		leading = true;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%d:" INT64_FORMAT "," INT64_FORMAT "," INT64_FORMAT,
					 pnl->version, pnl->trades, pnl->wins, pnl->losses);
	for (int i = 0; i < lengthof(money); i++)
	{
		char		text[FX_FIXED_TEXT_SIZE];

		fx_fixed_write_text(money[i], text);
		appendStringInfo(&buf, ",%s", text);
	}
	appendStringInfoChar(&buf, ',');
	for (int i = SQUARES_HEX_DIGITS - 1; i >= 0; i--)
	{
		int			digit = (pnl->squares.word[i / 16] >> (4 * (i % 16))) & 15;

		leading &= digit == 0 && i > 0;
		if (!leading)
			appendStringInfoChar(&buf, "0123456789abcdef"[digit]);
	}

	PG_RETURN_CSTRING(buf.data);
}

/*
 * pnl_recv(internal) returns pnl
 */
Datum
fx_pnl_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	FxPnl	   *pnl = fx_pnl_make();
	int			version = pq_getmsgbyte(buf);

	if (version != FX_PNL_VERSION)
		fx_raise_version("pnl", version);
	pnl->trades = pq_getmsgint64(buf);
	pnl->wins = pq_getmsgint64(buf);
	pnl->losses = pq_getmsgint64(buf);
	pnl->gross_profit = fx_fixed_recv(buf);
	pnl->gross_loss = fx_fixed_recv(buf);
	pnl->commission = fx_fixed_recv(buf);
	pnl->swap = fx_fixed_recv(buf);
	pnl->largest_win = fx_fixed_recv(buf);
	pnl->largest_loss = fx_fixed_recv(buf);
	for (int i = FX_WIDE_WORDS - 1; i >= 0; i--)
		pnl->squares.word[i] = (uint64) pq_getmsgint64(buf);

	if (!is_possible(pnl))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("invalid external value of type %s", "pnl"));
	PG_RETURN_POINTER(pnl);
}

/*
 * pnl_send(pnl) returns bytea
 */
Datum
fx_pnl_send(PG_FUNCTION_ARGS)
{
	FxPnl	   *pnl = PG_GETARG_PNL_P(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbyte(&buf, pnl->version);
	pq_sendint64(&buf, pnl->trades);
	pq_sendint64(&buf, pnl->wins);
	pq_sendint64(&buf, pnl->losses);
	fx_fixed_send(&buf, pnl->gross_profit);
	fx_fixed_send(&buf, pnl->gross_loss);
	fx_fixed_send(&buf, pnl->commission);
	fx_fixed_send(&buf, pnl->swap);
	fx_fixed_send(&buf, pnl->largest_win);
	fx_fixed_send(&buf, pnl->largest_loss);
	for (int i = FX_WIDE_WORDS - 1; i >= 0; i--)
		pq_sendint64(&buf, pnl->squares.word[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * The same trades give the same bytes, so values are compared as bytes.
 */
Datum
fx_pnl_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(memcmp(PG_GETARG_PNL_P(0), PG_GETARG_PNL_P(1), sizeof(FxPnl)) == 0);
}

Datum
fx_pnl_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(memcmp(PG_GETARG_PNL_P(0), PG_GETARG_PNL_P(1), sizeof(FxPnl)) != 0);
}

Datum
fx_pnl_hash(PG_FUNCTION_ARGS)
{
	return hash_any((unsigned char *) PG_GETARG_PNL_P(0), sizeof(FxPnl));
}

Datum
fx_pnl_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_any_extended((unsigned char *) PG_GETARG_PNL_P(0), sizeof(FxPnl),
							 PG_GETARG_INT64(1));
}

/*
 * Read what follows the version.  The string is cut at its commas.
 */
static bool
parse_pnl(char *str, FxPnl *pnl)
{
	char	   *field[PNL_NUMBERS];

	for (int i = 0; i < PNL_NUMBERS; i++)
	{
		char	   *comma = strchr(str, ',');

		/* a comma after each but the last */
		if ((comma == NULL) != (i == PNL_NUMBERS - 1))
			return false;
		field[i] = str;
		if (comma != NULL)
		{
			*comma = '\0';
			str = comma + 1;
		}
	}
	return parse_count(field[0], &pnl->trades) &&
		parse_count(field[1], &pnl->wins) &&
		parse_count(field[2], &pnl->losses) &&
		parse_money(field[3], &pnl->gross_profit) &&
		parse_money(field[4], &pnl->gross_loss) &&
		parse_money(field[5], &pnl->commission) &&
		parse_money(field[6], &pnl->swap) &&
		parse_money(field[7], &pnl->largest_win) &&
		parse_money(field[8], &pnl->largest_loss) &&
		parse_squares(field[9], &pnl->squares);
}

static bool
parse_count(const char *str, int64 *count)
{
	int128		value;

	if (fx_fixed_from_text(str, strlen(str), &value) != FX_FIXED_OK ||
		value % FX_FIXED_ONE != 0)
		return false;
	value /= FX_FIXED_ONE;
	*count = (int64) value;
	return *count == value;
}

static bool
parse_money(const char *str, int128 *money)
{
	return fx_fixed_from_text(str, strlen(str), money) == FX_FIXED_OK;
}

static bool
parse_squares(const char *str, FxWide *squares)
{
	int			len = strlen(str);

	if (len < 1 || len > SQUARES_HEX_DIGITS)
		return false;
	for (int i = 0; i < len; i++)
	{
		char		c = str[i];
		int			at = len - 1 - i;
		uint64		digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else
			return false;
		squares->word[at / 16] |= digit << (4 * (at % 16));
	}
	return true;
}

/*
 * Could trades have this value?  Sums and extremes must fit the counts, and the
 * squares the extremes.
 */
static bool
is_possible(const FxPnl *pnl)
{
	FxWide		least = {0};
	FxWide		most = {0};

	if (pnl->trades < 0 || pnl->wins < 0 || pnl->losses < 0 ||
		pnl->wins > pnl->trades || pnl->losses > pnl->trades - pnl->wins)
		return false;
	if (pnl->gross_profit < pnl->largest_win || pnl->gross_loss > pnl->largest_loss ||
		(pnl->wins > 0) != (pnl->largest_win > 0) ||
		(pnl->losses > 0) != (pnl->largest_loss < 0) ||
		(pnl->wins > 0) != (pnl->gross_profit > 0) ||
		(pnl->losses > 0) != (pnl->gross_loss < 0) ||
		(pnl->wins == 1 && pnl->gross_profit != pnl->largest_win) ||
		(pnl->losses == 1 && pnl->gross_loss != pnl->largest_loss))
		return false;
	if (pnl->trades == 0 && (pnl->commission != 0 || pnl->swap != 0))
		return false;

	fx_wide_add_square(&least, pnl->largest_win);
	fx_wide_add_square(&least, pnl->largest_loss);
	fx_wide_add_square(&most, pnl->gross_profit);
	fx_wide_add_square(&most, pnl->gross_loss);
	if (fx_wide_compare(&pnl->squares, &least) < 0 ||
		fx_wide_compare(&pnl->squares, &most) > 0)
		return false;
	return fx_pnl_variance(pnl) >= 0;
}
