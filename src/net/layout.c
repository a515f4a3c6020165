/*
 * layout.c - which value lies how, and the works in the order in which they run.
 *
 * Backwards over the works: what each value's readers would like (preferences). Forwards: each work is given its values in
 * a layout it takes, a copy in between where they lie otherwise; one copy serves all readers.
 *
 * A concat along channels isn't a work: what makes its bottoms writes them where they belong in the top, as parts of it. That
 * needs channels that begin at whole blocks, and a bottom that isn't a part of something already; what can't be written in
 * place is copied there. Plain parts are strided where there are several images, which a layer's forward() can't read:
 * only a single image is joined plainly without a copy. A slice is the same the other way round.
 */
#include "net/fused.h"

#include <string.h>

enum { NO_WISH, PLAIN, BLOCKED };

struct lay {
	struct moka_plan *p;
	int block;
	char *wish; /* per value */
};

int64_t moka__value_image(const struct moka_plan *p, int value)
{
	const struct moka__value *v = &p->values[value];

	while (v->strided)
		v = &p->values[v->from];
	return moka_tensor_image(v->channels, v->height, v->width, v->block);
}

static void add_work(struct moka_plan *p, const struct moka__work *w)
{
	if (p->n_works == p->work_room) {
		const int room = MOKA_MAX(p->work_room * 2, 64);
		struct moka__work *more = MOKA_NEWN(&p->arena, room, struct moka__work);

		if (!more) {
			p->no_memory = true;
			return;
		}
		if (p->n_works)
			memcpy(more, p->works, (size_t)p->n_works * sizeof(*more));
		p->works = more;
		p->work_room = room;
	}
	p->works[p->n_works] = *w;
	p->works[p->n_works++].stretch = -1;
}

/* ---- preferences ---------------------------------------------------------------------------------------------- */

/* Whether the parts of a concat or slice begin at whole blocks; `whole` is the joined value. */
static bool aligned(const struct lay *y, const int *parts, int n)
{
	bool ok = y->block > 1;

	for (int i = 0; i + 1 < n; i++)
		ok &= y->p->values[parts[i]].channels % y->block == 0;
	return ok;
}

static void want(struct lay *y, int value, int wish)
{
	if (y->wish[value] != BLOCKED)
		y->wish[value] = (char)MOKA_MAX(y->wish[value], wish);
}

static struct moka_conv_desc describe(const struct lay *y, const struct moka__work *w, bool in_blocked,
				      bool out_blocked)
{
	const struct moka__value *x = &y->p->values[w->in[0]], *out = &y->p->values[w->out[0]];
	struct moka_conv_desc d = { .images = x->images,
				    .channels = x->channels,
				    .height = x->height,
				    .width = x->width,
				    .outputs = out->channels,
				    .group = w->op.conv.group,
				    .in_block = in_blocked ? y->block : 1,
				    .out_block = out_blocked ? y->block : 1,
				    .residual = w->n_in > 1,
				    .act = w->act };

	for (int i = 0; i < 2; i++) {
		d.kernel[i] = w->op.conv.kernel[i];
		d.stride[i] = w->op.conv.stride[i];
		d.pad[i] = w->op.conv.pad[i];
		d.dilation[i] = w->op.conv.dilation[i];
	}
	return d;
}

static bool takes(const struct lay *y, const struct moka__work *w, bool in_blocked, bool out_blocked)
{
	const struct moka_conv_desc d = describe(y, w, in_blocked, out_blocked);

	return moka_conv_op_takes(&d);
}

static void wishes_of(struct lay *y, const struct moka__work *w)
{
	const int above = w->n_out ? y->wish[w->out[0]] : NO_WISH;
	int wish = PLAIN;

	switch (w->kind) {
	case MOKA__WORK_CONV:
		wish = y->block > 1 && takes(y, w, true, true) ? BLOCKED : PLAIN;
		if (w->n_in > 1)
			want(y, w->in[1], wish);
		if (y->p->values[w->in[0]].producer < 0 && takes(y, w, false, true))
			wish = PLAIN;
		want(y, w->in[0], wish);
		return;
	case MOKA__WORK_POOL:
	case MOKA__WORK_LRN:
	case MOKA__WORK_AFFINE:
	case MOKA__WORK_ADD2:
		wish = y->p->values[w->out[0]].image ? above : PLAIN;
		break;
	case MOKA__WORK_NONE:
		if (w->op.kind == MOKA_OP_CONCAT && aligned(y, w->in, w->n_in))
			wish = above;
		if (w->op.kind == MOKA_OP_SLICE && aligned(y, w->out, w->n_out)) {
			wish = NO_WISH;
			for (int i = 0; i < w->n_out; i++)
				wish = MOKA_MAX(wish, y->wish[w->out[i]]);
		}
		break;
	default:
		break;
	}
	for (int i = 0; i < w->n_in; i++)
		want(y, w->in[i], wish);
}

