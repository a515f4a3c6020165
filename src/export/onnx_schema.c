/*
 * onnx_schema.c - the messages of an ONNX file, as far as Moka writes them.
 */
#include "export/onnx.h"

/* clang-format off */
#define ROW(name, number, kind, label, message) { name, number, kind, label, MOKA_NOWHERE, 0, NULL, NULL, message, NULL, NULL }
#define ONE(name, number, kind) ROW(name, number, kind, MOKA_OPTIONAL, NULL)
#define MANY(name, number, kind) ROW(name, number, kind, MOKA_REPEATED, NULL)
#define PART(name, number, m) ROW(name, number, MOKA_MESSAGE, MOKA_OPTIONAL, m)
#define PARTS(name, number, m) ROW(name, number, MOKA_MESSAGE, MOKA_REPEATED, m)

static const struct moka_field dimension[] = { ONE("dim_value", 1, MOKA_INT64), ONE("dim_param", 2, MOKA_STRING), MOKA_F_END };
static const struct moka_message dimension_message = { "TensorShapeProto.Dimension", dimension, 0 };
static const struct moka_field shape[] = { PARTS("dim", 1, &dimension_message), MOKA_F_END };
static const struct moka_message shape_message = { "TensorShapeProto", shape, 0 };
static const struct moka_field tensor_type[] = { ONE("elem_type", 1, MOKA_INT32), PART("shape", 2, &shape_message), MOKA_F_END };
static const struct moka_message tensor_type_message = { "TypeProto.Tensor", tensor_type, 0 };
static const struct moka_field type[] = { PART("tensor_type", 1, &tensor_type_message), MOKA_F_END };
static const struct moka_message type_message = { "TypeProto", type, 0 };
static const struct moka_field value_info[] = { ONE("name", 1, MOKA_STRING), PART("type", 2, &type_message), MOKA_F_END };
static const struct moka_message value_info_message = { "ValueInfoProto", value_info, 0 };

static const struct moka_field tensor[] = {
	ROW("dims", 1, MOKA_INT64, MOKA_PACKED, NULL),
	ONE("data_type", 2, MOKA_INT32),
	ONE("name", 8, MOKA_STRING),
	ONE("raw_data", 9, MOKA_BYTES),
	MOKA_F_END
};
static const struct moka_message tensor_message = { "TensorProto", tensor, 0 };

static const struct moka_field attribute[] = {
	ONE("name", 1, MOKA_STRING),
	ONE("f", 2, MOKA_FLOAT),
	ONE("i", 3, MOKA_INT64),
	ONE("s", 4, MOKA_BYTES),
	ROW("ints", 8, MOKA_INT64, MOKA_PACKED, NULL),
	ONE("type", 20, MOKA_INT32),
	MOKA_F_END
};
static const struct moka_message attribute_message = { "AttributeProto", attribute, 0 };

static const struct moka_field node[] = {
	MANY("input", 1, MOKA_STRING),
	MANY("output", 2, MOKA_STRING),
	ONE("name", 3, MOKA_STRING),
	ONE("op_type", 4, MOKA_STRING),
	PARTS("attribute", 5, &attribute_message),
	MOKA_F_END
};
static const struct moka_message node_message = { "NodeProto", node, 0 };

static const struct moka_field graph[] = {
	PARTS("node", 1, &node_message),
	ONE("name", 2, MOKA_STRING),
	PARTS("initializer", 5, &tensor_message),
	PARTS("input", 11, &value_info_message),
	PARTS("output", 12, &value_info_message),
	MOKA_F_END
};
static const struct moka_message graph_message = { "GraphProto", graph, 0 };

static const struct moka_field opset[] = { ONE("domain", 1, MOKA_STRING), ONE("version", 2, MOKA_INT64), MOKA_F_END };
static const struct moka_message opset_message = { "OperatorSetIdProto", opset, 0 };

static const struct moka_field model[] = {
	ONE("ir_version", 1, MOKA_INT64),
	ONE("producer_name", 2, MOKA_STRING),
	ONE("producer_version", 3, MOKA_STRING),
	PART("graph", 7, &graph_message),
	PARTS("opset_import", 8, &opset_message),
	MOKA_F_END
};
/* clang-format on */
const struct moka_message moka__onnx_model = { "ModelProto", model, 0 };
