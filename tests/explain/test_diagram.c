/*
 * The diagram holds for any net: no line wider than the terminal, every box whole, the same drawing each time, and an
 * answer in time for nets of any form.
 */
#include "explain/internal.h"
#include "t.h"

#include <fts.h>
#include <stdlib.h>
#include <string.h>

/* ---- nets ------------------------------------------------------------------------------------------------- */

struct drawn {
	struct moka_findings findings;
	struct moka_model *model;
	struct moka_net *net;
	struct moka_buf out;
};

static bool build(struct drawn *d, const char *name, const char *text, size_t size)
{
	static const struct moka_net_options no = { .phase = MOKA_TEST };
	struct moka_model_options mo = { .expect = MOKA_MODEL_NET };

	*d = (struct drawn){ 0 };
	moka_findings_init(&d->findings);
	moka_buf_init(&d->out, 0);
	return !moka_model_parse(&d->model, name, text, size, &moka_layer_schema, &mo, &d->findings) &&
	       d->model->kind == MOKA_MODEL_NET && !moka_net_build(&d->net, d->model, &no, &d->findings);
}

static void release(struct drawn *d)
{
	moka_buf_release(&d->out);
	moka_net_free(d->net);
	moka_model_free(d->model);
	moka_findings_release(&d->findings);
}

static void draw(struct drawn *d, int width)
{
	struct moka_explain_options o = { .width = width };

	moka_buf_release(&d->out);
	moka_explain_diagram(d->net, &o, &d->out);
	T_FALSE(d->out.failed);
}

static void add_layer(struct moka_buf *b, const char *type, const char *top, int n_bottoms, const char *const *bottoms)
{
	moka_buf_printf(b, "layer { name: \"%s\" type: \"%s\" top: \"%s\"", top, type, top);
	for (int i = 0; i < n_bottoms; i++)
		moka_buf_printf(b, " bottom: \"%s\"", bottoms[i]);
	moka_buf_puts(b, " }\n");
}

/*
 * ---- looking at a drawing
 * ----------------------------------------------------------------------------------------
 */

static int widest_line(const char *s)
{
	int widest = 0, columns = 0;

	while (*s) {
		if (*s == '\n') {
			columns = 0;
			s++;
			continue;
		}
		columns += moka__cell_columns(moka__cell_next(&s));
		widest = MOKA_MAX(widest, columns);
	}
	return widest;
}

static void check(struct drawn *d, const char *name)
{
	static const int widths[] = { 60, 79, 100, 200 };

	for (size_t i = 0; i < MOKA_COUNT(widths); i++) {
		draw(d, widths[i]);
		if (!d->out.len)
			continue;
		if (widest_line(d->out.data) > widths[i])
			print_error("%s: a line of %d columns in %d\n", name, widest_line(d->out.data), widths[i]);
		T_TRUE(widest_line(d->out.data) <= widths[i]);
	}
}

/*
 * ---- tests
 * ------------------------------------------------------------------------------------------------------------
 */

T_TEST(width_is_at_least_sixty)
{
	static const char text[] = "layer { name: \"a\" type: \"TanH\" bottom: \"x\" top: \"a\" }";
	struct drawn d;

	T_TRUE(build(&d, "x", text, sizeof(text) - 1));
	draw(&d, 1);
	T_HAS(d.out.data, "a  TanH");
	release(&d);
}

T_TEST(two_branches_join)
{
	static const char *const ab[] = { "a", "b" };
	struct moka_buf b;
	struct drawn d;

	moka_buf_init(&b, 0);
	add_layer(&b, "TanH", "a", 1, (const char *const[]){ "x" });
	add_layer(&b, "TanH", "b", 1, (const char *const[]){ "y" });
	add_layer(&b, "Concat", "c", 2, ab);
	T_TRUE(build(&d, "x", b.data, b.len));
	draw(&d, 80);
	T_STR(d.out.data, "   x  ?          y  ?\n"
			  "     │             │\n"
			  "┌────▼────┐   ┌────▼────┐\n"
			  "│ a  TanH │   │ b  TanH │\n"
			  "└────┬────┘   └────┬────┘\n"
			  "     │ a  ?        │ b  ?\n"
			  "     └──────┬──────┘\n"
			  "      ┌─────▼─────┐\n"
			  "      │ c  Concat │\n"
			  "      └─────┬─────┘\n"
			  "            ▼ c  ?\n");
	release(&d);
	moka_buf_release(&b);
}

T_TEST(the_same_each_time)
{
	struct moka_buf b;
	struct drawn d;
	char *first;

	moka_buf_init(&b, 0);
	for (int i = 0; i < 40; i++) {
		char top[16], one[16], two[16];

		snprintf(top, sizeof(top), "n%d", i);
		snprintf(one, sizeof(one), i > 0 ? "n%d" : "x", i - 1);
		snprintf(two, sizeof(two), i > 6 ? "n%d" : "y", i * 7 % (i > 0 ? i : 1));
		add_layer(&b, "Eltwise", top, 2, (const char *const[]){ one, two });
	}
	T_TRUE(build(&d, "x", b.data, b.len));
	draw(&d, 100);
	first = strdup(d.out.data);
	draw(&d, 100);
	T_STR(d.out.data, first);
	free(first);
	check(&d, "mesh");
	release(&d);
	moka_buf_release(&b);
}

