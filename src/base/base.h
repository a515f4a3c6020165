/*
 * base.h - what every floor of the house stands on.
 *
 * Knows nothing of nets: status and error values, arenas, growable buffers with a
 * ceiling, string maps, mapped files, checked arithmetic, random numbers, threads.
 *
 * Conventions of the whole library:
 *  - A function that can fail returns enum moka_status (0 is success) and takes a
 *    struct moka_error * (may be NULL) or a struct moka_findings *.
 *  - Pointers returned are borrowed from the argument they came from unless the comment
 *    says "caller frees with ...".
 *  - _init/_release for structs the caller holds, _new/_free for ones we allocate;
 *    _free(NULL) and a second _release are legal.
 *  - The library never exits, never prints, keeps no global state.
 */
#ifndef MOKA_BASE_H
#define MOKA_BASE_H

#include <moka/moka.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The type of every number a layer computes with. The library is built with float; the
 * gradient checks build the same sources once more with double (-DMOKA_REAL_DOUBLE), so
 * that a central difference is a proof and not a guess. In layers write `real`, and
 * the functions of <tgmath.h> (exp, log, sqrt, fabs, pow, tanh ...), never expf or exp's
 * double form by accident.
 */
#ifdef MOKA_REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#define MOKA_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MOKA_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MOKA_MIN(a, b) ((a) < (b) ? (a) : (b))
#define MOKA_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Wrong program, not wrong input: an assertion that stays in release builds. */
#define MOKA_BUG(cond) ((cond) ? moka__bug(__FILE__, __LINE__, #cond) : (void)0)
_Noreturn void moka__bug(const char *file, int line, const char *what);

/* Passes a failure on unchanged. */
#define MOKA_TRY(call)                                                                                                 \
	do {                                                                                                           \
		enum moka_status moka_try_ = (call);                                                                   \
		if (moka_try_)                                                                                         \
			return moka_try_;                                                                              \
	} while (0)

/* ---- limits: every ceiling of the library in one place ---------------------------- */

#define MOKA_MAX_AXES 32		      /* of a blob, as in BVLC Caffe */
#define MOKA_MAX_NESTING 100		      /* of messages, text or binary */
#define MOKA_MAX_TEXT_BYTES ((size_t)1 << 30) /* of a .prototxt */
#define MOKA_MAX_LAYERS 100000
#define MOKA_MAX_FINDINGS 1000 /* kept; the rest is counted */
#define MOKA_MAX_NAME 4096     /* of a file or blob, in messages */

/* ---- error ------------------------------------------------------------------------- */

/* Fills *err (may be NULL) and returns status, so that `return moka_fail(...)` reads well. */
enum moka_status moka_fail(struct moka_error *err, enum moka_status status, const char *fmt, ...) MOKA_PRINTF(3, 4);
/* Adds "hint: what to do" to an error already filled. */
void moka_fail_hint(struct moka_error *err, const char *fmt, ...) MOKA_PRINTF(2, 3);

/* ---- checked arithmetic ------------------------------------------------------------ */

/* *out = a * b (a + b); false, and *out untouched, on overflow of int64_t or a negative operand. */
bool moka_mul(int64_t a, int64_t b, int64_t *out);
bool moka_add(int64_t a, int64_t b, int64_t *out);

/* ---- arena --------------------------------------------------------------------------
 * Memory with one lifetime. Nothing in it is freed one by one. Blocks never move.
 */
struct moka_arena {
	struct moka_arena_block *head;
	size_t used_bytes;
	size_t limit_bytes; /* 0: none */
};

void moka_arena_init(struct moka_arena *a, size_t limit_bytes);
void moka_arena_release(struct moka_arena *a);
/* Zeroed, 16-byte aligned; NULL when memory or the arena's limit is exhausted. n * size is checked. */
void *moka_arena_alloc(struct moka_arena *a, size_t n, size_t size);
char *moka_arena_strdup(struct moka_arena *a, const char *s);
char *moka_arena_strndup(struct moka_arena *a, const char *s, size_t n); /* always terminated */
char *moka_arena_printf(struct moka_arena *a, const char *fmt, ...) MOKA_PRINTF(2, 3);
#define MOKA_NEW(arena, type) ((type *)moka_arena_alloc((arena), 1, sizeof(type)))
#define MOKA_NEWN(arena, n, type) ((type *)moka_arena_alloc((arena), (size_t)(n), sizeof(type)))

/* ---- buf: growable bytes with a ceiling ----------------------------------------------
 * A failed append sets `failed` and leaves the content; check once at the end.
 */
struct moka_buf {
	char *data; /* terminated by a NUL that len does not count; NULL while empty */
	size_t len, cap, limit;
	bool failed;
};

void moka_buf_init(struct moka_buf *b, size_t limit); /* 0: SIZE_MAX / 2 */
void moka_buf_release(struct moka_buf *b);
void moka_buf_add(struct moka_buf *b, const void *p, size_t n);
void moka_buf_puts(struct moka_buf *b, const char *s);
void moka_buf_putc(struct moka_buf *b, char c);
void moka_buf_repeat(struct moka_buf *b, const char *s, int n);
void moka_buf_printf(struct moka_buf *b, const char *fmt, ...) MOKA_PRINTF(2, 3);
void moka_buf_vprintf(struct moka_buf *b, const char *fmt, va_list ap);
/* Appends s as a JSON string, quotes included; bytes that are not UTF-8 become U+FFFD. */
void moka_buf_json_string(struct moka_buf *b, const char *s);

/* ---- map: string -> pointer, insertion in amortised O(1); keys are borrowed ----------- */

