/* Text or binary -> model -> net of both phases: the reader, the upgrades, every layer's shape(), sharing, the findings' printing. */
#include "fuzz.h"
#include "net/net.h"

static void print_findings(struct moka_findings *f)
{
	struct moka_buf out;

	moka_buf_init(&out, 1 << 24);
	moka_findings_sort(f);
	for (size_t i = 0; i < f->n; i++)
		moka_finding_print(&f->items[i], false, &out);
	moka_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct moka_model_options any = { .expect = -1 };
	struct moka_findings f;
	struct moka_model *m;

	moka_findings_init(&f);
	enum moka_status st = moka_model_parse(&m, "fuzz", data, size, &moka_layer_schema, &any, &f);
	if (!st) {
		for (int phase = 0; m->kind == MOKA_MODEL_NET && phase < 2; phase++) {
			struct moka_net_options o = { .phase = phase ? MOKA_TEST : MOKA_TRAIN };
			struct moka_net *n;

			if (!moka_net_build(&n, m, &o, &f))
				moka_net_free(n);
		}
	}
	print_findings(&f); /* they point into the model's text */
	if (!st)
		moka_model_free(m);
	moka_findings_release(&f);
	return 0;
}
