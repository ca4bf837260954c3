/*-------------------------------------------------------------------------
 *
 * fixed.c
 *	  Exact money: 128-bit integers at scale 8
 *
 * Conversions between int128 at scale 8 and numeric or text.  All of them are
 * exact but for the rounding to eight decimals, half away from zero.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqformat.h"

#include "fixed.h"

/* Digits of base 10000 that make up the eight decimals */
#define FRACTION_DIGITS		2

/* No int128 has more digits of base 10000 */
#define MAX_DIGITS			10

static int	split_digits(uint128 whole, int16 *digits);
static int	trailing_zeros(int digit);

/*
 * fx_fixed_from_numeric_data() for what its short loop does not cover: long
 * headers, special values, many digits, digits to be rounded away.
 */
FxFixedStatus
fx_fixed_from_numeric_slow(const char *data, Size len, int128 *result)
{
	uint16		header;
	bool		negative;
	int			weight;
	int			ndigits;
	int			wanted;
	int16		digit;
	uint128		acc = 0;

	memcpy(&header, data, sizeof(header));
	if ((header & 0xC000) == 0xC000)
		return (header & 0xF000) == 0xC000 ? FX_FIXED_NAN : FX_FIXED_INFINITE;

	data += sizeof(header);
	len -= sizeof(header);
	if ((header & 0xC000) == 0x8000)
	{
		negative = (header & 0x2000) != 0;
		weight = (header & 0x0040) ? (int) (header & 0x003F) - 64 : (header & 0x003F);
	}
	else
	{
		int16		long_weight;

		negative = (header & 0x4000) != 0;
		memcpy(&long_weight, data, sizeof(long_weight));
		weight = long_weight;
		data += sizeof(long_weight);
		len -= sizeof(long_weight);
	}
	ndigits = (int) (len / sizeof(int16));

	if (ndigits == 0)
	{
		*result = 0;
		return FX_FIXED_OK;
	}

	wanted = weight + 1 + FRACTION_DIGITS;
	if (wanted < 0)
	{
		/* below 10^-12: rounds to zero */
		*result = 0;
		return FX_FIXED_OK;
	}
	if (wanted > MAX_DIGITS)
		return FX_FIXED_OVERFLOW;

	/*
	 * Nine digits are below 10^36.  A tenth may pass 2^127, and 10^40 passes
	 * even 2^128, so the last step is checked.
	 */
	for (int i = 0; i < wanted; i++)
	{
		digit = 0;
		if (i < ndigits)
			memcpy(&digit, data + i * sizeof(int16), sizeof(int16));
		if (__builtin_mul_overflow(acc, (uint128) 10000, &acc) ||
			__builtin_add_overflow(acc, (uint128) digit, &acc))
			return FX_FIXED_OVERFLOW;
	}
	if (wanted < ndigits)
	{
		memcpy(&digit, data + wanted * sizeof(int16), sizeof(int16));
		if (digit >= 5000)
			acc++;
	}
	if (acc > (uint128) FX_FIXED_MAX)
		return FX_FIXED_OVERFLOW;

	*result = negative ? -(int128) acc : (int128) acc;
	return FX_FIXED_OK;
}

/*
 * Read a decimal number: optional white space, sign, digits with at most one
 * point, exponent.  Not terminated by a zero byte.
 *
 * The words that numeric accepts (NaN, Infinity) are recognised only to name
 * the reason.  Digits are gathered as they come; those past the eighth decimal
 * only round.
 */
