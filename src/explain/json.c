/*
 * json.c - the net as JSON for programs, in the form that docs and the command line fix. Numbers are exact
 * integers; what is not known is null.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Counts values of one list or object: a comma before all but the first. */
static void comma(struct moka_buf *b, bool *first)
{
	moka_buf_puts(b, *first ? "" : ", ");
	*first = false;
}

static void put_int(struct moka_buf *b, int64_t v)
{
	if (v < 0)
		moka_buf_puts(b, "null");
	else
		moka_buf_printf(b, "%lld", (long long)v);
}

static void put_real(struct moka_buf *b, float v)
{
	char buf[40];

	if (!isfinite(v)) {
		moka_buf_puts(b, "null");
		return;
	}
	for (int digits = 6; digits <= 9; digits++) {
		float back = 0;

		snprintf(buf, sizeof(buf), "%.*g", digits, (double)v);
		if (sscanf(buf, "%f", &back) == 1 && back == v)
			break;
	}
	moka_buf_puts(b, buf);
}

static void put_bool(struct moka_buf *b, bool v)
{
	moka_buf_puts(b, v ? "true" : "false");
}

/* null where nothing is known; a dimension that is not known is null. */
static void put_shape(struct moka_buf *b, const struct moka_shape *s)
{
	if (s->n < 0) {
		moka_buf_puts(b, "null");
		return;
	}
	moka_buf_putc(b, '[');
	for (int i = 0; i < s->n; i++) {
		moka_buf_puts(b, i ? "," : "");
		put_int(b, s->d[i]);
	}
	moka_buf_putc(b, ']');
}

static const char *layer_name(const struct moka_net *n, int i)
{
	return n->layers[i].l.name ? n->layers[i].l.name : "";
}

static void put_blob_names(const struct moka_net *n, const int *blobs, int count, struct moka_buf *b)
{
	moka_buf_putc(b, '[');
	for (int i = 0; i < count; i++) {
		moka_buf_puts(b, i ? ", " : "");
		moka_buf_json_string(b, n->blobs[blobs[i]].name);
	}
	moka_buf_putc(b, ']');
}

static void put_inputs(const struct moka_net *n, struct moka_buf *b)
{
	moka_buf_puts(b, "  \"inputs\": [");
	for (int i = 0; i < n->n_inputs; i++) {
		const struct moka_blob *x = &n->blobs[n->inputs[i]];

		moka_buf_printf(b, "%s\n    {\"blob\": ", i ? "," : "");
		moka_buf_json_string(b, x->name);
		moka_buf_puts(b, ", \"shape\": ");
		put_shape(b, &x->shape);
		moka_buf_printf(b, ", \"declared\": %s}", x->declared ? "true" : "false");
	}
	moka_buf_puts(b, n->n_inputs ? "\n  ],\n" : "],\n");
}

/* ---- layers ---------------------------------------------------------------------------------------------- */

static void put_sharers(const struct moka_net *n, const struct moka_param *x, int layer, struct moka_buf *b)
{
	bool first = true;

	moka_buf_putc(b, '[');
	for (int i = 0; i < x->n_uses; i++) {
		if (x->uses[i].layer == layer)
			continue;
		comma(b, &first);
		moka_buf_json_string(b, layer_name(n, x->uses[i].layer));
	}
	moka_buf_putc(b, ']');
}

static void put_param(const struct moka_net *n, int layer, int i, struct moka_buf *b)
{
	const struct moka_net_layer *nl = &n->layers[layer];
	const struct moka_param *x = &n->params[nl->params[i]];
	const struct moka_param_use *u = &x->uses[nl->param_uses[i]];

	moka_buf_puts(b, "{\"name\": ");
	moka_buf_json_string(b, x->name);
	moka_buf_puts(b, ", \"role\": ");
	moka_buf_json_string(b, nl->l.params[i].role);
	moka_buf_puts(b, ", \"shape\": ");
	put_shape(b, &nl->l.params[i].shape);
	moka_buf_puts(b, ", \"count\": ");
	put_int(b, moka_shape_count(&nl->l.params[i].shape));
	moka_buf_puts(b, ", \"owner\": ");
	moka_buf_json_string(b, layer_name(n, x->owner));
	moka_buf_puts(b, ", \"shared_with\": ");
	put_sharers(n, x, layer, b);
	moka_buf_puts(b, ", \"lr_mult\": ");
	put_real(b, u->lr_mult);
	moka_buf_puts(b, ", \"decay_mult\": ");
	put_real(b, u->decay_mult);
	moka_buf_putc(b, '}');
}

static void put_layer(const struct moka_net *n, int layer, struct moka_buf *b)
{
	const struct moka_net_layer *nl = &n->layers[layer];

	moka_buf_puts(b, "    {\"name\": ");
	moka_buf_json_string(b, layer_name(n, layer));
	moka_buf_puts(b, ", \"type\": ");
	moka_buf_json_string(b, nl->type_name ? nl->type_name : "");
	moka_buf_puts(b, ", \"bottoms\": ");
	put_blob_names(n, nl->bottoms, nl->l.n_bottom, b);
	moka_buf_puts(b, ", \"tops\": ");
	put_blob_names(n, nl->tops, nl->l.n_top, b);
	moka_buf_puts(b, ", \"in_place\": ");
	put_bool(b, nl->in_place);
	moka_buf_puts(b, ",\n     \"params\": [");
	for (int i = 0; i < nl->l.n_param; i++) {
		moka_buf_puts(b, i ? ",\n                " : "");
		put_param(n, layer, i, b);
	}
	moka_buf_puts(b, "],\n     \"macs\": ");
	put_int(b, nl->is_input ? 0 : nl->asked ? nl->l.macs : -1);
	moka_buf_puts(b, ", \"supported\": ");
	put_bool(b, nl->is_input || (nl->l.type && nl->runnable));
	moka_buf_puts(b, ", \"line\": ");
	put_int(b, nl->loc.line ? (int64_t)nl->loc.line : -1);
	moka_buf_putc(b, '}');
}

