/*
 * cli.h - the contract between a command and the program.
 *
 * A command is one file: a constant struct that says what it is called, which options it takes, what its help says,
 * and a function that runs it. The list of commands is in cli/meson.build, one word each; main.c makes the table from it.
 * To add one: write <word>.c with `const struct cli_command cli_command_<word>`, add the word.
 *
 *   main.c     dispatch, help, --version, the names of Caffe's own tools
 *   options.c  words -> struct cli_call, from the tables
 *   report.c   findings, errors, notes on standard error; results on standard output; exit status
 *   open.c     what most commands do first: model, net, weights, threads
 *   plugin.c   --plugin and MOKA_PLUGIN_PATH: layer types from shared objects
 *
 * Results go to standard output, everything else to standard error. A command returns its exit status and never calls exit().
 * Names here start with cli_ and not moka_: nothing of this floor is in the library.
 */
#ifndef MOKA_CLI_H
#define MOKA_CLI_H

#include "data/data.h"
#include "model/model.h"
#include "net/net.h"

enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1, /* the model, the data or the run is at fault */
	CLI_USAGE = 2,	/* the call is at fault */
};

/* ---- commands --------------------------------------------------------------------------------- */

enum cli_option_flags {
	CLI_REPEAT = 1 << 0,   /* may be given several times; cli_nth() sees each. Without it the last one counts */
	CLI_REQUIRED = 1 << 1, /* the call is wrong without it */
	CLI_HIDDEN = 1 << 2,   /* taken, not listed: flags that only Caffe's scripts give */
};

/*
 * One row of an option table. `moka x --name VALUE`, `--name=VALUE`, `-name VALUE`, `-name=VALUE`; '_' and '-' in
 * a name are the same. A switch (value NULL) takes `--name`, `--name=true|false`, `--noname` and `--no-name`.
 */
struct cli_option {
	const char *name;  /* NULL ends the table */
	char letter;	   /* 'w' for -w; 0: none */
	const char *value; /* what the help calls its value: "FILE", "N"; NULL: a switch */
	const char *help;  /* without a full stop; says the default */
	unsigned flags;
};

/* Rows that several commands share, so that they are called and explained the same everywhere. */
/* clang-format off */
#define CLI_OPTIONS_END { NULL, 0, NULL, NULL, 0 }
#define CLI_HELP_READ_THREADS \
	"threads that read and decode ahead, for each data layer (default: as many as the machine gives, at most 4)"
#define CLI_OPTION_THREADS { "threads", 0, "N", "threads to compute with (default: as many as the machine gives)", 0 }
/* Its values are loaded before the command runs: cli_schema() and cli_net_options() know them. */
#define CLI_OPTION_PLUGIN \
	{ "plugin", 0, "FILE.so", "layer types of your own, from a shared object; repeat for several", CLI_REPEAT }
#define CLI_OPTION_FORMAT(forms) { "format", 0, forms, "form of the output (default text)", 0 }
/* What decides which layers a net has, and their shapes; cli_net_options() reads these four, "batch" and "strict". */
#define CLI_OPTIONS_NET(phase_help) \
	{ "phase", 0, "train|test", phase_help, 0 }, \
	{ "level", 0, "N", "level for the net's include and exclude rules (default 0)", 0 }, \
	{ "stage", 0, "NAME", "stage for the net's include and exclude rules; repeat or separate by commas", CLI_REPEAT }, \
	{ "input", 0, "BLOB=SHAPE", "shape of an input, as data=1x3x224x224; repeat for several", CLI_REPEAT }
/* clang-format on */

struct cli_call;

struct cli_command {
	const char *name;    /* "explain" */
	const char *summary; /* one line for `moka --help`, without a full stop */
	const char *usage; /* what follows "moka explain ": "MODEL [-w WEIGHTS] [options]"; '\n' starts another form */
	const char *about; /* paragraphs for `moka explain --help`, or NULL */
	const char *examples;		  /* lines "moka explain deploy.prototxt\n", or NULL */
	const struct cli_option *options; /* ends with CLI_OPTIONS_END; NULL: none */
	int min_words, max_words;	  /* how many words that are no options it takes; max -1: any number */
	/* Commands with commands of their own (data): NULL-terminated; then `run` is NULL. */
	const struct cli_command *const *subcommands;
	int (*run)(struct cli_call *c); /* -> enum cli_status */
};

