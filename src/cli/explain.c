/*
 * moka explain - what is this model? Text for the terminal, JSON, or a picture; draw.c is another name for the picture.
 */
#include "cli.h"
#include "explain/explain.h"

#include <string.h>
#include <unistd.h>

/* in the order of enum cli_form */
static const char *const forms[] = { "text", "json", "dot", "svg", "png", "html", NULL };

/* --format, else what the ending of -o says, else `otherwise`. */
static bool choose_form(const struct cli_call *c, const char *out, int otherwise, int *form)
{
	static const struct {
		const char *ending;
		enum cli_form form;
	} endings[] = {
		{ ".json", CLI_FORM_JSON }, { ".dot", CLI_FORM_DOT },  { ".gv", CLI_FORM_DOT },
		{ ".svg", CLI_FORM_SVG },   { ".png", CLI_FORM_PNG },  { ".html", CLI_FORM_HTML },
		{ ".htm", CLI_FORM_HTML },  { ".txt", CLI_FORM_TEXT },
	};

	for (size_t i = 0; out && i < MOKA_COUNT(endings); i++)
		if (moka_has_suffix(out, endings[i].ending))
			otherwise = endings[i].form;
	return cli_choice(c, "format", forms, otherwise, form);
}

/* The picture inside the page; a page without one is still a page. */
static void make_html(const struct cli_call *c, const struct cli_net *n, const struct moka_explain_options *eo,
		      struct moka_buf *out)
{
	struct moka_buf dot, svg;
	struct moka_error err = { 0 };
	const char *start;

	moka_buf_init(&dot, 0);
	moka_buf_init(&svg, 0);
	moka_explain_dot(n->net, &dot);
	if (cli_graphviz(&dot, "svg", &svg, &err))
		cli_note(c, "the page has no picture: %s", err.message);
	start = svg.len ? strstr(svg.data, "<svg") : NULL; /* without the XML prologue, which has no place in a page */
	moka_explain_html(n->net, &n->findings, eo, start, out);
	moka_buf_release(&dot);
	moka_buf_release(&svg);
}

static int make_picture(const struct cli_call *c, const struct cli_net *n, const char *form, struct moka_buf *out)
{
	struct moka_buf dot;
	struct moka_error err = { 0 };
	enum moka_status status;

	moka_buf_init(&dot, 0);
	moka_explain_dot(n->net, &dot);
	status = cli_graphviz(&dot, form, out, &err);
	moka_buf_release(&dot);
	return status ? cli_fail_error(c, &err) : CLI_OK;
}

/* --plan: in text the plan alone, in JSON beside everything else. */
static int make_plan(const struct cli_call *c, const struct cli_net *n, enum cli_form form, struct moka_buf *out)
{
	struct moka_plan *p = NULL;
	struct moka_error err = { 0 };

	if (form != CLI_FORM_TEXT && form != CLI_FORM_JSON)
		return cli_usage(c, "a plan is text or json, not %s", forms[form]);
	if (moka_plan_new(&p, n->net, &err))
		return cli_fail_error(c, &err);
	if (form == CLI_FORM_JSON)
		moka_explain_json_plan(n->net, &n->findings, p, out);
	else if (p)
		moka_explain_plan(n->net, p, out);
	else
		moka_buf_puts(out,
			      "This net is run layer by layer: a shape isn't known, a layer can't be run, or a layer "
			      "works in place on an input.\n");
	moka_plan_free(p);
	return CLI_OK;
}

static int make(const struct cli_call *c, const struct cli_net *n, enum cli_form form, struct moka_buf *out)
{
	const char *path = cli_get(c, "output");
	bool to_file = path && strcmp(path, "-");
	struct moka_explain_options eo = {
		.width = cli_width(),
		.colour = !to_file && cli_colour(stdout),
		.ascii = !to_file && !cli_utf8(),
		.solver = n->file->kind == MOKA_MODEL_SOLVER ? n->file : NULL,
	};

	if (!strcmp(c->command->name, "explain") && cli_switch(c, "plan", false))
		return make_plan(c, n, form, out);
	switch (form) {
	case CLI_FORM_TEXT:
		moka_explain_text(n->net, &n->findings, &eo, out);
		return CLI_OK;
	case CLI_FORM_JSON:
		moka_explain_json(n->net, &n->findings, out);
		return CLI_OK;
	case CLI_FORM_DOT:
		moka_explain_dot(n->net, out);
		return CLI_OK;
	case CLI_FORM_HTML:
		eo.ascii = false;
		make_html(c, n, &eo, out);
		return CLI_OK;
	default:
		return make_picture(c, n, forms[form], out);
	}
}

