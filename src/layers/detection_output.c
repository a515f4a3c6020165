/*
 * DetectionOutput (SSD): boxes from offsets, scores and priors: decoded, the overlapping ones of each class dropped, the
 * best of each image kept.
 *
 *     bottoms: offsets (N, priors * locs * 4), scores (N, priors * classes), priors (1, 2, priors * 4); a fourth, the pictures
 *              to draw on, is not used
 *     top:     (1, 1, rows, 7): image, label, score, x1, y1, x2, y2; by image, then by label, then best first
 *
 * How many rows are real only the data tell. The top has room for the most there can be (keep_top_k an image); zeros
 * follow the last real one. Where nothing at all is detected each image has one row of -1 behind its number, as in SSD.
 */
#include "boxes.h"

#include <float.h>
#include <string.h>

struct detection_output_param {
	uint32_t num_classes;
	bool share_location, variance_encoded_in_target, visualize;
	int32_t background_label_id, keep_top_k;
	const struct moka__nms_param *nms_param;
	int code_type;
	float confidence_threshold, visualize_threshold;
	const char *save_file;
};

/* clang-format off */
#define NOWHERE(name, number, kind, help) { name, number, kind, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, help, NULL }
static const struct moka_field save_fields[] = {
	NOWHERE("output_directory", 1, MOKA_STRING, "folder of the results"),
	NOWHERE("output_name_prefix", 2, MOKA_STRING, "start of the files' names"),
	NOWHERE("output_format", 3, MOKA_STRING, "VOC, COCO or ILSVRC"),
	NOWHERE("label_map_file", 4, MOKA_STRING, "names of the labels"),
	NOWHERE("name_size_file", 5, MOKA_STRING, "names and sizes of the pictures, in the order of the data"),
	NOWHERE("num_test_image", 6, MOKA_UINT32, "how many pictures there are"),
	{ "resize_param", 7, MOKA_MESSAGE, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, &moka__resize_message,
	  "how the pictures were resized", NULL },
	MOKA_F_END
};
static const struct moka_message save_message = { "SaveOutputParameter", save_fields, 0 };

#define P struct detection_output_param
static const struct moka_field detection_output_fields[] = {
	MOKA_F_UINT32(P, num_classes, 1, 0, "classes that are scored, the background among them; required"),
	MOKA_F_BOOL(P, share_location, 2, true, "one set of offsets for all classes; false: one a class"),
	MOKA_F_INT32(P, background_label_id, 3, 0, "the class that is no object; -1: there is none"),
	MOKA_F_MSG(P, nms_param, 4, &moka__nms_message, "which overlapping boxes are dropped"),
	{ "save_output_param", 5, MOKA_MESSAGE, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, &save_message,
	  "files that SSD writes besides; Moka writes none", NULL },
	MOKA_F_ENUM(P, code_type, 6, moka__box_code_values, MOKA__CORNER, "what the offsets mean"),
	MOKA_F_INT32(P, keep_top_k, 7, -1, "boxes kept of an image; -1: all"),
	MOKA_F_BOOL(P, variance_encoded_in_target, 8, false, "the offsets are not scaled by the variances"),
	MOKA_F_FLOAT(P, confidence_threshold, 9, 0, "only boxes with a higher score; absent: all"),
	MOKA_F_BOOL(P, visualize, 10, false, "SSD draws the boxes; ignored"),
	MOKA_F_FLOAT(P, visualize_threshold, 11, 0, "those with a higher score; ignored"),
	MOKA_F_STRING(P, save_file, 12, NULL, "a video to draw into; ignored"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message detection_output_message = { "DetectionOutputParameter", detection_output_fields,
							      sizeof(struct detection_output_param) };

struct detection {
	int64_t num, priors, classes, locs; /* locs: sets of offsets, 1 or classes */
	int64_t looked;			    /* boxes of a class that suppression looks at, at most */
	int64_t rows;			    /* of an image, at most */
};

static int64_t top_k(const struct detection_output_param *p)
{
	return p->nms_param ? p->nms_param->top_k : -1;
}

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct detection_output_param *p = l->param;

	if (p->num_classes < 1 || p->num_classes > INT32_MAX)
		return moka_layer_bad(l, f, "missing-setting", "num_classes",
				      "num_classes must say how many classes are scored");
	return moka__nms_check(l, f, p->nms_param);
}

/* Bottom i must have `want` values an item. */
static enum moka_status check_size(const struct moka_layer *l, struct moka_findings *f, int i, int64_t want,
				   const char *what)
{
	const struct moka_shape *s = &l->bottom[i].shape;
	const int64_t size = s->n < 1 ? -1 : moka_shape_count_range(s, 1, s->n);
	char text[MOKA_SHAPE_TEXT];

	if (s->n == 0 || (size >= 0 && want >= 0 && size != want))
		return moka_layer_bad_bottom(l, f, "shape-mismatch", i, "'%s' is %s, and %s make %lld values an item",
					     l->bottom[i].name, moka_shape_text(s, text, sizeof(text)), what,
					     (long long)want);
	return MOKA_OK;
}

static enum moka_status read_geometry(const struct moka_layer *l, struct moka_findings *f, struct detection *v)
{
	const struct detection_output_param *p = l->param;
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;
	char text[MOKA_SHAPE_TEXT], what[96];
	int64_t d[4];

	moka__legacy_dims(&l->bottom[2].shape, d);
	if (l->bottom[2].shape.n >= 0 && (d[1] >= 0 && d[1] != 2))
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 2, "'%s' is %s: priors are 1 x 2 x (boxes * 4), as PriorBox makes them",
			l->bottom[2].name, moka_shape_text(&l->bottom[2].shape, text, sizeof(text)));
	v->num = a->n > 0 ? a->d[0] : -1;
	v->priors = d[2] < 0 ? -1 : d[2] / 4;
	v->classes = p->num_classes;
	v->locs = p->share_location ? 1 : v->classes;
	snprintf(what, sizeof(what), "%lld priors", (long long)v->priors);
	MOKA_TRY(check_size(l, f, 0, moka_layer_product(3, (int64_t[]){ v->priors, v->locs, 4 }), what));
	snprintf(what, sizeof(what), "%lld priors with %lld classes", (long long)v->priors, (long long)v->classes);
	MOKA_TRY(check_size(l, f, 1, moka_layer_product(2, (int64_t[]){ v->priors, v->classes }), what));
	if (v->num >= 0 && b->n > 0 && b->d[0] >= 0 && b->d[0] != v->num)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1, "'%s' has %lld items and '%s' %lld",
					     l->bottom[0].name, (long long)v->num, l->bottom[1].name,
					     (long long)b->d[0]);
	if (moka_layer_product(2, (int64_t[]){ v->priors, v->classes }) > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", "num_classes", "%lld priors with %lld classes are too many",
				      (long long)v->priors, (long long)v->classes);
	return MOKA_OK;
}

