/*
 * main.c - the program: finds the command, gives it its words, shows help.
 *
 * The table of commands comes from the list in cli/meson.build, as that of the layers does: command_list.def holds
 * X(explain) X(check) ..., and each X names a `const struct cli_command cli_command_<x>` in <x>.c.
 *
 * The program also answers to the names of Caffe's tools (through links): `caffe` takes Caffe's own commands and flags, and each
 * of the other tools is a command of Moka.
 */
#include "cli.h"

#include <locale.h>
#include <signal.h>
#include <string.h>

#define X(name) extern const struct cli_command cli_command_##name;
#include "cli/command_list.def"
#undef X

#define X(name) &cli_command_##name,
static const struct cli_command *const commands[] = {
#include "cli/command_list.def"
	NULL
};
#undef X

/* Caffe's programs, by the name of the link, and the words that they mean here. */
static const struct alias {
	const char *program, *command, *subcommand;
} aliases[] = {
	{ "convert_imageset", "data", "images" },	  { "convert_annoset", "data", "images" },
	{ "convert_mnist_data", "data", "mnist" },	  { "convert_cifar_data", "data", "cifar" },
	{ "compute_image_mean", "data", "mean" },	  { "extract_features", "features", NULL },
	{ "upgrade_net_proto_text", "upgrade", NULL },	  { "upgrade_net_proto_binary", "upgrade", NULL },
	{ "upgrade_solver_proto_text", "upgrade", NULL },
};

/* What the program called caffe knows. */
static const char *const caffe_commands[] = { "train", "test", "time", "device_query" };

static const struct cli_command *find_command(const struct cli_command *const *table, const char *name)
{
	for (; *table; table++)
		if (!strcmp((*table)->name, name))
			return *table;
	return NULL;
}

/* ---- help ------------------------------------------------------------------------------------- */

static bool listed(const struct cli_command *k, bool as_caffe)
{
	if (!as_caffe)
		return true;
	for (size_t i = 0; i < MOKA_COUNT(caffe_commands); i++)
		if (!strcmp(k->name, caffe_commands[i]))
			return true;
	return false;
}

static void print_commands(const struct cli_command *const *table, bool as_caffe)
{
	for (; *table; table++)
		if (listed(*table, as_caffe))
			printf("  %-13s %s\n", (*table)->name, (*table)->summary);
}

static void program_help(bool as_caffe)
{
	if (as_caffe) {
		puts("usage: caffe COMMAND [flags]\n\nThis is Moka " MOKA_VERSION
		     ", which takes caffe's commands and flags.\n\ncommands:");
		print_commands(commands, true);
		puts("\n'caffe COMMAND --help' explains each. `moka` can do more: see 'moka --help'.");
		return;
	}
	puts("Moka: Caffe models, read, explained, checked, run and trained.\n\nusage: moka COMMAND [MODEL] [options]\n\ncommands:");
	print_commands(commands, false);
	puts("\n'moka COMMAND --help' explains each; 'moka --version' says which Moka this is."
	     "\n\ntry:\n  moka explain deploy.prototxt      what is this model?"
	     "\n  moka check train_val.prototxt     is it right?");
}

/* A usage text may hold several forms, one a line. */
static void print_usage(const char *name, const char *usage)
{
	const char *before = "usage: ";

	do {
		int n = (int)strcspn(usage, "\n");
		printf("%s%s %.*s\n", before, name, n, usage);
		before = "       ";
		usage += n + (usage[n] == '\n');
	} while (*usage);
}

static void print_options(const struct cli_option *options)
{
	puts("\noptions:");
	for (const struct cli_option *o = options; o && o->name; o++) {
		char left[96];
		if (o->flags & CLI_HIDDEN)
			continue;
		if (o->letter)
			snprintf(left, sizeof(left), "-%c, --%s%s%s", o->letter, o->name, o->value ? " " : "",
				 o->value ? o->value : "");
		else
			snprintf(left, sizeof(left), "    --%s%s%s", o->name, o->value ? " " : "",
				 o->value ? o->value : "");
		if (strlen(left) > 27)
			printf("  %s\n%31s%s\n", left, "", o->help);
		else
			printf("  %-28s %s\n", left, o->help);
	}
	puts("  -h, --help                   this text");
}

/* Lines of a text, indented. */
static void print_indented(const char *text)
{
	while (*text) {
		int n = (int)strcspn(text, "\n");
		printf("  %.*s\n", n, text);
		text += n + (text[n] == '\n');
	}
}

static int command_help(const struct cli_call *c)
{
	const struct cli_command *k = c->command;

	printf("%s: %s\n\n", c->name, k->summary);
	print_usage(c->name, k->usage);
	if (k->about)
		printf("\n%s\n", k->about);
	if (k->subcommands) {
		puts("\ncommands:");
		print_commands(k->subcommands, false);
		printf("\n'%s COMMAND --help' explains each.\n", c->name);
	} else {
		print_options(k->options);
	}
	if (k->examples) {
		puts("\nexamples:");
		print_indented(k->examples);
	}
	return cli_flush(c);
}

