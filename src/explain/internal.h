/*
 * internal.h - what the files of explain/ share.
 *
 *   words.c    numbers, shapes and settings as people write them
 *   cells.c    text as columns of a terminal: widths, cutting, cleaning of whatever a file's names hold
 *   page.c     headings, paragraphs, formulas and tables, for a terminal or as HTML: text.c and html.c say each
 *              thing once
 *   summary.c  what it is;  tables.c  layers, blobs, parameters;  sharing.c  shared parameters;  schedule.c  the
 *              solver
 *
 *   The diagram goes through these, in this order:
 *   graph.c    layers -> boxes (in-place layers and chains inside one) and the blobs between them
 *   refs.c     long ways that end in a labelled reference instead of a line
 *   rank.c     which boxes stand beside one another
 *   order.c    their order from left to right
 *   boxtext.c  what stands in a box, in how many columns
 *   place.c    columns;  route.c lines between two ranks;  canvas.c a grid of characters
 */
#ifndef MOKA_EXPLAIN_INTERNAL_H
#define MOKA_EXPLAIN_INTERNAL_H

#include "explain.h"

/* ---- words.c: all results in the arena, "" without memory ------------------------------------------- */

const char *moka__number(struct moka_arena *a, int64_t v);    /* 1,920; ? below zero */
const char *moka__big(struct moka_arena *a, int64_t v);	      /* 1,582,671,872 (1.58 G); small ones as they are */
const char *moka__bytes(struct moka_arena *a, int64_t bytes); /* 7.5 KiB */
const char *moka__real(struct moka_arena *a, double v);	      /* 0.01, 1e-05: as short as reads back equal in float */
const char *moka__times_text(struct moka_arena *a, double v, double by); /* of two such numbers: six digits */
const char *moka__shape(struct moka_arena *a, const struct moka_shape *s);
const char *moka__plural(int64_t n, const char *one, const char *many);
const char *moka__nth(int i); /* 0: "1st" ... */
/*
 * The settings of a layer in a few words, found from the names of its fields: "64 7x7/2". all: also what a diagram
 * can do without (pad 3, no bias).
 */
const char *moka__settings(struct moka_arena *a, const struct moka_net_layer *nl, bool all);
const char *moka__type(const struct moka_net_layer *nl);       /* "(no type)" where the file says none */
const char *moka__layer_name(const struct moka_net_layer *nl); /* "(no name)" */
const char *moka__net_name(const struct moka_net *n);	       /* its own, else its file's */
/* Items of a list "a, b and 3 more": at most `max` are named. */
struct moka__names {
	struct moka_buf buf;
	int n, max;
	const char *and_more; /* "and %d more" is made by _end */
};
void moka__names_begin(struct moka__names *l, int max);
void moka__names_add(struct moka__names *l, const char *name);
const char *moka__names_end(struct moka__names *l, struct moka_arena *a); /* releases */

/* ---- cells.c ----------------------------------------------------------------------------------------- */

/*
 * The next character of s (which is moved on): its code point, U+FFFD for bytes that are none, '?' for controls; 0
 * at the end.
 */
uint32_t moka__cell_next(const char **s);
int moka__cell_columns(uint32_t c); /* 0 combining, 1, or 2 (East Asian wide) */
int moka__columns(const char *s);
/*
 * s, cut to at most `columns`: from the end, or (middle) so that both ends stay. ascii: dots instead of an
 * ellipsis.
 */
const char *moka__cut(struct moka_arena *a, const char *s, int columns, bool middle, bool ascii);
/* Formatted text in the arena; "" where memory ran out, so that it can be printed as it is. */
#define moka__print(arena, ...) moka__or_empty(moka_arena_printf((arena), __VA_ARGS__))
static inline const char *moka__or_empty(const char *s)
{
	return s ? s : "";
}
/* s as it may be printed: no controls, valid UTF-8 (ascii: nothing beyond 0x7E). */
void moka__put_clean(struct moka_buf *out, const char *s, bool ascii);
void moka__put_char(struct moka_buf *out, uint32_t c);

/* ---- page.c ---------------------------------------------------------------------------------------------- */

