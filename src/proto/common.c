/*
 * common.c - the field tables of what every Caffe file is made of: nets, solvers, blobs, fillers, layers' common fields.
 *
 * Names, numbers and defaults are BVLC Caffe's; the words are ours. A layer's own fields are in the layer's file.
 */
#include "internal.h"

#include <stddef.h>

/* clang-format off */
#define ROW(name, num, kind, label, def, ds, ev, msg, help) \
	{ name, num, kind, label, MOKA_NOWHERE, def, ds, ev, msg, help, NULL }
#define ONE(name, num, kind, def, help) ROW(name, num, kind, MOKA_OPTIONAL, def, NULL, NULL, NULL, help)
#define MANY(name, num, kind, help) ROW(name, num, kind, MOKA_REPEATED, 0, NULL, NULL, NULL, help)
#define PACK(name, num, kind, help) ROW(name, num, kind, MOKA_PACKED, 0, NULL, NULL, NULL, help)
#define TEXT(name, num, def, help) ROW(name, num, MOKA_STRING, MOKA_OPTIONAL, 0, def, NULL, NULL, help)
#define PICK(name, num, values, def, help) ROW(name, num, MOKA_ENUM, MOKA_OPTIONAL, def, NULL, values, NULL, help)
#define SUB(name, num, msg, help) ROW(name, num, MOKA_MESSAGE, MOKA_OPTIONAL, 0, NULL, NULL, msg, help)
#define SUBS(name, num, msg, help) ROW(name, num, MOKA_MESSAGE, MOKA_REPEATED, 0, NULL, NULL, msg, help)
#define FORK(name, num, kind, values, who, help) \
	{ name, num, kind, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, values, NULL, help, who }

#define SSD_SUB(name, num, msg, help) \
	{ name, num, MOKA_MESSAGE, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, msg, help, "SSD" }

/* ---- values ------------------------------------------------------------------------------------ */

const struct moka_enum_value moka_phase_values[] = { { "TRAIN", 0 }, { "TEST", 1 }, { "RUN", 2 }, { NULL, 0 } };
const struct moka_enum_value moka_engine_values[] = { { "DEFAULT", 0 }, { "CAFFE", 1 }, { "CUDNN", 2 }, { NULL, 0 } };
const struct moka_enum_value moka_pool_values[] = { { "MAX", 0 }, { "AVE", 1 }, { "STOCHASTIC", 2 }, { NULL, 0 } };

static const struct moka_enum_value variance_values[] = {
	{ "FAN_IN", 0 }, { "FAN_OUT", 1 }, { "AVERAGE", 2 }, { NULL, 0 }
};
static const struct moka_enum_value check_values[] = { { "STRICT", 0 }, { "PERMISSIVE", 1 }, { NULL, 0 } };
static const struct moka_enum_value normalization_values[] = {
	{ "FULL", 0 }, { "VALID", 1 }, { "BATCH_SIZE", 2 }, { "NONE", 3 },
	/* R-FCN's, which has it as 3 and NONE as 4: only a text can say it */
	{ "PRE_FIXED", 100 }, { NULL, 0 }
};
static const struct moka_enum_value format_values[] = { { "HDF5", 0 }, { "BINARYPROTO", 1 }, { NULL, 0 } };
static const struct moka_enum_value mode_values[] = { { "CPU", 0 }, { "GPU", 1 }, { NULL, 0 } };
static const struct moka_enum_value solver_values[] = {
	{ "SGD", 0 }, { "NESTEROV", 1 }, { "ADAGRAD", 2 }, { "RMSPROP", 3 }, { "ADADELTA", 4 }, { "ADAM", 5 }, { NULL, 0 }
};
/* NVIDIA's number formats of raw blobs */
static const struct moka_enum_value raw_values[] = {
	{ "DOUBLE", 0 }, { "FLOAT", 1 }, { "FLOAT16", 2 }, { "INT", 3 }, { "UINT", 4 }, { "BOOL", 5 }, { NULL, 0 }
};

/* ---- blobs ------------------------------------------------------------------------------------- */

