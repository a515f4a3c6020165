/*
 * moka time - how long a net takes: the whole pass, and step by step (inference by its plan) or layer by layer.
 *
 * The whole pass is measured as it runs for a user; the layers in passes of their own, so that looking at them does not
 * slow down what is reported. Inputs are random numbers (labels are zeros: class 0 exists in every net).
 */
#include "cli.h"
#include "explain/explain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LAYER_PASSES 10 /* at most: medians of layers settle soon */

struct timing {
	struct cli_call *c;
	struct cli_net n;
	struct moka_exec *e;
	bool backward;
	int64_t iterations, passes;
	double *forward, *backward_times;	/* of whole passes, in ms */
	double *layer_forward, *layer_backward; /* (layers, passes) */
	bool by_layer;				/* --plan off */
	const struct moka_plan *plan;		/* NULL: layer by layer */
	double *step_forward;			/* (steps, passes) */
	double ready;				/* ms that making the execution took: planning, packing weights */
};

/* ---- inputs ----------------------------------------------------------------------------------- */

/* Something that takes no gradient from it reads it: a label. */
static bool is_label(const struct moka_net *n, int blob)
{
	const struct moka_blob *b = &n->blobs[blob];

	for (int i = 0; i < b->n_consumers; i++) {
		const struct moka_net_layer *l = &n->layers[b->consumers[i]];
		for (int k = 0; l->l.type && k < l->l.n_bottom && k < 32; k++)
			if (l->bottoms[k] == blob && (l->l.type->no_gradient & 1u << k))
				return true;
	}
	return false;
}

static void fill_inputs(struct timing *t)
{
	const struct moka_net *n = t->n.net;
	struct moka_rng rng;

	moka_rng_seed(&rng, 1, 0);
	for (int i = 0; i < n->n_inputs; i++) {
		real *x = moka_exec_data(t->e, n->inputs[i]);
		int64_t count = moka_shape_count(&n->blobs[n->inputs[i]].shape);
		bool label = is_label(n, n->inputs[i]);
		for (int64_t k = 0; x && k < count; k++)
			x[k] = label ? 0 : (real)(2 * moka_rng_uniform(&rng) - 1);
	}
}

/* The first dimension of the first blob that comes from outside. */
static int64_t batch_of(const struct moka_net *n)
{
	const struct moka_shape *s = NULL;

	if (n->n_inputs)
		s = &n->blobs[n->inputs[0]].shape;
	for (int i = 0; !s && i < n->n_layers; i++)
		if (n->layers[i].l.type && (n->layers[i].l.type->flags & MOKA_DATA) && n->layers[i].l.n_top)
			s = &n->blobs[n->layers[i].tops[0]].shape;
	return s && s->n > 0 ? s->d[0] : 1;
}

/* ---- measuring -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *x, int64_t n)
{
	qsort(x, (size_t)n, sizeof(*x), compare);
	return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static enum moka_status one_pass(struct timing *t, double *forward, double *backward, struct moka_error *err)
{
	double start = moka_now(), middle;

	MOKA_TRY(moka_exec_forward(t->e, 0, t->n.net->n_layers, NULL, err));
	middle = moka_now();
	*forward = (middle - start) * 1e3;
	if (!t->backward)
		return MOKA_OK;
	MOKA_TRY(moka_exec_backward(t->e, t->n.net->n_layers, 0, err));
	*backward = (moka_now() - middle) * 1e3;
	return MOKA_OK;
}

static enum moka_status step_pass(struct timing *t, int64_t pass, struct moka_error *err)
{
	for (int i = 0; i < moka_plan_steps(t->plan); i++) {
		double start = moka_now();
		MOKA_TRY(moka_exec_step_forward(t->e, i, err));
		t->step_forward[i * t->passes + pass] = (moka_now() - start) * 1e3;
	}
	return MOKA_OK;
}

static enum moka_status layer_pass(struct timing *t, int64_t pass, struct moka_error *err)
{
	int n = t->n.net->n_layers;

	if (t->plan)
		return step_pass(t, pass, err);

	for (int i = 0; i < n; i++) {
		double start = moka_now();
		MOKA_TRY(moka_exec_layer_forward(t->e, i, err));
		t->layer_forward[i * t->passes + pass] = (moka_now() - start) * 1e3;
	}
	for (int i = n - 1; t->backward && i >= 0; i--) {
		double start = moka_now();
		if (t->n.net->layers[i].need_backward)
			MOKA_TRY(moka_exec_layer_backward(t->e, i, err));
		t->layer_backward[i * t->passes + pass] = (moka_now() - start) * 1e3;
	}
	return MOKA_OK;
}

static enum moka_status measure(struct timing *t, struct moka_error *err)
{
	double unused, unused_too;

	MOKA_TRY(one_pass(t, &unused, &unused_too, err)); /* warms caches, packs weights, touches memory */
	for (int64_t i = 0; i < t->iterations; i++) {
		MOKA_TRY(one_pass(t, &t->forward[i], &t->backward_times[i], err));
		if (cli_progress())
			fprintf(stderr, "\riteration %" PRId64 " of %" PRId64 "%s", i + 1, t->iterations,
				i + 1 == t->iterations ? "\r\033[K" : "");
	}
	for (int64_t pass = 0; pass < t->passes; pass++)
		MOKA_TRY(layer_pass(t, pass, err));
	return MOKA_OK;
}