struct moka__page {
	struct moka_arena arena;
	struct moka_buf *out;
	int width;
	bool colour, ascii, html;
	bool started; /* a section has been printed: the next one leaves a line free */
};
void moka__page_begin(struct moka__page *p, const struct moka_explain_options *o, bool html, struct moka_buf *out);
void moka__page_end(struct moka__page *p);
void moka__page_section(struct moka__page *p, const char *title);
void moka__page_para(struct moka__page *p, const char *fmt, ...) MOKA_PRINTF(2, 3);
/* A paragraph with a name in front: "  ip1_w  text ...", the text under itself. */
void moka__page_item(struct moka__page *p, const char *name, const char *fmt, ...) MOKA_PRINTF(3, 4);
void moka__page_formula(struct moka__page *p, const char *fmt, ...) MOKA_PRINTF(2, 3); /* one line, as it is, set in */

struct moka__column {
	const char *title;
	bool right; /* numbers */
	bool give;  /* may be cut where the terminal is too narrow */
	bool end;   /* and then at its end, not in the middle */
};
struct moka__table {
	const struct moka__column *columns;
	int n_columns;
	const char **cells; /* rows x columns; NULL: empty */
	int n_rows, cap;
};
void moka__table_begin(struct moka__table *t, const struct moka__column *columns, int n_columns);
/* n_columns strings follow, borrowed until the table is printed. */
void moka__table_row(struct moka__page *p, struct moka__table *t, ...);
void moka__page_table(struct moka__page *p, struct moka__table *t); /* prints and releases */

/* ---- the sections ------------------------------------------------------------------------------------------ */

void moka__summary(struct moka__page *p, const struct moka_net *n, const struct moka_findings *f,
		   const struct moka_explain_options *o);
void moka__table_layers(struct moka__page *p, const struct moka_net *n);
void moka__table_data(struct moka__page *p, const struct moka_net *n);
void moka__table_params(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o);
void moka__sharing(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o);
void moka__schedule(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o);
/*
 * The learning rate at an iteration: as solvers/schedule.c has it (a floor that this one can't see; a test
 * compares them). NaN: unknown policy.
 */
double moka__rate(const struct moka_msg *solver, int64_t iter);
const struct moka_msg *moka__solver_msg(const struct moka_explain_options *o); /* NULL: no solver */

/* ---- the diagram --------------------------------------------------------------------------------------------- */

/* One line of text in a box. */
struct moka__line {
	const char *text;
	uint8_t look; /* enum moka__look of the first `bold` columns; the rest is plain */
	int bold;     /* columns that are a layer's name */
};
enum moka__look { MOKA__PLAIN, MOKA__NAME, MOKA__FAINT, MOKA__BAD };

/* Layers that are drawn as one: a layer with its in-place layers; a chain of them; an input (no frame). */
struct moka__box {
	int *layers, n_layers;
	int input;		    /* a blob: this is an input of the net; else -1 */
	int members;		    /* > 1: so many boxes that stood side by side were put into one, for want of room */
	int *nets, n_nets;	    /* that leave it */
	int *in, n_in, *out, n_out; /* edges that come in, and that go out by any of its nets */
	bool gone;		    /* merged into another */
	int component, rank, vert;
	struct moka__line *lines; /* of the style chosen */
	int n_lines, cap_lines, width, height;
};
/* A blob on its way from one box to others. */
struct moka__wire {
	int from, blob; /* blob -1: several, n_blobs */
	int n_blobs;
	int port; /* which of its box's nets it is */
	int *edges, n_edges;
	int last_to; /* while building */
};
struct moka__edge {
	int net, from, to;
	bool cut;   /* drawn as a reference */
	bool trunk; /* the rest of the net hangs on it: never cut for its length, drawn straight */
	int ref;    /* its number; 0: none */
};
/* What stands in a rank: a box, or a line that passes. */
struct moka__vert {
	int box, net; /* box -1: the line of `net` */
	int rank, pos;
	int column;		      /* of its line, of the middle of a box */
	int left, right;	      /* columns it needs on each side of that */
	bool trunk;		      /* a line of trunk edges: kept straight, kept left */
	int *up, n_up, *down, n_down; /* vertices it is linked with */
	int *up_net, *down_net;	      /* by which blob */
	double key;
};
struct moka__rank {
	int *verts, n;
	int style;
	int height; /* of its band, label rows included */
};
struct moka__graph {
	struct moka_arena arena;
	const struct moka_net *n;
	int width;
	bool ascii, colour;
	bool open;   /* a small net: every layer is a box of its own */
	bool failed; /* no memory */
	struct moka__box *boxes;
	int n_boxes;
	struct moka__wire *nets;
	int n_nets;
	struct moka__edge *edges;
	int n_edges;
	int n_components;
	int *members, *first_member; /* boxes by component: members[first_member[c]] up to first_member[c + 1] */
	struct moka_buf *out;
};
/* One connected part, laid out. */
struct moka__layout {
	struct moka__vert *verts;
	int n_verts;
	struct moka__rank *ranks;
	int n_ranks;
};

