/*
 * text.c - everything about a net, for a terminal: what it is, diagram, layers, data blobs, parameter blobs,
 * sharing, solver, findings.
 */
#include "internal.h"

#include <string.h>

/* Says only what this diagram makes one ask. */
static void say_how_to_read(struct moka__page *p, const struct moka_buf *diagram)
{
	bool refs = diagram->len && (strstr(diagram->data, "→ ①") || strstr(diagram->data, "> (1)"));
	bool plus = diagram->len && strstr(diagram->data, " + ");

	moka__page_para(p, "Boxes are layers, lines are data blobs with their shapes; data run down.%s%s",
			plus ? " What follows a + works in place on what stands before it." : "",
			refs ? (p->ascii ? " A line that ends in (1) goes on where (1) <- stands."
					 : " A line that ends in → ① goes on where ① ← stands.")
			     : "");
}

static void put_diagram(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o)
{
	struct moka_buf b;

	moka_buf_init(&b, 0);
	moka_explain_diagram(n, o, &b);
	moka__page_section(p, "Diagram");
	say_how_to_read(p, &b);
	moka_buf_putc(p->out, '\n');
	if (b.len)
		moka_buf_add(p->out, b.data, b.len);
	p->out->failed |= b.failed;
	moka_buf_release(&b);
}

static void put_findings(struct moka__page *p, const struct moka_findings *f, const struct moka_explain_options *o)
{
	if (!f || !f->n)
		return;
	moka__page_section(p, "Findings");
	for (size_t i = 0; i < f->n; i++)
		moka_finding_print(&f->items[i], o && o->colour, p->out);
	if (f->dropped)
		moka_buf_printf(p->out, "... and %zu more\n", f->dropped);
}

void moka_explain_solver(const struct moka_findings *f, const struct moka_explain_options *o, struct moka_buf *out)
{
	struct moka__page p;

	moka__page_begin(&p, o, false, out);
	moka__schedule(&p, NULL, o);
	put_findings(&p, f, o);
	moka__page_end(&p);
}

void moka_explain_text(const struct moka_net *n, const struct moka_findings *f, const struct moka_explain_options *o,
		       struct moka_buf *out)
{
	struct moka__page p;

	moka__page_begin(&p, o, false, out);
	moka__summary(&p, n, f, o);
	if (n->n_layers) {
		put_diagram(&p, n, o);
		moka__table_layers(&p, n);
		moka__table_data(&p, n);
		moka__table_params(&p, n, o);
		moka__sharing(&p, n, o);
	}
	moka__schedule(&p, n, o);
	put_findings(&p, f, o);
	moka__page_end(&p);
}
