/*
 * cpu.c - what this machine can do, what time it is, how much memory was used.
 */
#include "base.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

static enum moka_isa machine_isa(void)
{
#if defined(__x86_64__)
	/* the builtin also asks whether the system saves the wide registers */
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return MOKA_ISA_REF;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
		return MOKA_ISA_AVX512;
	return MOKA_ISA_AVX2;
#elif defined(__aarch64__)
	return MOKA_ISA_NEON;
#else
	return MOKA_ISA_REF;
#endif
}

enum moka_isa moka_cpu_isa(void)
{
	const enum moka_isa have = machine_isa();
	const char *want = getenv("MOKA_ISA");

	if (!want)
		return have;
	if (!strcasecmp(want, "ref"))
		return MOKA_ISA_REF;
	if (have == MOKA_ISA_AVX512 && !strcasecmp(want, "avx2"))
		return MOKA_ISA_AVX2;
	return have; /* what was asked for, or what this machine hasn't got, or no set's name */
}

double moka_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int64_t moka_peak_rss_bytes(void)
{
	struct rusage u;

	return getrusage(RUSAGE_SELF, &u) ? 0 : (int64_t)u.ru_maxrss * 1024;
}
