/*
 * test_gradient_rows.c - each type of layer with a backward pass is named in one of the gradient tests (the files of this folder that
 * have "gradient" in their names), so that a new one isn't forgotten.
 */
#include "layer_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
/* What backward gives isn't the derivative of what forward gives, with the place where it is tested. */
static const char *const exceptions[][2] = {
	{ "MalisLoss", "half of the derivative by the clamped affinity: test_fork_early.c" },
	{ "RegionLoss", "the top is only to be looked at: test_yolo.c" },
};
/* clang-format on */

/* All the tests' text, one after the other. */
struct texts {
	char *p;
	size_t n;
};

static void add_file(struct texts *t, const char *folder, const char *name)
{
	char path[4096];
	FILE *f;
	size_t got;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	do {
		t->p = realloc(t->p, t->n + 65537);
		assert_non_null(t->p);
		got = fread(t->p + t->n, 1, 65536, f);
		t->n += got;
		t->p[t->n] = 0;
	} while (got);
	fclose(f);
}

static struct texts read_tests(void)
{
	struct texts t = { NULL, 0 };
	char folder[2048];
	struct dirent *entry;
	DIR *d;

	snprintf(folder, sizeof(folder), "%s/tests/layers", t_source());
	d = opendir(folder);
	assert_non_null(d);
	while ((entry = readdir(d))) {
		const size_t n = strlen(entry->d_name);

		if (strstr(entry->d_name, "gradient") && strcmp(entry->d_name, "test_gradient_rows.c") && n > 2 &&
		    !strcmp(entry->d_name + n - 2, ".c"))
			add_file(&t, folder, entry->d_name);
	}
	closedir(d);
	assert_non_null(t.p);
	return t;
}

static bool is_named(const struct texts *t, const char *type)
{
	char name[128];

	snprintf(name, sizeof(name), "'%s'", type);
	if (strstr(t->p, name))
		return true;
	snprintf(name, sizeof(name), "\"%s\"", type);
	return strstr(t->p, name) != NULL;
}

static bool is_exception(const char *type)
{
	for (size_t i = 0; i < MOKA_COUNT(exceptions); i++)
		if (!strcmp(exceptions[i][0], type))
			return true;
	return false;
}

T_TEST(every_differentiable_type)
{
	struct texts t = read_tests();

	for (size_t i = 0; moka_layer_types[i]; i++) {
		const struct moka_layer_type *type = moka_layer_types[i];

		if (!type->backward || type->flags & MOKA_NO_BACKWARD || is_exception(type->schema.type))
			continue;
		if (!is_named(&t, type->schema.type))
			fail_msg("%s has a backward pass and no row in tests/layers/test_*gradient*.c",
				 type->schema.type);
	}
	free(t.p);
}

static const struct CMUnitTest tests[] = { T_CASE(every_differentiable_type) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
