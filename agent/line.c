/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <muster/base.h>

#include "line.h"

enum { CTRL_D = 0x04, BACKSPACE = 0x08, CTRL_U = 0x15, ESCAPE = 0x1b, DELETE = 0x7f };

/* With all bytes of a character beyond ASCII. */
static void take_back(struct line *line)
{
  line->overflow = false;
  while (line->len > 0) {
    unsigned char byte = (unsigned char)line->text[--line->len];
    line->text[line->len] = '\0';
    if ((byte & 0xc0) != 0x80)
      return;
  }
}

static bool blank(char c)
{
  return c == ' ' || c == '\t';
}

static enum line_result enter(struct line *line)
{
  size_t begin = 0;
  while (line->len > 0 && blank(line->text[line->len - 1]))
    line->len--;
  while (begin < line->len && blank(line->text[begin]))
    begin++;
  line->len -= begin;
  memmove(line->text, line->text + begin, line->len);
  line->text[line->len] = '\0';
  return line->len > 0 ? LINE_DONE : LINE_EMPTY;
}

enum line_result line_feed(struct line *line, unsigned char byte)
{
  if (line->escape && byte != '\r' && byte != '\n' && byte != CTRL_D) {
    if (line->escape == 1)
      line->escape = byte == '[' || byte == 'O' ? 2 : 0;
    else if (byte >= 0x40 && byte <= 0x7e)
      line->escape = 0;
    return LINE_MORE;
  }
  line->escape = byte == ESCAPE;
  switch (byte) {
  case '\r':
  case '\n':
    return enter(line);
  case CTRL_D:
    line_wipe(line);
    return LINE_END;
  case CTRL_U:
    line_wipe(line);
    return LINE_MORE;
  case BACKSPACE:
  case DELETE:
    take_back(line);
    return LINE_MORE;
  default:
    break;
  }
  if (byte < ' ' && byte != '\t')
    return LINE_MORE;
  if (line->len + 1 >= sizeof(line->text)) {
    line->overflow = true;
    return LINE_MORE;
  }
  line->text[line->len++] = (char)byte;
  return LINE_MORE;
}

void line_wipe(struct line *line)
{
  mu_secret_wipe(line, sizeof(*line));
}