static const struct moka_field shape_fields[] = {
	{ "dim", 1, MOKA_INT64, MOKA_PACKED, offsetof(struct moka_shape_param, dim), 0, NULL, NULL, NULL,
	  "sizes, outermost first", NULL },
	MOKA_F_END
};
const struct moka_message moka_blob_shape_message = { "BlobShape", shape_fields, sizeof(struct moka_shape_param) };

static const struct moka_field blob_fields[] = {
	ONE("num", 1, MOKA_INT32, 0, "old 4-D shape: items"),
	ONE("channels", 2, MOKA_INT32, 0, "old 4-D shape: channels"),
	ONE("height", 3, MOKA_INT32, 0, "old 4-D shape: rows"),
	ONE("width", 4, MOKA_INT32, 0, "old 4-D shape: columns"),
	PACK("data", 5, MOKA_FLOAT, "values, in C order"),
	PACK("diff", 6, MOKA_FLOAT, "gradients, as the values"),
	SUB("shape", 7, &moka_blob_shape_message, "sizes of the axes"),
	PACK("double_data", 8, MOKA_DOUBLE, "values in double precision"),
	PACK("double_diff", 9, MOKA_DOUBLE, "gradients in double precision"),
	FORK("raw_data_type", 10, MOKA_ENUM, raw_values, "NVIDIA", "number format of raw_data"),
	FORK("raw_diff_type", 11, MOKA_ENUM, raw_values, "NVIDIA", "number format of raw_diff"),
	FORK("raw_data", 12, MOKA_BYTES, NULL, "NVIDIA", "values as bytes"),
	FORK("raw_diff", 13, MOKA_BYTES, NULL, "NVIDIA", "gradients as bytes"),
	MOKA_F_END
};
const struct moka_message moka_blob_message = { "BlobProto", blob_fields, 0 };

static const struct moka_field blob_vector_fields[] = {
	SUBS("blobs", 1, &moka_blob_message, "blobs, one after another"),
	MOKA_F_END
};
const struct moka_message moka_blob_vector_message = { "BlobProtoVector", blob_vector_fields, 0 };

static const struct moka_field datum_fields[] = {
	ONE("channels", 1, MOKA_INT32, 0, "planes of the picture"),
	ONE("height", 2, MOKA_INT32, 0, "rows"),
	ONE("width", 3, MOKA_INT32, 0, "columns"),
	ONE("data", 4, MOKA_BYTES, 0, "one byte a value, plane after plane; or a compressed picture"),
	ONE("label", 5, MOKA_INT32, 0, "class of the sample"),
	MANY("float_data", 6, MOKA_FLOAT, "values, where bytes are too coarse"),
	ONE("encoded", 7, MOKA_BOOL, 0, "data is a JPEG or PNG file"),
	MOKA_F_END
};
const struct moka_message moka_datum_message = { "Datum", datum_fields, 0 };

/* ---- parts of layers ----------------------------------------------------------------------------- */

static const struct moka_field filler_fields[] = {
	MOKA_F_STRING(struct moka_filler_param, type, 1, "constant", "constant, uniform, gaussian, xavier, msra, bilinear ..."),
	MOKA_F_FLOAT(struct moka_filler_param, value, 2, 0, "constant: the value"),
	MOKA_F_FLOAT(struct moka_filler_param, min, 3, 0, "uniform: least value"),
	MOKA_F_FLOAT(struct moka_filler_param, max, 4, 1, "uniform: greatest value"),
	MOKA_F_FLOAT(struct moka_filler_param, mean, 5, 0, "gaussian: mean"),
	MOKA_F_FLOAT(struct moka_filler_param, std, 6, 1, "gaussian: standard deviation"),
	MOKA_F_INT32(struct moka_filler_param, sparse, 7, -1, "gaussian: values other than zero per output; -1 all"),
	MOKA_F_ENUM(struct moka_filler_param, variance_norm, 8, variance_values, 0, "xavier and msra: which fan divides"),
	MOKA_F_END
};
const struct moka_message moka_filler_message = { "FillerParameter", filler_fields, sizeof(struct moka_filler_param) };

