/*
 * feed.c - files -> values of a net's inputs: arrays (.npy) as they are, pictures resized and brought to the
 * numbers a net was trained on, (value - mean) * scale, channels in the order B, G, R.
 *
 * Used by run and classify, which take the same --mean and --scale.
 */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- mean and scale ----------------------------------------------------------------------------- */

/* "104,117,123" or "127.5": numbers and commas only. Returns how many, 0: it is no list of numbers (a file, then). */
static int parse_numbers(const char *text, real *out, int most)
{
	int n = 0;

	while (*text) {
		char *end;
		double v = strtod(text, &end);
		if (end == text || (*end && *end != ',') || n == most)
			return 0;
		out[n++] = (real)v;
		text = *end ? end + 1 : end;
	}
	return n;
}

int cli_read_preparation(struct cli_call *c, struct cli_preparation *p)
{
	const char *mean = cli_get(c, "mean");
	struct moka_error err = { 0 };
	double scale;

	*p = (struct cli_preparation){ 0 };
	if (!cli_float(c, "scale", -1e30, 1e30, 1, &scale))
		return CLI_USAGE;
	p->scale = (real)scale;
	if (!mean)
		return CLI_OK;
	p->mean_path = mean;
	p->n_values = parse_numbers(mean, p->values, CLI_MEAN_VALUES);
	if (p->n_values || !moka_mean_read(&p->mean, mean, &err))
		return CLI_OK;
	if (!moka_path_exists(mean) && strspn(mean, "0123456789.,-+eE") == strlen(mean))
		return cli_usage(c, "--mean: '%s' is no list of numbers, as 104,117,123", mean);
	return cli_fail_error(c, &err);
}

void cli_preparation_release(struct cli_preparation *p)
{
	moka_array_release(&p->mean);
}

/* The mean file's (channels, height, width): its last three axes; the others must be 1. */
static bool mean_geometry(const struct moka_array *m, int64_t out[3])
{
	out[0] = out[1] = out[2] = 1;
	for (int i = 0; i < m->n_axes - 3; i++)
		if (m->dim[i] != 1)
			return false;
	for (int i = MOKA_MAX(0, m->n_axes - 3), k = 0; i < m->n_axes; i++)
		out[k++] = m->dim[i]; /* a mean of one axis is one value a channel */
	return true;
}

static real average(const real *x, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i];
	return (real)(sum / (double)MOKA_MAX(n, 1));
}

/* A mean picture of another size than the input's stands for its average colour: say so, once. */
static void use_average(struct cli_call *c, struct cli_preparation *p, const int64_t g[3], int64_t h, int64_t w)
{
	if (!p->told && !(g[1] == 1 && g[2] == 1))
		cli_note(c, "the mean '%s' is %lldx%lld and the input %lldx%lld: its average of each channel is taken",
			 p->mean_path, (long long)g[1], (long long)g[2], (long long)h, (long long)w);
	p->told = true;
}

static int subtract_mean(struct cli_call *c, struct cli_preparation *p, int64_t channels, int64_t h, int64_t w, real *x)
{
	int64_t area = h * w, g[3];

	if (p->n_values > 1 && p->n_values != channels)
		return cli_usage(c, "--mean gives %d values and the input has %lld channels", p->n_values,
				 (long long)channels);
	if (p->mean.data && (!mean_geometry(&p->mean, g) || g[0] != channels))
		return cli_fail(c, NULL, "the mean '%s' does not fit an input of %lld channels, %lldx%lld",
				p->mean_path, (long long)channels, (long long)h, (long long)w);
	for (int64_t ch = 0; ch < channels; ch++) {
		real *plane = x + ch * area;
		if (p->mean.data && g[1] == h && g[2] == w) {
			for (int64_t i = 0; i < area; i++)
				plane[i] -= p->mean.data[ch * area + i];
			continue;
		}
		real value = p->n_values ? p->values[p->n_values > 1 ? ch : 0] : 0;
		if (p->mean.data) {
			use_average(c, p, g, h, w);
			value = average(p->mean.data + ch * g[1] * g[2], g[1] * g[2]);
		}
		for (int64_t i = 0; i < area; i++)
			plane[i] -= value;
	}
	return CLI_OK;
}

/* ---- pictures ------------------------------------------------------------------------------------- */

bool cli_is_array(const char *path)
{
	return moka_has_suffix(path, ".npy");
}

