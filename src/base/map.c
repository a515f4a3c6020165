/*
 * map.c - string -> pointer: open addressing, linear probing, at most three quarters full, nothing is ever removed.
 *
 * Names come from files that may be made to collide, so the hash is SipHash-1-3 under a seed of this map's own.
 * (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.)
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct moka_map_slot {
	uint64_t hash;
	const char *key; /* NULL: empty */
	void *value;
};

static uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0], v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1], v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2], v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static uint64_t hash_string(uint64_t seed, const char *s)
{
	const uint64_t k0 = seed, k1 = ~rotate(seed, 29);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
			  k1 ^ 0x7465646279746573 };
	size_t n = strlen(s);
	uint64_t last = (uint64_t)n << 56, word;

	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&word, s, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)(unsigned char)s[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xFF;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void moka_map_init(struct moka_map *m)
{
	*m = (struct moka_map){ 0 };
	/* where the system has no random numbers to give, an address and the clock are better than a constant */
	if (getrandom(&m->seed, sizeof(m->seed), GRND_NONBLOCK) != sizeof(m->seed))
		m->seed = (uint64_t)(uintptr_t)m * 0x9E3779B97F4A7C15 ^ (uint64_t)(moka_now() * 1e9);
}

void moka_map_release(struct moka_map *m)
{
	free(m->slots);
	m->slots = NULL;
	m->n = m->cap = 0;
}

/* The slot that holds key, or the empty one where it belongs. There always is an empty one. */
static struct moka_map_slot *find_slot(struct moka_map_slot *slots, size_t cap, uint64_t hash, const char *key)
{
	size_t i = (size_t)hash & (cap - 1);

	while (slots[i].key && (slots[i].hash != hash || strcmp(slots[i].key, key)))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

void *moka_map_get(const struct moka_map *m, const char *key)
{
	if (!m->n)
		return NULL;
	return find_slot(m->slots, m->cap, hash_string(m->seed, key), key)->value;
}

static bool grow(struct moka_map *m)
{
	size_t cap = m->cap ? m->cap * 2 : 16;
	struct moka_map_slot *slots = cap > m->cap ? calloc(cap, sizeof(*slots)) : NULL;

	if (!slots)
		return false;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].key)
			*find_slot(slots, cap, m->slots[i].hash, m->slots[i].key) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	return true;
}

bool moka_map_put(struct moka_map *m, const char *key, void *value)
{
	uint64_t hash = hash_string(m->seed, key);
	struct moka_map_slot *s;

	if (m->n >= m->cap / 4 * 3 && !grow(m))
		return false;
	s = find_slot(m->slots, m->cap, hash, key);
	if (!s->key)
		m->n++;
	*s = (struct moka_map_slot){ hash, key, value };
	return true;
}