/* ---- a call, parsed ----------------------------------------------------------------------------- */

#define CLI_MAX_WORDS 4096 /* of a command line; more is refused */

struct cli_value {
	const struct cli_option *option;
	const char *value; /* a switch: "true" or "false" */
};

struct cli_call {
	const struct cli_command *command;
	const char *name;	 /* for messages: "moka explain" */
	bool as_caffe;		 /* called through one of Caffe's names: its defaults hold */
	bool help;		 /* --help was among the words: nothing else was checked */
	struct moka_arena arena; /* for whatever lives as long as the call */
	const char **words;	 /* the words that are no options */
	int n_words;
	struct cli_value *values; /* in the order given */
	int n_values;
	struct moka_registry registry; /* the layer types: Moka's own and the plugins' */
	void **plugins;		       /* n_plugins handles of the dynamic linker */
	int n_plugins;
};

/*
 * Parses words [0, n) against c->command's table. CLI_OK, or CLI_USAGE with the reason printed. Also takes the flags of
 * glog and -gpu where the command is one of caffe's.
 */
int cli_parse(struct cli_call *c, int n, char **words);
void cli_call_release(struct cli_call *c);
/*
 * plugin.c: loads MOKA_PLUGIN_PATH and every --plugin into c->registry, where the command takes --plugin. A status; what is wrong
 * is printed. Without it, or before it, the registry is that of the built-in types.
 */
int cli_load_plugins(struct cli_call *c);
void cli_unload_plugins(struct cli_call *c);
const struct moka_schema *cli_schema(const struct cli_call *c); /* for the readers of models and weights */
/* The last value given, or NULL. An option that isn't in the command's table is a bug of the command. */
const char *cli_get(const struct cli_call *c, const char *option);
bool cli_has(const struct cli_call *c, const char *option);
bool cli_takes(const struct cli_call *c, const char *option); /* the command's table has it */
/* A switch: true where given and not as =false; `otherwise` where absent. */
bool cli_switch(const struct cli_call *c, const char *option, bool otherwise);
int cli_count(const struct cli_call *c, const char *option);
const char *cli_nth(const struct cli_call *c, const char *option, int i);
/* Every value of a repeated option, values with commas taken apart ("a,b" is two). NULL-terminated, in c->arena. */
const char **cli_list(struct cli_call *c, const char *option, int *n);
/* Numbers: *out is `otherwise` where the option is absent. Not a number, or outside [min, max]: prints why, returns false; the
 * command returns CLI_USAGE. */
bool cli_int(const struct cli_call *c, const char *option, int64_t min, int64_t max, int64_t otherwise, int64_t *out);
bool cli_float(const struct cli_call *c, const char *option, double min, double max, double otherwise, double *out);
/* One of the NULL-terminated `choices` (case ignored); *out is its index. */
bool cli_choice(const struct cli_call *c, const char *option, const char *const *choices, int otherwise, int *out);
/* "NAME=REST" -> both in the arena; false: prints what was expected. */
bool cli_pair(struct cli_call *c, const char *option, const char *text, const char **name, const char **rest);
/* "1x3x224x224" (also with commas) -> shape; "" or "scalar" has no axes. false: prints why. */
bool cli_shape(const struct cli_call *c, const char *option, const char *text, struct moka_shape *out);

/* ---- reporting (report.c): all of it goes to standard error --------------------------------------- */

