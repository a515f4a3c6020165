/*
 * moka layers - the layer types that Moka knows, and the fields of each: printed from the tables that the readers use,
 * so it can't be out of date.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_TYPES 1024

static int by_name(const void *a, const void *b)
{
	const struct moka_layer_type *const *x = a, *const *y = b;

	return strcasecmp((*x)->schema.type, (*y)->schema.type);
}

static int sorted_types(const struct moka_registry *r, const struct moka_layer_type **out)
{
	const struct moka_layer_type *const *all = moka_registry_types(r);
	int n = 0;

	while (n < MAX_TYPES && all[n]) {
		out[n] = all[n];
		n++;
	}
	qsort(out, (size_t)n, sizeof(*out), by_name);
	return n;
}

/* ---- all of them ------------------------------------------------------------------------------ */

static int print_list(const struct cli_call *c)
{
	const struct moka_layer_type *types[MAX_TYPES];
	int n = sorted_types(&c->registry, types), unready = 0, width = 0;

	for (int i = 0; i < n; i++)
		width = MOKA_MAX(width, (int)strlen(types[i]->schema.type));
	for (int i = 0; i < n; i++) {
		const struct moka_layer_type *t = types[i];
		printf("%c %-*s  %s", t->forward ? ' ' : '*', width, t->schema.type, t->doc ? t->doc : "");
		if (t->schema.fork)
			printf(" (%s)", t->schema.fork);
		putchar('\n');
		unready += !t->forward;
	}
	printf("\n%d types. 'moka layers TYPE' lists a type's fields.\n", n);
	if (unready)
		puts("* read, drawn and counted; it can't be run yet");
	return cli_flush(c);
}

/* ---- one --------------------------------------------------------------------------------------- */

static void print_kind(const struct moka_field *f)
{
	static const char *const names[] = { "int32", "int64", "uint32", "uint64", "bool",
					     "",      "float", "double", "string", "bytes" };

	if (f->label == MOKA_REPEATED || f->label == MOKA_PACKED)
		fputs("repeated ", stdout);
	if (f->kind == MOKA_ENUM) {
		for (const struct moka_enum_value *v = f->values; v && v->name; v++)
			printf("%s%s", v == f->values ? "" : "|", v->name);
	} else if (f->kind == MOKA_MESSAGE) {
		fputs(f->message ? f->message->name : "message", stdout);
	} else {
		fputs(names[f->kind], stdout);
	}
}

static void print_default(const struct moka_field *f)
{
	if (f->label == MOKA_REPEATED || f->label == MOKA_PACKED || f->kind == MOKA_MESSAGE || f->kind == MOKA_BYTES)
		return;
	if (f->kind == MOKA_STRING) {
		if (f->def_string)
			printf(", default \"%s\"", f->def_string);
		return;
	}
	if (f->kind == MOKA_BOOL) {
		printf(", default %s", f->def != 0 ? "true" : "false");
		return;
	}
	for (const struct moka_enum_value *v = f->kind == MOKA_ENUM ? f->values : NULL; v && v->name; v++) {
		if (v->value == (int)f->def) {
			printf(", default %s", v->name);
			return;
		}
	}
	printf(", default %g", f->def);
}

static void print_fields(const struct moka_message *m, int indent)
{
	for (const struct moka_field *f = m->fields; f && f->name; f++) {
		printf("%*s%s (", indent, "", f->name);
		print_kind(f);
		print_default(f);
		fputs(f->label == MOKA_REQUIRED ? ", required)" : ")", stdout);
		if (f->fork)
			printf(" [%s]", f->fork);
		putchar('\n');
		if (f->help && *f->help)
			printf("%*s%s\n", indent + 8, "", f->help);
	}
}

static void print_count(const char *what, int min, int max)
{
	if (max < 0)
		printf("  %s: %d or more\n", what, min);
	else if (min == max)
		printf("  %s: %d\n", what, min);
	else
		printf("  %s: %d to %d\n", what, min, max);
}

/* Messages that several types share are printed once, behind the type's own. */
static const struct moka_message *const shared_messages[] = { &moka_filler_message, &moka_blob_shape_message };