/* One picture into x (channels, height, width). */
static int feed_picture(struct cli_call *c, struct cli_preparation *p, const char *path, int64_t channels, int64_t h,
			int64_t w, real *x)
{
	struct moka_image read = { 0 }, fit = { 0 };
	struct moka_error err = { 0 };
	int status;

	if (moka_image_read(&read, path, channels == 1 ? MOKA_IMAGE_GREY : MOKA_IMAGE_COLOUR, &err) ||
	    moka_image_resize(&read, h, w, &fit, &err)) {
		status = cli_fail_error(c, &err);
	} else {
		moka_image_planar(&fit, x);
		status = subtract_mean(c, p, channels, h, w, x);
		for (int64_t i = 0; !status && p->scale != 1 && i < channels * h * w; i++)
			x[i] *= p->scale;
	}
	moka_image_release(&read);
	moka_image_release(&fit);
	return status;
}

/* One crop of `img` into x, mirrored or not. */
static void put_crop(const struct moka_image *img, int64_t top, int64_t left, int64_t h, int64_t w, bool mirror,
		     real *x)
{
	for (int64_t c = 0; c < img->channels; c++)
		for (int64_t i = 0; i < h; i++)
			for (int64_t j = 0; j < w; j++)
				*x++ = (real)img->pixels[((top + i) * img->width + left + (mirror ? w - 1 - j : j)) *
								 img->channels +
							 c];
}

int cli_feed_crops(struct cli_call *c, struct cli_preparation *p, const char *path, int64_t height, int64_t width,
		   const struct moka_shape *s, real *x)
{
	const int64_t channels = s->d[1], h = s->d[2], w = s->d[3], one = channels * h * w;
	const int64_t dh = height - h, dw = width - w;
	const int64_t at[5][2] = { { 0, 0 }, { 0, dw }, { dh, 0 }, { dh, dw }, { dh / 2, dw / 2 } };
	struct moka_image read = { 0 }, fit = { 0 };
	struct moka_error err = { 0 };
	int status = CLI_OK;

	MOKA_BUG(dh < 0 || dw < 0 || s->d[0] != 10);
	if (moka_image_read(&read, path, channels == 1 ? MOKA_IMAGE_GREY : MOKA_IMAGE_COLOUR, &err) ||
	    moka_image_resize(&read, height, width, &fit, &err))
		status = cli_fail_error(c, &err);
	for (int k = 0; !status && k < 10; k++) {
		real *crop = x + k * one;

		put_crop(&fit, at[k % 5][0], at[k % 5][1], h, w, k >= 5, crop);
		status = subtract_mean(c, p, channels, h, w, crop);
		for (int64_t i = 0; !status && p->scale != 1 && i < one; i++)
			crop[i] *= p->scale;
	}
	moka_image_release(&read);
	moka_image_release(&fit);
	return status;
}

/* ---- the feed ------------------------------------------------------------------------------------- */

static struct cli_feed *feed_of(struct cli_feeds *f, const char *blob)
{
	for (int i = 0; i < f->n; i++)
		if (!strcmp(f->items[i].blob, blob))
			return &f->items[i];
	return NULL;
}

int cli_feed_add(struct cli_call *c, struct cli_feeds *f, const char *blob, const char *path)
{
	struct cli_feed *old = feed_of(f, blob), *feed;

	if (old && (cli_is_array(path) || cli_is_array(old->paths[0])))
		return cli_usage(c, "input '%s' is given twice: %s and %s", blob, old->paths[0], path);
	if (!f->items)
		f->items = MOKA_NEWN(&c->arena, CLI_MAX_WORDS, struct cli_feed);
	feed = old ? old : f->items ? &f->items[f->n++] : NULL;
	if (feed && !feed->paths)
		feed->paths = MOKA_NEWN(&c->arena, CLI_MAX_WORDS, const char *);
	if (!feed || !feed->paths)
		return cli_fail(c, NULL, "no memory");
	feed->blob = blob;
	feed->paths[feed->n_paths++] = path;
	return CLI_OK;
}

