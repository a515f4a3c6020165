/*
 * wire.c - bottoms and tops: which blob a name means, and what is wrong where it means none.
 *
 * A name means the blob that the last layer before made under it. A layer whose top has its bottom's name works in place and
 * makes no new blob, unless someone has read the old values already: then it makes a second version under the same
 * name. So among a blob's consumers the in-place layers come first, in order, and all that read the result follow.
 */
#include "net/internal.h"

#include <string.h>

static const char *node_name(struct moka__build *b, const struct moka_node *n)
{
	const char *s = n->kind == MOKA_NODE_STRING || n->kind == MOKA_NODE_NAME
				? moka_arena_strndup(&b->n->arena, n->u.s.p, n->u.s.n)
				: "";

	if (!s)
		b->no_memory = true;
	return s ? s : "";
}

static bool node_is(const struct moka_node *n, const char *s)
{
	return (n->kind == MOKA_NODE_STRING || n->kind == MOKA_NODE_NAME) && n->u.s.n == strlen(s) &&
	       !memcmp(n->u.s.p, s, n->u.s.n);
}

bool moka__is_source(const struct moka_msg *layer)
{
	return moka_has(layer, "top") && !moka_has(layer, "bottom");
}

const struct moka_shape *moka__given(const struct moka__build *b, const char *blob)
{
	for (int i = 0; i < b->o->n_inputs; i++)
		if (!strcmp(b->o->inputs[i].blob, blob))
			return &b->o->inputs[i].shape;
	return NULL;
}

/* ---- what the file makes, and where -------------------------------------------------------------- */

/* Tops of a layer that are not one of its bottoms worked on in place. */
static void index_tops(struct moka__build *b, int model_layer, struct moka_map *map)
{
	const struct moka_msg *msg = b->m->layers[model_layer].msg;
	const struct moka_node *bottom = moka_next(msg, "bottom", NULL);

	for (const struct moka_node *t = moka_next(msg, "top", NULL); t; t = moka_next(msg, "top", t)) {
		const char *name = node_name(b, t);
		bool in_place = bottom && node_is(bottom, name);

		if (!in_place && !moka_map_get(map, name))
			moka__put(b, map, name, model_layer);
		bottom = bottom ? moka_next(msg, "bottom", bottom) : NULL;
	}
}

void moka__wire_index(struct moka__build *b)
{
	for (int i = 0; i < b->m->n_layers; i++) {
		b->declares_inputs |= moka__is_source(b->m->layers[i].msg);
		index_tops(b, i, b->included[i] ? &b->makers : &b->elsewhere);
	}
}

/* ---- missing bottoms ------------------------------------------------------------------------------- */

/* Whether layer `from` of the model needs, over any number of layers, what layer `target` makes. */
static bool depends_on(struct moka__build *b, int from, int target)
{
	bool *seen = MOKA_NEWN(&b->n->arena, b->m->n_layers, bool);
	int *stack = MOKA_NEWN(&b->n->arena, b->m->n_layers, int), top = 0;

	if (!seen || !stack)
		return false;
	stack[top++] = from;
	seen[from] = true;
	while (top) {
		const struct moka_msg *msg = b->m->layers[stack[--top]].msg;

		for (const struct moka_node *n = moka_next(msg, "bottom", NULL); n; n = moka_next(msg, "bottom", n)) {
			int maker = moka__index(&b->makers, node_name(b, n));

			if (maker == target)
				return true;
			if (maker < 0 || seen[maker])
				continue;
			seen[maker] = true;
			stack[top++] = maker;
		}
	}
	return false;
}

static void say_made_later(struct moka__build *b, const struct moka_net_layer *nl, struct moka_loc loc,
			   const char *name, int self, int maker)
{
	const struct moka_model_layer *ml = &b->m->layers[maker];
	char line[32];

	moka__at_line(ml->loc, line, sizeof(line));
	if (maker == self) {
		moka__say(b, MOKA_ERROR, "cycle", loc, nl->l.name, nl->type_name,
			  "bottom '%.200s' is what the layer itself makes", name);
		return;
	}
	if (b->advice++ < MOKA__MAX_ADVICE && depends_on(b, maker, self)) {
		moka__say(
			b, MOKA_ERROR, "cycle", loc, nl->l.name, nl->type_name,
			"bottom '%.200s' is made by layer '%.200s'%s, which itself needs what this layer makes: a cycle",
			name, ml->name, line);
		moka_find_hint(b->f, "a net has no way back; one of the two must take something else");
		return;
	}
	moka__say(b, MOKA_ERROR, "made-later", loc, nl->l.name, nl->type_name,
		  "bottom '%.200s' is made only later, by layer '%.200s'%s", name, ml->name, line);
	moka_find_hint(b->f, "layers run in the order of the file: move '%.200s' before this layer", ml->name);
}

