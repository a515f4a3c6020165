/*
 * text_value.c - the values of a text: numbers, enums, strings, each checked against its field.
 *
 * A value that protobuf would refuse is an error; where it is plain what was meant (a name in quotes, 2.0 for a whole
 * number, yes for true) that is taken and reading goes on.
 */
#include "text.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const char *kind_text(enum moka_kind kind)
{
	static const char *const words[] = { "a whole number",
					     "a whole number",
					     "a whole number of at least 0",
					     "a whole number of at least 0",
					     "true or false",
					     "one of its names",
					     "a number",
					     "a number",
					     "text in quotes",
					     "text in quotes",
					     "{ ... }" };
	return words[kind];
}

/* One finding for a value of the wrong kind. */
static void refuse(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc, const char *shown)
{
	moka_find(p->f, MOKA_ERROR, "wrong-kind", loc, "'%s' takes %s, not %s", field->name, kind_text(field->kind),
		  shown);
}

/* ---- whole numbers -------------------------------------------------------------------------------- */

/* The digits of an integer token in base 8, 10 or 16; false: more than 64 bits. *octal: wrong octal, read as decimal. */
static bool read_digits(const struct moka__token *t, uint64_t *out, bool *octal)
{
	unsigned base = 10;
	size_t i = 0;

	*out = 0;
	*octal = false;
	if (t->n > 2 && t->p[0] == '0' && (t->p[1] == 'x' || t->p[1] == 'X')) {
		base = 16;
		i = 2;
	} else if (t->n > 1 && t->p[0] == '0') {
		*octal = memchr(t->p, '8', t->n) || memchr(t->p, '9', t->n);
		base = *octal ? 10 : 8;
	}
	for (; i < t->n; i++) {
		char c = t->p[i];
		unsigned v = (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
		if (__builtin_mul_overflow(*out, (uint64_t)base, out) || __builtin_add_overflow(*out, (uint64_t)v, out))
			return false;
	}
	return true;
}

static void range_of(enum moka_kind kind, int64_t *low, uint64_t *high)
{
	*low = kind == MOKA_INT64 ? INT64_MIN : kind == MOKA_INT32 || kind == MOKA_ENUM ? INT32_MIN : 0;
	*high = kind == MOKA_INT64    ? INT64_MAX
		: kind == MOKA_UINT64 ? UINT64_MAX
		: kind == MOKA_UINT32 ? UINT32_MAX
		: kind == MOKA_BOOL   ? 1
				      : INT32_MAX;
}

/* Puts sign and magnitude into n where they fit the field. */
static bool take_integer(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc,
			 bool negative, uint64_t v, struct moka_node *n)
{
	uint64_t high;
	int64_t low;

	range_of(field->kind, &low, &high);
	if (negative ? v > (uint64_t)0 - (uint64_t)low : v > high) {
		moka_find(p->f, MOKA_ERROR, "out-of-range", loc, "'%s' takes %lld to %llu, not %s%llu", field->name,
			  (long long)low, (unsigned long long)high, negative ? "-" : "", (unsigned long long)v);
		return false;
	}
	n->kind = MOKA_NODE_INT;
	n->u.i = (int64_t)(negative ? (uint64_t)0 - v : v);
	return true;
}

/* A number with a point (or in quotes) where a whole one belongs: said, and used where it is whole. */
static bool take_rounded(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc,
			 bool negative, double v, struct moka_node *n)
{
	if (v != floor(v) || !(v < 9e18))
		return false;
	moka_find_hint(p->f, "write %s%.0f", negative ? "-" : "", v);
	return take_integer(p, field, loc, negative, (uint64_t)v, n);
}

static bool integer_value(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc,
			  bool negative, struct moka_node *n)
{
	const struct moka__token t = p->x.now;
	char shown[80];
	bool octal;
	uint64_t v;

	moka__lex_show(&p->x, shown);
	if (t.kind == MOKA__T_INT) {
		moka__lex_next(&p->x);
		if (!read_digits(&t, &v, &octal)) {
			moka_find(p->f, MOKA_ERROR, "out-of-range", loc, "'%s': %s is too large for any field",
				  field->name, shown);
			return false;
		}
		if (octal) {
			moka_find(p->f, MOKA_ERROR, "octal", loc, "a leading 0 means octal, and %s has a digit over 7",
				  shown);
			moka_find_hint(p->f, "write %llu", (unsigned long long)v);
		}
		return take_integer(p, field, loc, negative, v, n);
	}
	refuse(p, field, loc, shown);
	if (t.kind != MOKA__T_REAL && t.kind != MOKA__T_NAME && t.kind != MOKA__T_STRING)
		return false;
	moka__lex_next(&p->x);
	if (t.kind == MOKA__T_REAL)
		return take_rounded(p, field, loc, negative, moka__real_parse(t.p, t.n), n);
	if (t.kind == MOKA__T_STRING && t.n > 2 && t.n < 12 && strspn(t.p + 1, "0123456789") == t.n - 2)
		return take_rounded(p, field, loc, negative, moka__real_parse(t.p + 1, t.n - 2), n);
	return false;
}

/* ---- other numbers ----------------------------------------------------------------------------------- */

/* inf, infinity, nan in any case */
static bool special_real(const struct moka__token *t, double *v)
{
	static const struct {
		const char *name;
		double v;
	} words[] = { { "inf", INFINITY }, { "infinity", INFINITY }, { "nan", NAN } };

	for (size_t i = 0; i < MOKA_COUNT(words); i++)
		if (strlen(words[i].name) == t->n && !strncasecmp(words[i].name, t->p, t->n)) {
			*v = words[i].v;
			return true;
		}
	return false;
}

/* A number in quotes: what it says; false: it is none. */
static bool quoted_real(const struct moka__token *t, double *v)
{
	if (t->n < 3 || t->n > 32 || strspn(t->p + 1, "+-.0123456789eE") != t->n - 2 || t->p[t->n - 1] != *t->p)
		return false;
	*v = moka__real_parse(t->p + 1, t->n - 2);
	return true;
}

static bool real_value(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc, bool negative,
		       struct moka_node *n)
{
	const struct moka__token t = p->x.now;
	char shown[80];
	double v = 0;
	bool ok = true;

	moka__lex_show(&p->x, shown);
	if (t.kind == MOKA__T_INT && t.n > 1 && t.p[0] == '0') {
		moka_find(p->f, MOKA_ERROR, "octal", loc,
			  "'%s': %s reads as octal or hex; a number with a fraction is decimal", field->name, shown);
		moka_find_hint(p->f, "leave the leading 0 out");
		v = moka__real_parse(t.p, t.n);
	} else if (t.kind == MOKA__T_INT || t.kind == MOKA__T_REAL) {
		v = moka__real_parse(t.p, t.n);
	} else if (t.kind != MOKA__T_NAME || !special_real(&t, &v)) {
		refuse(p, field, loc, shown);
		ok = t.kind == MOKA__T_STRING && quoted_real(&t, &v);
		if (t.kind != MOKA__T_NAME && t.kind != MOKA__T_STRING)
			return false;
	}
	moka__lex_next(&p->x);
	if (negative)
		v = -v;
	n->kind = MOKA_NODE_FLOAT;
	n->u.d = field->kind == MOKA_FLOAT ? (double)moka__to_float(v) : v;
	return ok;
}

/* ---- true and false -------------------------------------------------------------------------------------- */

/* What a word says: 1, 0, or -1 for nothing. *exact: protobuf takes it too. */
static int truth(const char *s, size_t n, bool *exact)
{
	static const struct {
		const char *name;
		int value;
		bool exact;
	} words[] = {
		{ "true", 1, true },  { "True", 1, true },   { "t", 1, true },	   { "false", 0, true },
		{ "False", 0, true }, { "f", 0, true },	     { "true", 1, false }, { "yes", 1, false },
		{ "on", 1, false },   { "false", 0, false }, { "no", 0, false },   { "off", 0, false },
	};

	for (size_t i = 0; i < MOKA_COUNT(words); i++) {
		*exact = words[i].exact;
		if (strlen(words[i].name) == n && !(words[i].exact ? strncmp : strncasecmp)(words[i].name, s, n))
			return words[i].value;
	}
	return -1;
}

static bool bool_value(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc, bool negative,
		       struct moka_node *n)
{
	const struct moka__token t = p->x.now;
	bool quoted = t.kind == MOKA__T_STRING, exact;
	char shown[80];
	int v;

	if (t.kind == MOKA__T_INT)
		return integer_value(p, field, loc, negative, n);
	moka__lex_show(&p->x, shown);
	v = t.kind == MOKA__T_NAME ? truth(t.p, t.n, &exact) : quoted && t.n > 2 ? truth(t.p + 1, t.n - 2, &exact) : -1;
	if (v < 0 || quoted || !exact) {
		refuse(p, field, loc, shown);
		if (v >= 0)
			moka_find_hint(p->f, "write %s", v ? "true" : "false");
	}
	if (t.kind != MOKA__T_NAME && !quoted)
		return false;
	moka__lex_next(&p->x);
	n->kind = MOKA_NODE_INT;
	n->u.i = v;
	return v >= 0;
}

/* ---- enums -------------------------------------------------------------------------------------------------- */

/* Hints at the nearest of the names, or lists them. */
static const struct moka_enum_value *hint_names(struct moka__text_parser *p, const struct moka_field *field,
						const char *word)
{
	struct moka_nearest near = { 0 };
	char all[400];
	size_t n = 0;

	all[0] = 0;
	for (const struct moka_enum_value *v = field->values; v && v->name; v++) {
		moka_nearest_try(&near, word, v->name);
		if (n < sizeof(all) - 1)
			n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", v->name);
	}
	if (near.best)
		moka_find_hint(p->f, "did you mean %s?", near.best);
	else if (n && n < sizeof(all) - 1)
		moka_find_hint(p->f, "it is one of %s", all);
	/* another case, or a '_' more or less, is the same name */
	if (near.best && near.distance == 0)
		return moka__enum_by_name(field->values, near.best, strlen(near.best));
	return NULL;
}

/*
 * A V1 layer type that the tables lack: a fork's, or a new one written in the old manner. It is kept by its name; what becomes of
 * it is the net's business.
 */
static bool foreign_layer_type(struct moka__text_parser *p, struct moka_loc loc, const char *word, struct moka_node *n)
{
	const struct moka_schema *s = p->lookup.schema;
	const char *fork = moka_fork_of_layer(word), *now = NULL;

	for (size_t i = 0; s && i < s->n && !now; i++)
		if (!moka_name_distance(word, s->layers[i]->type))
			now = s->layers[i]->type;
	if (now)
		moka__text_tally(p, MOKA_WARNING, "unknown-v1-type", loc,
				 "write layer { ... } in place of layers { ... }",
				 "BVLC's old syntax has no layer type %s; taken for \"%s\"", word, now);
	else
		moka__text_tally(p, MOKA_WARNING, "unknown-v1-type", loc, NULL,
				 "BVLC's old syntax has no layer type %s%s%s", word, fork ? "; it is known from " : "",
				 fork ? fork : "");
	n->kind = MOKA_NODE_NAME;
	n->u.s.p = now ? moka_arena_strdup(p->arena, now) : moka_arena_strdup(p->arena, word);
	if (!n->u.s.p) {
		moka__text_no_memory(p);
		return false;
	}
	n->u.s.n = strlen(n->u.s.p);
	return true;
}

static bool is_v1_type(const struct moka_field *field)
{
	return field->number == 5 && field->values && !strcmp(field->values[0].name, "NONE") &&
	       !strcmp(field->name, "type");
}

static bool enum_word(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc,
		      const char *word, bool quoted, struct moka_node *n)
{
	const struct moka_enum_value *v = moka__enum_by_name(field->values, word, strlen(word));

	if (!v && !quoted && is_v1_type(field))
		return foreign_layer_type(p, loc, word, n);
	if (v && quoted) {
		moka_find(p->f, MOKA_ERROR, "wrong-kind", loc, "'%s' takes a bare name, not one in quotes",
			  field->name);
		moka_find_hint(p->f, "write %s", v->name);
	} else if (!v) {
		/* which implementation a fork would have chosen means nothing here */
		bool engine = field->values == moka_engine_values;
		if (engine) {
			moka__text_tally(p, MOKA_WARNING, "unknown-engine", loc, "it is ignored: Moka has one engine",
					 "BVLC Caffe has no engine %s", word);
			return false;
		}
		moka_find(p->f, MOKA_ERROR, "unknown-value", loc, "'%s' is no value of '%s'", word, field->name);
		v = hint_names(p, field, word);
	}
	n->kind = MOKA_NODE_INT;
	n->u.i = v ? v->value : 0;
	return v != NULL;
}

static bool enum_value(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc, bool negative,
		       struct moka_node *n)
{
	const struct moka__token t = p->x.now;
	bool quoted = t.kind == MOKA__T_STRING;
	char word[64], shown[80];

	if (t.kind == MOKA__T_INT) {
		if (!integer_value(p, field, loc, negative, n))
			return false;
		if (moka__enum_by_value(field->values, n->u.i))
			return true;
		moka_find(p->f, MOKA_ERROR, "unknown-value", loc, "%lld is no value of '%s'", (long long)n->u.i,
			  field->name);
		hint_names(p, field, "");
		return false;
	}
	if ((t.kind != MOKA__T_NAME && !quoted) || negative) {
		refuse(p, field, loc, moka__lex_show(&p->x, shown));
		if (t.kind == MOKA__T_REAL || t.kind == MOKA__T_NAME)
			moka__lex_next(&p->x);
		return false;
	}
	moka__lex_next(&p->x);
	if (quoted)
		snprintf(word, sizeof(word), "%.*s", (int)MOKA_MIN(t.n > 2 ? t.n - 2 : 0, sizeof(word)), t.p + 1);
	else
		snprintf(word, sizeof(word), "%.*s", (int)MOKA_MIN(t.n, sizeof(word)), t.p);
	return enum_word(p, field, loc, word, quoted, n);
}

/* ---- strings --------------------------------------------------------------------------------------------------- */

/* The strings at the lexer, put together. */
static bool read_strings(struct moka__text_parser *p, struct moka_node *n)
{
	struct moka_buf all;
	char *out;

	moka_buf_init(&all, 0);
	n->kind = MOKA_NODE_STRING;
	n->u.s.p = NULL;
	for (bool first = true; p->x.now.kind == MOKA__T_STRING; first = false) {
		const struct moka__token t = p->x.now;
		size_t len;
		out = moka_arena_alloc(p->arena, t.n + 1, 1);
		if (!out)
			break;
		len = moka__lex_unquote(&p->x, &t, out);
		out[len] = 0;
		moka__lex_next(&p->x);
		if (first && p->x.now.kind != MOKA__T_STRING) {
			n->u.s.p = out;
			n->u.s.n = len;
			return true;
		}
		moka_buf_add(&all, out, len);
	}
	if (p->x.now.kind != MOKA__T_STRING && !all.failed) {
		n->u.s.p = moka_arena_strndup(p->arena, all.data ? all.data : "", all.len);
		n->u.s.n = all.len;
	}
	moka_buf_release(&all);
	if (!n->u.s.p)
		moka__text_no_memory(p);
	return n->u.s.p != NULL;
}

/* A string that lost its quotes: up to where it can't go on. The lexer is behind it. */
static struct moka__token take_bare(struct moka__text_parser *p)
{
	struct moka__token t = p->x.now;
	const char *q = t.p + t.n;

	while (q < p->x.end && (unsigned char)*q > ' ' && !strchr(";,#{}[]<>:\"'", *q))
		q++;
	t.n = (size_t)(q - t.p);
	p->x.p = q;
	moka__lex_next(&p->x);
	return t;
}

static bool string_value(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc,
			 struct moka_node *n)
{
	struct moka__token t = p->x.now;
	char shown[80];

	if (t.kind == MOKA__T_STRING)
		return read_strings(p, n);
	refuse(p, field, loc, moka__lex_show(&p->x, shown));
	if (t.kind != MOKA__T_NAME && t.kind != MOKA__T_INT && t.kind != MOKA__T_REAL)
		return false;
	t = take_bare(p);
	moka_find_hint(p->f, "write \"%.*s\"", (int)MOKA_MIN(t.n, 120), t.p);
	n->kind = MOKA_NODE_STRING;
	n->u.s.p = moka_arena_strndup(p->arena, t.p, t.n);
	n->u.s.n = t.n;
	if (!n->u.s.p)
		moka__text_no_memory(p);
	return n->u.s.p != NULL;
}

/* ---- any --------------------------------------------------------------------------------------------------------- */

bool moka__text_scalar(struct moka__text_parser *p, const struct moka_field *field, struct moka_node *n)
{
	struct moka_loc loc = moka__lex_loc(&p->x);
	bool negative = false;

	if (moka__lex_is(&p->x, '-') && !moka__is_bytes(field->kind)) {
		negative = true;
		moka__lex_next(&p->x);
	}
	if (field->kind == MOKA_BOOL)
		return bool_value(p, field, loc, negative, n);
	if (field->kind == MOKA_ENUM)
		return enum_value(p, field, loc, negative, n);
	if (moka__is_varint(field->kind))
		return integer_value(p, field, loc, negative, n);
	if (moka__is_real(field->kind))
		return real_value(p, field, loc, negative, n);
	return string_value(p, field, loc, n);
}

bool moka__text_any(struct moka__text_parser *p, const char *name, struct moka_node *n)
{
	bool negative = moka__lex_is(&p->x, '-'), octal;
	struct moka__token t;
	char shown[80];
	uint64_t v;

	if (negative)
		moka__lex_next(&p->x);
	t = p->x.now;
	if (t.kind == MOKA__T_STRING && !negative)
		return read_strings(p, n);
	if (t.kind == MOKA__T_INT && read_digits(&t, &v, &octal) && v <= INT64_MAX) {
		n->kind = MOKA_NODE_INT;
		n->u.i = negative ? -(int64_t)v : (int64_t)v;
	} else if (t.kind == MOKA__T_INT || t.kind == MOKA__T_REAL) {
		n->kind = MOKA_NODE_FLOAT;
		n->u.d = moka__real_parse(t.p, t.n) * (negative ? -1 : 1);
	} else if (t.kind == MOKA__T_NAME && special_real(&t, &n->u.d) && negative) {
		n->kind = MOKA_NODE_FLOAT;
		n->u.d = -n->u.d;
	} else if (t.kind == MOKA__T_NAME) {
		n->kind = MOKA_NODE_NAME;
		n->u.s.p = moka_arena_strndup(p->arena, t.p, t.n);
		n->u.s.n = t.n;
		if (!n->u.s.p) {
			moka__text_no_memory(p);
			return false;
		}
	} else {
		moka_find(p->f, MOKA_ERROR, "missing-value", moka__lex_loc(&p->x), "'%s' has no value before %s", name,
			  moka__lex_show(&p->x, shown));
		return false;
	}
	moka__lex_next(&p->x);
	return true;
}
