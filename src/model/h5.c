/*
 * h5.c - an HDF5 file's head, object headers, and groups.
 *
 *     superblock --> root's object header --messages--> symbol table: B-tree of names --leaves--> (name, object header) ...
 *                                                       or link messages, one a member
 *
 * Numbers are little-endian; addresses count from the superblock's base address and may be 2 to 8 bytes wide.
 */
#include "model/h5_internal.h"

#include <stdlib.h>
#include <string.h>

uint64_t moka__h5_number(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

bool moka__h5_undefined(const struct moka_h5 *h, uint64_t address)
{
	return address == (h->offset_bytes == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * h->offset_bytes) - 1);
}

const uint8_t *moka__h5_at(const struct moka_h5 *h, uint64_t address, uint64_t n)
{
	if (address > h->size || h->base > h->size - address || n > h->size - address - h->base)
		return NULL;
	return h->data + h->base + address;
}

enum moka_status moka__h5_damaged(const struct moka_h5 *h, const char *name, const char *why, struct moka_error *err)
{
	return moka_fail(err, MOKA_ERR_FORMAT, "%s: '%s' %s; this HDF5 file is damaged", h->path, name, why);
}

static enum moka_status unsupported(const struct moka_h5 *h, const char *name, const char *what, struct moka_error *err)
{
	moka_fail(err, MOKA_ERR_UNSUPPORTED, "%s: '%s' %s, which is not read", h->path, name, what);
	moka_fail_hint(
		err,
		"copy the file with the plainest settings: in Python, h5py.File(NEW, 'w') and f.create_dataset(name, data=...)");
	return MOKA_ERR_UNSUPPORTED;
}

bool moka__h5_step(struct moka_h5 *h)
{
	return ++h->steps <= MOKA__H5_STEPS;
}

/* ---- superblock ---------------------------------------------------------------------------------- */

static bool good_width(int bytes)
{
	return bytes == 2 || bytes == 4 || bytes == 8;
}

/* Versions 0 and 1: a table entry of the root group ends it. 2 and 3: the root's address. */
static bool read_superblock(struct moka_h5 *h, const uint8_t *p, size_t n)
{
	const int version = n > 8 ? p[8] : 255;
	const bool old = version < 2;
	const size_t widths = old ? 13 : 9;
	const size_t at = version == 0 ? 24 : version == 1 ? 28 : 12;

	if (version > 3 || n < 96 - (old ? 0 : 48))
		return false;
	h->offset_bytes = p[widths];
	h->length_bytes = p[widths + 1];
	if (!good_width(h->offset_bytes) || !good_width(h->length_bytes))
		return false;
	/* base | (free space, or extension) | end | (driver block, name's offset, or nothing) | root's header */
	h->base = moka__h5_number(p + at, h->offset_bytes);
	h->root = moka__h5_number(p + at + (size_t)h->offset_bytes * (old ? 5 : 3), h->offset_bytes);
	return true;
}

enum moka_status moka_h5_open(struct moka_h5 **out, const char *path, const struct moka_file *file,
			      struct moka_error *err)
{
	struct moka_h5 *h;

	*out = NULL;
	/* The signature may lie at 0, 512, 1024, 2048 ...; what is before it is the user's. */
	for (size_t at = 0; at + 8 < file->size; at = at ? at * 2 : 512) {
		if (memcmp(file->data + at, "\x89HDF\r\n\x1a\n", 8))
			continue;
		h = calloc(1, sizeof(*h));
		if (!h)
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
		*h = (struct moka_h5){ .path = path, .data = file->data, .size = file->size };
		if (read_superblock(h, file->data + at, file->size - at)) {
			*out = h;
			return MOKA_OK;
		}
		free(h);
		return moka_fail(err, MOKA_ERR_FORMAT,
				 "%s: the head of this HDF5 file can't be read; it is damaged or cut off", path);
	}
	return moka_guess_fail(err, path, file, moka_model_guess(file), "an HDF5 file");
}

void moka_h5_close(struct moka_h5 *h)
{
	free(h);
}

moka_h5_object moka_h5_root(const struct moka_h5 *h)
{
	return h->root;
}

/* ---- object headers ---------------------------------------------------------------------------------- */

/* Messages of one block. v2 headers are denser: type 1, size 2, flags 1, and 2 more where creation order is kept. */
struct block {
	const uint8_t *p, *end;
};