/* In words, why a blob that some layer of the file makes is not there; "" where no layer makes it. */
static const char *why_absent(struct moka__build *b, const char *name, char *buf, size_t size)
{
	int other = moka__index(&b->elsewhere, name), dropped = moka__index(&b->dropped, name);
	struct moka__state s = b->state;
	char line[32];

	buf[0] = 0;
	if (dropped >= 0)
		snprintf(buf, size, ": layer '%.200s'%s, which makes it, is left out because its label is missing",
			 b->m->layers[dropped].name, moka__at_line(b->m->layers[dropped].loc, line, sizeof(line)));
	if (dropped >= 0 || other < 0)
		return buf;
	s.phase = s.phase == MOKA_TRAIN ? MOKA_TEST : MOKA_TRAIN;
	if (moka__included(b->m->layers[other].msg, &s))
		snprintf(buf, size, ": it exists only in phase %s, made by layer '%.200s'%s",
			 s.phase == MOKA_TRAIN ? "TRAIN" : "TEST", b->m->layers[other].name,
			 moka__at_line(b->m->layers[other].loc, line, sizeof(line)));
	else
		snprintf(buf, size,
			 ": layer '%.200s'%s makes it, but its include and exclude rules leave it out (level, stage)",
			 b->m->layers[other].name, moka__at_line(b->m->layers[other].loc, line, sizeof(line)));
	return buf;
}

static void say_missing(struct moka__build *b, const struct moka_net_layer *nl, struct moka_loc loc, const char *name)
{
	char why[600];
	const char *near = NULL;

	why_absent(b, name, why, sizeof(why));
	if (!why[0] && b->advice++ < MOKA__MAX_ADVICE)
		near = moka_net_nearest_blob(b->n, name);
	moka__say(b, MOKA_ERROR, "missing-bottom", loc, nl->l.name, nl->type_name,
		  "bottom '%.200s' is made by no layer before it%s", name, why);
	if (near)
		moka_find_hint(b->f, "did you mean '%s'?", near);
	else if (!why[0])
		moka_find_hint(
			b->f,
			"declare it with an Input layer, or give its shape from outside (--input %.200s=1x3x224x224)",
			name);
	else
		moka_find_hint(
			b->f,
			"give the phase that has it, or let this layer exist only there (include { phase: ... })");
}

/* ---- blobs --------------------------------------------------------------------------------------------- */

/* A new blob; the last one of its name from now on. -1: no memory. */
static int add_blob(struct moka__build *b, const char *name, struct moka_loc loc, int producer, int top, bool named)
{
	struct moka_net *n = b->n;

	if (n->n_blobs == b->blob_cap) {
		b->no_memory = true;
		return -1;
	}
	int i = n->n_blobs++;

	n->blobs[i] = (struct moka_blob){ .name = name,
					  .shape.n = -1,
					  .producer = producer,
					  .producer_top = top,
					  .declared = producer >= 0,
					  .is_input = producer < 0,
					  .loc = loc };
	if (named)
		moka__put(b, &b->current, name, i);
	return i;
}

static int missing_bottom(struct moka__build *b, struct moka_net_layer *nl, int self, const char *name,
			  struct moka_loc loc)
{
	const struct moka_shape *given = moka__given(b, name);
	int maker = moka__index(&b->makers, name);
	int blob = add_blob(b, name, loc, -1, 0, true);

	if (blob < 0)
		return 0;
	if (given)
		b->n->blobs[blob].shape = *given;
	if (maker >= self)
		say_made_later(b, nl, loc, name, self, maker);
	else if (!given && (b->declares_inputs || b->o->for_run))
		say_missing(b, nl, loc, name);
	b->missing[blob] = true;
	return blob;
}

