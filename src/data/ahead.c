/*
 * ahead.c - batches made ahead of whoever reads them: a ring of them, filled by threads.
 *
 * A worker takes the next place of the batch that is being filled, fetches its sample (in order: `order` is held), and makes it while
 * others fetch and make theirs. The reader waits for the oldest batch, copies it out and gives its slot back. Nothing is
 * allocated from batch to batch. A net that is only looked at (not built to run) gets the same samples in its own thread.
 *
 * Errors belong to a batch, and there to the first place that failed, so that they come at the same moment whatever the number of
 * threads. With skip_bad, the place of a sample that can't be made is taken by the next one that can: sample k stays record k, so a
 * resumed run sees what an unbroken one would have seen.
 *
 * Locks: `order` (who fetches, and the maker's cursor) is taken before `lock` (the ring); never the other way round, and nobody
 * sleeps with `order` held.
 */
#include "data/ahead.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 64
#define MAX_DEPTH 64
#define DEFAULT_DEPTH 4		      /* batches, as Caffe's prefetch */
#define RING_BYTES ((int64_t)1 << 30) /* more only where two batches need more */

struct bad {
	int64_t record, place;
	char message[400];
};

struct slot {
	real **top;
	int64_t done;
	enum moka_status status; /* of the first place that failed */
	int64_t failed;		 /* that place */
	struct moka_error err;
	struct bad *bad; /* what was left out, in no order */
	int64_t n_bad, cap_bad;
};

struct ahead {
	const struct moka__maker *maker;
	void *self;
	char *path;
	int n_top;
	int64_t *count; /* values of each top; of a batch */
	int64_t places; /* samples in a batch; 1 where a sample is a batch */
	int64_t budget; /* bad records that may be left out */
	int threads, depth;
	bool behind; /* not built to run: in the reader's thread */

	/* under `order` */
	pthread_mutex_t order;
	uint64_t next; /* the sample that the maker's cursor stands before */
	enum moka_status broken;
	struct moka_error broken_err;

	/* under `lock` */
	pthread_mutex_t lock;
	pthread_cond_t room, ready;
	struct slot *slots;
	uint64_t reading, filling; /* batches, counted from the start of the run; filling - reading <= depth */
	int64_t place;		   /* of `filling`, handed out next */
	bool stop;

	pthread_t *thread;
	int running;
	struct moka__bench *bench; /* one a thread; [0] is the reader's where it works itself */

	/* the reader's */
	int64_t *skipped; /* records */
	int64_t n_skipped, cap_skipped;
	char first[400];
};

static struct ahead *of(struct moka_source *s)
{
	return (struct ahead *)(void *)s;
}

/* ---- one sample ------------------------------------------------------------------------------------- */

/* With `order` held. */
static enum moka_status fetch(struct ahead *a, struct moka__bench *b, struct moka_error *err)
{
	b->sample.k = a->next;
	if (!a->broken)
		a->broken = a->maker->fetch(a->self, b, &a->broken_err);
	if (a->broken) {
		*err = a->broken_err;
		return a->broken;
	}
	a->next++;
	return MOKA_OK;
}

static bool note_bad(struct slot *s, int64_t place, const struct moka__bench *b, const struct moka_error *why)
{
	if (s->n_bad == s->cap_bad) {
		const int64_t cap = s->cap_bad ? 2 * s->cap_bad : 8;
		struct bad *bigger = realloc(s->bad, (size_t)cap * sizeof(*bigger));

		if (!bigger)
			return false;
		s->bad = bigger;
		s->cap_bad = cap;
	}
	s->bad[s->n_bad] = (struct bad){ .record = b->sample.record, .place = place };
	snprintf(s->bad[s->n_bad++].message, sizeof(s->bad->message), "%.399s", why->message);
	return true;
}

/* Samples behind k until one can be made. They are in use elsewhere too: the cursor goes back where it was. */
static enum moka_status make_another(struct ahead *a, struct slot *s, struct moka__bench *b, int64_t place,
				     struct moka_error *err)
{
	const uint64_t k = b->sample.k;
	const int64_t rows = a->maker->rows(a->self);
	const int64_t tries = rows > 0 ? MOKA_MIN(a->budget, rows) : a->budget;
	enum moka_status st = MOKA_ERR_DATA;

	for (int64_t i = 0; st && i <= tries; i++) {
		uint64_t back;

		pthread_mutex_lock(&a->lock);
		const bool noted = note_bad(s, place, b, err);
		pthread_mutex_unlock(&a->lock);
		if (!noted)
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", a->path);
		pthread_mutex_lock(&a->order);
		back = a->next;
		st = a->maker->seek(a->self, k + 1 + (uint64_t)i, err);
		a->next = k + 1 + (uint64_t)i;
		if (!st)
			st = fetch(a, b, err);
		if (!a->broken && a->maker->seek(a->self, back, &a->broken_err))
			a->broken = a->broken_err.status;
		a->next = back;
		pthread_mutex_unlock(&a->order);
		if (st)
			return st;
		st = a->maker->make(a->self, b, a->n_top, s->top, place, err);
	}
	return st;
}

