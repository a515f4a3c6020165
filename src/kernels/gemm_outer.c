/*
 * gemm_outer.c - a product C = A' B that nobody keeps: few rows of it at a time are made in a cache and handed to whoever uses them up
 * (the update of an inner product's weights), so that C never goes through memory.
 *
 *     B packed once, A turned once;  for each part of the columns, each few rows:  tile by tile into a room, then take() row by row
 *
 * The steps are cut as gemm.c cuts them, so every sum is the one that moka_gemm() makes.
 */
#include "gemm.h"

#include "internal.h"

#include <stdatomic.h>

#define PART_BYTES (128 * 1024) /* of packed B: read for every few rows */

struct outer {
	const struct moka__gemm_kernels *ops;
	int64_t m, n, k, kc, nr, pitch; /* pitch: values of a row of a room */
	int64_t parts, strips, panels;
	const real *from_a, *from_b;
	real *b, *a, *rooms; /* packed, turned, a room for each thread */
	moka_gemm_take *take;
	void *arg;
	_Atomic int64_t next;
};

/* Columns of part i begin here. */
static int64_t part_at(const struct outer *o, int64_t i)
{
	return MOKA_MIN(moka__part(o->panels, o->parts, i) * o->nr, o->n);
}

/* Tiles of `rows` (a power of two) rows from i on, columns [j0, j1), into the room from row r on. */
static void make_rows(const struct outer *o, int64_t i, int size, int64_t j0, int64_t j1, real *room)
{
	for (int64_t p0 = 0; p0 < o->k; p0 += o->kc) {
		const int64_t kc = MOKA_MIN(o->kc, o->k - p0);
		const struct moka__gemm_end end = { 1, p0 ? 1 : 0, NULL };

		for (int64_t j = j0; j < j1; j += o->nr) {
			const int64_t columns = MOKA_MIN(o->nr, o->n - j);
			const int64_t vectors = moka__ceil_div(columns, o->ops->vector);

			/* a panel of whole vectors: the room has place for them */
			o->ops->rows[size][vectors - 1](kc, o->a + i * o->k + p0, o->k,
							o->b + p0 * o->panels * o->nr + j * kc, room + (j - j0),
							o->pitch, &end);
		}
	}
}

static void make_strip(const struct outer *o, int64_t index, real *room)
{
	const int64_t part = index / o->strips, strip = index % o->strips, mr = o->ops->mr;
	const int64_t j0 = part_at(o, part), j1 = part_at(o, part + 1), i0 = strip * mr, i1 = MOKA_MIN(i0 + mr, o->m);
	int size = __builtin_ctz((unsigned)mr);

	for (int64_t i = i0; i < i1; i++)
		o->take(o->arg, i * o->n + j0, j1 - j0, NULL);
	for (int64_t i = i0; i < i1; i += 1 << size) {
		while (i1 - i < 1 << size)
			size--;
		make_rows(o, i, size, j0, j1, room + (i - i0) * o->pitch);
	}
	for (int64_t i = i0; i < i1; i++)
		o->take(o->arg, i * o->n + j0, j1 - j0, room + (i - i0) * o->pitch);
}

static int64_t lines(int64_t values)
{
	return moka__ceil_div(values, 16) * 16;
}

static void outer_slots(void *arg, int64_t begin, int64_t end)
{
	struct outer *o = arg;

	for (int64_t slot = begin; slot < end; slot++)
		for (int64_t i = o->next++; i < o->parts * o->strips; i = o->next++)
			make_strip(o, i, o->rooms + slot * lines(o->ops->mr * o->pitch));
}

static void pack_b(void *arg, int64_t begin, int64_t end)
{
	const struct outer *o = arg;
	const struct moka__gemm_source from = { .b = o->from_b, .ldb = o->n };

	for (int64_t j = begin; j < end; j++)
		for (int64_t p0 = 0; p0 < o->k; p0 += o->kc) {
			const int64_t kc = MOKA_MIN(o->kc, o->k - p0), j0 = j * o->nr;

			moka__gemm_pack_matrix(&from, o->ops, p0, kc, j0, MOKA_MIN(o->nr, o->n - j0),
					       o->b + p0 * o->panels * o->nr + j0 * kc);
		}
}

static void turn_a(void *arg, int64_t begin, int64_t end)
{
	const struct outer *o = arg;

	o->ops->transpose(o->k, end - begin, o->from_a + begin, o->m, o->a + begin * o->k, o->k);
}

bool moka_gemm_outer(struct moka_pool *pool, struct moka_gemm_ws *ws, int64_t m, int64_t n, int64_t k, const real *a,
		     const real *b, moka_gemm_take *take, void *arg)
{
	const int threads = moka_pool_threads(pool);
	struct outer o = {
		.ops = moka__gemm_ops(ws), .m = m, .n = n, .k = k, .from_a = a, .from_b = b, .take = take, .arg = arg
	};
	int64_t width;

	if (m <= 0 || n <= 0)
		return true;
	if (k <= 0)
		return false;
	o.nr = (int64_t)o.ops->vector * o.ops->vectors;
	o.kc = moka__gemm_steps(o.ops, k);
	o.panels = moka__ceil_div(n, o.nr);
	o.strips = moka__ceil_div(m, o.ops->mr);
	width = MOKA_MAX((int64_t)((size_t)PART_BYTES / sizeof(real)) / k / o.nr, 1);
	o.parts = moka__ceil_div(o.panels, width);
	o.pitch = moka__ceil_div(o.panels, o.parts) * o.nr + 16;
	o.b = moka__gemm_reserve(ws, 1,
				 (size_t)(o.panels * o.nr * k + lines(m * k) + threads * lines(o.ops->mr * o.pitch)));
	if (!o.b)
		return false;
	o.a = o.b + o.panels * o.nr * k;
	o.rooms = o.a + lines(m * k);
	moka_parallel(pool, pack_b, &o, o.panels, 8);
	moka_parallel(pool, turn_a, &o, m, 64);
	moka_parallel(pool, outer_slots, &o, threads, 1);
	return true;
}
