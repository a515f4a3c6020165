/*
 * data_boxes.h - pictures with boxes for `moka data images --anno_type detection` (SSD's convert_annoset).
 */
#ifndef MOKA_CLI_DATA_BOXES_H
#define MOKA_CLI_DATA_BOXES_H

#include "cli/cli.h"

struct cli_label {
	const char *name;
	int64_t label;
};
struct cli_boxes {
	bool xml;		  /* else text: LABEL XMIN YMIN XMAX YMAX a line */
	struct cli_label *labels; /* the label map */
	int64_t n_labels;
	const char **files; /* of line i: where its boxes are */
	struct moka_buf objects, record;
};

/* "PICTURE BOXES" lines; the label of line i is i. */
enum moka_status cli_boxes_list(struct cli_boxes *b, struct moka_picture_list *out, const char *path,
				struct moka_arena *a, struct moka_error *err);
enum moka_status cli_boxes_map(struct cli_boxes *b, const char *path, struct moka_arena *a, struct moka_error *err);
/* The AnnotatedDatum of a picture (height x width before any resizing), in b->record. A file of boxes that isn't there: no boxes. */
enum moka_status cli_boxes_record(struct cli_boxes *b, const char *path, int64_t height, int64_t width,
				  const struct moka_datum *d, struct moka_error *err);

#endif