struct walk {
	struct moka_h5 *h;
	bool v2, ordered;
	bool (*each)(void *arg, int kind, const uint8_t *p, size_t n, bool shared); /* false: stop with an error */
	void *arg;
	struct block more[64]; /* continuations found, not walked yet */
	int n_more;
};

static bool next_message(const struct walk *w, struct block *b, int *kind, const uint8_t **p, size_t *n, bool *shared)
{
	const size_t head = w->v2 ? (w->ordered ? 6 : 4) : 8;

	if ((size_t)(b->end - b->p) < head)
		return false;
	*kind = w->v2 ? b->p[0] : (int)moka__h5_number(b->p, 2);
	*n = (size_t)moka__h5_number(b->p + (w->v2 ? 1 : 2), 2);
	*shared = b->p[w->v2 ? 3 : 4] & 2;
	b->p += head;
	if (*n > (size_t)(b->end - b->p))
		return false;
	*p = b->p;
	b->p += *n;
	return true;
}

static bool add_continuation(struct walk *w, const uint8_t *p, size_t n)
{
	const struct moka_h5 *h = w->h;
	const uint64_t wide = (uint64_t)h->offset_bytes + (uint64_t)h->length_bytes;
	const uint8_t *at;
	uint64_t length;

	if (n < wide || w->n_more == (int)MOKA_COUNT(w->more))
		return false;
	length = moka__h5_number(p + h->offset_bytes, h->length_bytes);
	at = moka__h5_at(h, moka__h5_number(p, h->offset_bytes), length);
	if (!at || (w->v2 && (length < 8 || memcmp(at, "OCHK", 4))))
		return false;
	w->more[w->n_more++] = (struct block){ at + (w->v2 ? 4 : 0), at + length - (w->v2 ? 4 : 0) };
	return true;
}

static bool walk_block(struct walk *w, struct block b)
{
	const uint8_t *p;
	bool shared;
	int kind;
	size_t n;

	while (next_message(w, &b, &kind, &p, &n, &shared)) {
		if (!moka__h5_step(w->h) || (kind == H5M_CONTINUATION && !add_continuation(w, p, n)))
			return false;
		if (kind != H5M_CONTINUATION && !w->each(w->arg, kind, p, n, shared))
			return false;
	}
	return true;
}

static bool first_block(struct walk *w, uint64_t address, struct block *b)
{
	const uint8_t *p = moka__h5_at(w->h, address, 16);
	size_t at = 6, wide, n;

	if (!p)
		return false;
	if (p[0] == 1) { /* version 1: 2 reserved, count of messages, references, size, padding */
		n = (size_t)moka__h5_number(p + 8, 4);
		p = moka__h5_at(w->h, address + 16, n);
		*b = (struct block){ p, p ? p + n : NULL };
		return p != NULL;
	}
	if (memcmp(p, "OHDR", 4) || p[4] != 2)
		return false;
	w->v2 = true;
	w->ordered = p[5] & 4;
	at += (p[5] & 32 ? 16 : 0) + (p[5] & 16 ? 4 : 0);
	wide = (size_t)1 << (p[5] & 3);
	p = moka__h5_at(w->h, address, at + wide);
	if (!p)
		return false;
	n = (size_t)moka__h5_number(p + at, (int)wide);
	p = moka__h5_at(w->h, address + at + wide, n);
	*b = (struct block){ p, p ? p + n : NULL };
	return p != NULL;
}

/* Every message of an object's header, but for continuations, which are followed. */
static bool each_message(struct moka_h5 *h, uint64_t address, bool (*each)(void *, int, const uint8_t *, size_t, bool),
			 void *arg)
{
	struct walk w = { .h = h, .each = each, .arg = arg };
	struct block b;

	if (!moka__h5_step(h) || !first_block(&w, address, &b) || !walk_block(&w, b))
		return false;
	for (int i = 0; i < w.n_more; i++) /* grows while it runs; its ceiling ends circles */
		if (!walk_block(&w, w.more[i]))
			return false;
	return true;
}

static bool keep_first(void *arg, int kind, const uint8_t *p, size_t n, bool shared)
{
	struct h5_header *header = arg;

	if (kind > 0 && kind < H5M_KINDS && !header->m[kind].p)
		header->m[kind] = (struct h5_message){ p, n, shared };
	return true;
}

