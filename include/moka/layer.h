/*
 * layer.h - what a layer of your own includes, and all it includes.
 *
 * A plugin is a shared object with one layer type: its field table, its shapes, its arithmetic; the contract is
 * struct moka_layer_type in layers/layer.h. Write it as
 *
 *     #include <moka/layer.h>
 *     ...
 *     MOKA_PLUGIN_LAYER = {
 *             .schema = { "HingeCut", "hinge_cut_param", 9001, 0, &message, NULL, 0, "me" },
 *             .doc = "what it does", .min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
 *             .shape = shape, .forward = forward, .backward = backward,
 *     };
 *
 * build it with
 *
 *     cc -shared -fPIC -O2 $(pkg-config --cflags moka-plugin) hinge_cut.c -o hinge_cut.so
 *
 * and load it with --plugin hinge_cut.so, or by naming it or its folder in MOKA_PLUGIN_PATH. The functions of
 * layers/layer.h, base/base.h, proto/proto.h and kernels/kernels.h are in the program that loads it: nothing is linked.
 * examples/plugin has a whole one.
 *
 * Take a field number over 8000: lower ones are Caffe's and its forks'. A type must not have the name of one of Moka's.
 */
#ifndef MOKA_LAYER_PLUGIN_H
#define MOKA_LAYER_PLUGIN_H

#include "layers/layer.h"

/* Grows whenever anything that a layer sees changes its form. The sizes beside it catch headers of another build. */
#define MOKA_PLUGIN_ABI 1
#define MOKA_PLUGIN_ABI_SYMBOL "moka_plugin_abi"
#define MOKA_PLUGIN_LAYER_SYMBOL "moka_plugin_layer"

struct moka_plugin_abi {
	uint32_t abi;
	uint32_t layer_bytes, type_bytes, call_bytes, real_bytes;
};

/* Defines both symbols; the type's initialiser follows. */
#define MOKA_PLUGIN_LAYER                                                                                              \
	__attribute__((visibility("default")))                                                                         \
	const struct moka_plugin_abi moka_plugin_abi = { MOKA_PLUGIN_ABI, sizeof(struct moka_layer),                   \
							 sizeof(struct moka_layer_type), sizeof(struct moka_call),     \
							 sizeof(real) };                                               \
	__attribute__((visibility("default"))) const struct moka_layer_type moka_plugin_layer

#endif
