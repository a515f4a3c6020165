/*
 * findings.h - what is wrong (or remarkable) in a model, as data.
 *
 * Readers, checkers and shape functions add findings; nobody stops at the first. A
 * finding says where (file:line:col), what, what was expected, and what to do.
 */
#ifndef MOKA_FINDINGS_H
#define MOKA_FINDINGS_H

#include "base/base.h"

/* A text or binary that was read; lives as long as the model that came from it. */
struct moka_text {
	const char *path; /* as the user wrote it */
	const char *data; /* NULL for a binary */
	size_t size;
};

/* A place in a text. line and column count from 1; line 0: no place known. Column counts bytes. */
struct moka_loc {
	const struct moka_text *text;
	uint32_t line, column;
};

enum moka_severity { MOKA_NOTE, MOKA_WARNING, MOKA_ERROR };

struct moka_finding {
	enum moka_severity severity;
	const char *code; /* kebab-case, stable: "unknown-field", "shape-mismatch" */
	struct moka_loc loc;
	const char *message;
	const char *hint; /* NULL where there is nothing to advise */
};

struct moka_findings {
	struct moka_arena arena;
	struct moka_finding *items; /* in order of discovery; moka_findings_sort() orders by place */
	size_t n, cap;
	size_t errors, warnings, dropped; /* of all, kept or not */
	size_t last; /* index + 1 of the finding added last; 0 where it was not kept (moka_find_hint) */
};

void moka_findings_init(struct moka_findings *f);
void moka_findings_release(struct moka_findings *f);
/* f may be NULL (nothing is kept). Identical findings (same place, code and message) are kept once. */
void moka_find(struct moka_findings *f, enum moka_severity severity, const char *code, struct moka_loc loc,
	       const char *fmt, ...) MOKA_PRINTF(5, 6);
/* Sets the hint of the finding added last. */
void moka_find_hint(struct moka_findings *f, const char *fmt, ...) MOKA_PRINTF(2, 3);
void moka_findings_sort(struct moka_findings *f);
/*
 * Renders one finding as a compiler would:
 *     net.prototxt:12:3: error: message
 *        12 |   pol: MAX
 *           |   ^~~
 *     hint: did you mean 'pool'?
 * The caret line underlines the word at the place. Tabs are kept in the pad so that the caret lines up.
 * Long source lines are cut around the caret. colour: ANSI colours.
 */
void moka_finding_print(const struct moka_finding *x, bool colour, struct moka_buf *out);
/* As an element of the JSON array that cli.md describes: severity, code, file, line, column, message, hint. */
void moka_finding_json(const struct moka_finding *x, struct moka_buf *out);

#endif
