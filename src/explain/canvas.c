/*
 * canvas.c - a grid of characters with lines on it. A cell remembers in which directions lines leave it and whose
 * they are: lines of one owner join (with the right corner), lines of two cross, and then the vertical one is seen
 * to pass over.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { UP = 1, RIGHT = 2, DOWN = 4, LEFT = 8 };

void moka__canvas_init(struct moka__canvas *c, int width)
{
	*c = (struct moka__canvas){ .width = width };
}

void moka__canvas_release(struct moka__canvas *c)
{
	free(c->cells);
	*c = (struct moka__canvas){ .width = c->width };
}

/* The cell, rows being made as they are needed; NULL outside. */
static struct moka__cell *at(struct moka__canvas *c, int x, int y)
{
	if (x < 0 || x >= c->width || y < 0 || c->failed)
		return NULL;
	if (y >= c->cap) {
		int cap = MOKA_MAX(y + 1, c->cap * 2 + 16);
		struct moka__cell *cells = realloc(c->cells, (size_t)cap * (size_t)c->width * sizeof(*cells));

		if (!cells) {
			c->failed = true;
			return NULL;
		}
		memset(cells + (size_t)c->cap * (size_t)c->width, 0,
		       (size_t)(cap - c->cap) * (size_t)c->width * sizeof(*cells));
		c->cells = cells;
		c->cap = cap;
	}
	c->height = MOKA_MAX(c->height, y + 1);
	return &c->cells[(size_t)y * (size_t)c->width + (size_t)x];
}

void moka__canvas_char(struct moka__canvas *c, int x, int y, uint32_t ch, enum moka__look look)
{
	struct moka__cell *cell = at(c, x, y);

	if (!cell)
		return;
	cell->c = ch;
	cell->look = (uint8_t)look;
}

void moka__canvas_text(struct moka__canvas *c, int x, int y, const char *s, int columns, enum moka__look look)
{
	int used = 0;

	for (uint32_t ch; (ch = moka__cell_next(&s));) {
		int w = moka__cell_columns(ch);

		if (!w)
			continue;
		if (used + w > columns || x + used + w > c->width)
			return;
		moka__canvas_char(c, x + used, y, ch, look);
		if (w == 2)
			moka__canvas_char(c, x + used + 1, y, MOKA__CELL_WIDE, look);
		used += w;
	}
}

void moka__canvas_stub(struct moka__canvas *c, int x, int y, uint8_t lines, int owner)
{
	struct moka__cell *cell = at(c, x, y);

	if (!cell)
		return;
	cell->lines |= lines;
	if (lines & (LEFT | RIGHT))
		cell->across = owner;
	if (lines & (UP | DOWN))
		cell->along = owner;
}

void moka__canvas_down(struct moka__canvas *c, int x, int y0, int y1, int owner)
{
	for (int y = y0; y <= y1; y++)
		moka__canvas_stub(c, x, y, UP | DOWN, owner);
}

void moka__canvas_across(struct moka__canvas *c, int x0, int x1, int y, int owner)
{
	for (int x = x0; x <= x1; x++)
		moka__canvas_stub(c, x, y, (uint8_t)((x > x0 ? LEFT : 0) | (x < x1 ? RIGHT : 0)), owner);
}

static uint32_t line_char(const struct moka__cell *cell, bool ascii)
{
	static const uint16_t corners[16] = { ' ',    0x2502, 0x2500, 0x2514, 0x2502, 0x2502, 0x250C, 0x251C,
					      0x2500, 0x2518, 0x2500, 0x2534, 0x2510, 0x2524, 0x252C, 0x253C };
	bool across = cell->lines & (LEFT | RIGHT), along = cell->lines & (UP | DOWN);

	if (across && along && cell->across != cell->along)
		return ascii ? '|' : 0x2502;
	if (!ascii)
		return corners[cell->lines & 15];
	return across && along ? '+' : across ? '-' : along ? '|' : ' ';
}

static const char *look_start(uint8_t look)
{
	static const char *const codes[] = { "", "\033[1m", "\033[36m", "\033[31m" };

	return codes[look & 3];
}

static void print_cell(const struct moka__cell *cell, bool ascii, struct moka_buf *out)
{
	uint32_t c = cell->c ? cell->c : line_char(cell, ascii);

	if (c == MOKA__CELL_WIDE)
		return;
	if (ascii && c >= 0x80) {
		moka_buf_putc(out, c == 0x25BC ? 'v' : '?');
		return;
	}
	moka__put_char(out, c);
}

static void print_row(const struct moka__canvas *c, int y, bool ascii, bool colour, struct moka_buf *out)
{
	const struct moka__cell *row = c->cells + (size_t)y * (size_t)c->width;
	int end = c->width;
	uint8_t look = MOKA__PLAIN;

	while (end > 0 && (!row[end - 1].c || row[end - 1].c == ' ') && !row[end - 1].lines)
		end--;
	for (int x = 0; x < end; x++) {
		uint8_t next = row[x].c ? row[x].look : MOKA__PLAIN;

		if (colour && next != look) {
			moka_buf_puts(out, look ? "\033[0m" : "");
			moka_buf_puts(out, look_start(next));
		}
		look = next;
		print_cell(&row[x], ascii, out);
	}
	moka_buf_puts(out, colour && look ? "\033[0m\n" : "\n");
}

void moka__canvas_print(const struct moka__canvas *c, bool ascii, bool colour, struct moka_buf *out)
{
	for (int y = 0; y < c->height; y++)
		print_row(c, y, ascii, colour, out);
}
