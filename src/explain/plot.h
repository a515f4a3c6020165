/*
 * plot.h - curves as SVG, written by hand: panels one below the other over one kind of x axis, a legend above them.
 *
 * Knows nothing of training: series of points with a name, a colour and a style.
 */
#ifndef MOKA_EXPLAIN_PLOT_H
#define MOKA_EXPLAIN_PLOT_H

#include "base/base.h"

enum moka_plot_style {
	MOKA_PLOT_LINE,
	MOKA_PLOT_FAINT,  /* thin and pale: raw values under a smoothed line */
	MOKA_PLOT_POINTS, /* a line with a dot at each value: tests */
	MOKA_PLOT_DASHED,
};

struct moka_plot_series {
	const double *x, *y; /* n of each; x ascending; values that aren't finite leave a gap */
	size_t n;
	int colour; /* which of the palette: one per run */
	enum moka_plot_style style;
	const char *label; /* said at its end, in the panel; NULL: nothing */
};

struct moka_plot_mark {
	double x;
	const char *label;
};

struct moka_plot_panel {
	const char *title; /* what y is */
	bool log_x, log_y; /* log: values of 0 and less leave a gap */
	const struct moka_plot_series *series;
	int n_series;
	const struct moka_plot_mark *marks; /* lines upright, with words */
	int n_marks;
};

/* A run's name in the legend, beside its colour. */
struct moka_plot_key {
	const char *label;
	int colour;
};

struct moka_plot {
	const char *title;   /* NULL: none */
	const char *x_label; /* "iteration" */
	const struct moka_plot_panel *panels;
	int n_panels;
	const struct moka_plot_key *keys;
	int n_keys;
};

void moka_plot_svg(const struct moka_plot *p, struct moka_buf *out);
/* Round values for an axis from lo to hi, about `want` of them, at most 32. Returns how many. */
int moka_plot_ticks(double lo, double hi, int want, bool log, double *out);
/* s with & < > and quotes as XML wants them. */
void moka_plot_text(struct moka_buf *out, const char *s);
/* Colour of the palette, as "#1f6fb4". */
const char *moka_plot_colour(int i);

#endif
