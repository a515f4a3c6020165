/*
 * out.c - writing files whole or not at all, and the few words about paths that everybody needs.
 *
 *     bytes -> buffer -> PATH.tmp-<pid> -> fsync -> rename -> PATH
 *
 * A crash, a full disk or an abort leaves what was at PATH before. A path that is a symbolic link is written where
 * it points to; what can't be replaced by a rename (a pipe, /dev/null) is written straight.
 */
#include "base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER ((size_t)256 << 10)

struct moka_out {
	int fd;
	int cause;	 /* errno of the first failure, 0 while all is well */
	size_t held;	 /* bytes in the buffer */
	uint64_t wanted; /* bytes handed in so far */
	char *path;	 /* as the caller wrote it, for messages */
	char *target;	 /* where it really goes */
	char *tmp;	 /* NULL: written straight */
	char buffer[];
};

static enum moka_status write_failed(const struct moka_out *o, struct moka_error *err)
{
	moka_fail(err, MOKA_ERR_IO, "cannot write '%s' (%llu bytes so far): %s", o->path, (unsigned long long)o->wanted,
		  strerror(o->cause));
	if (o->tmp && (o->cause == ENOSPC || o->cause == EDQUOT || o->cause == EFBIG))
		moka_fail_hint(err, "make room, or write elsewhere; what was there before is unchanged");
	return MOKA_ERR_IO;
}

static void out_free(struct moka_out *o)
{
	if (o->fd >= 0)
		close(o->fd);
	free(o->path);
	free(o->target);
	free(o->tmp);
	free(o);
}

static void write_bytes(struct moka_out *o, const char *p, size_t n)
{
	while (n && !o->cause) {
		/* the kernel takes at most 2 GiB in one call */
		ssize_t done = write(o->fd, p, MOKA_MIN(n, (size_t)1 << 30));
		if (done > 0)
			p += done, n -= (size_t)done;
		else if (done == 0)
			o->cause = ENOSPC;
		else if (errno != EINTR)
			o->cause = errno;
	}
}

/* Opens the temporary file. A leftover of a crashed process with our number is stepped around, not trusted. */
static void open_tmp(struct moka_out *o)
{
	size_t size = strlen(o->target) + 64;

	o->tmp = malloc(size);
	if (!o->tmp) {
		o->cause = ENOMEM;
		return;
	}
	for (int i = 0; i < 100; i++) {
		if (i == 0)
			snprintf(o->tmp, size, "%s.tmp-%ld", o->target, (long)getpid());
		else
			snprintf(o->tmp, size, "%s.tmp-%ld-%d", o->target, (long)getpid(), i);
		o->fd = open(o->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);
		if (o->fd >= 0 || errno != EEXIST)
			break;
	}
	if (o->fd < 0) {
		o->cause = errno;
		free(o->tmp);
		o->tmp = NULL;
	}
}

