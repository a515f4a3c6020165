/*
 * A run as a whole: snapshots in both forms and their resumption, several test nets, what debug_info says, weights to start from and
 * the report about them, which snapshots stay, when it stops, how it says that it has diverged, dry run and rate sweep.
 */
#include "model/h5.h"
#include "solvers/solver.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct run {
	struct moka_findings f;
	struct moka_model *model;
	struct moka_solver *solver;
	struct moka_solver_options o;
	struct moka_error err;
	enum moka_status status;
	struct moka_buf log; /* a line for each event */
	double losses[512];
	int n_losses, tests;
};

static void note_event(void *arg, const struct moka_solver_event *e)
{
	static const char *const names[] = { "train", "test",	    "snapshot", "display", "note",
					     "start", "test-start", "debug",	"done" };
	struct run *r = arg;

	if (e->kind == MOKA_EVENT_TRAIN) {
		if (r->n_losses < 512)
			r->losses[r->n_losses++] = e->loss;
		return;
	}
	r->tests += e->kind == MOKA_EVENT_TEST;
	moka_buf_printf(&r->log, "%s %lld %d %s %s", names[e->kind], (long long)e->iter, e->net, e->file ? e->file : "",
			e->text ? e->text : "");
	for (int i = 0; e->kind == MOKA_EVENT_TEST && i < e->n_outputs; i++)
		moka_buf_printf(&r->log, " %s=%.9g", e->outputs[i].name, (double)e->outputs[i].value);
	if (e->kind == MOKA_EVENT_TEST && e->show_loss)
		moka_buf_printf(&r->log, " all=%.9g", e->loss);
	moka_buf_putc(&r->log, '\n');
}

static void begin(struct run *r)
{
	memset(r, 0, sizeof(*r));
	moka_findings_init(&r->f);
	moka_buf_init(&r->log, 1 << 24);
	r->o = (struct moka_solver_options){ .max_iter = -1, .seed = -1, .on_event = note_event, .arg = r };
}

static void build(struct run *r, const char *text)
{
	static const struct moka_model_options any = { .expect = -1 };

	r->status = moka_model_parse(&r->model, "solver.prototxt", text, strlen(text), &moka_layer_schema, &any, &r->f);
	if (!r->status)
		r->status = moka_solver_new(&r->solver, r->model, &r->o, &r->f);
}

static void go(struct run *r)
{
	if (!r->status)
		r->status = moka_solver_run(r->solver, &r->err);
}

static void run(struct run *r, const char *text)
{
	begin(r);
	build(r, text);
	go(r);
}

static void done(struct run *r)
{
	moka_solver_free(r->solver);
	moka_model_free(r->model);
	moka_findings_release(&r->f);
	moka_buf_release(&r->log);
}

static const char *said(const struct run *r)
{
	static char all[16384];
	size_t at = 0;

	all[0] = 0;
	for (size_t i = 0; i < r->f.n && at < sizeof(all); i++)
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s %d: %s (%s)\n", r->f.items[i].code,
				       (int)r->f.items[i].severity, r->f.items[i].message,
				       r->f.items[i].hint ? r->f.items[i].hint : "");
	return all;
}

static const char *log_of(const struct run *r)
{
	return r->log.data ? r->log.data : "";
}

