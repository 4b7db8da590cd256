/* SPDX-License-Identifier: ISC */
/* One strict pass over a text, walking a schema's tree along. */
#include <stdio.h>

#include "base/utf8.h"
#include "json/number.h"
#include "json/plain.h"
#include "json/schema.h"

struct scan {
  const char *start, *at, *end;
  char *out;
  struct mu_json_error *error;
  unsigned depth;
  uint32_t index[MUI_JSON_DEPTH + 1]; /* per level: the element of the array that the pass is in */
};

/* ---- errors ---------------------------------------------------------------------------------- */

static void put_path(const struct scan *s, const struct mui_json_node *node, char *path, size_t room)
{
  if (!node->parent)
    return;
  put_path(s, node->parent, path, room);
  size_t len = strlen(path);
  if (node->name_len == 0)
    snprintf(path + len, room - len, "[%u]", (unsigned)s->index[node->level]);
  else
    snprintf(path + len, room - len, "%s%s", len ? "." : "", node->name);
}

/* Notes an error at `at`; `node` is the field, or NULL. */
static int fail(struct scan *s, int code, const char *at, const struct mui_json_node *node, const char *what)
{
  struct mu_json_error *error = s->error;
  if (!error)
    return code;
  error->code = code;
  error->offset = (size_t)(at - s->start);
  error->path[0] = '\0';
  if (node)
    put_path(s, node, error->path, sizeof error->path);
  snprintf(error->what, sizeof error->what, "%s", what);
  return code;
}

static int syntax(struct scan *s, const char *what)
{
  return fail(s, MU_ESYNTAX, s->at, NULL, what);
}

static int wrong_type(struct scan *s, const struct mui_json_node *node, const char *at)
{
  static const char *const names[] = {
      [MU_FIELD_ANY] = "a value",         [MU_FIELD_BOOL] = "true or false", [MU_FIELD_INT] = "a whole number",
      [MU_FIELD_UINT] = "a whole number", [MU_FIELD_NUMBER] = "a number",    [MU_FIELD_STRING] = "a string",
      [MU_FIELD_OBJECT] = "an object",    [MU_FIELD_ARRAY] = "an array",
  };
  char what[64];
  snprintf(what, sizeof what, "must be %s%s", names[node->type], node->nullable ? " or null" : "");
  return fail(s, MU_ETYPE, at, node, what);
}

static int wrong_range(struct scan *s, const struct mui_json_node *node, const char *at)
{
  char what[96];
  if (node->type == MU_FIELD_STRING)
    snprintf(what, sizeof what, "must be at most %.15g bytes long", node->max);
  else if (node->ranged)
    snprintf(what, sizeof what, "must be a number from %.15g to %.15g", node->min, node->max);
  else if (node->type == MU_FIELD_UINT)
    snprintf(what, sizeof what, "must be a whole number from 0 to %lld", (long long)INT64_MAX);
  else
    snprintf(what, sizeof what, "must be a whole number that fits into 64 bits");
  return fail(s, MU_ERANGE, at, node, what);
}

/* ---- strings --------------------------------------------------------------------------------- */

static inline void skip_space(struct scan *s)
{
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
    s->at++;
}

