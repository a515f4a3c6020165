/*
 * shape.c - the shape of each layer's tops and parameters, layer by layer as the net is built.
 *
 * A layer's own shape() does the work. Here is decided when it can be asked (as many bottoms and tops as it takes; bottoms
 * known, or a layer that copes), what is given from outside (inputs, the batch size), and what is too large to be
 * meant. What can't be known is left unknown, and the layers behind go on.
 */
#include "net/internal.h"

#include <string.h>
#include <unistd.h>

bool moka__too_large(const struct moka_shape *s)
{
	int64_t count = 1;

	for (int i = 0; i < s->n; i++)
		if (s->d[i] > 0 && (!moka_mul(count, s->d[i], &count) || count > MOKA__MAX_COUNT))
			return true;
	return false;
}

/* ---- bottoms and tops: how many ------------------------------------------------------------------------ */

/* "1 bottom", "2 to 3 bottoms", "at least 2 bottoms" */
static const char *range_text(int min, int max, const char *what, char *buf, size_t size)
{
	const char *s = (max == 1 || (max < 0 && min == 1)) ? "" : "s";

	if (max < 0)
		snprintf(buf, size, "at least %d %s%s", min, what, s);
	else if (min == max)
		snprintf(buf, size, "%d %s%s", min, what, s);
	else
		snprintf(buf, size, "%d to %d %ss", min, max, what);
	return buf;
}

/* The place of the first field too many; of the layer where there are too few. */
static struct moka_loc surplus_loc(const struct moka_net_layer *nl, const char *field, int max)
{
	const struct moka_node *n = NULL;

	for (int i = 0; max >= 0 && i <= max; i++) {
		n = moka_next(nl->l.msg, field, n);
		if (!n)
			break;
	}
	return n ? moka_value_loc(nl->l.msg, n) : nl->loc;
}

static bool count_fits(struct moka__build *b, const struct moka_net_layer *nl, const char *what, const char *code,
		       int n, int min, int max)
{
	char buf[64];

	if (n >= min && (max < 0 || n <= max))
		return true;
	moka__say(b, MOKA_ERROR, code, surplus_loc(nl, what, max), nl->l.name, nl->type_name, "takes %s, and has %d",
		  range_text(min, max, what, buf, sizeof(buf)), n);
	return false;
}

static bool counts_fit(struct moka__build *b, const struct moka_net_layer *nl)
{
	const struct moka_layer_type *t = nl->l.type;
	bool ok = count_fits(b, nl, "bottom", "wrong-bottom-count", nl->l.n_bottom, t->min_bottom, t->max_bottom);

	ok &= count_fits(b, nl, "top", "wrong-top-count", nl->l.n_top, t->min_top, t->max_top);
	if (ok && (t->flags & MOKA_SAME_BOTTOM_TOP) && nl->l.n_top != nl->l.n_bottom) {
		moka__say(b, MOKA_ERROR, "wrong-top-count", nl->loc, nl->l.name, nl->type_name,
			  "makes one top of each bottom, and has %d bottom%s and %d top%s", nl->l.n_bottom,
			  nl->l.n_bottom == 1 ? "" : "s", nl->l.n_top, nl->l.n_top == 1 ? "" : "s");
		ok = false;
	}
	return ok;
}

/* ---- what is given from outside --------------------------------------------------------------------------- */

static int given_tops(struct moka__build *b, const struct moka_net_layer *nl)
{
	int n = 0;

	while (n < nl->l.n_top && moka__given(b, nl->l.top[n].name))
		n++;
	return n;
}

/*
 * A layer that brings data in becomes a plain input where its tops are given from outside. To run a net, its first tops
 * suffice (a picture without its label): the others are then as if the file had not named them.
 */
static bool take_given(struct moka__build *b, struct moka_net_layer *nl)
{
	int given = nl->l.n_bottom ? 0 : given_tops(b, nl);
	bool input = nl->l.type && !strcmp(nl->type_name, "Input");

	nl->is_input = input || (given && given == nl->l.n_top);
	if (!input && given && given < nl->l.n_top && b->o->for_run && nl->l.type && (nl->l.type->flags & MOKA_DATA)) {
		nl->l.n_top = given;
		nl->is_input = true;
	}
	for (int i = 0; i < nl->l.n_top && !nl->l.n_bottom; i++)
		if (moka__given(b, nl->l.top[i].name))
			nl->l.top[i].shape = *moka__given(b, nl->l.top[i].name);
	return nl->is_input && nl->l.n_top && given >= nl->l.n_top;
}

