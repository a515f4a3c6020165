/*
 * moka test - a net with trained weights over its test data: every output, averaged over the iterations.
 *
 * Called as caffe it also logs, on standard error, what `caffe test` logged: each batch, the loss, the means.
 */
#include "cli/train.h"

#include <inttypes.h>
#include <stdlib.h>

struct output {
	const char *name;
	int64_t index;
	bool several;
	float loss_weight;
	double sum;
};

static struct output *list_outputs(struct cli_call *c, const struct moka_net *n, int *count)
{
	int total = 0, k = 0;

	for (int i = 0; i < n->n_outputs; i++)
		total += (int)moka_shape_count(&n->blobs[n->outputs[i]].shape);
	struct output *o = MOKA_NEWN(&c->arena, total + 1, struct output);
	for (int i = 0; o && i < n->n_outputs; i++) {
		const struct moka_blob *b = &n->blobs[n->outputs[i]];
		int64_t size = moka_shape_count(&b->shape);

		for (int64_t j = 0; j < size; j++)
			o[k++] = (struct output){ .name = b->name,
						  .index = j,
						  .several = size > 1,
						  .loss_weight =
							  b->producer >= 0
								  ? n->layers[b->producer].loss_weight[b->producer_top]
								  : 0 };
	}
	*count = total;
	return o;
}

static void print_outputs(const struct output *o, int count, int64_t iterations)
{
	for (int i = 0; i < count; i++) {
		double mean = o[i].sum / (double)iterations;

		if (o[i].several)
			printf("%s[%" PRId64 "] = %.6g", o[i].name, o[i].index, mean);
		else
			printf("%s = %.6g", o[i].name, mean);
		if (o[i].loss_weight != 0)
			printf(" (* %.6g = %.6g loss)", (double)o[i].loss_weight, mean * (double)o[i].loss_weight);
		putchar('\n');
	}
}

static void log_batch(const struct output *o, int count, const double *before, int64_t batch)
{
	for (int i = 0; i < count; i++)
		train_glog("caffe.cpp:313", "Batch %" PRId64 ", %s = %g", batch, o[i].name, o[i].sum - before[i]);
}

static void log_means(const struct output *o, int count, int64_t iterations, double loss)
{
	train_glog("caffe.cpp:318", "Loss: %g", loss / (double)iterations);
	for (int i = 0; i < count; i++) {
		double mean = o[i].sum / (double)iterations, weight = (double)o[i].loss_weight;

		if (weight != 0)
			train_glog("caffe.cpp:330", "%s = %g (* %g = %g loss)", o[i].name, mean, weight, weight * mean);
		else
			train_glog("caffe.cpp:330", "%s = %g", o[i].name, mean);
	}
}

static void add_outputs(const struct moka_net *n, struct moka_exec *e, struct output *o)
{
	int k = 0;

	for (int b = 0; b < n->n_outputs; b++) {
		const real *v = moka_exec_data(e, n->outputs[b]);
		int64_t size = moka_shape_count(&n->blobs[n->outputs[b]].shape);

		for (int64_t j = 0; j < size; j++)
			o[k++].sum += (double)v[j];
	}
}

static int measure(struct cli_call *c, struct cli_net *n, struct moka_exec *e, int64_t iterations)
{
	struct moka_error err = { 0 };
	int count;
	struct output *o = list_outputs(c, n->net, &count);
	double *before = o ? MOKA_NEWN(&c->arena, count + 1, double) : NULL, loss = 0;

	if (!before)
		return cli_fail(c, NULL, "no memory for %d outputs", count);
	if (c->as_caffe)
		train_glog("caffe.cpp:286", "Running for %" PRId64 " iterations.", iterations);
	for (int64_t i = 0; i < iterations; i++) {
		real one;

		if (moka_exec_forward(e, 0, n->net->n_layers, &one, &err))
			return cli_fail_error(c, &err);
		loss += (double)one;
		for (int k = 0; k < count; k++)
			before[k] = o[k].sum;
		add_outputs(n->net, e, o);
		if (c->as_caffe)
			log_batch(o, count, before, i);
		else if (cli_progress()) {
			fprintf(stderr, "\rbatch %" PRId64 " of %" PRId64, i + 1, iterations);
			if (i + 1 == iterations)
				fputs("\r\033[K", stderr);
		}
	}
	if (c->as_caffe)
		log_means(o, count, iterations, loss);
	print_outputs(o, count, iterations);
	return cli_flush(c);
}

static int test_net(struct cli_call *c, struct cli_net *n, int64_t iterations)
{
	struct moka_exec_options eo = { .keep = MOKA_KEEP_OUTPUTS };
	struct moka_exec *e;
	struct moka_error err = { 0 };

	if (!cli_open_pool(c, n))
		return CLI_USAGE;
	eo.pool = n->pool;
	if (moka_net_allocate(n->net, 1, &err))
		return cli_fail_error(c, &err);
	cli_lend_weights(n);
	if (!cli_load_weights(c, n, false) || !cli_report(c, &n->findings, MOKA_WARNING))
		return CLI_FAILED;
	if (moka_exec_new(&e, n->net, &eo, &err))
		return cli_fail_error(c, &err);
	int status = measure(c, n, e, iterations);
	cli_say_skipped(c, n->net);
	moka_exec_free(e);
	return status;
}

static int test_run(struct cli_call *c)
{
	const char *path = cli_model_path(c);
	struct moka_net_options o = { .for_run = true, .sources = moka_sources, .registry = &c->registry };
	struct cli_net n = { 0 };
	int64_t iterations, readers;
	int status = CLI_FAILED;

	if (!path || !cli_net_options(c, MOKA_TEST, &o) || !cli_int(c, "iterations", 1, INT32_MAX, 50, &iterations) ||
	    !cli_int(c, "skip-bad", 0, INT64_MAX, 0, &o.skip_bad) || !cli_int(c, "read-threads", 0, 64, 0, &readers))
		return CLI_USAGE;
	o.read_threads = (int)readers;
	if (cli_open_net(c, path, &o, &n) && !n.findings.errors)
		status = test_net(c, &n, iterations);
	else
		cli_report(c, &n.findings, MOKA_WARNING);
	cli_close(&n);
	return status;
}

static const struct cli_option test_options[] = {
	{ "model", 0, "FILE", "the net (.prototxt), with its test data", 0 },
	{ "weights", 'w', "FILES", "trained weights; several separated by commas", CLI_REPEAT | CLI_REQUIRED },
	{ "iterations", 0, "N", "batches to average over (default 50)", 0 },
	{ "skip-bad", 0, "N", "leave out up to N damaged records of each source (default 0: the first one is an error)",
	  0 },
	CLI_OPTIONS_NET("phase to build (default test)"),
	CLI_OPTION_THREADS,
	{ "read-threads", 0, "N", CLI_HELP_READ_THREADS, 0 },
	{ "gpu", 0, "ID", "taken for scripts written for caffe; Moka computes on the CPU", CLI_HIDDEN },
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_test = {
	.name = "test",
	.summary = "score a trained net on its test data",
	.usage = "--model FILE --weights W [--iterations N] [options]",
	.about = "Runs the net's test phase over N batches and prints the mean of every output.",
	.examples =
		"moka test --model lenet_train_test.prototxt --weights lenet_iter_10000.caffemodel --iterations 100\n",
	.options = test_options,
	.max_words = 1,
	.run = test_run,
};
