/*
 * The field tables against BVLC Caffe's own definitions, and random messages against protoc. Wants `protoc` and, in
 * MOKA_CAFFE_PROTO, the path of BVLC's caffe.proto (which is no part of this project); skips without.
 */
#include "t.h"

#include "layers/layer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the part of descriptor.proto that matters -------------------------------------------------- */

/* clang-format off */
#define ROW(name, num, kind, label, msg) { name, num, kind, label, MOKA_NOWHERE, 0, NULL, NULL, msg, NULL, NULL }
static const struct moka_field option_fields[] = { ROW("packed", 2, MOKA_BOOL, MOKA_OPTIONAL, NULL), MOKA_F_END };
static const struct moka_message option_message = { "FieldOptions", option_fields, 0 };
static const struct moka_field field_fields[] = {
	ROW("name", 1, MOKA_STRING, MOKA_OPTIONAL, NULL), ROW("number", 3, MOKA_INT32, MOKA_OPTIONAL, NULL),
	ROW("label", 4, MOKA_INT32, MOKA_OPTIONAL, NULL), ROW("type", 5, MOKA_INT32, MOKA_OPTIONAL, NULL),
	ROW("type_name", 6, MOKA_STRING, MOKA_OPTIONAL, NULL), ROW("default_value", 7, MOKA_STRING, MOKA_OPTIONAL, NULL),
	ROW("options", 8, MOKA_MESSAGE, MOKA_OPTIONAL, &option_message), MOKA_F_END
};
static const struct moka_message field_message = { "FieldDescriptorProto", field_fields, 0 };
static const struct moka_field value_fields[] = {
	ROW("name", 1, MOKA_STRING, MOKA_OPTIONAL, NULL), ROW("number", 2, MOKA_INT32, MOKA_OPTIONAL, NULL), MOKA_F_END
};
static const struct moka_message value_message = { "EnumValueDescriptorProto", value_fields, 0 };
static const struct moka_field enum_fields[] = {
	ROW("name", 1, MOKA_STRING, MOKA_OPTIONAL, NULL), ROW("value", 2, MOKA_MESSAGE, MOKA_REPEATED, &value_message), MOKA_F_END
};
static const struct moka_message enum_message = { "EnumDescriptorProto", enum_fields, 0 };
static const struct moka_field message_fields[] = {
	ROW("name", 1, MOKA_STRING, MOKA_OPTIONAL, NULL), ROW("field", 2, MOKA_MESSAGE, MOKA_REPEATED, &field_message),
	ROW("enum_type", 4, MOKA_MESSAGE, MOKA_REPEATED, &enum_message), MOKA_F_END
};
static const struct moka_message message_message = { "DescriptorProto", message_fields, 0 };
static const struct moka_field file_fields[] = {
	ROW("message_type", 4, MOKA_MESSAGE, MOKA_REPEATED, &message_message),
	ROW("enum_type", 5, MOKA_MESSAGE, MOKA_REPEATED, &enum_message), MOKA_F_END
};
static const struct moka_message file_message = { "FileDescriptorProto", file_fields, 0 };
static const struct moka_field set_fields[] = { ROW("file", 1, MOKA_MESSAGE, MOKA_REPEATED, &file_message), MOKA_F_END };
static const struct moka_message set_message = { "FileDescriptorSet", set_fields, 0 };

/* clang-format on */
static struct moka_arena arena;
static struct moka_file set_file;
static const struct moka_msg *caffe; /* the FileDescriptorProto */
static char proto_folder[2048];