/* Decides where the bytes go and opens it. */
static void open_target(struct moka_out *o)
{
	struct stat st;
	bool there = !stat(o->path, &st);

	if (there && S_ISDIR(st.st_mode)) {
		o->cause = EISDIR;
		return;
	}
	if (there && !S_ISREG(st.st_mode)) {
		o->fd = open(o->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		o->cause = o->fd < 0 ? errno : 0;
		return;
	}
	if (there) {
		o->target = realpath(o->path, NULL);
		/* renaming needs no right to write the old file, but its owner took that right away for a reason */
		if (!o->target || access(o->target, W_OK)) {
			o->cause = errno;
			return;
		}
	} else {
		o->target = strdup(o->path);
	}
	if (!o->target) {
		o->cause = ENOMEM;
		return;
	}
	open_tmp(o);
	if (there && o->fd >= 0 && fchmod(o->fd, st.st_mode & 07777))
		errno = 0; /* the new file keeps the usual mode: no reason to refuse */
}

enum moka_status moka_out_open(struct moka_out **out, const char *path, struct moka_error *err)
{
	struct moka_out *o;

	*out = NULL;
	if (!path || !*path)
		return moka_fail(err, MOKA_ERR_IO, "cannot write a file without a name");
	o = calloc(1, sizeof(*o) + BUFFER);
	if (!o)
		return moka_fail(err, MOKA_ERR_NOMEM, "cannot write '%s': no memory", path);
	o->fd = -1;
	o->path = strdup(path);
	if (!o->path) {
		out_free(o);
		return moka_fail(err, MOKA_ERR_NOMEM, "cannot write '%s': no memory", path);
	}
	open_target(o);
	if (o->fd < 0) {
		int cause = o->cause;
		moka_fail(err, MOKA_ERR_IO, "cannot write '%s': %s", path, strerror(cause));
		if (cause == ENOENT)
			moka_fail_hint(err, "its folder doesn't exist; make it first");
		out_free(o);
		return MOKA_ERR_IO;
	}
	*out = o;
	return MOKA_OK;
}

enum moka_status moka_out_write(struct moka_out *o, const void *p, size_t n, struct moka_error *err)
{
	o->wanted += n;
	if (n >= BUFFER - o->held) {
		write_bytes(o, o->buffer, o->held);
		o->held = 0;
	}
	if (n >= BUFFER) {
		write_bytes(o, p, n);
	} else if (n) {
		memcpy(o->buffer + o->held, p, n);
		o->held += n;
	}
	return o->cause ? write_failed(o, err) : MOKA_OK;
}

void moka_out_abort(struct moka_out *o)
{
	if (!o)
		return;
	if (o->tmp)
		unlink(o->tmp);
	out_free(o);
}

/* After a rename the folder holds the news; it too must reach the disk. Best effort: not every file system can. */
static void sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

enum moka_status moka_out_commit(struct moka_out *o, struct moka_error *err)
{
	enum moka_status s = MOKA_OK;

	write_bytes(o, o->buffer, o->held);
	o->held = 0;
	/* pipes and devices can't be flushed, and say EINVAL or EROFS */
	if (!o->cause && o->tmp && fsync(o->fd))
		o->cause = errno;
	if (close(o->fd) && !o->cause && errno != EINTR)
		o->cause = errno;
	o->fd = -1;
	if (!o->cause && o->tmp && rename(o->tmp, o->target))
		o->cause = errno;
	if (o->cause) {
		s = write_failed(o, err);
		moka_out_abort(o);
		return s;
	}
	if (o->tmp)
		sync_folder(o->target);
	out_free(o);
	return MOKA_OK;
}

enum moka_status moka_file_write(const char *path, const void *p, size_t n, struct moka_error *err)
{
	struct moka_out *o;
	enum moka_status s;

	MOKA_TRY(moka_out_open(&o, path, err));
	s = moka_out_write(o, p, n, err);
	if (s) {
		moka_out_abort(o);
		return s;
	}
	return moka_out_commit(o, err);
}

/* ---- what killed programs left --------------------------------------------------------------------------- */

/* The process in NAME.tmp-<pid> or NAME.tmp-<pid>-<n>; 0: not such a name. */
static long writer_of(const char *name)
{
	const char *at = NULL;
	char *end;
	long pid;

	for (const char *p = name; (p = strstr(p, ".tmp-")); p++)
		at = p + 5;
	if (!at || *at < '1' || *at > '9')
		return 0;
	errno = 0;
	pid = strtol(at, &end, 10);
	if (errno || pid > INT32_MAX)
		return 0;
	if (*end == '-' && end[1])
		end += 1 + strspn(end + 1, "0123456789");
	return *end ? 0 : pid;
}

static bool is_leftover(int folder, const char *name, const char *base, size_t n)
{
	const long pid = strncmp(name, base, n) ? 0 : writer_of(name + n);
	struct stat st;

	return pid && kill((pid_t)pid, 0) && errno == ESRCH && !fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       S_ISREG(st.st_mode);
}

int moka_out_sweep(const char *prefix)
{
	const char *slash = strrchr(prefix, '/'), *base = slash ? slash + 1 : prefix;
	char *folder = slash ? strndup(prefix, (size_t)(base - prefix)) : strdup(".");
	DIR *d = folder && *base ? opendir(folder) : NULL;
	int removed = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		if (is_leftover(dirfd(d), e->d_name, base, strlen(base)) && !unlinkat(dirfd(d), e->d_name, 0))
			removed++;
	if (d)
		closedir(d);
	free(folder);
	return removed;
}
