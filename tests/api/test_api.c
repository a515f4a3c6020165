/*
 * The public interface as a stranger uses it: only <moka/moka.h>, linked with the shared library.
 */
#include <moka/moka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed;

#define CHECK(x) ((x) ? (void)passed++ : (void)(failed++, printf("%s:%d: %s\n", __FILE__, __LINE__, #x)))

static char path[4096];

static const char *source(const char *name)
{
	const char *root = getenv("MOKA_SOURCE_ROOT");

	snprintf(path, sizeof(path), "%s/%s", root ? root : ".", name);
	return path;
}

static void explains(void)
{
	struct moka_error err = { 0 };
	char *text = NULL;
	int errors = -1;

	CHECK(!moka_explain(&text, source("examples/seed.prototxt"), "text", 1, &err));
	CHECK(text && strstr(text, "joint_ip") && strstr(text, "shared by ip1_b"));
	moka_free(text);
	CHECK(!moka_explain(&text, source("examples/seed.prototxt"), "json", 1, &err) && text[0] == '{');
	moka_free(text);
	CHECK(moka_explain(&text, source("examples/seed.prototxt"), "pdf", 1, &err) == MOKA_ERR_ARG && !text);
	CHECK(strstr(err.message, "pdf"));
	CHECK(moka_explain(&text, "no-such.prototxt", "text", 1, &err) && strstr(err.message, "no-such.prototxt"));
	CHECK(!moka_check(&text, &errors, source("examples/seed.prototxt"), 1, &err) && errors == 0);
	CHECK(strstr(text, "shared-lr-mult"));
	moka_free(text);
	CHECK(!moka_check(&text, &errors, "no-such.prototxt", 1, &err) && errors == 1);
	moka_free(text);
}

static void runs(void)
{
	struct moka_open_options o = { .seed = 3, .threads = 2 };
	struct moka_net_handle *n = NULL;
	struct moka_error err = { 0 };
	int64_t dims[32] = { 0 }, count = 0;
	float first[10];
	double sum = 0;

	CHECK(!moka_open(&n, source("examples/fashion/lenet_deploy.prototxt"), &o, &err));
	if (!n) {
		printf("%s\n", err.message);
		return;
	}
	CHECK(moka_input_count(n) == 1 && !strcmp(moka_input_name(n, 0), "data") && !moka_input_name(n, 1));
	CHECK(moka_output_count(n) == 1 && !strcmp(moka_output_name(n, 0), "prob"));
	CHECK(moka_shape(n, "data", dims) == 4 && dims[0] == 1 && dims[3] == 28);
	CHECK(moka_shape(n, "nothing", dims) == -1 && !moka_data(n, "nothing"));
	for (int i = 0; i < 784; i++)
		moka_data(n, "data")[i] = (float)(i % 7) / 7;
	CHECK(!moka_forward(n, &err));
	memcpy(first, moka_data(n, "prob"), sizeof(first));
	for (int i = 0; i < 10; i++)
		sum += (double)first[i];
	CHECK(fabs(sum - 1) < 1e-5);
	CHECK(moka_backward(n, &err) == MOKA_ERR_ARG);
	/* three pictures at once give the same answer, and the weights stay */
	CHECK(!moka_reshape(n, "data", 4, (int64_t[]){ 3, 1, 28, 28 }, &err));
	for (int i = 0; i < 3 * 784; i++)
		moka_data(n, "data")[i] = (float)(i % 784 % 7) / 7;
	CHECK(!moka_forward(n, &err));
	for (int i = 0; i < 30; i++)
		sum += fabs((double)moka_data(n, "prob")[i] - (double)first[i % 10]);
	CHECK(fabs(sum - 1) < 1e-4);
	/* an InnerProduct ties the net to its input size; the handle stays as it was */
	CHECK(moka_reshape(n, "data", 4, (int64_t[]){ 3, 1, 32, 32 }, &err) == MOKA_ERR_MODEL);
	CHECK(strstr(err.message, "ip1.0") && strstr(err.hint, "InnerProduct"));
	CHECK(moka_shape(n, "data", dims) == 4 && dims[0] == 3 && !moka_forward(n, &err));
	CHECK(moka_reshape(n, "dita", 4, (int64_t[]){ 3, 1, 32, 32 }, &err) && strstr(err.message, "dita"));
	CHECK(moka_param(n, "conv1", 0, &count) && count == 500 && !moka_param(n, "conv1", 2, &count));
	moka_close(n);
	moka_close(NULL);
}

static void write_text(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	CHECK(f && fputs(text, f) >= 0 && !fclose(f));
}

static int stop_at_four(void *arg, int64_t iter, double loss, double rate)
{
	(void)loss, (void)rate;
	*(int64_t *)arg = iter;
	return iter == 3;
}

static void trains(void)
{
	struct moka_train_options o = { .on_iteration = stop_at_four };
	struct moka_open_options back = { .backward = 1, .train = 1 };
	struct moka_net_handle *n = NULL;
	struct moka_error err = { 0 };
	char folder[] = "/tmp/moka-api-XXXXXX", solver[64], net[64];
	int64_t last = -1, count;
	o.arg = &last;
	if (!mkdtemp(folder)) {
		CHECK(0);
		return;
	}
	snprintf(solver, sizeof(solver), "%s/solver.prototxt", folder);
	snprintf(net, sizeof(net), "%s/net.prototxt", folder);
	write_text(
		net,
		"layer { name: 'd' type: 'DummyData' top: 'x' top: 't' dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 1 } } }\n"
		"layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 3 } }\n"
		"layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' }\n");
	write_text(solver,
		   "net: 'net.prototxt' base_lr: 0.1 lr_policy: 'fixed' max_iter: 10 snapshot_after_train: false\n");
	CHECK(!moka_open(&n, net, &back, &err));
	CHECK(n && !moka_forward(n, &err) && fabs(moka_loss(n) - 1.5) < 1e-6);
	CHECK(n && !moka_backward(n, &err) && moka_param_diff(n, "ip", 0) &&
	      fabs((double)moka_param_diff(n, "ip", 1)[0] + 1) < 1e-6);
	if (n) {
		moka_clear_param_diffs(n);
		CHECK(moka_param_diff(n, "ip", 1)[0] == 0 && moka_param(n, "ip", 1, &count) && count == 3);
	}
	moka_close(n);
	CHECK(!moka_train(solver, &o, &err) && last == 3); /* stopped by the callback, with a snapshot */
	snprintf(path, sizeof(path), "%s/solver_iter_4.caffemodel", folder);
	CHECK(!remove(path));
	snprintf(path, sizeof(path), "%s/solver_iter_4.solverstate", folder);
	CHECK(!remove(path));
	o.on_iteration = NULL;
	CHECK(!moka_train(solver, &o, &err));
	CHECK(moka_train(net, &o, &err) && err.message[0]);
	remove(net);
	remove(solver);
	remove(folder);
}

int main(void)
{
	CHECK(!strcmp(moka_version(), MOKA_VERSION));
	explains();
	runs();
	trains();
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
