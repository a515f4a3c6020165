/*
 * The solver against arithmetic done by hand: schedules, update rules, both rules for shared parameters, resumed runs, and what it says
 * when something is wrong.
 */
#include "solvers/solver.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct run {
	struct moka_findings f;
	struct moka_model *model;
	struct moka_solver *solver;
	struct moka_error err;
	enum moka_status status;
	double losses[256];
	int n_losses;
};

static void note_loss(void *arg, const struct moka_solver_event *e)
{
	struct run *r = arg;

	if (e->kind == MOKA_EVENT_TRAIN && r->n_losses < 256)
		r->losses[r->n_losses++] = e->loss;
}

/* Builds the solver of `text`; status says how far it came. */
static void start(struct run *r, const char *text, const char *snapshot)
{
	static const struct moka_model_options any = { .expect = -1 };
	struct moka_solver_options o = {
		.max_iter = -1, .seed = -1, .snapshot = snapshot, .on_event = note_loss, .arg = r
	};

	memset(r, 0, sizeof(*r));
	moka_findings_init(&r->f);
	r->status = moka_model_parse(&r->model, "solver.prototxt", text, strlen(text), &moka_layer_schema, &any, &r->f);
	if (!r->status)
		r->status = moka_solver_new(&r->solver, r->model, &o, &r->f);
}

static void train(struct run *r)
{
	if (!r->status)
		r->status = moka_solver_run(r->solver, &r->err);
}

static void done(struct run *r)
{
	moka_solver_free(r->solver);
	moka_model_free(r->model);
	moka_findings_release(&r->f);
}

static const char *said(const struct run *r)
{
	static char all[8192];
	size_t at = 0;

	all[0] = 0;
	for (size_t i = 0; i < r->f.n && at < sizeof(all); i++)
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s: %s (%s)\n", r->f.items[i].code,
				       r->f.items[i].message, r->f.items[i].hint ? r->f.items[i].hint : "");
	return all;
}

static const real *param(const struct run *r, const char *name)
{
	const struct moka_net *n = moka_solver_net(r->solver);

	for (int i = 0; i < n->n_params; i++)
		if (!strcmp(n->params[i].name, name))
			return n->params[i].data;
	fail_msg("no parameter '%s'", name);
	return NULL;
}

/* ---- schedules ---------------------------------------------------------------------------- */

static double rate(const char *text, int64_t iter)
{
	static const struct moka_model_options solver = { .expect = MOKA_MODEL_SOLVER };
	struct moka_findings f;
	struct moka_model *m;
	double r = NAN;

	moka_findings_init(&f);
	if (!moka_model_parse(&m, "s", text, strlen(text), &moka_layer_schema, &solver, &f)) {
		r = moka_solver_rate(m->root, iter);
		moka_model_free(m);
	}
	moka_findings_release(&f);
	return r;
}

