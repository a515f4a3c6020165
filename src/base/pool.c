/*
 * pool.c - work cut into fixed pieces, run by the caller and by threads that help it.
 *
 * The pieces are dealt out to the threads in ranges, so that the same thread meets the same data again from layer to layer. Who is
 * done with its own range takes pieces from the others'. The caller never waits for a helper that hasn't started: it does
 * the helper's pieces too, and then waits only for pieces that are being worked on. On a machine that is busy with other
 * things, where a helper may not get a processor for milliseconds, that is the difference between slower and ten times slower.
 *
 *     caller   opens a job, wakes helpers | takes pieces until none is left | closes the job | waits for those inside
 *     helper   sleeps | sees an open job, enters it | takes pieces until none is left | leaves | looks again for a while, sleeps
 *
 * `state` holds all of it in one word: bit 0 says that a job is open, the bits above count the helpers inside. A helper enters with
 * one compare-and-swap that fails once the job is closed, so the job's fields are never read after their caller has gone on.
 */
#include "internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#else
#define RELAX() sched_yield()
#endif

#define OPEN 1u
#define INSIDE 2u
/* How often a helper looks for the next job before it sleeps (some tens of microseconds), and the caller before it yields. */
#define LOOKS 2000

struct range {
	_Alignas(64) atomic_int_fast64_t next;
	int64_t end;
};

struct moka_pool {
	int threads;	      /* the caller among them */
	pthread_mutex_t busy; /* held by the caller of a job */
	/* the job */
	void (*fn)(void *arg, int64_t begin, int64_t end);
	void *arg;
	int64_t n, tile;
	struct range *ranges; /* of pieces, one a thread */
	_Alignas(64) atomic_uint state;
	atomic_uint turn; /* counts jobs: what sleepers wait for */
	/* sleepers */
	_Alignas(64) pthread_mutex_t lock;
	pthread_cond_t wake;
	atomic_int sleeping;
	atomic_bool stop;
	pthread_t *workers; /* threads - 1 of them */
	struct worker {
		struct moka_pool *pool;
		int id;
	} * ids;
};

/* A job that starts another one inside a piece would wait for itself: pieces of pieces run where they are. */
static _Thread_local bool inside;

/* ---- pieces ------------------------------------------------------------------------------------- */

static void run_range(struct moka_pool *p, struct range *r)
{
	for (;;) {
		int64_t i = atomic_load_explicit(&r->next, memory_order_relaxed);

		if (i >= r->end)
			return;
		i = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
		if (i >= r->end)
			return;
		i *= p->tile;
		p->fn(p->arg, i, MOKA_MIN(i + p->tile, p->n));
	}
}

/* All pieces that are left, beginning with one's own range. */
static void run_pieces(struct moka_pool *p, int id)
{
	bool outer = inside;

	inside = true;
	for (int k = 0; k < p->threads; k++)
		run_range(p, &p->ranges[(id + k) % p->threads]);
	inside = outer;
}

/* ---- helpers -------------------------------------------------------------------------------------- */

static bool enter(struct moka_pool *p)
{
	unsigned s = atomic_load_explicit(&p->state, memory_order_acquire);

	while (s & OPEN)
		if (atomic_compare_exchange_weak_explicit(&p->state, &s, s + INSIDE, memory_order_acq_rel,
							  memory_order_acquire))
			return true;
	return false;
}

static void leave(struct moka_pool *p)
{
	atomic_fetch_sub_explicit(&p->state, INSIDE, memory_order_release);
}

/* Until a job is opened after `seen`, or the pool ends. */
static void wait_for_turn(struct moka_pool *p, unsigned seen)
{
	for (int i = 0; i < LOOKS; i++) {
		if (atomic_load_explicit(&p->turn, memory_order_acquire) != seen || atomic_load(&p->stop))
			return;
		RELAX();
	}
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->sleeping, 1);
	while (atomic_load(&p->turn) == seen && !atomic_load(&p->stop))
		pthread_cond_wait(&p->wake, &p->lock);
	atomic_fetch_sub(&p->sleeping, 1);
	pthread_mutex_unlock(&p->lock);
}

