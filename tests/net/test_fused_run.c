/* test_fused_run.c - a planned net at work: no allocation and no system call after the first pass; many threads on one net; weights that change. */
#include "fused_net.h"

#include <pthread.h>
#include <signal.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define COUNTS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define COUNTS 0
#endif
#endif
#ifndef COUNTS
#define COUNTS 1
#endif

static _Atomic long allocations;

#if COUNTS
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	allocations++;
	return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n);
int posix_memalign(void **out, size_t align, size_t n)
{
	allocations++;
	*out = __libc_memalign(align, n);
	return *out ? 0 : 12;
}
#endif

static void open_random(struct nets *t, uint64_t seed)
{
	struct moka_buf text;

	moka_buf_init(&text, 0);
	fused_net(&text, seed, 14, 2);
	nets_run(t, text.data, (struct moka_net_options){ .phase = MOKA_TEST }, MOKA_KEEP_ALL, NULL);
	fused_weights(t->n, seed);
	moka_buf_release(&text);
}

T_TEST(a_pass_allocates_nothing)
{
	struct moka_pool *two = moka_pool_new(2);

	if (!COUNTS)
		T_SKIP("a sanitizer allocates by itself");
	for (uint64_t seed = 0; seed < 40; seed++)
		for (int by_layer = 0; by_layer < 2; by_layer++) {
			struct moka_exec *e;
			struct nets t;
			long before;

			open_random(&t, seed);
			e = fused_exec(t.n, by_layer, seed % 2 ? two : NULL);
			fused_forward(e, t.n);
			before = allocations;
			for (int i = 0; i < 3; i++)
				fused_forward(e, t.n);
			T_INT(allocations - before, 0);
			moka_exec_free(e);
			nets_close(&t);
		}
	moka_pool_free(two);
}

/* ---- system calls -------------------------------------------------------------------------------------------- */

#if defined(__linux__) && defined(__x86_64__) && COUNTS
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * From here on, every thread of this process dies with its first system call. With helpers: they may wait for another thread and wake it
 * (they sleep when they have had nothing to do for a while), and do what every thread does once when it begins.
 */
