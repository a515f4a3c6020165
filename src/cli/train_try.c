/*
 * train_try.c - --dry-run: does it run, and what does it take; --find-lr: which rate is a good one.
 */
#include "cli/train.h"
#include "explain/plot.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- dry run -------------------------------------------------------------------------------------- */

static const char *size_text(int64_t bytes, char *buf, size_t size)
{
	double b = (double)bytes;

	if (b >= 1 << 30)
		snprintf(buf, size, "%.2f GiB", b / (1 << 30));
	else if (b >= 1 << 20)
		snprintf(buf, size, "%.1f MiB", b / (1 << 20));
	else
		snprintf(buf, size, "%.1f KiB", b / 1024);
	return buf;
}

static void put_size(const char *what, int64_t bytes)
{
	char text[32];

	printf("  %-34s %12s\n", what, size_text(bytes, text, sizeof(text)));
}

int train_dry_run(struct cli_call *c, struct moka_solver *s)
{
	struct moka_error err = { 0 };
	struct moka_dry_run d;

	if (moka_solver_dry_run(s, &d, &err))
		return cli_fail_error(c, &err);
	printf("one iteration of training (%" PRId64 " samples): %.4g s, loss %.6g\n", d.batch, d.train_seconds,
	       d.loss);
	if (moka_solver_test_nets(s))
		printf("one batch of each of %d test net%s: %.4g s for the first\n", moka_solver_test_nets(s),
		       moka_solver_test_nets(s) == 1 ? "" : "s", d.test_seconds);
	puts("memory:");
	put_size("parameters", d.param_bytes);
	put_size("the solver's histories", d.history_bytes);
	put_size("blobs and gradients, training", d.train_bytes);
	if (d.test_bytes)
		put_size("blobs, tests", d.test_bytes);
	put_size("in all", d.param_bytes + d.history_bytes + d.train_bytes + d.test_bytes);
	put_size("the whole program at its peak", d.peak_bytes);
	put_size("each snapshot, on disk", d.snapshot_bytes);
	puts("everything runs; nothing was written");
	return cli_flush(c);
}

/* ---- rate sweep ------------------------------------------------------------------------------------- */

/* "FROM:TO" */
static bool read_span(struct cli_call *c, double *from, double *to)
{
	const char *text = cli_get(c, "rates");
	char rest;

	*from = 1e-6;
	*to = 10;
	if (!text)
		return true;
	if (sscanf(text, "%lf:%lf%c", from, to, &rest) == 2 && *from > 0 && *to > *from && isfinite(*to))
		return true;
	cli_usage(c, "--rates '%s': two rates are expected, as 1e-6:10, the lower one first and above 0", text);
	return false;
}

static int draw_sweep(struct cli_call *c, const struct moka_sweep *w, const char *path)
{
	struct moka_plot_series series[] = {
		{ w->rate, w->loss, (size_t)w->n, 0, MOKA_PLOT_FAINT, NULL },
		{ w->rate, w->smoothed, (size_t)w->n, 0, MOKA_PLOT_LINE, NULL },
	};
	struct moka_plot_mark marks[2];
	struct moka_plot_panel panel = {
		.title = "loss", .log_x = true, .series = series, .n_series = 2, .marks = marks
	};
	struct moka_plot plot = {
		.title = "loss over the learning rate", .x_label = "learning rate", .panels = &panel, .n_panels = 1
	};
	struct moka_error err = { 0 };
	struct moka_buf out;

	if (isfinite(w->suggested))
		marks[panel.n_marks++] =
			(struct moka_plot_mark){ w->suggested,
						 moka_arena_printf(&c->arena, "suggested: %.2g", w->suggested) };
	if (isfinite(w->lowest))
		marks[panel.n_marks++] =
			(struct moka_plot_mark){ w->lowest,
						 moka_arena_printf(&c->arena, "lowest loss: %.2g", w->lowest) };
	moka_buf_init(&out, 1 << 26);
	moka_plot_svg(&plot, &out);
	enum moka_status st = out.failed ? moka_fail(&err, MOKA_ERR_NOMEM, "no memory for the plot")
					 : moka_file_write(path, out.data, out.len, &err);

	moka_buf_release(&out);
	return st ? cli_fail_error(c, &err) : CLI_OK;
}

