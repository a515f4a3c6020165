/* Status, checked arithmetic, arenas, growable buffers. */
#include "t.h"

#include <string.h>

T_TEST(error_is_filled_and_cut)
{
	struct moka_error e = { 0 };
	char longer[4000];

	T_INT(moka_fail(&e, MOKA_ERR_MODEL, "layer '%s': %d axes", "conv1", 3), MOKA_ERR_MODEL);
	T_STR(e.message, "layer 'conv1': 3 axes");
	T_INT(e.status, MOKA_ERR_MODEL);
	moka_fail_hint(&e, "give it %d", 4);
	T_STR(e.hint, "give it 4");
	moka_fail(&e, MOKA_ERR_IO, "again");
	T_STR(e.hint, "");
	/* 2-byte characters: the cut must not leave half of one */
	for (size_t shift = 0; shift < 2; shift++) {
		memset(longer, 'x', sizeof(longer));
		for (size_t i = shift; i + 2 < sizeof(longer); i += 2)
			memcpy(longer + i, "\xC3\xA9", 2);
		longer[sizeof(longer) - 1] = '\0';
		moka_fail(&e, MOKA_ERR_IO, "%s", longer);
		size_t n = strlen(e.message);
		T_TRUE(n >= sizeof(e.message) - 4 && n < sizeof(e.message));
		T_STR(e.message + n - 3, "...");
		T_INT((unsigned char)e.message[n - 4], 0xA9);
	}
	T_INT(moka_fail(NULL, MOKA_ERR_IO, "nobody listens"), MOKA_ERR_IO);
	moka_fail_hint(NULL, "nobody listens");
}

T_TEST(arithmetic_is_checked)
{
	static const struct {
		int64_t a, b;
		bool mul, add;
	} rows[] = {
		{ 0, INT64_MAX, true, true },
		{ 1, INT64_MAX, true, false },
		{ 2, INT64_MAX, false, false },
		{ -1, 2, false, false },
		{ 2, -1, false, false },
		{ (int64_t)1 << 32, (int64_t)1 << 31, false, true },
		{ (int64_t)1 << 31, (int64_t)1 << 31, true, true },
		{ INT64_MAX / 2, 2, true, true },
		{ INT64_MIN, INT64_MIN, false, false },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		int64_t out = 77;
		T_INT(moka_mul(rows[i].a, rows[i].b, &out), rows[i].mul);
		T_INT(out, rows[i].mul ? rows[i].a * rows[i].b : 77);
		out = 77;
		T_INT(moka_add(rows[i].a, rows[i].b, &out), rows[i].add);
		T_INT(out, rows[i].add ? rows[i].a + rows[i].b : 77);
	}
}

T_TEST(arena_gives_zeroed_aligned_memory)
{
	struct moka_arena a;
	unsigned char *kept[200];

	moka_arena_init(&a, 0);
	for (size_t i = 0; i < 200; i++) {
		size_t n = i * i % 3000;
		kept[i] = moka_arena_alloc(&a, n, 1);
		T_TRUE(kept[i]);
		T_INT((uintptr_t)kept[i] % 16, 0);
		for (size_t k = 0; k < n; k++)
			T_INT(kept[i][k], 0);
		memset(kept[i], (int)i, n);
	}
	/* blocks never move and never overlap */
	for (size_t i = 0; i < 200; i++)
		for (size_t k = 0; k < i * i % 3000; k++)
			T_INT(kept[i][k], i & 0xFF);
	T_TRUE(moka_arena_alloc(&a, 5000000, 1));
	T_TRUE(moka_arena_alloc(&a, 0, 8));
	T_STR(moka_arena_printf(&a, "%s-%d", "x", 5), "x-5");
	T_STR(moka_arena_strndup(&a, "abcdef", 3), "abc");
	T_STR(moka_arena_strdup(&a, ""), "");
	moka_arena_release(&a);
	moka_arena_release(&a);
	T_TRUE(MOKA_NEW(&a, int)); /* usable again */
	moka_arena_release(&a);
}

T_TEST(arena_keeps_its_limit)
{
	struct moka_arena a;
	size_t got = 0;

	moka_arena_init(&a, 1000);
	T_FALSE(moka_arena_alloc(&a, SIZE_MAX / 2, 3));
	T_FALSE(moka_arena_alloc(&a, SIZE_MAX, 1));
	T_FALSE(moka_arena_alloc(&a, 1001, 1));
	while (moka_arena_alloc(&a, 10, 1))
		got++;
	T_INT(got, 1000 / 16);
	moka_arena_release(&a);
	T_TRUE(moka_arena_alloc(&a, 900, 1));
	moka_arena_release(&a);
	moka_arena_init(&a, 0);
	T_FALSE(moka_arena_alloc(&a, SIZE_MAX / 2 + 1, 1));
	T_FALSE(moka_arena_strndup(&a, "x", SIZE_MAX));
	moka_arena_release(&a);
}

T_TEST(buf_grows_and_stops_at_its_ceiling)
{
	struct moka_buf b;

	moka_buf_init(&b, 10);
	moka_buf_puts(&b, "");
	T_FALSE(b.data);
	moka_buf_puts(&b, "12345");
	moka_buf_printf(&b, "%d", 678);
	T_STR(b.data, "12345678");
	moka_buf_printf(&b, "%s", "abc"); /* fits the memory, not the limit */
	T_TRUE(b.failed);
	T_STR(b.data, "12345678");
	T_INT(b.len, 8);
	moka_buf_putc(&b, 'x'); /* after a failure nothing goes in */
	T_INT(b.len, 8);
	moka_buf_release(&b);
	moka_buf_release(&b);
	T_FALSE(b.failed);

	moka_buf_init(&b, 0);
	for (int i = 0; i < 1000; i++)
		moka_buf_printf(&b, "%d,", i);
	moka_buf_repeat(&b, "ab", 3);
	moka_buf_add(&b, "\0z", 2);
	T_FALSE(b.failed);
	T_INT(b.len, 10 * 2 + 90 * 3 + 900 * 4 + 6 + 2);
	T_TRUE(!memcmp(b.data + b.len - 8, "ababab\0z", 9));
	moka_buf_release(&b);
}

T_TEST(json_strings_are_always_valid)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "\"\"" },
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t\x01\x7F", "\"\\b\\f\\n\\r\\t\\u0001\\u007f\"" },
		{ "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x8D\xB5", "\"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x8D\xB5\"" },
		{ "x\xFFy", "\"x\xEF\xBF\xBDy\"" },
		{ "\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },			/* overlong */
		{ "\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" }, /* surrogate */
		{ "\xF4\x90\x80\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
		{ "\xE4\xB8", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" }, /* cut short */
	};
	struct moka_buf b;

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		moka_buf_init(&b, 0);
		moka_buf_json_string(&b, rows[i].in);
		T_STR(b.data, rows[i].out);
		moka_buf_release(&b);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(error_is_filled_and_cut),
	T_CASE(arithmetic_is_checked),
	T_CASE(arena_gives_zeroed_aligned_memory),
	T_CASE(arena_keeps_its_limit),
	T_CASE(buf_grows_and_stops_at_its_ceiling),
	T_CASE(json_strings_are_always_valid),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
