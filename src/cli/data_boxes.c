/*
 * data_boxes.c - the boxes of pictures: a label map, files of boxes (VOC's XML, or text), and the AnnotatedDatum made of them.
 *
 *     <annotation> <size> <width> <height> </size>
 *       <object> <name> <difficult> <bndbox> <xmin> <ymin> <xmax> <ymax> </bndbox> </object> ... </annotation>
 *
 * Objects of one label make one group, groups come in the order in which their labels appear, and objects of a group are numbered.
 */
#include "cli/data_boxes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "layers/layer.h"

#define MAX_OBJECTS 100000

struct object {
	int64_t label;
	double x1, y1, x2, y2;
	bool difficult;
};
struct span {
	const char *p, *end;
};

/* ---- the label map: item { name: "cat" label: 3 } ------------------------------------------------------------ */

/* clang-format off */
#define ONE(name, number, kind, help) { name, number, kind, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, help, NULL }
static const struct moka_field item_fields[] = {
	ONE("name", 1, MOKA_STRING, "as files of boxes have it"),
	ONE("label", 2, MOKA_INT32, "its number"),
	ONE("display_name", 3, MOKA_STRING, "for people"),
	MOKA_F_END
};
static const struct moka_message item_message = { "LabelMapItem", item_fields, 0 };
static const struct moka_field map_fields[] = {
	{ "item", 1, MOKA_MESSAGE, MOKA_REPEATED, MOKA_NOWHERE, 0, NULL, NULL, &item_message, "a label", NULL },
	MOKA_F_END
};
static const struct moka_message map_message = { "LabelMap", map_fields, 0 };
/* clang-format on */

static enum moka_status keep_labels(struct cli_boxes *b, const struct moka_msg *m, const char *path,
				    struct moka_arena *a, struct moka_error *err)
{
	const int n = moka_count(m, "item");

	b->labels = MOKA_NEWN(a, n, struct cli_label);
	if (!n || !b->labels)
		return moka_fail(err, MOKA_ERR_DATA, "%s: no labels in it; 'item { name: \"cat\" label: 1 }' is one",
				 path);
	for (const struct moka_node *node = NULL; (node = moka_next(m, "item", node));) {
		struct cli_label *l = &b->labels[b->n_labels++];

		*l = (struct cli_label){ moka_arena_strdup(a, moka_get_string(node->u.m, "name", "")),
					 moka_get_int(node->u.m, "label") };
		if (!l->name || l->label < 0)
			return moka_fail(err, MOKA_ERR_DATA, "%s: the label of '%s' is %" PRId64 ", and 0 is the least",
					 path, l->name ? l->name : "", l->label);
	}
	return MOKA_OK;
}

enum moka_status cli_boxes_map(struct cli_boxes *b, const char *path, struct moka_arena *a, struct moka_error *err)
{
	struct moka_findings f;
	struct moka_file file;
	struct moka_msg *m = NULL;
	enum moka_status st;

	MOKA_TRY(moka_file_open(&file, path, err));
	const struct moka_text text = { path, file.data ? (const char *)file.data : "", file.size };

	moka_findings_init(&f);
	st = moka_text_parse(a, &text, &map_message, &moka_layer_schema, &f, &m);
	if (st || f.errors)
		st = moka_fail(err, MOKA_ERR_DATA, "%s: not a label map: %s", path,
			       f.n ? f.items[0].message : "it can't be read");
	else
		st = keep_labels(b, m, path, a, err);
	moka_findings_release(&f);
	moka_file_release(&file);
	return st;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static enum moka_status keep_line(struct cli_boxes *b, struct moka_picture_list *out, struct span s, int64_t number,
				  const char *path, struct moka_arena *a, struct moka_error *err)
{
	const char *at;

	while (s.p < s.end && is_space(s.end[-1]))
		s.end--;
	while (s.p < s.end && is_space(*s.p))
		s.p++;
	if (s.p == s.end)
		return MOKA_OK;
	for (at = s.end; at > s.p && !is_space(at[-1]);)
		at--;
	if (at == s.p)
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s:%" PRId64 ": a line is PICTURE BOXES, two names of files; here is one", path,
				 number);
	b->files[out->n] = moka_arena_strndup(a, at, (size_t)(s.end - at));
	while (at > s.p && is_space(at[-1]))
		at--;
	out->lines[out->n] =
		(struct moka_picture_line){ moka_arena_strndup(a, s.p, (size_t)(at - s.p)), out->n, number };
	if (!b->files[out->n] || !out->lines[out->n].name)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	out->n++;
	return MOKA_OK;
}

