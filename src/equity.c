/*-------------------------------------------------------------------------
 *
 * equity.c
 *	  Equity curves of backtests
 *
 * A curve begins with the starting balance and has a point after each trade, in
 * the order of closing: the equity, and how far it is below its peak so far.
 *
 * As JSONB a curve is written directly in its binary form (utils/jsonb.h), not
 * built as a tree of values first: every point has the same four keys, so all
 * but the values is known beforehand.  What convertJsonbValue() would write is
 * written here byte by byte; the tests compare the two.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "iso8601.h"
#include "trade_reader.h"

#define EQUITY_POINTS_COLS	7

/* The keys of a point, sorted as JSONB sorts them: by length, then bytes */
#define POINT_KEYS			"equity" "drawdown" "timestamp" "drawdownFraction"
#define POINT_KEYS_LEN		(6 + 8 + 9 + 16)
#define POINT_PAIRS			4

/*
 * No point is larger: container header, entries, keys, two amounts, a time, a
 * fraction, and the padding before each number.
 */
#define POINT_MAX_SIZE		256

/* What a point of an ordinary curve takes, to begin with */
#define POINT_USUAL_SIZE	144

/* Digits of base 10000 in a double's shortest form, at any alignment */
#define FRACTION_MAX_DIGITS 6

typedef struct EquityState
{
	int128		equity;
	int128		peak;			/* the starting balance included */
} EquityState;

typedef struct CurveWriter
{
	char	   *buf;			/* a varlena that grows */
	Size		capacity;
	Size		used;
	uint32		nelems;			/* points in all */
	uint32		written;		/* points so far */
	Size		data_start;		/* where the points begin in buf */
} CurveWriter;

PG_FUNCTION_INFO_V1(fx_equity_curve);
PG_FUNCTION_INFO_V1(fx_equity_points);

static void equity_add(EquityState *state, int128 net);
static double drawdown_fraction(const EquityState *state);
static void curve_begin(CurveWriter *writer, uint32 nelems);
static void curve_point(CurveWriter *writer, const EquityState *state,
						const TimestampTz *closed_at);
pg_noreturn static void raise_curve_too_long(void);
static Size write_double_numeric(double value, char *buf);

/*
 * equity_curve(trades jsonb, initial_balance numeric) returns jsonb
 */
Datum
fx_equity_curve(PG_FUNCTION_ARGS)
{
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	FxTrades	trades;
	EquityState state;
	CurveWriter writer;

	fx_trades_read(PG_GETARG_JSONB_P(0), &trades);

	state.equity = state.peak = balance;
	curve_begin(&writer, trades.count + 1);
	curve_point(&writer, &state, NULL);
	for (uint32 i = 0; i < trades.count; i++)
	{
		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		equity_add(&state, trades.items[i].net);
		curve_point(&writer, &state, trades.timed ? &trades.items[i].closed_at : NULL);
	}
	pfree(trades.items);

	SET_VARSIZE(writer.buf, writer.used);
	PG_RETURN_POINTER(writer.buf);
}

/*
 * equity_points(trades jsonb, initial_balance numeric)
 *		returns table (seq integer, closed_at timestamptz, net_profit numeric,
 *					   equity numeric, peak numeric, drawdown numeric,
 *					   drawdown_fraction float8)
 */
