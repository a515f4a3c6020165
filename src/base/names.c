/*
 * names.c - how far apart two names are, for "did you mean ...?".
 *
 * Edit distance with transpositions of neighbours (optimal string alignment). Case and '_' carry no meaning in the
 * names of layers and fields, so "relu", "ReLU" and "Re_LU" are the same.
 */
#include "base.h"

#include <limits.h>
#include <string.h>

/* Names longer than this are not typed by hand; comparing them would cost the square of their length. */
#define LONGEST 96
#define FAR (INT_MAX / 2)

/* Writes s without '_' and in lower case to out; returns its length, -1 where it is too long. */
static int fold(const char *s, char out[LONGEST])
{
	int n = 0;

	for (; *s; s++) {
		if (*s == '_')
			continue;
		if (n == LONGEST)
			return -1;
		out[n++] = *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s;
	}
	return n;
}

int moka_name_distance(const char *a, const char *b)
{
	char x[LONGEST], y[LONGEST];
	int rows[3][LONGEST + 1];
	int *before = rows[0], *above = rows[1], *row = rows[2];
	int nx = fold(a, x), ny = fold(b, y);

	if (nx < 0 || ny < 0)
		return strcmp(a, b) ? FAR : 0;
	for (int j = 0; j <= ny; j++)
		row[j] = j, before[j] = j;
	for (int i = 1; i <= nx; i++) {
		int *spare = before;
		before = above, above = row, row = spare;
		row[0] = i;
		for (int j = 1; j <= ny; j++) {
			int d = above[j - 1] + (x[i - 1] != y[j - 1]);
			d = MOKA_MIN(d, above[j] + 1);
			d = MOKA_MIN(d, row[j - 1] + 1);
			if (i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1])
				d = MOKA_MIN(d, before[j - 2] + 1);
			row[j] = d;
		}
	}
	return row[ny];
}

/* How many slips a name of n letters may hold: none in two letters, one in three, one more for every three. */
static int allowed(size_t n)
{
	return n < 3 ? 0 : n >= 12 ? 4 : (int)n / 3;
}

void moka_nearest_try(struct moka_nearest *n, const char *want, const char *candidate)
{
	size_t lw = strlen(want), lc = strlen(candidate);
	size_t gap = lw > lc ? lw - lc : lc - lw;
	int d;

	/* underscores count for nothing in the distance, so a difference in length proves little; this much does */
	if (lw == 0 || lc == 0 || gap > 16)
		return;
	d = moka_name_distance(want, candidate);
	if (d > allowed(MOKA_MIN(lw, lc)) || (n->best && d >= n->distance))
		return;
	n->best = candidate;
	n->distance = d;
}
