/*
 * weights.c - weights into a net, and a net with its weights as a message.
 *
 * Weights are found by the layer's name. They are views of a mapped file: values are copied piece by piece, and the pages
 * behind are given back at once, so that a net never costs much more memory than its own parameters.
 */
#include "net/fused.h"

#include <stdlib.h>
#include <string.h>

/* Values copied at a time. */
#define PIECE ((int64_t)1 << 20)

struct load {
	struct moka_net *n;
	struct moka_weights *w;
	struct moka_findings *f;
	bool strict;
	struct moka_map layers; /* the net's, by name */
};

static struct moka_loc no_place(void)
{
	return (struct moka_loc){ 0 };
}

/* ---- shapes ------------------------------------------------------------------------------------------------ */

/* A shape as num x channels x height x width, ones in front. False: it has more axes than that. */
static bool four(int n, const int64_t *d, int64_t out[4])
{
	if (n > 4)
		return false;
	for (int i = 0; i < 4; i++)
		out[i] = i < 4 - n ? 1 : d[i - (4 - n)];
	return true;
}

static bool same_legacy(const struct moka_shape *s, const struct moka_blob_view *v)
{
	int64_t mine[4], theirs[4];

	return four(s->n, s->d, mine) && four(v->n_axes, v->dim, theirs) && !memcmp(mine, theirs, sizeof(mine));
}

static bool fits(const struct moka_shape *s, const struct moka_blob_view *v)
{
	if (v->n_axes < 0)
		return v->count == moka_shape_count(s);
	if (v->legacy)
		return same_legacy(s, v);
	return v->n_axes == s->n && (s->n == 0 || !memcmp(v->dim, s->d, (size_t)s->n * sizeof(s->d[0])));
}

/* ": dimension 1 is 9216 in the net and 25088 in the file" */
static const char *difference(const struct moka_shape *s, const struct moka_blob_view *v, char *buf, size_t size)
{
	int64_t mine[4];
	const int64_t *a = s->d;
	int n = s->n;

	buf[0] = 0;
	if (v->n_axes < 0) {
		snprintf(buf, size, ": %lld values for %lld", (long long)v->count, (long long)moka_shape_count(s));
		return buf;
	}
	if (v->legacy && v->n_axes == 4 && four(s->n, s->d, mine)) {
		a = mine;
		n = 4;
	}
	if (n != v->n_axes) {
		snprintf(buf, size, ": %d dimensions in the net and %d in the file", n, v->n_axes);
		return buf;
	}
	for (int i = 0; i < n; i++)
		if (a[i] != v->dim[i]) {
			snprintf(buf, size, ": dimension %d is %lld in the net and %lld in the file", i,
				 (long long)a[i], (long long)v->dim[i]);
			break;
		}
	return buf;
}

static bool check_blob(struct load *s, const struct moka_net_layer *nl, int i, const struct moka_blob_view *v)
{
	const struct moka_param_ref *p = &nl->l.params[i];
	char title[MOKA__TITLE], mine[MOKA_SHAPE_TEXT], theirs[MOKA_SHAPE_TEXT], diff[160];

	moka__title(nl->l.name, nl->type_name, title);
	moka_shape_text(&p->shape, mine, sizeof(mine));
	moka_dims_text(v->n_axes, v->dim, theirs, sizeof(theirs));
	if (!fits(&p->shape, v)) {
		moka_find(s->f, MOKA_ERROR, "weights-mismatch", nl->loc, "%s: its %s is %s, but %.300s has %s%s", title,
			  p->role, mine, s->w->path, theirs, difference(&p->shape, v, diff, sizeof(diff)));
		moka_find_hint(
			s->f,
			"was the model trained with other settings or another input size? To train this layer anew, rename it");
		return false;
	}
	if (v->count == moka_shape_count(&p->shape))
		return true;
	moka_find(s->f, MOKA_ERROR, "weights-mismatch", nl->loc, "%s: %.300s holds %lld values for its %s, which is %s",
		  title, s->w->path, (long long)v->count, p->role, mine);
	moka_find_hint(s->f, v->count ? "the file is damaged" : "the file holds shapes, but no values");
	return false;
}

/* ---- copying -------------------------------------------------------------------------------------------------- */

/* Large values that can stay in the file until a plan packs them from there, or somebody wants them. */
static bool stays(const struct load *s, const struct moka_param *p, const struct moka_blob_view *v)
{
	return moka__lends(s->n) && s->n->shared && !s->n->restoring && s->w->file.mapped && p->data &&
	       p->n_uses == 1 && !p->borrowed && v->dtype == (sizeof(real) == 4 ? MOKA_F32 : MOKA_F64) &&
	       v->stride == sizeof(real) && (size_t)v->count * sizeof(real) >= MOKA__LEND_BYTES;
}