/* ---- dispatch --------------------------------------------------------------------------------- */

static int unknown_command(const struct cli_call *c, const struct cli_command *const *table, const char *word)
{
	struct moka_nearest nearest = { 0 };

	for (; *table; table++)
		if (listed(*table, c->as_caffe))
			moka_nearest_try(&nearest, word, (*table)->name);
	if (nearest.best)
		return cli_usage(c, "there is no command '%s'; did you mean '%s'?", word, nearest.best);
	return cli_usage(c, "there is no command '%s'", word);
}

static int parse_and_run(struct cli_call *c, int n, char **words)
{
	int status = cli_parse(c, n, words);

	if (status)
		return status;
	if (c->help)
		return command_help(c);
	status = cli_load_plugins(c);
	return status ? status : c->command->run(c);
}

static int run_command(struct cli_call *c, int n, char **words)
{
	c->name = moka_arena_printf(&c->arena, "%s %s", c->name, c->command->name);
	if (!c->name)
		return CLI_FAILED;
	if (c->command->subcommands) {
		const struct cli_command *const *table = c->command->subcommands;
		if (n && (!strcmp(words[0], "--help") || !strcmp(words[0], "-h") || !strcmp(words[0], "-help")))
			return command_help(c);
		if (!n)
			return cli_usage(c, "which of its commands? %s", c->command->usage);
		c->command = find_command(table, words[0]);
		if (!c->command)
			return unknown_command(c, table, words[0]);
		return run_command(c, n - 1, words + 1);
	}
	return parse_and_run(c, n, words);
}

/* `moka help`, `moka help run`, `moka help data images` */
static int help(struct cli_call *c, int n, char **words)
{
	const struct cli_command *const *table = commands;

	for (int i = 0; i < n && table; i++) {
		const struct cli_command *k = find_command(table, words[i]);
		if (!k)
			return unknown_command(c, table, words[i]);
		c->command = k;
		c->name = moka_arena_printf(&c->arena, "%s %s", c->name, k->name);
		table = k->subcommands;
	}
	if (c->command)
		return command_help(c);
	program_help(c->as_caffe);
	return cli_flush(c);
}

/* The first word that is no flag is the command: gflags let flags stand before it (`caffe -solver x train`). */
static int dispatch(struct cli_call *c, int n, char **words)
{
	const char *word = n ? words[0] : NULL;

	if (!word) {
		program_help(c->as_caffe);
		cli_flush(c);
		return CLI_USAGE;
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "-help") || !strcmp(word, "help"))
		return help(c, !strcmp(word, "help") ? n - 1 : 0, words + 1);
	if (!strcmp(word, "--version") || !strcmp(word, "-version") || !strcmp(word, "version")) {
		puts("moka " MOKA_VERSION);
		return cli_flush(c);
	}
	if (word[0] == '-' && c->as_caffe && words[n - 1][0] != '-' && find_command(commands, words[n - 1])) {
		c->command = find_command(commands, words[n - 1]);
		return run_command(c, n - 1, words);
	}
	c->command = find_command(commands, word);
	if (word[0] == '-')
		return cli_usage(c, "'%s': the command comes first, as in '%s explain MODEL'", word, c->name);
	if (!c->command || !listed(c->command, c->as_caffe))
		return unknown_command(c, commands, word);
	return run_command(c, n - 1, words + 1);
}

/* Called through the name of one of Caffe's tools: true, and *status is what it gave. */
static bool run_alias(struct cli_call *c, const char *program, int n, char **words, int *status)
{
	for (size_t i = 0; i < MOKA_COUNT(aliases); i++) {
		const struct alias *a = &aliases[i];
		if (strcmp(program, a->program))
			continue;
		c->name = program;
		c->as_caffe = true;
		c->command = find_command(commands, a->command);
		if (c->command && a->subcommand)
			c->command =
				c->command->subcommands ? find_command(c->command->subcommands, a->subcommand) : NULL;
		if (!c->command) {
			*status = cli_fail(c, NULL, "this Moka does not have the command '%s'", a->command);
			return true;
		}
		*status = parse_and_run(c, n, words);
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct cli_call c = { .name = "moka" };
	const char *slash = argc ? strrchr(argv[0], '/') : NULL, *program = slash ? slash + 1 : argc ? argv[0] : "moka";
	int n = argc ? argc - 1 : 0, status;

	/* Only to learn whether the terminal speaks UTF-8: numbers are written and read the C way everywhere. */
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN); /* a reader that has left is an error of a write, not a death */
	signal(SIGXFSZ, SIG_IGN); /* likewise a file-size limit */
	moka_arena_init(&c.arena, 0);
	if (!strcmp(program, "caffe")) {
		c.name = "caffe";
		c.as_caffe = true;
	}
	if (!run_alias(&c, program, n, argv + 1, &status))
		status = dispatch(&c, n, argv + 1);
	cli_call_release(&c);
	return status;
}
