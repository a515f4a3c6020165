/*
 * moka plot - curves of one run or several: loss, accuracy, learning rate, in one picture.
 *
 * A run has a colour. The training loss is drawn pale as it was and strong as it is smoothed (a running mean that weighs older
 * values less); what the test nets said is drawn with a dot for each test.
 */
#include "cli/runlog.h"
#include "explain/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_RUNS 64

struct picture {
	struct cli_call *call;
	struct run_log *runs;
	int n_runs;
	bool by_seconds;
	double smooth;			  /* < 0: by the number of iterations */
	int log_y;			  /* 0 no, 1 yes, 2 where it helps */
	struct moka_plot_panel panels[3]; /* loss, scores, rate */
	int n_panels;
	bool failed;
};

static const double *x_of(const struct picture *p, const struct run_curve *k)
{
	return p->by_seconds ? k->seconds : k->iter;
}

static struct moka_plot_series *add_series(struct picture *p, struct moka_plot_panel *panel)
{
	enum { MOST = 512 };

	if (!panel->series)
		panel->series = MOKA_NEWN(&p->call->arena, MOST, struct moka_plot_series);
	if (!panel->series || panel->n_series == MOST) {
		p->failed |= !panel->series;
		return NULL;
	}
	return (struct moka_plot_series *)(uintptr_t)&panel->series[panel->n_series++];
}

/* The running mean, as if it had not begun at 0; gaps stay gaps. */
static const double *smoothed(struct picture *p, const struct run_curve *k)
{
	double *out = MOKA_NEWN(&p->call->arena, k->n + 1, double), mean = 0, weight = 0;
	double keep = p->smooth >= 0 ? p->smooth : 1 - 1 / MOKA_MAX(1.0, (double)k->n / 30);

	if (!out)
		p->failed = true;
	for (size_t i = 0; out && i < k->n; i++) {
		out[i] = NAN;
		if (!isfinite(k->value[i]))
			continue;
		mean = keep * mean + (1 - keep) * k->value[i];
		weight = keep * weight + (1 - keep);
		out[i] = mean / weight;
	}
	return out;
}

static void add_loss(struct picture *p, struct moka_plot_panel *panel, int run)
{
	const struct run_curve *k = run_log_curve(&p->runs[run], -1, "loss");
	struct moka_plot_series *s = k ? add_series(p, panel) : NULL;

	if (!s)
		return;
	*s = (struct moka_plot_series){ x_of(p, k), k->value, k->n, run, MOKA_PLOT_FAINT, NULL };
	s = add_series(p, panel);
	if (s)
		*s = (struct moka_plot_series){ x_of(p, k), smoothed(p, k), k->n, run, MOKA_PLOT_LINE, NULL };
}

static bool is_loss(const char *name)
{
	return strcasestr(name, "loss") || strcasestr(name, "error");
}

/* Said once in a panel: what is dashed or dotted in one colour is the same in the others. */
static const char *label_once(struct picture *p, const struct moka_plot_panel *panel, const struct run_curve *k,
			      bool loss)
{
	char which[32] = "";
	const char *label;

	if (k->net)
		snprintf(which, sizeof(which), " (net %d)", k->net);
	label = moka_arena_printf(&p->call->arena, "%s%s%s", loss ? "test " : "", k->name, which);
	for (int i = 0; label && i < panel->n_series; i++)
		if (panel->series[i].label && !strcmp(panel->series[i].label, label))
			return NULL;
	return label;
}

/* The outputs of the test nets: losses beside the training loss, the others (accuracy) in a panel of their own. */
static void add_tests(struct picture *p, struct moka_plot_panel *panel, int run, bool losses)
{
	const struct run_log *l = &p->runs[run];

	for (int i = 0; i < l->n_curves; i++) {
		const struct run_curve *k = &l->curves[i];
		const char *label;
		struct moka_plot_series *s;

		if (k->net < 0 || is_loss(k->name) != losses)
			continue;
		label = label_once(p, panel, k, losses);
		s = add_series(p, panel);
		if (s)
			*s = (struct moka_plot_series){
				x_of(p, k), k->value, k->n, run, losses ? MOKA_PLOT_DASHED : MOKA_PLOT_POINTS, label
			};
	}
}

static void add_rate(struct picture *p, struct moka_plot_panel *panel, int run)
{
	const struct run_curve *k = run_log_curve(&p->runs[run], -1, "lr");
	struct moka_plot_series *s = k ? add_series(p, panel) : NULL;

	if (s)
		*s = (struct moka_plot_series){ x_of(p, k), k->value, k->n, run, MOKA_PLOT_LINE, NULL };
}

