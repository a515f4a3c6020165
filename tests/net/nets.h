/*
 * nets.h - small nets from text, for the tests of net/.
 */
#ifndef MOKA_TESTS_NET_NETS_H
#define MOKA_TESTS_NET_NETS_H

#include "net/internal.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

struct nets {
	struct moka_findings f;
	struct moka_model *m;
	struct moka_net *n;
	struct moka_exec *e;
};

static inline void nets_print(const struct moka_findings *f)
{
	struct moka_buf out;

	moka_buf_init(&out, 1 << 20);
	for (size_t i = 0; i < f->n; i++)
		moka_finding_print(&f->items[i], false, &out);
	print_message("%s", out.data ? out.data : "(no findings)\n");
	moka_buf_release(&out);
}

/* Parses and builds; fails the test where not even a net with findings comes out. */
static inline void nets_open(struct nets *t, const char *text, const struct moka_net_options *o)
{
	static const struct moka_model_options any = { .expect = MOKA_MODEL_NET };

	memset(t, 0, sizeof(*t));
	moka_findings_init(&t->f);
	if (moka_model_parse(&t->m, "net.prototxt", text, strlen(text), &moka_layer_schema, &any, &t->f) ||
	    moka_net_build(&t->n, t->m, o, &t->f)) {
		nets_print(&t->f);
		fail_msg("the net can't be built");
	}
}

static inline void nets_close(struct nets *t)
{
	moka_exec_free(t->e);
	moka_net_free(t->n);
	moka_model_free(t->m);
	moka_findings_release(&t->f);
	memset(t, 0, sizeof(*t));
}

/* A net without errors, allocated, with an execution. */
static inline void nets_run(struct nets *t, const char *text, struct moka_net_options o, enum moka_keep keep,
			    struct moka_pool *pool)
{
	struct moka_error err = { 0 };
	struct moka_exec_options eo = { .keep = keep, .backward = o.backward, .pool = pool, .seed = 7 };

	o.for_run = true;
	nets_open(t, text, &o);
	if (t->f.errors) {
		nets_print(&t->f);
		fail_msg("the net has errors");
	}
	T_OK(moka_net_allocate(t->n, 11, &err), &err);
	T_OK(moka_exec_new(&t->e, t->n, &eo, &err), &err);
}

static inline const struct moka_finding *nets_find(const struct nets *t, const char *code)
{
	for (size_t i = 0; i < t->f.n; i++)
		if (!strcmp(t->f.items[i].code, code))
			return &t->f.items[i];
	return NULL;
}

static inline int nets_blob(const struct nets *t, const char *name)
{
	int i = moka_net_blob(t->n, name);

	if (i < 0)
		fail_msg("no blob '%s'", name);
	return i;
}

static inline const struct moka_net_layer *nets_layer(const struct nets *t, const char *name)
{
	int i = moka_net_layer_index(t->n, name);

	if (i < 0)
		fail_msg("no layer '%s'", name);
	return &t->n->layers[i];
}

static inline const char *nets_shape(const struct nets *t, const char *blob)
{
	static char text[MOKA_SHAPE_TEXT];

	return moka_shape_text(&t->n->blobs[nets_blob(t, blob)].shape, text, sizeof(text));
}

static inline void nets_forward(struct nets *t, real *loss)
{
	struct moka_error err = { 0 };

	T_OK(moka_exec_forward(t->e, 0, t->n->n_layers, loss, &err), &err);
}

static inline void nets_backward(struct nets *t)
{
	struct moka_error err = { 0 };

	T_OK(moka_exec_backward(t->e, t->n->n_layers, 0, &err), &err);
}

/* Every input gets the same random values for the same seed. */
static inline void nets_fill_inputs(struct nets *t, uint64_t seed)
{
	struct moka_rng rng;

	moka_rng_seed(&rng, seed, 0);
	for (int i = 0; i < t->n->n_inputs; i++) {
		real *v = moka_exec_data(t->e, t->n->inputs[i]);
		int64_t count = moka_shape_count(&t->n->blobs[t->n->inputs[i]].shape);

		for (int64_t k = 0; k < count; k++)
			v[k] = (real)(moka_rng_uniform(&rng) * 2 - 1);
	}
}

#endif