void moka__wire_bottoms(struct moka__build *b, int layer)
{
	struct moka_net_layer *nl = &b->n->layers[layer];
	struct moka_blob_ref *refs = MOKA_NEWN(&b->n->arena, nl->l.n_bottom + 1, struct moka_blob_ref);
	const struct moka_node *node = NULL;

	nl->bottoms = MOKA_NEWN(&b->n->arena, nl->l.n_bottom + 1, int);
	if (!refs || !nl->bottoms) {
		b->no_memory = true;
		return;
	}
	for (int i = 0; i < nl->l.n_bottom && !b->no_memory; i++) {
		node = moka_next(nl->l.msg, "bottom", node);
		const char *name = node_name(b, node);
		int blob = moka__index(&b->current, name);

		if (blob < 0)
			blob = missing_bottom(b, nl, b->from[layer], name, moka_value_loc(nl->l.msg, node));
		nl->bottoms[i] = blob;
		refs[i].name = name;
		if (!b->no_memory)
			refs[i].shape = b->n->blobs[blob].shape;
	}
	nl->l.bottom = refs;
}

/* ---- tops ------------------------------------------------------------------------------------------------ */

/* What the layer says of its tops' loss weights, read once for all of them. */
struct stated_loss {
	double w[32];
	size_t n;
};

static bool has_loss(const struct moka_net_layer *nl, const struct stated_loss *said, int top)
{
	if (said->n)
		return (size_t)top < said->n && top < (int)MOKA_COUNT(said->w) && said->w[top] != 0;
	return top == 0 && nl->l.type && (nl->l.type->flags & MOKA_LOSS);
}

/* Whether working in place would spoil what the backward of a layer before reads of the blob. */
static bool would_spoil(const struct moka__build *b, const struct moka_net_layer *nl, int blob)
{
	const uint32_t held = b->o->backward ? b->held[blob] : 0;

	return (held & MOKA_READS_TOP) ||
	       ((held & MOKA_READS_SIGN) && nl->l.type && !(nl->l.type->flags & MOKA_KEEPS_SIGN));
}

static void hold(struct moka__build *b, const struct moka_net_layer *nl, int top)
{
	const uint32_t flags = nl->l.type ? nl->l.type->flags : 0;

	if (top == 0 && ((flags & MOKA_READS_TOP) || nl->l.reads_top))
		b->held[nl->tops[top]] |= MOKA_READS_TOP;
	if (top == 0 && nl->in_place)
		b->held[nl->tops[top]] |= flags & MOKA_READS_SIGN;
}

/* Whether top i, which has the name of bottom i, can have its memory too. */
static bool can_alias(struct moka__build *b, const struct moka_net_layer *nl, int i)
{
	const struct moka_net *n = b->n;
	int blob = nl->bottoms[i];

	if (b->readers[blob] || would_spoil(b, nl, blob) || moka__index(&b->current, n->blobs[blob].name) != blob)
		return false;
	for (int k = 0; k < nl->l.n_bottom; k++)
		if (k != i && nl->bottoms[k] == blob)
			return false;
	if (!nl->l.type)
		return true;
	return i == 0 && (nl->l.type->flags & MOKA_INPLACE) &&
	       moka_shape_equal(&nl->l.top[i].shape, &n->blobs[blob].shape);
}

static void say_second_version(struct moka__build *b, const struct moka_net_layer *nl, int blob, const char *name,
			       struct moka_loc loc)
{
	if (b->readers[blob])
		moka__say(
			b, MOKA_NOTE, "in-place-after-use", loc, nl->l.name, nl->type_name,
			"works in place on '%.200s', whose values another layer has taken already; here it gets memory of its own (BVLC "
			"Caffe refuses the net)",
			name);
	else if (would_spoil(b, nl, blob))
		moka__say(
			b, MOKA_NOTE, "in-place-before-gradient", loc, nl->l.name, nl->type_name,
			"works in place on '%.200s', whose values the gradient of the layer before needs; here it gets memory of its own "
			"(in BVLC Caffe that gradient is wrong)",
			name);
}

static void say_duplicate(struct moka__build *b, const struct moka_net_layer *nl, int old, const char *name,
			  struct moka_loc loc)
{
	const struct moka_blob *x = &b->n->blobs[old];
	char line[32];

	moka__at_line(x->loc, line, sizeof(line));
	if (x->producer < 0)
		moka__say(b, MOKA_ERROR, "duplicate-top", loc, nl->l.name, nl->type_name,
			  "makes '%.200s', which is an input of the net (used%s)", name, line);
	else
		moka__say(b, MOKA_ERROR, "duplicate-top", loc, nl->l.name, nl->type_name,
			  "makes '%.200s', which layer '%.200s'%s makes already", name,
			  b->n->layers[x->producer].l.name, line);
	moka_find_hint(
		b->f,
		"two layers can't make one blob, unless the second has it as its bottom at the same position (in place): rename one");
}

