/*
 * guess.c - what a file is, from its bytes alone.
 *
 * People hand over pointers that Git LFS left behind, web pages that a download made, a .solverstate for a .caffemodel. This file
 * knows them by their first bytes, by their top-level names (text) or field numbers (binary), and has the sentence
 * that says so. It reads a few kilobytes and skips over the rest: a net of half a gigabyte costs nothing.
 */
#include "model/internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

static bool starts(const struct moka_file *f, const char *magic, size_t n)
{
	return f->size >= n && !memcmp(f->data, magic, n);
}

size_t moka__bom_bytes(const void *data, size_t n)
{
	return n >= 3 && !memcmp(data, "\xef\xbb\xbf", 3) ? 3 : 0;
}

/* ---- text -------------------------------------------------------------------------------- */

/* Few control bytes: text, in whatever encoding. A net's binary has one in every field tag. */
static bool is_text(const uint8_t *p, size_t n)
{
	size_t odd = 0;

	n = MOKA_MIN(n, (size_t)65536);
	for (size_t i = 0; i < n; i++)
		odd += p[i] < 32 && !(p[i] >= 9 && p[i] <= 13);
	return odd * 200 < n || (odd <= 1 && n && p[n - 1] < 32); /* one Ctrl-Z at the end, as DOS wrote it */
}

static bool marker_at(const char *p, const char *end, const char *marker)
{
	return (size_t)(end - p) >= 7 && !memcmp(p, marker, 7) &&
	       (p + 7 == end || p[7] == ' ' || p[7] == '\n' || p[7] == '\r');
}

uint32_t moka__conflict_line(const char *text, size_t n)
{
	const char *p = text, *end = text + n;

	for (uint32_t line = 1; p < end; line++) {
		if (marker_at(p, end, "<<<<<<<") || marker_at(p, end, ">>>>>>>"))
			return line;
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			break;
		p++;
	}
	return 0;
}

static bool is_html(const char *p, size_t n)
{
	static const char *const begin[] = { "<!doctype", "<html", "<head", "<?xml", "<!--" };
	size_t at = moka__bom_bytes(p, n);

	while (at < n && isspace((unsigned char)p[at]))
		at++;
	for (size_t i = 0; i < MOKA_COUNT(begin); i++)
		if (n - at >= strlen(begin[i]) && !strncasecmp(p + at, begin[i], strlen(begin[i])))
			return true;
	return false;
}

static bool has_field(const struct moka_message *m, const char *name, size_t n)
{
	for (const struct moka_field *f = m->fields; f->name; f++)
		if (strlen(f->name) == n && !memcmp(f->name, name, n))
			return true;
	return false;
}

static bool is_name(int c)
{
	return isalnum(c) || c == '_';
}

