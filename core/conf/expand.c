/* SPDX-License-Identifier: ISC */
/*
 * Puts the text together that libconfig parses: includes put in, comments left out, integers checked and widened.
 * libconfig 1.5 wraps integers in silence, knows neither recursion nor folders of includes, and says "syntax error"
 * for all that can be explained here.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "conf/internal.h"

/* An open bracket; the lowest is the file itself. */
struct frame {
  char open;
  unsigned line; /* of the expanded text */
  mu_map *names; /* groups: name → line of the expanded text */
};

struct expander {
  struct mui_config *config;
  struct mui_expanded *to;
  struct frame frames[MUI_CONF_DEPTH + 1];
  size_t depth;
  uint64_t identities[MUI_CONF_INCLUDES + 1][3]; /* the files that are open now */
  size_t files;
  unsigned renamed;
  char previous; /* the last mark: itself for punctuation, 'n' name, '"' string, '0' number; 0: none */
  bool stop;
};

/* Where we are in one file. */
struct cursor {
  const struct mui_source *source;
  const char *at, *end;
  unsigned line;
};

#define REPORT(e, cursor, ...)                                                                                         \
  (mui_problem((e)->config->problems, false, (cursor)->source->path, (cursor)->line, __VA_ARGS__),                     \
   (e)->to->broken = true)

static void no_memory(struct expander *e)
{
  mui_problem(e->config->problems, false, NULL, 0, "out of memory");
  e->to->broken = e->stop = true;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void put(struct expander *e, const char *text, size_t len)
{
  for (size_t i = 0; i < len; i++)
    e->to->line += text[i] == '\n';
  mu_buf_add(&e->to->out, text, len);
}

static void take(struct expander *e, struct cursor *c, size_t len)
{
  for (size_t i = 0; i < len; i++)
    c->line += c->at[i] == '\n';
  put(e, c->at, len);
  c->at += len;
}

/* What follows comes from the cursor's place. */
static void segment(struct expander *e, const struct cursor *c)
{
  struct mui_expanded *to = e->to;
  struct mui_segment *segments = realloc(to->segments, (to->count + 1) * sizeof(*segments));
  if (!segments) {
    no_memory(e);
    return;
  }
  to->segments = segments;
  segments[to->count++] = (struct mui_segment){.line = to->line, .source = c->source, .first = c->line};
}

static void mark_bad(struct expander *e)
{
  struct mui_expanded *to = e->to;
  unsigned *bad = realloc(to->bad, (to->bad_count + 1) * sizeof(*bad));
  if (!bad) {
    no_memory(e);
    return;
  }
  to->bad = bad;
  bad[to->bad_count++] = to->line;
}

void mui_expanded_place(const struct mui_expanded *expanded, unsigned line, const struct mui_source **source,
                        unsigned *source_line)
{
  size_t low = 0, high = expanded->count;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (expanded->segments[middle].line <= line)
      low = middle;
    else
      high = middle;
  }
  const struct mui_segment *found = &expanded->segments[low];
  *source = found->source;
  *source_line = found->first + (line > found->line ? line - found->line : 0);
}

/* ---- brackets -------------------------------------------------------------------------------- */

static void open_bracket(struct expander *e, struct cursor *c)
{
  char inside = e->frames[e->depth].open;
  if (inside == '(' && e->previous && strchr("})]", e->previous))
    REPORT(e, c, "a comma is missing before '%c'", *c->at);
  if (e->depth == MUI_CONF_DEPTH) {
    REPORT(e, c, "more than %d levels", MUI_CONF_DEPTH);
    e->stop = true;
    return;
  }
  struct frame *frame = &e->frames[++e->depth];
  *frame = (struct frame){.open = *c->at, .line = e->to->line};
  if (frame->open == '{' && !(frame->names = mu_map_new()))
    no_memory(e);
}

static void close_bracket(struct expander *e, struct cursor *c)
{
  struct frame *frame = &e->frames[e->depth];
  if (e->depth == 0) {
    REPORT(e, c, "'%c' closes nothing", *c->at);
    e->stop = true;
    return;
  }
  char expected = frame->open == '{' ? '}' : frame->open == '(' ? ')' : ']';
  if (*c->at != expected) {
    const struct mui_source *source;
    unsigned line;
    mui_expanded_place(e->to, frame->line, &source, &line);
    REPORT(e, c, "'%c' where the '%c' of %s:%u should be closed by '%c'", *c->at, frame->open, source->path, line,
           expected);
    e->stop = true;
    return;
  }
  if (e->previous == ',')
    REPORT(e, c, "a comma before '%c': leave it out after the last value", *c->at);
  mu_map_free(frame->names);
  e->depth--;
}

