/* SPDX-License-Identifier: ISC */
/* Messages as they are kept: at most so many characters, and always text. */
#include <stdio.h>
#include <string.h>

#include "server.h"

#define CUT_MARK "...[cut]"

enum { BINARY_SHOWN = 1000 }; /* bytes */

static mu_text *binary_content(mu_text *bytes)
{
  static const char hex[] = "0123456789abcdef";
  const unsigned char *at = (const unsigned char *)mu_text_data(bytes);
  size_t len = mu_text_len(bytes), shown = len < BINARY_SHOWN ? len : BINARY_SHOWN;
  char head[48];
  size_t head_len = (size_t)snprintf(head, sizeof head, "[binary, %zu bytes] ", len);
  size_t mark = shown < len ? sizeof CUT_MARK - 1 : 0;
  char *to;
  mu_text *text = mu_text_alloc(head_len + 2 * shown + mark, &to);
  if (!text)
    return NULL;
  memcpy(to, head, head_len);
  to += head_len;
  for (size_t i = 0; i < shown; i++) {
    *to++ = hex[at[i] >> 4];
    *to++ = hex[at[i] & 15];
  }
  memcpy(to, CUT_MARK, mark);
  return text;
}

mu_text *history_content(mu_text *text, bool binary)
{
  if (binary)
    return binary_content(text);
  struct mu_str whole = mu_text_str(text);
  if (whole.len <= RELAY_CONTENT_MAX)
    return mu_text_ref(text);
  struct mu_str cut = wire_cut(whole, RELAY_CONTENT_MAX);
  if (cut.len == whole.len)
    return mu_text_ref(text);
  char *to;
  mu_text *kept = mu_text_alloc(cut.len + sizeof CUT_MARK - 1, &to);
  if (!kept)
    return NULL;
  memcpy(to, cut.at, cut.len);
  memcpy(to + cut.len, CUT_MARK, sizeof CUT_MARK - 1);
  return kept;
}
