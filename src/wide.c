/*-------------------------------------------------------------------------
 *
 * wide.c
 *	  Products of 256 bits that are divided again
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fixed.h"
#include "wide.h"

static inline uint128
magnitude_of(int128 value)
{
	return value < 0 ? -(uint128) value : (uint128) value;
}

/*
 * a * b / divisor, rounded half away from zero.
 */
bool
fx_wide_mul_div(int128 a, int128 b, int128 divisor, int128 *result)
{
	return fx_wide_mul_div_scaled(a, b, divisor, 1, result);
}

/*
 * a * b / (divisor * scale), rounded half away from zero once; the product of
 * divisor and scale need not fit.  scale is 1 or even.
 */
bool
fx_wide_mul_div_scaled(int128 a, int128 b, int128 divisor, uint32 scale, int128 *result)
{
	bool		negative = (a < 0) != (b < 0);
	uint128		d = magnitude_of(divisor);
	uint128		quotient;
	uint128		rest;
	int128		product;
	int128		whole_divisor;
	FxWide		wide;

	Assert(divisor != 0);
	Assert(scale == 1 || scale % 2 == 0);

	if (likely(!__builtin_mul_overflow(a, b, &product) &&
			   !__builtin_mul_overflow(divisor, (int128) scale, &whole_divisor)))
	{
		*result = fx_fixed_div(product, whole_divisor);
		return true;
	}

	if (divisor < 0)
		negative = !negative;
	/* as a divisor of 2^127 has no bit to spare */
	if (unlikely(d > (uint128) FX_FIXED_MAX))
		return false;

	fx_wide_multiply(magnitude_of(a), magnitude_of(b), &wide);
	rest = fx_wide_divide(&wide, d);
	if (scale > 1)
	{
		/*
		 * The whole rest, rest of the second division * d + rest of the first,
		 * reaches half of d * scale exactly when the former reaches half of
		 * scale.
		 */
		rest = fx_wide_divide(&wide, scale);
		d = scale;
	}
	if (wide.word[2] != 0 || wide.word[3] != 0)
		return false;
	quotient = (uint128) wide.word[1] << 64 | wide.word[0];
	if (rest >= d - rest)
		quotient++;
	if (quotient > (uint128) FX_FIXED_MAX)
		return false;

	*result = negative ? -(int128) quotient : (int128) quotient;
	return true;
}