/* ---- words ----------------------------------------------------------------------------------- */

static void rename_to(struct expander *e, const char *keep)
{
  char name[32];
  snprintf(name, sizeof(name), "*%u%s", e->renamed++, keep ? "*" : "");
  put(e, name, strlen(name));
  if (keep)
    put(e, keep, strlen(keep));
}

/* The name of a setting: remembered, or renamed when it was there before. */
static void name(struct expander *e, struct cursor *c, size_t len)
{
  char word[256];
  if (len >= sizeof(word) || memchr(c->at, '*', len)) {
    REPORT(e, c, "a name consists of letters, digits, '_' and '-', at most %zu", sizeof(word) - 1);
    c->at += len;
    return;
  }
  memcpy(word, c->at, len);
  word[len] = '\0';
  mu_map *names = e->frames[e->depth].names;
  uintptr_t before = (uintptr_t)mu_map_get(names, mu_str(word));
  if (before == 0) {
    if (mu_map_add(names, mu_str(word), (void *)(uintptr_t)e->to->line) < 0)
      no_memory(e);
    take(e, c, len);
    return;
  }
  const struct mui_source *source;
  unsigned line;
  mui_expanded_place(e->to, (unsigned)before, &source, &line);
  const struct mui_config *config = e->config;
  bool appends = e->depth == 0 && source != c->source &&
                 (mui_word_in(word, config->appending) || (config->drop_in && mui_word_in(word, config->foreign)));
  if (!appends)
    mui_problem(e->config->problems, false, c->source->path, c->line, "'%s' is already set at %s:%u", word,
                source->path, line);
  rename_to(e, appends ? word : NULL);
  c->at += len;
}

static void word(struct expander *e, struct cursor *c)
{
  size_t len = 1, most = (size_t)(c->end - c->at);
  while (len < most && (isalnum((unsigned char)c->at[len]) || strchr("_-*", c->at[len])))
    len++;
  bool boolean = (len == 4 && strncasecmp(c->at, "true", 4) == 0) || (len == 5 && strncasecmp(c->at, "false", 5) == 0);
  bool setting = e->frames[e->depth].names && e->previous != '=';
  if (!boolean && setting) {
    name(e, c, len);
  } else {
    if (!boolean)
      REPORT(e, c, "'%.*s' is no value: write true or false, or put texts in quotes", (int)(len < 64 ? len : 64),
             c->at);
    take(e, c, len);
  }
  e->previous = 'n';
}

/* ---- numbers --------------------------------------------------------------------------------- */

static size_t digits(const char *at, const char *end)
{
  size_t n = 0;
  while (at + n < end && isdigit((unsigned char)at[n]))
    n++;
  return n;
}

/* The length of a floating point literal, or 0. */
static size_t float_length(const char *at, const char *end)
{
  const char *p = at;
  p += p < end && (*p == '+' || *p == '-');
  size_t whole = digits(p, end), fraction = 0;
  p += whole;
  bool is = p < end && *p == '.';
  if (is) {
    fraction = digits(p + 1, end);
    p += 1 + fraction;
  }
  if (whole + fraction == 0)
    return 0;
  if (p < end && (*p == 'e' || *p == 'E')) {
    const char *q = p + 1;
    q += q < end && (*q == '+' || *q == '-');
    size_t n = digits(q, end);
    if (n > 0) {
      is = true;
      p = q + n;
    }
  }
  return is ? (size_t)(p - at) : 0;
}

/* Any integer literal: put as a 64-bit one; false when this is none. */
static bool integer(struct expander *e, struct cursor *c)
{
  const char *p = c->at;
  bool negative = *p == '-';
  p += *p == '-' || *p == '+';
  unsigned base = 10;
  if (p == c->at && c->end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X') && isxdigit((unsigned char)p[2])) {
    base = 16;
    p += 2;
  }
  const char *first = p;
  uint64_t value = 0, most = (uint64_t)INT64_MAX + negative;
  bool fits = true;
  for (; p < c->end && (base == 16 ? isxdigit((unsigned char)*p) : isdigit((unsigned char)*p)); p++) {
    unsigned digit = isdigit((unsigned char)*p) ? (unsigned)(*p - '0') : (unsigned)(tolower(*p) - 'a') + 10;
    if (value > (most - digit) / base)
      fits = false;
    else
      value = value * base + digit;
  }
  if (p == first)
    return false;
  const char *last = p;
  for (int n = 0; n < 2 && p < c->end && *p == 'L'; n++)
    p++;
  if (fits) {
    put(e, c->at, (size_t)(last - c->at));
    put(e, "L", 1);
  } else {
    mui_problem(e->config->problems, false, c->source->path, c->line,
                "the integer %.*s%s is out of range (64 bits with sign)", (int)(last - c->at < 40 ? last - c->at : 40),
                c->at, last - c->at < 40 ? "" : "…");
    put(e, "0L", 2);
    mark_bad(e);
  }
  c->at = p;
  return true;
}

