/* t.c - see t.h. */
#include "t.h"

#include <fnmatch.h>
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t passed, failed, skipped;
static bool current_skipped;
static char tmp_dir[64];

void t_ok(enum moka_status s, const struct moka_error *err, const char *file, int line)
{
	if (s == MOKA_OK)
		return;
	print_error("status %d: %s\n", (int)s, err ? err->message : "");
	_fail(file, line);
}

void t_has(const char *hay, const char *needle, const char *file, int line)
{
	if (hay && strstr(hay, needle))
		return;
	print_error("\"%s\" is not in:\n%s\n", needle, hay ? hay : "(null)");
	_fail(file, line);
}

void t_near(const real *got, const real *want, int64_t n, double rtol, double atol, const char *file, int line)
{
	int64_t first = -1, bad = 0;
	double worst = 0;

	for (int64_t i = 0; i < n; i++) {
		double d = fabs((double)got[i] - (double)want[i]);
		if (d <= atol + rtol * fabs((double)want[i]))
			continue;
		if (first < 0)
			first = i;
		bad++;
		if (!(d <= worst))
			worst = d;
	}
	if (first < 0)
		return;
	print_error("%lld of %lld values differ; first at %lld: %.9g, %.9g wanted; largest difference %.3g\n",
		    (long long)bad, (long long)n, (long long)first, (double)got[first], (double)want[first], worst);
	_fail(file, line);
}

void t_skip(const char *why)
{
	current_skipped = true;
	print_message("skipped: %s\n", why);
	skip();
}

const char *t_source(void)
{
	const char *root = getenv("MOKA_SOURCE_ROOT");

	return root ? root : ".";
}

const char *t_shared(void)
{
	static char path[4096];
	const char *given = getenv("MOKA_SHARED");
	struct stat st;

	if (given)
		snprintf(path, sizeof(path), "%s", given);
	else
		snprintf(path, sizeof(path), "%s/../shared", t_source());
	return stat(path, &st) || !S_ISDIR(st.st_mode) ? NULL : path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_tmp(void)
{
	nftw(tmp_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *t_tmp(void)
{
	if (!tmp_dir[0]) {
		strcpy(tmp_dir, "/tmp/moka-test-XXXXXX");
		if (!mkdtemp(tmp_dir))
			abort();
		atexit(remove_tmp);
	}
	return tmp_dir;
}

static bool wanted(const char *name, int argc, char **argv)
{
	if (argc < 2)
		return true;
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]) || !fnmatch(argv[i], name, 0))
			return true;
	return false;
}

int t_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--list")) {
			for (size_t k = 0; k < n; k++)
				puts(tests[k].name);
			return 0;
		}
	cmocka_set_message_output(CM_OUTPUT_STDOUT);
	for (size_t k = 0; k < n; k++) {
		if (!wanted(tests[k].name, argc, argv))
			continue;
		current_skipped = false;
		int bad = _cmocka_run_group_tests(tests[k].name, &tests[k], 1, NULL, NULL);
		if (current_skipped)
			skipped++;
		else if (bad)
			failed++;
		else
			passed++;
	}
	printf("%zu passed, %zu failed, %zu skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
