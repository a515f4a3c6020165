/*
 * layer_test.c - drives one layer as a net would, and checks its gradients by central differences.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *block(size_t bytes)
{
	void *p = malloc(bytes ? bytes : 1);

	assert_non_null(p);
	return p;
}

static void spoil(void *p, size_t bytes)
{
	memset(p, 0xff, bytes); /* NaNs, and indices of -1 */
}

/* ---- bottoms from text ------------------------------------------------------------------------ */

static struct moka_shape shape_from_text(const char *s, size_t n)
{
	struct moka_shape out = { 0 };
	char buf[128];

	assert_true(n < sizeof(buf));
	memcpy(buf, s, n);
	buf[n] = 0;
	if (!strcmp(buf, "?"))
		return (struct moka_shape){ .n = -1 };
	if (!strcmp(buf, "scalar"))
		return out;
	for (char *p = buf;; p++) {
		out.d[out.n++] = *p == '?' ? -1 : strtoll(p, NULL, 10);
		p = strchr(p, 'x');
		if (!p)
			return out;
	}
}

/* Calls back for each word "SHAPE[:KIND]" of the list. */
static const char *next_bottom(const char *at, struct moka_shape *shape, const char **kind)
{
	const size_t n = strcspn(at, ": ");

	*shape = shape_from_text(at, n);
	*kind = at[n] == ':' ? at + n + 1 : "g";
	at += strcspn(at, " ");
	return at + strspn(at, " ");
}

/* ---- opening --------------------------------------------------------------------------------------- */

static void decode_layer(struct layer_test *x, struct moka_msg *msg, enum moka_phase phase)
{
	struct moka_layer *l = &x->l;
	const struct moka_node *n = NULL;

	l->type = moka_layer_type_find(moka_get_string(msg, "type", ""));
	assert_non_null(l->type);
	l->name = moka_get_string(msg, "name", "");
	l->msg = msg;
	l->phase = phase;
	l->arena = &x->arena;
	l->sub = l->type->schema.param_name ? moka_get_msg(msg, l->type->schema.param_name) : NULL;
	if (l->type->schema.message)
		l->param = moka_decode(&x->arena, l->sub, l->type->schema.message);
	l->loss_sub = moka_get_msg(msg, "loss_param");
	l->loss = moka_decode(&x->arena, l->loss_sub, &moka_loss_message);
	l->transform = moka_decode(&x->arena, moka_get_msg(msg, "transform_param"), &moka_transform_message);
	l->bottom = x->bottom_ref;
	l->top = x->top_ref;
	while ((n = moka_next(msg, "bottom", n)) && l->n_bottom < LT_MAX)
		x->bottom_ref[l->n_bottom++].name = n->u.s.p;
	while ((n = moka_next(msg, "top", n)) && l->n_top < LT_MAX)
		x->top_ref[l->n_top++].name = n->u.s.p;
}

struct layer_test *lt_shape(const char *prototxt, enum moka_phase phase, const char *bottoms)
{
	struct layer_test *x = calloc(1, sizeof(*x));
	struct moka_msg *root = NULL, *msg;
	const char *kind;

	assert_non_null(x);
	moka_arena_init(&x->arena, 0);
	moka_findings_init(&x->findings);
	x->text = (struct moka_text){ "test.prototxt", prototxt, strlen(prototxt) };
	T_INT(moka_text_parse(&x->arena, &x->text, &moka_net_message, &moka_layer_schema, &x->findings, &root),
	      MOKA_OK);
	if (x->findings.errors)
		fail_msg("the test's own text: %s", x->findings.items[0].message);
	msg = moka_get_msg(root, "layer");
	assert_non_null(msg);
	decode_layer(x, msg, phase);
	for (int i = 0; i < x->l.n_bottom; i++) {
		assert_true(*bottoms);
		bottoms = next_bottom(bottoms, &x->bottom_ref[i].shape, &kind);
	}
	T_STR(bottoms, "");
	x->seed = 11;
	x->status = x->l.type->shape(&x->l, &x->findings);
	return x;
}

static void open_view(struct moka_view *v, const struct moka_shape *s)
{
	v->shape = s;
	v->count = moka_shape_count(s);
	assert_true(v->count >= 0 && v->count < 1 << 26);
	v->data = block((size_t)v->count * sizeof(real));
	v->diff = block((size_t)v->count * sizeof(real));
}

