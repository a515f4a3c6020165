/* test_gradient.c - who needs a gradient: losses, gradients from outside, labels, propagate_down, force_backward. */
#include "nets.h"

#define INPUTS                                                                                                         \
	"layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 3 dim: 5 } } }\n"                         \
	"layer { name: 't' type: 'Input' top: 't' input_param { shape { dim: 3 } } }\n"
#define IP(name, bottom, more)                                                                                         \
	"layer { name: '" name "' type: 'InnerProduct' bottom: '" bottom "' top: '" name                               \
	"' inner_product_param { num_output: 5 } " more " }\n"
#define LOSS(bottom) "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: '" bottom "' bottom: 't' top: 'loss' }\n"
#define FROZEN "param { lr_mult: 0 } param { lr_mult: 0 }"

struct row {
	const char *what, *text;
	const char *gradient_top; /* NULL: none */
	const char *layers;	  /* names of those that run backward, in order, each followed by a space */
	const char *bottoms;	  /* blobs that get a diff from a layer above, likewise */
};

static const struct row rows[] = {
	{ "a chain", INPUTS IP("a", "x", "") IP("b", "a", "") LOSS("b"), NULL, "a b loss ", "a b loss " },
	{ "the first is frozen", INPUTS IP("a", "x", FROZEN) IP("b", "a", "") LOSS("b"), NULL, "b loss ", "b loss " },
	{ "all are frozen", INPUTS IP("a", "x", FROZEN) IP("b", "a", FROZEN) LOSS("b"), NULL, "", "" },
	{ "frozen above what learns", INPUTS IP("a", "x", "") IP("b", "a", FROZEN) LOSS("b"), NULL, "a b loss ",
	  "a b loss " },
	{ "force_backward", "force_backward: true\n" INPUTS IP("a", "x", FROZEN) LOSS("a"), NULL, "a loss ",
	  "x a loss " },
	{ "beside the loss", INPUTS IP("a", "x", "") IP("side", "x", "") LOSS("a"), NULL, "a loss ", "a loss " },
	{ "propagate_down: false", INPUTS IP("a", "x", "") IP("b", "a", "propagate_down: false") LOSS("b"), NULL,
	  "b loss ", "b loss " },
	{ "propagate_down: false in place",
	  INPUTS IP("a", "x",
		    "") "layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' propagate_down: false }\n" LOSS("a"),
	  NULL, "loss ", "a loss " },
	{ "propagate_down: true", INPUTS IP("a", "x", "propagate_down: true") LOSS("a"), NULL, "a loss ", "x a loss " },
	{ "no loss: every output", INPUTS IP("a", "x", "") IP("b", "a", ""), NULL, "a b ", "a b " },
	{ "a gradient from outside", INPUTS IP("a", "x", "") IP("b", "a", ""), "a", "a ", "a " },
	{ "from outside, and a loss", INPUTS IP("a", "x", "") IP("side", "x", "") LOSS("a"), "side", "a side loss ",
	  "a side loss " },
	{ "ArgMax ends it", INPUTS IP("a", "x", "") "layer { name: 'm' type: 'ArgMax' bottom: 'a' top: 'm' }\n", NULL,
	  "", "" },
	{ "loss_weight on any top", INPUTS IP("a", "x", "loss_weight: 2") IP("side", "x", ""), NULL, "a ", "a " },
	{ "loss_weight: 0",
	  INPUTS IP("a", "x", "") IP(
		  "b", "x",
		  "loss_weight: 1") "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 't' top: 'loss' loss_weight: 0 }\n",
	  NULL, "b ", "b " },
	{ "an unknown layer between",
	  INPUTS IP("a", "x", "") "layer { name: 'u' type: 'Unheard' bottom: 'a' top: 'a' }\n" IP("b", "a", "")
		  LOSS("b"),
	  NULL, "b loss ", "b loss " },
	{ "in place, with parameters, on an input",
	  INPUTS "layer { name: 'p' type: 'PReLU' bottom: 'x' top: 'x' }\n" LOSS("x"), NULL, "p loss ", "x loss " },
};

static void list(const struct nets *t, char *layers, char *blobs, size_t size)
{
	size_t a = 0, b = 0;

	layers[0] = blobs[0] = 0;
	for (int i = 0; i < t->n->n_layers; i++)
		if (t->n->layers[i].need_backward)
			a += (size_t)snprintf(layers + a, size - a, "%s ", t->n->layers[i].l.name);
	for (int i = 0; i < t->n->n_blobs; i++)
		if (t->n->blobs[i].need_gradient)
			b += (size_t)snprintf(blobs + b, size - b, "%s ", t->n->blobs[i].name);
}

T_TEST(who_needs_a_gradient)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		const struct moka_net_options o = { .phase = MOKA_TRAIN,
						    .gradient_tops = &r->gradient_top,
						    .n_gradient_tops = r->gradient_top != NULL };
		char layers[256], blobs[256];
		struct nets t;

		nets_open(&t, r->text, &o);
		list(&t, layers, blobs, sizeof(layers));
		if (strcmp(layers, r->layers) || strcmp(blobs, r->bottoms))
			fail_msg("%s: layers %s, blobs %s", r->what, layers, blobs);
		nets_close(&t);
	}
}

T_TEST(a_label_takes_none)
{
	const struct moka_net_options o = { .phase = MOKA_TRAIN };
	struct nets t;

	nets_open(&t, "force_backward: true\n" INPUTS IP("a", "x", "") LOSS("a"), &o);
	T_TRUE(nets_layer(&t, "loss")->bottom_gradient[0]);
	T_FALSE(nets_layer(&t, "loss")->bottom_gradient[1]);
	T_FALSE(t.n->blobs[nets_blob(&t, "t")].need_gradient);
	nets_close(&t);
}

T_TEST(loss_weights)
{
	const struct moka_net_options o = { .phase = MOKA_TRAIN };
	struct nets t;

	nets_open(
		&t,
		INPUTS IP(
			"a", "x",
			"loss_weight: 0.25") "layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 't' top: 'l' top: 'p' loss_weight: 3 loss_weight: 0 }\n",
		&o);
	T_TRUE(nets_layer(&t, "a")->loss_weight[0] == 0.25f);
	T_TRUE(nets_layer(&t, "l")->loss_weight[0] == 3 && nets_layer(&t, "l")->loss_weight[1] == 0);
	nets_close(&t);
}

static const struct CMUnitTest tests[] = { T_CASE(who_needs_a_gradient), T_CASE(a_label_takes_none),
					   T_CASE(loss_weights) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