static void copy_blob(const struct load *s, struct moka_param *p, const struct moka_blob_view *v)
{
	if (s->n->restoring && !p->given_back)
		return;
	if (!s->n->restoring) {
		p->given_back = stays(s, p, v);
		p->raw = p->given_back ? v->data : NULL;
		p->file = &s->w->file;
	}
	if (p->raw) {
		p->unfilled = false;
		p->from = s->w->path;
		return;
	}
	for (int64_t at = 0; p->data && at < v->count; at += PIECE) {
		int64_t n = MOKA_MIN(PIECE, v->count - at);

		moka_blob_view_read(v, at, n, p->data + at);
		if (s->w->file.mapped)
			moka_file_forget(&s->w->file, v->data + (size_t)at * v->stride, (size_t)n * v->stride);
	}
	p->unfilled = p->unfilled && !p->data;
	p->from = s->w->path;
}

/* ---- one layer --------------------------------------------------------------------------------------------------- */

static bool all_are(const struct moka_blob_view *v, real value)
{
	real piece[256];

	for (int64_t at = 0; at < v->count; at += (int64_t)MOKA_COUNT(piece)) {
		int64_t n = MOKA_MIN((int64_t)MOKA_COUNT(piece), v->count - at);

		moka_blob_view_read(v, at, n, piece);
		for (int64_t i = 0; i < n; i++)
			if (piece[i] != value)
				return false;
	}
	return true;
}

/* NVIDIA's BatchNorm keeps a scale and a shift behind BVLC's three blobs. */
static void say_five_blobs(struct load *s, const struct moka_net_layer *nl, const struct moka_weights_layer *wl)
{
	bool nothing = all_are(&wl->blobs[3], 1) && all_are(&wl->blobs[4], 0);
	char title[MOKA__TITLE];

	moka_find(s->f, nothing ? MOKA_NOTE : MOKA_WARNING, "weights-batchnorm", nl->loc,
		  "%s: %.300s has NVIDIA's five blobs for it; the last "
		  "two, a scale and a shift, %s",
		  moka__title(nl->l.name, nl->type_name, title), s->w->path,
		  nothing ? "do nothing there and are left out"
			  : "are left out, and the net will compute something else");
	if (!nothing)
		moka_find_hint(s->f, "add scale_bias: true to its batch_norm_param");
}

/* The parameters from `have` on are another layer's, which brings them: HDF5 files hold a shared one once. */
static bool rest_is_shared(const struct load *s, const struct moka_net_layer *nl, int have)
{
	for (int i = have; i < nl->l.n_param; i++)
		if (nl->param_uses[i] == 0)
			return false;
	return have < nl->l.n_param && s->n->n_params > 0;
}

static bool check_count(struct load *s, const struct moka_net_layer *nl, const struct moka_weights_layer *wl)
{
	char title[MOKA__TITLE];

	if (wl->n_blobs == nl->l.n_param || rest_is_shared(s, nl, wl->n_blobs))
		return true;
	if (wl->n_blobs == 5 && nl->l.n_param == 3 && !strcmp(nl->type_name, "BatchNorm")) {
		say_five_blobs(s, nl, wl);
		return true;
	}
	moka_find(s->f, MOKA_ERROR, "weights-mismatch", nl->loc,
		  "%s: it has %d parameter%s, but %.300s has %d blob%s for it",
		  moka__title(nl->l.name, nl->type_name, title), nl->l.n_param, nl->l.n_param == 1 ? "" : "s",
		  s->w->path, wl->n_blobs, wl->n_blobs == 1 ? "" : "s");
	if (abs(wl->n_blobs - nl->l.n_param) == 1)
		moka_find_hint(s->f, "does bias_term differ between the net and the one that was trained?");
	return false;
}

static void load_layer(struct load *s, struct moka_weights_layer *wl)
{
	int i = moka__index(&s->layers, wl->name ? wl->name : "");
	const struct moka_net_layer *nl = i >= 0 ? &s->n->layers[i] : NULL;

	if (!nl || (!wl->n_blobs && !nl->l.n_param)) {
		wl->used |= nl != NULL || !wl->n_blobs; /* a layer without weights lacks nothing */
		return;
	}
	wl->used = true;
	if (!nl->asked || !wl->n_blobs || !check_count(s, nl, wl))
		return;
	for (int k = 0; k < nl->l.n_param && k < wl->n_blobs; k++) {
		if (wl->blobs[k].n_axes < 0 && !wl->blobs[k].count && nl->param_uses[k] != 0)
			continue; /* a shared one, which its owner brings */
		if (moka_shape_known(&nl->l.params[k].shape) && check_blob(s, nl, k, &wl->blobs[k]))
			copy_blob(s, &s->n->params[nl->params[k]], &wl->blobs[k]);
	}
}