static void open_tops(struct layer_test *x)
{
	for (int i = 0; i < x->l.n_top; i++) {
		x->in_place[i] = -1;
		for (int b = 0; b < x->l.n_bottom; b++)
			if (!strcmp(x->top_ref[i].name, x->bottom_ref[b].name))
				x->in_place[i] = b;
		if (x->in_place[i] < 0) {
			open_view(&x->top[i], &x->top_ref[i].shape);
			continue;
		}
		assert_true(x->l.type->flags & MOKA_INPLACE);
		x->top[i] = x->bottom[x->in_place[i]];
		x->top[i].shape = &x->top_ref[i].shape;
	}
}

struct layer_test *lt_open_threads(const char *prototxt, enum moka_phase phase, const char *bottoms, int threads)
{
	struct layer_test *x = lt_shape(prototxt, phase, bottoms);
	struct moka_rng rng;
	const char *kind;

	if (x->status)
		fail_msg("refused: %s",
			 x->findings.n ? x->findings.items[x->findings.n - 1].message : "without a finding");
	moka_rng_seed(&rng, 5, 0);
	for (int i = 0; i < x->l.n_bottom; i++) {
		struct moka_shape s;

		bottoms = next_bottom(bottoms, &s, &kind);
		open_view(&x->bottom[i], &x->bottom_ref[i].shape);
		x->bottom_values[i] = block((size_t)x->bottom[i].count * sizeof(real));
		lt_fill(x->bottom_values[i], x->bottom[i].count, kind, &rng);
	}
	open_tops(x);
	assert_true(x->l.n_param <= LT_PARAMS);
	for (int i = 0; i < x->l.n_param; i++) {
		open_view(&x->param[i], &x->l.params[i].shape);
		T_OK(moka_fill(x->l.params[i].filler, &x->l.params[i].shape, x->param[i].data, &rng, &x->err), &x->err);
	}
	lt_clear_param_diffs(x);
	x->state = aligned_alloc(64, (x->l.state_bytes + 64) / 64 * 64);
	x->scratch = aligned_alloc(64, (x->l.scratch_bytes + 64) / 64 * 64);
	assert_non_null(x->state);
	assert_non_null(x->scratch);
	memset(x->state, 0, x->l.state_bytes);
	x->pool = threads > 1 ? moka_pool_new(threads) : NULL;
	x->gemm = moka_gemm_ws_new();
	return x;
}

struct layer_test *lt_open(const char *prototxt, enum moka_phase phase, const char *bottoms)
{
	return lt_open_threads(prototxt, phase, bottoms, 1);
}

void lt_free(struct layer_test *x)
{
	for (int i = 0; i < LT_MAX; i++) {
		if (x->top[i].data && x->in_place[i] < 0) {
			free(x->top[i].data);
			free(x->top[i].diff);
		}
		free(x->bottom[i].data);
		free(x->bottom[i].diff);
		free(x->bottom_values[i]);
	}
	for (int i = 0; i < LT_PARAMS; i++) {
		free(x->param[i].data);
		free(x->param[i].diff);
	}
	free(x->state);
	free(x->scratch);
	moka_pool_free(x->pool);
	moka_gemm_ws_free(x->gemm);
	moka_findings_release(&x->findings);
	moka_arena_release(&x->arena);
	free(x);
}

/* ---- what shape() says --------------------------------------------------------------------------------- */

void lt_refused(const char *prototxt, const char *bottoms, const char *words, const char *file, int line)
{
	struct layer_test *x = lt_shape(prototxt, MOKA_TEST, bottoms);

	if (!x->status || !x->findings.errors) {
		print_error("%s:%d: accepted: %s\n", file, line, prototxt);
		fail();
	}
	t_has(x->findings.items[x->findings.n - 1].message, words, file, line);
	lt_free(x);
}

void lt_shape_is(struct layer_test *x, int i, const char *want, const char *file, int line)
{
	char buf[MOKA_SHAPE_TEXT];

	if (x->status) {
		print_error("%s:%d: refused: %s\n", file, line,
			    x->findings.n ? x->findings.items[x->findings.n - 1].message : "?");
		fail();
	}
	moka_shape_text(&x->top_ref[i].shape, buf, sizeof(buf));
	if (strcmp(buf, want)) {
		print_error("%s:%d: top %d is %s, %s wanted\n", file, line, i, buf, want);
		fail();
	}
}

/* ---- passes ------------------------------------------------------------------------------------------------ */

static struct moka_call make_call(struct layer_test *x, const struct moka_view *bottom)
{
	return (struct moka_call){ .bottom = bottom,
				   .top = x->top,
				   .param = x->param,
				   .state = x->state,
				   .scratch = x->scratch,
				   .backward_follows = true,
				   .pool = x->pool,
				   .gemm = x->gemm,
				   .rng = &x->rng,
				   .top_items = &x->top_items,
				   .err = &x->err };
}

