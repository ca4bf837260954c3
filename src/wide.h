/*-------------------------------------------------------------------------
 *
 * wide.h
 *	  Unsigned integers of more than 128 bits, for exact sums of squares and
 *	  products that are divided again
 *
 * The square of an amount at scale 8 takes up to 120 bits where the amount
 * fits DECIMAL(18,8), so that 170 maximal ones overflow 128 bits.  256 bits
 * hold the square of any int128 and, as the sum of squares is at most the square
 * of the sum, those of all amounts whose sum is one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_WIDE_H
#define FX_WIDE_H

#define FX_WIDE_WORDS		4

typedef struct FxWide
{
	uint64		word[FX_WIDE_WORDS];	/* least significant first */
} FxWide;

/*
 * Add a value of n words.  The caller knows that the sum fits.
 */
static inline void
fx_wide_add_words(FxWide *sum, const uint64 *words, int n)
{
	uint64		carry = 0;

	for (int i = 0; i < FX_WIDE_WORDS && (i < n || carry != 0); i++)
	{
		uint128		total = (uint128) sum->word[i] + (i < n ? words[i] : 0) + carry;

		sum->word[i] = (uint64) total;
		carry = (uint64) (total >> 64);
	}
	Assert(carry == 0);
}

/*
 * Subtract what was added before.
 */
static inline void
fx_wide_subtract(FxWide *sum, const FxWide *part)
{
	bool		borrow = false;

	for (int i = 0; i < FX_WIDE_WORDS; i++)
	{
		uint64		word = sum->word[i];

		sum->word[i] = word - part->word[i] - borrow;
		borrow = word < part->word[i] || (word == part->word[i] && borrow);
	}
	Assert(!borrow);
}

/*
 * The square of a magnitude, in words.
 */
static inline void
fx_wide_square(uint128 magnitude, uint64 *words)
{
	uint64		low = (uint64) magnitude;
	uint64		high = (uint64) (magnitude >> 64);
	uint128		ll = (uint128) low * low;
	uint128		lh = (uint128) low * high;
	uint128		hh = (uint128) high * high;
	uint128		middle;

	/* 2 * lh may take 129 bits: its top bit goes to the highest word */
	middle = (ll >> 64) + (uint64) (lh << 1);
	words[0] = (uint64) ll;
	words[1] = (uint64) middle;
	middle = (middle >> 64) + (uint64) (lh >> 63) + (uint64) hh;
	words[2] = (uint64) middle;
	words[3] = (uint64) ((middle >> 64) + (lh >> 127) + (hh >> 64));
}

/*
 * Add the square of a number.
 */
static inline void
fx_wide_add_square(FxWide *sum, int128 value)
{
	uint128		magnitude = value < 0 ? -(uint128) value : (uint128) value;
	uint64		words[FX_WIDE_WORDS];

	if (likely(magnitude <= PG_UINT64_MAX))
	{
		uint128		square = magnitude * magnitude;

		words[0] = (uint64) square;
		words[1] = (uint64) (square >> 64);
		fx_wide_add_words(sum, words, 2);
	}
	else
	{
		fx_wide_square(magnitude, words);
		fx_wide_add_words(sum, words, FX_WIDE_WORDS);
	}
}

static inline int
fx_wide_compare(const FxWide *a, const FxWide *b)
{
	for (int i = FX_WIDE_WORDS - 1; i >= 0; i--)
	{
		if (a->word[i] != b->word[i])
			return a->word[i] < b->word[i] ? -1 : 1;
	}
	return 0;
}

/*
 * The product of two magnitudes.
 */
static inline void
fx_wide_multiply(uint128 a, uint128 b, FxWide *product)
{
	uint64		words[FX_WIDE_WORDS] = {0};
	uint64		x[2] = {(uint64) a, (uint64) (a >> 64)};
	uint64		y[2] = {(uint64) b, (uint64) (b >> 64)};

	for (int i = 0; i < 2; i++)
	{
		uint64		carry = 0;

		for (int j = 0; j < 2; j++)
		{
			uint128		total = (uint128) x[i] * y[j] + words[i + j] + carry;

			words[i + j] = (uint64) total;
			carry = (uint64) (total >> 64);
		}
		words[i + 2] = carry;
	}
	memcpy(product->word, words, sizeof(words));
}

/*
 * Divide by a number below 2^127 in place, and return the rest.  A bit at a
 * time: for the rare product that 128 bits do not hold.
 */
static inline uint128
fx_wide_divide(FxWide *number, uint128 divisor)
{
	uint128		rest = 0;

	for (int i = FX_WIDE_WORDS - 1; i >= 0; i--)
	{
		uint64		quotient = 0;

		for (int bit = 63; bit >= 0; bit--)
		{
			rest = rest << 1 | (number->word[i] >> bit & 1);
			quotient <<= 1;
			if (rest >= divisor)
			{
				rest -= divisor;
				quotient |= 1;
			}
		}
		number->word[i] = quotient;
	}
	return rest;
}

/*
 * a * b / divisor, exactly and rounded half away from zero once; false when
 * that does not fit.
 */
extern bool fx_wide_mul_div(int128 a, int128 b, int128 divisor, int128 *result);
extern bool fx_wide_mul_div_scaled(int128 a, int128 b, int128 divisor, uint32 scale,
								   int128 *result);

#endif							/* FX_WIDE_H */