/* ---- reporting -------------------------------------------------------------------------------- */

static void print_layers(struct timing *t)
{
	const struct moka_net *n = t->n.net;
	int name_width = 5, type_width = 4;

	for (int i = 0; i < n->n_layers; i++) {
		name_width = MOKA_MAX(name_width, (int)strlen(n->layers[i].l.name));
		type_width = MOKA_MAX(type_width, (int)strlen(n->layers[i].type_name));
	}
	printf("%-*s  %-*s  %10s  %11s  %14s  %8s\n", name_width, "layer", type_width, "type", "forward ms",
	       "backward ms", "MACs", "GMAC/s");
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *l = &n->layers[i];
		double forward = median(t->layer_forward + i * t->passes, t->passes);
		printf("%-*s  %-*s  %10.3f", name_width, l->l.name, type_width, l->type_name, forward);
		if (t->backward && l->need_backward)
			printf("  %11.3f", median(t->layer_backward + i * t->passes, t->passes));
		else
			printf("  %11s", "-");
		if (l->l.macs > 0)
			printf("  %14lld  %8.1f\n", (long long)l->l.macs,
			       (double)l->l.macs / MOKA_MAX(forward, 1e-6) / 1e6);
		else
			printf("  %14s  %8s\n", "-", "-");
	}
}

static void print_steps(struct timing *t)
{
	const int n = moka_plan_steps(t->plan);
	double sum = 0;
	int64_t before = 0; /* multiply-adds of a step that ran with the one in hand */

	for (int i = 0; i < n; i++)
		sum += median(t->step_forward + i * t->passes, t->passes);
	printf("%-44s  %-16s  %10s  %6s  %14s  %8s\n", "step", "algorithm", "forward ms", "share", "MACs", "GFLOP/s");
	for (int i = 0; i < n; i++) {
		const double ms = median(t->step_forward + i * t->passes, t->passes);
		struct moka_plan_step s;
		char name[45];

		moka_plan_step(t->plan, i, &s);
		moka_explain_step(t->n.net, &s, name, sizeof(name));
		if (s.with_next) {
			printf("%-44s  %-16s  %10s  %6s  %14lld  %8s\n", name, s.algorithm, "with next", "",
			       (long long)s.macs, "-");
			before = s.macs;
			continue;
		}
		printf("%-44s  %-16s  %10.3f  %5.1f%%", name, s.algorithm, ms, 100 * ms / MOKA_MAX(sum, 1e-9));
		if (s.macs > 0)
			printf("  %14lld  %8.1f\n", (long long)s.macs,
			       2 * (double)(before + s.macs) / MOKA_MAX(ms, 1e-6) / 1e6);
		else
			printf("  %14s  %8s\n", "-", "-");
		before = 0;
	}
}

static size_t packed_bytes(const struct timing *t)
{
	struct moka_plan_bytes bytes = { 0 };

	if (t->plan)
		moka_plan_memory(t->plan, &bytes);
	return bytes.packed;
}

