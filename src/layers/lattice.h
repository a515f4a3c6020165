/*
 * lattice.h - Gaussian filtering of values at points of a few dimensions, by the permutohedral lattice (Adams, Baek and
 * Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", 2010). Every point spreads its values over
 * the d + 1 corners of the simplex that encloses it, the lattice is blurred along each of its d + 1 directions, and the
 * points read their values back with the same weights.
 *
 * Used by layer files only.
 */
#ifndef MOKA_LAYERS_LATTICE_H
#define MOKA_LAYERS_LATTICE_H

#include "layer.h"

#define MOKA__LATTICE_DIMS 8
#define MOKA__LATTICE_FAR 1e6 /* no coordinate of a point may be as far out as this */

struct moka__lattice {
	int d;
	int64_t n, m;	    /* points; vertices in use, at most n (d + 1) */
	int32_t *vertex;    /* (n, d + 1): from 1, 0 is the vertex that isn't there */
	real *weight;	    /* (n, d + 1) */
	int32_t *keys;	    /* (m, d) */
	int32_t *neighbour; /* (d + 1, m, 2) */
	int32_t *table;	    /* hash table of vertices, 0: free */
	uint32_t mask;
};

/* Memory of a lattice over n points, -1 points: 0. n (d + 1) must be below 2^29. */
size_t moka__lattice_bytes(int64_t n, int d);
/* Lays a lattice out in memory of that size. */
void moka__lattice_init(struct moka__lattice *x, int64_t n, int d, void *memory);
/* points (n, d), every coordinate a number nearer than MOKA__LATTICE_FAR to 0. */
void moka__lattice_build(struct moka__lattice *x, const real *points);

/*
 * out (channels, n) = in (channels, n) filtered; added to it where `add` is set. transposed: the adjoint. Work takes
 * moka__lattice_work_bytes(). The same for any number of threads.
 */
size_t moka__lattice_work_bytes(int64_t n, int d, int64_t channels);
void moka__lattice_filter(struct moka_pool *pool, const struct moka__lattice *x, int64_t channels, const real *in,
			  real *out, bool transposed, bool add, void *work);

#endif
