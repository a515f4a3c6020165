/*
 * text.c - text -> tree: the structure. Tokens are lex.c's, values text_value.c's, what to say of unknown names unknown.c's.
 *
 *     message := field*            field := name ':'? value [;,]
 *     value   := scalar | '{' message '}' | '<' message '>' | '[' value, ... ']'
 *
 * Reading goes on after a mistake: a bad value is stepped over, a line that is no field is left behind, and after MOST_SYNTAX of
 * those the text is given up. A tree comes out whatever was wrong, unless nothing in the text was known.
 */
#include "text.h"

#include <string.h>

#define MOST_SYNTAX 25
#define LONGEST_NAME 200

/* The singular fields that one message has had. */
struct seen {
	uint32_t number, line;
	struct seen *next;
};

/* One message on the way down. */
struct level {
	const struct level *up;
	struct moka_msg *m;
	char closer; /* '}' or '>'; 0 for the file */
	struct moka_loc open;
	const char *layer_type;
	struct seen *seen;
	int depth;
	const struct moka_message *as; /* what the unknown field being read is in the current syntax */
};

void moka__text_no_memory(struct moka__text_parser *p)
{
	if (!p->stop)
		moka_find(p->f, MOKA_ERROR, "no-memory", moka__lex_loc(&p->x), "no memory for the rest of the text");
	p->stop = true;
	p->status = MOKA_ERR_NOMEM;
}

#define MOST_TALLY 256

void moka__text_tally(struct moka__text_parser *p, enum moka_severity severity, const char *code, struct moka_loc loc,
		      const char *hint, const char *fmt, ...)
{
	char message[512];
	struct moka__tally *t = p->tally;
	va_list ap;

	if (!p->f)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	while (t && strcmp(t->message, message))
		t = t->next;
	if (t) {
		t->count++;
		return;
	}
	t = p->n_tally < MOST_TALLY ? MOKA_NEW(p->arena, struct moka__tally) : NULL;
	if (!t) {
		moka_find(p->f, severity, code, loc, "%s", message);
		return;
	}
	*t = (struct moka__tally){ code, moka_arena_strdup(p->arena, message), hint, severity, loc, 1, p->tally };
	if (hint)
		t->hint = moka_arena_strdup(p->arena, hint);
	if (!t->message) {
		moka__text_no_memory(p);
		return;
	}
	p->tally = t;
	p->n_tally++;
}

/* The list is in the reverse of the text's order; the one who shows findings sorts them by place. */
static void tell_tally(struct moka__text_parser *p)
{
	for (const struct moka__tally *t = p->tally; t; t = t->next) {
		if (t->count > 1)
			moka_find(p->f, t->severity, t->code, t->loc, "%s (%zu times in this text)", t->message,
				  t->count);
		else
			moka_find(p->f, t->severity, t->code, t->loc, "%s", t->message);
		if (t->hint)
			moka_find_hint(p->f, "%s", t->hint);
	}
}

static bool accept(struct moka__text_parser *p, char symbol)
{
	if (!moka__lex_is(&p->x, symbol))
		return false;
	moka__lex_next(&p->x);
	return true;
}

static bool at_group(const struct moka__text_parser *p)
{
	return moka__lex_is(&p->x, '{') || moka__lex_is(&p->x, '<');
}

/* Steps over { ... }, whatever is in it, however deep. */
static void skip_group(struct moka__text_parser *p)
{
	size_t depth = 0;

	do {
		if (at_group(p))
			depth++;
		else if (moka__lex_is(&p->x, '}') || moka__lex_is(&p->x, '>'))
			depth--;
		moka__lex_next(&p->x);
	} while (depth && p->x.now.kind != MOKA__T_END);
}

/* Leaves the rest of a line that can't be followed, up to what closes the message. What else is wrong there is not told. */
static void leave_line(struct moka__text_parser *p)
{
	uint32_t line = p->x.now.line;
	struct moka__lexer before = p->x;

	while (p->x.now.kind != MOKA__T_END && p->x.now.line == line && !moka__lex_is(&p->x, '}')) {
		before = p->x;
		p->x.f = NULL;
		if (moka__lex_is(&p->x, '{')) {
			skip_group(p);
			line = p->x.last_line;
			p->x.f = p->f;
		} else {
			moka__lex_next(&p->x);
			/* the token that ends this belongs to the text that is followed again: read it aloud */
			if (p->x.now.line != line) {
				p->x = before;
				moka__lex_next(&p->x);
			}
			p->x.f = p->f;
		}
	}
}

