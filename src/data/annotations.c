/*
 * annotations.c - SSD's AnnotatedDatum: a Datum and groups of boxes, read in place; and where boxes come to lie in a cut-out.
 *
 *     AnnotatedDatum   1 datum   2 type   3 group*
 *     group            1 label   2 annotation*
 *     annotation       1 instance   2 box { 1 x1  2 y1  3 x2  4 y2  (floats)  6 difficult }
 */
#include "data/annotated.h"

#include <inttypes.h>
#include <string.h>

struct cursor {
	const uint8_t *p, *end;
};
struct field {
	uint64_t number, v; /* v: a varint */
	const uint8_t *p;   /* n bytes: of a message, of a float */
	size_t n;
	int wire;
};

static bool varint(struct cursor *c, uint64_t *v)
{
	*v = 0;
	for (int shift = 0; c->p < c->end && shift < 64; shift += 7) {
		const uint8_t b = *c->p++;

		*v |= (uint64_t)(b & 127) << shift;
		if (b < 128)
			return true;
	}
	return false;
}

static bool next_field(struct cursor *c, struct field *f)
{
	static const uint8_t fixed[8] = { [1] = 8, [5] = 4 };
	uint64_t tag, n;

	if (!varint(c, &tag))
		return false;
	f->number = tag >> 3;
	f->wire = (int)(tag & 7);
	if (f->wire == 0)
		return varint(c, &f->v);
	if (f->wire == 2) {
		if (!varint(c, &n))
			return false;
	} else {
		n = fixed[f->wire];
		if (!n)
			return false;
	}
	if (n > (uint64_t)(c->end - c->p))
		return false;
	f->p = c->p;
	f->n = (size_t)n;
	c->p += n;
	return true;
}

static bool read_box(struct cursor c, struct moka__object *o)
{
	struct field f;

	while (c.p < c.end) {
		if (!next_field(&c, &f))
			return false;
		if (f.wire == 5 && f.number >= 1 && f.number <= 4)
			memcpy((uint8_t *)&o->box + (f.number - 1) * sizeof(float), f.p, sizeof(float));
		else if (f.wire == 0 && f.number == 6)
			o->difficult = f.v != 0;
	}
	return true;
}

static bool read_annotation(struct cursor c, struct moka__object *o)
{
	struct field f;

	while (c.p < c.end) {
		if (!next_field(&c, &f))
			return false;
		if (f.wire == 0 && f.number == 1)
			o->instance = (int32_t)f.v;
		else if (f.wire == 2 && f.number == 2 && !read_box((struct cursor){ f.p, f.p + f.n }, o))
			return false;
	}
	return true;
}

/* The label may stand behind the boxes: it is looked for first. */
static bool read_group(const struct cursor whole, struct moka_buf *objects, int64_t *n)
{
	int32_t label = 0;
	struct field f;

	for (struct cursor c = whole; c.p < c.end;) {
		if (!next_field(&c, &f))
			return false;
		if (f.wire == 0 && f.number == 1)
			label = (int32_t)f.v;
	}
	for (struct cursor c = whole; c.p < c.end;) {
		struct moka__object o = { .label = label };

		next_field(&c, &f);
		if (f.wire != 2 || f.number != 2)
			continue;
		if (!read_annotation((struct cursor){ f.p, f.p + f.n }, &o))
			return false;
		++*n;
		if (objects)
			moka_buf_add(objects, &o, sizeof(o));
	}
	return true;
}

static bool read_record(struct cursor c, struct moka__annotated *out, struct moka_buf *objects)
{
	struct field f;

	while (c.p < c.end) {
		if (!next_field(&c, &f))
			return false;
		if (f.wire == 2 && f.number == 1) {
			out->datum = f.p;
			out->datum_bytes = f.n;
		} else if (f.wire == 0 && f.number == 2) {
			out->has_type = true;
		} else if (f.wire == 2 && f.number == 3 &&
			   !read_group((struct cursor){ f.p, f.p + f.n }, objects, &out->n)) {
			return false;
		}
	}
	return out->datum != NULL;
}

enum moka_status moka__annotated_parse(struct moka__annotated *out, const void *bytes, size_t n,
				       struct moka_buf *objects, const char *where, struct moka_error *err)
{
	const uint8_t *p = bytes;

	*out = (struct moka__annotated){ 0 };
	if (!read_record((struct cursor){ p, p + n }, out, objects)) {
		moka_fail(err, MOKA_ERR_DATA, "%s: its %zu bytes are not an AnnotatedDatum (a picture with boxes)",
			  where, n);
		moka_fail_hint(err, "a database of plain pictures is what the Data layer reads");
		return MOKA_ERR_DATA;
	}
	if (objects && objects->failed) {
		objects->failed = false;
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for its objects", where);
	}
	return MOKA_OK;
}

/* ---- rectangles ------------------------------------------------------------------------------------------ */

static float area(struct moka__rect r)
{
	return r.x2 < r.x1 || r.y2 < r.y1 ? 0 : (r.x2 - r.x1) * (r.y2 - r.y1);
}

static float shared(struct moka__rect a, struct moka__rect b)
{
	return area((struct moka__rect){ MOKA_MAX(a.x1, b.x1), MOKA_MAX(a.y1, b.y1), MOKA_MIN(a.x2, b.x2),
					 MOKA_MIN(a.y2, b.y2) });
}

float moka__rect_overlap(struct moka__rect a, struct moka__rect b)
{
	const float both = shared(a, b);

	return both > 0 ? both / (area(a) + area(b) - both) : 0;
}

float moka__rect_coverage(struct moka__rect a, struct moka__rect b)
{
	const float both = shared(a, b);

	return both > 0 ? both / area(a) : 0;
}

static float unit(float v)
{
	return v > 0 ? v < 1 ? v : 1 : 0;
}

static bool emitted(struct moka__rect box, struct moka__rect frame, const struct moka__emit *e)
{
	const float x = (box.x1 + box.x2) / 2, y = (box.y1 + box.y2) / 2;

	if (!e->on)
		return true;
	if (e->overlap)
		return moka__rect_coverage(box, frame) > e->least;
	return x >= frame.x1 && x <= frame.x2 && y >= frame.y1 && y <= frame.y2;
}

int64_t moka__objects_project(struct moka__object *o, int64_t n, struct moka__rect frame, const struct moka__emit *emit)
{
	const float w = frame.x2 - frame.x1, h = frame.y2 - frame.y1;
	int64_t kept = 0;

	for (int64_t i = 0; i < n; i++) {
		struct moka__rect b = o[i].box;

		if (!emitted(b, frame, emit) ||
		    !(b.x1 < frame.x2 && b.x2 > frame.x1 && b.y1 < frame.y2 && b.y2 > frame.y1))
			continue;
		b = (struct moka__rect){ unit((b.x1 - frame.x1) / w), unit((b.y1 - frame.y1) / h),
					 unit((b.x2 - frame.x1) / w), unit((b.y2 - frame.y1) / h) };
		if (area(b) <= 0)
			continue;
		o[kept] = o[i];
		o[kept++].box = b;
	}
	return kept;
}
