/*
 * arena.c - memory with one lifetime, handed out of blocks that never move.
 *
 *     head -> [block | used ......... free] -> [older block] -> NULL
 *
 * Only the head has room; a request that does not fit opens a new block. A large request gets a block of its own,
 * put behind the head so that the head's room isn't lost. Blocks come zeroed from calloc(), which costs nothing for
 * large ones.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 16
#define FIRST_BLOCK 4096
#define LARGEST_BLOCK ((size_t)1 << 20)

struct moka_arena_block {
	struct moka_arena_block *next;
	size_t used, cap;
	/* keeps `bytes` aligned: calloc() aligns the block to 16 */
	_Alignas(ALIGN) unsigned char bytes[];
};

void moka_arena_init(struct moka_arena *a, size_t limit_bytes)
{
	*a = (struct moka_arena){ .limit_bytes = limit_bytes };
}

void moka_arena_release(struct moka_arena *a)
{
	while (a->head) {
		struct moka_arena_block *b = a->head;
		a->head = b->next;
		free(b);
	}
	a->used_bytes = 0;
}

/* Opens a block with room for `bytes` and returns it; it is the head unless it is for one large request. */
static struct moka_arena_block *add_block(struct moka_arena *a, size_t bytes)
{
	size_t cap = a->head ? MOKA_MIN(a->head->cap * 2, LARGEST_BLOCK) : FIRST_BLOCK;
	bool own = bytes > cap / 2;
	struct moka_arena_block *b;

	if (own)
		cap = bytes;
	if (cap > SIZE_MAX / 2)
		return NULL;
	b = calloc(1, sizeof(*b) + cap);
	if (!b)
		return NULL;
	b->cap = cap;
	if (own && a->head) {
		b->next = a->head->next;
		a->head->next = b;
	} else {
		b->next = a->head;
		a->head = b;
	}
	return b;
}

void *moka_arena_alloc(struct moka_arena *a, size_t n, size_t size)
{
	struct moka_arena_block *b = a->head;
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2)
		return NULL;
	/* a request for nothing gets an address of its own: NULL means failure */
	bytes = bytes ? (bytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
	if (a->limit_bytes && (bytes > a->limit_bytes || a->used_bytes > a->limit_bytes - bytes))
		return NULL;
	if (!b || b->cap - b->used < bytes)
		b = add_block(a, bytes);
	if (!b)
		return NULL;
	p = b->bytes + b->used;
	b->used += bytes;
	a->used_bytes += bytes;
	return p;
}

char *moka_arena_strndup(struct moka_arena *a, const char *s, size_t n)
{
	char *p = n < SIZE_MAX ? moka_arena_alloc(a, n + 1, 1) : NULL;

	if (p && n)
		memcpy(p, s, n);
	return p;
}

char *moka_arena_strdup(struct moka_arena *a, const char *s)
{
	return moka_arena_strndup(a, s, strlen(s));
}

char *moka_arena_printf(struct moka_arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p = NULL;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0)
		p = moka_arena_alloc(a, (size_t)n + 1, 1);
	if (p) {
		va_start(ap, fmt);
		vsnprintf(p, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	return p;
}
