/*
 * internal.h - what crosses files within proto/.
 */
#ifndef MOKA_PROTO_INTERNAL_H
#define MOKA_PROTO_INTERNAL_H

#include "proto/proto.h"

/* Nodes one file may become: the memory of a tree stays within bounds whatever the file says. */
#define MOKA__MAX_NODES ((size_t)1 << 24)

/* ---- fields.c: finding fields ------------------------------------------------------------- */

/*
 * The fields that hold layers' parameters exist nowhere as tables: they are made, in an arena, when they are first
 * asked for, and remembered here for the next time.
 */
struct moka__lookup {
	struct moka_arena *arena;
	const struct moka_schema *schema;
	const struct moka_field **made; /* two per layer of the schema: in LayerParameter, in V1LayerParameter */
	const struct moka_field *v1_type, *v0_hdf5;
};

void moka__lookup_init(struct moka__lookup *l, struct moka_arena *a, const struct moka_schema *s);
/* NULL: no such field, or no memory. */
const struct moka_field *moka__lookup_name(struct moka__lookup *l, const struct moka_message *m, const char *layer_type,
					   const char *name);
const struct moka_field *moka__lookup_number(struct moka__lookup *l, const struct moka_message *m,
					     const char *layer_type, uint32_t number);
/* The schema's layer that had this name (value) in V1; NULL: none. */
const struct moka_schema_layer *moka__v1_by_name(const struct moka_schema *s, const char *name, size_t n);
const struct moka_schema_layer *moka__v1_by_value(const struct moka_schema *s, int64_t value);
/* The schema's layer of this type (exactly), NULL: none. */
const struct moka_schema_layer *moka__layer_by_type(const struct moka_schema *s, const char *type, size_t n);
const struct moka_enum_value *moka__enum_by_value(const struct moka_enum_value *v, int64_t value);
const struct moka_enum_value *moka__enum_by_name(const struct moka_enum_value *v, const char *name, size_t n);

/* ---- tree.c: nodes --------------------------------------------------------------------------- */

/* A new last node of m; NULL: no memory. */
struct moka_node *moka__append(struct moka_arena *a, struct moka_msg *m, const struct moka_field *field,
			       enum moka_node_kind kind);
static inline bool moka__is_repeated(const struct moka_field *f)
{
	return f->label == MOKA_REPEATED || f->label == MOKA_PACKED;
}
static inline bool moka__is_real(enum moka_kind k)
{
	return k == MOKA_FLOAT || k == MOKA_DOUBLE;
}
static inline bool moka__is_bytes(enum moka_kind k)
{
	return k == MOKA_STRING || k == MOKA_BYTES;
}
static inline bool moka__is_varint(enum moka_kind k)
{
	return k <= MOKA_ENUM;
}

/* ---- varint.c: the smallest pieces of the wire format ------------------------------------------- */

enum { MOKA__VARINT = 0, MOKA__FIXED64 = 1, MOKA__BYTES = 2, MOKA__GROUP = 3, MOKA__GROUP_END = 4, MOKA__FIXED32 = 5 };

/* Reads a varint at *p; false: it runs over `end` or past ten bytes. */
bool moka__varint_read(const uint8_t **p, const uint8_t *end, uint64_t *out);
/* Writes v to out[10], returns how many bytes. */
int moka__varint_write(uint8_t *out, uint64_t v);
int moka__varint_size(uint64_t v);
/*
 * Steps over the value of one field of this wire type (its tag is read); false: it is cut short, or nested
 * deeper than `depth` groups. *value and *n (may be NULL) get the bytes of the value: a group's without its end.
 */
bool moka__wire_skip(const uint8_t **p, const uint8_t *end, uint32_t number, int wire, int depth, const uint8_t **value,
		     size_t *n);
