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
#include "equity_agg.h"
#include "iso8601.h"
#include "trade_reader.h"

#define EQUITY_POINTS_COLS	7

/*
 * What a point begins with; but for the entries of its values it is always the
 * same.  The keys are sorted as JSONB sorts them: by length, then bytes.
 */
#define POINT_PAIRS			4
#define POINT_KEYS			"equity" "drawdown" "timestamp" "drawdownFraction"

typedef struct PointHead
{
	uint32		header;
	JEntry		keys[POINT_PAIRS];
	JEntry		values[POINT_PAIRS];
	char		key_text[sizeof(POINT_KEYS)];	/* its zero aligns the first value */
} PointHead;

static const PointHead point_head = {
	.header = POINT_PAIRS | JB_FOBJECT,
	.keys = {6 | JENTRY_HAS_OFF, 8, 9, 16},
	.key_text = POINT_KEYS,
};

StaticAssertDecl(sizeof(PointHead) % sizeof(int32) == 0, "a number begins at a multiple of four");

/*
 * No point is larger: container header, entries, keys, two amounts, a time, a
 * fraction, and the padding before each number.
 */
#define POINT_MAX_SIZE		256

/* What a point of an ordinary curve takes, to begin with */
#define POINT_USUAL_SIZE	144

/* Decimals that a digit of base 10000 stands for */
#define DEC_DIGITS			4

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
PG_FUNCTION_INFO_V1(fx_equity_curve_of_equity);
PG_FUNCTION_INFO_V1(fx_equity_curve_of_text);
PG_FUNCTION_INFO_V1(fx_equity_points);
PG_FUNCTION_INFO_V1(fx_equity_points_of_equity);
PG_FUNCTION_INFO_V1(fx_equity_points_of_text);

static Datum make_curve(const FxTrades *trades, int128 balance, Jsonb *spare);
static Datum put_points(FunctionCallInfo fcinfo, FxTradesSource read);
static void equity_add(EquityState *state, int128 net);
static double drawdown_fraction(const EquityState *state);
static void curve_begin(CurveWriter *writer, uint32 nelems, Jsonb *spare);
static void curve_point(CurveWriter *writer, const EquityState *state,
						const TimestampTz *closed_at);
pg_noreturn static void raise_curve_too_long(void);
static Size write_double_numeric(double value, char *buf);
static int16 *convert_decimals(char *text, int len, int16 *digits, int *weight, int *dscale);
static int16 *convert_decimal(const char *text, int len, int16 *digits, int *weight, int *dscale);

/*
 * equity_curve(trades jsonb, initial_balance numeric) returns jsonb
 */
Datum
fx_equity_curve(PG_FUNCTION_ARGS)
{
	Pointer		datum = DatumGetPointer(PG_GETARG_DATUM(0));
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	Jsonb	   *json = PG_GETARG_JSONB_P(0);
	FxTrades	trades;

	fx_trades_read(json, &trades);
	return make_curve(&trades, balance, (Pointer) json != datum ? json : NULL);
}

/*
 * equity_curve(equity, initial_balance numeric) returns jsonb
 */
Datum
fx_equity_curve_of_equity(PG_FUNCTION_ARGS)
{
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	FxTrades	trades;

	fx_equity_read(PG_GETARG_DATUM(0), &trades);
	return make_curve(&trades, balance, NULL);
}

/*
 * equity_curve(trades text, ...), with the same arguments and result
 */
Datum
fx_equity_curve_of_text(PG_FUNCTION_ARGS)
{
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	FxTrades	trades;

	fx_trades_read_text(PG_GETARG_DATUM(0), &trades);
	return make_curve(&trades, balance, NULL);
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
	return put_points(fcinfo, fx_trades_read_jsonb);
}

/*
 * equity_points(equity, initial_balance numeric) returns table, as above
 */
Datum
fx_equity_points_of_equity(PG_FUNCTION_ARGS)
{
	return put_points(fcinfo, fx_equity_read);
}

