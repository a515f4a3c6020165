/*
 * h5_internal.h - between h5.c and h5_dataset.c.
 */
#ifndef MOKA_MODEL_H5_INTERNAL_H
#define MOKA_MODEL_H5_INTERNAL_H

#include "model/h5.h"

struct moka_h5 {
	const char *path;
	const uint8_t *data;
	size_t size;
	uint64_t base;			/* addresses in the file count from here */
	int offset_bytes, length_bytes; /* width of an address, of a length */
	uint64_t root;
	int64_t steps; /* taken so far, against MOKA__H5_STEPS */
};

#define MOKA__H5_STEPS 20000000

/* Kinds of header messages. */
enum {
	H5M_SPACE = 1,
	H5M_LINK_INFO = 2,
	H5M_TYPE = 3,
	H5M_LINK = 6,
	H5M_EXTERNAL = 7,
	H5M_LAYOUT = 8,
	H5M_FILTERS = 11,
	H5M_CONTINUATION = 16,
	H5M_SYMBOLS = 17,
	H5M_KINDS = 32,
};

struct h5_message {
	const uint8_t *p; /* NULL: the header has none of this kind */
	size_t n;
	bool shared; /* p says where it is instead */
};

/* The first message of each kind. */
struct h5_header {
	struct h5_message m[H5M_KINDS];
};

uint64_t moka__h5_number(const uint8_t *p, int bytes); /* little-endian */
bool moka__h5_undefined(const struct moka_h5 *h, uint64_t address);
/* n bytes at an address of the file; NULL: they are not all there. */
const uint8_t *moka__h5_at(const struct moka_h5 *h, uint64_t address, uint64_t n);
enum moka_status moka__h5_damaged(const struct moka_h5 *h, const char *name, const char *why, struct moka_error *err);
/* Counts a step; false: the file leads in circles. */
bool moka__h5_step(struct moka_h5 *h);
enum moka_status moka__h5_header(struct moka_h5 *h, moka_h5_object o, const char *name, struct h5_header *out,
				 struct moka_error *err);

#endif
