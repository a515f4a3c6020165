/*
 * keep.c - which snapshots stay, and whether it is worth going on: keep_best, early_stop, keep_last.
 *
 *     PREFIX_best.caffemodel   weights of the best test so far;  PREFIX_best.json   which test that was
 *
 * The best weights have no state beside them: two files that are replaced one after the other could be torn apart by a crash, and a
 * state never names weights of another moment. keep_last removes only snapshots of this prefix that this run wrote,
 * or, where it was resumed, those up to the iteration that it was resumed at; the state goes first.
 */
#include "solvers/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- the best ------------------------------------------------------------------------------------ */

/* A loss or an error is better when it is less. */
static bool less_is_better(const char *name, double loss_weight)
{
	return loss_weight != 0 || strcasestr(name, "loss") || strcasestr(name, "error");
}

static void unknown_output(struct moka_solver *s, struct moka_findings *f)
{
	struct moka_nearest near = { 0 };
	struct moka_buf names;
	int n = 0;

	moka_buf_init(&names, 1 << 16);
	for (int i = 0; i < s->n_tests; i++)
		for (int k = 0; k < s->tests[i].net->n_outputs; k++) {
			const char *name = s->tests[i].net->blobs[s->tests[i].net->outputs[k]].name;

			moka_nearest_try(&near, s->o.keep_best, name);
			moka_buf_printf(&names, "%s%.100s", n++ ? ", " : "", name);
		}
	moka_find(f, MOKA_ERROR, "keep-best", moka_msg_loc(s->root),
		  "no test net has an output '%.200s' to keep the best of", s->o.keep_best);
	if (!s->n_tests)
		moka_find_hint(f, "the solver tests nothing: give it test_iter and test_interval");
	else if (near.best)
		moka_find_hint(f, "did you mean '%s'?", near.best);
	else
		moka_find_hint(f, "outputs are: %s", names.data ? names.data : "none");
	moka_buf_release(&names);
}

/* Which value of which test net keep_best names. */
void moka__keep_check(struct moka_solver *s, struct moka_findings *f)
{
	struct moka_solver_output outputs[64];

	for (int i = 0; s->o.keep_best && s->best_net < 0 && i < s->n_tests; i++) {
		int n = moka__solver_outputs(s->tests[i].net, s->tests[i].exec, NULL, outputs, 64);

		for (int k = 0; k < n && s->best_net < 0; k++)
			if (!strcmp(outputs[k].name, s->o.keep_best)) {
				s->best_net = i;
				s->best_output = k;
				s->best_low = less_is_better(outputs[k].name, (double)outputs[k].loss_weight);
			}
	}
	if (s->o.keep_best && s->best_net < 0)
		unknown_output(s, f);
}

static char *best_path(const struct moka_solver *s, struct moka_arena *a, const char *ending)
{
	return moka_arena_printf(a, "%s_best%s", s->prefix, ending);
}

static enum moka_status write_best(struct moka_solver *s, struct moka_error *err)
{
	struct moka_arena a;
	struct moka_buf b;

	moka_arena_init(&a, 0);
	moka_buf_init(&b, 1 << 20);
	const char *weights = best_path(s, &a, s->hdf5 ? ".caffemodel.h5" : ".caffemodel");
	const char *note = best_path(s, &a, ".json");
	enum moka_status st = weights && note ? moka__write_weights(s, weights, err)
					      : moka_fail(err, MOKA_ERR_NOMEM, "no memory for a file's name");

	if (!st) {
		moka_buf_printf(&b, "{\"iter\":%" PRId64 ",\"value\":%.17g,\"output\":", s->iter, s->best);
		moka_buf_json_string(&b, s->o.keep_best);
		moka_buf_puts(&b, "}\n");
		st = moka_file_write(note, b.data, b.len, err);
	}
	s->snapshot_failed |= st != MOKA_OK;
	if (!st) {
		struct moka_solver_event e = { .kind = MOKA_EVENT_SNAPSHOT, .file = weights };

		moka__solver_event(s, &e);
	}
	moka_buf_release(&b);
	moka_arena_release(&a);
	return st;
}

enum moka_status moka__keep_tested(struct moka_solver *s, int net, const struct moka_solver_output *outputs, int n,
				   struct moka_error *err)
{
	double v;