/* Counts a place where the text could not be followed. */
static void count_syntax(struct moka__text_parser *p)
{
	if (++p->syntax_errors < MOST_SYNTAX || p->stop)
		return;
	moka_find(p->f, MOKA_ERROR, "given-up", moka__lex_loc(&p->x),
		  "too many mistakes; the rest of the text is not read");
	moka_find_hint(p->f, "is this a prototxt file?");
	p->stop = true;
}

/* Neither a field nor the end of a message. */
static void not_a_field(struct moka__text_parser *p)
{
	char shown[80];

	if (p->x.now.kind != MOKA__T_BAD) {
		moka_find(p->f, MOKA_ERROR, "syntax", moka__lex_loc(&p->x), "expected the name of a field, found %s",
			  moka__lex_show(&p->x, shown));
		if (moka__lex_is(&p->x, ';') || moka__lex_is(&p->x, ','))
			moka_find_hint(p->f, "one ';' or ',' may follow a field; leave this one out");
		else if (moka__lex_is(&p->x, '{'))
			moka_find_hint(p->f, "a name belongs before the brace: layer { ... }");
	}
	count_syntax(p);
	if (moka__lex_is(&p->x, ';') || moka__lex_is(&p->x, ','))
		moka__lex_next(&p->x);
	else
		leave_line(p);
}

/* ---- which kind of layer ---------------------------------------------------------------------------- */

/* What the `type` of the group at the lexer is: MOKA__T_STRING, MOKA__T_NAME or MOKA__T_END where there is none. */
static enum moka__token_kind find_type(const struct moka__text_parser *p, struct moka__token *type)
{
	struct moka__lexer x = p->x;
	enum moka__token_kind found = MOKA__T_END;
	size_t depth = 0;

	x.f = NULL;
	do {
		if (moka__lex_is(&x, '{') || moka__lex_is(&x, '<'))
			depth++;
		else if (moka__lex_is(&x, '}') || moka__lex_is(&x, '>'))
			depth--;
		if (depth == 1 && x.now.kind == MOKA__T_NAME && x.now.n == 4 && !memcmp(x.now.p, "type", 4)) {
			moka__lex_next(&x);
			if (moka__lex_is(&x, ':'))
				moka__lex_next(&x);
			if (x.now.kind == MOKA__T_STRING || x.now.kind == MOKA__T_NAME) {
				found = x.now.kind;
				*type = x.now;
			}
			continue;
		}
		moka__lex_next(&x);
	} while (depth && x.now.kind != MOKA__T_END);
	return found;
}

/*
 * `layer` wants type: "Convolution", `layers` wants type: CONVOLUTION. Who mixes them up gets an error, and the layer is
 * read as the kind that its type is of. Sets *layer_type.
 */
static const struct moka_field *settle_layer(struct moka__text_parser *p, struct level *l,
					     const struct moka_field *field, struct moka_loc loc,
					     const char **layer_type)
{
	bool v1 = field->message == &moka_v1_layer_message;
	const struct moka_schema_layer *sl = NULL;
	const struct moka_schema *s = p->lookup.schema;
	struct moka__token type = { 0 };
	enum moka__token_kind kind = find_type(p, &type);

	if (kind == MOKA__T_NAME)
		sl = moka__v1_by_name(s, type.p, type.n);
	if (v1 ? kind == MOKA__T_STRING : sl != NULL) {
		const char *other = v1 ? "layer" : "layers";
		moka__text_tally(p, MOKA_ERROR, "mixed-syntax", loc,
				 v1 ? "call it 'layer'; it is read as that"
				    : "write type: \"Convolution\" and so on, or call it 'layers'; it is read as that",
				 "'%s' wants its type %s", field->name,
				 v1 ? "as a bare name in capitals (the old syntax), not in quotes"
				    : "in quotes, not as a bare name");
		field = moka__lookup_name(&p->lookup, l->m->type, NULL, other);
		v1 = !v1;
	}
	if (v1) {
		*layer_type = sl ? sl->type : NULL;
	} else if (kind != MOKA__T_END) {
		bool quoted = kind == MOKA__T_STRING && type.n >= 2;
		*layer_type = moka_arena_strndup(p->arena, type.p + quoted, type.n - 2u * quoted);
	}
	return field;
}