static const struct moka_field param_spec_fields[] = {
	TEXT("name", 1, NULL, "layers that give one name share the parameter"),
	PICK("share_mode", 2, check_values, 0, "what sharers must agree on: the shape, or only the count"),
	ONE("lr_mult", 3, MOKA_FLOAT, 1, "times the solver's learning rate"),
	ONE("decay_mult", 4, MOKA_FLOAT, 1, "times the solver's weight decay"),
	MOKA_F_END
};
const struct moka_message moka_param_spec_message = { "ParamSpec", param_spec_fields, 0 };

static const struct moka_field state_fields[] = {
	PICK("phase", 1, moka_phase_values, 1, "TRAIN or TEST"),
	ONE("level", 2, MOKA_INT32, 0, "compared with min_level and max_level"),
	MANY("stage", 3, MOKA_STRING, "words compared with stage and not_stage"),
	MOKA_F_END
};
const struct moka_message moka_net_state_message = { "NetState", state_fields, 0 };

static const struct moka_field rule_fields[] = {
	PICK("phase", 1, moka_phase_values, 0, "holds in this phase only"),
	ONE("min_level", 2, MOKA_INT32, 0, "holds from this level on"),
	ONE("max_level", 3, MOKA_INT32, 0, "holds up to this level"),
	MANY("stage", 4, MOKA_STRING, "stages that must all be set"),
	MANY("not_stage", 5, MOKA_STRING, "stages of which none may be set"),
	MOKA_F_END
};
const struct moka_message moka_net_state_rule_message = { "NetStateRule", rule_fields, 0 };

static const struct moka_field transform_fields[] = {
	MOKA_F_FLOAT(struct moka_transform_param, scale, 1, 1, "factor, after the mean is taken off"),
	MOKA_F_BOOL(struct moka_transform_param, mirror, 2, 0, "flip left and right at random"),
	MOKA_F_UINT32(struct moka_transform_param, crop_size, 3, 0, "side of the square cut out; 0: all of the picture"),
	MOKA_F_STRING(struct moka_transform_param, mean_file, 4, NULL, "mean image (.binaryproto) to take off"),
	MOKA_F_REP(struct moka_transform_param, mean_value, 5, MOKA_FLOAT, "mean to take off: one, or one a channel"),
	MOKA_F_BOOL(struct moka_transform_param, force_color, 6, 0, "decode as three channels"),
	MOKA_F_BOOL(struct moka_transform_param, force_gray, 7, 0, "decode as one channel"),
	SSD_SUB("resize_param", 8, &moka__picture_resize, "AnnotatedData: to which size, and how"),
	SSD_SUB("noise_param", 9, &moka__picture_noise, "AnnotatedData: what is done to the picture after"),
	SSD_SUB("emit_constraint", 10, &moka__picture_emit, "AnnotatedData: which objects of a cut-out stay"),
	FORK("crop_h", 11, MOKA_UINT32, NULL, "SSD", "AnnotatedData: height of what is cut out, where crop_size is 0"),
	FORK("crop_w", 12, MOKA_UINT32, NULL, "SSD", "AnnotatedData: its width"),
	SSD_SUB("distort_param", 13, &moka__picture_distort, "AnnotatedData: colours changed at random"),
	SSD_SUB("expand_param", 14, &moka__picture_expand, "AnnotatedData: the picture put on a larger one"),
	MOKA_F_END
};
const struct moka_message moka_transform_message = {
	"TransformationParameter", transform_fields, sizeof(struct moka_transform_param)
};

static const struct moka_field loss_fields[] = {
	MOKA_F_INT32(struct moka_loss_param, ignore_label, 1, 0, "label whose positions count for nothing"),
	MOKA_F_BOOL(struct moka_loss_param, normalize, 2, 0, "old form of normalization: true VALID, false BATCH_SIZE"),
	MOKA_F_ENUM(struct moka_loss_param, normalization, 3, normalization_values, 1, "what the sum is divided by"),
	{ "pre_fixed_normalizer", 4, MOKA_FLOAT, MOKA_OPTIONAL, offsetof(struct moka_loss_param, pre_fixed_normalizer), 1, NULL,
	  NULL, NULL, "what PRE_FIXED divides by", "R-FCN, Intel" },
	MOKA_F_END
};
const struct moka_message moka_loss_message = { "LossParameter", loss_fields, sizeof(struct moka_loss_param) };

/* ---- layers ---------------------------------------------------------------------------------------- */

