/*
 * blocked_portable.c - blocked kernels for any machine, in the vector notation that gcc and clang share; blocks of 8.
 */
#include "blocked_train_kernels.h"

#ifndef MOKA_REAL_DOUBLE

#include <float.h>
#include <math.h>
#include <string.h>

/* A block is two vectors of four: without AVX, a vector of eight would pass through memory. */
typedef float quad __attribute__((vector_size(16)));
typedef int quad_mask __attribute__((vector_size(16)));
typedef struct {
	quad a, b;
} oct;

// clang-format off
#define EASY static inline __attribute__((always_inline))
// clang-format on

EASY oct load(const float *p)
{
	oct v;
	memcpy(&v, p, sizeof(v));
	return v;
}

EASY void store(float *p, oct v)
{
	memcpy(p, &v, sizeof(v));
}

EASY quad splat4(float x)
{
	return (quad){ x, x, x, x };
}

EASY quad pick(quad_mask m, quad a, quad b)
{
	return (quad)((m & (quad_mask)a) | (~m & (quad_mask)b));
}

EASY quad max4(quad a, quad b)
{
	return pick(a > b, a, b);
}

EASY quad min4(quad a, quad b)
{
	return pick(a < b, a, b);
}

EASY oct sqrt8(oct v)
{
	oct root = { { sqrtf(v.a[0]), sqrtf(v.a[1]), sqrtf(v.a[2]), sqrtf(v.a[3]) },
		     { sqrtf(v.b[0]), sqrtf(v.b[1]), sqrtf(v.b[2]), sqrtf(v.b[3]) } };

	return root;
}

EASY oct max8(oct a, oct b)
{
	return (oct){ max4(a.a, b.a), max4(a.b, b.b) };
}

EASY oct min8(oct a, oct b)
{
	return (oct){ min4(a.a, b.a), min4(a.b, b.b) };
}

EASY oct if_gt(oct a, oct b, oct x, oct y)
{
	return (oct){ pick(a.a > b.a, x.a, y.a), pick(a.b > b.b, x.b, y.b) };
}

EASY oct if_eq(oct a, oct b, oct x, oct y)
{
	return (oct){ pick(a.a == b.a, x.a, y.a), pick(a.b == b.b, x.b, y.b) };
}

EASY oct fma8(oct x, oct y, oct z)
{
	return (oct){ x.a * y.a + z.a, x.b * y.b + z.b };
}

EASY oct mul8(oct x, oct y)
{
	return (oct){ x.a * y.a, x.b * y.b };
}

EASY oct add8(oct x, oct y)
{
	return (oct){ x.a + y.a, x.b + y.b };
}

EASY oct sub8(oct x, oct y)
{
	return (oct){ x.a - y.a, x.b - y.b };
}

EASY oct div8(oct x, oct y)
{
	return (oct){ x.a / y.a, x.b / y.b };
}

static void transpose(const float *const *in, float *const *out, bool add)
{
	float row[8];

	for (int k = 0; k < 8; k++) {
		memcpy(row, in[k], sizeof(row));
		for (int i = 0; i < 8; i++)
			out[i][k] = row[i] + (add ? out[i][k] : 0);
	}
}

#define VEC oct
#define VLEN 8
#define LOAD(p) load(p)
#define STORE(p, v) store(p, v)
#define STREAM(p, v) STORE(p, v)
#define STREAM_END() ((void)0)
#define SPLAT(x) ((oct){ splat4((float)(x)), splat4((float)(x)) })
#define FMA(a, b, c) fma8(a, b, c)
#define MUL(a, b) mul8(a, b)
#define ADD(a, b) add8(a, b)
#define SUB(a, b) sub8(a, b)
#define MAX(a, b) max8(a, b)
#define MIN(a, b) min8(a, b)
#define DIV(a, b) div8(a, b)
#define KEEP(v) (void)(v)
#define SQRT(a) sqrt8(a)
#define IF_GT(a, b, x, y) if_gt(a, b, x, y)
#define IF_EQ(a, b, x, y) if_eq(a, b, x, y)
#define NAME moka__blocked_portable
#define MOST_GROUP 2
#define WEIGHTS1 4
#define WEIGHTS2 2
#define WEIGHTS3 0
#define PLACES_LIST                                                                                                    \
	{                                                                                                              \
		6, 3, 0, 0                                                                                             \
	}
#define TRAIN_NAME moka__train_portable
#include "blocked_text.h"
#include "train_text.h"

#endif
