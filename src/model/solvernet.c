/*
 * solvernet.c - the net that a solver names or holds.
 *
 * A solver says its training net in exactly one of net, train_net, net_param, train_net_param. Its test nets are, in this order, the
 * test_net_param messages, the test_net files, and then `net` (or net_param) as often as test_iter asks for.
 * Opened nets are kept in the solver's model, one per file or message, however often they are asked for.
 */
#include "model/internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const train_fields[] = { "train_net_param", "train_net", "net_param", "net" };

static struct moka_model *opened(const struct moka_model *solver, const void *from)
{
	struct moka_model *m = solver->net;

	while (m && m->opened_from != from)
		m = m->next;
	return m;
}

static void keep(struct moka_model *solver, struct moka_model *net, const void *from)
{
	struct moka_model **at = &solver->net;

	while (*at)
		at = &(*at)->next;
	net->opened_from = from;
	*at = net;
}

/* The same file named twice (net, and again test_net) is one model. */
static struct moka_model *opened_path(const struct moka_model *solver, const char *path)
{
	struct moka_model *m = solver->net;

	while (m && strcmp(m->text.path, path))
		m = m->next;
	return m;
}

/* ---- by path -------------------------------------------------------------------------------------- */

/*
 * A solver's path is meant from the folder that its author ran caffe in: mostly the project's, some folders above the
 * solver ("examples/mnist/lenet.prototxt" in examples/mnist/lenet_solver.prototxt). So: as it stands, beside the solver, then
 * from each folder above it.
 */
static const char *resolve(struct moka_model *solver, const char *said)
{
	struct moka_arena *a = &solver->arena;
	const char *first = moka_path_resolve(a, said, solver->text.path);
	char *above = moka_arena_strdup(a, solver->text.path ? solver->text.path : "");

	if (!first || !above || *said == '/' || moka_path_exists(first))
		return first;
	for (char *slash = strrchr(above, '/'); slash && slash > above; slash = strrchr(above, '/')) {
		const char *there;

		*slash = 0;
		there = moka_path_resolve(a, said, above);
		if (!there || moka_path_exists(there))
			return there;
	}
	return first;
}

static void find_missing(const struct moka_model *solver, const struct moka_node *n, const char *path,
			 struct moka_arena *a, struct moka_findings *f)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const char *beside = moka_path_resolve(a, base, solver->text.path);
	struct moka_file file = { 0 };
	struct moka_error e = { 0 };

	moka_find(f, MOKA_ERROR, "missing-file", moka_value_loc(solver->root, n),
		  "the solver's %s '%s' is neither here, nor beside the solver, nor in a folder above it",
		  n->field->name, path);
	if (slash && beside && moka_path_exists(beside)) {
		moka_find_hint(f, "there is '%s': write %s: \"%s\"", beside, n->field->name, base);
		return;
	}
	if (moka_file_open(&file, path, &e) && e.hint[0])
		moka_find_hint(f, "%s", e.hint);
	else
		moka_find_hint(f, "run from the folder that its paths start from, or correct the path");
	moka_file_release(&file);
}

static enum moka_status open_path(struct moka_model *solver, const struct moka_node *n, const struct moka_schema *s,
				  struct moka_model **net, struct moka_findings *f)
{
	const struct moka_model_options o = { .expect = MOKA_MODEL_NET };
	const char *said = moka_arena_strndup(&solver->arena, n->u.s.p, n->u.s.n);
	const char *path = said ? resolve(solver, said) : NULL;

	if (!path)
		return MOKA_ERR_NOMEM;
	if (!moka_path_exists(path)) {
		find_missing(solver, n, said, &solver->arena, f);
		return MOKA_ERR_IO;
	}
	*net = opened_path(solver, path);
	if (*net)
		return MOKA_OK;
	MOKA_TRY(moka_model_open(net, path, s, &o, f));
	keep(solver, *net, n);
	return MOKA_OK;
}

/* ---- inline ------------------------------------------------------------------------------------------ */

