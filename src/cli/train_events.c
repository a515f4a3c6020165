/*
 * train_events.c - TensorBoard's event files, written by hand.
 *
 * A file is a row of records, each framed:
 *
 *     | length, 8 bytes | checksum of those | message | checksum of that |        numbers little-endian
 *
 * The checksum is CRC-32C, turned right by 15 bits and 0xa282ead8 added, so that a checksum of checksums stays a good one. The
 * message is an Event of TensorFlow's event.proto: wall_time (1, double), step (2, int64), then file_version (3, string) in the first
 * record, summary (5) in the others; a Summary holds Value messages (1) with tag (1, string) and simple_value (2, float).
 */
#include "cli/train.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static uint32_t crc32c(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static uint32_t masked_crc(const void *p, size_t n)
{
	uint32_t crc = crc32c(p, n);

	return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static void add_fixed(struct moka_buf *b, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		moka_buf_putc(b, (char)(v >> 8 * i));
}

static void add_varint(struct moka_buf *b, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		moka_buf_putc(b, (char)(v | 128));
	moka_buf_putc(b, (char)v);
}

/* A field that has a length: a string, a message. */
static void add_bytes(struct moka_buf *b, int field, const char *p, size_t n)
{
	add_varint(b, (uint64_t)field << 3 | 2);
	add_varint(b, n);
	moka_buf_add(b, p, n);
}

static void begin_event(struct moka_buf *b)
{
	struct timeval now;
	double wall;
	uint64_t bits;

	gettimeofday(&now, NULL);
	wall = (double)now.tv_sec + (double)now.tv_usec * 1e-6;
	memcpy(&bits, &wall, sizeof(bits));
	moka_buf_init(b, 1 << 20);
	add_varint(b, 1 << 3 | 1);
	add_fixed(b, bits, 8);
}

static bool put_record(FILE *f, struct moka_buf *event)
{
	struct moka_buf b;
	bool ok;

	moka_buf_init(&b, 1 << 20);
	add_fixed(&b, event->len, 8);
	if (b.len == 8)
		add_fixed(&b, masked_crc(b.data, 8), 4);
	moka_buf_add(&b, event->data, event->len);
	add_fixed(&b, event->data ? masked_crc(event->data, event->len) : 0, 4);
	ok = !b.failed && !event->failed && fwrite(b.data, 1, b.len, f) == b.len;
	moka_buf_release(&b);
	moka_buf_release(event);
	return ok;
}

FILE *train_events_open(const char *folder, int *cause)
{
	char host[65] = "", path[MOKA_MAX_NAME];
	struct moka_buf event;
	FILE *f;

	*cause = ENAMETOOLONG;
	gethostname(host, sizeof(host) - 1);
	if (snprintf(path, sizeof(path), "%s/events.out.tfevents.%010lld.%s.%ld", folder, (long long)time(NULL),
		     *host ? host : "localhost", (long)getpid()) >= (int)sizeof(path))
		return NULL;
	f = mkdir(folder, 0777) && errno != EEXIST ? NULL : fopen(path, "wb");
	*cause = errno;
	if (!f)
		return NULL;
	begin_event(&event);
	add_bytes(&event, 3, "brain.Event:2", 13);
	if (put_record(f, &event))
		return f;
	*cause = errno;
	fclose(f);
	return NULL;
}

bool train_events_put(FILE *f, const char *tag, int64_t step, double value)
{
	struct moka_buf event, summary, v;
	float x = (float)value;
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	moka_buf_init(&v, 1 << 16);
	moka_buf_init(&summary, 1 << 16);
	add_bytes(&v, 1, tag, strlen(tag));
	add_varint(&v, 2 << 3 | 5);
	add_fixed(&v, bits, 4);
	add_bytes(&summary, 1, v.data ? v.data : "", v.len);
	begin_event(&event);
	add_varint(&event, 2 << 3 | 0);
	add_varint(&event, (uint64_t)step);
	add_bytes(&event, 5, summary.data ? summary.data : "", summary.len);
	event.failed |= v.failed || summary.failed;
	moka_buf_release(&v);
	moka_buf_release(&summary);
	return put_record(f, &event);
}
