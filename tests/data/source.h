/*
 * source.h - a data layer made by hand, and a source opened for it: what the net does, for tests of sources alone.
 */
#ifndef MOKA_TESTS_SOURCE_H
#define MOKA_TESTS_SOURCE_H

#include "data/data.h"

#include <stdlib.h>
#include <string.h>

struct bench {
	struct moka_layer layer;
	struct moka_blob_ref top[4];
	struct moka_arena arena;
	struct moka_msg *sub;
	struct moka_transform_param transform;
	struct moka_source *source;
	const struct moka_source_ops *ops;
};

static inline void bench_init(struct bench *b, int n_top, const char *const *names, enum moka_phase phase)
{
	*b = (struct bench){ .transform = { .scale = 1 } };
	moka_arena_init(&b->arena, 0);
	for (int i = 0; i < n_top; i++)
		b->top[i].name = names[i];
	b->layer = (struct moka_layer){ .name = "d",
					.phase = phase,
					.n_top = n_top,
					.top = b->top,
					.arena = &b->arena,
					.transform = &b->transform };
}

static inline enum moka_status bench_open(struct bench *b, const struct moka_source_ops *ops, const char *path,
					  int64_t batch, uint64_t seed, struct moka_error *e)
{
	const struct moka_source_spec spec = { path, ops->kind, batch, &b->layer, seed };

	b->ops = ops;
	return ops->open(&b->source, &spec, e);
}

static inline enum moka_status bench_read(struct bench *b, real *const *data, struct moka_error *e)
{
	struct moka_view v[4] = { { 0 } };

	for (int i = 0; i < b->layer.n_top; i++)
		v[i].data = data[i];
	return b->ops->read(b->source, b->layer.n_top, v, e);
}

static inline void bench_close(struct bench *b)
{
	if (b->source)
		b->ops->close(b->source);
	b->source = NULL;
	moka_arena_release(&b->arena);
}

/* The layer's own message, as the net decodes it: settings of `type` are put in with moka_add_*(). */
static inline struct moka_msg *bench_sub(struct bench *b, const char *type)
{
	b->sub = moka_msg_new(&b->arena, moka_layer_type_find(type)->schema.message);
	b->layer.sub = b->sub;
	return b->sub;
}

static inline void bench_set(struct bench *b, const char *name, int64_t v)
{
	moka_add_int(&b->arena, b->sub, &moka_layer_schema, name, v);
}

#endif
