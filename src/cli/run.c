/*
 * moka run - forward, and backward where asked: files in, a table or files out.
 *
 * The names of the files it writes are fixed (scripts and the conformance check read them): DIR/<blob>.npy,
 * DIR/<blob>.diff.npy, DIR/<layer>.<i>.diff.npy, '/' in a name as '_'.
 */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct run {
	struct cli_call *c;
	struct cli_net n;
	struct cli_feeds feeds;
	struct cli_preparation preparation;
	struct cli_labels labels;
	struct moka_exec *e;
	bool backward, all;
	bool still;	     /* the backward pass had nothing to start from: gradients are 0 */
	const char **chosen; /* --blobs NAME,...; NULL: outputs, or all */
	int n_chosen;
	int *blobs, n_blobs; /* what is shown or written */
};

/* ---- which blobs ---------------------------------------------------------------------------------- */

static void read_choice(struct run *r)
{
	r->chosen = cli_list(r->c, "blobs", &r->n_chosen);
	if (!r->n_chosen)
		r->chosen = NULL;
	else if (r->n_chosen == 1 && !strcmp(r->chosen[0], "outputs"))
		r->chosen = NULL;
	else if (r->n_chosen == 1 && !strcmp(r->chosen[0], "all"))
		r->all = true;
}

/* A blob that an in-place layer split into versions goes by its name: the last one is meant. */
static bool is_last_version(const struct moka_net *n, int blob)
{
	return moka_net_blob(n, n->blobs[blob].name) == blob;
}

static int choose_blobs(struct run *r)
{
	const struct moka_net *n = r->n.net;
	const char *near;

	r->blobs = MOKA_NEWN(&r->c->arena, n->n_blobs + r->n_chosen + 1, int);
	if (!r->blobs)
		return cli_fail(r->c, NULL, "no memory");
	for (int i = 0; r->all && i < n->n_blobs; i++)
		if (is_last_version(n, i))
			r->blobs[r->n_blobs++] = i;
	for (int i = 0; !r->chosen && i < n->n_outputs; i++)
		r->blobs[r->n_blobs++] = n->outputs[i];
	for (int i = 0; r->chosen && !r->all && i < r->n_chosen; i++) {
		int blob = moka_net_blob(n, r->chosen[i]);
		if (blob >= 0) {
			r->blobs[r->n_blobs++] = blob;
			continue;
		}
		near = moka_net_nearest_blob(n, r->chosen[i]);
		return near ? cli_usage(r->c, "--blobs: the net has no blob '%s'; did you mean '%s'?", r->chosen[i],
					near)
			    : cli_usage(r->c, "--blobs: the net has no blob '%s'", r->chosen[i]);
	}
	return CLI_OK;
}

/* The shape as it came out: a Filter's items are as many as the data let through. */
static struct moka_shape shape_now(const struct run *r, int blob)
{
	struct moka_shape s = r->n.net->blobs[blob].shape;
	int64_t items = moka_exec_items(r->e, blob);

	if (items >= 0 && s.n > 0)
		s.d[0] = items;
	return s;
}

/* ---- the table ------------------------------------------------------------------------------------ */

#define TABLE_ROWS 10 /* of a batch, before "and N more" */
#define TOP 5

static void print_row(const struct run *r, const real *x, int64_t classes)
{
	int64_t best[TOP];
	int n = 0;

	for (int64_t i = 0; i < classes; i++) {
		int at = n;
		while (at > 0 && x[i] > x[best[at - 1]])
			at--;
		if (at >= TOP)
			continue;
		for (int k = MOKA_MIN(n, TOP - 1); k > at; k--)
			best[k] = best[k - 1];
		best[at] = i;
		n = MOKA_MIN(n + 1, TOP);
	}
	for (int i = 0; i < n; i++) {
		const char *label = cli_label(&r->labels, best[i]);
		printf("%s%lld%s%s: %.4g", i ? ", " : "", (long long)best[i], *label ? " " : "", label,
		       (double)x[best[i]]);
	}
	putchar('\n');
}

/* A vector for each item of the batch: all axes behind the first are 1 but one. */
static int64_t vector_length(const struct moka_shape *s)
{
	int64_t n = s->n > 1 ? moka_shape_count_range(s, 1, s->n) : 0;

	for (int i = 1; i < s->n; i++)
		if (s->d[i] == n)
			return n > 1 ? n : 0;
	return 0;
}

static void print_top(const struct run *r, const struct moka_shape *s, const real *x)
{
	int64_t classes = vector_length(s);

	if (!classes)
		return;
	for (int64_t i = 0; i < s->d[0] && i < TABLE_ROWS; i++) {
		if (s->d[0] > 1)
			printf("    %lld: ", (long long)i);
		else
			fputs("    top: ", stdout);
		print_row(r, x + i * classes, classes);
	}
	if (s->d[0] > TABLE_ROWS)
		printf("    and %lld more\n", (long long)(s->d[0] - TABLE_ROWS));
}