FxFixedStatus
fx_fixed_from_text(const char *str, Size len, int128 *result)
{
	const char *p = str;
	const char *end = str + len;
	const char *digits;
	const char *point = NULL;
	const char *digits_end;
	bool		negative = false;
	bool		any = false;
	int			exponent = 0;
	int64		position;
	uint128		acc = 0;

	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\n' || end[-1] == '\r'))
		end--;

	if (p < end && (*p == '-' || *p == '+'))
		negative = *p++ == '-';

	if (end - p == 3 && pg_strncasecmp(p, "nan", 3) == 0)
		return FX_FIXED_NAN;
	if ((end - p == 3 && pg_strncasecmp(p, "inf", 3) == 0) ||
		(end - p == 8 && pg_strncasecmp(p, "infinity", 8) == 0))
		return FX_FIXED_INFINITE;

	digits = p;
	for (; p < end; p++)
	{
		if (*p >= '0' && *p <= '9')
			any = true;
		else if (*p == '.' && point == NULL)
			point = p;
		else
			break;
	}
	digits_end = p;
	if (!any)
		return FX_FIXED_SYNTAX;
	if (point == NULL)
		point = digits_end;

	if (p < end && (*p == 'e' || *p == 'E'))
	{
		bool		exponent_negative = false;

		p++;
		if (p < end && (*p == '-' || *p == '+'))
			exponent_negative = *p++ == '-';
		if (p == end)
			return FX_FIXED_SYNTAX;
		for (; p < end && *p >= '0' && *p <= '9'; p++)
		{
			/* anything this large is zero or an overflow anyway */
			if (exponent < 100000000)
				exponent = exponent * 10 + (*p - '0');
		}
		if (exponent_negative)
			exponent = -exponent;
	}
	if (p != end)
		return FX_FIXED_SYNTAX;

	/*
	 * position: power of ten, at scale 8, of the digit at hand.  The digit
	 * before the point has 8 plus the exponent.
	 */
	position = (int64) (point - digits) - 1 + FX_FIXED_SCALE + exponent;
	for (p = digits; p < digits_end; p++)
	{
		int			digit;

		if (*p == '.')
			continue;
		digit = *p - '0';
		if (position < 0)
		{
			if (position == -1 && digit >= 5)
				acc++;
			break;
		}
		if (__builtin_mul_overflow(acc, (uint128) 10, &acc) ||
			__builtin_add_overflow(acc, (uint128) digit, &acc))
			return FX_FIXED_OVERFLOW;
		position--;
	}
	if (acc != 0)
	{
		/* zeros that the exponent stands for: position + 1 of them remain */
		for (; position >= 0; position--)
		{
			if (__builtin_mul_overflow(acc, (uint128) 10, &acc))
				return FX_FIXED_OVERFLOW;
		}
	}
	if (acc > (uint128) FX_FIXED_MAX)
		return FX_FIXED_OVERFLOW;

	*result = negative ? -(int128) acc : (int128) acc;
	return FX_FIXED_OK;
}

/*
 * Write a value as a numeric with its four-byte varlena header, and return
 * the size.  buf has FX_FIXED_NUMERIC_SIZE bytes and the alignment of an int.
 *
 * With strip_zeros the display scale is the least that shows the value, else
 * it is eight.
 */
Size
fx_fixed_write_numeric(int128 value, bool strip_zeros, char *buf)
{
	bool		negative = value < 0;
	uint128		magnitude = negative ? -(uint128) value : (uint128) value;
	int16	   *digits = (int16 *) (buf + VARHDRSZ + sizeof(uint16));
	uint32		fraction;
	int			high;			/* the digits after the point */
	int			low;
	int			ndigits;
	int			weight;
	int			dscale = FX_FIXED_SCALE;
	uint16		header;
	Size		size;

	if (likely(magnitude <= (uint128) PG_UINT64_MAX))
	{
		ndigits = split_digits((uint64) magnitude / FX_FIXED_ONE, digits);
		fraction = (uint32) ((uint64) magnitude % FX_FIXED_ONE);
	}
	else
	{
		ndigits = split_digits(magnitude / FX_FIXED_ONE, digits);
		fraction = (uint32) (magnitude % FX_FIXED_ONE);
	}
	high = (int) (fraction / 10000);
	low = (int) (fraction % 10000);
	weight = ndigits - 1;

	if (strip_zeros)
		dscale = low != 0 ? 8 - trailing_zeros(low) : high != 0 ? 4 - trailing_zeros(high) : 0;

	if (fraction == 0)
	{
		while (ndigits > 0 && digits[ndigits - 1] == 0)
			ndigits--;
		if (ndigits == 0)
			weight = 0;			/* as numeric.c has it for zero */
	}
	else
	{
		/* the first digit is not zero, nor is the last */
		if (ndigits > 0 || high != 0)
			digits[ndigits++] = (int16) high;
		else
			weight--;
		if (low != 0)
			digits[ndigits++] = (int16) low;
	}

	/* weight is between -2 and 7, so that the short header always serves */
	header = 0x8000 | (negative ? 0x2000 : 0) | (dscale << 7) |
		(weight < 0 ? 0x0040 : 0) | (weight & 0x003F);
	size = VARHDRSZ + sizeof(header) + ndigits * sizeof(int16);
	SET_VARSIZE(buf, size);
	memcpy(buf + VARHDRSZ, &header, sizeof(header));

	return size;
}

