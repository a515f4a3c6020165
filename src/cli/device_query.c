/*
 * moka device_query - what Moka computes with. In Caffe it listed graphics cards; scripts that call it get the processor.
 */
#include "cli.h"

static int device_query_run(struct cli_call *c)
{
	static const char *const names[] = { "portable C", "AVX2", "AVX-512", "NEON" };
	struct moka_pool *pool = moka_pool_new(0);

	printf("instruction set  %s\nthreads          %d\ngraphics cards   not used\n", names[moka_cpu_isa()],
	       moka_pool_threads(pool));
	moka_pool_free(pool);
	return cli_flush(c);
}

const struct cli_command cli_command_device_query = {
	.name = "device_query",
	.summary = "what Moka computes with",
	.usage = "",
	.run = device_query_run,
};
