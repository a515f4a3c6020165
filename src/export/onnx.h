/*
 * onnx.h - inside export/: the messages of an ONNX file.
 */
#ifndef MOKA_EXPORT_ONNX_H
#define MOKA_EXPORT_ONNX_H

#include "proto/proto.h"

extern const struct moka_message moka__onnx_model; /* ModelProto; the others hang below it */

#endif
