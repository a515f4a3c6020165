/* test_fused.c - inference by a plan gives what the layers give, one after the other; its memory is near the bound. */
#include "fused_net.h"

#define CONV(name, bottom, outputs, more)                                                                              \
	"layer { name: '" name "' type: 'Convolution' bottom: '" bottom "' top: '" name                                \
	"' convolution_param { num_output: " outputs " kernel_size: 3 pad: 1 " more " } }\n"
#define POINT(name, bottom, outputs)                                                                                   \
	"layer { name: '" name "' type: 'Convolution' bottom: '" bottom "' top: '" name                                \
	"' convolution_param { num_output: " outputs " kernel_size: 1 } }\n"
#define INPUT(n, c)                                                                                                    \
	"layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: " n " dim: " c                      \
	" dim: 9 dim: 8 } } }\n"
#define ONE(name, type, bottom, top) "layer { name: '" name "' type: '" type "' bottom: '" bottom "' top: '" top "' }\n"
#define TWO(name, type, a, b)                                                                                          \
	"layer { name: '" name "' type: '" type "' bottom: '" a "' bottom: '" b "' top: '" name "' }\n"

static const struct {
	const char *what, *net;
} nets[] = {
	{ "factors, shifts and an activation are part of the convolution",
	  INPUT("1", "3") CONV("c", "data", "16", "") ONE("bn", "BatchNorm", "c", "c") ONE("s", "Scale", "c", "c")
		  ONE("r", "ReLU", "c", "c") CONV("d", "c", "16", "") ONE("x", "TanH", "d", "d") },
	{ "a residual sum is part of the later convolution",
	  INPUT("2", "8") CONV("c", "data", "16", "") ONE("r", "ReLU", "c", "c") CONV("d", "c", "16", "")
		  ONE("bn", "BatchNorm", "d", "d") TWO("sum", "Eltwise", "d", "c") ONE("r2", "ReLU", "sum", "sum")
			  CONV("e", "sum", "8", "") },
	{ "both bottoms of a sum are convolutions",
	  INPUT("1", "8") CONV("a", "data", "16", "") CONV("b", "data", "16", "") TWO("sum", "Eltwise", "a", "b")
		  ONE("r", "ReLU", "sum", "sum") },
	{ "a sum of a blob with itself", INPUT("1", "8") CONV("a", "data", "8", "") TWO("sum", "Eltwise", "a", "a") },
	{ "inception: branches are written into the concat",
	  INPUT("2", "8") CONV("a", "data", "16", "") CONV("b", "data", "8", "") ONE("r", "ReLU", "b", "b")
		  CONV("c", "b", "24", "") "layer { name: 'cat' type: 'Concat' bottom: 'a' bottom: 'b' bottom: 'c' "
					   "top: 'cat' }\n" CONV("d", "cat", "8", "") },
	{ "channels that don't fill blocks", INPUT("2", "5") CONV("a", "data", "5", "") CONV("b", "a", "11", "")
						     TWO("cat", "Concat", "a", "b") CONV("d", "cat", "3", "") },
	{ "a concat within a concat, and a reader of each",
	  INPUT("2", "8") CONV("a", "data", "8", "") CONV("b", "a", "8", "") TWO("ab", "Concat", "a", "b")
		  CONV("c", "ab", "8", "") TWO("abc", "Concat", "ab", "c") CONV("d", "abc", "8", "") TWO(
			  "abcd", "Concat", "abc", "d") ONE("p", "BatchNorm", "abcd", "p") CONV("e", "p", "8", "") },
	{ "a blob in two concats, and twice in one",
	  INPUT("2", "8") CONV("a", "data", "8", "") CONV("b", "a", "8", "") TWO("x", "Concat", "a", "b")
		  TWO("y", "Concat", "b", "b") CONV("d", "x", "8", "") CONV("e", "y", "8", "") },
	{ "two readers of a convolution: its sum stays where it is",
	  INPUT("1", "8") CONV("a", "data", "8", "") ONE("r", "ReLU", "a", "r") CONV("b", "a", "8", "")
		  TWO("sum", "Eltwise", "r", "b") },
	{ "an output in the middle", INPUT("2", "8") CONV("a", "data", "8", "") ONE("r", "ReLU", "a", "r")
					     CONV("b", "a", "8", "") TWO("cat", "Concat", "a", "b") },
	{ "depthwise, grouped", INPUT("2", "16") CONV("a", "data", "16", "group: 16") ONE("r", "ReLU6", "a", "a")
					CONV("b", "a", "32", "group: 2") CONV("c", "b", "6", "group: 2") },
	{ "a pair within a residual block",
	  INPUT("1", "16") POINT("a", "data", "32") ONE("bn", "BatchNorm", "a", "a") ONE("r", "ReLU6", "a", "a")
		  CONV("b", "a", "32", "group: 32") ONE("r2", "ReLU6", "b", "b") POINT("c", "b", "16")
			  TWO("sum", "Eltwise", "data", "c") POINT("d", "sum", "24")
				  CONV("e", "d", "24", "group: 24 stride: 2") },
	{ "pairs in stretches of a batch",
	  INPUT("8", "3") CONV("a", "data", "16", "stride: 2") ONE("r", "ReLU", "a", "a")
		  CONV("b", "a", "16", "group: 16") POINT("c", "b", "40") CONV("d", "c", "40", "group: 40")
			  ONE("r2", "PReLU", "d", "d") POINT("e", "d", "8") CONV("f", "e", "8", "group: 8") },
	{ "what a pair reads is added to its result",
	  INPUT("2", "8") CONV("a", "data", "16", "") POINT("b", "a", "16") CONV("c", "b", "16", "group: 16")
		  TWO("sum", "Eltwise", "a", "c") ONE("r", "ReLU", "sum", "sum") },
	{ "something else is added to a pair's result",
	  INPUT("1", "8") CONV("x", "data", "16", "") CONV("a", "data", "16", "") POINT("b", "a", "16")
		  CONV("c", "b", "16", "group: 16") TWO("sum", "Eltwise", "x", "c") ONE("r", "ReLU", "sum", "sum") },
	{ "no pair: somebody else reads what lies between",
	  INPUT("1", "8") POINT("a", "data", "16") CONV("b", "a", "16", "group: 16") TWO("cat", "Concat", "a", "b") },
	{ "a slice, its parts convolved and joined again",
	  INPUT("2", "8") CONV("a", "data", "16",
			       "") "layer { name: 's' type: 'Slice' bottom: 'a' top: 's0' top: 's1' }\n" CONV("b", "s0",
													      "8", "")
		  TWO("cat", "Concat", "b", "s1") TWO("tac", "Concat", "s1", "s0") CONV("d", "cat", "8", "") },
	{ "in place on the input: by layer",
	  INPUT("1", "4") ONE("r", "ReLU", "data", "data") CONV("a", "data", "4", "") },
	{ "flat values: inner products, dropout",
	  INPUT("3", "3") CONV("a", "data", "8", "") ONE(
		  "f", "Flatten", "a",
		  "f") "layer { name: 'ip' type: 'InnerProduct' bottom: 'f' top: 'ip' inner_product_param { num_output: 12 } "
		       "}\n" ONE("bn", "BatchNorm", "ip", "ip") ONE("r", "PReLU", "ip", "ip") ONE(
			       "drop", "Dropout", "ip",
			       "ip") "layer { name: 'ip2' type: 'InnerProduct' bottom: 'ip' top: 'ip2' inner_product_param { "
				     "num_output: 5 } }\n" ONE("prob", "Softmax", "ip2", "prob") },
	{ "nothing to compute", INPUT("1", "4") ONE("s", "Split", "data", "s") },
	{ "an empty batch", INPUT("0", "4") CONV("a", "data", "4", "") ONE("r", "ReLU", "a", "a") },
};

