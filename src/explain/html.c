/*
 * html.c - one page that needs nothing else: the picture that it is given (or the terminal's diagram), and what
 * text.c says, as tables.
 */
#include "internal.h"

#include <string.h>

static const char head[] = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";

static const char style[] =
	"</title>\n<style>\n"
	":root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --faint: #666; --line: #ddd; --band: #f6f6f4; --bad: #b00020; }\n"
	"@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #17181a; --faint: #9a9a9a; --line: #3a3b3e; "
	"--band: #1f2023; --bad: #ff8a80; } }\n"
	"body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; "
	"padding: 0 1em; }\n"
	"h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid var(--line); }\n"
	"pre, code, td, th { font-family: ui-monospace, monospace; font-size: 13px; }\n"
	"pre { overflow-x: auto; line-height: 1.2; } pre.formula { margin: 0 0 0 2em; line-height: 1.5; }\n"
	".wide { overflow-x: auto; } table { border-collapse: collapse; } td, th { padding: 2px 10px; text-align: left; "
	"white-space: nowrap; }\n"
	"th { border-bottom: 1px solid var(--ink); } tr:nth-child(even) td { background: var(--band); } .n { text-align: right; }\n"
	".item { margin: .3em 0 .3em 1em; } .picture { overflow: auto; background: #fff; border: 1px solid var(--line); "
	"padding: 1em; max-height: 90vh; }\n"
	".error { color: var(--bad); } details { margin: 1em 0; }\n"
	"</style>\n</head>\n<body>\n";

static void put_escaped(struct moka_buf *out, const char *s)
{
	while (*s) {
		const char *at = s;
		uint32_t c;

		if (*s == '\n') {
			moka_buf_putc(out, '\n');
			s++;
			continue;
		}
		c = moka__cell_next(&at);
		s = at;
		if (c == '<')
			moka_buf_puts(out, "&lt;");
		else if (c == '>')
			moka_buf_puts(out, "&gt;");
		else if (c == '&')
			moka_buf_puts(out, "&amp;");
		else
			moka__put_char(out, c);
	}
}

static void put_drawing(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o,
			bool folded)
{
	struct moka_explain_options plain = { .width = o && o->width > 100 ? o->width : 120,
					      .solver = o ? o->solver : NULL };
	struct moka_buf b;

	moka_buf_init(&b, 0);
	moka_explain_diagram(n, &plain, &b);
	if (folded)
		moka_buf_puts(p->out, "<details><summary>The same in characters</summary>\n");
	moka_buf_puts(p->out, "<pre>");
	if (b.len)
		put_escaped(p->out, b.data);
	moka_buf_puts(p->out, folded ? "</pre></details>\n" : "</pre>\n");
	p->out->failed |= b.failed;
	moka_buf_release(&b);
}

static void put_diagram(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o,
			const char *svg)
{
	moka__page_section(p, "Diagram");
	moka__page_para(
		p, "Boxes are layers, lines are data blobs with their shapes; data run down.%s",
		svg ? " Green layers have parameters, blue ones bring data, orange ones are losses, red ones are of a type that Moka does not "
		      "know; violet are parameters that layers share."
		    : "");
	if (svg) {
		moka_buf_puts(p->out, "<div class=\"picture\">\n");
		moka_buf_puts(p->out, svg);
		moka_buf_puts(p->out, "</div>\n");
	}
	put_drawing(p, n, o, svg != NULL);
}

static void put_findings(struct moka__page *p, const struct moka_findings *f)
{
	if (!f || !f->n)
		return;
	moka__page_section(p, "Findings");
	for (size_t i = 0; i < f->n; i++) {
		struct moka_buf b;

		moka_buf_init(&b, 0);
		moka_finding_print(&f->items[i], false, &b);
		moka_buf_printf(p->out, "<pre%s>", f->items[i].severity == MOKA_ERROR ? " class=\"error\"" : "");
		if (b.len)
			put_escaped(p->out, b.data);
		moka_buf_puts(p->out, "</pre>\n");
		moka_buf_release(&b);
	}
}

void moka_explain_html(const struct moka_net *n, const struct moka_findings *f, const struct moka_explain_options *o,
		       const char *svg, struct moka_buf *out)
{
	struct moka__page p;

	moka__page_begin(&p, o, true, out);
	moka_buf_puts(out, head);
	put_escaped(out, moka__net_name(n));
	moka_buf_puts(out, style);
	moka_buf_puts(out, "<h1>");
	put_escaped(out, moka__net_name(n));
	moka_buf_puts(out, "</h1>\n");
	moka__summary(&p, n, f, o);
	if (n->n_layers) {
		put_diagram(&p, n, o, svg);
		moka__table_layers(&p, n);
		moka__table_data(&p, n);
		moka__table_params(&p, n, o);
		moka__sharing(&p, n, o);
	}
	moka__schedule(&p, n, o);
	put_findings(&p, f);
	moka_buf_puts(out, "</body>\n</html>\n");
	moka__page_end(&p);
}
