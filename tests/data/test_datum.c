/*
 * test_datum.c - Datum records: written as protoc writes them, read back, damaged.
 */
#include "t.h"

#include "data/data.h"

#include <string.h>

T_TEST(bytes_as_protoc)
{
	const struct moka_datum d = {
		.channels = 1, .height = 2, .width = 2, .label = 7, .data = (const uint8_t *)"abcd", .data_bytes = 4
	};
	static const char want[] = "\x08\x01\x10\x02\x18\x02\x22\x04"
				   "abcd\x28\x07";
	struct moka_datum back;
	struct moka_error e = { 0 };
	struct moka_buf b;

	moka_buf_init(&b, 0);
	moka_datum_write(&d, &b);
	T_INT(b.len, sizeof(want) - 1);
	T_TRUE(!memcmp(b.data, want, b.len));
	T_OK(moka_datum_parse(&back, b.data, b.len, "db", &e), &e);
	T_INT(back.channels, 1);
	T_INT(back.label, 7);
	T_INT(back.data_bytes, 4);
	T_TRUE(!memcmp(back.data, "abcd", 4));
	moka_buf_release(&b);
}

T_TEST(floats_and_negative_labels)
{
	const float x[] = { 1.5f, -2 };
	const struct moka_datum d = { .channels = 2,
				      .height = 1,
				      .width = 1,
				      .label = -3,
				      .floats = (const uint8_t *)x,
				      .n_floats = 2,
				      .float_stride = 4 };
	struct moka_error e = { 0 };
	struct moka_datum back;
	struct moka_buf b;
	float y;

	moka_buf_init(&b, 0);
	moka_datum_write(&d, &b);
	T_OK(moka_datum_parse(&back, b.data, b.len, "db", &e), &e);
	T_INT(back.label, -3);
	T_INT(back.n_floats, 2);
	T_INT(back.float_stride, 5);
	memcpy(&y, back.floats + back.float_stride, 4);
	T_TRUE(y == -2);
	moka_buf_release(&b);
}

static void refuses(const char *p, size_t n, const char *message)
{
	struct moka_error e = { 0 };
	struct moka_datum d;

	T_INT(moka_datum_parse(&d, p, n, "db, key 0001", &e), MOKA_ERR_DATA);
	T_HAS(e.message, "db, key 0001: ");
	T_HAS(e.message, message);
}

T_TEST(damage)
{
	static const char good[] = "\x08\x01\x10\x02\x18\x02\x22\x04"
				   "abcd\x28\x07";

	for (size_t n = 0; n < sizeof(good) - 3; n++)
		refuses(good, n, "");
	refuses("\x08\x01\x10\x02\x18\x02\x22\x03"
		"abc",
		11, "its size is 1x2x2, which is 4 values, but it holds 3");
	refuses("\x08\x01\x10\x00\x18\x02", 6, "which no picture has");
	refuses("\x08\xff\xff\xff\xff\x07\x10\xff\xff\xff\xff\x07\x18\xff\xff\xff\xff\x07", 18, "no picture");
	refuses("\x38\x01", 2, "an encoded record without a picture");
	refuses("\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		"ab",
		13, "can't be followed beyond byte 0");
	refuses("random text, not a record", 25, "not a Datum");
}

static const struct CMUnitTest tests[] = { T_CASE(bytes_as_protoc), T_CASE(floats_and_negative_labels),
					   T_CASE(damage) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