/* A net's outputs, by layer and by plan; with one thread and with two. */
static void check_net(const char *text, const char *what, double tolerance)
{
	struct moka_pool *two = moka_pool_new(2);
	struct nets t;
	struct moka_exec *plain, *fused, *threads;

	print_message("%s\n", what);
	nets_run(&t, text, (struct moka_net_options){ .phase = MOKA_TEST }, MOKA_KEEP_ALL, NULL);
	fused_weights(t.n, 9);
	plain = fused_exec(t.n, true, NULL);
	fused = fused_exec(t.n, false, NULL);
	threads = fused_exec(t.n, false, two);
	for (int pass = 0; pass < 2; pass++) {
		fused_forward(plain, t.n);
		fused_forward(fused, t.n);
		fused_forward(threads, t.n);
		fused_compare(fused, plain, t.n, tolerance);
		fused_compare(threads, fused, t.n, 0);
		fused_weights(t.n, 10); /* other weights: packed anew */
	}
	moka_exec_free(plain);
	moka_exec_free(fused);
	moka_exec_free(threads);
	nets_close(&t);
	moka_pool_free(two);
}

T_TEST(same_as_by_layer)
{
	for (size_t i = 0; i < MOKA_COUNT(nets); i++)
		check_net(nets[i].net, nets[i].what, 2e-5);
}