static enum moka_status forward(struct layer_test *x, bool backward_follows)
{
	struct moka_call c = make_call(x, x->bottom);

	for (int i = 0; i < x->l.n_top; i++)
		if (x->in_place[i] < 0 &&
		    !(x->l.type->flags & MOKA_DATA && !x->l.n_bottom && !strcmp(x->l.type->schema.type, "Input")))
			spoil(x->top[i].data, (size_t)x->top[i].count * sizeof(real));
	for (int i = 0; i < x->l.n_bottom; i++)
		memcpy(x->bottom[i].data, x->bottom_values[i], (size_t)x->bottom[i].count * sizeof(real));
	spoil(x->scratch, x->l.scratch_bytes);
	moka_rng_seed(&x->rng, x->seed, 1);
	x->top_items = -1;
	c.backward_follows = backward_follows;
	if (!backward_follows && x->l.state_for_backward)
		c.state = NULL;
	return x->l.type->forward(&x->l, &c);
}

enum moka_status lt_try_forward(struct layer_test *x)
{
	return forward(x, true);
}

void lt_forward(struct layer_test *x)
{
	T_OK(lt_try_forward(x), &x->err);
}

static void backward(struct layer_test *x, bool want_bottoms)
{
	struct moka_view bottom[LT_MAX];
	struct moka_call c = make_call(x, bottom);

	memcpy(bottom, x->bottom, sizeof(bottom));
	for (int i = 0; i < x->l.n_bottom; i++) {
		bool shared = false;

		for (int t = 0; t < x->l.n_top; t++)
			shared |= x->in_place[t] == i;
		if (!want_bottoms || (x->l.type->no_gradient >> i & 1))
			bottom[i].diff = NULL;
		else if (!shared)
			spoil(bottom[i].diff, (size_t)bottom[i].count * sizeof(real));
	}
	spoil(x->scratch, x->l.scratch_bytes);
	T_OK(x->l.type->backward(&x->l, &c), &x->err);
}

void lt_backward(struct layer_test *x)
{
	backward(x, true);
}

void lt_random_top_diffs(struct layer_test *x, uint64_t seed)
{
	struct moka_rng rng;

	moka_rng_seed(&rng, seed, 7);
	for (int i = 0; i < x->l.n_top; i++)
		for (int64_t k = 0; k < x->top[i].count; k++)
			x->top[i].diff[k] = (real)(2 * moka_rng_uniform(&rng) - 1);
}

void lt_set(struct layer_test *x, int bottom, const real *values)
{
	memcpy(x->bottom_values[bottom], values, (size_t)x->bottom[bottom].count * sizeof(real));
}

void lt_clear_param_diffs(struct layer_test *x)
{
	for (int i = 0; i < x->l.n_param; i++)
		memset(x->param[i].diff, 0, (size_t)x->param[i].count * sizeof(real));
}

/* ---- gradients -------------------------------------------------------------------------------------------------- */

#define STEP 1e-5

struct check {
	struct layer_test *x;
	const struct lt_gradient_row *row;
	real *weight[LT_MAX];  /* of each top value in the sum that is differentiated */
	real *kept[LT_PARAMS]; /* parameters before: a forward pass may move statistics */
	int64_t checked, skipped;
};

static bool takes_part(const struct check *k, int top)
{
	return !k->row->tops || k->row->tops >> top & 1;
}

static double objective(struct check *k)
{
	double sum = 0;

	for (int i = 0; i < k->x->l.n_param; i++)
		if (k->x->l.params[i].fixed)
			memcpy(k->x->param[i].data, k->kept[i], (size_t)k->x->param[i].count * sizeof(real));
	lt_forward(k->x);
	for (int t = 0; t < k->x->l.n_top; t++)
		for (int64_t i = 0; takes_part(k, t) && i < k->x->top[t].count; i++)
			sum += (double)k->weight[t][i] * (double)k->x->top[t].data[i];
	return sum;
}

/* v: one value that the objective depends on. */
static void check_value(struct check *k, real *v, double got, const char *what, int which, int64_t at)
{
	const real v0 = *v;
	const double tolerance = k->row->tolerance > 0 ? k->row->tolerance : 1e-6;
	const double middle = objective(k);
	double up, down, slope;

	*v = (real)(v0 + STEP);
	up = objective(k);
	*v = (real)(v0 - STEP);
	down = objective(k);
	*v = v0;
	slope = (up - down) / (2 * STEP);
	if (fabs((up - middle) - (middle - down)) / STEP > 1e-2 * fmax(1, fabs(slope))) {
		k->skipped++;
		return;
	}
	k->checked++;
	if (!(fabs(got - slope) <= tolerance * fmax(1, fmax(fabs(got), fabs(slope)))))
		fail_msg("%s: gradient of %s %d [%lld] is %.9g, the difference says %.9g", k->row->name, what, which,
			 (long long)at, got, slope);
}

