/*
 * path.c - finding the file that another file names.
 */
#include "base.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

bool moka_path_exists(const char *path)
{
	return path && *path && !access(path, F_OK);
}

const char *moka_path_resolve(struct moka_arena *a, const char *path, const char *beside)
{
	const char *slash = beside ? strrchr(beside, '/') : NULL;
	const char *there;

	if (!slash || path[0] == '/' || !path[0] || moka_path_exists(path))
		return path;
	there = moka_arena_printf(a, "%.*s/%s", (int)MOKA_MIN(slash - beside, (ptrdiff_t)MOKA_MAX_NAME), beside, path);
	return there && moka_path_exists(there) ? there : path;
}

bool moka_has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcasecmp(s + n - m, suffix);
}
