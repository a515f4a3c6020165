/*
 * boxtext.c - what stands in a box and beside the lines that leave it, in as many columns as there are.
 *
 * Wide: a layer a line, "name  Type settings  shape" in columns. Narrow: the name, below it type and settings,
 * wrapped. In a small net in-place layers have lines of their own; in a large one they follow what they work on:
 * "Convolution 64 3x3 + ReLU".
 */
#include "internal.h"

#include <string.h>

const struct moka__style moka__styles[MOKA__STYLES] = {
	{ 0, 2, 3 },  { 52, 2, 3 }, { 44, 2, 2 }, { 36, 1, 2 }, { 28, 1, 2 }, { 23, 1, 2 },
	{ 19, 1, 2 }, { 19, 0, 2 }, { 16, 1, 2 }, { 16, 0, 2 }, { 13, 0, 1 }, { 10, 0, 1 },
};

#define MAX_LINES 400 /* of a box: a chain of in-place layers has no natural end */

static const char *cut(struct moka__graph *g, const char *s, int columns)
{
	return moka__cut(&g->arena, s, columns, false, g->ascii);
}

/*
 * A name's end says more than its start: "inception_3a/3x3_reduce" is "…3a/3x3_reduce", from a '/' or '_' on if
 * one is near.
 */
static const char *cut_name(struct moka__graph *g, const char *s, int columns)
{
	const char *dots = g->ascii ? ".." : "…", *tail = s;
	int room = columns - (g->ascii ? 2 : 1), skip = moka__columns(s) - room;

	if (moka__columns(s) <= columns || room < 4)
		return cut(g, s, columns);
	for (int used = 0; used < skip;)
		used += moka__cell_columns(moka__cell_next(&tail));
	for (size_t i = 0; i < 7 && tail[i]; i++)
		if (tail[i] == '/' || tail[i] == '_')
			return moka__print(&g->arena, "%s%s", dots, tail + i + (strlen(tail + i) > 3));
	return moka__print(&g->arena, "%s%s", dots, tail);
}

/* ---- a layer in words ------------------------------------------------------------------------------------- */

/* A type where room is short. */
static const char *short_type(const char *type)
{
	static const char *const pairs[][2] = {
		{ "Convolution", "Conv" },
		{ "Deconvolution", "Deconv" },
		{ "DepthwiseConvolution", "DwConv" },
		{ "ConvolutionDepthwise", "DwConv" },
		{ "InnerProduct", "InnerProd" },
		{ "BatchNorm", "BN" },
		{ "SoftmaxWithLoss", "SoftmaxLoss" },
		{ "Pooling", "Pool" },
		{ "Permute", "Perm" },
	};

	for (size_t i = 0; i < MOKA_COUNT(pairs); i++)
		if (!strcmp(type, pairs[i][0]))
			return pairs[i][1];
	return type;
}

static const char *remark(const struct moka_net_layer *nl)
{
	if (!nl->l.type)
		return " (unknown type)";
	return nl->runnable || nl->is_input ? "" : " (not run yet)";
}

static const char *operation(struct moka__graph *g, const struct moka_net_layer *nl, bool brief)
{
	const char *type = moka__type(nl), *settings = moka__settings(&g->arena, nl, false);

	return moka__print(&g->arena, "%s%s%s%s", brief ? short_type(type) : type, *settings ? " " : "", settings,
			   remark(nl));
}

/*
 * The same with the in-place layers that follow in the box: "Convolution 64 3x3 + ReLU"; *next: the layer after
 * them.
 */
static const char *operations(struct moka__graph *g, const struct moka__box *b, int i, bool brief, int *next)
{
	struct moka_buf s;
	const char *out;

	moka_buf_init(&s, 0);
	moka_buf_puts(&s, operation(g, &g->n->layers[b->layers[i]], brief));
	for (i++; i < b->n_layers && g->n->layers[b->layers[i]].in_place; i++) {
		const char *type = moka__type(&g->n->layers[b->layers[i]]);

		if (s.len < 400)
			moka_buf_printf(&s, " + %s%s", brief ? short_type(type) : type,
					remark(&g->n->layers[b->layers[i]]));
	}
	*next = i;
	out = s.len ? moka_arena_strdup(&g->arena, s.data) : "";
	moka_buf_release(&s);
	return out ? out : "";
}

