/* random_net.h - nets of random form: chains, branches, sums, in-place layers, slices; every blob is 2 x 4 x 3 x 3. */
#ifndef MOKA_TESTS_NET_RANDOM_NET_H
#define MOKA_TESTS_NET_RANDOM_NET_H

#include "nets.h"

/* Appends a net of `layers` layers. With a loss at its end where `loss`. */
static inline void random_net(struct moka_buf *out, uint64_t seed, int layers, bool loss)
{
	/* Smooth ones, so that a gradient check is not spoilt by a kink. */
	static const char *const in_place[] = { "TanH", "Sigmoid", "BNLL" };
	struct moka_rng r;
	int blobs = 1, used[64] = { 0 };

	moka_rng_seed(&r, seed, 1);
	moka_buf_printf(
		out,
		"layer { name: 'in' type: 'Input' top: 'b0' input_param { shape { dim: 2 dim: 4 dim: 3 dim: 3 } } }\n");
	for (int i = 0; i < layers && blobs < 62; i++) {
		int a = (int)moka_rng_below(&r, (uint64_t)blobs), b = (int)moka_rng_below(&r, (uint64_t)blobs),
		    kind = (int)moka_rng_below(&r, 6);
		const char *type = in_place[moka_rng_below(&r, MOKA_COUNT(in_place))];

		if (moka_rng_below(&r, 2))
			a = blobs - 1; /* long chains are likelier than wide fans */
		if (kind == 0 && !used[a] && a) {
			moka_buf_printf(out, "layer { name: 'l%d' type: '%s' bottom: 'b%d' top: 'b%d' }\n", i, type, a,
					a);
			continue;
		}
		used[a] = 1;
		if (kind <= 1) {
			moka_buf_printf(out, "layer { name: 'l%d' type: '%s' bottom: 'b%d' top: 'b%d' }\n", i, type, a,
					blobs++);
		} else if (kind == 2) {
			used[b] = 1;
			moka_buf_printf(
				out, "layer { name: 'l%d' type: 'Eltwise' bottom: 'b%d' bottom: 'b%d' top: 'b%d' }\n",
				i, a, b, blobs++);
		} else if (kind == 3) {
			moka_buf_printf(
				out,
				"layer { name: 'l%d' type: 'Convolution' bottom: 'b%d' top: 'b%d' convolution_param { num_output: 4 "
				"kernel_size: 3 pad: 1 weight_filler { type: 'gaussian' std: 0.3 } } }\n",
				i, a, blobs++);
		} else if (kind == 4) {
			moka_buf_printf(out,
					"layer { name: 's%d' type: 'Slice' bottom: 'b%d' top: 's%d_0' top: 's%d_1' }\n",
					i, a, i, i);
			moka_buf_printf(
				out,
				"layer { name: 'l%d' type: 'Concat' bottom: 's%d_1' bottom: 's%d_0' top: 'b%d' }\n", i,
				i, i, blobs++);
		} else {
			moka_buf_printf(
				out,
				"layer { name: 'l%d' type: 'Power' bottom: 'b%d' top: 'b%d' power_param { scale: 0.7 shift: 0.1 } }\n",
				i, a, blobs++);
		}
	}
	if (!loss)
		return;
	/* Everything counts: whatever nobody reads goes into a loss of its own. */
	for (int b = 1; b < blobs; b++)
		if (!used[b])
			moka_buf_printf(
				out,
				"layer { name: 'loss%d' type: 'EuclideanLoss' bottom: 'b%d' bottom: 'b0' top: 'loss%d' loss_weight: %d.5 }\n",
				b, b, b, b % 3);
}

#endif
