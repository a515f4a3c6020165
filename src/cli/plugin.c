/*
 * plugin.c - layer types of a user's own, from shared objects: --plugin FILE.so and MOKA_PLUGIN_PATH.
 *
 * A plugin exports two constants that MOKA_PLUGIN_LAYER (moka/layer.h) defines: the layer type, and what it was built against.
 * The second is looked at first, so that a plugin of another Moka is refused and never called. This is the one
 * place that knows the dynamic linker; below, a type in a registry is a type, wherever it came from.
 */
#include "cli.h"

#include <moka/layer.h>

#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PLUGINS 1000
#define MAX_IN_FOLDER 1000

const struct moka_schema *cli_schema(const struct cli_call *c)
{
	return moka_registry_schema(&c->registry);
}

/* ---- one file ------------------------------------------------------------------------------------- */

static int bad_plugin(const struct cli_call *c, void *handle, const char *hint, const char *path, const char *why)
{
	int status = cli_fail(c, hint, "the plugin '%s' %s", path, why);

	if (handle)
		dlclose(handle);
	return status;
}

static const char *rebuild(struct cli_call *c, const struct moka_plugin_abi *abi)
{
	if (abi->abi != MOKA_PLUGIN_ABI)
		return moka_arena_printf(&c->arena, "is built for another Moka: its ABI number is %u, this one's is %u",
					 (unsigned)abi->abi, (unsigned)MOKA_PLUGIN_ABI);
	if (abi->layer_bytes != sizeof(struct moka_layer) || abi->type_bytes != sizeof(struct moka_layer_type) ||
	    abi->call_bytes != sizeof(struct moka_call) || abi->real_bytes != sizeof(real))
		return "is built against headers of another Moka: its structs have other sizes";
	return NULL;
}

/* dlopen's own words repeat the path; what follows it is the reason. */
static const char *linker_reason(const char *path, const char *said)
{
	size_t n = strlen(path);

	if (said && !strncmp(said, path, n) && said[n] == ':')
		said += n + 1;
	while (said && *said == ' ')
		said++;
	return said && *said ? said : "the dynamic linker gives no reason";
}

static int load_file(struct cli_call *c, const char *path)
{
	/* Without a slash dlopen would search the system's libraries, not this folder. */
	const char *at = strchr(path, '/') ? path : moka_arena_printf(&c->arena, "./%s", path), *why;
	const struct moka_plugin_abi *abi;
	const struct moka_layer_type *type;
	struct moka_file file;
	struct moka_error err;
	void *handle;

	if (moka_file_open(&file, path, &err)) /* says what is wrong with a name better than the linker does */
		return cli_fail_error(c, &err);
	moka_file_release(&file);
	if (!at)
		return cli_fail(c, NULL, "no memory");
	handle = dlopen(at, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return bad_plugin(
			c, NULL,
			"build it with: cc -shared -fPIC $(pkg-config --cflags moka-plugin) layer.c -o layer.so", path,
			moka_arena_printf(&c->arena, "can't be loaded: %s", linker_reason(at, dlerror())));
	abi = dlsym(handle, MOKA_PLUGIN_ABI_SYMBOL);
	type = dlsym(handle, MOKA_PLUGIN_LAYER_SYMBOL);
	if (!abi || !type)
		return bad_plugin(c, handle,
				  "define the layer as: MOKA_PLUGIN_LAYER = { .schema = { \"MyLayer\", ... }, ... };",
				  path,
				  moka_arena_printf(&c->arena, "exports no '%s': it is a shared object, but no layer",
						    abi ? MOKA_PLUGIN_LAYER_SYMBOL : MOKA_PLUGIN_ABI_SYMBOL));
	why = rebuild(c, abi);
	if (why)
		return bad_plugin(c, handle, "build it again with this Moka's headers", path, why);
	for (int i = 0; i < c->n_plugins; i++)
		if (c->plugins[i] == handle) { /* the same file again, as by --plugin and the path */
			dlclose(handle);
			return CLI_OK;
		}
	if (c->n_plugins >= MAX_PLUGINS)
		return bad_plugin(c, handle, NULL, path, "is one too many");
	if (moka_registry_add(&c->registry, type, &err))
		return bad_plugin(c, handle, err.hint[0] ? err.hint : NULL, path,
				  moka_arena_printf(&c->arena, "is refused: %s", err.message));
	c->plugins[c->n_plugins++] = handle;
	return CLI_OK;
}

/* ---- files and folders -------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every *.so of a folder, in the order of their names: the order of a folder is nobody's intention. */
static int load_folder(struct cli_call *c, DIR *folder, const char *path)
{
	const char **names = MOKA_NEWN(&c->arena, MAX_IN_FOLDER, const char *);
	int n = 0, status = CLI_OK;

	for (struct dirent *e; names && n < MAX_IN_FOLDER && (e = readdir(folder));)
		if (e->d_name[0] != '.' && moka_has_suffix(e->d_name, ".so"))
			if ((names[n] = moka_arena_printf(&c->arena, "%s/%s", path, e->d_name)))
				n++;
	if (!names)
		return cli_fail(c, NULL, "no memory");
	qsort(names, (size_t)n, sizeof(*names), by_name);
	for (int i = 0; i < n && !status; i++)
		status = load_file(c, names[i]);
	return status;
}

static int load_path(struct cli_call *c, const char *path)
{
	DIR *folder = opendir(path);
	int status;

	if (!folder)
		return load_file(c, path);
	status = load_folder(c, folder, path);
	closedir(folder);
	return status;
}

static int load_environment(struct cli_call *c)
{
	const char *p = getenv("MOKA_PLUGIN_PATH");
	int status = CLI_OK;

	while (p && *p && !status) {
		size_t n = strcspn(p, ":");
		const char *one = moka_arena_strndup(&c->arena, p, n);
		if (!one)
			return cli_fail(c, NULL, "no memory");
		if (n)
			status = load_path(c, one);
		p += n + (p[n] == ':');
	}
	return status;
}

int cli_load_plugins(struct cli_call *c)
{
	int status;

	moka_registry_init(&c->registry);
	if (!cli_takes(c, "plugin"))
		return CLI_OK;
	c->plugins = MOKA_NEWN(&c->arena, MAX_PLUGINS, void *);
	if (!c->plugins)
		return cli_fail(c, NULL, "no memory");
	status = load_environment(c);
	for (int i = 0; i < cli_count(c, "plugin") && !status; i++)
		status = load_path(c, cli_nth(c, "plugin", i));
	return status;
}

void cli_unload_plugins(struct cli_call *c)
{
	moka_registry_release(&c->registry);
	while (c->n_plugins)
		dlclose(c->plugins[--c->n_plugins]);
}
