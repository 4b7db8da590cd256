/* SPDX-License-Identifier: ISC */
/* A reader of JSON that changes nothing: where the values are, whatever they hold. */
#include <string.h>

#include "modes.h"

/* What a string may hold as it is: everything but quotes, backslashes and control characters. */
static bool plain(unsigned char c)
{
  return c >= 0x20 && c != '"' && c != '\\';
}

/* Whether none of eight bytes ends a string's plain part; bytes from 0x80 on are plain. */
static bool all_plain(const char *p)
{
  const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
  uint64_t eight;
  memcpy(&eight, p, sizeof eight);
  uint64_t quote = eight ^ ones * '"', slash = eight ^ ones * '\\';
  uint64_t stops = ((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
  return (stops & high) == 0;
}

static const char *skip_space(const char *p, const char *end)
{
  while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
    p++;
  return p;
}

static bool is_hex(char c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* From the opening quote to behind the closing one; NULL: no string. */
static const char *skip_string(const char *p, const char *end)
{
  for (p++; p < end;) {
    if (end - p >= 8 && all_plain(p)) {
      p += 8;
      continue;
    }
    if (plain((unsigned char)*p)) {
      p++;
      continue;
    }
    if (*p == '"')
      return p + 1;
    if (*p != '\\' || ++p == end)
      return NULL;
    if (*p == 'u') {
      if (end - p < 5 || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]))
        return NULL;
      p += 5;
    } else if (*p != '\0' && strchr("\"\\/bfnrt", *p)) {
      p++;
    } else {
      return NULL;
    }
  }
  return NULL;
}

static const char *skip_digits(const char *p, const char *end)
{
  while (p < end && *p >= '0' && *p <= '9')
    p++;
  return p;
}

static const char *skip_number(const char *p, const char *end)
{
  if (p < end && *p == '-')
    p++;
  const char *digits = p;
  p = skip_digits(p, end);
  if (p == digits || (*digits == '0' && p > digits + 1))
    return NULL;
  if (p < end && *p == '.') {
    const char *fraction = ++p;
    p = skip_digits(p, end);
    if (p == fraction)
      return NULL;
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    p++;
    if (p < end && (*p == '+' || *p == '-'))
      p++;
    const char *exponent = p;
    p = skip_digits(p, end);
    if (p == exponent)
      return NULL;
  }
  return p;
}

static const char *skip_word(const char *p, const char *end, const char *word)
{
  size_t len = strlen(word);
  return (size_t)(end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

static enum wire_kind kind_of(char c)
{
  return c == '{'               ? WIRE_OBJECT
         : c == '['             ? WIRE_ARRAY
         : c == '"'             ? WIRE_STRING
         : c == 't' || c == 'f' ? WIRE_BOOL
         : c == 'n'             ? WIRE_NULL
                                : WIRE_NUMBER;
}

static const char *skip_scalar(const char *p, const char *end)
{
  switch (*p) {
  case '"':
    return skip_string(p, end);
  case 't':
    return skip_word(p, end, "true");
  case 'f':
    return skip_word(p, end, "false");
  case 'n':
    return skip_word(p, end, "null");
  default:
    return skip_number(p, end);
  }
}

/* Space, a member's name, the colon and space. NULL: something else. */
static const char *skip_name(const char *p, const char *end, struct mu_str *name)
{
  p = skip_space(p, end);
  if (p == end || *p != '"')
    return NULL;
  const char *quote = p;
  if (!(p = skip_string(p, end)))
    return NULL;
  *name = (struct mu_str){quote, (size_t)(p - quote)};
  p = skip_space(p, end);
  return p < end && *p == ':' ? skip_space(p + 1, end) : NULL;
}

/*
 * From the first character of a value to behind its last. NULL with *error MU_ESYNTAX or MU_ELIMIT. Without recursion: `stack` has a bit for each
 * open bracket, 1 for an object.
 */
static const char *skip_value(const char *p, const char *end, unsigned depth, int *error)
{
  uint64_t stack = 0;
  unsigned open = 0;
  struct mu_str name;
  *error = MU_ESYNTAX;
  for (;;) {
    if (p == end)
      return NULL;
    if (*p == '{' || *p == '[') {
      bool object = *p == '{';
      if (depth + ++open > WIRE_DEPTH_MAX) {
        *error = MU_ELIMIT;
        return NULL;
      }
      stack = stack << 1 | object;
      p = skip_space(p + 1, end);
      if (p == end)
        return NULL;
      if (*p != (object ? '}' : ']')) {
        if (object && !(p = skip_name(p, end, &name)))
          return NULL;
        continue;
      }
    } else {
      if (!(p = skip_scalar(p, end)))
        return NULL;
      if (!open)
        return p;
      p = skip_space(p, end);
    }
    /* Behind a value: the brackets that end here, then a comma. */
    for (;;) {
      if (p == end)
        return NULL;
      if (*p == ',')
        break;
      if (*p != (stack & 1 ? '}' : ']'))
        return NULL;
      p++;
      stack >>= 1;
      if (--open == 0)
        return p;
      p = skip_space(p, end);
    }
    p = skip_space(p + 1, end);
    if ((stack & 1) && !(p = skip_name(p, end, &name)))
      return NULL;
  }
}

static const char *const member_names[WIRE_MEMBERS] = {
    [WIRE_TYPE] = "type",
    [WIRE_DATA] = "data",
    [WIRE_TIMESTAMP] = "timestamp",
    [WIRE_DEVICE_ID] = "deviceId",
    [WIRE_DEVICE_NAME] = "deviceName",
    [WIRE_COMMAND_ID] = "commandId",
    [WIRE_STATUS] = "status",
    [WIRE_MESSAGE] = "message",
};

static bool quoted_is(struct mu_str quoted, const char *word)
{
  size_t len = strlen(word);
  if (!memchr(quoted.at, '\\', quoted.len))
    return quoted.len == len + 2 && memcmp(quoted.at + 1, word, len) == 0;
  if (quoted.len > 6 * len + 2) /* longer than all of it written as \uXXXX */
    return false;
  struct mu_buf text = MU_BUF_INIT;
  wire_unescape(quoted, &text);
  bool same = !text.failed && text.len == len && memcmp(text.at, word, len) == 0;
  mu_buf_free(&text);
  return same;
}

static int member_of(struct mu_str name)
{
  if (name.len < 6)
    return WIRE_MEMBERS;
  for (int i = 0; i < WIRE_MEMBERS; i++)
    if ((name.at[1] == member_names[i][0] || name.at[1] == '\\') && quoted_is(name, member_names[i]))
      return i;
  return WIRE_MEMBERS;
}

/* One member: name, colon, value. NULL as skip_value(). */
static const char *skip_member(const char *p, const char *end, struct mu_str *name, struct wire_value *value,
                               int *error)
{
  *error = MU_ESYNTAX;
  if (!(p = skip_name(p, end, name)) || p == end)
    return NULL;
  const char *from = p;
  if (!(p = skip_value(p, end, 1, error)))
    return NULL;
  *value = (struct wire_value){{from, (size_t)(p - from)}, kind_of(*from)};
  return p;
}

/* The whole object from behind its bracket. */
static const char *read_object(const char *p, const char *end, struct wire *wire, int *error)
{
  *error = MU_ESYNTAX;
  p = skip_space(p, end);
  if (p < end && *p == '}')
    return p + 1;
  for (;;) {
    struct mu_str name;
    struct wire_value value;
    if (!(p = skip_member(p, end, &name, &value, error)))
      return NULL;
    int member = member_of(name);
    if (member < WIRE_MEMBERS)
      wire->member[member] = value;
    *error = MU_ESYNTAX;
    p = skip_space(p, end);
    if (p == end || (*p != ',' && *p != '}'))
      return NULL;
    if (*p++ == '}')
      return p;
  }
}

int wire_read(struct mu_str text, struct wire *wire)
{
  *wire = (struct wire){0};
  const char *end = text.at + text.len, *from = skip_space(text.at, end);
  if (from == end)
    return 0;
  int error = 0;
  const char *p = *from == '{' ? read_object(from + 1, end, wire, &error) : skip_value(from, end, 0, &error);
  if (p && skip_space(p, end) == end) {
    wire->whole = (struct wire_value){{from, (size_t)(p - from)}, kind_of(*from)};
    return 0;
  }
  *wire = (struct wire){0};
  return !p && error == MU_ELIMIT ? MU_ELIMIT : 0;
}

bool wire_next(struct mu_str object, size_t *at, struct mu_str *name, struct wire_value *value)
{
  const char *end = object.at + object.len, *p = skip_space(object.at + (*at ? *at : 1), end);
  if (p < end && *p == ',')
    p++;
  int error;
  if (p == end || *p == '}' || !(p = skip_member(p, end, name, value, &error)))
    return false;
  *at = (size_t)(p - object.at);
  return true;
}

/* ---- strings ---------------------------------------------------------------------------------- */

static unsigned hex4(const char *p)
{
  unsigned value = 0;
  for (int i = 0; i < 4; i++)
    value = value << 4 | (unsigned)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
  return value;
}

static void add_character(struct mu_buf *out, unsigned c)
{
  char utf8[4];
  size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = len; i-- > 1; c >>= 6)
    utf8[i] = (char)(0x80 | (c & 0x3f));
  utf8[0] = (char)(first[len] | c);
  mu_buf_add(out, utf8, len);
}

/* At a \uXXXX: adds what it means and returns the position behind it. U+0000 is a character that no database likes. */
static const char *add_escaped(struct mu_buf *out, const char *p, const char *end)
{
  unsigned c = hex4(p + 2);
  p += 6;
  if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
    unsigned low = hex4(p + 2);
    if (low >= 0xdc00 && low < 0xe000) {
      add_character(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
      return p + 6;
    }
  }
  add_character(out, c == 0 || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c);
  return p;
}

void wire_unescape(struct mu_str quoted, struct mu_buf *out)
{
  mu_buf_add(out, "", 0);
  const char *p = quoted.at + 1, *end = quoted.at + quoted.len - 1;
  while (p < end) {
    const char *slash = memchr(p, '\\', (size_t)(end - p));
    const char *until = slash ? slash : end;
    mu_buf_add(out, p, (size_t)(until - p));
    if (!slash)
      return;
    if (slash[1] == 'u') {
      p = add_escaped(out, slash, end);
      continue;
    }
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *known = strchr(from, slash[1]);
    mu_buf_add(out, known ? &to[known - from] : &slash[1], 1);
    p = slash + 2;
  }
}

bool wire_is(const struct wire_value *value, const char *word)
{
  return value->kind == WIRE_STRING && quoted_is(value->text, word);
}

size_t wire_characters(struct mu_str text)
{
  size_t count = 0;
  for (size_t i = 0; i < text.len; i++)
    count += (text.at[i] & 0xc0) != 0x80;
  return count;
}

struct mu_str wire_cut(struct mu_str text, size_t max)
{
  for (size_t i = 0; i < text.len; i++)
    if ((text.at[i] & 0xc0) != 0x80 && max-- == 0)
      return (struct mu_str){text.at, i};
  return text;
}

/* Bytes of the character that begins here; 0: none does. */
static size_t utf8_character(const unsigned char *p, size_t len)
{
  if (p[0] < 0x80)
    return 1;
  size_t need = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
  if (need == 0 || need > len)
    return 0;
  for (size_t i = 1; i < need; i++)
    if ((p[i] & 0xc0) != 0x80)
      return 0;
  bool long_form = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
  bool nobody = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
  return long_form || nobody ? 0 : need;
}

bool wire_is_utf8(struct mu_str text)
{
  for (size_t i = 0, step; i < text.len; i += step)
    if (!(step = utf8_character((const unsigned char *)text.at + i, text.len - i)))
      return false;
  return true;
}
