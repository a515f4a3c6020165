/*
 * number.c - numbers as text, whatever the locale.
 *
 * strtod() and printf() take the decimal point from the locale of the program that holds us; a prototxt always has '.'.
 */
#include "internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The locale's decimal point. */
static void find_point(char *out, size_t size)
{
	char probe[16];
	int n = snprintf(probe, sizeof(probe), "%.1f", 1.5);

	/* "1" point "5"; the point may be several bytes */
	if (n < 3 || (size_t)n - 2 >= size) {
		snprintf(out, size, ".");
		return;
	}
	memcpy(out, probe + 1, (size_t)n - 2);
	out[n - 2] = 0;
}

double moka__real_parse(const char *s, size_t n)
{
	char text[420], point[8];
	char *end, *dot;
	double v;

	n = MOKA_MIN(n, 400);
	memcpy(text, s, n);
	text[n] = 0;
	v = strtod(text, &end);
	if (!*end || *end != '.')
		return v;
	find_point(point, sizeof(point));
	dot = memchr(text, '.', n);
	memmove(dot + strlen(point), dot + 1, strlen(dot + 1) + 1);
	memcpy(dot, point, strlen(point));
	return strtod(text, NULL);
}

/* Halfway between the largest float and what would be the next: protobuf still takes that for the largest. */
#define HALFWAY 3.4028235677973366e+38

float moka__to_float(double v)
{
	if (v > (double)FLT_MAX)
		return v <= HALFWAY ? FLT_MAX : (float)INFINITY;
	if (v < -(double)FLT_MAX)
		return v >= -HALFWAY ? -FLT_MAX : -(float)INFINITY;
	return (float)v;
}

/* Makes the locale's point a '.' again. */
static void mend_point(char *s)
{
	size_t ok = strspn(s, "0123456789+-e");
	size_t bad = strcspn(s + ok, "0123456789+-e");

	if (!s[ok])
		return;
	s[ok] = '.';
	memmove(s + ok + 1, s + ok + bad, strlen(s + ok + bad) + 1);
}

static bool print_special(double v, char *buf)
{
	if (isnan(v))
		strncpy(buf, "nan", 32);
	else if (isinf(v))
		strncpy(buf, v > 0 ? "inf" : "-inf", 32);
	else
		return false;
	return true;
}

void moka__float_print(float v, char *buf)
{
	if (print_special((double)v, buf))
		return;
	snprintf(buf, 32, "%.6g", (double)v);
	/* protoc takes no denormal for read back, since strtof() calls it a range error */
	if (strtof(buf, NULL) != v || (v != 0 && fabsf(v) < FLT_MIN))
		snprintf(buf, 32, "%.9g", (double)v);
	mend_point(buf);
}

void moka__double_print(double v, char *buf)
{
	if (print_special(v, buf))
		return;
	snprintf(buf, 32, "%.15g", v);
	if (strtod(buf, NULL) != v)
		snprintf(buf, 32, "%.17g", v);
	mend_point(buf);
}
