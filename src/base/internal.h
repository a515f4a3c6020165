/*
 * internal.h - what the files of base/ share with one another and with nobody else.
 */
#ifndef MOKA_BASE_INTERNAL_H
#define MOKA_BASE_INTERNAL_H

#include "base.h"

/*
 * The code point at p, n > 0 bytes being there; *len gets its bytes. -1 and a length of 1 where the bytes are not
 * UTF-8 (overlong forms, surrogates and values over U+10FFFF are not).
 */
int32_t moka__utf8_next(const char *p, size_t n, int *len);
/* Drops an incomplete character from the end of the string s of n bytes; returns its new length. */
size_t moka__utf8_trim(char *s, size_t n);

/* More threads than this are a mistake. */
#define MOKA__MOST_THREADS 1024

#endif
