/*
 * peer_ort.c - ONNX Runtime as a contestant, through its C interface. MODEL is an .onnx, WEIGHTS the shared library
 * (libonnxruntime.so.1, as the npm package onnxruntime-node has it).
 *
 * The library's header is no part of that package. Its interface is a table of functions that only ever grows at its end, so the few
 * that are needed are called by their place in it.
 */
#include "peer.h"

#include <dlfcn.h>

enum {
	GET_ERROR_MESSAGE = 2,
	CREATE_ENV = 3,
	CREATE_SESSION = 7,
	RUN = 9,
	CREATE_SESSION_OPTIONS = 10,
	SET_OPTIMISATION = 23,
	SET_THREADS = 24,
	CREATE_TENSOR = 49,
	TENSOR_DATA = 51,
	TENSOR_COUNT = 64,
	TENSOR_SHAPE = 65,
	CREATE_CPU_MEMORY_INFO = 69,
};

#define API_VERSION 11 /* the oldest that has all of this: any newer library knows it */
#define LOG_ERROR 3
#define OPTIMISE_ALL 99
#define FLOAT 1

struct api_base {
	void *const *(*get_api)(uint32_t version);
	const char *(*version)(void);
};

struct engine {
	struct peer_call call;
	void *const *api;
	void *session, *x, *y[PEER_OUTPUTS];
};

static void check(const struct engine *e, void *status)
{
	if (status)
		peer_fail(((const char *(*)(const void *))e->api[GET_ERROR_MESSAGE])(status));
}

typedef void *run_fn(void *session, const void *options, const char *const *in_names, void *const *in, size_t n_in,
		     const char *const *out_names, size_t n_out, void **out);

static void pass(void *arg)
{
	struct engine *e = arg;

	/* outputs made by the first pass are written again by the next */
	check(e, ((run_fn *)e->api[RUN])(e->session, NULL, &e->call.input, &e->x, 1,
					 (const char *const *)e->call.outputs, (size_t)e->call.n_outputs, e->y));
}

static void put(void *arg, FILE *f)
{
	struct engine *e = arg;

	for (int i = 0; i < e->call.n_outputs; i++) {
		void *shape, *data;
		size_t count;

		check(e, ((void *(*)(const void *, void **))e->api[TENSOR_SHAPE])(e->y[i], &shape));
		check(e, ((void *(*)(const void *, size_t *))e->api[TENSOR_COUNT])(shape, &count));
		check(e, ((void *(*)(void *, void **))e->api[TENSOR_DATA])(e->y[i], &data));
		fwrite(data, sizeof(float), count, f);
	}
}

static void open_session(struct engine *e)
{
	void *env, *options, *memory, *lib = dlopen(e->call.weights, RTLD_NOW);
	struct api_base *(*base)(void) = lib ? (struct api_base * (*)(void)) dlsym(lib, "OrtGetApiBase") : NULL;

	if (!base)
		peer_fail(dlerror());
	e->api = base()->get_api(API_VERSION);
	if (!e->api)
		peer_fail("this ONNX Runtime is too old");
	check(e, ((void *(*)(int, const char *, void **))e->api[CREATE_ENV])(LOG_ERROR, "bench", &env));
	check(e, ((void *(*)(void **))e->api[CREATE_SESSION_OPTIONS])(&options));
	check(e, ((void *(*)(void *, int))e->api[SET_OPTIMISATION])(options, OPTIMISE_ALL));
	check(e, ((void *(*)(void *, int))e->api[SET_THREADS])(options, e->call.threads));
	check(e, ((void *(*)(void *, const char *, void *, void **))e->api[CREATE_SESSION])(env, e->call.model, options,
											    &e->session));
	check(e, ((void *(*)(int, int, void **))e->api[CREATE_CPU_MEMORY_INFO])(0, 0, &memory));
	check(e, ((void *(*)(void *, void *, size_t, const int64_t *, size_t, int, void **))e->api[CREATE_TENSOR])(
			 memory, e->call.x, (size_t)e->call.count * sizeof(float), e->call.dim, (size_t)e->call.axes,
			 FLOAT, &e->x));
}

int main(int argc, char **argv)
{
	static struct engine e;
	double start;

	peer_read(&e.call, argc, argv);
	start = peer_ms();
	open_session(&e);
	pass(&e);
	printf("load %.3f\n", peer_ms() - start);
	fflush(stdout);
	peer_serve(&e, pass, put);
	return 0;
}
