/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "base/utf8.h"

bool mui_utf8_valid(const char *text, size_t len)
{
  size_t i = 0;
  while (i < len) {
    uint64_t word;
    while (len - i >= sizeof word && (memcpy(&word, text + i, sizeof word), (word & 0x8080808080808080u) == 0))
      i += sizeof word;
    if (i == len)
      break;
    size_t step = mui_utf8_step(text + i, len - i);
    if (!step)
      return false;
    i += step;
  }
  return true;
}