static void wire_top(struct moka__build *b, int layer, const struct stated_loss *said, int i, const char *name,
		     struct moka_loc loc)
{
	struct moka_net_layer *nl = &b->n->layers[layer];
	bool same_name = i < nl->l.n_bottom && !strcmp(name, nl->l.bottom[i].name);
	int old = moka__index(&b->current, name);

	if (same_name && can_alias(b, nl, i)) {
		nl->tops[i] = nl->bottoms[i];
		nl->in_place = true;
		b->readers[nl->tops[i]] += has_loss(nl, said, i);
		hold(b, nl, i);
		return;
	}
	if (same_name)
		say_second_version(b, nl, nl->bottoms[i], name, loc);
	else if (old >= 0 && !b->missing[old])
		say_duplicate(b, nl, old, name, loc);
	nl->tops[i] = add_blob(b, name, loc, layer, i, true);
	if (nl->tops[i] < 0)
		return;
	b->readers[nl->tops[i]] += has_loss(nl, said, i);
	b->n->blobs[nl->tops[i]].shape = nl->l.top[i].shape;
	b->n->blobs[nl->tops[i]].is_input = nl->is_input;
	hold(b, nl, i);
}

void moka__wire_tops(struct moka__build *b, int layer)
{
	struct moka_net_layer *nl = &b->n->layers[layer];
	const struct moka_node *node = NULL;
	struct stated_loss said;

	said.n = moka_get_floats(nl->l.msg, "loss_weight", said.w, MOKA_COUNT(said.w));
	nl->tops = MOKA_NEWN(&b->n->arena, nl->l.n_top + 1, int);
	if (!nl->tops) {
		b->no_memory = true;
		return;
	}
	for (int i = 0; i < nl->l.n_top && !b->no_memory; i++) {
		node = moka_next(nl->l.msg, "top", node);
		if (node) {
			wire_top(b, layer, &said, i, nl->l.top[i].name, moka_value_loc(nl->l.msg, node));
			continue;
		}
		nl->tops[i] = add_blob(b, nl->l.top[i].name, nl->loc, layer, i, false); /* a loss that names no top */
		if (!b->no_memory)
			b->n->blobs[nl->tops[i]].shape = nl->l.top[i].shape;
	}
	for (int i = 0; i < nl->l.n_bottom && !b->no_memory; i++)
		if (!(i < nl->l.n_top && nl->tops[i] == nl->bottoms[i]))
			b->readers[nl->bottoms[i]]++;
}

/* ---- losses without labels ------------------------------------------------------------------------------- */

/* Bottoms after the first that take no gradient, and what a loss compares with. */
static bool is_label(const struct moka_layer_type *t, int bottom)
{
	return bottom >= 1 && ((bottom < 32 && (t->no_gradient >> bottom & 1)) || (t->flags & MOKA_LOSS));
}

/* Losses, and layers that compare with a label and let nothing flow (Accuracy). */
static bool judges(const struct moka_layer_type *t)
{
	return t->min_bottom >= 2 && ((t->flags & MOKA_LOSS) || ((t->flags & MOKA_NO_BACKWARD) && is_label(t, 1)));
}

/* The first bottom of a loss or an accuracy that is a label and that nobody makes; -1: none. *name: what it is called, NULL: it is not even named. */
static int missing_label(struct moka__build *b, int model_layer, const struct moka_layer_type *t, const char **name,
			 const struct moka_node **node)
{
	const struct moka_msg *msg = b->m->layers[model_layer].msg;
	int i = 0;

	for (const struct moka_node *n = moka_next(msg, "bottom", NULL); n; n = moka_next(msg, "bottom", n), i++) {
		*name = node_name(b, n);
		*node = n;
		int maker = moka__index(&b->makers, *name);

		if (is_label(t, i) && moka__index(&b->current, *name) < 0 && !moka__given(b, *name) &&
		    maker < model_layer)
			return i;
	}
	*name = NULL;
	*node = NULL;
	return b->state.phase == MOKA_TEST && i > 0 && i == t->min_bottom - 1 && is_label(t, i) ? i : -1;
}

