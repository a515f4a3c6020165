/* test_plan.c - the memory plan: no two blobs that live at once overlap, on random nets; results are those of apart memory. */
#include "random_net.h"

#include <limits.h>

/* Alive, by the meaning of the word and not by the planner's tables: from the layer that makes a blob to the last that reads it. */
static bool alive(const struct moka_net *n, int blob, int layer)
{
	const struct moka_blob *x = &n->blobs[blob];

	if (x->is_input || x->producer < 0)
		return true;
	if (layer < x->producer)
		return false;
	if (x->is_output)
		return true;
	for (int c = 0; c < x->n_consumers; c++)
		if (x->consumers[c] >= layer)
			return true;
	return layer == x->producer;
}

/* Whether top shares with bottom because this layer may work in place: then the overlap is meant, and whole. */
static bool handed_over(const struct moka_net *n, int layer, int a, int b)
{
	const struct moka_net_layer *nl = &n->layers[layer];

	if (!nl->l.type || !(nl->l.type->flags & MOKA_INPLACE) || nl->l.n_bottom < 1 || nl->l.n_top < 1)
		return false;
	return (nl->bottoms[0] == a && nl->tops[0] == b) || (nl->bottoms[0] == b && nl->tops[0] == a);
}

static void check_plan(const struct moka_net *n, const struct moka__plan *p)
{
	for (int layer = 0; layer < n->n_layers; layer++)
		for (int a = 0; a < n->n_blobs; a++)
			for (int b = a + 1; b < n->n_blobs; b++) {
				size_t a_end = p->offset[a] + moka__blob_bytes(moka_shape_count(&n->blobs[a].shape));
				size_t b_end = p->offset[b] + moka__blob_bytes(moka_shape_count(&n->blobs[b].shape));

				if (!alive(n, a, layer) || !alive(n, b, layer) || a_end <= p->offset[b] ||
				    b_end <= p->offset[a])
					continue;
				if (!handed_over(n, layer, a, b) || p->offset[a] != p->offset[b])
					fail_msg("at layer %d, '%s' and '%s' overlap", layer, n->blobs[a].name,
						 n->blobs[b].name);
			}
	for (int a = 0; a < n->n_blobs; a++) {
		T_INT(p->offset[a] % MOKA__ALIGN, 0);
		T_TRUE(p->offset[a] + moka__blob_bytes(moka_shape_count(&n->blobs[a].shape)) <= p->bytes);
		T_INT(p->kept[a], n->blobs[a].is_input || n->blobs[a].is_output);
	}
}

T_TEST(nothing_alive_overlaps)
{
	const struct moka_net_options o = { .phase = MOKA_TEST };

	for (uint64_t seed = 0; seed < 150; seed++) {
		struct moka_arena a;
		struct moka__plan p;
		struct moka_buf text;
		struct nets t;

		moka_buf_init(&text, 1 << 20);
		random_net(&text, seed, 3 + (int)(seed % 30), false);
		nets_open(&t, text.data, &o);
		T_INT(t.f.errors, 0);
		moka_arena_init(&a, 0);
		T_INT(moka__plan_blobs(&p, t.n, MOKA_KEEP_OUTPUTS, &a), MOKA_OK);
		check_plan(t.n, &p);
		moka_arena_release(&a);
		nets_close(&t);
		moka_buf_release(&text);
	}
}

