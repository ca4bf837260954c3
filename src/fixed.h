/*-------------------------------------------------------------------------
 *
 * fixed.h
 *	  Exact money: 128-bit integers at scale 8
 *
 * 12.5 is held as 1250000000.  A numeric with more than eight decimals is
 * rounded half away from zero, as a cast to DECIMAL(18,8) rounds it; NaN, the
 * infinities and what does not fit are reported to the caller, who knows the
 * name of the argument.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_FIXED_H
#define FX_FIXED_H

#include "compat.h"
#include "lib/stringinfo.h"
#include "utils/numeric.h"

#define FX_FIXED_SCALE		8
#define FX_FIXED_ONE		INT64CONST(100000000)

/* int128 has no literals */
#define FX_FIXED_MAX		((int128) (~(uint128) 0 >> 1))
#define FX_FIXED_MIN		(-FX_FIXED_MAX - 1)

/* Room for any int128 as text: sign, 39 digits, point, zero byte */
#define FX_FIXED_TEXT_SIZE	44

/*
 * Room for any int128 as a numeric: varlena and numeric header, ten digits.  A
 * multiple of the alignment that a numeric needs, so that it fits an array.
 */
#define FX_FIXED_NUMERIC_SIZE \
	MAXALIGN(VARHDRSZ + sizeof(uint16) + 10 * sizeof(int16))

typedef enum FxFixedStatus
{
	FX_FIXED_OK,
	FX_FIXED_NAN,
	FX_FIXED_INFINITE,
	FX_FIXED_OVERFLOW,
	FX_FIXED_SYNTAX				/* only from text */
} FxFixedStatus;

extern FxFixedStatus fx_fixed_from_numeric_slow(const char *data, Size len,
												int128 *result);
extern FxFixedStatus fx_fixed_from_text(const char *str, Size len,
										int128 *result);
extern Size fx_fixed_write_numeric(int128 value, bool strip_zeros, char *buf);
extern Datum fx_fixed_get_numeric(int128 value);
extern int	fx_fixed_write_text(int128 value, char *buf);
extern void fx_fixed_send(StringInfo buf, int128 value);
extern int128 fx_fixed_recv(StringInfo buf);
extern int128 fx_fixed_div(int128 num, int128 den);
pg_noreturn extern void fx_fixed_raise(FxFixedStatus status, const char *what);

/*
 * Add, and say whether the sum wrapped.
 */
static inline bool
fx_fixed_add_overflow(int128 a, int128 b, int128 *result)
{
	return __builtin_add_overflow(a, b, result);
}

static inline bool
fx_fixed_sub_overflow(int128 a, int128 b, int128 *result)
{
	return __builtin_sub_overflow(a, b, result);
}

/*
 * Decode the body of a numeric: data and len are what follows the varlena
 * header, at any alignment.
 *
 * The layout is that of numeric.c and has not changed since 9.1: a header of
 * two bytes with sign, display scale and weight (or four bytes when they are
 * large), then digits of base 10000, the first one not zero.  Values that
 * DECIMAL(18,8) can hold have at most five digits before and two after the
 * point and take the loop here; the rest takes the slow function.
 */
static inline FxFixedStatus
fx_fixed_from_numeric_data(const char *data, Size len, int128 *result)
{
	uint16		header;
	int			weight;
	int			ndigits;
	int			wanted;
	int64		acc = 0;

	memcpy(&header, data, sizeof(header));
	if (unlikely((header & 0xC000) != 0x8000))
		return fx_fixed_from_numeric_slow(data, len, result);

	weight = (header & 0x0040) ? (int) (header & 0x003F) - 64 : (header & 0x003F);
	ndigits = (int) ((len - sizeof(header)) / sizeof(int16));
	wanted = weight + 3;		/* digits down to the eighth decimal */

	if (unlikely(wanted < 0 || wanted > 4 || ndigits > wanted))
		return fx_fixed_from_numeric_slow(data, len, result);

	data += sizeof(header);
	for (int i = 0; i < ndigits; i++)
	{
		int16		digit;

		memcpy(&digit, data + i * sizeof(int16), sizeof(int16));
		acc = acc * 10000 + digit;
	}
	for (int i = ndigits; i < wanted; i++)
		acc *= 10000;

	*result = (header & 0x2000) ? -acc : acc;
	return FX_FIXED_OK;
}

/*
 * The same for a numeric that may still have a short varlena header, but is
 * neither compressed nor out of line.
 */
static inline FxFixedStatus
fx_fixed_from_numeric(const struct varlena *num, int128 *result)
{
	return fx_fixed_from_numeric_data(VARDATA_ANY(num), VARSIZE_ANY_EXHDR(num),
									  result);
}

/*
 * The numeric that a caller gave for an argument, at scale 8.  The fmgr macros
 * for numeric would copy a value with a short header; it is read where it is.
 */
static inline int128
fx_fixed_get_argument(Datum numeric, const char *name)
{
	struct varlena *num = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(numeric));
	int128		amount;
	FxFixedStatus status = fx_fixed_from_numeric(num, &amount);

	if (unlikely(status != FX_FIXED_OK))
	{
		char		what[64];

		snprintf(what, sizeof(what), "argument \"%s\"", name);
		fx_fixed_raise(status, what);
	}
	return amount;
}

/*
 * Add to a sum; what names it in the error.
 */
static inline void
fx_fixed_add_to(int128 *sum, int128 amount, const char *what)
{
	int128		total;

	if (unlikely(fx_fixed_add_overflow(*sum, amount, &total)))
		fx_fixed_raise(FX_FIXED_OVERFLOW, what);
	*sum = total;
}

/*
 * profit - commission + swap.
 */
static inline int128
fx_fixed_net(int128 profit, int128 commission, int128 swap)
{
	int128		net;

	if (unlikely(fx_fixed_sub_overflow(profit, commission, &net) ||
				 fx_fixed_add_overflow(net, swap, &net)))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "net profit");
	return net;
}

#endif							/* FX_FIXED_H */
