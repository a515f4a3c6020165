/*
 * plot.c - curves as SVG.
 *
 *       title
 *       * run one   * run two                       <- keys
 *     +------------------------------------+
 *   y |  panel 0: grid, marks, curves      |
 *     +------------------------------------+
 *       ticks of x
 *     ...
 *
 * A series of many points is thinned to what the picture can show: per column of pixels its lowest and highest value. Where a few
 * values lie far outside (a run that diverged), the axis follows the rest, and the curve leaves the frame.
 */
#include "explain/plot.h"
#include "explain/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 960, LEFT = 78, RIGHT = 26, PANEL = 250, GAP = 62, LINE = 22, MOST_TICKS = 32 };

/* Told apart by most eyes, also in grey (Okabe and Ito's, darkened a little for lines on white). */
static const char *const palette[] = { "#0072b2", "#d55e00", "#009e73", "#b0569a",
				       "#b8860b", "#3a9bd1", "#555555", "#8b2e2e" };

const char *moka_plot_colour(int i)
{
	return palette[(unsigned)i % MOKA_COUNT(palette)];
}

void moka_plot_text(struct moka_buf *out, const char *s)
{
	for (uint32_t c; (c = moka__cell_next(&s));) {
		if (c == '&')
			moka_buf_puts(out, "&amp;");
		else if (c == '<')
			moka_buf_puts(out, "&lt;");
		else if (c == '>')
			moka_buf_puts(out, "&gt;");
		else if (c == '"')
			moka_buf_puts(out, "&quot;");
		else if (c >= 32 && (c & 0xfffe) != 0xfffe) /* what XML has no place for is left out */
			moka__put_char(out, c);
	}
}

/* ---- ticks ------------------------------------------------------------------------------------------ */

static int log_ticks(double lo, double hi, int want, double *out)
{
	int first = (int)ceil(log10(lo) - 1e-9), last = (int)floor(log10(hi) + 1e-9), n = 0;
	int step = MOKA_MAX(1, (last - first + want) / MOKA_MAX(want, 1));

	if (last - first < 1) { /* less than a decade between two powers: 1, 2, 5 */
		for (int e = first - 1; e <= last; e++)
			for (int k = 0; k < 3 && n < MOST_TICKS; k++) {
				double v = (k == 0 ? 1 : k == 1 ? 2 : 5) * pow(10, e);

				if (v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9))
					out[n++] = v;
			}
		return n;
	}
	for (int e = first; e <= last && n < MOST_TICKS; e += step)
		out[n++] = pow(10, e);
	return n;
}

int moka_plot_ticks(double lo, double hi, int want, bool log, double *out)
{
	double raw = (hi - lo) / MOKA_MAX(want, 1), size, step;
	int n = 0;

	if (!(hi > lo) || !isfinite(lo) || !isfinite(hi))
		return 0;
	if (log && lo > 0 && (n = log_ticks(lo, hi, want, out)) > 1)
		return n;
	n = 0;
	size = pow(10, floor(log10(raw)));
	step = size * (raw / size <= 1 ? 1 : raw / size <= 2 ? 2 : raw / size <= 5 ? 5 : 10);
	for (double k = ceil(lo / step - 1e-9); k * step <= hi + step * 1e-9 && n < MOST_TICKS; k++)
		out[n++] = fabs(k) < 0.5 ? 0 : k * step;
	return n;
}

/* 20000 as "20k": axes are read at a glance. */
static const char *tick_text(double v, char *buf, size_t size)
{
	if (fabs(v) >= 1e6 && fabs(v) < 1e9)
		snprintf(buf, size, "%gM", v / 1e6);
	else if (fabs(v) >= 1e4 && fabs(v) < 1e6)
		snprintf(buf, size, "%gk", v / 1e3);
	else if (v != 0 && (fabs(v) < 1e-4 || fabs(v) >= 1e9))
		snprintf(buf, size, "%.3g", v);
	else
		snprintf(buf, size, "%.6g", v);
	return buf;
}

/* ---- axes -------------------------------------------------------------------------------------------- */

struct axis {
	double lo, hi; /* as shown */
	bool log;
	double from, to; /* in the picture */
};

static bool usable(double v, bool log)
{
	return isfinite(v) && (!log || v > 0);
}

