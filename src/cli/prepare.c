/*
 * prepare.c - from a model's path to a net that can run: what run, classify and time share.
 *
 * The net is built twice. The first time only to learn its inputs (a picture takes the input's size, an array may reshape
 * it); the second time to run, when everything that stands in the way is an error.
 */
#include "cli.h"

#include <string.h>

/* A model that carries its own weights (.caffemodel) needs no -w. */
static bool carries_weights(const struct moka_model *m)
{
	for (int i = 0; i < m->n_layers; i++)
		if (moka_has(m->layers[i].msg, "blobs"))
			return true;
	return false;
}

static int load_own_weights(struct cli_call *c, struct cli_net *n)
{
	const struct cli_option *o = c->command->options;

	while (o->name && strcmp(o->name, "weights"))
		o++;
	MOKA_BUG(!o->name);
	c->values[c->n_values++] = (struct cli_value){ o, n->model->text.path };
	return cli_load_weights(c, n, false) ? CLI_OK : CLI_FAILED;
}

/* Says in one line that a net runs on fillers: its numbers mean nothing then. */
static void note_fillers(const struct cli_call *c, const struct moka_net *net)
{
	int64_t values = 0;

	for (int i = 0; i < net->n_params; i++)
		values += MOKA_MAX(net->params[i].count, 0);
	if (values)
		cli_note(c, "no weights given (-w FILE): %lld parameters come from the net's fillers",
			 (long long)values);
}

static int take_weights(struct cli_call *c, const struct cli_feeds *f, struct cli_net *n)
{
	struct moka_error err = { 0 };
	bool given = cli_has(c, "weights"), own = !given && carries_weights(n->model);
	int status = CLI_OK;

	if (given || own ? moka_net_reserve(n->net, 1, &err) : moka_net_allocate(n->net, 1, &err))
		return cli_fail_error(c, &err);
	cli_lend_weights(n);
	if (given)
		status = cli_load_weights(c, n, false) ? CLI_OK : CLI_FAILED;
	else if (own)
		status = load_own_weights(c, n);
	else if (f) /* time measures the same with any numbers */
		note_fillers(c, n->net);
	return status;
}

/* A gradient for a blob that the net doesn't have is the call's fault, and said before anything is built to run. */
static int check_gradient_tops(struct cli_call *c, const struct moka_net *n, const struct moka_net_options *o)
{
	for (int i = 0; i < o->n_gradient_tops; i++) {
		const char *top = o->gradient_tops[i], *near;
		if (moka_net_blob(n, top) >= 0)
			continue;
		near = moka_net_nearest_blob(n, top);
		return near ? cli_usage(c, "the net has no blob '%s' to put a gradient on; did you mean '%s'?", top,
					near)
			    : cli_usage(c, "the net has no blob '%s' to put a gradient on", top);
	}
	return CLI_OK;
}

/* The net as the file says it, only to look at; findings of this look are dropped, the second build makes them again. */
static int look(struct cli_call *c, const char *path, struct moka_net_options *o, struct cli_feeds *f,
		struct cli_net *n)
{
	struct moka_net_options first = *o;
	struct moka_findings own;
	struct moka_net *net = NULL;
	int status;

	if (!cli_open_model(c, path, o, n)) {
		cli_report(c, &n->findings, MOKA_NOTE);
		return CLI_FAILED;
	}
	if (!f)
		return CLI_OK;
	first.for_run = first.backward = false;
	first.stages = o->stages, first.n_stages = o->n_stages, first.level = o->level;
	moka_findings_init(&own);
	if (moka_net_build(&net, n->model, &first, &own)) {
		cli_report(c, &n->findings, MOKA_WARNING);
		cli_report(c, &own, MOKA_WARNING);
		status = CLI_FAILED;
	} else {
		status = check_gradient_tops(c, net, o);
		if (!status)
			status = cli_feed_shapes(c, f, net, o);
	}
	moka_net_free(net);
	moka_findings_release(&own);
	return status;
}

int cli_prepare_net(struct cli_call *c, const char *path, struct moka_net_options *o, struct cli_feeds *f,
		    struct cli_net *n)
{
	int status = look(c, path, o, f, n);

	if (status)
		return status;
	o->for_run = true;
	if (!cli_build_net(n, o) || n->findings.errors) {
		cli_report(c, &n->findings, MOKA_WARNING);
		return CLI_FAILED;
	}
	if (f && (status = cli_feeds_complete(c, f, n->net)))
		return status;
	status = take_weights(c, f, n);
	if (!cli_report(c, &n->findings, MOKA_WARNING) && !status)
		status = CLI_FAILED;
	return status;
}
