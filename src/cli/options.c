/*
 * options.c - words of a command line -> struct cli_call, driven by the command's option table.
 *
 * Takes what GNU programs take and what gflags took, because scripts written for caffe use the latter: one dash or
 * two, '=' or the next word, '-' or '_' within a name. A wrong word is answered with the nearest right one.
 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- finding options ------------------------------------------------------------------------ */

/* Flags that scripts pass to every program that logs through glog, and -gpu: taken where caffe took them. */
static const struct cli_option caffe_flags[] = {
	{ "gpu", 0, "IDS", "", 0 },
	{ "logtostderr", 0, NULL, "", 0 },
	{ "alsologtostderr", 0, NULL, "", 0 },
	{ "colorlogtostderr", 0, NULL, "", 0 },
	{ "stderrthreshold", 0, "N", "", 0 },
	{ "minloglevel", 0, "N", "", 0 },
	{ "log_dir", 0, "DIR", "", 0 },
	{ "v", 0, "N", "", 0 },
	CLI_OPTIONS_END,
};

static bool takes_caffe_flags(const struct cli_command *command)
{
	static const char *const names[] = { "train", "test",  "time",	"device_query", "images",
					     "mean",  "mnist", "cifar", "features",	"upgrade" };

	for (size_t i = 0; i < MOKA_COUNT(names); i++)
		if (!strcmp(command->name, names[i]))
			return true;
	return false;
}

/* The first n bytes of `word` are `name`; '-' and '_' count as the same. */
static bool same_name(const char *name, const char *word, size_t n)
{
	if (strlen(name) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char a = name[i] == '_' ? '-' : name[i], b = word[i] == '_' ? '-' : word[i];
		if (a != b)
			return false;
	}
	return true;
}

static const struct cli_option *find_in(const struct cli_option *table, const char *word, size_t n)
{
	for (; table && table->name; table++)
		if (same_name(table->name, word, n) || (n == 1 && table->letter && table->letter == *word))
			return table;
	return NULL;
}

static const struct cli_option *find_option(const struct cli_command *command, const char *word, size_t n)
{
	const struct cli_option *o = find_in(command->options, word, n);

	return !o && takes_caffe_flags(command) ? find_in(caffe_flags, word, n) : o;
}

/* "noshuffle", "no-shuffle": the switch "shuffle"; else NULL. */
static const struct cli_option *find_negated(const struct cli_command *command, const char *word, size_t n)
{
	const struct cli_option *o;

	if (n < 4 || strncmp(word, "no", 2))
		return NULL;
	word += 2, n -= 2;
	if (*word == '-' || *word == '_')
		word++, n--;
	o = find_option(command, word, n);
	return o && !o->value ? o : NULL;
}

static int unknown_option(const struct cli_call *c, const char *word, size_t dashes, size_t n)
{
	struct moka_nearest nearest = { 0 };
	char name[256];

	snprintf(name, sizeof(name), "%.*s", (int)MOKA_MIN(n, sizeof(name) - 1), word + dashes);
	for (const struct cli_option *o = c->command->options; o && o->name; o++)
		if (!(o->flags & CLI_HIDDEN))
			moka_nearest_try(&nearest, name, o->name);
	if (nearest.best)
		return cli_usage(c, "unknown option '%.*s'; did you mean '--%s'?",
				 (int)MOKA_MIN(n + dashes, (size_t)256), word, nearest.best);
	return cli_usage(c, "unknown option '%.*s'", (int)MOKA_MIN(n + dashes, (size_t)256), word);
}

/* ---- parsing -------------------------------------------------------------------------------- */

static bool truth(const char *s, bool *out)
{
	static const char *const yes[] = { "true", "1", "yes", "y", "t" }, *const no[] = { "false", "0", "no", "n",
											   "f" };

	for (size_t i = 0; i < MOKA_COUNT(yes); i++) {
		if (!strcasecmp(s, yes[i]) || !strcasecmp(s, no[i])) { /* as gflags: scripts in Python pass True */
			*out = !strcasecmp(s, yes[i]);
			return true;
		}
	}
	return false;
}

static bool looks_like_option(const struct cli_call *c, const char *word)
{
	size_t dashes = strspn(word, "-");

	return (dashes == 1 || dashes == 2) && find_option(c->command, word + dashes, strcspn(word + dashes, "="));
}

static void keep(struct cli_call *c, const struct cli_option *o, const char *value)
{
	c->values[c->n_values++] = (struct cli_value){ o, value };
}