/* Loads the descriptors; false: something is missing, and the test is to be skipped. */
static bool load(void)
{
	const char *path = getenv("MOKA_CAFFE_PROTO");
	char command[8192], out[4096];
	const char *slash;
	struct moka_error err;
	struct moka_msg *set;

	if (caffe)
		return true;
	if (!path || !moka_path_exists(path) || system("protoc --version >/dev/null 2>&1"))
		return false;
	slash = strrchr(path, '/');
	snprintf(proto_folder, sizeof(proto_folder), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	snprintf(out, sizeof(out), "%s/set", t_tmp());
	snprintf(command, sizeof(command), "protoc -I '%s' --descriptor_set_out='%s' '%s'", proto_folder, out, path);
	if (system(command))
		return false;
	T_OK(moka_file_open(&set_file, out, &err), &err);
	T_OK(moka_wire_parse(&arena, set_file.data, set_file.size, NULL, &set_message, NULL, &err, &set), &err);
	caffe = moka_get_msg(set, "file");
	return caffe != NULL;
}

static const struct moka_msg *find_named(const struct moka_msg *in, const char *field, const char *name)
{
	for (const struct moka_node *n = moka_next(in, field, NULL); n; n = moka_next(in, field, n))
		if (!strcmp(moka_get_string(n->u.m, "name", ""), name))
			return n->u.m;
	return NULL;
}

/* ".caffe.ConvolutionParameter.Engine" -> what stands behind the last point */
static const char *last_part(const char *s)
{
	const char *dot = strrchr(s, '.');

	return dot ? dot + 1 : s;
}

/* ---- comparing --------------------------------------------------------------------------------------- */

static int differences;

static void differ(const char *message, const char *field, const char *what)
{
	fprintf(stderr, "%s.%s: %s\n", message, field, what);
	differences++;
}

/* descriptor.proto's numbers of types */
static int type_number(enum moka_kind kind)
{
	static const int types[] = { 5, 3, 13, 4, 8, 14, 2, 1, 9, 12, 11 };

	return types[kind];
}

static void compare_values(const char *message, const struct moka_msg *owner, const struct moka_field *f,
			   const struct moka_msg *d)
{
	const char *name = last_part(moka_get_string(d, "type_name", ""));
	const struct moka_msg *e = find_named(owner, "enum_type", name);
	int n = 0;

	if (!e)
		e = find_named(caffe, "enum_type", name);
	for (const struct moka_enum_value *v = f->values; v && v->name; v++, n++) {
		const struct moka_msg *w = find_named(e, "value", v->name);
		if (!w || moka_get_int(w, "number") != v->value)
			differ(message, f->name, v->name);
	}
	if (!e || n != moka_count(e, "value"))
		differ(message, f->name, "other values");
}

static void compare_default(const char *message, const struct moka_field *f, const struct moka_msg *d)
{
	const char *text = moka_get_string(d, "default_value", NULL);
	double want = 0;

	if (f->label == MOKA_REPEATED || f->label == MOKA_PACKED || f->kind == MOKA_MESSAGE)
		return;
	if (f->kind == MOKA_STRING || f->kind == MOKA_BYTES) {
		/* an empty default and none are the same to who reads */
		if (strcmp(text ? text : "", f->def_string ? f->def_string : ""))
			differ(message, f->name, "other default text");
		return;
	}
	if (f->kind == MOKA_ENUM) {
		for (const struct moka_enum_value *v = f->values; text && v && v->name; v++)
			if (!strcmp(v->name, text))
				want = v->value;
		if (!text && f->values)
			want = f->values[0].value;
	} else if (text) {
		want = f->kind == MOKA_BOOL ? !strcmp(text, "true") : strtod(text, NULL);
	}
	if ((float)f->def != (float)want)
		differ(message, f->name, "other default");
}

/* What a table lets a file say beyond BVLC's on purpose, with BVLC's numbers: a list for one value, one more word. */
static const char *const wider[] = { "PoolingParameter.pool", "PoolingParameter.pad", "PoolingParameter.kernel_size",
				     "PoolingParameter.stride", "LayerParameter.filter_param" };

static bool is_wider(const char *message, const char *field)
{
	char name[128];

	snprintf(name, sizeof(name), "%s.%s", message, field);
	for (size_t i = 0; i < MOKA_COUNT(wider); i++)
		if (!strcmp(wider[i], name))
			return true;
	return false;
}

static void compare_field(const char *message, const struct moka_msg *owner, const struct moka_field *f)
{
	const struct moka_msg *d = find_named(owner, "field", f->name);
	bool packed = d && moka_get_int(moka_get_msg(d, "options"), "packed");
	int64_t label;

	if (f->fork)
		return;
	if (!d) {
		differ(message, f->name, "BVLC has no such field");
		return;
	}
	if (moka_get_int(d, "number") != f->number)
		differ(message, f->name, "other number");
	if (moka_get_int(d, "type") != type_number(f->kind))
		differ(message, f->name, "other type");
	if (is_wider(message, f->name))
		return;
	label = moka_get_int(d, "label");
	if ((label == 3) != (f->label == MOKA_REPEATED || f->label == MOKA_PACKED) ||
	    (label == 2) != (f->label == MOKA_REQUIRED) || packed != (f->label == MOKA_PACKED))
		differ(message, f->name, "other label");
	if (f->kind == MOKA_MESSAGE && strcmp(f->message->name, last_part(moka_get_string(d, "type_name", ""))))
		differ(message, f->name, "other message");
	if (f->kind == MOKA_ENUM)
		compare_values(message, owner, f, d);
	compare_default(message, f, d);
	if (!f->help || !*f->help)
		differ(message, f->name, "no help");
}

static void compare_message(const struct moka_message *m)
{
	const struct moka_msg *d = find_named(caffe, "message_type", m->name);

	if (!d) {
		differ(m->name, "", "BVLC has no such message");
		return;
	}
	for (const struct moka_field *f = m->fields; f->name; f++)
		if (!(f->kind == MOKA_ENUM && !f->values))
			compare_field(m->name, d, f);
	/* and the other way: none is missing */
	for (const struct moka_node *n = moka_next(d, "field", NULL); n; n = moka_next(d, "field", n)) {
		const char *name = moka_get_string(n->u.m, "name", "");
		if (!moka_field_by_name(&arena, &moka_layer_schema, m, NULL, name))
			differ(m->name, name, "missing");
	}
}

T_TEST(common_tables)
{
	static const struct moka_message *const all[] = {
		&moka_net_message,	 &moka_solver_message,	       &moka_solver_state_message,
		&moka_layer_message,	 &moka_v1_layer_message,       &moka_v0_layer_message,
		&moka_blob_message,	 &moka_blob_shape_message,     &moka_blob_vector_message,
		&moka_datum_message,	 &moka_filler_message,	       &moka_param_spec_message,
		&moka_net_state_message, &moka_net_state_rule_message, &moka_transform_message,
		&moka_loss_message,
	};

	if (!load())
		T_SKIP("no protoc, or no caffe.proto in MOKA_CAFFE_PROTO");
	differences = 0;
	for (size_t i = 0; i < MOKA_COUNT(all); i++)
		compare_message(all[i]);
	T_INT(differences, 0);
}

T_TEST(layer_tables)
{
	const struct moka_msg *v2, *v1;

	if (!load())
		T_SKIP("no protoc, or no caffe.proto in MOKA_CAFFE_PROTO");
	v2 = find_named(caffe, "message_type", "LayerParameter");
	v1 = find_named(caffe, "message_type", "V1LayerParameter");
	differences = 0;
	for (size_t i = 0; i < moka_layer_schema.n; i++) {
		const struct moka_schema_layer *l = moka_layer_schema.layers[i];
		const struct moka_msg *f = l->param_name ? find_named(v2, "field", l->param_name) : NULL;
		const struct moka_msg *e =
			find_named(find_named(v1, "enum_type", "LayerType"), "value", l->v1_type ? l->v1_type : "");

		if (l->fork || (l->param_name && is_wider("LayerParameter", l->param_name)))
			continue;
		if (l->param_name && (!f || moka_get_int(f, "number") != l->param_number))
			differ("LayerParameter", l->param_name, "other number");
		f = l->param_name ? find_named(v1, "field", l->param_name) : NULL;
		if (l->param_name && (f ? moka_get_int(f, "number") : 0) != l->v1_param_number)
			differ("V1LayerParameter", l->param_name, "other number");
		if (l->v1_type && (!e || moka_get_int(e, "number") != l->v1_value))
			differ("V1LayerParameter.LayerType", l->v1_type, "other value");
		if (l->message)
			compare_message(l->message);
	}
	T_INT(differences, 0);
}

/* ---- random messages --------------------------------------------------------------------------------- */

static void random_message(struct moka_rng *r, struct moka_msg *m, int depth);

static double random_real(struct moka_rng *r)
{
	static const double some[] = { 0, -0.0, 1, -1, 0.1, 1e-3, 1e10, 123456789, 1e-8, 3.0e38, 1e-40, 1.0 / 3 };

	if (moka_rng_below(r, 2))
		return some[moka_rng_below(r, MOKA_COUNT(some))];
	return moka_rng_gaussian(r);
}

static int64_t random_int(struct moka_rng *r, enum moka_kind kind)
{
	uint64_t v = moka_rng_next(r) >> moka_rng_below(r, 64);

	switch (kind) {
	case MOKA_BOOL:
		return (int64_t)(v & 1);
	case MOKA_UINT32:
		return (int64_t)(uint32_t)v;
	case MOKA_INT32:
		return (int32_t)(uint32_t)v;
	default:
		return (int64_t)v;
	}
}

static void random_value(struct moka_rng *r, struct moka_msg *m, const struct moka_field *f, int depth)
{
	const struct moka_schema *s = &moka_layer_schema;
	char *bytes;
	size_t n = 0;

	switch (f->kind) {
	case MOKA_MESSAGE:
		random_message(r, moka_add_msg(&arena, m, s, f->name), depth - 1);
		break;
	case MOKA_FLOAT:
	case MOKA_DOUBLE:
		moka_add_float(&arena, m, s, f->name, random_real(r));
		break;
	case MOKA_STRING:
	case MOKA_BYTES:
		n = moka_rng_below(r, 12);
		bytes = moka_arena_alloc(&arena, n + 1, 1);
		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)(f->kind == MOKA_BYTES ? moka_rng_below(r, 256) : 1 + moka_rng_below(r, 127));
		moka_add_bytes(&arena, m, s, f->name, bytes, n);
		break;
	case MOKA_ENUM:
		while (f->values && f->values[n].name)
			n++;
		if (n)
			moka_add_int(&arena, m, s, f->name, f->values[moka_rng_below(r, n)].value);
		break;
	default:
		moka_add_int(&arena, m, s, f->name, random_int(r, f->kind));
	}
}