static const struct moka_field layer_fields[] = {
	TEXT("name", 1, NULL, "name of the layer; weights are found by it"),
	TEXT("type", 2, NULL, "what it does: \"Convolution\" ..."),
	MANY("bottom", 3, MOKA_STRING, "blobs it reads"),
	MANY("top", 4, MOKA_STRING, "blobs it makes"),
	MANY("loss_weight", 5, MOKA_FLOAT, "share of each top in the loss"),
	SUBS("param", 6, &moka_param_spec_message, "multipliers and shared name of its weight, its bias ..."),
	SUBS("blobs", 7, &moka_blob_message, "its learned parameters"),
	SUBS("include", 8, &moka_net_state_rule_message, "present only where one of these rules holds"),
	SUBS("exclude", 9, &moka_net_state_rule_message, "absent where one of these rules holds"),
	PICK("phase", 10, moka_phase_values, 0, "phase it runs in; the net sets it"),
	MANY("propagate_down", 11, MOKA_BOOL, "whether each bottom gets a gradient"),
	SUB("transform_param", 100, &moka_transform_message, "what is done to pictures on their way in"),
	SUB("loss_param", 101, &moka_loss_message, "which labels count, and the loss's divisor"),
	/* its number isn't known: only a text can say it */
	FORK("param_bottoms", 9046, MOKA_UINT32, NULL, "a branch for several GPUs", "how many of the last bottoms are its parameters"),
	MOKA_F_END
};
const struct moka_message moka_layer_message = { "LayerParameter", layer_fields, 0 };

static const struct moka_field v0_layer_fields[] = {
	TEXT("name", 1, NULL, "name of the layer"),
	TEXT("type", 2, NULL, "what it does: \"conv\" ..."),
	ONE("num_output", 3, MOKA_UINT32, 0, "outputs"),
	ONE("biasterm", 4, MOKA_BOOL, 1, "whether a bias is added"),
	SUB("weight_filler", 5, &moka_filler_message, "first values of the weight"),
	SUB("bias_filler", 6, &moka_filler_message, "first values of the bias"),
	ONE("pad", 7, MOKA_UINT32, 0, "zeros around the picture"),
	ONE("kernelsize", 8, MOKA_UINT32, 0, "side of the window"),
	ONE("group", 9, MOKA_UINT32, 1, "groups of channels"),
	ONE("stride", 10, MOKA_UINT32, 1, "step of the window"),
	PICK("pool", 11, moka_pool_values, 0, "how a window is pooled"),
	ONE("dropout_ratio", 12, MOKA_FLOAT, 0.5, "share dropped"),
	ONE("local_size", 13, MOKA_UINT32, 5, "lrn: channels, or side of the window"),
	ONE("alpha", 14, MOKA_FLOAT, 1, "lrn: factor"),
	ONE("beta", 15, MOKA_FLOAT, 0.75, "lrn: exponent"),
	TEXT("source", 16, NULL, "where the data are"),
	ONE("scale", 17, MOKA_FLOAT, 1, "factor, after the mean is taken off"),
	TEXT("meanfile", 18, NULL, "mean image to take off"),
	ONE("batchsize", 19, MOKA_UINT32, 0, "items a batch"),
	ONE("cropsize", 20, MOKA_UINT32, 0, "side of the square cut out"),
	ONE("mirror", 21, MOKA_BOOL, 0, "flip at random"),
	ONE("k", 22, MOKA_FLOAT, 1, "lrn: what the sum is added to"),
	SUBS("blobs", 50, &moka_blob_message, "learned parameters"),
	MANY("blobs_lr", 51, MOKA_FLOAT, "learning rate multipliers"),
	MANY("weight_decay", 52, MOKA_FLOAT, "weight decay multipliers"),
	ONE("rand_skip", 53, MOKA_UINT32, 0, "skip up to so many items at the start"),
	ONE("det_fg_threshold", 54, MOKA_FLOAT, 0.5, "overlap from which a window is foreground"),
	ONE("det_bg_threshold", 55, MOKA_FLOAT, 0.5, "overlap below which a window is background"),
	ONE("det_fg_fraction", 56, MOKA_FLOAT, 0.25, "share of foreground windows in a batch"),
	ONE("det_context_pad", 58, MOKA_UINT32, 0, "context around a window"),
	TEXT("det_crop_mode", 59, "warp", "warp or square"),
	ONE("new_num", 60, MOKA_INT32, 0, "reshape: items"),
	ONE("new_channels", 61, MOKA_INT32, 0, "reshape: channels"),
	ONE("new_height", 62, MOKA_INT32, 0, "reshape, or resize a picture: rows"),
	ONE("new_width", 63, MOKA_INT32, 0, "reshape, or resize a picture: columns"),
	ONE("shuffle_images", 64, MOKA_BOOL, 0, "another order in every epoch"),
	ONE("concat_dim", 65, MOKA_UINT32, 1, "axis that is joined"),
	MOKA_F_END
};
const struct moka_message moka_v0_layer_message = { "V0LayerParameter", v0_layer_fields, 0 };

