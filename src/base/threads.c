/*
 * threads.c - work cut into fixed pieces and run by a pool (pthreadpool).
 *
 * A pool of one thread has no pool behind it: the pieces run in the caller, in order, cut just the same.
 */
#include "base.h"

#include <pthreadpool.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MOST_THREADS 1024

/*
 * ThreadSanitizer does not see inside the system's pthreadpool; it is told what a pool promises: what was written
 * before the call is seen by the pieces, what the pieces wrote is seen after it.
 */
#if defined(__SANITIZE_THREAD__)
#define SANITIZE_THREAD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZE_THREAD 1
#endif
#endif
#ifdef SANITIZE_THREAD
void __tsan_acquire(void *p);
void __tsan_release(void *p);
#define HAPPENS_BEFORE(p) __tsan_release(p)
#define HAPPENS_AFTER(p) __tsan_acquire(p)
#else
#define HAPPENS_BEFORE(p) ((void)(p))
#define HAPPENS_AFTER(p) ((void)(p))
#endif

struct moka_pool {
	pthreadpool_t workers; /* NULL: one thread */
	int threads;
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

struct moka_pool *moka_pool_new(int threads)
{
	struct moka_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->threads = threads > 0 ? MOKA_MIN(threads, MOST_THREADS) : moka_cpu_threads();
	if (p->threads > 1)
		p->workers = pthreadpool_create((size_t)p->threads);
	if (!p->workers)
		p->threads = 1;
	return p;
}

void moka_pool_free(struct moka_pool *p)
{
	if (p && p->workers)
		pthreadpool_destroy(p->workers);
	free(p);
}

int moka_pool_threads(const struct moka_pool *p)
{
	return p ? p->threads : 1;
}

struct job {
	void (*fn)(void *arg, int64_t begin, int64_t end);
	void *arg;
	char start, end; /* only their addresses matter (HAPPENS_...) */
};

static void run_piece(void *context, size_t begin, size_t count)
{
	struct job *j = context;
	bool outer = inside;

	HAPPENS_AFTER(&j->start);
	inside = true;
	j->fn(j->arg, (int64_t)begin, (int64_t)(begin + count));
	inside = outer;
	HAPPENS_BEFORE(&j->end);
}

void moka_parallel(struct moka_pool *p, void (*fn)(void *arg, int64_t begin, int64_t end), void *arg, int64_t n,
		   int64_t tile)
{
	struct job j = { fn, arg, 0, 0 };

	if (tile < 1)
		tile = 1;
	if (p && p->workers && n > tile && !inside) {
		HAPPENS_BEFORE(&j.start);
		pthreadpool_parallelize_1d_tile_1d(p->workers, run_piece, &j, (size_t)n, (size_t)tile, 0);
		HAPPENS_AFTER(&j.end);
		return;
	}
	for (int64_t i = 0; i < n; i += MOKA_MIN(tile, n - i))
		fn(arg, i, i + MOKA_MIN(tile, n - i));
}
