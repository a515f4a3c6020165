/*
 * shape_param.c - reads a BlobShape: Input, Parameter and DummyData state their tops with one.
 */
#include "shape_param.h"

enum moka_status moka__shape_from_param(const struct moka_layer *l, struct moka_findings *f, const char *field,
					const struct moka_shape_param *p, struct moka_shape *out)
{
	const size_t n = p ? p->dim.n : 0;

	*out = moka_shape_make(0);
	if (n > MOKA_MAX_AXES)
		return moka_layer_bad(l, f, "too-many-axes", field, "a blob has at most %d axes, and %zu are given",
				      MOKA_MAX_AXES, n);
	for (size_t i = 0; i < n; i++) {
		const int64_t d = MOKA_LIST_AT(p->dim, int64_t, i);

		if (d < 0)
			return moka_layer_bad(l, f, "bad-shape", field,
					      "dimension %zu is %lld; a size can't be negative", i, (long long)d);
		out->d[out->n++] = d;
	}
	return MOKA_OK;
}
