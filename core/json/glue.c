/* SPDX-License-Identifier: ISC */
/* What is done with scanned values, and json-c behind the scan. */
#include <math.h>
#include <string.h>

#include <json-c/json.h>

#include <muster/json.h>

#include "json/plain.h"
#include "json/schema.h"

/* ---- strings --------------------------------------------------------------------------------- */

static unsigned hex4(const char *p)
{
  unsigned value = 0;
  for (int i = 0; i < 4; i++) {
    unsigned c = (unsigned char)p[i];
    value = value * 16 + (c <= '9' ? c - '0' : (c | 32u) - 'a' + 10);
  }
  return value;
}

static size_t put_utf8(unsigned c, char *to)
{
  if (c < 0x80) {
    to[0] = (char)c;
    return 1;
  }
  size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--, c >>= 6)
    to[i] = (char)(0x80 | (c & 0x3f));
  to[0] = (char)((0xf00 >> n) | c);
  return n;
}

/* Resolves the escape at `*at`, a backslash, and moves behind it. Accepted by the scan: never cut off, never lone. */
static size_t resolve(const char **at, char to[4])
{
  static const char names[] = "\"\\/bfnrt";
  static const char stands[] = "\"\\/\b\f\n\r\t";
  const char *p = *at + 1;
  if (*p != 'u') {
    *at = p + 1;
    const char *name = strchr(names, *p);
    to[0] = name ? stands[name - names] : *p;
    return 1;
  }
  unsigned c = hex4(p + 1);
  p += 5;
  if (c >= 0xd800 && c < 0xdc00) {
    c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 2) - 0xdc00);
    p += 6;
  }
  *at = p;
  return put_utf8(c, to);
}

size_t mui_json_plain(const char *from, size_t len, char *to)
{
  char *put = to;
  for (const char *end = from + len; from < end;) {
    if (*from == '\\') {
      char bytes[4];
      size_t n = resolve(&from, bytes);
      memcpy(put, bytes, n);
      put += n;
    } else {
      *put++ = *from++;
    }
  }
  return (size_t)(put - to);
}

struct mu_str mu_json_str(const struct mu_json_value *value)
{
  if (value->kind != MU_JSON_STRING || value->escaped)
    return (struct mu_str){"", 0};
  return (struct mu_str){value->at + 1, value->len - 2};
}

int mu_json_unescape(const struct mu_json_value *value, struct mu_buf *out)
{
  if (value->kind != MU_JSON_STRING)
    return MU_ETYPE;
  const char *end = value->at + value->len - 1;
  for (const char *p = value->at + 1; p < end;) {
    const char *slash = memchr(p, '\\', (size_t)(end - p));
    mu_buf_add(out, p, (size_t)((slash ? slash : end) - p));
    p = slash ? slash : end;
    if (slash) {
      char bytes[4];
      size_t n = resolve(&p, bytes);
      mu_buf_add(out, bytes, n);
    }
  }
  mu_buf_add(out, "", 0); /* terminates an empty one */
  return out->failed ? MU_ENOMEM : 0;
}

/* ---- splices --------------------------------------------------------------------------------- */

static bool is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct mu_edit mu_json_cut(struct mu_str text, const struct mu_json_value *value)
{
  struct mu_edit edit = {0};
  if (value->kind == MU_JSON_NONE || !value->member)
    return edit;
  const char *from = value->member;
  const char *to = value->at + value->len;
  const char *end = text.at + text.len;
  const char *after = to;
  while (after < end && is_space(*after))
    after++;
  if (after < end && *after == ',') {
    to = after + 1;
    while (to < end && is_space(*to))
      to++;
  } else { /* the last member: the comma before it goes, if it is not the only one */
    const char *before = from;
    while (before > text.at && is_space(before[-1]))
      before--;
    if (before > text.at && before[-1] == ',')
      from = before - 1;
  }
  edit.at = (size_t)(from - text.at);
  edit.len = (size_t)(to - from);
  return edit;
}

/* ---- json-c ---------------------------------------------------------------------------------- */

int mu_json_parse(const char *text, size_t len, struct json_object **out, struct mu_json_error *error)
{
  *out = NULL;
  int code = mu_json_scan(NULL, text, len, NULL, error);
  if (code)
    return code;
  while (is_space(text[len - 1]))
    len--;
  if (len > INT32_MAX)
    return MU_ELIMIT;
  struct json_tokener *tokener = json_tokener_new_ex(MUI_JSON_DEPTH * 2);
  if (!tokener)
    return MU_ENOMEM;
  code = MU_ENOMEM; /* after the scan nothing else is left to go wrong */
  json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
  *out = json_tokener_parse_ex(tokener, text, (int)len);
  if (json_tokener_get_error(tokener) == json_tokener_continue) /* a number ends where something else begins */
    *out = json_tokener_parse_ex(tokener, " ", 1);
  if (json_tokener_get_error(tokener) == json_tokener_success)
    code = 0;
  json_tokener_free(tokener);
  return code;
}

/* json-c would write NaN and Infinity as such. */
static bool finite_only(struct json_object *object)
{
  switch (json_object_get_type(object)) {
  case json_type_double:
    return isfinite(json_object_get_double(object));
  case json_type_array:
    for (size_t i = 0; i < json_object_array_length(object); i++)
      if (!finite_only(json_object_array_get_idx(object, i)))
        return false;
    return true;
  case json_type_object: {
    json_object_object_foreach(object, key, member)
    {
      (void)key;
      if (!finite_only(member))
        return false;
    }
    return true;
  }
  default:
    return true;
  }
}

mu_text *mu_json_text(struct json_object *object)
{
  if (!finite_only(object))
    return NULL;
  size_t len = 0;
  const char *text =
      json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
  return text ? mu_text_new(text, len) : NULL;
}

void mu_cleanup_json(struct json_object **object)
{
  json_object_put(*object);
}
