/*-------------------------------------------------------------------------
 *
 * iso8601.c
 *	  Times as JSON carries them
 *
 * The general datetime parser depends on the settings DateStyle and TimeZone
 * and knows words like "now", so a function that used it would not be
 * immutable.  Here one form is read, YYYY-MM-DD, optionally with time of day
 * and offset; without an offset it is UTC.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datetime.h"

#include "compat.h"
#include "iso8601.h"

/* YYYY-MM-DD */
#define DATE_LEN			10

static bool read_date(const char *str, int64 *days);
static bool read_usual_time(const char *p, const char *end, int64 *usecs);
static bool read_digits(const char **p, const char *end, int count, int *value);
static bool read_time(const char **p, const char *end, int64 *usecs);
static bool read_offset(const char **p, const char *end, int *secs);
static inline char *write_digits(char *p, int value, int count);

/*
 * Read a time; false when it is none.
 *
 * As PostgreSQL does it, 24:00:00 and a second of 60 are taken as the begin of
 * what follows, and more than six decimals are rounded.
 */
bool
fx_iso8601_parse(const char *str, Size len, TimestampTz *result)
{
	const char *p = str + DATE_LEN;
	const char *end = str + len;
	int64		days;
	int64		usecs = 0;
	int			offset = 0;

	if (len < DATE_LEN || !read_date(str, &days))
		return false;

	if (likely(read_usual_time(p, end, &usecs)))
	{
		*result = days * USECS_PER_DAY + usecs;
		return true;
	}

	if (p < end)
	{
		if (*p != 'T' && *p != 't' && *p != ' ')
			return false;
		p++;
		if (!read_time(&p, end, &usecs) || !read_offset(&p, end, &offset))
			return false;
		if (p != end)
			return false;
	}

	*result = days * USECS_PER_DAY + usecs - (int64) offset * USECS_PER_SEC;
	return true;
}

/*
 * Write a finite time in UTC, as to_jsonb() writes it, and return the length.
 */
int
fx_iso8601_write(TimestampTz ts, char *buf)
{
	static int64 last_days = PG_INT64_MIN;
	static char last_date[16];
	static int	last_len;
	int64		days = ts / USECS_PER_DAY;
	int64		usecs = ts % USECS_PER_DAY;
	int			secs;
	int			fraction;
	char	   *p = buf;

	if (usecs < 0)
	{
		usecs += USECS_PER_DAY;
		days--;
	}
	secs = (int) (usecs / USECS_PER_SEC);
	fraction = (int) (usecs % USECS_PER_SEC);

	/* neighbours in a curve mostly have the same date */
	if (days != last_days)
	{
		int			year;
		int			month;
		int			day;

		j2date((int) days + POSTGRES_EPOCH_JDATE, &year, &month, &day);
		last_len = snprintf(last_date, sizeof(last_date), "%04d-%02d-%02d", year, month, day);
		last_days = days;
	}
	/* of constant size, which is faster; what is too much is written over */
	memcpy(p, last_date, sizeof(last_date));
	p += last_len;
	*p = 'T';
	write_digits(p + 1, secs / SECS_PER_HOUR, 2);
	p[3] = ':';
	write_digits(p + 4, secs / SECS_PER_MINUTE % MINS_PER_HOUR, 2);
	p[6] = ':';
	p = write_digits(p + 7, secs % SECS_PER_MINUTE, 2);
	if (fraction != 0)
	{
		*p++ = '.';
		p = write_digits(p, fraction, 6);
		while (p[-1] == '0')
			p--;
	}
	memcpy(p, "+00:00", 6);
	p += 6;
	*p = '\0';

	return (int) (p - buf);
}

/*
 * A date, as days from 2000.
 */
static bool
read_date(const char *str, int64 *days)
{
	static char last_date[DATE_LEN];
	static int64 last_days;
	const char *p = str;
	const char *end = str + DATE_LEN;
	int			year;
	int			month;
	int			day;

	/* neighbours in a list of trades mostly have the same */
	if (memcmp(str, last_date, DATE_LEN) == 0)
	{
		*days = last_days;
		return true;
	}

	if (!read_digits(&p, end, 4, &year) || *p++ != '-' ||
		!read_digits(&p, end, 2, &month) || *p++ != '-' ||
		!read_digits(&p, end, 2, &day))
		return false;
	if (year < 1 || month < 1 || month > MONTHS_PER_YEAR ||
		day < 1 || day > day_tab[isleap(year)][month - 1])
		return false;

	*days = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	memcpy(last_date, str, DATE_LEN);
	last_days = *days;
	return true;
}