/* One word that begins with a dash; *next is the word behind it, and is moved where it is the value. */
static int parse_option(struct cli_call *c, const char *word, char **words, int *next, int n)
{
	size_t dashes = word[1] == '-' ? 2 : 1;
	const char *name = word + dashes, *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_option *o = find_option(c->command, name, length);
	bool value = true;

	if (!o && (o = find_negated(c->command, name, length)) && !equals) {
		keep(c, o, "false");
		return CLI_OK;
	}
	if (!o)
		return unknown_option(c, word, dashes, length);
	if (!o->value) {
		if (equals && !truth(equals + 1, &value))
			return cli_usage(c, "'--%s' is a switch: '%s' should be 'true' or 'false'", o->name,
					 equals + 1);
		keep(c, o, value ? "true" : "false");
		return CLI_OK;
	}
	if (equals) {
		keep(c, o, equals + 1);
		return CLI_OK;
	}
	if (*next >= n)
		return cli_usage(c, "'%s' needs a value: --%s %s", word, o->name, o->value);
	if (looks_like_option(c, words[*next]))
		return cli_usage(c, "'%s' needs a value (--%s %s), and '%s' is the next option", word, o->name,
				 o->value, words[*next]);
	keep(c, o, words[(*next)++]);
	return CLI_OK;
}

static bool asks_for_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-help") || !strcmp(word, "-h");
}

static int check_words(const struct cli_call *c)
{
	const struct cli_command *k = c->command;

	for (const struct cli_option *o = k->options; o && o->name; o++)
		if ((o->flags & CLI_REQUIRED) && !cli_has(c, o->name))
			return cli_usage(c, "'--%s %s' is missing: %s", o->name, o->value ? o->value : "", o->help);
	if (c->n_words < k->min_words)
		return cli_usage(c, c->n_words ? "something is missing: %s %s" : "what should it work on? %s %s",
				 c->name, k->usage);
	if (k->max_words >= 0 && c->n_words > k->max_words)
		return cli_usage(c, "'%s' is one word too many", c->words[k->max_words]);
	return CLI_OK;
}

int cli_parse(struct cli_call *c, int n, char **words)
{
	int i = 0;

	if (n > CLI_MAX_WORDS)
		return cli_usage(c, "more than %d words", CLI_MAX_WORDS);
	c->words = MOKA_NEWN(&c->arena, n + 1, const char *);
	c->values = MOKA_NEWN(&c->arena, n + 1, struct cli_value);
	if (!c->words || !c->values)
		return cli_fail(c, NULL, "no memory");
	for (int k = 0; k < n && strcmp(words[k], "--"); k++)
		if (asks_for_help(words[k])) {
			c->help = true;
			return CLI_OK;
		}
	while (i < n) {
		const char *word = words[i++];
		if (!strcmp(word, "--")) {
			while (i < n)
				c->words[c->n_words++] = words[i++];
		} else if (word[0] == '-' && word[1]) {
			int status = parse_option(c, word, words, &i, n);
			if (status)
				return status;
		} else {
			c->words[c->n_words++] = word;
		}
	}
	if (takes_caffe_flags(c->command))
		for (i = 0; i < c->n_values; i++)
			if (!strcmp(c->values[i].option->name, "gpu"))
				cli_note(c, "-gpu %s: Moka computes on the processor, not on a graphics card",
					 c->values[i].value);
	return check_words(c);
}

void cli_call_release(struct cli_call *c)
{
	cli_unload_plugins(c);
	moka_arena_release(&c->arena);
}

/* ---- reading a parsed call ------------------------------------------------------------------ */

static bool is(const struct cli_value *v, const char *option)
{
	return !strcmp(v->option->name, option);
}

static bool in_table(const struct cli_command *command, const char *option)
{
	for (const struct cli_option *o = command->options; o && o->name; o++)
		if (!strcmp(o->name, option))
			return true;
	return false;
}

const char *cli_get(const struct cli_call *c, const char *option)
{
	MOKA_BUG(!in_table(c->command, option));
	for (int i = c->n_values - 1; i >= 0; i--)
		if (is(&c->values[i], option))
			return c->values[i].value;
	return NULL;
}

bool cli_has(const struct cli_call *c, const char *option)
{
	return cli_get(c, option) != NULL;
}

bool cli_takes(const struct cli_call *c, const char *option)
{
	return in_table(c->command, option);
}

bool cli_switch(const struct cli_call *c, const char *option, bool otherwise)
{
	const char *v = cli_get(c, option);

	return v ? !strcmp(v, "true") : otherwise;
}

int cli_count(const struct cli_call *c, const char *option)
{
	int n = 0;

	MOKA_BUG(!in_table(c->command, option));
	for (int i = 0; i < c->n_values; i++)
		n += is(&c->values[i], option);
	return n;
}

