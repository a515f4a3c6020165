/*
 * threads.c - work cut into fixed pieces, taken one by one by whoever is there: the caller, and workers that wait for it.
 *
 * The caller never waits for a worker that hasn't begun: on a machine with other things to do, where a worker gets a core
 * milliseconds late, the caller has done all pieces by then. (pthreadpool, which Moka used before, waits until every
 * worker has looked at every job: LeNet took 30 ms instead of 0.1 on a busy machine.) A pool of one thread, and a job that
 * comes while another thread's is running, run their pieces in the caller, in order, cut just the same.
 */
#include "base.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MOST_THREADS 1024

struct job;

struct moka_pool {
	int threads; /* the caller's among them */
	pthread_t *workers;
	/*
	 * The job of the moment. `ticket` is its number (upper half) and the next piece that nobody has taken yet (lower half):
	 * who counts it up by one has taken a piece, and the job stays until that piece is done. Workers that come late
	 * find nothing to take; nobody waits for them.
	 */
	_Atomic uint64_t ticket;
	_Atomic uint32_t pieces, done;
	_Atomic(struct job *) job;
	/* workers that sleep, and why they wake */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	_Atomic int asleep;
	_Atomic bool stop;
	_Atomic bool busy; /* some thread's job is in the pool */
};

/* A job that starts another one inside a piece would wait for itself: pieces of pieces run where they are. */
static _Thread_local bool inside;

/* Reads up to two numbers from a small file of the kernel's; "max" and what isn't there leave `out` as it is. */
static void read_numbers(const char *path, long long out[2])
{
	FILE *f = fopen(path, "re");
	char line[128];
	char *end = line;

	if (!f)
		return;
	if (fgets(line, sizeof(line), f)) {
		for (int i = 0; i < 2; i++) {
			char *from = end + (i && *end == ' ');
			long long v = strtoll(from, &end, 10);
			if (end == from)
				break;
			out[i] = v;
		}
	}
	fclose(f);
}

static int quota_cpus(long long quota, long long period)
{
	if (quota <= 0 || period <= 0 || quota / period >= MOST_THREADS)
		return MOST_THREADS;
	return (int)((quota + period - 1) / period);
}

/* The tightest quota of the group `path` and of those above it, under a mount of version 1 or 2. */
static int group_cpus(const char *mount, char *path, bool v2)
{
	int least = MOST_THREADS;
	char file[1024];

	for (;;) {
		long long a[2] = { -1, -1 }, b[2] = { -1, -1 };
		char *slash;

		snprintf(file, sizeof(file), v2 ? "%s%s/cpu.max" : "%s%s/cpu.cfs_quota_us", mount, path);
		read_numbers(file, a);
		if (!v2) {
			snprintf(file, sizeof(file), "%s%s/cpu.cfs_period_us", mount, path);
			read_numbers(file, b);
			a[1] = b[0];
		}
		int cpus = quota_cpus(a[0], a[1]);
		least = MOKA_MIN(least, cpus);
		slash = strrchr(path, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

/* Whether the list "cpu,cpuacct" holds the word "cpu". */
static bool has_cpu(const char *list)
{
	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, "cpu", 3) && (p[3] == ',' || p[3] == '\0'))
			return true;
	return false;
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2) or "4:cpu,cpuacct:/path" (version 1). */
static int cgroup_cpus(void)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[768];
	int least = MOST_THREADS;

	while (f && fgets(line, sizeof(line), f)) {
		char *list = strchr(line, ':');
		char *path = list ? strchr(list + 1, ':') : NULL;
		int cpus = MOST_THREADS;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (list[1] == '\0')
			cpus = group_cpus("/sys/fs/cgroup", path, true);
		else if (has_cpu(list + 1))
			cpus = group_cpus("/sys/fs/cgroup/cpu", path, false);
		least = MOKA_MIN(least, cpus);
	}
	if (f)
		fclose(f);
	return least;
}

int moka_cpu_threads(void)
{
	cpu_set_t set;
	int cpus = 1, quota;

	if (!sched_getaffinity(0, sizeof(set), &set))
		cpus = CPU_COUNT(&set);
	quota = cgroup_cpus();
	cpus = MOKA_MIN(cpus, quota);
	return MOKA_MAX(cpus, 1);
}

struct job {
	void (*fn)(void *arg, int64_t begin, int64_t end);
	void *arg;
	int64_t n, tile;
};

