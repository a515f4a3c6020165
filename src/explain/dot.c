/*
 * dot.c - the net in Graphviz's language: layers as boxes coloured by what they do, data blobs as edges with their
 * shapes, shared parameters as ellipses tied to the layers that use them.
 */
#include "internal.h"

#include <string.h>

/* A quoted string; '\n' in `s` becomes a line break of the label. */
static void put_string(struct moka_buf *out, const char *s)
{
	moka_buf_putc(out, '"');
	while (*s) {
		uint32_t c;

		if (*s == '\n') {
			moka_buf_puts(out, "\\n");
			s++;
			continue;
		}
		c = moka__cell_next(&s);
		if (c == '"' || c == '\\')
			moka_buf_putc(out, '\\');
		moka__put_char(out, c);
	}
	moka_buf_putc(out, '"');
}

/* By what a layer is, not by its name: data, parameters to learn, losses, in place, the rest. */
static const char *colour(const struct moka_net_layer *nl)
{
	if (nl->is_input || (nl->l.type && (nl->l.type->flags & MOKA_DATA)))
		return "#cfe3f7";
	if (!nl->l.type)
		return "#f7d0cf";
	if (nl->l.type->flags & MOKA_LOSS)
		return "#f9d9b0";
	if (nl->l.n_param)
		return "#cdebc5";
	if (nl->in_place)
		return "#ffffff";
	return "#eeeeee";
}

static void put_layer(const struct moka_net *n, int i, struct moka_arena *a, struct moka_buf *out)
{
	const struct moka_net_layer *nl = &n->layers[i];
	const char *settings = moka__settings(a, nl, false);
	const char *label = moka_arena_printf(a, "%s\n%s%s%s", moka__layer_name(nl), moka__type(nl),
					      *settings ? " " : "", settings);

	moka_buf_printf(out, "  l%d [label=", i);
	put_string(out, label ? label : "");
	moka_buf_printf(out, ", fillcolor=\"%s\"%s];\n", colour(nl),
			nl->l.type || nl->is_input ? "" : ", style=\"filled,rounded,dashed\"");
}

static void put_edge_label(const struct moka_net *n, int blob, struct moka_arena *a, struct moka_buf *out)
{
	const char *label = moka_arena_printf(a, "%s\n%s", n->blobs[blob].name, moka__shape(a, &n->blobs[blob].shape));

	moka_buf_puts(out, " [label=");
	put_string(out, label ? label : "");
	moka_buf_puts(out, "];\n");
}

/* A blob goes from the layer that last wrote it to the next that takes it; in-place layers stand in between. */
static void put_edges(const struct moka_net *n, int *writer, struct moka_arena *a, struct moka_buf *out)
{
	for (int i = 0; i < n->n_blobs; i++) {
		writer[i] = -1;
		if (n->blobs[i].producer < 0) {
			moka_buf_printf(out, "  b%d [shape=ellipse, fillcolor=\"#cfe3f7\", label=", i);
			put_string(out, n->blobs[i].name);
			moka_buf_puts(out, "];\n");
		}
	}
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *nl = &n->layers[i];

		for (int k = 0; k < nl->l.n_bottom; k++) {
			int blob = nl->bottoms[k];

			if (writer[blob] < 0)
				moka_buf_printf(out, "  b%d -> l%d", blob, i);
			else
				moka_buf_printf(out, "  l%d -> l%d", writer[blob], i);
			put_edge_label(n, blob, a, out);
		}
		for (int k = 0; k < nl->l.n_top; k++)
			writer[nl->tops[k]] = i;
	}
	for (int i = 0; i < n->n_outputs; i++) {
		int blob = n->outputs[i];

		if (writer[blob] < 0)
			continue;
		moka_buf_printf(out, "  o%d [shape=plaintext, style=\"\", label=\"\"];\n  l%d -> o%d", blob,
				writer[blob], blob);
		put_edge_label(n, blob, a, out);
	}
}

static void put_shared(const struct moka_net *n, struct moka_arena *a, struct moka_buf *out)
{
	for (int i = 0; i < n->n_params; i++) {
		const struct moka_param *x = &n->params[i];
		const char *label;

		if (x->n_uses < 2)
			continue;
		label = moka_arena_printf(a, "%s\n%s %s", x->name, x->role, moka__shape(a, &x->shape));
		moka_buf_printf(out, "  p%d [shape=ellipse, fillcolor=\"#e6d5f2\", label=", i);
		put_string(out, label ? label : "");
		moka_buf_puts(out, "];\n");
		for (int k = 0; k < x->n_uses; k++)
			moka_buf_printf(out, "  p%d -> l%d [style=dashed, dir=none, label=\"%slr_mult %g\"];\n", i,
					x->uses[k].layer, k ? "" : "owner, ", (double)x->uses[k].lr_mult);
	}
}

void moka_explain_dot(const struct moka_net *n, struct moka_buf *out)
{
	struct moka_arena a;
	int *writer;

	moka_arena_init(&a, 0);
	writer = MOKA_NEWN(&a, n->n_blobs + 1, int);
	moka_buf_puts(out, "digraph ");
	put_string(out, moka__net_name(n));
	moka_buf_puts(
		out,
		" {\n  rankdir=TB;\n  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", fontsize=11, color=\"#666666\"];\n"
		"  edge [fontname=\"Helvetica\", fontsize=9, color=\"#666666\"];\n");
	for (int i = 0; i < n->n_layers; i++)
		put_layer(n, i, &a, out);
	if (writer)
		put_edges(n, writer, &a, out);
	else
		out->failed = true;
	put_shared(n, &a, out);
	moka_buf_puts(out, "}\n");
	moka_arena_release(&a);
}
