/*
 * train_signals.c - what comes from outside while a run goes on.
 *
 * Ctrl-C asks for a snapshot and the end, a second one ends at once; SIGHUP asks for a snapshot. SIGBUS comes where a mapped file
 * (a database that someone truncates, a disk that fails) loses the bytes that are being read: nothing can be saved any more in
 * that moment, but which snapshot is the last whole one can be said, and which file it was.
 */
#include "cli/train.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

volatile sig_atomic_t train_request;

static void on_interrupt(int sig)
{
	train_request = MOKA_REQUEST_STOP;
	signal(sig, SIG_DFL);
}

static void on_hangup(int sig)
{
	(void)sig;
	train_request = MOKA_REQUEST_SNAPSHOT;
}

static void ignore_request(int sig)
{
	(void)sig;
}

/* ---- last words ------------------------------------------------------------------------------------- */

/* Two texts in turn: the one that is being written is never the one that a signal finds. */
static char words[2][MOKA_MAX_NAME + 256];
static atomic_int current;

void train_last_words(const char *state, int64_t iter)
{
	int next = !atomic_load(&current);

	if (state)
		snprintf(words[next], sizeof(words[next]),
			 "hint: the last complete snapshot is '%s' (iteration %" PRId64
			 "): mend the file, and go on with --snapshot\n",
			 state, iter);
	else
		snprintf(words[next], sizeof(words[next]), "hint: no snapshot was written yet\n");
	atomic_store(&current, next);
}

static void put(const char *s, size_t n)
{
	while (n) {
		ssize_t done = write(STDERR_FILENO, s, n);

		if (done <= 0)
			return;
		s += done, n -= (size_t)done;
	}
}

static uintptr_t read_hex(const char **p)
{
	uintptr_t v = 0;

	for (;; (*p)++) {
		char c = **p;
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return v;
		v = v * 16 + (uintptr_t)digit;
	}
}

/* "7f00-7f80 r--s 00000000 08:01 1234   /data/train_lmdb/data.mdb": the path where the line's range holds `at`. */
static const char *mapped_path(const char *line, uintptr_t at)
{
	uintptr_t begin = read_hex(&line), end;

	if (*line++ != '-')
		return NULL;
	end = read_hex(&line);
	return at >= begin && at < end ? strchr(line, '/') : NULL;
}

/* Calls that a handler may make: open, read, write. */
static void put_file_at(uintptr_t at)
{
	static char line[MOKA_MAX_NAME + 128], block[4096];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	while (fd >= 0 && (got = read(fd, block, sizeof(block))) > 0)
		for (ssize_t i = 0; i < got; i++) {
			const char *path;

			if (block[i] != '\n') {
				if (n < sizeof(line) - 1)
					line[n++] = block[i];
				continue;
			}
			line[n] = 0;
			n = 0;
			path = mapped_path(line, at);
			if (path) {
				put("'", 1);
				put(path, strlen(path));
				put("'", 1);
				return;
			}
		}
	put("a file", 6);
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
	static const char before[] = "\nmoka train: error: ";
	static const char after[] = " lost bytes while it was being read: it was truncated, or its disk fails\n";

	(void)sig, (void)context;
	put(before, sizeof(before) - 1);
	put_file_at((uintptr_t)info->si_addr);
	put(after, sizeof(after) - 1);
	put(words[atomic_load(&current)], strlen(words[atomic_load(&current)]));
	_exit(CLI_FAILED);
}

void train_watch_signals(const struct cli_call *c)
{
	static const char *const effects[] = { "stop", "snapshot", "none", NULL };
	void (*const handlers[])(int) = { on_interrupt, on_hangup, ignore_request };
	struct sigaction bus = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };
	int on_int, on_hup;

	signal(SIGXFSZ,
	       SIG_IGN); /* a file that may not grow is an error like a full disk, with its message, not an end */
	if (cli_choice(c, "sigint_effect", effects, 0, &on_int))
		signal(SIGINT, handlers[on_int]);
	if (cli_choice(c, "sighup_effect", effects, 1, &on_hup))
		signal(SIGHUP, handlers[on_hup]);
	sigaction(SIGBUS, &bus, NULL);
}