/* Text, JSON and the page hold the findings; beside a picture they go to standard error. */
static int show(struct cli_call *c, struct cli_net *n, enum cli_form form)
{
	struct moka_buf out;
	int status;

	moka_findings_sort(&n->findings);
	moka_buf_init(&out, 0);
	status = make(c, n, form, &out);
	if (!status)
		status = cli_output(c, cli_get(c, "output"), &out);
	moka_buf_release(&out);
	if (form == CLI_FORM_DOT || form == CLI_FORM_SVG || form == CLI_FORM_PNG)
		cli_report(c, &n->findings, MOKA_ERROR);
	return status ? status : n->findings.errors ? CLI_FAILED : CLI_OK;
}

/* A solver without its net (it is on its author's disk): the schedule can be read all the same. */
static void show_solver(const struct cli_call *c, struct cli_net *n)
{
	const char *path = cli_get(c, "output");
	const bool to_file = path && strcmp(path, "-");
	const struct moka_explain_options eo = { .width = cli_width(),
						 .colour = !to_file && cli_colour(stdout),
						 .ascii = !to_file && !cli_utf8(),
						 .solver = n->file };
	struct moka_buf out;

	moka_findings_sort(&n->findings);
	moka_buf_init(&out, 0);
	moka_explain_solver(&n->findings, &eo, &out);
	cli_output(c, path, &out);
	moka_buf_release(&out);
}

int cli_explain(struct cli_call *c, enum cli_form otherwise)
{
	const char *path = c->words[0], *out = cli_get(c, "output");
	struct moka_net_options o = { 0 };
	struct cli_net n = { 0 };
	int form, status = CLI_FAILED;

	if (!choose_form(c, out, otherwise, &form) || !cli_net_options(c, MOKA_TEST, &o))
		return CLI_USAGE;
	if (form == CLI_FORM_PNG && !out && isatty(STDOUT_FILENO))
		return cli_usage(c, "a png picture can't be shown in a terminal: name a file with -o FILE");
	if (!cli_open_net(c, path, &o, &n) && form == CLI_FORM_TEXT && n.file && !n.model &&
	    n.file->kind == MOKA_MODEL_SOLVER)
		show_solver(c, &n);
	else if (!n.net)
		cli_report(c, &n.findings, MOKA_NOTE);
	else if (cli_load_weights(c, &n, o.strict))
		status = show(c, &n, form);
	cli_close(&n);
	return status;
}

static int explain_run(struct cli_call *c)
{
	return cli_explain(c, CLI_FORM_TEXT);
}

static const struct cli_option explain_options[] = {
	{ "weights", 'w', "FILE", "weights to check against the net; repeat for several", CLI_REPEAT },
	CLI_OPTIONS_NET("which phase's net (default test)"),
	{ "batch", 0, "N", "first dimension of every input", 0 },
	CLI_OPTION_FORMAT("FORM"),
	{ "output", 'o', "FILE", "write to FILE; its ending says the form where --format does not", 0 },
	{ "plan", 0, NULL, "how it runs for inference: layers joined, layouts, algorithms, memory", 0 },
	{ "strict", 0, NULL, "unknown fields and layer types are errors", 0 },
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_explain = {
	.name = "explain",
	.summary = "what is this model? diagram, shapes, parameters, sharing, cost",
	.usage = "MODEL [-w WEIGHTS] [--input BLOB=SHAPE]... [options]",
	.about =
		"MODEL is a net in any of Caffe's syntaxes, old or new (.prototxt text or .caffemodel binary), or a solver file,\n"
		"whose net is explained with its schedule. Fragments are welcome: a bottom that nothing produces is an input,\n"
		"and a shape that isn't known prints as '?'; give it with --input to see what follows from it.\n"
		"\n"
		"FORM is text, json, dot, svg, png or html. Pictures (svg, png, and the one in html) are drawn by Graphviz.\n"
		"The exit status is 1 where the model has errors; it is explained as far as can be all the same.",
	.examples = "moka explain deploy.prototxt\n"
		    "moka explain fragment.prototxt --input data_a=1x3x8x8 --input data_b=1x3x8x8\n"
		    "moka explain solver.prototxt --phase train\n"
		    "moka explain deploy.prototxt --plan\n"
		    "moka explain deploy.prototxt -o net.svg\n",
	.options = explain_options,
	.min_words = 1,
	.max_words = 1,
	.run = explain_run,
};