/*
 * equity_points(trades text, ...), with the same arguments and result
 */
Datum
fx_equity_points_of_text(PG_FUNCTION_ARGS)
{
	return put_points(fcinfo, fx_trades_read_text);
}

static Datum
make_curve(const FxTrades *trades, int128 balance, Jsonb *spare)
{
	EquityState state;
	CurveWriter writer;

	state.equity = state.peak = balance;
	curve_begin(&writer, trades->count + 1, spare);
	curve_point(&writer, &state, NULL);
	for (uint32 i = 0; i < trades->count; i++)
	{
		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		equity_add(&state, trades->items[i].net);
		curve_point(&writer, &state, trades->timed ? &trades->items[i].closed_at : NULL);
	}
	pfree(trades->items);

	SET_VARSIZE(writer.buf, writer.used);
	return PointerGetDatum(writer.buf);
}

static Datum
put_points(FunctionCallInfo fcinfo, FxTradesSource read)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	FxTrades	trades;
	EquityState state;

	read(PG_GETARG_DATUM(0), &trades);
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
	int128		drawdown = state->peak - state->equity;

	/* the machine converts 64 bits, a function of the compiler's 128 */
	if (likely(state->peak <= PG_INT64_MAX && drawdown <= PG_INT64_MAX))
		return (double) (int64) drawdown / (double) (int64) state->peak;
	return (double) drawdown / (double) state->peak;
}

/*
 * Lay out the head of the array: its header and an entry a point.
 *
 * spare is a detoasted copy that has been read, or NULL.  Points are mostly
 * smaller than the trades, so its memory serves for the curve: touching as much
 * fresh memory would take longer than everything that is written there.
 */
static void
curve_begin(CurveWriter *writer, uint32 nelems, Jsonb *spare)
{
	uint32		header = nelems | JB_FARRAY;

	writer->nelems = nelems;
	writer->written = 0;
	writer->data_start = VARHDRSZ + sizeof(uint32) + nelems * sizeof(JEntry);
	writer->capacity = writer->data_start + POINT_MAX_SIZE +
		Min((Size) nelems * POINT_USUAL_SIZE, JENTRY_OFFLENMASK);
	if (spare != NULL && VARSIZE(spare) >= writer->capacity)
	{
		writer->capacity = VARSIZE(spare);
		writer->buf = (char *) spare;
	}
	else
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
	Size		begin = writer->used;
	PointHead  *head;
	char	   *p;
	char	   *value;
	JEntry		entry;
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
	head = (PointHead *) p;
	memcpy(head, &point_head, sizeof(PointHead));
	p += sizeof(PointHead);

	/* the zero after the keys belongs to the first number */
	value = &head->key_text[sizeof(POINT_KEYS) - 1];
	p += fx_fixed_write_numeric(state->equity, true, p);
	head->values[0] = JENTRY_ISNUMERIC | (uint32) (p - value);

	value = p;
	PAD(p);
	p += fx_fixed_write_numeric(drawdown, true, p);
	head->values[1] = JENTRY_ISNUMERIC | (uint32) (p - value);

	if (closed_at != NULL)
	{
		int			len = fx_iso8601_write(*closed_at, p);

		p += len;
		head->values[2] = JENTRY_ISSTRING | (uint32) len;
	}
	else
		head->values[2] = JENTRY_ISNULL;

	value = p;
	PAD(p);
	if (drawdown == 0)
		p += fx_fixed_write_numeric(0, true, p);
	else
		p += write_double_numeric(drawdown_fraction(state), p);
	head->values[3] = JENTRY_ISNUMERIC | (uint32) (p - value);
#undef PAD

	Assert(p - (writer->buf + begin) <= POINT_MAX_SIZE);
	writer->used = p - writer->buf;

	/* every so many entries hold the end offset instead of the length */
	total = (uint32) (writer->used - writer->data_start);
	if (writer->used - writer->data_start > JENTRY_OFFLENMASK)
		raise_curve_too_long();
	entry = writer->written % JB_OFFSET_STRIDE == 0 ?
		JENTRY_ISCONTAINER | JENTRY_HAS_OFF | total :
		JENTRY_ISCONTAINER | (uint32) (writer->used - begin);
	memcpy(writer->buf + VARHDRSZ + sizeof(uint32) + writer->written * sizeof(JEntry),
		   &entry, sizeof(JEntry));
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
	char		text[DOUBLE_SHORTEST_DECIMAL_LEN + DEC_DIGITS];
	int			len = double_to_shortest_decimal_buf(value, text);
	int16	   *digits = (int16 *) (buf + VARHDRSZ + sizeof(uint16));
	int16	   *end;
	int			weight;
	int			dscale;
	uint16		header;

	if (likely(text[0] == '0' && text[1] == '.'))
		end = convert_decimals(text, len, digits, &weight, &dscale);
	else
		end = convert_decimal(text, len, digits, &weight, &dscale);
	Assert(end - digits <= FRACTION_MAX_DIGITS && dscale <= 63 && weight >= -64);

	header = 0x8000 | (dscale << 7) | (weight < 0 ? 0x0040 : 0) | (weight & 0x003F);
	memcpy(buf + VARHDRSZ, &header, sizeof(header));
	SET_VARSIZE(buf, (char *) end - buf);
	return VARSIZE(buf);
}