enum moka_status cli_boxes_list(struct cli_boxes *b, struct moka_picture_list *out, const char *path,
				struct moka_arena *a, struct moka_error *err)
{
	struct moka_file f;
	int64_t lines = 1, number = 0;
	enum moka_status st = MOKA_OK;

	MOKA_TRY(moka_file_open(&f, path, err));
	const char *p = (const char *)f.data, *end = p ? p + f.size : p;

	for (const char *q = p; q < end; q++)
		lines += *q == '\n';
	*out = (struct moka_picture_list){ MOKA_NEWN(a, lines, struct moka_picture_line), 0 };
	b->files = MOKA_NEWN(a, lines, const char *);
	if (!out->lines || !b->files)
		st = moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	while (!st && p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		stop = stop ? stop : end;
		st = keep_line(b, out, (struct span){ p, stop }, ++number, path, a, err);
		p = stop < end ? stop + 1 : end;
	}
	if (!st && !out->n)
		st = moka_fail(err, MOKA_ERR_DATA, "%s: this list is empty", path);
	moka_file_release(&f);
	return st;
}

/* ---- XML, as far as this needs it -------------------------------------------------------------------------------------- */

struct element {
	struct span name, inner;
};

static const char *find(struct span s, const char *what)
{
	const size_t n = strlen(what);

	for (; s.p + n <= s.end; s.p++)
		if (!memcmp(s.p, what, n))
			return s.p;
	return NULL;
}

/* The next tag: its '<' to behind its '>'; comments and declarations are stepped over. */
static bool next_tag(struct span *s, struct span *tag)
{
	while ((tag->p = find(*s, "<"))) {
		const bool comment = s->end - tag->p >= 4 && !memcmp(tag->p, "<!--", 4);
		const char *stop = find((struct span){ tag->p, s->end }, comment ? "-->" : ">");

		if (!stop)
			return false;
		tag->end = s->p = stop + (comment ? 3 : 1);
		if (tag->p[1] != '!' && tag->p[1] != '?')
			return true;
	}
	return false;
}

/* The next element among the children of `s`. False: none, or one that doesn't end. */
static bool next_child(struct span *s, struct element *e)
{
	struct span tag;
	int depth = 1;

	if (!next_tag(s, &tag) || tag.p[1] == '/')
		return false;
	e->name.p = e->name.end = tag.p + 1;
	while (e->name.end < tag.end && !strchr(" \t\r\n/>", *e->name.end))
		e->name.end++;
	e->inner = (struct span){ tag.end, tag.end };
	if (tag.end[-2] == '/')
		return true;
	while (depth && next_tag(s, &tag))
		depth += tag.p[1] == '/' ? -1 : tag.end[-2] != '/';
	e->inner.end = depth ? e->inner.p : tag.p;
	return !depth;
}

static bool is(struct span s, const char *word)
{
	return (size_t)(s.end - s.p) == strlen(word) && !memcmp(s.p, word, strlen(word));
}

static struct span trimmed(struct span s)
{
	while (s.p < s.end && (is_space(*s.p) || *s.p == '\n'))
		s.p++;
	while (s.p < s.end && (is_space(s.end[-1]) || s.end[-1] == '\n'))
		s.end--;
	return s;
}

static double number_of(struct span s)
{
	char text[64];

	s = trimmed(s);
	snprintf(text, sizeof(text), "%.*s", (int)MOKA_MIN(s.end - s.p, 63), s.p);
	return strtod(text, NULL);
}

