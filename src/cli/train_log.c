/*
 * train_log.c - a run, for programs: --log.
 *
 *     jsonl        an object a line, as cli.md has it
 *     csv          event,iter,seconds,loss,lr,net,test_<an output of the test nets>...,file
 *     tensorboard  scalars train/loss, train/lr, test/<output> (test1/... for further test nets)
 *
 * A line is out of the program at the latest a second after it was made, so that whoever watches the file, or kills the program,
 * has it.
 */
#include "cli/train.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* "accuracy", or "accuracy[3]" where the output has several values. */
static const char *output_name(const struct moka_solver_event *e, int i, char *buf, size_t size)
{
	const struct moka_solver_output *o = &e->outputs[i];
	bool several = o->index > 0 || (i + 1 < e->n_outputs && e->outputs[i + 1].index > 0);

	snprintf(buf, size, several ? "%.1000s[%" PRId64 "]" : "%.1000s", o->name, o->index);
	return buf;
}

/* ---- JSON --------------------------------------------------------------------------------------------- */

static void put_number(struct moka_buf *b, const char *name, double v)
{
	if (isfinite(v))
		moka_buf_printf(b, ",\"%s\":%.9g", name, v);
	else
		moka_buf_printf(b, ",\"%s\":null", name);
}

static void put_outputs(struct moka_buf *b, const struct moka_solver_event *e)
{
	char name[1200];

	moka_buf_puts(b, ",\"outputs\":{");
	for (int i = 0; i < e->n_outputs; i++) {
		moka_buf_puts(b, i ? "," : "");
		moka_buf_json_string(b, output_name(e, i, name, sizeof(name)));
		if (isfinite(e->outputs[i].value))
			moka_buf_printf(b, ":%.9g", (double)e->outputs[i].value);
		else
			moka_buf_puts(b, ":null");
	}
	moka_buf_puts(b, "}");
}

static void put_json(struct moka_buf *b, const struct moka_solver_event *e)
{
	static const char *const names[] = {
		[MOKA_EVENT_TRAIN] = "train", [MOKA_EVENT_TEST] = "test", [MOKA_EVENT_SNAPSHOT] = "snapshot"
	};

	moka_buf_printf(b, "{\"event\":\"%s\",\"iter\":%" PRId64, names[e->kind], e->iter);
	if (e->kind == MOKA_EVENT_TRAIN) {
		put_number(b, "loss", e->loss);
		put_number(b, "lr", e->lr);
	} else if (e->kind == MOKA_EVENT_TEST) {
		moka_buf_printf(b, ",\"net\":%d", e->net);
		put_outputs(b, e);
	} else {
		moka_buf_puts(b, ",\"file\":");
		moka_buf_json_string(b, e->file);
	}
	put_number(b, "seconds", e->seconds);
	moka_buf_puts(b, "}\n");
}

/* ---- CSV ------------------------------------------------------------------------------------------------ */

static void put_cell(struct moka_buf *b, const char *text)
{
	text = text ? text : "";
	moka_buf_putc(b, ',');
	if (!strpbrk(text, ",\"\n\r")) {
		moka_buf_puts(b, text);
		return;
	}
	moka_buf_putc(b, '"');
	for (; *text; text++) {
		if (*text == '"')
			moka_buf_putc(b, '"');
		moka_buf_putc(b, *text);
	}
	moka_buf_putc(b, '"');
}

static void put_value(struct moka_buf *b, double v)
{
	if (isfinite(v))
		moka_buf_printf(b, ",%.9g", v);
	else
		moka_buf_printf(b, ",%s", isnan(v) ? "nan" : "inf");
}

static void put_columns(const struct train_log *l, struct moka_buf *b, const struct moka_solver_event *e)
{
	char name[1200];

	for (int k = 0; k < l->n_columns; k++) {
		int i = 0;

		while (i < e->n_outputs && strcmp(output_name(e, i, name, sizeof(name)), l->columns[k]))
			i++;
		if (e->kind == MOKA_EVENT_TEST && i < e->n_outputs)
			put_value(b, (double)e->outputs[i].value);
		else
			moka_buf_putc(b, ',');
	}
}

static void put_csv(const struct train_log *l, struct moka_buf *b, const struct moka_solver_event *e)
{
	static const char *const names[] = {
		[MOKA_EVENT_TRAIN] = "train", [MOKA_EVENT_TEST] = "test", [MOKA_EVENT_SNAPSHOT] = "snapshot"
	};

	moka_buf_printf(b, "%s,%" PRId64 ",%.6f", names[e->kind], e->iter, e->seconds);
	if (e->kind == MOKA_EVENT_TRAIN) {
		put_value(b, e->loss);
		put_value(b, e->lr);
	} else {
		moka_buf_puts(b, ",,");
	}
	if (e->kind == MOKA_EVENT_TEST)
		moka_buf_printf(b, ",%d", e->net);
	else
		moka_buf_putc(b, ',');
	put_columns(l, b, e);
	put_cell(b, e->kind == MOKA_EVENT_SNAPSHOT ? e->file : "");
	moka_buf_putc(b, '\n');
}

