/* SPDX-License-Identifier: ISC */
/* One line as it is typed, unseen: editing and nothing else. Pure. */
#ifndef AGENT_LINE_H
#define AGENT_LINE_H

#include <stdbool.h>
#include <stddef.h>

enum line_result {
  LINE_MORE,  /* goes on */
  LINE_DONE,  /* Enter, and there is something */
  LINE_EMPTY, /* Enter, and there is nothing */
  LINE_END,   /* ^D: no answer */
};

struct line {
  char text[512]; /* a secret: line_wipe() */
  size_t len;
  unsigned escape; /* within a key's sequence: 1 after ESC, 2 after ESC [ */
  bool overflow;   /* more was typed than there is room for */
};

/* Takes one byte. Blanks around the line are left out when it is done. */
enum line_result line_feed(struct line *line, unsigned char byte);
void line_wipe(struct line *line);

#endif