static void put_points(const struct moka_sweep *w, struct moka_buf *b)
{
	for (int i = 0; i < w->n; i++)
		moka_buf_printf(b, "{\"event\":\"train\",\"iter\":%d,\"loss\":%.9g,\"lr\":%.9g,\"smoothed\":%.9g}\n", i,
				w->loss[i], w->rate[i], w->smoothed[i]);
	moka_buf_puts(b, "{\"event\":\"find-lr\",\"suggested\":");
	moka_buf_printf(b, isfinite(w->suggested) ? "%.6g" : "null", w->suggested);
	moka_buf_puts(b, ",\"lowest\":");
	moka_buf_printf(b, isfinite(w->lowest) ? "%.6g" : "null", w->lowest);
	moka_buf_puts(b, ",\"exploded\":");
	moka_buf_printf(b, isfinite(w->exploded) ? "%.6g" : "null", w->exploded);
	moka_buf_puts(b, "}\n");
}

static int write_points(struct cli_call *c, const struct moka_sweep *w, const char *path)
{
	struct moka_error err = { 0 };
	struct moka_buf b;

	moka_buf_init(&b, 1 << 26);
	put_points(w, &b);
	enum moka_status st = b.failed ? moka_fail(&err, MOKA_ERR_NOMEM, "no memory for the log")
				       : moka_file_write(path, b.data, b.len, &err);

	moka_buf_release(&b);
	return st ? cli_fail_error(c, &err) : CLI_OK;
}

static int tell(struct cli_call *c, const struct moka_sweep *w, const char *points, const char *picture)
{
	if (isfinite(w->suggested))
		printf("base_lr: %.2g\n", w->suggested);
	printf("# %d iterations with rates from %.3g to %.3g\n", w->n, w->n ? w->rate[0] : 0,
	       w->n ? w->rate[w->n - 1] : 0);
	if (isfinite(w->suggested))
		printf("# the loss falls fastest about there; it is lowest at %.2g\n", w->lowest);
	else
		printf("# the loss never fell clearly: is the net learning at all? (--overfit 1 tells)\n");
	if (isfinite(w->exploded))
		printf("# at %.2g it exploded\n", w->exploded);
	printf("# points: %s, picture: %s\n", points, picture);
	return cli_flush(c);
}

/* "run.jsonl" -> "run.svg" */
static const char *picture_name(struct cli_call *c, const char *points)
{
	const char *slash = strrchr(points, '/'), *dot = strrchr(slash ? slash : points, '.');

	return moka_arena_printf(&c->arena, "%.*s.svg", (int)(dot ? (size_t)(dot - points) : strlen(points)), points);
}

int train_find_rate(struct cli_call *c, struct moka_solver *s, struct train_show *show)
{
	const char *points = cli_get(c, "log"), *picture;
	struct moka_error err = { 0 };
	struct moka_sweep w;
	double from, to;
	int64_t steps;

	if (!read_span(c, &from, &to) || !cli_int(c, "rate-steps", 10, MOKA_SWEEP_MOST, 140, &steps))
		return CLI_USAGE;
	if (!points)
		points = moka_arena_printf(&c->arena, "%s_find_lr.jsonl", moka_solver_prefix(s));
	picture = points ? picture_name(c, points) : NULL;
	if (!points || !picture)
		return cli_fail(c, NULL, "no memory for a file's name");
	enum moka_status st = moka_solver_sweep(s, from, to, (int)steps, &w, &err);
	int status = CLI_OK;

	train_close_line(show);
	if (st == MOKA_ERR_INTERRUPTED)
		status = cli_fail(c, NULL, "stopped after %d of %d rates", w.n, (int)steps);
	else if (st)
		status = cli_fail_error(c, &err);
	if (!status)
		status = write_points(c, &w, points);
	if (!status)
		status = draw_sweep(c, &w, picture);
	if (!status)
		status = tell(c, &w, points, picture);
	moka_sweep_release(&w);
	return status;
}