/* The tree stays in the solver's arena and its places point into the solver's text. */
static enum moka_status open_inline(struct moka_model *solver, const struct moka_node *n, const struct moka_schema *s,
				    struct moka_model **net, struct moka_findings *f)
{
	struct moka_model *m;
	enum moka_status st;

	m = calloc(1, sizeof(*m));
	if (!m)
		return MOKA_ERR_NOMEM;
	moka_arena_init(&m->arena, 0);
	m->text = solver->text;
	m->binary = solver->binary;
	m->kind = MOKA_MODEL_NET;
	m->root = n->u.m;
	st = moka__model_settle(m, s, f);
	if (st) {
		moka__adopt_findings(f, &m->text);
		moka_model_free(m);
		return st;
	}
	keep(solver, m, n);
	*net = m;
	return MOKA_OK;
}

static enum moka_status open_node(struct moka_model *solver, const struct moka_node *n, const struct moka_schema *s,
				  struct moka_model **net, struct moka_findings *f)
{
	*net = opened(solver, n);
	if (*net)
		return MOKA_OK;
	return n->kind == MOKA_NODE_MESSAGE ? open_inline(solver, n, s, net, f) : open_path(solver, n, s, net, f);
}

/* ---- which ---------------------------------------------------------------------------------------------- */

static enum moka_status no_net(const struct moka_model *solver, struct moka_findings *f)
{
	moka_find(f, MOKA_ERROR, "solver-without-net", moka_msg_loc(solver->root), "the solver names no net to train");
	moka_find_hint(f, "add net: \"FILE.prototxt\" (or train_net, net_param, train_net_param)");
	return MOKA_ERR_MODEL;
}

static enum moka_status train_net(const struct moka_model *solver, const struct moka_node **out,
				  struct moka_findings *f)
{
	const struct moka_node *found = NULL;

	for (size_t i = 0; i < MOKA_COUNT(train_fields); i++) {
		const struct moka_node *n = moka_get(solver->root, train_fields[i]);

		if (n && found) {
			moka_find(f, MOKA_ERROR, "several-train-nets", moka_node_loc(solver->root, n),
				  "the solver says its training net twice: %s and %s", found->field->name,
				  n->field->name);
			moka_find_hint(f, "keep one of them");
			return MOKA_ERR_MODEL;
		}
		if (n)
			found = n;
	}
	*out = found;
	return found ? MOKA_OK : no_net(solver, f);
}

static const struct moka_node *nth(const struct moka_msg *m, const char *name, int *which)
{
	const struct moka_node *n = NULL;

	while ((n = moka_next(m, name, n)))
		if ((*which)-- == 0)
			return n;
	return NULL;
}

static enum moka_status test_net(const struct moka_model *solver, int which, const struct moka_node **out,
				 struct moka_findings *f)
{
	const int asked = which;

	*out = nth(solver->root, "test_net_param", &which);
	if (!*out)
		*out = nth(solver->root, "test_net", &which);
	if (!*out)
		*out = moka_get(solver->root, "net_param");
	if (!*out)
		*out = moka_get(solver->root, "net");
	if (*out)
		return MOKA_OK;
	moka_find(f, MOKA_ERROR, "solver-without-test-net", moka_msg_loc(solver->root),
		  "the solver has no test net number %d", asked);
	moka_find_hint(f, "add test_net: \"FILE.prototxt\", or name one net for both with net: \"FILE.prototxt\"");
	return MOKA_ERR_MODEL;
}

enum moka_status moka_model_solver_net(struct moka_model *solver, int which, const struct moka_schema *s,
				       struct moka_model **net, struct moka_findings *f)
{
	const struct moka_node *n = NULL;

	*net = NULL;
	MOKA_BUG(solver->kind != MOKA_MODEL_SOLVER);
	MOKA_TRY(which < 0 ? train_net(solver, &n, f) : test_net(solver, which, &n, f));
	return open_node(solver, n, s, net, f);
}