/* ---- what was left over -------------------------------------------------------------------------------------------- */

/* Names for one line: the first ones, and how many more. */
struct names {
	struct moka_buf buf;
	int n;
	const char *first;
};

static void add_name(struct names *x, const char *name)
{
	if (!x->n++)
		x->first = name;
	if (x->n <= 8)
		moka_buf_printf(&x->buf, "%s%.100s", x->n > 1 ? ", " : "", *name ? name : "(no name)");
}

static const char *names_text(struct names *x)
{
	if (x->n > 8)
		moka_buf_printf(&x->buf, " and %d more", x->n - 8);
	return x->buf.data ? x->buf.data : "";
}

static bool lacks_weights(const struct moka_net *n, const struct moka_net_layer *nl)
{
	for (int i = 0; i < nl->l.n_param; i++)
		if (!n->params[nl->params[i]].from)
			return true;
	return false;
}

/* A second file may bring what the first did not: its word replaces the first one's. */
static void take_back(struct moka_findings *f, const char *code)
{
	size_t kept = 0;

	for (size_t i = 0; f && i < f->n; i++) {
		if (!strcmp(f->items[i].code, code)) {
			f->errors -= f->items[i].severity == MOKA_ERROR;
			f->warnings -= f->items[i].severity == MOKA_WARNING;
			continue;
		}
		f->items[kept++] = f->items[i];
	}
	if (f)
		f->n = kept;
}

static const char *nearest_unused(const struct moka_weights *w, const char *name)
{
	struct moka_nearest near = { 0 };

	for (int i = 0; i < w->n_layers; i++)
		if (!w->layers[i].used)
			moka_nearest_try(&near, name, w->layers[i].name ? w->layers[i].name : "");
	return near.best;
}

static void report_missing(struct load *s)
{
	struct names missing = { .n = 0 };
	struct moka_loc loc = no_place();
	int with = 0;

	take_back(s->f, "weights-missing");
	moka_buf_init(&missing.buf, 1 << 16);
	for (int i = 0; i < s->n->n_layers; i++) {
		const struct moka_net_layer *nl = &s->n->layers[i];

		with += nl->l.n_param > 0;
		if (!lacks_weights(s->n, nl))
			continue;
		if (!missing.n)
			loc = nl->loc;
		add_name(&missing, nl->l.name);
	}
	if (missing.n) {
		const char *near = nearest_unused(s->w, missing.first);

		moka_find(s->f, s->strict ? MOKA_ERROR : MOKA_WARNING, "weights-missing", loc,
			  "%d of %d layers with parameters take nothing from %.300s and stay at their fillers: %s",
			  missing.n, with, s->w->path, names_text(&missing));
		if (near)
			moka_find_hint(s->f, "the file has a layer '%s': was '%s' renamed?", near, missing.first);
	}
	moka_buf_release(&missing.buf);
}

static void report_unused(struct load *s)
{
	struct names unused = { .n = 0 };

	moka_buf_init(&unused.buf, 1 << 16);
	for (int i = 0; i < s->w->n_layers; i++)
		if (!s->w->layers[i].used)
			add_name(&unused, s->w->layers[i].name ? s->w->layers[i].name : "");
	if (unused.n)
		moka_find(s->f, s->strict ? MOKA_ERROR : MOKA_WARNING, "weights-unused", no_place(),
			  "%d of the %d layers in %.300s %s not in the net: %s", unused.n, s->w->n_layers, s->w->path,
			  unused.n == 1 ? "is" : "are", names_text(&unused));
	moka_buf_release(&unused.buf);
}

enum moka_status moka_net_load(struct moka_net *n, struct moka_weights *w, bool strict, struct moka_findings *f)
{
	struct load s = { n, w, f, strict, { 0 } };
	struct moka_error err = { 0 };
	size_t errors = f ? f->errors : 0;
	bool ok = true;
	enum moka_status st;