static bool forbid_system_calls(bool helpers)
{
	static const unsigned allowed[] = { SYS_exit_group,	SYS_futex,	     SYS_sched_yield,
					    SYS_rt_sigprocmask, SYS_set_robust_list, SYS_rseq };
	const size_t n = helpers ? MOKA_COUNT(allowed) : 1;
	struct sock_filter rules[MOKA_COUNT(allowed) + 3];
	const struct sock_fprog program = { (unsigned short)(n + 3), rules };

	rules[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n; i++)
		rules[1 + i] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], (unsigned char)(n - i), 0);
	rules[n + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	rules[n + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

#define REFUSED 77

/* In a process of its own: passes of a net without a system call. What became of it: 0, REFUSED, or a signal. */
static int quiet_passes(uint64_t seed, int threads, bool breaks_the_rule)
{
	const pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (!child) {
		struct moka_pool *pool = threads > 1 ? moka_pool_new(threads) : NULL;
		struct moka_exec *e;
		struct nets t;

		open_random(&t, seed);
		e = fused_exec(t.n, false, pool);
		fused_forward(e, t.n);
		if (!forbid_system_calls(threads > 1))
			_exit(REFUSED);
		for (int i = 0; i < 3; i++)
			moka_exec_forward(e, 0, t.n->n_layers, NULL, NULL);
		if (breaks_the_rule)
			(void)getppid();
		_exit(0);
	}
	assert_true(waitpid(child, &status, 0) == child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

T_TEST(a_pass_makes_no_system_call)
{
	if (quiet_passes(1, 1, false) == REFUSED)
		T_SKIP("this machine doesn't let a process forbid itself system calls");
	T_INT(quiet_passes(1, 1, true), SIGSYS);
	for (uint64_t seed = 0; seed < 20; seed++)
		for (int threads = 1; threads < 4; threads++)
			T_INT(quiet_passes(seed, threads, false), 0);
}
#else
T_TEST(a_pass_makes_no_system_call)
{
	T_SKIP("a sanitizer makes system calls by itself, other systems' are not known here");
}
#endif

/* ---- many threads -------------------------------------------------------------------------------------------- */

struct runner {
	const struct moka_exec *want;
	struct moka_net *n;
	bool right;
};

/* Makes an execution of its own, while others do the same, and compares with what one thread got. */
static void *run_often(void *arg)
{
	struct runner *r = arg;
	const struct moka_exec_options o = { .seed = 7 };
	struct moka_exec *e;

	r->right = !moka_exec_new(&e, r->n, &o, NULL);
	for (int pass = 0; r->right && pass < 5; pass++) {
		fused_inputs(e, r->n, 5);
		r->right = !moka_exec_forward(e, 0, r->n->n_layers, NULL, NULL);
		for (int i = 0; r->right && i < r->n->n_outputs; i++) {
			const int blob = r->n->outputs[i];

			r->right = !memcmp(moka_exec_data(e, blob), moka_exec_data((struct moka_exec *)r->want, blob),
					   (size_t)fused_count(r->n, blob) * sizeof(real));
		}
	}
	if (e)
		moka_exec_free(e);
	return NULL;
}

T_TEST(many_threads_one_net)
{
	for (uint64_t seed = 50; seed < 54; seed++) {
		struct nets t, same;
		struct moka_exec *want;
		struct runner runners[6];
		pthread_t threads[6];

		open_random(&same, seed);
		want = fused_exec(same.n, false, NULL);
		fused_forward(want, same.n);
		open_random(&t, seed); /* a net that nobody has planned yet: all want to */
		for (int i = 0; i < 6; i++) {
			runners[i] = (struct runner){ want, t.n, false };
			T_INT(pthread_create(&threads[i], NULL, run_often, &runners[i]), 0);
		}
		for (int i = 0; i < 6; i++) {
			pthread_join(threads[i], NULL);
			T_TRUE(runners[i].right);
		}
		moka_exec_free(want);
		nets_close(&t);
		nets_close(&same);
	}
}

/* One pool, several callers at once: each gets its own work done. */
struct adder {
	struct moka_pool *pool;
	int64_t sum;
};

static void add_range(void *arg, int64_t begin, int64_t end)
{
	int64_t part = 0;

	for (int64_t i = begin; i < end; i++)
		part += i;
	__atomic_add_fetch((int64_t *)arg, part, __ATOMIC_RELAXED);
}

static void *add_often(void *arg)
{
	struct adder *a = arg;

	for (int i = 0; i < 2000; i++)
		moka_parallel(a->pool, add_range, &a->sum, 1000, 1 + i % 97);
	return NULL;
}

T_TEST(one_pool_many_callers)
{
	struct moka_pool *pool = moka_pool_new(3);
	struct adder a[4];
	pthread_t threads[4];

	for (int i = 0; i < 4; i++) {
		a[i] = (struct adder){ pool, 0 };
		T_INT(pthread_create(&threads[i], NULL, add_often, &a[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		T_INT(a[i].sum, 2000 * (int64_t)(999 * 1000 / 2));
	}
	moka_pool_free(pool);
}

/* ---- weights that change ---------------------------------------------------------------------------------------- */

static void same_as_fresh(struct moka_exec *e, struct moka_net *n)
{
	struct moka_exec *fresh = fused_exec(n, true, NULL);

	fused_forward(e, n);
	fused_forward(fresh, n);
	fused_compare(e, fresh, n, 2e-5);
	moka_exec_free(fresh);
}

T_TEST(watched_weights_are_seen)
{
	struct moka_exec *e;
	struct nets t;

	open_random(&t, 3);
	e = fused_exec(t.n, false, NULL);
	same_as_fresh(e, t.n);
	T_INT(moka_net_watch(t.n, NULL), MOKA_OK);
	for (int p = 0; p < t.n->n_params; p++) { /* as a program that holds a pointer does */
		t.n->params[p].data[t.n->params[p].count - 1] += (real)0.5;
		same_as_fresh(e, t.n);
	}
	moka_exec_free(e);
	nets_close(&t);
}

T_TEST(a_net_that_shares_sees_changes_too)
{
	struct moka_error err = { 0 };
	struct moka_exec *e;
	struct moka_buf text;
	struct nets t, borrower;

	moka_buf_init(&text, 0);
	fused_net(&text, 8, 14, 2);
	open_random(&t, 8);
	nets_open(&borrower, text.data, &(struct moka_net_options){ .phase = MOKA_TEST, .for_run = true });
	T_OK(moka_net_share(borrower.n, t.n, &err), &err);
	e = fused_exec(borrower.n, false, NULL);
	same_as_fresh(e, borrower.n);
	fused_weights(t.n, 77);
	same_as_fresh(e, borrower.n);
	moka_exec_free(e);
	nets_close(&borrower);
	nets_close(&t);
	moka_buf_release(&text);
}

T_TEST(parts_of_a_pass_are_refused)
{
	struct moka_error err = { 0 };
	struct moka_exec *e;
	struct nets t;

	open_random(&t, 1);
	e = fused_exec(t.n, false, NULL);
	T_INT(moka_exec_forward(e, 1, t.n->n_layers, NULL, &err), MOKA_ERR_ARG);
	T_HAS(err.message, "whole passes only");
	T_INT(moka_exec_layer_forward(e, 1, &err), MOKA_ERR_ARG);
	T_INT(moka_exec_step_forward(e, -1, &err), MOKA_ERR_ARG);
	moka_exec_free(e);
	nets_close(&t);
}

static const struct CMUnitTest tests[] = {
	T_CASE(a_pass_allocates_nothing),    T_CASE(a_pass_makes_no_system_call),
	T_CASE(many_threads_one_net),	     T_CASE(one_pool_many_callers),
	T_CASE(watched_weights_are_seen),    T_CASE(a_net_that_shares_sees_changes_too),
	T_CASE(parts_of_a_pass_are_refused),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