Datum
fx_equity_points(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	FxTrades	trades;
	EquityState state;

	fx_trades_read(PG_GETARG_JSONB_P(0), &trades);
	InitMaterializedSRF(fcinfo, 0);

	state.equity = state.peak = balance;
	for (uint32 i = 0; i <= trades.count; i++)
	{
		const FxTrade *trade = i == 0 ? NULL : &trades.items[i - 1];
		char		numbers[4][FX_FIXED_NUMERIC_SIZE] pg_attribute_aligned(MAXIMUM_ALIGNOF);
		Datum		values[EQUITY_POINTS_COLS];
		bool		nulls[EQUITY_POINTS_COLS] = {0};

		CHECK_FOR_INTERRUPTS();

		if (trade != NULL)
			equity_add(&state, trade->net);

		fx_fixed_write_numeric(trade != NULL ? trade->net : 0, false, numbers[0]);
		fx_fixed_write_numeric(state.equity, false, numbers[1]);
		fx_fixed_write_numeric(state.peak, false, numbers[2]);
		fx_fixed_write_numeric(state.peak - state.equity, false, numbers[3]);

		values[0] = Int32GetDatum((int32) i);
		values[1] = TimestampTzGetDatum(trade != NULL ? trade->closed_at : 0);
		nulls[1] = trade == NULL || !trades.timed;
		for (int k = 0; k < 4; k++)
			values[2 + k] = PointerGetDatum(numbers[k]);
		nulls[2] = trade == NULL;
		values[6] = Float8GetDatum(drawdown_fraction(&state));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}

	return (Datum) 0;
}

static void
equity_add(EquityState *state, int128 net)
{
	int128		drawdown;

	if (fx_fixed_add_overflow(state->equity, net, &state->equity))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "equity");
	if (state->equity > state->peak)
		state->peak = state->equity;
	else if (fx_fixed_sub_overflow(state->peak, state->equity, &drawdown))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "drawdown");
}

/*
 * Share of the peak that is lost.  The peak is never below the starting
 * balance, which is above zero.
 */
static double
drawdown_fraction(const EquityState *state)
{
	return (double) (state->peak - state->equity) / (double) state->peak;
}

/*
 * Lay out the head of the array: its header and an entry a point.
 */
static void
curve_begin(CurveWriter *writer, uint32 nelems)
{
	uint32		header = nelems | JB_FARRAY;

	writer->nelems = nelems;
	writer->written = 0;
	writer->data_start = VARHDRSZ + sizeof(uint32) + nelems * sizeof(JEntry);
	writer->capacity = writer->data_start + POINT_MAX_SIZE +
		Min((Size) nelems * POINT_USUAL_SIZE, JENTRY_OFFLENMASK);
	writer->buf = MemoryContextAllocHuge(CurrentMemoryContext, writer->capacity);
	writer->used = writer->data_start;
	memcpy(writer->buf + VARHDRSZ, &header, sizeof(header));
}

/*
 * Append a point; closed_at is NULL where it has no time.
 */
static void
curve_point(CurveWriter *writer, const EquityState *state, const TimestampTz *closed_at)
{
	static const uint32 key_entries[POINT_PAIRS] = {6 | JENTRY_HAS_OFF, 8, 9, 16};
	uint32		header = POINT_PAIRS | JB_FOBJECT;
	Size		begin = writer->used;
	char	   *entries;
	char	   *p;
	char	   *value;
	JEntry		entry[POINT_PAIRS];
	uint32		total;
	int128		drawdown = state->peak - state->equity;

	if (writer->capacity - writer->used < POINT_MAX_SIZE)
	{
		writer->capacity += writer->capacity / 2;
		writer->buf = repalloc_huge(writer->buf, writer->capacity);
	}

	/* a container, and a number, begins at a multiple of four; gaps are zero */
#define PAD(ptr) \
	do { \
		while ((ptr - writer->buf) & (sizeof(int32) - 1)) \
			*ptr++ = 0; \
	} while (0)

	p = writer->buf + begin;
	PAD(p);
	memcpy(p, &header, sizeof(header));
	p += sizeof(header);
	memcpy(p, key_entries, sizeof(key_entries));
	p += sizeof(key_entries);
	entries = p;
	p += sizeof(entry);
	memcpy(p, POINT_KEYS, POINT_KEYS_LEN);
	p += POINT_KEYS_LEN;

	value = p;
	PAD(p);
	p += fx_fixed_write_numeric(state->equity, true, p);
	entry[0] = JENTRY_ISNUMERIC | (uint32) (p - value);

	value = p;
	PAD(p);
	p += fx_fixed_write_numeric(drawdown, true, p);
	entry[1] = JENTRY_ISNUMERIC | (uint32) (p - value);

	if (closed_at != NULL)
	{
		int			len = fx_iso8601_write(*closed_at, p);

		p += len;
		entry[2] = JENTRY_ISSTRING | (uint32) len;
	}
	else
		entry[2] = JENTRY_ISNULL;

	value = p;
	PAD(p);
	if (drawdown == 0)
		p += fx_fixed_write_numeric(0, true, p);
	else
		p += write_double_numeric(drawdown_fraction(state), p);
	entry[3] = JENTRY_ISNUMERIC | (uint32) (p - value);
#undef PAD

	memcpy(entries, entry, sizeof(entry));
	Assert(p - (writer->buf + begin) <= POINT_MAX_SIZE);
	writer->used = p - writer->buf;

	/* every so many entries hold the end offset instead of the length */
	total = (uint32) (writer->used - writer->data_start);
	if (writer->used - writer->data_start > JENTRY_OFFLENMASK)
		raise_curve_too_long();
	entry[0] = writer->written % JB_OFFSET_STRIDE == 0 ?
		JENTRY_ISCONTAINER | JENTRY_HAS_OFF | total :
		JENTRY_ISCONTAINER | (uint32) (writer->used - begin);
	memcpy(writer->buf + VARHDRSZ + sizeof(uint32) + writer->written * sizeof(JEntry),
		   &entry[0], sizeof(JEntry));
	writer->written++;
}