static void print_text(struct timing *t)
{
	const struct moka_net *n = t->n.net;
	double forward = median(t->forward, t->iterations);

	if (t->plan)
		print_steps(t);
	else
		print_layers(t);
	printf("\nforward   %10.3f ms (median of %lld; %.1f items a second)\n", forward, (long long)t->iterations,
	       (double)batch_of(n) * 1e3 / MOKA_MAX(forward, 1e-6));
	if (t->backward)
		printf("backward  %10.3f ms\n", median(t->backward_times, t->iterations));
	if (t->plan)
		printf("ready     %10.3f ms (once: the plan, and %.1f MB of weights packed for it)\n", t->ready,
		       (double)packed_bytes(t) / 1e6);
	printf("batch %lld, %d thread%s, phase %s, %.1f MB at the peak\n", (long long)batch_of(n),
	       moka_pool_threads(t->n.pool), moka_pool_threads(t->n.pool) == 1 ? "" : "s",
	       n->phase == MOKA_TEST ? "test" : "train", (double)moka_peak_rss_bytes() / 1e6);
}

/* The time of a layer: of the step that it begins; none where it was joined to another's. */
static double layer_ms(struct timing *t, int layer)
{
	struct moka_plan_step s;

	if (!t->plan)
		return median(t->layer_forward + layer * t->passes, t->passes);
	for (int i = 0; i < moka_plan_steps(t->plan); i++) {
		moka_plan_step(t->plan, i, &s);
		if (s.n_layers && s.layers[0] == layer)
			return median(t->step_forward + i * t->passes, t->passes);
	}
	return 0;
}

static void put_steps(struct timing *t, struct moka_buf *b)
{
	moka_buf_puts(b, " \"steps\": [");
	for (int i = 0; i < moka_plan_steps(t->plan); i++) {
		struct moka_plan_step s;

		moka_plan_step(t->plan, i, &s);
		moka_buf_puts(b, i ? ",\n  {\"layers\": [" : "\n  {\"layers\": [");
		for (int k = 0; k < s.n_layers; k++) {
			moka_buf_puts(b, k ? ", " : "");
			moka_buf_json_string(b, t->n.net->layers[s.layers[k]].l.name);
		}
		moka_buf_puts(b, "], \"algorithm\": ");
		moka_buf_json_string(b, s.algorithm);
		moka_buf_printf(b, ", \"with_next\": %s, \"forward_ms\": %.6g, \"macs\": %lld}",
				s.with_next ? "true" : "false", median(t->step_forward + i * t->passes, t->passes),
				(long long)s.macs);
	}
	moka_buf_puts(b, "\n ],\n");
}

static int print_json(struct timing *t)
{
	const struct moka_net *n = t->n.net;
	struct moka_buf b;
	int status;

	moka_buf_init(&b, 0);
	moka_buf_printf(&b, "{\"forward_ms\": %.6g, \"backward_ms\": ", median(t->forward, t->iterations));
	if (t->backward)
		moka_buf_printf(&b, "%.6g", median(t->backward_times, t->iterations));
	else
		moka_buf_puts(&b, "null");
	moka_buf_printf(&b, ", \"iterations\": %lld, \"batch\": %lld, \"threads\": %d,\n \"layers\": [",
			(long long)t->iterations, (long long)batch_of(n), moka_pool_threads(t->n.pool));
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *l = &n->layers[i];
		moka_buf_puts(&b, i ? ",\n  {\"name\": " : "\n  {\"name\": ");
		moka_buf_json_string(&b, l->l.name);
		moka_buf_puts(&b, ", \"type\": ");
		moka_buf_json_string(&b, l->type_name);
		moka_buf_printf(&b, ", \"forward_ms\": %.6g, \"backward_ms\": ", layer_ms(t, i));
		if (t->backward && l->need_backward)
			moka_buf_printf(&b, "%.6g", median(t->layer_backward + i * t->passes, t->passes));
		else
			moka_buf_puts(&b, "null");
		moka_buf_printf(&b, ", \"macs\": %lld}", (long long)l->l.macs);
	}
	moka_buf_puts(&b, "\n ],\n");
	if (t->plan)
		put_steps(t, &b);
	if (t->plan)
		moka_buf_printf(&b, " \"ready_ms\": %.6g, \"packed_bytes\": %zu,\n", t->ready, packed_bytes(t));
	moka_buf_printf(&b, " \"peak_rss_bytes\": %lld}\n", (long long)moka_peak_rss_bytes());
	status = cli_output(t->c, NULL, &b);
	moka_buf_release(&b);
	return status;
}

/* ---- the command ------------------------------------------------------------------------------ */

