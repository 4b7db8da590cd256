/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include <muster/conn.h>
#include "net/reassembly.h"

/* Memory is taken for what has come, never for what a frame announces: beyond this much ahead. */
enum { AHEAD = 8192, FRAMES_FREE = 128, BYTES_PER_FRAME = 64 };

bool mui_utf8_more(struct mui_utf8_state *state, const char *at, size_t len)
{
  const unsigned char *s = (const unsigned char *)at;
  const unsigned char *end = s + len;
  struct mui_utf8_state now = *state;
  while (s < end) {
    if (now.need) {
      if (*s < now.low || *s > now.high)
        return false;
      now = (struct mui_utf8_state){(uint8_t)(now.need - 1), 0x80, 0xbf};
      s++;
      continue;
    }
    uint64_t eight;
    while (end - s >= 8 && (memcpy(&eight, s, 8), (eight & 0x8080808080808080u) == 0))
      s += 8;
    if (s == end)
      break;
    unsigned char c = *s++;
    if (c < 0x80)
      continue;
    if (c < 0xc2 || c > 0xf4)
      return false;
    now.need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    now.low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;  /* no overlong forms */
    now.high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf; /* no surrogates, nothing above U+10FFFF */
  }
  *state = now;
  return true;
}

void mui_assembly_reset(struct mui_assembly *assembly)
{
  free(assembly->at);
  *assembly = (struct mui_assembly){0};
}

/* Room for `more` bytes and a NUL. */
static bool reserve(struct mui_assembly *a, size_t more, size_t expected)
{
  size_t need = a->len + more + 1;
  if (need <= a->capacity)
    return true;
  size_t ahead = expected < AHEAD ? expected : AHEAD > a->len ? AHEAD : a->len;
  if (ahead > expected)
    ahead = expected;
  char *at = realloc(a->at, need + ahead);
  if (!at)
    return false;
  a->at = at;
  a->capacity = need + ahead;
  return true;
}

static int judge(struct mui_assembly *a, const struct mui_piece *piece, size_t max_message, bool allow_binary)
{
  if (piece->first) {
    mui_assembly_reset(a);
    a->begun = true;
    a->binary = piece->binary;
  }
  if (!a->begun)
    return MU_CLOSE_INTERNAL;
  if (a->binary && !allow_binary)
    return MU_CLOSE_UNSUPPORTED;
  if (piece->len > max_message - a->len || piece->remaining > max_message - a->len - piece->len)
    return MU_CLOSE_TOO_BIG;
  if (!piece->final && piece->remaining == 0 && ++a->frames > FRAMES_FREE + max_message / BYTES_PER_FRAME)
    return MU_CLOSE_POLICY;
  if (!a->binary && (!mui_utf8_more(&a->utf8, piece->at, piece->len) || (piece->final && a->utf8.need)))
    return MU_CLOSE_BAD_TEXT;
  return 0;
}

int mui_assembly_add(struct mui_assembly *a, const struct mui_piece *piece, size_t max_message, bool allow_binary,
                     struct mu_str *whole)
{
  int code = judge(a, piece, max_message, allow_binary);
  if (code) {
    mui_assembly_reset(a);
    return code;
  }
  if (piece->final && !a->at) {
    *whole = (struct mu_str){piece->at, piece->len};
    return 1;
  }
  if (piece->len || piece->final) {
    if (!reserve(a, piece->len, piece->remaining)) {
      mui_assembly_reset(a);
      return MU_CLOSE_TRY_LATER;
    }
    if (piece->len)
      memcpy(a->at + a->len, piece->at, piece->len);
    a->len += piece->len;
    a->at[a->len] = '\0';
  }
  if (!piece->final)
    return 0;
  *whole = (struct mu_str){a->at, a->len};
  return 1;
}
