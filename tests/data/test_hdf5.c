/*
 * test_hdf5.c - HDF5Data's samples: order, wrap-around, shuffling, every storage form, damage.
 */
#include "t.h"

#include "source.h"

#include <hdf5.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const names[] = { "data", "label" };

static const char *file(const char *name)
{
	static char path[4][256];
	static int at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", t_tmp(), name);
	return path[at];
}

struct form {
	hid_t data_type, label_type;
	int chunk_rows; /* 0: in one piece */
	bool packed;
};

static void put(hid_t f, const char *name, hid_t type, int n_axes, const hsize_t *dim, const struct form *form,
		const double *values)
{
	const hid_t space = H5Screate_simple(n_axes, dim, NULL), p = H5Pcreate(H5P_DATASET_CREATE);
	hsize_t chunk[4] = { (hsize_t)form->chunk_rows, 2, 3, 1 };
	hid_t d;

	if (form->chunk_rows) {
		H5Pset_chunk(p, n_axes, chunk);
		if (form->packed) {
			H5Pset_shuffle(p);
			H5Pset_deflate(p, 6);
			H5Pset_fletcher32(p);
		}
	}
	d = H5Dcreate2(f, name, type, space, H5P_DEFAULT, p, H5P_DEFAULT);
	T_TRUE(d >= 0);
	T_TRUE(H5Dwrite(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
	H5Dclose(d);
	H5Pclose(p);
	H5Sclose(space);
}

/* rows samples of 2x4; value = 100 * (first + row) + place; the label is first + row. */
static void make(const char *path, int first, int rows, const struct form *form)
{
	const hsize_t dim[] = { (hsize_t)rows, 2, 4 };
	const hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	double *x = malloc(sizeof(double) * 9 * (size_t)rows + 8), *y = x + 8 * rows;

	T_TRUE(x != NULL);
	for (int i = 0; i < rows; i++) {
		y[i] = first + i;
		for (int k = 0; k < 8; k++)
			x[8 * i + k] = 100 * (first + i) + k;
	}
	put(f, "data", form->data_type, 3, dim, form, x);
	put(f, "label", form->label_type, 1, dim, form, y);
	free(x);
	H5Fclose(f);
}

static const char *list(const char *text)
{
	const char *path = file("list.txt");
	struct moka_error e = { 0 };

	T_OK(moka_file_write(path, text, strlen(text), &e), &e);
	return path;
}

static void check_sample(const real *x, const real *y, int64_t i)
{
	for (int k = 0; k < 8; k++)
		T_INT(x[8 * i + k], 100 * (int)y[i] + k);
}

T_TEST(every_form)
{
	const struct form forms[] = {
		{ H5T_IEEE_F32LE, H5T_IEEE_F32LE, 0, false }, { H5T_IEEE_F64LE, H5T_STD_I64LE, 0, false },
		{ H5T_IEEE_F32BE, H5T_STD_I32BE, 0, false },  { H5T_STD_U16LE, H5T_STD_U8LE, 0, false },
		{ H5T_IEEE_F32LE, H5T_IEEE_F32LE, 3, false }, { H5T_IEEE_F64LE, H5T_STD_I32LE, 3, true },
		{ H5T_STD_I16LE, H5T_STD_U64LE, 1, true },
	};

	for (size_t i = 0; i < MOKA_COUNT(forms); i++) {
		struct moka_error e = { 0 };
		struct moka_shape s;
		struct bench b;
		real x[40], y[5];

		make(file("a.h5"), 3, 7, &forms[i]);
		bench_init(&b, 2, names, MOKA_TRAIN);
		T_OK(bench_open(&b, &moka_source_hdf5, list("a.h5\n"), 5, 1, &e), &e);
		T_OK(b.ops->shape(b.source, 0, &s, &e), &e);
		T_INT(s.n, 3);
		T_INT(s.d[0], 5);
		T_INT(s.d[2], 4);
		T_OK(b.ops->shape(b.source, 1, &s, &e), &e);
		T_INT(s.n, 1);
		T_INT(b.ops->rows(b.source), 7);
		for (int batch = 0; batch < 4; batch++) {
			T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
			for (int k = 0; k < 5; k++) {
				T_INT(y[k], 3 + (5 * batch + k) % 7);
				check_sample(x, y, k);
			}
		}
		bench_close(&b);
	}
}

/* Three files (one without rows): a batch goes on into the next file, and the last is followed by the first. */
T_TEST(files_in_order)
{
	const struct form plain = { H5T_IEEE_F32LE, H5T_IEEE_F32LE, 0, false };
	struct moka_error e = { 0 };
	struct bench b;
	real x[8 * 4], y[4];

	make(file("a.h5"), 0, 3, &plain);
	make(file("b.h5"), 3, 0, &plain);
	make(file("c.h5"), 3, 2, &plain);
	bench_init(&b, 2, names, MOKA_TRAIN);
	T_OK(bench_open(&b, &moka_source_hdf5, list("a.h5\n\n  b.h5 c.h5"), 4, 1, &e), &e);
	T_INT(b.ops->rows(b.source), 5);
	for (int batch = 0; batch < 6; batch++) {
		T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
		for (int k = 0; k < 4; k++) {
			T_INT(y[k], (4 * batch + k) % 5);
			check_sample(x, y, k);
		}
	}
	bench_close(&b);
}

static struct moka_msg *shuffled(struct moka_arena *a)
{
	static const struct moka_field fields[] = {
		{ "shuffle", 3, MOKA_BOOL, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, NULL, NULL }, MOKA_F_END
	};
	static const struct moka_message message = { "HDF5DataParameter", fields, 0 };
	struct moka_msg *m = moka_msg_new(a, &message);

	T_TRUE(m && moka_add_int(a, m, &moka_layer_schema, "shuffle", 1));
	return m;
}

/* Every round has each sample once, in another order; the same seed gives the same orders; a seek lands where reading would have. */
T_TEST(shuffle_and_seek)
{
	const struct form packed = { H5T_IEEE_F32LE, H5T_IEEE_F32LE, 2, true };
	real x[8 * 5], y[3][60], z[5];
	struct moka_error e = { 0 };
	struct bench b;
	int moved = 0;

	make(file("a.h5"), 0, 9, &packed);
	make(file("b.h5"), 9, 6, &packed);
	for (int run = 0; run < 3; run++) {
		bench_init(&b, 2, names, MOKA_TRAIN);
		b.layer.sub = shuffled(&b.arena);
		T_OK(bench_open(&b, &moka_source_hdf5, list("a.h5\nb.h5\n"), 5, run < 2 ? 7 : 8, &e), &e);
		for (int k = 0; k < 12; k++) {
			T_OK(bench_read(&b, (real *const[]){ x, y[run] + 5 * k }, &e), &e);
			for (int i = 0; i < 5; i++)
				check_sample(x, y[run] + 5 * k, i);
		}
		for (uint64_t at = 0; at < 12; at += 5) {
			T_OK(b.ops->seek(b.source, at, &e), &e);
			T_OK(bench_read(&b, (real *const[]){ x, z }, &e), &e);
			T_NEAR(z, y[run] + 5 * at, 5, 0, 0);
		}
		bench_close(&b);
	}
	T_NEAR(y[0], y[1], 60, 0, 0);
	T_TRUE(memcmp(y[0], y[2], sizeof(y[0])) != 0);
	for (int round = 0; round < 4; round++) {
		bool seen[15] = { false };

		for (int i = 0; i < 15; i++) {
			seen[(int)y[0][15 * round + i]] = true;
			moved += round && y[0][i] != y[0][15 * round + i];
		}
		for (int i = 0; i < 15; i++)
			T_TRUE(seen[i]);
	}
	T_TRUE(moved > 15);
}

static void refuses(const char *source, const char *message, const char *hint)
{
	struct moka_error e = { 0 };
	struct bench b;

	bench_init(&b, 2, names, MOKA_TRAIN);
	T_TRUE(bench_open(&b, &moka_source_hdf5, source, 4, 1, &e) != MOKA_OK);
	T_HAS(e.message, message);
	T_HAS(e.hint, hint);
	bench_close(&b);
}

T_TEST(faults)
{
	const struct form plain = { H5T_IEEE_F32LE, H5T_IEEE_F32LE, 0, false };
	hid_t f;

	make(file("a.h5"), 0, 3, &plain);
	refuses(file("absent.txt"), "absent.txt", "");
	refuses(file("a.h5"), "this is an HDF5 file", "one name a line");
	refuses(list(" \n"), "lists no HDF5 file", "");
	refuses(list("absent.h5"), "absent.h5", "");
	make(file("none.h5"), 0, 0, &plain);
	refuses(list("none.h5"), "none of its files has a row", "");
	f = H5Fcreate(file("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	H5Gclose(H5Gcreate2(f, "data", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
	H5Fclose(f);
	refuses(list("other.h5"), "there is no dataset 'data', only a group", "the dataset of its name");
}

T_TEST(files_that_differ)
{
	const struct form plain = { H5T_IEEE_F32LE, H5T_IEEE_F32LE, 0, false };
	const double v[8] = { 0 };
	hid_t f;

	make(file("a.h5"), 0, 3, &plain);
	f = H5Fcreate(file("b.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	put(f, "data", H5T_IEEE_F32LE, 3, (const hsize_t[]){ 1, 2, 3 }, &plain, v);
	put(f, "label", H5T_IEEE_F32LE, 1, (const hsize_t[]){ 1 }, &plain, v);
	H5Fclose(f);
	refuses(list("a.h5 b.h5"), "a row of 'data' is 2x3 here, but 2x4 in the files before it", "");
	f = H5Fcreate(file("b.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	put(f, "data", H5T_IEEE_F32LE, 3, (const hsize_t[]){ 1, 2, 4 }, &plain, v);
	put(f, "label", H5T_IEEE_F32LE, 1, (const hsize_t[]){ 2 }, &plain, v);
	H5Fclose(f);
	refuses(list("b.h5"), "'label' has 2 rows, but 'data' has 1", "");
}

/* Bytes of a packed file overwritten, and the file cut: an answer, and values only from within. */
T_TEST(damaged)
{
	const struct form packed = { H5T_IEEE_F32LE, H5T_STD_I32LE, 2, true };
	char source[256];
	struct moka_error e = { 0 };
	struct moka_file f = { 0 };
	struct moka_rng r;
	int opened = 0, failed = 0;
	uint8_t *bytes;

	snprintf(source, sizeof(source), "%s", list("bad.h5"));
	make(file("good.h5"), 0, 9, &packed);
	T_OK(moka_file_open(&f, file("good.h5"), &e), &e);
	bytes = malloc(f.size);
	T_TRUE(bytes != NULL);
	moka_rng_seed(&r, 3, 0);
	for (int i = 0; i < 1500; i++) {
		size_t n = f.size;
		struct bench b;
		real x[8 * 4], y[4];

		memcpy(bytes, f.data, n);
		for (int k = 1 << moka_rng_below(&r, 6); k > 0; k--)
			bytes[moka_rng_below(&r, n)] ^= (uint8_t)(1 << moka_rng_below(&r, 8));
		if (i % 5 == 0)
			n = (size_t)moka_rng_below(&r, n);
		T_OK(moka_file_write(file("bad.h5"), bytes, n, &e), &e);
		bench_init(&b, 2, names, MOKA_TRAIN);
		if (!bench_open(&b, &moka_source_hdf5, source, 4, 1, &e)) {
			struct moka_shape s;

			opened++;
			if (!b.ops->shape(b.source, 0, &s, &e) && moka_shape_count(&s) == 32)
				for (int k = 0; k < 4; k++)
					failed += bench_read(&b, (real *const[]){ x, y }, &e) != MOKA_OK;
		}
		bench_close(&b);
	}
	free(bytes);
	moka_file_release(&f);
	T_TRUE(opened > 100 && failed > 10);
}

static const struct CMUnitTest tests[] = {
	T_CASE(every_form), T_CASE(files_in_order),    T_CASE(shuffle_and_seek),
	T_CASE(faults),	    T_CASE(files_that_differ), T_CASE(damaged),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