static void *help(void *arg)
{
	const struct worker *w = arg;
	struct moka_pool *p = w->pool;

	while (!atomic_load(&p->stop)) {
		const unsigned seen = atomic_load_explicit(&p->turn, memory_order_acquire);

		if (enter(p)) {
			run_pieces(p, w->id);
			leave(p);
		}
		wait_for_turn(p, seen);
	}
	return NULL;
}

/* ---- the caller ------------------------------------------------------------------------------------ */

static void deal(struct moka_pool *p, int64_t pieces)
{
	const int64_t each = pieces / p->threads, rest = pieces % p->threads;
	int64_t at = 0;

	for (int i = 0; i < p->threads; i++) {
		atomic_store_explicit(&p->ranges[i].next, at, memory_order_relaxed);
		at += each + (i < rest);
		p->ranges[i].end = at;
	}
}

static void open_job(struct moka_pool *p)
{
	atomic_store_explicit(&p->state, OPEN, memory_order_release);
	atomic_fetch_add(&p->turn, 1);
	/* one who is about to sleep has either counted itself, or sees the new turn when it looks under the lock */
	if (!atomic_load(&p->sleeping))
		return;
	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

static void close_job(struct moka_pool *p)
{
	unsigned looks = 0;

	atomic_fetch_and_explicit(&p->state, ~OPEN, memory_order_acq_rel);
	while (atomic_load_explicit(&p->state, memory_order_acquire)) {
		if (++looks < LOOKS)
			RELAX();
		else
			sched_yield();
	}
}

void moka_parallel(struct moka_pool *p, void (*fn)(void *arg, int64_t begin, int64_t end), void *arg, int64_t n,
		   int64_t tile)
{
	tile = MOKA_MAX(tile, 1);
	/* a pool that is busy with another caller's job: this caller works alone rather than wait */
	if (p && p->threads > 1 && n > tile && !inside && !pthread_mutex_trylock(&p->busy)) {
		p->fn = fn;
		p->arg = arg;
		p->n = n;
		p->tile = tile;
		deal(p, n / tile + (n % tile > 0));
		open_job(p);
		run_pieces(p, 0);
		close_job(p);
		pthread_mutex_unlock(&p->busy);
		return;
	}
	for (int64_t i = 0; i < n; i += MOKA_MIN(tile, n - i))
		fn(arg, i, i + MOKA_MIN(tile, n - i));
}

/* ---- making one ------------------------------------------------------------------------------------ */

/* As many helpers as the system gives: fewer only make it slower. */
static void start(struct moka_pool *p)
{
	const int want = p->threads - 1;

	p->threads = 1;
	if (!p->workers || !p->ids || !p->ranges)
		return;
	for (int i = 0; i < want; i++) {
		p->ids[i] = (struct worker){ p, i + 1 };
		if (pthread_create(&p->workers[i], NULL, help, &p->ids[i]))
			break;
		p->threads++;
	}
}

struct moka_pool *moka_pool_new(int threads)
{
	struct moka_pool *p = aligned_alloc(64, (sizeof(*p) + 63) / 64 * 64);
	int n;

	if (!p)
		return NULL;
	*p = (struct moka_pool){ .threads = threads > 0 ? MOKA_MIN(threads, MOKA__MOST_THREADS) : moka_cpu_threads() };
	n = p->threads;
	pthread_mutex_init(&p->busy, NULL);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	if (n > 1) {
		p->workers = calloc((size_t)n, sizeof(*p->workers));
		p->ids = calloc((size_t)n, sizeof(*p->ids));
		p->ranges = aligned_alloc(64, (size_t)n * sizeof(*p->ranges));
		start(p);
	}
	return p;
}

void moka_pool_free(struct moka_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->stop, true);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i + 1 < p->threads; i++)
		pthread_join(p->workers[i], NULL);
	pthread_mutex_destroy(&p->busy);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->wake);
	free(p->workers);
	free(p->ids);
	free(p->ranges);
	free(p);
}

int moka_pool_threads(const struct moka_pool *p)
{
	return p ? p->threads : 1;
}