static real *copy_of(const real *v, int64_t n)
{
	real *out = block((size_t)n * sizeof(real));

	memcpy(out, v, (size_t)n * sizeof(real));
	return out;
}

/* Parameter diffs start at 1: what backward gives has to be added. */
static void run_backward(struct check *k, bool want_bottoms)
{
	struct layer_test *x = k->x;

	for (int i = 0; i < x->l.n_param; i++)
		for (int64_t j = 0; j < x->param[i].count; j++)
			x->param[i].diff[j] = 1;
	objective(k);
	for (int t = 0; t < x->l.n_top; t++)
		memcpy(x->top[t].diff, k->weight[t], (size_t)x->top[t].count * sizeof(real));
	backward(x, want_bottoms);
}

static void check_params(struct check *k)
{
	struct layer_test *x = k->x;
	real *got[LT_PARAMS];

	for (int i = 0; i < x->l.n_param; i++)
		got[i] = copy_of(x->param[i].diff, x->param[i].count);
	for (int i = 0; i < x->l.n_param; i++) {
		for (int64_t j = 0; !x->l.params[i].fixed && !k->row->not_params && j < x->param[i].count; j++)
			check_value(k, &x->param[i].data[j], (double)got[i][j] - 1, "parameter", i, j);
		free(got[i]);
	}
}

static void check_bottoms(struct check *k)
{
	struct layer_test *x = k->x;
	real *got[LT_MAX];

	for (int i = 0; i < x->l.n_bottom; i++)
		got[i] = copy_of(x->bottom[i].diff, x->bottom[i].count);
	for (int i = 0; i < x->l.n_bottom; i++) {
		for (int64_t j = 0; !((x->l.type->no_gradient | k->row->constant) >> i & 1) && j < x->bottom[i].count;
		     j++)
			check_value(k, &x->bottom_values[i][j], (double)got[i][j], "bottom", i, j);
		free(got[i]);
	}
}

/* Where no backward follows, forward may have no state, and gives the same. */
static void check_forward_alone(struct check *k)
{
	struct layer_test *x = k->x;
	real *want[LT_MAX];

	objective(k);
	for (int t = 0; t < x->l.n_top; t++)
		want[t] = copy_of(x->top[t].data, x->top[t].count);
	for (int i = 0; i < x->l.n_param; i++)
		memcpy(x->param[i].data, k->kept[i], (size_t)x->param[i].count * sizeof(real));
	T_OK(forward(x, false), &x->err);
	for (int t = 0; t < x->l.n_top; t++) {
		T_NEAR(x->top[t].data, want[t], x->top[t].count, 0, 0);
		free(want[t]);
	}
}

void lt_check_gradient(const struct lt_gradient_row *row)
{
	struct check k = { .x = lt_open(row->prototxt, row->phase, row->bottoms), .row = row };
	struct layer_test *x = k.x;

	if (row->seed)
		x->seed = row->seed;
	lt_random_top_diffs(x, 3 + row->seed);
	for (int t = 0; t < x->l.n_top; t++) {
		k.weight[t] = copy_of(x->top[t].diff, x->top[t].count);
		for (int64_t i = 0; !takes_part(&k, t) && i < x->top[t].count; i++)
			k.weight[t][i] = 0;
	}
	for (int i = 0; i < x->l.n_param; i++)
		for (int64_t j = 0; row->kept > 0 && x->l.params[i].fixed && j < x->param[i].count; j++)
			x->param[i].data[j] = (real)row->kept;
	for (int i = 0; i < x->l.n_param; i++)
		k.kept[i] = copy_of(x->param[i].data, x->param[i].count);
	run_backward(&k, true);
	check_bottoms(&k);
	run_backward(&k, false);
	check_params(&k);
	check_forward_alone(&k);
	if (k.checked == 0 || k.skipped * 10 > k.checked + k.skipped)
		fail_msg("%s: %lld values checked, %lld skipped at kinks", row->name, (long long)k.checked,
			 (long long)k.skipped);
	for (int t = 0; t < x->l.n_top; t++)
		free(k.weight[t]);
	for (int i = 0; i < x->l.n_param; i++)
		free(k.kept[i]);
	lt_free(x);
}