struct moka_map {
	struct moka_map_slot *slots;
	size_t n, cap;
	uint64_t seed;
};

void moka_map_init(struct moka_map *m);
void moka_map_release(struct moka_map *m);
void *moka_map_get(const struct moka_map *m, const char *key);	     /* NULL where absent */
bool moka_map_put(struct moka_map *m, const char *key, void *value); /* replaces; false: no memory */

/* ---- pages --------------------------------------------------------------------------- */

/* Asks for large pages under [p, p + n), where the system has them; before it is written for the first time. */
void moka_pages_large(void *p, size_t n);
/* n bytes, 64-byte aligned; large ones begin at a large page and ask for such. free() frees them. */
void *moka_pages_alloc(size_t n);
/* Gives the whole pages within [p, p + n) of allocated memory back: they read as zeros, or as what they were. False: nothing was done. */
bool moka_pages_give_back(void *p, size_t n);

/* ---- files --------------------------------------------------------------------------- */

struct moka_file {
	const uint8_t *data; /* mapped read-only (or read, for pipes); NULL when size is 0 */
	size_t size;
	bool mapped;
};

/* Opens and maps PATH. Errors name the path and the cause (and, for a missing file, the
 * nearest name in the same folder as a hint). Directories are refused. */
enum moka_status moka_file_open(struct moka_file *f, const char *path, struct moka_error *err);
void moka_file_release(struct moka_file *f);
/* Tells the kernel that all of a mapped file will be read soon: it begins to fetch what isn't in memory, and doesn't wait for it. */
void moka_file_ahead(const struct moka_file *f);
/* Tells the kernel that [p, p+n) of a mapped file won't be read again soon. */
void moka_file_forget(const struct moka_file *f, const void *p, size_t n);

/*
 * Atomic output: bytes go to PATH.tmp-<pid> in the same folder; commit flushes, fsyncs and renames; abort
 * removes. A full disk leaves the old file whole and gives an error with path and cause.
 */
struct moka_out;
enum moka_status moka_out_open(struct moka_out **out, const char *path,
			       struct moka_error *err); /* freed by commit/abort */
enum moka_status moka_out_write(struct moka_out *out, const void *p, size_t n, struct moka_error *err); /* buffered */
enum moka_status moka_out_commit(struct moka_out *out, struct moka_error *err);
void moka_out_abort(struct moka_out *out);
/*
 * Removes what killed programs left in the folder of `prefix`: files named <prefix>...tmp-<pid>, as this module names them, whose <pid> is no
 * process of this machine. Returns how many.
 */
int moka_out_sweep(const char *prefix);
/* The whole of a buffer, atomically. "-" or NULL: standard output is NOT handled here (the library never prints). */
enum moka_status moka_file_write(const char *path, const void *p, size_t n, struct moka_error *err);
/* PATH as given if it exists; else relative to the folder of BESIDE; else PATH again. In the arena. */
const char *moka_path_resolve(struct moka_arena *a, const char *path, const char *beside);
bool moka_path_exists(const char *path);
bool moka_has_suffix(const char *s, const char *suffix); /* case ignored */

/* ---- names --------------------------------------------------------------------------- */

/* Edit distance with transpositions, case folded and '_' ignored, small when two names are likely the same. */
int moka_name_distance(const char *a, const char *b);
/* Keeps the nearest so far; use: struct moka_nearest n = {0}; moka_nearest_try(&n, want, cand)...; n.best or NULL. */
struct moka_nearest {
	const char *best;
	int distance;
};
void moka_nearest_try(struct moka_nearest *n, const char *want, const char *candidate); /* ignores far ones */

/* ---- random numbers: xoshiro256**, one state a stream ----------------------------------- */

struct moka_rng {
	uint64_t s[4];
};
void moka_rng_seed(struct moka_rng *r, uint64_t seed, uint64_t stream);
uint64_t moka_rng_next(struct moka_rng *r);
double moka_rng_uniform(struct moka_rng *r);		 /* [0, 1) */
double moka_rng_gaussian(struct moka_rng *r);		 /* mean 0, deviation 1; stateless Box-Muller */
uint64_t moka_rng_below(struct moka_rng *r, uint64_t n); /* [0, n), unbiased */

/* ---- threads -----------------------------------------------------------------------------
 * Work is cut into the same pieces whatever the number of threads, and a piece's result must
 * not depend on who runs it: then 1 thread = N threads, bit for bit.
 */
struct moka_pool;
struct moka_pool *moka_pool_new(int threads); /* 0: as many as the machine (cgroup) gives; caller frees */
void moka_pool_free(struct moka_pool *p);
int moka_pool_threads(const struct moka_pool *p); /* NULL pool: 1 */
/* fn(arg, begin, end) over [0, n) in pieces of `tile` (the last may be shorter). NULL pool: in this thread. */
void moka_parallel(struct moka_pool *p, void (*fn)(void *arg, int64_t begin, int64_t end), void *arg, int64_t n,
		   int64_t tile);
int moka_cpu_threads(void); /* as many as the machine (cgroup, affinity) gives; at least 1 */

/* ---- cpu --------------------------------------------------------------------------------- */

enum moka_isa { MOKA_ISA_REF, MOKA_ISA_AVX2, MOKA_ISA_AVX512, MOKA_ISA_NEON };
/*
 * The best instruction set this machine has (NEON on every 64-bit ARM); MOKA_ISA=ref|avx2|avx512|neon in the environment forces another
 * that it has.
 */
enum moka_isa moka_cpu_isa(void);

double moka_now(void); /* seconds of a monotonic clock */
int64_t moka_peak_rss_bytes(void);

#endif
