/*
 * moka classify - pictures through a net with one input: the likeliest classes of each, by name where there are labels.
 */
#include "cli.h"

#include <string.h>

struct classify {
	struct cli_call *c;
	struct cli_net n;
	struct cli_feeds feeds;
	struct cli_preparation preparation;
	struct cli_labels labels;
	struct moka_exec *e;
	int64_t top;
	int output; /* blob */
	bool oversample;
	int64_t height, width; /* that pictures are resized to before ten crops are taken */
	real *mean;	       /* of the crops' answers */
};

/* ---- the picture itself, small ---------------------------------------------------------------------- */

#define SHOW_WIDTH 28

/* The average colour (B, G, R) of cell (x, y) of a grid of SHOW_WIDTH x height cells over the picture. */
static void cell_colour(const struct moka_image *img, int64_t x, int64_t y, int64_t height, int out[3])
{
	int64_t x0 = x * img->width / SHOW_WIDTH, x1 = MOKA_MAX((x + 1) * img->width / SHOW_WIDTH, x0 + 1);
	int64_t y0 = y * img->height / height, y1 = MOKA_MAX((y + 1) * img->height / height, y0 + 1);
	int64_t sum[3] = { 0 };

	for (int64_t i = y0; i < y1; i++)
		for (int64_t j = x0; j < x1; j++)
			for (int k = 0; k < 3; k++)
				sum[k] += img->pixels[(i * img->width + j) * 3 + k];
	for (int k = 0; k < 3; k++)
		out[k] = (int)(sum[k] / ((x1 - x0) * (y1 - y0)));
}

/* Two rows of cells to a line: half blocks in colour on a terminal that has it, else shades. */
static int show_picture(struct cli_call *c, const char *path)
{
	static const char shades[] = " .:-=+*#%@";
	struct moka_image img = { 0 };
	struct moka_error err = { 0 };
	bool colour = cli_colour(stdout) && cli_utf8();
	int64_t height;

	if (moka_image_read(&img, path, MOKA_IMAGE_COLOUR, &err))
		return cli_fail_error(c, &err);
	height = MOKA_MIN(MOKA_MAX(img.height * SHOW_WIDTH / img.width, 2), 2 * SHOW_WIDTH) / 2 * 2;
	for (int64_t y = 0; y < height; y += 2) {
		for (int64_t x = 0; x < SHOW_WIDTH; x++) {
			int a[3], b[3];
			cell_colour(&img, x, y, height, a);
			cell_colour(&img, x, y + 1, height, b);
			if (colour)
				printf("\033[38;2;%d;%d;%d;48;2;%d;%d;%dm▀", a[2], a[1], a[0], b[2], b[1], b[0]);
			else
				putchar(shades[(a[0] + a[1] + a[2] + b[0] + b[1] + b[2]) / 6 * 9 / 255]);
		}
		puts(colour ? "\033[0m" : "");
	}
	moka_image_release(&img);
	return CLI_OK;
}

/* ---- the answer --------------------------------------------------------------------------------------- */

/* The answer: of ten crops, their average, as Caffe's classify.py takes it. */
static const real *answer(struct classify *k, int64_t *n)
{
	const real *x = moka_exec_data(k->e, k->output);
	const struct moka_shape *s = &k->n.net->blobs[k->output].shape;

	*n = moka_shape_count(s);
	if (!k->oversample || s->n < 1 || s->d[0] != 10)
		return x;
	*n /= 10;
	if (!k->mean)
		k->mean = MOKA_NEWN(&k->c->arena, *n + 1, real);
	for (int64_t i = 0; k->mean && i < *n; i++) {
		real sum = 0;

		for (int j = 0; j < 10; j++)
			sum += x[j * *n + i];
		k->mean[i] = sum / 10;
	}
	return k->mean ? k->mean : x;
}