T_TEST(random_nets_too)
{
	static const int batches[] = { 1, 2, 3, 5, 8 };

	for (uint64_t seed = 0; seed < 300; seed++) {
		struct moka_buf text;
		char what[64];

		moka_buf_init(&text, 0);
		fused_net(&text, seed, 4 + (int)(seed % 20), batches[seed % MOKA_COUNT(batches)]);
		snprintf(what, sizeof(what), "random net %d", (int)seed);
		check_net(text.data, what, 2e-5);
		moka_buf_release(&text);
	}
}

static const struct moka_plan *plan_of(struct moka_exec *e)
{
	const struct moka_plan *p = moka_exec_plan(e);

	T_TRUE(p != NULL);
	return p;
}

T_TEST(joins_what_can_be_joined)
{
	static const char net[] = INPUT("1", "8") CONV("a", "data", "16", "") ONE("bn", "BatchNorm", "a", "a")
		ONE("s", "Scale", "a", "a") ONE("r", "ReLU", "a", "a") CONV("b", "a", "16", "")
			ONE("bnb", "BatchNorm", "b", "b") TWO("sum", "Eltwise", "a", "b")
				ONE("r2", "ReLU", "sum", "sum") ONE("out", "TanH", "sum", "out");
	struct moka_plan_step s[8];
	struct nets t;
	const struct moka_plan *p;
	int n, joined = 0;

	nets_run(&t, net, (struct moka_net_options){ .phase = MOKA_TEST }, MOKA_KEEP_OUTPUTS, NULL);
	p = plan_of(t.e);
	n = moka_plan_steps(p);
	T_TRUE(n <= 5); /* two convolutions, TanH, at most a copy before and behind the convolutions */
	for (int i = 0; i < n; i++) {
		moka_plan_step(p, i, &s[i]);
		joined += s[i].n_layers;
	}
	T_INT(joined, 9);
	T_INT(s[n - 1].n_layers, 1);
	nets_close(&t);
}

T_TEST(pairs_run_as_one)
{
	static const char net[] = INPUT("1", "3") CONV("a", "data", "32", "") ONE("r", "ReLU", "a", "a")
		CONV("b", "a", "32", "group: 32") POINT("c", "b", "64") ONE("r2", "ReLU", "c", "c")
			CONV("d", "c", "64", "group: 64") POINT("e", "d", "16") ONE("out", "TanH", "e", "out");
	static const char *const with_next[] = { "a", "c" };
	struct nets t;
	const struct moka_plan *p;
	size_t found = 0;

	nets_run(&t, net, (struct moka_net_options){ .phase = MOKA_TEST }, MOKA_KEEP_OUTPUTS, NULL);
	p = plan_of(t.e);
	for (int i = 0; i < moka_plan_steps(p); i++) {
		struct moka_plan_step s;

		moka_plan_step(p, i, &s);
		if (!s.with_next)
			continue;
		T_TRUE(found < MOKA_COUNT(with_next));
		T_STR(t.n->layers[s.layers[0]].l.name, with_next[found++]);
		T_INT(s.bytes, 0);
	}
	T_INT(found, moka_block() == 1 ? 0 : 2);
	nets_close(&t);
}

