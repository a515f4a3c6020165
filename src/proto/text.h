/*
 * text.h - what text.c (the structure of a text) and text_value.c (its values) share.
 */
#ifndef MOKA_PROTO_TEXT_H
#define MOKA_PROTO_TEXT_H

#include "internal.h"

/*
 * What a text says the same way in layer after layer (a fork's field, a fork's engine) is one finding: at its first place, with
 * how often it came. They are gathered here and told at the end.
 */
struct moka__tally {
	const char *code, *message, *hint;
	enum moka_severity severity;
	struct moka_loc loc;
	size_t count;
	struct moka__tally *next;
};

struct moka__text_parser {
	struct moka__lexer x;
	struct moka_arena *arena;
	struct moka__lookup lookup;
	struct moka_findings *f;
	size_t nodes;
	unsigned syntax_errors;
	struct moka__tally *tally;
	unsigned n_tally;
	bool stop; /* nothing more can be understood, or no memory */
	enum moka_status status;
};

/* A finding that may come again and again: counted where its message was there before. hint may be NULL. */
void moka__text_tally(struct moka__text_parser *p, enum moka_severity severity, const char *code, struct moka_loc loc,
		      const char *hint, const char *fmt, ...) MOKA_PRINTF(6, 7);
/* Gives up for lack of memory. */
void moka__text_no_memory(struct moka__text_parser *p);
/*
 * Reads the value of a known number, string or enum at the lexer into n (kind and u). false: there is none that could be
 * used; a finding says why, and the lexer is behind what was there.
 */
bool moka__text_scalar(struct moka__text_parser *p, const struct moka_field *field, struct moka_node *n);
/* The same for a field that no table knows: whatever it is. */
bool moka__text_any(struct moka__text_parser *p, const char *name, struct moka_node *n);

#endif
