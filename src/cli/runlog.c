/*
 * runlog.c - the log of a run, read again.
 *
 * Two forms, told apart line by line: an object of JSON ({"event":"train","iter":0,"loss":2.3,...}), or a line of Caffe's log. Lines
 * of neither kind are left out and counted; the last one may be half written, where the run still goes on or was killed.
 */
#include "cli/runlog.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- curves ---------------------------------------------------------------------------------------- */

static struct run_curve *find_curve(struct cli_call *c, struct run_log *l, int net, const char *name)
{
	for (int i = 0; i < l->n_curves; i++)
		if (l->curves[i].net == net && !strcmp(l->curves[i].name, name))
			return &l->curves[i];
	if (l->n_curves == l->cap_curves) {
		int cap = l->cap_curves ? 2 * l->cap_curves : 8;
		struct run_curve *more = cap <= 4096 ? realloc(l->curves, (size_t)cap * sizeof(*more)) : NULL;

		if (!more)
			return NULL;
		l->curves = more;
		l->cap_curves = cap;
	}
	l->curves[l->n_curves] = (struct run_curve){ .name = moka_arena_strdup(&c->arena, name), .net = net };
	return l->curves[l->n_curves].name ? &l->curves[l->n_curves++] : NULL;
}

static bool grow(struct run_curve *k)
{
	size_t cap = k->cap ? 2 * k->cap : 256;
	double *iter = realloc(k->iter, cap * sizeof(double));

	if (iter)
		k->iter = iter;
	double *seconds = iter ? realloc(k->seconds, cap * sizeof(double)) : NULL;

	if (seconds)
		k->seconds = seconds;
	double *value = seconds ? realloc(k->value, cap * sizeof(double)) : NULL;

	if (!value)
		return false;
	k->value = value;
	k->cap = cap;
	return true;
}

static void add_point(struct cli_call *c, struct run_log *l, int net, const char *name, double iter, double seconds,
		      double value)
{
	struct run_curve *k = find_curve(c, l, net, name);

	if (!k || !isfinite(iter))
		return;
	while (k->n && k->iter[k->n - 1] >= iter) /* gone on with from an earlier snapshot */
		k->n--;
	if (k->n == k->cap && !grow(k))
		return;
	k->iter[k->n] = iter;
	k->seconds[k->n] = seconds;
	k->value[k->n++] = value;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

struct json {
	const char *p, *end;
};

static void skip_space(struct json *j)
{
	while (j->p < j->end && strchr(" \t\r\n", *j->p))
		j->p++;
}

static bool take(struct json *j, char c)
{
	skip_space(j);
	if (j->p >= j->end || *j->p != c)
		return false;
	j->p++;
	return true;
}

/* A string into buf, cut to its size; escapes of control characters and of \uXXXX below 128 undone, others become '?'. */
static bool take_string(struct json *j, char *buf, size_t size)
{
	size_t n = 0;

	if (!take(j, '"'))
		return false;
	while (j->p < j->end && *j->p != '"') {
		char c = *j->p++;

		if (c == '\\' && j->p < j->end) {
			c = *j->p++;
			if (c == 'u' && j->end - j->p >= 4) {
				char hex[5] = { j->p[0], j->p[1], j->p[2], j->p[3], 0 };
				long v = strtol(hex, NULL, 16);

				c = v > 0 && v < 128 ? (char)v : '?';
				j->p += 4;
			} else if (c == 'n' || c == 't' || c == 'r' || c == 'b' || c == 'f') {
				c = ' ';
			}
		}
		if (n + 1 < size)
			buf[n++] = c;
	}
	if (size)
		buf[n] = 0;
	return take(j, '"');
}

/* A number; null, true and false are NAN. */
static bool take_number(struct json *j, double *v)
{
	char text[64];
	size_t n = 0;

	skip_space(j);
	while (j->p < j->end && n + 1 < sizeof(text) && *j->p &&
	       strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *j->p))
		text[n++] = *j->p++;
	text[n] = 0;
	if (!n)
		return false;
	if (!strcmp(text, "null") || !strcmp(text, "true") || !strcmp(text, "false")) {
		*v = NAN;
		return true;
	}
	char *rest;

	*v = strtod(text, &rest);
	return !*rest;
}

static bool skip_value(struct json *j, int depth)
{
	char close;
	double v;

	skip_space(j);
	if (j->p >= j->end || depth > 32)
		return false;
	if (*j->p == '"')
		return take_string(j, NULL, 0);
	if (*j->p != '{' && *j->p != '[')
		return take_number(j, &v);
	close = *j->p++ == '{' ? '}' : ']';
	if (take(j, close))
		return true;
	do {
		if (close == '}' && (!take_string(j, NULL, 0) || !take(j, ':')))
			return false;
		if (!skip_value(j, depth + 1))
			return false;
	} while (take(j, ','));
	return take(j, close);
}

struct line {
	char event[32];
	double iter, seconds, loss, lr, net, suggested;
	struct json outputs; /* behind its '{'; p NULL: none */
};

static bool read_member(struct json *j, struct line *x, const char *name)
{
	const struct {
		const char *name;
		double *to;
	} numbers[] = { { "iter", &x->iter }, { "seconds", &x->seconds }, { "loss", &x->loss },
			{ "lr", &x->lr },     { "net", &x->net },	  { "suggested", &x->suggested } };

	if (!strcmp(name, "event"))
		return take_string(j, x->event, sizeof(x->event));
	for (size_t i = 0; i < MOKA_COUNT(numbers); i++)
		if (!strcmp(name, numbers[i].name))
			return take_number(j, numbers[i].to);
	if (!strcmp(name, "outputs")) {
		x->outputs = *j;
		if (!take(&x->outputs, '{'))
			x->outputs.p = NULL;
	}
	return skip_value(j, 0);
}