static bool is_shared(const struct moka_message *m)
{
	for (size_t i = 0; i < MOKA_COUNT(shared_messages); i++)
		if (m == shared_messages[i])
			return true;
	return false;
}

static void print_shared(const struct moka_message *m)
{
	const struct moka_message *const *shared = shared_messages;

	for (size_t i = 0; i < MOKA_COUNT(shared_messages); i++) {
		for (const struct moka_field *f = m->fields; f && f->name; f++) {
			if (f->message == shared[i]) {
				printf("\n%s:\n", shared[i]->name);
				print_fields(shared[i], 2);
				break;
			}
		}
	}
}

static void print_type(const struct moka_layer_type *t)
{
	const struct moka_schema_layer *s = &t->schema;

	printf("%s: %s\n", s->type, t->doc ? t->doc : "");
	if (s->fork)
		printf("  defined by: %s\n", s->fork);
	print_count("bottoms", t->min_bottom, t->max_bottom);
	print_count("tops", t->min_top, t->max_top);
	if (t->flags & MOKA_INPLACE)
		puts("  may work in place (top and bottom with one name)");
	if (t->flags & MOKA_LOSS)
		puts("  a loss: its first top has loss weight 1 unless the net says otherwise");
	if (s->v1_type)
		printf("  in old files: type: %s\n", s->v1_type);
	if (!t->forward)
		puts("  runs: not yet; it is read, drawn and counted");
	else if (!t->backward)
		puts("  runs: forward; no gradient flows through it");
	else
		puts("  runs: forward and backward");
	if (!s->param_name || !s->message) {
		puts("\nno settings of its own");
		return;
	}
	printf("\n%s {\n", s->param_name);
	print_fields(s->message, 2);
	puts("}");
	print_shared(s->message);
}

/* A name in any case, an old enum name, or the name of the settings finds the type too. */
static const struct moka_layer_type *find_type(const struct moka_registry *r, const char *name)
{
	const struct moka_layer_type *const *types = moka_registry_types(r), *t = moka_registry_find(r, name);

	for (int i = 0; !t && types[i]; i++) {
		const struct moka_schema_layer *s = &types[i]->schema;
		if (!strcasecmp(s->type, name) || (s->v1_type && !strcasecmp(s->v1_type, name)) ||
		    (s->param_name && !strcmp(s->param_name, name)))
			t = types[i];
	}
	return t;
}

/* ---- as a document: docs/layers.md (scripts/docs.sh) ------------------------------------------------ */

static void markdown_fields(const struct moka_message *m, const char *prefix, int depth)
{
	for (const struct moka_field *f = m->fields; f && f->name; f++) {
		char inner[256];
		printf("- `%s%s`: ", prefix, f->name);
		print_kind(f);
		print_default(f);
		if (f->label == MOKA_REQUIRED)
			fputs(", required", stdout);
		if (f->fork)
			printf(" (%s)", f->fork);
		if (f->help && *f->help)
			printf(" - %s", f->help);
		putchar('\n');
		if (f->kind != MOKA_MESSAGE || !f->message || depth > 4 || is_shared(f->message))
			continue;
		snprintf(inner, sizeof(inner), "%s%s.", prefix, f->name);
		markdown_fields(f->message, inner, depth + 1);
	}
}

static void markdown_count(const char *what, int min, int max)
{
	if (max < 0)
		printf("%d or more %ss", min, what);
	else if (min == max)
		printf("%d %s%s", min, what, min == 1 ? "" : "s");
	else
		printf("%d to %d %ss", min, max, what);
}