/* ---- values ------------------------------------------------------------------------------------------- */

static void parse_level(struct moka__text_parser *p, struct level *l);

static struct moka_node *new_node(struct moka__text_parser *p, const struct level *l, const struct moka_field *field,
				  const char *name, struct moka_loc loc)
{
	struct moka_node *n;

	if (++p->nodes > MOKA__MAX_NODES && !p->stop) {
		moka_find(p->f, MOKA_ERROR, "too-many-fields", loc, "more than %zu fields; no net is like that",
			  MOKA__MAX_NODES);
		p->stop = true;
		p->status = MOKA_ERR_LIMIT;
	}
	n = p->stop ? NULL : moka__append(p->arena, l->m, field, MOKA_NODE_INT);
	if (!n) {
		moka__text_no_memory(p);
		return NULL;
	}
	n->name = field ? NULL : name;
	n->line = loc.line;
	n->column = loc.column;
	n->value_line = p->x.now.line;
	n->value_column = p->x.now.column;
	return n;
}

/* Says so where a message lacks what protobuf requires. */
static void check_required(struct moka__text_parser *p, const struct level *l)
{
	for (const struct moka_field *f = l->m->type ? l->m->type->fields : NULL; f && f->name; f++) {
		const struct seen *s = l->seen;
		if (f->label != MOKA_REQUIRED)
			continue;
		while (s && s->number != f->number)
			s = s->next;
		if (!s)
			moka_find(p->f, MOKA_ERROR, "missing-required", moka_msg_loc(l->m), "%s needs '%s'",
				  l->m->type->name, f->name);
	}
}

/* { ... } at the lexer. */
static void parse_group(struct moka__text_parser *p, struct level *l, const struct moka_field *field, const char *name,
			struct moka_loc loc)
{
	struct level in = { .up = l, .open = moka__lex_loc(&p->x), .depth = l->depth + 1, .layer_type = l->layer_type };
	const char *layer_type = NULL;
	struct moka_node *n;

	if (in.depth > MOKA_MAX_NESTING) {
		moka_find(p->f, MOKA_ERROR, "too-deep", loc, "braces within braces, more than %d deep",
			  MOKA_MAX_NESTING);
		moka_find_hint(p->f, "what is deeper is not read; no message of Caffe's nests like that");
		skip_group(p);
		return;
	}
	if (field && (field->message == &moka_layer_message || field->message == &moka_v1_layer_message)) {
		field = settle_layer(p, l, field, loc, &layer_type);
		in.layer_type = layer_type;
	}
	n = new_node(p, l, field, name, loc);
	if (!n)
		return;
	n->kind = MOKA_NODE_MESSAGE;
	n->u.m = in.m = moka_msg_new(p->arena, field ? field->message : l->as);
	if (!in.m) {
		moka__text_no_memory(p);
		return;
	}
	in.m->layer_type = layer_type;
	in.m->text = p->x.text;
	in.m->line = loc.line;
	in.m->column = loc.column;
	in.closer = moka__lex_is(&p->x, '{') ? '}' : '>';
	moka__lex_next(&p->x);
	parse_level(p, &in);
	check_required(p, &in);
}

/* Whether what stands where a value belongs is the next field already, or the end. */
static bool no_value_here(const struct moka__text_parser *p)
{
	char next;

	if (p->x.now.kind == MOKA__T_END || moka__lex_is(&p->x, '}') || moka__lex_is(&p->x, '>'))
		return true;
	if (p->x.now.kind != MOKA__T_NAME || p->x.now.line == p->x.last_line)
		return false;
	next = moka__lex_peek(&p->x);
	return next == ':' || next == '{';
}