static enum moka_status make(struct ahead *a, struct slot *s, struct moka__bench *b, int64_t place,
			     struct moka_error *err)
{
	const enum moka_status st = a->maker->make(a->self, b, a->n_top, s->top, place, err);

	return st && a->budget > 0 && st != MOKA_ERR_NOMEM && !a->maker->whole ? make_another(a, s, b, place, err) : st;
}

/* With `lock` held where others work too. */
static void note_result(struct slot *s, int64_t place, enum moka_status st, const struct moka_error *err)
{
	s->done++;
	if (!st || (s->status && s->failed < place))
		return;
	s->status = st;
	s->failed = place;
	s->err = *err;
}

static void clear_slot(struct slot *s)
{
	s->done = s->n_bad = 0;
	s->status = MOKA_OK;
}

/* ---- the threads ------------------------------------------------------------------------------------- */

/* The slot and place that come next, or NULL after sleeping: ask again. *stop: no more. Leaves with `order` held where there is one. */
static struct slot *take_place(struct ahead *a, int64_t *place, bool *stop)
{
	struct slot *s = NULL;

	pthread_mutex_lock(&a->order);
	pthread_mutex_lock(&a->lock);
	*stop = a->stop;
	if (!a->stop && a->filling - a->reading < (uint64_t)a->depth) {
		s = &a->slots[a->filling % (uint64_t)a->depth];
		*place = a->place++;
		if (a->place == a->places) {
			a->place = 0;
			a->filling++;
		}
	}
	if (!s)
		pthread_mutex_unlock(&a->order);
	if (!s && !a->stop)
		pthread_cond_wait(&a->room, &a->lock);
	pthread_mutex_unlock(&a->lock);
	return s;
}

struct start {
	struct ahead *a;
	int number;
};

static void work(struct ahead *a, struct moka__bench *b)
{
	bool stop = false;

	while (!stop) {
		struct moka_error err = { 0 };
		enum moka_status st;
		int64_t place;
		struct slot *s = take_place(a, &place, &stop);

		if (!s)
			continue;
		st = fetch(a, b, &err);
		pthread_mutex_unlock(&a->order);
		if (!st)
			st = make(a, s, b, place, &err);
		pthread_mutex_lock(&a->lock);
		note_result(s, place, st, &err);
		if (s->done == a->places)
			pthread_cond_signal(&a->ready);
		pthread_mutex_unlock(&a->lock);
	}
}

static void *thread_main(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	work(s.a, &s.a->bench[s.number]);
	return NULL;
}

static void stop_threads(struct ahead *a)
{
	if (!a->running)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->room);
	pthread_mutex_unlock(&a->lock);
	for (int i = 0; i < a->running; i++)
		pthread_join(a->thread[i], NULL);
	a->running = 0;
	a->stop = false;
}

static bool start_thread(struct ahead *a, int number)
{
	struct start *s = malloc(sizeof(*s));

	if (!s)
		return false;
	*s = (struct start){ a, number };
	if (!pthread_create(&a->thread[number], NULL, thread_main, s))
		return true;
	free(s);
	return false;
}

/* Signals are for the program's own thread, but for faults: those belong to whoever makes them. One thread is enough to go on with. */
static enum moka_status start_threads(struct ahead *a, struct moka_error *err)
{
	static const int faults[] = { SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT };
	sigset_t all, old;

	sigfillset(&all);
	for (size_t i = 0; i < MOKA_COUNT(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (a->running < a->threads && start_thread(a, a->running))
		a->running++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return a->running ? MOKA_OK
			  : moka_fail(err, MOKA_ERR_NOMEM, "%s: can't start a thread that reads ahead", a->path);
}

/* ---- the ring ----------------------------------------------------------------------------------------- */

/* The sizes of the tops are known once the source is open. */
static enum moka_status measure(struct ahead *a, int64_t *bytes, struct moka_error *err)
{
	*bytes = 0;
	for (int i = 0; i < a->n_top; i++) {
		struct moka_shape s;
		int64_t n = 1;

		MOKA_TRY(a->maker->shape(a->self, i, &s, err));
		for (int d = 0; d < s.n; d++)
			if (!moka_mul(n, s.d[d], &n))
				return moka_fail(err, MOKA_ERR_LIMIT, "%s: a batch is too large", a->path);
		a->count[i] = n;
		if (!moka_mul(n, (int64_t)sizeof(real), &n) || !moka_add(*bytes, n, bytes))
			return moka_fail(err, MOKA_ERR_LIMIT, "%s: a batch is too large", a->path);
	}
	return MOKA_OK;
}

static enum moka_status make_slot(struct ahead *a, struct slot *s, bool values, struct moka_error *err)
{
	s->top = calloc((size_t)a->n_top + 1, sizeof(*s->top));
	for (int i = 0; values && s->top && i < a->n_top; i++) {
		s->top[i] = malloc((size_t)MOKA_MAX(a->count[i], 1) * sizeof(real));
		if (!s->top[i])
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory to read %d batches ahead", a->path,
					 a->depth);
	}
	return s->top ? MOKA_OK : moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", a->path);
}

static enum moka_status make_ring(struct ahead *a, struct moka_error *err)
{
	int64_t bytes;