	if (net != s->best_net || s->best_output >= n)
		return MOKA_OK;
	v = (double)outputs[s->best_output].value;
	if (!isfinite(v) || (s->have_best && !(s->best_low ? v < s->best : v > s->best))) {
		s->worse++;
		return MOKA_OK;
	}
	s->have_best = true;
	s->best = v;
	s->best_iter = s->iter;
	s->worse = 0;
	return write_best(s, err);
}

bool moka__keep_enough(const struct moka_solver *s)
{
	return s->o.early_stop > 0 && s->best_net >= 0 && s->worse >= s->o.early_stop;
}

/* The best of the run that is gone on with: PREFIX_best.json, as write_best() leaves it. Anything else there is not believed. */
static void read_best(struct moka_solver *s)
{
	char *path = best_path(s, &s->arena, ".json"), *text, *output;
	struct moka_file file;
	struct moka_buf want;
	int64_t iter;
	double value;

	if (!path || s->best_net < 0 || !moka_path_exists(path) || moka_file_open(&file, path, NULL))
		return;
	text = file.size < 4096 ? moka_arena_strndup(&s->arena, (const char *)file.data, file.size) : NULL;
	moka_file_release(&file);
	moka_buf_init(&want, 1 << 16);
	moka_buf_puts(&want, "\"output\":");
	moka_buf_json_string(&want, s->o.keep_best);
	output = text ? strstr(text, "\"output\":") : NULL;
	if (output && sscanf(text, "{\"iter\":%" SCNd64 ",\"value\":%lf,", &iter, &value) == 2 && iter <= s->iter &&
	    isfinite(value) && !want.failed && !strncmp(output, want.data, want.len)) {
		s->have_best = true;
		s->best = value;
		s->best_iter = iter;
	}
	moka_buf_release(&want);
}

/* ---- the last ones ------------------------------------------------------------------------------------- */

static bool remember(struct moka_solver *s, int64_t iter)
{
	if (s->n_kept == s->cap_kept) {
		int cap = MOKA_MAX(16, 2 * s->cap_kept);
		int64_t *more = realloc(s->kept, (size_t)cap * sizeof(*more));

		if (!more)
			return false;
		s->kept = more;
		s->cap_kept = cap;
	}
	s->kept[s->n_kept++] = iter;
	return true;
}

static void drop_oldest(struct moka_solver *s)
{
	static const char *const endings[] = { ".solverstate", ".solverstate.h5", ".caffemodel", ".caffemodel.h5" };
	struct moka_buf path;

	for (size_t i = 0; i < MOKA_COUNT(endings); i++) {
		moka_buf_init(&path, 1 << 16);
		moka_buf_printf(&path, "%s_iter_%" PRId64 "%s", s->prefix, s->kept[0], endings[i]);
		if (!path.failed)
			unlink(path.data);
		moka_buf_release(&path);
	}
	memmove(s->kept, s->kept + 1, (size_t)--s->n_kept * sizeof(*s->kept));
}

void moka__keep_snapshot(struct moka_solver *s)
{
	if (!remember(s, s->iter))
		return;
	while (s->o.keep_last > 0 && s->n_kept > s->o.keep_last)
		drop_oldest(s);
}

/* "lenet_iter_5000.solverstate" of this prefix -> 5000; -1: another file. */
static int64_t iteration_of(const char *name, const char *base, size_t base_len)
{
	const char *digits = name + base_len + 6;
	char *end;
	long long iter;

	if (strncmp(name, base, base_len) || strncmp(name + base_len, "_iter_", 6) || !isdigit((unsigned char)*digits))
		return -1;
	iter = strtoll(digits, &end, 10);
	return !strcmp(end, ".solverstate") || !strcmp(end, ".solverstate.h5") ? iter : -1;
}

static int by_number(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void find_earlier(struct moka_solver *s)
{
	const char *slash = strrchr(s->prefix, '/'), *base = slash ? slash + 1 : s->prefix;
	const char *folder = !slash ? "."
			     : slash == s->prefix
				     ? "/"
				     : moka_arena_strndup(&s->arena, s->prefix, (size_t)(slash - s->prefix));
	DIR *d = folder ? opendir(folder) : NULL;

	for (struct dirent *e; d && (e = readdir(d));) {
		int64_t iter = iteration_of(e->d_name, base, strlen(base));

		if (iter >= 0 && iter <= s->iter)
			remember(s, iter);
	}
	if (d)
		closedir(d);
	if (s->n_kept)
		qsort(s->kept, (size_t)s->n_kept, sizeof(*s->kept), by_number);
}

void moka__keep_resumed(struct moka_solver *s)
{
	find_earlier(s);
	read_best(s);
}