/* A known field's value that is of another form than the field. */
static void wrong_form(struct moka__text_parser *p, const struct moka_field *field, struct moka_loc loc)
{
	char shown[80];

	if (field->kind != MOKA_MESSAGE) {
		moka_find(p->f, MOKA_ERROR, "wrong-kind", loc, "'%s' takes a value, not { ... }", field->name);
		skip_group(p);
		return;
	}
	moka_find(p->f, MOKA_ERROR, "wrong-kind", moka__lex_loc(&p->x), "'%s' takes { ... }, not %s", field->name,
		  moka__lex_show(&p->x, shown));
	if (field->message == &moka_filler_message && p->x.now.kind == MOKA__T_STRING)
		moka_find_hint(p->f, "write %s { type: %.*s }", field->name, (int)MOKA_MIN(p->x.now.n, 40), p->x.now.p);
	else
		moka_find_hint(p->f, "its fields go between braces");
	accept(p, '-');
	if (p->x.now.kind != MOKA__T_SYMBOL && p->x.now.kind != MOKA__T_END)
		moka__lex_next(&p->x);
	else
		count_syntax(p);
}

static void drop_last(struct moka_msg *m, struct moka_node *before)
{
	m->last = before;
	if (before)
		before->next = NULL;
	else
		m->first = NULL;
}

static void parse_value(struct moka__text_parser *p, struct level *l, const struct moka_field *field, const char *name,
			struct moka_loc loc)
{
	struct moka_node *before = l->m->last, *n;
	bool ok;

	if (no_value_here(p)) {
		char shown[80];
		moka_find(p->f, MOKA_ERROR, "missing-value", loc, "'%s' has no value; %s follows", name,
			  moka__lex_show(&p->x, shown));
		return;
	}
	if (at_group(p) && (!field || field->kind == MOKA_MESSAGE)) {
		parse_group(p, l, field, name, loc);
		return;
	}
	if (field && (field->kind == MOKA_MESSAGE || at_group(p))) {
		wrong_form(p, field, loc);
		return;
	}
	n = new_node(p, l, field, name, loc);
	if (!n)
		return;
	ok = field ? moka__text_scalar(p, field, n) : moka__text_any(p, name, n);
	if (!ok)
		drop_last(l->m, before);
}

/* [ a, b, ... ]: many values of one field. The lexer is at the bracket. */
static void parse_list(struct moka__text_parser *p, struct level *l, const struct moka_field *field, const char *name,
		       struct moka_loc loc)
{
	struct moka_loc open = moka__lex_loc(&p->x);

	if (field && !moka__is_repeated(field)) {
		moka_find(p->f, MOKA_ERROR, "wrong-kind", open, "'%s' takes one value, not a list", field->name);
		moka_find_hint(p->f, "the last of the list is taken");
	}
	moka__lex_next(&p->x);
	if (accept(p, ']'))
		return;
	while (!p->stop) {
		const char *at = p->x.now.p;
		char shown[80];

		parse_value(p, l, field, name, loc);
		if (accept(p, ']'))
			return;
		if (accept(p, ','))
			continue;
		moka_find(p->f, MOKA_ERROR, "syntax", moka__lex_loc(&p->x),
			  "expected ',' or ']' in the list of '%s', found %s", name, moka__lex_show(&p->x, shown));
		moka_find_hint(p->f, "the list was opened in line %u", (unsigned)open.line);
		count_syntax(p);
		/* a value that could not be read may have left the lexer where it was */
		if (p->x.now.p == at || p->x.now.kind == MOKA__T_NAME || p->x.now.kind == MOKA__T_END ||
		    moka__lex_is(&p->x, '}'))
			return;
	}
}

/* ---- fields ---------------------------------------------------------------------------------------------- */

static void check_repeated(struct moka__text_parser *p, struct level *l, const struct moka_field *field,
			   struct moka_loc loc)
{
	struct seen *s = l->seen;

	while (s && s->number != field->number)
		s = s->next;
	if (s) {
		moka_find(p->f, MOKA_ERROR, "repeated-singular", loc, "'%s' is given twice", field->name);
		moka_find_hint(p->f, "it was given in line %u already; Caffe refuses that, the later one is taken here",
			       (unsigned)s->line);
		return;
	}
	s = MOKA_NEW(p->arena, struct seen);
	if (!s) {
		moka__text_no_memory(p);
		return;
	}
	*s = (struct seen){ field->number, loc.line, l->seen };
	l->seen = s;
}