/*
 * Digits of base 10000 of "0.0123", the usual form: each stands for four
 * decimals.  There is room behind the text.  Returns the end of the digits.
 */
static int16 *
convert_decimals(char *text, int len, int16 *digits, int *weight, int *dscale)
{
	memset(text + len, '0', DEC_DIGITS);
	*weight = 0;
	*dscale = len - 2;
	for (const char *p = text + 2; p < text + len; p += DEC_DIGITS)
	{
		int			digit = (p[0] - '0') * 1000 + (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');

		/* none before the first that is not zero */
		if (digit != 0 || *weight < 0)
			*digits++ = (int16) digit;
		if (*weight == 0)
			*weight = digit != 0 ? -1 - (int) (p - text - 2) / DEC_DIGITS : 0;
	}
	return digits;
}

/*
 * The same of any decimal form, "12.5" or "1e-05" among them.
 */
static int16 *
convert_decimal(const char *text, int len, int16 *digits, int *weight, int *dscale)
{
	static const uint32 power_of_ten[] = {1, 10, 100, 1000, 10000};
	const char *end = text + len;
	const char *p;
	const char *point = NULL;
	uint64		mantissa = 0;	/* at most 17 digits */
	int			exponent;		/* of ten, of its last digit */
	int			shift;
	int16		reversed[FRACTION_MAX_DIGITS];
	int			ndigits = 0;
	int			zeros = 0;

	for (p = text; p < end && *p != 'e'; p++)
	{
		if (*p == '.')
			point = p;
		else
			mantissa = mantissa * 10 + (uint64) (*p - '0');
	}
	exponent = point != NULL ? (int) (point + 1 - p) : 0;
	if (p < end)
		exponent += atoi(p + 1);

	/* a digit of base 10000 ends at a multiple of four decimals */
	shift = exponent & 3;
	reversed[ndigits++] = (int16) (mantissa % power_of_ten[4 - shift] * power_of_ten[shift]);
	for (mantissa /= power_of_ten[4 - shift]; mantissa != 0; mantissa /= 10000)
		reversed[ndigits++] = (int16) (mantissa % 10000);
	while (reversed[zeros] == 0)
		zeros++;

	*dscale = Max(0, -exponent);
	*weight = (exponent - shift) / 4 + ndigits - 1;
	for (int i = ndigits - 1; i >= zeros; i--)
		*digits++ = reversed[i];
	return digits;
}
