/*
 * peer_ncnn.c - ncnn as a contestant, through its C interface. MODEL is a .param with its .bin beside it, as caffe2ncnn and
 * ncnnoptimize make them; WEIGHTS is the shared library (libncnn.so).
 *
 * Its header isn't needed: the few functions that are called are declared here, and looked up by their names. Everything is float32.
 *
 * ncnn's nets take one image. A batch can be run in three ways, and the fastest one counts: image after image with all threads; as one
 * blob, which ncnn (of 2026) takes apart before each layer; and images side by side, each thread with its own.
 */
#include "peer.h"

#include <dlfcn.h>
#include <pthread.h>

typedef void *handle; /* every type of ncnn's C interface is a pointer */

#define FUNCTIONS(X)                                                                                                   \
	X(handle, option_create, (void))                                                                               \
	X(void, option_set_num_threads, (handle option, int n))                                                        \
	X(void, option_set_use_fp16_packed, (handle option, int yes))                                                  \
	X(void, option_set_use_fp16_storage, (handle option, int yes))                                                 \
	X(void, option_set_use_fp16_arithmetic, (handle option, int yes))                                              \
	X(void, option_set_use_bf16_storage, (handle option, int yes))                                                 \
	X(handle, net_create, (void))                                                                                  \
	X(void, net_set_option, (handle net, handle option))                                                           \
	X(int, net_load_param, (handle net, const char *path))                                                         \
	X(int, net_load_model, (handle net, const char *path))                                                         \
	X(handle, extractor_create, (handle net))                                                                      \
	X(void, extractor_destroy, (handle extractor))                                                                 \
	X(int, extractor_input, (handle extractor, const char *name, handle mat))                                      \
	X(int, extractor_extract, (handle extractor, const char *name, handle *mat))                                   \
	X(handle, mat_create_1d, (int w, handle allocator))                                                            \
	X(handle, mat_create_3d, (int w, int h, int c, handle allocator))                                              \
	X(void, mat_destroy, (handle mat))                                                                             \
	X(int, mat_get_dims, (handle mat))                                                                             \
	X(int, mat_get_w, (handle mat))                                                                                \
	X(int, mat_get_h, (handle mat))                                                                                \
	X(int, mat_get_d, (handle mat))                                                                                \
	X(int, mat_get_c, (handle mat))                                                                                \
	X(void *, mat_get_data, (handle mat))                                                                          \
	X(void *, mat_get_channel_data, (handle mat, int channel))
/* absent from older libraries */
#define BATCH_FUNCTIONS(X)                                                                                             \
	X(handle, mat_create_3d_batch, (int w, int h, int c, int n, handle allocator))                                 \
	X(void *, mat_get_batch_data, (handle mat, int image))                                                         \
	X(size_t, mat_get_cstep, (handle mat))                                                                         \
	X(int, mat_get_n, (handle mat))
#define FIELD(result, name, arguments) result(*name) arguments;

enum mode { IN_TURN, AS_ONE, SIDE_BY_SIDE, MODES };

static const char *const mode_names[MODES] = { "image after image", "one batch", "images side by side" };

struct engine {
	struct peer_call call;
	FUNCTIONS(FIELD)
	BATCH_FUNCTIONS(FIELD)
	handle net, option, whole;
	handle *x, *y; /* an input per image; an output per image, those of one blob together */
	int images;
	enum mode mode;
};

struct share {
	struct engine *e;
	int first, step;
};