	if (n->param_block)
		moka_file_ahead(&w->file);
	moka_map_init(&s.layers);
	for (int i = n->n_layers - 1; i >= 0 && ok; i--) /* backwards: of layers of one name the first counts */
		ok = moka_map_put(&s.layers, n->layers[i].l.name, (void *)(intptr_t)(i + 1));
	for (int i = 0; i < w->n_layers && ok; i++)
		load_layer(&s, &w->layers[i]);
	moka_map_release(&s.layers);
	if (!ok) {
		moka_find(f, MOKA_ERROR, "no-memory", no_place(), "there is not enough memory to load weights");
		return MOKA_ERR_NOMEM;
	}
	report_unused(&s);
	report_missing(&s);
	moka_net_touch(n);
	st = n->param_block ? moka__net_fill(n, &err) : MOKA_OK;
	if (st)
		moka_find(f, MOKA_ERROR, "bad-filler", no_place(), "%s", err.message);
	return st ? st : f && f->errors > errors ? MOKA_ERR_MODEL : MOKA_OK;
}

/* ---- a net as a message ------------------------------------------------------------------------------------------------ */

static struct moka_msg *copy_layer(struct moka_arena *a, const struct moka_msg *from)
{
	struct moka_msg *m = MOKA_NEW(a, struct moka_msg);

	if (!m)
		return NULL;
	*m = *from;
	m->first = m->last = NULL;
	for (const struct moka_node *x = from->first; x; x = x->next) {
		struct moka_node *copy;

		if (x->field && !strcmp(x->field->name, "blobs"))
			continue;
		copy = MOKA_NEW(a, struct moka_node);
		if (!copy)
			return NULL;
		*copy = *x;
		copy->next = NULL;
		if (m->last)
			m->last->next = copy;
		else
			m->first = copy;
		m->last = copy;
	}
	return m;
}

/* Values as the floats that a file holds: the net's own where real is float. */
static const float *as_floats(struct moka_arena *a, const real *v, int64_t n)
{
#ifdef MOKA_REAL_DOUBLE
	float *copy = MOKA_NEWN(a, MOKA_MAX(n, 1), float);

	for (int64_t i = 0; copy && i < n; i++)
		copy[i] = (float)v[i];
	return copy;
#else
	(void)a, (void)n;
	return v;
#endif
}

static bool add_values(struct moka_arena *a, struct moka_msg *blob, const char *field, const real *v, int64_t n)
{
	const float *floats = n ? as_floats(a, v, n) : NULL;

	return !n || (floats && moka_add_floats(a, blob, field, floats, (size_t)n));
}

static bool add_blob(struct moka_arena *a, struct moka_msg *layer, const struct moka_net_layer *nl, int i,
		     const struct moka_param *p, const real *diff)
{
	const struct moka_shape *s = &nl->l.params[i].shape;
	struct moka_msg *blob = moka_add_msg(a, layer, &moka_layer_schema, "blobs");
	struct moka_msg *shape = blob ? moka_add_msg(a, blob, &moka_layer_schema, "shape") : NULL;

	if (!shape)
		return false;
	for (int k = 0; k < s->n; k++)
		if (!moka_add_int(a, shape, &moka_layer_schema, "dim", s->d[k]))
			return false;
	return add_values(a, blob, "data", p->data, p->count) && (!diff || add_values(a, blob, "diff", diff, p->count));
}

static bool add_net_layer(struct moka_arena *a, struct moka_msg *net, const struct moka_net *n,
			  const struct moka_net_layer *nl, struct moka_exec *e)
{
	struct moka_msg *copy = copy_layer(a, nl->l.msg),
			*slot = copy ? moka_add_msg(a, net, &moka_layer_schema, "layer") : NULL;

	if (!slot)
		return false;
	net->last->u.m = copy;
	if (!moka_has(copy, "phase") && !moka_add_int(a, copy, &moka_layer_schema, "phase", nl->l.phase))
		return false;
	for (int i = 0; i < nl->l.n_param; i++) {
		const struct moka_param *p = &n->params[nl->params[i]];
		const real *diff = e ? moka_exec_param_diff(e, nl->params[i], nl->param_uses[i]) : NULL;

		if (e && !diff) /* it learns nothing: zeros, as BVLC Caffe writes */
			diff = MOKA_NEWN(a, MOKA_MAX(p->count, 1), real);
		if (p->data && !add_blob(a, copy, nl, i, p, diff))
			return false;
	}
	return true;
}

enum moka_status moka_net_to_msg(struct moka_net *n, const struct moka_exec *with_diff, struct moka_arena *a,
				 struct moka_msg **out)
{
	struct moka_msg *net = moka_msg_new(a, &moka_net_message);

	MOKA_TRY(moka_net_plain(n, NULL));
	*out = net;
	if (!net || (*n->name && !moka_add_string(a, net, &moka_layer_schema, "name", n->name)))
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < n->n_layers; i++)
		if (!add_net_layer(a, net, n, &n->layers[i], (struct moka_exec *)(uintptr_t)with_diff))
			return MOKA_ERR_NOMEM;
	return MOKA_OK;
}