static void number(struct expander *e, struct cursor *c)
{
  size_t len = float_length(c->at, c->end);
  if (len > 0) {
    take(e, c, len);
  } else if (!integer(e, c)) {
    REPORT(e, c, "'%c' begins no number", *c->at);
    c->at++;
  }
  e->previous = '0';
}

/* ---- strings and comments -------------------------------------------------------------------- */

static bool is_nul_escape(const char *at, const char *end)
{
  return end - at >= 4 && (at[1] == 'x' || at[1] == 'X') && at[2] == '0' && at[3] == '0';
}

/* The length of a string with its quotes; 0 when it does not end on its line, or holds a NUL. Was reported. */
static size_t string_length(struct expander *e, struct cursor *c)
{
  for (const char *p = c->at + 1; p < c->end && *p != '\n'; p++) {
    if (*p == '"')
      return (size_t)(p + 1 - c->at);
    if (*p != '\\')
      continue;
    if (is_nul_escape(p, c->end))
      REPORT(e, c, "a text must not hold a NUL byte (\\x00)");
    if (++p == c->end || *p == '\n')
      break;
  }
  REPORT(e, c, "this line ends within a text: a closing quote is missing");
  return 0;
}

static void string(struct expander *e, struct cursor *c)
{
  /* Reported here since libconfig loses the memory of a text that it does not expect. */
  bool listed = e->frames[e->depth].open == '(' || e->frames[e->depth].open == '[';
  if (!e->previous || !strchr(listed ? "([,\"" : "=\"", e->previous))
    REPORT(e, c, "a text where a name or a separator should be");
  size_t len = string_length(e, c);
  if (len > 0) {
    take(e, c, len);
  } else { /* go on with the next line: there may be more to report */
    put(e, "\"\"", 2);
    const char *newline = memchr(c->at, '\n', (size_t)(c->end - c->at));
    c->at = newline ? newline : c->end;
  }
  e->previous = '"';
}

static void block_comment(struct expander *e, struct cursor *c)
{
  const char *end = memmem(c->at + 2, (size_t)(c->end - c->at - 2), "*/", 2);
  if (!end) {
    REPORT(e, c, "this comment is never closed");
    c->at = c->end;
    return;
  }
  put(e, " ", 1);
  for (; c->at < end + 2; c->at++)
    if (*c->at == '\n') {
      c->line++;
      put(e, "\n", 1);
    }
}