static void add_outputs(struct cli_call *c, struct run_log *l, const struct line *x)
{
	struct json j = x->outputs;
	char name[1200];
	double v;

	while (j.p && take_string(&j, name, sizeof(name)) && take(&j, ':') && take_number(&j, &v)) {
		add_point(c, l, isfinite(x->net) && x->net >= 0 && x->net < 1000 ? (int)x->net : 0, name, x->iter,
			  x->seconds, v);
		if (!take(&j, ','))
			break;
	}
}

static bool read_json(struct cli_call *c, struct run_log *l, const char *p, const char *end)
{
	struct line x = { .iter = NAN, .seconds = NAN, .loss = NAN, .lr = NAN, .suggested = NAN };
	struct json j = { p, end };
	char name[64];

	if (!take(&j, '{'))
		return false;
	do {
		if (!take_string(&j, name, sizeof(name)) || !take(&j, ':') || !read_member(&j, &x, name))
			return false;
	} while (take(&j, ','));
	if (!take(&j, '}'))
		return false;
	if (!strcmp(x.event, "train")) {
		add_point(c, l, -1, "loss", x.iter, x.seconds, x.loss);
		add_point(c, l, -1, "lr", x.iter, x.seconds, x.lr);
	} else if (!strcmp(x.event, "test")) {
		add_outputs(c, l, &x);
	} else if (!strcmp(x.event, "find-lr")) {
		l->suggested = x.suggested;
	}
	return true;
}

/* ---- Caffe's log ------------------------------------------------------------------------------------------ */

struct caffe_state {
	double iter, start, seconds;
	int net;
};

/* "I1124 21:00:03.250000 ..." -> seconds since midnight of the month's first day; NAN: no such prefix. */
static double glog_time(const char *line)
{
	int month, day, h, m;
	double s;

	if (sscanf(line, "%*1[IWEF]%2d%2d %2d:%2d:%lf", &month, &day, &h, &m, &s) != 5)
		return NAN;
	return ((month * 31.0 + day) * 24 + h) * 3600 + m * 60 + s;
}

static bool read_caffe(struct cli_call *c, struct run_log *l, const char *line, struct caffe_state *s)
{
	double t = glog_time(line), v;
	const char *at;
	char name[256];
	int net;

	if (!isnan(t)) {
		if (isnan(s->start))
			s->start = t;
		s->seconds = t - s->start;
	}
	at = strstr(line, "Iteration ");
	if (at && sscanf(at, "Iteration %lf", &v) == 1) {
		s->iter = v;
		if (sscanf(at, "Iteration %*f, Testing net (#%d)", &net) == 1 && net >= 0 && net < 1000)
			s->net = net;
		if ((at = strstr(line, ", loss = ")) && sscanf(at, ", loss = %lf", &v) == 1)
			add_point(c, l, -1, "loss", s->iter, s->seconds, v);
		if ((at = strstr(line, ", lr = ")) && sscanf(at, ", lr = %lf", &v) == 1)
			add_point(c, l, -1, "lr", s->iter, s->seconds, v);
		return true;
	}
	at = strstr(line, "Test net output #");
	if (at && sscanf(at, "Test net output #%*d: %255s = %lf", name, &v) == 2)
		add_point(c, l, s->net, name, s->iter, s->seconds, v);
	return !isnan(t);
}

/* ---- a file -------------------------------------------------------------------------------------------------- */

static void read_lines(struct cli_call *c, struct run_log *l, const char *p, const char *end)
{
	struct caffe_state s = { .iter = NAN, .start = NAN, .seconds = NAN };

	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		char line[2048];
		size_t n;

		stop = stop ? stop : end;
		n = MOKA_MIN((size_t)(stop - p), sizeof(line) - 1);
		memcpy(line, p, n);
		line[n] = 0;
		if (line[strspn(line, " \t\r")] &&
		    !(line[0] == '{' ? read_json(c, l, p, stop) : read_caffe(c, l, line, &s)))
			l->bad_lines++;
		p = stop + (stop < end);
	}
}

int run_log_read(struct cli_call *c, struct run_log *l, const char *path)
{
	struct moka_error err = { 0 };
	struct moka_file file;

	*l = (struct run_log){ .path = path, .suggested = NAN };
	if (moka_file_open(&file, path, &err))
		return cli_fail_error(c, &err);
	if (file.size)
		read_lines(c, l, (const char *)file.data, (const char *)file.data + file.size);
	moka_file_release(&file);
	if (!l->n_curves)
		return cli_fail(c, "give it the file that `moka train --log run.jsonl` writes, or a log of Caffe's",
				"'%s' holds no iteration of a run", path);
	if (l->bad_lines > 1)
		cli_warn(c, "'%s': %zu lines are neither JSON of a run nor Caffe's log, and are left out", path,
			 l->bad_lines);
	return CLI_OK;
}

void run_log_release(struct run_log *l)
{
	for (int i = 0; i < l->n_curves; i++) {
		free(l->curves[i].iter);
		free(l->curves[i].seconds);
		free(l->curves[i].value);
	}
	free(l->curves);
	memset(l, 0, sizeof(*l));
}

const struct run_curve *run_log_curve(const struct run_log *l, int net, const char *name)
{
	for (int i = 0; i < l->n_curves; i++)
		if (l->curves[i].net == net && !strcmp(l->curves[i].name, name))
			return &l->curves[i];
	return NULL;
}
