/*
 * threads.c - how many threads this process should compute with: what the scheduler and the control groups give it.
 */
#include "internal.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

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
	if (quota <= 0 || period <= 0 || quota / period >= MOKA__MOST_THREADS)
		return MOKA__MOST_THREADS;
	return (int)((quota + period - 1) / period);
}

/* The tightest quota of the group `path` and of those above it, under a mount of version 1 or 2. */
static int group_cpus(const char *mount, char *path, bool v2)
{
	int least = MOKA__MOST_THREADS;
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
	int least = MOKA__MOST_THREADS;

	while (f && fgets(line, sizeof(line), f)) {
		char *list = strchr(line, ':');
		char *path = list ? strchr(list + 1, ':') : NULL;
		int cpus = MOKA__MOST_THREADS;

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
