/* Pictures: JPEG and PNG bytes of any kind. */
#include "data/data.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = fuzz_file(data, size);
	struct moka_image image = { 0 };
	struct moka_error err;

	if (path)
		moka_image_read(&image, path, MOKA_IMAGE_COLOUR, &err);
	moka_image_release(&image); /* it may hold a buffer after an error too */
	fuzz_file_close();
	return 0;
}