static void
raise_curve_too_long(void)
{
	ereport(ERROR,
			errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			errmsg("equity curve exceeds the maximum size of a JSON array (%u bytes)",
				   JENTRY_OFFLENMASK),
			errhint("Use fx.equity_points, which returns rows."));
}

/*
 * Write a positive double, below 10^40 and above 10^-40, as the numeric of its
 * shortest decimal form, and return the size.
 */
static Size
write_double_numeric(double value, char *buf)
{
	char		text[DOUBLE_SHORTEST_DECIMAL_LEN];
	int			len = double_to_shortest_decimal_buf(value, text);
	char		digit_buf[DOUBLE_SHORTEST_DECIMAL_LEN];
	const char *digits = digit_buf;
	int			ndigits = 0;
	int			point = -1;		/* digits before the point */
	int			exponent = 0;
	int			power;			/* of ten, of the first digit */
	int			weight;
	int			dscale;
	int16		base[FRACTION_MAX_DIGITS] = {0};
	int			nbase = 0;
	uint16		header;

	for (int i = 0; i < len; i++)
	{
		if (text[i] == '.')
			point = ndigits;
		else if (text[i] == 'e')
		{
			exponent = atoi(text + i + 1);
			break;
		}
		else
			digit_buf[ndigits++] = text[i] - '0';
	}
	if (point < 0)
		point = ndigits;

	/* leading zeros, of 0.0012, are no digits */
	while (ndigits > 1 && *digits == 0)
	{
		digits++;
		ndigits--;
		point--;
	}
	while (ndigits > 1 && digits[ndigits - 1] == 0)
		ndigits--;
	power = point - 1 + exponent;

	dscale = Max(0, ndigits - 1 - power);
	weight = power >= 0 ? power / 4 : -((3 - power) / 4);
	for (int i = 0; i < ndigits; i++)
	{
		static const int16 unit[4] = {1, 10, 100, 1000};
		int			at = power - i;
		int			group = at >= 0 ? at / 4 : -((3 - at) / 4);

		base[weight - group] += digits[i] * unit[at - 4 * group];
		nbase = weight - group + 1;
	}
	Assert(nbase <= FRACTION_MAX_DIGITS && dscale <= 63 && weight >= -64);

	header = 0x8000 | (dscale << 7) | (weight < 0 ? 0x0040 : 0) | (weight & 0x003F);
	SET_VARSIZE(buf, VARHDRSZ + sizeof(header) + nbase * sizeof(int16));
	memcpy(buf + VARHDRSZ, &header, sizeof(header));
	memcpy(buf + VARHDRSZ + sizeof(header), base, nbase * sizeof(int16));
	return VARSIZE(buf);
}
