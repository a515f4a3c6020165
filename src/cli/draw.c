/*
 * moka draw - a picture of a net: `explain` with a picture as its form. Stands in for Caffe's draw_net.py, and like it
 * takes the picture's file as the second word.
 */
#include "cli.h"

static const struct cli_option draw_options[] = {
	{ "weights", 'w', "FILE", "weights to check against the net; repeat for several", CLI_REPEAT },
	CLI_OPTIONS_NET("which phase's net (default test)"),
	{ "batch", 0, "N", "first dimension of every input", 0 },
	{ "format", 0, "FORM", "svg, png, dot or html (default: by the ending of the picture's name, else svg)", 0 },
	{ "output", 'o', "FILE", "the picture's file (default: standard output)", 0 },
	{ "strict", 0, NULL, "unknown fields and layer types are errors", 0 },
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

static int draw_run(struct cli_call *c)
{
	if (c->n_words == 2) {
		if (cli_has(c, "output"))
			return cli_usage(c, "the picture's file is given twice: '%s' and -o %s", c->words[1],
					 cli_get(c, "output"));
		for (const struct cli_option *o = draw_options; o->name; o++)
			if (o->letter == 'o')
				c->values[c->n_values++] = (struct cli_value){ o, c->words[1] };
	}
	return cli_explain(c, CLI_FORM_SVG);
}

const struct cli_command cli_command_draw = {
	.name = "draw",
	.summary = "a picture of a net (svg, png, dot, html)",
	.usage = "MODEL [PICTURE] [options]",
	.about =
		"The same as 'moka explain MODEL --format svg'; the ending of PICTURE says its form. Graphviz draws svg and png.",
	.examples = "moka draw train_val.prototxt net.png --phase train\nmoka draw deploy.prototxt > net.svg\n",
	.options = draw_options,
	.min_words = 1,
	.max_words = 2,
	.run = draw_run,
};
