/*
 * test_published.c - multiply-accumulates and parameters of well-known nets against published figures.
 *
 * Two kinds of numbers are held: what the file itself must give, to the last digit, and what a paper or a widely used table
 * says of the net, to the digits that are printed there. Where a file differs from the paper's net (an extra bias, a
 * stride one block later), the difference is named and taken away. The nets are ../shared/nets; without them: skipped.
 */
#include "net/net.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

struct counted {
	struct moka_file file;
	char *text; /* a copy, which a test may edit before build() */
	struct moka_findings f;
	struct moka_model *m;
	struct moka_net *n;
};

#define SLACK 256 /* bytes that edits may add */

static bool read_net(struct counted *c, const char *name)
{
	char path[4096];
	struct moka_error err;

	memset(c, 0, sizeof(*c));
	if (!t_shared())
		return false;
	snprintf(path, sizeof(path), "%s/nets/%s.prototxt", t_shared(), name);
	if (!moka_path_exists(path))
		return false;
	T_OK(moka_file_open(&c->file, path, &err), &err);
	c->text = malloc(c->file.size + SLACK + 1);
	T_TRUE(c->text != NULL);
	memcpy(c->text, c->file.data, c->file.size);
	c->text[c->file.size] = 0;
	return true;
}

static void build(struct counted *c, int64_t side)
{
	const struct moka_model_options mo = { .expect = MOKA_MODEL_NET };
	const struct moka_net_input in = { "data", { 4, { 1, 3, side, side } } };
	const struct moka_net_options no = { .phase = MOKA_TEST, .inputs = &in, .n_inputs = side ? 1 : 0 };

	moka_findings_init(&c->f);
	T_OK(moka_model_parse(&c->m, "net", c->text, strlen(c->text), &moka_layer_schema, &mo, &c->f), NULL);
	T_OK(moka_net_build(&c->n, c->m, &no, &c->f), NULL);
	T_INT(c->f.errors, 0);
}

static void release(struct counted *c)
{
	moka_net_free(c->n);
	moka_model_free(c->m);
	moka_findings_release(&c->f);
	moka_file_release(&c->file);
	free(c->text);
}

#define OPEN(c, name)                                                                                                  \
	if (!read_net(&(c), name))                                                                                     \
		T_SKIP("no ../shared/nets/" name);

/* x, in units of `unit`, rounds to `printed`, of which the last digit stands for `digit` units. */
static void rounds_to(int64_t x, double unit, double printed, double digit)
{
	const double got = (double)x / unit;

	if (got < printed - digit / 2 || got > printed + digit / 2)
		fail_msg("%g does not round to the published %g", got, printed);
}

/* Of every layer whose name begins so. */
static int64_t macs_of(const struct moka_net *n, const char *prefix)
{
	int64_t sum = 0;

	for (int i = 0; i < n->n_layers; i++)
		if (!strncmp(n->layers[i].l.name, prefix, strlen(prefix)))
			sum += n->layers[i].l.macs;
	return sum;
}

/* Parameters that a solver trains: all but BatchNorm's statistics. Shared ones once. */
static int64_t trained(const struct moka_net *n)
{
	int64_t sum = 0;

	for (int i = 0; i < n->n_params; i++)
		if (strcmp(n->layers[n->params[i].owner].type_name, "BatchNorm"))
			sum += n->params[i].count;
	return sum;
}

/*
 * CaffeNet is AlexNet with two layers swapped; both count alike. Sze, Chen, Yang, Emer, "Efficient Processing of Deep Neural
 * Networks" (arXiv:1703.09039), table II: 61M weights, 724M MACs. Krizhevsky et al. 2012, abstract: 60 million
 * parameters (rounded down).
 */
T_TEST(caffenet)
{
	struct counted c;

	OPEN(c, "caffenet");
	build(&c, 0);
	T_INT(c.n->total_params, 60965224);
	T_INT(c.n->total_macs, 724406816);
	rounds_to(c.n->total_params, 1e6, 61, 1);
	rounds_to(c.n->total_macs, 1e6, 724, 1);
	T_INT(c.n->total_params / 10000000, 6);
	release(&c);
}

/* Sze et al., table II: 138M weights, 15.5G MACs. torchvision's table of weights: 138357544 parameters, 15.47 G. */
T_TEST(vgg16)
{
	struct counted c;

	OPEN(c, "vgg16");
	build(&c, 0);
	T_INT(c.n->total_params, 138357544);
	T_INT(c.n->total_macs, 15470264320);
	rounds_to(c.n->total_params, 1e6, 138, 1);
	rounds_to(c.n->total_macs, 1e9, 15.5, 0.1);
	rounds_to(c.n->total_macs, 1e9, 15.47, 0.01);
	release(&c);
}

/*
 * Szegedy et al., "Going Deeper with Convolutions" (arXiv:1409.4842), table 1, column "ops", in millions; some rows are cut
 * instead of rounded, so each is held to less than one. Left out: the first convolution (34M there; 7x7x3x64 weights at
 * 112x112 places are 118M) and 5a, whose row does not agree with its own widths. Sze et al., table II: 7M weights.
 */