#define MOKA__STYLES 12
#define MOKA__CROWDED 9 /* from this style on lines that pass are rather cut */
struct moka__style {
	int text;   /* most columns of text in a box; 0: as many as the terminal gives */
	int labels; /* columns reserved for the text beside a line: 2 all, 1 the shape, 0 none */
	int gap;
};
extern const struct moka__style moka__styles[MOKA__STYLES];

bool moka__graph_build(struct moka__graph *g);
void moka__graph_contract(struct moka__graph *g);
/* Of a box that a great many blobs leave: one line for all. */
void moka__graph_bundle(struct moka__graph *g);
int moka__box_layers(const struct moka__graph *g, const struct moka__box *b); /* not counting in-place ones */
/*
 * Puts boxes [0, n) of `which` into the first of them; the graph is of use again after moka__graph_tidy(), which
 * renumbers.
 */
void moka__graph_group(struct moka__graph *g, const int *which, int n);
void moka__graph_tidy(struct moka__graph *g);

bool moka__refs_cut_long(struct moka__graph *g); /* true: some were cut, ranks are to be made anew */
void moka__refs_number(struct moka__graph *g);
const char *moka__ref_sign(const struct moka__graph *g, int ref);

void moka__rank(struct moka__graph *g); /* components, ranks, trunk edges */
bool moka__layout_make(struct moka__graph *g, int component, struct moka__layout *l);
void moka__layout_order(struct moka__graph *g, struct moka__layout *l);

void moka__box_text(struct moka__graph *g, struct moka__box *b, int style);
int moka__box_rows(const struct moka__graph *g,
		   const struct moka__box *b); /* about how many, before its text is made */
/*
 * The text beside a line that leaves a box, at most `columns` wide: what the blob is (brief: not its name, where
 * the box says it).
 */
const char *moka__wire_label(struct moka__graph *g, const struct moka__wire *w, int columns, bool brief);
const char *moka__wire_refs(struct moka__graph *g, const struct moka__wire *w, int columns);
bool moka__wire_drawn(const struct moka__graph *g, const struct moka__wire *w);
bool moka__wire_has_refs(const struct moka__graph *g, const struct moka__wire *w);
int moka__port(const struct moka__graph *g, const struct moka__box *b,
	       int net); /* column, counted from the box's left edge */

/* Styles and columns. Ranks that can't be made to fit are left with style MOKA__STYLES; false where there are any. */
bool moka__place(struct moka__graph *g, struct moka__layout *l);
int moka__label_columns(struct moka__graph *g, const struct moka__wire *w,
			int labels); /* columns to keep free, by style.labels */
void moka__draw(struct moka__graph *g, struct moka__layout *l);

/* ---- canvas.c -------------------------------------------------------------------------------------------------- */

struct moka__cell {
	uint32_t c;    /* a character; 0: lines, or blank; MOKA__CELL_WIDE: the second half of the one before */
	uint8_t lines; /* 1 up, 2 right, 4 down, 8 left */
	uint8_t look;
	int32_t across, along; /* whose horizontal and vertical lines: lines of two owners cross, of one join */
};
#define MOKA__CELL_WIDE UINT32_MAX
struct moka__canvas {
	struct moka__cell *cells;
	int width, height, cap;
	bool failed;
};
void moka__canvas_init(struct moka__canvas *c, int width);
void moka__canvas_release(struct moka__canvas *c);
void moka__canvas_text(struct moka__canvas *c, int x, int y, const char *s, int columns, enum moka__look look);
void moka__canvas_down(struct moka__canvas *c, int x, int y0, int y1,
		       int owner); /* a line from the top of y0 to the bottom of y1 */
void moka__canvas_across(struct moka__canvas *c, int x0, int x1, int y,
			 int owner); /* from the middle of x0 to the middle of x1 */
void moka__canvas_stub(struct moka__canvas *c, int x, int y, uint8_t lines, int owner);
void moka__canvas_char(struct moka__canvas *c, int x, int y, uint32_t ch, enum moka__look look);
void moka__canvas_print(const struct moka__canvas *c, bool ascii, bool colour, struct moka_buf *out);

#endif
