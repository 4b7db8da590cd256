/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static bool reserve(struct mu_buf *buf, size_t more)
{
  if (buf->failed)
    return false;
  if (more < buf->capacity - buf->len)
    return true;
  if (more > SIZE_MAX / 4 || buf->len > SIZE_MAX / 4)
    goto fail;
  size_t capacity = buf->capacity ? buf->capacity : 128;
  while (capacity - buf->len <= more)
    capacity *= 2;
  char *at = realloc(buf->at, capacity);
  if (!at)
    goto fail;
  buf->at = at;
  buf->capacity = capacity;
  return true;
fail:
  buf->failed = true;
  return false;
}

void mu_buf_add(struct mu_buf *buf, const void *data, size_t len)
{
  if (!reserve(buf, len))
    return;
  if (len)
    memcpy(buf->at + buf->len, data, len);
  buf->len += len;
  buf->at[buf->len] = '\0';
}

void mu_buf_adds(struct mu_buf *buf, const char *text)
{
  mu_buf_add(buf, text, strlen(text));
}

void mu_buf_printf(struct mu_buf *buf, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  va_list again;
  va_copy(again, args);
  size_t room = buf->capacity - buf->len;
  int len = vsnprintf(buf->failed || room == 0 ? NULL : buf->at + buf->len, buf->failed ? 0 : room, format, args);
  va_end(args);
  if (len < 0) {
    buf->failed = true;
  } else if ((size_t)len < room) {
    buf->len += buf->failed ? 0 : (size_t)len;
  } else if (reserve(buf, (size_t)len)) {
    vsnprintf(buf->at + buf->len, (size_t)len + 1, format, again);
    buf->len += (size_t)len;
  }
  va_end(again);
}

void mu_buf_json_string(struct mu_buf *buf, struct mu_str text)
{
  static const char hex[] = "0123456789abcdef";
  mu_buf_add(buf, "\"", 1);
  size_t plain = 0;
  for (size_t i = 0; i < text.len;) {
    unsigned char c = (unsigned char)text.at[i];
    char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    const char *put = escape;
    size_t put_len = sizeof escape;
    size_t take = 1;
    if (c >= 0x80) {
      take = mui_utf8_step(text.at + i, text.len - i);
      if (take) {
        i += take;
        continue;
      }
      take = 1;
      put = "\xef\xbf\xbd";
      put_len = 3;
    } else if (c == '"' || c == '\\') {
      escape[1] = (char)c;
      put_len = 2;
    } else if (c >= 0x20 && c != 0x7f) {
      i++;
      continue;
    }
    mu_buf_add(buf, text.at + plain, i - plain);
    mu_buf_add(buf, put, put_len);
    i += take;
    plain = i;
  }
  mu_buf_add(buf, text.at + plain, text.len - plain);
  mu_buf_add(buf, "\"", 1);
}

void mu_buf_clear(struct mu_buf *buf)
{
  buf->len = 0;
  buf->failed = false;
  if (buf->at)
    buf->at[0] = '\0';
}

void mu_buf_free(struct mu_buf *buf)
{
  free(buf->at);
  *buf = (struct mu_buf)MU_BUF_INIT;
}

mu_text *mu_buf_take_text(struct mu_buf *buf)
{
  mu_text *text = buf->failed ? NULL : mu_text_new(buf->at, buf->len);
  mu_buf_free(buf);
  return text;
}