/* A tag; false: cut short, or a number or wire type that cannot be. */
bool moka__tag_read(const uint8_t **p, const uint8_t *end, uint32_t *number, int *wire);
/* What a varint means as a field of this kind: cut to 32 bits, sign, bool as 0 or 1. */
int64_t moka__varint_value(enum moka_kind kind, uint64_t v);
/* The wire type of one unpacked value. */
int moka__wire_of(enum moka_kind kind);

/* Unrolls a run, value by value. */
struct moka__run_walk {
	const uint8_t *p;
	size_t left;
	uint32_t skip;
	enum moka_kind kind;
	const uint8_t *end;
};
struct moka__run_walk moka__run_start(const struct moka_run *r, enum moka_kind kind);
bool moka__run_int(struct moka__run_walk *w, int64_t *out); /* false: at the end */
bool moka__run_real(struct moka__run_walk *w, double *out);

/* ---- number.c: numbers as text, whatever the locale ------------------------------------------------ */

/* strtod of the n bytes at s (at most 400), with '.' as the point. */
double moka__real_parse(const char *s, size_t n);
/* As a float, as protobuf rounds. */
float moka__to_float(double v);
/* The shortest of %.6g and %.9g (of %.15g and %.17g) that reads back equal; buf of 32. */
void moka__float_print(float v, char *buf);
void moka__double_print(double v, char *buf);

/* ---- lex.c: text as tokens ---------------------------------------------------------------------------- */

enum moka__token_kind {
	MOKA__T_END,
	MOKA__T_NAME,
	MOKA__T_INT,	/* 12, 0x1f, 017 */
	MOKA__T_REAL,	/* 1. .5 1e-3 2f */
	MOKA__T_STRING, /* with its quotes */
	MOKA__T_SYMBOL, /* one of { } < > [ ] : ; , - . / */
	MOKA__T_BAD,	/* anything else; the finding is made */
};
struct moka__token {
	enum moka__token_kind kind;
	const char *p;
	size_t n;
	uint32_t line, column;
};
struct moka__lexer {
	const struct moka_text *text;
	struct moka_findings *f; /* NULL: quiet */
	const char *p, *end, *line_start;
	uint32_t line;
	struct moka__token now;
	uint32_t last_line; /* where the token before `now` ended */
	unsigned open_strings;
};
void moka__lex_start(struct moka__lexer *x, const struct moka_text *text, struct moka_findings *f);
void moka__lex_next(struct moka__lexer *x);
/* The first character behind x->now, blanks and comments skipped; 0 at the end. */
char moka__lex_peek(const struct moka__lexer *x);
bool moka__lex_is(const struct moka__lexer *x, char symbol);
struct moka_loc moka__lex_loc(const struct moka__lexer *x);
/* The token as messages show it: quoted and cut, or "the end of the file"; buf of 80. */
const char *moka__lex_show(const struct moka__lexer *x, char *buf);
/* Decodes a string token's escapes to out (t->n bytes are enough); returns the length. Bad escapes become findings. */
size_t moka__lex_unquote(const struct moka__lexer *x, const struct moka__token *t, char *out);

/* ---- unknown.c: what to say about a name that no table has ---------------------------------------------- */

struct moka__unknown {
	const struct moka_message *message;
	const struct moka_message *outer; /* that holds it; NULL at the root */
	const char *layer_type;		  /* of the layer that it is, or is within; NULL */
	const struct moka_schema *schema;
	const char *name;
	bool group; /* its value is { ... } */
};
/* Which fork has the field; NULL: none that is known. */
const char *moka__unknown_fork(const struct moka__unknown *u);
/* "a layer", "a solver", "PoolingParameter" */
const char *moka__message_text(const struct moka_message *m);
/* A warning, with what can be said about the name. */
void moka__unknown_field(struct moka_findings *f, struct moka_loc loc, const struct moka__unknown *u);

/* pictures.c: what SSD's transform_param holds. */
extern const struct moka_message moka__picture_resize, moka__picture_noise, moka__picture_distort, moka__picture_expand,
	moka__picture_emit;

#endif