/* A long way ends in a sign, and the sign stands where it goes on. */
T_TEST(references_have_two_ends)
{
	struct moka_buf b;
	struct drawn d;
	char top[16], last[16] = "x";
	static const char *const far[] = { "n0", "n59", "n30", "n10", "n20" };

	moka_buf_init(&b, 0);
	for (int i = 0; i < 60; i++) {
		snprintf(top, sizeof(top), "n%d", i);
		add_layer(&b, i % 2 ? "TanH" : "Sigmoid", top, 1, (const char *const[]){ last });
		memcpy(last, top, sizeof(last));
	}
	add_layer(&b, "Concat", "all", 5, far);
	T_TRUE(build(&d, "x", b.data, b.len));
	draw(&d, 100);
	T_HAS(d.out.data, "→ ① all");
	T_HAS(d.out.data, "① ← n0, n59, n30, n10, n20");
	release(&d);
	moka_buf_release(&b);
}

/* Forms that would be quadratic, or as wide as the net is long, if nobody took care. */
enum form { CHAIN, RESIDUAL, STAR, FAN, INPUTS, ALONE, IN_PLACE };

static void make_form(struct moka_buf *b, enum form form, int n)
{
	moka_buf_init(b, 0);
	if (form == FAN || form == INPUTS) {
		moka_buf_printf(b, "layer { name: \"f\" type: \"%s\" %s: \"x\"", form == FAN ? "Slice" : "Concat",
				form == FAN ? "bottom" : "top");
		for (int i = 0; i < n; i++)
			moka_buf_printf(b, " %s: \"t%d\"", form == FAN ? "top" : "bottom", i);
		moka_buf_puts(b, " }\n");
		return;
	}
	for (int i = 0; i < n; i++) {
		char last[16], top[16];

		snprintf(top, sizeof(top), form == IN_PLACE ? "x" : "n%d", i);
		snprintf(last, sizeof(last),
			 form == STAR || form == IN_PLACE || !i ? "x"
			 : form == ALONE			? "y%d"
								: "n%d",
			 form == ALONE ? i : i - 1);
		if (form == RESIDUAL && i % 2) {
			char before[16];

			snprintf(before, sizeof(before), i > 1 ? "n%d" : "x", i - 2);
			add_layer(b, "Eltwise", top, 2, (const char *const[]){ before, last });
		} else {
			add_layer(b, form == IN_PLACE ? "ReLU" : "TanH", top, 1, (const char *const[]){ last });
		}
	}
}

T_TEST(nets_of_any_form)
{
	static const struct {
		enum form form;
		int n;
	} forms[] = {
		{ CHAIN, 20000 }, { RESIDUAL, 20000 }, { STAR, 20000 }, { FAN, 2000 }, { INPUTS, 20000 },
		{ ALONE, 2000 },  { IN_PLACE, 20000 }, { STAR, 1 },	{ STAR, 5 },   { STAR, 12 },
		{ FAN, 3 },	  { FAN, 17 },	       { INPUTS, 9 },
	};

	for (size_t i = 0; i < MOKA_COUNT(forms); i++) {
		struct moka_buf b;
		struct drawn d;
		double start;

		make_form(&b, forms[i].form, forms[i].n);
		T_TRUE(build(&d, "form", b.data, b.len));
		start = moka_now();
		draw(&d, 60);
		T_TRUE(moka_now() - start < 30); /* a second or two under sanitizers; minutes if it were quadratic */
		T_TRUE(d.out.len > 0 && widest_line(d.out.data) <= 60);
		release(&d);
		moka_buf_release(&b);
	}
}

static bool is_net(const FTSENT *e)
{
	return e->fts_info == FTS_F && e->fts_namelen > 9 && !strcmp(e->fts_name + e->fts_namelen - 9, ".prototxt");
}

/* All nets that lie about. Every fifth of the many, so that it takes seconds. */
T_TEST(published_nets_fit_the_width)
{
	const char *shared = t_shared();
	char nets[4096], models[4096], many[4096];
	char *roots[] = { nets, models, many, NULL };
	int seen = 0, count = 0;

	if (!shared)
		T_SKIP("no ../shared");
	snprintf(nets, sizeof(nets), "%s/nets", shared);
	snprintf(models, sizeof(models), "%s/models", shared);
	snprintf(many, sizeof(many), "%s/prototxt", shared);
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

	T_TRUE(walk != NULL);
	for (FTSENT *e; (e = fts_read(walk));) {
		struct moka_file f;
		struct drawn d;

		if (!is_net(e) || (!strncmp(e->fts_path, many, strlen(many)) && seen++ % 5))
			continue;
		if (moka_file_open(&f, e->fts_path, NULL))
			continue;
		if (build(&d, e->fts_path, (const char *)f.data, f.size)) {
			check(&d, e->fts_path);
			count++;
		}
		release(&d);
		moka_file_release(&f);
	}
	fts_close(walk);
	T_TRUE(count > 8);
}

static const struct CMUnitTest tests[] = {
	T_CASE(width_is_at_least_sixty),  T_CASE(two_branches_join), T_CASE(the_same_each_time),
	T_CASE(references_have_two_ends), T_CASE(nets_of_any_form),  T_CASE(published_nets_fit_the_width),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
