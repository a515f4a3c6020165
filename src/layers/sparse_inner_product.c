/*
 * SparseInnerProduct: InnerProduct for bottoms that mostly are zeros (sparse-data forks of Caffe). The fork skips the zeros;
 * the values are the same, and so are its fields, parameters and files. Moka's blobs are dense: it multiplies them all, and gives
 * a bottom its gradient, which the fork refuses.
 */
#include "inner_product.h"

/* clang-format off */
const struct moka_layer_type moka_layer_sparse_inner_product = {
	.schema = { "SparseInnerProduct", "inner_product_param", 117, 0, &moka__inner_product_message, NULL, 0,
		    "sparse-data forks" },
	.doc = "InnerProduct on inputs that mostly are zeros",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = moka__inner_product_shape, .forward = moka__inner_product_forward,
	.backward = moka__inner_product_backward,
};
/* clang-format on */
