/*
 * lattice.c - the permutohedral lattice: where points fall in it, its vertices by a hash table, filtering.
 */
#include "lattice.h"

#include <string.h>
#include <tgmath.h>

#define AT_ONCE 8 /* channels that have a lattice of values each */

static size_t whole_lines(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static int64_t corners(int64_t n, int d)
{
	return n * (d + 1);
}

static int64_t table_size(int64_t most)
{
	int64_t size = 16;

	while (size < 2 * most)
		size *= 2;
	return size;
}

size_t moka__lattice_bytes(int64_t n, int d)
{
	const int64_t most = n > 0 ? corners(n, d) : 0;

	if (!most)
		return 0;
	return 2 * whole_lines((size_t)most * sizeof(int32_t)) + whole_lines((size_t)most * sizeof(real)) +
	       whole_lines((size_t)(most * d) * sizeof(int32_t)) +
	       whole_lines((size_t)(most * (d + 1) * 2) * sizeof(int32_t)) +
	       whole_lines((size_t)table_size(most) * sizeof(int32_t));
}

void moka__lattice_init(struct moka__lattice *x, int64_t n, int d, void *memory)
{
	const size_t most = (size_t)corners(n, d);
	char *p = memory;

	*x = (struct moka__lattice){ .d = d, .n = n, .mask = (uint32_t)table_size((int64_t)most) - 1 };
	x->vertex = (int32_t *)p;
	p += whole_lines(most * sizeof(int32_t));
	x->weight = (real *)p;
	p += whole_lines(most * sizeof(real));
	x->keys = (int32_t *)p;
	p += whole_lines(most * (size_t)d * sizeof(int32_t));
	x->neighbour = (int32_t *)p;
	p += whole_lines(most * (size_t)(d + 1) * 2 * sizeof(int32_t));
	x->table = (int32_t *)p;
}

/* The vertex with that key, from 1; 0 where there is none and none shall be made. */
static int32_t find(struct moka__lattice *x, const int32_t *key, bool make)
{
	const size_t bytes = (size_t)x->d * sizeof(*key);
	uint32_t h = 0;

	for (int i = 0; i < x->d; i++)
		h = (h + (uint32_t)key[i]) * 2654435761u;
	h ^= h >> 15;
	for (h &= x->mask; x->table[h]; h = (h + 1) & x->mask)
		if (!memcmp(x->keys + (int64_t)(x->table[h] - 1) * x->d, key, bytes))
			return x->table[h];
	if (!make)
		return 0;
	memcpy(x->keys + x->m * x->d, key, bytes);
	return x->table[h] = (int32_t)++x->m;
}

/* The point in the lattice's hyperplane of d + 1 coordinates, so scaled that the blur has a deviation of 1. */
static void elevate(int d, const real *point, real *up)
{
	const real size = (real)(d + 1) * sqrt((real)2 / 3);
	real sum = 0;

	for (int j = d; j > 0; j--) {
		const real v = point[j - 1] * size / sqrt((real)(j * (j + 1)));

		up[j] = sum - (real)j * v;
		sum += v;
	}
	up[0] = sum;
}

/* The nearest vertex whose coordinates are multiples of d + 1, and the order of the differences from it. */
static void enclose(int d, const real *up, int32_t *base, int *rank)
{
	const int32_t step = d + 1;
	int sum = 0;

	for (int i = 0; i <= d; i++) {
		const real below = floor(up[i] / (real)step) * (real)step,
			   above = ceil(up[i] / (real)step) * (real)step;

		base[i] = (int32_t)(above - up[i] < up[i] - below ? above : below);
		sum += base[i] / step;
		rank[i] = 0;
	}
	for (int i = 0; i < d; i++)
		for (int j = i + 1; j <= d; j++) {
			if (up[i] - (real)base[i] < up[j] - (real)base[j])
				rank[i]++;
			else
				rank[j]++;
		}
	for (int i = 0; i <= d; i++) { /* back into the hyperplane, where the coordinates add up to 0 */
		rank[i] += sum;
		if (rank[i] < 0) {
			rank[i] += step;
			base[i] += step;
		} else if (rank[i] > d) {
			rank[i] -= step;
			base[i] -= step;
		}
	}
}

static void place_point(struct moka__lattice *x, const real *point, int64_t at)
{
	const int d = x->d;
	real up[MOKA__LATTICE_DIMS + 1], part[MOKA__LATTICE_DIMS + 2] = { 0 };
	int32_t base[MOKA__LATTICE_DIMS + 1], key[MOKA__LATTICE_DIMS];
	int rank[MOKA__LATTICE_DIMS + 1];

	elevate(d, point, up);
	enclose(d, up, base, rank);
	for (int i = 0; i <= d; i++) {
		const real v = (up[i] - (real)base[i]) / (real)(d + 1);

		part[d - rank[i]] += v;
		part[d - rank[i] + 1] -= v;
	}
	part[0] += 1 + part[d + 1];
	for (int corner = 0; corner <= d; corner++) {
		for (int i = 0; i < d; i++)
			key[i] = base[i] + corner - (rank[i] > d - corner ? d + 1 : 0);
		x->vertex[at * (d + 1) + corner] = find(x, key, true);
		x->weight[at * (d + 1) + corner] = part[corner];
	}
}

/* In each direction the two neighbours: one step in it, d steps back; all others one the other way. */
static void link_vertices(struct moka__lattice *x)
{
	const int d = x->d;
	int32_t before[MOKA__LATTICE_DIMS + 1], behind[MOKA__LATTICE_DIMS + 1];

	for (int j = 0; j <= d; j++)
		for (int64_t i = 0; i < x->m; i++) {
			const int32_t *key = x->keys + i * d;
			int32_t *pair = x->neighbour + (j * x->m + i) * 2;

			for (int k = 0; k < d; k++) {
				before[k] = k == j ? key[k] + d : key[k] - 1;
				behind[k] = k == j ? key[k] - d : key[k] + 1;
			}
			pair[0] = find(x, before, false);
			pair[1] = find(x, behind, false);
		}
}

void moka__lattice_build(struct moka__lattice *x, const real *points)
{
	x->m = 0;
	memset(x->table, 0, ((size_t)x->mask + 1) * sizeof(*x->table));
	for (int64_t i = 0; i < x->n; i++)
		place_point(x, points + i * x->d, i);
	link_vertices(x);
}

/* ---- filtering --------------------------------------------------------------------------------------------- */

struct filter_job {
	const struct moka__lattice *x;
	const real *in;
	real *out, *values; /* two lattices of n (d + 1) + 1 values for each channel */
	bool transposed, add;
};

static void blur(const struct moka__lattice *x, int direction, const real *v, real *out)
{
	const int32_t *pair = x->neighbour + direction * x->m * 2;

	out[0] = 0;
	for (int64_t i = 0; i < x->m; i++)
		out[i + 1] = v[i + 1] + (v[pair[2 * i]] + v[pair[2 * i + 1]]) / 2;
}

static void filter_channel(const struct filter_job *j, int64_t channel)
{
	const struct moka__lattice *x = j->x;
	const int64_t most = corners(x->n, x->d) + 1;
	const real scale = 1 / (1 + pow((real)2, (real)-x->d));
	real *v = j->values + 2 * channel * most, *w = v + most, *swap;
	const real *in = j->in + channel * x->n;
	real *out = j->out + channel * x->n;

	moka_set(x->m + 1, 0, v);
	for (int64_t i = 0; i < x->n; i++)
		for (int64_t k = i * (x->d + 1); k < (i + 1) * (x->d + 1); k++)
			v[x->vertex[k]] += x->weight[k] * in[i];
	for (int k = 0; k <= x->d; k++) {
		blur(x, j->transposed ? x->d - k : k, v, w);
		swap = v;
		v = w;
		w = swap;
	}
	for (int64_t i = 0; i < x->n; i++) {
		real sum = 0;

		for (int64_t k = i * (x->d + 1); k < (i + 1) * (x->d + 1); k++)
			sum += x->weight[k] * v[x->vertex[k]];
		out[i] = (j->add ? out[i] : 0) + scale * sum;
	}
}

static void filter_piece(void *arg, int64_t begin, int64_t end)
{
	for (int64_t c = begin; c < end; c++)
		filter_channel(arg, c);
}

size_t moka__lattice_work_bytes(int64_t n, int d, int64_t channels)
{
	if (n <= 0 || channels <= 0)
		return 0;
	return (size_t)(2 * MOKA_MIN(channels, AT_ONCE) * (corners(n, d) + 1)) * sizeof(real);
}

void moka__lattice_filter(struct moka_pool *pool, const struct moka__lattice *x, int64_t channels, const real *in,
			  real *out, bool transposed, bool add, void *work)
{
	for (int64_t c = 0; c < channels; c += AT_ONCE) {
		struct filter_job j = { x, in + c * x->n, out + c * x->n, work, transposed, add };

		moka_parallel(pool, filter_piece, &j, MOKA_MIN(channels - c, AT_ONCE), 1);
	}
}
