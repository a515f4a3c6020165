/*
 * unroll.h - UNROLL before a loop of constant bounds: it is unrolled away, so that arrays of sums become registers. gcc and clang each
 * ignore the other's word.
 */
#ifndef MOKA_KERNELS_UNROLL_H
#define MOKA_KERNELS_UNROLL_H

// clang-format off
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
// clang-format on

#endif
