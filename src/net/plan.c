/*
 * plan.c - where the data of each blob lies in an execution's block.
 *
 * Everything kept: each blob has its own place. Only outputs kept: a blob needs its place from the layer that makes it to the
 * last that reads it, and blobs whose lives don't overlap may lie on each other:
 *
 *     layer   0    1    2    3    4
 *     data    [=========================   an input stays: whoever runs the net may run it again
 *     conv1        [=====]
 *     relu1             (conv1's place: the layer may work in place, and nobody else reads conv1)
 *     pool1                  [=====]       may lie where conv1 was
 *     prob                        [=====   an output stays
 *
 * Units (a blob with those that work in its place) are placed by place.c.
 */
#include "net/internal.h"

#include <limits.h>

/* Placing is quadratic: beyond so many blobs each has its own place. */
#define MAX_PLANNED 8192

/* When each blob is alive, taken alone. */
static void find_lives(struct moka__plan *p, const struct moka_net *n)
{
	for (int i = 0; i < n->n_blobs; i++) {
		const struct moka_blob *x = &n->blobs[i];

		p->unit[i] = i;
		p->kept[i] = x->is_input || x->is_output || x->producer < 0;
		p->begin[i] = x->is_input ? -1 : x->producer;
		p->end[i] = x->n_consumers ? x->consumers[x->n_consumers - 1] : x->producer;
		if (p->kept[i])
			p->end[i] = INT_MAX;
	}
}

/* Lets top 0 of each layer that can work in place lie on bottom 0, where that dies with the layer. */
static void share_places(struct moka__plan *p, const struct moka_net *n)
{
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *nl = &n->layers[i];

		if (nl->in_place || !nl->l.type || !(nl->l.type->flags & MOKA_INPLACE) || !nl->l.n_top ||
		    !nl->l.n_bottom)
			continue;
		int bottom = nl->bottoms[0], top = nl->tops[0], unit = p->unit[bottom];
		bool twice = false;

		for (int k = 1; k < nl->l.n_bottom; k++)
			twice |= p->unit[nl->bottoms[k]] == unit;
		if (twice || p->end[unit] != i ||
		    moka_shape_count(&n->blobs[bottom].shape) != moka_shape_count(&n->blobs[top].shape))
			continue;
		p->unit[top] = unit;
		p->end[unit] = p->end[top];
	}
}

/* One behind the other. */
static void place_apart(struct moka__plan *p, const struct moka_net *n)
{
	for (int i = 0; i < n->n_blobs; i++) {
		p->unit[i] = i;
		p->kept[i] = true;
		p->begin[i] = -1;
		p->end[i] = INT_MAX;
		p->offset[i] = p->bytes;
		p->bytes += moka__blob_bytes(moka_shape_count(&n->blobs[i].shape)) + MOKA__GUARD;
	}
}

static enum moka_status place_shared(struct moka__plan *p, const struct moka_net *n, struct moka_arena *a)
{
	struct moka__room *rooms = MOKA_NEWN(a, n->n_blobs + 1, struct moka__room);
	int n_rooms = 0;

	if (!rooms)
		return MOKA_ERR_NOMEM;
	find_lives(p, n);
	share_places(p, n);
	for (int i = 0; i < n->n_blobs; i++)
		if (p->unit[i] == i)
			rooms[n_rooms++] =
				(struct moka__room){ i, moka__blob_bytes(moka_shape_count(&n->blobs[i].shape)), 0,
						     p->begin[i], p->end[i] };
	if (!moka__place_rooms(rooms, n_rooms, a, &p->bytes))
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < n_rooms; i++)
		p->offset[rooms[i].id] = rooms[i].offset;
	for (int i = 0; i < n->n_blobs; i++)
		p->offset[i] = p->offset[p->unit[i]];
	return MOKA_OK;
}

enum moka_status moka__plan_blobs(struct moka__plan *p, const struct moka_net *n, enum moka_keep keep,
				  struct moka_arena *a)
{
	*p = (struct moka__plan){ .offset = MOKA_NEWN(a, n->n_blobs + 1, size_t),
				  .unit = MOKA_NEWN(a, n->n_blobs + 1, int),
				  .begin = MOKA_NEWN(a, n->n_blobs + 1, int),
				  .end = MOKA_NEWN(a, n->n_blobs + 1, int),
				  .kept = MOKA_NEWN(a, n->n_blobs + 1, bool) };
	if (!p->offset || !p->unit || !p->begin || !p->end || !p->kept)
		return MOKA_ERR_NOMEM;
	if (keep == MOKA_KEEP_OUTPUTS && n->n_blobs <= MAX_PLANNED)
		return place_shared(p, n, a);
	place_apart(p, n);
	return MOKA_OK;
}