static void replace_given(struct moka__build *b, struct moka_net_layer *nl)
{
	for (int i = 0; i < nl->l.n_top && !nl->l.n_bottom; i++) {
		const struct moka_shape *given = moka__given(b, nl->l.top[i].name);
		struct moka_shape *s = &nl->l.top[i].shape;

		if (given && !nl->l.source)
			*s = *given;
		else if (nl->is_input && b->o->batch > 0 && s->n >= 1)
			s->d[0] = b->o->batch;
	}
}

/* ---- one layer ----------------------------------------------------------------------------------------------- */

static void forget_tops(struct moka_net_layer *nl)
{
	for (int i = 0; i < nl->l.n_top; i++)
		nl->l.top[i].shape.n = -1;
}

/* A layer in place keeps its bottom's shape, whatever it is. */
static void shape_unknown_type(struct moka_net_layer *nl)
{
	for (int i = 0; i < nl->l.n_top && i < nl->l.n_bottom; i++)
		if (!strcmp(nl->l.top[i].name, nl->l.bottom[i].name))
			nl->l.top[i].shape = nl->l.bottom[i].shape;
}

static bool bottoms_known(const struct moka_net_layer *nl)
{
	for (int i = 0; i < nl->l.n_bottom; i++)
		if (!moka_shape_known(&nl->l.bottom[i].shape))
			return false;
	return true;
}

static void say_too_large(struct moka__build *b, const struct moka_net_layer *nl, const char *what, const char *name,
			  const struct moka_shape *s)
{
	char text[MOKA_SHAPE_TEXT];

	moka__say(b, MOKA_ERROR, "too-large", nl->loc, nl->l.name, nl->type_name,
		  "%s '%.200s' would be %s, more than the 2^36 values that any "
		  "blob may have",
		  what, name, moka_shape_text(s, text, sizeof(text)));
	moka_find_hint(b->f, "is a dimension, num_output or batch size mistyped?");
}

static void refuse_too_large(struct moka__build *b, struct moka_net_layer *nl)
{
	for (int i = 0; i < nl->l.n_top; i++)
		if (moka__too_large(&nl->l.top[i].shape)) {
			say_too_large(b, nl, "top", nl->l.top[i].name, &nl->l.top[i].shape);
			nl->l.top[i].shape.n = -1;
		}
	for (int i = 0; i < nl->l.n_param; i++)
		if (moka__too_large(&nl->l.params[i].shape)) {
			say_too_large(b, nl, "parameter", nl->l.params[i].role, &nl->l.params[i].shape);
			nl->l.params[i].shape.n = -1;
		}
}

/* shape() may have left dimensions out of a legal range behind where it found errors of its own. */
static void refuse_odd(struct moka_shape *s)
{
	if (s->n < -1 || s->n > MOKA_MAX_AXES)
		s->n = -1;
	for (int i = 0; i < s->n; i++)
		if (s->d[i] < -1)
			s->d[i] = -1;
}

static enum moka_status ask(struct moka__build *b, struct moka_net_layer *nl)
{
	size_t errors = b->f->errors;
	enum moka_status st = nl->l.type->shape(&nl->l, b->f);

	for (int i = 0; i < nl->l.n_top; i++)
		refuse_odd(&nl->l.top[i].shape);
	for (int i = 0; i < nl->l.n_param; i++)
		refuse_odd(&nl->l.params[i].shape);
	if (st == MOKA_ERR_NOMEM)
		b->no_memory = true;
	else if (st && b->f->errors == errors && !b->f->dropped)
		moka__say(b, MOKA_ERROR, "shape-mismatch", nl->loc, nl->l.name, nl->type_name,
			  "its shape can't be worked out");
	return st;
}

static void note_shaped(struct moka_net_layer *nl)
{
	nl->shaped = true;
	for (int i = 0; i < nl->l.n_top; i++)
		nl->shaped &= moka_shape_known(&nl->l.top[i].shape);
}

