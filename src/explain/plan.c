/*
 * plan.c - how a net runs for inference, step by step: which layers are one step, how values lie, what does the arithmetic,
 * where the result lies in memory.
 */
#include "internal.h"

#include <string.h>

void moka_explain_step(const struct moka_net *n, const struct moka_plan_step *s, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	if (!s->n_layers && s->out_blob >= 0)
		snprintf(out, size, "(%s)", n->blobs[s->out_blob].name);
	for (int i = 0; i < s->n_layers && at + 1 < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? " + " : "", n->layers[s->layers[i]].l.name);
}

/* The same, with dots where it is cut. */
static void step_text(const struct moka_net *n, const struct moka_plan_step *s, char *out, size_t size)
{
	moka_explain_step(n, s, out, size);
	if (strlen(out) + 1 == size && size > 4)
		memcpy(out + size - 4, "...", 4);
}

void moka_explain_block(int block, char *out, size_t size)
{
	if (block > 1)
		snprintf(out, size, "nChw%dc", block);
	else
		snprintf(out, size, "nchw");
}

void moka_explain_plan(const struct moka_net *n, const struct moka_plan *p, struct moka_buf *out)
{
	const int steps = moka_plan_steps(p);
	struct moka_plan_bytes m;
	bool any = false;

	moka_plan_memory(p, &m);
	moka_buf_printf(out, "The plan of an inference: %d layers in %d steps\n\n", n->n_layers, steps);
	moka_buf_printf(out, "%4s  %-44s  %-18s  %-16s  %10s  %10s  %13s  %5s\n", "step", "layers", "layout",
			"algorithm", "offset kB", "size kB", "MACs", "share");
	for (int i = 0; i < steps; i++) {
		struct moka_plan_step s;
		char layers[45], in[16], to[16], layout[40], algorithm[40];

		moka_plan_step(p, i, &s);
		step_text(n, &s, layers, sizeof(layers));
		moka_explain_block(s.in_block, in, sizeof(in));
		moka_explain_block(s.out_block, to, sizeof(to));
		snprintf(layout, sizeof(layout), s.in_block == s.out_block ? "%s" : "%s -> %s", in, to);
		snprintf(algorithm, sizeof(algorithm), "%s%s", s.algorithm, s.with_next ? " +" : "");
		any |= s.with_next;
		moka_buf_printf(out, "%4d  %-44s  %-18s  %-16s  %10.1f  %10.1f  %13lld  %4.1f%%\n", i, layers, layout,
				algorithm, (double)s.offset / 1e3, (double)s.bytes / 1e3, (long long)s.macs,
				100 * s.share);
	}
	if (any)
		moka_buf_puts(out, "\n+ runs together with the next step, rows of both in turns\n");
	moka_buf_printf(
		out,
		"\nMemory of blobs: %.1f kB; alive at the worst moment, and so the least that is possible: %.1f kB (%+.1f %%)\n"
		"Packed weights: %.1f kB; scratch: %.1f kB\n",
		(double)m.values / 1e3, (double)m.bound / 1e3,
		m.bound ? 100 * ((double)m.values / (double)m.bound - 1) : 0.0, (double)m.packed / 1e3,
		(double)m.scratch / 1e3);
}

static void put_blob(const struct moka_net *n, int blob, struct moka_buf *out)
{
	if (blob < 0)
		moka_buf_puts(out, "null");
	else
		moka_buf_json_string(out, n->blobs[blob].name);
}

static void put_step(const struct moka_net *n, const struct moka_plan_step *s, struct moka_buf *out)
{
	char in[16], to[16];

	moka_explain_block(s->in_block, in, sizeof(in));
	moka_explain_block(s->out_block, to, sizeof(to));
	moka_buf_puts(out, "{\"layers\": [");
	for (int i = 0; i < s->n_layers; i++) {
		moka_buf_puts(out, i ? ", " : "");
		moka_buf_json_string(out, n->layers[s->layers[i]].l.name);
	}
	moka_buf_puts(out, "], \"bottom\": ");
	put_blob(n, s->in_blob, out);
	moka_buf_puts(out, ", \"top\": ");
	put_blob(n, s->out_blob, out);
	moka_buf_puts(out, ", \"adds\": ");
	put_blob(n, s->adds_blob, out);
	moka_buf_printf(out, ", \"layout_in\": \"%s\", \"layout_out\": \"%s\", \"algorithm\": ", in, to);
	moka_buf_json_string(out, s->algorithm);
	moka_buf_printf(
		out, ", \"with_next\": %s, \"offset\": %zu, \"bytes\": %zu, \"macs\": %lld, \"expected_share\": %.4f}",
		s->with_next ? "true" : "false", s->offset, s->bytes, (long long)s->macs, s->share);
}

void moka_explain_plan_json(const struct moka_net *n, const struct moka_plan *p, struct moka_buf *out)
{
	struct moka_plan_bytes m;

	if (!p) {
		moka_buf_puts(out, "null");
		return;
	}
	moka_plan_memory(p, &m);
	moka_buf_puts(out, "{\n    \"steps\": [");
	for (int i = 0; i < moka_plan_steps(p); i++) {
		struct moka_plan_step s;

		moka_plan_step(p, i, &s);
		moka_buf_puts(out, i ? ",\n      " : "\n      ");
		put_step(n, &s, out);
	}
	moka_buf_printf(
		out,
		"\n    ],\n    \"blob_bytes\": %zu, \"least_bytes\": %zu, \"packed_bytes\": %zu, \"scratch_bytes\": %zu\n  }",
		m.values, m.bound, m.packed, m.scratch);
}