/* Before a worker sleeps, and before a caller that waits for others' pieces lets another thread have the core. */
#define SPINS_BEFORE_SLEEP 4000
#define SPINS_BEFORE_YIELD 200
#define CLOSED UINT32_MAX /* a ticket of which no piece can be taken */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void run_piece(const struct job *j, int64_t piece)
{
	const int64_t begin = piece * j->tile;

	j->fn(j->arg, begin, begin + MOKA_MIN(j->tile, j->n - begin));
}

/* Takes pieces while there are any. Whether there was one. */
static bool work(struct moka_pool *p)
{
	bool any = false, outer = inside;

	inside = true;
	for (;;) {
		uint64_t t = atomic_load(&p->ticket);
		const uint32_t piece = (uint32_t)t;

		if (piece == CLOSED || piece >= atomic_load(&p->pieces))
			break;
		if (!atomic_compare_exchange_weak(&p->ticket, &t, t + 1))
			continue;
		run_piece(atomic_load(&p->job), piece);
		atomic_fetch_add(&p->done, 1);
		any = true;
	}
	inside = outer;
	return any;
}

static void sleep_until(struct moka_pool *p, uint64_t seen)
{
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->asleep, 1);
	while (atomic_load(&p->ticket) >> 32 == seen >> 32 && !atomic_load(&p->stop))
		pthread_cond_wait(&p->wake, &p->lock);
	atomic_fetch_sub(&p->asleep, 1);
	pthread_mutex_unlock(&p->lock);
}

static void *worker(void *arg)
{
	struct moka_pool *p = arg;
	int spins = 0;

	while (!atomic_load(&p->stop)) {
		const uint64_t seen = atomic_load(&p->ticket);

		if (work(p))
			spins = 0;
		else if (++spins < SPINS_BEFORE_SLEEP)
			relax();
		else
			sleep_until(p, seen), spins = 0;
	}
	return NULL;
}

static void wake_all(struct moka_pool *p)
{
	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

static void start_workers(struct moka_pool *p)
{
	const int wanted = p->threads;

	p->threads = 1;
	p->workers = calloc((size_t)wanted, sizeof(*p->workers));
	while (p->workers && p->threads < wanted && !pthread_create(&p->workers[p->threads - 1], NULL, worker, p))
		p->threads++;
}

struct moka_pool *moka_pool_new(int threads)
{
	struct moka_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->threads = threads > 0 ? MOKA_MIN(threads, MOST_THREADS) : moka_cpu_threads();
	atomic_init(&p->ticket, CLOSED);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	if (p->threads > 1)
		start_workers(p);
	return p;
}

void moka_pool_free(struct moka_pool *p)
{
	if (!p)
		return;
	atomic_store(&p->stop, true);
	wake_all(p);
	for (int i = 0; i + 1 < p->threads; i++)
		pthread_join(p->workers[i], NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->workers);
	free(p);
}

int moka_pool_threads(const struct moka_pool *p)
{
	return p ? p->threads : 1;
}

/* Hands the job's pieces to whoever is awake, and takes pieces itself until all are done. */
static void share(struct moka_pool *p, struct job *j, uint32_t pieces)
{
	const uint64_t number = (atomic_load(&p->ticket) >> 32) + 1;

	atomic_store(&p->ticket, number << 32 | CLOSED); /* nobody takes a piece while the job changes */
	atomic_store(&p->job, j);
	atomic_store(&p->done, 0);
	atomic_store(&p->pieces, pieces);
	atomic_store(&p->ticket, number << 32);
	if (atomic_load(&p->asleep))
		wake_all(p);
	work(p);
	for (int spins = 0; atomic_load(&p->done) < pieces; spins++)
		if (spins < SPINS_BEFORE_YIELD)
			relax();
		else
			sched_yield();
}

void moka_parallel(struct moka_pool *p, void (*fn)(void *arg, int64_t begin, int64_t end), void *arg, int64_t n,
		   int64_t tile)
{
	struct job j = { fn, arg, n, MOKA_MAX(tile, 1) };
	const int64_t pieces = n > 0 ? (n - 1) / j.tile + 1 : 0;
	bool free_pool = false;

	if (p && p->threads > 1 && pieces > 1 && pieces < CLOSED && !inside &&
	    atomic_compare_exchange_strong(&p->busy, &free_pool, true)) {
		share(p, &j, (uint32_t)pieces);
		atomic_store(&p->busy, false);
		return;
	}
	for (int64_t i = 0; i < pieces; i++)
		run_piece(&j, i);
}