/* ---- blobs ------------------------------------------------------------------------------------------------- */

/* One entry a name: the last version's shape, the first version's producer, the consumers of all. */
struct versions {
	int *next; /* the next version of the same name; -1 */
	int *first;
	bool *is_first;
};

static bool find_versions(const struct moka_net *n, struct moka_arena *a, struct versions *v)
{
	struct moka_map map;
	int *last = MOKA_NEWN(a, n->n_blobs + 1, int);
	bool good = true;

	v->next = MOKA_NEWN(a, n->n_blobs + 1, int);
	v->is_first = MOKA_NEWN(a, n->n_blobs + 1, bool);
	if (!last || !v->next || !v->is_first)
		return false;
	moka_map_init(&map);
	for (int i = 0; i < n->n_blobs && good; i++) {
		int *known = moka_map_get(&map, n->blobs[i].name);

		v->next[i] = -1;
		v->is_first[i] = !known;
		if (known)
			v->next[*known] = i;
		else
			known = &last[i];
		*known = i;
		good = moka_map_put(&map, n->blobs[i].name, known);
	}
	moka_map_release(&map);
	return good;
}

static void put_blob(const struct moka_net *n, const struct versions *v, int blob, struct moka_buf *b)
{
	int last = blob;
	bool first = true;

	while (v->next[last] >= 0)
		last = v->next[last];
	moka_buf_puts(b, "    {\"name\": ");
	moka_buf_json_string(b, n->blobs[blob].name);
	moka_buf_puts(b, ", \"shape\": ");
	put_shape(b, &n->blobs[last].shape);
	moka_buf_puts(b, ", \"producer\": ");
	if (n->blobs[blob].producer >= 0)
		moka_buf_json_string(b, layer_name(n, n->blobs[blob].producer));
	else
		moka_buf_puts(b, "null");
	moka_buf_puts(b, ", \"consumers\": [");
	for (int k = blob; k >= 0; k = v->next[k])
		for (int i = 0; i < n->blobs[k].n_consumers; i++) {
			comma(b, &first);
			moka_buf_json_string(b, layer_name(n, n->blobs[k].consumers[i]));
		}
	moka_buf_puts(b, "]}");
}

static void put_blobs(const struct moka_net *n, struct moka_buf *b)
{
	struct moka_arena a;
	struct versions v;
	bool first = true;

	moka_arena_init(&a, 0);
	moka_buf_puts(b, "  \"blobs\": [");
	if (!find_versions(n, &a, &v))
		b->failed = true;
	for (int i = 0; i < n->n_blobs && !b->failed; i++) {
		if (!v.is_first[i])
			continue;
		moka_buf_puts(b, first ? "\n" : ",\n");
		first = false;
		put_blob(n, &v, i, b);
	}
	moka_buf_puts(b, first ? "],\n" : "\n  ],\n");
	moka_arena_release(&a);
}

/* ---- all ------------------------------------------------------------------------------------------------------- */

static void put_totals(const struct moka_net *n, struct moka_buf *b)
{
	moka_buf_printf(b, "  \"totals\": {\"layers\": %d, \"params\": ", n->n_layers);
	put_int(b, n->total_params);
	moka_buf_puts(b, ", \"macs\": ");
	put_int(b, n->total_macs);
	moka_buf_puts(b, ", \"activation_bytes\": ");
	put_int(b, n->activation_bytes);
	moka_buf_puts(b, "},\n");
}

static void put_findings(const struct moka_findings *f, struct moka_buf *b)
{
	moka_buf_puts(b, "  \"findings\": [");
	for (size_t i = 0; f && i < f->n; i++) {
		moka_buf_puts(b, i ? ",\n    " : "\n    ");
		moka_finding_json(&f->items[i], b);
	}
	moka_buf_puts(b, f && f->n ? "\n  ]\n" : "]\n");
}

static void put_net(const struct moka_net *n, const struct moka_findings *f, struct moka_buf *out)
{
	moka_buf_puts(out, "{\n  \"name\": ");
	moka_buf_json_string(out, n->name ? n->name : "");
	moka_buf_printf(out, ",\n  \"phase\": \"%s\",\n", n->phase == MOKA_TRAIN ? "TRAIN" : "TEST");
	put_inputs(n, out);
	moka_buf_puts(out, "  \"layers\": [");
	for (int i = 0; i < n->n_layers; i++) {
		moka_buf_puts(out, i ? ",\n" : "\n");
		put_layer(n, i, out);
	}
	moka_buf_puts(out, n->n_layers ? "\n  ],\n" : "],\n");
	put_blobs(n, out);
	moka_buf_puts(out, "  \"outputs\": ");
	put_blob_names(n, n->outputs, n->n_outputs, out);
	moka_buf_puts(out, ",\n");
	put_totals(n, out);
	put_findings(f, out);
}

void moka_explain_json(const struct moka_net *n, const struct moka_findings *f, struct moka_buf *out)
{
	put_net(n, f, out);
	moka_buf_puts(out, "}\n");
}

void moka_explain_json_plan(const struct moka_net *n, const struct moka_findings *f, const struct moka_plan *p,
			    struct moka_buf *out)
{
	put_net(n, f, out);
	moka_buf_puts(out, "  ,\"plan\": ");
	moka_explain_plan_json(n, p, out);
	moka_buf_puts(out, "\n}\n");
}