/* ---- values in a layout ------------------------------------------------------------------------------------------ */

static void add_copy(struct lay *y, int from, int to)
{
	struct moka__work w = { .kind = MOKA__WORK_COPY, .act_layer = -1 };

	moka__plan_push(y->p, &w.in, &w.n_in, from);
	moka__plan_push(y->p, &w.out, &w.n_out, to);
	add_work(y->p, &w);
}

static bool dense(const struct lay *y, int value)
{
	return !y->p->values[value].strided || y->p->values[value].images == 1;
}

/* The value v, plain and dense, or blocked: itself, or a copy. -1: no memory. */
static int as(struct lay *y, int v, bool blocked)
{
	struct moka_plan *p = y->p;
	int *cached = blocked ? &p->values[v].blocked : &p->values[v].plain, copy;

	if (blocked ? p->values[v].block > 1 : p->values[v].block == 1 && dense(y, v))
		return v;
	if (*cached >= 0)
		return *cached;
	copy = moka__plan_copy_value(p, v, blocked ? y->block : 1);
	if (copy < 0)
		return -1;
	add_copy(y, v, copy);
	if (blocked)
		p->values[v].blocked = copy;
	else
		p->values[v].plain = copy;
	return copy;
}

static bool has_blocked(const struct lay *y, int v)
{
	return y->block > 1 && (y->p->values[v].block > 1 || y->p->values[v].blocked >= 0);
}

/* A work's own lists, since the graph's are read again for the plan's description. */
static void emit(struct lay *y, struct moka__work *w, bool in_blocked, bool out_blocked)
{
	for (int i = 0; i < w->n_in; i++)
		w->in[i] = as(y, w->in[i], i ? out_blocked : in_blocked);
	for (int i = 0; i < w->n_out; i++)
		y->p->values[w->out[i]].block = out_blocked ? y->block : 1;
	add_work(y->p, w);
}

/* ---- works ---------------------------------------------------------------------------------------------------------- */

static enum moka_status lay_conv(struct lay *y, struct moka__work *w)
{
	const bool here = has_blocked(y, w->in[0]), wanted = y->wish[w->out[0]] != PLAIN && y->block > 1;
	const bool may = y->block > 1;
	const struct {
		bool in, out;
	} tries[] = { { here, wanted }, { here, true }, { true, wanted }, { true, true }, { false, true } };
	struct moka_conv_desc d = describe(y, w, false, false);

	for (size_t i = 0; may && i < MOKA_COUNT(tries); i++) {
		if ((!tries[i].in && !tries[i].out) || !takes(y, w, tries[i].in, tries[i].out))
			continue;
		d = describe(y, w, tries[i].in, tries[i].out);
		break;
	}
	MOKA_TRY(moka_conv_op_new(&w->conv, &d));
	w->desc = d;
	emit(y, w, d.in_block > 1, d.out_block > 1);
	return MOKA_OK;
}

/* Layers that work on any layout: blocked where a bottom is. */
static void lay_any(struct lay *y, struct moka__work *w)
{
	bool blocked = false;

	for (int i = 0; i < w->n_in; i++)
		blocked |= y->p->values[w->in[i]].image && has_blocked(y, w->in[i]);
	if (!blocked && (w->n_layers == 1 || w->kind == MOKA__WORK_POOL || w->kind == MOKA__WORK_LRN))
		w->kind = MOKA__WORK_LAYER;
	if (w->kind == MOKA__WORK_LAYER)
		w->act.kind = MOKA_ACT_NONE; /* forward() does it */
	if (w->kind == MOKA__WORK_LAYER)
		w->n_affines = 0;
	emit(y, w, blocked, blocked);
}

/* Makes `part` lie in `whole` from channel `at` on. */
static void become_part(struct lay *y, int part, int whole, int64_t at)
{
	struct moka__value *v = &y->p->values[part];

	v->from = whole;
	v->at = at * v->height * v->width;
	v->strided = true;
}

