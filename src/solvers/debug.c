/*
 * debug.c - debug_info: the mean magnitude of every blob and parameter while a pass runs, in the words of BVLC Caffe's log.
 *
 * The passes go layer by layer, because an in-place layer writes over what is to be looked at. BVLC Caffe puts Split
 * layers where a blob has several readers, and names them; Moka has none.
 */
#include "solvers/internal.h"

#include <math.h>

static void say(struct moka_solver *s, const char *fmt, ...) MOKA_PRINTF(2, 3);

static void say(struct moka_solver *s, const char *fmt, ...)
{
	struct moka_solver_event e = { .kind = MOKA_EVENT_DEBUG };
	struct moka_buf b;
	va_list ap;

	moka_buf_init(&b, 1 << 16);
	va_start(ap, fmt);
	moka_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	e.text = b.data ? b.data : "";
	moka__solver_event(s, &e);
	moka_buf_release(&b);
}

static double mean_magnitude(const real *v, int64_t n)
{
	return v && n ? (double)moka_asum(n, v) / (double)n : 0;
}

/* A parameter's own name where it has one, else which of the layer's it is. */
static const char *param_name(const struct moka_param *p, int index, char *buf, size_t size)
{
	if (p->named)
		return p->name;
	snprintf(buf, size, "%d", index);
	return buf;
}

static void say_forward(struct moka_solver *s, struct moka_net *n, struct moka_exec *e, int layer)
{
	const struct moka_net_layer *l = &n->layers[layer];
	char buf[16];

	for (int t = 0; t < l->l.n_top; t++)
		say(s, "    [Forward] Layer %s, top blob %s data: %g", l->l.name, n->blobs[l->tops[t]].name,
		    mean_magnitude(moka_exec_data(e, l->tops[t]), moka_shape_count(&n->blobs[l->tops[t]].shape)));
	for (int k = 0; k < l->l.n_param; k++) {
		const struct moka_param *p = &n->params[l->params[k]];

		say(s, "    [Forward] Layer %s, param blob %s data: %g", l->l.name, param_name(p, k, buf, sizeof(buf)),
		    mean_magnitude(p->data, p->count));
	}
}

static void say_backward(struct moka_solver *s, int layer)
{
	const struct moka_net *n = s->net;
	const struct moka_net_layer *l = &n->layers[layer];

	for (int b = 0; b < l->l.n_bottom; b++)
		if (l->bottom_gradient[b])
			say(s, "    [Backward] Layer %s, bottom blob %s diff: %g", l->l.name,
			    n->blobs[l->bottoms[b]].name,
			    mean_magnitude(moka_exec_diff(s->exec, l->bottoms[b]),
					   moka_shape_count(&n->blobs[l->bottoms[b]].shape)));
	for (int k = 0; k < l->l.n_param; k++)
		if (l->param_gradient[k])
			say(s, "    [Backward] Layer %s, param blob %d diff: %g", l->l.name, k,
			    mean_magnitude(moka_exec_param_diff(s->exec, l->params[k], l->param_uses[k]),
					   n->params[l->params[k]].count));
}

static double sum_of_squares(const real *v, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; v && i < n; i++)
		sum += (double)v[i] * (double)v[i];
	return sum;
}

static void say_all(struct moka_solver *s)
{
	double asum_data = 0, asum_diff = 0, sumsq_data = 0, sumsq_diff = 0;

	for (int i = 0; i < s->n_slots; i++) {
		const struct moka_slot *slot = &s->slots[i];
		const real *diff = moka_exec_param_diff(s->exec, slot->param, slot->use);
		const struct moka_param *p = &s->net->params[slot->param];

		asum_diff += diff ? (double)moka_asum(slot->count, diff) : 0;
		sumsq_diff += sum_of_squares(diff, slot->count);
		if (slot->use)
			continue; /* one parameter, several gradients */
		asum_data += (double)moka_asum(p->count, p->data);
		sumsq_data += sum_of_squares(p->data, p->count);
	}
	say(s, "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)", asum_data,
	    asum_diff, sqrt(sumsq_data), sqrt(sumsq_diff));
}

enum moka_status moka__debug_forward(struct moka_solver *s, struct moka_net *n, struct moka_exec *e, real *loss,
				     struct moka_error *err)
{
	double sum = 0;

	for (int i = 0; i < n->n_layers; i++) {
		real one;

		MOKA_TRY(moka_exec_forward(e, i, i + 1, &one, err));
		sum += (double)one;
		say_forward(s, n, e, i);
	}
	*loss = (real)sum;
	return MOKA_OK;
}

enum moka_status moka__debug_backward(struct moka_solver *s, struct moka_error *err)
{
	for (int i = s->net->n_layers - 1; i >= 0; i--) {
		MOKA_TRY(moka_exec_backward(s->exec, i + 1, i, err));
		if (s->net->layers[i].need_backward)
			say_backward(s, i);
	}
	say_all(s);
	return MOKA_OK;
}
