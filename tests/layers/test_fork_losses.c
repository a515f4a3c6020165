/*
 * test_fork_losses.c - losses and resizers that forks added, against plain references of the published definitions.
 */
#include "layer_test.h"

#include <math.h>

#define TWO(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' top: 'y' " rest " }"
#define THREE(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' " rest " }"

static void near_to(double got, double want, const char *what)
{
	if (!(fabs(got - want) <= 1e-5 * fmax(1, fabs(want))))
		fail_msg("%s: %.9g, want %.9g", what, got, want);
}

T_TEST(abs_loss)
{
	static const char *const shapes[] = { "3x2x5 3x2x5", "1x1 1x1", "13x127 13x127" };

	for (size_t s = 0; s < MOKA_COUNT(shapes); s++) {
		struct layer_test *l = lt_open_threads(TWO("AbsLoss", ""), MOKA_TEST, shapes[s], 1 + (int)s);
		double want = 0;

		lt_forward(l);
		for (int64_t i = 0; i < l->bottom[0].count; i++)
			want += fabs((double)l->bottom[0].data[i] - (double)l->bottom[1].data[i]);
		near_to((double)l->top[0].data[0], want / (double)l->l.bottom[0].shape.d[0], "AbsLoss");
		lt_free(l);
	}
	LT_REFUSED(TWO("AbsLoss", ""), "2x3 2x4", "as many values");
}

T_TEST(xcov_loss)
{
	struct layer_test *l = lt_open(TWO("XCovLoss", ""), MOKA_TEST, "13x3 13x1x7");
	const real *a = NULL, *b = NULL;
	double want = 0;

	lt_forward(l);
	a = l->bottom[0].data;
	b = l->bottom[1].data;
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 7; j++) {
			double ab = 0, ma = 0, mb = 0, c;

			for (int n = 0; n < 13; n++) {
				ab += (double)a[n * 3 + i] * (double)b[n * 7 + j];
				ma += (double)a[n * 3 + i];
				mb += (double)b[n * 7 + j];
			}
			c = ab / 13 - ma / 13 * mb / 13;
			want += c * c / 2;
		}
	near_to((double)l->top[0].data[0], want, "XCovLoss");
	lt_free(l);
	LT_REFUSED(TWO("XCovLoss", ""), "2x3 3x3", "the batch, must be equal");
}

T_TEST(mtcnn_loss)
{
	struct layer_test *l =
		lt_open(THREE("MTCNNEuclideanLoss", "loss_param { ignore_label: 0 }"), MOKA_TEST, "3x2 3x2 3x1:z");

	lt_set(l, 0, (real[]){ 1, 2, 3, 4, 5, 6 });
	lt_set(l, 1, (real[]){ 0, 0, 9, 9, 5, 3 });
	lt_set(l, 2, (real[]){ 1, 0, 1 });
	lt_forward(l);
	near_to((double)l->top[0].data[0], (1 + 4 + 0 + 9) / 2.0, "with labels");
	lt_free(l);
	l = lt_open(TWO("MTCNNEuclideanLoss", ""), MOKA_TEST, "2x1 2x1");
	lt_set(l, 0, (real[]){ 1, 2 });
	lt_set(l, 1, (real[]){ 4, 0 });
	lt_forward(l);
	near_to((double)l->top[0].data[0], (9 + 4) / 4.0, "without labels");
	lt_free(l);
}

T_TEST(bilinear)
{
	struct layer_test *l = lt_open_threads(TWO("BilinearInterpolation", ""), MOKA_TEST, "2x3x4x5 1x1x13x7", 3);

	lt_forward(l);
	LT_SHAPE(l, 0, "2x3x13x7");
	for (int p = 0; p < 6; p++)
		for (int y = 0; y < 13; y++)
			for (int x = 0; x < 7; x++) {
				const double fy = y * 3 / 12.0, fx = x * 4 / 6.0;
				const int y0 = (int)fy, x0 = (int)fx, y1 = y0 < 3 ? y0 + 1 : y0,
					  x1 = x0 < 4 ? x0 + 1 : x0;
				const real *in = l->bottom[0].data + p * 20;
				const double top = (1 - fx + x0) * (double)in[y0 * 5 + x0] +
						   (fx - x0) * (double)in[y0 * 5 + x1],
					     low = (1 - fx + x0) * (double)in[y1 * 5 + x0] +
						   (fx - x0) * (double)in[y1 * 5 + x1];

				near_to((double)l->top[0].data[(p * 13 + y) * 7 + x],
					(1 - fy + y0) * top + (fy - y0) * low, "BilinearInterpolation");
			}
	lt_free(l);
	LT_REFUSED(TWO("BilinearInterpolation", ""), "1x1x2x2 2", "takes blobs of 4 axes");
	LT_REFUSED(TWO("BilinearInterpolation", ""), "1x1x0x2 1x1x3x3", "can't be resized");
}