	MOKA_TRY(measure(a, &bytes, err));
	if (a->slots)
		return MOKA_OK;
	if (!a->behind && bytes > 0)
		a->depth = (int)MOKA_MAX(2, MOKA_MIN(a->depth, RING_BYTES / bytes));
	a->slots = calloc((size_t)a->depth, sizeof(*a->slots));
	if (!a->slots)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", a->path);
	for (int i = 0; i < a->depth; i++)
		MOKA_TRY(make_slot(a, &a->slots[i], !a->behind, err));
	return MOKA_OK;
}

/* ---- delivery ------------------------------------------------------------------------------------------- */

static bool is_known(const struct ahead *a, int64_t record)
{
	for (int64_t i = 0; i < a->n_skipped; i++)
		if (a->skipped[i] == record)
			return true;
	return false;
}

static int by_place(const void *x, const void *y)
{
	const struct bad *a = x, *b = y;

	return a->place != b->place ? (a->place < b->place ? -1 : 1)
				    : (a->record > b->record) - (a->record < b->record);
}

/* Counts what a batch left out, in the order of its places. */
static enum moka_status count_bad(struct ahead *a, struct slot *s, struct moka_error *err)
{
	qsort(s->bad, (size_t)s->n_bad, s->n_bad ? sizeof(*s->bad) : 1, by_place);
	for (int64_t i = 0; i < s->n_bad; i++) {
		if (is_known(a, s->bad[i].record))
			continue;
		if (a->n_skipped == a->budget) {
			moka_fail(err, MOKA_ERR_DATA, "%s (%" PRId64 " others were left out before it)",
				  s->bad[i].message, a->n_skipped);
			moka_fail_hint(err, "more than --skip-bad %" PRId64 " allows: look at the data, or allow more",
				       a->budget);
			return MOKA_ERR_DATA;
		}
		if (a->n_skipped == a->cap_skipped) {
			const int64_t cap = a->cap_skipped ? 2 * a->cap_skipped : 16;
			int64_t *bigger = realloc(a->skipped, (size_t)cap * sizeof(*bigger));

			if (!bigger)
				return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", a->path);
			a->skipped = bigger;
			a->cap_skipped = cap;
		}
		if (!a->n_skipped)
			snprintf(a->first, sizeof(a->first), "%s", s->bad[i].message);
		a->skipped[a->n_skipped++] = s->bad[i].record;
	}
	return MOKA_OK;
}

static enum moka_status deliver(struct ahead *a, struct slot *s, int n_top, const struct moka_view *top,
				struct moka_error *err)
{
	if (s->n_bad)
		MOKA_TRY(count_bad(a, s, err));
	if (s->status) {
		if (err)
			*err = s->err;
		return s->status;
	}
	if (a->maker->finish)
		MOKA_TRY(a->maker->finish(a->self, a->n_top, s->top, err));
	for (int i = 0; !a->behind && i < n_top && i < a->n_top; i++)
		memcpy(top[i].data, s->top[i], (size_t)a->count[i] * sizeof(real));
	return MOKA_OK;
}

/* In the reader's own thread, straight into its blobs. */
static enum moka_status read_here(struct ahead *a, int n_top, const struct moka_view *top, struct moka_error *err)
{
	struct slot *s = &a->slots[0];

	clear_slot(s);
	for (int i = 0; i < n_top && i < a->n_top; i++)
		s->top[i] = top[i].data;
	for (int64_t place = 0; place < a->places; place++) {
		struct moka_error why = { 0 };
		enum moka_status st = fetch(a, &a->bench[0], &why);

		if (!st)
			st = make(a, s, &a->bench[0], place, &why);
		note_result(s, place, st, &why);
	}
	a->reading++;
	return deliver(a, s, n_top, top, err);
}

static enum moka_status read_ring(struct ahead *a, int n_top, const struct moka_view *top, struct moka_error *err)
{
	struct slot *s = &a->slots[a->reading % (uint64_t)a->depth];
	enum moka_status st;