static enum moka_status detection_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct detection_output_param *p = l->param;
	struct detection *v = moka_layer_priv(l, sizeof(*v));
	int64_t objects;

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = moka_shape_make(4, (int64_t)1, (int64_t)1, (int64_t)-1, (int64_t)7);
	MOKA_TRY(check_settings(l, f));
	MOKA_TRY(read_geometry(l, f, v));
	objects = v->classes - (p->background_label_id >= 0 && p->background_label_id < v->classes);
	v->looked = v->priors < 0 || top_k(p) < 0 ? v->priors : MOKA_MIN(v->priors, top_k(p));
	v->rows = moka_layer_product(2, (int64_t[]){ objects, v->looked });
	if (v->rows >= 0 && p->keep_top_k >= 0)
		v->rows = MOKA_MIN(v->rows, p->keep_top_k);
	/* one row even where nothing can be kept: for the row of -1 */
	l->top[0].shape.d[2] = moka_layer_product(2, (int64_t[]){ v->num, v->rows < 0 ? -1 : MOKA_MAX(v->rows, 1) });
	l->scratch_bytes =
		moka_layer_bytes(moka_layer_product(3, (int64_t[]){ v->num, v->locs, v->priors }),
				 sizeof(struct moka__box)) +
		moka_layer_bytes(moka_layer_product(3, (int64_t[]){ v->num, v->classes, v->priors }),
				 sizeof(struct moka__ranked)) +
		moka_layer_bytes(moka_layer_product(3, (int64_t[]){ v->num, v->classes, v->looked }),
				 sizeof(struct moka__ranked)) +
		moka_layer_bytes(moka_layer_product(2, (int64_t[]){ v->num, v->classes + 1 }), sizeof(int64_t));
	return MOKA_OK;
}

struct detection_job {
	const struct detection *v;
	const struct detection_output_param *p;
	const real *loc, *conf, *prior;
	real threshold;
	struct moka__box *box;	     /* (num, locs, priors) */
	struct moka__ranked *ranked; /* (num, classes, priors): of a class those kept, in front */
	struct moka__ranked
		*picked;       /* (num, classes * looked): of an image those kept; index: class * looked + place */
	int64_t *kept, *picks; /* how many: (num, classes), (num) */
};

static void decode_piece(void *arg, int64_t begin, int64_t end)
{
	const struct detection_job *j = arg;
	const struct detection *v = j->v;

	for (int64_t i = begin; i < end; i++) {
		const int64_t n = i / v->priors, k = i % v->priors;
		const real *variance = j->p->variance_encoded_in_target ? NULL : j->prior + (v->priors + k) * 4;

		for (int64_t q = 0; q < v->locs; q++)
			j->box[(n * v->locs + q) * v->priors + k] = moka__box_decode(
				j->p->code_type, j->prior + k * 4, variance, j->loc + (i * v->locs + q) * 4);
	}
}

