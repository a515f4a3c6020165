/*
 * internal.h - what crosses files within model/.
 */
#ifndef MOKA_MODEL_INTERNAL_H
#define MOKA_MODEL_INTERNAL_H

#include "model/model.h"

/* The line (from 1) of the first merge-conflict marker; 0 where there is none. */
uint32_t moka__conflict_line(const char *text, size_t n);
/* Bytes of a byte-order mark at the start of a text. */
size_t moka__bom_bytes(const void *data, size_t n);

/* Brings m->root up to date and lists its layers. */
enum moka_status moka__model_settle(struct moka_model *m, const struct moka_schema *s, struct moka_findings *f);

/* Lets findings that point into `old`, which is about to go, live on. */
void moka__adopt_findings(struct moka_findings *f, const struct moka_text *old);

/* Half precision (IEEE binary16) to float. */
float moka__half_to_float(uint16_t h);

/* BlobProto with NVIDIA's raw fields; independent of the schema. */
extern const struct moka_message moka__blob_message;

/* Fills w->layers from an open HDF5 file of weights; values are copied into w's arena. */
enum moka_status moka__weights_read_hdf5(struct moka_weights *w, struct moka_error *err);

/* Grows an arena array by doubling; false: no memory. */
bool moka__grow(struct moka_arena *a, void *items, int *cap, int n, size_t size);

#endif
