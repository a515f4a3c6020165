/*
 * DataRandTransform: random changes of pictures behind a data layer (an early OpenCL Caffe). Each of them is off unless the layer
 * switches it on (apply_rot, apply_blur ...), and all published nets leave them off: then the layer hands its bottom on. Moka runs
 * that, and refuses a layer that switches one on. As in the fork, no gradient flows through it.
 */
#include "blocks.h"

#include <string.h>

static enum moka_status transform_shape(struct moka_layer *l, struct moka_findings *f)
{
	for (const struct moka_node *n = l->msg->first; n; n = n->next) {
		const bool on = (n->kind == MOKA_NODE_NAME && n->u.s.n == 4 && !strncmp(n->u.s.p, "true", 4)) ||
				(n->kind == MOKA_NODE_INT && n->u.i != 0);

		if (n->field || !n->name || strncmp(n->name, "apply_", 6) || !on)
			continue;
		moka_layer_bad(l, f, "unsupported", NULL, "%s: Moka runs this layer without its random changes only",
			       n->name);
		moka_find_hint(f, "take the line out; mirror and crop belong into transform_param of the data layer");
		return MOKA_ERR_MODEL;
	}
	return moka_shape_same(l, f);
}

static enum moka_status transform_forward(const struct moka_layer *l, struct moka_call *c)
{
	(void)l;
	moka__copy(c->pool, c->top[0].count, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_data_rand_transform = {
	.schema = { "DataRandTransform", NULL, 0, 0, NULL, NULL, 0, "an early OpenCL Caffe" },
	.doc = "hands pictures on; the random changes that its fork could switch on are not run",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = transform_shape, .forward = transform_forward,
};
/* clang-format on */
