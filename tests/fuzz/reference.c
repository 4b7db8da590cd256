/* SPDX-License-Identifier: ISC */
#include "reference.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reader {
  const char *text;
  size_t at, len;
  enum ref_reason reason;
};

static void *need(void *memory)
{
  if (!memory)
    abort();
  return memory;
}

static bool refuse(struct reader *r, enum ref_reason reason)
{
  if (r->reason == REF_OK)
    r->reason = reason;
  return false;
}

/* The byte at the position, or -1 at the end. */
static int peek(const struct reader *r)
{
  return r->at < r->len ? (unsigned char)r->text[r->at] : -1;
}

static void space(struct reader *r)
{
  while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\n' || peek(r) == '\r')
    r->at++;
}

/* The reason for a byte that nothing can begin with. */
static bool strange(struct reader *r)
{
  int c = peek(r);
  if (c == '\v' || c == '\f')
    return refuse(r, REF_SPACE);
  if (c == '\'')
    return refuse(r, REF_QUOTE);
  if (c == '+' || c == '.')
    return refuse(r, REF_NUMBER);
  if (c >= 0 && strchr("tfnTFNiI", c) && c != 0)
    return refuse(r, REF_LITERAL);
  return refuse(r, REF_STRUCTURE);
}

static bool hexes(struct reader *r, unsigned *value)
{
  *value = 0;
  for (int i = 0; i < 4; i++, r->at++) {
    int c = peek(r);
    if (c < 0 || !isxdigit(c))
      return refuse(r, REF_ESCAPE);
    *value = *value * 16 + (unsigned)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
  }
  return true;
}

static size_t encode(unsigned c, char *to)
{
  if (c < 0x80)
    return to[0] = (char)c, 1;
  if (c < 0x800)
    return to[0] = (char)(0xc0 | c >> 6), to[1] = (char)(0x80 | (c & 63)), 2;
  if (c < 0x10000)
    return to[0] = (char)(0xe0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63)), to[2] = (char)(0x80 | (c & 63)), 3;
  to[0] = (char)(0xf0 | c >> 18);
  to[1] = (char)(0x80 | (c >> 12 & 63));
  to[2] = (char)(0x80 | (c >> 6 & 63));
  to[3] = (char)(0x80 | (c & 63));
  return 4;
}

/* Behind a backslash. */
static bool escape(struct reader *r, unsigned *c)
{
  static const char names[] = "\"\\/bfnrtu", values[] = "\"\\/\b\f\n\r\t";
  const char *name = peek(r) > 0 ? strchr(names, peek(r)) : NULL;
  if (!name)
    return refuse(r, REF_ESCAPE);
  r->at++;
  if (*name != 'u') {
    *c = (unsigned char)values[name - names];
    return true;
  }
  if (!hexes(r, c))
    return false;
  if (*c == 0)
    return refuse(r, REF_NUL);
  if (*c >= 0xdc00 && *c <= 0xdfff)
    return refuse(r, REF_SURROGATE);
  if (*c >= 0xd800 && *c <= 0xdbff) {
    unsigned low;
    if (peek(r) != '\\' || r->at + 1 >= r->len || r->text[r->at + 1] != 'u')
      return refuse(r, REF_SURROGATE);
    r->at += 2;
    if (!hexes(r, &low))
      return false;
    if (low < 0xdc00 || low > 0xdfff)
      return refuse(r, REF_SURROGATE);
    *c = 0x10000 + (*c - 0xd800) * 0x400 + (low - 0xdc00);
  }
  return true;
}

/* One character that is not ASCII, by its code point. */
static bool utf8(struct reader *r, unsigned *c)
{
  unsigned lead = (unsigned)peek(r);
  unsigned more = lead >= 0xf0 && lead < 0xf8   ? 3
                  : lead >= 0xe0 && lead < 0xf0 ? 2
                  : lead >= 0xc0 && lead < 0xe0 ? 1
                                                : 0;
  if (more == 0)
    return refuse(r, REF_UTF8);
  *c = lead & (0x3fu >> more);
  r->at++;
  for (unsigned i = 0; i < more; i++, r->at++) {
    if (peek(r) < 0x80 || peek(r) > 0xbf)
      return refuse(r, REF_UTF8);
    *c = *c << 6 | ((unsigned)peek(r) & 0x3f);
  }
  static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
  if (*c < least[more] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff))
    return refuse(r, REF_UTF8);
  return true;
}

static bool string(struct reader *r, char **out, size_t *out_len, bool *escaped)
{
  if (peek(r) != '"')
    return strange(r);
  r->at++;
  *out = need(malloc(r->len - r->at + 5));
  *out_len = 0;
  for (;;) {
    int next = peek(r);
    unsigned c = (unsigned)next;
    if (next < 0)
      return refuse(r, REF_STRUCTURE);
    if (next == '"') {
      r->at++;
      (*out)[*out_len] = '\0';
      return true;
    }
    if (next < 0x20)
      return refuse(r, REF_CONTROL);
    if (next == '\\') {
      *escaped = true;
      r->at++;
      if (!escape(r, &c))
        return false;
    } else if (next >= 0x80) {
      if (!utf8(r, &c))
        return false;
    } else {
      r->at++;
    }
    *out_len += encode(c, *out + *out_len);
  }
}