/* The shared parameters that layers [from, to) of the box use: "shares ip1_w, ip1_b"; NULL: none. */
static const char *shares(struct moka__graph *g, const struct moka__box *b, int from, int to)
{
	struct moka__names names;
	bool any = false;
	const char *s;

	moka__names_begin(&names, 4);
	for (int i = from; i < to; i++) {
		const struct moka_net_layer *nl = &g->n->layers[b->layers[i]];

		for (int k = 0; k < nl->l.n_param; k++)
			if (g->n->params[nl->params[k]].n_uses > 1) {
				moka__names_add(&names, g->n->params[nl->params[k]].name);
				any = true;
			}
	}
	s = moka__names_end(&names, &g->arena);
	return any ? moka__print(&g->arena, "shares %s", s) : NULL;
}

/* ---- lines ---------------------------------------------------------------------------------------------------- */

static void add_line(struct moka__graph *g, struct moka__box *b, const char *text, enum moka__look look, int bold)
{
	if (g->failed || b->n_lines >= b->cap_lines)
		return;
	b->lines[b->n_lines++] = (struct moka__line){ .text = text, .look = (uint8_t)look, .bold = bold };
	b->width = MOKA_MAX(b->width, moka__columns(text));
}

static const char *wire_name(struct moka__graph *g, const struct moka__wire *w)
{
	return w->blob < 0 ? moka__print(&g->arena, "%d blobs", w->n_blobs) : g->n->blobs[w->blob].name;
}

#define LIST_LINES 6

/* "head a, b, c" in a few lines, those after the first set in. */
static void add_list(struct moka__graph *g, struct moka__box *b, const char *head, const char *list, int limit)
{
	int in = moka__columns(head), wide = MOKA_MIN(limit, 60), lines = 0;
	struct moka_buf line;

	moka_buf_init(&line, 0);
	moka_buf_puts(&line, head);
	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");
		const char *item = moka_arena_strndup(&g->arena, at, n + (at[n] == ','));
		bool first = (int)line.len > 0 && moka__columns(line.data) <= in;

		if (!item)
			break;
		if (!first && moka__columns(line.data) + moka__columns(item) + 1 > wide) {
			bool full = ++lines == LIST_LINES;

			if (full)
				moka_buf_puts(&line, g->ascii ? ".." : "…");
			add_line(g, b, cut(g, moka__print(&g->arena, "%s", line.data), limit), MOKA__FAINT, limit);
			line.len = 0;
			if (full)
				break;
			moka_buf_printf(&line, "%*s", MOKA_MIN(in, 4), "");
			first = true;
		}
		moka_buf_printf(&line, "%s%s", first ? "" : " ", item);
		at += n + (at[n] == ',');
		at += *at == ' ';
	}
	if (line.len)
		add_line(g, b, cut(g, moka__print(&g->arena, "%s", line.data), limit), MOKA__FAINT, limit);
	moka_buf_release(&line);
}

static int first_ref(const struct moka__graph *g, const struct moka__box *b, bool *several)
{
	int ref = 0;

	*several = false;
	for (int i = 0; i < b->n_in; i++) {
		const struct moka__edge *e = &g->edges[b->in[i]];

		if (!e->cut)
			continue;
		*several |= ref && ref != e->ref;
		ref = ref ? ref : e->ref;
	}
	return ref;
}

/* What comes in from afar: "(1) <- conv4_3_conf, fc7_conf", or, under several numbers, "<- (1) data, (4) conv2". */
static void add_refs(struct moka__graph *g, struct moka__box *b, int limit)
{
	struct moka__names names;
	bool several;
	int ref = first_ref(g, b, &several);
	const char *arrow = g->ascii ? "<-" : "←";

	if (!ref)
		return;
	moka__names_begin(&names, 16);
	for (int i = 0; i < b->n_in; i++) {
		const struct moka__edge *e = &g->edges[b->in[i]];

		if (!e->cut)
			continue;
		if (several && names.n < names.max)
			moka__names_add(&names, moka__print(&g->arena, "%s %s", moka__ref_sign(g, e->ref),
							    wire_name(g, &g->nets[e->net])));
		else
			moka__names_add(&names, names.n < names.max ? wire_name(g, &g->nets[e->net]) : "");
	}
	add_list(g, b,
		 several ? moka__print(&g->arena, "%s ", arrow)
			 : moka__print(&g->arena, "%s %s ", moka__ref_sign(g, ref), arrow),
		 moka__names_end(&names, &g->arena), limit);
}

