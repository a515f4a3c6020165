/* Files: mapping, hints for missing ones, atomic output, full disks, paths. */
#include "t.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct moka_error err;

/* Paths in the test's own folder; four may be in use at once. */
static const char *in_tmp(const char *name)
{
	static char paths[4][512];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", t_tmp(), name);
	return paths[turn];
}

static void expect_content(const char *path, const void *want, size_t n)
{
	struct moka_file f;

	T_OK(moka_file_open(&f, path, &err), &err);
	T_INT(f.size, n);
	T_TRUE(n == 0 ? !f.data : !memcmp(f.data, want, n));
	moka_file_release(&f);
	moka_file_release(&f);
}

/* Files in the folder whose names hold ".tmp-". */
static int leftovers(void)
{
	DIR *d = opendir(t_tmp());
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)))
		n += strstr(e->d_name, ".tmp-") != NULL;
	closedir(d);
	return n;
}

T_TEST(write_then_read)
{
	T_OK(moka_file_write(in_tmp("a.bin"), "one\0two", 7, &err), &err);
	expect_content(in_tmp("a.bin"), "one\0two", 7);
	T_OK(moka_file_write(in_tmp("a.bin"), NULL, 0, &err), &err);
	expect_content(in_tmp("a.bin"), NULL, 0);
	T_INT(leftovers(), 0);
}

T_TEST(missing_file_names_the_nearest)
{
	struct moka_file f;

	T_OK(moka_file_write(in_tmp("lenet_solver.prototxt"), "x", 1, &err), &err);
	T_OK(moka_file_write(in_tmp("other.txt"), "x", 1, &err), &err);
	T_INT(moka_file_open(&f, in_tmp("lenet_slover.prototxt"), &err), MOKA_ERR_IO);
	T_HAS(err.message, "lenet_slover.prototxt");
	T_HAS(err.message, "No such file");
	T_HAS(err.hint, "did you mean '");
	T_HAS(err.hint, "/lenet_solver.prototxt'?");
	T_INT(moka_file_open(&f, in_tmp("quite_else.caffemodel"), &err), MOKA_ERR_IO);
	T_STR(err.hint, "");
	T_INT(moka_file_open(&f, in_tmp("nofolder/x"), &err), MOKA_ERR_IO);
	T_HAS(err.hint, "no folder '");
	T_INT(moka_file_open(&f, "", &err), MOKA_ERR_IO);
	T_INT(moka_file_open(&f, NULL, &err), MOKA_ERR_IO);
	T_INT(moka_file_open(&f, in_tmp("quite_else"), NULL), MOKA_ERR_IO);
}

T_TEST(folders_are_refused)
{
	struct moka_file f;
	struct moka_out *o;

	T_INT(moka_file_open(&f, t_tmp(), &err), MOKA_ERR_IO);
	T_HAS(err.message, "folder");
	T_INT(moka_out_open(&o, t_tmp(), &err), MOKA_ERR_IO);
	T_HAS(err.message, "directory");
	T_FALSE(o);
}

static void *feed_pipe(void *path)
{
	int fd = open(path, O_WRONLY);
	char piece[1000];

	memset(piece, 'p', sizeof(piece));
	for (int i = 0; i < 200; i++)
		if (write(fd, piece, sizeof(piece)) != sizeof(piece))
			break;
	close(fd);
	return NULL;
}

T_TEST(pipes_and_devices_are_read)
{
	char path[512];
	struct moka_file f;
	pthread_t t;

	snprintf(path, sizeof(path), "%s", in_tmp("pipe"));
	T_INT(mkfifo(path, 0600), 0);
	T_INT(pthread_create(&t, NULL, feed_pipe, path), 0);
	T_OK(moka_file_open(&f, path, &err), &err);
	pthread_join(t, NULL);
	T_INT(f.size, 200000);
	T_INT(f.data[199999], 'p');
	T_FALSE(f.mapped);
	moka_file_forget(&f, f.data, f.size); /* nothing to forget, no harm */
	T_INT(f.data[0], 'p');
	moka_file_release(&f);
	expect_content("/dev/null", NULL, 0);
	T_INT(moka_file_open(&f, "/dev/zero", &err), MOKA_ERR_LIMIT);
	T_HAS(err.message, "/dev/zero");
	T_OK(moka_file_open(&f, "/proc/self/status", &err), &err); /* says it is empty */
	T_TRUE(f.size > 100);
	moka_file_release(&f);
}