static double place(const struct axis *a, double v)
{
	double t = a->log ? (log(v) - log(a->lo)) / (log(a->hi) - log(a->lo)) : (v - a->lo) / (a->hi - a->lo);

	t = t < -1e4 ? -1e4 : t > 1e4 ? 1e4 : t; /* far outside is outside: no number that a viewer can't read */
	return a->from + t * (a->to - a->from);
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static size_t count_points(const struct moka_plot_panel *p)
{
	size_t n = 0;

	for (int i = 0; i < p->n_series; i++)
		n += p->series[i].n;
	return n;
}

/* The span of v[0..n), sorted here; with many values a few that lie far off are not followed. */
static void span(double *v, size_t n, bool log, double *lo, double *hi)
{
	size_t cut = n > 50 ? n / 200 : 0;
	double mid, reach;

	qsort(v, n, sizeof(*v), by_value);
	*lo = v[0];
	*hi = v[n - 1];
	mid = v[n - 1 - cut] - v[cut];
	reach = log ? 0 : 1.5 * mid;
	if (cut && !log && mid > 0) {
		*lo = MOKA_MAX(*lo, v[cut] - reach);
		*hi = MOKA_MIN(*hi, v[n - 1 - cut] + reach);
	}
}

/* log axes: a hundredth; else a twentieth of the span, and not below 0 where nothing is. */
static void widen(struct axis *a)
{
	double pad;

	if (a->log) {
		pad = MOKA_MAX(pow(a->hi / a->lo, 0.04), 1.05);
		a->lo /= pad;
		a->hi *= pad;
		return;
	}
	pad = a->hi > a->lo ? (a->hi - a->lo) * 0.05 : MOKA_MAX(fabs(a->hi) * 0.1, 1e-6);
	if (a->lo >= 0 && a->lo < pad * 4)
		a->lo = pad; /* close to 0: begin there */
	a->lo -= pad;
	a->hi += pad;
}

static bool y_axis(const struct moka_plot_panel *p, struct axis *y)
{
	double *v = malloc((count_points(p) + 1) * sizeof(*v));
	size_t n = 0;

	y->log = p->log_y;
	for (int i = 0; v && i < p->n_series; i++)
		for (size_t k = 0; k < p->series[i].n; k++)
			if (usable(p->series[i].y[k], y->log) && isfinite(p->series[i].x[k]))
				v[n++] = p->series[i].y[k];
	if (n) {
		span(v, n, y->log, &y->lo, &y->hi);
		widen(y);
	}
	free(v);
	return n > 0;
}

static bool x_axis(const struct moka_plot *p, const struct moka_plot_panel *only, struct axis *x)
{
	bool any = false;

	x->log = only->log_x;
	for (int i = 0; i < p->n_panels; i++) {
		const struct moka_plot_panel *panel = &p->panels[i];

		for (int k = 0; panel->log_x == only->log_x && k < panel->n_series; k++)
			for (size_t j = 0; j < panel->series[k].n; j++) {
				double v = panel->series[k].x[j];

				if (!usable(v, x->log))
					continue;
				x->lo = any ? MOKA_MIN(x->lo, v) : v;
				x->hi = any ? MOKA_MAX(x->hi, v) : v;
				any = true;
			}
	}
	if (any && x->hi <= x->lo) {
		x->hi = x->log ? x->lo * 10 : x->lo + 1;
		x->lo = x->log ? x->lo / 10 : x->lo;
	}
	return any;
}

static void draw_axes(const struct axis *x, const struct axis *y, const char *title, const char *x_label,
		      struct moka_buf *out)
{
	double t[MOST_TICKS];
	char text[32];
	int n = moka_plot_ticks(y->lo, y->hi, 6, y->log, t);

	for (int i = 0; i < n; i++) {
		double at = place(y, t[i]);

		moka_buf_printf(out,
				"<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
				"<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
				LEFT, at, WIDTH - RIGHT, at, LEFT - 8, at + 4, tick_text(t[i], text, sizeof(text)));
	}
	n = moka_plot_ticks(x->lo, x->hi, 9, x->log, t);
	for (int i = 0; i < n; i++) {
		double at = place(x, t[i]);

		moka_buf_printf(out,
				"<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
				"<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
				at, y->to, at, y->from, at, y->from + 17, tick_text(t[i], text, sizeof(text)));
	}
	moka_buf_printf(out, "<rect class=\"frame\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>\n", LEFT, y->to,
			WIDTH - LEFT - RIGHT, y->from - y->to);
	moka_buf_printf(out, "<text class=\"title\" x=\"%d\" y=\"%.1f\">", LEFT, y->to - 9);
	moka_plot_text(out, title);
	moka_buf_printf(out, "</text><text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", WIDTH - RIGHT,
			y->from + 34);
	moka_plot_text(out, x_label);
	moka_buf_puts(out, "</text>\n");
}

/* ---- curves ------------------------------------------------------------------------------------------- */

struct pen {
	struct moka_buf *out;
	bool down;
};

static void go_to(struct pen *p, double x, double y)
{
	moka_buf_printf(p->out, "%c%.1f %.1f", p->down ? 'L' : 'M', x, y);
	p->down = true;
}

/* The values that fall into one column of pixels: first, lowest, highest, last, in the order of x as far as it can be seen. */
struct column {
	double x, first, low, high, last;
	int n;
};

static void put_column(struct pen *p, const struct axis *y, const struct column *c)
{
	double v[4] = { c->first, c->low, c->high, c->last };
	int n = c->n == 1 ? 1 : 4;

	if (c->n > 1 && c->last < c->first) /* falling: the high one was earlier, most likely */
		v[1] = c->high, v[2] = c->low;
	for (int i = 0; i < n; i++)
		if (!i || v[i] != v[i - 1])
			go_to(p, c->x, place(y, v[i]));
}

static void add_to_column(struct column *c, double x, double v)
{
	if (!c->n++) {
		*c = (struct column){ x, v, v, v, v, 1 };
		return;
	}
	c->low = MOKA_MIN(c->low, v);
	c->high = MOKA_MAX(c->high, v);
	c->last = v;
}

static void trace(const struct moka_plot_series *s, const struct axis *x, const struct axis *y, struct moka_buf *out)
{
	const bool thin = s->n > (size_t)(WIDTH - LEFT - RIGHT) * 2;
	struct column c = { .n = 0 };
	struct pen pen = { out, false };

	for (size_t i = 0; i < s->n; i++) {
		if (!usable(s->x[i], x->log) || !usable(s->y[i], y->log)) {
			if (c.n)
				put_column(&pen, y, &c);
			c.n = 0;
			pen.down = false;
			continue;
		}
		double at = place(x, s->x[i]);

		if (c.n && (!thin || floor(at) > floor(c.x))) {
			put_column(&pen, y, &c);
			c.n = 0;
		}
		add_to_column(&c, at, s->y[i]);
	}
	if (c.n)
		put_column(&pen, y, &c);
}

static void draw_dots(const struct moka_plot_series *s, const struct axis *x, const struct axis *y,
		      struct moka_buf *out)
{
	for (size_t i = 0; i < s->n && s->n <= 200; i++)
		if (usable(s->x[i], x->log) && usable(s->y[i], y->log))
			moka_buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\" fill=\"%s\"/>",
					place(x, s->x[i]), place(y, s->y[i]), moka_plot_colour(s->colour));
}

