/*
 * moka upgrade - an old net or solver in the current syntax. Also answers to upgrade_net_proto_text, upgrade_net_proto_binary and
 * upgrade_solver_proto_text, whose second word is the file to write.
 */
#include "cli.h"

#include <string.h>

/* Binary where the name asks for it. Caffe's tools know by their own names what they write. */
static bool to_binary(const struct cli_call *c, const char *out)
{
	if (c->as_caffe)
		return !strcmp(c->name, "upgrade_net_proto_binary");
	return out && (moka_has_suffix(out, ".caffemodel") || moka_has_suffix(out, ".binaryproto"));
}

static int write(const struct cli_call *c, const struct moka_msg *root, const char *out)
{
	struct moka_buf b;
	int status;

	moka_buf_init(&b, 0);
	if (!to_binary(c, out))
		moka_text_print(root, &b);
	else if (moka_wire_write_buf(root, &b))
		b.failed = true;
	status = cli_output(c, out, &b);
	moka_buf_release(&b);
	return status;
}

static bool was_upgraded(const struct moka_findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strncmp(f->items[i].code, "upgraded", 8))
			return true;
	return false;
}

static int upgrade_run(struct cli_call *c)
{
	const char *out = c->n_words > 1 ? c->words[1] : cli_get(c, "output");
	struct moka_model_options mo = { .expect = -1 };
	struct moka_findings f;
	struct moka_model *m = NULL;
	int status = CLI_FAILED;

	if (c->n_words > 1 && cli_has(c, "output"))
		return cli_usage(c, "the file to write is given twice: '%s' and -o %s", c->words[1],
				 cli_get(c, "output"));
	if (c->as_caffe) {
		if (!out)
			return cli_usage(c, "the file to write is missing: %s IN OUT", c->name);
		mo.expect = strcmp(c->name, "upgrade_solver_proto_text") ? MOKA_MODEL_NET : MOKA_MODEL_SOLVER;
	}
	moka_findings_init(&f);
	moka_model_open(&m, c->words[0], cli_schema(c), &mo, &f);
	if (cli_report(c, &f, MOKA_NOTE) && m) {
		if (!was_upgraded(&f))
			cli_note(c, "%s is in the current syntax already", c->words[0]);
		status = write(c, m->root, out);
	}
	moka_model_free(m);
	moka_findings_release(&f);
	return status;
}

static const struct cli_option upgrade_options[] = {
	{ "output", 'o', "OUT", "the file to write (default: standard output)", 0 },
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_upgrade = {
	.name = "upgrade",
	.summary = "an old net or solver in the current syntax",
	.usage = "MODEL [OUT] [options]",
	.about =
		"Reads V0 and V1 layers, input_dim, data transforms inside layers and solver_type, and writes what they are called today;\n"
		"says on standard error what was changed. Binary where OUT ends in .caffemodel, else text.",
	.examples = "moka upgrade old.prototxt new.prototxt\nmoka upgrade old_solver.prototxt | less\n",
	.options = upgrade_options,
	.min_words = 1,
	.max_words = 2,
	.run = upgrade_run,
};
