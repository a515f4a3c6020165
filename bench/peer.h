/*
 * peer.h - what the benchmark's C programs share: one engine, one net, commands on standard input.
 *
 *     PROGRAM MODEL WEIGHTS THREADS INPUT SHAPE X.f32 OUTPUTS
 *
 * After loading it prints "load MS"; then it answers lines:
 *     run N      N passes: their milliseconds, on one line
 *     out FILE   writes the outputs of the last pass as float32, one behind another; "ok"
 *     rss        peak memory in bytes
 * It ends with its input. bench.py holds several such programs and lets them run in turns.
 */
#ifndef MOKA_BENCH_PEER_H
#define MOKA_BENCH_PEER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PEER_AXES 8
#define PEER_OUTPUTS 64

struct peer_call {
	const char *model, *weights, *input;
	int threads, axes, n_outputs;
	int64_t dim[PEER_AXES], count;
	float *x; /* count values */
	char *outputs[PEER_OUTPUTS];
};

static inline double peer_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static inline void peer_fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static inline void peer_read(struct peer_call *c, int argc, char **argv)
{
	FILE *f;

	if (argc != 8)
		peer_fail("usage: PROGRAM MODEL WEIGHTS THREADS INPUT SHAPE X.f32 OUTPUTS");
	memset(c, 0, sizeof(*c));
	c->model = argv[1];
	c->weights = argv[2];
	c->threads = atoi(argv[3]);
	c->input = argv[4];
	c->count = 1;
	for (char *p = strtok(argv[5], "x"); p && c->axes < PEER_AXES; p = strtok(NULL, "x"))
		c->count *= c->dim[c->axes++] = atoll(p);
	for (char *p = strtok(argv[7], ","); p && c->n_outputs < PEER_OUTPUTS; p = strtok(NULL, ","))
		c->outputs[c->n_outputs++] = p;
	c->x = malloc((size_t)c->count * sizeof(*c->x));
	f = fopen(argv[6], "rb");
	if (!c->x || !f || fread(c->x, sizeof(*c->x), (size_t)c->count, f) != (size_t)c->count)
		peer_fail("the input can't be read");
	fclose(f);
}

/* Peak resident bytes of this program alone; getrusage() would count what its parent had before it became this. */
static inline long long peer_memory(void)
{
	char line[256];
	long long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %lld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb * 1024;
}

/* Answers until the input ends. pass() runs once; put() writes the outputs. */
static inline void peer_serve(void *engine, void (*pass)(void *engine), void (*put)(void *engine, FILE *f))
{
	char line[4096];
	FILE *f;

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "run ", 4)) {
			for (int n = atoi(line + 4); n > 0; n--) {
				double start = peer_ms();
				pass(engine);
				printf("%.6f ", peer_ms() - start);
			}
			printf("\n");
		} else if (!strncmp(line, "out ", 4)) {
			f = fopen(line + 4, "wb");
			if (!f)
				peer_fail("the output can't be written");
			put(engine, f);
			printf(fclose(f) ? "failed\n" : "ok\n");
		} else if (!strcmp(line, "rss")) {
			printf("%lld\n", peer_memory());
		}
		fflush(stdout);
	}
}

#endif
