/*
 * file.c - reading files: mapped where they can be, read where they can't (pipes, /proc), and told well where
 * neither works.
 *
 * A mapped file that somebody shortens while it is in use ends the process (SIGBUS); that is the price of opening
 * half a gigabyte in no time. moka_out (out.c) never does that to a reader: it replaces files whole.
 */
#include "base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most that is read from something that can't be mapped; devices may never end. */
#define MOST_FROM_PIPE ((size_t)4 << 30)
#define MOST_FROM_DEVICE ((size_t)64 << 20)

/* Splits off the last name of path; *folder (size bytes) gets what is before it, "." where there is nothing. */
static const char *last_name(const char *path, char *folder, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		snprintf(folder, size, ".");
	else if (slash == path)
		snprintf(folder, size, "/");
	else
		snprintf(folder, size, "%.*s", (int)MOKA_MIN(slash - path, (ptrdiff_t)MOKA_MAX_NAME), path);
	return slash ? slash + 1 : path;
}

/* For a missing file: the nearest name in its folder, or that the folder is missing too. */
static void hint_missing(const char *path, struct moka_error *err)
{
	char folder[MOKA_MAX_NAME + 1];
	char best[256] = "";
	const char *name = last_name(path, folder, sizeof(folder));
	struct moka_nearest near = { 0 };
	DIR *d = opendir(folder);
	struct dirent *e;

	if (!d) {
		if (errno == ENOENT)
			moka_fail_hint(err, "there is no folder '%s' either", folder);
		return;
	}
	/* a folder of a million files is not worth the wait */
	for (int i = 0; i < 20000 && (e = readdir(d)); i++) {
		int before = near.best ? near.distance : -1;
		moka_nearest_try(&near, name, e->d_name);
		if (near.best && near.distance != before)
			snprintf(best, sizeof(best), "%s", e->d_name);
		if (near.best)
			near.best = best; /* d_name is gone with the next readdir() */
	}
	closedir(d);
	if (!near.best)
		return;
	if (strchr(path, '/'))
		moka_fail_hint(err, "did you mean '%s%s%s'?", folder, strcmp(folder, "/") ? "/" : "", best);
	else
		moka_fail_hint(err, "did you mean '%s'?", best);
}

static enum moka_status read_failed(const char *path, int cause, struct moka_error *err)
{
	moka_fail(err, MOKA_ERR_IO, "cannot read '%s': %s", path, strerror(cause));
	if (err && cause == ENOENT)
		hint_missing(path, err);
	return MOKA_ERR_IO;
}

/* Reads fd to its end into memory of our own. */
static enum moka_status read_all(struct moka_file *f, int fd, const char *path, size_t most, struct moka_error *err)
{
	size_t cap = 0, len = 0;
	uint8_t *data = NULL;

	for (;;) {
		ssize_t n;
		if (len == cap) {
			uint8_t *p;
			cap = cap ? cap * 2 : 65536;
			p = len <= most ? realloc(data, cap) : NULL;
			if (!p) {
				bool endless = len > most;
				free(data);
				if (endless)
					return moka_fail(
						err, MOKA_ERR_LIMIT,
						"cannot read '%s': it isn't a plain file and gave more than %zu bytes",
						path, most);
				return moka_fail(err, MOKA_ERR_NOMEM, "cannot read '%s': no memory for %zu bytes", path,
						 cap);
			}
			data = p;
		}
		n = read(fd, data + len, cap - len);
		if (n == 0)
			break;
		if (n > 0)
			len += (size_t)n;
		else if (errno != EINTR) {
			int cause = errno;
			free(data);
			return read_failed(path, cause, err);
		}
	}
	if (len == 0) {
		free(data);
		data = NULL;
	}
	*f = (struct moka_file){ data, len, false };
	return MOKA_OK;
}

static enum moka_status open_fd(struct moka_file *f, int fd, const char *path, struct moka_error *err)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st))
		return read_failed(path, errno, err);
	if (S_ISDIR(st.st_mode)) {
		moka_fail(err, MOKA_ERR_IO, "cannot read '%s': it is a folder, a file is wanted", path);
		return MOKA_ERR_IO;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		/* files of /proc say that they are empty and are not */
		size_t most = S_ISCHR(st.st_mode) && !isatty(fd) ? MOST_FROM_DEVICE : MOST_FROM_PIPE;
		return read_all(f, fd, path, most, err);
	}
	if ((uintmax_t)st.st_size > SIZE_MAX / 2)
		return moka_fail(err, MOKA_ERR_LIMIT, "cannot read '%s': %jd bytes are too many for this machine", path,
				 (intmax_t)st.st_size);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return read_all(f, fd, path, MOST_FROM_PIPE, err);
	*f = (struct moka_file){ p, (size_t)st.st_size, true };
	return MOKA_OK;
}

enum moka_status moka_file_open(struct moka_file *f, const char *path, struct moka_error *err)
{
	enum moka_status s;
	int fd;

	*f = (struct moka_file){ 0 };
	if (!path || !*path)
		return moka_fail(err, MOKA_ERR_IO, "cannot read a file without a name");
	do {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return read_failed(path, errno, err);
	s = open_fd(f, fd, path, err);
	close(fd);
	return s;
}

void moka_file_release(struct moka_file *f)
{
	if (f->mapped)
		munmap((void *)(uintptr_t)f->data, f->size);
	else
		free((void *)(uintptr_t)f->data);
	*f = (struct moka_file){ 0 };
}

void moka_file_ahead(const struct moka_file *f)
{
	if (f->mapped)
		madvise((void *)(uintptr_t)f->data, f->size, MADV_WILLNEED);
}

void moka_file_forget(const struct moka_file *f, const void *p, size_t n)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = (uintptr_t)p, end = begin + n;

	if (!f->mapped || begin < (uintptr_t)f->data || end > (uintptr_t)f->data + f->size)
		return;
	/* only whole pages: a neighbour may still be in use */
	begin = (begin + page - 1) / page * page;
	end = end / page * page;
	if (begin < end)
		madvise((void *)begin, end - begin, MADV_DONTNEED);
}