static void draw_series(const struct moka_plot_series *s, const struct axis *x, const struct axis *y,
			struct moka_buf *out)
{
	static const char *const styles[] = {
		[MOKA_PLOT_LINE] = "stroke-width=\"2\"",
		[MOKA_PLOT_FAINT] = "stroke-width=\"1\" stroke-opacity=\"0.28\"",
		[MOKA_PLOT_POINTS] = "stroke-width=\"1.6\"",
		[MOKA_PLOT_DASHED] = "stroke-width=\"1.6\" stroke-dasharray=\"6 4\"",
	};

	moka_buf_printf(out, "<path fill=\"none\" stroke=\"%s\" %s stroke-linejoin=\"round\" d=\"",
			moka_plot_colour(s->colour), styles[s->style]);
	trace(s, x, y, out);
	moka_buf_puts(out, "\"/>\n");
	if (s->style == MOKA_PLOT_POINTS || s->style == MOKA_PLOT_DASHED || s->n == 1)
		draw_dots(s, x, y, out);
}

/* Words at the right end of a curve, moved apart where they would lie on one another. */
static void draw_labels(const struct moka_plot_panel *p, const struct axis *x, const struct axis *y,
			struct moka_buf *out)
{
	double taken[64];
	int n = 0;

	for (int i = 0; i < p->n_series && n < 64; i++) {
		const struct moka_plot_series *s = &p->series[i];
		size_t last = s->n;
		double at, end;

		while (last && (!usable(s->y[last - 1], y->log) || !usable(s->x[last - 1], x->log)))
			last--;
		if (!s->label || !last)
			continue;
		at = MOKA_MIN(MOKA_MAX(place(y, s->y[last - 1]) - 6, y->to + 12), y->from - 4);
		for (int k = 0; k < n; k++)
			if (fabs(at - taken[k]) < 13) {
				at = taken[k] + 13;
				k = -1; /* again from the first: it has moved */
				if (at > y->from + 13)
					break;
			}
		taken[n++] = at;
		end = place(x, s->x[last - 1]);
		moka_buf_printf(out, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"%s\">",
				MOKA_MAX(end, LEFT + 60.0) - 4, at, moka_plot_colour(s->colour));
		moka_plot_text(out, s->label);
		moka_buf_puts(out, "</text>\n");
	}
}

