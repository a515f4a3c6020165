/*
 * Python: a layer that a Python class computes. Known by its settings; its shapes are the class's own affair, and it is
 * not run from C.
 */
#include "layer.h"

struct python_param {
	const char *module, *layer, *param_str;
	bool share_in_parallel;
};

/* clang-format off */
static const struct moka_field python_fields[] = {
	MOKA_F_STRING(struct python_param, module, 1, NULL, "Python module that holds the class"),
	MOKA_F_STRING(struct python_param, layer, 2, NULL, "name of the class"),
	MOKA_F_STRING(struct python_param, param_str, 3, "", "handed to the class as self.param_str"),
	MOKA_F_BOOL(struct python_param, share_in_parallel, 4, 0, "deprecated"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message python_message = { "PythonParameter", python_fields, sizeof(struct python_param) };

static enum moka_status python_shape(struct moka_layer *l, struct moka_findings *f)
{
	(void)f;
	return moka_layer_unknown(l);
}

const struct moka_layer_type moka_layer_python = {
	.schema = { "Python", "python_param", 130, 0, &python_message, NULL, 0, NULL },
	.doc = "computed by a Python class",
	.min_bottom = 0,
	.max_bottom = -1,
	.min_top = 0,
	.max_top = -1,
	.flags = MOKA_PARTIAL,
	.shape = python_shape,
};