static void random_message(struct moka_rng *r, struct moka_msg *m, int depth)
{
	for (const struct moka_field *f = m->type->fields; f->name; f++) {
		bool repeated = f->label == MOKA_REPEATED || f->label == MOKA_PACKED,
		     wanted = moka_rng_below(r, 3) == 0;
		if (f->fork || (!wanted && f->label != MOKA_REQUIRED) || (f->kind == MOKA_MESSAGE && depth <= 0))
			continue;
		for (uint64_t k = repeated ? moka_rng_below(r, 4) : 1; k > 0; k--)
			random_value(r, m, f, depth);
	}
	if (m->type == &moka_layer_message || m->type == &moka_v1_layer_message) {
		const struct moka_schema_layer *l = moka_layer_schema.layers[moka_rng_below(r, moka_layer_schema.n)];
		const struct moka_field *f;
		if (!l->param_name || l->fork)
			return;
		f = moka_field_by_name(&arena, &moka_layer_schema, m->type, NULL, l->param_name);
		if (f)
			random_value(r, m, f, depth);
	}
}

/* Runs protoc over `in`; the output is read into `out`. */
static void run_protoc(const char *what, const struct moka_buf *in, struct moka_file *out)
{
	char command[8192], path[1024];
	struct moka_error err;

	snprintf(path, sizeof(path), "%s/in", t_tmp());
	T_OK(moka_file_write(path, in->data ? in->data : "", in->len, &err), &err);
	snprintf(command, sizeof(command), "protoc -I '%s' --%s=caffe.NetParameter '%s' < '%s' > '%s.out'",
		 proto_folder, what, getenv("MOKA_CAFFE_PROTO"), path, path);
	T_INT(system(command), 0);
	snprintf(path, sizeof(path), "%s/in.out", t_tmp());
	T_OK(moka_file_open(out, path, &err), &err);
}

