/* SPDX-License-Identifier: ISC */
#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { FRAME_ROOM = 10 }; /* the longest header of a frame without mask */

struct mu_text {
  _Atomic uint32_t refs;
  uint32_t len;
  unsigned char room[FRAME_ROOM];
  char data[];
};

struct mu_str mu_str(const char *text)
{
  return (struct mu_str){text ? text : "", text ? strlen(text) : 0};
}

bool mu_str_equal(struct mu_str a, struct mu_str b)
{
  return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static unsigned char lower(unsigned char c)
{
  return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

bool mu_str_equal_nocase(struct mu_str a, struct mu_str b)
{
  if (a.len != b.len)
    return false;
  for (size_t i = 0; i < a.len; i++)
    if (lower((unsigned char)a.at[i]) != lower((unsigned char)b.at[i]))
      return false;
  return true;
}

mu_text *mu_text_alloc(size_t len, char **data)
{
  if (len > UINT32_MAX - sizeof(mu_text) - 1)
    return NULL;
  mu_text *text = malloc(sizeof *text + len + 1);
  if (!text)
    return NULL;
  atomic_init(&text->refs, 1);
  text->len = (uint32_t)len;
  text->data[len] = '\0';
  *data = text->data;
  return text;
}

mu_text *mu_text_new(const char *data, size_t len)
{
  char *to;
  mu_text *text = mu_text_alloc(len, &to);
  if (text && len)
    memcpy(to, data, len);
  return text;
}

mu_text *mu_text_printf(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  va_list again;
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *to;
  mu_text *text = len < 0 ? NULL : mu_text_alloc((size_t)len, &to);
  if (text)
    vsnprintf(to, (size_t)len + 1, format, again);
  va_end(again);
  return text;
}

mu_text *mu_text_ref(mu_text *text)
{
  if (text)
    atomic_fetch_add_explicit(&text->refs, 1, memory_order_relaxed);
  return text;
}

void mu_text_unref(mu_text *text)
{
  if (!text)
    return;
  uint32_t before = atomic_fetch_sub_explicit(&text->refs, 1, memory_order_acq_rel);
  assert(before > 0);
  if (before == 1)
    free(text);
}

const char *mu_text_data(const mu_text *text)
{
  return text->data;
}

size_t mu_text_len(const mu_text *text)
{
  return text->len;
}

struct mu_str mu_text_str(const mu_text *text)
{
  return (struct mu_str){text->data, text->len};
}

size_t mui_text_frame_len(const mu_text *text)
{
  return (size_t)text->len + (text->len < 126 ? 2 : text->len <= 0xffff ? 4 : 10);
}

const char *mui_text_frame(mu_text *text, bool binary, size_t *len)
{
  unsigned char head[FRAME_ROOM];
  size_t n = 0;
  head[n++] = binary ? 0x82 : 0x81;
  if (text->len < 126) {
    head[n++] = (unsigned char)text->len;
  } else if (text->len <= 0xffff) {
    head[n++] = 126;
    head[n++] = (unsigned char)(text->len >> 8);
    head[n++] = (unsigned char)text->len;
  } else {
    head[n++] = 127;
    for (int shift = 56; shift >= 0; shift -= 8)
      head[n++] = (unsigned char)((uint64_t)text->len >> shift);
  }
  unsigned char *start = text->room + FRAME_ROOM - n;
  memcpy(start, head, n);
  *len = n + text->len;
  return (const char *)start;
}

mu_text *mu_text_splice(struct mu_str base, const struct mu_edit *edits, size_t n)
{
  size_t len = base.len;
  size_t end = 0;
  for (size_t i = 0; i < n; i++) {
    if (edits[i].at < end || edits[i].at > base.len || edits[i].len > base.len - edits[i].at)
      return NULL;
    end = edits[i].at + edits[i].len;
    len = len - edits[i].len + edits[i].put.len;
  }
  char *to;
  mu_text *text = mu_text_alloc(len, &to);
  if (!text)
    return NULL;
  size_t from = 0;
  for (size_t i = 0; i < n; i++) {
    memcpy(to, base.at + from, edits[i].at - from);
    to += edits[i].at - from;
    if (edits[i].put.len)
      memcpy(to, edits[i].put.at, edits[i].put.len);
    to += edits[i].put.len;
    from = edits[i].at + edits[i].len;
  }
  if (base.len > from)
    memcpy(to, base.at + from, base.len - from);
  return text;
}
