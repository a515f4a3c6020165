/*
 * rng.c - random numbers: xoshiro256** (Blackman and Vigna), seeded through splitmix64, so that neighbouring seeds
 * and streams give unrelated sequences. The same seed gives the same numbers everywhere.
 */
#include "base.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += 0x9E3779B97F4A7C15;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

void moka_rng_seed(struct moka_rng *r, uint64_t seed, uint64_t stream)
{
	uint64_t x = seed, y = ~stream;

	/* mixed apart, then together: (1, 2) and (2, 1) are different generators */
	x = splitmix(&x) ^ splitmix(&y) * 0xD1342543DE82EF95;
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix(&x);
}

static uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

uint64_t moka_rng_next(struct moka_rng *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

double moka_rng_uniform(struct moka_rng *r)
{
	return (double)(moka_rng_next(r) >> 11) * 0x1p-53;
}

double moka_rng_gaussian(struct moka_rng *r)
{
	/* u in (0, 1], so that its logarithm exists; the second value of the pair is given up for a plain state */
	double u = ((double)(moka_rng_next(r) >> 11) + 1) * 0x1p-53;
	double v = moka_rng_uniform(r);

	return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}

uint64_t moka_rng_below(struct moka_rng *r, uint64_t n)
{
	__uint128_t m;
	uint64_t least;

	if (n < 2)
		return 0;
	/* Lemire's method: multiply, and reject the few low halves that would favour some results */
	least = -n % n;
	do {
		m = (__uint128_t)moka_rng_next(r) * n;
	} while ((uint64_t)m < least);
	return (uint64_t)(m >> 64);
}
