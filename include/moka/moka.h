/*
 * moka.h - the public interface of Moka, the home of Caffe models.
 */
#ifndef MOKA_H
#define MOKA_H

#ifdef __cplusplus
extern "C" {
#endif

#define MOKA_VERSION "0.1.0"

enum moka_status {
	MOKA_OK = 0,
	MOKA_ERR_NOMEM,	      /* memory, or a budget, is exhausted */
	MOKA_ERR_IO,	      /* a file can't be opened, read or written */
	MOKA_ERR_FORMAT,      /* bytes that are not what the file should hold */
	MOKA_ERR_MODEL,	      /* the net, the solver or the weights are at fault */
	MOKA_ERR_DATA,	      /* a sample is at fault: a label out of range, a damaged record */
	MOKA_ERR_LIMIT,	      /* a size over one of Moka's limits */
	MOKA_ERR_ARG,	      /* the call is at fault */
	MOKA_ERR_UNSUPPORTED, /* known, and not something Moka can do */
	MOKA_ERR_INTERRUPTED, /* asked to stop */
};

/* Caller-owned, fixed size, needs no memory; every function accepts NULL instead. */
struct moka_error {
	enum moka_status status;
	char message[1024]; /* one sentence: where, what, expected */
	char hint[512];	    /* what to do, or "" */
};

#ifdef __cplusplus
}
#endif
#endif