static void line_comment(struct expander *e, struct cursor *c, bool first_on_line)
{
  if (e->config->sample && first_on_line && c->at + 1 < c->end && c->at[0] == '#' &&
      (isalpha((unsigned char)c->at[1]) || strchr("(){}[]", c->at[1]))) {
    c->at++;
    return;
  }
  const char *newline = memchr(c->at, '\n', (size_t)(c->end - c->at));
  c->at = newline ? newline : c->end;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void expand(struct expander *e, const struct mui_source *source, const char *text, size_t len);

static void include_file(struct expander *e, struct cursor *c, const char *path)
{
  char why[128];
  uint64_t *identity = e->identities[e->files];
  size_t len;
  unsigned mode;
  char *text = mui_read_file(path, MUI_CONF_FILE_MAX, &len, &mode, identity, why, sizeof(why));
  if (!text) {
    REPORT(e, c, "cannot include %s: %s", path, why);
    return;
  }
  bool recursive = false;
  for (size_t i = 0; i < e->files; i++)
    recursive |= e->identities[i][0] == identity[0] && e->identities[i][1] == identity[1];
  struct mui_source *source = recursive ? NULL : mui_source_new(e->config, path, mode);
  if (recursive) {
    REPORT(e, c, "%s includes itself", path);
  } else if (!source) {
    no_memory(e);
  } else {
    mui_file_trust(e->config->problems, path, mode, identity[2]);
    e->files++;
    put(e, "\n", 1);
    expand(e, source, text, len);
    put(e, "\n", 1);
    e->files--;
    segment(e, c);
  }
  mu_secret_wipe(text, len);
  free(text);
}

/* @include "path" */
static void include(struct expander *e, struct cursor *c)
{
  static const char word_include[] = "@include";
  const size_t word_len = sizeof(word_include) - 1;
  if ((size_t)(c->end - c->at) < word_len || memcmp(c->at, word_include, word_len) != 0) {
    REPORT(e, c, "'@' begins nothing but @include \"FILE\"");
    c->at++;
    return;
  }
  c->at += word_len;
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
    c->at++;
  if (c->at == c->end || *c->at != '"') {
    REPORT(e, c, "expected @include \"FILE\"");
    return;
  }
  size_t len = string_length(e, c);
  if (len == 0) {
    c->at++;
    return;
  }
  char *named = strndup(c->at + 1, len - 2);
  char *folder = mui_path_folder(c->source->path);
  char *path = named && folder ? mui_path_join(folder, named) : NULL;
  c->at += len;
  if (!path)
    no_memory(e);
  else if (e->config->memory)
    REPORT(e, c, "@include is possible in files only");
  else if (named[0] == '\0' || strchr(named, '\\'))
    REPORT(e, c, "@include needs a path, without backslashes");
  else if (e->files > MUI_CONF_INCLUDES)
    REPORT(e, c, "more than %d includes within each other", MUI_CONF_INCLUDES);
  else
    include_file(e, c, path);
  free(named);
  free(folder);
  free(path);
}

static void mark(struct expander *e, struct cursor *c)
{
  char ch = *c->at;
  if (isalpha((unsigned char)ch) || ch == '*') {
    word(e, c);
  } else if (isdigit((unsigned char)ch) || (ch && strchr("+-.", ch))) {
    number(e, c);
  } else if (ch == '"') {
    string(e, c);
  } else if (ch == '@') {
    include(e, c);
  } else {
    if (strchr("{([", ch))
      open_bracket(e, c);
    else if (strchr("})]", ch))
      close_bracket(e, c);
    e->previous = ch == ':' ? '=' : ch;
    take(e, c, 1);
  }
}

static void expand(struct expander *e, const struct mui_source *source, const char *text, size_t len)
{
  struct cursor c = {.source = source, .at = text, .end = text + len, .line = 1};
  const char *nul = memchr(text, '\0', len);
  if (nul) {
    for (const char *p = text; p < nul; p++)
      c.line += *p == '\n';
    REPORT(e, &c, "the file holds a NUL byte");
    return;
  }
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
    c.at += 3; /* the mark that some editors put first */
  segment(e, &c);
  bool first_on_line = true;
  while (c.at < c.end && !e->stop) {
    if (e->to->out.len > MUI_CONF_TEXT_MAX) {
      REPORT(e, &c, "all includes together are larger than %d MiB", MUI_CONF_TEXT_MAX >> 20);
      e->stop = true;
      break;
    }
    if (isspace((unsigned char)*c.at)) {
      first_on_line |= *c.at == '\n';
      take(e, &c, 1);
      continue;
    }
    bool two = c.end - c.at > 1 && *c.at == '/';
    if (*c.at == '#' || (two && c.at[1] == '/'))
      line_comment(e, &c, first_on_line);
    else if (two && c.at[1] == '*')
      block_comment(e, &c);
    else
      mark(e, &c);
    first_on_line = false;
  }
}

void mui_expand(struct mui_config *config, const struct mui_source *source, const uint64_t identity[3],
                const char *text, size_t len, struct mui_expanded *to)
{
  *to = (struct mui_expanded){.line = 1};
  struct expander e = {.config = config, .to = to, .files = 1};
  memcpy(e.identities[0], identity, sizeof(e.identities[0]));
  e.frames[0].names = mu_map_new();
  if (e.frames[0].names)
    expand(&e, source, text, len);
  else
    no_memory(&e);
  if (!e.stop && e.depth > 0) {
    const struct mui_source *opened;
    unsigned line;
    mui_expanded_place(to, e.frames[e.depth].line, &opened, &line);
    mui_problem(config->problems, false, opened->path, line, "this '%c' is never closed", e.frames[e.depth].open);
    to->broken = true;
  }
  for (size_t i = 0; i <= e.depth; i++)
    mu_map_free(e.frames[i].names);
  if (to->out.failed)
    no_memory(&e);
}

void mui_expanded_free(struct mui_expanded *expanded)
{
  if (expanded->out.at)
    mu_secret_wipe(expanded->out.at, expanded->out.len);
  mu_buf_free(&expanded->out);
  free(expanded->segments);
  free(expanded->bad);
}