enum moka_status moka__h5_header(struct moka_h5 *h, moka_h5_object o, const char *name, struct h5_header *out,
				 struct moka_error *err)
{
	memset(out, 0, sizeof(*out));
	return each_message(h, o, keep_first, out)
		       ? MOKA_OK
		       : moka__h5_damaged(h, name, "has a header that can't be followed", err);
}

enum moka_h5_kind moka_h5_kind(struct moka_h5 *h, moka_h5_object o)
{
	struct h5_header header;

	if (moka__h5_header(h, o, "", &header, NULL))
		return MOKA_H5_OTHER;
	if (header.m[H5M_LAYOUT].p)
		return MOKA_H5_DATASET;
	return header.m[H5M_SYMBOLS].p || header.m[H5M_LINK_INFO].p || header.m[H5M_LINK].p ? MOKA_H5_GROUP
											    : MOKA_H5_OTHER;
}

/* ---- groups --------------------------------------------------------------------------------------------- */

struct members {
	struct moka_h5 *h;
	struct moka_arena *arena;
	struct moka_h5_member *list;
	int n, cap;
	const char *heap; /* names of an old group */
	size_t heap_bytes;
};

static bool add_member(struct members *m, const char *name, size_t n, uint64_t object)
{
	if (!moka__h5_step(m->h) || m->n >= MOKA_MAX_LAYERS)
		return false;
	if (m->n == m->cap) {
		const int cap = m->cap ? m->cap * 2 : 32;
		struct moka_h5_member *bigger = MOKA_NEWN(m->arena, cap, struct moka_h5_member);

		if (!bigger)
			return false;
		if (m->n)
			memcpy(bigger, m->list, (size_t)m->n * sizeof(*bigger));
		m->list = bigger;
		m->cap = cap;
	}
	m->list[m->n].name = moka_arena_strndup(m->arena, name, n);
	m->list[m->n].object = object;
	return m->list[m->n++].name != NULL;
}

/* SNOD, version, reserved, count (2) | entries: name's offset, header's address, kind (4), reserved (4), 16 more */
static bool read_leaf(struct members *m, uint64_t address)
{
	const struct moka_h5 *h = m->h;
	const size_t entry = (size_t)h->offset_bytes * 2 + 24;
	const uint8_t *p = moka__h5_at(h, address, 8);
	size_t n;

	if (!p || memcmp(p, "SNOD", 4))
		return false;
	n = (size_t)moka__h5_number(p + 6, 2);
	p = moka__h5_at(h, address + 8, n * entry);
	for (size_t i = 0; p && i < n; i++, p += entry) {
		const uint64_t name = moka__h5_number(p, h->offset_bytes);
		const char *s = name < m->heap_bytes ? m->heap + name : NULL;

		if (!s || !memchr(s, 0, m->heap_bytes - (size_t)name))
			return false;
		if (moka__h5_number(p + 2 * h->offset_bytes, 4) != 2 && /* 2: a soft link */
		    !add_member(m, s, strlen(s), moka__h5_number(p + h->offset_bytes, h->offset_bytes)))
			return false;
	}
	return p != NULL;
}

/* TREE, kind 0, level, count (2), two siblings | key, child, key, child ... key */
static bool read_tree(struct members *m, uint64_t address, int depth)
{
	const struct moka_h5 *h = m->h;
	const size_t head = 8 + 2 * (size_t)h->offset_bytes, step = (size_t)h->length_bytes + (size_t)h->offset_bytes;
	const uint8_t *p = moka__h5_at(h, address, head);
	int level;
	size_t n;

	if (!p || memcmp(p, "TREE", 4) || p[4] || depth > 32 || !moka__h5_step(m->h))
		return false;
	level = p[5];
	n = (size_t)moka__h5_number(p + 6, 2);
	p = moka__h5_at(h, address + head, n * step);
	for (size_t i = 0; p && i < n; i++, p += step) {
		const uint64_t child = moka__h5_number(p + h->length_bytes, h->offset_bytes);

		if (level ? !read_tree(m, child, depth + 1) : !read_leaf(m, child))
			return false;
	}
	return p != NULL;
}