/* "moka explain: error: ..."; then "hint: ..." where hint isn't NULL. Returns CLI_FAILED. */
int cli_fail(const struct cli_call *c, const char *hint, const char *fmt, ...) MOKA_PRINTF(3, 4);
/* The same for a wrong call, with "see 'moka explain --help'". Returns CLI_USAGE. */
int cli_usage(const struct cli_call *c, const char *fmt, ...) MOKA_PRINTF(2, 3);
/* Prints err with its hint; returns CLI_FAILED (CLI_USAGE for MOKA_ERR_ARG). */
int cli_fail_error(const struct cli_call *c, const struct moka_error *err);
/* "moka run: note: ..." */
void cli_note(const struct cli_call *c, const char *fmt, ...) MOKA_PRINTF(2, 3);
void cli_warn(const struct cli_call *c, const char *fmt, ...) MOKA_PRINTF(2, 3);
/* How many damaged records each data layer left out (--skip-bad), where it did. */
void cli_say_skipped(const struct cli_call *c, const struct moka_net *n);
/* Prints findings of at least this severity, by place, and a line that counts them where there were any. true: none is an error. */
bool cli_report(const struct cli_call *c, struct moka_findings *f, enum moka_severity at_least);
/* The same as text, for a command whose findings are its result. */
void cli_findings_text(struct moka_findings *f, enum moka_severity at_least, bool colour, struct moka_buf *out);
/* Colours and progress lines: only on a terminal, never with NO_COLOR (progress: also with it). */
bool cli_colour(FILE *f);
bool cli_progress(void);
/* Columns: COLUMNS, else the terminal's, else 100. */
int cli_width(void);
bool cli_utf8(void); /* the locale's characters are UTF-8 */
/* Result text to `path`, or to standard output where it is NULL or "-". Checks that it was written. -> CLI_OK or CLI_FAILED. */
int cli_output(const struct cli_call *c, const char *path, const struct moka_buf *b);
/* Results written with printf: flushes and checks; a command that prints returns cli_flush(c). */
int cli_flush(const struct cli_call *c);

/* ---- opening (open.c) ----------------------------------------------------------------------------- */

/* Everything that a command holds of a net; zero it, cli_open_net() fills it, cli_close() frees. */
struct cli_net {
	struct moka_findings findings;
	struct moka_model *file;  /* what the user named: a net or a solver */
	struct moka_model *model; /* the net's model (file, or owned by it) */
	struct moka_net *net;
	struct moka_weights **weights;
	int n_weights;
	struct moka_pool *pool;
	bool findings_ready;
};

/* The model's path: --model where the command has such an option, else the first word; NULL: prints that it is missing. */
const char *cli_model_path(const struct cli_call *c);
/* Reads --phase, --level, --stage, --input, --batch, --strict (where the command has them) into o. false: CLI_USAGE, printed. */
bool cli_net_options(struct cli_call *c, enum moka_phase otherwise, struct moka_net_options *o);
/*
 * Opens the model at `path` (a solver's net where it is a solver) and builds its net. Prints nothing: findings are in
 * n->findings, the caller prints them with cli_report(). false: there is no net; the findings say why.
 */
bool cli_open_net(struct cli_call *c, const char *path, struct moka_net_options *o, struct cli_net *n);
/* The two halves of cli_open_net(), for a command that builds anew (run: an input came in another shape). */
bool cli_open_model(struct cli_call *c, const char *path, struct moka_net_options *o, struct cli_net *n);
bool cli_build_net(struct cli_net *n, const struct moka_net_options *o);
/* Adds level and stages of the solver's train_state (test < 0) or test_state number `test` to what the user gave. */
void cli_solver_state(struct cli_call *c, const struct moka_model *solver, int test, struct moka_net_options *o);
/*
 * Opens every -w/--weights and gives it to the net where there is one; findings likewise, also for a file that can't be
 * read. false: no memory (printed).
 */
bool cli_load_weights(struct cli_call *c, struct cli_net *n, bool strict);
/* For commands that only infer: what a plan has packed needn't stay plain (moka_net_lend). n stays where it is until it is closed. */
void cli_lend_weights(struct cli_net *n);
/* --threads -> n->pool. false: CLI_USAGE, printed. */
bool cli_open_pool(struct cli_call *c, struct cli_net *n);
void cli_close(struct cli_net *n);