/* Columns of one layer's line. */
struct row {
	const char *name, *what, *shape, *shared;
	bool bad;
};

static const char *top_shape(struct moka__graph *g, const struct moka_net_layer *nl)
{
	return nl->l.n_top ? moka__shape(&g->arena, &g->n->blobs[nl->tops[0]].shape) : "";
}

/* One row for each layer that gets a line; returns how many. */
static int make_rows(struct moka__graph *g, const struct moka__box *b, struct row *rows)
{
	int n = 0;

	for (int i = 0, next; i < b->n_layers && n < MAX_LINES / 2; i = next) {
		const struct moka_net_layer *nl = &g->n->layers[b->layers[i]];

		rows[n].name = moka__layer_name(nl);
		rows[n].bad = !nl->l.type;
		next = i + 1;
		if (g->open)
			rows[n].what = i ? moka__print(&g->arena, "%s (in place)", operation(g, nl, false))
					 : operation(g, nl, false);
		else
			rows[n].what = operations(g, b, i, false, &next);
		rows[n].shared = shares(g, b, i, next);
		rows[n].shape = g->open ? "" : top_shape(g, nl);
		n++;
	}
	return n;
}

static void widest(const struct row *rows, int n, int *name, int *what)
{
	*name = *what = 0;
	for (int i = 0; i < n; i++) {
		*name = MOKA_MAX(*name, moka__columns(rows[i].name));
		*what = MOKA_MAX(*what, moka__columns(rows[i].what));
	}
}

static const char *pad(struct moka__graph *g, const char *s, int columns)
{
	return moka__print(&g->arena, "%s%*s", s, columns - moka__columns(s), "");
}

/* The wide form, if it fits into `limit` columns. */
static bool wide_text(struct moka__graph *g, struct moka__box *b, const struct row *rows, int n, int limit)
{
	int name, what, shape = 0;

	widest(rows, n, &name, &what);
	for (int i = 0; i < n && n > 1; i++)
		shape = MOKA_MAX(shape, moka__columns(rows[i].shape));
	if (name + 2 + what + (shape ? 2 + shape : 0) > limit)
		return false;
	for (int i = 0; i < n; i++) {
		const char *s = moka__print(&g->arena, "%s  %s", pad(g, rows[i].name, name), rows[i].what);

		if (shape)
			s = moka__print(&g->arena, "%s  %s", pad(g, s, name + 2 + what), rows[i].shape);
		add_line(g, b, s, rows[i].bad ? MOKA__BAD : MOKA__NAME, name);
		if (rows[i].shared)
			add_line(g, b,
				 cut(g, moka__print(&g->arena, "%*s%s", n > 1 ? 2 : 0, "", rows[i].shared), limit),
				 MOKA__FAINT, limit);
	}
	return true;
}

/* "Conv 64 3x3 + ReLU", broken before a '+' or at blanks. */
static void add_wrapped(struct moka__graph *g, struct moka__box *b, const char *s, int limit)
{
	while (*s) {
		size_t fit = 0, plus = 0, n = strlen(s);

		for (size_t i = 1; i <= n; i++) {
			const char *head = s[i] == ' ' || !s[i] ? moka_arena_strndup(&g->arena, s, i) : NULL;

			if (!head)
				continue;
			if (moka__columns(head) + 1 > limit)
				break;
			fit = i;
			plus = s[i] == ' ' && s[i + 1] == '+' ? i : plus;
		}
		if (fit && fit < n && plus)
			fit = plus;
		else if (fit && s[fit - 1] == '+' && fit > 2)
			fit -= 2;
		if (!fit)
			fit = n;
		add_line(g, b, moka__print(&g->arena, " %s", cut(g, moka_arena_strndup(&g->arena, s, fit), limit - 1)),
			 MOKA__PLAIN, 0);
		s += fit + (s[fit] == ' ');
	}
}

static void narrow_text(struct moka__graph *g, struct moka__box *b, int limit)
{
	for (int i = 0, next; i < b->n_layers && b->n_lines < MAX_LINES - 8; i = next) {
		const struct moka_net_layer *nl = &g->n->layers[b->layers[i]];
		const char *what = operations(g, b, i, true, &next), *shared = shares(g, b, i, next);

		add_line(g, b, cut_name(g, moka__layer_name(nl), limit), nl->l.type ? MOKA__NAME : MOKA__BAD, limit);
		add_wrapped(g, b, what, limit);
		if (shared)
			add_line(g, b, cut(g, moka__print(&g->arena, " %s", shared), limit), MOKA__FAINT, limit);
	}
}