static void read_corners(struct span s, struct object *o)
{
	for (struct element e; next_child(&s, &e);) {
		double *to = is(e.name, "xmin")	  ? &o->x1
			     : is(e.name, "ymin") ? &o->y1
			     : is(e.name, "xmax") ? &o->x2
			     : is(e.name, "ymax") ? &o->y2
						  : NULL;

		if (to)
			*to = number_of(e.inner);
	}
}

static bool find_label(const struct cli_boxes *b, struct span name, int64_t *label)
{
	name = trimmed(name);
	for (int64_t i = 0; i < b->n_labels; i++)
		if (is(name, b->labels[i].name)) {
			*label = b->labels[i].label;
			return true;
		}
	return false;
}

static enum moka_status read_object(struct cli_boxes *b, struct span s, const char *path, struct moka_error *err)
{
	struct object o = { .label = -1 };
	bool box = false;

	for (struct element e; next_child(&s, &e);) {
		if (is(e.name, "name") && !find_label(b, e.inner, &o.label))
			return moka_fail(err, MOKA_ERR_DATA,
					 "%s: an object is '%.*s', which the label map doesn't have", path,
					 (int)MOKA_MIN(e.inner.end - e.inner.p, 100), e.inner.p);
		if (is(e.name, "difficult"))
			o.difficult = number_of(e.inner) == 1;
		if (is(e.name, "bndbox")) {
			read_corners(e.inner, &o);
			box = true;
		}
	}
	if (o.label < 0 || !box)
		return moka_fail(err, MOKA_ERR_DATA, "%s: an object without a %s", path, box ? "name" : "bndbox");
	moka_buf_add(&b->objects, &o, sizeof(o));
	return MOKA_OK;
}

static enum moka_status read_xml(struct cli_boxes *b, struct span s, const char *path, double *height, double *width,
				 struct moka_error *err)
{
	struct element root, e, side;

	if (!next_child(&s, &root) || !is(root.name, "annotation"))
		return moka_fail(err, MOKA_ERR_DATA, "%s: no <annotation> ... </annotation> in it, as VOC's files have",
				 path);
	while (next_child(&root.inner, &e)) {
		if (is(e.name, "object"))
			MOKA_TRY(read_object(b, e.inner, path, err));
		for (struct span in = e.inner; is(e.name, "size") && next_child(&in, &side);) {
			if (is(side.name, "height"))
				*height = number_of(side.inner);
			if (is(side.name, "width"))
				*width = number_of(side.inner);
		}
	}
	return MOKA_OK;
}

/* ---- text ---------------------------------------------------------------------------------------------------------------- */

static enum moka_status read_text(struct cli_boxes *b, struct span s, const char *path, struct moka_error *err)
{
	for (int64_t number = 1; s.p < s.end; number++) {
		const char *stop = memchr(s.p, '\n', (size_t)(s.end - s.p));
		char line[256];
		struct object o = { 0 };
		int fields;

		stop = stop ? stop : s.end;
		snprintf(line, sizeof(line), "%.*s", (int)MOKA_MIN(stop - s.p, 255), s.p);
		s.p = stop < s.end ? stop + 1 : s.end;
		fields = sscanf(line, "%" SCNd64 " %lf %lf %lf %lf", &o.label, &o.x1, &o.y1, &o.x2, &o.y2);
		if (fields == 5 && o.label >= 0 && o.label <= INT32_MAX)
			moka_buf_add(&b->objects, &o, sizeof(o));
		else if (fields > 0 || *trimmed((struct span){ line, line + strlen(line) }).p)
			return moka_fail(err, MOKA_ERR_DATA, "%s:%" PRId64 ": not LABEL XMIN YMIN XMAX YMAX", path,
					 number);
	}
	return MOKA_OK;
}

/* ---- the record ------------------------------------------------------------------------------------------------------------ */

static void put_varint(struct moka_buf *b, uint64_t v)
{
	for (; v > 127; v >>= 7)
		moka_buf_putc(b, (char)(v | 128));
	moka_buf_putc(b, (char)v);
}