/* Whose fault it is, with the inputs that there are. */
static int not_an_input(struct cli_call *c, const struct moka_net *n, const char *blob)
{
	int i = moka_net_blob(n, blob);
	struct moka_buf list;

	if (i >= 0 && n->blobs[i].producer >= 0)
		return cli_usage(c, "'%s' is made by layer '%s' (%s); only the net's inputs can be given", blob,
				 n->layers[n->blobs[i].producer].l.name, n->layers[n->blobs[i].producer].type_name);
	moka_buf_init(&list, 0);
	for (i = 0; i < n->n_inputs; i++)
		moka_buf_printf(&list, "%s'%s'", i ? ", " : "", n->blobs[n->inputs[i]].name);
	if (list.len)
		cli_usage(c, "the net has no input '%s'; its inputs are %s", blob, list.data);
	else
		cli_usage(c, "the net has no input '%s': it has no inputs, its data come from its own layers", blob);
	moka_buf_release(&list);
	return CLI_USAGE;
}

int cli_input_blob(const struct moka_net *n, const char *name)
{
	for (int i = 0; i < n->n_inputs; i++)
		if (!strcmp(n->blobs[n->inputs[i]].name, name))
			return n->inputs[i];
	return -1;
}

/* An array of the net's own shape but for leading ones (3x28x28 for 1x3x28x28) means the net's shape. */
static bool same_but_leading_ones(const struct moka_array *a, const struct moka_shape *s)
{
	int extra = s->n - a->n_axes;

	for (int i = 0; i < extra; i++)
		if (s->d[i] != 1)
			return false;
	return extra > 0 && a->n_axes && !memcmp(s->d + extra, a->dim, (size_t)a->n_axes * sizeof(*a->dim));
}

/* A picture brings its own size where the net gives none; as many pictures as were given are the batch. */
static int picture_shape(struct cli_call *c, struct cli_feed *f, struct moka_shape *s)
{
	struct moka_image img = { 0 };
	struct moka_error err = { 0 };

	if (s->n < 0)
		*s = moka_shape_make(4, (int64_t)-1, (int64_t)3, (int64_t)-1, (int64_t)-1);
	if (s->n != 4)
		return cli_usage(c, "input '%s' has %d dimensions; a picture needs 4 (batch, channels, height, width)",
				 f->blob, s->n);
	if (s->d[1] < 0)
		s->d[1] = 3;
	if (s->d[1] != 1 && s->d[1] != 3)
		return cli_usage(c, "input '%s' has %lld channels; a picture fills 3 (colour) or 1 (grey)", f->blob,
				 (long long)s->d[1]);
	s->d[0] = f->n_paths;
	if (s->d[2] >= 0 && s->d[3] >= 0)
		return CLI_OK;
	if (moka_image_read(&img, f->paths[0], MOKA_IMAGE_NATIVE, &err))
		return cli_fail_error(c, &err);
	s->d[2] = s->d[2] < 0 ? img.height : s->d[2];
	s->d[3] = s->d[3] < 0 ? img.width : s->d[3];
	moka_image_release(&img);
	return CLI_OK;
}

/* An input, or what a layer brings in from outside: given its values, that layer becomes an input. */
static int feedable_blob(const struct moka_net *n, const char *name)
{
	int i = cli_input_blob(n, name), producer;

	if (i >= 0)
		return i;
	i = moka_net_blob(n, name);
	producer = i < 0 ? -1 : n->blobs[i].producer;
	if (producer < 0 || !n->layers[producer].l.type || n->layers[producer].l.n_bottom)
		return -1;
	return n->layers[producer].l.type->flags & MOKA_DATA ? i : -1;
}

static int feed_shape(struct cli_call *c, struct cli_feed *f, const struct moka_net *n)
{
	int blob = feedable_blob(n, f->blob);
	struct moka_error err = { 0 };

	if (blob < 0)
		return not_an_input(c, n, f->blob);
	f->shape = n->blobs[blob].shape;
	if (!cli_is_array(f->paths[0]))
		return picture_shape(c, f, &f->shape);
	if (moka_npy_read(&f->array, f->paths[0], &err))
		return cli_fail_error(c, &err);
	if (same_but_leading_ones(&f->array, &f->shape))
		return CLI_OK;
	f->shape.n = f->array.n_axes;
	memcpy(f->shape.d, f->array.dim, (size_t)f->array.n_axes * sizeof(f->array.dim[0]));
	return CLI_OK;
}

