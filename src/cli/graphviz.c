/*
 * graphviz.c - a graph in dot's language -> a picture, by Graphviz's own program `dot`.
 *
 * The text goes through an unnamed temporary file and the picture comes back through a pipe, so that neither side waits for
 * the other. `dot` is found on PATH; where it is missing the message says how to get it.
 */
#include "cli.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The text as a file that starts at its beginning and has no name; NULL: errno says why. */
static FILE *text_file(const struct moka_buf *dot)
{
	FILE *f = tmpfile();

	if (!f)
		return NULL;
	if (fwrite(dot->data, 1, dot->len, f) != dot->len || fflush(f) || lseek(fileno(f), 0, SEEK_SET)) {
		fclose(f);
		return NULL;
	}
	return f;
}

static int spawn_dot(const char *form, int in, const int out[2], pid_t *pid)
{
	char option[16];
	char *argv[] = { "dot", option, NULL };
	posix_spawn_file_actions_t actions;
	int status;

	snprintf(option, sizeof(option), "-T%s", form);
	if (posix_spawn_file_actions_init(&actions))
		return ENOMEM;
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, out[0]);
	posix_spawn_file_actions_addclose(&actions, out[1]);
	status = posix_spawnp(pid, "dot", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return status;
}

static void read_all(int fd, struct moka_buf *out)
{
	char piece[65536];
	ssize_t n;

	while ((n = read(fd, piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			moka_buf_add(out, piece, (size_t)n);
}

static enum moka_status run_dot(const char *form, FILE *text, struct moka_buf *out, struct moka_error *err)
{
	int fd[2], status, how;
	pid_t pid;

	if (pipe(fd))
		return moka_fail(err, MOKA_ERR_IO, "Graphviz's program 'dot' can't be started: %s", strerror(errno));
	status = spawn_dot(form, fileno(text), fd, &pid);
	close(fd[1]);
	if (status) {
		close(fd[0]);
		moka_fail(err, MOKA_ERR_UNSUPPORTED,
			  "a picture needs Graphviz's program 'dot', which can't be started: %s", strerror(status));
		moka_fail_hint(
			err,
			"install Graphviz (on Debian: apt install graphviz), or take --format dot or html, which need nothing");
		return MOKA_ERR_UNSUPPORTED;
	}
	read_all(fd[0], out);
	close(fd[0]);
	while (waitpid(pid, &how, 0) < 0)
		if (errno != EINTR)
			return moka_fail(err, MOKA_ERR_IO, "'dot' can't be waited for: %s", strerror(errno));
	if (!WIFEXITED(how) || WEXITSTATUS(how) || !out->len)
		return moka_fail(err, MOKA_ERR_UNSUPPORTED, "Graphviz's program 'dot' made no %s (status %d)", form,
				 how);
	return out->failed ? moka_fail(err, MOKA_ERR_NOMEM, "no memory for the picture") : MOKA_OK;
}

enum moka_status cli_graphviz(const struct moka_buf *dot, const char *form, struct moka_buf *out,
			      struct moka_error *err)
{
	enum moka_status status;
	FILE *text;

	if (dot->failed)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for the graph");
	text = text_file(dot);
	if (!text)
		return moka_fail(err, MOKA_ERR_IO, "no temporary file for the graph: %s", strerror(errno));
	status = run_dot(form, text, out, err);
	fclose(text);
	return status;
}
