/* file.c - bytes as a nameable file, for targets that open paths: an anonymous file in memory. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static int fd = -1;
static char name[64];

const char *fuzz_file(const uint8_t *data, size_t size)
{
	fd = memfd_create("fuzz", 0);
	if (fd < 0 || (size && write(fd, data, size) != (ssize_t)size))
		return NULL;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return name;
}

void fuzz_file_close(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
}