static bool read_old_group(struct members *m, const struct h5_message *symbols)
{
	const struct moka_h5 *h = m->h;
	const size_t o = (size_t)h->offset_bytes, l = (size_t)h->length_bytes;
	const uint8_t *heap;

	if (symbols->n < 2 * o)
		return false;
	/* HEAP, version, reserved (3) | size, free list, address of its data */
	heap = moka__h5_at(h, moka__h5_number(symbols->p + o, (int)o), 8 + 2 * l + o);
	if (!heap || memcmp(heap, "HEAP", 4))
		return false;
	m->heap_bytes = (size_t)moka__h5_number(heap + 8, (int)l);
	m->heap = (const char *)moka__h5_at(h, moka__h5_number(heap + 8 + 2 * l, (int)o), m->heap_bytes);
	return m->heap && read_tree(m, moka__h5_number(symbols->p, (int)o), 0);
}

/* A link message: version 1, flags | (kind) (order, 8) (character set) length of name (1 << flags & 3) | name | address */
static bool read_link(void *arg, int kind, const uint8_t *p, size_t n, bool shared)
{
	struct members *m = arg;
	const size_t o = (size_t)m->h->offset_bytes;
	size_t at = 2, wide;
	uint64_t name;

	if (kind != H5M_LINK || shared)
		return true;
	if (n < 2 || p[0] != 1)
		return false;
	wide = (size_t)1 << (p[1] & 3);
	if (p[1] & 8) {
		if (n < 3 || p[2])
			return n >= 3; /* soft or external: left out */
		at++;
	}
	at += (p[1] & 4 ? 8 : 0) + (p[1] & 16 ? 1 : 0);
	if (n < at + wide)
		return false;
	name = moka__h5_number(p + at, (int)wide);
	at += wide;
	if (name > n - at || n - at - (size_t)name < o)
		return false;
	return add_member(m, (const char *)p + at, (size_t)name, moka__h5_number(p + at + name, (int)o));
}

/* Links of a new group that lie in a heap of their own (more than eight members). */
static bool has_dense_links(const struct moka_h5 *h, const struct h5_message *info)
{
	const size_t at = 2 + (info->p && info->n > 1 && (info->p[1] & 1) ? 8 : 0);

	return info->p && info->n >= at + (size_t)h->offset_bytes &&
	       !moka__h5_undefined(h, moka__h5_number(info->p + at, h->offset_bytes));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct moka_h5_member *)a)->name, ((const struct moka_h5_member *)b)->name);
}

enum moka_status moka_h5_list(struct moka_h5 *h, moka_h5_object group, struct moka_arena *a,
			      struct moka_h5_member **members, int *n, struct moka_error *err)
{
	struct members m = { .h = h, .arena = a };
	struct h5_header header;
	bool good;

	MOKA_TRY(moka__h5_header(h, group, "a group", &header, err));
	if (has_dense_links(h, &header.m[H5M_LINK_INFO]))
		return unsupported(h, "a group", "keeps its members in HDF5's newest form", err);
	good = header.m[H5M_SYMBOLS].p ? read_old_group(&m, &header.m[H5M_SYMBOLS])
				       : each_message(h, group, read_link, &m);
	if (!good)
		return moka__h5_damaged(h, "a group", "has members that can't be followed", err);
	if (m.n)
		qsort(m.list, (size_t)m.n, sizeof(*m.list), by_name);
	*members = m.list;
	*n = m.n;
	return MOKA_OK;
}

static bool find_member(struct moka_h5 *h, moka_h5_object *o, const char *name, size_t n)
{
	struct moka_h5_member *members;
	struct moka_arena a;
	bool found = false;
	int count = 0;

	moka_arena_init(&a, 0);
	if (!moka_h5_list(h, *o, &a, &members, &count, NULL))
		for (int i = 0; i < count && !found; i++)
			if (strlen(members[i].name) == n && !memcmp(members[i].name, name, n)) {
				*o = members[i].object;
				found = true;
			}
	moka_arena_release(&a);
	return found;
}

enum moka_h5_kind moka_h5_find(struct moka_h5 *h, const char *path, moka_h5_object *out)
{
	*out = h->root;
	while (*path) {
		const size_t n = strcspn(path, "/");

		if (n && !find_member(h, out, path, n))
			return MOKA_H5_ABSENT;
		path += n + (path[n] == '/');
	}
	return moka_h5_kind(h, *out);
}