const char *cli_nth(const struct cli_call *c, const char *option, int at)
{
	MOKA_BUG(!in_table(c->command, option));
	for (int i = 0; i < c->n_values; i++)
		if (is(&c->values[i], option) && at-- == 0)
			return c->values[i].value;
	return NULL;
}

const char **cli_list(struct cli_call *c, const char *option, int *n)
{
	size_t most = 1;
	const char **list;

	*n = 0;
	for (int i = 0; i < cli_count(c, option); i++) {
		const char *v = cli_nth(c, option, i);
		for (most++; *v; v++)
			most += *v == ',';
	}
	list = MOKA_NEWN(&c->arena, most, const char *);
	if (!list)
		return NULL;
	for (int i = 0; i < cli_count(c, option); i++) {
		for (const char *v = cli_nth(c, option, i); *v;) {
			size_t length = strcspn(v, ",");
			if (length)
				list[(*n)++] = moka_arena_strndup(&c->arena, v, length);
			v += length + (v[length] == ',');
		}
	}
	return list;
}

/* ---- values --------------------------------------------------------------------------------- */

bool cli_int(const struct cli_call *c, const char *option, int64_t min, int64_t max, int64_t otherwise, int64_t *out)
{
	const char *v = cli_get(c, option);
	char *end;
	long long x;

	*out = otherwise;
	if (!v)
		return true;
	errno = 0;
	x = strtoll(v, &end, 10);
	if (end == v || *end || errno) {
		cli_usage(c, "--%s: '%s' is not a whole number%s", option, v, errno ? " that fits 64 bits" : "");
		return false;
	}
	if (x < min || x > max) {
		if (max == INT64_MAX)
			cli_usage(c, "--%s: %lld is too small, the least is %lld", option, x, (long long)min);
		else
			cli_usage(c, "--%s: %lld is outside %lld to %lld", option, x, (long long)min, (long long)max);
		return false;
	}
	*out = x;
	return true;
}

bool cli_float(const struct cli_call *c, const char *option, double min, double max, double otherwise, double *out)
{
	const char *v = cli_get(c, option);
	char *end;
	double x;

	*out = otherwise;
	if (!v)
		return true;
	x = strtod(v, &end);
	if (end == v || *end || isnan(x)) {
		cli_usage(c, "--%s: '%s' is not a number", option, v);
		return false;
	}
	if (x < min || x > max) {
		cli_usage(c, "--%s: %g is outside %g to %g", option, x, min, max);
		return false;
	}
	*out = x;
	return true;
}

bool cli_choice(const struct cli_call *c, const char *option, const char *const *choices, int otherwise, int *out)
{
	const char *v = cli_get(c, option);
	char list[512];
	size_t length = 0;

	*out = otherwise;
	if (!v)
		return true;
	list[0] = 0;
	for (int i = 0; choices[i]; i++) {
		if (!strcasecmp(choices[i], v)) {
			*out = i;
			return true;
		}
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s'%s'",
					   !i		    ? ""
					   : choices[i + 1] ? ", "
							    : " or ",
					   choices[i]);
		if (length >= sizeof(list))
			break;
	}
	cli_usage(c, "--%s: '%s' should be %s", option, v, list);
	return false;
}

bool cli_pair(struct cli_call *c, const char *option, const char *text, const char **name, const char **rest)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text || !equals[1]) {
		const struct cli_option *o = find_option(c->command, option, strlen(option));
		cli_usage(c, "--%s: '%s' should be %s", option, text, o && o->value ? o->value : "NAME=VALUE");
		return false;
	}
	*name = moka_arena_strndup(&c->arena, text, (size_t)(equals - text));
	*rest = equals + 1;
	return *name != NULL;
}

bool cli_shape(const struct cli_call *c, const char *option, const char *text, struct moka_shape *out)
{
	const char *p = text;

	*out = (struct moka_shape){ .n = 0 };
	if (!strcmp(text, "scalar"))
		return true;
	while (*p) {
		char *end;
		errno = 0;
		long long d = isdigit((unsigned char)*p) ? strtoll(p, &end, 10) : -1;
		if (d < 0 || errno || (*end && *end != 'x' && *end != ',') || (*end && !end[1])) {
			cli_usage(c, "--%s: '%s' is not a shape, as 1x3x224x224", option, text);
			return false;
		}
		if (out->n == MOKA_MAX_AXES) {
			cli_usage(c, "--%s: '%s' has more than %d dimensions", option, text, MOKA_MAX_AXES);
			return false;
		}
		out->d[out->n++] = d;
		p = *end ? end + 1 : end;
	}
	return true;
}