/* The bound, counted anew: the bytes of all values that some work has made and some later one, or the outside, still needs. */
static size_t bound_of(const struct moka_plan *p)
{
	size_t most = 0;

	for (int at = -1; at <= p->n_works; at++) {
		size_t alive = 0;

		for (int i = 0; i < p->n_values; i++)
			if (p->values[i].from < 0 && p->values[i].unit == i && p->values[i].stretch < 0 &&
			    p->values[i].begin <= at && p->values[i].end >= at)
				alive += moka__blob_bytes(p->values[i].images * moka__value_image(p, i));
		most = MOKA_MAX(most, alive);
	}
	return most;
}

static void check_memory(struct nets *t, const char *what)
{
	const struct moka_plan *p = moka_exec_plan(t->e);
	struct moka_plan_bytes b;

	if (!p)
		return;
	moka_plan_memory(p, &b);
	T_INT(b.bound, bound_of(p));
	if ((double)b.values > 1.1 * (double)b.bound)
		fail_msg("%s: %zu bytes, and %zu would do", what, b.values, b.bound);
}

/* Bytes of parameters that aren't given back, since somebody reads them as they are. */
static double stays_plain(const struct moka_plan *p)
{
	int64_t count = 0;

	for (int i = 0; i < p->n->n_params; i++)
		count += moka__param_is_packed(p, i) ? 0 : p->n->params[i].count;
	return (double)count * sizeof(real);
}

T_TEST(memory_is_near_its_bound)
{
	const char *const names[] = { "lenet",	   "squeezenet", "mobilenet1", "mobilenet2",
				      "googlenet", "caffenet",	 "resnet50" };
	static const struct moka_model_options any = { .expect = MOKA_MODEL_NET };
	struct moka_error err = { 0 };

	if (!t_shared())
		T_SKIP("no ../shared");
	for (size_t i = 0; i < MOKA_COUNT(names); i++) {
		struct moka_net_options o = { .phase = MOKA_TEST, .for_run = true };
		struct moka_plan *p;
		struct moka_plan_bytes b;
		struct nets t = { 0 };
		char path[512];

		snprintf(path, sizeof(path), "%s/nets/%s.prototxt", t_shared(), names[i]);
		moka_findings_init(&t.f);
		T_INT(moka_model_open(&t.m, path, &moka_layer_schema, &any, &t.f), MOKA_OK);
		T_INT(moka_net_build(&t.n, t.m, &o, &t.f), MOKA_OK);
		T_OK(moka_plan_new(&p, t.n, &err), &err);
		T_TRUE(p != NULL);
		moka_plan_memory(p, &b);
		print_message("%s: %zu kB, bound %zu kB, %d steps of %d layers\n", names[i], b.values / 1000,
			      b.bound / 1000, moka_plan_steps(p), t.n->n_layers);
		T_INT(b.bound, bound_of(p));
		T_TRUE((double)b.values <= 1.1 * (double)b.bound);
		/* weights are in memory twice at most (blocks rounded up), but for a small model's due */
		T_TRUE((double)b.packed + stays_plain(p) <=
		       1.05 * MOKA_MAX(2 * (double)t.n->total_params * sizeof(real),
				       stays_plain(p) + (double)(64 << 20)));
		moka_plan_free(p);
		nets_close(&t);
	}
	for (size_t i = 0; i < MOKA_COUNT(nets); i++) {
		struct nets t;

		nets_run(&t, nets[i].net, (struct moka_net_options){ .phase = MOKA_TEST }, MOKA_KEEP_OUTPUTS, NULL);
		check_memory(&t, nets[i].what);
		nets_close(&t);
	}
}

/* What a value takes where it lies: a piece of the batch, where it lives within a stretch. */
static size_t held_bytes(const struct moka_plan *p, int value)
{
	const struct moka__value *v = &p->values[value];

	return moka__blob_bytes((v->stretch < 0 ? v->images : p->stretches[v->stretch].images) *
				moka__value_image(p, value));
}

/* While one piece of a batch is past a work, another may be before it: what goes into a stretch or comes out of it lives through all of it. */
static void check_stretches(const struct moka_plan *p)
{
	for (int i = 0; i < p->n_works; i++) {
		const struct moka__work *w = &p->works[i];

		for (int k = 0; w->stretch >= 0 && k < w->n_in + w->n_out; k++) {
			const struct moka__stretch *s = &p->stretches[w->stretch];
			int64_t at;
			const int root = moka__value_root(p, k < w->n_in ? w->in[k] : w->out[k - w->n_in], &at);
			const struct moka__value *v = &p->values[p->values[root].unit];

			T_TRUE(s->first <= i && i < s->end);
			T_TRUE(v->stretch < 0 ? v->begin <= s->first && v->end >= s->end - 1
					      : v->stretch == w->stretch && v->begin >= s->first && v->end < s->end);
		}
	}
}