/* The name at the lexer, or [a.name.in.brackets] (an extension); NULL: no memory, or nothing like a name. */
static const char *take_name(struct moka__text_parser *p, char *buf, size_t size)
{
	size_t n = MOKA_MIN(p->x.now.n, LONGEST_NAME);

	if (p->x.now.kind == MOKA__T_NAME) {
		snprintf(buf, size, "%.*s", (int)n, p->x.now.p);
		moka__lex_next(&p->x);
		return buf;
	}
	n = 0;
	do {
		n += (size_t)snprintf(buf + n, size - n, "%.*s", (int)MOKA_MIN(p->x.now.n, 60), p->x.now.p);
		moka__lex_next(&p->x);
	} while (n + 64 < size &&
		 (p->x.now.kind == MOKA__T_NAME || moka__lex_is(&p->x, '.') || moka__lex_is(&p->x, '/')));
	if (!moka__lex_is(&p->x, ']'))
		return NULL;
	snprintf(buf + n, size - n, "]");
	moka__lex_next(&p->x);
	return buf;
}

static void complain_unknown(struct moka__text_parser *p, const struct level *l, const char *name, struct moka_loc loc)
{
	struct moka__unknown u = {
		.message = l->m->type,
		.outer = l->up ? l->up->m->type : NULL,
		.layer_type = l->layer_type,
		.schema = p->lookup.schema,
		.name = name,
		.group = at_group(p) ||
			 (moka__lex_is(&p->x, ':') && (moka__lex_peek(&p->x) == '{' || moka__lex_peek(&p->x) == '<')),
	};

	const char *fork = moka__unknown_fork(&u);

	if (l->as)
		moka__text_tally(p, MOKA_WARNING, "unknown-field", loc,
				 "write layer { ... } in place of layers { ... }",
				 "'%s' came after the old syntax of layers; it is taken as in the current one", name);
	else if (fork)
		moka__text_tally(p, MOKA_WARNING, "unknown-field", loc, "it is kept, and has no effect here",
				 "%s has no field '%s' in BVLC Caffe; it is known from %s",
				 moka__message_text(u.message), name, fork);
	else
		moka__unknown_field(p->f, loc, &u);
}

/* A fork's field in a message of BVLC Caffe: Moka follows it, BVLC's own parser stops at it. A fork's own message is no surprise. */
static void mention_fork(struct moka__text_parser *p, const struct level *l, const struct moka_field *field,
			 struct moka_loc loc)
{
	bool bvlc_message = false;

	for (const struct moka_field *f = l->m->type ? l->m->type->fields : NULL; f && f->name; f++)
		bvlc_message |= !f->fork;
	if (field->fork && bvlc_message && l->m->type != &moka_layer_message)
		moka__text_tally(p, MOKA_WARNING, "unknown-field", loc, "Moka follows it",
				 "%s has no field '%s' in BVLC Caffe; it is known from %s",
				 moka__message_text(l->m->type), field->name, field->fork);
}

/* A value follows, or may: ':' or what can stand without one. */
static bool value_follows(const struct moka__text_parser *p)
{
	return moka__lex_is(&p->x, ':') || at_group(p) || moka__lex_is(&p->x, '[');
}

