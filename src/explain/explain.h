/*
 * explain.h - a net made readable. Reads model and net, changes nothing.
 *
 *   text.c     everything for a terminal: what it is, diagram, tables, sharing in words, findings
 *   diagram.c  the layered drawing of the graph with boxes and lines
 *   plan.c     how it runs for inference, step by step
 *   json.c     cli.md's JSON;  dot.c Graphviz;  html.c one self-contained page
 */
#ifndef MOKA_EXPLAIN_H
#define MOKA_EXPLAIN_H

#include "net/net.h"

struct moka_explain_options {
	int width; /* columns of the terminal; 0: 100 */
	bool colour;
	bool ascii; /* no box-drawing characters (locale isn't UTF-8) */
	const struct moka_model
		*solver; /* the solver file that named the net, or NULL: schedule and resulting rates are explained */
};

void moka_explain_text(const struct moka_net *n, const struct moka_findings *f, const struct moka_explain_options *o,
		       struct moka_buf *out);
/* A solver whose net can't be opened: its schedule and the findings. o->solver is the solver. */
void moka_explain_solver(const struct moka_findings *f, const struct moka_explain_options *o, struct moka_buf *out);
void moka_explain_diagram(const struct moka_net *n, const struct moka_explain_options *o, struct moka_buf *out);
void moka_explain_json(const struct moka_net *n, const struct moka_findings *f, struct moka_buf *out);
/* The same with "plan" before its end. */
void moka_explain_json_plan(const struct moka_net *n, const struct moka_findings *f, const struct moka_plan *p,
			    struct moka_buf *out);
/* As text; as JSON the value of explain's "plan" (p NULL: null). */
void moka_explain_plan(const struct moka_net *n, const struct moka_plan *p, struct moka_buf *out);
void moka_explain_plan_json(const struct moka_net *n, const struct moka_plan *p, struct moka_buf *out);
void moka_explain_block(int block, char *out, size_t size); /* "nchw", "nChw8c" */
/* "conv1 + bn1 + relu1" of a step; "(blob)" where it only copies one. Cut to size. */
void moka_explain_step(const struct moka_net *n, const struct moka_plan_step *s, char *out, size_t size);
void moka_explain_dot(const struct moka_net *n, struct moka_buf *out);
void moka_explain_html(const struct moka_net *n, const struct moka_findings *f, const struct moka_explain_options *o,
		       const char *svg, struct moka_buf *out);

#endif
