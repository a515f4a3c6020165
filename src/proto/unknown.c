/*
 * unknown.c - what to say about a field that no table has.
 *
 * A warning, since 47 % of published nets have such a field: which fork has it; or that it belongs to another message close
 * by; or how the old syntax writes it today; or the nearest name.
 */
#include "internal.h"

#include <string.h>

/* Fields of the old syntaxes as people write them into new layers. */
static const struct {
	const char *old, *hint;
} outdated[] = {
	{ "ceil_mode", "BVLC's word for ceil_mode: false is round_mode: FLOOR" },
	{ "blobs_lr", "today: param { lr_mult: ... }, one for the weight, one for the bias" },
	{ "weight_decay", "today: param { decay_mult: ... }, one for the weight, one for the bias" },
	{ "blob_share_mode", "today: param { share_mode: ... }" },
	{ "kernelsize", "today: kernel_size" },
	{ "biasterm", "today: bias_term" },
	{ "batchsize", "today: batch_size" },
	{ "meanfile", "today: transform_param { mean_file: ... }" },
	{ "cropsize", "today: transform_param { crop_size: ... }" },
};

static bool table_has(const struct moka_message *m, const char *name)
{
	for (const struct moka_field *f = m ? m->fields : NULL; f && f->name; f++)
		if (!strcmp(f->name, name))
			return true;
	return false;
}

static bool is_layer(const struct moka_message *m)
{
	return m == &moka_layer_message || m == &moka_v1_layer_message;
}

static const char *old_hint(const struct moka__unknown *u)
{
	const struct moka_message *m = u->message;

	if (m == &moka_v1_layer_message || m == &moka_v0_layer_message || m == &moka_net_message ||
	    m == &moka_solver_message)
		return NULL;
	for (size_t i = 0; i < MOKA_COUNT(outdated); i++)
		if (!strcmp(outdated[i].old, u->name))
			return outdated[i].hint;
	return NULL;
}

/* The field of the layer's own type ("inner_product_param") whose message has this name. */
static const char *inner_home(const struct moka__unknown *u)
{
	const struct moka_schema *s = u->schema;

	if (!is_layer(u->message) || !u->layer_type || u->group)
		return NULL;
	for (size_t i = 0; s && i < s->n; i++)
		if (!strcmp(s->layers[i]->type, u->layer_type) && table_has(s->layers[i]->message, u->name))
			return s->layers[i]->param_name;
	if (table_has(&moka_transform_message, u->name))
		return "transform_param";
	return table_has(&moka_param_spec_message, u->name) ? "param" : NULL;
}

/* Whether the message around has it: a brace was lost, or stands too late. */
static bool outer_home(const struct moka__unknown *u)
{
	const struct moka_schema *s = u->schema;

	if (table_has(u->outer, u->name))
		return true;
	for (size_t i = 0; is_layer(u->outer) && s && i < s->n; i++)
		if (s->layers[i]->param_name && !strcmp(s->layers[i]->param_name, u->name))
			return true;
	return false;
}

/* "relu" of "relu_param": the ending is no likeness. */
static const char *stem(const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s", name);
	if (moka_has_suffix(buf, "_param"))
		buf[strlen(buf) - strlen("_param")] = 0;
	return buf;
}

static void try_near(struct moka_nearest *near, const char *want, const char *candidate)
{
	char a[96], b[96];
	struct moka_nearest stems = { NULL, near->distance };

	moka_nearest_try(&stems, stem(want, a, sizeof(a)), stem(candidate, b, sizeof(b)));
	if (stems.best && (!near->best || stems.distance < near->distance))
		*near = (struct moka_nearest){ candidate, stems.distance };
}

static const char *nearest(const struct moka__unknown *u)
{
	const struct moka_schema *s = u->schema;
	struct moka_nearest near = { 0 };

	for (const struct moka_field *f = u->message->fields; f && f->name; f++)
		try_near(&near, u->name, f->name);
	for (size_t i = 0; is_layer(u->message) && s && i < s->n; i++)
		if (s->layers[i]->param_name)
			try_near(&near, u->name, s->layers[i]->param_name);
	return near.best;
}

const char *moka__message_text(const struct moka_message *m)
{
	if (is_layer(m))
		return "a layer";
	if (m == &moka_net_message)
		return "a net";
	return m == &moka_solver_message ? "a solver" : m->name;
}

const char *moka__unknown_fork(const struct moka__unknown *u)
{
	const char *message = u->message == &moka_v1_layer_message ? moka_layer_message.name : u->message->name;

	return moka_fork_of_field(message, u->name);
}

/* The message that has a field which was put into another of the same file. */
static const char *elsewhere(const struct moka__unknown *u)
{
	if (u->message == &moka_net_message && table_has(&moka_solver_message, u->name))
		return "a solver has it; is this a solver file?";
	if (u->message == &moka_solver_message && table_has(&moka_net_message, u->name))
		return "a net has it; is this a net?";
	if (u->message == &moka_net_message && table_has(&moka_layer_message, u->name))
		return "a layer has it; was the layer's brace closed too early?";
	return NULL;
}

void moka__unknown_field(struct moka_findings *f, struct moka_loc loc, const struct moka__unknown *u)
{
	const char *old = old_hint(u), *home = old ? NULL : inner_home(u), *near = nearest(u), *other = elsewhere(u);
	bool sure = near && moka_name_distance(near, u->name) <= 1;

	if (!f)
		return;
	moka_find(f, MOKA_WARNING, "unknown-field", loc, "%s has no field '%s'", moka__message_text(u->message),
		  u->name);
	if (old)
		moka_find_hint(f, "%s", old);
	else if (home)
		moka_find_hint(f, "it belongs into %s { ... }", home);
	else if (!sure && other)
		moka_find_hint(f, "%s", other);
	else if (!sure && outer_home(u))
		moka_find_hint(f, "%s has it: it belongs behind the closing brace", moka__message_text(u->outer));
	else if (near)
		moka_find_hint(f, "did you mean '%s'?", near);
	else
		moka_find_hint(f, "it is kept, and has no effect");
}