static void parse_field(struct moka__text_parser *p, struct level *l)
{
	struct moka_loc loc = moka__lex_loc(&p->x);
	char buf[LONGEST_NAME + 64], shown[80];
	const char *name = take_name(p, buf, sizeof(buf));
	const struct moka_field *field = NULL;
	bool colon;

	if (!name) {
		not_a_field(p);
		return;
	}
	if (l->m->type)
		field = moka__lookup_name(&p->lookup, l->m->type, l->layer_type, name);
	if (!field && !value_follows(p)) {
		moka_find(p->f, MOKA_ERROR, "syntax", moka__lex_loc(&p->x), "expected ':' or '{' after '%s', found %s",
			  name, moka__lex_show(&p->x, shown));
		count_syntax(p);
		if (p->x.now.line == loc.line)
			leave_line(p);
		return;
	}
	if (!field) {
		name = moka_arena_strdup(p->arena, name);
		if (!name) {
			moka__text_no_memory(p);
			return;
		}
		l->as = NULL;
		if (l->m->type == &moka_v1_layer_message) {
			const struct moka_field *now =
				moka__lookup_name(&p->lookup, &moka_layer_message, l->layer_type, name);
			l->as = now ? now->message : NULL;
		}
		if (l->m->type)
			complain_unknown(p, l, name, loc);
	} else {
		mention_fork(p, l, field, loc);
		if (!moka__is_repeated(field))
			check_repeated(p, l, field, loc);
	}
	colon = accept(p, ':');
	if (field && !colon && field->kind != MOKA_MESSAGE && !at_group(p) && !no_value_here(p)) {
		moka_find(p->f, MOKA_ERROR, "missing-colon", moka__lex_loc(&p->x), "expected ':' after '%s'", name);
		if (p->x.now.kind == MOKA__T_BAD) {
			count_syntax(p);
			leave_line(p);
			return;
		}
	}
	if (moka__lex_is(&p->x, '['))
		parse_list(p, l, field, name, loc);
	else
		parse_value(p, l, field, name, loc);
	if (!accept(p, ';'))
		accept(p, ',');
}

/* A '}' or '>' at the lexer. true: it closes this message. */
static bool parse_closer(struct moka__text_parser *p, const struct level *l)
{
	char c = *p->x.now.p;

	if (!l->closer) {
		moka_find(p->f, MOKA_ERROR, "stray-brace", moka__lex_loc(&p->x), "this '%c' closes nothing", c);
		moka_find_hint(p->f, "delete it, or look above for a '}' too many or a '{' that was lost");
		count_syntax(p);
		moka__lex_next(&p->x);
		return false;
	}
	if (c != l->closer) {
		moka_find(p->f, MOKA_ERROR, "wrong-brace", moka__lex_loc(&p->x),
			  "'%c' where '%c' should close line %u's '%c'", c, l->closer, (unsigned)l->open.line,
			  l->closer == '}' ? '{' : '<');
		count_syntax(p);
	}
	moka__lex_next(&p->x);
	return true;
}

static void parse_level(struct moka__text_parser *p, struct level *l)
{
	while (!p->stop) {
		const struct moka__token *t = &p->x.now;
		if (t->kind == MOKA__T_END) {
			if (l->closer) {
				moka_find(p->f, MOKA_ERROR, "open-brace", l->open, "this '%c' is never closed",
					  l->closer == '}' ? '{' : '<');
				moka_find_hint(p->f,
					       "the text ends in line %u; a '%c' is missing, or the end of the file",
					       (unsigned)t->line, l->closer);
				count_syntax(p);
			}
			return;
		}
		if (moka__lex_is(&p->x, '}') || moka__lex_is(&p->x, '>')) {
			if (parse_closer(p, l))
				return;
		} else if (t->kind == MOKA__T_NAME || moka__lex_is(&p->x, '[')) {
			parse_field(p, l);
		} else {
			not_a_field(p);
		}
	}
}

enum moka_status moka_text_parse(struct moka_arena *a, const struct moka_text *text, const struct moka_message *root,
				 const struct moka_schema *s, struct moka_findings *f, struct moka_msg **out)
{
	struct moka__text_parser p = { .arena = a, .f = f };
	struct level top = { 0 };
	bool known = false;

	*out = NULL;
	moka__lookup_init(&p.lookup, a, s);
	top.m = moka_msg_new(a, root);
	if (!top.m)
		return MOKA_ERR_NOMEM;
	top.m->text = text;
	top.m->line = top.m->column = 1;
	moka__lex_start(&p.x, text, f);
	parse_level(&p, &top);
	tell_tally(&p);
	if (p.status)
		return p.status;
	check_required(&p, &top);
	for (const struct moka_node *n = top.m->first; n && !known; n = n->next)
		known = n->field != NULL;
	if (p.syntax_errors && !known)
		return MOKA_ERR_FORMAT;
	*out = top.m;
	return MOKA_OK;
}
