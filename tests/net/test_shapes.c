/*
 * test_shapes.c - published nets, as people wrote them: every blob's shape and the parameter count against what BVLC Caffe
 * makes of them (SHAPES.tsv of the shared material), and every file of both phases built without a crash.
 *
 * A net whose layer types Moka lacks can't agree; it is listed with the reason and not counted as wrong.
 */
#include "nets.h"

#include <dirent.h>
#include <sys/stat.h>

struct opened {
	struct moka_findings f;
	struct moka_model *m;
	struct moka_net *n;
};

static void open_file(struct opened *o, const char *path, enum moka_phase phase)
{
	const struct moka_model_options any = { .expect = -1 };
	const struct moka_net_options no = { .phase = phase };

	memset(o, 0, sizeof(*o));
	moka_findings_init(&o->f);
	if (!moka_model_open(&o->m, path, &moka_layer_schema, &any, &o->f) && o->m->kind == MOKA_MODEL_NET &&
	    moka_net_build(&o->n, o->m, &no, &o->f))
		o->n = NULL;
}

static void close_file(struct opened *o)
{
	moka_net_free(o->n);
	moka_model_free(o->m);
	moka_findings_release(&o->f);
}

/* ---- against BVLC Caffe --------------------------------------------------------------------------------------- */

/* "conv1=1x96x55x55": NULL where the net agrees, else why not (in buf). */
static const char *blob_differs(const struct moka_net *n, char *want, char *buf, size_t size)
{
	char *shape = strrchr(want, '='), text[MOKA_SHAPE_TEXT];
	int blob;

	if (!shape)
		return "no shape in the row";
	*shape++ = 0;
	blob = moka_net_blob(n, want);
	if (blob < 0) {
		snprintf(buf, size, "no blob '%s'", want);
		return buf;
	}
	moka_shape_text(&n->blobs[blob].shape, text, sizeof(text));
	if (!strcmp(text, "scalar"))
		text[0] = 0;
	if (!strcmp(text, shape))
		return NULL;
	snprintf(buf, size, "'%s' is %s, wanted %s", want, text, shape);
	return buf;
}

/* Whether some layer has a type that Moka doesn't know, or can't shape: then it need not agree. */
static const char *lacking(const struct moka_net *n)
{
	for (int i = 0; i < n->n_layers; i++)
		if (!n->layers[i].l.type || !n->layers[i].l.type->shape)
			return n->layers[i].type_name;
	return NULL;
}

static const char *row_differs(const struct opened *o, char *row, char *buf, size_t size)
{
	char *save = NULL, *params = strtok_r(row, "\t", &save);
	int blobs = 0;

	if (!o->n)
		return "no net";
	for (char *want = strtok_r(NULL, "\t", &save); want; want = strtok_r(NULL, "\t", &save), blobs++) {
		const char *why = blob_differs(o->n, want, buf, size);

		if (why)
			return why;
	}
	if (atoll(params) != o->n->total_params) {
		snprintf(buf, size, "%lld parameters, wanted %s", (long long)o->n->total_params, params);
		return buf;
	}
	if (blobs != o->n->n_blobs) {
		snprintf(buf, size, "%d blobs, wanted %d", o->n->n_blobs, blobs);
		return buf;
	}
	return NULL;
}

struct tally {
	int rows, same, lacks, wrong;
};

static void check_row(const char *folder, char *row, struct tally *y)
{
	char path[4096], buf[512];
	char *tab = strchr(row, '\t');
	struct opened o;
	const char *why, *lack;

	if (!tab)
		return;
	*tab = 0;
	snprintf(path, sizeof(path), "%s/prototxt/%s", folder, row);
	open_file(&o, path, MOKA_TEST);
	y->rows++;
	why = row_differs(&o, tab + 1, buf, sizeof(buf));
	lack = o.n ? lacking(o.n) : NULL;
	if (!why) {
		y->same++;
	} else if (lack) {
		y->lacks++;
		print_message("%s: no layer %s\n", row, lack);
	} else {
		y->wrong++;
		print_message("%s: %s\n", row, why);
	}
	close_file(&o);
}

T_TEST(shapes_of_published_nets)
{
	const char *folder = t_shared();
	char path[4096], *line = NULL;
	size_t size = 0;
	struct tally y = { 0 };
	FILE *f;

	if (!folder)
		T_SKIP("no ../shared");
	snprintf(path, sizeof(path), "%s/prototxt/SHAPES.tsv", folder);
	f = fopen(path, "r");
	if (!f)
		T_SKIP("no SHAPES.tsv");
	while (getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] != '#')
			check_row(folder, line, &y);
	}
	free(line);
	fclose(f);
	print_message("%d of %d nets agree with BVLC Caffe, %d lack a layer type, %d differ\n", y.same, y.rows, y.lacks,
		      y.wrong);
	T_INT(y.wrong, 0);
}

/* ---- every file, both phases ------------------------------------------------------------------------------------- */

struct walk {
	int files, nets, read, errors;
};

static void check_file(const char *path, struct walk *w)
{
	w->files++;
	for (int phase = 0; phase < 2; phase++) {
		struct opened o;

		open_file(&o, path, phase ? MOKA_TEST : MOKA_TRAIN);
		w->read += o.m && !phase;
		w->nets += o.n != NULL && !phase;
		w->errors += !phase && o.f.errors > 0;
		if (!o.m && !o.f.errors)
			fail_msg("%s: not read, and not a word why", path);
		if (o.m && o.m->kind == MOKA_MODEL_NET && !o.n)
			fail_msg("%s: read, but no net", path);
		close_file(&o);
	}
}

static void walk(const char *folder, struct walk *w)
{
	DIR *d = opendir(folder);
	struct dirent *x;
	struct stat st;
	char path[4096];

	while (d && (x = readdir(d))) {
		if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, x->d_name);
		if (stat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode))
			walk(path, w);
		else if (!moka_has_suffix(path, ".tsv"))
			check_file(path, w);
	}
	if (d)
		closedir(d);
}

T_TEST(every_published_file)
{
	const char *folder = t_shared();
	char path[4096];
	struct walk w = { 0 };

	if (!folder)
		T_SKIP("no ../shared");
	snprintf(path, sizeof(path), "%s/prototxt", folder);
	walk(path, &w);
	print_message("%d files: %d read, %d of them nets; %d have errors in phase TRAIN\n", w.files, w.read, w.nets,
		      w.errors);
	T_TRUE(w.files > 0);
}

static const struct CMUnitTest tests[] = { T_CASE(shapes_of_published_nets), T_CASE(every_published_file) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