static void draw_marks(const struct moka_plot_panel *p, const struct axis *x, const struct axis *y,
		       struct moka_buf *out)
{
	for (int i = 0; i < p->n_marks; i++) {
		double at = usable(p->marks[i].x, x->log) ? place(x, p->marks[i].x) : -1;
		bool left = at > LEFT + (WIDTH - LEFT - RIGHT) * 0.75;

		if (at < LEFT || at > WIDTH - RIGHT)
			continue;
		moka_buf_printf(out,
				"<line class=\"mark\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
				"<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
				at, y->to, at, y->from, at + (left ? -5 : 5), y->to + 15 + 15 * i,
				left ? "end" : "start");
		moka_plot_text(out, p->marks[i].label);
		moka_buf_puts(out, "</text>\n");
	}
}

/* ---- the picture ---------------------------------------------------------------------------------------- */

static void draw_panel(const struct moka_plot *p, int i, double top, struct moka_buf *out)
{
	const struct moka_plot_panel *panel = &p->panels[i];
	struct axis x = { .from = LEFT, .to = WIDTH - RIGHT }, y = { .from = top + PANEL, .to = top };

	if (!x_axis(p, panel, &x) || !y_axis(panel, &y)) {
		moka_buf_printf(out, "<text class=\"title\" x=\"%d\" y=\"%.1f\">", LEFT, top - 9);
		moka_plot_text(out, panel->title);
		moka_buf_puts(out, ": no values</text>\n");
		return;
	}
	draw_axes(&x, &y, panel->title, p->x_label, out);
	moka_buf_printf(out, "<clipPath id=\"c%d\"><rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%d\"/></clipPath>\n",
			i, LEFT, top, WIDTH - LEFT - RIGHT, PANEL);
	moka_buf_printf(out, "<g clip-path=\"url(#c%d)\">\n", i);
	for (int k = 0; k < panel->n_series; k++)
		draw_series(&panel->series[k], &x, &y, out);
	moka_buf_puts(out, "</g>\n");
	draw_marks(panel, &x, &y, out);
	draw_labels(panel, &x, &y, out);
}

/* About how wide a text of 13 pixels is. */
static int text_width(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n * 7 + 4;
}

/* Keys in rows; returns the height that they take. out NULL: only measures. */
static int draw_keys(const struct moka_plot *p, int top, struct moka_buf *out)
{
	int x = LEFT, rows = p->n_keys ? 1 : 0;

	for (int i = 0; i < p->n_keys; i++) {
		int w = 30 + text_width(p->keys[i].label) + 18;

		if (x > LEFT && x + w > WIDTH - RIGHT) {
			x = LEFT;
			rows++;
		}
		if (out) {
			int y = top + rows * LINE - 8;

			moka_buf_printf(
				out,
				"<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"3\"/>"
				"<text class=\"key\" x=\"%d\" y=\"%d\">",
				x, y - 4, x + 22, y - 4, moka_plot_colour(p->keys[i].colour), x + 28, y);
			moka_plot_text(out, p->keys[i].label);
			moka_buf_puts(out, "</text>\n");
		}
		x += w;
	}
	return rows * LINE;
}

void moka_plot_svg(const struct moka_plot *p, struct moka_buf *out)
{
	int title = p->title ? 34 : 10, keys = draw_keys(p, 0, NULL), top = title + keys + 34;
	int height = top + p->n_panels * (PANEL + GAP) - 12;

	moka_buf_printf(out,
			"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
			"font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n",
			WIDTH, height, WIDTH, height);
	moka_buf_puts(
		out,
		"<style>.grid{stroke:#e4e4e4;stroke-width:1}.frame{fill:none;stroke:#888;stroke-width:1}"
		".tick{font-size:12px;fill:#555}.title{font-size:14px;font-weight:bold;fill:#222}"
		".key{font-size:13px;fill:#222}.label{font-size:12px;paint-order:stroke;stroke:#fff;stroke-width:3px}.mark{stroke:#777;stroke-width:1;"
		"stroke-dasharray:3 3}</style>\n");
	moka_buf_printf(out, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, height);
	if (p->title) {
		moka_buf_printf(out, "<text x=\"%d\" y=\"26\" font-size=\"17\" font-weight=\"bold\" fill=\"#222\">",
				LEFT);
		moka_plot_text(out, p->title);
		moka_buf_puts(out, "</text>\n");
	}
	draw_keys(p, title, out);
	for (int i = 0; i < p->n_panels; i++)
		draw_panel(p, i, top + i * (PANEL + GAP), out);
	moka_buf_puts(out, "</svg>\n");
}