static void lay_concat(struct lay *y, struct moka__work *w)
{
	struct moka_plan *p = y->p;
	const int whole = w->out[0];
	const bool may = aligned(y, w->in, w->n_in);
	bool blocked = may && y->wish[whole] == BLOCKED;
	int64_t at = 0;

	for (int i = 0; may && i < w->n_in; i++)
		blocked |= has_blocked(y, w->in[i]);
	if (!blocked && p->values[whole].images > 1) {
		w->kind = MOKA__WORK_LAYER;
		emit(y, w, false, false);
		return;
	}
	p->values[whole].block = blocked ? y->block : 1;
	for (int i = 0; i < w->n_in; i++) {
		int v = w->in[i];
		const struct moka__value *x = &p->values[v];

		if ((x->block > 1) != blocked || x->from >= 0 || x->input || x->output) {
			v = moka__plan_copy_value(p, v, p->values[whole].block);
			if (v < 0)
				return;
			become_part(y, v, whole, at);
			add_copy(y, w->in[i], v);
			w->in[i] = v;
		} else {
			become_part(y, v, whole, at);
		}
		at += p->values[v].channels;
	}
	add_work(p, w);
}

static void lay_slice(struct lay *y, struct moka__work *w)
{
	const bool blocked = has_blocked(y, w->in[0]) && aligned(y, w->out, w->n_out);
	int64_t at = 0;

	if (!blocked && y->p->values[w->in[0]].images > 1) {
		w->kind = MOKA__WORK_LAYER;
		emit(y, w, false, false);
		return;
	}
	emit(y, w, blocked, blocked);
	for (int i = 0; i < w->n_out; i++) {
		become_part(y, w->out[i], w->in[0], at);
		at += y->p->values[w->out[i]].channels;
	}
}

/* Another shape over the same plain values. */
static void lay_view(struct lay *y, struct moka__work *w)
{
	bool copied = false;

	for (int i = 0; i < w->n_out; i++)
		copied |= y->p->values[w->out[i]].output;
	if (copied)
		w->kind = MOKA__WORK_LAYER;
	emit(y, w, false, false);
	for (int i = 0; !copied && i < w->n_out; i++)
		y->p->values[w->out[i]].from = w->in[0];
}

/* An output that doesn't lie plain in a place of its own is copied there. */
static void show_outputs(struct lay *y, const struct moka__work *w)
{
	struct moka_plan *p = y->p;

	for (int i = 0; i < w->n_out; i++) {
		const struct moka__value *v = &p->values[w->out[i]];
		int copy;

		if (!v->output || (v->block == 1 && v->from < 0))
			continue;
		copy = moka__plan_copy_value(p, w->out[i], 1);
		if (copy < 0)
			return;
		p->values[w->out[i]].output = false;
		p->values[w->out[i]].plain = copy;
		p->values[copy].output = true;
		p->kept[p->values[copy].blob] = copy;
		add_copy(y, w->out[i], copy);
	}
}

static enum moka_status lay_work(struct lay *y, const struct moka__work *graph)
{
	struct moka__work w = *graph;

	switch (w.kind) {
	case MOKA__WORK_CONV:
		MOKA_TRY(lay_conv(y, &w));
		break;
	case MOKA__WORK_LAYER:
		emit(y, &w, false, false);
		break;
	case MOKA__WORK_NONE:
		if (w.op.kind == MOKA_OP_CONCAT)
			lay_concat(y, &w);
		else if (w.op.kind == MOKA_OP_SLICE)
			lay_slice(y, &w);
		else
			lay_view(y, &w);
		break;
	default:
		lay_any(y, &w);
		break;
	}
	show_outputs(y, &w);
	return y->p->no_memory ? MOKA_ERR_NOMEM : MOKA_OK;
}

enum moka_status moka__plan_layout(struct moka_plan *p)
{
	struct lay y = { .p = p, .block = moka_block(), .wish = MOKA_NEWN(&p->arena, p->n_values + 1, char) };

	if (!y.wish)
		return MOKA_ERR_NOMEM;
	for (int i = p->n_graph - 1; i >= 0; i--)
		if (!p->graph[i].gone)
			wishes_of(&y, &p->graph[i]);
	for (int i = 0; i < p->n_graph; i++)
		if (!p->graph[i].gone)
			MOKA_TRY(lay_work(&y, &p->graph[i]));
	return MOKA_OK;
}
