/* The pool: every piece once, the same pieces for any number of threads, nested calls, the cpu's own words. */
#include "t.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1000 };

struct record {
	int64_t n, tile;
	_Atomic int hits[MOST];
	_Atomic int bad;
};

static void note_piece(void *arg, int64_t begin, int64_t end)
{
	struct record *r = arg;

	/* pieces start at multiples of the tile and are whole but for the last */
	if (begin % r->tile || end - begin != MOKA_MIN(r->tile, r->n - begin))
		r->bad++;
	for (int64_t i = begin; i < end; i++)
		r->hits[i]++;
}

T_TEST(each_piece_runs_once)
{
	static const int64_t sizes[] = { 0, 1, 7, 128, 129, 1000 }, tiles[] = { 1, 3, 128, 5000 };
	static struct record r;

	for (int threads = 0; threads <= 4; threads++) {
		struct moka_pool *p = threads ? moka_pool_new(threads) : NULL;
		T_INT(moka_pool_threads(p), threads ? threads : 1);
		for (size_t i = 0; i < MOKA_COUNT(sizes); i++)
			for (size_t k = 0; k < MOKA_COUNT(tiles); k++) {
				memset(&r, 0, sizeof(r));
				r.n = sizes[i], r.tile = tiles[k];
				moka_parallel(p, note_piece, &r, r.n, r.tile);
				T_INT(r.bad, 0);
				for (int64_t x = 0; x < MOST; x++)
					T_INT(r.hits[x], x < r.n);
			}
		moka_pool_free(p);
	}
}

static void nothing_much(void *arg, int64_t begin, int64_t end)
{
	*(_Atomic int64_t *)arg += end - begin;
}

struct nest {
	struct moka_pool *pool;
	_Atomic int64_t sum;
};

static void start_inner(void *arg, int64_t begin, int64_t end)
{
	struct nest *s = arg;

	for (int64_t i = begin; i < end; i++)
		moka_parallel(s->pool, nothing_much, &s->sum, 10, 3);
}

T_TEST(nested_calls_do_not_wait_for_themselves)
{
	struct nest s = { moka_pool_new(3), 0 };

	moka_parallel(s.pool, start_inner, &s, 50, 1);
	T_INT(s.sum, 500);
	moka_pool_free(s.pool);
}

/* A caller of its own thread: many small jobs on a pool that others use too. */
static void *call_often(void *arg)
{
	struct nest *s = arg;

	for (int i = 0; i < 2000; i++)
		moka_parallel(s->pool, nothing_much, &s->sum, 1 + i % 9, 1);
	return NULL;
}

T_TEST(several_callers_share_a_pool)
{
	struct nest s = { moka_pool_new(3), 0 };
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		T_INT(pthread_create(&t[i], NULL, call_often, &s), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	T_INT(s.sum, 3 * 9993);
	moka_pool_free(s.pool);
}

/* Plain memory that pieces wrote is there for the caller, and for the pieces of the next job. */
static void add_one(void *arg, int64_t begin, int64_t end)
{
	for (int64_t i = begin; i < end; i++)
		((int64_t *)arg)[i]++;
}

T_TEST(jobs_see_what_the_job_before_wrote)
{
	static int64_t values[256];
	struct moka_pool *p = moka_pool_new(4);

	memset(values, 0, sizeof(values));
	for (int i = 0; i < 3000; i++) {
		moka_parallel(p, add_one, values, 256, 7 + i % 5);
		T_INT(values[i % 256], i + 1);
	}
	moka_pool_free(p);
}

T_TEST(machine_has_threads)
{
	struct moka_pool *p = moka_pool_new(0);

	T_TRUE(p);
	T_TRUE(moka_pool_threads(p) >= 1);
	moka_pool_free(p);
	moka_pool_free(NULL);
}

T_TEST(isa_can_be_forced_down_not_up)
{
	const char *was = getenv("MOKA_ISA");
	char *kept = was ? strdup(was) : NULL;
	enum moka_isa best;

	unsetenv("MOKA_ISA");
	best = moka_cpu_isa();
	setenv("MOKA_ISA", "ref", 1);
	T_INT(moka_cpu_isa(), MOKA_ISA_REF);
	setenv("MOKA_ISA", "AVX512", 1);
	T_INT(moka_cpu_isa(), best);
	setenv("MOKA_ISA", "avx2", 1);
	T_INT(moka_cpu_isa(), best == MOKA_ISA_AVX512 ? MOKA_ISA_AVX2 : best);
	setenv("MOKA_ISA", "neon", 1);
	T_INT(moka_cpu_isa(), best);
	setenv("MOKA_ISA", "nonsense", 1);
	T_INT(moka_cpu_isa(), best);
	if (kept)
		setenv("MOKA_ISA", kept, 1);
	else
		unsetenv("MOKA_ISA");
	free(kept);
}

T_TEST(clock_and_memory)
{
	double a = moka_now(), b = moka_now();

	T_TRUE(b >= a);
	T_TRUE(moka_peak_rss_bytes() > 100000);
}

static const struct CMUnitTest tests[] = {
	T_CASE(each_piece_runs_once),
	T_CASE(nested_calls_do_not_wait_for_themselves),
	T_CASE(several_callers_share_a_pool),
	T_CASE(jobs_see_what_the_job_before_wrote),
	T_CASE(machine_has_threads),
	T_CASE(isa_can_be_forced_down_not_up),
	T_CASE(clock_and_memory),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