T_TEST(schedules)
{
	static const struct {
		const char *text;
		int64_t iter;
		double want;
	} rows[] = {
		{ "base_lr: 0.1 lr_policy: 'fixed'", 1000, 0.1 },
		{ "base_lr: 0.1 lr_policy: 'step' gamma: 0.5 stepsize: 10", 9, 0.1 },
		{ "base_lr: 0.1 lr_policy: 'step' gamma: 0.5 stepsize: 10", 10, 0.05 },
		{ "base_lr: 0.1 lr_policy: 'step' gamma: 0.5 stepsize: 10", 35, 0.0125 },
		{ "base_lr: 0.1 lr_policy: 'exp' gamma: 0.9", 3, 0.0729 },
		{ "base_lr: 0.01 lr_policy: 'inv' gamma: 0.0001 power: 0.75", 10000, 0.00594603557501361 },
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 5 stepvalue: 8", 4, 1 },
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 5 stepvalue: 8", 5, 0.1 },
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 5 stepvalue: 8", 80, 0.01 },
		/* one stepvalue an iteration, as BVLC Caffe: the same value twice steps on the next one */
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 5 stepvalue: 5", 5, 0.1 },
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 5 stepvalue: 5", 6, 0.01 },
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 10 stepvalue: 5", 10, 0.1 },
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 10 stepvalue: 5", 11, 0.01 },
		/* the Intel fork's warm-up: a line from warmup_start_lr to base_lr, then the policy */
		{ "base_lr: 1 lr_policy: 'fixed' warmup_iter: 10 warmup_start_lr: 0.2", 0, 0.2 },
		{ "base_lr: 1 lr_policy: 'fixed' warmup_iter: 10 warmup_start_lr: 0.2", 5, 0.6 },
		{ "base_lr: 1 lr_policy: 'step' gamma: 0.5 stepsize: 8 warmup_iter: 10 warmup_start_lr: 0.2", 9, 0.92 },
		{ "base_lr: 1 lr_policy: 'step' gamma: 0.5 stepsize: 8 warmup_iter: 10 warmup_start_lr: 0.2", 10, 0.5 },
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 2 stepvalue: 3 warmup_iter: 10", 10, 0.1 },
		{ "base_lr: 1 lr_policy: 'multistep' gamma: 0.1 stepvalue: 2 stepvalue: 3 warmup_iter: 10", 11, 0.01 },
		{ "base_lr: 1 lr_policy: 'poly' power: 2 max_iter: 10", 5, 0.25 },
		{ "base_lr: 1 lr_policy: 'poly' power: 2 max_iter: 10", 11, 0 },
		{ "base_lr: 1 lr_policy: 'sigmoid' gamma: -1 stepsize: 4", 4, 0.5 },
		{ "base_lr: 1 lr_policy: 'sigmoid' gamma: -1 stepsize: 4", 6, 0.119202922022118 },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		if (fabs(rate(rows[i].text, rows[i].iter) - rows[i].want) > 1e-6 * fabs(rows[i].want) + 1e-12)
			fail_msg("%s at %lld: %.12g, %.12g wanted", rows[i].text, (long long)rows[i].iter,
				 rate(rows[i].text, rows[i].iter), rows[i].want);
	T_TRUE(isnan(rate("base_lr: 1 lr_policy: 'steep'", 0)));
}

/* ---- one weight, by hand ------------------------------------------------------------------ */

/* y = w x, loss = (w x - t)^2 / 2: gradient (w x - t) x. */
#define ONE_WEIGHT                                                                                                              \
	"net_param { name: 'one'"                                                                                               \
	" layer { name: 'x' type: 'DummyData' top: 'x' dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 2 } } }" \
	" layer { name: 't' type: 'DummyData' top: 't' dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 3 } } }" \
	" layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' param { lr_mult: 2 decay_mult: 3 }"                      \
	"  inner_product_param { num_output: 1 bias_term: false weight_filler { value: 0.5 } } }"                               \
	" layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } }"                                   \
	" snapshot_after_train: false random_seed: 1 base_lr: 0.01 lr_policy: 'fixed' "

struct by_hand {
	double m1, m2, delta, decay, rms; /* settings */
	double h0, h1;
};

typedef double (*rule)(struct by_hand *b, double rate, double g, int t);

static double hand_sgd(struct by_hand *b, double rate, double g, int t)
{
	(void)t;
	return b->h0 = b->m1 * b->h0 + rate * g;
}

static double hand_nesterov(struct by_hand *b, double rate, double g, int t)
{
	double old = b->h0;

	(void)t;
	b->h0 = b->m1 * old + rate * g;
	return b->h0 + b->m1 * (b->h0 - old);
}

static double hand_adagrad(struct by_hand *b, double rate, double g, int t)
{
	(void)t;
	b->h0 += g * g;
	return rate * g / (sqrt(b->h0) + b->delta);
}

static double hand_rmsprop(struct by_hand *b, double rate, double g, int t)
{
	(void)t;
	b->h0 += (1 - b->rms) * (g * g - b->h0);
	return rate * g / (sqrt(b->h0) + b->delta);
}

static double hand_adadelta(struct by_hand *b, double rate, double g, int t)
{
	(void)t;
	b->h0 += (1 - b->m1) * (g * g - b->h0);
	double step = g * sqrt(b->h1 + b->delta) / sqrt(b->h0 + b->delta);
	b->h1 += (1 - b->m1) * (step * step - b->h1);
	return rate * step;
}

static double hand_adam(struct by_hand *b, double rate, double g, int t)
{
	b->h0 += (1 - b->m1) * (g - b->h0);
	b->h1 += (1 - b->m2) * (g * g - b->h1);
	return rate * sqrt(1 - pow(b->m2, t)) / (1 - pow(b->m1, t)) * b->h0 / (sqrt(b->h1) + b->delta);
}

/* Adam's step for the plain gradient, and rate * decay of the weight itself (it comes in through rms, which Adam has no use for). */
static double hand_adamw(struct by_hand *b, double rate, double g, int t)
{
	return hand_adam(b, rate, g, t) + rate * 0.3 * b->rms;
}

T_TEST(rules_by_hand)
{
	static const struct {
		const char *text;
		rule rule;
		struct by_hand b;
	} rows[] = {
		{ "max_iter: 7", hand_sgd, { 0 } },
		{ "max_iter: 7 momentum: 0.9 weight_decay: 0.1", hand_sgd, { .m1 = 0.9, .decay = 0.3 } },
		{ "max_iter: 7 momentum: 0.8 type: 'Nesterov'", hand_nesterov, { .m1 = 0.8 } },
		{ "max_iter: 7 type: 'AdaGrad' delta: 1e-3", hand_adagrad, { .delta = 1e-3 } },
		{ "max_iter: 7 type: 'RMSProp' rms_decay: 0.9 delta: 1e-3",
		  hand_rmsprop,
		  { .rms = 0.9, .delta = 1e-3 } },
		{ "max_iter: 7 type: 'AdaDelta' momentum: 0.95 delta: 1e-4",
		  hand_adadelta,
		  { .m1 = 0.95, .delta = 1e-4 } },
		{ "max_iter: 7 type: 'Adam' momentum: 0.9 momentum2: 0.99 delta: 1e-6",
		  hand_adam,
		  { .m1 = 0.9, .m2 = 0.99, .delta = 1e-6 } },
		{ "max_iter: 7 type: 'AdamW' momentum: 0.9 momentum2: 0.99 delta: 1e-6 weight_decay: 0.1",
		  hand_adamw,
		  { .m1 = 0.9, .m2 = 0.99, .delta = 1e-6 } },
		{ "max_iter: 7 solver_type: ADAM momentum: 0.9 momentum2: 0.99 delta: 1e-6",
		  hand_adam,
		  { .m1 = 0.9, .m2 = 0.99, .delta = 1e-6 } },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		char text[4096];
		struct by_hand b = rows[i].b;
		struct run r;
		double w = 0.5;

		snprintf(text, sizeof(text), ONE_WEIGHT "%s", rows[i].text);
		start(&r, text, NULL);
		train(&r);
		T_OK(r.status, &r.err);
		T_INT(r.n_losses, 7);
		for (int t = 1; t <= 7; t++) {
			double g = (2 * w - 3) * 2, loss = (2 * w - 3) * (2 * w - 3) / 2;

			if (fabs(loss - r.losses[t - 1]) > 1e-4 * fabs(loss) + 1e-6)
				fail_msg("%s: loss %d is %g, %g wanted", rows[i].text, t - 1, r.losses[t - 1], loss);
			if (rows[i].rule == hand_adamw)
				b.rms = w;
			w -= rows[i].rule(&b, 0.01 * 2, g + b.decay * w, t);
		}
		real want = (real)w;
		T_NEAR(param(&r, "ip.0"), &want, 1, 1e-4, 1e-6);
		done(&r);
	}
}

T_TEST(clipping_and_l1)
{
	struct run r;
	real want;

	/* gradient (1 - 3) 2 = -4, clipped to norm 0.5: step 0.02 * -0.5 */
	start(&r, ONE_WEIGHT "max_iter: 1 clip_gradients: 0.5", NULL);
	train(&r);
	T_OK(r.status, &r.err);
	want = (real)(0.5 + 0.02 * 0.5);
	T_NEAR(param(&r, "ip.0"), &want, 1, 1e-5, 0);
	done(&r);
	/* L1: gradient + 0.1 * 3 * sign(w) */
	start(&r, ONE_WEIGHT "max_iter: 1 weight_decay: 0.1 regularization_type: 'L1'", NULL);
	train(&r);
	T_OK(r.status, &r.err);
	want = (real)(0.5 - 0.02 * (-4 + 0.3));
	T_NEAR(param(&r, "ip.0"), &want, 1, 1e-5, 0);
	done(&r);
}

/* ---- gradients that nobody keeps ------------------------------------------------------------- */

#define LATE_NET                                                                                                                                 \
	"net_param { layer { name: 'd' type: 'DummyData' top: 'x' top: 't' dummy_data_param {"                                                   \
	" shape { dim: 13 dim: 3 dim: 7 } shape { dim: 13 dim: 4 } data_filler { type: 'gaussian' } data_filler { type: 'gaussian' } } }"        \
	" layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' inner_product_param { num_output: 70 weight_filler { type: 'xavier' } } }" \
	" layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' } layer { name: 'o' type: 'Dropout' bottom: 'a' top: 'a' }"                        \
	" layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b'"                                                                           \
	"  inner_product_param { num_output: 51 transpose: true weight_filler { type: 'xavier' } } }"                                            \
	" layer { name: 'c1' type: 'InnerProduct' bottom: 'b' top: 'c1' param { name: 'w' } param { name: 'c' }"                                 \
	"  inner_product_param { num_output: 4 weight_filler { type: 'xavier' } } }"                                                             \
	" layer { name: 'c2' type: 'InnerProduct' bottom: 'b' top: 'c2' param { name: 'w' } param { name: 'c' }"                                 \
	"  inner_product_param { num_output: 4 } }"                                                                                              \
	" layer { name: 'e' type: 'Eltwise' bottom: 'c1' bottom: 'c2' top: 'e' }"                                                                \
	" layer { name: 'l' type: 'EuclideanLoss' bottom: 'e' bottom: 't' top: 'l' } } random_seed: 3 weight_decay: 0.01 max_iter: 7 lr_policy: 'fixed' snapshot_after_train: false "

/* An update that reads an inner product's gradient as it is made steps as one that reads it from memory, bit for bit. */
T_TEST(gradients_that_go_by_make_the_same_weights)
{
	static const char *const rules[] = { "base_lr: 0.002 momentum: 0.9",
					     "base_lr: 0.01 type: 'Adam' momentum: 0.9 momentum2: 0.99",
					     "base_lr: 0.002 type: 'Nesterov' momentum: 0.9 regularization_type: 'L1'",
					     "base_lr: 0.01 type: 'AdamW' momentum: 0.9 momentum2: 0.99",
					     "base_lr: 0.01 type: 'RMSProp' rms_decay: 0.9" };
	/* these want gradients in memory: a norm that clips nothing; a record of them */
	static const char *const kept[] = { "clip_gradients: 1e30", "snapshot_diff: true" };

	for (size_t i = 0; i < MOKA_COUNT(rules) * MOKA_COUNT(kept); i++) {
		char text[4096];
		struct run a, b;

		snprintf(text, sizeof(text), "%s %s", LATE_NET, rules[i / 2]);
		start(&a, text, NULL);
		train(&a);
		if (a.status)
			fail_msg("%s %s", said(&a), a.err.message);
		snprintf(text, sizeof(text), "%s %s %s", LATE_NET, rules[i / 2], kept[i % 2]);
		start(&b, text, NULL);
		train(&b);
		T_OK(b.status, &b.err);
		const struct moka_net *na = moka_solver_net(a.solver), *nb = moka_solver_net(b.solver);
		for (int p = 0; p < na->n_params; p++)
			T_TRUE(!memcmp(na->params[p].data, nb->params[p].data,
				       (size_t)na->params[p].count * sizeof(real)));
		T_TRUE(a.n_losses == 7 && !memcmp(a.losses, b.losses, sizeof(a.losses)));
		done(&a);
		done(&b);
	}
}

/* Such a gradient that would not be finite is found before any weight has changed. */
T_TEST(a_gradient_that_would_overflow_stops_the_run_first)
{
	struct run r;

	start(&r,
	      "net_param { layer { name: 'd' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 2 }"
	      " data_filler { value: 1e30 } data_filler { value: 1e15 } } }"
	      " layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 2 weight_filler { value: 1e-30 } } }"
	      " layer { name: 'l' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'l' } } base_lr: 1 lr_policy: 'fixed' max_iter: 3 snapshot_after_train: false",
	      NULL);
	train(&r);
	if (r.status != MOKA_ERR_DATA)
		fail_msg("%s %s", said(&r), r.err.message);
	assert_non_null(strstr(r.err.message, "a gradient is not finite"));
	assert_non_null(strstr(r.err.message, "layer 'ip' (InnerProduct), the gradient of its parameter"));
	for (int i = 0; i < 6; i++)
		T_TRUE(param(&r, "ip.0")[i] == (real)1e-30);
	done(&r);
}

/* ---- shared parameters -------------------------------------------------------------------- */

/* y = (w 2, w 5), t = (3, 1): each use's gradient is (w x - t) x; EuclideanLoss divides by the batch of 1, and by 2. */
static void shared_net(char *out, size_t size, const char *a, const char *b)
{
	snprintf(
		out, size,
		"net_param { layer { name: 'd' type: 'DummyData' top: 'a' top: 'b' top: 't0' top: 't1' dummy_data_param { shape { dim: 1 dim: 1 }"
		" data_filler { value: 2 } data_filler { value: 5 } data_filler { value: 3 } data_filler { value: 1 } } }"
		" layer { name: 'l1' type: 'InnerProduct' bottom: 'a' top: 'y0' param { name: 'w' %s }"
		"  inner_product_param { num_output: 1 bias_term: false weight_filler { value: 0.5 } } }"
		" layer { name: 'l2' type: 'InnerProduct' bottom: 'b' top: 'y1' param { name: 'w' %s }"
		"  inner_product_param { num_output: 1 bias_term: false weight_filler { value: 0.5 } } }"
		" layer { name: 'ty' type: 'Concat' bottom: 'y0' bottom: 'y1' top: 'y' }"
		" layer { name: 'tt' type: 'Concat' bottom: 't0' bottom: 't1' top: 't' }"
		" layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } }"
		" snapshot_after_train: false random_seed: 1 base_lr: 0.001 lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.01 max_iter: 6",
		a, b);
}

/* mult 0, 0: one summed gradient with lr_mult `one`; else one history per use. */
static double shared_by_hand(double mult_a, double mult_b, bool per_use)
{
	double w = 0.5, h[2] = { 0, 0 };

	for (int t = 0; t < 6; t++) {
		double ga = (2 * w - 3) * 2, gb = (5 * w - 1) * 5;

		if (per_use) {
			h[0] = 0.9 * h[0] + 0.001 * mult_a * (ga + 0.01 * w);
			h[1] = 0.9 * h[1] + 0.001 * mult_b * (gb + 0.01 * w);
		} else {
			h[0] = 0.9 * h[0] + 0.001 * mult_a * (ga + gb + 0.01 * w);
		}
		w -= h[0] + h[1];
	}
	return w;
}

T_TEST(shared_parameters_by_both_rules)
{
	static const struct {
		const char *a, *b;
		double mult_a, mult_b;
		bool per_use;
	} rows[] = {
		{ "lr_mult: 2", "lr_mult: 2", 2, 2, false },
		{ "lr_mult: 2", "", 2, 2, false }, /* a silent use takes the stated value */
		{ "", "lr_mult: 3", 3, 3, false }, /* the owner too */
		{ "", "", 1, 1, false },
		{ "lr_mult: 1", "lr_mult: 10", 1, 10, true },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		char text[4096];
		struct run r;

		shared_net(text, sizeof(text), rows[i].a, rows[i].b);
		start(&r, text, NULL);
		train(&r);
		T_OK(r.status, &r.err);
		real want = (real)shared_by_hand(rows[i].mult_a, rows[i].mult_b, rows[i].per_use);
		T_NEAR(param(&r, "w"), &want, 1, 1e-4, 1e-6);
		if (rows[i].per_use)
			T_HAS(said(&r), "shared-lr-mult");
		else
			T_TRUE(!strstr(said(&r), "shared-lr-mult"));
		done(&r);
	}
}

/* ---- snapshots ---------------------------------------------------------------------------- */

static void snapshot_text(char *out, size_t size, const char *prefix, const char *rest)
{
	snprintf(out, size, ONE_WEIGHT "momentum: 0.9 snapshot: 4 snapshot_prefix: '%s' %s", prefix, rest);
}

T_TEST(a_resumed_run_ends_where_the_whole_run_does)
{
	char text[4096], prefix[256], path[300];
	struct run whole, half;

	snprintf(prefix, sizeof(prefix), "%s/one", t_tmp());
	snapshot_text(text, sizeof(text), prefix, "max_iter: 9");
	start(&whole, text, NULL);
	train(&whole);
	T_OK(whole.status, &whole.err);
	snprintf(path, sizeof(path), "%s_iter_4.solverstate", prefix);
	start(&half, text, path);
	T_INT(half.status, MOKA_OK);
	T_INT(moka_solver_iter(half.solver), 4);
	train(&half);
	T_OK(half.status, &half.err);
	T_INT(half.n_losses, 5);
	T_TRUE(!memcmp(param(&half, "ip.0"), param(&whole, "ip.0"), sizeof(real)));
	done(&whole);
	done(&half);
}

static void write_file(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	T_TRUE(f && fwrite(p, 1, n, f) == n);
	fclose(f);
}

T_TEST(what_is_no_solverstate_is_told_so)
{
	char text[4096], prefix[256], path[300];
	struct run r;

	snprintf(prefix, sizeof(prefix), "%s/two", t_tmp());
	snapshot_text(text, sizeof(text), prefix, "max_iter: 4");
	start(&r, text, NULL);
	train(&r);
	done(&r);

	snprintf(path, sizeof(path), "%s_iter_4.caffemodel", prefix);
	start(&r, text, path);
	T_INT(r.status, MOKA_ERR_MODEL);
	T_HAS(said(&r), "not-a-solverstate");
	T_HAS(said(&r), "--weights");
	done(&r);

	snprintf(path, sizeof(path), "%s_iter_5.solverstate", prefix);
	start(&r, text, path);
	T_TRUE(r.status != MOKA_OK);
	T_HAS(said(&r), "no-such-file");
	done(&r);

	snprintf(path, sizeof(path), "%s/garbage", t_tmp());
	write_file(path, "\x08\x04\x12\xff\xff\xff\x7f garbage", 16);
	start(&r, text, path);
	T_TRUE(r.status != MOKA_OK && r.f.errors);
	done(&r);
}

T_TEST(the_snapshot_folder_is_looked_at_first)
{
	char text[4096];
	struct run r;

	snapshot_text(text, sizeof(text), "no/such/folder/x", "max_iter: 4");
	start(&r, text, NULL);
	T_INT(r.status, MOKA_ERR_MODEL);
	T_HAS(said(&r), "snapshot-folder");
	T_HAS(said(&r), "mkdir -p 'no/such/folder'");
	done(&r);
}

/* A limit on file sizes stands in for a full disk: the write fails midway. */
T_TEST(a_full_disk_leaves_the_last_snapshot_whole)
{
	struct rlimit old, small;
	char text[4096], prefix[256], path[300];
	struct run r;

	snprintf(prefix, sizeof(prefix), "%s/full", t_tmp());
	snapshot_text(text, sizeof(text), prefix, "max_iter: 4");
	start(&r, text, NULL);
	train(&r);
	T_OK(r.status, &r.err);
	done(&r);

	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 20;
	signal(SIGXFSZ, SIG_IGN);
	start(&r, text, NULL);
	T_INT(r.status, MOKA_OK);
	setrlimit(RLIMIT_FSIZE, &small);
	train(&r);
	setrlimit(RLIMIT_FSIZE, &old);
	T_INT(r.status, MOKA_ERR_IO);
	T_HAS(r.err.message, "full_iter_4.caffemodel");
	done(&r);

	snprintf(path, sizeof(path), "%s_iter_4.solverstate", prefix);
	start(&r, text, path);
	T_INT(r.status, MOKA_OK);
	T_INT(moka_solver_iter(r.solver), 4);
	done(&r);
}

/* ---- what is wrong ------------------------------------------------------------------------ */

T_TEST(wrong_settings_are_findings)
{
	static const struct {
		const char *text, *code, *hint;
	} rows[] = {
		{ "type: 'Addam'", "unknown-solver", "did you mean 'Adam'" },
		{ "iter_size: 0", "bad-value", "" },
		{ "regularization_type: 'L3'", "bad-value", "L2" },
		{ "test_iter: 3", "no-test-interval", "test_interval: 500" },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		char text[4096];
		struct run r;

		snprintf(text, sizeof(text), ONE_WEIGHT "max_iter: 1 %s", rows[i].text);
		start(&r, text, NULL);
		T_HAS(said(&r), rows[i].code);
		T_HAS(said(&r), rows[i].hint);
		done(&r);
	}
}

T_TEST(a_run_that_diverges_says_so)
{
	struct run r;

	start(&r, ONE_WEIGHT "max_iter: 250 momentum: 0.9 base_lr: 0.01", NULL);
	T_TRUE(r.f.errors > 0); /* base_lr twice */
	done(&r);
	start(&r,
	      "net_param { layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 9 } } }"
	      " layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 1 } }"
	      " layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } }"
	      " snapshot_after_train: false base_lr: 1000 lr_policy: 'fixed' max_iter: 250",
	      NULL);
	train(&r);
	T_INT(r.status, MOKA_ERR_DATA);
	T_HAS(r.err.message, "at iteration");
	T_HAS(r.err.hint, "lower base_lr");
	done(&r);
}

static const struct CMUnitTest tests[] = {
	T_CASE(schedules),
	T_CASE(rules_by_hand),
	T_CASE(clipping_and_l1),
	T_CASE(gradients_that_go_by_make_the_same_weights),
	T_CASE(a_gradient_that_would_overflow_stops_the_run_first),
	T_CASE(shared_parameters_by_both_rules),
	T_CASE(a_resumed_run_ends_where_the_whole_run_does),
	T_CASE(what_is_no_solverstate_is_told_so),
	T_CASE(the_snapshot_folder_is_looked_at_first),
	T_CASE(a_full_disk_leaves_the_last_snapshot_whole),
	T_CASE(wrong_settings_are_findings),
	T_CASE(a_run_that_diverges_says_so),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