static const char *skip_string(const char *p, const char *end)
{
	const char quote = *p++;

	for (; p < end && *p != quote && *p != '\n'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

/* The next name of a field outside all braces, or NULL. Not a parser: it needs to be right only for files that are. */
static const char *next_top_name(const char *p, const char *end, int *depth, size_t *n)
{
	while (p < end) {
		const unsigned char c = (unsigned char)*p;

		if (c == '#') {
			p = memchr(p, '\n', (size_t)(end - p));
			if (!p)
				return NULL;
		} else if (c == '"' || c == '\'') {
			p = skip_string(p, end);
		} else if (is_name(c)) {
			const char *word = p, *after;

			while (p < end && is_name((unsigned char)*p))
				p++;
			for (after = p; after < end && isspace((unsigned char)*after);)
				after++;
			if (*depth == 0 && !isdigit(c) && after < end && strchr(":{<", *after)) {
				*n = (size_t)(p - word);
				return word;
			}
		} else {
			*depth += c == '{' || c == '<' || c == '[';
			*depth -= (c == '}' || c == '>' || c == ']') && *depth > 0;
			p++;
		}
	}
	return NULL;
}

/* A solver where more of its top-level names are a solver's alone than a net's alone. One `layer` settles it. */
static enum moka_file_guess guess_text(const char *text, size_t n)
{
	const char *p = text, *end = text + n;
	int depth = 0, solver = 0, net = 0;
	size_t len;

	for (int i = 0; i < 1000 && (p = next_top_name(p, end, &depth, &len)); i++, p += len) {
		const bool of_net = has_field(&moka_net_message, p, len),
			   of_solver = has_field(&moka_solver_message, p, len);

		if ((len == 5 && !memcmp(p, "layer", 5)) || (len == 6 && !memcmp(p, "layers", 6)))
			return MOKA_GUESS_TEXT_NET;
		net += of_net && !of_solver;
		solver += of_solver && !of_net;
	}
	if (!solver && !net)
		return MOKA_GUESS_TEXT;
	return solver > net ? MOKA_GUESS_TEXT_SOLVER : MOKA_GUESS_TEXT_NET;
}

/* ---- binary -------------------------------------------------------------------------------- */

/* Which wire types the top-level fields 1..63 came with (a bit each), and whether field 100 did. */
struct scan {
	uint8_t wire[64];
	bool layer, other;
	int fields;
	const uint8_t *bytes2; /* content of field 2, if it is a string */
	size_t n2;
};

static bool scan_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (int shift = 0; *p < end && shift < 64; shift += 7) {
		const uint8_t b = *(*p)++;

		*v |= (uint64_t)(b & 127) << shift;
		if (b < 128)
			return true;
	}
	return false;
}

static void scan_note(struct scan *s, uint64_t number, int wire)
{
	if (number < 64)
		s->wire[number] |= (uint8_t)(1 << wire);
	else if (number == 100 && wire == 2)
		s->layer = true;
	else
		s->other = true;
	s->fields++;
}

/* Steps over one field's value; false where it breaks off or can't be one. */
static bool scan_skip(struct scan *s, uint64_t number, int wire, const uint8_t **p, const uint8_t *end)
{
	const size_t left = (size_t)(end - *p);
	uint64_t v;

	switch (wire) {
	case 0:
		return scan_varint(p, end, &v);
	case 1:
		return left >= 8 && (*p += 8, true);
	case 5:
		return left >= 4 && (*p += 4, true);
	case 2:
		if (!scan_varint(p, end, &v) || v > (uint64_t)(end - *p))
			return false;
		if (number == 2 && !s->bytes2) {
			s->bytes2 = *p;
			s->n2 = (size_t)v;
		}
		*p += v;
		return true;
	default:
		return false;
	}
}

/* Fields up to the first one that can't be followed: a file that was cut short is still known by its beginning. */
static void scan_wire(struct scan *s, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	uint64_t tag;

	memset(s, 0, sizeof(*s));
	while (p < end && s->fields < 4096) {
		if (!scan_varint(&p, end, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911 || (tag & 7) > 5)
			return;
		scan_note(s, tag >> 3, (int)(tag & 7));
		if (!scan_skip(s, tag >> 3, (int)(tag & 7), &p, end))
			return;
	}
}

enum { V = 1 << 0, D = 1 << 1, L = 1 << 2, F = 1 << 5 };

/* Every field seen is one of a message's, with a fitting wire type. `allowed` is indexed by number, 0 ends it. */
static bool only(const struct scan *s, const uint8_t *allowed, size_t n)
{
	if (s->layer || s->other)
		return false;
	for (size_t i = 1; i < 64; i++)
		if (s->wire[i] & ~(i < n ? allowed[i] : 0))
			return false;
	return s->fields > 0;
}

/* Field 2 of a net is a V1 layer, of a solver the name of a file: a layer is a message with a name (4) or a V0 layer (1) inside. */
static bool looks_like_v1_layer(const struct scan *s)
{
	struct scan inner;

	if (!s->bytes2)
		return false;
	scan_wire(&inner, s->bytes2, s->n2);
	return inner.fields > 1 && ((inner.wire[4] | inner.wire[1]) & L);
}

static enum moka_file_guess guess_wire(const struct scan *s)
{
	static const uint8_t state[] = { 0, V, L, L, V };
	static const uint8_t blob[] = { 0, V, V, V, V, L | F, L | F, L, L | D, L | D, V, V, L, L };
	static const uint8_t datum[] = { 0, V, V, V, L, V, L | F, V, V };
	static const uint8_t net[] = { 0, L, L, L, V | L, V, L, V, L };

	if (s->layer)
		return MOKA_GUESS_CAFFEMODEL;
	if (only(s, state, MOKA_COUNT(state)) && (s->wire[2] | s->wire[3]) && s->wire[1])
		return MOKA_GUESS_SOLVERSTATE;
	if (only(s, datum, MOKA_COUNT(datum)) && s->wire[4])
		return MOKA_GUESS_DATUM;
	if (only(s, blob, MOKA_COUNT(blob)) && (s->wire[5] | s->wire[8] | s->wire[12]))
		return MOKA_GUESS_MEAN;
	if (only(s, net, MOKA_COUNT(net)) && (s->wire[1] | s->wire[2] | s->wire[3] | s->wire[8]))
		return MOKA_GUESS_CAFFEMODEL;
	if (looks_like_v1_layer(s))
		return MOKA_GUESS_CAFFEMODEL;
	if ((s->wire[5] & F) || (s->wire[24] & L) || ((s->wire[7] & V) && (s->wire[8] & L)))
		return MOKA_GUESS_SOLVER;
	return MOKA_GUESS_UNKNOWN;
}

/* ---- both ------------------------------------------------------------------------------------ */

static enum moka_file_guess guess_magic(const struct moka_file *f)
{
	static const struct {
		const char *magic;
		size_t n, at;
		enum moka_file_guess guess;
	} known[] = {
		{ "\x89HDF\r\n\x1a\n", 8, 0, MOKA_GUESS_HDF5 },
		{ "\x89PNG\r\n\x1a\n", 8, 0, MOKA_GUESS_PNG },
		{ "\xff\xd8\xff", 3, 0, MOKA_GUESS_JPEG },
		{ "\x93NUMPY", 6, 0, MOKA_GUESS_NPY },
		{ "PK\3\4", 4, 0, MOKA_GUESS_ZIP },
		{ "\x1f\x8b\x08", 3, 0, MOKA_GUESS_GZIP },
		{ "\xde\xc0\xef\xbe", 4, 16, MOKA_GUESS_LMDB },
		{ "\xff\xfe", 2, 0, MOKA_GUESS_UTF16 },
		{ "\xfe\xff", 2, 0, MOKA_GUESS_UTF16 },
		{ "version https://git-lfs", 23, 0, MOKA_GUESS_LFS },
		{ "version https://hawser", 22, 0, MOKA_GUESS_LFS },
	};

	for (size_t i = 0; i < MOKA_COUNT(known); i++)
		if (f->size >= known[i].at + known[i].n && !memcmp(f->data + known[i].at, known[i].magic, known[i].n))
			return known[i].guess;
	return MOKA_GUESS_UNKNOWN;
}

enum moka_file_guess moka_model_guess(const struct moka_file *f)
{
	enum moka_file_guess g;
	struct scan s;

	if (!f->size)
		return MOKA_GUESS_EMPTY;
	g = guess_magic(f);
	if (g != MOKA_GUESS_UNKNOWN)
		return g;
	if (is_text(f->data, f->size)) {
		const char *text = (const char *)f->data;

		if (is_html(text, f->size))
			return MOKA_GUESS_HTML;
		if (moka__conflict_line(text, f->size))
			return MOKA_GUESS_CONFLICT;
		return guess_text(text, f->size);
	}
	scan_wire(&s, f->data, f->size);
	return guess_wire(&s);
}

const char *moka_guess_text(enum moka_file_guess g)
{
	switch (g) {
	case MOKA_GUESS_EMPTY:
		return "an empty file";
	case MOKA_GUESS_TEXT_NET:
		return "a net in text (.prototxt)";
	case MOKA_GUESS_TEXT_SOLVER:
		return "a solver file in text";
	case MOKA_GUESS_TEXT:
		return "a text";
	case MOKA_GUESS_CAFFEMODEL:
		return "a net in binary (.caffemodel)";
	case MOKA_GUESS_SOLVER:
		return "a solver file in binary";
	case MOKA_GUESS_SOLVERSTATE:
		return "a snapshot of a solver's state (.solverstate)";
	case MOKA_GUESS_MEAN:
		return "a single blob, such as a mean image (.binaryproto)";
	case MOKA_GUESS_DATUM:
		return "one record of a Caffe database (a Datum)";
	case MOKA_GUESS_HDF5:
		return "an HDF5 file";
	case MOKA_GUESS_NPY:
		return "a NumPy array (.npy)";
	case MOKA_GUESS_JPEG:
		return "a JPEG picture";
	case MOKA_GUESS_PNG:
		return "a PNG picture";
	case MOKA_GUESS_LFS:
		return "a Git LFS pointer";
	case MOKA_GUESS_CONFLICT:
		return "a text with Git's merge-conflict markers";
	case MOKA_GUESS_HTML:
		return "a web page";
	case MOKA_GUESS_ZIP:
		return "a zip archive (perhaps .npz, or a PyTorch or Keras model)";
	case MOKA_GUESS_GZIP:
		return "a gzip-compressed file";
	case MOKA_GUESS_LMDB:
		return "an LMDB database";
	case MOKA_GUESS_UTF16:
		return "a text in UTF-16";
	case MOKA_GUESS_UNKNOWN:
		break;
	}
	return "a file of no kind that Moka knows";
}

/* "size 12345" of an LFS pointer; 0 where it says none. */
static uint64_t lfs_size(const struct moka_file *f)
{
	const char *p = memmem(f->data, f->size, "\nsize ", 6);
	uint64_t n = 0;

	if (!p)
		return 0;
	for (p += 6; p < (const char *)f->data + f->size && isdigit((unsigned char)*p) && n < UINT64_MAX / 16; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	return n;
}

static void lfs_fail(struct moka_error *err, const char *path, const struct moka_file *f)
{
	const uint64_t n = lfs_size(f);

	if (n)
		moka_fail(err, MOKA_ERR_FORMAT,
			  "%s: this is a Git LFS pointer; the file it stands for has %" PRIu64 " bytes and is not here",
			  path, n);
	else
		moka_fail(err, MOKA_ERR_FORMAT, "%s: this is a Git LFS pointer; the file it stands for is not here",
			  path);
	moka_fail_hint(err, "run `git lfs pull` in its repository, or download the file itself");
}

/* A state names its weights: that is the file to give. */
static void state_hint(struct moka_error *err, const struct moka_file *f)
{
	struct scan s;

	scan_wire(&s, f->data, f->size);
	if (s.bytes2 && s.n2 && s.n2 < 256 && is_text(s.bytes2, s.n2))
		moka_fail_hint(
			err,
			"the weights of this snapshot are in '%.*s'; to go on training, give the state as --snapshot",
			(int)s.n2, (const char *)s.bytes2);
	else
		moka_fail_hint(err,
			       "give the .caffemodel written with it; to go on training, give the state as --snapshot");
}

static const char *hint_for(enum moka_file_guess g, const char *wanted)
{
	const bool net = strstr(wanted, "net"), weights = strstr(wanted, "weights"),
		   state = strstr(wanted, "solverstate");

	switch (g) {
	case MOKA_GUESS_CONFLICT:
		return "settle the merge in this file first";
	case MOKA_GUESS_HTML:
		return "a download went wrong: fetch the file itself (on GitHub, the 'raw' link)";
	case MOKA_GUESS_EMPTY:
		return "was a download or a copy broken off?";
	case MOKA_GUESS_GZIP:
		return "unpack it with gunzip (or tar xzf) first";
	case MOKA_GUESS_ZIP:
		return "unpack it first; models of other frameworks must be converted to Caffe's form";
	case MOKA_GUESS_UTF16:
		return "save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW";
	case MOKA_GUESS_CAFFEMODEL:
		return state ? "a .caffemodel holds weights only; to start from them use --weights, to resume give the .solverstate"
			     : "give it as weights (-w)";
	case MOKA_GUESS_TEXT_NET:
		return weights ? "this describes the net; the weights are in a .caffemodel or .caffemodel.h5" : NULL;
	case MOKA_GUESS_TEXT_SOLVER:
	case MOKA_GUESS_SOLVER:
		return weights ? "weights are in a .caffemodel or .caffemodel.h5"
			       : "a solver goes to `moka train --solver`";
	case MOKA_GUESS_MEAN:
		return net || weights ? "a mean image is given with --mean, or as mean_file in transform_param" : NULL;
	case MOKA_GUESS_HDF5:
		return net ? "HDF5 holds weights or data, not the net: give the net's .prototxt, and this file as weights (-w)"
			   : NULL;
	case MOKA_GUESS_NPY:
	case MOKA_GUESS_JPEG:
	case MOKA_GUESS_PNG:
		return net ? "give the net's .prototxt here, and this file as input: -i BLOB=FILE" : NULL;
	case MOKA_GUESS_LMDB:
		return "a database is named by a Data layer's data_param { source: ... }";
	default:
		return NULL;
	}
}

enum moka_status moka_guess_fail(struct moka_error *err, const char *path, const struct moka_file *f,
				 enum moka_file_guess g, const char *wanted)
{
	const char *hint = hint_for(g, wanted);

	if (g == MOKA_GUESS_LFS) {
		lfs_fail(err, path, f);
		return MOKA_ERR_FORMAT;
	}
	if (g == MOKA_GUESS_UNKNOWN && starts(f, "\0\0\0\0", 4))
		moka_fail(err, MOKA_ERR_FORMAT,
			  "%s: this begins with zeros and is not %s; was a download or a copy broken off?", path,
			  wanted);
	else
		moka_fail(err, MOKA_ERR_FORMAT, "%s: this is %s, not %s", path, moka_guess_text(g), wanted);
	if (g == MOKA_GUESS_SOLVERSTATE)
		state_hint(err, f);
	else if (hint)
		moka_fail_hint(err, "%s", hint);
	return MOKA_ERR_FORMAT;
}