static void print_classes(struct classify *k)
{
	int64_t n;
	const real *x = answer(k, &n);
	const int64_t shown = MOKA_MIN(k->top, n);
	bool *taken = MOKA_NEWN(&k->c->arena, n, bool);

	for (int64_t i = 0; taken && i < shown; i++) {
		int64_t best = -1;
		for (int64_t j = 0; j < n; j++)
			if (!taken[j] && (best < 0 || x[j] > x[best]))
				best = j;
		taken[best] = true;
		const char *label = cli_label(&k->labels, best);
		printf("  %8.4f  %lld%s%s\n", (double)x[best], (long long)best, *label ? "  " : "", label);
	}
}

static int classify_picture(struct classify *k, const char *path)
{
	struct moka_error err = { 0 };
	int status;

	if (k->oversample) {
		const int blob = cli_input_blob(k->n.net, k->feeds.items[0].blob);

		status = cli_feed_crops(k->c, &k->preparation, path, k->height, k->width, &k->n.net->blobs[blob].shape,
					moka_exec_data(k->e, blob));
	} else {
		k->feeds.items[0].paths[0] = path;
		status = cli_feed_net(k->c, &k->feeds, &k->preparation, k->n.net, k->e);
	}
	if (status)
		return status;
	if (moka_exec_forward(k->e, 0, k->n.net->n_layers, NULL, &err))
		return cli_fail_error(k->c, &err);
	printf("%s\n", path);
	if (cli_switch(k->c, "show", false))
		status = show_picture(k->c, path);
	print_classes(k);
	return status;
}

/* ---- the command -------------------------------------------------------------------------------------- */

/* --blob, else the last output: where a net ends in its probabilities, that is what they are. */
static int choose_output(struct classify *k)
{
	const char *name = cli_get(k->c, "blob"), *near;

	if (!name && !k->n.net->n_outputs)
		return cli_fail(k->c, NULL, "the net has no output");
	k->output = name ? moka_net_blob(k->n.net, name) : k->n.net->outputs[k->n.net->n_outputs - 1];
	if (k->output >= 0)
		return CLI_OK;
	near = moka_net_nearest_blob(k->n.net, name);
	return near ? cli_usage(k->c, "the net has no blob '%s'; did you mean '%s'?", name, near)
		    : cli_usage(k->c, "the net has no blob '%s'", name);
}

/* The name of the net's input is needed before the net is: look once. */
static int find_input(struct classify *k, struct moka_net_options o)
{
	struct cli_net look = { 0 };
	int status = CLI_OK;

	if (!cli_open_net(k->c, k->c->words[0], &o, &look)) {
		cli_report(k->c, &look.findings, MOKA_WARNING);
		status = CLI_FAILED;
	} else if (look.net->n_inputs != 1) {
		status = cli_fail(k->c, "'moka run' takes any number of inputs",
				  "the net has %d inputs; classify needs a net with one", look.net->n_inputs);
	} else {
		const char *name = moka_arena_strdup(&k->c->arena, look.net->blobs[look.net->inputs[0]].name);
		for (int i = 0; !status && i < (k->oversample ? 10 : 1); i++)
			status = cli_feed_add(k->c, &k->feeds, name, k->c->words[1]);
	}
	cli_close(&look);
	return status;
}

/* --images-dim, else a little more than the input: 256 for the usual 224 and 227, 8/7 of others. */
static int choose_size(struct classify *k)
{
	const int blob = cli_input_blob(k->n.net, k->feeds.items[0].blob);
	const struct moka_shape *s = &k->n.net->blobs[blob].shape;
	const char *text = cli_get(k->c, "images-dim");
	char rest;
	long long h, w;

	k->height = s->d[2] >= 200 && s->d[2] < 256 ? 256 : s->d[2] * 8 / 7;
	k->width = s->d[3] >= 200 && s->d[3] < 256 ? 256 : s->d[3] * 8 / 7;
	if (!text)
		return CLI_OK;
	if (sscanf(text, "%lld%*1[,x]%lld%c", &h, &w, &rest) != 2 || h < 1 || w < 1 || h > 65536 || w > 65536)
		return cli_usage(k->c, "--images-dim: '%s' is no height and width, as 256,256", text);
	if (h < s->d[2] || w < s->d[3])
		return cli_usage(k->c, "--images-dim %s is smaller than the net's input, which is %lld,%lld", text,
				 (long long)s->d[2], (long long)s->d[3]);
	k->height = h;
	k->width = w;
	return CLI_OK;
}