T_TEST(forgetting_keeps_the_content)
{
	size_t n = 100000;
	char *bytes = malloc(n);
	struct moka_file f;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 31);
	T_OK(moka_file_write(in_tmp("big"), bytes, n, &err), &err);
	T_OK(moka_file_open(&f, in_tmp("big"), &err), &err);
	T_TRUE(f.mapped);
	moka_file_forget(&f, f.data, f.size);
	moka_file_forget(&f, f.data + 5000, 20000);
	moka_file_forget(&f, f.data + n - 3, 2);
	moka_file_forget(&f, f.data - 10, 20); /* not ours: ignored */
	T_TRUE(!memcmp(f.data, bytes, n));
	moka_file_release(&f);
	free(bytes);
}

T_TEST(output_is_seen_whole_or_not_at_all)
{
	struct moka_out *o;
	char piece[70000];
	struct moka_file f;

	memset(piece, 'n', sizeof(piece));
	T_OK(moka_file_write(in_tmp("model"), "old", 3, &err), &err);
	T_OK(moka_out_open(&o, in_tmp("model"), &err), &err);
	for (int i = 0; i < 10; i++)
		T_OK(moka_out_write(o, piece, sizeof(piece), &err), &err);
	expect_content(in_tmp("model"), "old", 3);
	T_INT(leftovers(), 1);
	moka_out_abort(o);
	T_INT(leftovers(), 0);
	expect_content(in_tmp("model"), "old", 3);

	T_OK(moka_out_open(&o, in_tmp("model"), &err), &err);
	for (int i = 0; i < 10; i++)
		T_OK(moka_out_write(o, piece, sizeof(piece), &err), &err);
	T_OK(moka_out_commit(o, &err), &err);
	T_INT(leftovers(), 0);
	T_OK(moka_file_open(&f, in_tmp("model"), &err), &err);
	T_INT(f.size, 10 * sizeof(piece));
	T_TRUE(!memcmp(f.data + 9 * sizeof(piece), piece, sizeof(piece)));
	moka_file_release(&f);
	moka_out_abort(NULL);
}

T_TEST(links_and_modes_survive)
{
	struct stat st;

	T_OK(moka_file_write(in_tmp("real"), "1", 1, &err), &err);
	T_INT(chmod(in_tmp("real"), 0640), 0);
	T_INT(symlink("real", in_tmp("link")), 0);
	T_OK(moka_file_write(in_tmp("link"), "22", 2, &err), &err);
	expect_content(in_tmp("real"), "22", 2);
	T_INT(lstat(in_tmp("link"), &st), 0);
	T_TRUE(S_ISLNK(st.st_mode));
	T_INT(stat(in_tmp("real"), &st), 0);
	T_INT(st.st_mode & 0777, 0640);
	/* a device is written to, not replaced */
	T_OK(moka_file_write("/dev/null", "x", 1, &err), &err);
	T_INT(stat("/dev/null", &st), 0);
	T_TRUE(S_ISCHR(st.st_mode));
}

T_TEST(leftover_of_a_crash_is_stepped_around)
{
	char path[600];

	snprintf(path, sizeof(path), "%s.tmp-%ld", in_tmp("stale"), (long)getpid());
	T_OK(moka_file_write(path, "dead", 4, &err), &err);
	T_OK(moka_file_write(in_tmp("stale"), "live", 4, &err), &err);
	expect_content(in_tmp("stale"), "live", 4);
	expect_content(path, "dead", 4);
	T_INT(unlink(path), 0);
}