static void markdown_type(const struct moka_layer_type *t)
{
	const struct moka_schema_layer *s = &t->schema;

	printf("\n## %s\n\n%s.\n\n", s->type, t->doc ? t->doc : "");
	printf("Defined by %s. Takes ", s->fork ? s->fork : "BVLC Caffe");
	markdown_count("bottom", t->min_bottom, t->max_bottom);
	fputs(", makes ", stdout);
	if (t->flags & MOKA_SAME_BOTTOM_TOP)
		fputs("as many tops as it takes bottoms", stdout);
	else
		markdown_count("top", t->min_top, t->max_top);
	if (t->flags & MOKA_INPLACE)
		fputs(", may work in place", stdout);
	if (t->flags & MOKA_LOSS)
		fputs("; a loss, weighted 1 unless the net says otherwise", stdout);
	printf(". %s", !t->forward    ? "Not run yet: it is read, drawn and counted."
		       : !t->backward ? "Runs forward; no gradient flows through it."
				      : "Runs forward and backward.");
	if (s->v1_type)
		printf(" In old files: `type: %s`.", s->v1_type);
	if (!s->param_name || !s->message) {
		puts(" No settings of its own.");
		return;
	}
	printf("\n\nSettings, in `%s`:\n\n", s->param_name);
	markdown_fields(s->message, "", 0);
}

static int print_markdown(const struct cli_call *c)
{
	const struct moka_layer_type *types[MAX_TYPES];
	int n = sorted_types(&c->registry, types), bvlc = 0, shown = 0;

	for (int i = 0; i < n; i++)
		bvlc += !types[i]->schema.fork;
	if (!c->n_words)
		printf("# Layers\n\nThe %d layer types that Moka knows: %d of BVLC Caffe, %d that its forks defined. Written by\n"
		       "`moka layers --format markdown` from the tables that the readers use; scripts/docs.sh writes it anew.\n"
		       "A layer's shapes depend on its settings: `moka explain` says them for a net.\n",
		       n, bvlc, n - bvlc);
	for (int i = 0; i < n; i++) {
		bool wanted = !c->n_words;
		for (int k = 0; k < c->n_words; k++)
			wanted |= find_type(&c->registry, c->words[k]) == types[i];
		if (wanted)
			markdown_type(types[i]);
		shown += wanted;
	}
	for (size_t i = 0; !c->n_words && i < MOKA_COUNT(shared_messages); i++) {
		printf("\n## %s\n\nA message that several layers share.\n\n", shared_messages[i]->name);
		markdown_fields(shared_messages[i], "", 0);
	}
	return c->n_words && !shown ? cli_usage(c, "there is no layer type '%s'", c->words[0]) : cli_flush(c);
}

static const struct cli_option layers_options[] = {
	CLI_OPTION_FORMAT("text|markdown"),
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

static int layers_run(struct cli_call *c)
{
	static const char *const formats[] = { "text", "markdown", NULL };
	const struct moka_layer_type *const *types = moka_registry_types(&c->registry);
	int markdown;

	if (!cli_choice(c, "format", formats, 0, &markdown))
		return CLI_USAGE;
	if (markdown)
		return print_markdown(c);
	if (!c->n_words)
		return print_list(c);
	for (int i = 0; i < c->n_words; i++) {
		const struct moka_layer_type *t = find_type(&c->registry, c->words[i]);
		struct moka_nearest nearest = { 0 };
		const char *fork;
		if (t) {
			if (i)
				putchar('\n');
			print_type(t);
			continue;
		}
		for (int k = 0; types[k]; k++)
			moka_nearest_try(&nearest, c->words[i], types[k]->schema.type);
		fork = moka_fork_of_layer(c->words[i]);
		if (fork)
			return cli_fail(c, NULL,
					"'%s' is a layer of %s; Moka reads and draws it but has no table of its fields",
					c->words[i], fork);
		return nearest.best ? cli_usage(c, "there is no layer type '%s'; did you mean '%s'?", c->words[i],
						nearest.best)
				    : cli_usage(c, "there is no layer type '%s'", c->words[i]);
	}
	return cli_flush(c);
}

const struct cli_command cli_command_layers = {
	.name = "layers",
	.summary = "the layer types that Moka knows, and the fields of each",
	.usage = "[TYPE]... [--format markdown] [--plugin FILE.so]",
	.examples = "moka layers\nmoka layers Convolution Pooling\nmoka layers --format markdown > layers.md\n",
	.options = layers_options,
	.max_words = -1,
	.run = layers_run,
};