int cli_feed_shapes(struct cli_call *c, struct cli_feeds *f, const struct moka_net *n, struct moka_net_options *o)
{
	struct moka_net_input *inputs = MOKA_NEWN(&c->arena, o->n_inputs + f->n + 1, struct moka_net_input);
	int k = 0, status;

	if (!inputs)
		return cli_fail(c, NULL, "no memory");
	for (int i = 0; i < f->n; i++) {
		status = feed_shape(c, &f->items[i], n);
		if (status)
			return status;
		inputs[k++] = (struct moka_net_input){ f->items[i].blob, f->items[i].shape };
	}
	for (int i = 0; i < o->n_inputs; i++)
		if (!feed_of(f, o->inputs[i].blob))
			inputs[k++] = o->inputs[i];
	o->inputs = inputs;
	o->n_inputs = k;
	return CLI_OK;
}

int cli_feeds_complete(struct cli_call *c, const struct cli_feeds *f, const struct moka_net *n)
{
	char shape[MOKA_SHAPE_TEXT];
	struct moka_buf list;
	int missing = 0;

	moka_buf_init(&list, 0);
	for (int i = 0; i < n->n_inputs; i++) {
		const struct moka_blob *b = &n->blobs[n->inputs[i]];
		bool given = false;
		for (int k = 0; k < f->n; k++)
			given |= !strcmp(f->items[k].blob, b->name);
		if (!given)
			moka_buf_printf(&list, "%s'%s' (%s)", missing++ ? ", " : "", b->name,
					moka_shape_text(&b->shape, shape, sizeof(shape)));
	}
	if (missing)
		cli_fail(c, "give each a file with -i BLOB=FILE: an array (.npy) or a picture (.jpg, .png)",
			 "input%s %s %s no values", missing > 1 ? "s" : "", list.data, missing > 1 ? "have" : "has");
	moka_buf_release(&list);
	return missing ? CLI_FAILED : CLI_OK;
}

int cli_feed_net(struct cli_call *c, struct cli_feeds *f, struct cli_preparation *p, const struct moka_net *n,
		 struct moka_exec *e)
{
	for (int i = 0; i < f->n; i++) {
		struct cli_feed *feed = &f->items[i];
		int blob = cli_input_blob(n, feed->blob);
		const struct moka_shape *s = &n->blobs[blob].shape;
		int64_t one = moka_shape_count_range(s, 1, s->n);
		real *x = moka_exec_data(e, blob);
		int status;
		if (feed->array.data || cli_is_array(feed->paths[0])) {
			if (feed->array.count != moka_shape_count(s))
				return cli_fail(c, NULL, "'%s' does not have the shape of input '%s'", feed->paths[0],
						feed->blob);
			if (feed->array.count)
				memcpy(x, feed->array.data, (size_t)feed->array.count * sizeof(*x));
			continue;
		}
		for (int k = 0; k < feed->n_paths; k++)
			if ((status = feed_picture(c, p, feed->paths[k], s->d[1], s->d[2], s->d[3], x + k * one)))
				return status;
	}
	return CLI_OK;
}

void cli_feeds_release(struct cli_feeds *f)
{
	for (int i = 0; i < f->n; i++)
		moka_array_release(&f->items[i].array);
}

/* ---- labels --------------------------------------------------------------------------------------- */

int cli_read_labels(struct cli_call *c, struct cli_labels *l)
{
	const char *path = cli_get(c, "labels");
	struct moka_error err = { 0 };
	struct moka_file file = { 0 };
	size_t most = 1;

	*l = (struct cli_labels){ 0 };
	if (!path)
		return CLI_OK;
	if (moka_file_open(&file, path, &err))
		return cli_fail_error(c, &err);
	for (size_t i = 0; i < file.size; i++)
		most += file.data[i] == '\n';
	l->names = MOKA_NEWN(&c->arena, most, const char *);
	for (size_t at = 0; l->names && at < file.size;) {
		const uint8_t *end = memchr(file.data + at, '\n', file.size - at);
		size_t n = end ? (size_t)(end - file.data) - at : file.size - at;
		size_t shown = n && file.data[at + n - 1] == '\r' ? n - 1 : n;
		l->names[l->n++] = moka_arena_strndup(&c->arena, (const char *)file.data + at, shown);
		at += n + 1;
	}
	moka_file_release(&file);
	return l->names ? CLI_OK : cli_fail(c, NULL, "no memory for the labels");
}

const char *cli_label(const struct cli_labels *l, int64_t class)
{
	return class >= 0 && class < l->n && l->names[class] ? l->names[class] : "";
}