/* `type` gets its names from the layers (fields.c). */
static const struct moka_field v1_layer_fields[] = {
	SUB("layer", 1, &moka_v0_layer_message, "the layer in the still older syntax"),
	MANY("bottom", 2, MOKA_STRING, "blobs it reads"),
	MANY("top", 3, MOKA_STRING, "blobs it makes"),
	TEXT("name", 4, NULL, "name of the layer"),
	ONE("type", 5, MOKA_ENUM, 0, "what it does: CONVOLUTION ..."),
	SUBS("blobs", 6, &moka_blob_message, "learned parameters"),
	MANY("blobs_lr", 7, MOKA_FLOAT, "learning rate multipliers"),
	MANY("weight_decay", 8, MOKA_FLOAT, "weight decay multipliers"),
	SUBS("include", 32, &moka_net_state_rule_message, "present only where one of these rules holds"),
	SUBS("exclude", 33, &moka_net_state_rule_message, "absent where one of these rules holds"),
	MANY("loss_weight", 35, MOKA_FLOAT, "share of each top in the loss"),
	SUB("transform_param", 36, &moka_transform_message, "what is done to pictures on their way in"),
	SUB("loss_param", 42, &moka_loss_message, "which labels count, and the loss's divisor"),
	MANY("param", 1001, MOKA_STRING, "shared names of its parameters"),
	ROW("blob_share_mode", 1002, MOKA_ENUM, MOKA_REPEATED, 0, NULL, check_values, NULL, "what sharers must agree on"),
	MOKA_F_END
};
const struct moka_message moka_v1_layer_message = { "V1LayerParameter", v1_layer_fields, 0 };

/* ---- nets and solvers -------------------------------------------------------------------------------- */

static const struct moka_field net_fields[] = {
	TEXT("name", 1, NULL, "name of the net"),
	SUBS("layers", 2, &moka_v1_layer_message, "layers in the old syntax"),
	MANY("input", 3, MOKA_STRING, "old: names of the inputs"),
	MANY("input_dim", 4, MOKA_INT32, "old: four sizes for each input"),
	ONE("force_backward", 5, MOKA_BOOL, 0, "bring gradients down to the inputs"),
	SUB("state", 6, &moka_net_state_message, "phase, level and stages"),
	ONE("debug_info", 7, MOKA_BOOL, 0, "log magnitudes while running"),
	SUBS("input_shape", 8, &moka_blob_shape_message, "old: shape of each input"),
	SUBS("layer", 100, &moka_layer_message, "layers, in order"),
	MOKA_F_END
};
const struct moka_message moka_net_message = { "NetParameter", net_fields, 0 };

