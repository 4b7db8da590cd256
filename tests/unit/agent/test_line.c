/* SPDX-License-Identifier: ISC */
/* What is typed at the prompt, and what becomes of it. */
#include <string.h>

#include "line.h"
#include "unit.h"

static enum line_result feed(struct line *line, const char *bytes)
{
  enum line_result result = LINE_MORE;
  *line = (struct line){0};
  for (; *bytes && result == LINE_MORE; bytes++)
    result = line_feed(line, (unsigned char)*bytes);
  return result;
}

static void keys_edit_the_line(void)
{
  static const struct {
    const char *typed;
    enum line_result result;
    const char *text;
  } cases[] = {
      {"secret\r", LINE_DONE, "secret"},
      {"secret\n", LINE_DONE, "secret"},
      {"secret", LINE_MORE, "secret"},
      {"sx\x7f"
       "ecrxx\b\x7f"
       "et\r",
       LINE_DONE, "secret"},
      {"\x7f\x7f"
       "a\r",
       LINE_DONE, "a"},
      {"wrong\x15right\r", LINE_DONE, "right"},
      {"\r", LINE_EMPTY, ""},
      {"   \r", LINE_EMPTY, ""},
      {"  pasted with blanks\t \r", LINE_DONE, "pasted with blanks"},
      {"abc\x04", LINE_END, ""},
      {"\x04", LINE_END, ""},
      {"a\x1b[Ab\x1b[1;5Cc\x1bOPd\x1bxe\r", LINE_DONE, "abcde"}, /* arrows, function keys, Alt+x */
      {"a\x1b\r", LINE_DONE, "a"},
      {"a\x1b[\r", LINE_DONE, "a"},
      {"k\xc3\xa9\x7f"
       "ey\r",
       LINE_DONE, "key"}, /* a character of two bytes goes as one */
      {"a\x01\x02\x0b\x1f"
       "b\r",
       LINE_DONE, "ab"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct line line;
    CU_ASSERT_EQUAL(feed(&line, cases[i].typed), cases[i].result);
    CU_ASSERT_STRING_EQUAL(line.text, cases[i].text);
    CU_ASSERT_EQUAL(line.len, strlen(cases[i].text));
  }
}

static void too_much_is_told(void)
{
  struct line line = {0};
  for (int i = 0; i < 511; i++)
    CU_ASSERT_EQUAL(line_feed(&line, 'x'), LINE_MORE);
  CU_ASSERT_FALSE(line.overflow);
  line_feed(&line, 'x');
  CU_ASSERT_TRUE(line.overflow);
  CU_ASSERT_EQUAL(line.len, 511);
  CU_ASSERT_EQUAL(line_feed(&line, '\r'), LINE_DONE);
  CU_ASSERT_EQUAL(line.text[511], '\0');
  line_wipe(&line);
  for (size_t i = 0; i < sizeof(line.text); i++)
    CU_ASSERT_EQUAL(line.text[i], 0);
}

static const struct unit_test tests[] = {
    {"keys edit the line", keys_edit_the_line},
    {"too much is told", too_much_is_told},
};
UNIT_MAIN("line", tests)