/* Over more than a factor of `ratio`, and nowhere 0 or less: a logarithmic axis shows more. */
static bool better_log(const struct moka_plot_panel *panel, double ratio)
{
	double lo = INFINITY, hi = 0;

	for (int i = 0; i < panel->n_series; i++)
		for (size_t k = 0; panel->series[i].style != MOKA_PLOT_FAINT && k < panel->series[i].n; k++) {
			double v = panel->series[i].y[k];

			if (!isfinite(v))
				continue;
			if (v <= 0)
				return false;
			lo = MOKA_MIN(lo, v);
			hi = MOKA_MAX(hi, v);
		}
	return hi > lo * ratio;
}

static void keep_panel(struct picture *p, const struct moka_plot_panel *panel)
{
	if (panel->n_series)
		p->panels[p->n_panels++] = *panel;
}

static void make_panels(struct picture *p)
{
	struct moka_plot_panel loss = { .title = "loss" }, score = { .title = "test" },
			       rate = { .title = "learning rate" };
	bool one = true;
	const char *name = NULL;

	for (int i = 0; i < p->n_runs; i++) {
		add_loss(p, &loss, i);
		add_tests(p, &loss, i, true);
		add_tests(p, &score, i, false);
		add_rate(p, &rate, i);
	}
	for (int i = 0; i < p->n_runs; i++)
		for (int k = 0; k < p->runs[i].n_curves; k++) {
			const struct run_curve *c = &p->runs[i].curves[k];

			if (c->net < 0 || is_loss(c->name))
				continue;
			one &= !name || !strcmp(name, c->name);
			name = c->name;
		}
	if (name && one)
		score.title = moka_arena_printf(&p->call->arena, "test %s", name);
	loss.log_y = p->log_y == 2 ? better_log(&loss, 20) : p->log_y;
	rate.log_y = p->log_y == 2 ? better_log(&rate, 20) : p->log_y;
	keep_panel(p, &loss);
	keep_panel(p, &score);
	keep_panel(p, &rate);
	for (int i = 0; i < p->n_panels; i++)
		p->failed |= !p->panels[i].title;
}

/* ---- names of the runs --------------------------------------------------------------------------------- */

/* How far the paths agree, up to a slash. */
static size_t common_start(const struct picture *p)
{
	size_t n = 0;

	if (p->n_runs < 2)
		return 0;
	for (size_t i = 0; p->runs[0].path[i]; i++) {
		for (int r = 1; r < p->n_runs; r++)
			if (p->runs[r].path[i] != p->runs[0].path[i])
				return n;
		if (p->runs[0].path[i] == '/')
			n = i + 1;
	}
	return n;
}

static const char *run_label(const struct picture *p, int run)
{
	const char *path = p->runs[run].path, *slash = strrchr(path, '/');

	return p->n_runs < 2 ? slash ? slash + 1 : path : path + common_start(p);
}

/* ---- HTML ------------------------------------------------------------------------------------------------ */

static void put_last(struct moka_buf *out, const struct run_curve *k)
{
	if (k && k->n)
		moka_buf_printf(out, "<td>%.6g</td>", k->value[k->n - 1]);
	else
		moka_buf_puts(out, "<td></td>");
}

static const struct run_curve *first_test(const struct run_log *l)
{
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < l->n_curves; i++)
			if (l->curves[i].net >= 0 && (pass || !is_loss(l->curves[i].name)))
				return &l->curves[i];
	return NULL;
}

static void put_best(struct moka_buf *out, const struct run_curve *k)
{
	size_t best = 0;
	bool low = k && is_loss(k->name);

	for (size_t i = 0; k && i < k->n; i++)
		if (isfinite(k->value[i]) &&
		    (!isfinite(k->value[best]) || (low ? k->value[i] < k->value[best] : k->value[i] > k->value[best])))
			best = i;
	if (!k || !k->n) {
		moka_buf_puts(out, "<td></td>");
		return;
	}
	moka_buf_puts(out, "<td>");
	moka_plot_text(out, k->name);
	moka_buf_printf(out, " %.6g at iteration %.0f</td>", k->value[best], k->iter[best]);
}

static void put_row(const struct picture *p, int run, struct moka_buf *out)
{
	const struct run_curve *loss = run_log_curve(&p->runs[run], -1, "loss");
	double seconds = loss && loss->n ? loss->seconds[loss->n - 1] : NAN;

	moka_buf_printf(out, "<tr><td><span style=\"color:%s\">&#9632;</span> ", moka_plot_colour(run));
	moka_plot_text(out, run_label(p, run));
	moka_buf_printf(out, "</td><td>%.0f</td>", loss && loss->n ? loss->iter[loss->n - 1] + 1 : 0.0);
	put_last(out, loss);
	put_best(out, first_test(&p->runs[run]));
	if (isfinite(seconds))
		moka_buf_printf(out, "<td>%.1f s</td>", seconds);
	else
		moka_buf_puts(out, "<td></td>");
	moka_buf_puts(out, "</tr>\n");
}

