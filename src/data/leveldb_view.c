/*
 * leveldb_view.c - a second look at a LevelDB that this program has open already (train and test net on one database).
 *
 *     PATH.view-<pid>-<n>/   hard links to PATH's files, without its lock
 *
 * LevelDB never writes into a file that is there: it makes new ones and removes old ones. So a folder of links is a database of its own,
 * costs no space, and neither of the two can take a file from the other. It goes when the view is closed; those that killed programs
 * left go when the next one is made.
 */
#include "data/db.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

/* What a view leaves out: the lock, and LevelDB's diary. */
static bool is_needed(const char *name)
{
	return name[0] != '.' && strncmp(name, "LOG", 3) != 0 && strcmp(name, "LOCK") != 0;
}

void moka__leveldb_view_remove(const char *view)
{
	DIR *d = opendir(view);

	for (struct dirent *e; d && (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(view);
}

/* NAME.view-<pid>-<n> of a process that is gone. */
static bool is_leftover(const char *name, const char *base)
{
	const size_t n = strlen(base);
	char *end;
	long pid;

	if (strncmp(name, base, n) || strncmp(name + n, ".view-", 6))
		return false;
	pid = strtol(name + n + 6, &end, 10);
	return pid > 0 && pid <= INT32_MAX && *end == '-' && kill((pid_t)pid, 0) && errno == ESRCH;
}

static void sweep(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	char folder[MOKA_MAX_NAME], view[MOKA_MAX_NAME];
	DIR *d;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(base - path) : 1, slash ? path : ".");
	d = opendir(folder);
	for (struct dirent *e; d && (e = readdir(d));)
		if (is_leftover(e->d_name, base) &&
		    snprintf(view, sizeof(view), "%.*s%s", (int)(base - path), path, e->d_name) < (int)sizeof(view))
			moka__leveldb_view_remove(view);
	if (d)
		closedir(d);
}

static char *make_folder(const char *path)
{
	char *view = NULL;

	for (int i = 0; i < 1000; i++) {
		if (asprintf(&view, "%s.view-%ld-%d", path, (long)getpid(), i) < 0)
			return NULL;
		if (!mkdir(view, 0700))
			return view;
		free(view);
		if (errno != EEXIST)
			break;
	}
	return NULL;
}

static bool fill(const char *path, const char *view)
{
	DIR *from = opendir(path), *to = opendir(view);
	bool ok = from && to;

	for (struct dirent *e; ok && (e = readdir(from));)
		if (is_needed(e->d_name))
			ok = !linkat(dirfd(from), e->d_name, dirfd(to), e->d_name, 0);
	if (from)
		closedir(from);
	if (to)
		closedir(to);
	return ok;
}

char *moka__leveldb_view_make(const char *path)
{
	char *plain = strdup(path), *view = NULL;

	for (size_t n = plain ? strlen(plain) : 0; n > 1 && plain[n - 1] == '/'; n--)
		plain[n - 1] = '\0';
	if (plain) {
		sweep(plain);
		view = make_folder(plain);
	}
	if (view && !fill(plain, view)) {
		moka__leveldb_view_remove(view);
		free(view);
		view = NULL;
	}
	free(plain);
	return view;
}