static void print_blob(const struct run *r, int blob, int name_width, int shape_width)
{
	struct moka_shape s = shape_now(r, blob);
	int64_t n = moka_shape_count(&s);
	const real *x = moka_exec_data(r->e, blob);
	char text[MOKA_SHAPE_TEXT];
	double min = INFINITY, max = -INFINITY, sum = 0;
	bool nan = false;

	for (int64_t i = 0; i < n; i++) {
		double v = (double)x[i];
		nan |= isnan(v);
		min = v < min ? v : min;
		max = v > max ? v : max;
		sum += v;
	}
	printf("%-*s  %-*s", name_width, r->n.net->blobs[blob].name, shape_width,
	       moka_shape_text(&s, text, sizeof(text)));
	if (n)
		printf("  %12.6g  %12.6g  %12.6g%s\n", min, max, sum / (double)n, nan ? "  has NaN" : "");
	else
		puts("  empty");
	if (n)
		print_top(r, &s, x);
}

static int print_table(const struct run *r, real loss)
{
	int name_width = 4, shape_width = 5;
	char text[MOKA_SHAPE_TEXT];

	for (int i = 0; i < r->n_blobs; i++) {
		struct moka_shape s = shape_now(r, r->blobs[i]);
		name_width = MOKA_MAX(name_width, (int)strlen(r->n.net->blobs[r->blobs[i]].name));
		shape_width = MOKA_MAX(shape_width, (int)strlen(moka_shape_text(&s, text, sizeof(text))));
	}
	printf("%-*s  %-*s  %12s  %12s  %12s\n", name_width, "blob", shape_width, "shape", "min", "max", "mean");
	for (int i = 0; i < r->n_blobs; i++)
		print_blob(r, r->blobs[i], name_width, shape_width);
	if (loss != 0)
		printf("loss %.6g\n", (double)loss);
	return cli_flush(r->c);
}

/* ---- the files -------------------------------------------------------------------------------------- */

/* DIR and the folders above it. */
static int make_folder(struct cli_call *c, const char *path)
{
	char *p = moka_arena_strdup(&c->arena, path);

	for (char *slash = p ? strchr(p + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(p, 0777); /* that it isn't there is seen below */
		*slash = '/';
	}
	if (mkdir(path, 0777) && errno != EEXIST)
		return cli_fail(c, NULL, "the folder '%s' can't be made: %s", path, strerror(errno));
	return CLI_OK;
}

/* "DIR/<name><tail>" with '/' in the name as '_'. */
static const char *file_name(struct run *r, const char *name, const char *tail)
{
	char *safe = moka_arena_strdup(&r->c->arena, name);

	for (char *p = safe; p && *p; p++)
		if (*p == '/')
			*p = '_';
	return safe ? moka_arena_printf(&r->c->arena, "%s/%s%s", cli_get(r->c, "output"), safe, tail) : NULL;
}

static int write_array(struct run *r, const char *path, const struct moka_shape *s, const real *x)
{
	struct moka_error err = { 0 };

	if (!path)
		return cli_fail(r->c, NULL, "no memory");
	return moka_npy_write(path, s->n, s->d, x, &err) ? cli_fail_error(r->c, &err) : CLI_OK;
}

static int write_blobs(struct run *r)
{
	int status = CLI_OK;

	for (int i = 0; !status && i < r->n_blobs; i++) {
		const char *name = r->n.net->blobs[r->blobs[i]].name;
		struct moka_shape s = shape_now(r, r->blobs[i]);
		const real *data = moka_exec_data(r->e, r->blobs[i]), *diff = moka_exec_diff(r->e, r->blobs[i]);
		if (data)
			status = write_array(r, file_name(r, name, ".npy"), &s, data);
		if (!status && r->backward && diff && !r->still)
			status = write_array(r, file_name(r, name, ".diff.npy"), &s, diff);
	}
	return status;
}

/* A parameter that learns nothing (lr_mult: 0) has a gradient of zeros, as in Caffe. */
static int write_param_diff(struct run *r, const char *path, const struct moka_param *p, const real *diff)
{
	real *zeros = NULL;
	int status;

	if (!diff || r->still)
		diff = zeros = calloc((size_t)MOKA_MAX(p->count, 1), sizeof(*zeros));
	status = diff ? write_array(r, path, &p->shape, diff) : cli_fail(r->c, NULL, "no memory");
	free(zeros);
	return status;
}

/* Every layer's own parameters; a parameter whose uses are updated apart has a gradient for each. */
static int write_param_diffs(struct run *r)
{
	const struct moka_net *n = r->n.net;
	char tail[32];
	int status = CLI_OK;

	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *l = &n->layers[i];
		for (int k = 0; k < l->l.n_param && !status; k++) {
			const struct moka_param *p = &n->params[l->params[k]];
			const real *diff =
				moka_exec_param_diff(r->e, l->params[k], p->per_use_update ? l->param_uses[k] : 0);
			snprintf(tail, sizeof(tail), ".%d.diff.npy", k);
			status = write_param_diff(r, file_name(r, l->l.name, tail), p, diff);
		}
	}
	return status;
}