/*
 * THH:MM:SS in UTC, as to_jsonb() and JavaScript write it but for fractions.
 * False for every other form, and for times that need a closer look.
 */
static bool
read_usual_time(const char *p, const char *end, int64 *usecs)
{
	unsigned	digit[6];
	unsigned	hour;
	unsigned	minute;
	unsigned	second;

	if (end - p != 15 || memcmp(p + 9, "+00:00", 6) != 0)
	{
		if (end - p != 10 || p[9] != 'Z')
			return false;
	}
	if (p[0] != 'T' || p[3] != ':' || p[6] != ':')
		return false;

	for (int i = 0; i < 3; i++)
	{
		digit[2 * i] = (unsigned) (p[3 * i + 1] - '0');
		digit[2 * i + 1] = (unsigned) (p[3 * i + 2] - '0');
	}
	for (int i = 0; i < 6; i++)
	{
		if (digit[i] > 9)
			return false;
	}
	hour = digit[0] * 10 + digit[1];
	minute = digit[2] * 10 + digit[3];
	second = digit[4] * 10 + digit[5];
	if (hour >= HOURS_PER_DAY || minute >= MINS_PER_HOUR || second >= SECS_PER_MINUTE)
		return false;

	*usecs = (int64) ((hour * MINS_PER_HOUR + minute) * SECS_PER_MINUTE + second) * USECS_PER_SEC;
	return true;
}

static bool
read_digits(const char **p, const char *end, int count, int *value)
{
	*value = 0;
	if (end - *p < count)
		return false;
	for (int i = 0; i < count; i++, (*p)++)
	{
		if (**p < '0' || **p > '9')
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

/*
 * HH:MM[:SS[.fraction]]
 */
static bool
read_time(const char **p, const char *end, int64 *usecs)
{
	int			hour;
	int			minute;
	int			second = 0;
	int			fraction = 0;

	if (!read_digits(p, end, 2, &hour) || *p == end || *(*p)++ != ':' ||
		!read_digits(p, end, 2, &minute))
		return false;
	if (*p < end && **p == ':')
	{
		(*p)++;
		if (!read_digits(p, end, 2, &second))
			return false;
		if (*p < end && (**p == '.' || **p == ','))
		{
			int			digits = 0;

			for ((*p)++; *p < end && **p >= '0' && **p <= '9'; (*p)++, digits++)
			{
				if (digits < 6)
					fraction = fraction * 10 + (**p - '0');
				else if (digits == 6 && **p >= '5')
					fraction++;
			}
			if (digits == 0)
				return false;
			for (; digits < 6; digits++)
				fraction *= 10;
		}
	}
	if (hour > HOURS_PER_DAY || minute >= MINS_PER_HOUR || second > SECS_PER_MINUTE ||
		(second == SECS_PER_MINUTE && fraction != 0) ||
		(hour == HOURS_PER_DAY && (minute != 0 || second != 0 || fraction != 0)))
		return false;

	*usecs = (((int64) hour * MINS_PER_HOUR + minute) * SECS_PER_MINUTE + second) * USECS_PER_SEC +
		fraction;
	return true;
}

/*
 * Nothing, Z, or +HH[[:]MM[:SS]], in seconds east of UTC.
 */
static bool
read_offset(const char **p, const char *end, int *secs)
{
	bool		west;
	int			hour;
	int			minute = 0;
	int			second = 0;

	*secs = 0;
	if (*p == end)
		return true;
	if (**p == 'Z' || **p == 'z')
	{
		(*p)++;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	west = *(*p)++ == '-';
	if (!read_digits(p, end, 2, &hour))
		return false;
	if (*p < end)
	{
		bool		colon = **p == ':';

		if (colon)
			(*p)++;
		if (!read_digits(p, end, 2, &minute))
			return false;
		if (colon && *p < end && **p == ':')
		{
			(*p)++;
			if (!read_digits(p, end, 2, &second))
				return false;
		}
	}
	if (hour > MAX_TZDISP_HOUR || minute >= MINS_PER_HOUR || second >= SECS_PER_MINUTE)
		return false;

	*secs = (hour * MINS_PER_HOUR + minute) * SECS_PER_MINUTE + second;
	if (west)
		*secs = -*secs;
	return true;
}

static inline char *
write_digits(char *p, int value, int count)
{
	for (int i = count - 1; i >= 0; i--)
	{
		p[i] = '0' + value % 10;
		value /= 10;
	}
	return p + count;
}