T_TEST(no_two_values_overlap)
{
	int stretches = 0;

	for (uint64_t seed = 1000; seed < 1100; seed++) {
		struct moka_buf text;
		struct nets t;
		const struct moka_plan *p;

		moka_buf_init(&text, 0);
		fused_net(&text, seed, 12, 2 + (int)(seed % 3));
		nets_run(&t, text.data, (struct moka_net_options){ .phase = MOKA_TEST }, MOKA_KEEP_OUTPUTS, NULL);
		p = plan_of(t.e);
		check_stretches(p);
		stretches += p->n_stretches;
		for (int a = 0; a < p->n_values; a++)
			for (int b = a + 1; b < p->n_values; b++) {
				const struct moka__value *x = &p->values[a], *y = &p->values[b];
				const size_t x_bytes = held_bytes(p, a), y_bytes = held_bytes(p, b);
				const size_t room = x->stretch < 0 ? p->bytes : p->stretches[x->stretch].bytes;

				if (x->from >= 0 || y->from >= 0 || x->unit != a || y->unit != b || x->begin > x->end ||
				    y->begin > y->end || x->begin > y->end || y->begin > x->end ||
				    x->stretch != y->stretch)
					continue;
				T_TRUE(x->offset + x_bytes <= y->offset || y->offset + y_bytes <= x->offset);
				T_TRUE(x->offset + x_bytes <= room && y->offset + y_bytes <= room &&
				       room <= MOKA_MAX(p->bytes, p->room));
			}
		nets_close(&t);
		moka_buf_release(&text);
	}
	T_TRUE(stretches > 50 || moka_block() == 1);
}

T_TEST(the_shared_models)
{
	static const char *const models[] = {
		"cifar10-full-v1", "hyperlpr-chars", "lenet-mnist", "mtcnn-det1",	  "mtcnn-det2", "mtcnn-det3",
		"nsfw-squeezenet", "pcn-1",	     "rfb320-face", "squeezenet-traffic", "wechat-qr",	"yuface-ssd"
	};
	static const struct moka_model_options any = { .expect = MOKA_MODEL_NET };

	if (!t_shared())
		T_SKIP("no ../shared");
	for (size_t i = 0; i < MOKA_COUNT(models); i++) {
		struct moka_net_options o = { .phase = MOKA_TEST, .for_run = true };
		struct moka_exec *plain, *fused;
		struct moka_error err = { 0 };
		struct moka_weights *w;
		struct nets t = { 0 };
		char path[512];

		print_message("%s\n", models[i]);
		snprintf(path, sizeof(path), "%s/models/%s/net.prototxt", t_shared(), models[i]);
		moka_findings_init(&t.f);
		T_INT(moka_model_open(&t.m, path, &moka_layer_schema, &any, &t.f), MOKA_OK);
		T_INT(moka_net_build(&t.n, t.m, &o, &t.f), MOKA_OK);
		T_OK(moka_net_allocate(t.n, 1, &err), &err);
		snprintf(path, sizeof(path), "%s/models/%s/weights.caffemodel", t_shared(), models[i]);
		T_OK(moka_weights_open(&w, path, &moka_layer_schema, &err), &err);
		T_INT(moka_net_load(t.n, w, false, &t.f), MOKA_OK);
		moka_weights_free(w);
		plain = fused_exec(t.n, true, NULL);
		fused = fused_exec(t.n, false, NULL);
		fused_forward(plain, t.n);
		fused_forward(fused, t.n);
		fused_compare(fused, plain, t.n, 1e-4);
		moka_exec_free(plain);
		moka_exec_free(fused);
		nets_close(&t);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(same_as_by_layer),  T_CASE(random_nets_too),	  T_CASE(joins_what_can_be_joined),
	T_CASE(pairs_run_as_one),  T_CASE(no_two_values_overlap), T_CASE(memory_is_near_its_bound),
	T_CASE(the_shared_models),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