	if (!a->running)
		MOKA_TRY(start_threads(a, err));
	pthread_mutex_lock(&a->lock);
	while (s->done < a->places)
		pthread_cond_wait(&a->ready, &a->lock);
	pthread_mutex_unlock(&a->lock);
	st = deliver(a, s, n_top, top, err); /* nobody else touches a complete batch */
	pthread_mutex_lock(&a->lock);
	clear_slot(s);
	a->reading++;
	pthread_cond_broadcast(&a->room);
	pthread_mutex_unlock(&a->lock);
	return st;
}

/* ---- as a source ------------------------------------------------------------------------------------------ */

enum moka_status moka__ahead_read(struct moka_source *source, int n_top, const struct moka_view *top,
				  struct moka_error *err)
{
	struct ahead *a = of(source);

	if (!a->slots)
		MOKA_TRY(make_ring(a, err));
	return a->behind ? read_here(a, n_top, top, err) : read_ring(a, n_top, top, err);
}

enum moka_status moka__ahead_shape(struct moka_source *source, int top, struct moka_shape *out, struct moka_error *err)
{
	return of(source)->maker->shape(of(source)->self, top, out, err);
}

enum moka_status moka__ahead_seek(struct moka_source *source, uint64_t batch_index, struct moka_error *err)
{
	struct ahead *a = of(source);

	stop_threads(a);
	for (int i = 0; a->slots && i < a->depth; i++)
		clear_slot(&a->slots[i]);
	a->reading = a->filling = batch_index;
	a->place = 0;
	a->broken = MOKA_OK;
	a->next = batch_index * (uint64_t)a->places;
	return a->maker->seek(a->self, a->next, err);
}

int64_t moka__ahead_rows(const struct moka_source *source)
{
	const struct ahead *a = (const struct ahead *)(const void *)source;

	return a->maker->rows(a->self);
}

int64_t moka__ahead_skipped(const struct moka_source *source, char *first, size_t size)
{
	const struct ahead *a = (const struct ahead *)(const void *)source;

	if (size)
		snprintf(first, size, "%s", a->first);
	return a->n_skipped;
}

static void free_slots(struct ahead *a)
{
	for (int i = 0; a->slots && i < a->depth; i++) {
		for (int t = 0; !a->behind && a->slots[i].top && t < a->n_top; t++)
			free(a->slots[i].top[t]);
		free(a->slots[i].top);
		free(a->slots[i].bad);
	}
	free(a->slots);
}

void moka__ahead_close(struct moka_source *source)
{
	struct ahead *a = of(source);

	if (!a)
		return;
	stop_threads(a);
	a->maker->close(a->self);
	free_slots(a);
	for (int i = 0; a->bench && i < MOKA_MAX(a->threads, 1); i++)
		moka__bench_release(&a->bench[i]);
	pthread_mutex_destroy(&a->order);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->room);
	pthread_cond_destroy(&a->ready);
	free(a->bench);
	free(a->thread);
	free(a->count);
	free(a->skipped);
	free(a->path);
	free(a);
}

static void choose(struct ahead *a, const struct moka_source_spec *spec)
{
	const struct moka_layer *l = spec->layer;
	const int64_t depth = l->sub && moka_has(l->sub, "prefetch") ? moka_get_int(l->sub, "prefetch") : DEFAULT_DEPTH;

	a->behind = !l->for_run;
	a->budget = l->skip_bad;
	a->places = a->maker->whole ? 1 : spec->batch;
	a->n_top = l->n_top;
	a->threads = a->maker->whole || a->behind ? 1 : l->read_threads > 0 ? l->read_threads : moka_cpu_threads();
	a->threads = MOKA_MIN(a->threads, l->read_threads > 0 ? MAX_THREADS : 4);
	a->depth = a->behind ? 1 : (int)MOKA_MIN(MOKA_MAX(depth, 2), MAX_DEPTH);
}

static bool allocate(struct ahead *a, const char *path)
{
	a->path = strdup(path);
	a->count = calloc((size_t)a->n_top + 1, sizeof(*a->count));
	a->bench = calloc((size_t)a->threads, sizeof(*a->bench));
	a->thread = calloc((size_t)a->threads, sizeof(*a->thread));
	return a->path && a->count && a->bench && a->thread;
}

enum moka_status moka__ahead_open(struct moka_source **out, const struct moka_source_spec *spec,
				  const struct moka__maker *maker, struct moka_error *err)
{
	struct ahead *a = calloc(1, sizeof(*a));
	enum moka_status st;

	*out = NULL;
	if (!a)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	a->maker = maker;
	choose(a, spec);
	pthread_mutex_init(&a->order, NULL);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->room, NULL);
	pthread_cond_init(&a->ready, NULL);
	st = allocate(a, spec->path) ? maker->open(&a->self, spec, err)
				     : moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	if (st)
		moka__ahead_close((struct moka_source *)(void *)a);
	else
		*out = (struct moka_source *)(void *)a;
	return st;
}
