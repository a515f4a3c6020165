/*
 * fast.h - for files whose plain loops a compiler can turn into vector code: included last.
 *
 * MOKA__CLONES compiles a function once more for AVX2 and AVX-512; the dynamic linker picks one (gcc only: clang 14
 * gives such functions other names than their callers use). The levels are named, not processors ("arch=haswell"): of those
 * gcc's resolver asks whether the machine IS one, and every AMD machine is not. As multiply-adds are not contracted (-ffp-contract=off),
 * all of them give the same bits. What such a function calls must be inlined into it.
 */
#ifndef MOKA_KERNELS_FAST_H
#define MOKA_KERNELS_FAST_H

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MOKA__SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define MOKA__SANITIZED 1
#endif
#endif

/* gcc's -O2 leaves loops whose length it doesn't know as they are */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O3")
#endif

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && defined(__OPTIMIZE__) &&                       \
	!defined(MOKA__SANITIZED) && !defined(MOKA_REAL_DOUBLE)
#if __GNUC__ >= 12
#define MOKA__CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define MOKA__CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#endif
#else
#define MOKA__CLONES
#endif

/* The next loop may be made vector code although its arrays may be the same memory: element i depends on elements i alone. */
#if defined(__clang__)
#define MOKA__EACH _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define MOKA__EACH _Pragma("GCC ivdep")
#else
#define MOKA__EACH
#endif

#define MOKA__INLINE static inline __attribute__((always_inline))

#endif
