/* Every published prototxt is read: a tree comes out, and is brought up to date; what is wrong are findings with places. */
#include "t.h"

#include "layers/layer.h"

#include <ftw.h>
#include <string.h>

static int files, clean, bad;

/* A solver by what it says first: good enough here, where both kinds must be read. */
static bool is_solver(const struct moka_file *f)
{
	return memmem(f->data, f->size, "max_iter", 8) && !memmem(f->data, f->size, "layer", 5);
}

static void read_file(const char *path, const struct moka_file *file)
{
	struct moka_text text = { path, (const char *)file->data, file->size };
	const struct moka_message *root = is_solver(file) ? &moka_solver_message : &moka_net_message;
	struct moka_arena a;
	struct moka_findings f;
	struct moka_buf out;
	struct moka_msg *m = NULL;
	bool ok;

	moka_arena_init(&a, (size_t)1 << 28);
	moka_findings_init(&f);
	moka_buf_init(&out, 0);
	ok = !moka_text_parse(&a, &text, root, &moka_layer_schema, &f, &m);
	clean += ok && !f.n;
	if (ok)
		ok = !(root == &moka_net_message ? moka_upgrade_net : moka_upgrade_solver)(&a, m, &moka_layer_schema,
											   &f);
	for (size_t i = 0; i < f.n; i++)
		ok &= f.items[i].loc.line > 0 && f.items[i].loc.column > 0;
	if (m) {
		moka_text_print(m, &out);
		ok &= out.len > 0 || file->size == 0;
		moka_buf_release(&out);
		moka_wire_write_buf(m, &out);
	}
	if (!ok) {
		fprintf(stderr, "%s: %s\n", path, f.n ? f.items[0].message : "not read");
		bad++;
	}
	moka_buf_release(&out);
	moka_findings_release(&f);
	moka_arena_release(&a);
}

static int visit(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	struct moka_file file;
	(void)st, (void)where;

	if (kind != FTW_F || moka_has_suffix(path, ".tsv") || moka_file_open(&file, path, NULL))
		return 0;
	files++;
	read_file(path, &file);
	moka_file_release(&file);
	return 0;
}

T_TEST(every_file)
{
	const char *shared = t_shared();
	char folder[1100];

	if (!shared)
		T_SKIP("no ../shared");
	snprintf(folder, sizeof(folder), "%s/prototxt", shared);
	nftw(folder, visit, 16, FTW_PHYS);
	if (!files)
		T_SKIP("no prototxt folder in ../shared");
	fprintf(stderr, "%d files: %d as they should be, %d with findings, %d not read\n", files, clean,
		files - clean - bad, bad);
	T_TRUE(files > 1000);
	T_INT(bad, 0);
}

static const struct CMUnitTest tests[] = { T_CASE(every_file) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
