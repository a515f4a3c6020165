/*
 * blobview.c - one stored blob: its shape, and its values where they lie in the file.
 *
 * A BlobProto says its shape in `shape`, or (before 2014, and in many files since) as num, channels, height, width; its values as
 * data, double_data, or, in NVIDIA's fork, raw bytes of a stated type. Opening touches none of the values.
 */
#include "model/internal.h"

#include <inttypes.h>
#include <string.h>

/* Numbers in BlobProto. By number, because readers with smaller tables meet the same messages. */
enum {
	F_NUM = 1,
	F_CHANNELS,
	F_HEIGHT,
	F_WIDTH,
	F_DATA,
	F_DIFF,
	F_SHAPE,
	F_DOUBLE_DATA,
	F_DOUBLE_DIFF,
	F_RAW_TYPE,
	F_RAW_DIFF_TYPE,
	F_RAW_DATA,
	F_RAW_DIFF
};

static uint32_t number_of(const struct moka_node *n)
{
	return n->field ? n->field->number : n->number;
}

static const struct moka_node *last_of(const struct moka_msg *m, uint32_t number)
{
	const struct moka_node *found = NULL;

	for (const struct moka_node *n = m->first; n; n = n->next)
		if (number_of(n) == number)
			found = n;
	return found;
}