static int classify_all(struct classify *k)
{
	struct moka_exec_options eo = { .keep = cli_has(k->c, "blob") ? MOKA_KEEP_ALL : MOKA_KEEP_OUTPUTS,
					.pool = k->n.pool };
	struct moka_error err = { 0 };
	int status = choose_output(k);

	if (!status && k->oversample)
		status = choose_size(k);
	if (status)
		return status;
	if (moka_exec_new(&k->e, k->n.net, &eo, &err))
		return cli_fail_error(k->c, &err);
	for (int i = 1; !status && i < k->c->n_words; i++)
		status = classify_picture(k, k->c->words[i]);
	return status ? status : cli_flush(k->c);
}

static int prepare(struct classify *k)
{
	struct moka_net_options o = { 0 };
	int status;

	k->oversample = cli_switch(k->c, "oversample", false);
	if (!cli_net_options(k->c, MOKA_TEST, &o) || !cli_int(k->c, "top", 1, 1000000, 5, &k->top) ||
	    !cli_open_pool(k->c, &k->n))
		return CLI_USAGE;
	for (int i = 1; i < k->c->n_words; i++)
		if (cli_is_array(k->c->words[i]))
			return cli_usage(k->c, "'%s' is no picture; 'moka run' takes arrays", k->c->words[i]);
	status = cli_read_preparation(k->c, &k->preparation);
	if (!status)
		status = cli_read_labels(k->c, &k->labels);
	if (!status)
		status = find_input(k, o);
	if (!status)
		status = cli_prepare_net(k->c, k->c->words[0], &o, &k->feeds, &k->n);
	return status;
}

static int classify_run(struct cli_call *c)
{
	struct classify k = { .c = c };
	int status = prepare(&k);

	if (!status)
		status = classify_all(&k);
	moka_exec_free(k.e);
	cli_feeds_release(&k.feeds);
	cli_preparation_release(&k.preparation);
	cli_close(&k.n);
	return status;
}

static const struct cli_option classify_options[] = {
	{ "weights", 'w', "FILE", "weights (.caffemodel, .caffemodel.h5)", CLI_REPEAT },
	CLI_OPTIONS_PICTURES,
	CLI_OPTION_LABELS,
	{ "top", 0, "N", "how many classes to print (default 5)", 0 },
	{ "blob", 0, "NAME", "the blob that holds the answer (default: the net's last output)", 0 },
	{ "oversample", 0, NULL, "the average of ten crops: corners and centre, plain and mirrored", 0 },
	{ "images-dim", 0, "H,W", "what pictures are resized to before that (default: a little more than the input)",
	  0 },
	{ "show", 0, NULL, "print each picture, small", 0 },
	CLI_OPTION_THREADS,
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_classify = {
	.name = "classify",
	.summary = "the likeliest classes of pictures",
	.usage = "MODEL -w WEIGHTS PICTURE... [options]",
	.about =
		"Each picture is resized to the input's height and width; its values are B, G, R from 0 to 255 (or grey, where the input has\n"
		"one channel), less --mean, times --scale: give what the net was trained with.",
	.examples =
		"moka classify deploy.prototxt -w trained.caffemodel --mean 104,117,123 --labels words.txt cat.jpg\n"
		"moka classify lenet.prototxt -w lenet.caffemodel --scale 0.00390625 --show digit.png\n",
	.options = classify_options,
	.min_words = 2,
	.max_words = CLI_MAX_WORDS,
	.run = classify_run,
};