/*
 * A value as a palloc'd numeric with eight decimals.
 */
Datum
fx_fixed_get_numeric(int128 value)
{
	char	   *buf = palloc(FX_FIXED_NUMERIC_SIZE);

	fx_fixed_write_numeric(value, false, buf);
	return PointerGetDatum(buf);
}

/*
 * Write a value as text without trailing zeros, zero-terminated, and return
 * the length.  buf has FX_FIXED_TEXT_SIZE bytes.
 */
int
fx_fixed_write_text(int128 value, char *buf)
{
	uint128		magnitude = value < 0 ? -(uint128) value : (uint128) value;
	uint128		whole = magnitude / FX_FIXED_ONE;
	uint32		fraction = (uint32) (magnitude % FX_FIXED_ONE);
	char		reversed[FX_FIXED_TEXT_SIZE];
	int			n = 0;
	char	   *p = buf;

	do
	{
		reversed[n++] = '0' + (int) (whole % 10);
		whole /= 10;
	} while (whole != 0);

	if (value < 0)
		*p++ = '-';
	while (n > 0)
		*p++ = reversed[--n];
	if (fraction != 0)
	{
		*p++ = '.';
		for (uint32 unit = FX_FIXED_ONE / 10; fraction != 0; unit /= 10)
		{
			*p++ = '0' + fraction / unit;
			fraction %= unit;
		}
	}
	*p = '\0';

	return (int) (p - buf);
}

/*
 * Binary protocol: the 128 bits, most significant first.
 */
void
fx_fixed_send(StringInfo buf, int128 value)
{
	pq_sendint64(buf, (uint64) ((uint128) value >> 64));
	pq_sendint64(buf, (uint64) (uint128) value);
}

int128
fx_fixed_recv(StringInfo buf)
{
	uint128		high = (uint64) pq_getmsgint64(buf);

	return (int128) (high << 64 | (uint64) pq_getmsgint64(buf));
}

/*
 * Divide, rounding a tie away from zero.
 */
int128
fx_fixed_div(int128 num, int128 den)
{
	uint128		n = num < 0 ? -(uint128) num : (uint128) num;
	uint128		d = den < 0 ? -(uint128) den : (uint128) den;
	uint128		quotient;
	uint128		rest;

	Assert(den != 0);

	quotient = n / d;
	rest = n % d;

	/* compare rest with d - rest, because 2 * rest could overflow */
	if (rest >= d - rest)
		quotient++;

	return (num < 0) != (den < 0) ? -(int128) quotient : (int128) quotient;
}

/*
 * Raise the error of a value that is not finite or does not fit; what names
 * the argument.  A text that is no number is the caller's to report, who can
 * show it.
 */
void
fx_fixed_raise(FxFixedStatus status, const char *what)
{
	switch (status)
	{
		case FX_FIXED_NAN:
			ereport(ERROR,
					errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("%s must not be NaN", what));
			break;
		case FX_FIXED_INFINITE:
			ereport(ERROR,
					errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("%s must not be infinite", what));
			break;
		case FX_FIXED_OVERFLOW:
			ereport(ERROR,
					errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("%s is out of range", what));
			break;
		case FX_FIXED_SYNTAX:
		case FX_FIXED_OK:
			break;
	}
	elog(ERROR, "unexpected status %d of %s", (int) status, what);
	pg_unreachable();
}

/*
 * Split a whole number into digits of base 10000, highest first, and return how
 * many there are (none for zero).  The steps by size spare a loop of divisions
 * where numbers are of ordinary length.
 */
static inline int
split_digits(uint128 whole, int16 *digits)
{
	int			n;
	uint64		rest;

	if (likely(whole < 10000))
	{
		digits[0] = (int16) whole;
		return whole != 0;
	}
	if (likely(whole < 100000000))
	{
		digits[0] = (int16) ((uint32) whole / 10000);
		digits[1] = (int16) ((uint32) whole % 10000);
		return 2;
	}

	n = split_digits(whole / 100000000, digits);
	rest = (uint64) (whole % 100000000);
	digits[n++] = (int16) (rest / 10000);
	digits[n++] = (int16) (rest % 10000);
	return n;
}

/*
 * Decimal zeros at the end of a digit of base 10000 that is not zero.
 */
static inline int
trailing_zeros(int digit)
{
	int			n = 0;

	for (; digit % 10 == 0; digit /= 10)
		n++;
	return n;
}