static int write_files(struct run *r)
{
	int status = make_folder(r->c, cli_get(r->c, "output"));

	if (!status)
		status = write_blobs(r);
	if (!status && r->backward)
		status = write_param_diffs(r);
	return status;
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* The gradient's values for the whole blob: where the data decide how many items there are, the rest is 0. */
static real *whole_gradient(struct run *r, const struct moka_array *a, int64_t count)
{
	real *x = MOKA_NEWN(&r->c->arena, count + 1, real);

	if (x && a->count)
		memcpy(x, a->data, (size_t)a->count * sizeof(*x));
	return x;
}

static int put_gradient(struct run *r, const char *blob_name, const char *path)
{
	int blob = moka_net_blob(r->n.net, blob_name);
	struct moka_shape s = shape_now(r, blob);
	struct moka_array a = { 0 };
	struct moka_error err = { 0 };
	char shape[MOKA_SHAPE_TEXT], given[MOKA_SHAPE_TEXT];
	int status = CLI_OK;
	real *x;

	if (moka_npy_read(&a, path, &err))
		return cli_fail_error(r->c, &err);
	if (a.count != moka_shape_count(&s)) {
		status = cli_fail(r->c, NULL, "the gradient '%s' has shape %s and blob '%s' has %s", path,
				  moka_dims_text(a.n_axes, a.dim, given, sizeof(given)), blob_name,
				  moka_shape_text(&s, shape, sizeof(shape)));
	} else {
		x = whole_gradient(r, &a, moka_shape_count(&r->n.net->blobs[blob].shape));
		if (!x)
			status = cli_fail(r->c, NULL, "no memory for the gradient of '%s'", blob_name);
		else if (moka_exec_set_diff(r->e, blob, x, &err))
			status = cli_fail_error(r->c, &err);
	}
	moka_array_release(&a);
	return status;
}

/* Caffe goes back only through layers below a loss; force_backward goes through all of them. */
static bool nothing_flows(const struct moka_net *n)
{
	for (int i = 0; i < n->n_layers; i++)
		for (int k = 0; k < n->layers[i].l.n_top; k++)
			if (n->layers[i].loss_weight[k] != 0)
				return false;
	return !n->force_backward;
}

static int run_backward(struct run *r)
{
	struct moka_error err = { 0 };
	const char *name, *path;

	if (nothing_flows(r->n.net)) {
		r->still = true;
		cli_warn(
			r->c,
			"the net has no loss and does not say 'force_backward: true': as in Caffe no gradient flows, all are 0");
		return CLI_OK;
	}
	for (int i = 0; i < cli_count(r->c, "gradient"); i++) {
		if (!cli_pair(r->c, "gradient", cli_nth(r->c, "gradient", i), &name, &path))
			return CLI_USAGE;
		int status = put_gradient(r, name, path);
		if (status)
			return status;
	}
	return moka_exec_backward(r->e, r->n.net->n_layers, 0, &err) ? cli_fail_error(r->c, &err) : CLI_OK;
}

/* ---- the command ----------------------------------------------------------------------------------------- */

static int read_feeds(struct run *r)
{
	const char *blob, *path;

	for (int i = 0; i < cli_count(r->c, "in"); i++) {
		if (!cli_pair(r->c, "in", cli_nth(r->c, "in", i), &blob, &path))
			return CLI_USAGE;
		int status = cli_feed_add(r->c, &r->feeds, blob, path);
		if (status)
			return status;
	}
	return CLI_OK;
}

/* The tops that -g names: the net must know them before it is built. */
static int read_gradient_tops(struct run *r, struct moka_net_options *o)
{
	int n = cli_count(r->c, "gradient");
	const char **tops = MOKA_NEWN(&r->c->arena, n + 1, const char *), *path;

	if (!tops)
		return cli_fail(r->c, NULL, "no memory");
	if (n && !r->backward)
		return cli_usage(r->c, "-g gives a gradient to the backward pass: add --backward");
	for (int i = 0; i < n; i++)
		if (!cli_pair(r->c, "gradient", cli_nth(r->c, "gradient", i), &tops[i], &path))
			return CLI_USAGE;
	o->backward = r->backward;
	o->gradient_tops = tops;
	o->n_gradient_tops = n;
	return CLI_OK;
}

static int execute(struct run *r)
{
	struct moka_exec_options eo = {
		.keep = r->chosen || r->backward ? MOKA_KEEP_ALL : MOKA_KEEP_OUTPUTS,
		.backward = r->backward,
		.pool = r->n.pool,
		.seed = 1,
	};
	struct moka_error err = { 0 };
	real loss = 0;
	int status;

	if (moka_exec_new(&r->e, r->n.net, &eo, &err))
		return cli_fail_error(r->c, &err);
	status = cli_feed_net(r->c, &r->feeds, &r->preparation, r->n.net, r->e);
	if (!status && moka_exec_forward(r->e, 0, r->n.net->n_layers, &loss, &err))
		status = cli_fail_error(r->c, &err);
	if (!status && r->backward)
		status = run_backward(r);
	if (status)
		return status;
	return cli_has(r->c, "output") ? write_files(r) : print_table(r, loss);
}

static int run_all(struct run *r)
{
	struct moka_net_options o = { 0 };
	int status;

	r->backward = cli_switch(r->c, "backward", false);
	read_choice(r);
	if (!cli_net_options(r->c, MOKA_TEST, &o) || !cli_open_pool(r->c, &r->n))
		return CLI_USAGE;
	status = read_feeds(r);
	if (!status)
		status = read_gradient_tops(r, &o);
	if (!status)
		status = cli_read_preparation(r->c, &r->preparation);
	if (!status)
		status = cli_read_labels(r->c, &r->labels);
	if (!status)
		status = cli_prepare_net(r->c, r->c->words[0], &o, &r->feeds, &r->n);
	if (!status)
		status = choose_blobs(r);
	return status ? status : execute(r);
}

static int run_run(struct cli_call *c)
{
	struct run r = { .c = c };
	int status = run_all(&r);

	moka_exec_free(r.e);
	cli_feeds_release(&r.feeds);
	cli_preparation_release(&r.preparation);
	cli_close(&r.n);
	return status;
}

static const struct cli_option run_options[] = {
	{ "weights", 'w', "FILE", "weights (.caffemodel, .caffemodel.h5); repeat or separate by commas", CLI_REPEAT },
	{ "in", 'i', "BLOB=FILE", "values of an input: an array (.npy) or a picture (.jpg, .png); repeat for several",
	  CLI_REPEAT },
	{ "batch", 0, "N", "first dimension of every input that has no file of its own", 0 },
	CLI_OPTIONS_NET("which phase's net, and how its layers behave (default test)"),
	{ "blobs", 0, "WHICH", "blobs to show or write: outputs (the default), all, or names separated by commas",
	  CLI_REPEAT },
	{ "backward", 0, NULL, "run the backward pass too", 0 },
	{ "gradient", 'g', "BLOB=FILE", "gradient (.npy) to put on a top before the backward pass; repeat for several",
	  CLI_REPEAT },
	CLI_OPTIONS_PICTURES,
	CLI_OPTION_LABELS,
	CLI_OPTION_THREADS,
	{ "output", 'o', "DIR", "write the blobs into DIR as .npy files instead of printing a table", 0 },
	{ "strict", 0, NULL, "unknown fields are errors", 0 },
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_run = {
	.name = "run",
	.summary = "run a net forward, and backward where asked",
	.usage = "MODEL [-w WEIGHTS]... [-i BLOB=FILE]... [options]",
	.about =
		"Every input of the net needs a file. An array of another shape than the net's reshapes the input. A picture is resized\n"
		"to the input's height and width; its values are B, G, R from 0 to 255, less --mean, times --scale; several pictures\n"
		"for one input make a batch.\n"
		"\n"
		"Without -o it prints each output's shape, smallest, largest and mean value, and the five largest of a vector. With -o it writes\n"
		"DIR/<blob>.npy; with --backward also DIR/<blob>.diff.npy and, for parameter i of a layer, DIR/<layer>.<i>.diff.npy.\n"
		"'/' in a name is written as '_'.",
	.examples =
		"moka run deploy.prototxt -w trained.caffemodel -i data=cat.jpg --mean 104,117,123 --labels words.txt\n"
		"moka run deploy.prototxt -w trained.caffemodel -i data=batch.npy --blobs all -o out\n"
		"moka run net.prototxt -i x=x.npy --backward -g y=dy.npy -o out\n",
	.options = run_options,
	.min_words = 1,
	.max_words = 1,
	.run = run_run,
};