static bool has_column(const struct train_log *l, const char *name)
{
	for (int i = 0; i < l->n_columns; i++)
		if (!strcmp(l->columns[i], name))
			return true;
	return false;
}

static void add_columns(struct cli_call *c, struct train_log *l, const struct moka_net *n, int most)
{
	for (int i = 0; i < n->n_outputs; i++) {
		const struct moka_blob *b = &n->blobs[n->outputs[i]];
		int64_t count = moka_shape_count(&b->shape);

		for (int64_t k = 0; k < count && l->n_columns < most; k++) {
			const char *name =
				count > 1 ? moka_arena_printf(&c->arena, "%s[%" PRId64 "]", b->name, k) : b->name;

			if (name && !has_column(l, name))
				l->columns[l->n_columns++] = name;
		}
	}
}

static void begin_csv(struct cli_call *c, struct train_log *l, const struct moka_solver *s)
{
	enum { MOST = 256 };
	struct moka_buf b;

	l->columns = MOKA_NEWN(&c->arena, MOST, const char *);
	for (int i = 0; l->columns && i < moka_solver_test_nets(s); i++)
		add_columns(c, l, moka_solver_test_net(s, i), MOST);
	if (ftell(l->file) > 0)
		return; /* gone on with: the first run wrote the header */
	moka_buf_init(&b, 1 << 24);
	moka_buf_puts(&b, "event,iter,seconds,loss,lr,net");
	for (int i = 0; i < l->n_columns; i++)
		put_cell(&b, moka_arena_printf(&c->arena, "test_%s", l->columns[i]));
	moka_buf_puts(&b, ",file\n");
	l->failed |= b.failed || fwrite(b.data, 1, b.len, l->file) != b.len;
	moka_buf_release(&b);
}

/* ---- TensorBoard ------------------------------------------------------------------------------------------ */

static bool put_scalars(FILE *f, const struct moka_solver_event *e)
{
	char tag[1300], name[1200];
	bool ok = true;

	if (e->kind == MOKA_EVENT_TRAIN)
		return train_events_put(f, "train/loss", e->iter, e->loss) &&
		       train_events_put(f, "train/lr", e->iter, e->lr);
	for (int i = 0; e->kind == MOKA_EVENT_TEST && ok && i < e->n_outputs; i++) {
		output_name(e, i, name, sizeof(name));
		if (e->net)
			snprintf(tag, sizeof(tag), "test%d/%s", e->net, name);
		else
			snprintf(tag, sizeof(tag), "test/%s", name);
		ok = train_events_put(f, tag, e->iter, (double)e->outputs[i].value);
	}
	return ok;
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

int train_log_open(struct cli_call *c, struct train_log *l, const char *path, bool append)
{
	static const char *const forms[] = { "jsonl", "csv", "tensorboard", NULL };
	int form, cause = 0;

	if (!cli_choice(c, "log-format", forms, TRAIN_LOG_JSONL, &form))
		return CLI_USAGE;
	if (!path && cli_has(c, "log-format"))
		return cli_usage(c, "--log-format says how to write the log: where to is missing (--log PATH)");
	l->form = (enum train_log_form)form;
	l->path = path;
	if (!path)
		return CLI_OK;
	if (l->form == TRAIN_LOG_TENSORBOARD) {
		l->file = train_events_open(path, &cause);
	} else {
		l->file = fopen(path, append ? "a" : "w");
		cause = errno;
	}
	if (!l->file)
		return cli_fail(c,
				l->form == TRAIN_LOG_TENSORBOARD
					? "for TensorBoard, --log is a folder: one that exists, or that can be made"
					: "give --log a file in a folder that exists and can be written",
				"can't write '%s': %s", path, strerror(cause));
	return CLI_OK;
}

void train_log_begin(struct cli_call *c, struct train_log *l, const struct moka_solver *s)
{
	if (!l->file)
		return;
	if (l->form == TRAIN_LOG_CSV)
		begin_csv(c, l, s);
	fflush(l->file);
}

void train_log_event(struct train_log *l, const struct moka_solver_event *e)
{
	struct moka_buf b;

	if (!l->file || (e->kind != MOKA_EVENT_TRAIN && e->kind != MOKA_EVENT_TEST && e->kind != MOKA_EVENT_SNAPSHOT))
		return;
	moka_buf_init(&b, 1 << 24);
	if (l->form == TRAIN_LOG_JSONL)
		put_json(&b, e);
	else if (l->form == TRAIN_LOG_CSV)
		put_csv(l, &b, e);
	else
		l->failed |= !put_scalars(l->file, e);
	if (b.failed || (b.len && fwrite(b.data, 1, b.len, l->file) != b.len))
		l->failed = true;
	moka_buf_release(&b);
	if (e->kind == MOKA_EVENT_TRAIN && e->seconds - l->flushed < 1)
		return;
	l->flushed = e->seconds;
	l->failed |= fflush(l->file) != 0;
}

int train_log_close(struct cli_call *c, struct train_log *l, int status)
{
	if (l->file && (fclose(l->file) || l->failed))
		return cli_fail(c, "is the disk full?", "the log '%s' is not complete: %s", l->path, strerror(errno));
	return status;
}