float moka__half_to_float(uint16_t h)
{
	const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t exponent = h >> 10 & 31, mantissa = h & 1023, bits;
	float f;

	if (exponent == 31) {
		bits = sign | 0x7f800000 | mantissa << 13;
	} else if (exponent) {
		bits = sign | (exponent + 112) << 23 | mantissa << 13;
	} else if (mantissa) { /* subnormal: shift until the leading one is where a float keeps it hidden */
		for (exponent = 113; !(mantissa & 1024); exponent--)
			mantissa <<= 1;
		bits = sign | exponent << 23 | (mantissa & 1023) << 13;
	} else {
		bits = sign;
	}
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static real value_at(enum moka_dtype t, const uint8_t *p)
{
	union {
		float f;
		double d;
		uint16_t h;
	} u;

	switch (t) {
	case MOKA_F32:
		memcpy(&u.f, p, 4);
		return (real)u.f;
	case MOKA_F64:
		memcpy(&u.d, p, 8);
		return (real)u.d;
	case MOKA_F16:
		memcpy(&u.h, p, 2);
		return (real)moka__half_to_float(u.h);
	case MOKA_U8:
		return (real)*p;
	case MOKA_I8:
		return (real)(int8_t)*p;
	}
	return 0;
}

void moka_blob_view_read(const struct moka_blob_view *v, int64_t begin, int64_t n, real *out)
{
	const uint8_t *p;

	MOKA_BUG(begin < 0 || n < 0 || begin > v->count || n > v->count - begin);
	if (!n)
		return;
	p = v->data + (size_t)begin * v->stride;
	if (v->dtype == (sizeof(real) == 4 ? MOKA_F32 : MOKA_F64) && v->stride == sizeof(real)) {
		memcpy(out, p, (size_t)n * sizeof(real));
		return;
	}
	for (int64_t i = 0; i < n; i++, p += v->stride)
		out[i] = value_at(v->dtype, p);
}

const char *moka_dims_text(int n_axes, const int64_t *dim, char *buf, size_t size)
{
	size_t at = 0;

	if (!size)
		return buf;
	snprintf(buf, size, "%s", n_axes < 0 ? "?" : n_axes == 0 ? "scalar" : "");
	for (int i = 0; i < n_axes && at < size; i++) {
		const char *x = i ? "x" : "";
		const int w = dim[i] < 0 ? snprintf(buf + at, size - at, "%s?", x)
					 : snprintf(buf + at, size - at, "%s%" PRId64, x, dim[i]);

		at += w > 0 ? (size_t)w : 0;
	}
	return buf;
}

/* ---- shape ---------------------------------------------------------------------------------- */

static enum moka_status read_legacy_shape(const struct moka_msg *blob, struct moka_blob_view *v, struct moka_error *err)
{
	static const char *const names[] = { "num", "channels", "height", "width" };

	v->legacy = true;
	v->n_axes = 4;
	for (uint32_t i = 0; i < 4; i++) {
		const struct moka_node *n = last_of(blob, F_NUM + i);

		v->dim[i] = n && n->kind == MOKA_NODE_INT ? n->u.i : 0;
		if (v->dim[i] < 0)
			return moka_fail(err, MOKA_ERR_FORMAT, "its %s is %" PRId64 ", which no blob can have",
					 names[i], v->dim[i]);
	}
	return MOKA_OK;
}

static enum moka_status read_new_shape(const struct moka_msg *shape, struct moka_blob_view *v, struct moka_error *err)
{
	const size_t n = moka_get_ints(shape, "dim", v->dim, MOKA_MAX_AXES);

	if (n > MOKA_MAX_AXES)
		return moka_fail(err, MOKA_ERR_LIMIT, "its shape has %zu axes; at most %d are possible", n,
				 MOKA_MAX_AXES);
	v->n_axes = (int)n;
	for (size_t i = 0; i < n; i++)
		if (v->dim[i] < 0)
			return moka_fail(err, MOKA_ERR_FORMAT, "dimension %zu of its shape is %" PRId64, i, v->dim[i]);
	return MOKA_OK;
}

static enum moka_status read_shape(const struct moka_msg *blob, struct moka_blob_view *v, struct moka_error *err)
{
	const struct moka_node *shape = last_of(blob, F_SHAPE);

	for (uint32_t i = F_NUM; i <= F_WIDTH; i++)
		if (last_of(blob, i))
			return read_legacy_shape(blob, v, err);
	if (shape && shape->kind == MOKA_NODE_MESSAGE && shape->u.m)
		return read_new_shape(shape->u.m, v, err);
	v->n_axes = -1;
	return MOKA_OK;
}

/* ---- values ----------------------------------------------------------------------------------- */

static size_t values_of(const struct moka_node *n)
{
	return n->kind == MOKA_NODE_RUN ? n->u.run.count : n->kind == MOKA_NODE_FLOAT ? 1 : 0;
}

/* Values of a repeated field, and how many nodes they are spread over. */
static int64_t count_values(const struct moka_msg *blob, uint32_t number, int *nodes)
{
	int64_t n = 0;

	*nodes = 0;
	for (const struct moka_node *x = blob->first; x; x = x->next) {
		if (number_of(x) != number || !values_of(x))
			continue;
		if (!moka_add(n, (int64_t)values_of(x), &n))
			return -1;
		++*nodes;
	}
	return n;
}

static void view_run(const struct moka_run *r, struct moka_blob_view *v)
{
	v->data = r->p + r->skip;
	v->stride = r->stride;
}

static const struct moka_node *first_with_values(const struct moka_msg *blob, uint32_t number)
{
	for (const struct moka_node *x = blob->first; x; x = x->next)
		if (number_of(x) == number && values_of(x))
			return x;
	return NULL;
}

/* Several pieces, or values that were text: one array in the arena. */
static enum moka_status gather(struct moka_arena *a, const struct moka_msg *blob, uint32_t number,
			       struct moka_blob_view *v, struct moka_error *err)
{
	const size_t width = v->dtype == MOKA_F64 ? 8 : 4;
	uint8_t *out = a ? moka_arena_alloc(a, (size_t)v->count, width) : NULL;

	v->data = out;
	v->stride = (uint32_t)width;
	if (!out)
		return a ? moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for its %" PRId64 " values", v->count)
			 : moka_fail(err, MOKA_ERR_UNSUPPORTED, "its values lie in several pieces");
	for (const struct moka_node *x = blob->first; x; x = x->next) {
		if (number_of(x) != number || !values_of(x))
			continue;
		if (x->kind == MOKA_NODE_RUN) {
			const struct moka_run *r = &x->u.run;

			for (size_t i = 0; i < r->count; i++, out += width)
				memcpy(out, r->p + r->skip + i * r->stride, width);
		} else if (width == 8) {
			memcpy(out, &x->u.d, 8);
			out += 8;
		} else {
			const float f = (float)x->u.d;

			memcpy(out, &f, 4);
			out += 4;
		}
	}
	return MOKA_OK;
}

static enum moka_status take_values(struct moka_arena *a, const struct moka_msg *blob, uint32_t number,
				    enum moka_dtype t, struct moka_blob_view *v, struct moka_error *err)
{
	const struct moka_node *first = first_with_values(blob, number);
	int nodes;

	v->dtype = t;
	v->count = count_values(blob, number, &nodes);
	v->stride = t == MOKA_F64 ? 8 : 4;
	if (v->count < 0)
		return moka_fail(err, MOKA_ERR_LIMIT, "it holds more values than can be counted");
	if (!v->count)
		return MOKA_OK;
	if (nodes > 1 || first->kind != MOKA_NODE_RUN)
		return gather(a, blob, number, v, err);
	view_run(&first->u.run, v);
	return MOKA_OK;
}

/* NVIDIA's raw_data: bytes of the type beside it (DOUBLE 0, FLOAT 1, FLOAT16 2; the others can't be weights). */
static enum moka_status take_raw(const struct moka_msg *blob, bool diff, const struct moka_node *raw,
				 struct moka_blob_view *v, struct moka_error *err)
{
	static const enum moka_dtype types[] = { MOKA_F64, MOKA_F32, MOKA_F16 };
	static const uint32_t widths[] = { 8, 4, 2 };
	const struct moka_node *type = last_of(blob, diff ? F_RAW_DIFF_TYPE : F_RAW_TYPE);
	const int64_t t = type && type->kind == MOKA_NODE_INT ? type->u.i : 0;

	if (t < 0 || t > 2)
		return moka_fail(
			err, MOKA_ERR_UNSUPPORTED,
			"its raw_data has the type %" PRId64 "; only 0 (double), 1 (float) and 2 (half) are known", t);
	if (raw->u.s.n % widths[t])
		return moka_fail(err, MOKA_ERR_FORMAT,
				 "its raw_data has %zu bytes, which is not a multiple of %" PRIu32, raw->u.s.n,
				 widths[t]);
	v->dtype = types[t];
	v->stride = widths[t];
	v->data = (const uint8_t *)raw->u.s.p;
	v->count = (int64_t)(raw->u.s.n / widths[t]);
	return MOKA_OK;
}

static enum moka_status take_data(struct moka_arena *a, const struct moka_msg *blob, bool diff,
				  struct moka_blob_view *v, struct moka_error *err)
{
	const struct moka_node *raw = last_of(blob, diff ? F_RAW_DIFF : F_RAW_DATA);

	if (raw && (raw->kind == MOKA_NODE_STRING || raw->kind == MOKA_NODE_RAW) && raw->u.s.n)
		return take_raw(blob, diff, raw, v, err);
	if (first_with_values(blob, diff ? F_DOUBLE_DIFF : F_DOUBLE_DATA))
		return take_values(a, blob, diff ? F_DOUBLE_DIFF : F_DOUBLE_DATA, MOKA_F64, v, err);
	return take_values(a, blob, diff ? F_DIFF : F_DATA, MOKA_F32, v, err);
}

static enum moka_status check_count(const struct moka_blob_view *v, struct moka_error *err)
{
	char text[256];
	int64_t n = 1;

	for (int i = 0; i < v->n_axes; i++)
		if (!moka_mul(n, v->dim[i], &n))
			return moka_fail(err, MOKA_ERR_LIMIT, "its shape %s has more values than can be counted",
					 moka_dims_text(v->n_axes, v->dim, text, sizeof(text)));
	if (v->n_axes < 0 || !v->count || v->count == n)
		return MOKA_OK;
	return moka_fail(err, MOKA_ERR_FORMAT,
			 "its shape is %s, which is %" PRId64 " values, but %" PRId64 " are stored",
			 moka_dims_text(v->n_axes, v->dim, text, sizeof(text)), n, v->count);
}

enum moka_status moka_blob_view_make(struct moka_arena *a, const struct moka_msg *blob, bool diff,
				     struct moka_blob_view *out, struct moka_error *err)
{
	memset(out, 0, sizeof(*out));
	MOKA_TRY(read_shape(blob, out, err));
	MOKA_TRY(take_data(a, blob, diff, out, err));
	return check_count(out, err);
}

enum moka_status moka_blob_view_from_msg(const struct moka_msg *blob, bool diff, struct moka_blob_view *out,
					 struct moka_error *err)
{
	return moka_blob_view_make(NULL, blob, diff, out, err);
}