#define GROUP_LINES 6

/* Boxes that found no room side by side: so many, and what the first of their layers are. */
static void group_text(struct moka__graph *g, struct moka__box *b, int limit)
{
	int shown = 0;

	if (!b->n_layers) {
		add_line(g, b, cut(g, moka__print(&g->arena, "%d inputs", b->members), limit), MOKA__FAINT, limit);
		return;
	}
	add_line(g, b, cut(g, moka__print(&g->arena, "%d side by side:", b->members), limit), MOKA__FAINT, limit);
	for (int i = 0, next; i < b->n_layers && shown < GROUP_LINES; i = next, shown++) {
		const char *name = moka__layer_name(&g->n->layers[b->layers[i]]),
			   *what = operations(g, b, i, true, &next);
		int room = limit - moka__columns(name) - 2;

		add_line(g, b,
			 room > 6 ? moka__print(&g->arena, "%s  %s", name, cut(g, what, room))
				  : cut_name(g, name, limit),
			 MOKA__NAME, moka__columns(name));
	}
	if (b->n_layers > shown)
		add_line(g, b, cut(g, moka__print(&g->arena, "and %d layers more", b->n_layers - shown), limit),
			 MOKA__PLAIN, 0);
}

/* An input has no frame: its name and shape, and that the net does not declare it. */
static void input_text(struct moka__graph *g, struct moka__box *b, int limit)
{
	const struct moka_blob *x = &g->n->blobs[b->input];
	const char *shape = moka__shape(&g->arena, &x->shape), *name = x->name;
	const char *line = moka__print(&g->arena, "%s  %s", name, shape);

	if (moka__columns(line) <= limit) {
		add_line(g, b, line, MOKA__NAME, moka__columns(name));
	} else {
		add_line(g, b, cut_name(g, name, limit), MOKA__NAME, limit);
		add_line(g, b, cut(g, shape, limit), MOKA__FAINT, limit);
	}
}

/* Columns below a box that several blobs leave, so that each can be named. */
static int port_columns(struct moka__graph *g, const struct moka__box *b, int style)
{
	int slot = 2;

	for (int i = 0; moka__styles[style].labels && i < b->n_nets; i++)
		slot = MOKA_MAX(slot, moka__label_columns(g, &g->nets[b->nets[i]], moka__styles[style].labels) + 4);
	return slot * b->n_nets;
}

void moka__box_text(struct moka__graph *g, struct moka__box *b, int style)
{
	int limit = moka__styles[style].text;
	struct row *rows;
	int n;

	if (!limit || limit > g->width - 4)
		limit = g->width - 4;
	b->n_lines = b->width = 0;
	if (!b->lines) {
		b->cap_lines = (int)MOKA_MIN((int64_t)MAX_LINES, (int64_t)b->n_layers * 8 + 16 + b->n_in);
		b->lines = MOKA_NEWN(&g->arena, b->cap_lines, struct moka__line);
	}
	rows = MOKA_NEWN(&g->arena, MOKA_MIN(b->n_layers + 1, MAX_LINES), struct row);
	if (!b->lines || !rows) {
		g->failed = true;
		return;
	}
	add_refs(g, b, limit);
	if (b->input >= 0) {
		input_text(g, b, limit);
	} else if (b->members > 1) {
		group_text(g, b, limit);
	} else {
		n = make_rows(g, b, rows);
		if (!wide_text(g, b, rows, n, limit))
			narrow_text(g, b, limit);
	}
	b->height = b->n_lines + (b->input >= 0 ? 0 : 2);
	b->width += b->input >= 0 ? 0 : 4;
	b->width = MOKA_MAX(b->width, b->input >= 0 ? 3 : 7);
	if (b->n_nets > 1)
		b->width = MOKA_MAX(b->width, MOKA_MIN(port_columns(g, b, style), limit + 4));
}

int moka__box_rows(const struct moka__graph *g, const struct moka__box *b)
{
	if (b->input >= 0)
		return 1;
	return MOKA_MIN(b->members > 1 ? GROUP_LINES + 2
			: g->open      ? b->n_layers
				       : moka__box_layers(g, b),
			MAX_LINES) +
	       2;
}

/*
 * ---- beside the lines
 * -------------------------------------------------------------------------------------------
 */