/* A chain of equal blobs needs two places besides its input and output, however long it is. */
T_TEST(a_chain_needs_little)
{
	const struct moka_net_options o = { .phase = MOKA_TEST };
	struct moka_arena a;
	struct moka__plan p, apart;
	struct moka_buf text;
	struct nets t;

	moka_buf_init(&text, 1 << 20);
	moka_buf_puts(
		&text,
		"layer { name: 'in' type: 'Input' top: 'b0' input_param { shape { dim: 1 dim: 16 dim: 8 dim: 8 } } }\n");
	for (int i = 0; i < 40; i++)
		moka_buf_printf(
			&text,
			"layer { name: 'c%d' type: 'Convolution' bottom: 'b%d' top: 'b%d' convolution_param { num_output: 16 "
			"kernel_size: 1 } }\n",
			i, i, i + 1);
	nets_open(&t, text.data, &o);
	moka_arena_init(&a, 0);
	T_INT(moka__plan_blobs(&p, t.n, MOKA_KEEP_OUTPUTS, &a), MOKA_OK);
	T_INT(moka__plan_blobs(&apart, t.n, MOKA_KEEP_ALL, &a), MOKA_OK);
	T_TRUE(p.bytes <= 4 * moka__blob_bytes(1024));
	T_TRUE(apart.bytes >= 41 * moka__blob_bytes(1024));
	moka_arena_release(&a);
	nets_close(&t);
	moka_buf_release(&text);
}

/* A layer that may work in place, but reads its first bottom a second time, must not lie on it. */
T_TEST(a_bottom_taken_twice_is_not_written)
{
	const struct moka_net_options o = { .phase = MOKA_TEST };
	struct moka_arena a;
	struct moka__plan p;
	struct nets t;

	nets_open(&t,
		  "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 4 } } }\n"
		  "layer { name: 'm' type: 'Power' bottom: 'x' top: 'm' power_param { scale: 2 } }\n"
		  "layer { name: 's' type: 'Scale' bottom: 'm' bottom: 'm' top: 's' scale_param { axis: 0 } }\n",
		  &o);
	T_INT(t.f.errors, 0);
	T_TRUE(nets_layer(&t, "s")->l.type->flags & MOKA_INPLACE);
	moka_arena_init(&a, 0);
	T_INT(moka__plan_blobs(&p, t.n, MOKA_KEEP_OUTPUTS, &a), MOKA_OK);
	T_TRUE(p.offset[nets_blob(&t, "m")] != p.offset[nets_blob(&t, "s")]);
	moka_arena_release(&a);
	nets_close(&t);
}

static void compare(uint64_t seed)
{
	const struct moka_net_options o = { .phase = MOKA_TEST };
	const struct moka_exec_options by_layer = { .by_layer = true, .seed = 7 };
	struct moka_error err = { 0 };
	struct moka_buf text;
	struct nets all, few;

	moka_buf_init(&text, 1 << 20);
	random_net(&text, seed, 4 + (int)(seed % 25), false);
	nets_run(&all, text.data, o, MOKA_KEEP_ALL, NULL);
	nets_run(&few, text.data, o, MOKA_KEEP_OUTPUTS, NULL);
	moka_exec_free(few.e);
	T_OK(moka_exec_new(&few.e, few.n, &by_layer, &err), &err);
	nets_fill_inputs(&all, seed);
	nets_fill_inputs(&few, seed);
	for (int pass = 0; pass < 2; pass++) { /* twice: an input must outlive a pass */
		nets_forward(&all, NULL);
		nets_forward(&few, NULL);
		for (int i = 0; i < all.n->n_outputs; i++) {
			int blob = all.n->outputs[i];

			T_NEAR(moka_exec_data(few.e, blob), moka_exec_data(all.e, blob),
			       moka_shape_count(&all.n->blobs[blob].shape), 0, 0);
		}
	}
	for (int i = 0; i < few.n->n_blobs; i++)
		T_INT(moka_exec_data(few.e, i) != NULL, few.n->blobs[i].is_input || few.n->blobs[i].is_output);
	nets_close(&all);
	nets_close(&few);
	moka_buf_release(&text);
}

T_TEST(outputs_are_the_same)
{
	for (uint64_t seed = 0; seed < 40; seed++)
		compare(seed);
}

static const struct CMUnitTest tests[] = { T_CASE(nothing_alive_overlaps), T_CASE(a_chain_needs_little),
					   T_CASE(a_bottom_taken_twice_is_not_written), T_CASE(outputs_are_the_same) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