static size_t digits(struct reader *r)
{
  size_t from = r->at;
  while (peek(r) >= '0' && peek(r) <= '9')
    r->at++;
  return r->at - from;
}

/* Whether a row of digits without leading zeros is at most `limit`. */
static bool at_most(const char *number, size_t len, const char *limit)
{
  size_t limit_len = strlen(limit);
  return len < limit_len || (len == limit_len && memcmp(number, limit, len) <= 0);
}

static bool number(struct reader *r, struct ref_node *node)
{
  node->kind = MU_JSON_NUMBER;
  node->negative = peek(r) == '-';
  r->at += node->negative;
  const char *whole = r->text + r->at;
  size_t whole_len = digits(r);
  if (whole_len == 0)
    return refuse(r, peek(r) == 'I' || peek(r) == 'i' || peek(r) == 'N' || peek(r) == 'n' ? REF_LITERAL : REF_NUMBER);
  if (whole_len > 1 && whole[0] == '0')
    return refuse(r, REF_NUMBER);
  node->literal_int = true;
  if (peek(r) == '.') {
    node->literal_int = false;
    r->at++;
    if (digits(r) == 0)
      return refuse(r, REF_NUMBER);
  }
  if (peek(r) == 'e' || peek(r) == 'E') {
    node->literal_int = false;
    r->at++;
    r->at += peek(r) == '+' || peek(r) == '-';
    if (digits(r) == 0)
      return refuse(r, REF_NUMBER);
  }
  if (node->literal_int && !at_most(whole, whole_len, node->negative ? "9223372036854775808" : "18446744073709551615"))
    return refuse(r, REF_INTEGER);
  char *copy = need(strndup(r->text + node->begin, r->at - node->begin));
  node->number = strtod(copy, NULL);
  if (node->literal_int)
    node->magnitude = strtoull(copy + node->negative, NULL, 10);
  free(copy);
  return isfinite(node->number) || refuse(r, REF_FINITE);
}

static bool word(struct reader *r, const char *text)
{
  size_t len = strlen(text);
  if (r->len - r->at < len || memcmp(r->text + r->at, text, len) != 0)
    return refuse(r, REF_LITERAL);
  r->at += len;
  return true;
}

static bool value(struct reader *r, struct ref_node *node, unsigned depth);

/* The inside of an object or an array. */
static bool container(struct reader *r, struct ref_node *node, unsigned depth)
{
  int close = peek(r) == '{' ? '}' : ']';
  node->kind = close == '}' ? MU_JSON_OBJECT : MU_JSON_ARRAY;
  if (depth == 32)
    return refuse(r, REF_DEPTH);
  r->at++;
  space(r);
  if (peek(r) == close) {
    r->at++;
    return true;
  }
  struct ref_node **tail = &node->child;
  for (;;) {
    struct ref_node *child = *tail = need(calloc(1, sizeof *child));
    tail = &child->next;
    space(r);
    if (close == '}') {
      bool escaped = false;
      child->key_begin = r->at;
      if (!string(r, &child->key, &child->key_len, &escaped))
        return false;
      space(r);
      if (peek(r) != ':')
        return strange(r);
      r->at++;
      space(r);
    }
    if (!value(r, child, depth + 1))
      return false;
    space(r);
    if (peek(r) == close) {
      r->at++;
      return true;
    }
    if (peek(r) != ',')
      return strange(r);
    r->at++;
  }
}

static bool value(struct reader *r, struct ref_node *node, unsigned depth)
{
  node->begin = r->at;
  bool good;
  switch (peek(r)) {
  case '{':
  case '[':
    good = container(r, node, depth);
    break;
  case '"':
    node->kind = MU_JSON_STRING;
    good = string(r, &node->string, &node->string_len, &node->escaped);
    break;
  case 't':
    node->kind = MU_JSON_BOOL;
    node->boolean = true;
    good = word(r, "true");
    break;
  case 'f':
    node->kind = MU_JSON_BOOL;
    good = word(r, "false");
    break;
  case 'n':
    node->kind = MU_JSON_NULL;
    good = word(r, "null");
    break;
  default:
    good = peek(r) == '-' || (peek(r) >= '0' && peek(r) <= '9') ? number(r, node) : strange(r);
  }
  node->end = r->at;
  return good;
}

struct ref_node *ref_parse(const char *text, size_t len, enum ref_reason *reason)
{
  struct reader r = {.text = text, .len = len};
  struct ref_node *node = need(calloc(1, sizeof *node));
  space(&r);
  bool good = value(&r, node, 0);
  space(&r);
  if (good && r.at < r.len)
    good = refuse(&r, REF_TRAILING);
  *reason = r.reason;
  if (good)
    return node;
  ref_free(node);
  return NULL;
}

void ref_free(struct ref_node *node)
{
  while (node) {
    struct ref_node *next = node->next;
    ref_free(node->child);
    free(node->string);
    free(node->key);
    free(node);
    node = next;
  }
}