/* Names of the tops; a loss without one gets a top that nobody can name. */
static bool name_tops(struct moka__build *b, struct moka_net_layer *nl)
{
	const struct moka_node *n = NULL;
	struct moka_blob_ref *refs;

	if (!nl->l.n_top && nl->l.type && (nl->l.type->flags & MOKA_LOSS))
		nl->l.n_top = 1;
	refs = MOKA_NEWN(&b->n->arena, nl->l.n_top + 1, struct moka_blob_ref);
	if (!refs)
		b->no_memory = true;
	for (int i = 0; i < nl->l.n_top && refs; i++) {
		n = moka_next(nl->l.msg, "top", n);
		refs[i].shape.n = -1;
		refs[i].name = "(automatic)";
		if (n)
			refs[i].name = n->kind == MOKA_NODE_STRING || n->kind == MOKA_NODE_NAME
					       ? moka_arena_strndup(&b->n->arena, n->u.s.p, n->u.s.n)
					       : "";
		b->no_memory |= !refs[i].name;
	}
	nl->l.top = refs;
	return !b->no_memory;
}

void moka__shape_layer(struct moka__build *b, int layer)
{
	struct moka_net_layer *nl = &b->n->layers[layer];
	const struct moka_layer_type *t = nl->l.type;

	if (!name_tops(b, nl))
		return;
	if (take_given(b, nl)) {
		nl->runnable = true;
		refuse_too_large(b, nl);
		note_shaped(nl);
		return;
	}
	nl->runnable = t && (t->forward || nl->is_input);
	if (!t) {
		shape_unknown_type(nl);
	} else if (!counts_fit(b, nl)) {
		nl->counts_wrong = true;
	} else if (t->shape && ((t->flags & MOKA_PARTIAL) || bottoms_known(nl))) {
		nl->asked = !ask(b, nl);
		if (!nl->asked)
			forget_tops(nl);
	}
	replace_given(b, nl);
	refuse_too_large(b, nl);
	note_shaped(nl);
}

/* ---- the whole net --------------------------------------------------------------------------------------------- */

static int64_t default_limit(void)
{
	const int64_t ceiling = (int64_t)64 << 30;
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 && (int64_t)pages < ceiling / size ? (int64_t)pages * size : ceiling;
}

/* What no plan can do without: all parameters (twice to train), and the blobs, state and scratch of the largest layer. */
static int64_t least_bytes(struct moka__build *b, int *largest)
{
	const struct moka_net *n = b->n;
	int64_t params = 0, most = 0;

	*largest = 0;
	for (int i = 0; i < n->n_params; i++)
		params += MOKA_MAX(n->params[i].count, 0);
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *nl = &n->layers[i];
		int64_t values = 0, bytes = 0;

		for (int k = 0; k < nl->l.n_bottom; k++)
			values = MOKA_MAX(values, moka_shape_count(&nl->l.bottom[k].shape));
		for (int k = 0; k < nl->l.n_top; k++)
			values += nl->tops[k] >= 0 ? MOKA_MAX(moka_shape_count(&nl->l.top[k].shape), 0) : 0;
		if (!moka_add((int64_t)MOKA_MIN(nl->l.state_bytes, (size_t)INT64_MAX / 4),
			      (int64_t)MOKA_MIN(nl->l.scratch_bytes, (size_t)INT64_MAX / 4), &bytes) ||
		    !moka_add(bytes, values * (int64_t)sizeof(real), &bytes))
			bytes = INT64_MAX / 2;
		if (bytes > most)
			*largest = i;
		most = MOKA_MAX(most, bytes);
	}
	return moka_add(most, params * (int64_t)sizeof(real) * (b->o->backward ? 2 : 1), &most) ? most : INT64_MAX;
}

void moka__shape_budget(struct moka__build *b)
{
	const int64_t limit = b->o->memory_limit_bytes > 0 ? b->o->memory_limit_bytes : default_limit();
	const struct moka_net_layer *nl;
	int largest;
	int64_t need;

	b->n->memory_limit_bytes = limit;
	if (!b->n->n_layers)
		return;
	need = least_bytes(b, &largest);
	if (need <= limit)
		return;
	nl = &b->n->layers[largest];
	moka__say(b, b->o->for_run ? MOKA_ERROR : MOKA_WARNING, "too-large", nl->loc, nl->l.name, nl->type_name,
		  "is the largest of a net that takes at least %.1f GiB to run; %.1f GiB are allowed here",
		  (double)need / (1 << 30), (double)limit / (1 << 30));
	moka_find_hint(b->f, "try a smaller batch or input");
}