static bool allocate(struct timing *t)
{
	int n = t->n.net->n_layers;

	t->passes = MOKA_MIN(t->iterations, LAYER_PASSES);
	t->forward = MOKA_NEWN(&t->c->arena, t->iterations, double);
	t->backward_times = MOKA_NEWN(&t->c->arena, t->iterations, double);
	t->layer_forward = MOKA_NEWN(&t->c->arena, n * t->passes + 1, double);
	t->layer_backward = MOKA_NEWN(&t->c->arena, n * t->passes + 1, double);
	return t->forward && t->backward_times && t->layer_forward && t->layer_backward;
}

static int time_net(struct timing *t, bool json)
{
	struct moka_exec_options eo = {
		.keep = t->backward ? MOKA_KEEP_ALL : MOKA_KEEP_OUTPUTS,
		.backward = t->backward,
		.by_layer = t->by_layer,
		.arrange = !t->by_layer,
		.pool = t->n.pool,
		.seed = 1,
	};
	struct moka_error err = { 0 };
	const double start = moka_now();

	if (!allocate(t))
		return cli_fail(t->c, NULL, "no memory for the times of %lld iterations", (long long)t->iterations);
	if (moka_exec_new(&t->e, t->n.net, &eo, &err))
		return cli_fail_error(t->c, &err);
	t->ready = (moka_now() - start) * 1e3;
	t->plan = moka_exec_plan(t->e);
	if (t->plan)
		t->step_forward = MOKA_NEWN(&t->c->arena, moka_plan_steps(t->plan) * t->passes + 1, double);
	if (t->plan && !t->step_forward)
		return cli_fail(t->c, NULL, "no memory for the times of the steps");
	fill_inputs(t);
	if (measure(t, &err))
		return cli_fail_error(t->c, &err);
	if (json)
		return print_json(t);
	print_text(t);
	return cli_flush(t->c);
}

static int time_run(struct cli_call *c)
{
	static const char *const formats[] = { "text", "json", NULL }, *const plans[] = { "on", "off", NULL };
	const char *path = cli_model_path(c);
	struct moka_net_options o = { 0 };
	struct timing t = { .c = c };
	int json, off, status;

	if (!path)
		return CLI_USAGE;
	t.backward = !cli_switch(c, "forward-only", false);
	if (!cli_net_options(c, t.backward ? MOKA_TRAIN : MOKA_TEST, &o) ||
	    !cli_int(c, "iterations", 1, 1000000, 50, &t.iterations) || !cli_choice(c, "format", formats, 0, &json) ||
	    !cli_choice(c, "plan", plans, 0, &off) || !cli_open_pool(c, &t.n))
		return CLI_USAGE;
	o.backward = t.backward;
	t.by_layer = off;
	status = cli_prepare_net(c, path, &o, NULL, &t.n);
	if (!status)
		status = time_net(&t, json);
	moka_exec_free(t.e);
	cli_close(&t.n);
	return status;
}

static const struct cli_option time_options[] = {
	{ "model", 0, "FILE", "the net, instead of the first word", 0 },
	{ "weights", 'w', "FILE", "weights (default: the net's fillers; the time is the same)", CLI_REPEAT },
	{ "iterations", 0, "N", "passes to take the median of (default 50)", 0 },
	{ "batch", 0, "N", "first dimension of every input", 0 },
	{ "forward-only", 0, NULL, "no backward pass; what only training needs is left out", 0 },
	{ "plan", 0, "on|off", "off: layer by layer, as --forward-only runs where a net can't be planned", 0 },
	CLI_OPTIONS_NET("which phase's net (default train, as in caffe; with --forward-only test)"),
	CLI_OPTION_THREADS,
	CLI_OPTION_FORMAT("text|json"),
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_time = {
	.name = "time",
	.summary = "how long a net takes, in whole, and step by step or layer by layer",
	.usage = "MODEL [options]\n--model MODEL [options]",
	.about = "Runs forward and backward on random inputs, after a pass to warm up, and prints medians; and, of an\n"
		 "inference, how long it took to plan it and to pack its weights.",
	.examples = "moka time deploy.prototxt --forward-only --threads 2\n"
		    "moka time --model train_val.prototxt --batch 64 --iterations 20 --format json\n",
	.options = time_options,
	.max_words = 1,
	.run = time_run,
};