static void check_same(const struct moka_buf *ours, const struct moka_file *theirs, uint64_t seed)
{
	if (ours->len != theirs->size || (ours->len && memcmp(ours->data, theirs->data, ours->len)))
		fprintf(stderr, "seed %" PRIu64 "\n", seed);
	T_INT(ours->len, theirs->size);
	if (ours->len)
		assert_memory_equal(ours->data, theirs->data, ours->len);
}

T_TEST(random_messages)
{
	if (!load())
		T_SKIP("no protoc, or no caffe.proto in MOKA_CAFFE_PROTO");
	for (uint64_t seed = 0; seed < 25; seed++) {
		struct moka_msg *m = moka_msg_new(&arena, &moka_net_message), *back;
		struct moka_buf text, bytes;
		struct moka_file theirs;
		struct moka_text source;
		struct moka_findings f;
		struct moka_rng r;

		moka_rng_seed(&r, seed, 1);
		moka_buf_init(&text, 0);
		moka_buf_init(&bytes, 0);
		moka_findings_init(&f);
		random_message(&r, m, 4);
		moka_text_print(m, &text);
		/* text -> bytes, theirs and ours */
		run_protoc("encode", &text, &theirs);
		source = (struct moka_text){ "t", text.data ? text.data : "", text.len };
		T_INT(moka_text_parse(&arena, &source, &moka_net_message, &moka_layer_schema, &f, &back), MOKA_OK);
		if (f.n)
			fprintf(stderr, "seed %" PRIu64 ": %s\n", seed, f.items[0].message);
		T_INT(f.n, 0);
		moka_wire_write_buf(back, &bytes);
		check_same(&bytes, &theirs, seed);
		moka_file_release(&theirs);
		/* and back */
		run_protoc("decode", &bytes, &theirs);
		check_same(&text, &theirs, seed);
		moka_file_release(&theirs);
		moka_findings_release(&f);
		moka_buf_release(&text);
		moka_buf_release(&bytes);
	}
}

static const struct CMUnitTest tests[] = { T_CASE(common_tables), T_CASE(layer_tables), T_CASE(random_messages) };

int main(int argc, char **argv)
{
	int failed;

	moka_arena_init(&arena, 0);
	failed = t_main(argc, argv, tests, MOKA_COUNT(tests));
	moka_file_release(&set_file);
	moka_arena_release(&arena);
	return failed;
}