/* ---- feeding (feed.c): files -> a net's inputs ------------------------------------------------------ *
 * Functions return an exit status; where it isn't CLI_OK the reason is printed. */

#define CLI_MEAN_VALUES 16
/* The options that cli_read_preparation() reads. */
/* clang-format off */
#define CLI_OPTIONS_PICTURES \
	{ "mean", 0, "MEAN", "taken from pictures: a file (.binaryproto, .npy) or values as 104,117,123 (B,G,R)", 0 }, \
	{ "scale", 0, "X", "what pictures are multiplied by after that (default 1: values 0..255)", 0 }
#define CLI_OPTION_LABELS { "labels", 0, "FILE", "names of the classes, one a line", 0 }
/* clang-format on */

struct cli_preparation {
	struct moka_array mean;
	const char *mean_path;
	real values[CLI_MEAN_VALUES];
	int n_values;
	real scale;
	bool told;
};
int cli_read_preparation(struct cli_call *c, struct cli_preparation *p);
void cli_preparation_release(struct cli_preparation *p);

/* One input: an array, or pictures that make a batch. */
struct cli_feed {
	const char *blob;
	const char **paths;
	int n_paths;
	struct moka_shape shape;
	struct moka_array array;
};
struct cli_feeds {
	struct cli_feed *items;
	int n;
};
bool cli_is_array(const char *path); /* by its name; anything else is a picture */
int cli_feed_add(struct cli_call *c, struct cli_feeds *f, const char *blob, const char *path);
/* Reads arrays, and puts every feed's shape into o->inputs: build the net anew with them. `n` is the net without. */
int cli_feed_shapes(struct cli_call *c, struct cli_feeds *f, const struct moka_net *n, struct moka_net_options *o);
int cli_feeds_complete(struct cli_call *c, const struct cli_feeds *f,
		       const struct moka_net *n); /* says which are missing */
int cli_feed_net(struct cli_call *c, struct cli_feeds *f, struct cli_preparation *p, const struct moka_net *n,
		 struct moka_exec *e);
/*
 * Ten crops of one picture, which is resized to height x width first: the corners and the centre, then the same mirrored. `s` is the
 * input's shape, 10 x channels x h x w with h and w no larger; x its values.
 */
int cli_feed_crops(struct cli_call *c, struct cli_preparation *p, const char *path, int64_t height, int64_t width,
		   const struct moka_shape *s, real *x);
void cli_feeds_release(struct cli_feeds *f);
/*
 * All of it up to a net that can run: looks at the net, reads the feeds, builds with their shapes, allocates, takes the
 * weights (a note says where parameters stay at their fillers). Findings are printed. n->net is ready for moka_exec_new().
 * f NULL: the caller fills the inputs itself.
 */
int cli_prepare_net(struct cli_call *c, const char *path, struct moka_net_options *o, struct cli_feeds *f,
		    struct cli_net *n);
int cli_input_blob(const struct moka_net *n, const char *name); /* -1: no input has this name */

struct cli_labels {
	const char **names;
	int n;
};
int cli_read_labels(struct cli_call *c, struct cli_labels *l);
const char *cli_label(const struct cli_labels *l, int64_t class); /* "" where there is none */

/* ---- between commands ------------------------------------------------------------------------------- */

/* explain.c, for draw.c: explains in the form that --format or -o say, else in `otherwise`. */
enum cli_form { CLI_FORM_TEXT, CLI_FORM_JSON, CLI_FORM_DOT, CLI_FORM_SVG, CLI_FORM_PNG, CLI_FORM_HTML };
int cli_explain(struct cli_call *c, enum cli_form otherwise);
/* graphviz.c: dot's language -> "svg" or "png". */
enum moka_status cli_graphviz(const struct moka_buf *dot, const char *form, struct moka_buf *out,
			      struct moka_error *err);

#endif
