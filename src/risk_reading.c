/*-------------------------------------------------------------------------
 *
 * risk_reading.c
 *	  A measure against its bound
 *
 * A limit in percent compares the measure with a share of its basis.  Both are
 * whole numbers, so the comparison is exact; only what is shown is rounded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "risk_internal.h"
#include "wide.h"

static int	compare_products(int128 a, int128 b, int128 c, int128 d);

/*
 * Does the measure go up?  The share of what there is first, of nothing before,
 * does not: it can only be all of it.
 */
bool
fx_reading_increases(const FxReading *before, const FxReading *after)
{
	if (!before->measure.known || !after->measure.known)
		return true;
	if (!after->is_ratio || (before->basis == 0 && after->basis == 0))
		return after->amount > before->amount;
	return compare_products(after->amount, before->basis, before->amount, after->basis) > 0;
}

/*
 * The measure as current_value has it: in percent where the limit is.
 */
void
fx_reading_in_units_of_limit(const FxLimit *limit, const FxReading *reading, FxMeasure *result)
{
	if (!reading->measure.known || (limit->percentage && !reading->bound.known))
	{
		*result = reading->measure.known ? reading->bound : reading->measure;
		result->known = false;
	}
	else if (!limit->percentage)
		*result = reading->measure;
	else
	{
		fx_measure_set(result, 0);
		result->infinite = reading->amount > 0 &&
			(reading->basis == 0 ||
			 !fx_wide_mul_div(reading->amount, FX_PER_CENT, reading->basis, &result->value));
	}
}

/*
 * Percent of the bound that are used up.
 */
void
fx_reading_utilization(const FxReading *reading, FxMeasure *result)
{
	int128		amount;
	int128		bound;

	if (!reading->measure.known || !reading->bound.known)
	{
		*result = reading->measure.known ? reading->bound : reading->measure;
		result->known = false;
		return;
	}

	fx_measure_set(result, 0);
	if (reading->amount <= 0)
		return;
	if (reading->value == 0 || reading->basis == 0)
		result->infinite = true;
	else if (!__builtin_mul_overflow(reading->amount, reading->factor, &amount) &&
			 !__builtin_mul_overflow(reading->value, reading->basis, &bound))
		result->infinite = !fx_wide_mul_div(amount, FX_PER_CENT, bound, &result->value);
	else
	{
		/* numbers of this size are not known to so many digits */
		result->infinite =
			!fx_wide_mul_div(reading->amount, reading->factor, reading->basis, &amount) ||
			!fx_wide_mul_div(amount, FX_PER_CENT, reading->value, &result->value);
	}
}

/*
 * A measure that is an amount, and its bound: the value of the limit, or a
 * percentage of the basis.
 */
void
fx_reading_set_amount(const FxLimit *limit, FxReading *reading, const FxMeasure *amount,
		   const FxMeasure *basis)
{
	reading->measure = *amount;
	reading->amount = amount->known ? amount->value : 0;
	reading->value = limit->value;
	if (!limit->percentage)
	{
		reading->factor = 1;
		reading->basis = 1;
		fx_measure_set(&reading->bound, limit->value);
		return;
	}

	reading->factor = FX_PER_CENT;
	reading->basis = basis->known ? Max(basis->value, 0) : 0;
	if (!basis->known)
		reading->bound = *basis;
	else
	{
		fx_measure_set(&reading->bound, 0);
		if (!fx_wide_mul_div(limit->value, reading->basis, FX_PER_CENT, &reading->bound.value))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "bound of a risk limit");
	}
}

/*
 * A measure that is a share of a basis: leverage as a ratio, concentration in
 * percent.
 */
void
fx_reading_set_ratio(const FxLimit *limit, FxReading *reading, const FxMeasure *amount,
		  const FxMeasure *basis)
{
	bool		is_percent = limit->type == FX_CONCENTRATION;

	reading->is_ratio = true;
	reading->amount = amount->known ? amount->value : 0;
	reading->basis = basis->known ? Max(basis->value, 0) : 0;
	reading->value = limit->value;
	reading->factor = limit->percentage ? FX_PER_CENT : FX_FIXED_ONE;
	fx_measure_set(&reading->bound,
			  limit->percentage && !is_percent ? fx_fixed_div(limit->value, 100) : limit->value);

	if (!amount->known || !basis->known)
	{
		reading->measure = amount->known ? *basis : *amount;
		return;
	}
	fx_measure_set(&reading->measure, 0);
	if (reading->amount > 0)
		reading->measure.infinite = reading->basis == 0 ||
			!fx_wide_mul_div(reading->amount, is_percent ? FX_PER_CENT : FX_FIXED_ONE,
							 reading->basis, &reading->measure.value);
}

void
fx_reading_set_count(const FxLimit *limit, FxReading *reading, int64 count)
{
	reading->amount = (int128) count * FX_FIXED_ONE;
	reading->factor = 1;
	reading->value = limit->value;
	reading->basis = 1;
	fx_measure_set(&reading->measure, reading->amount);
	fx_measure_set(&reading->bound, limit->value);
}

/*
 * The measure against the bound: negative below it, positive above.
 */
int
fx_reading_compare(const FxReading *reading)
{
	return compare_products(reading->amount, reading->factor, reading->value, reading->basis);
}

/*
 * Compare a * b with c * d, none of them negative.
 */
static int
compare_products(int128 a, int128 b, int128 c, int128 d)
{
	int128		left;
	int128		right;
	FxWide		wide_left;
	FxWide		wide_right;

	Assert(a >= 0 && b >= 0 && c >= 0 && d >= 0);
	if (likely(!__builtin_mul_overflow(a, b, &left) && !__builtin_mul_overflow(c, d, &right)))
		return left < right ? -1 : left > right;

	fx_wide_multiply((uint128) a, (uint128) b, &wide_left);
	fx_wide_multiply((uint128) c, (uint128) d, &wide_right);
	return fx_wide_compare(&wide_left, &wide_right);
}