T_TEST(unpooling)
{
	struct layer_test *l = lt_open_threads(
		TWO("Unpooling", "unpooling_param { unpool: MAX kernel_size: 2 stride: 2 unpool_size: 4 }"), MOKA_TEST,
		"1x2x1x2 1x2x1x2", 2);
	real want[32] = { 0 };

	lt_set(l, 0, (real[]){ 7, 8, 9, 6 });
	lt_set(l, 1, (real[]){ 15, 0, 3, 3 });
	lt_forward(l);
	LT_SHAPE(l, 0, "1x2x4x4");
	want[15] = 7;
	want[0] = 8;
	want[16 + 3] = 6; /* the last one written stays */
	T_NEAR(l->top[0].data, want, 32, 0, 0);
	lt_set(l, 1, (real[]){ 15, 16, 3, 3 });
	assert_int_equal(lt_try_forward(l), MOKA_ERR_DATA);
	T_HAS(l->err.message, "says place 16 in plane 0");
	lt_free(l);
	l = lt_shape(TWO("Unpooling", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"), MOKA_TEST,
		     "1x2x6x5 1x2x6x5");
	LT_SHAPE(l, 0, "1x2x13x11");
	lt_free(l);
	l = lt_shape(TWO("Unpooling", "unpooling_param { kernel_size: 1 stride: 3 }"), MOKA_TEST, "1x2x6x5 1x2x6x5");
	LT_SHAPE(l, 0, "1x2x19x16");
	lt_free(l);
	LT_REFUSED(TWO("Unpooling", "unpooling_param { unpool: AVE unpool_size: 3 }"), "1x1x1x1 1x1x1x1", "only max");
	LT_REFUSED(TWO("Unpooling", ""), "1x1x1x1 1x1x1x1", "the window must have a kernel");
}

T_TEST(simple_crop)
{
	struct layer_test *l = lt_open(TWO("SimpleCrop", ""), MOKA_TEST, "2x3x5x4 1x7x3x2");

	lt_forward(l);
	LT_SHAPE(l, 0, "2x3x3x2");
	for (int i = 0; i < 36; i++)
		assert_true(l->top[0].data[i] == l->bottom[0].data[i / 6 * 20 + i % 6 / 2 * 4 + i % 2]);
	lt_free(l);
	LT_REFUSED(TWO("SimpleCrop", ""), "1x1x3x3 1x1x4x3", "are not there");
	LT_REFUSED("layer { type: 'SimpleCrop' bottom: 'x' top: 'y' crop_param { blob_name: 'conv3' } }", "1x1x3x3",
		   "must be the second bottom");
}

T_TEST(normalize_bbox)
{
	struct layer_test *l = lt_open(
		"layer { type: 'NormalizeBBox' bottom: 'x' top: 'y' normalize_bbox_param { across_spatial: false"
		" channel_shared: false scale_filler { type: 'constant' value: 20 } } }",
		MOKA_TEST, "1x2x1x2");

	lt_set(l, 0, (real[]){ 3, 0, 4, 5 });
	lt_forward(l);
	T_NEAR(l->top[0].data, ((real[]){ 12, 0, 16, 20 }), 4, 1e-5, 1e-5);
	lt_free(l);
}

static const struct CMUnitTest tests[] = { T_CASE(abs_loss),	  T_CASE(xcov_loss), T_CASE(mtcnn_loss),
					   T_CASE(bilinear),	  T_CASE(unpooling), T_CASE(simple_crop),
					   T_CASE(normalize_bbox) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