/* The first byte from `p` on that needs a look: quote, backslash, control character, not ASCII; or `end`. */
static inline const char *skip_plain(const char *p, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const uint64_t ones = UINT64_C(0x0101010101010101);
  const uint64_t tops = UINT64_C(0x8080808080808080);
  while (end - p >= 8) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    uint64_t quote = word ^ (ones * '"');
    uint64_t slash = word ^ (ones * '\\');
    /* The usual zero-byte trick: the lowest byte found is exact, and only that one is used. */
    uint64_t found =
        (((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | word) & tops;
    if (found)
      return p + (__builtin_ctzll(found) >> 3);
    p += 8;
  }
#endif
  while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
    p++;
  return p;
}

/* Four hexadecimal digits at `p`, or -1. */
static int hex4(const char *p, const char *end)
{
  if (end - p < 4)
    return -1;
  int value = 0;
  for (int i = 0; i < 4; i++) {
    int c = (unsigned char)p[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0)
      return -1;
    value = value * 16 + digit;
  }
  return value;
}

/* At a backslash; moves behind the escape. */
static int scan_escape(struct scan *s)
{
  const char *p = s->at + 1;
  if (p == s->end)
    return syntax(s, "the text ends inside a string");
  if (*p != 'u') {
    if (!memchr("\"\\/bfnrt", *p, 8))
      return syntax(s, "unknown escape");
    s->at = p + 1;
    return 0;
  }
  int unit = hex4(p + 1, s->end);
  if (unit < 0)
    return syntax(s, "\\u needs four hexadecimal digits");
  if (unit == 0)
    return syntax(s, "U+0000 is not allowed");
  p += 5;
  if (unit >= 0xd800 && unit < 0xe000) {
    int low = s->end - p >= 2 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, s->end) : -1;
    if (unit >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
      return syntax(s, "lone surrogate");
    p += 6;
  }
  s->at = p;
  return 0;
}

/* At a quote; moves behind the closing one. */
static inline int scan_string(struct scan *s, bool *escaped)
{
  s->at++;
  for (*escaped = false;;) {
    s->at = skip_plain(s->at, s->end);
    if (s->at == s->end)
      return syntax(s, "the text ends inside a string");
    unsigned char c = (unsigned char)*s->at;
    if (c == '"') {
      s->at++;
      return 0;
    }
    if (c == '\\') {
      *escaped = true;
      int code = scan_escape(s);
      if (code)
        return code;
    } else if (c < 0x20) {
      return syntax(s, "control character in a string");
    } else {
      size_t step = mui_utf8_step(s->at, (size_t)(s->end - s->at));
      if (step == 0)
        return syntax(s, "invalid UTF-8");
      s->at += step;
    }
  }
}

/* ---- values ---------------------------------------------------------------------------------- */

static int scan_value(struct scan *s, const struct mui_json_node *node, const char *member);

/* Which known member a key names; -1: none. `key` with quotes. */
static int find_member(const struct mui_json_node *node, const char *key, size_t len, bool escaped)
{
  if (!escaped)
    return mui_json_find(node, key + 1, len - 2);
  char plain[MUI_JSON_NAME_MAX * 6]; /* "\u0063" for each byte: a longer key is none of ours */
  if (len - 2 > sizeof plain)
    return -1;
  size_t plain_len = mui_json_plain(key + 1, len - 2, plain);
  return mui_json_find(node, plain, plain_len);
}

static int scan_object(struct scan *s, const struct mui_json_node *node)
{
  const char *open = s->at++;
  if (++s->depth > MUI_JSON_DEPTH)
    return fail(s, MU_ELIMIT, open, NULL, "more than 32 levels");
  if (node && node->count == 0)
    node = NULL;
  uint64_t seen = 0;
  skip_space(s);
  if (s->at < s->end && *s->at == '}')
    goto close;
  for (;;) {
    if (s->at == s->end || *s->at != '"')
      return syntax(s, "expected a member's name");
    const char *key = s->at;
    bool escaped;
    int code = scan_string(s, &escaped);
    if (code)
      return code;
    const struct mui_json_node *child = NULL;
    if (node) {
      int found = find_member(node, key, (size_t)(s->at - key), escaped);
      if (found >= 0) {
        child = node->members[found];
        uint64_t bit = UINT64_C(1) << found;
        if (seen & bit)
          return fail(s, MU_EEXIST, key, child, "is given twice");
        seen |= bit;
      }
    }
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
      return syntax(s, "expected a colon");
    s->at++;
    skip_space(s);
    code = scan_value(s, child, key);
    if (code)
      return code;
    skip_space(s);
    if (s->at < s->end && *s->at == '}')
      break;
    if (s->at == s->end || *s->at != ',')
      return syntax(s, "expected a comma or a closing brace");
    s->at++;
    skip_space(s);
  }
close:
  s->at++;
  s->depth--;
  if (node && (node->required & ~seen))
    return fail(s, MU_EMISSING, open, node->members[__builtin_ctzll(node->required & ~seen)], "is missing");
  return 0;
}

static int scan_array(struct scan *s, const struct mui_json_node *node)
{
  const struct mui_json_node *element = node ? node->element : NULL;
  const char *open = s->at++;
  if (++s->depth > MUI_JSON_DEPTH)
    return fail(s, MU_ELIMIT, open, NULL, "more than 32 levels");
  unsigned level = s->depth;
  s->index[level] = 0;
  skip_space(s);
  if (s->at < s->end && *s->at == ']')
    goto close;
  for (;;) {
    int code = scan_value(s, element, NULL);
    if (code)
      return code;
    skip_space(s);
    if (s->at < s->end && *s->at == ']')
      break;
    if (s->at == s->end || *s->at != ',')
      return syntax(s, "expected a comma or a closing bracket");
    s->at++;
    s->index[level]++;
    skip_space(s);
  }
close:
  s->at++;
  s->depth--;
  return 0;
}

static int scan_number(struct scan *s, const struct mui_json_node *node, struct mu_json_value *value)
{
  struct mui_json_number number;
  int code = mui_json_number(&s->at, s->end, node != NULL, &number);
  if (code == MU_ERANGE)
    return fail(s, code, value->at, node, "must be a finite number, if whole within 64 bits");
  if (code)
    return syntax(s, "malformed number");
  value->kind = MU_JSON_NUMBER;
  value->whole = number.whole;
  value->integer = number.integer;
  value->number = number.number;
  return 0;
}

static int scan_literal(struct scan *s, const char *word, size_t len)
{
  if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
    return syntax(s, "expected a value");
  s->at += len;
  return 0;
}

/* Whether a number suits the field: 0, MU_ETYPE, MU_ERANGE. */
static int judge_number(const struct mui_json_node *node, const struct mu_json_value *value)
{
  if (node->type != MU_FIELD_NUMBER && !value->whole)
    return memchr(value->at, '.', value->len) || memchr(value->at, 'e', value->len) ||
                   memchr(value->at, 'E', value->len)
               ? MU_ETYPE
               : MU_ERANGE; /* whole, but only an uint64 */
  if (node->type == MU_FIELD_UINT && value->integer < 0)
    return MU_ERANGE;
  return node->ranged && !(value->number >= node->min && value->number <= node->max) ? MU_ERANGE : 0;
}

/* Whether a value that begins with `c` can suit the field; containers are judged before they are entered. */
static inline bool suits(const struct mui_json_node *node, char c)
{
  switch (node->type) {
  case MU_FIELD_ANY:
    return true;
  case MU_FIELD_BOOL:
    return c == 't' || c == 'f' || (c == 'n' && node->nullable);
  case MU_FIELD_STRING:
    return c == '"' || (c == 'n' && node->nullable);
  case MU_FIELD_OBJECT:
    return c == '{' || (c == 'n' && node->nullable);
  case MU_FIELD_ARRAY:
    return c == '[' || (c == 'n' && node->nullable);
  default:
    return c == '-' || (c >= '0' && c <= '9') || (c == 'n' && node->nullable);
  }
}

static int scan_value(struct scan *s, const struct mui_json_node *node, const char *member)
{
  if (s->at == s->end)
    return syntax(s, "expected a value");
  char c = *s->at;
  if (node && !suits(node, c) && (memchr("tfn\"{[-", c, 7) || (c >= '0' && c <= '9')))
    return wrong_type(s, node, s->at);
  struct mu_json_value value = {.at = s->at, .member = member};
  int code;
  switch (c) {
  case '"':
    value.kind = MU_JSON_STRING;
    code = scan_string(s, &value.escaped);
    break;
  case '{':
    value.kind = MU_JSON_OBJECT;
    code = scan_object(s, node);
    break;
  case '[':
    value.kind = MU_JSON_ARRAY;
    code = scan_array(s, node);
    break;
  case 't':
    value.kind = MU_JSON_BOOL;
    value.boolean = true;
    code = scan_literal(s, "true", 4);
    break;
  case 'f':
    value.kind = MU_JSON_BOOL;
    code = scan_literal(s, "false", 5);
    break;
  case 'n':
    value.kind = MU_JSON_NULL;
    code = scan_literal(s, "null", 4);
    break;
  default:
    if (c != '-' && !(c >= '0' && c <= '9'))
      return syntax(s, "expected a value");
    code = scan_number(s, node, &value);
  }
  if (code || !node)
    return code;
  value.len = (uint32_t)(s->at - value.at);
  if (value.kind == MU_JSON_NUMBER && node->type != MU_FIELD_ANY) {
    code = judge_number(node, &value);
    if (code == MU_ETYPE)
      return wrong_type(s, node, value.at);
    if (code)
      return wrong_range(s, node, value.at);
  }
  if (value.kind == MU_JSON_STRING && node->type == MU_FIELD_STRING && node->ranged &&
      (double)(value.len - 2) > node->max)
    return wrong_range(s, node, value.at);
  if (node->offset != MU_FIELD_CHECK_ONLY && s->out)
    memcpy(s->out + node->offset, &value, sizeof value);
  return 0;
}

int mu_json_scan(const mu_schema *schema, const char *text, size_t len, void *out, struct mu_json_error *error)
{
  struct scan s = {.start = text ? text : "", .out = schema ? out : NULL, .error = error};
  s.at = s.start;
  s.end = s.start + (text ? len : 0);
  if (error) {
    error->code = 0;
    error->offset = 0;
    error->path[0] = error->what[0] = '\0';
  }
  if (s.out)
    for (size_t i = 0; i < schema->kept; i++)
      memset(s.out + schema->offsets[i], 0, sizeof(struct mu_json_value));
  if (len > UINT32_MAX)
    return fail(&s, MU_ELIMIT, s.start, NULL, "longer than 4 GiB");
  skip_space(&s);
  int code = scan_value(&s, schema ? schema->root : NULL, NULL);
  if (code)
    return code;
  skip_space(&s);
  return s.at == s.end ? 0 : syntax(&s, "bytes after the value");
}