static void put_html(const struct picture *p, const struct moka_plot *plot, struct moka_buf *out)
{
	moka_buf_puts(
		out,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>moka plot</title>\n"
		"<style>body{font-family:Helvetica,Arial,sans-serif;max-width:980px;margin:2em auto;color:#222}"
		"svg{max-width:100%;height:auto}table{border-collapse:collapse;margin:1em 0 1em 78px}"
		"td,th{text-align:left;padding:.25em 1.2em .25em 0;border-bottom:1px solid #ddd}</style></head><body>\n");
	moka_buf_puts(
		out,
		"<table><tr><th>run</th><th>iterations</th><th>last loss</th><th>best test</th><th>time</th></tr>\n");
	for (int i = 0; i < p->n_runs; i++)
		put_row(p, i, out);
	moka_buf_puts(out, "</table>\n");
	moka_plot_svg(plot, out);
	moka_buf_puts(out, "</body></html>\n");
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static int draw(struct picture *p, bool html)
{
	struct moka_plot_key keys[MOST_RUNS];
	struct moka_plot plot = { .title = cli_get(p->call, "title"),
				  .x_label = p->by_seconds ? "seconds" : "iteration",
				  .panels = p->panels,
				  .keys = keys };
	struct moka_buf out;

	make_panels(p);
	if (p->failed)
		return cli_fail(p->call, NULL, "no memory to draw %d runs", p->n_runs);
	plot.n_panels = p->n_panels;
	for (int i = 0; i < p->n_runs; i++)
		keys[plot.n_keys++] = (struct moka_plot_key){ run_label(p, i), i };
	moka_buf_init(&out, (size_t)1 << 30);
	if (html)
		put_html(p, &plot, &out);
	else
		moka_plot_svg(&plot, &out);
	int status = cli_output(p->call, cli_get(p->call, "output"), &out);

	moka_buf_release(&out);
	return status;
}

static bool read_options(struct cli_call *c, struct picture *p, bool *html)
{
	static const char *const forms[] = { "svg", "html", NULL }, *const axes[] = { "iterations", "seconds", NULL },
				 *const scales[] = { "linear", "log", "auto", NULL };
	const char *path = cli_get(c, "output");
	int form, axis;

	if (!cli_choice(c, "format", forms, path && (moka_has_suffix(path, ".html") || moka_has_suffix(path, ".htm")),
			&form) ||
	    !cli_choice(c, "x", axes, 0, &axis) || !cli_choice(c, "y", scales, 2, &p->log_y) ||
	    !cli_float(c, "smooth", 0, 0.99999, -1, &p->smooth))
		return false;
	if (path && strcmp(path, "-") && !cli_has(c, "format") && !moka_has_suffix(path, ".svg") &&
	    !moka_has_suffix(path, ".html") && !moka_has_suffix(path, ".htm")) {
		cli_usage(c,
			  "'%s': a picture is an .svg or an .html (for others, turn the .svg into them: rsvg-convert)",
			  path);
		return false;
	}
	p->by_seconds = axis == 1;
	*html = form == 1;
	return true;
}

static int plot_run(struct cli_call *c)
{
	struct run_log runs[MOST_RUNS];
	struct picture p = { .call = c, .runs = runs };
	bool html;
	int status = CLI_OK;

	if (c->n_words > MOST_RUNS)
		return cli_usage(c, "%d runs in one picture: at most %d can be told apart", c->n_words, MOST_RUNS);
	if (!read_options(c, &p, &html))
		return CLI_USAGE;
	while (!status && p.n_runs < c->n_words) {
		status = run_log_read(c, &runs[p.n_runs], c->words[p.n_runs]);
		p.n_runs++;
	}
	if (!status)
		status = draw(&p, html);
	for (int i = 0; i < p.n_runs; i++)
		run_log_release(&runs[i]);
	return status;
}

static const struct cli_option plot_options[] = {
	{ "output", 'o', "FILE",
	  "the picture: .svg, or .html with a table of the runs (default: SVG on standard output)", 0 },
	{ "format", 0, "svg|html", "form, where the file's ending does not say it", 0 },
	{ "x", 0, "iterations|seconds", "what the x axis counts (default iterations)", 0 },
	{ "y", 0, "linear|log|auto", "scale of loss and rate (default auto: log where they span a factor of 20)", 0 },
	{ "smooth", 0, "X", "share of the old in the running mean of the loss, 0 to 1 (default: by the run's length)",
	  0 },
	{ "title", 0, "TEXT", "written above", 0 },
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_plot = {
	.name = "plot",
	.summary = "curves of training runs: loss, accuracy, rate",
	.usage = "RUN.jsonl [RUN...] [-o curves.svg|curves.html] [options]",
	.about = "Draws what `moka train --log` wrote, several runs in one picture. Logs of Caffe (text) are read too.",
	.examples = "moka plot run.jsonl -o curves.svg\n"
		    "moka plot sgd.jsonl adam.jsonl -o compare.html --x seconds\n",
	.options = plot_options,
	.min_words = 1,
	.max_words = -1,
	.run = plot_run,
};
