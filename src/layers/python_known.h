/*
 * python_known.h - Python classes that published nets name and whose source is public: what shapes they make, and what
 * Moka computes in their place (python_known.c).
 */
#ifndef MOKA_LAYERS_PYTHON_KNOWN_H
#define MOKA_LAYERS_PYTHON_KNOWN_H

#include "layer.h"

struct moka__python {
	const char *module, *layer; /* as python_param names them */
	int bottoms, tops;	    /* at least so many */
	void (*shape)(struct moka_layer *l);
	enum moka_status (*check)(struct moka_layer *l, struct moka_findings *f, const char *param_str); /* or NULL */
	enum moka_status (*forward)(const struct moka_layer *l, struct moka_call *c); /* NULL: shaped only */
};

const struct moka__python *moka__python_find(const char *module, const char *layer); /* NULL: not known */
/* Counts bottoms and tops, sets the tops' shapes, and says where the class can't be run. */
enum moka_status moka__python_shape(const struct moka__python *k, struct moka_layer *l, struct moka_findings *f,
				    const char *param_str);
/* What stands behind `key` and its colon in a param_str such as "'feat_stride': 16"; NULL: not there. */
const char *moka__python_value(const char *param_str, const char *key);

#endif