static int count_lines(const struct run *r, const char *start)
{
	int n = 0;

	for (const char *p = log_of(r); p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		n += !strncmp(p, start, strlen(start));
	return n;
}

static const struct moka_param *param(const struct run *r, const char *name)
{
	const struct moka_net *n = moka_solver_net(r->solver);

	for (int i = 0; i < n->n_params; i++)
		if (!strcmp(n->params[i].name, name))
			return &n->params[i];
	fail_msg("no parameter '%s'", name);
	return NULL;
}

static void same_params(const struct run *a, const struct run *b)
{
	const struct moka_net *x = moka_solver_net(a->solver), *y = moka_solver_net(b->solver);

	T_INT(x->n_params, y->n_params);
	for (int i = 0; i < x->n_params; i++)
		if (memcmp(x->params[i].data, y->params[i].data, (size_t)x->params[i].count * sizeof(real)))
			fail_msg("'%s' differs", x->params[i].name);
}

/* Random inputs, dropout, two layers that share a weight: all that a resumed run has to find again. */
#define NET                                                                                                                                     \
	"net_param { name: 'small'"                                                                                                             \
	" layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 }"             \
	"  data_filler { type: 'gaussian' std: 1 } data_filler { type: 'uniform' min: -1 max: 1 } } }"                                          \
	" layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' param { name: 'w' } param { lr_mult: 2 decay_mult: 0 }"                   \
	"  inner_product_param { num_output: 6 weight_filler { type: 'xavier' } } }"                                                            \
	" layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' }"                                                                                \
	" layer { name: 'd' type: 'Dropout' bottom: 'a' top: 'a' }"                                                                             \
	" layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' param { name: 'w' } param { lr_mult: 0 }"                                 \
	"  inner_product_param { num_output: 6 weight_filler { type: 'xavier' } } }"                                                            \
	" layer { name: 'c' type: 'InnerProduct' bottom: 'b' top: 'c' inner_product_param { num_output: 3 weight_filler { type: 'xavier' } } }" \
	" layer { name: 'loss' type: 'EuclideanLoss' bottom: 'c' bottom: 't' top: 'loss' } }"                                                   \
	" base_lr: 0.002 lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.001 random_seed: 5 "

static const char *text_with(const char *net, const char *prefix, const char *rest)
{
	static char text[8192];

	snprintf(text, sizeof(text), "%s snapshot_prefix: '%s/%s' %s", net, t_tmp(), prefix, rest);
	return text;
}

static char *in_tmp(const char *fmt, const char *a)
{
	static char path[4][512];
	static int k;

	k = (k + 1) % 4;
	snprintf(path[k], sizeof(path[k]), "%s/", t_tmp());
	snprintf(path[k] + strlen(path[k]), sizeof(path[k]) - strlen(path[k]), fmt, a);
	return path[k];
}

/* ---- snapshots and resumption ---------------------------------------------------------------- */

static void resume(const char *type, const char *form, const char *ending, int threads)
{
	char rest[512];
	struct run whole, half, again;
	struct moka_pool *pool = threads > 1 ? moka_pool_new(threads) : NULL;

	snprintf(rest, sizeof(rest), "type: '%s' snapshot: 4 max_iter: 11 iter_size: 2 snapshot_format: %s", type,
		 form);
	const char *text = text_with(NET, "resume", rest);

	run(&whole, text);
	T_OK(whole.status, &whole.err);
	begin(&again);
	again.o.pool = pool;
	build(&again, text);
	go(&again);
	T_OK(again.status, &again.err);
	same_params(&whole, &again);
	begin(&half);
	half.o.snapshot = in_tmp("resume_iter_4.solverstate%s", ending);
	half.o.pool = pool;
	build(&half, text);
	if (half.status)
		fail_msg("%s", said(&half));
	T_INT(moka_solver_iter(half.solver), 4);
	go(&half);
	T_OK(half.status, &half.err);
	T_INT(half.n_losses, 7);
	for (int i = 0; i < 7; i++)
		T_TRUE(half.losses[i] == whole.losses[i + 4]);
	same_params(&whole, &half);
	done(&whole);
	done(&half);
	done(&again);
	moka_pool_free(pool);
}

T_TEST(a_resumed_run_is_the_run_bit_for_bit)
{
	for (int i = 0; moka_solver_rules[i]; i++)
		resume(moka_solver_rules[i]->name, "BINARYPROTO", "", 1);
	resume("Adam", "HDF5", ".h5", 1);
	resume("SGD", "HDF5", ".h5", 2);
	resume("SGD", "BINARYPROTO", "", 2);
}

T_TEST(hdf5_snapshots_are_laid_out_as_caffe_lays_them_out)
{
	struct moka_error err = { 0 };
	struct moka_file file;
	struct moka_arena a;
	struct moka_h5 *h;
	moka_h5_object o;
	const char *weights;
	int64_t v = -1;
	struct run r;
	static const struct {
		const char *path;
		bool there;
	} rows[] = { { "data/a/0", true }, { "data/a/1", true }, { "data/b/0", false },
		     { "data/b/1", true }, { "diff/a/0", true }, { "diff/b/0", true },
		     { "diff/b/1", true }, { "data/r", true },	 { "data/r/0", false } };

	run(&r, text_with(NET, "h5", "max_iter: 5 snapshot_format: HDF5 snapshot_diff: true"));
	T_OK(r.status, &r.err);
	done(&r);
	moka_arena_init(&a, 0);
	T_OK(moka_file_open(&file, in_tmp("h5_iter_5.solverstate%s", ".h5"), &err), &err);
	T_OK(moka_h5_open(&h, "state", &file, &err), &err);
	T_INT(moka_h5_find(h, "iter", &o), MOKA_H5_DATASET);
	T_OK(moka_h5_read_number(h, o, "iter", &v, &err), &err);
	T_INT(v, 5);
	T_INT(moka_h5_find(h, "learned_net", &o), MOKA_H5_DATASET);
	T_OK(moka_h5_read_text(h, o, "learned_net", &a, &weights, &err), &err);
	T_HAS(weights, "h5_iter_5.caffemodel.h5");
	/* a text is no number, and the other way round */
	T_TRUE(moka_h5_read_number(h, o, "learned_net", &v, &err) != MOKA_OK);
	T_INT(moka_h5_find(h, "iter", &o), MOKA_H5_DATASET);
	T_TRUE(moka_h5_read_text(h, o, "iter", &a, &weights, &err) != MOKA_OK);
	T_INT(moka_h5_find(h, "history/4", &o), MOKA_H5_DATASET); /* w, a.1, b.1, c.0, c.1 */
	T_INT(moka_h5_find(h, "history/5", &o), MOKA_H5_ABSENT);
	moka_h5_close(h);
	moka_file_release(&file);
	T_OK(moka_file_open(&file, in_tmp("h5_iter_5.caffemodel%s", ".h5"), &err), &err);
	T_OK(moka_h5_open(&h, "weights", &file, &err), &err);
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		if ((moka_h5_find(h, rows[i].path, &o) != MOKA_H5_ABSENT) != rows[i].there)
			fail_msg("%s is %s", rows[i].path, rows[i].there ? "missing" : "there");
	moka_h5_close(h);
	moka_file_release(&file);
	moka_arena_release(&a);
}

static void move_file(const char *from, const char *to)
{
	if (rename(from, to))
		fail_msg("%s can't be moved", from);
}

T_TEST(weights_that_were_moved_beside_the_state_are_found)
{
	static const char *const forms[][2] = { { "BINARYPROTO", "" }, { "HDF5", ".h5" } };

	for (int i = 0; i < 2; i++) {
		char rest[256], folder[300], moved[400], weights[400];
		struct run r;

		snprintf(rest, sizeof(rest), "max_iter: 3 snapshot_format: %s", forms[i][0]);
		run(&r, text_with(NET, "move", rest));
		T_OK(r.status, &r.err);
		snprintf(folder, sizeof(folder), "%s/elsewhere%d", t_tmp(), i);
		T_INT(mkdir(folder, 0777), 0);
		snprintf(moved, sizeof(moved), "%s/move_iter_3.solverstate%s", folder, forms[i][1]);
		snprintf(weights, sizeof(weights), "%s/move_iter_3.caffemodel%s", folder, forms[i][1]);
		move_file(in_tmp("move_iter_3.solverstate%s", forms[i][1]), moved);
		move_file(in_tmp("move_iter_3.caffemodel%s", forms[i][1]), weights);
		struct run back;

		begin(&back);
		back.o.snapshot = moved;
		build(&back, text_with(NET, "move", rest));
		if (back.status)
			fail_msg("%s", said(&back));
		same_params(&r, &back);
		done(&back);
		/* and where they are nowhere, it is said so */
		unlink(weights);
		begin(&back);
		back.o.snapshot = moved;
		build(&back, text_with(NET, "move", rest));
		T_TRUE(back.status != MOKA_OK);
		T_HAS(said(&back), "snapshot-weights");
		T_HAS(said(&back), "beside the .solverstate");
		done(&back);
		done(&r);
	}
}

T_TEST(a_damaged_state_in_hdf5_is_an_error)
{
	struct moka_file file;
	struct moka_error err;
	struct run r;

	run(&r, text_with(NET, "dam", "max_iter: 2 snapshot_format: HDF5"));
	T_OK(r.status, &r.err);
	done(&r);
	T_OK(moka_file_open(&file, in_tmp("dam_iter_2.solverstate%s", ".h5"), &err), &err);
	for (size_t cut = 0; cut < 12; cut++) {
		T_OK(moka_file_write(in_tmp("cut%s", ".h5"), file.data, 64 + cut * 320, &err), &err);
		begin(&r);
		r.o.snapshot = in_tmp("cut%s", ".h5");
		build(&r, text_with(NET, "dam", "max_iter: 2"));
		T_TRUE(r.status != MOKA_OK && r.f.errors > 0);
		done(&r);
	}
	moka_file_release(&file);
	begin(&r);
	r.o.snapshot = in_tmp("dam_iter_2.caffemodel%s", ".h5");
	build(&r, text_with(NET, "dam", "max_iter: 2"));
	T_TRUE(r.status != MOKA_OK);
	T_HAS(said(&r), "--weights");
	done(&r);
}

T_TEST(snapshot_diff_keeps_a_diff_for_every_blob)
{
	struct moka_error err = { 0 };
	struct moka_model *m;
	struct moka_findings f;
	struct run r;
	int diffs = 0;

	run(&r, text_with(NET, "diff", "max_iter: 2 snapshot_diff: true"));
	T_OK(r.status, &r.err);
	done(&r);
	moka_findings_init(&f);
	T_INT(moka_model_open(&m, in_tmp("diff_iter_2.caffemodel%s", ""), &moka_layer_schema,
			      &(struct moka_model_options){ .expect = -1 }, &f),
	      MOKA_OK);
	for (int i = 0; i < m->n_layers; i++)
		for (const struct moka_node *n = NULL; (n = moka_next(m->layers[i].msg, "blobs", n));) {
			struct moka_blob_view data, diff;

			T_OK(moka_blob_view_from_msg(n->u.m, false, &data, &err), &err);
			T_OK(moka_blob_view_from_msg(n->u.m, true, &diff, &err), &err);
			T_INT(diff.count, data.count);
			diffs++;
		}
	T_INT(diffs, 6);
	moka_model_free(m);
	moka_findings_release(&f);
}

/* ---- tests ------------------------------------------------------------------------------------- */

#define STAGED                                                                                                             \
	"net_param { layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 1 dim: 1 }"     \
	" data_filler { value: 2 } data_filler { value: 3 } } }"                                                           \
	" layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y'"                                                    \
	"  inner_product_param { num_output: 1 bias_term: false weight_filler { value: 0.5 } } }"                          \
	" layer { name: 'double' type: 'Power' bottom: 'y' top: 'big' power_param { scale: 2 } include { stage: 'big' } }" \
	" layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } }"                              \
	" base_lr: 0.01 lr_policy: 'fixed' random_seed: 1 snapshot_after_train: false max_iter: 2 test_interval: 1 "

T_TEST(several_test_nets_have_states_of_their_own)
{
	struct run r;

	run(&r, STAGED
	    "test_iter: 1 test_iter: 2 test_state { stage: 'none' } test_state { stage: 'big' } test_compute_loss: true");
	T_OK(r.status, &r.err);
	T_INT(r.tests, 6);
	T_HAS(log_of(&r), "test-start 0 1");
	T_HAS(log_of(&r), "test 0 0   loss=2 all=2\n");
	T_HAS(log_of(&r), "test 0 1   big=2 loss=2 all=2\n");
	done(&r);
	run(&r, STAGED "test_iter: 1 test_iter: 2 test_state { stage: 'none' }");
	T_HAS(said(&r), "test-state-count");
	done(&r);
	run(&r, STAGED "test_iter: 1");
	T_OK(r.status, &r.err);
	T_TRUE(!strstr(log_of(&r), "all=")); /* not asked for */
	done(&r);
}

T_TEST(a_test_net_for_every_test_iter)
{
	struct run r;

	run(&r,
	    "train_net_param { layer { name: 'x' type: 'DummyData' top: 'x' dummy_data_param { shape { dim: 1 } } } }"
	    " test_net_param { layer { name: 'x' type: 'DummyData' top: 'x' dummy_data_param { shape { dim: 1 } } } }"
	    " base_lr: 1 lr_policy: 'fixed' test_interval: 1 test_iter: 1 test_iter: 1 snapshot_after_train: false");
	T_HAS(said(&r), "test-iter-count");
	done(&r);
}

/* ---- debug_info ---------------------------------------------------------------------------------- */

T_TEST(debug_info_in_caffes_words)
{
	struct run r;

	run(&r,
	    "net_param { layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 1 dim: 1 }"
	    " data_filler { value: 2 } data_filler { value: 3 } } }"
	    " layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' param { name: 'w' }"
	    "  inner_product_param { num_output: 1 weight_filler { value: 0.5 } } }"
	    " layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } }"
	    " base_lr: 0.01 lr_policy: 'fixed' snapshot_after_train: false max_iter: 3 display: 2 debug_info: true");
	T_OK(r.status, &r.err);
	T_HAS(log_of(&r), "    [Forward] Layer x, top blob x data: 2\n");
	T_HAS(log_of(&r), "    [Forward] Layer ip, top blob y data: 1\n");
	T_HAS(log_of(&r), "    [Forward] Layer ip, param blob w data: 0.5\n");
	T_HAS(log_of(&r), "    [Forward] Layer ip, param blob 1 data: 0\n");
	T_HAS(log_of(&r), "    [Backward] Layer loss, bottom blob y diff: 2\n");
	T_HAS(log_of(&r), "    [Backward] Layer ip, param blob 0 diff: 4\n");
	T_HAS(log_of(&r), "    [Backward] All net params (data, diff): L1 norm = (0.5, 6); L2 norm = (0.5, 4.47214)\n");
	/* only where something is displayed: iterations 0 and 2 */
	T_TRUE(!strstr(log_of(&r), "debug 1 "));
	T_HAS(log_of(&r), "debug 2 ");
	done(&r);
}

/* ---- weights to start from ------------------------------------------------------------------------ */

#define TWO_LAYERS(name, width)                                                                                                                   \
	"net_param { layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 2 dim: 3 }"                            \
	" data_filler { value: 2 } } }"                                                                                                           \
	" layer { name: 'one' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 4 weight_filler { type: 'xavier' } } }" \
	" layer { name: '" name "' type: 'InnerProduct' bottom: 'y' top: 'z' inner_product_param { num_output: " width                            \
	" weight_filler { type: 'xavier' } } }"                                                                                                   \
	" layer { name: 'out' type: 'InnerProduct' bottom: 'z' top: 'o' inner_product_param { num_output: 3 weight_filler { type: 'xavier' } } }" \
	" layer { name: 'loss' type: 'EuclideanLoss' bottom: 'o' bottom: 't' top: 'loss' } }"                                                     \
	" base_lr: 0.01 lr_policy: 'fixed' random_seed: 3 "

T_TEST(fine_tuning_says_what_became_of_the_weights)
{
	const char *weights = in_tmp("old_iter_1.caffemodel%s", ".h5");
	struct run old, r;

	run(&old, text_with(TWO_LAYERS("two", "5"), "old", "max_iter: 1 snapshot_format: HDF5"));
	T_OK(old.status, &old.err);
	begin(&r);
	r.o.weights = &weights;
	r.o.n_weights = 1;
	build(&r, text_with(TWO_LAYERS("two", "6"), "new", "max_iter: 1"));
	T_INT(r.status, MOKA_OK);
	T_HAS(said(&r), "weights-mismatch 1: layer 'two' (InnerProduct): its weight is 6x4");
	T_HAS(said(&r), "dimension 0 is 6 in the net and 5 in the file");
	T_HAS(said(&r), "weights-taken 0: 2 of 3 layers"); /* `out` takes its bias: 3 values */
	T_HAS(said(&r), "--strict");
	T_INT(r.f.errors, 0);
	T_TRUE(!memcmp(param(&r, "one.0")->data, param(&old, "one.0")->data, 12 * sizeof(real)));
	T_STR(param(&r, "one.0")->from, weights);
	done(&r);

	begin(&r);
	r.o.weights = &weights;
	r.o.n_weights = 1;
	r.o.strict = true;
	build(&r, text_with(TWO_LAYERS("two", "6"), "new", "max_iter: 1"));
	T_TRUE(r.status != MOKA_OK);
	T_HAS(said(&r), "weights-mismatch 2:");
	done(&r);

	begin(&r);
	r.o.weights = &weights;
	r.o.n_weights = 1;
	build(&r, text_with(TWO_LAYERS("deux", "5"), "new", "max_iter: 1"));
	T_INT(r.status, MOKA_OK);
	T_HAS(said(&r), "weights-missing 1:");
	T_HAS(said(&r), "stay at their fillers: deux");
	T_HAS(said(&r), "weights-unused 1: 1 of the");
	T_HAS(said(&r), "not in the net: two");
	done(&r);
	done(&old);
}

T_TEST(the_solver_may_name_its_weights)
{
	const char *none = in_tmp("nowhere%s", "");
	char rest[1024];
	struct run old, r;

	run(&old, text_with(TWO_LAYERS("two", "5"), "own", "max_iter: 2"));
	T_OK(old.status, &old.err);
	snprintf(
		rest, sizeof(rest),
		"max_iter: 0 snapshot_after_train: false weights: ' %s/own_iter_2.caffemodel ,' layer_wise_reduce: false",
		t_tmp());
	begin(&r);
	build(&r, text_with(TWO_LAYERS("two", "5"), "new", rest));
	if (r.status)
		fail_msg("%s", said(&r));
	same_params(&old, &r);
	done(&r);
	/* --weights goes before */
	begin(&r);
	r.o.weights = &none;
	r.o.n_weights = 1;
	build(&r, text_with(TWO_LAYERS("two", "5"), "new", rest));
	T_TRUE(r.status != MOKA_OK);
	T_HAS(said(&r), "nowhere");
	done(&r);
	done(&old);
}

/* ---- which snapshots stay, and when it ends ------------------------------------------------------- */

static bool there(const char *name)
{
	return moka_path_exists(in_tmp("%s", name));
}

T_TEST(the_last_snapshots_stay)
{
	struct run r;

	begin(&r);
	r.o.keep_last = 2;
	build(&r, text_with(NET, "last", "max_iter: 10 snapshot: 3"));
	go(&r);
	T_OK(r.status, &r.err);
	T_TRUE(!there("last_iter_3.solverstate") && !there("last_iter_3.caffemodel"));
	T_TRUE(!there("last_iter_6.solverstate"));
	T_TRUE(there("last_iter_9.solverstate") && there("last_iter_10.caffemodel"));
	done(&r);
	/* gone on with: the earlier ones of the prefix count; files that are none stay */
	struct moka_error err;

	T_OK(moka_file_write(in_tmp("%s", "last_iter_3x.solverstate"), "x", 1, &err), &err);
	T_OK(moka_file_write(in_tmp("%s", "last_iter_99.solverstate"), "x", 1, &err), &err);
	begin(&r);
	r.o.keep_last = 2;
	r.o.snapshot = in_tmp("%s", "last_iter_10.solverstate");
	build(&r, text_with(NET, "last", "max_iter: 12 snapshot: 3"));
	go(&r);
	T_OK(r.status, &r.err);
	T_TRUE(!there("last_iter_9.solverstate") && there("last_iter_10.solverstate"));
	T_TRUE(there("last_iter_12.solverstate") && there("last_iter_3x.solverstate") &&
	       there("last_iter_99.solverstate"));
	done(&r);
}

/* The weight goes from 0.5 to its best, 1.5, and past it: the rate is such that it swings and grows. */
#define SWINGS                                                                                                         \
	"net_param { layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 1 dim: 1 }" \
	" data_filler { value: 2 } data_filler { value: 3 } } }"                                                       \
	" layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y'"                                                \
	"  inner_product_param { num_output: 1 bias_term: false weight_filler { value: 0.5 } } }"                      \
	" layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } }"                          \
	" lr_policy: 'multistep' gamma: 11 stepvalue: 4 base_lr: 0.05 test_iter: 1 test_interval: 1 random_seed: 1 "

T_TEST(the_best_weights_are_kept_and_enough_is_enough)
{
	struct moka_error err = { 0 };
	struct moka_weights *w;
	struct run r;
	real v;

	begin(&r);
	r.o.keep_best = "loss";
	r.o.early_stop = 3;
	build(&r, text_with(SWINGS, "swing", "max_iter: 50 snapshot: 100"));
	go(&r);
	T_OK(r.status, &r.err);
	T_TRUE(moka_solver_iter(r.solver) < 10);
	T_HAS(log_of(&r), "'loss' has not improved in 3 tests");
	T_HAS(log_of(&r), "at iteration 4");
	T_INT(count_lines(&r, "done"), 0);
	/* the run's end is kept too, and the best is better than it */
	T_TRUE(there("swing_iter_7.solverstate") && there("swing_best.caffemodel") && !there("swing_best.solverstate"));
	T_OK(moka_weights_open(&w, in_tmp("swing_best%s", ".caffemodel"), &moka_layer_schema, &err), &err);
	for (int i = 0; i < w->n_layers; i++)
		if (w->layers[i].n_blobs)
			moka_blob_view_read(&w->layers[i].blobs[0], 0, 1, &v);
	T_TRUE(fabs((double)v - 1.5) < fabs((double)param(&r, "ip.0")->data[0] - 1.5));
	moka_weights_free(w);
	done(&r);
	/* gone on with: the best so far is known, and worse is not kept */
	begin(&r);
	r.o.keep_best = "loss";
	r.o.early_stop = 1;
	r.o.snapshot = in_tmp("swing_iter_7%s", ".solverstate");
	build(&r, text_with(SWINGS, "swing", "max_iter: 50 snapshot: 100"));
	go(&r);
	T_OK(r.status, &r.err);
	T_HAS(log_of(&r), "at iteration 4");
	T_TRUE(!strstr(log_of(&r), "swing_best"));
	done(&r);
	begin(&r);
	r.o.keep_best = "lost";
	build(&r, text_with(SWINGS, "swing", "max_iter: 50"));
	T_TRUE(r.status != MOKA_OK);
	T_HAS(said(&r), "did you mean 'loss'");
	done(&r);
}

T_TEST(time_runs_out)
{
	struct run r;

	begin(&r);
	r.o.max_seconds = 0.05;
	build(&r, text_with(NET, "time", "max_iter: 100000000"));
	go(&r);
	T_OK(r.status, &r.err);
	T_HAS(log_of(&r), "the 0.05 seconds are over");
	T_INT(count_lines(&r, "snapshot"), 2);
	done(&r);
}

T_TEST(the_same_batches_again)
{
	static char text[8192];
	const char *base = text_with(NET, "over", "max_iter: 6 snapshot_after_train: false");
	const char *at = strstr(base, "base_lr: 0.002");
	struct run r;

	/* with a rate of nothing, a batch that comes again has its loss again */
	begin(&r);
	r.o.overfit = 2;

	snprintf(text, sizeof(text), "%.*sbase_lr: 0.00%s", (int)(at - base), base, at + 14);
	build(&r, text);
	go(&r);
	T_OK(r.status, &r.err);
	T_TRUE(r.losses[0] == r.losses[2] && r.losses[0] == r.losses[4] && r.losses[1] == r.losses[3]);
	T_TRUE(r.losses[0] != r.losses[1]);
	done(&r);
}

/* ---- what goes wrong --------------------------------------------------------------------------------- */

T_TEST(the_first_nan_has_a_name)
{
	struct run r;

	run(&r,
	    text_with(
		    "net_param { layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 1 dim: 2 }"
		    " data_filler { value: 200 } data_filler { value: 1 } } }"
		    " layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 2 } }"
		    " layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } }"
		    " base_lr: 1000 lr_policy: 'fixed' random_seed: 1",
		    "nan", "max_iter: 100 snapshot: 2"));
	T_INT(r.status, MOKA_ERR_DATA);
	T_HAS(r.err.message, "at iteration");
	T_HAS(r.err.message, "rate 1000");
	T_HAS(r.err.message,
	      "layer 'loss' (EuclideanLoss), its top 'loss': 1 of 1 values are inf; of its bottoms 'y' is ");
	T_HAS(r.err.message, "the net's input 'x' is 200 to 200");
	T_HAS(r.err.hint, "the rate 1000 is far too large");
	T_HAS(r.err.hint, "base_lr (100");
	T_HAS(r.err.hint, "clip_gradients");
	T_HAS(r.err.hint, "scale the input");
	T_HAS(r.err.hint, "nan_diverged_iter_");
	T_HAS(r.err.hint, "the last good snapshot is");
	T_HAS(log_of(&r), "is far too large"); /* and it was said before */
	done(&r);
	/* a gradient alone: the square root of 0 is 0, its slope is not */
	run(&r,
	    "net_param { layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 1 dim: 1 }"
	    " data_filler { value: 0 } data_filler { value: 1 } } }"
	    " layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 1 } }"
	    " layer { name: 'root' type: 'Power' bottom: 'y' top: 'z' power_param { power: 0.5 } }"
	    " layer { name: 'loss' type: 'EuclideanLoss' bottom: 'z' bottom: 't' top: 'loss' } }"
	    " base_lr: 0.01 lr_policy: 'fixed' max_iter: 3 snapshot_after_train: false");
	T_INT(r.status, MOKA_ERR_DATA);
	T_HAS(r.err.message, "a gradient is not finite");
	T_HAS(r.err.message, "layer 'root' (Power), the gradient of its bottom 'y'");
	T_HAS(r.err.hint, "above 0");
	done(&r);
}

/* ---- trials ------------------------------------------------------------------------------------------ */

T_TEST(a_dry_run_writes_nothing)
{
	struct moka_dry_run d;
	struct run r;

	begin(&r);
	build(&r, text_with(SWINGS, "dry", "max_iter: 50 snapshot: 1"));
	T_INT(r.status, MOKA_OK);
	T_OK(moka_solver_dry_run(r.solver, &d, &r.err), &r.err);
	T_INT(d.param_bytes, sizeof(real));
	T_INT(d.history_bytes, sizeof(real));
	T_TRUE(d.train_bytes > 0 && d.test_bytes > 0 && d.peak_bytes > 0 && d.loss == 2);
	T_STR(log_of(&r), "");
	T_TRUE(!there("dry_iter_1.caffemodel"));
	done(&r);
}

T_TEST(a_sweep_finds_a_rate)
{
	struct moka_sweep w;
	struct run r;

	begin(&r);
	build(&r, text_with(NET, "sweep", "max_iter: 50 snapshot: 1"));
	T_INT(r.status, MOKA_OK);
	T_OK(moka_solver_sweep(r.solver, 1e-6, 100, 200, &w, &r.err), &r.err);
	/* this net goes wrong from a rate of a few hundredths on */
	T_TRUE(isfinite(w.suggested) && w.suggested > 1e-5 && w.suggested < 0.05);
	T_TRUE(w.exploded > w.suggested && w.exploded < 10);
	T_TRUE(w.n > 20 && w.n < 200);
	T_TRUE(!there("sweep_iter_1.caffemodel"));
	moka_sweep_release(&w);
	T_INT(moka_solver_sweep(r.solver, 1, 0.1, 100, &w, &r.err), MOKA_ERR_ARG);
	done(&r);
}

/* ---- warm-up ------------------------------------------------------------------------------------------ */

/* As the Intel fork: while the rate climbs, SGD keeps momentum * rate / rate before. */
T_TEST(a_warm_up_scales_momentum)
{
	double w = 0.5, h = 0, before = 0;
	struct run r;

	run(&r,
	    "net_param { layer { name: 'x' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 1 dim: 1 }"
	    " data_filler { value: 2 } data_filler { value: 3 } } }"
	    " layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y'"
	    "  inner_product_param { num_output: 1 bias_term: false weight_filler { value: 0.5 } } }"
	    " layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } }"
	    " base_lr: 0.02 lr_policy: 'fixed' momentum: 0.9 warmup_iter: 4 max_iter: 7 snapshot_after_train: false");
	T_OK(r.status, &r.err);
	for (int t = 0; t < 7; t++) {
		double rate = t < 4 ? 0.02 * t / 4 : 0.02;
		double keep = t < 4 && before > 0 ? 0.9 * rate / before : 0.9;

		h = keep * h + rate * (2 * w - 3) * 2;
		w -= h;
		before = rate;
	}
	real want = (real)w;

	T_NEAR(param(&r, "ip.0")->data, &want, 1, 1e-5, 0);
	done(&r);
}

static const struct CMUnitTest tests[] = {
	T_CASE(a_resumed_run_is_the_run_bit_for_bit),
	T_CASE(hdf5_snapshots_are_laid_out_as_caffe_lays_them_out),
	T_CASE(weights_that_were_moved_beside_the_state_are_found),
	T_CASE(a_damaged_state_in_hdf5_is_an_error),
	T_CASE(snapshot_diff_keeps_a_diff_for_every_blob),
	T_CASE(several_test_nets_have_states_of_their_own),
	T_CASE(a_test_net_for_every_test_iter),
	T_CASE(debug_info_in_caffes_words),
	T_CASE(fine_tuning_says_what_became_of_the_weights),
	T_CASE(the_solver_may_name_its_weights),
	T_CASE(the_last_snapshots_stay),
	T_CASE(the_best_weights_are_kept_and_enough_is_enough),
	T_CASE(time_runs_out),
	T_CASE(the_same_batches_again),
	T_CASE(the_first_nan_has_a_name),
	T_CASE(a_dry_run_writes_nothing),
	T_CASE(a_sweep_finds_a_rate),
	T_CASE(a_warm_up_scales_momentum),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