bool moka__wire_drawn(const struct moka__graph *g, const struct moka__wire *w)
{
	for (int i = 0; i < w->n_edges; i++)
		if (!g->edges[w->edges[i]].cut)
			return true;
	return false;
}

bool moka__wire_has_refs(const struct moka__graph *g, const struct moka__wire *w)
{
	for (int i = 0; i < w->n_edges; i++)
		if (g->edges[w->edges[i]].cut)
			return true;
	return false;
}

/* Whether the layer that makes it already says the blob's name in its box. */
static bool named_in_box(const struct moka__graph *g, const struct moka__wire *w)
{
	const struct moka_blob *x = w->blob >= 0 ? &g->n->blobs[w->blob] : NULL;

	return x && x->producer >= 0 && !strcmp(x->name, moka__layer_name(&g->n->layers[x->producer]));
}

#define LEAST_LABEL 8 /* a shape cut shorter says nothing */

const char *moka__wire_label(struct moka__graph *g, const struct moka__wire *w, int columns, bool brief)
{
	const char *name = wire_name(g, w), *shape, *both;
	int room;

	if (g->boxes[w->from].input >= 0 || columns < 1)
		return "";
	if (w->blob < 0)
		return cut(g, name, columns);
	shape = moka__shape(&g->arena, &g->n->blobs[w->blob].shape);
	both = moka__print(&g->arena, "%s  %s", name, shape);
	if (moka__columns(both) <= columns && !(brief && named_in_box(g, w)))
		return both;
	room = columns - moka__columns(shape) - 1;
	if (columns < LEAST_LABEL && moka__columns(shape) > columns)
		return "";
	if (named_in_box(g, w) || room < 5)
		return cut(g, shape, columns);
	return moka__print(&g->arena, "%s %s", cut_name(g, name, room), shape);
}

/* "→ ① mbox_conf": where the references of one number lead. */
const char *moka__wire_refs(struct moka__graph *g, const struct moka__wire *w, int columns)
{
	struct moka_buf b;
	const char *out, *names_text;
	int last = 0;

	moka_buf_init(&b, 0);
	for (;;) {
		struct moka__names names;
		int ref = 0, n = 0;

		for (int i = 0; i < w->n_edges; i++) {
			const struct moka__edge *e = &g->edges[w->edges[i]];

			if (e->cut && e->ref > last && (!ref || e->ref < ref))
				ref = e->ref;
		}
		if (!ref)
			break;
		moka__names_begin(&names, 2);
		for (int i = 0; i < w->n_edges; i++) {
			const struct moka__edge *e = &g->edges[w->edges[i]];
			const struct moka__box *to = &g->boxes[e->to];

			if (e->cut && e->ref == ref && to->n_layers) {
				moka__names_add(&names, moka__layer_name(&g->n->layers[to->layers[0]]));
				n++;
			}
		}
		names_text = moka__names_end(&names, &g->arena);
		moka_buf_printf(&b, "%s%s %s", b.len ? "  " : "", moka__ref_sign(g, ref),
				n > 2 ? moka__print(&g->arena, "%d layers", n) : names_text);
		last = ref;
		if (b.len > 200)
			break;
	}
	out = cut(g, moka__print(&g->arena, "%s %s", g->ascii ? ">" : "→", b.len ? b.data : ""), columns);
	moka_buf_release(&b);
	return out;
}

#define MAX_REFS_COLUMNS 18 /* kept free for them; there may be room for more */

int moka__label_columns(struct moka__graph *g, const struct moka__wire *w, int labels)
{
	int refs = 0;

	if (!labels)
		return 0;
	if (moka__wire_has_refs(g, w))
		refs = MOKA_MIN(moka__columns(moka__wire_refs(g, w, g->width)) - 1, MAX_REFS_COLUMNS);
	if (g->boxes[w->from].input >= 0)
		return refs;
	if (labels == 2)
		return MOKA_MAX(refs,
				MOKA_MIN(moka__columns(moka__wire_label(g, w, g->width, false)), g->width / 2 - 4));
	return MOKA_MAX(refs, w->blob < 0 ? 9 : moka__columns(moka__shape(&g->arena, &g->n->blobs[w->blob].shape)));
}

int moka__port(const struct moka__graph *g, const struct moka__box *b, int net)
{
	if (b->n_nets <= 1)
		return b->width / 2;
	return (int)(((int64_t)2 * g->nets[net].port + 1) * b->width / (2 * b->n_nets));
}
