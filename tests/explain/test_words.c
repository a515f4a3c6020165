/*
 * explain/: numbers, widths, cutting, and the schedule's rates against those that training uses.
 */
#include "explain/internal.h"
#include "solvers/solver.h"
#include "t.h"

#include <math.h>
#include <string.h>

static struct moka_arena arena;

T_TEST(numbers)
{
	moka_arena_init(&arena, 0);
	T_STR(moka__number(&arena, 0), "0");
	T_STR(moka__number(&arena, 999), "999");
	T_STR(moka__number(&arena, 1000), "1,000");
	T_STR(moka__number(&arena, INT64_MAX), "9,223,372,036,854,775,807");
	T_STR(moka__number(&arena, -1), "?");
	T_STR(moka__big(&arena, 4440), "4,440");
	T_STR(moka__big(&arena, 1582671872), "1,582,671,872 (1.58 G)");
	T_STR(moka__bytes(&arena, 1816), "1.8 KiB");
	T_STR(moka__bytes(&arena, 100), "100 bytes");
	T_STR(moka__bytes(&arena, -1), "?");
	T_STR(moka__real(&arena, (double)0.01f), "0.01");
	T_STR(moka__real(&arena, (double)0.0005f), "0.0005");
	T_STR(moka__real(&arena, 10), "10");
	moka_arena_release(&arena);
}

T_TEST(widths)
{
	T_INT(moka__columns("abc"), 3);
	T_INT(moka__columns("…"), 1);
	T_INT(moka__columns("数据"), 4);
	T_INT(moka__columns("e\314\201"), 1);
	T_INT(moka__columns("\377\376"), 2); /* shown as two replacement characters */
}

/* Whatever is cut: never wider than asked, never in the middle of a character. */
T_TEST(cutting)
{
	static const char *const texts[] = {
		"", "a", "inception_3a/3x3_reduce", "数据输入层的名字", "a数b据c", "\377\377\377\377\377\377"
	};

	moka_arena_init(&arena, 0);
	for (size_t i = 0; i < MOKA_COUNT(texts); i++)
		for (int columns = 0; columns < 30; columns++)
			for (int how = 0; how < 4; how++) {
				const char *s = moka__cut(&arena, texts[i], columns, how & 1, how & 2);

				T_TRUE(moka__columns(s) <= columns);
			}
	T_STR(moka__cut(&arena, "abcdefgh", 5, false, false), "abcd…");
	T_STR(moka__cut(&arena, "abcdefgh", 5, false, true), "abc..");
	T_STR(moka__cut(&arena, "abcdefgh", 6, true, false), "ab…fgh");
	moka_arena_release(&arena);
}

T_TEST(controls_are_shown_as_marks)
{
	struct moka_buf b;

	moka_buf_init(&b, 0);
	moka__put_clean(&b, "a\033[31mb\302\233\342\200\256c", false);
	T_STR(b.data, "a?[31mb\357\277\275\357\277\275?c");
	moka_buf_release(&b);
}

/* A fresh reading of each policy: explain can't see the solvers' floor, so it has its own formulas. */
T_TEST(rates_are_those_of_training)
{
	static const char *const solvers[] = {
		"base_lr: 0.1 lr_policy: \"fixed\" max_iter: 100",
		"base_lr: 0.1 lr_policy: \"step\" gamma: 0.5 stepsize: 10 max_iter: 100",
		"base_lr: 0.1 lr_policy: \"exp\" gamma: 0.99 max_iter: 100",
		"base_lr: 0.1 lr_policy: \"inv\" gamma: 0.01 power: 0.75 max_iter: 100",
		"base_lr: 0.1 lr_policy: \"multistep\" gamma: 0.5 stepvalue: 10 stepvalue: 50 stepvalue: 60 max_iter: 100",
		"base_lr: 0.1 lr_policy: \"poly\" power: 0.5 max_iter: 100",
		"base_lr: 0.1 lr_policy: \"sigmoid\" gamma: 0.1 stepsize: 30 max_iter: 100",
	};

	for (size_t i = 0; i < MOKA_COUNT(solvers); i++) {
		struct moka_text text = { .path = "solver", .data = solvers[i], .size = strlen(solvers[i]) };
		struct moka_findings f;
		struct moka_msg *m;

		moka_arena_init(&arena, 0);
		moka_findings_init(&f);
		T_OK(moka_text_parse(&arena, &text, &moka_solver_message, &moka_layer_schema, &f, &m), NULL);
		for (int64_t iter = 0; iter <= 110; iter++) {
			double mine = moka__rate(m, iter), theirs = moka_solver_rate(m, iter);

			T_TRUE(fabs(mine - theirs) <= 1e-12 * fabs(theirs));
		}
		moka_findings_release(&f);
		moka_arena_release(&arena);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(numbers),
	T_CASE(widths),
	T_CASE(cutting),
	T_CASE(controls_are_shown_as_marks),
	T_CASE(rates_are_those_of_training),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