static void library(struct engine *e)
{
	void *lib = dlopen(e->call.weights, RTLD_NOW);

	if (!lib)
		peer_fail(dlerror());
#define LOOK_UP(result, name, arguments) e->name = (result(*) arguments)dlsym(lib, "ncnn_" #name);
#define INSIST(result, name, arguments)                                                                                \
	if (!e->name)                                                                                                  \
		peer_fail("this ncnn has no ncnn_" #name "() (it wants NCNN_C_API)");
	FUNCTIONS(LOOK_UP)
	FUNCTIONS(INSIST)
	BATCH_FUNCTIONS(LOOK_UP)
}

/* One extractor's run on x; its outputs go to y, y + images, ... */
static void extract(struct engine *e, handle x, handle *y)
{
	handle extractor = e->extractor_create(e->net);

	if (e->extractor_input(extractor, e->call.input, x))
		peer_fail("ncnn doesn't take the input");
	for (int i = 0; i < e->call.n_outputs; i++, y += e->images) {
		if (*y)
			e->mat_destroy(*y);
		if (e->extractor_extract(extractor, e->call.outputs[i], y))
			peer_fail("ncnn doesn't give the output");
	}
	e->extractor_destroy(extractor);
}

static void *some(void *arg)
{
	struct share *s = arg;

	for (int i = s->first; i < s->e->images; i += s->step)
		extract(s->e, s->e->x[i], s->e->y + i);
	return NULL;
}

static void side_by_side(struct engine *e)
{
	struct share share[64];
	pthread_t thread[64];
	int n = e->call.threads < 64 ? e->call.threads : 64;
	struct share own = { e, 0, n };

	for (int i = 1; i < n; i++) {
		share[i] = (struct share){ e, i, n };
		if (pthread_create(&thread[i], NULL, some, &share[i]))
			peer_fail("no thread");
	}
	some(&own);
	for (int i = 1; i < n; i++)
		pthread_join(thread[i], NULL);
}

static void pass(void *arg)
{
	struct engine *e = arg;
	struct share all = { e, 0, 1 };

	if (e->mode == AS_ONE)
		extract(e, e->whole, e->y);
	else if (e->mode == SIDE_BY_SIDE)
		side_by_side(e);
	else
		some(&all);
}

static void write_mat(struct engine *e, handle y, FILE *f)
{
	size_t row = (size_t)e->mat_get_w(y);
	int dims = e->mat_get_dims(y);

	if (dims > 1)
		row *= (size_t)e->mat_get_h(y);
	if (dims > 3)
		row *= (size_t)e->mat_get_d(y);
	if (dims < 3)
		fwrite(e->mat_get_data(y), sizeof(float), row, f);
	else
		for (int c = 0; c < e->mat_get_c(y); c++)
			fwrite(e->mat_get_channel_data(y, c), sizeof(float), row, f);
}

/* The output of AS_ONE: image n begins at its own address, and channels are as far apart as in the first image. */
static void write_batch(struct engine *e, handle y, FILE *f)
{
	int dims = e->mat_get_dims(y), channels = dims < 3 ? 1 : e->mat_get_c(y);
	size_t row = (size_t)e->mat_get_w(y), between = e->mat_get_cstep(y);

	if (dims > 1)
		row *= (size_t)e->mat_get_h(y);
	if (dims > 3)
		row *= (size_t)e->mat_get_d(y);
	if (e->mat_get_n(y) != e->images)
		peer_fail("ncnn's output isn't a batch");
	for (int n = 0; n < e->images; n++)
		for (int c = 0; c < channels; c++)
			fwrite((float *)e->mat_get_batch_data(y, n) + (size_t)c * between, sizeof(float), row, f);
}

static void put(void *arg, FILE *f)
{
	struct engine *e = arg;

	for (int i = 0; i < e->call.n_outputs; i++) {
		if (e->mode == AS_ONE)
			write_batch(e, e->y[i * e->images], f);
		else
			for (int n = 0; n < e->images; n++)
				write_mat(e, e->y[i * e->images + n], f);
	}
}

static void fill(struct engine *e)
{
	const struct peer_call *c = &e->call;
	size_t channels = c->axes == 4 ? (size_t)c->dim[1] : 1, row = (size_t)(c->count / c->dim[0]) / channels;
	int w = c->axes == 4 ? (int)c->dim[3] : (int)row, h = c->axes == 4 ? (int)c->dim[2] : 1;
	const float *x = c->x;

	if (c->axes != 4 && c->axes != 2)
		peer_fail("ncnn takes images or vectors");
	e->images = (int)c->dim[0];
	e->x = calloc((size_t)e->images, sizeof(*e->x));
	e->y = calloc((size_t)e->images * (size_t)c->n_outputs, sizeof(*e->y));
	if (!e->x || !e->y)
		peer_fail("out of memory");
	if (c->axes == 4 && e->images > 1 && e->mat_create_3d_batch && e->mat_get_batch_data && e->mat_get_n &&
	    e->mat_get_cstep)
		e->whole = e->mat_create_3d_batch(w, h, (int)channels, e->images, NULL);
	for (int n = 0; n < e->images; n++) {
		e->x[n] = c->axes == 4 ? e->mat_create_3d(w, h, (int)channels, NULL) : e->mat_create_1d(w, NULL);
		for (size_t k = 0; k < channels; k++, x += row) {
			memcpy(e->mat_get_channel_data(e->x[n], (int)k), x, row * sizeof(*x));
			if (e->whole)
				memcpy((float *)e->mat_get_batch_data(e->whole, n) + k * e->mat_get_cstep(e->whole), x,
				       row * sizeof(*x));
		}
	}
}

static void open_net(struct engine *e)
{
	char weights[4096];
	size_t length = strlen(e->call.model);

	library(e);
	e->option = e->option_create();
	e->option_set_num_threads(e->option, e->call.threads);
	e->option_set_use_fp16_packed(e->option, 0);
	e->option_set_use_fp16_storage(e->option, 0);
	e->option_set_use_fp16_arithmetic(e->option, 0);
	e->option_set_use_bf16_storage(e->option, 0);
	e->net = e->net_create();
	e->net_set_option(e->net, e->option);
	if (length < 7 || length >= sizeof(weights) || strcmp(e->call.model + length - 6, ".param"))
		peer_fail("the model must be a .param");
	snprintf(weights, sizeof(weights), "%.*s.bin", (int)(length - 6), e->call.model);
	if (e->net_load_param(e->net, e->call.model) || e->net_load_model(e->net, weights))
		peer_fail("ncnn doesn't load the net");
	fill(e);
}

/* Extractors take over the number of threads that the net has when they are made. */
static void set_mode(struct engine *e, enum mode mode)
{
	for (int i = 0; i < e->images * e->call.n_outputs; i++) {
		if (e->y[i])
			e->mat_destroy(e->y[i]);
		e->y[i] = NULL;
	}
	e->mode = mode;
	e->option_set_num_threads(e->option, mode == SIDE_BY_SIDE ? 1 : e->call.threads);
	e->net_set_option(e->net, e->option);
}

static double tried(struct engine *e, enum mode mode)
{
	double least = 1e300;

	set_mode(e, mode);
	pass(e);
	for (int i = 0; i < 3; i++) {
		double start = peer_ms(), took;
		pass(e);
		took = peer_ms() - start;
		least = took < least ? took : least;
	}
	return least;
}

static void choose_mode(struct engine *e)
{
	enum mode best = IN_TURN;
	double least = tried(e, IN_TURN);

	for (enum mode m = AS_ONE; m < MODES; m++) {
		double took;
		if (m == AS_ONE ? !e->whole : e->call.threads < 2)
			continue;
		took = tried(e, m);
		fprintf(stderr, "%s %.3f ms, %s %.3f ms\n", mode_names[best], least, mode_names[m], took);
		if (took < least) {
			best = m;
			least = took;
		}
	}
	set_mode(e, best);
	pass(e);
	fprintf(stderr, "mode %s\n", mode_names[best]);
}

int main(int argc, char **argv)
{
	static struct engine e;
	double start, load;

	peer_read(&e.call, argc, argv);
	start = peer_ms();
	open_net(&e);
	pass(&e);
	load = peer_ms() - start;
	if (e.images > 1)
		choose_mode(&e);
	printf("load %.3f\n", load);
	fflush(stdout);
	peer_serve(&e, pass, put);
	return 0;
}
