/*
 * Python: a layer that a Python class computes. Known by its settings; its shapes are the class's own affair, and it is
 * not run from C.
 *
 * But for those that published nets rely on. A table (python_known.c) tells the shapes of classes whose source is public. And Faster R-CNN's
 * rpn.proposal_layer, ProposalLayer, Moka brings itself (proposal.c). What the original takes from a configuration outside of the net are its published values: 12000 boxes looked at and
 * 2000 kept in training, 6000 and 300 in testing, none smaller than 16 pixels, overlaps up to 0.7.
 */
#include "proposal.h"
#include "python_known.h"

#include <stdlib.h>
#include <string.h>

struct python_param {
	const char *module, *layer, *param_str;
	bool share_in_parallel;
};

static const struct moka_field python_fields[] = {
	MOKA_F_STRING(struct python_param, module, 1, NULL, "Python module that holds the class"),
	MOKA_F_STRING(struct python_param, layer, 2, NULL, "name of the class"),
	MOKA_F_STRING(struct python_param, param_str, 3, "", "handed to the class as self.param_str"),
	MOKA_F_BOOL(struct python_param, share_in_parallel, 4, 0, "deprecated"), MOKA_F_END
};
static const struct moka_message python_message = { "PythonParameter", python_fields, sizeof(struct python_param) };

static bool is_proposal(const struct moka_layer *l)
{
	const struct python_param *p = l->param;

	return p->module && p->layer && !strcmp(p->module, "rpn.proposal_layer") && !strcmp(p->layer, "ProposalLayer");
}

/* Numbers behind a key, one or a list in brackets; how many. */
static int numbers(const char *at, double *out, int most)
{
	int n = 0;

	at += at ? strspn(at, " \t") : 0;
	if (!strchr("[(", *at) || !*at) {
		char *end;
		out[0] = strtod(at, &end);
		return end != at;
	}
	for (at++; n < most;) {
		char *end;

		at += strspn(at, " \t\r\n,");
		out[n] = strtod(at, &end);
		if (end == at)
			break;
		n++;
		at = end;
	}
	return n;
}

static enum moka_status read_proposal(const struct moka_layer *l, struct moka_findings *f, struct moka__proposal *v)
{
	static const double ratios[] = { 0.5, 1, 2 }, scales[] = { 8, 16, 32 };
	const char *text = ((const struct python_param *)l->param)->param_str;
	const char *stride = moka__python_value(text, "feat_stride"), *scale = moka__python_value(text, "scales");

	v->base_size = v->min_size = 16;
	v->nms_thresh = 0.7;
	v->pre_nms = l->phase == MOKA_TRAIN ? 12000 : 6000;
	v->post_nms = l->phase == MOKA_TRAIN ? 2000 : 300;
	v->n_ratios = v->n_scales = 3;
	memcpy(v->ratio, ratios, sizeof(ratios));
	memcpy(v->scale, scales, sizeof(scales));
	if (!stride || !numbers(stride, &v->feat_stride, 1) || !(v->feat_stride > 0 && v->feat_stride < 1e6))
		return moka_layer_bad(
			l, f, "bad-setting", "param_str",
			"param_str is \"%.200s\", and ProposalLayer needs \"'feat_stride': 16\", pixels for each cell",
			text);
	if (scale)
		v->n_scales = numbers(scale, v->scale, MOKA__PROPOSAL_RATIOS);
	if (v->n_scales < 1)
		return moka_layer_bad(l, f, "bad-setting", "param_str",
				      "param_str is \"%.200s\": its scales are no numbers", text);
	for (int i = 0; i < v->n_scales; i++)
		if (!(v->scale[i] > 0 && v->scale[i] < 1e6))
			return moka_layer_bad(l, f, "bad-setting", "param_str", "param_str has a scale of %g",
					      v->scale[i]);
	return MOKA_OK;
}

static enum moka_status proposal_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka__proposal *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	if (l->n_bottom != 3)
		return moka_layer_bad(l, f, "wrong-bottoms", NULL,
				      "ProposalLayer takes 3 bottoms (scores, offsets, im_info), and %d are named",
				      l->n_bottom);
	if (l->n_top < 1 || l->n_top > 2)
		return moka_layer_bad(l, f, "wrong-tops", NULL,
				      "ProposalLayer makes 1 or 2 tops (regions, scores), and %d are named", l->n_top);
	if (l->bottom[0].shape.n == 4 && l->bottom[0].shape.d[0] > 1)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 0,
					     "ProposalLayer takes one image at a time, and '%s' has %lld",
					     l->bottom[0].name, (long long)l->bottom[0].shape.d[0]);
	MOKA_TRY(read_proposal(l, f, v));
	return moka__proposal_shape(l, f, v);
}

static enum moka_status python_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct python_param *p = l->param;

	const struct moka__python *known = moka__python_find(p->module, p->layer);

	if (is_proposal(l))
		return proposal_shape(l, f);
	if (known)
		return moka__python_shape(known, l, f, p->param_str);
	moka_layer_unknown(l);
	if (!l->for_run)
		return MOKA_OK;
	return moka_layer_bad(
		l, f, "layer-not-runnable", "module",
		"class %s of Python module %s: Moka reads and draws Python layers, but can't run them yet",
		p->layer ? p->layer : "?", p->module ? p->module : "?");
}

static enum moka_status python_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct python_param *p = l->param;
	const struct moka__python *known = moka__python_find(p->module, p->layer);

	if (known && known->forward)
		return known->forward(l, c);
	if (!is_proposal(l))
		return moka_call_bad(l, c, MOKA_ERR_UNSUPPORTED, "Python layers can't be run yet");
	return moka__proposal_forward(l, c, l->priv);
}

const struct moka_layer_type moka_layer_python = {
	.schema = { "Python", "python_param", 130, 0, &python_message, NULL, 0, NULL },
	.doc = "computed by a Python class",
	.min_bottom = 0,
	.max_bottom = -1,
	.min_top = 0,
	.max_top = -1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = python_shape,
	.forward = python_forward,
};