bool moka__wire_drop(struct moka__build *b, int model_layer)
{
	const struct moka_model_layer *ml = &b->m->layers[model_layer];
	const struct moka_layer_type *t = moka_registry_find(b->o->registry, ml->type);
	const struct moka_node *node;
	const char *name;
	char why[600];

	if (!t || !judges(t) || !(b->declares_inputs || b->o->for_run) ||
	    missing_label(b, model_layer, t, &name, &node) < 0)
		return false;
	why[0] = 0;
	if (name)
		moka__say(b, MOKA_WARNING, "loss-without-label", moka_value_loc(ml->msg, node), ml->name, ml->type,
			  "is left out, because its bottom '%.200s' is made by no layer%s", name,
			  why_absent(b, name, why, sizeof(why)));
	else
		moka__say(b, MOKA_WARNING, "loss-without-label", ml->loc, ml->name, ml->type,
			  "is left out, because it is given no label");
	if (why[0])
		moka_find_hint(b->f, "choose the phase, level and stages that have the label");
	else
		moka_find_hint(b->f,
			       "a net to be deployed has no labels: delete the layer, or let it exist only in training "
			       "(include { phase: TRAIN })");
	index_tops(b, model_layer, &b->dropped);
	return true;
}

/* ---- the finished graph ------------------------------------------------------------------------------------ */

static void list_consumers(struct moka__build *b)
{
	struct moka_net *n = b->n;
	int total = 0, at = 0;
	int *last = MOKA_NEWN(&n->arena, n->n_blobs + 1, int); /* layer + 1 that was counted last: one entry a layer */

	for (int i = 0; i < n->n_layers; i++)
		total += n->layers[i].l.n_bottom;
	int *all = MOKA_NEWN(&n->arena, total + 1, int);

	if (!last || !all) {
		b->no_memory = true;
		return;
	}
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < n->n_blobs; i++) {
			last[i] = 0;
			if (pass) {
				n->blobs[i].consumers = all + at;
				at += n->blobs[i].n_consumers;
				n->blobs[i].n_consumers = 0;
			}
		}
		for (int i = 0; i < n->n_layers; i++)
			for (int k = 0; k < n->layers[i].l.n_bottom; k++) {
				struct moka_blob *x = &n->blobs[n->layers[i].bottoms[k]];

				if (last[x - n->blobs] == i + 1)
					continue;
				last[x - n->blobs] = i + 1;
				if (pass)
					x->consumers[x->n_consumers] = i;
				x->n_consumers++;
			}
	}
}

static bool works_in_place(const struct moka_net *n, int layer, int blob)
{
	const struct moka_net_layer *nl = &n->layers[layer];

	for (int i = 0; nl->in_place && i < nl->l.n_top; i++)
		if (nl->tops[i] == blob)
			return true;
	return false;
}

/* A loss whose top has no name is nobody's output. */
static bool is_output(const struct moka_net *n, int blob)
{
	const struct moka_blob *x = &n->blobs[blob];

	if (x->producer >= 0 && n->layers[x->producer].l.n_top > moka_count(n->layers[x->producer].l.msg, "top") &&
	    !x->n_consumers)
		return false;
	for (int i = 0; i < x->n_consumers; i++)
		if (!works_in_place(n, x->consumers[i], blob))
			return false;
	return true;
}

static void say_unused_input(struct moka__build *b, const struct moka_blob *x)
{
	moka__say(b, MOKA_WARNING, "unused-input", x->loc, b->n->layers[x->producer].l.name,
		  b->n->layers[x->producer].type_name, "no layer takes the input '%.200s'", x->name);
}

void moka__wire_finish(struct moka__build *b)
{
	struct moka_net *n = b->n;

	list_consumers(b);
	n->inputs = MOKA_NEWN(&n->arena, n->n_blobs + 1, int);
	n->outputs = MOKA_NEWN(&n->arena, n->n_blobs + 1, int);
	if (b->no_memory || !n->inputs || !n->outputs) {
		b->no_memory = true;
		return;
	}
	for (int i = 0; i < n->n_blobs; i++) {
		struct moka_blob *x = &n->blobs[i];

		x->is_output = is_output(n, i);
		if (x->is_input && b->missing[i] && !x->n_consumers)
			x->is_input = false;
		if (x->is_input)
			n->inputs[n->n_inputs++] = i;
		if (x->is_output)
			n->outputs[n->n_outputs++] = i;
		if (x->is_input && x->producer >= 0 && !x->n_consumers && n->n_layers > 1)
			say_unused_input(b, x);
	}
}