static const struct moka_field solver_fields[] = {
	TEXT("train_net", 1, NULL, "file of the training net"),
	MANY("test_net", 2, MOKA_STRING, "files of test nets"),
	MANY("test_iter", 3, MOKA_INT32, "batches of each test"),
	ONE("test_interval", 4, MOKA_INT32, 0, "iterations between tests; 0: no tests"),
	ONE("base_lr", 5, MOKA_FLOAT, 0, "learning rate to start from"),
	ONE("display", 6, MOKA_INT32, 0, "iterations between lines of log; 0: none"),
	ONE("max_iter", 7, MOKA_INT32, 0, "iterations in all"),
	TEXT("lr_policy", 8, NULL, "fixed, step, exp, inv, multistep, poly or sigmoid"),
	ONE("gamma", 9, MOKA_FLOAT, 0, "of the policy: its factor"),
	ONE("power", 10, MOKA_FLOAT, 0, "of the policy: its exponent"),
	ONE("momentum", 11, MOKA_FLOAT, 0, "share of the last step kept"),
	ONE("weight_decay", 12, MOKA_FLOAT, 0, "strength of the regularization"),
	ONE("stepsize", 13, MOKA_INT32, 0, "policy step: iterations between steps"),
	ONE("snapshot", 14, MOKA_INT32, 0, "iterations between snapshots; 0: none"),
	TEXT("snapshot_prefix", 15, NULL, "path and start of the name of snapshots"),
	ONE("snapshot_diff", 16, MOKA_BOOL, 0, "keep gradients in snapshots"),
	PICK("solver_mode", 17, mode_values, 1, "CPU or GPU"),
	ONE("device_id", 18, MOKA_INT32, 0, "which GPU"),
	ONE("test_compute_loss", 19, MOKA_BOOL, 0, "show the loss of tests too"),
	ONE("random_seed", 20, MOKA_INT64, -1, "seed; negative: another one each run"),
	SUB("train_net_param", 21, &moka_net_message, "the training net itself"),
	SUBS("test_net_param", 22, &moka_net_message, "test nets themselves"),
	ONE("debug_info", 23, MOKA_BOOL, 0, "log magnitudes while running"),
	TEXT("net", 24, NULL, "file of the net, for training and tests"),
	SUB("net_param", 25, &moka_net_message, "the net itself, for training and tests"),
	SUB("train_state", 26, &moka_net_state_message, "state of the training net"),
	SUBS("test_state", 27, &moka_net_state_message, "states of the test nets"),
	ONE("snapshot_after_train", 28, MOKA_BOOL, 1, "snapshot at the end"),
	TEXT("regularization_type", 29, "L2", "L2 or L1"),
	PICK("solver_type", 30, solver_values, 0, "old form of type"),
	ONE("delta", 31, MOKA_FLOAT, 1e-8, "keeps divisors from zero (AdaGrad, RMSProp, AdaDelta, Adam)"),
	ONE("test_initialization", 32, MOKA_BOOL, 1, "test before the first iteration"),
	ONE("average_loss", 33, MOKA_INT32, 1, "iterations the displayed loss is averaged over"),
	MANY("stepvalue", 34, MOKA_INT32, "policy multistep: iterations of the steps"),
	ONE("clip_gradients", 35, MOKA_FLOAT, -1, "greatest norm of the gradient; negative: any"),
	ONE("iter_size", 36, MOKA_INT32, 1, "batches whose gradients make one step"),
	PICK("snapshot_format", 37, format_values, 1, "HDF5 or BINARYPROTO"),
	ONE("rms_decay", 38, MOKA_FLOAT, 0.99, "RMSProp: share of the old mean square kept"),
	ONE("momentum2", 39, MOKA_FLOAT, 0.999, "Adam: share of the old mean square kept"),
	TEXT("type", 40, "SGD", "SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam or AdamW"),
	ONE("layer_wise_reduce", 41, MOKA_BOOL, 1, "several GPUs: exchange while computing"),
	MANY("weights", 42, MOKA_STRING, "files of weights to start from"),
	FORK("warmup_iter", 48, MOKA_INT32, NULL, "Intel", "iterations in which the rate climbs to base_lr"),
	FORK("warmup_start_lr", 49, MOKA_FLOAT, NULL, "Intel", "the rate that a warm-up starts from"),
	MOKA_F_END
};
const struct moka_message moka_solver_message = { "SolverParameter", solver_fields, 0 };

static const struct moka_field solver_state_fields[] = {
	ONE("iter", 1, MOKA_INT32, 0, "iterations done"),
	TEXT("learned_net", 2, NULL, "file of the weights"),
	SUBS("history", 3, &moka_blob_message, "the solver's memory: momentum and the like"),
	ONE("current_step", 4, MOKA_INT32, 0, "steps of the policy done"),
	MOKA_F_END
};
const struct moka_message moka_solver_state_message = { "SolverState", solver_state_fields, 0 };
/* clang-format on */