static void put_message(struct moka_buf *b, int number, const struct moka_buf *inner)
{
	moka_buf_putc(b, (char)(number << 3 | 2));
	put_varint(b, inner->len);
	moka_buf_add(b, inner->data, inner->len);
}

static void put_annotation(struct moka_buf *group, const struct object *o, int64_t instance, double height,
			   double width)
{
	const float v[4] = { (float)(o->x1 / width), (float)(o->y1 / height), (float)(o->x2 / width),
			     (float)(o->y2 / height) };
	struct moka_buf box, annotation;

	moka_buf_init(&box, 0);
	moka_buf_init(&annotation, 0);
	for (int i = 0; i < 4; i++) {
		moka_buf_putc(&box, (char)((i + 1) << 3 | 5));
		moka_buf_add(&box, &v[i], sizeof(v[i]));
	}
	moka_buf_putc(&box, 6 << 3);
	moka_buf_putc(&box, (char)o->difficult);
	moka_buf_putc(&annotation, 1 << 3);
	put_varint(&annotation, (uint64_t)instance);
	put_message(&annotation, 2, &box);
	put_message(group, 2, &annotation);
	group->failed |= box.failed || annotation.failed;
	moka_buf_release(&box);
	moka_buf_release(&annotation);
}

/* All objects of the label of object `first`, which is the first that has it. */
static void put_group(struct moka_buf *record, const struct object *o, int64_t n, int64_t first, double height,
		      double width)
{
	struct moka_buf group;
	int64_t instance = 0;

	moka_buf_init(&group, 0);
	moka_buf_putc(&group, 1 << 3);
	put_varint(&group, (uint64_t)o[first].label);
	for (int64_t i = first; i < n; i++)
		if (o[i].label == o[first].label)
			put_annotation(&group, &o[i], instance++, height, width);
	put_message(record, 3, &group);
	record->failed |= group.failed;
	moka_buf_release(&group);
}

static enum moka_status put_record(struct cli_boxes *b, const struct moka_datum *d, double height, double width,
				   struct moka_error *err)
{
	const struct object *o = (const struct object *)(const void *)b->objects.data;
	const int64_t n = (int64_t)(b->objects.len / sizeof(*o));
	struct moka_buf datum;

	moka_buf_init(&datum, 0);
	moka_datum_write(d, &datum);
	b->record.len = 0;
	put_message(&b->record, 1, &datum);
	moka_buf_putc(&b->record, 2 << 3);
	moka_buf_putc(&b->record, 0);
	for (int64_t i = 0; i < n; i++) {
		int64_t before = 0;

		while (before < i && o[before].label != o[i].label)
			before++;
		if (before == i)
			put_group(&b->record, o, n, i, height, width);
	}
	const bool failed = datum.failed || b->record.failed || b->objects.failed;

	moka_buf_release(&datum);
	return failed ? moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for a record") : MOKA_OK;
}

enum moka_status cli_boxes_record(struct cli_boxes *b, const char *path, int64_t height, int64_t width,
				  const struct moka_datum *d, struct moka_error *err)
{
	double h = (double)height, w = (double)width;
	struct moka_file f = { 0 };
	enum moka_status st = MOKA_OK;

	b->objects.len = 0;
	if (moka_path_exists(path)) {
		MOKA_TRY(moka_file_open(&f, path, err));
		const char *p = f.data ? (const char *)f.data : "";
		const struct span all = { p, p + f.size };

		st = b->xml ? read_xml(b, all, path, &h, &w, err) : read_text(b, all, path, err);
		moka_file_release(&f);
	}
	if (!st && b->objects.len / sizeof(struct object) > MAX_OBJECTS)
		st = moka_fail(err, MOKA_ERR_LIMIT, "%s: more than %d objects", path, MAX_OBJECTS);
	if (!st && !(h >= 1 && w >= 1))
		st = moka_fail(err, MOKA_ERR_DATA, "%s: its picture has a size of %g x %g", path, h, w);
	return st ? st : put_record(b, d, h, w, err);
}
