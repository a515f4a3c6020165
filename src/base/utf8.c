/*
 * utf8.c - reading UTF-8 that may be wrong. Names in models are whatever their authors typed.
 */
#include "internal.h"

int32_t moka__utf8_next(const char *p, size_t n, int *len)
{
	const unsigned char *s = (const unsigned char *)p;
	static const int32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int want = s[0] < 0x80 ? 1 : s[0] < 0xC0 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF8 ? 4 : 0;
	int32_t c;

	*len = 1;
	if (want == 1)
		return s[0];
	if (want == 0 || (size_t)want > n)
		return -1;
	c = s[0] & (0x7F >> want);
	for (int i = 1; i < want; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return -1;
		c = c << 6 | (s[i] & 0x3F);
	}
	if (c < least[want] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return -1;
	*len = want;
	return c;
}

size_t moka__utf8_trim(char *s, size_t n)
{
	size_t begin = n;
	int len;

	/* step back over at most one character; keep it when it is whole */
	while (begin > 0 && n - begin < 4 && ((unsigned char)s[begin - 1] & 0xC0) == 0x80)
		begin--;
	if (begin > 0 && (unsigned char)s[begin - 1] >= 0xC0) {
		begin--;
		if (moka__utf8_next(s + begin, n - begin, &len) < 0)
			n = begin;
	}
	s[n] = '\0';
	return n;
}