T_TEST(full_disk_leaves_the_old_file)
{
	struct rlimit was, small;
	struct moka_out *o;
	enum moka_status s = MOKA_OK;
	size_t n = 1 << 20;
	char *bytes = calloc(1, n);

	T_OK(moka_file_write(in_tmp("snap"), "whole", 5, &err), &err);
	T_INT(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = (struct rlimit){ 400000, was.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	T_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
	s = moka_file_write(in_tmp("snap"), bytes, n, &err);
	struct moka_error first = err;
	/* the same found only at commit, the bytes still being in the buffer */
	T_OK(moka_out_open(&o, in_tmp("snap"), &err), &err);
	enum moka_status w1 = moka_out_write(o, bytes, 250000, &err), w2 = moka_out_write(o, bytes, 200000, &err);
	enum moka_status c = moka_out_commit(o, &err);
	T_INT(setrlimit(RLIMIT_FSIZE, &was), 0);
	T_INT(s, MOKA_ERR_IO);
	T_HAS(first.message, "/snap'");
	T_HAS(first.message, "1048576 bytes");
	T_HAS(first.message, "File too large");
	T_HAS(first.hint, "unchanged");
	T_INT(w1, MOKA_OK);
	T_INT(w2, MOKA_OK);
	T_INT(c, MOKA_ERR_IO);
	T_HAS(err.message, "450000 bytes");
	expect_content(in_tmp("snap"), "whole", 5);
	T_INT(leftovers(), 0);
	free(bytes);
}

T_TEST(full_device_says_so)
{
	if (access("/dev/full", W_OK))
		T_SKIP("no /dev/full");
	T_INT(moka_file_write("/dev/full", "x", 1, &err), MOKA_ERR_IO);
	T_HAS(err.message, "/dev/full");
	T_HAS(err.message, "No space left");
}

T_TEST(missing_folder_for_output)
{
	T_INT(moka_file_write(in_tmp("not/there"), "x", 1, &err), MOKA_ERR_IO);
	T_HAS(err.message, "not/there");
	T_HAS(err.hint, "folder");
}

T_TEST(paths_are_found_beside)
{
	struct moka_arena a;
	char beside[512], want[512];

	moka_arena_init(&a, 0);
	T_OK(moka_file_write(in_tmp("net.prototxt"), "x", 1, &err), &err);
	snprintf(beside, sizeof(beside), "%s", in_tmp("solver.prototxt"));
	snprintf(want, sizeof(want), "%s", in_tmp("net.prototxt"));
	T_STR(moka_path_resolve(&a, "net.prototxt", beside), want);
	T_STR(moka_path_resolve(&a, "nowhere.prototxt", beside), "nowhere.prototxt");
	T_STR(moka_path_resolve(&a, "/nowhere", beside), "/nowhere");
	T_STR(moka_path_resolve(&a, "net.prototxt", "solver.prototxt"), "net.prototxt");
	T_STR(moka_path_resolve(&a, "net.prototxt", NULL), "net.prototxt");
	T_STR(moka_path_resolve(&a, "", beside), "");
	T_TRUE(moka_path_exists(want));
	T_FALSE(moka_path_exists(""));
	T_TRUE(moka_has_suffix("a.CaffeModel", ".caffemodel"));
	T_FALSE(moka_has_suffix("l", ".caffemodel"));
	moka_arena_release(&a);
}

/* Only files of that prefix, of processes that are gone. */
T_TEST(leftovers_of_the_dead_are_swept)
{
	static const char *const names[] = { "s_iter_5.caffemodel.tmp-2147483646",
					     "s_iter_5.solverstate.tmp-2147483646-3",
					     "s_best.caffemodel.tmp-2147483646.txt",
					     "t_iter_5.caffemodel.tmp-2147483646", "s_iter_6.caffemodel" };
	char alive[64];

	snprintf(alive, sizeof(alive), "s_iter_7.caffemodel.tmp-%ld", (long)getpid());
	for (size_t i = 0; i < MOKA_COUNT(names); i++)
		close(open(in_tmp(names[i]), O_CREAT | O_WRONLY, 0600));
	close(open(in_tmp(alive), O_CREAT | O_WRONLY, 0600));
	T_INT(moka_out_sweep(in_tmp("s_")), 2);
	for (size_t i = 0; i < MOKA_COUNT(names); i++)
		T_INT(access(in_tmp(names[i]), F_OK), i < 2 ? -1 : 0);
	T_INT(access(in_tmp(alive), F_OK), 0);
	T_INT(moka_out_sweep(in_tmp("s_")), 0);
	for (size_t i = 2; i < MOKA_COUNT(names); i++)
		unlink(in_tmp(names[i]));
	unlink(in_tmp(alive));
}

static const struct CMUnitTest tests[] = {
	T_CASE(write_then_read),
	T_CASE(missing_file_names_the_nearest),
	T_CASE(folders_are_refused),
	T_CASE(pipes_and_devices_are_read),
	T_CASE(forgetting_keeps_the_content),
	T_CASE(output_is_seen_whole_or_not_at_all),
	T_CASE(links_and_modes_survive),
	T_CASE(leftover_of_a_crash_is_stepped_around),
	T_CASE(full_disk_leaves_the_old_file),
	T_CASE(full_device_says_so),
	T_CASE(missing_folder_for_output),
	T_CASE(leftovers_of_the_dead_are_swept),
	T_CASE(paths_are_found_beside),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