T_TEST(googlenet)
{
	static const struct {
		const char *prefix;
		double ops;
	} rows[] = { { "conv2", 360 },	     { "inception_3a", 128 }, { "inception_3b", 304 }, { "inception_4a", 73 },
		     { "inception_4b", 88 }, { "inception_4c", 100 }, { "inception_4d", 119 }, { "inception_4e", 170 },
		     { "inception_5b", 71 }, { "loss3", 1 } };
	struct counted c;

	OPEN(c, "googlenet");
	build(&c, 0);
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		rounds_to(macs_of(c.n, rows[i].prefix), 1e6, rows[i].ops, 2);
	T_INT(macs_of(c.n, "conv1"), 7 * 7 * 3 * 64 * 112 * 112);
	T_INT(c.n->total_params, 6998552);
	T_INT(c.n->total_macs, 1582671872);
	rounds_to(c.n->total_params, 1e6, 7, 1);
	release(&c);
}

/*
 * Sze et al., table II: 25.5M weights, 3.9G MACs. He et al. (arXiv:1512.03385), table 1: 3.8e9 (cut). torchvision's table:
 * 25557032 parameters; Caffe's net has a bias of 64 on its first convolution besides, and the statistics of 53 BatchNorms.
 */
T_TEST(resnet50)
{
	struct counted c;

	OPEN(c, "resnet50");
	build(&c, 0);
	T_INT(trained(c.n), 25557032 + 64);
	T_INT(c.n->total_params, 25557032 + 64 + 2 * 26560 + 53);
	T_INT(c.n->total_macs, 3857973248);
	rounds_to(c.n->total_macs, 1e9, 3.9, 0.1);
	T_INT(c.n->total_macs / 100000000, 38);
	release(&c);
}

/*
 * SqueezeNet 1.1: torchvision's table says 1235496 parameters, 0.35 G at 224x224. At the 227x227 of Caffe's file: 1.24M
 * parameters, and its authors' note that 1.1 computes 2.4 times less than 1.0 is not of this file alone.
 */
T_TEST(squeezenet)
{
	struct counted c;

	OPEN(c, "squeezenet");
	build(&c, 224);
	T_INT(c.n->total_params, 1235496);
	T_INT(c.n->total_macs, 349151936);
	rounds_to(c.n->total_macs, 1e9, 0.35, 0.01);
	release(&c);
	OPEN(c, "squeezenet");
	build(&c, 0);
	T_INT(c.n->total_params, 1235496);
	T_INT(c.n->total_macs, 387747520);
	release(&c);
}

/*
 * Howard et al., "MobileNets" (arXiv:1704.04861), table 4: 569 million mult-adds, 4.2 million parameters. Keras's
 * summary of the same net: 4253864 parameters, of which 21888 are statistics; Caffe adds one divisor for each of 27 BatchNorms.
 */
T_TEST(mobilenet1)
{
	struct counted c;

	OPEN(c, "mobilenet1");
	build(&c, 0);
	T_INT(c.n->total_params, 4253864 + 27);
	T_INT(trained(c.n), 4253864 - 21888);
	T_INT(c.n->total_macs, 568740352);
	rounds_to(trained(c.n), 1e6, 4.2, 0.1);
	rounds_to(c.n->total_macs, 1e6, 569, 1);
	release(&c);
}

/* In the text, behind the first `name: "<layer>"`: the first `old`, which must come within the layer, becomes `fresh`. */
static void edit(struct counted *c, const char *layer, const char *old, const char *fresh)
{
	char quoted[64], *at, *next;

	snprintf(quoted, sizeof(quoted), "name: \"%s\"", layer);
	at = strstr(c->text, quoted);
	T_TRUE(at != NULL);
	next = strstr(at + 1, "name: \"");
	at = strstr(at, old);
	T_TRUE(at && (!next || at < next));
	T_TRUE(strlen(c->text) + strlen(fresh) <= c->file.size + SLACK);
	memmove(at + strlen(fresh), at + strlen(old), strlen(at + strlen(old)) + 1);
	memcpy(at, fresh, strlen(fresh));
}

/*
 * Sandler et al., "MobileNetV2" (arXiv:1801.04381), table 4: 300M multiply-adds, 3.4M parameters; torchvision's table:
 * 3504872 parameters, 0.3 G. Caffe's published file expands its first block too (1x1, 32 to 32 channels, with its BatchNorm
 * and Scale), and halves the picture behind the 64-channel blocks, not before: as published it computes 429M.
 */
T_TEST(mobilenet2)
{
	struct counted c;
	const int64_t expand = 32 * 32, norm = 2 * 32;

	OPEN(c, "mobilenet2");
	build(&c, 0);
	T_INT(trained(c.n), 3504872 + expand + norm);
	rounds_to(trained(c.n) - expand - norm, 1e6, 3.5, 0.1);
	T_INT(c.n->total_macs, 429111936);
	release(&c);

	OPEN(c, "mobilenet2");
	edit(&c, "conv4_3/dwise", "convolution_param {", "convolution_param { stride: 2");
	edit(&c, "conv4_7/dwise", "stride: 2", "stride: 1");
	build(&c, 0);
	T_INT(macs_of(c.n, "conv2_1/expand"), expand * 112 * 112);
	T_INT(c.n->total_macs - macs_of(c.n, "conv2_1/expand"), 300774272);
	rounds_to(c.n->total_macs - expand * 112 * 112, 1e6, 300, 10);
	release(&c);
}

static const struct CMUnitTest tests[] = { T_CASE(caffenet),   T_CASE(vgg16),	   T_CASE(googlenet), T_CASE(resnet50),
					   T_CASE(squeezenet), T_CASE(mobilenet1), T_CASE(mobilenet2) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
