/* SPDX-License-Identifier: ISC */
/* UTF-8, as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef MUI_BASE_UTF8_H
#define MUI_BASE_UTF8_H
#include "base/instance.h"

/* Length of the character at `at`, or 0 when it is invalid or cut off. `len` > 0. */
static inline size_t mui_utf8_step(const char *text, size_t len)
{
  const unsigned char *s = (const unsigned char *)text;
  if (s[0] < 0x80)
    return 1;
  if (s[0] < 0xc2 || s[0] > 0xf4)
    return 0;
  size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
  if (len < n)
    return 0;
  for (size_t i = 1; i < n; i++)
    if ((s[i] & 0xc0) != 0x80)
      return 0;
  if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
      (s[0] == 0xf4 && s[1] > 0x8f))
    return 0;
  return n;
}

MUI_API bool mui_utf8_valid(const char *text, size_t len);

#endif
