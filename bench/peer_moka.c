/*
 * peer_moka.c - Moka as the benchmark's contestant, through its public interface. WEIGHTS "train": MODEL is a solver, and a pass is
 * one step of it: forward, backward, update.
 */
#include "peer.h"

#include <moka/moka.h>

struct engine {
	struct moka_net_handle *net;
	struct peer_call call;
};

static void pass(void *arg)
{
	struct engine *e = arg;
	struct moka_error err;

	if (moka_forward(e->net, &err))
		peer_fail(err.message);
}

static void put(void *arg, FILE *f)
{
	struct engine *e = arg;

	for (int i = 0; i < e->call.n_outputs; i++) {
		int64_t dim[32], count = 1;
		int n = moka_shape(e->net, e->call.outputs[i], dim);
		const float *y = moka_data(e->net, e->call.outputs[i]);

		if (n < 0 || !y)
			peer_fail("no such output");
		for (int k = 0; k < n; k++)
			count *= dim[k];
		fwrite(y, sizeof(*y), (size_t)count, f);
	}
}

/* ---- training: the solver's loop calls back after each step, and the commands are read there ----------------- */

struct steps {
	double load, last;
	long left;
	double loss;
};

/* The next command; 1: no more. */
static int next_command(struct steps *s)
{
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "run ", 4)) {
			s->left = atol(line + 4);
			return 0;
		}
		if (!strncmp(line, "rss", 3))
			printf("%lld\n", peer_memory());
		else
			printf("%.9g\n", s->loss);
		fflush(stdout);
	}
	return 1;
}

static int on_iteration(void *arg, int64_t iter, double loss, double rate)
{
	struct steps *s = arg;
	int over = 0;

	(void)iter;
	(void)rate;
	if (s->load > 0) { /* the first step warms up */
		printf("load %.3f\n", peer_ms() - s->load);
		s->loss = loss;
		s->load = 0;
		s->left = 1;
	} else {
		printf("%.6f ", peer_ms() - s->last);
	}
	if (!--s->left) {
		if (s->last)
			printf("\n");
		fflush(stdout);
		over = next_command(s);
	}
	s->last = peer_ms();
	return over;
}

static int train(const struct peer_call *c)
{
	struct steps s = { .load = peer_ms() };
	const char *const weights[] = { c->input, NULL };
	struct moka_train_options o = {
		.weights = weights, .threads = c->threads, .on_iteration = on_iteration, .arg = &s
	};
	struct moka_error err;

	if (moka_train(c->model, &o, &err) == MOKA_OK)
		return 0;
	fprintf(stderr, "%s\n", err.message);
	return 1;
}

int main(int argc, char **argv)
{
	struct engine e = { 0 };
	struct moka_error err = { 0 };
	double start = peer_ms();

	if (argc == 5 && !strcmp(argv[2], "train")) /* SOLVER train THREADS WEIGHTS */
		return train(&(struct peer_call){ .model = argv[1], .threads = atoi(argv[3]), .input = argv[4] });
	peer_read(&e.call, argc, argv);
	start = peer_ms();
	const char *const weights[] = { e.call.weights, NULL };
	const struct moka_open_options o = { .weights = weights, .threads = e.call.threads, .batch = e.call.dim[0] };
	if (moka_open(&e.net, e.call.model, &o, &err))
		peer_fail(err.message);
	memcpy(moka_data(e.net, e.call.input), e.call.x, (size_t)e.call.count * sizeof(float));
	pass(&e);
	printf("load %.3f\n", peer_ms() - start);
	fflush(stdout);
	peer_serve(&e, pass, put);
	moka_close(e.net);
	free(e.call.x);
	return 0;
}
