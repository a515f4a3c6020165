/*
 * proto.h - protocol buffers as Caffe uses them: text <-> tree <-> bytes, and tree -> struct.
 *
 *     text  --moka_text_parse-->            --moka_text_print--> text (as protoc --decode)
 *                                 moka_msg
 *     bytes --moka_wire_parse-->            --moka_wire_write--> bytes (as protoc --encode)
 *                                    |
 *                                    +------moka_decode-------> a C struct (a layer's parameters)
 *
 * What a message may hold is said by tables (struct moka_message, struct moka_field). The
 * tables of nets, solvers and blobs are in proto/common.c; a layer's are in the
 * layer's own file, and reach the readers through struct moka_schema, so that
 * proto/ knows no layer.
 *
 * A tree keeps everything: the order of fields, the place of each in its file, fields
 * that no table knows (so that they can be written again and complained about).
 */
#ifndef MOKA_PROTO_H
#define MOKA_PROTO_H

#include "base/findings.h"

/* ---- tables ------------------------------------------------------------------------- */

enum moka_kind {
	MOKA_INT32,
	MOKA_INT64,
	MOKA_UINT32,
	MOKA_UINT64,
	MOKA_BOOL,
	MOKA_ENUM, /* varints */
	MOKA_FLOAT,
	MOKA_DOUBLE,
	MOKA_STRING,
	MOKA_BYTES,
	MOKA_MESSAGE,
};
enum moka_label { MOKA_OPTIONAL, MOKA_REQUIRED, MOKA_REPEATED, MOKA_PACKED };

struct moka_enum_value {
	const char *name; /* NULL ends the table */
	int value;
};

struct moka_field {
	const char *name; /* NULL ends the table */
	uint32_t number;
	enum moka_kind kind;
	enum moka_label label;
	uint32_t offset; /* where moka_decode() puts it; MOKA_NOWHERE: read, checked, not kept in a struct */
	double def;	 /* default of a number, bool or enum */
	const char *def_string;
	const struct moka_enum_value *values; /* MOKA_ENUM */
	const struct moka_message *message;   /* MOKA_MESSAGE */
	const char *help;		      /* one line, for `moka layers` and docs/layers.md */
	const char *fork;		      /* NULL: BVLC Caffe has it; else who does ("SSD", "NVIDIA", ...) */
};
#define MOKA_NOWHERE UINT32_MAX

struct moka_message {
	const char *name; /* as in caffe.proto: "ConvolutionParameter" */
	const struct moka_field *fields;
	size_t size; /* of the struct that moka_decode() fills; 0: none */
};

/*
 * Rows of a field table: MOKA_F_<KIND>(struct, member, number, default, help). The member's name is
 * the field's. How each kind lands in the struct:
 *     int32 int32_t | int64 int64_t | uint32 uint32_t | bool bool | enum int | float float | double double |
 *     string const char * (default, or NULL) | message const struct X * (NULL where absent) |
 *     repeated struct moka_list (n, and v pointing to an array of the above)
 */