/* Classes of images, numbered (num, classes). */
static void class_piece(void *arg, int64_t begin, int64_t end)
{
	const struct detection_job *j = arg;
	const struct detection *v = j->v;
	const struct moka__nms_param *nms = j->p->nms_param;

	for (int64_t i = begin; i < end; i++) {
		const int64_t n = i / v->classes, k = i % v->classes, q = v->locs == 1 ? 0 : k;
		struct moka__ranked *r = j->ranked + i * v->priors;

		j->kept[i] = 0;
		if (k == j->p->background_label_id)
			continue;
		j->kept[i] = moka__box_rank(j->conf + n * v->priors * v->classes + k, v->priors, v->classes,
					    j->threshold, top_k(j->p), r);
		j->kept[i] = moka__nms(j->box + (n * v->locs + q) * v->priors, r, j->kept[i],
				       (real)(nms ? nms->nms_threshold : 0.3f), (real)(nms ? nms->eta : 1), -1,
				       MOKA__BOX_NORMALISED);
	}
}

/* The keep_top_k best of each image, over its classes; back in the order of classes. */
static void image_piece(void *arg, int64_t begin, int64_t end)
{
	const struct detection_job *j = arg;
	const struct detection *v = j->v;

	for (int64_t n = begin; n < end; n++) {
		struct moka__ranked *out = j->picked + n * v->classes * v->looked;
		int64_t m = 0;

		for (int64_t k = 0; k < v->classes; k++)
			for (int64_t i = 0; i < j->kept[n * v->classes + k]; i++)
				out[m++] = (struct moka__ranked){ j->ranked[(n * v->classes + k) * v->priors + i].score,
								  (int32_t)(k * v->looked + i) };
		if (j->p->keep_top_k >= 0 && m > j->p->keep_top_k) {
			moka__rank_sort(out, m);
			m = j->p->keep_top_k;
			moka__rank_sort_index(out, m);
		}
		j->picks[n] = m;
	}
}

static int64_t write_image(const struct detection_job *j, int64_t n, real *top)
{
	const struct detection *v = j->v;
	const struct moka__ranked *pick = j->picked + n * v->classes * v->looked;

	for (int64_t i = 0; i < j->picks[n]; i++, top += 7) {
		const int64_t class = pick[i].index / v->looked, place = pick[i].index % v->looked;
		const struct moka__ranked *r = j->ranked + (n * v->classes + class) * v->priors + place;
		const struct moka__box *b = j->box + (n * v->locs + (v->locs == 1 ? 0 : class)) * v->priors + r->index;
		const real row[7] = { (real)n, (real) class, r->score, b->x1, b->y1, b->x2, b->y2 };

		memcpy(top, row, sizeof(row));
	}
	return j->picks[n] * 7;
}

static void write_rows(const struct detection_job *j, const struct moka_view *top)
{
	int64_t at = 0;

	for (int64_t n = 0; n < j->v->num; n++)
		at += write_image(j, n, top->data + at);
	for (int64_t n = 0; !at && n < j->v->num; n++) {
		moka_set(7, -1, top->data + n * 7);
		top->data[n * 7] = (real)n;
	}
	at = at ? at : j->v->num * 7;
	moka_set(top->count - at, 0, top->data + at);
}

static enum moka_status detection_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct detection *v = l->priv;
	const struct detection_output_param *p = l->param;
	struct detection_job j = {
		.v = v, .p = p, .loc = c->bottom[0].data, .conf = c->bottom[1].data, .prior = c->bottom[2].data
	};

	MOKA_TRY(moka__priors_check(l, c, 2, v->priors, p->code_type));
	j.threshold = moka_has(l->sub, "confidence_threshold") ? (real)p->confidence_threshold : -(real)FLT_MAX;
	j.kept = c->scratch; /* the widest first, so that all are aligned */
	j.picks = j.kept + v->num * v->classes;
	j.box = (struct moka__box *)(j.picks + v->num);
	j.ranked = (struct moka__ranked *)(j.box + v->num * v->locs * v->priors);
	j.picked = j.ranked + v->num * v->classes * v->priors;
	moka_parallel(c->pool, decode_piece, &j, v->num * v->priors, 1024);
	moka_parallel(c->pool, class_piece, &j, v->num * v->classes, 1);
	moka_parallel(c->pool, image_piece, &j, v->num, 1);
	write_rows(&j, &c->top[0]);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_detection_output = {
	.schema = { "DetectionOutput", "detection_output_param", 204, 0, &detection_output_message, NULL, 0, "SSD" },
	.doc = "detected objects: decodes boxes, drops overlapping ones, keeps the best",
	.min_bottom = 3, .max_bottom = 4, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = detection_shape, .forward = detection_forward,
};
/* clang-format on */
