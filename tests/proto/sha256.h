/* sha256.h - the sum by which the tests know a file (FIPS 180-4). */
#ifndef MOKA_TEST_SHA256_H
#define MOKA_TEST_SHA256_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t sha_turn(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static void sha_block(uint32_t h[8], const uint32_t k[64], const uint8_t *p)
{
	uint32_t w[64], v[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 |
		       p[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (sha_turn(w[i - 15], 7) ^ sha_turn(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (sha_turn(w[i - 2], 17) ^ sha_turn(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, h, sizeof(v));
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + (sha_turn(v[4], 6) ^ sha_turn(v[4], 11) ^ sha_turn(v[4], 25)) +
			      ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		uint32_t t2 = (sha_turn(v[0], 2) ^ sha_turn(v[0], 13) ^ sha_turn(v[0], 22)) +
			      ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += v[i];
}

/* The fraction bits of the n-th prime's root, in integers: the least r with r^power >= prime * 2^(32 * power). */
static uint32_t sha_root(int prime, int power)
{
	unsigned __int128 low = 0, high = (unsigned __int128)1 << 36;

	while (high - low > 1) {
		unsigned __int128 mid = (low + high) / 2, full;
		/* mid^power against prime << 32 * power; mid < 2^36 keeps the cube under 2^108 */
		full = power == 2 ? mid * mid : mid * mid * mid;
		if (full > (unsigned __int128)prime << 32 * power)
			high = mid;
		else
			low = mid;
	}
	return (uint32_t)low;
}

/* hex[65] */
static void sha256_hex(const void *data, size_t n, char *hex)
{
	uint32_t h[8], k[64];
	uint8_t tail[128] = { 0 };
	const uint8_t *p = data;
	size_t left = n, last;

	for (int prime = 2, i = 0; i < 64; prime++) {
		int d = 2;
		while (prime % d)
			d++;
		if (d != prime)
			continue;
		if (i < 8)
			h[i] = sha_root(prime, 2);
		k[i++] = sha_root(prime, 3);
	}
	for (; left >= 64; left -= 64, p += 64)
		sha_block(h, k, p);
	if (left)
		memcpy(tail, p, left);
	tail[left] = 0x80;
	last = left < 56 ? 64 : 128;
	for (int i = 0; i < 8; i++)
		tail[last - 1 - (size_t)i] = (uint8_t)((uint64_t)n * 8 >> 8 * i);
	sha_block(h, k, tail);
	if (last == 128)
		sha_block(h, k, tail + 64);
	for (int i = 0; i < 8; i++)
		snprintf(hex + 8 * i, 9, "%08x", (unsigned)h[i]);
}

#endif