/* clang-format off */
#define MOKA_F_(s, m, num, k, l, d, ds, ev, msg, h) \
	{ #m, num, k, l, (uint32_t)offsetof(s, m), d, ds, ev, msg, h, NULL }
#define MOKA_F_INT32(s, m, num, d, h) MOKA_F_(s, m, num, MOKA_INT32, MOKA_OPTIONAL, d, NULL, NULL, NULL, h)
#define MOKA_F_UINT32(s, m, num, d, h) MOKA_F_(s, m, num, MOKA_UINT32, MOKA_OPTIONAL, d, NULL, NULL, NULL, h)
#define MOKA_F_INT64(s, m, num, d, h) MOKA_F_(s, m, num, MOKA_INT64, MOKA_OPTIONAL, d, NULL, NULL, NULL, h)
#define MOKA_F_BOOL(s, m, num, d, h) MOKA_F_(s, m, num, MOKA_BOOL, MOKA_OPTIONAL, d, NULL, NULL, NULL, h)
#define MOKA_F_FLOAT(s, m, num, d, h) MOKA_F_(s, m, num, MOKA_FLOAT, MOKA_OPTIONAL, d, NULL, NULL, NULL, h)
#define MOKA_F_STRING(s, m, num, d, h) MOKA_F_(s, m, num, MOKA_STRING, MOKA_OPTIONAL, 0, d, NULL, NULL, h)
#define MOKA_F_ENUM(s, m, num, ev, d, h) MOKA_F_(s, m, num, MOKA_ENUM, MOKA_OPTIONAL, d, NULL, ev, NULL, h)
#define MOKA_F_MSG(s, m, num, msg, h) MOKA_F_(s, m, num, MOKA_MESSAGE, MOKA_OPTIONAL, 0, NULL, NULL, msg, h)
#define MOKA_F_REP(s, m, num, kind, h) MOKA_F_(s, m, num, kind, MOKA_REPEATED, 0, NULL, NULL, NULL, h)
#define MOKA_F_REPMSG(s, m, num, msg, h) MOKA_F_(s, m, num, MOKA_MESSAGE, MOKA_REPEATED, 0, NULL, NULL, msg, h)
/* engine: DEFAULT, CAFFE or CUDNN; read and otherwise ignored, Moka has one engine. */
#define MOKA_F_ENGINE(num) \
	{ "engine", num, MOKA_ENUM, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, moka_engine_values, NULL, \
	  "which of Caffe's implementations; ignored", NULL }
#define MOKA_F_END { NULL, 0, MOKA_INT32, MOKA_OPTIONAL, 0, 0, NULL, NULL, NULL, NULL, NULL }
/* clang-format on */

struct moka_list {
	size_t n;
	const void *v;
};
#define MOKA_LIST_AT(list, type, i) (((const type *)(list).v)[i])

/*
 * What the layers add to the common tables: the fields of LayerParameter (and V1LayerParameter) that hold a
 * layer's own parameters, and the names of the V1 layer enums. Made by layers/registry.c.
 */
struct moka_schema {
	const struct moka_schema_layer *const *layers; /* n of them */
	size_t n;
};
struct moka_schema_layer {
	const char *type;		    /* "Convolution" */
	const char *param_name;		    /* "convolution_param", or NULL */
	uint32_t param_number;		    /* in LayerParameter */
	uint32_t v1_param_number;	    /* in V1LayerParameter, 0: none */
	const struct moka_message *message; /* NULL where param_name is NULL */
	const char *v1_type;		    /* "CONVOLUTION", NULL: never a V1 layer */
	int v1_value;			    /* 4 */
	const char *fork;		    /* who defined it, NULL: BVLC */
};

/*
 * Looks a field up: first in msg's own table; for LayerParameter and V1LayerParameter also among the layers' (those are made
 * in the arena), where the message's own `layer_type` (may be NULL) settles a number or name that several claim: the
 * layer of that very type, else BVLC's; a name that only forks have is taken from any of them. NULL: unknown, or no memory.
 */
const struct moka_field *moka_field_by_name(struct moka_arena *a, const struct moka_schema *s,
					    const struct moka_message *m, const char *layer_type, const char *name);
const struct moka_field *moka_field_by_number(struct moka_arena *a, const struct moka_schema *s,
					      const struct moka_message *m, const char *layer_type, uint32_t number);

/* proto/common.c */
extern const struct moka_message moka_net_message;    /* NetParameter */
extern const struct moka_message moka_solver_message; /* SolverParameter */
extern const struct moka_message moka_solver_state_message;
extern const struct moka_message moka_layer_message; /* LayerParameter, common fields */
extern const struct moka_message moka_v1_layer_message;
extern const struct moka_message moka_v0_layer_message;
extern const struct moka_message moka_blob_message; /* BlobProto */
extern const struct moka_message moka_blob_shape_message;
extern const struct moka_message moka_blob_vector_message;
extern const struct moka_message moka_datum_message;
extern const struct moka_message moka_filler_message;
extern const struct moka_message moka_param_spec_message;
extern const struct moka_message moka_net_state_message;
extern const struct moka_message moka_net_state_rule_message;
extern const struct moka_message moka_transform_message;  /* TransformationParameter */
extern const struct moka_message moka_loss_message;	  /* LossParameter */
extern const struct moka_enum_value moka_phase_values[];  /* TRAIN 0, TEST 1, MyCaffe's RUN 2 */
extern const struct moka_enum_value moka_engine_values[]; /* DEFAULT CAFFE CUDNN */
extern const struct moka_enum_value moka_pool_values[];	  /* MAX AVE STOCHASTIC */

/* Structs of the common messages (moka_decode fills them). */
struct moka_shape_param {
	struct moka_list dim; /* int64_t */
};
struct moka_filler_param {
	const char *type; /* "constant" */
	float value, min, max, mean, std;
	int32_t sparse;
	int variance_norm; /* 0 FAN_IN, 1 FAN_OUT, 2 AVERAGE */
};
struct moka_transform_param {
	float scale;
	bool mirror;
	uint32_t crop_size;
	const char *mean_file;
	struct moka_list mean_value; /* float */
	bool force_color, force_gray;
};
struct moka_loss_param {
	int32_t ignore_label; /* meaningful where the field is present */
	int normalization;    /* 0 FULL, 1 VALID, 2 BATCH_SIZE, 3 NONE, 100 PRE_FIXED */
	bool normalize;
	float pre_fixed_normalizer; /* of PRE_FIXED (R-FCN) */
};

/* ---- tree ------------------------------------------------------------------------------ */

struct moka_msg {
	const struct moka_message *type; /* NULL: inside an unknown field */
	const char *layer_type;		 /* of a LayerParameter: its `type`, found before the rest is read */
	struct moka_node *first, *last;	 /* fields in file order */
	const struct moka_text *text;
	uint32_t line, column; /* of the field that holds it; of the file for the root */
};

/* A run of packed (or one after another, unpacked) numbers in a binary: a view, not a copy. */
struct moka_run {
	const uint8_t *p; /* not aligned */
	size_t bytes;
	uint32_t stride; /* of fixed-width unpacked values: tag + value; of packed ones: the width; 0: varints */
	uint32_t skip;	 /* bytes of tag before each value, 0 where packed */
	size_t count;
};

enum moka_node_kind {
	MOKA_NODE_INT,	   /* i: every integer kind, bool, enum; of an unknown text field: a whole number */
	MOKA_NODE_FLOAT,   /* d: float (already rounded to float where the field is one) and double */
	MOKA_NODE_STRING,  /* s: string (a NUL follows) and bytes (in a binary: a view, nothing follows) */
	MOKA_NODE_MESSAGE, /* m */
	MOKA_NODE_RUN,	   /* run: many values of a repeated number, from a binary or from moka_msg_add_floats() */
	MOKA_NODE_NAME, /* s: an identifier as the value of an unknown text field, or a V1 `type` that no layer claims */
	MOKA_NODE_RAW,	/* s: an unknown field of a binary; wire says its type (0, 1, 2, 3 group, 5) */
};

struct moka_node {
	struct moka_node *next;
	const struct moka_field *field; /* NULL: unknown */
	const char *name;		/* of an unknown text field */
	enum moka_node_kind kind;
	uint32_t number; /* of an unknown binary field */
	uint8_t wire;
	uint32_t line, column;		   /* of the field's name (0 in binaries) */
	uint32_t value_line, value_column; /* of its value */
	union {
		int64_t i;
		double d;
		struct {
			const char *p;
			size_t n;
		} s;
		struct moka_msg *m;
		struct moka_run run;
	} u;
};

/*
 * Reads text. Everything the field tables know becomes typed; an unknown field is kept and (unless the schema's
 * forks explain it) becomes a warning "unknown-field" with the fork that has it (proto/forks.c) or the nearest name.
 * Errors (syntax, a value that does not fit, a singular field given twice, ...) are findings; reading goes on behind a
 * bad value where that makes sense. Returns MOKA_OK and a tree whenever one could be made, also with errors
 * in `f`; MOKA_ERR_FORMAT where the text can't be followed at all.
 * Strings of the tree live in the arena. `text` must outlive the tree.
 */
enum moka_status moka_text_parse(struct moka_arena *a, const struct moka_text *text, const struct moka_message *root,
				 const struct moka_schema *s, struct moka_findings *f, struct moka_msg **out);
/* Reads bytes; strings and runs are views of them, which must outlive the tree. A field whose wire type does not fit its
 * table is unknown, not an error. Truncation is an error that says offset and field path. */
enum moka_status moka_wire_parse(struct moka_arena *a, const void *bytes, size_t n, const struct moka_text *text,
				 const struct moka_message *root, const struct moka_schema *s, struct moka_error *err,
				 struct moka_msg **out);
/* As `protoc --decode` prints: fields by number, unknown ones last of their message; floats shortest that reads back equal
 * (%.6g else %.9g). A tree whose message lacks a required field prints all the same. */
void moka_text_print(const struct moka_msg *m, struct moka_buf *out);
/* As `protoc --encode` writes: fields by number, repeated ones in order, unknown binary ones last; singular scalars
 * last-one-wins, singular messages merged. Unknown text fields can't be written: they are left out and reported in f. */
enum moka_status moka_wire_size(const struct moka_msg *m, uint64_t *bytes);
enum moka_status moka_wire_write(const struct moka_msg *m, struct moka_out *out, struct moka_error *err);
enum moka_status moka_wire_write_buf(const struct moka_msg *m, struct moka_buf *out);

/* Fills a struct (m->type->size bytes, in the arena) from a tree; defaults where a field is absent or m is NULL (then
 * `type` says which). */
const void *moka_decode(struct moka_arena *a, const struct moka_msg *m, const struct moka_message *type);

/* ---- looking into a tree ------------------------------------------------------------------ */

/* The last occurrence of a field (singular semantics), or NULL. */
const struct moka_node *moka_get(const struct moka_msg *m, const char *name);
/* Iterates the occurrences of a field: prev NULL starts. */
const struct moka_node *moka_next(const struct moka_msg *m, const char *name, const struct moka_node *prev);
int moka_count(const struct moka_msg *m, const char *name); /* nodes; a run counts its values */
bool moka_has(const struct moka_msg *m, const char *name);
/* Values with the field's own default where absent. A repeated number may be a run: use moka_get_floats & co. */
int64_t moka_get_int(const struct moka_msg *m, const char *name);
double moka_get_float(const struct moka_msg *m, const char *name);
const char *moka_get_string(const struct moka_msg *m, const char *name, const char *otherwise);
struct moka_msg *moka_get_msg(const struct moka_msg *m, const char *name);
/* All values of a repeated number, runs unrolled, at most `max`; returns how many there are. */
size_t moka_get_ints(const struct moka_msg *m, const char *name, int64_t *out, size_t max);
size_t moka_get_floats(const struct moka_msg *m, const char *name, double *out, size_t max);
struct moka_loc moka_msg_loc(const struct moka_msg *m);
struct moka_loc moka_node_loc(const struct moka_msg *m,
			      const struct moka_node *n); /* of the name; of m where n is NULL */
struct moka_loc moka_value_loc(const struct moka_msg *m, const struct moka_node *n); /* of the value */

/* ---- making a tree -------------------------------------------------------------------------
 * Appends; NULL on no memory. Strings and floats are borrowed unless said. */
struct moka_msg *moka_msg_new(struct moka_arena *a, const struct moka_message *type);
struct moka_node *moka_add_int(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s, const char *name,
			       int64_t v);
struct moka_node *moka_add_float(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s,
				 const char *name, double v);
struct moka_node *moka_add_string(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s,
				  const char *name, const char *v);
struct moka_node *moka_add_bytes(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s,
				 const char *name, const void *v, size_t n);
struct moka_msg *moka_add_msg(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s, const char *name);
struct moka_node *moka_add_floats(struct moka_arena *a, struct moka_msg *m, const char *name, const float *v, size_t n);
void moka_remove(struct moka_msg *m, const char *name); /* every occurrence */
/* Copies a node (its subtree shared) to another message under another field. */
struct moka_node *moka_move(struct moka_arena *a, struct moka_msg *to, const struct moka_schema *s, const char *name,
			    const struct moka_node *n);

/* ---- old syntaxes -> current (proto/upgrade.c) ------------------------------------------------
 * In place: V0 and V1 layers become LayerParameters, input/input_dim/input_shape become Input layers, data
 * transform fields inside layers move to transform_param, `solver_type` becomes `type`, BatchNorm's old lr_mult lines go.
 * Places of fields are kept. What was done is a note finding each kind once ("upgraded-v1", ...). */
enum moka_status moka_upgrade_net(struct moka_arena *a, struct moka_msg *net, const struct moka_schema *s,
				  struct moka_findings *f);
enum moka_status moka_upgrade_solver(struct moka_arena *a, struct moka_msg *solver, const struct moka_schema *s,
				     struct moka_findings *f);

/* ---- what the forks added (proto/forks.c): facts for findings ----------------------------------- */
/* Which fork's caffe.proto has this field in this message ("SSD, NVIDIA"), or NULL. message: "ConvolutionParameter". */
const char *moka_fork_of_field(const char *message, const char *field);
/* Which fork has a layer of this type, or NULL. */
const char *moka_fork_of_layer(const char *type);

#endif
